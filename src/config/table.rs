//! Reads typed values out of parsed TOML and reports, with its place, whatever does not fit.
//!
//! serde would stop at the first error and speak of its own types; an operator at three in the morning
//! wants all of them, in the file's words. So the tables are walked by hand, once. A value that is wrong is
//! reported and then taken for not written: the configuration is refused anyway.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::bounds::Bounds;
use super::report::{Place, Report, Written, clip, nearest, one_of, quoted};
use super::units::{self, UnitError};

/// A table of the file while it is read.
pub(super) struct Table<'t, 'r> {
    /// As an operator would write its header; empty for the top of the file.
    header: &'static str,
    entries: &'t DeTable<'t>,
    span: Range<usize>,
    reports: &'r mut Vec<Report>,
}

/// A value of the file with the key it belongs to.
pub(super) struct Value<'t> {
    key: &'static str,
    value: &'t DeValue<'t>,
    place: Place,
}

/// A value, or what is wrong with it.
type Read<T> = Result<T, Report>;

impl<'t, 'r> Table<'t, 'r> {
    /// The top of the file.
    pub(super) fn top(entries: &'t DeTable<'t>, reports: &'r mut Vec<Report>) -> Table<'t, 'r> {
        let table = Table {
            header: "",
            entries,
            span: 0..0,
            reports,
        };
        table.refuse_unknown()
    }

    /// Where the table starts: its header.
    pub(super) fn place(&self) -> Place {
        Place::Text(self.span.clone())
    }

    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    fn get(&self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(
            keys_of(self.header).contains(&key),
            "{}{key} is read but not in SHAPE",
            self.header
        );
        let value = self.entries.get(key)?;
        Some(Value {
            key,
            value: value.get_ref(),
            place: Place::Text(value.span()),
        })
    }

    /// Whether `key` is written.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Whether `key` is written as a string.
    pub(super) fn is_string(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|it| it.value.is_str())
    }

    /// Reads `key` with `read`, if it is written.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Read<T>,
    ) -> Option<Written<T>> {
        let value = self.get(key)?;
        match read(&value) {
            Ok(it) => Some(Written {
                value: it,
                place: value.place,
            }),
            Err(report) => {
                self.reports.push(report);
                None
            }
        }
    }

    /// As [`Table::read`]; that the key is not written is reported too.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Read<T>,
    ) -> Option<Written<T>> {
        if !self.has(key) {
            let message = format!("`{}` has no `{key}`", self.header);
            let label = format!("expected the key `{key}` below this line");
            self.report(Report::error(message, &self.place(), label));
        }
        self.read(key, read)
    }

    /// A list, each item read with `read`. With one item wrong the list is as good as not written.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Value<'t>) -> Read<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let list = self.get(key)?;
        let Some(items) = list.value.as_array() else {
            let report = list.wrong_type("a list");
            let report = match list.value.as_str() {
                Some(text) => report.help(format!("write `{key} = [\"{}\"]`", clip(text))),
                None => report,
            };
            self.report(report);
            return None;
        };
        let mut all = Vec::with_capacity(items.len());
        let before = self.reports.len();
        for item in items.iter() {
            let item = Value {
                key,
                value: item.get_ref(),
                place: Place::Text(item.span()),
            };
            match read(&item) {
                Ok(value) => all.push(Written {
                    value,
                    place: item.place,
                }),
                Err(report) => self.reports.push(report),
            }
        }
        (self.reports.len() == before).then_some(Written {
            value: all,
            place: list.place,
        })
    }

    /// A table within this one, read with `read`, if it is written.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        header: &'static str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let value = self.get(key)?;
        let Some(entries) = value.value.as_table() else {
            let report = value.wrong_type("a table");
            let report = report.help(format!("write `{header}` on a line of its own"));
            self.report(report);
            return None;
        };
        Some(read(&mut self.inner(header, entries, value.place)))
    }

    /// The tables of a list of them (`[[listen]]`), each read with `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        header: &'static str,
        read: impl Fn(&mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        let Some(list) = self.get(key) else {
            return Vec::new();
        };
        let tables = list.value.as_array().into_iter().flatten();
        let tables = tables.map(|it| (it.get_ref().as_table(), it.span()));
        let tables: Option<Vec<_>> = tables
            .map(|(it, span)| it.map(|table| (table, Place::Text(span))))
            .collect();
        match tables {
            Some(tables) if list.value.is_array() => tables
                .into_iter()
                .map(|(entries, place)| read(&mut self.inner(header, entries, place)))
                .collect(),
            _ => {
                let message = format!("`{key}` is a list of tables");
                let label = format!("expected `{header}`");
                let report = Report::error(message, &list.place, label);
                self.report(report.help("each one starts with its own header in double brackets"));
                Vec::new()
            }
        }
    }

    fn inner(
        &mut self,
        header: &'static str,
        entries: &'t DeTable<'t>,
        place: Place,
    ) -> Table<'t, '_> {
        let span = match place {
            Place::Text(span) => span,
            _ => 0..0,
        };
        let table = Table {
            header,
            entries,
            span,
            reports: &mut *self.reports,
        };
        table.refuse_unknown()
    }

    fn refuse_unknown(self) -> Self {
        let known = keys_of(self.header);
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let message = match self.header {
                "" => format!("unknown key {}", quoted(name)),
                header => format!("unknown key {} in `{header}`", quoted(name)),
            };
            let (label, help) = advice(name, self.header, known);
            let report = Report::error(message, &Place::Text(key.span()), label);
            self.reports.push(report.maybe_help(help));
        }
        self
    }
}

