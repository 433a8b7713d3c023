//! What belongs to an answer, and what is left behind.

use super::support::{PLAIN, Packet, QNAME, asked, name, question, reply};
use crate::wire::{Answer, Dropped, Kind, RecordType};

const A: &[u8] = &[192, 0, 2, 1];
/// Another one, which nobody asked for.
const EVIL: &[u8] = &[6, 6, 6, 6];
/// A pointer to `example.com`.
const ZONE: &[u8] = &[0xc0, 16];

fn www(record_type: RecordType) -> Packet {
    Packet::response("www.example.com", record_type)
}

fn signature(covered: RecordType, signer: &str) -> Vec<u8> {
    let mut data = covered.0.to_be_bytes().to_vec();
    data.extend([0; 16]);
    data.extend(name(signer));
    data.extend([1, 2, 3]);
    data
}

/// Owner and type of each record, section by section, as a client gets them.
fn kept(packet: &Packet) -> [Vec<String>; 3] {
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let message = reply(&answer, &asked(&question), &PLAIN).1;
    [&message.answers, &message.authorities, &message.additionals].map(|section| {
        let text = |record: &hickory_proto::rr::Record| {
            format!("{} {}", record.name, record.record_type())
        };
        section.iter().map(text).collect()
    })
}

fn dropped(packet: &Packet) -> Dropped {
    packet.examined().keep().1
}

#[test]
fn records_of_another_class_are_no_answer_to_any() {
    let mut packet = www(RecordType::ANY).answer(QNAME, RecordType::A, 300, A);
    let class = packet.0.len() - A.len() - 8;
    packet.0[class..class + 2].copy_from_slice(&[0, 3]);
    assert_eq!(packet.examined().kind(), Kind::Other);
    let answer = packet.kept();
    assert_eq!(answer.kind(), Kind::Other);
    assert_eq!(Answer::from_bytes(answer.as_bytes().into()), Some(answer));
}

#[test]
fn unrelated_names_and_classes_are_left_behind() {
    let other_class = |mut packet: Packet, data: usize| {
        let class = packet.0.len() - data - 8;
        packet.0[class..class + 2].copy_from_slice(&[0, 3]);
        packet
    };
    let evil = name("www.bank.test");
    let packet = www(RecordType::A)
        .answer(&evil, RecordType::A, 300, EVIL)
        .answer(QNAME, RecordType::A, 300, A)
        .answer(QNAME, RecordType::TXT, 300, b"\x01x");
    let packet = other_class(packet.answer(QNAME, RecordType::A, 300, EVIL), 4);
    let packet = packet
        .authority(ZONE, RecordType::NS, 300, b"\x02ns\xc0\x10")
        .authority(
            &name("bank.test"),
            RecordType::NS,
            300,
            &name("ns.evil.test"),
        )
        .authority(ZONE, RecordType::A, 300, EVIL)
        .additional(b"\x02ns\xc0\x10", RecordType::A, 300, A)
        .additional(&evil, RecordType::A, 300, EVIL)
        .additional(b"\x02ns\xc0\x10", RecordType::TXT, 300, b"\x01x");
    assert_eq!(
        kept(&packet),
        [
            vec!["www.example.com. A"],
            vec!["example.com. NS"],
            vec!["ns.example.com. A"]
        ]
    );
    let unrelated = Dropped {
        unrelated: 7,
        costly: 0,
    };
    assert_eq!(dropped(&packet), unrelated);
}

#[test]
fn aliases_are_followed_and_what_hangs_off_them_is_not() {
    let (b, c) = (name("b.test"), name("c.test"));
    let packet = www(RecordType::A)
        .answer(QNAME, RecordType::CNAME, 300, &b)
        .answer(QNAME, RecordType::CNAME, 300, &name("second.test"))
        .answer(
            QNAME,
            RecordType::RRSIG,
            300,
            &signature(RecordType::CNAME, "example.com"),
        )
        .answer(&b, RecordType::CNAME, 300, &c)
        .answer(&b, RecordType::AAAA, 300, &[0; 16])
        .answer(&name("second.test"), RecordType::A, 300, EVIL)
        .answer(&c, RecordType::A, 300, A)
        .answer(
            &c,
            RecordType::RRSIG,
            300,
            &signature(RecordType::A, "test"),
        );
    assert_eq!(
        kept(&packet)[0],
        [
            "www.example.com. CNAME",
            "www.example.com. RRSIG",
            "b.test. CNAME",
            "c.test. A",
            "c.test. RRSIG",
        ]
    );
}

