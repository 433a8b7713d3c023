//! The file: how it is divided, made, found again and written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};

use super::frame::{self, Kind};
use super::scan::{frame_at, scan};
use super::shape::Shape;

const MAGIC: &[u8; 8] = b"byway\0fr";
const VERSION: u32 = 1;
/// The first page, with the header twice in it.
const PAGE: u64 = 4096;
const SECOND_HEADER: u64 = 2048;
const HEADER: usize = 8 + 4 + 8 + 4;
/// The smallest file that can be divided.
const SIZE_MIN: u64 = 16 << 10;

/// Which ring a frame goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    Seconds = 0,
    Minutes = 1,
    Events = 2,
}

/// How a file of some size is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
}

impl Layout {
    /// For a file of so many octets; less than 16 KiB is taken for that.
    pub fn of(size: u64) -> Layout {
        Layout {
            size: size.max(SIZE_MIN) / 8 * 8,
        }
    }

    /// Octets of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The octets of a ring: 37 in 64 for the seconds, 23 for the minutes, 4 for the events.
    pub(super) fn ring(&self, ring: Ring) -> Range<u64> {
        let share = |of: u64| PAGE + (self.size - PAGE) / 512 * of * 8;
        match ring {
            Ring::Seconds => share(0)..share(37),
            Ring::Minutes => share(37)..share(60),
            Ring::Events => share(60)..share(64),
        }
    }

    /// The ring that the octet at `at` belongs to.
    fn ring_at(&self, at: u64) -> Ring {
        let holds = |ring: &Ring| self.ring(*ring).contains(&at);
        let found = [Ring::Minutes, Ring::Events].into_iter().find(holds);
        found.unwrap_or(Ring::Seconds)
    }

    /// The largest frame that is written to a ring: an eighth of it.
    pub(super) fn most(&self, ring: Ring) -> u64 {
        let ring = self.ring(ring);
        (ring.end - ring.start) / 8
    }
}

/// Why there is no file to write to.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says so.
    #[error("{}: {cause}", .path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What it says.
        cause: io::Error,
    },
    /// Somebody writes to it.
    #[error("{}: another byway records there", .0.display())]
    Taken(PathBuf),
    /// It is something else.
    #[error("{}: not a flight recorder's file; it is left as it is", .0.display())]
    Foreign(PathBuf),
    /// It is of another version.
    #[error("{}: written by another version of byway (format {version}), so it is left as it is; move it away", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
}

/// A file that nobody else writes to.
#[derive(Debug)]
pub(super) struct Recording {
    file: File,
    layout: Layout,
    /// Where the next frame goes, by ring.
    next: [u64; 3],
    /// The number of the next frame.
    number: u64,
    /// Octets written to each ring since it was last told the shape.
    since_shape: [u64; 3],
    /// The shape of the latest frames of each ring, if they are of another one than will be written.
    before: [Option<Shape>; 3],
}

impl Recording {
    /// Opens the file, or makes it. What it holds already is kept, as far as there is room in a file of this size.
    pub(super) fn open(path: &Path, layout: Layout) -> Result<Recording, FileError> {
        let system = |cause| FileError::System {
            path: path.to_owned(),
            cause,
        };
        let file = open(path).map_err(system)?;
        lock(&file, path)?;
        let size = file.metadata().map_err(system)?.len();
        if size == 0 {
            return Recording::make(file, layout).map_err(|cause| {
                // An empty file would be in the way, and half a file of no use.
                let _ = fs::remove_file(path);
                system(cause)
            });
        }
        match header(&file).map_err(system)? {
            Header::Good => {}
            Header::Version(version) => {
                let path = path.to_owned();
                return Err(FileError::Version { path, version });
            }
            // Damaged perhaps: where there are frames it is ours.
            Header::None => {
                let mut frames = 0u64;
                scan(&file, 0, size, |_, _| frames += 1).map_err(system)?;
                if frames == 0 {
                    return Err(FileError::Foreign(path.to_owned()));
                }
            }
        }
        if size != layout.size {
            return resized(&file, size, path, layout);
        }
        let mut recording = Recording::over(file, layout);
        recording.write_header().map_err(system)?;
        recording.find_ends().map_err(system)?;
        Ok(recording)
    }

