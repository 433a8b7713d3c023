//! What is known of names before anybody is asked: what is said here of special ones, which zone a name lies in, and so
//! whom it may be asked of.
//!
//! Everything here is made from the configuration in one go and not changed afterwards, so that it can be replaced as a
//! whole. Nothing here reads a clock, and no lookup allocates.

mod dns64;
pub mod guard;
mod local;
mod special;
mod zones;

pub use dns64::Dns64;
pub use local::{Hosts, Records, Table};
pub use special::{Said, Special, is_private};
pub use zones::{Terms, ZoneId, Zones, suffixes};

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Config;
use crate::config::lineup::Lineup;

/// All of it.
#[derive(Debug, Default)]
pub struct Names {
    /// Which zone names lie in.
    pub zones: Zones,
    /// Which names mean the same everywhere.
    pub special: Special,
    /// Records of the configuration.
    pub records: Table,
    /// How IPv6 addresses are made for hosts without IPv4, if they are.
    pub dns64: Option<Arc<Dns64>>,
    /// What the host's own file says: it changes by itself, whatever the configuration.
    hosts: Arc<RwLock<Arc<Table>>>,
}

impl Names {
    /// As `config` has it at the start.
    pub fn new(config: &Config) -> Names {
        Names {
            zones: Zones::new(config, &Lineup::new(config)),
            special: Special::new(config),
            records: Table::new(config),
            dns64: Dns64::new(config).map(Arc::new),
            hosts: Arc::default(),
        }
    }

    /// As `config`, whose pools have the numbers of `lineup`, has it after these.
    pub fn succeed(&self, config: &Config, lineup: &Lineup) -> Names {
        Names {
            zones: Zones::new(config, lineup),
            special: Special::new(config),
            records: Table::new(config),
            dns64: Dns64::new(config).map(Arc::new),
            hosts: Arc::clone(&self.hosts),
        }
    }

    /// Whether what upstreams say of `name` is another thing with `other` than with these.
    pub fn differ_for(&self, other: &Names, name: &[u8]) -> bool {
        let of = |names: &Names| {
            let terms = names.zones.terms_of(name);
            (terms.pool, terms.private_addresses)
        };
        of(self) != of(other)
            || self.zones.filters_of(name) != other.zones.filters_of(name)
            || self.zones.asks_others(&other.zones, name)
    }

    /// What the host's own file says.
    pub fn hosts(&self) -> Arc<Table> {
        Arc::clone(&self.hosts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// That it says something else from now on.
    pub fn take_hosts(&self, table: Table) {
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Where the records of `name`, in wire form and lower case, are known from, if they are known here.
    pub fn source_of(&self, name: &[u8]) -> Option<&'static str> {
        match self.records.find(name) {
            Some(_) => Some("[[record]]"),
            None => self.hosts().find(name).map(|_| "the host's file of names"),
        }
    }

    /// Whether the records of `name`, in wire form and lower case, are known here.
    pub fn is_local(&self, name: &[u8]) -> bool {
        self.records.find(name).is_some() || self.hosts().find(name).is_some()
    }
}
