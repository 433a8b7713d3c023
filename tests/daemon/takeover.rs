//! A process takes over from the one before it, and nobody who asks notices.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::kit::daemon::{run, stderr};
use super::kit::*;

/// A port of 127.0.0.1 that is free for both transports now.
fn free() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

/// Another process by the configuration of `daemon`, with more arguments.
fn successor(daemon: &Daemon, arguments: &[&str]) -> std::process::Command {
    let mut command = byway();
    command
        .args(["run", "--takeover", "--config"])
        .arg(daemon.folder().join("byway.toml"))
        .args(arguments)
        .env("RUNTIME_DIRECTORY", daemon.folder());
    command
}

fn setup(upstream: &Upstream, at: SocketAddr) -> Setup {
    Setup::to(&[upstream]).listen(&[&at.to_string()])
}

#[test]
fn no_question_is_lost_while_a_process_takes_over() {
    let upstream = Upstream::good();
    let at = free();
    let mut first = setup(&upstream, at).start();
    first.warm_up();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|client| {
                let over = &over;
                scope.spawn(move || {
                    let stub = Stub::new(at);
                    let mut asked = 0u32;
                    while !over.load(Ordering::Relaxed) {
                        asked += 1;
                        // A new name, and one that is known after the first time.
                        let new = Build::query(&format!("n{client}-{asked}.example"), A);
                        assert_eq!(stub.ask(&new).rcode(), NOERROR);
                        assert_eq!(stub.ask(&Build::query("known.example", A)).rcode(), NOERROR);
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    asked
                })
            })
            .collect();
        let connecting = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Whichever of both accepts it, it is answered.
                let mut connection = Connection::new(at);
                assert_eq!(
                    connection.ask(&Build::query("known.example", A)).rcode(),
                    NOERROR
                );
            }
        });
        // Three in a row, each from the one before; the last one is asked for a while more.
        let mut chain: Vec<Daemon> = Vec::new();
        for _ in 0..3 {
            let next = Daemon::spawn(successor(&first, &[]), None);
            match chain.last_mut() {
                Some(before) => assert!(before.wait().success()),
                None => assert!(first.wait().success()),
            }
            chain.push(next);
        }
        std::thread::sleep(MOMENT);
        over.store(true, Ordering::Relaxed);
        let asked: u32 = asking
            .into_iter()
            .map(|it| it.join().expect("answered"))
            .sum();
        assert!(asked > 4, "{asked}");
        connecting.join().expect("answered");
        let last = chain.last().expect("three of them");
        assert!(last.metric("byway_queries_total", &[]) > 0.0);
        let log = first.log();
        assert!(
            log.contains("takes over") && log.contains("stopping"),
            "{log}"
        );
    });
}

#[test]
fn if_the_new_one_cannot_start_the_old_one_goes_on() {
    let upstream = Upstream::good();
    let at = free();
    let mut daemon = setup(&upstream, at).start();
    daemon.warm_up();
    let stub = Stub::new(at);
    // An address that this host does not have: the sockets have been handed over by then.
    let failed = run(&mut successor(&daemon, &["--listen", "192.0.2.1:53"]));
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        stderr(&failed).contains("does not have that address"),
        "{}",
        stderr(&failed)
    );
    eventually("the old one notes it", || {
        daemon.log().contains("this process goes on")
    });
    assert!(daemon.is_running());
    assert_eq!(stub.ask(&Build::query("still.example", A)).rcode(), NOERROR);
    // And another one may try.
    let mut next = Daemon::spawn(successor(&daemon, &[]), None);
    assert!(daemon.wait().success());
    assert_eq!(stub.ask(&Build::query("again.example", A)).rcode(), NOERROR);
    assert!(next.is_running());
}

#[test]
fn it_answers_on_what_it_took_over_and_on_what_is_new_and_no_more_on_the_rest() {
    let upstream = Upstream::good();
    let (stays, goes, comes) = (free(), free(), free());
    let addresses = |all: [SocketAddr; 2]| all.map(|it| it.to_string());
    let [a, b] = addresses([stays, goes]);
    let mut first = Setup::to(&[&upstream]).listen(&[&a, &b]).start();
    let [a, b] = addresses([stays, comes]);
    let more = ["--listen", &a, "--listen", &b];
    let _next = Daemon::spawn(successor(&first, &more), None);
    assert!(first.wait().success());
    for at in [stays, comes] {
        assert_eq!(
            Stub::new(at).ask(&Build::query("a.example", A)).rcode(),
            NOERROR
        );
        let mut connection = Connection::new(at);
        assert_eq!(
            connection.ask(&Build::query("a.example", A)).rcode(),
            NOERROR
        );
    }
    let stub = Stub::new(goes);
    stub.send(&Build::query("a.example", A).bytes());
    assert!(stub.receive_within(MOMENT).is_none());
}

#[test]
fn where_there_is_nobody_to_take_over_from_it_says_so() {
    let upstream = Upstream::good();
    let (command, folder) = setup(&upstream, free()).command();
    drop(command);
    let mut command = byway();
    command
        .args(["run", "--takeover", "--config"])
        .arg(folder.path().join("byway.toml"))
        .env("RUNTIME_DIRECTORY", folder.path());
    let failed = run(&mut command);
    assert_eq!(failed.status.code(), Some(1));
    let said = stderr(&failed);
    assert!(
        said.contains("cannot take over: no byway runs here"),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .filter_map(|it| it.ok()?.file_name().into_string().ok())
        .filter(|it| it.contains("takeover"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
