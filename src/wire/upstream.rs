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

/// Pads the query of `length` octets in `out`, whose last record is an OPT record without options, so that its length is a
/// multiple of `block` (RFC 7830); leaves it as it is if there is no room. Returns its length.
pub fn pad_query(out: &mut [u8], length: usize, block: usize) -> usize {
    const PADDING: [u8; 2] = 12u16.to_be_bytes();
    let padded = (length + 4).next_multiple_of(block);
    let (Some(all), Some(size)) = (out.get_mut(..padded), length.checked_sub(2)) else {
        return length;
    };
    let octets = (padded - length - 4) as u16;
    all[size..length].copy_from_slice(&(octets + 4).to_be_bytes());
    all[length..length + 2].copy_from_slice(&PADDING);
    all[length + 2..length + 4].copy_from_slice(&octets.to_be_bytes());
    all[length + 4..].fill(0);
    padded
}

/// Makes the letter case of a question's name random: a bit of each octet of `bits`, which are drawn eight at
/// a time, changes an octet of the name if it is a letter. A forged response must then guess these bits too
/// (draft-vixie-dnsext-dns0x20).
pub fn randomize_case(question: &mut [u8], mut bits: impl FnMut() -> u64) {
    // Length octets are at most 63 and so never letters; the last four octets, which may look
    // like letters, are type and class.
    let name_len = question.len().saturating_sub(4);
    let (name, _) = question.split_at_mut(name_len);
    let mut change = |octets: [u8; 8]| {
        let octets = u64::from_le_bytes(octets);
        (octets ^ (case_bits(octets) & bits())).to_le_bytes()
    };
    let (eights, rest) = name.as_chunks_mut::<8>();
    for octets in eights {
        *octets = change(*octets);
    }
    if !rest.is_empty() {
        let mut octets = [0; 8];
        octets[..rest.len()].copy_from_slice(rest);
        rest.copy_from_slice(&change(octets)[..rest.len()]);
    }
}

/// Of each of eight octets that is a letter, the bit that changes its case. All at once: whether an octet is a
/// letter is hard to predict for a CPU.
fn case_bits(octets: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const ASCII: u64 = 0x7f * EACH;
    let lower = (octets | (0x20 * EACH)) & ASCII;
    // The top bit of each: whether it is `a` or above, and above `z`.
    let from_a = lower + (0x80 - u64::from(b'a')) * EACH;
    let above_z = lower + (0x7f - u64::from(b'z')) * EACH;
    (from_a & !above_z & !octets & !ASCII) >> 2
}
