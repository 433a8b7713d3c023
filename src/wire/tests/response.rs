use super::support::{ID, Packet, QNAME, name, question};
use crate::wire::{Kind, Mismatch, Rcode, RecordType, Response, Sent, examine};

const A: &[u8] = &[192, 0, 2, 1];

fn sent(question: &[u8]) -> Sent<'_> {
    Sent {
        id: ID,
        question,
        exact_case: false,
    }
}

fn try_examine(packet: &Packet) -> Result<Response<'_>, Mismatch> {
    examine(
        &packet.0,
        &sent(&question("www.example.com", RecordType::A)),
    )
}

fn www() -> Packet {
    Packet::response("www.example.com", RecordType::A)
}

fn garbled(packet: &Packet) -> bool {
    matches!(try_examine(packet), Err(Mismatch::Garbled(_)))
}

#[test]
fn an_answer_is_positive() {
    let packet = www()
        .answer(QNAME, RecordType::A, 300, A)
        .answer(QNAME, RecordType::A, 60, A);
    let response = try_examine(&packet).expect("a response");
    assert_eq!(response.kind(), Kind::Positive);
    assert_eq!(response.lowest_ttl(), Some(60));
    assert_eq!(response.negative_ttl(), None);
    assert!(response.recursion_available() && !response.has_opt() && response.case_kept());
    assert!(!response.authoritative() && !response.truncated() && !response.authenticated());
}

#[test]
fn everything_that_was_sent_must_come_back() {
    let packet = www().answer(QNAME, RecordType::A, 300, A);
    let question = question("www.example.com", RecordType::A);
    let check = |packet: &Packet| examine(&packet.0, &sent(&question)).map(|_| ());
    assert_eq!(check(&packet), Ok(()));
    assert_eq!(
        check(&Packet(packet.0[..11].to_vec())),
        Err(Mismatch::Short)
    );
    assert_eq!(
        check(&packet.clone().flags(0x0180)),
        Err(Mismatch::NotAResponse)
    );
    assert_eq!(check(&packet.clone().flags(0x8980)), Err(Mismatch::Opcode));
    for bit in 0..16 {
        let other = Sent {
            id: ID ^ 1 << bit,
            ..sent(&question)
        };
        assert_eq!(examine(&packet.0, &other).map(|_| ()), Err(Mismatch::Id));
    }
    for at in 12..packet.0.len() - 16 {
        let mut other = packet.clone();
        other.0[at] ^= 1;
        assert_eq!(check(&other), Err(Mismatch::Question), "octet {at}");
    }
    let two = www().question(&question);
    assert_eq!(check(&two), Err(Mismatch::Question));
    assert_eq!(
        check(&packet.clone().count(4, 0)),
        Err(Mismatch::Question),
        "it cannot be read, but whose is it?"
    );
    assert_eq!(check(&Packet::header(0x8180)), Err(Mismatch::Question));
}

#[test]
fn letter_case_counts_where_it_was_made_random() {
    let question = question("wWw.eXample.com", RecordType::A);
    let exact = Sent {
        id: ID,
        question: &question,
        exact_case: true,
    };
    let lazy = Sent {
        exact_case: false,
        ..exact
    };
    let kept = Packet::response("wWw.eXample.com", RecordType::A);
    let lost = www();
    assert!(examine(&kept.0, &exact).is_ok_and(|response| response.case_kept()));
    assert_eq!(examine(&lost.0, &exact).map(|_| ()), Err(Mismatch::Case));
    assert!(examine(&lost.0, &lazy).is_ok_and(|response| !response.case_kept()));
    // A type that differs in the bit that makes letters capital is another type.
    let question = [name("a"), vec![0, 0x41, 0, 1]].concat();
    let other = Packet::header(0x8180).question(&[name("a"), vec![0, 0x61, 0, 1]].concat());
    assert_eq!(
        examine(&other.0, &sent(&question)).map(|_| ()),
        Err(Mismatch::Question)
    );
}

