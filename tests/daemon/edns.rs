//! EDNS(0) towards clients (RFC 6891), and what DO, CD and AD mean.

use super::kit::*;

#[test]
fn opt_comes_back_if_and_only_if_it_was_sent() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for name in ["fresh.example", "fresh.example"] {
        let reply = stub.ask(&Build::query(name, A));
        assert!(reply.edns.is_none(), "{reply:?}");
        for payload in [0, 511, 512, 1232, 4096, 65535] {
            let reply = stub.ask(&Build::query(name, A).edns(Edns::new(payload)));
            let edns = reply.edns.expect("an OPT record");
            assert_eq!(edns.payload, 1232, "what byway takes");
            assert_eq!(edns.options, [], "nothing that was not asked for");
        }
    }
    // In what byway makes itself, too.
    for query in [
        Build::query("x.example", AXFR),
        Build::query("x.example", A).class(3),
    ] {
        assert!(
            stub.ask(&query.clone().edns(Edns::new(1232)))
                .edns
                .is_some()
        );
        assert!(stub.ask(&query).edns.is_none());
    }
}

#[test]
fn later_versions_are_told_that_this_is_version_0() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for version in [1, 2, 100, 255] {
        for edns in [
            Edns::new(1232).version(version),
            Edns::new(1232).version(version).dnssec(),
            Edns::new(1232).version(version).option(65001, b"option"),
        ] {
            let reply = stub.ask(&Build::query("version.example", A).edns(edns));
            assert_eq!(reply.rcode(), BADVERS, "{reply:?}");
            assert!(reply.answers.is_empty());
        }
    }
    assert!(upstream.asked_for("version.example.").is_empty());
}

#[test]
fn unknown_options_and_flags_are_ignored() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let edns = Edns::new(1232);
    for edns in [
        edns.clone().option(65001, b"anything"),
        edns.clone().option(3, b""),
        edns.clone().option(8, b"\x00\x01\x18\x00\xc0\x00\x02"),
        edns.clone().option(12, &[0; 200]),
        edns.clone()
            .option(0, b"")
            .option(0, b"")
            .option(65535, b"x"),
        Edns {
            flags: 0x7fff,
            ..edns.clone()
        },
        Edns {
            rcode_high: 0xff,
            ..edns.clone()
        },
    ] {
        let reply = stub.ask(&Build::query("option.example", A).edns(edns.clone()));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 1),
            "{edns:?}"
        );
        let answered = reply.edns.expect("an OPT record");
        assert_eq!(answered.options, [], "nothing is echoed");
        assert_eq!(answered.flags, 0, "unknown flags are zero");
    }
    for asked in upstream.asked_for("option.example.") {
        let edns = asked.edns.clone().expect("byway speaks EDNS");
        assert_eq!((edns.flags, edns.version, edns.rcode_high), (0, 0, 0));
        assert!(
            !edns
                .options
                .iter()
                .any(|(code, _)| [8, 10, 12, 65001].contains(code)),
            "{edns:?}"
        );
    }
}

#[test]
fn malformed_edns_is_a_format_error() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("malformed.example", A);
    let opt = Edns::new(1232).bytes();
    let named = full_record(&name("opt.example"), OPT, 1232, 0, b"");
    let odd = |data: &[u8]| full_record(&[0], OPT, 1232, 0, data);
    for (what, query) in [
        (
            "two",
            query
                .clone()
                .additional(opt.clone())
                .additional(opt.clone()),
        ),
        (
            "one and another version",
            query
                .clone()
                .additional(opt.clone())
                .edns(Edns::new(512).version(1)),
        ),
        ("in the answer section", query.clone().answer(opt.clone())),
        (
            "in the authority section",
            query.clone().authority(opt.clone()),
        ),
        ("with an owner", query.clone().additional(named)),
        (
            "an option beyond the end",
            query.clone().additional(odd(&[0, 10, 0, 9, 1])),
        ),
        (
            "half an option header",
            query.clone().additional(odd(&[0, 10, 0])),
        ),
        (
            "an octet too many",
            query.clone().additional(odd(&[0, 10, 0, 1, 7, 7])),
        ),
    ] {
        stub.send(&query.bytes());
        let reply = stub.receive();
        assert_eq!(
            (reply.id, reply.rcode()),
            (query.id, FORMERR),
            "{what}: {reply:?}"
        );
        assert!(
            reply.edns.is_some(),
            "{what}: the client speaks EDNS, after a fashion: {reply:?}"
        );
    }
    assert!(upstream.asked_for("malformed.example.").is_empty());
}

