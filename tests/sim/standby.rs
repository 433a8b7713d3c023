//! A standby that nobody asks: that it has died is known before it is needed, whatever the policy, also where nothing
//! is asked at all, for less than a packet in ten seconds a route. What only looks like it accuses nobody.
//!
//! `cargo test --test storm standby -- --nocapture` prints every row.

use std::time::Duration;

use byway::clock::Time;
use byway::config::Policy;
use byway::route::{AttemptKind, Event, Verdict};
use byway::wire::Rcode;

use super::clients::Load;
use super::failing::{Asked, Beside, Failing, Fate, Whose};
use super::names::SECOND;
use super::resolver::Resolver;
use super::world::{World, config};

/// The standby dies then, or later; by then routes are idle.
const DIES: Duration = Duration::from_secs(90);
/// ... and this much later it must be known.
const KNOWN: Duration = Duration::from_secs(15);
const POLICIES: [Policy; 3] = [Policy::Fastest, Policy::Ordered, Policy::Spread];

/// New names, so many a second.
fn asking(rate: f64) -> Load {
    Load {
        rate,
        popular: 1,
        popular_share: 0.0,
    }
}

fn world(seed: u64, grid: (usize, usize), policy: Policy, rate: f64) -> World<Resolver> {
    let mut config = config(grid.0, grid.1);
    config.routing.policy = policy;
    World::new(seed, &config, asking(rate))
}

fn verdicts(world: &World<Resolver>) -> Vec<Verdict> {
    let report = world.subject.engine().report(world.now);
    report.routes.iter().map(|route| route.verdict).collect()
}

/// Who was told to be bad since `from`, and when.
fn told(world: &World<Resolver>, from: Duration) -> Vec<(Duration, String)> {
    let since = world.subject.events.iter().filter_map(|(at, event)| {
        let Event::Verdict {
            subject, from, to, ..
        } = event
        else {
            return None;
        };
        let bad = to.is_bad() && !from.is_bad();
        bad.then(|| (at.since(world.start), format!("{subject} {to}")))
    });
    since.filter(|(at, _)| *at >= from).collect()
}

/// How the second server dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    Silent,
    Servfail,
}

fn dies(world: &mut World<Resolver>, after: Duration, how: Death) {
    world.at(after, move |world| match how {
        Death::Silent => world.upstreams[1].dead = true,
        Death::Servfail => world.upstreams[1].sick = (1.0, Rcode::SERVFAIL),
    });
}

#[test]
fn a_dead_standby_is_known_within_fifteen_seconds() {
    for policy in POLICIES {
        for rate in [0.0, 0.1, 5.0] {
            for paths in [1, 2] {
                for how in [Death::Silent, Death::Servfail] {
                    for seed in 1..=8u32 {
                        let mut world = world(seed.into(), (2, paths), policy, rate);
                        let dead = DIES + Duration::from_millis(1_370) * seed;
                        dies(&mut world, dead, how);
                        world.run(dead + KNOWN);
                        let case =
                            format!("{policy:?} {rate}/s over {paths}, {how:?}, seed {seed}");
                        let told = told(&world, DIES);
                        let of_dc2 = |(_, what): &&(Duration, String)| what.contains("dc2");
                        println!("{case}: {told:?}");
                        let first = told.iter().find(of_dc2).map(|(at, _)| *at - dead);
                        assert!(
                            first.is_some_and(|it| it <= KNOWN),
                            "{case}\n{}",
                            world.story(DIES)
                        );
                        let innocent = told.iter().filter(|it| !of_dc2(it)).count();
                        assert_eq!(innocent, 0, "{case}\n{}", world.story(DIES));
                    }
                }
            }
        }
    }
}

#[test]
fn a_dead_path_is_known_too_and_idle_routes_cost_little() {
    for seed in 1..=4 {
        let mut world = world(seed, (2, 2), Policy::Ordered, 0.2);
        let quiet = Duration::from_secs(600);
        world.at(quiet, |world| world.links[1].dead = true);
        world.run(quiet + KNOWN);
        let told = told(&world, Duration::ZERO);
        let (at, _) = told.first().expect("it is known");
        assert!((quiet..quiet + KNOWN).contains(at), "{told:?}");
        let of_b = |(_, what): &(Duration, String)| what.contains('B');
        assert!(told.iter().all(of_b), "{told:?}");
        for (upstream, path) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let from = world.start + 10 * SECOND;
            let idle = world.packets.iter().filter(|it| {
                let over = (it.upstream, it.path) == (upstream, path);
                over && it.kind == AttemptKind::Probe
                    && it.at >= from
                    && it.at < world.start + quiet
            });
            let rate = idle.count() as f64 / (quiet - 10 * SECOND).as_secs_f64();
            println!("dc{} over {path}: {rate:.3} packets a second", upstream + 1);
            assert!(rate <= 0.1, "{rate}");
            // ... and each has its turn.
            assert!((upstream, path) == (0, 0) || rate >= 0.01, "{rate}");
        }
    }
}

