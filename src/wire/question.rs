//! What is asked, and what must be remembered of who asks.

use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use super::cookie::Cookie;
use super::header;
use super::name;
use super::reply::OPT_LEN;
use super::types::{CLASS_IN, RecordType};

const DNSSEC_OK: u8 = 1;
const CHECKING_DISABLED: u8 = 2;
/// What follows the name: type, class and flags.
const TAIL: usize = 5;
const MAX_KEY: usize = name::MAX_LEN + TAIL;

/// What makes two questions the same for the cache and for questions in flight: the name in lower
/// case, type, class, and the DO and CD bits. DO and CD are part of it because upstream answers
/// differ by them, in records and in rcode; so nothing ever needs stripping for a client.
///
/// A value on the stack. Its bytes are name, type, class and one octet of flags (bit 0 DO, bit 1
/// CD), all big-endian.
#[derive(Clone, Copy)]
pub struct QuestionKey {
    len: u16,
    octets: [u8; MAX_KEY],
}

impl QuestionKey {
    /// The key for an uncompressed wire-form `name` in any letter case. `None` if it is no
    /// well-formed name, or has octets left over behind it.
    pub fn new(
        name: &[u8],
        record_type: RecordType,
        class: u16,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Option<QuestionKey> {
        if name::plain_len(name)? != name.len() {
            return None;
        }
        let mut question = [0; name::MAX_LEN + 4];
        question.get_mut(..name.len())?.copy_from_slice(name);
        let tail = question.get_mut(name.len()..name.len() + 4)?;
        tail[..2].copy_from_slice(&record_type.0.to_be_bytes());
        tail[2..].copy_from_slice(&class.to_be_bytes());
        let question = question.get(..name.len() + 4)?;
        Some(QuestionKey::of(question, dnssec_ok, checking_disabled))
    }

    /// The question for the root's name servers, without DNSSEC: one that every resolver can answer
    /// from its cache.
    pub fn root_name_servers() -> QuestionKey {
        let [high, low] = RecordType::NS.0.to_be_bytes();
        QuestionKey::of(&[0, high, low, 0, 1], false, false)
    }

    /// The question for the address of `invalid`, a name that does not exist (RFC 6761 section 6.4).
    pub fn invalid_address() -> QuestionKey {
        QuestionKey::of(b"\x07invalid\0\0\x01\0\x01", false, false)
    }

    /// The key of a question section that [`question_at`] has passed.
    #[inline]
    pub(super) fn of(question: &[u8], dnssec_ok: bool, checking_disabled: bool) -> QuestionKey {
        let mut octets = [0; MAX_KEY];
        let name_len = question.len().saturating_sub(4);
        let (name, tail) = question.split_at(name_len);
        // A length octet is at most 63 and so never a letter: the name is lowered without a look
        // at its labels. What follows it may look like letters and is copied as it is.
        lower(name, &mut octets);
        let flags =
            (u8::from(dnssec_ok) * DNSSEC_OK) | (u8::from(checking_disabled) * CHECKING_DISABLED);
        if let (Some(tail), Some(place)) = (
            tail.first_chunk::<4>(),
            octets
                .get_mut(name_len..)
                .and_then(|rest| rest.first_chunk_mut::<TAIL>()),
        ) {
            *place = [tail[0], tail[1], tail[2], tail[3], flags];
        }
        QuestionKey {
            len: (name_len + TAIL).min(MAX_KEY) as u16,
            octets,
        }
    }

    /// The key that [`as_bytes`](Self::as_bytes) gave. `None` if it is not the bytes of a key.
    pub fn from_bytes(bytes: &[u8]) -> Option<QuestionKey> {
        let (&flags, question) = bytes.split_last()?;
        let name_len = name::plain_len(question)?;
        let known = DNSSEC_OK | CHECKING_DISABLED;
        let lower = !question.get(..name_len)?.iter().any(u8::is_ascii_uppercase);
        if question.len() != name_len + 4 || flags & !known != 0 || !lower {
            return None;
        }
        let (dnssec_ok, checking_disabled) =
            (flags & DNSSEC_OK != 0, flags & CHECKING_DISABLED != 0);
        Some(QuestionKey::of(question, dnssec_ok, checking_disabled))
    }

    /// The whole key; two keys are the same question if these are the same.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The key without its room.
    #[inline]
    pub fn by_ref(&self) -> KeyRef<'_> {
        KeyRef(self.as_bytes())
    }

    /// The question section as it goes on the wire: name in lower case, type, class.
    pub fn question(&self) -> &[u8] {
        self.by_ref().question()
    }

    /// The name in wire form, lower case, the root's octet included: 1 to 255 octets.
    pub fn name(&self) -> &[u8] {
        let len = usize::from(self.len).saturating_sub(TAIL);
        self.octets.get(..len).unwrap_or_default()
    }

