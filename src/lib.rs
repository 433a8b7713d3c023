//! byway: a resilient forwarding DNS resolver daemon.

pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod names;
pub mod net;
pub mod observe;
pub mod record;
pub mod resolve;
pub mod route;
pub mod serve;
pub mod sys;
pub mod tls;
pub mod wire;
