//! Names that must not vanish.
//!
//! An automation that empties a name's records takes everything down that needs the name, though its servers run. No stale
//! answer helps: the upstream answers, with nothing. So the last addresses of names under guard are remembered here, and
//! given for a while when there are none all of a sudden.
//!
//! What is remembered is what an upstream has said, whole: nothing is made up. It is kept for as long as the rule says and
//! not longer, and only for a name and a type that had addresses for a while. All of it is off the way of a hit: this is
//! asked where the cache holds nothing fresh, and told of what upstreams say of names under guard.

mod saved;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};
use lru::LruCache;

use super::zones::suffixes;
use crate::clock::Life;
use crate::config::{Config, GuardConfig};
use crate::observe::event::Event;
use crate::wire::{Answer, Ede, KeyRef, QuestionKey, Rcode, RecordType, name_to_text};

use watched::{Watched, addresses};

/// How often what is kept is asked for anew.
pub const ASK_EVERY: Duration = Duration::from_secs(5);
/// The TTL of what is kept, in seconds, at most.
pub const TTL: u32 = 30;
/// What was not confirmed for so long is forgotten: it has not vanished all of a sudden.
pub const FORGET: Duration = Duration::from_secs(24 * 3600);
/// A name that is not settled and was not heard of for so long makes room for another one.
const REST: Duration = Duration::from_secs(600);
/// Answers that are longer, in octets, are not remembered.
const LONGEST: usize = 4096;
/// Names that are asked for anew at once, of those that nobody asks for.
const ASK_AT_ONCE: usize = 10;
/// Events that wait to be taken.
const EVENTS: usize = 256;
/// Names that are listed.
const LISTED: usize = 1000;

/// What is told beside addresses that are kept.
pub const KEPT: Ede<'static> = Ede::OTHER.with_text(
    "kept by [[guard]]: upstreams say that this name has no addresses any more; its last known ones are given",
);
/// What is told beside "no such data" where an upstream says that there is no such name.
pub const EXISTS: Ede<'static> =
    Ede::OTHER.with_text("[[guard]]: upstreams say that there is no such name; it had addresses");

/// Names under guard. Shared by all workers.
#[derive(Debug)]
pub struct Guard {
    /// Whether there are any rules.
    is_on: AtomicBool,
    rules: RwLock<Arc<Rules>>,
    /// Names of which something is kept: nearly always none.
    kept: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Rules {
    /// By name in wire form and lower case. The keys are the operator's: nobody chooses them to make them collide.
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
    rules: Vec<GuardConfig>,
}

impl Rules {
    fn new(config: &Config) -> Rules {
        let mut by_name = HashMap::default();
        for (number, rule) in config.guards.iter().enumerate() {
            for zone in &rule.zones {
                by_name.insert(zone.as_slice().into(), number);
            }
        }
        Rules {
            by_name,
            rules: config.guards.clone(),
        }
    }

    /// The rule of the longest name that `name` is, or lies below.
    fn of(&self, name: &[u8]) -> Option<&GuardConfig> {
        let number = suffixes(name).find_map(|suffix| self.by_name.get(suffix))?;
        self.rules.get(*number)
    }
}

/// What is remembered.
#[derive(Debug)]
struct Book {
    /// Names that have had addresses for as long as their rules want, the one heard of last first.
    settled: LruCache<Box<[u8]>, Watched, RandomState>,
    /// The others: a flood of names that come and go displaces none but these, and those only if they are not in use.
    young: LruCache<Box<[u8]>, Watched, RandomState>,
    most: usize,
    events: VecDeque<Event>,
    counts: Counts,
    /// The number of the latest disappearance.
    number: u64,
}

/// What has come of it since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names and types that had addresses and suddenly have none.
    pub vanished: u64,
    /// Of those, such that have addresses again.
    pub returned: u64,
    /// Such as were let go at the end of the time for which they are kept.
    pub expired: u64,
    /// Such as the operator let go.
    pub released: u64,
    /// Answers with fewer addresses than the floor allows.
    pub shrunk: u64,
    /// Answers that were not remembered: no room, or too long.
    pub left_out: u64,
}

