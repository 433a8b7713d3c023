//! Durations and sizes as people write them: `"4.5 s"`, `"1 h 30 min"`, `"64 MiB"`.
//!
//! Exact both ways: what cannot be held to the nanosecond or the byte is refused, and what is
//! printed reads back as the same value.

use std::time::Duration;

/// A unit and how many of the smallest thing (nanoseconds, bytes) it is.
type Unit = (&'static str, u128);

const DURATION_UNITS: &[Unit] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("m", 60_000_000_000),
];

const SIZE_UNITS: &[Unit] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// What people write for a unit that byway does not take, because it has two meanings or none.
const SLIPS: &[(&str, &str)] = &[
    ("k", "KiB"),
    ("m", "MiB"),
    ("g", "GiB"),
    ("kb", "KB"),
    ("mb", "MB"),
    ("gb", "GB"),
    ("kib", "KiB"),
    ("mib", "MiB"),
    ("gib", "GiB"),
    ("byte", "B"),
    ("bytes", "B"),
    ("b", "B"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A number was expected and something else, or nothing, stands there.
    #[error("a number is missing")]
    NoNumber,
    /// A bare number.
    #[error("the unit is missing")]
    NoUnit,
    /// A number is followed by no known unit.
    #[error("`{unit}` is not a unit")]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// More than fits.
    #[error("too large")]
    TooLarge,
    /// A fraction of a nanosecond or a byte.
    #[error("too fine")]
    TooFine,
}

/// Reads a duration: numbers, whole or decimal, each with one of `us ms s min m h d`, added up.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let nanos = parse(text, DURATION_UNITS)?;
    let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| UnitError::TooLarge)?;
    Ok(Duration::new(secs, (nanos % 1_000_000_000) as u32))
}

/// Reads a size: numbers, whole or decimal, each with one of `B KB MB GB` (powers of 1,000) or `KiB
/// MiB GiB` (powers of 1,024), added up.
pub fn parse_size(text: &str) -> Result<usize, UnitError> {
    usize::try_from(parse(text, SIZE_UNITS)?).map_err(|_| UnitError::TooLarge)
}

fn parse(text: &str, units: &[Unit]) -> Result<u128, UnitError> {
    let mut total: u128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::NoNumber);
    }
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() || (fraction.is_empty() && rest[whole.len()..].starts_with('.')) {
            return Err(UnitError::NoNumber);
        }
        let after = after.trim_start();
        let end = after
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale = scale_of(unit, units)?;
        total = quantity(whole, fraction, scale)?
            .checked_add(total)
            .ok_or(UnitError::TooLarge)?;
        rest = after.trim_start();
    }
    Ok(total)
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn scale_of(unit: &str, units: &[Unit]) -> Result<u128, UnitError> {
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    if let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) {
        return Ok(*scale);
    }
    let lower = unit.to_ascii_lowercase();
    let known = |name: &&str| units.iter().any(|(it, _)| it == name);
    let slip = SLIPS
        .iter()
        .filter(|(slip, _)| *slip == lower)
        .map(|(_, meant)| *meant)
        .find(known);
    let meant = slip.or_else(|| {
        let mut names = units.iter().map(|(name, _)| *name);
        names.find(|name| name.eq_ignore_ascii_case(unit))
    });
    Err(UnitError::UnknownUnit {
        unit: unit.to_owned(),
        meant,
    })
}

/// `whole.fraction * scale`, exactly.
fn quantity(whole: &str, fraction: &str, scale: u128) -> Result<u128, UnitError> {
    // 20 digits and a scale under 2^57 stay within 128 bits; more digits than that mean nothing.
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches('0').len() > 20 {
        return Err(UnitError::TooLarge);
    }
    if fraction.len() > 20 {
        return Err(UnitError::TooFine);
    }
    let number = |text: &str| match text {
        "" => Ok(0),
        text => text.parse::<u128>().map_err(|_| UnitError::TooLarge),
    };
    let parts = number(fraction)? * scale;
    let denominator = 10u128.pow(fraction.len() as u32);
    if !parts.is_multiple_of(denominator) {
        return Err(UnitError::TooFine);
    }
    Ok(number(whole)? * scale + parts / denominator)
}

