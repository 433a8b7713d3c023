//! Which routes stall just now.
//!
//! A stall is no verdict: a route with an overdue answer is passed over until something sent later is
//! answered, and what it may share the trouble with comes after what it does not. Most of the time nothing
//! stalls, and every question asks; so the engine keeps the time before which nothing can.

use std::time::Duration;

use super::Route;
use super::engine::Engine;
use super::lane::Lane;
use super::selector::Rank;
use crate::clock::Time;

/// How long a loss after which nothing was answered keeps questions away.
const SILENCE: Duration = Duration::from_secs(1);
/// Attempts that must hang together before a route counts as stalled early.
const HANGING: u32 = 3;

/// Paths and upstreams with a route that stalls: until it is known which of the two is the trouble, the
/// next question rather keeps away from both. Those beyond the 64th are not told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    paths: u64,
    upstreams: u64,
}

impl Stalls {
    /// Nothing stalls.
    pub(super) fn is_empty(&self) -> bool {
        self.paths == 0
    }

    fn add(&mut self, route: &Route) {
        self.paths |= Stalls::bit(route.path.0);
        self.upstreams |= Stalls::bit(route.upstream.0);
    }

    /// Whether this route may be one of those that stall.
    pub(super) fn may_be(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            && self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    /// Whether it shares its path or its upstream with one of them.
    pub(super) fn shares(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            || self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    fn bit(index: u16) -> u64 {
        1 << (index % 64)
    }
}

impl Lane {
    /// An answer is overdue and nothing sent after it was answered, or something was lost and nothing
    /// since was answered. Later answers tell a hard question, or a single loss, from a stall.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        now > self.overdue_after() || self.is_silent(now)
    }

    /// Its oldest answer is overdue after this; [`Time::NEVER`] if none is awaited that would tell.
    pub(super) fn overdue_after(&self) -> Time {
        let oldest = self.queue.oldest;
        if self.answered_sent >= oldest {
            return Time::NEVER;
        }
        let wait = match self.queue.len() >= HANGING {
            true => self.estimate.check_wait(),
            false => self.estimate.hedge_wait(),
        };
        oldest + wait
    }

    fn is_silent(&self, now: Time) -> bool {
        self.lost_sent > self.answered_sent && now.since(self.lost_at) < SILENCE
    }
}

impl Engine {
    /// What stalls at this moment, among the routes that are held for clear.
    pub(super) fn stalls(&mut self, now: Time) -> Stalls {
        let mut stalls = Stalls::default();
        if now <= self.calm_until {
            return stalls;
        }
        self.calm_until = Time::NEVER;
        for lane in &self.lanes {
            if lane.rank >= Rank::Suspect {
                continue;
            }
            if lane.is_stalled(now) {
                stalls.add(&lane.route);
                self.calm_until = Time::default();
            }
            self.calm_until = self.calm_until.min(lane.overdue_after());
        }
        stalls
    }
}
