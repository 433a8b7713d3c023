//! The recorder against its reader, with everything between them that may go wrong.

mod damage;
mod keeping;
mod room;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file::Layout;
use super::*;
use crate::observe::metrics::{self, Reading};
use crate::observe::names;

/// The smallest file there is.
const SMALL: u64 = 16 << 10;
/// A day in 2026, in milliseconds.
pub(in crate::record) const WALL: u64 = 1_780_000_000_000;

/// A recorder with a clock and a few series.
pub(in crate::record) struct Rig {
    pub(in crate::record) folder: tempfile::TempDir,
    pub(in crate::record) recorder: Recorder,
    pub(in crate::record) stamp: Stamp,
    pub(in crate::record) queries: u64,
    pub(in crate::record) size: u64,
    /// What it said.
    pub(in crate::record) said: Vec<String>,
}

impl Rig {
    pub(in crate::record) fn new(size: u64) -> Rig {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = Recorder::new(Some(place(&folder)), Layout::of(size));
        let stamp = Stamp {
            wall: WALL,
            life: 1_000,
            boot: 1,
            run: 1,
        };
        Rig {
            folder,
            recorder,
            stamp,
            queries: 0,
            size,
            said: Vec::new(),
        }
    }

    pub(in crate::record) fn path(&self) -> PathBuf {
        place(&self.folder)
    }

    /// Another daemon on the same file, when this one has gone as by kill -9.
    pub(in crate::record) fn restart(&mut self) {
        self.recorder = Recorder::new(None, Layout::of(self.size));
        self.recorder = Recorder::new(Some(self.path()), Layout::of(self.size));
        self.stamp.run += 1;
        self.queries = 0;
    }

    /// A second in which as many queries came as its number.
    pub(in crate::record) fn second(&mut self, events: &[&str]) {
        self.second_of(events, &readings(self.queries + 1));
    }

    pub(in crate::record) fn second_of(&mut self, events: &[&str], readings: &[Reading]) {
        let event = |text: &&str| json!({ "kind": "verdict", "text": text });
        let events: Vec<Value> = events.iter().map(event).collect();
        self.second_with(&events, readings);
    }

    pub(in crate::record) fn second_with(&mut self, events: &[Value], readings: &[Reading]) {
        self.stamp.wall += 1_000;
        self.stamp.life += 1_000;
        self.queries += 1;
        let stamp = self.stamp;
        let events: Vec<(Stamp, Value)> = events.iter().map(|it| (stamp, it.clone())).collect();
        self.said.extend(self.recorder.look(&stamp));
        self.said
            .extend(self.recorder.second(&stamp, readings, &events));
    }

    pub(in crate::record) fn log(&self) -> Log {
        Log::open(&self.path()).expect("a file that can be read")
    }
}

fn place(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("flight.record")
}

/// After so many queries: a counter, a gauge that is not always known, and a histogram.
pub(in crate::record) fn readings(queries: u64) -> Vec<Reading> {
    let number = |series, labels: &[&str], value| Reading {
        series,
        labels: labels.iter().map(|it| it.to_string()).collect(),
        value,
    };
    let loss = match queries % 3 {
        0 => metrics::Value::Unknown,
        other => metrics::Value::Number(other as f64 / 4.0),
    };
    vec![
        number(
            &names::QUERIES,
            &["127.0.0.1:53", "udp", "hit"],
            metrics::Value::Number(queries as f64),
        ),
        number(
            &names::QUERIES,
            &["127.0.0.1:53", "udp", "failed"],
            metrics::Value::Number(0.0),
        ),
        number(&names::ROUTE_LOSS, &["dc1", "eth0"], loss),
        number(
            &names::QUERY_DURATION,
            &["cache"],
            metrics::Value::Histogram {
                bounds: vec![0.000_01, 0.25],
                counts: vec![queries, 2 * queries, 0],
                sum: queries as f64 * 0.001,
            },
        ),
    ]
}

/// A frame's number, kind and what it says.
pub(in crate::record) type Seen = (u64, Kind, Vec<u64>);

/// What a reader makes of the file: every frame of numbers that can be read, and every event.
pub(in crate::record) fn seen(log: &Log) -> (Vec<Seen>, Vec<String>) {
    let numbers = log.frames().iter().filter_map(|found| {
        let numbers = log.numbers(found)?;
        let slots = 0..numbers.shape.slots();
        let key = matches!(found.kind, Kind::SecondKey | Kind::MinuteKey);
        let values = slots.map(|slot| numbers.counter(slot, key).unwrap_or(u64::MAX));
        Some((found.number, found.kind, values.collect()))
    });
    let text = |told: &Told| told.event["text"].as_str().unwrap_or_default().to_owned();
    (numbers.collect(), log.told().iter().map(text).collect())
}

pub(in crate::record) fn octets(path: &Path) -> Vec<u8> {
    fs::read(path).expect("the file")
}
