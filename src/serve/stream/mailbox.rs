//! Where a connection finds the answers that were not known at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::resolve::front::Connection;

/// The most octets of answers that wait here. Reading pauses long before; what comes on top is a
/// pipeline of the largest answers to a client that takes none.
const MOST: usize = 512 * 1024;

/// One connection's mailbox: filled from any thread, emptied by the connection.
#[derive(Debug)]
pub(super) struct Mailbox {
    open: AtomicBool,
    mail: Mutex<Mail>,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Answers, each behind its length.
    pub(super) answers: Vec<u8>,
    /// How many answers have come, or will not, since this was last asked.
    pub(super) settled: usize,
    /// The answers are more than the box holds: this client takes none.
    pub(super) overflown: bool,
    /// What the front end wants of the connection.
    pub(super) order: Option<Order>,
    waker: Option<Waker>,
}

/// What the front end wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Read no more, and end when everything read is answered.
    Finish,
    /// End now: somebody else needs the place.
    Leave,
}

impl Mailbox {
    pub(super) fn new() -> Mailbox {
        Mailbox {
            open: AtomicBool::new(true),
            mail: Mutex::default(),
        }
    }

    /// Gives `order` and wakes the connection. The last order counts.
    pub(super) fn order(&self, order: Order) {
        let mut mail = self.mail();
        mail.order = Some(order);
        wake(mail);
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
        *self.mail() = Mail::default();
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
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn settle(&self, answer: Option<&[u8]>) {
        if !self.is_open() {
            return;
        }
        let mut mail = self.mail();
        mail.settled += 1;
        if let Some(answer) = answer
            && let Ok(length) = u16::try_from(answer.len())
        {
            if mail.answers.len() + 2 + answer.len() <= MOST {
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
    use super::*;

    #[test]
    fn answers_are_framed_and_counted() {
        let mailbox = Mailbox::new();
        mailbox.settle(Some(b"abc"));
        mailbox.settle(None);
        mailbox.settle(Some(b""));
        let mail = mailbox.open(Waker::noop());
        assert_eq!(mail.answers, b"\x00\x03abc\x00\x00");
        assert_eq!(mail.settled, 3);
        assert!(!mail.overflown);
    }

    #[test]
    fn a_box_that_is_not_emptied_overflows_and_stays_bounded() {
        let mailbox = Mailbox::new();
        let answer = vec![0; usize::from(u16::MAX)];
        for _ in 0..100 {
            mailbox.settle(Some(&answer));
        }
        let mail = mailbox.open(Waker::noop());
        assert!(mail.overflown);
        assert!(mail.answers.len() <= MOST);
        assert_eq!(mail.settled, 100);
    }

    #[test]
    fn a_closed_box_takes_nothing() {
        let mailbox = Mailbox::new();
        mailbox.settle(Some(b"abc"));
        mailbox.close();
        assert!(!mailbox.is_open());
        mailbox.settle(Some(b"abc"));
        assert!(mailbox.open(Waker::noop()).answers.is_empty());
    }
}
