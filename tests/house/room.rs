//! The order of the files inside `src/route`: each takes from those before it, and none from one after it.
//!
//! Two kinds of arrows are looked at: what a file names of another one, and the methods that it calls of a type whose
//! methods stand in several files ([`Engine`](byway::route::Engine), [`Race`](byway::route::Race)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{sources, without_tests};

const ROOM: &str = "src/route";

/// The files, the lowest first. A folder's `mod.rs` goes by the folder's name.
const ORDER: &[&str] = &[
    // Words.
    "rules",
    "constants",
    "ids",
    "about",
    "outcome",
    "standing",
    "chance",
    // What is measured.
    "measure/stream",
    "measure/service_time",
    "measure/answered",
    "measure/recent",
    "measure/round_trip",
    "measure/in_flight",
    "measure",
    // What it comes to.
    "judge/counts",
    "judge/classify",
    "judge/probation",
    "judge/comeback",
    "judge/transitions",
    "judge/health",
    "judge/blame",
    "judge/doubts",
    "judge/failing",
    "judge",
    // What a choice rests on.
    "choose",
    "choose/precedence",
    "spend/bucket",
    "spend/prices",
    "spend",
    "load",
    "ask",
    // Who owns it, and moves it.
    "engine/state/seat",
    "engine/state/asking",
    "engine/state/idle",
    "engine/state/vain",
    "engine/state/round",
    "engine/state/record",
    "engine/state/group",
    "engine/state/stalls",
    "engine/state/pool",
    "engine/state",
    "engine",
    "engine/stalls",
    "engine/telling",
    "engine/ranks",
    "engine/verdicts",
    "engine/weigh",
    "engine/faults",
    "engine/heard",
    "engine/outcomes",
    "engine/vain",
    "engine/probes",
    "engine/choice",
    "engine/precedence",
    "engine/for_races",
    "engine/prospects",
    "engine/idle",
    "engine/first_round",
    "engine/tick",
    "engine/lineup",
    "engine/baseline",
    "engine/preview",
    "engine/report",
    "engine/orders",
    // One question's way.
    "race/state",
    "race/denial",
    "race/end",
    "race/retry",
    "race",
];

/// The types whose methods stand in several files.
const SPREAD: &[(&str, &str)] = &[("Engine", "engine"), ("Race", "race")];

/// A file's place in the order, and its name there; the constants' files share one. `None` for the room's face and for
/// tests.
fn place(path: &Path) -> Option<Result<(usize, &'static str), String>> {
    let inside = path.strip_prefix(ROOM).ok()?.to_str()?;
    let name = inside.strip_suffix(".rs")?;
    let name = name.strip_suffix("/mod").unwrap_or(name);
    let is_face = matches!(name, "mod" | "testing");
    if is_face || name == "tests" || name.ends_with("/tests") {
        return None;
    }
    let name = if name.starts_with("constants") {
        "constants"
    } else {
        name
    };
    let place = ORDER.iter().position(|it| *it == name);
    Some(
        place
            .map(|place| (place, ORDER[place]))
            .ok_or(inside.to_owned()),
    )
}

/// Lines of code with their numbers, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = without_tests(text).lines();
    (1..).zip(lines.map(|line| line.split("//").next().unwrap_or_default()))
}

/// The file that a path below `crate::route` leads to: the longest one that has a place.
fn file_of(path: &str) -> Option<(usize, &'static str)> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len()).rev().find_map(|count| {
        let name = parts[..count].join("/");
        let name = if name.starts_with("constants") {
            "constants".into()
        } else {
            name
        };
        ORDER
            .iter()
            .position(|it| **it == *name)
            .map(|place| (place, ORDER[place]))
    })
}

/// The paths below `crate::route` that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::route::").skip(1).map(|rest| {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches("::")
    })
}

/// The methods of each type whose methods stand in several files, and the file of each.
fn methods(files: &[(PathBuf, String)]) -> BTreeMap<(&'static str, String), (usize, &'static str)> {
    let mut all = BTreeMap::new();
    for (path, text) in files {
        let Some(Ok(place)) = place(path) else {
            continue;
        };
        let mut of = None;
        for (_, line) in code(text) {
            if line.starts_with("impl ") {
                of = SPREAD
                    .iter()
                    .find(|(name, _)| line == format!("impl {name} {{"));
            }
            let (Some((name, _)), Some((before, after))) = (of, line.split_once("fn ")) else {
                continue;
            };
            if before.starts_with("    ") && !before.starts_with("     ") {
                let method = after.split(['(', '<']).next().unwrap_or_default();
                all.insert((*name, method.to_owned()), place);
            }
        }
    }
    all
}

fn upward(files: &[(PathBuf, String)]) -> Vec<String> {
    let methods = methods(files);
    let mut wrong = Vec::new();
    for (path, text) in files {
        let (own, name) = match place(path) {
            None => continue,
            Some(Err(stranger)) => {
                wrong.push(format!("{stranger} has no place in the order"));
                continue;
            }
            Some(Ok(place)) => place,
        };
        let mut of = "";
        for (number, line) in code(text) {
            if line.starts_with("impl ") {
                let is = SPREAD
                    .iter()
                    .find(|(it, _)| line == format!("impl {it} {{"));
                of = is.map_or("", |(it, _)| it);
            }
            for path in named(line).filter(|path| !path.is_empty() && !path.starts_with("testing"))
            {
                match file_of(path) {
                    Some((other, _)) if other < own || ORDER[other] == name => {}
                    // What is visible to a folder names it.
                    Some((_, other)) if line.contains(&format!("pub(in crate::route::{other}")) => {
                    }
                    Some((_, other)) => wrong.push(format!(
                        "{name}:{number} takes from {other}, which is above it"
                    )),
                    None => wrong.push(format!(
                        "{name}:{number} takes {path} from the room's face, not from its file"
                    )),
                }
            }
            for (it, variable) in SPREAD {
                for receiver in ["self", variable] {
                    if receiver == "self" && of != *it {
                        continue;
                    }
                    for call in line.split(&format!("{receiver}.")).skip(1) {
                        let end = call.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                        let (method, rest) = call.split_at(end.unwrap_or(call.len()));
                        let called = methods.get(&(*it, method.to_owned()));
                        if let Some((other, file)) = called.filter(|_| rest.starts_with('('))
                            && *other > own
                        {
                            wrong.push(format!(
                                "{name}:{number} calls {method} of {file}, which is above it"
                            ));
                        }
                    }
                }
            }
        }
    }
    wrong
}

#[test]
fn the_routing_engines_files_take_from_those_before_them() {
    let wrong = upward(&sources(Path::new(ROOM)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_arrow_upwards_would_be_noticed() {
    let file =
        |name: &str, text: &str| (PathBuf::from(format!("{ROOM}/{name}.rs")), text.to_owned());
    let named = file(
        "measure/recent",
        "use crate::route::judge::health::Health;\n",
    );
    assert_eq!(upward(&[named]).len(), 1);
    let face = file("judge/health", "use crate::route::RouteId;\n");
    assert_eq!(upward(&[face]).len(), 1);
    let called = [
        file(
            "engine/weigh",
            "impl Engine {\n    fn weigh(&self) {\n        self.tick();\n    }\n}\n",
        ),
        file("engine/tick", "impl Engine {\n    fn tick(&self) {}\n}\n"),
    ];
    assert_eq!(upward(&called).len(), 1);
    let stranger = file("attic", "");
    assert_eq!(upward(&[stranger]).len(), 1);
}
