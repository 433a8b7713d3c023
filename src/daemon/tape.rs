//! The thread that records: once a second, what is counted and what was told.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing::warn;

use super::vital::Pulse;
use crate::clock::{Clock, Time};
use crate::config::RecorderConfig;
use crate::observe::event::Gravity;
use crate::observe::journal::{Entry, Journal};
use crate::observe::metrics::{Metrics, RecorderSample};
use crate::record::{Layout, Recorder, Stamp, Watcher};
use crate::sys;

/// How often a frame is made.
const SECOND: Duration = Duration::from_secs(1);
/// A frame that took long to make, with thousands of routes, is followed by a longer pause, so that recording takes one
/// hundredth of a core at most; up to this one.
const PAUSE_MOST: Duration = Duration::from_secs(60);
const SHARE: u32 = 100;
/// How long the end of the daemon waits for the last frame. The disk may hang.
const LAST_FRAME: Duration = Duration::from_secs(5);

/// A recorder that has not begun.
#[derive(Debug)]
pub(super) struct Tape {
    recorder: Recorder,
    clock: Clock,
    boot: u32,
    run: u32,
    /// The number of the last event that was recorded.
    told: u64,
}

impl Tape {
    /// For a daemon whose life is known by the number `run`; `None` if nothing is to be recorded.
    pub(super) fn new(config: &RecorderConfig, run: u32, clock: Clock) -> Option<Tape> {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        config.enabled.then(|| Tape {
            recorder: Recorder::new(config.path.clone(), Layout::of(config.size as u64)),
            clock,
            boot: crc32fast::hash(boot.trim_ascii()),
            run,
            told: 0,
        })
    }

    /// For who wants to know how it stands.
    pub(super) fn watcher(&self) -> Watcher {
        self.recorder.watcher()
    }

    /// Records until told to end.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn run(
        mut self,
        metrics: Arc<Metrics>,
        journal: Arc<Journal>,
        origin: &str,
        pulse: Arc<Pulse>,
    ) -> io::Result<Running> {
        let (stop, stopped) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let started = mark(
            "started",
            format!(
                "byway {} started as process {} ({origin})",
                env!("CARGO_PKG_VERSION"),
                std::process::id()
            ),
        );
        let thread = std::thread::Builder::new()
            .name("byway-recorder".into())
            .spawn(move || {
                let stamp = self.stamp(self.clock.now());
                let mut marks = vec![(stamp, started)];
                let why = loop {
                    let pause = self.second(&metrics, &journal, std::mem::take(&mut marks));
                    pulse.beat(self.clock.now() + pause);
                    match stopped.recv_timeout(pause) {
                        Ok(why) => break why,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break "lost".to_owned(),
                    }
                };
                pulse.beat(Time::NEVER);
                self.end(&metrics, &journal, &why);
                let _ = ended.send(());
            })?;
        Ok(Running { stop, end, thread })
    }

    /// Records a second. How long to wait until the next.
    fn second(
        &mut self,
        metrics: &Metrics,
        journal: &Journal,
        mut events: Vec<(Stamp, Value)>,
    ) -> Duration {
        let now = self.clock.now();
        let stamp = self.stamp(now);
        say(self.recorder.look(&stamp));
        let cpu = sys::thread_time();
        events.extend(self.events(journal));
        let said = self.recorder.second(&stamp, &metrics.readings(), &events);
        let took = sys::thread_time().saturating_sub(cpu);
        say(said);
        pause_after(took).saturating_sub(self.clock.now().since(now))
    }

    fn end(&mut self, metrics: &Metrics, journal: &Journal, why: &str) {
        let mut events = self.events(journal);
        let stamp = self.stamp(self.clock.now());
        events.push((stamp, mark("stopped", format!("byway stopped: {why}"))));
        say(self.recorder.end(&stamp, &metrics.readings(), &events));
    }

    /// What was told since the last time.
    fn events(&mut self, journal: &Journal) -> Vec<(Stamp, Value)> {
        let entries = journal.since(self.told, usize::MAX, true);
        let mut events = Vec::with_capacity(entries.len());
        for entry in entries {
            // The journal forgets the oldest when hundreds come in a second.
            let missed = entry.number - self.told - 1;
            self.told = entry.number;
            let stamp = self.stamp(entry.at);
            if missed > 0 {
                events.push((
                    stamp,
                    mark(
                        "missed",
                        format!("{missed} events came too fast to be recorded"),
                    ),
                ));
            }
            events.push((stamp, event(entry)));
        }
        events
    }

    /// The moment `at` by all clocks.
    fn stamp(&self, at: Time) -> Stamp {
        let ago = self.clock.now().since(at).as_millis();
        let before = |millis: u128| u64::try_from(millis.saturating_sub(ago)).unwrap_or(u64::MAX);
        Stamp {
            wall: before(self.clock.wall_millis().into()),
            life: before(sys::since_boot().as_millis()),
            boot: self.boot,
            run: self.run,
        }
    }
}

/// How long until the next frame when one took so much of a core.
fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(SHARE).clamp(SECOND, PAUSE_MOST)
}

/// An event as it is recorded.
fn event(entry: Entry) -> Value {
    let mut event = Map::new();
    event.insert("kind".into(), json!(entry.kind));
    event.insert("trouble".into(), json!(entry.gravity == Gravity::Warning));
    event.insert("detail".into(), json!(entry.gravity == Gravity::Detail));
    event.insert("text".into(), json!(entry.text));
    event.extend(entry.facts);
    Value::Object(event)
}

fn mark(kind: &str, text: String) -> Value {
    json!({ "kind": kind, "trouble": false, "text": text })
}

fn say(lines: Vec<String>) {
    for line in lines {
        warn!("{line}");
    }
}

/// What the metrics show of it.
pub(super) fn sample(watcher: &Watcher) -> RecorderSample {
    let standing = watcher.standing();
    RecorderSample {
        on_disk: standing.path.map(|_| standing.on_disk),
        written: standing.written,
        in_memory: standing.in_memory,
        lost: standing.lost,
    }
}

/// The line about it when byway starts.
pub(super) fn place(path: &Path) -> String {
    format!("  recorded in   {}\n", path.display())
}

/// The thread that records.
pub(super) struct Running {
    stop: Sender<String>,
    end: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Records the end and why it came.
    pub(super) fn finish(self, why: String) {
        let _ = self.stop.send(why);
        match self.end.recv_timeout(LAST_FRAME) {
            Ok(()) => drop(self.thread.join()),
            Err(RecvTimeoutError::Disconnected) => warn!("the end was not recorded"),
            Err(RecvTimeoutError::Timeout) => {
                warn!("the end was not recorded: the disk does not take it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_takes_a_hundredth_of_a_core_at_most() {
        let millis = Duration::from_millis;
        assert_eq!(pause_after(Duration::from_micros(500)), SECOND);
        assert_eq!(pause_after(millis(10)), SECOND);
        assert_eq!(pause_after(millis(35)), millis(3_500));
        assert_eq!(pause_after(Duration::from_secs(9)), PAUSE_MOST);
    }
}
