//! `docs/metrics.md` against the tables.

use std::collections::BTreeMap;

use super::super::labels::{
    AnswerRcode, AskedType, AttemptKind, Client, Counter, Drop, Evacuation, Eviction, Label, Limit,
    Mismatch, Outcome, QueryResult, Scope, Source, Transport, Verdict, Visit,
};
use super::*;

const DOCS: &str = include_str!("../../../docs/metrics.md");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const RULES: &str = include_str!("../../../config/prometheus/byway.rules.yml");
const DASHBOARD: &str = include_str!("../../../config/grafana/byway.json");

/// A label whose values are known in advance, with the meaning of each.
struct Closed {
    series: &'static Series,
    label: &'static str,
    meanings: Vec<(&'static str, &'static str)>,
}

/// Every closed label, those that [`Counter`] implies included.
fn closed() -> Vec<Closed> {
    let closed = |series, label, meanings: &[(&'static str, &'static str)]| Closed {
        series,
        label,
        meanings: meanings.to_vec(),
    };
    let writes = [
        ("written", "The snapshot on disk is new."),
        ("failed", "The old one stays."),
    ];
    let logged = [
        ("file", "In the file."),
        (
            "lost",
            "Nowhere: there was no room, or it could not be written.",
        ),
    ];
    let kept = [
        ("disk", "In the file."),
        ("memory", "In memory, for an hour."),
        ("lost", "Nowhere: too large."),
    ];
    let guarded = [
        (
            "vanished",
            "Had addresses and suddenly has none; they are kept.",
        ),
        ("returned", "Has addresses again."),
        (
            "expired",
            "Let go at the end of the time for which it is kept.",
        ),
        ("released", "Let go by the operator, or by a reload."),
        ("shrunk", "Has fewer addresses than its floor allows."),
    ];
    let denied = [("denied", "It was due, and no budget was left.")];
    let mut all = vec![
        closed(&QUERIES, "transport", Transport::VALUES),
        closed(&QUERIES, "result", QueryResult::VALUES),
        closed(&ANSWERS, "type", AskedType::VALUES),
        closed(&ANSWERS, "rcode", AnswerRcode::VALUES),
        closed(&QUERY_DURATION, "source", Source::VALUES),
        closed(&DROPPED, "reason", Drop::VALUES),
        closed(&LIMIT, "limit", Limit::VALUES),
        closed(&LIMIT_REACHED, "limit", Limit::VALUES),
        closed(&LIMIT_REACHED, "client", Client::VALUES),
        closed(&CACHE_EVICTIONS, "cause", Eviction::VALUES),
        closed(&GUARD_NAMES, "event", &guarded),
        closed(&SNAPSHOT_WRITES, "result", &writes),
        closed(&RECORDER_FRAMES, "kept", &kept),
        closed(&QUERY_LOG, "kept", &logged),
        closed(&ATTEMPTS, "outcome", Outcome::VALUES),
        closed(&ATTEMPTS_SENT, "kind", AttemptKind::VALUES),
        closed(&MISMATCHES, "reason", Mismatch::VALUES),
        closed(&ROUTE_VERDICT, "verdict", Verdict::VALUES),
        closed(&HEDGES, "result", &denied),
        closed(&RETRIES, "result", &denied),
        closed(&EVACUATIONS, "cause", Evacuation::VALUES),
        closed(&VISITS, "end", Visit::VALUES),
        closed(&TROUBLE, "scope", Scope::VALUES),
        closed(&TROUBLES, "scope", Scope::VALUES),
    ];
    for &counter in Counter::ALL {
        let (series, value) = counter.feeds();
        let (&[label], &[value]) = (series.labels, value) else {
            continue;
        };
        let meaning = (value, counter.meaning());
        match all.iter_mut().find(|known| known.series == series) {
            Some(known) => known.meanings.push(meaning),
            None => all.push(closed(series, label, &[meaning])),
        }
    }
    all
}

fn code(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").collect())
}

#[test]
fn every_series_has_its_row_in_the_order_of_the_table_and_no_other_has() {
    let rows: Vec<Vec<&str>> = DOCS
        .lines()
        .filter_map(cells)
        .filter(|row| {
            let first = row[0].trim_start_matches('`');
            first.starts_with("byway_") || first.starts_with("process_")
        })
        .collect();
    let expected: Vec<String> = ALL
        .iter()
        .map(|series| {
            let labels = code(series.labels);
            let head = format!("`{}` {} {labels}", series.name, series.kind.as_str());
            format!("{} | {}", head.trim_end(), series.help)
        })
        .collect();
    let found: Vec<String> = rows.iter().map(|row| row[..2].join(" | ")).collect();
    assert_eq!(found, expected);
    for row in rows {
        assert!(
            row.len() == 3 && row[2].len() > 10,
            "what to do with {}",
            row[0]
        );
    }
}

