//! What the daemon watches and shows: the engine's clock, samples for the metrics.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::desk::Counter;
use super::query_log;
use super::survival::Keeper;
use super::tape::{self, Tape};
use super::teller::Teller;
use super::vital::{Pulse, Pulses};
use super::worker::Worker;
use crate::admin::AdminState;
use crate::clock::Clock;
use crate::config::lineup::Lineup;
use crate::config::{Config, Listen};
use crate::observe::metrics::{
    BudgetSample, CacheSample, EngineSample, GuardSample, Metrics, QueryLogSample, RecorderSample,
    Roster, RouteNames, RouteSample, SnapshotSample, Sources, Twice, Verdict,
};
use crate::observe::query_log::QueryLog;
use crate::resolve::Shared;

/// The metrics of a daemon that listens on `listen` and forwards over the routes of `lineup`.
///
/// # Errors
/// If two of them have one name.
pub(super) fn metrics(
    config: &Config,
    lineup: &Lineup,
    listen: &[Listen],
    shared: &Arc<Shared>,
    keeper: &Option<Arc<Keeper>>,
    (tape, log): (Option<&Tape>, Option<&Arc<QueryLog>>),
    clock: Clock,
) -> Result<Metrics, Twice> {
    let (for_cache, for_engine) = (Arc::clone(shared), Arc::clone(shared));
    let for_guard = Arc::clone(shared);
    let sources = Sources {
        cache: Box::new(move || cache_sample(&for_cache)),
        engine: Box::new(move || engine_sample(&for_engine, clock)),
        guard: Box::new(move || guard_sample(&for_guard)),
        snapshot: keeper.clone().map(|keeper| {
            Box::new(move || keeper.sample()) as Box<dyn Fn() -> SnapshotSample + Send + Sync>
        }),
        recorder: tape.map(Tape::watcher).map(|watcher| {
            Box::new(move || tape::sample(&watcher))
                as Box<dyn Fn() -> RecorderSample + Send + Sync>
        }),
        query_log: log.map(Arc::clone).map(|log| {
            Box::new(move || query_log::sample(&log))
                as Box<dyn Fn() -> QueryLogSample + Send + Sync>
        }),
    };
    Metrics::new(roster(lineup, listen), &config.limits, sources)
}

/// The labels of such a daemon.
pub(super) fn roster(lineup: &Lineup, listen: &[Listen]) -> Roster {
    let listeners = listen.iter().map(|listener| listener.address.to_string());
    let paths = lineup.paths.iter().filter(|path| path.is_in());
    let routes = lineup.routes.iter().map(|route| {
        let (upstream, path) = lineup.ends(route.is);
        RouteNames {
            upstream: upstream.name.clone(),
            path: path.name.clone(),
        }
    });
    let seats = lineup.routes.iter().map(|it| (it.tenant, it.is_in()));
    Roster {
        listeners: listeners.collect(),
        paths: paths.map(|path| path.is.name.clone()).collect(),
        routes: routes.collect(),
        seats: seats.collect(),
    }
}

/// Who has each route's number.
pub(super) fn tenants(lineup: &Lineup) -> Vec<u32> {
    lineup.routes.iter().map(|it| it.tenant).collect()
}

fn cache_sample(shared: &Shared) -> CacheSample {
    let stats = shared.cache.stats();
    CacheSample {
        entries: stats.entries as u64,
        bytes: stats.bytes as u64,
        capacity: stats.bound as u64,
        evictions: [
            stats.evictions.dead,
            stats.evictions.unasked,
            stats.evictions.outweighed,
            stats.evictions.displaced,
        ],
    }
}

fn guard_sample(shared: &Shared) -> Option<GuardSample> {
    let (watched, kept, counts) = shared.guard.counts();
    let events = [
        counts.vanished,
        counts.returned,
        counts.expired,
        counts.released,
        counts.shrunk,
    ];
    let is_of_use = shared.guard.is_on() || events.iter().any(|it| *it > 0);
    is_of_use.then_some(GuardSample {
        kept: kept as u64,
        watched: watched as u64,
        events,
    })
}

