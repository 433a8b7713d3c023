use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType as Type;

use super::super::response::ede_options;
use super::support::{ID, PLAIN, Packet, QNAME, asked, name, question, reply, with_edns};
use crate::wire::{
    Answer, Asked, ClientEdns, Ede, Inspected, OutgoingEdns, OwnedAsked, QueryFlags, Rcode,
    RecordType, Render, TtlRule, inspect, pad_query, randomize_case, write_error, write_query,
};

const A: &[u8] = &[192, 0, 2, 1];

fn www() -> Packet {
    Packet::response("www.example.com", RecordType::A)
}

fn mixed() -> Vec<u8> {
    question("wwW.exAMple.com", RecordType::A)
}

fn flags(octets: &[u8]) -> u16 {
    u16::from_be_bytes([octets[2], octets[3]])
}

/// Codes and texts of the Extended DNS Errors in the OPT record at the end of a reply.
fn edes(octets: &[u8]) -> Vec<(u16, String)> {
    let opt = octets
        .windows(3)
        .rposition(|window| window == [0, 0, 41])
        .expect("an OPT record");
    ede_options(&octets[opt + 11..])
        .map(|option| {
            let code = u16::from_be_bytes([option[4], option[5]]);
            (code, String::from_utf8_lossy(&option[6..]).into_owned())
        })
        .collect()
}

#[test]
fn the_reply_is_the_clients() {
    let answer = www().answer(QNAME, RecordType::A, 300, A).kept();
    let question = mixed();
    let (octets, message) = reply(&answer, &asked(&question), &PLAIN);
    assert_eq!(octets[..2], 0xbeefu16.to_be_bytes());
    assert_eq!(
        octets[12..12 + question.len()],
        question,
        "letter by letter"
    );
    assert_eq!(message.answers[0].name.to_string(), "wwW.exAMple.com.");
    assert!(message.edns.is_none());
    assert_eq!(flags(&octets), 0x8180);
}

#[test]
fn flags_are_the_clients_or_the_upstreams_as_they_must() {
    // AA, AD and no RA from upstream, and the Z bit, which goes nowhere.
    let answer = www()
        .flags(0x8470)
        .answer(QNAME, RecordType::A, 300, A)
        .kept();
    let question = mixed();
    let plain = Asked {
        rd: false,
        ..asked(&question)
    };
    let of = |to: &Asked<'_>, how: &Render<'_>| flags(&reply(&answer, to, how).0);
    assert_eq!(of(&plain, &PLAIN), 0x8080, "RA is byway's own, AA nobody's");
    assert_eq!(of(&Asked { rd: true, ..plain }, &PLAIN), 0x8180);
    assert_eq!(of(&Asked { cd: true, ..plain }, &PLAIN), 0x8090);
    assert_eq!(of(&Asked { ad: true, ..plain }, &PLAIN), 0x80a0);
    let edns = Some(ClientEdns {
        payload: 512,
        dnssec_ok: true,
        nsid: false,
        cookie: None,
        keepalive: None,
    });
    assert_eq!(of(&Asked { edns, ..plain }, &PLAIN), 0x80a0);
    assert_eq!(of(&with_edns(&question), &PLAIN), 0x8180);
    let unchecked = www()
        .flags(0x8000)
        .answer(QNAME, RecordType::A, 300, A)
        .kept();
    let to = Asked { ad: true, ..plain };
    assert_eq!(flags(&reply(&unchecked, &to, &PLAIN).0), 0x8080);
}

#[test]
fn an_opt_record_answers_an_opt_record() {
    let answer = www()
        .answer(QNAME, RecordType::A, 300, A)
        .opt(4000, 0x8000, &[])
        .kept();
    let question = mixed();
    for dnssec_ok in [false, true] {
        let edns = Some(ClientEdns {
            payload: 1232,
            dnssec_ok,
            nsid: false,
            cookie: None,
            keepalive: None,
        });
        let to = Asked {
            edns,
            ..asked(&question)
        };
        let (_, message) = reply(&answer, &to, &PLAIN);
        let edns = message.edns.expect("an OPT record");
        assert_eq!(
            (edns.max_payload(), edns.version(), edns.flags().z),
            (1232, 0, 0)
        );
        assert_eq!(edns.flags().dnssec_ok, dnssec_ok);
    }
    assert!(reply(&answer, &asked(&question), &PLAIN).1.edns.is_none());
}

