//! What is in trouble is tried now and then, and earns its return.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::judge::probation::*;
use crate::route::judge::counts::{Counts, Observation, Observed, Streak};
use crate::route::judge::probation::Probation;
use crate::route::rules::Rule;

/// How far one that was left has come on its way back, and how often it did not last.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Comeback {
    /// Its good answers in a row, as far as they count.
    pub(in crate::route) streak: Streak,
    /// When the first attempt was sent of the row that earned the last return.
    relief: Time,
    relapses: u32,
    /// When it was last clear again.
    cleared: Time,
    /// When it is tried next, and how long after that again.
    trial: Time,
    gap: Duration,
    /// What the last late answer took.
    last_late: Option<Duration>,
}

impl Comeback {
    /// What was sent before this says nothing against it any more.
    pub(in crate::route) fn relief(&self) -> Time {
        self.relief
    }

    /// Another explained what it showed before `relief`.
    pub(in crate::route) fn relieve(&mut self, relief: Time) {
        self.relief = self.relief.max(relief);
    }

    /// When it was last clear again; [`Time::default`] if it never was in trouble.
    pub(in crate::route) fn cleared(&self) -> Time {
        self.cleared
    }

    /// It was not in trouble after all: it is as if it had last been clear again then.
    pub(in crate::route) fn never_mind(&mut self, cleared: Time) {
        self.cleared = cleared;
    }

    /// When it should be tried again.
    pub(in crate::route) fn trial_due(&self) -> Time {
        self.trial
    }

    /// A trial goes out: the next one is due later, and later each time, with `jitter` in 0..1.
    pub(in crate::route) fn trying(&mut self, now: Time, probation: &Probation, jitter: f32) {
        let jitter = match Rule::ProbesJitter.stands() {
            true => JITTER * (2.0 * jitter - 1.0),
            false => 0.0,
        };
        self.trial = now + self.gap.mul_f32(1.0 + jitter);
        if Rule::ProbesBackOff.stands() {
            self.gap = (2 * self.gap).min(probation.longest);
        }
    }

    /// Makes the next trial due at once: something says that it may be worth it.
    pub(in crate::route) fn try_now(&mut self, now: Time) {
        self.trial = self.trial.min(now);
    }

    /// Makes the next trial due sooner if what was `shown` makes it worth while. `seen`: since the trouble began.
    pub(in crate::route) fn hasten(
        &mut self,
        observed: Observed,
        seen: &Counts,
        now: Time,
        probation: &Probation,
    ) {
        let unsure = matches!(
            observed.observation,
            Observation::Censored | Observation::Slow { .. }
        );
        let good = self.streak.count > 0 && Rule::GoodHastens.stands();
        if good || unsure && Rule::UnsureHastens.stands() {
            // One good answer: the others that a return needs may follow quickly. One that may be good: it is
            // worth another try.
            let step = (self.hold(probation) / self.needed(seen, probation)).max(TRIAL_STEP);
            self.trial = self.trial.min(now + step);
        }
        if self.drains(observed) && Rule::DrainHastens.stands() {
            self.trial = self.trial.min(now + DRAIN_STEP);
        }
    }

    /// A late answer that took so much less than the one before that a queue is draining.
    fn drains(&mut self, observed: Observed) -> bool {
        let late = matches!(observed.observation, Observation::Late | Observation::Found);
        let Some(took) = observed.took.filter(|_| late) else {
            return false;
        };
        let before = self.last_late.replace(took);
        before.is_some_and(|before| took < before.mul_f32(DRAINS))
    }

    /// Whether its streak of good answers is long enough for a return. `doubted`: it was doubted only, and nothing is held
    /// against it any more.
    pub(in crate::route) fn is_earned(
        &self,
        doubted: bool,
        seen: &Counts,
        now: Time,
        probation: &Probation,
    ) -> bool {
        let (streak, span) = (self.streak.count, now.since(self.streak.from));
        if streak == 0 || !self.streak.is_solid() {
            return false;
        }
        (doubted && streak >= probation.least)
            || (streak >= self.needed(seen, probation) && span >= self.hold(probation))
    }

    /// The same while nothing is clear, so that real questions are the trial.
    pub(in crate::route) fn is_earned_in_need(&self, now: Time) -> bool {
        let (streak, span) = (self.streak.count, now.since(self.streak.from));
        let times = match Rule::RelapsesInNeed.stands() {
            true => 1 << self.relapses.min(RELAPSES_DESPERATE),
            false => 1,
        };
        let slow = streak >= STREAK_SLOW * times && span >= times * STREAK_SLOW_SPAN;
        streak > 0
            && self.streak.is_solid()
            && (streak >= STREAK * times || slow && Rule::SlowStreak.stands())
    }

