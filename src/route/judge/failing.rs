//! Names and zones known to fail.
//!
//! A question that nobody answered while others were answered is a failing one, and that it fails again says
//! nothing of whom it was asked. So does a new name of a zone of which several have failed and none was answered
//! since. What is kept is bounded: a newer one takes the place of an older one.

use crate::clock::Time;
use crate::route::about::{About, Kind};
use crate::route::constants::judge::failing::*;
use crate::route::ids::UpstreamId;
use crate::route::rules::Rule;

#[derive(Clone, Copy, Debug)]
struct Place {
    key: u64,
    at: Time,
    /// Names of the zone that have failed in a row.
    times: u16,
}

/// What is known to fail.
#[derive(Debug)]
pub struct Failing {
    places: Box<[Place]>,
    /// Nothing was ever entered: the usual case costs nothing.
    any: bool,
}

impl Default for Failing {
    fn default() -> Failing {
        let empty = Place {
            key: 0,
            at: Time::default(),
            times: 0,
        };
        Failing {
            places: vec![empty; PLACES].into_boxed_slice(),
            any: false,
        }
    }
}

impl Failing {
    /// Whether this question is expected to fail.
    pub fn expects(&self, about: About, now: Time) -> bool {
        self.any
            && (self.times(about.name, now) > 0 && Rule::FailsAgain.stands()
                || self.times(hung(about.name), now) > 0 && Rule::HangsAgain.stands()
                || self.times(zone(about), now) >= ZONE && Rule::ZoneFails.stands())
    }

    /// It was not answered in time by one that did answer others. That it will not be answered by anybody is to be
    /// seen.
    pub fn hangs(&mut self, about: About, now: Time) {
        self.count(hung(about.name), now);
    }

    /// It has failed, and that was its own doing.
    pub fn failed(&mut self, about: About, now: Time) {
        let known = self.times(about.name, now) > 0;
        self.count(about.name, now);
        // Each name speaks once of its zone.
        if !known && about.name != 0 {
            self.count(zone(about), now);
        }
    }

    /// Whether this question, or its zone, is one that `upstream` alone fails to answer while it does answer
    /// others: its last useful answer came at `answered`. A repetition is news only if nothing else works either.
    pub fn expects_at(
        &self,
        about: About,
        upstream: UpstreamId,
        answered: Time,
        now: Time,
    ) -> bool {
        let fails = |key: u64| self.times(key, now) > 0 && self.places[index(key)].at < answered;
        self.any
            && Rule::FailsThere.stands()
            && (fails(at(about.name, upstream)) || fails(at(zone(about), upstream)))
    }

    /// `upstream` did not answer it, and another one did.
    pub fn failed_at(&mut self, about: About, upstream: UpstreamId, now: Time) {
        self.count(at(about.name, upstream), now);
        self.count(at(zone(about), upstream), now);
    }

    /// `upstream` answered it.
    pub fn answered_at(&mut self, about: About, upstream: UpstreamId) {
        if self.any {
            self.forget(at(about.name, upstream));
            self.forget(at(zone(about), upstream));
        }
    }

    /// It was answered.
    pub fn answered(&mut self, about: About) {
        if self.any {
            self.forget(about.name);
            self.forget(hung(about.name));
            self.forget(zone(about));
        }
    }

    fn forget(&mut self, key: u64) {
        let place = self.place(key);
        if place.key == key {
            place.times = 0;
        }
    }

    fn times(&self, key: u64, now: Time) -> u16 {
        let place = self.places[index(key)];
        let known = key != 0 && place.key == key && now.since(place.at) < MEMORY;
        if known { place.times } else { 0 }
    }

    fn count(&mut self, key: u64, now: Time) {
        if key == 0 {
            return;
        }
        let times = self.times(key, now).saturating_add(1);
        self.any = true;
        *self.place(key) = Place {
            key,
            at: now,
            times,
        };
    }

    fn place(&mut self, key: u64) -> &mut Place {
        &mut self.places[index(key)]
    }
}

