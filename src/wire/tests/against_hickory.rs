//! What hickory-proto encodes must reach a client record for record, as hickory-proto decodes it.

use std::collections::HashMap;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NAPTR, NS, NULL, OPT, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};
use proptest::prelude::*;

use super::super::question::question_at;
use super::support::{ID, PLAIN, asked, with_edns};
use crate::wire::{Answer, Kind, Render, Sent, TtlRule, examine};

/// Names that share their tails, so that there is something to compress.
fn names() -> impl Strategy<Value = Name> {
    let label = prop::sample::select(vec!["a", "B", "www", "Mail", "x-1"]);
    let tail = prop::sample::select(vec!["example.com.", "Example.COM.", "test.", "."]);
    (prop::collection::vec(label, 0..3), tail).prop_map(|(labels, tail)| {
        let labels: String = labels.iter().map(|label| format!("{label}.")).collect();
        let text = if tail == "." && !labels.is_empty() {
            labels
        } else {
            labels + tail
        };
        Name::from_ascii(text).expect("a name")
    })
}

fn data() -> impl Strategy<Value = RData> {
    let octets = || prop::collection::vec(any::<u8>(), 0..20);
    let text = || octets().prop_map(Vec::into_boxed_slice);
    prop_oneof![
        4 => any::<[u8; 4]>().prop_map(|a| RData::A(A::from(std::net::Ipv4Addr::from(a)))),
        2 => any::<[u8; 16]>().prop_map(|a| RData::AAAA(AAAA::from(std::net::Ipv6Addr::from(a)))),
        2 => names().prop_map(|name| RData::CNAME(CNAME(name))),
        2 => names().prop_map(|name| RData::NS(NS(name))),
        1 => names().prop_map(|name| RData::PTR(PTR(name))),
        1 => (any::<u16>(), names()).prop_map(|(n, name)| RData::MX(MX::new(n, name))),
        1 => (any::<[u16; 3]>(), names())
            .prop_map(|(n, name)| RData::SRV(SRV::new(n[0], n[1], n[2], name))),
        1 => (names(), names(), any::<u32>(), any::<u32>())
            .prop_map(|(m, r, serial, min)| RData::SOA(SOA::new(m, r, serial, 1, 2, 3, min))),
        1 => "[ -~]{0,40}".prop_map(|text| RData::TXT(TXT::new(vec![text]))),
        1 => (text(), text(), names())
            .prop_map(|(s, r, name)| RData::NAPTR(NAPTR::new(1, 2, Box::from(&b"u"[..]), s, r, name))),
        1 => prop::collection::vec(any::<u8>(), 1..30).prop_map(|octets| RData::Unknown {
            code: Type::Unknown(65280),
            rdata: NULL::with(octets),
        }),
    ]
}

fn ttls() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..600u32, Just(300), any::<u32>()]
}

fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    let record =
        (names(), ttls(), data()).prop_map(|(name, ttl, data)| Record::from_rdata(name, ttl, data));
    prop::collection::vec(record, 0..most)
}

/// A response, and where among the additional records its OPT record stands.
fn responses() -> impl Strategy<Value = (Message, Option<prop::sample::Index>)> {
    let code = prop::sample::select(vec![
        ResponseCode::NoError,
        ResponseCode::NoError,
        ResponseCode::NXDomain,
        ResponseCode::ServFail,
    ]);
    let kind = prop::sample::select(vec![Type::A, Type::MX, Type::CNAME, Type::Unknown(65280)]);
    let opt = prop::option::of(any::<prop::sample::Index>());
    (
        names(),
        kind,
        code,
        any::<[bool; 3]>(),
        records(8),
        records(4),
        records(6),
        opt,
    )
        .prop_map(
            |(name, kind, code, flags, answers, authorities, additionals, opt)| {
                let mut message = Message::new(ID, MessageType::Response, OpCode::Query);
                message.metadata.response_code = code;
                message.metadata.authoritative = flags[0];
                message.metadata.recursion_available = flags[1];
                message.metadata.authentic_data = flags[2];
                message.add_query(Query::query(name, kind));
                message.answers = answers;
                message.authorities = authorities;
                message.additionals = additionals;
                (message, opt)
            },
        )
}

fn encode(message: &Message, opt: Option<prop::sample::Index>) -> Vec<u8> {
    let mut message = message.clone();
    if let Some(at) = opt {
        let padding = EdnsOption::Unknown(12, vec![0; 17]);
        let options = OPT::new(vec![(EdnsCode::Unknown(12), padding)]);
        let mut record = Record::from_rdata(Name::root(), 0, RData::OPT(options));
        record.dns_class = DNSClass::OPT(1232);
        let at = at.index(message.additionals.len() + 1);
        message.additionals.insert(at, record);
    }
    message.to_vec().expect("hickory encodes it")
}

