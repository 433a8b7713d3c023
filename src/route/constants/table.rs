//! The constants as a table, and who rests on each, read off the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{choose, engine, judge, load, measure, probe, race, spend};
use crate::route::testing::holds_with_docs;

/// What one step of the engine is tuned by.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) constants: Vec<Constant>,
}

pub(super) struct Constant {
    pub(super) name: &'static str,
    pub(super) value: Vec<String>,
    pub(super) unit: &'static str,
    pub(super) why: &'static str,
    pub(super) source: &'static str,
}

impl Constant {
    /// Its value with its unit, which joins the two of a pair.
    fn with_unit(&self) -> String {
        match self.value.as_slice() {
            [one] => format!(
                "{one} {}",
                self.unit.strip_prefix("1/").unwrap_or(self.unit)
            )
            .trim()
            .replacen(
                "",
                if self.unit.starts_with("1/") {
                    "1/"
                } else {
                    ""
                },
                1,
            ),
            pair => pair.join(&format!(" {} ", self.unit)),
        }
    }
}

/// How a value is shown; a pair as two.
pub(super) trait Shown {
    fn shown(&self) -> Vec<String>;
}

macro_rules! shown_as_is {
    ($($type:ty),*) => {
        $(impl Shown for $type {
            fn shown(&self) -> Vec<String> {
                vec![self.to_string()]
            }
        })*
    };
}

shown_as_is!(f32, f64, u16, u32, u64, usize);

impl Shown for Duration {
    fn shown(&self) -> Vec<String> {
        let us = self.as_micros();
        vec![match us {
            1_000_000.. => format!("{} s", us as f64 / 1e6),
            1_000.. => format!("{} ms", us as f64 / 1e3),
            _ => format!("{us} µs"),
        }]
    }
}

impl<T: Shown> Shown for (T, T) {
    fn shown(&self) -> Vec<String> {
        [self.0.shown(), self.1.shown()].concat()
    }
}

/// By the step that they belong to, in the order in which a question meets them.
fn topics() -> Vec<Topic> {
    vec![
        measure::round_trip::topic(),
        measure::service_time::topic(),
        measure::answered::topic(),
        measure::stream::topic(),
        measure::recent::topic(),
        judge::suspicion::topic(),
        judge::proof::topic(),
        judge::probation::topic(),
        judge::doubts::topic(),
        judge::failing::topic(),
        choose::choice::topic(),
        choose::stalls::topic(),
        spend::budget::topic(),
        load::limit::topic(),
        probe::probes::topic(),
        probe::idle::topic(),
        probe::first_round::topic(),
        race::attempts::topic(),
        race::denial::topic(),
        engine::pace::topic(),
    ]
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("constants" | "tests" | "tests.rs") => {}
            _ if path.is_dir() => files(&path, found),
            _ => found.push(path),
        }
    }
}

/// The names that a file takes from the constants, by their topic; `*` is all.
fn taken(text: &str) -> Vec<(&str, Vec<&str>)> {
    let uses = text.split("constants::").skip(1);
    let uses = uses
        .filter_map(|it| it.split_once(';'))
        .map(|(path, _)| path);
    uses.filter_map(|path| {
        let mut parts = path.splitn(3, "::");
        let (_, topic, names) = (parts.next()?, parts.next()?, parts.next()?);
        let names = names.split(|c: char| !(c.is_alphanumeric() || "_*".contains(c)));
        Some((topic, names.filter(|name| !name.is_empty()).collect()))
    })
    .collect()
}

