//! The task of one connection: makes it, moves bytes both ways, and tells what it sees.
//!
//! With TLS the handshake is part of making it, and nothing is told before its end: what follows is measured from there.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::observe::said::Reason;
use crate::tls::{Client, Session};

/// How long it may take to make one, TLS included.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection without queries is kept (RFC 7766 section 6.2.3 asks for a few seconds).
const IDLE: Duration = Duration::from_secs(10);

/// The same where it took a handshake of TLS to make it (RFC 7858 section 3.4). A server that thinks otherwise closes it.
const IDLE_ENCRYPTED: Duration = Duration::from_secs(60);

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
    /// What it is encrypted with, once both have shaken hands.
    session: RefCell<Option<Session>>,
}

impl Wires {
    pub(super) fn new() -> Rc<Wires> {
        Rc::new(Wires {
            outgoing: RefCell::default(),
            wake: Notify::new(),
            idle: Cell::new(true),
            over: Notify::new(),
            stream: OnceCell::new(),
            session: RefCell::new(None),
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
    (socket, address): (TcpSocket, SocketAddr),
    tls: Option<Arc<Client>>,
    wires: Rc<Wires>,
    events: Weak<dyn StreamEvents>,
    slot: usize,
) {
    let last_will = LastWill(&events, slot);
    let made = tokio::select! {
        made = make(socket, address, tls.as_deref(), &wires) => made.map_err(Ended::Unmade),
        () = wires.over.notified() => Err(Ended::GivenUp),
    };
    let ended = match (made, wires.stream.get()) {
        (Ok(()), Some(stream)) => {
            if let Some(events) = events.upgrade() {
                events.connected(slot);
            }
            carry(stream, &wires, &events, slot).await
        }
        (Ok(()), None) => Ended::GivenUp,
        (Err(ended), _) => ended,
    };
    // Before another one is made in its place.
    drop(wires);
    std::mem::forget(last_will);
    if let Some(events) = events.upgrade() {
        events.closed(slot, ended);
    }
}

/// Makes the connection, and shakes hands where it is to be encrypted.
async fn make(
    socket: TcpSocket,
    address: SocketAddr,
    tls: Option<&Client>,
    wires: &Wires,
) -> io::Result<()> {
    let make = async {
        let stream = socket.connect(address).await?;
        let stream = wires.stream.get_or_init(|| stream);
        if let Some(tls) = tls {
            let session = shake_hands(stream, tls.session()?).await?;
            *wires.session.borrow_mut() = Some(session);
        }
        Ok(())
    };
    match tokio::time::timeout(CONNECT, make).await {
        Ok(made) => made,
        // Somebody took the connection and said no more.
        Err(_) if tls.is_some() && wires.stream.get().is_some() => Err(Reason::NO_TLS.error()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn shake_hands(stream: &TcpStream, mut session: Session) -> io::Result<Session> {
    let mut early = Vec::new();
    loop {
        match session.send(Socket(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| stream.poll_write_ready(context)).await?;
                continue;
            }
            sent => sent?,
        }
        if !session.is_handshaking() {
            return Ok(session);
        }
        poll_fn(|context| stream.poll_read_ready(context)).await?;
        match session.read(Socket(stream), &mut early) {
            Ok(false) => return Err(Reason::CLOSED.error()),
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                // The other side is told why, if it takes that.
                let _ = session.send(Socket(stream));
                return Err(error);
            }
        }
    }
}

/// A connection that never waits.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        let _ = read(stream, wires, events, slot).await;
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
async fn read(
    stream: &TcpStream,
    wires: &Wires,
    events: &Weak<dyn StreamEvents>,
    slot: usize,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    loop {
        // Not `readable`: polling gives way to others after a while, however much there is to read.
        poll_fn(|context| stream.poll_read_ready(context)).await?;
        match receive(stream, wires, &mut buffer) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
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

/// Takes in what is there, without waiting; false at the end.
fn receive(stream: &TcpStream, wires: &Wires, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut session = wires.session.borrow_mut();
    let Some(session) = &mut *session else {
        return Ok(stream.try_read_buf(buffer)? > 0);
    };
    let received = session.read(Socket(stream), buffer);
    if session.wants_write() {
        // It answers for itself, to a change of keys for one.
        wires.wake.notify_one();
    }
    received
}

/// Hands over of `rest` what is taken without waiting.
fn hand_over(stream: &TcpStream, wires: &Wires, rest: &mut &[u8]) -> io::Result<()> {
    let mut session = wires.session.borrow_mut();
    let Some(session) = &mut *session else {
        *rest = &rest[stream.try_write(rest)?..];
        return Ok(());
    };
    *rest = &rest[session.write(rest)?..];
    session.send(Socket(stream))
}

/// Whether an encrypted connection has octets of its own to send.
fn has_more(wires: &Wires) -> bool {
    let session = wires.session.borrow();
    session.as_ref().is_some_and(Session::wants_write)
}

/// Says, where that can be said, that no more will come.
fn say_goodbye(stream: &TcpStream, wires: &Wires) {
    if let Some(session) = &mut *wires.session.borrow_mut() {
        session.close();
        // Whether it gets there or not.
        let _ = session.send(Socket(stream));
    }
}

/// Sends what is put on the way, until the connection has been idle for long.
async fn write(stream: &TcpStream, wires: &Wires) -> io::Result<()> {
    loop {
        let outgoing = std::mem::take(&mut *wires.outgoing.borrow_mut());
        let mut rest = outgoing.as_slice();
        while !rest.is_empty() || has_more(wires) {
            poll_fn(|context| stream.poll_write_ready(context)).await?;
            match hand_over(stream, wires, &mut rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                handed_over => handed_over?,
            }
        }
        if !outgoing.is_empty() {
            continue;
        }
        let idle = match wires.session.borrow().is_some() {
            true => IDLE_ENCRYPTED,
            false => IDLE,
        };
        match tokio::time::timeout(idle, wires.wake.notified()).await {
            Err(_) if wires.idle.get() && wires.outgoing.borrow().is_empty() => {
                say_goodbye(stream, wires);
                return Ok(());
            }
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
            let life = live(
                (socket, address),
                None,
                Wires::new(),
                Rc::downgrade(&events),
                7,
            );
            let ended = tokio::task::spawn_local(life).await;
            assert!(ended.expect_err("it panicked").is_panic());
        });
        assert_eq!(*fragile.0.borrow(), [7]);
    }
}
