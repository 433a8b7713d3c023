use hickory_proto::op::Message;
use hickory_proto::rr::RData;

use super::support::{PLAIN, Packet, QNAME, asked, name, question, reply};
use crate::wire::{Answer, Kind, RecordType};

const A: &[u8] = &[192, 0, 2, 1];

fn www() -> Packet {
    Packet::response("www.example.com", RecordType::A)
}

/// What a client gets of `packet`, as hickory reads it.
fn kept(packet: &Packet) -> Message {
    let answer = packet.kept();
    let question = answer.question().to_vec();
    reply(&answer, &asked(&question), &PLAIN).1
}

fn ttls(message: &Message) -> Vec<u32> {
    message.all_sections().map(|record| record.ttl).collect()
}

#[test]
fn a_single_address_takes_65_octets() {
    let packet = Packet::response("aaaaaa.bbbbbbb.example", RecordType::A)
        .answer(QNAME, RecordType::A, 300, A)
        .opt(1232, 0, &[]);
    assert_eq!(name("aaaaaa.bbbbbbb.example").len(), 24);
    assert_eq!(packet.kept().len(), 65);
}

#[test]
fn an_answer_tells_its_time() {
    let packet = www().answer(QNAME, RecordType::A, 300, A).soa(20, 10);
    let answer = packet.kept();
    assert_eq!(
        (answer.kind(), answer.ttl(), answer.negative_ttl()),
        (Kind::Positive, 300, None)
    );
    let answer = www().soa(300, 60).kept();
    assert_eq!(
        (answer.kind(), answer.ttl(), answer.negative_ttl()),
        (Kind::NoData, 60, Some(60))
    );
    let alias = |ttl| www().answer(QNAME, RecordType::CNAME, ttl, &name("b.test"));
    let answer = alias(40).flags(0x8183).soa(300, 60).kept();
    assert_eq!((answer.ttl(), answer.negative_ttl()), (40, Some(60)));
    assert_eq!(alias(40).kept().ttl(), 0, "a chain without an end");
    assert_eq!(www().kept().ttl(), 0, "no SOA");
    assert_eq!(
        www()
            .flags(0x8182)
            .answer(QNAME, RecordType::A, 300, A)
            .kept()
            .ttl(),
        0
    );
    let referral = www().authority(QNAME, RecordType::NS, 300, &name("ns.test"));
    assert_eq!(referral.kept().ttl(), 0);
}

#[test]
fn ttls_with_the_top_bit_are_zero() {
    let packet = www()
        .answer(QNAME, RecordType::A, 0x8000_0000, A)
        .authority(QNAME, RecordType::NS, u32::MAX, b"\x02ns\xc0\x0c")
        .additional(b"\x02ns\xc0\x0c", RecordType::A, 0x7fff_ffff, A);
    assert_eq!(packet.kept().ttl(), 0);
    assert_eq!(ttls(&kept(&packet)), [0, 0, 0x7fff_ffff]);
}

#[test]
fn record_sets_are_evened_to_their_lowest() {
    let host = b"\x04host\xc0\x0c";
    let packet = www()
        .answer(QNAME, RecordType::A, 300, A)
        .answer(&name("WWW.example.com"), RecordType::A, 200, A)
        .answer(QNAME, RecordType::A, 250, A)
        .authority(QNAME, RecordType::NS, 50, host)
        .additional(host, RecordType::A, 10, A)
        .additional(host, RecordType::AAAA, 70, &[0; 16])
        .additional(host, RecordType::A, 9, A);
    assert_eq!(ttls(&kept(&packet)), [200, 200, 200, 50, 9, 70, 9]);
}

#[test]
fn a_large_set_is_evened_from_end_to_end() {
    let mut packet = www();
    for i in 0..200u8 {
        packet = packet.answer(QNAME, RecordType::A, 1000 - u32::from(i), &[10, 0, 0, i]);
    }
    let message = kept(&packet);
    assert!(
        ttls(&message).iter().all(|ttl| *ttl == 801),
        "{:?}",
        ttls(&message)
    );
}

