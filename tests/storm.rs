//! The routing engine in a simulated network.
//!
//! The rows of the table it is measured by, each with the figures to reach; then random storms in which
//! the invariants of [`sim::checks`] must hold, and for each invariant a subject that breaks it.
//!
//! `BYWAY_STORMS=n` rages n storms, `BYWAY_SEED=n` the one of that seed, with its story;
//! `BYWAY_PACKETS=1` tells every packet of it too. A row is run with that seed alone, and `BYWAY_STORY=1` tells its story.
//! `cargo test --test storm -- --nocapture` prints every row as it was measured; `BYWAY_SURVEY=n` runs
//! each with n seeds, judges nothing and prints what came of them together. [`sim::wide`] surveys many more rates,
//! grids, ways and faults.

mod sim;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use byway::config::Policy;
use byway::route::{Event, Standing, Subject as Named, Verdict};

use sim::checks;
use sim::clients::{Load, Record};
use sim::foils::{Flaw, Foil};
use sim::rows::{
    BEGIN, Change, END, Row, SEEDS, STOP, heal, heal_and_drain, kill, kill_all, left_dc1,
    left_path_a, lengthen, lose_a_third, lose_a_twentieth, nearly_unnoticed_by_a_sidecar, number,
    sicken_dc1, slow_dc1, strain_dc1, swamp, swamp_a_little, swamp_at_once, swamp_both, unnoticed,
    unnoticed_by_a_sidecar,
};
use sim::storms::{Fault, Storm, What};
use sim::watch::Figures;
use sim::world::{World, config};

#[test]
fn health_costs_next_to_nothing() {
    Row::host("health", |_, _| {}, heal).run(|world, seen| {
        unnoticed(world, seen);
        assert!(seen.x <= 1.01, "x {:.3}", seen.x);
        assert!(
            world.subject.events.is_empty(),
            "{}",
            world.story(Duration::ZERO)
        );
    });
}

#[test]
fn hard_questions_are_nobodys_fault() {
    // Where questions are few the tail is learnt slowly, and by hedges.
    for (name, load, x) in [("1,000/s", Load::HOST, 1.03), ("10/s", Load::SIDECAR, 1.10)] {
        for seed in SEEDS {
            let mut world = World::new(seed, &config(2, 2), load);
            for upstream in &mut world.upstreams {
                upstream.hard = (0.1, Duration::from_millis(150));
            }
            world.at(END, |world| world.links[0].dead = true);
            world.run(STOP);
            let learnt = Duration::from_secs(10);
            let seen = Figures::of(&world, learnt, END);
            let dead = Figures::of(&world, END, STOP - Duration::from_secs(5));
            println!(
                "{name}, one in ten hard {seed} {seen}\n{:<44} {dead}",
                "A dead"
            );
            assert_eq!((seen.failed, dead.failed), (0, 0));
            assert!(seen.x <= x, "x {:.3}", seen.x);
            let told = world.subject.events.iter().filter(|(at, event)| {
                let during = (learnt..END).contains(&at.since(world.start));
                // With so few questions one that takes longer than any before looks like a loss for a while.
                let blames =
                    |verdict: Verdict| verdict.is_bad() || load.rate > 100.0 && !verdict.is_clear();
                during
                    && matches!(event, Event::Verdict { subject, to, .. }
                        if !matches!(subject, Named::Route(_)) && blames(*to))
            });
            assert_eq!(told.count(), 0, "{}", world.story(Duration::ZERO));
        }
    }
}

#[test]
fn path_a_swamped() {
    Row::host("A swamped", swamp, heal).run(left_path_a);
    Row::host("A swamped at once", swamp_at_once, heal).run(left_path_a);
    Row::host("A swamped a little", swamp_a_little, heal).run(left_path_a);
}

#[test]
fn path_a_loses_a_third() {
    Row::host("A loses 30 %", lose_a_third, heal).run(left_path_a);
}

#[test]
fn path_a_black_hole() {
    Row::host("A a black hole", kill, heal).run(left_path_a);
}

#[test]
fn path_a_longer() {
    Row::host("A 2 ms becomes 60 ms", lengthen, heal).run(left_path_a);
}