/// Every table of the file and its keys, in the order of `config/byway.toml`.
pub(super) const SHAPE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "version", "workers", "allow", "listen", "path", "upstream", "routing", "cache",
            "admin", "limits",
        ],
    ),
    ("[[listen]]", &["address", "transports"]),
    (
        "[[path]]",
        &["name", "interface", "source", "mark", "backup", "cost"],
    ),
    (
        "[[upstream]]",
        &["name", "address", "transport", "paths", "backup", "cost"],
    ),
    (
        "[routing]",
        &[
            "policy",
            "deadline",
            "return-within",
            "extra-share",
            "ceiling",
            "hedge-min",
            "hedge-max",
        ],
    ),
    (
        "[cache]",
        &[
            "size",
            "min-ttl",
            "max-ttl",
            "negative-max-ttl",
            "stale-max",
            "stale-ttl",
            "stale-wait",
            "refresh",
            "failure-min-ttl",
            "failure-max-ttl",
            "snapshot",
            "snapshot-every",
        ],
    ),
    ("[admin]", &["listen"]),
    (
        "[limits]",
        &[
            "questions",
            "waiting",
            "attempts-per-route",
            "upstream-sockets",
            "upstream-connections",
            "tcp-connections",
            "tcp-connections-per-client",
            "tcp-pipeline",
            "tcp-idle",
            "tcp-stall",
            "udp-payload",
            "udp-buffer",
        ],
    ),
];

fn keys_of(header: &str) -> &'static [&'static str] {
    let table = SHAPE.iter().find(|(it, _)| *it == header);
    table.map_or(&[], |(_, keys)| keys)
}

/// What to say beside an unknown key and what to do about it. TOML has one trap that everybody falls into: a
/// key below a header belongs to that table, wherever it was meant to go.
fn advice(name: &str, header: &str, known: &[&str]) -> (String, Option<String>) {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        let label = "not a key of this table".to_owned();
        return (label, Some(format!("did you mean `{meant}`?")));
    }
    let label = format!("expected one of {}", known.join(", "));
    let home = SHAPE
        .iter()
        .find(|(it, keys)| *it != header && keys.contains(&name))
        .map(|(it, _)| *it);
    let help = match home {
        Some("") => Some(format!(
            "`{name}` belongs at the top of the file, above the first table"
        )),
        Some(home) => Some(format!("`{name}` belongs to `{home}`")),
        None => None,
    };
    (label, help)
}

impl<'t> Value<'t> {
    pub(super) fn error(&self, message: impl Into<String>, label: impl Into<String>) -> Report {
        Report::error(message, &self.place, label)
    }

    /// "expected ..., found ..."
    fn wrong_type(&self, expected: &str) -> Report {
        let article = match self.value.type_str() {
            "integer" | "array" => "an",
            _ => "a",
        };
        let found = match self.value {
            DeValue::Float(_) => "number",
            DeValue::Boolean(_) => "truth value",
            other => other.type_str(),
        };
        self.error(
            format!("wrong kind of value for `{}`", self.key),
            format!("expected {expected}, found {article} {found}"),
        )
    }