type Set = (String, Type);

fn set(record: &Record) -> Set {
    (record.name.to_string().to_lowercase(), record.record_type())
}

/// The TTLs a section must have: the top bit means zero, sets have one TTL.
fn expected_ttls(section: &[Record], negative: bool) -> Vec<u32> {
    let plain: Vec<u32> = section
        .iter()
        .map(
            |record| match (&record.data, record.ttl > i32::MAX as u32) {
                (_, true) => 0,
                (RData::SOA(soa), _) if negative => record.ttl.min(soa.minimum),
                _ => record.ttl,
            },
        )
        .collect();
    let mut lowest: HashMap<Set, u32> = HashMap::new();
    for (record, ttl) in section.iter().zip(&plain) {
        let entry = lowest.entry(set(record)).or_insert(*ttl);
        *entry = (*entry).min(*ttl);
    }
    section.iter().map(|record| lowest[&set(record)]).collect()
}

fn content(section: &[Record]) -> Vec<(String, &RData)> {
    section
        .iter()
        .map(|record| (record.name.to_string().to_lowercase(), &record.data))
        .collect()
}

/// The records that belong to the answer, section by section: what `belonging` says, said anew.
fn belonging(message: &Message) -> [Vec<Record>; 3] {
    let query = &message.queries[0];
    if message.metadata.response_code == ResponseCode::ServFail {
        return Default::default();
    }
    let (chain, aliases, found) = chain(message);
    let within = |name: &Name, zone: &Name| zone.zone_of(name);
    let mut hosts: Vec<(Name, Name)> = Vec::new();
    let mut zones: Vec<Name> = Vec::new();
    let mut note = |record: &Record| {
        let host = match &record.data {
            RData::NS(host) => host.0.clone(),
            RData::MX(data) => data.exchange.clone(),
            RData::SRV(data) => data.target.clone(),
            _ => return,
        };
        hosts.push((host, record.name.clone()));
    };
    let mut answers = Vec::new();
    for (index, record) in message.answers.iter().enumerate() {
        let at_end = record.record_type() == query.query_type()
            && chain.last().is_some_and(|end| *end == record.name);
        if at_end || aliases.contains(&index) {
            note(record);
            answers.push(record.clone());
        }
    }
    let _ = found;
    let mut authorities = Vec::new();
    for record in &message.authorities {
        if matches!(record.record_type(), Type::NS | Type::SOA)
            && chain.iter().any(|name| within(name, &record.name))
        {
            note(record);
            if !record.name.is_root() {
                zones.push(record.name.clone());
            }
            authorities.push(record.clone());
        }
    }
    let of_host = |record: &&Record| {
        matches!(record.record_type(), Type::A | Type::AAAA)
            && hosts.iter().any(|(host, by)| {
                *host == record.name
                    && (within(host, by) || zones.iter().any(|zone| within(host, zone)))
            })
    };
    let additionals = message.additionals.iter().filter(of_host).cloned();
    [answers, authorities, additionals.collect()]
}

/// The names from the question on, the records that lead from each to the next, and whether the last has what
/// was asked for.
fn chain(message: &Message) -> (Vec<Name>, Vec<usize>, bool) {
    let query = &message.queries[0];
    let (mut names, mut aliases) = (vec![query.name().clone()], Vec::new());
    for _ in 0..8 {
        let before = names.len();
        for (index, record) in message.answers.iter().enumerate() {
            if names.last() != Some(&record.name) {
                continue;
            }
            if record.record_type() == query.query_type() {
                return (names, aliases, true);
            }
            if let RData::CNAME(target) = &record.data {
                names.push(target.0.clone());
                aliases.push(index);
            }
        }
        if names.len() == before {
            break;
        }
    }
    (names, aliases, false)
}

