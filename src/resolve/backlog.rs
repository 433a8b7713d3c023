//! Questions for which no route has room.
//!
//! Newest first: while more comes than upstreams can serve, the newest question is the one whose
//! client still waits (adaptive LIFO; field experience and CoDel, RFC 8289, both say that a standing
//! queue helps nobody). What has waited for `patience` is given up, and when the queue is full the
//! oldest makes room.

use std::collections::VecDeque;

/// A question's slot and generation.
pub type Entry = (u32, u32);

/// The queue. Entries may be of questions that have gone; whoever takes one looks.
#[derive(Debug, Default)]
pub struct Backlog {
    queue: VecDeque<Entry>,
}

impl Backlog {
    /// Queues a question.
    pub fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
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

    #[test]
    fn the_newest_goes_first_and_the_oldest_makes_room() {
        let mut backlog = Backlog::default();
        for slot in 0..4 {
            backlog.push((slot, 0));
        }
        assert_eq!(backlog.newest(), Some((3, 0)));
        assert_eq!(backlog.oldest(), Some((0, 0)));
        backlog.remove((2, 0));
        assert_eq!((backlog.newest(), backlog.newest()), (Some((1, 0)), None));
    }
}
