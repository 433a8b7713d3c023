//! Everything that is known of one incident.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::history::{Buckets, upstream_answers};
use super::super::history::{Felt, Grid, RouteFelt, Step, steps};
use super::super::reader::{Log, Told};
use super::super::when::rfc3339;
use super::find::{Blamed, Incident, text};
use crate::observe::names;

/// At least and at most so much before and after is looked at, in milliseconds.
const AROUND_LEAST: u64 = 60_000;
const AROUND_MOST: u64 = 600_000;
/// What was told so long before the first sign belongs to it, in milliseconds.
const PRELUDE: u64 = 2_000;
/// Points of a chart.
const POINTS: u64 = 300;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When, in milliseconds since the Unix epoch.
    #[serde(skip)]
    pub at: u64,
    /// When.
    pub time: String,
    /// What kind of event.
    pub kind: String,
    /// In words.
    pub text: String,
    /// For the worse.
    pub trouble: bool,
    /// A change of mind on the way to what was told.
    pub detail: bool,
}

/// The same before, during and after; `None` where nothing is recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phases<T> {
    /// As long before as it took, a minute at least and ten at most.
    pub before: Option<T>,
    /// From the first sign to the end.
    pub during: Option<T>,
    /// As long after.
    pub after: Option<T>,
}

/// What upstreams felt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Seconds of it that are recorded.
    pub seconds: f64,
    /// Packets sent.
    pub packets: u64,
    /// Questions that needed an upstream.
    pub questions: u64,
    /// Packets for each of them; `None` without any.
    pub amplification: Option<f64>,
    /// Hedges, retries, probes, refreshes and fallbacks to a stream among the packets.
    pub hedges: u64,
    /// See `hedges`.
    pub retries: u64,
    /// See `hedges`.
    pub probes: u64,
    /// See `hedges`.
    pub refreshes: u64,
    /// Every route.
    pub routes: Vec<RouteFelt>,
}

/// What leaving somebody was worth: what clients would have met there, by the attempts that went on measuring it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worth {
    /// Who was left.
    pub left: String,
    /// From when to when, in seconds of the incident.
    pub seconds: f64,
    /// Attempts that ended there meanwhile: trials, probes, and what was under way. 0: not measured.
    pub samples: u64,
    /// Of those, without an answer.
    pub lost: u64,
    /// Half of those that were answered took no longer, in seconds; `None` if none was.
    pub p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
    /// Questions that went elsewhere meanwhile.
    pub questions: u64,
    /// Half of the answers from upstream took no longer, in seconds.
    pub felt_p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub felt_p99: Option<f64>,
}

/// An account of an incident.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// Its number in the record.
    pub number: usize,
    /// One sentence.
    pub headline: String,
    /// When it began to show.
    pub start: String,
    /// When it was over; `null` if it goes on.
    pub end: Option<String>,
    /// How long it took, or takes so far.
    pub seconds: f64,
    /// What was seen first.
    pub first: Option<Moment>,
    /// Who was blamed, and on what evidence.
    pub blamed: Vec<Blame>,
    /// What byway did, and what the operator had it do.
    pub done: Vec<Moment>,
    /// What clients felt.
    pub clients: Phases<Felt>,
    /// What upstreams felt.
    pub upstreams: Phases<Load>,
    /// How it ended.
    pub ending: String,
    /// What leaving was worth.
    pub worth: Vec<Worth>,
    /// Everything that was told.
    pub timeline: Vec<Moment>,
    /// For the charts.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// When it was, in milliseconds since the Unix epoch.
    #[serde(skip)]
    pub span: (u64, u64),
}

/// Somebody who was blamed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// Who.
    pub name: String,
    /// What it was.
    pub what: String,
    /// When that was told.
    pub time: String,
    /// In words, with the evidence.
    pub text: String,
    /// The evidence.
    pub evidence: Value,
    /// A wider trouble explains it.
    pub explained: bool,
    /// What was told when it was over.
    pub over: Option<String>,
}

