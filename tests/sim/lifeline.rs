//! What clients get when upstreams give little or nothing, from the resolver that the daemon runs.
//!
//! Health, a total outage, a surge, both paths swamped: each with every seed, which a failing one names.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use byway::clock::Time;
use byway::route::{Event, Standing};
use byway::wire::Rcode;

use super::clients::Load;
use super::network::Link;
use super::resolver::{Resolver, Told};
use super::subject::Query;
use super::watch::Figures;
use super::world::{World, config};

/// The trouble begins, ends, and the run ends.
const BEGIN: Duration = Duration::from_secs(40);
const END: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(80);
/// How long a fault may be there before anybody can know of it.
const UNKNOWN: Duration = Duration::from_secs(2);
/// A build without optimisation takes a minute for each.
const SEEDS: std::ops::Range<u64> = if cfg!(debug_assertions) { 1..2 } else { 1..5 };
const SECOND: Duration = Duration::from_secs(1);

type Resolving = World<Resolver>;

/// A resolver in a healthy network of so many upstreams over so many paths.
fn world(seed: u64, (upstreams, paths): (usize, usize), load: Load) -> Resolving {
    World::new(seed, &config(upstreams, paths), load)
}

/// What clients were told that asked within a stretch of time.
struct Seen {
    figures: Figures,
    /// With how long each took.
    answers: Vec<(Told, Duration)>,
}

impl Seen {
    fn of(world: &Resolving, from: Duration, until: Duration) -> Seen {
        let mut first = HashMap::new();
        for told in &world.subject.told {
            first.entry(told.query).or_insert(*told);
        }
        let within = |at: Time| (from..until).contains(&at.since(world.start));
        let asked = (0..).zip(&world.records);
        let asked = asked.filter(|(_, record)| within(record.asked));
        let answers = asked.filter_map(|(query, record)| {
            let told: &Told = first.get(&(query as Query))?;
            Some((*told, told.at.since(record.asked)))
        });
        Seen {
            figures: Figures::of(world, from, until),
            answers: answers.collect(),
        }
    }

    fn errors(&self) -> impl Iterator<Item = &(Told, Duration)> {
        let answers = self.answers.iter();
        answers.filter(|(told, _)| told.rcode != Rcode::NOERROR)
    }

    fn latest_error(&self) -> Duration {
        let took = self.errors().map(|(_, took)| *took);
        took.max().unwrap_or_default()
    }

    /// The Extended DNS Errors that errors came with.
    fn reasons(&self) -> BTreeSet<u16> {
        self.errors().map(|(told, _)| told.ede).collect()
    }

    fn stale(&self) -> usize {
        self.answers
            .iter()
            .filter(|(told, _)| told.is_stale())
            .count()
    }

    /// Questions that nobody answered.
    fn silent(&self) -> usize {
        self.figures.asked - self.answers.len()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}  known p99 {:.2} ms stale {} silent {} errors {} {:?} the latest {:.0} ms",
            self.figures,
            self.figures.p99_known.as_secs_f64() * 1e3,
            self.stale(),
            self.silent(),
            self.errors().count(),
            self.reasons(),
            self.latest_error().as_secs_f64() * 1e3,
        )
    }
}

/// Runs it and shows what was seen during the trouble.
fn run(name: &str, seed: u64, world: &mut Resolving) -> Seen {
    world.run(STOP);
    let seen = Seen::of(world, BEGIN, END);
    println!("{name:<16} seed {seed} {seen}");
    if std::env::var_os("BYWAY_STORY").is_some() {
        println!("{}", world.story(Duration::ZERO));
    }
    seen
}

/// The trouble's packets over those of as much time before it.
fn of_health(world: &Resolving, seen: &Seen) -> f64 {
    let health = Figures::of(world, BEGIN - (END - BEGIN), BEGIN);
    let ratio = seen.figures.packets as f64 / health.packets as f64;
    println!("{:<16} {ratio:.3} of health's packets", "");
    ratio
}

/// So long after the trouble everybody is served fresh answers at once, and nobody fails.
fn is_well(world: &Resolving, after: Duration, name: &str, seed: u64) {
    let seen = Seen::of(world, END + after, STOP - SECOND);
    let Figures {
        failed, over_50, ..
    } = seen.figures;
    let found = (failed, over_50, seen.stale());
    assert_eq!(
        found,
        (0, 0, 0),
        "{name}, seed {seed}: failed, slow, stale {after:?} after"
    );
}

/// What is known is answered, and quickly.
fn known_are_served(seen: &Seen, name: &str, seed: u64) {
    let Figures {
        failed_known,
        p99_known,
        ..
    } = seen.figures;
    assert_eq!(failed_known, 0, "{name}, seed {seed}");
    assert!(
        p99_known <= Duration::from_millis(5),
        "{name}, seed {seed}: {p99_known:?}"
    );
    assert_eq!(seen.silent(), 0, "{name}, seed {seed}");
}

