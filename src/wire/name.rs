//! Domain names where they lie: walked, compared, and as text.
//!
//! A compression pointer must lead to a name that ended before the name at hand began. That is
//! what RFC 1035 section 4.1.4 means by a prior occurrence, and it rules out every loop by
//! construction. The number of pointers is limited too, so that a message of nothing but pointers
//! cannot make each of its names cost a thousand steps.

use std::fmt;

use super::header;
use super::off_limits::OffLimits;

/// The longest name on the wire, in octets, the root's included (RFC 1035 section 2.3.4).
pub(super) const MAX_LEN: usize = 255;
/// The longest label in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: u8 = 63;
/// The names of the message cost too much.
pub(super) const COSTLY: &str = "names that take too much work";
pub(super) const RUNS_OFF: &str = "a name runs off the message";
const TOO_LONG: &str = "a name longer than 255 octets";
/// Labels of the longest name, the root aside.
pub(super) const MAX_LABELS: usize = 127;
/// As many pointers as a name can have labels.
const MAX_POINTERS: usize = 127;

/// The length of the uncompressed name at the start of `octets`, the root's octet included.
/// `None` if it is cut short, too long, compressed or of an unknown label type.
#[inline]
pub(super) fn plain_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = *octets.get(at)?;
        if label == 0 {
            return Some(at + 1);
        }
        if label > MAX_LABEL {
            return None;
        }
        at += 1 + usize::from(label);
        if at >= MAX_LEN {
            return None;
        }
    }
}

/// Checks the name at `start`, pointers followed, and returns where what follows it starts.
/// No part of it may be off limits.
#[inline]
pub(super) fn walk(
    packet: &[u8],
    start: usize,
    off_limits: Option<&OffLimits>,
) -> Result<usize, &'static str> {
    let (mut at, mut first, mut ceiling) = (start, start, packet.len());
    let (mut len, mut pointers, mut end) = (0, 0, None);
    loop {
        let octet = *packet.get(at).ok_or(RUNS_OFF)?;
        let (width, octets) = match octet {
            0..=MAX_LABEL => (1 + usize::from(octet), 1 + usize::from(octet)),
            0xc0.. => (2, 0),
            _ => return Err("a label of unknown type"),
        };
        let next = at + width;
        len += octets;
        if next > packet.len() {
            return Err(RUNS_OFF);
        }
        if next > ceiling {
            return Err("a name runs on where it must end");
        }
        if len > MAX_LEN {
            return Err(TOO_LONG);
        }
        // Up to the first pointer a name lies where only it can.
        if let (Some(off_limits), Some(_)) = (off_limits, end) {
            let barred = match octet {
                0..=MAX_LABEL => off_limits.bar_label(at..next),
                _ => off_limits.bar_pointer(at),
            };
            if barred {
                return Err("a name among octets that are none");
            }
            if !off_limits.effort.spend(1) {
                return Err(COSTLY);
            }
        }
        if octet == 0 {
            return Ok(end.unwrap_or(next));
        }
        if octet <= MAX_LABEL {
            at = next;
            continue;
        }
        let target = header::word(packet, at).map_or(0, |word| usize::from(word & 0x3fff));
        if target >= first || target < header::LEN {
            return Err("a pointer that does not lead back");
        }
        pointers += 1;
        if pointers > MAX_POINTERS {
            return Err("a name of too many pointers");
        }
        let end = *end.get_or_insert(next);
        // Most names are the question's, which was walked before.
        let question = off_limits.map_or(0, |off_limits| off_limits.question_name);
        if target == header::LEN && question > 0 {
            if len > 0 && !off_limits.is_none_or(|it| it.effort.spend(it.question_labels)) {
                return Err(COSTLY);
            }
            return match len + question {
                0..=MAX_LEN => Ok(end),
                _ => Err(TOO_LONG),
            };
        }
        (ceiling, first, at) = (first, target, target);
    }
}

