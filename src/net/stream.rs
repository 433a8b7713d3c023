//! Attempts over TCP (RFC 7766) and over TLS (RFC 7858): connections are kept, and queries pipelined on them.
//!
//! A connection's task (`wire`) only moves bytes; which query an answer belongs to is decided here, where the
//! worker's other state is.
//!
//! A connection that is closed behind an answer leaves the queries on it unanswered: they are asked again on
//! another one, without blame and without counting as tries (RFC 7766 section 6.2.4). How many queries the
//! upstream took is remembered, and no more are put on the next ones. One that is closed before it has carried
//! anything was not worth being made: that is held against the route.
//!
//! A connection on which a query waits for long, and nothing else came since, gets no further ones for now, and none
//! at all if the query went without an answer: the way it was made over may be gone while a new one can be made.
//! There are never more than the limit: at it, one whose octets are not even acknowledged makes room, and what
//! cannot be put on any waits.

mod connection;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use foldhash::fast::FixedState;
use rand::RngExt;
use rand::rngs::StdRng;
use slab::Slab;
use tokio::net::TcpSocket;

use super::account::Mark;
use super::awaited::{Awaited, Claimed, Manner, Way};
use super::{Outgoing, Tag, shortage};
use crate::clock::Time;
use crate::observe::metrics::{Client, Gauge, Limit, Mismatch};
use crate::observe::said::Reason;
use crate::route::{Outcome, RouteId, StreamFacts};
use crate::wire::pad_query;
use connection::{Connection, Lane, Query};
use wire::Wires;
pub use wire::{Ended, StreamEvents};

/// Queries in flight on one connection before another one is opened.
const PIPELINE: usize = 64;

/// Queries on one connection, or waiting for one, at most: identifiers must be easy to find.
const MOST: usize = 16_384;

/// How often a query is asked again because its connection was closed behind somebody else's answer.
const AGAIN: u8 = 16;

/// What the length of an encrypted query is made a multiple of (RFC 8467 section 4.1): from its length alone nobody tells
/// which name is asked for.
const BLOCK: usize = 128;

/// Length prefix, header, a name of 255 octets, type and class, OPT, padding.
const FRAME_MAX: usize = 2 + (12 + 255 + 4 + 11 + 4usize).next_multiple_of(BLOCK);

/// Where a query is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// On a connection, under an identifier.
    On(u32, u16),
    /// It waits for a connection of its route.
    Waiting(RouteId),
}

/// The TCP connections of one worker towards upstreams, and the queries that are out on them.
pub struct Streams {
    ways: Rc<[Way]>,
    manner: Manner,
    per_route: usize,
    connections: Slab<Connection>,
    /// By route.
    lanes: Vec<Lane>,
    places: HashMap<Tag, Place, FixedState>,
    failed: Vec<(Tag, Outcome)>,
    events: Option<Weak<dyn StreamEvents>>,
}

impl Streams {
    /// None yet; at most `per_route` connections are open to one route.
    pub fn new(ways: Rc<[Way]>, manner: Manner, per_route: usize) -> Streams {
        Streams {
            lanes: ways.iter().map(|_| Lane::default()).collect(),
            ways,
            manner,
            per_route,
            connections: Slab::new(),
            places: HashMap::default(),
            failed: Vec::new(),
            events: None,
        }
    }

    /// From now on `ways` are the routes, of which each one's number means what it did. What is out on connections
    /// goes on; those that nobody uses close by themselves.
    pub(super) fn reshape(&mut self, ways: Rc<[Way]>, manner: Manner, per_route: usize) {
        self.lanes.resize_with(ways.len(), Lane::default);
        (self.ways, self.manner, self.per_route) = (ways, manner, per_route);
    }

    /// Who is to be told what the connections' tasks see. Nothing is sent before that.
    pub fn tell(&mut self, events: Weak<dyn StreamEvents>) {
        self.events = Some(events);
    }

