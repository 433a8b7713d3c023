//! What becomes of attempts: each one's end is told to its race, counted, and remembered if it says
//! something of the question.

use super::core::Core;
use super::question::{Attempt, Denial, Question, Stage, Why};
use crate::clock::Time;
use crate::net::{Claimed, Exchanges, Tag};
use crate::observe::metrics::{self, Counter, WorkerMetrics};
use crate::observe::said::{Explained, Said};
use crate::route::{AttemptId, AttemptKind, Finish, Outcome, RouteId, Step};
use crate::wire::{Answer, Dropped, Ede, Kind, Rcode, Response};

impl<X: Exchanges> Core<X> {
    /// What an upstream sent for an attempt, already checked against what was sent.
    /// It came after `looked`, when it was last looked for: `now` itself unless the host has stalled.
    pub fn claimed(&mut self, claimed: &Claimed<'_>, looked: Time, now: Time) {
        if let Some(heard) = self.hear(claimed, looked, now) {
            self.act_on(heard, now);
        }
        self.heard_all(now);
    }

    /// The first half of [`Core::claimed`], for all that came together before [`Core::act_on`] for each and
    /// [`Core::heard_all`] in the end: each half is about as much code as a CPU keeps close by.
    pub fn hear(&mut self, claimed: &Claimed<'_>, looked: Time, now: Time) -> Option<Heard> {
        match claimed {
            Claimed::Response {
                tag,
                response,
                case,
            } => self.hear_response(*tag, response, *case, looked, now),
            Claimed::Garbled(tag) => {
                let garbled = Outcome::Garbled;
                self.hear_useless(*tag, garbled, garbled.said(), looked, now)
            }
            Claimed::NearMiss(tag) => {
                self.guard(*tag, now);
                // Asked again over a stream, where nobody can guess.
                self.hear_useless(*tag, Outcome::Truncated, Some(Said::OtherCase), looked, now)
            }
        }
    }

    fn hear_response(
        &mut self,
        tag: Tag,
        response: &Response<'_>,
        case: Option<bool>,
        looked: Time,
        now: Time,
    ) -> Option<Heard> {
        let attempt = self.attempts.get(tag as usize)?;
        let (route, id, stream) = (attempt.route, attempt.id, attempt.stream);
        let asked_by = attempt.question as usize;
        self.at(asked_by);
        let rd = self.questions.get(asked_by).is_none_or(|it| it.rd);
        let outcome = outcome_of(response, stream, rd);
        if self.puts_otherwise(tag, response, outcome, case, now) {
            return None;
        }
        self.learn(tag, response, outcome, case, now);
        if outcome == Outcome::Garbled {
            self.metrics
                .count(Counter::RecordsCostly, response.unread().into());
        }
        let said = in_its_words(response, outcome);
        if outcome == Outcome::Answered && response.kind().is_negative() {
            let question = self.questions.get_mut(asked_by);
            if let Some(race) = question.and_then(|question| question.race.as_mut()) {
                race.denies(id);
            }
        }
        let (slot, step) = self.tell(tag, outcome, said, looked, now)?;
        let answer = self.keep_of((slot, id, route), response, outcome, &step);
        Some(Heard {
            slot,
            step,
            answer,
            route,
        })
    }

    /// Keeps what may still be wanted of a response that the attempt `id` brought over `route`; returns it if it may be the
    /// answer.
    fn keep_of(
        &mut self,
        (slot, id, route): (usize, AttemptId, RouteId),
        response: &Response<'_>,
        outcome: Outcome,
        step: &Step,
    ) -> Option<Answer> {
        let question = &mut self.questions[slot];
        let is_denial = question
            .race
            .as_ref()
            .is_some_and(|race| race.denial() == Some(id));
        match outcome {
            Outcome::Answered if is_denial => {
                let answer = question.whole(kept(response, &self.metrics));
                question.second.denial = answer.map(|answer| Denial {
                    attempt: id,
                    answer,
                    route,
                });
            }
            Outcome::Answered if step.settles_with(id) || !question.answered => {
                return question.whole(kept(response, &self.metrics));
            }
            // A failure to find the end of a chain is not the upstream's word on the question.
            Outcome::Poor(_)
                if question.stage == Stage::Racing
                    && question.second.poor.is_none()
                    && question.chase.is_none() =>
            {
                question.second.poor = Some(kept(response, &self.metrics));
            }
            Outcome::Unfinished
                if question.stage == Stage::Racing && question.second.unfinished.is_none() =>
            {
                question.second.unfinished = question.whole(kept(response, &self.metrics));
            }
            // Without records it would look like "there is nothing" to who asks over a stream.
            Outcome::Truncated
                if question.stage == Stage::Racing && question.second.partial.is_none() =>
            {
                let partial = kept(response, &self.metrics);
                let key = self.questions[slot].key.by_ref();
                let forbidden = self.is_forbidden(key, &partial);
                let question = &mut self.questions[slot];
                if partial.has_answers() && !forbidden {
                    question.second.partial = question.whole(partial);
                    if let Some(race) = &mut question.race {
                        race.hold_partial();
                    }
                }
            }
            _ => {}
        }
        None
    }

