//! Which route a question takes.
//!
//! Routes are ranked by what is believed of them, and the policy chooses within the best rank that has
//! room. `fastest` compares expected times, counting what is in flight; one route keeps the traffic
//! until another is clearly better; among those about as good the one with less in flight takes the question,
//! of two drawn at random where there are more (the power of two choices).

use crate::clock::Time;
use crate::config::Policy;
use crate::route::ask::Refused;
use crate::route::chance::unit;
use crate::route::choose::{
    LAST_ANSWERING, LAST_CLEAR, LAST_IN_USE, LAST_USABLE, Open, Order, Rank, Tried,
};
use crate::route::constants::choose::choice::*;
use crate::route::constants::probe::probes::PRESSED;
use crate::route::engine::Engine;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{PathId, PoolId, RouteId, UpstreamId};
use crate::route::rules::Rule;
use crate::route::standing::Standing;

impl Engine {
    /// The route for a question's first packet.
    ///
    /// # Errors
    /// When no route has room, or there is none to use.
    pub fn choose(
        &mut self,
        pool: PoolId,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        let chosen = self.choose_quietly(pool, now, rng);
        if chosen == Err(Refused::Busy) {
            let Pool {
                budgets, members, ..
            } = &mut self.pools[usize::from(pool.0)];
            budgets.disturb();
            if budgets.is_surging(now) {
                for route in members {
                    self.records[usize::from(route.0)].limit.let_go();
                }
            }
        }
        chosen
    }

    /// [`Engine::choose`], but that nothing comes of it when there is no room.
    pub(super) fn choose_quietly(
        &mut self,
        pool: PoolId,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        self.choose_among(pool, RouteRecord::has_room, now, rng)
    }

    /// The same for a name that is held stale, or for somebody who has less than an equal part of what is under way: each
    /// route keeps some room for what is in use, which questions that nobody answers would take otherwise, and for those
    /// who ask little beside somebody who asks much.
    pub(in crate::route) fn choose_held(
        &mut self,
        pool: PoolId,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        self.choose_among(pool, RouteRecord::has_room_for_held, now, rng)
    }

    fn choose_among(
        &mut self,
        pool: PoolId,
        has_room: impl Fn(&RouteRecord) -> bool,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        let roll = unit(rng);
        let mut open = std::mem::take(&mut self.pool_mut(pool).selector.open);
        open.clear();
        let mut best = LAST_IN_USE;
        self.note_stalls(now);
        let policy = match self.pool(pool).standing {
            Standing::Clear => Some(self.pool(pool).selector.policy),
            _ => None,
        };
        for (id, record) in self.records_of(pool) {
            let tier = self.tier(record, roll, now);
            if tier > best || !has_room(record) {
                continue;
            }
            if tier < best {
                best = tier;
                open.clear();
            }
            let cost = match policy {
                Some(Policy::Fastest) => record.expected_us(),
                _ => 0.0,
            };
            open.push(Open {
                id,
                cost,
                measured: record.round_trips.is_measured(),
            });
        }
        let route = match (open.as_slice(), policy) {
            ([], _) => None,
            ([only], _) => Some(only.id),
            (_, None) => self.least_bad(&open, now, rng),
            ([first, ..], Some(Policy::Ordered)) => Some(first.id),
            (_, Some(Policy::Spread)) => self.next_turn(&open),
            (_, Some(Policy::Fastest)) => self.fastest(pool, &mut open, now, rng),
        };
        self.pool_mut(pool).selector.open = open;
        if let Some(route) = route {
            return Ok(route);
        }
        if self
            .records_of(pool)
            .all(|(_, record)| record.rank == Rank::Out)
        {
            return Err(Refused::NoRoute);
        }
        Err(Refused::Busy)
    }

    /// The route for the first packet of a question that has just failed over `failed`: to a server that has
    /// not, if one is usable.
    pub(in crate::route) fn choose_for(
        &mut self,
        pool: PoolId,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        if let Some(witness) = self.testimony(pool, failed, now, rng) {
            return Ok(witness);
        }
        let route = self.choose(pool, now, rng)?;
        if !failed.contains(&route) || !Rule::FailedElsewhere.stands() {
            return Ok(route);
        }
        let tried = Tried {
            routes: failed,
            useless: Some(self.record(route).route.upstream),
            clear_only: false,
        };
        let other = self.choose_other(pool, tried, now, unit(rng));
        Ok(other
            .filter(|&other| self.tries_at(failed, self.record(other).route.upstream) == 0)
            .filter(|&other| {
                self.record(other).rank <= self.record(route).rank.max(Rank::Recovering)
            })
            .unwrap_or(route))
    }

