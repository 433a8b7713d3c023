//! Reading: what is there, in order, whatever is missing.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::codec::{take, take_u32, take_values};
use super::encoder::{UNKNOWN, gauge_value};
use super::file::{FileError, Header, header};
use super::frame::{Frame, Kind, Stamp};
use super::scan::{ReadAt, frame_at, scan};
use super::shape::{Form, Shape};

/// A frame of numbers that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its number: frames of one file are in the order of their numbers.
    pub number: u64,
    /// What it holds.
    pub kind: Kind,
    /// When it was made.
    pub stamp: Stamp,
    /// The same in milliseconds since the Unix epoch by the clock as it was last known in that life of the host: a
    /// clock that was set does not tear one time apart.
    pub time: u64,
    /// How long before the frame before it was made, in milliseconds; zero for the first of a run.
    pub span: u64,
    /// Which shape it has.
    pub shape: u32,
    source: usize,
    at: u64,
}

/// Something that was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its frame's number.
    pub number: u64,
    /// When.
    pub stamp: Stamp,
    /// As [`Found::time`].
    pub time: u64,
    /// What, as it was written.
    pub event: Value,
}

/// The numbers of a frame.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Which series they belong to.
    pub shape: Arc<Shape>,
    values: Vec<u64>,
}

impl Numbers {
    /// What a counter's slot grew by, or in a key frame, what it read; `None` if that was not known.
    pub fn counter(&self, slot: usize, key: bool) -> Option<u64> {
        match (*self.values.get(slot)?, key) {
            (0, _) => Some(0),
            (value, false) => Some(value),
            (UNKNOWN, true) => None,
            (value, true) => Some(value - 1),
        }
    }

    /// What a gauge read; `None` if that was not known.
    pub fn gauge(&self, slot: usize) -> Option<f64> {
        gauge_value(*self.values.get(slot)?)
    }
}

/// Everything that is recorded, in one file or several.
#[derive(Default)]
pub struct Log {
    sources: Vec<Box<dyn ReadAt>>,
    shapes: HashMap<u32, Arc<Shape>>,
    frames: Vec<Found>,
    told: Vec<Told>,
}

impl Log {
    /// Reads what a file holds. It may be written meanwhile.
    ///
    /// # Errors
    /// [`FileError`]: it cannot be read, or is no recorder's file.
    pub fn open(path: &Path) -> Result<Log, FileError> {
        let system = |cause| FileError::System {
            path: path.to_owned(),
            cause,
        };
        let file = crate::config::file::open(path).map_err(system)?;
        let size = file.metadata().map_err(system)?.len();
        if let Header::Version(version) = header(&file).map_err(system)? {
            let path = path.to_owned();
            return Err(FileError::Version { path, version });
        }
        let good = header(&file).map_err(system)? == Header::Good;
        let mut log = Log::default();
        log.add(Box::<File>::new(file), size).map_err(system)?;
        if log.frames.is_empty() && log.told.is_empty() && !good {
            return Err(FileError::Foreign(path.to_owned()));
        }
        Ok(log)
    }

    /// Reads what else was kept, later than all that was read before.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&mut self, source: Box<dyn ReadAt>, size: u64) -> io::Result<()> {
        let index = self.sources.len();
        let frames = self.frames.iter().map(|it| it.number);
        let told = self.told.iter().map(|it| it.number);
        let behind = frames.chain(told).max().unwrap_or(0);
        scan(&*source, 0, size, |at, frame| {
            // What cannot be read although its checksum holds was not written by this byway.
            let _ = self.take(index, at, behind, &frame);
        })?;
        self.sources.push(source);
        self.order();
        Ok(())
    }

    fn take(&mut self, source: usize, at: u64, behind: u64, frame: &Frame<'_>) -> Option<()> {
        let number = behind + frame.number;
        let mut rest = frame.contents;
        match frame.kind {
            Kind::Shape => {
                let shape = Shape::read(rest)?;
                self.shapes.insert(shape.hash(), Arc::new(shape));
            }
            Kind::Event => {
                let stamp = Stamp::take(&mut rest)?;
                let event = serde_json::from_slice(rest).ok()?;
                self.told.push(Told {
                    number,
                    stamp,
                    time: stamp.wall,
                    event,
                });
            }
            kind => {
                let stamp = Stamp::take(&mut rest)?;
                let span = take(&mut rest)?;
                let shape = take_u32(&mut rest)?;
                self.frames.push(Found {
                    number,
                    kind,
                    stamp,
                    time: stamp.wall,
                    span,
                    shape,
                    source,
                    at,
                });
            }
        }
        Some(())
    }

    /// Puts everything in order and on one clock for each life of the host.
    fn order(&mut self) {
        self.frames.sort_by_key(|it| it.number);
        self.told.sort_by_key(|it| it.number);
        let stamps = self.frames.iter().map(|it| (it.number, it.stamp));
        let told = self.told.iter().map(|it| (it.number, it.stamp));
        let mut latest: HashMap<u32, (u64, i128)> = HashMap::new();
        for (number, stamp) in stamps.chain(told) {
            let ahead = i128::from(stamp.wall) - i128::from(stamp.life);
            let known = latest.entry(stamp.boot).or_insert((number, ahead));
            if number >= known.0 {
                *known = (number, ahead);
            }
        }
        let time = |stamp: &Stamp| {
            let ahead = latest.get(&stamp.boot).map_or(0, |(_, ahead)| *ahead);
            u64::try_from(i128::from(stamp.life) + ahead).unwrap_or(stamp.wall)
        };
        self.frames
            .iter_mut()
            .for_each(|it| it.time = time(&it.stamp));
        self.told
            .iter_mut()
            .for_each(|it| it.time = time(&it.stamp));
    }

    /// The frames of numbers, in the order in which they were made.
    pub fn frames(&self) -> &[Found] {
        &self.frames
    }

    /// What was told, in that order.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// A shape by its name.
    pub fn shape(&self, hash: u32) -> Option<&Arc<Shape>> {
        self.shapes.get(&hash)
    }

    /// Whether it is known which series the numbers of a frame belong to.
    pub fn has_shape(&self, found: &Found) -> bool {
        self.shapes.contains_key(&found.shape)
    }

    /// When the first and the last frame or event were made; `None` if there is none.
    pub fn reach(&self) -> Option<(u64, u64)> {
        let frames = self.frames.iter().map(|it| it.time);
        let times = || frames.clone().chain(self.told.iter().map(|it| it.time));
        times().min().zip(times().max())
    }

    /// The numbers of a frame; `None` if it has been written over meanwhile, or its shape is not there.
    pub fn numbers(&self, found: &Found) -> Option<Numbers> {
        let shape = self.shapes.get(&found.shape)?;
        let (kind, contents) = frame_at(&*self.sources[found.source], found.at).ok()??;
        let mut rest = &contents[..];
        let stamp = Stamp::take(&mut rest)?;
        let (_, hash) = (take(&mut rest)?, take_u32(&mut rest)?);
        if (kind, stamp, hash) != (found.kind, found.stamp, found.shape) {
            return None;
        }
        Some(Numbers {
            values: take_values(rest, shape.slots())?,
            shape: Arc::clone(shape),
        })
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("frames", &self.frames.len())
            .field("told", &self.told.len())
            .finish_non_exhaustive()
    }
}

impl Form {
    /// Whether its numbers are counted up.
    pub fn is_counted(&self) -> bool {
        !matches!(self, Form::Gauge | Form::Constant(_))
    }
}
