//! What turns outcomes into verdicts, and who is to blame.

pub mod blame;
pub mod counts;
pub mod doubts;
pub mod failing;
pub mod health;
pub mod probation;
