//! Attempts over UDP.
//!
//! Every socket is connected, so that the kernel drops what comes from elsewhere and ICMP errors are
//! heard. What an off-path forger has to guess (RFC 5452) is the identifier, drawn at random for each
//! query (16 bits), the port, drawn at random from all 64,512 unprivileged ones for each socket
//! (15.98 bits), and the letter case of the name where the upstream keeps it (1 bit a letter).
//!
//! A turn's questions share one socket, so that they leave with one system call. While fewer than
//! `OPEN_RATE` sockets a second are needed, each turn has a port of its own; beyond that a turn draws
//! one of the route's `POOL` youngest sockets, none older than `LIFETIME`, so that a port that was
//! found out by watching is of no use a moment later.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::FixedState;
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::event::epoll;
use slab::Slab;
use socket2::Socket;

use super::awaited::{Awaited, Claimed, Manner, Way};
use super::shortage;
use super::{Handle, Outgoing, Tag};
use crate::clock::Time;
use crate::observe::metrics::{Client, Gauge, Limit, Mismatch};
use crate::observe::said::Reason;
use crate::route::{Outcome, RouteId};
use crate::sys::{BATCH, RecvBatch, SendBatch};

/// Sockets a worker opens in a second before turns begin to share them. One costs as much as several
/// queries (30 to 60 us with its end, measured), so this is about 1 % of a core.
const OPEN_RATE: u32 = 250;

/// Sockets that may be opened at once after a rest.
const OPEN_BURST: u32 = 250;

/// Sockets of one route that turns may share.
const POOL: usize = 16;

/// Questions that may be out on one socket: an identifier must stay hard to guess and easy to find.
const SHARED_BY: u32 = 16_384;

/// How long a socket takes new questions.
const LIFETIME: Duration = Duration::from_secs(2);

/// Longest query that is sent: header, a name of 255 octets, type and class, OPT.
const QUERY_MAX: usize = 12 + 255 + 4 + 11;

/// Longest answer over UDP. Most stay under the payload size advertised; some upstreams do not care.
const ANSWER_MAX: usize = 65_535;

struct UdpSocket {
    socket: Socket,
    route: RouteId,
    /// Queries out on it.
    awaited: u32,
    /// Queries ever sent on it.
    carried: u64,
    /// Something came on it that belongs to none of its queries.
    strays: bool,
    opened: Time,
    /// Whether it still takes new questions.
    pooled: bool,
}

#[derive(Default)]
struct Pool {
    /// Youngest last.
    sockets: VecDeque<u32>,
    /// The socket of the present turn.
    turn: Option<u32>,
}

/// The UDP sockets of one worker, and the queries that are out on them.
pub struct UdpSockets {
    ways: Rc<[Way]>,
    manner: Manner,
    limit: usize,
    sockets: Slab<UdpSocket>,
    /// The queries that are out, by socket and identifier. One table for all sockets: those of a single turn
    /// come and go, and a table of each one's own would have to grow anew every time.
    awaited: HashMap<(u32, u16), Awaited, FixedState>,
    pools: Vec<Pool>,
    ready: OwnedFd,
    events: Vec<epoll::Event>,
    batch: SendBatch,
    /// Whose datagrams the batch holds, and their identifiers.
    batch_socket: Option<u32>,
    batch_ids: Vec<u16>,
    failed: Vec<(Tag, Outcome)>,
    /// Sockets that may still be opened, as of then.
    openings: f64,
    openings_at: Time,
}

