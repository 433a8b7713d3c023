//! The twelve octets every message starts with (RFC 1035 section 4.1.1).

/// Length of the header in octets; the question starts here.
pub(super) const LEN: usize = 12;
/// The largest message: the length prefix of a stream has sixteen bits (RFC 1035 section 4.2.2).
pub(super) const MAX_MESSAGE: usize = 65535;

pub(super) const QR: u16 = 0x8000;
pub(super) const OPCODE: u16 = 0x7800;
pub(super) const AA: u16 = 0x0400;
pub(super) const TC: u16 = 0x0200;
pub(super) const RD: u16 = 0x0100;
pub(super) const RA: u16 = 0x0080;
pub(super) const AD: u16 = 0x0020;
pub(super) const CD: u16 = 0x0010;
pub(super) const RCODE: u16 = 0x000f;

/// A header, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additionals: u16,
}

impl Header {
    /// The header of `packet`, if it is long enough to have one.
    #[inline]
    pub fn read(packet: &[u8]) -> Option<Header> {
        let octets: &[u8; LEN] = packet.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        Some(Header {
            id: word(0),
            flags: word(2),
            questions: word(4),
            answers: word(6),
            authorities: word(8),
            additionals: word(10),
        })
    }

    /// The header as it goes on the wire.
    #[inline]
    pub fn to_wire(self) -> [u8; LEN] {
        let mut octets = [0; LEN];
        let words = [
            self.id,
            self.flags,
            self.questions,
            self.answers,
            self.authorities,
            self.additionals,
        ];
        for (place, word) in octets.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        octets
    }

    #[inline]
    pub fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// How many records the three sections claim to hold.
    pub fn records(self) -> usize {
        usize::from(self.answers) + usize::from(self.authorities) + usize::from(self.additionals)
    }
}

/// The sixteen bits at `at`, if they are there.
#[inline]
pub(super) fn word(packet: &[u8], at: usize) -> Option<u16> {
    packet
        .get(at..)?
        .first_chunk()
        .map(|octets| u16::from_be_bytes(*octets))
}

/// The thirty-two bits at `at`, if they are there.
#[inline]
pub(super) fn double(packet: &[u8], at: usize) -> Option<u32> {
    packet
        .get(at..)?
        .first_chunk()
        .map(|octets| u32::from_be_bytes(*octets))
}
