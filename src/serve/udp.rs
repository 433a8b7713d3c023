//! Queries by datagram, in batches.
//!
//! A turn: one system call receives up to 32 queries, each is answered straight into the slot it will
//! be sent from, one system call sends them. The clock is read twice a turn and counters are written
//! once. Nothing is allocated, spawned or awaited.
//!
//! The runtime's readiness is edge-triggered. A batch that is not full has seen the socket empty: readiness
//! is given up without a further call to prove it, because whatever arrives after that
//! is a new edge. After several full batches in a row the task steps back once, so that connections,
//! timers and upstream sockets get their share of the worker.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::proofs::Fate;
use super::{Front, Sight, Tally, admit};
use crate::clock::Time;
use crate::observe::metrics::{Drop, Transport};
use crate::observe::quiet::Quiet;
use crate::resolve::front::{Asker, Service, Turn, Way};
use crate::sys::{RecvBatch, SendBatch};
use crate::wire::{Inspected, inspect};

/// The longest query taken. Real ones stay far below 512 octets; padding (RFC 7830) and cookies are
/// the most that swells them.
const QUERY: usize = 4096;

/// Batches in a row before others get their turn.
const TURNS: usize = 8;

/// Pause after an error that is none of a single datagram's, so that one which persists does not spin.
const PAUSE: Duration = Duration::from_millis(10);

static RECEIVE: Quiet = Quiet::new("failures to receive queries", 3, Duration::from_secs(60));

/// Takes in what comes to one UDP socket.
pub(super) struct Intake<S> {
    front: Rc<Front>,
    service: Rc<S>,
    listener: u16,
    recv: RecvBatch,
    send: SendBatch,
}

/// What a system call said of the socket.
enum Socket {
    /// It may hold more.
    MayHoldMore,
    /// It was seen empty.
    Empty,
    /// It did not work.
    Broken(io::Error),
}

impl<S: Service> Intake<S> {
    pub(super) fn new(front: Rc<Front>, service: Rc<S>, listener: u16) -> Intake<S> {
        let slot = front.limits.udp_payload.into();
        Intake {
            front,
            service,
            listener,
            recv: RecvBatch::listening(QUERY),
            send: SendBatch::new(slot),
        }
    }

    /// Takes in and answers until it is aborted. No error of the socket ends it.
    pub(super) async fn run(mut self, socket: AsyncFd<Rc<UdpSocket>>) {
        loop {
            let Ok(mut ready) = socket.readable().await else {
                return; // The runtime is shutting down.
            };
            for _ in 0..TURNS {
                match self.turn(socket.get_ref()) {
                    Socket::MayHoldMore => {}
                    Socket::Empty => {
                        ready.clear_ready();
                        break;
                    }
                    Socket::Broken(error) => {
                        if let Some(more) = RECEIVE.line(self.front.clock.now()) {
                            tracing::warn!("cannot receive queries over UDP: {error}{more}");
                        }
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                }
            }
            if ready.ready().is_readable() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Receives one batch and answers it.
    fn turn(&mut self, socket: &UdpSocket) -> Socket {
        match self.recv.recv(socket.as_fd()) {
            Ok(_) => {}
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Socket::Empty,
                    io::ErrorKind::Interrupted => Socket::MayHoldMore,
                    _ => Socket::Broken(error),
                };
            }
        }
        let now = self.front.clock.now();
        let mut tally = Tally::default();
        let mut next = 0;
        while next < self.recv.len() {
            // A panic costs the query that caused it and no other. What it was doing with this
            // room's state is a slot not yet pushed.
            let result = catch_unwind(AssertUnwindSafe(|| {
                while next < self.recv.len() {
                    next += 1;
                    self.take(next - 1, now, &mut tally);
                }
            }));
            if result.is_err() {
                tracing::error!(listener = self.listener, "a query was lost to a panic");
            }
        }
        let report = self.send.send(socket.as_fd());
        self.service.end_of_turn(now);
        self.front.count_send(report);
        let took = self.front.clock.now().since(now);
        self.front
            .count(self.listener, Transport::Udp, &tally, took);
        if self.recv.is_full() {
            Socket::MayHoldMore
        } else {
            Socket::Empty
        }
    }

    /// Answers datagram `i` of the batch, if it can be done at once.
    #[inline]
    fn take(&mut self, i: usize, now: Time, tally: &mut Tally) {
        let front = &*self.front;
        let Some(packet) = self.recv.datagram(i) else {
            return front.metrics.dropped(Drop::Oversize, 1);
        };
        let origin = self.recv.origin(i);
        let Some((origin, peer)) = origin.and_then(|origin| Some((origin, origin.peer()?))) else {
            return front.metrics.dropped(Drop::Source, 1);
        };
        if !admit::is_answerable(peer) {
            return front.metrics.dropped(Drop::Source, 1);
        }
        // There is a slot for each datagram of a batch.
        let Some(slot) = self.send.slot() else { return };
        let admitted = front.admission.borrow().admits(peer.ip());
        let mut inspected = inspect(packet);
        let fate = front.weigh(&mut inspected, peer.ip(), now);
        let (length, result) = match &inspected {
            _ if fate != Fate::Whole => {
                match front.curb(inspected, (peer.ip(), fate), admitted, slot) {
                    (0, _) => return,
                    answered => answered,
                }
            }
            // By reference: a query with its key is a third of a kilobyte.
            Inspected::Query(query) if admitted => {
                let limit = query.asked.udp_limit(front.limits.udp_payload);
                let asker = || Asker {
                    listener: self.listener,
                    // It is the smaller of two that have 16 bits.
                    limit: limit as u16,
                    client: Some(peer.ip()),
                    since: now,
                    way: Way::Datagram {
                        origin,
                        ticket: front.waiting.ticket(),
                    },
                };
                let (length, result) = match self.service.ask(query, asker, now, limit, slot) {
                    Turn::Answer { length, result } => (length, result),
                    Turn::Limited {
                        length,
                        result,
                        met,
                    } => {
                        front.metrics.limited(met, peer.ip().into());
                        (length, result)
                    }
                    Turn::Pending | Turn::Drop => return,
                };
                front.count_answer(query.asked.record_type(), slot);
                (length, result)
            }
            _ => match front.turn_away(inspected, admitted, slot) {
                (0, _) => return,
                answered => answered,
            },
        };
        tally.add(result);
        front.count_truncated(slot);
        let sight = Sight {
            client: peer,
            transport: Transport::Udp,
            listener: self.listener,
            since: now,
            result,
        };
        front.show(&slot[..length], &sight, now);
        self.send.push(length, &origin);
    }
}
