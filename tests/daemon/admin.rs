//! The watch: metrics that can be read and that count what happened, health, readiness.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::kit::*;

#[test]
fn the_page_is_prometheus_text() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    Stub::new(daemon.dns()).ask(&Build::query("page.example", A));
    // Parsing is strict: every line is a comment, a HELP, a TYPE or a sample, and none comes twice.
    let page = daemon.metrics();
    for sample in page.names() {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| sample.strip_suffix(suffix))
            .find(|family| {
                page.kinds
                    .get(*family)
                    .is_some_and(|kind| kind == "histogram")
            })
            .unwrap_or(sample);
        let kind = page
            .kinds
            .get(family)
            .unwrap_or_else(|| panic!("{sample} has a TYPE"));
        assert!(page.helps.contains_key(family), "{sample} has a HELP");
        assert_eq!(
            kind == "counter",
            family.ends_with("_total"),
            "{family} is a {kind}"
        );
        assert!(
            family.starts_with("byway_") || family.starts_with("process_"),
            "{family}"
        );
    }
    for (labels, _) in page.series("byway_query_duration_seconds_bucket", &[("le", "+Inf")]) {
        let source = labels["source"].as_str();
        let count = page.sum("byway_query_duration_seconds_count", &[("source", source)]);
        let all = page.sum(
            "byway_query_duration_seconds_bucket",
            &[("le", "+Inf"), ("source", source)],
        );
        assert_eq!(count, all);
    }
    let head = request(
        &daemon,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
}

#[test]
fn what_happened_is_counted_once() {
    let upstream = Upstream::new(|asked| match asked.lower().split('.').next() {
        Some("failing") => vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())],
        _ => vec![Act::Send(asked.good())],
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let mut connection = Connection::new(daemon.dns());
    for number in 0..5 {
        stub.ask(&Build::query(&format!("udp{number}.example"), A));
        connection.ask(&Build::query(&format!("tcp{number}.example"), A));
    }
    for _ in 0..7 {
        stub.ask(&Build::query("udp1.example", A));
        connection.ask(&Build::query("tcp1.example", A));
    }
    stub.ask(&Build::query("failing.example", A));
    stub.ask(&Build::query("x.example", A).opcode(4));
    stub.ask(&Build::query("x.example", ANY));
    stub.ask(&Build::query("x.example", AXFR));
    connection.ask(&Build::query("x.example", A).edns(Edns::new(512).version(1)));

    let expected = [
        ("udp", "miss", 5.0),
        ("tcp", "miss", 5.0),
        ("udp", "hit", 7.0),
        ("tcp", "hit", 7.0),
        ("udp", "failed", 1.0),
        ("udp", "rejected", 2.0),
        ("udp", "refused", 1.0),
        ("tcp", "rejected", 1.0),
        ("udp", "stale", 0.0),
        ("udp", "shed", 0.0),
    ];
    let listener = daemon.dns().to_string();
    let mut page = daemon.metrics();
    // An answer is counted when it has been sent, which the client may see first.
    eventually("all is counted", || {
        page = daemon.metrics();
        page.sum("byway_queries_total", &[]) >= 29.0
    });
    for (transport, result, count) in expected {
        let labels = [
            ("transport", transport),
            ("result", result),
            ("listener", &*listener),
        ];
        assert_eq!(
            page.sum("byway_queries_total", &labels),
            count,
            "{transport} {result}"
        );
    }
    let count = |source| page.sum("byway_query_duration_seconds_count", &[("source", source)]);
    assert_eq!(
        (count("cache"), count("upstream"), count("local")),
        (14.0, 10.0, 5.0)
    );
    let route = [("upstream", "u0"), ("path", "default")];
    let attempts = |outcome| {
        page.sum(
            "byway_attempts_total",
            &[route[0], route[1], ("outcome", outcome)],
        )
    };
    assert!(attempts("answered") >= 10.0, "with probes");
    assert!(attempts("poor") >= 1.0);
    assert!(
        page.sum(
            "byway_attempts_sent_total",
            &[route[0], ("kind", "primary")]
        ) >= 11.0
    );
    assert!(page.sum("byway_attempt_duration_seconds_count", &route) >= 11.0);
    assert_eq!(page.sum("byway_cache_entries", &[]), 10.0);
    assert!(page.sum("byway_cache_bytes", &[]) > 0.0);
    assert_eq!(page.sum("byway_tcp_connections", &[]), 1.0);
    assert_eq!(page.sum("byway_tcp_connections_accepted_total", &[]), 1.0);
    assert_eq!(page.sum("byway_workers", &[]), 2.0);
    assert_eq!(page.sum("byway_questions_in_flight", &[]), 0.0);
    let (labels, one) = page
        .series("byway_build_info", &[])
        .next()
        .expect("what runs");
    assert_eq!(
        (labels["version"].as_str(), one),
        (env!("CARGO_PKG_VERSION"), 1.0)
    );
    assert_eq!(page.sum("byway_dropped_total", &[]), 0.0);
}

#[test]
fn lost_attempts_are_counted_and_have_no_round_trip() {
    let upstream = Upstream::silent();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"500ms\"")
        .start();
    Stub::new(daemon.dns()).ask(&Build::query("lost.example", A));
    eventually("it ended as timed out", || {
        daemon.metric("byway_attempts_total", &[("outcome", "timed-out")]) >= 1.0
    });
    assert_eq!(
        daemon.metric("byway_attempt_duration_seconds_count", &[]),
        0.0
    );
}

#[test]
fn health_and_readiness() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(daemon.http(path).0, 200, "{path}");
    }
    let (status, index) = daemon.http("/");
    assert_eq!(status, 200);
    assert!(index.contains("/metrics"), "{index}");
    assert_eq!(daemon.http("/nothing").0, 404);
    assert_eq!(daemon.http("/metrics/").0, 404);
}

#[test]
fn a_daemon_that_can_answer_nothing_is_alive_but_not_ready() {
    let daemon = Setup::bare()
        .upstream(([127, 0, 0, 3], 1).into(), "")
        .start();
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    eventually("it is not ready", || {
        number += 1;
        stub.ask(&Build::query(&format!("dead{number}.example"), A));
        daemon.http("/readyz").0 == 503
    });
    assert_eq!(daemon.http("/healthz").0, 200);
}

#[test]
fn the_watch_is_for_reading_only() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let head = request(
            &daemon,
            &format!(
                "{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        );
        assert!(head.starts_with("HTTP/1.1 405"), "{method}: {head}");
    }
    let head = request(&daemon, "\x16\x03\x01\x00garbage\r\n\r\n");
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 400"),
        "{head}"
    );
    assert_eq!(daemon.http("/healthz").0, 200);
}

#[test]
fn the_watch_can_be_off() {
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream]);
    let text = setup.text().replace(
        "[admin]\nlisten = \"127.0.0.1:0\"",
        "[admin]\nlisten = \"off\"",
    );
    let (folder, file) = config_file(&text);
    let mut command = byway();
    command.arg("run").arg("--config").arg(&file);
    let daemon = Daemon::spawn(command, Some(folder));
    assert_eq!(daemon.admin, None);
    assert_eq!(
        Stub::new(daemon.dns())
            .ask(&Build::query("off.example", A))
            .rcode(),
        NOERROR
    );
}

/// The head of the response to a request, octet by octet as given.
fn request(daemon: &Daemon, request: &str) -> String {
    let mut stream =
        TcpStream::connect(daemon.admin.expect("an admin endpoint")).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8_lossy(&response).into_owned();
    response
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .to_owned()
}
