//! A question's attempts: made as the race says, when there is room for it.

use std::time::Duration;

use smallvec::SmallVec;

use super::clients::{self, Stake};
use super::core::Core;
use super::lookout::STALL;
use super::question::{Attempt, Dress, Question, Stage, Why};
use crate::clock::Time;
use crate::net::{Exchanges, Outgoing, Tag};
use crate::observe::said::Said;
use crate::route::{
    About, Ask, AttemptId, AttemptKind, Failure, Finish, Kind, PoolId, Purpose, Race, Refused,
    RouteId, Send, Step, StreamFacts,
};
use crate::wire::Answer;

/// How long a question that others ask too goes unanswered before a loop may be the reason.
const UNANSWERED: Duration = Duration::from_millis(750);

impl<X: Exchanges> Core<X> {
    /// Begins the race of a question that is queued, or leaves it in the queue.
    pub(super) fn start(&mut self, slot: usize, now: Time) {
        self.at(slot);
        let question = &self.questions[slot];
        let deadline = question.waiters.latest_deadline();
        let terms = self.shared.terms_of(question.key.by_ref());
        let deadline = deadline.unwrap_or(now + terms.deadline);
        let ask = Ask {
            purpose: match question.why {
                Why::Client if question.prompt_by < Time::NEVER => Purpose::Held,
                Why::Client => Purpose::Client,
                Why::Refresh => Purpose::Refresh,
                Why::Renewal => Purpose::Renewal,
                Why::Probe(route) | Why::Loop(route) => Purpose::Probe(route),
            },
            about: self.about(question),
            pool: question.pool,
            deadline: match question.falls {
                // Those who are asked next have the rest of the time.
                true => now + deadline.since(now) / 2,
                false => deadline,
            },
            again: question.race_wake != Time::NEVER,
            light: question.stake.as_ref().is_some_and(Stake::is_light),
        };
        // Over which it has failed lately, and whose upstreams answer nothing of its type.
        let mut failed: SmallVec<[RouteId; 8]> = SmallVec::new();
        let (key, life) = (question.key.by_ref(), self.life);
        self.shared
            .failures
            .routes_failed(key, question.hash, life, |route| {
                failed.push(RouteId(route))
            });
        if self.shared.kinds.knows_any() {
            let avoids = |upstream| self.shared.kinds.avoids(upstream, key.question(), life);
            let avoided = self
                .shared
                .routes()
                .filter(|(_, upstream)| avoids(*upstream));
            failed.extend(avoided.map(|(route, _)| route));
        }
        self.trace_start(slot, now);
        let started = {
            let mut engine = self.shared.engine();
            Race::start_elsewhere(&mut engine, &ask, &failed, now, &mut self.rng)
        };
        match started {
            Ok((race, step)) => {
                let question = &mut self.questions[slot];
                (question.stage, question.race) = (Stage::Racing, Some(race));
                if let Some(stake) = &mut question.stake {
                    stake.race();
                }
                self.apply(slot, step, None, now);
            }
            Err(Refused::Busy) if matches!(question.why, Why::Client | Why::Renewal) => {
                self.queue(slot, now);
            }
            Err(refused) => self.refused(slot, refused, now),
        }
    }

    /// What the engine is told of a question.
    fn about(&self, question: &Question) -> About {
        if let Why::Probe(_) = question.why {
            return About::PLAIN;
        }
        let key = question.key.by_ref();
        About {
            name: question.hash,
            zone: self.shared.cache.hash_of(key.zone()),
            kind: Kind::of(key.record_type(), key.class(), question.rd),
        }
    }

