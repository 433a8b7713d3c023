//! What a route's round trips are, and what they were in health.
//!
//! A queue lifts every round trip, a slow question only its own: so a jam is told by the low
//! quantile of recent round trips over `base`, the least of the last minutes (BBR's windowed
//! minimum, LEDBAT's base history, RFC 6817 section 3.4). The hedge timer rests on the mean, the
//! deviation and the far tail of round trips seen *while the route was clear*: what was learnt in a
//! jam must not teach it to wait. The retransmission timeout (RFC 6298) rests on all of them: in a
//! jam it must learn patience. Every sample is one attempt's true round trip (no Karn ambiguity:
//! attempts have their own identifiers and ports).

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::measure::round_trip::*;
use crate::route::measure::service_time::Tail;
use crate::route::rules::Rule;

/// The floor and the ceiling of the hedge timer.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// The least a hedge waits.
    pub min: Duration,
    /// The most.
    pub max: Duration,
}

/// What follows from the round trips, worked out whenever they change: every question asks for it several
/// times over.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    typical_us: f32,
    hedge_wait: Duration,
    check_wait: Duration,
    rto: Duration,
    /// A round trip longer than this is late.
    late: Duration,
}

/// The round trips of one route. Microseconds inside.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    outlook: Outlook,
    /// The floor and the ceiling of the hedge timer, in nanoseconds.
    waits: (u64, u64),
    minima: [u32; BASE_MINUTES],
    minute: u64,
    base: Option<u32>,
    recent: [u32; RECENT],
    stamps: [Time; RECENT],
    next: usize,
    low: Option<u32>,
    srtt: f32,
    rttvar: f32,
    peak: f32,
    peak_at: Time,
    mean: f32,
    deviation: f32,
    tail: f32,
    /// The same, learnt slowly where answers come fast.
    slow_mean: f32,
    slow_deviation: f32,
    slow_tail: f32,
    learnt: Time,
    clear_samples: u32,
    samples: u64,
    steady_since: Option<Time>,
    /// What slow questions take at its server.
    slow: Tail,
}

impl RoundTrips {
    /// Its hedges keep within `waits` from the next answer on.
    pub fn keep_within(&mut self, waits: Waits) {
        let [floor, ceiling] = [waits.min, waits.max].map(|wait| wait.as_nanos() as u64);
        self.waits = (floor, ceiling);
        let hedge = self.outlook.hedge_wait;
        self.outlook.hedge_wait = hedge.clamp(waits.min, waits.max);
    }

    /// That of a route never measured, whose hedges keep within `waits`.
    pub fn new(waits: Waits) -> RoundTrips {
        let [floor, ceiling] = [waits.min, waits.max].map(|wait| wait.as_nanos() as u64);
        let unknown = UNKNOWN_HEDGE.clamp(waits.min, waits.max);
        RoundTrips {
            outlook: Outlook {
                typical_us: UNKNOWN_US,
                hedge_wait: unknown,
                check_wait: duration(HOST_NOISE_US).max(waits.min).min(unknown),
                rto: UNKNOWN_RTO,
                late: Duration::MAX,
            },
            waits: (floor, ceiling),
            minima: [u32::MAX; BASE_MINUTES],
            minute: 0,
            base: None,
            recent: [0; RECENT],
            stamps: [Time::default(); RECENT],
            next: 0,
            low: None,
            srtt: 0.0,
            rttvar: 0.0,
            peak: 0.0,
            peak_at: Time::default(),
            mean: 0.0,
            deviation: 0.0,
            tail: 0.0,
            slow_mean: 0.0,
            slow_deviation: 0.0,
            slow_tail: 0.0,
            learnt: Time::default(),
            clear_samples: 0,
            samples: 0,
            steady_since: None,
            slow: Tail::default(),
        }
    }

