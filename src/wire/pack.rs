//! A message in the making, as small as compression makes it (RFC 1035 section 4.1.4).
//!
//! An upstream that does not compress must not make clients without EDNS ask over TCP; and what is
//! small takes little of the cache. Every name that is written is found, label by label from its end,
//! among those written before. A label is known by its octets and by the place of what follows it, so
//! each takes a single comparison however long the names are.

use std::net::Ipv6Addr;

use smallvec::SmallVec;

use super::answer::{Answer, FACTS};
use super::effort::Effort;
use super::header::{self, Header};
use super::name;
use super::place::Place;
use super::rdata::{self, Part};
use super::record::Record;
use super::response::Kind;
use super::types::{Rcode, RecordType};

/// As far as a pointer reaches.
const REACH: usize = 0x3fff;
/// Places that are looked at for a label.
const PROBES: usize = 8;
/// Places for labels, as the size of the message makes them likely.
const NODES: (usize, usize) = (64, 4096);
/// How far back another record of the same set is looked for. Sets come in one piece, or nearly.
const WINDOW: usize = 16;

/// Where the names of a record are read from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub packet: &'a [u8],
    /// Where its question ends: letters before that are byway's own, and are put in lower case.
    pub body: usize,
}

/// How a name may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Pointers, and where it is the question's name, in whatever letter case.
    Owner,
    /// Pointers.
    Data,
    /// In full (RFC 3597 section 4).
    Full,
}

/// A record that was written.
#[derive(Clone, Copy)]
struct Written {
    /// Where its owner's name is in full.
    owner: u16,
    record_type: RecordType,
    /// By a signature.
    covered: RecordType,
    ttl_at: u16,
}

/// The message.
pub(super) struct Pack<'e> {
    /// The facts of an answer, and then the message.
    octets: Vec<u8>,
    question_len: usize,
    written: SmallVec<[Written; 16]>,
    /// Where the section at hand begins among them.
    section: usize,
    counts: [u16; 3],
    /// Labels that were written, by what they are and what follows them; none until the first name that is
    /// not the question's.
    nodes: SmallVec<[u16; 64]>,
    /// How long the message is likely to become.
    len: usize,
    effort: &'e Effort,
    /// The name last read as an owner, and where it was written.
    last_owner: Option<(*const u8, usize, u16)>,
}

