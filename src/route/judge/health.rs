//! Verdicts.
//!
//! Two running sums (Page's CUSUM over log-likelihood ratios) turn single outcomes into suspicion.
//! The first weighs loss: one in twenty against one in two hundred. A lost attempt adds 2.3, an
//! answered one takes 0.05 away, and trust earned lately counts for a second only. So one lost
//! question is enough at ten a second, where waiting for the next means a second slow client; at a
//! thousand a second it takes two close together. The second weighs lateness: three answers in four
//! later than the route's far tail in health, against what chance and hard questions do.
//!
//! Suspicion is cheap and is undone cheaply. A bad verdict needs more: at least three bad attempts
//! over a tenth of a second, and it is left only by earning it: a row of good answers, longer the
//! more often the same promise was broken, then a growing share of the traffic.

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::constants::judge::probation::{SHARE_FIRST, SHARE_SECOND, SHARE_THIRD};
use crate::route::constants::judge::proof::*;
use crate::route::constants::judge::suspicion::*;
use crate::route::judge::comeback::Comeback;
use crate::route::judge::counts::{Change, Row, Sample, Shown, Tally};
use crate::route::judge::probation::Patience;
use crate::route::judge::transitions::{Signal, next};

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
    tally: Tally,
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
        trouble.then_some(self.tally.from)
    }

    /// Outcomes since the trouble began to show.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Good answers in a row, as far as they count for a return.
    pub fn row(&self) -> Row {
        self.comeback.row
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
    pub fn trying(&mut self, now: Time, patience: &Patience, jitter: f32) {
        self.comeback.trying(now, patience, jitter);
    }

    /// Makes the next trial due at once: something says that it may be worth it.
    pub fn try_now(&mut self, now: Time) {
        self.comeback.try_now(now);
    }

    /// It was in trouble not long ago and is clear now.
    pub fn returned_lately(&self, now: Time, patience: &Patience) -> bool {
        self.verdict == Verdict::Clear
            && self.comeback.cleared() != Time::default()
            && now.since(self.comeback.cleared()) < patience.memory
    }

    /// A server that answers uselessly, and nothing since says that it got better.
    pub fn is_useless(&self) -> bool {
        self.verdict != Verdict::Clear && self.poor > FORGIVEN && self.row().count == 0
    }

    /// Bad attempts since the trouble began to show.
    pub fn bad(&self) -> u32 {
        self.tally.lost + self.tally.late + self.tally.poor
    }

    /// Share of questions that a recovering one may take.
    pub fn share(&self, now: Time, patience: &Patience) -> f32 {
        match self.verdict {
            Verdict::Clear => 1.0,
            Verdict::Recovering => {
                let done =
                    now.since(self.since).as_secs_f32() / patience.ramp.as_secs_f32().max(1e-3);
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

    /// Takes in one outcome of an attempt made at `sent`, and the row of good answers that counts for a
    /// return with it. `desperate`: nothing is clear, so real questions are the trial.
    pub fn note(
        &mut self,
        shown: impl Into<Shown>,
        row: Row,
        sent: Time,
        now: Time,
        patience: &Patience,
        desperate: bool,
    ) -> Option<Change> {
        let shown = shown.into();
        let sample = shown.sample;
        if self.is_old_news(sample, sent) {
            return None;
        }
        self.weigh(shown, now);
        self.comeback.row = row;
        if self.verdict != Verdict::Clear {
            self.comeback.hasten(shown, &self.tally, now, patience);
        }
        let worse = !sample.is_blameless();
        self.judge(worse, now, patience, desperate)
    }

    /// Usefully answered while clear: takes from what useless answers added.
    pub fn useful(&mut self) {
        self.poor = (self.poor - USEFUL).max(0.0);
    }

    /// Lets time do its part: shares grow.
    pub fn turn(&mut self, now: Time, patience: &Patience) -> Option<Change> {
        let grown = now.since(self.since) >= patience.ramp;
        let to = next(self.verdict, self.jammed, |it| it == Signal::Grown && grown)?;
        self.change(to, now, patience)
    }

    /// Found guilty from outside, on what others showed as well as on its own.
    pub fn accuse(
        &mut self,
        verdict: Verdict,
        tally: Tally,
        now: Time,
        patience: &Patience,
    ) -> Option<Change> {
        self.tally = tally;
        self.comeback.row = Row::default();
        // It returns by trials, not because nothing more was seen of it.
        self.loss = DISTRUST;
        self.change(verdict, now, patience)
    }

    /// Found innocent from outside: another explained what it showed before `relief`.
    pub fn absolve(&mut self, relief: Time, now: Time, patience: &Patience) -> Option<Change> {
        self.forget();
        self.comeback.relieve(relief);
        self.change(Verdict::Clear, now, patience)
    }

    /// So many losses were not its doing. One of which nothing else is known is clear again, as if they had never
    /// been counted, if it `may` be.
    pub fn withdraw(
        &mut self,
        losses: u32,
        may: bool,
        now: Time,
        patience: &Patience,
    ) -> Option<Change> {
        let weight = losses as f32;
        self.loss = (self.loss - weight * LOST).max(-TRUST);
        self.late = (self.late - weight * LATE).max(0.0);
        self.tally.lost = self.tally.lost.saturating_sub(losses);
        self.tally.attempts = self.tally.attempts.saturating_sub(losses);
        self.lost_in_row = self.lost_in_row.saturating_sub(losses);
        if !may || self.onset().is_none() || self.bad() > 0 {
            return None;
        }
        let cleared = self.comeback.cleared();
        let change = self.absolve(self.relief(), now, patience);
        self.comeback.never_mind(cleared);
        change
    }

    /// What was sent before the good answers that speak for a return says nothing against it: a queue
    /// that drains still delivers, late.
    fn is_old_news(&self, sample: Sample, sent: Time) -> bool {
        let bad = !matches!(sample, Sample::Good | Sample::Poor { .. });
        let row = self.row();
        let since = match self.verdict != Verdict::Clear && row.count > 0 {
            true => self.relief().max(row.sent),
            false => self.relief(),
        };
        bad && sent < since
    }

    fn weigh(&mut self, shown: Shown, now: Time) {
        let sample = shown.sample;
        self.fade(now);
        let at_peace = self.verdict == Verdict::Clear
            && self.loss <= FORGIVEN
            && self.late <= FORGIVEN
            && self.poor <= FORGIVEN;
        if at_peace {
            self.tally = Tally::default();
        }
        if !(at_peace && sample.is_blameless()) {
            self.tally.add(shown, now);
        }
        if sample != Sample::Lost {
            self.answered = now;
            self.lost_in_row = 0;
            self.loss = (self.loss - CARRIED).max(-TRUST);
        }
        match sample {
            Sample::Good => {
                self.late = (self.late - TIMELY).max(0.0);
                self.poor = (self.poor - USEFUL).max(0.0);
            }
            // What waited for one hiccup, the host's own perhaps, comes all at once: it is one message.
            Sample::Late if now.since(self.late_at) < BUNCH => self.late_at = now,
            Sample::Late => {
                self.late_at = now;
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Sample::Censored | Sample::Hard { found: false } => {}
            Sample::Hard { found: true } => {
                self.loss = (self.loss - LOST).max(-TRUST);
                self.late = (self.late - LATE).max(0.0);
            }
            Sample::Found => self.loss = (self.loss - LOST).max(-TRUST),
            Sample::Resent { counted: true } => {}
            Sample::Resent { counted: false } => {
                self.loss = (self.loss + LOST).min(DISTRUST);
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Sample::Lost => {
                self.lost_in_row += 1;
                self.loss = (self.loss + LOST).min(DISTRUST);
                self.late = (self.late + LATE).min(LATE_MAX);
            }
            Sample::Poor { compared, .. } => {
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
        patience: &Patience,
        desperate: bool,
    ) -> Option<Change> {
        let to = next(self.verdict, self.jammed, |signal| {
            self.sees(signal, worse, now, patience, desperate)
        })?;
        self.change(to, now, patience)
    }

    fn sees(
        &self,
        signal: Signal,
        worse: bool,
        now: Time,
        patience: &Patience,
        desperate: bool,
    ) -> bool {
        let at_peace = matches!(self.verdict, Verdict::Clear | Verdict::Recovering);
        let doubted = self.verdict == Verdict::Suspect;
        match signal {
            Signal::Useless => self.poor >= SICK && (worse || at_peace),
            Signal::Suspicious => self.loss >= SUSPECT_LOSS || self.late >= SUSPECT_LATE,
            Signal::EarnedAtOnce if desperate => self.comeback.is_earned_in_need(now),
            Signal::EarnedAtOnce => doubted && self.is_earned(now, patience),
            Signal::Earned => !desperate && self.is_earned(now, patience),
            Signal::Answered => self.lost_in_row == 0,
            // A server that answered uselessly just now is not dead.
            Signal::Silent => {
                let useless = self.verdict == Verdict::Sick && self.poor >= FORGIVEN;
                worse && !useless && self.is_dead(now)
            }
            Signal::Proven => worse && self.is_jammed(now),
            // Time says so, not an outcome.
            Signal::Grown => false,
        }
    }

    fn is_earned(&self, now: Time, patience: &Patience) -> bool {
        let calm = self.loss <= FORGIVEN && self.late <= FORGIVEN && self.poor <= FORGIVEN;
        let doubted = self.verdict == Verdict::Suspect && calm;
        self.comeback.is_earned(doubted, &self.tally, now, patience)
    }

    fn is_dead(&self, now: Time) -> bool {
        // One that answered after all is given longer the next time.
        let span = DEATH_SPAN * (1 << self.deaths.min(DEATHS));
        self.lost_in_row >= PROOF
            && now.since(self.answered) >= span
            && now.since(self.tally.from) >= span
    }

    fn is_jammed(&self, now: Time) -> bool {
        let Tally {
            attempts,
            lost,
            late,
            ..
        } = self.tally;
        let share = |count: u32| count as f32 / attempts.max(1) as f32;
        lost + late >= PROOF
            && now.since(self.tally.from) >= PROOF_SPAN
            && (lost >= PROOF && share(lost) >= MOSTLY
                || lost >= PROOF_AMONG + attempts / ORDINARY && share(lost) >= LOSSY
                || share(lost + late) >= LATE_SHARE)
    }

    fn change(&mut self, to: Verdict, now: Time, patience: &Patience) -> Option<Change> {
        let from = self.verdict;
        if from == to {
            return None;
        }
        let improving = matches!(to, Verdict::Clear | Verdict::Recovering);
        let Row {
            count, from: since, ..
        } = self.row();
        let good = Tally {
            attempts: count,
            from: since,
            ..Tally::default()
        };
        let tally = if improving { good } else { self.tally };
        if improving {
            self.comeback.rely();
        }
        self.deaths += u32::from(to == Verdict::Dead);
        let change = Change {
            from,
            to,
            tally,
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
                .begin(from == Verdict::Recovering, now, patience);
        }
        Some(change)
    }

    fn forget(&mut self) {
        (self.loss, self.late, self.poor) = (0.0, 0.0, 0.0);
        self.tally = Tally::default();
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
            self.loss *= (-dt.as_secs_f32() / TRUST_FADES.as_secs_f32()).exp();
        } else {
            // Old suspicion of one that stayed clear is forgotten too, over ten times as long.
            self.loss *= (-dt.as_secs_f32() / (SUSPICION_FADES * TRUST_FADES.as_secs_f32())).exp();
        }
        self.poor *= (-dt.as_secs_f32() / (SUSPICION_FADES * TRUST_FADES.as_secs_f32())).exp();
    }
}

#[cfg(test)]
mod tests;
