//! Cache hits: a server kept busy, one with room left, and pipelined TCP.

use std::time::Duration;

use super::figures::{Cost, accounted, median, ratio};
use super::load::{Load, Questions, queries, saturate_streams};
use super::server::Server;
use super::upstream::Upstream;
use super::{PART_LOAD, ROUND, ROUNDS, cpu};

/// Names in the cache.
const NAMES: usize = 10_000;

/// What one kind of server achieved, round by round.
struct Row {
    name: &'static str,
    server: Server,
    load: Load,
    busy: Vec<Cost>,
    part: Vec<Cost>,
    /// Over pipelined connections; none of the bare loop, which has no TCP.
    streams: Vec<Cost>,
}

/// Measures and prints.
pub fn measure() {
    cpu::pin(cpu::LOAD);
    let upstream = Upstream::new().spawn();
    let servers = [
        ("bare", Some(Server::own("serve-bare"))),
        ("front", Some(Server::own("serve-front"))),
        ("byway", Server::daemon(1, cpu::SERVER, upstream, || {})),
    ];
    let mut rows: Vec<Row> = servers
        .into_iter()
        .filter_map(|(name, server)| Some(Row::new(name, server?)))
        .collect();
    for row in &mut rows {
        assert!(
            row.load.ask_all(Duration::from_secs(20)),
            "every name is answered once"
        );
    }
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.round();
        }
    }
    print(&rows);
}

impl Row {
    fn new(name: &'static str, server: Server) -> Row {
        Row {
            name,
            load: Load::new(server.address, Questions::Known(queries(NAMES))),
            server,
            busy: Vec::new(),
            part: Vec::new(),
            streams: Vec::new(),
        }
    }

    fn round(&mut self) {
        let Row { server, load, .. } = self;
        self.busy
            .push(accounted(server, || load.saturate(ROUND, || {})));
        self.part
            .push(accounted(server, || load.steady(PART_LOAD, ROUND, || {})));
        if self.name != "bare" {
            let queries = queries(NAMES);
            let load = || saturate_streams(server.address, &queries, ROUND);
            self.streams.push(accounted(server, load));
        }
    }

    fn costs(&self) -> impl Iterator<Item = &Cost> {
        self.busy.iter().chain(&self.part).chain(&self.streams)
    }
}

fn print(rows: &[Row]) {
    println!("Hits, {NAMES} names, medians of {ROUNDS} rounds, and ratios to the bare loop");
    println!(
        "{:8}{:>17}{:>15}{:>6}{:>16}{:>18}{:>9}{:>10}{:>7}{:>8}{:>8}",
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
    let bare = &rows[0];
    for row in rows {
        let capacity = median(&row.busy, Cost::rate);
        let busy = median(&row.busy, Cost::each);
        let part = median(&row.part, Cost::each);
        let latency = median(&row.part, |cost| cost.latency(0.5));
        let streams = match row.streams.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.2}", median(&row.streams, Cost::each)),
        };
        println!(
            "{:8}{capacity:>11.0}{:>6.2}{busy:>9.2}{:>6.2}{:>5.0}%{part:>10.2}{:>6.2}{latency:>12.1}{:>6.2}\
             {:>9.1}{streams:>10}{:>7.1}{:>8}{:>8}",
            row.name,
            ratio(capacity, &bare.busy, Cost::rate),
            ratio(busy, &bare.busy, Cost::each),
            median(&row.busy, Cost::share) * 100.0,
            ratio(part, &bare.part, Cost::each),
            ratio(latency, &bare.part, |cost| cost.latency(0.5)),
            median(&row.part, |cost| cost.latency(0.99)),
            cpu::resident(row.server.pid()) as f64 / f64::from(1 << 20),
            row.costs().map(|cost| cost.outcome.lost).sum::<u64>(),
            row.costs().map(|cost| cost.outcome.bad).sum::<u64>(),
        );
    }
}
