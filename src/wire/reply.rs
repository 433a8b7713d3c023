//! Replies to clients.
//!
//! Whatever the answer is, a reply repeats the client's ID, its RD and CD, and its question octet
//! by octet, so that a client which makes letter case random finds it unharmed. RA is set and AA
//! is not, whatever the upstream said: byway recurses, as its clients see it, and is authoritative
//! for nothing but what is its [`own`](super::own). The reply carries an OPT
//! record exactly if the query did (RFC 6891 section 6.1.1), nothing of the client's options, and
//! no more octets than the client takes.

use super::answer::{Answer, Parts, record_end, record_type};
use super::cookie::{COOKIE_OPTION, Cookie};
use super::header::{self, Header};
use super::identity::{NSID_OPTION, identity};
use super::question::{Asked, ClientEdns};
use super::record::Record;
use super::response::{EDE_OPTION, Kind};
use super::rotate::rotate;
use super::types::{Ede, Rcode, RecordType};

/// The EDNS option by which a connection is kept (RFC 7828 section 3.1).
pub(super) const KEEPALIVE_OPTION: u16 = 11;

/// An OPT record without options.
pub(super) const OPT_LEN: usize = 11;
/// The smallest reply every client takes (RFC 1035 section 4.2.1).
const SMALL: usize = 512;

/// How an answer is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Render<'a> {
    /// What becomes of the TTLs.
    pub ttl: TtlRule,
    /// The largest reply, in octets: 512 or more over UDP ([`Asked::udp_limit`]), 65535 over a
    /// stream.
    pub limit: usize,
    /// The largest UDP message byway takes, for the OPT record.
    pub payload: u16,
    /// What there is to say about the answer, to clients that speak EDNS.
    pub ede: Option<Ede<'a>>,
    /// Sets of addresses begin with the record that stands so many places further on (RFC 1794); zero leaves them
    /// in the order in which they came.
    pub turn: u32,
}

/// What becomes of TTLs when an answer is written, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlRule {
    /// As kept: the answer has just come.
    AsStored,
    /// So much less, for the time it was kept, but not below zero. Zero is the truth about a
    /// record whose time is over: use it now, do not keep it (RFC 2181 section 8). One would let
    /// every cache behind this one keep it a second longer.
    Minus(u32),
    /// All the same: for stale answers (RFC 8767 section 5 recommends 30).
    Fixed(u32),
}

impl TtlRule {
    #[inline]
    fn apply(self, ttl: u32) -> u32 {
        match self {
            TtlRule::AsStored => ttl,
            TtlRule::Minus(age) => ttl.saturating_sub(age),
            TtlRule::Fixed(ttl) => ttl,
        }
    }
}

impl Answer {
    /// Writes the reply to one client and returns its length: a copy and patches, no allocation.
    ///
    /// What does not fit into the limit is left out by whole records, from the end. Whoever cannot
    /// come back over a stream still has the ones that fit. TC is set if answer records are missing,
    /// or authority records that are part of what is said, or address records that a referral needs (RFC 9471); not for other
    /// additional records, of which incomplete sets are left out whole (RFC 2181 section 9).
    /// Extended DNS Errors take only the room the records leave.
    ///
    /// Returns 0, having written nothing of use, if not even the question fits.
    pub fn write(&self, to: &Asked<'_>, how: &Render<'_>, out: &mut [u8]) -> usize {
        let parts = self.parts();
        let kept = parts.header();
        let mut writer = Writer::new(out, how.limit);
        let opt = to.edns.map_or(0, |edns| edns.reply_len());
        let room = writer.limit.saturating_sub(opt);
        let extent = if parts.message.len() <= room {
            Extent::whole(&parts, &kept)
        } else {
            Extent::cut(&parts, &kept, room)
        };

        if parts.question_len == 0 {
            // A failure without a question has no records either.
            writer.put(&[0; header::LEN]);
            writer.put(to.question);
        } else {
            debug_assert!(same_name(self.question(), to.question));
            writer.put(parts.message.get(..extent.end).unwrap_or_default());
            if parts.question_len == to.question.len() {
                writer.patch(header::LEN, to.question);
            }
        }
        if how.turn > 0 && kept.answers > 1 {
            let (answers, shown) = (kept.answers.into(), extent.answers.into());
            rotate(&parts, answers, shown, how.turn, |it| {
                writer.patch(it.to, it.data)
            });
        }
        if how.ttl != TtlRule::AsStored {
            for place in parts.ttl_places().take(extent.records()) {
                writer.patch_ttl(place, how.ttl);
            }
        }

        let mut copied = header::TC;
        if to.ad || to.dnssec_ok() {
            copied |= header::AD;
        }
        let header = Header {
            id: to.id,
            flags: to.reply_flags() | header::RA | kept.flags & copied | extent.tc,
            questions: 1,
            answers: extent.answers,
            authorities: extent.authorities,
            additionals: extent.additionals,
        };
        let rcode = parts.rcode(&kept);
        writer.finish(header, rcode, to.edns, how.payload, how.ede, parts.edes)
    }
}

