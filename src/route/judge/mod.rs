//! What turns outcomes into verdicts, and who is to blame.

pub mod blame;
pub mod classify;
pub(in crate::route) mod comeback;
pub mod counts;
pub mod doubts;
pub mod failing;
pub mod health;
pub mod probation;
pub mod transitions;
