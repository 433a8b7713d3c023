//! What the cache counts against what the process takes. In a process of its own, so that nothing
//! else grows meanwhile.

use std::time::Duration;

use byway::cache::{Cache, Origin};
use byway::clock::Life;
use byway::config::CacheConfig;
use byway::wire::{self, QuestionKey, RecordType, Sent};

const ANSWERS: usize = 200_000;

#[test]
fn two_hundred_thousand_answers_take_what_is_counted_and_less_than_250_bytes_each() {
    let before = resident();
    let cache = Cache::new(&config(), 42);
    let empty = resident() - before;
    assert!(empty < 2 << 20, "an empty cache takes {empty} bytes");
    for number in 0..ANSWERS {
        store(&cache, number);
    }
    let stats = cache.stats();
    assert_eq!(stats.entries, ANSWERS, "they should all fit");
    let taken = resident() - before;
    let (each, counted) = (taken / ANSWERS, stats.bytes / ANSWERS);
    println!("{each} bytes an answer, {counted} counted");
    assert!(each <= 250, "{each} bytes an answer");
    // Counted are also the tables as large as they may become. What is missing are the seams of the
    // allocator.
    assert!(
        taken <= stats.bytes * 105 / 100,
        "{each} bytes an answer, {counted} counted"
    );
    assert!(
        stats.bytes <= taken * 125 / 100,
        "{each} bytes an answer, {counted} counted"
    );
}

/// Bytes of memory that the process has now.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4096
}

/// An A answer of a common size: a name of 30 octets.
fn store(cache: &Cache, number: usize) {
    let mut packet = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in [
        format!("host-{number:06}"),
        format!("zone{:02}", number % 90),
        "example".to_string(),
    ] {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    let end = packet.len();
    let key = QuestionKey::new(
        &packet[12..end],
        RecordType::A,
        wire::CLASS_IN,
        false,
        false,
    )
    .expect("a well-formed name");
    packet.extend_from_slice(&[0, 1, 0, 1]);
    packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
    let sent = Sent {
        id: 0,
        question: key.question(),
        exact_case: false,
    };
    let answer = wire::examine(&packet, &sent)
        .expect("a well-formed response")
        .to_answer();
    let origin = Origin {
        route: 0,
        trusted: true,
    };
    cache.store(&key, cache.hash(&key), answer, origin, Life::START);
}

fn config() -> CacheConfig {
    let day = Duration::from_secs(24 * 3600);
    CacheConfig {
        size: 128 << 20,
        min_ttl: Duration::ZERO,
        max_ttl: 7 * day,
        negative_max_ttl: Duration::from_secs(3600),
        stale_max: day,
        stale_ttl: Duration::from_secs(30),
        stale_wait: Duration::from_millis(200),
        refresh: true,
        rotate: true,
        failure_min_ttl: Duration::from_secs(1),
        failure_max_ttl: Duration::from_secs(300),
        snapshot: None,
        snapshot_every: Duration::from_secs(600),
    }
}