#[test]
fn proofs_and_signatures_stay() {
    let proof = |covered| signature(covered, "example.com");
    let packet = www(RecordType::A)
        .flags(0x8183)
        .soa(300, 60)
        .authority(QNAME, RecordType::RRSIG, 300, &proof(RecordType::SOA))
        .authority(
            &name("aaa.example.com"),
            RecordType::NSEC,
            300,
            &name("zzz.example.com"),
        )
        .authority(
            &name("aaa.example.com"),
            RecordType::RRSIG,
            300,
            &proof(RecordType::NSEC),
        )
        .authority(
            &name("hash.example.com"),
            RecordType::NSEC3,
            300,
            &[1, 0, 0, 0, 0, 0],
        )
        .authority(
            &name("hash.example.com"),
            RecordType::RRSIG,
            300,
            &proof(RecordType::NSEC3),
        )
        .authority(
            &name("hash.bank.test"),
            RecordType::NSEC3,
            300,
            &[1, 0, 0, 0, 0, 0],
        );
    let [_, authority, _] = kept(&packet);
    assert_eq!(
        authority,
        [
            "www.example.com. SOA",
            "www.example.com. RRSIG",
            "aaa.example.com. NSEC",
            "aaa.example.com. RRSIG",
            "hash.example.com. NSEC3",
            "hash.example.com. RRSIG",
        ]
    );
    // A wildcard's answer: there is no SOA, and the signer tells the zone.
    let packet = www(RecordType::A)
        .answer(QNAME, RecordType::A, 300, A)
        .answer(QNAME, RecordType::RRSIG, 300, &proof(RecordType::A))
        .authority(
            &name("aaa.example.com"),
            RecordType::NSEC,
            300,
            &name("zzz.example.com"),
        )
        .authority(
            &name("aaa.example.com"),
            RecordType::RRSIG,
            300,
            &proof(RecordType::NSEC),
        );
    assert_eq!(kept(&packet)[1].len(), 2);
    assert_eq!(dropped(&packet), Dropped::default());
}

#[test]
fn hosts_bring_their_addresses_where_the_message_speaks_for_them() {
    let target = |prefix: &[u8], host: &str| [prefix, &name(host)].concat();
    let cases: [(RecordType, &str, &[u8]); 6] = [
        (RecordType::MX, "mail.example.com", &[0, 10]),
        (RecordType::SRV, "host.example.com", &[0, 1, 0, 2, 0, 3]),
        (RecordType::SVCB, "svc.example.com", &[0, 1]),
        (RecordType::HTTPS, "svc.example.com", &[0, 1]),
        (RecordType::NS, "ns.example.com", &[]),
        (RecordType::AFSDB, "afs.example.com", &[0, 1]),
    ];
    for (record_type, host, prefix) in cases {
        let asked = Packet::response("_x._tcp.example.com", record_type);
        let packet = asked
            .answer(QNAME, record_type, 300, &target(prefix, host))
            .answer(
                QNAME,
                record_type,
                300,
                &target(prefix, "host.elsewhere.test"),
            )
            .additional(&name(host), RecordType::A, 300, A)
            .additional(
                &name(host),
                RecordType::RRSIG,
                300,
                &signature(RecordType::A, "example.com"),
            )
            .additional(&name(host), RecordType::AAAA, 300, &[0; 16])
            .additional(&name("host.elsewhere.test"), RecordType::A, 300, EVIL)
            .additional(&name("other.example.com"), RecordType::A, 300, EVIL);
        let [answers, _, additionals] = kept(&packet);
        assert_eq!(answers.len(), 2);
        let expected = ["A", "RRSIG", "AAAA"].map(|kind| format!("{host}. {kind}"));
        assert_eq!(additionals, expected, "{record_type}");
    }
    // The owner itself (RFC 9460 section 2.5).
    let packet = www(RecordType::HTTPS)
        .answer(QNAME, RecordType::HTTPS, 300, &[0, 1, 0])
        .additional(QNAME, RecordType::A, 300, A);
    assert_eq!(kept(&packet)[2], ["www.example.com. A"]);
    // The root's servers, all of them.
    let host = |letter: u8| name(&format!("{}.root-servers.net", char::from(letter)));
    let mut packet = Packet::response(".", RecordType::NS);
    for letter in b'a'..=b'm' {
        packet = packet.answer(&[0], RecordType::NS, 300, &host(letter));
    }
    for letter in b'a'..=b'm' {
        packet = packet.additional(&host(letter), RecordType::A, 300, A);
    }
    assert_eq!(kept(&packet)[2].len(), 13);
}

#[test]
fn a_failure_has_no_records() {
    let packet = www(RecordType::A)
        .flags(0x8182)
        .answer(QNAME, RecordType::A, 300, EVIL)
        .soa(300, 60);
    assert_eq!(kept(&packet), [const { Vec::<String>::new() }; 3]);
    assert_eq!(packet.kept().kind(), Kind::Failure);
}