/// How much of an answer a reply carries.
struct Extent {
    answers: u16,
    authorities: u16,
    additionals: u16,
    end: usize,
    tc: u16,
}

impl Extent {
    #[inline]
    fn whole(parts: &Parts<'_>, header: &Header) -> Extent {
        Extent {
            answers: header.answers,
            authorities: header.authorities,
            additionals: header.additionals,
            end: parts.message.len(),
            tc: 0,
        }
    }

    /// The records from the first on that fit into `room`. Only ever the last ones are left out,
    /// for a compression pointer may lead to anything that stands before it.
    #[cold]
    fn cut(parts: &Parts<'_>, header: &Header, room: usize) -> Extent {
        let mut end = header::LEN + parts.question_len;
        let mut fit = 0;
        for place in parts.ttl_places() {
            match record_end(parts.message, place) {
                Some(next) if next <= room => (fit, end) = (fit + 1, next),
                _ => break,
            }
        }
        let required = usize::from(header.answers) + required_authorities(parts, header);
        let mut tc = header::TC;
        if fit >= required {
            if !needs_glue(parts, fit) {
                tc = 0;
            }
            (fit, end) = without_part_of_a_set(parts, required, fit, end);
        }
        let answers = fit.min(usize::from(header.answers));
        let authorities = (fit - answers).min(usize::from(header.authorities));
        // Each is at most the count it was taken from.
        Extent {
            answers: answers as u16,
            authorities: authorities as u16,
            additionals: (fit - answers - authorities) as u16,
            end,
            tc,
        }
    }

    fn records(&self) -> usize {
        usize::from(self.answers) + usize::from(self.authorities) + usize::from(self.additionals)
    }
}

/// How many records of the authority section a client cannot do without: the servers that stand in a
/// positive answer are additional to it in all but name (RFC 2181 section 9). Not so the proof that no
/// closer name exists, for whoever wants DNSSEC (RFC 4035 section 3.1.3.3).
fn required_authorities(parts: &Parts<'_>, header: &Header) -> usize {
    let authorities = usize::from(header.authorities);
    let proves = |place| {
        let record_type = record_type(parts.message, place);
        matches!(record_type, Some(RecordType::NSEC | RecordType::NSEC3))
    };
    let mut places = parts
        .ttl_places()
        .skip(header.answers.into())
        .take(authorities);
    match parts.kind == Kind::Positive as u8 && !places.any(proves) {
        true => 0,
        false => authorities,
    }
}

/// Whether two questions are about one name: the NXDOMAIN for one type is that for every type.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    let name = |question: &'_ [u8]| question.len().saturating_sub(4);
    one[..name(one)].eq_ignore_ascii_case(&other[..name(other)])
}

