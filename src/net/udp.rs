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

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use rustix::event::epoll;
use slab::Slab;
use socket2::Socket;

use super::path::Path;
use super::peers::Peers;
use super::{Handle, Outgoing, Tag};
use crate::clock::Time;
use crate::observe::metrics::{Gauge, Limit, Mismatch, WorkerMetrics};
use crate::route::{Outcome, RouteId, UpstreamId};
use crate::sys::{RecvBatch, SendBatch};
use crate::wire::{self, OutgoingEdns, QueryFlags, Response, Sent};

/// Sockets a worker opens in a second before turns begin to share them: about 1 % of a core.
const OPEN_RATE: u32 = 1_000;

/// Sockets that may be opened at once after a rest.
const OPEN_BURST: u32 = 1_000;

/// Sockets of one route that turns may share.
const POOL: usize = 16;

/// How long a socket takes new questions.
const LIFETIME: Duration = Duration::from_secs(2);

/// Longest query that is sent: header, a name of 255 octets, type and class, OPT.
const QUERY_MAX: usize = 12 + 255 + 4 + 11;

/// Longest answer over UDP. Most stay under the payload size advertised; some upstreams do not care.
const ANSWER_MAX: usize = 65_535;

/// A route as this room needs it.
#[derive(Clone, Debug)]
pub struct Way {
    /// The upstream's index.
    pub upstream: UpstreamId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The way out of this host.
    pub path: Rc<Path>,
    /// Whether its queries go over a stream from the first.
    pub stream: bool,
}

/// What the attempts of one worker are made with.
#[derive(Clone)]
pub struct Manner {
    /// UDP payload size advertised by EDNS.
    pub payload: u16,
    /// Whether to send names in random letter case.
    pub randomize_case: bool,
    /// What is known of the upstreams.
    pub peers: Arc<Peers>,
    /// Where what happens is counted.
    pub metrics: Rc<WorkerMetrics>,
}

/// A query that is out: what its response must match.
#[derive(Debug)]
pub(super) struct Awaited {
    pub tag: Tag,
    /// The question as sent, letter case included.
    pub question: Box<[u8]>,
    /// Whether the case was drawn at random.
    pub random_case: bool,
}

impl Awaited {
    /// The question of `query`, in random case if that is wanted.
    pub(super) fn new(
        tag: Tag,
        query: &Outgoing<'_>,
        upstream: UpstreamId,
        manner: &Manner,
        rng: &mut StdRng,
        now: Time,
    ) -> Awaited {
        let mut question: Box<[u8]> = query.question.into();
        let random_case = manner.randomize_case && manner.peers.takes_random_case(upstream, now);
        if random_case {
            wire::randomize_case(&mut question, || rng.next_u64());
        }
        Awaited {
            tag,
            question,
            random_case,
        }
    }

    /// Writes the query under `id`.
    pub(super) fn write(
        &self,
        query: &Outgoing<'_>,
        id: u16,
        payload: u16,
        out: &mut [u8],
    ) -> usize {
        // AD asks for the AD bit of the answer (RFC 6840 section 5.7): clients that did not ask for it
        // do not get it, but those who share the cached answer may.
        let flags = QueryFlags {
            rd: query.rd,
            cd: query.cd,
            ad: true,
        };
        let edns = query.edns.then_some(OutgoingEdns {
            payload,
            dnssec_ok: query.dnssec_ok,
        });
        wire::write_query(out, id, flags, &self.question, edns)
    }

    /// Checks what came back under `id`.
    ///
    /// # Errors
    /// What does not match. A forgery leaves the attempt waiting.
    pub(super) fn check<'a>(
        &self,
        packet: &'a [u8],
        id: u16,
        upstream: UpstreamId,
        manner: &Manner,
        now: Time,
    ) -> Result<Response<'a>, Mismatch> {
        let exact_case = self.random_case && manner.peers.keeps_case(upstream);
        let sent = Sent {
            id,
            question: &self.question,
            exact_case,
        };
        let response = wire::examine(packet, &sent).map_err(|mismatch| match mismatch {
            wire::Mismatch::Id => Mismatch::Id,
            wire::Mismatch::Question => Mismatch::Question,
            wire::Mismatch::Case => Mismatch::Case,
            _ => Mismatch::Garbled,
        })?;
        if self.random_case {
            manner
                .peers
                .answered_case(upstream, response.case_kept(), now);
        }
        Ok(response)
    }
}

