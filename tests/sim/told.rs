//! What an operator is told of a fault: a line or two when it begins, a line or two when it is over, and nothing of
//! ordinary life.
//!
//! `cargo test --test storm told -- --nocapture` prints the lines.

use std::sync::Arc;
use std::time::Duration;

use byway::clock::Time;
use byway::config::Config;
use byway::observe::event::Gravity;
use byway::observe::trouble::{Felt, Place, Sight, Troubles, Vain};

use byway::wire::Rcode;

use super::clients::{Load, Record};
use super::failing::{Asked, Beside, Failing, Fate, Whose};
use super::network::{Link, Upstream};
use super::resolver::Resolver;
use super::rows::{self, SEEDS};
use super::world::{World, config};

const BEGIN: Duration = Duration::from_secs(30);
const LASTS: Duration = Duration::from_secs(20);
/// Long enough for everything to have come back and for that to be told.
const AFTER: Duration = Duration::from_secs(60);
/// How often the daemon looks while something is in trouble.
const LOOK: Duration = Duration::from_millis(50);

type Fault = fn(&mut [Link], &mut [Upstream]);

/// The lines that a log would have: of warnings first, then of news.
fn lines(world: &World<Resolver>, config: &Config) -> [Vec<String>; 2] {
    let place = |route: &byway::route::Route| Place {
        route: route.name.clone(),
        upstream: config.upstreams[usize::from(route.upstream.0)]
            .name
            .as_str()
            .into(),
        path: config.paths[usize::from(route.path.0)].name.as_str().into(),
        pools: vec![0],
    };
    let places: Vec<Place> = world.routes.iter().map(place).collect();
    let main: Option<Arc<str>> = None;
    let mut troubles = Troubles::new(&places, &[main], config.routing.return_within);
    let mut answers: Vec<(Time, Record)> = world
        .records
        .iter()
        .filter_map(|record| Some((record.answered?, *record)))
        .collect();
    answers.sort_by_key(|(at, _)| *at);
    let (mut answers, mut events, mut seen) = (
        answers.into_iter().peekable(),
        world.subject.events.iter().peekable(),
        world.subject.seen.iter().peekable(),
    );
    let (mut felt, mut useful, mut vain) = (Felt::default(), Time::default(), Vain::default());
    let mut told = [Vec::new(), Vec::new()];
    let mut now = world.start;
    while now < world.now {
        now = now + LOOK;
        while let Some((_, record)) = answers.next_if(|(at, _)| *at <= now) {
            felt.asked += 1;
            felt.failed += u64::from(!record.good);
            felt.stale += u64::from(record.stale);
        }
        while let Some((at, event)) = events.next_if(|(at, _)| *at <= now) {
            troubles.hear(*at, event);
        }
        while let Some((_, sees)) = seen.next_if(|(at, _)| *at <= now) {
            (useful, vain) = *sees;
        }
        let sight = Sight {
            felt,
            useful: vec![useful],
            vain: vec![vain],
            known: 0,
            slept: Duration::ZERO,
        };
        for event in troubles.look(now, &sight) {
            let at = now.since(world.start).as_secs_f64();
            let index = usize::from(event.gravity() < Gravity::Warning);
            println!("  {at:6.1} {} {event}", ["WARN", "INFO"][index]);
            told[index].push(event.to_string());
        }
    }
    told
}

/// What is told of `fault` while clients ask `rate` questions a second.
fn told_of(
    name: &str,
    (upstreams, paths): (usize, usize),
    rate: f64,
    fault: Fault,
    judge: impl Fn([Vec<String>; 2]),
) {
    for seed in SEEDS {
        println!("{name}, {upstreams} x {paths}, {rate}/s, seed {seed}:");
        let config = config(upstreams, paths);
        let load = Load {
            rate,
            ..Load::SIDECAR
        };
        let mut world = World::new(seed, &config, load);
        for upstream in &mut world.upstreams[1..] {
            upstream.distance = Duration::from_micros(500);
        }
        world.at(BEGIN, move |world| {
            fault(&mut world.links, &mut world.upstreams)
        });
        world.at(BEGIN + LASTS, |world| {
            rows::heal_and_drain(&mut world.links, &mut world.upstreams)
        });
        world.run(BEGIN + LASTS + AFTER);
        judge(lines(&world, &config));
    }
}

/// One line at the beginning, about this one, and one at the end.
fn once(whom: &str) -> impl Fn([Vec<String>; 2]) + '_ {
    move |[warnings, news]| {
        assert_eq!((warnings.len(), news.len()), (1, 1));
        assert!(warnings[0].starts_with(whom), "{warnings:?}");
        assert!(news[0].starts_with(whom), "{news:?}");
    }
}

#[test]
fn a_path_in_trouble_is_one_line_and_one_when_it_is_over() {
    for rate in [10.0, 200.0] {
        told_of("A a black hole", (2, 2), rate, rows::kill, once("path A "));
        told_of("A swamped", (2, 2), rate, rows::swamp, once("path A "));
        // Doubt moves the questions at once, and the few that still try it may not prove anything in time.
        let at_most_once = |[warnings, news]: [Vec<String>; 2]| {
            assert!(warnings.len() <= 1 && news.len() == warnings.len());
        };
        told_of(
            "A loses 30 %",
            (2, 2),
            rate,
            rows::lose_a_third,
            at_most_once,
        );
    }
}

#[test]
fn a_server_in_trouble_is_one_line_and_one_when_it_is_over() {
    for rate in [10.0, 200.0] {
        told_of(
            "dc1 SERVFAIL",
            (2, 2),
            rate,
            rows::sicken_dc1,
            once("upstream dc1 "),
        );
        told_of(
            "dc1 slow",
            (2, 2),
            rate,
            rows::slow_dc1,
            once("upstream dc1 "),
        );
    }
}