/// Whether this is a referral and there are addresses of its servers among the records that did
/// not fit (RFC 9471 section 3.1).
fn needs_glue(parts: &Parts<'_>, fit: usize) -> bool {
    parts.kind == Kind::Referral as u8
        && parts.ttl_places().skip(fit).any(|place| {
            let record_type = record_type(parts.message, place);
            matches!(record_type, Some(RecordType::A | RecordType::AAAA))
        })
}

/// Takes back the records in front of the first that did not fit, as far as they belong to its
/// set: half a set of what only comes along is worse than none (RFC 2181 section 9).
fn without_part_of_a_set(
    parts: &Parts<'_>,
    required: usize,
    mut fit: usize,
    mut end: usize,
) -> (usize, usize) {
    let read = |at| Record::walked(parts.message, at);
    let Some(missing) = read(end) else {
        return (fit, end);
    };
    while fit > required {
        // The record before starts where the one before that ends, or the question.
        let start = match fit.checked_sub(2) {
            None => Some(header::LEN + parts.question_len),
            Some(before) => parts
                .ttl_places()
                .nth(before)
                .and_then(|place| record_end(parts.message, place)),
        };
        match start.and_then(read) {
            Some(record) if record.same_set(&missing, parts.message) => {
                (fit, end) = (fit - 1, record.owner);
            }
            _ => break,
        }
    }
    (fit, end)
}

/// Writes a reply of byway's own making, such as SERVFAIL or REFUSED, and returns its length,
/// which is at most 512 octets. RA is set; clients that speak EDNS are told `ede`, without its
/// text where that is too long. `payload` is the largest UDP message byway takes. Returns 0,
/// having written nothing of use, if `out` is too small.
pub fn write_error(
    to: &Asked<'_>,
    rcode: Rcode,
    ede: Option<Ede<'_>>,
    payload: u16,
    out: &mut [u8],
) -> usize {
    let header = Header {
        id: to.id,
        flags: to.reply_flags() | header::RA,
        questions: 1,
        ..Header::default()
    };
    let mut writer = Writer::new(out, SMALL);
    writer.put(&[0; header::LEN]);
    writer.put(to.question);
    writer.finish(header, rcode, to.edns, payload, ede, &[])
}

/// Writes a reply without any record and returns its length: one that is cut off before its first record (TC), so that the
/// client comes back over a stream, or BADCOOKIE for one that has now the cookie to come back with (RFC 7873 section
/// 5.2.3). It is hardly longer than the query.
pub fn write_nothing(to: &Asked<'_>, payload: u16, out: &mut [u8]) -> usize {
    let told = to.edns.is_some_and(|edns| edns.cookie.is_some());
    let (tc, rcode) = match told {
        true => (0, Rcode::BADCOOKIE),
        false => (header::TC, Rcode::NOERROR),
    };
    let header = Header {
        id: to.id,
        flags: to.reply_flags() | header::RA | tc,
        questions: 1,
        ..Header::default()
    };
    let mut writer = Writer::new(out, SMALL);
    writer.put(&[0; header::LEN]);
    writer.put(to.question);
    // Who the server is, or a word on errors, would only make it longer.
    let edns = to.edns.map(|edns| ClientEdns {
        nsid: false,
        ..edns
    });
    writer.finish(header, rcode, edns, payload, None, &[])
}