    /// The type asked for.
    pub fn record_type(&self) -> RecordType {
        type_and_class(self.question()).0
    }

    /// The same question for another type.
    pub fn with_type(mut self, record_type: RecordType) -> QuestionKey {
        let at = usize::from(self.len).saturating_sub(TAIL);
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&record_type.0.to_be_bytes());
        }
        self
    }

    /// The class asked in; [`CLASS_IN`] for every question that [`inspect`](super::inspect) lets
    /// pass.
    pub fn class(&self) -> u16 {
        type_and_class(self.question()).1
    }

    /// Whether DNSSEC records are wanted: the DO bit (RFC 3225).
    pub fn dnssec_ok(&self) -> bool {
        self.by_ref().dnssec_ok()
    }

    /// Whether the client checks signatures itself: the CD bit (RFC 4035 section 3.2.2).
    pub fn checking_disabled(&self) -> bool {
        self.by_ref().checking_disabled()
    }
}

/// A question key wherever it is: in a [`QuestionKey`], or in a [`KeptKey`], which is smaller than a key
/// may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a>(&'a [u8]);

impl<'a> KeyRef<'a> {
    /// The whole key, as [`QuestionKey::as_bytes`] gives it.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The question section as it goes on the wire: name in lower case, type, class.
    #[inline]
    pub fn question(self) -> &'a [u8] {
        self.0.split_last().map_or(&[], |(_, rest)| rest)
    }

    /// The name in wire form, lower case, the root's octet included.
    #[inline]
    pub fn name(self) -> &'a [u8] {
        self.0
            .get(..self.0.len().saturating_sub(TAIL))
            .unwrap_or_default()
    }

    /// The last two labels of the name and the root: the zone that it lies in, about, for nothing in a name
    /// says where zones are cut.
    pub fn zone(self) -> &'a [u8] {
        let name = self.name();
        // Where the label at hand begins, and the one before it.
        let (mut at, mut before, mut zone) = (0, 0, 0);
        while let Some(&label) = name.get(at).filter(|&&label| label > 0) {
            (zone, before) = (before, at);
            at += 1 + usize::from(label);
        }
        name.get(zone..).unwrap_or_default()
    }

    /// The type asked for.
    #[inline]
    pub fn record_type(self) -> RecordType {
        type_and_class(self.question()).0
    }

    /// The octet with the DO and CD bits.
    #[inline]
    pub fn flags(self) -> u8 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The class asked in.
    pub fn class(self) -> u16 {
        type_and_class(self.question()).1
    }

    /// Whether DNSSEC records are wanted: the DO bit (RFC 3225).
    #[inline]
    pub fn dnssec_ok(self) -> bool {
        self.has(DNSSEC_OK)
    }

    /// Whether the client checks signatures itself: the CD bit (RFC 4035 section 3.2.2).
    #[inline]
    pub fn checking_disabled(self) -> bool {
        self.has(CHECKING_DISABLED)
    }

    fn has(self, flag: u8) -> bool {
        self.0.last().is_some_and(|flags| flags & flag != 0)
    }
}

impl<'a> From<&'a QuestionKey> for KeyRef<'a> {
    #[inline]
    fn from(key: &'a QuestionKey) -> KeyRef<'a> {
        key.by_ref()
    }
}

/// A [`QuestionKey`] that is kept: it takes little more room than its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey(Few);

/// The octets of a question. Nearly all names are short enough not to need a place on the heap.
type Few = SmallVec<[u8; 40]>;

impl KeptKey {
    /// The key itself.
    #[inline]
    pub fn by_ref(&self) -> KeyRef<'_> {
        KeyRef(&self.0)
    }
}

impl From<KeyRef<'_>> for KeptKey {
    fn from(key: KeyRef<'_>) -> KeptKey {
        KeptKey(Few::from_slice(key.0))
    }
}

impl PartialEq for QuestionKey {
    fn eq(&self, other: &QuestionKey) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for QuestionKey {}

impl Hash for QuestionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for QuestionKey {
    /// `www.example.com. A`; another class than IN and the bits are named behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", name::Text(self.name()), self.record_type())?;
        if self.class() != CLASS_IN {
            write!(f, " CLASS{}", self.class())?;
        }
        if self.dnssec_ok() {
            f.write_str(" +do")?;
        }
        if self.checking_disabled() {
            f.write_str(" +cd")?;
        }
        Ok(())
    }
}

impl fmt::Debug for QuestionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuestionKey({self})")
    }
}

/// What a client said in its OPT record (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEdns {
    /// The largest UDP message it takes, in octets: as sent, but 512 for anything less (RFC 6891
    /// section 6.2.3).
    pub payload: u16,
    /// The DO bit: it wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
    /// The NSID option: it wants to know who answers (RFC 5001).
    pub nsid: bool,
    /// The cookie that it sent, or that it is sent (RFC 7873).
    pub cookie: Option<Cookie>,
    /// It wants to know for how long a connection may be idle, or is told so, in tenths of a second (RFC 7828).
    pub keepalive: Option<u16>,
}

