//! Where a connection finds the answers that were not known at once.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::resolve::front::Connection;

/// The most octets of answers that wait in every mailbox, whatever waits in others. Reading pauses long
/// before; what comes on top are the largest answers to a whole pipeline.
const MOST: usize = 512 * 1024;

/// The most octets that wait in the mailboxes of one worker on top of that: room for whole pipelines of
/// the largest answers to a few clients at a time.
const ANNEX: usize = 32 * 1024 * 1024;

/// How much of the common room of a worker's mailboxes is taken, in octets.
#[derive(Clone, Debug, Default)]
pub(super) struct Annex(Arc<AtomicUsize>);

impl Annex {
    fn take(&self, octets: usize) -> bool {
        let taken = |taken: usize| Some(taken + octets).filter(|&sum| sum <= ANNEX);
        octets == 0
            || self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
                .is_ok()
    }

    fn give_back(&self, octets: usize) {
        if octets > 0 {
            self.0.fetch_sub(octets, Ordering::Relaxed);
        }
    }
}

/// One connection's mailbox: filled from any thread, emptied by the connection.
#[derive(Debug)]
pub(super) struct Mailbox {
    open: AtomicBool,
    mail: Mutex<Mail>,
    annex: Annex,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Answers, each behind its length.
    answers: Vec<u8>,
    /// What they, and those collected last, take of the annex.
    borrowed: usize,
    /// How many answers have come, or will not, since this was last asked.
    pub(super) settled: usize,
    /// The answers are more than there is room for: this client takes none.
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
    pub(super) fn new(annex: Annex) -> Mailbox {
        Mailbox {
            open: AtomicBool::new(true),
            mail: Mutex::default(),
            annex,
        }
    }

    /// Takes the answers out of the open box, those collected before having been sent.
    pub(super) fn collect(&self, mail: &mut Mail) -> Vec<u8> {
        let still = mail.answers.len().saturating_sub(MOST).min(mail.borrowed);
        self.annex.give_back(mail.borrowed - still);
        mail.borrowed = still;
        mem::take(&mut mail.answers)
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
        let mail = mem::take(&mut *self.mail());
        self.annex.give_back(mail.borrowed);
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
            let over = (mail.answers.len() + 2 + answer.len()).saturating_sub(MOST);
            let more = over.saturating_sub(mail.borrowed);
            if self.annex.take(more) {
                mail.borrowed += more;
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
        let mailbox = Mailbox::new(Annex::default());
        mailbox.settle(Some(b"abc"));
        mailbox.settle(None);
        mailbox.settle(Some(b""));
        let mail = mailbox.open(Waker::noop());
        assert_eq!(mail.answers, b"\x00\x03abc\x00\x00");
        assert_eq!(mail.settled, 3);
        assert!(!mail.overflown);
    }

    #[test]
    fn boxes_that_are_not_emptied_overflow_and_stay_bounded() {
        let annex = Annex::default();
        let answer = vec![0; usize::from(u16::MAX)];
        let boxes: Vec<Mailbox> = (0..10).map(|_| Mailbox::new(annex.clone())).collect();
        for mailbox in &boxes {
            (0..128).for_each(|_| mailbox.settle(Some(&answer)));
        }
        let held = |mailbox: &Mailbox| mailbox.mail().answers.len();
        let overflown = |mailbox: &&Mailbox| mailbox.mail().overflown;
        assert!(!boxes[0].mail().overflown, "a whole pipeline has room");
        assert!(boxes.iter().filter(overflown).count() > 3);
        assert!(boxes.iter().map(held).sum::<usize>() <= ANNEX + 10 * MOST);
        // What is collected, or lost with its connection, makes room for others.
        for mailbox in &boxes[..9] {
            mailbox.close();
        }
        let last = &boxes[9];
        last.collect(&mut last.mail());
        last.collect(&mut last.mail());
        assert_eq!(annex.0.load(Ordering::Relaxed), 0);
        let fresh = Mailbox::new(annex);
        (0..128).for_each(|_| fresh.settle(Some(&answer)));
        assert!(!fresh.mail().overflown);
        assert_eq!(fresh.mail().settled, 128);
    }

    #[test]
    fn a_closed_box_takes_nothing() {
        let mailbox = Mailbox::new(Annex::default());
        mailbox.settle(Some(b"abc"));
        mailbox.close();
        assert!(!mailbox.is_open());
        mailbox.settle(Some(b"abc"));
        assert!(mailbox.open(Waker::noop()).answers.is_empty());
    }
}
