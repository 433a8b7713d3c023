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

use smallvec::SmallVec;

use super::constants::race::attempts::*;
use super::engine::{Engine, Standing};
use super::precedence::Denial;
use super::selector::Rank;
use super::{About, AttemptId, AttemptKind, Outcome, RouteId, UpstreamId};
use super::{Ask, Failure, Finish, Purpose, Refused, Send, Step};
use crate::clock::Time;
use crate::wire::Rcode;

/// What an attempt is given of a route's wait.
fn patient(wait: Duration, kind: AttemptKind) -> Duration {
    match kind {
        AttemptKind::StreamFallback => wait * STREAM_PATIENCE,
        _ => wait,
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) id: AttemptId,
    pub(super) route: RouteId,
    pub(super) kind: AttemptKind,
    /// Counted as lost then.
    pub(super) lost_at: Time,
    pub(super) lost: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) attempt: AttemptId,
    pub(super) upstream: UpstreamId,
    pub(super) rcode: Option<Rcode>,
    pub(super) until: Time,
}

/// The race itself. It is moved into its question, so its usual case, an attempt and perhaps a hedge, is what it has
/// room for in place.
#[derive(Clone, Debug)]
pub struct Race {
    pub(super) ask: Ask,
    pub(super) started: Time,
    /// Attempts under way, in the order they were made; at most [`MOST`].
    pub(super) flights: SmallVec<[Flight; 2]>,
    /// Routes asked so far, with repetitions; at most [`MOST`].
    pub(super) tried: SmallVec<[RouteId; MOST]>,
    pub(super) held: Option<Held>,
    /// A denial that is held back, and the attempt that is about to bring one.
    pub(super) denial: Option<Denial>,
    pub(super) denying: Option<AttemptId>,
    /// Who answered uselessly.
    pub(super) useless: SmallVec<[UpstreamId; 2]>,
    pub(super) last_sent: Time,
    /// When a further attempt is considered, and from when on without looking for a stall first.
    pub(super) next_try: Time,
    pub(super) hedge_at: Time,
    pub(super) refused: u32,
    pub(super) reopened: bool,
    /// The last attempt could not be made, and none is under way.
    pub(super) short: bool,
    /// An answer was truncated; the driver holds what there is of it.
    pub(super) truncated: bool,
    pub(super) partial: bool,
    pub(super) finished: bool,
    /// ... with an answer.
    answered: bool,
    /// Those who come later extend it no further than this.
    pub(super) latest: Time,
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
            flights: SmallVec::new(),
            tried: SmallVec::new(),
            held: None,
            denial: None,
            denying: None,
            useless: SmallVec::new(),
            last_sent: now,
            next_try: Time::NEVER,
            hedge_at: Time::NEVER,
            refused: 0,
            reopened: false,
            short: false,
            truncated: false,
            partial: false,
            finished: false,
            answered: false,
        };
        let mut step = Step::default();
        let counts = !matches!(ask.purpose, Purpose::Probe(_)) && !ask.again;
        let pool = engine.pool_mut(ask.pool);
        let standing = pool.standing;
        if counts {
            pool.budgets.asked(now);
        }
        if counts && standing != Standing::Outage {
            pool.budgets.wanted(now);
        }
        match ask.purpose {
            Purpose::Probe(route) => {
                step.send = Some(race.depart(engine, route, AttemptKind::Probe, now));
                race.next_try = Time::NEVER;
            }
            Purpose::Client | Purpose::Held => {
                engine.pool_mut(ask.pool).last_question = now;
                if standing == Standing::Outage {
                    race.next_try = now;
                } else {
                    let send = race.first(engine, failed, now, rng)?;
                    step.send = Some(send);
                    step.also = race.duplicate(engine, send.route, now, rng);
                }
            }
            Purpose::Renewal => {
                engine.pool_mut(ask.pool).last_question = now;
                if standing == Standing::Outage {
                    return Err(Refused::Denied);
                }
                let send = race.first(engine, failed, now, rng)?;
                step.send = Some(send);
                step.also = race.duplicate(engine, send.route, now, rng);
            }
            Purpose::Refresh => {
                if standing != Standing::Clear {
                    return Err(Refused::Denied);
                }
                let route = engine.choose_for(ask.pool, failed, now, rng)?;
                if engine
                    .lane(route)
                    .limit
                    .load(engine.lane(route).queue.len())
                    > ROOM
                    || !engine.pool_mut(ask.pool).budgets.refresh(now)
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

    /// A client waits that has no stale answer to fall back on.
    pub fn is_needed(&mut self) {
        if matches!(self.ask.purpose, Purpose::Held | Purpose::Renewal) {
            self.ask.purpose = Purpose::Client;
        }
    }

    /// The time of the last step's wake has come, and all that has arrived until `now` was told.
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

    /// `attempt` ended, some time after `looked`, when the driver last saw that it had not: that is `now`
    /// itself unless the host has stalled. Attempts already ended are ignored.
    pub fn outcome(
        &mut self,
        engine: &mut Engine,
        attempt: AttemptId,
        outcome: Outcome,
        looked: Time,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Step {
        let mut step = Step::default();
        let Some(flight) = self.remove(attempt) else {
            self.close(&mut step, now);
            return step;
        };
        let timely = engine.land(attempt, outcome, looked, now);
        let upstream = engine.lane(flight.route).route.upstream;
        if timely {
            for other in &self.flights {
                if engine.lane(other.route).route.upstream != upstream {
                    engine.flights.outdone(other.id);
                }
            }
        }
        match outcome {
            Outcome::Answered => self.answered(engine, flight, upstream, now, &mut step),
            Outcome::Poor(rcode) if rcode != Rcode::NOTIMP => {
                self.poor(engine, flight, Some(rcode), now, rng, &mut step);
            }
            // Held back like a failure, but its code says that nobody is to blame: NOTIMP is said of a type.
            Outcome::Poor(_) | Outcome::Unfinished => {
                let rcode = Some(Rcode::NOERROR);
                self.poor(engine, flight, rcode, now, rng, &mut step);
            }
            Outcome::Lame | Outcome::Garbled => {
                self.poor(engine, flight, None, now, rng, &mut step);
            }
            Outcome::Truncated if !self.finished => {
                self.truncated = true;
                let streaming = self.flying().any(|f| f.kind == AttemptKind::StreamFallback);
                if !streaming && self.has_room() {
                    engine.pool_mut(self.ask.pool).budgets.forced(now);
                    step.send =
                        Some(self.depart(engine, flight.route, AttemptKind::StreamFallback, now));
                }
            }
            Outcome::Closed if !self.finished && !self.reopened && self.has_room() => {
                self.reopened = true;
                engine.pool_mut(self.ask.pool).budgets.forced(now);
                step.send = Some(self.depart(engine, flight.route, AttemptKind::Retry, now));
            }
            Outcome::Local if !self.finished && flight.kind != AttemptKind::Probe => {
                // Nothing was sent, and what is short now will be in a moment.
                let pause = REFUSED_STEP * (1 << self.tried.len().min(REFUSED_DOUBLINGS as usize));
                self.next_try = now + pause;
                self.hedge_at = now + pause;
                self.short = !self.is_waiting();
            }
            Outcome::Unreachable(_)
            | Outcome::HandshakeFailed(_)
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
    /// was the handshake and is not the round trip. Nor does it count for what is overdue or lost.
    pub fn connected(&mut self, engine: &mut Engine, attempt: AttemptId, now: Time) -> Step {
        let mut step = Step::default();
        let mut flights = self.flights.iter_mut();
        if let Some(flight) = flights.find(|flight| flight.id == attempt) {
            let route = flight.route;
            engine.connected(attempt, route, now);
            let estimate = &engine.lane(route).estimate;
            let kind = flight.kind;
            flight.lost_at = now + patient(estimate.rto(), kind);
            let newest = self.tried.last() == Some(&route);
            if newest && !flight.lost && kind != AttemptKind::Probe {
                self.next_try = now + patient(estimate.check_wait(), kind);
                self.hedge_at = now + patient(estimate.hedge_wait(), kind);
            }
        }
        self.close(&mut step, now);
        step
    }

    /// The host stalled between the decision to send `attempt` and the sending, which was over at `left`: all
    /// waits begin there.
    pub fn delayed(&mut self, engine: &mut Engine, attempt: AttemptId, left: Time) {
        let flight = self.flights.iter_mut().find(|it| it.id == attempt);
        let (Some(flight), Some(departed)) = (flight, engine.flights.get(attempt)) else {
            return;
        };
        let by = left.since(departed.sent);
        flight.lost_at = flight.lost_at + by;
        if flight.kind != AttemptKind::Probe && self.last_sent == departed.sent {
            self.last_sent = left;
            self.next_try = self.next_try + by;
            self.hedge_at = self.hedge_at + by;
        }
        engine.delayed(attempt, left);
    }

    fn answered(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        upstream: UpstreamId,
        now: Time,
        step: &mut Step,
    ) {
        if matches!(self.ask.purpose, Purpose::Probe(_)) {
            engine.probe_answered(flight.route);
        }
        if self.is_out_of_turn(engine, flight) {
            return;
        }
        if let Some(held) = self.held.take_if(|held| held.upstream != upstream) {
            engine.was_poor(held.upstream, self.ask.about, held.rcode, true, now);
        }
        for other in &self.flights {
            engine.vouch(other.id, now);
        }
        if self.finished || self.hold_denial(engine, flight, now, step) {
            return;
        }
        self.won(engine, flight.kind, now);
        self.finish(Finish::Answer(flight.id), step);
    }

    /// The answer of an attempt of this kind is used.
    pub(super) fn won(&self, engine: &mut Engine, kind: AttemptKind, now: Time) {
        match kind {
            AttemptKind::Hedge => engine.hedges.won += 1,
            AttemptKind::Retry => engine.hedges.retries_won += 1,
            _ => {}
        }
        engine.pool_mut(self.ask.pool).budgets.earn(now);
    }

    pub(super) fn first(
        &mut self,
        engine: &mut Engine,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<Send, Refused> {
        let held = matches!(self.ask.purpose, Purpose::Held | Purpose::Renewal);
        let pool = self.ask.pool;
        let route = match engine.choose_for(pool, failed, now, rng) {
            Err(Refused::Busy) if held => engine.choose_held(pool, now, rng)?,
            chosen => chosen?,
        };
        let suspect = engine.lane(route).rank >= Rank::Suspect;
        let pool = engine.pool_mut(pool);
        let doubtful = suspect || now < pool.aftermath;
        if pool.is_clear() && !doubtful {
            pool.budgets.primary(now);
        } else if pool.is_clear() {
            pool.budgets.doubtful(now);
        } else {
            let paid = match held {
                true => pool.budgets.renewal_under_ceiling(now),
                false => pool.budgets.first_under_ceiling(now),
            };
            if !paid {
                return Err(Refused::Busy);
            }
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
        // A question that may fail wherever it is asked measures nothing.
        if engine.is_mute(self.ask.about, beside, now) {
            return None;
        }
        let route = engine.trial(self.ask.pool, beside, now, rng)?;
        Some(self.depart(engine, route, AttemptKind::Probe, now))
    }

    pub(super) fn depart(
        &mut self,
        engine: &mut Engine,
        route: RouteId,
        kind: AttemptKind,
        now: Time,
    ) -> Send {
        let stream = kind == AttemptKind::StreamFallback;
        let about = match self.ask.purpose {
            Purpose::Probe(_) => About::PLAIN,
            _ => self.ask.about,
        };
        let attempt = engine.depart(route, kind, stream, about, now);
        let estimate = &engine.lane(route).estimate;
        let lost_at = now + patient(estimate.rto(), kind);
        let flight = Flight {
            id: attempt,
            route,
            kind,
            lost_at,
            lost: false,
        };
        if self.flights.len() < MOST {
            self.flights.push(flight);
        }
        if kind != AttemptKind::Probe {
            if self.tried.len() < MOST {
                self.tried.push(route);
            }
            self.last_sent = now;
            self.short = false;
            self.refused = 0;
            self.next_try = now + patient(estimate.check_wait(), kind);
            self.hedge_at = now + patient(estimate.hedge_wait(), kind);
        }
        Send {
            attempt,
            route,
            kind,
            stream,
        }
    }

    fn count_losses(&mut self, engine: &mut Engine, now: Time) {
        for flight in &mut self.flights {
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
        for flight in self.flights.drain(..) {
            engine.land(flight.id, Outcome::TimedOut, now, now);
        }
    }

    /// The race is broken off by a defect of byway: its attempts are taken out of the books and say nothing.
    pub fn break_off(self, engine: &mut Engine) {
        for flight in self.flights {
            engine.forget(flight.id);
        }
    }

    pub(super) fn fail(
        &mut self,
        engine: &mut Engine,
        failure: Failure,
        now: Time,
        step: &mut Step,
    ) {
        if self.denial.is_some() {
            return self.await_earlier(engine, now, step);
        }
        if self.held.is_some() {
            return self.settle_for_poor(engine, now, step);
        }
        if !matches!(
            failure,
            Failure::Outage | Failure::NoRoute | Failure::Overload
        ) {
            engine.unanswered(self.ask.about, &self.tried, self.started, now);
        }
        self.end_in_vain(engine, Finish::Failed(failure), None, step);
    }

    /// The question comes to nothing, or to a useless answer of this `rcode`.
    pub(super) fn end_in_vain(
        &mut self,
        engine: &mut Engine,
        finish: Finish,
        rcode: Option<Rcode>,
        step: &mut Step,
    ) {
        if self.ask.purpose == Purpose::Client {
            engine.asked_in_vain(self.ask.pool, self.ask.about, rcode);
        }
        self.finish(finish, step);
    }

    /// Whether the question was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    pub(super) fn finish(&mut self, finish: Finish, step: &mut Step) {
        debug_assert!(!self.finished, "a race finishes once");
        self.finished = true;
        self.answered = matches!(finish, Finish::Answer(_));
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
        step.wake = Some(wake.max(now + WAKE_LEAST));
    }

    pub(super) fn refused_until(&mut self, now: Time) -> Time {
        let wait = REFUSED_STEP * (1 << self.refused.min(REFUSED_DOUBLINGS));
        self.refused += 1;
        now + wait
    }

    pub(super) fn next_loss(&self) -> Time {
        let open = self.flying().filter(|flight| !flight.lost);
        open.map(|flight| flight.lost_at)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Something is under way that the question may still hope for.
    pub(super) fn is_waiting(&self) -> bool {
        self.flying()
            .any(|flight| !flight.lost && flight.kind != AttemptKind::Probe)
    }

    fn is_flying(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(super) fn flying(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter()
    }

    pub(super) fn has_room(&self) -> bool {
        self.tried.len() < MOST && self.flights.len() < MOST
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Flight> {
        let index = self.flights.iter().position(|it| it.id == attempt)?;
        Some(self.flights.remove(index))
    }
}
