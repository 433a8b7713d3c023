//! What a cache hit costs: `cargo bench --bench speed`.
//!
//! Servers run on CPU 0, one at a time and in turns, the load on CPU 1. `bare` answers without looking;
//! `front` is byway's front end with a service that does the same; `byway` is the daemon, its cache
//! filled with 10,000 names. The program named by BYWAY is measured, or this build's.

#[path = "common/mod.rs"]
mod common;

use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use byway::clock::{Clock, Time};
use byway::config::{CacheConfig, Config, Limits, Listen, Routing};
use byway::observe::metrics::{CacheSample, EngineSample, Metrics, QueryResult, Roster, Sources};
use byway::resolve::front::{Asker, Service, Turn};
use byway::serve::{Connections, Front, Listeners};
use byway::wire::Query;
use common::load::{Load, Outcome, saturate_streams};
use common::{Server, bare, cpu, median};

/// Rounds, of which the median counts, and the length of each.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

/// Names in the cache.
const NAMES: usize = 10_000;

/// Queries a second at part load; the heading says so.
const PART_LOAD: u32 = 20_000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("serve-bare") => bare::serve(),
        Some("serve-front") => serve_front(),
        _ => measure(),
    }
}

/// What one kind of server achieved, round by round.
struct Row {
    name: &'static str,
    /// Answers a second, and microseconds of CPU for each, of a server that is kept busy.
    capacity: Vec<f64>,
    busy_cost: Vec<f64>,
    /// Microseconds of CPU for each query and of latency, median and 99th percentile, at part load.
    part_cost: Vec<f64>,
    latency: Vec<f64>,
    tail: Vec<f64>,
    /// Share of its CPU that the server used when kept busy.
    busy: Vec<f64>,
    /// Microseconds of CPU for each answer over pipelined connections; none of the bare loop, which has no
    /// TCP.
    stream_cost: Vec<f64>,
    lost: u64,
    bad: u64,
    /// Resident bytes at the end.
    resident: u64,
}

fn measure() {
    cpu::pin(common::LOAD_CPU);
    let queries = common::queries(NAMES);
    let mut rows = Vec::new();
    let mut servers = Vec::new();
    for (name, server) in [
        ("bare", Some(Server::start(own("serve-bare")))),
        ("front", Some(Server::start(own("serve-front")))),
        ("byway", daemon()),
    ] {
        if let Some(server) = server {
            servers.push(server);
            rows.push(Row::new(name));
        }
    }
    let mut loads: Vec<Load<'_>> = servers
        .iter()
        .map(|server| Load::new(server.address, &queries))
        .collect();
    for load in &mut loads {
        assert!(
            load.ask_all(Duration::from_secs(20)),
            "every name is answered once"
        );
    }
    for _ in 0..ROUNDS {
        for (row, (load, server)) in rows.iter_mut().zip(loads.iter_mut().zip(&servers)) {
            row.round(load, server);
            if row.name != "bare" {
                row.stream_round(server, &queries);
            }
        }
    }
    print(&rows);
}

/// This program in another part.
fn own(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(part);
    command
}

/// The daemon with one worker and an upstream of this process, if there is a daemon.
fn daemon() -> Option<Server> {
    let program = std::env::var_os("BYWAY").unwrap_or(OsString::from(env!("CARGO_BIN_EXE_byway")));
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let upstream = upstream();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(
        file,
        "version = 1\nworkers = 1\n[[listen]]\naddress = \"{address}\"\n\
         [[upstream]]\nname = \"bench\"\naddress = \"{upstream}\"\n"
    )
    .expect("room for a file");
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(file.path());
    let server = Server::start_at(command, address);
    if answers(address) {
        return Some(server);
    }
    eprintln!("the daemon does not answer; measured without it");
    None
}

/// Whether a server comes to answer within a few seconds.
fn answers(address: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a timeout");
    (0..50).any(|_| {
        let query = &common::queries(1)[0];
        let sent = socket.send_to(query, address);
        let heard = sent.and_then(|_| socket.recv(&mut [0; 512])).is_ok();
        if !heard {
            std::thread::sleep(Duration::from_millis(20));
        }
        heard
    })
}

/// An upstream that answers whatever it is asked, for as long as this process lives.
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut query, mut answer) = ([0; 4096], [0; 4096]);
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            // The OPT record, if there is one, is not repeated.
            let end = query[12..length].iter().position(|&octet| octet == 0);
            let end = end.map_or(length, |root| 12 + root + 5);
            query[11] = 0;
            let length = bare::answer(&query[..end], &mut answer);
            let _ = socket.send_to(&answer[..length], from);
        }
    });
    address
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row {
            name,
            capacity: Vec::new(),
            busy_cost: Vec::new(),
            part_cost: Vec::new(),
            latency: Vec::new(),
            tail: Vec::new(),
            busy: Vec::new(),
            stream_cost: Vec::new(),
            lost: 0,
            bad: 0,
            resident: 0,
        }
    }

    fn round(&mut self, load: &mut Load<'_>, server: &Server) {
        let (outcome, used) = accounted(server, || load.saturate(ROUND));
        self.capacity
            .push(outcome.answered as f64 / outcome.took.as_secs_f64());
        self.busy_cost.push(cost(&outcome, used));
        self.busy
            .push(used.as_secs_f64() / outcome.took.as_secs_f64());
        self.note(&outcome);
        let (outcome, used) = accounted(server, || load.steady(PART_LOAD, ROUND));
        self.part_cost.push(cost(&outcome, used));
        let at = |share: f64| {
            let last = outcome.latencies.len().saturating_sub(1);
            let i = (last as f64 * share) as usize;
            outcome
                .latencies
                .get(i)
                .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
        };
        self.latency.push(at(0.5));
        self.tail.push(at(0.99));
        self.note(&outcome);
        self.resident = cpu::resident(server.pid());
    }

    fn stream_round(&mut self, server: &Server, queries: &[Vec<u8>]) {
        let load = || saturate_streams(server.address, queries, ROUND);
        let (outcome, used) = accounted(server, load);
        self.stream_cost.push(cost(&outcome, used));
        self.note(&outcome);
    }

    fn note(&mut self, outcome: &Outcome) {
        self.lost += outcome.lost;
        self.bad += outcome.bad;
    }
}

