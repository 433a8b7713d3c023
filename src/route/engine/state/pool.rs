//! Which routes a question may take.
//!
//! Names are not all asked of the same upstreams: a zone may have its own, and its names go nowhere else. A *pool* is the
//! routes to one such set of upstreams, and what is theirs together: the order of their words, who is asked first, how
//! things stand, and what may be sent. A route that is in several pools is measured once, and its verdict holds in all of
//! them; but that every server of one pool is dead says nothing of another one, and takes nothing from its purses.

use std::sync::Arc;

use crate::clock::Time;
use crate::config::lineup::{Lineup, Slot};
use crate::config::{Config, PoolConfig};
use crate::route::choose::Selector;
use crate::route::choose::precedence::Precedence;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::state::vain::InVain;
use crate::route::ids::{RouteId, UpstreamId};
use crate::route::spend::Budgets;
use crate::route::standing::Standing;

/// One pool.
#[derive(Debug)]
pub(in crate::route) struct Pool {
    /// What it is called where it is told of; `None` for the main one.
    pub(in crate::route::engine) name: Option<Arc<str>>,
    /// Tells those who have had the number one after the other apart.
    pub(in crate::route::engine) tenant: u32,
    /// Its routes, those of the upstream that stands first in front.
    pub(in crate::route::engine) members: Box<[RouteId]>,
    /// By route.
    pub(in crate::route::engine) is_member: Box<[bool]>,
    pub(in crate::route::engine) selector: Selector,
    pub(in crate::route::engine) precedence: Precedence,
    pub(in crate::route::engine) budgets: Budgets,
    pub(in crate::route::engine) standing: Standing,
    pub(in crate::route::engine) stands_since: Time,
    /// Until when some questions may still hang that were asked while nothing was clear.
    pub(in crate::route::engine) aftermath: Time,
    /// The earliest time that any trial is due.
    pub(in crate::route::engine) next_trial: Time,
    /// While nothing is clear: no trial out of its turn before this.
    pub(in crate::route::engine) pressed: Time,
    pub(in crate::route::engine) last_question: Time,
    pub(in crate::route::engine) outage_turn: u16,
    pub(in crate::route::engine) vain: InVain,
}

impl Pool {
    /// One without routes; [`Pool::seat`] gives it some.
    pub(in crate::route) fn new(
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
    pub(in crate::route) fn seat(
        &mut self,
        config: &Config,
        pool: &PoolConfig,
        lineup: &Lineup,
        records: &[RouteRecord],
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
            let records = (0u16..).map(RouteId).zip(records);
            let own = records.filter(|(_, it)| it.route.upstream == upstream && it.seat.is_in());
            let mut own: Vec<_> = own.collect();
            own.sort_by_key(|(_, record)| record.seat.place);
            own
        };
        let routes = upstreams.iter().flat_map(of).map(|(id, _)| id);
        self.members = routes.collect();
        let mut is_member = vec![false; records.len()];
        for route in &self.members {
            is_member[usize::from(route.0)] = true;
        }
        self.is_member = is_member.into();
        self.selector.policy = pool.policy;
        self.precedence = Precedence::new(lineup, &upstreams, pool.policy);
        let routing = &config.routing;
        self.budgets
            .set_shares(routing.extra_share, routing.ceiling, now);
        let measured = self.members.iter().map(|id| &records[usize::from(id.0)]);
        let measured = measured.filter(|record| !record.metered).count();
        self.budgets.provide_for(measured, now);
        self.next_trial = now;
    }

    /// It has gone, and has those of its routes left that are not another's now, as `fresh` says by number.
    pub(in crate::route) fn leave_out(&mut self, fresh: &[bool]) {
        let stays = |route: &RouteId| !fresh[usize::from(route.0)];
        self.members = self.members.iter().copied().filter(stays).collect();
        let mut is_member = vec![false; fresh.len()];
        for route in &self.members {
            is_member[usize::from(route.0)] = true;
        }
        self.is_member = is_member.into();
    }

    /// Whether its questions may take `route`.
    pub(in crate::route) fn has(&self, route: RouteId) -> bool {
        self.is_member[usize::from(route.0)]
    }

    pub(in crate::route) fn is_clear(&self) -> bool {
        self.standing == Standing::Clear
    }
}
