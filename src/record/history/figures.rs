//! What the numbers mean: to clients, and of each route.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::shape::{Column, Form, Shape};
use super::grid::{Grid, Row, add};
use crate::observe::event::Verdict;
use crate::observe::metrics::{Label, Outcome};
use crate::observe::names;

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its end, in milliseconds since the Unix epoch.
    #[serde(skip)]
    pub end: u64,
    /// How many seconds of it are recorded.
    pub seconds: f64,
    /// What clients felt.
    pub clients: Felt,
    /// Packets upstream, all routes together.
    pub packets: u64,
    /// The routes, by name.
    pub routes: Vec<RouteFelt>,
}

/// What clients felt.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Felt {
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
    /// Half of the answers took no longer, in seconds.
    pub p50: Option<f64>,
    /// 99 of 100 answers took no longer.
    pub p99: Option<f64>,
}

/// How a route fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteFelt {
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
    /// Half of the round trips took no longer, in seconds.
    pub rtt: Option<f64>,
    /// The worst that was believed of it.
    pub verdict: Option<String>,
}

impl RouteFelt {
    /// Share of attempts without an answer; `None` if none ended.
    pub fn loss(&self) -> Option<f64> {
        (self.ended > 0).then(|| self.lost as f64 / self.ended as f64)
    }
}

/// Outcomes without an answer.
const LOST: [Outcome; 4] = [
    Outcome::TimedOut,
    Outcome::Unreachable,
    Outcome::HandshakeFailed,
    Outcome::Closed,
];
/// Outcomes with one that is of no use.
const POOR: [Outcome; 5] = [
    Outcome::Poor,
    Outcome::Lame,
    Outcome::Garbled,
    Outcome::Mismatched,
    Outcome::Untrusted,
];

/// The steps of a grid in words that an operator uses.
pub fn steps(grid: &Grid) -> Vec<Step> {
    grid.rows.iter().map(|row| step(&grid.shape, row)).collect()
}

fn step(shape: &Shape, row: &Row) -> Step {
    let mut step = Step {
        end: row.end,
        seconds: row.covered as f64 / 1e3,
        clients: Felt::default(),
        packets: 0,
        routes: Vec::new(),
    };
    let mut routes: BTreeMap<String, RouteFelt> = BTreeMap::new();
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    let mut answers = Buckets::default();
    for (place, column) in shape.places() {
        let grown = row.grown.get(place).copied().unwrap_or(0);
        let name = column.name.as_str();
        if name == names::QUERIES.name {
            felt(&mut step.clients, column.label("result"), grown);
        } else if name == names::QUERY_DURATION.name {
            answers.add(column, &row.grown[place..]);
        }
        if column.label("upstream").is_empty() {
            continue;
        }
        let key = format!("{}@{}", column.label("upstream"), column.label("path"));
        if name == names::ROUTE_VERDICT.name {
            let verdict = Verdict::ALL
                .iter()
                .find(|it| it.name() == column.label("verdict"));
            if let (Some(verdict), true) = (verdict, grown > 0) {
                let worst = verdicts.entry(key).or_insert(*verdict);
                if verdict.index() > worst.index() {
                    *worst = *verdict;
                }
            }
            continue;
        }
        let route = routes.entry(key).or_default();
        if name == names::ATTEMPTS_SENT.name {
            add(&mut route.packets, grown);
            add(&mut step.packets, grown);
            if column.label("kind") == "probe" {
                add(&mut route.probes, grown);
            }
        } else if name == names::ATTEMPTS.name {
            let outcome = column.label("outcome");
            let among = |all: &[Outcome]| all.iter().any(|it| it.as_str() == outcome);
            add(&mut route.ended, grown);
            add(&mut route.lost, if among(&LOST) { grown } else { 0 });
            add(&mut route.poor, if among(&POOR) { grown } else { 0 });
        } else if name == names::ATTEMPT_DURATION.name {
            let mut trips = Buckets::default();
            trips.add(column, &row.grown[place..]);
            route.rtt = trips.quantile(0.5);
        }
    }
    step.clients.p50 = answers.quantile(0.5);
    step.clients.p99 = answers.quantile(0.99);
    step.routes = routes
        .into_iter()
        .map(|(name, route)| RouteFelt {
            verdict: verdicts.get(&name).map(|it| it.name().to_owned()),
            name,
            ..route
        })
        .collect();
    step
}

fn felt(clients: &mut Felt, result: &str, grown: u64) {
    add(&mut clients.questions, grown);
    match result {
        "hit" => add(&mut clients.from_cache, grown),
        "miss" => add(&mut clients.from_upstream, grown),
        "stale" => add(&mut clients.stale, grown),
        "failed" | "shed" => add(&mut clients.failed, grown),
        _ => {}
    }
}

/// How long answers from upstream took.
pub(in crate::record) fn upstream_answers(shape: &Shape, row: &Row) -> Buckets {
    let mut answers = Buckets::default();
    for (place, column) in shape.places() {
        if column.name == names::QUERY_DURATION.name && column.label("source") == "upstream" {
            answers.add(column, &row.grown[place..]);
        }
    }
    answers
}

/// Durations by bucket, added up.
#[derive(Clone, Debug, Default)]
pub(in crate::record) struct Buckets {
    bounds: Vec<u64>,
    counts: Vec<u64>,
}

impl Buckets {
    /// Adds a histogram, whose numbers stand at the front of `values`.
    pub(in crate::record) fn add(&mut self, column: &Column, values: &[u64]) {
        let Form::Histogram(bounds) = &column.form else {
            return;
        };
        if self.bounds.is_empty() {
            self.bounds.clone_from(bounds);
            self.counts = vec![0; bounds.len() + 1];
        }
        if *bounds == self.bounds {
            for (sum, count) in self.counts.iter_mut().zip(values) {
                add(sum, *count);
            }
        }
    }

    /// How many there are.
    pub(in crate::record) fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// The duration that a share of them does not exceed, in seconds, taken to lie evenly within its bucket; `None` if
    /// there are none.
    pub(in crate::record) fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share * count as f64;
        let (mut below, mut low) = (0.0, 0);
        for (index, &here) in self.counts.iter().enumerate() {
            let high = self.bounds.get(index).copied();
            let here = here as f64;
            if here > 0.0 && below + here >= rank {
                // Beyond the last bound nothing more is known.
                let Some(high) = high else { break };
                let within = ((rank - below) / here).clamp(0.0, 1.0);
                return Some((low as f64 + high.saturating_sub(low) as f64 * within) / 1e6);
            }
            below += here;
            low = high.unwrap_or(low);
        }
        Some(low as f64 / 1e6)
    }
}
