//! The picture of an event: latency, packets on each path, changes of mind, over time. SVG.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::figures::{changes, sent_between};
use crate::run::Run;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
/// Top and bottom of the panel of latencies, and of that of packets.
const LATENCY: (f64, f64) = (50.0, 330.0);
const PACKETS: (f64, f64) = (360.0, 520.0);
const VERDICTS: f64 = 545.0;
const LINE: f64 = 14.0;
/// One bar of packets.
const BAR: Duration = Duration::from_millis(500);
/// The lowest and highest latency shown, in seconds; what failed is drawn at the top.
const DECADES: (f64, f64) = (-4.3, 0.8);

/// Draws it.
pub fn draw(title: &str, run: &Run) -> String {
    let changes: Vec<_> = changes(run).collect();
    let height = VERDICTS + LINE * (changes.len() as f64 + 2.0);
    let x = |at: Instant| {
        let all = (run.end - run.start).as_secs_f64();
        LEFT + (WIDTH - LEFT - RIGHT) * at.saturating_duration_since(run.start).as_secs_f64() / all
    };
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' \
         font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n"
    );
    let mut put = |line: String| svg.push_str(&(line + "\n"));
    put(text(
        LEFT,
        20.0,
        "start",
        &format!("{title} (the fault is shaded)"),
    ));
    put(format!(
        "<rect x='{:.1}' y='{}' width='{:.1}' height='{}' fill='#fdecea'/>",
        x(run.broken),
        LATENCY.0,
        x(run.healed) - x(run.broken),
        PACKETS.1 - LATENCY.0
    ));

    let y = |seconds: f64| {
        let part =
            (seconds.log10().clamp(DECADES.0, DECADES.1) - DECADES.0) / (DECADES.1 - DECADES.0);
        LATENCY.1 - part * (LATENCY.1 - LATENCY.0)
    };
    for (seconds, label) in [
        (1e-4, "0.1 ms"),
        (1e-3, "1 ms"),
        (1e-2, "10 ms"),
        (0.05, "50 ms"),
        (0.25, "250 ms"),
        (1.0, "1 s"),
    ] {
        put(rule(y(seconds)));
        put(text(LEFT - 5.0, y(seconds) + 4.0, "end", label));
    }
    put(text(LEFT - 5.0, LATENCY.0 - 2.0, "end", "failed"));
    for question in &run.seen.questions {
        let at = x(question.at);
        match question.took.filter(|_| question.useful) {
            Some(took) => put(dot(at, y(took.as_secs_f64()), 1.0, "#1f4e79")),
            None => put(dot(at, LATENCY.0 - 5.0, 2.5, "#c00000")),
        }
    }

    let bars = (run.end - run.start).as_millis() / BAR.as_millis();
    let bars: Vec<_> = (0..bars as u32)
        .map(|it| run.start + it * BAR)
        .map(|at| (at, sent_between(run, at, at + BAR)))
        .collect();
    let most = bars
        .iter()
        .map(|(_, [a, b])| a + b)
        .max()
        .unwrap_or(0)
        .max(1) as f64;
    let tall = |packets: u64| packets as f64 / most * (PACKETS.1 - PACKETS.0);
    for (at, [a, b]) in &bars {
        let width = x(*at + BAR) - x(*at) - 1.0;
        let mut base = PACKETS.1;
        for (packets, colour) in [(*a, "#2e75b6"), (*b, "#f4a742")] {
            base -= tall(packets);
            put(format!(
                "<rect x='{:.1}' y='{base:.1}' width='{width:.1}' height='{:.1}' fill='{colour}'/>",
                x(*at),
                tall(packets)
            ));
        }
    }
    let a_second = most / BAR.as_secs_f64();
    put(text(
        LEFT - 5.0,
        PACKETS.0 + 8.0,
        "end",
        &format!("{a_second:.0}/s"),
    ));
    put(text(
        LEFT + 5.0,
        PACKETS.0 - 5.0,
        "start",
        "packets sent upstream: blue over A, orange over B",
    ));
    for second in (0..=(run.end - run.start).as_secs()).step_by(2) {
        let at = x(run.start + Duration::from_secs(second));
        put(text(at, PACKETS.1 + 12.0, "middle", &format!("{second} s")));
    }

    let shown = changes
        .iter()
        .filter(|it| it.at >= run.start && it.at <= run.end);
    for (line, change) in shown.enumerate() {
        let (at, below) = (x(change.at), VERDICTS + LINE * (line as f64 + 1.0));
        put(format!(
            "<line x1='{at:.1}' x2='{at:.1}' y1='{}' y2='{below:.1}' stroke='#7f7f7f' stroke-dasharray='2 3'/>",
            LATENCY.0
        ));
        let after = (change.at - run.start).as_secs_f64();
        let words = format!("{after:.2} s: {} {}", change.subject, change.to);
        let anchor = if at > WIDTH * 0.75 { "end" } else { "start" };
        put(text(at, below, anchor, &words));
    }
    svg.push_str("</svg>\n");
    svg
}

fn rule(y: f64) -> String {
    format!(
        "<line x1='{LEFT}' x2='{}' y1='{y:.1}' y2='{y:.1}' stroke='#dddddd'/>",
        WIDTH - RIGHT
    )
}

fn dot(x: f64, y: f64, size: f64, colour: &str) -> String {
    format!("<circle cx='{x:.1}' cy='{y:.1}' r='{size}' fill='{colour}'/>")
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    let mut out = format!("<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>");
    for letter in words.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '>' => out.push_str("&gt;"),
            other => write!(out, "{other}").expect("a string"),
        }
    }
    out + "</text>"
}
