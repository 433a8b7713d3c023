//! An upstream's response, checked against what was sent.
//!
//! Anybody can send a datagram to an open port, so before a response is believed it must repeat
//! the ID and the whole question (RFC 5452 section 9.1), and where the case of the letters was
//! made random it must repeat that too. A mismatch is not an answer and never ends the wait. Then
//! every record is walked once. After that no octet of the message can surprise anyone.

use super::chain::{Chain, Walk};
use super::effort::Effort;
use super::header::{self, Header};
use super::name;
use super::off_limits::OffLimits;
use super::place::Place;
use super::question::question_at;
use super::rdata;
use super::record::{self, Record, lifetime};
use super::types::{Ede, Rcode, RecordType};

/// How many octets of Extended DNS Errors are kept of a response. Texts are for people: what is
/// longer than this is no explanation.
const MAX_EDES: usize = 512;
/// The EDNS option of Extended DNS Errors (RFC 8914 section 2).
pub(super) const EDE_OPTION: u16 = 15;

/// What was sent upstream, as far as the response must match it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The ID of the query.
    pub id: u16,
    /// The question section, exactly as sent: one well-formed question.
    pub question: &'a [u8],
    /// Whether the letter case of the question must come back as it was sent.
    pub exact_case: bool,
}

/// Why a message is not the response to what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Shorter than a header.
    #[error("shorter than a header")]
    Short,
    /// QR is clear: a query.
    #[error("not a response")]
    NotAResponse,
    /// Another opcode than QUERY.
    #[error("another opcode")]
    Opcode,
    /// Another ID.
    #[error("another ID")]
    Id,
    /// Another question, several, or none where there must be one.
    #[error("another question")]
    Question,
    /// The right question in other letter case.
    #[error("the question in other letter case")]
    Case,
    /// All that was sent has come back, but the message cannot be read: nothing better will come of
    /// this server.
    #[error("garbled: {0}")]
    Garbled(&'static str),
}

/// What kind of answer a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Records of the type asked for, perhaps at the end of a CNAME chain.
    Positive = 0,
    /// The name exists, or the last of its CNAME chain does, without records of this type (RFC
    /// 2308 section 2.2).
    NoData = 1,
    /// The name, or the last of its CNAME chain, does not exist (RFC 2308 section 2.1).
    NxDomain = 2,
    /// No answer, but servers to ask: what a resolver that recurses does not send.
    Referral = 3,
    /// NOERROR with nothing to the point: other records than asked for, or cut off by truncation
    /// before the answer.
    Other = 4,
    /// Any other response code.
    Failure = 5,
    /// A chain of aliases without its end, and without a word on whether there is one. Some caches
    /// put NODATA so; others could just not resolve the end.
    Unfinished = 6,
}

impl Kind {
    /// Whether the response says that there is nothing.
    pub fn is_negative(self) -> bool {
        matches!(self, Kind::NoData | Kind::NxDomain)
    }

    pub(super) fn from_octet(octet: u8) -> Option<Kind> {
        [
            Kind::Positive,
            Kind::NoData,
            Kind::NxDomain,
            Kind::Referral,
            Kind::Other,
            Kind::Failure,
            Kind::Unfinished,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == octet)
    }
}

/// A response that matches what was sent and can be read to its end.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Up to the end of the last record.
    pub(super) packet: &'a [u8],
    /// Its counts do not include the OPT record.
    pub(super) header: Header,
    /// Zero if the response has no question.
    pub(super) question_len: usize,
    opt: Option<Record>,
    rcode: Rcode,
    kind: Kind,
    case_kept: bool,
    cut: bool,
    /// Records that were not read, because of what reading them would cost.
    unread: u32,
}

/// Checks `packet` against what was sent and walks every record of it. Allocates nothing and
/// cannot panic. What is left over behind the last record is dropped.
///
/// A failure without a question is believed, for servers that could not read the query, or do not
/// want to, often answer with a header only, or that and an OPT record; the price of a forged one
/// is an attempt, not a lie.
/// A response may end in the middle of a record, truncated by its sender or by what carries it. It counts
/// as truncated, and the records before the cut are used.
///
/// # Errors
/// A [`Mismatch`], of which all but [`Mismatch::Garbled`] say that somebody else may have sent it.
pub fn examine<'a>(packet: &'a [u8], sent: &Sent<'_>) -> Result<Response<'a>, Mismatch> {
    let header = Header::read(packet).ok_or(Mismatch::Short)?;
    if !header.has(header::QR) {
        return Err(Mismatch::NotAResponse);
    }
    if header.id != sent.id {
        return Err(Mismatch::Id);
    }
    if header.has(header::OPCODE) {
        return Err(Mismatch::Opcode);
    }
    let (question_len, case_kept) = match_question(packet, &header, sent)?;
    if packet.len() > header::MAX_MESSAGE {
        return Err(Mismatch::Garbled("longer than 65535 octets"));
    }
    let body = header::LEN + question_len;
    let mut walked = Walked::walk(packet, body, header, |_| Ok(()));
    let before_additional = usize::from(header.answers) + usize::from(header.authorities);
    let (mut cut, mut unread) = (false, 0);
    match walked.flaw {
        None => {}
        // Without the question it may be anybody's.
        Some(_) if question_len == 0 => return Err(Mismatch::Question),
        Some(name::COSTLY) => {
            cut = walked.header.records() < before_additional;
            unread = (header.records() - walked.header.records()) as u32;
        }
        // Then it may be anything that is left of it.
        Some(_) if header.has(header::TC) => cut = true,
        Some(name::RUNS_OFF | record::CUT_SHORT | record::DATA_RUNS_OFF) => cut = true,
        Some(reason) => return Err(Mismatch::Garbled(reason)),
    }
    if cut {
        walked.header.flags |= header::TC;
    }
    let high = walked.opt.map_or(0, |opt| (opt.ttl >> 24) as u16);
    let rcode = Rcode(high << 4 | header.flags & header::RCODE);
    let answers_something = matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
    if question_len == 0 && (answers_something || walked.header.records() > 0) {
        return Err(Mismatch::Question);
    }
    let packet = packet.get(..walked.end).unwrap_or(packet);
    let walk = Walk {
        packet,
        header: walked.header,
        question_len,
        rcode,
    };
    Ok(Response {
        packet,
        header: walked.header,
        question_len,
        opt: walked.opt,
        rcode,
        kind: Chain::read(&walk, &Effort::new()).kind,
        case_kept,
        cut,
        unread,
    })
}

