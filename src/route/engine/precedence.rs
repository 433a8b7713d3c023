//! Who may still say otherwise where a later upstream denies.

use crate::clock::Time;
use crate::route::choose::Rank;
use crate::route::engine::Engine;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::UpstreamId;
use crate::route::ids::{PoolId, RouteId};
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;

impl Engine {
    /// Whether what `route` denies may be true of its own server only: another one comes before it that was not drained,
    /// and so can be asked, now or later. Such a denial is not to be kept for long.
    pub fn is_provisional(&self, pool: PoolId, route: RouteId) -> bool {
        let Some(denier) = self.records.get(route.0 as usize) else {
            return false;
        };
        let upstream = denier.route.upstream;
        let precedence = &self.pool(pool).precedence;
        !precedence.is_first(upstream)
            && self.records_of(pool).any(|(_, record)| {
                let of = record.route.upstream;
                let drained = !record.seat.is_in()
                    || record.drained
                    || self.paths[record.route.path.0 as usize].drained
                    || self.upstreams[of.0 as usize].drained;
                !drained && precedence.is_before(of, upstream)
            })
    }

    pub(in crate::route) fn comes_before(
        &self,
        pool: PoolId,
        one: RouteId,
        other: RouteId,
    ) -> bool {
        let upstream = |route| self.record(route).route.upstream;
        let precedence = &self.pool(pool).precedence;
        precedence.is_before(upstream(one), upstream(other))
    }

    /// Who comes before `denier` and is worth asking: one that answers and is none of those that said something `useless`.
    pub(in crate::route) fn earlier_to_ask(
        &self,
        pool: PoolId,
        denier: RouteId,
        tried: &[RouteId],
        useless: &[UpstreamId],
    ) -> Option<RouteId> {
        let worth = self.records_of(pool).filter(|(id, record)| {
            let upstream = record.route.upstream;
            Rule::AskEarlier.stands()
                && self.comes_before(pool, *id, denier)
                && self.may_answer(pool, *id)
                && record.has_room()
                && !useless.contains(&upstream)
                && !self.is_spent(tried, upstream)
        });
        let order = |(id, record): &(RouteId, &RouteRecord)| {
            let again = tried.contains(id);
            (
                self.tries_at(tried, record.route.upstream),
                again,
                record.rank,
            )
        };
        worth.min_by_key(order).map(|(id, _)| id)
    }

    /// An answer over `route` may be hoped for, if perhaps a late one: a server that is left for being slow, or useless for
    /// other names, still knows what it knows.
    pub(in crate::route) fn may_answer(&self, pool: PoolId, route: RouteId) -> bool {
        self.record(route).rank <= Rank::Sick && self.standing_of(pool) != Standing::Outage
    }

    /// The first packet to a server that comes before who was asked is the one that the question would have begun with, were
    /// all well: it needs no permission, and the route's own limit bounds it. Those after it are extras.
    pub(in crate::route) fn pays_for_earlier(
        &mut self,
        pool: PoolId,
        tries: usize,
        now: Time,
    ) -> bool {
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        match (standing, tries) {
            (Standing::Clear, 0) => {
                budgets.pay(Charge::Doubtful, now);
                true
            }
            (Standing::Clear, _) => budgets.pay(Charge::Urgent, now),
            _ => budgets.pay(Charge::AfterUseless, now),
        }
    }
}
