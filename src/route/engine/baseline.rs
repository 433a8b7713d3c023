//! What a restart remembers of the routes.

use std::time::Duration;

use crate::clock::Time;
use crate::route::engine::Engine;

/// What a restart remembers of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// `upstream@path`.
    pub route: String,
    /// Round trip without queues.
    pub base: Duration,
    /// Mean round trip while clear.
    pub mean: Duration,
    /// Mean deviation while clear.
    pub deviation: Duration,
    /// The far tail (one in two hundred is later) while clear.
    pub tail: Duration,
    /// Packets a second in health.
    pub rate: f32,
}

impl Engine {
    /// What a restart should remember.
    pub fn baselines(&self) -> Vec<Baseline> {
        self.records
            .iter()
            .filter(|record| record.seat.is_in())
            .filter_map(|record| {
                let [base, mean, deviation, tail] = record.round_trips.remembered()?;
                Some(Baseline {
                    route: record.route.name.to_string(),
                    base,
                    mean,
                    deviation,
                    tail,
                    rate: record.healthy,
                })
            })
            .collect()
    }

    /// Takes up what an earlier process remembered; routes that are no more are passed over, and what
    /// was measured since the start is kept.
    pub fn restore_baselines(&mut self, baselines: &[Baseline], now: Time) {
        let mut rate = 0.0;
        for known in baselines {
            let Some(record) = self
                .records
                .iter_mut()
                .find(|record| record.seat.is_in() && *record.route.name == *known.route)
            else {
                continue;
            };
            record
                .round_trips
                .recall([known.base, known.mean, known.deviation, known.tail], now);
            if known.rate.is_finite() && known.rate > 0.0 {
                record.healthy = known.rate;
                rate += f64::from(known.rate);
            }
        }
        self.pools[0].budgets.recall_rate(rate, now);
        self.stalls.look_again();
    }
}
