//! The order of addresses (RFC 1794).
//!
//! Order means nothing in a record set (RFC 2181 section 5), but many programs take the first address they are
//! given: from a cache that always begins with the same one, all connections of a host go to one server. So
//! sets of A and AAAA records in the answer section begin with another record each time. Only data moves: owner,
//! type, TTL and length are the same throughout such a set, and whatever points into the message still leads to
//! what it led to.

use super::answer::{Parts, record_end, record_type};
use super::header;
use super::name;
use super::record::TTL_TO_DATA;
use super::types::RecordType;

/// Octets that are to be written, and where to.
pub(super) struct Move<'a> {
    pub to: usize,
    pub data: &'a [u8],
}

/// Turns the sets of addresses in the answer section so that each begins with the record that stands `turn` places
/// further on. Moves what is seen of them: the first `shown` records.
pub(super) fn rotate<'a>(
    parts: &Parts<'a>,
    answers: usize,
    shown: usize,
    turn: u32,
    mut put: impl FnMut(Move<'a>),
) {
    let mut first = 0;
    let mut owner = header::LEN + parts.question_len;
    while first < shown {
        let Some((count, end, len)) = set_at(parts, first, owner, answers) else {
            return;
        };
        if count > 1 && len > 0 {
            let turn = turn as usize % count;
            for index in 0..count.min(shown - first) {
                let from = match index + turn {
                    from if from < count => from,
                    from => from - count,
                };
                let data = |index: usize| Some(parts.ttl_place(first + index)? + TTL_TO_DATA);
                if let (Some(to), Some(from)) = (data(index), data(from)) {
                    let data = parts.message.get(from..from + len).unwrap_or_default();
                    put(Move { to, data });
                }
            }
        }
        (first, owner) = (first + count, end);
    }
}

/// The set that begins with the record number `first`, whose owner is at `owner`: how many records it has, where they end,
/// and how long the data of each is, if they are addresses. What else there is counts as a set of one.
fn set_at(
    parts: &Parts<'_>,
    first: usize,
    owner: usize,
    answers: usize,
) -> Option<(usize, usize, usize)> {
    let message = parts.message;
    let place = parts.ttl_place(first)?;
    let record_type = record_type(message, place)?;
    let mut end = record_end(message, place)?;
    let len = end - place - TTL_TO_DATA;
    let moves = match record_type {
        RecordType::A => len == 4,
        RecordType::AAAA => len == 16,
        _ => false,
    };
    if !moves {
        return Some((1, end, 0));
    }
    let name = name::resolve(message, owner);
    let mut count = 1;
    while first + count < answers
        && let Some(place) = parts.ttl_place(first + count)
        && super::answer::record_type(message, place) == Some(record_type)
        && record_end(message, place) == Some(place + TTL_TO_DATA + len)
        && name::resolve(message, end) == name
    {
        (count, end) = (count + 1, place + TTL_TO_DATA + len);
    }
    Some((count, end, len))
}
