//! The face between those who take queries in and those who find the answers.
//!
//! `serve` calls [`Service::ask`] with a query and room for the answer. What is known is written
//! there at once and goes out with the batch; nothing is allocated, and no [`Asker`] is made. For
//! what takes longer the service takes an `Asker`, and hands it to [`Replies::reply`] when the
//! answer is there, on whichever worker that happens.
//!
//! Counting stays on the side of `serve`, which knows listener, transport and when the query came: the
//! service only says what kind of answer it is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::clock::Time;
use crate::observe::metrics::{Limit, QueryResult};
use crate::sys::Origin;
use crate::wire::Query;

/// Finds answers. One per worker, called by that worker only.
pub trait Service {
    /// Asks `query`, read at `now`. An answer known at once is written to `out`, which is at least `limit`
    /// octets long; `limit` is the most this client takes over this transport (EDNS and byway's
    /// own limit considered), 512 to 65535. Otherwise the service calls `asker`, once, and keeps what it
    /// returns until the answer is there.
    fn ask(
        &self,
        query: &Query<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn;

    /// Everything that came in together has been asked; the answers known at once are on their way. What
    /// was put off in order to be done for all of them (sending upstream) is due.
    fn end_of_turn(&self, now: Time);
}

/// What became of a question at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The answer was written.
    Answer {
        /// Its octets, at most the `limit` given.
        length: usize,
        /// What kind of answer it is, for the metrics.
        result: QueryResult,
    },
    /// The answer was written, and would have been another one but for a limit.
    Limited {
        /// Its octets, at most the `limit` given.
        length: usize,
        /// What kind of answer it is.
        result: QueryResult,
        /// The limit, to be counted by who met it.
        met: Limit,
    },
    /// The asker was taken; the answer follows.
    Pending,
    /// There will be no answer. The service has counted why.
    Drop,
}

/// Sends answers that were not known at once. One per worker, called by that worker only.
pub trait Replies {
    /// Answers `asker` at `now`. `write` gets the room for the answer and the limit on its length, and
    /// returns the octets written; 0 sends nothing (and is not counted here). It is called at most once,
    /// and not at all if the client is gone.
    fn reply(
        &self,
        asker: Asker,
        result: QueryResult,
        now: Time,
        write: &mut dyn FnMut(&mut [u8], usize) -> usize,
    );

    /// Sends what `reply` has collected. To be called at the end of each turn that replied.
    fn flush(&self);
}

/// A client that waits for an answer. Small, and free to be answered on another worker's thread.
/// Dropping it without a reply leaves nothing behind: its connection knows that no answer comes.
#[derive(Debug)]
pub struct Asker {
    /// Index of the listener that took the query in.
    pub listener: u16,
    /// The most octets that this client takes.
    pub limit: u16,
    /// Where the client is, for the limits that it meets; `None` for byway itself.
    pub client: Option<IpAddr>,
    /// When the query was read.
    pub since: Time,
    /// The way back.
    pub way: Way,
}

/// The way back to a client.
pub enum Way {
    /// A datagram from the listener's socket, any worker's.
    Datagram {
        /// Where the query came from and arrived.
        origin: Origin,
        /// Keeps the listener's worker from stopping before the answer is sent.
        ticket: Ticket,
    },
    /// A message on the connection that the query came by.
    Stream(Return),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Datagram { origin, .. } => origin.fmt(f),
            Way::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A connection that awaits answers from any thread; implemented by `serve`.
pub trait Connection: Send + Sync {
    /// Who is at the other end.
    fn peer(&self) -> SocketAddr;

    /// Whether the client could still get an answer.
    fn is_open(&self) -> bool;

    /// One of the answers awaited has come, or will not (`None`). Bytes without the length prefix.
    fn settle(&self, answer: Option<&[u8]>);
}

/// The way back to a connection, good for one answer.
pub struct Return(Option<Arc<dyn Connection>>);

impl Return {
    /// To `connection`, which awaits one answer more than before.
    pub fn new(connection: Arc<dyn Connection>) -> Return {
        Return(Some(connection))
    }

    /// Whether the client could still get the answer.
    pub fn is_open(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|connection| connection.is_open())
    }

    /// Who waits for the answer.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|connection| connection.peer())
    }

    /// Hands over the answer, without the length prefix.
    pub fn settle(mut self, answer: &[u8]) {
        if let Some(connection) = self.0.take() {
            connection.settle(Some(answer));
        }
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.settle(None);
        }
    }
}

/// How many clients of one worker wait for answers by datagram, so that it can stop when none does.
#[derive(Debug, Default)]
pub struct Waiting {
    clients: AtomicUsize,
    none: Notify,
}

impl Waiting {
    /// One client more, until the ticket is dropped.
    pub fn ticket(self: &Arc<Waiting>) -> Ticket {
        self.clients.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(self))
    }

    /// How many wait now.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// Completes when none waits.
    pub async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.clients() == 0 {
                return;
            }
            none.await;
        }
    }
}

/// Stands for one client in [`Waiting`].
#[derive(Debug)]
pub struct Ticket(Arc<Waiting>);

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.clients.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Settled(Mutex<Vec<Option<Vec<u8>>>>);

    impl Connection for Settled {
        fn peer(&self) -> SocketAddr {
            SocketAddr::from(([127, 0, 0, 1], 4053))
        }

        fn is_open(&self) -> bool {
            true
        }

        fn settle(&self, answer: Option<&[u8]>) {
            self.0.lock().unwrap().push(answer.map(<[u8]>::to_vec));
        }
    }

    #[test]
    fn every_return_settles_exactly_once() {
        let connection = Arc::new(Settled::default());
        Return::new(connection.clone()).settle(b"answer");
        drop(Return::new(connection.clone()));
        assert_eq!(
            *connection.0.lock().unwrap(),
            [Some(b"answer".to_vec()), None]
        );
    }

    #[test]
    fn askers_may_be_answered_on_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Asker>();
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_ticket() {
        let waiting = Arc::new(Waiting::default());
        waiting.none().await;
        let tickets = [waiting.ticket(), waiting.ticket()];
        assert_eq!(waiting.clients(), 2);
        let end = tokio::spawn({
            let waiting = waiting.clone();
            async move { waiting.none().await }
        });
        tokio::task::yield_now().await;
        assert!(!end.is_finished());
        drop(tickets);
        end.await.unwrap();
        assert_eq!(waiting.clients(), 0);
    }
}