/// What upstreams say of a question.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// This, and it is useful.
    Answer(&'a Answer),
    /// That its answer is forged, or its zone broken: it fails validation (RFC 4035 section 5.5).
    Bogus,
}

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is as good as any.
    Pass,
    /// It could not be remembered for want of room.
    NoRoom,
    /// This is given in its place, for so many seconds at most.
    Keep(Answer, u32),
    /// The name has addresses: there is no data of this type, and that is all.
    NoData,
}

/// Something that is kept, for the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The name, as people write it.
    pub name: String,
    /// Of what type.
    pub record_type: RecordType,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// What was said of it: `NXDOMAIN`, `no data`, `fails validation`.
    pub said: &'static str,
    /// By whom.
    pub by: Arc<str>,
    /// For how long it has been gone.
    pub gone_for: Duration,
    /// For how long it is kept from now.
    pub left: Duration,
    /// How often it was given.
    pub given: u64,
}

impl Guard {
    /// As `config` has it.
    pub fn new(config: &Config) -> Guard {
        let rules = Rules::new(config);
        Guard {
            is_on: AtomicBool::new(!rules.by_name.is_empty()),
            rules: RwLock::new(Arc::new(rules)),
            kept: AtomicUsize::new(0),
            book: Mutex::new(Book {
                settled: LruCache::unbounded_with_hasher(RandomState::default()),
                young: LruCache::unbounded_with_hasher(RandomState::default()),
                most: config.limits.guarded_names,
                events: VecDeque::new(),
                counts: Counts::default(),
                number: 0,
            }),
        }
    }

    /// Other rules hold from now on. Names that are no longer under guard are let go.
    pub fn suit(&self, config: &Config, now: Life) {
        let rules = Arc::new(Rules::new(config));
        let is_on = !rules.by_name.is_empty();
        let mut book = self.book();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        self.is_on.store(is_on, Relaxed);
        book.most = config.limits.guarded_names;
        let out = |names: &LruCache<Box<[u8]>, Watched, RandomState>| -> Vec<Box<[u8]>> {
            let out = names.iter().filter(|(name, _)| rules.of(name).is_none());
            out.map(|(name, _)| name.clone()).collect()
        };
        let out = [out(&book.settled), out(&book.young)].concat();
        for name in out {
            book.let_go(&name, |it, name| it.released(name, "the reload", now));
        }
        while book.len() > book.most && book.young.pop_lru().is_some() {}
        self.count(&book);
    }

    /// Whether any names are under guard.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Whether anything is kept now.
    #[inline]
    pub fn keeps_any(&self) -> bool {
        self.kept.load(Relaxed) > 0
    }

    /// Whether `name`, in wire form and lower case, is under guard.
    pub fn covers(&self, name: &[u8]) -> bool {
        self.is_on() && self.rules().of(name).is_some()
    }

    /// Hears what is said of a question, and says what is done with it. `by` tells who says so, where that is
    /// of interest: it is asked with the lock of what is remembered held.
    pub fn hear(
        &self,
        key: KeyRef<'_>,
        said: Said<'_>,
        by: &dyn Fn() -> Arc<str>,
        now: Life,
    ) -> Judgement {
        if !self.is_on() {
            return Judgement::Pass;
        }
        let rules = self.rules();
        let Some(rule) = rules.of(key.name()) else {
            return Judgement::Pass;
        };
        let mut book = self.book();
        let judgement = book.hear(key, said, by, rule, now);
        self.count(&book);
        judgement
    }

    /// Gives `use_` what is kept for a question, and for how many seconds, if anything is. Says besides whether it is time
    /// to ask for it anew; that is said once.
    pub fn kept<R>(
        &self,
        key: KeyRef<'_>,
        now: Life,
        use_: impl FnOnce(&Answer, u32) -> R,
    ) -> Option<(R, bool)> {
        if !self.keeps_any() {
            return None;
        }
        let rules = self.rules();
        let rule = rules.of(key.name())?;
        let mut book = self.book();
        let kept = book
            .settled
            .get_mut(key.name())?
            .of_type(key.record_type())?;
        let left = kept.left(rule, now)?;
        let asks = kept.asks_anew(now);
        kept.gone.as_mut()?.given += 1;
        Some((use_(kept.answer(key.flags())?, left), asks))
    }

