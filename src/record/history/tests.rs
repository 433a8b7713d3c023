use std::collections::BTreeMap;

use serde_json::Value;

use super::super::tests::{Rig, WALL, readings};
use super::*;
use crate::observe::metrics::{self, Reading};
use crate::observe::names;

const MINUTE: u64 = 60_000;

fn sum(grid: &Grid) -> u64 {
    let steps = steps(grid);
    steps.iter().map(|step| step.clients.questions).sum()
}

/// The samples of a series, by time.
fn samples(text: &str, series: &str) -> Vec<(f64, f64)> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let pair = |line: &str| {
        let (value, time) = line.split_once(' ').expect("a value and a time");
        (
            time.parse().expect("a time"),
            value.parse().expect("a value"),
        )
    };
    lines.map(pair).collect()
}

const HITS: &str = r#"byway_queries_total{listener="127.0.0.1:53",transport="udp",result="hit"}"#;

#[test]
fn every_second_is_counted_once_whatever_the_step() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..300 {
        rig.second(&[]);
    }
    let log = rig.log();
    for step in [1_000, 7_000, MINUTE, 60 * MINUTE] {
        let grid = Grid::of(&log, WALL, WALL + 300_000, step);
        assert_eq!(sum(&grid), 300, "{step}");
        assert!(grid.rows.windows(2).all(|pair| pair[0].end < pair[1].end));
    }
    let half = Grid::of(&log, WALL + 100_000, WALL + 200_000, 10_000);
    assert_eq!((sum(&half), half.rows.len()), (100, 10));
    assert!(Grid::of(&log, 0, WALL - 1, 1_000).rows.is_empty());
}

#[test]
fn counters_read_what_they_read_wherever_the_range_begins() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..400 {
        rig.second(&[]);
    }
    let log = rig.log();
    for from in [0, 50, 127, 128, 200, 399] {
        let grid = Grid::of(&log, WALL + from * 1_000, WALL + 400_000, 1_000);
        let read = samples(&openmetrics(&grid), HITS);
        let expected: Vec<(f64, f64)> = (from + 1..=400)
            .map(|second| ((WALL / 1_000 + second) as f64, second as f64))
            .collect();
        assert_eq!(read, expected, "from {from}");
    }
}

#[test]
fn when_the_ring_has_turned_counters_still_read_what_they_read() {
    let mut rig = Rig::new(64 << 10);
    for _ in 0..5_000 {
        rig.second(&[]);
    }
    let log = rig.log();
    let grid = Grid::of(&log, WALL, WALL + 5_000_000, 1_000);
    let read = samples(&openmetrics(&grid), HITS);
    assert!(read.len() > 300, "{}", read.len());
    for (time, value) in read {
        assert_eq!(time - (WALL / 1_000) as f64, value);
    }
}

#[test]
fn minutes_stand_in_for_seconds_that_are_gone_and_nothing_counts_twice() {
    let mut rig = Rig::new(64 << 10);
    for _ in 0..5_000 {
        rig.second(&[]);
    }
    let log = rig.log();
    let grid = Grid::of(&log, WALL, WALL + 5_000_000, MINUTE);
    let (first, last) = (
        grid.rows.first().expect("rows"),
        grid.rows.last().expect("rows"),
    );
    let minutes = (last.end - first.end) / MINUTE + 1;
    assert!(minutes > 60, "{minutes}");
    // At most a minute is lost where the seconds begin.
    let counted = sum(&grid);
    assert!(
        counted <= minutes * 60 && counted + 120 >= minutes * 60,
        "{counted} in {minutes} min"
    );
    assert!(
        grid.rows
            .iter()
            .all(|row| row.grown.iter().any(|grown| *grown <= 120))
    );
}

#[test]
fn a_lost_frame_is_made_good_by_the_next_key() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..300 {
        rig.second(&[]);
    }
    let log = rig.log();
    let lost = log.frames()[10];
    let mut octets = super::super::tests::octets(&rig.path());
    let place = octets
        .windows(8)
        .position(|it| {
            u64::from_le_bytes(it.try_into().expect("eight")) & !(0xff << 56) == lost.number
        })
        .expect("the frame");
    octets[place + 12] ^= 1;
    let mut damaged = super::super::Log::default();
    let len = octets.len() as u64;
    damaged.add(Box::new(octets), len).expect("memory");
    assert_eq!(damaged.frames().len(), log.frames().len() - 1);
    let grid = Grid::of(&damaged, WALL, WALL + 300_000, 1_000);
    let read = samples(&openmetrics(&grid), HITS);
    assert_eq!(read.len(), 299);
    assert_eq!(read.last().expect("samples").1, 300.0);
    assert!(
        read.windows(2).all(|pair| pair[0].1 <= pair[1].1),
        "never back"
    );
}

#[test]
fn a_restart_begins_to_count_anew() {
    let mut rig = Rig::new(1 << 20);
    for _ in 0..20 {
        rig.second(&[]);
    }
    rig.restart();
    for _ in 0..10 {
        rig.second(&[]);
    }
    let grid = Grid::of(&rig.log(), WALL, WALL + 30_000, 1_000);
    assert_eq!(sum(&grid), 30);
    let values: Vec<f64> = samples(&openmetrics(&grid), HITS)
        .iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(values[18..22], [19.0, 20.0, 1.0, 2.0]);
}

