//! What byway tells its operator.
//!
//! [`event`] is the closed list of what may have happened, [`trouble`] what of it an operator is told of, [`evidence`] what it rests on. [`metrics`] counts and is read at scrape
//! time; [`journal`] keeps the latest events; [`names`] is the one table of series; [`labels`] the closed lists of label values. [`log`]
//! sets up the log, [`top`] counts what clients ask most, [`query_log`] writes down every answer, [`quiet`] keeps a storm from flooding it, [`said`] quotes who said why something failed. No other room makes up a series name
//! or a label of its own.

mod cell;
pub mod event;
pub mod evidence;
mod facts;
pub mod journal;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod names;
pub mod query_log;
pub mod quiet;
pub mod said;
mod till;
pub mod top;
pub mod trace;
pub mod trouble;
