//! Cache misses: every question is new, the upstream answers at once.
//!
//! Load and upstream take turns in one thread on the load's CPU; only the server's own CPU time is counted.

use super::figures::{Cost, accounted, median, ratio};
use super::load::{Load, Questions};
use super::server::Server;
use super::upstream::Upstream;
use super::{PART_LOAD, ROUND, ROUNDS, cpu};

/// What one kind of server achieved, round by round.
struct Row {
    name: &'static str,
    server: Server,
    load: Load,
    busy: Vec<Cost>,
    part: Vec<Cost>,
}

/// Measures and prints.
pub fn measure() {
    cpu::pin(cpu::LOAD);
    let mut upstream = Upstream::new();
    let address = upstream.address();
    let servers = [
        ("bare", Some(Server::own("serve-bare"))),
        (
            "byway",
            Server::daemon(1, cpu::SERVER, address, || upstream.turn()),
        ),
    ];
    let mut rows: Vec<Row> = servers
        .into_iter()
        .filter_map(|(name, server)| Some(Row::new(name, server?)))
        .collect();
    for round in 0..=ROUNDS {
        for row in &mut rows {
            let (busy, part) = row.round(|| upstream.turn());
            // The first round only shows how much the upstream takes.
            if round > 0 {
                row.busy.push(busy);
                row.part.push(part);
            }
        }
    }
    print(&rows);
}

impl Row {
    fn new(name: &'static str, server: Server) -> Row {
        Row {
            name,
            load: Load::new(server.address, Questions::New),
            server,
            busy: Vec::new(),
            part: Vec::new(),
        }
    }

    fn round(&mut self, mut between: impl FnMut()) -> (Cost, Cost) {
        let Row { server, load, .. } = self;
        (
            accounted(server, || load.saturate(ROUND, &mut between)),
            accounted(server, || load.steady(PART_LOAD, ROUND, &mut between)),
        )
    }
}

fn print(rows: &[Row]) {
    println!(
        "Misses, each question new, medians of {ROUNDS} rounds, and ratios to the bare loop, which has no upstream"
    );
    println!(
        "{:8}{:>17}{:>15}{:>6}{:>16}{:>18}{:>9}{:>7}{:>8}{:>8}",
        "", "busy: q/s", "us/q", "cpu", "20 k/s: us/q", "median us", "p99 us", "MiB", "lost", "bad"
    );
    let bare = &rows[0];
    for row in rows {
        let capacity = median(&row.busy, Cost::rate);
        let busy = median(&row.busy, Cost::each);
        let part = median(&row.part, Cost::each);
        let latency = median(&row.part, |cost| cost.latency(0.5));
        let costs = || row.busy.iter().chain(&row.part);
        println!(
            "{:8}{capacity:>11.0}{:>6.2}{busy:>9.2}{:>6.2}{:>5.0}%{part:>10.2}{:>6.2}{latency:>12.1}{:>6.2}\
             {:>9.1}{:>7.1}{:>8}{:>8}",
            row.name,
            ratio(capacity, &bare.busy, Cost::rate),
            ratio(busy, &bare.busy, Cost::each),
            median(&row.busy, Cost::share) * 100.0,
            ratio(part, &bare.part, Cost::each),
            ratio(latency, &bare.part, |cost| cost.latency(0.5)),
            median(&row.part, |cost| cost.latency(0.99)),
            cpu::resident(row.server.pid()) as f64 / f64::from(1 << 20),
            costs().map(|cost| cost.outcome.lost).sum::<u64>(),
            costs().map(|cost| cost.outcome.bad).sum::<u64>(),
        );
    }
}
