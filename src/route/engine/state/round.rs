//! How far the first round has come.

use crate::clock::Time;

/// How far it has come.
#[derive(Debug)]
pub(in crate::route) struct FirstRound {
    /// When it ends; [`Time::NEVER`] before its first tick.
    pub(in crate::route::engine) over: Time,
    /// What it follows.
    pub(in crate::route::engine) after: &'static str,
    /// By route.
    pub(in crate::route::engine) calls: Vec<Call>,
}

/// A route's part in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Call {
    /// When its next question is due; [`Time::NEVER`] if there is to be none.
    pub(in crate::route::engine) due: Time,
    /// Questions sent.
    pub(in crate::route::engine) asked: u8,
}
