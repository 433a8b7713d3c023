//! Stalls of the host: the process, or the machine, does not run for a while. What is for it waits, and is all
//! there when it runs again; what it was about to send leaves only then. None of that is the network's.

use std::time::Duration;

use byway::clock::Time;
use byway::route::{Event, Standing};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::clients::Load;
use super::network::{Link, Upstream, unit};
use super::resolver::Resolver;
use super::subject::Subject;
use super::watch::Figures;
use super::world::{World, config};

/// The stalls begin, a fault begins and ends if there is one, and the run ends.
const BEGIN: Duration = Duration::from_secs(20);
const FAULT: Duration = Duration::from_secs(40);
const HEALED: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(80);
const SECOND: Duration = Duration::from_secs(1);
/// A build without optimisation takes minutes for each.
const SEEDS: std::ops::Range<u64> = if cfg!(debug_assertions) { 1..2 } else { 1..3 };

/// When the host stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stalls {
    Never,
    /// For 20 to 500 ms every few seconds, in the middle of a turn every other time.
    NowAndThen,
    /// For 80 ms of each 100: a container that has used up its share of the CPU.
    Throttled,
}

impl Stalls {
    fn plan<S: Subject + 'static>(self, world: &mut World<S>, seed: u64) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut at = BEGIN;
        while at < STOP && self != Stalls::Never {
            let lasts = match self {
                Stalls::Throttled => Duration::from_millis(80),
                _ => Duration::from_millis(20) + Duration::from_millis(480).mul_f64(unit(rng)),
            };
            if self == Stalls::NowAndThen && unit(rng) < 0.5 {
                world.at(at, move |world| world.stall_at_send(lasts));
            } else {
                world.at(at, move |world| world.stall(lasts));
            }
            at += match self {
                Stalls::Throttled => Duration::from_millis(100),
                _ => SECOND.mul_f64(0.5 + 4.0 * unit(rng)),
            };
        }
    }
}

/// The loads, and the way to the nearer upstream and back in milliseconds: within 20 ms that a throttled host
/// runs at once, and not.
fn settings() -> impl Iterator<Item = (Load, u64)> {
    let loads = [Load::HOST, Load::SIDECAR];
    loads.into_iter().flat_map(|load| [(load, 2), (load, 30)])
}

/// Lets `world` run.
fn run<S: Subject + 'static>(world: &mut World<S>, stalls: Stalls, trip: u64, seed: u64) {
    // So much further that no host likes the second way better.
    let step = (trip / 8).max(1);
    for (further, link) in (0..).zip(&mut world.links) {
        link.delay = Duration::from_millis(trip / 2 + further * step);
    }
    stalls.plan(world, seed);
    world.run(STOP);
}

/// Every change of a verdict, with seconds from the start.
fn verdicts<S: Subject>(world: &World<S>) -> Vec<(f64, String)> {
    let told = world.subject.events().iter();
    let changed = told.filter(|(_, event)| matches!(event, Event::Verdict { .. }));
    changed
        .map(|(at, event)| (at.since(world.start).as_secs_f64(), event.to_string()))
        .collect()
}

/// What must not be seen of stalls: verdicts, failures, extra packets.
fn unmoved<S: Subject>(world: &World<S>, case: &str) {
    let seen = Figures::of(world, BEGIN, STOP - SECOND);
    println!("{case:<44} {seen}");
    assert_eq!(verdicts(world), [], "{case}");
    assert_eq!(seen.failed, 0, "{case}");
    // To measure an idle route takes up to 0.1 packets a second: one in a hundred where ten are asked.
    assert!(seen.x <= 1.02, "{case}: x {:.3}", seen.x);
}

#[test]
fn nobody_takes_them_for_the_networks() {
    for (load, trip) in settings() {
        for stalls in [Stalls::Never, Stalls::NowAndThen, Stalls::Throttled] {
            for seed in SEEDS {
                let mut world = World::new(seed, &config(2, 2), load);
                run(&mut world, stalls, trip, seed);
                let case = format!("{:.0}/s, {trip} ms, {stalls:?}, seed {seed}", load.rate);
                unmoved(&world, &case);
            }
        }
    }
}

