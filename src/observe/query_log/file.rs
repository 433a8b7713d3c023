//! The file: Frame Streams (farsight/fstrm), of bounded size. When it is half as large as both may be together it is
//! renamed to its name and `.1`, over the one before it, and a new one is begun. So is what there is at the start: a
//! stream that has ended cannot be gone on with.

use std::fs::{self, File, OpenOptions, rename};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Time;

/// What the frames hold, in words of dnstap's own.
pub(super) const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// A control frame: an escape of four zeros, its length, what it is.
pub(super) const ACCEPT: u32 = 1;
pub(super) const START: u32 = 2;
pub(super) const STOP: u32 = 3;
pub(super) const READY: u32 = 4;
pub(super) const FINISH: u32 = 5;
/// The octets of one that says no more.
const BARE: u64 = 12;
/// The only field of a control frame: the content's type.
const CONTENT_TYPE: u32 = 1;
/// Owner and group: it holds what clients ask.
const MODE: u32 = 0o640;
/// So much is written at once.
const CHUNK: usize = 256 * 1024;
/// How long a file that cannot be had is left alone, and how often it is looked whether it is still at its place.
const AGAIN: Duration = Duration::from_secs(10);

/// The file as it is written.
#[derive(Debug)]
pub(super) struct TapFile {
    path: PathBuf,
    /// The most that one file may have.
    most: u64,
    file: Option<File>,
    /// Octets that are in it for certain.
    good: u64,
    /// Those that wait to be written, and how many frames they are.
    chunk: Vec<u8>,
    waiting: u64,
    /// When it is looked for next.
    look: Time,
    /// Frames written, and lost.
    pub(super) written: u64,
    pub(super) lost: u64,
    /// Why the last frames that were lost were.
    pub(super) failed: Option<io::Error>,
}

impl TapFile {
    /// Nothing is opened before the first frame. This and the one before it have `size` octets together at most.
    pub(super) fn new(path: PathBuf, size: u64) -> TapFile {
        TapFile {
            path,
            most: size / 2,
            file: None,
            good: 0,
            chunk: Vec::with_capacity(CHUNK),
            waiting: 0,
            look: Time::default(),
            written: 0,
            lost: 0,
            failed: None,
        }
    }

    /// Adds a frame; it is written with others, or at the next [`flush`](TapFile::flush).
    pub(super) fn put(&mut self, frame: &[u8], now: Time) {
        let length = self.good + (self.chunk.len() + 4 + frame.len()) as u64;
        if self.file.is_some() && length + BARE > self.most {
            self.end();
        }
        if self.file.is_none() && !self.open(now) {
            self.lost += 1;
            return;
        }
        self::frame(frame, &mut self.chunk);
        self.waiting += 1;
        if self.chunk.len() >= CHUNK {
            self.flush();
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        let waiting = std::mem::take(&mut self.waiting);
        match file.write_all(&self.chunk) {
            Ok(()) => {
                self.good += self.chunk.len() as u64;
                self.written += waiting;
                self.chunk.clear();
                self.failed = None;
            }
            Err(error) => {
                self.failed = Some(error);
                self.lost += waiting;
                self.chunk.clear();
                // Half a frame would make all behind it unreadable.
                let cut = file.set_len(self.good);
                let cut = cut.and_then(|()| file.seek(SeekFrom::Start(self.good)));
                if cut.is_err() {
                    self.file = None;
                } else if self.good == 0 {
                    self.chunk = control(START);
                }
            }
        }
    }

    /// Whether the file has been taken away, as who turns logs over does: then another one is begun.
    pub(super) fn look(&mut self, now: Time) {
        if now < self.look {
            return;
        }
        if let Some(file) = &self.file {
            self.look = now + AGAIN;
            if !stands_at(file, &self.path) {
                self.end();
            }
        }
    }

    /// Ends the file as a reader expects it.
    pub(super) fn end(&mut self) {
        if self.file.is_some() {
            self.chunk.extend_from_slice(&control(STOP));
            self.flush();
            self.file = None;
        }
    }

    /// Writes to another file from now on.
    #[cfg(test)]
    pub(super) fn swap(&mut self, other: File) -> Option<File> {
        self.file.replace(other)
    }

    fn open(&mut self, now: Time) -> bool {
        if self.failed.is_some() && now < self.look {
            return false;
        }
        self.look = now + AGAIN;
        match begin(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.good = 0;
                self.chunk = control(START);
                true
            }
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}

/// A new file at that place; the one that is there is kept beside it.
fn begin(path: &Path) -> io::Result<File> {
    let mut before = path.to_owned().into_os_string();
    before.push(".1");
    match rename(path, before) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE).open(path)
}

fn stands_at(file: &File, path: &Path) -> bool {
    let own = file.metadata();
    let there = fs::symlink_metadata(path);
    match (own, there) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Adds a frame of data to `out`.
pub(super) fn frame(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// A control frame; the first ones say what the frames hold.
pub(super) fn control(what: u32) -> Vec<u8> {
    let mut body = what.to_be_bytes().to_vec();
    if matches!(what, START | READY) {
        body.extend_from_slice(&CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(CONTENT.len() as u32).to_be_bytes());
        body.extend_from_slice(CONTENT);
    }
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.append(&mut body);
    frame
}
