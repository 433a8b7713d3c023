//! The cache and the routes' baselines across restarts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::desk::span;
use super::vital::Pulse;
use crate::cache::snapshot::{self, Besides, SnapshotError, Written};
use crate::clock::{Clock, Life, Time};
use crate::config::CacheConfig;
use crate::config::live::Span;
use crate::observe::metrics::{SnapshotFile, SnapshotSample};
use crate::resolve::Shared;
use crate::route::Baseline;

/// A pause between pieces, so that writing leaves the disk and a core to others.
const PAUSE: Duration = Duration::from_micros(200);

/// A pause after a panic, so that one which comes back does not spin.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Writes the snapshot while the daemon runs, and once more at its end.
pub(super) struct Keeper {
    path: PathBuf,
    shared: Arc<Shared>,
    clock: Clock,
    state: Mutex<State>,
    /// How often it is written.
    every: Span,
    /// Wakes the thread that writes.
    wake: Mutex<Option<SyncSender<Wake>>>,
}

/// What the thread that writes is woken for.
enum Wake {
    /// Somebody wants it written now.
    Write,
    /// It is to be written at other times.
    Look,
    /// It is to be written once more, and the thread to end.
    End,
}

/// What has become of the snapshot so far.
#[derive(Default)]
struct State {
    written: u64,
    failed: u64,
    /// Writes begun since the start.
    begun: u64,
    /// What has failed since the last one that was written.
    failing: Option<Failing>,
    /// Who waits for a write, by its number.
    waiting: Vec<(u64, oneshot::Sender<Result<String, String>>)>,
    /// The file's size, its entries and when it was written.
    file: Option<(Written, Life)>,
}

/// Writes that failed, one after the other.
struct Failing {
    /// When the first did.
    since: Life,
    times: u64,
    /// Why the latest did.
    why: String,
}

impl Keeper {
    /// Reads the snapshot back, if there is one, and will keep it; `None` if none is wanted. What is
    /// wrong with it is said, and byway starts with an empty cache.
    pub(super) fn open(
        config: &CacheConfig,
        shared: &Arc<Shared>,
        clock: Clock,
    ) -> Option<Arc<Keeper>> {
        let path = config.snapshot.clone()?;
        let (now, life) = (clock.now(), clock.life());
        let mut state = State::default();
        if let Some(line) = homeless(&path) {
            warn!("{line}");
        }
        let names = shared.names();
        let zones = |name: &[u8]| names.zones.ttls_of(name);
        match snapshot::read_within(&path, &shared.cache, life, clock.wall(), &zones) {
            Ok(Some(restored)) => {
                let baselines = read_baselines(&restored.baselines);
                shared.engine().restore_baselines(&baselines, now);
                let away = restored.age.unwrap_or_default();
                let (_, whole) = shared.guard.restore(&restored.guard, away, life);
                if !whole {
                    warn!(
                        "some of what was remembered of names under guard could not be read back"
                    );
                }
                info!(
                    "read {} answers back from {}, {} had expired, {} did not fit",
                    restored.entries,
                    path.display(),
                    restored.expired,
                    restored.left_out
                );
                state.file = restored.age.map(|age| {
                    let entries = restored.entries + restored.expired + restored.left_out;
                    let bytes = path.metadata().map_or(0, |file| file.len());
                    (Written { entries, bytes }, life - age)
                });
            }
            Ok(None) => {}
            Err(error) => warn!("{error}"),
        }
        let shared = Arc::clone(shared);
        Some(Arc::new(Keeper {
            path,
            shared,
            clock,
            state: Mutex::new(state),
            every: Span::new(config.snapshot_every),
            wake: Mutex::default(),
        }))
    }

