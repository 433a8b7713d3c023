//! Who takes part in the running configuration, each under a number that it keeps.
//!
//! Questions in flight, sockets, measurements and metrics know a path, an upstream or a route by its number. So a
//! reload never moves one: what stays keeps its number, what is taken out leaves its number empty, and what is new gets
//! one that nobody has, or that has been empty for longer than anything remembers. The order of the file is told
//! beside the number.

use std::time::Duration;

use super::{Config, PathConfig, PoolConfig, UpstreamConfig, bounds};
use crate::clock::Time;

/// How long a number stays empty before another one gets it: longer than a question may take, and than anything keeps
/// what it learnt under a number. Who comes back sooner is who it was.
pub const REST: Duration = Duration::from_secs(600);

/// How many may have a number: twice as many as may be configured, so that all of them can be replaced at once.
pub const MOST_PATHS: usize = 2 * bounds::MOST_PATHS;
/// See [`MOST_PATHS`].
pub const MOST_UPSTREAMS: usize = 2 * bounds::MOST_UPSTREAMS;
/// See [`MOST_PATHS`]. One pool is the main one.
pub const MOST_POOLS: usize = 2 * (bounds::MOST_ZONES + 1);
/// See [`MOST_PATHS`].
pub const MOST_ROUTES: usize = 2 * bounds::MOST_PATHS * bounds::MOST_UPSTREAMS;

/// All of them, by number.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineup {
    /// By [`PathId`](crate::route::PathId).
    pub paths: Vec<Slot<PathConfig>>,
    /// By [`UpstreamId`](crate::route::UpstreamId). Their `paths` are numbers of this lineup.
    pub upstreams: Vec<Slot<UpstreamConfig>>,
    /// By [`RouteId`](crate::route::RouteId).
    pub routes: Vec<Slot<Ends>>,
    /// By [`PoolId`](crate::route::PoolId), the main one first. One that was taken out has no upstreams.
    pub pools: Vec<Slot<PoolConfig>>,
    /// For each zone of the configuration, the number of its pool.
    pub zones: Vec<u16>,
    /// How many tenants there have been.
    tenants: u32,
}

/// A number, and who has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot<T> {
    /// Who has it, or had it last.
    pub is: T,
    /// Its place in the order of the configuration; `None` once it was taken out.
    pub place: Option<u16>,
    /// Tells those who have had the number one after the other apart; no two slots' are alike.
    pub tenant: u32,
    /// When this tenant got it.
    pub since: Time,
    /// When it was taken out, if it was.
    left: Time,
}

/// A route: an upstream over a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The upstream's number.
    pub upstream: u16,
    /// The path's.
    pub path: u16,
    /// The tenants of the two.
    tenants: (u32, u32),
}

/// There are no more numbers: too many were replaced in too short a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many {0} have been replaced within ten minutes, and questions may still know those by their numbers; reload again later, or restart"
)]
pub struct Full(&'static str);

impl<T> Slot<T> {
    /// Whether it takes part.
    pub fn is_in(&self) -> bool {
        self.place.is_some()
    }
}

impl Lineup {
    /// That of a start: numbers in the order of the file.
    pub fn new(config: &Config) -> Lineup {
        let empty = Lineup {
            paths: Vec::new(),
            upstreams: Vec::new(),
            routes: Vec::new(),
            pools: Vec::new(),
            zones: Vec::new(),
            tenants: 0,
        };
        // A configuration keeps to half of what there is room for; one made by hand that does not is cut.
        empty.succeed(config, Time::default()).unwrap_or(empty)
    }

    /// The one for `config` that follows this one at `now`.
    ///
    /// # Errors
    /// [`Full`]; this one is to go on.
    pub fn succeed(&self, config: &Config, now: Time) -> Result<Lineup, Full> {
        let mut next = self.clone();
        let mut tenants = next.tenants;
        let mut seats = Seats {
            tenants: &mut tenants,
            now,
        };
        let paths = config.paths.iter().cloned();
        let numbers = seats.assign(
            &mut next.paths,
            paths,
            (MOST_PATHS, "paths"),
            |one, other| {
                (&one.name, &one.interface, &one.source, one.mark)
                    == (&other.name, &other.interface, &other.source, other.mark)
            },
        )?;
        let upstreams = config.upstreams.iter().cloned().map(|mut upstream| {
            for path in &mut upstream.paths {
                *path = usize::from(numbers[*path]);
            }
            upstream
        });
        let most = (MOST_UPSTREAMS, "upstreams");
        let upstreams = seats.assign(&mut next.upstreams, upstreams, most, |one, other| {
            (&one.name, one.address, &one.zone) == (&other.name, other.address, &other.zone)
                && (one.transport, &one.tls) == (other.transport, &other.tls)
        })?;
        let ends = upstreams.iter().flat_map(|&upstream| {
            let slot = &next.upstreams[usize::from(upstream)];
            let paths = &next.paths;
            slot.is.paths.iter().map(move |&path| Ends {
                upstream,
                path: path as u16,
                tenants: (slot.tenant, paths[path].tenant),
            })
        });
        let ends: Vec<Ends> = ends.collect();
        let (ends, most) = (ends.into_iter(), (MOST_ROUTES, "routes"));
        seats.assign(&mut next.routes, ends, most, Ends::eq)?;
        let (pools, zones) = config.pools();
        let numbers = seats.assign_pools(&mut next.pools, pools)?;
        next.zones = zones.iter().map(|it| numbers[usize::from(*it)]).collect();
        next.tenants = tenants;
        Ok(next)
    }

    /// The upstream at the one end of a route, and the path at the other.
    pub fn ends(&self, ends: Ends) -> (&UpstreamConfig, &PathConfig) {
        let upstream = &self.upstreams[usize::from(ends.upstream)];
        let path = &self.paths[usize::from(ends.path)];
        (&upstream.is, &path.is)
    }

    /// The name of a route: `upstream@path`.
    pub fn name(&self, ends: Ends) -> String {
        let (upstream, path) = self.ends(ends);
        format!("{}@{}", upstream.name, path.name)
    }

    /// The routes that take part, in the order of the configuration.
    pub fn in_order(&self) -> Vec<(usize, Ends)> {
        let all = self.routes.iter().enumerate();
        let mut all: Vec<_> = all
            .filter_map(|(number, slot)| Some((slot.place?, number, slot.is)))
            .collect();
        all.sort_unstable_by_key(|(place, ..)| *place);
        all.into_iter()
            .map(|(_, number, ends)| (number, ends))
            .collect()
    }
}

/// How numbers of one kind are given out.
struct Seats<'a> {
    tenants: &'a mut u32,
    now: Time,
}

