//! The lab's upstreams: two servers, each on one address over both ways and on one for each way.
//!
//! The kernel here may lack netem, so it is the servers that make the distance: an answer is held back as
//! long as the way that its question came over is long.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::names::{Name, question_end};
use crate::poll;
use crate::topology::{Place, Topology, Way, join, upstream_address};

/// How many upstreams there are: dc1 and dc2.
pub const UPSTREAMS: usize = 2;

/// NOERROR.
pub const NOERROR: u8 = 0;
/// SERVFAIL.
pub const SERVFAIL: u8 = 2;

/// How one server fares.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Added to every answer.
    pub slow: Duration,
    /// What it answers instead of answers, unless [`NOERROR`].
    pub rcode: u8,
    /// The time it works on one question, one after the other.
    pub work: Duration,
}

/// What becomes of questions that fail through no fault of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing comes back.
    Silent,
    /// SERVFAIL comes back, so much later than an answer would.
    Fails(Duration),
}

/// What is true of the upstreams and of the distance to them.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The servers.
    pub servers: [Server; UPSTREAMS],
    /// Round trip over each way, without queues.
    pub distance: [Duration; 2],
    /// What becomes of names that fail, at both; nothing special if `None`.
    pub fate: Option<Fate>,
}

impl Default for Conditions {
    /// Health: A is 2 ms long, B 4 ms; a server does 20,000 questions a second. dc1 is the nearer by a
    /// little, so that a daemon with a preference has one for the server that will fail.
    fn default() -> Conditions {
        let nearer = Server {
            slow: Duration::ZERO,
            rcode: NOERROR,
            work: Duration::from_micros(50),
        };
        let farther = Server {
            slow: Duration::from_micros(500),
            ..nearer
        };
        Conditions {
            servers: [nearer, farther],
            distance: [Duration::from_millis(2), Duration::from_millis(4)],
            fate: None,
        }
    }
}

/// A question that reached a server.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Which server, from 0.
    pub server: usize,
    /// For a name that may fail.
    pub failing: bool,
}

struct State {
    conditions: Conditions,
    arrivals: Vec<Arrival>,
    stop: bool,
}

/// The upstreams, while they run.
pub struct Upstreams {
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Upstreams {
    /// Starts both servers.
    pub fn start(topology: &Topology) -> io::Result<Upstreams> {
        let state = Arc::new(Mutex::new(State {
            conditions: Conditions::default(),
            arrivals: Vec::new(),
            stop: false,
        }));
        let shared = Arc::clone(&state);
        let thread = topology.spawn(Place::Far, "upstreams", move || serve(&shared))?;
        Ok(Upstreams {
            state,
            thread: Some(thread),
        })
    }

    /// Changes what is true from now on.
    pub fn set(&self, conditions: Conditions) {
        self.state.lock().expect("no panic").conditions = conditions;
    }

    /// Stops both and says what reached them.
    pub fn finish(mut self) -> io::Result<Vec<Arrival>> {
        self.state.lock().expect("no panic").stop = true;
        if let Some(thread) = self.thread.take() {
            join(thread)?;
        }
        Ok(std::mem::take(
            &mut self.state.lock().expect("no panic").arrivals,
        ))
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.stop = true;
        }
    }
}

/// An answer that waits for its time.
struct Due {
    at: Instant,
    socket: usize,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.at == other.at
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// A server with more than this much work before it drops what comes.
const BACKLOG: Duration = Duration::from_secs(1);

fn serve(state: &Mutex<State>) -> io::Result<()> {
    let mut sockets = Vec::new();
    let mut servers = Vec::new();
    for server in 0..UPSTREAMS {
        for way in [None, Some(Way::A), Some(Way::B)] {
            let socket = UdpSocket::bind((upstream_address(server as u8, way), 53))?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
            servers.push(server);
        }
    }
    let mut free = [Instant::now(); UPSTREAMS];
    let mut waiting: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut buffer = [0; 4096];
    loop {
        let turn = Instant::now() + Duration::from_millis(100);
        let until = waiting.peek().map_or(turn, |it| it.0.at.min(turn));
        poll::wait(&sockets, until)?;
        let now = Instant::now();
        let mut state = state.lock().expect("no panic");
        if state.stop {
            return Ok(());
        }
        for (index, socket) in sockets.iter().enumerate() {
            while let Some((length, from)) = poll::receive(socket, &mut buffer)? {
                let IpAddr::V4(source) = from.ip() else {
                    continue;
                };
                let Some(way) = Way::of_source(source) else {
                    continue;
                };
                let number = servers[index];
                let mut server = state.conditions.servers[number];
                let failing = is_failing(&buffer[..length]);
                let fate = state.conditions.fate.filter(|_| failing);
                if let Some(Fate::Fails(later)) = fate {
                    server.slow += later;
                    server.rcode = SERVFAIL;
                }
                let Some(bytes) = answer(&buffer[..length], server.rcode) else {
                    continue;
                };
                state.arrivals.push(Arrival {
                    at: now,
                    server: number,
                    failing,
                });
                if fate == Some(Fate::Silent) {
                    continue;
                }
                let begin = free[number].max(now);
                if begin > now + BACKLOG {
                    continue;
                }
                free[number] = begin + server.work;
                let at = free[number] + server.slow + state.conditions.distance[way as usize];
                waiting.push(Reverse(Due {
                    at,
                    socket: index,
                    to: from,
                    bytes,
                }));
            }
        }
        drop(state);
        while waiting.peek().is_some_and(|it| it.0.at <= Instant::now()) {
            let Some(Reverse(due)) = waiting.pop() else {
                break;
            };
            // A full queue on the way back is the network's matter, not the server's.
            sockets[due.socket].send_to(&due.bytes, due.to).ok();
        }
    }
}

const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;

/// Whether a query is for a name that may fail.
fn is_failing(query: &[u8]) -> bool {
    let question = question_end(query).map(|end| &query[12..end]);
    matches!(question.and_then(Name::of_question), Some(Name::Failing(_)))
}

/// The answer to a query.
fn answer(query: &[u8], rcode: u8) -> Option<Vec<u8>> {
    let end = question_end(query)?;
    let question = &query[12..end];
    let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
    let edns = query[10..12] != [0, 0];
    let ttl = Name::of_question(question).map_or(30, Name::ttl);
    let (answers, authorities) = match kind {
        _ if rcode != NOERROR => (0, 0),
        TYPE_A => (1, 0),
        TYPE_NS if question[0] == 0 => (1, 0),
        _ => (0, 1),
    };
    let mut bytes = query[..2].to_vec();
    bytes.extend([0x80 | (query[2] & 0x01), 0x80 | rcode]);
    bytes.extend([0, 1, 0, answers, 0, authorities, 0, u8::from(edns)]);
    bytes.extend(question);
    let mut record = |kind: u16, data: &[u8]| {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    };
    if answers == 1 && kind == TYPE_A {
        record(TYPE_A, &[198, 18, 0, 1]);
    } else if answers == 1 {
        record(TYPE_NS, b"\x02ns\x03lab\x00");
    } else if authorities == 1 {
        let mut soa = vec![0, 0];
        soa.extend([30u32; 5].map(u32::to_be_bytes).concat());
        record(6, &soa);
    }
    if edns {
        bytes.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    Some(bytes)
}