    /// That what [`Guard::hear`] said is to be kept was given so many times.
    pub fn gave(&self, key: KeyRef<'_>, count: u64) {
        let mut book = self.book();
        let watched = book.settled.peek_mut(key.name());
        let it = watched.and_then(|watched| watched.of_type(key.record_type()));
        if let Some(gone) = it.and_then(|it| it.gone.as_mut()) {
            gone.given += count;
        }
    }

    /// Lets time do its part: what was kept for as long as it may be is let go. Returns what is to be asked anew, though
    /// nobody asks for it, some of it at a time.
    pub fn tick(&self, now: Life) -> Vec<QuestionKey> {
        if !self.keeps_any() {
            return Vec::new();
        }
        let rules = self.rules();
        let mut book = self.book();
        let mut ask = Vec::new();
        let mut over = Vec::new();
        for (name, watched) in book.settled.iter_mut() {
            let rule = rules.of(name);
            for it in watched.types.iter_mut().filter(|it| it.gone.is_some()) {
                if rule.and_then(|rule| it.left(rule, now)).is_none() {
                    over.push(name.clone());
                } else if ask.len() < ASK_AT_ONCE
                    && let Some(key) = it.question(name)
                    && it.asks_anew(now)
                {
                    ask.push(key);
                }
            }
        }
        for name in over {
            let rule = rules.of(&name);
            book.let_go_of(
                &name,
                |it| rule.and_then(|rule| it.left(rule, now)).is_none(),
                |it, name| it.expired(name, now),
            );
        }
        self.count(&book);
        ask
    }

    /// Lets `name`, in wire form, go: what upstreams say of it counts from now on. Returns how many types of it were kept.
    pub fn release(&self, name: &[u8], by: &str, now: Life) -> usize {
        let mut book = self.book();
        let name = name.to_ascii_lowercase();
        let count = book.let_go(&name, |it, name| it.released(name, by, now));
        self.count(&book);
        count
    }

