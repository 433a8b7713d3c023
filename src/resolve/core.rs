//! The worker's core: its questions, and when each is looked after. They come in by `ask`, go out by
//! `attempts`, hear what becomes of those by `outcomes` and end by `settle`.
//!
//! Sans-IO. Queries, responses and time come in as arguments; attempts go out through
//! [`Exchanges`], answers through [`Replies`]. The daemon drives it with sockets, the tests with a
//! simulated network.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use slab::Slab;

use super::backlog::Backlog;
use super::clients::Guest;
use super::front::Replies;
use super::inflight::{Lead, Leader, Room};
use super::loops::Found;
use super::mailbox::Handoff;
use super::question::{Attempt, New, Question, Stage, Why};
use super::shared::Shared;
use super::timers::Timers;
use super::waiters::Waiters;
use crate::clock::{Life, Time};
use crate::net::{Exchanges, Tag};
use crate::observe::metrics::{Counter, Gauge, Limit, WorkerMetrics};
use crate::route::{Outcome, PoolId, ProbeAsks, RouteId, Tick, UpstreamId};
use crate::wire::{Ede, QuestionKey};

/// One worker's questions. See the module's description.
pub struct Core<X> {
    /// The attempts' way out.
    pub exchanges: X,
    pub(super) shared: Arc<Shared>,
    pub(super) replies: Rc<dyn Replies>,
    pub(super) metrics: Rc<WorkerMetrics>,
    pub(super) worker: u16,
    /// The present for what ages: TTLs, failures.
    pub(super) life: Life,
    /// How long the host has slept in all, as far as the engine was told.
    slept: Duration,
    pub(super) questions: Slab<Question>,
    pub(super) attempts: Slab<Attempt>,
    pub(super) timers: Timers<(u32, u32)>,
    /// Questions for which there is no room, by pool.
    pub(super) backlogs: Vec<Backlog>,
    pub(super) rng: StdRng,
    /// Attempts that failed while they were being made, still to be told.
    pub(super) failed: Vec<(Tag, Outcome)>,
    /// Attempts made in this turn.
    pub(super) leaving: Vec<Tag>,
    /// Room for an answer whose client may not be there.
    pub(super) scratch: Vec<u8>,
    /// Room for what is due.
    due: Vec<(u32, u32)>,
    /// When room for queued questions was last looked for.
    looked: Time,
    /// The question that was worked on last in this turn, by slot and generation: see `mend`.
    pub(super) at: Option<(u32, u32)>,
    /// Clients handed over that are still to be taken in, the next one last.
    pub(super) mail: Vec<Handoff>,
    /// Whose answer was the last.
    pub(super) last_route: Option<RouteId>,
    generation: u32,
}

impl<X: Exchanges> Core<X> {
    /// A core without questions. `rng` need not be unpredictable.
    pub fn new(
        exchanges: X,
        shared: Arc<Shared>,
        replies: Rc<dyn Replies>,
        metrics: Rc<WorkerMetrics>,
        worker: u16,
        rng: StdRng,
        now: Time,
    ) -> Core<X> {
        let pools = shared.engine().pools();
        Core {
            exchanges,
            shared,
            replies,
            metrics,
            worker,
            life: Life::START,
            slept: Duration::ZERO,
            questions: Slab::new(),
            attempts: Slab::new(),
            timers: Timers::new(now),
            backlogs: pools.map(|_| Backlog::default()).collect(),
            rng,
            failed: Vec::new(),
            leaving: Vec::new(),
            scratch: Vec::new(),
            due: Vec::new(),
            last_route: None,
            looked: now,
            at: None,
            mail: Vec::new(),
            generation: 0,
        }
    }

    /// There are to be so many pools.
    pub fn provide_for(&mut self, pools: usize) {
        let more = self.backlogs.len()..pools;
        self.backlogs.extend(more.map(|_| Backlog::default()));
    }

    /// A turn begins, and until the next one `life` is the present for what ages. To be told before anything else
    /// in a turn.
    #[inline]
    pub fn turn(&mut self, life: Life) {
        self.life = life;
    }

    /// Enters the question that begins next into the table of those in flight, as the one that others of
    /// this hash join.
    ///
    /// # Errors
    /// The one that is there already.
    pub(super) fn lead(&self, hash: u64, now: Time) -> Result<Lead, Leader> {
        self.shared.inflight.lead(hash, self.next_leader(), now)
    }

    /// What the table of questions in flight says of the one that begins next.
    fn next_leader(&self) -> Leader {
        Leader {
            worker: self.worker,
            slot: self.questions.vacant_key() as u32,
            generation: self.generation.wrapping_add(1),
        }
    }

