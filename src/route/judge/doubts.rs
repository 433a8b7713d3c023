//! Losses of a route that nothing else explains yet.
//!
//! A question that got no answer speaks of its name or of its route. That another attempt at it was answered
//! speaks for the name. That another name was answered over the route, asked no earlier, speaks for the route. As
//! long as neither is known the loss stands here. Several names that all hang, with nothing answered since, are
//! evidence, one is none; how many it takes follows from the share of names that hang while others are answered:
//! so many as hang in a row by chance once in ten thousand times.

use crate::clock::Time;
use crate::route::constants::judge::doubts::*;
use crate::route::measure::in_flight::{Attempt, AttemptId};
use crate::route::rules::Rule;

/// A loss.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// The attempt's handle, which may be stale.
    pub id: AttemptId,
    /// The attempt as it was.
    pub attempt: Attempt,
    /// It was counted against the route.
    pub counted: bool,
}

/// The share of names that hang though others are answered: what that many names in a row say depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usual(f32);

impl Usual {
    /// A name hung though others were answered, or was answered.
    pub fn learn(&mut self, hung: bool) {
        self.0 += GAIN * (f32::from(u8::from(hung)) - self.0);
    }

    /// How many names must hang together.
    pub fn needed(self) -> usize {
        if !Rule::SeveralNames.stands() {
            return 1;
        }
        let share = match Rule::UsualHanging.stands() {
            true => self.0.clamp(SHARE_LEAST, SHARE_MOST),
            false => SHARE_LEAST,
        };
        ((CHANCE.ln() / share.ln()).ceil() as usize).min(MOST)
    }
}

/// The losses since the route last answered.
#[derive(Clone, Debug, Default)]
pub struct Doubts(Vec<Doubt>);

impl Doubts {
    /// One more.
    pub fn add(&mut self, id: AttemptId, attempt: Attempt) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Doubt {
            id,
            attempt,
            counted: false,
        });
    }

    /// So many different questions hang that this is no name's doing.
    pub fn is_silence(&self, usual: Usual, now: Time) -> bool {
        self.is_silence_with(0, Time::NEVER, usual, now)
    }

    /// The same with `more` that are not lost yet, the oldest of them sent at `sent`.
    pub fn is_silence_with(&self, more: u32, sent: Time, usual: Usual, now: Time) -> bool {
        let first = self.0.first();
        let oldest = first.map_or(sent, |doubt| sent.min(doubt.attempt.sent));
        let needed = usual.needed();
        let fresh = now.since(oldest) < SPAN && Rule::HangAWhile.stands();
        if fresh || self.len() + (more as usize) < needed {
            return false;
        }
        let first_of_its_name = |(index, doubt): &(usize, &Doubt)| {
            let name = doubt.attempt.about.name;
            name == 0
                || !Rule::DistinctNames.stands()
                || !self.0[..*index]
                    .iter()
                    .any(|it| it.attempt.about.name == name)
        };
        let names = self.0.iter().enumerate().filter(first_of_its_name);
        names.count() + more as usize >= needed
    }

    /// When the oldest of them was sent, if they are of one question only, probes aside: then nothing but a probe
    /// tells whether it is that question's doing.
    pub fn lone(&self) -> Option<Time> {
        let mut named = self.0.iter().filter(|doubt| doubt.attempt.about.name != 0);
        let name = named.next()?.attempt.about.name;
        let alone = named.all(|doubt| doubt.attempt.about.name == name);
        let sent = self.0.iter().map(|doubt| doubt.attempt.sent);
        sent.min().filter(|_| alone)
    }

    /// How many hang.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next one that is to be counted now.
    pub fn next_uncounted(&mut self) -> Option<Doubt> {
        let doubt = self.0.iter_mut().find(|doubt| !doubt.counted)?;
        doubt.counted = true;
        Some(*doubt)
    }

    /// Takes out those for which `which` holds and returns how many of them were counted.
    pub fn lift(&mut self, mut which: impl FnMut(&Doubt) -> bool) -> u32 {
        let mut counted = 0;
        self.0.retain(|doubt| {
            let lifted = which(doubt);
            counted += u32::from(lifted && doubt.counted);
            !lifted
        });
        counted
    }

    /// One that was sent no later than `sent`: something asked no earlier was answered.
    pub fn refuted(&self, sent: Time) -> Option<Doubt> {
        self.0.iter().copied().find(|it| it.attempt.sent <= sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::about::{About, Kind};
    use crate::route::ids::RouteId;
    use crate::route::measure::in_flight::{Departure, Flights, Queue};
    use crate::route::outcome::AttemptKind;

    const NOW: Time = Time::from_secs(1000);

    /// Adds a loss of each of these names.
    fn hang(doubts: &mut Doubts, names: impl IntoIterator<Item = u64>) {
        let (mut flights, mut queue) = (Flights::default(), Queue::default());
        for name in names {
            let about = About {
                name,
                zone: 1,
                kind: Kind::Plain,
            };
            let departure = Departure {
                route: RouteId(0),
                kind: AttemptKind::Primary,
                stream: false,
                serial: 0,
                about,
                mute: false,
            };
            let id = flights.depart(&mut queue, departure, Time::from_secs(name));
            doubts.add(id, flights.get(id).expect("under way"));
        }
    }

    #[test]
    fn one_name_is_no_silence_however_often_it_hangs() {
        let mut doubts = Doubts::default();
        hang(&mut doubts, [1; 20]);
        assert!(!doubts.is_silence(Usual::default(), NOW));
        hang(&mut doubts, [2, 3]);
        assert!(doubts.is_silence(Usual::default(), NOW));
    }

    #[test]
    fn one_question_is_alone_until_another_one_hangs() {
        let mut doubts = Doubts::default();
        assert_eq!(doubts.lone(), None);
        hang(&mut doubts, [7, 7]);
        assert_eq!(doubts.lone(), Some(Time::from_secs(7)));
        hang(&mut doubts, [0]);
        assert_eq!(
            doubts.lone(),
            Some(Time::from_secs(0)),
            "a probe is no question"
        );
        hang(&mut doubts, [8]);
        assert_eq!(doubts.lone(), None);
    }

    #[test]
    fn the_more_names_hang_anyway_the_more_must() {
        let needed = |hung: u32| {
            let mut usual = Usual::default();
            (0..1000).for_each(|n| usual.learn(n % 10 < hung));
            usual.needed()
        };
        let counts = [0, 2, 5, 9].map(needed);
        assert!(counts.is_sorted() && counts[0] == 3, "{counts:?}");
        assert!(
            (5..=7).contains(&counts[1]) && counts[3] >= 40,
            "{counts:?}"
        );
    }

    #[test]
    fn what_is_lifted_was_sent_no_later_than_what_was_answered() {
        let mut doubts = Doubts::default();
        hang(&mut doubts, [1, 2, 3]);
        assert!(doubts.next_uncounted().is_some());
        assert!(doubts.refuted(Time::from_secs(0)).is_none());
        let first = doubts.refuted(Time::from_secs(1)).expect("the first");
        assert_eq!(doubts.lift(|doubt| doubt.id == first.id), 1);
        assert_eq!((doubts.len(), doubts.lift(|_| true)), (2, 0));
    }
}