    /// Attempts that have failed since this was last asked.
    pub(super) fn failed(&mut self) -> &mut Vec<(Tag, Outcome)> {
        &mut self.failed
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
        let mut length = awaited.write(query, 0, self.manner.payload, &mut frame[2..]);
        if self.ways[usize::from(route.0)].encrypted && query.edns {
            length = pad_query(&mut frame[2..], length, BLOCK);
        }
        frame[..2].copy_from_slice(&(length as u16).to_be_bytes());
        let query = Query {
            awaited,
            frame: frame[..2 + length].into(),
            again: 0,
            sent: now,
            serial: 0,
            mark: Mark::default(),
        };
        if self.lane(route).waiting.is_empty()
            && let Some(slot) = self.choose(route, rng, now)?
        {
            self.put(slot, query, rng, now);
            return Ok(());
        }
        if self.lane(route).waiting.len() >= MOST {
            return Err(Outcome::Local);
        }
        self.places.insert(tag, Place::Waiting(route));
        self.lane(route).waiting.push_back(query);
        self.put_waiting(route, rng, now);
        Ok(())
    }

    fn lane(&mut self, route: RouteId) -> &mut Lane {
        &mut self.lanes[usize::from(route.0)]
    }

    /// The connection for the next query; `None` if it has to wait for one.
    fn choose(
        &mut self,
        route: RouteId,
        rng: &mut StdRng,
        now: Time,
    ) -> Result<Option<usize>, Outcome> {
        let lane = &self.lanes[usize::from(route.0)];
        let depth = lane.depth(now);
        let open = || {
            let slots = lane.connections.iter().map(|slot| *slot as usize);
            slots.map(|slot| (slot, &self.connections[slot]))
        };
        let takes_more = |it: &(usize, &Connection)| {
            !it.1.retired && it.1.put < depth && it.1.queries.len() < MOST
        };
        let load = |it: &(usize, &Connection)| it.1.queries.len();
        let lively = |it: &(usize, &Connection)| takes_more(it) && !it.1.is_silent(now);
        let best = open().filter(lively).min_by_key(load);
        if let Some((slot, connection)) = best
            && connection.queries.len() < PIPELINE
        {
            return Ok(Some(slot));
        }
        if lane.connections.len() < self.per_route {
            return self.open(route, rng, now).map(Some);
        }
        self.manner
            .metrics
            .limited(Limit::UpstreamConnections, Client::Own);
        if let Some((slot, _)) = best {
            return Ok(Some(slot));
        }
        // A server that works long on a question acknowledges it; one that has gone does not.
        let slow = open().filter(takes_more).min_by_key(load);
        let slow = slow.map(|(slot, _)| slot);
        let slots = lane.connections.clone();
        let mut gone = slots.iter().map(|slot| *slot as usize).filter(|slot| {
            let connection = &mut self.connections[*slot];
            connection.doubted || connection.is_stuck(now)
        });
        match gone.next() {
            Some(slot) => self.replace(slot),
            None if slow.is_some() => return Ok(slow),
            None => {}
        }
        Ok(None)
    }

    fn open(&mut self, route: RouteId, rng: &mut StdRng, now: Time) -> Result<usize, Outcome> {
        let way = &self.ways[usize::from(route.0)];
        // Nothing that is to be encrypted goes out in the clear, whatever is missing.
        if way.encrypted && way.tls.is_none() {
            return Err(Outcome::Local);
        }
        let tls = way.tls.clone();
        let events = self.events.clone().ok_or(Outcome::Local)?;
        let (socket, address) = way
            .path
            .tcp(way.target(), rng)
            .map_err(|error| shortage::outcome(&error, way.address, now))?;
        let socket = TcpSocket::from_std_stream(socket.into());
        let wires = Wires::new();
        let connection = Connection::new(route, Rc::clone(&wires));
        let slot = self.connections.insert(connection);
        self.lane(route).connections.push(slot as u32);
        tokio::task::spawn_local(wire::live((socket, address), tls, wires, events, slot));
        self.count();
        Ok(slot)
    }

