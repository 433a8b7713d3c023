//! What extra packets cost.
//!
//! A question needs one packet upstream; each further one is paid for. Every purse here is a token
//! bucket that fills over time or with primaries and holds no more than a short while's worth: a
//! lifetime ratio would bank hours of health and spend them in the jam. Two kinds of trouble need two
//! purses: moving what hangs on a failing route onto a clear one wants a short, sharp burst; a
//! steady drizzle of hedges must stay a small share. While nothing is clear a third one, the
//! ceiling, pays for every packet, the first ones too. What is paid from which is one table ([`prices`]).

pub mod bucket;
pub mod prices;

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::spend::budget::*;
use crate::route::rules::Rule;
use crate::route::spend::bucket::Bucket;
use crate::route::spend::prices::{Charge, Counts, Pays, Purse};

/// All purses, and the count of what went out.
#[derive(Clone, Debug)]
pub struct Budgets {
    share: f64,
    multiple: f64,
    purses: [Bucket; Purse::ALL.len()],
    /// Packets a second in health.
    healthy: f64,
    healthy_seconds: f64,
    second: u64,
    this_second: Second,
    disturbed: bool,
    minute: [Second; 60],
    present: f64,
    present_at: Time,
    demand: f64,
    demand_at: Time,
    /// Routes that are measured while they are idle.
    idle: f64,
    /// When the first question came.
    asked_since: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    primaries: u32,
    extras: u32,
}

impl Budgets {
    /// `share` of primaries for extras; `multiple` of the healthy rate as ceiling.
    pub fn new(share: f64, multiple: f64, now: Time) -> Budgets {
        let mut budgets = Budgets {
            share,
            multiple,
            purses: Purse::ALL.map(|_| Bucket::new(0.0, 0.0, now)),
            healthy: 0.0,
            healthy_seconds: 0.0,
            second: now.secs(),
            this_second: Second::default(),
            disturbed: false,
            minute: [Second::default(); 60],
            present: 0.0,
            present_at: now,
            demand: 0.0,
            demand_at: now,
            idle: 0.0,
            asked_since: None,
        };
        budgets.resize(now);
        // All are full at first.
        for purse in &mut budgets.purses {
            purse.deposit(purse.cap());
        }
        budgets
    }

    /// The operator has set other shares. What is in the purses stays, as far as they hold it.
    pub fn set_shares(&mut self, share: f64, multiple: f64, now: Time) {
        (self.share, self.multiple) = (share, multiple);
        self.resize(now);
    }

    /// Closes past seconds. `clear`: something is clear; only such seconds teach the healthy rate.
    pub fn turn(&mut self, now: Time, clear: bool) {
        self.disturbed |= !clear;
        let second = now.secs();
        if second == self.second {
            return;
        }
        let passed = second.saturating_sub(self.second);
        self.minute[(self.second % 60) as usize] = self.this_second;
        for gone in 1..passed.min(60) {
            self.minute[((self.second + gone) % 60) as usize] = Second::default();
        }
        if !self.disturbed || !Rule::HealthOnly.stands() {
            let packets = f64::from(self.this_second.primaries + self.this_second.extras);
            for seen in [packets]
                .into_iter()
                .chain((1..passed.min(60)).map(|_| 0.0))
            {
                self.healthy_seconds = (self.healthy_seconds + 1.0).min(HEALTH_SECS);
                self.healthy += (seen - self.healthy) / self.healthy_seconds;
            }
        }
        self.second = second;
        self.this_second = Second::default();
        self.disturbed = !clear;
        self.resize(now);
    }

    /// Pays for a packet, if that can be paid.
    pub fn pay(&mut self, charge: Charge, now: Time) -> bool {
        let (ways, counts) = charge.due();
        let Some(way) = ways.iter().find(|way| self.can(way, now)) else {
            return false;
        };
        for pays in *way {
            let (Pays::One(purse)
            | Pays::Beyond(purse, _)
            | Pays::BeyondShare(purse, _)
            | Pays::Owes(purse)) = *pays;
            self.of(purse).charge(1.0, now);
        }
        match counts {
            Counts::Earning => {
                self.this_second.primaries += 1;
                let share = self.share;
                let steady = self.of(Purse::Steady);
                steady.fill(now);
                steady.deposit(share);
            }
            Counts::Own => self.this_second.primaries += 1,
            Counts::Extra => self.this_second.extras += 1,
            Counts::Not => {}
        }
        true
    }

