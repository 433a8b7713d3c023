//! Upstreams that are no equals: the first knows names that the second denies.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::kit::namespace::{Namespace, with_resolv_conf};
use super::kit::*;

/// Knows every name, after a while.
fn knows(asked: &Asked) -> Vec<Act> {
    vec![
        Act::Wait(Duration::from_millis(30)),
        Act::Send(asked.good()),
    ]
}

/// Denies every name at once.
fn denies(asked: &Asked) -> Vec<Act> {
    let denial = asked.reply().rcode(NXDOMAIN);
    vec![Act::Send(
        denial.authority(soa("example", 600, 600)).bytes(),
    )]
}

fn asks(daemon: &Daemon, name: &str) -> Message {
    Stub::new(daemon.dns()).ask(&Build::query(name, A).edns(Edns::new(1232)))
}

#[test]
fn what_a_later_upstream_denies_is_not_the_last_word() {
    for (tables, keys) in [
        ("[routing]\npolicy = \"ordered\"\n", ""),
        ("", "backup = true"),
    ] {
        // Hedges as early as they may be, so that the second is asked too.
        let hasty = match tables {
            "" => "[routing]\nhedge-max = \"5ms\"\n".to_owned(),
            tables => format!("{tables}hedge-max = \"5ms\"\n"),
        };
        let (first, second) = (Upstream::new(knows), Upstream::new(denies));
        let daemon = Setup::bare()
            .upstream(first.address, "")
            .upstream(second.address, keys)
            .tables(&hasty)
            .start();
        for round in 0..2 {
            for number in 0..12 {
                let reply = asks(&daemon, &format!("intra{number}.example"));
                assert_eq!(reply.rcode(), NOERROR, "{round} {number} {keys}: {reply:?}");
                assert_eq!(reply.answers.len(), 1);
            }
        }
        assert!(!second.asked().is_empty());
    }
}

#[test]
fn it_counts_while_the_first_is_gone_and_no_longer() {
    let (first, second) = (Upstream::silent(), Upstream::new(denies));
    let daemon = Setup::to(&[&first, &second])
        .tables("[routing]\npolicy = \"ordered\"\nreturn-within = \"1s\"\n")
        .start();
    let reply = asks(&daemon, "intra.example");
    assert_eq!(reply.rcode(), NXDOMAIN, "{reply:?}");
    let soa = reply.authorities.first().expect("its SOA");
    assert!(soa.ttl <= 5, "{reply:?}");
    // The first is back: what the second denied is forgotten soon.
    first.now(|asked| vec![Act::Send(asked.good())]);
    eventually("the first is believed again", || {
        asks(&daemon, "intra.example").rcode() == NOERROR
    });
    assert_eq!(asks(&daemon, "intra.example").rcode(), NOERROR);
}

#[test]
fn what_is_known_is_not_lost_to_a_later_upstreams_denial() {
    let brief = |asked: &Asked| asked.reply().answer(a(&asked.name(), 1, [10, 0, 0, 1]));
    let (first, second) = (Upstream::saying(brief), Upstream::new(denies));
    let daemon = Setup::to(&[&first, &second])
        .tables("[routing]\npolicy = \"ordered\"\n")
        .start();
    assert_eq!(asks(&daemon, "intra.example").rcode(), NOERROR);
    first.now(|_| Vec::new());
    thread::sleep(Duration::from_millis(1_200));
    for _ in 0..5 {
        let reply = asks(&daemon, "intra.example");
        assert_eq!(
            (reply.rcode(), reply.edes()),
            (NOERROR, vec![3]),
            "{reply:?}"
        );
    }
    assert_eq!(asks(&daemon, "other.example").rcode(), NXDOMAIN);
}

#[test]
fn the_order_of_resolv_conf_is_kept() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        let at = |last, way: fn(&Asked) -> Vec<Act>| {
            let address: SocketAddr = (Ipv4Addr::new(127, 0, 1, last), 53).into();
            Upstream::at(address, Hears::Both, way).expect("port 53")
        };
        let (_first, _second) = (at(1, knows), at(2, denies));
        let folder = tempfile::tempdir().expect("a folder");
        let resolv_conf = folder.path().join("resolv.conf");
        let text = "nameserver 127.0.1.1\nnameserver 127.0.1.2\n";
        fs::write(&resolv_conf, text).expect("written");
        let words = with_resolv_conf(&resolv_conf);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([env!("CARGO_BIN_EXE_byway"), "run"]);
        let daemon = Daemon::spawn(command, Some(folder));
        assert!(
            daemon.log().contains("/etc/resolv.conf"),
            "{}",
            daemon.log()
        );
        for number in 0..12 {
            let reply = asks(&daemon, &format!("intra{number}.example"));
            assert_eq!(reply.rcode(), NOERROR, "{number}: {reply:?}");
        }
    });
}
