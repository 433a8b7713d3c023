//! Which route a question takes.
//!
//! Routes are ranked by what is believed of them, and the policy chooses within the best rank that has
//! room. `fastest` compares expected times, counting what is in flight; one route keeps the traffic
//! until another is clearly better, and where three or more are about as good, the less loaded of two
//! drawn at random takes it (the power of two choices), so that workers don't all run to one side.

use std::time::Duration;

use super::engine::{Engine, Lane, Standing};
use super::race::Refused;
use super::{PathId, RouteId, UpstreamId};
use crate::clock::Time;
use crate::config::Policy;

/// How good a route is to choose, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Clear, and nothing speaks against it.
    Clear,
    /// Clear, but it shares its path or its server with one that is in trouble nobody is blamed for yet.
    Doubted,
    /// Suspect, or stalled just now.
    Suspect,
    /// Recovering, beyond its share.
    Recovering,
    /// Congested: with this one nothing is clear.
    Congested,
    /// Sick.
    Sick,
    /// Dead.
    Dead,
    /// Drained or lost: not to be used at all.
    Out,
}

impl Rank {
    /// Clear, and nothing speaks against it.
    pub const fn is_clear(self) -> bool {
        matches!(self, Rank::Clear)
    }
}

/// Traffic changes over only to a route that takes less than this share of the present one's time.
const SWITCH: f32 = 0.8;
/// ... and not within this long of the last change, unless the present one is not clear.
const STAY: Duration = Duration::from_secs(2);
/// Routes within this ratio of the best are about as good, or within this many microseconds.
const PEERS: f32 = 1.25;
const PEERS_US: f32 = 300.0;

/// The policy and what it remembers.
#[derive(Debug)]
pub struct Selector {
    policy: Policy,
    incumbent: Option<RouteId>,
    since: Time,
}

impl Selector {
    /// A selector that follows `policy`.
    pub fn new(policy: Policy) -> Selector {
        Selector {
            policy,
            incumbent: None,
            since: Time::default(),
        }
    }
}

/// What a further attempt of a question should keep away from.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// Routes asked so far, with repetitions.
    pub routes: &'a [RouteId],
    /// The upstream just answered uselessly: another one, whatever the path.
    pub poor: bool,
    /// Only a clear route will do: it is a hedge.
    pub clear_only: bool,
}

/// At most this many tries of one question at one server (RFC 9520 section 3.1).
const TRIES_PER_SERVER: usize = 3;

impl Engine {
    /// The route for a question's first packet.
    pub(super) fn choose(
        &mut self,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Result<RouteId, Refused> {
        let roll = unit(rng);
        let mut best = (u8::MAX, RouteId(0));
        let (mut exists, mut peers) = (false, 0u32);
        for (index, lane) in self.lanes.iter().enumerate() {
            let Some(tier) = self.tier(lane, roll, now) else {
                continue;
            };
            exists = true;
            if lane.queue.len() >= lane.limit.get() || tier > best.0 {
                continue;
            }
            if tier < best.0 {
                (best, peers) = ((tier, RouteId(index as u16)), 0);
            }
            peers += 1;
        }
        let (tier, first) = best;
        if !exists {
            return Err(Refused::NoRoute);
        }
        if tier == u8::MAX {
            self.budgets.disturb();
            return Err(Refused::Busy);
        }
        if peers == 1 {
            return Ok(first);
        }
        let route = if self.standing != Standing::Clear {
            self.least_bad(tier, roll, now, rng)
        } else {
            match self.selector.policy {
                Policy::Ordered => Some(first),
                Policy::Spread => self.next_turn(tier, roll, now),
                Policy::Fastest => self.fastest(tier, roll, now, rng),
            }
        };
        Ok(route.unwrap_or(first))
    }

    /// A clear route for a hedge or a retry, or `None`. It shares neither path nor upstream with those
    /// tried if that can be had; after a useless answer it is another server, whatever the path.
    pub(super) fn choose_other(&self, tried: Tried<'_>, now: Time, roll: f32) -> Option<RouteId> {
        let mut best: Option<((bool, bool, bool, u8), f32, RouteId)> = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            let id = RouteId(index as u16);
            let Some(tier) = self.tier(lane, roll, now) else {
                continue;
            };
            let last = if tried.clear_only {
                LAST_CLEAR
            } else {
                LAST_USABLE
            };
            if tier > last
                || tried.routes.contains(&id)
                || lane.queue.len() >= lane.limit.get()
                || self.tries_at(tried.routes, lane.route.upstream) >= TRIES_PER_SERVER
            {
                continue;
            }
            let shares_path = self.shares_path(tried.routes, lane.route.path);
            let shares_server = self.tries_at(tried.routes, lane.route.upstream) > 0;
            let order = if tried.poor {
                (shares_server, false, false, tier)
            } else {
                (tier > LAST_CLEAR, shares_path, shares_server, tier)
            };
            let cost = self.expected(lane, now);
            let better = best
                .is_none_or(|(least, than, _)| order < least || (order == least && cost < than));
            if better {
                best = Some((order, cost, id));
            }
        }
        let ((shares_server, ..), _, id) = best?;
        (!(tried.poor && shares_server)).then_some(id)
    }