#[test]
fn ttls_follow_the_rule() {
    let answer = www()
        .answer(QNAME, RecordType::A, 300, A)
        .authority(QNAME, RecordType::NS, 20, b"\x02ns\xc0\x0c")
        .additional(b"\x02ns\xc0\x0c", RecordType::A, 0, A)
        .kept();
    let question = mixed();
    for (ttl, expected) in [
        (TtlRule::AsStored, [300, 20, 0]),
        (TtlRule::Minus(0), [300, 20, 0]),
        (TtlRule::Minus(20), [280, 0, 0]),
        (TtlRule::Minus(299), [1, 0, 0]),
        (TtlRule::Minus(u32::MAX), [0, 0, 0]),
        (TtlRule::Fixed(30), [30, 30, 30]),
    ] {
        let edns = Some(ClientEdns {
            payload: 1232,
            dnssec_ok: true,
            nsid: false,
            cookie: None,
            keepalive: None,
        });
        let to = Asked {
            edns,
            ..asked(&question)
        };
        let (_, message) = reply(&answer, &to, &Render { ttl, ..PLAIN });
        let ttls: Vec<u32> = message.all_sections().map(|record| record.ttl).collect();
        assert_eq!(ttls, expected, "{ttl:?}");
        assert!(
            message
                .edns
                .is_some_and(|edns| edns.flags().dnssec_ok && edns.rcode_high() == 0)
        );
    }
}

#[test]
fn extended_codes_need_an_opt_record() {
    let answer = www().flags(0x8187).opt(1232, 0x0100_0000, &[]).kept();
    assert_eq!(answer.rcode(), Rcode::BADCOOKIE);
    let question = mixed();
    let (_, message) = reply(&answer, &with_edns(&question), &PLAIN);
    assert_eq!(u16::from(message.metadata.response_code), 23);
    let (octets, _) = reply(&answer, &asked(&question), &PLAIN);
    assert_eq!(octets[3] & 15, 2);
}

#[test]
fn a_failure_without_a_question_gets_the_clients() {
    let answer = Packet::header(0x8185)
        .opt(1232, 0, b"\x00\x0f\x00\x02\x00\x12")
        .examined_bare();
    let question = mixed();
    let (octets, message) = reply(&answer, &with_edns(&question), &PLAIN);
    assert_eq!(message.metadata.response_code, ResponseCode::Refused);
    assert_eq!(octets[12..12 + question.len()], question);
    assert_eq!(edes(&octets), [(18, String::new())]);
}

#[test]
fn extended_errors_take_the_room_that_is_left() {
    let answer = www()
        .answer(QNAME, RecordType::A, 300, A)
        .opt(1232, 0, b"\x00\x0f\x00\x06\x00\x0clong")
        .kept();
    let question = mixed();
    let ede = Some(Ede::STALE_ANSWER.with_text("why"));
    let of = |limit| {
        let how = Render {
            ede,
            limit,
            ..PLAIN
        };
        let (octets, message) = reply(&answer, &with_edns(&question), &how);
        assert_eq!(
            (message.answers.len(), message.metadata.truncation),
            (1, false)
        );
        edes(&octets)
    };
    let bare = 12 + question.len() + 16 + 11;
    let (why, long) = ((3, "why".to_owned()), (12, "long".to_owned()));
    let only_ours = vec![why.clone()];
    assert_eq!(of(bare + 19), [why, long]);
    assert_eq!(of(bare + 18), only_ours);
    assert_eq!(of(bare + 9), only_ours);
    assert_eq!(of(bare + 8), [(3, String::new())]);
    assert_eq!(of(bare + 6), [(3, String::new())]);
    assert_eq!(of(bare + 5), []);
    let how = Render { ede, ..PLAIN };
    let (octets, _) = reply(&answer, &asked(&question), &how);
    assert_eq!(octets.len(), bare - 11, "nothing for a client without EDNS");
}

/// Three answers, two authorities, four additional records in two sets.
fn full(code: u16) -> Answer {
    let (ns1, ns2) = (b"\x03ns1\xc0\x0c", b"\x03ns2\xc0\x0c");
    www()
        .flags(0x8180 | code)
        .answer(QNAME, RecordType::A, 300, &[10, 0, 0, 1])
        .answer(QNAME, RecordType::A, 300, &[10, 0, 0, 2])
        .answer(QNAME, RecordType::A, 300, &[10, 0, 0, 3])
        .authority(QNAME, RecordType::NS, 300, ns1)
        .authority(QNAME, RecordType::NS, 300, ns2)
        .additional(ns1, RecordType::A, 300, A)
        .additional(ns2, RecordType::A, 300, A)
        .additional(ns2, RecordType::A, 300, A)
        .additional(ns2, RecordType::AAAA, 300, &[0; 16])
        .kept()
}

