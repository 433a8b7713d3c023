//! The operator's view and the operator's hand.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::{Evidence, Subject, Verdict};
use crate::route::choose::Rank;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::{Engine, Hedges};
use crate::route::ids::{PoolId, RouteId};
use crate::route::standing::Standing;

/// Everything that metrics and status show of the engine, at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// How things stand for all names that no zone with upstreams of its own takes.
    pub standing: Standing,
    /// Since when.
    pub standing_for: Duration,
    /// The same for zones with upstreams of their own.
    pub pools: Vec<PoolReport>,
    /// Every route that takes part, in the order of the configuration.
    pub routes: Vec<RouteReport>,
    /// Every path, in the order of the configuration.
    pub paths: Vec<PathReport>,
    /// Every upstream, in the order of the configuration.
    pub upstreams: Vec<UpstreamReport>,
    /// Tokens left in the steady purse, the burst and the ceiling.
    pub budget: [f64; 3],
    /// Packets a second that the ceiling allows while nothing is clear.
    pub ceiling_rate: f64,
    /// Packets a second in health.
    pub healthy_rate: f64,
    /// Packets upstream per question that needed one, over the last minute.
    pub amplification: f64,
    /// What became of extra attempts.
    pub hedges: Hedges,
    /// Attempts whose listener has not given up.
    pub listening: usize,
}

/// The upstreams of a zone, or of several, at one moment.
#[derive(Clone, Debug)]
pub struct PoolReport {
    /// The first of those zones.
    pub name: Arc<str>,
    /// How things stand for its names.
    pub standing: Standing,
    /// Since when.
    pub standing_for: Duration,
    /// Packets a second that the ceiling allows while nothing is clear.
    pub ceiling_rate: f64,
}

/// A route at one moment.
#[derive(Clone, Debug)]
pub struct RouteReport {
    /// Its number.
    pub id: RouteId,
    /// `upstream@path`.
    pub name: Arc<str>,
    /// What it is held for: the worst of what it, its path and its upstream are.
    pub verdict: Verdict,
    /// Since when that verdict stands.
    pub standing_for: Duration,
    /// What it rests on.
    pub evidence: Evidence,
    /// Round trip without queues, once measured.
    pub base: Option<Duration>,
    /// Lower quartile of recent round trips over the base.
    pub excess: Option<Duration>,
    /// Mean round trip while clear.
    pub typical: Duration,
    /// Share of attempts lost since trouble began to show; 0 without trouble.
    pub loss: f64,
    /// Share of the last minute's attempts without an answer in the route's own time, whatever the reason; `None` if
    /// there were none.
    pub recent_loss: Option<f64>,
    /// How long ago the last useful answer came; `None` before the first.
    pub last_answer: Option<Duration>,
    /// Attempts unanswered.
    pub in_flight: u32,
    /// Attempts that may be unanswered.
    pub limit: u32,
    /// Segments that TCP sent again; `None` if it was never asked over a stream.
    pub tcp_resent: Option<u64>,
    /// The kernel's smoothed round trip when it was last asked over a stream.
    pub tcp_round_trip: Option<Duration>,
    /// When its hedge goes out.
    pub hedge_wait: Duration,
    /// Taken out of use by the operator, itself or its path or upstream.
    pub drained: bool,
    /// Its path's interface or source address is not on this host.
    pub missing: bool,
}

/// A path at one moment.
#[derive(Clone, Debug)]
pub struct PathReport {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// What it is held for.
    pub verdict: Verdict,
    /// Since when.
    pub standing_for: Duration,
    /// Its interface or source address is not on this host.
    pub missing: bool,
    /// Taken out of use by the operator.
    pub drained: bool,
}

/// An upstream at one moment.
#[derive(Clone, Debug)]
pub struct UpstreamReport {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// What it is held for.
    pub verdict: Verdict,
    /// Since when.
    pub standing_for: Duration,
    /// Taken out of use by the operator.
    pub drained: bool,
}

