//! The flight recorder in the simulated network: what `byway incident` tells of a storm names the culprit that the
//! storm had, and what it writes of an incident in the field is replayed.

use std::sync::Arc;
use std::time::Duration;

use byway::clock::Time;
use byway::observe::event::Gravity;
use byway::observe::metrics::{Reading, Value};
use byway::observe::names;
use byway::observe::trouble::{Felt, Place, Sight, Troubles};
use byway::record::incident::{self, Account, Incident};
use byway::record::{Layout, Log, Recorder, Stamp};
use byway::route::{AttemptKind, PoolId};
use serde_json::json;

use super::clients::Load;
use super::network::Link;
use super::resolver::Resolver;
use super::rows::{
    BEGIN, Change, END, heal_and_drain, kill, kill_all, lose_a_third, sicken_dc1, slow_dc1, swamp,
};
use super::watch::Figures;
use super::world::{World, config};

/// How often troubles are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// An attempt that has not come back by then is lost.
const LOST: Duration = Duration::from_secs(2);
/// A day in 2026, in milliseconds.
const WALL: u64 = 1_780_000_000_000;

fn stamp(world: &World<Resolver>, at: Time) -> Stamp {
    let millis = at.since(world.start).as_millis() as u64;
    Stamp {
        wall: WALL + millis,
        life: 1_000_000 + millis,
        boot: 1,
        run: 1,
    }
}

fn troubles(world: &World<Resolver>) -> Troubles {
    let place = |route: &byway::route::Route| {
        let (upstream, path) = route.name.split_once('@').expect("a route's name");
        Place {
            route: Arc::clone(&route.name),
            upstream: upstream.into(),
            path: path.into(),
            pools: vec![0],
        }
    };
    let places: Vec<Place> = world.routes.iter().map(place).collect();
    Troubles::new(&places, &[None], Duration::from_secs(10))
}

/// Answers, failures and stale answers so far, of questions that are old enough to be told of.
fn felt(world: &World<Resolver>) -> [u64; 3] {
    let mut felt = [0; 3];
    for record in &world.records {
        let failed = match record.answered {
            Some(_) => !record.good,
            None if world.now.since(record.asked) < Duration::from_secs(5) => continue,
            None => true,
        };
        felt[0] += 1;
        felt[1] += u64::from(failed);
        felt[2] += u64::from(record.stale);
    }
    felt
}

/// What a recorder would read.
fn readings(world: &World<Resolver>) -> Vec<Reading> {
    let reading = |series, labels: &[&str], count: u64| Reading {
        series,
        labels: labels.iter().map(|it| it.to_string()).collect(),
        value: Value::Number(count as f64),
    };
    let [asked, failed, stale] = felt(world);
    let mut all: Vec<Reading> = [
        ("miss", asked - failed - stale),
        ("failed", failed),
        ("stale", stale),
    ]
    .map(|(result, count)| reading(&names::QUERIES, &["sim", "udp", result], count))
    .to_vec();
    for route in &world.routes {
        let (upstream, path) = route.name.split_once('@').expect("a route's name");
        let mine = || {
            let own = |it: &&super::world::Packet| {
                (it.path, it.upstream) == (route.path.0, route.upstream.0)
            };
            world.packets.iter().filter(own)
        };
        for (name, kind) in [
            ("primary", AttemptKind::Primary),
            ("hedge", AttemptKind::Hedge),
            ("retry", AttemptKind::Retry),
            ("probe", AttemptKind::Probe),
            ("refresh", AttemptKind::Refresh),
        ] {
            let count = mine().filter(|it| it.kind == kind).count() as u64;
            all.push(reading(
                &names::ATTEMPTS_SENT,
                &[upstream, path, name],
                count,
            ));
        }
        let ended = || mine().filter(|it| world.now.since(it.at) >= LOST);
        let answered = ended().filter(|it| it.came_back).count() as u64;
        let lost = ended().count() as u64 - answered;
        all.push(reading(
            &names::ATTEMPTS,
            &[upstream, path, "answered"],
            answered,
        ));
        all.push(reading(
            &names::ATTEMPTS,
            &[upstream, path, "timed-out"],
            lost,
        ));
    }
    all
}