#[test]
fn health() {
    for seed in SEEDS {
        let mut world = world(seed, (2, 2), Load::HOST);
        let seen = run("health", seed, &mut world);
        known_are_served(&seen, "health", seed);
        let Figures {
            failed, over_50, ..
        } = seen.figures;
        assert_eq!((failed, over_50, seen.stale()), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn total_outage() {
    for grid in [(2, 2), (1, 1), (2, 1), (1, 2)] {
        for seed in SEEDS {
            let name = format!("outage of {grid:?}");
            let mut world = world(seed, grid, Load::HOST);
            let dead = |dead| {
                move |world: &mut Resolving| world.links.iter_mut().for_each(|it| it.dead = dead)
            };
            world.at(BEGIN, dead(true));
            world.at(END, dead(false));
            let seen = run(&name, seed, &mut world);
            known_are_served(&seen, &name, seed);
            assert!(of_health(&world, &seen) <= 0.1, "{name}, seed {seed}");

            let outage = |(_, event): &&(Time, Event)| matches!(event, Event::Outage { .. });
            let known = world.subject.events.iter().find(outage).expect("noticed");
            let known = known.0.since(world.start + BEGIN);
            assert!(
                known <= UNKNOWN,
                "{name}, seed {seed}: noticed after {known:?}"
            );
            // Those who had asked before it was known, too.
            let late = seen.latest_error().saturating_sub(known);
            assert!(
                late <= SECOND,
                "{name}, seed {seed}: {late:?} after it was known"
            );
            let later = Seen::of(&world, BEGIN + UNKNOWN, END);
            let late = later.latest_error();
            assert!(
                late <= SECOND,
                "{name}, seed {seed}: an error after {late:?}"
            );
            assert!(
                seen.reasons().iter().all(|ede| [22, 23].contains(ede)),
                "{name}, seed {seed}"
            );
            is_well(&world, Duration::from_millis(500), &name, seed);
        }
    }
}

/// Two hundred names that many ask for, and three hundred new ones a second.
const USUAL: Load = Load {
    popular: 200,
    ..Load::HOST
};
/// Twenty times the new ones.
const SURGE: Load = Load {
    rate: 6700.0,
    popular_share: 0.7 / 6.7,
    ..USUAL
};
/// What all upstreams together answer, a second: a tenth.
const SERVED: f64 = 600.0;

#[test]
fn a_surge() {
    for (grid, buffer) in [
        ((2, 2), 200),
        ((2, 2), 1000),
        ((1, 1), 200),
        ((1, 1), 1000),
        ((1, 2), 200),
    ] {
        for seed in SEEDS {
            let name = format!("surge {grid:?} {buffer} ms");
            let mut world = world(seed, grid, USUAL);
            let each = SERVED / world.upstreams.len() as f64;
            for upstream in &mut world.upstreams {
                upstream.capacity = each;
                upstream.buffer = Duration::from_millis(buffer);
            }
            world.at(BEGIN, move |world| world.load = SURGE);
            world.at(END, |world| world.load = USUAL);
            let seen = run(&name, seed, &mut world);
            known_are_served(&seen, &name, seed);
            let useful = world.came_back(BEGIN, END) as f64 / (END - BEGIN).as_secs_f64();
            println!(
                "{:<16} {useful:.0} answers/s of {SERVED}, {} in hand at most",
                "", world.subject.most
            );
            assert!(useful >= 0.9 * SERVED, "{name}, seed {seed}: {useful:.0}");
            // A server that holds a second of questions shows only then that it lost one.
            let late = seen.latest_error();
            assert!(
                late <= SECOND + SECOND / 4,
                "{name}, seed {seed}: an error after {late:?}"
            );
            assert!(
                seen.reasons().iter().all(|ede| [22, 23].contains(ede)),
                "{name}, seed {seed}"
            );
            // Half a second's questions wait for room.
            assert!(
                world.subject.most <= 8_000,
                "{name}, seed {seed}: {}",
                world.subject.most
            );
            assert_eq!(world.subject.shared.engine().standing(), Standing::Clear);
            // The servers have twice what is needed: what expired meanwhile is renewed beside what is new, and
            // given stale until then.
            let after = Seen::of(&world, END + SECOND, STOP - SECOND);
            println!("{:<16} a second after {after}", "");
            let Figures {
                failed, over_250, ..
            } = after.figures;
            assert_eq!(
                (failed, over_250),
                (0, 0),
                "{name}, seed {seed}: a second after"
            );
        }
    }
}

#[test]
fn both_paths_swamped() {
    for seed in SEEDS {
        let mut world = world(seed, (2, 2), Load::HOST);
        world.at(BEGIN, |world| {
            world.links.iter_mut().for_each(|it| it.background = 1.45)
        });
        world.at(END, |world| {
            for link in &mut world.links {
                link.background = Link::BACKGROUND;
                link.drain();
            }
        });
        let seen = run("both swamped", seed, &mut world);
        known_are_served(&seen, "both swamped", seed);
        assert!(of_health(&world, &seen) <= 1.3, "seed {seed}");
        let failed = seen.figures.failed as f64 / seen.figures.unknown as f64;
        assert!(
            failed <= 0.04,
            "seed {seed}: {failed:.3} of the unknown failed"
        );
        // What was given stale and was asked for anew just before the end, and lost, is asked for once more.
        is_well(&world, SECOND, "both swamped", seed);
    }
}

/// Ten names that are asked for twice a second each or so, and a new one each second.
const FEW: Load = Load {
    rate: 20.0,
    popular: 10,
    popular_share: 0.95,
};

#[test]
fn a_sole_path_that_loses_a_third() {
    for seed in SEEDS {
        let mut world = world(seed, (1, 1), FEW);
        // Each way.
        world.at(BEGIN, |world| world.links[0].loss = 0.16);
        world.at(END, |world| world.links[0].loss = 0.0);
        let seen = run("loses a third", seed, &mut world);
        assert_eq!(seen.figures.failed_known, 0, "seed {seed}");
        let longest = seen.answers.iter().map(|(told, _)| told.stale_for).max();
        let longest = longest.unwrap_or_default();
        println!("{:<16} stale for {longest:?} at most", "");
        // A question that was lost three times has failed, and is not asked again for five seconds (RFC 9520).
        assert!(longest <= 10 * SECOND, "seed {seed}: {longest:?}");
        is_well(&world, SECOND, "loses a third", seed);
    }
}
