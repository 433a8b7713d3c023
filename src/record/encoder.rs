//! From what the metrics read to the contents of frames.

use std::collections::HashMap;

use super::codec::{put, put_values};
use super::frame::{Kind, Stamp};
use super::shape::{Column, Form, Shape};
use crate::observe::metrics::{Reading, Value};
use crate::observe::names;

/// Among so many frames one that says what the counters read, not by how much they grew.
const KEY_EVERY: u64 = 128;

/// What a number is that is not known. Zero is zero, and numbers from 1 on are one more than they say.
pub(super) const UNKNOWN: u64 = 1;

/// Makes frames' contents of one run of the daemon.
#[derive(Debug, Default)]
pub struct Encoder {
    shape: Shape,
    /// Where the numbers of a series stand, by its family and labels.
    places: HashMap<(&'static str, Vec<String>), usize>,
    seconds: Line,
    minutes: Line,
}

/// A succession of frames of one kind.
#[derive(Debug, Default)]
struct Line {
    /// What counters read when the last one was made, by slot.
    totals: Vec<u64>,
    /// When that was.
    last: Option<u64>,
    frames: u64,
}

/// The contents of a frame to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) contents: Vec<u8>,
}

impl Encoder {
    /// The shape of the frames made last.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Takes note of series that were not there before. True if there were any, and so there is another shape.
    pub(super) fn learn(&mut self, readings: &[Reading]) -> bool {
        let new = |it: &&Reading| {
            !self
                .places
                .contains_key(&(it.series.name, it.labels.clone()))
        };
        let new: Vec<Column> = readings.iter().filter(new).map(column).collect();
        if new.is_empty() {
            return false;
        }
        let old = std::mem::take(&mut self.shape);
        let columns = old.columns().iter().cloned().chain(new);
        self.shape = Shape::new(columns.collect());
        self.places.clear();
        for (place, column) in self.shape.places() {
            let Some(series) = names::ALL.iter().find(|it| it.name == column.name) else {
                continue;
            };
            let values = column.labels.iter().map(|(_, value)| value.clone());
            self.places.insert((series.name, values.collect()), place);
        }
        for line in [&mut self.seconds, &mut self.minutes] {
            line.totals = moved(&line.totals, &old, &self.shape);
        }
        true
    }

    /// The frames of a second, or of a minute: what grew, and now and then what it is.
    pub(super) fn frames(
        &mut self,
        minute: bool,
        stamp: &Stamp,
        readings: &[Reading],
    ) -> Vec<Draft> {
        let (line, kind, key) = match minute {
            false => (&mut self.seconds, Kind::Second, Kind::SecondKey),
            true => (&mut self.minutes, Kind::Minute, Kind::MinuteKey),
        };
        let mut now = vec![0; self.shape.slots()];
        let mut keyed = vec![0; self.shape.slots()];
        let mut grown = vec![0; self.shape.slots()];
        // What is not read this time is not known.
        for (place, column) in self.shape.places() {
            match column.form {
                Form::Constant(_) => {}
                Form::Gauge => grown[place] = UNKNOWN,
                _ => keyed[place] = UNKNOWN,
            }
            now[place..place + column.form.slots()]
                .copy_from_slice(&line.totals[place..place + column.form.slots()]);
        }
        for reading in readings {
            let Some(&place) = self
                .places
                .get(&(reading.series.name, reading.labels.clone()))
            else {
                continue;
            };
            match (&reading.value, reading.series.kind) {
                (Value::Unknown, _) => {}
                _ if is_constant(reading.series) => {}
                (Value::Number(value), names::Kind::Gauge) => grown[place] = gauge(*value),
                (Value::Number(value), _) => {
                    now[place] = counted(*value * scale(reading.series.name));
                    keyed[place] = plus_one(now[place]);
                }
                (Value::Histogram { counts, sum, .. }, _) => {
                    for (slot, count) in (place..).zip(counts) {
                        now[slot] = *count;
                        keyed[slot] = plus_one(*count);
                    }
                    let slot = place + counts.len();
                    now[slot] = counted(*sum * 1e6);
                    keyed[slot] = plus_one(now[slot]);
                }
            }
        }
        let mut drafts = vec![];
        let span = line.last.map_or(0, |last| stamp.life.saturating_sub(last));
        for (slot, (now, before)) in now.iter().zip(&line.totals).enumerate() {
            if *now > *before {
                grown[slot] = now - before;
            }
        }
        drafts.push(Draft {
            kind,
            contents: contents(stamp, span, &self.shape, &grown),
        });
        if line.frames % KEY_EVERY == KEY_EVERY - 1 {
            drafts.push(Draft {
                kind: key,
                contents: contents(stamp, 0, &self.shape, &keyed),
            });
        }
        line.frames += 1;
        line.totals = now;
        line.last = Some(stamp.life);
        drafts
    }
}

fn contents(stamp: &Stamp, span: u64, shape: &Shape, values: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    stamp.put(&mut out);
    put(&mut out, span);
    out.extend_from_slice(&shape.hash().to_le_bytes());
    put_values(&mut out, values);
    out
}

