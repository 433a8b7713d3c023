//! A question's attempts: made as the race says, told to it as they end.

use smallvec::SmallVec;

use super::core::Core;
use super::lookout::STALL;
use super::question::{Attempt, Question, Stage, Why};
use crate::clock::Time;
use crate::net::{Exchanges, Outgoing, Tag};
use crate::observe::metrics::{self, Counter};
use crate::route::{
    Ask, AttemptId, AttemptKind, Carriage, Failure, Finish, Outcome, Purpose, Race, Refused,
    RouteId, Send, Step,
};
use crate::wire::{Answer, Ede, Rcode, Response};

impl<X: Exchanges> Core<X> {
    /// Begins the race of a question that is queued, or leaves it in the queue.
    pub(super) fn start(&mut self, slot: usize, now: Time) {
        let question = &self.questions[slot];
        let deadline = question.waiters.iter().map(|waiter| waiter.deadline).max();
        let ask = Ask {
            purpose: match question.why {
                Why::Client => Purpose::Client,
                Why::Refresh => Purpose::Refresh,
                Why::Probe(route) => Purpose::Probe(route),
            },
            deadline: deadline.unwrap_or(now + self.shared.deadline),
        };
        let mut failed = Failed::default();
        self.shared
            .failures
            .routes_failed(question.key.by_ref(), question.hash, now, |route| {
                failed.add(route)
            });
        let started = {
            let mut engine = self.shared.engine();
            Race::start_elsewhere(&mut engine, &ask, failed.routes(), now, &mut self.rng)
        };
        match started {
            Ok((race, step)) => {
                let question = &mut self.questions[slot];
                (question.stage, question.race) = (Stage::Racing, Some(race));
                self.apply(slot, step, None, now);
            }
            Err(Refused::Busy) if ask.purpose == Purpose::Client => self.queue(slot, now),
            Err(refused) => self.refused(slot, refused, now),
        }
    }

    /// Does what the race says. `answer` is what an attempt has just brought, if the race may want it.
    fn apply(&mut self, slot: usize, step: Step, answer: Option<(Answer, RouteId)>, now: Time) {
        let Some(question) = self.questions.get_mut(slot) else {
            return;
        };
        question.race_wake = step.wake.unwrap_or(Time::NEVER);
        if let Some(send) = step.send {
            self.launch(slot, send, now);
        }
        if let Some(also) = step.also {
            self.launch(slot, also, now);
        }
        match step.finish {
            Some(Finish::Answer(_)) => match answer {
                Some((answer, route)) => self.settle_answered(slot, answer, route, now),
                None => self.settle_failed(slot, Failure::Deadline, now),
            },
            Some(Finish::Poor(_)) => self.settle_poor(slot, now),
            Some(Finish::Failed(failure)) => self.settle_failed(slot, failure, now),
            None => {}
        }
        if step.done && self.questions.contains(slot) {
            self.free(slot, now);
        } else if self.questions.contains(slot) {
            self.schedule(slot, now);
        }
    }

    fn launch(&mut self, slot: usize, send: Send, now: Time) {
        let attempt = Attempt {
            question: slot as u32,
            id: send.attempt,
            route: send.route,
            kind: send.kind,
            stream: send.stream,
            edns: self
                .shared
                .peers
                .speaks_edns(self.shared.upstream_of(send.route), now),
            sent: now,
            handle: None,
        };
        self.metrics
            .sent(usize::from(send.route.0), kind_label(send.kind));
        let tag = self.attempts.insert(attempt) as Tag;
        self.questions[slot].attempts.push(tag);
        self.leaving.push(tag);
        self.dispatch(tag, now);
    }

    /// Hands an attempt to the exchanges.
    fn dispatch(&mut self, tag: Tag, now: Time) {
        let attempt = &mut self.attempts[tag as usize];
        let question = &self.questions[attempt.question as usize];
        let key = question.key.by_ref();
        let outgoing = Outgoing {
            question: key.question(),
            rd: question.rd,
            cd: key.checking_disabled(),
            dnssec_ok: key.dnssec_ok(),
            edns: attempt.edns,
        };
        match self
            .exchanges
            .send(tag, attempt.route, attempt.stream, &outgoing, now)
        {
            Ok(handle) => attempt.handle = Some(handle),
            Err(outcome) => self.failed.push((tag, outcome)),
        }
    }

