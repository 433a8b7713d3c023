//! The order of things.
//!
//! A query is answered from the cache if that holds a fresh answer. If it holds a stale one, that is
//! given at once when no route is clear, and otherwise as soon as waiting for a fresh one takes longer than a
//! hedge would. If nothing is held, or nothing usable, and the question has not just failed
//! (RFC 9520), it joins those who ask the same, or becomes the first: the engine plans a race, the race's
//! attempts go out, and what comes back is kept and given to everybody who waits.
//!
//! [`Core`] is that order, one per worker and without sockets. [`front`] is its face towards the
//! front ends, [`shared`] what the workers have in common.

mod ask;
mod attempts;
pub mod backlog;
mod chase;
pub mod clients;
mod core;
mod cuts;
pub mod front;
mod guarded;
pub mod inflight;
pub mod lookout;
pub mod loops;
mod made;
pub mod mailbox;
mod manners;
mod mend;
mod outcomes;
mod own;
mod places;
pub mod promptness;
pub mod question;
pub mod rest;
mod settle;
pub mod shared;
pub mod timers;
mod trace;
pub mod waiters;

pub use self::core::Core;
pub use shared::Shared;
