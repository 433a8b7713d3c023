//! What the operator took out of use, across restarts.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::desk::rfc3339;
use crate::admin::api;
use crate::admin::desk::Refused as No;
use crate::clock::{Clock, Time};
use crate::resolve::Shared;

/// More than any configuration has names. A file that holds more is not ours.
const MOST: usize = 4096;
/// The largest file that is read.
const BYTES_MOST: u64 = 1 << 20;

/// One of them, as it is kept in the file. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drained {
    name: String,
    since: u64,
    until: Option<u64>,
    by: String,
}

/// All of them, and their file.
pub(super) struct Drains {
    file: Option<PathBuf>,
    shared: Arc<Shared>,
    clock: Clock,
    all: Mutex<Vec<Drained>>,
}

/// Zones of which it is said what is left.
const LEFT_MOST: usize = 4;

/// What is left for the names of a zone.
fn left_in((zone, count): &(Option<Arc<str>>, usize)) -> String {
    let of = match zone {
        Some(zone) => format!(" in {zone}"),
        None => String::new(),
    };
    match count {
        0 => format!("; NO ROUTE IS LEFT{of}: only what is in the cache is answered"),
        1 => format!("; 1 route is left{of}"),
        left => format!("; {left} routes are left{of}"),
    }
}

impl Drains {
    /// The file's place: beside the cache's.
    pub(super) fn beside(snapshot: &Path) -> PathBuf {
        snapshot.with_file_name("drains.json")
    }

    /// Reads the file, if one is kept and there, and drains anew what it names and is not over yet. What is wrong
    /// with it is said.
    pub(super) fn open(file: Option<PathBuf>, shared: &Arc<Shared>, clock: Clock) -> Drains {
        let read = file.as_deref().map_or(Ok(Vec::new()), read);
        let read = read.unwrap_or_else(|error| {
            let file = file.as_deref().unwrap_or(Path::new("")).display();
            warn!("what was drained before the restart is in use again: {file}: {error}");
            Vec::new()
        });
        let drains = Drains {
            file,
            shared: Arc::clone(shared),
            clock,
            all: Mutex::default(),
        };
        let wall = clock.wall();
        for drained in read {
            let left = match drained.until {
                Some(until) if until <= wall => continue,
                until => until.map(|until| Duration::from_secs(until - wall)),
            };
            let (name, by) = (&drained.name, &drained.by);
            let by = format!("{by} before the restart");
            match shared.engine().drain(name, &by, left, clock.now()) {
                Ok(_) => drains.lock().push(drained),
                Err(error) => warn!("drained before the restart: {error}"),
            }
        }
        drains
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Drained>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something out of use, for a while or until it is restored.
    pub(super) fn drain(
        &self,
        name: &str,
        by: &str,
        lasts: Option<Duration>,
    ) -> Result<api::Done, No> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let (subject, left) = {
            let mut engine = self.shared.engine();
            let subject = engine.drain(name, by, lasts, now);
            let subject = subject.map_err(|error| No::Unknown(error.to_string()))?;
            let left = engine.left_beside(&subject);
            (subject, left)
        };
        self.shared.rest.wake();
        let until = lasts.map(|lasts| wall.saturating_add(lasts.as_secs()));
        let mut all = self.lock();
        all.retain(|it| it.name != subject.name());
        all.push(Drained {
            name: subject.name().into(),
            since: wall,
            until,
            by: by.into(),
        });
        let kept = self.keep(&all);
        let until = until.map_or("it is restored".into(), time);
        let left: String = left.iter().take(LEFT_MOST).map(left_in).collect();
        let done = format!("{subject} is drained until {until}{left}{kept}");
        Ok(api::Done { done })
    }

    /// Puts something back.
    pub(super) fn restore(&self, name: &str, by: &str) -> Result<api::Done, No> {
        let now = self.clock.now();
        let subject = {
            let mut engine = self.shared.engine();
            let subject = engine.restore(name, by, now);
            subject.map_err(|error| No::Unknown(error.to_string()))?
        };
        self.shared.rest.wake();
        let mut all = self.lock();
        let before = all.len();
        all.retain(|it| it.name != subject.name());
        let done = match all.len() == before {
            true => format!("{subject} was not drained"),
            false => {
                let kept = self.keep(&all);
                let kept = self.file.as_ref().map_or(String::new(), |_| kept);
                format!("{subject} is in use again{kept}")
            }
        };
        Ok(api::Done { done })
    }

    /// Puts back what was drained for a time that is over.
    pub(super) fn end_what_is_over(&self, now: Time) {
        let wall = self.clock.wall();
        let mut all = self.lock();
        let over = |it: &Drained| it.until.is_some_and(|until| until <= wall);
        if !all.iter().any(over) {
            return;
        }
        for it in all.iter().filter(|it| over(it)) {
            // One that the engine does not know was refused before.
            let _ = self
                .shared
                .engine()
                .restore(&it.name, "the end of its time", now);
        }
        all.retain(|it| !over(it));
        let kept = self.keep(&all);
        if !kept.is_empty() {
            warn!("what is drained cannot be kept{kept}");
        }
    }

