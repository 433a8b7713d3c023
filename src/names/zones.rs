//! Which zone a name lies in: the one whose name is its longest suffix.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::config::lineup::Lineup;
use crate::config::{Config, ZoneConfig, ZoneTtls};
use crate::wire::RecordType;

/// A zone of the configuration, as an index into [`Config::zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

/// The zones by their names.
#[derive(Debug, Default, PartialEq)]
pub struct Zones {
    /// By name in wire form and lower case. The keys are the operator's: nobody chooses them to make them collide.
    by_name: HashMap<Box<[u8]>, ZoneId, FixedState>,
    /// The number of labels of the longest of these names.
    deepest: usize,
    /// By zone.
    terms: Box<[Terms]>,
    /// Those of names in no zone.
    others: Terms,
    /// The types that each has no data of, whatever there is.
    filters: Box<[Box<[RecordType]>]>,
    /// For how long what is said of its names is kept; empty if no zone says so.
    ttls: Box<[ZoneTtls]>,
    /// The upstreams that each has of its own, by what tells those apart who have had a number one after the other.
    servers: Box<[Box<[u32]>]>,
    /// Whether any has subtrees denied.
    any_cuts: bool,
    /// What each is called.
    titles: Box<[String]>,
}

/// How the questions of a zone are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The index of the pool whose upstreams they may be asked of; 0 is the main one.
    pub pool: u16,
    /// How long they may take in all.
    pub deadline: Duration,
    /// Whether answers past their TTL may be given when nothing better comes.
    pub stale: bool,
    /// Whether they may be answered with addresses that are not reached from the Internet.
    pub private_addresses: bool,
    /// Whether what their upstreams cannot answer is asked of the main ones.
    pub fall_through: bool,
    /// Whether there is nothing below a name that does not exist.
    pub subtree_denial: bool,
}

impl Zones {
    /// The zones of `config`, whose pools have the numbers of `lineup`.
    pub fn new(config: &Config, lineup: &Lineup) -> Zones {
        let pools = lineup.zones.iter().copied();
        let others = Terms {
            pool: 0,
            deadline: config.routing.deadline,
            stale: true,
            private_addresses: true,
            fall_through: false,
            subtree_denial: false,
        };
        let terms = config.zones.iter().zip(pools).map(|(zone, pool)| Terms {
            pool,
            deadline: zone.deadline.unwrap_or(others.deadline),
            stale: zone.stale,
            private_addresses: zone.private_addresses,
            fall_through: zone.fall_through && pool != 0,
            subtree_denial: zone.subtree_denial,
        });
        let filters = config.zones.iter().map(|zone| zone.filter.clone().into());
        let ttls = match config.zones.iter().any(|zone| zone.ttls.is_any()) {
            true => config.zones.iter().map(|zone| zone.ttls).collect(),
            false => Box::default(),
        };
        let mut zones = Zones {
            ttls,
            any_cuts: config.zones.iter().any(|zone| zone.subtree_denial),
            terms: terms.collect(),
            others,
            filters: filters.collect(),
            servers: servers(config, lineup),
            titles: config.zones.iter().map(title).collect(),
            ..Zones::default()
        };
        for (zone, of) in (0u16..).zip(&config.zones) {
            for name in &of.names {
                zones.deepest = zones.deepest.max(suffixes(name).count());
                zones.by_name.insert(name.as_slice().into(), ZoneId(zone));
            }
        }
        zones
    }

    /// The zone that `name`, in wire form and lower case, lies in.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<ZoneId> {
        match self.by_name.is_empty() {
            true => None,
            false => self.longest(name),
        }
    }

    fn longest(&self, name: &[u8]) -> Option<ZoneId> {
        let labels = suffixes(name).count();
        let mut candidates = suffixes(name).skip(labels.saturating_sub(self.deepest));
        candidates.find_map(|suffix| self.by_name.get(suffix).copied())
    }

    /// Whether `name` lies in a zone other than the root whose name is at least as long as its last `len` octets.
    pub fn claims(&self, name: &[u8], len: usize) -> bool {
        let labels = suffixes(name).count();
        let mut candidates = suffixes(name).skip(labels.saturating_sub(self.deepest));
        candidates.any(|suffix| suffix.len() >= len.max(2) && self.by_name.contains_key(suffix))
    }

    /// Whether none of those that `name` was asked of with `other` is asked for it with these, where a zone has some of its own.
    pub fn asks_others(&self, other: &Zones, name: &[u8]) -> bool {
        let of = |zones: &Zones| {
            let zone = zones.find(name)?;
            let servers = zones.servers.get(usize::from(zone.0))?;
            (!servers.is_empty()).then(|| servers.clone())
        };
        match (of(self), of(other)) {
            (Some(now), Some(then)) => !now.iter().any(|it| then.contains(it)),
            _ => false,
        }
    }

    /// What the zone that `name` lies in is called.
    pub fn title_of(&self, name: &[u8]) -> Option<&str> {
        let zone = self.find(name)?;
        Some(&self.titles[usize::from(zone.0)])
    }

    /// Whether `name` is said to have no data of this type, whatever there is.
    pub fn filters(&self, name: &[u8], record_type: RecordType) -> bool {
        let zone = self.find(name);
        zone.is_some_and(|zone| self.filters[usize::from(zone.0)].contains(&record_type))
    }

    /// The types that `name` is said to have no data of.
    pub fn filters_of(&self, name: &[u8]) -> &[RecordType] {
        let zone = self.find(name);
        zone.map_or(&[], |zone| &self.filters[usize::from(zone.0)])
    }

    /// Whether something of what upstreams say of `name` is kept from clients.
    pub fn changes(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|zone| {
            let zone = usize::from(zone.0);
            !self.filters[zone].is_empty() || !self.terms[zone].private_addresses
        })
    }

    /// The zone of `name` by its own name, if there is nothing in it below names that do not exist.
    pub fn cuts<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        if !self.any_cuts {
            return None;
        }
        let (suffix, zone) =
            suffixes(name).find_map(|suffix| Some((suffix, self.by_name.get(suffix)?)))?;
        self.terms[usize::from(zone.0)]
            .subtree_denial
            .then_some(suffix)
    }

    /// For how long what is said of `name` is kept.
    pub fn ttls_of(&self, name: &[u8]) -> ZoneTtls {
        if self.ttls.is_empty() {
            return ZoneTtls::default();
        }
        let zone = self.find(name);
        zone.map_or_else(ZoneTtls::default, |zone| self.ttls[usize::from(zone.0)])
    }

    /// How questions for `name` are asked.
    #[inline]
    pub fn terms_of(&self, name: &[u8]) -> Terms {
        let zone = self.find(name);
        zone.map_or(self.others, |zone| self.terms[usize::from(zone.0)])
    }
}

