//! What the flight recorder kept.

use serde::{Deserialize, Serialize};

/// What part of the record is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryOrder {
    /// From when: `-15m`, `14:02`, RFC 3339; in UTC.
    pub from: String,
    /// Until when, in the same ways or `now`.
    pub to: String,
    /// How many seconds each step is; what makes 15 to 30 of them if left out.
    pub step: Option<u64>,
}

/// `GET /api/v1/history?from=TIME&to=TIME&step=SECONDS`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// How long each step is, in seconds.
    pub step: f64,
    /// The steps in which something was recorded, oldest first.
    pub steps: Vec<HistoryStep>,
    /// What was told meanwhile, oldest first, at most the latest 1000.
    pub events: Vec<HistoryEvent>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryStep {
    /// When it began.
    pub time: String,
    /// How many seconds of it are recorded.
    pub seconds: f64,
    /// What clients felt.
    pub clients: HistoryFelt,
    /// Packets upstream, all routes together.
    pub packets: u64,
    /// The routes, by name.
    pub routes: Vec<HistoryRoute>,
}

/// What clients felt in a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryFelt {
    /// Queries answered.
    pub questions: u64,
    /// From the cache, within their TTL.
    pub from_cache: u64,
    /// By an upstream.
    pub from_upstream: u64,
    /// With SERVFAIL, because no useful answer was to be had, or a limit was reached.
    pub failed: u64,
    /// From the cache, past their TTL.
    pub stale: u64,
    /// Half of the answers took no longer, in seconds; `null` without an answer.
    pub p50: Option<f64>,
    /// 99 of 100 answers took no longer, in seconds.
    pub p99: Option<f64>,
}

/// How a route fared in a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryRoute {
    /// `upstream@path`.
    pub name: String,
    /// Packets sent over it.
    pub packets: u64,
    /// Of those, probes: no client waited for them.
    pub probes: u64,
    /// Attempts that ended.
    pub ended: u64,
    /// Of those, without an answer.
    pub lost: u64,
    /// Of those, answered uselessly.
    pub poor: u64,
    /// Half of the round trips took no longer, in seconds; `null` where nothing was answered.
    pub rtt: Option<f64>,
    /// The worst that was believed of it.
    pub verdict: Option<String>,
    /// Share of attempts without an answer; `null` if none ended.
    pub loss: Option<f64>,
}

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// When.
    pub time: String,
    /// Its kind, one word.
    pub kind: String,
    /// Whether it is for the worse, and somebody should know.
    pub trouble: bool,
    /// Whether it is a change of mind that only explains others.
    pub detail: bool,
    /// In words.
    pub text: String,
}