#[test]
fn hosts_that_start_together_do_not_ask_in_step() {
    // Of two hundred that do nothing else, in each tenth of a second.
    let mut steps = vec![0u32; 600];
    for seed in 0..200 {
        let mut world = world(seed, (2, 1), Policy::Fastest, 0.0);
        world.run(60 * SECOND);
        for packet in &world.packets {
            let step = packet.at.since(world.start).as_millis() / 100;
            steps[(step as usize).min(599)] += 1;
        }
    }
    // Three a step on average.
    let most = steps[20..].iter().max().expect("steps");
    println!("at most {most} in a tenth of a second");
    assert!(*most <= 16, "{steps:?}");
}

#[test]
fn a_route_that_nobody_asked_is_unknown_until_it_answers_and_again_when_it_is_not_heard() {
    let mut config = config(2, 1);
    config.routing.unknown_after = 30 * SECOND;
    let mut world = World::new(1, &config, asking(0.0));
    assert_eq!(verdicts(&world), [Verdict::Unknown; 2]);
    world.run(15 * SECOND);
    assert_eq!(verdicts(&world), [Verdict::Clear; 2]);
    let report = world.subject.engine().report(world.now);
    assert_eq!(report.upstreams[1].verdict, Verdict::Clear);
    // A metered path is not asked.
    config.paths[0].metered = true;
    let mut world = World::new(1, &config, asking(0.0));
    world.run(120 * SECOND);
    assert_eq!(world.packets.len(), 0);
    assert_eq!(verdicts(&world), [Verdict::Unknown; 2]);
    world.load = asking(5.0);
    let mut world = World::new(1, &config, asking(5.0));
    world.at(20 * SECOND, |world| world.load.rate = 0.0);
    world.run(21 * SECOND);
    assert!(verdicts(&world).contains(&Verdict::Clear));
    world.run(60 * SECOND);
    assert_eq!(verdicts(&world), [Verdict::Unknown; 2]);
}

#[test]
fn a_standby_that_refuses_to_name_the_roots_servers_is_alive() {
    for policy in POLICIES {
        for rate in [0.0, 1.0] {
            let mut world = world(1, (2, 1), policy, rate);
            world.failing.push(Failing {
                whose: Whose::Root,
                at: Some(1),
                fate: Fate::Says(Rcode::REFUSED),
            });
            world.run(600 * SECOND);
            assert_eq!(told(&world, Duration::ZERO), [], "{policy:?}");
            assert_eq!(verdicts(&world)[1], Verdict::Clear);
            let probes = world
                .packets
                .iter()
                .filter(|it| it.kind == AttemptKind::Probe && it.upstream == 1);
            let rate = probes.count() as f64 / 600.0;
            assert!(rate <= 0.1, "{rate}");
            assert!(
                world
                    .records
                    .iter()
                    .all(|record| record.good || record.answered.is_none())
            );
        }
    }
}

#[test]
fn where_everybody_fails_to_name_the_roots_servers_it_is_the_network() {
    let mut world = world(1, (2, 1), Policy::Ordered, 0.0);
    world.failing.push(Failing {
        whose: Whose::Root,
        at: None,
        fate: Fate::Says(Rcode::SERVFAIL),
    });
    world.run(600 * SECOND);
    assert_eq!(told(&world, Duration::ZERO), []);
}

#[test]
fn a_host_that_slept_accuses_nobody_of_what_its_network_took_to_come_back() {
    for seed in 1..=8 {
        let mut world = world(seed, (2, 1), Policy::Fastest, 0.0);
        world.at(100 * SECOND, |world| {
            // Asleep for a night, and what was under way is lost; then the network needs four seconds.
            world.links[0].dead = true;
            let (now, mut rng) = (world.now, rand::SeedableRng::seed_from_u64(1));
            let rng: &mut rand::rngs::StdRng = &mut rng;
            world
                .subject
                .engine()
                .host_slept(8 * 3600 * SECOND, now, rng);
        });
        world.at(104 * SECOND, |world| world.links[0].dead = false);
        world.run(101 * SECOND);
        assert_eq!(verdicts(&world), [Verdict::Unknown; 2]);
        world.run(120 * SECOND);
        assert_eq!(told(&world, Duration::ZERO), [], "seed {seed}");
        assert_eq!(verdicts(&world), [Verdict::Clear; 2], "seed {seed}");
        assert!(world.now > Time::START);
    }
}

