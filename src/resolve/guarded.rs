//! Names that must not vanish: what becomes of an answer that says that one has, and how one is given that is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::core::Core;
use super::front::Turn;
use super::question::{SecondBest, Why};
use super::settle::Gift;
use super::waiters::Waiter;
use crate::clock::{Life, Time};
use crate::names::guard::{self, Judgement, Said};
use crate::net::Exchanges;
use crate::observe::metrics::{Client, Counter, Limit, QueryResult};
use crate::route::{PoolId, RouteId};
use crate::wire::{Answer, Asked, KeyRef, Render, TtlRule, own_denial};

/// For how long it is said that a type has no data, where an upstream says that there is no such name, in seconds.
const EXISTS_TTL: u32 = 5;

/// What an answer has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    /// Itself.
    No,
    /// What is kept, for so many seconds. It is not for the cache.
    Kept(u32),
    /// "No such data", for a moment.
    Exists,
}

impl<X: Exchanges> Core<X> {
    /// Gives what is kept for a question, and has it asked for anew if it is time.
    pub(super) fn kept(
        &mut self,
        key: KeyRef<'_>,
        hash: u64,
        asked: &Asked<'_>,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let (length, asks) = self.shared.write_kept(key, asked, self.life, limit, out)?;
        self.metrics.count(Counter::StaleGuarded, 1);
        if asks && asked.rd {
            let pool = PoolId(self.shared.terms_of(key).pool);
            self.renew(key, hash, pool, Why::Renewal, Time::NEVER, now);
        }
        if self.shared.tracer.wants(key.name()) {
            let text = || "given its last known addresses, kept by [[guard]]".into();
            self.trace_line(key, None, now, text);
        }
        Some(Turn::Answer {
            length,
            result: QueryResult::Stale,
        })
    }

    /// Lets time do its part with what is kept, and asks anew for some of what nobody asks for. To be called now and then.
    pub fn look_after_guarded(&mut self, now: Time) {
        let shared = Arc::clone(&self.shared);
        for key in shared.guard.tick(self.life) {
            let hash = shared.cache.hash(&key);
            let pool = shared.pool_of(key.by_ref());
            self.renew(key.by_ref(), hash, pool, Why::Renewal, Time::NEVER, now);
        }
    }

    /// Has an answer that came over `route` judged, and puts in its place what is given instead.
    pub(super) fn keep_guard(
        &self,
        slot: usize,
        answer: &mut Answer,
        route: RouteId,
        now: Time,
    ) -> Guarded {
        let question = &self.questions[slot];
        let key = question.key.by_ref();
        if !question.is_shared() || !self.shared.guard.covers(key.name()) {
            return Guarded::No;
        }
        // What is kept from clients was never good.
        if self.is_forbidden(key, answer) {
            return Guarded::No;
        }
        match self.judged(key, Said::Answer(answer), route) {
            Judgement::Pass => Guarded::No,
            Judgement::NoRoom => {
                self.metrics.limited(Limit::GuardedNames, Client::Own);
                Guarded::No
            }
            Judgement::Keep(kept, left) => {
                self.trace(slot, now, || {
                    let (rcode, name) = (answer.rcode(), self.route_name(route));
                    format!(
                        "{rcode} without addresses from {name}: [[guard]] keeps the last known ones"
                    )
                });
                *answer = kept;
                Guarded::Kept(left)
            }
            Judgement::NoData => match own_denial(key.question(), EXISTS_TTL, guard::EXISTS) {
                Some(denial) => {
                    *answer = denial;
                    Guarded::Exists
                }
                None => Guarded::No,
            },
        }
    }

    /// What is kept in place of second best: a failure to validate, or a denial that was held back.
    pub(super) fn guard_second(&self, slot: usize, second: &SecondBest) -> Option<(Answer, u32)> {
        let question = &self.questions[slot];
        let key = question.key.by_ref();
        if !question.is_shared() || !self.shared.guard.covers(key.name()) {
            return None;
        }
        let is_bogus = |it: &&Answer| it.ede_codes().any(|code| BOGUS.contains(&code));
        let judgement = match (&second.denial, second.poor.as_ref().filter(is_bogus)) {
            (Some(denial), _) => self.judged(key, Said::Answer(&denial.answer), denial.route),
            (None, Some(_)) => {
                let route = question.said.last().map_or(RouteId(0), |(route, _)| *route);
                self.judged(key, Said::Bogus, route)
            }
            (None, None) => return None,
        };
        match judgement {
            Judgement::Keep(kept, left) => Some((kept, left)),
            _ => None,
        }
    }

    fn judged(&self, key: KeyRef<'_>, said: Said<'_>, route: RouteId) -> Judgement {
        // Its name is of interest when something vanishes, and costs the engine's lock.
        let by = || self.route_name(route).into();
        self.shared.guard.hear(key, said, &by, self.life)
    }

    /// What is kept has taken the place of an answer: everybody who waits gets it, and what the cache holds is forgotten.
    pub(super) fn settle_kept(&mut self, slot: usize, kept: &Answer, left: u32, now: Time) {
        let question = &self.questions[slot];
        let (key, hash) = (question.key.clone(), question.hash);
        self.shared.cache.forget_key(key.by_ref(), hash);
        self.shared.failures.clear(key.by_ref(), hash, None);
        for waiter in self.conclude(slot) {
            self.give_kept(key.by_ref(), waiter, kept, left, now);
        }
    }

    pub(super) fn give_kept(
        &self,
        key: KeyRef<'_>,
        waiter: Waiter,
        kept: &Answer,
        left: u32,
        now: Time,
    ) {
        self.metrics.count(Counter::StaleGuarded, 1);
        self.shared.guard.gave(key, 1);
        self.give(waiter, &Gift::Kept(kept, left), now);
    }
}

/// Extended DNS Errors of a resolver that found signatures or keys wrong or missing (RFC 8914 section 4: 6 to 12).
const BOGUS: std::ops::RangeInclusive<u16> = 6..=12;

impl super::shared::Shared {
    /// Writes what is kept for the question. Says besides whether it is to be asked for anew.
    pub(super) fn write_kept(
        &self,
        key: KeyRef<'_>,
        asked: &Asked<'_>,
        life: Life,
        limit: usize,
        out: &mut [u8],
    ) -> Option<(usize, bool)> {
        let turn = u32::from(asked.id) * u32::from(self.rotate.load(Relaxed));
        self.guard.kept(key, life, |answer, left| {
            let render = Render {
                ttl: TtlRule::Fixed(left),
                limit,
                payload: self.payload,
                ede: Some(guard::KEPT),
                turn,
            };
            answer.write(asked, &render, out)
        })
    }
}
