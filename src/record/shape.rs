//! Which series the numbers of a frame belong to.

use super::codec::{put, take, take_octets};

/// How a series is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A counter of things.
    Counter,
    /// A counter of seconds, in millionths.
    Micros,
    /// What goes up and down: whole numbers as they are, others to a thousandth of themselves.
    Gauge,
    /// A gauge that stays as it is, in millionths. It takes no number of a frame: its value is part of the shape.
    Constant(u64),
    /// Durations in buckets with these upper bounds in microseconds, one for what exceeds them, and their sum.
    Histogram(Vec<u64>),
}

impl Form {
    /// How many numbers it takes.
    pub fn slots(&self) -> usize {
        match self {
            Form::Constant(_) => 0,
            Form::Counter | Form::Micros | Form::Gauge => 1,
            Form::Histogram(bounds) => bounds.len() + 2,
        }
    }
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name of its family.
    pub name: String,
    /// Its labels, in the order of `/metrics`.
    pub labels: Vec<(String, String)>,
    /// How it is recorded.
    pub form: Form,
}

impl Column {
    /// The value of a label; empty if it has none of that name.
    pub fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map_or("", |(_, value)| value)
    }

    fn key(&self) -> String {
        let mut key = self.name.clone();
        for (label, value) in &self.labels {
            key.push(LABEL);
            key += label;
            key.push(VALUE);
            key += value;
        }
        key
    }
}

/// Separators in a column's key. A label value with one of them in it would be a strange name for an upstream; the
/// configuration takes none.
const LABEL: char = '\u{1f}';
const VALUE: char = '\u{1e}';

/// More columns than the most routes of a configuration make, so that a count that is not true costs nothing.
const COLUMNS_MOST: usize = 1 << 18;
const BOUNDS_MOST: usize = 1 << 10;
/// The numbers that all columns may take together.
const SLOTS_MOST: usize = 1 << 20;

/// All series of a frame, in the order of its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    columns: Vec<Column>,
    /// Where each column's numbers begin.
    starts: Vec<usize>,
    slots: usize,
    /// Its name: the checksum of how it is written.
    hash: u32,
}

impl Shape {
    /// A shape of these columns, sorted by name and labels.
    pub fn new(mut columns: Vec<Column>) -> Shape {
        columns.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
        let mut shape = Shape {
            hash: 0,
            starts: Vec::with_capacity(columns.len()),
            slots: 0,
            columns,
        };
        for column in &shape.columns {
            shape.starts.push(shape.slots);
            shape.slots += column.form.slots();
        }
        shape.hash = crc32fast::hash(&shape.write());
        shape
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns, and where the numbers of each begin.
    pub fn places(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.starts.iter().copied().zip(&self.columns)
    }

    /// How many numbers a frame has.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// What frames call it.
    pub fn hash(&self) -> u32 {
        self.hash
    }

    /// The shape as the contents of a frame: names share their beginnings with the one before.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.columns.len() as u64);
        let mut before = String::new();
        let mut bounds_before: &[u64] = &[];
        for column in &self.columns {
            let key = column.key();
            let octets = before.bytes().zip(key.bytes());
            let mut shared = octets.take_while(|(a, b)| a == b).count();
            while !key.is_char_boundary(shared) {
                shared -= 1;
            }
            put(&mut out, shared as u64);
            put(&mut out, (key.len() - shared) as u64);
            out.extend_from_slice(&key.as_bytes()[shared..]);
            before = key;
            out.push(match &column.form {
                Form::Counter => 0,
                Form::Micros => 1,
                Form::Gauge => 2,
                Form::Histogram(bounds) if bounds == bounds_before => 3,
                Form::Histogram(_) => 4,
                Form::Constant(_) => 5,
            });
            if let Form::Constant(value) = column.form {
                put(&mut out, value);
            }
            if let Form::Histogram(bounds) = &column.form
                && bounds != bounds_before
            {
                put(&mut out, bounds.len() as u64);
                bounds.iter().for_each(|&bound| put(&mut out, bound));
                bounds_before = bounds;
            }
        }
        out
    }

