//! Questions for which no route has room.
//!
//! Newest first: while more comes than upstreams can serve, the newest question is the one whose
//! client still waits (adaptive LIFO; field experience and CoDel, RFC 8289, both say that a standing
//! queue helps nobody). What has waited for `queue-patience` is given up, and when the queue is full the
//! oldest makes room. Once the queue has stood for all that time, a question that is not taken out
//! soon will never be, for newer ones go first: it is given up after a quarter of it, so that clients hear of it
//! sooner and there is less to be worked off when the surge is over.
//!
//! So questions leave at both ends and from the middle, each at the same small cost: they are linked.

use std::time::Duration;

use slab::Slab;

use crate::clock::Time;

/// The queue.
#[derive(Debug, Default)]
pub struct Backlog {
    nodes: Slab<Node>,
    oldest: Option<usize>,
    newest: Option<usize>,
    /// Since when it was never empty.
    stands_since: Time,
}

/// A question's place in the queue: good for one [`Backlog::remove`].
#[derive(Debug)]
pub struct Place(usize);

#[derive(Debug)]
struct Node {
    /// The question's slot.
    slot: usize,
    older: Option<usize>,
    newer: Option<usize>,
}

/// The share of the patience that is left once the queue stands.
const STANDING: u32 = 4;

impl Backlog {
    /// Queues the question in `slot`. Returns its place, and how long it may wait: `patience` at most.
    pub fn push(&mut self, slot: usize, patience: Duration, now: Time) -> (Place, Duration) {
        if self.is_empty() {
            self.stands_since = now;
        }
        let place = self.nodes.insert(Node {
            slot,
            older: self.newest,
            newer: None,
        });
        match self.newest.replace(place) {
            Some(older) => self.nodes[older].newer = Some(place),
            None => self.oldest = Some(place),
        }
        let patience = match now.since(self.stands_since) > patience {
            true => patience / STANDING,
            false => patience,
        };
        (Place(place), patience)
    }

    /// The newest question's slot.
    pub fn newest(&self) -> Option<usize> {
        self.newest.map(|place| self.nodes[place].slot)
    }

    /// The oldest question's slot.
    pub fn oldest(&self) -> Option<usize> {
        self.oldest.map(|place| self.nodes[place].slot)
    }

    /// Takes a question out.
    pub fn remove(&mut self, place: Place) {
        let Node { older, newer, .. } = self.nodes.remove(place.0);
        match older {
            Some(older) => self.nodes[older].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.nodes[newer].older = older,
            None => self.newest = older,
        }
    }

    /// Questions queued.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[test]
    fn who_joins_a_standing_queue_is_given_up_sooner() {
        let mut backlog = Backlog::default();
        let push = |backlog: &mut Backlog, millis: u64| {
            let now = Time::START + Duration::from_millis(millis);
            let (place, patience) = backlog.push(millis as usize, PATIENCE, now);
            (place, patience.as_millis())
        };
        let (first, patience) = push(&mut backlog, 0);
        assert_eq!(patience, 500);
        let (second, patience) = push(&mut backlog, 500);
        assert_eq!(patience, 500);
        backlog.remove(first);
        let (third, patience) = push(&mut backlog, 501);
        assert_eq!(patience, 125);
        backlog.remove(third);
        backlog.remove(second);
        let (_, patience) = push(&mut backlog, 502);
        assert_eq!(patience, 500, "it was empty in between");
    }

    proptest! {
        /// As a queue that is looked through for each that leaves it.
        #[test]
        fn questions_leave_from_wherever_they_are(plan in prop::collection::vec(0usize..20, 0..200)) {
            let mut backlog = Backlog::default();
            let mut places = VecDeque::new();
            for (slot, step) in plan.into_iter().enumerate() {
                match step {
                    10.. if step - 10 < places.len() => {
                        let (_, place) = places.remove(step - 10).expect("it is there");
                        backlog.remove(place);
                    }
                    _ => {
                        let (place, _) = backlog.push(slot, PATIENCE, Time::START);
                        places.push_back((slot, place));
                    }
                }
                prop_assert_eq!(backlog.oldest(), places.front().map(|(slot, _)| *slot));
                prop_assert_eq!(backlog.newest(), places.back().map(|(slot, _)| *slot));
                prop_assert_eq!(backlog.len(), places.len());
            }
        }
    }
}
