//! Upstreams that a resolv.conf names, and what others do to that file while byway runs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kit::daemon::{run, stdout};
use super::kit::namespace::{Namespace, with_links, with_resolv_conf};
use super::kit::*;

/// A folder for files as others write them, and the resolv.conf that byway is given.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().expect("a folder");
        Files { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, servers: &[IpAddr]) {
        fs::write(self.path(name), text(servers)).expect("written");
    }

    /// As programs do it that care.
    fn replace(&self, name: &str, servers: &[IpAddr]) {
        self.write("new", servers);
        fs::rename(self.path("new"), self.path(name)).expect("renamed");
    }

    fn setup(&self) -> Setup {
        let path = self.path("resolv.conf");
        Setup::bare().tables(&format!("[host]\nresolv-conf = \"{}\"\n", path.display()))
    }
}

fn text(servers: &[IpAddr]) -> String {
    let lines = servers.iter().map(|it| format!("nameserver {it}\n"));
    format!("# by a test\n{}", lines.collect::<String>())
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, last).into()
}

/// A resolver on port 53 of an address of this namespace.
fn server(last: u8) -> Upstream {
    let address = SocketAddr::new(ip(last), 53);
    let good = |asked: &Asked| vec![Act::Send(asked.good())];
    Upstream::at(address, Hears::Both, good).expect("port 53")
}

fn ask(daemon: &Daemon, name: &str) -> Message {
    Stub::new(daemon.dns()).ask(&Build::query(&format!("{name}.example"), A))
}

fn command(daemon: &Daemon, arguments: &[&str]) -> String {
    let socket = daemon.folder().join("control.sock");
    stdout(&run(byway().args(arguments).arg("--socket").arg(socket)))
}

/// Names that nobody has asked for.
static ROUND: AtomicUsize = AtomicUsize::new(0);

/// Waits until the log says so, and then until questions go to `to` alone.
fn goes_to(daemon: &Daemon, said: &str, to: &Upstream, others: &[&Upstream]) {
    eventually(said, || daemon.log().contains(said));
    let before: usize = others.iter().map(|it| it.asked().len()).sum();
    let asked = to.asked().len();
    for number in 0..5 {
        let name = format!("{number}-{}", ROUND.fetch_add(1, Ordering::Relaxed));
        assert_eq!(ask(daemon, &name).rcode(), NOERROR);
    }
    assert!(to.asked().len() >= asked + 5, "{said}");
    assert_eq!(
        others.iter().map(|it| it.asked().len()).sum::<usize>(),
        before
    );
}

#[test]
fn it_is_followed_however_it_is_written() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let files = Files::new();
        let (one, two, three, four) = (server(1), server(2), server(3), server(4));
        files.write("resolv.conf", &[ip(1)]);
        let daemon = files.setup().start();
        daemon.warm_up();
        assert_eq!(ask(&daemon, "known").rcode(), NOERROR);
        let base = || {
            let labels = [("upstream", "127.0.1.1")];
            daemon.metric("byway_route_base_seconds", &labels)
        };
        let was = base();

        // Written in place; what stays keeps what was measured, and the cache stays.
        files.write("resolv.conf", &[ip(1), ip(2)]);
        let said = "resolv.conf has changed: upstream 127.0.1.2 is new";
        goes_to(&daemon, said, &one, &[]);
        assert!(base() <= was, "it was not forgotten");
        let asked = one.asked().len();
        assert_eq!(ask(&daemon, "known").rcode(), NOERROR);
        assert_eq!(one.asked().len(), asked, "it was in the cache");

        // Replaced by rename.
        files.replace("resolv.conf", &[ip(2)]);
        let said = "resolv.conf has changed: upstream 127.0.1.1 has gone";
        goes_to(&daemon, said, &two, &[&one]);

        // Made a link to a file that comes later, in a directory that comes later.
        fs::remove_file(files.path("resolv.conf")).expect("removed");
        symlink("run/list", files.path("resolv.conf")).expect("made");
        let said = "cannot be read; 127.0.1.2 stays in use";
        goes_to(&daemon, said, &two, &[&one]);
        fs::create_dir(files.path("run")).expect("made");
        files.write("run/list", &[ip(3)]);
        let said = "upstream 127.0.1.3 is new, upstream 127.0.1.2 has gone";
        goes_to(&daemon, said, &three, &[&one, &two]);
        files.replace("run/list", &[ip(1)]);
        let said = "upstream 127.0.1.1 is new, upstream 127.0.1.3 has gone";
        goes_to(&daemon, said, &one, &[&two, &three]);

        // Their order says who comes first.
        files.write("run/list", &[ip(1), ip(4)]);
        goes_to(&daemon, "upstream 127.0.1.4 is new", &one, &[]);
        files.write("run/list", &[ip(4), ip(1)]);
        let said = "resolv.conf has changed: other name servers come first";
        goes_to(&daemon, said, &four, &[]);

        assert!(command(&daemon, &["events"]).contains("upstream 127.0.1.3 has gone"));
        assert!(command(&daemon, &["status"]).starts_with("well"));
    });
}

