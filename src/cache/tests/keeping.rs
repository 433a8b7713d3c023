//! What is kept, and what goes when there is no room for all.

use super::testing::config;
use super::*;
use crate::wire::RecordType;

/// What is made of an answer to a.example.
fn kept(
    config: &CacheConfig,
    make: impl FnOnce(testing::Making) -> testing::Making,
) -> Result<u32, NotKept> {
    let cache = Cache::new(config, 7);
    let key = key("a.example");
    let answer = make(response(&key)).answer();
    match cache.keep((key, answer), NOW) {
        Stored::Not(why) => Err(why),
        _ => Ok(cache.look(&key, NOW).unwrap().ttl),
    }
}

#[test]
fn positive_answers_live_by_their_ttl_within_the_operators_bounds() {
    let config = config(1 << 20);
    assert_eq!(kept(&config, |answer| answer.address(300, 1)), Ok(300));
    assert_eq!(
        kept(&config, |answer| answer.address(0, 1)),
        Err(NotKept::NoLifetime)
    );
    // RFC 2181 section 8: the top bit makes it zero.
    assert_eq!(
        kept(&config, |answer| answer.address(0x8000_0001, 1)),
        Err(NotKept::NoLifetime)
    );
    assert_eq!(
        kept(&config, |answer| answer.address(0x7fff_ffff, 1)),
        Ok(7 * 24 * 3600)
    );
    // RFC 2181 section 5.2: the lowest of a set.
    assert_eq!(
        kept(&config, |answer| answer.address(300, 1).address(20, 2)),
        Ok(20)
    );
    let bounded = CacheConfig {
        min_ttl: Duration::from_secs(30),
        max_ttl: Duration::from_secs(60),
        ..config
    };
    assert_eq!(kept(&bounded, |answer| answer.address(0, 1)), Ok(30));
    assert_eq!(kept(&bounded, |answer| answer.address(45, 1)), Ok(45));
    assert_eq!(kept(&bounded, |answer| answer.address(300, 1)), Ok(60));
}

#[test]
fn negative_answers_live_by_their_soa() {
    let mut config = config(1 << 20);
    for rcode in [0, 3] {
        let negative = |ttl, minimum| kept(&config, |answer| answer.soa(ttl, minimum).rcode(rcode));
        assert_eq!(negative(300, 60), Ok(60));
        assert_eq!(negative(60, 300), Ok(60));
        assert_eq!(negative(86_400, 86_400), Ok(3600));
        assert_eq!(negative(300, 0), Err(NotKept::NoLifetime));
        assert_eq!(negative(0, 300), Err(NotKept::NoLifetime));
        // RFC 2308 section 5: without an SOA there is nothing to go by.
        assert_eq!(
            kept(&config, |answer| answer.rcode(rcode)),
            Err(NotKept::NoLifetime)
        );
    }
    // Not even the operator keeps one longer than its zone allows.
    config.min_ttl = Duration::from_secs(100);
    assert_eq!(
        kept(&config, |answer| answer.soa(10, 500).rcode(3)),
        Ok(100)
    );
    assert_eq!(kept(&config, |answer| answer.soa(500, 10).rcode(3)), Ok(10));
}

#[test]
fn what_answers_nothing_is_not_kept() {
    let config = config(1 << 20);
    for rcode in [1, 2, 4, 5, 9] {
        let failure = kept(&config, |answer| answer.rcode(rcode));
        assert_eq!(failure, Err(NotKept::NoAnswer));
    }
    assert_eq!(
        kept(&config, |answer| answer.server(300)),
        Err(NotKept::NoAnswer)
    );
    let truncated = kept(&config, |answer| answer.address(300, 1).truncated());
    assert_eq!(truncated, Err(NotKept::Truncated));
}

fn name(n: u32) -> String {
    format!("name-{n:06}.example")
}

/// A cache of one shard, and how many answers like those of `positive` it holds when it is full.
fn full() -> (Cache, u32) {
    let cache = Cache::new(&config(256 * 1024), 7);
    for n in 0..10_000 {
        cache.keep(positive(&name(n), 300, n), NOW);
    }
    let held = cache.stats().entries;
    assert!((1_100..1_400).contains(&held), "{held}");
    cache.flush_all();
    (cache, held as u32)
}

#[test]
fn nothing_is_evicted_while_there_is_room() {
    let (cache, held) = full();
    let before = cache.stats();
    for n in 0..held * 9 / 10 {
        cache.keep(positive(&name(n), 300, n), NOW);
    }
    assert_eq!(cache.stats().evictions, before.evictions);
    for n in 0..held * 9 / 10 {
        assert!(cache.ask(&name(n), NOW).is_some(), "{n}");
    }
    cache.audit();
}

#[test]
fn a_scan_takes_nothing_that_was_asked_for() {
    let (cache, held) = full();
    let popular = held / 2;
    for n in 0..popular {
        cache.keep(positive(&name(n), 300, n), NOW);
        cache.ask(&name(n), NOW);
    }
    for n in 0..20 * held {
        cache.keep(positive(&name(1_000_000 + n), 300, n), NOW);
    }
    let survived = (0..popular)
        .filter(|n| cache.ask(&name(*n), NOW).is_some())
        .count();
    assert_eq!(survived, popular as usize);
    assert!(cache.stats().evictions.unasked > u64::from(18 * held));
    assert_eq!(cache.stats().evictions.dead, 0);
    cache.audit();
}

