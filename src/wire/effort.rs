//! How much work the names of one message may cause.
//!
//! Two octets name a name of 127 labels, so 64 KiB can ask for a million labels to be walked, and for
//! many times that if names are compared with each other (CVE-2023-4408 is of that kind). Every label
//! that is looked at beyond reading the message once is counted here. What a message asks for beyond the
//! bound is not done: its records from there on are dropped.

use std::cell::Cell;

/// Labels that one message may cost. A message of 64 KiB with 2,000 names of five labels each takes a
/// third of it.
const LABELS: u32 = 32 * 1024;

/// What is left of it.
pub(super) struct Effort(Cell<u32>);

impl Effort {
    /// All of it.
    pub const fn new() -> Effort {
        Effort(Cell::new(LABELS))
    }

    /// Takes so many labels' worth; false if there is not so much left, now and ever after.
    #[inline]
    pub fn spend(&self, labels: u32) -> bool {
        let left = self.0.get().checked_sub(labels);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Whether nothing is left: something was not done.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// What was spent so far.
    #[cfg(test)]
    pub fn spent(&self) -> u32 {
        LABELS - self.0.get()
    }
}
