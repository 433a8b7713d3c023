//! Octets that mean nothing, and messages with a few octets changed: whatever they are, nothing
//! panics, and what is written can be read.

use proptest::prelude::*;

use super::super::question::question_at;
use super::support::{PLAIN, Packet, QNAME, asked, name, with_edns};
use crate::wire::{
    Answer, Ede, Inspected, Lines, QuestionKey, Rcode, RecordType, Render, Sent, TtlRule, examine,
    inspect, write_error,
};

/// Writes `answer` in every way that takes another branch, and reads it back.
fn write_all_ways(answer: &Answer, question: &[u8], limit: usize) {
    let mut out = vec![0; 65535];
    for to in [asked(question), with_edns(question)] {
        for ttl in [TtlRule::AsStored, TtlRule::Minus(7), TtlRule::Fixed(30)] {
            let ede = Some(Ede::STALE_ANSWER.with_text("stale"));
            let how = Render {
                ttl,
                limit,
                ede,
                turn: limit as u32,
                ..PLAIN
            };
            let len = answer.write(&to, &how, &mut out);
            assert!(len <= limit);
            if len > 0 {
                let sent = Sent {
                    id: to.id,
                    question,
                    exact_case: true,
                };
                let again = examine(&out[..len], &sent).expect("what was written can be read");
                assert_eq!(again.has_opt(), to.edns.is_some());
            }
        }
    }
}

fn key(question: &[u8]) -> QuestionKey {
    QuestionKey::of(question, false, false)
}

fn response_never_panics(octets: &[u8], limit: usize) {
    let Some(id) = octets.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
        return;
    };
    let fallback = [0, 0, 2, 0, 1];
    let question = question_at(octets).unwrap_or(&fallback);
    let sent = Sent {
        id,
        question,
        exact_case: true,
    };
    if let Ok(response) = examine(octets, &sent) {
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
        if let Some(next) = again.and_then(|again| again.next_question(key(question).by_ref())) {
            assert_eq!(next.record_type(), key(question).record_type());
            let joined = answer.followed_by(&answer).expect("there is room");
            assert_eq!(joined.question(), answer.question());
            write_all_ways(&joined, question, limit);
        }
        let _ = Lines::of(octets);
        write_all_ways(&answer, question, limit);
        answer.cap_ttls(1, 86400);
        write_all_ways(&answer, question, limit);
    }
}

fn query_never_panics(octets: &[u8]) {
    let mut out = [0; 512];
    match inspect(octets) {
        Inspected::Query(query) => {
            let ede = Some(Ede::NETWORK_ERROR.with_text("lost"));
            let len = write_error(&query.asked, Rcode::SERVFAIL, ede, 1232, &mut out);
            assert!(len > 12);
        }
        Inspected::Refuse(refusal) => {
            let len = refusal.write(1232, &mut out);
            assert!(len >= 12 && out[2] & 0x80 != 0);
            assert!(
                matches!(inspect(&out[..len]), Inspected::Drop(_)),
                "never answered again"
            );
        }
        Inspected::Drop(_) => {}
    }
}

/// A message with some of everything in it.
fn rich() -> Packet {
    let mail = [&[0, 10][..], &[4], b"mail", QNAME].concat();
    Packet::response("www.example.com", RecordType::MX)
        .answer(QNAME, RecordType::MX, 300, &mail)
        .answer(&name("WWW.example.com"), RecordType::MX, 200, &mail)
        .answer(&[0xc0, 16], RecordType::TXT, 60, b"\x02hi")
        .authority(&[0xc0, 16], RecordType::NS, 60, b"\x02ns\xc0\x10")
        .soa(300, 60)
        .opt(1232, 0x8000, b"\x00\x0f\x00\x04\x00\x16ab")
        .additional(b"\x04mail\xc0\x0c", RecordType::A, 300, &[192, 0, 2, 1])
        .additional(b"\x02ns\xc0\x10", RecordType::AAAA, 300, &[1; 16])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_octets_as_a_query(octets in prop::collection::vec(any::<u8>(), 0..120)) {
        query_never_panics(&octets);
    }

    #[test]
    fn any_octets_as_a_response(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        response_never_panics(&octets, 512);
    }

    #[test]
    fn any_octets_as_an_answer(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(answer) = Answer::from_bytes(octets.into()) {
            write_all_ways(&answer, answer.question(), 512);
        }
    }

    #[test]
    fn a_query_with_octets_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut octets = Packet::query("www.example.com", RecordType::A)
            .additional(b"\x01x\xc0\x0c", RecordType::A, 1, &[1, 2, 3, 4])
            .opt(1232, 0x8000, &[0, 10, 0, 2, 1, 2])
            .0;
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        query_never_panics(&octets);
    }

    #[test]
    fn a_response_with_octets_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        limit in 12..600usize,
    ) {
        let mut octets = rich().0;
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        octets[2] |= 0x80;
        octets[2] &= 0x87;
        response_never_panics(&octets, limit);
    }

    #[test]
    fn an_answer_with_octets_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        limit in 12..600usize,
    ) {
        let mut octets: Box<[u8]> = rich().kept().as_bytes().into();
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        if let Some(answer) = Answer::from_bytes(octets) {
            let question = match answer.question() {
                [] => vec![0, 0, 2, 0, 1],
                question => question.to_vec(),
            };
            write_all_ways(&answer, &question, limit);
        }
    }
}
