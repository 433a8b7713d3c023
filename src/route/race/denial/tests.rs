use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::config::lineup::Lineup;
use crate::config::{Config, Policy};
use crate::observe::said::Reason;
use crate::route::choose::Rank;
use crate::route::choose::precedence::Precedence;
use crate::route::constants::choose::choice::TRIES_PER_SERVER;
use crate::route::ids::{PoolId, UpstreamId};
use crate::route::testing::grid;
use crate::route::{Ask, Outcome, PathId, Send};
use crate::wire::Rcode;

/// The first upstream and the second, over one path.
const FIRST: RouteId = RouteId(0);
const SECOND: RouteId = RouteId(1);

struct World {
    engine: Engine,
    rng: StdRng,
    now: Time,
}

impl World {
    fn new(policy: Policy, change: impl FnOnce(&mut Config)) -> World {
        let mut config = grid(2, &["eth1"]);
        config.routing.policy = policy;
        change(&mut config);
        World {
            engine: Engine::new(&config, Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
        }
    }

    fn ordered() -> World {
        World::new(Policy::Ordered, |_| {})
    }

    fn ask(&mut self) -> (Race, Step) {
        self.engine.tick(self.now, &mut self.rng);
        let ask = Ask {
            purpose: Purpose::Client,
            about: crate::route::About::PLAIN,
            deadline: self.now + Duration::from_millis(4500),
            again: false,
            light: false,
            pool: crate::route::PoolId::MAIN,
        };
        Race::start(&mut self.engine, &ask, self.now, &mut self.rng).expect("a route")
    }

    fn tell(&mut self, race: &mut Race, send: Send, outcome: Outcome) -> Step {
        let (engine, now) = (&mut self.engine, self.now);
        race.outcome(engine, send.attempt, outcome, now, now, &mut self.rng)
    }

    fn deny(&mut self, race: &mut Race, send: Send) -> Step {
        race.denies(send.attempt);
        self.tell(race, send, Outcome::Answered)
    }

    /// Lets time pass until the race sends something or ends.
    fn wait(&mut self, race: &mut Race, mut step: Step) -> Step {
        while step.finish.is_none() {
            self.now = step.wake.expect("it goes on");
            step = race.timer(&mut self.engine, self.now, &mut self.rng);
            if step.send.is_some() {
                break;
            }
        }
        step
    }

    /// A question that the first upstream lets wait, up to its hedge: primary and hedge.
    fn hedged(&mut self) -> (Race, Send, Send) {
        let (mut race, step) = self.ask();
        let primary = step.send.expect("sent");
        assert_eq!(primary.route, FIRST);
        let hedge = self.wait(&mut race, step).send.expect("hedged");
        assert_eq!((hedge.route, hedge.kind), (SECOND, AttemptKind::Hedge));
        (race, primary, hedge)
    }
}

#[test]
fn a_later_upstreams_denial_waits_for_the_first_ones_word() {
    let mut world = World::ordered();
    let (mut race, primary, hedge) = world.hedged();
    let step = world.deny(&mut race, hedge);
    assert_eq!((step.finish, step.send), (None, None));
    assert_eq!(race.denial(), Some(hedge.attempt));
    world.now = world.now + Duration::from_millis(5);
    let step = world.tell(&mut race, primary, Outcome::Answered);
    assert_eq!(step.finish, Some(Finish::Answer(primary.attempt)));

    // The first one's own denial is final, and so is what the second knows.
    let (mut race, step) = world.ask();
    let primary = step.send.expect("sent");
    let step = world.deny(&mut race, primary);
    assert_eq!(step.finish, Some(Finish::Answer(primary.attempt)));
    let mut world = World::ordered();
    let (mut race, _, hedge) = world.hedged();
    let step = world.tell(&mut race, hedge, Outcome::Answered);
    assert_eq!(step.finish, Some(Finish::Answer(hedge.attempt)));
}

#[test]
fn it_counts_if_the_first_stays_silent() {
    let mut world = World::ordered();
    let (mut race, _, hedge) = world.hedged();
    let denied = world.now;
    let mut step = world.deny(&mut race, hedge);
    let mut again = Vec::new();
    while step.finish.is_none() {
        step = world.wait(&mut race, step);
        again.extend(step.send.map(|send| send.route));
    }
    assert_eq!(step.finish, Some(Finish::Answer(hedge.attempt)));
    assert!(
        !again.is_empty() && again.len() < TRIES_PER_SERVER,
        "{again:?}"
    );
    assert!(again.iter().all(|&route| route == FIRST), "{again:?}");
    assert!(world.now.since(denied) <= HELD);
    assert!(
        world.engine.is_provisional(PoolId::MAIN, SECOND)
            && !world.engine.is_provisional(PoolId::MAIN, FIRST)
    );
}

#[test]
fn one_that_was_left_for_being_slow_is_asked_all_the_same() {
    let mut world = World::ordered();
    for left in [Rank::Suspect, Rank::Congested, Rank::Sick] {
        world.now = world.now + Duration::from_millis(20);
        world.engine.hold_for(FIRST, left);
        let (mut race, step) = world.ask();
        let primary = step.send.expect("sent");
        assert_eq!(primary.route, SECOND);
        let step = world.deny(&mut race, primary);
        let first = step.send.expect("the first is asked too");
        assert_eq!((step.finish, first.route), (None, FIRST));
        world.now = world.now + Duration::from_millis(400);
        let step = world.tell(&mut race, first, Outcome::Answered);
        assert_eq!(step.finish, Some(Finish::Answer(first.attempt)));
    }
}

#[test]
fn it_counts_at_once_if_the_first_has_nothing_to_say() {
    // It failed already.
    let mut world = World::ordered();
    let (mut race, step) = world.ask();
    let poor = Outcome::Poor(Rcode::SERVFAIL);
    let step = world.tell(&mut race, step.send.expect("sent"), poor);
    let retry = step.send.expect("another server is asked");
    assert_eq!(retry.route, SECOND);
    let step = world.deny(&mut race, retry);
    assert_eq!(step.finish, Some(Finish::Answer(retry.attempt)));

    // It fails while the denial is held back.
    let mut world = World::ordered();
    let (mut race, primary, hedge) = world.hedged();
    world.deny(&mut race, hedge);
    let step = world.tell(&mut race, primary, poor);
    assert_eq!(step.finish, Some(Finish::Answer(hedge.attempt)));

    // It is dead, and not asked at all.
    let mut world = World::ordered();
    for _ in 0..1_000 {
        world.now = world.now + Duration::from_millis(50);
        let (mut race, step) = world.ask();
        let mut sends: Vec<_> = [step.send, step.also].into_iter().flatten().collect();
        while let Some(send) = sends.pop() {
            let step = match send.route {
                FIRST => world.tell(&mut race, send, Outcome::Unreachable(Reason::REFUSED)),
                _ => world.tell(&mut race, send, Outcome::Answered),
            };
            sends.extend(step.send);
        }
        if world.engine.rank_of(FIRST) == Rank::Dead {
            break;
        }
    }
    assert_eq!(world.engine.rank_of(FIRST), Rank::Dead);
    let (mut race, step) = world.ask();
    let primary = step.send.expect("sent");
    assert_eq!(primary.route, SECOND);
    let step = world.deny(&mut race, primary);
    assert_eq!(step.finish, Some(Finish::Answer(primary.attempt)));
    assert!(world.engine.is_provisional(PoolId::MAIN, SECOND));
}

#[test]
fn a_measurement_never_answers_over_a_route_that_comes_later() {
    let backup = |config: &mut Config| config.upstreams[1].backup = true;
    for mut world in [World::ordered(), World::new(Policy::Fastest, backup)] {
        let (mut race, step) = world.ask();
        let (primary, also) = (step.send.expect("sent"), step.also.expect("measured"));
        assert_eq!((primary.route, also.route), (FIRST, SECOND));
        let step = world.tell(&mut race, also, Outcome::Answered);
        assert_eq!(step.finish, None);
        let step = world.tell(&mut race, primary, Outcome::Answered);
        assert_eq!(step.finish, Some(Finish::Answer(primary.attempt)));
    }
}

#[test]
fn among_equals_the_first_word_counts() {
    let mut world = World::new(Policy::Fastest, |_| {});
    let (mut race, step) = world.ask();
    let also = step.also.expect("measured");
    let step = world.deny(&mut race, also);
    assert_eq!(step.finish, Some(Finish::Answer(also.attempt)));
    assert!(
        !world.engine.is_provisional(PoolId::MAIN, FIRST)
            && !world.engine.is_provisional(PoolId::MAIN, SECOND)
    );
}

#[test]
fn a_path_that_is_a_backup_does_not_part_what_upstreams_know() {
    let mut config = grid(2, &["eth1", "eth2"]);
    config.paths[1].backup = true;
    let equal = Precedence::new(&Lineup::new(&config), &[0, 1], config.routing.policy);
    assert!(equal.is_first(UpstreamId(0)) && equal.is_first(UpstreamId(1)));
    // But who can be reached over a backup only is one.
    config.upstreams[1].paths = vec![1];
    let parted = Precedence::new(&Lineup::new(&config), &[0, 1], config.routing.policy);
    assert!(parted.is_before(UpstreamId(0), UpstreamId(1)));
    assert!(!parted.is_first(UpstreamId(1)));
}

#[test]
fn a_denial_is_final_only_where_nobody_who_comes_before_can_ever_be_asked() {
    let mut world = World::ordered();
    let name = world.engine.routes()[0].name.to_string();
    world.engine.path_lost(PathId(0), "gone", world.now);
    assert!(world.engine.is_provisional(PoolId::MAIN, SECOND));
    world
        .engine
        .drain(&name, "a test", None, world.now)
        .expect("it is known");
    assert!(!world.engine.is_provisional(PoolId::MAIN, SECOND));
}
