//! What was found not to work is not tried again at once (RFC 9520).
//!
//! A failure is remembered for the question, and apart from that for the question over one route:
//! the first keeps clients from sending questions upstream that cannot be answered now, the second
//! keeps one route from being tried again for a question that another may answer. The time grows
//! from `failure-min-ttl` to `failure-max-ttl`, twofold with every failure, and a success clears it.
//! Only the question that failed is remembered, so a broken zone does its neighbours no harm.
//!
//! This is a table apart from the answers: a failure never takes an answer's place. It is bounded,
//! and the failure that was asked for longest ago goes first.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::clock::Time;
use crate::config::CacheConfig;
use crate::wire::QuestionKey;

use super::segments::Hashed;

/// Failures held in all: at most 5 MB of them, and in a storm of names that do not resolve some
/// minutes' worth at a hundred new ones a second.
const HELD: usize = 16 * 1024;
/// Misses of all workers pass here, so there is more than one lock.
const SHARDS: usize = 16;
/// Doublings after which any time allowed has reached any bound allowed.
const DOUBLINGS: u32 = 20;

/// Failures by question, and by question and route. Shared by all workers.
#[derive(Debug)]
pub struct Failures {
    shards: [Mutex<LruCache<u64, Record, Hashed>>; SHARDS],
    min_ttl: Duration,
    max_ttl: Duration,
}

/// A failure that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The Extended DNS Error that tells why (RFC 8914): the one it was recorded with.
    pub ede: u16,
    /// When the question may be tried again.
    pub until: Time,
    /// How often in a row it has failed, at least 1.
    pub times: u32,
}

#[derive(Debug)]
struct Record {
    /// The whole key, so that names with one hash are not taken for each other.
    key: Box<[u8]>,
    /// `None` for the question over whatever route.
    route: Option<u16>,
    failure: Failure,
}

impl Record {
    fn is_for(&self, key: &QuestionKey, route: Option<u16>) -> bool {
        self.route == route && *self.key == *key.as_bytes()
    }
}

impl Failures {
    /// An empty table.
    pub fn new(config: &CacheConfig) -> Failures {
        let room = NonZeroUsize::new(HELD / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let table = || {
            let mut table = LruCache::unbounded_with_hasher(Hashed::default());
            table.resize(room);
            Mutex::new(table)
        };
        Failures {
            shards: std::array::from_fn(|_| table()),
            min_ttl: config.failure_min_ttl,
            max_ttl: config.failure_max_ttl.max(config.failure_min_ttl),
        }
    }

    /// Whether the question `key`, or it over `route` if one is given, has failed so recently that it
    /// is not to be tried. `hash` is [`Cache::hash`](super::Cache::hash) of `key`.
    pub fn check(
        &self,
        key: &QuestionKey,
        hash: u64,
        route: Option<u16>,
        now: Time,
    ) -> Option<Failure> {
        let hash = with_route(hash, route);
        let mut shard = self.shard(hash);
        let record = shard.get(&hash)?;
        let holds = record.is_for(key, route) && now < record.failure.until;
        holds.then_some(record.failure)
    }

    /// Records that the question, or it over `route`, has failed, and says until when it is not to
    /// be tried. Failures that come in while an earlier one is remembered are the same failure: they
    /// were under way already, and do not make the time longer. A failure is forgotten, and the
    /// next one the first again, once it has been over for `failure-max-ttl`.
    pub fn record(
        &self,
        key: &QuestionKey,
        hash: u64,
        route: Option<u16>,
        ede: u16,
        now: Time,
    ) -> Failure {
        let hash = with_route(hash, route);
        let mut shard = self.shard(hash);
        let before = shard
            .get_mut(&hash)
            .filter(|record| record.is_for(key, route));
        if let Some(Record { failure, .. }) = before {
            if now < failure.until {
                failure.ede = ede;
                return *failure;
            }
            let again = now.since(failure.until) < self.max_ttl;
            let times = if again {
                failure.times.saturating_add(1)
            } else {
                1
            };
            *failure = self.failure(ede, times, now);
            return *failure;
        }
        let failure = self.failure(ede, 1, now);
        let key = key.as_bytes().into();
        shard.push(
            hash,
            Record {
                key,
                route,
                failure,
            },
        );
        failure
    }

    /// The question, or it over `route`, has been answered: whatever was remembered is forgotten.
    pub fn clear(&self, key: &QuestionKey, hash: u64, route: Option<u16>) {
        let hash = with_route(hash, route);
        let mut shard = self.shard(hash);
        if shard
            .peek(&hash)
            .is_some_and(|record| record.is_for(key, route))
        {
            shard.pop(&hash);
        }
    }

    /// Forgets everything, as when the network has healed. Returns how many failures that were.
    pub fn flush_all(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let held = shard.len();
            shard.clear();
            held
        });
        shards.sum()
    }

    /// Forgets every failure of `name`, a name in wire form, and of all names below it. Returns how
    /// many.
    pub fn flush_subtree(&self, name: &[u8]) -> usize {
        let name = name.to_ascii_lowercase();
        let shards = self.shards.iter().map(|shard| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let held = shard.len();
            shard.retain(|_, record| {
                let key = QuestionKey::from_bytes(&record.key);
                !key.is_some_and(|key| super::is_within(key.name(), &name))
            });
            held - shard.len()
        });
        shards.sum()
    }

    /// How many failures are held, those included whose time is over.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Failures held at most.
    pub const fn capacity() -> usize {
        HELD / SHARDS * SHARDS
    }

    fn failure(&self, ede: u16, times: u32, now: Time) -> Failure {
        let doublings = (times - 1).min(DOUBLINGS);
        let lasts = self
            .min_ttl
            .saturating_mul(1 << doublings)
            .min(self.max_ttl);
        Failure {
            ede,
            until: now + lasts,
            times,
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, LruCache<u64, Record, Hashed>> {
        let index = (hash >> 32) as usize % SHARDS;
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a question over a route. Whether it is the same question is decided by comparing.
fn with_route(hash: u64, route: Option<u16>) -> u64 {
    match route {
        None => hash,
        Some(route) => {
            (hash ^ u64::from(route) ^ 0x726f_7574_6500_0000).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }
    }
}