fn servers(config: &Config, lineup: &Lineup) -> Box<[Box<[u32]>]> {
    // Zones speak of places in the file.
    let tenants: HashMap<usize, u32> = lineup
        .upstreams
        .iter()
        .filter_map(|slot| Some((usize::from(slot.place?), slot.tenant)))
        .collect();
    let of = |zone: &ZoneConfig| {
        let upstreams = zone.upstreams.iter();
        upstreams
            .filter_map(|it| tenants.get(it).copied())
            .collect()
    };
    config.zones.iter().map(of).collect()
}

/// What a zone is called where its names are asked about.
fn title(zone: &ZoneConfig) -> String {
    match &zone.learnt {
        None => zone.title(),
        Some(link) => format!("{} (of {link})", zone.title()),
    }
}

/// A name, and it without its first label, and so on to the root.
pub fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors((!name.is_empty()).then_some(name), |rest| {
        let label = usize::from(*rest.first()?);
        (label > 0).then(|| rest.get(1 + label..)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::name_from_text;

    fn name(text: &str) -> Vec<u8> {
        name_from_text(text).expect("a name")
    }

    fn zones(names: &[&[&str]]) -> Zones {
        let mut config = Config::default_with_upstreams(&[([192, 0, 2, 1], 53).into()]);
        config.zones = names
            .iter()
            .map(|names| {
                let names = names.iter().map(|text| name(text)).collect();
                ZoneConfig::new(names, Vec::new())
            })
            .collect();
        Zones::new(&config, &Lineup::new(&config))
    }

    #[test]
    fn the_longest_suffix_wins() {
        let zones = zones(&[&["corp.example", "10.in-addr.arpa"], &["lab.corp.example"]]);
        let find = |text: &str| zones.find(&name(text)).map(|zone| zone.0);
        assert_eq!(find("corp.example"), Some(0));
        assert_eq!(find("www.corp.example"), Some(0));
        assert_eq!(find("a.b.c.lab.corp.example"), Some(1));
        assert_eq!(find("1.2.3.10.in-addr.arpa"), Some(0));
        assert_eq!(find("example"), None);
        assert_eq!(find("notcorp.example"), None, "labels, not letters");
        assert_eq!(find("corp.example.net"), None);
        assert_eq!(find("."), None);
    }

    #[test]
    fn the_root_takes_what_is_left() {
        let zones = zones(&[&["."], &["test"]]);
        let find = |text: &str| zones.find(&name(text)).map(|zone| zone.0);
        assert_eq!(
            (find("."), find("com"), find("a.test")),
            (Some(0), Some(0), Some(1))
        );
    }

    proptest! {
        /// As somebody would who compares the name with each zone.
        #[test]
        fn as_by_comparing_with_each(
            all in prop::collection::vec("([ab]\\.){0,3}[ab]", 0..6),
            asked in "([ab]\\.){0,5}[ab]",
        ) {
            let lists: Vec<[&str; 1]> = all.iter().map(|it| [it.as_str()]).collect();
            let lists: Vec<&[&str]> = lists.iter().map(|it| it.as_slice()).collect();
            let zones = zones(&lists);
            let dotted = format!(".{asked}");
            let within = all.iter().filter(|zone| dotted.ends_with(&format!(".{zone}")));
            let expected = within.map(|zone| zone.len()).max();
            let found = zones.find(&name(&asked));
            prop_assert_eq!(found.map(|zone| all[usize::from(zone.0)].len()), expected);
        }
    }
}
