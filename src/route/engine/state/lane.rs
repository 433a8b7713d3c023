//! One route and all that is known of it.

use std::time::Duration;

use crate::clock::Time;
use crate::config::{PathConfig, UpstreamConfig};
use crate::observe::said::Said;
use crate::route::choose::Rank;
use crate::route::constants::choose::choice::{LOAD_WEIGHT, TASTE};
use crate::route::engine::state::asking::Asking;
use crate::route::engine::state::idle::Idle;
use crate::route::engine::state::seat::Seat;
use crate::route::ids::Route;
use crate::route::judge::counts::Row;
use crate::route::judge::doubts::Doubts;
use crate::route::judge::health::Health;
use crate::route::load::Limit;
use crate::route::measure::in_flight::Queue;
use crate::route::measure::recent::Recent;
use crate::route::measure::round_trip::{Estimate, Waits};

/// One route and all that is known of it.
#[derive(Debug)]
pub(in crate::route) struct Lane {
    pub(in crate::route) route: Route,
    pub(in crate::route) seat: Seat,
    pub(in crate::route) estimate: Estimate,
    pub(in crate::route) health: Health,
    pub(in crate::route) limit: Limit,
    pub(in crate::route) queue: Queue,
    pub(in crate::route) rank: Rank,
    /// It was said to have brought nothing since the start.
    pub(in crate::route) silent: bool,
    /// What it ranks as for what stalls: as old as that ([`note_stalls`](super::Engine::note_stalls)).
    pub(in crate::route) rank_now: Rank,
    pub(in crate::route) drained: bool,
    pub(in crate::route) backup: bool,
    /// Each packet over its path is paid for.
    pub(in crate::route) metered: bool,
    /// When something last came back over it.
    pub(in crate::route) heard: Time,
    pub(in crate::route) idle: Idle,
    pub(in crate::route) asking: Asking,
    /// Of path and upstream together.
    pub(in crate::route) cost: f32,
    /// The same, and how little this host likes it.
    pub(in crate::route) price: f32,
    pub(in crate::route) has_taste: bool,
    /// How far the policy `spread` has come with it.
    pub(in crate::route) turn: f64,
    /// When the newest attempt that was answered at all, or well, or lost, had been sent.
    pub(in crate::route) answered_sent: Time,
    pub(in crate::route) good_sent: Time,
    /// When the newest one was sent whose answer was good and useful too.
    pub(in crate::route) useful_sent: Time,
    /// When a useful answer last came.
    pub(in crate::route) useful_at: Time,
    pub(in crate::route) lost_sent: Time,
    pub(in crate::route) lost_at: Time,
    /// Losses that nothing explains yet.
    pub(in crate::route) doubts: Doubts,
    /// When it was last sounded: asked something that everybody answers, because a question hangs.
    pub(in crate::route) sounded: Time,
    /// How often in a row since it last answered.
    pub(in crate::route) soundings: u32,
    /// The stalls that its last answers came in.
    pub(in crate::route) censored: Censored,
    /// The host itself has stalled: nothing is overdue before this.
    pub(in crate::route) excused: Time,
    /// When the newest attempt that showed something bad was sent.
    pub(in crate::route) bad_sent: Time,
    /// Its useful and timely answers in a row.
    pub(in crate::route) row: Row,
    /// How much over the base its last answer took, if that was late and nothing overtook it.
    pub(in crate::route) straggler: Option<Duration>,
    /// The last time it was asked for measurement's sake or a client's.
    pub(in crate::route) asked: Time,
    /// Packets a second in health, and in the second under way.
    pub(in crate::route) healthy: f32,
    /// Segments that TCP sent again, and its smoothed round trip at the last look.
    pub(in crate::route) tcp_resent: u64,
    pub(in crate::route) tcp_round_trip: Option<Duration>,
    /// What it did in the last minute.
    pub(in crate::route) recent: Recent,
    /// Why an attempt over it failed last, and when.
    pub(in crate::route) said: Option<(Time, Said)>,
    /// Attempts ever made that may tell something, modulo 2^32.
    pub(in crate::route) departed: u32,
    pub(in crate::route) sent: u32,
}

impl Lane {
    /// One of which nothing is known yet, whose hedges keep within `waits`, for at most `most` attempts in flight.
    pub(in crate::route) fn new(
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
    pub(in crate::route) fn like(&mut self, roll: f32) {
        self.has_taste = true;
        self.price = self.cost * (1.0 + TASTE * roll);
    }

    /// Whether it was told how much this host likes it.
    pub(in crate::route) fn has_taste(&self) -> bool {
        self.has_taste
    }

    /// What the operator says of it has changed, and nothing else.
    pub(in crate::route) fn suit(
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
    pub(in crate::route) fn expected_us(&self) -> f32 {
        let load = self.limit.load(self.queue.len());
        self.estimate.typical_us() * self.price * (1.0 + LOAD_WEIGHT * load * load)
    }

    /// Its limit allows another attempt.
    pub(in crate::route) fn has_room(&self) -> bool {
        self.queue.len() < self.limit.get()
    }

    /// Its limit and what is kept beside it allow another attempt, at a name that is held stale.
    pub(in crate::route) fn has_room_for_held(&self) -> bool {
        self.queue.len() < self.limit.with_room_for_held()
    }
}

/// Stalls of the host, one after the other, in which all answers of a route came.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Censored {
    pub(in crate::route) stalls: u32,
    /// The last look before the latest of them.
    pub(in crate::route) looked: Time,
}

impl Censored {
    /// An answer came, `censored` by the stall after `looked` or not. Whether the one before was censored
    /// by another stall.
    pub(in crate::route) fn again(&mut self, censored: bool, looked: Time) -> bool {
        if !censored {
            self.stalls = 0;
        } else if self.stalls == 0 || looked > self.looked {
            self.stalls = self.stalls.saturating_add(1);
            self.looked = looked;
        }
        self.stalls > 1
    }
}
