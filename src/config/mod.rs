//! What the operator asked for.
//!
//! [`Config`] is the configuration as meant: every default filled in, every name resolved, every
//! value within its range. It is made from the file as written by the other files of this room,
//! which is also where errors with line, column and caret come from.

pub mod bounds;
pub mod host;
mod model;

pub use model::*;
