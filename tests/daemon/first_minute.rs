//! The start: without a configuration, with one, and everything that can go wrong.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Output};

use super::kit::daemon::{run, stderr};
use super::kit::namespace::{Namespace, with_resolv_conf};
use super::kit::*;

#[test]
fn it_says_what_it_does() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .listen(&["127.0.0.1:0", "127.0.0.2:0"])
        .start();
    let log = daemon.log();
    for part in [
        &daemon.listen[0].to_string(),
        &daemon.listen[1].to_string(),
        "udp, tcp",
        "u0@default",
        &upstream.address.to_string(),
        &format!(
            "http://{}/metrics",
            daemon.admin.expect("an admin endpoint")
        ),
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert_eq!(daemon.listen[1].ip(), Ipv4Addr::new(127, 0, 0, 2));
    for address in &daemon.listen {
        assert_eq!(
            Stub::new(*address)
                .ask(&Build::query("first.example", A))
                .rcode(),
            NOERROR
        );
    }
}

#[test]
fn the_command_line_stands_in_place_of_the_file() {
    let (file, other) = (Upstream::good(), Upstream::good());
    let address = other.address.to_string();
    let daemon = Setup::to(&[&file])
        .listen(&["127.0.0.9:0"])
        .arguments(&[
            "--listen",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.2:0",
            "--upstream",
            &address,
        ])
        .start();
    assert_eq!(daemon.listen.len(), 2);
    assert_eq!(daemon.listen[0].ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(
        Stub::new(daemon.dns())
            .ask(&Build::query("line.example", A))
            .rcode(),
        NOERROR
    );
    assert_eq!((file.asked().len(), other.asked().len()), (0, 1));
}

#[test]
fn without_a_configuration_it_asks_the_hosts_resolvers() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let resolver: SocketAddr = (Ipv4Addr::new(127, 0, 0, 77), 53).into();
        let upstream = Upstream::at(resolver, Hears::Both, |asked| vec![Act::Send(asked.good())]);
        let _upstream = upstream.expect("port 53");
        let folder = tempfile::tempdir().expect("a folder");
        let resolv_conf = folder.path().join("resolv.conf");
        let text =
            "# by hand\nsearch a..b corp.example\noptions edns0 trust-ad\nnameserver 127.0.0.77\n";
        fs::write(&resolv_conf, text).expect("written");
        let words = with_resolv_conf(&resolv_conf);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(env!("CARGO_BIN_EXE_byway"))
            .arg("run");
        let daemon = Daemon::spawn(command, Some(folder));
        assert_eq!(
            daemon.listen,
            ["127.0.0.1:5339".parse().expect("an address")]
        );
        assert_eq!(
            daemon.admin,
            Some("127.0.0.1:19153".parse().expect("an address"))
        );
        assert!(daemon.log().contains("127.0.0.77"), "{}", daemon.log());
        for _ in 0..2 {
            assert_eq!(
                Stub::new(daemon.dns())
                    .ask(&Build::query("host.example", A))
                    .answers
                    .len(),
                1
            );
            assert_eq!(
                Connection::new(daemon.dns())
                    .ask(&Build::query("host.example", A))
                    .answers
                    .len(),
                1
            );
        }
        daemon.expect_questions(1);
    });
}

/// Starts byway where `/etc/resolv.conf` says `text`; the start must fail. `None` where that needs root.
fn fails_with_resolv_conf(text: &str, arguments: &[&str]) -> Option<Output> {
    let namespace = Namespace::new()?;
    let folder = tempfile::tempdir().expect("a folder");
    let resolv_conf = folder.path().join("resolv.conf");
    fs::write(&resolv_conf, text).expect("written");
    let words = with_resolv_conf(&resolv_conf);
    Some(namespace.enter(|| {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(env!("CARGO_BIN_EXE_byway"))
            .arg("run")
            .args(arguments);
        run(&mut command)
    }))
}

