//! Damage costs what it hits.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::super::frame;
use super::super::scan::scan;
use super::*;

/// A file whose rings have turned, of two runs of the daemon.
fn used() -> Rig {
    let mut rig = Rig::new(SMALL);
    for second in 0..150 {
        match second % 10 {
            0 => rig.second(&[&format!("event {second}")]),
            _ => rig.second(&[]),
        }
    }
    rig.restart();
    for _ in 0..20 {
        rig.second(&[]);
    }
    rig
}

/// The frames that lie in these octets: place, length and number.
fn frames(octets: &[u8]) -> Vec<(usize, usize, u64)> {
    let mut all = Vec::new();
    scan(&octets.to_vec(), 0, octets.len() as u64, |at, found| {
        let contents = frame::HEADER + found.contents.len();
        all.push((at as usize, contents, found.number));
    })
    .expect("memory can be read");
    all
}

fn numbers(log: &Log) -> BTreeSet<u64> {
    let frames = log.frames().iter().filter(|it| log.has_shape(it));
    let told = log.told().iter().map(|it| it.number);
    frames.map(|it| it.number).chain(told).collect()
}

fn log_of(octets: &[u8]) -> Log {
    let mut log = Log::default();
    log.add(Box::new(octets.to_vec()), octets.len() as u64)
        .expect("memory can be read");
    log
}

#[test]
fn every_flipped_octet_costs_the_frame_that_it_hits_and_no_other() {
    let rig = used();
    let whole = octets(&rig.path());
    let (places, before) = (frames(&whole), numbers(&log_of(&whole)));
    assert!(before.len() > 60, "{}", before.len());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x5a;
        let after = numbers(&log_of(&damaged));
        let lost: Vec<u64> = before.difference(&after).copied().collect();
        let hit = places
            .iter()
            .find(|(start, len, _)| (*start..start + len).contains(&at));
        match (hit, &lost[..]) {
            (_, []) => {}
            (Some((_, _, number)), [one]) if one == number => {}
            _ => panic!("octet {at} cost {lost:?}"),
        }
        assert!(after.is_subset(&before), "octet {at}");
    }
}

#[test]
fn a_torn_write_costs_itself_and_what_it_was_to_overwrite() {
    let mut rig = used();
    let before = octets(&rig.path());
    let known = numbers(&log_of(&before));
    rig.second(&["torn"]);
    let after = octets(&rig.path());
    let complete = numbers(&log_of(&after));
    let changed: Vec<usize> = (0..before.len())
        .filter(|&at| before[at] != after[at])
        .collect();
    // As if the power had failed after each of the octets, in the order of the file.
    for &end in &changed {
        let mut torn = after.clone();
        torn[end..].copy_from_slice(&before[end..]);
        let seen = numbers(&log_of(&torn));
        let gone = known.difference(&complete).count();
        assert!(known.difference(&seen).count() <= gone + 1, "up to {end}");
        assert!(
            seen.iter()
                .all(|it| known.contains(it) || complete.contains(it))
        );
    }
}

#[test]
fn a_damaged_header_is_made_good_and_a_foreign_file_is_left_alone() {
    let mut rig = used();
    let mut damaged = octets(&rig.path());
    damaged[..4096].fill(0xff);
    fs::write(rig.path(), &damaged).expect("written");
    let frames = rig.log().frames().len();
    rig.restart();
    rig.second(&[]);
    assert_eq!(rig.said, [""; 0]);
    assert_ne!(octets(&rig.path())[..4096], damaged[..4096]);
    assert!(rig.log().frames().len() + 8 > frames);

    for text in ["a letter to a friend".repeat(1000), "short".into()] {
        let mut rig = Rig::new(SMALL);
        fs::write(rig.path(), &text).expect("written");
        rig.second(&[]);
        assert!(
            rig.said[0].contains("not a flight recorder's file"),
            "{:?}",
            rig.said
        );
        assert_eq!(octets(&rig.path()), text.as_bytes());
        assert!(Log::open(&rig.path()).is_err());
    }
}

#[test]
fn another_version_is_left_alone_and_named() {
    let mut rig = used();
    let mut other = octets(&rig.path());
    for at in [0, 2048] {
        other[at + 8] = 9;
        let sum = crc32fast::hash(&other[at..at + 20]);
        other[at + 20..at + 24].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(rig.path(), &other).expect("written");
    rig.restart();
    rig.second(&[]);
    assert!(rig.said[0].contains("(format 9)"), "{:?}", rig.said);
    assert_eq!(octets(&rig.path()), other);
    let error = Log::open(&rig.path()).expect_err("another version");
    assert!(error.to_string().contains("format 9"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_makes_the_reader_panic(
        pieces in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 1..64)), 0..40),
        cut in 0usize..20_000,
    ) {
        let mut octets = octets(&used().path());
        for (at, piece) in pieces {
            let at = usize::from(at) % octets.len();
            let len = piece.len().min(octets.len() - at);
            octets[at..at + len].copy_from_slice(&piece[..len]);
        }
        octets.truncate(cut);
        let _ = seen(&log_of(&octets));
    }

    #[test]
    fn frames_with_true_checksums_and_any_contents_do_no_harm(
        all in proptest::collection::vec((1u8..7, proptest::collection::vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let kinds = [Kind::Shape, Kind::Second, Kind::Minute, Kind::SecondKey, Kind::MinuteKey, Kind::Event];
        let mut octets = Vec::new();
        for (number, (kind, contents)) in (1..).zip(&all) {
            octets.extend(frame::write(kinds[usize::from(*kind) - 1], number, contents));
        }
        let _ = seen(&log_of(&octets));
    }
}
