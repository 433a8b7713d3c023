//! One value of the file as the kind of thing its key holds, or a report that it is another.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::bounds::Bounds;
use super::report::{Place, Report, clip, nearest, one_of, quoted};
use super::units::{self, UnitError};

/// A value of the file with the key it belongs to.
pub(super) struct Value<'t> {
    pub(super) key: &'static str,
    pub(super) value: &'t DeValue<'t>,
    pub(super) place: Place,
}

/// A value, or what is wrong with it.
pub(super) type Read<T> = Result<T, Report>;

impl<'t> Value<'t> {
    pub(super) fn error(&self, message: impl Into<String>, label: impl Into<String>) -> Report {
        Report::error(message, &self.place, label)
    }

    /// "expected ..., found ..."
    pub(super) fn wrong_type(&self, expected: &str) -> Report {
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
                let message = format!("unknown {} {}", singular(self.key), quoted(text));
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