    /// What is kept now, at most a thousand of it, and how much there is in all.
    pub fn list(&self, now: Life) -> (Vec<Kept>, usize) {
        let rules = self.rules();
        let book = self.book();
        let mut all = Vec::new();
        let mut count = 0;
        for (name, watched) in &book.settled {
            let Some(rule) = rules.of(name) else {
                continue;
            };
            for it in &watched.types {
                if let Some(kept) = it.listed(name, rule, now) {
                    count += 1;
                    if all.len() < LISTED {
                        all.push(kept);
                    }
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        (all, count)
    }

    /// What is kept for one question.
    pub fn look(&self, key: KeyRef<'_>, now: Life) -> Option<Kept> {
        let rules = self.rules();
        let rule = rules.of(key.name())?;
        let book = self.book();
        let watched = book.settled.peek(key.name())?;
        let mut types = watched.types.iter();
        let it = types.find(|it| it.record_type == key.record_type())?;
        it.listed(key.name(), rule, now)
    }

    /// The domain by which `name`, in wire form and lower case, is under guard, and for how long it has had addresses, if
    /// that is known.
    pub fn watches(&self, name: &[u8], now: Life) -> Option<(String, Option<Duration>)> {
        let rules = self.rules();
        let zone = suffixes(name).find(|suffix| rules.by_name.contains_key(*suffix))?;
        let book = self.book();
        let watched = book.settled.peek(name).or_else(|| book.young.peek(name));
        let since = watched.and_then(|it| it.types.iter().map(|it| it.since).min());
        Some((name_to_text(zone), since.map(|since| now.since(since))))
    }

    /// Names remembered, types kept, and what has come of it since the start.
    pub fn counts(&self) -> (usize, usize, Counts) {
        let book = self.book();
        (book.len(), self.kept.load(Relaxed), book.counts)
    }

    /// What has happened since this was last asked.
    pub fn take_events(&self) -> Vec<Event> {
        match self.is_on() || self.keeps_any() {
            true => self.book().events.drain(..).collect(),
            // The last of it came with the reload that turned it off.
            false => std::mem::take(&mut self.book().events).into(),
        }
    }

    /// All of it as octets, for a snapshot.
    pub fn save(&self, now: Life) -> Vec<u8> {
        match self.is_on() {
            true => saved::write(&self.book(), now),
            false => Vec::new(),
        }
    }

    /// Takes over what [`Guard::save`] wrote `away` ago (zero if nobody knows). Returns how many names that were, and
    /// whether all of it could be read.
    pub fn restore(&self, octets: &[u8], away: Duration, now: Life) -> (usize, bool) {
        let rules = self.rules();
        let mut book = self.book();
        let restored = saved::read(octets, &rules, &mut book, away, now);
        self.count(&book);
        restored
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, book: &Book) {
        let counts = &book.counts;
        let ended = counts.returned + counts.expired + counts.released;
        self.kept
            .store((counts.vanished.saturating_sub(ended)) as usize, Relaxed);
    }
}

impl Book {
    fn len(&self) -> usize {
        self.settled.len() + self.young.len()
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }

    fn hear(
        &mut self,
        key: KeyRef<'_>,
        said: Said<'_>,
        by: &dyn Fn() -> Arc<str>,
        rule: &GuardConfig,
        now: Life,
    ) -> Judgement {
        let (name, record_type) = (key.name(), key.record_type());
        let (answer, what) = match said {
            Said::Answer(answer) if answer.kind().is_negative() => match answer.rcode() {
                Rcode::NXDOMAIN => (answer, "NXDOMAIN"),
                _ => (answer, "no data"),
            },
            Said::Answer(answer) => {
                return match addresses(answer, record_type) {
                    0 => Judgement::Pass,
                    count => self.confirm(key, answer, count, rule, now),
                };
            }
            Said::Bogus => return self.vanish(key, "fails validation", by, rule, now),
        };
        match (self.vanish(key, what, by, rule, now), what) {
            (Judgement::Pass, "NXDOMAIN") if answer.denies_name() => self.exists(name, rule, now),
            (judgement, _) => judgement,
        }
    }

    /// An answer with addresses.
    fn confirm(
        &mut self,
        key: KeyRef<'_>,
        answer: &Answer,
        count: usize,
        rule: &GuardConfig,
        now: Life,
    ) -> Judgement {
        let name = key.name();
        if answer.len() > LONGEST {
            self.counts.left_out += 1;
            return Judgement::Pass;
        }
        let was_settled = self.settled.contains(name);
        if !was_settled && !self.young.contains(name) {
            if !self.make_room(now) {
                self.counts.left_out += 1;
                return Judgement::NoRoom;
            }
            self.young.push(name.into(), Watched::default());
        }
        let (home, other) = match was_settled {
            true => (&mut self.settled, &mut self.young),
            false => (&mut self.young, &mut self.settled),
        };
        let Some(watched) = home.get_mut(name) else {
            return Judgement::Pass;
        };
        let it = watched.confirm(key, answer, count, now);
        let mut events = Vec::new();
        if let Some(gone) = it.gone.take() {
            self.counts.returned += 1;
            events.push(it.returned(name, &gone, now));
        }
        if let Some(usual) = it.shrinks(count, rule, now) {
            self.counts.shrunk += 1;
            events.push(Event::NameShrunk {
                name: name_to_text(name).into(),
                record_type: key.record_type().to_string(),
                usual,
                now: count,
            });
        }
        it.last = now;
        if watched.is_settled(rule) != was_settled
            && let Some((name, watched)) = home.pop_entry(name)
        {
            other.push(name, watched);
        }
        events.into_iter().for_each(|event| self.tell(event));
        Judgement::Pass
    }

    /// Sees to it that one more name can be remembered.
    fn make_room(&mut self, now: Life) -> bool {
        if self.len() < self.most {
            return true;
        }
        // Not sooner: where more names come round than there is room for, none would ever become settled.
        let rests = |(_, it): (_, &Watched)| {
            let mut types = it.types.iter();
            types.all(|it| now.since(it.last) > REST)
        };
        if self.young.peek_lru().is_some_and(rests) {
            return self.young.pop_lru().is_some();
        }
        let old = self.settled.peek_lru();
        let is_old = old.is_some_and(|(_, it)| it.is_forgotten(now));
        is_old && self.settled.pop_lru().is_some()
    }

    /// A question that had addresses has none.
    fn vanish(
        &mut self,
        key: KeyRef<'_>,
        said: &'static str,
        by: &dyn Fn() -> Arc<str>,
        rule: &GuardConfig,
        now: Life,
    ) -> Judgement {
        let (name, record_type) = (key.name(), key.record_type());
        // What had none for long enough has lost nothing; what comes next begins anew.
        if let Some(watched) = self.young.get_mut(name) {
            watched.types.retain(|it| it.record_type != record_type);
        }
        let number = self.number + 1;
        let Some(watched) = self.settled.get_mut(name) else {
            return Judgement::Pass;
        };
        let Some(it) = watched.of_type(record_type) else {
            return Judgement::Pass;
        };
        let mut event = None;
        match &it.gone {
            Some(_) => {}
            None if !it.is_settled(rule) || it.is_forgotten(now) => {
                watched.types.retain(|it| it.record_type != record_type);
                return Judgement::Pass;
            }
            None => {
                it.go(said, by(), number, now);
                event = it.vanished(name, rule, now);
            }
        }
        let judgement = match (it.left(rule, now), it.answer(key.flags())) {
            (Some(left), Some(answer)) => Judgement::Keep(answer.clone(), left),
            // Its time is over; who looks after that has not looked since.
            _ => Judgement::Pass,
        };
        if let Some(event) = event {
            self.number = number;
            self.counts.vanished += 1;
            self.tell(event);
        }
        if judgement == Judgement::Pass {
            self.let_go_of(
                name,
                |it| it.left(rule, now).is_none(),
                |it, name| it.expired(name, now),
            );
        }
        judgement
    }

    /// "No such name", of a name that has addresses of another type, or whose addresses are kept.
    fn exists(&mut self, name: &[u8], rule: &GuardConfig, now: Life) -> Judgement {
        let Some(watched) = self.settled.get(name) else {
            return Judgement::Pass;
        };
        let counts = |it: &watched::OfType| match &it.gone {
            Some(_) => it.left(rule, now).is_some(),
            None => it.is_settled(rule) && !it.is_forgotten(now),
        };
        match watched.types.iter().any(counts) {
            true => Judgement::NoData,
            false => Judgement::Pass,
        }
    }

    /// Forgets a name. Returns how many of its types were kept.
    fn let_go(
        &mut self,
        name: &[u8],
        event: impl Fn(&watched::OfType, &[u8]) -> Option<Event>,
    ) -> usize {
        self.young.pop(name);
        let Some(watched) = self.settled.pop(name) else {
            return 0;
        };
        let mut count = 0;
        for it in &watched.types {
            if let Some(event) = event(it, name) {
                count += 1;
                self.counts.released += 1;
                self.tell(event);
            }
        }
        count
    }

    /// Forgets those types of a name that are kept and for which `is_over` holds.
    fn let_go_of(
        &mut self,
        name: &[u8],
        is_over: impl Fn(&watched::OfType) -> bool,
        event: impl Fn(&watched::OfType, &[u8]) -> Option<Event>,
    ) {
        let Some(watched) = self.settled.peek_mut(name) else {
            return;
        };
        let mut events = Vec::new();
        watched.types.retain(|it| {
            let over = it.gone.is_some() && is_over(it);
            if over {
                events.extend(event(it, name));
            }
            !over
        });
        if watched.types.is_empty() {
            self.settled.pop(name);
        }
        for event in events {
            self.counts.expired += 1;
            self.tell(event);
        }
    }
}