/// The control: whoever does not look out for stalls does take them for the network's.
#[test]
fn one_that_does_not_look_out_for_them_would() {
    let mut all = 0;
    for (rate, trip) in [(50.0, 2), (50.0, 30), (500.0, 2), (500.0, 30)] {
        for stalls in [Stalls::NowAndThen, Stalls::Throttled] {
            for seed in SEEDS {
                // Of ten a second hardly two are held up together, and one says nothing of whom it was asked.
                let load = Load {
                    rate,
                    ..Load::SIDECAR
                };
                let mut world = World::new(seed, &config(2, 2), load);
                world.subject.attentive = false;
                run(&mut world, stalls, trip, seed);
                let changes = verdicts(&world).len();
                println!("{rate}/s, {trip} ms, {stalls:?}, seed {seed}: {changes} changes");
                all += changes;
            }
        }
    }
    assert!(all > 0);
}

type Change = fn(&mut [Link], &mut [Upstream]);

/// The world of this seed in which `fault` begins and ends among the stalls.
fn troubled(seed: u64, load: Load, trip: u64, stalls: Stalls, fault: Change) -> World<Resolver> {
    let mut world = World::new(seed, &config(2, 2), load);
    // Whatever a host likes, dc1 is the one that it asks.
    world.upstreams[1].distance = Duration::from_millis(trip) / 4;
    world.at(FAULT, move |world| {
        fault(&mut world.links, &mut world.upstreams)
    });
    world.at(HEALED, |world| {
        for link in &mut world.links {
            (link.dead, link.background, link.loss) = (false, Link::BACKGROUND, 0.0);
        }
        world.upstreams[0].slowness = Duration::ZERO;
    });
    run(&mut world, stalls, trip, seed);
    world
}

/// What is the network's is noticed all the same, and so is its end.
#[test]
fn trouble_is_noticed_through_them() {
    let faults: [(&str, &str, Change); 4] = [
        ("A a black hole", "A", |links, _| links[0].dead = true),
        ("A swamped", "A", |links, _| links[0].background = 1.45),
        ("A loses 30 %", "A", |links, _| links[0].loss = 0.163),
        ("dc1 +400 ms", "dc1", |_, upstreams| {
            upstreams[0].slowness = Duration::from_millis(400);
        }),
    ];
    for (name, culprit, fault) in faults {
        for ((load, trip), stalls) in settings().flat_map(|it| {
            [Stalls::Never, Stalls::NowAndThen, Stalls::Throttled].map(|stalls| (it, stalls))
        }) {
            for seed in SEEDS {
                let case = format!(
                    "{name}, {:.0}/s, {trip} ms, {stalls:?}, seed {seed}",
                    load.rate
                );
                let world = troubled(seed, load, trip, stalls, fault);
                let accused = |(at, event): &(Time, Event)| match event {
                    Event::Verdict { subject, to, .. } => {
                        // Where nothing else asks over the culprit's other routes, its one route stands for it.
                        let it = subject.name().split('@').any(|part| part == culprit);
                        (it && !to.is_clear()).then(|| at.since(world.start))
                    }
                    _ => None,
                };
                let noticed = world.subject.events.iter().find_map(accused);
                let seen = Figures::of(&world, FAULT, HEALED);
                let back = world.back_on_first_path(HEALED);
                println!("{case:<50} noticed {noticed:?} back {back:?} {seen}");
                let noticed = noticed.expect(&case).checked_sub(FAULT).expect(&case);
                // Questions leave at once; to accuse takes the word of several names.
                assert!(noticed <= Duration::from_secs(6), "{case}: {noticed:?}");
                assert_eq!(seen.failed, 0, "{case}");
                assert!(seen.x <= 1.10, "{case}: x {:.3}", seen.x);
                // A full queue takes a second and a half to drain.
                let back = back.expect(&case);
                assert!(
                    back <= Duration::from_secs(14),
                    "{case}: back after {back:?}"
                );
            }
        }
    }
}

/// Where the host hardly ever sees in time whether an answer is in time, an outage still ends.
#[test]
fn an_outage_ends_through_them() {
    for (load, trip) in settings() {
        for stalls in [Stalls::NowAndThen, Stalls::Throttled] {
            for seed in SEEDS {
                let case = format!("{:.0}/s, {trip} ms, {stalls:?}, seed {seed}", load.rate);
                let all = |links: &mut [Link], _: &mut [Upstream]| {
                    links.iter_mut().for_each(|link| link.dead = true);
                };
                let world = troubled(seed, load, trip, stalls, all);
                let seen = Figures::of(&world, HEALED + 2 * SECOND, STOP - SECOND);
                println!("{case:<50} {seen}");
                assert_eq!(seen.failed, 0, "{case}");
                assert_eq!(world.subject.engine().standing(), Standing::Clear, "{case}");
            }
        }
    }
}
