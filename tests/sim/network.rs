//! Links and upstreams.

use std::time::Duration;

use byway::clock::Time;
use byway::wire::Rcode;
use rand::Rng;

/// A number in 0..1.
pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Exponentially distributed with this mean.
pub fn exponential(rng: &mut impl Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - unit(rng)).ln())
}

/// One way out: everything that leaves over it shares a queue with somebody else's traffic. The queue
/// is a fluid: what arrives beyond the link's rate stands in it, and what does not fit is lost, ours
/// like the others'.
#[derive(Clone, Debug)]
pub struct Link {
    /// One way, without queue.
    pub delay: Duration,
    /// Uniform extra, each way.
    pub jitter: Duration,
    /// The queue holds this much time.
    pub buffer: Duration,
    /// Somebody else's traffic, as a share of the link's rate; above 1 the queue fills.
    pub background: f64,
    /// How long the link takes for a packet of ours; zero: nobody feels it.
    pub own: Duration,
    /// Lost at random, each way.
    pub loss: f64,
    /// Nothing comes through.
    pub dead: bool,
    queue: f64,
    at: Time,
}

impl Link {
    /// Somebody else's traffic in health.
    pub const BACKGROUND: f64 = 0.3;

    /// A healthy one.
    pub fn new(round_trip: Duration) -> Link {
        Link {
            delay: round_trip / 2,
            jitter: Duration::from_micros(150),
            buffer: Duration::from_secs(1),
            background: Link::BACKGROUND,
            own: Duration::ZERO,
            loss: 0.0,
            dead: false,
            queue: 0.0,
            at: Time::default(),
        }
    }

    /// Lets the queue fill or drain until now, under the conditions that held so far.
    pub fn settle(&mut self, now: Time) {
        let dt = now.since(self.at).as_secs_f64();
        self.at = now;
        let most = self.buffer.as_secs_f64();
        self.queue = (self.queue + (self.background - 1.0) * dt).clamp(0.0, most);
    }

    /// So many packets of ours a second fit beside the others'.
    pub fn carry(&mut self, packets: f64) {
        self.own = Duration::from_secs_f64((1.0 - self.background) / packets);
    }

    /// Empties the queue.
    pub fn drain(&mut self) {
        self.queue = 0.0;
    }

    /// How long a packet that leaves now takes; `None` if it is lost. `queued`: this way has the queue.
    pub fn cross(&mut self, queued: bool, now: Time, rng: &mut impl Rng) -> Option<Duration> {
        self.settle(now);
        let over = self.background - 1.0;
        let full = over > 0.0 && self.queue >= self.buffer.as_secs_f64();
        let tail_loss = if full && queued {
            over / self.background
        } else {
            0.0
        };
        if self.dead || unit(rng) < self.loss || unit(rng) < tail_loss {
            return None;
        }
        let own = self.own.as_secs_f64();
        if queued && own > 0.0 {
            if self.queue >= self.buffer.as_secs_f64() {
                return None;
            }
            self.queue += own;
        }
        let standing = if queued {
            Duration::from_secs_f64(self.queue)
        } else {
            Duration::ZERO
        };
        Some(self.delay + standing + self.jitter.mul_f64(unit(rng)))
    }
}

/// What an upstream makes of a question.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Answers a second that it can make.
    pub capacity: f64,
    /// The queue in front of it holds this much time; beyond it questions are dropped.
    pub buffer: Duration,
    /// Added to every answer, in health too.
    pub distance: Duration,
    /// Added to every answer in trouble.
    pub slowness: Duration,
    /// Share of questions it must ask others for, and how long that takes on average.
    pub hard: (f64, Duration),
    /// Share of questions answered with this, at once.
    pub sick: (f64, Rcode),
    /// Answers nothing.
    pub dead: bool,
    busy_until: Time,
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            capacity: 50_000.0,
            buffer: Duration::from_millis(200),
            distance: Duration::ZERO,
            slowness: Duration::ZERO,
            hard: (0.0, Duration::ZERO),
            sick: (0.0, Rcode::SERVFAIL),
            dead: false,
            busy_until: Time::default(),
        }
    }
}

impl Upstream {
    /// When the answer leaves and what it is; `None` if there is none.
    pub fn serve(&mut self, now: Time, rng: &mut impl Rng) -> Option<(Time, Rcode)> {
        if self.dead {
            return None;
        }
        let start = self.busy_until.max(now);
        if start.since(now) > self.buffer {
            return None;
        }
        self.busy_until = start + Duration::from_secs_f64(1.0 / self.capacity);
        let (share, rcode) = self.sick;
        if share > 0.0 && unit(rng) < share {
            return Some((self.busy_until, rcode));
        }
        let (share, mean) = self.hard;
        let asking = if share > 0.0 && unit(rng) < share {
            exponential(rng, mean)
        } else {
            Duration::ZERO
        };
        let takes = self.distance + self.slowness + asking;
        Some((self.busy_until + takes, Rcode::NOERROR))
    }
}
