use proptest::prelude::*;

use super::super::effort::Effort;
use super::super::name::{plain_len, walk};
use super::super::place::Place;
use super::support::name;
use crate::wire::{KeptKey, NameError, QuestionKey, RecordType, name_from_text, name_to_text};

fn same(packet: &[u8], one: usize, other: usize) -> bool {
    Place::new(packet, one).same(Place::new(packet, other), &Effort::new())
}

#[test]
fn texts_become_names() {
    assert_eq!(name("."), [0]);
    assert_eq!(name("a.Bc."), b"\x01a\x02Bc\x00");
    assert_eq!(name("a.Bc"), name("a.Bc."));
    assert_eq!(name(r"a\.b\065\\"), b"\x05a.bA\\\x00");
}

#[test]
fn what_is_no_name_is_refused() {
    let long_label = "a".repeat(64);
    let long_name = "a.".repeat(128);
    for (text, error) in [
        ("", NameError::EmptyLabel),
        ("..", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a..b", NameError::EmptyLabel),
        (&long_label, NameError::LongLabel),
        (&long_name, NameError::LongName),
        (r"a\", NameError::Escape),
        (r"a\1", NameError::Escape),
        (r"a\256", NameError::Escape),
        ("ä", NameError::NotAscii),
    ] {
        assert_eq!(name_from_text(text), Err(error), "{text:?}");
    }
    assert_eq!(name(&"a.".repeat(127)).len(), 255);
    assert_eq!(name(&"a".repeat(63)).len(), 65);
}

#[test]
fn the_longest_name_passes_and_one_more_octet_does_not() {
    let longest = name(&"a.".repeat(127));
    assert_eq!(plain_len(&longest), Some(255));
    let mut longer = longest.clone();
    longer.splice(0..1, [2, b'a']);
    assert_eq!(plain_len(&longer), None);
    assert_eq!(walk(&longest, 0, None), Ok(255));
    assert!(walk(&longer, 0, None).is_err());
}

/// Twelve octets of header, then `octets`.
fn packet(octets: &[u8]) -> Vec<u8> {
    [&[0; 12], octets].concat()
}

#[test]
fn pointers_lead_back_and_nowhere_else() {
    let good = packet(b"\x01b\x00\x01a\xc0\x0c\xc0\x0f");
    assert_eq!(walk(&good, 12, None), Ok(15));
    assert_eq!(walk(&good, 15, None), Ok(19));
    assert_eq!(walk(&good, 19, None), Ok(21));
    for (octets, start) in [
        (&b"\xc0\x0c"[..], 12),          // to itself
        (b"\xc0\x0e\x00", 12),           // forward
        (b"\x01a\xc0\x0c", 12),          // into its own beginning
        (b"\xc0\x0e\xc0\x0c", 14),       // a loop of two
        (b"\xc0\x00", 12),               // into the header
        (b"\xff\xff", 12),               // out of the message
        (b"\xc0", 12),                   // cut in two
        (b"\x05ab\xc0\x0c\x00\x00", 15), // a label that runs past where it was pointed from
        (b"\x40a\x00", 12),
        (b"\x80a\x00", 12),
        (b"\x03ab", 12),
        (b"", 12),
    ] {
        assert!(walk(&packet(octets), start, None).is_err(), "{octets:?}");
    }
}

#[test]
fn chains_of_pointers_have_an_end() {
    let mut octets = packet(b"\x00");
    let mut last = 12u16;
    for _ in 0..127 {
        let at = octets.len() as u16;
        octets.extend((0xc000u16 | last).to_be_bytes());
        last = at;
    }
    assert!(walk(&octets, usize::from(last), None).is_ok());
    let at = octets.len();
    octets.extend((0xc000u16 | last).to_be_bytes());
    assert!(walk(&octets, at, None).is_err());
}

#[test]
fn names_are_compared_through_pointers_without_case() {
    //        12          17      21        25
    let octets = packet(b"\x01A\x01b\x00\x01a\xc0\x0e\x01c\xc0\x0e\xc0\x0c\x01a\x00");
    assert!(same(&octets, 12, 17));
    assert!(same(&octets, 12, 25));
    assert!(!same(&octets, 12, 21));
    assert!(!same(&octets, 12, 27), "a prefix is not the name");
    assert!(!same(&octets, 27, 12));
}

#[test]
fn keys_forget_case_and_keep_the_rest() {
    let key =
        |text, do_, cd| QuestionKey::new(&name(text), RecordType::A, 1, do_, cd).expect("a key");
    assert_eq!(
        key("WWW.Example.com", false, false),
        key("www.example.COM.", false, false)
    );
    assert_ne!(key("a.", true, false), key("a.", false, false));
    assert_ne!(key("a.", true, false), key("a.", false, true));
    // A type whose octets look like capital letters is not lowered.
    let odd = QuestionKey::new(&name("A"), RecordType(0x4142), 0x4344, true, true);
    let odd = odd.expect("a key");
    assert_eq!((odd.record_type().0, odd.class()), (0x4142, 0x4344));
    assert_eq!(odd.to_string(), "a. TYPE16706 CLASS17220 +do +cd");
    assert_eq!(
        key("www.example.com", false, false).to_string(),
        "www.example.com. A"
    );
    assert_eq!(
        QuestionKey::new(b"\x01a", RecordType::A, 1, false, false),
        None
    );
    assert_eq!(
        QuestionKey::new(b"\x00\x00", RecordType::A, 1, false, false),
        None
    );
    let longest = name(&"a.".repeat(127));
    let key = QuestionKey::new(&longest, RecordType::A, 1, true, true).expect("a key");
    assert_eq!(KeptKey::from(key.by_ref()).by_ref(), key.by_ref());
    assert_eq!(key.name(), longest);
    assert_eq!(key.as_bytes().len(), 260);
}

proptest! {
    #[test]
    fn texts_come_back(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)) {
        let mut wire = Vec::new();
        for label in &labels {
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.push(0);
        let text = name_to_text(&wire);
        prop_assert_eq!(name_from_text(&text), Ok(wire));
    }

    #[test]
    fn keys_come_back(
        labels in prop::collection::vec("[a-z0-9-]{1,9}", 0..8),
        number: u16, class: u16, dnssec_ok: bool, cd: bool,
    ) {
        let name = name(&format!("{}.", labels.join(".")));
        let key = QuestionKey::new(&name, RecordType(number), class, dnssec_ok, cd).unwrap();
        prop_assert_eq!(QuestionKey::from_bytes(key.as_bytes()), Some(key));
        let kept = KeptKey::from(key.by_ref());
        prop_assert_eq!(kept.by_ref(), key.by_ref());
        prop_assert_eq!(key.name(), &name);
        prop_assert_eq!(key.record_type(), RecordType(number));
        prop_assert_eq!(key.class(), class);
        prop_assert_eq!((key.dnssec_ok(), key.checking_disabled()), (dnssec_ok, cd));
        prop_assert_eq!(key.question().len(), name.len() + 4);
    }

    #[test]
    fn no_octets_panic_a_key(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(key) = QuestionKey::from_bytes(&octets) {
            prop_assert_eq!(key.as_bytes(), octets);
        }
    }
}