    fn put(&mut self, slot: usize, query: Query, rng: &mut StdRng, now: Time) {
        let connection = &mut self.connections[slot];
        let id = loop {
            let id: u16 = rng.random();
            if !connection.queries.contains_key(&id) {
                break id;
            }
        };
        let place = Place::On(slot as u32, id);
        self.places.insert(query.awaited.tag, place);
        connection.put(id, query, now);
        let depth = self.lanes[usize::from(connection.route.0)].depth(now);
        connection.retire_at(depth);
    }

    /// Puts queries that wait on connections, as far as there is room.
    fn put_waiting(&mut self, route: RouteId, rng: &mut StdRng, now: Time) {
        while !self.lane(route).waiting.is_empty() {
            let chosen = match self.choose(route, rng, now) {
                Ok(None) => return,
                Ok(Some(slot)) => Ok(slot),
                Err(outcome) => Err(outcome),
            };
            let Some(query) = self.lane(route).waiting.pop_front() else {
                return;
            };
            match chosen {
                Ok(slot) => self.put(slot, query, rng, now),
                Err(outcome) => self.fail(query, outcome),
            }
        }
    }

    /// Gives a connection up in favour of another one, which its queries wait for.
    fn replace(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let (route, queries) = (connection.route, connection.end());
        self.ask_again(route, queries);
    }

    /// Queries, oldest first, whose connection has ended wait for another one, before those that wait already.
    fn ask_again(&mut self, route: RouteId, queries: Vec<Query>) {
        for mut query in queries.into_iter().rev() {
            if query.again == AGAIN {
                self.fail(query, Outcome::Closed);
                continue;
            }
            query.again += 1;
            let place = Place::Waiting(route);
            self.places.insert(query.awaited.tag, place);
            self.lane(route).waiting.push_front(query);
        }
    }

    fn fail(&mut self, query: Query, outcome: Outcome) {
        let tag = query.awaited.tag;
        self.places.remove(&tag);
        self.failed.push((tag, outcome));
    }

    /// Gives up the connections that `lost` says so of, by their route and, once made, address: their
    /// queries have failed, and those that wait for such a route.
    pub(super) fn abandon(&mut self, mut lost: impl FnMut(RouteId, Option<SocketAddr>) -> bool) {
        let mut over = Vec::new();
        for (_, connection) in &mut self.connections {
            let stream = connection.wires.stream.get();
            let local = stream.and_then(|stream| stream.local_addr().ok());
            if lost(connection.route, local) {
                over.extend(connection.end());
            }
        }
        for (route, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.waiting.is_empty() && lost(RouteId(route as u16), None) {
                over.extend(lane.waiting.drain(..));
            }
        }
        for query in over {
            self.fail(query, Outcome::Unreachable(Reason::PATH_DOWN));
        }
    }

    /// A connection was made: its queries go out now. The attempts that waited for it.
    pub fn connected(&mut self, slot: usize, now: Time) -> Vec<Tag> {
        let Some(connection) = self.connections.get_mut(slot) else {
            return Vec::new();
        };
        connection.connected(now);
        let queries = connection.queries.values();
        queries.map(|query| query.awaited.tag).collect()
    }

    /// What the kernel says of the connection that an attempt waits on, unless the last look is from before
    /// it was sent.
    pub(super) fn stream_facts(&mut self, tag: Tag, now: Time) -> Option<StreamFacts> {
        let Place::On(slot, id) = *self.places.get(&tag)? else {
            return None;
        };
        let connection = self.connections.get_mut(slot as usize)?;
        connection.look(now);
        let query = connection.queries.get(&id)?;
        let since = connection
            .account
            .looked()
            .is_some_and(|it| it > query.sent);
        since.then(|| connection.account.stream_facts(query.mark))
    }