/// The length of the response's question and whether it is as sent to the letter.
fn match_question(
    packet: &[u8],
    header: &Header,
    sent: &Sent<'_>,
) -> Result<(usize, bool), Mismatch> {
    match header.questions {
        0 => return Ok((0, true)),
        1 => {}
        _ => return Err(Mismatch::Question),
    }
    let rest = packet.get(header::LEN..).unwrap_or_default();
    if rest.starts_with(sent.question) {
        return Ok((sent.question.len(), true));
    }
    let question = question_at(packet).ok_or(Mismatch::Question)?;
    let split = |question: &'_ [u8]| question.len().saturating_sub(4);
    let (name, tail) = question.split_at(split(question));
    let (sent_name, sent_tail) = sent.question.split_at(split(sent.question));
    if tail != sent_tail || !name.eq_ignore_ascii_case(sent_name) {
        return Err(Mismatch::Question);
    }
    if sent.exact_case {
        return Err(Mismatch::Case);
    }
    Ok((question.len(), false))
}

/// The sections of a message, walked.
pub(super) struct Walked {
    /// As sent, except that the counts leave out the OPT record, and what was not walked.
    pub header: Header,
    pub opt: Option<Record>,
    /// Where the last record ends.
    pub end: usize,
    /// Why not all of it was walked.
    pub flaw: Option<&'static str>,
}

impl Walked {
    /// Walks every record from `at` on, where the question ends, and shows it to `each`.
    pub fn walk(
        packet: &[u8],
        at: usize,
        header: Header,
        mut each: impl FnMut(&Record) -> Result<(), &'static str>,
    ) -> Walked {
        let before_additional = usize::from(header.answers) + usize::from(header.authorities);
        let question_name = at.saturating_sub(header::LEN + 4);
        let labels = match question_name {
            0 => 0,
            _ => Place::new(packet, header::LEN).iter().count() as u32,
        };
        let mut off_limits = OffLimits::new(packet.len(), question_name, labels);
        let mut walked = Walked {
            header,
            opt: None,
            end: at,
            flaw: None,
        };
        for index in 0..header.records() {
            match walked.next(
                packet,
                index < before_additional,
                &mut off_limits,
                &mut each,
            ) {
                Ok(end) => walked.end = end,
                Err(flaw) => {
                    walked.flaw = Some(flaw);
                    walked.count(index);
                    break;
                }
            }
        }
        walked.header.additionals -= u16::from(walked.opt.is_some());
        walked
    }

    /// Walks the next record and says where it ends. `early` if it is none of the additional section.
    #[inline]
    fn next(
        &mut self,
        packet: &[u8],
        early: bool,
        off_limits: &mut OffLimits,
        each: &mut impl FnMut(&Record) -> Result<(), &'static str>,
    ) -> Result<usize, &'static str> {
        let record = Record::read(packet, self.end, Some(off_limits))?;
        if record.record_type == RecordType::OPT {
            let owned = packet.get(record.owner) != Some(&0);
            if self.opt.is_some() || owned || early {
                return Err("an OPT record out of place");
            }
            off_limits.add(record.owner..record.end);
            self.opt = Some(record);
            return Ok(record.end);
        }
        off_limits.add(record.ttl_at..record.ttl_at + 4);
        rdata::walk(packet, &record, |at| {
            name::walk(packet, at, Some(off_limits))
        })
        .map_err(|flaw| match flaw {
            // The record is all there.
            name::RUNS_OFF => "record data shorter than its type says",
            flaw => flaw,
        })?;
        each(&record)?;
        Ok(record.end)
    }

    /// Lets the header claim no more than `records`.
    fn count(&mut self, records: usize) {
        // No more than sixteen bits' worth each, as before.
        let mut left = records;
        let header = &mut self.header;
        for count in [
            &mut header.answers,
            &mut header.authorities,
            &mut header.additionals,
        ] {
            *count = left.min(usize::from(*count)) as u16;
            left -= usize::from(*count);
        }
    }
}

