//! Settings that a reload changes while others read them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A duration that may change at any time. Nothing else is published by it.
#[derive(Debug)]
pub struct Span(AtomicU64);

impl Span {
    /// Saturates at 584 years.
    pub fn new(duration: Duration) -> Span {
        Span(AtomicU64::new(nanos(duration)))
    }

    /// What it is now.
    #[inline]
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    /// Changes it.
    pub fn set(&self, duration: Duration) {
        self.0.store(nanos(duration), Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
