//! What an answer is made of: the chain from the question to its end, what belongs to it and nothing else,
//! in as little room as it takes.

use super::kit::*;

const DNAME: u16 = 39;

fn counts(reply: &Message) -> [usize; 3] {
    [&reply.answers, &reply.authorities, &reply.additionals].map(Vec::len)
}

#[test]
fn what_does_not_belong_goes_no_further() {
    let upstream = Upstream::saying(|asked| {
        let owner = asked.name();
        asked
            .reply()
            .answer(a(&owner, 60, [192, 0, 2, 1]))
            .answer(a("www.bank.test", 60, [6, 6, 6, 6]))
            .answer(full_record(&name(&owner), A, 3, 60, &[6, 6, 6, 6]))
            .authority(record("bank.test", NS, 60, &name("ns.evil.test")))
            .additional(a("www.bank.test", 60, [6, 6, 6, 6]))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query("belongs.example", A));
        assert_eq!(counts(&reply), [1, 0, 0], "{reply:?}");
        assert_eq!(reply.addresses(), ["192.0.2.1"]);
    }
    let unrelated = [("reason", "unrelated")];
    assert!(daemon.metric("byway_dropped_records_total", &unrelated) >= 4.0);
}

#[test]
fn a_name_that_does_not_exist_has_no_type() {
    let upstream = Upstream::saying(|asked| match asked.lower().as_str() {
        "alias.example." => asked
            .reply()
            .rcode(NXDOMAIN)
            .answer(cname("alias.example", 60, "none.example"))
            .authority(soa("example", 60, 60)),
        "late.example." if asked.rtype() == MX => asked.reply().answer(record(
            &asked.name(),
            MX,
            60,
            &[&[0, 1][..], &name("m")].concat(),
        )),
        _ => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 60, 60)),
    });
    // In mixed case a denial may be asked for once more in plain case.
    let daemon = Setup::to(&[&upstream])
        .one_worker()
        .tables("[routing]\nrandomize-case = false")
        .start();
    let stub = Stub::new(daemon.dns());
    let ask = |name: &str, rtype| stub.ask(&Build::query(name, rtype));
    assert_eq!(ask("none.example", A).rcode(), NXDOMAIN);
    for rtype in [AAAA, MX, TXT, 65] {
        let reply = ask("NONE.example", rtype);
        assert_eq!(
            (reply.rcode(), reply.rtype()),
            (NXDOMAIN, rtype),
            "{reply:?}"
        );
        assert_eq!(counts(&reply), [0, 1, 0]);
    }
    assert_eq!(upstream.asked_for("none.example.").len(), 1);
    // Proofs differ with DO: that is another question.
    let signed = Build::query("none.example", TXT).edns(Edns::new(1232).dnssec());
    stub.ask(&signed);
    assert_eq!(upstream.asked_for("none.example.").len(), 2);
    // The alias exists, only what it leads to does not.
    assert_eq!(ask("alias.example", A).rcode(), NXDOMAIN);
    ask("alias.example", CNAME);
    assert_eq!(upstream.asked_for("alias.example.").len(), 2);
}

#[test]
fn a_name_that_exists_after_all_is_believed() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 1, 1))
    });
    let daemon = Setup::to(&[&upstream]).one_worker().start();
    let stub = Stub::new(daemon.dns());
    assert_eq!(stub.ask(&Build::query("born.example", A)).rcode(), NXDOMAIN);
    upstream.now(|asked| {
        let reply = match asked.rtype() {
            TXT => asked.reply().answer(txt(&asked.name(), 60, b'x', 2)),
            _ => asked.reply().authority(soa("example", 60, 60)),
        };
        vec![Act::Send(reply.bytes())]
    });
    eventually("its second is over", || {
        stub.ask(&Build::query("born.example", TXT)).rcode() == NOERROR
    });
}

