//! Who owns all that is measured and believed, and moves it.
//!
//! One record of each route, path and upstream stands in [`state`], and so does what the routes of one zone have in common. The
//! files beside it move them, each those before it (the order is in `tests/house/room.rs`): what stalls; what is told of a changed
//! verdict, how every route ranks, who answers for a bad one; what an attempt showed and whose fault it was; probes;
//! the choice of a route; what passing time does; a reload; the operator's view and hand. This file holds what they share.
//!
//! Evidence comes in one call per attempt's end. A route's own record moves first; when it turns bad,
//! [`blame`](crate::route::judge::blame) decides whether its path or its server answers for it, and that one's record takes over: its
//! verdict covers all its routes, those never measured included, and it alone is tried until it earns its return.

pub mod baseline;
mod choice;
mod faults;
mod first_round;
mod for_races;
mod heard;
mod idle;
mod lineup;
pub mod orders;
mod outcomes;
mod precedence;
pub mod preview;
mod probes;
mod prospects;
mod ranks;
pub mod report;
mod stalls;
pub mod state;
mod telling;
mod tick;
mod vain;
mod verdicts;
mod weigh;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::{Event, Verdict};
use crate::route::choose::Rank;
use crate::route::constants::engine::pace::*;
use crate::route::constants::load::limit::IN_USE;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::state::round::FirstRound;
use crate::route::engine::state::stalls::Stalls;
use crate::route::ids::{PoolId, Route, RouteId, UpstreamId};
use crate::route::judge::blame::Seen;
use crate::route::judge::doubts::Usual;
use crate::route::judge::failing::Failing;
use crate::route::judge::health::Health;
use crate::route::judge::probation::Probation;
use crate::route::measure::in_flight::Flights;
use crate::route::measure::round_trip::Waits;
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;

/// Where routes are chosen and all that they teach is kept. Shared by all workers.
#[derive(Debug)]
pub struct Engine {
    records: Vec<RouteRecord>,
    paths: Vec<Group>,
    upstreams: Vec<Group>,
    /// Which of them a question may take; at least the main one.
    pools: Vec<Pool>,
    flights: Flights,
    waits: Waits,
    stalls: Stalls,
    /// Questions and zones known to fail.
    failing: Failing,
    /// ... and how many do.
    usual: Usual,
    probation: Probation,
    /// How long a question may take.
    deadline: Duration,
    /// A route whose answer would settle an open question, and when it may be asked.
    witness: Option<(RouteId, Time)>,
    /// A route that was not heard for so long is unknown,
    unknown_after: Duration,
    /// ... which makes no difference to questions until then: all have just begun to be.
    fresh_until: Time,
    /// The host last woke up from sleep.
    woke: Time,
    first_round: Option<FirstRound>,
    hedges: Hedges,
    routes: Vec<Route>,
    grid: Vec<Seen>,
    events: VecDeque<(Time, Event)>,
    lost_events: u64,
    second: u64,
    has_tastes: bool,
    unsettled: bool,
}

/// What became of extra attempts, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hedges {
    /// Hedges sent.
    pub sent: u64,
    /// Hedges whose answer was used.
    pub won: u64,
    /// Hedges refused by the budget.
    pub denied: u64,
    /// Retries sent.
    pub retries: u64,
    /// Retries whose answer was used.
    pub retries_won: u64,
    /// Retries refused by the budget.
    pub retries_denied: u64,
    /// Duplicates and probes sent to measure.
    pub trials: u64,
}

/// What a question may hope for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// Every route is dead, drained or lost: it would not be asked at all.
    Nobody,
    /// Every route that may answer is at its limit, or the ceiling is reached: it would have to queue.
    Queue,
    /// It is asked at once, and after so long an answer would be overdue, that of a hedge too.
    Answer(Duration),
}

/// What a tick asks for.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Routes to send a probe over now, as races of [`Purpose::Probe`](super::Purpose::Probe).
    pub probes: Vec<RouteId>,
    /// When to tick next.
    pub next: Time,
    /// The same if nobody asks for anything until then; whoever does has it tick at once.
    pub resting: Time,
}

impl Engine {
    /// All routes, those that a reload has taken out too; a [`RouteId`] is an index into it.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// How things stand in the main pool.
    pub fn standing(&self) -> Standing {
        self.standing_of(PoolId::MAIN)
    }

    /// How a pool stands.
    pub fn standing_of(&self, pool: PoolId) -> Standing {
        self.pool(pool).standing
    }