/// The functions that rest on each constant, as `file::function`.
fn users() -> BTreeMap<(String, String), Vec<String>> {
    let (mut all, mut users) = (Vec::new(), BTreeMap::<_, Vec<String>>::new());
    files(Path::new("src/route"), &mut all);
    all.sort();
    for path in all {
        let text = fs::read_to_string(&path).expect("a readable file");
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let own = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let folder = path
            .parent()
            .and_then(|dir| dir.file_name()?.to_str())
            .unwrap_or_default();
        let file = if own == "mod" { folder } else { own };
        let topics = topics();
        for (topic, names) in taken(text) {
            let topic = topics.iter().find(|it| it.name == topic).expect("a topic");
            for constant in &topic.constants {
                if !names.contains(&"*") && !names.contains(&constant.name) {
                    continue;
                }
                for function in functions_naming(text, constant.name) {
                    let key = (topic.name.to_owned(), constant.name.to_owned());
                    let user = match function {
                        "" => file.to_owned(),
                        function => format!("{file}::{function}"),
                    };
                    let users = users.entry(key).or_default();
                    if !users.contains(&user) {
                        users.push(user);
                    }
                }
            }
        }
    }
    users
}

/// The functions of a file in whose code a word occurs; an empty name is outside of any.
fn functions_naming<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut function, mut found) = ("", Vec::new());
    let (mut in_use, mut outside) = (false, true);
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        in_use |= code.starts_with("use ") || code.starts_with("pub use ");
        let depth = code.len() - code.trim_start().len();
        if let Some((before, after)) = code.split_once("fn ")
            && depth <= 4
            && before.trim_start().split(' ').all(|it| {
                it.is_empty() || it.starts_with("pub") || it.starts_with("in") || it == "const"
            })
        {
            function = after.split(['(', '<']).next().unwrap_or_default();
            outside = false;
        }
        let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if !in_use && words.any(|it| it == word) {
            let named = if outside { "" } else { function };
            if !found.contains(&named) {
                found.push(named);
            }
        }
        outside |= code == "}" || (depth == 4 && code.trim() == "}");
        in_use &= !code.contains(';');
    }
    found
}

fn printed() -> String {
    let (users, mut page) = (users(), String::new());
    for topic in topics() {
        page += &format!("\n**{}**\n\n", topic.about.trim());
        page +=
            "| constant | value | why | source | rests on it |\n| --- | --- | --- | --- | --- |\n";
        for constant in &topic.constants {
            let key = (topic.name.to_owned(), constant.name.to_owned());
            let users = users.get(&key).map(|users| users.join("`, `"));
            page += &format!(
                "| `{}` | {} | {} | {} | `{}` |\n",
                constant.name,
                constant.with_unit(),
                constant.why.trim(),
                constant.source,
                users.unwrap_or_default(),
            );
        }
    }
    page + "\n"
}

#[test]
fn the_page_says_what_the_code_does() {
    holds_with_docs("constants", &printed());
}

#[test]
fn nothing_stands_here_that_nothing_rests_on() {
    let users = users();
    for topic in topics() {
        for constant in topic.constants {
            let key = (topic.name.to_owned(), constant.name.to_owned());
            assert!(users.contains_key(&key), "{key:?}");
            assert!(
                !constant.why.is_empty() && !constant.source.is_empty(),
                "{key:?}"
            );
        }
    }
}

/// A number with a meaning that stands elsewhere in the room has no unit, no reason and no source.
#[test]
fn no_number_stands_elsewhere() {
    /// Marks, not figures that anybody would tune.
    const MARKS: &[&str] = &["NONE", "OUTSIDE"];
    const NUMBERS: &[&str] = &["f32", "f64", "u16", "u32", "u64", "usize", "Duration"];
    let mut all = Vec::new();
    files(Path::new("src/route"), &mut all);
    for path in all {
        let text = fs::read_to_string(&path).expect("a readable file");
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for line in text.lines() {
            let Some((name, is)) = line
                .split_once("const ")
                .and_then(|(_, it)| it.split_once(": "))
            else {
                continue;
            };
            let is_number = NUMBERS.iter().any(|it| is.starts_with(it));
            let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            assert!(
                !(is_number && is_name) || MARKS.contains(&name),
                "{}: {name}",
                path.display()
            );
        }
    }
}