    /// An upstream's response to the attempt `tag`, already checked against what was sent.
    /// It came after `looked`, when it was last looked for: `now` itself unless the host has stalled.
    pub fn response(&mut self, tag: Tag, response: &Response<'_>, looked: Time, now: Time) {
        if let Some(heard) = self.hear(tag, response, looked, now) {
            self.act_on(heard, now);
        }
        self.heard_all(now);
    }

    /// The first half of [`Core::response`], for all responses that came together before
    /// [`Core::act_on`] for each and [`Core::heard_all`] in the end: each half is about as much code as a CPU
    /// keeps close by.
    pub fn hear(
        &mut self,
        tag: Tag,
        response: &Response<'_>,
        looked: Time,
        now: Time,
    ) -> Option<Heard> {
        let attempt = self.attempts.get_mut(tag as usize)?;
        if attempt.edns && refuses_edns(response) {
            // The same attempt goes on, as the upstream understands it (RFC 6891 section 7).
            attempt.edns = false;
            let route = attempt.route;
            self.metrics.edns_fallback(usize::from(route.0));
            self.shared
                .peers
                .refused_edns(self.shared.upstream_of(route), now);
            self.dispatch(tag, now);
            return None;
        }
        let outcome = outcome_of(response, attempt.stream);
        let route = attempt.route;
        let (slot, step) = self.tell(tag, outcome, looked, now)?;
        let question = &mut self.questions[slot];
        let mut answer = None;
        match outcome {
            Outcome::Answered if step.wins() || !question.answered => {
                answer = Some(response.to_answer());
            }
            Outcome::Poor(_)
                if question.stage == Stage::Racing && question.second.poor.is_none() =>
            {
                question.second.poor = Some(response.to_answer());
            }
            // Without records it would look like "there is nothing" to who asks over a stream.
            Outcome::Truncated
                if question.stage == Stage::Racing
                    && question.second.partial.is_none()
                    && response.lowest_ttl().is_some() =>
            {
                question.second.partial = Some(response.to_answer());
                if let Some(race) = &mut question.race {
                    race.hold_partial();
                }
            }
            _ => {}
        }
        Some(Heard {
            slot,
            step,
            answer,
            route,
        })
    }

    /// The second half of [`Core::response`].
    pub fn act_on(&mut self, heard: Heard, now: Time) {
        let Heard {
            slot,
            step,
            answer,
            route,
        } = heard;
        let late = |question: &Question| question.stage != Stage::Racing;
        match answer {
            Some(answer) if self.questions.get(slot).is_some_and(late) => {
                self.keep_late(slot, answer, route, now);
                self.apply(slot, step, None, now);
            }
            answer => self.apply(slot, step, answer.map(|answer| (answer, route)), now),
        }
    }

    /// Ends a round of [`Core::hear`] and [`Core::act_on`]: what they left room for begins.
    pub fn heard_all(&mut self, now: Time) {
        self.settle_failed_sends(now);
        self.work_off_backlog(now);
    }

