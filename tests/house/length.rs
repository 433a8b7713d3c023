//! No function is long: a reader holds it in one screen.

use std::path::Path;

use crate::{sources, without_tests};

/// Lines that a function may have.
const MOST_LINES: usize = 60;

/// Functions outside of the routing engine that are longer for now: no more than so many.
const LONG_ELSEWHERE: usize = 32;

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
    let (mut wrong, mut elsewhere) = (Vec::new(), Vec::new());
    for (path, text) in sources(Path::new("src")) {
        let is_test = |part: std::path::Component<'_>| part.as_os_str() == "tests";
        if path.ends_with("tests.rs") || path.components().any(is_test) {
            continue;
        }
        for (name, lines) in functions(&text) {
            let which = match path.starts_with("src/route") {
                true => &mut wrong,
                false => &mut elsewhere,
            };
            if lines > MOST_LINES {
                which.push(format!("{}: {name} has {lines} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        elsewhere.len() <= LONG_ELSEWHERE,
        "{}",
        elsewhere.join("\n")
    );
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
