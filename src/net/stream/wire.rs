//! The task of one connection: makes it, moves bytes both ways, and tells what it sees.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

/// How long a handshake may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection without queries is kept (RFC 7766 section 6.2.3 asks for a few seconds).
const IDLE: Duration = Duration::from_secs(10);

/// What the task of a connection tells.
pub trait StreamEvents {
    /// The connection was made.
    fn connected(&self, connection: usize);
    /// A whole message has come.
    fn message(&self, connection: usize, message: &[u8]);
    /// Everything that had arrived was told: the end of a turn.
    fn read(&self);
    /// The connection has ended, or was never made.
    fn closed(&self, connection: usize, ended: Ended);
}

/// How a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// It was never made, for this reason.
    Unmade(io::Error),
    /// The other side closed it, or it broke.
    Closed,
    /// It was given up here.
    GivenUp,
}

/// What a connection's task and [`Streams`](super::Streams) share.
pub(super) struct Wires {
    pub(super) outgoing: RefCell<Vec<u8>>,
    pub(super) wake: Notify,
    /// No queries: the task may close it after a while.
    pub(super) idle: Cell<bool>,
    /// The task shall end at once.
    pub(super) over: Notify,
    /// The connection, once made. It lasts for as long as somebody holds this.
    pub(super) stream: OnceCell<TcpStream>,
}

impl Wires {
    pub(super) fn new() -> Rc<Wires> {
        Rc::new(Wires {
            outgoing: RefCell::default(),
            wake: Notify::new(),
            idle: Cell::new(true),
            over: Notify::new(),
            stream: OnceCell::new(),
        })
    }

    /// Puts octets on the way.
    pub(super) fn write(&self, octets: &[u8]) {
        self.outgoing.borrow_mut().extend_from_slice(octets);
        self.idle.set(false);
        self.wake.notify_one();
    }
}

/// The life of connection number `slot`.
pub(super) async fn live(
    socket: TcpSocket,
    address: SocketAddr,
    wires: Rc<Wires>,
    events: Weak<dyn StreamEvents>,
    slot: usize,
) {
    let last_will = LastWill(&events, slot);
    let connect = tokio::time::timeout(CONNECT, socket.connect(address));
    let connected = tokio::select! {
        connected = connect => match connected {
            Ok(connected) => connected.map_err(Ended::Unmade),
            Err(_) => Err(Ended::Unmade(io::ErrorKind::TimedOut.into())),
        },
        () = wires.over.notified() => Err(Ended::GivenUp),
    };
    let ended = match connected {
        Ok(stream) => {
            let stream = wires.stream.get_or_init(|| stream);
            if let Some(events) = events.upgrade() {
                events.connected(slot);
            }
            carry(stream, &wires, &events, slot).await
        }
        Err(ended) => ended,
    };
    // Before another one is made in its place.
    drop(wires);
    std::mem::forget(last_will);
    if let Some(events) = events.upgrade() {
        events.closed(slot, ended);
    }
}

/// Tells that a connection has ended if its task panics: neither its place nor its queries may be kept for ever.
struct LastWill<'a>(&'a Weak<dyn StreamEvents>, usize);

impl Drop for LastWill<'_> {
    fn drop(&mut self) {
        // Otherwise the worker itself is about to end.
        if std::thread::panicking()
            && let Some(events) = self.0.upgrade()
        {
            events.closed(self.1, Ended::Closed);
        }
    }
}

/// Moves bytes both ways until the connection ends.
async fn carry(
    stream: &TcpStream,
    wires: &Wires,
    events: &Weak<dyn StreamEvents>,
    slot: usize,
) -> Ended {
    let reading = async {
        // Whatever ended it, its queries are told the same.
        let _ = read(stream, events, slot).await;
        Ended::Closed
    };
    let writing = async {
        match write(stream, wires).await {
            Ok(()) => Ended::GivenUp,
            // What came before it broke is still to be read, and then tells of the end.
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
        () = wires.over.notified() => Ended::GivenUp,
    }
}

/// Tells the messages that come, until there is no more to read.
async fn read(stream: &TcpStream, events: &Weak<dyn StreamEvents>, slot: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    loop {
        // Not `readable`: polling gives way to others after a while, however much there is to read.
        poll_fn(|context| stream.poll_read_ready(context)).await?;
        match stream.try_read_buf(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let Some(events) = events.upgrade() else {
            return Ok(());
        };
        let mut rest = buffer.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((message, tail)) = tail.split_at_checked(length) else {
                break;
            };
            events.message(slot, message);
            rest = tail;
        }
        events.read();
        let done = buffer.len() - rest.len();
        buffer.drain(..done);
    }
}

/// Sends what is put on the way, until the connection has been idle for long.
async fn write(stream: &TcpStream, wires: &Wires) -> io::Result<()> {
    loop {
        let outgoing = std::mem::take(&mut *wires.outgoing.borrow_mut());
        let mut rest = outgoing.as_slice();
        while !rest.is_empty() {
            poll_fn(|context| stream.poll_write_ready(context)).await?;
            match stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if !outgoing.is_empty() {
            continue;
        }
        match tokio::time::timeout(IDLE, wires.wake.notified()).await {
            Err(_) if wires.idle.get() && wires.outgoing.borrow().is_empty() => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fragile(RefCell<Vec<usize>>);

    impl StreamEvents for Fragile {
        fn connected(&self, _: usize) {
            panic!("a panic that the test wants");
        }

        fn message(&self, _: usize, _: &[u8]) {}

        fn read(&self) {}

        fn closed(&self, connection: usize, _: Ended) {
            self.0.borrow_mut().push(connection);
        }
    }

    #[test]
    fn a_connection_whose_task_panics_is_told_to_have_ended() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let fragile = Rc::new(Fragile::default());
        let events: Rc<dyn StreamEvents> = Rc::clone(&fragile) as _;
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let socket = TcpSocket::new_v4().expect("a socket");
            let life = live(socket, address, Wires::new(), Rc::downgrade(&events), 7);
            let ended = tokio::task::spawn_local(life).await;
            assert!(ended.expect_err("it panicked").is_panic());
        });
        assert_eq!(*fragile.0.borrow(), [7]);
    }
}
