//! The routing engine: which route a question takes, and what byway believes of each.
//!
//! Everything here is a state machine without sockets, clock or entropy of its own, so that the
//! code that runs in the daemon also runs in a simulated network, where an hour of trouble takes a
//! second. [`Engine`] is shared by all workers; a [`Race`] is one question's way through its
//! attempts. The driver that owns the sockets does what each [`Step`] says and reports what came
//! of it.
//!
//! The evidence goes one way, and files import in that order (`tests/house.rs` checks it): [`measure`] keeps the numbers of
//! each route and server, [`judge`] turns outcomes into verdicts and says who is to blame, [`choose`], [`spend`] and [`load`] are
//! what a choice rests on. All of these are values that know nothing of one another's owners. [`engine`] owns one of each for
//! every route, path and upstream, and moves them; a [`race`] asks it for routes and tells it outcomes. The numbers that
//! all of it is tuned by stand in [`constants`].
//! A reload changes who takes part ([`Engine::reshape`]); what stays keeps its number and all that is known of it.

pub mod about;
pub mod ask;
mod chance;
pub mod choose;
pub mod constants;
pub mod engine;
pub mod ids;
pub mod judge;
pub mod load;
pub mod measure;
pub mod outcome;
pub mod race;
pub mod rules;
pub mod spend;
pub mod standing;
#[cfg(test)]
mod testing;

pub use about::{About, Kind};
pub use ask::{Ask, Failure, Finish, Purpose, Refused, Send, Step};
pub use engine::baseline::Baseline;
pub use engine::orders::UnknownName;
pub use engine::preview::{Candidate, PassedOver, Preview};
pub use engine::report::{PathReport, PoolReport, Report, RouteReport, UpstreamReport};
pub use engine::state::asking::ProbeAsks;
pub use engine::{Engine, Hedges, Prospect, Tick};
pub use ids::{PathId, PoolId, Route, RouteId, UpstreamId};
pub use measure::in_flight::AttemptId;
pub use measure::stream::{HeldUp, StreamFacts};
pub use outcome::{AttemptKind, Outcome};
pub use race::Race;
pub use standing::Standing;

pub use crate::observe::event::{Event, Evidence, Subject, Verdict};