    /// Whose response a message is, and what the kernel says of the connection if it was looked at for it;
    /// what matches no query is counted and ignored, until it is too much.
    pub fn claim<'a>(
        &mut self,
        slot: usize,
        message: &'a [u8],
        now: Time,
    ) -> Option<(Claimed<'a>, Option<StreamFacts>)> {
        let connection = self.connections.get_mut(slot).filter(|it| !it.ended)?;
        let route = usize::from(connection.route.0);
        let id = message.first_chunk().map(|id| u16::from_be_bytes(*id));
        let query = id.and_then(|id| Some((id, connection.queries.get(&id)?)));
        let checked = match (id, query) {
            (None, _) => Err(Mismatch::Garbled),
            (_, None) => Err(Mismatch::Id),
            (_, Some((id, query))) => query
                .awaited
                .check(message, id, true)
                .map(|claimed| (id, claimed)),
        };
        match checked {
            Ok((id, claimed)) => {
                let query = connection.answered(id, now)?;
                let fresh = connection.account.looked() == Some(now);
                let stream_facts = fresh.then(|| connection.account.stream_facts(query.mark));
                self.places.remove(&query.awaited.tag);
                Some((claimed, stream_facts))
            }
            Err(mismatch) => {
                self.manner.metrics.mismatched(route, mismatch);
                if let Some(query) = id.and_then(|id| connection.queries.get_mut(&id)) {
                    query.awaited.mismatched = true;
                }
                if connection.strike(mismatch == Mismatch::Id) {
                    // Nobody but the upstream can have sent all that.
                    for query in connection.end() {
                        self.fail(query, Outcome::Garbled);
                    }
                }
                None
            }
        }
    }

    /// A connection has ended: its queries fail, or are asked again on another one if it was closed behind an
    /// answer.
    pub(super) fn closed(&mut self, slot: usize, ended: Ended, rng: &mut StdRng, now: Time) {
        let Some(mut connection) = self.connections.try_remove(slot) else {
            return;
        };
        self.count();
        let route = connection.route;
        let way = &self.ways[usize::from(route.0)];
        let lane = &mut self.lanes[usize::from(route.0)];
        lane.connections.retain(|other| *other as usize != slot);
        if connection.has_left_behind() && matches!(ended, Ended::Closed) {
            lane.learn(connection.served, now);
            for other in &lane.connections {
                self.connections[*other as usize].retire_at(connection.served);
            }
        }
        let mut queries = connection.take_queries();
        let served = connection.served;
        // The last to hold it: it is closed before another one is made in its place.
        drop(connection);
        match ended {
            Ended::Unmade(error) => {
                let outcome = shortage::unconnected(&error, way, now);
                queries.extend(self.lane(route).waiting.drain(..));
                for query in queries {
                    self.fail(query, outcome);
                }
            }
            Ended::Closed if served == 0 => {
                // Of an upstream that is asked over UDP it says little that it takes no connections.
                let outcome = match way.stream {
                    true => Outcome::HandshakeFailed(Reason::CLOSED),
                    false => Outcome::Closed,
                };
                for query in queries {
                    self.fail(query, outcome);
                }
            }
            Ended::Closed | Ended::GivenUp => self.ask_again(route, queries),
        }
        self.put_waiting(route, rng, now);
    }

    /// Stops waiting for a response. A connection that has been silent since the query was put on it is
    /// doubted from then on.
    pub(super) fn forget(&mut self, tag: Tag) -> bool {
        match self.places.remove(&tag) {
            Some(Place::On(slot, id)) => self.forget_on(slot as usize, id),
            Some(Place::Waiting(route)) => {
                let waiting = &mut self.lane(route).waiting;
                waiting.retain(|query| query.awaited.tag != tag);
                false
            }
            None => false,
        }
    }

    /// Whether something else had come under the identifier.
    fn forget_on(&mut self, slot: usize, id: u16) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let Some(query) = connection.queries.remove(&id) else {
            return false;
        };
        connection.owed += 1;
        if connection.heard < query.sent {
            connection.retired = true;
            connection.doubted = true;
        }
        connection.settle();
        let (route, doubted) = (connection.route, connection.doubted);
        if doubted && !self.lane(route).waiting.is_empty() {
            self.replace(slot);
        }
        query.awaited.mismatched
    }

    fn count(&self) {
        self.manner
            .metrics
            .set(Gauge::UpstreamConnections, self.connections.len() as u64);
    }
}
