//! The octets of a message that no name may borrow.
//!
//! A compression pointer can lead to anything that reads as a name, and real servers do point
//! into the middle of data. But some octets do not stay what they are: TTLs count down. A name that
//! were to run through them would change with them, so a message with such a name is garbled from
//! the start. The OPT record is of one hop and lends no names either.

use std::ops::Range;

use smallvec::SmallVec;

use super::effort::Effort;
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
    /// How many labels that is.
    pub question_labels: u32,
    changing: Marks,
    /// What following pointers may cost.
    pub effort: Effort,
}

impl OffLimits {
    /// None yet, of a message of `len` octets whose question, checked already, has a name of
    /// `question_name` octets and `question_labels` labels.
    #[inline]
    pub fn new(len: usize, question_name: usize, question_labels: u32) -> OffLimits {
        OffLimits {
            question_name,
            question_labels,
            changing: SmallVec::from_elem(0, len.min(REACH).div_ceil(64)),
            effort: Effort::new(),
        }
    }

    /// These octets will change or go.
    #[inline]
    pub fn add(&mut self, octets: Range<usize>) {
        mark(&mut self.changing, octets);
    }

    /// Whether a label, or the root, may not lie on these octets.
    #[inline]
    pub fn bar_label(&self, octets: Range<usize>) -> bool {
        touches(&self.changing, octets)
    }

    /// Whether a pointer may not lie at this place.
    #[inline]
    pub fn bar_pointer(&self, at: usize) -> bool {
        touches(&self.changing, at..at + 2)
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
                let mut off_limits = OffLimits::new(512, 0, 0);
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
        let mut off_limits = OffLimits::new(0x10000, 0, 0);
        off_limits.add(0x3ff0..0x10000);
        off_limits.add(0xffff..0x10000);
        assert!(off_limits.bar_label(0x3fff..0x4001));
        assert!(!off_limits.bar_label(0x3fe0..0x3ff0));
        assert!(!off_limits.bar_label(0xfff0..0x10000));
    }
}
