//! Answers to who may be somebody else, and the cookies that prove that it is not (RFC 7873, RFC 9018).

use std::net::{IpAddr, Ipv4Addr};

use super::kit::daemon::{run, stderr};
use super::kit::*;

const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const BADCOOKIE: u16 = 23;
const CLIENT: [u8; 8] = [7; 8];

/// Clients on this host count as any others: one answer a second over UDP.
const FEW: &str = "exempt-clients = []\nudp-answers-per-client = 1";

fn limits(more: &str) -> String {
    format!("[limits]\n{FEW}\n{more}\n")
}

fn with_cookie(name: &str, cookie: &[u8]) -> Build {
    Build::query(name, A).edns(Edns::new(1232).option(COOKIE, cookie))
}

fn option(reply: &Message, code: u16) -> Option<Vec<u8>> {
    let edns = reply.edns.as_ref()?;
    let found = edns.options.iter().find(|(it, _)| *it == code)?;
    Some(found.1.clone())
}

fn rcode(reply: &Message) -> u16 {
    let high = reply.edns.as_ref().map_or(0, |edns| edns.rcode_high);
    u16::from(high) << 4 | reply.flags & 15
}

#[test]
fn over_its_rate_a_client_is_sent_to_tcp_and_others_are_not() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(&limits("")).start();
    let stub = Stub::from(Ipv4Addr::new(127, 0, 0, 2).into(), daemon.dns());
    let known = Build::query("known.example", A);
    let mut short = 0;
    eventually("an answer is cut off", || {
        let reply = stub.ask(&known);
        assert_eq!(rcode(&reply), NOERROR);
        let is_short = reply.has(TC);
        assert_eq!(is_short, reply.answers.is_empty(), "{reply:?}");
        assert!(!is_short || reply.bytes.len() <= known.bytes().len());
        short += u64::from(is_short);
        short >= 5
    });
    let mut connection = Connection::from(stub_address(&stub), daemon.dns(), false).expect("TCP");
    for _ in 0..20 {
        assert_eq!(connection.ask(&known).answers.len(), 1);
    }
    let other = Stub::from(Ipv4Addr::new(127, 0, 0, 3).into(), daemon.dns());
    assert_eq!(other.ask(&known).answers.len(), 1);
    let met = [("limit", "udp-answers-per-client"), ("client", "loopback")];
    daemon.expect_metric("byway_limit_reached_total", &met, short as f64);
    daemon.expect_metric("byway_dropped_total", &[("reason", "unproven")], 0.0);
}

fn stub_address(stub: &Stub) -> IpAddr {
    stub.socket.local_addr().expect("an address").ip()
}

#[test]
fn a_cookie_lifts_the_rate_for_who_has_it_and_for_nobody_else() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(&limits("")).start();
    let address = Ipv4Addr::new(127, 0, 0, 2).into();
    let stub = Stub::from(address, daemon.dns());
    let mut cookie = Vec::new();
    eventually("it is told to come back with its cookie", || {
        let reply = stub.ask(&with_cookie("known.example", &CLIENT));
        cookie = option(&reply, COOKIE).expect("a cookie in every answer");
        assert_eq!((cookie.len(), &cookie[..8]), (24, &CLIENT[..]));
        assert!(!reply.has(TC));
        rcode(&reply) == BADCOOKIE
    });
    for n in 0..50 {
        let reply = stub.ask(&with_cookie("known.example", &cookie));
        assert_eq!((rcode(&reply), reply.answers.len()), (NOERROR, 1), "{n}");
        assert_eq!(option(&reply, COOKIE), Some(cookie.clone()), "{n}");
    }
    // Errors have it, too; and another address has nothing of it.
    let refused = Build::query("known.example", 252).edns(Edns::new(1232).option(COOKIE, &cookie));
    let reply = stub.ask(&refused);
    assert_eq!(
        (rcode(&reply), option(&reply, COOKIE)),
        (REFUSED, Some(cookie.clone()))
    );
    let thief = Stub::from(Ipv4Addr::new(127, 0, 0, 3).into(), daemon.dns());
    eventually("it is not taken from another one", || {
        let reply = thief.ask(&with_cookie("known.example", &cookie));
        assert_ne!(option(&reply, COOKIE), Some(cookie.clone()));
        rcode(&reply) == BADCOOKIE
    });
}

