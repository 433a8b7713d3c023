//! Which incidents there were: troubles that were told, those close to each other together; and doubts that lasted, for
//! traffic that went elsewhere for half a minute wants an explanation too.

use serde_json::Value;

use super::super::reader::{Log, Told};

/// Troubles with less than this between them, in milliseconds, are one incident.
const QUIET: u64 = 60_000;

/// A doubt that was over sooner, in milliseconds, is ordinary life.
const LASTING: u64 = 10_000;

/// A time in which something was in trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its number in the record, from 1.
    pub number: usize,
    /// When it began to show, in milliseconds since the Unix epoch.
    pub start: u64,
    /// When the last of it was over; `None` if it goes on.
    pub end: Option<u64>,
    /// The last moment that is recorded of it.
    pub last: u64,
    /// Who was blamed, the one that explains most first.
    pub blamed: Vec<Blamed>,
    /// How it ended, in the words of the record.
    pub ending: String,
}

/// Somebody who was blamed.
#[derive(Clone, Debug, PartialEq)]
pub struct Blamed {
    /// `path`, `upstream` or `route`, and the operator's name; `None` where it is everything.
    pub subject: Option<(String, String)>,
    /// `outage`, `nothing-clear`, `path`, `upstream` or `route`.
    pub scope: String,
    /// What is wrong, one word.
    pub nature: String,
    /// When it began to show.
    pub since: u64,
    /// When it was told.
    pub told: u64,
    /// In words, with the evidence.
    pub text: String,
    /// The evidence as it was recorded.
    pub evidence: Value,
    /// When it was over, if it was.
    pub until: Option<u64>,
    /// What was told then.
    pub over: Option<String>,
    /// A wider trouble explains it.
    pub explained: bool,
    /// Nobody was told: it was doubted for long enough to be asked about, and not found guilty of what clients feel.
    pub doubted: bool,
    run: u32,
    number: u64,
}

impl Blamed {
    /// `path eth1`, or what it is where it is everything.
    pub fn name(&self) -> String {
        match (&self.subject, self.scope.as_str()) {
            (Some((kind, name)), _) => format!("{kind} {name}"),
            (None, "nothing-clear") => "every route".into(),
            (None, _) => "every upstream".into(),
        }
    }

    /// What it was, in words: `path eth1 was congested`.
    pub fn was(&self) -> String {
        let name = self.name();
        match (self.nature.as_str(), self.scope.as_str()) {
            ("refuses", _) => format!("{name} refused"),
            ("lost", _) => format!("{name} was missing"),
            ("vanished", _) => format!("{name} vanished"),
            ("silent", _) => format!("{name} did not answer"),
            ("", "nothing-clear") => "no route was clear".into(),
            ("", _) => "no name could be resolved".into(),
            ("suspect", _) => format!("{name} was doubted"),
            (nature, _) => format!("{name} was {nature}"),
        }
    }

    fn weight(&self) -> usize {
        let order = ["outage", "nothing-clear", "path", "upstream", "route"];
        let place = order.iter().position(|it| *it == self.scope);
        place.unwrap_or(order.len()) + if self.explained { order.len() } else { 0 }
    }
}

impl Incident {
    /// How long it took, or takes so far, in milliseconds.
    pub fn length(&self) -> u64 {
        self.end.unwrap_or(self.last).saturating_sub(self.start)
    }

    /// Whether `moment` lies in it.
    pub fn holds(&self, moment: u64) -> bool {
        (self.start..=self.end.unwrap_or(u64::MAX)).contains(&moment)
    }
}

/// All incidents of the record, in the order of time.
pub fn find(log: &Log) -> Vec<Incident> {
    let mut search = Search::default();
    let mut doubts = Doubts::default();
    let last = log.reach().map_or(0, |(_, last)| last);
    for told in log.told() {
        match text(told, "kind") {
            "verdict" => doubts.hear(told),
            "stopped" => doubts.end(told.time),
            "started" => doubts.end(search.seen),
            _ => {}
        }
        match text(told, "kind") {
            "trouble" | "name-vanished" => search.begin(told),
            "trouble-over" | "name-returned" | "name-let-go" => search.over(told),
            "stopped" => search.cut(told.time, "byway stopped"),
            "started" => search.cut(
                search.seen,
                "byway ended without a word: it crashed, was killed, or the host did",
            ),
            _ => {}
        }
        search.seen = told.time;
    }
    with_doubts(search.finish(last), doubts.lasting(last))
}

