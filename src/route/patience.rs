//! How long a return may take.

use std::time::Duration;

/// Good answers in a row that a return takes at most, and the share of a second's healthy traffic that may go
/// into them: each is a duplicate that somebody pays for. The growing share goes on judging.
const MANY: (u32, u32) = (3, 24);
const MANY_SHARE: f64 = 0.06;
/// With fewer packets a second each trial is felt in the bill.
const FEW: f64 = 50.0;
/// The most that the wait for a trial is lengthened or shortened by chance, as a share of it.
pub(super) const JITTER: f32 = 0.05;
/// Good answers must come over this share of what the operator allows,
const HOLD: f64 = 0.02;
/// and a return counts as one that did not last within so many times that.
const MEMORY: f64 = 3.0;

/// What a return takes, as shares of what the operator allows.
struct Terms {
    /// Until the first trial, and between two at most.
    first: f64,
    longest: f64,
    /// Good answers must come over this after a return that did not last.
    hold_relapsed: f64,
    /// The share of the traffic grows over this.
    ramp: f64,
    /// Good answers in a row, at least.
    least: u32,
}

const USUAL: Terms = Terms {
    first: 0.4,
    longest: 0.55,
    hold_relapsed: 0.15,
    ramp: 0.12,
    least: 3,
};
/// Where few are asked: trials as far apart as the bound allows, and the rest quicker instead.
const SPARING: Terms = Terms {
    first: 0.68,
    longest: 0.68,
    hold_relapsed: 0.1,
    ramp: 0.08,
    least: 2,
};

/// Times of return, all shares of `return-within` so that they add up to less than it: the longest
/// wait for a trial (with its jitter), the row of good answers, the growing share.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    within: Duration,
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) hold: Duration,
    pub(super) hold_relapsed: Duration,
    pub(super) ramp: Duration,
    pub(super) memory: Duration,
    pub(super) least: u32,
    pub(super) many: u32,
}

impl Patience {
    /// From the bound that the operator set.
    pub fn new(return_within: Duration) -> Patience {
        Patience::on(&USUAL, return_within, MANY.0)
    }

    /// The operator has set another bound.
    pub fn set_within(&mut self, return_within: Duration) {
        *self = Patience::on(&USUAL, return_within, self.many);
    }

    /// Where health sees more packets a second, a return can be judged by more of them, and sooner.
    pub fn suit(&mut self, healthy_rate: f64) {
        let terms = match healthy_rate < FEW {
            true => &SPARING,
            false => &USUAL,
        };
        let many = ((MANY_SHARE * healthy_rate) as u32).clamp(MANY.0, MANY.1);
        *self = Patience::on(terms, self.within, many);
    }

    fn on(terms: &Terms, within: Duration, many: u32) -> Patience {
        let share = |share: f64| within.mul_f64(share);
        Patience {
            within,
            first: share(terms.first),
            longest: share(terms.longest),
            hold: share(HOLD),
            hold_relapsed: share(terms.hold_relapsed),
            ramp: share(terms.ramp),
            memory: share(MEMORY),
            least: terms.least,
            many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_return_fit_what_the_operator_allows() {
        for seconds in [1, 10, 300] {
            let within = Duration::from_secs(seconds);
            let mut patience = Patience::new(within);
            for rate in [2.0, 2000.0] {
                patience.suit(rate);
                let wait = patience.longest.mul_f32(1.0 + JITTER);
                assert!(wait + patience.hold_relapsed + patience.ramp < within);
                assert!(patience.first <= patience.longest);
            }
        }
    }

    #[test]
    fn busy_hosts_judge_by_more_answers_and_quiet_ones_by_few() {
        let mut patience = Patience::new(Duration::from_secs(10));
        patience.suit(2.0);
        assert_eq!(patience.many, MANY.0);
        patience.suit(200.0);
        assert_eq!(patience.many, 12);
        patience.suit(1e6);
        assert_eq!(patience.many, MANY.1);
        assert!(patience.first < patience.longest);
        let longest = patience.longest;
        patience.suit(2.0);
        assert_eq!(patience.first, patience.longest);
        assert!(patience.longest > longest);
        assert!(patience.least < patience.many);
    }
}
