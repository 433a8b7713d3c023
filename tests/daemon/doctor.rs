//! `byway doctor`: one line for each thing that was looked at, and what to do.

use std::net::UdpSocket;
use std::process::Output;

use super::kit::daemon::{run, stdout};
use super::kit::*;

const RRSIG: u16 = 46;

/// What a good resolver sends: no such name in `.com`, signatures for who wants them.
fn honest(asked: &Asked) -> Build {
    let wants_signatures = asked.edns.as_ref().is_some_and(Edns::dnssec_ok);
    let reply = match asked.lower().ends_with(".com.") {
        true => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("com", 900, 900)),
        false if asked.rtype() == NS => {
            let reply = asked.reply().answer(record(".", NS, 3600, &name("a.root")));
            let mut data = vec![0, 2, 8, 0];
            data.extend([0; 14]);
            data.extend(name("."));
            data.extend([7; 64]);
            match wants_signatures {
                true => reply.answer(record(".", RRSIG, 3600, &data)),
                false => reply,
            }
        }
        false => asked.reply(),
    };
    match &asked.edns {
        Some(_) => reply.edns(Edns::new(1232)),
        None => reply,
    }
}

fn send(build: &Build) -> Vec<Act> {
    vec![Act::Send(build.bytes())]
}

/// `byway doctor` for this configuration, without a daemon.
fn doctor(setup: &Setup, arguments: &[&str]) -> Output {
    let (_folder, file) = config_file(&setup.text());
    let mut command = byway();
    command.arg("doctor").arg("--config").arg(file);
    run(command.args(arguments))
}

fn line<'a>(text: &'a str, subject: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|it| it.contains(&format!(" {subject}")))
        .collect()
}

#[test]
fn a_good_upstream_is_one_good_line() {
    let upstream = Upstream::new(|asked| send(&honest(asked)));
    let setup = Setup::to(&[&upstream]);
    let output = doctor(&setup, &[]);
    let text = stdout(&output);
    let said = line(&text, "upstream u0@default");
    assert_eq!(said.len(), 1, "{text}");
    assert!(said[0].starts_with("ok "), "{text}");
    assert!(
        said[0].contains("honestly, by UDP and TCP, with EDNS, DO"),
        "{text}"
    );
    for subject in [
        "configuration",
        "daemon",
        "port",
        "loops",
        "descriptors",
        "memory",
        "clock",
    ] {
        assert_eq!(line(&text, subject).len(), 1, "{subject} in {text}");
    }
    assert!(
        line(&text, "loops")[0].contains("u0"),
        "it is on this host: {text}"
    );
    // Nothing is sent to anybody.
    let asked = upstream.asked().len();
    let text = stdout(&doctor(&setup, &["--offline"]));
    assert!(line(&text, "upstream u0").is_empty(), "{text}");
    assert_eq!(upstream.asked().len(), asked);
}

#[test]
fn what_is_wrong_with_an_upstream_is_said_with_what_to_do() {
    type Way = fn(&Asked) -> Vec<Act>;
    let cases: [(Way, &str, &str, &str); 7] = [
        (
            |_| Vec::new(),
            "BAD",
            "does not answer: no answer",
            "see whether it runs",
        ),
        (
            |asked| match asked.lower().ends_with(".com.") {
                true => vec![Act::Send(asked.good())],
                false => send(&honest(asked)),
            },
            "BAD",
            "an address for a name that does not exist",
            "ask another one",
        ),
        (
            |asked| send(&asked.reply().rcode(REFUSED)),
            "BAD",
            "it refuses to answer this host",
            "whom it allows",
        ),
        (
            |asked| match asked.edns {
                Some(_) => Vec::new(),
                None => send(&honest(asked)),
            },
            "BAD",
            "plain questions only, not those with EDNS",
            "drops EDNS",
        ),
        (
            |asked| match asked.rtype() {
                48 => Vec::new(),
                _ => send(&honest(asked)),
            },
            "odd",
            "its large answers do not arrive",
            "MTU",
        ),
        (
            |asked| match asked.edns.as_ref().is_some_and(Edns::dnssec_ok) {
                true if asked.rtype() == NS => vec![Act::Send(asked.good())],
                _ => send(&honest(asked)),
            },
            "odd",
            "it leaves signatures out (DO)",
            "validate DNSSEC",
        ),
        (
            |asked| {
                let question = [&name(&asked.lower())[..], &[0, 1, 0, 1]].concat();
                match asked.rtype() {
                    A => send(&honest(asked).question(question)),
                    _ => send(&honest(asked)),
                }
            },
            "odd",
            "it changes the letter case",
            "does without that defence",
        ),
    ];
    for (way, gravity, what, help) in cases {
        let upstream = Upstream::new(way);
        let output = doctor(&Setup::to(&[&upstream]), &[]);
        let text = stdout(&output);
        let said = line(&text, "upstream u0@default");
        let found = said.iter().find(|it| it.contains(what));
        let found = found.unwrap_or_else(|| panic!("{what} in {text}"));
        assert!(found.starts_with(gravity) && found.contains(help), "{text}");
        if gravity == "BAD" {
            assert_eq!(output.status.code(), Some(1), "{text}");
        }
    }
    // By one transport only.
    let only_udp = Upstream::hearing(Hears::OnlyUdp, |asked| send(&honest(asked)));
    let text = stdout(&doctor(&Setup::to(&[&only_udp]), &[]));
    assert!(text.contains("it does not answer by TCP"), "{text}");
    let only_tcp = Upstream::hearing(Hears::OnlyTcp, |asked| send(&honest(asked)));
    let text = stdout(&doctor(&Setup::to(&[&only_tcp]), &[]));
    assert!(
        text.contains("does not answer by UDP: connection refused"),
        "{text}"
    );
    assert!(text.contains("`transport = \"tcp\"` works"), "{text}");
}

#[test]
fn a_port_that_is_held_and_a_wrong_file_are_said_and_programs_can_read_it() {
    let upstream = Upstream::new(|asked| send(&honest(asked)));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("its address");
    let setup = Setup::to(&[&upstream]).listen(&[&address.to_string()]);
    let output = doctor(&setup, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["fine"], false);
    let findings = document["findings"].as_array().expect("a list");
    let of = |subject: &str| {
        let found = findings.iter().find(|it| it["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject} in {document}"))
    };
    let port = of(&format!("port {}", address.port()));
    assert_eq!(port["gravity"], "bad");
    let who = format!("(pid {}) holds {address}", std::process::id());
    assert!(
        port["text"].as_str().is_some_and(|it| it.contains(&who)),
        "{port}"
    );
    assert_eq!(of("upstream u0@default")["gravity"], "ok");

    // A running byway holds its own.
    let daemon = Setup::to(&[&upstream]).start();
    let socket = daemon.folder().join("control.sock");
    let text = stdout(&run(byway()
        .args(["doctor", "--offline", "--socket"])
        .arg(socket)));
    assert!(line(&text, "daemon")[0].contains("names resolve"), "{text}");

    let wrong = doctor(&Setup::to(&[&upstream]).tables("[cach]\n"), &[]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        stdout(&wrong).starts_with("BAD  configuration: "),
        "{}",
        stdout(&wrong)
    );
}
