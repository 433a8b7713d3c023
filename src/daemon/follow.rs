//! Files that byway follows: those that say which name servers the host has (resolv.conf(5)), its own file of names (hosts(5)),
//! and the certificates that clients are shown.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::error;

use super::files::{Bell, Files};
use super::reload::Wish;
use super::vital::{Alarm, News, Pulse};
use super::{certificates, hosts};
use crate::clock::{Clock, Time};
use crate::config::{CertificateConfig, Config, Loaded, file, links};

/// No more of a resolv.conf is compared; `config` reads no more of it either.
const MOST_BYTES: u64 = 64 * 1024;

/// What is followed, and whoever follows it.
pub(super) struct Follower {
    wanted: Mutex<Wanted>,
    bell: Bell,
    /// What was told last could not be carried out.
    again: AtomicBool,
}

/// What is to be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// The files that say which name servers the host has.
    resolv_conf: Vec<PathBuf>,
    /// Where files lie that say which domains its links have.
    links: Vec<PathBuf>,
    /// The file of names, and the TTL of what it says in seconds.
    hosts: Option<(PathBuf, u32)>,
    certificates: Vec<CertificateConfig>,
}

impl Wanted {
    fn by(loaded: &Loaded, config: &Config) -> Wanted {
        let ttl = config.hosts_ttl.as_secs() as u32;
        Wanted {
            resolv_conf: match &loaded.followed {
                Some((files, _)) => files.clone(),
                None => Vec::new(),
            },
            links: loaded.links.0.clone(),
            hosts: config.hosts.clone().map(|path| (path, ttl)),
            certificates: config.certificates.clone(),
        }
    }
}

impl Follower {
    /// Follows nothing yet.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub(super) fn new() -> io::Result<Arc<Follower>> {
        Ok(Arc::new(Follower {
            wanted: Mutex::default(),
            bell: Bell::new()?,
            again: AtomicBool::new(false),
        }))
    }

    /// Follows from now on what `config`, which `loaded` means, speaks of.
    pub(super) fn follow(&self, loaded: &Loaded, config: &Config) {
        let wanted = Wanted::by(loaded, config);
        let mut known = self.wanted();
        if *known != wanted {
            *known = wanted;
            self.bell.ring();
        }
    }

    /// What was told could not be carried out, and is to be told again.
    pub(super) fn tell_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on looking, on a thread of its own. The main thread is told when name servers may have changed; the readers take
    /// in names and certificates themselves.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn run(
        self: &Arc<Self>,
        (mut hosts, mut certificates): (hosts::Reader, certificates::Reader),
        alarm: Alarm,
        clock: Clock,
        pulse: Arc<Pulse>,
    ) -> io::Result<()> {
        let this = Arc::clone(self);
        let look = move || {
            let mut known = Wanted::default();
            let mut files = Files::watch(Vec::new(), Vec::new());
            let mut seen: Option<Vec<u64>> = None;
            loop {
                let wanted = this.wanted().clone();
                if wanted != known {
                    let own = wanted.hosts.iter().map(|(path, _)| path);
                    let all = wanted.resolv_conf.iter().chain(own);
                    let all = all.chain(certificates::files(&wanted.certificates));
                    files = Files::watch(all.cloned().collect(), wanted.links.clone());
                    known = wanted;
                }
                // From here on a change ends the next wait.
                pulse.beat(clock.now());
                let took_in = catch_unwind(AssertUnwindSafe(|| {
                    hosts.follow(known.hosts.as_ref());
                    certificates.follow(&known.certificates);
                    let files = known.resolv_conf.iter().map(|it| print_of(it));
                    let links = known.links.iter().map(|it| print_of_all(it));
                    let now: Vec<u64> = files.chain(links).collect();
                    let again = this.again.swap(false, Ordering::Relaxed);
                    if !now.is_empty() && (seen.as_ref() != Some(&now) || again) {
                        seen = Some(now);
                        alarm.tell(News::Reload(Wish::Follow));
                    }
                }));
                if took_in.is_err() {
                    error!("a look at the files that are followed was lost to a panic");
                }
                let due = files.each().map_or(Time::NEVER, |each| clock.now() + each);
                pulse.beat(due);
                files.wait(&this.bell);
            }
        };
        std::thread::Builder::new()
            .name("byway-files".into())
            .stack_size(256 * 1024)
            .spawn(look)?;
        Ok(())
    }
}

/// Tells two states of a file apart; 0 if it is not there.
fn print_of(path: &Path) -> u64 {
    let mut bytes = Vec::new();
    let read = file::open(path).and_then(|it| it.take(MOST_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    hasher.finish() | 1
}

/// The same of the files of all links in a directory.
fn print_of_all(directory: &Path) -> u64 {
    let Ok(files) = links::files(directory) else {
        return 0;
    };
    let mut hasher = DefaultHasher::new();
    for (number, path) in &files {
        hasher.write_u32(*number);
        hasher.write_u64(print_of(path));
    }
    hasher.finish() | 1
}
