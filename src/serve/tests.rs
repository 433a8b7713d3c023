//! Real sockets on loopback, and a service that does what the first label of the name says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::LocalSet;

use super::*;
use crate::config::{CacheConfig, Listen, Routing};
use crate::observe::metrics::{CacheSample, EngineSample, Metrics, Roster, Sources};
use crate::observe::top::Top;
use crate::resolve::front::Turn;
use crate::wire::Query;

mod bind;
mod stream;
mod udp;

/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A front end on loopback with the service below.
struct Rig {
    front: Rc<Front>,
    service: Rc<Puppet>,
    metrics: Metrics,
    address: SocketAddr,
}

/// What a test may set.
struct Setup {
    listen: IpAddr,
    limits: Limits,
    allow: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            listen: [127, 0, 0, 1].into(),
            limits: Limits::default(),
            allow: vec!["127.0.0.0/8", "::1/128"],
        }
    }
}

/// Runs `test` on a worker's runtime, with a front end of this setup.
fn with(setup: Setup, test: impl AsyncFnOnce(&Rig)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let rig = Rig::new(setup);
        tokio::time::timeout(PATIENCE, test(&rig))
            .await
            .expect("the test hangs");
    });
}

impl Rig {
    fn new(setup: Setup) -> Rig {
        let listen = vec![Listen {
            address: (setup.listen, 0).into(),
            udp: true,
            tcp: true,
            tls: false,
        }];
        let listeners = Listeners::bind(&listen, &setup.limits).unwrap();
        let address = listeners.listen()[0].address;
        let config = Config {
            workers: 1,
            listen,
            certificates: Vec::new(),
            paths: Vec::new(),
            upstreams: Vec::new(),
            zones: Vec::new(),
            special: crate::config::SpecialNames::default(),
            guards: Vec::new(),
            dns64: None,
            records: Vec::new(),
            hosts: None,
            hosts_ttl: std::time::Duration::from_secs(10),
            link_domains: false,
            identity: None,
            routing: Routing::default(),
            cache: CacheConfig::default(),
            recorder: crate::config::RecorderConfig::default(),
            top: crate::config::TopConfig::default(),
            query_log: crate::config::QueryLogConfig::default(),
            admin: None,
            control: None,
            limits: setup.limits,
            allow: setup
                .allow
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
        };
        let roster = Roster {
            listeners: vec![address.to_string()],
            ..Roster::default()
        };
        let sources = Sources {
            cache: Box::new(CacheSample::default),
            guard: Box::new(|| None),
            engine: Box::new(EngineSample::default),
            snapshot: None,
            recorder: None,
            query_log: None,
        };
        let metrics = Metrics::new(roster, &config.limits, sources).unwrap();
        let clock = Clock::start();
        let connections = Connections::new(&config.limits);
        let worker = Rc::new(metrics.worker());
        let top = Top::new(&config.top, 1, clock.now());
        let front = Front::new(
            listeners,
            &config,
            (connections, Proofs::new([0; 16])),
            worker,
            top.sampler(1),
            None,
            clock,
        );
        let service = Rc::new(Puppet::new(&front, clock));
        let spawn = |_, task| tokio::task::spawn_local(task).abort_handle();
        front.open(&service, spawn).unwrap();
        Rig {
            front,
            service,
            metrics,
            address,
        }
    }