#[test]
fn no_question_goes_first_to_a_standby_that_is_known_dead() {
    for policy in POLICIES {
        for seed in 1..=4 {
            let mut world = world(seed, (3, 1), policy, 5.0);
            dies(&mut world, DIES, Death::Silent);
            let jams = DIES + KNOWN;
            // The first server is slow of a sudden, the third is well.
            world.at(jams, |world| world.upstreams[0].slowness = SECOND);
            world.run(jams + 20 * SECOND);
            let asked = world.packets.iter().filter(|it| {
                let clients = !it.kind.is_extra() || it.kind == AttemptKind::Hedge;
                it.upstream == 1 && it.at >= world.start + jams && clients
            });
            assert_eq!(asked.count(), 0, "{policy:?} {seed}");
            let failed = world
                .records
                .iter()
                .filter(|it| it.answered.is_some() && !it.good);
            assert_eq!(failed.count(), 0, "{policy:?} {seed}");
        }
    }
}

#[test]
fn two_standbys_that_die_together_do_not_accuse_the_path_that_others_answer_over() {
    for policy in POLICIES {
        for seed in 1..=8u32 {
            let mut world = world(seed.into(), (4, 1), policy, 0.0);
            let dead = DIES + Duration::from_millis(1_370) * seed;
            world.at(dead, |world| {
                world.upstreams[1].dead = true;
                world.upstreams[3].dead = true;
            });
            world.run(dead + KNOWN);
            let told = told(&world, DIES);
            let story = world.story(DIES);
            let of = |name: &str| {
                told.iter()
                    .any(|(_, what)| what.starts_with(&format!("upstream {name}")))
            };
            assert!(of("dc2") && of("dc4"), "{policy:?} {seed}\n{story}");
            let wrong =
                |(_, what): &(Duration, String)| !what.contains("dc2") && !what.contains("dc4");
            assert!(!told.iter().any(wrong), "{policy:?} {seed}\n{story}");
        }
    }
}

/// What some do to `. NS` who answer names.
const NOT_THE_ROOT: [Fate; 3] = [
    Fate::Silent,
    Fate::Says(Rcode::SERVFAIL),
    Fate::Late(Duration::from_secs(2), Rcode::SERVFAIL),
];

fn not_for_the_root(seed: u64, upstreams: usize, fate: Fate) -> World<Resolver> {
    let mut world = world(seed, (upstreams, 1), Policy::Ordered, 5.0);
    world.failing.push(Failing {
        whose: Whose::Root,
        at: None,
        fate,
    });
    // As the daemon does.
    world.subject.engine().begin_first_round(&[]);
    world
}

fn troubles(world: &World<Resolver>) -> usize {
    let is = |(_, event): &&(Time, Event)| {
        matches!(event, Event::Outage { .. } | Event::NothingClear { .. })
    };
    world.subject.events.iter().filter(is).count()
}

#[test]
fn who_answers_names_and_not_for_the_root_is_never_accused_of_it() {
    for fate in NOT_THE_ROOT {
        for (upstreams, asks) in [(1, true), (1, false), (2, true), (2, false)] {
            for seed in 1..=4 {
                // A minute of questions or none, and then an hour without.
                let mut world = not_for_the_root(seed, upstreams, fate);
                if asks {
                    world.at(60 * SECOND, |world| world.load.rate = 0.0);
                } else {
                    world.load.rate = 0.0;
                }
                world.run(3600 * SECOND);
                let case = format!("{fate:?} by {upstreams}, asked {asks}, seed {seed}");
                assert_eq!(told(&world, Duration::ZERO), [], "{case}");
                assert_eq!(troubles(&world), 0, "{case}");
                let idle = world.packets.iter().filter(|it| it.kind.is_extra());
                let rate = idle.count() as f64 / 3600.0 / upstreams as f64;
                assert!(rate <= 0.12, "{case}: {rate}");
                // The first who wakes up is served.
                let before = world.records.len();
                world.load.rate = 5.0;
                let asked = Asked::New { first: 0, zones: 5 };
                world.ask_beside(3601 * SECOND, Beside { rate: 5.0, asked });
                world.run(3630 * SECOND);
                let mut asked = world.records[before..].iter();
                assert!(asked.len() > 50, "{case}");
                assert!(asked.all(|it| it.good || it.answered.is_none()), "{case}");
            }
        }
    }
}

#[test]
fn an_outage_of_one_who_does_not_answer_for_the_root_ends() {
    for fate in NOT_THE_ROOT {
        for seed in 1..=4 {
            let mut world = not_for_the_root(seed, 1, fate);
            world.at(60 * SECOND, |world| world.upstreams[0].dead = true);
            world.at(90 * SECOND, |world| world.upstreams[0].dead = false);
            world.run(120 * SECOND);
            assert!(troubles(&world) > 0, "{fate:?}, seed {seed}: unnoticed");
            let since = world.start + 95 * SECOND;
            let asked = world.records.iter().filter(|it| it.asked >= since);
            let bad = asked.filter(|it| !it.good && it.answered.is_some());
            assert_eq!(bad.count(), 0, "{fate:?}, seed {seed}");
        }
    }
}
