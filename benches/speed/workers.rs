//! What a second worker adds.
//!
//! To show it takes a core for each worker and as much again for the load. With fewer, load and workers share
//! what there is: then one and two workers answer about as much, because the machine is the bound, and
//! all that shows is whether two workers that run at once make each other's answers dearer.

use std::thread;
use std::time::Duration;

use super::figures::{Cost, accounted, median};
use super::load::{Load, Outcome, Questions, queries};
use super::server::Server;
use super::upstream::Upstream;
use super::{ROUND, ROUNDS, cpu};

const NAMES: usize = 10_000;
const WORKERS: usize = 2;

/// Measures and prints.
pub fn measure() {
    let cpus = cpu::allowed();
    let apart = cpus.len() >= 2 * WORKERS;
    let (servers, loads) = match apart {
        true => cpus.split_at(WORKERS),
        false => (&cpus[..], &cpus[..]),
    };
    let upstream = Upstream::new().spawn();
    let daemon = |workers| Server::daemon(workers, servers, upstream, || {});
    let (Some(one), Some(two)) = (daemon(1), daemon(WORKERS)) else {
        return;
    };
    for server in [&one, &two] {
        let mut load = Load::new(server.address, Questions::Known(queries(NAMES)));
        assert!(
            load.ask_all(Duration::from_secs(20)),
            "every name is answered once"
        );
    }
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_one.push(accounted(&one, || saturate(&one, loads, apart)));
        of_two.push(accounted(&two, || saturate(&two, loads, apart)));
    }
    println!("Two workers against one, hits, medians of {ROUNDS} rounds");
    let ratio = |figure: fn(&Cost) -> f64| median(&of_two, figure) / median(&of_one, figure);
    println!(
        "        answers a second {:.2}, CPU per answer {:.2}",
        ratio(Cost::rate),
        ratio(Cost::each)
    );
    if !apart {
        println!(
            "        on {} cores the load takes half of them: more answers need {} cores or more to show",
            cpus.len(),
            2 * WORKERS
        );
    }
}

/// One load for each CPU, all at once. What does not have its CPU to itself leaves the workers a turn.
fn saturate(server: &Server, cpus: &[usize], apart: bool) -> Outcome {
    let between = || {
        if !apart {
            thread::yield_now();
        }
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let loads: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                scope.spawn(move || {
                    cpu::pin(&[cpu]);
                    let known = Questions::Known(queries(NAMES));
                    Load::new(server.address, known).saturate(ROUND, between)
                })
            })
            .collect();
        let ended = loads.into_iter().map(|load| load.join());
        ended.map(|load| load.expect("a load")).collect()
    });
    let mut sum = Outcome::default();
    for outcome in outcomes {
        sum.answered += outcome.answered;
        sum.lost += outcome.lost;
        sum.bad += outcome.bad;
        sum.took = sum.took.max(outcome.took);
    }
    sum
}
