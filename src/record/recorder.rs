//! Who writes: to the file while it can be had, otherwise to memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::encoder::{Draft, Encoder};
use super::file::{FileError, Layout, Recording};
use super::frame::{Kind, Stamp};
use super::memory::Memory;
use super::reader::Log;
use crate::observe::metrics::Reading;

/// How long a file that cannot be had is left alone, and how often one that is written is looked for. In
/// milliseconds.
const LOOK_EVERY: u64 = 60_000;
/// A minute, in milliseconds.
const MINUTE: u64 = 60_000;
/// So much, in milliseconds, is no drift of the clock: it was set.
const SET: u64 = 1_000;

/// How it stands with the recorder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The file; `None` if none is wanted.
    pub path: Option<PathBuf>,
    /// Whether it is written to.
    pub on_disk: bool,
    /// Why it is not.
    pub why: Option<String>,
    /// Frames written to it since the start.
    pub written: u64,
    /// Frames kept in memory in its place.
    pub in_memory: u64,
    /// Frames that were too large to be kept.
    pub lost: u64,
}

/// The recorder's state that others look at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    standing: Mutex<Standing>,
    memory: Mutex<Memory>,
}

/// Writes one frame after another.
#[derive(Debug)]
pub struct Recorder {
    layout: Layout,
    encoder: Encoder,
    recording: Option<Recording>,
    shared: Arc<Shared>,
    /// When the file is looked at next, by the clock of the host's life.
    look: u64,
    /// The minute that it is.
    minute: Option<u64>,
    /// What the wall clock was ahead of the host's life by.
    ahead: Option<i128>,
}

/// Looks at a [`Recorder`] from elsewhere.
#[derive(Clone, Debug)]
pub struct Watcher(Arc<Shared>);

impl Watcher {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        lock(&self.0.standing).clone()
    }

    /// Everything that is recorded, in the file and in memory. It may be written meanwhile.
    ///
    /// # Errors
    /// [`FileError`] if the file that is written cannot be read.
    pub fn log(&self) -> Result<Log, FileError> {
        let standing = self.standing();
        let mut log = match &standing.path {
            Some(path) => match Log::open(path) {
                Ok(log) => log,
                Err(error) if standing.on_disk => return Err(error),
                Err(_) => Log::default(),
            },
            None => Log::default(),
        };
        let memory = self.memory();
        let size = memory.len() as u64;
        let added = log.add(Box::new(memory), size);
        added.map_err(|cause| FileError::System {
            path: standing.path.unwrap_or_default(),
            cause,
        })?;
        Ok(log)
    }

    /// The frames that are kept in memory, one after another, as in a file.
    pub fn memory(&self) -> Vec<u8> {
        lock(&self.0.memory).octets()
    }
}

impl Recorder {
    /// Nothing is opened before the first second is recorded.
    pub fn new(path: Option<PathBuf>, layout: Layout) -> Recorder {
        let shared = Shared::default();
        let why = match path {
            Some(_) => None,
            None => Some("no file is configured".to_owned()),
        };
        *lock(&shared.standing) = Standing {
            path,
            why,
            ..Standing::default()
        };
        Recorder {
            layout,
            encoder: Encoder::default(),
            recording: None,
            shared: Arc::new(shared),
            look: 0,
            minute: None,
            ahead: None,
        }
    }

