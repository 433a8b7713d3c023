//! One question's way through its attempts.
//!
//! A race starts with one packet. When that one is overdue a hedge goes over another way; when it
//! failed, a retry. The first useful answer wins, and a useless one only when another server has
//! been asked too or none can be. The race then stays until its losers have answered or their time
//! is up: what they would have taken is what the routes are judged by.
//!
//! The driver owns bytes, sockets and timers: it sends what a [`Step`] says, and calls [`Race::timer`]
//! and [`Race::outcome`].

use std::time::Duration;

use super::engine::{Engine, Standing};
use super::selector::{Rank, Tried, unit};
use super::{AttemptId, AttemptKind, Outcome, RouteId, UpstreamId};
use crate::clock::Time;
use crate::wire::{Ede, Rcode};

/// Attempts of one question at most, duplicates for measurement included.
const MOST: usize = 8;
/// How long a question waits for the end of an outage, or of a surge in which it was lost, before it fails.
const HOLD: Duration = Duration::from_millis(500);
/// For so long after an outage began, those that were asked before wait on: their answers may be on
/// their way from an upstream that is slow, not gone. The second where it has never been measured, so that
/// nobody knows how slow it is.
const HOLD_ASKED: (Duration, Duration) = (Duration::from_millis(850), Duration::from_secs(3));
/// How often it looks.
const HOLD_STEP: Duration = Duration::from_millis(100);
/// While nothing is clear a question is asked again no sooner and no later than this: three tries must
/// fit a deadline of 4.5 s.
const AGAIN: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(1200));
/// The same over a route that was tried already while others are clear but cannot be had: a hard question
/// takes an upstream longer than a packet does.
const SAME_AGAIN: Duration = Duration::from_millis(800);
/// Where the budget refused, it is asked again after this, and twice as long each time.
const REFUSED_STEP: Duration = Duration::from_millis(50);
/// How long a useless answer, or a truncated one, is held back for a better one.
const POOR_HELD: Duration = Duration::from_secs(1);
/// Attempts of a question that was truncated and asked over a stream twice.
const TWICE: usize = 4;
/// A stream needs a handshake before its round trip: it is given this many timeouts.
const STREAM_PATIENCE: u32 = 4;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client waits.
    Client,
    /// The cache asks ahead of expiry.
    Refresh,
    /// The engine measures this route ([`Tick::probes`](super::Tick::probes)).
    Probe(RouteId),
}

/// What a race is for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Who asks.
    pub purpose: Purpose,
    /// When the race must have finished.
    pub deadline: Time,
}

/// Why a race did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Every usable route is at its limit, or the ceiling on packets is reached: try again when
    /// something came back.
    Busy,
    /// The budget has nothing left for it (refreshes and probes only).
    Denied,
    /// There is no route: all are drained or lost.
    NoRoute,
}

impl Refused {
    /// The Extended DNS Error that tells the client (RFC 8914): 22 where nothing can be asked, 23 where
    /// there is no room to ask.
    pub const fn ede(self) -> Ede<'static> {
        match self {
            Refused::NoRoute => Ede::NO_REACHABLE_AUTHORITY,
            Refused::Busy | Refused::Denied => Ede::NETWORK_ERROR,
        }
    }
}

/// Why a question goes without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its deadline came first.
    Deadline,
    /// Every route is dead.
    Outage,
    /// It was asked and lost while so much is asked that upstreams lose some, and to ask it again would be to ask
    /// another one less.
    Overload,
    /// Every route is drained or lost.
    NoRoute,
    /// The answer does not fit a datagram, and no stream brought it. The truncated one is all there is.
    Partial,
}

impl Failure {
    /// The Extended DNS Error that tells the client (RFC 8914): 22, No Reachable Authority, where
    /// nothing can be asked; 23, Network Error, where something was and did not answer.
    pub const fn ede(self) -> Ede<'static> {
        match self {
            Failure::Outage | Failure::NoRoute => Ede::NO_REACHABLE_AUTHORITY,
            Failure::Deadline | Failure::Overload | Failure::Partial => Ede::NETWORK_ERROR,
        }
    }
}

