//! Programs that real hosts ask with, where they are installed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};

use super::kit::daemon::{run, stdout};
use super::kit::namespace::{Namespace, add_address, with_resolv_conf};
use super::kit::*;

/// Answers for a small zone.
fn zone(asked: &Asked) -> Vec<Act> {
    let reply = asked.reply();
    let reply = match (asked.lower().as_str(), asked.rtype()) {
        ("www.example.", A) => reply.answer(a(&asked.name(), 300, [192, 0, 2, 80])),
        ("www.example.", AAAA) => reply.answer(record(&asked.name(), AAAA, 300, &[0x20; 16])),
        ("alias.example.", A | AAAA) => {
            let reply = reply.answer(cname(&asked.name(), 300, "www.example"));
            match asked.rtype() {
                A => reply.answer(a("www.example", 300, [192, 0, 2, 80])),
                _ => reply.answer(record("www.example", AAAA, 300, &[0x20; 16])),
            }
        }
        ("large.example.", TXT) if asked.tcp => {
            reply.answers((0..40).map(|_| txt(&asked.name(), 300, b'x', 100)))
        }
        ("large.example.", TXT) => reply.set(TC),
        ("80.2.18.198.in-addr.arpa.", PTR) => {
            reply.answer(record(&asked.name(), PTR, 300, &name("www.example")))
        }
        ("www.example.", _) => reply.authority(soa("example", 300, 60)),
        _ => reply.rcode(NXDOMAIN).authority(soa("example", 300, 60)),
    };
    vec![Act::Send(reply.edns(Edns::new(1232)).bytes())]
}

/// The program's output; `None`, with a line, if it is not installed.
fn asks(program: &str, daemon: &Daemon, arguments: &[&str]) -> Option<String> {
    if Command::new(program).arg("-v").output().is_err() {
        skip(&format!("{program} is not installed"));
        return None;
    }
    let (address, port) = (daemon.dns().ip(), daemon.dns().port().to_string());
    let mut command = Command::new(program);
    command
        .arg(format!("@{address}"))
        .args(["-p", &port])
        .args(arguments);
    let output = run(&mut command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    Some(stdout(&output))
}

#[test]
fn dig() {
    let upstream = Upstream::new(zone);
    let daemon = Daemon::to(&[&upstream]);
    // Fresh, then from the cache.
    for _ in 0..2 {
        let Some(text) = asks("dig", &daemon, &["www.example", "A"]) else {
            return;
        };
        assert!(
            text.contains("status: NOERROR") && text.contains("192.0.2.80"),
            "{text}"
        );
        assert!(
            !text.contains("WARNING") && !text.to_lowercase().contains("malformed"),
            "{text}"
        );
    }
    let text = |arguments: &[&str]| asks("dig", &daemon, arguments).expect("dig is there");
    assert_eq!(
        text(&["+short", "+tcp", "alias.example"]),
        "www.example.\n192.0.2.80\n"
    );
    assert_eq!(text(&["+short", "-x", "198.18.2.80"]), "www.example.\n");
    let whole = text(&["large.example", "TXT"]);
    assert!(
        whole.contains("Truncated, retrying in TCP mode") && whole.contains("ANSWER: 40"),
        "{whole}"
    );
    assert!(text(&["none.example"]).contains("status: NXDOMAIN"));
    assert!(text(&["+noedns", "www.example", "AAAA"]).contains("2020:2020"));
    assert!(text(&["+edns=1", "+noednsneg", "www.example"]).contains("status: BADVERS"));
    assert!(
        text(&[
            "+cookie",
            "+nsid",
            "+subnet=192.0.2.0/24",
            "+dnssec",
            "www.example"
        ])
        .contains("192.0.2.80")
    );
    assert!(text(&["www.example", "ANY"]).contains("RFC8482"));
    assert!(text(&["+noedns", "+opcode=STATUS", "www.example"]).contains("status: NOTIMP"));
    assert!(text(&["+header-only"]).contains("status: FORMERR"));
    assert!(text(&["version.bind", "TXT", "CH"]).contains("status: REFUSED"));
    let refused = text(&["example", "AXFR"]);
    assert!(
        refused.contains("Transfer failed") || refused.contains("REFUSED"),
        "{refused}"
    );
    let pipelined = text(&[
        "+tcp",
        "+keepopen",
        "www.example",
        "+keepopen",
        "alias.example",
        "+keepopen",
        "www.example",
        "AAAA",
    ]);
    assert_eq!(
        pipelined.matches("status: NOERROR").count(),
        3,
        "{pipelined}"
    );
}

#[test]
fn kdig() {
    let upstream = Upstream::new(zone);
    let daemon = Daemon::to(&[&upstream]);
    let Some(text) = asks("kdig", &daemon, &["www.example", "A"]) else {
        return;
    };
    assert!(
        text.contains("status: NOERROR") && text.contains("192.0.2.80"),
        "{text}"
    );
    let text = |arguments: &[&str]| asks("kdig", &daemon, arguments).expect("kdig is there");
    assert_eq!(
        text(&["+short", "+tcp", "alias.example"]),
        "www.example.\n192.0.2.80\n"
    );
    let whole = text(&["+edns=0", "+bufsize=1232", "large.example", "TXT"]);
    assert!(whole.matches("xxxxxxxx").count() >= 40, "{whole}");
    assert!(text(&["+dnssec", "+cdflag", "www.example"]).contains("192.0.2.80"));
    assert!(text(&["+padding=128", "www.example"]).contains("192.0.2.80"));
    assert!(text(&["none.example"]).contains("status: NXDOMAIN"));
    assert!(text(&["+ignore", "large.example", "TXT"]).contains("tc"));
}

#[test]
fn getent_in_a_network_of_its_own() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        // glibc asks for addresses of a family only where the host has one beyond loopback.
        if !add_address("192.0.2.10/32") || !add_address("2001:db8::10/128") {
            return skip("this host has no IPv6");
        }
        let nameserver: SocketAddr = (Ipv4Addr::new(127, 0, 0, 53), 53).into();
        let upstream = Upstream::new(zone);
        let daemon = Setup::to(&[&upstream])
            .listen(&[&nameserver.to_string()])
            .start();
        let resolv_conf = daemon.folder().join("resolv.conf");
        fs::write(&resolv_conf, "nameserver 127.0.0.53\n").expect("written");
        let getent = |arguments: &[&str]| -> Output {
            let words = with_resolv_conf(&resolv_conf);
            let mut command = Command::new(&words[0]);
            run(command.args(&words[1..]).arg("getent").args(arguments))
        };
        let known = getent(&["ahostsv4", "www.example"]);
        if known.status.code() == Some(127) {
            return skip("getent is not installed");
        }
        assert!(stdout(&known).contains("192.0.2.80"), "{known:?}");
        assert!(stdout(&getent(&["ahosts", "alias.example"])).contains("2020:2020"));
        assert!(stdout(&getent(&["hosts", "198.18.2.80"])).contains("www.example"));
        assert_eq!(getent(&["ahosts", "none.example"]).status.code(), Some(2));
        // The stub asks for A and AAAA at once from one port, and the cache answers both.
        let asked = upstream.questions().len();
        assert!(stdout(&getent(&["ahosts", "alias.example"])).contains("192.0.2.80"));
        daemon.expect_questions(asked);
    });
}
