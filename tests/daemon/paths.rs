//! Interfaces and addresses that vanish and come back, under a daemon that goes on answering.
//!
//! Two network namespaces: the daemon's, and one beyond two pairs of veth links, where the upstream has an
//! address that both lead to.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::kit::namespace::Namespace;
use super::kit::*;

/// The upstream's address, reachable over both links.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 9);

pub(super) struct Field {
    pub(super) host: Namespace,
    pub(super) far: Namespace,
}

/// Runs `ip` in the namespace that the thread is in.
#[track_caller]
pub(super) fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {words}");
}

impl Field {
    /// Without links yet. `None`, with a line, where it cannot be had.
    pub(super) fn new() -> Option<Field> {
        let (host, far) = (Namespace::new()?, Namespace::new()?);
        far.enter(|| ip(&format!("address add {FAR}/32 dev lo")));
        Some(Field { host, far })
    }

    pub(super) fn upstream(&self) -> Upstream {
        self.far.enter(|| {
            let answering = |asked: &Asked| vec![Act::Send(asked.good())];
            Upstream::at((FAR, 53).into(), Hears::Both, answering).expect("an upstream")
        })
    }

    /// Makes link number `n`, `eth<n>` here and `peer<n>` beyond. To be called in the host's namespace, as
    /// all that follows.
    pub(super) fn connect(&self, n: u8) {
        let far = self.far.id();
        ip(&format!(
            "link add eth{n} type veth peer name peer{n} netns {far}"
        ));
        self.far.enter(|| {
            ip(&format!("address add 10.{n}.0.2/24 dev peer{n}"));
            ip(&format!("link set peer{n} up"));
        });
        ip(&format!("address add 10.{n}.0.1/24 dev eth{n}"));
        ip(&format!("link set eth{n} up"));
        self.route(n);
    }

    fn route(&self, n: u8) {
        ip(&format!(
            "route replace {FAR} via 10.{n}.0.2 dev eth{n} metric {n}"
        ));
    }
}

/// A daemon that prefers the path `a` to the path `b`.
fn setup(upstream: &Upstream, keys: &str, a: &str) -> Setup {
    Setup::bare()
        .upstream(upstream.address, &format!("paths = [\"a\", \"b\"]\n{keys}"))
        .tables(&format!(
            "[[path]]\nname = \"a\"\n{a}\n[[path]]\nname = \"b\"\ninterface = \"eth2\"\n[routing]\npolicy = \"ordered\""
        ))
}

/// Asks something new; it must be answered.
pub(super) fn ask(dns: SocketAddr, number: usize) {
    let name = format!("q{number}.example");
    let reply = Stub::new(dns).ask(&Build::query(&name, A));
    assert_eq!(reply.rcode(), NOERROR, "{number}: {reply:?}");
}

/// What clients have made byway send over the path `a`.
fn over_a(daemon: &Daemon) -> f64 {
    let labels = [("path", "a"), ("kind", "primary")];
    daemon.metric("byway_attempts_sent_total", &labels)
}

/// Asks until the path `a` carries clients' questions.
#[track_caller]
fn in_use(daemon: &Daemon) {
    let before = over_a(daemon);
    eventually("path a is in use", || {
        ask(daemon.dns(), fresh());
        over_a(daemon) >= before + 3.0
    });
}

/// A number for a name that was never asked for.
pub(super) fn fresh() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn times(daemon: &Daemon, line: &str) -> usize {
    daemon.log().matches(line).count()
}

/// Breaks path `a` by `wound`, which is to be told as `why`, and mends it, while questions are asked all
/// the time.
#[track_caller]
fn lost_and_found(daemon: &Daemon, wound: impl FnOnce(), why: &str, mend: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // However the test ends, the client does.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&over);
        let (over, dns) = (&over, daemon.dns());
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                ask(dns, fresh());
                thread::sleep(Duration::from_millis(2));
            }
        });
        in_use(daemon);
        let lost = format!("path a lost: {why}");
        let (was_lost, was_found) = (times(daemon, &lost), times(daemon, "path a found again"));
        wound();
        eventually(&lost, || times(daemon, &lost) == was_lost + 1);
        daemon.expect_metric("byway_path_missing", &[("path", "a")], 1.0);
        assert_eq!(daemon.metric("byway_path_missing", &[("path", "b")]), 0.0);
        for _ in 0..20 {
            ask(daemon.dns(), fresh());
        }
        mend();
        eventually("path a found again", || {
            times(daemon, "path a found again") == was_found + 1
        });
        daemon.expect_metric("byway_path_missing", &[("path", "a")], 0.0);
        in_use(daemon);
    });
}

/// Starts the daemon in the field and does `work`.
fn with_daemon(keys: &str, a: &str, work: impl FnOnce(&Field, &Daemon) + Send) {
    let Some(field) = Field::new() else { return };
    let upstream = field.upstream();
    field.host.enter(|| {
        field.connect(1);
        field.connect(2);
        work(&field, &setup(&upstream, keys, a).start());
    });
}

