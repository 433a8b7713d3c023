//! What is wrong with a configuration, shown where it is wrong.
//!
//! Rendered as rustc renders its own: the message, file:line:column, the source line, a caret under the
//! very key or value with what was expected there, and what to do. Whatever comes from the file is shown
//! without control characters, so that a stray file cannot play with the terminal it is shown on.

use std::fmt;
use std::ops::Range;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// These bytes of the file, or of the files laid end to end: see [`Source`].
    Text(Range<usize>),
    /// An option of the command line, as given.
    CommandLine(String),
    /// Nowhere in particular: the whole of the named thing.
    Whole(String),
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, but probably not what was meant.
    Warning,
    /// It is taken, and good to know.
    Note,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Report {
    severity: Severity,
    message: String,
    place: Place,
    label: String,
    // Boxed because it is rare and a report travels in Results.
    related: Option<Box<(Place, String)>>,
    help: Option<String>,
}

impl Report {
    /// An error at `place`. `label` is written beside the caret; it says what was expected.
    pub fn error(message: impl Into<String>, place: &Place, label: impl Into<String>) -> Report {
        Report {
            severity: Severity::Error,
            message: message.into(),
            place: place.clone(),
            label: label.into(),
            related: None,
            help: None,
        }
    }

    /// As [`Report::error`], for what is taken all the same.
    pub fn warning(message: impl Into<String>, place: &Place, label: impl Into<String>) -> Report {
        Report {
            severity: Severity::Warning,
            ..Report::error(message, place, label)
        }
    }