    /// For who wants to know how it stands.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::clone(&self.shared))
    }

    /// Looks after the file, now and then: opens it if it is not open, and sees whether it is still there if it is.
    /// What there is to say of it comes back.
    pub fn look(&mut self, stamp: &Stamp) -> Vec<String> {
        if stamp.life < self.look {
            return Vec::new();
        }
        self.look = stamp.life + LOOK_EVERY;
        self.look_for_file()
    }

    /// Records a second: what happened in it, then what is counted at its end. What there is to say of the file comes
    /// back.
    pub fn second(
        &mut self,
        stamp: &Stamp,
        readings: &[Reading],
        events: &[(Stamp, Value)],
    ) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(jump) = self.jump(stamp) {
            said.extend(self.event(stamp, &jump));
        }
        for (stamp, event) in events {
            said.extend(self.event(stamp, event));
        }
        let before = self.encoder.shape().clone();
        if self.encoder.learn(readings) {
            match &mut self.recording {
                Some(recording) => recording.reshape(&before),
                None => lock(&self.shared.memory).learn(self.encoder.shape()),
            }
        }
        let minute = stamp.life / MINUTE;
        let over = self.minute.is_some_and(|before| before != minute);
        self.minute = Some(minute);
        said.extend(self.frames(false, stamp, readings));
        if over {
            said.extend(self.frames(true, stamp, readings));
        }
        said
    }

    /// Records the end: a last frame for the seconds and for the minutes, and waits for the disk.
    pub fn end(
        &mut self,
        stamp: &Stamp,
        readings: &[Reading],
        events: &[(Stamp, Value)],
    ) -> Vec<String> {
        let mut said = self.second(stamp, readings, events);
        said.extend(self.frames(true, stamp, readings));
        if let Some(recording) = &self.recording
            && let Err(error) = recording.sync()
        {
            said.push(format!(
                "the flight recorder's file may be incomplete: {error}"
            ));
        }
        said
    }

    fn frames(&mut self, minute: bool, stamp: &Stamp, readings: &[Reading]) -> Vec<String> {
        let drafts = self.encoder.frames(minute, stamp, readings);
        drafts.iter().flat_map(|it| self.keep(stamp, it)).collect()
    }

    fn event(&mut self, stamp: &Stamp, event: &Value) -> Vec<String> {
        let mut contents = Vec::new();
        stamp.put(&mut contents);
        contents.extend_from_slice(event.to_string().as_bytes());
        let kind = Kind::Event;
        self.keep(stamp, &Draft { kind, contents })
    }

    /// Keeps a frame in the file, or in memory.
    fn keep(&mut self, stamp: &Stamp, draft: &Draft) -> Vec<String> {
        let Draft { kind, contents } = draft;
        let shape = (*kind != Kind::Event).then(|| self.encoder.shape());
        if let Some(recording) = &mut self.recording {
            match recording.write(*kind, contents, shape) {
                Ok(fits) => return self.count(fits),
                Err(cause) => {
                    let shared = Arc::clone(&self.shared);
                    self.recording = None;
                    lock(&shared.memory).learn(self.encoder.shape());
                    let path = lock(&shared.standing).path.clone().unwrap_or_default();
                    let said = self.without(&FileError::System { path, cause });
                    self.remember(stamp, draft);
                    return said;
                }
            }
        }
        self.remember(stamp, draft);
        Vec::new()
    }

    fn count(&self, fits: bool) -> Vec<String> {
        let mut standing = lock(&self.shared.standing);
        if fits {
            standing.written += 1;
            return Vec::new();
        }
        standing.lost += 1;
        match standing.lost {
            1 => vec!["the flight recorder's file is too small for a frame of so many routes: raise `[recorder] size`".into()],
            _ => Vec::new(),
        }
    }

    fn remember(&self, stamp: &Stamp, draft: &Draft) {
        lock(&self.shared.memory).keep(stamp.life, draft.kind, &draft.contents);
        lock(&self.shared.standing).in_memory += 1;
    }

    fn look_for_file(&mut self) -> Vec<String> {
        let Some(path) = lock(&self.shared.standing).path.clone() else {
            return Vec::new();
        };
        if let Some(recording) = &self.recording {
            if recording.stands_at(&path) {
                return Vec::new();
            }
            self.recording = None;
        }
        match self.open(&path) {
            Ok(()) => {
                let mut standing = lock(&self.shared.standing);
                standing.on_disk = true;
                match standing.why.take() {
                    Some(_) => vec![format!(
                        "the flight recorder writes to {} again",
                        path.display()
                    )],
                    None => Vec::new(),
                }
            }
            Err(error) => self.without(&error),
        }
    }

    /// Opens the file and puts down what was kept in memory.
    fn open(&mut self, path: &Path) -> Result<(), FileError> {
        let mut recording = Recording::open(path, self.layout)?;
        let mut memory = lock(&self.shared.memory);
        let put_down = || {
            recording.tell_shapes(memory.shapes())?;
            for (kind, contents) in memory.frames() {
                recording.write(kind, contents, None)?;
            }
            Ok(())
        };
        let put_down: std::io::Result<()> = { put_down }();
        put_down.map_err(|cause| FileError::System {
            path: path.to_owned(),
            cause,
        })?;
        *memory = Memory::default();
        self.recording = Some(recording);
        Ok(())
    }

    /// There is no file: says so, unless it was said.
    fn without(&self, error: &FileError) -> Vec<String> {
        let mut standing = lock(&self.shared.standing);
        standing.on_disk = false;
        let why = error.to_string();
        let line = format!("the flight recorder keeps the last hour in memory only: {why}");
        match standing.why.replace(why.clone()) {
            Some(before) if before == why => Vec::new(),
            _ => vec![line],
        }
    }

    /// What to record if the wall clock was set since the last second.
    fn jump(&mut self, stamp: &Stamp) -> Option<Value> {
        let ahead = i128::from(stamp.wall) - i128::from(stamp.life);
        let before = self.ahead.replace(ahead)?;
        let by = ahead - before;
        if by.unsigned_abs() < u128::from(SET) {
            return None;
        }
        let seconds = by as f64 / 1e3;
        let way = if by > 0 { "forward" } else { "back" };
        Some(json!({
            "kind": "clock",
            "trouble": false,
            "text": format!("the host's clock was set {way} by {:.1} s", seconds.abs()),
            "by": seconds,
        }))
    }
}

#[cfg(test)]
impl Recorder {
    /// From now on nothing can be written to the file that is open.
    pub(super) fn break_disk(&mut self) {
        let path = lock(&self.shared.standing).path.clone().expect("a file");
        let recording = self.recording.as_mut().expect("it is open");
        recording.break_disk(&path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