    /// Lets time do its part in the engine. One worker of all does so.
    pub fn tick(&mut self, now: Time) -> Tick {
        let slept = Duration::from_nanos(self.life.nanos().saturating_sub(now.nanos()));
        let more = slept.saturating_sub(self.slept);
        let mut engine = self.shared.engine();
        if more >= SLEEP {
            self.slept = slept;
            engine.host_slept(more, now, &mut self.rng);
        }
        engine.tick(now, &mut self.rng)
    }

    /// Sends the probe that the engine wants.
    pub fn probe(&mut self, route: RouteId, now: Time) {
        let asks = self.shared.engine().probe_asks(route);
        let key = match asks {
            ProbeAsks::Root => QuestionKey::root_name_servers(),
            ProbeAsks::Invalid => QuestionKey::invalid_address(),
        };
        let new = New {
            hash: self.shared.cache.hash(&key),
            key: key.by_ref(),
            pool: PoolId::MAIN,
            falls: false,
            why: Why::Probe(route),
            rd: true,
            lead: None,
            prompt_by: Time::NEVER,
            chase: None,
        };
        self.begin(new, Waiters::default(), now);
    }

    /// Asks upstreams that are suspected of it whether they lead back here. To be called now and then.
    pub fn look_for_loops(&mut self, now: Time) {
        while let Some((upstream, key)) = self.shared.loops.due(now, &mut self.rng) {
            let route = self.shared.engine().way_to(upstream);
            let Some(route) = route else {
                self.shared.loops.ended(upstream, false);
                continue;
            };
            let new = New {
                hash: self.shared.cache.hash(&key),
                key: key.by_ref(),
                pool: PoolId::MAIN,
                falls: false,
                why: Why::Loop(route),
                chase: None,
                prompt_by: Time::NEVER,
                rd: true,
                lead: None,
            };
            self.begin(new, Waiters::default(), now);
        }
    }

    /// What an upstream was found to do is told, and it is asked no more, or again.
    pub(super) fn found_of(&self, upstream: UpstreamId, found: Option<Found>, now: Time) {
        if let Some(found) = found {
            self.metrics
                .count(Counter::LoopFound, u64::from(found == Found::Loop));
            let mut engine = self.shared.engine();
            engine.upstream_loops(upstream, found == Found::Loop, now);
        }
    }

    /// Makes a new question and its first attempt.
    pub(super) fn begin(&mut self, mut new: New<'_>, waiters: Waiters, now: Time) {
        self.follow_alias(&mut new);
        let stake = waiters.guest().map(|it| self.shared.clients.stake(it));
        let bounded = self.shared.inflight.questions();
        let is_fair = stake.as_ref().is_none_or(|it| it.is_fair(bounded.left()));
        let mut room = is_fair.then(|| bounded.take()).flatten();
        if room.is_none() {
            self.metrics.limited(Limit::Questions, waiters.client());
            // Whoever makes room leaves another slot.
            let leads = new.lead.take().is_some();
            room = self.make_room(new.why, waiters.guest().filter(|_| !is_fair), now);
            if leads && room.is_some() {
                new.lead = self.lead(new.hash, now).ok();
            }
        }
        self.generation = self.generation.wrapping_add(1);
        let has_room = room.is_some();
        if has_room {
            self.shared.rest.rouse();
        }
        let traced = self.shared.tracer.wants(new.key.name());
        let mut question = Question::new(self.generation, new, (room, stake), waiters);
        question.traced = traced;
        let slot = self.questions.insert(question);
        self.at(slot);
        if has_room {
            self.start(slot, now);
            self.settle_failed_sends(now);
        } else {
            self.questions[slot].stage = Stage::Over;
            self.trace(slot, now, || {
                "turned away: as many questions as there may be".into()
            });
            self.turn_away(slot, now);
        }
    }

    /// At the limit of questions a new one of a client's takes the place of the one queued longest, of who has most queued.
    /// At the limit of its client, who is `greedy`, it is one of its own.
    fn make_room(&mut self, why: Why, greedy: Option<&Arc<Guest>>, now: Time) -> Option<Room> {
        if why != Why::Client {
            return None;
        }
        let slot = match greedy {
            Some(_) => self.backlogs.iter().find_map(|it| it.oldest(greedy))?,
            None => {
                let fullest = self.backlogs.iter().max_by_key(|backlog| backlog.len())?;
                fullest.oldest(None)?
            }
        };
        self.turn_away(slot, now);
        self.shared.inflight.questions().take()
    }