    /// As [`Report::error`], for what is taken and good to know.
    pub fn note(message: impl Into<String>, place: &Place, label: impl Into<String>) -> Report {
        Report {
            severity: Severity::Note,
            ..Report::error(message, place, label)
        }
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Report {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do, if it is known.
    pub fn maybe_help(mut self, help: Option<String>) -> Report {
        self.help = help.or(self.help);
        self
    }

    /// Adds what to do unless something better was said.
    pub fn or_help(mut self, help: impl Into<String>) -> Report {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// Adds another place that has to do with it.
    pub fn related(mut self, place: &Place, note: impl Into<String>) -> Report {
        self.related = Some(Box::new((place.clone(), note.into())));
        self
    }

    /// The same, for a text that starts so many bytes later.
    pub(super) fn moved(mut self, by: usize) -> Report {
        let related = self.related.as_deref_mut().map(|(place, _)| place);
        for place in std::iter::once(&mut self.place).chain(related) {
            if let Place::Text(span) = place {
                *span = span.start + by..span.end + by;
            }
        }
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Where it starts in the file, to sort by; what is not in the file comes last.
    pub(super) fn position(&self) -> usize {
        match &self.place {
            Place::Text(span) => span.start,
            Place::CommandLine(_) | Place::Whole(_) => usize::MAX,
        }
    }

    /// The report as text, one line or several, with no line end after the last.
    pub fn render(&self, source: &Source<'_>) -> String {
        let mut out = String::new();
        // Writing into a String does not fail.
        let _ = self.write(source, &mut out);
        out
    }

    fn write(&self, source: &Source<'_>, out: &mut String) -> fmt::Result {
        use fmt::Write;

        write!(out, "{}: {}", self.severity, self.message)?;
        source.show(&self.place, &self.label, out)?;
        let indent = " ".repeat(source.gutter(&self.place));
        if let Some(help) = &self.help {
            if matches!(self.place, Place::Text(_)) {
                write!(out, "\n{indent} |")?;
            }
            write!(out, "\n{indent} = help: {help}")?;
        }
        if let Some((place, note)) = self.related.as_deref() {
            write!(out, "\nnote: {note}")?;
            source.show(place, "", out)?;
        }
        Ok(())
    }
}

/// A report for programs: what [`Report::render`] shows, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file, the option of the command line, or what it is that has no place in the file.
    pub place: String,
    /// Line and column in the file, counted from 1, the column in characters.
    pub position: Option<(usize, usize)>,
    /// What was expected there, if that is said.
    pub label: String,
    /// What to do, if that is known.
    pub help: Option<String>,
}

impl Report {
    /// The report in parts.
    pub fn remark(&self, source: &Source<'_>) -> Remark {
        let (place, position) = match &self.place {
            Place::Text(span) => {
                let spot = source.spot(span);
                (spot.name.to_owned(), Some((spot.line, spot.column)))
            }
            Place::CommandLine(what) | Place::Whole(what) => (what.clone(), None),
        };
        Remark {
            severity: self.severity,
            message: self.message.clone(),
            place,
            position,
            label: self.label.clone(),
            help: self.help.clone(),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// A file's name and text, to show pieces of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The name that is shown.
    pub name: String,
    /// The text that the places of reports point into.
    pub text: String,
}

/// The files that a configuration is made of. The places of reports count the bytes of all of them, as if they lay end to
/// end, with one byte between each and the next that belongs to the former: an error may lie at a text's end.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a>(pub &'a [Piece]);

/// A place, worked out.
struct Spot<'a> {
    /// The file's name.
    name: &'a str,
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    source_line: &'a str,
    /// Bytes of `source_line`.
    marked: Range<usize>,
}

/// Longer source lines are cut to about this many characters around the caret.
const WIDTH: usize = 120;

impl<'a> Source<'a> {
    /// Each file, and where it starts.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (usize, &'a Piece)> {
        self.0.iter().scan(0, |next, piece| {
            let start = *next;
            *next += piece.text.len() + 1;
            Some((start, piece))
        })
    }

    /// The name of the file that `span` lies in, and its line there, counted from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> (&'a str, usize) {
        let spot = self.spot(span);
        (spot.name, spot.line)
    }

    fn spot(&self, span: &Range<usize>) -> Spot<'a> {
        let (name, text, base) = match self.pieces().take_while(|it| it.0 <= span.start).last() {
            Some((base, piece)) => (piece.name.as_str(), piece.text.as_str(), base),
            None => ("", "", 0),
        };
        let span = span.start - base..span.end.saturating_sub(base);
        let floor = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source_line = text[line_start..line_end].trim_end_matches('\r');
        let end = floor(span.end).clamp(start, line_end);
        let inside = |at: usize| (at - line_start).min(source_line.len());
        Spot {
            name,
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source_line,
            marked: inside(start)..inside(end),
        }
    }

    /// Columns that line numbers take.
    fn gutter(&self, place: &Place) -> usize {
        match place {
            Place::Text(span) => self.spot(span).line.ilog10() as usize + 1,
            Place::CommandLine(_) | Place::Whole(_) => 1,
        }
    }

    fn show(&self, place: &Place, label: &str, out: &mut String) -> fmt::Result {
        use fmt::Write;

        let indent = " ".repeat(self.gutter(place));
        let span = match place {
            Place::Text(span) => span,
            Place::CommandLine(what) | Place::Whole(what) => {
                write!(out, "\n{indent}--> {what}")?;
                if !label.is_empty() {
                    write!(out, "\n{indent} = note: {label}")?;
                }
                return Ok(());
            }
        };
        let spot = self.spot(span);
        write!(
            out,
            "\n{indent}--> {}:{}:{}",
            spot.name, spot.line, spot.column
        )?;
        write!(out, "\n{indent} |")?;
        let (before, marked, after) = spot.pieces();
        write!(out, "\n{} | {before}{marked}{after}", spot.line)?;
        let pad = " ".repeat(before.chars().count());
        let carets = "^".repeat(marked.chars().count().max(1));
        write!(out, "\n{indent} | {pad}{carets}")?;
        if !label.is_empty() {
            write!(out, " {label}")?;
        }
        Ok(())
    }
}

impl Spot<'_> {
    /// The source line before, under and after the caret, fit to be shown.
    fn pieces(&self) -> (String, String, String) {
        let before = shown(&self.source_line[..self.marked.start]);
        let marked = shown(&self.source_line[self.marked.clone()]);
        let after = shown(self.source_line[self.marked.end..].trim_end());
        let count = |text: &str| text.chars().count();
        if count(&before) + count(&marked) + count(&after) <= WIDTH {
            return (before, marked, after);
        }
        let third = WIDTH / 3;
        let first = |text: String| match text.char_indices().nth(third) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text,
        };
        let skip = count(&before).saturating_sub(third);
        let before = match before.char_indices().nth(skip) {
            Some((at, _)) if skip > 0 => format!("...{}", &before[at..]),
            _ => before,
        };
        (before, first(marked), first(after))
    }
}

