//! What extra packets cost.
//!
//! A question needs one packet upstream; each further one is paid for. Every purse here is a token
//! bucket that fills over time or with primaries and holds no more than a short while's worth: a
//! lifetime ratio would bank hours of health and spend them in the jam. Two kinds of trouble need two
//! purses: moving what hangs on a failing route onto a clear one wants a short, sharp burst; a
//! steady drizzle of hedges must stay a small share. While nothing is clear a third one, the
//! ceiling, pays for every packet, the first ones too.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::spend::budget::*;

/// A bucket of tokens that fills with time.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: f64,
    cap: f64,
    rate: f64,
    at: Time,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: f64, cap: f64, now: Time) -> Bucket {
        Bucket {
            tokens: cap,
            cap,
            rate,
            at: now,
        }
    }

    /// Takes `amount` if `amount + reserve` is there.
    pub fn take(&mut self, amount: f64, reserve: f64, now: Time) -> bool {
        self.fill(now);
        let enough = self.tokens >= amount + reserve;
        if enough {
            self.tokens -= amount;
        }
        enough
    }

    /// Takes `amount`, into debt if need be, for what cannot be refused.
    pub fn charge(&mut self, amount: f64, now: Time) {
        self.fill(now);
        self.tokens = (self.tokens - amount).max(-self.cap);
    }

    /// What is left.
    pub fn left(&self) -> f64 {
        self.tokens
    }

    /// The most that may be taken within any stretch of `window`, as it is set now.
    pub fn most_in(&self, window: Duration) -> f64 {
        self.cap + self.rate * window.as_secs_f64()
    }

    fn fill(&mut self, now: Time) {
        let dt = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + self.rate * dt).min(self.cap);
    }

    fn deposit(&mut self, amount: f64) {
        self.tokens = (self.tokens + amount).min(self.cap);
    }

    fn set(&mut self, rate: f64, cap: f64, now: Time) {
        self.fill(now);
        (self.rate, self.cap) = (rate, cap);
        self.tokens = self.tokens.min(cap);
    }
}

