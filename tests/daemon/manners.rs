//! Upstreams that cannot bear something of the way they are asked, and packets that only look like it.

use super::kit::*;

type Refusal = fn(&Asked) -> Build;

const PATIENT: &str = "[routing]\ndeadline = \"30s\"";

fn is_mixed(asked: &Asked) -> bool {
    let name = asked.name();
    name.bytes().any(|octet| octet.is_ascii_uppercase())
}

fn good(asked: &Asked) -> Vec<Act> {
    vec![Act::Send(asked.good())]
}

/// Asks for each name; every one is answered.
fn resolves(daemon: &Daemon, names: &[&str]) {
    let stub = Stub::new(daemon.dns());
    for name in names {
        let reply = stub.ask(&Build::query(name, A));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 1),
            "{name}: {reply:?}"
        );
    }
}

/// How often a name was asked for with EDNS, and without.
fn dressed(upstream: &Upstream, name: &str) -> (usize, usize) {
    let asked = upstream.asked_for(name);
    let with = asked.iter().filter(|asked| asked.edns.is_some()).count();
    (with, asked.len() - with)
}

#[test]
fn what_one_name_gets_ends_edns_for_nobody() {
    for header_only in [false, true] {
        for rcode in [FORMERR, NOTIMP, BADVERS] {
            let upstream = Upstream::new(move |asked| {
                if asked.edns.is_none() || !asked.lower().starts_with("odd") {
                    return good(asked);
                }
                let reply = match header_only {
                    true => asked.reply().without_question(),
                    false => asked.reply(),
                };
                let reply = match rcode {
                    BADVERS => reply.rcode(rcode).edns(Edns::new(512)),
                    _ => reply.rcode(rcode),
                };
                vec![Act::Send(reply.bytes())]
            });
            let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
            resolves(&daemon, &["odd.example.", "well1.example."]);
            assert_eq!(dressed(&upstream, "odd.example."), (1, 1), "{rcode}");
            assert_eq!(dressed(&upstream, "well1.example."), (1, 0), "{rcode}");
            // Known to speak EDNS now: two odd names end it no more than one.
            let stub = Stub::new(daemon.dns());
            for name in ["odd2.example", "odd3.example"] {
                stub.ask(&Build::query(name, A));
            }
            resolves(&daemon, &["well2.example."]);
            let query = Build::query("well3.example", A).edns(Edns::new(1232).dnssec());
            stub.ask(&query);
            let asked = upstream.asked_for("well3.example.");
            let do_bit = |asked: &Asked| asked.edns.as_ref().is_some_and(Edns::dnssec_ok);
            assert!(asked.iter().all(do_bit) && !asked.is_empty(), "{asked:?}");
        }
    }
}

#[test]
fn edns_is_refused_in_many_ways() {
    let ways: [(&str, Refusal); 3] = [
        ("SERVFAIL", |asked| asked.reply().rcode(SERVFAIL)),
        ("FORMERR", |asked| asked.reply().rcode(FORMERR)),
        ("FORMERR with an OPT", |asked| {
            asked.reply().rcode(FORMERR).edns(Edns::new(512))
        }),
    ];
    for (what, refuse) in ways {
        let upstream = Upstream::saying(move |asked| match asked.edns {
            Some(_) => refuse(asked),
            None => asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 1])),
        });
        let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
        let names = [
            "one.example.",
            "two.example.",
            "three.example.",
            "four.example.",
        ];
        resolves(&daemon, &names);
        assert_eq!(dressed(&upstream, "three.example."), (0, 1), "{what}");
        assert_eq!(dressed(&upstream, "four.example."), (0, 1), "{what}");
        eventually("it is said", || {
            daemon.log().contains("does not understand EDNS")
        });
        // For DNSSEC records it is tried all the same, and the first answer ends it.
        upstream.now(good);
        let query = Build::query("five.example", A).edns(Edns::new(1232).dnssec());
        Stub::new(daemon.dns()).ask(&query);
        resolves(&daemon, &["six.example."]);
        assert_eq!(dressed(&upstream, "six.example."), (1, 0), "{what}");
    }
}

#[test]
fn an_upstream_that_drops_edns_is_asked_without() {
    let upstream = Upstream::new(|asked| match asked.edns {
        Some(_) => Vec::new(),
        None => good(asked),
    });
    let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
    resolves(&daemon, &["one.example.", "two.example.", "three.example."]);
    assert_eq!(dressed(&upstream, "three.example."), (0, 1));
}

#[test]
fn failing_names_are_not_asked_without_edns_where_it_is_spoken() {
    let upstream = Upstream::new(|asked| match asked.lower().starts_with("bogus") {
        true => vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())],
        false => good(asked),
    });
    let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
    resolves(&daemon, &["well.example."]);
    let stub = Stub::new(daemon.dns());
    for number in 0..5 {
        let name = format!("bogus{number}.example.");
        assert_eq!(stub.ask(&Build::query(&name, A)).rcode(), SERVFAIL);
        let (with, without) = dressed(&upstream, &name);
        assert_eq!(without, 0);
        assert!(with <= 2, "once more in plain case, no more: {with}");
    }
}

