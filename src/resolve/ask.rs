//! A query's way in: it is answered at once, joins those who ask the same, or is the first to ask.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::core::Core;
use super::front::{Asker, Turn};
use super::inflight::Leader;
use super::mailbox::Handoff;
use super::question::{New, Question, Why};
use super::waiters::{Waiter, Waiters};
use crate::cache::Freshness;
use crate::clock::Time;
use crate::names::Terms;
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::route::{PoolId, Prospect};
use crate::wire::{self, Asked, Ede, KeyRef, Query, QuestionKey, Rcode, Render, TtlRule};

/// A client's query on its way through.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key: KeyRef<'a>,
    pub(super) hash: u64,
    pub(super) terms: Terms,
    pub(super) asked: &'a Asked<'a>,
    /// Somebody looks at what becomes of it.
    traced: bool,
}

/// Whether a client that may have a stale answer waits for a fresh one.
enum Wait {
    /// Until then.
    Until(Time),
    /// The stale one is given at once.
    InVain {
        why: Counter,
        /// The fresh one is asked for all the same; by when it would be in time.
        renewal: Option<Time>,
    },
}

/// What the cache held, once its lock is released.
enum Held {
    Fresh { length: usize, refresh: bool },
    Stale,
}

impl<X: Exchanges> Core<X> {
    /// A client's query: answers it into `out`, or keeps an [`Asker`] and answers later through
    /// [`Replies`](super::front::Replies). `limit` is the longest answer that the client takes.
    pub fn ask(
        &mut self,
        query: &Query<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        let key = query.key();
        let hash = self.shared.cache.hash(&key);
        let asked = &query.asked;
        let held = self.write_fresh(&key, hash, asked, limit, out);
        let traced = self.shared.tracer.wants(key.name());
        if !matches!(held, Some(Held::Fresh { .. }))
            && let Some(turn) = self.known_here(&key, hash, asked, now, limit, out)
        {
            return turn;
        }
        if traced {
            self.trace_held(&key, now);
        }
        match held {
            Some(Held::Fresh { length, refresh }) => {
                if refresh {
                    let prompt_by = now + self.shared.stale_wait.get();
                    let pool = self.shared.pool_of(key.by_ref());
                    self.renew(key.by_ref(), hash, pool, Why::Refresh, prompt_by, now);
                }
                self.metrics.count(Counter::CacheHit, 1);
                Turn::Answer {
                    length,
                    result: QueryResult::Hit,
                }
            }
            Some(Held::Stale) => {
                self.metrics.count(Counter::CacheStale, 1);
                let wanted = self.wanted(key.by_ref(), hash, asked, traced);
                match wanted.terms.stale {
                    true => self.stale(wanted, asker, now, limit, out),
                    false => self.unknown(wanted, asker, now, limit, out),
                }
            }
            None => {
                if let Some(turn) = self.denied_so_far(&key, asked, traced, now, limit, out) {
                    return turn;
                }
                self.metrics.count(Counter::CacheMiss, 1);
                let wanted = self.wanted(key.by_ref(), hash, asked, traced);
                self.unknown(wanted, asker, now, limit, out)
            }
        }
    }

    /// Writes what the cache holds, if that is fresh.
    #[inline]
    fn write_fresh(
        &self,
        key: &QuestionKey,
        hash: u64,
        asked: &Asked<'_>,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Held> {
        let cache = &self.shared.cache;
        cache.read(key, hash, self.life, |hit| match hit.freshness {
            Freshness::Fresh { refresh_due, .. } => {
                let render = Render {
                    ttl: TtlRule::Minus(hit.age),
                    limit,
                    payload: self.shared.payload,
                    ede: None,
                    turn: hit.turn,
                };
                let length = hit.answer.write(asked, &render, out);
                Held::Fresh {
                    length,
                    refresh: refresh_due,
                }
            }
            Freshness::Stale { .. } => Held::Stale,
        })
    }

