//! The query log: every answer that leaves, in dnstap, in files of bounded size.
//!
//! A worker puts an answer aside in a place of fixed size and goes on; a thread of its own takes it from there, encodes
//! it and writes it. What finds no room, or cannot be written, is counted and nothing else.

mod dnstap;
mod file;
mod socket;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::labels::{Label, Transport};
use super::till::Till;
use crate::clock::Time;
use crate::config::QueryLogConfig;
use file::TapFile;
use socket::TapSocket;

/// Octets that a worker may put aside until they are taken: with answers of 100 octets some 7,000.
const TILL: usize = 1 << 20;

/// The log. Shared by the workers, its thread and who reads the counts.
#[derive(Debug)]
pub struct QueryLog {
    goes_to: GoesTo,
    /// Where queries are accepted, by the listeners' indices.
    listeners: Vec<SocketAddr>,
    tills: Mutex<Vec<Arc<Till>>>,
    /// Answers written, and lost.
    written: AtomicU64,
    lost: Arc<AtomicU64>,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoesTo {
    /// To a file, that and the one before it together no larger than so many octets.
    File(PathBuf, u64),
    /// To whoever listens at this Unix socket.
    Socket(PathBuf),
}

/// What one worker writes with.
#[derive(Debug)]
pub struct Pen {
    till: Arc<Till>,
    lost: Arc<AtomicU64>,
}

/// An answer that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered<'a> {
    /// The answer.
    pub message: &'a [u8],
    /// Who gets it.
    pub client: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// Index of the listener that took the query in.
    pub listener: u16,
    /// When the query was read.
    pub since: Time,
    /// When the answer left.
    pub at: Time,
}

impl QueryLog {
    /// A log of a daemon that listens there; `None` if none is wanted.
    pub fn new(config: &QueryLogConfig, listeners: Vec<SocketAddr>) -> Option<QueryLog> {
        Some(QueryLog {
            goes_to: GoesTo::by(config)?,
            listeners,
            tills: Mutex::default(),
            written: AtomicU64::new(0),
            lost: Arc::default(),
        })
    }

    /// What one more worker writes with.
    pub fn pen(&self) -> Pen {
        let till = Arc::new(Till::new(TILL));
        let mut tills = self.tills.lock().unwrap_or_else(PoisonError::into_inner);
        tills.push(Arc::clone(&till));
        Pen {
            till,
            lost: Arc::clone(&self.lost),
        }
    }

    /// What writes it down. There is to be one at a time.
    pub fn scribe(self: &Arc<QueryLog>) -> Scribe {
        Scribe {
            log: Arc::clone(self),
            tap: match self.goes_to.clone() {
                GoesTo::File(path, size) => Tap::File(TapFile::new(path, size)),
                GoesTo::Socket(path) => Tap::Socket(TapSocket::new(path)),
            },
            room: Vec::new(),
            frame: Vec::new(),
            message: Vec::new(),
            said: None,
        }
    }

    /// Answers written so far, and answers lost.
    pub fn counts(&self) -> [u64; 2] {
        [self.written.load(Relaxed), self.lost.load(Relaxed)]
    }
}

impl GoesTo {
    /// By the configuration; `None` if nothing is to be logged.
    pub fn by(config: &QueryLogConfig) -> Option<GoesTo> {
        match (&config.path, &config.socket) {
            (Some(path), _) => Some(GoesTo::File(path.clone(), config.size as u64)),
            (None, Some(path)) => Some(GoesTo::Socket(path.clone())),
            (None, None) => None,
        }
    }

    /// The place.
    pub fn path(&self) -> &Path {
        match self {
            GoesTo::File(path, _) | GoesTo::Socket(path) => path,
        }
    }
}