impl<'e> Pack<'e> {
    /// A message about `question`, which is put in lower case, of about `len` octets.
    pub fn new(question: &[u8], len: usize, effort: &'e Effort) -> Pack<'e> {
        let mut octets = Vec::with_capacity(FACTS + len + len / 4);
        octets.resize(FACTS + header::LEN, 0);
        let name = question.len().saturating_sub(4);
        octets.extend_from_slice(question);
        octets[FACTS + header::LEN..][..name].make_ascii_lowercase();
        Pack {
            octets,
            question_len: question.len(),
            written: SmallVec::new(),
            section: 0,
            counts: [0; 3],
            nodes: SmallVec::new(),
            len,
            effort,
            last_owner: None,
        }
    }

    /// Says that `source` is about the same question: most owners are that.
    pub fn expect(&mut self, source: Source<'_>) {
        if self.question_len > 0 {
            self.last_owner = Some((source.packet.as_ptr(), header::LEN, header::LEN as u16));
        }
    }

    /// Appends `record` with this TTL to the section at hand, which is the answer section at first. False if
    /// there is no room for it, or it takes too much work: nothing more can be written then.
    pub fn record(&mut self, source: Source<'_>, record: &Record, ttl: u32) -> bool {
        let before = self.octets.len();
        let owner = self.owner(source, record.owner);
        let written = owner.is_some_and(|owner| self.rest(source, record, ttl, owner));
        if !written {
            self.octets.truncate(before);
        }
        written
    }

    /// Appends the CNAME that a DNAME stands for (RFC 6672 section 3.4): from one name to the other.
    pub fn alias(&mut self, from: Place<'_>, to: Place<'_>, ttl: u32) -> bool {
        let before = self.octets.len();
        let mut wire = Vec::with_capacity(2 * name::MAX_LEN + 10);
        from.copy_to(usize::MAX, &mut wire);
        wire.push(0);
        let data = wire.len() + 10;
        wire.extend_from_slice(&RecordType::CNAME.0.to_be_bytes());
        wire.extend_from_slice(&super::CLASS_IN.to_be_bytes());
        wire.extend_from_slice(&[0; 6]);
        to.copy_to(usize::MAX, &mut wire);
        wire.push(0);
        let record = Record {
            owner: 0,
            record_type: RecordType::CNAME,
            class: super::CLASS_IN,
            ttl,
            ttl_at: data - 6,
            data,
            end: wire.len(),
        };
        let source = Source {
            packet: &wire,
            body: 0,
        };
        let written = self.record(source, &record, ttl);
        self.last_owner = None;
        if !written {
            self.octets.truncate(before);
        }
        written
    }

    /// Appends an address of the name `owner`.
    pub fn address(&mut self, owner: Place<'_>, ip: Ipv6Addr, ttl: u32) -> bool {
        let before = self.octets.len();
        let mut wire = Vec::with_capacity(name::MAX_LEN + 26);
        owner.copy_to(usize::MAX, &mut wire);
        wire.push(0);
        let data = wire.len() + 10;
        wire.extend_from_slice(&RecordType::AAAA.0.to_be_bytes());
        wire.extend_from_slice(&super::CLASS_IN.to_be_bytes());
        wire.extend_from_slice(&[0, 0, 0, 0, 0, 16]);
        wire.extend_from_slice(&ip.octets());
        let record = Record {
            owner: 0,
            record_type: RecordType::AAAA,
            class: super::CLASS_IN,
            ttl,
            ttl_at: data - 6,
            data,
            end: wire.len(),
        };
        let source = Source {
            packet: &wire,
            body: 0,
        };
        // What was read from an earlier such buffer may have lain at the same place.
        self.last_owner = None;
        let written = self.record(source, &record, ttl);
        self.last_owner = None;
        if !written {
            self.octets.truncate(before);
        }
        written
    }

    /// Ends a section: 0 is the answer section, 1 authority, 2 additional.
    pub fn end_section(&mut self, section: usize) {
        self.even_out();
        let count = self.written.len() - self.section;
        self.counts[section] = u16::try_from(count).unwrap_or(u16::MAX);
        self.section = self.written.len();
    }

    /// The message as an answer. `flags` are those of the header, `edes` the options to be kept. `kind` says
    /// what kind of answer it is, once it stands.
    pub fn finish<'o>(
        mut self,
        flags: u16,
        rcode: Rcode,
        edes: impl Iterator<Item = &'o [u8]>,
        kind: impl FnOnce(&[u8], &Header) -> Kind,
    ) -> Answer {
        let header = Header {
            id: 0,
            flags: flags | (rcode.0 & header::RCODE),
            questions: u16::from(self.question_len > 0),
            answers: self.counts[0],
            authorities: self.counts[1],
            additionals: self.counts[2],
        };
        let wire = header.to_wire();
        self.octets[FACTS..FACTS + header::LEN].copy_from_slice(&wire);
        let message_len = self.octets.len() - FACTS;
        let kind = kind(self.message(), &header);
        for written in &self.written {
            self.octets.extend_from_slice(&written.ttl_at.to_be_bytes());
        }
        let options = self.octets.len();
        for option in edes {
            self.octets.extend_from_slice(option);
        }
        // The message is no longer than a message may be, and options are bounded.
        let [m0, m1] = (message_len as u16).to_be_bytes();
        let [e0, e1] = ((self.octets.len() - options) as u16).to_be_bytes();
        let name_len = self.question_len.saturating_sub(4) as u8;
        let rcode_high = (rcode.0 >> 4) as u8;
        let facts: [u8; FACTS] = [m0, m1, e0, e1, kind as u8, rcode_high, name_len];
        self.octets[..FACTS].copy_from_slice(&facts);
        Answer(self.octets.into_boxed_slice())
    }

    fn message(&self) -> &[u8] {
        &self.octets[FACTS..]
    }

    /// Where the next octet goes.
    fn at(&self) -> usize {
        self.octets.len() - FACTS
    }

