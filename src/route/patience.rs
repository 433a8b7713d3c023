//! How long a return may take.

use std::time::Duration;

/// Good answers in a row that a return takes at most, and the share of a second's healthy traffic that may
/// go into more: each is a duplicate that somebody pays for. The growing share goes on judging.
const MANY: (u32, u32) = (4, 24);
const MANY_SHARE: f64 = 0.06;
/// With fewer packets a second each trial is felt in the bill, and the first waits as long as the others.
const FEW: f64 = 50.0;
/// Times of return, all shares of `return-within` so that they add up to less than it: the longest
/// wait for a trial (with its jitter), the row of good answers, the growing share.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    soonest: Duration,
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) hold: Duration,
    pub(super) hold_relapsed: Duration,
    pub(super) ramp: Duration,
    pub(super) memory: Duration,
    pub(super) many: u32,
}

impl Patience {
    /// From the bound that the operator set.
    pub fn new(return_within: Duration) -> Patience {
        let share = |share: f64| return_within.mul_f64(share);
        Patience {
            soonest: share(0.4),
            first: share(0.4),
            longest: share(0.55),
            hold: share(0.02),
            hold_relapsed: share(0.15),
            ramp: share(0.12),
            memory: share(3.0),
            many: MANY.0,
        }
    }

    /// Where health sees more packets a second, a return can be judged by more of them.
    pub fn suit(&mut self, healthy_rate: f64) {
        self.first = match healthy_rate < FEW {
            true => self.longest,
            false => self.soonest,
        };
        self.many = ((MANY_SHARE * healthy_rate) as u32).clamp(MANY.0, MANY.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_return_fit_what_the_operator_allows() {
        for seconds in [1, 10, 300] {
            let within = Duration::from_secs(seconds);
            let patience = Patience::new(within);
            // The jitter of a trial adds a tenth at most.
            let wait = patience.longest.mul_f64(1.1);
            assert!(wait + patience.hold_relapsed + patience.ramp < within);
            assert!(patience.first <= patience.longest);
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
        assert_eq!(patience.first, patience.soonest);
        patience.suit(2.0);
        assert_eq!(patience.first, patience.longest);
    }
}