/// How a race ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// This attempt's answer.
    Answer(AttemptId),
    /// This attempt's useless answer, for want of a better one.
    Poor(AttemptId),
    /// None.
    Failed(Failure),
}

/// An attempt to make now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// The name under which its outcome is reported.
    pub attempt: AttemptId,
    /// Over which route.
    pub route: RouteId,
    /// What for.
    pub kind: AttemptKind,
    /// Over a stream whatever the upstream's transport.
    pub stream: bool,
}

/// What the driver must do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Make this attempt.
    pub send: Option<Send>,
    /// And this duplicate, which no client waits for.
    pub also: Option<Send>,
    /// Call [`Race::timer`] then; replaces any earlier wake.
    pub wake: Option<Time>,
    /// The question is decided. Said once per race.
    pub finish: Option<Finish>,
    /// Nothing more will come of this race.
    pub done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    id: AttemptId,
    route: RouteId,
    kind: AttemptKind,
    /// Counted as lost then.
    lost_at: Time,
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    attempt: AttemptId,
    upstream: UpstreamId,
    rcode: Option<Rcode>,
    until: Time,
}

/// What came of the wish to ask another server.
enum Elsewhere {
    Asked(Send),
    /// The budget has nothing for it now.
    Denied,
    /// There is none that was not asked.
    Nobody,
}

/// The race itself.
#[derive(Clone, Debug)]
pub struct Race {
    ask: Ask,
    started: Time,
    flights: [Option<Flight>; MOST],
    tried: [RouteId; MOST],
    tries: usize,
    held: Option<Held>,
    last_sent: Time,
    /// When a further attempt is considered, and from when on without looking for a stall first.
    next_try: Time,
    hedge_at: Time,
    refused: u32,
    reopened: bool,
    /// An answer was truncated; the driver holds what there is of it.
    truncated: bool,
    partial: bool,
    finished: bool,
    /// Those who come later extend it no further than this.
    latest: Time,
}

