//! A question's further attempts, or its end: hedges, retries, another server after a useless answer, and
//! what it waits for meanwhile.

use std::time::Duration;

use crate::clock::Time;
use crate::route::ask::{Failure, Finish, Purpose, Refused, Send, Step};
use crate::route::chance::unit;
use crate::route::choose::Tried;
use crate::route::constants::race::attempts::*;
use crate::route::engine::Engine;
use crate::route::ids::RouteId;
use crate::route::outcome::AttemptKind;
use crate::route::race::state::{Flight, Held, Race};
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;
use crate::wire::Rcode;

/// What came of the wish to ask another server.
pub(super) enum Elsewhere {
    Asked(Send),
    /// The budget has nothing for it now.
    Denied,
    /// There is none that was not asked.
    Nobody,
}

impl Race {
    pub(in crate::route) fn first(
        &mut self,
        engine: &mut Engine,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<Send, Refused> {
        let held = matches!(self.ask.purpose, Purpose::Held | Purpose::Renewal);
        let pool = self.ask.pool;
        let route = match engine.choose_for(pool, failed, now, rng) {
            Err(Refused::Busy) if held || self.ask.light => engine.choose_held(pool, now, rng)?,
            chosen => chosen?,
        };
        if !engine.pay_first(pool, route, held, now) {
            return Err(Refused::Busy);
        }
        Ok(self.depart(engine, route, AttemptKind::Primary, now))
    }

    /// A useless answer came. It is held back until another server has spoken, or none can be asked.
    pub(in crate::route) fn poor(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        rcode: Option<Rcode>,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        if matches!(self.ask.purpose, Purpose::Probe(_)) {
            return engine.probe_was_poor(flight.route, rcode, now);
        }
        let upstream = engine.upstream_of(flight.route);
        if self.finished {
            // A loser; what it was compared with has answered, if anybody has.
            if self.is_answered() {
                engine.was_poor(upstream, self.ask.about, rcode, true, now);
            }
            return;
        }
        self.useless.push(upstream);
        if self.denial.is_some() {
            engine.was_poor(upstream, self.ask.about, rcode, true, now);
            return self.await_earlier(engine, now, step);
        }
        match self.held {
            Some(held) if held.upstream != upstream && Rule::TwoAgree.stands() => {
                // Two servers say so: it is the name, and nobody's fault.
                self.held = None;
                engine.unanswered(self.ask.about, &self.tried, self.started, now);
                self.end_in_vain(engine, Finish::Poor(held.attempt), held.rcode, now, step);
                return;
            }
            Some(_) => {}
            None => {
                let until = match Rule::HoldUseless.stands() {
                    true => now + POOR_HELD,
                    false => now,
                };
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
                engine.denied(AttemptKind::Retry);
                self.next_try = self.refused_until(now);
            }
            Elsewhere::Nobody if self.is_waiting() => self.next_try = self.next_loss(),
            Elsewhere::Nobody => self.settle_for_poor(engine, now, step),
        }
    }

    /// After a useless answer: another server, if it can be had and paid.
    fn ask_elsewhere(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Elsewhere {
        let pool = self.ask.pool;
        if !self.has_room() || engine.standing_of(pool) == Standing::Outage {
            return Elsewhere::Nobody;
        }
        let tried = Tried {
            routes: &self.tried,
            useless: self.held.map(|held| held.upstream),
            clear_only: false,
        };
        let chosen = engine
            .choose_other(pool, tried, now, unit(rng))
            .or_else(|| engine.choose_rested(pool, tried, now));
        // A server that was asked in vain has not spoken yet, and is asked once more over another path when
        // nothing is to be hoped for from the first.
        let waiting = self.is_waiting();
        let anew = |&route: &RouteId| {
            !waiting || engine.tries_at(&self.tried, engine.upstream_of(route)) == 0
        };
        let Some(route) = chosen.filter(anew) else {
            return Elsewhere::Nobody;
        };
        match engine.pay_elsewhere(pool, now) {
            true => Elsewhere::Asked(self.depart(engine, route, AttemptKind::Retry, now)),
            false => Elsewhere::Denied,
        }
    }

    /// Considers a further attempt, or the end.
    pub(super) fn go_on(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        if now >= self.ask.deadline {
            let failure = match engine.standing_of(self.ask.pool) {
                Standing::Outage => Failure::Outage,
                _ => Failure::Deadline,
            };
            return self.fail(engine, failure, now, step);
        }
        if self.denial.is_some() {
            return self.await_earlier(engine, now, step);
        }
        if self.held.is_some_and(|held| now >= held.until) {
            return self.settle_for_poor(engine, now, step);
        }
        if matches!(self.ask.purpose, Purpose::Probe(_)) {
            return;
        }
        if self.short && now >= self.started + SHORT && Rule::Short.stands() {
            return self.fail(engine, Failure::Shortage, now, step);
        }
        if engine.standing_of(self.ask.pool) == Standing::Outage {
            return self.await_its_end(engine, now, step);
        }
        if now < self.next_try {
            return;
        }
        let clear = engine.standing_of(self.ask.pool) == Standing::Clear;
        if self.held.is_some() && !self.is_waiting() {
            return self.try_another_server(engine, now, rng, step);
        }
        if self.tried.is_empty() {
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

    /// Everything is dead: waits a while for that to be over.
    fn await_its_end(&mut self, engine: &mut Engine, now: Time, step: &mut Step) {
        let doubt = |flight: &Flight| match engine.is_measured(flight.route) {
            _ if !Rule::HoldAsked.stands() => Duration::ZERO,
            true => HOLD_ASKED,
            false if !Rule::HoldUnmeasured.stands() => HOLD_ASKED,
            false => HOLD_UNMEASURED,
        };
        let asked = self.flying().filter(|it| it.kind != AttemptKind::Probe);
        let doubted = asked.map(doubt).max();
        let in_doubt =
            doubted.is_some_and(|doubt| now < engine.stands_since(self.ask.pool) + doubt);
        let held = now >= self.started + HOLD || !Rule::HoldOutage.stands();
        if held && !in_doubt && !self.is_waiting() {
            return self.fail(engine, Failure::Outage, now, step);
        }
        self.next_try = now + HOLD_STEP;
    }

    fn hedge_or_retry(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        let due = match self.is_its_own_fault(engine) {
            true => self.ask.deadline,
            false => self.backed_off(),
        };
        if now < due {
            self.next_try = due;
            return;
        }
        let waiting = self.is_waiting();
        let last = self.tried[self.tried.len() - 1];
        let given_up = !waiting && now >= self.started + HOLD && Rule::Overloaded.stands();
        if given_up && engine.is_overloaded(last, now) {
            return self.fail(engine, Failure::Overload, now, step);
        }
        let stalls = engine.is_stalled(last, now) && Rule::EarlyHedge.stands();
        if waiting && now < self.hedge_at && !stalls {
            self.next_try = self.hedge_at;
            return;
        }
        let tried = Tried {
            routes: &self.tried,
            useless: None,
            clear_only: waiting,
        };
        let other = engine.choose_other(self.ask.pool, tried, now, unit(rng));
        let route = match waiting {
            true => other.filter(|_| Rule::Hedge.stands()),
            false => other.or_else(|| engine.choose_again(self.ask.pool, &self.tried, now, rng)),
        };
        let same = route.is_some_and(|route| self.tried.contains(&route));
        if !waiting && (same || route.is_none()) && self.settle_for_partial(engine, now, step) {
            return;
        }
        if same && now < self.last_sent + SAME_AGAIN && Rule::SameAgain.stands() {
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
        step.send = self.pay_and_send(engine, route, waiting, now);
    }

    /// Sends a hedge, or a retry if nothing is `waiting`, over `route` if it can be paid.
    fn pay_and_send(
        &mut self,
        engine: &mut Engine,
        route: RouteId,
        waiting: bool,
        now: Time,
    ) -> Option<Send> {
        let has_room = engine.load_of(route) < ROOM;
        let urgent = engine.is_well(route) && has_room;
        // A question that has nothing left under way is asked again as it would be under the ceiling.
        let stranded = !waiting && has_room && Rule::Stranded.stands();
        let charge = if urgent {
            Charge::Urgent
        } else {
            Charge::Extra
        };
        let pool = self.ask.pool;
        let paid = engine.pay(pool, charge, now)
            || (stranded && engine.pay(pool, self.charge_again(), now));
        let kind = match waiting {
            true => AttemptKind::Hedge,
            false => AttemptKind::Retry,
        };
        if !paid {
            engine.denied(kind);
            self.next_try = self.refused_until(now);
            return None;
        }
        Some(self.depart(engine, route, kind, now))
    }

    /// Nothing is clear: patiently, under the ceiling.
    pub(in crate::route) fn ask_again(
        &mut self,
        engine: &mut Engine,
        now: Time,
        rng: &mut impl rand::Rng,
        step: &mut Step,
    ) {
        if !self.is_waiting() && self.settle_for_partial(engine, now, step) {
            return;
        }
        if self.ask.purpose == Purpose::Renewal && Rule::RenewalOnce.stands() {
            // Nobody waits. The next client that gets a stale answer has it asked for again.
            match self.is_waiting() {
                true => self.next_try = self.next_loss(),
                false => self.fail(engine, Failure::Overload, now, step),
            }
            return;
        }
        let last = self.tried[self.tried.len() - 1];
        let due = self.last_sent + engine.waits_of(last).lost.clamp(AGAIN_LEAST, AGAIN_MOST);
        if now < due && Rule::PatientAgain.stands() {
            self.next_try = due;
            return;
        }
        let route = engine.choose_again(self.ask.pool, &self.tried, now, rng);
        let Some(route) = route.filter(|_| self.has_room()) else {
            if !self.is_waiting() {
                self.settle_for_poor(engine, now, step);
            }
            self.next_try = self.refused_until(now);
            return;
        };
        if !engine.pay(self.ask.pool, self.charge_again(), now) {
            self.next_try = self.refused_until(now);
            return;
        }
        step.send = Some(self.depart(engine, route, AttemptKind::Retry, now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::observe::said::Reason;
    use crate::route::ask::Ask;
    use crate::route::outcome::Outcome;
    use crate::route::testing::grid;

    /// Three upstreams over two paths that have answered in 2 ms so far, and one more question: when its packets
    /// go out, after the first, if each of them `ends` so, or not at all.
    pub(in crate::route) fn sent(ends: Option<Outcome>) -> Vec<Duration> {
        let rng = &mut StdRng::seed_from_u64(1);
        let mut engine = Engine::new(&grid(3, &["eth1", "eth2"]), Time::START);
        let mut now = Time::START;
        let ask = |now: Time| Ask {
            about: crate::route::About::PLAIN,
            purpose: Purpose::Client,
            deadline: now + Duration::from_secs(4),
            again: false,
            light: false,
            pool: crate::route::PoolId::MAIN,
        };
        let round_trip = Duration::from_millis(2);
        for _ in 0..600 {
            now = now + Duration::from_millis(20);
            engine.tick(now, rng);
            let (mut race, step) = Race::start(&mut engine, &ask(now), now, rng).expect("a route");
            for send in [step.send, step.also].into_iter().flatten() {
                let (id, back) = (send.attempt, now + round_trip);
                race.outcome(&mut engine, id, Outcome::Answered, back, back, rng);
            }
        }
        let started = now;
        let (mut race, mut step) = Race::start(&mut engine, &ask(now), now, rng).expect("a route");
        let mut sent = Vec::new();
        while step.finish.is_none() && now < started + Duration::from_secs(3) {
            now = now + Duration::from_millis(1);
            step = match step.send {
                Some(send) => {
                    sent.push(now.since(started + Duration::from_millis(1)));
                    match ends {
                        Some(outcome) => {
                            race.outcome(&mut engine, send.attempt, outcome, now, now, rng)
                        }
                        None => race.timer(&mut engine, now, rng),
                    }
                }
                None => race.timer(&mut engine, now, rng),
            };
        }
        sent
    }

    #[test]
    fn silence_is_answered_by_patience() {
        let sent = sent(None);
        assert!(sent.len() >= 3, "{sent:?}");
        assert!(
            sent[1] < Duration::from_millis(100),
            "a hedge is one: {sent:?}"
        );
        for (number, at) in (2..).zip(&sent[2..]) {
            assert!(*at >= BACK_OFF * ((1 << (number - 1)) - 1), "{sent:?}");
        }
    }

    #[test]
    fn what_fails_for_a_reason_is_asked_elsewhere_at_once() {
        let sent = sent(Some(Outcome::Unreachable(Reason::REFUSED)));
        assert!(sent.len() >= 3, "{sent:?}");
        assert!(sent[2] < BACK_OFF, "{sent:?}");
    }
}