pub(super) fn text<'a>(told: &'a Told, name: &str) -> &'a str {
    told.event[name].as_str().unwrap_or_default()
}

/// Kind and name of whom it is about, if anybody.
fn subject(told: &Told) -> Option<(String, String)> {
    let name = |key: &str| Some(told.event["subject"][key].as_str()?.to_owned());
    name("kind").zip(name("name"))
}

fn millis(value: &Value) -> u64 {
    (value.as_f64().unwrap_or(0.0).clamp(0.0, 1e12) * 1e3) as u64
}

#[derive(Default)]
struct Search {
    done: Vec<Incident>,
    now: Option<Incident>,
    /// Where in `blamed` of `now` those are that are not over.
    open: Vec<usize>,
    /// When the last event was told.
    seen: u64,
}

impl Search {
    fn begin(&mut self, told: &Told) {
        let since = told.time.saturating_sub(millis(&told.event["lasted"]));
        let apart = |it: &Incident| it.end.is_some_and(|end| end + QUIET < since);
        if self.open.is_empty() && self.now.as_ref().is_some_and(apart) {
            self.done.extend(self.now.take());
        }
        let number = self.done.len() + 1;
        let now = self.now.get_or_insert_with(|| Incident {
            number,
            start: since,
            end: None,
            last: told.time,
            blamed: Vec::new(),
            ending: String::new(),
        });
        now.start = now.start.min(since);
        (now.end, now.last) = (None, told.time);
        let explains = told.event["explains"].as_array();
        let explained: Vec<u64> = explains
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        for (place, other) in now.blamed.iter_mut().enumerate() {
            if other.run == told.stamp.run && explained.contains(&other.number) {
                other.explained = true;
                self.open.retain(|open| *open != place);
            }
        }
        self.open.push(now.blamed.len());
        now.blamed.push(Blamed {
            subject: subject(told),
            scope: text(told, "scope").into(),
            nature: told.event["nature"]["what"]
                .as_str()
                .unwrap_or_default()
                .into(),
            since,
            told: told.time,
            text: text(told, "text").into(),
            evidence: told.event["evidence"].clone(),
            until: None,
            over: None,
            explained: false,
            doubted: false,
            run: told.stamp.run,
            number: told.event["number"].as_u64().unwrap_or(0),
        });
    }

    fn over(&mut self, told: &Told) {
        let Some(now) = &mut self.now else { return };
        let number = told.event["number"].as_u64();
        let Some(place) = self.open.iter().copied().find(|&place| {
            let it = &now.blamed[place];
            it.run == told.stamp.run && Some(it.number) == number
        }) else {
            return;
        };
        let lasted = millis(&told.event["lasted"]) + millis(&told.event["slept"]);
        let blamed = &mut now.blamed[place];
        let until = (blamed.since + lasted).min(told.time);
        blamed.until = Some(until);
        blamed.over = Some(text(told, "text").into());
        self.open.retain(|open| *open != place);
        now.last = told.time;
        if self.open.is_empty() {
            let ends = now.blamed.iter().filter_map(|it| it.until);
            now.end = ends.max();
            now.ending = text(told, "text").into();
        }
    }

    /// Nothing more is known of what is open.
    fn cut(&mut self, at: u64, why: &str) {
        let Some(now) = self.now.as_mut().filter(|_| !self.open.is_empty()) else {
            return;
        };
        self.open.clear();
        (now.end, now.last) = (Some(at), at);
        now.ending = why.into();
    }

    fn finish(mut self, last: u64) -> Vec<Incident> {
        if let Some(mut now) = self.now.take() {
            if !self.open.is_empty() {
                now.last = last;
                now.ending = "it goes on".into();
            }
            self.done.push(now);
        }
        for incident in &mut self.done {
            incident.blamed.sort_by_key(Blamed::weight);
        }
        self.done
    }
}

/// Who is doubted, and who was.
#[derive(Default)]
struct Doubts {
    /// Those that are over have an `until`. One that comes back soon goes on.
    all: Vec<Blamed>,
}

