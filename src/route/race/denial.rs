//! Whose word counts, where upstreams are no equals.
//!
//! With the policy `ordered`, and where some upstreams are backups, they need not know the same names: the first may
//! serve names that the second, a public resolver, denies. So what a later one denies (RFC 2308) is held back for as
//! long as one before it may still say otherwise, as the system's resolver would have waited for that one first. And a
//! duplicate that was sent to measure a later one never answers a question that one before it was asked.

use crate::clock::Time;
use crate::route::ask::{Finish, Purpose, Step};
use crate::route::constants::race::denial::*;
use crate::route::engine::Engine;
use crate::route::ids::RouteId;
use crate::route::outcome::AttemptKind;
use crate::route::race::state::{Denial, Flight, Race};
use crate::route::rules::Rule;

impl Race {
    /// Whether what came over `flight` is no answer to this question: it was sent to measure a server that comes after one
    /// that was asked.
    pub(super) fn is_out_of_turn(&self, engine: &Engine, flight: Flight) -> bool {
        let before = |&asked: &RouteId| engine.comes_before(self.ask.pool, asked, flight.route);
        Rule::OutOfTurn.stands()
            && flight.kind == AttemptKind::Probe
            && !matches!(self.ask.purpose, Purpose::Probe(_))
            && self.tried.iter().any(before)
    }

    /// Holds back what `flight` brought if that is a denial and somebody who comes before may still say otherwise. False if
    /// it is the answer.
    pub(super) fn hold_denial(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        now: Time,
        step: &mut Step,
    ) -> bool {
        let counts = self.denying != Some(flight.id) || !Rule::HoldDenial.stands();
        if counts || matches!(self.ask.purpose, Purpose::Probe(_)) {
            return false;
        }
        let until = self.denial.map_or(now + HELD, |it| it.until);
        self.denial = Some(Denial { flight, until });
        self.await_earlier(engine, now, step);
        true
    }

    /// A denial is held back: asks or waits for those who come before, or takes it for the answer.
    pub(super) fn await_earlier(&mut self, engine: &mut Engine, now: Time, step: &mut Step) {
        let Some(Denial { flight, until }) = self.denial else {
            return;
        };
        if now < until && now < self.ask.deadline {
            let earlier = |it: &&Flight| {
                it.kind != AttemptKind::Probe
                    && engine.comes_before(self.ask.pool, it.route, flight.route)
                    && engine.may_answer(self.ask.pool, it.route)
            };
            let (hoped, lost) = self
                .flying()
                .filter(earlier)
                .fold((false, true), |(_, lost), it| (true, lost && it.lost));
            if !lost {
                self.next_try = (now + STEP).min(until);
                return;
            }
            if let Some(route) = self.earlier_to_ask(engine, flight.route)
                && engine.pays_for_earlier(self.ask.pool, self.tries_at(engine, route), now)
            {
                step.send = Some(self.depart(engine, route, AttemptKind::Retry, now));
                self.next_try = (now + STEP).min(until);
                return;
            }
            if hoped {
                self.next_try = (now + STEP).min(until);
                return;
            }
        }
        self.denial = None;
        self.won(engine, flight.kind, now);
        self.finish(Finish::Answer(flight.id), step);
    }

    pub(in crate::route) fn tries_at(&self, engine: &Engine, route: RouteId) -> usize {
        engine.tries_at(&self.tried, engine.upstream_of(route))
    }

    /// Who comes before `denier` and is worth asking.
    fn earlier_to_ask(&self, engine: &Engine, denier: RouteId) -> Option<RouteId> {
        let room = self.has_room();
        room.then(|| engine.earlier_to_ask(self.ask.pool, denier, &self.tried, &self.useless))?
    }
}

#[cfg(test)]
mod tests;
