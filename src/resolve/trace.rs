//! What is told of a question to whoever traces its name: see [`Tracer`](crate::observe::trace::Tracer).
//!
//! Nothing here is reached unless somebody does.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::core::Core;
use super::question::Why;
use crate::cache::{FROM_SNAPSHOT, Freshness, Look};
use crate::clock::Time;
use crate::net::Exchanges;
use crate::observe::said::Said;
use crate::observe::trace::Line;
use crate::route::{Failure, Outcome, Preview, RouteId, Send};
use crate::wire::{self, Answer, KeyRef, QuestionKey};

impl<X: Exchanges> Core<X> {
    /// Tells something of a question in flight, if somebody traces it. Not to be called with the engine's lock held.
    #[inline]
    pub(super) fn trace(&self, slot: usize, now: Time, text: impl FnOnce() -> String) {
        if let Some(question) = self.questions.get(slot).filter(|it| it.traced) {
            let number = Some(question.generation);
            self.trace_line(question.key.by_ref(), number, now, text);
        }
    }

    /// Tells something of a client's query, which somebody traces.
    #[cold]
    pub(super) fn trace_line(
        &self,
        key: KeyRef<'_>,
        question: Option<u32>,
        now: Time,
        text: impl FnOnce() -> String,
    ) {
        let line = || Line {
            number: 0,
            at: now,
            worker: self.worker,
            question,
            asked: format!("{} {}", wire::name_to_text(key.name()), key.record_type()),
            text: text(),
        };
        let tracer = &self.shared.tracer;
        tracer.tell(key.name(), key.record_type(), now, line);
    }

    /// What the cache holds for a query, in words.
    #[cold]
    pub(super) fn trace_held(&self, key: &QuestionKey, now: Time) {
        let look = self.shared.cache.look(key, self.life);
        self.trace_line(key.by_ref(), None, now, || match look {
            Some(look) => self.held_in_words(&look),
            None => "a client asks; nothing is held".into(),
        });
    }

    fn held_in_words(&self, look: &Look) -> String {
        let over = match look.route {
            FROM_SNAPSHOT => "read back from the snapshot".to_owned(),
            route => format!("over {}", self.route_name(RouteId(route))),
        };
        let Look { rcode, age, .. } = look;
        match look.freshness {
            Freshness::Fresh { left, .. } => {
                format!(
                    "a client asks; answered from the cache: {rcode}, {age} s old ({over}), fresh for another {left} s"
                )
            }
            Freshness::Stale { for_ } => {
                format!("a client asks; held: {rcode}, {age} s old ({over}), stale for {for_} s")
            }
        }
    }

    /// Which routes there are for a question that begins now, and why each other one is passed over.
    #[cold]
    pub(super) fn trace_start(&self, slot: usize, now: Time) {
        if !self.questions.get(slot).is_some_and(|it| it.traced) {
            return;
        }
        // It moves nothing, so a generator that everybody could predict does no harm.
        let mut rng = StdRng::seed_from_u64(now.nanos());
        let pool = self.questions[slot].pool;
        let preview = self.shared.engine().preview(pool, now, &mut rng);
        let why = match self.questions[slot].why {
            Why::Client => "for a client",
            Why::Refresh => "to renew it before it expires",
            Why::Renewal => "to renew what was given stale",
            Why::Probe(_) => "to measure a route",
            Why::Loop(_) => "to look for a loop",
        };
        self.trace(slot, now, || format!("begins, {why}; {}", choice(&preview)));
    }

    /// An attempt was made.
    pub(super) fn trace_launch(&self, slot: usize, send: &Send, now: Time) {
        self.trace(slot, now, || {
            let kind = crate::observe::metrics::Label::as_str(send.kind);
            let over = if send.stream { "TCP" } else { "UDP" };
            let question = &self.questions[slot];
            let wake = question.race_wake;
            let next = match wake < Time::NEVER {
                true => format!(
                    "; looked after again in {}",
                    ms(wake.since(now).as_secs_f64())
                ),
                false => String::new(),
            };
            format!(
                "asks {} ({kind}, {over}){next}",
                self.route_name(send.route)
            )
        });
    }

    /// An attempt has ended.
    pub(super) fn trace_outcome(
        &self,
        slot: usize,
        (route, sent): (RouteId, Time),
        outcome: Outcome,
        said: Option<Said>,
        now: Time,
    ) {
        self.trace(slot, now, || {
            let took = ms(now.since(sent).as_secs_f64());
            let what = match (outcome, said) {
                (_, Some(said)) => said.to_string(),
                (Outcome::Answered, None) => "answered".into(),
                (Outcome::Truncated, None) => "truncated: asked again over TCP".into(),
                (Outcome::Unfinished, None) => "aliases without their end".into(),
                (Outcome::Local, None) => "not sent: this host is short of something".into(),
                (outcome, None) => format!("{outcome:?}"),
            };
            format!("{} after {took}: {what}", self.route_name(route))
        });
    }

    /// The question has its answer, which `waiters` clients get.
    pub(super) fn trace_answered(
        &self,
        slot: usize,
        answer: &Answer,
        (route, kept): (RouteId, Option<u32>),
        waiters: usize,
        now: Time,
    ) {
        self.trace(slot, now, || {
            let kept = match kept {
                Some(secs) => format!("kept for {secs} s"),
                None => "not kept".into(),
            };
            let (rcode, name) = (answer.rcode(), self.route_name(route));
            format!("answered by {name}: {rcode}, {kept}; {waiters} waited for it")
        });
    }

    /// The question has failed.
    pub(super) fn trace_failed(
        &self,
        slot: usize,
        failure: Option<Failure>,
        account: &str,
        now: Time,
    ) {
        self.trace(slot, now, || {
            let why = match failure {
                Some(Failure::Deadline) => "nobody answered in time",
                Some(Failure::Outage) => "every route is dead",
                Some(Failure::NoRoute) => "no route can be used",
                Some(Failure::Overload) => "there was no room",
                Some(Failure::Shortage) => "this host is short of something",
                Some(Failure::Partial) => "it does not fit a datagram, and no stream brought it",
                None => "nobody gave a useful answer",
            };
            let waiters = self.questions[slot].waiters.len();
            format!("failed: {why} ({account}); {waiters} waited for it")
        });
    }

    /// Extra packets that the budgets would pay for: steadily, and in a burst.
    pub(super) fn budget_left(&self, slot: usize) -> String {
        let pool = self.questions[slot].pool;
        let [steady, burst, _] = self.shared.engine().budget_left(pool);
        format!("{steady:.1}, and {burst:.0} for a burst")
    }

    pub(super) fn route_name(&self, route: RouteId) -> String {
        let engine = self.shared.engine();
        let known = engine.routes().get(usize::from(route.0));
        known.map_or("a route that is gone".into(), |it| it.name.to_string())
    }
}

/// The first choice, the next, and why the others are passed over.
fn choice(preview: &Preview) -> String {
    let passed = preview.candidates.iter().filter_map(|candidate| {
        let why = candidate.passed_over?.words();
        Some(format!("{}: {why}", candidate.name))
    });
    let passed: Vec<String> = passed.collect();
    match passed.is_empty() {
        true => "there is one route".into(),
        false => format!("passed over: {}", passed.join("; ")),
    }
}

/// Seconds as milliseconds.
fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}