/// The key of a zone, which is not that of the name at its top, for questions of one kind: who drops HTTPS questions
/// answers others.
fn zone(about: About) -> u64 {
    let kind = match about.kind {
        Kind::Plain => 0,
        Kind::Typed(place) => 1 + u64::from(place),
        Kind::Odd => u64::from(u8::MAX),
    };
    match about.zone {
        0 => 0,
        hash => hash.rotate_left(32) ^ 0x7a6f_6e65 ^ (kind << 56),
    }
}

/// The key of a question that hangs.
fn hung(name: u64) -> u64 {
    match name {
        0 => 0,
        name => name.rotate_left(16) ^ 0x6875_6e67,
    }
}

/// The key of what fails at one server alone.
fn at(key: u64, upstream: UpstreamId) -> u64 {
    match key {
        0 => 0,
        key => key ^ (u64::from(upstream.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

fn index(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(secs: u64) -> Time {
        Time::START + Duration::from_secs(secs)
    }

    fn about(name: u64, zone: u64) -> About {
        About {
            name: name << 20,
            zone: zone << 40,
            kind: Kind::Plain,
        }
    }

    #[test]
    fn what_failed_is_expected_to_until_it_is_answered_or_long_ago() {
        let mut failing = Failing::default();
        assert!(!failing.expects(about(1, 1), time(1)));
        failing.failed(about(1, 1), time(1));
        assert!(failing.expects(about(1, 1), time(2)));
        assert!(
            !failing.expects(about(2, 1), time(2)),
            "one name is no zone"
        );
        assert!(!failing.expects(about(1, 1), time(302)));
        failing.failed(about(1, 1), time(303));
        failing.answered(about(1, 1));
        assert!(!failing.expects(about(1, 1), time(304)));
    }

    #[test]
    fn a_zone_fails_by_distinct_names_in_a_row() {
        let mut failing = Failing::default();
        for _ in 0..9 {
            failing.failed(about(1, 1), time(1));
        }
        failing.failed(about(2, 1), time(1));
        assert!(!failing.expects(about(9, 1), time(1)), "two names");
        failing.answered(about(3, 1));
        failing.failed(about(4, 1), time(1));
        failing.failed(about(5, 1), time(1));
        assert!(!failing.expects(about(9, 1), time(1)), "one was answered");
        failing.failed(about(6, 1), time(1));
        assert!(failing.expects(about(9, 1), time(1)));
        assert!(!failing.expects(about(9, 2), time(1)), "another zone");
    }

    #[test]
    fn a_zone_fails_by_the_kind_of_question() {
        let mut failing = Failing::default();
        let typed = |name| About {
            kind: Kind::Typed(1),
            ..about(name, 1)
        };
        (1..=3).for_each(|name| failing.failed(typed(name), time(1)));
        assert!(failing.expects(typed(9), time(1)));
        assert!(!failing.expects(about(9, 1), time(1)));
    }

    #[test]
    fn questions_without_a_name_are_never_known() {
        let mut failing = Failing::default();
        (0..9).for_each(|_| failing.failed(About::PLAIN, time(1)));
        assert!(!failing.expects(About::PLAIN, time(1)));
    }

    #[test]
    fn what_fails_at_one_server_is_news_until_that_one_answers_something_else() {
        let (one, other) = (UpstreamId(0), UpstreamId(1));
        let mut failing = Failing::default();
        failing.failed_at(about(1, 1), one, time(10));
        assert!(!failing.expects_at(about(1, 1), one, time(9), time(11)));
        assert!(failing.expects_at(about(1, 1), one, time(11), time(12)));
        assert!(!failing.expects_at(about(1, 1), other, time(11), time(12)));
        assert!(
            failing.expects_at(about(2, 1), one, time(11), time(12)),
            "its zone"
        );
        assert!(!failing.expects_at(about(2, 2), one, time(11), time(12)));
        failing.answered_at(about(5, 1), one);
        assert!(!failing.expects_at(about(4, 1), one, time(14), time(14)));
    }
}
