//! The load: a closed loop that keeps a server busy, and a steady rate that leaves it room.
//!
//! Whatever else has to happen on the load's CPU, an upstream that answers, happens in its loops
//! (`between`), so that it happens at once and the scheduler has no say in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use byway::sys::{self, RecvBatch, SendBatch};

/// Sockets of the closed loop, and queries that each keeps outstanding.
const SOCKETS: usize = 20;
const OUTSTANDING: usize = 16;

/// No answer for so long means that the queries outstanding are lost.
const LOST: Duration = Duration::from_secs(1);

/// What is still under way at the end of a round has so long to come in.
const DRAIN: Duration = Duration::from_millis(50);

/// The longest answer expected.
const ANSWER: usize = 1500;

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Queries answered.
    pub answered: u64,
    /// Queries given up.
    pub lost: u64,
    /// Answers that were none: wrong ID, no response, or an rcode other than NOERROR.
    pub bad: u64,
    /// How long it took.
    pub took: Duration,
    /// Round trips, of a steady load only.
    pub latencies: Vec<Duration>,
}

/// What is asked.
pub enum Questions {
    /// These queries, over and over.
    Known(Vec<Vec<u8>>),
    /// For a name that was never asked for before, every time.
    New,
}

impl Questions {
    /// Writes the `number`th query, with that for an ID; its length.
    fn write(&self, number: usize, out: &mut [u8]) -> usize {
        let length = match self {
            Questions::Known(queries) => {
                let query = &queries[number % queries.len()];
                out[..query.len()].copy_from_slice(query);
                query.len()
            }
            Questions::New => {
                let mut label = *b"\x09n00000000";
                let mut rest = number;
                for digit in label[2..].iter_mut().rev() {
                    *digit = b"0123456789abcdef"[rest % 16];
                    rest /= 16;
                }
                write_query(&label, out)
            }
        };
        out[..2].copy_from_slice(&(number as u16).to_be_bytes());
        length
    }
}

/// Queries of type A for `count` names, IDs zero.
pub fn queries(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| {
            let mut query = vec![0; 512];
            let length = write_query(format!("\x09host{i:05}").as_bytes(), &mut query);
            query.truncate(length);
            query
        })
        .collect()
}