#[test]
fn one_that_is_not_there_at_boot_or_empty_comes_later() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let one = server(1);
        for empty in [false, true] {
            let asked = one.asked_for("later.example.").len();
            let files = Files::new();
            if empty {
                files.write("resolv.conf", &[]);
            }
            let daemon = files.setup().start();
            let log = daemon.log();
            assert!(log.contains("no upstream yet"), "{log}");
            let query = Build::query("early.example", A).edns(Edns::new(1232));
            let reply = Stub::new(daemon.dns()).ask(&query);
            assert_eq!((reply.rcode(), reply.edes()), (SERVFAIL, vec![22]));
            let (status, why) = daemon.http("/readyz");
            assert_eq!(status, 503);
            assert!(why.contains("no upstream is known yet"), "{why}");
            assert_eq!(daemon.http("/healthz").0, 200);
            let told = command(&daemon, &["status"]);
            assert!(told.contains("no upstream is known yet"), "{told}");

            files.replace("resolv.conf", &[ip(1)]);
            eventually("it is taken in", || {
                daemon.log().contains("upstream 127.0.1.1 is new")
            });
            assert_eq!(ask(&daemon, "later").rcode(), NOERROR);
            assert_eq!(one.asked_for("later.example.").len(), asked + 1);
            eventually("it is ready", || daemon.http("/readyz").0 == 200);
            // What failed for want of anybody is not held against the name for long.
            eventually("that name too", || ask(&daemon, "early").rcode() == NOERROR);
        }
    });
}

#[test]
fn it_is_never_led_to_itself_nor_left_with_nobody() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let files = Files::new();
        let one = server(1);
        files.write("resolv.conf", &[ip(1)]);
        let daemon = files.setup().listen(&["127.0.0.1:53"]).start();
        let own = IpAddr::from(Ipv4Addr::LOCALHOST);
        files.write("resolv.conf", &[own]);
        goes_to(&daemon, "127.0.1.1 stays in use", &one, &[]);
        assert!(daemon.log().contains("it is byway itself"));
        // A reload means the same.
        let done = command(&daemon, &["reload"]);
        assert!(done.contains("nothing in it has changed"), "{done}");
        files.write("resolv.conf", &[]);
        eventually("it is said", || daemon.log().contains("it names no server"));
        goes_to(&daemon, "127.0.1.1 stays in use", &one, &[]);
        files.write("resolv.conf", &[own, ip(2)]);
        let two = server(2);
        goes_to(&daemon, "upstream 127.0.1.1 has gone", &two, &[&one]);
    });
}

/// The host's own file, which another one is mounted over, and with no configuration at all.
#[test]
fn the_hosts_own_file_is_followed_too() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let files = Files::new();
        let (one, two) = (server(1), server(2));
        files.write("mounted", &[ip(1)]);
        let words = with_resolv_conf(&files.path("mounted"));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([env!("CARGO_BIN_EXE_byway"), "run"]);
        let daemon = Daemon::spawn(command, None);
        assert_eq!(ask(&daemon, "a").rcode(), NOERROR);
        files.write("mounted", &[ip(2)]);
        let said = "/etc/resolv.conf has changed: upstream 127.0.1.2 is new";
        goes_to(&daemon, said, &two, &[&one]);
    });
}