impl Pen {
    /// Puts an answer aside. Neither waits nor allocates.
    #[inline]
    pub fn put(&self, answered: &Answered<'_>) {
        if !answered.put(&self.till) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// What is written to.
#[derive(Debug)]
enum Tap {
    File(TapFile),
    Socket(TapSocket),
}

/// Writes what the workers have put aside.
#[derive(Debug)]
pub struct Scribe {
    log: Arc<QueryLog>,
    tap: Tap,
    /// Room to collect into, to encode into, and for what stands within that.
    room: Vec<u8>,
    frame: Vec<u8>,
    message: Vec<u8>,
    /// What was said last of a file that cannot be written.
    said: Option<String>,
}

impl Scribe {
    /// Writes everything that was put aside. `now` is told by both clocks. What there is to say of the file comes back,
    /// each thing once.
    pub fn write(&mut self, now: (Time, SystemTime)) -> Option<String> {
        let log = Arc::clone(&self.log);
        let tills = log.tills.lock().unwrap_or_else(PoisonError::into_inner);
        self.tap.look(now.0);
        for till in tills.iter() {
            let taken = till.take(std::mem::take(&mut self.room));
            let mut rest = &taken[..];
            while let Some((answered, behind)) = Answered::read(rest) {
                rest = behind;
                self.frame.clear();
                dnstap::encode(
                    &answered,
                    &log.listeners,
                    now,
                    &mut self.message,
                    &mut self.frame,
                );
                self.tap.put(&self.frame, now.0);
            }
            self.room = taken;
        }
        drop(tills);
        self.tap.flush(now.0);
        self.account()
    }

    /// Writes the rest and ends it as a reader expects it.
    pub fn end(mut self, now: (Time, SystemTime)) -> Option<String> {
        let said = self.write(now);
        self.tap.end(now.0);
        said.or(self.account())
    }

    fn account(&mut self) -> Option<String> {
        let (log, [written, lost]) = (&self.log, self.tap.take_counts());
        log.written.fetch_add(written, Relaxed);
        log.lost.fetch_add(lost, Relaxed);
        let path = log.goes_to.path().display();
        match self.tap.failed() {
            Some(error) => {
                let line =
                    format!("the query log cannot be written and loses answers: {path}: {error}");
                let before = self.said.replace(line.clone());
                (before.as_ref() != Some(&line)).then_some(line)
            }
            None => {
                let said = self.said.take();
                said.map(|_| format!("the query log is written to {path} again"))
            }
        }
    }
}

impl Tap {
    fn look(&mut self, now: Time) {
        if let Tap::File(file) = self {
            file.look(now);
        }
    }

    fn put(&mut self, frame: &[u8], now: Time) {
        match self {
            Tap::File(file) => file.put(frame, now),
            Tap::Socket(socket) => socket.put(frame, now),
        }
    }

    fn flush(&mut self, now: Time) {
        match self {
            Tap::File(file) => file.flush(),
            Tap::Socket(socket) => socket.flush(now),
        }
    }

    fn end(&mut self, now: Time) {
        match self {
            Tap::File(file) => file.end(),
            Tap::Socket(socket) => socket.end(now),
        }
    }

    /// Frames written, and lost, since this was last asked.
    fn take_counts(&mut self) -> [u64; 2] {
        let (written, lost) = match self {
            Tap::File(file) => (&mut file.written, &mut file.lost),
            Tap::Socket(socket) => (&mut socket.written, &mut socket.lost),
        };
        [written, lost].map(std::mem::take)
    }

    fn failed(&self) -> Option<&io::Error> {
        match self {
            Tap::File(file) => file.failed.as_ref(),
            Tap::Socket(socket) => socket.failed.as_ref(),
        }
    }
}

/// Octets of an answer beside its message.
const HEAD: usize = 8 + 8 + 1 + 1 + 16 + 2 + 2 + 2;

impl Answered<'_> {
    fn put(&self, till: &Till) -> bool {
        let (family, octets) = match self.client.ip().to_canonical() {
            IpAddr::V4(address) => (4, address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => (6, address.octets()),
        };
        // A message has 65,535 octets at most.
        let length = self.message.len() as u16;
        let mut head = [0; HEAD];
        let mut at = 0;
        let mut add = |part: &[u8]| {
            head[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        add(&self.since.nanos().to_ne_bytes());
        add(&self.at.nanos().to_ne_bytes());
        add(&[family, self.transport.index() as u8]);
        add(&octets);
        add(&self.client.port().to_ne_bytes());
        add(&self.listener.to_ne_bytes());
        add(&length.to_ne_bytes());
        till.put(&[&head, &self.message[..usize::from(length)]])
    }

    /// The first of those put aside, and those behind it.
    fn read(all: &[u8]) -> Option<(Answered<'_>, &[u8])> {
        let (since, rest) = all.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (&[family, transport], rest) = rest.split_first_chunk::<2>()?;
        let (octets, rest) = rest.split_first_chunk::<16>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (listener, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at_checked(u16::from_ne_bytes(*length).into())?;
        let address = Ipv6Addr::from(*octets);
        let client = match (family, address.to_ipv4_mapped()) {
            (4, Some(address)) => IpAddr::V4(address),
            _ => IpAddr::V6(address),
        };
        let answered = Answered {
            message,
            client: SocketAddr::new(client, u16::from_ne_bytes(*port)),
            transport: *Transport::ALL.get(usize::from(transport))?,
            listener: u16::from_ne_bytes(*listener),
            since: Time::from_nanos(u64::from_ne_bytes(*since)),
            at: Time::from_nanos(u64::from_ne_bytes(*at)),
        };
        Some((answered, rest))
    }
}

#[cfg(test)]
mod tests;
