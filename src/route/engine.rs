//! The engine's face, and what it keeps of every route, path and upstream.
//!
//! Evidence comes in through `Engine::land` and `Engine::lose`, one call per attempt's end. A route's
//! own record moves first; when it turns bad, [`blame`](super::blame) decides whether its path or its
//! server answers for it, and that one's record takes over: its verdict covers all its routes, those
//! never measured included, and it alone is tried until it earns its return.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::blame::{Culprit, Seen, culprit};
use super::budget::Budgets;
use super::estimate::{Estimate, Waits};
use super::flight::{AttemptId, Flights, Queue};
use super::health::{Change, Health, Patience, Row, Sample, Tally};
use super::limit::Limit;
use super::selector::{Rank, Selector};
use super::{AttemptKind, Outcome, PathId, Route, RouteId, UpstreamId};
use crate::clock::Time;
use crate::config::Config;
use crate::observe::event::{Event, Evidence, Subject, Verdict};
use crate::wire::Rcode;

/// Events kept until someone takes them; older ones are dropped first.
const EVENTS: usize = 256;
/// How long a loss after which nothing was answered keeps questions away.
const SILENCE: Duration = Duration::from_secs(1);
/// Attempts that must hang together before a route counts as stalled early.
const HANGING: u32 = 3;

/// One route and all that is known of it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) route: Route,
    pub(super) estimate: Estimate,
    pub(super) health: Health,
    pub(super) limit: Limit,
    pub(super) queue: Queue,
    pub(super) rank: Rank,
    pub(super) drained: bool,
    pub(super) backup: bool,
    /// Of path and upstream together.
    pub(super) cost: f32,
    /// How far the policy `spread` has come with it.
    pub(super) turn: f64,
    /// When the newest attempt that was answered at all, or well, or lost, had been sent.
    pub(super) answered_sent: Time,
    pub(super) good_sent: Time,
    pub(super) lost_sent: Time,
    pub(super) lost_at: Time,
    /// When the newest attempt that showed something bad was sent.
    pub(super) bad_sent: Time,
    /// Its useful and timely answers in a row.
    pub(super) row: Row,
    /// The last time it was asked for measurement's sake or a client's.
    pub(super) asked: Time,
    /// Packets a second in health, and in the second under way.
    pub(super) healthy: f32,
    pub(super) sent: u32,
}

/// A path or an upstream.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) health: Health,
    pub(super) drained: bool,
    /// Why it cannot be used, if so.
    pub(super) missing: bool,
    /// An open question hangs over it.
    pub(super) doubted: bool,
    /// Which of its routes is tried next.
    pub(super) trial: u16,
    /// Which of its routes began its row of good answers.
    pub(super) rower: Option<RouteId>,
    pub(super) left: Time,
}

impl Group {
    fn new(name: &str) -> Group {
        Group {
            name: name.into(),
            health: Health::default(),
            drained: false,
            missing: false,
            doubted: false,
            trial: 0,
            rower: None,
            left: Time::NEVER,
        }
    }

    /// The row of good answers that counts for its return after `route`, one of its own, came to `row`:
    /// the longest of any of its routes. What another route loses does not undo it.
    fn row_after(&mut self, route: RouteId, row: Row) -> Row {
        let current = self.health.row();
        if self.rower == Some(route) || row.count > current.count {
            self.rower = (row.count > 0).then_some(route);
            return row;
        }
        current
    }

    /// It answers for its routes: its own record counts, not theirs.
    pub(super) fn accused(&self) -> bool {
        !matches!(self.health.verdict(), Verdict::Clear | Verdict::Recovering)
    }
}

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
    pub(super) flights: Flights,
    pub(super) budgets: Budgets,
    pub(super) selector: Selector,
    pub(super) waits: Waits,
    pub(super) patience: Patience,
    pub(super) standing: Standing,
    pub(super) stands_since: Time,
    /// A route whose answer would settle an open question, and when it may be asked.
    pub(super) witness: Option<(RouteId, Time)>,
    /// The earliest time that any trial is due.
    pub(super) next_trial: Time,
    pub(super) last_question: Time,
    pub(super) surveyed: Time,
    pub(super) outage_turn: u16,
    pub(super) hedges: Hedges,
    routes: Vec<Route>,
    grid: Vec<Seen>,
    events: VecDeque<(Time, Event)>,
    lost_events: u64,
    second: u64,
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

