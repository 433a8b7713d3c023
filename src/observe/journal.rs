//! The latest events, kept in memory for whoever asks what happened.
//!
//! Two bounded rings, one for details, so that a flapping route does not push out when the trouble began: the oldest
//! goes first. Each event has a number that goes up by one, whichever ring it is in.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::event::{Event, Gravity, Subject};
use crate::clock::Time;

/// Events kept in each ring. A verdict takes some 200 bytes as a line and more as facts, so all of them two megabytes.
const KEPT: usize = 1024;

/// One event as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When it happened.
    pub at: Time,
    /// When it was told, by the wall clock.
    pub wall: SystemTime,
    /// Who wants to know of it.
    pub gravity: Gravity,
    /// Its kind, one word: `trouble`, `verdict` and so on.
    pub kind: &'static str,
    /// Whom it is about, if anybody.
    pub subject: Option<Subject>,
    /// The line that stands in the log.
    pub text: String,
    /// Everything it says, for programs.
    pub facts: Map<String, Value>,
}

/// The latest events. Shared by who tells them and who reads them.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    news: VecDeque<Entry>,
    details: VecDeque<Entry>,
    told: u64,
}

impl Journal {
    /// Adds one.
    pub fn tell(&self, at: Time, wall: SystemTime, event: &Event) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.told += 1;
        let entry = Entry {
            number: ring.told,
            at,
            wall,
            gravity: event.gravity(),
            kind: event.kind(),
            subject: event.subject(),
            text: event.to_string(),
            facts: event.facts(),
        };
        let entries = match entry.gravity {
            Gravity::Detail => &mut ring.details,
            Gravity::News | Gravity::Warning => &mut ring.news,
        };
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The events behind number `after`, oldest first, at most the latest `most` of them; details only if `details`
    /// says so.
    pub fn since(&self, after: u64, most: usize, details: bool) -> Vec<Entry> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |entry: &&Entry| entry.number > after;
        let latest = |entries: &VecDeque<Entry>| -> Vec<Entry> {
            entries
                .iter()
                .rev()
                .take_while(behind)
                .take(most)
                .cloned()
                .collect()
        };
        let mut found = latest(&ring.news);
        if details {
            found.append(&mut latest(&ring.details));
        }
        found.sort_unstable_by_key(|entry| entry.number);
        found.split_off(found.len().saturating_sub(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(journal: &Journal, count: usize) {
        for _ in 0..count {
            let event = Event::LoopOver {
                upstream: "a".into(),
            };
            journal.tell(Time::START, SystemTime::UNIX_EPOCH, &event);
        }
    }

    fn detail(journal: &Journal) {
        let event = Event::PathFound { path: "a".into() };
        journal.tell(Time::START, SystemTime::UNIX_EPOCH, &event);
    }

    fn numbers(journal: &Journal, after: u64, most: usize) -> Vec<u64> {
        let entries = journal.since(after, most, false);
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn a_reader_who_comes_back_gets_what_is_new() {
        let journal = Journal::default();
        told(&journal, 3);
        assert_eq!(numbers(&journal, 0, 10), [1, 2, 3]);
        assert_eq!(numbers(&journal, 2, 10), [3]);
        assert_eq!(numbers(&journal, 3, 10), [0u64; 0]);
        assert_eq!(numbers(&journal, 0, 2), [2, 3]);
        // Of another life of the daemon, perhaps: nothing is behind it.
        assert_eq!(numbers(&journal, 99, 10), [0u64; 0]);
    }

    #[test]
    fn the_oldest_go_first() {
        let journal = Journal::default();
        told(&journal, KEPT + 5);
        let kept = numbers(&journal, 0, usize::MAX);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0], 6);
    }

    #[test]
    fn details_are_for_who_asks_for_them_and_push_nothing_else_out() {
        let journal = Journal::default();
        told(&journal, 1);
        for _ in 0..2 * KEPT {
            detail(&journal);
        }
        told(&journal, 1);
        let last = 2 * KEPT as u64 + 2;
        assert_eq!(numbers(&journal, 0, 10), [1, last]);
        let all = journal.since(0, 3, true);
        let all: Vec<u64> = all.iter().map(|entry| entry.number).collect();
        assert_eq!(all, [last - 2, last - 1, last]);
        let behind = journal.since(last - 1, 10, true);
        assert_eq!(behind.len(), 1);
    }
}
