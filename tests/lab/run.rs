//! One row: the daemon is started and warmed up, the fault comes and goes, everything is written down.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Load, Loads, Seen};
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
    /// What is asked during the fault.
    pub during: Load,
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
    /// Its metrics, if it has any, as the fault begins, as it ends, and at the end.
    pub metrics: Option<[String; 3]>,
}

impl Run {
    /// How much the series of this name that have this label grew during the fault; not a number for a
    /// daemon without metrics.
    pub fn during(&self, name: &str, label: &str) -> f64 {
        let Some([before, after, _]) = &self.metrics else {
            return f64::NAN;
        };
        let sum = |page: &str| -> f64 {
            let lines = page
                .lines()
                .filter(|it| it.starts_with(name) && it.contains(label));
            lines
                .filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        sum(after) - sum(before)
    }
}

/// Does it. `serial` tells labs of one process apart.
pub fn run(plan: &Plan, serial: usize) -> io::Result<Run> {
    let links = Links::default();
    let topology = Topology::build(serial, links)?;
    let upstreams = Upstreams::start(&topology)?;
    upstreams.set(plan.fault.usual());
    let mut daemon = Daemon::start(&topology, plan.program, plan.layout)?;

    let start = Instant::now() + Duration::from_millis(100);
    let broken = start + plan.times.warm;
    let healed = broken + plan.times.fault;
    let end = healed + plan.times.heal;
    let loads = Loads {
        usual: plan.load,
        during: plan.during,
        fault: (broken, healed),
    };
    let seed = plan.seed;
    let clients = topology.spawn(Place::Near, "clients", move || {
        client::ask(loads, start, end, seed)
    })?;
    let mut scene = Scene::new(&topology, &upstreams, links, seed);
    let page = |daemon: &Daemon| match plan.program {
        Program::Byway => daemon.metrics(&topology),
        _ => Ok(String::new()),
    };
    let mut pages = Vec::new();
    let turns = plan.fault.turns(plan.times.fault);
    for (number, &(turn, on)) in turns.iter().enumerate() {
        let at = broken + turn;
        if number == 0 || number + 1 == turns.len() {
            // A page takes its time, and is about the moment before.
            let before = at - Duration::from_millis(50);
            thread::sleep(before.saturating_duration_since(Instant::now()));
            pages.push(page(&daemon)?);
        }
        thread::sleep(at.saturating_duration_since(Instant::now()));
        match on {
            true => scene.begin(plan.fault)?,
            false => scene.end(plan.fault)?,
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
    pages.push(page(&daemon)?);
    let metrics = match plan.program {
        Program::Byway => pages.try_into().ok(),
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
