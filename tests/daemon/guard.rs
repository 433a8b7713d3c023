//! Names that must not vanish (`[[guard]]`), as clients and operators see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::kit::daemon::{run, stderr, stdout};
use super::kit::*;

const NAME: &str = "db.svc.internal";

/// An upstream whose names below `svc.internal` vanish when told to, and a switch for that.
fn upstream(denial: fn(&Asked) -> Build) -> (Upstream, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&gone);
    let upstream = Upstream::saying(move |asked| {
        let guarded = asked.lower().ends_with("svc.internal.");
        match (asked.rtype(), guarded && switch.load(Ordering::Relaxed)) {
            (_, true) => denial(asked),
            (A, false) => asked.reply().answer(a(&asked.name(), 1, [192, 0, 2, 1])),
            _ => asked.reply().authority(soa("internal", 60, 60)),
        }
    });
    (upstream, gone)
}

fn nxdomain(asked: &Asked) -> Build {
    let soa = soa("internal", 60, 60);
    asked.reply().rcode(NXDOMAIN).authority(soa)
}

fn no_data(asked: &Asked) -> Build {
    asked.reply().authority(soa("internal", 60, 60))
}

/// A resolver that validates, and finds the zone broken.
fn bogus(asked: &Asked) -> Build {
    let edns = Edns::new(1232).option(15, &[0, 6]);
    asked.reply().rcode(SERVFAIL).edns(edns)
}

fn guarded(upstream: &Upstream, more: &str) -> Setup {
    // Nothing is stale, so that nothing else can be what is given.
    let text = format!(
        "[cache]\nstale-max = \"0 s\"\n[[guard]]\nzones = [\"svc.internal\"]\nafter = \"1 s\"\n{more}"
    );
    Setup::to(&[upstream]).tables(&text)
}

fn query(name: &str, record_type: u16) -> Build {
    Build::query(name, record_type).edns(Edns::new(1232))
}

/// Asks until the name has been there for long enough.
fn season(stub: &Stub, daemon: &Daemon) {
    daemon.warm_up();
    for _ in 0..3 {
        assert_eq!(stub.ask(&query(NAME, A)).addresses(), ["192.0.2.1"]);
        thread::sleep(Duration::from_millis(1100));
    }
}

fn order(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let socket = daemon.folder().join("control.sock");
    let output = run(byway().args(words).arg("--socket").arg(socket));
    let text = stdout(&output) + &stderr(&output);
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn a_name_that_vanishes_is_kept_and_told_of_until_it_is_back() {
    for denial in [nxdomain, no_data, bogus] {
        let (upstream, gone) = upstream(denial);
        let daemon = guarded(&upstream, "").start();
        let stub = Stub::new(daemon.dns());
        season(&stub, &daemon);
        gone.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            let reply = stub.ask(&query(NAME, A));
            assert_eq!(
                (reply.rcode(), reply.addresses()),
                (NOERROR, vec!["192.0.2.1".into()])
            );
            assert_eq!((reply.edes(), reply.ttl()), (vec![0], 30));
        }
        let before = upstream.asked_for("db.svc.internal.").len();
        // A name that never was, and one that is not under guard.
        let other = stub.ask(&query("never.svc.internal", A));
        assert_ne!(other.addresses(), ["192.0.2.1"]);
        assert!(!other.edes().contains(&0));
        assert_eq!(
            stub.ask(&query("www.example", A)).addresses(),
            ["192.0.2.1"]
        );
        let (code, list) = order(&daemon, &["guard"]);
        assert_eq!(code, 0, "{list}");
        assert!(
            list.contains("1 vanished")
                && list.contains("db.svc.internal. ")
                && list.contains("192.0.2.1"),
            "{list}"
        );
        let (code, status) = order(&daemon, &["status"]);
        assert_eq!(code, 3, "{status}");
        assert!(
            status.contains("name db.svc.internal. A has vanished"),
            "{status}"
        );
        let (_, why) = order(&daemon, &["why", NAME]);
        assert!(
            why.contains("given its last known addresses, kept by [[guard]]"),
            "{why}"
        );
        assert!(daemon.metric("byway_guard_kept", &[]) == 1.0);
        assert!(daemon.metric("byway_stale_answers_total", &[("reason", "guarded")]) >= 3.0);
        // It is asked for anew, though nobody asks.
        eventually("it is asked for anew", || {
            upstream.asked_for("db.svc.internal.").len() > before
        });
        gone.store(false, Ordering::Relaxed);
        eventually("it is back", || stub.ask(&query(NAME, A)).edes().is_empty());
        eventually("it is told", || {
            let log = daemon.log();
            log.contains("db.svc.internal. A has vanished") && log.contains("A has addresses again")
        });
        assert_eq!(daemon.metric("byway_guard_kept", &[]), 0.0);
    }
}

