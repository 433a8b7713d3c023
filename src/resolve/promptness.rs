//! Whether a fresh answer comes soon enough to be waited for.
//!
//! Who asks for a name that is held past its TTL waits about as long as a hedge takes. While nothing answers, or
//! every answer comes late, such waits are in vain. A verdict does not say so: a route may be in doubt and
//! answer in time. Nor do questions of all kinds, for names fail on their own. Names that were answered before
//! do: this counts which share of them is in time. One whose last question failed tells nothing new, in
//! whichever way it ends, and is not counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Time;

/// Each known name moves the share by one in so many of what is left: some ten in a row, in vain, turn it.
const WEIGHT: u64 = 8;
/// With less than this share in time a wait is in vain: a path that loses a third of all packets is worth waiting for.
const LEAST: u64 = WHOLE / 4;
/// For so long after a wait was in vain the next one is held to be, too. Then one client waits and finds out.
const BELIEVED: Duration = Duration::from_secs(1);
/// What is older than this says nothing of the present.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// All of them.
const WHOLE: u64 = 1 << 16;

/// The share of known names that are answered in time. Shared by all workers, who may overwrite each other's
/// notes: it need not be exact.
#[derive(Debug)]
pub struct Promptness {
    /// In 65,536ths.
    share: AtomicU64,
    /// When one was last late, in nanoseconds.
    late: AtomicU64,
}

impl Default for Promptness {
    /// Nothing was ever late.
    fn default() -> Promptness {
        Promptness {
            share: AtomicU64::new(WHOLE),
            late: AtomicU64::new(0),
        }
    }
}

impl Promptness {
    /// A known name was answered in time.
    pub fn in_time(&self) {
        let share = self.share.load(Ordering::Relaxed);
        if share < WHOLE {
            let share = share + (WHOLE - share).div_ceil(WEIGHT);
            self.share.store(share, Ordering::Relaxed);
        }
    }

    /// A known name was not answered in time: its time was up at `now`.
    pub fn late(&self, now: Time) {
        let share = match now.since(self.last_late()) < FORGOTTEN {
            true => self.share.load(Ordering::Relaxed),
            false => WHOLE,
        };
        self.share.store(share - share / WEIGHT, Ordering::Relaxed);
        self.late.store(now.nanos(), Ordering::Relaxed);
    }

    /// Whether to wait for a fresh answer is in vain.
    pub fn is_gone(&self, now: Time) -> bool {
        self.share.load(Ordering::Relaxed) < LEAST && now.since(self.last_late()) < BELIEVED
    }

    fn last_late(&self) -> Time {
        Time::from_nanos(self.late.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    /// Tells of so many names, one each ten milliseconds, of which one in `of` is in time.
    fn after(names: u64, of: u64) -> (Promptness, Time) {
        let promptness = Promptness::default();
        for name in 1..=names {
            match name % of {
                0 => promptness.in_time(),
                _ => promptness.late(at(10 * name)),
            }
        }
        (promptness, at(10 * names))
    }

    #[test]
    fn a_few_late_ones_are_nothing() {
        let (promptness, now) = after(10, u64::MAX);
        assert!(!promptness.is_gone(now));
    }

    #[test]
    fn where_nothing_answers_nobody_waits_but_one_who_looks() {
        let (promptness, now) = after(11, u64::MAX);
        assert!(promptness.is_gone(now));
        assert!(promptness.is_gone(now + BELIEVED - Duration::from_millis(1)));
        assert!(!promptness.is_gone(now + BELIEVED), "one looks");
        promptness.late(now + BELIEVED);
        assert!(promptness.is_gone(now + BELIEVED), "in vain");
        promptness.in_time();
        assert!(!promptness.is_gone(now + BELIEVED), "it is over");
    }

    #[test]
    fn where_nearly_all_come_late_nobody_waits_and_where_a_third_does_everybody_does() {
        let (promptness, now) = after(1_000, 20);
        assert!(promptness.is_gone(now));
        let promptness = Promptness::default();
        for name in 0..1_000 {
            match name % 3 {
                0 => promptness.late(at(10 * name)),
                _ => promptness.in_time(),
            }
            assert!(!promptness.is_gone(at(10 * name)));
        }
    }

    #[test]
    fn late_ones_far_apart_do_not_add_up() {
        let promptness = Promptness::default();
        for name in 0..1_000 {
            let now = at(name * FORGOTTEN.as_millis() as u64);
            promptness.late(now);
            assert!(!promptness.is_gone(now));
        }
    }
}
