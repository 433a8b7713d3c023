//! The names inside record data.
//!
//! Only the types of RFC 1035 may have compressed names in their data, and RFC 3597 section 4
//! tells a receiver to expect them in a few more (RP, AFSDB, RT, SIG, PX, NXT, NAPTR, SRV). Older
//! specifications allowed them in DNAME and KX (RFC 2672, RFC 2230). In every other type, known or
//! not, data is opaque.

use super::name;
use super::record::Record;
use super::types::{CLASS_IN, RecordType};

/// A piece of record data.
#[derive(Clone, Copy)]
enum Piece {
    /// So many octets without a name in them.
    Octets(usize),
    /// A character string: a length octet and what it counts.
    Text,
    /// A domain name, perhaps compressed.
    Name,
}

/// The data of a type: its pieces, and whether anything may follow them.
struct Shape {
    pieces: &'static [Piece],
    open: bool,
}

const OPAQUE: Shape = Shape {
    pieces: &[],
    open: true,
};

const fn exactly(pieces: &'static [Piece]) -> Shape {
    Shape {
        pieces,
        open: false,
    }
}

const fn starting(pieces: &'static [Piece]) -> Shape {
    Shape { pieces, open: true }
}

fn shape(record_type: RecordType) -> Shape {
    use Piece::{Name, Octets, Text};
    match record_type {
        RecordType::A => exactly(&[Octets(4)]),
        RecordType::AAAA => exactly(&[Octets(16)]),
        RecordType::NS
        | RecordType::MD
        | RecordType::MF
        | RecordType::CNAME
        | RecordType::MB
        | RecordType::MG
        | RecordType::MR
        | RecordType::PTR
        | RecordType::DNAME => exactly(&[Name]),
        RecordType::SOA => exactly(&[Name, Name, Octets(20)]),
        RecordType::MINFO | RecordType::RP => exactly(&[Name, Name]),
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX => {
            exactly(&[Octets(2), Name])
        }
        RecordType::PX => exactly(&[Octets(2), Name, Name]),
        RecordType::SRV => exactly(&[Octets(6), Name]),
        RecordType::NAPTR => exactly(&[Octets(4), Text, Text, Text, Name]),
        RecordType::SIG => starting(&[Octets(18), Name]),
        RecordType::NXT => starting(&[Name]),
        _ => OPAQUE,
    }
}

/// A part of record data, for whoever copies it.
pub(super) enum Part {
    /// These octets.
    Octets(std::ops::Range<usize>),
    /// The name at this place.
    Name(usize),
}

/// Whether names in the data of this type are to be compressed: those of RFC 1035 alone (RFC 3597
/// section 4).
pub(super) fn may_be_compressed(record_type: RecordType) -> bool {
    matches!(
        record_type,
        RecordType::NS
            | RecordType::MD
            | RecordType::MF
            | RecordType::CNAME
            | RecordType::SOA
            | RecordType::MB
            | RecordType::MG
            | RecordType::MR
            | RecordType::PTR
            | RecordType::MINFO
            | RecordType::MX
    )
}

/// Gives the data of `record`, which has been walked, to `each` part by part. False as soon as that is.
pub(super) fn parts(packet: &[u8], record: &Record, mut each: impl FnMut(Part) -> bool) -> bool {
    let mut plain = record.data;
    let mut at = record.data;
    let pieces = match record.class {
        CLASS_IN => shape(record.record_type).pieces,
        _ => &[],
    };
    for piece in pieces {
        match *piece {
            Piece::Octets(count) => at += count,
            Piece::Text => at += 1 + packet.get(at).copied().map_or(0, usize::from),
            Piece::Name => {
                if plain < at && !each(Part::Octets(plain..at)) {
                    return false;
                }
                if !each(Part::Name(at)) {
                    return false;
                }
                at = name::end(packet, at);
                plain = at;
            }
        }
    }
    plain >= record.end || each(Part::Octets(plain..record.end))
}

/// Checks the data of `record`. `each` is called with the place of every name in it that may be
/// compressed, checks the name and says where it ends.
#[inline]
pub(super) fn walk(
    packet: &[u8],
    record: &Record,
    mut each: impl FnMut(usize) -> Result<usize, &'static str>,
) -> Result<(), &'static str> {
    if record.class != CLASS_IN {
        return Ok(());
    }
    let shape = shape(record.record_type);
    let mut at = record.data;
    for piece in shape.pieces {
        at = match *piece {
            Piece::Octets(count) => at + count,
            Piece::Text => at + 1 + packet.get(at).copied().map_or(0, usize::from),
            Piece::Name => each(at)?,
        };
        if at > record.end {
            return Err("record data shorter than its type says");
        }
    }
    if !shape.open && at != record.end {
        return Err("record data longer than its type says");
    }
    Ok(())
}
