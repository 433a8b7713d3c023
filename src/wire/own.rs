//! Answers of byway's own: made of what is configured, not of what an upstream said.
//!
//! They carry AA, for nobody knows better (RFC 6303 section 3, RFC 6761 section 6.3). A negative one carries an SOA record, so that
//! caches know how long to keep it (RFC 2308 section 3).

use super::answer::Answer;
use super::header::{self, Header};
use super::question::{Asked, ClientEdns};
use super::reply::Writer;
use super::response::{Sent, examine};
use super::types::{CLASS_IN, Ede, Rcode, RecordType};

/// A record of the question's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRecord<'a> {
    /// Its type.
    pub record_type: RecordType,
    /// Its TTL, in seconds.
    pub ttl: u32,
    /// Its data, names in it uncompressed.
    pub data: &'a [u8],
}

/// What an answer of byway's own says.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// NOERROR or NXDOMAIN.
    pub rcode: Rcode,
    /// Where in the question's name that of the zone begins, for the SOA of an answer without records.
    pub zone_at: usize,
    /// The TTL of that SOA, in seconds.
    pub negative_ttl: u32,
    /// What there is to say about it, to clients that speak EDNS.
    pub ede: Option<Ede<'a>>,
}

/// The data of the SOA record of a zone that nobody serves, but for its last four octets, the negative TTL: `localhost.
/// nobody.invalid. 1 3600 1200 604800`, as Unbound has it.
const SOA: &[u8] =
    b"\x09localhost\0\x06nobody\x07invalid\0\0\0\0\x01\0\0\x0e\x10\0\0\x04\xb0\0\x09\x3a\x80";

/// Writes an answer made of `records` and returns its length: no allocation. Without any it says that there is no such data, or
/// no such name. `limit` and `payload` are those of [`Render`](super::Render). Records that do not fit are left out, from the
/// end, and TC is set. Returns 0 if not even the question fits.
pub fn write_own<'r>(
    to: &Asked<'_>,
    own: &Own<'_>,
    records: impl Iterator<Item = OwnRecord<'r>>,
    limit: usize,
    payload: u16,
    out: &mut [u8],
) -> usize {
    let mut writer = Writer::new(out, limit);
    writer.put(&[0; header::LEN]);
    writer.put(to.question);
    let opt = to.edns.map_or(0, |edns| edns.reply_len());
    let mut header = Header {
        id: to.id,
        flags: to.reply_flags() | header::RA | header::AA,
        questions: 1,
        ..Header::default()
    };
    for record in records {
        if writer.room() < 12 + record.data.len() + opt {
            header.flags |= header::TC;
            break;
        }
        put(&mut writer, 0, &record);
        header.answers += 1;
    }
    let is_negative = header.answers == 0 && header.flags & header::TC == 0;
    let soa = own_soa(own.negative_ttl);
    if is_negative && writer.room() >= 12 + soa.len() + opt {
        let record = OwnRecord {
            record_type: RecordType::SOA,
            ttl: own.negative_ttl,
            data: &soa,
        };
        put(&mut writer, own.zone_at, &record);
        header.authorities += 1;
    }
    writer.finish(header, own.rcode, to.edns, payload, own.ede, &[])
}

/// The data of the SOA record of a zone that nobody serves, and the name server that it names.
pub fn own_soa(negative_ttl: u32) -> [u8; SOA.len() + 4] {
    let mut soa = [0; SOA.len() + 4];
    soa[..SOA.len()].copy_from_slice(SOA);
    soa[SOA.len()..].copy_from_slice(&negative_ttl.to_be_bytes());
    soa
}

/// The name server of a zone that nobody serves, as its SOA record has it.
pub const OWN_SERVER: &[u8] = b"\x09localhost\0";

/// The same as an answer to `question`, to be put together with others. `None` if it is too long for a message, or nothing.
pub fn own_answer<'r>(
    question: &[u8],
    records: impl Iterator<Item = OwnRecord<'r>>,
) -> Option<Answer> {
    let asked = Asked {
        id: 0,
        rd: true,
        cd: false,
        ad: false,
        edns: None,
        question,
    };
    let own = Own {
        rcode: Rcode::NOERROR,
        zone_at: 0,
        negative_ttl: 0,
        ede: None,
    };
    let mut packet = vec![0; header::MAX_MESSAGE];
    let length = write_own(&asked, &own, records, header::MAX_MESSAGE, 512, &mut packet);
    let sent = Sent {
        id: 0,
        question,
        exact_case: false,
    };
    let response = examine(packet.get(..length)?, &sent).ok()?;
    Some(response.to_answer())
}

/// "No such data" as an answer to `question`, for so many seconds, with what there is to say about it. `None` if `question`
/// is none.
pub fn own_denial(question: &[u8], ttl: u32, ede: Ede<'_>) -> Option<Answer> {
    let asked = Asked {
        id: 0,
        rd: true,
        cd: false,
        ad: false,
        edns: Some(ClientEdns {
            payload: 512,
            dnssec_ok: false,
            nsid: false,
            cookie: None,
            keepalive: None,
        }),
        question,
    };
    let own = Own {
        rcode: Rcode::NOERROR,
        zone_at: 0,
        negative_ttl: ttl,
        ede: Some(ede),
    };
    let mut packet = [0; 1024];
    let length = write_own(&asked, &own, std::iter::empty(), 1024, 512, &mut packet);
    let sent = Sent {
        id: 0,
        question,
        exact_case: false,
    };
    let response = examine(packet.get(..length)?, &sent).ok()?;
    Some(response.to_answer())
}

/// Writes a record whose owner is the question's name from the octet `at` on.
fn put(writer: &mut Writer<'_>, at: usize, record: &OwnRecord<'_>) {
    let owner = 0xc000 | (header::LEN + at) as u16;
    writer.put(&owner.to_be_bytes());
    writer.put(&record.record_type.0.to_be_bytes());
    writer.put(&CLASS_IN.to_be_bytes());
    writer.put(&record.ttl.to_be_bytes());
    // Whoever made it has seen to it that it is no longer than a record may be.
    writer.put(&(record.data.len() as u16).to_be_bytes());
    writer.put(record.data);
}
