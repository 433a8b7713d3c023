//! What is measured of each route and each server.

pub mod answered;
pub mod in_flight;
pub mod recent;
pub mod round_trip;
pub mod service_time;
pub mod stream;
