//! Attempts over TCP (RFC 7766): connections are kept, and queries pipelined on them.
//!
//! A connection's task only moves bytes; which query an answer belongs to is decided here, where the
//! worker's other state is. A connection that was closed while it lay idle is the upstream's good right:
//! what was just sent on it is sent once more on a new one, without blame (RFC 7766 section 6.2.4). One on
//! which a query waits for long, and nothing else came since, gets no further ones for now, and none at all
//! if the query went without an answer: the way it was made over may be gone while a new one can be made.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use foldhash::fast::FixedState;
use rand::RngExt;
use rand::rngs::StdRng;
use slab::Slab;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use super::account::{Account, Mark};
use super::awaited::{Awaited, Claimed, Manner, Unfit, Way};
use super::{Outgoing, Tag, unsendable};
use crate::clock::Time;
use crate::observe::metrics::{Gauge, Limit};
use crate::observe::said::Reason;
use crate::route::{Carriage, Outcome, RouteId};

/// How long a handshake may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection without queries is kept (RFC 7766 section 6.2.3 asks for a few seconds).
const IDLE: Duration = Duration::from_secs(10);

/// Queries in flight on one connection before another one is opened.
const PIPELINE: usize = 64;

/// How long a connection may be silent while a query waits before others go elsewhere; shorter than the
/// time after which a question is asked again over the same route.
const SILENT: Duration = Duration::from_millis(700);

/// Length prefix, header, a name of 255 octets, type and class, OPT.
const FRAME_MAX: usize = 2 + 12 + 255 + 4 + 11;

/// What the task of a connection tells.
pub trait StreamEvents {
    /// The connection was made.
    fn connected(&self, connection: usize);
    /// A whole message has come.
    fn message(&self, connection: usize, message: &[u8]);
    /// Everything that had arrived was told: the end of a turn.
    fn read(&self);
    /// The connection has ended, or was never made for the reason given.
    fn closed(&self, connection: usize, unmade: Option<Reason>);
}

/// What a connection's task and [`Streams`] share.
struct Wires {
    outgoing: RefCell<Vec<u8>>,
    wake: Notify,
    /// No queries: the task may close it after a while.
    idle: Cell<bool>,
    /// The task shall end at once.
    over: Notify,
    /// The connection, once made. It lasts for as long as somebody holds this.
    stream: OnceCell<TcpStream>,
}

struct Query {
    awaited: Awaited,
    /// The bytes as sent, for once more.
    frame: Box<[u8]>,
    again: bool,
    /// When it was put on its connection, or when that stood.
    sent: Time,
    /// How the connection stood then.
    mark: Mark,
}

struct Connection {
    route: RouteId,
    wires: Rc<Wires>,
    queries: HashMap<u16, Query, FixedState>,
    account: Account,
    /// It has carried an answer.
    served: bool,
    /// When it last did.
    heard: Time,
    /// It takes no further queries.
    retired: bool,
}

impl Connection {
    /// Nothing has come for long although a query waits.
    fn is_silent(&self, now: Time) -> bool {
        let waits_in_vain =
            |query: &Query| self.heard < query.sent && now.since(query.sent) > SILENT;
        self.queries.values().any(waits_in_vain)
    }

    /// Looks at what the kernel says of it.
    fn look(&mut self, now: Time) {
        if let Some(stream) = self.wires.stream.get() {
            self.account.look(stream, now);
        }
    }

    /// What follows from the number of its queries.
    fn settle(&self) {
        self.wires.idle.set(self.queries.is_empty());
        if self.retired && self.queries.is_empty() {
            self.wires.over.notify_one();
        }
    }

    /// It is given up; its task will tell when it has ended.
    fn end(&mut self) {
        self.retired = true;
        self.wires.over.notify_one();
    }
}

/// The TCP connections of one worker towards upstreams, and the queries that are out on them.
pub struct Streams {
    ways: Rc<[Way]>,
    manner: Manner,
    per_route: usize,
    connections: Slab<Connection>,
    events: Option<Weak<dyn StreamEvents>>,
}

impl Streams {
    /// None yet; at most `per_route` connections are open to one route.
    pub fn new(ways: Rc<[Way]>, manner: Manner, per_route: usize) -> Streams {
        Streams {
            ways,
            manner,
            per_route,
            connections: Slab::new(),
            events: None,
        }
    }

    /// Who is to be told what the connections' tasks see. Nothing is sent before that.
    pub fn tell(&mut self, events: Weak<dyn StreamEvents>) {
        self.events = Some(events);
    }