/// Routes of which one is congested, lossy and slow.
fn trouble(queries: u64) -> Vec<Reading> {
    let number = |series, labels: &[&str], value: f64| Reading {
        series,
        labels: labels.iter().map(|it| it.to_string()).collect(),
        value: metrics::Value::Number(value),
    };
    let count = queries as f64;
    let mut all = readings(queries);
    all.extend([
        number(
            &names::ATTEMPTS_SENT,
            &["dc1", "eth0", "primary"],
            count * 10.0,
        ),
        number(&names::ATTEMPTS_SENT, &["dc1", "eth0", "probe"], count),
        number(&names::ATTEMPTS, &["dc1", "eth0", "answered"], count * 6.0),
        number(&names::ATTEMPTS, &["dc1", "eth0", "timed-out"], count * 2.0),
        number(&names::ROUTE_VERDICT, &["dc1", "eth0", "clear"], 0.0),
        number(&names::ROUTE_VERDICT, &["dc1", "eth0", "congested"], 1.0),
        Reading {
            series: &names::ATTEMPT_DURATION,
            labels: vec!["dc1".into(), "eth0".into()],
            value: metrics::Value::Histogram {
                bounds: vec![0.25, 0.5],
                counts: vec![0, queries * 8, 0],
                sum: 0.0,
            },
        },
    ]);
    all
}

#[test]
fn a_step_says_what_clients_felt_and_how_each_route_fared() {
    let mut rig = Rig::new(1 << 20);
    for queries in 1..=30 {
        rig.second_of(
            &["path eth0 suspect -> congested"][..usize::from(queries == 12)],
            &trouble(queries),
        );
    }
    let log = rig.log();
    let grid = Grid::of(&log, WALL, WALL + 30_000, 10_000);
    let steps = steps(&grid);
    assert_eq!(steps.len(), 3);
    let step = &steps[1];
    assert_eq!(
        (step.clients.questions, step.packets, step.seconds),
        (10, 110, 10.0)
    );
    // A third of the answers took up to 10 us, the others up to 250 ms.
    assert!(
        step.clients
            .p50
            .is_some_and(|p50| (0.05..0.07).contains(&p50)),
        "{step:?}"
    );
    let route = &step.routes[0];
    assert_eq!((route.name.as_str(), route.probes), ("dc1@eth0", 10));
    assert_eq!(
        (route.ended, route.lost, route.loss()),
        (80, 20, Some(0.25))
    );
    assert_eq!(route.rtt, Some(0.375));
    assert_eq!(route.verdict.as_deref(), Some("congested"));
    let table = table(&steps, log.told(), 10_000);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[..2].join("\n"),
        "time      questions  failed  stale  p50    p99     dc1@eth0\n\
         20:26:40  10         -       -      63 ms  246 ms  110 375 ms 25 % congested"
    );
    assert_eq!(
        lines[3], "  20:26:52   path eth0 suspect -> congested",
        "{table}"
    );
    let csv = csv(&steps, 10_000);
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(columns, [15; 4], "{csv}");
    let json = json(&steps, log.told(), 10_000);
    assert_eq!(json["steps"][1]["routes"][0]["loss"], 0.25);
    assert_eq!(
        json["events"][0]["time"],
        Value::from("2026-05-28T20:26:52Z")
    );
}

#[test]
fn openmetrics_has_the_names_labels_and_kinds_of_the_page() {
    let page = crate::observe::metrics::tests::metrics();
    let worker = page.worker();
    worker.latency(
        metrics::Source::Cache,
        std::time::Duration::from_millis(3),
        4,
    );
    let mut rig = Rig::new(4 << 20);
    rig.second_of(&[], &page.readings());
    let grid = Grid::of(&rig.log(), WALL, WALL + 1_000, 1_000);
    let text = openmetrics(&grid);
    assert!(text.ends_with("\n# EOF\n"));
    let mut kinds = BTreeMap::new();
    let mut recorded = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(kinds.insert(name.to_owned(), kind), None, "{name} twice");
        } else if !line.starts_with('#') {
            let mut parts = line.rsplitn(3, ' ');
            let (_time, value) = (parts.next(), parts.next().expect("a value"));
            let series = parts.next().expect("a series");
            let value: f64 = value.parse().expect("a number");
            assert_eq!(
                recorded.insert(series.to_owned(), value),
                None,
                "{series} twice"
            );
        }
    }
    let mut seen = 0;
    for line in page.text().lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        // What the recorder and the process do meanwhile.
        if series.starts_with("process_") || series.starts_with("byway_receive") {
            continue;
        }
        let value: f64 = value.parse().expect("a number");
        let found = *recorded
            .get(series)
            .unwrap_or_else(|| panic!("{series} is missing"));
        assert!(
            (found - value).abs() <= value.abs() / 1_000.0,
            "{series}: {found}, {value}"
        );
        seen += 1;
    }
    assert!(seen > 300, "{seen}");
    assert_eq!(kinds["byway_queries"], "counter");
    assert_eq!(kinds["byway_query_duration_seconds"], "histogram");
    assert_eq!(kinds["byway_limit"], "gauge");
}

#[test]
fn steps_are_comfortable() {
    for (minutes, seconds) in [(1, 2), (15, 30), (60, 120), (24 * 60, 3_600)] {
        assert_eq!(
            comfortable(minutes * 60_000),
            seconds * 1_000,
            "{minutes} min"
        );
    }
}
