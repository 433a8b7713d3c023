//! What the engine keeps of every route, path and upstream.

use std::sync::Arc;
use std::time::Duration;

use super::answered::Answered;
use super::constants::choose::choice::{LOAD_WEIGHT, TASTE};
use super::doubts::Doubts;
use super::estimate::{Estimate, Waits};
use super::flight::Queue;
use super::hardness::Hardness;
use super::health::Health;
use super::idle::Idle;
use super::limit::Limit;
use super::probe::Asking;
use super::recent::Recent;
use super::selector::Rank;
use super::tally::Row;
use super::{Route, RouteId, Verdict};
use crate::clock::Time;
use crate::config::lineup::Slot;
use crate::config::{PathConfig, UpstreamConfig};
use crate::observe::said::Said;

/// One route and all that is known of it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) route: Route,
    pub(super) seat: Seat,
    pub(super) estimate: Estimate,
    pub(super) health: Health,
    pub(super) limit: Limit,
    pub(super) queue: Queue,
    pub(super) rank: Rank,
    /// It was said to have brought nothing since the start.
    pub(super) silent: bool,
    /// What it ranks as for what stalls: as old as that ([`note_stalls`](super::Engine::note_stalls)).
    pub(super) rank_now: Rank,
    pub(super) drained: bool,
    pub(super) backup: bool,
    /// Each packet over its path is paid for.
    pub(super) metered: bool,
    /// When something last came back over it.
    pub(super) heard: Time,
    pub(super) idle: Idle,
    pub(super) asking: Asking,
    /// Of path and upstream together.
    pub(super) cost: f32,
    /// The same, and how little this host likes it.
    price: f32,
    has_taste: bool,
    /// How far the policy `spread` has come with it.
    pub(super) turn: f64,
    /// When the newest attempt that was answered at all, or well, or lost, had been sent.
    pub(super) answered_sent: Time,
    pub(super) good_sent: Time,
    /// When the newest one was sent whose answer was good and useful too.
    pub(super) useful_sent: Time,
    /// When a useful answer last came.
    pub(super) useful_at: Time,
    pub(super) lost_sent: Time,
    pub(super) lost_at: Time,
    /// Losses that nothing explains yet.
    pub(super) doubts: Doubts,
    /// When it was last sounded: asked something that everybody answers, because a question hangs.
    pub(super) sounded: Time,
    /// How often in a row since it last answered.
    pub(super) soundings: u32,
    /// The stalls that its last answers came in.
    pub(super) censored: Censored,
    /// The host itself has stalled: nothing is overdue before this.
    pub(super) excused: Time,
    /// When the newest attempt that showed something bad was sent.
    pub(super) bad_sent: Time,
    /// Its useful and timely answers in a row.
    pub(super) row: Row,
    /// How much over the base its last answer took, if that was late and nothing overtook it.
    pub(super) straggler: Option<Duration>,
    /// The last time it was asked for measurement's sake or a client's.
    pub(super) asked: Time,
    /// Packets a second in health, and in the second under way.
    pub(super) healthy: f32,
    /// Segments that TCP sent again, and its smoothed round trip at the last look.
    pub(super) tcp_resent: u64,
    pub(super) tcp_round_trip: Option<Duration>,
    /// What it did in the last minute.
    pub(super) recent: Recent,
    /// Why an attempt over it failed last, and when.
    pub(super) said: Option<(Time, Said)>,
    /// Attempts ever made that may tell something, modulo 2^32.
    pub(super) departed: u32,
    pub(super) sent: u32,
}

impl Lane {
    /// One of which nothing is known yet, whose hedges keep within `waits`, for at most `most` attempts in flight.
    pub(super) fn new(
        route: Route,
        of: &UpstreamConfig,
        over: &PathConfig,
        waits: Waits,
        most: usize,
    ) -> Lane {
        Lane {
            route,
            seat: Seat::default(),
            estimate: Estimate::new(waits),
            health: Health::of_a_way(),
            limit: Limit::new(most),
            queue: Queue::default(),
            rank: Rank::Clear,
            rank_now: Rank::Clear,
            silent: false,
            drained: false,
            backup: of.backup || over.backup,
            metered: over.metered,
            heard: Time::default(),
            idle: Idle::default(),
            asking: Asking::default(),
            cost: (of.cost * over.cost) as f32,
            price: (of.cost * over.cost) as f32,
            has_taste: false,
            turn: 0.0,
            answered_sent: Time::default(),
            good_sent: Time::default(),
            useful_sent: Time::default(),
            useful_at: Time::default(),
            lost_sent: Time::default(),
            lost_at: Time::default(),
            doubts: Doubts::default(),
            sounded: Time::default(),
            soundings: 0,
            censored: Censored::default(),
            excused: Time::default(),
            bad_sent: Time::default(),
            row: Row::default(),
            straggler: None,
            asked: Time::default(),
            healthy: 0.0,
            tcp_resent: 0,
            tcp_round_trip: None,
            recent: Recent::default(),
            said: None,
            departed: 0,
            sent: 0,
        }
    }

