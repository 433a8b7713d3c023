//! Upstreams over TCP whose answers are late: because segments are lost on the way and the kernel sends
//! them again, or because the server takes its time. From the answers alone the two look the same.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::kit::*;
use super::paths::{Field, ask, fresh};

/// Drops every fourth segment of TCP towards the upstream that arrives over link `n`. To be called in the
/// namespace beyond. False where that cannot be had.
fn lose_every_fourth(n: u8) -> bool {
    let rules = format!(
        "table inet lossy {{ chain arriving {{ type filter hook prerouting priority -300; \
         iifname \"peer{n}\" tcp dport 53 numgen inc mod 4 == 0 counter drop; }} }}"
    );
    let status = Command::new("nft")
        .arg(&rules)
        .stderr(Stdio::null())
        .status();
    let lossy = status.is_ok_and(|status| status.success());
    if !lossy {
        skip("loss needs nft with numgen (nftables)");
    }
    lossy
}

/// A daemon, in health, that asks over TCP, over links 1 to `links` as the paths `a` and `b`, and prefers `a`.
fn asking_over(upstream: &Upstream, links: u8) -> Daemon {
    let paths = ["a", "b"].iter().zip(1..=links);
    let names: Vec<String> = paths
        .clone()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let tables: String = paths
        .map(|(name, n)| format!("[[path]]\nname = \"{name}\"\ninterface = \"eth{n}\"\n"))
        .collect();
    let keys = format!("transport = \"tcp\"\npaths = [{}]", names.join(", "));
    let daemon = Setup::bare()
        .one_worker()
        .upstream(upstream.address, &keys)
        .tables(&format!("{tables}[routing]\npolicy = \"ordered\""))
        .start();
    daemon.warm_up();
    daemon
}

/// Asks until `line` is among what it changed its mind about.
#[track_caller]
fn ask_until(daemon: &Daemon, line: &str) {
    eventually(line, || {
        ask(daemon.dns(), fresh());
        daemon.changes().contains(line)
    });
}

fn in_field(links: u8, work: impl FnOnce(&Field, &Upstream) + Send) {
    let Some(field) = Field::new() else { return };
    let upstream = field.upstream();
    field.host.enter(|| {
        (1..=links).for_each(|n| field.connect(n));
        work(&field, &upstream);
    });
}

fn slow(upstream: &Upstream) {
    upstream.now(|asked| {
        vec![
            Act::Wait(Duration::from_millis(150)),
            Act::Send(asked.good()),
        ]
    });
}

#[test]
fn what_the_kernel_sends_again_is_the_only_paths_fault() {
    in_field(1, |field, upstream| {
        let daemon = asking_over(upstream, 1);
        let on_a = [("path", "a")];
        let (again, trip) = (
            "byway_route_tcp_retransmits_total",
            "byway_route_tcp_round_trip_seconds",
        );
        // A connection is not looked at more often than every few milliseconds.
        eventually("the kernel's round trip", || {
            ask(daemon.dns(), fresh());
            daemon.metrics().series(trip, &on_a).any(|(_, it)| it > 0.0)
        });
        assert_eq!(daemon.metric(again, &on_a), 0.0);
        if field.far.enter(|| lose_every_fourth(1)) {
            ask_until(&daemon, "held up on the way (TCP)");
            ask_until(&daemon, "path a clear -> ");
            assert!(daemon.metric(again, &on_a) > 0.0);
            assert!(!daemon.changes().contains("upstream u0 clear -> "));
        }
    });
}

#[test]
fn what_the_kernel_sends_again_is_one_of_two_paths_fault() {
    in_field(2, |field, upstream| {
        let daemon = asking_over(upstream, 2);
        if field.far.enter(|| lose_every_fourth(1)) {
            ask_until(&daemon, "path a clear -> ");
            for _ in 0..20 {
                ask(daemon.dns(), fresh());
            }
            assert!(!daemon.changes().contains("path b clear -> "));
            assert!(!daemon.changes().contains("upstream u0 clear -> "));
        }
    });
}

#[test]
fn what_was_acknowledged_is_the_servers_fault() {
    for links in [1, 2] {
        in_field(links, |_, upstream| {
            let daemon = asking_over(upstream, links);
            slow(upstream);
            ask_until(&daemon, "held up at the server (TCP)");
            // With a second path it is only suspected first.
            ask_until(&daemon, " -> sick");
            for path in ["a", "b"] {
                let accused = |event: &str| {
                    event.contains(&format!("path {path} ")) && event.contains(" -> ")
                };
                let changes = daemon.changes();
                assert!(!changes.split("\"number\"").any(accused), "{changes}");
            }
        });
    }
}

#[test]
fn datagrams_have_no_segments() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let metrics = daemon.metrics();
    assert!(metrics.names().all(|name| !name.contains("_route_tcp_")));
}
