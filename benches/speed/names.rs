//! What it costs to know of many names: a daemon with a thousand zones, a hundred thousand names in the host's file and a guard,
//! against one without any, in turns.

use std::fmt::Write as _;
use std::io::Write as _;

use super::figures::{Cost, accounted};
use super::load::{Load, Questions, queries};
use super::server::Server;
use super::upstream::Upstream;
use super::{ROUND, ROUNDS, cpu};

const ZONES: usize = 1_000;
const HOSTS: usize = 100_000;
/// Names that are asked for again and again.
const NAMES: usize = 10_000;

struct Row {
    name: &'static str,
    server: Server,
    hits: Load,
    misses: Load,
    /// CPU time for each answer, round by round.
    hit: Vec<f64>,
    miss: Vec<f64>,
}

/// Measures and prints.
pub fn measure() {
    cpu::pin(cpu::LOAD);
    let mut upstream = Upstream::new();
    let address = upstream.address();
    let mut hosts = tempfile::NamedTempFile::new().expect("a file");
    for number in 0..HOSTS {
        let [_, b, c, d] = (number as u32).to_be_bytes();
        writeln!(hosts, "10.{b}.{c}.{d} h{number}.hosts.example").expect("room for a file");
    }
    hosts.flush().expect("room for a file");
    let mut many = format!("[host]\nhosts = \"{}\"\n", hosts.path().display());
    for number in 0..ZONES {
        // As deep as they come, so that a name takes all its steps.
        let _ = write!(many, "[[zone]]\nname = \"z{number}.corp.zones.example\"\n");
    }
    let guard = |zone: &str| format!("[[guard]]\nzones = [\"{zone}\", \"svc.internal\"]\n");
    let none = "[host]\nhosts = \"off\"\n".to_owned();
    let (beside, under) = (guard("other.example"), guard("bench.example"));
    let mut rows = Vec::new();
    for (name, text) in [
        ("none", none.clone()),
        ("many", many.clone() + &beside),
        ("under", many + &under),
        ("none", none),
    ] {
        let server = Server::daemon_with(1, cpu::SERVER, address, &text, || upstream.turn());
        let Some(server) = server else { return };
        rows.push(Row {
            name,
            hits: Load::new(server.address, Questions::Known(queries(NAMES))),
            misses: Load::new(server.address, Questions::New),
            server,
            hit: Vec::new(),
            miss: Vec::new(),
        });
    }
    for round in 0..=2 * ROUNDS {
        for row in &mut rows {
            let server = &row.server;
            let hit = accounted(server, || row.hits.saturate(ROUND / 2, || upstream.turn()));
            let miss = accounted(server, || {
                row.misses.saturate(ROUND / 2, || upstream.turn())
            });
            // The first round fills the cache.
            if round > 0 {
                row.hit.push(Cost::each(&hit));
                row.miss.push(Cost::each(&miss));
            }
        }
    }
    println!(
        "Many names: {ZONES} zones, {HOSTS} names of the host's file, a guard; CPU for an answer against a daemon without any, \
         medians of the ratios of {} rounds of {:?}",
        2 * ROUNDS,
        ROUND / 2
    );
    println!(
        "{:44}{:>8}{:>8}{:>8}{:>8}",
        "", "hit us", "ratio", "miss us", "ratio"
    );
    for row in &rows[1..] {
        let what = match row.name {
            "many" => "names that nothing is known of",
            "under" => "names under guard",
            _ => "a second daemon without any (noise)",
        };
        println!(
            "{what:44}{:>8.2}{:>8.3}{:>8.2}{:>8.3}",
            middle(row.hit.clone()),
            paired(&row.hit, &rows[0].hit),
            middle(row.miss.clone()),
            paired(&row.miss, &rows[0].miss),
        );
    }
}

fn paired(one: &[f64], other: &[f64]) -> f64 {
    middle(
        one.iter()
            .zip(other)
            .map(|(one, other)| one / other)
            .collect(),
    )
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
