//! What is in trouble is tried now and then, and earns its return.

use std::time::Duration;

use super::Health;
use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::constants::judge::probation::*;
use crate::route::constants::judge::suspicion::FORGIVEN;
use crate::route::judge::counts::{Sample, Shown};
use crate::route::judge::probation::Patience;

impl Health {
    /// When it should be tried again.
    pub fn trial_due(&self) -> Time {
        if self.verdict == Verdict::Clear {
            Time::NEVER
        } else {
            self.trial
        }
    }

    /// A trial goes out: the next one is due later, and later each time, with `jitter` in 0..1.
    pub fn trying(&mut self, now: Time, patience: &Patience, jitter: f32) {
        self.trial = now + self.gap.mul_f32(1.0 + JITTER * (2.0 * jitter - 1.0));
        self.gap = (2 * self.gap).min(patience.longest);
    }

    /// Makes the next trial due at once: something says that it may be worth it.
    pub fn try_now(&mut self, now: Time) {
        self.trial = self.trial.min(now);
    }

    /// Makes the next trial due sooner if what was `shown` makes it worth while.
    pub(super) fn hasten(&mut self, shown: Shown, now: Time, patience: &Patience) {
        let unsure = matches!(shown.sample, Sample::Censored | Sample::Hard { .. });
        if self.row.count > 0 || unsure {
            // One good answer: the others that a return needs may follow quickly. One that may be good: it is
            // worth another try.
            let step = (self.hold(patience) / self.needed(patience)).max(TRIAL_STEP);
            self.trial = self.trial.min(now + step);
        }
        if self.drains(shown) {
            self.trial = self.trial.min(now + DRAIN_STEP);
        }
    }

    /// A late answer that took so much less than the one before that a queue is draining.
    fn drains(&mut self, shown: Shown) -> bool {
        let late = matches!(shown.sample, Sample::Late | Sample::Found);
        let Some(took) = shown.took.filter(|_| late) else {
            return false;
        };
        let before = self.last_late.replace(took);
        before.is_some_and(|before| took < before.mul_f32(DRAINS))
    }

    /// Whether its row of good answers is long enough for a return.
    pub(super) fn earned(&self, now: Time, patience: &Patience, desperate: bool) -> bool {
        let (row, span) = (self.row.count, now.since(self.row.from));
        if row == 0 || !self.row.is_solid() {
            return false;
        }
        if desperate {
            let times = 1 << self.relapses.min(RELAPSES_DESPERATE);
            return row >= ROW * times
                || (row >= ROW_SLOW * times && span >= times * ROW_SLOW_SPAN);
        }
        let calm = self.loss <= FORGIVEN && self.late <= FORGIVEN && self.poor <= FORGIVEN;
        if self.verdict == Verdict::Suspect && calm && row >= patience.least {
            return true;
        }
        row >= self.needed(patience) && span >= self.hold(patience)
    }

    /// Good answers in a row that earn a return: enough to make the loss that was seen unlikely to be
    /// still there, and twice as many each time that a return did not last.
    fn needed(&self, patience: &Patience) -> u32 {
        let bad = self.tally.lost + self.tally.poor;
        let before = self.tally.attempts.saturating_sub(self.row.count);
        let seen = (2 * before).checked_div(bad).unwrap_or_default();
        seen.max(patience.least << self.relapses).min(patience.many)
    }

    fn hold(&self, patience: &Patience) -> Duration {
        if self.relapses == 0 {
            patience.hold
        } else {
            patience.hold_relapsed
        }
    }
}
