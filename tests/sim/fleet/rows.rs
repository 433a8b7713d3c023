//! What a fleet must reach, in a world of two servers over two paths.
//!
//! Each figure is wanted of every size ([`all`]). Where a size falls short of it, what it reaches, with some room, stands
//! beside what is wanted ([`short`]), and must not be lost.

use std::time::Duration;

use super::{Chance, Fleet, Seen};
use crate::sim::clients::Load;
use crate::sim::resolver::Resolver;
use crate::sim::rows::number;
use crate::sim::subject::Subject;
use crate::sim::world::{World, config};
use byway::clock::Time;

const SECOND: Duration = Duration::from_secs(1);
/// The trouble begins and ends, and the run ends.
const BEGIN: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(50);
const STOP: Duration = Duration::from_secs(65);
/// What was asked before this has been answered by then, or never will be.
const DECIDED: Duration = Duration::from_secs(60);

/// So many hosts, each of which asks so many questions a second, all for new names.
#[derive(Clone, Copy, Debug)]
struct Size {
    hosts: usize,
    rate: f64,
}

const SIZES: [Size; 3] = [
    Size {
        hosts: 200,
        rate: 2.0,
    },
    Size {
        hosts: 60,
        rate: 10.0,
    },
    Size {
        hosts: 15,
        rate: 50.0,
    },
];

/// What the servers answer, and the paths carry, at first: so many times what is asked.
#[derive(Clone, Copy, Debug)]
struct Room {
    servers: f64,
    /// `None`: nobody feels it.
    paths: Option<f64>,
}

/// Servers with so much, over ample paths.
const fn servers(servers: f64) -> Room {
    Room {
        servers,
        paths: None,
    }
}

/// Paths with so much, to ample servers.
const fn paths(paths: f64) -> Room {
    Room {
        servers: 4.0,
        paths: Some(paths),
    }
}

impl Size {
    fn load(self) -> Load {
        Load {
            rate: self.rate * self.hosts as f64,
            popular: 1,
            popular_share: 0.0,
        }
    }

    /// All of them in a world with that room.
    fn world<S: Subject>(self, room: Room, seed: u64, host: impl Fn(u64) -> S) -> World<Fleet<S>> {
        let hosts = (0..self.hosts as u64).map(|it| host(seed + it)).collect();
        let load = self.load();
        let mut world = World::around(Fleet::of(hosts), seed, &config(2, 2), load);
        for upstream in &mut world.upstreams {
            upstream.capacity = room.servers * load.rate;
            upstream.buffer = SECOND;
        }
        for link in &mut world.links {
            if let Some(paths) = room.paths {
                link.carry(paths * load.rate);
                link.buffer = SECOND / 2;
            }
        }
        world
    }
}

/// What happens to a world whose fleet asks so much a second.
type Plan = fn(&mut dyn Troubled, f64);

/// What a plan may change, whatever is in the world.
trait Troubled {
    /// From then on, a server answers so many questions a second; 0: nothing.
    fn serve(&mut self, after: Duration, upstream: usize, capacity: f64);
    /// From then on, nothing comes over a path, or again.
    fn cut(&mut self, after: Duration, path: usize, dead: bool);
}

impl<S: Subject + 'static> Troubled for World<S> {
    fn serve(&mut self, after: Duration, upstream: usize, capacity: f64) {
        self.at(after, move |world| {
            let it = &mut world.upstreams[upstream];
            it.dead = capacity == 0.0;
            if capacity > 0.0 {
                it.capacity = capacity;
            }
        });
    }

    fn cut(&mut self, after: Duration, path: usize, dead: bool) {
        self.at(after, move |world| {
            world.links[path].dead = dead;
            world.links[path].drain();
        });
    }
}

/// A row: what there is, and what happens to it.
struct Row {
    name: &'static str,
    room: Room,
    plan: Plan,
}

type Ours = World<Fleet<Resolver>>;
type Yardstick = World<Fleet<Chance>>;