impl Seats<'_> {
    /// Gives each of `wanted` a number, of so many that there are at most, and returns them in its order. `same` says
    /// who stays.
    fn assign<T>(
        &mut self,
        slots: &mut Vec<Slot<T>>,
        wanted: impl Iterator<Item = T>,
        (most, what): (usize, &'static str),
        same: impl Fn(&T, &T) -> bool,
    ) -> Result<Vec<u16>, Full> {
        for slot in slots.iter_mut().filter(|slot| slot.is_in()) {
            (slot.place, slot.left) = (None, self.now);
        }
        let mut numbers = Vec::new();
        let mut newcomers = Vec::new();
        for (place, it) in (0u16..).zip(wanted) {
            let known = slots.iter_mut().enumerate().find(|(_, slot)| {
                !slot.is_in() && self.now.since(slot.left) < REST && same(&slot.is, &it)
            });
            match known {
                Some((number, slot)) => {
                    (slot.is, slot.place) = (it, Some(place));
                    numbers.push(number as u16);
                }
                None => {
                    newcomers.push((place, it));
                    numbers.push(u16::MAX);
                }
            }
        }
        for (place, it) in newcomers {
            *self.tenants = self.tenants.wrapping_add(1);
            let slot = Slot {
                is: it,
                place: Some(place),
                tenant: *self.tenants,
                since: self.now,
                left: Time::NEVER,
            };
            let number = if slots.len() < most {
                slots.push(slot);
                slots.len() - 1
            } else {
                let rested = |(_, slot): &(usize, &Slot<T>)| {
                    !slot.is_in() && self.now.since(slot.left) >= REST
                };
                let all = slots.iter().enumerate().filter(rested);
                let longest = all.min_by_key(|(_, slot)| slot.left);
                let number = longest.ok_or(Full(what))?.0;
                slots[number] = slot;
                number
            };
            numbers[usize::from(place)] = number as u16;
        }
        Ok(numbers)
    }
}

impl Seats<'_> {
    /// The same for pools, who are told apart by the zone that they are named by: two numbers with one name would be mixed up
    /// where they are told of.
    fn assign_pools(
        &mut self,
        slots: &mut Vec<Slot<PoolConfig>>,
        wanted: Vec<PoolConfig>,
    ) -> Result<Vec<u16>, Full> {
        for slot in slots.iter_mut().filter(|slot| slot.is_in()) {
            (slot.place, slot.left) = (None, self.now);
        }
        let mut numbers = vec![u16::MAX; wanted.len()];
        let mut newcomers = Vec::new();
        for (place, it) in wanted.into_iter().enumerate() {
            match slots.iter_mut().position(|slot| slot.is.name == it.name) {
                Some(number) => {
                    let slot = &mut slots[number];
                    (slot.is, slot.place) = (it, Some(place as u16));
                    numbers[place] = number as u16;
                }
                None => newcomers.push((place, it)),
            }
        }
        for slot in slots.iter_mut().filter(|slot| !slot.is_in()) {
            slot.is.upstreams.clear();
        }
        for (place, is) in newcomers {
            *self.tenants = self.tenants.wrapping_add(1);
            let slot = Slot {
                is,
                place: Some(place as u16),
                tenant: *self.tenants,
                since: self.now,
                left: Time::NEVER,
            };
            let rested =
                |slot: &Slot<PoolConfig>| !slot.is_in() && self.now.since(slot.left) >= REST;
            let number = match slots.iter().position(rested) {
                Some(number) => {
                    slots[number] = slot;
                    number
                }
                None if slots.len() < MOST_POOLS => {
                    slots.push(slot);
                    slots.len() - 1
                }
                None => return Err(Full("zones")),
            };
            numbers[place] = number as u16;
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests;
