//! What the exam is made with: the daemon as a child process, upstreams made of closures, clients.

pub mod daemon;
pub mod message;
pub mod namespace;
pub mod reading;
pub mod stub;
#[cfg(feature = "tls")]
pub mod tls;
pub mod upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use daemon::{Daemon, Setup, byway, config_file};
pub use message::*;
pub use reading::{Message, Record};
pub use stub::{Connection, Stub};
pub use upstream::{Act, Asked, Gate, Hears, Upstream, Way, address_of, framed};

/// How long a test waits for what must happen: a guard against hanging, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test waits for what must not happen, when nothing that comes after it could tell.
pub const MOMENT: Duration = Duration::from_millis(100);

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says on the test's output why it is left out.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Locks what a panicking thread may have held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