impl Row {
    /// Runs it at this size, with the fleet and with the yardstick.
    fn worlds(&self, size: Size) -> (Ours, Yardstick) {
        let times = number("BYWAY_FLEET").unwrap_or(1) as usize;
        let seed = number("BYWAY_SEED").unwrap_or(1);
        let size = Size {
            hosts: size.hosts * times,
            ..size
        };
        let config = config(2, 2);
        let ours = |seed| Resolver::new(&config, seed, Time::START);
        let mut fleet = size.world(self.room, seed, ours);
        let mut chance = size.world(self.room, seed, |seed| Chance::new(4, seed));
        (self.plan)(&mut fleet, size.load().rate);
        (self.plan)(&mut chance, size.load().rate);
        fleet.run(STOP);
        chance.run(STOP);
        for (from, until) in [
            (Duration::ZERO, 5 * SECOND),
            (5 * SECOND, BEGIN),
            (BEGIN, BEGIN + 5 * SECOND),
            (BEGIN + 5 * SECOND, END),
            (END, STOP),
        ] {
            println!(
                "{:<26} {:3} x {:2}/s {from:3.0?} {}\n{:>44} {}",
                self.name,
                size.hosts,
                size.rate,
                Seen::of(&fleet, from, until),
                "at random",
                Seen::of(&chance, from, until),
            );
        }
        (fleet, chance)
    }
}

/// The most or the least of a figure at 2, 10 and 50 questions a second each.
type Limits = [f64; 3];

/// What is wanted of a stretch of time.
#[derive(Clone, Copy)]
struct Wanted {
    answered: Option<Limits>,
    /// Milliseconds.
    p50: Option<Limits>,
    p99: Option<Limits>,
    x: Option<Limits>,
    worst: Option<Limits>,
    goodput: Option<Limits>,
    verdicts: Option<Limits>,
}

impl Wanted {
    /// What of it is missed by who asks as often as the size of this number does.
    fn missed(&self, seen: &Seen, size: usize) -> Vec<String> {
        let ms = |it: Duration| it.as_secs_f64().min(1e6) * 1e3;
        let at_least = [
            ("answered", self.answered, seen.answered),
            ("goodput", self.goodput, seen.goodput),
        ];
        let at_most = [
            ("p50", self.p50, ms(seen.p50)),
            ("p99", self.p99, ms(seen.p99)),
            ("x", self.x, seen.x),
            ("worst", self.worst, seen.worst),
            ("verdicts", self.verdicts, seen.verdicts),
        ];
        let below = at_least.iter().filter_map(|(name, limits, is)| {
            let limit = (*limits)?[size];
            (*is < limit).then(|| format!("{name} {is:.4}, at least {limit}"))
        });
        let above = at_most.iter().filter_map(|(name, limits, is)| {
            let limit = (*limits)?[size];
            (*is > limit).then(|| format!("{name} {is:.3}, at most {limit}"))
        });
        below.chain(above).collect()
    }
}

/// The same at each size.
const fn all(limit: f64) -> Option<Limits> {
    Some([limit; 3])
}

/// So much is wanted of each size, and these limits are what is reached: the same where nothing is missing.
const fn short(wanted: f64, reached: Limits) -> Option<Limits> {
    let _ = wanted;
    Some(reached)
}

/// Stretches of time, and what is wanted of each.
type Judged<'a> = &'a [(Duration, Duration, Wanted)];

/// Every size is run and judged; what is missed is told together.
fn judge(row: &Row, wanted: Judged<'_>, more: impl Fn(usize, &Ours, &Yardstick) -> Vec<String>) {
    let mut missed = Vec::new();
    for (index, size) in SIZES.into_iter().enumerate() {
        let (fleet, chance) = row.worlds(size);
        for (from, until, wanted) in wanted {
            let seen = Seen::of(&fleet, *from, *until);
            let of = wanted.missed(&seen, index);
            missed.extend(of.iter().map(|it| format!("{size:?} from {from:?}: {it}")));
        }
        missed.extend(more(index, &fleet, &chance));
    }
    assert!(missed.is_empty(), "{}:\n{}", row.name, missed.join("\n"));
}

fn nothing_else(_: usize, _: &Ours, _: &Yardstick) -> Vec<String> {
    Vec::new()
}

