//! What may be kept, and for how long.
//!
//! RFC 2308 and RFC 2181 in one place. The TTLs of an answer are evened out when the answer is
//! made ([`Response::to_answer`](crate::wire::Response::to_answer)); here they are bounded by what
//! the operator wants, and everything that must not be kept is refused.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::config::live::Span;
use crate::config::{CacheConfig, ZoneTtls};
use crate::wire::{Answer, Kind};

/// The TTL rules of one cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    min_ttl: u32,
    max_ttl: u32,
    negative_max_ttl: u32,
    pub(super) stale_max: Duration,
    pub(super) refresh: bool,
    pub(super) rotate: bool,
}

/// The rules that hold now: a reload may change them while others read them, each by itself.
#[derive(Debug)]
pub(super) struct Held {
    min_ttl: AtomicU32,
    max_ttl: AtomicU32,
    negative_max_ttl: AtomicU32,
    stale_max: Span,
    refresh: AtomicBool,
    rotate: AtomicBool,
}

impl Held {
    pub(super) fn new(config: &CacheConfig) -> Held {
        let rules = Rules::new(config);
        Held {
            min_ttl: AtomicU32::new(rules.min_ttl),
            max_ttl: AtomicU32::new(rules.max_ttl),
            negative_max_ttl: AtomicU32::new(rules.negative_max_ttl),
            stale_max: Span::new(rules.stale_max),
            refresh: AtomicBool::new(rules.refresh),
            rotate: AtomicBool::new(rules.rotate),
        }
    }

    /// Others hold from now on, for what is stored and for what is served.
    pub(super) fn set(&self, config: &CacheConfig) {
        let rules = Rules::new(config);
        self.min_ttl.store(rules.min_ttl, Relaxed);
        self.max_ttl.store(rules.max_ttl, Relaxed);
        self.negative_max_ttl.store(rules.negative_max_ttl, Relaxed);
        self.stale_max.set(rules.stale_max);
        self.refresh.store(rules.refresh, Relaxed);
        self.rotate.store(rules.rotate, Relaxed);
    }

    pub(super) fn get(&self) -> Rules {
        Rules {
            min_ttl: self.min_ttl.load(Relaxed),
            max_ttl: self.max_ttl.load(Relaxed),
            negative_max_ttl: self.negative_max_ttl.load(Relaxed),
            stale_max: self.stale_max(),
            refresh: self.refresh(),
            rotate: self.rotate(),
        }
    }

    #[inline]
    pub(super) fn stale_max(&self) -> Duration {
        self.stale_max.get()
    }

    #[inline]
    pub(super) fn rotate(&self) -> bool {
        self.rotate.load(Relaxed)
    }

    #[inline]
    pub(super) fn refresh(&self) -> bool {
        self.refresh.load(Relaxed)
    }
}

/// Why an answer was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotKept {
    /// The cache is turned off: its size is 0.
    Off,
    /// It is no answer to the question it was given for.
    AnotherQuestion,
    /// A failure, a referral or something else that answers nothing.
    NoAnswer,
    /// Something is missing from it (RFC 2181 section 9).
    Truncated,
    /// Its TTL is zero (RFC 1035 section 3.2.1), or it is a negative answer without an SOA, which
    /// says nothing of how long it is true (RFC 2308 section 5).
    NoLifetime,
    /// It would take more than an eighth of a shard.
    TooBig,
    /// It is negative, its source is not trusted, and a positive answer is held that can still be
    /// used.
    Shadows,
}

/// How long an answer may be kept, by the rules of the cache that admitted it: at least a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    seconds: u32,
    provisional: bool,
}

/// The longest that a denial is kept that another upstream might not have made, in seconds.
const PROVISIONAL: u32 = 5;

impl Lifetime {
    /// In seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// Whether nothing is left of it afterwards: it is not stale then, but gone.
    pub(super) fn is_provisional(self) -> bool {
        self.provisional
    }
}

impl Rules {
    /// As a zone has them.
    pub(super) fn within(mut self, zone: &ZoneTtls) -> Rules {
        self.min_ttl = zone.min.map_or(self.min_ttl, seconds);
        self.max_ttl = zone.max.map_or(self.max_ttl, seconds);
        self.negative_max_ttl = zone.negative_max.map_or(self.negative_max_ttl, seconds);
        self
    }

    pub(super) fn new(config: &CacheConfig) -> Rules {
        Rules {
            min_ttl: seconds(config.min_ttl),
            max_ttl: seconds(config.max_ttl),
            negative_max_ttl: seconds(config.negative_max_ttl),
            stale_max: config.stale_max,
            refresh: config.refresh,
            rotate: config.rotate,
        }
    }

    /// Bounds the TTLs of `answer` and returns how long it may be kept.
    ///
    /// # Errors
    /// Why it may not be kept at all.
    pub(super) fn admit(&self, answer: &mut Answer) -> Result<Lifetime, NotKept> {
        if answer.truncated() {
            return Err(NotKept::Truncated);
        }
        let most = match answer.kind() {
            Kind::Positive => self.max_ttl,
            Kind::NoData | Kind::NxDomain if answer.negative_ttl().is_none() => {
                return Err(NotKept::NoLifetime);
            }
            Kind::NoData | Kind::NxDomain => self.negative_max_ttl.min(self.max_ttl),
            Kind::Referral | Kind::Other | Kind::Failure | Kind::Unfinished => {
                return Err(NotKept::NoAnswer);
            }
        };
        answer.cap_ttls(self.min_ttl, most);
        match answer.ttl().min(most) {
            0 => Err(NotKept::NoLifetime),
            seconds => Ok(Lifetime {
                seconds,
                provisional: false,
            }),
        }
    }

    /// As [`Rules::admit`], for an answer that holds for the moment only.
    pub(super) fn admit_provisionally(&self, answer: &mut Answer) -> Result<Lifetime, NotKept> {
        let admitted = self.admit(answer)?;
        answer.cap_ttls(0, PROVISIONAL);
        Ok(Lifetime {
            seconds: admitted.seconds.min(PROVISIONAL),
            provisional: true,
        })
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
