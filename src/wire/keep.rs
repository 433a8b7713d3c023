//! From a response to an answer: what is true of this hop only is taken out, and what every later
//! reply would have to look for is written down.

use std::ops::Range;

use super::answer::{Answer, FACTS, record_end};
use super::header::{self, Header};
use super::name;
use super::rdata;
use super::record::{Record, lifetime};
use super::response::{Response, soa_lifetime};
use super::types::RecordType;

/// How far back another record of the same set is looked for. Sets come in one piece, or nearly;
/// without a bound a message of thousands of records would cost millions of comparisons.
const WINDOW: usize = 16;

impl Response<'_> {
    /// The response as it is kept. The only allocation is the answer itself.
    ///
    /// The OPT record belongs to this hop and is dropped (RFC 6891 section 6.2.1), with the
    /// pointers behind it corrected if it was not the last; the Extended DNS Errors in it are
    /// kept. The question is kept in lower case, and so are owner names equal to it, for their
    /// letter case was byway's and not the zone's. TTLs with the top bit set become zero (RFC 2181
    /// section 8), those of one record set become the lowest of them (RFC 2181 section 5.2), and
    /// the TTL of the SOA in a negative answer becomes the negative TTL (RFC 2308 section 5).
    pub fn to_answer(&self) -> Answer {
        let opt = self.opt_octets();
        let message_len = self.packet.len() - opt.len();
        let ttls_len = 2 * self.header.records();
        let edes_len: usize = self.ede_options().map(<[u8]>::len).sum();
        let [m0, m1] = (message_len as u16).to_be_bytes();
        let [e0, e1] = (edes_len as u16).to_be_bytes();
        let rcode_high = (self.rcode().0 >> 4) as u8;
        let name_len = self.question_len.saturating_sub(4) as u8;
        let facts: [u8; FACTS] = [m0, m1, e0, e1, self.kind() as u8, rcode_high, name_len];

        let mut octets = Vec::with_capacity(FACTS + message_len + ttls_len + edes_len);
        octets.extend_from_slice(&facts);
        octets.extend_from_slice(&self.packet[..opt.start]);
        octets.extend_from_slice(&self.packet[opt.end..]);
        octets.resize(octets.len() + ttls_len, 0);
        for option in self.ede_options() {
            octets.extend_from_slice(option);
        }
        let (message, rest) = octets[FACTS..].split_at_mut(message_len);
        repoint(self.packet, &opt, message);
        self.settle(message, &mut rest[..ttls_len]);
        Answer(octets.into_boxed_slice())
    }

    /// Puts header, letter case and TTLs in order and notes where the TTLs are.
    fn settle(&self, message: &mut [u8], ttls: &mut [u8]) {
        let kept = header::QR | header::AA | header::TC | header::RA | header::AD | header::RCODE;
        let header = Header {
            id: 0,
            flags: self.header.flags & kept,
            questions: u16::from(self.question_len > 0),
            ..self.header
        };
        message[..header::LEN].copy_from_slice(&header.to_wire());
        let name = header::LEN..header::LEN + self.question_len.saturating_sub(4);
        message[name].make_ascii_lowercase();

        let mut at = header::LEN + self.question_len;
        let mut places = ttls;
        let sections = [header.answers, header.authorities, header.additionals];
        for (section, count) in sections.into_iter().enumerate() {
            let (section_places, rest) = places.split_at_mut(2 * usize::from(count));
            places = rest;
            let start = at;
            let mut uneven = None;
            for place in section_places.chunks_exact_mut(2) {
                // Every record was walked when the packet was examined.
                let Some(record) = Record::walked(message, at) else {
                    return;
                };
                at = record.end;
                place.copy_from_slice(&(record.ttl_at as u16).to_be_bytes());
                let of_nothing = section == 1 && self.kind().is_negative();
                let ttl = if of_nothing && record.is(RecordType::SOA) {
                    soa_lifetime(message, record.ttl, record.end).unwrap_or(0)
                } else {
                    lifetime(record.ttl)
                };
                set_ttl(message, record.ttl_at, ttl);
                lower_owner(message, &record);
                uneven = match uneven {
                    None => Some((ttl, false)),
                    Some((first, before)) => Some((first, before || first != ttl)),
                };
            }
            if uneven.is_some_and(|(_, differ)| differ) {
                even_out(message, start, section_places);
            }
        }
    }
}

/// Corrects the pointers of the records behind the dropped `opt` in `message`, the copy without
/// it. That no name runs through what this changes was checked when the packet was examined.
fn repoint(packet: &[u8], opt: &Range<usize>, message: &mut [u8]) {
    let mut correct = |name: usize| {
        let (at, true) = name::inline_end(packet, name) else {
            return;
        };
        let pointer = header::word(packet, at).unwrap_or_default();
        if usize::from(pointer & 0x3fff) < opt.end {
            return;
        }
        if let Some(place) = message
            .get_mut(at - opt.len()..)
            .and_then(|rest| rest.first_chunk_mut())
        {
            *place = (pointer - opt.len() as u16).to_be_bytes();
        }
    };
    let mut at = opt.end;
    while at < packet.len() {
        let Some(record) = Record::walked(packet, at) else {
            return;
        };
        correct(record.owner);
        let walked = rdata::walk(packet, &record, |at| {
            correct(at);
            name::walk(packet, at, None)
        });
        if walked.is_err() {
            return;
        }
        at = record.end;
    }
}

/// Lowers the letters of an owner name that is the question's.
fn lower_owner(message: &mut [u8], record: &Record) {
    let (end, _) = name::inline_end(message, record.owner);
    if end > record.owner
        && name::same(message, record.owner, header::LEN)
        && let Some(owner) = message.get_mut(record.owner..end)
    {
        owner.make_ascii_lowercase();
    }
}

/// Gives the records of each set in a section the lowest of their TTLs. `places` are those of the
/// section, which starts at `start`. Once forward and once back: so the lowest reaches all.
fn even_out(message: &mut [u8], start: usize, places: &[u8]) {
    let place = |index: usize| header::word(places, 2 * index).map(usize::from);
    let count = places.len() / 2;
    for (step, index) in (0..count).chain((0..count).rev()).enumerate() {
        let Some((earlier, later)) = nearest(message, start, index, place) else {
            continue;
        };
        let (Some(one), Some(other)) = (
            header::double(message, earlier),
            header::double(message, later),
        ) else {
            continue;
        };
        let changed = if step < count { later } else { earlier };
        set_ttl(message, changed, one.min(other));
    }
}

/// Where the TTLs of the record of this index and of the nearest one of its set before it are.
fn nearest(
    message: &[u8],
    start: usize,
    index: usize,
    place: impl Fn(usize) -> Option<usize>,
) -> Option<(usize, usize)> {
    let read = |index: usize| {
        let owner = match index.checked_sub(1) {
            None => start,
            Some(before) => record_end(message, place(before)?)?,
        };
        Record::noted(message, owner, place(index)?)
    };
    let record = read(index)?;
    (index.saturating_sub(WINDOW)..index)
        .rev()
        .filter_map(read)
        .find(|earlier| earlier.same_set(&record, message))
        .map(|earlier| (earlier.ttl_at, record.ttl_at))
}

fn set_ttl(message: &mut [u8], at: usize, ttl: u32) {
    if let Some(place) = message
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        *place = ttl.to_be_bytes();
    }
}
