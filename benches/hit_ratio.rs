//! The share of questions that the cache answers, against plain LRU.
//!
//! A million names, asked for by Zipf's law (exponent 1.0), and room for a twentieth of them: the
//! trace runs until the cache has turned over many times, and the first quarter is not counted.
//! The second column has a scan running through it: for every two questions one for a name that is
//! never asked for again. Only the others are counted. Plain LRU gets as many entries as byway's
//! cache gets bytes for; byway's is used as the daemon uses it, with as many shards as it gives
//! itself. `held` is how many entries that were in the end.
//!
//! ```text
//! cargo bench --bench hit_ratio            # 50,000 entries
//! cargo bench --bench hit_ratio -- all     # 1,000 to 500,000 entries, three seeds each
//! ```

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use byway::cache::{Cache, Origin};
use byway::clock::Life;
use byway::config::CacheConfig;
use byway::wire::{self, Answer, QuestionKey, RecordType, Sent};
use lru::LruCache;

const NAMES: usize = 1_000_000;
const ORIGIN: Origin = Origin {
    route: 0,
    trusted: true,
};

fn main() {
    let mut args = std::env::args().skip(1);
    let all = args.any(|arg| arg == "all");
    let zipf = Zipf::new(NAMES);
    println!("   room  bytes each seed   held     lru  + scan   byway  + scan");
    let rooms: &[usize] = if all {
        &[1_000, 5_000, 50_000, 500_000]
    } else {
        &[50_000]
    };
    for &room in rooms {
        let size = size_for(room);
        let each = size / room;
        for seed in 1..=if all { 3 } else { 1 } {
            let questions = (room * 60).clamp(1_000_000, 8_000_000);
            let trace = |scan| Trace::new(&zipf, seed, scan);
            let plain = |scan| run(&mut Plain::new(room), trace(scan), questions);
            let mut held = 0;
            let mut byway = |scan| {
                let mut cache = ByBytes::new(size, seed);
                let ratio = run(&mut cache, trace(scan), questions);
                held = cache.0.stats().entries;
                ratio
            };
            let (byway, byway_scanned) = (byway(false), byway(true));
            let (lru, lru_scanned) = (plain(false), plain(true));
            println!(
                "{room:7} {each:11} {seed:4} {held:6}  {lru:.4}  {lru_scanned:.4}  {byway:.4}  {byway_scanned:.4}"
            );
        }
    }
}

/// What holds names.
trait Holds {
    /// Whether `name` is held; if not it is stored.
    fn ask(&mut self, name: u64) -> bool;
}

fn run(cache: &mut impl Holds, mut trace: Trace<'_>, questions: usize) -> f64 {
    let (mut hits, mut counted) = (0, 0);
    for n in 0..questions {
        let hit = cache.ask(trace.name());
        if n >= questions / 4 {
            hits += usize::from(hit);
            counted += 1;
        }
        if let Some(name) = trace.scanned() {
            black_box(cache.ask(name));
        }
    }
    hits as f64 / counted as f64
}

struct Plain(LruCache<u64, ()>);

impl Plain {
    fn new(room: usize) -> Plain {
        Plain(LruCache::new(
            NonZeroUsize::new(room).expect("room for something"),
        ))
    }
}

impl Holds for Plain {
    fn ask(&mut self, name: u64) -> bool {
        let hit = self.0.get(&name).is_some();
        if !hit {
            self.0.push(name, ());
        }
        hit
    }
}

struct ByBytes(Cache);

impl ByBytes {
    fn new(size: usize, seed: u64) -> ByBytes {
        ByBytes(Cache::new(
            &config(size),
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ))
    }
}

impl Holds for ByBytes {
    fn ask(&mut self, name: u64) -> bool {
        let (packet, key) = response(name);
        let hash = self.0.hash(&key);
        let hit = self
            .0
            .read(&key, hash, Life::START, |hit| hit.answer.len())
            .is_some();
        if !hit {
            self.0
                .store(&key, hash, answer(&packet), ORIGIN, Life::START);
        }
        hit
    }
}

/// The bytes in which the cache holds `room` entries and no more when it is full, by trial.
fn size_for(room: usize) -> usize {
    let mut size = room * 200;
    for _ in 0..5 {
        let cache = Cache::new(&config(size), 1);
        for name in 0..3 * room as u64 {
            let (packet, key) = response(name);
            cache.store(&key, cache.hash(&key), answer(&packet), ORIGIN, Life::START);
        }
        size = (size as u128 * room as u128 / cache.stats().entries as u128) as usize;
    }
    size
}

fn config(size: usize) -> CacheConfig {
    let day = Duration::from_secs(24 * 3600);
    CacheConfig {
        size,
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

/// An upstream's answer for a name that this number makes, and its key.
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
    packet[40..56].copy_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]);
    let key = QuestionKey::new(&packet[12..36], RecordType::A, wire::CLASS_IN, false, false);
    (packet, key.expect("a well-formed name"))
}

fn answer(packet: &[u8]) -> Answer {
    let sent = Sent {
        id: 0,
        question: &packet[12..40],
        exact_case: false,
    };
    wire::examine(packet, &sent)
        .expect("a well-formed response")
        .to_answer()
}

/// Questions by Zipf's law, perhaps with a scan between them.
struct Trace<'a> {
    zipf: &'a Zipf,
    random: u64,
    /// Names never asked for before, if there is a scan.
    next_scanned: Option<u64>,
    turn: bool,
}

impl<'a> Trace<'a> {
    fn new(zipf: &'a Zipf, seed: u64, scan: bool) -> Trace<'a> {
        Trace {
            zipf,
            random: seed,
            next_scanned: scan.then_some(NAMES as u64),
            turn: false,
        }
    }

    fn name(&mut self) -> u64 {
        // SplitMix64: the same trace for the same seed, everywhere.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        self.zipf.rank((bits >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// A name of the scan, at every other call.
    fn scanned(&mut self) -> Option<u64> {
        self.turn = !self.turn;
        let next = self.next_scanned.as_mut().filter(|_| self.turn)?;
        *next += 1;
        Some(*next)
    }
}

/// The law: the name of rank n is asked for in proportion to 1/n.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(names: usize) -> Zipf {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=names)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Zipf(shares)
    }

    fn rank(&self, uniform: f64) -> u64 {
        self.0.partition_point(|share| *share < uniform) as u64
    }
}