#[test]
fn the_end_of_a_chain_is_asked_for() {
    let upstream = Upstream::saying(|asked| match asked.lower().as_str() {
        "one.example." => asked
            .reply()
            .answer(cname(&asked.name(), 300, "two.example")),
        "two.example." => asked
            .reply()
            .answer(cname(&asked.name(), 300, "Three.Example")),
        "three.example." => asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 3])),
        "bare.example." => asked
            .reply()
            .answer(cname(&asked.name(), 300, "empty.example")),
        "empty.example." => asked.reply(),
        "lost.example." => asked
            .reply()
            .answer(cname(&asked.name(), 300, "fails.example")),
        "fails.example." => asked.reply().rcode(SERVFAIL),
        // A chain that never ends.
        other => {
            let number: u32 = other
                .trim_start_matches('n')
                .split('.')
                .next()
                .map_or(0, |number| number.parse().unwrap_or(0));
            let next = format!("n{}.endless.example", number + 1);
            asked.reply().answer(cname(&asked.name(), 300, &next))
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query("one.example", A));
        assert_eq!(reply.addresses(), ["192.0.2.3"], "{reply:?}");
        assert_eq!(reply.answers.len(), 3, "the whole chain");
    }
    for name in ["one", "two", "three"] {
        assert_eq!(
            upstream.asked_for(&format!("{name}.example.")).len(),
            1,
            "then it is known"
        );
    }
    assert_eq!(daemon.metric("byway_chased_aliases_total", &[]), 2.0);
    // There is no record of the type, and the cache that says so does not say it well.
    let reply = stub.ask(&Build::query("bare.example", AAAA));
    assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
    // What cannot be resolved is a failure, not "no such record".
    assert_eq!(stub.ask(&Build::query("lost.example", A)).rcode(), SERVFAIL);
    let reply = stub.ask(&Build::query("n0.endless.example", A));
    assert_eq!(reply.rcode(), SERVFAIL, "{reply:?}");
    let endless = upstream.questions();
    let endless = endless.iter().filter(|(name, _)| name.contains("endless"));
    assert_eq!(endless.count(), 9);
}

#[test]
fn those_who_come_while_the_end_is_asked_for_wait_for_it() {
    let gate = Gate::default();
    let upstream = Upstream::new({
        let gate = gate.clone();
        move |asked| match asked.lower().as_str() {
            "start.example." => {
                let half = asked
                    .reply()
                    .answer(cname(&asked.name(), 300, "end.example"));
                vec![Act::Send(half.bytes())]
            }
            _ => vec![Act::WaitFor(gate.clone()), Act::Send(asked.good())],
        }
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    let query = Build::query("start.example", A);
    let clients: Vec<Stub> = (0..4).map(|_| Stub::new(daemon.dns())).collect();
    clients[0].send(&query.bytes());
    eventually("the end is asked for", || {
        !upstream.asked_for("end.example.").is_empty()
    });
    for client in &clients[1..] {
        client.send(&query.bytes());
    }
    eventually("they wait", || {
        daemon.metric("byway_waiting_clients", &[]) == 4.0
    });
    gate.open();
    for client in &clients {
        assert_eq!(client.receive().addresses().len(), 1);
    }
    assert_eq!(upstream.asked_for("start.example.").len(), 1);
}

#[test]
fn a_dname_without_its_cname_gets_it() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(record("old.example", DNAME, 300, &name("new.example")))
            .answer(a("www.new.example", 60, [192, 0, 2, 4]))
    });
    let daemon = Daemon::to(&[&upstream]);
    let reply = Stub::new(daemon.dns()).ask(&Build::query("WWW.old.example", A));
    assert_eq!(reply.addresses(), ["192.0.2.4"]);
    let alias = &reply.answers[1];
    assert_eq!(
        (alias.rtype, &alias.data),
        (CNAME, &name("www.new.example"))
    );
    assert_eq!(alias.owner, name("WWW.old.example"));
}

