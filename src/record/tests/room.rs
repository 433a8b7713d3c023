//! How long the default file reaches back.

use std::time::Duration;

use super::super::encoder::Encoder;
use super::super::file::{Layout, Ring};
use super::super::frame;
use super::*;
use crate::config::{Limits, bounds};
use crate::observe::metrics::{
    AnswerRcode, AskedType, AttemptKind, BudgetSample, CacheSample, Counter, EngineSample, Gauge,
    Label, Metrics, Outcome, QueryLogSample, QueryResult, RecorderSample, Roster, RouteNames,
    RouteSample, SnapshotFile, SnapshotSample, Source, Sources, Transport, Verdict, WorkerMetrics,
};

/// Four upstreams over two paths, all of them in use.
fn metrics() -> Metrics {
    let names = |index: usize| RouteNames {
        upstream: format!("resolver{}", index / 2),
        path: format!("eth{}", index % 2),
    };
    let roster = Roster {
        listeners: vec!["127.0.0.1:53".into(), "[::1]:53".into()],
        paths: vec!["eth0".into(), "eth1".into()],
        routes: (0..8).map(names).collect(),
        ..Roster::default()
    };
    let route = |index: u64| RouteSample {
        number: index as usize,
        verdict: Verdict::Clear,
        base: Some(Duration::from_micros(1_900 + 317 * index)),
        excess: Some(Duration::from_micros(140 + 11 * index)),
        loss: Some(0.004),
        last_answer: Some(Duration::from_millis(3 + 90 * index)),
        in_flight: index,
        limit: 64 + index,
        tcp_retransmits: None,
        tcp_round_trip: None,
    };
    let engine = move || EngineSample {
        routes: (0..8).map(route).collect(),
        missing: ["eth0", "eth1"].map(|path| (path.into(), false)).into(),
        budgets: ["steady", "burst", "ceiling"]
            .map(|name| BudgetSample { name, tokens: 12.5 })
            .to_vec(),
        hedges_denied: 0,
        retries_denied: 0,
        events_lost: 0,
        amplification: Some(1.023_456),
    };
    let sources = Sources {
        cache: Box::new(|| CacheSample {
            entries: 180_000,
            bytes: 60 << 20,
            capacity: 64 << 20,
            evictions: [9_000, 8_000, 7_000, 6_000],
        }),
        guard: Box::new(|| None),
        engine: Box::new(engine),
        snapshot: Some(Box::new(|| SnapshotSample {
            failing: true,
            file: Some(SnapshotFile {
                age: Duration::from_millis(123_456),
                bytes: 50 << 20,
                entries: 180_000,
            }),
            written: 300,
            failed: 0,
        })),
        recorder: Some(Box::new(RecorderSample::default)),
        query_log: Some(Box::new(QueryLogSample::default)),
    };
    Metrics::new(roster, &Limits::default(), sources).expect("a roster without doubles")
}

/// So many seconds of two thousand queries each, a quarter of them over all routes alike.
fn load(worker: &WorkerMetrics, seconds: u64) {
    let millis = |ms: u64| Duration::from_micros(ms * 1_000 + 137);
    for query in 0..2_000 * seconds {
        let (listener, transport) = match query % 50 {
            0 => (1, Transport::Tcp),
            _ => (0, Transport::Udp),
        };
        let asked = AskedType::ALL[(query % 3) as usize];
        worker.answer(asked, AnswerRcode::ALL[usize::from(query % 7 == 0)]);
        if query % 4 > 0 {
            worker.query(listener, transport, QueryResult::Hit, 1);
            worker.latency(Source::Cache, Duration::from_micros(5 + query % 90), 1);
            worker.count(Counter::CacheHit, 1);
            continue;
        }
        let route = (query / 4 % 8) as usize;
        let took = match query % 100 {
            0 => millis(300),
            4 | 8 => millis(40),
            rest => millis(1 + rest / 10),
        };
        worker.query(listener, transport, QueryResult::Miss, 1);
        worker.latency(Source::Upstream, took, 1);
        worker.count(Counter::CacheMiss, 1);
        worker.sent(route, AttemptKind::Primary);
        worker.attempt(route, Outcome::Answered, took);
        if query % 160 == 0 {
            worker.sent(route, AttemptKind::Hedge);
            worker.attempt(route, Outcome::Outrun, took);
            worker.count(Counter::HedgeWon, 1);
        }
        if query % 400 == 0 {
            worker.sent(route, AttemptKind::Refresh);
            worker.count(Counter::RefreshDone, 1);
            worker.count(Counter::Coalesced, 3);
        }
    }
    Gauge::ALL.iter().for_each(|&gauge| worker.set(gauge, 40));
}

/// Octets of frames of a day's seconds, or of a month's minutes.
fn octets_of(minute: bool, frames: u64) -> u64 {
    let metrics = metrics();
    let worker = metrics.worker();
    let mut encoder = Encoder::default();
    // Counters of a daemon that has run for a while.
    load(&worker, 60);
    encoder.learn(&metrics.readings());
    let mut stamp = Stamp {
        wall: WALL,
        life: 10_000_000,
        boot: u32::MAX,
        run: u32::MAX,
    };
    let (mut octets, made) = (0, 64);
    for _ in 0..made {
        load(&worker, if minute { 60 } else { 1 });
        stamp.wall += 1_000;
        stamp.life += 1_000;
        for draft in encoder.frames(minute, &stamp, &metrics.readings()) {
            octets += frame::size(draft.contents.len()) as u64;
        }
    }
    let shape = frame::size(encoder.shape().write().len()) as u64;
    assert!(shape < 10 << 10, "a shape takes {shape}");
    octets * frames / made
}

#[test]
fn the_default_file_holds_a_day_of_seconds_and_a_month_of_minutes_of_eight_routes() {
    let layout = Layout::of(bounds::RECORDER_SIZE.default as u64);
    for (ring, minute, frames) in [
        (Ring::Seconds, false, 24 * 3_600),
        (Ring::Minutes, true, 30 * 24 * 60),
    ] {
        let ring = layout.ring(ring);
        let room = ring.end - ring.start;
        let needed = octets_of(minute, frames);
        // A fiftieth for the shapes.
        assert!(needed < room / 50 * 49, "{needed} of {room}");
    }
}

#[test]
fn no_line_of_metrics_is_left_out() {
    let metrics = metrics();
    let text = metrics.text();
    let mut encoder = Encoder::default();
    encoder.learn(&metrics.readings());
    let recorded: std::collections::BTreeSet<&str> = encoder
        .shape()
        .columns()
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().expect("a name");
        assert!(recorded.contains(name), "{name}");
    }
    assert!(
        !encoder.learn(&metrics.readings()),
        "the shape stays as it is"
    );
}