    /// What the API shows.
    pub(super) fn list(&self) -> Vec<api::Drain> {
        let all = self.lock();
        all.iter()
            .map(|it| api::Drain {
                name: it.name.clone(),
                since: time(it.since),
                until: it.until.map(time),
                by: it.by.clone(),
            })
            .collect()
    }

    /// Writes the file. What to add to an answer if that did not work.
    fn keep(&self, all: &[Drained]) -> String {
        let Some(file) = &self.file else {
            return "; a restart forgets that, because no snapshot is kept".into();
        };
        match write(file, all) {
            Ok(()) => String::new(),
            Err(error) => format!("; a restart forgets that: {}: {error}", file.display()),
        }
    }
}

fn time(secs: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_secs(secs).min(Duration::from_secs(1 << 36)))
}

fn read(file: &Path) -> io::Result<Vec<Drained>> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        // A FIFO would hang.
        Ok(there) if !there.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(there) if there.len() > BYTES_MOST => return Err(io::Error::other("too large")),
        Ok(_) => {}
    }
    let all: Vec<Drained> = serde_json::from_slice(&fs::read(file)?)?;
    if all.len() > MOST {
        return Err(io::Error::other("too many entries"));
    }
    Ok(all)
}

fn write(file: &Path, all: &[Drained]) -> io::Result<()> {
    if all.is_empty() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let beside = file.with_extension("json.new");
    // Who gave orders is nobody's concern but the operator's.
    let mut new = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(&serde_json::to_vec_pretty(all)?)?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    struct World {
        folder: tempfile::TempDir,
        shared: Arc<Shared>,
        clock: Clock,
    }

    impl World {
        fn new() -> World {
            World {
                folder: tempfile::tempdir().expect("a folder"),
                shared: shared(),
                clock: Clock::start(),
            }
        }

        fn file(&self) -> PathBuf {
            Drains::beside(&self.folder.path().join("cache.snapshot"))
        }

        fn open(&self) -> Drains {
            Drains::open(Some(self.file()), &self.shared, self.clock)
        }

        /// As after a restart: an engine that knows nothing.
        fn restart(&mut self) -> Drains {
            self.shared = shared();
            self.open()
        }

        fn is_drained(&self) -> bool {
            self.shared.engine().report(self.clock.now()).paths[0].drained
        }
    }

    fn shared() -> Arc<Shared> {
        let upstream = "192.0.2.1:53".parse().expect("an address");
        let config = Config::default_with_upstreams(&[upstream]);
        Arc::new(Shared::new(&config, 1, Time::START))
    }

    #[test]
    fn what_is_drained_stays_so_across_a_restart_until_it_is_restored() {
        let mut world = World::new();
        let drains = world.open();
        let done = drains.drain("default", "uid 0", None).expect("the path");
        assert!(done.done.contains("NO ROUTE IS LEFT"), "{}", done.done);
        let drains = world.restart();
        assert!(world.is_drained());
        assert_eq!(drains.list()[0].by, "uid 0");
        drains.restore("default", "uid 0").expect("the path");
        assert!(!world.is_drained());
        world.restart();
        assert!(!world.is_drained());
        assert!(!world.file().exists());
    }

    #[test]
    fn what_is_over_is_not_drained_again() {
        let mut world = World::new();
        let drains = world.open();
        let moment = Duration::ZERO;
        drains
            .drain("default", "uid 0", Some(moment))
            .expect("the path");
        assert!(world.is_drained());
        drains.end_what_is_over(world.clock.now());
        assert!(!world.is_drained());
        assert!(drains.list().is_empty());
        write(
            &world.file(),
            &[Drained {
                name: "default".into(),
                since: 1,
                until: Some(2),
                by: "uid 0".into(),
            }],
        )
        .expect("written");
        world.restart();
        assert!(!world.is_drained());
    }

    #[test]
    fn a_damaged_file_drains_nothing() {
        let mut world = World::new();
        for text in [
            "",
            "[",
            "[{}]",
            "{\"name\":1}",
            "[{\"name\":\"gone\",\"since\":1,\"until\":null,\"by\":\"\"}]",
        ] {
            fs::write(world.file(), text).expect("written");
            let drains = world.restart();
            assert!(!world.is_drained(), "{text}");
            assert!(drains.list().is_empty(), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_a_hint() {
        let world = World::new();
        let refused = world.open().drain("defalt", "uid 0", None);
        let Err(No::Unknown(why)) = refused else {
            panic!("{refused:?}")
        };
        assert!(why.contains("did you mean `default`?"), "{why}");
    }
}
