//! What an upstream says reaches the client unharmed.

use super::kit::*;

/// What the upstream says to every question, and the client's reply, fresh and from the cache.
fn said(build: impl Fn(&Asked) -> Build + Send + Sync + 'static, query: &Build) -> [Message; 2] {
    let upstream = Upstream::saying(build);
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let replies = [
        connection.ask(query),
        Connection::new(daemon.dns()).ask(query),
    ];
    assert!(replies.iter().all(|reply| !reply.has(TC)), "{replies:?}");
    replies
}

/// Records as the client got them, TTLs aside.
fn without_ttls(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.with_ttl(0)).collect()
}

#[test]
fn header_bits_are_byways_own() {
    for flags in [QR | RD | AA, QR | RD | RA | AA, QR | RD] {
        let [fresh, known] = said(
            move |asked| {
                let address = a(&asked.name(), 60, [192, 0, 2, 1]);
                asked.reply().flags(flags).answer(address)
            },
            &Build::query("bits.example", A),
        );
        for reply in [fresh, known] {
            assert!(reply.has(RA), "byway recurses: {reply:?}");
            assert!(
                !reply.has(AA),
                "and is authoritative for nothing: {reply:?}"
            );
        }
    }
}

#[test]
fn records_of_every_type_octet_by_octet() {
    let types = [
        13, 16, 29, 43, 44, 48, 52, 61, 64, 65, 99, 256, 257, 258, 32768, 65280, 65534,
    ];
    let upstream = Upstream::saying(|asked| {
        let data: Vec<u8> = (0..200u8)
            .map(|octet| octet ^ asked.rtype() as u8)
            .collect();
        asked
            .reply()
            .answer(record(&asked.name(), asked.rtype(), 60, &data))
            .answer(record(&asked.name(), asked.rtype(), 60, b"\xc0\x0c\xff"))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for rtype in types {
        for _ in 0..2 {
            let query = Build::query("types.example", rtype).edns(Edns::new(1232));
            stub.send(&query.bytes());
            let (bytes, _) = stub.receive_within(PATIENCE).expect("a reply");
            // Such data is nothing that a library would read.
            let reply = Message::parse(&bytes).expect("well formed");
            let expected: Vec<u8> = (0..200u8).map(|octet| octet ^ rtype as u8).collect();
            assert_eq!(reply.answers.len(), 2, "type {rtype}: {reply:?}");
            assert_eq!(reply.answers[0].data, expected, "type {rtype}");
            assert_eq!(
                reply.answers[1].data, b"\xc0\x0c\xff",
                "data of unknown types is no name"
            );
        }
    }
    daemon.expect_questions(types.len());
}

#[test]
fn empty_record_data_passes_and_other_classes_do_not() {
    let upstream = Upstream::saying(|asked| {
        let odd = full_record(
            &asked.question[..asked.question.len() - 4],
            65280,
            254,
            60,
            b"x",
        );
        asked
            .reply()
            .answer(record(&asked.name(), 65280, 60, b""))
            .answer(odd)
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        stub.send(&Build::query("odd.example", 65280).bytes());
        let (bytes, _) = stub.receive_within(PATIENCE).expect("a reply");
        // hickory reads no empty data (RFC 2136 has it mean something else).
        let reply = Message::parse(&bytes).expect("well formed");
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(
            (reply.answers[0].data.len(), reply.answers[0].class),
            (0, 1)
        );
    }
}

#[test]
fn cname_chains_keep_their_order() {
    for length in [1, 2, 8, 30] {
        let chain = move |asked: &Asked| {
            let link = |number: usize| format!("link{number}.elsewhere.test");
            let first = asked.reply().answer(cname(&asked.name(), 300, &link(1)));
            let reply = (1..length).fold(first, |reply, number| {
                reply.answer(cname(&link(number), 300, &link(number + 1)))
            });
            reply.answer(a(&link(length), 60, [192, 0, 2, 1]))
        };
        for reply in said(chain, &Build::query("chain.example", A)) {
            assert_eq!(reply.answers.len(), length + 1);
            let types: Vec<u16> = reply.answers.iter().map(|record| record.rtype).collect();
            assert!(types[..length].iter().all(|rtype| *rtype == CNAME));
            for pair in reply.answers.windows(2) {
                assert_eq!(
                    pair[0].data, pair[1].owner,
                    "each leads to the next: {reply:?}"
                );
            }
            assert_eq!(reply.addresses(), ["192.0.2.1"]);
        }
    }
}

#[test]
fn chains_that_end_in_nothing() {
    // A cache that leaves out the SOA.
    let dangling = |asked: &Asked| match asked.lower().as_str() {
        "gone.test." => asked.reply(),
        _ => asked.reply().answer(cname(&asked.name(), 60, "gone.test")),
    };
    for reply in said(dangling, &Build::query("dangling.example", A)) {
        assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
    }
    let gone = |asked: &Asked| {
        let reply = asked
            .reply()
            .rcode(NXDOMAIN)
            .answer(cname(&asked.name(), 60, "gone.test"));
        reply.authority(soa("test", 60, 60))
    };
    for reply in said(gone, &Build::query("gone.example", A)) {
        assert_eq!(
            (reply.rcode(), reply.answers.len(), reply.authorities.len()),
            (NXDOMAIN, 1, 1)
        );
    }
    let circle = |asked: &Asked| {
        let reply = asked.reply().answer(cname(&asked.name(), 60, "turn.test"));
        reply.answer(cname("turn.test", 60, &asked.name()))
    };
    for reply in said(circle, &Build::query("circle.example", A)) {
        assert_eq!(reply.rcode(), SERVFAIL, "it leads nowhere");
    }
}

#[test]
fn dname_with_its_synthesised_cname() {
    let dname = |asked: &Asked| {
        asked
            .reply()
            .answer(record("old.example", 39, 300, &name("new.test")))
            .answer(cname(&asked.name(), 300, "www.new.test"))
            .answer(a("www.new.test", 60, [192, 0, 2, 1]))
    };
    for reply in said(dname, &Build::query("www.old.example", A)) {
        let types: Vec<u16> = reply.answers.iter().map(|record| record.rtype).collect();
        assert_eq!(types, [39, CNAME, A]);
    }
}

#[test]
fn nothing_is_said_as_it_was_said() {
    for (rcode, with_soa) in [
        (NOERROR, true),
        (NOERROR, false),
        (NXDOMAIN, true),
        (NXDOMAIN, false),
    ] {
        let nothing = move |asked: &Asked| {
            let reply = asked.reply().rcode(rcode);
            if with_soa {
                reply.authority(soa("example", 300, 60))
            } else {
                reply
            }
        };
        for reply in said(
            nothing,
            &Build::query("nothing.example", A).edns(Edns::new(1232)),
        ) {
            assert_eq!(reply.rcode(), rcode, "{reply:?}");
            assert!(reply.answers.is_empty());
            assert_eq!(reply.authorities.len(), usize::from(with_soa), "{reply:?}");
        }
    }
}

#[test]
fn rare_response_codes() {
    // YXDOMAIN is an answer: a DNAME led too far (RFC 6672).
    let [fresh, _] = said(
        |asked| asked.reply().rcode(6),
        &Build::query("yx.example", A),
    );
    assert_eq!(fresh.rcode(), 6);
}

#[test]
fn authority_and_additional_sections() {
    let full = |asked: &Asked| {
        asked
            .reply()
            .answer(record(
                &asked.name(),
                MX,
                60,
                &[&[0, 10][..], &name("mail.example")].concat(),
            ))
            .answer(record(
                &asked.name(),
                MX,
                60,
                &[&[0, 20][..], &name("mail.test")].concat(),
            ))
            .authority(record("example", NS, 300, &name("ns1.example")))
            .authority(record("example", NS, 300, &name("NS2.Example")))
            .additional(a("mail.example", 60, [192, 0, 2, 1]))
            .additional(record("mail.example", AAAA, 60, &[0x20; 16]))
            .additional(a("ns1.example", 60, [192, 0, 2, 53]))
            .edns(Edns::new(1232))
    };
    for reply in said(
        full,
        &Build::query("sections.example", MX).edns(Edns::new(1232)),
    ) {
        let counts = [
            reply.answers.len(),
            reply.authorities.len(),
            reply.additionals.len(),
        ];
        assert_eq!(counts, [2, 2, 3]);
        assert_eq!(
            reply.authorities[1].data,
            name("NS2.Example"),
            "letter case and all"
        );
        assert_eq!(reply.additionals[2].owner, name("ns1.example"));
    }
}

#[test]
fn a_referral_is_passed_on() {
    let referral = |asked: &Asked| {
        asked
            .reply()
            .clear(RA)
            .authority(record("example", NS, 300, &name("ns1.example")))
            .additional(a("ns1.example", 300, [192, 0, 2, 53]))
    };
    let [fresh, _] = said(referral, &Build::query("referral.example", A).clear(RD));
    assert_eq!(
        (
            fresh.answers.len(),
            fresh.authorities.len(),
            fresh.additionals.len()
        ),
        (0, 1, 1)
    );
}

/// A response compressed wherever it may be, with OPT between the additional records.
fn compressed(asked: &Asked) -> Vec<u8> {
    // The question is "host.compressed.example.": its parts stand at 12, 17 and 28.
    let mut bytes = asked.reply().questions(1).bytes();
    bytes[6..12].copy_from_slice(&[0, 3, 0, 1, 0, 3]);
    let pointed =
        |prefix: &[u8], target: usize| [prefix, &(0xc000 | target as u16).to_be_bytes()].concat();
    let mut put = |owner: &[u8], rtype: u16, data: &[u8]| {
        bytes.extend_from_slice(&full_record(owner, rtype, 1, 300, data));
        bytes.len()
    };
    let alias = pointed(b"\x05alias", 17);
    let end = put(&pointed(b"", 12), CNAME, &alias);
    let alias_at = end - alias.len();
    let mail = pointed(b"\x04mail", 28);
    let end = put(&pointed(b"", alias_at), MX, &[&[0, 5][..], &mail].concat());
    let mail_at = end - mail.len();
    put(
        &pointed(b"", alias_at),
        SRV,
        &[&[0, 1, 0, 2, 0, 53][..], &pointed(b"", mail_at)].concat(),
    );
    let numbers = [1u32, 2, 3, 4, 300].map(u32::to_be_bytes).concat();
    let soa = [pointed(b"\x02ns", 28), pointed(b"\x05admin", 17), numbers].concat();
    put(&pointed(b"", 28), SOA, &soa);
    put(&pointed(b"", mail_at), A, &[192, 0, 2, 1]);
    bytes.extend_from_slice(&Edns::new(1232).option(65001, &[1; 30]).bytes());
    // This owner stands behind OPT, and the next one points to it.
    let late_at = bytes.len();
    bytes.extend_from_slice(&full_record(
        &pointed(b"\x04mail", 28),
        A,
        1,
        300,
        &[192, 0, 2, 2],
    ));
    bytes.extend_from_slice(&full_record(
        &pointed(b"", late_at),
        AAAA,
        1,
        300,
        &[0x20; 16],
    ));
    bytes[10..12].copy_from_slice(&4u16.to_be_bytes());
    bytes
}

#[test]
fn compression_everywhere_and_opt_in_the_middle() {
    let upstream = Upstream::new(|asked| vec![Act::Send(compressed(asked))]);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for edns in [None, Some(Edns::new(1232)), None, Some(Edns::new(1232))] {
        let query = Build::query("Host.Compressed.Example", MX);
        let reply = stub.ask(&edns.into_iter().fold(query, Build::edns));
        let lower = |wire: &[u8]| text(wire).to_ascii_lowercase();
        let owners: Vec<String> = reply
            .answers
            .iter()
            .chain(&reply.authorities)
            .chain(&reply.additionals)
            .map(|record| lower(&record.owner))
            .collect();
        let expected = [
            "host.compressed.example.",
            "alias.compressed.example.",
            "example.",
            "mail.example.",
            "mail.example.",
            "mail.example.",
        ];
        assert_eq!(owners, expected);
        assert_eq!(lower(&reply.answers[0].data), "alias.compressed.example.");
        assert_eq!(lower(&reply.answers[1].data[2..]), "mail.example.");
        let names = [name("ns.example"), name("admin.compressed.example")].concat();
        let data = reply.authorities[0].data.to_ascii_lowercase();
        assert!(data.starts_with(&names), "{data:?}");
    }
    daemon.expect_questions(1);
}

#[test]
fn sets_come_back_whole_and_in_their_order() {
    let many = |asked: &Asked| {
        (0..60u8).fold(asked.reply(), |reply, last| {
            reply.answer(a(&asked.name(), 60, [192, 0, 2, last]))
        })
    };
    let expected: Vec<String> = (0..60).map(|last| format!("192.0.2.{last}")).collect();
    let replies = said(many, &Build::query("many.example", A));
    let [fresh, known] = replies.each_ref().map(|reply| {
        let mut records = without_ttls(&reply.answers);
        records.sort();
        records
    });
    assert_eq!(fresh, known);
    for reply in replies {
        // Each begins with another one of them.
        let mut addresses = reply.addresses();
        let first = addresses.iter().position(|it| *it == expected[0]);
        addresses.rotate_left(first.expect("the first one is among them"));
        assert_eq!(addresses, expected);
    }
}

#[test]
fn errors_that_come_with_an_answer() {
    // EDE 15, blocked, with the NXDOMAIN that says so.
    let blocked = |asked: &Asked| {
        let reply = asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 60, 60));
        reply.edns(
            Edns::new(1232)
                .option(EDE, b"\x00\x0f")
                .option(3, b"server"),
        )
    };
    for reply in said(
        blocked,
        &Build::query("blocked.example", A).edns(Edns::new(1232)),
    ) {
        assert_eq!((reply.rcode(), reply.edes()), (NXDOMAIN, vec![15]));
        let options = reply.edns.expect("an OPT record").options;
        assert_eq!(
            options.len(),
            1,
            "other options are of one hop only: {options:?}"
        );
    }
    for reply in said(blocked, &Build::query("blocked.example", A)) {
        assert!(reply.edns.is_none());
    }
}

#[test]
fn a_message_larger_than_was_asked_for() {
    // Some upstreams do not care about the payload size.
    let oversize = |asked: &Asked| {
        (0..60).fold(asked.reply(), |reply, _| {
            reply.answer(txt(&asked.name(), 60, b'x', 100))
        })
    };
    for reply in said(oversize, &Build::query("oversize.example", TXT)) {
        assert_eq!(reply.answers.len(), 60);
    }
}

#[test]
fn octets_behind_the_upstreams_message_are_dropped() {
    let upstream = Upstream::new(|asked| vec![Act::Send([asked.good(), vec![0xff; 40]].concat())]);
    let daemon = Daemon::to(&[&upstream]);
    for _ in 0..2 {
        // The stub refuses replies with anything behind them.
        let reply = Stub::new(daemon.dns()).ask(&Build::query("trailing.example", A));
        assert_eq!(reply.answers.len(), 1);
    }
}
