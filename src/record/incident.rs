//! An incident as an engineer would piece it together: when, what was seen first, who was blamed on what evidence, what
//! byway did, what clients and upstreams felt, how it ended, and what it was worth.

mod account;
mod chart;
mod document;
mod find;
mod html;
mod scenario;
#[cfg(test)]
mod tests;
mod words;

pub use account::{Account, Blame, Load, Moment, Phases, Worth};
pub use find::{Blamed, Incident, find};
pub use html::html;
pub use scenario::scenario;
pub use words::{list, markdown, text};
