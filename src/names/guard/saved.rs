//! What is remembered of names under guard, across a restart.
//!
//! One record after another, little-endian: length of the name (1), the name in wire form, type (2), how long it has had
//! addresses and how long ago that was last said, in milliseconds (8 each), the usual number of addresses (8), what was said
//! of it if it is gone (1; 0 if it is not), how long it has been gone, in milliseconds, and how often it was given (8 each), the
//! length of the name of who said so (1) and that name, the number of answers (1), and of each the flags of its question (1),
//! its length (4) and its octets.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::watched::{Gone, OfType, SAID, addresses};
use super::{Book, LONGEST, Rules};
use crate::clock::Life;
use crate::wire::{Answer, CLASS_IN, QuestionKey, RecordType};

pub(super) fn write(book: &Book, now: Life) -> Vec<u8> {
    let mut out = Vec::new();
    // The least recent first, so that they come back in their order.
    for (name, watched) in book.young.iter().rev().chain(book.settled.iter().rev()) {
        for it in &watched.types {
            write_one(&mut out, name, it, now);
        }
    }
    out
}

fn write_one(out: &mut Vec<u8>, name: &[u8], it: &OfType, now: Life) {
    let age = |of: Life| (now.since(of).as_millis() as u64).to_le_bytes();
    out.push(name.len() as u8);
    out.extend(name);
    out.extend(it.record_type.0.to_le_bytes());
    out.extend(age(it.since));
    out.extend(age(it.last));
    out.extend(it.usual.to_bits().to_le_bytes());
    match &it.gone {
        None => out.extend([0; 1 + 8 + 8 + 1]),
        Some(gone) => {
            let said = SAID.iter().position(|said| *said == gone.said);
            out.push(said.map_or(1, |place| place as u8 + 1));
            out.extend(age(gone.since));
            out.extend(gone.given.to_le_bytes());
            let by = &gone.by.as_bytes()[..gone.by.len().min(255)];
            out.push(by.len() as u8);
            out.extend(by);
        }
    }
    out.push(it.answers.len() as u8);
    for (flags, answer) in &it.answers {
        out.push(*flags);
        out.extend((answer.len() as u32).to_le_bytes());
        out.extend(answer.as_bytes());
    }
}

/// Puts what is under guard now into `book`. Returns how many records that were, and whether all could be read.
pub(super) fn read(
    mut octets: &[u8],
    rules: &Rules,
    book: &mut Book,
    away: Duration,
    now: Life,
) -> (usize, bool) {
    let mut count = 0;
    while !octets.is_empty() {
        let Some((name, mut it, rest)) = read_one(octets, away, now) else {
            return (count, false);
        };
        octets = rest;
        let Some(rule) = rules.of(name) else {
            continue;
        };
        if book.len() >= book.most && !book.settled.contains(name) && !book.young.contains(name) {
            book.counts.left_out += 1;
            continue;
        }
        if let Some(gone) = &mut it.gone {
            book.number += 1;
            gone.number = book.number;
        }
        if let Some(event) = it.vanished(name, rule, now) {
            if it.left(rule, now).is_none() {
                // Its time was over while nobody looked.
                continue;
            }
            book.counts.vanished += 1;
            book.tell(event);
        }
        count += 1;
        let settled = book.settled.pop(name);
        let mut watched = settled.or_else(|| book.young.pop(name)).unwrap_or_default();
        watched.types.push(it);
        match watched.is_settled(rule) {
            true => book.settled.push(name.into(), watched),
            false => book.young.push(name.into(), watched),
        };
    }
    (count, true)
}

/// The first record of `octets`, and what follows. `None` if it is none.
fn read_one(octets: &[u8], away: Duration, now: Life) -> Option<(&[u8], OfType, &[u8])> {
    let mut from = Octets(octets);
    let name_len = usize::from(from.octet()?);
    let name = from.take(name_len)?;
    let record_type = RecordType(u16::from_le_bytes(*from.take(2)?.first_chunk()?));
    let ago = |from: &mut Octets<'_>| {
        let age = Duration::from_millis(from.number()?).saturating_add(away);
        // Nothing is older than time itself.
        (age <= now.since(Life::default())).then(|| now - age)
    };
    let (since, last) = (ago(&mut from)?, ago(&mut from)?);
    let usual = f64::from_bits(from.number()?);
    let said = from.octet()?;
    let gone_since = ago(&mut from);
    let given = from.number()?;
    let by_len = usize::from(from.octet()?);
    let by = std::str::from_utf8(from.take(by_len)?).ok()?;
    let gone = match said {
        0 => None,
        place => Some(Gone {
            since: gone_since?,
            said: SAID.get(usize::from(place) - 1)?,
            by: Arc::from(by),
            asked: last,
            given,
            number: 0,
        }),
    };
    let mut answers: SmallVec<[(u8, Answer); 1]> = SmallVec::new();
    for _ in 0..from.octet()? {
        let flags = from.octet()?;
        let len = u32::from_le_bytes(*from.take(4)?.first_chunk()?) as usize;
        let answer = Answer::from_bytes(from.take(len)?.into())?;
        let key = QuestionKey::new(name, record_type, CLASS_IN, flags & 1 != 0, flags & 2 != 0)?;
        let fits =
            answer.question() == key.question() && key.by_ref().flags() == flags && len <= LONGEST;
        if !fits || addresses(&answer, record_type) == 0 {
            return None;
        }
        answers.push((flags, answer));
    }
    let good = !answers.is_empty() && usual.is_finite() && usual >= 0.0 && since <= last;
    let it = OfType {
        record_type,
        since,
        last,
        answers,
        usual,
        shrunk: false,
        gone,
    };
    good.then_some((name, it, from.0))
}

struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }
}