    /// The shape that [`Shape::write`] wrote; `None` if it did not.
    pub(super) fn read(mut octets: &[u8]) -> Option<Shape> {
        let hash = crc32fast::hash(octets);
        let count = usize::try_from(take(&mut octets)?).ok()?;
        if count > COLUMNS_MOST {
            return None;
        }
        let mut shape = Shape {
            hash,
            ..Shape::default()
        };
        let (mut before, mut bounds_before) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let shared = usize::try_from(take(&mut octets)?).ok()?;
            let own = usize::try_from(take(&mut octets)?).ok()?;
            let mut key = before.get(..shared)?.to_vec();
            key.extend_from_slice(take_octets(&mut octets, own)?);
            let form = match take_octets(&mut octets, 1)?[0] {
                0 => Form::Counter,
                1 => Form::Micros,
                2 => Form::Gauge,
                3 => Form::Histogram(bounds_before.clone()),
                5 => Form::Constant(take(&mut octets)?),
                4 => {
                    let count = usize::try_from(take(&mut octets)?).ok()?;
                    if count > BOUNDS_MOST {
                        return None;
                    }
                    let bounds = (0..count).map(|_| take(&mut octets));
                    bounds_before = bounds.collect::<Option<_>>()?;
                    Form::Histogram(bounds_before.clone())
                }
                _ => return None,
            };
            shape.starts.push(shape.slots);
            shape.slots += form.slots();
            if shape.slots > SLOTS_MOST {
                return None;
            }
            shape
                .columns
                .push(column(std::str::from_utf8(&key).ok()?, form)?);
            before = key;
        }
        octets.is_empty().then_some(shape)
    }
}

fn column(key: &str, form: Form) -> Option<Column> {
    let mut parts = key.split(LABEL);
    let name = parts.next()?.to_owned();
    let label = |part: &str| {
        let (label, value) = part.split_once(VALUE)?;
        Some((label.to_owned(), value.to_owned()))
    };
    Some(Column {
        name,
        labels: parts.map(label).collect::<Option<_>>()?,
        form,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Vec<Column> {
        let column = |name: &str, labels: &[(&str, &str)], form| Column {
            name: name.into(),
            labels: labels.iter().map(|&(a, b)| (a.into(), b.into())).collect(),
            form,
        };
        let bounds = vec![10, 25, 50];
        vec![
            column("b_total", &[("path", "eth1"), ("x", "")], Form::Counter),
            column("b_total", &[("path", "eth0é"), ("x", "")], Form::Counter),
            column("b_total", &[("path", "eth0è"), ("x", "")], Form::Counter),
            column("a_seconds_total", &[], Form::Micros),
            column("h", &[("route", "1")], Form::Histogram(bounds.clone())),
            column("h", &[("route", "2")], Form::Histogram(bounds)),
            column("g", &[], Form::Gauge),
            column("c", &[], Form::Constant(64_000_000)),
        ]
    }

    #[test]
    fn a_shape_reads_back() {
        let shape = Shape::new(columns());
        assert_eq!(shape.slots(), 5 + 2 * 5);
        assert_eq!(shape.columns()[0].name, "a_seconds_total");
        let read = Shape::read(&shape.write()).expect("a shape");
        assert_eq!(read, shape);
        let (start, last) = shape.places().last().expect("columns");
        assert_eq!((start, last.label("route")), (10, "2"));
    }

    #[test]
    fn the_order_of_columns_makes_no_other_shape() {
        let mut turned = columns();
        turned.reverse();
        assert_eq!(Shape::new(turned), Shape::new(columns()));
        assert_ne!(
            Shape::new(columns()[1..].to_vec()).hash(),
            Shape::new(columns()).hash()
        );
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(mut octets: Vec<u8>, at: usize, with: u8) {
            let _ = Shape::read(&octets);
            octets = Shape::new(columns()).write();
            let at = at % octets.len();
            octets[at] = with;
            if let Some(shape) = Shape::read(&octets) {
                prop_assert_eq!(shape.starts.len(), shape.columns.len());
            }
        }
    }
}
