//! What a load cost a server, and figures made of it.
//!
//! Everything is measured against the bare loop in the same run, in turns, because machines differ and the
//! same machine differs from minute to minute: a ratio holds where a figure does not.

use std::time::Duration;

use super::cpu;
use super::load::Outcome;
use super::server::Server;

/// What came of one load, and the CPU time that the server used for it.
pub struct Cost {
    /// What came of it.
    pub outcome: Outcome,
    used: Duration,
}

/// Runs a load on a server.
pub fn accounted(server: &Server, load: impl FnOnce() -> Outcome) -> Cost {
    let before = cpu::used(server.pid());
    let outcome = load();
    let used = cpu::used(server.pid()) - before;
    Cost { outcome, used }
}

impl Cost {
    /// Microseconds of CPU for each answer.
    pub fn each(&self) -> f64 {
        self.used.as_secs_f64() * 1e6 / self.outcome.answered as f64
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.outcome.answered as f64 / self.outcome.took.as_secs_f64()
    }

    /// CPUs that the server was busy on.
    pub fn share(&self) -> f64 {
        self.used.as_secs_f64() / self.outcome.took.as_secs_f64()
    }

    /// The latency that this share of the answers stayed below, in microseconds, of a steady load.
    pub fn latency(&self, share: f64) -> f64 {
        let latencies = &self.outcome.latencies;
        let last = latencies.len().saturating_sub(1);
        let latency = latencies.get((last as f64 * share) as usize);
        latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// The figure in the middle.
pub fn median<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A median as a ratio to the yardstick's.
pub fn ratio<T>(of: f64, yardstick: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    of / median(yardstick, figure)
}