impl UdpSockets {
    /// None yet; at most `limit` are open at a time, while questions can share.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub fn new(ways: Rc<[Way]>, manner: Manner, limit: usize) -> io::Result<UdpSockets> {
        Ok(UdpSockets {
            pools: ways.iter().map(|_| Pool::default()).collect(),
            ways,
            manner,
            limit,
            sockets: Slab::new(),
            awaited: HashMap::default(),
            events: Vec::with_capacity(UdpSockets::READY_MAX),
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            batch: SendBatch::new(QUERY_MAX),
            batch_socket: None,
            batch_ids: Vec::with_capacity(BATCH),
            failed: Vec::new(),
            openings: f64::from(OPEN_BURST),
            openings_at: Time::default(),
        })
    }

    /// From now on `ways` are the routes, of which each one's number means what it did, and there are at most `limit`
    /// sockets.
    pub(super) fn reshape(&mut self, ways: Rc<[Way]>, manner: Manner, limit: usize) {
        self.pools.resize_with(ways.len(), Pool::default);
        (self.ways, self.manner, self.limit) = (ways, manner, limit);
    }

    /// Readable when [`UdpSockets::ready`] has something to tell.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub fn readiness(&self) -> io::Result<OwnedFd> {
        self.ready.try_clone()
    }

    /// A batch for [`UdpSockets::receive`].
    pub fn receive_batch() -> RecvBatch {
        RecvBatch::connected(ANSWER_MAX)
    }

    /// The most that [`UdpSockets::ready`] tells at once.
    pub const READY_MAX: usize = 64;

    /// The sockets on which something has arrived, an error perhaps.
    pub fn ready(&mut self, slots: &mut Vec<u32>) {
        self.events.clear();
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        if epoll::wait(&self.ready, buffer, Some(&none)).is_ok() {
            slots.extend(self.events.iter().map(|event| event.data.u64() as u32));
        }
    }

    /// Collects a query for [`UdpSockets::flush`].
    pub(super) fn send(
        &mut self,
        tag: Tag,
        route: RouteId,
        query: &Outgoing<'_>,
        rng: &mut StdRng,
        now: Time,
    ) -> Result<Handle, Outcome> {
        let way = &self.ways[usize::from(route.0)];
        let awaited = Awaited::new(tag, query, way.upstream, &self.manner, rng, now);
        // First, because it may show that the turn's socket is of no use any more.
        if self.batch.is_full() {
            self.send_batch();
        }
        let slot = self.choose(route, rng, now)?;
        if self.batch_socket != Some(slot) {
            self.send_batch();
            self.batch_socket = Some(slot);
        }
        let out = self.batch.slot().ok_or(Outcome::Local)?;
        let (id, place) = loop {
            let id: u16 = rng.random();
            if let Entry::Vacant(place) = self.awaited.entry((slot, id)) {
                break (id, place);
            }
        };
        let length = awaited.write(query, id, self.manner.payload, out);
        self.batch.push_connected(length);
        self.batch_ids.push(id);
        place.insert(awaited);
        let socket = &mut self.sockets[slot as usize];
        socket.awaited += 1;
        socket.carried += 1;
        Ok(Handle::Udp { socket: slot, id })
    }

    /// The socket that this turn's questions to `route` leave by.
    fn choose(&mut self, route: RouteId, rng: &mut StdRng, now: Time) -> Result<u32, Outcome> {
        let turn = self.pools[usize::from(route.0)].turn;
        if let Some(slot) = turn.filter(|slot| self.takes_more(*slot)) {
            return Ok(slot);
        }
        let fresh = match self.may_open(now) {
            true => self.open(route, rng, now),
            false => Err(Outcome::Local),
        };
        let slot = match fresh {
            // A socket that is there serves where another one cannot be had.
            Err(Outcome::Local) => match self.share(route, rng) {
                Some(slot) => slot,
                None => self.open(route, rng, now)?,
            },
            fresh => fresh?,
        };
        self.pools[usize::from(route.0)].turn = Some(slot);
        Ok(slot)
    }

    /// A socket of the route's that others use too. At the limit of sockets, and for want of a younger one, one
    /// that was to take no more.
    fn share(&mut self, route: RouteId, rng: &mut StdRng) -> Option<u32> {
        let shared = &self.pools[usize::from(route.0)].sockets;
        let drawn = shared
            .get(rng.random_range(0..shared.len().max(1)))
            .copied();
        if let Some(slot) = drawn.filter(|slot| self.takes_more(*slot)) {
            return Some(slot);
        }
        if self.sockets.len() < self.limit {
            return None;
        }
        let retired = |(_, socket): &(usize, &UdpSocket)| {
            socket.route == route && !socket.pooled && socket.awaited < SHARED_BY
        };
        let slot = self.sockets.iter().find(retired)?.0 as u32;
        self.sockets[slot as usize].pooled = true;
        self.pools[usize::from(route.0)].sockets.push_front(slot);
        Some(slot)
    }

    fn takes_more(&self, slot: u32) -> bool {
        let socket = self.sockets.get(slot as usize);
        socket.is_some_and(|socket| socket.pooled && socket.awaited < SHARED_BY)
    }

    fn may_open(&mut self, now: Time) -> bool {
        if self.sockets.len() >= self.limit {
            self.manner
                .metrics
                .limited(Limit::UpstreamSockets, Client::Own);
            return false;
        }
        let earned = now.since(self.openings_at).as_secs_f64() * f64::from(OPEN_RATE);
        self.openings_at = now;
        self.openings = (self.openings + earned).min(OPEN_BURST.into());
        self.openings >= 1.0
    }

    fn open(&mut self, route: RouteId, rng: &mut StdRng, now: Time) -> Result<u32, Outcome> {
        let way = &self.ways[usize::from(route.0)];
        let socket = way
            .path
            .udp(way.target(), rng)
            .map_err(|error| shortage::outcome(&error, way.address, now))?;
        self.openings -= 1.0;
        let entry = self.sockets.vacant_entry();
        let slot = entry.key() as u32;
        let data = epoll::EventData::new_u64(slot.into());
        epoll::add(&self.ready, &socket, data, epoll::EventFlags::IN)
            .map_err(|error| shortage::outcome(&error.into(), way.address, now))?;
        entry.insert(UdpSocket {
            socket,
            route,
            awaited: 0,
            carried: 0,
            strays: false,
            opened: now,
            pooled: true,
        });
        let pool = &mut self.pools[usize::from(route.0)];
        pool.sockets.push_back(slot);
        if pool.sockets.len() > POOL {
            self.retire_oldest(route);
        }
        self.manner
            .metrics
            .set(Gauge::UpstreamSockets, self.sockets.len() as u64);
        Ok(slot)
    }

    fn retire_oldest(&mut self, route: RouteId) {
        if let Some(slot) = self.pools[usize::from(route.0)].sockets.pop_front() {
            if let Some(socket) = self.sockets.get_mut(slot as usize) {
                socket.pooled = false;
            }
            self.close_if_idle(slot);
        }
    }

    fn close_if_idle(&mut self, slot: u32) {
        let idle = |socket: &UdpSocket| !socket.pooled && socket.awaited == 0;
        if self.batch_socket != Some(slot) && self.sockets.get(slot as usize).is_some_and(idle) {
            self.sockets.remove(slot as usize);
            self.manner
                .metrics
                .set(Gauge::UpstreamSockets, self.sockets.len() as u64);
        }
    }

    /// Closes sockets that have lived long enough. To be called about once a second.
    pub fn sweep(&mut self, now: Time) {
        for route in 0..self.pools.len() {
            while let Some(slot) = self.pools[route].sockets.front() {
                let young = |socket: &UdpSocket| now.since(socket.opened) < LIFETIME;
                if self.sockets.get(*slot as usize).is_some_and(young) {
                    break;
                }
                self.retire_oldest(RouteId(route as u16));
            }
        }
    }

    /// Ends the turn: everything collected goes on the wire.
    pub(super) fn flush(&mut self, failed: &mut Vec<(Tag, Outcome)>) {
        self.send_batch();
        for pool in &mut self.pools {
            pool.turn = None;
        }
        failed.append(&mut self.failed);
    }

    fn send_batch(&mut self) {
        let Some(slot) = self.batch_socket.take() else {
            return;
        };
        let Some(socket) = self.sockets.get(slot as usize) else {
            // It broke before its queries could leave; they have failed.
            self.batch.clear();
            self.batch_ids.clear();
            return;
        };
        let ids = std::mem::take(&mut self.batch_ids);
        let report = self.batch.send(socket.socket.as_fd());
        // A full queue is congestion on the way out: such a query is lost like any other. A refusal is an answer.
        if report.refused > 0 {
            let reason = Reason::of_number(report.error.unwrap_or_default());
            self.break_socket(slot, Outcome::Unreachable(reason));
        }
        for (place, id) in ids.iter().enumerate() {
            if report.without_memory & (1 << place) != 0
                && let Some(awaited) = self.awaited.remove(&(slot, *id))
            {
                self.failed.push((awaited.tag, Outcome::Local));
                self.answered(slot);
            }
        }
        self.close_if_idle(slot);
        self.batch_ids = ids;
        self.batch_ids.clear();
    }

    /// Receives from a ready socket; `None` when nothing more is to be had from it now.
    pub fn receive(&mut self, slot: u32, batch: &mut RecvBatch) -> Option<usize> {
        let socket = self.sockets.get(slot as usize)?;
        match batch.recv(socket.socket.as_fd()) {
            Ok(received) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                let outcome = match shortage::is_one(&error) {
                    true => Outcome::Local,
                    false => Outcome::Unreachable(Reason::of(&error)),
                };
                self.break_socket(slot, outcome);
                None
            }
        }
    }

    /// Closes the sockets that `lost` says so of, by their route and address: their attempts have failed.
    pub(super) fn abandon(&mut self, mut lost: impl FnMut(RouteId, SocketAddr) -> bool) {
        let given_up = |(slot, socket): (usize, &UdpSocket)| {
            let local = socket.socket.local_addr().ok()?.as_socket()?;
            lost(socket.route, local).then_some(slot as u32)
        };
        let slots: Vec<u32> = self.sockets.iter().filter_map(given_up).collect();
        for slot in slots {
            self.break_socket(slot, Outcome::Unreachable(Reason::PATH_DOWN));
        }
    }

    /// An error was reported for the socket: its attempts have failed, and it is closed.
    fn break_socket(&mut self, slot: u32, outcome: Outcome) {
        let Some(socket) = self.sockets.try_remove(slot as usize) else {
            return;
        };
        let pool = &mut self.pools[usize::from(socket.route.0)];
        pool.sockets.retain(|other| *other != slot);
        if pool.turn == Some(slot) {
            pool.turn = None;
        }
        if socket.awaited > 0 {
            let lost = self.awaited.extract_if(|(of, _), _| *of == slot);
            self.failed
                .extend(lost.map(|(_, awaited)| (awaited.tag, outcome)));
        }
        self.manner
            .metrics
            .set(Gauge::UpstreamSockets, self.sockets.len() as u64);
    }

    /// Whose response a datagram is. What belongs to no query, or does not match the one it claims to
    /// answer, is counted and ignored: it never ends the wait (RFC 5452 section 6).
    pub fn claim<'a>(&mut self, slot: u32, packet: &'a [u8]) -> Option<Claimed<'a>> {
        let socket = self.sockets.get_mut(slot as usize)?;
        let route = usize::from(socket.route.0);
        let checked = match packet.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) {
            None => Err(Mismatch::Garbled),
            Some(id) => match self.awaited.entry((slot, id)) {
                Entry::Vacant(_) => {
                    socket.strays = true;
                    Err(Mismatch::Id)
                }
                Entry::Occupied(mut awaited) => match awaited.get().check(packet, id, false) {
                    Ok(claimed) => {
                        awaited.remove();
                        Ok(claimed)
                    }
                    Err(mismatch) => {
                        awaited.get_mut().mismatched = true;
                        Err(mismatch)
                    }
                },
            },
        };
        match checked {
            Ok(claimed) => {
                self.answered(slot);
                if matches!(claimed, Claimed::NearMiss(_)) {
                    self.manner.metrics.mismatched(route, Mismatch::Case);
                }
                Some(claimed)
            }
            Err(mismatch) => {
                self.manner.metrics.mismatched(route, mismatch);
                None
            }
        }
    }

    /// Whether something else has come in place of a response so far; see [`UdpSockets::forget`].
    pub(super) fn is_lied_to(&self, slot: u32, id: u16, tag: Tag) -> bool {
        let own = self.sockets.get(slot as usize).filter(|it| it.carried == 1);
        let awaited = self.awaited.get(&(slot, id));
        awaited
            .is_some_and(|it| it.tag == tag && (it.mismatched || own.is_some_and(|own| own.strays)))
    }

    /// Stops waiting for a response. True if something else came in its place. What came under another identifier is
    /// held for that only on a socket of its own: on a shared one it may be another query's response that came too late.
    pub(super) fn forget(&mut self, slot: u32, id: u16, tag: Tag) -> bool {
        let Entry::Occupied(awaited) = self.awaited.entry((slot, id)) else {
            return false;
        };
        if awaited.get().tag != tag {
            return false;
        }
        let own = self.sockets.get(slot as usize).filter(|it| it.carried == 1);
        let mismatched = awaited.remove().mismatched || own.is_some_and(|it| it.strays);
        self.answered(slot);
        mismatched
    }

    /// One query less is out on the socket.
    fn answered(&mut self, slot: u32) {
        if let Some(socket) = self.sockets.get_mut(slot as usize) {
            socket.awaited -= 1;
        }
        self.close_if_idle(slot);
    }
}