/// How long a negative answer with this SOA may be kept: the lesser of its TTL and its MINIMUM field, the
/// last of its data (RFC 2308 section 5).
pub(super) fn soa_lifetime(packet: &[u8], ttl: u32, end: usize) -> Option<u32> {
    let minimum = header::double(packet, end.checked_sub(4)?)?;
    Some(lifetime(ttl).min(minimum))
}

impl<'a> Response<'a> {
    /// The response code, with the bits an OPT record adds.
    pub fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// What kind of answer it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it ends before it says that it does. Over a stream nothing better is to be had.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// How many of its records were not read, because of what that would have cost.
    pub fn unread(&self) -> u32 {
        self.unread
    }

    /// TC, or as good as that: something was left out; the rest is to be had over a stream.
    pub fn truncated(&self) -> bool {
        self.header.has(header::TC)
    }

    /// AA: the server is authoritative for the name.
    pub fn authoritative(&self) -> bool {
        self.header.has(header::AA)
    }

    /// AD: the server says it has checked the signatures (RFC 4035 section 3.2.3).
    pub fn authenticated(&self) -> bool {
        self.header.has(header::AD)
    }

    /// RA: the server recurses.
    pub fn recursion_available(&self) -> bool {
        self.header.has(header::RA)
    }

    /// Whether it answers nothing, though its code says that all is well: a referral, other records
    /// than were asked for, or nothing at all from a server that neither recurses nor is
    /// authoritative. To a question with RD a server that serves this name does not say so.
    ///
    /// An empty answer of a server that recurses is NODATA, SOA or not: some forwarders strip it.
    pub fn is_lame(&self) -> bool {
        match self.kind {
            Kind::Referral | Kind::Other => !self.truncated(),
            Kind::NoData => {
                let speaks_for_itself = self.recursion_available() || self.authoritative();
                !speaks_for_itself && self.negative_ttl().is_none()
            }
            _ => false,
        }
    }

    /// Whether there is an OPT record: the server speaks EDNS.
    pub fn has_opt(&self) -> bool {
        self.opt.is_some()
    }

    /// Whether the question came back in the letter case it was sent in. True also where there is
    /// no question to tell by.
    pub fn case_kept(&self) -> bool {
        self.case_kept
    }

    /// The lowest TTL of the answer section, in seconds; `None` if the section is empty. What the
    /// other sections hold comes along and says nothing about how long the answer is true.
    pub fn lowest_ttl(&self) -> Option<u32> {
        self.walk()
            .answers()
            .map(|record| lifetime(record.ttl))
            .min()
    }

    /// How long a NODATA or NXDOMAIN may be kept, in seconds, as its SOA says (RFC 2308 section
    /// 5). `None` for other kinds, and for negative answers without an SOA, which are not to be
    /// kept on their own authority.
    pub fn negative_ttl(&self) -> Option<u32> {
        if !self.kind.is_negative() {
            return None;
        }
        let (walk, effort) = (self.walk(), Effort::new());
        let chain = Chain::read(&walk, &effort);
        let of_zone = |record: &Record| {
            record.is(RecordType::SOA) && chain.is_zone(record.owner, &walk, &effort)
        };
        let soa = walk.authorities().find(of_zone)?;
        soa_lifetime(self.packet, soa.ttl, soa.end)
    }

    /// The message, to be gone through.
    pub(super) fn walk(&self) -> Walk<'a> {
        Walk {
            packet: self.packet,
            header: self.header,
            question_len: self.question_len,
            rcode: self.rcode,
        }
    }

    /// The Extended DNS Errors that came along, oldest first. A text that is not UTF-8 is given
    /// up to where it stops being so.
    pub fn edes(&self) -> impl Iterator<Item = Ede<'a>> + use<'a> {
        self.ede_options().filter_map(|option| {
            let code = header::word(option, 4)?;
            let text = option.get(6..)?;
            let text = match std::str::from_utf8(text) {
                Ok(text) => text,
                Err(error) => std::str::from_utf8(text.get(..error.valid_up_to())?).ok()?,
            };
            Some(Ede { code, text })
        })
    }

    /// The Extended DNS Errors as options, up to [`MAX_EDES`] octets of them.
    pub(super) fn ede_options(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let packet = self.packet;
        let options = self.opt.map_or(&[][..], |opt| opt.data(packet));
        let mut room = MAX_EDES;
        ede_options(options).take_while(move |option| {
            let fits = option.len() <= room;
            room = room.saturating_sub(option.len());
            fits
        })
    }
}

/// The Extended DNS Errors among EDNS options, each with its option header. Stops where the
/// options are malformed.
pub(super) fn ede_options(mut options: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(header::word(options, 2)?);
        let option = options.get(..4 + len)?;
        options = options.get(4 + len..)?;
        Some(option)
    })
    .filter(|option| option.len() >= 6 && header::word(option, 0) == Some(EDE_OPTION))
}
