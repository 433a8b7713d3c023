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

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Registry, TextEncoder};

pub use reading::{Reading, Value};
pub use sample::{
    BudgetSample, CacheSample, EngineSample, RecorderSample, RouteSample, SnapshotFile,
    SnapshotSample, Sources,
};
pub use worker::WorkerMetrics;

pub use super::labels::{
    AnswerRcode, AskedType, AttemptKind, Client, Counter, Drop, Evacuation, Eviction, Gauge, Label,
    Limit, Mismatch, Outcome, QueryResult, Scope, Source, Transport, Verdict, Visit,
};
use crate::config::Limits;
use worker::Block;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label values that come from the configuration, and so the only ones that are not known when
/// byway is built. Their number is fixed for the life of the [`Metrics`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The addresses that queries are accepted on, ports as bound. Each once.
    pub listeners: Vec<String>,
    /// The names of the paths. Each once.
    pub paths: Vec<String>,
    /// The routes, in the engine's order.
    pub routes: Vec<RouteNames>,
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
    roster: Roster,
    limits: Limits,
    sources: Sources,
    /// One for each worker there has been: a worker that ends takes nothing back.
    blocks: Mutex<Vec<Arc<Block>>>,
    /// By path, then by cause. Rare, and written by whichever worker the engine told, so an
    /// ordinary atomic addition.
    evacuations: Vec<[AtomicU64; Evacuation::COUNT]>,
    /// Of the watch's own thread.
    visits: [AtomicU64; Visit::COUNT],
    /// Troubles that began, and that go on now.
    troubles: [[AtomicU64; Scope::COUNT]; 2],
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
        once("listener", roster.listeners.iter().cloned())?;
        once("path", roster.paths.iter().cloned())?;
        once("route", roster.routes.iter().map(RouteNames::to_string))?;
        let evacuations = roster.paths.iter().map(|_| Default::default()).collect();
        let shared = Arc::new(Shared {
            roster,
            limits: limits.clone(),
            sources,
            blocks: Mutex::default(),
            evacuations,
            visits: Default::default(),
            troubles: Default::default(),
        });
        Ok(Metrics {
            registry: fold::registry(Arc::clone(&shared)),
            shared,
        })
    }

    /// The numbers of one more worker.
    pub fn worker(&self) -> WorkerMetrics {
        let Roster {
            listeners, routes, ..
        } = &self.shared.roster;
        let block = Arc::new(Block::new(listeners.len(), routes.len()));
        self.shared
            .blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&block));
        WorkerMetrics::new(block)
    }

    /// Counts a connection to the watch that has ended.
    pub fn visited(&self, end: Visit) {
        self.shared.visits[end.index()].fetch_add(1, Relaxed);
    }

    /// Counts an evacuation of the path of that name. One that the [`Roster`] lacks is a defect in
    /// the caller and counts nowhere.
    pub fn evacuated(&self, path: &str, cause: Evacuation) {
        let index = self
            .shared
            .roster
            .paths
            .iter()
            .position(|known| known == path);
        debug_assert!(index.is_some(), "no path {path}");
        if let Some(causes) = index.and_then(|index| self.shared.evacuations.get(index)) {
            causes[cause.index()].fetch_add(1, Relaxed);
        }
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
    pub fn listeners(&self) -> &[String] {
        &self.shared.roster.listeners
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
        limit.configured(&self.shared.limits)
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

impl Shared {
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