    /// The value of a series, which must be there; `series` is the start of its line up to the value.
    fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.text();
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no series {series} in\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.metric(&format!("byway_dropped_total{{reason=\"{reason}\"}}"))
    }

    fn queries(&self, transport: &str, result: &str) -> u64 {
        let listener = self.address;
        self.metric(&format!(
            "byway_queries_total{{listener=\"{listener}\",transport=\"{transport}\",result=\"{result}\"}}"
        ))
    }

    /// Waits until `is_so`, which something else on this thread brings about.
    async fn until(&self, mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Answers as the first label says: `hit` at once, `late-20` after 20 ms, `big-3000` at once with 3000
/// octets (as many as fit, with TC, if they do not), `lost` never although an asker was taken, `held` when
/// the test says so, `panic` not at all.
struct Puppet {
    front: Rc<Front>,
    clock: Clock,
    held: RefCell<Vec<(Asker, Vec<u8>)>>,
    /// The limits of the queries so far.
    limits: RefCell<Vec<usize>>,
    /// The most askers out at a time, and now.
    most: Cell<usize>,
    out: Rc<Cell<usize>>,
}

impl Puppet {
    fn new(front: &Rc<Front>, clock: Clock) -> Puppet {
        Puppet {
            front: Rc::clone(front),
            clock,
            held: RefCell::default(),
            limits: RefCell::default(),
            most: Cell::new(0),
            out: Rc::default(),
        }
    }

    /// Answers the queries held, the last first.
    fn release(&self) {
        while let Some((asker, answer)) = self.held.borrow_mut().pop() {
            reply(&self.front, asker, &answer, self.clock.now());
        }
        self.front.flush();
    }
}

fn reply(front: &Front, asker: Asker, answer: &[u8], now: Time) {
    front.reply(asker, QueryResult::Miss, now, &mut |out, limit| {
        assert!(answer.len() <= limit && limit <= out.len());
        out[..answer.len()].copy_from_slice(answer);
        answer.len()
    });
}

impl Service for Puppet {
    fn ask(
        &self,
        query: &Query<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        assert!(out.len() >= limit);
        self.limits.borrow_mut().push(limit);
        let key = query.key();
        let name = key.name();
        let label = std::str::from_utf8(&name[1..1 + usize::from(name[0])]).unwrap();
        let (verb, number) = label.split_once('-').unwrap_or((label, "0"));
        let number: usize = number.parse().unwrap();
        let answer = answer(query.asked.id, query.asked.question, number);
        match verb {
            "hit" => {
                out[..answer.len()].copy_from_slice(&answer);
                Turn::Answer {
                    length: answer.len(),
                    result: QueryResult::Hit,
                }
            }
            "big" => {
                let length = answer.len().min(limit);
                out[..length].copy_from_slice(&answer[..length]);
                if length < answer.len() {
                    out[2] |= 0x02;
                }
                Turn::Answer {
                    length,
                    result: QueryResult::Hit,
                }
            }
            "late" => {
                let asker = asker();
                self.out.set(self.out.get() + 1);
                self.most.set(self.most.get().max(self.out.get()));
                let (front, clock, out) =
                    (Rc::clone(&self.front), self.clock, Rc::clone(&self.out));
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(Duration::from_millis(number as u64)).await;
                    out.set(out.get() - 1);
                    reply(
                        &front,
                        asker,
                        &answer[..answer.len().min(100)],
                        now.max(clock.now()),
                    );
                    front.flush();
                });
                Turn::Pending
            }
            "held" => {
                self.held.borrow_mut().push((asker(), answer));
                Turn::Pending
            }
            "lost" => {
                drop(asker());
                Turn::Pending
            }
            "panic" => panic!("as the test asked for"),
            other => panic!("unknown verb {other}"),
        }
    }

    fn end_of_turn(&self, _: Time) {}
}

/// A response to `question`, of at least `length` octets.
fn answer(id: u16, question: &[u8], length: usize) -> Vec<u8> {
    let mut answer = id.to_be_bytes().to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    answer.extend(question);
    answer.resize(answer.len().max(length), 0xaa);
    answer
}

/// A query for `label`.test., type A.
fn query(id: u16, label: &str) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.push(label.len() as u8);
    query.extend(label.as_bytes());
    query.extend(b"\x04test\x00\x00\x01\x00\x01");
    query
}

/// The same with an OPT record that offers `payload` octets.
fn query_edns(id: u16, label: &str, payload: u16) -> Vec<u8> {
    let mut query = query(id, label);
    query[11] = 1;
    query.extend([0, 0, 41]);
    query.extend(payload.to_be_bytes());
    query.extend([0; 6]);
    query
}

/// ID and rcode of a message that must be a response.
fn read(message: &[u8]) -> (u16, u8) {
    assert!(
        message.len() >= 12 && message[2] & 0x80 != 0,
        "no response: {message:?}"
    );
    (
        u16::from_be_bytes([message[0], message[1]]),
        message[3] & 0x0f,
    )
}

const NOERROR: u8 = 0;
const REFUSED: u8 = 5;