/// Runs a load; what came of it, and the CPU time that the server used.
fn accounted(server: &Server, load: impl FnOnce() -> Outcome) -> (Outcome, Duration) {
    let before = cpu::used(server.pid());
    let outcome = load();
    (outcome, cpu::used(server.pid()) - before)
}

/// Microseconds of CPU per answer.
fn cost(outcome: &Outcome, used: Duration) -> f64 {
    used.as_secs_f64() * 1e6 / outcome.answered as f64
}

fn print(rows: &[Row]) {
    println!("Hits, {NAMES} names, medians of {ROUNDS} rounds; ratios to the bare loop");
    println!(
        "{:8}{:>17}{:>15}{:>6}{:>16}{:>18}{:>9}{:>10}{:>7}{:>6}{:>5}",
        "",
        "busy: q/s",
        "us/q",
        "cpu",
        "20 k/s: us/q",
        "median us",
        "p99 us",
        "tcp us/q",
        "MiB",
        "lost",
        "bad"
    );
    let first = &rows[0];
    for row in rows {
        let column = |of: fn(&Row) -> &Vec<f64>| {
            let value = median(of(row));
            (value, value / median(of(first)))
        };
        let (capacity, capacity_ratio) = column(|row| &row.capacity);
        let (busy, busy_ratio) = column(|row| &row.busy_cost);
        let (part, part_ratio) = column(|row| &row.part_cost);
        let (latency, latency_ratio) = column(|row| &row.latency);
        let stream = row.stream_cost.is_empty().then(|| "-".to_owned());
        println!(
            "{:8}{capacity:>11.0}{capacity_ratio:>6.2}{busy:>9.2}{busy_ratio:>6.2}{:>5.0}%{part:>10.2}\
             {part_ratio:>6.2}{latency:>12.1}{latency_ratio:>6.2}{:>9.1}{:>10}{:>7.1}{:>6}{:>5}",
            row.name,
            median(&row.busy) * 100.0,
            median(&row.tail),
            stream.unwrap_or_else(|| format!("{:.2}", median(&row.stream_cost))),
            row.resident as f64 / f64::from(1 << 20),
            row.lost,
            row.bad,
        );
    }
}

/// byway's front end with a service that answers without looking, on a new port of loopback.
fn serve_front() {
    let limits = Limits::default();
    let listen = vec![Listen {
        address: ([127, 0, 0, 1], 0).into(),
        udp: true,
        tcp: true,
    }];
    let listeners = Listeners::bind(&listen, &limits).expect("a port");
    let address = listeners.listen()[0].address;
    let config = Config {
        workers: 1,
        listen,
        paths: Vec::new(),
        upstreams: Vec::new(),
        routing: Routing::default(),
        cache: CacheConfig::default(),
        admin: None,
        limits,
        allow: vec!["127.0.0.0/8".parse().expect("a prefix")],
    };
    let roster = Roster {
        listeners: vec![address.to_string()],
        ..Roster::default()
    };
    let sources = Sources {
        cache: Box::new(CacheSample::default),
        engine: Box::new(EngineSample::default),
        snapshot: None,
    };
    let metrics = Metrics::new(roster, &config.limits, sources).expect("one listener");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clock = Clock::start();
        let worker = Rc::new(metrics.worker(clock.now()));
        let connections = Connections::new(4096, 4096);
        let front = Front::new(listeners, &config, connections, worker, clock);
        front
            .open(&Rc::new(Blind))
            .expect("a runtime that watches sockets");
        println!("{address}");
        std::future::pending::<()>().await;
    });
}

/// Answers without looking.
struct Blind;

impl Service for Blind {
    fn ask(
        &self,
        query: &Query<'_>,
        _: impl FnOnce() -> Asker,
        _: Time,
        _: usize,
        out: &mut [u8],
    ) -> Turn {
        let mut bytes = [0; 512];
        let question = query.asked.question;
        bytes[..2].copy_from_slice(&query.asked.id.to_be_bytes());
        bytes[5] = 1;
        bytes[12..12 + question.len()].copy_from_slice(question);
        let length = bare::answer(&bytes[..12 + question.len()], out);
        Turn::Answer {
            length,
            result: QueryResult::Hit,
        }
    }

    fn end_of_turn(&self, _: Time) {}
}
