//! The host's own file of names (hosts(5)), read at the start and again whenever it changes.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::config::{Config, file};
use crate::names::Hosts;
use crate::resolve::Shared;

/// No more of it is read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Who reads it.
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// Which file, and the TTL of what it says in seconds; `None` if none is to be read.
    of: Option<(PathBuf, u32)>,
    /// What the file was when it was last read; `None` if it was not there.
    seen: Option<Seen>,
    started: bool,
    /// What was said of it last.
    complaint: Option<String>,
}

/// By this a change of a file is noticed.
pub(super) type Seen = (u64, u64, u64, i64, i64);

pub(super) fn seen(metadata: &Metadata) -> Seen {
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
    pub(super) fn open(config: &Config, shared: &Arc<Shared>) -> Reader {
        let ttl = config.hosts_ttl.as_secs() as u32;
        let mut reader = Reader {
            shared: Arc::clone(shared),
            of: None,
            seen: None,
            started: false,
            complaint: None,
        };
        reader.follow(config.hosts.clone().map(|path| (path, ttl)).as_ref());
        reader.started = true;
        reader
    }

    /// Takes in what this file says now; what another one said does not hold any more.
    pub(super) fn follow(&mut self, of: Option<&(PathBuf, u32)>) {
        if self.of.as_ref() != of {
            if self.seen.take().is_some() && of.map(|it| &it.0) != self.of.as_ref().map(|it| &it.0)
            {
                self.shared.take_hosts(Hosts::default().table);
            }
            self.of = of.cloned();
            self.complaint = None;
        }
        if let Some((path, ttl)) = self.of.clone() {
            self.look(&path, ttl);
        }
    }

    fn look(&mut self, path: &Path, ttl: u32) {
        let metadata = std::fs::metadata(path);
        let current = metadata.as_ref().ok().map(seen);
        if current == self.seen && self.complaint.is_none() {
            return;
        }
        match read(path, ttl) {
            Ok(hosts) => {
                if current != self.seen || self.complaint.take().is_some() {
                    self.take(path, hosts);
                }
                self.seen = current;
            }
            // Without one there is nothing to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.seen.take().is_some() {
                    self.take(path, Hosts::default());
                }
                self.complaint = None;
            }
            Err(error) => {
                // What it said when it could be read still holds.
                let complaint = format!("{} cannot be read: {error}", path.display());
                if self.complaint.as_ref() != Some(&complaint) {
                    warn!("{complaint}");
                }
                self.complaint = Some(complaint);
            }
        }
    }

    fn take(&self, path: &Path, hosts: Hosts) {
        let path = path.display();
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

fn read(path: &Path, ttl: u32) -> io::Result<Hosts> {
    let mut bytes = Vec::new();
    file::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Hosts::read(&String::from_utf8_lossy(&bytes), ttl))
}
