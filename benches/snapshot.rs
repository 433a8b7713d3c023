//! What the snapshot costs: hits while one is written, and the start that waits for one to be read.
//!
//! A million answers are held. One thread takes hits at a steady pace, first left alone, then while all of it
//! is written as the daemon writes it; the columns are what single hits took, so the second line should be
//! the first again, the machine's own noise aside. Then a snapshot of 200,000 answers is read into an
//! empty cache.
//!
//! ```text
//! cargo bench --bench snapshot
//! cargo bench --bench snapshot -- keep FILE 200000   # writes one of so many answers, to try a daemon with
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use byway::cache::snapshot;
use byway::cache::{Cache, Origin};
use byway::clock::Life;
use byway::config::CacheConfig;
use byway::wire::{self, QuestionKey, RecordType, Sent};

const HELD: u64 = 1_000_000;
const READ: u64 = 200_000;
/// Between two hits.
const PACE: Duration = Duration::from_micros(20);
/// Between two pieces, as in the daemon.
const PAUSE: Duration = Duration::from_micros(200);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|it| it == "keep") {
        let file = arguments.get(at + 1).expect("keep FILE ANSWERS");
        let answers = arguments
            .get(at + 2)
            .map_or(READ, |it| it.parse().expect("a number"));
        write(&filled(answers), Path::new(file), || {});
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cache.snapshot");

    let cache = filled(HELD);
    println!(
        "{:>10}  {:>8}  hits that took      p50      p99    p99.9      max",
        "", "answers"
    );
    let alone = AtomicBool::new(false);
    let quiet = thread::scope(|scope| {
        let hits = scope.spawn(|| hits(&cache, &alone));
        thread::sleep(Duration::from_secs(3));
        alone.store(true, Ordering::Relaxed);
        hits.join().expect("no panic")
    });
    print("alone", HELD, quiet);
    let (done, start) = (AtomicBool::new(false), Instant::now());
    let (busy, took) = thread::scope(|scope| {
        let hits = scope.spawn(|| hits(&cache, &done));
        write(&cache, &file, || thread::sleep(PAUSE));
        let took = start.elapsed();
        done.store(true, Ordering::Relaxed);
        (hits.join().expect("no panic"), took)
    });
    print("written", HELD, busy);
    let bytes = file.metadata().map_or(0, |it| it.len());
    println!(
        "written in {took:.1?}, {bytes} bytes, {} an answer",
        bytes / HELD
    );
    drop(cache);

    write(&filled(READ), &file, || {});
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let cache = empty();
            let start = Instant::now();
            let restored = snapshot::read(&file, &cache, Life::START, wall()).expect("a snapshot");
            let took = start.elapsed();
            assert_eq!(restored.map(|it| it.entries), Some(READ));
            took
        })
        .collect();
    times.sort();
    println!(
        "{READ} answers read in {:.0?}, {:.0?} at best",
        times[3], times[0]
    );
}

fn print(what: &str, answers: u64, mut took: Vec<Duration>) {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let [half, most, nearly, all] = [0.5, 0.99, 0.999, 1.0].map(at);
    println!(
        "{what:>10}  {answers:>8}  {:14}  {half:>7.1?}  {most:>7.1?}  {nearly:>7.1?}  {all:>7.1?}",
        took.len()
    );
}

/// How long each of many hits took, until told to stop.
fn hits(cache: &Cache, stop: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::with_capacity(1 << 20);
    let (mut random, mut next) = (1u64, Instant::now());
    let mut room = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        next += PACE;
        while Instant::now() < next {
            std::hint::spin_loop();
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (_, key) = response((random >> 33) % HELD);
        let start = Instant::now();
        let length = cache.read(&key, cache.hash(&key), Life::START, |hit| {
            let answer = hit.answer.as_bytes();
            room[..answer.len()].copy_from_slice(answer);
            answer.len()
        });
        took.push(start.elapsed());
        assert!(length.is_some());
    }
    took
}

fn write(cache: &Cache, file: &Path, pause: impl FnMut()) {
    snapshot::write(
        file,
        cache,
        snapshot::Besides::default(),
        Life::START,
        wall(),
        pause,
    )
    .expect("written");
}

fn wall() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default().as_secs()
}

fn empty() -> Cache {
    let config = CacheConfig {
        size: 512 << 20,
        ..CacheConfig::default()
    };
    Cache::new(&config, 1)
}

fn filled(answers: u64) -> Cache {
    let cache = empty();
    let origin = Origin {
        route: 0,
        trusted: true,
    };
    for number in 0..answers {
        let (packet, key) = response(number);
        let sent = Sent {
            id: 0,
            question: &packet[12..40],
            exact_case: false,
        };
        let answer = wire::examine(&packet, &sent)
            .expect("a response")
            .to_answer();
        cache.store(&key, cache.hash(&key), answer, origin, Life::START);
    }
    assert_eq!(cache.stats().entries as u64, answers);
    cache
}

/// An upstream's answer for the name `NUMBER.example.com` in ten letters, good for an hour, and its key.
fn response(number: u64) -> ([u8; 56], QuestionKey) {
    let mut packet = [0; 56];
    packet[..12].copy_from_slice(&[0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    packet[12] = 10;
    let mut rest = number;
    for place in &mut packet[13..23] {
        *place = b'a' + (rest % 26) as u8;
        rest /= 26;
    }
    packet[23..36].copy_from_slice(b"\x07example\x03com\0");
    packet[36..40].copy_from_slice(&[0, 1, 0, 1]);
    packet[40..56].copy_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
    let key = QuestionKey::new(&packet[12..36], RecordType::A, wire::CLASS_IN, false, false);
    (packet, key.expect("a well-formed name"))
}
