//! Queries by TCP (RFC 7766, RFC 9210): connections are accepted here, and each is led by
//! a [`conversation`] of its own.

mod conversation;
#[cfg(feature = "tls")]
mod encrypted;
mod framing;
pub(super) mod mailbox;

use std::cell::RefCell;
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
use crate::observe::metrics::{
    Client, Counter, Drop as Dropped, Gauge, Limit, Transport, WorkerMetrics,
};
use crate::observe::quiet::Quiet;
use crate::resolve::front::Service;
use conversation::Conversation;
use mailbox::{Mailbox, Order};

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
    mailboxes: RefCell<Slab<Arc<Mailbox>>>,
    none: Notify,
    /// Buffers that every connection uses in its turn, so that an idle one needs none.
    desk: RefCell<Desk>,
}

struct Desk {
    read: Box<[u8]>,
    write: Box<[u8]>,
}

impl Streams {
    pub(super) fn new(connections: Arc<Connections>) -> Streams {
        Streams {
            connections,
            mailboxes: RefCell::default(),
            none: Notify::new(),
            desk: RefCell::new(Desk {
                read: vec![0; READ].into_boxed_slice(),
                write: vec![0; WRITE].into_boxed_slice(),
            }),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.mailboxes.borrow().len()
    }

    /// Tells every connection to end when everything read is answered.
    pub(super) fn finish(&self) {
        for (_, mailbox) in self.mailboxes.borrow().iter() {
            mailbox.order(Order::Finish);
        }
    }

    /// Completes when there is none.
    pub(super) async fn none(&self) {
        while self.len() > 0 {
            self.none.notified().await;
        }
    }

    /// A place for a connection from `peer`, another's if need be.
    fn place(&self, peer: SocketAddr, metrics: &WorkerMetrics, now: Time) -> Option<Place> {
        let entered = self.connections.enter(peer, now);
        let limit = match &entered {
            Ok(place) if !place.displaced => return entered.ok(),
            Ok(_) | Err(Full::Total) => Limit::TcpConnections,
            Err(Full::Client) => Limit::TcpConnectionsPerClient,
        };
        metrics.limited(limit, peer.ip().into());
        metrics.dropped(Dropped::Connections, 1);
        entered.ok()
    }

    /// Seats a connection until the guard is dropped.
    fn seat(front: &Rc<Front>, place: Place) -> Seated {
        let mut mailboxes = front.streams.mailboxes.borrow_mut();
        let key = mailboxes.insert(Arc::clone(&place.mailbox));
        drop(mailboxes);
        front.streams.count(&front.metrics);
        Seated {
            front: Rc::clone(front),
            place,
            key,
        }
    }

    fn count(&self, metrics: &WorkerMetrics) {
        metrics.set(Gauge::TcpConnections, self.len() as u64);
    }
}

/// A connection's seat, given up when dropped, however the connection ends.
struct Seated {
    front: Rc<Front>,
    place: Place,
    key: usize,
}

impl Seated {
    fn mailbox(&self) -> &Arc<Mailbox> {
        &self.place.mailbox
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.mailbox().close();
        let streams = &self.front.streams;
        streams.mailboxes.borrow_mut().remove(self.key);
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
                front.metrics.limited(Limit::TcpConnections, Client::Own);
                if front.streams.connections.displace(front.clock.now()) {
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
    if !front.admission.borrow().admits(peer.ip()) {
        // It takes nobody's place, not even for as long as a refusal would need.
        return front.metrics.dropped(Dropped::Stranger, 1);
    }
    front.metrics.count(Counter::TcpAccepted, 1);
    let now = front.clock.now();
    let Some(place) = front.streams.place(peer, &front.metrics, now) else {
        return;
    };
    // Answers go out whole; holding them back for more would only delay them.
    if stream.set_nodelay(true).is_err() {
        return; // It has gone already.
    }
    let seated = Streams::seat(front, place);
    let service = Rc::clone(service);
    if front.carries(listener) == Transport::Tls {
        #[cfg(feature = "tls")]
        if let Some(tls) = front.tls.get() {
            let lead = encrypted::lead(stream, tls.acceptor(), seated, service, listener, now);
            tokio::task::spawn_local(lead);
        }
        return;
    }
    let conversation = Conversation::new(stream, seated, service, listener, now);
    tokio::task::spawn_local(conversation.run());
}
