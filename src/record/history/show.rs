//! Steps for people and for programs.

use serde_json::{Value, json};

use super::super::reader::Told;
use super::super::when::{clock, rfc3339};
use super::figures::{RouteFelt, Step};

/// Columns for a person: what clients felt, then every route. What was `told` stands below the step that it fell into.
pub fn table(steps: &[Step], told: &[Told], step: u64) -> String {
    let names = route_names(steps);
    let days = steps.first().zip(steps.last());
    let one_day = days.is_some_and(|(first, last)| first.end / DAY == last.end / DAY);
    let time = |millis| match one_day {
        true => clock(millis),
        false => rfc3339(millis),
    };
    let mut head = vec!["time", "questions", "failed", "stale", "p50", "p99"];
    head.extend(names.iter().map(String::as_str));
    let mut rows = vec![head.into_iter().map(String::from).collect::<Vec<_>>()];
    let mut notes: Vec<Vec<String>> = vec![Vec::new()];
    let mut told = told.iter().peekable();
    for it in steps {
        let mut row = vec![
            time(it.end - step),
            it.clients.questions.to_string(),
            count(it.clients.failed),
            count(it.clients.stale),
            it.clients.p50.map_or("-".into(), millis),
            it.clients.p99.map_or("-".into(), millis),
        ];
        for name in &names {
            let route = it.routes.iter().find(|route| route.name == *name);
            row.push(route.map_or("-".into(), cell));
        }
        rows.push(row);
        let mut note = Vec::new();
        while let Some(event) = told.next_if(|event| event.time <= it.end) {
            if event.event["detail"] == true {
                continue;
            }
            let text = event.event["text"].as_str().unwrap_or_default();
            let mark = if event.event["trouble"] == true {
                '!'
            } else {
                ' '
            };
            note.push(format!("  {} {mark} {text}", time(event.time)));
        }
        notes.push(note);
    }
    columns(&rows, &notes)
}

const DAY: u64 = 86_400_000;

/// A route in a step: packets, round trip, loss, and what was believed of it unless it was clear.
fn cell(route: &RouteFelt) -> String {
    let mut parts = vec![route.packets.to_string()];
    parts.extend(route.rtt.map(millis));
    parts.extend(route.loss().filter(|loss| *loss > 0.0).map(percent));
    let verdict = route.verdict.as_deref();
    parts.extend(verdict.filter(|it| *it != "clear").map(String::from));
    parts.join(" ")
}

/// The routes of all steps, each once.
fn route_names(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = steps
        .iter()
        .flat_map(|step| step.routes.iter().map(|route| route.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Columns as wide as what is in them, and notes below each row.
pub(in crate::record) fn columns(rows: &[Vec<String>], notes: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for (row, notes) in rows.iter().zip(notes) {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        out += line.trim_end();
        out += "\n";
        for note in notes {
            out += note;
            out += "\n";
        }
    }
    out
}

/// The same for programs: times in RFC 3339, durations in seconds, shares from 0 to 1, what is not known `null`.
pub fn json(steps: &[Step], told: &[Told], step: u64) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|it| {
            json!({
                "time": rfc3339(it.end - step),
                "seconds": it.seconds,
                "clients": it.clients,
                "packets": it.packets,
                "routes": it.routes.iter().map(route).collect::<Vec<_>>(),
            })
        })
        .collect();
    let events: Vec<Value> = told.iter().map(event).collect();
    json!({ "step": step as f64 / 1e3, "steps": steps, "events": events })
}

fn route(route: &RouteFelt) -> Value {
    let mut object = json!(route);
    object["loss"] = json!(route.loss());
    object
}

/// An event with its time.
fn event(told: &Told) -> Value {
    let mut object = told.event.clone();
    if let Value::Object(object) = &mut object {
        object.insert("time".into(), json!(rfc3339(told.time)));
    }
    object
}

/// The same, a line for each step and columns for each route.
pub fn csv(steps: &[Step], step: u64) -> String {
    let names = route_names(steps);
    let fixed = "time,seconds,questions,from_cache,from_upstream,failed,stale,p50,p99,packets";
    let mut out = fixed.to_owned();
    for name in &names {
        for figure in ["packets", "ended", "lost", "rtt", "verdict"] {
            out += &format!(",{}", quoted(&format!("{name} {figure}")));
        }
    }
    out += "\n";
    let number = |value: Option<f64>| value.map_or(String::new(), |it| it.to_string());
    for it in steps {
        let clients = &it.clients;
        let mut cells = vec![
            rfc3339(it.end - step),
            it.seconds.to_string(),
            clients.questions.to_string(),
            clients.from_cache.to_string(),
            clients.from_upstream.to_string(),
            clients.failed.to_string(),
            clients.stale.to_string(),
            number(clients.p50),
            number(clients.p99),
            it.packets.to_string(),
        ];
        for name in &names {
            match it.routes.iter().find(|route| route.name == *name) {
                Some(route) => cells.extend([
                    route.packets.to_string(),
                    route.ended.to_string(),
                    route.lost.to_string(),
                    number(route.rtt),
                    route.verdict.clone().unwrap_or_default(),
                ]),
                None => cells.extend([const { String::new() }; 5]),
            }
        }
        out += &cells.join(",");
        out += "\n";
    }
    out
}

/// A field as RFC 4180 has it.
fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn count(count: u64) -> String {
    match count {
        0 => "-".into(),
        count => count.to_string(),
    }
}

/// A duration in seconds as milliseconds, in two digits that matter.
pub(in crate::record) fn millis(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 0.095 => format!("{:.0} us", ms * 1e3),
        ms if ms < 0.95 => format!("{ms:.2} ms"),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 9_950.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// A share as people say it.
pub(in crate::record) fn percent(share: f64) -> String {
    match share * 100.0 {
        all if all >= 9.95 || all == 0.0 => format!("{all:.0} %"),
        some if some >= 0.095 => format!("{some:.1} %"),
        _ => "under 0.1 %".into(),
    }
}
