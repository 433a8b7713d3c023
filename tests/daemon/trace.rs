//! `byway trace`: what is decided about one name's questions, while somebody looks.

use std::process::Stdio;
use std::thread::JoinHandle;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::*;

/// A trace that goes on, and what it prints in the end.
fn trace(daemon: &Daemon, arguments: &[&str]) -> JoinHandle<String> {
    let before = begun(daemon);
    let mut command = byway();
    let socket = daemon.folder().join("control.sock");
    command
        .arg("trace")
        .args(arguments)
        .arg("--socket")
        .arg(socket);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a trace");
    eventually("the trace has begun", || begun(daemon) > before);
    std::thread::spawn(move || {
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

fn begun(daemon: &Daemon) -> usize {
    daemon.log().matches("traces questions for").count()
}

fn ask(daemon: &Daemon, name: &str) -> Message {
    Stub::new(daemon.dns()).ask(&Build::query(name, A))
}

#[test]
fn a_trace_tells_what_was_held_who_was_asked_and_what_came() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    daemon.warm_up();
    let lines = trace(&daemon, &["Traced.example", "--for", "3s"]);
    for name in ["traced.EXAMPLE", "other.example", "traced.example"] {
        assert_eq!(ask(&daemon, name).rcode(), NOERROR);
    }
    let told = lines.join().expect("its lines");
    let parts = [
        "traced.example. A: a client asks; nothing is held\n",
        "traced.example. A: begins, for a client; there is one route\n",
        "traced.example. A: asks u0@default (primary, UDP)",
        "traced.example. A: u0@default after ",
        ": answered\n",
        "answered by u0@default: NOERROR, kept for ",
        "; 1 waited for it\n",
        "a client asks; answered from the cache: NOERROR, ",
    ];
    let mut rest = told.as_str();
    for part in parts {
        let at = rest.find(part);
        rest = &rest[at.unwrap_or_else(|| panic!("{part:?} in its turn in {told}"))..];
    }
    assert!(!told.contains("other.example"), "{told}");
}

#[test]
fn a_trace_shows_who_was_asked_in_place_of_whom_and_why_it_failed() {
    let (silent, broken) = (
        Upstream::silent(),
        Upstream::saying(|it| it.reply().rcode(SERVFAIL)),
    );
    let daemon = Setup::to(&[&silent, &broken])
        .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"1s\"")
        .start();
    let lines = trace(&daemon, &["lost.example", "A", "--for", "4s", "--json"]);
    assert_eq!(ask(&daemon, "lost.example").rcode(), SERVFAIL);
    let told = lines.join().expect("its lines");
    let texts: Vec<String> = told
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("an object a line");
            assert_eq!(line["asked"], "lost.example. A", "{line}");
            line["text"].as_str().expect("a text").to_owned()
        })
        .collect();
    let has = |part: &str| texts.iter().any(|text| text.contains(part));
    for part in [
        "asks u0@default (primary",
        "asks u1@default (",
        "u1@default after ",
        "SERVFAIL",
        "failed: ",
    ] {
        assert!(has(part), "{part} in {texts:#?}");
    }
}

#[test]
fn traces_are_bounded_and_a_wrong_one_is_refused() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    let socket = daemon.folder().join("control.sock");
    let refused = |arguments: &[&str]| {
        let mut command = byway();
        command
            .arg("trace")
            .args(arguments)
            .arg("--socket")
            .arg(&socket);
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    };
    assert!(refused(&["a..b"]).contains("is no name"));
    assert!(refused(&["a.example", "--for", "11m"]).contains("600"));
    let going_on: Vec<_> = (0..4)
        .map(|number| trace(&daemon, &[&format!("n{number}.example"), "--for", "5s"]))
        .collect();
    assert!(refused(&["one-more.example"]).contains("4 traces are going on"));
    for lines in going_on {
        assert_eq!(lines.join().expect("its lines"), "");
    }
}
