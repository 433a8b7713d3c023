//! Sockets that the service manager holds: questions wait in them while byway is replaced.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::kit::namespace::Namespace;
use super::kit::*;

/// A configuration that says nothing of listeners.
fn setup(upstream: &Upstream) -> Setup {
    Setup::to(&[upstream]).listen(&[])
}

/// `words` in front of `byway run`, with its folder.
fn in_front(words: &[&str], setup: &Setup) -> (Command, tempfile::TempDir) {
    let (plain, folder) = setup.command();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdin(Stdio::null());
    for (key, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    (command, folder)
}

#[test]
fn systemd_socket_activate_starts_it_with_the_first_question() {
    if Command::new("systemd-socket-activate")
        .arg("--version")
        .output()
        .is_err()
    {
        return skip("socket activation needs systemd-socket-activate (systemd)");
    }
    // Elsewhere another test might take the port before it does.
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        for datagrams in [true, false] {
            activated(datagrams);
        }
    });
}

fn activated(datagrams: bool) {
    let upstream = Upstream::good();
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, 53).into();
    let text = address.to_string();
    let mut words = vec![
        "systemd-socket-activate",
        "-l",
        &text,
        "-E",
        "RUNTIME_DIRECTORY",
    ];
    if datagrams {
        words.push("--datagram");
    }
    let (command, folder) = in_front(&words, &setup(&upstream));
    let query = Build::query("first.example", A);
    let ask = || {
        eventually("it is held", || {
            let error = match datagrams {
                true => UdpSocket::bind(address).err(),
                false => {
                    TcpStream::connect(address).map_or(None, |_| Some(ErrorKind::AddrInUse.into()))
                }
            };
            error.is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
        });
        let reply = match datagrams {
            true => Stub::new(address).ask(&query),
            false => Connection::new(address).ask(&query),
        };
        assert_eq!(reply.rcode(), NOERROR);
    };
    // Threads of a namespace are in it.
    let daemon = std::thread::scope(|scope| {
        scope.spawn(ask);
        Daemon::spawn(command, Some(folder))
    });
    // In place of the default one.
    assert_eq!(daemon.listen, [address]);
    let transport = if datagrams { "(udp)" } else { "(tcp)" };
    assert!(daemon.log().contains(transport), "{}", daemon.log());
}

/// Both sockets of an address, held by the test.
struct Held {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Held {
    fn new() -> Held {
        loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = udp.local_addr().expect("its address");
            if let Ok(tcp) = TcpListener::bind(address) {
                return Held { udp, tcp, address };
            }
        }
    }

    /// Starts byway with them, as sd_listen_fds(3) says, under these names.
    fn start(&self, setup: &Setup, names: &str) -> Daemon {
        let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
                      export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";
        let (mut command, folder) = in_front(&["sh", "-c", script, "sh"], setup);
        let udp = OwnedFd::from(self.udp.try_clone().expect("one more"));
        let tcp = OwnedFd::from(self.tcp.try_clone().expect("one more"));
        command.env("LISTEN_FDNAMES", names).stdin(udp);
        let started = Daemon::try_spawn_with(command, tcp.into(), Some(folder));
        started.unwrap_or_else(|(status, log)| panic!("it ended at once, {status}: {log}"))
    }
}

#[test]
fn sockets_that_are_passed_stand_beside_the_files_and_for_those_of_the_same_address() {
    let upstream = Upstream::good();
    let held = Held::new();
    let own = held.address.to_string();
    let daemon = held.start(&setup(&upstream).listen(&[&own, "127.0.0.3:0"]), "dns:dns");
    assert_eq!(daemon.listen.len(), 2);
    assert_eq!(daemon.listen[0], held.address);
    for (number, address) in daemon.listen.iter().enumerate() {
        for round in 0..10 {
            let query = Build::query(&format!("n{number}-{round}.example"), A);
            assert_eq!(Stub::new(*address).ask(&query).rcode(), NOERROR);
            assert_eq!(Connection::new(*address).ask(&query).rcode(), NOERROR);
        }
    }
    drop(daemon);

    // One that is named so is for metrics and health.
    let daemon = held.start(&setup(&upstream), "dns:admin");
    assert_eq!(daemon.admin, Some(held.address));
    assert!(daemon.log().contains(&format!("{} (udp)", held.address)));
    assert_eq!(daemon.http("/readyz").0, 200);
}

#[test]
fn a_socket_that_cannot_be_used_is_named() {
    let upstream = Upstream::good();
    let (mut command, folder) = in_front(
        &[
            "sh",
            "-c",
            "exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"",
            "sh",
        ],
        &setup(&upstream),
    );
    command.env("LISTEN_FDNAMES", "odd");
    let Err((status, log)) = Daemon::try_spawn(command, Some(folder)) else {
        panic!("it started");
    };
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("socket 0 of the service manager's (odd) cannot be used"),
        "{log}"
    );
}

/// Replaced several times while clients ask all the while: no datagram goes unanswered, and no connection that waits in the
/// kernel's queue. What is sent over a connection that the old process closes is sent again, as every client does (RFC 7766
/// section 6.2.4).
#[test]
fn replacing_it_under_load_loses_nothing() {
    let upstream =
        Upstream::new(|asked| vec![Act::Wait(Duration::from_millis(2)), Act::Send(asked.good())]);
    let (held, setup) = (Held::new(), setup(&upstream));
    let mut daemon = held.start(&setup, "dns:dns");
    let (over, answered) = (
        AtomicBool::new(false),
        [AtomicUsize::new(0), AtomicUsize::new(0)],
    );
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (over, answered, server) = (&over, &answered, held.address);
            scope.spawn(move || {
                let stub = Stub::new(server);
                for number in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let query = Build::query(&format!("u{client}-{}.example", number % 500), A);
                    assert_eq!(stub.ask(&query).rcode(), NOERROR);
                    answered[0].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (over_, answered_, server) = (&over, &answered, held.address);
        scope.spawn(move || {
            let mut number = 0;
            while !over_.load(Ordering::Acquire) {
                let query = Build::query(&format!("t-{}.example", number % 500), A);
                let mut connection = Connection::new(server);
                connection.send(&query);
                if let Some(reply) = connection.receive() {
                    assert_eq!(reply.rcode(), NOERROR);
                    answered_[1].fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            }
        });
        for _ in 0..5 {
            let before = answered[0].load(Ordering::Relaxed) + answered[1].load(Ordering::Relaxed);
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.wait().code(), Some(0));
            daemon = held.start(&setup, "dns:dns");
            eventually("it goes on", || {
                let now = answered[0].load(Ordering::Relaxed) + answered[1].load(Ordering::Relaxed);
                now >= before + 200
            });
        }
        over.store(true, Ordering::Release);
    });
    assert!(answered.iter().all(|it| it.load(Ordering::Relaxed) > 10));
}
