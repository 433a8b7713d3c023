use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::config::Config;
use crate::config::{Policy, ZoneConfig};
use crate::observe::said::Reason;
use crate::route::choose::Rank;
use crate::route::testing::grid;
use crate::route::{About, Ask, AttemptId, Event, Outcome, Prospect, Purpose, Race, Refused, Step};

/// The pool of the zone `corp.example`.
const CORP: PoolId = PoolId(1);

/// Four upstreams over two paths: the first two are for all names, the others for one zone, which shares the second
/// with them if `shared`.
fn config(shared: bool) -> Config {
    let mut config = grid(4, &["eth1", "eth2"]);
    let mut upstreams = vec![2, 3];
    if shared {
        upstreams.push(1);
        // Named by a zone it is the zone's alone unless the root's names it too.
        config.zones.push(zone(b"\0", vec![0, 1]));
    }
    config.zones.push(zone(b"\x04corp\x07example\0", upstreams));
    config
}

fn zone(name: &[u8], upstreams: Vec<usize>) -> ZoneConfig {
    ZoneConfig::new(vec![name.to_vec()], upstreams)
}

struct World {
    engine: Engine,
    rng: StdRng,
    now: Time,
    /// Upstreams that answer nothing.
    dead: BTreeSet<u16>,
    races: Vec<(Race, PoolId)>,
    out: Vec<(Time, usize, AttemptId, u16)>,
    /// Over which upstreams questions of each pool went, probes without a question not counted.
    went: [BTreeSet<u16>; 2],
    packets: [u32; 4],
    failed: [u32; 2],
}

impl World {
    fn new(config: &Config, seed: u64) -> World {
        World {
            engine: Engine::new(config, Time::START),
            rng: StdRng::seed_from_u64(seed),
            now: Time::START,
            dead: BTreeSet::new(),
            races: Vec::new(),
            out: Vec::new(),
            went: Default::default(),
            packets: [0; 4],
            failed: [0; 2],
        }
    }

    fn take(&mut self, race: usize, step: &Step) {
        for send in [step.send, step.also].into_iter().flatten() {
            let upstream = self.engine.record(send.route).route.upstream.0;
            self.packets[usize::from(upstream)] += 1;
            let (of, pool) = &self.races[race];
            if !matches!(of.ask.purpose, Purpose::Probe(_)) {
                self.went[usize::from(pool.0)].insert(upstream);
            }
            self.out.push((
                self.now + Duration::from_millis(2),
                race,
                send.attempt,
                upstream,
            ));
        }
        if let Some(crate::route::Finish::Failed(_)) = step.finish {
            let pool = self.races[race].1;
            self.failed[usize::from(pool.0)] += 1;
        }
    }

    fn ask(&mut self, purpose: Purpose, pool: PoolId) -> Result<(), Refused> {
        let ask = Ask {
            purpose,
            about: About {
                name: self.rng.next_u64() | 1,
                ..About::PLAIN
            },
            deadline: self.now + Duration::from_secs(4),
            again: false,
            light: false,
            pool,
        };
        let (race, step) = Race::start(&mut self.engine, &ask, self.now, &mut self.rng)?;
        self.races.push((race, pool));
        self.take(self.races.len() - 1, &step);
        Ok(())
    }

    /// Lets `millis` pass, with a question for each pool every ten.
    fn run(&mut self, millis: u64) {
        for step in 0..millis {
            self.now = self.now + Duration::from_millis(1);
            let tick = self.engine.tick(self.now, &mut self.rng);
            for route in tick.probes {
                self.ask(Purpose::Probe(route), PoolId::MAIN)
                    .expect("a probe");
            }
            if step % 10 == 0 {
                for pool in [PoolId::MAIN, CORP] {
                    let purpose = match self.rng.random_range(0..4) {
                        0 => Purpose::Refresh,
                        1 => Purpose::Held,
                        _ => Purpose::Client,
                    };
                    let _ = self.ask(purpose, pool);
                }
            }
            let due = |it: &(Time, usize, AttemptId, u16)| it.0 <= self.now;
            let (ready, later) = std::mem::take(&mut self.out).into_iter().partition(due);
            self.out = later;
            let ready: Vec<_> = ready;
            for (_, race, id, upstream) in ready {
                if self.dead.contains(&upstream) {
                    continue;
                }
                let outcome = match self.rng.random_range(0..50) {
                    0 => Outcome::Poor(crate::wire::Rcode::SERVFAIL),
                    1 => Outcome::Unreachable(Reason::REFUSED),
                    _ => Outcome::Answered,
                };
                let (now, rng) = (self.now, &mut self.rng);
                let of = &mut self.races[race].0;
                let step = of.outcome(&mut self.engine, id, outcome, now, now, rng);
                self.take(race, &step);
            }
            if step % 20 == 0 {
                for race in 0..self.races.len() {
                    let (now, rng) = (self.now, &mut self.rng);
                    let step = self.races[race].0.timer(&mut self.engine, now, rng);
                    self.take(race, &step);
                }
            }
        }
    }