    fn over(file: File, layout: Layout) -> Recording {
        let rings = [Ring::Seconds, Ring::Minutes, Ring::Events];
        Recording {
            file,
            layout,
            next: rings.map(|ring| layout.ring(ring).start),
            number: 1,
            since_shape: [u64::MAX; 3],
            before: Default::default(),
        }
    }

    /// A new one in an empty file. Its room is taken on the disk at once, so that a full disk later does not stop it.
    fn make(file: File, layout: Layout) -> io::Result<Recording> {
        if fallocate(&file, FallocateFlags::empty(), 0, layout.size).is_err() {
            // Not every file system can; zeros take room too, or say that there is none.
            let zeros = vec![0; 64 << 10];
            let mut at = 0;
            while at < layout.size {
                let len = zeros.len().min((layout.size - at) as usize);
                file.write_all_at(&zeros[..len], at)?;
                at += len as u64;
            }
        }
        let recording = Recording::over(file, layout);
        recording.write_header()?;
        Ok(recording)
    }

    fn write_header(&self) -> io::Result<()> {
        let mut octets = Vec::with_capacity(HEADER);
        octets.extend_from_slice(MAGIC);
        octets.extend_from_slice(&VERSION.to_le_bytes());
        octets.extend_from_slice(&self.layout.size.to_le_bytes());
        let sum = crc32fast::hash(&octets);
        octets.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&octets, 0)?;
        self.file.write_all_at(&octets, SECOND_HEADER)
    }

    /// Finds where each ring goes on, and under which number.
    fn find_ends(&mut self) -> io::Result<()> {
        for ring in [Ring::Seconds, Ring::Minutes, Ring::Events] {
            let Range { start, end } = self.layout.ring(ring);
            let (mut last, mut shape) = ((0, start), (0, None));
            scan(&self.file, start, end, |at, frame| {
                if frame.number >= last.0 {
                    let behind = at + frame::size(frame.contents.len()) as u64;
                    last = (frame.number, behind);
                }
                if frame.kind == Kind::Shape && frame.number >= shape.0 {
                    shape = (frame.number, Shape::read(frame.contents));
                }
            })?;
            self.next[ring as usize] = last.1;
            self.number = self.number.max(last.0 + 1);
            self.before[ring as usize] = shape.1;
        }
        Ok(())
    }

    /// Writes a frame to its ring, over the oldest ones. The shape that it needs goes before it if it has not been
    /// told lately. False if it is too large to be kept at all.
    pub(super) fn write(
        &mut self,
        kind: Kind,
        contents: &[u8],
        shape: Option<&Shape>,
    ) -> io::Result<bool> {
        let ring = ring_of(kind);
        let most = self.layout.most(ring);
        if frame::size(contents.len()) as u64 > most {
            return Ok(false);
        }
        // An eighth of the ring at most is written without it, so it is there however the ring turns.
        if let Some(shape) = shape
            && self.since_shape[ring as usize] > most / 2
        {
            // Frames of the shape before are left without it when the ring turns, unless it stands behind them too.
            if let Some(before) = self.before[ring as usize].take()
                && before.hash() != shape.hash()
            {
                self.put_shape(ring, &before)?;
            }
            if !self.put_shape(ring, shape)? {
                return Ok(false);
            }
            self.since_shape[ring as usize] = 0;
        }
        self.put(ring, kind, contents)?;
        Ok(true)
    }

    /// From now on frames have another shape than `before`.
    pub(super) fn reshape(&mut self, before: &Shape) {
        for ring in [Ring::Seconds, Ring::Minutes] {
            if self.since_shape[ring as usize] != u64::MAX {
                self.before[ring as usize] = Some(before.clone());
            }
            self.since_shape[ring as usize] = u64::MAX;
        }
    }

    fn put_shape(&mut self, ring: Ring, shape: &Shape) -> io::Result<bool> {
        let contents = shape.write();
        let fits = frame::size(contents.len()) as u64 <= self.layout.most(ring);
        if fits {
            self.put(ring, Kind::Shape, &contents)?;
        }
        Ok(fits)
    }

    fn put(&mut self, ring: Ring, kind: Kind, contents: &[u8]) -> io::Result<()> {
        let octets = frame::write(kind, self.number, contents);
        let Range { start, end } = self.layout.ring(ring);
        let len = octets.len() as u64;
        let mut at = self.next[ring as usize];
        if at + len > end {
            at = start;
        }
        self.file.write_all_at(&octets, at)?;
        self.next[ring as usize] = at + len;
        self.number += 1;
        let since = &mut self.since_shape[ring as usize];
        *since = since.saturating_add(len);
        Ok(())
    }

    /// Whether the file still stands at `path`: what is written to one that was removed nobody finds.
    pub(super) fn stands_at(&self, path: &Path) -> bool {
        let same = |here: fs::Metadata, there: fs::Metadata| {
            (here.dev(), here.ino()) == (there.dev(), there.ino())
        };
        let (here, there) = (self.file.metadata(), fs::metadata(path));
        here.ok()
            .zip(there.ok())
            .is_some_and(|(here, there)| same(here, there))
    }

    /// Puts down shapes that frames from elsewhere need.
    pub(super) fn tell_shapes(&mut self, shapes: &[Shape]) -> io::Result<()> {
        for shape in shapes {
            self.put_shape(Ring::Seconds, shape)?;
            self.put_shape(Ring::Minutes, shape)?;
        }
        Ok(())
    }

    /// Waits until the disk has all of it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
