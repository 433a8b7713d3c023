//! Questions for which no route has room.
//!
//! Newest first: while more comes than upstreams can serve, the newest question is the one whose
//! client still waits (adaptive LIFO; field experience and CoDel, RFC 8289, both say that a standing
//! queue helps nobody). What has waited for `queue-patience` is given up, and when the queue is full the
//! oldest makes room. Once the queue has stood for all that time, a question that is not taken out
//! soon will never be, for newer ones go first: it is given up after a quarter of it, so that clients hear of it
//! sooner and there is less to be worked off when the surge is over.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Time;

/// A question's slot and generation.
pub type Entry = (u32, u32);

/// The queue. Entries may be of questions that have gone; whoever takes one looks.
#[derive(Debug, Default)]
pub struct Backlog {
    queue: VecDeque<Entry>,
    /// Since when it was never empty.
    stands_since: Time,
}

/// The share of the patience that is left once the queue stands.
const STANDING: u32 = 4;

impl Backlog {
    /// Queues a question. Returns how long it may wait, `patience` at most.
    pub fn push(&mut self, entry: Entry, patience: Duration, now: Time) -> Duration {
        if self.queue.is_empty() {
            self.stands_since = now;
        }
        self.queue.push_back(entry);
        match now.since(self.stands_since) > patience {
            true => patience / STANDING,
            false => patience,
        }
    }

    /// The newest question.
    pub fn newest(&mut self) -> Option<Entry> {
        self.queue.pop_back()
    }

    /// Whether that is the newest question.
    pub fn is_newest(&self, entry: Entry) -> bool {
        self.queue.back() == Some(&entry)
    }

    /// The oldest question.
    pub fn oldest(&mut self) -> Option<Entry> {
        self.queue.pop_front()
    }

    /// Forgets a question that was given up; cheap for the oldest, which is the usual one.
    pub fn remove(&mut self, entry: Entry) {
        if self.queue.front() == Some(&entry) {
            self.queue.pop_front();
        } else {
            self.queue.retain(|other| *other != entry);
        }
    }

    /// Questions queued.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[test]
    fn who_joins_a_standing_queue_is_given_up_sooner() {
        let mut backlog = Backlog::default();
        let push = |backlog: &mut Backlog, millis: u64| {
            let now = Time::START + Duration::from_millis(millis);
            backlog.push((millis as u32, 0), PATIENCE, now).as_millis()
        };
        assert_eq!(push(&mut backlog, 0), 500);
        assert_eq!(push(&mut backlog, 500), 500);
        backlog.remove((0, 0));
        assert_eq!(push(&mut backlog, 501), 125);
        while backlog.newest().is_some() {}
        assert_eq!(push(&mut backlog, 502), 500, "it was empty in between");
    }

    #[test]
    fn the_newest_goes_first_and_the_oldest_makes_room() {
        let mut backlog = Backlog::default();
        for slot in 0..4 {
            backlog.push((slot, 0), PATIENCE, Time::START);
        }
        assert_eq!(backlog.newest(), Some((3, 0)));
        assert_eq!(backlog.oldest(), Some((0, 0)));
        backlog.remove((2, 0));
        assert_eq!((backlog.newest(), backlog.newest()), (Some((1, 0)), None));
    }
}