/// Where what follows the name at `start` starts. For names that [`walk`] has passed.
#[inline]
pub(super) fn end(packet: &[u8], start: usize) -> usize {
    match inline_end(packet, start) {
        (at, true) => at + 2,
        (at, false) => at + 1,
    }
}

/// The labels of a name written in place, before its root or its first pointer: where they end,
/// and whether a pointer follows. For names that [`walk`] has passed.
#[inline]
pub(super) fn inline_end(packet: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    loop {
        match packet.get(at) {
            Some(&octet @ 1..=MAX_LABEL) => at += 1 + usize::from(octet),
            Some(0xc0..) => return (at, true),
            _ => return (at, false),
        }
    }
}

/// Follows the pointers at `at`, if any, to a label.
#[inline]
pub(super) fn resolve(packet: &[u8], mut at: usize) -> Option<usize> {
    while *packet.get(at)? >= 0xc0 {
        let target = usize::from(header::word(packet, at)? & 0x3fff);
        if target >= at {
            return None;
        }
        at = target;
    }
    Some(at)
}

/// The label at `at`, empty for the root.
#[inline]
pub(super) fn label(packet: &[u8], at: usize) -> Option<&[u8]> {
    let len = *packet.get(at)?;
    if len > MAX_LABEL {
        return None;
    }
    packet.get(at + 1..at + 1 + usize::from(len))
}

/// An uncompressed name as text, with the escapes of RFC 1035 section 5.1 and a dot at its end.
pub(super) struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        if self.0.first().is_none_or(|&octet| octet == 0) {
            return f.write_str(".");
        }
        while let Some(label) = label(self.0, at).filter(|label| !label.is_empty()) {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
            at += 1 + label.len();
        }
        Ok(())
    }
}

/// `name`, uncompressed wire form, as text with a dot at its end. Octets that text cannot carry
/// are escaped as RFC 1035 section 5.1 says, so [`name_from_text`] gives the same octets back.
pub fn name_to_text(name: &[u8]) -> String {
    Text(name).to_string()
}

/// Why a text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between two dots, or nothing at all.
    #[error("a name has no empty labels (the root is `.`)")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label is longer than 63 octets")]
    LongLabel,
    /// More than 255 octets on the wire.
    #[error("the name is longer than 255 octets")]
    LongName,
    /// A backslash not followed by a character or by three digits up to 255.
    #[error("a backslash wants a character or three digits up to 255 behind it")]
    Escape,
    /// A character outside of ASCII.
    #[error("not ASCII: write international names in their xn-- form")]
    NotAscii,
}

/// The wire form of a name written as text, with the escapes of RFC 1035 section 5.1. The dot at
/// the end may be left out; letter case is kept.
///
/// # Errors
/// When the text is no domain name, [`NameError`] says why.
pub fn name_from_text(text: &str) -> Result<Vec<u8>, NameError> {
    if !text.is_ascii() {
        return Err(NameError::NotAscii);
    }
    if text == "." {
        return Ok(vec![0]);
    }
    let mut name = vec![0];
    let mut label_at = 0;
    let mut octets = text.bytes();
    let mut ended = false;
    while let Some(octet) = octets.next() {
        if ended {
            (label_at, ended) = (name.len(), false);
            name.push(0);
        }
        if octet == b'.' {
            if name[label_at] == 0 {
                return Err(NameError::EmptyLabel);
            }
            ended = true;
            continue;
        }
        let octet = if octet == b'\\' {
            unescape(&mut octets)?
        } else {
            octet
        };
        if name[label_at] == MAX_LABEL {
            return Err(NameError::LongLabel);
        }
        name[label_at] += 1;
        name.push(octet);
    }
    if name[label_at] == 0 {
        return Err(NameError::EmptyLabel);
    }
    name.push(0);
    if name.len() > MAX_LEN {
        return Err(NameError::LongName);
    }
    Ok(name)
}

/// What stands behind a backslash: three digits, or one character taken as it is.
fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = octets.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit);
        value = value * 10 + u16::from(digit.ok_or(NameError::Escape)? - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::Escape)
}