impl ClientEdns {
    /// Octets of the OPT record that a reply has, with the options that it cannot do without.
    #[inline]
    pub(super) fn reply_len(&self) -> usize {
        let cookie = self.cookie.as_ref().and_then(Cookie::sent);
        let cookie = cookie.map_or(0, |octets| 4 + octets.len());
        OPT_LEN + cookie + self.keepalive.map_or(0, |_| 6)
    }
}

/// Who asked, as far as the answer must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The query's ID, which the reply repeats.
    pub id: u16,
    /// RD: recursion desired, copied into the reply.
    pub rd: bool,
    /// CD: checking disabled, copied into the reply (RFC 4035 section 3.2.2).
    pub cd: bool,
    /// AD in a query: the client understands AD in the reply (RFC 6840 section 5.7).
    pub ad: bool,
    /// The client's OPT record, if it sent one.
    pub edns: Option<ClientEdns>,
    /// The question section as sent, letter case included: name, type, class.
    pub question: &'a [u8],
}

impl Asked<'_> {
    /// The largest UDP reply this client gets from a server that sends `ours` octets at most (512
    /// or more): 512 without EDNS (RFC 1035 section 4.2.1).
    #[inline]
    pub fn udp_limit(&self, ours: u16) -> usize {
        let theirs = self.edns.map_or(512, |edns| edns.payload);
        usize::from(theirs.min(ours))
    }

    /// The type asked for.
    #[inline]
    pub fn record_type(&self) -> RecordType {
        type_and_class(self.question).0
    }

    /// Whether the client wants DNSSEC records.
    #[inline]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The flags every reply to this query has.
    #[inline]
    pub(super) fn reply_flags(&self) -> u16 {
        header::QR | (u16::from(self.rd) * header::RD) | (u16::from(self.cd) * header::CD)
    }
}

/// [`Asked`] for a client that waits: it owns its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedAsked {
    id: u16,
    rd: bool,
    cd: bool,
    ad: bool,
    edns: Option<ClientEdns>,
    question: Few,
}

impl OwnedAsked {
    /// The borrowed form, which the writers take.
    pub fn as_ref(&self) -> Asked<'_> {
        Asked {
            id: self.id,
            rd: self.rd,
            cd: self.cd,
            ad: self.ad,
            edns: self.edns,
            question: &self.question,
        }
    }
}

impl From<Asked<'_>> for OwnedAsked {
    fn from(asked: Asked<'_>) -> OwnedAsked {
        OwnedAsked {
            id: asked.id,
            rd: asked.rd,
            cd: asked.cd,
            ad: asked.ad,
            edns: asked.edns,
            question: Few::from_slice(asked.question),
        }
    }
}

/// Copies `name` into `place`, letters in lower case. Sixteen octets at a time: the last step
/// covers some octets twice rather than go through what is left one by one.
#[inline(always)]
fn lower(name: &[u8], place: &mut [u8; MAX_KEY]) {
    let mut step = |at: usize| {
        let from = name.get(at..).and_then(|rest| rest.first_chunk::<16>());
        let to = place
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut::<16>());
        if let (Some(from), Some(to)) = (from, to) {
            let mut octets = *from;
            octets.make_ascii_lowercase();
            *to = octets;
        }
    };
    let Some(last) = name.len().checked_sub(16) else {
        for (to, from) in place.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        return;
    };
    for at in (0..last).step_by(16) {
        step(at);
    }
    step(last);
}

/// The type and the class at the end of a question section.
#[inline]
pub(super) fn type_and_class(question: &[u8]) -> (RecordType, u16) {
    match question.last_chunk() {
        Some(&[t0, t1, c0, c1]) => (
            RecordType(u16::from_be_bytes([t0, t1])),
            u16::from_be_bytes([c0, c1]),
        ),
        None => (RecordType(0), 0),
    }
}

/// The type that a message with one question asks, or was asked, for; `None` if it has none that can be read.
pub fn asked_type(message: &[u8]) -> Option<RecordType> {
    let one = message.get(4..6) == Some(&[0, 1]);
    let question = question_at(message).filter(|_| one)?;
    Some(type_and_class(question).0)
}

/// The name that a message with one question asks, or was asked, for, in wire form; `None` if it has none that can be
/// read.
pub fn asked_name(message: &[u8]) -> Option<&[u8]> {
    let one = message.get(4..6) == Some(&[0, 1]);
    let question = question_at(message).filter(|_| one)?;
    Some(&question[..question.len() - 4])
}

/// The question section of a message with one question: uncompressed name, type and class.
#[inline]
pub(super) fn question_at(packet: &[u8]) -> Option<&[u8]> {
    let rest = packet.get(header::LEN..)?;
    rest.get(..name::plain_len(rest)? + 4)
}
