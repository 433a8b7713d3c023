//! The log's own thread.
//!
//! Whoever logs hands a line over and goes on: it never waits for whoever reads the log, and never hears
//! of a failure. A line that finds no room, or cannot be written, is counted ([`Log::lost`]), and how
//! many are missing is said where they are missing, once the log can be written again.
//!
//! Why no crate: tracing-appender (0.2) has such a thread, but its guard writes to stderr itself when the
//! thread does not end in time (which blocks, or panics, exactly then), and lines whose writing failed are
//! neither counted nor told of.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

/// Lines that may wait to be written.
const LINES: usize = 1024;

/// The longest line, in bytes; the rest of a longer one is left out.
const LINE_MAX: usize = 16 * 1024;

/// How often writing is tried while lines are missing and nobody logs.
const AGAIN: Duration = Duration::from_secs(1);

/// The steps in which [`Log::flush`] looks for room.
const STEP: Duration = Duration::from_millis(10);

/// What is handed to the thread.
enum Letter {
    Text(Vec<u8>),
    /// Everything before it has been dealt with.
    Flush(SyncSender<()>),
}

/// A hand on the log. None of its methods fails; none but [`Log::flush`] waits.
#[derive(Clone, Debug)]
pub struct Log {
    letters: SyncSender<Letter>,
    lost: Arc<AtomicU64>,
}

/// Makes a line of a text, in the style of the others.
pub(super) type Style = fn(&str) -> Vec<u8>;

impl Log {
    /// A log that is written to `sink` by a thread of its own.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn to(sink: impl Write + Send + 'static, style: Style) -> io::Result<Log> {
        let (letters, inbox) = mpsc::sync_channel(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let mut scribe = Scribe {
            inbox,
            sink,
            style,
            lost: Arc::clone(&lost),
            told: 0,
            torn: false,
            cause: None,
        };
        std::thread::Builder::new()
            .name("byway-log".into())
            .stack_size(256 * 1024)
            .spawn(move || while catch_unwind(AssertUnwindSafe(|| scribe.run())).is_err() {})?;
        Ok(Log { letters, lost })
    }

    /// Hands over a text that ends with a line's end, or an entry; counts it as lost if there is no room.
    pub(super) fn write(&self, text: Vec<u8>) {
        if self.letters.try_send(Letter::Text(text)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until everything handed over before has been written, for `patience` at most, and says
    /// whether it has been.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, is_done) = mpsc::sync_channel(1);
        let mut letter = Letter::Flush(done);
        let mut left = patience;
        loop {
            letter = match self.letters.try_send(letter) {
                Ok(()) => return is_done.recv_timeout(left).is_ok(),
                Err(mpsc::TrySendError::Disconnected(_)) => return false,
                Err(mpsc::TrySendError::Full(letter)) => letter,
            };
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(STEP.min(left));
            left = left.saturating_sub(STEP);
        }
    }
}

/// One event's way into the log: `tracing` writes a whole line at once.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut text = line[..line.len().min(LINE_MAX)].to_vec();
        if text.len() < line.len() {
            text.extend_from_slice(b"...\n");
        }
        Log::write(self, text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the thread has.
struct Scribe<W> {
    inbox: Receiver<Letter>,
    sink: W,
    style: Style,
    lost: Arc<AtomicU64>,
    /// Of the lost lines, those that were told of.
    told: u64,
    /// The last line was written in part.
    torn: bool,
    /// Why the last line could not be written.
    cause: Option<io::Error>,
}

impl<W: Write> Scribe<W> {
    /// Writes until nobody can log any more.
    fn run(&mut self) {
        while let Some(letter) = self.next() {
            match letter {
                Letter::Text(text) => {
                    if let Err(error) = self.write(&text) {
                        self.lost.fetch_add(1, Relaxed);
                        self.cause = Some(error);
                    }
                }
                Letter::Flush(done) => {
                    self.confess();
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn next(&mut self) -> Option<Letter> {
        match self.inbox.try_recv() {
            Ok(letter) => return Some(letter),
            Err(TryRecvError::Disconnected) => return None,
            // What was lost was lost after what waited.
            Err(TryRecvError::Empty) => {}
        }
        loop {
            if self.confess() {
                return self.inbox.recv().ok();
            }
            match self.inbox.recv_timeout(AGAIN) {
                Ok(letter) => return Some(letter),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Says how many lines are missing, if any are. False if that cannot be written either.
    fn confess(&mut self) -> bool {
        let lost = self.lost.load(Relaxed);
        let missing = lost - self.told;
        if missing == 0 {
            return true;
        }
        let cause = match &self.cause {
            Some(error) => format!("the log could not be written ({error})"),
            None => "the log was not read as fast as it was written".to_owned(),
        };
        let plural = if missing == 1 { " is" } else { "s are" };
        let line = (self.style)(&format!("{missing} line{plural} missing here: {cause}"));
        let written = self.write(&line).is_ok();
        if written {
            self.told = lost;
            self.cause = None;
        }
        written
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.torn {
            self.whole(b"\n")?;
            self.torn = false;
        }
        self.whole(text)
    }

    /// As `write_all`, but knows of a line that is torn.
    fn whole(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.sink.write(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    text = &text[written..];
                    self.torn = !text.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Standard error, past the lock that the standard library keeps on it: who is held up in a write must
/// hold up nobody else. Where whoever started byway made it non-blocking, a write waits all the same.
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        let stderr = io::stderr();
        loop {
            match rustix::io::write(&stderr, text) {
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None);
                }
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
