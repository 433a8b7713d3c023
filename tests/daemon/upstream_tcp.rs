//! Upstreams asked by TCP that take few questions on a connection, say nothing, talk nonsense, or close at once.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::kit::*;

fn by_tcp(address: SocketAddr) -> Setup {
    Setup::bare()
        .one_worker()
        .upstream(address, "transport = \"tcp\"")
}

fn attempts(daemon: &Daemon, outcome: &str) -> f64 {
    let labels = [("outcome", outcome), ("upstream", "u0")];
    daemon.metric("byway_attempts_total", &labels)
}

fn verdict(daemon: &Daemon, verdict: &str) -> f64 {
    let labels = [("verdict", verdict), ("upstream", "u0")];
    daemon.metric("byway_route_verdict", &labels)
}

/// Asks so many new names at once; their replies.
fn ask_at_once(daemon: &Daemon, names: &str, count: u16) -> Vec<Message> {
    let stub = Stub::new(daemon.dns());
    for id in 0..count {
        let name = format!("{names}-{id}.example");
        stub.send(&Build::query(&name, A).id(id).bytes());
    }
    (0..count).map(|_| stub.receive()).collect()
}

/// Counts the connections that are made, and those open at a time.
#[derive(Default)]
struct Count {
    made: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

/// A server that says nothing, and closes a connection at once unless it is to `hold` it.
fn mute(hold: bool) -> (SocketAddr, Arc<Count>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let count: Arc<Count> = Arc::default();
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            count.made.fetch_add(1, Ordering::SeqCst);
            if !hold {
                continue;
            }
            count.open.fetch_add(1, Ordering::SeqCst);
            // Whoever reads the one that this one replaces may not have seen its end yet.
            for _ in 0..100 {
                if count.open.load(Ordering::SeqCst) > 2 {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            let open = count.open.load(Ordering::SeqCst);
            count.most.fetch_max(open, Ordering::SeqCst);
            let count = Arc::clone(&count);
            thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
                count.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, counted)
}

#[test]
fn a_server_that_takes_one_question_a_connection_answers_them_all() {
    let upstream = Upstream::hearing(Hears::OnlyTcp, |asked| {
        vec![Act::Send(asked.good()), Act::Close]
    });
    let daemon = by_tcp(upstream.address).start();
    for round in 0..6 {
        for reply in ask_at_once(&daemon, &format!("one{round}"), 10) {
            assert_eq!(
                (reply.rcode(), reply.answers.len()),
                (NOERROR, 1),
                "{reply:?}"
            );
        }
    }
    for outcome in ["closed", "handshake-failed", "timed-out", "unreachable"] {
        assert_eq!(attempts(&daemon, outcome), 0.0, "{outcome}");
    }
    assert_eq!(verdict(&daemon, "clear"), 1.0);
    // What was learnt of it: nearly all were put on a connection once only.
    let asked = upstream.asked().len();
    assert!(asked >= 60 && upstream.connections() >= 60, "{asked}");
    assert!(asked < 90, "{asked} questions came for 60");
}

#[test]
fn truncated_answers_come_from_a_server_that_takes_one_question_a_connection() {
    let upstream = Upstream::new(|asked| match asked.tcp {
        true => vec![Act::Send(asked.good()), Act::Close],
        false => vec![Act::Send(asked.reply().set(TC).bytes())],
    });
    let daemon = Setup::to(&[&upstream]).one_worker().start();
    for round in 0..3 {
        for reply in ask_at_once(&daemon, &format!("cut{round}"), 10) {
            assert_eq!(
                (reply.rcode(), reply.answers.len()),
                (NOERROR, 1),
                "{reply:?}"
            );
        }
    }
    assert_eq!(attempts(&daemon, "closed"), 0.0);
}

#[test]
fn nonsense_ends_a_connection_and_is_held_against_its_upstream() {
    let nonsense = Upstream::hearing(Hears::OnlyTcp, |asked| {
        let wrong = asked.reply().id(!asked.id).bytes();
        vec![Act::Send(wrong); 2000]
    });
    let good = Upstream::good();
    let daemon = by_tcp(nonsense.address)
        .upstream(good.address, "")
        .tables("[routing]\npolicy = \"ordered\"")
        .start();
    for number in 0..20 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&format!("n{number}.example"), A));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 1),
            "{reply:?}"
        );
    }
    eventually("it is held against the upstream", || {
        attempts(&daemon, "garbled") >= 1.0
    });
    let wrong = [("reason", "id"), ("upstream", "u0")];
    let wrong = daemon.metric("byway_mismatched_responses_total", &wrong);
    let connections = nonsense.connections() as f64;
    assert!(
        wrong <= 16.0 * connections,
        "{wrong} on {connections} connections"
    );
}

#[test]
fn a_server_that_closes_at_once_is_held_for_dead_and_left_alone() {
    let (address, count) = mute(false);
    let daemon = by_tcp(address).start();
    let began = Instant::now();
    let mut asked = 0;
    eventually("it is dead", || {
        ask_at_once(&daemon, &format!("closes{asked}"), 5);
        asked += 5;
        verdict(&daemon, "dead") == 1.0
    });
    assert!(attempts(&daemon, "handshake-failed") >= 1.0);
    // From now on only probes go there.
    let before = count.made.load(Ordering::SeqCst);
    let since = Instant::now();
    for round in 0..5 {
        for reply in ask_at_once(&daemon, &format!("dead{round}"), 40) {
            assert_eq!(reply.rcode(), SERVFAIL);
        }
    }
    let made = count.made.load(Ordering::SeqCst) - before;
    assert!(
        made < 40,
        "{made} connections for 200 questions in {:?}, dead after {:?}",
        since.elapsed(),
        since - began
    );
}

#[test]
fn silent_servers_get_no_more_connections_than_they_may() {
    let (address, count) = mute(true);
    let daemon = by_tcp(address)
        .tables("[limits]\nupstream-connections = 2\n[routing]\ndeadline = \"2s\"")
        .start();
    for round in 0..4 {
        ask_at_once(&daemon, &format!("silent{round}"), 150);
        thread::sleep(Duration::from_millis(100));
    }
    let most = count.most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} at a time");
    assert!(daemon.metric("byway_upstream_connections", &[]) <= 2.0);
}
