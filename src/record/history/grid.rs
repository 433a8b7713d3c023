//! Every series by steps of time.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::frame::Kind;
use super::super::reader::{Found, Log, Numbers};
use super::super::shape::{Column, Form, Shape};

/// Steps that people like, in seconds.
const STEPS: &[u64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200,
    86_400,
];

/// The shortest step that people like and that makes at most thirty of so many milliseconds; in milliseconds.
pub fn comfortable(span: u64) -> u64 {
    let fits = |step: &&u64| span <= **step * 1_000 * 30;
    STEPS
        .iter()
        .find(fits)
        .map_or(span / 30, |step| step * 1_000)
}

/// The record between two moments, a row for each step in which there was a frame.
#[derive(Debug)]
pub struct Grid {
    /// All series that were recorded then.
    pub shape: Shape,
    /// The rows, in the order of time.
    pub rows: Vec<Row>,
    /// The length of a step, in milliseconds.
    pub step: u64,
}

/// What was recorded in a step.
#[derive(Clone, Debug)]
pub struct Row {
    /// The end of the step, in milliseconds since the Unix epoch.
    pub end: u64,
    /// How much of it the frames cover, in milliseconds.
    pub covered: u64,
    /// By slot: what a counter grew by; of a gauge, in how many frames it was above zero.
    pub grown: Vec<u64>,
    /// By slot: what was read at the end of the step; not a number if that is not known.
    pub last: Vec<f64>,
}

impl Grid {
    /// What lies behind `from` and not behind `to`, both in milliseconds since the Unix epoch, in steps of so many
    /// milliseconds. Minutes stand in for seconds that are not kept any more.
    pub fn of(log: &Log, from: u64, to: u64, step: u64) -> Grid {
        let step = step.max(1);
        Grid::between(log, from / step * step, to, step)
    }

    /// All of it in one row, which ends at `to`; without one if nothing was recorded.
    pub fn whole(log: &Log, from: u64, to: u64) -> Grid {
        Grid::between(log, from, to, to.saturating_sub(from).max(1))
    }

    fn between(log: &Log, from: u64, to: u64, step: u64) -> Grid {
        let used = used(log, from, to);
        let (shape, places) = union(log, &used);
        let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
        let mut totals = Totals::new(&shape);
        for (index, found) in used.iter().enumerate() {
            let Some(numbers) = log.numbers(found) else {
                continue;
            };
            let Some(map) = places.get(&found.shape) else {
                continue;
            };
            if totals.begins(found) {
                totals.begin(log, &used[index..], &places);
            }
            totals.add(found, &numbers, map);
            if is_key(found.kind) || found.time <= from || found.time > to {
                continue;
            }
            let end = from + (found.time - 1 - from) / step * step + step;
            let row = rows.entry(end).or_insert_with(|| Row {
                end,
                covered: 0,
                grown: vec![0; shape.slots()],
                last: vec![f64::NAN; shape.slots()],
            });
            add(&mut row.covered, found.span.min(step.max(60_000)));
            row.take(&numbers, map, &shape, &totals);
        }
        Grid {
            shape,
            rows: rows.into_values().collect(),
            step,
        }
    }
}

impl Row {
    fn take(&mut self, numbers: &Numbers, map: &Map, shape: &Shape, totals: &Totals) {
        for &(from, to, slots, counted) in &map.slots {
            for (from, to) in (from..from + slots).zip(to..) {
                if counted {
                    add(
                        &mut self.grown[to],
                        numbers.counter(from, false).unwrap_or(0),
                    );
                    self.last[to] = totals.now[to] as f64;
                } else {
                    let value = numbers.gauge(from);
                    add(
                        &mut self.grown[to],
                        u64::from(value.is_some_and(|value| value > 0.0)),
                    );
                    self.last[to] = value.unwrap_or(f64::NAN);
                }
            }
        }
        debug_assert_eq!(self.last.len(), shape.slots());
    }
}

/// Adds what a frame says. A file from elsewhere may say anything.
pub(super) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

pub(super) fn is_key(kind: Kind) -> bool {
    matches!(kind, Kind::SecondKey | Kind::MinuteKey)
}

fn is_minute(kind: Kind) -> bool {
    matches!(kind, Kind::Minute | Kind::MinuteKey)
}

/// The frames that are needed, in order: seconds, and minutes where there are none; from the last key before `from` to the
/// first behind `to`, so that what counters read is known.
fn used(log: &Log, from: u64, to: u64) -> Vec<Found> {
    let seconds = log.frames().iter().filter(|it| it.kind == Kind::Second);
    // Which minutes of which runs are told by seconds.
    let told: HashSet<(u32, u64)> = seconds
        .map(|it| (it.stamp.run, it.stamp.life / 60_000))
        .collect();
    let by_seconds = |it: &Found| {
        // A minute's frame is made when the next one has begun.
        let middle = it.stamp.life.saturating_sub(it.span / 2);
        told.contains(&(it.stamp.run, middle / 60_000))
    };
    let wanted = |it: &&Found| match is_minute(it.kind) {
        true => it.kind == Kind::MinuteKey || !by_seconds(it),
        false => true,
    };
    let all: Vec<Found> = log
        .frames()
        .iter()
        .filter(|it| log.has_shape(it))
        .filter(wanted)
        .copied()
        .collect();
    let key = |minute| move |it: &&Found| is_key(it.kind) && is_minute(it.kind) == minute;
    // A key reaches to the frames of its own succession; both of them are wanted.
    let before = |minute| {
        let keys = all.iter().filter(key(minute)).filter(|it| it.time <= from);
        keys.map(|it| it.number).max()
    };
    let behind = |minute| {
        let keys = all.iter().filter(key(minute)).filter(|it| it.time >= to);
        keys.map(|it| it.number).min()
    };
    let first = [before(false), before(true)];
    let last = [behind(false), behind(true)];
    let within = |it: &&Found| {
        let minute = usize::from(is_minute(it.kind));
        first[minute].is_none_or(|first| it.number >= first)
            && last[minute].is_none_or(|last| it.number <= last)
    };
    all.iter().filter(within).copied().collect()
}

