//! A token bucket.

use std::time::Duration;

use crate::clock::Time;

/// A bucket of tokens that fills with time.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: f64,
    cap: f64,
    rate: f64,
    at: Time,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: f64, cap: f64, now: Time) -> Bucket {
        Bucket {
            tokens: cap,
            cap,
            rate,
            at: now,
        }
    }

    /// Whether `amount` is there.
    pub fn has(&mut self, amount: f64, now: Time) -> bool {
        self.fill(now);
        self.tokens >= amount
    }

    /// Takes `amount`, into debt if need be.
    pub fn charge(&mut self, amount: f64, now: Time) {
        self.fill(now);
        self.tokens = (self.tokens - amount).max(-self.cap);
    }

    /// The most that it holds.
    pub fn cap(&self) -> f64 {
        self.cap
    }

    /// What comes to it, a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// What is left.
    pub fn left(&self) -> f64 {
        self.tokens
    }

    /// The most that may be taken within any stretch of `window`, as it is set now.
    pub fn most_in(&self, window: Duration) -> f64 {
        self.cap + self.rate * window.as_secs_f64()
    }

    pub(super) fn fill(&mut self, now: Time) {
        let dt = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + self.rate * dt).min(self.cap);
    }

    pub(super) fn deposit(&mut self, amount: f64) {
        self.tokens = (self.tokens + amount).min(self.cap);
    }

    pub(super) fn set(&mut self, rate: f64, cap: f64, now: Time) {
        self.fill(now);
        (self.rate, self.cap) = (rate, cap);
        self.tokens = self.tokens.min(cap);
    }
}