    /// Sets the wake-up of a question, unless an earlier one is set.
    pub(super) fn schedule(&mut self, slot: usize, now: Time) {
        let question = &mut self.questions[slot];
        let wake = question.next_wake();
        if question.timer.as_ref().is_none_or(|(at, _)| wake < *at) {
            if let Some((_, timer)) = question.timer.take() {
                self.timers.cancel(timer);
            }
            if wake < Time::NEVER {
                let item = (slot as u32, question.generation);
                question.timer = Some((wake, self.timers.set(wake.max(now), item)));
            }
        }
    }

    /// Forgets a question, and its wake-up.
    pub(super) fn remove(&mut self, slot: usize, now: Time) {
        self.leave_backlog(slot);
        let question = self.questions.remove(slot);
        if let Some((_, timer)) = question.timer {
            self.timers.cancel(timer);
        }
        if let Why::Loop(route) = question.why {
            let upstream = self.shared.upstream_of(route);
            let found = self.shared.loops.ended(upstream, false);
            self.found_of(upstream, found, now);
        }
    }

    /// Takes a question out of the queue, if it is in it.
    pub(super) fn leave_backlog(&mut self, slot: usize) {
        let question = &mut self.questions[slot];
        if let Some(place) = question.queued.take() {
            self.backlogs[usize::from(question.pool.0)].remove(place);
        }
    }

    /// When [`Core::wake`] should next be called.
    pub fn next_wake(&self) -> Option<Time> {
        let timers = self.timers.next_due();
        if self.backlogs.iter().all(Backlog::is_empty) {
            return timers;
        }
        // Other workers' attempts make room too, and do not say so.
        let look = self.looked + LOOK_EVERY;
        Some(timers.map_or(look, |timers| timers.min(look)))
    }

    /// Does what is due at `now`.
    pub fn wake(&mut self, now: Time) {
        self.looked = now;
        let mut due = std::mem::take(&mut self.due);
        while let Some((slot, generation)) = self.timers.expired(now) {
            if let Some(question) = self.questions.get_mut(slot as usize) {
                question.timer = None;
            }
            due.push((slot, generation));
        }
        for (slot, generation) in due.drain(..) {
            let slot = slot as usize;
            self.at(slot);
            // What was due before it may have been its end.
            let alive = |question: &&mut Question| question.generation == generation;
            let Some(question) = self.questions.get_mut(slot).filter(alive) else {
                continue;
            };
            if question.prompt_by <= now {
                question.prompt_by = Time::NEVER;
                self.shared.promptness(question.pool).late(now);
            }
            if question.waiters.wake() <= now {
                self.serve_waiters(slot, now);
            }
            if self.questions[slot].race_wake <= now {
                self.race_timer(slot, now);
                self.settle_failed_sends(now);
            }
            if self
                .questions
                .get(slot)
                .is_some_and(|question| question.generation == generation)
            {
                self.schedule(slot, now);
            }
        }
        self.due = due;
        self.work_off_backlog(now);
    }

    /// The end of a turn: what was collected goes on the wire.
    pub fn end_of_turn(&mut self, now: Time) {
        self.exchanges.flush(now, &mut self.failed);
        // Each round of failures makes fewer attempts than the one before: a question's are limited.
        while !self.failed.is_empty() {
            self.settle_failed_sends(now);
            self.work_off_backlog(now);
            self.exchanges.flush(now, &mut self.failed);
        }
        self.replies.flush();
    }

    /// The route that brought the last answer, if one did since this was last asked.
    pub fn take_last_route(&mut self) -> Option<RouteId> {
        self.last_route.take()
    }

    /// Questions being asked: those that clients wait for, and those whose losers are listened for.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Tells the metrics how much is going on. To be called now and then.
    pub fn gauge(&self) {
        let asking = |question: &&Question| question.stage != Stage::Settled;
        let (mut questions, mut waiting, mut followers) = (0, 0, 0);
        for question in self
            .questions
            .iter()
            .map(|(_, question)| question)
            .filter(asking)
        {
            questions += 1;
            waiting += question.waiters.len();
            followers += question.waiters.len().saturating_sub(1);
        }
        self.metrics.set(Gauge::QuestionsInFlight, questions);
        self.metrics.set(Gauge::WaitingClients, waiting as u64);
        self.metrics.set(Gauge::Followers, followers as u64);
    }
}

/// What sets the two clocks apart by less is no sleep.
const SLEEP: Duration = Duration::from_secs(1);
/// How often room for queued questions is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// byway itself has no room for the question.
pub(super) const OVERLOADED: Ede<'static> =
    Ede::NETWORK_ERROR.with_text("too many questions in flight");
