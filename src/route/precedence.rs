//! Whose word counts, where upstreams are no equals.
//!
//! With the policy `ordered`, and where some upstreams are backups, they need not know the same names: the first may
//! serve names that the second, a public resolver, denies. So what a later one denies (RFC 2308) is held back for as
//! long as one before it may still say otherwise, as the system's resolver would have waited for that one first. And a
//! duplicate that was sent to measure a later one never answers a question that one before it was asked.

use super::constants::choose::choice::TRIES_PER_SERVER;
use super::constants::race::denial::*;
use super::engine::{Engine, Standing};
use super::pool::Pool;
use super::race::{Flight, Race};
use super::selector::Rank;
use super::{AttemptId, AttemptKind, Finish, PoolId, Purpose, RouteId, Step, UpstreamId};
use crate::clock::Time;
use crate::config::Policy;
use crate::config::lineup::Lineup;

/// The place of who is not in the pool.
const OUTSIDE: u16 = u16::MAX;

/// The order of a pool's upstreams: who has a smaller number comes before who has a larger one.
#[derive(Debug)]
pub(super) struct Precedence(Vec<u16>);

impl Precedence {
    /// The order of these upstreams, by their numbers.
    pub(super) fn new(lineup: &Lineup, upstreams: &[u16], policy: Policy) -> Precedence {
        let count = lineup.upstreams.len() as u16;
        let mut places = vec![OUTSIDE; lineup.upstreams.len()];
        for (index, &upstream) in (0u16..).zip(upstreams) {
            let place = match policy {
                Policy::Ordered => index,
                Policy::Fastest | Policy::Spread => 0,
            };
            let backup = |path: &usize| lineup.paths[*path].is.backup;
            let of = &lineup.upstreams[usize::from(upstream)].is;
            places[usize::from(upstream)] = match of.backup || of.paths.iter().all(backup) {
                true => place + count,
                false => place,
            };
        }
        Precedence(places)
    }

    fn is_before(&self, one: UpstreamId, other: UpstreamId) -> bool {
        self.0[one.0 as usize] < self.0[other.0 as usize]
    }

    fn is_first(&self, upstream: UpstreamId) -> bool {
        self.0.iter().min() == self.0.get(upstream.0 as usize)
    }
}

/// A denial that is held back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Denial {
    flight: Flight,
    until: Time,
}

impl Engine {
    /// Whether what `route` denies may be true of its own server only: another one comes before it that was not drained,
    /// and so can be asked, now or later. Such a denial is not to be kept for long.
    pub fn is_provisional(&self, pool: PoolId, route: RouteId) -> bool {
        let Some(denier) = self.lanes.get(route.0 as usize) else {
            return false;
        };
        let upstream = denier.route.upstream;
        let precedence = &self.pool(pool).precedence;
        !precedence.is_first(upstream)
            && self.lanes_of(pool).any(|(_, lane)| {
                let of = lane.route.upstream;
                let drained = !lane.seat.is_in()
                    || lane.drained
                    || self.paths[lane.route.path.0 as usize].drained
                    || self.upstreams[of.0 as usize].drained;
                !drained && precedence.is_before(of, upstream)
            })
    }

    fn comes_before(&self, pool: PoolId, one: RouteId, other: RouteId) -> bool {
        let upstream = |route| self.lane(route).route.upstream;
        let precedence = &self.pool(pool).precedence;
        precedence.is_before(upstream(one), upstream(other))
    }
}

impl Race {
    /// What `attempt` is about to be said to have brought ([`Race::outcome`]) denies that the name has such data, or that it
    /// exists.
    pub fn denies(&mut self, attempt: AttemptId) {
        self.denying = Some(attempt);
    }

    /// The attempt whose denial is held back, if one is.
    pub fn denial(&self) -> Option<AttemptId> {
        self.denial.map(|denial| denial.flight.id)
    }

    /// Whether what came over `flight` is no answer to this question: it was sent to measure a server that comes after one
    /// that was asked.
    pub(super) fn is_out_of_turn(&self, engine: &Engine, flight: Flight) -> bool {
        let before = |&asked: &RouteId| engine.comes_before(self.ask.pool, asked, flight.route);
        flight.kind == AttemptKind::Probe
            && !matches!(self.ask.purpose, Purpose::Probe(_))
            && self.tried.iter().any(before)
    }

