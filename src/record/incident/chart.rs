//! Lines over time, as SVG that needs nothing else.

use std::fmt::Write;

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    /// A value for each point; what is not known interrupts the line.
    pub(super) values: Vec<Option<f64>>,
}

/// Lines that share their axes.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// How a value is written beside the axis.
    pub(super) label: fn(f64) -> String,
    /// Each tenfold as far as the one before.
    pub(super) logarithmic: bool,
    pub(super) lines: Vec<Line>,
    /// Where each point is, in milliseconds since the Unix epoch.
    pub(super) times: Vec<u64>,
    /// From when to when the incident was.
    pub(super) span: (u64, u64),
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;
const COLOURS: [&str; 8] = [
    "#1f6feb", "#d1242f", "#bf8700", "#1a7f37", "#8250df", "#bc4c00", "#0a7ea4", "#6e7781",
];

impl Chart {
    /// The chart; empty if there is nothing to draw.
    pub(super) fn svg(&self, escape: impl Fn(&str) -> String) -> String {
        let known = self.lines.iter().flat_map(|it| it.values.iter().flatten());
        let most = known.clone().copied().fold(0.0, f64::max);
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else {
            return String::new();
        };
        if most <= 0.0 || first >= last {
            return String::new();
        }
        let least = known.copied().filter(|it| *it > 0.0).fold(most, f64::min);
        let (low, high) = match self.logarithmic {
            true => (least / 1.3, (most * 1.3).max(least * 4.0)),
            false => (0.0, most * 1.08),
        };
        let x = |time: u64| {
            let share = time.saturating_sub(*first) as f64 / (last - first) as f64;
            LEFT + share.min(1.0) * (WIDTH - LEFT - 8.0)
        };
        let y = |value: f64| {
            let share = match self.logarithmic {
                true => (value.max(low) / low).ln() / (high / low).ln(),
                false => value / high,
            };
            HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP)
        };
        let mut out = format!(
            "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title),
            escape(self.title)
        );
        let (from, to) = (x(self.span.0), x(self.span.1));
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" class=\"span\"/>",
            (to - from).max(1.0),
            HEIGHT - BOTTOM - TOP
        );
        let ticks = match self.logarithmic {
            true => vec![low * 1.3, (low * high).sqrt(), high / 1.3],
            false => vec![0.0, most / 2.0, most],
        };
        for tick in ticks {
            let at = y(tick);
            let _ = write!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"grid\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                escape(&(self.label)(tick))
            );
        }
        for time in [*first, self.span.0, self.span.1, *last] {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                x(time).clamp(LEFT + 20.0, WIDTH - 28.0),
                HEIGHT - 5.0,
                crate::record::when::clock(time)
            );
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let mut path = String::new();
            let mut pen = "M";
            for (value, time) in line.values.iter().zip(&self.times) {
                match value {
                    Some(value) => {
                        let _ = write!(path, "{pen}{:.1} {:.1}", x(*time), y(*value));
                        // So that a point alone is seen too.
                        if pen == "M" {
                            path += "h.1";
                        }
                        pen = "L";
                    }
                    None => pen = "M",
                }
            }
            let _ = write!(
                out,
                "<path d=\"{path}\" stroke=\"{colour}\" class=\"line\"/>"
            );
        }
        out += "</svg><p class=\"legend\">";
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let _ = write!(
                out,
                "<span style=\"color:{colour}\">&#9632;</span> {} &nbsp; ",
                escape(&line.name)
            );
        }
        out + "</p></figure>"
    }
}
