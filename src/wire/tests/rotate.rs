use hickory_proto::op::Message;

use super::support::{PLAIN, Packet, QNAME, name, question, reply, with_edns};
use crate::wire::{Answer, RecordType, Render, TtlRule};

const NAME: &str = "www.example.com";

fn with_addresses(packet: Packet, owner: &[u8], last: &[u8]) -> Packet {
    let add =
        |packet: Packet, octet: &u8| packet.answer(owner, RecordType::A, 300, &[192, 0, 2, *octet]);
    last.iter().fold(packet, add)
}

fn five() -> Answer {
    with_addresses(
        Packet::response(NAME, RecordType::A),
        QNAME,
        &[1, 2, 3, 4, 5],
    )
    .kept()
}

fn turned(answer: &Answer, how: &Render<'_>) -> Message {
    let question = question(NAME, RecordType::A);
    reply(answer, &with_edns(&question), how).1
}

/// The last octets of the addresses, in their order.
fn order(message: &Message) -> Vec<u8> {
    let addresses = message
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr());
    let octets = addresses.map(|ip| match ip {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(ip) => ip.octets()[15],
    });
    octets.collect()
}

#[test]
fn each_address_comes_first_in_turn() {
    let answer = five();
    let of = |turn| order(&turned(&answer, &Render { turn, ..PLAIN }));
    assert_eq!(of(0), [1, 2, 3, 4, 5]);
    assert_eq!(of(1), [2, 3, 4, 5, 1]);
    assert_eq!(of(4), [5, 1, 2, 3, 4]);
    assert_eq!(of(5), [1, 2, 3, 4, 5]);
    assert_eq!(of(u32::MAX), of(u32::MAX % 5));
}

#[test]
fn aliases_stay_in_front_and_signatures_behind() {
    let target = name("pool.example.net");
    let mut signature = RecordType::A.0.to_be_bytes().to_vec();
    signature.extend([0; 16]);
    signature.extend(name("example.net"));
    let packet =
        Packet::response(NAME, RecordType::A).answer(QNAME, RecordType::CNAME, 60, &target);
    let answer = with_addresses(packet, &target, &[1, 2, 3])
        .answer(&target, RecordType::RRSIG, 300, &signature)
        .kept();
    let ttl = TtlRule::Minus(7);
    let message = turned(
        &answer,
        &Render {
            turn: 2,
            ttl,
            ..PLAIN
        },
    );
    let seen: Vec<_> = message
        .answers
        .iter()
        .map(|it| (it.record_type().to_string(), it.name.to_string(), it.ttl))
        .collect();
    let (here, there) = ("www.example.com.", "pool.example.net.");
    let expected = [
        ("CNAME", here, 53),
        ("A", there, 293),
        ("A", there, 293),
        ("A", there, 293),
        ("RRSIG", there, 293),
    ]
    .map(|(kind, owner, ttl)| (kind.to_owned(), owner.to_owned(), ttl));
    assert_eq!(seen, expected);
    assert_eq!(order(&message), [3, 1, 2]);
}

#[test]
fn ipv6_addresses_change_places_too() {
    let packet = Packet::response(NAME, RecordType::AAAA);
    let add = |packet: Packet, last: u8| {
        let mut address = [0x20; 16];
        address[15] = last;
        packet.answer(QNAME, RecordType::AAAA, 300, &address)
    };
    let answer = [1, 2].into_iter().fold(packet, add).kept();
    let question = question(NAME, RecordType::AAAA);
    let how = Render { turn: 3, ..PLAIN };
    assert_eq!(
        order(&reply(&answer, &with_edns(&question), &how).1),
        [2, 1]
    );
}

/// Whoever never comes back over TCP gets another part of the set each time.
#[test]
fn a_set_that_is_cut_is_turned_as_a_whole() {
    let answer = five();
    let limit = 12 + NAME.len() + 2 + 4 + 11 + 2 * 16;
    let message = turned(
        &answer,
        &Render {
            turn: 3,
            limit,
            ..PLAIN
        },
    );
    assert!(message.metadata.truncation);
    assert_eq!(order(&message), [4, 5]);
}

#[test]
fn nothing_but_addresses_changes_places() {
    let packet = Packet::response(NAME, RecordType::TXT)
        .answer(QNAME, RecordType::TXT, 300, b"\x03one")
        .answer(QNAME, RecordType::TXT, 300, b"\x03two");
    let answer = packet.kept();
    let question = question(NAME, RecordType::TXT);
    let of = |turn| reply(&answer, &with_edns(&question), &Render { turn, ..PLAIN }).0;
    assert_eq!(of(1), of(0));
}
