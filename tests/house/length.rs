//! No function is long: a reader holds it in one screen.

use std::path::Path;

use crate::{sources, without_tests};

/// Lines that a function may have.
const MOST_LINES: usize = 60;

/// Functions that are longer for now, and how long they may be. None is added, none may grow much.
const LONG_FOR_NOW: &[(&str, &str, usize)] = &[
    ("src/cli/doctor/upstreams.rs", "route", 160),
    ("src/config/meaning.rs", "config", 110),
    ("src/config/meaning.rs", "listeners", 80),
    ("src/config/meaning.rs", "upstreams", 80),
    ("src/config/print.rs", "write_config", 80),
    ("src/config/settings.rs", "check_order", 80),
    ("src/daemon/crew.rs", "serve", 90),
    ("src/daemon/descriptors.rs", "share", 80),
    ("src/daemon/desk.rs", "status", 110),
    ("src/daemon/desk.rs", "why", 80),
    ("src/daemon/mod.rs", "run", 190),
    ("src/daemon/survival.rs", "write", 80),
    ("src/daemon/teller.rs", "look", 80),
    ("src/names/special.rs", "new", 80),
    ("src/observe/event/words.rs", "fmt", 240),
    ("src/observe/facts.rs", "facts", 180),
    ("src/record/encoder.rs", "frames", 90),
    ("src/record/history/figures.rs", "step", 80),
    ("src/record/incident/account.rs", "worth", 80),
    ("src/record/incident/chart.rs", "svg", 110),
    ("src/record/incident/html.rs", "charts", 90),
    ("src/resolve/ask.rs", "ask", 100),
    ("src/resolve/outcomes.rs", "hear_response", 100),
    ("src/sys/batch.rs", "send", 100),
    ("src/wire/name.rs", "walk", 80),
    ("src/wire/present.rs", "known", 80),
];

/// The functions of a file with their lines, nested ones within their outer ones.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = without_tests(text).lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some((before, after)) = line.trim_start().split_once("fn ") else {
            continue;
        };
        let is_head = |word: &str| {
            word.starts_with("pub")
                || matches!(
                    word,
                    "const" | "async" | "unsafe" | "extern" | "\"C\"" | "in"
                )
                || word.ends_with(')')
        };
        let own = before.split_whitespace().all(is_head);
        let name: String = after
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if !own || name.is_empty() {
            continue;
        }
        // A method that is only declared has no body.
        let head = lines[first..].iter().map(|line| line.trim_end());
        let mut ends = head.filter(|line| line.ends_with(['{', '}', ';']));
        if ends.next().is_none_or(|line| line.ends_with(';')) {
            continue;
        }
        let end = format!("{indent}}}");
        let last = match line.trim_end().ends_with('}') {
            true => first,
            false => match lines[first..].iter().position(|line| *line == end) {
                Some(more) => first + more,
                None => continue,
            },
        };
        found.push((name, last - first + 1));
    }
    found
}

#[test]
fn no_function_is_long() {
    let (mut wrong, mut allowed) = (Vec::new(), LONG_FOR_NOW.to_vec());
    for (path, text) in sources(Path::new("src")) {
        if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for (name, lines) in functions(&text)
            .into_iter()
            .filter(|(_, lines)| *lines > MOST_LINES)
        {
            let file = path.to_str().expect("a readable name");
            let known = allowed
                .iter()
                .position(|(of, it, _)| *of == file && *it == name);
            let may = known.map_or(MOST_LINES, |known| allowed.remove(known).2);
            if lines > may {
                wrong.push(format!(
                    "{file}: {name} has {lines} lines, and may have {may}"
                ));
            }
        }
    }
    wrong.extend(
        allowed
            .iter()
            .map(|(file, name, _)| format!("{file}: {name} is long no more")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_long_function_would_be_noticed() {
    let body = "    let _ = 0;\n".repeat(MOST_LINES);
    let text =
        format!("impl It {{\n    pub(in crate::it) async fn long<T>() {{\n{body}    }}\n}}\n");
    assert_eq!(functions(&text), [("long".to_owned(), MOST_LINES + 2)]);
    let declared = format!("trait It {{\n    fn it(\n        &self,\n    );\n\n{text}}}\n");
    assert!(functions(&declared).iter().all(|(name, _)| name != "it"));
}