    /// Does what the race says. `answer` is what an attempt has just brought, if the race may want it.
    pub(super) fn apply(
        &mut self,
        slot: usize,
        step: Step,
        answer: Option<(Answer, RouteId)>,
        now: Time,
    ) {
        self.at(slot);
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
            Some(Finish::Answer(attempt)) => {
                let second = &mut self.questions[slot].second;
                let held_back = second.denial.take_if(|it| it.attempt == attempt);
                match answer.or(held_back.map(|it| (it.answer, it.route))) {
                    Some((answer, route)) => self.settle_answered(slot, answer, route, now),
                    None => self.settle_failed(slot, Failure::Deadline, now),
                }
            }
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
            dress: self.dress(slot, &send, now),
            sent: now,
            handle: None,
        };
        self.trace_launch(slot, &send, now);
        self.metrics.sent(usize::from(send.route.0), send.kind);
        let tag = self.attempts.insert(attempt) as Tag;
        self.questions[slot].attempts.push(tag);
        self.leaving.push(tag);
        self.dispatch(tag, now);
    }

    /// How the query of a further attempt is put. What went unanswered or was refused as it was put is asked
    /// otherwise: without EDNS where nobody has seen that the upstream speaks it, and at last in any case; with the
    /// name in plain case after a useless answer or two losses.
    fn dress(&self, slot: usize, send: &Send, now: Time) -> Dress {
        let (question, peers) = (&self.questions[slot], &self.shared.peers);
        let upstream = self.shared.upstream_of(send.route);
        let dnssec_ok = question.key.by_ref().dnssec_ok();
        let edns = peers.speaks_edns(upstream, dnssec_ok, now);
        let measures = send.kind == AttemptKind::Probe;
        let out = question
            .attempts
            .iter()
            .filter_map(|tag| self.attempts.get(*tag as usize))
            .filter(|attempt| attempt.kind != AttemptKind::Probe);
        let (mut here, mut anywhere) = (0, 0);
        for attempt in out {
            anywhere += 1;
            here += u32::from(self.shared.upstream_of(attempt.route) == upstream);
        }
        let unheard = match peers.knows_edns(upstream) {
            true => here >= 2 && !dnssec_ok,
            false => here >= 1,
        };
        let stripped = edns && unheard && !measures;
        let refused = question.said.iter().any(|(_, said)| said.is_servers());
        let retries = matches!(send.kind, AttemptKind::Retry | AttemptKind::Hedge);
        Dress {
            edns: edns && !stripped,
            stripped,
            plain_case: retries && (question.guarded.is_some() || refused || anywhere >= 2),
        }
    }

    /// Hands an attempt to the exchanges.
    pub(super) fn dispatch(&mut self, tag: Tag, now: Time) {
        let attempt = &mut self.attempts[tag as usize];
        let question = &self.questions[attempt.question as usize];
        let key = question.asking();
        let outgoing = Outgoing {
            question: key.question(),
            rd: question.rd,
            cd: key.checking_disabled(),
            dnssec_ok: key.dnssec_ok(),
            edns: attempt.dress.edns,
            plain_case: attempt.dress.plain_case,
        };
        match self
            .exchanges
            .send(tag, attempt.route, attempt.stream, &outgoing, now)
        {
            Ok(handle) => attempt.handle = Some(handle),
            Err(outcome) => self.failed.push((tag, outcome)),
        }
    }

    /// What an attempt that is out was made for.
    pub fn kind_of(&self, tag: Tag) -> Option<AttemptKind> {
        Some(self.attempts.get(tag as usize)?.kind)
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
    pub fn carried(&mut self, tag: Tag, stream_facts: &StreamFacts, now: Time) {
        if let Some(attempt) = self.attempts.get(tag as usize) {
            let mut engine = self.shared.engine();
            engine.carried(attempt.id, stream_facts, true, now);
        }
    }

    /// The race's timer.
    pub(super) fn race_timer(&mut self, slot: usize, now: Time) {
        self.mind_loops(slot, now);
        let carried = self.carriages(slot, now);
        let lied_to = self.lied_to(slot);
        let question = &mut self.questions[slot];
        let step = match &mut question.race {
            None if question.stage == Stage::Queued => return self.turn_away(slot, now),
            None => return,
            Some(race) => {
                let mut engine = self.shared.engine();
                for (id, stream_facts) in &carried {
                    engine.carried(*id, stream_facts, false, now);
                }
                for route in lied_to {
                    engine.said(route, Said::Unmatched, now);
                    question.said.push((route, Said::Unmatched));
                }
                race.timer(&mut engine, now, &mut self.rng)
            }
        };
        if step.send.is_none() && step.finish.is_none() && !step.done {
            self.trace(slot, now, || {
                let (wake, left) = (
                    step.wake.map(|wake| wake.since(now)),
                    self.budget_left(slot),
                );
                let again = wake.map_or(String::new(), |it| {
                    format!("; looked after again in {:.1} ms", it.as_secs_f64() * 1e3)
                });
                format!("still waits: nobody else is asked now (extra packets left: {left}){again}")
            });
        }
        self.apply(slot, step, None, now);
    }

    /// Somebody else asks the same while it goes unanswered for long: in a loop it is the upstream itself.
    fn mind_loops(&self, slot: usize, now: Time) {
        let question = &self.questions[slot];
        let long = |tag: &Tag| {
            let attempt = self.attempts.get(*tag as usize);
            attempt.is_some_and(|attempt| now.since(attempt.sent) >= UNANSWERED)
        };
        if question.waiters.len() > 1 && question.attempts.iter().any(long) {
            self.shared.loops.suspect();
        }
    }

    /// What the kernel says of the connections that a question waits on.
    fn carriages(&mut self, slot: usize, now: Time) -> SmallVec<[(AttemptId, StreamFacts); 2]> {
        let tags = &self.questions[slot].attempts;
        let stream_facts = |tag: &Tag| {
            let attempt = self.attempts.get(*tag as usize)?;
            let stream_facts = self.exchanges.stream_facts(attempt.handle?, *tag, now)?;
            Some((attempt.id, stream_facts))
        };
        tags.iter().filter_map(stream_facts).collect()
    }

    /// The routes of attempts for which only something else has come, unless that is noted already.
    fn lied_to(&self, slot: usize) -> SmallVec<[RouteId; 2]> {
        let question = &self.questions[slot];
        let lied_to = |tag: &Tag| {
            let attempt = self.attempts.get(*tag as usize)?;
            let known = question.said.contains(&(attempt.route, Said::Unmatched));
            let lied_to = self.exchanges.is_lied_to(attempt.handle?, *tag);
            (lied_to && !known).then_some(attempt.route)
        };
        question.attempts.iter().filter_map(lied_to).collect()
    }

    /// Begins queued questions, by turns, for as long as there is room.
    pub(super) fn work_off_backlog(&mut self, now: Time) {
        for pool in 0..self.backlogs.len() {
            self.work_off(PoolId(pool as u16), now);
        }
    }

    fn work_off(&mut self, pool: PoolId, now: Time) {
        while let Some(slot) = self.next_queued(pool, now) {
            if let Some(place) = &self.questions[slot].queued {
                self.backlogs[usize::from(pool.0)].had_its_turn(place);
            }
            self.leave_backlog(slot);
            self.start(slot, now);
            let question = self.questions.get(slot);
            // Still no room: it queued itself again.
            let again = question.is_some_and(|question| question.queued.is_some());
            self.settle_failed_sends(now);
            if again {
                break;
            }
        }
    }

    /// The queued question that is next, if there is room for it: whoever's turn it is, or who has little under way.
    fn next_queued(&self, pool: PoolId, now: Time) -> Option<usize> {
        let backlog = &self.backlogs[usize::from(pool.0)];
        let next = backlog.next()?;
        if self.shared.engine().has_room(pool, false, now) {
            return Some(next);
        }
        let clients = &self.shared.clients;
        let light = backlog.next_of(|guest| clients::is_light(clients, guest))?;
        let room = self.shared.engine().has_room(pool, true, now);
        room.then_some(light)
    }

    fn queue(&mut self, slot: usize, now: Time) {
        self.trace(slot, now, || {
            "queued: every route that may be asked has as much under way as it may".into()
        });
        let question = &mut self.questions[slot];
        let backlog = &mut self.backlogs[usize::from(question.pool.0)];
        let guest = question.stake.as_ref().map(Stake::guest);
        let patience = self.shared.queue_patience.get();
        let (place, patience) = backlog.push(slot, guest, patience, now);
        question.queued = Some(place);
        question.race_wake = question.race_wake.min(now + patience);
        self.schedule(slot, now);
    }
}
