//! The text as a scraper reads it, against the table and against what was counted.

mod page;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::super::names::{self, Kind};
use super::*;
use page::Read;

fn limits() -> Limits {
    Limits {
        tcp_pipeline: 8,
        ..Limits::default()
    }
}

/// The address of a UDP socket whose receive queue has overflown.
fn flooded() -> SocketAddr {
    static SOCKET: OnceLock<UdpSocket> = OnceLock::new();
    let socket = SOCKET.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(1)
            .expect("a small buffer");
        let itself = socket.local_addr().expect("its address");
        (0..1_000).for_each(|_| drop(socket.send_to(&[0; 512], itself)));
        socket
    });
    socket.local_addr().expect("its address")
}

fn roster() -> Roster {
    let route = |upstream: &str, path: &str| RouteNames {
        upstream: upstream.into(),
        path: path.into(),
    };
    Roster {
        listeners: vec![
            "127.0.0.1:5339".into(),
            "[::1]:5339".into(),
            flooded().to_string(),
        ],
        paths: vec!["eth0".into(), "eth1".into()],
        routes: vec![
            route("dc1", "eth0"),
            route("dc1", "eth1"),
            route("quo\"te\\\n", "eth0"),
        ],
        seats: Vec::new(),
    }
}

fn sources() -> Sources {
    let route = RouteSample {
        number: 0,
        verdict: Verdict::Congested,
        base: Some(Duration::from_millis(2)),
        excess: Some(Duration::from_millis(480)),
        loss: Some(0.31),
        last_answer: Some(Duration::from_millis(700)),
        in_flight: 9,
        limit: 64,
        tcp_retransmits: Some(5),
        tcp_round_trip: Some(Duration::from_millis(3)),
    };
    let engine = EngineSample {
        routes: vec![
            route.clone(),
            RouteSample {
                number: 1,
                ..route.clone()
            },
            RouteSample {
                number: 2,
                base: None,
                tcp_retransmits: None,
                tcp_round_trip: None,
                ..route
            },
        ],
        missing: ["eth0", "eth1"].map(|path| (path.into(), true)).into(),
        budgets: vec![BudgetSample {
            name: "extra",
            tokens: 12.5,
        }],
        hedges_denied: 3,
        retries_denied: 2,
        events_lost: 6,
        amplification: Some(1.02),
    };
    Sources {
        cache: Box::new(|| CacheSample {
            entries: 7,
            bytes: 700,
            capacity: 1000,
            evictions: [1, 2, 3, 4],
        }),
        guard: Box::new(|| {
            Some(GuardSample {
                kept: 2,
                watched: 30,
                events: [5, 1, 1, 1, 3],
            })
        }),
        engine: Box::new(move || engine.clone()),
        snapshot: Some(Box::new(|| SnapshotSample {
            failing: true,
            file: Some(SnapshotFile {
                age: Duration::from_secs(60),
                bytes: 4096,
                entries: 7,
            }),
            written: 3,
            failed: 1,
        })),
        recorder: Some(Box::new(|| RecorderSample {
            on_disk: Some(true),
            written: 9,
            in_memory: 8,
            lost: 7,
        })),
        query_log: Some(Box::new(|| QueryLogSample {
            written: 11,
            lost: 2,
        })),
    }
}

/// Metrics of a daemon in the middle of things, without workers yet.
pub(crate) fn metrics() -> Metrics {
    Metrics::new(roster(), &limits(), sources()).expect("a roster without doubles")
}

