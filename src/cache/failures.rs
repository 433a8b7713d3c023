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

use crate::clock::Time;
use crate::config::CacheConfig;
use crate::wire::{KeyRef, QuestionKey};

use super::segment::Hashed;

/// Questions whose failures are held: at most 9 MB of them, and in a storm of names that do not resolve
/// some minutes' worth at a hundred new ones a second.
const HELD: usize = 16 * 1024;
/// Misses of all workers pass here, so there is more than one lock.
const SHARDS: usize = 16;
/// Doublings after which any time allowed has reached any bound allowed.
const DOUBLINGS: u32 = 20;
/// Routes remembered for one question. Where more fail the question does.
const ROUTES: usize = 8;

/// Failures by question, and by question and route. Shared by all workers.
#[derive(Debug)]
pub struct Failures {
    shards: [Shard; SHARDS],
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
            min_ttl: config.failure_min_ttl,
            max_ttl: config.failure_max_ttl.max(config.failure_min_ttl),
        }
    }

    /// Whether the question `key` has failed so recently that it is not to be tried. `hash` is
    /// [`Cache::hash`](super::Cache::hash) of `key`.
    pub fn check<'k>(&self, key: impl Into<KeyRef<'k>>, hash: u64, now: Time) -> Option<Failure> {
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

    /// Tells `each` the routes over which the question has failed so recently that it is not to be asked
    /// over them while there is another.
    pub fn routes_failed<'k>(
        &self,
        key: impl Into<KeyRef<'k>>,
        hash: u64,
        now: Time,
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
        now: Time,
    ) -> Failure {
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
        let first = self.failure(ede, 1, now);
        let Some(record) = records.get_mut(&hash) else {
            return first;
        };
        if let Some(failure) = record.of(route) {
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
        let shards = self.shards.iter().map(|shard| {
            let mut records = shard.lock();
            let held = records.len();
            records.retain(|_, record| {
                let key = QuestionKey::from_bytes(&record.key);
                let within = key.is_some_and(|key| super::is_within(key.name(), &name));
                if within {
                    shard.uncount(record);
                }
                !within
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

    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
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
            assert_eq!(failures.check(&key, hash, now), None);
            let failure = failures.record(&key, hash, None, UNREACHABLE, now);
            assert_eq!((failure.ede, failure.times), (UNREACHABLE, times));
            assert_eq!(failures.check(&key, hash, now), Some(failure));
            let just_before = failure.until - Duration::from_nanos(1);
            assert_eq!(failures.check(&key, hash, just_before), Some(failure));
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
        assert_eq!(failures.check(&key, hash, after(1)), None);
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

    /// The routes over which it has failed.
    fn routes(failures: &Failures, key: &QuestionKey, hash: u64, now: Time) -> Vec<u16> {
        let mut routes = Vec::new();
        failures.routes_failed(key, hash, now, |route| routes.push(route));
        routes
    }

    #[test]
    fn a_route_fails_by_itself_and_a_neighbour_not_at_all() {
        let failures = Failures::new(&config(0));
        let (broken, neighbour) = (key("broken.example"), key("works.example"));
        let (hash, neighbours) = (hash(&broken), hash(&neighbour));
        failures.record(&broken, hash, Some(3), UNREACHABLE, NOW);
        assert_eq!(routes(&failures, &broken, hash, NOW), [3]);
        assert_eq!(failures.check(&broken, hash, NOW), None);
        failures.record(&broken, hash, None, UNREACHABLE, NOW);
        failures.clear(&broken, hash, Some(3));
        assert!(routes(&failures, &broken, hash, NOW).is_empty());
        assert!(failures.check(&broken, hash, NOW).is_some());
        assert_eq!(failures.check(&neighbour, neighbours, NOW), None);
        // Not even with the same hash.
        assert_eq!(failures.check(&neighbour, hash, NOW), None);
        failures.clear(&neighbour, hash, None);
        assert!(failures.check(&broken, hash, NOW).is_some());
        // What failed over a route goes on failing there when another has answered.
        failures.record(&broken, hash, Some(4), UNREACHABLE, NOW);
        failures.clear(&broken, hash, None);
        assert_eq!(failures.check(&broken, hash, NOW), None);
        assert_eq!(routes(&failures, &broken, hash, NOW), [4]);
    }

    #[test]
    fn the_time_of_a_route_grows_like_that_of_the_question() {
        let failures = Failures::new(&config(0));
        let key = key("broken.example");
        let (hash, mut now) = (hash(&key), NOW);
        for seconds in [1, 2, 4, 8] {
            assert!(routes(&failures, &key, hash, now).is_empty());
            let failure = failures.record(&key, hash, Some(7), UNREACHABLE, now);
            assert_eq!(failure.until.since(now).as_secs(), seconds);
            assert_eq!(routes(&failures, &key, hash, now), [7]);
            now = failure.until;
        }
    }

    #[test]
    fn the_routes_of_a_question_are_bounded_and_counted() {
        let failures = Failures::new(&config(0));
        for name in ["one.example", "other.example"] {
            let key = key(name);
            let hash = hash(&key);
            for route in 0..100 {
                failures.record(&key, hash, Some(route), UNREACHABLE, NOW);
            }
            let held = routes(&failures, &key, hash, NOW);
            assert_eq!(held, (92..100).collect::<Vec<u16>>());
        }
        let count = |of: fn(&Shard) -> &AtomicUsize| {
            let counts = failures.shards.iter().map(of);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        let routed = || -> usize { count(|shard| &shard.routed) };
        let held = || -> usize { count(|shard| &shard.held) };
        assert_eq!((failures.len(), routed()), (2, 2));
        let one = key("one.example");
        for route in 0..100 {
            failures.clear(&one, hash(&one), Some(route));
        }
        assert_eq!((failures.len(), routed()), (1, 1));
        failures.flush_subtree(&wire_name("other.example"));
        assert_eq!((failures.len(), routed()), (0, 0));
        // Those that make room and those that are flushed count no more.
        for n in 0..2 * Failures::capacity() {
            let key = key(&format!("n{n}.example"));
            failures.record(&key, hash(&key), Some(1), UNREACHABLE, NOW);
        }
        assert_eq!((held(), routed()), (failures.len(), failures.len()));
        failures.flush_all();
        assert_eq!((held(), routed()), (0, 0));
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
            failures.check(&key, hash(&key), NOW).is_some()
        };
        assert!((names - 1_000..names).all(held));
        assert!(!(0..1_000).any(held));
        assert_eq!(failures.flush_subtree(&wire_name("n32767.Example")), 1);
        assert!(!held(32_767) && held(32_766));
        assert!(failures.flush_all() > 0 && failures.is_empty());
    }
}
