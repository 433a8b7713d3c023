//! One process takes over from another one on the same host, without a service manager: `byway run --takeover`.
//!
//! The new process gets the sockets that the old one listens on, over a Unix socket, and so does not bind beside them: what
//! waits in the kernel is read by whichever of the two comes first. When the new one has started, whole, it says so, and the
//! old one answers what it has taken in and ends. If the new one fails, the line breaks, and the old one goes on.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::{info, warn};

use super::vital::{Alarm, News};
use crate::config::bounds;
use crate::serve::{Listeners, Passed};
use crate::sys;

/// How long each step of the handing over may take.
const STEP: Duration = Duration::from_secs(5);

/// How long the new process has for its start: more than workers have ([`super::crew`]).
const START: Duration = Duration::from_secs(60);

/// What goes over the line, each with a descriptor or without: a socket for queries, one for metrics and health, the end,
/// and that the new process has started.
const QUERIES: u8 = b'q';
const ADMIN: u8 = b'a';
const ALL: u8 = b'.';
const STARTED: u8 = b'!';

/// What the old process holds to be handed over.
#[derive(Debug)]
pub(super) struct Holder {
    sockets: Mutex<Vec<(u8, OwnedFd)>>,
    /// Somebody is taking over.
    busy: AtomicBool,
    alarm: Alarm,
}

impl Holder {
    /// Holds what all workers listen on, and the socket for metrics and health; nothing if the system has no descriptors
    /// left for it.
    pub(super) fn new(all: &[Listeners], admin: Option<&TcpListener>, alarm: Alarm) -> Arc<Holder> {
        let sockets = held(all, admin).unwrap_or_else(|error| {
            warn!("nobody can take over from this process: {error}");
            Vec::new()
        });
        Arc::new(Holder {
            sockets: Mutex::new(sockets),
            busy: AtomicBool::new(false),
            alarm,
        })
    }

    /// This process ends: who connects to it now is told at once that nobody is there.
    pub(super) fn let_go(&self) {
        self.sockets().clear();
    }

    /// Hands all over to the process that listens at `path`, on a thread of its own, and ends this one when that one has
    /// started.
    ///
    /// # Errors
    /// Why it cannot be begun.
    pub(super) fn hand_over(self: &Arc<Holder>, path: &Path, by: &str) -> Result<String, String> {
        let line = connect(path)
            .map_err(|error| format!("nobody answers at {}: {error}", path.display()))?;
        if self.sockets().is_empty() {
            return Err("it had no descriptors left to hold its sockets with; restart it".into());
        }
        let same = sys::is_own_user(line.as_fd()).unwrap_or(false);
        if !same {
            return Err("sockets are handed to nobody but byway's own user and root".into());
        }
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err("another process is taking over already".into());
        }
        let count = self.sockets().len();
        let (holder, who) = (Arc::clone(self), by.to_owned());
        let handing = std::thread::Builder::new()
            .name("byway-takeover".into())
            .spawn(move || {
                match holder.lead(&line) {
                    Ok(()) => holder.alarm.tell(News::Stop("takeover")),
                    Err(error) => {
                        warn!("{who} did not take over: {error}; this process goes on");
                    }
                }
                holder.busy.store(false, Ordering::Release);
            });
        if let Err(error) = handing {
            self.busy.store(false, Ordering::Release);
            return Err(format!("no thread is to be had: {error}"));
        }
        info!("{by} takes over {count} sockets");
        Ok(format!("{count} sockets are handed over"))
    }

    /// Sends everything and waits until the other one has started.
    fn lead(&self, line: &UnixStream) -> io::Result<()> {
        line.set_write_timeout(Some(STEP))?;
        line.set_read_timeout(Some(START))?;
        for (kind, socket) in self.sockets().iter() {
            sys::send_descriptor(line.as_fd(), *kind, Some(socket.as_fd()))?;
        }
        sys::send_descriptor(line.as_fd(), ALL, None)?;
        let mut word = [0];
        let mut line = line;
        match line.read(&mut word)? {
            1 if word[0] == STARTED => Ok(()),
            _ => Err(io::Error::other("it has ended before it had started")),
        }
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<(u8, OwnedFd)>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(all: &[Listeners], admin: Option<&TcpListener>) -> io::Result<Vec<(u8, OwnedFd)>> {
    let mut sockets = Vec::new();
    for (number, listeners) in all.iter().enumerate() {
        for socket in listeners.own_sockets(number == 0) {
            sockets.push((QUERIES, socket.try_clone_to_owned()?));
        }
    }
    if let Some(admin) = admin {
        sockets.push((ADMIN, admin.as_fd().try_clone_to_owned()?));
    }
    Ok(sockets)
}

/// Connects at once or not at all: whoever is to be handed something waits for it.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(OwnedFd::from(socket).into())
}

