//! The thread that writes the query log.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tracing::warn;

use super::vital::Pulse;
use crate::clock::{Clock, Time};
use crate::observe::metrics::QueryLogSample;
use crate::observe::query_log::{QueryLog, Scribe};

/// How often what the workers have put aside is taken from them. They have room for about ten times as much as one
/// answers in that time.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the end of the daemon waits for the last answers to be written. The disk may hang.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What the metrics show of it.
pub(super) fn sample(log: &QueryLog) -> QueryLogSample {
    let [written, lost] = log.counts();
    QueryLogSample { written, lost }
}

/// The line about it when byway starts.
pub(super) fn place(path: &Path) -> String {
    format!("  queries in    {}\n", path.display())
}

/// The thread that writes.
pub(super) struct Running {
    stop: Sender<()>,
    end: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Writes what is put aside until told to end.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn run(log: &Arc<QueryLog>, clock: Clock, pulse: Arc<Pulse>) -> io::Result<Running> {
    let (stop, stopped) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let mut scribe = log.scribe();
    let thread = std::thread::Builder::new()
        .name("byway-query-log".into())
        .spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PAUSE) {
                say(scribe.write(both(clock)));
                pulse.beat(clock.now() + PAUSE);
            }
            pulse.beat(Time::NEVER);
            finish(scribe, clock);
            let _ = ended.send(());
        })?;
    Ok(Running { stop, end, thread })
}

fn finish(scribe: Scribe, clock: Clock) {
    say(scribe.end(both(clock)));
}

fn both(clock: Clock) -> (Time, SystemTime) {
    (clock.now(), SystemTime::now())
}

fn say(said: Option<String>) {
    if let Some(line) = said {
        warn!("{line}");
    }
}

impl Running {
    /// Has the rest written, and the file ended.
    pub(super) fn finish(self) {
        let _ = self.stop.send(());
        match self.end.recv_timeout(LAST_ANSWERS) {
            Ok(()) => drop(self.thread.join()),
            Err(_) => warn!("the query log was not ended: the disk does not take it"),
        }
    }
}
