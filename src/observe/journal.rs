//! The latest events, kept in memory for whoever asks what happened.
//!
//! A bounded ring: the oldest goes first. Each event has a number that goes up by one, so that a reader
//! who comes back knows whether it missed any.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::event::{Event, Subject};
use crate::clock::Time;

/// Events kept. A verdict takes some 200 bytes as a line and more as facts, so all of them a megabyte.
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
    /// Whether it is for the worse.
    pub trouble: bool,
    /// Its kind, one word: `verdict`, `evacuated` and so on.
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
    entries: VecDeque<Entry>,
    told: u64,
}

impl Journal {
    /// Adds one.
    pub fn tell(&self, at: Time, wall: SystemTime, trouble: bool, event: &Event) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.told += 1;
        if ring.entries.len() == KEPT {
            ring.entries.pop_front();
        }
        let entry = Entry {
            number: ring.told,
            at,
            wall,
            trouble,
            kind: event.kind(),
            subject: event.subject(),
            text: event.to_string(),
            facts: event.facts(),
        };
        ring.entries.push_back(entry);
    }

    /// The events behind number `after`, oldest first, at most the latest `most` of them.
    pub fn since(&self, after: u64, most: usize) -> Vec<Entry> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = ring.told.saturating_sub(after);
        let take = usize::try_from(behind)
            .unwrap_or(usize::MAX)
            .min(ring.entries.len())
            .min(most);
        ring.entries
            .iter()
            .skip(ring.entries.len() - take)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(journal: &Journal, count: usize) {
        for _ in 0..count {
            let event = Event::PathFound { path: "a".into() };
            journal.tell(Time::START, SystemTime::UNIX_EPOCH, false, &event);
        }
    }

    fn numbers(journal: &Journal, after: u64, most: usize) -> Vec<u64> {
        let entries = journal.since(after, most);
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
}
