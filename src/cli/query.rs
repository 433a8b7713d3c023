//! What `byway query` is told.

use std::path::PathBuf;

use clap::Args;

use super::run::{ConfigArgs, upstream};
use crate::config::address::Endpoint;
use crate::wire::RecordType;

/// Ask one question through the routing engine and print the answer, the route and the time it took
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// The name, as in a zone file; the final dot may be left out
    pub name: String,
    /// The type of record: a mnemonic, or TYPE and a number
    #[arg(value_name = "TYPE", default_value = "A")]
    pub record_type: RecordType,
    /// Configuration file [default: /etc/byway/byway.toml, if it exists]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask this resolver, in place of the file's upstreams; may be given several times
    #[arg(long, short, value_name = "ADDR", value_parser = upstream)]
    pub upstream: Vec<Endpoint>,
}

impl QueryArgs {
    /// Where the configuration comes from: as for `byway run`, but nothing is listened on.
    pub fn config_args(&self) -> ConfigArgs {
        ConfigArgs {
            config: self.config.clone(),
            listen: Vec::new(),
            upstream: self.upstream.clone(),
        }
    }
}
