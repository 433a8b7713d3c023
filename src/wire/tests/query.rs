use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

use super::support::{ID, Packet, question};
use crate::wire::{Garbage, Inspected, Query, Rcode, RecordType, Refusal, inspect};

fn passed(packet: &Packet) -> Query<'_> {
    match inspect(&packet.0) {
        Inspected::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

fn refused(packet: &Packet) -> (Refusal<'_>, Vec<u8>) {
    let Inspected::Refuse(refusal) = inspect(&packet.0) else {
        panic!("not refused: {:?}", inspect(&packet.0));
    };
    let mut out = vec![0; 512];
    let len = refusal.write(1232, &mut out);
    out.truncate(len);
    assert!(len >= 12);
    assert_eq!(out[..2], ID.to_be_bytes());
    (refusal, out)
}

/// The rcode and whether question and OPT are in the reply, as hickory reads it.
fn verdict(packet: &Packet) -> (ResponseCode, usize, bool) {
    let (_, reply) = refused(packet);
    let message = Message::from_vec(&reply).expect("a message hickory reads");
    assert!(message.answers.is_empty());
    (
        message.metadata.response_code,
        message.queries.len(),
        message.edns.is_some(),
    )
}

fn www() -> Packet {
    Packet::query("wWw.Example.com", RecordType::A)
}

#[test]
fn a_plain_query_passes() {
    let packet = www();
    let query = passed(&packet);
    assert_eq!(query.key().to_string(), "www.example.com. A");
    assert_eq!(
        query.asked.question,
        question("wWw.Example.com", RecordType::A)
    );
    assert_eq!(
        (query.asked.id, query.asked.rd, query.asked.cd),
        (ID, true, false)
    );
    assert_eq!(query.asked.edns, None);
    assert_eq!(query.asked.udp_limit(1232), 512);
}

#[test]
fn flags_reach_the_key_and_the_reply() {
    let packet = www().flags(0x0130).opt(4096, 0x8000, &[]);
    let query = passed(&packet);
    assert!(query.key().dnssec_ok() && query.key().checking_disabled());
    assert!(query.asked.ad && query.asked.cd && query.asked.rd);
    assert_eq!(query.asked.udp_limit(1232), 1232);
    assert!(!passed(&www().flags(0)).asked.rd);
}

#[test]
fn noise_in_the_flags_is_ignored() {
    // AA, TC, RA, Z and an rcode mean nothing in a query.
    let packet = www().flags(0x07cf);
    assert_eq!(passed(&packet).key(), passed(&www()).key());
}

#[test]
fn what_is_no_query_is_never_answered() {
    for len in 0..12 {
        let octets = &www().0[..len];
        assert!(
            matches!(inspect(octets), Inspected::Drop(Garbage::Short)),
            "{len}"
        );
    }
    for flags in [0x8000, 0x8180, 0xf800] {
        let packet = www().flags(flags);
        assert!(matches!(
            inspect(&packet.0),
            Inspected::Drop(Garbage::Response)
        ));
    }
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16u16 {
        let plain = www().flags(opcode << 11 | 0x0170);
        for (packet, opts) in [(plain.clone(), 0), (plain.opt(1232, 0, &[]), 1)] {
            let (refusal, reply) = refused(&packet);
            assert_eq!(refusal.rcode(), Rcode::NOTIMP);
            assert_eq!(
                reply.len(),
                12 + 11 * opts,
                "a header, and an OPT for an OPT"
            );
            assert_eq!(
                u16::from_be_bytes([reply[2], reply[3]]),
                0x8104 | opcode << 11
            );
            assert_eq!(reply[4..12], [0, 0, 0, 0, 0, 0, 0, opts as u8]);
        }
    }
}

#[test]
fn there_is_exactly_one_question() {
    let none = Packet::header(0x0100);
    assert_eq!(verdict(&none), (ResponseCode::FormErr, 0, false));
    assert_eq!(
        verdict(&none.clone().opt(1232, 0, &[])),
        (ResponseCode::FormErr, 0, true)
    );
    let two = www().question(&question("a.", RecordType::A));
    assert_eq!(verdict(&two), (ResponseCode::FormErr, 0, false));
    // Several are not walked, so what stands behind them is not seen.
    assert_eq!(
        verdict(&two.clone().opt(1232, 0, &[])),
        (ResponseCode::FormErr, 0, false)
    );
    assert_eq!(
        verdict(&www().count(4, 0xffff)),
        (ResponseCode::FormErr, 0, false)
    );
}

#[test]
fn a_garbled_question_is_a_format_error() {
    for garbled in [
        &b"\x03www"[..],
        b"\x03www\x00",
        b"\x03www\x00\x00\x01\x00",
        b"\xc0\x0c\x00\x01\x00\x01",
        b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01",
        b"\x01a\xc0\x0c\x00\x01\x00\x01",
        b"\xc0\x00\x00\x01\x00\x01",
        b"\x41a\x00\x00\x01\x00\x01",
        b"\x81a\x00\x00\x01\x00\x01",
        b"",
    ] {
        let packet = Packet::header(0x0100).question(garbled);
        assert_eq!(
            verdict(&packet),
            (ResponseCode::FormErr, 0, false),
            "{garbled:?}"
        );
    }
    let long: Vec<u8> = b"\x01a".repeat(128);
    let packet = Packet::header(0x0100).question(&[&long[..], &[0, 0, 1, 0, 1]].concat());
    assert_eq!(verdict(&packet), (ResponseCode::FormErr, 0, false));
    // One octet less is the longest name there is.
    let long: Vec<u8> = b"\x01a".repeat(127);
    let packet = Packet::header(0x0100).question(&[&long[..], &[0, 0, 1, 0, 1]].concat());
    assert_eq!(passed(&packet).key().name().len(), 255);
}

#[test]
fn other_classes_are_refused() {
    for class in [0, 2, 3, 4, 254, 255, 4711u16] {
        let mut packet = www();
        let at = packet.0.len() - 2;
        packet.0[at..].copy_from_slice(&class.to_be_bytes());
        assert_eq!(
            verdict(&packet),
            (ResponseCode::Refused, 1, false),
            "{class}"
        );
    }
}

#[test]
fn types_that_name_no_records_are_turned_away() {
    for (number, code) in [
        (0, ResponseCode::FormErr),
        (41, ResponseCode::FormErr),
        (128, ResponseCode::FormErr),
        (200, ResponseCode::FormErr),
        (249, ResponseCode::NotImp),
        (250, ResponseCode::FormErr),
        (251, ResponseCode::Refused),
        (252, ResponseCode::Refused),
        (253, ResponseCode::NotImp),
        (254, ResponseCode::NotImp),
    ] {
        let packet = Packet::header(0x0100).question(&question("a.", RecordType(number)));
        assert_eq!(verdict(&packet), (code, 1, false), "{number}");
        assert_eq!(
            verdict(&packet.clone().opt(1232, 0, &[])),
            (code, 1, true),
            "{number}"
        );
    }
    for number in [1, 99, 256, 257, 1000, 32769, 65280, 65535] {
        let packet = Packet::query("a.", RecordType(number));
        assert_eq!(passed(&packet).key().record_type().0, number);
    }
}

#[test]
fn any_is_answered_with_hinfo() {
    let packet = Packet::query("WWW.example.com", RecordType::ANY).opt(1232, 0x8000, &[]);
    let (refusal, reply) = refused(&packet);
    assert_eq!(refusal.rcode(), Rcode::NOERROR);
    let message = Message::from_vec(&reply).expect("a message hickory reads");
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    let [record] = &message.answers[..] else {
        panic!("{message}")
    };
    let RData::HINFO(hinfo) = &record.data else {
        panic!("{message}")
    };
    assert_eq!((&hinfo.cpu[..], &hinfo.os[..]), (&b"RFC8482"[..], &b""[..]));
    assert!(record.ttl > 0);
    assert_eq!(
        record.name.to_string(),
        "WWW.example.com.",
        "the client's letters"
    );
    let edns = message.edns.expect("an OPT record");
    assert!(edns.flags().dnssec_ok);
    let (_, reply) = refused(&Packet::query("a.", RecordType::ANY));
    assert!(Message::from_vec(&reply).expect("a message").edns.is_none());
}

#[test]
fn payloads_below_512_mean_512() {
    for (sent, meant) in [(0, 512), (511, 512), (512, 512), (513, 513), (65535, 65535)] {
        let packet = www().opt(sent, 0, &[]);
        assert_eq!(
            passed(&packet).asked.edns.map(|edns| edns.payload),
            Some(meant)
        );
    }
}

#[test]
fn unknown_options_and_flags_are_ignored() {
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let unknown = [0xfd, 0xe9, 0, 0];
    let options = [&cookie[..], &unknown].concat();
    let packet = www().opt(1232, 0x7fff, &options);
    assert!(!passed(&packet).asked.dnssec_ok());
}

#[test]
fn later_versions_of_edns_are_told_ours() {
    for version in [1u32, 2, 255] {
        // What a later version has for options is not known: these are none of version 0.
        let packet = www().opt(1232, version << 16 | 0x8000, &[1, 2, 3]);
        let (refusal, reply) = refused(&packet);
        assert_eq!(refusal.rcode(), Rcode::BADVERS);
        let message = Message::from_vec(&reply).expect("a message hickory reads");
        let edns = message.edns.as_ref().expect("an OPT record");
        assert_eq!((edns.version(), edns.rcode_high()), (0, 1));
        assert!(edns.flags().dnssec_ok);
        assert_eq!(u16::from(message.metadata.response_code), 16);
        assert_eq!(message.queries.len(), 1);
    }
}

#[test]
fn a_wrong_opt_record_is_a_format_error_with_an_opt_record() {
    let expected = (ResponseCode::FormErr, 1, true);
    let two = www().opt(1232, 0, &[]).opt(1232, 0, &[]);
    assert_eq!(verdict(&two), expected);
    for malformed in [&[0][..], &[0, 10, 0], &[0, 10, 0, 1], &[0, 3, 0, 0, 0]] {
        assert_eq!(
            verdict(&www().opt(1232, 0, malformed)),
            expected,
            "{malformed:?}"
        );
    }
    let owned = www().additional(b"\x01a\x00", RecordType::OPT, 0, &[]);
    assert_eq!(verdict(&owned), expected);
    let misplaced = www().answer(&[0], RecordType::OPT, 0, &[]);
    assert_eq!(verdict(&misplaced), expected);
}

#[test]
fn other_records_are_skipped() {
    let packet = www()
        .additional(b"\x01a\xc0\x10", RecordType::A, 0, &[1, 2, 3, 4])
        .opt(1232, 0, &[])
        .additional(&[0], RecordType::TSIG, 0, &[0; 20]);
    assert!(passed(&packet).asked.edns.is_some());
}

#[test]
fn counts_that_claim_too_much_are_a_format_error() {
    for at in [6, 8, 10] {
        for count in [1, 2, 0xffff] {
            let packet = www().count(at, count);
            assert_eq!(verdict(&packet), (ResponseCode::FormErr, 1, false));
        }
    }
    let packet = www().opt(1232, 0, &[]).count(10, 2);
    assert_eq!(verdict(&packet), (ResponseCode::FormErr, 1, true));
    let whole = www().opt(1232, 0, &[0, 3, 0, 0]).0;
    for cut in question("wWw.Example.com", RecordType::A).len() + 12..whole.len() {
        let packet = Packet(whole[..cut].to_vec());
        assert_eq!(verdict(&packet), (ResponseCode::FormErr, 1, false), "{cut}");
    }
}

#[test]
fn what_trails_is_ignored() {
    let packet = www().octets(&[0xff; 40]);
    assert_eq!(passed(&packet).key(), passed(&www()).key());
}

#[test]
fn refusals_keep_the_letters_and_copy_rd_and_cd_only() {
    let mut packet = www().flags(0x01ff & !0x000f);
    let at = packet.0.len() - 2;
    packet.0[at + 1] = 3;
    let (_, reply) = refused(&packet);
    assert_eq!(reply[12..], packet.0[12..]);
    assert_eq!(u16::from_be_bytes([reply[2], reply[3]]), 0x8195);
}

#[test]
fn a_small_buffer_gets_nothing() {
    let packet = Packet::query("WWW.example.com", RecordType::ANY).opt(1232, 0, &[]);
    let Inspected::Refuse(refusal) = inspect(&packet.0) else {
        panic!()
    };
    let mut out = [0; 512];
    let len = refusal.write(1232, &mut out);
    for short in 0..len {
        assert_eq!(refusal.write(1232, &mut out[..short]), 0, "{short}");
    }
}