    pub(super) fn string(&self, expected: &str) -> Read<&'t str> {
        let value: &'t DeValue<'t> = self.value;
        match value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong_type(expected)),
        }
    }

    pub(super) fn flag(&self) -> Read<bool> {
        self.value.as_bool().ok_or_else(|| {
            let report = self.wrong_type("`true` or `false`");
            match self.value.as_str().map(str::to_ascii_lowercase).as_deref() {
                Some("true" | "yes" | "on") => report.help("write `true`, without quotes"),
                Some("false" | "no" | "off") => report.help("write `false`, without quotes"),
                _ => report,
            }
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Read<T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let expected = one_of(words());
        let text = self.string(&expected)?;
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let message = format!("unknown `{}` {}", singular(self.key), quoted(text));
                let help = nearest(text, words()).map(|it| format!("did you mean `{it}`?"));
                let report = self.error(message, format!("expected {expected}"));
                Err(report.maybe_help(help))
            }
        }
    }

    /// A whole number within `bounds`.
    pub(super) fn count<T>(&self, bounds: Bounds<T>) -> Read<T>
    where
        T: TryFrom<i128> + PartialOrd + Display + Copy,
    {
        self.whole(bounds.min..=bounds.max)
            .map_err(|report| report.or_help(the_default(&bounds.default)))
    }

    /// A whole number within `range`.
    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Read<T>
    where
        T: TryFrom<i128> + PartialOrd + Display + Copy,
    {
        let Some(integer) = self.value.as_integer() else {
            let report = self.wrong_type("a whole number");
            return Err(match self.value.as_str() {
                Some(text) if text.parse::<i128>().is_ok() => {
                    report.help(format!("write `{}`, without quotes", clip(text)))
                }
                _ => report,
            });
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|it| T::try_from(it).ok());
        match number {
            Some(it) if range.contains(&it) => Ok(it),
            _ => Err(self.out_of_range(&format!("{} to {}", range.start(), range.end()))),
        }
    }

    /// A number, whole or not, within `bounds`.
    pub(super) fn number(&self, bounds: Bounds<f64>) -> Read<f64> {
        let number = match self.value {
            DeValue::Integer(it) => i128::from_str_radix(it.as_str(), it.radix())
                .ok()
                .map(|it| it as f64),
            DeValue::Float(it) => it.as_str().parse().ok(),
            _ => return Err(self.wrong_type("a number")),
        };
        match number {
            Some(it) if bounds.hold(&it) => Ok(it),
            _ => {
                let range = format!("{:?} to {:?}", bounds.min, bounds.max);
                let report = self.out_of_range(&range);
                Err(report.help(the_default(&format!("{:?}", bounds.default))))
            }
        }
    }

    /// A duration within `bounds`.
    pub(super) fn duration(&self, bounds: Bounds<Duration>) -> Read<Duration> {
        let example = units::format_duration(bounds.default);
        let expected = format!("a duration with its unit, such as `\"{example}\"`");
        if let Some(integer) = self.value.as_integer() {
            let help =
                format!("write `\"{integer} s\"` for seconds, `\"{integer} ms\"` for thousandths");
            return Err(self.wrong_type(&expected).help(help));
        }
        let text = self.string(&expected)?;
        let duration = units::parse_duration(text)
            .map_err(|error| self.quantity_error(text, "duration", &error, "s"))?;
        if bounds.hold(&duration) {
            return Ok(duration);
        }
        let (min, max) = (
            units::format_duration(bounds.min),
            units::format_duration(bounds.max),
        );
        let report = self.out_of_range(&format!("{min} to {max}"));
        Err(report.help(the_default(&example)))
    }

    /// A duration of whole seconds within `bounds`: what a TTL can say.
    pub(super) fn ttl(&self, bounds: Bounds<Duration>) -> Read<Duration> {
        let ttl = self.duration(bounds)?;
        if ttl.subsec_nanos() != 0 {
            return Err(self.error(
                format!("`{}` is not a TTL", self.key),
                "expected whole seconds",
            ));
        }
        Ok(ttl)
    }

    /// A size within `bounds`, or 0 if `zero` is allowed beside them.
    pub(super) fn size(&self, bounds: Bounds<usize>, zero: bool) -> Read<usize> {
        let example = units::format_size(bounds.default);
        let bytes = if let Some(integer) = self.value.as_integer() {
            usize::from_str_radix(integer.as_str(), integer.radix()).ok()
        } else {
            let text = self.string(&format!("a size, such as `\"{example}\"`"))?;
            match units::parse_size(text) {
                Ok(bytes) => Some(bytes),
                Err(UnitError::TooLarge) => None,
                Err(error) => return Err(self.quantity_error(text, "size", &error, "MiB")),
            }
        };
        match bytes {
            Some(it) if bounds.hold(&it) || (zero && it == 0) => Ok(it),
            _ => {
                let zero = if zero { "0, or " } else { "" };
                let (min, max) = (
                    units::format_size(bounds.min),
                    units::format_size(bounds.max),
                );
                let report = self.out_of_range(&format!("{zero}{min} to {max}"));
                Err(report.help(the_default(&example)))
            }
        }
    }

    fn out_of_range(&self, range: &str) -> Report {
        let message = format!("`{}` is out of range", self.key);
        self.error(message, format!("expected {range}"))
    }

    fn quantity_error(&self, text: &str, kind: &str, error: &UnitError, unit: &str) -> Report {
        let message = format!("{} is not a {kind}", quoted(text));
        let report = self.error(message, error.to_string());
        match error {
            UnitError::NoUnit => report.help(format!("write `\"{} {unit}\"`", clip(text.trim()))),
            UnitError::UnknownUnit {
                meant: Some(meant), ..
            } => report.help(format!("did you mean `{meant}`?")),
            UnitError::UnknownUnit { meant: None, .. } | UnitError::NoNumber => {
                report.help(match kind {
                    "size" => "write a number and one of B, KiB, MiB, GiB, KB, MB, GB",
                    _ => "write a number and one of us, ms, s, min, h, d",
                })
            }
            UnitError::TooLarge | UnitError::TooFine => report,
        }
    }
}

fn the_default(default: &dyn Display) -> String {
    format!("the default is {default}")
}

/// The item of a list, where the key names the list.
fn singular(key: &str) -> &str {
    key.strip_suffix('s').unwrap_or(key)
}