    /// The route to ask again when nothing better is left: the least bad, rather one not tried yet.
    pub(super) fn choose_again(
        &self,
        tried: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let mut best: Option<((usize, bool, Rank), f32, RouteId)> = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            let id = RouteId(index as u16);
            if matches!(lane.rank, Rank::Out)
                || (lane.rank == Rank::Dead && self.standing != Standing::Outage)
                || lane.queue.len() >= lane.limit.get()
                || self.tries_at(tried, lane.route.upstream) >= TRIES_PER_SERVER
            {
                continue;
            }
            let times = tried.iter().filter(|&&route| route == id).count();
            let order = (times, self.shares_path(tried, lane.route.path), lane.rank);
            let cost = self.expected_now(lane, now) * (0.75 + 0.5 * unit(rng));
            let better = best
                .is_none_or(|(least, than, _)| order < least || (order == least && cost < than));
            if better {
                best = Some((order, cost, id));
            }
        }
        best.map(|(.., id)| id)
    }

    /// The rank a route has for this question, backups after what is not; `None` if it is out of use.
    fn tier(&self, lane: &Lane, roll: f32, now: Time) -> Option<u8> {
        let rank = match lane.rank {
            Rank::Out => return None,
            Rank::Recovering if roll < self.share_of(lane, now) => Rank::Clear,
            rank => rank,
        };
        let rank = if rank < Rank::Suspect && self.is_stalled(lane, now) {
            Rank::Suspect
        } else {
            rank
        };
        Some(2 * rank as u8 + u8::from(lane.backup))
    }

    /// Share of questions that a recovering route, path or upstream may take.
    fn share_of(&self, lane: &Lane, now: Time) -> f32 {
        let path = &self.paths[lane.route.path.0 as usize].health;
        let upstream = &self.upstreams[lane.route.upstream.0 as usize].health;
        [path, upstream, &lane.health]
            .into_iter()
            .map(|health| health.share(now, &self.patience))
            .fold(1.0, f32::min)
    }

    fn fastest(
        &mut self,
        tier: u8,
        roll: f32,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let mut least = (f32::INFINITY, None);
        let mut incumbent = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            if !self.is_open(lane, tier, roll, now) {
                continue;
            }
            let id = RouteId(index as u16);
            let cost = self.expected(lane, now);
            if cost < least.0 {
                least = (cost, Some(id));
            }
            if self.selector.incumbent == Some(id) {
                incumbent = Some(cost);
            }
        }
        let (cost, best) = least;
        let mut chosen = best?;
        if let Some(current) = incumbent
            && (cost >= SWITCH * current || now.since(self.selector.since) < STAY)
            && self.lane(chosen).rank == Rank::Clear
        {
            chosen = self.selector.incumbent?;
        }
        let peers = self.one_of_many(tier, roll, cost, now, rng);
        let settled = self.lane(chosen).rank == Rank::Clear;
        if settled && self.selector.incumbent != Some(chosen) {
            (self.selector.incumbent, self.selector.since) = (Some(chosen), now);
        }
        Some(peers.unwrap_or(chosen))
    }

    /// The less loaded of two drawn at random among those about as good as the best, if there are three.
    fn one_of_many(
        &self,
        tier: u8,
        roll: f32,
        least: f32,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let near = (least * PEERS).max(least + PEERS_US);
        let is_peer = |lane: &Lane| {
            self.is_open(lane, tier, roll, now)
                && lane.estimate.is_measured()
                && self.expected(lane, now) <= near
        };
        let count = self.lanes.iter().filter(|lane| is_peer(lane)).count() as u32;
        if count < 3 {
            return None;
        }
        let bits = rng.next_u64();
        let first = (bits as u32) % count;
        let second = ((bits >> 32) as u32) % (count - 1);
        let second = if second >= first { second + 1 } else { second };
        let mut drawn = (0u32..)
            .zip(
                self.lanes
                    .iter()
                    .enumerate()
                    .filter(|(_, lane)| is_peer(lane)),
            )
            .filter(|(nth, _)| *nth == first || *nth == second)
            .map(|(_, (index, lane))| {
                (
                    RouteId(index as u16),
                    lane.queue.len(),
                    self.expected(lane, now),
                )
            });
        let (a, b) = (drawn.next()?, drawn.next()?);
        Some(if (b.1, b.2) < (a.1, a.2) { b.0 } else { a.0 })
    }

    fn next_turn(&mut self, tier: u8, roll: f32, now: Time) -> Option<RouteId> {
        let mut least: Option<(f64, RouteId)> = None;
        let mut furthest = 0.0f64;
        for (index, lane) in self.lanes.iter().enumerate() {
            if self.is_open(lane, tier, roll, now) {
                furthest = furthest.max(lane.turn);
                if least.is_none_or(|(turn, _)| lane.turn < turn) {
                    least = Some((lane.turn, RouteId(index as u16)));
                }
            }
        }
        let (_, chosen) = least?;
        let lane = self.lane_mut(chosen);
        // One that was away does not make up for it.
        lane.turn = lane.turn.max(furthest - 2.0 * f64::from(lane.cost)) + f64::from(lane.cost);
        Some(chosen)
    }

    fn least_bad(
        &self,
        tier: u8,
        roll: f32,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        self.lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| self.is_open(lane, tier, roll, now))
            .map(|(index, lane)| {
                // Both ways are tried: which one heals first is not known.
                let cost = self.expected_now(lane, now) * (0.5 + unit(rng));
                (cost, RouteId(index as u16))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, id)| id)
    }

    fn is_open(&self, lane: &Lane, tier: u8, roll: f32, now: Time) -> bool {
        lane.queue.len() < lane.limit.get() && self.tier(lane, roll, now) == Some(tier)
    }

    /// Expected time in health, times its price, and more as the limit fills.
    fn expected(&self, lane: &Lane, _now: Time) -> f32 {
        let load = lane.limit.load(lane.queue.len());
        lane.estimate.typical_us() * lane.cost * (1.0 + 3.0 * load * load)
    }

    /// Expected time as things are: what came back lately, or how long nothing has.
    fn expected_now(&self, lane: &Lane, now: Time) -> f32 {
        let hanging = match lane.queue.oldest {
            Time::NEVER => 0.0,
            oldest => now.since(oldest).as_micros() as f32,
        };
        lane.estimate.current_us(now).max(hanging) * lane.cost
    }

    fn shares_path(&self, tried: &[RouteId], path: PathId) -> bool {
        tried
            .iter()
            .any(|&route| self.lane(route).route.path == path)
    }

    fn tries_at(&self, tried: &[RouteId], upstream: UpstreamId) -> usize {
        tried
            .iter()
            .filter(|&&route| self.lane(route).route.upstream == upstream)
            .count()
    }
}

/// The last tier that a hedge may go to freely, and the last it may go to at all.
const LAST_CLEAR: u8 = 2 * Rank::Doubted as u8 + 1;
const LAST_USABLE: u8 = 2 * Rank::Recovering as u8 + 1;

/// A number in 0..1.
pub(super) fn unit(rng: &mut impl rand::Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}
