//! Names compared where they lie, which may be in two messages.

use super::effort::Effort;
use super::name::{label, resolve};

/// The place of a name that has been walked.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Place<'a> {
    /// The name at `at` of `octets`.
    #[inline]
    pub fn new(octets: &'a [u8], at: usize) -> Place<'a> {
        Place { octets, at }
    }

    /// Whether both names are the same, letter case aside (RFC 4343). False too if that would cost more
    /// than there is left.
    #[inline]
    pub fn same(self, other: Place<'_>, effort: &Effort) -> bool {
        let one_message = std::ptr::eq(self.octets, other.octets);
        let (mut left, mut right) = (self.at, other.at);
        loop {
            let (Some(one), Some(two)) = (resolve(self.octets, left), resolve(other.octets, right))
            else {
                return false;
            };
            if one_message && one == two {
                return true;
            }
            if !effort.spend(1) {
                return false;
            }
            let (Some(here), Some(there)) = (label(self.octets, one), label(other.octets, two))
            else {
                return false;
            };
            if !here.eq_ignore_ascii_case(there) {
                return false;
            }
            if here.is_empty() {
                return true;
            }
            (left, right) = (one + 1 + here.len(), two + 1 + there.len());
        }
    }

    /// Whether this name is `zone` or below it.
    pub fn is_within(self, zone: Place<'_>, effort: &Effort) -> bool {
        let (labels, above) = (self.labels(effort), zone.labels(effort));
        labels >= above && self.skip(labels - above).same(zone, effort)
    }

    /// Whether this name is below `zone`.
    pub fn is_below(self, zone: Place<'_>, effort: &Effort) -> bool {
        let (labels, above) = (self.labels(effort), zone.labels(effort));
        labels > above && self.skip(labels - above).same(zone, effort)
    }

    /// How many labels it has, the root aside.
    pub fn labels(self, effort: &Effort) -> usize {
        let labels = self.iter().count();
        // What cannot be afforded any more is found out by the comparison that follows.
        effort.spend(u32::try_from(labels).unwrap_or(u32::MAX));
        labels
    }

    /// The name without its first labels.
    pub fn skip(self, labels: usize) -> Place<'a> {
        let mut rest = self.iter();
        for _ in 0..labels {
            rest.next();
        }
        Place {
            at: rest.at.unwrap_or(self.at),
            ..self
        }
    }

    /// Where its labels are, the root aside: each with its place, of the length octet.
    #[inline]
    pub fn iter(self) -> Labels<'a> {
        Labels {
            octets: self.octets,
            at: Some(self.at),
        }
    }

    /// Its octets, uncompressed, with `first` labels at most. No longer than a name may be.
    pub fn copy_to(self, first: usize, name: &mut Vec<u8>) {
        for (_, label) in self.iter().take(first) {
            name.push(label.len() as u8);
            name.extend_from_slice(label);
        }
    }
}

/// The labels of a name.
pub(super) struct Labels<'a> {
    octets: &'a [u8],
    at: Option<usize>,
}

impl<'a> Iterator for Labels<'a> {
    type Item = (usize, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let at = resolve(self.octets, self.at?)?;
        self.at = Some(at);
        let label = label(self.octets, at).filter(|label| !label.is_empty())?;
        self.at = Some(at + 1 + label.len());
        Some((at, label))
    }
}