    /// A clear route for a hedge or a retry, or `None`. It shares neither path nor upstream with those
    /// tried if that can be had; after a useless answer it is another server, whatever the path, and rather one
    /// that was not asked.
    pub(in crate::route) fn choose_other(
        &mut self,
        pool: PoolId,
        tried: Tried<'_>,
        now: Time,
        roll: f32,
    ) -> Option<RouteId> {
        let mut best: Option<(Order, f32, RouteId)> = None;
        self.note_stalls(now);
        for (id, record) in self.records_of(pool) {
            let tier = self.tier(record, roll, now);
            let last = match tried {
                Tried {
                    useless: Some(_), ..
                } => LAST_ANSWERING,
                Tried {
                    clear_only: true, ..
                } => LAST_CLEAR,
                _ => LAST_USABLE,
            };
            if tier > last
                || tried.routes.contains(&id)
                || tried.useless == Some(record.route.upstream)
                || !record.has_room()
                || self.is_spent(tried.routes, record.route.upstream)
            {
                continue;
            }
            let shares_path =
                self.shares_path(tried.routes, record.route.path) && Rule::OtherPath.stands();
            let shares_server = self.tries_at(tried.routes, record.route.upstream) > 0
                && Rule::OtherServer.stands();
            let order = if tried.useless.is_some() {
                (shares_server, false, false, tier)
            } else {
                (tier > LAST_CLEAR, shares_path, shares_server, tier)
            };
            // What a route in trouble did in health says little of what it does now.
            let cost = match tier {
                ..=LAST_CLEAR => record.expected_us(),
                _ if !Rule::AsItIsNow.stands() => record.expected_us(),
                _ => self.expected_now(record, now),
            };
            let better = best
                .is_none_or(|(least, than, _)| order < least || (order == least && cost < than));
            if better {
                best = Some((order, cost, id));
            }
        }
        best.map(|(.., id)| id)
    }

    /// Where nobody else is left who may know better than the server that `tried` calls useless: a dead route that
    /// was not asked for a while. What is believed of it may be out of date.
    pub(in crate::route) fn choose_rested(
        &self,
        pool: PoolId,
        tried: Tried<'_>,
        now: Time,
    ) -> Option<RouteId> {
        let rested = self.records_of(pool).filter(|(id, record)| {
            record.rank == Rank::Dead
                && Rule::Rested.stands()
                && now.since(record.asked) >= PRESSED
                && tried.useless != Some(record.route.upstream)
                && !tried.routes.contains(id)
                && record.has_room()
                && !self.is_spent(tried.routes, record.route.upstream)
        });
        let longest_ago = rested.min_by_key(|(_, record)| record.asked);
        longest_ago.map(|(id, _)| id)
    }

    /// The route to ask again when nothing better is left: the least bad, rather one not tried yet.
    pub(in crate::route) fn choose_again(
        &self,
        pool: PoolId,
        tried: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let mut best: Option<((usize, bool, Rank), f32, RouteId)> = None;
        for (id, record) in self.records_of(pool) {
            if matches!(record.rank, Rank::Out)
                || (record.rank == Rank::Dead && self.pool(pool).standing != Standing::Outage)
                || !record.has_room()
                || self.is_spent(tried, record.route.upstream)
            {
                continue;
            }
            let times = match Rule::AgainElsewhere.stands() {
                true => tried.iter().filter(|&&route| route == id).count(),
                false => 0,
            };
            let order = (
                times,
                self.shares_path(tried, record.route.path),
                record.rank,
            );
            let cost = self.expected_now(record, now) * (DRAW_AGAIN + DRAW_AGAIN_WIDTH * unit(rng));
            let better = best
                .is_none_or(|(least, than, _)| order < least || (order == least && cost < than));
            if better {
                best = Some((order, cost, id));
            }
        }
        best.map(|(.., id)| id)
    }

    /// Where a route comes for this question, least first: by rank, and backups after what is not.
    #[inline]
    fn tier(&self, record: &RouteRecord, roll: f32, now: Time) -> u8 {
        let rank = match record.rank_now {
            Rank::Recovering => self.rank_of_recovering(record, roll, now),
            rank => rank,
        };
        2 * rank as u8 + u8::from(record.backup)
    }

    /// The rank of a route that takes a share only.
    #[cold]
    fn rank_of_recovering(&self, record: &RouteRecord, roll: f32, now: Time) -> Rank {
        match roll < self.share_of(record, now) {
            true => self.rank_as_clear(record, now),
            false => Rank::Recovering,
        }
    }

    /// Share of questions that a recovering route, path or upstream may take.
    fn share_of(&self, record: &RouteRecord, now: Time) -> f32 {
        let path = &self.paths[record.route.path.0 as usize].health;
        let upstream = &self.upstreams[record.route.upstream.0 as usize].health;
        [path, upstream, &record.health]
            .into_iter()
            .map(|health| health.share(now, &self.probation))
            .fold(1.0, f32::min)
    }

