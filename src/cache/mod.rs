//! What is known stays known: answers in wire format under their question key.
//!
//! A host's lifeline while every path is congested is what it already knows, so this room answers
//! three questions: what is held for this question and how fresh is it ([`Cache::read`]), what is
//! worth holding ([`Cache::store`]), and what was found not to work ([`Failures`]).
//! [`snapshot`] carries the answers across a restart.
//!
//! The cache is many small shards, each behind a lock of its own that is held for as long as it
//! takes to copy an answer. Small, because then nothing that happens under a lock takes long: a
//! hash table that grows, a snapshot that copies, an eviction. A hit neither allocates nor moves
//! anything. The shard and the place in it are told by a keyed hash; the question is always compared
//! in full, so two names with one hash cost a miss and never a wrong answer.
//!
//! Nothing here reads a clock: every call is told the time, and age is a difference. It is the time by which
//! things age ([`Life`]), which goes on while the host sleeps. Nothing expires
//! by itself either; an answer past its TTL is *stale* and may be all there is (RFC 8767). Whether
//! to serve it is decided by the caller, who knows the state of the routes.

mod denied;
mod entry;
mod failures;
mod ghosts;
mod horizon;
mod looking;
mod memory;
mod rules;
mod segment;
mod segments;
pub mod snapshot;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use entry::Freshness;
pub use failures::{Failure, Failures};
pub use rules::{Lifetime, NotKept};
pub use segments::Evictions;

use std::fmt;
use std::hash::Hasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::clock::Life;
use crate::config::{CacheConfig, ZoneTtls};
use crate::wire::{Answer, KeyRef, Kind, QuestionKey, Rcode};

use denied::Denied;
use entry::Entry;
use horizon::Horizon;
use segments::{Put, Segments};

/// The `route` of an answer that was read back from a snapshot: routes are numbered anew with every
/// start.
pub const FROM_SNAPSHOT: u16 = u16::MAX;

/// A shard is at least this large: some 1,500 A answers. Half as large, an answer of 32 KiB would
/// no longer be kept; larger, and what is done under its lock would be felt.
const SHARD_LEAST: usize = 256 * 1024;
/// Beyond 16 GiB shards grow rather than multiply: an empty one takes half a kilobyte.
const SHARDS_MOST: usize = 64 * 1024;

/// Answers by question key. Shared by all workers.
pub struct Cache {
    /// A power of two of them; none if the cache is off.
    shards: Box<[Shard]>,
    denied: Denied,
    rules: rules::Held,
    seeds: SharedSeed,
    seed: u64,
    /// Held while a snapshot is written: there is one at a time.
    snapshot: Mutex<()>,
}

/// On a cache line of its own, so that the locks of neighbours do not get in each other's way.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(Mutex<Segments>);

/// What was found.
#[derive(Debug)]
pub struct Hit<'a> {
    /// The answer, its TTLs as they were when it was stored.
    pub answer: &'a Answer,
    /// Seconds since then: what its TTLs are lowered by when it is served fresh.
    pub age: u32,
    /// Whether it is fresh, due or stale.
    pub freshness: Freshness,
    /// The route it came over, or [`FROM_SNAPSHOT`].
    pub route: u16,
    /// Which record a set of addresses begins with this time; zero where their order is left alone.
    pub turn: u32,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The number of the route.
    pub route: u16,
    /// Whether the upstream is believed to be well. The negative answer of one that is not does
    /// not replace a positive answer that can still be used.
    pub trusted: bool,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is held, and there was none before.
    New,
    /// It is held in the place of an earlier one.
    Replaced,
    /// It is not held. What was held before still is.
    Not(NotKept),
}

/// The state of the cache, summed over its shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers held, fresh and stale.
    pub entries: usize,
    /// Bytes held, bookkeeping included.
    pub bytes: usize,
    /// Bytes it may hold at most.
    pub bound: usize,
    /// Answers stored that were not held before.
    pub insertions: u64,
    /// Answers stored in the place of earlier ones.
    pub replacements: u64,
    /// Answers not kept because of their size.
    pub too_big: u64,
    /// Answers that had to go, by reason.
    pub evictions: Evictions,
}