    /// Good answers in a row that earn a return: enough to make the loss that was seen unlikely to be
    /// still there, and twice as many each time that a return did not last.
    fn needed(&self, seen: &Counts, probation: &Probation) -> u32 {
        let bad = seen.lost + seen.poor;
        let before = seen.attempts.saturating_sub(self.streak.count);
        let seen = (2 * before).checked_div(bad).unwrap_or_default();
        seen.max(probation.least << self.relapses)
            .min(probation.many)
    }

    fn hold(&self, probation: &Probation) -> Duration {
        if self.relapses == 0 {
            probation.hold
        } else {
            probation.hold_relapsed
        }
    }

    /// It begins to come back, or has, on its streak of good answers if there is one.
    pub(in crate::route) fn rely(&mut self) {
        if self.streak.count > 0 {
            self.relief = self.streak.sent;
        }
    }

    /// What it showed is forgotten.
    pub(in crate::route) fn forget(&mut self) {
        self.streak = Streak::default();
        self.last_late = None;
    }

    /// It is clear again.
    pub(in crate::route) fn complete(&mut self, now: Time) {
        self.cleared = now;
    }

    /// It is left. `recovering`: it was on its way back.
    pub(in crate::route) fn begin(&mut self, recovering: bool, now: Time, probation: &Probation) {
        let broken = recovering || now.since(self.cleared) < probation.memory;
        self.relapses = if broken && Rule::Relapses.stands() {
            (self.relapses + 1).min(RELAPSES)
        } else {
            0
        };
        self.gap = (probation.first * (1 << self.relapses)).min(probation.longest);
        self.trial = now + self.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(100);

    /// Good answers to so many attempts in a row, 10 ms apart.
    fn streak(count: u32) -> Streak {
        let mut streak = Streak::default();
        for serial in 0..count {
            streak.grow(serial, NOW, NOW + Duration::from_millis(10) * serial);
        }
        streak
    }

    fn lossy() -> Counts {
        Counts {
            attempts: 40,
            lost: 8,
            ..Counts::default()
        }
    }

    #[test]
    fn a_doubt_is_over_sooner_than_proven_loss() {
        let probation = Probation::new(Duration::from_secs(10));
        let mut comeback = Comeback {
            streak: streak(3),
            ..Comeback::default()
        };
        let later = NOW + Duration::from_secs(1);
        assert!(comeback.is_earned(true, &lossy(), later, &probation));
        comeback.streak = streak(2);
        assert!(!comeback.is_earned(true, &lossy(), later, &probation));
    }

    #[test]
    fn each_return_that_did_not_last_makes_the_next_one_harder() {
        let mut probation = Probation::new(Duration::from_secs(10));
        probation.suit(1_000.0);
        let mut comeback = Comeback::default();
        let needed: Vec<u32> = (0..4)
            .map(|_| {
                comeback.begin(true, NOW, &probation);
                comeback.needed(&Counts::default(), &probation)
            })
            .collect();
        assert_eq!(needed, [6, 12, 24, 24]);
        comeback.begin(false, NOW + probation.memory, &probation);
        assert_eq!(comeback.needed(&Counts::default(), &probation), LEAST);
    }

    #[test]
    fn trials_come_further_apart_and_never_further_than_allowed() {
        let probation = Probation::new(Duration::from_secs(10));
        let mut comeback = Comeback::default();
        comeback.begin(false, NOW, &probation);
        assert_eq!(comeback.trial_due(), NOW + probation.first);
        for _ in 0..5 {
            comeback.trying(NOW, &probation, 1.0);
            assert!(comeback.trial_due() <= NOW + probation.longest.mul_f32(1.0 + JITTER));
        }
        comeback.try_now(NOW);
        assert_eq!(comeback.trial_due(), NOW);
    }

    #[test]
    fn a_queue_that_drains_is_tried_again_soon() {
        let probation = Probation::new(Duration::from_secs(10));
        let mut comeback = Comeback::default();
        comeback.begin(false, NOW, &probation);
        let late = |millis| Observed {
            took: Some(Duration::from_millis(millis)),
            ..Observation::Late.into()
        };
        for (millis, due) in [
            (900, probation.first),
            (800, probation.first),
            (500, DRAIN_STEP),
        ] {
            comeback.hasten(late(millis), &Counts::default(), NOW, &probation);
            assert_eq!(comeback.trial_due(), NOW + due, "after {millis} ms");
        }
    }
}
