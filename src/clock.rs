//! Time as an argument.
//!
//! The routing engine, the cache and the order of things never read a clock: they are handed a
//! [`Time`]. Only [`Clock`] reads the machine's, and only the rooms with sockets own one.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in nanoseconds since an origin that lies well before the process
/// started, so that what happened before a restart has a `Time` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// Where a [`Clock`] starts: a year after the origin.
    pub const START: Time = Time::from_secs(365 * 24 * 3600);

    /// Later than anything that happens.
    pub const NEVER: Time = Time(u64::MAX);

    /// The point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The point `secs` seconds after the origin.
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the origin.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at [`Time::NEVER`].
    fn add(self, rhs: Duration) -> Time {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    /// Saturates at the origin.
    fn sub(self, rhs: Duration) -> Time {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanos))
    }
}

/// The machine's clocks: the monotonic one as [`Time`], the wall clock for what outlives the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that reads [`Time::START`] now.
    pub fn start() -> Clock {
        Clock {
            started: Instant::now(),
        }
    }

    /// The present.
    pub fn now(&self) -> Time {
        Time::START + self.started.elapsed()
    }

    /// The wall clock, in seconds since the Unix epoch.
    pub fn wall(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        wall.unwrap_or_default().as_secs()
    }

    /// `time` as an [`Instant`], for timers.
    pub fn instant(&self, time: Time) -> Instant {
        self.started + time.since(Time::START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_below_zero() {
        let (early, late) = (Time::from_secs(5), Time::from_secs(7));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early - Duration::from_secs(9), Time::default());
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
    }

    #[test]
    fn the_clock_converts_back_to_instants() {
        let clock = Clock::start();
        let later = clock.now() + Duration::from_secs(3);
        assert!(clock.instant(later) > Instant::now() + Duration::from_secs(2));
    }
}
