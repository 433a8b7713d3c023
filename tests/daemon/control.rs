//! The operator's commands to a running daemon.

use std::process::Output;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::{A, Build, Daemon, NOERROR, SERVFAIL, Setup, Stub, Upstream, byway, eventually};

/// `byway ARGUMENTS` to this daemon.
fn command(daemon: &Daemon, arguments: &[&str]) -> Output {
    let socket = daemon.folder().join("control.sock");
    run(byway().args(arguments).arg("--socket").arg(socket))
}

fn ask(daemon: &Daemon, name: &str) -> u16 {
    Stub::new(daemon.dns())
        .ask(&Build::query(&format!("{name}.example"), A))
        .rcode()
}

#[test]
fn status_says_in_words_first_how_it_is_and_by_its_exit_status_too() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let status = command(&daemon, &["status"]);
    assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
    let text = stdout(&status);
    assert!(
        text.starts_with("well: names resolve; 1 of 1 routes are clear\n"),
        "{text}"
    );
    assert!(text.contains("30 queries in the last"), "{text}");
    assert!(text.contains("u0@default"), "{text}");
    let json = stdout(&command(&daemon, &["status", "--json"]));
    assert!(json.contains("\"state\":\"well\""), "{json}");
    let drained = command(&daemon, &["drain", "u0"]);
    assert!(
        stdout(&drained).contains("NO ROUTE IS LEFT"),
        "{}",
        stdout(&drained)
    );
    let status = command(&daemon, &["status"]);
    assert_eq!(status.status.code(), Some(1), "{}", stdout(&status));
    let text = stdout(&status);
    assert!(
        text.starts_with(
            "DOWN: names that are not in the cache do not resolve: every route is drained"
        ),
        "{text}"
    );
}

#[test]
fn with_no_daemon_commands_say_so_and_fail() {
    for arguments in [
        &["status"][..],
        &["routes"],
        &["why", "a.example"],
        &["events"],
        &["flush", "--all"],
    ] {
        let mut command = byway();
        let output = run(command
            .args(arguments)
            .args(["--socket", "/nonexistent/control.sock"]));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told = stderr(&output);
        assert!(told.contains("no byway runs here"), "{arguments:?}: {told}");
    }
}

