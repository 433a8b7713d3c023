//! Attempts under way.
//!
//! Each route's unanswered attempts form a list in the order they were sent, so that the oldest one,
//! the earliest sign of trouble, is found at once. An attempt that is counted as lost leaves the list
//! but keeps its place in the table until its listener gives up: its answer may still come and tell
//! the true round trip.

use crate::clock::Time;
use crate::route::about::About;
use crate::route::ids::RouteId;
use crate::route::measure::stream::HeldUp;
use crate::route::outcome::AttemptKind;

/// One attempt, engine-wide. Stale handles are recognised by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    index: u32,
    generation: u32,
}

const NONE: u32 = u32::MAX;

/// An attempt about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// Over which route.
    pub route: RouteId,
    /// What for.
    pub kind: AttemptKind,
    /// Over a stream.
    pub stream: bool,
    /// Its number among the route's, modulo 2^32.
    pub serial: u32,
    /// What is asked.
    pub about: About,
    /// That it gets no answer says nothing of whom it was asked.
    pub mute: bool,
}

/// What is known of an attempt under way.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Over which route.
    pub route: RouteId,
    /// What for.
    pub kind: AttemptKind,
    /// Over a stream.
    pub stream: bool,
    /// When it was sent: over a stream, when the connection stood.
    pub sent: Time,
    /// Its number among the route's, modulo 2^32.
    pub serial: u32,
    /// What is asked.
    pub about: About,
    /// That it gets no answer says nothing of whom it was asked: it is never waited for.
    pub mute: bool,
    /// It was given up for lost already.
    pub lost: bool,
    /// Another attempt at its question was answered: no name's fault that this one was not.
    pub vouched: bool,
    /// Its loss was counted against its route.
    pub counted: bool,
    /// It was told of something that TCP had to send again.
    pub resent: bool,
    /// Where TCP says that it is, or was, held up.
    pub held_up: Option<HeldUp>,
    /// That was taken into account when it was counted as lost.
    pub told: bool,
    /// The host stalled as it left: when it did is known as a bound only.
    pub delayed: bool,
    /// Another server has answered its question in time.
    pub answered_elsewhere: bool,
    generation: u32,
    before: u32,
    after: u32,
    live: bool,
}

/// A route's unanswered attempts, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    head: u32,
    tail: u32,
    len: u32,
    /// When the oldest was sent; [`Time::NEVER`] if there is none.
    pub oldest: Time,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            head: NONE,
            tail: NONE,
            len: 0,
            oldest: Time::NEVER,
        }
    }
}

