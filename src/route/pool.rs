//! Which routes a question may take.
//!
//! Names are not all asked of the same upstreams: a zone may have its own, and its names go nowhere else. A *pool* is the
//! routes to one such set of upstreams, and what is theirs together: the order of their words, who is asked first, how
//! things stand, and what may be sent. A route that is in several pools is measured once, and its verdict holds in all of
//! them; but that every server of one pool is dead says nothing of another one, and takes nothing from its purses.

use std::sync::Arc;

use super::budget::Budgets;
use super::engine::{Engine, Standing};
use super::lane::Lane;
use super::precedence::Precedence;
use super::selector::Selector;
use super::vain::InVain;
use super::{Route, RouteId, UpstreamId};
use crate::clock::Time;
use crate::config::lineup::{Lineup, Slot};
use crate::config::{Config, PoolConfig};

/// A pool, as an index into what [`Config::pools`] gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

impl PoolId {
    /// That of all names that no zone with upstreams of its own takes.
    pub const MAIN: PoolId = PoolId(0);
}

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// What it is called where it is told of; `None` for the main one.
    pub(super) name: Option<Arc<str>>,
    /// Tells those who have had the number one after the other apart.
    pub(super) tenant: u32,
    /// Its routes, those of the upstream that stands first in front.
    pub(super) members: Box<[RouteId]>,
    /// By route.
    is_member: Box<[bool]>,
    pub(super) selector: Selector,
    pub(super) precedence: Precedence,
    pub(super) budgets: Budgets,
    pub(super) standing: Standing,
    pub(super) stands_since: Time,
    /// Until when some questions may still hang that were asked while nothing was clear.
    pub(super) aftermath: Time,
    /// The earliest time that any trial is due.
    pub(super) next_trial: Time,
    /// While nothing is clear: no trial out of its turn before this.
    pub(super) pressed: Time,
    pub(super) last_question: Time,
    pub(super) outage_turn: u16,
    pub(super) vain: InVain,
}

impl Pool {
    /// One without routes; [`Pool::seat`] gives it some.
    pub(super) fn new(
        config: &Config,
        slot: &Slot<PoolConfig>,
        lineup: &Lineup,
        now: Time,
    ) -> Pool {
        let pool = &slot.is;
        Pool {
            tenant: slot.tenant,
            name: pool.name.as_deref().map(Arc::from),
            selector: Selector::new(pool.policy, lineup.routes.len()),
            members: Box::default(),
            is_member: Box::default(),
            precedence: Precedence::new(lineup, &[], pool.policy),
            budgets: Budgets::new(config.routing.extra_share, config.routing.ceiling, now),
            standing: Standing::Clear,
            stands_since: now,
            aftermath: Time::default(),
            next_trial: now,
            pressed: Time::default(),
            last_question: Time::default(),
            outage_turn: 0,
            vain: InVain::default(),
        }
    }

    /// From now on its routes are those of `lineup` to the upstreams of `pool`, which are numbered as in the file.
    pub(super) fn seat(
        &mut self,
        config: &Config,
        pool: &PoolConfig,
        lineup: &Lineup,
        lanes: &[Lane],
        now: Time,
    ) {
        let number = |place: &usize| {
            let place = Some(*place as u16);
            let slot = lineup.upstreams.iter().position(|slot| slot.place == place);
            slot.map(|slot| slot as u16)
        };
        let upstreams: Vec<u16> = pool.upstreams.iter().filter_map(number).collect();
        let of = |upstream: &u16| {
            let upstream = UpstreamId(*upstream);
            let lanes = (0u16..).map(RouteId).zip(lanes);
            let own = lanes.filter(|(_, it)| it.route.upstream == upstream && it.seat.is_in());
            let mut own: Vec<_> = own.collect();
            own.sort_by_key(|(_, lane)| lane.seat.place);
            own
        };
        let routes = upstreams.iter().flat_map(of).map(|(id, _)| id);
        self.members = routes.collect();
        let mut is_member = vec![false; lanes.len()];
        for route in &self.members {
            is_member[usize::from(route.0)] = true;
        }
        self.is_member = is_member.into();
        self.selector.policy = pool.policy;
        self.precedence = Precedence::new(lineup, &upstreams, pool.policy);
        let routing = &config.routing;
        self.budgets
            .set_shares(routing.extra_share, routing.ceiling, now);
        let measured = self.members.iter().map(|id| &lanes[usize::from(id.0)]);
        let measured = measured.filter(|lane| !lane.metered).count();
        self.budgets.provide_for(measured, now);
        self.next_trial = now;
    }

