//! The flight recorder: what byway counts and tells, each second, in a file of fixed size.
//!
//! For the day when nothing else on the host is left to say what happened. The file is a [`Layout`] of three
//! rings: *seconds* (a frame each second), *minutes* (a frame each minute, kept much longer) and *events*. It holds
//! nothing but frames, one after another, each of them checked by itself:
//!
//! ```text
//! header   twice in the first page: magic, version, size, checksum
//! frame    magic | CRC-32 | length | kind and number | contents | up to 7 zeros, so that frames begin at octet 8 n
//! contents both clocks, the run of the daemon, and then by kind:
//!            second, minute   what counters grew by since the frame before, and what gauges read
//!            key              what counters read, now and then, so that a lost frame is made good
//!            shape            which series those numbers belong to; named by its checksum, written often
//!            event            what was told, as JSON, with its evidence
//! ```
//!
//! A frame stands for itself: whoever reads looks for the magic at every eighth octet and believes a frame whose
//! checksum holds. A torn write or a flipped bit costs the frame that it hit and no other. Frames have numbers that
//! go on across restarts, so nobody needs to know where a ring begins. A reader takes no lock and may come at any
//! time: what it finds half written it passes over.
//!
//! [`Recorder`] writes, one for a file (a lock sees to that), once a second, without ever waiting for the disk to have
//! it: a crash of byway loses a second, one of the host what its kernel had not written back (half a minute as
//! Linux is set up). While the file cannot be had, the last hour is kept in memory.

mod codec;
mod encoder;
mod file;
mod frame;
pub mod history;
pub mod incident;
mod memory;
mod reader;
mod recorder;
mod scan;
mod shape;
#[cfg(test)]
mod tests;
pub mod when;

pub use encoder::Encoder;
pub use file::{FileError, Layout};
pub use frame::{Kind, Stamp};
pub use reader::{Found, Log, Numbers, Told};
pub use recorder::{Recorder, Standing, Watcher};
pub use scan::ReadAt;
pub use shape::{Column, Form, Shape};
