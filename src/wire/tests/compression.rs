//! Messages are kept as small as names allow, and no message may cost much.

use super::super::effort::Effort;
use super::super::place::Place;
use super::support::{PLAIN, Packet, QNAME, asked, name, reply};
use crate::wire::{Dropped, Kind, RecordType, Render};

const A: &[u8] = &[192, 0, 2, 1];

#[test]
fn a_name_of_255_octets_fits_where_the_upstream_does_not_compress() {
    let long = name(&format!("{}b2345678901", "a234567890.".repeat(22)));
    assert_eq!(long.len(), 255);
    let text = crate::wire::name_to_text(&long);
    let packet = Packet::response(&text, RecordType::A).answer(&long, RecordType::A, 300, A);
    assert!(packet.0.len() > 512);
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let how = Render {
        limit: 512,
        ..PLAIN
    };
    let (octets, message) = reply(&answer, &asked(&question), &how);
    assert!(!message.metadata.truncation);
    assert_eq!(
        (octets.len(), message.answers.len()),
        (12 + question.len() + 16, 1)
    );
}

#[test]
fn names_share_what_they_have_in_common() {
    let host = |n: u8| name(&format!("host{n}.of-the-zone.example.com"));
    let mut packet = Packet::response("www.example.com", RecordType::NS);
    for n in 0..4 {
        packet = packet.answer(&name("www.example.com"), RecordType::NS, 300, &host(n));
    }
    let mut packet = packet.authority(&name("example.com"), RecordType::NS, 300, &host(9));
    for n in 0..4 {
        packet = packet.additional(&host(n), RecordType::A, 300, A);
    }
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let (octets, message) = reply(&answer, &asked(&question), &PLAIN);
    let first = 12 + 6 + 12 + 2; // host0, of-the-zone, and a pointer to example.com
    let further = 12 + 6 + 2;
    let expected = 12 + question.len() + first + 3 * further + further + 4 * 16;
    assert_eq!(octets.len(), expected);
    assert_eq!(
        message.additionals[3].name.to_string(),
        "host3.of-the-zone.example.com."
    );
}

#[test]
fn only_old_types_are_compressed() {
    let target = [&[0, 1, 0, 2, 0, 3][..], QNAME].concat();
    let packet = Packet::response("www.example.com", RecordType::SRV).answer(
        QNAME,
        RecordType::SRV,
        300,
        &target,
    );
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let octets = reply(&answer, &asked(&question), &PLAIN).0;
    assert!(
        octets.ends_with(&name("www.example.com")),
        "RFC 3597 section 4"
    );
}

#[test]
fn the_letters_of_a_zone_are_its_own() {
    let packet = Packet::response("www.example.com", RecordType::MX).answer(
        QNAME,
        RecordType::MX,
        300,
        &[&[0, 1][..], &name("Mail.Example.COM")].concat(),
    );
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let octets = reply(&answer, &asked(&question), &PLAIN).0;
    assert!(octets.ends_with(&name("Mail.Example.COM")));
}

#[test]
fn a_message_costs_no_more_than_its_share() {
    // An alias to a name of 126 labels, and then as many records as fit whose owners differ from it in the
    // last label only, and are named by two octets.
    let b = |packet: Packet, owner: &[u8]| packet.answer(owner, RecordType::A, 300, A);
    let asked_for = format!("{}x", "a.".repeat(125));
    let mut packet = Packet::response(&asked_for, RecordType::A);
    let other = packet.0.len() as u16;
    packet = b(packet, &name(&format!("{}y", "a.".repeat(125))));
    let pointer = (0xc000 | other).to_be_bytes();
    while packet.0.len() + 16 <= 65535 {
        packet = b(packet, &pointer);
    }
    let response = packet.examined();
    assert!(response.is_cut() || response.kind() == Kind::Other);
    let (answer, dropped) = response.keep();
    assert!(dropped.costly > 3000, "{dropped:?}");
    assert!(
        answer.truncated(),
        "it lacks something, for all byway knows"
    );
}

#[test]
fn what_is_usual_is_far_from_the_bound() {
    // 1,900 names of a reverse zone.
    let mut packet = Packet::response("1.2.0.192.in-addr.arpa", RecordType::PTR);
    let mut n = 0;
    while packet.0.len() + 12 + 32 <= 65535 {
        let host = name(&format!("host{n}.some.zone.example"));
        packet = packet.answer(QNAME, RecordType::PTR, 300, &host);
        n += 1;
    }
    let response = packet.examined();
    assert_eq!(response.keep().1, Dropped::default());
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let (octets, message) = reply(&answer, &asked(&question), &PLAIN);
    assert_eq!(message.answers.len(), n);
    assert!(octets.len() < packet.0.len() * 3 / 4);
    // A comparison of two names costs a label each, and none where both are one place.
    let effort = Effort::new();
    let place = |at| Place::new(&packet.0, at);
    assert!(place(12).same(place(12), &effort));
    assert_eq!(effort.spent(), 0);
    assert!(!place(12).same(place(14), &effort));
    assert_eq!(effort.spent(), 1);
}
