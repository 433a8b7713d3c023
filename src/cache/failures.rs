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

use super::segment::Hashed;

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

#[cfg(test)]
mod tests {
    use super::super::testing::{config, key, wire_name};
    use super::*;

    const NOW: Time = Time::START;
    const UNREACHABLE: u16 = 22;

    fn after(seconds: u64) -> Time {
        NOW + Duration::from_secs(seconds)
    }

    fn hash(key: &QuestionKey) -> u64 {
        super::super::Cache::new(&config(0), 5).hash(key)
    }

    #[test]
    fn the_time_doubles_from_the_least_to_the_most() {
        let failures = Failures::new(&config(0));
        let (key, mut now) = (key("broken.example"), NOW);
        let hash = hash(&key);
        let mut lasted = Vec::new();
        for times in 1..=12 {
            assert_eq!(failures.check(&key, hash, None, now), None);
            let failure = failures.record(&key, hash, None, UNREACHABLE, now);
            assert_eq!((failure.ede, failure.times), (UNREACHABLE, times));
            assert_eq!(failures.check(&key, hash, None, now), Some(failure));
            let just_before = failure.until - Duration::from_nanos(1);
            assert_eq!(failures.check(&key, hash, None, just_before), Some(failure));
            lasted.push(failure.until.since(now).as_secs());
            now = failure.until;
        }
        assert_eq!(lasted, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn failures_that_were_under_way_already_count_as_one() {
        let failures = Failures::new(&config(0));
        let key = key("broken.example");
        let hash = hash(&key);
        let first = failures.record(&key, hash, None, UNREACHABLE, NOW);
        for _ in 0..100 {
            let again = failures.record(&key, hash, None, 23, NOW);
            assert_eq!((again.until, again.times, again.ede), (first.until, 1, 23));
        }
    }

    #[test]
    fn a_success_clears_it_and_so_does_a_long_time() {
        let failures = Failures::new(&config(0));
        let key = key("broken.example");
        let hash = hash(&key);
        failures.record(&key, hash, None, UNREACHABLE, NOW);
        assert_eq!(
            failures
                .record(&key, hash, None, UNREACHABLE, after(1))
                .times,
            2
        );
        failures.clear(&key, hash, None);
        assert_eq!(failures.check(&key, hash, None, after(1)), None);
        assert_eq!(
            failures
                .record(&key, hash, None, UNREACHABLE, after(1))
                .times,
            1
        );
        assert_eq!(
            failures
                .record(&key, hash, None, UNREACHABLE, after(300))
                .times,
            2
        );
        assert_eq!(
            failures
                .record(&key, hash, None, UNREACHABLE, after(602))
                .times,
            1
        );
    }

    #[test]
    fn a_route_fails_by_itself_and_a_neighbour_not_at_all() {
        let failures = Failures::new(&config(0));
        let (broken, neighbour) = (key("broken.example"), key("works.example"));
        let (hash, neighbours) = (hash(&broken), hash(&neighbour));
        failures.record(&broken, hash, Some(3), UNREACHABLE, NOW);
        assert!(failures.check(&broken, hash, Some(3), NOW).is_some());
        assert_eq!(failures.check(&broken, hash, Some(4), NOW), None);
        assert_eq!(failures.check(&broken, hash, None, NOW), None);
        failures.record(&broken, hash, None, UNREACHABLE, NOW);
        failures.clear(&broken, hash, Some(3));
        assert_eq!(failures.check(&broken, hash, Some(3), NOW), None);
        assert!(failures.check(&broken, hash, None, NOW).is_some());
        assert_eq!(failures.check(&neighbour, neighbours, None, NOW), None);
        // Not even with the same hash.
        assert_eq!(failures.check(&neighbour, hash, None, NOW), None);
        failures.clear(&neighbour, hash, None);
        assert!(failures.check(&broken, hash, None, NOW).is_some());
    }

    #[test]
    fn a_storm_of_failing_names_is_bounded_and_forgets_the_oldest() {
        let failures = Failures::new(&config(0));
        let names = 2 * Failures::capacity();
        for n in 0..names {
            let key = key(&format!("n{n}.example"));
            failures.record(&key, hash(&key), None, UNREACHABLE, NOW);
        }
        assert!(failures.len() <= Failures::capacity());
        assert!(failures.len() > Failures::capacity() * 9 / 10);
        let held = |n: usize| {
            let key = key(&format!("n{n}.example"));
            failures.check(&key, hash(&key), None, NOW).is_some()
        };
        assert!((names - 1_000..names).all(held));
        assert!(!(0..1_000).any(held));
        assert_eq!(failures.flush_subtree(&wire_name("n32767.Example")), 1);
        assert!(!held(32_767) && held(32_766));
        assert!(failures.flush_all() > 0 && failures.is_empty());
    }
}
