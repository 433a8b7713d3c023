//! A reload: who takes part, in which order and by which rules.
//!
//! Numbers stay what they are ([`Lineup`]): a route that stays keeps its record with all that is known of it, what is
//! under way included. One that is taken out keeps its record too, ranks as [`Rank::Out`](crate::route::choose::Rank::Out) and
//! learns nothing any more, until its number is given to another one, long after anything could still refer to it.

use std::collections::VecDeque;

use crate::clock::Time;
use crate::config::Config;
use crate::config::lineup::{Lineup, Slot};
use crate::route::constants::engine::pace::*;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::state::seat::Seat;
use crate::route::engine::state::stalls::Stalls;
use crate::route::engine::{Engine, Hedges};
use crate::route::ids::{PathId, Route, UpstreamId};
use crate::route::judge::doubts::Usual;
use crate::route::judge::failing::Failing;
use crate::route::judge::health::Health;
use crate::route::judge::probation::Probation;
use crate::route::measure::in_flight::Flights;
use crate::route::measure::round_trip::Waits;
use crate::route::standing::Standing;

impl Engine {
    /// An engine for the routes of `config`: upstreams by their paths, in the order of the file.
    pub fn new(config: &Config, now: Time) -> Engine {
        let routing = &config.routing;
        let waits = Waits {
            min: routing.hedge_min,
            max: routing.hedge_max,
        };
        let lineup = Lineup::new(config);
        let mut engine = Engine {
            routes: Vec::new(),
            pools: Vec::new(),
            grid: Vec::with_capacity(lineup.routes.len()),
            records: Vec::new(),
            paths: Vec::new(),
            upstreams: Vec::new(),
            flights: Flights::default(),
            waits,
            stalls: Stalls::default(),
            failing: Failing::default(),
            usual: Usual::default(),
            probation: Probation::new(routing.return_within),
            deadline: routing.deadline,
            witness: None,
            unknown_after: routing.unknown_after,
            fresh_until: now + FRESH,
            woke: Time::default(),
            first_round: None,
            hedges: Hedges::default(),
            events: VecDeque::new(),
            lost_events: 0,
            second: now.secs(),
            has_tastes: false,
            unsettled: false,
        };
        engine.seat(&lineup, config, now);
        engine
    }

    /// From now on the routes of `lineup`, which follows the one that this engine has, take part by the rules of
    /// `config`. The new ones are asked once before anybody waits for them. Pools that have gone keep what they had, for
    /// questions that are sent their way still; once there are no new ones, [`Engine::retire`] takes it from them.
    pub fn reshape(&mut self, lineup: &Lineup, config: &Config, now: Time) {
        let fresh = self.seat(lineup, config, now);
        if fresh.contains(&true) {
            self.begin_round_of(&fresh);
        }
        self.settle(now);
    }

    /// No question is sent the way of pools that have gone any more.
    pub fn retire(&mut self, lineup: &Lineup, config: &Config, now: Time) {
        for (slot, pool) in lineup.pools.iter().zip(&mut self.pools) {
            if !slot.is_in() {
                pool.seat(config, &slot.is, lineup, &self.records, now);
                pool.standing = Standing::Clear;
            }
        }
    }

    /// Seats everybody; says of each route whether it is new.
    pub(in crate::route) fn seat(
        &mut self,
        lineup: &Lineup,
        config: &Config,
        now: Time,
    ) -> Vec<bool> {
        let (routing, most) = (&config.routing, config.limits.attempts_per_route);
        self.waits = Waits {
            min: routing.hedge_min,
            max: routing.hedge_max,
        };
        self.deadline = routing.deadline;
        self.unknown_after = routing.unknown_after;
        self.probation.set_within(routing.return_within);
        let name = |slot: &Slot<crate::config::PathConfig>| slot.is.name.clone();
        seat_groups(&mut self.paths, &lineup.paths, name, Health::of_a_way, now);
        let name = |slot: &Slot<crate::config::UpstreamConfig>| slot.is.name.clone();
        let server = Health::of_a_server;
        seat_groups(&mut self.upstreams, &lineup.upstreams, name, server, now);
        let mut fresh = Vec::with_capacity(lineup.routes.len());
        for (number, slot) in lineup.routes.iter().enumerate() {
            let (of, over) = lineup.ends(slot.is);
            let seat = Seat::of(slot);
            let known = self.records.get_mut(number);
            if let Some(record) = known.filter(|record| record.seat.tenant == seat.tenant) {
                if seat.is_in() {
                    if !record.seat.is_in() {
                        record.health.try_now(now);
                    }
                    record.suit(of, over, self.waits, most);
                }
                record.seat = seat;
                fresh.push(false);
                continue;
            }
            let route = Route {
                upstream: UpstreamId(slot.is.upstream),
                path: PathId(slot.is.path),
                name: lineup.name(slot.is).into(),
            };
            let mut record = RouteRecord::new(route, of, over, self.waits, most);
            record.seat = seat;
            put(&mut self.records, number, record);
            fresh.push(true);
        }
        self.routes = self
            .records
            .iter()
            .map(|record| record.route.clone())
            .collect();
        self.seat_pools(lineup, config, &fresh, now);
        self.has_tastes = false;
        self.stalls.look_again();
        fresh
    }

    fn seat_pools(&mut self, lineup: &Lineup, config: &Config, fresh: &[bool], now: Time) {
        for (number, slot) in lineup.pools.iter().enumerate() {
            let pool = self.pools.get_mut(number);
            match pool.filter(|pool| pool.tenant == slot.tenant) {
                // What is still asked in it goes on over what it had: see `retire`.
                Some(pool) if !slot.is_in() => pool.leave_out(fresh),
                Some(pool) => pool.seat(config, &slot.is, lineup, &self.records, now),
                None => {
                    let mut pool = Pool::new(config, slot, lineup, now);
                    pool.seat(config, &slot.is, lineup, &self.records, now);
                    put(&mut self.pools, number, pool);
                }
            }
        }
    }
}

/// Seats the paths or the upstreams.
fn seat_groups<T>(
    groups: &mut Vec<Group>,
    slots: &[Slot<T>],
    name: impl Fn(&Slot<T>) -> String,
    health: impl Fn() -> Health,
    now: Time,
) {
    for (number, slot) in slots.iter().enumerate() {
        let seat = Seat::of(slot);
        let known = groups.get_mut(number);
        if let Some(group) = known.filter(|group| group.seat.tenant == seat.tenant) {
            if seat.is_in() && !group.seat.is_in() {
                group.health.try_now(now);
            }
            group.seat = seat;
            continue;
        }
        let mut group = Group::new(&name(slot), health());
        group.seat = seat;
        put(groups, number, group);
    }
}

/// Puts `it` at `number`, which is at most one beyond what there is.
fn put<T>(all: &mut Vec<T>, number: usize, it: T) {
    match all.get_mut(number) {
        Some(place) => *place = it,
        None => all.push(it),
    }
}

#[cfg(test)]
mod tests;
