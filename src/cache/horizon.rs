//! When entries are dead, and whether any may be.

use std::time::Duration;

use crate::clock::Life;

use super::entry::Entry;

/// The time by which entries are dead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    pub(super) now: Life,
    pub(super) stale_max: Duration,
}

impl Horizon {
    pub(super) fn is_dead(&self, entry: &Entry) -> bool {
        entry.dead(self.now, self.stale_max)
    }

    pub(super) fn death(&self, entry: &Entry) -> Life {
        entry.death(self.stale_max)
    }
}

/// When protected entries begin to die: what saves looking for the dead while there are none.
#[derive(Debug)]
pub(super) struct Deaths {
    /// None dies before this.
    first: Life,
    /// None of those that were passed in this round, or joined in it, does before this.
    first_passed: Life,
    /// How many are still to be passed in this round; zero between two rounds.
    left: usize,
}

impl Deaths {
    pub(super) const NONE: Deaths = Deaths {
        first: Life::NEVER,
        first_passed: Life::NEVER,
        left: 0,
    };

    pub(super) fn may_have_begun(&self, now: Life) -> bool {
        now >= self.first
    }

    /// One has joined at the young end that dies at `death`.
    pub(super) fn will_follow(&mut self, death: Life) {
        self.first = self.first.min(death);
        self.first_passed = self.first_passed.min(death);
    }

    /// One of `held` that dies at `death` has gone from the old end to the young one. When as many
    /// have as there were, it is known anew who dies first.
    pub(super) fn passed(&mut self, death: Life, held: usize) {
        if self.left == 0 {
            self.left = held;
            self.first_passed = Life::NEVER;
        }
        self.first_passed = self.first_passed.min(death);
        self.left -= 1;
        if self.left == 0 {
            self.first = self.first_passed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_tells_anew_who_dies_first() {
        let at = Life::from_secs;
        let mut deaths = Deaths::NONE;
        assert!(!deaths.may_have_begun(at(1_000)));
        for death in [50, 10, 90] {
            deaths.will_follow(at(death));
        }
        assert!(!deaths.may_have_begun(at(9)) && deaths.may_have_begun(at(10)));
        // The one that dies at 10 is removed; the others pass, and one joins meanwhile.
        deaths.passed(at(50), 2);
        deaths.will_follow(at(30));
        assert!(deaths.may_have_begun(at(10)));
        deaths.passed(at(90), 3);
        assert!(!deaths.may_have_begun(at(29)) && deaths.may_have_begun(at(30)));
        for death in [50, 90] {
            deaths.passed(at(death), 2);
        }
        assert!(!deaths.may_have_begun(at(49)) && deaths.may_have_begun(at(50)));
    }
}