    /// Whether this turn has made attempts.
    pub fn is_sending(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// What the turn that began at `now` has sent was on the wire by `left`. If the host stalled in between,
    /// the attempts' waits begin only then. To be told after every turn that is sending.
    pub fn left(&mut self, now: Time, left: Time) {
        if left.since(now) <= STALL {
            return self.leaving.clear();
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        for tag in leaving.drain(..) {
            let Some(attempt) = self.attempts.get_mut(tag as usize) else {
                continue;
            };
            attempt.sent = left;
            let question = self.questions.get_mut(attempt.question as usize);
            if let Some(race) = question.and_then(|question| question.race.as_mut()) {
                race.delayed(&mut self.shared.engine(), attempt.id, left);
            }
        }
        self.leaving = leaving;
    }

    /// The host has stalled: until `until` no answer is overdue.
    pub fn host_stalled(&mut self, until: Time) {
        self.shared.engine().host_stalled(until);
    }

    /// The connection that the attempt `tag` waited for stands: its round trip begins now.
    pub fn connected(&mut self, tag: Tag, now: Time) {
        let Some(attempt) = self.attempts.get_mut(tag as usize) else {
            return;
        };
        attempt.sent = now;
        let (slot, id) = (attempt.question as usize, attempt.id);
        let question = self.questions.get_mut(slot);
        if let Some(race) = question.and_then(|question| question.race.as_mut()) {
            let step = race.connected(&mut self.shared.engine(), id, now);
            self.apply(slot, step, None, now);
        }
    }

    /// What the kernel says of the connection on which the attempt `tag` is answered now.
    pub fn carried(&mut self, tag: Tag, carriage: &Carriage, now: Time) {
        if let Some(attempt) = self.attempts.get(tag as usize) {
            let mut engine = self.shared.engine();
            engine.carried(attempt.id, carriage, true, now);
        }
    }

    /// The attempt `tag` ended without a usable response.
    pub fn attempt_failed(&mut self, tag: Tag, outcome: Outcome, now: Time) {
        if let Some((slot, step)) = self.tell(tag, outcome, now, now) {
            self.apply(slot, step, None, now);
        }
    }

    /// Tells the race how an attempt ended.
    fn tell(
        &mut self,
        tag: Tag,
        outcome: Outcome,
        looked: Time,
        now: Time,
    ) -> Option<(usize, Step)> {
        let attempt = self.attempts.try_remove(tag as usize)?;
        let slot = attempt.question as usize;
        let question = self.questions.get_mut(slot)?;
        question.attempts.retain(|other| *other != tag);
        let late = question.answered || question.stage == Stage::Settled;
        let race = question.race.as_mut()?;
        let step = {
            let mut engine = self.shared.engine();
            race.outcome(&mut engine, attempt.id, outcome, looked, now, &mut self.rng)
        };
        question.answered |= step.wins();
        self.remember(&self.questions[slot], attempt.route, outcome, now);
        self.count(&attempt, label(outcome, late), step.wins(), now);
        Some((slot, step))
    }

    /// Remembers what the attempt at a question over one route came to, if that says something of the question
    /// there: the next time another server is asked first (RFC 9520 section 3.1).
    fn remember(&self, question: &Question, route: RouteId, outcome: Outcome, now: Time) {
        if !question.is_shared() {
            return;
        }
        let (key, hash) = (question.key.by_ref(), question.hash);
        let failures = &self.shared.failures;
        let ede = match outcome {
            Outcome::Answered => return failures.clear(key, hash, Some(route.0)),
            Outcome::Poor(_) | Outcome::Mismatched | Outcome::Garbled => {
                Ede::NO_REACHABLE_AUTHORITY
            }
            // Where the route is well and another has answered, it is the question. Where it is not, every
            // question is lost there.
            Outcome::TimedOut if question.answered && self.shared.engine().is_clear(route) => {
                Ede::NETWORK_ERROR
            }
            _ => return,
        };
        failures.record(key, hash, Some(route.0), ede.code, now);
    }

    /// Tells the races about attempts that could not even be sent.
    pub(super) fn settle_failed_sends(&mut self, now: Time) {
        while let Some((tag, outcome)) = self.failed.pop() {
            self.attempt_failed(tag, outcome, now);
        }
    }

    /// The race's timer.
    pub(super) fn race_timer(&mut self, slot: usize, now: Time) {
        let carried = self.carriages(slot, now);
        let question = &mut self.questions[slot];
        let step = match &mut question.race {
            None if question.stage == Stage::Queued => return self.turn_away(slot, now),
            None => return,
            Some(race) => {
                let mut engine = self.shared.engine();
                for (id, carriage) in &carried {
                    engine.carried(*id, carriage, false, now);
                }
                race.timer(&mut engine, now, &mut self.rng)
            }
        };
        self.apply(slot, step, None, now);
    }

    /// What the kernel says of the connections that a question waits on.
    fn carriages(&mut self, slot: usize, now: Time) -> SmallVec<[(AttemptId, Carriage); 2]> {
        let tags = &self.questions[slot].attempts;
        let carriage = |tag: &Tag| {
            let attempt = self.attempts.get(*tag as usize)?;
            let carriage = self.exchanges.carriage(attempt.handle?, *tag, now)?;
            Some((attempt.id, carriage))
        };
        tags.iter().filter_map(carriage).collect()
    }

    /// Counts an attempt's end. `won` says whether it settled the question.
    fn count(&self, attempt: &Attempt, outcome: metrics::Outcome, won: bool, now: Time) {
        let route = usize::from(attempt.route.0);
        self.metrics
            .attempt(route, outcome, now.since(attempt.sent));
        let counter = match (attempt.kind, won) {
            (AttemptKind::Hedge, true) => Counter::HedgeWon,
            (AttemptKind::Hedge, false) => Counter::HedgeLost,
            (AttemptKind::Retry, true) => Counter::RetryWon,
            (AttemptKind::Retry, false) => Counter::RetryLost,
            _ => return,
        };
        self.metrics.count(counter, 1);
    }

    /// Begins the newest of the queued questions for as long as there is room.
    pub(super) fn work_off_backlog(&mut self, now: Time) {
        while !self.backlog.is_empty() && self.shared.engine().has_room(now) {
            let Some((slot, generation)) = self.backlog.newest() else {
                break;
            };
            let question = self.questions.get(slot as usize);
            let queued = question.is_some_and(|question| {
                question.generation == generation && question.stage == Stage::Queued
            });
            if queued {
                self.start(slot as usize, now);
                self.settle_failed_sends(now);
                // Still no room: it queued itself again.
                if self.backlog.is_newest((slot, generation)) {
                    break;
                }
            }
        }
    }

    fn queue(&mut self, slot: usize, now: Time) {
        let question = &mut self.questions[slot];
        let entry = (slot as u32, question.generation);
        let patience = self.backlog.push(entry, self.shared.queue_patience, now);
        question.race_wake = question.race_wake.min(now + patience);
        self.schedule(slot, now);
    }

    /// Forgets a question whose race is over; attempts that are still out were lost.
    pub(super) fn free(&mut self, slot: usize, now: Time) {
        for tag in std::mem::take(&mut self.questions[slot].attempts) {
            let Some(attempt) = self.attempts.try_remove(tag as usize) else {
                continue;
            };
            self.count(&attempt, metrics::Outcome::TimedOut, false, now);
            if let Some(handle) = attempt.handle {
                self.exchanges.forget(handle, tag);
            }
            self.remember(&self.questions[slot], attempt.route, Outcome::TimedOut, now);
        }
        self.remove(slot);
    }
}

/// What a response came to, and what is still to be done for it: see [`Core::hear`].
#[derive(Debug)]
pub struct Heard {
    slot: usize,
    step: Step,
    answer: Option<Answer>,
    route: RouteId,
}

impl Step {
    /// Whether the outcome that was told is the answer.
    fn wins(&self) -> bool {
        matches!(self.finish, Some(Finish::Answer(_)))
    }
}

/// The routes over which a question has failed lately; no more than can be remembered.
struct Failed {
    routes: [RouteId; 8],
    count: usize,
}

impl Default for Failed {
    fn default() -> Failed {
        Failed {
            routes: [RouteId(0); 8],
            count: 0,
        }
    }
}

impl Failed {
    fn add(&mut self, route: u16) {
        if let Some(place) = self.routes.get_mut(self.count) {
            *place = RouteId(route);
            self.count += 1;
        }
    }

    fn routes(&self) -> &[RouteId] {
        &self.routes[..self.count]
    }
}

/// Whether a response says that EDNS is not understood: FORMERR or NOTIMP without EDNS of its own, or
/// BADVERS to version 0.
fn refuses_edns(response: &Response<'_>) -> bool {
    match response.rcode() {
        Rcode::FORMERR | Rcode::NOTIMP => !response.has_opt(),
        rcode => rcode == Rcode::BADVERS,
    }
}

fn outcome_of(response: &Response<'_>, stream: bool) -> Outcome {
    match response.rcode() {
        _ if response.truncated() && !stream => Outcome::Truncated,
        Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN => Outcome::Answered,
        rcode => Outcome::Poor(rcode),
    }
}

/// How an outcome is counted; `late` if the question was settled before.
fn label(outcome: Outcome, late: bool) -> metrics::Outcome {
    match outcome {
        Outcome::Answered if late => metrics::Outcome::Outrun,
        Outcome::Answered => metrics::Outcome::Answered,
        Outcome::Poor(_) => metrics::Outcome::Poor,
        Outcome::Truncated => metrics::Outcome::Truncated,
        Outcome::Mismatched => metrics::Outcome::Mismatched,
        Outcome::Garbled => metrics::Outcome::Garbled,
        Outcome::TimedOut => metrics::Outcome::TimedOut,
        Outcome::Unreachable => metrics::Outcome::Unreachable,
        Outcome::HandshakeFailed => metrics::Outcome::HandshakeFailed,
        Outcome::Closed => metrics::Outcome::Closed,
        Outcome::Outrun => metrics::Outcome::Outrun,
    }
}

fn kind_label(kind: AttemptKind) -> metrics::AttemptKind {
    match kind {
        AttemptKind::Primary => metrics::AttemptKind::Primary,
        AttemptKind::Hedge => metrics::AttemptKind::Hedge,
        AttemptKind::Retry => metrics::AttemptKind::Retry,
        AttemptKind::Probe => metrics::AttemptKind::Probe,
        AttemptKind::Refresh => metrics::AttemptKind::Refresh,
        AttemptKind::StreamFallback => metrics::AttemptKind::StreamFallback,
    }
}
