//! A response as it is kept.
//!
//! One allocation holds it all, because a cache holds very many of them: seven octets of facts,
//! the message, less what does not belong to it and compressed, two octets for each record that say where its TTL is, and
//! the Extended DNS Errors that came along. A record's TTL is followed by the length of its data,
//! so the same two octets also tell where the record ends. The ID in the message is zero and its
//! question is in lower case; both are the client's when it is written out. A failure that came
//! without a question is kept without one.
//!
//! The octets are the same in memory and in a snapshot. [`Answer::from_bytes`] believes nothing
//! of what it reads.

use std::net::IpAddr;

use super::chain::Walk;
use super::header::{self, Header};
use super::keep::kind_of;
use super::question::question_at;
use super::record::{Record, TTL_TO_DATA};
use super::response::{self, Kind, Walked};
use super::types::{Rcode, RecordType};

/// The facts in front: length of the message (2), length of the Extended DNS Errors (2), kind,
/// the upper bits of the response code, length of the question's name.
pub(super) const FACTS: usize = 7;

/// A response as kept: see [`Response::to_answer`](super::Response::to_answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub(super) Box<[u8]>);

/// The parts of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub kind: u8,
    /// The upper eight bits of the response code.
    pub rcode_high: u8,
    /// Zero if there is no question.
    pub question_len: usize,
    pub message: &'a [u8],
    pub ttls: &'a [u8],
    pub edes: &'a [u8],
}

impl<'a> Parts<'a> {
    #[inline]
    fn of(octets: &'a [u8]) -> Option<Parts<'a>> {
        let (facts, rest) = octets.split_first_chunk::<FACTS>()?;
        let [m0, m1, e0, e1, kind, rcode_high, name_len] = *facts;
        let (message, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([m0, m1])))?;
        let edes = usize::from(u16::from_be_bytes([e0, e1]));
        let (ttls, edes) = rest.split_at_checked(rest.len().checked_sub(edes)?)?;
        let question_len = match name_len {
            0 => 0,
            len => usize::from(len) + 4,
        };
        Some(Parts {
            kind,
            rcode_high,
            question_len,
            message,
            ttls,
            edes,
        })
    }

    /// Where the TTLs are, in the order of the records.
    #[inline]
    pub fn ttl_places(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.ttls
            .chunks_exact(2)
            .map(|place| usize::from(u16::from_be_bytes([place[0], place[1]])))
    }

    /// Where the TTL of the record with this number is.
    #[inline]
    pub fn ttl_place(&self, number: usize) -> Option<usize> {
        let place = self.ttls.get(2 * number..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*place)))
    }

    pub fn header(&self) -> Header {
        Header::read(self.message).unwrap_or_default()
    }

    #[inline]
    pub fn rcode(&self, header: &Header) -> Rcode {
        Rcode(u16::from(self.rcode_high) << 4 | header.flags & header::RCODE)
    }

    /// The answer, if every word of it is true.
    fn checked(self) -> Option<Parts<'a>> {
        let header = Header::read(self.message)?;
        let question = match header.questions {
            0 => &[],
            1 => question_at(self.message)?,
            _ => return None,
        };
        let name = question.get(..question.len().saturating_sub(4))?;
        let allowed = header::QR | header::AA | header::TC | header::RA | header::AD;
        let body = header::LEN + question.len();
        let plain = header.id == 0
            && header.flags & !(allowed | header::RCODE) == 0
            && header.has(header::QR)
            && question.len() == self.question_len
            && !name.iter().any(u8::is_ascii_uppercase)
            && self.ttls.len() == 2 * header.records()
            && (header.questions == 1 || self.message.len() == body);
        if !plain {
            return None;
        }
        let mut places = self.ttl_places();
        let walked = Walked::walk(self.message, body, header, |record| {
            let noted = places.next() == Some(record.ttl_at);
            noted
                .then_some(())
                .ok_or("a TTL that is not where it was noted")
        });
        if walked.flaw.is_some() || walked.opt.is_some() {
            return None;
        }
        let edes: usize = response::ede_options(self.edes).map(<[u8]>::len).sum();
        let kind = kind_of(self.message, &header, question.len(), self.rcode(&header));
        // What answered something else holds nothing any more that would show it.
        let stored = Kind::from_octet(self.kind);
        let emptied = stored == Some(Kind::Other) && matches!(kind, Kind::NoData | Kind::Referral);
        let ends_meet = walked.end == self.message.len() && edes == self.edes.len();
        (ends_meet && (emptied || stored == Some(kind))).then_some(self)
    }
}

impl Answer {
    /// An answer from the octets that [`as_bytes`](Self::as_bytes) gave. They are checked to the
    /// last: whatever they are, the answer can be written without a panic. `None` if they are not
    /// an answer.
    pub fn from_bytes(bytes: Box<[u8]>) -> Option<Answer> {
        Parts::of(&bytes)?.checked()?;
        Some(Answer(bytes))
    }

    /// The answer's octets, for a snapshot.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many octets the answer takes: the size of its one allocation.
    // An answer has at least a header, so there is no `is_empty`.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The response code, with the bits an OPT record adds.
    pub fn rcode(&self) -> Rcode {
        let parts = self.parts();
        parts.rcode(&parts.header())
    }

    /// What kind of answer it is.
    pub fn kind(&self) -> Kind {
        Kind::from_octet(self.parts().kind).unwrap_or(Kind::Other)
    }

    /// Whether it says of the question's own name that it does not exist, and so of every type of it (RFC
    /// 2308 section 5). What stands at the end of aliases says nothing of the alias itself.
    pub fn denies_name(&self) -> bool {
        self.kind() == Kind::NxDomain && !self.has_answers()
    }