    /// What ends an attempt and is no answer.
    fn hear_useless(
        &mut self,
        tag: Tag,
        outcome: Outcome,
        said: Option<Said>,
        looked: Time,
        now: Time,
    ) -> Option<Heard> {
        let route = self.attempts.get(tag as usize)?.route;
        let (slot, step) = self.tell(tag, outcome, said, looked, now)?;
        Some(Heard {
            slot,
            step,
            answer: None,
            route,
        })
    }

    /// The second half of [`Core::claimed`].
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

    /// The attempt `tag` ended without a usable response.
    pub fn attempt_failed(&mut self, tag: Tag, outcome: Outcome, now: Time) {
        if let Some((slot, step)) = self.tell(tag, outcome, outcome.said(), now, now) {
            self.apply(slot, step, None, now);
        }
    }

    /// Tells the race how an attempt ended, and the question why it brought nothing.
    fn tell(
        &mut self,
        tag: Tag,
        outcome: Outcome,
        said: Option<Said>,
        looked: Time,
        now: Time,
    ) -> Option<(usize, Step)> {
        let attempt = self.attempts.try_remove(tag as usize)?;
        let slot = attempt.question as usize;
        self.at(slot);
        let outcome = self.of_loop(slot, outcome, now);
        self.trace_outcome(slot, (attempt.route, attempt.sent), outcome, said, now);
        let question = self.questions.get_mut(slot)?;
        question.attempts.retain(|other| *other != tag);
        let late = question.answered || question.stage == Stage::Settled;
        let race = question.race.as_mut()?;
        if let Some(said) = said
            && question.stage == Stage::Racing
        {
            question.said.push((attempt.route, said));
        }
        let step = {
            let mut engine = self.shared.engine();
            if let Some(said) = said {
                engine.said(attempt.route, said, now);
            }
            race.outcome(&mut engine, attempt.id, outcome, looked, now, &mut self.rng)
        };
        question.answered |= step.wins();
        if step.wins() {
            self.others_failed(&self.questions[slot]);
        }
        self.remember(&self.questions[slot], attempt.route, outcome);
        let label = match said {
            Some(Said::OtherCase) => metrics::Outcome::Mismatched,
            _ => label(outcome, late),
        };
        let won = step.settles_with(attempt.id);
        self.count(&attempt, label, won, now);
        Some((slot, step))
    }

    /// The outcome as it counts: of a question that looks for a loop, only a good answer says anything of its route.
    fn of_loop(&self, slot: usize, outcome: Outcome, now: Time) -> Outcome {
        let why = self.questions.get(slot).map(|question| question.why);
        let Some(Why::Loop(route)) = why else {
            return outcome;
        };
        if outcome.came_back() {
            let upstream = self.shared.upstream_of(route);
            // That it cannot answer either is no way out.
            let good = outcome == Outcome::Answered;
            let found = self.shared.loops.ended(upstream, good);
            self.found_of(upstream, found, now);
        }
        match outcome {
            outcome if outcome.came_back() && outcome != Outcome::Answered => Outcome::Outrun,
            outcome => outcome,
        }
    }

    /// Remembers what the attempt at a question over one route came to, if that says something of the question
    /// there: the next time another server is asked first (RFC 9520 section 3.1).
    fn remember(&self, question: &Question, route: RouteId, outcome: Outcome) {
        if !question.is_shared() {
            return;
        }
        let (key, hash) = (question.key.by_ref(), question.hash);
        let (failures, kinds) = (&self.shared.failures, &self.shared.kinds);
        let upstream = self.shared.upstream_of(route);
        let ede = match outcome {
            Outcome::Answered => {
                kinds.answered(upstream, key.question());
                return failures.clear(key, hash, Some(route.0));
            }
            Outcome::Poor(_) | Outcome::Lame | Outcome::Garbled | Outcome::Untrusted(_) => {
                Ede::NO_REACHABLE_AUTHORITY
            }
            // Where the route is well and another has answered, it is the question. Where it is not, every
            // question is lost there.
            Outcome::TimedOut if question.answered && self.shared.engine().is_clear(route) => {
                Ede::NETWORK_ERROR
            }
            _ => return,
        };
        if question.answered {
            kinds.failed(upstream, key.question(), self.life);
        }
        let ttls = self.shared.names().zones.ttls_of(key.name());
        failures.record_within(key, hash, Some(route.0), ede.code, self.life, &ttls);
    }

