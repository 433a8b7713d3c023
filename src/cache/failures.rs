//! What was found not to work is not tried again at once (RFC 9520).
//!
//! A failure is remembered for the question, and apart from that for the question over one route:
//! the first keeps clients from sending questions upstream that cannot be answered now, the second
//! keeps one route from being asked again for what another may answer. The time grows
//! from `failure-min-ttl` to `failure-max-ttl`, twofold with every failure, and a success clears it.
//! Only the question that failed is remembered, so a broken zone does its neighbours no harm.
//!
//! This is a table apart from the answers: a failure never takes an answer's place. It is bounded,
//! and the failure that was asked for longest ago goes first.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::clock::Life;
use crate::config::live::Span;
use crate::config::{CacheConfig, ZoneTtls};
use crate::wire::{KeyRef, QuestionKey};

use super::segment::Hashed;

/// Questions whose failures are held: at most 9 MB of them, and in a storm of names that do not resolve
/// some minutes' worth at a hundred new ones a second.
const HELD: usize = 16 * 1024;
/// Misses of all workers pass here, so there is more than one lock.
const SHARDS: usize = 16;
/// Doublings after which any time allowed has reached any bound allowed.
const DOUBLINGS: u32 = 20;
/// After a failure, what is held is to be renewed so soon (RFC 8767 section 5 has half a minute).
const RENEW_AFTER: Duration = Duration::from_secs(5);
/// Routes remembered for one question. Where more fail the question does.
const ROUTES: usize = 8;

/// Failures by question, and by question and route. Shared by all workers.
#[derive(Debug)]
pub struct Failures {
    shards: [Shard; SHARDS],
    min_ttl: Span,
    max_ttl: Span,
}

/// A failure that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The Extended DNS Error that tells why (RFC 8914): the one it was recorded with.
    pub ede: u16,
    /// When it last failed.
    pub since: Life,
    /// When the question may be tried again.
    pub until: Life,
    /// How often in a row it has failed, at least 1.
    pub times: u32,
}

impl Failure {
    /// Whether the question may be tried again now that a stale answer was given for want of a better one: those
    /// who get one are to get a fresh one soon after the failure is over, so this is sooner than if there were
    /// none.
    pub fn may_be_renewed(&self, now: Life) -> bool {
        now >= self.until.min(self.since + RENEW_AFTER)
    }
}

#[derive(Debug)]
struct Shard {
    records: Mutex<Records>,
    /// How many there are, and how many of them have failures over single routes: nearly always none, and
    /// the usual miss need not look for any.
    held: AtomicUsize,
    routed: AtomicUsize,
}

type Records = LruCache<u64, Record, Hashed>;

#[derive(Debug)]
struct Record {
    /// The whole key, so that names with one hash are not taken for each other.
    key: Box<[u8]>,
    /// Of the question over whatever route.
    failure: Option<Failure>,
    /// Of the question over single routes, the latest last.
    routes: Vec<(u16, Failure)>,
}

impl Record {
    fn is_for(&self, key: KeyRef<'_>) -> bool {
        *self.key == *key.as_bytes()
    }

    fn of(&mut self, route: Option<u16>) -> Option<&mut Failure> {
        match route {
            None => self.failure.as_mut(),
            Some(route) => {
                let known = self.routes.iter_mut().find(|(known, _)| *known == route);
                known.map(|(_, failure)| failure)
            }
        }
    }
}

impl Failures {
    /// An empty table.
    pub fn new(config: &CacheConfig) -> Failures {
        let room = NonZeroUsize::new(HELD / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shard = || {
            let mut records = LruCache::unbounded_with_hasher(Hashed::default());
            records.resize(room);
            Shard {
                records: Mutex::new(records),
                held: AtomicUsize::new(0),
                routed: AtomicUsize::new(0),
            }
        };
        Failures {
            shards: std::array::from_fn(|_| shard()),
            min_ttl: Span::new(config.failure_min_ttl),
            max_ttl: Span::new(config.failure_max_ttl.max(config.failure_min_ttl)),
        }
    }

    /// Takes over the times that a reload may change. Failures that are remembered keep theirs.
    pub fn suit(&self, config: &CacheConfig) {
        self.min_ttl.set(config.failure_min_ttl);
        let most = config.failure_max_ttl.max(config.failure_min_ttl);
        self.max_ttl.set(most);
    }

    /// Whether the question `key` has failed so recently that it is not to be tried. `hash` is
    /// [`Cache::hash`](super::Cache::hash) of `key`.
    pub fn check<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64, now: Life) -> Option<Failure> {
        let shard = self.shard(hash);
        if shard.is_empty() {
            return None;
        }
        let mut records = shard.lock();
        let record = records
            .get(&hash)
            .filter(|record| record.is_for(key.into()))?;
        record.failure.filter(|failure| now < failure.until)
    }

