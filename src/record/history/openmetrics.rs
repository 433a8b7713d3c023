//! The record as OpenMetrics, so that a hole in Prometheus can be filled afterwards.

use std::fmt::Write;

use super::super::shape::{Column, Form};
use super::grid::Grid;
use crate::observe::names;

/// All series with a sample for each step, named and labelled as on `/metrics`.
pub fn write(grid: &Grid) -> String {
    let mut out = String::new();
    let mut family = "";
    for (place, column) in grid.shape.places() {
        if column.name != family {
            family = &column.name;
            head(&mut out, column);
        }
        let labels = labels(column);
        for row in &grid.rows {
            let time = seconds(row.end);
            let value = match column.form {
                Form::Constant(micros) => micros as f64 / 1e6,
                _ => row.last[place],
            };
            // What is not known has no sample.
            if value.is_nan() {
                continue;
            }
            // Writing to a string does not fail.
            let _ = match &column.form {
                Form::Counter | Form::Gauge | Form::Constant(_) => {
                    writeln!(out, "{}{} {value} {time}", column.name, braced(&labels))
                }
                Form::Micros => {
                    let value = value / 1e6;
                    writeln!(out, "{}{} {value} {time}", column.name, braced(&labels))
                }
                Form::Histogram(bounds) => {
                    let values = &row.last[place..place + bounds.len() + 2];
                    histogram(&mut out, column, &labels, bounds, values, &time)
                }
            };
        }
    }
    out.push_str("# EOF\n");
    out
}

fn head(out: &mut String, column: &Column) {
    let (kind, name) = match column.form {
        Form::Counter | Form::Micros => (
            "counter",
            column.name.strip_suffix("_total").unwrap_or(&column.name),
        ),
        Form::Gauge | Form::Constant(_) => ("gauge", column.name.as_str()),
        Form::Histogram(_) => ("histogram", column.name.as_str()),
    };
    let help = names::ALL.iter().find(|it| it.name == column.name);
    if let Some(help) = help {
        let _ = writeln!(out, "# HELP {name} {}", escaped(help.help));
    }
    let _ = writeln!(out, "# TYPE {name} {kind}");
}

fn histogram(
    out: &mut String,
    column: &Column,
    labels: &str,
    bounds: &[u64],
    values: &[f64],
    time: &str,
) -> std::fmt::Result {
    let name = &column.name;
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0.0;
    for (index, value) in values[..=bounds.len()].iter().enumerate() {
        count += value;
        let bound = match bounds.get(index) {
            Some(bound) => (*bound as f64 / 1e6).to_string(),
            None => "+Inf".into(),
        };
        writeln!(
            out,
            "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count} {time}"
        )?;
    }
    let labels = braced(labels);
    let sum = values[bounds.len() + 1] / 1e6;
    writeln!(out, "{name}_sum{labels} {sum} {time}")?;
    writeln!(out, "{name}_count{labels} {count} {time}")
}

fn labels(column: &Column) -> String {
    let labels = column.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    labels.join(",")
}

fn braced(labels: &str) -> String {
    match labels {
        "" => String::new(),
        labels => format!("{{{labels}}}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}
