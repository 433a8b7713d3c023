//! Where a connection finds the answers that were not known at once.

use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::super::limits::Connections;
use crate::clock::Time;
use crate::resolve::front::Connection;

/// Nothing is idle since then: something is in flight, or the connection is about to end.
const BUSY: u64 = u64::MAX;

/// One connection's mailbox: filled from any thread, emptied by the connection.
#[derive(Debug)]
pub(in crate::serve) struct Mailbox {
    /// Who is at the other end.
    peer: SocketAddr,
    open: AtomicBool,
    mail: Mutex<Mail>,
    /// Since when nothing is in flight, as [`Time::nanos`].
    idle_since: AtomicU64,
    /// Octets of answers that the client has not taken, here and collected from here.
    held: AtomicUsize,
    /// Of whose room for answers they take.
    connections: Arc<Connections>,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Answers, each behind its length.
    answers: Vec<u8>,
    /// How many answers have come, or will not, since this was last asked.
    pub(super) settled: usize,
    /// The answers are more than there is room for, and this client holds most of it.
    pub(super) overflown: bool,
    /// What the front end wants of the connection.
    pub(super) order: Option<Order>,
    waker: Option<Waker>,
}

/// What the front end wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Order {
    /// Read no more, and end when everything read is answered.
    Finish,
    /// End now: somebody else needs the place.
    Leave,
    /// End now: somebody else needs the room for answers that this client does not take.
    Yield,
}

impl Mailbox {
    pub(in crate::serve) fn new(
        connections: Arc<Connections>,
        peer: SocketAddr,
        now: Time,
    ) -> Mailbox {
        Mailbox {
            peer,
            open: AtomicBool::new(true),
            mail: Mutex::default(),
            idle_since: AtomicU64::new(now.nanos()),
            held: AtomicUsize::new(0),
            connections,
        }
    }

    /// Since when nothing is in flight on the connection; `None` while something is.
    pub(in crate::serve) fn idle_since(&self) -> Option<Time> {
        match self.idle_since.load(Ordering::Relaxed) {
            BUSY => None,
            nanos => Some(Time::from_nanos(nanos)),
        }
    }

    /// Says since when nothing is in flight.
    pub(in crate::serve) fn set_idle_since(&self, since: Option<Time>) {
        let nanos = since.map_or(BUSY, Time::nanos);
        self.idle_since.store(nanos, Ordering::Relaxed);
    }

    /// Octets of answers that the client has not taken.
    pub(in crate::serve) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes room for answers that the connection keeps itself. False if there is none.
    pub(super) fn hold(&self, octets: usize) -> bool {
        let room = self.connections.take(octets, self.held());
        if room {
            self.held.fetch_add(octets, Ordering::Relaxed);
        }
        room
    }

    /// The client has taken so much of what was collected or held.
    pub(super) fn taken(&self, octets: usize) {
        self.connections.give_back(octets);
        self.held.fetch_sub(octets, Ordering::Relaxed);
    }

    /// Takes the answers out of the open box. They take room until they are [`taken`](Mailbox::taken).
    pub(super) fn collect(&self, mail: &mut Mail) -> Vec<u8> {
        mem::take(&mut mail.answers)
    }

    /// Gives `order` and wakes the connection. The last order counts.
    pub(in crate::serve) fn order(&self, order: Order) {
        let mut mail = self.mail();
        mail.order = Some(order);
        wake(mail);
    }

    #[cfg(test)]
    pub(in crate::serve) fn was_told_to_leave(&self) -> bool {
        self.mail().order == Some(Order::Leave)
    }

