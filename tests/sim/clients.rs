//! Clients that ask whether or not they were answered, like stub resolvers: once more after five
//! seconds.

use std::time::Duration;

use byway::clock::Time;
use rand::Rng;

use super::network::{exponential, unit};
use super::subject::Name;

/// How a stub resolver waits (resolv.conf(5): `timeout:5`), and how often it asks in all.
pub const STUB_TIMEOUT: Duration = Duration::from_secs(5);
pub const STUB_TRIES: u8 = 2;

/// What they ask for, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Questions a second.
    pub rate: f64,
    /// Names that many ask for ...
    pub popular: u32,
    /// ... and the share of questions for them; the others are for names never asked before.
    pub popular_share: f64,
}

impl Load {
    /// The lab's: 1,000 questions a second, 70 % of 2,000 popular names.
    pub const HOST: Load = Load {
        rate: 1000.0,
        popular: 2000,
        popular_share: 0.7,
    };
    /// A sidecar's: ten a second, all of which need an upstream.
    pub const SIDECAR: Load = Load {
        rate: 10.0,
        popular: 1,
        popular_share: 0.0,
    };

    /// How long until the next question, and what it is for.
    pub fn next(&self, serial: u64, rng: &mut impl Rng) -> (Duration, Name) {
        let gap = exponential(rng, Duration::from_secs_f64(1.0 / self.rate));
        let name = if unit(rng) < self.popular_share {
            // About Zipf: the square of a uniform number favours the first names.
            let rank = unit(rng).powi(3) * f64::from(self.popular);
            Name::Popular(rank as u32)
        } else {
            Name::Unknown(serial)
        };
        (gap, name)
    }
}

/// What became of one question.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When it was first asked.
    pub asked: Time,
    /// Whether for a name that was answered before.
    pub known: bool,
    /// Whether for one that may be at fault itself.
    pub may_fail: bool,
    /// When it was answered.
    pub answered: Option<Time>,
    /// Whether well.
    pub good: bool,
    /// Whether with something past its TTL.
    pub stale: bool,
    /// Answers received in all: never more than the times it was asked.
    pub answers: u8,
    /// Times it was asked.
    pub tries: u8,
}

impl Record {
    /// How long the client waited; `None` if it got nothing useful.
    pub fn latency(&self) -> Option<Duration> {
        self.answered
            .filter(|_| self.good)
            .map(|at| at.since(self.asked))
    }
}
