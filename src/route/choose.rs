//! Which route a question takes.
//!
//! Routes are ranked by what is believed of them, and the policy chooses within the best rank that has
//! room. `fastest` compares expected times, counting what is in flight; one route keeps the traffic
//! until another is clearly better; among those about as good the one with less in flight takes the question,
//! of two drawn at random where there are more (the power of two choices).

pub(in crate::route) mod precedence;

use crate::clock::Time;
use crate::config::Policy;
use crate::route::ids::{RouteId, UpstreamId};

/// How good a route is to choose, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Clear, and nothing speaks against it.
    Clear,
    /// Clear, but it shares its path or its server with one that is in trouble nobody is blamed for yet.
    Doubted,
    /// Not heard for long, or never.
    Unknown,
    /// Suspect, or stalled just now.
    Suspect,
    /// Recovering, beyond its share.
    Recovering,
    /// Congested: with this one nothing is clear.
    Congested,
    /// Sick.
    Sick,
    /// Dead.
    Dead,
    /// Drained or lost: not to be used at all.
    Out,
}

impl Rank {
    /// Clear, and nothing speaks against it.
    pub const fn is_clear(self) -> bool {
        matches!(self, Rank::Clear)
    }
}

/// The policy and what it remembers.
#[derive(Debug)]
pub struct Selector {
    pub(in crate::route) policy: Policy,
    pub(in crate::route) incumbent: Option<RouteId>,
    pub(in crate::route) since: Time,
    /// The routes one question may take, while it chooses.
    pub(in crate::route) open: Vec<Open>,
}

impl Selector {
    /// A selector that follows `policy` among `routes` routes.
    pub fn new(policy: Policy, routes: usize) -> Selector {
        Selector {
            policy,
            incumbent: None,
            since: Time::default(),
            open: Vec::with_capacity(routes),
        }
    }

    pub(in crate::route) fn take_over(&mut self, route: RouteId, now: Time) {
        (self.incumbent, self.since) = (Some(route), now);
    }

    /// What it remembers from question to question, to be recalled after a choice that was only tried.
    pub(in crate::route) fn memory(&self) -> (Option<RouteId>, Time) {
        (self.incumbent, self.since)
    }

    /// Puts back what [`Selector::memory`] gave.
    pub(in crate::route) fn recall(&mut self, memory: (Option<RouteId>, Time)) {
        (self.incumbent, self.since) = memory;
    }
}

/// A route that a question may take, and its expected time where that decides.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Open {
    pub(in crate::route) id: RouteId,
    pub(in crate::route) cost: f32,
    pub(in crate::route) measured: bool,
}

/// What a further attempt of a question should keep away from.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// Routes asked so far, with repetitions.
    pub routes: &'a [RouteId],
    /// This one just answered uselessly: another one, whatever the path.
    pub useless: Option<UpstreamId>,
    /// Only a clear route will do: it is a hedge.
    pub clear_only: bool,
}

/// What is compared before the expected time, least first.
pub(in crate::route) type Order = (bool, bool, bool, u8);

/// The last tier that may be used at all, the last that a hedge may go to, the last that a retry may, and the last that may know better
/// than a useless answer.
pub(in crate::route) const LAST_IN_USE: u8 = 2 * Rank::Dead as u8 + 1;

pub(in crate::route) const LAST_CLEAR: u8 = 2 * Rank::Unknown as u8 + 1;

pub(in crate::route) const LAST_USABLE: u8 = 2 * Rank::Recovering as u8 + 1;

pub(in crate::route) const LAST_ANSWERING: u8 = 2 * Rank::Sick as u8 + 1;
