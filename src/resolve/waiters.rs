//! Clients that wait for one answer, by when each must be looked after.
//!
//! Nearly always there is one, and it has its place in the question. Thousands may ask for the same silent name,
//! though, and each has a deadline of its own: looking after one must not mean looking at all.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::clients::{Guest, Seat};
use super::front::Asker;
use super::inflight::Room;
use crate::clock::Time;
use crate::observe::metrics::Client;
use crate::wire::OwnedAsked;

/// A client that waits.
#[derive(Debug)]
pub struct Waiter {
    /// Where its answer goes.
    pub asker: Asker,
    /// What the answer must match.
    pub asked: OwnedAsked,
    /// When it must have an answer.
    pub deadline: Time,
    /// When a stale answer is good enough for it; [`Time::NEVER`] if none is held.
    pub stale_at: Time,
    /// Its room among those who wait.
    pub room: Room,
    /// Its client's share of that; byway itself has none.
    pub seat: Option<Seat>,
}

impl Waiter {
    /// When it must be looked after.
    pub fn wake(&self) -> Time {
        self.stale_at.min(self.deadline)
    }
}

/// The clients that wait for one answer.
#[derive(Debug, Default)]
pub struct Waiters {
    first: Option<Waiter>,
    others: BinaryHeap<Earliest>,
    /// The latest deadline of all that ever waited.
    latest: Time,
}

impl Waiters {
    /// A client alone.
    pub fn one(waiter: Waiter) -> Waiters {
        Waiters {
            latest: waiter.deadline,
            first: Some(waiter),
            others: BinaryHeap::new(),
        }
    }

    /// Lets another client wait.
    pub fn push(&mut self, waiter: Waiter) {
        self.latest = self.latest.max(waiter.deadline);
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.others.push(Earliest(waiter)),
        }
    }

    /// Where the client is that has waited longest; byway's own side if nobody waits.
    pub fn client(&self) -> Client {
        self.guest().map_or(Client::Own, |guest| guest.class())
    }

    /// The client that has waited longest, if it is one.
    pub fn guest(&self) -> Option<&Arc<Guest>> {
        self.first.as_ref()?.seat.as_ref().map(Seat::guest)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the first of them must be looked after; [`Time::NEVER`] if nobody waits.
    pub fn wake(&self) -> Time {
        let first = self.first.as_ref().map_or(Time::NEVER, Waiter::wake);
        let others = self.others.peek();
        first.min(others.map_or(Time::NEVER, |Earliest(waiter)| waiter.wake()))
    }

    /// The latest deadline of those who have waited, or `None` if nobody ever did.
    pub fn latest_deadline(&self) -> Option<Time> {
        (self.latest > Time::default()).then_some(self.latest)
    }

    /// Takes out one that must be looked after at `now`.
    pub fn due(&mut self, now: Time) -> Option<Waiter> {
        if self.first.as_ref().is_some_and(|it| it.wake() <= now) {
            return self.first.take();
        }
        match self.others.peek() {
            Some(Earliest(waiter)) if waiter.wake() <= now => {
                self.others.pop().map(|Earliest(waiter)| waiter)
            }
            _ => None,
        }
    }
}

impl IntoIterator for Waiters {
    type Item = Waiter;
    type IntoIter = std::iter::Chain<
        std::option::IntoIter<Waiter>,
        std::iter::Map<std::collections::binary_heap::IntoIter<Earliest>, fn(Earliest) -> Waiter>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        let waiter: fn(Earliest) -> Waiter = |Earliest(waiter)| waiter;
        self.first
            .into_iter()
            .chain(self.others.into_iter().map(waiter))
    }
}

/// A client as the heap orders it: the one to be looked after first is the greatest.
#[derive(Debug)]
pub struct Earliest(Waiter);

impl Ord for Earliest {
    fn cmp(&self, other: &Earliest) -> Ordering {
        other.0.wake().cmp(&self.0.wake())
    }
}

impl PartialOrd for Earliest {
    fn partial_cmp(&self, other: &Earliest) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Earliest {
    fn eq(&self, other: &Earliest) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Earliest {}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::resolve::front::{Waiting, Way};
    use crate::resolve::inflight::InFlight;
    use crate::sys::Origin;
    use crate::wire::{Inspected, inspect};

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    /// One that must be looked after at `wake`, and waits until `deadline`.
    fn waiter(wake: u64, deadline: u64) -> Waiter {
        let packet = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01";
        let Inspected::Query(query) = inspect(packet) else {
            unreachable!("a question for the root");
        };
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        Waiter {
            asker: Asker {
                listener: 0,
                limit: 512,
                client: None,
                since: Time::START,
                way: Way::Datagram {
                    origin: Origin::new(client, None),
                    ticket: Arc::new(Waiting::default()).ticket(),
                },
            },
            asked: OwnedAsked::from(query.asked),
            deadline: at(deadline),
            stale_at: at(wake),
            room: InFlight::new(0, 1).waiting().take().expect("room for one"),
            seat: None,
        }
    }

    proptest! {
        /// Whoever is due is taken out, once, and nobody else; the others stay.
        #[test]
        fn whoever_is_due_is_looked_after(
            plan in prop::collection::vec((0u64..50, 0u64..50, any::<bool>()), 1..100),
        ) {
            let mut waiters = Waiters::default();
            let mut left: Vec<(u64, u64)> = Vec::new();
            for (now, (wake, deadline, goes)) in plan.into_iter().enumerate() {
                left.push((wake.min(deadline), deadline));
                waiters.push(waiter(wake, deadline));
                if goes {
                    let now = now as u64 / 2;
                    while let Some(waiter) = waiters.due(at(now)) {
                        prop_assert!(waiter.wake() <= at(now));
                        let place = left.iter().position(|(wake, _)| at(*wake) == waiter.wake());
                        left.remove(place.expect("it waited"));
                    }
                    prop_assert!(left.iter().all(|(wake, _)| *wake > now));
                }
                let first = left.iter().map(|(wake, _)| at(*wake)).min();
                prop_assert_eq!(waiters.wake(), first.unwrap_or(Time::NEVER));
                prop_assert_eq!(waiters.len(), left.len());
                let latest = left.iter().map(|(_, deadline)| at(*deadline)).max();
                prop_assert!(waiters.latest_deadline() >= latest);
            }
            prop_assert_eq!(waiters.into_iter().count(), left.len());
        }
    }
}
