//! Verdicts.
//!
//! Two running sums (Page's CUSUM over log-likelihood ratios) turn single outcomes into suspicion.
//! The first weighs loss: one in twenty against one in two hundred. A lost attempt adds 2.3, an
//! answered one takes 0.05 away, and trust earned lately counts for a second only. So one lost
//! question is enough at ten a second, where waiting for the next means a second slow client; at a
//! thousand a second it takes two close together. The second weighs lateness: three answers in four
//! later than the route's far tail in health, against what chance and slow questions do.
//!
//! Suspicion is cheap and is undone cheaply. A bad verdict needs more: at least three bad attempts
//! over a tenth of a second, and it is left only by earning it: a streak of good answers, longer the
//! more often the same promise was broken, then a growing share of the traffic.

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::constants::judge::probation::{SHARE_FIRST, SHARE_SECOND, SHARE_THIRD};
use crate::route::constants::judge::proof::*;
use crate::route::constants::judge::suspicion::*;
use crate::route::judge::comeback::Comeback;
use crate::route::judge::counts::{Change, Counts, Observation, Observed, Streak};
use crate::route::judge::probation::Probation;
use crate::route::judge::transitions::{Signal, next};
use crate::route::rules::Rule;

/// What is believed of one route, path or upstream, and why.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What proven loss and lateness make of it.
    jammed: Verdict,
    verdict: Verdict,
    since: Time,
    loss: f32,
    late: f32,
    late_at: Time,
    poor: f32,
    faded: Time,
    counts: Counts,
    lost_in_row: u32,
    answered: Time,
    comeback: Comeback,
    /// Times it was declared dead in this trouble.
    deaths: u32,
}

impl Health {
    /// Of a route or a path: what holds packets up or loses them is congested.
    pub fn of_a_way() -> Health {
        Health {
            jammed: Verdict::Congested,
            ..Health::default()
        }
    }

    /// Of a server: one that is late, whatever the way, is sick.
    pub fn of_a_server() -> Health {
        Health {
            jammed: Verdict::Sick,
            ..Health::default()
        }
    }

    /// What is believed.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Since when.
    pub fn since(&self) -> Time {
        self.since
    }

    /// When the trouble under way began to show; `None` without trouble.
    pub fn onset(&self) -> Option<Time> {
        let trouble = !matches!(self.verdict, Verdict::Clear | Verdict::Recovering);
        trouble.then_some(self.counts.from)
    }

    /// Outcomes since the trouble began to show.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Good answers in a row, as far as they count for a return.
    pub fn streak(&self) -> Streak {
        self.comeback.streak
    }

    /// What was sent before this says nothing against it any more.
    pub fn relief(&self) -> Time {
        self.comeback.relief()
    }

    /// When it should be tried again.
    pub fn trial_due(&self) -> Time {
        if self.verdict == Verdict::Clear {
            Time::NEVER
        } else {
            self.comeback.trial_due()
        }
    }

    /// A trial goes out: the next one is due later, and later each time, with `jitter` in 0..1.
    pub fn trying(&mut self, now: Time, probation: &Probation, jitter: f32) {
        self.comeback.trying(now, probation, jitter);
    }

    /// Makes the next trial due at once: something says that it may be worth it.
    pub fn try_now(&mut self, now: Time) {
        self.comeback.try_now(now);
    }

    /// It was in trouble not long ago and is clear now.
    pub fn returned_lately(&self, now: Time, probation: &Probation) -> bool {
        self.verdict == Verdict::Clear
            && self.comeback.cleared() != Time::default()
            && now.since(self.comeback.cleared()) < probation.memory
    }

    /// A server that answers uselessly, and nothing since says that it got better.
    pub fn is_useless(&self) -> bool {
        self.verdict != Verdict::Clear && self.poor > FORGIVEN && self.streak().count == 0
    }

    /// Bad attempts since the trouble began to show.
    pub fn bad(&self) -> u32 {
        self.counts.lost + self.counts.late + self.counts.poor
    }

    /// Share of questions that a recovering one may take.
    pub fn share(&self, now: Time, probation: &Probation) -> f32 {
        match self.verdict {
            Verdict::Clear => 1.0,
            Verdict::Recovering if !Rule::Shares.stands() => 1.0,
            Verdict::Recovering => {
                let done =
                    now.since(self.since).as_secs_f32() / probation.ramp.as_secs_f32().max(1e-3);
                if done < SHARE_FIRST.1 {
                    SHARE_FIRST.0
                } else if done < SHARE_SECOND.1 {
                    SHARE_SECOND.0
                } else {
                    SHARE_THIRD
                }
            }
            _ => 0.0,
        }
    }

    /// Takes in one outcome of an attempt made at `sent`, and the streak of good answers that counts for a
    /// return with it. `desperate`: nothing is clear, so real questions are the trial.
    pub fn note(
        &mut self,
        observed: impl Into<Observed>,
        streak: Streak,
        sent: Time,
        now: Time,
        probation: &Probation,
        desperate: bool,
    ) -> Option<Change> {
        let observed = observed.into();
        let observation = observed.observation;
        if self.is_old_news(observation, sent) {
            return None;
        }
        self.weigh(observed, now);
        self.comeback.streak = streak;
        if self.verdict != Verdict::Clear {
            self.comeback.hasten(observed, &self.counts, now, probation);
        }
        let worse = !observation.is_blameless();
        self.judge(worse, now, probation, desperate)
    }