    /// Sends a query over one of the route's connections, a new one if need be.
    pub(super) fn send(
        &mut self,
        tag: Tag,
        route: RouteId,
        query: &Outgoing<'_>,
        rng: &mut StdRng,
        now: Time,
    ) -> Result<(), Outcome> {
        let upstream = self.ways[usize::from(route.0)].upstream;
        let awaited = Awaited::new(tag, query, upstream, &self.manner, rng, now);
        let mut frame = [0; FRAME_MAX];
        let length = awaited.write(query, 0, self.manner.payload, &mut frame[2..]);
        frame[..2].copy_from_slice(&(length as u16).to_be_bytes());
        let query = Query {
            awaited,
            frame: frame[..2 + length].into(),
            again: false,
            sent: now,
            mark: Mark::default(),
        };
        let connection = self.choose(route, now)?;
        self.put(connection, query, rng, now);
        Ok(())
    }

    fn choose(&mut self, route: RouteId, now: Time) -> Result<usize, Outcome> {
        let open = || {
            self.connections
                .iter()
                .filter(|(_, connection)| connection.route == route)
        };
        let least = open()
            .filter(|(_, connection)| !connection.retired && !connection.is_silent(now))
            .min_by_key(|(_, connection)| connection.queries.len());
        match least.map(|(slot, connection)| (slot, connection.queries.len())) {
            Some((slot, queries)) if queries < PIPELINE => Ok(slot),
            Some((slot, queries)) if open().count() >= self.per_route => {
                self.manner.metrics.limited(Limit::UpstreamConnections);
                if queries < 16_384 {
                    Ok(slot)
                } else {
                    Err(unsendable(&io::ErrorKind::OutOfMemory.into()))
                }
            }
            _ => self.open(route),
        }
    }

    fn open(&mut self, route: RouteId) -> Result<usize, Outcome> {
        let way = &self.ways[usize::from(route.0)];
        let untold = || unsendable(&io::ErrorKind::NotConnected.into());
        let events = self.events.clone().ok_or_else(untold)?;
        let socket = way
            .path
            .tcp(way.address)
            .map_err(|error| unsendable(&error))?;
        let socket = TcpSocket::from_std_stream(socket.into());
        let wires = Rc::new(Wires {
            outgoing: RefCell::default(),
            wake: Notify::new(),
            idle: Cell::new(true),
            over: Notify::new(),
            stream: OnceCell::new(),
        });
        let slot = self.connections.insert(Connection {
            route,
            wires: Rc::clone(&wires),
            queries: HashMap::default(),
            account: Account::default(),
            served: false,
            heard: Time::default(),
            retired: false,
        });
        let address = way.address;
        tokio::task::spawn_local(async move {
            let connect = tokio::time::timeout(CONNECT, socket.connect(address));
            let connected = tokio::select! {
                connected = connect => match connected {
                    Ok(connected) => connected.map_err(|error| Reason::of(&error)),
                    Err(_) => Err(Reason::TIMED_OUT),
                },
                () = wires.over.notified() => Err(Reason::PATH_DOWN),
            };
            let stream = match connected {
                Ok(stream) => stream,
                Err(reason) => {
                    if let Some(events) = events.upgrade() {
                        events.closed(slot, Some(reason));
                    }
                    return;
                }
            };
            let stream = wires.stream.get_or_init(|| stream);
            if let Some(events) = events.upgrade() {
                events.connected(slot);
            }
            // Whatever ended it, its queries are told the same.
            let _ = carry(stream, &wires, &events, slot).await;
            if let Some(events) = events.upgrade() {
                events.closed(slot, None);
            }
        });
        self.count();
        Ok(slot)
    }

    /// Gives up the connections that `lost` says so of, by their route and, once made, address: their
    /// queries have failed.
    pub(super) fn abandon(
        &mut self,
        mut lost: impl FnMut(RouteId, Option<SocketAddr>) -> bool,
        failed: &mut Vec<(Tag, Outcome)>,
    ) {
        for (_, connection) in &mut self.connections {
            let stream = connection.wires.stream.get();
            let local = stream.and_then(|stream| stream.local_addr().ok());
            if !lost(connection.route, local) {
                continue;
            }
            let queries = connection.queries.drain();
            let down = Outcome::Unreachable(Reason::PATH_DOWN);
            failed.extend(queries.map(|(_, query)| (query.awaited.tag, down)));
            connection.end();
        }
    }

    fn put(&mut self, slot: usize, mut query: Query, rng: &mut StdRng, now: Time) {
        let connection = &mut self.connections[slot];
        let id = loop {
            let id: u16 = rng.random();
            if !connection.queries.contains_key(&id) {
                break id;
            }
        };
        query.frame[2..4].copy_from_slice(&id.to_be_bytes());
        query.sent = now;
        query.mark = connection.account.mark();
        connection
            .wires
            .outgoing
            .borrow_mut()
            .extend_from_slice(&query.frame);
        connection.wires.idle.set(false);
        connection.wires.wake.notify_one();
        connection.queries.insert(id, query);
    }

