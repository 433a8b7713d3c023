//! Queries to upstreams.

use super::header::{self, Header};
use super::types::RecordType;

/// The header flags of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryFlags {
    /// RD: ask the upstream to recurse.
    pub rd: bool,
    /// CD: the client checks signatures itself (RFC 4035 section 3.2.2).
    pub cd: bool,
    /// AD: the client wants to know whether the answer is authenticated (RFC 6840 section 5.7).
    pub ad: bool,
}

/// The OPT record of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingEdns {
    /// The largest UDP message byway takes, in octets, 512 or more.
    pub payload: u16,
    /// DO: DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
}

/// Writes the query for `question` (uncompressed name, type, class; sent as it is) and returns its
/// length: at most 282 octets. Returns 0, having written nothing of use, if `out` is too small.
pub fn write_query(
    out: &mut [u8],
    id: u16,
    flags: QueryFlags,
    question: &[u8],
    edns: Option<OutgoingEdns>,
) -> usize {
    let header = Header {
        id,
        flags: (u16::from(flags.rd) * header::RD)
            | (u16::from(flags.ad) * header::AD)
            | (u16::from(flags.cd) * header::CD),
        questions: 1,
        additionals: u16::from(edns.is_some()),
        ..Header::default()
    };
    let opt = edns.map(|edns| {
        let [kind_high, kind_low] = RecordType::OPT.0.to_be_bytes();
        let [payload_high, payload_low] = edns.payload.to_be_bytes();
        let flags = u8::from(edns.dnssec_ok) << 7;
        [
            0,
            kind_high,
            kind_low,
            payload_high,
            payload_low,
            0,
            0,
            flags,
            0,
            0,
            0,
        ]
    });
    let mut at = 0;
    for octets in [
        &header.to_wire()[..],
        question,
        opt.as_ref().map_or(&[][..], |opt| opt),
    ] {
        let Some(place) = out.get_mut(at..at + octets.len()) else {
            return 0;
        };
        place.copy_from_slice(octets);
        at += octets.len();
    }
    at
}

/// Makes the letter case of a question's name random: a bit of each octet of `bits`, which are drawn eight at
/// a time, changes an octet of the name if it is a letter. A forged response must then guess these bits too
/// (draft-vixie-dnsext-dns0x20).
pub fn randomize_case(question: &mut [u8], mut bits: impl FnMut() -> u64) {
    // Length octets are at most 63 and so never letters; the last four octets, which may look
    // like letters, are type and class.
    let name_len = question.len().saturating_sub(4);
    let (name, _) = question.split_at_mut(name_len);
    let (eights, rest) = name.as_chunks_mut::<8>();
    for octets in eights {
        let bits = bits().to_le_bytes();
        *octets = std::array::from_fn(|i| octets[i] ^ (case_bit(octets[i]) & bits[i]));
    }
    if !rest.is_empty() {
        for (octet, bits) in rest.iter_mut().zip(bits().to_le_bytes()) {
            *octet ^= case_bit(*octet) & bits;
        }
    }
}

/// The bit that changes the case of a letter; no bit of anything else.
#[inline]
fn case_bit(octet: u8) -> u8 {
    u8::from(octet.is_ascii_alphabetic()) << 5
}
