//! A response from upstream, taken as one to the question it has: whatever it is, it is either
//! refused or can be kept, read back, and written for every kind of client at every limit. The
//! same octets are also read as an answer from a snapshot.
#![no_main]

use byway::wire::{
    Answer, Asked, ClientEdns, Ede, Kind, Lines, QuestionKey, RecordType, Render, Sent, TtlRule,
    examine,
};
use libfuzzer_sys::fuzz_target;

/// The question of `packet`, or the root's if there is none to be read.
fn question(packet: &[u8]) -> Vec<u8> {
    let rest = packet.get(12..).unwrap_or_default();
    let mut at = 0;
    while let Some(&label @ 1..=63) = rest.get(at) {
        at += 1 + usize::from(label);
    }
    match rest.get(..at + 5) {
        Some(question) if at < 255 && rest[at] == 0 => question.to_vec(),
        _ => vec![0, 0, 2, 0, 1],
    }
}

fn write(answer: &Answer, question: &[u8], out: &mut [u8]) {
    let edns = |dnssec_ok| Some(ClientEdns { payload: 1232, dnssec_ok, nsid: false, cookie: None, keepalive: None });
    for edns in [None, edns(false), edns(true)] {
        let to = Asked { id: 7, rd: true, cd: true, ad: false, edns, question };
        let whole = answer.len() + 600;
        for limit in [0, 12, 40, 100, 512, 1232, whole / 2, whole, 65535] {
            for ttl in [TtlRule::AsStored, TtlRule::Minus(60), TtlRule::Fixed(30)] {
                let ede = Some(Ede::STALE_ANSWER.with_text("kept"));
                let how = Render { ttl, limit, payload: 1232, ede, turn: limit as u32 };
                let len = answer.write(&to, &how, out);
                assert!(len <= limit);
                if len == 0 {
                    continue;
                }
                let sent = Sent { id: 7, question, exact_case: true };
                let again = examine(&out[..len], &sent).expect("what is written can be read");
                assert_eq!(again.has_opt(), edns.is_some());
                assert!(!again.authoritative());
                if !again.truncated() && edns.is_some() && answer.kind() != Kind::Other {
                    assert_eq!(again.kind(), answer.kind());
                }
                // Nothing that reaches a terminal steers it, or passes for another line.
                let lines = Lines::of(&out[..len]);
                for line in [lines.answers, lines.authorities, lines.additionals].concat() {
                    assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line:?}");
                }
            }
        }
    }
}

/// A chain without its end, with an end.
fn chase(answer: &Answer, question: &[u8], out: &mut [u8]) {
    let [name @ .., t0, t1, c0, c1] = question else { return };
    let (record_type, class) = (u16::from_be_bytes([*t0, *t1]), u16::from_be_bytes([*c0, *c1]));
    let Some(key) = QuestionKey::new(name, RecordType(record_type), class, false, false) else {
        return;
    };
    let Some(next) = answer.next_question(key.by_ref()) else { return };
    assert_ne!(next.name(), key.name());
    let mut end = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    end.extend_from_slice(next.question());
    end.extend_from_slice(&[0xc0, 12, *t0, *t1, 0, 1, 0, 0, 0, 9, 0, 0]);
    let sent = Sent { id: 7, question: next.question(), exact_case: true };
    let Ok(end) = examine(&end, &sent) else { return };
    if let Some(whole) = answer.followed_by(&end.to_answer()) {
        assert_eq!(Answer::from_bytes(whole.as_bytes().into()).as_ref(), Some(&whole));
        // In an order that nobody sends a chain may be too long to be followed.
        assert!([end.kind(), Kind::Unfinished].contains(&whole.kind()));
        write(&whole, question, out);
    }
}

fuzz_target!(|packet: &[u8]| {
    let mut out = vec![0; 65535];
    let mut question = question(packet);
    if let Some(id) = packet.first_chunk() {
        let sent = Sent { id: u16::from_be_bytes(*id), question: &question, exact_case: true };
        if let Ok(response) = examine(packet, &sent) {
            let _ = response.edes().count();
            let mut answer = response.to_answer();
            let again = Answer::from_bytes(answer.as_bytes().into());
            assert_eq!(again.as_ref(), Some(&answer));
            assert_eq!(answer.rcode(), response.rcode());
            if !answer.truncated() {
                assert_eq!(answer.kind(), response.kind());
                // With several SOA records it is the lowest.
                let (kept, came) = (answer.negative_ttl(), response.negative_ttl());
                assert!(kept.is_some() == came.is_some() && kept <= came);
            }
            chase(&answer, &question, &mut out);
            write(&answer, &question, &mut out);
            answer.cap_ttls(1, 86400);
            write(&answer, &question, &mut out);
        }
    }
    if let Some(answer) = Answer::from_bytes(packet.into()) {
        if !answer.question().is_empty() {
            question = answer.question().to_vec();
        }
        write(&answer, &question, &mut out);
    }
});