#[test]
fn an_interface_that_is_deleted_and_created_anew() {
    for transport in ["udp", "tcp"] {
        let keys = format!("transport = \"{transport}\"");
        with_daemon(&keys, "interface = \"eth1\"", |field, daemon| {
            for _ in 0..2 {
                let delete = || ip("link del eth1");
                // It goes down on the way out.
                lost_and_found(daemon, delete, "", || field.connect(1));
            }
            let evacuated = [("path", "a"), ("cause", "lost")];
            daemon.expect_metric("byway_evacuations_total", &evacuated, 2.0);
        });
    }
}

#[test]
fn an_interface_that_is_set_down_and_up() {
    with_daemon("", "interface = \"eth1\"", |field, daemon| {
        let down = || ip("link set eth1 down");
        lost_and_found(daemon, down, "interface eth1 is down", || {
            ip("link set eth1 up");
            field.route(1);
        });
    });
}

#[test]
fn an_interface_that_loses_its_carrier() {
    with_daemon(
        "transport = \"tcp\"",
        "interface = \"eth1\"",
        |field, daemon| {
            let cut = || field.far.enter(|| ip("link set peer1 down"));
            lost_and_found(daemon, cut, "interface eth1 has no carrier", || {
                field.far.enter(|| ip("link set peer1 up"));
            });
        },
    );
}

#[test]
fn a_source_address_that_is_removed_and_comes_back() {
    for transport in ["udp", "tcp"] {
        let keys = format!("transport = \"{transport}\"");
        with_daemon(&keys, "source = \"10.1.0.1\"", |_, daemon| {
            ip("rule add from 10.1.0.1 table 101");
            let route = || ip(&format!("route replace {FAR} via 10.1.0.2 table 101"));
            route();
            let remove = || ip("address del 10.1.0.1/24 dev eth1");
            let why = "source address 10.1.0.1 is not on this host";
            lost_and_found(daemon, remove, why, || {
                ip("address add 10.1.0.1/24 dev eth1");
                route();
            });
        });
    }
}

#[test]
fn a_path_that_is_missing_at_the_start() {
    let Some(field) = Field::new() else { return };
    let upstream = field.upstream();
    field.host.enter(|| {
        field.connect(2);
        let daemon = setup(&upstream, "", "interface = \"eth1\"").start();
        eventually("it is said", || {
            times(&daemon, "path a: there is no interface eth1") == 1
        });
        daemon.expect_metric("byway_path_missing", &[("path", "a")], 1.0);
        for _ in 0..10 {
            ask(daemon.dns(), fresh());
        }
        assert_eq!(over_a(&daemon), 0.0, "nothing was tried over it");
        field.connect(1);
        eventually("found", || times(&daemon, "path a found again") == 1);
        in_use(&daemon);
        // Nothing had left it.
        daemon.expect_metric("byway_evacuations_total", &[("path", "a")], 0.0);
    });
}

#[test]
fn with_every_path_missing_the_daemon_says_so_and_comes_back() {
    let Some(field) = Field::new() else { return };
    let upstream = field.upstream();
    field.host.enter(|| {
        let daemon = setup(&upstream, "", "interface = \"eth1\"").start();
        let reply =
            Stub::new(daemon.dns()).ask(&Build::query("early.example", A).edns(Edns::new(1232)));
        assert_eq!(reply.rcode(), SERVFAIL);
        assert_eq!(reply.edes(), [22], "no reachable authority: {reply:?}");
        assert_eq!(daemon.http("/readyz").0, 503);
        let said = "no name can be resolved: ";
        eventually(said, || times(&daemon, said) == 1);
        field.connect(1);
        eventually("found", || {
            daemon.metric("byway_path_missing", &[("path", "a")]) == 0.0
        });
        // That there was no path is not held against the name.
        let reply = Stub::new(daemon.dns()).ask(&Build::query("early.example", A));
        assert_eq!(reply.rcode(), NOERROR);
        assert_eq!(daemon.http("/readyz").0, 200);
        let said = "names resolve again after ";
        eventually(said, || times(&daemon, said) == 1);
    });
}

#[test]
fn an_address_that_changes_takes_its_connections_with_it() {
    let Some(field) = Field::new() else { return };
    let upstream = field.upstream();
    field.host.enter(|| {
        field.connect(1);
        // The kernel chooses the source, and connections are kept.
        let daemon = Setup::bare()
            .upstream(upstream.address, "transport = \"tcp\"")
            .one_worker()
            .start();
        ask(daemon.dns(), fresh());
        assert_eq!(upstream.connections(), 1);
        ip("address add 10.1.0.7/24 dev eth1");
        ip("address del 10.1.0.1/24 dev eth1");
        // Its going takes the second of the same net along, or not, as the host is set up.
        ip("address replace 10.1.0.7/24 dev eth1");
        field.route(1);
        daemon.expect_metric("byway_upstream_connections", &[], 0.0);
        ask(daemon.dns(), fresh());
        let last = upstream.asked().pop().expect("asked");
        assert_eq!(last.from.ip(), Ipv4Addr::new(10, 1, 0, 7));
    });
}
