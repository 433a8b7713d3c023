//! The host's own file of names (hosts(5)), read at the start and again whenever it changes.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::vital::Pulse;
use crate::clock::Clock;
use crate::config::{Config, file};
use crate::names::Hosts;
use crate::resolve::Shared;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// No more of it is read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Who reads it.
pub(super) struct Reader {
    path: PathBuf,
    ttl: u32,
    shared: Arc<Shared>,
    /// What the file was when it was last read; `None` if it was not there.
    seen: Option<Seen>,
    started: bool,
    /// What was said of it last.
    complaint: Option<String>,
}

/// By this a change is noticed.
type Seen = (u64, u64, u64, i64, i64);

fn seen(metadata: &Metadata) -> Seen {
    let (dev, ino) = (metadata.dev(), metadata.ino());
    (
        dev,
        ino,
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

impl Reader {
    /// Reads the file that `config` names, if it names one.
    pub(super) fn open(config: &Config, shared: &Arc<Shared>) -> Option<Reader> {
        let mut reader = Reader {
            path: config.hosts.clone()?,
            ttl: config.hosts_ttl.as_secs() as u32,
            shared: Arc::clone(shared),
            seen: None,
            started: false,
            complaint: None,
        };
        reader.look();
        reader.started = true;
        Some(reader)
    }

    /// Goes on looking at it, on a thread of its own.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn run(mut self, clock: Clock, pulse: Arc<Pulse>) -> io::Result<()> {
        std::thread::Builder::new()
            .name("byway-hosts".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                loop {
                    pulse.beat(clock.now() + LOOK_EVERY);
                    std::thread::sleep(LOOK_EVERY);
                    pulse.beat(clock.now());
                    if catch_unwind(AssertUnwindSafe(|| self.look())).is_err() {
                        error!("a look at {} was lost to a panic", self.path.display());
                    }
                }
            })?;
        Ok(())
    }

    fn look(&mut self) {
        let metadata = std::fs::metadata(&self.path);
        let current = metadata.as_ref().ok().map(seen);
        if current == self.seen && self.complaint.is_none() {
            return;
        }
        match self.read() {
            Ok(hosts) => {
                if current != self.seen || self.complaint.take().is_some() {
                    self.take(hosts);
                }
                self.seen = current;
            }
            // Without one there is nothing to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.seen.take().is_some() {
                    self.take(Hosts::default());
                }
                self.complaint = None;
            }
            Err(error) => {
                // What it said when it could be read still holds.
                let complaint = format!("{} cannot be read: {error}", self.path.display());
                if self.complaint.as_ref() != Some(&complaint) {
                    warn!("{complaint}");
                }
                self.complaint = Some(complaint);
            }
        }
    }

    fn read(&self) -> io::Result<Hosts> {
        let mut bytes = Vec::new();
        file::open(&self.path)?
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)?;
        Ok(Hosts::read(&String::from_utf8_lossy(&bytes), self.ttl))
    }

    fn take(&self, hosts: Hosts) {
        let path = self.path.display();
        if let Some((count, first)) = hosts.bad {
            warn!(
                "{path}: {count} lines cannot be read, the first is line {first}; the others count"
            );
        }
        // What is there at the start is no news.
        match self.started {
            true => info!("{} names from {path}", hosts.table.len()),
            false => debug!("{} names from {path}", hosts.table.len()),
        }
        let forgotten = self.shared.take_hosts(hosts.table);
        debug!("{forgotten} answers for such names are forgotten");
    }
}
