//! Every number that the engine is tuned by, in one place.
//!
//! Each constant stands here with its unit, its reason and its source, by the step that it belongs to. Which functions
//! rest on it is read off the code. `docs/routing.md` prints all of it as one table; a test keeps the two together:
//! `BYWAY_WRITE_DOCS=1 cargo test --lib route::constants` writes it anew.

use std::time::Duration;

/// Says what a constant is, and enters it in its topic's table.
///
/// After the value stand its unit and its source. `own` says that byway chose the figure and the rows of the simulation
/// hold it.
macro_rules! constants {
    (
        $(#[doc = $about:literal])*
        $topic:ident;
        $($(#[doc = $why:literal])* $name:ident: $type:ty = $value:expr, $unit:literal, $source:literal;)*
    ) => {
        $(#[doc = $about])*
        pub mod $topic {
            #[allow(unused_imports, reason = "some topics have no times")]
            use {std::time::Duration, super::super::{millis, secs}};

            $($(#[doc = $why])* pub const $name: $type = $value;)*

            #[cfg(test)]
            pub(in super::super) fn topic() -> super::super::table::Topic {
                use super::super::table::{Constant, Shown, Topic};
                let constants = vec![$(Constant {
                    name: stringify!($name),
                    value: $name.shown(),
                    unit: $unit,
                    why: concat!($($why),*),
                    source: $source,
                }),*];
                Topic { name: stringify!($topic), about: concat!($($about),*), constants }
            }
        }
    };
}

pub mod choose;
pub mod engine;
pub mod judge;
pub mod load;
pub mod measure;
pub mod probe;
pub mod race;
pub mod spend;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[cfg(test)]
mod table;