    /// Writes what follows a record's owner.
    fn rest(&mut self, source: Source<'_>, record: &Record, ttl: u32, owner: u16) -> bool {
        self.octets
            .extend_from_slice(&record.record_type.0.to_be_bytes());
        self.octets.extend_from_slice(&record.class.to_be_bytes());
        let ttl_at = self.at();
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        self.octets.extend_from_slice(&[0; 2]);
        let data = self.octets.len();
        let style = match rdata::may_be_compressed(record.record_type) {
            true => Style::Data,
            false => Style::Full,
        };
        let whole = rdata::parts(source.packet, record, |part| match part {
            Part::Octets(range) => match source.packet.get(range) {
                Some(octets) => {
                    self.octets.extend_from_slice(octets);
                    true
                }
                None => false,
            },
            Part::Name(at) => self.name(source, at, style).is_some(),
        });
        let (Ok(len), true) = (u16::try_from(self.octets.len() - data), whole) else {
            return false;
        };
        self.octets[data - 2..data].copy_from_slice(&len.to_be_bytes());
        if self.at() > header::MAX_MESSAGE {
            return false;
        }
        let covered = match record.record_type {
            RecordType::RRSIG => header::word(record.data(source.packet), 0).unwrap_or(0),
            _ => 0,
        };
        self.written.push(Written {
            owner,
            record_type: record.record_type,
            covered: RecordType(covered),
            ttl_at: ttl_at as u16,
        });
        true
    }

    /// Writes an owner's name and says where it is in full.
    fn owner(&mut self, source: Source<'_>, at: usize) -> Option<u16> {
        let key = (source.packet.as_ptr(), name::resolve(source.packet, at)?);
        if let Some((packet, from, to)) = self.last_owner
            && (packet, from) == key
        {
            self.point(to);
            return Some(to);
        }
        let to = self.name(source, at, Style::Owner)?;
        if usize::from(to) <= REACH && to > 0 {
            self.last_owner = Some((key.0, key.1, to));
        }
        Some(to)
    }

    fn point(&mut self, to: u16) {
        self.octets.extend_from_slice(&(0xc000 | to).to_be_bytes());
    }

    /// Writes a name and says where it is in full; 0 for the root.
    fn name(&mut self, source: Source<'_>, at: usize, style: Style) -> Option<u16> {
        let mut labels = [0u16; name::MAX_LABELS];
        let mut count = 0;
        for (at, _) in Place::new(source.packet, at).iter() {
            *labels.get_mut(count)? = u16::try_from(at).ok()?;
            count += 1;
        }
        if !self.effort.spend(1 + count as u32) {
            return None;
        }
        let labels = &labels[..count];
        if self.nodes.is_empty() && style != Style::Full {
            self.learn_question();
        }
        let mut known = 0;
        let mut new = count;
        if style != Style::Full {
            while let Some(&at) = new.checked_sub(1).and_then(|last| labels.get(last)) {
                let at = usize::from(at);
                let label = name::label(source.packet, at)?;
                let Some(node) = self.find(known, label, style, at < source.body) else {
                    break;
                };
                (known, new) = (node, new - 1);
            }
        }
        let full = self.at();
        let mut places = [0u16; name::MAX_LABELS];
        for (&at, place) in labels[..new].iter().zip(&mut places) {
            *place = u16::try_from(self.at()).ok()?;
            let at = usize::from(at);
            let label = name::label(source.packet, at)?;
            self.octets.push(label.len() as u8);
            match at < source.body {
                true => self.octets.extend(label.iter().map(u8::to_ascii_lowercase)),
                false => self.octets.extend_from_slice(label),
            }
        }
        match known {
            0 => self.octets.push(0),
            _ => self.point(known),
        }
        if style != Style::Full {
            self.learn(&places[..new], known);
        }
        match new {
            0 => Some(known),
            _ => u16::try_from(full).ok(),
        }
    }

