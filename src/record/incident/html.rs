//! An account as one HTML file that can be mailed: charts inside, nothing fetched, no script.

use super::super::history::{RouteFelt, Step, millis};
use super::account::Account;
use super::chart::{Chart, Line};
use super::document::{Block, document};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\">";

const STYLE: &str = "<style>\
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#1f2328;background:#fff}\
h1{font-size:1.35em}h2{font-size:1.05em;margin:1.6em 0 .4em}\
table{border-collapse:collapse;margin:.5em 0}th,td{padding:.15em .9em .15em 0;text-align:left;border-bottom:1px solid #d0d7de}\
li{margin:.15em 0;overflow-wrap:anywhere}figure{margin:1em 0}figcaption{font-weight:600}\
svg{width:100%;height:auto}svg text{font-size:11px;fill:#59636e}\
.grid{stroke:#d0d7de}.line{fill:none;stroke-width:1.8;stroke-linecap:round}.span{fill:#d1242f;fill-opacity:.1}.legend{margin:0;font-size:13px}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.grid{stroke:#30363d}svg text{fill:#9198a1}}\
</style>";

/// The file.
pub fn html(account: &Account) -> String {
    let mut out = HEAD.to_owned();
    let title = format!("Incident {}", account.number);
    out += &format!("<title>{}</title>{STYLE}</head><body>\n", escape(&title));
    for block in document(account) {
        match block {
            Block::Title(text) => out += &format!("<h1>{}</h1>\n", escape(&text)),
            Block::Heading(text) => {
                if text == "Timeline" {
                    out += &charts(account);
                }
                out += &format!("<h2>{}</h2>\n", escape(text));
            }
            Block::Text(text) => out += &format!("<p>{}</p>\n", escape(&text)),
            Block::List(items) => {
                let items: String = items
                    .iter()
                    .map(|it| format!("<li>{}</li>\n", escape(it)))
                    .collect();
                out += &format!("<ul>\n{items}</ul>\n");
            }
            Block::Table(rows) => out += &table(&rows),
        }
    }
    out += &format!(
        "<p>Written by byway {} from its flight recorder. Times are in UTC.</p>\n</body></html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn table(rows: &[Vec<String>]) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells: String = cells
            .iter()
            .map(|it| format!("<{tag}>{}</{tag}>", escape(it)))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let (head, body) = rows.split_at(rows.len().min(1));
    let head: String = head.iter().map(|it| row(it, "th")).collect();
    let body: String = body.iter().map(|it| row(it, "td")).collect();
    format!("<table>\n{head}{body}</table>\n")
}

/// What was asked and what came of it, how long it took, and each route.
fn charts(account: &Account) -> String {
    let steps = &account.steps;
    let a_second =
        |count: u64, step: &Step| (step.seconds > 0.0).then(|| count as f64 / step.seconds);
    let clients = |name: &str, count: fn(&Step) -> u64| Line {
        name: name.into(),
        values: steps.iter().map(|it| a_second(count(it), it)).collect(),
    };
    let times = |name: &str, time: fn(&Step) -> Option<f64>| Line {
        name: name.into(),
        values: steps.iter().map(time).collect(),
    };
    let mut names: Vec<&str> = steps
        .iter()
        .flat_map(|it| it.routes.iter().map(|route| route.name.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let routes = |value: fn(&RouteFelt, &Step) -> Option<f64>| {
        let line = |name: &&str| Line {
            name: (*name).to_owned(),
            values: steps
                .iter()
                .map(|step| value(step.routes.iter().find(|it| it.name == **name)?, step))
                .collect(),
        };
        names.iter().map(line).collect::<Vec<_>>()
    };
    let rate = |it: f64| format!("{it:.0}/s");
    let chart = |title, label: fn(f64) -> String, logarithmic, lines| Chart {
        title,
        label,
        logarithmic,
        lines,
        times: steps.iter().map(|it| it.end).collect(),
        span: account.span,
    };
    let all = [
        chart(
            "Questions a second",
            rate,
            false,
            vec![
                clients("answered in all", |it| it.clients.questions),
                clients("failed", |it| it.clients.failed),
                clients("stale", |it| it.clients.stale),
            ],
        ),
        chart(
            "How long answers took",
            millis,
            true,
            vec![
                times("half at most", |it| it.clients.p50),
                times("99 of 100 at most", |it| it.clients.p99),
            ],
        ),
        chart(
            "Round trip of each route",
            millis,
            true,
            routes(|it, _| it.rtt),
        ),
        chart(
            "Attempts without an answer",
            |share| format!("{:.0} %", share * 100.0),
            false,
            routes(|it, _| it.loss()),
        ),
        chart(
            "Packets a second over each route",
            rate,
            false,
            routes(|it, step| (step.seconds > 0.0).then(|| it.packets as f64 / step.seconds)),
        ),
    ];
    all.iter().map(|it| it.svg(escape)).collect()
}

/// Text as it may stand between tags and in attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            letter => out.push(letter),
        }
    }
    out
}
