//! The flight recorder, read for who asks over HTTP.
//!
//! It may be 64 MiB or more and the disk may be slow, so a thread reads it that gives way to every other; one at a
//! time, and afterwards it rests for as long as it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::debug;

use crate::admin::api;
use crate::admin::desk::Refused as No;
use crate::record::history::{self, Grid, RouteFelt, Step};
use crate::record::{Told, Watcher, when};

/// The most steps that are read for one request: each holds every series.
const STEPS_MOST: u64 = 500;
/// The most events.
const EVENTS_MOST: usize = 1000;
/// How much more willing to wait the thread is than others (nice(2)).
const NICE: i32 = 19;

/// Reads the record, one request at a time.
#[derive(Debug, Default)]
pub(super) struct Reading(Arc<AtomicBool>);

/// Gives the turn back.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

type Later = oneshot::Receiver<Result<api::History, No>>;

impl Reading {
    /// Begins to read what `order` wants at `now`, in milliseconds since the Unix epoch.
    pub(super) fn begin(
        &self,
        watcher: Option<&Watcher>,
        order: &api::HistoryOrder,
        now: u64,
    ) -> Result<Later, No> {
        let span = span(order, now)?;
        let Some(watcher) = watcher.cloned() else {
            return Err(No::Unknown(
                "nothing is recorded: `[recorder] enabled` is false".into(),
            ));
        };
        if self.0.swap(true, Ordering::Acquire) {
            return Err(No::Busy(
                "the record is being read for another request: ask again in a moment".into(),
            ));
        }
        let turn = Turn(Arc::clone(&self.0));
        let (answer, later) = oneshot::channel();
        let read = move || {
            // Without it the thread is one like the others.
            let _ = rustix::process::setpriority_process(None, NICE);
            let began = Instant::now();
            let read = read(&watcher, span);
            let took = began.elapsed();
            debug!("read the record for a request in {took:?}");
            // Who asked may have gone.
            let _ = answer.send(read);
            std::thread::sleep(took);
            drop(turn);
        };
        std::thread::Builder::new()
            .name("byway-history".into())
            .spawn(read)
            .map_err(|error| No::Failed(format!("no thread to read the record: {error}")))?;
        Ok(later)
    }
}

/// From, to and the length of a step, in milliseconds.
fn span(order: &api::HistoryOrder, now: u64) -> Result<[u64; 3], No> {
    let moment = |key: &str, text: &str| {
        when::parse(text, now)
            .map_err(|error| No::Wrong(format!("`{key}` {}: {error}", text.escape_debug())))
    };
    let (from, to) = (moment("from", &order.from)?, moment("to", &order.to)?);
    if from >= to {
        return Err(No::Wrong("`from` must lie before `to`".into()));
    }
    let step = match order.step {
        Some(seconds) => seconds.saturating_mul(1_000),
        None => history::comfortable(to - from),
    };
    if (to - from) / step > STEPS_MOST {
        return Err(No::Wrong(format!(
            "that would be more than {STEPS_MOST} steps: ask for less time or a longer `step`; `byway history` makes more of them"
        )));
    }
    Ok([from, to, step])
}

fn read(watcher: &Watcher, [from, to, step]: [u64; 3]) -> Result<api::History, No> {
    let log = watcher.log();
    let log = log.map_err(|error| No::Failed(error.to_string()))?;
    let grid = Grid::of(&log, from, to, step);
    let within = |told: &&Told| told.time > from && told.time <= to;
    let told: Vec<&Told> = log.told().iter().filter(within).collect();
    let latest = &told[told.len().saturating_sub(EVENTS_MOST)..];
    Ok(api::History {
        step: step as f64 / 1e3,
        steps: history::steps(&grid)
            .into_iter()
            .map(|it| document(it, step))
            .collect(),
        events: latest.iter().map(|told| event(told)).collect(),
    })
}

fn document(it: Step, step: u64) -> api::HistoryStep {
    let felt = it.clients;
    api::HistoryStep {
        time: when::rfc3339(it.end - step),
        seconds: it.seconds,
        clients: api::HistoryFelt {
            questions: felt.questions,
            from_cache: felt.from_cache,
            from_upstream: felt.from_upstream,
            failed: felt.failed,
            stale: felt.stale,
            p50: felt.p50,
            p99: felt.p99,
        },
        packets: it.packets,
        routes: it.routes.into_iter().map(route).collect(),
    }
}

fn route(it: RouteFelt) -> api::HistoryRoute {
    api::HistoryRoute {
        loss: it.loss(),
        name: it.name,
        packets: it.packets,
        probes: it.probes,
        ended: it.ended,
        lost: it.lost,
        poor: it.poor,
        rtt: it.rtt,
        verdict: it.verdict,
    }
}

fn event(told: &Told) -> api::HistoryEvent {
    let text = |key: &str| told.event[key].as_str().unwrap_or_default().to_owned();
    api::HistoryEvent {
        time: when::rfc3339(told.time),
        kind: text("kind"),
        trouble: told.event["trouble"] == true,
        detail: told.event["detail"] == true,
        text: text("text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_796_000_000_000;

    fn order(from: &str, to: &str, step: Option<u64>) -> api::HistoryOrder {
        let (from, to) = (from.to_owned(), to.to_owned());
        api::HistoryOrder { from, to, step }
    }

    #[test]
    fn a_span_is_some_time_in_so_many_steps() {
        let quarter = span(&order("-15m", "now", None), NOW);
        assert_eq!(quarter, Ok([NOW - 900_000, NOW, 30_000]));
        let seconds = span(&order("-500s", "now", Some(1)), NOW);
        assert_eq!(seconds, Ok([NOW - 500_000, NOW, 1_000]));
        for (wrong, why) in [
            (order("-501s", "now", Some(1)), "500 steps"),
            (order("now", "-1s", None), "before"),
            (order("yesterday", "now", None), "`from`"),
            (order("-1s", "x", None), "`to`"),
        ] {
            match span(&wrong, NOW) {
                Err(No::Wrong(said)) => assert!(said.contains(why), "{said}"),
                other => panic!("{wrong:?}: {other:?}"),
            }
        }
    }
}