    /// Whether a packet could be paid now.
    pub fn may_pay(&mut self, charge: Charge, now: Time) -> bool {
        let (ways, _) = charge.due();
        ways.iter().any(|way| self.can(way, now))
    }

    fn can(&mut self, way: &[Pays], now: Time) -> bool {
        way.iter().all(|pays| match *pays {
            Pays::One(purse) => self.of(purse).has(1.0, now),
            Pays::Beyond(purse, _) if !Rule::LastTokens.stands() => self.of(purse).has(1.0, now),
            Pays::Beyond(purse, more) => self.of(purse).has(1.0 + more, now),
            Pays::BeyondShare(purse, _) if !Rule::FirstReserve.stands() => {
                self.of(purse).has(1.0, now)
            }
            Pays::BeyondShare(purse, share) => {
                let kept = self.of(purse).cap() * share;
                self.of(purse).has(1.0 + kept, now)
            }
            Pays::Owes(_) => true,
        })
    }

    fn of(&mut self, purse: Purse) -> &mut Bucket {
        &mut self.purses[purse as usize]
    }

    fn purse(&self, purse: Purse) -> &Bucket {
        &self.purses[purse as usize]
    }

    /// An answer came that was waited for.
    pub fn earn(&mut self, now: Time) {
        let earned = self.of(Purse::Earned);
        earned.fill(now);
        earned.deposit(ANSWER_EARNS);
    }

    /// So many routes are measured while they are idle.
    pub fn provide_for(&mut self, routes: usize, now: Time) {
        self.idle = routes as f64;
        self.resize(now);
    }

    /// Packets a second in health, as far as it was seen.
    pub fn healthy_rate(&self) -> f64 {
        self.healthy
    }

    /// A question came, whether there is room for it or not: it counts in the present demand, once. What is asked
    /// again does not, or losses would look like demand.
    pub fn wanted(&mut self, now: Time) {
        self.present = self.present_rate(now) + 1.0 / PRESENT_SECS;
        self.present_at = now;
    }

    /// A question came, in an outage too: it counts in what the floors of the purses follow.
    pub fn asked(&mut self, now: Time) {
        self.demand = self.demand_left(now) + 1.0 / DEMAND_SECS;
        self.demand_at = now;
        self.asked_since.get_or_insert(now);
        // Where health sees more than that, it alone decides.
        if self.known() < 1.0 || self.multiple * self.healthy < CEILING_WAKES {
            self.resize(now);
        }
    }

    fn demand_left(&self, now: Time) -> f64 {
        self.demand * (-now.since(self.demand_at).as_secs_f64() / DEMAND_SECS).exp()
    }

    /// Questions a second at present, over three seconds or for as long as there are any.
    fn demand(&self, now: Time) -> f64 {
        let age = self
            .asked_since
            .map_or(0.0, |since| now.since(since).as_secs_f64());
        self.demand_left(now) / (1.0 - (-age.max(DEMAND_LEAST_SECS) / DEMAND_SECS).exp())
    }

    /// How far it is known what health asks for, in 0..1.
    fn known(&self) -> f64 {
        (self.healthy_seconds / KNOWN_SECS).min(1.0)
    }

    /// Packets a second that are wanted at present, over a tenth of a second or so.
    pub fn present_rate(&self, now: Time) -> f64 {
        self.present * (-now.since(self.present_at).as_secs_f64() / PRESENT_SECS).exp()
    }

    /// So much more is wanted than in health that byway is its own jam.
    pub fn is_surging(&self, now: Time) -> bool {
        self.present_rate(now) > SURGE * self.healthy.max(SURGE_MIN)
    }

    /// The surge is such that what upstreams can do is for names that are not known.
    pub fn is_flooded(&self, now: Time) -> bool {
        self.present_rate(now) > FLOOD * self.healthy.max(SURGE_MIN)
    }

