//! What the engine keeps: records that are moved by the files around this folder.

pub mod asking;
pub(in crate::route) mod group;
pub(in crate::route) mod idle;
pub(in crate::route) mod pool;
pub(in crate::route) mod record;
pub(in crate::route) mod round;
pub(in crate::route) mod seat;
pub(in crate::route) mod stalls;
pub(in crate::route) mod vain;
