//! A file that is not what was written, by chance or by intent.

use std::path::Path;

use proptest::prelude::*;

use crate::cache::testing::response;

use super::super::file::BLOCK_MOST;
use super::*;

#[test]
fn an_old_or_foreign_file_is_named_as_such() {
    let place = Place::new();
    place.write(&filled(1 << 20, 10));
    let whole = fs::read(place.path()).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = whole.clone();
        change(&mut octets);
        fs::write(place.path(), octets).unwrap();
        place.refusal()
    };
    assert_eq!(refused(&|octets| octets[8] = 0), Damage::Version(0));
    assert_eq!(refused(&|octets| octets[8] = 9), Damage::Version(9));
    assert_eq!(refused(&|octets| octets[0] = b'B'), Damage::Foreign);
    assert_eq!(refused(&Vec::clear), Damage::Foreign);
    assert_eq!(refused(&|octets| octets[12] ^= 1), Damage::Checksum(0));
    assert_eq!(
        refused(&|octets| octets.push(0)),
        Damage::Trailing(whole.len() as u64)
    );
    assert_eq!(refused(&|octets| octets[25] = 0xff), Damage::Checksum(24));
}

/// Blocks with right checksums, whatever they hold, and a right end.
fn forged(blocks: &[(u8, Vec<u8>)], entries: u64) -> Vec<u8> {
    let mut octets = file::header(WALL).to_vec();
    let mut sums = crc32fast::Hasher::new();
    let mut end = (blocks.len() as u64).to_le_bytes().to_vec();
    end.extend_from_slice(&entries.to_le_bytes());
    end.extend_from_slice(&100u64.to_le_bytes());
    let mut block = |octets: &mut Vec<u8>, kind: u8, contents: &[u8]| {
        let len = (contents.len() as u32).to_le_bytes();
        let sum = file::block_sum(kind, len, contents).to_le_bytes();
        octets.push(kind);
        octets.extend_from_slice(&len);
        octets.extend_from_slice(&sum);
        octets.extend_from_slice(contents);
        sums.update(&sum);
        sums.clone().finalize()
    };
    let mut last = crc32fast::Hasher::new().finalize();
    for (kind, contents) in blocks {
        last = block(&mut octets, *kind, contents);
    }
    end.extend_from_slice(&last.to_le_bytes());
    block(&mut octets, 255, &end);
    octets
}

fn record(answer: &[u8], flags: u8) -> Vec<u8> {
    let head = file::Record {
        len: answer.len(),
        age_ms: 5,
        count: 200,
        flags,
    };
    [&head.to_octets(), answer].concat()
}

#[test]
fn what_has_right_checksums_is_not_believed_for_that() {
    let place = Place::new();
    let (_, good) = positive("a.example", 300, 1);
    let good = good.as_bytes();
    let read = |blocks: &[(u8, Vec<u8>)], entries| {
        fs::write(place.path(), forged(blocks, entries)).unwrap();
    };
    read(
        &[
            (1, record(good, 0)),
            (1, [record(good, 1), record(good, 15)].concat()),
        ],
        3,
    );
    assert_eq!(place.read(&config(1 << 20), 0).1.entries, 3);
    let garbled = [
        (vec![(1, record(good, 0))], 2),
        (vec![(3, record(good, 0))], 1),
        (vec![(1, record(good, 16))], 1),
        (vec![(1, record(&good[1..], 0))], 1),
        (vec![(1, record(&[], 0))], 1),
        (vec![(1, vec![1, 0, 0])], 0),
        (
            vec![(
                1,
                [&u32::MAX.to_le_bytes()[..], &record(good, 0)[4..]].concat(),
            )],
            1,
        ),
    ];
    for (blocks, entries) in garbled {
        read(&blocks, entries);
        assert!(matches!(place.refusal(), Damage::Garbled(_)), "{blocks:?}");
    }
    // A failure without a question has nothing it could be found by.
    let failure = response(&key("a.example")).rcode(2).answer();
    read(&[(1, record(failure.as_bytes(), 0))], 1);
    assert_eq!(place.read(&config(1 << 20), 0).1.expired, 1);
    // Blocks in another order than they were written in.
    let (one, other) = ((1, record(good, 0)), (2, vec![1, 2, 3]));
    let mut octets = forged(&[one.clone(), other.clone()], 1);
    let swapped = forged(&[other, one], 1);
    let end = octets.len() - file::BLOCK_HEADER - file::END;
    octets[24..end].copy_from_slice(&swapped[24..end]);
    fs::write(place.path(), octets).unwrap();
    assert_eq!(place.refusal(), Damage::Garbled(end as u64));
}