#[test]
fn failures_may_come_without_a_question() {
    for code in [1u16, 2, 4, 5, 9] {
        let packet = Packet::header(0x8180 | code);
        let response = try_examine(&packet).expect("a failure");
        assert_eq!(
            (response.kind(), response.rcode()),
            (Kind::Failure, Rcode(code))
        );
    }
    let badvers = Packet::header(0x8180).opt(1232, 0x0100_0000, &[]);
    assert_eq!(try_examine(&badvers).map(|r| r.rcode()), Ok(Rcode::BADVERS));
    let answering = Packet::header(0x8182).answer(&[0], RecordType::A, 300, A);
    assert_eq!(
        try_examine(&answering).map(|_| ()),
        Err(Mismatch::Question),
        "records that answer no question"
    );
    for code in [0u16, 3] {
        let packet = Packet::header(0x8180 | code);
        assert_eq!(try_examine(&packet).map(|_| ()), Err(Mismatch::Question));
    }
}

#[test]
fn no_data_and_no_name_carry_their_time() {
    let packet = www().soa(300, 60);
    let response = try_examine(&packet).expect("a response");
    assert_eq!(
        (response.kind(), response.negative_ttl()),
        (Kind::NoData, Some(60))
    );
    assert_eq!(response.lowest_ttl(), None);
    let packet = www().flags(0x8183).soa(30, 60);
    let response = try_examine(&packet).expect("a response");
    assert_eq!(
        (response.kind(), response.negative_ttl()),
        (Kind::NxDomain, Some(30))
    );
    let response = try_examine(&packet).expect("a response");
    assert_eq!(response.rcode(), Rcode::NXDOMAIN);
    let packet = www().soa(0x8000_0000, 60);
    assert_eq!(try_examine(&packet).map(|r| r.negative_ttl()), Ok(Some(0)));
    for bare in [www(), www().flags(0x8183)] {
        let response = try_examine(&bare).expect("a response");
        assert!(response.kind().is_negative());
        assert_eq!(response.negative_ttl(), None);
    }
}

#[test]
fn chains_are_followed_to_their_end() {
    let (b, c) = (name("b.test"), name("c.test"));
    let chain = || {
        www()
            .answer(QNAME, RecordType::CNAME, 300, &b)
            .answer(&b, RecordType::CNAME, 60, &c)
    };
    let kind = |packet: Packet| try_examine(&packet).expect("a response").kind();
    assert_eq!(
        kind(chain().answer(&c, RecordType::A, 300, A)),
        Kind::Positive
    );
    assert_eq!(
        kind(chain().answer(&name("C.Test"), RecordType::A, 300, A)),
        Kind::Positive
    );
    assert_eq!(
        kind(chain().answer(&c, RecordType::AAAA, 300, &[0; 16])),
        Kind::Unfinished
    );
    assert_eq!(kind(chain().soa(300, 60)), Kind::NoData);
    assert_eq!(kind(chain().flags(0x8183).soa(300, 60)), Kind::NxDomain);
    assert_eq!(kind(chain()), Kind::Unfinished);
    assert_eq!(
        kind(chain().answer(&name("d.test"), RecordType::A, 300, A)),
        Kind::Unfinished
    );
    let packet = chain().flags(0x8183).soa(300, 60);
    let response = try_examine(&packet).expect("a response");
    assert_eq!(
        (response.negative_ttl(), response.lowest_ttl()),
        (Some(60), Some(60))
    );
    // Backwards, as some balancers send it.
    let packet = www()
        .answer(&c, RecordType::A, 300, A)
        .answer(&b, RecordType::CNAME, 300, &c)
        .answer(QNAME, RecordType::CNAME, 300, &b);
    assert_eq!(kind(packet), Kind::Positive);
    // Asked for itself, an alias is the answer.
    let packet = Packet::response("www.example.com", RecordType::CNAME).answer(
        QNAME,
        RecordType::CNAME,
        300,
        &b,
    );
    assert_eq!(packet.examined().kind(), Kind::Positive);
}