    /// Usefully answered while clear: takes from what useless answers added.
    pub fn useful(&mut self) {
        self.poor = (self.poor - USEFUL).max(0.0);
    }

    /// Lets time do its part: shares grow.
    pub fn turn(&mut self, now: Time, probation: &Probation) -> Option<Change> {
        let grown = now.since(self.since) >= probation.ramp;
        let to = next(self.verdict, self.jammed, |it| it == Signal::Grown && grown)?;
        self.change(to, now, probation)
    }

    /// Found guilty from outside, on what others showed as well as on its own.
    pub fn accuse(
        &mut self,
        verdict: Verdict,
        counts: Counts,
        now: Time,
        probation: &Probation,
    ) -> Option<Change> {
        self.counts = counts;
        self.comeback.streak = Streak::default();
        // It returns by trials, not because nothing more was seen of it.
        if Rule::Distrust.stands() {
            self.loss = DISTRUST;
        }
        self.change(verdict, now, probation)
    }

    /// Found innocent from outside: another explained what it showed before `relief`.
    pub fn absolve(&mut self, relief: Time, now: Time, probation: &Probation) -> Option<Change> {
        self.forget();
        self.comeback.relieve(relief);
        self.change(Verdict::Clear, now, probation)
    }

    /// So many losses were not its doing. One of which nothing else is known is clear again, as if they had never
    /// been counted, if it `may` be.
    pub fn withdraw(
        &mut self,
        losses: u32,
        may: bool,
        now: Time,
        probation: &Probation,
    ) -> Option<Change> {
        let weight = losses as f32;
        self.loss = (self.loss - weight * LOST).max(-TRUST);
        self.late = (self.late - weight * LATE).max(0.0);
        self.counts.lost = self.counts.lost.saturating_sub(losses);
        self.counts.attempts = self.counts.attempts.saturating_sub(losses);
        self.lost_in_row = self.lost_in_row.saturating_sub(losses);
        if !may || self.onset().is_none() || self.bad() > 0 {
            return None;
        }
        let cleared = self.comeback.cleared();
        let change = self.absolve(self.relief(), now, probation);
        self.comeback.never_mind(cleared);
        change
    }

    /// What was sent before the good answers that speak for a return says nothing against it: a queue
    /// that drains still delivers, late.
    fn is_old_news(&self, observation: Observation, sent: Time) -> bool {
        let bad = !matches!(observation, Observation::Good | Observation::Poor { .. });
        let streak = self.streak();
        let since = match self.verdict != Verdict::Clear && streak.count > 0 {
            true => self.relief().max(streak.sent),
            false => self.relief(),
        };
        bad && sent < since && Rule::OldNews.stands()
    }

