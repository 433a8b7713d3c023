//! `byway query`: through the daemon that runs, past it, and to whomever it is told.

use std::process::Output;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::*;

fn query(daemon: &Daemon, arguments: &[&str]) -> Output {
    let socket = daemon.folder().join("control.sock");
    let mut command = byway();
    command.arg("query").args(arguments).arg("--socket");
    run(command.arg(socket))
}

/// Names under `gone.example` do not exist, those under `bare.example` have nothing, others an address.
fn upstream() -> Upstream {
    Upstream::saying(|asked| {
        let name = asked.lower();
        let denial = |reply: Build| reply.authority(soa("example", 60, 60));
        match name.as_str() {
            "gone.example." => denial(asked.reply().rcode(NXDOMAIN)),
            "bare.example." => denial(asked.reply()),
            "broken.example." => asked.reply().rcode(SERVFAIL),
            name if name.ends_with(".arpa.") => asked.reply().answer(record(
                &asked.name(),
                PTR,
                60,
                &super::kit::name("host.example"),
            )),
            _ => asked
                .reply()
                .answer(record(&asked.name(), asked.rtype(), 60, &[192, 0, 2, 1])),
        }
    })
}

#[test]
fn the_running_daemon_is_asked_and_says_where_the_answer_came_from() {
    let upstream = upstream();
    let daemon = Setup::to(&[&upstream]).start();
    let first = query(&daemon, &["www.example"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let text = stdout(&first);
    assert!(
        text.starts_with(";; www.example. A: NOERROR, over u0@default, in "),
        "{text}"
    );
    assert!(
        text.contains("\nwww.example. 60 IN A 192.0.2.1\n"),
        "{text}"
    );
    let again = stdout(&query(&daemon, &["WWW.example"]));
    assert!(again.contains("from the daemon's cache"), "{again}");
    assert!(again.contains("it came over u0@default"), "{again}");
    let asked = upstream.asked();
    let of_it = asked.iter().filter(|it| it.lower() == "www.example.");
    assert_eq!(of_it.count(), 1, "the daemon's cache has answered");
    // Past it.
    let config = daemon.folder().join("byway.toml");
    let direct = run(byway()
        .args(["query", "--direct", "www.example", "-c"])
        .arg(config));
    let text = stdout(&direct);
    assert!(
        text.contains("over u0@default"),
        "{text} {}",
        stderr(&direct)
    );
    daemon.expect_metric("byway_queries_total", &[("transport", "udp")], 2.0);
}

#[test]
fn names_types_and_addresses_are_asked_for_together_and_the_worst_counts() {
    let upstream = upstream();
    let daemon = Setup::to(&[&upstream]).start();
    let code = |arguments: &[&str]| {
        let output = query(&daemon, arguments);
        let code = output.status.code();
        (code, stdout(&output), stderr(&output))
    };
    let (all, text, _) = code(&["a.example", "b.example", "A", "TYPE65280"]);
    assert_eq!(all, Some(0), "{text}");
    assert_eq!(text.matches("NOERROR").count(), 4, "{text}");
    // One of the addresses of documents would be answered here (RFC 6303).
    let (pointer, text, _) = code(&["-x", "2001:db9::7"]);
    assert_eq!(pointer, Some(0), "{text}");
    assert!(
        text.contains("9.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR host.example."),
        "{text}"
    );
    let (gone, text, _) = code(&["a.example", "gone.example"]);
    assert_eq!(gone, Some(4), "{text}");
    assert_eq!(code(&["bare.example", "MX"]).0, Some(4));
    let (failed, text, _) = code(&["gone.example", "broken.example", "a.example"]);
    assert_eq!(failed, Some(1), "{text}");
    assert!(text.contains("broken.example. A: SERVFAIL"), "{text}");
    assert_eq!(code(&["NOTYPE", "a.example"]).0, Some(2));
    let (_, json, _) = code(&["a.example", "gone.example", "--json"]);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(lines.len(), 2, "{json}");
    assert_eq!(lines[0]["answer"][0], "a.example. 60 IN A 192.0.2.1");
    assert_eq!(lines[1]["rcode"], "NXDOMAIN");
}

#[test]
fn a_long_answer_is_fetched_over_tcp() {
    let upstream = Upstream::saying(|asked| {
        let texts = (0..20).map(|fill| txt(&asked.name(), 60, fill, 200));
        asked.reply().answers(texts)
    });
    let daemon = Setup::to(&[&upstream]).start();
    let text = stdout(&query(&daemon, &["long.example", "TXT"]));
    assert_eq!(text.matches(" IN TXT ").count(), 20, "{text}");
}

#[test]
fn another_server_is_asked_directly() {
    let (upstream, other) = (upstream(), upstream());
    let daemon = Setup::to(&[&upstream]).start();
    let server = format!("@{}", other.address);
    let output = query(&daemon, &[&server, "elsewhere.example", "again.example"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains(&format!("over {}@default", other.address)),
        "{text}"
    );
    let names = |asked: Vec<Asked>| asked.iter().any(|it| it.lower() == "elsewhere.example.");
    assert!(names(other.asked()) && !names(upstream.asked()));
}
