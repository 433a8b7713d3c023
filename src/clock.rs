//! Time as an argument.
//!
//! The routing engine, the cache and the order of things never read a clock: they are handed a
//! [`Time`] or a [`Life`]. Only [`Clock`] reads the machine's, and only the rooms with sockets own one.
//!
//! These are two types because they are two clocks, which a host that sleeps sets apart. A round trip is what
//! passed while it was awake. A TTL goes on: after a night's sleep what was known in the evening is old.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sys;

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

/// A point in the time by which things age, in nanoseconds: as [`Time`], but it goes on while the host sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(Time);

impl Life {
    /// Where a [`Clock`] starts: a year after the origin.
    pub const START: Life = Life(Time::START);

    /// Later than anything that happens.
    pub const NEVER: Life = Life(Time::NEVER);

    /// On a host that has not slept since [`Time::START`], as in a simulation.
    pub const fn awake(time: Time) -> Life {
        Life(time)
    }

    /// The point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Life {
        Life(Time::from_nanos(nanos))
    }

    /// The point `secs` seconds after the origin.
    pub const fn from_secs(secs: u64) -> Life {
        Life(Time::from_secs(secs))
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0.nanos()
    }

    /// Whole seconds since the origin.
    pub const fn secs(self) -> u64 {
        self.0.secs()
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Life) -> Duration {
        self.0.since(earlier.0)
    }
}

impl Add<Duration> for Life {
    type Output = Life;

    /// Saturates at [`Life::NEVER`].
    fn add(self, rhs: Duration) -> Life {
        Life(self.0 + rhs)
    }
}

impl Sub<Duration> for Life {
    type Output = Life;

    /// Saturates at the origin.
    fn sub(self, rhs: Duration) -> Life {
        Life(self.0 - rhs)
    }
}

/// The machine's clocks: the monotonic one as [`Time`], that of boot time as [`Life`], the wall clock for what
/// outlives the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The clock of boot time then.
    booted: Duration,
}

impl Clock {
    /// A clock that reads [`Time::START`] and [`Life::START`] now.
    pub fn start() -> Clock {
        Clock {
            started: Instant::now(),
            booted: sys::since_boot(),
        }
    }

    /// The present.
    pub fn now(&self) -> Time {
        Time::START + self.started.elapsed()
    }

    /// The present, for what ages.
    pub fn life(&self) -> Life {
        Life::START + sys::since_boot().saturating_sub(self.booted)
    }

    /// The wall clock, in seconds since the Unix epoch.
    pub fn wall(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        wall.unwrap_or_default().as_secs()
    }

    /// The wall clock, in milliseconds since the Unix epoch.
    pub fn wall_millis(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::try_from(wall.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
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
    fn both_clocks_go_on_and_none_faster_than_the_other_but_by_sleep() {
        let clock = Clock::start();
        let (time, life) = (clock.now(), clock.life());
        std::thread::sleep(Duration::from_millis(5));
        // Read in this order the second cannot be less.
        let waking = clock.now().since(time);
        let living = clock.life().since(life);
        assert!(waking >= Duration::from_millis(5));
        assert!(living + Duration::from_millis(1) >= waking);
    }

    #[test]
    fn the_clock_converts_back_to_instants() {
        let clock = Clock::start();
        let later = clock.now() + Duration::from_secs(3);
        assert!(clock.instant(later) > Instant::now() + Duration::from_secs(2));
    }
}