#[test]
fn without_any_upstream_it_says_what_to_do() {
    for text in [
        "nameserver nonsense\n",
        "nameserver 0.0.0.0\nnameserver fe80::1\n",
    ] {
        let Some(output) = fails_with_resolv_conf(text, &[]) else {
            return;
        };
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stderr(&output);
        for part in ["no upstream", "/etc/resolv.conf", "--upstream"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

#[test]
fn it_never_asks_itself() {
    let itself = "nameserver 127.0.0.1\n";
    let Some(output) = fails_with_resolv_conf(itself, &["--listen", "127.0.0.1:53"]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("itself"), "{}", stderr(&output));
    let wildcard = fails_with_resolv_conf(itself, &["--listen", "0.0.0.0:53"]);
    assert!(wildcard.is_some_and(|output| output.status.code() == Some(2)));
}

/// Runs a configuration that cannot be started.
fn fails(setup: &Setup) -> (Option<i32>, String) {
    let (_folder, file) = config_file(&setup.text());
    let output = run(byway().arg("run").arg("--config").arg(&file));
    (output.status.code(), stderr(&output))
}

/// One line, with these parts.
fn is_one_line(text: &str, parts: &[&str]) {
    assert_eq!(text.trim_end().lines().count(), 1, "one line: {text}");
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("panic") && !text.contains("Os {"), "{text}");
}

#[test]
fn a_port_that_is_taken() {
    let upstream = Upstream::good();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    for taken in [udp.local_addr(), tcp.local_addr()] {
        let taken = taken.expect("an address").to_string();
        let (code, text) = fails(&Setup::to(&[&upstream]).listen(&[&taken]));
        assert_eq!(code, Some(1), "{text}");
        is_one_line(&text, &[&taken, "--listen"]);
    }
    let admin = tcp.local_addr().expect("an address").to_string();
    let text = Setup::to(&[&upstream])
        .text()
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{admin}\""));
    let (_folder, file) = config_file(&text);
    let output = run(byway().arg("run").arg("--config").arg(&file));
    assert_eq!(output.status.code(), Some(1));
    is_one_line(&stderr(&output), &[&admin, "metrics"]);
}

#[test]
fn two_daemons_do_not_share_a_port() {
    let upstream = Upstream::good();
    let first = Daemon::to(&[&upstream]);
    let address = first.dns().to_string();
    let (code, text) = fails(&Setup::to(&[&upstream]).listen(&[&address]));
    assert_eq!(code, Some(1), "{text}");
    is_one_line(&text, &[&address]);
    assert_eq!(
        Stub::new(first.dns())
            .ask(&Build::query("first.example", A))
            .rcode(),
        NOERROR
    );
}

#[test]
fn an_address_that_is_not_on_this_host() {
    let upstream = Upstream::good();
    let (code, text) = fails(&Setup::to(&[&upstream]).listen(&["192.0.2.53:5339"]));
    assert_eq!(code, Some(1), "{text}");
    is_one_line(&text, &["192.0.2.53:5339", "ip address"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in [folder.path().join("missing.toml"), folder.path().to_owned()] {
        let output = run(byway().arg("run").arg("--config").arg(&file));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(&file.display().to_string()),
            "{}",
            stderr(&output)
        );
    }
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"version = 1\n\xff\xfe").expect("written");
    let output = run(byway().arg("run").arg("--config").arg(&binary));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("UTF-8"), "{}", stderr(&output));
}

