//! The record by steps of time: what clients felt, and how each route fared.

mod figures;
mod grid;
mod openmetrics;
mod show;
#[cfg(test)]
mod tests;

pub(super) use figures::{Buckets, upstream_answers};
pub use figures::{Felt, RouteFelt, Step, steps};
pub use grid::{Grid, Row, comfortable};
pub use openmetrics::write as openmetrics;
pub(super) use show::{columns, millis, percent};
pub use show::{csv, json, table};
