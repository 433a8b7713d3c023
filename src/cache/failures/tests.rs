use super::*;
use crate::cache::testing::{config, key, wire_name};

const NOW: Life = Life::START;
const UNREACHABLE: u16 = 22;

fn after(seconds: u64) -> Life {
    NOW + Duration::from_secs(seconds)
}

fn hash(key: &QuestionKey) -> u64 {
    crate::cache::Cache::new(&config(0), 5).hash(key)
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
fn routes(failures: &Failures, key: &QuestionKey, hash: u64, now: Life) -> Vec<u16> {
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

/// Who was given a stale answer is not to wait for a fresh one as long as who would get an error.
#[test]
fn what_is_held_is_tried_again_after_some_seconds_however_often_it_failed() {
    let failures = Failures::new(&config(0));
    let (key, mut now) = (key("broken.example"), NOW);
    let hash = hash(&key);
    assert_eq!(failures.last(&key, hash, now), None);
    for times in 1..=12 {
        let failure = failures.record(&key, hash, None, UNREACHABLE, now);
        assert_eq!(failures.last(&key, hash, now), Some(failure));
        let first = failure.until.min(now + RENEW_AFTER);
        assert!(!failure.may_be_renewed(first - Duration::from_nanos(1)));
        assert!(failure.may_be_renewed(first), "after {times} failures");
        // It fails again: five seconds from then, and no longer for those of whom nothing is held.
        if first < failure.until {
            let again = failures.record(&key, hash, None, UNREACHABLE, first);
            assert_eq!((again.until, again.times), (failure.until, failure.times));
            assert!(!again.may_be_renewed(first));
        }
        now = failure.until;
        assert!(
            failures.last(&key, hash, now).is_some(),
            "it is over, but not forgotten"
        );
    }
    assert_eq!(
        failures.last(&key, hash, now + failures.max_ttl.get()),
        None
    );
    failures.clear(&key, hash, None);
    assert_eq!(failures.last(&key, hash, now), None);
}