/// Text from outside, one column to a character as far as that can be known: tabs widened, control
/// characters replaced.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// A word from the file, fit to stand in a message: no control characters, not endless.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", shown(&text[..at])),
        None => shown(text),
    }
}

/// As [`clip`], in back quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", clip(text))
}

/// Characters of a foreign word that are worth showing or comparing. Longer than every name byway accepts.
const MOST: usize = 64;

/// The candidate most like `name`, if any is so like it that it was probably meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    if name.len() > MOST {
        return None;
    }
    let name = fold(name);
    let most = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|it| (strsim::osa_distance(&name, &fold(it)), it))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// "`a`, `b` or `c`".
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|it| format!("`{it}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, span: Range<usize>) -> String {
        let report = Report::error("message", &Place::Text(span), "label").help("help");
        report.render(&Source(&[piece("f.toml", text)]))
    }

    fn piece(name: &str, text: &str) -> Piece {
        Piece {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_place_lies_in_one_of_several_files() {
        let all = [piece("a", "x = 1\n"), piece("b", ""), piece("c", "\ny = 2")];
        let line = |at: usize| Source(&all).line(&(at..at + 1));
        // The end of a file is its own.
        assert_eq!([line(0), line(6)], [("a", 1), ("a", 2)]);
        assert_eq!([line(7), line(8), line(9)], [("b", 1), ("c", 1), ("c", 2)]);
        assert_eq!(line(500), ("c", 2));
        let report = Report::error("message", &Place::Text(9..10), "label");
        let report = report.related(&Place::Text(4..5), "before");
        assert_eq!(
            report.render(&Source(&all)),
            "error: message\n --> c:2:1\n  |\n2 | y = 2\n  | ^ label\nnote: before\n --> a:1:5\n  |\n1 | x = 1\n  |     ^"
        );
    }

    #[test]
    fn a_caret_under_the_very_thing() {
        assert_eq!(
            render("a = 1\nkey = \"value\"  \r\nb = 2\n", 12..19),
            "error: message\n --> f.toml:2:7\n  |\n2 | key = \"value\"\n  |       ^^^^^^^ label\n  |\n  = help: help"
        );
    }

    #[test]
    fn wide_line_numbers_keep_the_frame() {
        let text = format!("{}x", "\n".repeat(99));
        assert_eq!(
            render(&text, 99..100),
            "error: message\n   --> f.toml:100:1\n    |\n100 | x\n    | ^ label\n    |\n    = help: help"
        );
    }

    #[test]
    fn any_span_of_any_text_renders() {
        let text = "é\t\u{1b}[31m\r\nü = \"\u{7}\"\n";
        for start in 0..text.len() + 2 {
            for end in start..text.len() + 2 {
                let shown = render(text, start..end);
                assert!(
                    !shown.contains(['\u{1b}', '\u{7}', '\t', '\r']),
                    "{shown:?}"
                );
            }
        }
        render("", 0..0);
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let shown = render(&text, 1000..1001);
        let line = shown.lines().nth(3).unwrap();
        assert!(line.chars().count() < WIDTH, "{line}");
        let caret = shown.lines().nth(4).unwrap();
        let at = caret.find('^').unwrap();
        assert_eq!(line.as_bytes()[at], b'X', "{shown}");
    }

    #[test]
    fn nearest_names() {
        let keys = ["address", "transports", "min-ttl", "max-ttl"];
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("min_ttl", keys), Some("min-ttl"));
        assert_eq!(nearest("Transport", keys), Some("transports"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