#[test]
fn of_what_is_cut_off_one_in_so_many_is_sent() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables(&limits("slip = 10"))
        .one_worker()
        .start();
    let stub = Stub::from(Ipv4Addr::new(127, 0, 0, 2).into(), daemon.dns());
    let query = Build::query("known.example", A).bytes();
    let dropped = || daemon.metric("byway_dropped_total", &[("reason", "unproven")]);
    eventually("most are dropped", || {
        stub.send(&query);
        dropped() >= 90.0
    });
    let mut short = 0;
    while let Some((bytes, _)) = stub.receive_within(MOMENT) {
        let reply = Message::parse(&bytes).expect("a reply");
        short += u32::from(reply.has(TC));
    }
    assert!((9..=11).contains(&short), "{short} of {}", dropped());
}

#[test]
fn servers_with_the_same_secrets_take_each_others_cookies_and_a_reload_rolls_them_over() {
    let (old, new) = (
        "000102030405060708090a0b0c0d0e0f",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
    );
    let upstream = Upstream::good();
    let with = |secrets: &str| {
        let secrets = format!("cookie-secrets = [{secrets}]");
        Setup::to(&[&upstream]).tables(&limits(&secrets))
    };
    let first = with(&format!("\"{old}\"")).start();
    let second = with(&format!("\"{old}\", \"{new}\"")).start();
    let address = Ipv4Addr::new(127, 0, 0, 2).into();
    let ask = |daemon: &Daemon, cookie: &[u8]| {
        let stub = Stub::from(address, daemon.dns());
        let reply = stub.ask(&with_cookie("known.example", cookie));
        (rcode(&reply), option(&reply, COOKIE).expect("a cookie"))
    };
    let (_, cookie) = ask(&first, &CLIENT);
    for _ in 0..10 {
        assert_eq!(ask(&second, &cookie), (NOERROR, cookie.clone()));
    }
    // The new one is made with from now on, and the old one still taken.
    let rolled = with(&format!("\"{new}\", \"{old}\""));
    std::fs::write(second.folder().join("byway.toml"), rolled.text()).expect("written");
    let socket = second.folder().join("control.sock");
    let done = run(byway().arg("reload").arg("--socket").arg(socket));
    assert!(done.status.success(), "{}", stderr(&done));
    let mut renewed = Vec::new();
    for _ in 0..10 {
        let (rcode, cookie) = ask(&second, &cookie);
        assert_eq!(rcode, NOERROR);
        renewed = cookie;
    }
    assert_ne!(renewed, cookie);
    eventually("the first one does not know it", || {
        ask(&first, &renewed).0 == BADCOOKIE
    });
}

#[test]
fn a_cookie_of_no_possible_length_is_an_error() {
    let daemon = Setup::to(&[&Upstream::good()]).start();
    let stub = Stub::new(daemon.dns());
    for length in [0, 7, 9, 15, 41] {
        let reply = stub.ask(&with_cookie("a.example", &vec![1; length]));
        assert_eq!(rcode(&reply), FORMERR, "{length}");
    }
}

#[test]
fn a_connection_is_told_how_long_it_may_be_idle_if_it_asks() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-idle = \"7 s\"")
        .start();
    let query = Build::query("a.example", A).edns(Edns::new(1232).option(KEEPALIVE, &[]));
    let mut connection = Connection::new(daemon.dns());
    // Asked of an upstream, of the cache, and refused.
    for _ in 0..2 {
        let reply = connection.ask(&query);
        assert_eq!(option(&reply, KEEPALIVE), Some(vec![0, 70]));
    }
    let refused = Build::query("a.example", 252).edns(Edns::new(1232).option(KEEPALIVE, &[]));
    assert_eq!(
        option(&connection.ask(&refused), KEEPALIVE),
        Some(vec![0, 70])
    );
    let unasked = Build::query("a.example", A).edns(Edns::new(1232));
    assert_eq!(option(&connection.ask(&unasked), KEEPALIVE), None);
    let stub = Stub::new(daemon.dns());
    assert_eq!(
        option(&stub.ask(&query), KEEPALIVE),
        None,
        "of no use over UDP"
    );
}