/// One entry, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Seconds since it was stored.
    pub age: u32,
    /// Seconds it was given then.
    pub ttl: u32,
    /// Whether it is fresh or stale.
    pub freshness: Freshness,
    /// What kind of answer it is.
    pub kind: Kind,
    /// Its response code.
    pub rcode: Rcode,
    /// The route it came over, or [`FROM_SNAPSHOT`].
    pub route: u16,
    /// Questions answered from it since it was stored; stops at 65,535.
    pub hits: u16,
    /// Bytes it takes.
    pub bytes: usize,
}

impl Cache {
    /// An empty cache. `seed` keys the hash and must not be known to others; it also spreads
    /// refreshes. Takes next to no memory before it fills.
    pub fn new(config: &CacheConfig, seed: u64) -> Cache {
        let count = match config.size {
            0 => 0,
            size => 1 << (size / SHARD_LEAST).clamp(1, SHARDS_MOST).ilog2(),
        };
        let bound = config.size.checked_div(count).unwrap_or(0);
        let shards = (0..count).map(|_| Shard(Mutex::new(Segments::new(bound))));
        Cache {
            shards: shards.collect(),
            denied: Denied::new(config.size),
            rules: rules::Held::new(config),
            seeds: SharedSeed::from_u64(seed.rotate_left(32) ^ 0x6279_7761_7963_6163),
            seed,
            snapshot: Mutex::new(()),
        }
    }

    /// Whether it can be made as large as this without forgetting anything: its shards stay as many as they are, and
    /// one must hold the largest answers. One that is off cannot be turned on, nor off.
    pub fn can_be_resized(&self, size: usize) -> bool {
        let count = self.shards.len();
        count > 0 && size / count >= SHARD_LEAST / 4
    }

    /// Takes over what a reload may change: the rules, and the size if [`Cache::can_be_resized`] says so. What does not
    /// fit any more goes, the least asked for first.
    pub fn suit(&self, config: &CacheConfig, now: Life) {
        self.rules.set(config);
        if !self.can_be_resized(config.size) {
            return;
        }
        let bound = config.size / self.shards.len();
        for mut shard in self.each_shard() {
            if shard.bound() != bound {
                shard.resize(bound, self.horizon(now));
            }
        }
    }

    /// The hash under which `key` is stored.
    ///
    /// Names are chosen by strangers. foldhash is keyed but not a cryptographic hash; what a
    /// stranger who learnt to make names collide would gain is bounded by the size of a shard: some
    /// thousand comparisons in one of very many tables, and a cached name of his own less. That is
    /// not worth five times the cost on every hit, which SipHash has.
    #[inline]
    pub fn hash(&self, key: &QuestionKey) -> u64 {
        self.hash_of(key.as_bytes())
    }