    /// Each host likes some of what is about as good better than others, or all would ask the same server: `roll` in
    /// 0..1 says how much.
    pub(super) fn like(&mut self, roll: f32) {
        self.has_taste = true;
        self.price = self.cost * (1.0 + TASTE * roll);
    }

    /// Whether it was told how much this host likes it.
    pub(super) fn has_taste(&self) -> bool {
        self.has_taste
    }

    /// What the operator says of it has changed, and nothing else.
    pub(super) fn suit(
        &mut self,
        of: &UpstreamConfig,
        over: &PathConfig,
        waits: Waits,
        most: usize,
    ) {
        let liked = self.price / self.cost;
        self.backup = of.backup || over.backup;
        self.metered = over.metered;
        self.cost = (of.cost * over.cost) as f32;
        self.price = self.cost * liked;
        self.estimate.keep_within(waits);
        self.limit.set_ceiling(most);
    }

    /// Expected time in health, in microseconds, times its price, and more as the limit fills.
    pub(super) fn expected_us(&self) -> f32 {
        let load = self.limit.load(self.queue.len());
        self.estimate.typical_us() * self.price * (1.0 + LOAD_WEIGHT * load * load)
    }

    /// Its limit allows another attempt.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.limit.get()
    }

    /// Its limit and what is kept beside it allow another attempt, at a name that is held stale.
    pub(super) fn has_room_for_held(&self) -> bool {
        self.queue.len() < self.limit.with_room_for_held()
    }
}

/// Stalls of the host, one after the other, in which all answers of a route came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Censored {
    stalls: u32,
    /// The last look before the latest of them.
    looked: Time,
}

impl Censored {
    /// An answer came, `censored` by the stall after `looked` or not. Whether the one before was censored
    /// by another stall.
    pub(super) fn again(&mut self, censored: bool, looked: Time) -> bool {
        if !censored {
            self.stalls = 0;
        } else if self.stalls == 0 || looked > self.looked {
            self.stalls = self.stalls.saturating_add(1);
            self.looked = looked;
        }
        self.stalls > 1
    }
}

/// Whether, and where, a route, a path or an upstream takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// Its place in the order of the configuration; `None` once a reload has taken it out. What is under way over
    /// it goes on then, and teaches nothing.
    pub(super) place: Option<u16>,
    /// Who has the number, of all that have had it.
    pub(super) tenant: u32,
}

impl Seat {
    pub(super) fn of<T>(slot: &Slot<T>) -> Seat {
        Seat {
            place: slot.place,
            tenant: slot.tenant,
        }
    }

    pub(super) fn is_in(self) -> bool {
        self.place.is_some()
    }
}

/// A path or an upstream.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) seat: Seat,
    pub(super) health: Health,
    pub(super) drained: bool,
    /// Its interface or source address is not there.
    pub(super) missing: bool,
    /// Of an upstream: it forwards to this very byway.
    pub(super) loops: bool,
    /// An open question hangs over it.
    pub(super) doubted: bool,
    /// When something last came back over any of its routes, and when something of use did.
    pub(super) heard: Time,
    pub(super) served: Time,
    /// Which of its routes is tried next.
    pub(super) trial: u16,
    /// Which of its routes began its row of good answers.
    pub(super) rower: Option<RouteId>,
    /// Since when it is left alone, and whether an operator was told.
    pub(super) left: Time,
    pub(super) told: bool,
    /// Of an upstream: how long its hard questions take.
    pub(super) hardness: Hardness,
    /// Of an upstream: what it has answered.
    pub(super) answered: Answered,
}

impl Group {
    pub(super) fn new(name: &str, health: Health) -> Group {
        Group {
            name: name.into(),
            seat: Seat::default(),
            health,
            drained: false,
            missing: false,
            loops: false,
            doubted: false,
            heard: Time::default(),
            served: Time::default(),
            trial: 0,
            rower: None,
            left: Time::NEVER,
            told: false,
            hardness: Hardness::default(),
            answered: Answered::default(),
        }
    }

    /// The row of good answers that counts for its return after `route`, one of its own, came to `row`:
    /// the longest of any of its routes. What another route loses does not undo it.
    pub(super) fn row_after(&mut self, route: RouteId, row: Row) -> Row {
        let current = self.health.row();
        if self.rower == Some(route) || row.count > current.count {
            self.rower = (row.count > 0).then_some(route);
            return row;
        }
        current
    }

    /// It answers for its routes: its own record counts, not theirs.
    pub(super) fn accused(&self) -> bool {
        !matches!(self.health.verdict(), Verdict::Clear | Verdict::Recovering)
    }
}