/// Where the new process waits for the old one.
#[derive(Debug)]
pub struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Waiting {
    /// Waits beside the control socket at `control`.
    ///
    /// # Errors
    /// If there is no place for it, in a sentence.
    pub fn beside(control: &Path) -> Result<Waiting, String> {
        let path = control.with_extension(format!("takeover-{}", std::process::id()));
        let wrong =
            |error: io::Error| format!("cannot wait at {} to take over: {error}", path.display());
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(wrong)?;
        let waiting = Waiting {
            listener,
            path: path.clone(),
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(wrong)?;
        waiting.listener.set_nonblocking(true).map_err(wrong)?;
        Ok(waiting)
    }

    /// Where that is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the old process hands over. It must have been asked to, and connected.
    ///
    /// # Errors
    /// Why nothing came, in a sentence.
    pub fn take(self) -> Result<Takeover, String> {
        let wrong = |error: io::Error| format!("the sockets did not come: {error}");
        let (line, _) = self.listener.accept().map_err(wrong)?;
        if !sys::is_own_user(line.as_fd()).unwrap_or(false) {
            return Err("somebody else's process connected in place of the one before".into());
        }
        line.set_nonblocking(false).map_err(wrong)?;
        line.set_read_timeout(Some(STEP)).map_err(wrong)?;
        line.set_write_timeout(Some(STEP)).map_err(wrong)?;
        let mut sockets = Vec::new();
        loop {
            match sys::receive_descriptor(line.as_fd()).map_err(wrong)? {
                (ALL, _) => break,
                (kind @ (QUERIES | ADMIN), Some(socket)) => {
                    sockets.push(Passed::from_process_before(socket, kind == ADMIN)?);
                }
                _ => return Err("the process before is of another make".into()),
            }
        }
        Ok(Takeover { sockets, line })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What the old process has handed over. Dropped before it is told that this one has started, it goes on as if nothing
/// had been.
#[derive(Debug)]
pub struct Takeover {
    sockets: Vec<Passed>,
    line: UnixStream,
}

impl Takeover {
    /// How many workers the old process has that do not share their sockets.
    pub(super) fn depth(&self) -> usize {
        Passed::depth(&self.sockets)
    }

    /// The sockets; the one for metrics and health only if it is where it is to be.
    pub(super) fn sockets(&mut self, admin: Option<SocketAddr>) -> Vec<Passed> {
        let mut all = std::mem::take(&mut self.sockets);
        let is_there = |at: SocketAddr| {
            // Its neighbours stand in for the default port if that is taken.
            let Some(wanted) = admin.filter(|wanted| wanted.ip() == at.ip()) else {
                return false;
            };
            let others = match wanted == bounds::ADMIN {
                true => bounds::ADMIN_OTHERS,
                false => 0,
            };
            (wanted.port()..=wanted.port().saturating_add(others)).contains(&at.port())
        };
        all.retain(|it| !it.is_admin() || is_there(it.address()));
        all
    }

    /// This process has started: the old one may go.
    pub(super) fn done(mut self) {
        if let Err(error) = self.line.write_all(&[STARTED]) {
            warn!("the process before cannot be told to end: {error}; end it by hand");
        }
    }
}