impl Account {
    /// Puts it together.
    pub fn of(log: &Log, incident: &Incident) -> Account {
        let (start, end) = (incident.start, incident.end.unwrap_or(incident.last));
        let around = incident.length().clamp(AROUND_LEAST, AROUND_MOST);
        // A second is told of at its end.
        let windows = [
            (start.saturating_sub(around), start),
            (start, end.max(start + 1) + 1_000),
            (end + 1_000, end + 1_000 + around),
        ];
        let [before, during, after] = windows.map(|(from, to)| Grid::whole(log, from, to));
        let timeline = timeline(log, start.saturating_sub(PRELUDE), end + PRELUDE);
        let [clients_before, clients, clients_after] =
            [&before, &during, &after].map(|it| steps(it).pop().map(|step| step.clients));
        let (from, to) = (windows[0].0, windows[2].1);
        let step = (to - from).div_ceil(POINTS * 1_000).max(1) * 1_000;
        Account {
            number: incident.number,
            headline: headline(incident, clients.as_ref()),
            start: rfc3339(start),
            end: incident.end.map(rfc3339),
            seconds: incident.length() as f64 / 1e3,
            first: timeline.iter().find(|it| !is_frame(it)).cloned(),
            blamed: incident.blamed.iter().map(blame).collect(),
            done: timeline.iter().filter(|it| is_deed(it)).cloned().collect(),
            clients: Phases {
                before: clients_before,
                during: clients,
                after: clients_after,
            },
            upstreams: Phases {
                before: load(&before),
                during: load(&during),
                after: load(&after),
            },
            ending: incident.ending.clone(),
            worth: worth(log, incident),
            timeline,
            steps: steps(&Grid::of(log, from, to, step)),
            span: (start, end),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!(self)
    }
}

fn headline(incident: &Incident, felt: Option<&Felt>) -> String {
    let culprits: Vec<&Blamed> = incident.blamed.iter().filter(|it| !it.explained).collect();
    let mut was: Vec<String> = Vec::new();
    for it in culprits {
        let words = it.was();
        if !was.contains(&words) {
            was.push(words);
        }
    }
    let more = was.len().saturating_sub(3);
    was.truncate(3);
    let mut line = was.join(", ");
    if more > 0 {
        line += &format!(", and {more} more");
    }
    let span = crate::record::incident::words::span(incident.length());
    line += &match incident.end {
        Some(_) => format!(", for {span}"),
        None => format!(", for {span} so far"),
    };
    let felt = match felt {
        None => "what clients felt is not recorded".into(),
        Some(felt) if felt.questions == 0 => "nobody asked".into(),
        Some(felt) if felt.failed == 0 && felt.stale == 0 => "clients noticed nothing".into(),
        Some(felt) => {
            let share = |count: u64| super::words::percent(count as f64 / felt.questions as f64);
            match (felt.failed, felt.stale) {
                (0, stale) => format!(
                    "no question failed, {stale} ({}) were answered stale",
                    share(stale)
                ),
                (failed, 0) => format!(
                    "{failed} of {} questions ({}) failed",
                    felt.questions,
                    share(failed)
                ),
                (failed, stale) => format!(
                    "{failed} of {} questions ({}) failed, {stale} were answered stale",
                    felt.questions,
                    share(failed)
                ),
            }
        }
    };
    format!("{line}: {felt}")
}

fn blame(it: &Blamed) -> Blame {
    Blame {
        name: it.name(),
        what: it.nature.clone(),
        time: rfc3339(it.told),
        text: it.text.clone(),
        evidence: it.evidence.clone(),
        explained: it.explained,
        over: it.over.clone(),
    }
}

fn timeline(log: &Log, from: u64, to: u64) -> Vec<Moment> {
    let within = |told: &&Told| (from..=to).contains(&told.time);
    log.told().iter().filter(within).map(moment).collect()
}

fn moment(told: &Told) -> Moment {
    Moment {
        at: told.time,
        time: rfc3339(told.time),
        kind: text(told, "kind").into(),
        text: text(told, "text").into(),
        trouble: told.event["trouble"] == true,
        detail: told.event["detail"] == true,
    }
}

/// Whether it only says between what the record lies.
fn is_frame(moment: &Moment) -> bool {
    ["started", "stopped", "missed", "clock"].contains(&moment.kind.as_str())
}

/// Whether it is something that byway did, or had to do.
fn is_deed(moment: &Moment) -> bool {
    let deeds = [
        "evacuated",
        "returned",
        "nothing-clear",
        "clear-again",
        "outage",
        "outage-over",
        "drained",
        "restored",
        "name-vanished",
        "name-returned",
        "name-let-go",
    ];
    deeds.contains(&moment.kind.as_str())
}

fn load(grid: &Grid) -> Option<Load> {
    let step = steps(grid).pop()?;
    let row = grid.rows.last()?;
    let sent = |kind: &str| -> u64 {
        let columns = grid
            .shape
            .places()
            .filter(|(_, it)| it.name == names::ATTEMPTS_SENT.name && it.label("kind") == kind);
        columns.fold(0, |sum, (place, _)| sum.saturating_add(row.grown[place]))
    };
    let questions = sent("primary");
    Some(Load {
        seconds: step.seconds,
        packets: step.packets,
        questions,
        amplification: (questions > 0).then(|| step.packets as f64 / questions as f64),
        hedges: sent("hedge"),
        retries: sent("retry"),
        probes: sent("probe"),
        refreshes: sent("refresh"),
        routes: step.routes,
    })
}

/// Whoever carries more than a tenth of the packets is not left alone any more.
const USED: u64 = 10;

/// The moment before `to` when traffic had come back to what was left: it comes in growing shares before that is told.
fn until_used(log: &Log, from: u64, to: u64, is_left: impl Fn(&str) -> bool) -> u64 {
    let step = (to - from).div_ceil(POINTS * 1_000).max(1) * 1_000;
    let used = |it: &Step| {
        let left = it.routes.iter().filter(|route| is_left(&route.name));
        left.fold(0, |sum: u64, route| sum.saturating_add(route.packets)) > it.packets / USED
    };
    // In the first step it was being left.
    let back = steps(&Grid::of(log, from + step, to, step))
        .into_iter()
        .find(used);
    back.map_or(to, |it| it.end.saturating_sub(step).max(from + 1_000))
}

/// From when traffic had left somebody until it began to come back. A second is told of at its end, so the last one, in
/// which both happened, is not counted.
fn left_alone(log: &Log, incident: &Incident, blamed: &Blamed) -> (u64, u64) {
    let until = blamed.until.or(incident.end).unwrap_or(incident.last);
    let about = |told: &&Told| {
        let subject = &told.event["subject"];
        let name = subject["kind"].as_str().zip(subject["name"].as_str());
        let known = blamed
            .subject
            .as_ref()
            .map(|(kind, name)| (kind.as_str(), name.as_str()));
        name == known && (blamed.since.saturating_sub(PRELUDE)..=until).contains(&told.time)
    };
    let told = || log.told().iter().filter(about);
    // A doubt moves the next question already.
    let left = told().find(|it| {
        let worse = ["suspect", "congested", "sick", "dead"].contains(&text(it, "to"));
        text(it, "kind") == "evacuated" || worse
    });
    let from = left.map_or(blamed.told, |it| it.time.min(blamed.told));
    let back = told().find(|it| {
        let better = ["recovering", "clear"].contains(&text(it, "to"));
        it.time > from && (text(it, "kind") == "returned" || better)
    });
    let to = back.map_or(until, |it| it.time);
    (from, to.saturating_sub(1_000).max(from + 1_000))
}

/// What was left, and what it would have been like to stay.
fn worth(log: &Log, incident: &Incident) -> Vec<Worth> {
    let mut all: Vec<Worth> = Vec::new();
    for blamed in incident.blamed.iter().filter(|it| !it.explained) {
        let Some((kind, name)) = &blamed.subject else {
            continue;
        };
        if kind == "name" {
            // It was not left for another one.
            continue;
        }
        let is_left = |route: &str| {
            let (upstream, path) = route.split_once('@').unwrap_or((route, ""));
            match kind.as_str() {
                "path" => path == name,
                "upstream" => upstream == name,
                _ => route == name,
            }
        };
        if all.iter().any(|it| it.left == blamed.name()) {
            continue;
        }
        let (from, to) = left_alone(log, incident, blamed);
        let to = until_used(log, from, to, is_left);
        let grid = Grid::whole(log, from, to);
        let Some(row) = grid.rows.last() else {
            continue;
        };
        let (mut samples, mut lost, mut questions) = (0, 0, 0);
        for route in steps(&grid).pop().into_iter().flat_map(|it| it.routes) {
            if is_left(&route.name) {
                samples = route.ended.saturating_add(samples);
                lost = route.lost.saturating_add(lost);
            }
        }
        let mut trips = Buckets::default();
        for (place, column) in grid.shape.places() {
            let here = is_left(&format!(
                "{}@{}",
                column.label("upstream"),
                column.label("path")
            ));
            if column.name == names::ATTEMPT_DURATION.name && here {
                trips.add(column, &row.grown[place..]);
            }
            let sent = column.name == names::ATTEMPTS_SENT.name;
            if sent && !here && column.label("kind") == "primary" {
                questions = row.grown[place].saturating_add(questions);
            }
        }
        let felt = upstream_answers(&grid.shape, row);
        all.push(Worth {
            left: blamed.name(),
            seconds: (to - from) as f64 / 1e3,
            samples,
            lost,
            p50: trips.quantile(0.5),
            p99: trips.quantile(0.99),
            questions,
            felt_p50: felt.quantile(0.5),
            felt_p99: felt.quantile(0.99),
        });
    }
    all
}
