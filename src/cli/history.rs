//! `byway history`: what clients felt and how each route fared, by steps of time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::recorded::{RecordArgs, nothing};
use super::{exit, fail, print};
use crate::config::units::parse_duration;
use crate::record::history::{self, Grid};
use crate::record::{Told, when};

/// What clients felt and how each route fared, from the flight recorder
#[derive(Args, Debug)]
pub(super) struct HistoryArgs {
    /// From when: -15m, 14:02, 2026-11-28T14:02:00Z; all in UTC
    #[arg(
        long,
        value_name = "TIME",
        default_value = "-15m",
        allow_hyphen_values = true
    )]
    from: String,
    /// Until when
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    to: String,
    /// How long each step is, such as 10s or "1 min" [default: what makes 15 to 30 of them; 15s for openmetrics]
    #[arg(long, value_name = "TIME", value_parser = step)]
    step: Option<Duration>,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// In the table, what was told too, below the step that it fell into
    #[arg(long)]
    events: bool,
    #[command(flatten)]
    record: RecordArgs,
}

impl HistoryArgs {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for a person
    Table,
    /// One object
    Json,
    /// A line for each step
    Csv,
    /// Every series with its times, for `promtool tsdb create-blocks-from openmetrics`
    Openmetrics,
}

/// The most steps that are made: each holds every series.
const STEPS_MOST: u64 = 10_000;

fn step(text: &str) -> Result<Duration, String> {
    let step = parse_duration(text).map_err(|error| error.to_string())?;
    match step.subsec_nanos() {
        0 if step.as_secs() > 0 => Ok(step),
        _ => Err("expected whole seconds".into()),
    }
}

/// The present, in milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn history(args: &HistoryArgs) -> u8 {
    let now = now();
    let moment = |key: &str, text: &str| {
        when::parse(text, now).map_err(|error| {
            fail(&format!("--{key} {}: {error}", text.escape_debug()));
            exit::USAGE
        })
    };
    let (from, to) = match (moment("from", &args.from), moment("to", &args.to)) {
        (Ok(from), Ok(to)) if from < to => (from, to),
        (Ok(_), Ok(_)) => {
            fail("--from must lie before --to");
            return exit::USAGE;
        }
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let step = match (args.step, args.format()) {
        (Some(step), _) => u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
        (None, Format::Openmetrics) => 15_000,
        (None, _) => history::comfortable(to - from),
    };
    if (to - from) / step > STEPS_MOST {
        fail(&format!(
            "that would be more than {STEPS_MOST} steps: ask for less time, or a longer --step"
        ));
        return exit::USAGE;
    }
    let log = match args.record.open() {
        Ok(log) => log,
        Err(code) => return code,
    };
    let grid = Grid::of(&log, from, to, step);
    if grid.rows.is_empty() {
        return nothing(&log, from, to);
    }
    let within = |told: &&Told| told.time > from && told.time <= to;
    let told: Vec<Told> = log.told().iter().filter(within).cloned().collect();
    let shown = match args.events {
        true => &told[..],
        false => &[],
    };
    let steps = history::steps(&grid);
    let text = match args.format() {
        Format::Table => history::table(&steps, shown, step),
        Format::Json => format!("{:#}\n", history::json(&steps, &told, step)),
        Format::Csv => history::csv(&steps, step),
        Format::Openmetrics => history::openmetrics(&grid),
    };
    print(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_seconds() {
        assert_eq!(step("10s"), Ok(Duration::from_secs(10)));
        for wrong in ["0s", "500ms", "1", "x"] {
            assert!(step(wrong).is_err(), "{wrong}");
        }
    }
}