    /// This second doesn't show health: a question found no room.
    pub fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// Takes up the healthy rate that an earlier process knew.
    pub fn recall_rate(&mut self, rate: f64, now: Time) {
        if self.healthy_seconds == 0.0 && rate.is_finite() && rate > 0.0 {
            // Half a memory's worth: soon corrected.
            (self.healthy, self.healthy_seconds) = (rate, HEALTH_SECS * RECALLED);
            self.resize(now);
        }
    }

    /// The ceiling, in packets a second.
    pub fn ceiling_rate(&self) -> f64 {
        self.purse(Purse::Ceiling).rate()
    }

    /// What it is to be: a multiple of what health asked for, or is asked at present as long as that is not known.
    /// No daemon has a right to more because it is asked for little: a thousand of them share what is left.
    fn ceiling_now(&self, now: Time) -> f64 {
        let demand = self.demand(now);
        let unknown = match Rule::DemandUnknown.stands() {
            true => (1.0 - self.known()) * demand,
            false => 0.0,
        };
        let more = match Rule::CeilingMore.stands() {
            true => CEILING_MORE,
            false => 0.0,
        };
        let wakes = match Rule::CeilingWakes.stands() {
            true => demand.min(CEILING_WAKES),
            false => 0.0,
        };
        let own = self.healthy.max(unknown);
        (self.multiple * own).max(own + more).max(wakes)
    }

    /// Packets upstream per question that needed one, over the last minute; 1 if there was none.
    pub fn amplification(&self) -> f64 {
        let mut sum = self.this_second;
        let current = (self.second % 60) as usize;
        for (index, second) in self.minute.iter().enumerate() {
            if index != current {
                sum.primaries += second.primaries;
                sum.extras += second.extras;
            }
        }
        match sum.primaries {
            0 => 1.0,
            primaries => f64::from(primaries + sum.extras) / f64::from(primaries),
        }
    }

    /// What is left of the steady purse, the burst and the ceiling.
    pub fn left(&self) -> [f64; 3] {
        [Purse::Steady, Purse::Burst, Purse::Ceiling].map(|purse| self.purse(purse).left())
    }

    /// The most extras that may be made within any stretch of `window` that sees `primaries`: what the
    /// simulation holds the engine to.
    pub fn most_extras_in(&self, window: Duration, primaries: u64) -> f64 {
        self.share * primaries as f64
            + self.purse(Purse::Steady).cap()
            + self.purse(Purse::Burst).most_in(window)
            + self.purse(Purse::Returns).most_in(window)
            + IDLE * self.idle * window.as_secs_f64()
            + PROBES_BURST
    }

    fn resize(&mut self, now: Time) {
        let steady = (self.share * STEADY_WINDOW_SECS * self.healthy).max(STEADY_MIN);
        self.of(Purse::Steady).set(0.0, steady, now);
        let burst = (BURST_SECS * self.healthy).max(BURST_MIN);
        self.of(Purse::Burst)
            .set(burst / BURST_REFILL_SECS, burst, now);
        let ceiling = self.ceiling_now(now);
        let earned = (EARNED_SECS * ANSWER_EARNS * self.healthy).max(EARNED_MIN);
        self.of(Purse::Earned).set(EARNED_FREE, earned, now);
        self.of(Purse::Ceiling).set(
            ceiling,
            (CEILING_BURST_SECS * ceiling).max(CEILING_BURST_MIN),
            now,
        );
        let renewals = RENEWALS_SHARE * ceiling;
        let most = (CEILING_BURST_SECS * renewals).max(RENEWALS_BURST);
        self.of(Purse::Renewals).set(renewals, most, now);
        let probes = (PROBES_SHARE * ceiling).min(PROBES_RATE);
        let probes = probes.max(IDLE * self.idle);
        self.of(Purse::Probes).set(probes, PROBES_BURST, now);
        self.of(Purse::Returns)
            .set(RETURNS_RATE, RETURNS_BURST, now);
        let refreshes = self.healthy.max(REFRESH_MIN);
        self.of(Purse::Refreshes).set(refreshes, refreshes, now);
    }
}

#[cfg(test)]
mod tests;