impl Queue {
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The table of all attempts. It grows to the most there ever were at once and stays there.
#[derive(Debug, Default)]
pub struct Flights {
    slots: Vec<Attempt>,
    free: Vec<u32>,
}

impl Flights {
    /// Attempts whose listener has not given up, the lost ones included.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters an attempt sent now at the end of `queue`.
    pub fn depart(&mut self, queue: &mut Queue, departure: Departure, now: Time) -> AttemptId {
        let Departure {
            route,
            kind,
            stream,
            serial,
            about,
            mute,
        } = departure;
        let attempt = Attempt {
            route,
            kind,
            stream,
            sent: now,
            serial,
            about,
            mute,
            lost: mute,
            vouched: false,
            counted: false,
            resent: false,
            held_up: None,
            told: false,
            answered_elsewhere: false,
            delayed: false,
            generation: 0,
            before: NONE,
            after: NONE,
            live: true,
        };
        let index = match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                *slot = Attempt {
                    generation: slot.generation,
                    ..attempt
                };
                index
            }
            None => {
                self.slots.push(attempt);
                (self.slots.len() - 1) as u32
            }
        };
        if !mute {
            self.append(index, queue);
        }
        AttemptId {
            index,
            generation: self.slots[index as usize].generation,
        }
    }

    /// The attempt, while it is under way.
    pub fn get(&self, id: AttemptId) -> Option<Attempt> {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.live && slot.generation == id.generation)
            .copied()
    }

    /// Restarts its round trip: the connection it waited for stands. It is the newest of `queue` now.
    pub fn connected(&mut self, id: AttemptId, queue: &mut Queue, now: Time) {
        let Some(attempt) = self.get(id) else { return };
        self.slots[id.index as usize].sent = now;
        if !attempt.lost {
            self.unlink(id.index, queue);
            self.append(id.index, queue);
        }
    }

    /// What TCP says of it.
    pub fn carried(&mut self, id: AttemptId, resent: bool, held_up: Option<HeldUp>) {
        if self.get(id).is_some() {
            let slot = &mut self.slots[id.index as usize];
            slot.resent |= resent;
            slot.held_up = held_up;
        }
    }

    /// Another attempt at its question was answered. Returns it as it was before.
    pub fn vouch(&mut self, id: AttemptId) -> Option<Attempt> {
        let attempt = self.get(id)?;
        self.slots[id.index as usize].vouched = true;
        Some(attempt)
    }

    /// Its loss is counted against its route, or no longer is.
    pub fn count(&mut self, id: AttemptId, counted: bool) {
        if self.get(id).is_some() {
            self.slots[id.index as usize].counted = counted;
        }
    }

    /// Another server has answered its question in time.
    pub fn answered_elsewhere(&mut self, id: AttemptId) {
        if self.get(id).is_some() {
            self.slots[id.index as usize].answered_elsewhere = true;
        }
    }

    /// It left at `left` at the latest, not when it was to.
    pub fn delayed(&mut self, id: AttemptId, queue: &mut Queue, left: Time) {
        self.connected(id, queue, left);
        if self.get(id).is_some() {
            self.slots[id.index as usize].delayed = true;
        }
    }

    /// Marks it lost and takes it from its queue; it goes on listening.
    pub fn lose(&mut self, id: AttemptId, queue: &mut Queue) {
        if self.get(id).is_some_and(|attempt| !attempt.lost) {
            self.unlink(id.index, queue);
            let slot = &mut self.slots[id.index as usize];
            (slot.lost, slot.told) = (true, slot.held_up.is_some());
        }
    }

    /// Takes it out for good.
    pub fn land(&mut self, id: AttemptId, queue: &mut Queue) {
        let Some(attempt) = self.get(id) else { return };
        if !attempt.lost {
            self.unlink(id.index, queue);
        }
        let slot = &mut self.slots[id.index as usize];
        slot.live = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
    }

    fn append(&mut self, index: u32, queue: &mut Queue) {
        let slot = &mut self.slots[index as usize];
        (slot.before, slot.after) = (queue.tail, NONE);
        match queue.tail {
            NONE => (queue.head, queue.oldest) = (index, slot.sent),
            tail => self.slots[tail as usize].after = index,
        }
        queue.tail = index;
        queue.len += 1;
    }

    fn unlink(&mut self, index: u32, queue: &mut Queue) {
        let Attempt { before, after, .. } = self.slots[index as usize];
        match before {
            NONE => queue.head = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NONE => queue.tail = before,
            after => self.slots[after as usize].before = before,
        }
        queue.len -= 1;
        queue.oldest = match queue.head {
            NONE => Time::NEVER,
            head => self.slots[head as usize].sent,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn send(flights: &mut Flights, queue: &mut Queue, secs: u64) -> AttemptId {
        let now = Time::from_secs(secs);
        let departure = Departure {
            route: RouteId(0),
            kind: AttemptKind::Primary,
            stream: false,
            serial: secs as u32,
            about: About::PLAIN,
            mute: false,
        };
        flights.depart(queue, departure, now)
    }

    #[test]
    fn a_handle_outlives_its_attempt_harmlessly() {
        let (mut flights, mut queue) = (Flights::default(), Queue::default());
        let first = send(&mut flights, &mut queue, 1);
        flights.land(first, &mut queue);
        let second = send(&mut flights, &mut queue, 2);
        assert!(flights.get(first).is_none());
        flights.land(first, &mut queue);
        assert!(flights.get(second).is_some());
        assert_eq!(queue.len(), 1);
    }

    proptest! {
        /// Against a plain list: the oldest is always the oldest, and slots are used again.
        #[test]
        fn the_queue_is_a_list_in_order_of_departure(ops in prop::collection::vec((0u8..4, 0usize..8), 1..200)) {
            let (mut flights, mut queue) = (Flights::default(), Queue::default());
            let mut waiting: VecDeque<(AttemptId, u64)> = VecDeque::new();
            let mut lost: Vec<AttemptId> = Vec::new();
            let mut most = 0;
            for (time, (op, which)) in (1u64..).zip(ops) {
                match op {
                    0 => waiting.push_back((send(&mut flights, &mut queue, time), time)),
                    1 if which < waiting.len() => {
                        let (id, _) = waiting.remove(which).expect("checked");
                        flights.lose(id, &mut queue);
                        lost.push(id);
                    }
                    2 if which < waiting.len() => {
                        let (id, _) = waiting.remove(which).expect("checked");
                        flights.land(id, &mut queue);
                    }
                    3 if which < waiting.len() => {
                        let (id, _) = waiting.remove(which).expect("checked");
                        flights.connected(id, &mut queue, Time::from_secs(time));
                        waiting.push_back((id, time));
                    }
                    _ => if let Some(id) = lost.pop() { flights.land(id, &mut queue) },
                }
                most = most.max(waiting.len() + lost.len());
                prop_assert_eq!(queue.len() as usize, waiting.len());
                let oldest = waiting.front().map_or(Time::NEVER, |&(_, at)| Time::from_secs(at));
                prop_assert_eq!(queue.oldest, oldest);
                prop_assert_eq!(flights.len(), waiting.len() + lost.len());
                prop_assert!(flights.slots.len() <= most.max(1));
            }
        }
    }
}