/// Runs the world until `stop` and records it.
fn record(world: &mut World<Resolver>, stop: Duration) -> Log {
    let mut recorder = Recorder::new(None, Layout::of(16 << 20));
    let mut troubles = troubles(world);
    let (mut heard, mut events) = (0, Vec::new());
    let (mut elapsed, mut counted) = (Duration::ZERO, [0; 3]);
    while elapsed < stop {
        elapsed += LOOK;
        world.run(elapsed);
        let mut told = Vec::new();
        for (at, event) in &world.subject.events[heard..] {
            troubles.hear(*at, event);
            told.push((*at, event.clone()));
        }
        heard = world.subject.events.len();
        // Counting is dear; a second's end is near.
        if elapsed.subsec_millis() == 0 {
            counted = felt(world);
        }
        let [asked, failed, stale] = counted;
        let (useful, vain) = {
            let engine = world.subject.engine();
            (
                engine.last_useful(PoolId::MAIN),
                engine.in_vain(PoolId::MAIN),
            )
        };
        let sight = Sight {
            felt: Felt {
                asked,
                failed,
                stale,
                again: 0,
            },
            useful: vec![useful],
            vain: vec![vain],
            known: 1,
            slept: Duration::ZERO,
        };
        let new = troubles.look(world.now, &sight);
        told.extend(new.into_iter().map(|event| (world.now, event)));
        for (at, event) in told {
            let mut object = event.facts();
            object.insert("kind".into(), json!(event.kind()));
            object.insert("trouble".into(), json!(event.gravity() == Gravity::Warning));
            object.insert("detail".into(), json!(event.gravity() == Gravity::Detail));
            object.insert("text".into(), json!(event.to_string()));
            events.push((stamp(world, at), serde_json::Value::Object(object)));
        }
        if elapsed.subsec_millis() == 0 {
            recorder.second(&stamp(world, world.now), &readings(world), &events);
            events.clear();
        }
    }
    let memory = recorder.watcher().memory();
    let mut log = Log::default();
    let len = memory.len() as u64;
    log.add(Box::new(memory), len).expect("memory can be read");
    log
}

fn world(seed: u64) -> World<Resolver> {
    let load = Load {
        rate: 200.0,
        ..Load::HOST
    };
    let mut world = World::new(seed, &config(2, 2), load);
    for upstream in &mut world.upstreams[1..] {
        upstream.distance = Duration::from_micros(500);
    }
    world
}

fn at(moment: Duration) -> u64 {
    WALL + moment.as_millis() as u64
}

#[test]
fn an_incident_names_the_culprit_that_the_storm_had() {
    let rows: [(&str, Change, &str); 6] = [
        ("a full queue on A", swamp, "A"),
        ("A dead", kill, "A"),
        ("A loses a third", lose_a_third, "A"),
        ("dc1 answers SERVFAIL", sicken_dc1, "dc1"),
        ("dc1 slow", slow_dc1, "dc1"),
        ("everything dead", kill_all, ""),
    ];
    for (name, fault, culprit) in rows {
        let mut world = world(1);
        world.at(BEGIN, move |world| {
            fault(&mut world.links, &mut world.upstreams)
        });
        world.at(END, |world| {
            heal_and_drain(&mut world.links, &mut world.upstreams)
        });
        let log = record(&mut world, END + Duration::from_secs(40));
        let found = incident::find(&log);
        let middle = at((BEGIN + END) / 2);
        let found: Vec<&Incident> = found.iter().filter(|it| it.holds(middle)).collect();
        let [incident] = found[..] else {
            panic!("{name}: {found:#?}\n{}", world.story(BEGIN));
        };
        let account = Account::of(&log, incident);
        let text = incident::text(&account);
        println!("--- {name}\n{text}");
        assert!(!text.contains("nobody asked"), "{name}:\n{text}");
        let begins = incident.start.abs_diff(at(BEGIN));
        assert!(begins <= 3_000, "{name} begins {begins} ms off:\n{text}");
        assert!(
            incident.end.is_some_and(|end| end >= at(END) - 5_000),
            "{name}:\n{text}"
        );
        for blamed in incident.blamed.iter().filter(|it| !it.explained) {
            let right = match &blamed.subject {
                None => culprit.is_empty(),
                Some((_, subject)) => {
                    !culprit.is_empty() && subject.split('@').any(|part| part == culprit)
                }
            };
            assert!(right, "{name}: {} is not to blame:\n{text}", blamed.name());
        }
        match culprit {
            "" => assert!(
                account.headline.starts_with("no name could be resolved"),
                "{text}"
            ),
            culprit => {
                assert!(account.headline.contains(culprit), "{text}");
                assert!(
                    account.worth.iter().all(|it| it.samples > 0),
                    "{name}: trials are measured:\n{text}"
                );
            }
        }
    }
}

