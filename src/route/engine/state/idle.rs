//! How far the asking after idle routes has come.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::probe::idle::*;

/// How far the asking has come with one route.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Idle {
    /// How long it may be unheard of, this time.
    pub(in crate::route::engine) pause: Duration,
    /// When it was last asked, and how often in a row without a good answer.
    pub(in crate::route::engine) asked: Time,
    pub(in crate::route::engine) times: u32,
    /// What came back was useless.
    pub(in crate::route::engine) poor: bool,
}

impl Idle {
    /// The first time: `roll` in 0..1.
    pub(in crate::route) fn begin(&mut self, now: Time, roll: f32) {
        self.pause = FIRST + (PAUSE + CHANCE - FIRST).mul_f32(roll);
        self.asked = now;
    }
}
