//! What byway costs, as ratios in one run: `cargo bench --bench speed`, or a part of it,
//! `cargo bench --bench speed -- misses start`.
//!
//! Servers run on CPU 0, one at a time and in turns, the load on CPU 1. `bare` answers without looking;
//! `front` is byway's front end with a service that does the same; `byway` is the daemon. The program named
//! by BYWAY is measured, or this build's.

mod bare;
mod cpu;
mod figures;
mod front;
mod hits;
mod load;
mod misses;
mod names;
mod server;
mod start;
mod upstream;
mod watch;
mod workers;

use std::time::Duration;

/// Rounds, of which the median counts, and the length of each.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

/// Queries a second at part load; the headings say so.
const PART_LOAD: u32 = 20_000;

/// The parts, in the order in which they run.
const PARTS: [(&str, fn()); 6] = [
    ("hits", hits::measure),
    ("misses", misses::measure),
    ("names", names::measure),
    ("start", start::measure),
    ("workers", workers::measure),
    ("watch", watch::measure),
];

fn main() {
    // `cargo bench` adds options of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    match words.first().map(String::as_str) {
        Some("serve-bare") => {
            let anywhere = "127.0.0.1:0".to_owned();
            let address = words.get(1).unwrap_or(&anywhere).parse();
            bare::serve(address.expect("an address"))
        }
        Some("serve-front") => front::serve(),
        _ => measure(&words),
    }
}

fn measure(words: &[String]) {
    let all = cpu::allowed();
    if all.len() < 2 {
        return println!("not measured: server and load need a CPU each");
    }
    for (name, part) in PARTS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            part();
            cpu::pin(&all);
        }
    }
}