    /// Holds back what `flight` brought if that is a denial and somebody who comes before may still say otherwise. False if
    /// it is the answer.
    pub(super) fn hold_denial(
        &mut self,
        engine: &mut Engine,
        flight: Flight,
        now: Time,
        step: &mut Step,
    ) -> bool {
        if self.denying != Some(flight.id) || matches!(self.ask.purpose, Purpose::Probe(_)) {
            return false;
        }
        let until = self.denial.map_or(now + HELD, |it| it.until);
        self.denial = Some(Denial { flight, until });
        self.await_earlier(engine, now, step);
        true
    }

    /// A denial is held back: asks or waits for those who come before, or takes it for the answer.
    pub(super) fn await_earlier(&mut self, engine: &mut Engine, now: Time, step: &mut Step) {
        let Some(Denial { flight, until }) = self.denial else {
            return;
        };
        if now < until && now < self.ask.deadline {
            let earlier = |it: &&Flight| {
                it.kind != AttemptKind::Probe
                    && engine.comes_before(self.ask.pool, it.route, flight.route)
                    && engine.may_answer(self.ask.pool, it.route)
            };
            let (hoped, lost) = self
                .flying()
                .filter(earlier)
                .fold((false, true), |(_, lost), it| (true, lost && it.lost));
            if !lost {
                self.next_try = (now + STEP).min(until);
                return;
            }
            if let Some(route) = self.earlier_to_ask(engine, flight.route)
                && engine.pays_for_earlier(self.ask.pool, self.tries_at(engine, route), now)
            {
                step.send = Some(self.depart(engine, route, AttemptKind::Retry, now));
                self.next_try = (now + STEP).min(until);
                return;
            }
            if hoped {
                self.next_try = (now + STEP).min(until);
                return;
            }
        }
        self.denial = None;
        self.won(engine, flight.kind, now);
        self.finish(Finish::Answer(flight.id), step);
    }

    fn tries_at(&self, engine: &Engine, route: RouteId) -> usize {
        engine.tries_at(&self.tried, engine.lane(route).route.upstream)
    }

    /// Who comes before `denier` and is worth asking: one that answers and did not say something useless.
    fn earlier_to_ask(&self, engine: &Engine, denier: RouteId) -> Option<RouteId> {
        let pool = self.ask.pool;
        let worth = engine.lanes_of(pool).filter(|(id, lane)| {
            let upstream = lane.route.upstream;
            engine.comes_before(pool, *id, denier)
                && engine.may_answer(pool, *id)
                && lane.has_room()
                && !self.useless.contains(&upstream)
                && engine.tries_at(&self.tried, upstream) < TRIES_PER_SERVER
        });
        let order = |(id, lane): &(RouteId, &super::lane::Lane)| {
            let again = self.tried.contains(id);
            let tries = engine.tries_at(&self.tried, lane.route.upstream);
            (tries, again, lane.rank)
        };
        let first = worth.filter(|_| self.has_room()).min_by_key(order);
        first.map(|(id, _)| id)
    }
}

impl Engine {
    /// An answer over `route` may be hoped for, if perhaps a late one: a server that is left for being slow, or useless for
    /// other names, still knows what it knows.
    fn may_answer(&self, pool: PoolId, route: RouteId) -> bool {
        self.lane(route).rank <= Rank::Sick && self.standing_of(pool) != Standing::Outage
    }

    /// The first packet to a server that comes before who was asked is the one that the question would have begun with, were
    /// all well: it needs no permission, and the route's own limit bounds it. Those after it are extras.
    fn pays_for_earlier(&mut self, pool: PoolId, tries: usize, now: Time) -> bool {
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        match (standing, tries) {
            (Standing::Clear, 0) => {
                budgets.doubtful(now);
                true
            }
            (Standing::Clear, _) => budgets.extra(true, now),
            _ => budgets.under_ceiling_again(now),
        }
    }
}

#[cfg(test)]
mod tests;