fn cnames(answer: &Answer) -> Vec<(String, String, u32)> {
    let question = answer.question().to_vec();
    let message = reply(answer, &asked(&question), &PLAIN).1;
    let alias = |record: &hickory_proto::rr::Record| match &record.data {
        hickory_proto::rr::RData::CNAME(target) => {
            Some((record.name.to_string(), target.0.to_string(), record.ttl))
        }
        _ => None,
    };
    message.answers.iter().filter_map(alias).collect()
}

#[test]
fn a_dname_gets_the_cname_that_it_stands_for() {
    let dname = |packet: Packet| packet.answer(ZONE, RecordType::DNAME, 200, &name("other.test"));
    let end = name("www.other.test");
    let packet = dname(www(RecordType::A)).answer(&end, RecordType::A, 300, A);
    let answer = packet.kept();
    assert_eq!(answer.kind(), Kind::Positive);
    let made = ("www.example.com.".into(), "www.other.test.".into(), 200);
    assert_eq!(cnames(&answer), [made]);
    assert_eq!(
        kept(&packet)[0],
        [
            "example.com. DNAME",
            "www.example.com. CNAME",
            "www.other.test. A"
        ]
    );
    // It is there already.
    let packet = dname(www(RecordType::A))
        .answer(QNAME, RecordType::CNAME, 100, &end)
        .answer(&end, RecordType::A, 300, A);
    assert_eq!(cnames(&packet.kept()).len(), 1);
    // Asked for itself further down, it leads on all the same.
    let packet = dname(www(RecordType::DNAME));
    assert_eq!(
        kept(&packet)[0],
        ["example.com. DNAME", "www.example.com. CNAME"]
    );
    // It is what is asked for.
    for asked in [RecordType::CNAME, RecordType::ANY] {
        let answer = dname(www(asked)).kept();
        assert_eq!(answer.kind(), Kind::Positive);
        assert_eq!(Answer::from_bytes(answer.as_bytes().into()), Some(answer));
    }
    assert_eq!(cnames(&packet.kept()).len(), 1);
    // One leads to the next; nothing at the end.
    let packet = dname(www(RecordType::A)).answer(
        &name("other.test"),
        RecordType::DNAME,
        200,
        &name("third.test"),
    );
    assert_eq!(cnames(&packet.kept()).len(), 2);
    assert_eq!(packet.kept().kind(), Kind::Unfinished);
    // Its own owner is not below it (RFC 6672 section 2.3).
    let packet = www(RecordType::A).answer(QNAME, RecordType::DNAME, 200, &name("other.test"));
    assert_eq!(packet.kept().kind(), Kind::Other);
    // Too long a name is none.
    let long = format!("{}{}", "a234567890.".repeat(22), "testtest");
    assert_eq!(name(&long).len(), 252);
    let packet = www(RecordType::A).answer(ZONE, RecordType::DNAME, 200, &name(&long));
    assert_eq!(cnames(&packet.kept()), []);
    let packet =
        www(RecordType::A)
            .flags(0x8186)
            .answer(ZONE, RecordType::DNAME, 200, &name(&long));
    assert_eq!(
        kept(&packet)[0],
        ["example.com. DNAME"],
        "YXDOMAIN says why"
    );
}

#[test]
fn a_chain_is_joined_to_its_end() {
    let half = www(RecordType::A)
        .answer(QNAME, RecordType::CNAME, 300, &name("End.Test"))
        .kept();
    let key = crate::wire::QuestionKey::of(half.question(), true, false);
    let next = half.next_question(key.by_ref()).expect("an end to ask for");
    assert_eq!(next.to_string(), "end.test. A +do");
    let end = Packet::response("end.test", RecordType::A)
        .answer(QNAME, RecordType::A, 60, A)
        .kept();
    let whole = half.followed_by(&end).expect("there is room");
    assert_eq!((whole.kind(), whole.ttl()), (Kind::Positive, 60));
    assert_eq!(whole.question(), question("www.example.com", RecordType::A));
    assert!(whole.next_question(key.by_ref()).is_none());
    let again = Answer::from_bytes(whole.as_bytes().into());
    assert_eq!(again.as_ref(), Some(&whole));
    // No data, and no such name.
    for (flags, kind) in [(0x8180, Kind::NoData), (0x8183, Kind::NxDomain)] {
        let end = Packet::response("end.test", RecordType::A).flags(flags);
        let whole = half.followed_by(&end.soa(300, 60).kept()).expect("room");
        assert_eq!((whole.kind(), whole.negative_ttl()), (kind, Some(60)));
        assert!(!whole.denies_name(), "the alias exists");
    }
    // A circle leads nowhere new.
    let circle = www(RecordType::A)
        .answer(QNAME, RecordType::CNAME, 300, &name("b.test"))
        .answer(&name("b.test"), RecordType::CNAME, 300, QNAME)
        .kept();
    assert!(circle.next_question(key.by_ref()).is_none());
}
