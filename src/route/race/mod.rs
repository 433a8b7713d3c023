//! One question's way through its attempts.
//!
//! A race starts with one packet. When that one is overdue a hedge goes over another way; when it
//! failed, a retry. The first useful answer wins, and a useless one only when another server has
//! been asked too or none can be. The race then stays until its losers have answered or their time
//! is up: what they would have taken is what the routes are judged by.
//!
//! The driver owns bytes, sockets and timers: it sends what a [`Step`] says, and calls [`Race::timer`]
//! and [`Race::outcome`].

mod denial;
mod end;
mod retry;
mod state;

pub use state::Race;

use crate::clock::Time;
use crate::route::ask::{Ask, Failure, Finish, Purpose, Refused, Send, Step};
use crate::route::constants::race::attempts::*;
use crate::route::engine::Engine;
use crate::route::ids::{RouteId, UpstreamId};
use crate::route::measure::in_flight::AttemptId;
use crate::route::outcome::{AttemptKind, Outcome};
use crate::route::race::state::{Flight, patient};
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;
use crate::wire::Rcode;

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
        let mut race = Race::new(ask, now);
        let mut step = Step::default();
        engine.asked(ask, now);
        let standing = engine.standing_of(ask.pool);
        match (ask.purpose, standing) {
            (Purpose::Probe(route), _) => {
                step.send = Some(race.depart(engine, route, AttemptKind::Probe, now));
                race.next_try = Time::NEVER;
            }
            (Purpose::Client | Purpose::Held, Standing::Outage) => {
                race.next_try = now;
            }
            (Purpose::Renewal, Standing::Outage) => {
                return Err(Refused::Denied);
            }
            (Purpose::Client | Purpose::Held | Purpose::Renewal, _) => {
                let send = race.first(engine, failed, now, rng)?;
                step.send = Some(send);
                step.also = race.duplicate(engine, send.route, now, rng);
            }
            (Purpose::Refresh, Standing::Clear) => {
                let send = race.refresh(engine, failed, now, rng)?;
                step.send = Some(send);
                step.also = race.duplicate(engine, send.route, now, rng);
            }
            (Purpose::Refresh, _) => return Err(Refused::Denied),
        }
        race.close(&mut step, now);
        Ok((race, step))
    }

    /// The first packet of a question that the cache asks ahead of expiry: where there is room to spare.
    fn refresh(
        &mut self,
        engine: &mut Engine,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<Send, Refused> {
        let route = engine.choose_for(self.ask.pool, failed, now, rng)?;
        let full = engine.load_of(route) > ROOM && Rule::RefreshRoom.stands();
        if full || !engine.pay(self.ask.pool, Charge::Refresh, now) {
            return Err(Refused::Denied);
        }
        Ok(self.depart(engine, route, AttemptKind::Refresh, now))
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
        let upstream = engine.upstream_of(flight.route);
        if timely {
            for other in &self.flights {
                if engine.upstream_of(other.route) != upstream {
                    engine.answered_elsewhere(other.id);
                }
            }
        }
        self.follow(engine, flight, outcome, now, rng, &mut step);
        if !self.finished && matches!(self.ask.purpose, Purpose::Probe(_)) && !self.is_flying() {
            self.finish(Finish::Failed(Failure::Deadline), &mut step);
        }
        self.close(&mut step, now);
        step
    }

    /// What follows from the end of an attempt.
    fn follow(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        outcome: Outcome,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        let upstream = engine.upstream_of(flight.route);
        match outcome {
            Outcome::Answered => self.answered(engine, flight, upstream, now, step),
            Outcome::Poor(rcode) if rcode != Rcode::NOTIMP => {
                self.poor(engine, flight, Some(rcode), now, rng, step);
            }
            // Held back like a failure, but its code says that nobody is to blame: NOTIMP is said of a type.
            Outcome::Poor(_) | Outcome::Unfinished => {
                let rcode = Some(Rcode::NOERROR);
                self.poor(engine, flight, rcode, now, rng, step);
            }
            Outcome::Lame | Outcome::Garbled | Outcome::Untrusted(_) => {
                self.poor(engine, flight, None, now, rng, step);
            }
            Outcome::Truncated if !self.finished => {
                self.truncated = true;
                let streaming = self.flying().any(|f| f.kind == AttemptKind::StreamFallback);
                if !streaming && self.has_room() {
                    engine.pay(self.ask.pool, Charge::Forced, now);
                    step.send =
                        Some(self.depart(engine, flight.route, AttemptKind::StreamFallback, now));
                }
            }
            Outcome::Closed if self.may_reopen() => {
                self.reopened = true;
                engine.pay(self.ask.pool, Charge::Forced, now);
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
                self.go_on(engine, now, rng, step);
            }
            _ => {}
        }
    }

    /// Whether what a closed connection took may be asked once more over a new one.
    fn may_reopen(&self) -> bool {
        !self.finished && !self.reopened && self.has_room() && Rule::Reopen.stands()
    }

    /// The connection that `attempt` waited for stands, and the query goes out now: what passed before
    /// was the handshake and is not the round trip. Nor does it count for what is overdue or lost.
    pub fn connected(&mut self, engine: &mut Engine, attempt: AttemptId, now: Time) -> Step {
        let mut step = Step::default();
        let mut flights = self.flights.iter_mut();
        if let Some(flight) = flights.find(|flight| flight.id == attempt) {
            let route = flight.route;
            engine.connected(attempt, route, now);
            let waits = engine.waits_of(route);
            let kind = flight.kind;
            flight.lost_at = now + patient(waits.lost, kind);
            let newest = self.tried.last() == Some(&route);
            if newest && !flight.lost && kind != AttemptKind::Probe {
                self.next_try = now + patient(waits.check, kind);
                self.hedge_at = now + patient(waits.hedge, kind);
            }
        }
        self.close(&mut step, now);
        step
    }

    /// The host stalled between the decision to send `attempt` and the sending, which was over at `left`: all
    /// waits begin there.
    pub fn delayed(&mut self, engine: &mut Engine, attempt: AttemptId, left: Time) {
        let flight = self.flights.iter_mut().find(|it| it.id == attempt);
        let (Some(flight), Some(sent)) = (flight, engine.sent(attempt)) else {
            return;
        };
        let by = left.since(sent);
        flight.lost_at = flight.lost_at + by;
        if flight.kind != AttemptKind::Probe && self.last_sent == sent {
            self.last_sent = left;
            self.next_try = self.next_try + by;
            self.hedge_at = self.hedge_at + by;
        }
        engine.delayed(attempt, left);
    }

    pub(in crate::route) fn answered(
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
    pub(in crate::route) fn give_up(&mut self, engine: &mut Engine, now: Time) {
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
}

#[cfg(test)]
mod tests;
