//! The order of things: what becomes of a question.

pub mod front;
pub mod timers;