#[test]
fn what_does_not_fit_is_left_out_from_the_end() {
    let question = mixed();
    let a = 16; // an A record owned by a pointer
    let ns = 12 + 6;
    let start = 12 + question.len();
    let (answers, authorities) = (start + 3 * a, start + 3 * a + 2 * ns);
    let whole = authorities + 3 * a + 12 + 16;
    // Positive; and NXDOMAIN, which is not said without its authority section.
    for (limit, counts, positive, negative) in [
        (whole, (3, 2, 4), false, false),
        (whole - 1, (3, 2, 3), false, false),
        (authorities + 3 * a, (3, 2, 3), false, false),
        (authorities + 3 * a - 1, (3, 2, 1), false, false), // no half of a set
        (authorities + 2 * a, (3, 2, 1), false, false),
        (authorities + a, (3, 2, 1), false, false),
        (authorities + a - 1, (3, 2, 0), false, false),
        (authorities, (3, 2, 0), false, false),
        (authorities - 1, (3, 0, 0), false, true),
        (answers, (3, 0, 0), false, true),
        (answers - 1, (2, 0, 0), true, true),
        (start + a - 1, (0, 0, 0), true, true),
        (start, (0, 0, 0), true, true),
    ] {
        for (code, truncated) in [(0, positive), (3, negative)] {
            let answer = full(code);
            for to in [asked(&question), with_edns(&question)] {
                let limit = limit + if to.edns.is_some() { 11 } else { 0 };
                let (octets, message) = reply(&answer, &to, &Render { limit, ..PLAIN });
                let authorities = match truncated && code == 3 && limit + 1 >= authorities {
                    true => 1,
                    false => counts.1,
                };
                let got = (
                    message.answers.len(),
                    message.authorities.len(),
                    message.additionals.len(),
                );
                assert_eq!(
                    (got, message.metadata.truncation),
                    ((counts.0, authorities, counts.2), truncated),
                    "{limit} {code}"
                );
                assert_eq!(message.edns.is_some(), to.edns.is_some());
                assert_eq!(octets[12..start], question);
            }
        }
    }
    let answer = full(0);
    let mut out = [0; 512];
    let how = Render {
        limit: start - 1,
        ..PLAIN
    };
    assert_eq!(
        answer.write(&asked(&question), &how, &mut out),
        0,
        "not even the question fits"
    );
    let how = Render {
        limit: start + 10,
        ..PLAIN
    };
    assert_eq!(
        answer.write(&with_edns(&question), &how, &mut out),
        0,
        "the OPT record must fit"
    );
    assert_eq!(
        answer.write(&asked(&question), &PLAIN, &mut out[..start - 1]),
        0
    );
}

#[test]
fn a_referral_without_its_addresses_is_truncated() {
    let ns = name("ns.example.com");
    let answer = www()
        .authority(&[0xc0, 16], RecordType::NS, 300, &ns)
        .additional(&ns, RecordType::A, 300, A)
        .additional(&ns, RecordType::HTTPS, 300, b"\x00\x01\x00")
        .kept();
    let question = mixed();
    let whole = reply(&answer, &asked(&question), &PLAIN).0.len();
    let truncated = |limit| {
        let how = Render { limit, ..PLAIN };
        reply(&answer, &asked(&question), &how)
            .1
            .metadata
            .truncation
    };
    assert!(!truncated(whole));
    assert!(!truncated(whole - 1), "only a binding is missing");
    assert!(truncated(whole - 20), "an address is missing");
}

#[test]
fn a_positive_answer_keeps_its_proof_or_is_truncated() {
    let mut signature = RecordType::NSEC.0.to_be_bytes().to_vec();
    signature.extend([0; 16]);
    signature.extend(name("example.com"));
    let answer = www()
        .answer(QNAME, RecordType::A, 300, A)
        .authority(&[0xc0, 16], RecordType::NSEC, 300, &name("z.example.com"))
        .authority(&[0xc0, 16], RecordType::RRSIG, 300, &signature)
        .kept();
    let question = mixed();
    let whole = reply(&answer, &asked(&question), &PLAIN).0.len();
    let how = Render {
        limit: whole - 1,
        ..PLAIN
    };
    let message = reply(&answer, &asked(&question), &how).1;
    assert!(message.metadata.truncation, "of a wildcard, perhaps");
}

#[test]
fn a_truncated_answer_stays_truncated() {
    let answer = www()
        .flags(0x8380)
        .answer(QNAME, RecordType::A, 300, A)
        .kept();
    let (_, message) = reply(&answer, &asked(&mixed()), &PLAIN);
    assert!(message.metadata.truncation);
}

