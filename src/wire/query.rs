//! The front door: what a packet from a client is.
//!
//! The order of the checks is the order of what can be trusted. A packet that is no query at all
//! gets no answer, for whatever is answered here can be sent to somebody else under a forged
//! address. A query of a kind byway does not do is told so before its body is looked at. Then the
//! question must be readable, then the rest of the message, then the EDNS version, and only then
//! is it asked whether the question is one that byway answers.
//!
//! What is left over behind the last record is ignored, as BIND and Unbound do: it is neither
//! looked at nor forwarded, and some old clients send buffers of a fixed size.

use super::cookie::{COOKIE_OPTION, Cookie};
use super::header::{self, Header};
use super::identity::{About, CLASS_CH, NSID_OPTION};
use super::name;
use super::question::{Asked, ClientEdns, QuestionKey, question_at, type_and_class};
use super::record::Record;
use super::refusal::Refusal;
use super::reply::KEEPALIVE_OPTION;
use super::types::{CLASS_IN, Ede, Rcode, RecordType};

/// What [`inspect`] made of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Inspected<'a> {
    /// A question to be answered.
    Query(Query<'a>),
    /// A query that gets a short reply made right here: an error, or the HINFO of RFC 8482.
    Refuse(Refusal<'a>),
    /// Not a query. It must not be answered.
    Drop(Garbage),
}

/// A question to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who asked, for the reply.
    pub asked: Asked<'a>,
}

impl Inspected<'_> {
    /// What the client said in its OPT record, if there is a reply to say something in.
    #[inline]
    pub fn edns_mut(&mut self) -> Option<&mut ClientEdns> {
        match self {
            Inspected::Query(query) => query.asked.edns.as_mut(),
            Inspected::Refuse(refusal) => refusal.edns_mut(),
            Inspected::Drop(_) => None,
        }
    }
}

impl Query<'_> {
    /// What is asked, for the cache and for sharing. Made anew by each call, where it is needed: moving it
    /// costs as much as making it.
    #[inline]
    pub fn key(&self) -> QuestionKey {
        QuestionKey::of(self.asked.question, self.asked.dnssec_ok(), self.asked.cd)
    }
}

/// Why a packet is dropped without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Garbage {
    /// Shorter than a header.
    Short,
    /// A response. Two servers that answer each other's responses never stop.
    Response,
}

/// Reads a packet from a client. Allocates nothing and cannot panic.
///
/// | packet | verdict |
/// | --- | --- |
/// | shorter than a header, or a response | dropped |
/// | opcode other than QUERY | NOTIMP, header only (RFC 8906 section 3.1.4), and an OPT for an OPT (RFC 6891 section 6.1.1) |
/// | no question, or several | FORMERR (RFC 9619) |
/// | question garbled, cut short or compressed | FORMERR |
/// | records garbled, or fewer than the header claims | FORMERR |
/// | several OPT, one misplaced, owned or malformed, a cookie of a length that none has | FORMERR, with an OPT (RFC 6891 section 7) |
/// | EDNS version above 0 | BADVERS (RFC 6891 section 6.1.3) |
/// | class CH, about this server, which is told | a TXT record (RFC 4892) |
/// | class other than IN | REFUSED |
/// | ANY | a HINFO record (RFC 8482 section 4.2) |
/// | AXFR, IXFR | REFUSED: byway has no zones, and has a policy not to transfer what it has |
/// | MAILA, MAILB, TKEY | NOTIMP |
/// | other meta types: OPT, TSIG, NXNAME (RFC 9824 section 3.5), unassigned ones, and 0 | FORMERR |
#[inline]
pub fn inspect(packet: &[u8]) -> Inspected<'_> {
    let Some(header) = Header::read(packet) else {
        return Inspected::Drop(Garbage::Short);
    };
    if header.has(header::QR) {
        return Inspected::Drop(Garbage::Response);
    }
    if header.has(header::OPCODE) {
        return Inspected::Refuse(at_a_glance(packet, &header, Rcode::NOTIMP));
    }
    let question = match header.questions {
        1 => question_at(packet),
        _ => None,
    };
    let Some(question) = question else {
        return Inspected::Refuse(at_a_glance(packet, &header, Rcode::FORMERR));
    };
    let extra = extra_records(packet, header::LEN + question.len(), &header);
    let asked = Asked {
        id: header.id,
        rd: header.has(header::RD),
        cd: header.has(header::CD),
        ad: header.has(header::AD),
        edns: extra.edns,
        question,
    };
    if let Err(rcode) = extra.verdict {
        return Inspected::Refuse(Refusal::of(&asked, rcode));
    }
    let (record_type, class) = type_and_class(question);
    if class == CLASS_CH
        && let Some(about) = About::of(question, record_type)
    {
        return Inspected::Refuse(Refusal::about(&asked, about));
    }
    if class != CLASS_IN {
        let refusal = Refusal::of(&asked, Rcode::REFUSED);
        return Inspected::Refuse(refusal.because(Ede::NOT_SUPPORTED));
    }
    if record_type.is_meta() || record_type.0 == 0 {
        return Inspected::Refuse(meta(&asked, record_type));
    }
    Inspected::Query(Query { asked })
}