fn written(answer: &Answer, question: &[u8], how: &Render<'_>, edns: bool) -> Option<Message> {
    let mut out = vec![0; 65535];
    let to = if edns {
        with_edns(question)
    } else {
        asked(question)
    };
    let len = answer.write(&to, how, &mut out);
    assert!(len <= how.limit);
    if len == 0 {
        return None;
    }
    assert_eq!(out[12..12 + question.len()], *question, "letter by letter");
    Some(Message::from_vec(&out[..len]).expect("hickory reads it"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn record_for_record((message, opt) in responses(), age in 0..700u32, edns: bool) {
        let octets = encode(&message, opt);
        let question = question_at(&octets).expect("a question");
        let sent = Sent { id: ID, question, exact_case: true };
        let response = examine(&octets, &sent).expect("a response");
        prop_assert_eq!(response.has_opt(), opt.is_some());
        let answer = response.to_answer();
        let again = Answer::from_bytes(answer.as_bytes().into());
        prop_assert_eq!(again.as_ref(), Some(&answer));

        let negative = response.kind().is_negative();
        let ttl = TtlRule::Minus(age);
        let got = written(&answer, question, &Render { ttl, ..PLAIN }, edns).expect("a reply");
        prop_assert_eq!(got.metadata.response_code, message.metadata.response_code);
        prop_assert!(!got.metadata.authoritative && got.metadata.recursion_available);
        prop_assert!(!got.metadata.authentic_data && !got.metadata.truncation);
        prop_assert_eq!(got.edns.is_some(), edns);
        let [answers, authorities, additionals] = belonging(&message);
        for (got, sent, negative) in [
            (&got.answers, &answers, false),
            (&got.authorities, &authorities, negative),
            (&got.additionals, &additionals, false),
        ] {
            prop_assert_eq!(content(got), content(sent));
            let ttls: Vec<u32> = got.iter().map(|record| record.ttl).collect();
            let expected: Vec<u32> = expected_ttls(sent, negative)
                .into_iter()
                .map(|ttl| ttl.saturating_sub(age))
                .collect();
            prop_assert_eq!(ttls, expected);
        }
    }

    /// Whatever the turn, each address stays with its owner, and nothing else moves.
    #[test]
    fn only_addresses_change_places((message, opt) in responses(), turn: u32) {
        let octets = encode(&message, opt);
        let question = question_at(&octets).expect("a question");
        let sent = Sent { id: ID, question, exact_case: true };
        let answer = examine(&octets, &sent).expect("a response").to_answer();
        let still = written(&answer, question, &PLAIN, true).expect("a reply");
        let turned = written(&answer, question, &Render { turn, ..PLAIN }, true).expect("a reply");
        prop_assert_eq!(&turned.authorities, &still.authorities);
        prop_assert_eq!(&turned.additionals, &still.additionals);
        let is_address = |record: &&Record| matches!(record.record_type(), Type::A | Type::AAAA);
        for (turned, still) in turned.answers.iter().zip(&still.answers) {
            prop_assert_eq!((set(turned), turned.ttl), (set(still), still.ttl));
            if !is_address(&turned) {
                prop_assert_eq!(&turned.data, &still.data);
            }
        }
        let addresses = |message: &Message| {
            let records = message.answers.iter().filter(is_address);
            let mut all: Vec<_> = records.map(|it| format!("{:?} {:?}", set(it), it.data)).collect();
            all.sort();
            all
        };
        prop_assert_eq!(addresses(&turned), addresses(&still));
    }
}

proptest! {
    // Each case is some hundreds of limits.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn truncation_at_every_limit((message, opt) in responses(), edns: bool) {
        let octets = encode(&message, opt);
        let question = question_at(&octets).expect("a question");
        let sent = Sent { id: ID, question, exact_case: true };
        let answer = examine(&octets, &sent).expect("a response").to_answer();
        let least = 12 + question.len() + if edns { 11 } else { 0 };
        let whole = written(&answer, question, &PLAIN, edns).expect("a reply");
        let mut before = 0;
        for limit in 0..octets.len() + 12 {
            let Some(got) = written(&answer, question, &Render { limit, ..PLAIN }, edns) else {
                prop_assert!(limit < least, "nothing at {}", limit);
                continue;
            };
            prop_assert!(limit >= least);
            let counts = [got.answers.len(), got.authorities.len(), got.additionals.len()];
            for (got, whole) in [
                (&got.answers, &whole.answers),
                (&got.authorities, &whole.authorities),
                (&got.additionals, &whole.additionals),
            ] {
                prop_assert_eq!(content(got), content(&whole[..got.len()]));
            }
            let shortened = counts[1] < whole.authorities.len();
            let positive = answer.kind() == Kind::Positive;
            let cut = counts[0] < whole.answers.len() || (shortened && !positive);
            if cut {
                prop_assert!(got.metadata.truncation);
            }
            if cut || shortened {
                prop_assert_eq!(counts[2], 0);
            }
            if got.metadata.truncation && !cut {
                prop_assert_eq!(answer.kind(), Kind::Referral, "it needs its addresses");
            }
            // No set is torn at the cut.
            let (kept, missing) = whole.additionals.split_at(counts[2]);
            if let (Some(last), Some(next), false) = (kept.last(), missing.first(), cut || shortened) {
                prop_assert_ne!(set(last), set(next));
            }
            let total: usize = counts.iter().sum();
            prop_assert!(total >= before, "more room, fewer records");
            before = total;
        }
    }
}
