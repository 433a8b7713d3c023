//! Tests of the room. hickory-proto's codec is the judge of what is well formed.

mod against_hickory;
mod arbitrary;
mod belonging;
mod compression;
mod keep;
mod name;
mod numbers;
mod present;
mod query;
mod reply;
mod response;
mod rotate;
mod support;
