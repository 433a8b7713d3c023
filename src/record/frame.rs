//! One frame: the unit that is written, checked and lost.

use super::codec::{put, take, take_u32};

/// How every frame begins. Two of the octets stand in no UTF-8, so no text that is recorded looks like a frame.
pub(super) const MAGIC: [u8; 4] = [0xf5, b'b', b'y', 0xfe];
/// Frames begin at a multiple of this.
pub(super) const ALIGN: usize = 8;
/// Magic, checksum, length, kind and number.
pub(super) const HEADER: usize = 4 + 4 + 4 + 8;
/// The largest contents: a shape of the most routes that a configuration may make. A length that is not true costs
/// no more memory than that.
pub(super) const CONTENTS_MOST: usize = 8 << 20;

/// The last moment that is believed, in milliseconds: in the year 9999, so that who reckons with it does not overflow.
const MOMENT_MOST: u64 = 253_402_300_799_000;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Which series the numbers of other frames belong to.
    Shape = 1,
    /// What counters grew by in a second, and what gauges read at its end.
    Second = 2,
    /// The same of a minute.
    Minute = 3,
    /// What counters read, among the seconds.
    SecondKey = 4,
    /// What counters read, among the minutes.
    MinuteKey = 5,
    /// Something that was told.
    Event = 6,
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Kind> {
        Some(match octet {
            1 => Kind::Shape,
            2 => Kind::Second,
            3 => Kind::Minute,
            4 => Kind::SecondKey,
            5 => Kind::MinuteKey,
            6 => Kind::Event,
            _ => return None,
        })
    }
}

/// When a frame was made, by every clock there is, and by which life of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The wall clock, in milliseconds since the Unix epoch. It may be set forward and back.
    pub wall: u64,
    /// Milliseconds since the host was started, its sleep included. It only goes forward.
    pub life: u64,
    /// Which start of the host that was.
    pub boot: u32,
    /// Which start of the daemon made it.
    pub run: u32,
}

impl Stamp {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put(out, self.wall);
        put(out, self.life);
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&self.run.to_le_bytes());
    }

    /// Reads one; `None` if that is no moment that a clock could show.
    pub(super) fn take(octets: &mut &[u8]) -> Option<Stamp> {
        let moment = |octets: &mut &[u8]| take(octets).filter(|millis| *millis <= MOMENT_MOST);
        Some(Stamp {
            wall: moment(octets)?,
            life: moment(octets)?,
            boot: take_u32(octets)?,
            run: take_u32(octets)?,
        })
    }
}

/// A frame that was found, its checksum true.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) contents: &'a [u8],
}

const NUMBER_BITS: u32 = 56;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// Octets that a frame takes with such contents.
pub(super) const fn size(contents: usize) -> usize {
    (HEADER + contents).next_multiple_of(ALIGN)
}

/// Makes a frame.
pub(super) fn write(kind: Kind, number: u64, contents: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(size(contents.len()));
    octets.extend_from_slice(&MAGIC);
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&(contents.len() as u32).to_le_bytes());
    let number = (kind as u64) << NUMBER_BITS | number & NUMBER_MASK;
    octets.extend_from_slice(&number.to_le_bytes());
    octets.extend_from_slice(contents);
    let sum = crc32fast::hash(&octets[8..]);
    octets[4..8].copy_from_slice(&sum.to_le_bytes());
    octets.resize(size(contents.len()), 0);
    octets
}

/// How much a frame takes that seems to begin here; `None` if none does.
pub(super) fn claimed(octets: &[u8]) -> Option<usize> {
    let header = octets.get(..HEADER)?;
    if header[..4] != MAGIC {
        return None;
    }
    let mut rest = &header[8..];
    let length = take_u32(&mut rest)? as usize;
    (length <= CONTENTS_MOST).then(|| size(length))
}

/// The frame that stands at the front of `octets`, if its checksum holds.
pub(super) fn read(octets: &[u8]) -> Option<Frame<'_>> {
    let claimed = claimed(octets)?;
    octets.get(..claimed)?;
    let mut rest = &octets[4..];
    let (sum, length) = (take_u32(&mut rest)?, take_u32(&mut rest)? as usize);
    // A fuzzer would never get past it.
    if !cfg!(fuzzing) && crc32fast::hash(&octets[8..HEADER + length]) != sum {
        return None;
    }
    let (number, rest) = rest.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    Some(Frame {
        kind: Kind::from_octet((number >> NUMBER_BITS) as u8)?,
        number: number & NUMBER_MASK,
        contents: &rest[..length],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_and_no_flipped_bit_is_believed() {
        let octets = write(Kind::Second, 7, b"contents");
        assert_eq!(octets.len(), 32);
        let frame = read(&octets).expect("a frame");
        assert_eq!((frame.kind, frame.number), (Kind::Second, 7));
        assert_eq!(frame.contents, b"contents");
        // The zeros behind the contents are nobody's.
        for bit in 0..(HEADER + 8) * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_none(), "bit {bit}");
        }
        for len in 0..octets.len() {
            assert!(read(&octets[..len]).is_none(), "cut to {len}");
        }
    }

    #[test]
    fn no_text_looks_like_a_frame() {
        assert!(std::str::from_utf8(&MAGIC[..1]).is_err());
        assert!(std::str::from_utf8(&MAGIC[3..]).is_err());
    }
}