fn column(reading: &Reading) -> Column {
    let form = match (&reading.value, reading.series.kind) {
        (Value::Histogram { bounds, .. }, _) => {
            let micros = |bound: &f64| (bound * 1e6).round() as u64;
            Form::Histogram(bounds.iter().map(micros).collect())
        }
        (Value::Number(value), _) if is_constant(reading.series) => {
            Form::Constant(counted(value * 1e6))
        }
        (_, names::Kind::Gauge) => Form::Gauge,
        _ if scale(reading.series.name) == 1.0 => Form::Counter,
        _ => Form::Micros,
    };
    let names = reading.series.labels.iter().map(|name| name.to_string());
    Column {
        name: reading.series.name.to_owned(),
        labels: names.zip(reading.labels.iter().cloned()).collect(),
        form,
    }
}

/// Whether it stays as it is for as long as the process lives.
fn is_constant(series: &names::Series) -> bool {
    [
        &names::BUILD_INFO,
        &names::LIMIT,
        &names::CACHE_CAPACITY,
        &names::PROCESS_FDS_MAX,
    ]
    .iter()
    .any(|constant| constant.name == series.name)
}

/// Counters of seconds are kept in microseconds.
fn scale(name: &str) -> f64 {
    match name.ends_with("_seconds_total") {
        true => 1e6,
        false => 1.0,
    }
}

/// The most that is kept of a number: as much as a float holds exactly.
const MOST: f64 = 9_007_199_254_740_992.0;

fn counted(value: f64) -> u64 {
    // A float that is no number becomes zero.
    value.round().clamp(0.0, MOST) as u64
}

fn plus_one(value: u64) -> u64 {
    match value {
        0 => 0,
        value => value + 1,
    }
}

/// A gauge as a number: even, a whole number; odd, millionths, of which so many bits are kept as matter.
fn gauge(value: f64) -> u64 {
    // Seconds since the epoch are no measurement: whole ones will do.
    let value = if value >= WHOLE { value.round() } else { value };
    if value == 0.0 {
        return 0;
    }
    if value.fract() == 0.0 && (1.0..MOST / 4.0).contains(&value) {
        return (value as u64) << 1;
    }
    match (value * 1e6).round() {
        0.0 => 0,
        micros if (1.0..MOST / 4.0).contains(&micros) => brief(micros as u64) << 1 | 1,
        // Nothing that is measured is below zero, or no number.
        _ => UNKNOWN,
    }
}

/// From here on the whole number is kept.
const WHOLE: f64 = 1e6;

/// The gauge that `gauge` made into that number.
pub(super) fn gauge_value(number: u64) -> Option<f64> {
    match number {
        UNKNOWN => None,
        number if number & 1 == 0 => Some((number >> 1) as f64),
        number => Some(at_length(number >> 1) as f64 / 1e6),
    }
}

/// Bits of a brief number behind its first.
const FRACTION: u32 = 9;

/// The number to a thousandth of itself: its first bit's place and the nine behind it.
fn brief(number: u64) -> u64 {
    let bits = u64::BITS - number.leading_zeros();
    let Some(dropped) = bits.checked_sub(FRACTION + 1) else {
        return number;
    };
    let half = (1 << dropped) >> 1;
    // Rounding up to one more bit carries into the place as it should.
    (u64::from(dropped) << FRACTION) + ((number + half) >> dropped)
}

/// The number that `brief` made brief.
fn at_length(brief: u64) -> u64 {
    let one = 1 << FRACTION;
    let Some(dropped) = (brief >> FRACTION).checked_sub(1) else {
        return brief;
    };
    (brief & (one - 1) | one) << dropped.min(53)
}

/// Numbers of one shape in the places of another.
fn moved(values: &[u64], from: &Shape, to: &Shape) -> Vec<u64> {
    let mut out = vec![0; to.slots()];
    let old: HashMap<&Column, usize> = from
        .places()
        .map(|(place, column)| (column, place))
        .collect();
    for (place, column) in to.places() {
        let Some(&before) = old.get(column) else {
            continue;
        };
        let slots = column.form.slots();
        if let Some(values) = values.get(before..before + slots) {
            out[place..place + slots].copy_from_slice(values);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gauges_are_brief_and_read_back() {
        for (value, octets) in [
            (0.0, 1),
            (64.0, 2),
            (0.000_05, 1),
            (0.001_9, 2),
            (0.48, 2),
            (12.5, 2),
        ] {
            let mut out = Vec::new();
            put(&mut out, gauge(value));
            assert_eq!(out.len(), octets, "{value}");
            let read = gauge_value(gauge(value)).expect("a value");
            assert!((read - value).abs() <= value / 1_000.0, "{value} {read}");
        }
        assert_eq!(gauge_value(gauge(1_780_000_000.4)), Some(1_780_000_000.0));
        for odd in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(gauge_value(gauge(odd)), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn a_brief_number_is_true_to_a_thousandth(number in 0..1u64 << 53) {
            let read = at_length(brief(number));
            prop_assert!(read.abs_diff(number) <= number / 1_000, "{} {}", number, read);
        }

        #[test]
        fn no_number_makes_it_panic(number: u64) {
            let _ = gauge_value(number);
        }
    }
}
