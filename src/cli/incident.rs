//! `byway incident`: what an engineer would piece together in an hour.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::history::now;
use super::recorded::RecordArgs;
use super::{exit, fail, print};
use crate::record::incident::{self, Account, Incident};
use crate::record::{Log, when};

/// What happened, who was blamed and why, what byway did, what clients felt and what it was worth
#[derive(Args, Debug)]
pub(super) struct IncidentArgs {
    /// All incidents of the record, a line each
    #[arg(long, conflicts_with_all = ["last", "at"])]
    list: bool,
    /// The last one [default]
    #[arg(long, conflicts_with = "at")]
    last: bool,
    /// The one that went on at this moment: -15m, 14:02, 2026-11-28T14:02:00Z; all in UTC
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with_all = ["format", "scenario"])]
    json: bool,
    /// What the recorder saw of each route, second by second, as JSON
    #[arg(long, conflicts_with_all = ["list", "format"])]
    scenario: bool,
    #[command(flatten)]
    record: RecordArgs,
}

impl IncidentArgs {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for a terminal
    Text,
    /// Markdown for a report
    Md,
    /// One object
    Json,
    /// One file with charts, for a mail
    Html,
}

/// An incident this far from the moment that was asked for is the one that is meant, in milliseconds.
const NEAR: u64 = 300_000;

pub(super) fn incident(args: &IncidentArgs) -> u8 {
    let at = match args
        .at
        .as_ref()
        .map(|text| when::parse(text, now()))
        .transpose()
    {
        Ok(at) => at,
        Err(error) => {
            fail(&format!("--at: {error}"));
            return exit::USAGE;
        }
    };
    let log = match args.record.open() {
        Ok(log) => log,
        Err(code) => return code,
    };
    let incidents = incident::find(&log);
    if args.list {
        return list(args, &log, &incidents);
    }
    let found = match at {
        None => incidents.last(),
        Some(at) => incidents
            .iter()
            .find(|it| it.holds(at))
            .or_else(|| near(&incidents, at)),
    };
    let Some(found) = found else {
        let line = nothing(&log);
        return match (at, incidents.len()) {
            (Some(at), more @ 1..) => fail(&format!(
                "no trouble at {}; `byway incident --list` shows the {more} that there are",
                when::rfc3339(at)
            )),
            _ => fail(&line),
        };
    };
    if args.scenario {
        return print(format!("{:#}\n", incident::scenario(&log, found)).as_bytes());
    }
    let account = Account::of(&log, found);
    let text = match args.format() {
        Format::Text => incident::text(&account),
        Format::Md => incident::markdown(&account),
        Format::Json => format!("{:#}\n", account.json()),
        Format::Html => incident::html(&account),
    };
    print(text.as_bytes())
}

fn near(incidents: &[Incident], at: u64) -> Option<&Incident> {
    let apart = |it: &&Incident| {
        let end = it.end.unwrap_or(it.last);
        it.start.saturating_sub(at).max(at.saturating_sub(end))
    };
    incidents
        .iter()
        .min_by_key(apart)
        .filter(|it| apart(it) <= NEAR)
}

fn nothing(log: &Log) -> String {
    match log.reach() {
        Some((first, last)) => format!(
            "no trouble is recorded; the record reaches from {} to {}",
            when::rfc3339(first),
            when::rfc3339(last)
        ),
        None => "the record is empty".into(),
    }
}

fn list(args: &IncidentArgs, log: &Log, incidents: &[Incident]) -> u8 {
    let text = match (args.format(), incidents.is_empty()) {
        (Format::Json, _) => {
            let all: Vec<_> = incidents
                .iter()
                .map(|it| {
                    json!({
                        "number": it.number,
                        "start": when::rfc3339(it.start),
                        "end": it.end.map(when::rfc3339),
                        "seconds": it.length() as f64 / 1e3,
                        "blamed": it.blamed.iter().filter(|it| !it.explained).map(|it| it.was()).collect::<Vec<_>>(),
                    })
                })
                .collect();
            format!("{:#}\n", json!({ "incidents": all }))
        }
        (_, true) => format!("{}\n", nothing(log)),
        _ => incident::list(incidents),
    };
    print(text.as_bytes())
}
