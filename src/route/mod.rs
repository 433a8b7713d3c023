//! The routing engine: which route a question takes, and what byway believes of each.
//!
//! Everything here is a state machine without sockets, clock or entropy of its own, so that the
//! code that runs in the daemon also runs in a simulated network, where an hour of trouble takes a
//! second. [`Engine`] is shared by all workers; a [`Race`] is one question's way through its
//! attempts. The driver that owns the sockets does what each [`Step`] says and reports what came
//! of it.
//!
//! The evidence goes one way: an attempt ends in one [`Outcome`] ([`flight`] keeps those under
//! way, [`carriage`] is what TCP saw of them), it moves ([`evidence`]) the numbers of its route
//! ([`estimate`], and [`hardness`] of its server) and the verdicts that rest on them ([`health`]);
//! [`blame`] decides whether the path or the server is the trouble, [`judgement`] draws the
//! consequences; [`selector`] chooses among what is left, around what [`stall`] sees to hang just now,
//! within the [`limit`] of each route and the [`budget`] of all. After a start `first_round` asks every route once.
//! A reload changes who takes part ([`Engine::reshape`]); what stays keeps its number and all that is known of it.

pub mod about;
pub mod answered;
pub mod baseline;
pub mod blame;
pub mod budget;
pub mod carriage;
pub mod constants;
pub mod doubts;
pub mod engine;
pub mod estimate;
pub mod evidence;
pub mod failing;
mod faults;
mod first_round;
pub mod flight;
pub mod further;
pub mod hardness;
pub mod health;
mod idle;
pub mod judgement;
mod lane;
pub mod limit;
pub mod outcome;
pub mod patience;
pub mod pool;
pub mod precedence;
pub mod preview;
pub mod probe;
pub mod race;
mod recent;
pub mod report;
mod reshape;
pub mod selector;
pub mod stall;
pub mod tally;
pub mod terms;
#[cfg(test)]
mod testing;
mod vain;

use std::sync::Arc;

pub use about::{About, Kind};
pub use baseline::Baseline;
pub use carriage::{Carriage, HeldUp};
pub use engine::{Engine, Hedges, Prospect, Standing, Tick};
pub use flight::AttemptId;
pub use outcome::{AttemptKind, Outcome};
pub use pool::PoolId;
pub use preview::{Candidate, PassedOver, Preview};
pub use probe::ProbeAsks;
pub use race::Race;
pub use report::{PathReport, PoolReport, Report, RouteReport, UnknownName, UpstreamReport};
pub use terms::{Ask, Failure, Finish, Purpose, Refused, Send, Step};

pub use crate::observe::event::{Event, Evidence, Subject, Verdict};

/// An upstream, by its number in the [`Lineup`](crate::config::lineup::Lineup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u16);

/// A path, by its number in the [`Lineup`](crate::config::lineup::Lineup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u16);

/// A route, as an index into [`Engine::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// One upstream over one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The resolver asked.
    pub upstream: UpstreamId,
    /// The way out.
    pub path: PathId,
    /// `upstream@path`, as the operator sees it.
    pub name: Arc<str>,
}
