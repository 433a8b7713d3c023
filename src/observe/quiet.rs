//! Log lines that a storm could write.
//!
//! A line for every spoofed datagram or refused connection would turn the log into part of the
//! outage. Each such topic gets a [`Quiet`]: a few lines at once, then one every so often, and the
//! number of those left out. It is a token bucket kept as a single time (the generic cell rate
//! algorithm), so a topic shared by all workers needs no lock.
//!
//! ```
//! use std::time::Duration;
//! use byway::{clock::Time, observe::quiet::Quiet};
//!
//! static ACCEPT: Quiet = Quiet::new("failed accepts", 5, Duration::from_secs(10));
//!
//! fn complain(error: &std::io::Error, now: Time) {
//!     if let Some(more) = ACCEPT.line(now) {
//!         tracing::warn!("cannot accept a connection: {error}{more}");
//!     }
//! }
//! # complain(&std::io::Error::other("test"), Time::START);
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Time;

/// Every topic that has left out a line since the start.
static HUSHED: Mutex<Vec<&'static Quiet>> = Mutex::new(Vec::new());

/// One topic of the log, limited to a burst of lines and then one every so often.
#[derive(Debug)]
pub struct Quiet {
    topic: &'static str,
    /// Nanoseconds that one line costs, and that the whole burst is worth.
    every: u64,
    burst: u64,
    /// Nanoseconds up to which lines have been paid for: `now` or earlier when the burst is whole.
    paid: AtomicU64,
    left_out: AtomicU64,
    /// Whether [`HUSHED`] holds this topic.
    known: AtomicBool,
}

impl Quiet {
    /// A topic that may write `burst` lines at once (at least 1) and one more after every `every`.
    /// `topic` is the plural noun that [`summaries`] names it by.
    pub const fn new(topic: &'static str, burst: u32, every: Duration) -> Quiet {
        assert!(burst > 0, "a topic that may never write");
        let every = every.as_nanos() as u64;
        Quiet {
            topic,
            every,
            burst: every.saturating_mul(burst as u64),
            paid: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            known: AtomicBool::new(false),
        }
    }

    /// Whether a line may be written now. If so, what to append to it: nothing, or how many lines
    /// have been left out since the last one. If not, the line is counted as left out.
    pub fn line(&'static self, now: Time) -> Option<More> {
        if self.pay(now) {
            return Some(More(self.left_out.swap(0, Relaxed)));
        }
        self.left_out.fetch_add(1, Relaxed);
        if !self.known.swap(true, Relaxed) {
            HUSHED
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self);
        }
        None
    }

    /// How many lines were left out, if any were and a line about it may be written now.
    fn summary(&self, now: Time) -> Option<u64> {
        if self.left_out.load(Relaxed) == 0 || !self.pay(now) {
            return None;
        }
        // Another thread may have taken the number meanwhile; then the token is lost, no more.
        Some(self.left_out.swap(0, Relaxed)).filter(|&count| count > 0)
    }

    fn pay(&self, now: Time) -> bool {
        let now = now.nanos();
        self.paid
            .fetch_update(Relaxed, Relaxed, |paid| {
                let paid = paid.max(now).saturating_add(self.every);
                (paid - now <= self.burst).then_some(paid)
            })
            .is_ok()
    }
}

/// How many lines have been left out. Its text is empty for none, so it can end any line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More(u64);

impl More {
    /// The number.
    pub fn count(self) -> u64 {
        self.0
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more left out)"),
        }
    }
}

/// Hands to `write` each topic that still owes a number of lines left out and may write one now.
/// To be called every second or so: when a storm ends, no further line comes that could say it.
pub fn summaries(now: Time, mut write: impl FnMut(&'static str, u64)) {
    for topic in HUSHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(count) = topic.summary(now) {
            write(topic.topic, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Time {
        Time::START + Duration::from_secs(secs)
    }

    #[test]
    fn a_burst_then_one_every_so_often_and_nothing_is_lost_count_of() {
        static TOPIC: Quiet = Quiet::new("bursts", 3, EVERY);
        let storm: Vec<_> = (0..100).map(|_| TOPIC.line(at(0))).collect();
        assert_eq!(storm.iter().flatten().count(), 3);
        assert!(storm.iter().flatten().all(|more| more.count() == 0));
        assert_eq!(TOPIC.line(at(9)), None);
        let next = TOPIC.line(at(10)).expect("a token after ten seconds");
        assert_eq!(next.to_string(), " (98 more left out)");
        assert_eq!(TOPIC.line(at(10)), None);
        assert_eq!(TOPIC.line(at(20)), Some(More(1)));
    }

    #[test]
    fn a_long_rest_earns_the_burst_and_no_more() {
        static TOPIC: Quiet = Quiet::new("rests", 2, EVERY);
        assert_eq!((0..5).filter_map(|_| TOPIC.line(at(0))).count(), 2);
        let later = (0..5).filter_map(|_| TOPIC.line(at(86_400))).count();
        assert_eq!(later, 2);
    }

    #[test]
    fn what_was_left_out_is_said_when_the_storm_has_ended() {
        static TOPIC: Quiet = Quiet::new("endings", 1, EVERY);
        let ours = |now| {
            let mut said = None;
            summaries(now, |topic, count| {
                if topic == "endings" {
                    said = Some(count);
                }
            });
            said
        };
        assert_eq!(ours(at(0)), None);
        assert_eq!((0..8).filter_map(|_| TOPIC.line(at(0))).count(), 1);
        assert_eq!(ours(at(1)), None, "no token yet");
        assert_eq!(ours(at(10)), Some(7));
        assert_eq!(ours(at(1_000)), None, "said once");
        assert_eq!(TOPIC.line(at(2_000)), Some(More(0)));
    }

    #[test]
    fn time_that_stands_still_or_jumps_back_grants_nothing() {
        static TOPIC: Quiet = Quiet::new("jumps", 1, EVERY);
        assert!(TOPIC.line(at(100)).is_some());
        assert!(TOPIC.line(at(100)).is_none());
        assert!(TOPIC.line(at(50)).is_none());
        assert!(TOPIC.line(Time::NEVER).is_some());
    }

    #[test]
    fn many_threads_share_one_burst() {
        static TOPIC: Quiet = Quiet::new("threads", 4, EVERY);
        // So that another test's summary leaves it alone.
        TOPIC.known.store(true, Relaxed);
        let lines: Vec<More> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter_map(|_| TOPIC.line(at(0))).collect()))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| -> Vec<More> { thread.join().expect("no panic") })
                .collect()
        });
        // The last line may say already how many others were left out while it was paid for.
        let told: u64 = lines.iter().map(|more| more.0).sum();
        assert_eq!(lines.len(), 4);
        assert_eq!(told + TOPIC.left_out.load(Relaxed), 4_000 - 4);
    }
}
