//! One row: the daemon is started and warmed up, the fault comes and goes, everything is written down.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Load, Seen};
use crate::daemon::{Daemon, Layout, Line, Program};
use crate::fault::{Fault, Scene};
use crate::topology::{Links, Place, Topology, join};
use crate::upstream::{Arrival, Upstreams};

/// How long each part of a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Health before the fault: caches and baselines settle.
    pub warm: Duration,
    /// The fault.
    pub fault: Duration,
    /// Health behind it.
    pub heal: Duration,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The daemon.
    pub program: Program,
    /// Its upstreams.
    pub layout: Layout,
    /// What is asked.
    pub load: Load,
    /// What goes wrong.
    pub fault: Fault,
    /// When.
    pub times: Times,
    /// Of the names asked for and the noise.
    pub seed: u64,
}

/// What was seen.
pub struct Run {
    /// The first question.
    pub start: Instant,
    /// The fault begins.
    pub broken: Instant,
    /// The fault ends.
    pub healed: Instant,
    /// The last question.
    pub end: Instant,
    /// The clients' view.
    pub seen: Seen,
    /// The upstreams' view.
    pub arrivals: Vec<Arrival>,
    /// The daemon's log.
    pub log: Vec<Line>,
    /// Its metrics at the end, if it has any.
    pub metrics: Option<String>,
}

/// Does it. `serial` tells labs of one process apart.
pub fn run(plan: &Plan, serial: usize) -> io::Result<Run> {
    let links = Links::default();
    let topology = Topology::build(serial, links)?;
    let upstreams = Upstreams::start(&topology)?;
    let mut daemon = Daemon::start(&topology, plan.program, plan.layout)?;

    let start = Instant::now() + Duration::from_millis(100);
    let broken = start + plan.times.warm;
    let healed = broken + plan.times.fault;
    let end = healed + plan.times.heal;
    let (load, seed) = (plan.load, plan.seed);
    let clients = topology.spawn(Place::Near, "clients", move || {
        client::ask(load, start, end, seed)
    })?;
    let mut scene = Scene::new(&topology, &upstreams, links, seed);
    for (turn, on) in plan.fault.turns(plan.times.fault) {
        thread::sleep((broken + turn).saturating_duration_since(Instant::now()));
        match on {
            true => scene.begin(plan.fault)?,
            false => scene.end()?,
        }
    }
    let seen = join(clients)?;
    if !daemon.runs() {
        let last = daemon.log().into_iter().rev().take(20).map(|it| it.text);
        let last: Vec<_> = last.collect();
        return Err(io::Error::other(format!(
            "the daemon has ended; newest first:\n{}",
            last.join("\n")
        )));
    }
    let metrics = match plan.program {
        Program::Byway => Some(daemon.metrics(&topology)?),
        _ => None,
    };
    let log = daemon.log();
    drop(daemon);
    Ok(Run {
        start,
        broken,
        healed,
        end,
        seen,
        arrivals: upstreams.finish()?,
        log,
        metrics,
    })
}