    /// Writes the snapshot every so often until told to end.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn run(self: &Arc<Self>, pulse: Arc<Pulse>) -> std::io::Result<Writing> {
        let (wake, woken) = mpsc::sync_channel(1);
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake.clone());
        let keeper = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("byway-snapshot".into())
            .spawn(move || {
                // However often it panics: no client waits for it.
                let round = || {
                    let round = AssertUnwindSafe(|| keeper.round(&woken, &pulse));
                    catch_unwind(round).unwrap_or_else(|_| {
                        warn!("a wait for the next snapshot was lost to a panic; it begins anew");
                        std::thread::sleep(PAUSE_AFTER_PANIC);
                        true
                    })
                };
                while round() {}
                pulse.beat(Time::NEVER);
                // The end of the daemon waits for this one.
                keeper.write(|| {}, true);
                keeper.last_words();
            })?;
        Ok(Writing { wake, thread })
    }

    /// It is written so often from now on.
    pub(super) fn set_every(&self, every: Duration) {
        if self.every.get() == every {
            return;
        }
        self.every.set(every);
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = &*wake {
            // If it is to be woken already, it looks then.
            let _ = wake.try_send(Wake::Look);
        }
    }

    /// Asks for the snapshot to be written now rather than when it is due. What comes back says, once it was tried, how
    /// much was written, or why it was not.
    pub(super) fn ask(&self) -> oneshot::Receiver<Result<String, String>> {
        let (done, wait) = oneshot::channel();
        {
            let mut state = self.state();
            // One that has begun lacks what came since.
            let next = state.begun + 1;
            state.waiting.push((next, done));
        }
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = &*wake {
            // One that waits already will do.
            let _ = wake.try_send(Wake::Write);
        }
        wait
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a snapshot is due or asked for, and writes it. False if the end has come instead.
    fn round(&self, woken: &Receiver<Wake>, pulse: &Pulse) -> bool {
        let every = self.every.get();
        pulse.beat(self.clock.now() + every);
        match woken.recv_timeout(every) {
            Ok(Wake::Look) => return true,
            Ok(Wake::Write) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Wake::End) | Err(RecvTimeoutError::Disconnected) => return false,
        }
        pulse.beat(self.clock.now());
        let pause = || {
            pulse.beat(self.clock.now());
            std::thread::sleep(PAUSE);
        };
        self.write(pause, false);
        true
    }

    /// Writes the snapshot. One that fails, by a defect even, leaves the one before, and the next may not. That it fails
    /// is said when it begins to, when the reason is another, and with the `last` one.
    fn write(&self, pause: impl FnMut(), last: bool) {
        let number = {
            let mut state = self.state();
            state.begun += 1;
            state.begun
        };
        let attempt = AssertUnwindSafe(|| {
            let baselines = write_baselines(&self.shared.engine().baselines());
            let (life, wall) = (self.clock.life(), self.clock.wall());
            let cache = &self.shared.cache;
            let guard = self.shared.guard.save(life);
            let besides = Besides {
                baselines: &baselines,
                guard: &guard,
            };
            let written = snapshot::write(&self.path, cache, besides, life, wall, pause)?;
            Ok::<_, SnapshotError>((written, life))
        });
        let written = match catch_unwind(attempt) {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("a snapshot was lost to a panic; the one before it stays".to_owned()),
        };
        let mut state = self.state();
        let told = match &written {
            Ok((file, _)) => {
                let path = self.path.display();
                Ok(format!("{} answers are written to {path}", file.entries))
            }
            Err(line) => Err(line.clone()),
        };
        match written {
            Ok(file) => {
                state.written += 1;
                state.file = Some(file);
                if let Some(failing) = state.failing.take() {
                    let (count, path) = (failing.times, self.path.display());
                    info!(
                        "the cache is written to {path} again, after {count} times that it could not be"
                    );
                }
            }
            Err(line) => {
                state.failed += 1;
                let known = state.failing.take();
                let is_news = last || known.as_ref().is_none_or(|known| known.why != line);
                match is_news {
                    true => warn!("{line}; until it can be written a restart forgets"),
                    false => debug!("{line}"),
                }
                state.failing = Some(Failing {
                    since: known
                        .as_ref()
                        .map_or(self.clock.life(), |known| known.since),
                    times: known.map_or(0, |known| known.times) + 1,
                    why: line,
                });
            }
        }
        let (ready, waiting) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|(wanted, _)| *wanted <= number);
        state.waiting = waiting;
        drop(state);
        for (_, done) in ready {
            // Whoever asked may have gone.
            let _ = done.send(told.clone());
        }
    }

    /// That it cannot be written, if that is so.
    pub(super) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let failing = state.failing.as_ref()?;
        let since = span(self.clock.life().since(failing.since));
        let why = &failing.why;
        Some(format!("a restart would forget: for {since} {why}"))
    }

    /// Says what a start will find, as of the last snapshot.
    fn last_words(&self) {
        let state = self.state();
        if let Some((written, _)) = &state.file {
            let path = self.path.display();
            info!("{} answers are kept in {path}", written.entries);
        }
    }

    /// What the metrics show.
    pub(super) fn sample(&self) -> SnapshotSample {
        let state = self.state();
        SnapshotSample {
            failing: state.failing.is_some(),
            file: state.file.map(|(written, at)| SnapshotFile {
                age: self.clock.life().since(at),
                bytes: written.bytes,
                entries: written.entries,
            }),
            written: state.written,
            failed: state.failed,
        }
    }

    /// Where it is kept.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What to say, before the first snapshot is due, of one whose directory is not there.