#[test]
fn a_reload_that_would_leave_nobody_is_refused() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    let files = Files::new();
    fs::write(daemon.folder().join("byway.toml"), files.setup().text()).expect("written");
    let socket = daemon.folder().join("control.sock");
    let refused = run(byway().args(["reload", "--socket"]).arg(socket));
    assert_eq!(refused.status.code(), Some(1));
    let told = super::kit::daemon::stderr(&refused);
    assert!(told.contains("nobody could be asked any more"), "{told}");
    assert_eq!(ask(&daemon, "goes-on").rcode(), NOERROR);
}

/// The only link here is the loopback interface, whose number is 1.
#[test]
fn domains_of_links_are_zones_that_come_and_go() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let files = Files::new();
        let (public, vpn) = (server(1), server(2));
        files.write("resolv.conf", &[ip(1)]);
        fs::create_dir(files.path("links")).expect("made");
        let words = with_links(&files.path("links"));
        let (byway, folder) = files.setup().command();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(byway.get_program())
            .args(byway.get_args())
            .env("RUNTIME_DIRECTORY", folder.path());
        let daemon = Daemon::spawn(command, Some(folder));
        let heard = |server: &Upstream, name: &str| server.asked_for(name).len();
        assert_eq!(ask(&daemon, "a.corp").rcode(), NOERROR);
        assert_eq!(heard(&public, "a.corp.example."), 1);

        let link = |text: &str| {
            fs::write(files.path("links/.#1"), text).expect("written");
            fs::rename(files.path("links/.#1"), files.path("links/1")).expect("renamed");
        };
        link("OPER_STATE=routable\nDNS=127.0.1.2\nROUTE_DOMAINS=corp.example\n");
        let said = "what the host's links say has changed: upstream 127.0.1.2 is new, zone corp.example. of link lo is new";
        eventually(said, || daemon.log().contains(said));
        // What was known of it came from somebody else.
        assert_eq!(ask(&daemon, "a.corp").rcode(), NOERROR);
        assert_eq!(ask(&daemon, "b.corp").rcode(), NOERROR);
        assert_eq!(ask(&daemon, "b").rcode(), NOERROR);
        assert_eq!(heard(&vpn, "a.corp.example."), 1);
        assert_eq!(heard(&vpn, "b.corp.example."), 1);
        assert_eq!(heard(&vpn, "b.example."), 0);
        assert_eq!(heard(&public, "b.corp.example."), 0);
        assert_eq!(daemon.metric("byway_link_domains", &[]), 1.0);
        let why = self::command(&daemon, &["why", "x.corp.example"]);
        assert!(why.contains("zone: corp.example (of link lo)"), "{why}");
        let status = self::command(&daemon, &["status"]);
        assert!(
            status.contains("zone corp.example. of link lo: 127.0.1.2"),
            "{status}"
        );
        // A reload means the same.
        let done = self::command(&daemon, &["reload"]);
        assert!(done.contains("nothing in it has changed"), "{done}");

        // What is odd about it is said, once, and counted; the rest holds.
        link("DNS=127.0.1.2 nobody\nROUTE_DOMAINS=corp.example\n");
        let said = "server `nobody`: not an IP address";
        eventually(said, || daemon.log().contains(said));
        daemon.expect_metric("byway_link_entries_left_out", &[], 1.0);
        assert_eq!(daemon.metric("byway_link_domains", &[]), 1.0);

        fs::remove_file(files.path("links/1")).expect("removed");
        let said = "upstream 127.0.1.2 has gone, zone corp.example. of link lo has gone";
        eventually(said, || daemon.log().contains(said));
        assert_eq!(ask(&daemon, "c.corp").rcode(), NOERROR);
        assert_eq!(heard(&public, "c.corp.example."), 1);
        assert_eq!(daemon.metric("byway_link_domains", &[]), 0.0);
    });
}
