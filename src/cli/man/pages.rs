//! Manual pages made of what explains the same elsewhere: byway.toml(5) of the annotated configuration, byway-metrics(7)
//! of the page on metrics. So they say the same.

use clap_mangen::roff::{Roff, bold, roman};

use super::entry;
use crate::config::{ANNOTATED, DEFAULT_FILE};

/// The page on metrics.
const METRICS: &str = include_str!("../../../docs/metrics.md");

/// byway.toml(5).
pub(super) fn of_the_configuration() -> Vec<u8> {
    let mut roff = title("byway.toml", "5", "the configuration of byway");
    roff.control("SH", ["DESCRIPTION"]);
    let mut comment = String::new();
    for line in ANNOTATED.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if line.is_empty() || line == "#" {
            paragraph(&mut roff, &mut comment);
        } else if bare.starts_with('[') {
            roff.control("SH", [bare]);
            paragraph(&mut roff, &mut comment);
        } else if let Some((key, value)) = key_and_value(line, bare) {
            entry(&mut roff, &format!("{key} = {value}"), comment.trim());
            comment.clear();
        } else {
            comment += bare;
        }
    }
    paragraph(&mut roff, &mut comment);
    roff.control("SH", ["FILES"]);
    entry(
        &mut roff,
        DEFAULT_FILE,
        "It is read if no other one is named. It need not exist.",
    );
    see_also(&mut roff, "byway(1), byway-metrics(7)")
}

/// A line that sets a key, be it one that is not set by default. Comments have a space behind their `#`.
fn key_and_value<'a>(line: &str, bare: &'a str) -> Option<(&'a str, &'a str)> {
    let (key, value) = bare.split_once(" = ")?;
    let is_key = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    (!line.starts_with("# ") && key.chars().all(is_key)).then_some((key, value))
}

/// byway-metrics(7).
pub(super) fn of_the_metrics() -> Vec<u8> {
    let mut roff = title(
        "byway-metrics",
        "7",
        "what byway counts, and what to do with it",
    );
    roff.control("SH", ["DESCRIPTION"]);
    let (mut text, mut in_code) = (String::new(), false);
    let mut head_of_table = true;
    for line in METRICS.lines().skip(1) {
        let code =
            line.starts_with("    ") || (in_code && !line.starts_with("```") && !line.is_empty());
        let heading = ["### ", "## "]
            .iter()
            .find_map(|it| Some((it.len(), line.strip_prefix(*it)?)));
        if line.starts_with("```") {
            in_code = !in_code;
        } else if let (Some((length, heading)), false) = (heading, in_code) {
            paragraph(&mut roff, &mut text);
            let heading = plain(heading);
            match length {
                3 => roff.control("SH", [heading.to_uppercase().as_str()]),
                _ => roff.control("SS", [heading.as_str()]),
            };
            head_of_table = true;
        } else if line.starts_with("| ---") {
            head_of_table = false;
        } else if let Some(row) = line.strip_prefix("| ") {
            paragraph(&mut roff, &mut text);
            let mut cells = row.trim_end_matches(" |").split(" | ");
            let first = cells.next().unwrap_or_default();
            if !head_of_table {
                let rest: Vec<&str> = cells.collect();
                entry(&mut roff, &plain(first), &plain(&rest.join(" ")));
            }
        } else if code {
            paragraph(&mut roff, &mut text);
            roff.control("nf", [] as [&str; 0]);
            roff.text([roman(line)]);
            roff.control("fi", [] as [&str; 0]);
        } else if line.is_empty() {
            paragraph(&mut roff, &mut text);
            head_of_table = true;
        } else {
            if line.starts_with("- ") {
                paragraph(&mut roff, &mut text);
            }
            text += " ";
            text += line;
        }
    }
    paragraph(&mut roff, &mut text);
    see_also(&mut roff, "byway(1), byway.toml(5)")
}

/// Without the marks of code and emphasis.
fn plain(text: &str) -> String {
    text.replace(['`', '*'], "")
}

fn title(name: &str, section: &str, about: &str) -> Roff {
    let version = format!("byway {}", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", [name, section, "", version.as_str(), "byway"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

/// What has been gathered, as a paragraph.
fn paragraph(roff: &mut Roff, text: &mut String) {
    let gathered = plain(text.trim());
    text.clear();
    if !gathered.is_empty() {
        roff.control("PP", [] as [&str; 0]);
        roff.text([roman(gathered)]);
    }
}

fn see_also(roff: &mut Roff, pages: &str) -> Vec<u8> {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(pages)]);
    let mut page = Vec::new();
    // Writing into a Vec does not fail.
    let _ = roff.to_writer(&mut page);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_series_has_its_place() {
        let page = String::from_utf8(of_the_configuration()).expect("text");
        for key in [
            "workers",
            "max-ttl",
            "resolv-conf",
            "identity",
            "tcp-pipeline",
        ] {
            let key = key.replace('-', "\\-");
            assert!(page.contains(&format!("{key} = ")), "{key} in {page}");
        }
        for section in ["[cache]", "[[upstream]]", "[limits]"] {
            assert!(
                page.contains(&format!(".SH {section}"))
                    || page.contains(&format!(".SH \"{section}\"")),
                "{section}"
            );
        }
        let page = String::from_utf8(of_the_metrics()).expect("text");
        let series = METRICS
            .lines()
            .filter_map(|it| it.strip_prefix("| `byway_"));
        let mut count = 0;
        for row in series {
            let name = row.split('`').next().expect("a name");
            assert!(page.contains(&format!("byway_{name}")), "{name}");
            count += 1;
        }
        let table = page.lines().find(|it| it.starts_with("| "));
        assert!(count > 50 && table.is_none(), "{count}, {table:?}");
    }
}