#[test]
fn records_beside_opt_are_of_no_interest() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("beside.example", A)
        .answer(a("poison.example", 3600, [6, 6, 6, 6]))
        .authority(soa("poison.example", 3600, 60))
        .additional(a("beside.example", 3600, [6, 6, 6, 6]))
        .edns(Edns::new(1232));
    let reply = stub.ask(&query);
    assert_eq!(reply.answers.len(), 1, "{reply:?}");
    assert_ne!(reply.addresses(), ["6.6.6.6"]);
    let asked = upstream.asked_for("beside.example.");
    assert_eq!(
        asked[0].counts,
        [1, 0, 0, 1],
        "nothing but the question and OPT goes on"
    );
}

/// What the upstream knows: AD set, a signature where DO is.
fn signed(asked: &Asked) -> Build {
    let dnssec = asked.edns.as_ref().is_some_and(Edns::dnssec_ok);
    let reply = asked
        .reply()
        .answer(a(&asked.name(), 3600, [192, 0, 2, 1]))
        .edns(Edns::new(1232));
    let reply = if asked.has(CD) { reply } else { reply.set(AD) };
    match dnssec {
        true => {
            let signature = [
                &[0, 1, 13, 2, 0, 0, 14, 16][..],
                &[1; 10],
                &name("example"),
                &[9; 64],
            ];
            reply.answer(record(&asked.name(), RRSIG, 3600, &signature.concat()))
        }
        false => reply,
    }
}

#[test]
fn do_and_cd_reach_the_upstream_and_ad_those_who_know_it() {
    let upstream = Upstream::saying(signed);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let plain = Build::query("signed.example", A);
    let dnssec = plain.clone().edns(Edns::new(1232).dnssec());
    // The second round comes from the cache.
    for _ in 0..2 {
        let reply = stub.ask(&plain);
        assert!(!reply.has(AD) && reply.answers.len() == 1, "{reply:?}");
        let reply = stub.ask(&plain.clone().set(AD));
        assert!(reply.has(AD) && reply.answers.len() == 1, "{reply:?}");
        let reply = stub.ask(&plain.clone().edns(Edns::new(1232)));
        assert!(!reply.has(AD) && reply.answers.len() == 1, "{reply:?}");
        let reply = stub.ask(&dnssec);
        assert!(reply.has(AD) && reply.answers.len() == 2, "{reply:?}");
        let reply = stub.ask(&dnssec.clone().set(CD));
        assert!(!reply.has(AD) && reply.answers.len() == 2, "{reply:?}");
        let reply = stub.ask(&plain.clone().set(CD));
        assert!(!reply.has(AD) && reply.answers.len() == 1, "{reply:?}");
    }
    let asked = upstream.asked_for("signed.example.");
    let mut kinds: Vec<(bool, bool)> = asked
        .iter()
        .map(|asked| {
            (
                asked.edns.as_ref().is_some_and(Edns::dnssec_ok),
                asked.has(CD),
            )
        })
        .collect();
    // One that seemed lost may have been asked again.
    kinds.dedup();
    assert_eq!(
        kinds,
        [(false, false), (true, false), (true, true), (false, true)]
    );
    assert!(
        asked.iter().all(|asked| asked.has(AD)),
        "AD is asked for in any case"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.edns.as_ref().is_some_and(|it| it.payload == 1232))
    );
}

#[test]
fn an_answer_without_ad_stays_without() {
    let upstream = Upstream::saying(|asked| signed(asked).clear(AD));
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let query = Build::query("unsigned.example", A)
            .set(AD)
            .edns(Edns::new(1232).dnssec());
        assert!(!stub.ask(&query).has(AD));
    }
}

#[test]
fn the_letter_case_of_the_question_is_kept() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let names = [
        "case.example",
        "CASE.EXAMPLE",
        "cAsE.eXaMpLe",
        "CaSe.ExAmPlE",
    ];
    let stubs: Vec<Stub> = names.iter().map(|_| Stub::new(daemon.dns())).collect();
    let queries: Vec<Build> = names.iter().map(|name| Build::query(name, A)).collect();
    // The first leads, the others follow.
    for (stub, query) in stubs.iter().zip(&queries) {
        stub.send(&query.bytes());
    }
    eventually("all wait", || {
        daemon.metric("byway_waiting_clients", &[]) == 4.0
    });
    gate.open();
    for (stub, query) in stubs.iter().zip(&queries) {
        let reply = stub.receive();
        assert_eq!(reply.question, query.question);
        assert_eq!(reply.answers.len(), 1);
    }
    daemon.expect_questions(1);
    // And from the cache, by datagram and by connection.
    for query in &queries {
        assert_eq!(stubs[0].ask(query).question, query.question);
        assert_eq!(
            Connection::new(daemon.dns()).ask(query).question,
            query.question
        );
    }
    eventually("all came from the cache", || {
        daemon.metric("byway_queries_total", &[("result", "hit")]) == 8.0
    });
}