#[test]
fn it_is_refused_wherever_it_is_cut_off() {
    let place = Place::new();
    place.write(&filled(1 << 20, 12));
    let whole = fs::read(place.path()).unwrap();
    for len in 0..whole.len() {
        fs::write(place.path(), &whole[..len]).unwrap();
        let expected = match len {
            0 => Damage::Foreign,
            _ => Damage::Truncated(len as u64),
        };
        assert_eq!(place.refusal(), expected);
    }
}

#[test]
fn it_is_refused_whichever_bit_is_flipped() {
    let place = Place::new();
    place.write(&filled(1 << 20, 12));
    let mut octets = fs::read(place.path()).unwrap();
    for at in 0..octets.len() {
        let bit = 1 << (at % 8);
        octets[at] ^= bit;
        fs::write(place.path(), &octets).unwrap();
        place.refusal();
        octets[at] ^= bit;
    }
}

fn damaged(path: &Path, octets: &[u8]) -> bool {
    fs::write(path, octets).unwrap();
    let cache = Cache::new(&config(1 << 20), 99);
    let refused = read(path, &cache, NOW, WALL).is_err();
    assert!(!refused || cache.stats().entries == 0);
    refused
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_is_refused_and_never_loads_half(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..6),
    ) {
        let place = Place::new();
        place.write(&filled(1 << 20, 40));
        let whole = fs::read(place.path()).unwrap();
        let mut octets = whole.clone();
        for (at, change) in damage {
            let at = at.index(octets.len());
            octets[at] ^= change;
        }
        prop_assert!(octets == whole || damaged(&place.path(), &octets));
    }

    /// Behind right checksums too: an answer that was tampered with is refused, or is an answer.
    #[test]
    fn forged_answers_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        flags in any::<u8>(),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let place = Place::new();
        let (_, answer) = positive("a.example", 300, 1);
        let mut octets = record(answer.as_bytes(), flags);
        for (at, value) in damage {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        octets.extend_from_slice(&tail);
        damaged(&place.path(), &forged(&[(1, octets)], 1));
    }
}

#[test]
fn a_file_that_others_may_have_written_is_refused() {
    use super::super::read::trusted_of;
    const FILE: u32 = 0o100_000;
    for (owner, mode) in [(1000, 0o600), (1000, 0o644), (0, 0o400)] {
        assert_eq!(trusted_of(owner, FILE | mode, 1000), Ok(()));
    }
    assert_eq!(
        trusted_of(1001, FILE | 0o600, 1000),
        Err(Damage::Owner(1001))
    );
    assert_eq!(trusted_of(1000, FILE | 0o600, 0), Err(Damage::Owner(1000)));
    for mode in [0o660, 0o602, 0o4620] {
        let refused = Err(Damage::Writable(mode));
        assert_eq!(trusted_of(1000, FILE | mode, 1000), refused);
    }
    let place = Place::new();
    place.write(&filled(1 << 20, 10));
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(place.refusal(), Damage::Writable(0o666));
    if std::os::unix::fs::chown(place.path(), Some(65_534), None).is_ok() {
        assert_eq!(place.refusal(), Damage::Owner(65_534));
    }
}

#[test]
fn what_is_kept_besides_the_answers_is_bounded() {
    let place = Place::new();
    let piece = |octets| (2, vec![b' '; octets]);
    let most = file::BASELINES_MOST / BLOCK_MOST;
    let mut blocks = vec![piece(BLOCK_MOST); most];
    fs::write(place.path(), forged(&blocks, 0)).unwrap();
    let (_, restored) = place.read(&config(1 << 20), 0);
    assert_eq!(restored.baselines.len(), file::BASELINES_MOST);
    blocks.push(piece(1));
    fs::write(place.path(), forged(&blocks, 0)).unwrap();
    assert!(matches!(place.refusal(), Damage::Garbled(_)));
}

#[test]
fn what_is_no_file_is_neither_read_nor_replaced() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let place = Place::new();
    mknodat(
        CWD,
        place.path(),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let cache = filled(1 << 20, 10);
    let path = place.path();
    let errors = [
        ("read", read(&path, &cache, NOW, WALL).map(drop)),
        (
            "replace",
            write(&path, &cache, BESIDES, NOW, WALL, || {}).map(drop),
        ),
    ];
    for (action, error) in errors {
        let error = error.unwrap_err().to_string();
        let start = format!("cannot {action} the cache snapshot ");
        assert!(error.starts_with(&start), "{error}");
        assert!(
            error.ends_with(": expected a file, found a FIFO"),
            "{error}"
        );
    }
}
