//! What a server has answered lately, usefully: the measure of what it fails to answer.

use std::time::Duration;

use crate::clock::Time;
use crate::route::about::Kind;
use crate::route::constants::measure::answered::*;
use crate::route::rules::Rule;

/// A server's useful answers.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When it last answered a question of each kind, the plain ones last.
    kinds: [Time; KINDS + 1],
    /// When it last answered any.
    last: Time,
    /// The usual gap between two.
    gap: Duration,
}

impl Default for Answered {
    fn default() -> Answered {
        Answered {
            kinds: [Time::default(); KINDS + 1],
            last: Time::default(),
            gap: Duration::ZERO,
        }
    }
}

impl Answered {
    /// It answered a question of this kind usefully.
    pub fn note(&mut self, kind: Kind, now: Time) {
        let known = self.last != Time::default();
        let gap = now.since(self.last).min(LATELY_MOST);
        self.gap = match known {
            true => (self.gap * (GAP_MEAN - 1) + gap) / GAP_MEAN,
            false => LATELY_LEAST,
        };
        self.last = now;
        match kind {
            Kind::Plain => self.kinds[KINDS] = now,
            Kind::Typed(place) => self.kinds[usize::from(place) % KINDS] = now,
            Kind::Odd => {}
        }
    }

    /// When it last answered anything usefully.
    pub fn last(&self) -> Time {
        self.last
    }

    /// Whether a question of this kind is one that it answers, as far as its answers to others tell: what it
    /// fails to answer then speaks against it.
    pub fn knows(&self, kind: Kind) -> bool {
        match kind {
            Kind::Plain => true,
            Kind::Odd => false,
            Kind::Typed(_) if !Rule::KindsLeftOut.stands() => true,
            Kind::Typed(place) => {
                self.last.since(self.kinds[usize::from(place) % KINDS]) <= FORGETS
            }
        }
    }

    /// Whether it is answering: as lately as it usually does.
    pub fn is_answering(&self, now: Time) -> bool {
        let lately = (self.gap * GAPS).clamp(LATELY_LEAST, LATELY_MOST);
        self.last != Time::default() && now.since(self.last) <= lately
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::START + Duration::from_secs(secs)
    }

    #[test]
    fn a_kind_that_it_leaves_out_while_it_answers_others_is_not_for_it() {
        let mut answered = Answered::default();
        let https = Kind::Typed(1);
        assert!(answered.knows(https), "it has answered nothing at all yet");
        answered.note(Kind::Plain, at(1));
        assert!(!answered.knows(https));
        answered.note(https, at(2));
        answered.note(Kind::Plain, at(11));
        assert!(answered.knows(https));
        answered.note(Kind::Plain, at(13));
        assert!(!answered.knows(https) && answered.knows(Kind::Plain));
        assert!(!answered.knows(Kind::Odd));
    }

    #[test]
    fn one_that_answers_seldom_is_given_longer() {
        let mut answered = Answered::default();
        assert!(!answered.is_answering(at(1)));
        (0..1000).for_each(|n| answered.note(Kind::Plain, at(1) + Duration::from_millis(10 * n)));
        assert!(answered.is_answering(at(12)) && !answered.is_answering(at(14)));
        (1..20).for_each(|n| answered.note(Kind::Plain, at(20 + 8 * n)));
        assert!(answered.is_answering(at(190)) && !answered.is_answering(at(260)));
    }
}
