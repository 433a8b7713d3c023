//! An account as a document: blocks that are written as text, as Markdown or as HTML.

use super::super::history::{Felt, millis};
use super::account::{Account, Load, Moment, Phases, Worth};
use super::words::{percent, span};
use crate::record::when::clock;

/// The most lines of the timeline for people. The JSON has them all.
const LINES_MOST: usize = 60;
/// Fewer attempts than these say little.
const FEW: u64 = 10;

/// A piece of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Block {
    /// What it is all about.
    Title(String),
    /// What the next blocks are about.
    Heading(&'static str),
    /// Sentences.
    Text(String),
    /// Things one below the other.
    List(Vec<String>),
    /// Rows, the first of them names the columns.
    Table(Vec<Vec<String>>),
}

/// The whole account.
pub(super) fn document(account: &Account) -> Vec<Block> {
    let mut out = vec![
        Block::Title(format!("Incident {}: {}", account.number, account.headline)),
        Block::Text(match &account.end {
            Some(end) => format!(
                "From {} to {} (UTC), {}.",
                account.start,
                end,
                length(account)
            ),
            None => format!(
                "Since {} (UTC), {} so far; it goes on.",
                account.start,
                length(account)
            ),
        }),
    ];
    out.push(Block::Heading("What was seen first"));
    out.push(Block::Text(match &account.first {
        Some(first) => line(first),
        None => "Nothing that was told.".into(),
    }));
    out.push(Block::Heading("Who was blamed, and why"));
    out.push(Block::List(account.blamed.iter().map(blamed).collect()));
    out.push(Block::Heading("What byway did"));
    out.push(Block::List(deeds(account)));
    out.push(Block::Heading("What clients felt"));
    out.push(Block::Table(clients(&account.clients)));
    out.push(Block::Heading("What upstreams felt"));
    out.push(Block::Table(upstreams(&account.upstreams)));
    if let Some(routes) = routes(&account.upstreams) {
        out.push(Block::Table(routes));
    }
    out.push(Block::Heading("How it ended"));
    out.push(Block::Text(sentence(&account.ending)));
    out.push(Block::Heading("What leaving was worth"));
    out.push(Block::List(match account.worth.is_empty() {
        true => vec!["Not measured: nothing was left for something else.".into()],
        false => account.worth.iter().map(worth).collect(),
    }));
    out.push(Block::Heading("Timeline"));
    out.push(Block::List(timeline(&account.timeline)));
    out
}

fn length(account: &Account) -> String {
    span(account.span.1.saturating_sub(account.span.0))
}

/// A text with its first letter large and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{stop}", first.unwrap_or_default(), letters.as_str())
}

fn line(moment: &Moment) -> String {
    format!("{} {}", clock(moment.at), moment.text)
}

fn blamed(blame: &super::account::Blame) -> String {
    let time = blame.time.get(11..19).unwrap_or(&blame.time);
    let mut out = format!("{time} {}", blame.text);
    if blame.explained {
        out += " (a wider trouble explains it)";
    }
    if let Some(over) = &blame.over {
        out += &format!(". Over: {over}");
    }
    out
}

fn deeds(account: &Account) -> Vec<String> {
    let mut out: Vec<String> = account.done.iter().take(LINES_MOST).map(line).collect();
    if account.done.len() > LINES_MOST {
        out.push(format!("and {} more", account.done.len() - LINES_MOST));
    }
    if let Some(load) = &account.upstreams.during {
        let counts = [
            (load.hedges, "hedge"),
            (load.retries, "retry"),
            (load.probes, "probe"),
            (load.refreshes, "refresh"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| plural(*count, what))
            .collect();
        if !counts.is_empty() {
            out.push(format!(
                "{} among {} packets upstream",
                counts.join(", "),
                load.packets
            ));
        }
    }
    if let Some(stale) = account
        .clients
        .during
        .as_ref()
        .map(|it| it.stale)
        .filter(|it| *it > 0)
    {
        out.push(format!("{} served past its TTL", plural(stale, "answer")));
    }
    if out.is_empty() {
        out.push("nothing: there was no need, or nowhere else to go".into());
    }
    out
}

fn plural(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y'), what.ends_with('h')) {
        (1, _, _) => format!("1 {what}"),
        (_, Some(stem), _) => format!("{count} {stem}ies"),
        (_, None, true) => format!("{count} {what}es"),
        _ => format!("{count} {what}s"),
    }
}

fn phases<T>(phases: &Phases<T>) -> [(&'static str, Option<&T>); 3] {
    [
        ("before", phases.before.as_ref()),
        ("during", phases.during.as_ref()),
        ("after", phases.after.as_ref()),
    ]
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|it| it.to_string()).collect()
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or("-".into(), millis)
}