/// A reply as it grows. What does not fit is remembered, and makes the reply come to nothing.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    limit: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    /// A reply of at most `limit` octets.
    #[inline]
    pub fn new(out: &'a mut [u8], limit: usize) -> Writer<'a> {
        let limit = limit.min(out.len()).min(header::MAX_MESSAGE);
        Writer {
            out,
            at: 0,
            limit,
            overflowed: false,
        }
    }

    /// How many octets there is room for.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit - self.at
    }

    /// Appends `octets`.
    #[inline]
    pub fn put(&mut self, octets: &[u8]) {
        let end = self.at + octets.len();
        match self.out.get_mut(self.at..end.min(self.limit)) {
            Some(place) if place.len() == octets.len() => {
                place.copy_from_slice(octets);
                self.at = end;
            }
            _ => self.overflowed = true,
        }
    }

    /// Overwrites what stands at `at`.
    #[inline]
    fn patch(&mut self, at: usize, octets: &[u8]) {
        match self.out.get_mut(at..at + octets.len()) {
            Some(place) => place.copy_from_slice(octets),
            None => self.overflowed = true,
        }
    }

    #[inline]
    fn patch_ttl(&mut self, at: usize, rule: TtlRule) {
        if let Some(ttl) = self
            .out
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut())
        {
            *ttl = rule.apply(u32::from_be_bytes(*ttl)).to_be_bytes();
        }
    }

    /// Adds the OPT record if the client has one, fills in the header and returns the length, or
    /// 0 if something did not fit. `kept` are options that came from upstream.
    #[inline]
    pub fn finish(
        mut self,
        mut header: Header,
        rcode: Rcode,
        edns: Option<ClientEdns>,
        payload: u16,
        ede: Option<Ede<'_>>,
        kept: &[u8],
    ) -> usize {
        header.flags |= rcode.0 & header::RCODE;
        if let Some(edns) = edns {
            header.additionals += 1;
            self.put_opt(rcode, edns, payload, ede, kept);
        } else if rcode.0 > header::RCODE {
            // Its upper bits have no place to go, and the lower ones alone would say something
            // else.
            header.flags = header.flags & !header::RCODE | Rcode::SERVFAIL.0;
        }
        self.patch(0, &header.to_wire());
        if self.overflowed { 0 } else { self.at }
    }

    /// The OPT record: version 0, DO as the client sent it (RFC 3225 section 3).
    #[inline]
    fn put_opt(
        &mut self,
        rcode: Rcode,
        edns: ClientEdns,
        payload: u16,
        ede: Option<Ede<'_>>,
        kept: &[u8],
    ) {
        let [kind_high, kind_low] = RecordType::OPT.0.to_be_bytes();
        let [payload_high, payload_low] = payload.to_be_bytes();
        self.put(&[
            0,
            kind_high,
            kind_low,
            payload_high,
            payload_low,
            (rcode.0 >> 4) as u8,
            0,
            u8::from(edns.dnssec_ok) << 7,
            0,
            0,
            0,
        ]);
        let options = self.at;
        if let Some(cookie) = edns.cookie.as_ref().and_then(Cookie::sent) {
            self.put(&COOKIE_OPTION.to_be_bytes());
            self.put(&(cookie.len() as u16).to_be_bytes());
            self.put(cookie);
        }
        if let Some(tenths) = edns.keepalive {
            self.put(&KEEPALIVE_OPTION.to_be_bytes());
            self.put(&2u16.to_be_bytes());
            self.put(&tenths.to_be_bytes());
        }
        if let Some(ede) = ede {
            self.put_ede(ede);
        }
        for option in super::response::ede_options(kept) {
            if option.len() <= self.room() {
                self.put(option);
            }
        }
        if edns.nsid {
            self.put_nsid();
        }
        let len = (self.at - options) as u16;
        if len > 0 {
            self.patch(options - 2, &len.to_be_bytes());
        }
    }

    /// Who answers, if that is told and there is room for it (RFC 5001 section 2.2).
    #[cold]
    fn put_nsid(&mut self) {
        let Some(identity) = identity() else {
            return;
        };
        if 4 + identity.len() <= self.room() {
            self.put(&NSID_OPTION.to_be_bytes());
            self.put(&(identity.len() as u16).to_be_bytes());
            self.put(identity.as_bytes());
        }
    }

    /// An Extended DNS Error if there is room for it, without its text if that helps.
    fn put_ede(&mut self, ede: Ede<'_>) {
        let text = match ede.text.as_bytes() {
            text if 6 + text.len() <= self.room() => text,
            _ if 6 <= self.room() => &[],
            _ => return,
        };
        self.put(&EDE_OPTION.to_be_bytes());
        self.put(&(2 + text.len() as u16).to_be_bytes());
        self.put(&ede.code.to_be_bytes());
        self.put(text);
    }
}