#[test]
fn it_is_let_go_at_the_end_or_by_the_operator() {
    let (upstream, gone) = upstream(nxdomain);
    let daemon = guarded(&upstream, "keep = \"3 s\"").start();
    let stub = Stub::new(daemon.dns());
    season(&stub, &daemon);
    gone.store(true, Ordering::Relaxed);
    assert_eq!(stub.ask(&query(NAME, A)).addresses(), ["192.0.2.1"]);
    eventually("its time is over", || {
        stub.ask(&query(NAME, A)).rcode() == NXDOMAIN
    });
    let names = "byway_guard_names_total";
    daemon.expect_metric(names, &[("event", "expired")], 1.0);
    // Without addresses for long enough it is not kept again.
    gone.store(false, Ordering::Relaxed);
    order(&daemon, &["flush", NAME]);
    season(&stub, &daemon);
    gone.store(true, Ordering::Relaxed);
    assert_eq!(stub.ask(&query(NAME, A)).edes(), [0]);
    let (code, done) = order(&daemon, &["guard", "release", NAME]);
    assert_eq!(code, 0, "{done}");
    assert_eq!(stub.ask(&query(NAME, A)).rcode(), NXDOMAIN);
    let (code, done) = order(&daemon, &["guard", "release", NAME]);
    assert!(
        code == 1 && done.contains("nothing is kept of db.svc.internal."),
        "{done}"
    );
    daemon.expect_metric(names, &[("event", "released")], 1.0);
    eventually("it is in the record", || {
        let (_, incident) = order(&daemon, &["incident"]);
        incident.contains("name db.svc.internal. vanished") && incident.contains("let go by uid")
    });
}

#[test]
fn other_types_of_a_name_with_addresses_are_no_data_and_hide_it_not() {
    // As servers do that know no AAAA (RFC 4074 section 4.2).
    let upstream = Upstream::saying(|asked| match asked.rtype() {
        A => asked.reply().answer(a(&asked.name(), 2, [192, 0, 2, 1])),
        _ => nxdomain(asked),
    });
    let daemon = guarded(&upstream, "").start();
    let stub = Stub::new(daemon.dns());
    season(&stub, &daemon);
    let reply = stub.ask(&query(NAME, AAAA));
    assert_eq!((reply.rcode(), reply.edes()), (NOERROR, vec![0]));
    order(&daemon, &["flush", NAME]);
    assert_eq!(stub.ask(&query(NAME, AAAA)).rcode(), NOERROR);
    let reply = stub.ask(&query(NAME, A));
    assert_eq!(
        (reply.addresses(), reply.edes()),
        (vec!["192.0.2.1".into()], vec![])
    );
    assert_eq!(daemon.metric("byway_guard_kept", &[]), 0.0);
}

#[test]
fn a_restart_keeps_what_is_kept_and_a_reload_changes_the_rules() {
    let (upstream, gone) = upstream(nxdomain);
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("snapshot");
    let setup = Setup::to(&[&upstream]).tables(&format!(
        "[cache]\nstale-max = \"0 s\"\nsnapshot = \"{}\"\n[[guard]]\nzones = \"svc.internal\"\nafter = \"1 s\"",
        snapshot.display()
    ));
    let mut daemon = setup.start();
    let stub = Stub::new(daemon.dns());
    season(&stub, &daemon);
    gone.store(true, Ordering::Relaxed);
    assert_eq!(stub.ask(&query(NAME, A)).edes(), [0]);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    let daemon = setup.start();
    let stub = Stub::new(daemon.dns());
    let reply = stub.ask(&query(NAME, A));
    assert_eq!(
        (reply.addresses(), reply.edes()),
        (vec!["192.0.2.1".into()], vec![0])
    );
    assert!(
        daemon
            .log()
            .contains("has vanished: NXDOMAIN over u0@default"),
        "{}",
        daemon.log()
    );
    let file = daemon.folder().join("byway.toml");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, text.replace("svc.internal", "other.internal")).expect("written");
    let (code, done) = order(&daemon, &["reload"]);
    assert!(code == 0 && done.contains("[[guard]]"), "{done}");
    assert_eq!(stub.ask(&query(NAME, A)).rcode(), NXDOMAIN);
}