/// Where the numbers of a shape stand among those of all: from, to, how many, and whether they are counted.
struct Map {
    slots: Vec<(usize, usize, usize, bool)>,
}

/// A series by its family and labels.
type Name<'a> = (&'a str, &'a [(String, String)]);

/// All series of all frames, and where those of each shape stand among them.
fn union(log: &Log, used: &[Found]) -> (Shape, HashMap<u32, Map>) {
    // The latest last, so that its word counts.
    let mut last: BTreeMap<u64, u32> = BTreeMap::new();
    let latest: HashMap<u32, u64> = used.iter().map(|it| (it.shape, it.number)).collect();
    last.extend(latest.into_iter().map(|(hash, number)| (number, hash)));
    let shapes: Vec<_> = last.values().filter_map(|hash| log.shape(*hash)).collect();
    let mut columns: HashMap<Name<'_>, &Column> = HashMap::new();
    for column in shapes.iter().flat_map(|shape| shape.columns()) {
        columns.insert((&column.name, &column.labels), column);
    }
    let all = Shape::new(columns.into_values().cloned().collect());
    let places: HashMap<Name<'_>, (usize, &Form)> = all
        .places()
        .map(|(place, it)| ((it.name.as_str(), &it.labels[..]), (place, &it.form)))
        .collect();
    let maps = shapes.iter().map(|shape| {
        let slots = shape.places().filter_map(|(from, column)| {
            let (to, form) = places.get(&(column.name.as_str(), &column.labels[..]))?;
            // A series that changed its form between two versions is shown by the later one's alone.
            (*form == &column.form).then(|| (from, *to, form.slots(), form.is_counted()))
        });
        (
            shape.hash(),
            Map {
                slots: slots.collect(),
            },
        )
    });
    let maps = maps.collect();
    (all, maps)
}

/// What counters read.
struct Totals {
    now: Vec<u64>,
    /// Whose they are: the run, and whether minutes or seconds are added up.
    of: Option<(u32, bool)>,
}

impl Totals {
    fn new(shape: &Shape) -> Totals {
        Totals {
            now: vec![0; shape.slots()],
            of: None,
        }
    }

    /// Whether `found` is the first of another run, or of seconds after minutes.
    fn begins(&self, found: &Found) -> bool {
        self.of != Some((found.stamp.run, is_minute(found.kind)))
    }

    /// What counters read before the first frame of `rest`: by the next key, what grew until there taken off.
    fn begin(&mut self, log: &Log, rest: &[Found], places: &HashMap<u32, Map>) {
        let first = &rest[0];
        let of = (first.stamp.run, is_minute(first.kind));
        let same_run = self.of.is_some_and(|(run, _)| run == of.0);
        self.of = Some(of);
        let mut grown = vec![0u64; self.now.len()];
        let mut read = vec![None; self.now.len()];
        let mine = rest
            .iter()
            .filter(|it| (it.stamp.run, is_minute(it.kind)) == of);
        let mut found_key = false;
        // From the process's start on everything is known.
        if first.span > 0 || is_key(first.kind) {
            for found in mine {
                let (Some(numbers), Some(map)) = (log.numbers(found), places.get(&found.shape))
                else {
                    continue;
                };
                found_key = is_key(found.kind);
                for &(from, to, slots, _) in map.slots.iter().filter(|it| it.3) {
                    for (from, to) in (from..from + slots).zip(to..) {
                        match found_key {
                            true => read[to] = numbers.counter(from, true),
                            false => add(&mut grown[to], numbers.counter(from, false).unwrap_or(0)),
                        }
                    }
                }
                if found_key {
                    break;
                }
            }
        }
        for (slot, now) in self.now.iter_mut().enumerate() {
            let before = if same_run { *now } else { 0 };
            *now = match read[slot] {
                Some(read) if found_key => before.max(read.saturating_sub(grown[slot])),
                _ => before,
            };
        }
    }

    fn add(&mut self, found: &Found, numbers: &Numbers, map: &Map) {
        for &(from, to, slots, _) in map.slots.iter().filter(|it| it.3) {
            for (from, to) in (from..from + slots).zip(to..) {
                match is_key(found.kind) {
                    true => {
                        let read = numbers.counter(from, true).unwrap_or(0);
                        self.now[to] = self.now[to].max(read);
                    }
                    false => add(&mut self.now[to], numbers.counter(from, false).unwrap_or(0)),
                }
            }
        }
    }
}
