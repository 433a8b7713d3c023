//! Which routes stall just now.
//!
//! A stall is no verdict: a route with an overdue answer is passed over until something sent later is
//! answered, and what it may share the trouble with comes after what it does not. Every question asks, and
//! the answer seldom changes; so it is kept, in each record what it makes of its rank, until the time when
//! it changes by itself or something happens to a route that may change it.

use std::time::Duration;

use crate::clock::Time;
use crate::route::choose::Rank;
use crate::route::constants::choose::stalls::*;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::Route;
use crate::route::rules::Rule;

/// Paths and upstreams with a route that stalls: until it is known which of the two is the trouble, the
/// next question rather keeps away from both. Those beyond the 64th are not told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Stalls {
    pub(in crate::route::engine) paths: u64,
    pub(in crate::route::engine) upstreams: u64,
    /// Until then this holds, and what the records have of it, if nothing happens.
    pub(in crate::route::engine) until: Time,
}

impl Stalls {
    /// Something happened that may have ended a stall or begun one.
    pub(in crate::route) fn look_again(&mut self) {
        self.until = Time::default();
    }

    /// Another attempt left over this route: one that stalls goes on.
    pub(in crate::route) fn departed(&mut self, record: &RouteRecord) {
        if !record.stalls() {
            self.until = self.until.min(record.overdue_after());
        }
    }

    /// This route was answered, or its oldest attempt is another one now: one that stalls may do so no more.
    pub(in crate::route) fn moved(&mut self, record: &RouteRecord) {
        self.until = match record.stalls() {
            true => Time::default(),
            false => self.until.min(record.overdue_after()),
        };
    }

    pub(in crate::route) fn is_empty(&self) -> bool {
        self.paths == 0
    }

    pub(in crate::route) fn add(&mut self, route: &Route) {
        self.paths |= Stalls::bit(route.path.0);
        self.upstreams |= Stalls::bit(route.upstream.0);
    }

    /// Whether this route may be one of those that stall.
    pub(in crate::route) fn may_be(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            && self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    /// Whether it shares its path or its upstream with one of them.
    pub(in crate::route) fn shares(&self, route: &Route) -> bool {
        let shares = self.paths & Stalls::bit(route.path.0) != 0
            || self.upstreams & Stalls::bit(route.upstream.0) != 0;
        shares && Rule::Neighbours.stands()
    }

    pub(in crate::route) fn bit(index: u16) -> u64 {
        1 << (index % 64)
    }
}

impl RouteRecord {
    /// Whether it stalled at the last look.
    pub(in crate::route) fn stalls(&self) -> bool {
        self.rank < Rank::Suspect && self.rank_now == Rank::Suspect
    }

    /// An answer is overdue and nothing sent after it was answered, or something was lost and nothing
    /// since was answered. Later answers tell a slow question, or a single loss, from a stall.
    pub(in crate::route) fn is_stalled(&self, now: Time) -> bool {
        now > self.overdue_after() || self.is_silent(now)
    }

    /// Its oldest answer is overdue after this; [`Time::NEVER`] if none is awaited that would tell.
    pub(in crate::route) fn overdue_after(&self) -> Time {
        let oldest = self.queue.oldest;
        if self.answered_sent >= oldest || !Rule::Overdue.stands() {
            return Time::NEVER;
        }
        let wait = match self.queue.len() >= HANGING && Rule::Hanging.stands() {
            true => self.round_trips.check_wait(),
            false => self.round_trips.hedge_wait(),
        };
        (oldest + wait).max(self.excused)
    }

    pub(in crate::route) fn is_silent(&self, now: Time) -> bool {
        self.lost_sent > self.answered_sent && now <= self.silent_until() && Rule::Silence.stands()
    }

    /// The last moment of the silence after its last loss.
    pub(in crate::route) fn silent_until(&self) -> Time {
        self.lost_at + (SILENCE - Duration::from_nanos(1))
    }
}
