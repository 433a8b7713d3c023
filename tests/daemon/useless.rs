//! Answers that answer nothing: NOERROR on the face of it. They are not the last word while another
//! upstream can be asked, and nobody waits for what will not come.

use super::kit::*;

/// In the order of the file, with more time than any test takes.
const ORDERED: &str = "[routing]\npolicy = \"ordered\"\ndeadline = \"60s\"";

/// What a server says, and how.
type Saying = (&'static str, fn(&Asked) -> Build);

/// Answers to a question with RD that a server gives which does not serve the name.
const LAME: &[Saying] = &[
    ("nothing, and no recursion", |asked| asked.reply().clear(RA)),
    ("a referral", |asked| {
        asked
            .reply()
            .clear(RA)
            .authority(record("example", NS, 300, &name("ns1.example")))
            .additional(a("ns1.example", 300, [192, 0, 2, 53]))
    }),
    ("a referral to the root", |asked| {
        asked
            .reply()
            .authority(record(".", NS, 300, &name("a.root-servers.net")))
    }),
    ("another name's record", |asked| {
        asked.reply().answer(a("other.test", 60, [6, 6, 6, 6]))
    }),
    ("another type", |asked| {
        let owner = asked.name();
        asked.reply().answer(record(&owner, TXT, 60, b"\x01x"))
    }),
];

#[test]
fn another_upstream_is_asked_after_a_lame_answer() {
    for (what, lame) in LAME {
        let (lame, good) = (Upstream::saying(*lame), Upstream::good());
        let daemon = Setup::to(&[&lame, &good]).tables(ORDERED).start();
        let stub = Stub::new(daemon.dns());
        for number in 0..3 {
            let name = format!("n{number}.lame.example.");
            let reply = stub.ask(&Build::query(&name, A));
            let address = address_of(&name).map(|octet| octet.to_string()).join(".");
            assert_eq!(reply.addresses(), [address], "{what}: {reply:?}");
        }
        let outcome = [("outcome", "lame"), ("upstream", "u0")];
        assert!(
            daemon.metric("byway_attempts_total", &outcome) >= 1.0,
            "{what}"
        );
    }
}

#[test]
fn a_lame_answer_for_want_of_a_better_one_is_a_failure() {
    for (what, lame) in LAME {
        let upstream = Upstream::saying(*lame);
        let daemon = Setup::to(&[&upstream]).tables(ORDERED).start();
        let query = Build::query("lame.example", A).edns(Edns::new(1232));
        let reply = Stub::new(daemon.dns()).ask(&query);
        assert_eq!(reply.rcode(), SERVFAIL, "{what}: {reply:?}");
        assert!(!reply.edes().is_empty(), "{what}: it says why");
        // Without RD it is what was asked for.
        let query = Build::query("without.example", A).clear(RD);
        let reply = Stub::new(daemon.dns()).ask(&query);
        assert_eq!(reply.rcode(), NOERROR, "{what}: {reply:?}");
    }
}

#[test]
fn no_data_without_an_soa_is_no_failure() {
    // A forwarder that strips the authority section, and a server that is authoritative and nothing else.
    let bare: [fn(&Asked) -> Build; 2] = [
        |asked| asked.reply(),
        |asked| asked.reply().clear(RA).set(AA),
    ];
    for build in bare {
        let upstream = Upstream::saying(build);
        let daemon = Daemon::to(&[&upstream]);
        let reply = Stub::new(daemon.dns()).ask(&Build::query("bare.example", A));
        assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 0));
        daemon.expect_questions(1);
    }
}

#[test]
fn another_upstream_is_asked_for_the_end_of_a_chain() {
    let half = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(cname(&asked.name(), 300, "end.example"))
    });
    let whole = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(cname(&asked.name(), 300, "end.example"))
            .answer(a("end.example", 300, [192, 0, 2, 7]))
    });
    let daemon = Setup::to(&[&half, &whole]).tables(ORDERED).start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query("chain.example", A));
        assert_eq!(reply.addresses(), ["192.0.2.7"], "{reply:?}");
    }
    let outcome = [("outcome", "unfinished"), ("upstream", "u0")];
    assert!(daemon.metric("byway_attempts_total", &outcome) >= 1.0);
}

#[test]
fn what_cannot_be_read_is_known_for_useless_at_once() {
    let upstream = Upstream::new(|asked| {
        // An address of three octets.
        let owner = asked.name();
        let bytes = asked.reply().answer(record(&owner, A, 60, &[6, 6, 6]));
        vec![Act::Send(bytes.bytes())]
    });
    let daemon = Setup::to(&[&upstream]).tables(ORDERED).start();
    let query = Build::query("garbled.example", A).edns(Edns::new(1232));
    // The deadline lies beyond this test's patience.
    let reply = Stub::new(daemon.dns()).ask(&query);
    assert_eq!(reply.rcode(), SERVFAIL, "{reply:?}");
    assert!(!reply.edes().is_empty());
    let outcome = [("outcome", "garbled"), ("upstream", "u0")];
    assert!(daemon.metric("byway_attempts_total", &outcome) >= 1.0);
}

#[test]
fn what_cannot_be_read_and_may_be_anybodys_ends_nothing() {
    let upstream = Upstream::new(|asked| {
        let owner = asked.name();
        let bad = asked.reply().answer(record(&owner, A, 60, &[6, 6, 6]));
        let elsewhere = Build::query("other.example", A).question;
        vec![
            Act::Send(bad.clone().question(elsewhere).bytes()),
            Act::Send(bad.clone().without_question().bytes()),
            Act::Send(bad.clone().id(asked.id ^ 1).bytes()),
            Act::Send(asked.good()),
        ]
    });
    let daemon = Setup::to(&[&upstream]).tables(ORDERED).start();
    for number in 0..3 {
        let name = format!("n{number}.guessed.example.");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
        assert_ne!(reply.addresses(), ["6.6.6.6"]);
    }
}