#[test]
fn every_label_value_is_explained_as_in_the_code() {
    let mut sections = 0;
    for Closed {
        series,
        label,
        meanings,
    } in closed()
    {
        if (series.name, label) == (LIMIT_REACHED.name, "limit") || series.name == TROUBLES.name {
            continue; // They are listed once, under byway_limit and byway_trouble.
        }
        let heading = format!("### `{}`: `{label}`\n\n", series.name);
        let mut section = format!("{heading}| value | meaning |\n| --- | --- |\n");
        for (value, meaning) in meanings {
            section += &format!("| `{value}` | {meaning} |\n");
        }
        assert!(
            DOCS.contains(&section),
            "docs/metrics.md should have:\n\n{section}"
        );
        sections += 1;
    }
    assert_eq!(
        DOCS.matches("\n### `").count(),
        sections,
        "sections of labels there are not"
    );
}

/// Each series named in `text`, with what follows it.
fn named(text: &str) -> Vec<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        rest = &word[end..];
        if word.starts_with("byway_") || word.starts_with("process_") {
            found.push((&word[..end], rest));
        }
    }
    found
}

/// The row that `name` belongs to; a histogram's row for its parts too.
fn row(name: &str) -> Option<&'static Series> {
    ALL.iter().copied().find(|series| {
        name.strip_prefix(series.name)
            .is_some_and(|suffix| match series.kind {
                Kind::Histogram => {
                    ["_bucket", "_sum", "_count"].contains(&suffix) || suffix.is_empty()
                }
                _ => suffix.is_empty(),
            })
    })
}

/// What is wrong with the series and labels that `text` names.
fn faults(text: &str) -> Vec<String> {
    let mut known: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Closed {
        series,
        label,
        meanings,
    } in closed()
    {
        known.insert(
            (series.name, label),
            meanings.into_iter().map(|(value, _)| value).collect(),
        );
    }
    let mut faults = Vec::new();
    for (name, after) in named(text) {
        let Some(series) = row(name) else {
            faults.push(format!("no series {name}"));
            continue;
        };
        let Some((selector, _)) = after.strip_prefix('{').and_then(|it| it.split_once('}')) else {
            continue;
        };
        for matcher in selector.split(',') {
            let (label, pattern) = matcher.split_once('"').expect("a matcher");
            let label = label.trim_end_matches(['=', '!', '~']);
            // What Prometheus adds to every series.
            if label == "instance" {
                continue;
            }
            if !series.labels.contains(&label) {
                faults.push(format!("{name} has no label {label}"));
            }
            let pattern = pattern.trim_end_matches('"');
            let Some(values) = known.get(&(series.name, label)) else {
                continue;
            };
            for value in pattern.split('|').filter(|value| !values.contains(value)) {
                faults.push(format!("{name} never has {label}=\"{value}\""));
            }
        }
    }
    faults
}

#[test]
fn the_page_the_alerts_and_the_dashboard_name_only_what_there_is() {
    assert_eq!(faults(DOCS), Vec::<String>::new());
    assert_eq!(faults(RULES), Vec::<String>::new());
    let dashboard = DASHBOARD.replace("\\\"", "\"");
    assert_eq!(faults(&dashboard), Vec::<String>::new());
    for text in [RULES, &dashboard] {
        assert!(named(text).len() > 10, "names are found");
    }
}

#[test]
fn every_alert_has_its_section_for_three_in_the_morning() {
    let alerts: Vec<&str> = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(OPERATIONS.contains(&format!("\n### {alert}\n")), "{alert}");
        let link = format!("docs/operations.md#{}", alert.to_ascii_lowercase());
        assert!(RULES.contains(&link), "{link}");
    }
}

#[test]
fn the_check_of_the_page_can_fail() {
    assert_eq!(
        faults("rate(byway_querys_total[5m])"),
        ["no series byway_querys_total"]
    );
    assert_eq!(
        faults("byway_queries_total_bucket"),
        ["no series byway_queries_total_bucket"]
    );
    assert_eq!(
        faults("byway_queries_total{rcode=\"x\"} + byway_query_duration_seconds_sum"),
        ["byway_queries_total has no label rcode"]
    );
    assert_eq!(
        faults("byway_dropped_total{reason=~\"short|long\"}"),
        ["byway_dropped_total never has reason=\"long\""]
    );
}
