//! Counting, at next to no cost to what is counted.
//!
//! Each worker owns a [`WorkerMetrics`] and writes into memory that no other thread writes; a
//! scrape adds the workers up. What other rooms hold anyway (cache, engine, snapshot) is
//! not counted twice: they are asked for a sample at scrape time. The names are in
//! [`names`](super::names), the label values in [`labels`](super::labels); the `prometheus` crate
//! is not seen outside this module.

mod fold;
mod process;
mod queue;
mod reading;
mod sample;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use prometheus::{Registry, TextEncoder};

pub use reading::{Reading, Value};
pub use sample::{
    BudgetSample, CacheSample, EngineSample, GuardSample, QueryLogSample, RecorderSample,
    RouteSample, SnapshotFile, SnapshotSample, Sources,
};
pub use worker::WorkerMetrics;

pub use super::labels::{
    AnswerRcode, AskedType, AttemptKind, Client, Counter, Drop, Evacuation, Eviction, Gauge, Label,
    Limit, Mismatch, Outcome, QueryResult, Scope, Source, Transport, Verdict, Visit,
};
use crate::config::Limits;
use worker::{Block, Tenants};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label values that come from the configuration, and so the only ones that are not known when
/// byway is built. A reload changes them ([`Metrics::reshape`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The addresses that queries are accepted on, ports as bound. Each once.
    pub listeners: Vec<String>,
    /// The names of the paths. Each once.
    pub paths: Vec<String>,
    /// The routes, by their numbers.
    pub routes: Vec<RouteNames>,
    /// By number too, who has it of all that have had it, and whether that one takes part. Those beyond its end do, and
    /// are the first to have theirs.
    pub seats: Vec<(u32, bool)>,
}

/// A route, by the names in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNames {
    /// The upstream's.
    pub upstream: String,
    /// The path's.
    pub path: String,
}

/// Everything counted, and where the rest is asked for.
#[derive(Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    registry: Registry,
}

/// What both [`Metrics`] and its collector in the registry hold.
#[derive(Debug)]
struct Shared {
    /// The labels and limits that hold now.
    current: RwLock<Arc<Current>>,
    sources: Sources,
    /// One for each worker there has been: a worker that ends takes nothing back.
    blocks: Mutex<Vec<Arc<Block>>>,
    /// By path, then by cause. Rare.
    evacuations: Mutex<BTreeMap<String, [u64; Evacuation::COUNT]>>,
    reloads: Mutex<Reloads>,
    /// See [`Metrics::links`].
    links: [AtomicU64; 2],
    /// Of the watch's own thread.
    visits: [AtomicU64; Visit::COUNT],
    /// When the first of the certificates ends, in seconds since the Unix epoch; 0 if there is none.
    certificate_ends: AtomicU64,
    /// Troubles that began, and that go on now.
    troubles: [[AtomicU64; Scope::COUNT]; 2],
}

/// What became of reloads.
#[derive(Clone, Copy, Debug, Default)]
struct Reloads {
    applied: u64,
    refused: u64,
    /// The last one was refused.
    failed: bool,
    /// When the configuration that holds was read.
    since: Option<SystemTime>,
}

/// What a reload changes.
#[derive(Debug)]
struct Current {
    roster: Roster,
    limits: Limits,
}

/// How often each [`Limit`] was reached, by [`Client`].
pub type Met = [[u64; Client::COUNT]; Limit::COUNT];

/// A roster that names something twice, which would make two series of the same name and labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name} is there twice")]
pub struct Twice {
    what: &'static str,
    name: String,
}

impl Metrics {
    /// Metrics of a daemon with these listeners, paths and routes, with no worker yet.
    ///
    /// # Errors
    /// If the roster names a listener, a path or a route twice.
    pub fn new(roster: Roster, limits: &Limits, sources: Sources) -> Result<Metrics, Twice> {
        roster.check()?;
        let limits = limits.clone();
        let shared = Arc::new(Shared {
            current: RwLock::new(Arc::new(Current { roster, limits })),
            sources,
            blocks: Mutex::default(),
            evacuations: Mutex::default(),
            reloads: Mutex::default(),
            links: Default::default(),
            visits: Default::default(),
            certificate_ends: AtomicU64::new(0),
            troubles: Default::default(),
        });
        Ok(Metrics {
            registry: fold::registry(Arc::clone(&shared)),
            shared,
        })
    }

