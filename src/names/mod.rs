//! What is known of names before anybody is asked: what is said here of special ones, which zone a name lies in, and so
//! whom it may be asked of.
//!
//! Everything here is made from the configuration in one go and not changed afterwards, so that it can be replaced as a
//! whole. Nothing here reads a clock, and no lookup allocates.

mod special;
mod zones;

pub use special::{Said, Special};
pub use zones::{Terms, ZoneId, Zones};

use crate::config::Config;

/// All of it.
#[derive(Debug, Default)]
pub struct Names {
    /// Which zone names lie in.
    pub zones: Zones,
    /// Which names mean the same everywhere.
    pub special: Special,
}

impl Names {
    /// As `config` has it.
    pub fn new(config: &Config) -> Names {
        Names {
            zones: Zones::new(config),
            special: Special::new(config),
        }
    }
}