/// Writes a duration in the largest unit that keeps it short; [`parse_duration`] reads the same value
/// back from it.
pub fn format_duration(duration: Duration) -> String {
    const MINUTE: u128 = 60_000_000_000;
    let nanos = duration.as_nanos();
    for (name, scale) in [("d", 24 * 60 * MINUTE), ("h", 60 * MINUTE), ("min", MINUTE)] {
        if nanos != 0 && nanos.is_multiple_of(scale) {
            return format!("{} {name}", nanos / scale);
        }
    }
    let (name, scale) = match nanos {
        0 | 1_000_000_000.. => ("s", 1_000_000_000),
        1_000_000.. => ("ms", 1_000_000),
        _ => ("us", 1_000),
    };
    let (whole, fraction) = (nanos / scale, nanos % scale);
    if fraction == 0 {
        return format!("{whole} {name}");
    }
    let width = scale.ilog10() as usize;
    let fraction = format!("{fraction:0width$}");
    format!("{whole}.{} {name}", fraction.trim_end_matches('0'))
}

/// Writes a size in the largest power of 1,024 that divides it; [`parse_size`] reads the same value
/// back from it.
pub fn format_size(bytes: usize) -> String {
    for (name, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes != 0 && bytes.is_multiple_of(scale) {
            return format!("{} {name}", bytes / scale);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("4.5 s", 4500),
            ("4.5s", 4500),
            (" 200ms ", 200),
            ("1d", 86_400_000),
            ("1 h 30 min", 5_400_000),
            ("1h30m", 5_400_000),
            ("0 s", 0),
            ("0.250 s", 250),
            ("007 s", 7000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text:?}"
            );
        }
        for (text, bytes) in [
            ("64 MiB", 64 << 20),
            ("512KB", 512_000),
            ("1.5 GiB", 3 << 29),
            ("0 B", 0),
            ("4096B", 4096),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn says_why_not() {
        let unit = |unit: &str, meant| UnitError::UnknownUnit {
            unit: unit.to_owned(),
            meant,
        };
        for (text, error) in [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("-1 s", UnitError::NoNumber),
            (".5 s", UnitError::NoNumber),
            ("5. s", UnitError::NoNumber),
            ("1 s and a bit", UnitError::NoNumber),
            ("30", UnitError::NoUnit),
            ("1 h 30", UnitError::NoUnit),
            ("4.5 sec", unit("sec", Some("s"))),
            ("4 S", unit("S", Some("s"))),
            ("2 fortnights", unit("fortnights", None)),
            ("1.0001 us", UnitError::TooFine),
            ("99999999999999999999 d", UnitError::TooLarge),
            (
                "999999999999999999999999999999999999999999 s",
                UnitError::TooLarge,
            ),
            (
                "0.000000000000000000000000000000000000000000001 d",
                UnitError::TooFine,
            ),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text:?}");
        }
        for (text, error) in [
            ("64", UnitError::NoUnit),
            ("64 M", unit("M", Some("MiB"))),
            ("64 mb", unit("mb", Some("MB"))),
            ("64 Mib", unit("Mib", Some("MiB"))),
            ("0.5 B", UnitError::TooFine),
            ("20000000000000000000 GiB", UnitError::TooLarge),
        ] {
            assert_eq!(parse_size(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn writes_the_short_form() {
        for (millis, text) in [
            (0, "0 s"),
            (2, "2 ms"),
            (250, "250 ms"),
            (4500, "4.5 s"),
            (30_000, "30 s"),
            (60_000, "1 min"),
            (90_000, "90 s"),
            (5_400_000, "90 min"),
            (86_400_000, "1 d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(64 << 20), "64 MiB");
        assert_eq!(format_size(512_000), "500 KiB");
        assert_eq!(format_size(1001), "1001 B");
    }

    proptest! {
        #[test]
        fn durations_read_back(secs: u64, nanos in 0u32..1_000_000_000) {
            let duration = Duration::new(secs, nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn short_durations_read_back(nanos in 0u64..10_000_000_000) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn sizes_read_back(bytes: usize, shift in 0u32..64) {
            let bytes = bytes >> shift;
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn nothing_panics(text in "[0-9. ]{0,30}[a-zA-Z ]{0,4}[0-9.\u{e9} ]{0,30}[a-z]{0,3}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