fn clients(all: &Phases<Felt>) -> Vec<Vec<String>> {
    let mut rows = vec![row(&[
        "",
        "questions",
        "failed",
        "stale",
        "from the cache",
        "p50",
        "p99",
    ])];
    for (name, felt) in phases(all) {
        rows.push(match felt {
            None => row(&[name, "not recorded", "", "", "", "", ""]),
            Some(felt) => vec![
                name.into(),
                felt.questions.to_string(),
                of(felt.failed, felt.questions),
                of(felt.stale, felt.questions),
                of(felt.from_cache, felt.questions),
                time(felt.p50),
                time(felt.p99),
            ],
        });
    }
    rows
}

/// A count and its share.
fn of(count: u64, all: u64) -> String {
    match (count, all) {
        (0, _) | (_, 0) => count.to_string(),
        _ => format!("{count} ({})", percent(count as f64 / all as f64)),
    }
}

fn upstreams(all: &Phases<Load>) -> Vec<Vec<String>> {
    let mut rows = vec![row(&[
        "",
        "packets",
        "a second",
        "questions",
        "packets for a question",
    ])];
    for (name, load) in phases(all) {
        rows.push(match load {
            None => row(&[name, "not recorded", "", "", ""]),
            Some(load) => vec![
                name.into(),
                load.packets.to_string(),
                match load.seconds > 0.0 {
                    true => format!("{:.1}", load.packets as f64 / load.seconds),
                    false => "-".into(),
                },
                load.questions.to_string(),
                load.amplification
                    .map_or("-".into(), |it| format!("{it:.2}")),
            ],
        });
    }
    rows
}

/// Each route: where the packets went, and how they fared.
fn routes(all: &Phases<Load>) -> Option<Vec<Vec<String>>> {
    let mut rows = vec![row(&[
        "route",
        "before",
        "during",
        "after",
        "lost during",
        "round trip before",
        "during",
    ])];
    let during = all.during.as_ref()?;
    for route in &during.routes {
        let at = |load: &Option<Load>| -> Option<super::super::history::RouteFelt> {
            let load = load.as_ref()?;
            load.routes.iter().find(|it| it.name == route.name).cloned()
        };
        let (before, after) = (at(&all.before), at(&all.after));
        let packets = |it: &Option<super::super::history::RouteFelt>| {
            it.as_ref().map_or("-".into(), |it| it.packets.to_string())
        };
        rows.push(vec![
            route.name.clone(),
            packets(&before),
            route.packets.to_string(),
            packets(&after),
            of(route.lost, route.ended),
            time(before.and_then(|it| it.rtt)),
            time(route.rtt),
        ]);
    }
    Some(rows)
}

fn worth(worth: &Worth) -> String {
    let Worth {
        left,
        seconds,
        samples,
        lost,
        p50,
        p99,
        questions,
        felt_p50,
        felt_p99,
    } = worth;
    let span = span((seconds * 1e3) as u64);
    if *samples == 0 {
        return format!(
            "{left}, left alone for {span}: not measured, for no attempt ended there meanwhile."
        );
    }
    let mut out = format!(
        "{left}, left alone for {span}: {} went on measuring it, {} of them without an answer ({})",
        plural(*samples, "attempt"),
        lost,
        percent(*lost as f64 / *samples as f64),
    );
    if let (Some(p50), Some(p99)) = (p50, p99) {
        let (p50, p99) = (millis(*p50), millis(*p99));
        out += &format!("; of those answered, half took {p50} and 99 of 100 took {p99} at most");
    }
    out += ".";
    if *questions > 0 {
        out += &format!(
            " {} went elsewhere meanwhile",
            plural(*questions, "question")
        );
        if let (Some(p50), Some(p99)) = (felt_p50, felt_p99) {
            let (p50, p99) = (millis(*p50), millis(*p99));
            out +=
                &format!(", where half of the answers took {p50} and 99 of 100 took {p99} at most");
        }
        out += ".";
        let missed = *questions as f64 * *lost as f64 / *samples as f64;
        out += &format!(
            " There, by this sample, the first packet of about {missed:.0} of them would have found no answer."
        );
    }
    if *samples < FEW {
        out += " So few attempts say little.";
    }
    out + " A trial is a packet now and then: what the whole load would have met there was no better."
}

fn timeline(all: &[Moment]) -> Vec<String> {
    // What led to it is told in full if there is room, otherwise what was told to the operator.
    let details = all.len() <= LINES_MOST;
    let shown: Vec<&Moment> = all.iter().filter(|it| details || !it.detail).collect();
    let mut out: Vec<String> = shown
        .iter()
        .take(LINES_MOST)
        .map(|it| {
            let mark = if it.trouble { "! " } else { "" };
            format!("{} {mark}{}", clock(it.at), it.text)
        })
        .collect();
    let left = all.len() - out.len();
    if left > 0 {
        out.push(format!("and {left} more; the JSON has them all"));
    }
    out
}