#[test]
fn a_near_miss_raises_the_guard_and_does_not_lower_it() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
    resolves(&daemon, &["well.example."]);
    upstream.now(|asked| {
        let mut forged = asked.question.clone();
        let letters = forged.len() - 4;
        for octet in &mut forged[..letters] {
            if octet.is_ascii_alphabetic() {
                *octet ^= 0x20;
            }
        }
        let forged = asked.reply().question(forged);
        let forged = forged
            .answer(a(&asked.name(), 86_400, [6, 6, 6, 6]))
            .bytes();
        match asked.tcp {
            true => good(asked),
            false => vec![Act::Send(forged)],
        }
    });
    let stub = Stub::new(daemon.dns());
    for number in 0..5 {
        let name = format!("a-name-that-is-guessed-at-{number}.example.");
        let reply = stub.ask(&Build::query(&name, A));
        assert_ne!(reply.addresses(), ["6.6.6.6"], "{reply:?}");
        assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
        let asked = upstream.asked_for(&name);
        assert!(asked.iter().any(|asked| asked.tcp), "{asked:?}");
        assert!(asked.iter().all(is_mixed), "{asked:?}");
    }
    let misses = daemon.metric("byway_mismatched_responses_total", &[("reason", "case")]);
    assert!(misses >= 5.0, "{misses}");
    eventually("it is said", || {
        daemon.log().contains("somebody may be guessing")
    });
    assert!(
        !daemon.log().contains("asked in plain case"),
        "{}",
        daemon.log()
    );
}

#[test]
fn an_upstream_that_changes_names_is_known_after_three() {
    for hears in [Hears::Both, Hears::OnlyUdp] {
        let upstream = Upstream::hearing(hears, |asked| {
            let reply = asked.reply().question(asked.question.to_ascii_lowercase());
            vec![Act::Send(
                reply.answer(a(&asked.lower(), 60, [192, 0, 2, 1])).bytes(),
            )]
        });
        let daemon = Setup::to(&[&upstream]).tables(PATIENT).start();
        let names = [
            "a-name-of-many-letters.one.example.",
            "a-name-of-many-letters.two.example.",
            "a-name-of-many-letters.three.example.",
            "a-name-of-many-letters.four.example.",
        ];
        resolves(&daemon, &names);
        let last = upstream.asked_for(names[3]);
        assert!(
            last.len() == 1 && !is_mixed(&last[0]),
            "{hears:?}: {last:?}"
        );
        eventually("it is said", || {
            daemon.log().contains("asked in plain case")
        });
    }
}

#[test]
fn names_whose_servers_fail_in_mixed_case_resolve() {
    let ways: [(&str, Way); 4] = [
        ("NXDOMAIN", |asked| {
            vec![Act::Send(asked.reply().rcode(NXDOMAIN).bytes())]
        }),
        ("SERVFAIL", |asked| {
            vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]
        }),
        ("REFUSED", |asked| {
            vec![Act::Send(asked.reply().rcode(REFUSED).bytes())]
        }),
        ("silence", |_| Vec::new()),
    ];
    for (what, fail) in ways {
        let way = move |asked: &Asked| match is_mixed(asked) && asked.lower().contains("broken") {
            true => fail(asked),
            false => good(asked),
        };
        let [one, other] = [Upstream::new(way), Upstream::new(way)];
        let alone = Setup::to(&[&one]).tables(PATIENT).start();
        resolves(
            &alone,
            &["well.example.", "a-name-of-many-letters.broken.example."],
        );
        // Known of the zone after two names at the latest.
        let (second, third) = (
            "second-of-letters.broken.example.",
            "third-of-letters.broken.example.",
        );
        resolves(&alone, &[second, third]);
        assert!(!one.asked_for(third).iter().any(is_mixed), "{what}");
        let both = Setup::to(&[&one, &other]).tables(PATIENT).start();
        resolves(
            &both,
            &["well.example.", "other-name-of-letters.broken.example."],
        );
        let stub = Stub::new(both.dns());
        let query = Build::query("still-random-of-many-letters.example", A);
        stub.ask(&query);
        let last = [one.asked(), other.asked()].concat();
        let of = |asked: &&Asked| asked.lower().starts_with("still-random");
        assert!(last.iter().filter(of).all(is_mixed), "{what}");
    }
}

#[test]
fn a_type_that_one_upstream_does_not_answer_goes_to_the_other() {
    let ways: [(&str, Way); 1] = [("NOTIMP", |asked| {
        vec![Act::Send(asked.reply().rcode(NOTIMP).bytes())]
    })];
    for (what, fail) in ways {
        let picky = Upstream::new(move |asked| match asked.rtype() {
            AAAA => fail(asked),
            _ => good(asked),
        });
        let other = Upstream::good();
        let daemon = Setup::to(&[&picky, &other])
            .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"1s\"")
            .start();
        let stub = Stub::new(daemon.dns());
        let mut number = 0;
        let mut ask = |rtype| {
            number += 1;
            let name = format!("name{number}.example.");
            let reply = stub.ask(&Build::query(&name, rtype));
            assert_eq!(reply.rcode(), NOERROR, "{what}: {reply:?}");
            picky.asked_for(&name).len()
        };
        // Known after three names. What other types get says nothing of that.
        eventually("others are asked first", || {
            ask(A);
            ask(AAAA) == 0
        });
        assert_eq!(
            ask(A),
            1,
            "{what}: it is still the first for what it answers"
        );
        let log = daemon.log();
        assert!(
            !log.contains("sick") && !log.contains("dead"),
            "{what}: {log}"
        );
    }
}