    /// All pools, the main one first.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.pools.len() as u16).map(PoolId)
    }

    pub(in crate::route) fn pool(&self, pool: PoolId) -> &Pool {
        &self.pools[usize::from(pool.0)]
    }

    pub(in crate::route) fn pool_mut(&mut self, pool: PoolId) -> &mut Pool {
        &mut self.pools[usize::from(pool.0)]
    }

    /// The routes of a pool, in its order.
    pub(in crate::route) fn records_of(
        &self,
        pool: PoolId,
    ) -> impl Iterator<Item = (RouteId, &RouteRecord)> + Clone {
        let members = self.pool(pool).members.iter();
        members.map(|&id| (id, &self.records[usize::from(id.0)]))
    }

    /// The pools that a route is in.
    fn pools_with(&self, route: RouteId) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.has(route))
    }

    /// A pool that `route` is in and that has another way than waiting for what is bad.
    fn clear_pool_with(&mut self, route: RouteId) -> Option<&mut Pool> {
        let mut pools = self.pools.iter_mut();
        pools.find(|pool| pool.has(route) && pool.is_clear())
    }

    /// Pays for a probe over `route`, from the purse of a pool that it is in.
    fn pays_for_probe(&mut self, route: RouteId, now: Time) -> bool {
        let pool = self.pools.iter_mut().find(|pool| pool.has(route));
        pool.is_some_and(|pool| pool.budgets.pay(Charge::Probe, now))
    }

    pub(in crate::route) fn record(&self, route: RouteId) -> &RouteRecord {
        &self.records[route.0 as usize]
    }

    pub(in crate::route) fn record_mut(&mut self, route: RouteId) -> &mut RouteRecord {
        &mut self.records[route.0 as usize]
    }

    /// What `route` is held for: the worst of what it, its path and its upstream are.
    fn effective(&self, record: &RouteRecord) -> Verdict {
        self.answerable(record).verdict()
    }

    /// Whose record that is: its own, its path's or its upstream's.
    fn answerable<'a>(&'a self, record: &'a RouteRecord) -> &'a Health {
        let path = &self.paths[record.route.path.0 as usize].health;
        let upstream = &self.upstreams[record.route.upstream.0 as usize].health;
        let rank = |health: &Health| Verdict::ALL.iter().position(|&it| it == health.verdict());
        let worse = |a, b| if rank(b) > rank(a) { b } else { a };
        worse(worse(&record.health, upstream), path)
    }

    fn is_usable(&self, record: &RouteRecord) -> bool {
        let path = &self.paths[record.route.path.0 as usize];
        let upstream = &self.upstreams[record.route.upstream.0 as usize];
        record.seat.is_in()
            && !(record.drained
                || path.drained
                || path.missing
                || upstream.drained
                || upstream.loops)
    }

    /// Whether this route is clear: what it says may be trusted.
    pub fn is_clear(&self, route: RouteId) -> bool {
        self.records.get(route.0 as usize).is_some_and(|record| {
            matches!(record.rank, Rank::Clear | Rank::Doubted | Rank::Recovering)
        })
    }

    fn is_unknown(&self, heard: Time, now: Time) -> bool {
        heard == Time::default() || now.since(heard) >= self.unknown_after
    }

    /// Whether a route comes after those that were heard of lately. Not one that nothing but questions measures: it
    /// would stay there.
    fn is_unseen(&self, record: &RouteRecord, now: Time) -> bool {
        let unknown = now >= self.fresh_until && self.is_unknown(record.heard, now);
        unknown && !record.metered && Rule::Unheard.stands()
    }

    /// Nothing is clear wherever these routes are used.
    fn is_desperate(&self, which: impl Fn(&Route) -> bool) -> bool {
        let mut records = (0u16..).map(RouteId).zip(&self.records);
        let clear = |(id, record): (RouteId, &RouteRecord)| {
            which(&record.route) && self.pools_with(id).any(Pool::is_clear)
        };
        !records.any(clear)
    }

    /// The same of one route.
    fn is_desperate_over(&self, route: RouteId) -> bool {
        !self.pools_with(route).any(Pool::is_clear)
    }

    /// So much more is wanted of a route than in health that byway is its own jam.
    fn is_surging_over(&self, route: RouteId, now: Time) -> bool {
        self.pools_with(route)
            .any(|pool| pool.budgets.is_surging(now))
    }

    /// Packets a second that all pools see in health.
    pub(in crate::route) fn healthy_rate(&self) -> f64 {
        self.pools
            .iter()
            .map(|pool| pool.budgets.healthy_rate())
            .sum()
    }

    /// The route's limit is in use and byway sends far more than in health: what is late or lost now, is so
    /// by byway's own load, and the limit answers to that first.
    fn is_self_made(&self, route: RouteId, in_flight: u32, now: Time) -> bool {
        self.record(route).limit.load(in_flight) > IN_USE
            && self.is_surging_over(route, now)
            && Rule::SelfMade.stands()
    }

    /// Whether byway's own load is what this route suffers from now.
    pub(in crate::route) fn is_overloaded(&self, route: RouteId, now: Time) -> bool {
        self.is_self_made(route, self.record(route).queue.len(), now)
    }

    /// When an upstream of this pool last gave a useful answer; [`Time::default`] if none has.
    pub fn last_useful(&self, pool: PoolId) -> Time {
        let useful = self.records_of(pool).map(|(_, record)| record.useful_at);
        useful.max().unwrap_or_default()
    }

    /// What became of extra attempts, since the start.
    pub fn hedges(&self) -> Hedges {
        self.hedges
    }

    /// Tells something that others than the engine have found out or done.
    pub fn note(&mut self, now: Time, event: Event) {
        self.tell(now, event);
    }

    /// Tells something of an upstream that others than the engine have found out.
    pub fn announce(
        &mut self,
        upstream: UpstreamId,
        now: Time,
        event: impl FnOnce(Arc<str>) -> Event,
    ) {
        let name = self.upstreams[usize::from(upstream.0)].name.clone();
        self.tell(now, event(name));
    }

    pub(in crate::route) fn tell(&mut self, now: Time, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
            self.lost_events += 1;
        }
        self.events.push_back((now, event));
    }

    /// Takes the events that happened since the last call, oldest first.
    pub fn take_events(&mut self) -> impl Iterator<Item = (Time, Event)> + '_ {
        self.events.drain(..)
    }

    /// Events dropped because nobody took them.
    pub fn events_lost(&self) -> u64 {
        self.lost_events
    }

    /// What a route ranks as.
    #[cfg(test)]
    pub(in crate::route) fn rank_of(&self, route: RouteId) -> Rank {
        self.record(route).rank
    }

    /// Has a route rank so until it is ranked anew.
    #[cfg(test)]
    pub(in crate::route) fn hold_for(&mut self, route: RouteId, rank: Rank) {
        let record = self.record_mut(route);
        (record.rank, record.rank_now) = (rank, rank);
    }
}

#[cfg(test)]
mod tests;
