//! Trouble at random, all of it from one seed.

use std::time::Duration;

use byway::config::{Config, Policy};
use byway::wire::Rcode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::clients::Load;
use super::network::{Link, unit};
use super::subject::Subject;
use super::world::{World, config};

/// Before the trouble, the trouble, and after it.
pub const CALM: Duration = Duration::from_secs(20);
pub const TROUBLE: Duration = Duration::from_secs(40);
pub const AFTER: Duration = Duration::from_secs(20);
/// With no more questions: everything under way must come to its end.
pub const DRAIN: Duration = Duration::from_secs(6);

/// One storm, as drawn from a seed.
#[derive(Clone, Debug)]
pub struct Storm {
    pub seed: u64,
    pub upstreams: usize,
    pub paths: usize,
    pub policy: Policy,
    pub load: Load,
    pub faults: Vec<Fault>,
}

/// Something goes wrong for a while.
#[derive(Clone, Debug)]
pub struct Fault {
    /// From the start.
    pub from: Duration,
    pub until: Duration,
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Swamped {
        path: usize,
        load: f64,
    },
    Lossy {
        path: usize,
        loss: f64,
    },
    Dead {
        path: usize,
    },
    Longer {
        path: usize,
        by: Duration,
    },
    Slow {
        upstream: usize,
        by: Duration,
    },
    Sick {
        upstream: usize,
        share: f64,
    },
    Silent {
        upstream: usize,
    },
    /// A firewall between the two.
    Cut {
        path: usize,
        upstream: usize,
    },
}

impl What {
    fn begin<S>(self, world: &mut World<S>) {
        let (links, upstreams) = (&mut world.links, &mut world.upstreams);
        match self {
            What::Swamped { path, load } => links[path].background = load,
            What::Lossy { path, loss } => links[path].loss = loss,
            What::Dead { path } => links[path].dead = true,
            What::Longer { path, by } => links[path].delay += by,
            What::Slow { upstream, by } => upstreams[upstream].slowness = by,
            What::Sick { upstream, share } => upstreams[upstream].sick = (share, Rcode::SERVFAIL),
            What::Silent { upstream } => upstreams[upstream].dead = true,
            What::Cut { path, upstream } => {
                world.cuts.insert((path, upstream));
            }
        }
    }

    fn end<S>(self, world: &mut World<S>) {
        let (links, upstreams) = (&mut world.links, &mut world.upstreams);
        match self {
            What::Swamped { path, .. } => links[path].background = Link::BACKGROUND,
            What::Lossy { path, .. } => links[path].loss = 0.0,
            What::Dead { path } => links[path].dead = false,
            What::Longer { path, by } => links[path].delay -= by,
            What::Slow { upstream, .. } => upstreams[upstream].slowness = Duration::ZERO,
            What::Sick { upstream, .. } => upstreams[upstream].sick.0 = 0.0,
            What::Silent { upstream } => upstreams[upstream].dead = false,
            What::Cut { path, upstream } => {
                world.cuts.remove(&(path, upstream));
            }
        }
    }

    /// Whether it touches what goes over this path to this upstream.
    pub fn touches(self, path: usize, upstream: usize) -> bool {
        match self {
            What::Swamped { path: it, .. }
            | What::Lossy { path: it, .. }
            | What::Dead { path: it }
            | What::Longer { path: it, .. } => it == path,
            What::Slow { upstream: it, .. }
            | What::Sick { upstream: it, .. }
            | What::Silent { upstream: it } => it == upstream,
            What::Cut {
                path: over,
                upstream: it,
            } => (over, it) == (path, upstream),
        }
    }
}

impl Storm {
    /// The storm of this seed.
    pub fn of(seed: u64) -> Storm {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (upstreams, paths) = (1 + below(rng, 4), 1 + below(rng, 3));
        let policies = [
            Policy::Fastest,
            Policy::Fastest,
            Policy::Ordered,
            Policy::Spread,
        ];
        let policy = policies[below(rng, 4)];
        let rate = [2.0, 10.0, 10.0, 50.0, 200.0][below(rng, 5)];
        let popular_share = [0.0, 0.5][below(rng, 2)];
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..1 + below(rng, 5) {
            let fault = Fault::draw(rng, upstreams, paths);
            // The same thing does not go wrong twice at once: its end would end both.
            let kind = |fault: &Fault| std::mem::discriminant(&fault.what);
            let overlaps = |other: &Fault| other.from < fault.until && fault.from < other.until;
            if !faults
                .iter()
                .any(|other| kind(other) == kind(&fault) && overlaps(other))
            {
                faults.push(fault);
            }
        }
        let load = Load {
            rate,
            popular: 50,
            popular_share,
        };
        Storm {
            seed,
            upstreams,
            paths,
            policy,
            load,
            faults,
        }
    }

    /// The configuration of what it rages against.
    pub fn config(&self) -> Config {
        let mut config = config(self.upstreams, self.paths);
        config.routing.policy = self.policy;
        config
    }

    /// Lets it rage around `world`, to the end of everything.
    pub fn rage<S: Subject + 'static>(&self, world: &mut World<S>) {
        for &Fault { from, until, what } in &self.faults {
            world.at(from, move |world| what.begin(world));
            world.at(until, move |world| what.end(world));
        }
        world.run(CALM + TROUBLE + AFTER);
        world.load.rate = 0.0;
        world.run(CALM + TROUBLE + AFTER + DRAIN);
    }

    /// The end of the last fault.
    pub fn healed(&self) -> Duration {
        self.faults
            .iter()
            .map(|fault| fault.until)
            .max()
            .unwrap_or(CALM)
    }
}

impl Fault {
    fn draw(rng: &mut StdRng, upstreams: usize, paths: usize) -> Fault {
        let (path, upstream) = (below(rng, paths), below(rng, upstreams));
        let share = 0.02 + 0.6 * unit(rng);
        let by = Duration::from_millis(20).mul_f64(1.0 + 20.0 * unit(rng));
        let what = match below(rng, 8) {
            0 => What::Swamped {
                path,
                load: 1.1 + 2.0 * share,
            },
            1 => What::Lossy { path, loss: share },
            2 => What::Dead { path },
            3 => What::Longer { path, by },
            4 => What::Slow { upstream, by },
            5 => What::Sick {
                upstream,
                share: (2.0 * share).min(1.0),
            },
            6 => What::Silent { upstream },
            _ => What::Cut { path, upstream },
        };
        let from = CALM + TROUBLE.mul_f64(0.6 * unit(rng));
        let lasts = Duration::from_secs_f64(0.2 + 15.0 * unit(rng));
        Fault {
            from,
            until: (from + lasts).min(CALM + TROUBLE),
            what,
        }
    }
}

fn below(rng: &mut StdRng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}