    /// How the question failed when it was last asked; `None` if it was answered, or that is too long ago.
    pub fn last<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64, now: Life) -> Option<Failure> {
        let shard = self.shard(hash);
        if shard.is_empty() {
            return None;
        }
        let mut records = shard.lock();
        let record = records
            .get(&hash)
            .filter(|record| record.is_for(key.into()))?;
        record
            .failure
            .filter(|failure| counts(failure, self.max_ttl.get(), now))
    }

    /// Tells `each` the routes over which the question has failed so recently that it is not to be asked
    /// over them while there is another.
    pub fn routes_failed<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        now: Life,
        mut each: impl FnMut(u16),
    ) {
        let shard = self.shard(hash);
        if shard.routed.load(Ordering::Relaxed) == 0 {
            return;
        }
        let key = key.into();
        let mut records = shard.lock();
        let Some(record) = records.get(&hash).filter(|record| record.is_for(key)) else {
            return;
        };
        for (route, failure) in &record.routes {
            if now < failure.until {
                each(*route);
            }
        }
    }

    /// Records that the question, or it over `route`, has failed, and says until when it is not to
    /// be tried. Failures that come in while an earlier one is remembered are the same failure: they
    /// were under way already, and do not make the time longer. A failure is forgotten, and the
    /// next one the first again, once it has been over for `failure-max-ttl`.
    pub fn record<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        route: Option<u16>,
        ede: u16,
        now: Life,
    ) -> Failure {
        self.record_within(key, hash, route, ede, now, &ZoneTtls::default())
    }

    /// As [`Failures::record`], for as long as a zone says.
    pub fn record_within<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        route: Option<u16>,
        ede: u16,
        now: Life,
        zone: &ZoneTtls,
    ) -> Failure {
        let least = zone.failure_min.unwrap_or(self.min_ttl.get());
        let most = zone.failure_max.unwrap_or(self.max_ttl.get()).max(least);
        let key = key.into();
        let shard = self.shard(hash);
        let mut records = shard.lock();
        if !records.get(&hash).is_some_and(|record| record.is_for(key)) {
            let record = Record {
                key: key.as_bytes().into(),
                failure: None,
                routes: Vec::new(),
            };
            shard.held.fetch_add(1, Ordering::Relaxed);
            if let Some((_, gone)) = records.push(hash, record) {
                shard.uncount(&gone);
            }
        }
        let first = failing(ede, 1, (least, most), now);
        let Some(record) = records.get_mut(&hash) else {
            return first;
        };
        if let Some(failure) = record.of(route) {
            if now < failure.until {
                (failure.ede, failure.since) = (ede, now);
                return *failure;
            }
            let times = match counts(failure, most, now) {
                true => failure.times.saturating_add(1),
                false => 1,
            };
            *failure = failing(ede, times, (least, most), now);
            return *failure;
        }
        match route {
            None => record.failure = Some(first),
            Some(route) => {
                if record.routes.is_empty() {
                    shard.routed.fetch_add(1, Ordering::Relaxed);
                }
                if record.routes.len() == ROUTES {
                    record.routes.remove(0);
                }
                record.routes.push((route, first));
            }
        }
        first
    }

    /// The question, or it over `route`, has been answered: what was remembered of that is forgotten.
    pub fn clear<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64, route: Option<u16>) {
        let shard = self.shard(hash);
        if shard.is_empty() {
            return;
        }
        let mut records = shard.lock();
        let record = records
            .peek_mut(&hash)
            .filter(|record| record.is_for(key.into()));
        let Some(record) = record else {
            return;
        };
        match route {
            None => record.failure = None,
            Some(route) => {
                let before = record.routes.len();
                record.routes.retain(|(known, _)| *known != route);
                if before > 0 && record.routes.is_empty() {
                    shard.routed.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if record.failure.is_none()
            && record.routes.is_empty()
            && let Some(gone) = records.pop(&hash)
        {
            shard.uncount(&gone);
        }
    }

    /// Forgets everything, as when the network has healed. Returns for how many questions.
    pub fn flush_all(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let mut records = shard.lock();
            let held = records.len();
            while let Some((_, gone)) = records.pop_lru() {
                shard.uncount(&gone);
            }
            held
        });
        shards.sum()
    }

    /// Forgets every failure of `name`, a name in wire form, and of all names below it. Returns how
    /// many.
    pub fn flush_subtree(&self, name: &[u8]) -> usize {
        let name = name.to_ascii_lowercase();
        self.forget(|of| super::is_within(of, &name))
    }

    /// Forgets every failure of names, in wire form and lower case, for which `is_one` holds. Returns for how many questions.
    pub fn forget(&self, is_one: impl Fn(&[u8]) -> bool) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let mut records = shard.lock();
            let held = records.len();
            records.retain(|_, record| {
                let key = QuestionKey::from_bytes(&record.key);
                let gone = key.is_some_and(|key| is_one(key.name()));
                if gone {
                    shard.uncount(record);
                }
                !gone
            });
            held - records.len()
        });
        shards.sum()
    }

    /// How many questions' failures are held, those included whose time is over.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Questions whose failures are held, at most.
    pub const fn capacity() -> usize {
        HELD / SHARDS * SHARDS
    }

    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

/// A failure that lasts twice as long each time, between the least and the most.
fn failing(ede: u16, times: u32, (least, most): (Duration, Duration), now: Life) -> Failure {
    let doublings = (times - 1).min(DOUBLINGS);
    let lasts = least.saturating_mul(1 << doublings).min(most);
    Failure {
        ede,
        since: now,
        until: now + lasts,
        times,
    }
}

/// Whether a failure is not forgotten: another one will not be the first again.
fn counts(failure: &Failure, most: Duration, now: Life) -> bool {
    now.since(failure.until) < most
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    /// One that is gone.
    fn uncount(&self, gone: &Record) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        if !gone.routes.is_empty() {
            self.routed.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