/// The reply to a question for a type that no zone holds.
#[cold]
fn meta<'a>(asked: &Asked<'a>, record_type: RecordType) -> Refusal<'a> {
    match record_type {
        RecordType::ANY => Refusal::hinfo(asked),
        RecordType::AXFR | RecordType::IXFR => {
            Refusal::of(asked, Rcode::REFUSED).because(Ede::NOT_SUPPORTED)
        }
        RecordType::MAILA | RecordType::MAILB | RecordType::TKEY => {
            Refusal::of(asked, Rcode::NOTIMP).because(Ede::NOT_SUPPORTED)
        }
        _ => Refusal::of(asked, Rcode::FORMERR).because(Ede::INVALID_QUERY_TYPE),
    }
}

/// The reply to a query of another kind, or without exactly one readable question. Where the records behind
/// the question can be reached, the client still learns that byway speaks EDNS. Several questions are not
/// walked: nobody asks them, and each could cost as much as the longest name.
#[cold]
fn at_a_glance<'a>(packet: &'a [u8], header: &Header, rcode: Rcode) -> Refusal<'a> {
    let records = match header.questions {
        0 => Some(header::LEN),
        1 => name::walk(packet, header::LEN, None)
            .ok()
            .map(|end| end + 4),
        _ => None,
    };
    let edns = records.and_then(|at| extra_records(packet, at, header).edns);
    Refusal::new(header, rcode).with_edns(edns)
}

/// What the records of a query came to.
struct Extra {
    /// The client's OPT; there even if there is something wrong with it, for the reply must have
    /// one then too (RFC 6891 section 7).
    edns: Option<ClientEdns>,
    verdict: Result<(), Rcode>,
}

/// Walks the records of a query. All but OPT are skipped: byway checks no transaction signatures,
/// and what else a client may send along says nothing to a forwarder.
#[inline]
fn extra_records(packet: &[u8], mut at: usize, header: &Header) -> Extra {
    let before_additional = usize::from(header.answers) + usize::from(header.authorities);
    let mut extra = Extra {
        edns: None,
        verdict: Ok(()),
    };
    for index in 0..header.records() {
        let Ok(record) = Record::read(packet, at, None) else {
            extra.verdict = Err(Rcode::FORMERR);
            return extra;
        };
        at = record.end;
        if record.record_type != RecordType::OPT {
            continue;
        }
        let second = extra.edns.is_some();
        extra.edns = Some(ClientEdns {
            payload: record.class.max(512),
            dnssec_ok: record.ttl & 0x8000 != 0,
            nsid: false,
            cookie: None,
            keepalive: None,
        });
        let misplaced = index < before_additional || packet.get(record.owner) != Some(&0);
        let version = record.ttl >> 16 & 0xff;
        if second || misplaced {
            extra.verdict = Err(Rcode::FORMERR);
            return extra;
        }
        if version != 0 {
            // How a later version lays out its options is not known: they are not looked at.
            extra.verdict = Err(Rcode::BADVERS);
            continue;
        }
        let read = extra.edns.as_mut();
        let read = read.and_then(|edns| options(record.data(packet), edns));
        if read.is_none() {
            extra.verdict = Err(Rcode::FORMERR);
            return extra;
        }
    }
    extra
}

/// Notes the EDNS options that byway knows; `None` if they do not fill their space exactly (RFC 6891 section 6.1.2), or one
/// is as none can be. Of several cookies the first counts (RFC 7873 section 5.2).
fn options(mut options: &[u8], edns: &mut ClientEdns) -> Option<()> {
    while !options.is_empty() {
        let end = 4 + usize::from(header::word(options, 2)?);
        let data = options.get(4..end)?;
        match header::word(options, 0)? {
            NSID_OPTION => edns.nsid = true,
            KEEPALIVE_OPTION => edns.keepalive = Some(0),
            COOKIE_OPTION if edns.cookie.is_none() => edns.cookie = Some(Cookie::read(data)?),
            _ => {}
        }
        options = options.get(end..)?;
    }
    Some(())
}
