mod damage;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::cache::testing::{self, WELL, config, key, nxdomain, positive};
use crate::cache::{Cache, FROM_SNAPSHOT, Freshness, Look};
use crate::clock::Life;
use crate::config::CacheConfig;
use crate::wire::RecordType;

use super::write::temporary;
use super::*;

const NOW: Life = Life::START;
/// The wall clock at `NOW`.
const WALL: u64 = 1_790_000_000;
const BASELINES: &[u8] = b"dc1@eth1 2 ms";
const BESIDES: Besides<'static> = Besides {
    baselines: BASELINES,
    guard: b"svc.internal",
};

/// A directory with a snapshot in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("cache.snapshot")
    }

    fn write(&self, cache: &Cache) -> Written {
        write(&self.path(), cache, BESIDES, NOW, WALL, || {}).unwrap()
    }

    /// What another process reads, `seconds` later by the wall clock, and what it is told.
    fn read(&self, config: &CacheConfig, seconds: i64) -> (Cache, Restored) {
        let cache = Cache::new(config, 99);
        let wall = WALL.checked_add_signed(seconds).unwrap();
        let restored = read(&self.path(), &cache, NOW, wall).unwrap().unwrap();
        (cache, restored)
    }

    fn refusal(&self) -> Damage {
        let cache = Cache::new(&config(1 << 20), 99);
        let refused = read(&self.path(), &cache, NOW, WALL);
        assert_eq!(cache.stats().entries, 0, "half a snapshot was loaded");
        match refused {
            Err(SnapshotError::Refused { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn store(cache: &Cache, (key, answer): (crate::wire::QuestionKey, crate::wire::Answer), now: Life) {
    cache.store(&key, cache.hash(&key), answer, WELL, now);
}

fn name(n: u32) -> String {
    format!("n{n}.example")
}

/// A cache that holds `count` names, fresh, stale and negative ones; each second one is asked for.
fn filled(size: usize, count: u32) -> Cache {
    let cache = Cache::new(&config(size), 7);
    for n in 0..count {
        let answer = match n % 5 {
            0 => nxdomain(&name(n), 900),
            1 => positive(&name(n), 60, n),
            _ => positive(&name(n), 3600 + n, n),
        };
        store(&cache, answer, NOW - Duration::from_secs(600));
        if n % 2 == 0 {
            let key = key(&name(n));
            cache.read(&key, cache.hash(&key), NOW, |_| ());
        }
    }
    cache
}

fn look(cache: &Cache, n: u32) -> Option<Look> {
    cache.look(&key(&name(n)), NOW)
}

#[test]
fn what_was_held_is_held_again_and_as_much_older_as_time_went_by() {
    let place = Place::new();
    let before = filled(4 << 20, 2_000);
    let written = place.write(&before);
    assert_eq!(written.entries, 2_000);
    assert_eq!(written.bytes, fs::metadata(place.path()).unwrap().len());

    let (after, restored) = place.read(&config(4 << 20), 1_000);
    assert_eq!(
        (restored.entries, restored.expired, restored.left_out),
        (2_000, 0, 0)
    );
    assert_eq!(restored.age, Some(Duration::from_secs(1_000)));
    assert_eq!(restored.baselines, BASELINES);
    assert_eq!(restored.guard, BESIDES.guard);
    for n in 0..2_000 {
        let (was, is) = (look(&before, n).unwrap(), look(&after, n).unwrap());
        let expected = match was.freshness {
            Freshness::Fresh { left, .. } if left > 1_000 => left - 1_000,
            Freshness::Fresh { left, .. } => 1_000 - left,
            Freshness::Stale { for_ } => for_ + 1_000,
        };
        let found = match is.freshness {
            Freshness::Fresh { left, .. } => left,
            Freshness::Stale { for_ } => for_,
        };
        assert!(found.abs_diff(expected) <= 1, "{n}: {was:?} {is:?}");
        assert!((1_600..=1_601).contains(&is.age), "{is:?}");
        assert_eq!(
            (is.ttl, is.kind, is.rcode, is.bytes),
            (was.ttl, was.kind, was.rcode, was.bytes)
        );
        assert_eq!((is.route, is.hits), (FROM_SNAPSHOT, 0));
        let key = key(&name(n));
        let serial = after.read(&key, after.hash(&key), NOW, |hit| {
            testing::serial(hit.answer)
        });
        assert_eq!(serial, Some((n % 5 != 0).then_some(n)));
    }
    // What does not exist, does not for any type; the places for that are shared.
    let denied = |n: &u32| {
        after
            .denied(&key(&name(*n)).with_type(RecordType::AAAA))
            .is_some()
    };
    assert!((0..2_000).filter(denied).count() > 300);
    after.each_shard().for_each(|shard| shard.audit());
}

#[test]
fn the_segments_are_restored_with_their_counts() {
    let place = Place::new();
    // One shard, so full that it evicts.
    let cache = filled(256 << 10, 3_000);
    place.write(&cache);
    let (mut after, restored) = place.read(&config(256 << 10), 0);
    let held = cache.stats().entries;
    assert!(
        restored.entries as usize >= held * 95 / 100,
        "{restored:?} of {held}"
    );
    // Written once more, it is the same file but for the order of the clock.
    let contents = |cache: &Cache| {
        let mut entries = Vec::new();
        let mut shard = cache.shards[0].lock();
        shard.start_round();
        while shard.visit(|entry, count, protected| {
            entries.push((
                testing::serial(&entry.answer),
                entry.name().len(),
                count,
                protected,
            ));
            true
        }) {}
        entries
    };
    let (was, is) = (contents(&cache), contents(&after));
    let kept: Vec<_> = was.into_iter().filter(|entry| is.contains(entry)).collect();
    assert_eq!(kept, is);
    after = Cache::new(&config(1 << 20), 3);
    assert_eq!(after.stats().entries, 0);
}

#[test]
fn a_smaller_cache_takes_what_is_asked_for_most() {
    let place = Place::new();
    let cache = Cache::new(&config(1 << 20), 7);
    for n in 0..4_000 {
        store(&cache, positive(&name(n), 3600, n), NOW);
        if n % 8 == 0 {
            let key = key(&name(n));
            for _ in 0..3 {
                cache.read(&key, cache.hash(&key), NOW, |_| ());
            }
        }
    }
    place.write(&cache);
    let (after, restored) = place.read(&config(256 << 10), 0);
    assert!(
        restored.left_out > 2_000 && restored.entries > 1_000,
        "{restored:?}"
    );
    assert_eq!(restored.entries + restored.left_out, 4_000);
    let asked = (0..3_000)
        .step_by(8)
        .filter(|n| look(&after, *n).is_some())
        .count();
    assert_eq!(asked, 375);
    after.each_shard().for_each(|shard| shard.audit());
    let (_, off) = place.read(&config(0), 0);
    assert_eq!((off.entries, off.left_out), (0, 4_000));
}

#[test]
fn the_rules_of_the_new_configuration_hold() {
    let place = Place::new();
    place.write(&filled(1 << 20, 100));
    let strict = CacheConfig {
        max_ttl: Duration::from_secs(700),
        stale_max: Duration::ZERO,
        ..config(1 << 20)
    };
    let (cache, restored) = place.read(&strict, 0);
    // The 20 with a TTL of 60 s expired nine minutes ago.
    assert_eq!((restored.entries, restored.expired), (80, 20));
    assert_eq!(look(&cache, 2).unwrap().ttl, 700);
    assert_eq!(look(&cache, 1), None);
}

#[test]
fn clocks_that_jump_do_no_harm() {
    let place = Place::new();
    place.write(&filled(1 << 20, 100));
    let day = 24 * 3600;
    // Forward beyond everything.
    let (_, restored) = place.read(&config(1 << 20), 3 * day);
    assert_eq!((restored.entries, restored.expired), (0, 100));
    let cache = Cache::new(&config(1 << 20), 99);
    let restored = read(&place.path(), &cache, NOW, u64::MAX).unwrap().unwrap();
    assert_eq!((restored.entries, restored.expired), (0, 100));
    // Backward: nothing is fresh, and nothing lasts longer than stale-max from now.
    for seconds in [-1, -day, -(WALL as i64)] {
        let (cache, restored) = place.read(&config(1 << 20), seconds);
        assert_eq!((restored.entries, restored.age), (100, None));
        for n in 0..100 {
            let stale = look(&cache, n).unwrap().freshness;
            let for_ = if n % 5 == 1 { 540 } else { 0 };
            assert_eq!(stale, Freshness::Stale { for_ }, "{n}");
            let later = NOW + Duration::from_secs(day as u64);
            assert_eq!(cache.look(&key(&name(n)), later), None);
        }
    }
}

#[test]
fn no_file_is_no_error_and_other_trouble_is_told_in_one_line() {
    let place = Place::new();
    let cache = Cache::new(&config(1 << 20), 7);
    assert!(read(&place.path(), &cache, NOW, WALL).unwrap().is_none());
    let nowhere = place.0.path().join("nowhere/cache.snapshot");
    assert!(read(&nowhere, &cache, NOW, WALL).unwrap().is_none());
    let error = write(&nowhere, &cache, Besides::default(), NOW, WALL, || {})
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot create the cache snapshot "),
        "{error}"
    );
    assert!(
        error.contains("nowhere/cache.snapshot: No such file"),
        "{error}"
    );
    let error = read(place.0.path(), &cache, NOW, WALL)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read the cache snapshot "),
        "{error}"
    );

    fs::write(place.path(), b"[cache]\nsize = \"64 MiB\"\n").unwrap();
    let error = read(&place.path(), &cache, NOW, WALL)
        .unwrap_err()
        .to_string();
    let expected = format!(
        "the cache snapshot {} is refused: it is not a snapshot of byway's cache; \
         starting with an empty cache",
        place.path().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn the_file_is_its_owners_only_and_replaces_what_a_killed_process_left() {
    let place = Place::new();
    fs::write(temporary(&place.path()), vec![7; 100_000]).unwrap();
    fs::write(place.path(), b"an older one").unwrap();
    place.write(&filled(1 << 20, 10));
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1);
    assert_eq!(place.read(&config(1 << 20), 0).1.entries, 10);
}

#[test]
fn one_that_is_half_written_leaves_the_last_one_good() {
    let place = Place::new();
    place.write(&filled(1 << 20, 10));
    let whole = fs::read(place.path()).unwrap();
    // As if killed at any moment before the renaming.
    for len in [0, 1, whole.len() / 2, whole.len()] {
        fs::write(temporary(&place.path()), &whole[..len]).unwrap();
        assert_eq!(place.read(&config(1 << 20), 0).1.entries, 10);
    }
    // And if it cannot be put in place, it is taken away.
    let full = place.0.path().join("directory");
    let in_the_way = || {
        fs::create_dir_all(&full).unwrap();
        fs::write(full.join("file"), b"").unwrap();
    };
    let error = write(
        &full,
        &filled(1 << 20, 1),
        Besides::default(),
        NOW,
        WALL,
        in_the_way,
    )
    .unwrap_err();
    assert!(
        error.to_string().starts_with("cannot put in place"),
        "{error}"
    );
    assert!(!temporary(&full).exists());
}

#[test]
fn an_empty_cache_and_large_baselines_come_back_too() {
    let place = Place::new();
    let baselines: Vec<u8> = (0..700_000u32).map(|n| n as u8).collect();
    let guard: Vec<u8> = (0..900_000u32).map(|n| (n / 7) as u8).collect();
    let besides = Besides {
        baselines: &baselines,
        guard: &guard,
    };
    let empty = Cache::new(&config(1 << 20), 7);
    write(&place.path(), &empty, besides, NOW, WALL, || {}).unwrap();
    let (_, restored) = place.read(&config(1 << 20), 0);
    assert_eq!(restored.entries, 0);
    assert!(restored.baselines == baselines && restored.guard == guard);
}

#[test]
fn what_is_stored_while_it_is_written_is_neither_missed_nor_doubled() {
    let place = Place::new();
    let cache = filled(256 << 10, 1_000);
    let mut next = 100_000;
    let mut pauses = 0;
    let busy = || {
        pauses += 1;
        for n in 0..200 {
            store(&cache, positive(&name(next + n), 3600, 1), NOW);
            let key = key(&name(n));
            cache.read(&key, cache.hash(&key), NOW, |_| ());
        }
        next += 200;
    };
    let written = write(&place.path(), &cache, BESIDES, NOW, WALL, busy).unwrap();
    assert!(pauses >= 8, "{pauses}");
    assert!(written.entries <= 1_000);
    let (after, restored) = place.read(&config(4 << 20), 0);
    assert_eq!(restored.left_out, 0, "an entry was written twice");
    // Whatever is still held of what was held at the beginning is in the file.
    for n in 0..1_000 {
        assert!(
            look(&cache, n).is_none() || look(&after, n).is_some(),
            "{n}"
        );
    }
    // The next snapshot has everything again.
    let held = cache.stats().entries as u64;
    assert_eq!(place.write(&cache).entries, held);
    assert_eq!(place.write(&cache).entries, held);
}
