//! Addresses for hosts without IPv4 (RFC 6147).

use super::kit::*;

/// Names with IPv4 addresses alone, one with both, an alias, and what does not exist.
fn upstream() -> Upstream {
    Upstream::saying(|asked| {
        let (name, reply) = (asked.lower(), asked.reply());
        let none = soa("example", 60, 60);
        match (name.as_str(), asked.rtype()) {
            ("gone.example.", _) => reply.rcode(NXDOMAIN).authority(none),
            ("six.example.", AAAA) => reply.answer(record(&asked.name(), AAAA, 300, &[0x20; 16])),
            ("mapped.example.", AAAA) => {
                let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 9];
                reply.answer(record(&asked.name(), AAAA, 300, &mapped))
            }
            ("alias.example.", A) => reply
                .answer(cname(&asked.name(), 300, "four.example"))
                .answer(a("four.example", 300, [192, 0, 3, 1])),
            ("alias.example.", AAAA) => reply
                .answer(cname(&asked.name(), 300, "four.example"))
                .authority(none),
            ("private.example.", A) => reply.answer(a(&asked.name(), 300, [10, 0, 0, 1])),
            ("1.3.0.192.in-addr.arpa.", 12) => {
                reply.answer(record(&asked.name(), 12, 300, &name_of("four.example")))
            }
            (_, A) => reply.answer(a(&asked.name(), 300, [192, 0, 3, 1])),
            _ => reply.authority(none),
        }
    })
}

fn name_of(text: &str) -> Vec<u8> {
    name(text)
}

fn query(name: &str, record_type: u16) -> Build {
    Build::query(name, record_type).edns(Edns::new(1232))
}

const MADE: &str = "64:ff9b::c000:301";

#[test]
fn a_name_without_ipv6_addresses_gets_some() {
    let upstream = upstream();
    let daemon = Setup::to(&[&upstream])
        .tables("[dns64]\nprefix = \"64:ff9b::/96\"")
        .start();
    let stub = Stub::new(daemon.dns());
    for round in 0..2 {
        let reply = stub.ask(&query("four.example", AAAA));
        assert_eq!(
            (reply.addresses(), reply.edes()),
            (vec![MADE.into()], vec![29]),
            "{round}"
        );
        assert!(reply.ttl() <= 60, "no longer than there are none");
    }
    assert_eq!(
        upstream.asked_for("four.example.").len(),
        2,
        "the second time from the cache"
    );
    let reply = stub.ask(&query("alias.example", AAAA));
    assert_eq!(
        (reply.answers.len(), reply.addresses()),
        (2, vec![MADE.into()]),
        "{reply:?}"
    );
    let reply = stub.ask(&query("mapped.example", AAAA));
    assert_eq!(reply.addresses(), [MADE]);
    // What exists, what does not, and what must not be translated.
    let reply = stub.ask(&query("six.example", AAAA));
    assert_eq!((reply.addresses().len(), reply.edes()), (1, vec![]));
    assert_ne!(reply.addresses(), [MADE]);
    assert_eq!(stub.ask(&query("gone.example", AAAA)).rcode(), NXDOMAIN);
    let reply = stub.ask(&query("private.example", AAAA));
    assert_eq!(
        (reply.rcode(), reply.answers.len(), reply.authorities.len()),
        (NOERROR, 0, 1)
    );
    assert_eq!(stub.ask(&query("four.example", 16)).answers.len(), 0);
    // Who checks signatures by itself.
    let validating = query("check.example", AAAA)
        .edns(Edns::new(1232).dnssec())
        .set(CD);
    assert_eq!(stub.ask(&validating).answers.len(), 0);
    // An address that is known already is not asked for again.
    stub.ask(&query("both.example", A));
    assert_eq!(stub.ask(&query("both.example", AAAA)).addresses(), [MADE]);
    assert_eq!(upstream.asked_for("both.example.").len(), 2);
}

#[test]
fn reverse_names_and_the_name_that_tells_of_the_prefix_follow_it() {
    let upstream = upstream();
    let daemon = Setup::to(&[&upstream])
        .tables("[dns64]\nprefix = \"64:ff9b::/96\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let reverse = "1.0.3.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";
    let reply = stub.ask(&query(reverse, 12));
    assert_eq!(
        (reply.rcode(), reply.answers.len()),
        (NOERROR, 2),
        "{reply:?}"
    );
    assert_eq!(text(&reply.answers[1].data), "four.example.");
    let reply = stub.ask(&query("ipv4only.arpa", AAAA));
    assert_eq!(reply.addresses(), ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]);
    assert_eq!(upstream.asked_for("ipv4only.arpa.").len(), 0);
    let daemon = Setup::to(&[&upstream]).start();
    let stub = Stub::new(daemon.dns());
    assert_eq!(stub.ask(&query("four.example", AAAA)).answers.len(), 0);
    assert_eq!(stub.ask(&query(reverse, 12)).answers.len(), 0);
}

#[test]
fn a_reload_changes_what_is_made_and_forgets_what_was() {
    let upstream = upstream();
    let setup = |table: &str| Setup::to(&[&upstream]).tables(table);
    let daemon = setup("").start();
    let stub = Stub::new(daemon.dns());
    let made = || stub.ask(&query("four.example", AAAA)).addresses();
    let reload = |setup: Setup| {
        std::fs::write(daemon.folder().join("byway.toml"), setup.text()).expect("written");
        let socket = daemon.folder().join("control.sock");
        let done = super::kit::daemon::run(byway().args(["reload", "--socket"]).arg(socket));
        let done = super::kit::daemon::stdout(&done);
        assert!(
            done.contains("[dns64] prefix") && !done.contains("restart"),
            "{done}"
        );
    };
    assert!(made().is_empty());
    reload(setup("[dns64]\nprefix = \"64:ff9b::/96\""));
    assert_eq!(made(), [MADE]);
    reload(setup("[dns64]\nprefix = \"2001:db8:64::/96\""));
    assert_eq!(made(), ["2001:db8:64::c000:301"]);
    let known = stub.ask(&query("six.example", AAAA)).addresses();
    assert_eq!(known, ["2020:2020:2020:2020:2020:2020:2020:2020"]);
    reload(setup(""));
    assert!(made().is_empty());
}