    /// The same hash of any octets.
    #[inline]
    pub fn hash_of(&self, octets: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.seeds);
        hasher.write(octets);
        hasher.finish()
    }

    /// The hash under which it is noted that the name of `key` does not exist.
    fn hash_of_name(&self, key: KeyRef<'_>) -> u64 {
        let mut hasher = FoldHasher::with_seed(!self.seed, &self.seeds);
        hasher.write(key.name());
        hasher.write_u8(key.flags());
        hasher.finish()
    }

    /// The question under which an answer may be held that there is no such name as that of `key`, for
    /// whatever type (RFC 2308 section 5). What is found there must be looked at: it may be gone, or be
    /// another answer by now.
    pub fn denied(&self, key: &QuestionKey) -> Option<QuestionKey> {
        let record_type = self.denied.look(self.hash_of_name(key.by_ref()))?;
        (record_type != key.record_type()).then(|| key.with_type(record_type))
    }

    /// As [`Cache::denied`], for whatever type, that of `key` too.
    pub fn denied_of_any(&self, key: &QuestionKey) -> Option<QuestionKey> {
        let record_type = self.denied.look(self.hash_of_name(key.by_ref()))?;
        Some(key.with_type(record_type))
    }

    /// Notes whether an answer that is held says that its name does not exist.
    fn note_denial(&self, key: KeyRef<'_>, denies: bool) {
        let hash = self.hash_of_name(key);
        match denies {
            true => self.denied.note(hash, key.record_type()),
            false => self.denied.clear(hash),
        }
    }

    /// Looks up the answer to `key`, whose hash is `hash`, and hands it to `use_` under the shard's
    /// lock: copying it straight to where it is sent from is all that should be done there. `None`
    /// if nothing is held, or nothing that may still be used.
    #[inline]
    pub fn read<'k, R>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        now: Life,
        use_: impl FnOnce(Hit<'_>) -> R,
    ) -> Option<R> {
        let mut shard = self.shard(hash)?;
        let epoch = shard.epoch();
        let entry = shard.get(hash)?;
        if !entry.answers(key.into()) {
            return None;
        }
        let Some(mut freshness) = entry.freshness(now, self.rules.stale_max()) else {
            shard.remove_dead(hash);
            return None;
        };
        entry.count_hit(epoch);
        if let Freshness::Fresh { refresh_due, .. } = &mut freshness {
            *refresh_due = self.rules.refresh() && entry.report_refresh(spread(hash), now);
        }
        Some(use_(Hit {
            answer: &entry.answer,
            age: entry.age(now),
            freshness,
            route: entry.route,
            turn: match self.rules.rotate() {
                true => entry.turn(now),
                false => 0,
            },
        }))
    }

    /// Brings the TTLs of an answer within the configured limits and says how long it may be kept, so that
    /// clients who get it before it is stored are told what those are told who come later.
    ///
    /// # Errors
    /// Why it may not be kept; those who asked get it all the same.
    pub fn admit(&self, answer: &mut Answer) -> Result<Lifetime, NotKept> {
        self.rules.get().admit(answer)
    }

    /// As [`Cache::admit`], within the limits of a zone.
    ///
    /// # Errors
    /// As [`Cache::admit`].
    pub fn admit_within(&self, answer: &mut Answer, zone: &ZoneTtls) -> Result<Lifetime, NotKept> {
        self.rules.get().within(zone).admit(answer)
    }

    /// As [`Cache::admit`], for a denial by an upstream that comes after another one: that may know better as soon as it
    /// can be asked. It is kept for some seconds and never served stale.
    ///
    /// # Errors
    /// As [`Cache::admit`].
    pub fn admit_provisionally(&self, answer: &mut Answer) -> Result<Lifetime, NotKept> {
        self.rules.get().admit_provisionally(answer)
    }

    /// Stores the answer to `key`, whose hash is `hash`, if it may be kept: see [`NotKept`] for what
    /// may not. It takes the place of what was held for the key.
    pub fn store<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        mut answer: Answer,
        origin: Origin,
        now: Life,
    ) -> Stored {
        match self.admit(&mut answer) {
            Ok(lifetime) => self.store_admitted(key, hash, answer, lifetime, origin, now),
            Err(reason) => Stored::Not(reason),
        }
    }

    /// [`Cache::store`] for an answer of which [`Cache::admit`] has said how long it may be kept.
    pub fn store_admitted<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        answer: Answer,
        lifetime: Lifetime,
        origin: Origin,
        now: Life,
    ) -> Stored {
        let key = key.into();
        let Some(mut shard) = self.shard(hash) else {
            return Stored::Not(NotKept::Off);
        };
        if answer.question() != key.question() {
            return Stored::Not(NotKept::AnotherQuestion);
        }
        let horizon = self.horizon(now);
        if answer.kind().is_negative()
            && !origin.trusted
            && let Some(held) = shard.peek(hash)
            && held.answers(key)
            && held.answer.kind() == Kind::Positive
            && !horizon.is_dead(held)
        {
            return Stored::Not(NotKept::Shadows);
        }
        let denies = answer.denies_name();
        let entry = Entry::new(key, answer, lifetime, origin.route, now);
        if !shard.takes(entry.bytes()) {
            shard.counts.too_big += 1;
            return Stored::Not(NotKept::TooBig);
        }
        let put = shard.put(hash, entry, horizon);
        drop(shard);
        self.note_denial(key, denies);
        match put {
            Put::New => Stored::New,
            Put::Replaced => Stored::Replaced,
        }
    }

    /// Says that the refresh that was due for `key` came to nothing, or was not allowed. The next
    /// reader is told after a pause of a few seconds, if the TTL lasts that long.
    pub fn refresh_failed<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64, now: Life) {
        if let Some(mut shard) = self.shard(hash)
            && let Some(entry) = shard.peek(hash)
            && entry.answers(key.into())
        {
            entry.pause_refresh(spread(hash), now);
        }
    }

    /// What is held for `key`, without counting as a question. `None` if there is nothing that may
    /// still be used.
    pub fn look(&self, key: &QuestionKey, now: Life) -> Option<Look> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash)?;
        let entry = shard
            .peek(hash)
            .filter(|entry| entry.answers(key.by_ref()))?;
        Some(Look {
            age: entry.age(now),
            ttl: entry.ttl,
            freshness: entry.freshness(now, self.rules.stale_max())?,
            kind: entry.answer.kind(),
            rcode: entry.answer.rcode(),
            route: entry.route,
            hits: entry.hits,
            bytes: entry.bytes(),
        })
    }

    /// Forgets every answer for `name`, a name in wire form, whatever the type. Returns how many.
    pub fn flush_name(&self, name: &[u8]) -> usize {
        let name = name.to_ascii_lowercase();
        self.retain(|entry| entry.name() != name)
    }

    /// Forgets every answer for `name`, a name in wire form, and for all names below it. Returns
    /// how many.
    pub fn flush_subtree(&self, name: &[u8]) -> usize {
        let name = name.to_ascii_lowercase();
        self.retain(|entry| !is_within(entry.name(), &name))
    }

    /// Forgets everything and gives the memory back. Returns how many answers that were.
    pub fn flush_all(&self) -> usize {
        self.each_shard().map(|mut shard| shard.clear()).sum()
    }

    /// Forgets the answer to `key`, whose hash is `hash`.
    pub fn forget_key<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64) {
        if let Some(mut shard) = self.shard(hash)
            && shard.peek(hash).is_some_and(|it| it.answers(key.into()))
        {
            shard.remove(hash);
        }
    }

    /// Forgets every answer for names, in wire form, for which `is_one` holds. Returns how many.
    pub fn forget(&self, is_one: impl Fn(&[u8]) -> bool) -> usize {
        self.retain(|entry| !is_one(entry.name()))
    }

    /// Forgets every answer for which `is_one` holds. Returns how many.
    pub fn forget_answers(&self, is_one: impl Fn(&Answer) -> bool) -> usize {
        self.retain(|entry| !is_one(&entry.answer))
    }

    /// The state of the cache. Takes each shard's lock once, for a moment.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats::default();
        for shard in self.each_shard() {
            let counts = &shard.counts;
            stats.entries += shard.len();
            stats.bytes += shard.bytes();
            stats.bound += shard.bound();
            stats.insertions += counts.insertions;
            stats.replacements += counts.replacements;
            stats.too_big += counts.too_big;
            stats.evictions += counts.evictions;
        }
        stats
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) -> usize {
        self.each_shard().map(|mut shard| shard.retain(&keep)).sum()
    }

    fn horizon(&self, now: Life) -> Horizon {
        Horizon {
            now,
            stale_max: self.rules.stale_max(),
        }
    }

    /// The shard of `hash`. The bits that choose it are not those that the tables in it go by.
    #[inline]
    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Segments>> {
        let index = (hash >> 32) as usize & self.shards.len().wrapping_sub(1);
        self.shards.get(index).map(Shard::lock)
    }

    fn each_shard(&self) -> impl Iterator<Item = MutexGuard<'_, Segments>> {
        self.shards.iter().map(Shard::lock)
    }
}

impl fmt::Debug for Cache {
    /// Says nothing of the seed, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Cache")
            .field("stats", &stats)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// A reader that panicked has changed nothing halfway, so its lock is good.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Segments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that differs from name to name and has nothing to do with where it is stored.
fn spread(hash: u64) -> u64 {
    hash >> 24
}

/// Whether `name` is `zone` or below it; both in wire form and lower case.
fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == zone {
            return true;
        }
        match rest.split_first() {
            Some((label, tail)) if *label > 0 => {
                rest = tail.get(usize::from(*label)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}