/// Nothing.
const ANYTHING: Wanted = Wanted {
    answered: None,
    p50: None,
    p99: None,
    x: None,
    worst: None,
    goodput: None,
    verdicts: None,
};

#[test]
fn a_fleet_shares_what_two_servers_have() {
    let row = Row {
        name: "servers 0.6 each, no fault",
        room: servers(0.6),
        plan: |_, _| {},
    };
    let unfelt = Wanted {
        answered: all(0.999),
        p99: short(50.0, [1500.0, 1000.0, 50.0]),
        x: short(1.05, [1.4, 1.2, 1.05]),
        ..ANYTHING
    };
    judge(&row, &[(BEGIN, DECIDED, unfelt)], nothing_else);
}

#[test]
fn a_fleet_shares_what_two_paths_carry() {
    let row = Row {
        name: "paths 0.6 each, no fault",
        room: paths(0.6),
        plan: |_, _| {},
    };
    let unfelt = Wanted {
        answered: all(0.999),
        p99: short(50.0, [1000.0, 50.0, 50.0]),
        x: short(1.05, [1.4, 1.05, 1.05]),
        ..ANYTHING
    };
    judge(&row, &[(BEGIN, DECIDED, unfelt)], nothing_else);
}

#[test]
fn a_fleet_starts_cold_with_little_room() {
    let row = Row {
        name: "servers 0.65 each, cold",
        room: servers(0.65),
        plan: |_, _| {},
    };
    let start = Wanted {
        x: short(1.3, [3.0, 1.3, 1.3]),
        ..ANYTHING
    };
    let then = Wanted {
        p99: short(50.0, [1500.0, 1000.0, 150.0]),
        ..ANYTHING
    };
    let wanted = [
        (Duration::ZERO, 5 * SECOND, start),
        (5 * SECOND, DECIDED, then),
    ];
    judge(&row, &wanted, nothing_else);
}

#[test]
fn a_fleet_recovers_from_a_pause() {
    let row = Row {
        name: "servers 0.6, pause of 3 s",
        room: servers(0.6),
        plan: |world, load| {
            for upstream in 0..2 {
                world.serve(BEGIN, upstream, 0.0);
                world.serve(BEGIN + 3 * SECOND, upstream, 0.6 * load);
            }
        },
    };
    let pause = Wanted {
        x: all(2.0),
        ..ANYTHING
    };
    let later = Wanted {
        p50: short(15.0, [500.0, 60.0, 15.0]),
        answered: all(0.995),
        x: short(1.1, [1.4, 1.1, 1.1]),
        ..ANYTHING
    };
    let wanted = [
        (BEGIN, BEGIN + 5 * SECOND, pause),
        (BEGIN + 13 * SECOND, DECIDED, later),
    ];
    judge(&row, &wanted, nothing_else);
}

#[test]
fn a_fleet_moves_to_the_server_that_is_left() {
    let row = Row {
        name: "dc1 lost, dc2 1.2",
        room: servers(1.2),
        plan: |world, load| {
            world.serve(BEGIN, 0, 0.0);
            world.serve(END, 0, 1.2 * load);
        },
    };
    let hit = Wanted {
        x: short(1.15, [1.6, 1.5, 1.15]),
        worst: short(1.5, [1.7, 2.0, 1.5]),
        ..ANYTHING
    };
    let moved = Wanted {
        answered: all(0.999),
        p99: short(100.0, [400.0, 500.0, 100.0]),
        verdicts: short(10.0, [30.0, 60.0, 50.0]),
        ..ANYTHING
    };
    let wanted = [
        (BEGIN, BEGIN + 5 * SECOND, hit),
        (BEGIN + 10 * SECOND, END, moved),
    ];
    judge(&row, &wanted, nothing_else);
}

