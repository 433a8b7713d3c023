//! From when until when a certificate holds (RFC 5280 section 4.1.2.5). rustls looks at that of others' certificates, not
//! at that of one's own, and says nothing of it.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Both ends; `None` if they cannot be read.
pub(super) fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut body, _) = expect(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        (_, body) = expect(body, VERSION)?;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        (_, _, body) = element(body)?;
    }
    let (both, _) = expect(body, SEQUENCE)?;
    let (tag, from, both) = element(both)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(both)?;
    Some((from, time(tag, until)?))
}

/// The first element of `der`: its tag, what it holds, and what comes behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length.iter().fold(0, |sum, it| sum << 8 | usize::from(*it));
            (length, rest)
        }
        _ => return None,
    };
    let (held, rest) = rest.split_at_checked(length)?;
    Some((tag, held, rest))
}

fn expect(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, held, rest) = element(der)?;
    (tag == expected).then_some((held, rest))
}

fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits for the year: 50 and above are of the century before.
        UTC_TIME if text.len() == 12 && text.is_ascii() => {
            let century = if &text[..2] < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let second = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    match u64::try_from(second) {
        Ok(after) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => Some(SystemTime::UNIX_EPOCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time(UTC_TIME, b"260102030405Z"), Some(at(1_767_323_045)));
        assert_eq!(time(UTC_TIME, b"991231235959Z"), Some(at(946_684_799)));
        assert_eq!(
            time(GENERALIZED_TIME, b"20500101000000Z"),
            Some(at(2_524_608_000))
        );
        for wrong in ["", "Z", "260102030405", "2601020304é5Z", "261302030405Z"] {
            assert_eq!(time(UTC_TIME, wrong.as_bytes()), None, "{wrong}");
        }
    }

    /// Whatever is cut off or changed, nothing panics.
    #[test]
    fn what_is_damaged_is_unknown() {
        let whole = super::super::keyring::tests::certificate();
        assert!(validity(&whole).is_some_and(|(from, until)| from < until));
        for length in 0..whole.len().min(400) {
            let _ = validity(&whole[..length]);
            let mut other = whole.clone();
            other[length] ^= 0xff;
            let _ = validity(&other);
        }
        assert_eq!(validity(&whole[..100]), None);
    }
}
