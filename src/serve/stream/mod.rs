//! Queries by TCP (RFC 7766, RFC 9210): connections are accepted here, and each is led by
//! a [`conversation`] of its own.

mod conversation;
mod framing;
mod mailbox;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::limits::{Connections, Full, Place};
use super::{Front, STREAM_LIMIT};
use crate::clock::Time;
use crate::observe::metrics::{Counter, Drop as Dropped, Gauge, Limit, WorkerMetrics};
use crate::observe::quiet::Quiet;
use crate::resolve::front::Service;
use conversation::Conversation;
use mailbox::{Annex, Mailbox, Order};

/// What one read takes at most. Some hundred queries: more would keep the worker from others too long.
const READ: usize = 16 * 1024;

/// Room for the answers to one read before they are written.
const WRITE: usize = 64 * 1024 + 2 + STREAM_LIMIT;

/// Pause after the process or the system ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static ACCEPT: Quiet = Quiet::new("failures to accept connections", 3, Duration::from_secs(60));

/// One worker's connections.
pub(super) struct Streams {
    connections: Arc<Connections>,
    seats: RefCell<Slab<Rc<Seat>>>,
    none: Notify,
    annex: Annex,
    /// Buffers that every connection uses in its turn, so that an idle one needs none.
    desk: RefCell<Desk>,
}

struct Desk {
    read: Box<[u8]>,
    write: Box<[u8]>,
}

/// What the front end knows of a connection.
struct Seat {
    mailbox: Arc<Mailbox>,
    /// Since when nothing is in flight; `None` while something is, or the connection is about to end.
    idle_since: Cell<Option<Time>>,
}

impl Streams {
    pub(super) fn new(connections: Arc<Connections>) -> Streams {
        Streams {
            connections,
            seats: RefCell::default(),
            none: Notify::new(),
            annex: Annex::default(),
            desk: RefCell::new(Desk {
                read: vec![0; READ].into_boxed_slice(),
                write: vec![0; WRITE].into_boxed_slice(),
            }),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.seats.borrow().len()
    }

    /// Tells every connection to end when everything read is answered.
    pub(super) fn finish(&self) {
        for (_, seat) in self.seats.borrow().iter() {
            seat.mailbox.order(Order::Finish);
        }
    }

    /// Completes when there is none.
    pub(super) async fn none(&self) {
        while self.len() > 0 {
            self.none.notified().await;
        }
    }

    /// Tells the connection that has been idle longest to leave; false if none is idle.
    fn displace(&self) -> bool {
        let seats = self.seats.borrow();
        let longest = seats
            .iter()
            .filter_map(|(_, seat)| Some((seat.idle_since.get()?, seat)))
            .min_by_key(|(since, _)| *since);
        let Some((_, seat)) = longest else {
            return false;
        };
        seat.idle_since.set(None);
        seat.mailbox.order(Order::Leave);
        true
    }

    /// A place for a connection from `peer`, another's if need be.
    fn place(&self, peer: SocketAddr, metrics: &WorkerMetrics) -> Option<Place> {
        let full = match self.connections.enter(peer.ip()) {
            Ok(place) => return Some(place),
            Err(full) => full,
        };
        metrics.dropped(Dropped::Connections, 1);
        if full == Full::Total {
            metrics.limited(Limit::TcpConnections);
            if self.displace()
                && let Ok(place) = self.connections.enter_displacing(peer.ip())
            {
                return Some(place);
            }
        } else {
            metrics.limited(Limit::TcpConnectionsPerClient);
        }
        None
    }

    /// Seats a connection until the guard is dropped.
    fn seat(front: &Rc<Front>, place: Place, now: Time) -> Seated {
        let seat = Rc::new(Seat {
            mailbox: Arc::new(Mailbox::new(front.streams.annex.clone())),
            idle_since: Cell::new(Some(now)),
        });
        let key = front.streams.seats.borrow_mut().insert(Rc::clone(&seat));
        front.streams.count(&front.metrics);
        Seated {
            front: Rc::clone(front),
            seat,
            key,
            _place: place,
        }
    }

    fn count(&self, metrics: &WorkerMetrics) {
        metrics.set(Gauge::TcpConnections, self.len() as u64);
    }
}

/// A connection's seat, given up when dropped, however the connection ends.
struct Seated {
    front: Rc<Front>,
    seat: Rc<Seat>,
    key: usize,
    _place: Place,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seat.mailbox.close();
        let streams = &self.front.streams;
        streams.seats.borrow_mut().remove(self.key);
        streams.count(&self.front.metrics);
        if streams.len() == 0 {
            streams.none.notify_one();
        }
    }
}

/// Accepts connections until it is aborted. No error ends it.
pub(super) async fn accept<S: Service + 'static>(
    tcp: TcpListener,
    front: Rc<Front>,
    service: Rc<S>,
    listener: u16,
) {
    loop {
        match tcp.accept().await {
            Ok((stream, peer)) => {
                welcome(stream, peer, &front, &service, listener);
            }
            Err(error) if is_the_connections(&error) => {}
            Err(error) => {
                // The connection stays in the kernel's queue, and accepting it fails again at once.
                if let Some(more) = ACCEPT.line(front.clock.now()) {
                    tracing::warn!("cannot accept connections: {error}{more}");
                }
                front.metrics.limited(Limit::TcpConnections);
                if front.streams.displace() {
                    front.metrics.dropped(Dropped::Connections, 1);
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether accepting failed for reasons of the one connection that was next (accept(2)).
fn is_the_connections(error: &io::Error) -> bool {
    !matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EBADF)
            | Some(libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT)
            | None
    )
}

fn welcome<S: Service + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    front: &Rc<Front>,
    service: &Rc<S>,
    listener: u16,
) {
    front.metrics.count(Counter::TcpAccepted, 1);
    let Some(place) = front.streams.place(peer, &front.metrics) else {
        return;
    };
    // Answers go out whole; holding them back for more would only delay them.
    if stream.set_nodelay(true).is_err() {
        return; // It has gone already.
    }
    let now = front.clock.now();
    let seated = Streams::seat(front, place, now);
    let conversation = Conversation::new(
        stream,
        seated,
        Rc::clone(service),
        listener,
        front.admission.admits(peer.ip()),
        now,
    );
    tokio::task::spawn_local(conversation.run());
}
