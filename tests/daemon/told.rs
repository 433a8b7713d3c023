//! What an operator is told, by the log and by the commands: a line when a trouble begins, a line when it is over.

use std::fs;

use super::kit::daemon::{run, stderr, stdout};
use super::kit::*;

/// The lines of the log that are no part of the start.
fn lines(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let told = log
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" INFO "));
    told.map(str::to_owned).collect()
}

/// Asks for new names until the log says so.
#[track_caller]
fn ask_until(daemon: &Daemon, what: &str) {
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    eventually(what, || {
        number += 1;
        let name = format!("{what}{number}.example").replace(' ', "-");
        stub.ask(&Build::query(&name, A));
        daemon.log().contains(what)
    });
}

fn good_at(address: std::net::SocketAddr) -> Upstream {
    let good = |asked: &Asked| vec![Act::Send(asked.good())];
    Upstream::at(address, Hears::Both, good).expect("its port")
}

#[test]
fn upstreams_that_all_die_and_come_back_are_two_lines() {
    let upstreams = [Upstream::good(), Upstream::good()];
    let addresses = [upstreams[0].address, upstreams[1].address];
    let daemon = Setup::to(&[&upstreams[0], &upstreams[1]]).start();
    daemon.warm_up();
    drop(upstreams);
    ask_until(&daemon, "no name can be resolved");
    let (status, metrics) = daemon.http("/metrics");
    assert_eq!(status, 200);
    assert!(
        metrics.contains("byway_trouble{scope=\"outage\"} 1\n"),
        "{metrics}"
    );
    let _upstreams = addresses.map(good_at);
    ask_until(&daemon, "names resolve again after");
    let told = lines(&daemon);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].contains("WARN") && told[0].contains("(connection refused)"),
        "{told:#?}"
    );
    assert!(
        told[1].contains("INFO") && told[1].contains(" failed"),
        "{told:#?}"
    );
    daemon.expect_metric("byway_trouble", &[("scope", "outage")], 0.0);
    daemon.expect_metric("byway_troubles_total", &[("scope", "outage")], 1.0);
    assert_eq!(
        daemon.metric("byway_evacuations_total", &[]),
        0.0,
        "there was nowhere to go"
    );
}

#[test]
fn one_dead_name_is_nobodys_trouble() {
    let upstream = Upstream::new(|asked| match asked.lower().contains("dead") {
        true => Vec::new(),
        false => vec![Act::Send(asked.good())],
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"1s\"")
        .start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    for _ in 0..8 {
        let reply = stub.ask(&Build::query("dead.example", A));
        assert_eq!(reply.rcode(), SERVFAIL);
    }
    assert_eq!(lines(&daemon), [""; 0]);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_said_with_the_reason_and_once() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("state");
    fs::create_dir(&place).expect("a directory");
    let file = place.join("cache.snapshot");
    let daemon = Setup::to(&[&upstream])
        .tables(&format!("[cache]\nsnapshot = {file:?}"))
        .start();
    daemon.warm_up();
    let command = |name: &str| {
        let socket = daemon.folder().join("control.sock");
        run(byway().args([name, "--socket"]).arg(socket))
    };
    fs::remove_dir_all(&place).expect("removed");
    for _ in 0..2 {
        let output = command("snapshot");
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(
            said.contains("cannot") && said.contains("cache.snapshot"),
            "{said}"
        );
    }
    let status = command("status");
    assert_eq!(status.status.code(), Some(3), "not well");
    assert!(
        stdout(&status).contains("a restart would forget: "),
        "{}",
        stdout(&status)
    );
    daemon.expect_metric("byway_snapshot_failing", &[], 1.0);
    let warned = |daemon: &Daemon| daemon.log().matches("a restart forgets").count();
    eventually("it is said", || warned(&daemon) == 1);
    fs::create_dir(&place).expect("a directory");
    let output = command("snapshot");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(file.exists());
    eventually("it is said", || {
        daemon.log().contains("again, after 2 times")
    });
    assert_eq!(warned(&daemon), 1);
    assert_eq!(command("status").status.code(), Some(0));
}

/// Its resolvers know the root, and refuse every other name: so does one that this host may not ask.
#[test]
fn a_resolver_that_refuses_every_name_and_knows_the_root_is_an_outage() {
    let upstream = Upstream::saying(|asked| match asked.lower().as_str() {
        "." => asked.reply().answer(record(".", NS, 60, &name("a.root"))),
        _ => asked.reply().rcode(REFUSED),
    });
    let daemon = Setup::to(&[&upstream]).start();
    ask_until(&daemon, "no name can be resolved: upstream u0 (REFUSED)");
    let told = lines(&daemon);
    let outage = told.iter().find(|line| line.contains("no name can be"));
    let outage = outage.expect("it is told");
    assert!(!outage.contains("nobody has asked"), "{outage}");
}

#[test]
fn resolvers_that_all_answer_uselessly_are_one_line() {
    let upstreams = [(); 2].map(|()| Upstream::saying(|asked| asked.reply().rcode(SERVFAIL)));
    let daemon = Setup::to(&[&upstreams[0], &upstreams[1]]).start();
    ask_until(&daemon, "no name can be resolved");
    let told = lines(&daemon);
    let warned = told.iter().filter(|line| line.contains(" WARN ")).count();
    assert_eq!(warned, 1, "{told:#?}");
}

#[test]
fn answers_that_do_not_match_are_said_to_be_none() {
    let upstream = Upstream::saying(|asked| asked.reply().id(asked.id ^ 1));
    let daemon = Setup::to(&[&upstream]).start();
    ask_until(&daemon, "(answers do not match what was asked)");
}