/// All purses, and the count of what went out.
#[derive(Clone, Debug)]
pub struct Budgets {
    share: f64,
    multiple: f64,
    steady: Bucket,
    burst: Bucket,
    ceiling: Bucket,
    earned: Bucket,
    renewals: Bucket,
    probes: Bucket,
    returns: Bucket,
    refreshes: Bucket,
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
            steady: Bucket::new(0.0, STEADY_MIN, now),
            burst: Bucket::new(BURST_MIN / BURST_REFILL_SECS, BURST_MIN, now),
            ceiling: Bucket::new(0.0, CEILING_BURST_MIN, now),
            earned: Bucket::new(EARNED_FREE, EARNED_MIN, now),
            renewals: Bucket::new(0.0, RENEWALS_BURST, now),
            probes: Bucket::new(PROBES_RATE, PROBES_BURST, now),
            returns: Bucket::new(RETURNS_RATE, RETURNS_BURST, now),
            refreshes: Bucket::new(REFRESH_MIN, REFRESH_MIN, now),
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
        if !self.disturbed {
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

    /// A question's own packet in health: it earns its share of extras.
    pub fn primary(&mut self, now: Time) {
        self.this_second.primaries += 1;
        self.steady.fill(now);
        self.steady.deposit(self.share);
    }

    /// An extra packet in health. `urgent`: it moves an overdue question to a clear route with room.
    pub fn extra(&mut self, urgent: bool, now: Time) -> bool {
        let paid = self.steady.take(1.0, 0.0, now) || (urgent && self.burst.take(1.0, 0.0, now));
        self.this_second.extras += u32::from(paid);
        paid
    }

    /// Whether a measurement may be made now: the last tokens are for questions that hang. `owed`: somebody
    /// waits to be let back, and few questions must not keep it waiting.
    pub fn measurement(&mut self, owed: bool, now: Time) -> bool {
        let paid =
            self.steady.take(1.0, STEADY_KEPT, now) || (owed && self.returns.take(1.0, 0.0, now));
        self.this_second.extras += u32::from(paid);
        paid
    }

    /// An extra packet that cannot be refused: without it the packet before was in vain.
    pub fn forced(&mut self, now: Time) {
        self.steady.charge(1.0, now);
        self.this_second.extras += 1;
    }

    /// A question's first packet while nothing is clear.
    pub fn first_under_ceiling(&mut self, now: Time) -> bool {
        let paid = self.ceiling.take(1.0, 0.0, now);
        self.this_second.primaries += u32::from(paid);
        paid
    }

    /// A further one while nothing is clear. If those before it were `silent`, answers have to have earned it, too:
    /// what is lost with all that is asked is not helped by asking again, and a thousand hosts that do keep the jam
    /// alive.
    pub fn retry_under_ceiling(&mut self, silent: bool, now: Time) -> bool {
        let reserve = self.reserve();
        self.earned.fill(now);
        let earned = !silent || self.earned.left() >= 1.0;
        let paid = earned && self.ceiling.take(1.0, reserve, now);
        if paid && silent {
            self.earned.charge(1.0, now);
        }
        self.this_second.extras += u32::from(paid);
        paid
    }

    /// A question's own packet while nothing is clear, where a stale answer is held. The last tokens are for those
    /// who have none. But questions that have none may be of names that fail, and then there are never any left:
    /// what is in use has a share of its own, which counts under the ceiling all the same.
    pub fn renewal_under_ceiling(&mut self, now: Time) -> bool {
        let mut paid = self.ceiling.take(1.0, self.reserve(), now);
        if !paid && self.renewals.take(1.0, 0.0, now) {
            self.ceiling.charge(1.0, now);
            paid = true;
        }
        self.this_second.primaries += u32::from(paid);
        paid
    }

    /// An answer came that was waited for.
    pub fn earn(&mut self, now: Time) {
        self.earned.fill(now);
        self.earned.deposit(ANSWER_EARNS);
    }

    /// Whether [`renewal_under_ceiling`](Self::renewal_under_ceiling) would pay.
    pub fn may_renew(&mut self, now: Time) -> bool {
        self.ceiling.fill(now);
        self.renewals.fill(now);
        self.ceiling.left() >= 1.0 + self.reserve() || self.renewals.left() >= 1.0
    }

    /// What is kept of the ceiling's purse for questions asked for the first time.
    fn reserve(&self) -> f64 {
        self.ceiling.cap * FIRST_ASK_RESERVE
    }

    /// A further packet, while nothing is clear, for a question that somebody answered uselessly: without it the
    /// question fails, as one not asked at all would.
    pub fn under_ceiling_again(&mut self, now: Time) -> bool {
        let paid = self.ceiling.take(1.0, 0.0, now);
        self.this_second.extras += u32::from(paid);
        paid
    }

    /// Whether the ceiling would pay for a question not asked before.
    pub fn may_ask(&mut self, now: Time) -> bool {
        self.ceiling.fill(now);
        self.ceiling.left() >= 1.0
    }

    /// A probe sent for want of real questions.
    pub fn probe(&mut self, now: Time) -> bool {
        let paid = self.probes.take(1.0, 0.0, now);
        self.this_second.extras += u32::from(paid);
        paid
    }

    /// So many routes are measured while they are idle.
    pub fn provide_for(&mut self, routes: usize, now: Time) {
        self.idle = routes as f64;
        self.resize(now);
    }

    /// A probe of an idle route. It is no answer to any question, so it does not count in what questions cost, nor in
    /// what health asks for.
    pub fn idle_probe(&mut self, now: Time) -> bool {
        self.probes.take(1.0, 0.0, now)
    }

    /// A probe while nothing is clear. What questions leave of the ceiling does not decide it: they are the
    /// more the longer what healed stays unknown. It counts under the ceiling all the same.
    pub fn probe_under_ceiling(&mut self, now: Time) -> bool {
        let paid = self.probe(now);
        if paid {
            self.ceiling.charge(1.0, now);
        }
        paid
    }

    /// A question's own packet over a route that is in doubt, where none better is to be had: it is not
    /// refused, but what is asked again beside it is to stay under the ceiling.
    pub fn doubtful(&mut self, now: Time) {
        self.primary(now);
        self.ceiling.charge(1.0, now);
    }

    /// A question asked ahead of need.
    pub fn refresh(&mut self, now: Time) -> bool {
        let paid = self.refreshes.take(1.0, 0.0, now);
        if paid {
            self.primary(now);
        }
        paid
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
        self.ceiling.rate
    }

    /// What it is to be: a multiple of what health asked for, or is asked at present as long as that is not known.
    /// No daemon has a right to more because it is asked for little: a thousand of them share what is left.
    fn ceiling_now(&self, now: Time) -> f64 {
        let demand = self.demand(now);
        let own = self.healthy.max((1.0 - self.known()) * demand);
        (self.multiple * own)
            .max(own + CEILING_MORE)
            .max(demand.min(CEILING_WAKES))
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
        [self.steady.left(), self.burst.left(), self.ceiling.left()]
    }

    /// The most extras that may be made within any stretch of `window` that sees `primaries`: what the
    /// simulation holds the engine to.
    pub fn most_extras_in(&self, window: Duration, primaries: u64) -> f64 {
        self.share * primaries as f64
            + self.steady.cap
            + self.burst.most_in(window)
            + self.returns.most_in(window)
            + IDLE * self.idle * window.as_secs_f64()
            + PROBES_BURST
    }

    fn resize(&mut self, now: Time) {
        let steady = (self.share * STEADY_WINDOW_SECS * self.healthy).max(STEADY_MIN);
        self.steady.set(0.0, steady, now);
        let burst = (BURST_SECS * self.healthy).max(BURST_MIN);
        self.burst.set(burst / BURST_REFILL_SECS, burst, now);
        let ceiling = self.ceiling_now(now);
        let earned = (EARNED_SECS * ANSWER_EARNS * self.healthy).max(EARNED_MIN);
        self.earned.set(EARNED_FREE, earned, now);
        self.ceiling.set(
            ceiling,
            (CEILING_BURST_SECS * ceiling).max(CEILING_BURST_MIN),
            now,
        );
        let renewals = RENEWALS_SHARE * ceiling;
        let most = (CEILING_BURST_SECS * renewals).max(RENEWALS_BURST);
        self.renewals.set(renewals, most, now);
        let probes = (PROBES_SHARE * ceiling).min(PROBES_RATE);
        let probes = probes.max(IDLE * self.idle);
        self.probes.set(probes, PROBES_BURST, now);
        let refreshes = self.healthy.max(REFRESH_MIN);
        self.refreshes.set(refreshes, refreshes, now);
    }
}

#[cfg(test)]
mod tests;