#[test]
fn a_configuration_that_is_wrong() {
    let upstream = Upstream::good();
    for (tables, parts) in [
        ("[routng]\npolicy = \"fastest\"", &["routng", "routing"][..]),
        ("[cache]\nmax-tll = \"1h\"", &["max-tll", "max-ttl"]),
        ("[cache]\nsize = \"lots\"", &["lots"]),
        ("[routing]\ndeadline = \"1ms\"", &["deadline"]),
        ("[routing]\npolicy = \"fast\"", &["fast", "fastest"]),
        ("[[upstream]]\naddress = \"10.0.0.300\"", &["10.0.0.300"]),
        (
            "[[upstream]]\nname = \"x\"\naddress = \"10.0.0.3\"\npaths = [\"lef\"]\n[[path]]\nname = \"left\"",
            &["lef", "left"],
        ),
        ("[cache", &["]"]),
    ] {
        let (code, text) = fails(&Setup::to(&[&upstream]).tables(tables));
        assert_eq!(code, Some(2), "{tables}: {text}");
        for part in parts.iter().chain(&["byway.toml:", "^"]) {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn an_unknown_argument() {
    for arguments in [
        &["run", "--lsten", "x"][..],
        &["rnu"],
        &["run", "--listen", "nonsense"],
        &["run", "--upstream", "256.0.0.1"],
    ] {
        let output = run(byway().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn a_path_over_an_interface_that_is_missing() {
    let upstream = Upstream::good();
    // It may come later: the daemon starts, says so, and uses the other path.
    let setup = Setup::bare()
        .upstream(upstream.address, "paths = [\"missing\", \"default\"]")
        .tables("[[path]]\nname = \"missing\"\ninterface = \"no-such-if0\"");
    let daemon = setup.start();
    eventually("it is said", || daemon.log().contains("no-such-if0"));
    for number in 0..10 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&format!("path{number}.example"), A));
        assert_eq!(reply.rcode(), NOERROR, "{reply:?}");
    }
}

#[test]
fn an_interface_without_the_permission() {
    let upstream = Upstream::good();
    let setup = Setup::bare()
        .upstream(upstream.address, "paths = [\"marked\"]")
        .tables("[[path]]\nname = \"marked\"\nmark = 7");
    let (folder, file) = config_file(&setup.text());
    // A user without privileges must be able to reach the program and the file.
    let program = folder.path().join("byway");
    fs::copy(env!("CARGO_BIN_EXE_byway"), &program).expect("copied");
    let shell = "chmod -R a+rX \"$0\" && exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", shell])
        .arg(folder.path())
        .arg(&program)
        .arg("run")
        .arg("--config")
        .arg(&file);
    let output = run(&mut command);
    if stderr(&output).contains("setpriv") {
        return skip("dropping privileges needs root and setpriv (util-linux)");
    }
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    is_one_line(&stderr(&output), &["marked", "CAP_NET_ADMIN"]);
}

#[test]
fn the_default_port_of_the_metrics_may_be_taken() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let _taken = TcpListener::bind("127.0.0.1:19153").expect("a free port");
        let upstream = Upstream::good();
        let (_folder, file) = config_file(&format!(
            "version = 1\n[[upstream]]\naddress = \"{}\"\n",
            upstream.address
        ));
        let mut command = byway();
        command.args(["run", "--config"]).arg(&file);
        let daemon = Daemon::spawn(command, None);
        let next = "127.0.0.1:19154".parse().expect("an address");
        assert_eq!(daemon.admin, Some(next));
        let log = daemon.log();
        assert!(
            log.contains("metrics are at port 19154, for 19153 is taken"),
            "{log}"
        );
        assert_eq!(daemon.http("/healthz").0, 200);

        // One that was asked for is not exchanged for another.
        let mut command = byway();
        command.args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:19154",
            "--config",
        ]);
        let output = run(command.arg(&file));
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("127.0.0.1:19154"),
            "{}",
            stderr(&output)
        );
    });
}

#[test]
fn the_metrics_can_be_placed_by_the_command_line() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .arguments(&["--admin", "127.0.0.3:0"])
        .start();
    let admin = daemon.admin.expect("an endpoint");
    assert_eq!(admin.ip(), Ipv4Addr::new(127, 0, 0, 3));
    assert_eq!(daemon.http("/healthz").0, 200);
}
