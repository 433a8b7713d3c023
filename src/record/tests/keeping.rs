//! What is kept, for how long, and where.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// The queries of each second, by what the frames of seconds say.
fn grown(log: &Log) -> Vec<u64> {
    let seconds = log.frames().iter().filter(|it| it.kind == Kind::Second);
    let hits = |found| {
        let numbers = log.numbers(found).expect("its shape is there");
        let (place, _) = numbers
            .shape
            .places()
            .find(|(_, column)| column.label("result") == "hit")
            .expect("the series");
        numbers.counter(place, false).expect("a counter")
    };
    seconds.map(hits).collect()
}

#[test]
fn what_was_counted_comes_back() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..260 {
        rig.second(&[]);
    }
    let log = rig.log();
    assert_eq!(grown(&log), vec![1; 260]);
    let keys: Vec<_> = log
        .frames()
        .iter()
        .filter(|it| it.kind == Kind::SecondKey)
        .collect();
    assert_eq!(keys.len(), 2);
    let numbers = log.numbers(keys[1]).expect("numbers");
    let at = |label: &str| {
        let mut places = numbers.shape.places();
        places
            .find(|(_, it)| it.labels.iter().any(|(_, value)| value == label))
            .expect("it")
            .0
    };
    assert_eq!(numbers.counter(at("hit"), true), Some(256));
    assert_eq!(numbers.counter(at("failed"), true), Some(0));
    let cache = at("cache");
    let histogram: Vec<_> = (cache..cache + 4)
        .map(|slot| numbers.counter(slot, true))
        .collect();
    assert_eq!(histogram, [Some(256), Some(512), Some(0), Some(256_000)]);
    // The gauge is known two times in three.
    let seconds = log.frames().iter().filter(|it| it.kind == Kind::Second);
    let loss = |found| log.numbers(found).expect("numbers").gauge(at("eth0"));
    let losses = seconds
        .map(loss)
        .map(|it| it.map(|it| (it * 100.0).round()));
    let losses: Vec<_> = losses.take(4).collect();
    assert_eq!(losses, [Some(25.0), Some(50.0), None, Some(25.0)]);
    let minutes = log
        .frames()
        .iter()
        .filter(|it| it.kind == Kind::Minute)
        .count();
    assert_eq!(minutes, 4);
}

#[test]
fn the_latest_are_kept_when_the_ring_turns() {
    let mut rig = Rig::new(SMALL);
    for _ in 0..3_000 {
        rig.second(&[]);
    }
    let log = rig.log();
    let seconds: Vec<_> = log
        .frames()
        .iter()
        .filter(|it| it.kind == Kind::Second)
        .collect();
    assert!(seconds.len() > 30, "{}", seconds.len());
    let last = seconds.last().expect("seconds").stamp.life;
    assert_eq!(last, rig.stamp.life);
    let oldest = seconds[1].stamp.life;
    // But for the one frame that the tail of the ring may still hold.
    assert_eq!((last - oldest) / 1_000 + 2, seconds.len() as u64);
    assert_eq!(grown(&log).len(), seconds.len(), "every one has its shape");
    let minutes: Vec<_> = log
        .frames()
        .iter()
        .filter(|it| it.kind == Kind::Minute)
        .collect();
    assert!(
        minutes[0].stamp.life < oldest - 600_000,
        "minutes reach back further"
    );
}

#[test]
fn frames_of_another_shape_keep_theirs() {
    let mut rig = Rig::new(SMALL);
    for _ in 0..100 {
        rig.second(&[]);
    }
    let mut more = readings(0);
    more.push(Reading {
        series: &names::WORKERS,
        labels: Vec::new(),
        value: metrics::Value::Number(2.0),
    });
    // Twice: a route that became known, and another configuration after a restart.
    for restart in [false, true] {
        if restart {
            rig.restart();
        }
        for _ in 0..40 {
            rig.second_of(&[], &more);
            let log = rig.log();
            let all = log.frames().len();
            assert_eq!(seen(&log).0.len(), all, "{restart}");
        }
    }
}

#[test]
fn numbers_go_on_after_a_restart_and_runs_are_told_apart() {
    let mut rig = Rig::new(1 << 20);
    for run in 1..4 {
        rig.second(&["started"]);
        for _ in 0..9 {
            rig.second(&[]);
        }
        assert_eq!(rig.log().frames().last().expect("frames").stamp.run, run);
        rig.restart();
    }
    let log = rig.log();
    assert_eq!(log.frames().len(), 30);
    assert!(
        log.frames()
            .windows(2)
            .all(|pair| pair[0].number < pair[1].number)
    );
    assert_eq!(seen(&log).1, ["started"; 3]);
}

#[test]
fn a_clock_that_is_set_does_not_tear_time_apart_and_is_told_of() {
    let mut rig = Rig::new(1 << 20);
    for second in 0..30 {
        match second {
            10 => rig.stamp.wall += 3_600_000,
            20 => rig.stamp.wall -= 7_200_000,
            _ => {}
        }
        rig.second(&[]);
    }
    let log = rig.log();
    let times: Vec<u64> = log.frames().iter().map(|it| it.time).collect();
    assert!(
        times.windows(2).all(|pair| pair[1] == pair[0] + 1_000),
        "{times:?}"
    );
    assert_eq!(
        times.last(),
        Some(&rig.stamp.wall),
        "by the clock as it is now"
    );
    let (_, told) = seen(&log);
    assert_eq!(
        told,
        [
            "the host's clock was set forward by 3600.0 s",
            "the host's clock was set back by 7200.0 s"
        ]
    );
}