fn homeless(path: &Path) -> Option<String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    (!folder.is_dir()).then(|| {
        format!(
            "the cache will not survive a restart: there is no directory {}; create it, or correct `[cache] snapshot`",
            folder.display()
        )
    })
}

/// The thread that writes.
pub(super) struct Writing {
    wake: SyncSender<Wake>,
    thread: JoinHandle<()>,
}

impl Writing {
    /// Writes once more and ends.
    pub(super) fn finish(self) {
        let _ = self.wake.send(Wake::End);
        if self.thread.join().is_err() {
            warn!("the cache snapshot was not written at the end");
        }
    }
}

/// A line for each route: its name and its numbers.
fn write_baselines(baselines: &[Baseline]) -> Vec<u8> {
    let mut text = String::new();
    for Baseline {
        route,
        base,
        mean,
        deviation,
        tail,
        rate,
    } in baselines
    {
        let [base, mean, deviation, tail] =
            [base, mean, deviation, tail].map(|duration| duration.as_nanos());
        text += &format!("{base} {mean} {deviation} {tail} {rate} {route}\n");
    }
    text.into_bytes()
}

/// No round trip takes longer, so that a file of other numbers cannot make byway wait for ever.
const LONGEST: Duration = Duration::from_secs(60);
/// No route carries more packets a second.
const MOST_RATE: f32 = 1e7;

/// The lines of [`write_baselines`]. One that cannot be read, or makes no sense, is passed over: it costs a measurement.
fn read_baselines(octets: &[u8]) -> Vec<Baseline> {
    let read = |line: &str| {
        let mut words = line.splitn(6, ' ');
        let mut duration = || {
            let duration = Duration::from_nanos(words.next()?.parse().ok()?);
            (duration <= LONGEST).then_some(duration)
        };
        let (base, mean, deviation, tail) = (duration()?, duration()?, duration()?, duration()?);
        let rate = words.next()?.parse().ok()?;
        if !(0.0..=MOST_RATE).contains(&rate) {
            return None;
        }
        Some(Baseline {
            route: words.next()?.to_string(),
            base,
            mean,
            deviation,
            tail,
            rate,
        })
    };
    String::from_utf8_lossy(octets)
        .lines()
        .filter_map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_come_back_as_they_were() {
        let baseline = |route: &str, base| Baseline {
            route: route.into(),
            base: Duration::from_micros(base),
            mean: Duration::from_micros(base + 100),
            deviation: Duration::from_nanos(12_345),
            tail: Duration::from_millis(9),
            rate: 123.5,
        };
        let all = [baseline("dc1@eth0", 2_000), baseline("dc 2@a b", 4_000)];
        assert_eq!(read_baselines(&write_baselines(&all)), all);
    }

    #[test]
    fn a_snapshot_without_a_directory_is_told_of_at_once() {
        let folder = tempfile::tempdir().expect("a directory");
        assert_eq!(homeless(&folder.path().join("cache.snapshot")), None);
        assert_eq!(homeless(Path::new("cache.snapshot")), None);
        let line = homeless(&folder.path().join("gone/cache.snapshot")).expect("a line");
        assert!(
            line.contains("gone") && line.contains("create it"),
            "{line}"
        );
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let text = b"1 2 3 4 5 good\n1 2 x 4 5 bad\n1 2\n\n\xff\xff 1 2 3 4 5\n\
            1 60000000001 3 4 5 long\n1 2 3 4 1e30 fast\n1 2 3 4 NaN odd\n1 2 3 4 -1 less\n";
        let read = read_baselines(text);
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].route, "good");
    }
}
