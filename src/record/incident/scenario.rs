//! What the recorder saw of each route, second by second, for a test to replay: an incident in the
//! field becomes a test.

use serde_json::{Value, json};

use super::super::history::{Grid, steps};
use super::super::reader::Log;
use super::super::when::rfc3339;
use super::find::Incident;

/// So long before and after is written too, in milliseconds.
const AROUND: u64 = 30_000;
/// The most seconds that are written.
const SECONDS_MOST: u64 = 3_600;

/// The incident as a scenario. Times are seconds, shares are from 0 to 1, and what was not measured is `null`.
pub fn scenario(log: &Log, incident: &Incident) -> Value {
    let from = incident.start.saturating_sub(AROUND) / 1_000 * 1_000;
    let end = incident.end.unwrap_or(incident.last) + AROUND;
    let to = end.min(from + SECONDS_MOST * 1_000);
    let steps = steps(&Grid::of(log, from, to, 1_000));
    let second = |end: u64| end.saturating_sub(from + 1_000) / 1_000;
    let mut names: Vec<&str> = steps
        .iter()
        .flat_map(|it| it.routes.iter().map(|route| route.name.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let routes: Vec<Value> = names
        .iter()
        .map(|name| {
            let (upstream, path) = name.split_once('@').unwrap_or((name, ""));
            let seconds: Vec<Value> = steps
                .iter()
                .filter_map(|step| {
                    let route = step.routes.iter().find(|it| it.name == **name)?;
                    Some(json!({
                        "second": second(step.end),
                        "packets": route.packets,
                        "ended": route.ended,
                        "loss": route.loss(),
                        "poor": route.poor,
                        "rtt": route.rtt,
                    }))
                })
                .collect();
            json!({ "name": name, "upstream": upstream, "path": path, "seconds": seconds })
        })
        .collect();
    let clients: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({
                "second": second(step.end),
                "questions": step.clients.questions,
                "failed": step.clients.failed,
                "stale": step.clients.stale,
            })
        })
        .collect();
    let blamed: Vec<String> = incident
        .blamed
        .iter()
        .filter(|it| !it.explained)
        .map(|it| it.name())
        .collect();
    json!({
        "byway-scenario": 1,
        "from": rfc3339(from),
        "begins": incident.start.saturating_sub(from) as f64 / 1e3,
        "ends": incident.end.map(|end| end.saturating_sub(from) as f64 / 1e3),
        "blamed": blamed,
        "clients": clients,
        "routes": routes,
    })
}