/// Calls everything that counts, each with a number of its own kind, so that every series moves.
fn feed(metrics: &Metrics) -> WorkerMetrics {
    let worker = metrics.worker();
    for listener in 0..3 {
        for &transport in Transport::ALL {
            for &result in QueryResult::ALL {
                worker.query(listener, transport, result, 2);
            }
        }
    }
    for &asked in AskedType::ALL {
        AnswerRcode::ALL
            .iter()
            .for_each(|&rcode| worker.answer(asked, rcode));
    }
    Source::ALL
        .iter()
        .for_each(|&source| worker.latency(source, Duration::from_millis(3), 4));
    Drop::ALL
        .iter()
        .for_each(|&reason| worker.dropped(reason, 1));
    for &limit in Limit::ALL {
        let clients = limit.met_by().iter();
        clients.for_each(|&client| worker.limited(limit, client));
    }
    Counter::ALL
        .iter()
        .for_each(|&counter| worker.count(counter, 5));
    Gauge::ALL.iter().for_each(|&gauge| worker.set(gauge, 6));
    for route in 0..3 {
        for &outcome in Outcome::ALL {
            worker.attempt(route, outcome, Duration::from_micros(30));
        }
        AttemptKind::ALL
            .iter()
            .for_each(|&kind| worker.sent(route, kind));
        Mismatch::ALL
            .iter()
            .for_each(|&reason| worker.mismatched(route, reason));
        worker.edns_fallback(route);
    }
    Visit::ALL.iter().for_each(|&end| metrics.visited(end));
    for path in ["eth0", "eth1"] {
        Evacuation::ALL
            .iter()
            .for_each(|&cause| metrics.evacuated(path, cause));
    }
    for &scope in Scope::ALL {
        metrics.trouble_began(scope);
        metrics.troubles(scope, 2);
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    metrics.reloaded(false, at);
    metrics.reloaded(true, at);
    metrics.certificate_ends(at);
    metrics.links([3, 1]);
    worker
}

#[test]
fn the_page_is_well_formed_and_is_the_table() {
    let metrics = metrics();
    let _worker = feed(&metrics);
    let read = Read::page(&metrics.text());
    read.check_histograms();
    for series in names::ALL {
        let kind = read.kinds.get(series.name).map(String::as_str);
        assert_eq!(
            kind,
            Some(series.kind.as_str()),
            "{} as the table says",
            series.name
        );
        assert_eq!(read.help[series.name], series.help);
        let labels: Vec<String> = series
            .labels
            .iter()
            .map(|label| label.to_string())
            .collect();
        assert_eq!(
            read.labels[series.name],
            BTreeSet::from([labels]),
            "{}",
            series.name
        );
    }
    assert_eq!(
        read.kinds.len(),
        names::ALL.len(),
        "nothing that the table lacks"
    );
}

#[test]
fn no_series_is_without_a_feeder() {
    // Everything that counts has been called, so whatever still reads zero is fed by nothing. A
    // verdict the route does not have is the one zero that means something.
    let metrics = metrics();
    let _worker = feed(&metrics);
    let read = Read::page(&metrics.text());
    let unfed: Vec<&String> = read
        .samples
        .iter()
        .filter(|(left, value)| {
            let meant = left.starts_with("byway_route_verdict{") || left.contains("_bucket{")
                // A process this young may have used less than a tick, and has no log.
                || [&names::PROCESS_CPU, &names::LOG_LINES_LOST, &names::PANICS]
                    .iter()
                    .any(|series| left.as_str() == series.name);
            **value == 0.0 && !meant
        })
        .map(|(left, _)| left)
        .collect();
    assert_eq!(unfed, Vec::<&String>::new());
}

#[test]
fn what_is_counted_is_what_is_read() {
    let metrics = metrics();
    let (one, other) = (feed(&metrics), feed(&metrics));
    one.count(Counter::Coalesced, 1);
    drop(other);
    let read = Read::page(&metrics.text());
    let hit = r#"byway_queries_total{listener="[::1]:5339",transport="tcp",result="hit"}"#;
    assert_eq!(
        read.get(hit),
        4.0,
        "a worker that ended keeps what it counted"
    );
    assert_eq!(read.get("byway_coalesced_queries_total"), 11.0);
    assert_eq!(
        read.get("byway_waiting_clients"),
        6.0,
        "but holds nothing any more"
    );
    assert_eq!(
        read.get(r#"byway_cache_evictions_total{cause="outweighed"}"#),
        3.0
    );
    assert_eq!(read.get(r#"byway_hedges_total{result="denied"}"#), 3.0);
    assert_eq!(read.get(r#"byway_limit{limit="tcp-pipeline"}"#), 8.0);
    assert_eq!(
        read.get(r#"byway_evacuations_total{path="eth1",cause="dead"}"#),
        2.0
    );
    let verdict = r#"byway_route_verdict{upstream="dc1",path="eth1",verdict="#;
    assert_eq!(read.get(&format!("{verdict}\"congested\"}}")), 1.0);
    assert_eq!(read.get(&format!("{verdict}\"clear\"}}")), 0.0);
    let count = r#"byway_query_duration_seconds_count{source="cache"}"#;
    assert_eq!(read.get(count), 8.0);
    assert!((read.get(r#"byway_query_duration_seconds_sum{source="cache"}"#) - 0.024).abs() < 1e-9);
    let returned = Outcome::ALL.iter().filter(|it| it.has_round_trip());
    let returned = returned.count() as f64;
    let attempts = r#"byway_attempt_duration_seconds_count{upstream="dc1",path="eth1"}"#;
    assert_eq!(read.get(attempts), 2.0 * returned);
    // 30 us lie below the first bound of 100 us and are in it.
    let first = r#"byway_attempt_duration_seconds_bucket{upstream="dc1",path="eth1",le="0.0001"}"#;
    assert_eq!(read.get(first), 2.0 * returned);
}

#[test]
fn after_a_reload_who_stays_goes_on_counting_and_who_is_new_begins() {
    let metrics = metrics();
    let worker = feed(&metrics);
    let sent = |upstream: &str, path: &str| {
        format!(r#"byway_attempts_sent_total{{upstream="{upstream}",path="{path}",kind="hedge"}}"#)
    };
    // The second route has gone, the third number is somebody else's now, and there is a fourth.
    let mut next = roster();
    next.routes[2].upstream = "dc2".into();
    next.routes.push(RouteNames {
        upstream: "dc1".into(),
        path: "eth2".into(),
    });
    next.paths = vec!["eth0".into(), "eth2".into()];
    next.seats = vec![(0, true), (0, false), (9, true), (10, true)];
    worker.reshape(&next.tenants());
    worker.sent(3, AttemptKind::Hedge);
    let more = Limits {
        questions: 77,
        ..limits()
    };
    metrics.reshape(next, &more).expect("no doubles");
    worker.sent(0, AttemptKind::Hedge);
    worker.sent(2, AttemptKind::Hedge);
    let read = Read::page(&metrics.text());
    assert_eq!(read.get(&sent("dc1", "eth0")), 2.0);
    assert_eq!(read.get(&sent("dc2", "eth0")), 1.0);
    assert_eq!(read.get(&sent("dc1", "eth2")), 1.0);
    let names: Vec<&String> = read.samples.keys().collect();
    assert!(!names.iter().any(|it| it.contains(r#"path="eth1",kind"#)));
    assert_eq!(read.get(r#"byway_limit{limit="questions"}"#), 77.0);
    let evacuated =
        |path: &str| format!(r#"byway_evacuations_total{{path="{path}",cause="dead"}}"#);
    assert_eq!(read.get(&evacuated("eth0")), 1.0);
    assert_eq!(read.get(&evacuated("eth2")), 0.0);
    // A worker that comes later has the same.
    let later = metrics.worker();
    later.sent(3, AttemptKind::Hedge);
    let read = Read::page(&metrics.text());
    assert_eq!(read.get(&sent("dc1", "eth2")), 2.0);
}

#[test]
fn what_is_unknown_is_absent_rather_than_zero() {
    let sources = Sources {
        cache: Box::new(CacheSample::default),
        guard: Box::new(|| None),
        engine: Box::new(EngineSample::default),
        snapshot: None,
        recorder: None,
        query_log: None,
    };
    let metrics = Metrics::new(roster(), &limits(), sources).expect("a roster without doubles");
    let read = Read::page(&metrics.text());
    for absent in [
        "byway_route_base_seconds",
        "byway_amplification_ratio",
        "byway_snapshot_age_seconds",
        "byway_guard_kept",
    ] {
        assert!(!read.kinds.contains_key(absent), "{absent}");
    }
    assert_eq!(read.get("byway_cache_entries"), 0.0);
}

#[test]
fn a_roster_with_doubles_is_refused() {
    let mut double = roster();
    double.routes.push(double.routes[1].clone());
    let refused = Metrics::new(double, &limits(), sources()).expect_err("a double");
    assert_eq!(refused.to_string(), "route dc1@eth1 is there twice");
}

#[test]
fn the_crate_accepts_every_row_of_the_table() {
    for series in names::ALL {
        assert!(fold::desc(series).is_some(), "{}", series.name);
        let prefixes = ["byway_", "process_"];
        assert!(
            prefixes
                .iter()
                .any(|prefix| series.name.starts_with(prefix)),
            "{}",
            series.name
        );
        assert_eq!(
            series.kind == Kind::Counter,
            series.name.ends_with("_total"),
            "{}",
            series.name
        );
        assert_eq!(
            series.kind == Kind::Histogram,
            series.name.ends_with("_duration_seconds")
        );
        assert!(
            series.help.ends_with('.') && !series.help.contains('\n'),
            "{}",
            series.name
        );
    }
    let names: BTreeSet<_> = names::ALL.iter().map(|series| series.name).collect();
    assert_eq!(names.len(), names::ALL.len());
}

#[test]
fn label_values_are_plain_words() {
    fn all<L: Label>(plain: impl Fn(u8) -> bool) {
        assert_eq!(L::ALL.len(), L::VALUES.len());
        for (index, value) in L::ALL.iter().enumerate() {
            assert_eq!((value.index(), value.as_str()), (index, L::VALUES[index].0));
            let word = value.as_str();
            assert!(word == "other" || word.bytes().all(&plain), "{word}");
        }
    }
    fn check<L: Label>() {
        all::<L>(|byte| byte.is_ascii_lowercase() || byte == b'-');
    }
    // These are written as DNS writes them.
    all::<AskedType>(|byte| byte.is_ascii_uppercase());
    all::<AnswerRcode>(|byte| byte.is_ascii_uppercase());
    check::<Transport>();
    check::<QueryResult>();
    check::<Source>();
    check::<Drop>();
    check::<Limit>();
    check::<Client>();
    check::<Outcome>();
    check::<AttemptKind>();
    check::<Mismatch>();
    check::<Verdict>();
    check::<Evacuation>();
    check::<Eviction>();
    check::<Visit>();
}

#[test]
fn scraping_while_workers_count_never_goes_backwards() {
    let metrics = metrics();
    let worker = metrics.worker();
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let counting = scope.spawn(move || {
            let mut counted = 0u64;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                worker.query(0, Transport::Udp, QueryResult::Hit, 1);
                worker.latency(Source::Cache, Duration::from_nanos(counted % 1_000_000), 1);
                counted += 1;
            }
            counted
        });
        let mut last = 0.0;
        for _ in 0..20 {
            let read = Read::page(&metrics.text());
            read.check_histograms();
            let now = read.get(r#"byway_query_duration_seconds_count{source="cache"}"#);
            assert!(now >= last);
            last = now;
        }
        drop(stop);
        let counted = counting.join().expect("no panic");
        let read = Read::page(&metrics.text());
        let hits = r#"byway_queries_total{listener="127.0.0.1:5339",transport="udp",result="hit"}"#;
        assert_eq!(read.get(hits), counted as f64, "not one lost");
    });
}

#[test]
fn the_collector_has_taken_every_name_of_the_table() {
    let registry = metrics().registry;
    let counter = |name| {
        let counter = prometheus::IntCounter::new(name, "another's").expect("a valid name");
        registry.register(Box::new(counter))
    };
    for series in names::ALL {
        assert!(counter(series.name).is_err(), "{} is free", series.name);
    }
    assert!(counter("byway_not_in_the_table_total").is_ok());
}
