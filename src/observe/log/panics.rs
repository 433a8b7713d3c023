//! Panics in the log: where and why, through the log's own thread. The standard library's hook would
//! write to stderr itself, and wait for whoever reads it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::error;

/// Panics told of one by one; beyond these each time that their number has doubled.
const EACH: u64 = 20;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics since the start. Each is a defect of byway, and cost a question or more.
pub fn panics() -> u64 {
    PANICS.load(Relaxed)
}

/// Counts and tells of every panic from now on.
pub(super) fn tell() {
    panic::set_hook(Box::new(|panic| {
        let number = PANICS.fetch_add(1, Relaxed) + 1;
        if number <= EACH || number.is_power_of_two() {
            error!("{}", line(panic, number));
        }
    }));
}

fn line(panic: &PanicHookInfo<'_>, number: u64) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("a thread");
    let message = panic.payload();
    let message = match (
        message.downcast_ref::<&str>(),
        message.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no message",
    };
    let mut line = format!("a defect of byway, please report it: {thread} panicked");
    if let Some(place) = panic.location() {
        line += &format!(" at {place}");
    }
    line += &format!(": {message}");
    if number > EACH {
        line += &format!(" (panic number {number})");
    }
    // Where RUST_BACKTRACE asks for it.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        line += &format!("\n{trace}");
    }
    line
}
