//! An account as text and as Markdown, and the list of all of them.

use super::super::history;
use super::account::Account;
use super::document::{Block, document};
use super::find::Incident;
use crate::record::when::rfc3339;

pub(super) use super::super::history::percent;

/// Text for a terminal.
pub fn text(account: &Account) -> String {
    let mut out = String::new();
    for block in document(account) {
        match block {
            Block::Title(text) | Block::Text(text) => out += &format!("{text}\n"),
            Block::Heading(text) => out += &format!("\n{text}\n"),
            Block::List(items) => items.iter().for_each(|it| out += &format!("  - {it}\n")),
            Block::Table(rows) => {
                let notes = vec![Vec::new(); rows.len()];
                for line in history::columns(&rows, &notes).lines() {
                    out += &format!("  {line}\n");
                }
            }
        }
    }
    out
}

/// Markdown, for a report.
pub fn markdown(account: &Account) -> String {
    let mut out = String::new();
    for block in document(account) {
        match block {
            Block::Title(text) => out += &format!("# {}\n\n", plain(&text)),
            Block::Heading(text) => out += &format!("## {text}\n\n"),
            Block::Text(text) => out += &format!("{}\n\n", plain(&text)),
            Block::List(items) => {
                items
                    .iter()
                    .for_each(|it| out += &format!("- {}\n", plain(it)));
                out += "\n";
            }
            Block::Table(rows) => {
                for (number, row) in rows.iter().enumerate() {
                    let cells: Vec<String> = row.iter().map(|it| plain(it)).collect();
                    out += &format!("| {} |\n", cells.join(" | "));
                    if number == 0 {
                        out += &format!("|{}\n", " --- |".repeat(row.len()));
                    }
                }
                out += "\n";
            }
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// Text with nothing in it that Markdown, or the HTML that it may hold, would take for its own.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out += "&lt;",
            '>' if !out.ends_with('-') => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' | '\r' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// All incidents, a line each.
pub fn list(incidents: &[Incident]) -> String {
    let mut rows = vec![
        ["", "from (UTC)", "took", "what"]
            .map(String::from)
            .to_vec(),
    ];
    for incident in incidents {
        let took = match incident.end {
            Some(_) => span(incident.length()),
            None => format!("{} so far", span(incident.length())),
        };
        let mut what: Vec<String> = Vec::new();
        for blamed in incident.blamed.iter().filter(|it| !it.explained) {
            let was = blamed.was();
            if !what.contains(&was) {
                what.push(was);
            }
        }
        rows.push(vec![
            incident.number.to_string(),
            rfc3339(incident.start),
            took,
            what.join(", "),
        ]);
    }
    let notes = vec![Vec::new(); rows.len()];
    history::columns(&rows, &notes)
}

/// So many milliseconds, as people say it.
pub(super) fn span(millis: u64) -> String {
    match millis {
        short if short < 9_950 => format!("{:.1} s", millis as f64 / 1e3),
        some if some < 120_000 => format!("{} s", (millis + 500) / 1_000),
        more if more < 7_200_000 => format!("{} min", (millis + 30_000) / 60_000),
        _ => format!("{:.1} h", millis as f64 / 3_600_000.0),
    }
}
