//! The engine's face.
//!
//! Evidence comes in one call per attempt's end ([`evidence`](super::evidence)). A route's own record
//! moves first; when it turns bad, [`blame`](super::blame) decides whether its path or its server
//! answers for it, and that one's record takes over ([`judgement`](super::judgement)): its verdict
//! covers all its routes, those never measured included, and it alone is tried until it earns its
//! return.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::blame::Seen;
use super::constants::engine::pace::*;
use super::doubts::Usual;
use super::estimate::Waits;
use super::failing::Failing;
use super::first_round::FirstRound;
use super::flight::Flights;
use super::health::Health;
use super::lane::{Group, Lane};
use super::patience::Patience;
use super::pool::Pool;
use super::selector::{Rank, unit};
use super::stall::Stalls;
use super::{PathId, PoolId, Route, RouteId, UpstreamId};
use crate::clock::Time;
use crate::config::Config;
use crate::config::lineup::Lineup;
use crate::observe::event::{Event, Verdict};

/// How things stand altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Some route is usable.
    Clear,
    /// None is; the ceiling holds.
    NothingClear,
    /// All are dead; only probes go out.
    Outage,
}

/// Where routes are chosen and all that they teach is kept. Shared by all workers.
#[derive(Debug)]
pub struct Engine {
    pub(super) lanes: Vec<Lane>,
    pub(super) paths: Vec<Group>,
    pub(super) upstreams: Vec<Group>,
    /// Which of them a question may take; at least the main one.
    pub(super) pools: Vec<Pool>,
    pub(super) flights: Flights,
    pub(super) waits: Waits,
    pub(super) stalls: Stalls,
    /// Questions and zones known to fail.
    pub(super) failing: Failing,
    /// ... and how many do.
    pub(super) usual: Usual,
    pub(super) patience: Patience,
    /// How long a question may take.
    pub(super) deadline: Duration,
    /// A route whose answer would settle an open question, and when it may be asked.
    pub(super) witness: Option<(RouteId, Time)>,
    /// A route that was not heard for so long is unknown,
    pub(super) unknown_after: Duration,
    /// ... which makes no difference to questions until then: all have just begun to be.
    pub(super) fresh_until: Time,
    /// The host last woke up from sleep.
    pub(super) woke: Time,
    pub(super) first_round: Option<FirstRound>,
    pub(super) hedges: Hedges,
    pub(super) routes: Vec<Route>,
    pub(super) grid: Vec<Seen>,
    events: VecDeque<(Time, Event)>,
    lost_events: u64,
    second: u64,
    pub(super) has_tastes: bool,
    pub(super) unsettled: bool,
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
}

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
            lanes: Vec::new(),
            paths: Vec::new(),
            upstreams: Vec::new(),
            flights: Flights::default(),
            waits,
            stalls: Stalls::default(),
            failing: Failing::default(),
            usual: Usual::default(),
            patience: Patience::new(routing.return_within),
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

    /// All routes, those that a reload has taken out too; a [`RouteId`] is an index into it.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// How things stand in the main pool.
    pub fn standing(&self) -> Standing {
        self.standing_of(PoolId::MAIN)
    }

    /// Whether some route is clear, has room and answers: if not, a stale answer is given at once.
    pub fn any_clear(&self, now: Time) -> bool {
        self.standing() == Standing::Clear
            && self.lanes_of(PoolId::MAIN).any(|(_, lane)| {
                (lane.rank <= Rank::Unknown || lane.rank == Rank::Recovering)
                    && lane.has_room()
                    && !self.is_silent(lane, now)
            })
    }

    /// Whether something has answered lately, or nothing was asked that could have been: if not, whoever waits for
    /// an answer probably waits in vain. What is believed of a route does not matter as long as it answers.
    pub fn answered_lately(&self, now: Time) -> bool {
        self.lanes_of(PoolId::MAIN).any(|(_, lane)| {
            let answers = match lane.rank {
                Rank::Out => false,
                rank if rank < Rank::Congested => true,
                _ => now.since(lane.answered_sent) <= LATELY,
            };
            answers && !self.is_silent(lane, now)
        })
    }

    /// What a question of `pool` may hope for now for which a stale answer is held. That a route is in doubt does not
    /// count: it may answer all the same.
    pub fn prospect(&mut self, pool: PoolId, now: Time) -> Prospect {
        let outage = self.standing_of(pool) == Standing::Outage;
        if outage || self.lanes_of(pool).all(|(_, lane)| lane.rank == Rank::Out) {
            return Prospect::Nobody;
        }
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        let paid = *standing == Standing::Clear || budgets.may_renew(now);
        // In a surge of byway's own known names do not wait. A storm of names that fail is none: it is a few times
        // what a quiet host asks.
        let flooded = budgets.is_flooded(now);
        let free = |lane: &Lane| {
            lane.rank < Rank::Dead && (lane.has_room() || (!flooded && lane.has_room_for_held()))
        };
        match paid && self.lanes_of(pool).any(|(_, lane)| free(lane)) {
            true => Prospect::Answer(self.hedge_wait_of(pool)),
            false => Prospect::Queue,
        }
    }

    /// Whether a question that found no room before may find some now. To ask again and again would count as
    /// so much more demand.
    pub fn has_room(&mut self, pool: PoolId, now: Time) -> bool {
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        let paid = match standing {
            Standing::Outage => return true,
            Standing::Clear => true,
            Standing::NothingClear => budgets.may_ask(now),
        };
        let mut lanes = self.lanes_of(pool).map(|(_, lane)| lane);
        let free = |lane: &Lane| lane.rank != Rank::Out && lane.has_room();
        let out = |lane: &Lane| lane.rank == Rank::Out;
        (paid && lanes.clone().any(free)) || lanes.all(out)
    }

    /// Nothing has come back for longer than the host itself may have stalled, of more questions than may hang by
    /// their own doing. Where there is one route only, each answer that is a little late would count as trouble otherwise.
    fn is_silent(&self, lane: &Lane, now: Time) -> bool {
        let queue = &lane.queue;
        let (more, oldest) = (queue.len(), queue.oldest);
        lane.is_stalled(now) && (lane.doubts).is_silence_with(more, oldest, self.usual, now)
    }

    /// Whether this route is clear: what it says may be trusted.
    pub fn is_clear(&self, route: RouteId) -> bool {
        self.lanes
            .get(route.0 as usize)
            .is_some_and(|lane| matches!(lane.rank, Rank::Clear | Rank::Doubted | Rank::Recovering))
    }

    /// About how long a hedge takes now: the wait before it, and for as long as it may take itself before it
    /// would be overdue. Less would give stale answers in health, whenever the host stalls for a moment.
    pub fn hedge_wait(&self, _now: Time) -> Duration {
        self.hedge_wait_of(PoolId::MAIN)
    }

    fn hedge_wait_of(&self, pool: PoolId) -> Duration {
        let lanes = self.lanes_of(pool);
        let some = lanes.clone().any(|(_, lane)| lane.rank == Rank::Clear);
        let best = if some { Rank::Clear } else { Rank::Unknown };
        let clear = lanes.filter(|(_, lane)| lane.rank == best);
        let (mut least, mut most) = (u64::MAX, 0);
        for (_, lane) in clear {
            let nanos = lane.estimate.hedge_wait().as_nanos() as u64;
            (least, most) = (least.min(nanos), most.max(nanos));
        }
        match least {
            u64::MAX => 2 * self.waits.max,
            _ => Duration::from_nanos(least + most).max(HEDGE_LEAST),
        }
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

    /// Whether a question that `route`'s server answered uselessly may be put to it once more, otherwise: nobody
    /// else is to be asked, and it is paid.
    pub fn may_ask_again(&mut self, pool: PoolId, route: RouteId, now: Time) -> bool {
        let own = self.lane(route).route.upstream;
        let another =
            |(_, lane): (RouteId, &Lane)| lane.route.upstream != own && lane.rank < Rank::Dead;
        !self.lanes_of(pool).any(another) && self.may_repeat(pool, now)
    }

    /// Whether a question may be put once more to the one that has just answered it, at the extras' cost.
    pub fn may_repeat(&mut self, pool: PoolId, now: Time) -> bool {
        self.pool_mut(pool).budgets.extra(false, now)
    }

    /// When an upstream of this pool last gave a useful answer; [`Time::default`] if none has.
    pub fn last_useful(&self, pool: PoolId) -> Time {
        let useful = self.lanes_of(pool).map(|(_, lane)| lane.useful_at);
        useful.max().unwrap_or_default()
    }

    /// What became of extra attempts, since the start.
    pub fn hedges(&self) -> Hedges {
        self.hedges
    }

    /// Takes the events that happened since the last call, oldest first.
    pub fn take_events(&mut self) -> impl Iterator<Item = (Time, Event)> + '_ {
        self.events.drain(..)
    }

    /// Events dropped because nobody took them.
    pub fn events_lost(&self) -> u64 {
        self.lost_events
    }

    pub(super) fn tell(&mut self, now: Time, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
            self.lost_events += 1;
        }
        self.events.push_back((now, event));
    }

    pub(super) fn lane(&self, route: RouteId) -> &Lane {
        &self.lanes[route.0 as usize]
    }

    pub(super) fn lane_mut(&mut self, route: RouteId) -> &mut Lane {
        &mut self.lanes[route.0 as usize]
    }

    /// What `route` is held for: the worst of what it, its path and its upstream are.
    pub(super) fn effective(&self, lane: &Lane) -> Verdict {
        self.answerable(lane).verdict()
    }

    /// Whose record that is: its own, its path's or its upstream's.
    pub(super) fn answerable<'a>(&'a self, lane: &'a Lane) -> &'a Health {
        let path = &self.paths[lane.route.path.0 as usize].health;
        let upstream = &self.upstreams[lane.route.upstream.0 as usize].health;
        let rank = |health: &Health| Verdict::ALL.iter().position(|&it| it == health.verdict());
        let worse = |a, b| if rank(b) > rank(a) { b } else { a };
        worse(worse(&lane.health, upstream), path)
    }

    /// Lets time do its part. The worker that owns the tick calls it and sends the probes it lists.
    pub fn tick(&mut self, now: Time, rng: &mut impl rand::Rng) -> Tick {
        if !std::mem::replace(&mut self.has_tastes, true) {
            for lane in self.lanes.iter_mut().filter(|lane| !lane.has_taste()) {
                let roll = unit(rng);
                lane.like(roll);
                lane.idle.begin(now, (64.0 * roll).fract());
            }
        }
        for pool in &mut self.pools {
            pool.budgets.turn(now, pool.standing == Standing::Clear);
        }
        let patience = self.patience;
        for index in 0..self.lanes.len() {
            if !self.lanes[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.lanes[index].health.turn(now, &patience) {
                self.route_changed(RouteId(index as u16), change, now);
            }
        }
        for index in 0..self.paths.len() {
            if !self.paths[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.paths[index].health.turn(now, &patience) {
                self.path_changed(PathId(index as u16), change, now);
            }
        }
        for index in 0..self.upstreams.len() {
            if !self.upstreams[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.upstreams[index].health.turn(now, &patience) {
                self.upstream_changed(UpstreamId(index as u16), change, now);
            }
        }
        if now.secs() != self.second {
            self.each_second(now);
        }
        self.keep_room(now);
        let mut probes = self.probes(now, rng);
        let soon = self.go_the_first_round(&mut probes, now, rng);
        let soon = soon.min(self.measure_idle(&mut probes, now, rng));
        let quiet = |lane: &Lane| matches!(lane.rank, Rank::Clear | Rank::Unknown);
        let troubled = !self.lanes.iter().all(quiet);
        let pause = if troubled { TICK_TROUBLED } else { TICK };
        Tick {
            probes,
            next: soon.min(now + pause),
        }
    }

    /// While something is clear, or the surge is byway's own, what comes back says how much may go. Otherwise what
    /// health needs may, and that is soon more: the round trip that the limit has to hold may grow a hundredfold.
    fn keep_room(&mut self, now: Time) {
        for index in 0..self.lanes.len() {
            let route = RouteId(index as u16);
            let needed = self.is_desperate_over(route) && !self.is_surging_over(route, now);
            let rate = match needed {
                true => self.ceiling_over(route),
                false => 0.0,
            };
            let lane = &mut self.lanes[index];
            match needed {
                true => lane
                    .limit
                    .keep_room_for(rate, lane.estimate.current_us(now)),
                false => lane.limit.let_go(),
            }
        }
    }

    /// Packets a second that may go over a route while nothing is clear.
    fn ceiling_over(&self, route: RouteId) -> f32 {
        let rates = self
            .pools_with(route)
            .map(|pool| pool.budgets.ceiling_rate());
        rates.sum::<f64>() as f32
    }

    fn each_second(&mut self, now: Time) {
        let passed = now.secs().saturating_sub(self.second).max(1) as f32;
        self.second = now.secs();
        self.age(now);
        self.patience.suit(self.healthy_rate());
        for index in 0..self.lanes.len() {
            let route = RouteId(index as u16);
            let healthy = !self.is_desperate_over(route);
            let surging = self.is_surging_over(route, now);
            let lane = &mut self.lanes[index];
            let rate = lane.sent as f32 / passed;
            lane.sent = 0;
            if healthy && !surging && matches!(lane.rank, Rank::Clear | Rank::Unknown) {
                lane.limit.relax();
            }
            if healthy {
                lane.healthy += (rate - lane.healthy) * (passed / ROUTE_RATE_SECS).min(1.0);
            }
            if lane.seat.is_in() && lane.health.verdict() != Verdict::Clear {
                let lossless = lane.health.tally().lost == 0;
                if let Some((from, to)) = lane.estimate.rebase(now, lossless) {
                    self.stalls.look_again();
                    let route = lane.route.name.clone();
                    self.tell(now, Event::Rebased { route, from, to });
                }
            }
        }
    }
}
