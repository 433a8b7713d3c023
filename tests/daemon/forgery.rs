//! Upstream datagrams that are not the answer (RFC 5452): ignored, counted, and never the end of the wait.

use std::collections::BTreeSet;

use super::kit::*;

/// What is wrong with a response, as the metrics call it, and how it is made from the right one.
type Forgery = (&'static str, fn(&Asked) -> Vec<u8>);

fn evil(asked: &Asked) -> Build {
    asked.reply().answer(a(&asked.name(), 86_400, [6, 6, 6, 6]))
}

fn other_question(asked: &Asked, name: &str, rtype: u16, class: u16) -> Vec<u8> {
    let question = Build::query(name, rtype).class(class).question;
    evil(asked).question(question).bytes()
}

const FORGERIES: &[Forgery] = &[
    ("id", |asked| evil(asked).id(asked.id ^ 1).bytes()),
    ("id", |asked| {
        evil(asked).id(asked.id.swap_bytes() ^ 0x100).bytes()
    }),
    ("question", |asked| {
        other_question(asked, "other.example", A, 1)
    }),
    ("question", |asked| {
        other_question(asked, &asked.name(), AAAA, 1)
    }),
    ("question", |asked| {
        other_question(asked, &asked.name(), A, 3)
    }),
    ("question", |asked| {
        other_question(asked, &format!("x{}", asked.name()), A, 1)
    }),
    ("question", |asked| evil(asked).without_question().bytes()),
    ("question", |asked| {
        let question = asked.question.repeat(2);
        evil(asked).questions(2).question(question).bytes()
    }),
    ("garbled", |asked| evil(asked).clear(QR).bytes()),
    ("garbled", |asked| evil(asked).opcode(4).bytes()),
    ("garbled", |asked| evil(asked).bytes()[..7].to_vec()),
    ("garbled", |_| vec![0]),
    ("garbled", |_| Vec::new()),
];

/// Matching responses that cannot be read to their end.
const GARBLED: &[fn(&Asked) -> Vec<u8>] = &[
    |asked| {
        let bytes = evil(asked).bytes();
        bytes[..bytes.len() - 1].to_vec()
    },
    |asked| {
        let mut bytes = asked.reply().bytes();
        bytes[7] = 1;
        bytes
    },
    |asked| {
        let mut bytes = asked.reply().bytes();
        bytes[6] = 0xff;
        bytes
    },
    |asked| {
        asked
            .reply()
            .answer(b"\xc0\xff\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00".to_vec())
            .bytes()
    },
    |asked| {
        asked
            .reply()
            .answer(full_record(b"\x41x\x00", A, 1, 60, &[6; 4]))
            .bytes()
    },
    |asked| {
        asked
            .reply()
            .answer(record(&asked.name(), CNAME, 60, b"\xc0\x0c\xc0"))
            .bytes()
    },
];

#[test]
fn a_forgery_before_the_answer_is_ignored_and_counted() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for (number, (reason, forge)) in FORGERIES.iter().enumerate() {
        let before = daemon.metric("byway_mismatched_responses_total", &[("reason", *reason)]);
        let forge = *forge;
        upstream.now(move |asked| {
            let forged = (0..5).map(|_| Act::Send(forge(asked)));
            forged.chain([Act::Send(asked.good())]).collect()
        });
        let name = format!("the-question-{number}.example.");
        let reply = stub.ask(&Build::query(&name, A));
        let [b0, b1, b2, b3] = address_of(&name);
        assert_eq!(
            reply.addresses(),
            [format!("{b0}.{b1}.{b2}.{b3}")],
            "{reason} {number}"
        );
        let after = daemon.metric("byway_mismatched_responses_total", &[("reason", *reason)]);
        assert!(
            after >= before + 5.0,
            "{reason} {number}: {before} then {after}"
        );
        assert_eq!(
            stub.ask(&Build::query(&name, A)).addresses(),
            reply.addresses()
        );
    }
}

#[test]
fn forgeries_without_an_answer_do_not_end_the_wait() {
    // Only forgeries from the first upstream; the second one answers.
    let (bad, good) = (Upstream::silent(), Upstream::good());
    for (number, (reason, forge)) in FORGERIES.iter().enumerate() {
        let forge = *forge;
        bad.now(move |asked| (0..3).map(|_| Act::Send(forge(asked))).collect());
        let daemon = Setup::to(&[&bad, &good])
            .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"30s\"")
            .start();
        let name = format!("wait{number}.example.");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!(reply.rcode(), NOERROR, "{reason} {number}: {reply:?}");
        assert_ne!(reply.addresses(), ["6.6.6.6"], "{reason} {number}");
    }
}

#[test]
fn a_response_that_cannot_be_read_is_not_believed() {
    let (bad, good) = (Upstream::silent(), Upstream::good());
    for (number, garble) in GARBLED.iter().enumerate() {
        let garble = *garble;
        bad.now(move |asked| vec![Act::Send(garble(asked))]);
        let daemon = Setup::to(&[&bad, &good])
            .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"30s\"")
            .start();
        let name = format!("garbled{number}.example.");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!(reply.rcode(), NOERROR, "{number}: {reply:?}");
        assert_ne!(reply.addresses(), ["6.6.6.6"], "{number}");
    }
}

#[test]
fn other_ports_are_not_listened_to() {
    let upstream = Upstream::new(|asked| {
        let forged = (0..20).map(|_| Act::SendFromElsewhere(evil(asked).bytes()));
        forged.chain([Act::Send(asked.good())]).collect()
    });
    let daemon = Daemon::to(&[&upstream]);
    for number in 0..10 {
        let name = format!("port{number}.example");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!(reply.answers.len(), 1);
        assert_ne!(reply.addresses(), ["6.6.6.6"]);
    }
}