/// A query of type A for `label` (its length in front) below bench.example.
fn write_query(label: &[u8], out: &mut [u8]) -> usize {
    const HEADER: [u8; 12] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut length = 0;
    for part in [&HEADER, label, b"\x05bench\x07example\0", &[0, 1, 0, 1]] {
        out[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    }
    length
}

/// Sockets connected to one server.
pub struct Load {
    sockets: Vec<UdpSocket>,
    questions: Questions,
    next: usize,
    recv: RecvBatch,
    send: SendBatch,
}

impl Load {
    /// On `server`.
    pub fn new(server: SocketAddr, questions: Questions) -> Load {
        let sockets = (0..SOCKETS).map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.connect(server).expect("loopback");
            sys::set_buffers(socket.as_fd(), 1 << 20).expect("buffers");
            socket
        });
        Load {
            sockets: sockets.collect(),
            questions,
            next: 0,
            recv: RecvBatch::connected(ANSWER),
            send: SendBatch::new(512),
        }
    }

    /// Asks every known query, one after the other, until it has been answered. False if one is not within
    /// `patience`.
    pub fn ask_all(&mut self, patience: Duration) -> bool {
        let Questions::Known(queries) = &self.questions else {
            return true;
        };
        let socket = &self.sockets[0];
        socket.set_nonblocking(false).expect("a blocking socket");
        socket.set_read_timeout(Some(LOST)).expect("a timeout");
        let mut answer = [0; ANSWER];
        queries.iter().all(|query| {
            let start = Instant::now();
            while start.elapsed() < patience {
                let sent = socket.send(query);
                if let Ok(length) = sent.and_then(|_| socket.recv(&mut answer))
                    && is_good(&answer[..length])
                    && answer[12..length].starts_with(&query[12..])
                {
                    return true;
                }
            }
            false
        })
    }

    /// Keeps all sockets' queries outstanding for `time`.
    pub fn saturate(&mut self, time: Duration, mut between: impl FnMut()) -> Outcome {
        let mut outcome = Outcome::default();
        let mut outstanding = [0usize; SOCKETS];
        let mut heard = [Instant::now(); SOCKETS];
        let start = Instant::now();
        loop {
            let now = Instant::now();
            if now - start >= time {
                outcome.took = now - start;
                // What is still under way must not disturb the next round.
                while now.elapsed() < DRAIN {
                    between();
                    std::thread::yield_now();
                }
                for socket in &self.sockets {
                    while self.recv.recv(socket.as_fd()).is_ok() {}
                }
                return outcome;
            }
            for i in 0..SOCKETS {
                between();
                let socket = &self.sockets[i];
                if outstanding[i] > 0 {
                    if let Ok(count) = self.recv.recv(socket.as_fd()) {
                        heard[i] = now;
                        outstanding[i] = outstanding[i].saturating_sub(count);
                        for answer in (0..count).map(|i| self.recv.datagram(i)) {
                            match answer {
                                Some(answer) if is_good(answer) => outcome.answered += 1,
                                _ => outcome.bad += 1,
                            }
                        }
                    } else if now - heard[i] > LOST {
                        outcome.lost += outstanding[i] as u64;
                        outstanding[i] = 0;
                    }
                }
                while outstanding[i] < OUTSTANDING {
                    let Some(slot) = self.send.slot() else { break };
                    let length = self.questions.write(self.next, slot);
                    self.send.push_connected(length);
                    self.next += 1;
                    outstanding[i] += 1;
                }
                self.send.send(socket.as_fd());
            }
        }
    }

    /// Sends `rate` queries a second at even distances for `time`, whatever comes back.
    pub fn steady(&mut self, rate: u32, time: Duration, mut between: impl FnMut()) -> Outcome {
        let mut outcome = Outcome::default();
        let socket = &self.sockets[0];
        let every = Duration::from_secs(1) / rate;
        let mut sent: Vec<Option<Instant>> = vec![None; 1 << 16];
        let start = Instant::now();
        let mut due = start;
        loop {
            between();
            let now = Instant::now();
            if now - start >= time + DRAIN {
                break;
            }
            if now >= due && now - start < time {
                if let Some(slot) = self.send.slot() {
                    let length = self.questions.write(self.next, slot);
                    self.send.push_connected(length);
                }
                let id = usize::from(self.next as u16);
                if sent[id].replace(Instant::now()).is_some() {
                    outcome.lost += 1;
                }
                self.send.send(socket.as_fd());
                self.next += 1;
                due += every;
            }
            let Ok(count) = self.recv.recv(socket.as_fd()) else {
                continue;
            };
            let now = Instant::now();
            for answer in (0..count).filter_map(|i| self.recv.datagram(i)) {
                let id = answer
                    .get(..2)
                    .map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
                match sent[usize::from(id)].take() {
                    Some(at) if is_good(answer) => {
                        outcome.answered += 1;
                        outcome.latencies.push(now - at);
                    }
                    _ => outcome.bad += 1,
                }
            }
        }
        outcome.took = time;
        outcome.lost += sent.iter().flatten().count() as u64;
        outcome.latencies.sort();
        outcome
    }
}

/// Connections of the stream load, and queries that each sends before it reads the answers.
const STREAMS: usize = 4;
const PIPELINE: usize = 32;

/// Keeps queries flowing over a few pipelined connections for `time`.
pub fn saturate_streams(server: SocketAddr, queries: &[Vec<u8>], time: Duration) -> Outcome {
    let mut outcome = Outcome::default();
    let connect = || TcpStream::connect(server).expect("the server accepts");
    let mut streams: Vec<TcpStream> = (0..STREAMS).map(|_| connect()).collect();
    let (mut out, mut answer) = (Vec::new(), vec![0; usize::from(u16::MAX)]);
    let mut queries = queries.iter().cycle();
    let start = Instant::now();
    while start.elapsed() < time {
        for stream in &mut streams {
            out.clear();
            for query in queries.by_ref().take(PIPELINE) {
                out.extend((query.len() as u16).to_be_bytes());
                out.extend(query);
            }
            stream.write_all(&out).expect("the server reads");
        }
        for stream in &mut streams {
            let mut stream = std::io::BufReader::with_capacity(1 << 16, stream);
            for _ in 0..PIPELINE {
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("the server answers");
                let length = usize::from(u16::from_be_bytes(length));
                stream
                    .read_exact(&mut answer[..length])
                    .expect("the server answers");
                match is_good(&answer[..length]) {
                    true => outcome.answered += 1,
                    false => outcome.bad += 1,
                }
            }
        }
    }
    outcome.took = start.elapsed();
    outcome
}

/// A response with NOERROR and an answer.
fn is_good(answer: &[u8]) -> bool {
    answer.len() > 12 && answer[2] & 0x80 != 0 && answer[3] & 0x0f == 0 && answer[7] > 0
}