impl Doubts {
    fn hear(&mut self, told: &Told) {
        let Some(subject) = subject(told) else {
            return;
        };
        let verdict = text(told, "to");
        let since = told
            .time
            .saturating_sub(millis(&told.event["evidence"]["span"]));
        let known = self.all.iter_mut().rev().find(|it| {
            let soon = it.until.is_none_or(|until| until + LASTING >= since);
            it.subject.as_ref() == Some(&subject) && it.run == told.stamp.run && soon
        });
        match (verdict, known) {
            ("clear", Some(doubt)) => {
                doubt.until.get_or_insert(told.time);
                doubt.over.get_or_insert(text(told, "text").into());
            }
            ("clear" | "recovering" | "", _) => {}
            (worse, Some(doubt)) => {
                (doubt.until, doubt.over) = (None, None);
                // What it came to counts.
                if doubt.nature == "suspect" && worse != "suspect" {
                    doubt.nature = worse.into();
                    doubt.text = text(told, "text").into();
                    doubt.evidence = told.event["evidence"].clone();
                }
            }
            (first, None) => self.all.push(Blamed {
                scope: subject.0.clone(),
                subject: Some(subject),
                nature: first.into(),
                since,
                told: told.time,
                text: text(told, "text").into(),
                evidence: told.event["evidence"].clone(),
                until: None,
                over: None,
                explained: false,
                doubted: true,
                run: told.stamp.run,
                number: 0,
            }),
        }
    }

    /// The daemon has ended: nothing is doubted any more.
    fn end(&mut self, at: u64) {
        for doubt in &mut self.all {
            doubt.until.get_or_insert(at);
        }
    }

    /// Those that lasted; the record ends at `last`.
    fn lasting(self, last: u64) -> Vec<Blamed> {
        let lasts = |it: &Blamed| it.until.unwrap_or(last).saturating_sub(it.since) >= LASTING;
        self.all.into_iter().filter(lasts).collect()
    }
}

/// Puts doubts among the incidents: those of which nobody was told are incidents of their own.
fn with_doubts(told: Vec<Incident>, mut doubts: Vec<Blamed>) -> Vec<Incident> {
    let last = doubts
        .iter()
        .filter_map(|it| it.until)
        .chain(told.iter().map(|it| it.last))
        .max();
    let last = last.unwrap_or(0);
    doubts.sort_by_key(|it| it.since);
    let mut all = told;
    for doubt in doubts {
        let until = doubt.until.unwrap_or(u64::MAX);
        let meets = |it: &Incident| {
            doubt.since <= it.end.unwrap_or(u64::MAX).saturating_add(QUIET)
                && it.start <= until.saturating_add(QUIET)
        };
        match all.iter_mut().find(|it| meets(it)) {
            // Of a trouble that was told they are part.
            Some(incident) if incident.blamed.iter().any(|it| !it.doubted) => {}
            Some(incident) => {
                incident.start = incident.start.min(doubt.since);
                incident.end = incident.end.zip(doubt.until).map(|(a, b)| a.max(b));
                incident.last = incident.end.unwrap_or(last).max(incident.last);
                incident.ending = ending(incident.end, &doubt);
                incident.blamed.push(doubt);
            }
            None => all.push(Incident {
                number: 0,
                start: doubt.since,
                end: doubt.until,
                last: doubt.until.unwrap_or(last).max(doubt.told),
                ending: ending(doubt.until, &doubt),
                blamed: vec![doubt],
            }),
        }
    }
    all.sort_by_key(|it| it.start);
    for (number, incident) in (1..).zip(&mut all) {
        incident.number = number;
        explain_routes(&mut incident.blamed);
        incident.blamed.sort_by_key(Blamed::weight);
    }
    all
}

/// A route that was doubted along with its path or its upstream was so because of that.
fn explain_routes(blamed: &mut [Blamed]) {
    let wider: Vec<(String, String)> = blamed.iter().filter_map(|it| it.subject.clone()).collect();
    for it in blamed.iter_mut().filter(|it| it.doubted) {
        let Some(("route", route)) = it
            .subject
            .as_ref()
            .map(|(kind, name)| (kind.as_str(), name))
        else {
            continue;
        };
        let (upstream, path) = route.split_once('@').unwrap_or((route, ""));
        let covers = |(kind, name): &(String, String)| match kind.as_str() {
            "path" => name == path,
            "upstream" => name == upstream,
            _ => false,
        };
        it.explained = wider.iter().any(covers);
    }
}

fn ending(end: Option<u64>, doubt: &Blamed) -> String {
    match (end, &doubt.over) {
        (None, _) => "it goes on".into(),
        (Some(_), Some(over)) => over.clone(),
        (Some(_), None) => "byway ended".into(),
    }
}