    /// Records a round trip. `clear`: the route was clear, so this is what health looks like. `timely`: it
    /// was not late; a late one moves the tail alone, for it may be the first of a jam.
    pub fn sample(&mut self, rtt: Duration, now: Time, clear: bool, timely: bool) {
        let micros = micros(rtt);
        let us = micros as f32;
        self.recent[self.next] = micros;
        self.stamps[self.next] = now;
        self.next = (self.next + 1) % RECENT;
        self.samples += 1;

        if self.samples == 1 {
            (self.srtt, self.rttvar) = (us, us * RTTVAR_FIRST);
        } else {
            self.rttvar += ((self.srtt - us).abs() - self.rttvar) * RTTVAR_GAIN;
            self.srtt += (us - self.srtt) * SRTT_GAIN;
        }
        self.peak = us.max(self.peak(now));
        self.peak_at = now;

        self.note_minimum(micros, now, clear);
        if clear {
            self.learn_health(us, timely);
            self.learn_slowly(us, timely, now);
        }
        if self.samples < RECENT as u64 || self.next.is_multiple_of(LOW_EVERY) {
            self.low = self.quantile(now, LOW_PART);
        }
        self.look_ahead();
    }

    /// The round trip without queues, once measured.
    pub fn base(&self) -> Option<Duration> {
        self.base.map(|us| Duration::from_micros(us.into()))
    }

    /// How much the lower quartile of recent round trips lies over `base`.
    pub fn excess(&self, now: Time) -> Option<Duration> {
        let over = self.quantile(now, LOW_PART)?.saturating_sub(self.base?);
        Some(Duration::from_micros(over.into()))
    }

    /// The last lower quartile over `base`, as a ratio: what the in-flight limit watches. 1 is no queue. A
    /// base below what may be the host's own doing counts as that: over a tenth of a millisecond, waiting
    /// for one's turn on the CPU would look like a queue tenfold.
    pub fn stretch(&self) -> f32 {
        match (self.low, self.base) {
            (Some(low), Some(base)) => low as f32 / (base as f32).max(HOST_NOISE_US),
            _ => 1.0,
        }
    }

    /// Expected time of the next round trip in health, in microseconds; a guess if never measured.
    pub fn typical_us(&self) -> f32 {
        self.outlook.typical_us
    }

    /// Expected time of the next round trip as things are, in microseconds: jumps up at once, comes
    /// down slowly.
    pub fn current_us(&self, now: Time) -> f32 {
        if self.samples == 0 {
            UNKNOWN_US
        } else {
            self.srtt.max(self.peak(now))
        }
    }

    /// Whether it was ever measured, by this process or the one before the restart.
    pub fn is_measured(&self) -> bool {
        self.base.is_some()
    }

    /// When an attempt is overdue: beyond what the route does in health (mean + 3 deviations, and its
    /// far tail), within the operator's floor and ceiling.
    pub fn hedge_wait(&self) -> Duration {
        self.outlook.hedge_wait
    }

    /// Whether a round trip speaks of trouble: later than health's far tail, and by more over the base than
    /// is worth leaving a route for.
    pub fn is_late(&self, rtt: Duration) -> bool {
        rtt > self.outlook.late
    }

    /// Whether a round trip may be that of a slow question, as far as its server's are known.
    pub fn may_be_slow(&self, rtt: Duration) -> bool {
        self.base().is_some_and(|base| rtt <= base + self.slow.far)
    }

    /// When it is worth asking whether the route stalled: twice the mean. At most the hedge wait; much
    /// less where slow questions stretch the tail.
    pub fn check_wait(&self) -> Duration {
        self.outlook.check_wait
    }

    /// The retransmission timeout: an attempt without an answer after this counts as lost.
    pub fn rto(&self) -> Duration {
        self.outlook.rto
    }

    /// What a restart should remember: base, mean, deviation and tail.
    pub fn remembered(&self) -> Option<[Duration; 4]> {
        let base = self.base()?;
        Some([
            base,
            duration(self.mean),
            duration(self.deviation),
            duration(self.tail),
        ])
    }

    /// Takes up what an earlier process remembered, unless something is known already.
    pub fn recall(&mut self, [base, mean, deviation, tail]: [Duration; 4], now: Time) {
        if self.samples > 0 || base.is_zero() {
            return;
        }
        self.minute = minute(now);
        self.minima[self.slot()] = micros(base);
        self.base = Some(micros(base));
        self.mean = micros(mean.max(base)) as f32;
        self.deviation = micros(deviation) as f32;
        self.tail = micros(tail) as f32;
        (self.slow_mean, self.slow_deviation, self.slow_tail) =
            (self.mean, self.deviation, self.tail);
        self.srtt = self.mean;
        self.rttvar = self.deviation;
        // Enough to be trusted, few enough to be corrected soon.
        self.clear_samples = RECALLED;
        self.look_ahead();
    }