#[test]
fn a_total_outage_is_a_line_or_two_at_each_end() {
    for grid in [(2, 2), (1, 1), (2, 1)] {
        for rate in [2.0, 10.0, 200.0] {
            told_of(
                "all dead",
                grid,
                rate,
                rows::kill_all,
                |[warnings, news]| {
                    assert!((1..=3).contains(&warnings.len()), "{warnings:?}");
                    assert!((1..=2).contains(&news.len()), "{news:?}");
                    let all = |lines: &[String], with: &str| {
                        lines.iter().filter(|it| it.starts_with(with)).count()
                    };
                    assert_eq!(all(&warnings, "no name can be resolved: "), 1);
                    assert_eq!(all(&news, "names resolve again after "), 1);
                },
            );
        }
    }
}

#[test]
fn where_everybody_refuses_everything_no_name_can_be_resolved() {
    for grid in [(1, 1), (2, 1), (2, 2)] {
        for rate in [2.0, 10.0, 200.0] {
            told_of(
                "all refuse",
                grid,
                rate,
                |_, upstreams| {
                    upstreams
                        .iter_mut()
                        .for_each(|it| it.sick = (1.0, Rcode::REFUSED))
                },
                |[warnings, news]| {
                    // One of two may be accused before the other one is tried.
                    assert!((1..=2).contains(&warnings.len()), "{warnings:?}");
                    let outage = warnings.last().expect("at least one");
                    assert!(
                        outage.starts_with("no name can be resolved: upstream"),
                        "{outage}"
                    );
                    assert!(outage.contains("(REFUSED)"), "{outage}");
                    assert_eq!(news.len(), 1, "{news:?}");
                    assert!(
                        news[0].starts_with("names resolve again after "),
                        "{news:?}"
                    );
                },
            );
        }
    }
}

#[test]
fn a_primary_that_dies_before_a_standby_that_refuses_everything_is_an_outage() {
    told_of(
        "dc1 dies, dc2 refuses",
        (2, 1),
        10.0,
        |_, upstreams| {
            upstreams[0].dead = true;
            upstreams[1].sick = (1.0, Rcode::REFUSED);
        },
        |[warnings, _]| {
            let outage = warnings
                .iter()
                .find(|it| it.starts_with("no name can be resolved: "));
            assert!(
                outage.is_some_and(|it| it.contains("REFUSED")),
                "{warnings:?}"
            );
        },
    );
}

#[test]
fn names_of_one_zone_that_is_refused_are_no_outage() {
    for seed in SEEDS {
        let config = config(2, 1);
        let load = Load {
            rate: 0.001,
            ..Load::SIDECAR
        };
        let mut world = World::new(seed, &config, load);
        world.failing.push(Failing {
            whose: Whose::Zone(0),
            at: None,
            fate: Fate::Says(Rcode::REFUSED),
        });
        let asked = Asked::New { first: 0, zones: 1 };
        world.ask_beside(BEGIN, Beside { rate: 5.0, asked });
        world.run(BEGIN + Duration::from_secs(600));
        let told = lines(&world, &config);
        assert_eq!(told, [Vec::<String>::new(), Vec::new()], "seed {seed}");
    }
}

#[test]
fn a_brownout_of_everything_is_told_once() {
    for rate in [10.0, 200.0] {
        told_of(
            "both swamped",
            (2, 2),
            rate,
            rows::swamp_both,
            |[warnings, news]| {
                assert!((1..=3).contains(&warnings.len()), "{warnings:?}");
                assert!((1..=3).contains(&news.len()), "{news:?}");
            },
        );
    }
}

#[test]
fn flapping_every_three_seconds_is_one_trouble() {
    for (name, fault) in [
        ("A flaps", rows::kill as Fault),
        ("all flap", rows::kill_all),
    ] {
        for seed in SEEDS {
            println!("{name}, seed {seed}:");
            let config = config(2, 2);
            let load = Load {
                rate: 50.0,
                ..Load::SIDECAR
            };
            let mut world = World::new(seed, &config, load);
            for period in 0..20 {
                let from = BEGIN + 6 * period * Duration::from_secs(1);
                world.at(from, move |world| {
                    fault(&mut world.links, &mut world.upstreams)
                });
                world.at(from + Duration::from_secs(3), |world| {
                    rows::heal_and_drain(&mut world.links, &mut world.upstreams);
                });
            }
            world.run(BEGIN + Duration::from_secs(120) + 4 * AFTER);
            let [warnings, news] = lines(&world, &config);
            assert!((1..=3).contains(&warnings.len()), "{warnings:?}");
            assert!((1..=3).contains(&news.len()), "{news:?}");
        }
    }
}

#[test]
fn one_lost_in_a_hundred_for_ten_minutes_is_not_told() {
    for (rate, grid) in [
        (20.0, (2, 2)),
        (20.0, (2, 1)),
        (20.0, (1, 1)),
        (2.0, (2, 2)),
    ] {
        for seed in SEEDS {
            println!("1 % lost, {grid:?}, {rate}/s, seed {seed}:");
            let config = config(grid.0, grid.1);
            let load = Load {
                rate,
                ..Load::SIDECAR
            };
            let mut world = World::new(seed, &config, load);
            world.links.iter_mut().for_each(|link| link.loss = 0.005);
            world.run(Duration::from_secs(600));
            let [warnings, news] = lines(&world, &config);
            assert_eq!((warnings, news), (Vec::new(), Vec::new()));
        }
    }
}
