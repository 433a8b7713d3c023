//! Which upstreams are asked together.

use super::{Config, Policy, ZoneConfig};
use crate::wire::name_to_text;

/// Upstreams that names of the same zones are asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The first of those zones; `None` for the upstreams of all other names.
    pub name: Option<String>,
    /// Indices into [`Config::upstreams`], in the order in which they are written. At least one.
    pub upstreams: Vec<usize>,
    /// Which of the clear routes is asked first.
    pub policy: Policy,
}

impl Config {
    /// The pools, the main one first, and for each zone the index of its own. Zones with the same upstreams and the
    /// same policy share one.
    ///
    /// An upstream that a zone names is asked for the names of zones that name it and for nothing else: a server of an
    /// internal network is to hear no other names.
    pub fn pools(&self) -> (Vec<PoolConfig>, Vec<u16>) {
        let root = self
            .zones
            .iter()
            .find(|zone| zone.is_root() && !zone.upstreams.is_empty());
        let taken = |index: &usize| {
            let mut zones = self.zones.iter().filter(|zone| zone.learnt.is_none());
            // What a link says takes nobody from other names.
            self.upstreams[*index].of_link || zones.any(|zone| zone.upstreams.contains(index))
        };
        let main = match root {
            Some(zone) => zone.upstreams.clone(),
            None => (0..self.upstreams.len()).filter(|it| !taken(it)).collect(),
        };
        let mut pools = vec![PoolConfig {
            name: None,
            upstreams: main,
            policy: root
                .and_then(|zone| zone.policy)
                .unwrap_or(self.routing.policy),
        }];
        let places = self.zones.iter().map(|zone| {
            let upstreams = match zone.upstreams.is_empty() {
                true => pools[0].upstreams.clone(),
                false => zone.upstreams.clone(),
            };
            let policy = zone.policy.unwrap_or(pools[0].policy);
            let same = |pool: &PoolConfig| pool.upstreams == upstreams && pool.policy == policy;
            let place = pools.iter().position(same).unwrap_or_else(|| {
                pools.push(PoolConfig {
                    name: Some(zone.title()),
                    upstreams: upstreams.clone(),
                    policy,
                });
                pools.len() - 1
            });
            place as u16
        });
        let places = places.collect();
        (pools, places)
    }
}

impl ZoneConfig {
    /// What it is called: its first name.
    pub fn title(&self) -> String {
        let name = self.names.first().map_or(&[0][..], Vec::as_slice);
        let text = name_to_text(name);
        match text.strip_suffix('.') {
            Some("") | None => text,
            Some(text) => text.to_owned(),
        }
    }

    /// Whether it takes in every name that no other zone does.
    pub fn is_root(&self) -> bool {
        self.names.iter().any(|name| name.as_slice() == [0])
    }
}