    /// The answer for a name that nobody is asked for, or that is kept because it has vanished.
    fn known_here(
        &mut self,
        key: &QuestionKey,
        hash: u64,
        asked: &Asked<'_>,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        if let Some(turn) = self.own(key.by_ref(), asked, limit, out) {
            if self.shared.tracer.wants(key.name()) {
                let text = || "answered here: nobody is asked for such a name".into();
                self.trace_line(key.by_ref(), None, now, text);
            }
            return Some(turn);
        }
        match self.shared.guard.keeps_any() {
            true => self.kept(key.by_ref(), hash, asked, now, limit, out),
            false => None,
        }
    }

    /// The answer to a question for which nothing is held, if its name is known not to exist.
    fn denied_so_far(
        &mut self,
        key: &QuestionKey,
        asked: &Asked<'_>,
        traced: bool,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let denied = self.denied(key, asked, now, limit, out);
        let turn = denied.or_else(|| self.denied_above(key, asked, limit, out))?;
        if traced {
            let text = || {
                "answered from the cache: the name does not exist, for another type or for one above it"
                    .into()
            };
            self.trace_line(key.by_ref(), None, now, text);
        }
        Some(turn)
    }

    /// The query, and whom its question may be asked of.
    fn wanted<'a>(
        &self,
        key: KeyRef<'a>,
        hash: u64,
        asked: &'a Asked<'a>,
        traced: bool,
    ) -> Wanted<'a> {
        Wanted {
            key,
            hash,
            terms: self.shared.terms_of(key),
            asked,
            traced,
        }
    }

    /// Nothing is held for the question, but perhaps that there is no such name, asked for another type.
    fn denied(
        &mut self,
        key: &QuestionKey,
        asked: &Asked<'_>,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let held = self.shared.cache.denied(key)?;
        let shared = Arc::clone(&self.shared);
        let hash = shared.cache.hash(&held);
        let (length, refresh) = shared.cache.read(&held, hash, self.life, |hit| {
            let Freshness::Fresh { refresh_due, .. } = hit.freshness else {
                return (0, false);
            };
            let render = Render {
                ttl: TtlRule::Minus(hit.age),
                limit,
                payload: shared.payload,
                ede: None,
                turn: 0,
            };
            match hit.answer.denies_name() {
                true => (hit.answer.write(asked, &render, out), refresh_due),
                false => (0, refresh_due),
            }
        })?;
        if refresh {
            let prompt_by = now + shared.stale_wait.get();
            let pool = shared.pool_of(held.by_ref());
            self.renew(held.by_ref(), hash, pool, Why::Refresh, prompt_by, now);
        }
        if length == 0 {
            return None;
        }
        self.metrics.count(Counter::CacheHit, 1);
        Some(Turn::Answer {
            length,
            result: QueryResult::Hit,
        })
    }

    /// A stale answer is held. It is given at once if waiting for a better one is in vain, and that is asked
    /// for all the same (RFC 8767 section 5); otherwise once it has been asked for about as long as a hedge takes.
    fn stale(
        &mut self,
        wanted: Wanted<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        let Wanted {
            key,
            hash,
            terms,
            asked,
            ..
        } = wanted;
        let pool = PoolId(terms.pool);
        let (why, renewal) = match self.wait_for_fresh(key, hash, pool, now) {
            Wait::Until(stale_at) => {
                self.trace_query(wanted, now, || {
                    let wait = stale_at.since(now).as_secs_f64() * 1e3;
                    format!("waits {wait:.1} ms for a fresh answer before the stale one is given")
                });
                return self.wait(wanted, stale_at, asker, now, limit, out);
            }
            Wait::InVain { why, renewal } => (why, renewal),
        };
        match self
            .shared
            .write_held(key, hash, asked, self.life, limit, out)
        {
            Some((length, result)) => {
                self.metrics.count(why, 1);
                self.trace_query(wanted, now, || {
                    let (_, label) = why.feeds();
                    let why = label.first().copied().unwrap_or_default();
                    let renewed = match renewal {
                        Some(_) => "; asked for anew",
                        None => "",
                    };
                    format!("given stale at once ({why}){renewed}")
                });
                if let Some(prompt_by) = renewal.filter(|_| asked.rd) {
                    self.renew(key, hash, pool, Why::Renewal, prompt_by, now);
                }
                Turn::Answer { length, result }
            }
            // It was evicted in between.
            None => self.unknown(wanted, asker, now, limit, out),
        }
    }

    /// Whether who may have a stale answer should wait for a fresh one.
    fn wait_for_fresh(&self, key: KeyRef<'_>, hash: u64, pool: PoolId, now: Time) -> Wait {
        let asked_since = self.shared.inflight.since(hash);
        let failed = self.shared.failures.last(key, hash, self.life);
        // Who asks some time after the last failure may find that it is over, and waits as for any other name.
        if failed.is_some_and(|it| asked_since.is_some() || !it.may_be_renewed(self.life)) {
            return Wait::InVain {
                why: Counter::StaleFailed,
                renewal: None,
            };
        }
        let prospect = self.shared.engine().prospect(pool, now);
        let most = self.shared.stale_wait.get();
        let (wait, asks) = match prospect {
            Prospect::Nobody => (None, false),
            Prospect::Queue => (None, true),
            Prospect::Answer(wait) => (Some(wait.min(most)), true),
        };
        let stale_at = asked_since.unwrap_or(now) + wait.unwrap_or(most);
        if wait.is_some() && stale_at > now && !self.shared.promptness(pool).is_gone(now) {
            return Wait::Until(stale_at);
        }
        let why = match asked_since {
            Some(since) if wait.is_some() && now >= since + most => Counter::StaleSlow,
            _ => Counter::StaleNothingClear,
        };
        Wait::InVain {
            why,
            renewal: (asks && asked_since.is_none()).then_some(now + most),
        }
    }

    /// Nothing is held: the question goes upstream, unless it just failed.
    fn unknown(
        &mut self,
        wanted: Wanted<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        let Wanted {
            key, hash, asked, ..
        } = wanted;
        if let Some((upstream, found)) = self.shared.loops.recognise(key) {
            self.found_of(upstream, found, now);
            return self.error(asked, LOOP, QueryResult::Failed, out);
        }
        match self.failed_lately(key, hash) {
            Some(ede) => {
                let text = || {
                    format!(
                        "answered SERVFAIL without asking: it failed lately, {}",
                        ede.text
                    )
                };
                self.trace_query(wanted, now, text);
                self.error(asked, ede, QueryResult::Failed, out)
            }
            None => self.wait(wanted, Time::NEVER, asker, now, limit, out),
        }
    }

    /// What to tell of a question that failed so lately that it is not asked again (RFC 9520).
    pub(super) fn failed_lately(&self, key: KeyRef<'_>, hash: u64) -> Option<Ede<'static>> {
        let failure = self.shared.failures.check(key, hash, self.life)?;
        self.metrics.count(Counter::FailureCacheHit, 1);
        let why = match Ede::new(failure.ede) {
            Ede::NETWORK_ERROR => "no upstream answered",
            _ => "no upstream gave a useful answer",
        };
        Some(Ede::CACHED_ERROR.with_text(why))
    }

    /// Lets `waiter` wait: with those who asked the same before, here or at another worker, or as the
    /// first.
    pub(super) fn enlist(
        &mut self,
        key: KeyRef<'_>,
        hash: u64,
        pool: PoolId,
        waiter: Waiter,
        now: Time,
    ) {
        // Without recursion the upstream may answer otherwise than it would: for nobody else.
        let rd = waiter.asked.as_ref().rd;
        let mut lead = None;
        if rd {
            match self.lead(hash, now) {
                Ok(led) => lead = Some(led),
                Err(leader) if leader.worker == self.worker => {
                    let slot = leader.slot as usize;
                    let same = |question: &&mut Question| {
                        question.generation == leader.generation && question.key.by_ref() == key
                    };
                    if let Some(question) = self.questions.get_mut(slot).filter(same) {
                        if question.waiters.len() >= self.shared.waiting_per_question.load(Relaxed)
                        {
                            return self.crowded_out(key, hash, waiter, now);
                        }
                        self.metrics.count(Counter::Coalesced, 1);
                        question.join(waiter);
                        self.trace(slot, now, || "another client joins".into());
                        self.at(slot);
                        return self.schedule(slot, now);
                    }
                    // Another question of the same hash: rare enough to be asked without sharing.
                }
                Err(leader) => {
                    if self.shared.tracer.wants(key.name()) {
                        let to = leader.worker;
                        let text =
                            || format!("handed over to worker {to}, which asks the same already");
                        self.trace_line(key, None, now, text);
                    }
                    return self.hand_over(leader, key, hash, waiter);
                }
            }
        }
        let new = New {
            key,
            hash,
            pool,
            falls: self.shared.terms_of(key).fall_through,
            why: Why::Client,
            rd,
            lead,
            prompt_by: waiter.stale_at,
            chase: None,
        };
        self.begin(new, Waiters::one(waiter), now);
    }

    /// Lets a client wait at the worker that leads its question. It is counted where it joins.
    fn hand_over(&self, leader: Leader, key: KeyRef<'_>, hash: u64, waiter: Waiter) {
        let Waiter {
            asker,
            asked,
            stale_at,
            room,
            seat,
            ..
        } = waiter;
        let handoff = Handoff {
            key: key.into(),
            hash,
            asked,
            asker,
            stale_at,
            room,
            seat,
        };
        self.shared.mailboxes[usize::from(leader.worker)].post(handoff);
    }

    /// Takes in clients that asked other workers what this one is asking.
    pub fn collect_mail(&mut self, now: Time) {
        let mut come = self.shared.mailboxes[usize::from(self.worker)].collect();
        come.reverse();
        self.mail.splice(0..0, come);
        // Each by itself: a panic loses no other.
        while let Some(handoff) = self.mail.pop() {
            self.take_in(handoff, now);
        }
    }

    /// Whether everybody who was handed over has been taken in.
    pub fn has_no_mail(&self) -> bool {
        self.mail.is_empty()
    }

    fn take_in(&mut self, handoff: Handoff, now: Time) {
        let Handoff {
            key,
            hash,
            asked,
            asker,
            stale_at,
            room,
            seat,
        } = handoff;
        let key = key.by_ref();
        let waiter = Waiter {
            deadline: asker.since + self.shared.terms_of(key).deadline,
            asker,
            asked,
            stale_at,
            room,
            seat,
        };
        // The answer, or the failure, may have come while the client was on its way.
        let leads = |leader: Leader| {
            leader.worker == self.worker
                && self
                    .questions
                    .get(leader.slot as usize)
                    .is_some_and(|question| question.generation == leader.generation)
        };
        let waiter = match self.shared.inflight.leader(hash).is_some_and(leads) {
            true => Some(waiter),
            false => self.give_outcome(key, hash, waiter, now),
        };
        if let Some(waiter) = waiter {
            let pool = self.shared.pool_of(key);
            self.enlist(key, hash, pool, waiter, now);
        }
    }

    /// Renews an entry of the cache that nobody waits for, if there is room for that.
    pub(super) fn renew(
        &mut self,
        key: KeyRef<'_>,
        hash: u64,
        pool: PoolId,
        why: Why,
        prompt_by: Time,
        now: Time,
    ) {
        if let Ok(lead) = self.lead(hash, now) {
            let new = New {
                key,
                hash,
                pool,
                falls: self.shared.terms_of(key).fall_through,
                why,
                rd: true,
                lead: Some(lead),
                prompt_by,
                chase: None,
            };
            self.begin(new, Waiters::default(), now);
        }
    }

    /// Tells something of a client's query, if somebody traces it.
    #[inline]
    pub(super) fn trace_query(&self, wanted: Wanted<'_>, now: Time, text: impl FnOnce() -> String) {
        if wanted.traced {
            self.trace_line(wanted.key, None, now, text);
        }
    }

    /// The answer that says no, written at once.
    fn error(&self, asked: &Asked<'_>, ede: Ede<'_>, result: QueryResult, out: &mut [u8]) -> Turn {
        let length = self.write_failure(asked, ede, out);
        Turn::Answer { length, result }
    }

    pub(super) fn write_failure(&self, asked: &Asked<'_>, ede: Ede<'_>, out: &mut [u8]) -> usize {
        wire::write_error(asked, Rcode::SERVFAIL, Some(ede), self.shared.payload, out)
    }
}

/// What was asked of an upstream has come back.
const LOOP: Ede<'static> =
    Ede::NETWORK_ERROR.with_text("a forwarding loop: byway itself asked this");
