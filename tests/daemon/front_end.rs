//! What comes in by datagram, and what must not go out.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::kit::stub;
use super::kit::*;

/// A daemon, its upstream, and a question whose answer it knows.
fn exam() -> (Upstream, Daemon, Build) {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let canary = Build::query("canary.example", A);
    assert_eq!(Stub::new(daemon.dns()).ask(&canary).rcode(), NOERROR);
    (upstream, daemon, canary)
}

#[test]
fn responses_get_no_answer() {
    let (upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("reflected.example", A);
    let reflections = [
        query.clone().set(QR),
        query.clone().set(QR | RA | AA),
        query.clone().set(QR).rcode(REFUSED),
        query.clone().set(QR).opcode(4),
        query.clone().set(QR).opcode(15),
        query.clone().set(QR).rcode(FORMERR).without_question(),
        query.clone().set(QR).edns(Edns::new(1232).version(9)),
        Build::query("reflected.example", ANY).set(QR),
    ];
    for reflection in &reflections {
        stub.expect_silence(&reflection.bytes(), &canary);
    }
    assert!(upstream.asked_for("reflected.example.").is_empty());
    let count = reflections.len() as f64;
    daemon.expect_metric("byway_dropped_total", &[("reason", "response")], count);
}

#[test]
fn what_is_shorter_than_a_header_gets_no_answer() {
    let (_upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("short.example", A).bytes();
    for length in 0..12 {
        stub.expect_silence(&query[..length], &canary);
    }
    daemon.expect_metric("byway_dropped_total", &[("reason", "short")], 12.0);
}

#[test]
fn other_opcodes_are_not_implemented() {
    let (upstream, daemon, _) = exam();
    let stub = Stub::new(daemon.dns());
    for opcode in 1..16 {
        let bodies = [
            Build::query("opcode.example", A),
            Build::query("opcode.example", SOA).authority(a("opcode.example", 0, [192, 0, 2, 1])),
            Build::query(".", A).without_question(),
            Build::query("opcode.example", A).edns(Edns::new(1232)),
        ];
        for (number, query) in bodies.into_iter().enumerate() {
            let query = query.opcode(opcode);
            let length = query.bytes().len();
            let reply = stub.ask(&query);
            assert_eq!(reply.rcode(), NOTIMP, "opcode {opcode}: {reply:?}");
            assert_eq!(reply.edns.is_some(), number == 3, "{reply:?}");
            assert!(
                reply.bytes.len() <= length,
                "not longer than the query: {reply:?}"
            );
            assert!(reply.answers.is_empty());
        }
    }
    // Octets that are no question: of another opcode nobody knows the layout (DSO has none).
    let mut dso = vec![0x12, 0x34, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8];
    dso.extend_from_slice(&[0; 8]);
    stub.send(&dso);
    let reply = stub.receive();
    assert_eq!(
        (reply.id, reply.rcode(), reply.opcode()),
        (0x1234, NOTIMP, 6)
    );
    assert!(upstream.asked_for("opcode.example.").is_empty());
}

#[test]
fn there_must_be_one_question() {
    let (upstream, daemon, _) = exam();
    let stub = Stub::new(daemon.dns());
    let one = Build::query("count.example", A);
    let twice = [one.question.clone(), one.question.clone()].concat();
    let many = one.question.repeat(20);
    for (query, what) in [
        (one.clone().without_question(), "none"),
        (one.clone().questions(0), "none announced, one there"),
        (one.clone().questions(2), "two announced, one there"),
        (one.clone().questions(2).question(twice), "two"),
        (one.clone().questions(20).question(many), "twenty"),
        (one.clone().questions(0xffff), "65535 announced"),
        (
            one.clone().question(Vec::new()),
            "one announced, none there",
        ),
    ] {
        stub.send(&query.bytes());
        let reply = stub.receive();
        assert_eq!(reply.id, query.id, "{what}");
        assert_eq!(reply.rcode(), FORMERR, "{what}: {reply:?}");
        assert!(
            reply.bytes.len() <= query.bytes().len(),
            "{what}: {reply:?}"
        );
    }
    let edns = one.without_question().edns(Edns::new(1232));
    assert_eq!(stub.ask(&edns).rcode(), FORMERR);
    assert!(upstream.asked_for("count.example.").is_empty());
}

#[test]
fn other_classes_are_refused() {
    let (upstream, daemon, _) = exam();
    let stub = Stub::new(daemon.dns());
    for class in [0, 2, 3, 4, 5, 254, 255, 65280, 65535] {
        for (name, rtype) in [
            ("version.bind", TXT),
            ("class.example", A),
            ("class.example", ANY),
        ] {
            let query = Build::query(name, rtype).class(class).edns(Edns::new(1232));
            let reply = stub.ask(&query);
            assert_eq!(
                reply.rcode(),
                REFUSED,
                "class {class}, type {rtype}: {reply:?}"
            );
            assert!(reply.answers.is_empty());
        }
    }
    assert!(upstream.asked_for("class.example.").is_empty());
    assert!(upstream.asked_for("version.bind.").is_empty());
}

#[test]
fn any_gets_the_short_answer() {
    let (upstream, daemon, _) = exam();
    let stub = Stub::new(daemon.dns());
    for query in [
        Build::query("any.example", ANY),
        Build::query("any.example", ANY).edns(Edns::new(4096).dnssec()),
        Build::query("ANY.eXample", ANY).clear(RD),
        Build::query(".", ANY),
    ] {
        let reply = stub.ask(&query);
        assert_eq!(reply.rcode(), NOERROR);
        let [hinfo] = &reply.answers[..] else {
            panic!("one record: {reply:?}")
        };
        assert_eq!(hinfo.rtype, HINFO);
        assert_eq!(hinfo.data, b"\x07RFC8482\x00");
        assert_eq!(hinfo.owner, query.question[..query.question.len() - 4]);
        assert!(hinfo.ttl > 0, "it can be cached");
    }
    assert!(upstream.asked_for("any.example.").is_empty());
}

#[test]
fn what_no_zone_holds_is_not_forwarded() {
    let (upstream, daemon, _) = exam();
    let stub = Stub::new(daemon.dns());
    for rtype in [AXFR, IXFR] {
        for edns in [None, Some(Edns::new(1232))] {
            let mut query = Build::query("meta.example", rtype);
            if rtype == IXFR {
                query = query.authority(soa("meta.example", 0, 0));
            }
            let query = edns.into_iter().fold(query, Build::edns);
            let reply = stub.ask(&query);
            assert_eq!(reply.rcode(), REFUSED, "type {rtype}: {reply:?}");
            assert!(reply.answers.is_empty());
        }
    }
    // Meta types and 0, which is none.
    for rtype in [0, OPT, 128, 248, 249, 250, 253, 254] {
        let reply = stub.ask(&Build::query("meta.example", rtype));
        let refusals = [FORMERR, NOTIMP, REFUSED];
        assert!(refusals.contains(&reply.rcode()), "type {rtype}: {reply:?}");
    }
    assert!(upstream.asked_for("meta.example.").is_empty());
}

/// Questions and records that cannot be read, with a name for each.
fn garbled() -> Vec<(&'static str, Vec<u8>)> {
    let with_question = |question: &[u8]| {
        let build = Build::query(".", A);
        build.question(question.to_vec()).bytes()
    };
    let with_counts = |counts: [u16; 3], rest: &[u8]| {
        let mut bytes = Build::query("garbled.example", A).bytes();
        for (index, count) in counts.iter().enumerate() {
            bytes[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
        }
        bytes.extend_from_slice(rest);
        bytes
    };
    let long = |labels: usize, last: usize| {
        let mut name = [63]
            .iter()
            .chain(&[b'x'; 63])
            .copied()
            .collect::<Vec<u8>>()
            .repeat(labels);
        name.push(last as u8);
        name.extend(std::iter::repeat_n(b'y', last));
        [&name[..], &[0, 0, 1, 0, 1]].concat()
    };
    let opt = Edns::new(1232).bytes();
    let whole = Build::query("garbled.example", A).bytes();
    let record = a("garbled.example", 0, [192, 0, 2, 1]);
    vec![
        (
            "a label of type 01",
            with_question(b"\x41x\x00\x00\x01\x00\x01"),
        ),
        (
            "a label of type 10",
            with_question(b"\x81x\x00\x00\x01\x00\x01"),
        ),
        (
            "a binary label",
            with_question(b"\x41\x08\xaa\x00\x00\x01\x00\x01"),
        ),
        (
            "a pointer to itself",
            with_question(b"\xc0\x0c\x00\x01\x00\x01"),
        ),
        (
            "a pointer to the name's start",
            with_question(b"\x01x\xc0\x0c\x00\x01\x00\x01"),
        ),
        (
            "two pointers to each other",
            with_question(b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01"),
        ),
        (
            "a pointer ahead",
            with_question(b"\xc0\x10\x00\x01\x00\x01\x01x\x00"),
        ),
        (
            "a pointer into the header",
            with_question(b"\xc0\x04\x00\x01\x00\x01"),
        ),
        (
            "a pointer beyond the end",
            with_question(b"\xff\xff\x00\x01\x00\x01"),
        ),
        ("half a pointer", with_question(b"\x01x\xc0")),
        ("a label beyond the end", with_question(b"\x3fx")),
        ("a name without an end", with_question(b"\x01x\x01y")),
        ("no type", with_question(b"\x01x\x00")),
        ("half a type", with_question(b"\x01x\x00\x00")),
        ("no class", with_question(b"\x01x\x00\x00\x01")),
        ("half a class", with_question(b"\x01x\x00\x00\x01\x00")),
        ("256 octets of name", with_question(&long(3, 62))),
        ("320 octets of name", with_question(&long(4, 62))),
        ("an answer that is not there", with_counts([1, 0, 0], &[])),
        (
            "an authority that is not there",
            with_counts([0, 1, 0], &[]),
        ),
        (
            "an additional that is not there",
            with_counts([0, 0, 1], &[]),
        ),
        ("65535 of each", with_counts([0xffff; 3], &[])),
        ("one additional of two", with_counts([0, 0, 2], &opt)),
        (
            "a cut additional",
            with_counts([0, 0, 1], &opt[..opt.len() - 1]),
        ),
        (
            "a cut record",
            with_counts([1, 0, 0], &record[..record.len() - 1]),
        ),
        (
            "record data beyond the end",
            with_counts([0, 0, 1], b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\xff\xff"),
        ),
        ("an owner that points to itself", {
            let at = whole.len() as u16;
            let pointer = (0xc000 | at).to_be_bytes();
            with_counts(
                [0, 0, 1],
                &[&pointer, &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0][..]].concat(),
            )
        }),
    ]
}

#[test]
fn what_cannot_be_read_is_called_so() {
    let (upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    for (what, bytes) in garbled() {
        stub.send(&bytes);
        let (reply, _) = stub
            .receive_within(PATIENCE)
            .unwrap_or_else(|| panic!("{what}: silence"));
        let reply = stub::read(&reply);
        assert_eq!(
            reply.id,
            u16::from_be_bytes([bytes[0], bytes[1]]),
            "{what}: {reply:?}"
        );
        assert_eq!(reply.rcode(), FORMERR, "{what}: {reply:?}");
        assert!(
            reply.has(QR) && reply.answers.is_empty(),
            "{what}: {reply:?}"
        );
        assert!(
            reply.bytes.len() <= bytes.len() + 11,
            "{what}: no amplification: {reply:?}"
        );
        assert_eq!(stub.ask(&canary).rcode(), NOERROR, "after {what}");
    }
    assert!(upstream.asked_for("garbled.example.").is_empty());
}

#[test]
fn noise_is_survived_and_never_amplified() {
    let (_upstream, daemon, canary) = exam();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let stub = Stub::new(daemon.dns());
    let templates: Vec<Vec<u8>> = garbled()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .chain([
            canary.bytes(),
            canary
                .clone()
                .edns(Edns::new(1232).option(10, &[7; 8]))
                .bytes(),
            canary
                .clone()
                .opcode(5)
                .authority(soa("canary.example", 1, 1))
                .bytes(),
        ])
        .collect();
    for round in 0..2_000 {
        let mut bytes = match round % 4 {
            0 => (0..rng.random_range(0..600))
                .map(|_| rng.random())
                .collect(),
            _ => templates[rng.random_range(0..templates.len())].clone(),
        };
        for _ in 0..rng.random_range(0..4) {
            if !bytes.is_empty() {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes[at] ^= 1 << rng.random_range(0..8),
                    _ => bytes.truncate(at),
                }
            }
        }
        // Names that survive would go upstream; the answer to them may be of any kind.
        stub.send(&bytes);
        if round % 50 == 0 {
            eventually("the daemon still answers", || {
                stub.send(&canary.bytes());
                std::iter::from_fn(|| stub.receive_within(MOMENT)).any(|(reply, _)| {
                    let reply = stub::read(&reply);
                    assert!(reply.has(QR));
                    assert!(reply.bytes.len() <= 1232, "{reply:?}");
                    reply.id == canary.id && !reply.answers.is_empty()
                })
            });
        }
    }
}

#[test]
fn flags_that_mean_nothing_in_a_query_are_ignored() {
    let (_upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    for flags in [AA, TC, RA, Z, AA | TC | RA | Z] {
        let reply = stub.ask(&canary.clone().set(flags));
        assert_eq!(reply.rcode(), NOERROR);
        assert!(!reply.has(TC | AA), "{reply:?}");
    }
    // So is what stands where the response code will.
    let reply = stub.ask(&canary.clone().rcode(7));
    assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
}

#[test]
fn octets_behind_the_message_are_ignored() {
    let (_upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    for trailing in [1, 2, 400, 1500] {
        let bytes = [canary.bytes(), vec![0xff; trailing]].concat();
        stub.send(&bytes);
        let reply = stub.receive();
        assert_eq!(
            (reply.id, reply.rcode()),
            (canary.id, NOERROR),
            "{trailing} octets"
        );
    }
}

#[test]
fn every_name_that_is_one_is_asked_and_answered() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let longest = [&[63u8][..], &[b'a'; 63]].concat().repeat(3);
    let longest = [&longest[..], &[61], &[b'z'; 61], &[0]].concat();
    assert_eq!(longest.len(), 255);
    let names: Vec<Vec<u8>> = vec![
        vec![0],
        name("com"),
        name("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z"),
        longest,
        [1, b'x'].repeat(127).into_iter().chain([0]).collect(),
        b"\x04\x00\x01\xff.\x07example\x00".to_vec(),
        name("_service._tcp.example"),
        name("*.example"),
        name("xn--bcher-kva.example"),
        b"\x03a b\x03c\\d\x02\"\"\x00".to_vec(),
        name("123.456"),
    ];
    for wire in names {
        for _ in 0..2 {
            let query = Build::query_wire(&wire, A).edns(Edns::new(1232));
            let reply = stub.ask(&query);
            assert_eq!(
                (reply.rcode(), reply.answers.len()),
                (NOERROR, 1),
                "{:?}",
                text(&wire)
            );
        }
        let asked = upstream.asked();
        let last = asked.last().expect("asked");
        let [sent @ .., _, _, _, _] = &last.question[..] else {
            panic!("a question")
        };
        assert!(sent.eq_ignore_ascii_case(&wire), "{sent:?} for {wire:?}");
    }
    // The second time each was known.
    daemon.expect_metric("byway_queries_total", &[("result", "hit")], 11.0);
}

#[test]
fn a_burst_is_answered_to_the_last() {
    let (_upstream, daemon, canary) = exam();
    let stub = Stub::new(daemon.dns());
    for round in 0..4u16 {
        // Known and unknown ones in one batch.
        let queries: Vec<Build> = (0..100u16)
            .map(|number| match number % 4 {
                0 => Build::query(&format!("burst{round}x{number}.example"), A),
                _ => canary.clone(),
            })
            .zip(1000 * round..)
            .map(|(query, id)| query.id(id))
            .collect();
        for query in &queries {
            stub.send(&query.bytes());
        }
        let mut replies: Vec<Message> = queries.iter().map(|_| stub.receive()).collect();
        replies.sort_by_key(|reply| reply.id);
        for (query, reply) in queries.iter().zip(&replies) {
            stub::check(query, reply);
            assert_eq!(reply.answers.len(), 1, "{reply:?}");
        }
    }
}