    /// The numbers of one more worker.
    pub fn worker(&self) -> WorkerMetrics {
        let current = self.shared.current();
        let block = Arc::new(Block::new(current.roster.listeners.len()));
        self.shared
            .blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&block));
        let metrics = WorkerMetrics::new(block);
        metrics.reshape(&current.roster.tenants());
        metrics
    }

    /// Counts a connection to the watch that has ended.
    pub fn visited(&self, end: Visit) {
        self.shared.visits[end.index()].fetch_add(1, Relaxed);
    }

    /// Other labels and limits hold from now on. Every worker has been told of the routes
    /// ([`WorkerMetrics::reshape`]). What was counted of those that stay goes on being counted.
    ///
    /// # Errors
    /// If the roster names something twice; the one before holds on.
    pub fn reshape(&self, roster: Roster, limits: &Limits) -> Result<(), Twice> {
        roster.check()?;
        self.shared
            .evacuations()
            .retain(|path, _| roster.paths.contains(path));
        let limits = limits.clone();
        let current = Arc::new(Current { roster, limits });
        let mut held = self.shared.current.write();
        match &mut held {
            Ok(held) => **held = current,
            Err(poisoned) => **poisoned.get_mut() = current,
        }
        Ok(())
    }

    /// Counts an evacuation of the path of that name. One that the [`Roster`] lacks has been taken out meanwhile and
    /// counts nowhere.
    pub fn evacuated(&self, path: &str, cause: Evacuation) {
        if self
            .shared
            .current()
            .roster
            .paths
            .iter()
            .any(|known| known == path)
        {
            let mut evacuations = self.shared.evacuations();
            evacuations.entry(path.to_owned()).or_default()[cause.index()] += 1;
        }
    }

    /// The configuration that holds was read at `at`, and no reload was refused since.
    pub fn configured_at(&self, at: SystemTime) {
        let mut reloads = self.shared.reloads();
        (reloads.failed, reloads.since) = (false, Some(at));
    }

    /// The configuration was read anew at `at`, and holds, or was refused.
    pub fn reloaded(&self, applied: bool, at: SystemTime) {
        let mut reloads = self.shared.reloads();
        reloads.failed = !applied;
        match applied {
            true => (reloads.applied, reloads.since) = (reloads.applied + 1, Some(at)),
            false => reloads.refused += 1,
        }
    }

    /// The first of the certificates that clients are shown ends then.
    pub fn certificate_ends(&self, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        self.shared.certificate_ends.store(seconds, Relaxed);
    }

    /// So many domains of the host's links are zones, and so much of what the links say could not be used.
    pub fn links(&self, [domains, left_out]: [u64; 2]) {
        self.shared.links[0].store(domains, Relaxed);
        self.shared.links[1].store(left_out, Relaxed);
    }

    /// Counts a trouble that has begun.
    pub fn trouble_began(&self, scope: Scope) {
        self.shared.troubles[0][scope.index()].fetch_add(1, Relaxed);
    }

    /// So many troubles of this scope go on now.
    pub fn troubles(&self, scope: Scope, count: u64) {
        self.shared.troubles[1][scope.index()].store(count, Relaxed);
    }

    /// Queries answered since the start, by [`QueryResult`], all listeners and transports together.
    pub fn answers(&self) -> [u64; QueryResult::COUNT] {
        let mut answers = [0u64; QueryResult::COUNT];
        for block in self.shared.blocks() {
            block.add_answers(&mut answers);
        }
        answers
    }

    /// Where queries are accepted.
    pub fn listeners(&self) -> Vec<String> {
        self.shared.current().roster.listeners.clone()
    }

    /// How often each limit was reached since the start, by who met it.
    pub fn limits(&self) -> Met {
        let mut met = Met::default();
        for block in self.shared.blocks() {
            block.add_limits(&mut met);
        }
        met
    }

    /// What a limit is set to.
    pub fn configured(&self, limit: Limit) -> usize {
        limit.configured(&self.shared.current().limits)
    }

    /// All series now, in the Prometheus text format 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let families = self.registry.gather();
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            // Only families without a name or without series are refused; fold.rs makes neither.
            debug_assert!(false, "{error}");
        }
        text
    }
}

impl Roster {
    fn check(&self) -> Result<(), Twice> {
        once("listener", self.listeners.iter().cloned())?;
        once("path", self.paths.iter().cloned())?;
        once(
            "route",
            self.routes().map(|(_, _, names)| names.to_string()),
        )
    }

    /// The number, the tenant and the names of each route that takes part.
    fn routes(&self) -> impl Iterator<Item = (usize, u32, &RouteNames)> {
        let all = self.routes.iter().enumerate();
        all.filter_map(|(number, names)| match self.seats.get(number) {
            Some((_, false)) => None,
            Some((tenant, true)) => Some((number, *tenant, names)),
            None => Some((number, 0, names)),
        })
    }

    /// Every route's tenant.
    fn tenants(&self) -> Tenants {
        let tenant = |number: usize| self.seats.get(number).map_or(0, |(tenant, _)| *tenant);
        (0..self.routes.len()).map(tenant).collect()
    }
}

impl Shared {
    fn current(&self) -> Arc<Current> {
        match self.current.read() {
            Ok(current) => Arc::clone(&current),
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    fn reloads(&self) -> std::sync::MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evacuations(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, [u64; Evacuation::COUNT]>> {
        self.evacuations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn blocks(&self) -> Vec<Arc<Block>> {
        self.blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Display for RouteNames {
    /// As everywhere: `upstream@path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.upstream, self.path)
    }
}

fn once(what: &'static str, names: impl Iterator<Item = String>) -> Result<(), Twice> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(Twice { what, name });
        }
    }
    Ok(())
}
