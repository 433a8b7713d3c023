//! Questions for which no route has room.
//!
//! Clients take turns, each with one question: who has many queued waits for its own. Of a client's the newest goes first:
//! while more comes than upstreams can serve, the newest question is the one whose
//! client still waits (adaptive LIFO; field experience and CoDel, RFC 8289, both say that a standing
//! queue helps nobody). What has waited for `queue-patience` is given up, and when the queue is full the
//! oldest of who has most makes room. Once a client's queue has stood for all that time, a question that is not taken out
//! soon will never be, for newer ones go first: it is given up after a quarter of it, so that clients hear of it
//! sooner and there is less to be worked off when the surge is over.
//!
//! So questions leave at both ends and from the middle, each at the same small cost: they are linked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use slab::Slab;

use super::clients::Guest;
use crate::clock::Time;

/// The queue.
#[derive(Debug, Default)]
pub struct Backlog {
    nodes: Slab<Node>,
    /// One for each client that has questions here, in a ring.
    lines: Slab<Line>,
    /// By client.
    by_guest: HashMap<usize, usize, FixedState>,
    /// Whose turn it is.
    turn: Option<usize>,
}

/// A question's place in the queue: good for one [`Backlog::remove`].
#[derive(Debug)]
pub struct Place(usize);

#[derive(Debug)]
struct Node {
    /// The question's slot.
    slot: usize,
    line: usize,
    older: Option<usize>,
    newer: Option<usize>,
}

/// The questions of one client, or those that are nobody's.
#[derive(Debug)]
struct Line {
    guest: Option<Arc<Guest>>,
    oldest: Option<usize>,
    newest: Option<usize>,
    len: usize,
    /// Since when it was never empty.
    stands_since: Time,
    before: usize,
    after: usize,
}

/// The share of the patience that is left once the queue stands.
const STANDING: u32 = 4;

/// How many clients are looked at in search of one.
const LOOKED_AT: usize = 64;

impl Backlog {
    /// Queues the question in `slot`, which is of `guest`'s. Returns its place, and how long it may wait: `patience` at
    /// most.
    pub fn push(
        &mut self,
        slot: usize,
        guest: Option<&Arc<Guest>>,
        patience: Duration,
        now: Time,
    ) -> (Place, Duration) {
        let id = guest.map_or(0, |guest| Arc::as_ptr(guest) as usize);
        let index = match self.by_guest.get(&id) {
            Some(index) => *index,
            None => self.line(id, guest, now),
        };
        let line = &mut self.lines[index];
        let place = self.nodes.insert(Node {
            slot,
            line: index,
            older: line.newest,
            newer: None,
        });
        line.len += 1;
        match line.newest.replace(place) {
            Some(older) => self.nodes[older].newer = Some(place),
            None => line.oldest = Some(place),
        }
        let patience = match now.since(line.stands_since) > patience {
            true => patience / STANDING,
            false => patience,
        };
        (Place(place), patience)
    }

    /// A new line, the last to have its turn.
    fn line(&mut self, id: usize, guest: Option<&Arc<Guest>>, now: Time) -> usize {
        let index = self.lines.vacant_key();
        let last = self.turn.map_or(index, |turn| self.lines[turn].before);
        let line = Line {
            guest: guest.map(Arc::clone),
            oldest: None,
            newest: None,
            len: 0,
            stands_since: now,
            before: last,
            after: self.turn.unwrap_or(index),
        };
        self.lines.insert(line);
        self.by_guest.insert(id, index);
        match self.turn {
            Some(turn) => {
                self.lines[last].after = index;
                self.lines[turn].before = index;
            }
            None => self.turn = Some(index),
        }
        index
    }

    /// The slot of the question that is next: the newest of the client whose turn it is.
    pub fn next(&self) -> Option<usize> {
        self.newest_of(self.turn?)
    }

    /// The same, where only some clients may have a turn now: theirs is the first after it.
    pub fn next_of(&self, may: impl Fn(&Guest) -> bool) -> Option<usize> {
        let may = |line: &usize| self.lines[*line].guest.as_deref().is_some_and(&may);
        let line = self.round().find(may)?;
        self.newest_of(line)
    }

    /// The client in whose place `slot` stands has had its turn.
    pub fn had_its_turn(&mut self, place: &Place) {
        let line = self.nodes[place.0].line;
        self.turn = Some(self.lines[line].after);
    }

    /// The slot of the question that waits longest of `guest`'s; of whoever has most, if that is `None`.
    pub fn oldest(&self, guest: Option<&Arc<Guest>>) -> Option<usize> {
        let line = match guest {
            Some(guest) => *self.by_guest.get(&(Arc::as_ptr(guest) as usize))?,
            None => self.round().max_by_key(|line| self.lines[*line].len)?,
        };
        self.lines[line].oldest.map(|place| self.nodes[place].slot)
    }

    /// Takes a question out.
    pub fn remove(&mut self, place: Place) {
        let Node {
            older, newer, line, ..
        } = self.nodes.remove(place.0);
        let of = &mut self.lines[line];
        of.len -= 1;
        match older {
            Some(older) => self.nodes[older].newer = newer,
            None => of.oldest = newer,
        }
        match newer {
            Some(newer) => self.nodes[newer].older = older,
            None => of.newest = older,
        }
        if of.len == 0 {
            self.close(line);
        }
    }

