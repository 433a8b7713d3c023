//! Finding frames, wherever they are and whatever lies between them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::{self, ALIGN, CONTENTS_MOST, Frame, HEADER, Kind};

/// Octets that can be read at any place: a file, or what a daemon keeps in memory.
pub trait ReadAt {
    /// Reads at most as many octets as `into` has, from `at` on. Zero: there are no more.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let from = usize::try_from(at).map_or(self.len(), |at| at.min(self.len()));
        let len = into.len().min(self.len() - from);
        into[..len].copy_from_slice(&self[from..from + len]);
        Ok(len)
    }
}

/// How much is read at once.
const WINDOW: usize = 256 << 10;

/// Shows every frame between `from` and `to` to `found`, with its place. `from` is a multiple of 8.
///
/// # Errors
/// What the system says of reading.
pub(super) fn scan(
    source: &(impl ReadAt + ?Sized),
    from: u64,
    to: u64,
    mut found: impl FnMut(u64, Frame<'_>),
) -> io::Result<()> {
    let mut window = Window {
        source,
        at: from,
        octets: Vec::new(),
        to,
    };
    let mut at = from;
    loop {
        let octets = window.from(at, HEADER)?;
        if octets.len() < HEADER {
            return Ok(());
        }
        // Through what is no frame in one go, as far as the window reaches.
        let places = (0..=octets.len() - HEADER).step_by(ALIGN);
        let Some(skip) = places
            .clone()
            .find(|&skip| frame::claimed(&octets[skip..]).is_some())
        else {
            at += places.last().unwrap_or_default() as u64 + ALIGN as u64;
            continue;
        };
        at += skip as u64;
        let claimed = frame::claimed(&octets[skip..]).unwrap_or(ALIGN);
        let octets = window.from(at, claimed)?;
        match frame::read(octets) {
            Some(frame) => {
                found(at, frame);
                at += claimed as u64;
            }
            None => at += ALIGN as u64,
        }
    }
}

/// The frame at `at`, its kind and contents, if it is still there.
pub(super) fn frame_at(
    source: &(impl ReadAt + ?Sized),
    at: u64,
) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut window = Window {
        source,
        at,
        octets: Vec::new(),
        to: u64::MAX,
    };
    // Most frames are smaller than that.
    let head = window.at_most(at, 2048)?;
    let Some(claimed) = frame::claimed(head) else {
        return Ok(None);
    };
    let octets = window.at_most(at, claimed)?;
    Ok(frame::read(octets).map(|frame| (frame.kind, frame.contents.to_vec())))
}

/// A piece of the source.
struct Window<'a, R: ?Sized> {
    source: &'a R,
    at: u64,
    octets: Vec<u8>,
    to: u64,
}

impl<R: ReadAt + ?Sized> Window<'_, R> {
    /// What is held from `at` on: at least `len` octets, unless the end is nearer.
    fn from(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        self.have(at, len, WINDOW)
    }

    /// As `from`, and no more is read than that.
    fn at_most(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        self.have(at, len, len)
    }

    fn have(&mut self, at: u64, len: usize, wanted: usize) -> io::Result<&[u8]> {
        let len = len.min(frame::size(CONTENTS_MOST));
        let held = usize::try_from(at.wrapping_sub(self.at)).unwrap_or(usize::MAX);
        if held.saturating_add(len) > self.octets.len() {
            let room = usize::try_from(self.to.saturating_sub(at)).unwrap_or(usize::MAX);
            let mut octets = vec![0; wanted.max(len).min(room)];
            let mut filled = 0;
            while filled < octets.len() {
                match self
                    .source
                    .read_at(&mut octets[filled..], at + filled as u64)
                {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            octets.truncate(filled);
            (self.octets, self.at) = (octets, at);
            return Ok(&self.octets);
        }
        Ok(&self.octets[held..])
    }
}
