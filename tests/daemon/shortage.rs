//! What this host itself runs short of is held against nobody, and clients cannot take what upstreams are asked
//! with.

use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, prlimit};

use super::kit::*;

/// A daemon of which the shell that starts it has lowered the limit of open files.
fn with_open_files(setup: &Setup, most: usize) -> Daemon {
    let (folder, file) = config_file(&setup.text());
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {most} && exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_byway"))
        .args(["run", "--config"])
        .arg(file)
        .stdin(std::process::Stdio::null());
    Daemon::spawn(command, Some(folder))
}

fn attempts(daemon: &Daemon, outcome: &str) -> f64 {
    daemon.metric("byway_attempts_total", &[("outcome", outcome)])
}

#[test]
fn tcp_clients_do_not_take_the_descriptors_of_upstreams() {
    let (one, two) = (Upstream::good(), Upstream::good());
    let daemon = with_open_files(&Setup::to(&[&one, &two]), 128);
    let warning = "this process may open 128 files";
    eventually("it is told what does not fit", || {
        daemon.log().matches(warning).count() == 1
    });
    // All are accepted by the kernel; what byway does with them is its business.
    let clients: Vec<TcpStream> = (0..150)
        .map(|_| TcpStream::connect(daemon.dns()).expect("the kernel takes it"))
        .collect();
    let stub = Stub::new(daemon.dns());
    for number in 0..100 {
        let reply = stub.ask(&Build::query(&format!("few{number}.example"), A));
        assert_eq!(reply.rcode(), NOERROR, "{number}: {reply:?}");
        assert_eq!(reply.answers.len(), 1);
    }
    drop(clients);
    for outcome in ["local", "unreachable", "timed-out"] {
        assert_eq!(attempts(&daemon, outcome), 0.0, "{outcome}");
    }
    let bad = ["suspect", "congested", "sick", "dead"];
    for verdict in bad {
        let route = [("verdict", verdict)];
        assert_eq!(
            daemon.metric("byway_route_verdict", &route),
            0.0,
            "{verdict}"
        );
    }
    assert!(!daemon.log().contains("cannot accept"), "{}", daemon.log());
}

#[test]
fn a_shortage_is_held_against_nobody_and_told_once() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).one_worker().start();
    daemon.warm_up();
    let before = rustix::process::getrlimit(Resource::Nofile);
    let lower = Rlimit {
        current: Some(3),
        maximum: before.maximum,
    };
    prlimit(Some(daemon.pid()), Resource::Nofile, lower).expect("the limit of one's own child");
    // Sockets that are open serve on for a while.
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    let mut last = None;
    eventually("there is nothing to ask with", || {
        number += 1;
        let reply =
            stub.ask(&Build::query(&format!("short{number}.example"), A).edns(Edns::new(1232)));
        let short = reply.rcode() == SERVFAIL;
        last = Some(reply);
        short
    });
    let reply = last.expect("asked");
    assert_eq!(reply.edes(), [14], "{reply:?}");
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    prlimit(Some(daemon.pid()), Resource::Nofile, raised).expect("the limit of one's own child");
    let reply = stub.ask(&Build::query("plenty.example", A));
    assert_eq!(reply.rcode(), NOERROR, "{reply:?}");
    let local = attempts(&daemon, "local");
    assert!((1.0..20.0).contains(&local), "{local} attempts");
    assert_eq!(attempts(&daemon, "unreachable"), 0.0);
    let clear = [("verdict", "clear")];
    assert_eq!(daemon.metric("byway_route_verdict", &clear), 1.0);
    let said = "for want of something on this host";
    eventually("it is told", || daemon.log().contains(said));
    let log = daemon.log();
    assert_eq!(log.matches(said).count(), 1, "{log}");
    assert!(log.contains("LimitNOFILE"), "{log}");
}