#[test]
fn path_a_loses_a_twentieth() {
    Row::host("A loses 5 %", lose_a_twentieth, heal).run(|world, seen| {
        unnoticed(world, seen);
        let first = world
            .subject
            .events
            .iter()
            .find(|(at, _)| at.since(world.start) >= BEGIN);
        let noticed = first.expect("noticed").0.since(world.start + BEGIN);
        assert!(
            noticed <= Duration::from_secs(4),
            "noticed after {noticed:?}"
        );
    });
}

#[test]
fn a_slow_server_is_blamed_and_no_path() {
    Row::host("dc1 +400 ms on both paths", slow_dc1, heal).run(left_dc1);
}

#[test]
fn what_another_server_answers_in_time_was_no_hard_question() {
    Row::host("dc1 +400 ms for three in ten", strain_dc1, heal).run(unnoticed);
}

#[test]
fn a_useless_server_is_blamed_and_no_path() {
    Row::host("dc1 answers SERVFAIL at once", sicken_dc1, heal).run(|world, seen| {
        left_dc1(world, seen);
        assert_eq!(seen.over_50, 0);
    });
}

#[test]
fn both_paths_swamped() {
    Row::host("both swamped", swamp_both, heal_and_drain).run(|world, seen| {
        // The ceiling is a multiple of what the last minute of health asked for: that is all of it, the cold cache included.
        let health = Figures::of(world, Duration::ZERO, BEGIN);
        let health = health.packets as f64 / BEGIN.as_secs_f64();
        let ratio = seen.packets as f64 / (END - BEGIN).as_secs_f64() / health;
        let failed = (seen.failed - seen.failed_known) as f64 / seen.unknown as f64;
        println!(
            "{:<44} {ratio:.2} of health's packets, {:.2} % of unknown names failed",
            "",
            failed * 100.0
        );
        assert_eq!(seen.failed_known, 0);
        assert!(
            seen.p99_known <= Duration::from_millis(10),
            "{:?}",
            seen.p99_known
        );
        assert!(failed <= 0.04);
        assert!(ratio <= 1.3);
        // Clients take turns for the room there is: the last of those who waited is served within a second.
        let second = Duration::from_secs(1);
        let clean = Figures::of(world, END + second, STOP - second);
        assert_eq!(
            (clean.failed, clean.over_50),
            (0, 0),
            "not clean a second after"
        );
    });
}

#[test]
fn total_outage() {
    Row::host("no upstream at all", kill_all, heal).run(|world, seen| {
        let health = Figures::of(world, Duration::from_secs(10), BEGIN);
        let ratio = seen.packets as f64 / health.packets as f64;
        println!("{:<44} {ratio:.3} of health's packets", "");
        assert!(ratio <= 0.1);
        assert!(
            seen.p99_known <= Duration::from_millis(5),
            "{:?}",
            seen.p99_known
        );
        let known = Figures::of(
            world,
            BEGIN + Duration::from_secs(2),
            END - Duration::from_secs(2),
        );
        let slowest = world.records.iter().filter(|r| {
            let asked = r.asked.since(world.start);
            asked > BEGIN + Duration::from_secs(2) && asked < END - Duration::from_secs(2)
        });
        let took = |record: &Record| record.answered.expect("answered").since(record.asked);
        let (mut all, mut late) = (0, 0);
        for record in slowest {
            all += 1;
            late += u32::from(took(record) >= Duration::from_secs(1));
        }
        // Whoever asks while a verdict wavers, and gets an attempt out, waits for its answer a while.
        assert!(
            late * 1000 <= all,
            "{late} of {all} errors came after a second or more"
        );
        assert!(
            known.failed_known * 100 < known.asked,
            "names that were known failed"
        );
        let after = Figures::of(
            world,
            END + Duration::from_millis(500),
            STOP - Duration::from_secs(1),
        );
        assert_eq!(
            (after.failed, after.over_50),
            (0, 0),
            "not fresh half a second after"
        );
    });
}

#[test]
fn one_address_over_two_paths() {
    Row::host("one upstream, A swamped", swamp, heal)
        .with(1, 2)
        .run(left_path_a);
    Row::host("one upstream, A a black hole", kill, heal)
        .with(1, 2)
        .run(left_path_a);
}