impl Recording {
    /// As a disk that was mounted read-only meanwhile.
    pub(super) fn break_disk(&mut self, path: &Path) {
        self.file = File::open(path).expect("it is there");
    }
}

pub(super) fn ring_of(kind: Kind) -> Ring {
    match kind {
        Kind::Second | Kind::SecondKey | Kind::Shape => Ring::Seconds,
        Kind::Minute | Kind::MinuteKey => Ring::Minutes,
        Kind::Event => Ring::Events,
    }
}

/// Who asked for what is the operator's concern alone.
fn open(path: &Path) -> io::Result<File> {
    crate::config::file::replaceable(path)?;
    let without_waiting = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW).bits() as i32;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .custom_flags(without_waiting)
        .open(path)
}

fn lock(file: &File, path: &Path) -> Result<(), FileError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => FileError::Taken(path.to_owned()),
        error => FileError::System {
            path: path.to_owned(),
            cause: error.into(),
        },
    })
}

/// What stands at the front of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Good,
    Version(u32),
    None,
}

/// Reads the header, or the other one if one is damaged.
pub(super) fn header(file: &File) -> io::Result<Header> {
    for at in [0, SECOND_HEADER] {
        let mut octets = [0; HEADER];
        match file.read_exact_at(&mut octets, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Header::None),
            other => other?,
        }
        let (told, sum) = octets.split_at(HEADER - 4);
        if &told[..8] != MAGIC || crc32fast::hash(told).to_le_bytes() != *sum {
            continue;
        }
        let version = u32::from_le_bytes([told[8], told[9], told[10], told[11]]);
        return Ok(match version {
            VERSION => Header::Good,
            other => Header::Version(other),
        });
    }
    Ok(Header::None)
}

/// A file of another size in place of this one, with what was in it, the latest if not all of it fits.
fn resized(old: &File, size: u64, path: &Path, layout: Layout) -> Result<Recording, FileError> {
    let beside = path.with_extension("new");
    let make = || {
        let _ = fs::remove_file(&beside);
        let file = open(&beside)?;
        lock(&file, &beside).map_err(io::Error::other)?;
        let mut new = Recording::make(file, layout)?;
        let mut frames = Vec::new();
        scan(old, 0, size, |at, frame| frames.push((frame.number, at)))?;
        frames.sort_unstable();
        let places = Layout { size };
        for (number, at) in frames {
            let Some((kind, contents)) = frame_at(old, at)? else {
                continue;
            };
            let ring = match kind {
                Kind::Shape => places.ring_at(at),
                kind => ring_of(kind),
            };
            new.number = number;
            if frame::size(contents.len()) as u64 <= layout.most(ring) {
                new.put(ring, kind, &contents)?;
            }
        }
        fs::rename(&beside, path)?;
        Ok(new)
    };
    make().map_err(|cause| {
        let _ = fs::remove_file(&beside);
        FileError::System {
            path: path.to_owned(),
            cause,
        }
    })
}
