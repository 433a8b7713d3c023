//! What other rooms are asked for at scrape time.

use std::fmt;
use std::time::Duration;

use super::{Eviction, Verdict};

/// Where the samples come from. Each is called once a scrape, on the thread of the watch, so it
/// must not hold for long a lock that a worker needs.
pub struct Sources {
    /// The cache's.
    pub cache: Box<dyn Fn() -> CacheSample + Send + Sync>,
    /// The routing engine's.
    pub engine: Box<dyn Fn() -> EngineSample + Send + Sync>,
    /// That of names that must not vanish; `None` if none are under guard, and then there are no series for it.
    pub guard: Box<dyn Fn() -> Option<GuardSample> + Send + Sync>,
    /// The cache snapshot's; `None` if none is kept, and then there are no series for it.
    pub snapshot: Option<Box<dyn Fn() -> SnapshotSample + Send + Sync>>,
    /// The flight recorder's; `None` if nothing is recorded, and then there are no series for it.
    pub recorder: Option<Box<dyn Fn() -> RecorderSample + Send + Sync>>,
    /// The query log's; `None` if nothing is logged, and then there are no series for it.
    pub query_log: Option<Box<dyn Fn() -> QueryLogSample + Send + Sync>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("snapshot", &self.snapshot.is_some())
            .field("recorder", &self.recorder.is_some())
            .field("query_log", &self.query_log.is_some())
            .finish_non_exhaustive()
    }
}

/// The cache, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSample {
    /// Answers held.
    pub entries: u64,
    /// Bytes held, bookkeeping included.
    pub bytes: u64,
    /// Bytes it may hold.
    pub capacity: u64,
    /// Entries that have left since the start, in the order of [`Eviction`].
    pub evictions: [u64; Eviction::COUNT],
}

/// Names that must not vanish, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardSample {
    /// Names and types that are kept.
    pub kept: u64,
    /// Names remembered.
    pub watched: u64,
    /// Since the start: vanished, returned, expired, released, shrunk.
    pub events: [u64; 5],
}

/// The query log, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryLogSample {
    /// Answers written to its file since the start.
    pub written: u64,
    /// Answers that found no room, or could not be written.
    pub lost: u64,
}

/// The flight recorder, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderSample {
    /// Whether its file is written to; `None` if none is configured.
    pub on_disk: Option<bool>,
    /// Frames written to it since the start.
    pub written: u64,
    /// Frames kept in memory in its place.
    pub in_memory: u64,
    /// Frames that were too large to be kept.
    pub lost: u64,
}

/// The snapshot of the cache on disk, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotSample {
    /// The file that would be read at the next start; `None` while there is none.
    pub file: Option<SnapshotFile>,
    /// Times it was written since the start.
    pub written: u64,
    /// Times it could not be written.
    pub failed: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
}

/// A snapshot that was written whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFile {
    /// How long ago.
    pub age: Duration,
    /// Its size.
    pub bytes: u64,
    /// Answers in it.
    pub entries: u64,
}

/// The routing engine, now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineSample {
    /// The routes.
    pub routes: Vec<RouteSample>,
    /// Whether each path is missing, by its name.
    pub missing: Vec<(String, bool)>,
    /// The budgets, each under a name of its own.
    pub budgets: Vec<BudgetSample>,
    /// Hedges that were due and found no budget, since the start.
    pub hedges_denied: u64,
    /// Retries that were due and found no budget, since the start.
    pub retries_denied: u64,
    /// Events that were dropped because nobody had taken them, since the start.
    pub events_lost: u64,
    /// Attempts sent per question that needed one, over the last minute; `None` if none did.
    pub amplification: Option<f64>,
}

/// One route, now.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSample {
    /// Its number among the routes of the roster.
    pub number: usize,
    /// What is believed of it.
    pub verdict: Verdict,
    /// Lowest round trip of the last minutes; `None` before the first.
    pub base: Option<Duration>,
    /// What recent round trips take over the base; `None` while unknown.
    pub excess: Option<Duration>,
    /// Share of the last minute's attempts without an answer in the route's own time, 0 to 1; `None` if there
    /// were none.
    pub loss: Option<f64>,
    /// Since the last useful answer; `None` before the first.
    pub last_answer: Option<Duration>,
    /// Attempts under way.
    pub in_flight: u64,
    /// The adaptive limit on them.
    pub limit: u64,
    /// Segments that TCP sent again; `None` if it was never asked over a stream.
    pub tcp_retransmits: Option<u64>,
    /// The kernel's smoothed round trip; `None` if it was never asked over a stream.
    pub tcp_round_trip: Option<Duration>,
}

/// One budget, now.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetSample {
    /// Its name, the value of the label.
    pub name: &'static str,
    /// Extra attempts that it would pay for now.
    pub tokens: f64,
}