    /// Where `label` was written in front of the name at `rest`, if it was. `ours` is what is written in
    /// lower case.
    fn find(&self, rest: u16, label: &[u8], style: Style, ours: bool) -> Option<u16> {
        let message = self.message();
        let body = header::LEN + self.question_len;
        for slot in slots(rest, label, self.nodes.len()) {
            let node = *self.nodes.get(slot)?;
            if node == 0 {
                return None;
            }
            let at = usize::from(node);
            let there = name::label(message, at)?;
            // The question gets the letter case of each client.
            let folded = ours || (style == Style::Owner && at < body);
            let same = match folded {
                true => there.eq_ignore_ascii_case(label),
                false => there == label,
            };
            if same && follows(message, at + 1 + there.len()) == rest {
                return Some(node);
            }
        }
        None
    }

    /// Makes room for labels, and remembers those of the question.
    fn learn_question(&mut self) {
        let nodes = (self.len / 16).next_power_of_two();
        self.nodes.resize(nodes.clamp(NODES.0, NODES.1), 0);
        let mut labels = [0u16; name::MAX_LABELS];
        let mut count = 0;
        let question = Place::new(self.message(), header::LEN);
        for ((at, _), place) in question.iter().zip(&mut labels) {
            *place = at as u16;
            count += 1;
        }
        self.learn(&labels[..count], 0);
    }

    /// Remembers the labels written at `places`, one after the other, in front of the name at `rest`.
    fn learn(&mut self, places: &[u16], mut rest: u16) {
        for &place in places.iter().rev() {
            if usize::from(place) > REACH {
                return;
            }
            let message = &self.octets[FACTS..];
            let Some(label) = name::label(message, usize::from(place)) else {
                return;
            };
            let free =
                slots(rest, label, self.nodes.len()).find(|slot| self.nodes.get(*slot) == Some(&0));
            match free.and_then(|slot| self.nodes.get_mut(slot)) {
                Some(node) => *node = place,
                None => return,
            }
            rest = place;
        }
    }

    /// Gives the records of each set in the section the lowest of their TTLs. Once forward and once back: so
    /// the lowest reaches all.
    fn even_out(&mut self) {
        let message = &mut self.octets[FACTS..];
        let records = &self.written[self.section..];
        let ttl = |message: &[u8], it: &Written| header::double(message, it.ttl_at.into());
        let first = records.first().and_then(|it| ttl(message, it));
        if records.iter().all(|it| ttl(message, it) == first) {
            return;
        }
        let count = records.len();
        let effort = Effort::new();
        for (step, index) in (0..count).chain((0..count).rev()).enumerate() {
            let record = &records[index];
            let mut earlier = records[index.saturating_sub(WINDOW)..index].iter().rev();
            let Some(earlier) = earlier.find(|it| it.same_set(record, message, &effort)) else {
                continue;
            };
            let (Some(one), Some(other)) = (ttl(message, earlier), ttl(message, record)) else {
                continue;
            };
            let changed = if step < count { record } else { earlier };
            let at = usize::from(changed.ttl_at);
            message[at..at + 4].copy_from_slice(&one.min(other).to_be_bytes());
        }
    }
}

impl Written {
    /// Whether both belong to one record set. All are of one class; a signature belongs to what it covers; a name
    /// in other letters was written twice.
    fn same_set(&self, other: &Written, message: &[u8], effort: &Effort) -> bool {
        let owner = |it: &Written| Place::new(message, it.owner.into());
        (self.record_type, self.covered) == (other.record_type, other.covered)
            && (self.owner == other.owner || owner(self).same(owner(other), effort))
    }
}

/// The place of the name that follows a label: 0 for the root.
fn follows(message: &[u8], at: usize) -> u16 {
    match message.get(at) {
        Some(0xc0..) => header::word(message, at).unwrap_or(0) & 0x3fff,
        Some(0) | None => 0,
        Some(_) => at as u16,
    }
}

/// Where a label in front of the name at `rest` may be remembered, of `count` places, a power of two.
fn slots(rest: u16, label: &[u8], count: usize) -> impl Iterator<Item = usize> + use<> {
    let start = u32::from(rest).wrapping_mul(0x9e37_79b1);
    let hash = label.iter().fold(start, |hash, octet| {
        (hash ^ u32::from(octet | 0x20)).wrapping_mul(0x0100_0193)
    });
    let first = (hash ^ hash >> 15) as usize;
    (0..PROBES).map(move |step| (first + step) & (count - 1))
}
