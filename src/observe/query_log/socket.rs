//! A reader's socket: Frame Streams over a Unix stream socket, as collectors of dnstap offer one. The reader is asked first what
//! it takes (READY, ACCEPT), and told when there is no more (STOP, FINISH). One that does not keep up loses answers.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::file::{ACCEPT, CONTENT, FINISH, READY, START, STOP, control, frame};
use crate::clock::Time;

/// How long the reader may take to take something, or to say something.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long one that is not there, or does not keep up, is left alone.
const AGAIN: Duration = Duration::from_secs(2);
/// So much is written at once.
const CHUNK: usize = 64 * 1024;
/// The longest control frame (fstrm's own bound).
const LONGEST: usize = 512;

/// The connection as it is written to.
#[derive(Debug)]
pub(super) struct TapSocket {
    path: PathBuf,
    stream: Option<UnixStream>,
    /// Octets that wait to be written, and how many frames they are.
    chunk: Vec<u8>,
    waiting: u64,
    /// When the reader is looked for next.
    look: Time,
    /// Frames written, and lost.
    pub(super) written: u64,
    pub(super) lost: u64,
    /// Why the last frames that were lost were.
    pub(super) failed: Option<io::Error>,
}

impl TapSocket {
    /// Nobody is spoken to before the first frame.
    pub(super) fn new(path: PathBuf) -> TapSocket {
        TapSocket {
            path,
            stream: None,
            chunk: Vec::new(),
            waiting: 0,
            look: Time::default(),
            written: 0,
            lost: 0,
            failed: None,
        }
    }

    /// Adds a frame; it is written with others, or at the next [`flush`](TapSocket::flush).
    pub(super) fn put(&mut self, octets: &[u8], now: Time) {
        if self.stream.is_none() && !self.open(now) {
            self.lost += 1;
            return;
        }
        frame(octets, &mut self.chunk);
        self.waiting += 1;
        if self.chunk.len() >= CHUNK {
            self.flush(now);
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, now: Time) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let waiting = std::mem::take(&mut self.waiting);
        match stream.write_all(&self.chunk) {
            Ok(()) => {
                self.written += waiting;
                self.failed = None;
            }
            Err(error) => {
                // Half a frame is on its way, perhaps: nothing that follows could be read.
                self.lost += waiting;
                self.give_up(error, now);
            }
        }
        self.chunk.clear();
    }

    /// Ends the stream as a reader expects it.
    pub(super) fn end(&mut self, now: Time) {
        self.flush(now);
        if let Some(mut stream) = self.stream.take() {
            // It has everything; whether it says so is its own affair.
            let ended = stream.write_all(&control(STOP));
            let _ = ended.and_then(|()| hear(&mut stream, FINISH));
        }
    }

    fn give_up(&mut self, error: io::Error, now: Time) {
        let slow = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        );
        self.failed = Some(match slow {
            true => io::Error::new(error.kind(), "the reader does not keep up"),
            false => error,
        });
        (self.stream, self.look) = (None, now + AGAIN);
    }

    fn open(&mut self, now: Time) -> bool {
        if now < self.look {
            return false;
        }
        match greet(&self.path) {
            Ok(stream) => {
                self.stream = Some(stream);
                true
            }
            Err(error) => {
                self.give_up(error, now);
                false
            }
        }
    }
}

/// A connection over which frames may be sent.
fn greet(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A reader that takes nobody in would hold up who connects.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = UnixStream::from(std::os::fd::OwnedFd::from(socket));
    stream.write_all(&control(READY))?;
    hear(&mut stream, ACCEPT)?;
    stream.write_all(&control(START))?;
    Ok(stream)
}

/// Waits for a control frame of this kind.
fn hear(stream: &mut UnixStream, wanted: u32) -> io::Result<()> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [escape, length] = [0, 4].map(|at| {
        let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        u32::from_be_bytes(word) as usize
    });
    if escape != 0 || !(4..=LONGEST).contains(&length) {
        return Err(odd("the reader speaks something else than Frame Streams"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let (what, fields) = body.split_at(4);
    if what != wanted.to_be_bytes() {
        return Err(odd("the reader does not answer as Frame Streams has it"));
    }
    // One that names no content takes any.
    let names_others = !fields.is_empty() && !fields.windows(CONTENT.len()).any(|it| it == CONTENT);
    match wanted == ACCEPT && names_others {
        true => Err(odd("the reader takes no dnstap")),
        false => Ok(()),
    }
}
