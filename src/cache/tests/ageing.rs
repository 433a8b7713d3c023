//! TTLs, staleness and refreshing.

use super::*;

const DAY: f64 = 24.0 * 3600.0;

#[test]
fn ttls_count_down_to_one_and_then_the_answer_is_stale() {
    let cache = cache();
    cache.keep(positive("a.example", 3, 1), NOW);
    let seen: Vec<Freshness> = (0..=40)
        .map(|tenths| {
            cache
                .ask("a.example", at(f64::from(tenths) / 10.0))
                .unwrap()
                .1
        })
        .collect();
    let left: Vec<u32> = seen
        .iter()
        .filter_map(|freshness| match freshness {
            Freshness::Fresh { left, .. } => Some(*left),
            Freshness::Stale { .. } => None,
        })
        .collect();
    assert!(left.is_sorted_by(|one, next| one >= next));
    assert_eq!((left.first(), left.last()), (Some(&3), Some(&1)));
    // A fifteenth of a second may be lost to rounding, none is gained.
    assert!((29..=30).contains(&left.len()), "{}", left.len());
    assert_eq!(seen.last(), Some(&Freshness::Stale { for_: 1 }));
}

#[test]
fn a_stale_answer_is_served_until_stale_max_and_not_a_moment_longer() {
    let cache = cache();
    cache.keep(positive("a.example", 60, 1), NOW);
    let stale = |now: f64| match cache.ask("a.example", at(now))? {
        (_, Freshness::Stale { for_ }) => Some(for_),
        (_, Freshness::Fresh { .. }) => panic!("fresh after {now} s"),
    };
    assert_eq!(stale(60.0), Some(0));
    assert_eq!(stale(3660.5), Some(3600));
    assert_eq!(stale(DAY + 59.0), Some(86_399));
    assert_eq!(stale(DAY + 60.0), None);
    assert_eq!(
        (cache.stats().entries, cache.stats().evictions.dead),
        (0, 1)
    );
    cache.audit();
}

#[test]
fn without_stale_max_an_expired_answer_is_gone() {
    let config = CacheConfig {
        stale_max: Duration::ZERO,
        ..testing::config(1 << 20)
    };
    let cache = Cache::new(&config, 7);
    cache.keep(positive("a.example", 60, 1), NOW);
    assert!(cache.ask("a.example", at(59.5)).is_some());
    assert!(cache.ask("a.example", at(60.0)).is_none());
}

#[test]
fn time_that_runs_backward_between_workers_does_no_harm() {
    let cache = cache();
    cache.keep(positive("a.example", 60, 1), at(10.0));
    assert_eq!(cache.ask("a.example", at(9.0)), Some((Some(1), fresh(60))));
}

/// When the refresh of a name is due, asking ten times a second; all times.
fn refreshes(cache: &Cache, name: &str, from: f64, to: f64) -> Vec<f64> {
    let asks = ((from * 10.0) as u32..(to * 10.0) as u32).map(|tenth| f64::from(tenth) / 10.0);
    asks.filter(|now| {
        let found = cache.ask(name, at(*now));
        matches!(
            found,
            Some((
                _,
                Freshness::Fresh {
                    refresh_due: true,
                    ..
                }
            ))
        )
    })
    .collect()
}

#[test]
fn a_name_that_is_asked_for_is_refreshed_by_one_reader_in_the_last_tenth() {
    for ttl in [10, 60, 300, 3600] {
        let cache = cache();
        cache.keep(positive("a.example", ttl, 1), NOW);
        let ttl = f64::from(ttl);
        let due = refreshes(&cache, "a.example", ttl * 0.85, ttl);
        assert_eq!(due.len(), 1, "{ttl} s: {due:?}");
        assert!(
            due[0] >= ttl * 0.9 - 0.3 && due[0] <= ttl * 0.96,
            "{ttl} s: {due:?}"
        );
    }
}

#[test]
fn short_ttls_leave_time_for_a_round_trip() {
    for (ttl, least) in [(1, 0.1), (2, 0.2), (3, 0.2), (5, 0.2), (9, 0.4)] {
        let cache = cache();
        cache.keep(positive("a.example", ttl, 1), NOW);
        let ttl = f64::from(ttl);
        let due = refreshes(&cache, "a.example", 0.0, ttl);
        assert_eq!(due.len(), 1, "{ttl} s: {due:?}");
        assert!(due[0] > 0.0 && due[0] <= ttl - least, "{ttl} s: {due:?}");
    }
}

#[test]
fn short_ttls_are_not_cut_much_shorter() {
    for ttl in [1, 2, 3, 5, 9] {
        let cache = cache();
        let ttl_secs = f64::from(ttl);
        for n in 0..32 {
            let name = format!("n{n}.example");
            cache.keep(positive(&name, ttl, 1), NOW);
            let due = refreshes(&cache, &name, 0.0, ttl_secs)[0];
            let window = (ttl_secs / 4.0).min(0.5).max(ttl_secs / 10.0);
            assert!(due >= ttl_secs - window - 0.1, "{ttl} s: {due}");
        }
    }
}

#[test]
fn a_name_nobody_asks_for_is_not_refreshed() {
    let cache = cache();
    cache.keep(positive("a.example", 300, 1), NOW);
    assert_eq!(cache.ask("a.example", at(299.0)), Some((Some(1), fresh(1))));
    let again = cache.ask("a.example", at(299.1)).unwrap().1;
    assert_eq!(
        again,
        Freshness::Fresh {
            left: 1,
            refresh_due: true
        }
    );
    // Its next life begins with no questions.
    cache.keep(positive("a.example", 300, 2), at(299.2));
    assert_eq!(cache.ask("a.example", at(598.2)), Some((Some(2), fresh(1))));
}

#[test]
fn refreshing_can_be_turned_off() {
    let config = CacheConfig {
        refresh: false,
        ..testing::config(1 << 20)
    };
    let cache = Cache::new(&config, 7);
    cache.keep(positive("a.example", 300, 1), NOW);
    assert_eq!(
        refreshes(&cache, "a.example", 0.0, 300.0),
        Vec::<f64>::new()
    );
}

#[test]
fn a_refresh_that_failed_is_due_again_after_a_pause_while_there_is_time() {
    let cache = cache();
    let (key, hash) = (key("a.example"), cache.hash(&key("a.example")));
    cache.keep(positive("a.example", 600, 1), NOW);
    // Nothing was reported: nothing failed.
    cache.refresh_failed(&key, hash, NOW);
    let mut times = Vec::new();
    let mut from = 540.0;
    while let Some(due) = refreshes(&cache, "a.example", from, 600.0).first() {
        times.push(*due);
        cache.refresh_failed(&key, hash, at(*due));
        from = *due + 0.1;
    }
    assert!(times.len() >= 5, "{times:?}");
    for pair in times.windows(2) {
        assert!((2.9..4.0).contains(&(pair[1] - pair[0])), "{times:?}");
    }
}

#[test]
fn names_stored_together_are_not_refreshed_together() {
    let cache = cache();
    let mut due: Vec<u32> = (0..64)
        .map(|n| {
            let name = format!("n{n}.example");
            cache.keep(positive(&name, 600, 1), NOW);
            refreshes(&cache, &name, 530.0, 600.0)[0] as u32
        })
        .collect();
    due.sort_unstable();
    due.dedup();
    assert!(due.len() > 15, "{due:?}");
    assert!(due[due.len() - 1] <= 571, "{due:?}");
}