impl Race {
    /// Starts a race for `ask`.
    pub fn start(
        engine: &mut Engine,
        ask: &Ask,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<(Race, Step), Refused> {
        Race::start_elsewhere(engine, ask, &[], now, rng)
    }

    /// Starts a race for `ask` whose question has just failed over the routes `failed`: another server is
    /// asked first, if one can be (RFC 9520 section 3.1).
    pub fn start_elsewhere(
        engine: &mut Engine,
        ask: &Ask,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<(Race, Step), Refused> {
        let mut race = Race {
            ask: *ask,
            started: now,
            latest: ask.deadline + ask.deadline.since(now),
            flights: [None; MOST],
            tried: [RouteId(u16::MAX); MOST],
            tries: 0,
            held: None,
            last_sent: now,
            next_try: Time::NEVER,
            hedge_at: Time::NEVER,
            refused: 0,
            reopened: false,
            truncated: false,
            partial: false,
            finished: false,
        };
        let mut step = Step::default();
        match ask.purpose {
            Purpose::Probe(route) => {
                step.send = Some(race.depart(engine, route, AttemptKind::Probe, now));
                race.next_try = Time::NEVER;
            }
            Purpose::Client => {
                engine.last_question = now;
                if engine.standing == Standing::Outage {
                    race.next_try = now;
                } else {
                    let send = race.first(engine, failed, now, rng)?;
                    step.send = Some(send);
                    step.also = race.duplicate(engine, send.route, now, rng);
                }
            }
            Purpose::Refresh => {
                if engine.standing != Standing::Clear {
                    return Err(Refused::Denied);
                }
                let route = engine.choose_for(failed, now, rng)?;
                if engine
                    .lane(route)
                    .limit
                    .load(engine.lane(route).queue.len())
                    > 0.5
                    || !engine.budgets.refresh(now)
                {
                    return Err(Refused::Denied);
                }
                step.send = Some(race.depart(engine, route, AttemptKind::Refresh, now));
                step.also = race.duplicate(engine, route, now, rng);
            }
        }
        race.close(&mut step, now);
        Ok((race, step))
    }

    /// A client came that may wait until `deadline`: the race goes on for it, but in all no longer than twice
    /// as long as it was to take at first. By then every server has been asked as often as it may be, and
    /// those who ask for ever do not keep it from ending.
    pub fn extend(&mut self, deadline: Time) {
        if !self.finished {
            self.ask.deadline = self.ask.deadline.max(deadline.min(self.latest));
        }
    }

    /// The time of the last step's wake has come.
    pub fn timer(&mut self, engine: &mut Engine, now: Time, rng: &mut impl rand::Rng) -> Step {
        let mut step = Step::default();
        self.count_losses(engine, now);
        if !self.finished {
            self.go_on(engine, now, rng, &mut step);
        }
        if self.finished && now >= self.ask.deadline {
            self.give_up(engine, now);
        }
        self.close(&mut step, now);
        step
    }

    /// `attempt` ended. Attempts already ended are ignored.
    pub fn outcome(
        &mut self,
        engine: &mut Engine,
        attempt: AttemptId,
        outcome: Outcome,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Step {
        let mut step = Step::default();
        let Some(flight) = self.remove(attempt) else {
            self.close(&mut step, now);
            return step;
        };
        engine.land(attempt, outcome, now);
        let upstream = engine.lane(flight.route).route.upstream;
        match outcome {
            Outcome::Answered => self.answered(engine, flight, upstream, now, &mut step),
            Outcome::Poor(rcode) => {
                self.poor(engine, flight, Some(rcode), now, rng, &mut step);
            }
            Outcome::Mismatched | Outcome::Garbled => {
                self.poor(engine, flight, None, now, rng, &mut step);
            }
            Outcome::Truncated if !self.finished => {
                self.truncated = true;
                let streaming = self.flying().any(|f| f.kind == AttemptKind::StreamFallback);
                if !streaming && self.has_room() {
                    engine.budgets.forced(now);
                    step.send =
                        Some(self.depart(engine, flight.route, AttemptKind::StreamFallback, now));
                }
            }
            Outcome::Closed if !self.finished && !self.reopened && self.has_room() => {
                self.reopened = true;
                engine.budgets.forced(now);
                step.send = Some(self.depart(engine, flight.route, AttemptKind::Retry, now));
            }
            Outcome::Unreachable
            | Outcome::HandshakeFailed
            | Outcome::TimedOut
            | Outcome::Closed
                if !self.finished && flight.kind != AttemptKind::Probe =>
            {
                self.next_try = now;
                self.hedge_at = now;
                self.go_on(engine, now, rng, &mut step);
            }
            _ => {}
        }
        if !self.finished && matches!(self.ask.purpose, Purpose::Probe(_)) && !self.is_flying() {
            self.finish(Finish::Failed(Failure::Deadline), &mut step);
        }
        self.close(&mut step, now);
        step
    }

    /// What there is of a truncated answer is of use: whoever cannot ask over a stream need not wait long.
    pub fn hold_partial(&mut self) {
        self.partial = true;
    }

    /// The connection that `attempt` waited for stands, and the query goes out now: what passed before
    /// was the handshake and is not the round trip.
    pub fn connected(&mut self, engine: &mut Engine, attempt: AttemptId, now: Time) {
        engine.flights.connected(attempt, now);
    }

    fn answered(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        upstream: UpstreamId,
        now: Time,
        step: &mut Step,
    ) {
        if let Some(held) = self.held.take_if(|held| held.upstream != upstream) {
            engine.was_poor(held.upstream, held.rcode, true, now);
        }
        if self.finished {
            return;
        }
        match flight.kind {
            AttemptKind::Hedge => engine.hedges.won += 1,
            AttemptKind::Retry => engine.hedges.retries_won += 1,
            _ => {}
        }
        self.finish(Finish::Answer(flight.id), step);
    }

    fn poor(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        rcode: Option<Rcode>,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        let upstream = engine.lane(flight.route).route.upstream;
        if self.finished {
            // A loser; what it was compared with has answered.
            engine.was_poor(upstream, rcode, true, now);
            return;
        }
        match self.held {
            Some(held) if held.upstream != upstream => {
                // Two servers say so: it is the name, and nobody's fault.
                self.held = None;
                self.finish(Finish::Poor(held.attempt), step);
                return;
            }
            Some(_) => {}
            None => {
                let until = now + POOR_HELD;
                self.held = Some(Held {
                    attempt: flight.id,
                    upstream,
                    rcode,
                    until,
                });
            }
        }
        self.try_another_server(engine, now, rng, step);
    }

    /// Something useless is held: another server is asked as soon as that can be paid.
    fn try_another_server(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        match self.ask_elsewhere(engine, now, rng) {
            Elsewhere::Asked(send) => step.send = Some(send),
            Elsewhere::Denied => {
                engine.hedges.retries_denied += 1;
                self.next_try = self.refused_until(now);
            }
            Elsewhere::Nobody if self.is_waiting() => self.next_try = self.next_loss(),
            Elsewhere::Nobody => self.settle_for_poor(engine, now, step),
        }
    }

    fn settle_for_poor(&mut self, engine: &mut Engine, now: Time, step: &mut Step) {
        if let Some(held) = self.held.take() {
            engine.was_poor(held.upstream, held.rcode, false, now);
            self.finish(Finish::Poor(held.attempt), step);
        }
    }

    /// Ends the wait for a whole answer in place of a truncated one when no stream may bring it any more: at the
    /// first failure, or soon, if there is something to give, at the second otherwise. False if it goes on.
    fn settle_for_partial(&mut self, engine: &mut Engine, now: Time, step: &mut Step) -> bool {
        let hoping = self
            .flying()
            .any(|flight| flight.kind != AttemptKind::Probe);
        let until = self.last_sent + POOR_HELD;
        let in_vain = self.truncated && !hoping && (self.partial || self.tries >= TWICE);
        if in_vain || (self.partial && now >= until) {
            self.fail(engine, Failure::Partial, now, step);
        } else if self.partial {
            self.next_try = until;
        } else {
            return false;
        }
        true
    }

    /// After a useless answer: another server, if it can be had and paid.
    fn ask_elsewhere(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Elsewhere {
        if !self.has_room() || engine.standing == Standing::Outage {
            return Elsewhere::Nobody;
        }
        let tried = Tried {
            routes: &self.tried[..self.tries],
            poor: true,
            clear_only: false,
        };
        let Some(route) = engine.choose_other(tried, now, unit(rng)) else {
            return Elsewhere::Nobody;
        };
        let paid = match engine.standing {
            Standing::Clear => engine.budgets.extra(true, now),
            _ => engine.budgets.under_ceiling(false, now),
        };
        match paid {
            true => Elsewhere::Asked(self.depart(engine, route, AttemptKind::Retry, now)),
            false => Elsewhere::Denied,
        }
    }

    /// Considers a further attempt, or the end.
    fn go_on(&mut self, engine: &mut Engine, now: Time, rng: &mut impl rand::Rng, step: &mut Step) {
        if now >= self.ask.deadline {
            let failure = match engine.standing {
                Standing::Outage => Failure::Outage,
                _ => Failure::Deadline,
            };
            return self.fail(engine, failure, now, step);
        }
        if self.held.is_some_and(|held| now >= held.until) {
            return self.settle_for_poor(engine, now, step);
        }
        if matches!(self.ask.purpose, Purpose::Probe(_)) {
            return;
        }
        if engine.standing == Standing::Outage {
            let doubt = |flight: &Flight| match engine.lane(flight.route).estimate.is_measured() {
                true => HOLD_ASKED.0,
                false => HOLD_ASKED.1,
            };
            let asked = self.flying().filter(|it| it.kind != AttemptKind::Probe);
            let doubted = asked.map(doubt).max();
            let in_doubt = doubted.is_some_and(|doubt| now < engine.stands_since + doubt);
            if now >= self.started + HOLD && !in_doubt && !self.is_waiting() {
                return self.fail(engine, Failure::Outage, now, step);
            }
            self.next_try = now + HOLD_STEP;
            return;
        }
        if now < self.next_try {
            return;
        }
        let clear = engine.standing == Standing::Clear;
        if self.held.is_some() && !self.is_waiting() {
            return self.try_another_server(engine, now, rng, step);
        }
        if self.tries == 0 {
            match self.first(engine, &[], now, rng) {
                Ok(send) => step.send = Some(send),
                Err(Refused::NoRoute) => self.fail(engine, Failure::NoRoute, now, step),
                Err(_) => self.next_try = now + REFUSED_STEP,
            }
        } else if clear {
            self.hedge_or_retry(engine, now, rng, step);
        } else {
            self.ask_again(engine, now, rng, step);
        }
    }

    fn hedge_or_retry(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        let waiting = self.is_waiting();
        let last = self.tried[self.tries - 1];
        if !waiting && now >= self.started + HOLD && engine.is_overloaded(last, now) {
            return self.fail(engine, Failure::Overload, now, step);
        }
        if waiting && now < self.hedge_at && !engine.is_stalled(engine.lane(last), now) {
            self.next_try = self.hedge_at;
            return;
        }
        let tried = Tried {
            routes: &self.tried[..self.tries],
            poor: false,
            clear_only: waiting,
        };
        let other = engine.choose_other(tried, now, unit(rng));
        let route = match waiting {
            true => other,
            false => other.or_else(|| engine.choose_again(&self.tried[..self.tries], now, rng)),
        };
        let same = route.is_some_and(|route| self.tried[..self.tries].contains(&route));
        if !waiting && (same || route.is_none()) && self.settle_for_partial(engine, now, step) {
            return;
        }
        if same && now < self.last_sent + SAME_AGAIN {
            self.next_try = self.last_sent + SAME_AGAIN;
            return;
        }
        let Some(route) = route.filter(|_| self.has_room()) else {
            if self.held.is_some() && !waiting {
                return self.settle_for_poor(engine, now, step);
            }
            // The next loss, or the deadline, is the next occasion.
            self.next_try = match waiting {
                true => self.next_loss(),
                false => self.refused_until(now),
            };
            return;
        };
        let lane = engine.lane(route);
        let has_room = lane.limit.load(lane.queue.len()) < 0.5;
        let urgent = lane.rank.is_clear() && has_room;
        // A question that has nothing left under way is asked again as it would be under the ceiling.
        let stranded = !waiting && has_room;
        let paid = engine.budgets.extra(urgent, now)
            || (stranded && engine.budgets.under_ceiling(false, now));
        if !paid {
            match waiting {
                true => engine.hedges.denied += 1,
                false => engine.hedges.retries_denied += 1,
            }
            self.next_try = self.refused_until(now);
            return;
        }
        let kind = if waiting {
            AttemptKind::Hedge
        } else {
            AttemptKind::Retry
        };
        step.send = Some(self.depart(engine, route, kind, now));
    }

    /// Nothing is clear: patiently, under the ceiling.
    fn ask_again(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        if !self.is_waiting() && self.settle_for_partial(engine, now, step) {
            return;
        }
        let last = engine.lane(self.tried[self.tries - 1]);
        let due = self.last_sent + last.estimate.rto(engine.waits).clamp(AGAIN.0, AGAIN.1);
        if now < due {
            self.next_try = due;
            return;
        }
        let route = engine.choose_again(&self.tried[..self.tries], now, rng);
        let Some(route) = route.filter(|_| self.has_room()) else {
            if !self.is_waiting() {
                self.settle_for_poor(engine, now, step);
            }
            self.next_try = self.refused_until(now);
            return;
        };
        if !engine.budgets.under_ceiling(false, now) {
            self.next_try = self.refused_until(now);
            return;
        }
        step.send = Some(self.depart(engine, route, AttemptKind::Retry, now));
    }

    fn first(
        &mut self,
        engine: &mut Engine,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<Send, Refused> {
        let route = engine.choose_for(failed, now, rng)?;
        if engine.standing == Standing::Clear && engine.lane(route).rank < Rank::Suspect {
            engine.budgets.primary(now);
        } else if engine.standing == Standing::Clear {
            engine.budgets.doubtful(now);
        } else if !engine.budgets.under_ceiling(true, now) {
            return Err(Refused::Busy);
        }
        Ok(self.depart(engine, route, AttemptKind::Primary, now))
    }

    fn duplicate(
        &mut self,
        engine: &mut Engine,
        beside: RouteId,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<Send> {
        let route = engine.trial(beside, now, rng)?;
        Some(self.depart(engine, route, AttemptKind::Probe, now))
    }

    fn depart(
        &mut self,
        engine: &mut Engine,
        route: RouteId,
        kind: AttemptKind,
        now: Time,
    ) -> Send {
        let stream = kind == AttemptKind::StreamFallback;
        let attempt = engine.depart(route, kind, stream, now);
        let estimate = &engine.lane(route).estimate;
        let patience = if stream { STREAM_PATIENCE } else { 1 };
        let lost_at = now + estimate.rto(engine.waits) * patience;
        let flight = Flight {
            id: attempt,
            route,
            kind,
            lost_at,
            lost: false,
        };
        if let Some(slot) = self.flights.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(flight);
        }
        if kind != AttemptKind::Probe {
            if let Some(slot) = self.tried.get_mut(self.tries) {
                *slot = route;
                self.tries += 1;
            }
            self.last_sent = now;
            self.refused = 0;
            self.next_try = now + estimate.check_wait(engine.waits) * patience;
            self.hedge_at = now + estimate.hedge_wait(engine.waits) * patience;
        }
        Send {
            attempt,
            route,
            kind,
            stream,
        }
    }

    fn count_losses(&mut self, engine: &mut Engine, now: Time) {
        for flight in self.flights.iter_mut().flatten() {
            if !flight.lost && now >= flight.lost_at {
                flight.lost = true;
                engine.lose(flight.id, now);
                if flight.kind != AttemptKind::Probe {
                    self.next_try = self.next_try.min(now);
                }
            }
        }
    }

    /// The listeners' time is up.
    fn give_up(&mut self, engine: &mut Engine, now: Time) {
        for slot in &mut self.flights {
            if let Some(flight) = slot.take() {
                engine.land(flight.id, Outcome::TimedOut, now);
            }
        }
    }

    fn fail(&mut self, engine: &mut Engine, failure: Failure, now: Time, step: &mut Step) {
        if self.held.is_some() {
            return self.settle_for_poor(engine, now, step);
        }
        self.finish(Finish::Failed(failure), step);
    }

    fn finish(&mut self, finish: Finish, step: &mut Step) {
        debug_assert!(!self.finished, "a race finishes once");
        self.finished = true;
        step.finish = Some(finish);
    }

    fn close(&self, step: &mut Step, now: Time) {
        step.done = self.finished && !self.is_flying();
        if step.done {
            return;
        }
        let mut wake = self.ask.deadline.min(self.next_loss());
        if !self.finished {
            wake = wake.min(self.next_try);
            if let Some(held) = self.held {
                wake = wake.min(held.until);
            }
        }
        step.wake = Some(wake.max(now + Duration::from_micros(100)));
    }

    fn refused_until(&mut self, now: Time) -> Time {
        let wait = REFUSED_STEP * (1 << self.refused.min(4));
        self.refused += 1;
        now + wait
    }

    fn next_loss(&self) -> Time {
        let open = self.flying().filter(|flight| !flight.lost);
        open.map(|flight| flight.lost_at)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Something is under way that the question may still hope for.
    fn is_waiting(&self) -> bool {
        self.flying()
            .any(|flight| !flight.lost && flight.kind != AttemptKind::Probe)
    }

    fn is_flying(&self) -> bool {
        self.flying().next().is_some()
    }

    fn flying(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().flatten()
    }

    fn has_room(&self) -> bool {
        self.tries < MOST && self.flights.iter().any(Option::is_none)
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Flight> {
        let slot = self
            .flights
            .iter_mut()
            .find(|slot| slot.is_some_and(|f| f.id == attempt))?;
        slot.take()
    }
}