#[test]
fn drain_moves_all_traffic_at_once_and_restore_brings_it_back() {
    let (first, second) = (Upstream::good(), Upstream::good());
    let daemon = Setup::to(&[&first, &second])
        .tables("[routing]\npolicy = \"ordered\"\n")
        .start();
    daemon.warm_up();
    let done = command(&daemon, &["drain", "u0", "--for", "30m"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(
        stdout(&done).starts_with("upstream u0 is drained until "),
        "{}",
        stdout(&done)
    );
    let before = first.asked().len();
    for number in 0..20 {
        assert_eq!(ask(&daemon, &format!("drained-{number}")), NOERROR);
    }
    assert_eq!(first.asked().len(), before, "the drained one is not asked");
    eventually("the event says who and for how long", || {
        let events = stdout(&command(&daemon, &["events"]));
        events.contains("upstream u0 drained by uid ") && events.contains(" for 30 min")
    });
    let why = stdout(&command(&daemon, &["why", "new.example"]));
    assert!(
        why.contains("new.example. A: asked over u1@default"),
        "{why}"
    );
    assert!(
        why.contains("passed over: drained by the operator"),
        "{why}"
    );
    let done = command(&daemon, &["restore", "u0"]);
    assert!(
        stdout(&done).starts_with("upstream u0 is in use again"),
        "{}",
        stderr(&done)
    );
    let mut number = 0;
    eventually("the first one is asked again", || {
        number += 1;
        ask(&daemon, &format!("back-{number}"));
        first.asked().len() > before
    });
}

#[test]
fn an_unknown_name_is_refused_with_a_hint() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let refused = command(&daemon, &["drain", "u00"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("did you mean `u0`?"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn what_is_drained_survives_a_restart_until_restored() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = format!(
        "[cache]\nsnapshot = \"{}/cache.snapshot\"\n",
        folder.path().display()
    );
    let setup = Setup::to(&[&upstream]).tables(&snapshot);
    let daemon = setup.start();
    command(&daemon, &["drain", "u0"]);
    drop(daemon);
    let daemon = setup.start();
    let status = stdout(&command(&daemon, &["status"]));
    assert!(
        status.contains("upstream u0: drained by the operator"),
        "{status}"
    );
    assert!(status.contains("u0 was drained by uid "), "{status}");
    assert_eq!(ask(&daemon, "drained"), SERVFAIL);
    command(&daemon, &["restore", "u0"]);
    drop(daemon);
    let daemon = setup.start();
    assert_eq!(ask(&daemon, "restored"), NOERROR);
}

#[test]
fn the_cache_is_looked_at_and_flushed() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    for name in ["a.one", "b.one", "two"] {
        assert_eq!(ask(&daemon, name), NOERROR);
    }
    let name = |name: &str| format!("{name}.example");
    let held = stdout(&command(&daemon, &["cache", &name("a.one")]));
    assert!(held.contains(" A: NOERROR, fresh for another "), "{held}");
    assert!(held.contains("over u0@default"), "{held}");
    let flushed = stdout(&command(&daemon, &["flush", &name("one"), "--subtree"]));
    assert!(flushed.starts_with("2 answers of one"), "{flushed}");
    let held = stdout(&command(&daemon, &["cache", &name("a.one")]));
    assert!(held.starts_with("nothing is held for "), "{held}");
    let why = stdout(&command(&daemon, &["why", &name("two")]));
    assert!(
        why.contains("answered from the cache, fresh for another"),
        "{why}"
    );
    let flushed = stdout(&command(&daemon, &["flush", "--all"]));
    assert!(flushed.contains("1 answers of everything"), "{flushed}");
    let odd = command(&daemon, &["flush", "a..b"]);
    assert_eq!(odd.status.code(), Some(1), "{}", stdout(&odd));
    assert!(stderr(&odd).contains("is no name"), "{}", stderr(&odd));
}

#[test]
fn a_snapshot_is_written_when_asked_for() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cache.snapshot");
    let snapshot = format!("[cache]\nsnapshot = \"{}\"\n", file.display());
    let daemon = Setup::to(&[&upstream]).tables(&snapshot).start();
    assert!(!file.exists());
    let done = stdout(&command(&daemon, &["snapshot"]));
    assert!(done.contains("answers are written to"), "{done}");
    assert!(file.exists(), "it is waited for");
    let without = Daemon::to(&[&upstream]);
    let refused = command(&without, &["snapshot"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("no snapshot is kept"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn the_network_reads_the_same_and_changes_nothing() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let (status, body) = daemon.http("/api/v1/status");
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("{\"state\":"), "{body}");
    assert_eq!(daemon.http("/api/v1/why?name=www.example&type=AAAA").0, 200);
    assert_eq!(daemon.http("/api/v1/why?name=a..b").0, 400);
    assert_eq!(daemon.http("/api/v1/drain").0, 404);
}

#[test]
fn the_log_can_be_json_and_its_level_turned() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .arguments(&["--log-format", "json", "--log", "warn"])
        .start();
    let turned = command(&daemon, &["log", "info"]);
    assert_eq!(turned.status.code(), Some(0), "{}", stderr(&turned));
    command(&daemon, &["flush", "--all"]);
    eventually("the flush is in the log", || {
        daemon.log().contains("flushed the cache")
    });
    command(&daemon, &["drain", "u0"]);
    let read = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
    eventually("an event has everything that it says", || {
        let log = daemon.log();
        let mut lines = log.lines().map(read);
        lines.any(|line| {
            line["event"]["kind"] == "drained" && line["event"]["subject"]["name"] == "u0"
        })
    });
    for line in daemon.log().lines() {
        let line = read(line);
        assert!(
            line["timestamp"].is_string() && line["message"].is_string(),
            "{line}"
        );
        assert!(["INFO", "WARN"].contains(&line["level"].as_str().unwrap_or_default()));
    }
    let odd = command(&daemon, &["log", "loud"]);
    assert_eq!(odd.status.code(), Some(2), "{}", stderr(&odd));
}