/// What a tick asks for.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Routes to send a probe (`. NS`) over now, as races of [`Purpose::Probe`](super::Purpose::Probe).
    pub probes: Vec<RouteId>,
    /// When to tick next.
    pub next: Time,
}

/// What a restart remembers of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// `upstream@path`.
    pub route: String,
    /// Round trip without queues.
    pub base: Duration,
    /// Mean round trip while clear.
    pub mean: Duration,
    /// Mean deviation while clear.
    pub deviation: Duration,
    /// The far tail (one in two hundred is later) while clear.
    pub tail: Duration,
    /// Packets a second in health.
    pub rate: f32,
}

/// No path, upstream or route bears the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no path, upstream or route is called `{name}`{}", .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownName {
    /// The name given.
    pub name: String,
    /// The known name nearest to it, if any is near.
    pub nearest: Option<String>,
}

impl Engine {
    /// An engine for the routes of `config`: upstreams by their paths, in the order of the file.
    pub fn new(config: &Config, now: Time) -> Engine {
        let mut lanes = Vec::new();
        for (upstream, of) in (0u16..).zip(&config.upstreams) {
            for &index in &of.paths {
                let over = &config.paths[index];
                lanes.push(Lane {
                    route: Route {
                        upstream: UpstreamId(upstream),
                        path: PathId(index as u16),
                        name: format!("{}@{}", of.name, over.name).into(),
                    },
                    estimate: Estimate::default(),
                    health: Health::default(),
                    limit: Limit::new(config.limits.attempts_per_route),
                    queue: Queue::default(),
                    rank: Rank::Clear,
                    drained: false,
                    backup: of.backup || over.backup,
                    cost: (of.cost * over.cost) as f32,
                    turn: 0.0,
                    answered_sent: Time::default(),
                    good_sent: Time::default(),
                    lost_sent: Time::default(),
                    lost_at: Time::default(),
                    bad_sent: Time::default(),
                    row: Row::default(),
                    asked: Time::default(),
                    healthy: 0.0,
                    sent: 0,
                });
            }
        }
        let routing = &config.routing;
        let routes: Vec<Route> = lanes.iter().map(|lane: &Lane| lane.route.clone()).collect();
        Engine {
            routes,
            selector: Selector::new(routing.policy, lanes.len()),
            grid: Vec::with_capacity(lanes.len()),
            lanes,
            paths: config
                .paths
                .iter()
                .map(|path| Group::new(&path.name))
                .collect(),
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| Group::new(&upstream.name))
                .collect(),
            flights: Flights::default(),
            budgets: Budgets::new(routing.extra_share, routing.ceiling, now),
            waits: Waits {
                min: routing.hedge_min,
                max: routing.hedge_max,
            },
            patience: Patience::new(routing.return_within),
            standing: Standing::Clear,
            stands_since: now,
            witness: None,
            next_trial: now,
            last_question: Time::default(),
            surveyed: Time::default(),
            outage_turn: 0,
            hedges: Hedges::default(),
            events: VecDeque::new(),
            lost_events: 0,
            second: now.secs(),
            unsettled: false,
        }
    }

    /// All routes; a [`RouteId`] is an index into it.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// How things stand altogether.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether some route is clear, has room and answers: if not, a stale answer is given at once.
    pub fn any_clear(&self, now: Time) -> bool {
        self.standing == Standing::Clear
            && self.lanes.iter().any(|lane| {
                matches!(lane.rank, Rank::Clear | Rank::Doubted | Rank::Recovering)
                    && lane.queue.len() < lane.limit.get()
                    && !self.is_stalled(lane, now)
            })
    }

    /// Whether this route is clear: what it says may be trusted.
    pub fn is_clear(&self, route: RouteId) -> bool {
        self.lanes
            .get(route.0 as usize)
            .is_some_and(|lane| matches!(lane.rank, Rank::Clear | Rank::Doubted | Rank::Recovering))
    }

    /// About how long a hedge takes now: the wait before it, and its round trip.
    pub fn hedge_wait(&self, _now: Time) -> Duration {
        let clear = || self.lanes.iter().filter(|lane| lane.rank == Rank::Clear);
        let wait = clear()
            .map(|lane| lane.estimate.hedge_wait(self.waits))
            .min();
        let trip = clear()
            .map(|lane| lane.estimate.typical_us() as u64)
            .max()
            .unwrap_or_default();
        wait.unwrap_or(self.waits.max) + Duration::from_micros(trip)
    }

    /// Takes the events that happened since the last call, oldest first.
    pub fn take_events(&mut self) -> impl Iterator<Item = (Time, Event)> + '_ {
        self.events.drain(..)
    }

    /// Events dropped because nobody took them.
    pub fn events_lost(&self) -> u64 {
        self.lost_events
    }

    /// What a restart should remember.
    pub fn baselines(&self) -> Vec<Baseline> {
        self.lanes
            .iter()
            .filter_map(|lane| {
                let [base, mean, deviation, tail] = lane.estimate.remembered()?;
                Some(Baseline {
                    route: lane.route.name.to_string(),
                    base,
                    mean,
                    deviation,
                    tail,
                    rate: lane.healthy,
                })
            })
            .collect()
    }

    /// Takes up what an earlier process remembered; routes that are no more are passed over, and what
    /// was measured since the start is kept.
    pub fn restore_baselines(&mut self, baselines: &[Baseline], now: Time) {
        let mut rate = 0.0;
        for known in baselines {
            let Some(lane) = self
                .lanes
                .iter_mut()
                .find(|l| *l.route.name == *known.route)
            else {
                continue;
            };
            lane.estimate
                .recall([known.base, known.mean, known.deviation, known.tail], now);
            if known.rate.is_finite() && known.rate > 0.0 {
                lane.healthy = known.rate;
                rate += f64::from(known.rate);
            }
        }
        self.budgets.recall_rate(rate, now);
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
        let path = self.paths[lane.route.path.0 as usize].health.verdict();
        let upstream = self.upstreams[lane.route.upstream.0 as usize]
            .health
            .verdict();
        let own = lane.health.verdict();
        let rank = |verdict| Verdict::ALL.iter().position(|&v| v == verdict);
        [path, upstream, own]
            .into_iter()
            .max_by_key(|&v| rank(v))
            .unwrap_or_default()
    }

    /// An answer is overdue and nothing sent after it was answered, or something was lost and nothing
    /// since was answered. Later answers tell a hard question, or a single loss, from a stall.
    pub(super) fn is_stalled(&self, lane: &Lane, now: Time) -> bool {
        let oldest = lane.queue.oldest;
        if oldest != Time::NEVER && lane.answered_sent < oldest {
            let age = now.since(oldest);
            if age > lane.estimate.hedge_wait(self.waits) {
                return true;
            }
            if lane.queue.len() >= HANGING && age > lane.estimate.check_wait(self.waits) {
                return true;
            }
        }
        lane.lost_sent > lane.answered_sent && now.since(lane.lost_at) < SILENCE
    }

    /// An attempt leaves over `route`.
    pub(super) fn depart(
        &mut self,
        route: RouteId,
        kind: AttemptKind,
        stream: bool,
        now: Time,
    ) -> AttemptId {
        self.budgets.wanted(now);
        let lane = &mut self.lanes[route.0 as usize];
        lane.asked = now;
        lane.sent += 1;
        match kind {
            AttemptKind::Hedge => self.hedges.sent += 1,
            AttemptKind::Retry => self.hedges.retries += 1,
            AttemptKind::Probe => self.hedges.trials += 1,
            _ => {}
        }
        self.flights
            .depart(&mut lane.queue, route, kind, stream, now)
    }

    /// An attempt ended. `compared`: this useless answer was better known elsewhere.
    pub(super) fn land(&mut self, id: AttemptId, outcome: Outcome, now: Time) {
        let Some(attempt) = self.flights.get(id) else {
            return;
        };
        let route = attempt.route;
        let lane = &mut self.lanes[route.0 as usize];
        let in_flight = lane.queue.len();
        self.flights.land(id, &mut lane.queue);
        if outcome.came_back() {
            let rtt = now.since(attempt.sent);
            let late = lane.estimate.is_late(rtt, self.waits);
            let sample = match (attempt.lost, late) {
                (true, _) => Sample::Found,
                (false, true) => Sample::Late,
                (false, false) => Sample::Good,
            };
            lane.answered_sent = lane.answered_sent.max(attempt.sent);
            if sample == Sample::Good {
                lane.good_sent = lane.good_sent.max(attempt.sent);
            }
            // A fallback's round trip holds a handshake and says nothing about datagrams.
            if attempt.kind != AttemptKind::StreamFallback {
                let clear = lane.rank == Rank::Clear && sample != Sample::Found;
                lane.estimate
                    .sample(rtt, now, clear, sample == Sample::Good);
            }
            let stretch = lane.estimate.stretch();
            lane.limit.answered(in_flight, stretch, rtt, now);
            let useful = matches!(outcome, Outcome::Answered | Outcome::Truncated);
            if sample == Sample::Good || !self.is_self_made(route, in_flight, now) {
                self.witnessed(route, sample, useful, attempt.sent, now);
            }
            return;
        }
        match outcome {
            // A wait cut short by the driver teaches nothing.
            Outcome::TimedOut
                if !attempt.lost
                    && now.since(attempt.sent) >= self.lane(route).estimate.rto(self.waits) =>
            {
                self.was_lost(route, attempt.sent, in_flight, now);
            }
            Outcome::Unreachable | Outcome::HandshakeFailed if !attempt.lost => {
                self.was_lost(route, attempt.sent, in_flight, now);
            }
            _ => {}
        }
    }

    /// An attempt's retransmission timeout passed; it goes on listening.
    pub(super) fn lose(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.flights.get(id).filter(|attempt| !attempt.lost) else {
            return;
        };
        let lane = &mut self.lanes[attempt.route.0 as usize];
        let in_flight = lane.queue.len();
        self.flights.lose(id, &mut lane.queue);
        self.was_lost(attempt.route, attempt.sent, in_flight, now);
    }

    fn was_lost(&mut self, route: RouteId, sent: Time, in_flight: u32, now: Time) {
        let self_made = self.is_self_made(route, in_flight, now);
        let lane = self.lane_mut(route);
        lane.lost_sent = lane.lost_sent.max(sent);
        lane.lost_at = now;
        lane.limit.lost(in_flight, now);
        if !self_made {
            self.witnessed(route, Sample::Lost, false, sent, now);
        }
    }

    /// The route's limit is in use and byway sends far more than in health: what is late or lost now, is so
    /// by byway's own load, and the limit answers to that first.
    fn is_self_made(&self, route: RouteId, in_flight: u32, now: Time) -> bool {
        self.lane(route).limit.load(in_flight) > 0.5 && self.budgets.is_surging(now)
    }

    /// A useless answer, and whether another upstream knew better.
    pub(super) fn was_poor(
        &mut self,
        upstream: UpstreamId,
        rcode: Option<Rcode>,
        compared: bool,
        now: Time,
    ) {
        let desperate = self.standing != Standing::Clear;
        let group = &mut self.upstreams[upstream.0 as usize];
        group.rower = None;
        let sample = Sample::Poor { rcode, compared };
        if let Some(change) =
            group
                .health
                .note(sample, Row::default(), now, now, &self.patience, desperate)
        {
            self.upstream_changed(upstream, change, now);
        }
    }

    /// Takes in what an attempt over `route` showed. A useless answer shows that the packet was carried, and
    /// nothing good of the server.
    fn witnessed(&mut self, route: RouteId, sample: Sample, useful: bool, sent: Time, now: Time) {
        let desperate = self.standing != Standing::Clear;
        let patience = self.patience;
        let lane = &mut self.lanes[route.0 as usize];
        let Route { upstream, path, .. } = lane.route;
        let over = &mut self.paths[path.0 as usize];
        let of = &mut self.upstreams[upstream.0 as usize];
        let bad = matches!(sample, Sample::Late | Sample::Lost);
        let relief = over.health.relief().max(of.health.relief());
        if (bad || sample == Sample::Found) && sent < relief {
            return;
        }
        if bad {
            lane.bad_sent = lane.bad_sent.max(sent);
        }
        if sample == Sample::Good && useful {
            lane.row.grow(sent, now);
        } else if (bad && sent >= lane.row.sent) || sample == Sample::Good {
            lane.row = Row::default();
        }

        let mut path_change = None;
        if over.health.verdict() != Verdict::Clear {
            let row = over.row_after(route, lane.row);
            path_change = over
                .health
                .note(sample, row, sent, now, &patience, desperate);
        }
        let mut upstream_change = None;
        if !(useful || bad) {
            // The race says what to make of it.
        } else if of.health.verdict() != Verdict::Clear {
            let row = of.row_after(route, lane.row);
            upstream_change = of.health.note(sample, row, sent, now, &patience, desperate);
        } else if sample == Sample::Good {
            of.health.useful();
        }
        // What the path or the server answers for is not held against the route too.
        let explained = over.accused() || of.accused();
        let was_bad = lane.health.verdict() != Verdict::Clear;
        let mut own_change = None;
        if !(bad && explained && !was_bad) {
            own_change = lane
                .health
                .note(sample, lane.row, sent, now, &patience, desperate);
        }
        if let Some(change) = path_change {
            self.path_changed(path, change, now);
        }
        if let Some(change) = upstream_change {
            self.upstream_changed(upstream, change, now);
        }
        if let Some(change) = own_change
            && self.lane(route).health.verdict() == change.to
        {
            self.route_changed(route, change, now);
        } else if self.unsettled && !explained {
            self.settle(now);
        }
    }

    pub(super) fn route_changed(&mut self, route: RouteId, change: Change, now: Time) {
        let evidence = self.evidence(route, change.tally, now);
        let subject = Subject::Route(self.lane(route).route.name.clone());
        self.verdict(subject, change, evidence, now);
        self.settle(now);
    }

    pub(super) fn path_changed(&mut self, path: PathId, change: Change, now: Time) {
        let measured = self.newest_on(|route| route.path == path);
        let evidence = self.evidence(measured, change.tally, now);
        let subject = Subject::Path(self.paths[path.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        let group = &mut self.paths[path.0 as usize];
        if matches!(change.to, Verdict::Recovering | Verdict::Clear)
            && !matches!(change.from, Verdict::Recovering | Verdict::Clear)
        {
            let (name, away) = (group.name.clone(), now.since(group.left));
            group.left = Time::NEVER;
            self.tell(
                now,
                Event::Returned {
                    path: name,
                    away,
                    evidence,
                },
            );
            self.absolve(|route| route.path == path, change.relief, now);
        } else if change.from == Verdict::Recovering && change.to != Verdict::Clear {
            self.left(path, change.to, evidence, now);
        }
        self.settle(now);
    }

    pub(super) fn upstream_changed(&mut self, upstream: UpstreamId, change: Change, now: Time) {
        let measured = self.newest_on(|route| route.upstream == upstream);
        let evidence = self.evidence(measured, change.tally, now);
        let subject = Subject::Upstream(self.upstreams[upstream.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        if matches!(change.to, Verdict::Recovering | Verdict::Clear)
            && !matches!(change.from, Verdict::Recovering | Verdict::Clear)
        {
            self.absolve(|route| route.upstream == upstream, change.relief, now);
        }
        self.settle(now);
    }

    fn left(&mut self, path: PathId, verdict: Verdict, evidence: Evidence, now: Time) {
        let routes = self
            .lanes
            .iter()
            .filter(|lane| lane.route.path == path)
            .count();
        let group = &mut self.paths[path.0 as usize];
        group.left = now;
        let path = group.name.clone();
        self.tell(
            now,
            Event::Evacuated {
                path,
                verdict,
                routes,
                evidence,
            },
        );
    }

    /// Routes that were bad for a reason that is gone, and showed nothing bad since.
    fn absolve(&mut self, which: impl Fn(&Route) -> bool, relief: Time, now: Time) {
        for index in 0..self.lanes.len() {
            let patience = self.patience;
            let lane = &mut self.lanes[index];
            if !which(&lane.route) || lane.bad_sent >= relief {
                continue;
            }
            if let Some(change) = lane.health.absolve(relief, now, &patience) {
                let evidence = self.evidence(RouteId(index as u16), change.tally, now);
                let subject = Subject::Route(self.lanes[index].route.name.clone());
                self.verdict(subject, change, evidence, now);
            }
        }
    }

    fn verdict(&mut self, subject: Subject, change: Change, evidence: Evidence, now: Time) {
        let Change { from, to, .. } = change;
        self.tell(
            now,
            Event::Verdict {
                subject,
                from,
                to,
                evidence,
            },
        );
    }

    /// The route that was asked last among those that qualify.
    fn newest_on(&self, which: impl Fn(&Route) -> bool) -> RouteId {
        let newest = self
            .lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| which(&lane.route))
            .max_by_key(|(_, lane)| lane.asked);
        RouteId(newest.map_or(0, |(index, _)| index as u16))
    }

    pub(super) fn evidence(&self, route: RouteId, tally: Tally, now: Time) -> Evidence {
        let lane = self.lane(route);
        let oldest = lane.queue.oldest;
        let overdue = (oldest != Time::NEVER)
            .then(|| now.since(oldest))
            .filter(|&age| age > lane.estimate.hedge_wait(self.waits));
        Evidence {
            base: lane.estimate.base(),
            excess: lane.estimate.excess(now),
            overdue,
            ..tally.evidence(now)
        }
    }

    /// Decides who answers for each bad route, and ranks all routes anew.
    pub(super) fn settle(&mut self, now: Time) {
        for group in self.paths.iter_mut().chain(&mut self.upstreams) {
            group.doubted = false;
        }
        self.unsettled = false;
        let mut witness = None;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let Route { upstream, path, .. } = lane.route;
            if lane.health.onset().is_none()
                || !self.is_usable(lane)
                || self.paths[path.0 as usize].accused()
                || self.upstreams[upstream.0 as usize].accused()
            {
                continue;
            }
            self.look();
            let order = |id: RouteId| self.lane(id).estimate.typical_us();
            match culprit(&self.grid, RouteId(index as u16), order) {
                Culprit::Path => self.accuse_path(path, index, now),
                Culprit::Upstream => self.accuse_upstream(upstream, index, now),
                Culprit::Route => {}
                Culprit::Unknown(ask) => {
                    self.unsettled = true;
                    self.paths[path.0 as usize].doubted = true;
                    self.upstreams[upstream.0 as usize].doubted = true;
                    witness = witness.or(ask);
                }
            }
        }
        self.witness = match (witness, self.witness) {
            (None, _) => None,
            (Some(route), Some((same, at))) if route == same => Some((route, at)),
            (Some(route), _) => Some((route, now)),
        };
        self.rerank(now);
    }

    fn is_usable(&self, lane: &Lane) -> bool {
        let path = &self.paths[lane.route.path.0 as usize];
        let upstream = &self.upstreams[lane.route.upstream.0 as usize];
        !(lane.drained || path.drained || path.missing || upstream.drained)
    }

    /// Draws the grid for the inference.
    fn look(&mut self) {
        self.grid.clear();
        for lane in &self.lanes {
            let Route { upstream, path, .. } = lane.route;
            let explained = self.paths[path.0 as usize].accused()
                || self.upstreams[upstream.0 as usize].accused();
            self.grid.push(Seen {
                upstream,
                path,
                bad_since: lane.health.onset().unwrap_or(Time::NEVER),
                bad: lane.health.bad(),
                good: lane.good_sent,
                usable: self.is_usable(lane) && !explained,
            });
        }
    }

    fn accuse_path(&mut self, path: PathId, by: usize, now: Time) {
        let lane = &self.lanes[by];
        let verdict = match lane.health.verdict() {
            Verdict::Recovering | Verdict::Clear => Verdict::Suspect,
            verdict => verdict,
        };
        let (tally, patience) = (lane.health.tally(), self.patience);
        let group = &mut self.paths[path.0 as usize];
        // The next to be tried is another than the one that is known to be bad.
        (group.trial, group.rower) = (by as u16 + 1, None);
        let Some(change) = group.health.accuse(verdict, tally, now, &patience) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), tally, now);
        let subject = Subject::Path(self.paths[path.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        self.left(path, verdict, evidence, now);
        // What they showed before does not count for a return.
        for lane in self.lanes.iter_mut().filter(|lane| lane.route.path == path) {
            lane.row = Row::default();
        }
    }

    fn accuse_upstream(&mut self, upstream: UpstreamId, by: usize, now: Time) {
        let lane = &self.lanes[by];
        let verdict = match lane.health.verdict() {
            Verdict::Dead => Verdict::Dead,
            _ => Verdict::Sick,
        };
        let (tally, patience) = (lane.health.tally(), self.patience);
        let group = &mut self.upstreams[upstream.0 as usize];
        group.rower = None;
        let Some(change) = group.health.accuse(verdict, tally, now, &patience) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), tally, now);
        let subject = Subject::Upstream(self.upstreams[upstream.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        for lane in self
            .lanes
            .iter_mut()
            .filter(|lane| lane.route.upstream == upstream)
        {
            lane.row = Row::default();
        }
    }

    /// Ranks every route for choosing, and notes how things stand altogether.
    pub(super) fn rerank(&mut self, now: Time) {
        let (mut best, mut any) = (Rank::Out, false);
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let path = &self.paths[lane.route.path.0 as usize];
            let upstream = &self.upstreams[lane.route.upstream.0 as usize];
            let rank = if !self.is_usable(lane) {
                Rank::Out
            } else {
                match self.effective(lane) {
                    Verdict::Clear if path.doubted || upstream.doubted => Rank::Doubted,
                    Verdict::Clear => Rank::Clear,
                    Verdict::Suspect => Rank::Suspect,
                    Verdict::Recovering => Rank::Recovering,
                    Verdict::Congested => Rank::Congested,
                    Verdict::Sick => Rank::Sick,
                    Verdict::Dead => Rank::Dead,
                }
            };
            self.lanes[index].rank = rank;
            any |= rank != Rank::Out;
            best = best.min(rank);
        }
        let standing = match best {
            Rank::Dead if any => Standing::Outage,
            Rank::Out | Rank::Congested | Rank::Sick => Standing::NothingClear,
            _ => Standing::Clear,
        };
        self.next_trial = now.min(self.next_trial);
        if standing != self.standing {
            let stood = now.since(self.stands_since);
            let before = self.standing;
            (self.standing, self.stands_since) = (standing, now);
            if before == Standing::Outage {
                self.tell(now, Event::OutageOver { after: stood });
            }
            match standing {
                Standing::Clear => self.tell(now, Event::ClearAgain { after: stood }),
                Standing::NothingClear => {
                    let ceiling = self.budgets.ceiling_rate();
                    if !self.budgets.is_surging(now) {
                        for lane in &mut self.lanes {
                            let rtt = lane.estimate.current_us(now);
                            lane.limit.keep_room_for(ceiling as f32, rtt);
                        }
                    }
                    self.tell(
                        now,
                        Event::NothingClear {
                            ceiling: ceiling as u64,
                        },
                    );
                }
                Standing::Outage => self.tell(now, Event::Outage),
            }
        }
    }

    /// Lets time do its part. The worker that owns the tick calls it and sends the probes it lists.
    pub fn tick(&mut self, now: Time, rng: &mut impl rand::Rng) -> Tick {
        self.budgets.turn(now, self.standing == Standing::Clear);
        let patience = self.patience;
        for index in 0..self.lanes.len() {
            if let Some(change) = self.lanes[index].health.turn(now, &patience) {
                self.route_changed(RouteId(index as u16), change, now);
            }
        }
        for index in 0..self.paths.len() {
            if let Some(change) = self.paths[index].health.turn(now, &patience) {
                self.path_changed(PathId(index as u16), change, now);
            }
        }
        for index in 0..self.upstreams.len() {
            if let Some(change) = self.upstreams[index].health.turn(now, &patience) {
                self.upstream_changed(UpstreamId(index as u16), change, now);
            }
        }
        if now.secs() != self.second {
            self.each_second(now);
        }
        let probes = self.probes(now, rng);
        let troubled = self.lanes.iter().any(|lane| lane.rank != Rank::Clear);
        let pause = if troubled { 50 } else { 250 };
        Tick {
            probes,
            next: now + Duration::from_millis(pause),
        }
    }

    fn each_second(&mut self, now: Time) {
        let passed = now.secs().saturating_sub(self.second).max(1) as f32;
        self.second = now.secs();
        let healthy = self.standing == Standing::Clear;
        self.patience.suit(self.budgets.healthy_rate());
        let surging = self.budgets.is_surging(now);
        let multiple = self.budgets.ceiling_rate() as f32;
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            let rate = lane.sent as f32 / passed;
            lane.sent = 0;
            if healthy && !surging && lane.rank == Rank::Clear {
                lane.limit.relax();
            }
            if healthy {
                lane.healthy += (rate - lane.healthy) * (passed / 60.0).min(1.0);
            }
            let rtt = lane.estimate.current_us(now);
            // While something is clear, or the surge is byway's own, what comes back says how much may go.
            match healthy || surging {
                true => lane.limit.let_go(),
                false => lane.limit.keep_room_for(multiple, rtt),
            }
            if lane.health.verdict() != Verdict::Clear {
                let lossless = lane.health.tally().lost == 0;
                if let Some((from, to)) = lane.estimate.rebase(now, lossless) {
                    let route = lane.route.name.clone();
                    self.tell(now, Event::Rebased { route, from, to });
                }
            }
        }
    }
}
