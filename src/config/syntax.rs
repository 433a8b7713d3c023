//! What is not TOML, said in words that help.
//!
//! The parser's own messages are exact about TOML and know nothing of what an operator wanted. The usual
//! slips (a value without quotes, a colon for an equals sign, a table given twice) are told by name.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::report::{Place, Report, clip, quoted};

/// Parses a document, or says what is wrong at the first place where it is not TOML. What follows such a
/// place is guesswork, so there is never more than one.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Report> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let position = |it: &toml::de::Error| it.span().map_or(usize::MAX, |it| it.start);
    match errors.iter().min_by_key(|it| position(it)) {
        None => Ok(document),
        Some(error) => Err(explain(text, &document, error)),
    }
}

fn explain(text: &str, document: &DeTable<'_>, error: &toml::de::Error) -> Report {
    let span = error.span().unwrap_or(0..0);
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, "nothing")) => (what, String::new()),
        Some((what, expected)) => (what, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    if what == "duplicate key" {
        return duplicate(text, document, span);
    }
    if let Some(value) = value_at(text, span.start)
        && what != "unexpected key or value"
    {
        return bad_value(text, value);
    }
    let place = Place::Text(span.clone());
    let colon = text[..span.start].ends_with(':') || text[span.start..].starts_with(':');
    if colon && matches!(what, "key with no value" | "invalid unquoted key") {
        let report = Report::error("a key without a value", &place, "expected `=`");
        return report.help("TOML writes `=`, not `:`");
    }
    if what == "key with no value" {
        return Report::error("a key without a value", &place, "expected `=`");
    }
    Report::error(what, &place, expected)
}

/// The value that an error at `at` lies in, if it is one that stands without quotes: from behind the `=` to the
/// end of the line or the comment.
fn value_at(text: &str, at: usize) -> Option<Range<usize>> {
    let line_start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |it| at + it);
    let line = &text[line_start..line_end];
    let equals = line.find('=').filter(|it| line_start + it < at)?;
    let value = &line[equals + 1..];
    let value = value.split('#').next().unwrap_or(value);
    if value.trim_start().starts_with(['"', '\'', '[', '{']) {
        return None;
    }
    let start = line_start + equals + 1 + (value.len() - value.trim_start().len());
    Some(start..start + value.trim().len())
}

fn bad_value(text: &str, span: Range<usize>) -> Report {
    let value = &text[span.clone()];
    let place = Place::Text(span);
    if value.is_empty() {
        return Report::error("a key without a value", &place, "expected a value");
    }
    let bare = value.trim_matches(|c| matches!(c, '“' | '”' | '„' | '‘' | '’' | '"' | '\''));
    let report = Report::error(
        format!("{} is not a value of TOML", quoted(value)),
        &place,
        "expected quotes around it, unless it is a plain number, `true` or `false`",
    );
    match bare.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" => report.help("write `true`"),
        "no" | "false" => report.help("write `false`"),
        _ => report.help(format!("write `\"{}\"`", clip(bare))),
    }
}

fn duplicate(text: &str, document: &DeTable<'_>, span: Range<usize>) -> Report {
    let key = &text[span.clone()];
    let report = Report::error(
        format!("{} is given twice", quoted(key)),
        &Place::Text(span.clone()),
        "given a second time",
    );
    let mut first = None;
    nearest_before(
        document,
        key.trim_matches(['"', '\'']),
        span.start,
        &mut first,
    );
    // Of two headers the parser keeps the second.
    let line_start = text[..span.start].rfind('\n').map_or(0, |it| it + 1);
    let header = &text[line_start..span.end];
    let first = first.or_else(|| {
        let at = text[..line_start].find(header)?;
        Some(at + header.len() - key.len()..at + header.len())
    });
    let report = match first {
        Some(first) => report.related(&Place::Text(first), "it is given first here"),
        None => report,
    };
    match (header.trim_start().starts_with('['), key) {
        (true, "listen" | "path" | "upstream") => report.help(format!(
            "each `{key}` starts with `[[{key}]]`, in double brackets"
        )),
        (true, _) => report.help("put all its keys below the first one"),
        (false, _) => report,
    }
}

/// The last place before `before` where `key` is a key: the other one of a pair.
fn nearest_before(table: &DeTable<'_>, key: &str, before: usize, found: &mut Option<Range<usize>>) {
    for (name, value) in table.iter() {
        let span = name.span();
        let later = found.as_ref().is_none_or(|it| it.start < span.start);
        if name.get_ref() == key && span.start < before && later {
            *found = Some(span);
        }
        match value.get_ref() {
            DeValue::Table(inner) => nearest_before(inner, key, before, found),
            DeValue::Array(items) => {
                let inner = items.iter().filter_map(|it| it.get_ref().as_table());
                inner.for_each(|it| nearest_before(it, key, before, found));
            }
            _ => {}
        }
    }
}