#[test]
fn a_chain_in_a_circle_is_no_answer() {
    let b = name("b.test");
    let packet =
        www()
            .answer(QNAME, RecordType::CNAME, 300, &b)
            .answer(&b, RecordType::CNAME, 300, QNAME);
    let response = try_examine(&packet).expect("a response");
    assert_eq!(
        (response.kind(), response.negative_ttl()),
        (Kind::Unfinished, None)
    );
    let packet = www().answer(QNAME, RecordType::CNAME, 300, QNAME);
    assert_eq!(try_examine(&packet).map(|r| r.kind()), Ok(Kind::Unfinished));
}

#[test]
fn a_long_chain_in_order_is_an_answer() {
    let names: Vec<Vec<u8>> = (0..50).map(|i| name(&format!("n{i}.test"))).collect();
    let mut packet = www().answer(QNAME, RecordType::CNAME, 300, &names[0]);
    for pair in names.windows(2) {
        packet = packet.answer(&pair[0], RecordType::CNAME, 300, &pair[1]);
    }
    let packet = packet.answer(&names[49], RecordType::A, 300, A);
    assert_eq!(try_examine(&packet).map(|r| r.kind()), Ok(Kind::Positive));
}

#[test]
fn what_is_beside_the_point_is_no_answer() {
    let kind = |packet: Packet| try_examine(&packet).expect("a response").kind();
    assert_eq!(
        kind(www().answer(&name("b.test"), RecordType::A, 300, A)),
        Kind::Other
    );
    assert_eq!(
        kind(www().answer(QNAME, RecordType::AAAA, 300, &[0; 16])),
        Kind::Other
    );
    let referral = || www().authority(&[0xc0, 16], RecordType::NS, 300, &name("ns.test"));
    assert_eq!(kind(referral()), Kind::Referral);
    assert_eq!(kind(referral().soa(300, 60)), Kind::NoData);
    assert_eq!(kind(www().flags(0x8182)), Kind::Failure);
    assert_eq!(
        kind(www().flags(0x8380)),
        Kind::Other,
        "truncated before the answer"
    );
}

#[test]
fn messages_may_be_cut() {
    let whole = www()
        .answer(QNAME, RecordType::A, 300, A)
        .answer(QNAME, RecordType::A, 300, A);
    let one = whole.0.len() - 16;
    for flags in [0x8380, 0x8180] {
        let whole = whole.clone().flags(flags);
        for cut in 33..whole.0.len() {
            let packet = Packet(whole.0[..cut].to_vec());
            let response = try_examine(&packet).expect("a truncated response");
            assert!(response.truncated() && response.is_cut());
            // What stands before the cut is of use, but not to be kept.
            let expected = match cut >= one {
                true => (Kind::Positive, Some(300)),
                false => (Kind::Other, None),
            };
            assert_eq!((response.kind(), response.lowest_ttl()), expected, "{cut}");
            assert_eq!((packet.kept().ttl(), packet.kept().truncated()), (0, true));
            assert_eq!(packet.kept().has_answers(), cut >= one);
        }
    }
    let whole = whole.flags(0x8380);
    let response = try_examine(&whole).expect("a truncated response");
    assert!(!response.is_cut());
    assert_eq!(
        (response.kind(), response.lowest_ttl()),
        (Kind::Positive, Some(300))
    );
    assert_eq!(whole.kept().ttl(), 0, "nothing to keep");
    assert!(whole.kept().truncated());
    let spoilt = www()
        .flags(0x8380)
        .answer(QNAME, RecordType::A, 300, &A[..3]);
    let response = try_examine(&spoilt).expect("a truncated response");
    assert!(response.truncated(), "whatever its records are");
}

#[test]
fn garbled_records_are_found_out() {
    let soa = |data: &[u8]| www().authority(QNAME, RecordType::SOA, 60, data);
    for packet in [
        www().answer(&[0xc0, 33], RecordType::A, 300, A),
        www().answer(&[0xc0, 40], RecordType::A, 300, A),
        www().answer(QNAME, RecordType::A, 300, &A[..3]),
        www().answer(QNAME, RecordType::A, 300, &[0; 5]),
        www().answer(QNAME, RecordType::AAAA, 300, A),
        www().answer(QNAME, RecordType::CNAME, 300, &[]),
        www().answer(QNAME, RecordType::CNAME, 300, b"\x01a\x00\x00"),
        www().answer(QNAME, RecordType::MX, 300, &[0, 1]),
        www().answer(QNAME, RecordType::NAPTR, 300, &[0, 1, 0, 1, 9]),
        soa(&[0xc0, 12, 0xc0, 12]),
        soa(&[0; 21]),
        soa(&[0; 23]),
        www().opt(1232, 0, &[]).opt(1232, 0, &[]),
        www().answer(&[0], RecordType::OPT, 0, &[]),
        www().additional(QNAME, RecordType::OPT, 0, &[]),
    ] {
        assert!(garbled(&packet), "{:?}", packet.0);
    }
}

