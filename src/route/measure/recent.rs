//! What a route did in the last minute, whatever the reason.
//!
//! The verdicts rest on evidence, from which a name's own failure or a stall of this host is left out. An operator
//! who looks at a graph wants the plain share of attempts that got no answer in time, and one that forgets.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::measure::recent::*;

/// Attempts over one route that ended lately, and how.
#[derive(Clone, Debug, Default)]
pub(in crate::route) struct Recent {
    parts: [Part; PARTS],
    /// When the last useful answer came.
    answered_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which stretch of [`PART`] since the start it counts.
    number: u64,
    answered: u32,
    lost: u32,
}

fn number(now: Time) -> u64 {
    now.nanos() / PART.as_nanos() as u64
}

impl Recent {
    /// Something came back, in the route's own time or not, useful or not.
    pub(in crate::route) fn came_back(&mut self, in_time: bool, useful: bool, now: Time) {
        if in_time {
            self.in_time(now);
        }
        if useful {
            self.useful(now);
        }
    }

    /// An attempt was answered in the route's own time.
    pub(in crate::route) fn in_time(&mut self, now: Time) {
        self.part(now).answered += 1;
    }

    /// An attempt got no answer in the route's own time; one may still come.
    pub(in crate::route) fn lost(&mut self, now: Time) {
        self.part(now).lost += 1;
    }

    /// A useful answer came, in time or not.
    pub(in crate::route) fn useful(&mut self, now: Time) {
        self.answered_at = Some(now);
    }

    /// Share of the last minute's attempts that got no answer in time, 0 to 1; `None` if there were none.
    pub(in crate::route) fn loss(&self, now: Time) -> Option<f64> {
        let newest = number(now);
        let counted = |part: &&Part| part.number + PARTS as u64 > newest;
        let (mut answered, mut lost) = (0u64, 0u64);
        for part in self.parts.iter().filter(counted) {
            answered += u64::from(part.answered);
            lost += u64::from(part.lost);
        }
        (answered + lost > 0).then(|| lost as f64 / (answered + lost) as f64)
    }

    /// How long ago the last useful answer came; `None` before the first.
    pub(in crate::route) fn last_answer(&self, now: Time) -> Option<Duration> {
        self.answered_at.map(|at| now.since(at))
    }

    fn part(&mut self, now: Time) -> &mut Part {
        let number = number(now);
        let part = &mut self.parts[(number % PARTS as u64) as usize];
        if part.number != number {
            *part = Part {
                number,
                ..Part::default()
            };
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_forgets_after_a_minute_and_is_unknown_without_attempts() {
        let at = |secs: u64| Time::from_secs(1_000 + secs);
        let mut recent = Recent::default();
        assert_eq!(recent.loss(at(0)), None);
        (0..3).for_each(|_| recent.in_time(at(0)));
        recent.lost(at(1));
        assert_eq!(recent.loss(at(1)), Some(0.25));
        (0..4).for_each(|_| recent.lost(at(30)));
        assert_eq!(recent.loss(at(31)), Some(5.0 / 8.0));
        assert_eq!(recent.loss(at(61)), Some(1.0), "the first part is over");
        assert_eq!(recent.loss(at(95)), None);
        // The places are used again.
        recent.in_time(at(120));
        assert_eq!(recent.loss(at(121)), Some(0.0));
    }

    #[test]
    fn the_last_useful_answer_has_an_age() {
        let mut recent = Recent::default();
        assert_eq!(recent.last_answer(Time::from_secs(9)), None);
        recent.useful(Time::from_secs(5));
        assert_eq!(
            recent.last_answer(Time::from_secs(9)),
            Some(Duration::from_secs(4))
        );
    }
}