    fn weigh(&mut self, observed: Observed, now: Time) {
        let observation = observed.observation;
        self.fade(now);
        let at_peace = self.verdict == Verdict::Clear
            && self.loss <= FORGIVEN
            && self.late <= FORGIVEN
            && self.poor <= FORGIVEN;
        if at_peace {
            self.counts = Counts::default();
        }
        if !(at_peace && observation.is_blameless()) {
            self.counts.add(observed, now);
        }
        if observation != Observation::Lost {
            self.answered = now;
            self.lost_in_row = 0;
            self.loss = (self.loss - CARRIED).max(-TRUST);
        }
        match observation {
            Observation::Good => {
                self.late = (self.late - TIMELY).max(0.0);
                self.poor = (self.poor - USEFUL).max(0.0);
            }
            // What waited for one hiccup, the host's own perhaps, comes all at once: it is one message.
            Observation::Late if now.since(self.late_at) < BUNCH && Rule::Bunch.stands() => {
                self.late_at = now;
            }
            Observation::Late => {
                self.late_at = now;
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Observation::Censored | Observation::Slow { found: false } => {}
            Observation::Slow { found: true } => {
                self.loss = (self.loss - LOST).max(-TRUST);
                self.late = (self.late - LATE).max(0.0);
            }
            Observation::Found => self.loss = (self.loss - LOST).max(-TRUST),
            Observation::Resent { counted: true } => {}
            Observation::Resent { counted: false } => {
                self.loss = (self.loss + LOST).min(DISTRUST);
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Observation::Lost => {
                self.lost_in_row += 1;
                self.loss = (self.loss + LOST).min(DISTRUST);
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Observation::Poor { compared, .. } => {
                let weight = if compared { POOR } else { POOR_ALONE };
                self.poor = (self.poor + weight).min(POOR_MAX);
            }
        }
    }

    /// What follows from what was seen. `worse`: the last outcome speaks against it.
    fn judge(
        &mut self,
        worse: bool,
        now: Time,
        probation: &Probation,
        desperate: bool,
    ) -> Option<Change> {
        let to = next(self.verdict, self.jammed, |signal| {
            self.sees(signal, worse, now, probation, desperate)
        })?;
        self.change(to, now, probation)
    }

    fn sees(
        &self,
        signal: Signal,
        worse: bool,
        now: Time,
        probation: &Probation,
        desperate: bool,
    ) -> bool {
        let at_peace = matches!(self.verdict, Verdict::Clear | Verdict::Recovering);
        let doubted = self.verdict == Verdict::Suspect;
        match signal {
            Signal::Useless => self.poor >= SICK && (worse || at_peace),
            Signal::Suspicious => self.loss >= SUSPECT_LOSS || self.late >= SUSPECT_LATE,
            Signal::EarnedAtOnce if desperate => self.comeback.is_earned_in_need(now),
            Signal::EarnedAtOnce => doubted && self.is_earned(now, probation),
            Signal::Earned => !desperate && self.is_earned(now, probation),
            Signal::Answered => self.lost_in_row == 0,
            // A server that answered uselessly just now is not dead.
            Signal::Silent => {
                let useless = self.verdict == Verdict::Sick
                    && self.poor >= FORGIVEN
                    && Rule::UselessIsAlive.stands();
                worse && !useless && self.is_dead(now)
            }
            Signal::Proven => worse && self.is_jammed(now),
            // Time says so, not an outcome.
            Signal::Grown => false,
        }
    }

    fn is_earned(&self, now: Time, probation: &Probation) -> bool {
        let calm = self.loss <= FORGIVEN && self.late <= FORGIVEN && self.poor <= FORGIVEN;
        let doubted = self.verdict == Verdict::Suspect && calm;
        self.comeback
            .is_earned(doubted, &self.counts, now, probation)
    }

    fn is_dead(&self, now: Time) -> bool {
        // One that answered after all is given longer the next time.
        let deaths = match Rule::SlowerDeath.stands() {
            true => self.deaths.min(DEATHS),
            false => 0,
        };
        let span = DEATH_SPAN * (1 << deaths);
        self.lost_in_row >= PROOF
            && now.since(self.answered) >= span
            && now.since(self.counts.from) >= span
    }

    fn is_jammed(&self, now: Time) -> bool {
        let Counts {
            attempts,
            lost,
            late,
            ..
        } = self.counts;
        let share = |count: u32| count as f32 / attempts.max(1) as f32;
        lost + late >= PROOF
            && now.since(self.counts.from) >= PROOF_SPAN
            && (lost >= PROOF && share(lost) >= MOSTLY && Rule::MostlyLost.stands()
                || lost >= PROOF_AMONG + attempts / ORDINARY
                    && share(lost) >= LOSSY
                    && Rule::ManyLost.stands()
                || share(lost + late) >= LATE_SHARE && Rule::MostlyLate.stands())
    }

    fn change(&mut self, to: Verdict, now: Time, probation: &Probation) -> Option<Change> {
        let from = self.verdict;
        if from == to {
            return None;
        }
        let improving = matches!(to, Verdict::Clear | Verdict::Recovering);
        let Streak {
            count, from: since, ..
        } = self.streak();
        let good = Counts {
            attempts: count,
            from: since,
            ..Counts::default()
        };
        let counts = if improving { good } else { self.counts };
        if improving {
            self.comeback.rely();
        }
        self.deaths += u32::from(to == Verdict::Dead);
        let change = Change {
            from,
            to,
            counts,
            relief: self.relief(),
        };
        self.verdict = to;
        self.since = now;
        if improving {
            self.forget();
            if to == Verdict::Clear {
                self.comeback.complete(now);
            }
        } else if matches!(from, Verdict::Clear | Verdict::Recovering) {
            self.comeback
                .begin(from == Verdict::Recovering, now, probation);
        }
        Some(change)
    }

    fn forget(&mut self) {
        (self.loss, self.late, self.poor) = (0.0, 0.0, 0.0);
        self.counts = Counts::default();
        self.comeback.forget();
        (self.lost_in_row, self.deaths) = (0, 0);
    }

    fn fade(&mut self, now: Time) {
        let dt = now.since(self.faded);
        if dt < FADE_STEP {
            return;
        }
        self.faded = now;
        if dt > STALE && self.verdict == Verdict::Clear {
            (self.loss, self.late, self.poor) = (0.0, 0.0, 0.0);
            return;
        }
        if self.loss < 0.0 {
            if Rule::TrustFades.stands() {
                self.loss *= (-dt.as_secs_f32() / TRUST_FADES.as_secs_f32()).exp();
            }
        } else if Rule::SuspicionFades.stands() {
            // Old suspicion of one that stayed clear is forgotten too, over ten times as long.
            self.loss *= (-dt.as_secs_f32() / (SUSPICION_FADES * TRUST_FADES.as_secs_f32())).exp();
        }
        if Rule::SuspicionFades.stands() {
            self.poor *= (-dt.as_secs_f32() / (SUSPICION_FADES * TRUST_FADES.as_secs_f32())).exp();
        }
    }
}

#[cfg(test)]
mod tests;