    /// A connection was made: its queries go out now. The attempts that waited for it.
    pub fn connected(&mut self, slot: usize, now: Time) -> Vec<Tag> {
        let Some(connection) = self.connections.get_mut(slot) else {
            return Vec::new();
        };
        let waited = |query: &mut Query| {
            query.sent = now;
            query.awaited.tag
        };
        // What follows is compared with the round trip of the handshake.
        connection.look(now);
        connection.queries.values_mut().map(waited).collect()
    }

    /// What the kernel says of the connection that an attempt waits on, unless the last look is from before
    /// it was sent.
    pub(super) fn carriage(&mut self, route: RouteId, tag: Tag, now: Time) -> Option<Carriage> {
        let mut open = self.connections.iter_mut();
        let (connection, sent, mark) = open.find_map(|(_, connection)| {
            let mut waiting = connection.queries.values();
            let query = match connection.route == route {
                true => waiting.find(|query| query.awaited.tag == tag)?,
                false => return None,
            };
            let (sent, mark) = (query.sent, query.mark);
            Some((connection, sent, mark))
        })?;
        connection.look(now);
        let since = connection.account.looked().is_some_and(|it| it > sent);
        since.then(|| connection.account.carriage(mark))
    }

    /// Whose response a message is, and what the kernel says of the connection if it was looked at for it;
    /// what matches no query is counted and ignored.
    pub fn claim<'a>(
        &mut self,
        slot: usize,
        message: &'a [u8],
        now: Time,
    ) -> Option<(Claimed<'a>, Option<Carriage>)> {
        let connection = self.connections.get_mut(slot)?;
        let route = usize::from(connection.route.0);
        let upstream = self.ways[route].upstream;
        let id = message
            .first_chunk::<2>()
            .map(|id| u16::from_be_bytes(*id))?;
        let Some(query) = connection.queries.get(&id) else {
            self.manner
                .metrics
                .mismatched(route, crate::observe::metrics::Mismatch::Id);
            return None;
        };
        let tag = query.awaited.tag;
        let checked = query
            .awaited
            .check(message, id, upstream, &self.manner, now);
        let claimed = match checked {
            Ok(response) => Ok(Claimed::Response(tag, response)),
            Err(Unfit::Garbled) => Ok(Claimed::Garbled(tag)),
            Err(Unfit::Foreign(mismatch)) => Err(mismatch),
        };
        match claimed {
            Ok(claimed) => {
                let query = connection.queries.remove(&id)?;
                connection.served = true;
                connection.heard = now;
                connection.settle();
                connection.look(now);
                let fresh = connection.account.looked() == Some(now);
                let carriage = fresh.then(|| connection.account.carriage(query.mark));
                Some((claimed, carriage))
            }
            Err(mismatch) => {
                self.manner.metrics.mismatched(route, mismatch);
                None
            }
        }
    }

    /// A connection has ended: its queries fail, or are sent once more if it had only been kept too long.
    pub(super) fn closed(
        &mut self,
        slot: usize,
        unmade: Option<Reason>,
        now: Time,
        rng: &mut StdRng,
        failed: &mut Vec<(Tag, Outcome)>,
    ) {
        let Some(connection) = self.connections.try_remove(slot) else {
            return;
        };
        self.count();
        let outcome = unmade.map_or(Outcome::Closed, Outcome::HandshakeFailed);
        for (_, mut query) in connection.queries {
            let tag = query.awaited.tag;
            if connection.served && !query.again {
                query.again = true;
                if let Ok(fresh) = self.choose(connection.route, now) {
                    self.put(fresh, query, rng, now);
                    continue;
                }
            }
            failed.push((tag, outcome));
        }
    }

    /// Stops waiting for a response. A connection that has been silent since the query was put on it is
    /// doubted from then on.
    pub(super) fn forget(&mut self, route: RouteId, tag: Tag) {
        for (_, connection) in &mut self.connections {
            if connection.route != route {
                continue;
            }
            let heard = connection.heard;
            let mut silent = false;
            connection.queries.retain(|_, query| {
                let ours = query.awaited.tag == tag;
                silent |= ours && heard < query.sent;
                !ours
            });
            connection.retired |= silent;
            connection.settle();
        }
    }

    fn count(&self) {
        self.manner
            .metrics
            .set(Gauge::UpstreamConnections, self.connections.len() as u64);
    }
}

/// Moves bytes both ways until the connection ends.
async fn carry(
    stream: &TcpStream,
    wires: &Wires,
    events: &Weak<dyn StreamEvents>,
    slot: usize,
) -> io::Result<()> {
    let reading = async {
        let mut buffer = Vec::with_capacity(2048);
        loop {
            // Not `readable`: polling gives way to others after a while, however much there is to read.
            poll_fn(|context| stream.poll_read_ready(context)).await?;
            match stream.try_read_buf(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
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
    };
    let writing = async {
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
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
        () = wires.over.notified() => Ok(()),
    }
}