    /// Round trips recorded by this process.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// For a route that is not clear: has it become longer rather than fuller? A queue's delay wanders
    /// and drops packets; a longer way is steady. After ten minutes of steady round trips without loss
    /// the new length becomes the base, and this returns the old and the new one.
    pub fn rebase(&mut self, now: Time, lossless: bool) -> Option<(Duration, Duration)> {
        let (low, high) = (
            self.quantile(now, LOW_PART)?,
            self.quantile_from_top(now, LOW_PART)?,
        );
        let old = self.base?;
        let steady =
            lossless && low > old && high - low <= (low - old) / REBASE_SPREAD + REBASE_SPREAD_US;
        if !steady {
            self.steady_since = None;
            return None;
        }
        let since = *self.steady_since.get_or_insert(now);
        let steady_for = Duration::from_secs(60 * BASE_MINUTES as u64);
        if now.since(since) < steady_for || !Rule::Rebase.stands() {
            return None;
        }
        self.steady_since = None;
        self.minima = [u32::MAX; BASE_MINUTES];
        let slot = self.slot();
        self.minima[slot] = low;
        self.base = Some(low);
        (self.mean, self.deviation, self.tail) = (self.srtt, self.rttvar, self.srtt);
        (self.slow_mean, self.slow_deviation, self.slow_tail) =
            (self.mean, self.deviation, self.tail);
        self.look_ahead();
        Some((
            Duration::from_micros(old.into()),
            Duration::from_micros(low.into()),
        ))
    }

    /// It returns from trouble: it is expected to take no longer than it does now. A queue that filled slowly taught it more
    /// before it was found out, and nobody would ask it for as long as it believes that.
    pub fn returns(&mut self, now: Time) {
        if let (Some(low), true) = (self.quantile(now, LOW_PART), Rule::ReturnsAsItIs.stands()) {
            self.mean = self.mean.min(low as f32);
            self.look_ahead();
        }
    }

    /// Takes up what is known of how long its server takes for slow questions.
    pub fn expect_slow(&mut self, slow: Tail) {
        if self.slow != slow && Rule::SlowQuestions.stands() {
            self.slow = slow;
            self.look_ahead();
        }
    }

    /// Works out what follows from the round trips.
    fn look_ahead(&mut self) {
        let Some(base) = self.base else { return };
        let (min, max) = self.waits;
        let overdue = self.mean + (OVERDUE_DEVIATIONS * self.deviation).max(HOST_NOISE_US);
        let of_the_way = nanos(overdue.max(self.tail)).clamp(min, max);
        let base = u64::from(base) * 1_000;
        let slow = |over: Duration| base + over.as_nanos() as u64;
        let hedge_wait = of_the_way.max(slow(self.slow.far)).min(max);
        let usual = self.slow_mean + (OVERDUE_DEVIATIONS * self.slow_deviation).max(HOST_NOISE_US);
        let check_wait = nanos(CHECK_MEANS * self.mean + HOST_NOISE_US).max(min);
        let learnt = nanos(self.srtt + (RTO_DEVIATIONS * self.rttvar).max(RTO_GRAIN_US));
        let late = (base + EXCESS.as_nanos() as u64).max(slow(self.slow.usual));
        // A slow question that was taken for lost before any was known of would be the first of many.
        let least = match self.slow.known || !Rule::FirstTimeouts.stands() {
            true => RTO_MIN,
            false => FIRST_RTO,
        };
        let patience = match Rule::PatientTimeout.stands() {
            true => RTO_TAILS * of_the_way.max(slow(self.slow.far)),
            false => 0,
        };
        self.outlook = Outlook {
            typical_us: match self.clear_samples {
                0 => (base / 1_000) as f32,
                _ => self.mean,
            },
            hedge_wait: Duration::from_nanos(hedge_wait),
            check_wait: Duration::from_nanos(check_wait.min(hedge_wait)),
            rto: Duration::from_nanos(learnt.max(patience)).clamp(least, RTO_MAX),
            late: Duration::from_nanos(late.max(nanos(usual.max(self.slow_tail)).clamp(min, max))),
        };
    }

