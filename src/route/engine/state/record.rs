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
use crate::route::judge::classify::Facts;
use crate::route::judge::counts::{Observation, Streak};
use crate::route::judge::doubts::Doubts;
use crate::route::judge::health::Health;
use crate::route::load::Limit;
use crate::route::measure::in_flight::{Attempt, AttemptId, Queue};
use crate::route::measure::recent::Recent;
use crate::route::measure::round_trip::{RoundTrips, Waits};
use crate::route::rules::Rule;

/// One route and all that is known of it.
#[derive(Debug)]
pub(in crate::route) struct RouteRecord {
    pub(in crate::route::engine) route: Route,
    pub(in crate::route::engine) seat: Seat,
    pub(in crate::route::engine) round_trips: RoundTrips,
    pub(in crate::route::engine) health: Health,
    pub(in crate::route::engine) limit: Limit,
    pub(in crate::route::engine) queue: Queue,
    pub(in crate::route::engine) rank: Rank,
    /// It was said to have brought nothing since the start.
    pub(in crate::route::engine) silent: bool,
    /// What it ranks as for what stalls: as old as that ([`note_stalls`](super::Engine::note_stalls)).
    pub(in crate::route::engine) rank_now: Rank,
    pub(in crate::route::engine) drained: bool,
    pub(in crate::route::engine) backup: bool,
    /// Each packet over its path is paid for.
    pub(in crate::route::engine) metered: bool,
    /// When something last came back over it.
    pub(in crate::route::engine) heard: Time,
    pub(in crate::route::engine) idle: Idle,
    pub(in crate::route::engine) asking: Asking,
    /// Of path and upstream together.
    pub(in crate::route::engine) cost: f32,
    /// The same, and how little this host likes it.
    pub(in crate::route::engine) price: f32,
    pub(in crate::route::engine) has_taste: bool,
    /// How far the policy `spread` has come with it.
    pub(in crate::route::engine) turn: f64,
    /// When the newest attempt that was answered at all, or well, or lost, had been sent.
    pub(in crate::route::engine) answered_sent: Time,
    pub(in crate::route::engine) good_sent: Time,
    /// When the newest one was sent whose answer was good and useful too.
    pub(in crate::route::engine) useful_sent: Time,
    /// When a useful answer last came, and one to a question for a name.
    pub(in crate::route::engine) useful_at: Time,
    pub(in crate::route::engine) served_at: Time,
    pub(in crate::route::engine) lost_sent: Time,
    pub(in crate::route::engine) lost_at: Time,
    /// Losses that nothing explains yet.
    pub(in crate::route::engine) doubts: Doubts,
    /// When it was last sounded: asked something that everybody answers, because a question hangs.
    pub(in crate::route::engine) sounded: Time,
    /// How often in a row since it last answered.
    pub(in crate::route::engine) soundings: u32,
    /// The stalls that its last answers came in.
    pub(in crate::route::engine) censored: Censored,
    /// The host itself has stalled: nothing is overdue before this.
    pub(in crate::route::engine) excused: Time,
    /// When the newest attempt that showed something bad was sent.
    pub(in crate::route::engine) bad_sent: Time,
    /// Its useful and timely answers in a row.
    pub(in crate::route::engine) streak: Streak,
    /// How much over the base its last answer took, if that was late and nothing overtook it.
    pub(in crate::route::engine) unconfirmed: Option<Duration>,
    /// The last time it was asked for measurement's sake or a client's.
    pub(in crate::route::engine) asked: Time,
    /// Packets a second in health, and in the second under way.
    pub(in crate::route::engine) healthy: f32,
    /// Segments that TCP sent again, and its smoothed round trip at the last look.
    pub(in crate::route::engine) tcp_resent: u64,
    pub(in crate::route::engine) tcp_round_trip: Option<Duration>,
    /// What it did in the last minute.
    pub(in crate::route::engine) recent: Recent,
    /// Why an attempt over it failed last, and when.
    pub(in crate::route::engine) said: Option<(Time, Said)>,
    /// Attempts ever made that may tell something, modulo 2^32.
    pub(in crate::route::engine) departed: u32,
    pub(in crate::route::engine) sent: u32,
}