impl Engine {
    /// How everything is at the moment.
    pub fn report(&self, now: Time) -> Report {
        let routes = self.in_order().into_iter();
        let routes = routes.map(|id| self.report_of(id, now));
        let main = self.pool(PoolId::MAIN);
        Report {
            standing: main.standing,
            standing_for: now.since(main.stands_since),
            pools: self
                .pools
                .iter()
                .filter(|pool| !pool.members.is_empty())
                .filter_map(|pool| {
                    Some(PoolReport {
                        name: pool.name.clone()?,
                        standing: pool.standing,
                        standing_for: now.since(pool.stands_since),
                        ceiling_rate: pool.budgets.ceiling_rate(),
                    })
                })
                .collect(),
            routes: routes.collect(),
            paths: in_order(&self.paths)
                .map(|path| PathReport {
                    name: path.name.clone(),
                    verdict: self.shown_of(path, now).0,
                    standing_for: now.since(self.shown_of(path, now).1),
                    missing: path.missing,
                    drained: path.drained,
                })
                .collect(),
            upstreams: in_order(&self.upstreams)
                .map(|upstream| UpstreamReport {
                    name: upstream.name.clone(),
                    verdict: self.shown_of(upstream, now).0,
                    standing_for: now.since(self.shown_of(upstream, now).1),
                    drained: upstream.drained,
                })
                .collect(),
            budget: main.budgets.left(),
            ceiling_rate: main.budgets.ceiling_rate(),
            healthy_rate: main.budgets.healthy_rate(),
            amplification: main.budgets.amplification(),
            hedges: self.hedges,
            listening: self.flights.len(),
        }
    }

    fn report_of(&self, id: RouteId, now: Time) -> RouteReport {
        let record = self.record(id);
        let answerable = self.answerable(record);
        let evidence = self.evidence(id, answerable.counts(), now);
        let (verdict, since) = self.shown_since(record, now);
        RouteReport {
            id,
            name: record.route.name.clone(),
            verdict,
            standing_for: now.since(since),
            evidence,
            base: record.round_trips.base(),
            excess: record.round_trips.excess(now),
            typical: Duration::from_micros(record.round_trips.typical_us() as u64),
            loss: f64::from(evidence.lost) / f64::from(evidence.attempts.max(1)),
            recent_loss: record.recent.loss(now),
            last_answer: record.recent.last_answer(now),
            in_flight: record.queue.len(),
            limit: record.limit.get(),
            tcp_resent: record.tcp_round_trip.map(|_| record.tcp_resent),
            tcp_round_trip: record.tcp_round_trip,
            hedge_wait: record.round_trips.hedge_wait(),
            drained: record.drained
                || self.paths[record.route.path.0 as usize].drained
                || self.upstreams[record.route.upstream.0 as usize].drained,
            missing: self.paths[record.route.path.0 as usize].missing,
        }
    }

    /// What is left for the names that `subject` is asked for: for each set of zones with the same upstreams, the first of those
    /// zones (`None` for all other names) and how many routes are neither drained nor missing.
    pub fn left_beside(&self, subject: &Subject) -> Vec<(Option<Arc<str>>, usize)> {
        let is_own = |record: &RouteRecord| match subject {
            Subject::Path(name) => self.paths[record.route.path.0 as usize].name == *name,
            Subject::Upstream(name) => {
                self.upstreams[record.route.upstream.0 as usize].name == *name
            }
            Subject::Route(name) => record.route.name == *name,
            Subject::Name(_) => false,
        };
        let of_pool = |pool: PoolId| {
            let records = self.records_of(pool).map(|(_, record)| record);
            let usable = records.clone().filter(|it| it.rank != Rank::Out).count();
            let serves = records.clone().any(is_own);
            serves.then(|| (self.pool(pool).name.clone(), usable))
        };
        self.pools().filter_map(of_pool).collect()
    }

    /// Tokens left in the steady purse, the burst and the ceiling of a pool.
    pub fn budget_left(&self, pool: PoolId) -> [f64; 3] {
        self.pool(pool).budgets.left()
    }

    /// The routes that take part, in the order of the configuration.
    pub fn in_order(&self) -> Vec<RouteId> {
        let all = (0u16..).map(RouteId).zip(&self.records);
        let mut all: Vec<_> = all.filter(|(_, record)| record.seat.is_in()).collect();
        all.sort_by_key(|(_, record)| record.seat.place);
        all.into_iter().map(|(id, _)| id).collect()
    }
}

/// The paths or upstreams that take part, in the order of the configuration.
pub(super) fn in_order(groups: &[Group]) -> impl Iterator<Item = &Group> {
    let mut all: Vec<&Group> = groups.iter().filter(|group| group.seat.is_in()).collect();
    all.sort_by_key(|group| group.seat.place);
    all.into_iter()
}