#[test]
fn signatures_of_different_sets_are_not_one_set() {
    let signature = |covered: RecordType| {
        let mut data = covered.0.to_be_bytes().to_vec();
        data.extend([0; 16]);
        data.extend(name("example.com"));
        data.extend([1, 2, 3]);
        data
    };
    let packet = Packet::response("www.example.com", RecordType::RRSIG)
        .answer(QNAME, RecordType::RRSIG, 300, &signature(RecordType::A))
        .answer(QNAME, RecordType::RRSIG, 200, &signature(RecordType::AAAA))
        .answer(QNAME, RecordType::RRSIG, 100, &signature(RecordType::A));
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let mut octets = vec![0; 1000];
    answer.write(&asked(&question), &PLAIN, &mut octets);
    let ttl = |index: usize| {
        let at = 12 + question.len() + index * (12 + signature(RecordType::A).len()) + 6;
        u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    assert_eq!([ttl(0), ttl(1), ttl(2)], [100, 200, 100]);
}

#[test]
fn the_soa_of_a_negative_answer_counts_from_its_minimum() {
    assert_eq!(ttls(&kept(&www().soa(3600, 60))), [60]);
    assert_eq!(ttls(&kept(&www().soa(60, 3600))), [60]);
    let positive = www().answer(QNAME, RecordType::A, 300, A).soa(3600, 60);
    assert_eq!(ttls(&kept(&positive)), [300, 3600]);
}

#[test]
fn random_letters_do_not_outlive_the_exchange() {
    let packet = Packet::response("wWw.eXample.com", RecordType::A)
        .answer(
            &name("wWw.eXample.com"),
            RecordType::CNAME,
            300,
            &name("B.Test"),
        )
        .answer(&name("B.Test"), RecordType::A, 300, A);
    let answer = packet.kept();
    assert_eq!(
        answer.question(),
        question("www.example.com", RecordType::A)
    );
    let message = kept(&packet);
    assert_eq!(message.answers[0].name.to_string(), "www.example.com.");
    assert_eq!(
        message.answers[1].name.to_string(),
        "B.Test.",
        "the zone's own letters stay"
    );
}

#[test]
fn what_stands_behind_a_dropped_opt_record_is_as_it_was() {
    // OPT comes first in the additional section; behind it a name in full, and pointers to it and to the
    // question.
    let mail = b"\x00\x09\x04mail\xc0\x0c";
    let base = Packet::response("www.example.com", RecordType::MX)
        .answer(QNAME, RecordType::MX, 300, mail)
        .opt(1232, 0, b"\x00\x03\x00\x05hello");
    let at = base.0.len() as u16;
    let host = (0xc000 | at).to_be_bytes();
    let packet = base
        .additional(b"\x04mail\x03www\xc0\x10", RecordType::A, 60, A)
        .additional(&host, RecordType::AAAA, 60, &[1; 16])
        .additional(b"\x04Mail\xc0\x0c", RecordType::A, 60, A);
    let message = kept(&packet);
    let owners: Vec<String> = message
        .additionals
        .iter()
        .map(|record| record.name.to_string())
        .collect();
    assert_eq!(owners.len(), 3, "{message}");
    assert_eq!(owners[..2], ["mail.www.example.com."; 2]);
    assert!(owners[2].eq_ignore_ascii_case("mail.www.example.com."));
    let RData::MX(data) = &message.answers[0].data else {
        panic!("{message}")
    };
    assert_eq!(data.exchange.to_string(), "mail.www.example.com.");
}

#[test]
fn ttls_are_capped_from_both_sides() {
    let mut answer = www()
        .answer(QNAME, RecordType::A, 5, A)
        .authority(QNAME, RecordType::NS, 1_000_000, &name("ns.test"))
        .kept();
    answer.cap_ttls(30, 86400);
    assert_eq!(answer.ttl(), 30);
    let question = answer.question().to_vec();
    assert_eq!(
        ttls(&reply(&answer, &asked(&question), &PLAIN).1),
        [30, 86400]
    );
    let mut negative = www().soa(5, 5).kept();
    negative.cap_ttls(30, 86400);
    assert_eq!(negative.negative_ttl(), Some(5), "its zone allows no more");
}

#[test]
fn foreign_octets_are_checked_to_the_last() {
    let packet = www()
        .answer(
            &name("www.example.com"),
            RecordType::CNAME,
            300,
            &name("b.test"),
        )
        .answer(&name("b.test"), RecordType::A, 60, A)
        .soa(300, 60)
        .flags(0x8180)
        .opt(1232, 0, b"\x00\x0f\x00\x03\x00\x03x");
    let answer = packet.kept();
    let octets = answer.as_bytes();
    for len in 0..octets.len() {
        assert_eq!(Answer::from_bytes(octets[..len].into()), None, "{len}");
    }
    assert_eq!(Answer::from_bytes([octets, &[0]].concat().into()), None);
    // Each octet changed in each bit: refused, or harmless.
    let question = answer.question().to_vec();
    for at in 0..octets.len() {
        for bit in 0..8 {
            let mut changed: Box<[u8]> = octets.into();
            changed[at] ^= 1 << bit;
            if let Some(answer) = Answer::from_bytes(changed) {
                let asked = asked(&question);
                if answer.question() != question {
                    continue;
                }
                let mut out = [0; 512];
                let len = answer.write(&asked, &PLAIN, &mut out);
                assert!(len > 0);
                assert!(
                    Message::from_vec(&out[..len]).is_ok(),
                    "octet {at} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_message_of_64_kib_is_kept_whole() {
    let mut packet = Packet::response("www.example.com", RecordType::TXT);
    let text: Vec<u8> = [vec![255], vec![b'x'; 255]].concat();
    while packet.0.len() + 2 * (12 + 256) <= 65535 {
        packet = packet.answer(QNAME, RecordType::TXT, 300, &text);
    }
    let left = 65535 - packet.0.len() - 12;
    let packet = packet.answer(QNAME, RecordType::TXT, 300, &vec![1; left]);
    assert_eq!(packet.0.len(), 65535);
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let mut out = vec![0; 65535];
    assert_eq!(answer.write(&asked(&question), &PLAIN, &mut out), 65535);
    assert_eq!(out[12..], packet.0[12..]);
}