#[test]
fn what_takes_thirty_times_as_long_finds_the_room_that_it_needs() {
    // There is no other way to go.
    let unknown = Load {
        popular_share: 0.0,
        ..Load::HOST
    };
    for (name, fault) in [
        ("one route, 2 ms becomes 60 ms", lengthen as Change),
        ("one route, +400 ms", slow_dc1),
    ] {
        Row::host(name, fault, heal)
            .with(1, 1)
            .under(unknown)
            .run(|_, seen| assert_eq!(seen.failed, 0));
    }
}

#[test]
fn eight_upstreams_over_three_paths() {
    Row::host("8 x 3, A a black hole", kill, heal)
        .with(8, 3)
        .run(left_path_a);
    Row::host("8 x 3, A loses 30 %", lose_a_third, heal)
        .with(8, 3)
        .run(left_path_a);
}

#[test]
fn path_a_dead_and_alive_in_turn() {
    for seed in SEEDS {
        let mut world = World::new(seed, &config(2, 2), Load::HOST);
        for turn in 0..7u32 {
            let dead = turn % 2 == 0;
            world.at(BEGIN + 3 * turn * Duration::from_secs(1), move |world| {
                world.links[0].dead = dead
            });
        }
        world.at(END, |world| world.links[0].dead = false);
        world.run(STOP);
        let seen = Figures::of(&world, BEGIN, END);
        let changes = world.changes("A", BEGIN, END);
        println!(
            "{:<44} seed {seed} {seen}  {changes} changes",
            "A dead and alive in turn"
        );
        assert_eq!(seen.failed, 0);
        assert!(seen.over_50 <= 10, "{} over 50 ms", seen.over_50);
        assert!(seen.x <= 1.03, "x {:.3}", seen.x);
        // Down four times, up three times in between: no more than that.
        assert!(
            changes <= 8,
            "{changes} verdict changes: {}",
            world.story(BEGIN)
        );
    }
}

#[test]
fn a_sidecar_hardly_notices() {
    Row::sidecar("10/s: A swamped", swamp, heal).run(unnoticed_by_a_sidecar);
    Row::sidecar("10/s: A a black hole", kill, heal).run(unnoticed_by_a_sidecar);
    Row::sidecar("10/s: A 2 ms becomes 60 ms", lengthen, heal).run(unnoticed_by_a_sidecar);
    Row::sidecar("10/s: dc1 +400 ms", slow_dc1, heal).run(unnoticed_by_a_sidecar);
    Row::sidecar("10/s: dc1 answers SERVFAIL", sicken_dc1, heal).run(unnoticed_by_a_sidecar);
    // A path that loses some is tried, and trusted too early, more often than one that loses all.
    Row::sidecar("10/s: A loses 30 %", lose_a_third, heal).run(nearly_unnoticed_by_a_sidecar);
    Row::sidecar("10/s: A loses 5 %", lose_a_twentieth, heal).run(nearly_unnoticed_by_a_sidecar);
    let one = |name, fault| Row::sidecar(name, fault, heal).with(1, 2);
    one("10/s, one upstream: A swamped", swamp).run(unnoticed_by_a_sidecar);
    one("10/s, one upstream: A a black hole", kill).run(unnoticed_by_a_sidecar);
    one("10/s, one upstream: A loses 30 %", lose_a_third).run(nearly_unnoticed_by_a_sidecar);
}

#[test]
fn a_surge_gets_what_there_is_and_no_verdict() {
    // Few enough popular names for the servers to renew them all beside what is new.
    let usual = Load {
        popular: 200,
        ..Load::HOST
    };
    for seed in SEEDS {
        let mut world = World::new(seed, &config(2, 2), usual);
        // Together a tenth of it.
        world
            .upstreams
            .iter_mut()
            .for_each(|upstream| upstream.capacity = 300.0);
        // Twenty times the names never seen before.
        let surge = Load {
            rate: 6700.0,
            popular_share: 0.7 / 6.7,
            ..usual
        };
        world.at(BEGIN, move |world| world.load = surge);
        world.at(END, move |world| world.load = usual);
        world.run(STOP);
        let settled = BEGIN + Duration::from_secs(2);
        let seen = Figures::of(&world, settled, END);
        let useful = world.came_back(settled, END) as f64 / (END - settled).as_secs_f64();
        println!(
            "{:<44} seed {seed} {seen}  {useful:.0} answers/s of 600",
            "20 x the unknown names"
        );
        assert!(useful >= 0.9 * 600.0, "{useful:.0} answers a second");
        assert!(
            seen.p99_known <= Duration::from_millis(5),
            "{:?}",
            seen.p99_known
        );
        assert_eq!(world.subject.engine().standing(), Standing::Clear);
        if std::env::var_os("BYWAY_STORY").is_some() {
            println!("{}", world.story(BEGIN - Duration::from_secs(1)));
        }
        let after = Figures::of(
            &world,
            END + Duration::from_secs(1),
            STOP - Duration::from_secs(1),
        );
        assert_eq!(
            (after.failed, after.over_250),
            (0, 0),
            "not recovered after a second"
        );
        // All popular names have expired meanwhile: what was left to ask is asked beside what is new.
        let after = Figures::of(
            &world,
            END + Duration::from_secs(4),
            STOP - Duration::from_secs(1),
        );
        assert_eq!(after.over_50, 0, "still catching up after four seconds");
    }
}

