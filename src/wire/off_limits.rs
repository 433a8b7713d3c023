//! The octets of a message that no name may borrow.
//!
//! A compression pointer can lead to anything that reads as a name, and real servers do point
//! into the middle of data. But some octets do not stay what they are: TTLs count down, the OPT
//! record is dropped, and pointers behind it are corrected. A name that were to run through them
//! would change with them, so a message with such a name is garbled from the start.

use std::ops::Range;

use smallvec::SmallVec;

use super::name;

/// As far as a pointer reaches, and the longest name from there.
const REACH: usize = 0x4000 + name::MAX_LEN + 1;

/// A bit for each octet a pointer can lead to, as far as the message goes. In place up to 2 KiB: clearing
/// room for the longest message would cost more than all the rest of reading a usual one.
type Marks = SmallVec<[u64; 32]>;

/// The octets of a message that no name may borrow.
pub(super) struct OffLimits {
    /// Of the question's name, none of whose octets is off limits; zero if there is none.
    pub question_name: usize,
    changing: Marks,
    /// The second octets of pointers that will be corrected. As parts of their own pointers they
    /// may be used, as anything else not.
    corrected: Option<Marks>,
}

impl OffLimits {
    /// None yet, of a message of `len` octets whose question, checked already, has a name of
    /// `question_name` octets.
    #[inline]
    pub fn new(len: usize, question_name: usize) -> OffLimits {
        OffLimits {
            question_name,
            changing: SmallVec::from_elem(0, len.min(REACH).div_ceil(64)),
            corrected: None,
        }
    }

    /// These octets will change or go.
    #[inline]
    pub fn add(&mut self, octets: Range<usize>) {
        mark(&mut self.changing, octets);
    }

    /// The pointer at the end of the name at `start`, if it has one, will be corrected.
    pub fn add_pointer(&mut self, packet: &[u8], start: usize) {
        if let (at, true) = name::inline_end(packet, start) {
            let words = self.changing.len();
            let none = || SmallVec::from_elem(0, words);
            mark(self.corrected.get_or_insert_with(none), at + 1..at + 2);
        }
    }

    /// Whether a label, or the root, may not lie on these octets.
    #[inline]
    pub fn bar_label(&self, octets: Range<usize>) -> bool {
        let corrected = self.corrected.as_ref();
        touches(&self.changing, octets.clone())
            || corrected.is_some_and(|marks| touches(marks, octets))
    }

    /// Whether a pointer may not lie at this place.
    #[inline]
    pub fn bar_pointer(&self, at: usize) -> bool {
        let corrected = self.corrected.as_ref();
        touches(&self.changing, at..at + 2)
            || corrected.is_some_and(|marks| touches(marks, at..at + 1))
    }
}

/// The words that `octets` fall into, each with the bits of them.
#[inline]
fn words(octets: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let Range { start, end } = octets;
    (start / 64..end.div_ceil(64).min(REACH.div_ceil(64))).map(move |word| {
        let from = start.saturating_sub(word * 64).min(63);
        let to = (end - word * 64).min(64);
        (word, u64::MAX << from & u64::MAX >> (64 - to))
    })
}

#[inline]
fn mark(marks: &mut [u64], octets: Range<usize>) {
    for (word, bits) in words(octets) {
        if let Some(word) = marks.get_mut(word) {
            *word |= bits;
        }
    }
}

#[inline]
fn touches(marks: &[u64], octets: Range<usize>) -> bool {
    words(octets).any(|(word, bits)| marks.get(word).is_some_and(|word| word & bits != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_where_they_were_made() {
        for start in 0..140 {
            for len in 1..140 {
                let mut off_limits = OffLimits::new(512, 0);
                off_limits.add(start..start + len);
                for at in 0..300 {
                    let inside = (start..start + len).contains(&at);
                    assert_eq!(
                        off_limits.bar_label(at..at + 1),
                        inside,
                        "{start} {len} {at}"
                    );
                }
                assert!(!off_limits.bar_label(0..start));
                assert!(!off_limits.bar_label(start + len..REACH));
                assert!(off_limits.bar_label(0..start + 1));
                assert!(off_limits.bar_label(start + len - 1..REACH));
            }
        }
    }

    #[test]
    fn what_no_pointer_reaches_is_not_marked() {
        let mut off_limits = OffLimits::new(0x10000, 0);
        off_limits.add(0x3ff0..0x10000);
        off_limits.add(0xffff..0x10000);
        assert!(off_limits.bar_label(0x3fff..0x4001));
        assert!(!off_limits.bar_label(0x3fe0..0x3ff0));
        assert!(!off_limits.bar_label(0xfff0..0x10000));
    }
}