impl RouteRecord {
    /// One of which nothing is known yet, whose hedges keep within `waits`, for at most `most` attempts in flight.
    pub(in crate::route) fn new(
        route: Route,
        of: &UpstreamConfig,
        over: &PathConfig,
        waits: Waits,
        most: usize,
    ) -> RouteRecord {
        RouteRecord {
            route,
            seat: Seat::default(),
            round_trips: RoundTrips::new(waits),
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
            served_at: Time::default(),
            lost_sent: Time::default(),
            lost_at: Time::default(),
            doubts: Doubts::default(),
            sounded: Time::default(),
            soundings: 0,
            censored: Censored::default(),
            excused: Time::default(),
            bad_sent: Time::default(),
            streak: Streak::default(),
            unconfirmed: None,
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
        if Rule::Taste.stands() {
            self.price = self.cost * (1.0 + TASTE * roll);
        }
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
        self.round_trips.keep_within(waits);
        self.limit.set_ceiling(most);
    }

    /// Expected time in health, in microseconds, times its price, and more as the limit fills.
    pub(in crate::route) fn expected_us(&self) -> f32 {
        let load = match Rule::Load.stands() {
            true => self.limit.load(self.queue.len()),
            false => 0.0,
        };
        self.round_trips.typical_us() * self.price * (1.0 + LOAD_WEIGHT * load * load)
    }

    /// What is known of an answer that comes now, not later than `looked` as far as that proves.
    pub(in crate::route) fn facts(
        &mut self,
        attempt: &Attempt,
        useful: bool,
        answered_elsewhere: bool,
        looked: Time,
        now: Time,
    ) -> Facts {
        let proven = looked.min(now).since(attempt.sent);
        let late = self.round_trips.is_late(proven);
        let censored = self.round_trips.is_late(now.since(attempt.sent)) && !late;
        Facts {
            resent: attempt.resent,
            counted: attempt.counted,
            // A useless answer takes no work, and says nothing of how long work takes; nor is a question hard that
            // another server has answered in time.
            overtaken: self.useful_sent > attempt.sent && !answered_elsewhere,
            answered_elsewhere,
            useful,
            // What is useless, or was expected to be, was late by its own doing.
            excused: attempt.mute || !useful,
            may_be_slow: self.rank > Rank::Unknown
                && !answered_elsewhere
                && self.unconfirmed.is_none()
                && self.round_trips.may_be_slow(proven),
            late,
            censored,
            again: self.censored.again(censored, looked),
        }
    }

    /// What an attempt showed lengthens its streak of good answers, is carried by it, or ends it.
    pub(in crate::route) fn lengthen(
        &mut self,
        observation: Observation,
        useful: bool,
        attempt: &Attempt,
        now: Time,
    ) {
        match observation {
            Observation::Good if useful => self.streak.grow(attempt.serial, attempt.sent, now),
            Observation::Good => self.streak = Streak::default(),
            Observation::Censored | Observation::Slow { .. } => self.streak.carry(),
            _ if observation.is_bad() && attempt.sent >= self.streak.sent => {
                self.streak = Streak::default();
            }
            _ => {}
        }
    }

    /// The round trip of an answer, as far as it is known. What lies between the last look and now is no measurement,
    /// unless a host that runs would not have looked earlier either.
    pub(in crate::route) fn measured(
        &self,
        attempt: &Attempt,
        observation: Observation,
        looked: Time,
        now: Time,
    ) -> Option<Duration> {
        let rtt = now.since(attempt.sent);
        let exact = !attempt.delayed && (looked >= now || rtt <= self.round_trips.check_wait());
        match observation {
            _ if exact => Some(rtt),
            Observation::Late => Some(looked.min(now).since(attempt.sent)),
            _ => None,
        }
    }

    /// An attempt was answered.
    pub(in crate::route) fn note_answer(
        &mut self,
        id: AttemptId,
        attempt: &Attempt,
        useful: bool,
        in_time: bool,
    ) {
        self.answered_sent = self.answered_sent.max(attempt.sent);
        self.doubts.lift(|doubt| doubt.id == id);
        if in_time {
            self.good_sent = self.good_sent.max(attempt.sent);
            if useful {
                self.useful_sent = self.useful_sent.max(attempt.sent);
            }
        }
    }

    /// Its limit allows another attempt.
    pub(in crate::route) fn has_room(&self) -> bool {
        self.queue.len() < self.limit.get()
    }

    /// Its limit and what is kept beside it allow another attempt: at a name that is held stale, or of somebody's who has
    /// less than an equal part of what is under way.
    pub(in crate::route) fn has_room_for_held(&self) -> bool {
        self.queue.len() < self.limit.with_room_for_held()
    }
}

/// Stalls of the host, one after the other, in which all answers of a route came.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Censored {
    pub(in crate::route::engine) stalls: u32,
    /// The last look before the latest of them.
    pub(in crate::route::engine) looked: Time,
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