    /// TC: something is missing from it, so it is not to be kept (RFC 2181 section 9).
    pub fn truncated(&self) -> bool {
        self.parts().header().has(header::TC)
    }

    /// Whether there are records in its answer section.
    pub fn has_answers(&self) -> bool {
        self.parts().header().answers > 0
    }

    /// The addresses in its answer section.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let parts = self.parts();
        let answers = parts.header().answers.into();
        parts.ttl_places().take(answers).filter_map(move |place| {
            let data = place + TTL_TO_DATA;
            let data = parts.message.get(data..record_end(parts.message, place)?)?;
            match record_type(parts.message, place)? {
                RecordType::A => Some(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
                RecordType::AAAA => Some(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
                _ => None,
            }
        })
    }

    /// Whether the upstream sent Extended DNS Errors along (RFC 8914).
    pub fn has_edes(&self) -> bool {
        !self.parts().edes.is_empty()
    }

    /// The codes of these Extended DNS Errors.
    pub fn ede_codes(&self) -> impl Iterator<Item = u16> + '_ {
        let options = response::ede_options(self.parts().edes);
        options.filter_map(|option| header::word(option, 4))
    }

    /// The question in lower case: name, type, class. Empty for a failure that came without one.
    pub fn question(&self) -> &[u8] {
        let parts = self.parts();
        let question = header::LEN..header::LEN + parts.question_len;
        parts.message.get(question).unwrap_or_default()
    }

    /// Whether it answers a question of this type.
    pub fn is_for(&self, record_type: RecordType) -> bool {
        let question = self.question();
        let place = question.len().checked_sub(4);
        place.and_then(|place| header::word(question, place)) == Some(record_type.0)
    }

    /// How long the answer may be kept by what its own records say, in seconds: the lowest TTL of
    /// the answer section, for a negative answer that and the negative TTL. Zero where there is
    /// nothing to go by: failures, referrals, truncated answers, negative ones without an SOA.
    pub fn ttl(&self) -> u32 {
        let parts = self.parts();
        let header = parts.header();
        let kind = self.kind();
        let of_itself = match kind {
            Kind::Positive => Some(u32::MAX), // as long as the answer section says
            Kind::NoData | Kind::NxDomain => self.negative_ttl(),
            Kind::Referral | Kind::Other | Kind::Failure | Kind::Unfinished => None,
        };
        if header.has(header::TC) {
            return 0;
        }
        parts
            .ttl_places()
            .take(usize::from(header.answers))
            .filter_map(|place| header::double(parts.message, place))
            .chain([of_itself.unwrap_or(0)])
            .min()
            .unwrap_or(0)
    }

    /// How long a NODATA or NXDOMAIN may be kept, in seconds, as its SOA says (RFC 2308 section
    /// 5). `None` for other kinds and for negative answers without an SOA.
    pub fn negative_ttl(&self) -> Option<u32> {
        let parts = self.parts();
        if !self.kind().is_negative() {
            return None;
        }
        let header = parts.header();
        parts
            .ttl_places()
            .skip(usize::from(header.answers))
            .take(usize::from(header.authorities))
            // The owner's place is of no interest here.
            .filter_map(|place| Record::noted(parts.message, place, place))
            .find(|record| record.is(RecordType::SOA))
            .and_then(|record| response::soa_lifetime(parts.message, record.ttl, record.end))
    }

    /// Raises every TTL below `min` seconds and lowers every one above `max`. The MINIMUM field
    /// of an SOA stays as it is, so a negative answer is never kept longer than its zone allows.
    pub fn cap_ttls(&mut self, min: u32, max: u32) {
        let Some((message, ttls)) = self.message_and_ttls() else {
            return;
        };
        for place in ttls.chunks_exact(2) {
            let at = usize::from(u16::from_be_bytes([place[0], place[1]]));
            if let Some(ttl) = message
                .get_mut(at..)
                .and_then(|rest| rest.first_chunk_mut())
            {
                *ttl = u32::from_be_bytes(*ttl).max(min).min(max).to_be_bytes();
            }
        }
    }

    /// The message, to be gone through.
    pub(super) fn walk(&self) -> Walk<'_> {
        let parts = self.parts();
        let header = parts.header();
        Walk {
            packet: parts.message,
            header,
            question_len: parts.question_len,
            rcode: parts.rcode(&header),
        }
    }

    #[inline]
    pub(super) fn parts(&self) -> Parts<'_> {
        // An answer is made in two places, and both make all of its parts.
        Parts::of(&self.0).unwrap_or(Parts {
            kind: Kind::Failure as u8,
            rcode_high: 0,
            question_len: 0,
            message: &[],
            ttls: &[],
            edes: &[],
        })
    }

    fn message_and_ttls(&mut self) -> Option<(&mut [u8], &[u8])> {
        let parts = self.parts();
        let (message, ttls) = (parts.message.len(), parts.ttls.len());
        let (message, rest) = self.0.get_mut(FACTS..)?.split_at_mut_checked(message)?;
        Some((message, rest.get(..ttls)?))
    }
}

/// The type of the record whose TTL is at `place`: two octets of type and two of class precede it.
#[inline]
pub(super) fn record_type(message: &[u8], place: usize) -> Option<RecordType> {
    header::word(message, place.checked_sub(4)?).map(RecordType)
}

/// Where the record whose TTL is at `place` ends.
#[inline]
pub(super) fn record_end(message: &[u8], place: usize) -> Option<usize> {
    let data = header::word(message, place + TTL_TO_DATA - 2)?;
    Some(place + TTL_TO_DATA + usize::from(data))
}