    /// It has gone, and has those of its routes left that are not another's now, as `fresh` says by number.
    pub(super) fn leave_out(&mut self, fresh: &[bool]) {
        let stays = |route: &RouteId| !fresh[usize::from(route.0)];
        self.members = self.members.iter().copied().filter(stays).collect();
        let mut is_member = vec![false; fresh.len()];
        for route in &self.members {
            is_member[usize::from(route.0)] = true;
        }
        self.is_member = is_member.into();
    }

    /// Whether its questions may take `route`.
    pub(super) fn has(&self, route: RouteId) -> bool {
        self.is_member[usize::from(route.0)]
    }

    pub(super) fn is_clear(&self) -> bool {
        self.standing == Standing::Clear
    }
}

impl Engine {
    /// All pools, the main one first.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.pools.len() as u16).map(PoolId)
    }

    pub(super) fn pool(&self, pool: PoolId) -> &Pool {
        &self.pools[usize::from(pool.0)]
    }

    pub(super) fn pool_mut(&mut self, pool: PoolId) -> &mut Pool {
        &mut self.pools[usize::from(pool.0)]
    }

    /// The routes of a pool, in its order.
    pub(super) fn lanes_of(&self, pool: PoolId) -> impl Iterator<Item = (RouteId, &Lane)> + Clone {
        let members = self.pool(pool).members.iter();
        members.map(|&id| (id, &self.lanes[usize::from(id.0)]))
    }

    /// The pools that a route is in.
    pub(super) fn pools_with(&self, route: RouteId) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.has(route))
    }

    /// Nothing is clear wherever these routes are used.
    pub(super) fn is_desperate(&self, which: impl Fn(&Route) -> bool) -> bool {
        let mut lanes = (0u16..).map(RouteId).zip(&self.lanes);
        let clear = |(id, lane): (RouteId, &Lane)| {
            which(&lane.route) && self.pools_with(id).any(Pool::is_clear)
        };
        !lanes.any(clear)
    }

    /// The same of one route.
    pub(super) fn is_desperate_over(&self, route: RouteId) -> bool {
        !self.pools_with(route).any(Pool::is_clear)
    }

    /// So much more is wanted of a route than in health that byway is its own jam.
    pub(super) fn is_surging_over(&self, route: RouteId, now: Time) -> bool {
        self.pools_with(route)
            .any(|pool| pool.budgets.is_surging(now))
    }

    /// Packets a second that all pools see in health.
    pub(super) fn healthy_rate(&self) -> f64 {
        self.pools
            .iter()
            .map(|pool| pool.budgets.healthy_rate())
            .sum()
    }

    /// How a pool stands.
    pub fn standing_of(&self, pool: PoolId) -> Standing {
        self.pool(pool).standing
    }

    /// A pool that `route` is in and that has another way than waiting for what is bad.
    pub(super) fn clear_pool_with(&mut self, route: RouteId) -> Option<&mut Pool> {
        let mut pools = self.pools.iter_mut();
        pools.find(|pool| pool.has(route) && pool.is_clear())
    }

    /// Pays for a probe over `route`, from the purse of a pool that it is in.
    pub(super) fn pays_for_probe(&mut self, route: RouteId, now: Time) -> bool {
        let pool = self.pools.iter_mut().find(|pool| pool.has(route));
        pool.is_some_and(|pool| pool.budgets.probe(now))
    }
}

#[cfg(test)]
mod tests;