#[test]
fn a_stale_answer_that_was_popular_outlives_a_scan_during_an_outage() {
    let (cache, held) = full();
    for n in 0..held / 2 {
        cache.keep(positive(&name(n), 300, n), NOW);
        cache.ask(&name(n), NOW);
    }
    // Half an hour later all of it is stale, and somebody walks through names that do not exist.
    for n in 0..20 * held {
        cache.keep(nxdomain(&name(1_000_000 + n), 60), at(1800.0));
    }
    for n in 0..held / 2 {
        let found = cache.ask(&name(n), at(1801.0));
        assert_eq!(
            found,
            Some((Some(n), Freshness::Stale { for_: 1501 })),
            "{n}"
        );
    }
    cache.audit();
}

#[test]
fn what_is_asked_for_now_takes_the_place_of_what_was_asked_for_long_ago() {
    let (cache, held) = full();
    let old = |n: u32| name(n);
    let new = |n: u32| name(1_000_000 + n);
    for n in 0..held {
        cache.keep(positive(&old(n), 3000, n), NOW);
        cache.ask(&old(n), NOW);
    }
    for _ in 0..30 {
        for n in 0..held / 2 {
            if cache.ask(&new(n), at(1.0)).is_none() {
                cache.keep(positive(&new(n), 3000, n), at(1.0));
            }
        }
    }
    let found = (0..held / 2)
        .filter(|n| cache.ask(&new(*n), at(2.0)).is_some())
        .count();
    assert!(found as u32 > held * 45 / 100, "{found} of {}", held / 2);
    assert!(cache.stats().evictions.displaced > 0);
}

#[test]
fn the_dead_go_first() {
    let (cache, held) = full();
    let before = cache.stats().evictions;
    // All of them are asked for, so nothing but their death speaks against them.
    for n in 0..held * 3 / 4 {
        let ttl = if n % 2 == 0 { 10 } else { 200_000 };
        cache.keep(positive(&name(n), ttl, n), NOW);
        cache.ask(&name(n), NOW);
    }
    let later = at(100_000.0);
    for n in 0..held / 2 {
        cache.keep(positive(&name(1_000_000 + n), 200_000, n), later);
    }
    let evictions = cache.stats().evictions;
    assert!(
        evictions.dead - before.dead >= u64::from(held / 8),
        "{evictions:?}"
    );
    assert_eq!(evictions.unasked, before.unasked);
    assert_eq!(evictions.displaced, before.displaced);
    for n in (1..held * 3 / 4).step_by(2) {
        assert!(cache.ask(&name(n), later).is_some(), "{n}");
    }
    cache.audit();
}

#[test]
fn several_small_answers_go_for_a_large_one_and_one_too_large_is_not_kept() {
    let (cache, held) = full();
    for n in 0..held {
        cache.keep(positive(&name(n), 300, n), NOW);
    }
    let before = cache.stats();
    let large = key("large.example");
    let answer = |octets| response(&large).address(300, 1).padding(octets).answer();
    assert_eq!(cache.keep((large, answer(20_000)), NOW), Stored::New);
    assert!(cache.ask("large.example", NOW).is_some());
    assert!(cache.stats().entries < before.entries - 50);
    cache.audit();
    assert_eq!(
        cache.keep((large, answer(33_000)), NOW),
        Stored::Not(NotKept::TooBig)
    );
    assert_eq!(cache.stats().too_big, 1);
    assert!(cache.ask("large.example", NOW).is_some());
    // It grows where it is, and others make room.
    for n in 0..400 {
        let grown = response(&key(&name(n)))
            .address(300, 1)
            .padding(1_000)
            .answer();
        cache.keep((key(&name(n)), grown), NOW);
        cache.audit();
    }
}

#[test]
fn shards_are_many_and_small_and_share_the_bytes() {
    for (size, shards) in [
        (1, 1),
        (100_000, 1),
        (512 << 10, 2),
        (100 << 20, 256),
        (8 << 30, 32_768),
    ] {
        let cache = Cache::new(&config(size), 7);
        assert_eq!(cache.shards.len(), shards, "{size}");
        assert!(cache.stats().bound <= size);
    }
    let tiny = Cache::new(&config(1), 7);
    assert_eq!(
        tiny.keep(positive("a.example", 300, 1), NOW),
        Stored::Not(NotKept::TooBig)
    );
    assert_eq!(tiny.stats().entries, 0);
}

#[test]
fn where_a_denial_is_held_is_known_for_every_type() {
    let cache = Cache::new(&config(1 << 20), 7);
    let of = |record_type| key("none.example").with_type(record_type);
    assert_eq!(cache.denied(&of(RecordType::AAAA)), None);
    cache.keep(nxdomain("none.example", 60), NOW);
    let held = Some(of(RecordType::A));
    assert_eq!(cache.denied(&of(RecordType::AAAA)), held);
    assert_eq!(
        cache.denied(&of(RecordType::A)),
        None,
        "that is held itself"
    );
    assert_eq!(
        cache.denied(&key("other.example").with_type(RecordType::AAAA)),
        None
    );
    let dnssec = testing::key_with("none.example", true, false).with_type(RecordType::AAAA);
    assert_eq!(cache.denied(&dnssec), None, "it would want proof");
    // Whatever is said of another type, the name exists.
    let txt = of(RecordType::TXT);
    cache.keep((txt, response(&txt).soa(60, 60).answer()), NOW);
    assert_eq!(cache.denied(&of(RecordType::AAAA)), None);
}