    /// Locks the box for its connection, which is woken by `waker` when there is something new.
    pub(super) fn open(&self, waker: &Waker) -> MutexGuard<'_, Mail> {
        let mut mail = self.mail();
        match &mut mail.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        mail
    }

    /// The connection has ended: nothing is taken any more.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
        let mut mail = self.mail();
        *mail = Mail::default();
        self.connections
            .give_back(self.held.swap(0, Ordering::Relaxed));
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the connection, outside the lock that it will take first.
fn wake(mut mail: MutexGuard<'_, Mail>) {
    let waker = mail.waker.take();
    drop(mail);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Connection for Mailbox {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn settle(&self, answer: Option<&[u8]>) {
        if !self.is_open() {
            return;
        }
        let length = answer.and_then(|answer| u16::try_from(answer.len()).ok());
        let octets = length.map_or(0, |length| 2 + usize::from(length));
        // Before the lock: another connection may have to be told to leave for it.
        let room = octets == 0 || self.connections.take(octets, self.held());
        let mut mail = self.mail();
        if !self.is_open() {
            if room {
                self.connections.give_back(octets);
            }
            return;
        }
        mail.settled += 1;
        if let (Some(answer), Some(length)) = (answer, length) {
            if room {
                self.held.fetch_add(octets, Ordering::Relaxed);
                mail.answers.extend_from_slice(&length.to_be_bytes());
                mail.answers.extend_from_slice(answer);
            } else {
                mail.overflown = true;
            }
        }
        wake(mail);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::Limits;

    const MIB: usize = 1024 * 1024;
    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4053);

    fn connections(tcp_answers: usize) -> Arc<Connections> {
        Connections::new(&Limits {
            tcp_answers,
            ..Limits::default()
        })
    }

    fn boxes(connections: &Arc<Connections>, count: usize) -> Vec<Mailbox> {
        (0..count)
            .map(|_| Mailbox::new(Arc::clone(connections), PEER, Time::START))
            .collect()
    }

    #[test]
    fn answers_are_framed_and_counted() {
        let mailbox = Mailbox::new(connections(MIB), PEER, Time::START);
        mailbox.settle(Some(b"abc"));
        mailbox.settle(None);
        mailbox.settle(Some(b""));
        let mail = mailbox.open(Waker::noop());
        assert_eq!(mail.answers, b"\x00\x03abc\x00\x00");
        assert_eq!(mail.settled, 3);
        assert!(!mail.overflown);
    }

    #[test]
    fn boxes_that_are_not_emptied_overflow_and_stay_bounded_in_all() {
        let connections = connections(16 * MIB);
        let answer = vec![0; usize::from(u16::MAX)];
        let boxes = boxes(&connections, 300);
        for mailbox in &boxes[..10] {
            (0..128).for_each(|_| mailbox.settle(Some(&answer)));
        }
        let overflown = |mailbox: &&Mailbox| mailbox.mail().overflown;
        assert!(!boxes[0].mail().overflown, "a whole pipeline has room");
        assert!(boxes[..10].iter().filter(overflown).count() > 3);
        // Those that hold nothing still get their first answer, for as long as there is room at all.
        assert!(!boxes[10].mail().overflown);
        boxes[10..].iter().for_each(|it| it.settle(Some(&answer)));
        assert!(!boxes[10].mail().overflown);
        assert!(boxes[299].mail().overflown);
        let held: usize = boxes.iter().map(Mailbox::held).sum();
        assert!((15 * MIB..=16 * MIB).contains(&held), "{held}");
        let there: usize = boxes.iter().map(|it| it.mail().answers.len()).sum();
        assert_eq!(there, held);
    }

    #[test]
    fn what_is_taken_or_lost_with_its_connection_makes_room() {
        let connections = connections(MIB);
        let answer = vec![0; usize::from(u16::MAX)];
        let boxes = boxes(&connections, 2);
        (0..10).for_each(|_| boxes[0].settle(Some(&answer)));
        let collected = boxes[0].collect(&mut boxes[0].mail()).len();
        assert_eq!(boxes[0].held(), collected, "until the client has them");
        boxes[0].taken(collected);
        (0..5).for_each(|_| boxes[0].settle(Some(&answer)));
        assert!(boxes[1].hold(MIB / 4));
        boxes.iter().for_each(Mailbox::close);
        let last = Mailbox::new(Arc::clone(&connections), PEER, Time::START);
        assert!(last.hold(MIB), "all of it is free again");
        assert!(!last.hold(1));
    }

    #[test]
    fn a_closed_box_takes_nothing() {
        let mailbox = Mailbox::new(connections(MIB), PEER, Time::START);
        mailbox.settle(Some(b"abc"));
        mailbox.close();
        assert!(!mailbox.is_open());
        mailbox.settle(Some(b"abc"));
        assert!(mailbox.open(Waker::noop()).answers.is_empty());
        assert_eq!(mailbox.held(), 0);
    }
}