fn engine_sample(shared: &Shared, clock: Clock) -> EngineSample {
    let report = shared.engine().report(clock.now());
    let [steady, burst, ceiling] = report.budget;
    let budget = |name, tokens| BudgetSample { name, tokens };
    EngineSample {
        routes: report
            .routes
            .iter()
            .map(|route| RouteSample {
                number: usize::from(route.id.0),
                verdict: route.verdict,
                base: route.base,
                excess: route.excess,
                loss: route.recent_loss,
                last_answer: route.last_answer,
                in_flight: route.in_flight.into(),
                limit: route.limit.into(),
                tcp_retransmits: route.tcp_resent,
                tcp_round_trip: route.tcp_round_trip,
            })
            .collect(),
        missing: report
            .paths
            .iter()
            .map(|path| (path.name.to_string(), path.missing))
            .collect(),
        budgets: vec![
            budget("steady", steady),
            budget("burst", burst),
            budget("ceiling", ceiling),
        ],
        hedges_denied: report.hedges.denied,
        retries_denied: report.hedges.retries_denied,
        events_lost: shared.engine().events_lost(),
        amplification: (report.amplification > 0.0).then_some(report.amplification),
    }
}

/// What the admin endpoint shows. It is not ready from when it is `stopping`.
pub(super) fn state(
    metrics: &Arc<Metrics>,
    shared: &Arc<Shared>,
    pulses: &Arc<Pulses>,
    stopping: &Arc<AtomicBool>,
    desk: Counter,
    clock: Clock,
) -> AdminState {
    let (for_readiness, shared) = (Arc::clone(pulses), Arc::clone(shared));
    let (for_health, stopping) = (Arc::clone(pulses), Arc::clone(stopping));
    AdminState {
        metrics: Arc::clone(metrics),
        health: Box::new(move || for_health.health(clock.now())),
        readiness: Box::new(move || {
            if stopping.load(Ordering::Relaxed) {
                return Err("stopping".into());
            }
            // A share of the queries goes to who is stuck, and gets no answer.
            for_readiness.health(clock.now())?;
            ready(&shared, clock).map(|()| None)
        }),
        desk: Arc::new(desk),
    }
}

/// Queries can be answered while some route can be used and is not dead, or the cache holds something.
fn ready(shared: &Shared, clock: Clock) -> Result<(), String> {
    let report = shared.engine().report(clock.now());
    let alive = report
        .routes
        .iter()
        .any(|route| route.verdict != Verdict::Dead && !route.missing && !route.drained);
    if alive || shared.cache.stats().entries > 0 {
        return Ok(());
    }
    if report.routes.is_empty() {
        return Err("no upstream is known yet, and the cache is empty".into());
    }
    Err(format!(
        "all {} routes are dead, drained or lost and the cache is empty",
        report.routes.len()
    ))
}

/// The engine's clock: lets time do its part, sends the probes it asks for, has its events told.
pub(super) async fn tick(
    worker: Rc<Worker>,
    shared: Arc<Shared>,
    teller: Arc<Teller>,
    clock: Clock,
    pulse: Arc<Pulse>,
) {
    loop {
        let (mut next, mut resting) = (clock.now(), clock.now());
        worker.turn(|core, now| {
            let tick = core.tick(now);
            core.look_for_loops(now);
            core.look_after_guarded(now);
            (next, resting) = (tick.next, tick.resting);
            for route in tick.probes {
                core.probe(route, now);
            }
        });
        teller.look(clock.now());
        pulse.beat(resting);
        let until = |time| tokio::time::sleep_until(clock.instant(time).into());
        let is_busy = || shared.inflight.questions().held() > 0;
        // A question that waits for the means to be asked is in hand, and nothing is under way.
        match resting > next && !is_busy() {
            true => shared.rest.rest(until(resting), is_busy).await,
            false => until(next).await,
        }
    }
}