    fn note_minimum(&mut self, micros: u32, now: Time, clear: bool) {
        let minute = minute(now);
        // Out of health the window stands still: an hour of jam must not become the base.
        let may_move = clear || self.base.is_none() || !Rule::BaseStands.stands();
        if may_move && minute != self.minute {
            let passed = minute.saturating_sub(self.minute).min(BASE_MINUTES as u64);
            for _ in 0..passed {
                self.minute += 1;
                let slot = self.slot();
                self.minima[slot] = u32::MAX;
            }
            self.minute = minute;
            let slot = self.slot();
            self.minima[slot] = micros;
            self.base = self.minima.iter().copied().min();
        }
        let slot = self.slot();
        self.minima[slot] = self.minima[slot].min(micros);
        self.base = Some(self.base.map_or(micros, |base| base.min(micros)));
    }

    fn learn_health(&mut self, us: f32, timely: bool) {
        self.clear_samples = self.clear_samples.saturating_add(1);
        let gain = 1.0 / self.clear_samples.min(HEALTH_GAIN) as f32;
        if self.clear_samples == 1 {
            (self.mean, self.deviation, self.tail) = (us, us * FIRST_DEVIATION, us);
            return;
        }
        if timely {
            let error = us - self.mean;
            self.mean += gain * error;
            self.deviation += gain * (error.abs() - self.deviation);
        }
        self.tail += tail_step(self.tail, us);
    }

    fn learn_slowly(&mut self, us: f32, timely: bool, now: Time) {
        let since = now.since(std::mem::replace(&mut self.learnt, now));
        if self.clear_samples <= FIRST_LESSONS || !Rule::SlowLessons.stands() {
            (self.slow_mean, self.slow_deviation, self.slow_tail) =
                (self.mean, self.deviation, self.tail);
            return;
        }
        let pace = (since.as_secs_f32() * LESSONS).min(1.0);
        if timely {
            let error = us - self.slow_mean;
            self.slow_mean += pace / LESSONS * error;
            self.slow_deviation += pace / LESSONS * (error.abs() - self.slow_deviation);
        }
        self.slow_tail += pace * tail_step(self.slow_tail, us);
    }

    fn peak(&self, now: Time) -> f32 {
        let age = now.since(self.peak_at).as_secs_f32();
        if age < PEAK_AGE_SECS {
            return self.peak;
        }
        let floor = self.srtt.min(self.peak);
        floor + (self.peak - floor) * (-age / PEAK_TAU_SECS).exp()
    }

    /// The `1/part` quantile of recent round trips: the smallest that at least that share is not above.
    fn quantile(&self, now: Time, part: usize) -> Option<u32> {
        self.ranked(now, |len| len.div_ceil(part) - 1)
    }

    fn quantile_from_top(&self, now: Time, part: usize) -> Option<u32> {
        self.ranked(now, |len| len - len.div_ceil(part))
    }

    fn ranked(&self, now: Time, rank: impl Fn(usize) -> usize) -> Option<u32> {
        let filled = self.samples.min(RECENT as u64) as usize;
        let expired = now - RECENT_AGE;
        let mut fresh = self.recent;
        let mut len = filled;
        if self.stamps[self.next % filled.max(1)] < expired {
            len = 0;
            for back in 1..=filled {
                let index = (self.next + RECENT - back) % RECENT;
                // At least the last three, however old: a sidecar asks twice a second.
                if len >= RECENT_LEAST && self.stamps[index] < expired {
                    break;
                }
                fresh[len] = self.recent[index];
                len += 1;
            }
        }
        if len == 0 {
            return None;
        }
        let (_, value, _) = fresh[..len].select_nth_unstable(rank(len));
        Some(*value)
    }

    fn slot(&self) -> usize {
        (self.minute % BASE_MINUTES as u64) as usize
    }
}

/// A quantile by stochastic approximation: each step is weighed so that the ups and downs balance where one sample
/// in two hundred lies above.
fn tail_step(tail: f32, us: f32) -> f32 {
    let step = TAIL_STEP * tail.max(TAIL_STEP_LEAST_US);
    if us > tail {
        step * TAIL
    } else {
        -step * (1.0 - TAIL)
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1)
}

fn duration(us: f32) -> Duration {
    Duration::from_nanos(nanos(us))
}

/// Whole microseconds in nanoseconds, at most an hour's; what is below none is none.
fn nanos(us: f32) -> u64 {
    u64::from(us as u32) * 1_000
}

fn minute(now: Time) -> u64 {
    now.secs() / 60
}

#[cfg(test)]
mod tests;