/// Storms that once broke an invariant, each in its own way.
const LEARNT: [u64; 7] = [404, 3133, 3831, 5583, 5620, 7401, 12316];

/// The seeds of the storms to rage.
fn storms() -> Vec<u64> {
    match (number("BYWAY_SEED"), number("BYWAY_STORMS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).collect(),
        (None, None) => (0..100).chain(LEARNT).collect(),
    }
}

#[test]
fn the_invariants_hold_in_every_storm() {
    let seeds = storms();
    let (next, alone) = (AtomicUsize::new(0), seeds.len() == 1);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let storm = Storm::of(seed);
                    let mut world = World::new(seed, &storm.config(), storm.load);
                    storm.rage(&mut world);
                    if alone {
                        println!("{storm:#?}\n{}", world.story(Duration::ZERO));
                        if std::env::var_os("BYWAY_PACKETS").is_some() {
                            println!("{}", world.parcels(sim::storms::CALM));
                        }
                    }
                    for (name, check) in checks::all() {
                        if let Err(found) = check(&world, &storm) {
                            broken
                                .lock()
                                .unwrap()
                                .push(format!("BYWAY_SEED={seed}: {name}: {found}"));
                        }
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(
        broken.is_empty(),
        "{} of {}:\n{}",
        broken.len(),
        seeds.len(),
        broken.join("\n")
    );
}

/// A storm in which each foil shows its flaw: the first path dies for a while.
fn exposing() -> Storm {
    let from = Duration::from_secs(25);
    let fault = Fault {
        from,
        until: from + Duration::from_secs(10),
        what: What::Dead { path: 0 },
    };
    let load = Load {
        rate: 50.0,
        popular: 1,
        popular_share: 0.0,
    };
    Storm {
        seed: 0,
        upstreams: 2,
        paths: 2,
        policy: Policy::Fastest,
        load,
        faults: vec![fault],
    }
}

/// The checks that this foil fails, in this storm.
fn caught(flaw: Flaw, storm: &Storm) -> Vec<&'static str> {
    let routes = storm.upstreams * storm.paths;
    let mut world = World::around(
        Foil::new(flaw, routes),
        storm.seed,
        &storm.config(),
        storm.load,
    );
    storm.rage(&mut world);
    let failed = checks::all()
        .into_iter()
        .filter(|(_, check)| check(&world, storm).is_err());
    failed.map(|(name, _)| name).collect()
}

#[test]
fn every_check_catches_its_foil() {
    let storm = exposing();
    for (flaw, check) in [
        (Flaw::AnswersTwice, "every question gets one answer in time"),
        (Flaw::AsksEveryone, "no budget is exceeded in any window"),
        (
            Flaw::SticksToFirst,
            "no clear route is unused while questions fail",
        ),
        (Flaw::NeverReturns, "what healed carries traffic again"),
        (Flaw::ForgetsNothing, "nothing is left over"),
        (Flaw::Dithers, "verdicts do not oscillate"),
        (
            Flaw::Dithers,
            "each change told follows from the one before",
        ),
    ] {
        assert!(
            caught(flaw, &storm).contains(&check),
            "{flaw:?} was not caught"
        );
    }
}

#[test]
fn no_check_catches_the_innocent() {
    let quiet = Storm {
        faults: Vec::new(),
        ..exposing()
    };
    assert_eq!(caught(Flaw::None, &quiet), Vec::<&str>::new());
}