#[test]
fn what_the_upstream_does_not_compress_fits_all_the_same() {
    let long = format!("{}abc.example.", "a234567890.".repeat(21));
    assert!(name(&long).len() > 240);
    let upstream = Upstream::saying(|asked| {
        let owner = asked.name();
        asked
            .reply()
            .answer(a(&owner, 60, [192, 0, 2, 1]))
            .answer(a(&owner, 60, [192, 0, 2, 2]))
            .authority(record(
                "example",
                NS,
                60,
                &name(&format!("{}x", "ns23456789.".repeat(22))),
            ))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query(&long, A));
        assert_eq!(
            (reply.addresses().len(), reply.has(TC)),
            (2, false),
            "{reply:?}"
        );
    }
}

#[test]
fn what_is_cut_is_asked_by_tcp() {
    // Without TC: something on the way cuts at 512 octets.
    let upstream = Upstream::new(|asked| {
        let owner = asked.name();
        let whole = asked
            .reply()
            .answers((0..9).map(|_| txt(&owner, 60, b'x', 200)));
        let bytes = whole.bytes();
        vec![Act::Send(match asked.tcp {
            true => bytes,
            false => bytes[..512].to_vec(),
        })]
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let reply = connection.ask(&Build::query("cut.example", TXT));
    assert_eq!((reply.answers.len(), reply.has(TC)), (9, false));
}

#[test]
fn what_is_cut_is_never_given_as_whole() {
    let cut = |asked: &Asked| {
        let owner = asked.name();
        let whole = asked
            .reply()
            .answers((0..9).map(|_| txt(&owner, 60, b'x', 200)));
        vec![Act::Send(whole.bytes()[..600].to_vec())]
    };
    for hears in [Hears::Both, Hears::OnlyUdp] {
        let upstream = Upstream::hearing(hears, cut);
        let daemon = Daemon::to(&[&upstream]);
        let mut connection = Connection::new(daemon.dns());
        for _ in 0..2 {
            let reply = connection.ask(&Build::query("cut.example", TXT));
            assert!(
                reply.has(TC) || reply.rcode() == SERVFAIL,
                "{hears:?}: {reply:?}"
            );
            // What stands before the cut is better than nothing.
            assert_eq!(reply.answers.len(), 2, "{hears:?}: {reply:?}");
        }
    }
}

#[test]
fn a_message_that_costs_too_much_is_useless() {
    // As many records as fit, each named by two octets after a name of 126 labels.
    let upstream = Upstream::new(|asked| {
        let owner = [&b"\x01a".repeat(125)[..], b"\x01y\x00"].concat();
        let reply = asked.reply();
        if !asked.tcp {
            return vec![Act::Send(reply.set(TC).bytes())];
        }
        let at = 0xc000 | (12 + asked.question.len()) as u16;
        let more = full_record(&at.to_be_bytes(), A, 1, 60, &[6, 6, 6, 6]);
        let first = full_record(&owner, A, 1, 60, &[6, 6, 6, 6]);
        let count = (65_000 - first.len()) / more.len();
        let records = std::iter::once(first).chain(vec![more; count]);
        vec![Act::Send(reply.answers(records).bytes())]
    });
    let daemon = Daemon::to(&[&upstream]);
    let reply = Stub::new(daemon.dns()).ask(&Build::query("costly.example", A));
    assert_eq!(reply.rcode(), SERVFAIL);
    let costly = [("reason", "costly")];
    assert!(daemon.metric("byway_dropped_records_total", &costly) > 3000.0);
}

#[test]
fn several_questions_are_refused_unread() {
    let upstream = Upstream::silent();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let one = Build::query("several.example", A);
    for (count, question) in [
        (2, one.question.repeat(2)),
        (u16::MAX, one.question.repeat(2)),
        (2, vec![0xff; 30]),
    ] {
        let query = one.clone().questions(count).question(question);
        stub.send(&query.edns(Edns::new(1232)).bytes());
        let reply = stub.receive();
        assert_eq!(reply.rcode(), FORMERR);
        assert_eq!(reply.bytes.len(), 12, "a header only");
    }
    assert!(upstream.asked_for("several.example.").is_empty());
}