#[test]
fn errors_say_why() {
    let question = mixed();
    let to = Asked {
        cd: true,
        ..with_edns(&question)
    };
    let mut out = [0; 512];
    let ede = Ede::NETWORK_ERROR.with_text("no way out is clear");
    let len = write_error(&to, Rcode::SERVFAIL, Some(ede), 1400, &mut out);
    let message = Message::from_vec(&out[..len]).expect("a message hickory reads");
    assert_eq!(flags(&out), 0x8192);
    assert_eq!(
        message.edns.as_ref().map(|edns| edns.max_payload()),
        Some(1400)
    );
    assert_eq!(edes(&out[..len]), [(23, "no way out is clear".to_owned())]);
    assert_eq!(out[12..12 + question.len()], question);
    let len = write_error(
        &asked(&question),
        Rcode::SERVFAIL,
        Some(ede),
        1400,
        &mut out,
    );
    assert_eq!(len, 12 + question.len());
    assert_eq!(
        write_error(&to, Rcode::SERVFAIL, None, 1400, &mut out[..20]),
        0
    );
    // A long text gives way, however large the buffer.
    let long = "x".repeat(500);
    let mut out = [0; 2000];
    let ede = Ede::NETWORK_ERROR.with_text(&long);
    let len = write_error(&to, Rcode::SERVFAIL, Some(ede), 1400, &mut out);
    assert_eq!(len, 12 + question.len() + 11 + 6);
}

#[test]
fn the_owned_form_is_the_same() {
    let question = mixed();
    let to = Asked {
        ad: true,
        ..with_edns(&question)
    };
    assert_eq!(OwnedAsked::from(to).as_ref(), to);
}

#[test]
fn queries_go_out_as_they_must() {
    let question = mixed();
    let mut out = [0; 512];
    let flags = QueryFlags {
        rd: true,
        cd: true,
        ad: false,
    };
    let edns = Some(OutgoingEdns {
        payload: 1232,
        dnssec_ok: true,
    });
    let len = write_query(&mut out, ID, flags, &question, edns);
    let message = Message::from_vec(&out[..len]).expect("a message hickory reads");
    assert_eq!(message.metadata.id, ID);
    assert!(message.metadata.recursion_desired && message.metadata.checking_disabled);
    assert!(!message.metadata.authentic_data);
    assert_eq!(message.queries[0].query_type(), Type::A);
    let edns = message.edns.expect("an OPT record");
    assert_eq!(
        (edns.max_payload(), edns.version(), edns.flags().dnssec_ok),
        (1232, 0, true)
    );
    assert_eq!(out[12..12 + question.len()], question);
    let len = write_query(
        &mut out,
        ID,
        QueryFlags {
            ad: true,
            ..Default::default()
        },
        &question,
        None,
    );
    assert_eq!(len, 12 + question.len());
    assert_eq!(out[2..4], [0, 0x20]);
    assert_eq!(
        write_query(&mut out[..len - 1], ID, flags, &question, None),
        0
    );
}

#[test]
fn padded_queries_are_as_long_as_their_block_and_read_as_before() {
    let question = mixed();
    let mut out = [0xaa; 512];
    let edns = Some(OutgoingEdns {
        payload: 1232,
        dnssec_ok: false,
    });
    let flags = QueryFlags {
        rd: true,
        ..Default::default()
    };
    let len = write_query(&mut out, ID, flags, &question, edns);
    for block in [len + 4, len + 3, 128, 468] {
        let mut out = out;
        let padded = pad_query(&mut out, len, block);
        assert!(
            padded.is_multiple_of(block) && padded >= len + 4,
            "{padded}"
        );
        let message = Message::from_vec(&out[..padded]).expect("a message hickory reads");
        assert_eq!(message.queries.len(), 1);
        assert!(out[len + 4..padded].iter().all(|it| *it == 0));
        match inspect(&out[..padded]) {
            Inspected::Query(query) => assert_eq!(query.asked.question, question),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pad_query(&mut out[..len + 4], len, 128), len, "no room");
}

#[test]
fn letter_case_is_changed_by_a_bit_for_a_letter() {
    let plain = question("a1-Zz.example", RecordType(0x4142));
    let mut question = plain.clone();
    let mut draws = 0;
    randomize_case(&mut question, || {
        draws += 1;
        0x2000_ffdf_2020_2020
    });
    assert_eq!(draws, 2);
    assert_eq!(question[..15], *b"\x05A1-ZZ\x07EXAMPlE\0");
    assert_eq!(
        question[question.len() - 4..],
        [0x41, 0x42, 0, 1],
        "the type is no letter"
    );
    assert!(question.eq_ignore_ascii_case(&plain));
    let mut long = name(&"abcdefghi.".repeat(25));
    long.extend([0, 1, 0, 1]);
    randomize_case(&mut long, || {
        draws += 1;
        u64::MAX
    });
    assert_eq!(draws, 2 + 251u32.div_ceil(8));
    assert!(!long.iter().any(u8::is_ascii_lowercase));
    for octet in 0..=u8::MAX {
        let mut question = [octet, octet, 0, 0, 0, 0];
        randomize_case(&mut question, || u64::MAX);
        let changed = match octet.is_ascii_alphabetic() {
            true => octet ^ 0x20,
            false => octet,
        };
        assert_eq!(question[..2], [changed; 2]);
    }
}