/// What `byway incident --scenario` wrote of two paths on a host, of which the nearer one lost everything for a while.
const FIELD: &str = include_str!("scenario.json");

/// A scenario's routes stand for the paths and upstreams of the simulated ones, in the order of their names.
fn replay(world: &mut World<Resolver>, scenario: &serde_json::Value) {
    let names = |key: &str| {
        let routes = scenario["routes"].as_array().expect("routes");
        let mut names: Vec<String> = routes
            .iter()
            .filter_map(|it| Some(it[key].as_str()?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let paths = names("path");
    assert_eq!(
        (paths.len(), names("upstream").len()),
        (world.links.len(), world.upstreams.len())
    );
    for (index, path) in paths.iter().enumerate() {
        let routes = scenario["routes"].as_array().expect("routes");
        let mine = routes.iter().filter(|it| it["path"] == path.as_str());
        // What every route over a path showed was the path's: the least loss, the shortest round trip.
        let mut seconds: std::collections::BTreeMap<u64, (f64, f64)> = Default::default();
        for second in mine.filter_map(|it| it["seconds"].as_array()).flatten() {
            let number = second["second"].as_u64().expect("a second");
            let least = seconds
                .entry(number)
                .or_insert((f64::INFINITY, f64::INFINITY));
            least.0 = least
                .0
                .min(second["loss"].as_f64().unwrap_or(f64::INFINITY));
            least.1 = least.1.min(second["rtt"].as_f64().unwrap_or(f64::INFINITY));
        }
        // What was not measured stays as it was.
        for (second, (loss, rtt)) in seconds {
            world.at(Duration::from_secs(second), move |world| {
                let link: &mut Link = &mut world.links[index];
                if loss.is_finite() {
                    (link.dead, link.loss) = (loss >= 1.0, 1.0 - (1.0 - loss).max(0.0).sqrt());
                }
                if rtt.is_finite() && loss < 1.0 {
                    link.delay = Duration::from_secs_f64(rtt / 2.0);
                }
            });
        }
    }
}

#[test]
fn an_incident_in_the_field_is_replayed() {
    let scenario: serde_json::Value = serde_json::from_str(FIELD).expect("a scenario");
    assert_eq!(scenario["byway-scenario"], 1);
    let blamed = scenario["blamed"].as_array().expect("names");
    assert!(blamed.contains(&json!("path eth0")), "{blamed:?}");
    let moment = |key: &str| Duration::from_secs_f64(scenario[key].as_f64().expect("a moment"));
    let (begins, ends) = (moment("begins"), moment("ends"));
    let mut world = world(1);
    replay(&mut world, &scenario);
    world.run(ends + Duration::from_secs(20));
    let seen = Figures::of(&world, begins, ends);
    println!("{seen}\n{}", world.story(Duration::ZERO));
    assert_eq!(seen.failed, 0, "{seen}");
    assert!(seen.on_first_path < 0.2, "{seen}");
    let blamed = |name| world.changes(name, begins - Duration::from_secs(2), ends) > 0;
    assert!(blamed("A"), "path A was never accused");
    // A doubt for a moment accuses nobody.
    let story = world.story(Duration::ZERO).to_string();
    let servers = story.lines().filter(|line| line.contains("upstream dc"));
    for line in servers {
        let found = ["-> congested", "-> sick", "-> dead"];
        assert!(!found.iter().any(|it| line.contains(it)), "{line}");
    }
}
