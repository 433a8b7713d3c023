//! Moments as people write and read them. All are in UTC, as everywhere else in what byway prints.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::config::units::parse_duration;

const DAY: u64 = 86_400_000;

/// The moment that `text` means at `now`, both in milliseconds since the Unix epoch: `now`, `-15m`, `14:02`, `14:02:30`,
/// `2026-11-28T14:02:00Z`, `2026-11-28 14:02`.
///
/// # Errors
/// What it should have been.
pub fn parse(text: &str, now: u64) -> Result<u64, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = parse_duration(ago).map_err(|error| format!("{error}, as in -15m or -2h"))?;
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(now.saturating_sub(ago));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return millis(time);
    }
    let date_time = text.contains(['-', 'T']);
    if let (true, Ok(time)) = (date_time, text.parse::<DateTime>()) {
        let time = time
            .to_zoned(TimeZone::UTC)
            .map_err(|error| error.to_string())?;
        return millis(time.timestamp());
    }
    if let (true, Ok(time)) = (text.contains(':') && !date_time, text.parse::<Time>()) {
        let of_day = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60
            + i64::from(time.second());
        let of_day = u64::try_from(of_day).unwrap_or(0) * 1_000;
        let today = now / DAY * DAY + of_day;
        // What lies ahead was yesterday.
        return Ok(if today > now {
            today.saturating_sub(DAY)
        } else {
            today
        });
    }
    Err("expected a moment such as -15m, 14:02 or 2026-11-28T14:02:00Z (UTC)".into())
}

fn millis(time: Timestamp) -> Result<u64, String> {
    u64::try_from(time.as_millisecond()).map_err(|_| "before 1970".into())
}

/// The moment as RFC 3339 writes it, in UTC, to the second.
pub fn rfc3339(millis: u64) -> String {
    let time = i64::try_from(millis / 1_000).ok();
    match time.and_then(|it| Timestamp::from_second(it).ok()) {
        Some(time) => time.to_string(),
        // Beyond the year 9999.
        None => "never".into(),
    }
}

/// The time of its day, in UTC, to the second.
pub fn clock(millis: u64) -> String {
    let second = millis % DAY / 1_000;
    format!(
        "{:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        // 2026-11-28T12:00:00Z
        let now = 1_795_867_200_000;
        for (text, expected) in [
            ("now", now),
            ("-15m", now - 900_000),
            ("-1 h 30 min", now - 5_400_000),
            ("11:58", now - 120_000),
            ("11:58:30", now - 90_000),
            ("12:01", now + 60_000 - DAY),
            ("2026-11-28T11:59:00Z", now - 60_000),
            ("2026-11-28T13:00:00+02:00", now - 3_600_000),
            ("2026-11-28 11:00", now - 3_600_000),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-",
            "-15",
            "25:00",
            "tomorrow",
            "2026-13-01T00:00:00Z",
            "12",
        ] {
            assert!(parse(text, now).is_err(), "{text}");
        }
        assert_eq!(rfc3339(now + 999), "2026-11-28T12:00:00Z");
        assert_eq!(clock(now + 61_000), "12:01:01");
        assert_eq!(rfc3339(u64::MAX), "never");
    }
}