    fn told(&mut self) -> Vec<String> {
        let events = self.engine.take_events();
        let of_pools = events.filter(|(_, event)| {
            matches!(
                event,
                Event::NothingClear { .. } | Event::Outage { .. } | Event::OutageOver { .. }
            )
        });
        of_pools.map(|(_, event)| event.to_string()).collect()
    }
}

/// Whatever fails, no packet of a question leaves its pool: not for a hedge, a retry, a refresh or a measurement.
#[test]
fn questions_keep_to_their_pool() {
    for shared in [false, true] {
        for policy in [Policy::Fastest, Policy::Ordered, Policy::Spread] {
            for seed in 0..3 {
                let mut config = config(shared);
                config.routing.policy = policy;
                let mut world = World::new(&config, seed);
                world.run(600);
                for dead in [[0, 2], [1, 3], [2, 3], [0, 1]] {
                    world.dead = BTreeSet::from(dead);
                    world.run(600);
                }
                let case = format!("shared {shared}, {policy:?}, seed {seed}");
                assert_eq!(world.went[0], BTreeSet::from([0, 1]), "{case}");
                let corp = [2, 3].into_iter().chain(shared.then_some(1));
                assert_eq!(world.went[1], corp.collect(), "{case}");
            }
        }
    }
}

#[test]
fn a_dead_pool_takes_nothing_from_another_one() {
    for dead in [[2, 3], [0, 1]] {
        let mut world = World::new(&config(false), 1);
        world.run(3000);
        (world.failed, world.dead) = ([0; 2], BTreeSet::from(dead));
        world.run(4000);
        let (well, down) = match dead {
            [2, 3] => (PoolId::MAIN, CORP),
            _ => (CORP, PoolId::MAIN),
        };
        assert_ne!(world.engine.standing_of(down), Standing::Clear);
        assert_eq!(world.engine.standing_of(well), Standing::Clear);
        assert_eq!(world.failed[usize::from(well.0)], 0);
        let prospect = world.engine.prospect(well, world.now);
        assert!(matches!(prospect, Prospect::Answer(_)), "{prospect:?}");
        let told = world.told();
        let of = |line: &String| line.contains("for corp.example") == (down == CORP);
        assert!(!told.is_empty() && told.iter().all(of), "{told:?}");
        // What goes to the dead stays under their own ceiling: 1.3 times the 100 a second of health.
        let before = world.packets;
        world.run(5000);
        let sent = |of: u16| world.packets[usize::from(of)] - before[usize::from(of)];
        assert!(
            sent(dead[0]) + sent(dead[1]) <= 1_000,
            "{before:?} {:?}",
            world.packets
        );
        world.dead.clear();
        let healed = world.now;
        while world.engine.standing_of(down) != Standing::Clear {
            world.run(100);
            assert!(
                world.now.since(healed) < Duration::from_secs(10),
                "found again"
            );
        }
    }
}

#[test]
fn what_two_pools_share_is_known_to_both() {
    let mut world = World::new(&config(true), 1);
    world.run(2000);
    world.dead = BTreeSet::from([1]);
    world.run(3000);
    for pool in [PoolId::MAIN, CORP] {
        assert_eq!(world.engine.standing_of(pool), Standing::Clear);
        for (_, record) in world.engine.records_of(pool) {
            assert_eq!(
                record.rank >= Rank::Suspect,
                record.route.upstream.0 == 1,
                "{:?}",
                record.route
            );
        }
    }
}

#[test]
fn the_order_is_that_of_the_zone() {
    let mut config = config(false);
    config.zones[0].upstreams = vec![3, 2];
    config.zones[0].policy = Some(Policy::Ordered);
    let mut world = World::new(&config, 1);
    let first = world
        .engine
        .choose(CORP, world.now, &mut world.rng)
        .expect("a route");
    assert_eq!(world.engine.record(first).route.upstream, UpstreamId(3));
    let first = world.engine.record(first).route.clone();
    assert!(!world.engine.is_provisional(CORP, RouteId(6)), "{first:?}");
    assert!(
        world.engine.is_provisional(CORP, RouteId(4)),
        "the second's denial"
    );
}

#[test]
fn zones_alike_share_a_pool() {
    let mut config = config(false);
    for label in 0..100u8 {
        config.zones.push(zone(&[1, label, 0], vec![2, 3]));
        config.zones.push(zone(&[2, label, label, 0], Vec::new()));
    }
    let (pools, of) = config.pools();
    assert_eq!(pools.len(), 2);
    assert_eq!(pools[0].upstreams, [0, 1]);
    assert_eq!(of[1..5], [1, 0, 1, 0]);
}
