//! What is known of names before anybody is asked: which zone a name lies in, and so whom it may be asked of.
//!
//! Everything here is made from the configuration in one go and not changed afterwards, so that it can be replaced as a
//! whole. Nothing here reads a clock, and no lookup allocates.

mod zones;

pub use zones::{Terms, ZoneId, Zones};
