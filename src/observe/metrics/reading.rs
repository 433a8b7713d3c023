//! All series now, as numbers: what the flight recorder keeps.

use std::collections::HashSet;

use prometheus::proto::{self, MetricType};

use super::super::names::{self, Kind, Series};
use super::Metrics;

/// One series now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its family.
    pub series: &'static Series,
    /// The values of its labels, in the order of the table.
    pub labels: Vec<String>,
    /// What it reads.
    pub value: Value,
}

/// What a series reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: there is such a series, and its value is not known now.
    Unknown,
    /// A counter or a gauge.
    Number(f64),
    /// Durations by bucket.
    Histogram {
        /// Upper bounds, in seconds.
        bounds: Vec<f64>,
        /// How many fell into each, not cumulative; one more than bounds.
        counts: Vec<u64>,
        /// All together, in seconds.
        sum: f64,
    },
}

impl Metrics {
    /// Every series that `/metrics` has, and those that it would have if their values were known, so that the list is
    /// the same each time, until a reload.
    pub fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for family in self.registry.gather() {
            let Some(series) = names::ALL.iter().find(|it| it.name == family.name()) else {
                continue;
            };
            for metric in family.get_metric() {
                let labels = series.labels.iter().map(|&name| label(metric, name));
                readings.push(Reading {
                    series,
                    labels: labels.collect(),
                    value: value(family.get_field_type(), metric),
                });
            }
        }
        let known: HashSet<(&str, Vec<String>)> = readings
            .iter()
            .map(|it| (it.series.name, it.labels.clone()))
            .collect();
        let current = self.shared.current();
        let roster = &current.roster;
        let mut missing = Vec::new();
        for &series in names::ALL {
            let possible: Vec<Vec<String>> = match (series.kind, series.labels) {
                (Kind::Histogram, _) => continue,
                (_, []) => vec![Vec::new()],
                (_, ["listener"]) => roster.listeners.iter().map(|it| vec![it.clone()]).collect(),
                (_, ["upstream", "path"]) => {
                    let names = roster.routes();
                    names
                        .map(|(_, _, it)| vec![it.upstream.clone(), it.path.clone()])
                        .collect()
                }
                _ => continue,
            };
            missing.extend(
                possible
                    .into_iter()
                    .map(|labels| (series.name, labels))
                    .filter(|it| !known.contains(it))
                    .map(|(_, labels)| Reading {
                        series,
                        labels,
                        value: Value::Unknown,
                    }),
            );
        }
        readings.append(&mut missing);
        readings
    }
}

fn label(metric: &proto::Metric, name: &str) -> String {
    let pairs = metric.get_label().iter();
    let mut found = pairs.filter(|pair| pair.name() == name);
    found
        .next()
        .map_or(String::new(), |pair| pair.value().to_owned())
}

fn value(kind: MetricType, metric: &proto::Metric) -> Value {
    match kind {
        MetricType::COUNTER => Value::Number(metric.get_counter().get_value()),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let mut below = 0;
            let mut counts: Vec<u64> = Vec::new();
            let mut bounds = Vec::new();
            for bucket in histogram.get_bucket() {
                bounds.push(bucket.upper_bound());
                counts.push(bucket.cumulative_count().saturating_sub(below));
                below = bucket.cumulative_count();
            }
            counts.push(histogram.get_sample_count().saturating_sub(below));
            Value::Histogram {
                bounds,
                counts,
                sum: histogram.get_sample_sum(),
            }
        }
        _ => Value::Number(metric.get_gauge().get_value()),
    }
}