#[test]
fn a_fleet_moves_to_the_path_that_is_left() {
    let row = Row {
        name: "A lost, B 1.1",
        room: paths(1.1),
        plan: |world, _| {
            world.cut(BEGIN, 0, true);
            world.cut(END, 0, false);
        },
    };
    let hit = Wanted {
        x: short(1.15, [1.9, 1.5, 1.15]),
        worst: short(1.5, [2.0, 2.0, 1.5]),
        ..ANYTHING
    };
    let moved = Wanted {
        answered: all(0.999),
        p99: short(100.0, [600.0, 400.0, 100.0]),
        verdicts: short(10.0, [20.0, 30.0, 10.0]),
        ..ANYTHING
    };
    let wanted = [
        (BEGIN, BEGIN + 5 * SECOND, hit),
        (BEGIN + 10 * SECOND, END, moved),
    ];
    judge(&row, &wanted, nothing_else);
}

#[test]
fn a_fleet_gets_most_of_what_too_little_there_is() {
    let row = Row {
        name: "servers 0.45 each",
        room: servers(2.0),
        plan: |world, load| {
            for upstream in 0..2 {
                world.serve(BEGIN, upstream, 0.45 * load);
                world.serve(END, upstream, 2.0 * load);
            }
        },
    };
    let short = Wanted {
        goodput: short(0.84, [0.80, 0.84, 0.84]),
        x: short(1.3, [1.5, 1.5, 1.3]),
        ..ANYTHING
    };
    let (from, until) = (BEGIN + 5 * SECOND, END);
    judge(&row, &[(from, until, short)], |_, fleet, chance| {
        let (ours, theirs) = (Seen::of(fleet, from, until), Seen::of(chance, from, until));
        // Whoever asks on at random whatever comes of it has nothing of it.
        match ours.x < theirs.x {
            true => Vec::new(),
            false => vec![format!("{ours}; at random {theirs}")],
        }
    });
}

#[test]
fn a_fleet_gets_most_of_what_one_server_has() {
    let row = Row {
        name: "dc1 lost, dc2 0.8",
        room: servers(1.3),
        plan: |world, load| {
            world.serve(BEGIN, 0, 0.0);
            world.serve(BEGIN, 1, 0.8 * load);
            world.serve(END, 0, 1.3 * load);
            world.serve(END, 1, 1.3 * load);
        },
    };
    let short = Wanted {
        goodput: all(0.76),
        x: short(1.3, [1.5, 1.5, 1.45]),
        ..ANYTHING
    };
    judge(&row, &[(BEGIN + 5 * SECOND, END, short)], nothing_else);
}

#[test]
fn a_fleet_returns_without_a_rush() {
    let row = Row {
        name: "both paths lost, A heals",
        room: paths(1.5),
        plan: |world, _| {
            world.cut(BEGIN, 0, true);
            world.cut(BEGIN, 1, true);
            world.cut(END - 10 * SECOND, 0, false);
            world.cut(END, 1, false);
        },
    };
    judge(&row, &[], |index, fleet, _| {
        let healed = fleet.start + END - 10 * SECOND;
        let half = SECOND / 2;
        let over_a = fleet
            .packets
            .iter()
            .filter(|it| it.path == 0 && it.at >= healed);
        let at: Vec<Time> = over_a.map(|it| it.at).collect();
        let most = at.iter().enumerate().map(|(index, from)| {
            let within = at[index..].iter().take_while(|it| it.since(*from) < half);
            within.count()
        });
        let load = fleet.load.rate * half.as_secs_f64();
        let peak = most.max().unwrap_or_default() as f64 / load;
        println!("{:>44} peak over A {peak:.2} of the load", "");
        // Wanted are 1.2.
        let limit = [2.2, 2.2, 1.8][index];
        match peak <= limit {
            true => Vec::new(),
            false => vec![format!("{:?}: {peak:.2}, at most {limit}", SIZES[index])],
        }
    });
}

/// A daemon that is asked little costs a fleet no more than one that is asked much.
#[test]
fn a_fleet_of_many_costs_no_more_than_one_of_few() {
    let row = Row {
        name: "ample, no fault",
        room: servers(4.0),
        plan: |_, _| {},
    };
    let [many, _, few] = SIZES.map(|size| Seen::of(&row.worlds(size).0, BEGIN, DECIDED).x);
    assert!(many <= 1.15 * few, "{many:.3} over {few:.3}");
}
