//! In whose words failures are told: to clients, in the log.

use super::kit::namespace::Namespace;
use super::kit::*;

const QUICK: &str = "[routing]\npolicy = \"ordered\"\ndeadline = \"1s\"";

/// The texts of the Extended DNS Errors of this code.
fn texts(reply: &Message, code: u16) -> Vec<String> {
    let options = reply.edns.iter().flat_map(|edns| &edns.options);
    let texts = options
        .filter(|(option, _)| *option == EDE)
        .filter_map(|(_, octets)| {
            let (of, text) = octets.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*of) == code).then(|| String::from_utf8_lossy(text).into_owned())
        });
    texts.collect()
}

#[test]
fn a_client_learns_what_came_of_each_route() {
    let (refusing, silent) = (
        Upstream::hearing(Hears::OnlyTcp, |_| Vec::new()),
        Upstream::silent(),
    );
    let daemon = Setup::to(&[&refusing, &silent]).tables(QUICK).start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("nobody.example", A);
    let reply = stub.ask(&query.clone().edns(Edns::new(1232)));
    assert_eq!(reply.rcode(), SERVFAIL);
    let told = [22, 23].map(|code| texts(&reply, code)).concat();
    assert_eq!(told.len(), 1, "{reply:?}");
    for part in ["u0@default: connection refused", "u1@default: no answer"] {
        assert!(told[0].contains(part), "{told:?}");
    }
    // Without EDNS there is no place for it.
    let reply = stub.ask(&Build::query("nobody-else.example", A));
    assert!(reply.edns.is_none(), "{reply:?}");
}

#[test]
fn a_server_that_says_nothing_in_time_is_a_network_error() {
    // Asked for the first time: nobody knows yet whether it is dead.
    let silent = Upstream::silent();
    let daemon = Setup::to(&[&silent])
        .tables("[routing]\ndeadline = \"500ms\"")
        .start();
    let query = Build::query("silent.example", A).edns(Edns::new(1232));
    let reply = Stub::new(daemon.dns()).ask(&query);
    assert_eq!(texts(&reply, 23), ["u0@default: no answer"], "{reply:?}");
}

#[test]
fn an_answer_that_cannot_be_read_is_useless_at_once_and_the_servers_doing() {
    let garbling = Upstream::new(|asked| {
        // An address of three octets.
        let owner = asked.name();
        let reply = asked.reply().answer(record(&owner, A, 60, &[6, 6, 6]));
        vec![Act::Send(reply.bytes())]
    });
    let daemon = Setup::to(&[&garbling])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    let query = Build::query("garbled.example", A).edns(Edns::new(1232));
    let reply = Stub::new(daemon.dns()).ask(&query);
    assert_eq!(reply.rcode(), SERVFAIL);
    assert_eq!(
        texts(&reply, 23),
        ["u0@default: garbled answer"],
        "{reply:?}"
    );
    assert!(daemon.metric("byway_attempts_total", &[("outcome", "garbled")]) >= 1.0);
    assert_eq!(
        daemon.metric("byway_attempts_total", &[("outcome", "timed-out")]),
        0.0
    );
}

/// Asks for new names until the log says so.
fn asks_until_logged(daemon: &Daemon, what: &str) {
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    eventually(what, || {
        number += 1;
        stub.ask(&Build::query(&format!("fails{number}.example"), A));
        daemon.log().contains(what)
    });
}

#[test]
fn the_log_quotes_the_kernel() {
    let refusing = Upstream::hearing(Hears::OnlyTcp, |_| Vec::new());
    let daemon = Setup::to(&[&refusing]).tables(QUICK).start();
    asks_until_logged(&daemon, "connection refused");
}

#[test]
fn the_log_quotes_the_server() {
    let bogus = Upstream::saying(|asked| {
        let why = Edns::new(1232).option(EDE, b"\x00\x06key \x1b[2Jexpired");
        asked.reply().rcode(SERVFAIL).edns(why)
    });
    let daemon = Setup::to(&[&bogus]).tables(QUICK).start();
    asks_until_logged(
        &daemon,
        r"SERVFAIL (EDE 6 DNSSEC Bogus: key \u{1b}[2Jexpired)",
    );
}

#[test]
fn a_start_with_dead_upstreams_says_so_before_anybody_asks() {
    let refusing = Upstream::hearing(Hears::OnlyTcp, |_| Vec::new());
    let (silent, good) = (Upstream::silent(), Upstream::good());
    let denying = Upstream::saying(|asked| asked.reply().rcode(REFUSED));
    let daemon = Setup::to(&[&refusing, &silent, &good, &denying]).start();
    // Which line is made of it depends on who is found out first.
    for (level, who, why) in [
        ("WARN", "u0", "connection refused"),
        ("WARN", "u1", "no answer"),
        (
            "INFO",
            "u3@default answers uselessly after the start",
            "REFUSED",
        ),
    ] {
        let says = |line: &str| [level, who, why].iter().all(|it| line.contains(it));
        eventually(who, || daemon.log().lines().any(says));
    }
    assert!(
        !daemon.log().contains("u2@default does not"),
        "{}",
        daemon.log()
    );
}

#[test]
fn without_ipv6_one_line_names_the_upstreams_concerned() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
    let good = Upstream::good();
    let nowhere = |text: &str| text.parse::<std::net::SocketAddr>().expect("an address");
    let daemon = Setup::to(&[&good])
        .upstream(nowhere("[2001:db8::1]:53"), "")
        .upstream(nowhere("[2001:db8::2]:53"), "")
        .start();
    let line = "IPv6 leads nowhere from here (network unreachable), IPv4 works: unused until that changes: \
                u1 (2001:db8::1), u2 (2001:db8::2)";
    eventually(line, || daemon.log().contains(line));
    let reply = Stub::new(daemon.dns()).ask(&Build::query("works.example", A));
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(daemon.log().matches("2001:db8::1").count(), 2, "{}", daemon.log());
    });
}
