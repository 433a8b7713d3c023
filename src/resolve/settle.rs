//! How a question ends for those who wait: with an answer, a stale answer, or an error that says why.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::core::{Core, OVERLOADED};
use super::guarded::Guarded;
use super::question::{Question, SecondBest, Stage, Why};
use super::waiters::{Waiter, Waiters};
use crate::cache::{Freshness, Lifetime, Origin};
use crate::clock::{Life, Time};
use crate::names::guard;
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::observe::said::{Account, Said};
use crate::route::{AttemptKind, Failure, PoolId, Refused, RouteId, Standing};
use crate::wire::{self, Answer, Asked, Ede, KeyRef, Rcode, Render, TtlRule};

/// What became of a question that was to renew what is held.
#[derive(Clone, Copy)]
enum Renewed {
    Done,
    Failed,
    Denied,
}

/// What a client that waited gets.
pub(super) enum Gift<'a> {
    /// What an upstream said.
    Answer(&'a Answer, QueryResult),
    /// A failure as an upstream put it, and why nothing better came, in case it did not say why itself.
    Poor(&'a Answer, Ede<'a>),
    /// What is kept of a name that has vanished, for so many seconds.
    Kept(&'a Answer, u32),
    /// SERVFAIL, and why.
    Error(Ede<'a>, QueryResult),
}

impl SecondBest {
    /// Whether a client would get a failure.
    fn is_nothing(&self) -> bool {
        self.denial.is_none() && self.partial.is_none()
    }

    /// What a client gets for want of an answer, `ede` saying why.
    fn gift<'a>(&'a self, ede: Ede<'a>) -> Gift<'a> {
        if let Some(denial) = &self.denial {
            return Gift::Answer(&denial.answer, QueryResult::Miss);
        }
        match (&self.partial, &self.poor) {
            // Truncated is better than nothing: some clients never ask over TCP.
            (Some(answer), _) => Gift::Answer(answer, QueryResult::Miss),
            (None, Some(answer)) => Gift::Poor(answer, ede),
            (None, None) => Gift::Error(ede, QueryResult::Failed),
        }
    }
}

impl<X: Exchanges> Core<X> {
    /// A good answer came.
    pub(super) fn settle_answered(
        &mut self,
        slot: usize,
        mut answer: Answer,
        route: RouteId,
        now: Time,
    ) {
        self.last_route = Some(route);
        if self.make_addresses(slot, &mut answer, now) {
            return;
        }
        let guarded = self.keep_guard(slot, &mut answer, route, now);
        if guarded == Guarded::No {
            self.protect(slot, &mut answer);
        }
        if self.questions[slot].prompt_by < Time::NEVER {
            let pool = self.questions[slot].pool;
            self.shared.promptness(pool).in_time();
        }
        if let Guarded::Kept(left) = guarded {
            self.settle_kept(slot, &answer, left, now);
            return self.count_renewed(self.questions[slot].why, Renewed::Done);
        }
        let waiters = self.conclude(slot);
        let question = &self.questions[slot];
        // What clients are told is what is kept: a TTL does not jump between the first answer and the second.
        let lifetime = match (question.is_shared(), guarded) {
            (true, Guarded::Exists) => self.shared.cache.admit_provisionally(&mut answer).ok(),
            (true, _) => {
                let key = question.key.by_ref();
                self.shared.admit(&mut answer, key, question.pool, route)
            }
            (false, _) => None,
        };
        let kept = lifetime.as_ref().map(|it| it.seconds());
        self.trace_answered(slot, &answer, (route, kept), waiters.len(), now);
        let (key, hash) = (question.key.clone(), question.hash);
        let prefers_held =
            question.is_shared() && self.shared.is_provisional(&answer, question.pool, route);
        for waiter in waiters {
            // What an upstream before this one has said is better than what this one denies.
            let left = match prefers_held {
                true => self.give_held(key.by_ref(), hash, waiter, Counter::StaleFailed, now),
                false => Some(waiter),
            };
            if let Some(waiter) = left {
                self.give(waiter, &Gift::Answer(&answer, QueryResult::Miss), now);
            }
        }
        let question = &self.questions[slot];
        let denies = answer.denies_name() && lifetime.is_some() && question.why == Why::Client;
        self.keep(question, answer, lifetime, route);
        self.count_renewed(question.why, Renewed::Done);
        if denies {
            self.look_for_cut(key.by_ref(), now);
        }
    }

    /// A useful answer came too late for those who asked: it is kept for those who will.
    pub(super) fn keep_late(&mut self, slot: usize, mut answer: Answer, route: RouteId, now: Time) {
        let question = &mut self.questions[slot];
        if question.answered || !question.is_shared() {
            return;
        }
        question.answered = true;
        let lifetime = match self.keep_guard(slot, &mut answer, route, now) {
            Guarded::Kept(left) => return self.settle_kept(slot, &answer, left, now),
            Guarded::Exists => self.shared.cache.admit_provisionally(&mut answer).ok(),
            Guarded::No => {
                self.protect(slot, &mut answer);
                let question = &self.questions[slot];
                let key = question.key.by_ref();
                self.shared.admit(&mut answer, key, question.pool, route)
            }
        };
        self.keep(&self.questions[slot], answer, lifetime, route);
    }

    /// Keeps a useful answer for those who will ask, for its `lifetime` if it has one.
    fn keep(
        &self,
        question: &Question,
        answer: Answer,
        lifetime: Option<Lifetime>,
        route: RouteId,
    ) {
        let (key, hash) = (question.key.by_ref(), question.hash);
        if question.is_shared() {
            self.shared.failures.clear(key, hash, None);
        }
        let Some(lifetime) = lifetime else {
            return;
        };
        let names = self.shared.names();
        let made = question.chase.as_ref().and_then(|it| it.made.as_ref());
        if question.chase.is_none() && names.is_local(key.name())
            || made.is_some() && made != names.dns64.as_ref()
        {
            // Its records have come to be known here meanwhile, or are made otherwise.
            return;
        }
        // Only of a negative answer does the cache want to know.
        let trusted = !answer.kind().is_negative() || {
            let engine = self.shared.engine();
            engine.is_clear(route) && !engine.is_provisional(question.pool, route)
        };
        let origin = Origin {
            route: route.0,
            trusted,
        };
        let cache = &self.shared.cache;
        cache.store_admitted(key, hash, answer, lifetime, origin, self.life);
    }

    /// Every upstream that may be asked answered uselessly.
    pub(super) fn settle_poor(&mut self, slot: usize, now: Time) {
        let mut second = std::mem::take(&mut self.questions[slot].second);
        if let Some(chain) = second.unfinished.take()
            && self.chase(slot, chain, now)
        {
            return;
        }
        if let Some((kept, left)) = self.guard_second(slot, &second) {
            self.settle_kept(slot, &kept, left, now);
            return self.count_renewed(self.questions[slot].why, Renewed::Failed);
        }
        if second.is_nothing() && self.fall_through(slot, now) {
            return;
        }
        let account = self.account(slot);
        self.trace_failed(slot, None, account.as_str(), now);
        let why = match second.poor {
            Some(_) => Ede::NO_REACHABLE_AUTHORITY,
            // What came back cannot be read, or answers nothing.
            None => Ede::NETWORK_ERROR,
        };
        let gift = second.gift(explained(why, &account));
        let remembered = Some(Ede::NO_REACHABLE_AUTHORITY.code);
        let remembered = remembered.filter(|_| second.partial.is_none());
        self.settle_without(slot, remembered, &gift, now);
    }

    /// Nobody answered in time, or nobody can be asked.
    pub(super) fn settle_failed(&mut self, slot: usize, failure: Failure, now: Time) {
        let second = std::mem::take(&mut self.questions[slot].second);
        if let Some((kept, left)) = self.guard_second(slot, &second) {
            self.settle_kept(slot, &kept, left, now);
            return self.count_renewed(self.questions[slot].why, Renewed::Failed);
        }
        if second.is_nothing() && self.fall_through(slot, now) {
            return;
        }
        let account = self.account(slot);
        self.trace_failed(slot, Some(failure), account.as_str(), now);
        let gift = second.gift(explained(failure.ede(), &account));
        if matches!(failure, Failure::Deadline | Failure::Outage) {
            self.shared.loops.suspect();
        }
        let remembered = match failure {
            // Truncated again the next time, and better than an error.
            _ if second.partial.is_some() => None,
            // A failure of the routes or of byway, not of the name: once that is over it is to be asked at once.
            Failure::Outage | Failure::NoRoute | Failure::Overload | Failure::Shortage => None,
            _ => Some(failure.ede().code),
        };
        self.settle_without(slot, remembered, &gift, now);
    }

    /// Why the question has no answer, route by route: what came of its attempts, those that are still out among
    /// them. One that was not asked at all fails for what all routes are known for.
    fn account(&self, slot: usize) -> Account {
        let question = &self.questions[slot];
        let out = question
            .attempts
            .iter()
            .filter_map(|tag| self.attempts.get(*tag as usize));
        let out = out.filter(|attempt| attempt.kind != AttemptKind::Probe);
        let mut said: SmallVec<[(RouteId, Said); 8]> = SmallVec::new();
        let ended = question.said.iter().copied();
        for (route, word) in ended.chain(out.map(|attempt| (attempt.route, Said::Nothing))) {
            // What was said last over a route, but silence does not unsay a word.
            match said.iter_mut().find(|(of, _)| *of == route) {
                Some((_, before)) if word != Said::Nothing => *before = word,
                Some(_) => {}
                None => said.push((route, word)),
            }
        }
        let engine = self.shared.engine();
        if said.is_empty() {
            said.extend(engine.last_words(question.pool));
        }
        let mut account = Account::default();
        for (route, word) in said {
            account.add(&engine.routes()[usize::from(route.0)].name, word);
        }
        account
    }

    /// No attempt can be made at all. That is a failure of the routes, not of the name.
    pub(super) fn refused(&mut self, slot: usize, refused: Refused, now: Time) {
        if self.fall_through(slot, now) {
            return self.remove(slot, now);
        }
        self.end_unasked(slot, &Gift::Error(refused.ede(), QueryResult::Failed), now);
    }

    /// There is no room for the question: a limit, or it was queued as long as it may be.
    pub(super) fn turn_away(&mut self, slot: usize, now: Time) {
        self.leave_backlog(slot);
        if let Some(stake) = &self.questions[slot].stake {
            stake.guest().turned_away();
        }
        self.end_unasked(slot, &Gift::Error(OVERLOADED, QueryResult::Shed), now);
    }

    fn end_unasked(&mut self, slot: usize, gift: &Gift<'_>, now: Time) {
        self.trace(slot, now, || {
            "ends without having been asked: no route, or no room".into()
        });
        let question = &self.questions[slot];
        if question.why == Why::Refresh {
            self.shared
                .cache
                .refresh_failed(question.key.by_ref(), question.hash, self.life);
        }
        self.count_renewed(question.why, Renewed::Denied);
        self.give_all(slot, gift, now);
        self.remove(slot, now);
    }

    /// The question has failed: that is remembered, if it is the name's failure (RFC 9520), and stale
    /// answers serve.
    fn settle_without(&mut self, slot: usize, ede: Option<u16>, gift: &Gift<'_>, now: Time) {
        let question = &self.questions[slot];
        if let Some(ede) = ede.filter(|_| question.is_shared()) {
            let key = question.key.by_ref();
            let ttls = self.shared.names().zones.ttls_of(key.name());
            self.shared
                .failures
                .record_within(key, question.hash, None, ede, self.life, &ttls);
        }
        if question.why == Why::Refresh {
            self.shared
                .cache
                .refresh_failed(question.key.by_ref(), question.hash, self.life);
        }
        self.count_renewed(question.why, Renewed::Failed);
        self.give_all(slot, gift, now);
    }

    /// Counts what became of a question if it was to renew what is held.
    fn count_renewed(&self, why: Why, renewed: Renewed) {
        let counter = match (why, renewed) {
            (Why::Refresh, Renewed::Done) => Counter::RefreshDone,
            (Why::Refresh, Renewed::Failed) => Counter::RefreshFailed,
            (Why::Refresh, Renewed::Denied) => Counter::RefreshDenied,
            (Why::Renewal, Renewed::Done) => Counter::RenewalDone,
            (Why::Renewal, Renewed::Failed) => Counter::RenewalFailed,
            (Why::Renewal, Renewed::Denied) => Counter::RenewalDenied,
            (Why::Client | Why::Probe(_) | Why::Loop(_), _) => return,
        };
        self.metrics.count(counter, 1);
    }

    fn give_all(&mut self, slot: usize, gift: &Gift<'_>, now: Time) {
        let question = &self.questions[slot];
        let (key, hash, rd) = (question.key.clone(), question.hash, question.rd);
        for waiter in self.conclude(slot) {
            let left = match rd {
                true => self.give_held(key.by_ref(), hash, waiter, Counter::StaleFailed, now),
                false => Some(waiter),
            };
            if let Some(waiter) = left {
                self.give(waiter, gift, now);
            }
        }
    }

    /// Looks after the clients whose time it is: a stale answer is due, or the deadline has come.
    pub(super) fn serve_waiters(&mut self, slot: usize, now: Time) {
        let question = &self.questions[slot];
        let (key, hash, rd) = (question.key.clone(), question.hash, question.rd);
        while let Some(waiter) = self.questions[slot].waiters.due(now) {
            let left = match rd {
                true => self.give_held(key.by_ref(), hash, waiter, Counter::StaleSlow, now),
                false => Some(waiter),
            };
            let (held, over) = (
                left.is_none(),
                left.as_ref().is_some_and(|it| it.deadline <= now),
            );
            self.trace(slot, now, || match (held, over) {
                (true, _) => {
                    "a client is given what is held: the fresh answer takes too long".into()
                }
                (_, true) => "a client's time is up: it gets SERVFAIL".into(),
                _ => "nothing is held any more: a client waits on".into(),
            });
            match left {
                Some(mut waiter) if waiter.deadline > now => {
                    waiter.stale_at = Time::NEVER;
                    self.questions[slot].join(waiter);
                }
                Some(waiter) => {
                    self.shared.loops.suspect();
                    if let Some((kept, left)) =
                        self.guard_second(slot, &self.questions[slot].second)
                    {
                        let key = self.questions[slot].key.clone();
                        self.give_kept(key.by_ref(), waiter, &kept, left, now);
                        continue;
                    }
                    let account = self.account(slot);
                    let question = &self.questions[slot];
                    let ede = match question.stage {
                        Stage::Queued => OVERLOADED,
                        _ => explained(self.shared.too_late(question.pool).ede(), &account),
                    };
                    self.give(waiter, &question.second.gift(ede), now);
                }
                None => {}
            }
        }
    }

    /// Takes a question out of the books and returns its waiters, who keep their room until they have their
    /// answers. Attempts that are still out are listened for.
    pub(super) fn conclude(&mut self, slot: usize) -> Waiters {
        let question = &mut self.questions[slot];
        question.lead = None;
        (question.room, question.stake) = (None, None);
        question.settle();
        question.prompt_by = Time::NEVER;
        std::mem::take(&mut question.waiters)
    }

    /// Gives a client that comes too late for a race what that came to; returns it if nobody remembers.
    pub(super) fn give_outcome(
        &mut self,
        key: KeyRef<'_>,
        hash: u64,
        waiter: Waiter,
        now: Time,
    ) -> Option<Waiter> {
        let waiter = self.give_held(key, hash, waiter, Counter::StaleFailed, now)?;
        if !waiter.asked.as_ref().rd {
            return Some(waiter);
        }
        let Some(ede) = self.failed_lately(key, hash) else {
            return Some(waiter);
        };
        self.give(waiter, &Gift::Error(ede, QueryResult::Failed), now);
        None
    }

    /// Gives the client what the cache holds, fresh or stale; returns it if that is nothing.
    pub(super) fn give_held(
        &mut self,
        key: KeyRef<'_>,
        hash: u64,
        waiter: Waiter,
        why: Counter,
        now: Time,
    ) -> Option<Waiter> {
        let asked = waiter.asked.as_ref();
        let limit = usize::from(waiter.asker.limit);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(usize::from(u16::MAX), 0);
        let held = self
            .shared
            .write_held(key, hash, &asked, self.life, limit, &mut scratch);
        let left = match held {
            Some((length, result)) => {
                if result == QueryResult::Stale {
                    self.metrics.count(why, 1);
                }
                self.replies
                    .reply(waiter.asker, result, now, &mut |out, _| {
                        out[..length].copy_from_slice(&scratch[..length]);
                        length
                    });
                None
            }
            None => Some(waiter),
        };
        self.scratch = scratch;
        left
    }

    pub(super) fn give(&self, waiter: Waiter, gift: &Gift<'_>, now: Time) {
        let Waiter { asker, asked, .. } = waiter;
        let (asked, payload) = (asked.as_ref(), self.shared.payload);
        // As good as any number: it differs from query to query.
        let turn = u32::from(asked.id) * u32::from(self.shared.rotate.load(Relaxed));
        let mut ttl = TtlRule::AsStored;
        let (answer, result, ede) = match *gift {
            Gift::Answer(answer, result) => (answer, result, None),
            Gift::Kept(answer, left) => {
                ttl = TtlRule::Fixed(left);
                (answer, QueryResult::Stale, Some(guard::KEPT))
            }
            Gift::Poor(answer, ede) => {
                let ede = (!answer.has_edes()).then_some(ede);
                (answer, QueryResult::Failed, ede)
            }
            Gift::Error(ede, result) => {
                self.replies.reply(asker, result, now, &mut |out, _| {
                    wire::write_error(&asked, Rcode::SERVFAIL, Some(ede), payload, out)
                });
                return;
            }
        };
        self.replies.reply(asker, result, now, &mut |out, limit| {
            let render = Render {
                ttl,
                limit,
                payload,
                ede,
                turn,
            };
            answer.write(&asked, &render, out)
        });
    }
}

/// The same error with the account as its text, if there is one to give.
fn explained<'a>(ede: Ede<'static>, account: &'a Account) -> Ede<'a> {
    match account.as_str() {
        "" => ede,
        text => ede.with_text(text),
    }
}

impl Question {
    /// From here on only attempts that lost are of interest.
    fn settle(&mut self) {
        self.stage = match self.stage {
            Stage::Racing => Stage::Settled,
            Stage::Queued => Stage::Over,
            settled => settled,
        };
    }
}

impl super::shared::Shared {
    /// What a question has come to whose time is up.
    fn too_late(&self, pool: PoolId) -> Failure {
        match self.engine().standing_of(pool) {
            Standing::Outage => Failure::Outage,
            _ => Failure::Deadline,
        }
    }

    /// How long `answer`, which came over `route`, may be kept; its TTLs are bounded by that.
    fn admit(
        &self,
        answer: &mut Answer,
        key: KeyRef<'_>,
        pool: PoolId,
        route: RouteId,
    ) -> Option<Lifetime> {
        match self.is_provisional(answer, pool, route) {
            true => self.cache.admit_provisionally(answer).ok(),
            false => {
                let ttls = self.names().zones.ttls_of(key.name());
                self.cache.admit_within(answer, &ttls).ok()
            }
        }
    }

    /// A denial by an upstream that comes after another one: that may know better as soon as it can be asked.
    fn is_provisional(&self, answer: &Answer, pool: PoolId, route: RouteId) -> bool {
        answer.kind().is_negative() && self.engine().is_provisional(pool, route)
    }

    /// Writes what the cache holds for the question, fresh or stale.
    pub(super) fn write_held(
        &self,
        key: KeyRef<'_>,
        hash: u64,
        asked: &Asked<'_>,
        life: Life,
        limit: usize,
        out: &mut [u8],
    ) -> Option<(usize, QueryResult)> {
        let may_be_stale =
            |freshness| matches!(freshness, Freshness::Fresh { .. }) || self.terms_of(key).stale;
        let held = self.cache.read(key, hash, life, |hit| {
            if !may_be_stale(hit.freshness) {
                return None;
            }
            // Who is given a stale answer has looked twice.
            let turn = match hit.freshness {
                Freshness::Fresh { .. } => hit.turn,
                Freshness::Stale { .. } => hit.turn / 2,
            };
            let (ttl, ede, result) = match hit.freshness {
                Freshness::Fresh { .. } => (TtlRule::Minus(hit.age), None, QueryResult::Hit),
                Freshness::Stale { .. } => {
                    let ede = match hit.answer.rcode() {
                        Rcode::NXDOMAIN => Ede::STALE_NXDOMAIN,
                        _ => Ede::STALE_ANSWER,
                    };
                    (
                        TtlRule::Fixed(self.stale_ttl.load(Relaxed)),
                        Some(ede),
                        QueryResult::Stale,
                    )
                }
            };
            let render = Render {
                ttl,
                limit,
                payload: self.payload,
                ede,
                turn,
            };
            Some((hit.answer.write(asked, &render, out), result))
        });
        held.flatten().or_else(|| {
            // What has vanished is not in the cache.
            let (length, _) = self.write_kept(key, asked, life, limit, out)?;
            Some((length, QueryResult::Stale))
        })
    }
}
