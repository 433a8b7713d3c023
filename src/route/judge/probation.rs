//! How long a return may take.

use std::time::Duration;

use crate::route::constants::judge::probation::*;
use crate::route::rules::Rule;

/// Times of return, all shares of `return-within` so that they add up to less than it: the longest
/// wait for a trial (with its jitter), the streak of good answers, the growing share.
#[derive(Clone, Copy, Debug)]
pub struct Probation {
    within: Duration,
    pub(in crate::route) first: Duration,
    pub(in crate::route) longest: Duration,
    pub(in crate::route) hold: Duration,
    pub(in crate::route) hold_relapsed: Duration,
    pub(in crate::route) ramp: Duration,
    pub(in crate::route) memory: Duration,
    pub(in crate::route) least: u32,
    pub(in crate::route) many: u32,
}

impl Probation {
    /// From the bound that the operator set.
    pub fn new(return_within: Duration) -> Probation {
        Probation::on(false, return_within, MANY.0)
    }

    /// The operator has set another bound.
    pub fn set_within(&mut self, return_within: Duration) {
        *self = Probation::on(false, return_within, self.many);
    }

    /// Where health sees more packets a second, a return can be judged by more of them, and sooner.
    pub fn suit(&mut self, healthy_rate: f64) {
        let many = match Rule::Many.stands() {
            true => ((MANY_SHARE * healthy_rate) as u32).clamp(MANY.0, MANY.1),
            false => MANY.0,
        };
        let few = healthy_rate < FEW && Rule::Few.stands();
        *self = Probation::on(few, self.within, many);
    }

    /// Where `few` are asked probes are as far apart as the bound allows, and the rest is quicker instead.
    fn on(few: bool, within: Duration, many: u32) -> Probation {
        let share = |usual: f64, of_few: f64| within.mul_f64(if few { of_few } else { usual });
        Probation {
            within,
            first: share(FIRST, FIRST_FEW),
            longest: share(LONGEST, LONGEST_FEW),
            hold: share(HOLD, HOLD),
            hold_relapsed: share(HOLD_RELAPSED, HOLD_RELAPSED_FEW),
            ramp: share(RAMP, RAMP_FEW),
            memory: share(MEMORY, MEMORY),
            least: if few { LEAST_FEW } else { LEAST },
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
            let mut probation = Probation::new(within);
            for rate in [2.0, 2000.0] {
                probation.suit(rate);
                let wait = probation.longest.mul_f32(1.0 + JITTER);
                assert!(wait + probation.hold_relapsed + probation.ramp < within);
                assert!(probation.first <= probation.longest);
            }
        }
    }

    #[test]
    fn busy_hosts_judge_by_more_answers_and_quiet_ones_by_few() {
        let mut probation = Probation::new(Duration::from_secs(10));
        probation.suit(2.0);
        assert_eq!(probation.many, MANY.0);
        probation.suit(200.0);
        assert_eq!(probation.many, 12);
        probation.suit(1e6);
        assert_eq!(probation.many, MANY.1);
        assert!(probation.first < probation.longest);
        let longest = probation.longest;
        probation.suit(2.0);
        assert_eq!(probation.first, probation.longest);
        assert!(probation.longest > longest);
        assert!(probation.least < probation.many);
    }
}
