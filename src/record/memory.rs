//! The last hour, for when there is no file.

use std::collections::VecDeque;

use super::frame::{self, Kind};
use super::shape::Shape;

/// How long a frame is kept, in milliseconds.
const AGE_MOST: u64 = 3_600_000;
/// The most that all take. An hour of a host with eight routes takes a quarter of it.
const OCTETS_MOST: usize = 8 << 20;
/// Frames of more shapes are not made in an hour, for each has more series than the one before.
const SHAPES_MOST: usize = 64;

/// Frames in memory, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    frames: VecDeque<(u64, Kind, Box<[u8]>)>,
    octets: usize,
    shapes: Vec<Shape>,
}

impl Memory {
    /// Keeps a frame that was made at `life`; the oldest make room.
    pub(super) fn keep(&mut self, life: u64, kind: Kind, contents: &[u8]) {
        self.octets += contents.len();
        self.frames.push_back((life, kind, contents.into()));
        while self.octets > OCTETS_MOST
            || self
                .frames
                .front()
                .is_some_and(|(at, ..)| at + AGE_MOST < life)
        {
            let Some((_, _, contents)) = self.frames.pop_front() else {
                break;
            };
            self.octets -= contents.len();
        }
    }

    /// The frames from now on are of this shape.
    pub(super) fn learn(&mut self, shape: &Shape) {
        if self.shapes.len() == SHAPES_MOST {
            self.shapes.remove(0);
        }
        self.shapes.push(shape.clone());
    }

    /// The shapes of all frames.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The contents of all frames.
    pub(super) fn frames(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        self.frames
            .iter()
            .map(|(_, kind, contents)| (*kind, &**contents))
    }

    /// All of it as it would stand in a file. Empty if nothing is kept.
    pub(super) fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.octets + self.octets / 8);
        if self.frames.is_empty() {
            return octets;
        }
        let mut number = 1;
        let mut add = |kind, contents: &[u8]| {
            octets.extend(frame::write(kind, number, contents));
            number += 1;
        };
        for shape in &self.shapes {
            add(Kind::Shape, &shape.write());
        }
        for (kind, contents) in self.frames() {
            add(kind, contents);
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more_than_there_is_room_for() {
        let mut memory = Memory::default();
        for second in 0..5_000 {
            memory.keep(second * 1_000, Kind::Second, &[0; 100]);
        }
        assert_eq!(memory.frames.len(), 3_601);
        memory.keep(5_000_000, Kind::Second, &vec![0; OCTETS_MOST - 50]);
        assert_eq!(memory.frames.len(), 1);
        assert!(memory.octets <= OCTETS_MOST);
        memory.keep(5_000_000, Kind::Event, &vec![0; OCTETS_MOST + 1]);
        assert!(memory.octets().is_empty());
    }
}
