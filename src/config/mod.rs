//! What the operator asked for.
//!
//! [`Config`] is the configuration as meant: every default filled in, every name resolved, every
//! value within its range. It is made in three steps, each in a file of its own: `syntax` (is it
//! TOML), `spec` (does each key hold what it may hold), `meaning` (does the whole make sense on this
//! host). Each step gives [`Report`]s with line, column and caret; nothing is ever clamped in silence.
//!
//! Without a file byway runs by the defaults, with the upstreams of the host's resolv.conf.

pub mod address;
pub mod bounds;
mod certificates;
mod dns64;
mod drop_ins;
mod encryption;
pub mod file;
mod guards;
pub mod host;
pub mod lineup;
pub mod links;
pub mod live;
mod load;
mod meaning;
mod model;
mod paths;
mod pools;
mod ports;
mod print;
mod records;
pub mod reloading;
pub mod report;
mod schema;
mod settings;
mod spec;
mod syntax;
mod system;
mod table;
pub mod units;
mod value;
mod zones;

pub use drop_ins::{Added, folder as drop_in_folder};
pub use load::{ConfigError, DEFAULT_FILE, Loaded, Overrides, Sources, UpstreamsFrom, load, parse};
pub use model::*;
pub use pools::PoolConfig;
pub use ports::{PortRange, PortRule, SourcePorts};
pub use report::Report;
pub use schema::schema;
pub use spec::AdminListen;
pub use zones::reverse_zones;

/// The annotated default: every key with its meaning, unit, range and default.
pub const ANNOTATED: &str = include_str!("../../config/byway.toml");

#[cfg(test)]
mod tests;