#[test]
fn another_boot_has_a_clock_of_its_own() {
    let mut rig = Rig::new(1 << 20);
    rig.second(&[]);
    let before = rig.stamp.wall;
    rig.restart();
    rig.stamp.boot = 2;
    rig.stamp.life = 5_000;
    rig.stamp.wall += 60_000;
    rig.second(&[]);
    let times: Vec<u64> = rig.log().frames().iter().map(|it| it.time).collect();
    assert_eq!(times, [before, before + 61_000]);
}

#[test]
fn without_a_directory_the_last_hour_is_in_memory_until_there_is_one() {
    let mut rig = Rig::new(1 << 20);
    let away = rig.folder.path().join("gone");
    rig.recorder = Recorder::new(Some(away.join("flight.record")), Layout::of(1 << 20));
    for _ in 0..200 {
        rig.second(&["event"]);
    }
    assert_eq!(rig.said.len(), 1, "said once: {:?}", rig.said);
    assert!(rig.said[0].contains("in memory only"), "{:?}", rig.said);
    let watcher = rig.recorder.watcher();
    let standing = watcher.standing();
    assert!(
        !standing.on_disk && standing.in_memory > 400,
        "{standing:?}"
    );
    let mut log = Log::default();
    let memory = watcher.memory();
    let len = memory.len() as u64;
    log.add(Box::new(memory), len).expect("memory can be read");
    assert_eq!(grown(&log), vec![1; 200]);

    fs::create_dir(&away).expect("the directory");
    for _ in 0..61 {
        rig.second(&[]);
    }
    assert!(watcher.standing().on_disk);
    assert!(rig.said[1].contains("again"), "{:?}", rig.said);
    let log = Log::open(&away.join("flight.record")).expect("the file");
    assert_eq!(grown(&log), vec![1; 261], "nothing was lost");
    assert!(watcher.memory().is_empty());
}

#[test]
fn two_on_one_file_do_not_write_over_each_other() {
    let mut first = Rig::new(1 << 20);
    first.second(&[]);
    let mut second = Rig::new(1 << 20);
    second.recorder = Recorder::new(Some(first.path()), Layout::of(1 << 20));
    second.stamp.run = 7;
    second.second(&[]);
    assert!(
        second.said[0].contains("another byway records there"),
        "{:?}",
        second.said
    );
    first.second(&[]);
    assert_eq!(first.log().frames().len(), 2);
    // The first one ends, and the second takes its place.
    first.recorder = Recorder::new(None, Layout::of(1 << 20));
    for _ in 0..61 {
        second.second(&[]);
    }
    assert!(second.recorder.watcher().standing().on_disk);
    let runs: Vec<u32> = first.log().frames().iter().map(|it| it.stamp.run).collect();
    assert_eq!(runs.iter().filter(|run| **run == 7).count(), 63);
    assert_eq!(runs[..2], [1, 1]);
}

#[test]
fn a_file_that_was_removed_is_made_anew() {
    let mut rig = Rig::new(1 << 20);
    rig.second(&[]);
    fs::remove_file(rig.path()).expect("removed");
    for _ in 0..61 {
        rig.second(&[]);
    }
    assert!(!rig.log().frames().is_empty());
}

#[test]
fn a_disk_that_fails_does_not_stop_it() {
    let mut rig = Rig::new(1 << 20);
    rig.second(&[]);
    rig.recorder.break_disk();
    for _ in 0..10 {
        rig.second(&["event"]);
    }
    assert_eq!(rig.said.len(), 1, "{:?}", rig.said);
    let standing = rig.recorder.watcher().standing();
    assert!(
        !standing.on_disk && standing.in_memory == 20,
        "{standing:?}"
    );
    // It comes back.
    for _ in 0..61 {
        rig.second(&[]);
    }
    assert_eq!(grown(&rig.log()), vec![1; 72]);
}

#[test]
fn a_file_of_another_size_keeps_what_fits() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..600 {
        rig.second(&["event"]);
    }
    for size in [2 << 20, 64 << 10] {
        let before = rig.log().frames().len();
        rig.size = size;
        rig.restart();
        rig.second(&[]);
        assert_eq!(octets(&rig.path()).len() as u64, size);
        assert_eq!(rig.said, [""; 0]);
        let log = rig.log();
        match size > 1 << 20 {
            true => assert_eq!(log.frames().len(), before + 1),
            false => assert!(log.frames().len() > 100),
        }
        assert_eq!(seen(&log).0.len(), log.frames().len(), "with their shape");
        assert_eq!(
            log.frames().last().expect("frames").stamp.run,
            rig.stamp.run
        );
    }
}

#[test]
fn it_is_for_the_owner_and_the_group_alone_and_no_link_is_followed() {
    let mut rig = Rig::new(SMALL);
    rig.second(&[]);
    let mode = fs::metadata(rig.path())
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o037, 0, "{mode:o}");
    let mut linked = Rig::new(SMALL);
    let target = linked.folder.path().join("target");
    fs::write(&target, "").expect("written");
    std::os::unix::fs::symlink(&target, linked.path()).expect("linked");
    linked.second(&[]);
    assert_eq!(linked.said.len(), 1, "{:?}", linked.said);
    assert!(octets(&target).is_empty());
}

#[test]
fn an_end_is_recorded_whole() {
    let mut rig = Rig::new(SMALL);
    rig.second(&[]);
    rig.stamp.life += 500;
    rig.stamp.wall += 500;
    let events = [(rig.stamp, json!({ "kind": "stopped", "text": "stopped" }))];
    let said = rig.recorder.end(&rig.stamp, &readings(9), &events);
    assert_eq!(said, [""; 0]);
    let log = rig.log();
    assert_eq!(grown(&log), [1, 8]);
    assert_eq!(log.frames().last().expect("frames").kind, Kind::Minute);
    assert_eq!(seen(&log).1, ["stopped"]);
}