    /// Takes an empty line out of the ring.
    fn close(&mut self, index: usize) {
        let Line {
            guest,
            before,
            after,
            ..
        } = self.lines.remove(index);
        let id = guest.map_or(0, |guest| Arc::as_ptr(&guest) as usize);
        self.by_guest.remove(&id);
        if after == index {
            self.turn = None;
            return;
        }
        self.lines[before].after = after;
        self.lines[after].before = before;
        if self.turn == Some(index) {
            self.turn = Some(after);
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

    fn newest_of(&self, line: usize) -> Option<usize> {
        self.lines[line].newest.map(|place| self.nodes[place].slot)
    }

    /// Some lines, the one whose turn it is first.
    fn round(&self) -> impl Iterator<Item = usize> + '_ {
        let next = |line: &usize| Some(self.lines[*line].after);
        let count = self.lines.len().min(LOOKED_AT);
        std::iter::successors(self.turn, next).take(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Limits;
    use crate::resolve::clients::Clients;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn guests(count: u8) -> Vec<Arc<Guest>> {
        let clients = Clients::new(&Limits::default());
        (0..count)
            .map(|n| clients.guest(IpAddr::from([10, 0, 0, n])))
            .collect()
    }

    #[test]
    fn who_joins_a_standing_queue_is_given_up_sooner() {
        let guests = guests(2);
        let mut backlog = Backlog::default();
        let push = |backlog: &mut Backlog, guest: usize, millis: u64| {
            let now = Time::START + Duration::from_millis(millis);
            let (place, patience) =
                backlog.push(millis as usize, Some(&guests[guest]), PATIENCE, now);
            (place, patience.as_millis())
        };
        let (first, patience) = push(&mut backlog, 0, 0);
        assert_eq!(patience, 500);
        let (second, patience) = push(&mut backlog, 0, 500);
        assert_eq!(patience, 500);
        backlog.remove(first);
        let (third, patience) = push(&mut backlog, 0, 501);
        assert_eq!(patience, 125);
        let (fourth, patience) = push(&mut backlog, 1, 502);
        assert_eq!(patience, 500, "it is another client's queue that stands");
        for place in [second, third, fourth] {
            backlog.remove(place);
        }
        let (_, patience) = push(&mut backlog, 0, 503);
        assert_eq!(patience, 500, "it was empty in between");
    }

    /// Takes out who is next.
    fn take(backlog: &mut Backlog, places: &mut HashMap<usize, Place>) -> usize {
        let slot = backlog.next().expect("somebody waits");
        let place = places.remove(&slot).expect("its place");
        backlog.had_its_turn(&place);
        backlog.remove(place);
        slot
    }

    #[test]
    fn clients_take_turns_and_the_newest_of_each_goes_first() {
        let guests = guests(3);
        let mut backlog = Backlog::default();
        let mut places = HashMap::new();
        // By client and by age: 20 is the first of the third.
        let order = [0, 1, 2, 3, 10, 4, 20, 11];
        for slot in order {
            let guest = Some(&guests[slot / 10]);
            let (place, _) = backlog.push(slot, guest, PATIENCE, Time::START);
            places.insert(slot, place);
        }
        let taken: Vec<usize> = (0..order.len())
            .map(|_| take(&mut backlog, &mut places))
            .collect();
        assert_eq!(taken, [4, 11, 20, 3, 10, 2, 1, 0]);
        assert!(backlog.is_empty() && backlog.lines.is_empty() && backlog.by_guest.is_empty());
    }

    #[test]
    fn who_has_most_makes_room_unless_it_is_said_who() {
        let guests = guests(3);
        let mut backlog = Backlog::default();
        for slot in [10, 0, 1, 2, 20] {
            backlog.push(slot, Some(&guests[slot / 10]), PATIENCE, Time::START);
        }
        assert_eq!(backlog.oldest(None), Some(0));
        assert_eq!(backlog.oldest(Some(&guests[1])), Some(10));
        assert_eq!(
            backlog.next_of(|guest| std::ptr::eq(guest, &*guests[2])),
            Some(20)
        );
        assert_eq!(backlog.next_of(|_| false), None);
    }

    proptest! {
        /// As queues that are looked through for each that leaves them.
        #[test]
        fn questions_leave_from_wherever_they_are(
            plan in prop::collection::vec((0usize..20, 0usize..4), 0..200),
        ) {
            let guests = guests(3);
            let guest = |n: usize| guests.get(n);
            let mut backlog = Backlog::default();
            let mut model: [VecDeque<(usize, Place)>; 4] = Default::default();
            for (slot, (step, of)) in plan.into_iter().enumerate() {
                match step {
                    10.. if step - 10 < model[of].len() => {
                        let (_, place) = model[of].remove(step - 10).expect("it is there");
                        backlog.remove(place);
                    }
                    _ => {
                        let (place, _) = backlog.push(slot, guest(of), PATIENCE, Time::START);
                        model[of].push_back((slot, place));
                    }
                }
                for (n, queue) in model.iter().enumerate().take(3) {
                    let oldest = queue.front().map(|(slot, _)| *slot);
                    prop_assert_eq!(backlog.oldest(guest(n)), oldest);
                }
                let all: usize = model.iter().map(VecDeque::len).sum();
                prop_assert_eq!(backlog.len(), all);
                let lines = model.iter().filter(|it| !it.is_empty()).count();
                prop_assert_eq!(backlog.lines.len(), lines);
                prop_assert_eq!(backlog.round().count(), lines);
                let newest = |it: &VecDeque<(usize, Place)>| it.back().map(|(slot, _)| *slot);
                let next = backlog.next();
                prop_assert!(next.is_none() == (all == 0));
                prop_assert!(next.is_none() || model.iter().any(|it| newest(it) == next));
            }
        }
    }
}
