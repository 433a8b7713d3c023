//! How long slow questions take.
//!
//! A server that must ask others before it can answer takes far longer for some questions than the way to it and
//! back does. Such an answer looks like the first of a jam, and what comes after the retransmission timeout like
//! a loss. The order tells them apart: a queue keeps it, so an answer that comes after a timely one to a question
//! asked later was held up by its own question alone, unless another server has answered that one in time. What
//! is known so is kept here for each server, whatever the path: how much longer than the base the answers took,
//! as counts by quarters of an octave, from which the waits of all its routes are taken. A single slow question
//! moves nothing.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::measure::service_time::*;

/// What is known of one server's slow questions.
#[derive(Clone, Debug)]
pub struct ServiceTimes {
    counts: [u16; STEPS],
    total: u32,
    first: Option<Time>,
    tail: Tail,
}

/// What the answers of a server take over the base: less than a millisecond is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// One answer in ten takes longer.
    pub usual: Duration,
    /// One in two hundred does.
    pub far: Duration,
    /// Enough was seen for zero to mean that there are no slow questions.
    pub known: bool,
}

impl Tail {
    /// The longer of each.
    pub fn max(self, other: Tail) -> Tail {
        Tail {
            usual: self.usual.max(other.usual),
            far: self.far.max(other.far),
            known: self.known || other.known,
        }
    }
}

impl Default for ServiceTimes {
    fn default() -> ServiceTimes {
        ServiceTimes {
            counts: [0; STEPS],
            total: 0,
            first: None,
            tail: Tail::default(),
        }
    }
}

impl ServiceTimes {
    /// What is known so far.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// An answer took `excess` over the base, and no jam held it up. True if that moved the tail.
    pub fn learn(&mut self, excess: Duration, now: Time) -> bool {
        let first = *self.first.get_or_insert(now);
        let step = ServiceTimes::step(excess);
        self.counts[step] += 1;
        self.total += 1;
        if self.total >= 2 * MEMORY {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|&count| u32::from(count)).sum();
        }
        // One at the bottom moves a quantile but slowly.
        if step == 0 && self.tail.known && !self.total.is_multiple_of(QUICK_EVERY) {
            return false;
        }
        let (before, since) = (self.tail, now.since(first));
        let enough = self.total >= KNOWN && since >= KNOWN_AFTER;
        self.tail = Tail {
            usual: self.beyond(USUAL),
            far: self.beyond(FAR),
            known: enough || since >= KNOWN_AT_LAST,
        };
        self.tail != before
    }

    fn step(excess: Duration) -> usize {
        let us = excess.as_secs_f64() * 1e6;
        // Below the first the logarithm is negative, and as a whole number zero.
        (((us / FIRST_US).log2() * PER_OCTAVE).ceil() as usize).min(STEPS - 1)
    }

    /// What this share of the answers, and one more, is beyond.
    fn beyond(&self, share: f64) -> Duration {
        let spare = (f64::from(self.total) * share) as u32 + 1;
        let mut above = 0;
        for step in (1..STEPS).rev() {
            above += u32::from(self.counts[step]);
            if above > spare {
                let us = FIRST_US * (step as f64 / PER_OCTAVE).exp2();
                return Duration::from_micros(us as u64);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(step: u64) -> Time {
        Time::START + millis(10) * step as u32
    }

    #[test]
    fn one_hard_question_moves_nothing_and_two_do() {
        let mut service_times = ServiceTimes::default();
        for step in 0..50 {
            service_times.learn(Duration::from_micros(300), at(step));
        }
        service_times.learn(millis(150), at(50));
        assert_eq!(service_times.tail(), Tail::default());
        service_times.learn(millis(150), at(51));
        let far = service_times.tail().far;
        assert!(far >= millis(150) && far < millis(180), "{far:?}");
        assert_eq!(service_times.tail().usual, Duration::ZERO);
    }

    #[test]
    fn what_one_in_ten_is_beyond_is_usual() {
        let mut service_times = ServiceTimes::default();
        for step in 0..1000 {
            service_times.learn(millis(if step % 4 == 0 { 40 } else { 0 }), at(step));
        }
        let Tail { usual, far, known } = service_times.tail();
        assert!(usual >= millis(40) && usual < millis(48), "{usual:?}");
        assert_eq!((usual, known), (far, true));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut service_times = ServiceTimes::default();
        (0..100).for_each(|step| {
            service_times.learn(millis(400), at(step));
        });
        assert!(service_times.tail().usual >= millis(400));
        (0..40_000).for_each(|step| {
            service_times.learn(Duration::ZERO, at(step));
        });
        assert_eq!(service_times.tail().far, Duration::ZERO);
    }

    #[test]
    fn whatever_it_takes_is_counted() {
        let mut service_times = ServiceTimes::default();
        let never = [Duration::ZERO, Duration::MAX, Duration::from_nanos(1)];
        for (step, excess) in never.into_iter().cycle().take(10_000).enumerate() {
            service_times.learn(excess, at(step as u64));
        }
        assert!(service_times.total < 2 * MEMORY);
    }
}
