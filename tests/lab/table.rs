//! The table that is printed.

use std::time::Duration;

use crate::fault::Culprit;
use crate::figures::{CacheFigures, FailingFigures, Figures};
use crate::limits::short;
use crate::rows::Row;

/// What the columns mean.
pub const LEGEND: &str = "\
About the questions asked during the fault, measured at the client:
  failed      no answer within 5 s, or SERVFAIL          >50, >250  usefully answered, but later (ms)
  known p99   of the popular names                       new fail   share of the new names that failed
  x           packets sent upstream, probes and all, for each question that needed one: that a cache
              would have had to ask in health
  share       of packets over path A (or to dc1) from one second into the fault
  left        from the fault until that share stays under 10 % for a second
  back        from healing until it is half of what it was in health
  clean       from healing until the last question that failed or took over 50 ms
  lag         how late the lab itself was in asking, at worst (ms): the machine's part in what is slow
  verdicts    changes of mind during the fault, and + how often a path was taken into use again
The second line is about the cache and those who got an error; errors of the fault's first two seconds are not timed:
  hits        share of the questions for popular names answered from the cache, fresh and at once
  fresh       from healing until the last question was asked that got a stale answer
  packets     sent upstream, of those in health      used  answers from upstream a second that settled a question
  grown       memory, from the fault's beginning to its end      lines  in the log during the fault
  failing     names that fail through no fault of server or path, of which no other figure tells, and what reached
              a server for each
";

const HEADS: [&str; 17] = [
    "row",
    "asked",
    "failed",
    ">50",
    ">250",
    "worst",
    "p50",
    "p99",
    "known p99",
    "new fail",
    "x",
    "share",
    "left",
    "back",
    "clean",
    "lag",
    "verdicts",
];

/// One line for each row, and behind it who was blamed and what was missed.
pub fn print(rows: &[(Row, Figures)]) -> String {
    let mut lines = vec![HEADS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|(row, figures)| cells(row, figures)));
    let widths: Vec<_> = (0..HEADS.len())
        .map(|column| {
            lines
                .iter()
                .map(|it| it[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            text.push_str(&match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
        }
        if let Some((row, figures)) = number.checked_sub(1).map(|it| &rows[it]) {
            let misses = row.misses(figures);
            text.push_str("  ");
            text.push_str(&match misses.is_empty() {
                true => "ok".to_owned(),
                false => format!("MISSED {}", misses.join(", ")),
            });
            if !figures.blamed.is_empty() {
                text.push_str(&format!(" [{}]", figures.blamed.join(", ")));
            }
        }
        text.push('\n');
        if let Some((_, figures)) = number.checked_sub(1).map(|it| &rows[it]) {
            text.push_str(&cache(&figures.cache));
            let failing = figures.failing;
            text.push_str(&format!(", lines {}", figures.lines));
            if failing.asked > 0 {
                let FailingFigures { asked, each } = failing;
                text.push_str(&format!(", failing {asked} at {} packets", short(each)));
            }
            text.push('\n');
        }
    }
    text
}

fn cache(is: &CacheFigures) -> String {
    let [half, most, all] = is.errors.map(|it| short(it.as_secs_f64() * 1e3));
    format!(
        "    hits {:.2}%, stale {}, fresh {:.2}s, packets {:.3}, used {:.0}/s, grown {:.1} MiB, silent {}, errors {half}/{most}/{all} ms {:?}",
        is.hits * 100.0,
        is.stale,
        is.fresh.as_secs_f64(),
        is.of_health,
        is.used,
        is.grown,
        is.silent,
        is.reasons,
    )
}

fn cells(row: &Row, is: &Figures) -> Vec<String> {
    let ms = |it: Duration| short(it.as_secs_f64() * 1e3);
    let percent = |it: f64| format!("{:.1}%", it * 100.0);
    let one_sided = matches!(row.culprit(), Culprit::Path | Culprit::Server);
    let time = |it: Option<Duration>| match it {
        _ if !one_sided => "-".to_owned(),
        None => "never".to_owned(),
        Some(it) => format!("{:.2}s", it.as_secs_f64()),
    };
    vec![
        row.name.to_owned(),
        is.asked.to_string(),
        is.failed.to_string(),
        is.over_50.to_string(),
        is.over_250.to_string(),
        ms(is.worst),
        ms(is.p50),
        ms(is.p99),
        ms(is.known_p99),
        percent(is.new_failed),
        format!("{:.3}", is.x),
        match one_sided {
            true => format!("{} of {}", percent(is.share), percent(is.share_in_health)),
            false => "-".to_owned(),
        },
        time(is.left),
        time(is.back),
        format!("{:.2}s", is.clean.as_secs_f64()),
        ms(is.lag),
        format!("{}+{}", is.changes, is.returns),
    ]
}