#[test]
fn a_second_answer_changes_nothing() {
    let upstream = Upstream::new(|asked| {
        vec![
            Act::Send(asked.good()),
            Act::Send(evil(asked).bytes()),
            Act::Send(evil(asked).bytes()),
        ]
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..3 {
        let reply = stub.ask(&Build::query("second.example", A));
        assert_ne!(reply.addresses(), ["6.6.6.6"]);
    }
    eventually("late ones are counted", || {
        daemon.metric("byway_mismatched_responses_total", &[("reason", "id")]) > 0.0
    });
}

#[test]
fn what_comes_along_is_not_believed_of_other_names() {
    let upstream = Upstream::saying(|asked| {
        let reply = asked.reply();
        match asked.lower().as_str() {
            "victim.example." => reply.answer(a(&asked.name(), 60, [192, 0, 2, 1])),
            _ => reply
                .answer(a(&asked.name(), 60, [192, 0, 2, 2]))
                .answer(a("victim.example", 86_400, [6, 6, 6, 6]))
                .authority(record("example", NS, 86_400, &name("victim.example")))
                .additional(a("victim.example", 86_400, [6, 6, 6, 6])),
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    stub.ask(&Build::query("innocent.example", A));
    let reply = stub.ask(&Build::query("victim.example", A));
    assert_eq!(reply.addresses(), ["192.0.2.1"]);
}

#[test]
fn ports_identifiers_and_letter_case_cannot_be_foretold() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for number in 0..200 {
        stub.ask(&Build::query(
            &format!("unpredictable-question-{number}.example"),
            A,
        ));
    }
    let asked = upstream.asked();
    assert!(asked.len() >= 200);
    let ids: Vec<u16> = asked.iter().map(|asked| asked.id).collect();
    let ports: Vec<u16> = asked.iter().map(|asked| asked.from.port()).collect();
    for (what, values, distinct) in [("identifiers", &ids, 190), ("ports", &ports, 60)] {
        let different: BTreeSet<u16> = values.iter().copied().collect();
        assert!(
            different.len() >= distinct,
            "{what}: {} of 200 differ",
            different.len()
        );
        let (Some(low), Some(high)) = (different.first(), different.last()) else {
            unreachable!()
        };
        assert!(high - low > 40_000, "{what} lie between {low} and {high}");
        // Neither counted up nor down: the steps of 200 random numbers are not alike.
        let steps: BTreeSet<u16> = values
            .windows(2)
            .map(|pair| pair[1].wrapping_sub(pair[0]))
            .collect();
        assert!(steps.len() > 60, "{what} go by steps: {steps:?}");
        // Every bit is in use.
        for bit in 0..16 {
            let set = values.iter().filter(|value| *value >> bit & 1 == 1).count();
            assert!((30..=170).contains(&set), "{what}, bit {bit}: {set}");
        }
    }
    assert!(ports.iter().all(|port| *port >= 1024));
    let upper = |asked: &Asked| asked.name().bytes().filter(u8::is_ascii_uppercase).count();
    let letters: usize = asked
        .iter()
        .map(|asked| asked.name().bytes().filter(u8::is_ascii_alphabetic).count())
        .sum();
    let upper: usize = asked.iter().map(upper).sum();
    assert!(
        upper * 3 > letters && upper * 3 < letters * 2,
        "{upper} of {letters} are upper case"
    );
}

#[test]
fn questions_in_flight_together_are_as_hard_to_guess() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    for number in 0..12 {
        stub.send(
            &Build::query(&format!("together{number}.example"), A)
                .id(number)
                .bytes(),
        );
    }
    let names = || {
        upstream
            .asked()
            .iter()
            .map(|asked| asked.lower())
            .collect::<BTreeSet<_>>()
    };
    eventually("all are asked", || names().len() == 12);
    let asked = upstream.asked();
    let pairs: BTreeSet<(u16, u16)> = asked
        .iter()
        .map(|asked| (asked.from.port(), asked.id))
        .collect();
    assert_eq!(pairs.len(), asked.len(), "no two share port and identifier");
    let ids: BTreeSet<u16> = asked.iter().map(|asked| asked.id).collect();
    assert!(ids.len() > 10, "{} identifiers", ids.len());
    gate.open();
    for _ in 0..12 {
        assert_eq!(stub.receive().rcode(), NOERROR);
    }
}

#[test]
fn an_upstream_that_lowers_letters_is_understood() {
    let upstream = Upstream::saying(|asked| {
        let question = asked.question.to_ascii_lowercase();
        asked
            .reply()
            .question(question)
            .answer(a(&asked.lower(), 60, [192, 0, 2, 1]))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for number in 0..20 {
        let query = Build::query(&format!("Lower-Case-Letters-{number}.Example"), A);
        let reply = stub.ask(&query);
        assert_eq!(reply.addresses(), ["192.0.2.1"]);
        assert_eq!(reply.question, query.question);
    }
}

/// Behind one address may be servers that keep the letter case and servers that do not.
#[test]
fn a_server_that_stops_keeping_the_letter_case() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    upstream.now(|asked| {
        let question = asked.question.to_ascii_lowercase();
        let reply = asked.reply().question(question);
        vec![Act::Send(
            reply.answer(a(&asked.lower(), 60, [192, 0, 2, 1])).bytes(),
        )]
    });
    // Over TCP nobody but the upstream can have changed it.
    for number in 0..5 {
        let name = format!("a-name-of-many-letters-{number}.example");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
    }
    assert!(daemon.metric("byway_mismatched_responses_total", &[("reason", "case")]) >= 1.0);
}
