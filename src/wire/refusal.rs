//! Replies made at the front door.

use super::header::{self, Header};
use super::identity::{About, CLASS_CH};
use super::question::{Asked, ClientEdns};
use super::reply::Writer;
use super::types::{Ede, Rcode, RecordType};

/// How long a client may keep the HINFO that answers ANY, in seconds: long enough that whoever
/// asks in a loop through a cache is stopped by the cache (RFC 8482 section 4.2).
const HINFO_TTL: u32 = 3600;
/// "RFC8482" as the CPU and an empty string as the operating system (RFC 8482 section 4.2).
const HINFO_DATA: &[u8; 9] = b"\x07RFC8482\x00";

/// A query that gets a short reply at once: an error, or the HINFO record that answers ANY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    id: u16,
    /// As they go into the reply, the response code aside.
    flags: u16,
    question: &'a [u8],
    edns: Option<ClientEdns>,
    rcode: Rcode,
    ede: Option<Ede<'static>>,
    hinfo: bool,
    about: Option<About>,
}

impl<'a> Refusal<'a> {
    /// A reply of a header only. Of the flags RD is copied; byway knows what the rest of them
    /// mean for QUERY only, and so CD is copied, and RA set, for QUERY only.
    #[cold]
    pub(super) fn new(header: &Header, rcode: Rcode) -> Refusal<'a> {
        let mut copied = header::OPCODE | header::RD;
        let mut flags = header::QR;
        if !header.has(header::OPCODE) {
            copied |= header::CD;
            flags |= header::RA;
        }
        Refusal {
            id: header.id,
            flags: flags | header.flags & copied,
            question: &[],
            edns: None,
            rcode,
            ede: None,
            hinfo: false,
            about: None,
        }
    }

    /// A reply to a query whose question could be read.
    #[cold]
    pub(super) fn of(asked: &Asked<'a>, rcode: Rcode) -> Refusal<'a> {
        Refusal {
            id: asked.id,
            flags: asked.reply_flags() | header::RA,
            question: asked.question,
            edns: asked.edns,
            rcode,
            ede: None,
            hinfo: false,
            about: None,
        }
    }

    /// The answer to a question about this server (RFC 4892).
    pub(super) fn about(asked: &Asked<'a>, about: About) -> Refusal<'a> {
        Refusal {
            about: Some(about),
            ..Refusal::of(asked, Rcode::NOERROR)
        }
    }

    /// The answer to ANY (RFC 8482 section 4.2).
    pub(super) fn hinfo(asked: &Asked<'a>) -> Refusal<'a> {
        Refusal {
            hinfo: true,
            ..Refusal::of(asked, Rcode::NOERROR)
        }
    }

    pub(super) fn with_edns(self, edns: Option<ClientEdns>) -> Refusal<'a> {
        Refusal { edns, ..self }
    }

    /// Says why, to a client that speaks EDNS.
    pub(super) fn because(self, ede: Ede<'static>) -> Refusal<'a> {
        Refusal {
            ede: Some(ede),
            ..self
        }
    }

    /// The same for a client that byway does not serve: REFUSED, whatever else there is to say.
    #[cold]
    pub fn prohibited(self) -> Refusal<'a> {
        Refusal {
            rcode: Rcode::REFUSED,
            hinfo: false,
            about: None,
            ede: Some(Ede::PROHIBITED),
            ..self
        }
    }

    /// What the client said in its OPT record.
    #[inline]
    pub(super) fn edns_mut(&mut self) -> Option<&mut ClientEdns> {
        self.edns.as_mut()
    }

    /// The reply's code; NOERROR for the HINFO that answers ANY.
    pub fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// Writes the reply and returns its length, which is under 512 octets. `payload` is the
    /// largest UDP message byway takes, for the OPT record. Returns 0, having written nothing of
    /// use, if `out` is too small.
    pub fn write(&self, payload: u16, out: &mut [u8]) -> usize {
        let about = self.about.and_then(About::text);
        let header = Header {
            id: self.id,
            flags: self.flags,
            questions: u16::from(!self.question.is_empty()),
            answers: u16::from(self.hinfo || about.is_some()),
            ..Header::default()
        };
        let mut writer = Writer::new(out, 512);
        writer.put(&[0; header::LEN]);
        writer.put(self.question);
        if self.hinfo {
            writer.put(&[0xc0, header::LEN as u8]);
            writer.put(&RecordType::HINFO.0.to_be_bytes());
            writer.put(&super::CLASS_IN.to_be_bytes());
            writer.put(&HINFO_TTL.to_be_bytes());
            writer.put(&(HINFO_DATA.len() as u16).to_be_bytes());
            writer.put(HINFO_DATA);
        }
        if let Some(text) = about {
            writer.put(&[0xc0, header::LEN as u8]);
            writer.put(&RecordType::TXT.0.to_be_bytes());
            writer.put(&CLASS_CH.to_be_bytes());
            // Not to be kept.
            writer.put(&0u32.to_be_bytes());
            writer.put(&(1 + text.len() as u16).to_be_bytes());
            writer.put(&[text.len() as u8]);
            writer.put(text.as_bytes());
        }
        writer.finish(header, self.rcode, self.edns, payload, self.ede, &[])
    }
}
