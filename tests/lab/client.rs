//! The clients: an open loop that asks on, whatever becomes of what it asked before, and never twice.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::names::{Name, question_end};
use crate::poll;
use crate::topology::Way;
use crate::upstream::NOERROR;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Questions a second.
    pub rate: u32,
    /// The share of questions that were never asked before; the others are for popular names.
    pub new: f64,
    /// How many names are popular.
    pub popular: u32,
    /// The share of the new ones that fail, if something is said to.
    pub failing: f64,
}

/// What is asked before, during and after the fault.
#[derive(Clone, Copy, Debug)]
pub struct Loads {
    /// Before and after.
    pub usual: Load,
    /// During.
    pub during: Load,
    /// The fault.
    pub fault: (Instant, Instant),
}

impl Loads {
    fn at(&self, now: Instant) -> Load {
        match now >= self.fault.0 && now < self.fault.1 {
            true => self.during,
            false => self.usual,
        }
    }
}

/// A question and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// When it was asked.
    pub at: Instant,
    /// How much later that was than planned: what the machine itself does to the figures.
    pub lag: Duration,
    /// What it asked for.
    pub name: Name,
    /// How long the answer took, be it useful or not; `None` if none came in [`PATIENCE`].
    pub took: Option<Duration>,
    /// The answer was useful.
    pub useful: bool,
    /// The first Extended DNS Error in the answer; 0 if there was none.
    pub ede: u16,
}

impl Question {
    /// Whether the answer was useful and past its TTL (RFC 8914: 3, Stale Answer, or 19 for a stale
    /// NXDOMAIN).
    pub fn is_stale(&self) -> bool {
        self.useful && [3, 19].contains(&self.ede)
    }
}

/// Packets that had left the host over each way, at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// How many since the interface was made, by way.
    pub packets: [u64; 2],
}

/// What the clients saw.
pub struct Seen {
    /// Every question, in order.
    pub questions: Vec<Question>,
    /// What left the host, every [`SAMPLE`].
    pub sent: Vec<Sent>,
}

/// How long a client waits: a stub resolver's default (resolv.conf(5), `timeout`).
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often what left the host is read.
pub const SAMPLE: Duration = Duration::from_millis(20);
/// Clients: enough for the kernel to spread them over a daemon's workers.
const SOCKETS: usize = 16;

/// Asks from `start` to `end`, then waits for the answers to the last. Runs inside `near`.
pub fn ask(loads: Loads, start: Instant, end: Instant, seed: u64) -> io::Result<Seen> {
    let sockets: Vec<_> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect("127.0.0.1:53")?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()?;
    let mut rng = StdRng::seed_from_u64(seed);
    let most = loads.usual.rate.max(loads.during.rate);
    let mut seen = Seen {
        questions: Vec::with_capacity(((end - start).as_secs_f64() * f64::from(most)) as usize),
        sent: Vec::new(),
    };
    let (mut popular, mut new) = (0, 0);
    let mut sample = start;
    let mut next = start;
    let mut buffer = [0; 4096];
    loop {
        let now = Instant::now();
        if now >= end + PATIENCE || now >= end && !somebody_waits(&seen.questions, now) {
            return Ok(seen);
        }
        if now >= sample {
            seen.sent.push(sent()?);
            sample += SAMPLE;
        }
        while next <= now && next < end {
            let load = loads.at(next);
            let name = if rng.random_bool(load.new) {
                new += 1;
                match load.failing > 0.0 && rng.random_bool(load.failing) {
                    true => Name::Failing(new),
                    false => Name::New(new),
                }
            } else {
                popular += 1;
                // Each popular name once, so that all are known before the trouble, then at random.
                Name::Popular(if popular <= load.popular {
                    popular - 1
                } else {
                    rng.random_range(0..load.popular)
                })
            };
            let index = seen.questions.len();
            // A question that a full socket does not take is one without an answer.
            sockets[index % SOCKETS]
                .send(&query(index as u16, name))
                .ok();
            seen.questions.push(Question {
                at: Instant::now(),
                lag: now - next,
                name,
                took: None,
                useful: false,
                ede: 0,
            });
            next += Duration::from_secs(1) / load.rate;
        }
        poll::wait(&sockets, if next < end { next.min(sample) } else { sample })?;
        for socket in &sockets {
            while let Some((length, _)) = poll::receive(socket, &mut buffer)? {
                note(&mut seen.questions, &buffer[..length], Instant::now());
            }
        }
    }
}

fn somebody_waits(questions: &[Question], now: Instant) -> bool {
    let mut recent = questions
        .iter()
        .rev()
        .take_while(|it| it.at + PATIENCE > now);
    recent.any(|it| it.took.is_none())
}

/// A query with EDNS(0), as stub resolvers send it by now.
fn query(id: u16, name: Name) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    bytes.extend(name.question());
    bytes.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// Finds the question of an answer: the latest with its ID.
fn note(questions: &mut [Question], answer: &[u8], now: Instant) {
    let (Some(end), Some(last)) = (question_end(answer), questions.len().checked_sub(1)) else {
        return;
    };
    let id = u16::from_be_bytes([answer[0], answer[1]]);
    let back = usize::from((last as u16).wrapping_sub(id));
    let Some(question) = last.checked_sub(back).map(|it| &mut questions[it]) else {
        return;
    };
    let took = now - question.at;
    if question.took.is_none() && took <= PATIENCE && answer[12..end] == question.name.question() {
        question.took = Some(took);
        question.useful = answer[3] & 0x0f == NOERROR && answer[6..8] != [0, 0];
        question.ede = ede(answer);
    }
}

/// The first Extended DNS Error of an answer whose last record is an OPT record that starts with one, as the
/// daemons here write it; 0 if there is none.
fn ede(answer: &[u8]) -> u16 {
    let opt = answer
        .windows(3)
        .rposition(|it| it == [0, 0, 41])
        .and_then(|at| answer.get(at + 11..));
    match opt {
        Some([0, 15, _, _, high, low, ..]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// Reads the counts of the namespace that this thread is in.
fn sent() -> io::Result<Sent> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let count = |way: Way| {
        let line = table
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(way.interface().as_str()))?;
        // Behind the colon: eight columns of what was received, then bytes and packets sent.
        line.trim_start_matches(':')
            .split_whitespace()
            .nth(9)?
            .parse()
            .ok()
    };
    let missing = || io::Error::other("/proc/net/dev lacks the lab's interfaces");
    Ok(Sent {
        at: Instant::now(),
        packets: [
            count(Way::A).ok_or_else(missing)?,
            count(Way::B).ok_or_else(missing)?,
        ],
    })
}
