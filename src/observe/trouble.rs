//! Troubles: what an operator is told of, once when it has begun and once when it is over.
//!
//! A verdict on a route is a change of mind, and in an outage there are dozens of them. A trouble is what they come to:
//! it has one [`Culprit`], and the one that explains most covers the others. [`Troubles`] makes them out of the
//! [`Event`](super::event::Event)s of the engine and of what clients got, with time as an argument. A trouble is told
//! of after a second of it, so that doubts, and the order in which verdicts fall, are nobody's alarm; it is over when things
//! have been well for a while, longer each time it comes back soon.

mod watch;
mod words;

use std::sync::Arc;
use std::time::Duration;

use super::event::{Evidence, Subject, Verdict};
use super::labels::Scope;
use super::said::Said;
use crate::clock::Time;
use crate::wire::Rcode;

pub use watch::Troubles;

/// Whom a trouble is put down to, the one that explains most first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// Nobody answers usefully: names that are not known already do not resolve. Those of this zone, where it has
    /// upstreams of its own; `None` for all other names.
    Outage(Option<Arc<str>>),
    /// Some answer, and no route is clear. Whose, as of [`Culprit::Outage`].
    NothingClear(Option<Arc<str>>),
    /// A path, an upstream, or one route.
    One(Subject),
}

impl Culprit {
    /// The path, the upstream or the route.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Culprit::One(subject) => Some(subject),
            Culprit::Outage(_) | Culprit::NothingClear(_) => None,
        }
    }

    /// The zone whose names it is about, where it is not all names.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Culprit::Outage(zone) | Culprit::NothingClear(zone) => zone.as_deref(),
            Culprit::One(_) => None,
        }
    }

    /// How much it is about.
    pub fn scope(&self) -> Scope {
        match self {
            Culprit::Outage(_) => Scope::Outage,
            Culprit::NothingClear(_) => Scope::NothingClear,
            Culprit::One(Subject::Path(_)) => Scope::Path,
            Culprit::One(Subject::Upstream(_)) => Scope::Upstream,
            // Names are no trouble of this kind.
            Culprit::One(Subject::Route(_) | Subject::Name(_)) => Scope::Route,
        }
    }
}

/// What is wrong with a path, an upstream or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It is found to be this.
    Found(Verdict),
    /// Nothing listens at the server's port.
    Refuses,
    /// The path's interface or source address is not on this host, or it has no carrier: why.
    Missing(String),
    /// It has brought nothing since the start.
    Silent(Said),
}

impl Nature {
    /// It answers nothing, or cannot be used.
    pub fn is_deadly(&self) -> bool {
        !matches!(self, Nature::Found(verdict) if *verdict != Verdict::Dead)
    }
}

/// What clients got, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Felt {
    /// Questions answered in any way.
    pub asked: u64,
    /// Of those, with a failure: no upstream gave a usable answer in time.
    pub failed: u64,
    /// Of those, from the cache past the TTL.
    pub stale: u64,
    /// Attempts made because an earlier one was late or failed.
    pub again: u64,
}

impl Felt {
    /// What has come to it since `before`.
    pub fn since(self, before: Felt) -> Felt {
        Felt {
            asked: self.asked.saturating_sub(before.asked),
            failed: self.failed.saturating_sub(before.failed),
            stale: self.stale.saturating_sub(before.stale),
            again: self.again.saturating_sub(before.again),
        }
    }
}

/// A route, by the operator's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `upstream@path`.
    pub route: Arc<str>,
    /// Its upstream's name.
    pub upstream: Arc<str>,
    /// Its path's name.
    pub path: Arc<str>,
    /// Which pools it belongs to, as indices: routes that the same names may take.
    pub pools: Vec<usize>,
}

/// What there is to see beside the events.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What clients got since the start.
    pub felt: Felt,
    /// When an upstream of each pool last gave a useful answer; [`Time::default`] if none has.
    pub useful: Vec<Time>,
    /// What clients have asked each pool for in vain.
    pub vain: Vec<Vain>,
    /// Answers in the cache.
    pub known: u64,
    /// What the host slept since the start.
    pub slept: Duration,
}

/// Names that clients asked for in vain, as far as they are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vain {
    /// How many since an upstream last gave a useful answer.
    pub names: usize,
    /// The response code that came last, if one did.
    pub rcode: Option<Rcode>,
    /// How many since one last gave a useful answer to a client: who serves the root says nothing of other names.
    pub unserved: usize,
    /// Of how many zones those of `unserved` are to which a server answered uselessly.
    pub zones: usize,
    /// When the first of `unserved` came to nothing.
    pub since: Time,
}

/// A trouble as it is told of when it has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Its number since the start of the process, from 1.
    pub number: u64,
    /// Whom it is put down to.
    pub culprit: Culprit,
    /// When it began to show: earlier than it is told.
    pub since: Time,
    /// For how long it has shown.
    pub lasted: Duration,
    /// What is wrong; `None` where it is everything.
    pub nature: Option<Nature>,
    /// What that rests on; default where nothing was measured.
    pub evidence: Evidence,
    /// Where it is everything: what is wrong with each, in words, and whom that is about.
    pub reasons: Vec<(String, Vec<Arc<str>>)>,
    /// Who is used in its place, by the operator's names.
    pub instead: Vec<Arc<str>>,
    /// What clients got since it began to show.
    pub felt: Felt,
    /// Answers in the cache, with which clients are served meanwhile.
    pub known: u64,
    /// Numbers of troubles told shortly before that this one explains: they have no end of their own.
    pub explains: Vec<u64>,
    /// It was so at the start, and the log says so already.
    pub said: bool,
}

/// A trouble as it is told of when it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// Its number, that of its [`Begun`].
    pub number: u64,
    /// Whom it was put down to.
    pub culprit: Culprit,
    /// What was wrong, at its worst; `None` where it was everything.
    pub nature: Option<Nature>,
    /// When it began to show.
    pub since: Time,
    /// From then until things were well and stayed so. Not what the host slept of it.
    pub lasted: Duration,
    /// What the host slept of it.
    pub slept: Duration,
    /// How often it came back within that time.
    pub flapped: u32,
    /// What clients got from when it began to show until it is told to be over.
    pub felt: Felt,
    /// It is not over, but the operator took out of use whom it is about.
    pub drained: bool,
}

/// A trouble that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Ongoing {
    /// As it would be told now.
    pub begun: Begun,
    /// How often it came back.
    pub flapped: u32,
    /// For how long things have been well, if they are at the moment: it is not over before that has lasted.
    pub well_for: Option<Duration>,
}

#[cfg(test)]
mod tests;