#[test]
fn unknown_types_are_opaque() {
    let packet = Packet::response("www.example.com", RecordType(65280))
        .answer(QNAME, RecordType(65280), 300, &[0xc0, 0xff, 0x40])
        .answer(QNAME, RecordType(65280), 300, &[]);
    assert_eq!(packet.examined().kind(), Kind::Positive);
}

#[test]
fn what_trails_is_dropped() {
    let plain = www().answer(QNAME, RecordType::A, 300, A);
    let trailed = plain.clone().octets(&[0xff; 50]);
    assert_eq!(trailed.kept(), plain.kept());
}

#[test]
fn names_do_not_borrow_octets_that_change() {
    let pointer = |at: usize| (0xc000 | at as u16).to_be_bytes();
    let additional = |packet: Packet, owner: &[u8]| packet.additional(owner, RecordType::A, 60, A);
    // A name among the options of an OPT record, and the root it is owned by.
    let at = www().0.len();
    let packet = www().opt(1232, 0, b"\xfd\xe9\x00\x03\x01a\x00");
    assert!(garbled(&additional(packet, &pointer(at + 11 + 4))));
    assert!(garbled(&additional(www().opt(1232, 0, &[]), &pointer(at))));
    // A TTL that reads as a name, before it and behind it.
    for start in [0, 1, 2, 3] {
        let packet = www().answer(QNAME, RecordType::A, 0x0100_0100, A);
        assert!(
            garbled(&additional(packet, &pointer(at + 6 + start))),
            "{start}"
        );
    }
    let into_its_own = www().answer(QNAME, RecordType::CNAME, 0, &pointer(at + 6));
    assert!(garbled(&into_its_own));
}

#[test]
fn extended_errors_come_along() {
    let options = b"\x00\x03\x00\x01x\x00\x0f\x00\x07\x00\x16lost\xff\x00\x0f\x00\x02\x00\x03\x00\x0f\x00\x01\x00";
    let packet = www().flags(0x8182).opt(1232, 0, options);
    let response = try_examine(&packet).expect("a response");
    assert!(response.has_opt());
    let edes: Vec<(u16, &str)> = response.edes().map(|ede| (ede.code, ede.text)).collect();
    assert_eq!(edes, [(22, "lost"), (3, "")]);
}

#[test]
fn the_extended_code_is_put_together() {
    let packet = www().flags(0x8187).opt(1232, 0x0100_0000, &[]);
    assert_eq!(
        try_examine(&packet).map(|r| r.rcode()),
        Ok(Rcode::BADCOOKIE)
    );
}

#[test]
fn records_of_other_classes_answer_nothing() {
    let of_chaos = |mut packet: Packet, data: usize| {
        let class = packet.0.len() - data - 8;
        packet.0[class..class + 2].copy_from_slice(&[0, 3]);
        packet
    };
    let kind = |packet: &Packet| try_examine(packet).expect("a response").kind();
    let a = of_chaos(www().answer(QNAME, RecordType::A, 300, A), 4);
    assert_eq!(kind(&a), Kind::Other);
    let alias = of_chaos(www().answer(QNAME, RecordType::CNAME, 300, &[9]), 1);
    assert_eq!(kind(&alias), Kind::Other);
    let soa = of_chaos(
        www()
            .flags(0x8183)
            .authority(QNAME, RecordType::SOA, 300, &[]),
        0,
    );
    let response = try_examine(&soa).expect("a response");
    assert_eq!(response.negative_ttl(), None);
    assert_eq!(soa.kept().negative_ttl(), None);
}