    fn fastest(
        &mut self,
        pool: PoolId,
        open: &mut Vec<Open>,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let lesser = |a: Open, b: Open| if b.cost < a.cost { b } else { a };
        let least = open.iter().copied().reduce(lesser)?;
        let clear = |id: RouteId| self.record(id).rank.is_clear();
        let least_is_clear = clear(least.id);
        let mut chosen = least;
        match self.pool(pool).selector.incumbent.filter(|&it| clear(it)) {
            Some(incumbent) if incumbent == least.id => {}
            Some(incumbent) => {
                let changes = now.since(self.pool(pool).selector.since) >= STAY;
                match open.iter().copied().find(|it| it.id == incumbent) {
                    // Full or stalled for a moment: that is no reason to leave it for longer.
                    None => {}
                    Some(it)
                        if least_is_clear
                            && (least.cost >= SWITCH * it.cost || !changes)
                            && Rule::Stay.stands() =>
                    {
                        chosen = it;
                    }
                    Some(_) if least_is_clear => {
                        self.pool_mut(pool).selector.take_over(least.id, now)
                    }
                    Some(_) => {}
                }
            }
            None if least_is_clear => self.pool_mut(pool).selector.take_over(least.id, now),
            None => {}
        }
        Some(self.less_loaded(open, chosen, rng).unwrap_or(chosen.id))
    }

    /// Among the routes about as good as `chosen` the one with less in flight: of two drawn at random,
    /// where there are more than two. With as much in flight the chosen one keeps the question.
    /// `open` is left with those that are about as good.
    fn less_loaded(
        &self,
        open: &mut Vec<Open>,
        chosen: Open,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let near = (chosen.cost * PEERS).max(chosen.cost + PEERS_US);
        open.retain(|it| it.cost <= near && it.measured && Rule::Peers.stands());
        let count = open.len() as u32;
        let (first, second) = match count {
            0 | 1 => return None,
            2 => (0, 1),
            _ => {
                let bits = rng.next_u64();
                let first = (bits as u32) % count;
                let second = ((bits >> 32) as u32) % (count - 1);
                (first, if second >= first { second + 1 } else { second })
            }
        };
        let load = |id: RouteId| (self.record(id).queue.len(), id != chosen.id);
        let (first, second) = (open[first as usize].id, open[second as usize].id);
        match load(second) < load(first) {
            true => Some(second),
            false => Some(first),
        }
    }

    fn next_turn(&mut self, open: &[Open]) -> Option<RouteId> {
        let mut turns = open.iter().map(|it| (it.id, self.record(it.id).turn));
        let (mut chosen, mut least) = turns.next()?;
        let mut furthest = least;
        for (id, turn) in turns {
            if turn < least {
                (chosen, least) = (id, turn);
            }
            furthest = furthest.max(turn);
        }
        let record = self.record_mut(chosen);
        // One that was away does not make up for it.
        if Rule::Turns.stands() {
            record.turn = record.turn.max(furthest - TURNS * f64::from(record.cost));
        }
        record.turn += f64::from(record.cost);
        Some(chosen)
    }

    fn least_bad(&self, open: &[Open], now: Time, rng: &mut impl rand::Rng) -> Option<RouteId> {
        let drawn = open.iter().map(|&Open { id, .. }| {
            // Every way is tried: which one heals first is not known.
            let drawn = match Rule::Draw.stands() {
                true => DRAW_FIRST + unit(rng),
                false => 1.0,
            };
            (self.expected_now(self.record(id), now) * drawn, id)
        });
        drawn.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id)
    }

    /// Expected time as things are: what came back lately, or how long nothing has.
    fn expected_now(&self, record: &RouteRecord, now: Time) -> f32 {
        let hanging = match record.queue.oldest {
            Time::NEVER => 0.0,
            oldest => now.since(oldest).as_micros() as f32,
        };
        // Of what was lost and found lately the streak of good answers knows most: the longer it is, the less
        // probable is it that the next one is lost and has to be asked again (the rule of succession).
        let again = match record.rank {
            rank if rank < Rank::Suspect || !Rule::Succession.stands() => 0.0,
            _ => AGAIN_US / (record.streak.count + SUCCESSION) as f32,
        };
        let server = &self.upstreams[record.route.upstream.0 as usize].health;
        // Fast is not healthy: what is useless is asked again elsewhere, if not by byway then by the client.
        let in_vain = match server.is_useless() && Rule::UselessIsSlow.stands() {
            true => USELESS_US,
            false => 0.0,
        };
        (record.round_trips.current_us(now).max(hanging) + again + in_vain) * record.cost
    }

    fn shares_path(&self, tried: &[RouteId], path: PathId) -> bool {
        tried
            .iter()
            .any(|&route| self.record(route).route.path == path)
    }

    /// Whether one more try of a question at this server would be one too many.
    pub(in crate::route) fn is_spent(&self, tried: &[RouteId], upstream: UpstreamId) -> bool {
        self.tries_at(tried, upstream) >= TRIES_PER_SERVER && Rule::TriesPerServer.stands()
    }

    pub(in crate::route) fn tries_at(&self, tried: &[RouteId], upstream: UpstreamId) -> usize {
        tried
            .iter()
            .filter(|&&route| self.record(route).route.upstream == upstream)
            .count()
    }
}

#[cfg(test)]
mod tests;