struct UdpSocket {
    socket: Socket,
    route: RouteId,
    awaited: HashMap<u16, Awaited, FixedState>,
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
    pools: Vec<Pool>,
    ready: OwnedFd,
    batch: SendBatch,
    /// Whose datagrams the batch holds, and their tags.
    batch_socket: Option<u32>,
    batch_tags: Vec<Tag>,
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
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            batch: SendBatch::new(QUERY_MAX),
            batch_socket: None,
            batch_tags: Vec::new(),
            failed: Vec::new(),
            openings: f64::from(OPEN_BURST),
            openings_at: Time::default(),
        })
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
    pub fn ready(&self, slots: &mut Vec<u32>) {
        let mut events = Vec::with_capacity(UdpSockets::READY_MAX);
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let buffer = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.ready, buffer, Some(&none)).is_ok() {
            slots.extend(events.iter().map(|event| event.data.u64() as u32));
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
        let slot = self.choose(route, rng, now)?;
        if self.batch_socket != Some(slot) || self.batch.is_full() {
            self.send_batch();
            self.batch_socket = Some(slot);
        }
        let socket = &mut self.sockets[slot as usize];
        let id = loop {
            let id: u16 = rng.random();
            if !socket.awaited.contains_key(&id) {
                break id;
            }
        };
        let out = self.batch.slot().ok_or(Outcome::Unreachable)?;
        let length = awaited.write(query, id, self.manner.payload, out);
        self.batch.push_connected(length);
        self.batch_tags.push(tag);
        socket.awaited.insert(id, awaited);
        Ok(Handle::Udp { socket: slot, id })
    }

    /// The socket that this turn's questions to `route` leave by.
    fn choose(&mut self, route: RouteId, rng: &mut StdRng, now: Time) -> Result<u32, Outcome> {
        let turn = self.pools[usize::from(route.0)].turn;
        if let Some(slot) = turn.filter(|slot| self.takes_more(*slot)) {
            return Ok(slot);
        }
        let slot = if self.may_open(now) {
            self.open(route, rng, now)?
        } else {
            let shared = &self.pools[usize::from(route.0)].sockets;
            let drawn = shared
                .get(rng.random_range(0..shared.len().max(1)))
                .copied();
            match drawn.filter(|slot| self.takes_more(*slot)) {
                Some(slot) => slot,
                None => self.open(route, rng, now)?,
            }
        };
        self.pools[usize::from(route.0)].turn = Some(slot);
        Ok(slot)
    }

    fn takes_more(&self, slot: u32) -> bool {
        let socket = self.sockets.get(slot as usize);
        // An identifier must stay hard to guess and easy to find.
        socket.is_some_and(|socket| socket.pooled && socket.awaited.len() < 16_384)
    }

    fn may_open(&mut self, now: Time) -> bool {
        if self.sockets.len() >= self.limit {
            self.manner.metrics.limited(Limit::UpstreamSockets);
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
            .udp(way.address, rng)
            .map_err(|_| Outcome::Unreachable)?;
        self.openings -= 1.0;
        let entry = self.sockets.vacant_entry();
        let slot = entry.key() as u32;
        let data = epoll::EventData::new_u64(slot.into());
        epoll::add(&self.ready, &socket, data, epoll::EventFlags::IN)
            .map_err(|_| Outcome::Unreachable)?;
        entry.insert(UdpSocket {
            socket,
            route,
            awaited: HashMap::default(),
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
        let idle = |socket: &UdpSocket| !socket.pooled && socket.awaited.is_empty();
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
        let tags = std::mem::take(&mut self.batch_tags);
        let Some(socket) = self.sockets.get(slot as usize) else {
            return;
        };
        let report = self.batch.send(socket.socket.as_fd());
        // A full queue is this host's own congestion: such a query is lost like any other. A refusal is
        // an answer.
        if report.refused > 0 {
            self.break_socket(slot);
        }
        self.batch_tags = tags;
        self.batch_tags.clear();
        self.close_if_idle(slot);
    }

    /// Receives from a ready socket; `None` when nothing more is to be had from it now.
    pub fn receive(&mut self, slot: u32, batch: &mut RecvBatch) -> Option<usize> {
        let socket = self.sockets.get(slot as usize)?;
        match batch.recv(socket.socket.as_fd()) {
            Ok(received) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => {
                self.break_socket(slot);
                None
            }
        }
    }

    /// An error was reported for the socket: its attempts have failed, and it is closed.
    fn break_socket(&mut self, slot: u32) {
        let Some(mut socket) = self.sockets.try_remove(slot as usize) else {
            return;
        };
        let pool = &mut self.pools[usize::from(socket.route.0)];
        pool.sockets.retain(|other| *other != slot);
        if pool.turn == Some(slot) {
            pool.turn = None;
        }
        let lost = socket
            .awaited
            .drain()
            .map(|(_, awaited)| (awaited.tag, Outcome::Unreachable));
        self.failed.extend(lost);
        self.manner
            .metrics
            .set(Gauge::UpstreamSockets, self.sockets.len() as u64);
    }

    /// Whose response a datagram is. What belongs to no query, or does not match the one it claims to
    /// answer, is counted and ignored: it never ends the wait (RFC 5452 section 6).
    pub fn claim<'a>(
        &mut self,
        slot: u32,
        packet: &'a [u8],
        now: Time,
    ) -> Option<(Tag, Response<'a>)> {
        let socket = self.sockets.get_mut(slot as usize)?;
        let route = usize::from(socket.route.0);
        let upstream = self.ways[route].upstream;
        let checked = match packet.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) {
            None => Err(Mismatch::Garbled),
            Some(id) => match socket.awaited.get(&id) {
                None => Err(Mismatch::Id),
                Some(awaited) => awaited
                    .check(packet, id, upstream, &self.manner, now)
                    .map(|found| (id, found)),
            },
        };
        match checked {
            Ok((id, response)) => {
                let awaited = socket.awaited.remove(&id)?;
                self.close_if_idle(slot);
                Some((awaited.tag, response))
            }
            Err(mismatch) => {
                self.manner.metrics.mismatched(route, mismatch);
                None
            }
        }
    }

    /// Stops waiting for a response.
    pub(super) fn forget(&mut self, slot: u32, id: u16, tag: Tag) {
        if let Some(socket) = self.sockets.get_mut(slot as usize) {
            if socket
                .awaited
                .get(&id)
                .is_some_and(|awaited| awaited.tag == tag)
            {
                socket.awaited.remove(&id);
            }
            self.close_if_idle(slot);
        }
    }
}