    /// Of the upstreams that answered a question uselessly before one brought an answer, notes that they fail where
    /// others do not.
    fn others_failed(&self, question: &Question) {
        let useless = question.said.iter().filter(|(_, said)| said.is_servers());
        for (route, _) in useless.filter(|_| question.is_shared()) {
            let upstream = self.shared.upstream_of(*route);
            let asked = question.key.by_ref().question();
            self.shared.kinds.failed(upstream, asked, self.life);
        }
    }

    /// Tells the races about attempts that could not even be sent.
    pub(super) fn settle_failed_sends(&mut self, now: Time) {
        while let Some((tag, outcome)) = self.failed.pop() {
            self.attempt_failed(tag, outcome, now);
        }
    }

    /// Forgets a question whose race is over; attempts that are still out were lost.
    pub(super) fn free(&mut self, slot: usize, now: Time) {
        for tag in std::mem::take(&mut self.questions[slot].attempts) {
            let Some(attempt) = self.attempts.try_remove(tag as usize) else {
                continue;
            };
            let handle = attempt.handle;
            let lied_to = handle.is_some_and(|handle| self.exchanges.forget(handle, tag));
            self.trace(slot, now, || {
                let took = now.since(attempt.sent).as_secs_f64() * 1e3;
                let what = match lied_to {
                    true => "only what does not match",
                    false => "nothing",
                };
                format!(
                    "{what} from {} in {took:.1} ms, and it is no longer listened for",
                    self.route_name(attempt.route)
                )
            });
            // To the engine it is silence all the same: who is lying is not known.
            let label = match lied_to {
                true => metrics::Outcome::Mismatched,
                false => metrics::Outcome::TimedOut,
            };
            self.count(&attempt, label, false, now);
            self.remember(&self.questions[slot], attempt.route, Outcome::TimedOut);
        }
        self.remove(slot, now);
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
    /// Whether the question has its answer.
    fn wins(&self) -> bool {
        matches!(self.finish, Some(Finish::Answer(_)))
    }

    /// Whether what this attempt brought is the answer.
    fn settles_with(&self, attempt: AttemptId) -> bool {
        self.finish == Some(Finish::Answer(attempt))
    }
}

/// What a response says of why it is no answer, with the server's own explanation.
pub(super) fn in_its_words(response: &Response<'_>, outcome: Outcome) -> Option<Said> {
    match outcome.said()? {
        Said::Server { rcode, .. } => {
            let why = response.edes().next();
            let why = why.as_ref().map(Explained::of);
            Some(Said::Server { rcode, why })
        }
        said => Some(said),
    }
}

/// The response as it is kept; what is not is counted.
fn kept(response: &Response<'_>, metrics: &WorkerMetrics) -> Answer {
    let (answer, dropped) = response.keep();
    if dropped != Dropped::default() {
        metrics.count(Counter::RecordsUnrelated, dropped.unrelated.into());
        metrics.count(Counter::RecordsCostly, dropped.costly.into());
    }
    answer
}

/// What a response to a question with or without RD came to. Without it a referral is an answer.
fn outcome_of(response: &Response<'_>, stream: bool, rd: bool) -> Outcome {
    match response.rcode() {
        _ if response.truncated() && !stream => Outcome::Truncated,
        _ if response.is_cut() => Outcome::Garbled,
        Rcode::NOERROR if rd && response.is_lame() => Outcome::Lame,
        Rcode::NOERROR if rd && response.kind() == Kind::Unfinished => Outcome::Unfinished,
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
        Outcome::Lame => metrics::Outcome::Lame,
        Outcome::Unfinished => metrics::Outcome::Unfinished,
        Outcome::Truncated => metrics::Outcome::Truncated,
        Outcome::Garbled => metrics::Outcome::Garbled,
        Outcome::TimedOut => metrics::Outcome::TimedOut,
        Outcome::Unreachable(_) => metrics::Outcome::Unreachable,
        Outcome::HandshakeFailed(_) => metrics::Outcome::HandshakeFailed,
        Outcome::Untrusted(_) => metrics::Outcome::Untrusted,
        Outcome::Closed => metrics::Outcome::Closed,
        Outcome::Local => metrics::Outcome::Local,
        Outcome::Outrun => metrics::Outcome::Outrun,
    }
}
