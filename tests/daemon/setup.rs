//! `byway setup resolv-conf`: the programs of a host ask byway from now on, and byway asks whom they asked before.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::kit::daemon::{run, stderr, stdout};
use super::kit::namespace::{Namespace, with_resolv_conf};
use super::kit::*;

const BEFORE: &str = "# by a test\nsearch corp.example\nnameserver 127.0.1.1\n";

/// A host with port 53 of its own, and one name server.
struct Host {
    folder: tempfile::TempDir,
    server: Upstream,
}

impl Host {
    fn new() -> Host {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("resolv.conf"), BEFORE).expect("written");
        let at = SocketAddr::from(([127, 0, 1, 1], 53));
        let good = |asked: &Asked| vec![Act::Send(asked.good())];
        let server = Upstream::at(at, Hears::Both, good).expect("port 53");
        Host { folder, server }
    }

    fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }

    fn setup(&self) -> Setup {
        let path = self.resolv_conf();
        let from = format!("[host]\nresolv-conf = \"{}\"\n", path.display());
        Setup::bare().listen(&["127.0.0.1:53"]).tables(&from)
    }

    /// `byway setup resolv-conf` for this daemon.
    fn set_up(&self, daemon: &Daemon, arguments: &[&str]) -> Output {
        let mut command = byway();
        command.args(["setup", "resolv-conf"]).args(arguments);
        command.arg("--file").arg(self.resolv_conf());
        command.arg("--config").arg(config(daemon));
        command
            .arg("--socket")
            .arg(daemon.folder().join("control.sock"));
        run(&mut command)
    }

    fn read(&self) -> String {
        fs::read_to_string(self.resolv_conf()).expect("it is there")
    }

    /// Asks byway for a new name, which the name server is asked for in turn.
    fn ask(&self, daemon: &Daemon, name: &str) {
        let before = self.server.asked().len();
        let query = Build::query(&format!("{name}.example"), A);
        assert_eq!(Stub::new(daemon.dns()).ask(&query).rcode(), NOERROR);
        assert!(self.server.asked().len() > before);
    }
}

fn config(daemon: &Daemon) -> PathBuf {
    daemon.folder().join("byway.toml")
}

fn from(config: &Path) -> String {
    let output = run(byway().arg("check").arg(config));
    let text = stdout(&output);
    let line = text.lines().find(|it| it.contains("Upstreams come from"));
    line.expect("it says so").to_owned()
}

#[test]
fn the_host_asks_byway_and_byway_asks_whom_it_asked() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let host = Host::new();
        let daemon = host.setup().start();
        daemon.warm_up();

        let shown = host.set_up(&daemon, &["--print"]);
        assert!(
            stdout(&shown).contains("\nnameserver 127.0.0.1\n"),
            "{}",
            stderr(&shown)
        );
        assert_eq!(host.read(), BEFORE, "nothing is written");

        let done = host.set_up(&daemon, &[]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        assert_eq!(host.read(), stdout(&shown));
        host.ask(&daemon, "one");
        let kept = host.folder.path().join("resolv.conf.before-byway");
        let expected = format!("# Upstreams come from {}. In effect is:", kept.display());
        assert_eq!(
            from(&config(&daemon)),
            expected,
            "the next start finds them too"
        );
        let told = daemon.log();
        assert!(
            !told.contains("itself"),
            "byway was never to ask itself: {told}"
        );

        let done = host.set_up(&daemon, &["--undo"]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        assert_eq!(host.read(), BEFORE);
        host.ask(&daemon, "two");
        let expected = format!(
            "# Upstreams come from {}. In effect is:",
            host.resolv_conf().display()
        );
        assert_eq!(from(&config(&daemon)), expected);
    });
}

#[test]
fn while_nothing_resolves_or_another_port_answers_the_host_is_left_alone() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let host = Host::new();
        let daemon = host.setup().listen(&["127.0.0.1:5300"]).start();
        let refused = host.set_up(&daemon, &[]);
        assert_eq!(refused.status.code(), Some(1));
        let told = stderr(&refused);
        assert!(
            told.contains("byway listens on 127.0.0.1:5300 only"),
            "{told}"
        );
        drop(daemon);

        fs::write(host.resolv_conf(), "search corp.example\n").expect("written");
        let daemon = host.setup().start();
        let refused = host.set_up(&daemon, &[]);
        assert_eq!(refused.status.code(), Some(1));
        let told = stderr(&refused);
        assert!(
            told.contains("resolves nothing now") || told.contains("none that could be asked"),
            "{told}"
        );
        assert_eq!(host.read(), "search corp.example\n");
    });
}

/// A container engine mounts the file: it cannot be replaced there.
#[test]
fn a_file_that_is_mounted_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mounted = folder.path().join("mounted");
    fs::write(&mounted, BEFORE).expect("written");
    let words = with_resolv_conf(&mounted);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_byway"));
    // Were it not refused, it would print, and still write nothing.
    command.args(["setup", "resolv-conf", "--print", "--address", "127.0.0.1"]);
    let output = run(&mut command);
    let told = stderr(&output);
    if told.contains("unshare") || told.contains("mount:") {
        skip("a mount of its own needs root");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("is mounted here from elsewhere") && told.contains("--dns 127.0.0.1"),
        "{told}"
    );
}
