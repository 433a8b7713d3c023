use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::clock::Time;
use crate::route::testing::grid;
use crate::route::{About, Ask, AttemptId, Engine, Outcome, Purpose, Race, RouteId, Send, Verdict};

const BASE: Duration = Duration::from_millis(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// All is well with the connection.
fn quiet() -> StreamFacts {
    StreamFacts {
        gap: Some(false),
        round_trip: BASE,
        longest: BASE,
        least: BASE,
        ..StreamFacts::default()
    }
}

fn mended() -> StreamFacts {
    StreamFacts {
        resent: 1,
        repaired: true,
        ..quiet()
    }
}

/// How an attempt goes.
#[derive(Clone, Copy)]
struct Going {
    /// Until it is answered; `None` for never.
    rtt: Option<Duration>,
    /// What is seen of its connection when it is overdue, and when it is answered.
    overdue: StreamFacts,
    answered: StreamFacts,
}

const fn going(rtt: Duration, overdue: StreamFacts, answered: StreamFacts) -> Going {
    Going {
        rtt: Some(rtt),
        overdue,
        answered,
    }
}

fn well() -> Going {
    going(BASE, quiet(), quiet())
}

/// A segment was lost, and sent again after 200 ms.
fn resent() -> Going {
    let waiting = StreamFacts {
        unacknowledged: true,
        ..quiet()
    };
    going(ms(204), waiting, mended())
}

/// The server had the question at once and took its time.
fn slow() -> Going {
    going(ms(250), quiet(), quiet())
}

/// Upstreams over all paths, the first of both preferred.
struct World {
    engine: Engine,
    rng: StdRng,
    now: Time,
    asked: u64,
}

impl World {
    fn new(upstreams: u8, paths: &[&str]) -> World {
        let mut config = grid(upstreams, paths);
        config.routing.policy = crate::config::Policy::Ordered;
        let mut world = World {
            engine: Engine::new(&config, Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
            asked: 0,
        };
        // Every route is known in health.
        for route in (0..world.engine.routes().len()).cycle().take(40) {
            world.ask_for(Purpose::Probe(RouteId(route as u16)), |_, _| well());
        }
        for _ in 0..40 {
            world.ask(|_, _| well());
        }
        world.engine.take_events().for_each(drop);
        world
    }

    fn ask(&mut self, going: impl Fn(RouteId, u64) -> Going) {
        self.ask_for(Purpose::Client, going);
    }

    /// Asks one question and waits for the end of its race; the next one may be asked 100 ms after it at the
    /// soonest. `going` is told the route and the number of the question.
    fn ask_for(&mut self, purpose: Purpose, going: impl Fn(RouteId, u64) -> Going) {
        self.asked += 1;
        let ask = Ask {
            purpose,
            about: About::PLAIN,
            deadline: self.now + ms(4_500),
            again: false,
            light: false,
            pool: crate::route::PoolId::MAIN,
        };
        let started = Race::start(&mut self.engine, &ask, self.now, &mut self.rng);
        let (mut race, mut step) = started.expect("a route");
        let mut out: Vec<(Send, Time, Going)> = Vec::new();
        let mut now = self.now;
        loop {
            for send in [step.send, step.also].into_iter().flatten() {
                out.push((send, now, going(send.route, self.asked)));
            }
            if step.done {
                break;
            }
            let end = |(_, sent, going): &(Send, Time, Going)| {
                going.rtt.map_or(Time::NEVER, |rtt| *sent + rtt)
            };
            let first = (0..out.len()).min_by_key(|&index| end(&out[index]));
            let answer = first.map_or(Time::NEVER, |index| end(&out[index]));
            let wake = step.wake.unwrap_or(Time::NEVER);
            now = wake.min(answer);
            step = match first {
                Some(index) if answer <= wake => {
                    let (send, _, going) = out.remove(index);
                    let id = send.attempt;
                    self.engine.carried(id, &going.answered, true, now);
                    let answered = Outcome::Answered;
                    race.outcome(&mut self.engine, id, answered, now, now, &mut self.rng)
                }
                _ => {
                    for (send, _, going) in &out {
                        let id = send.attempt;
                        self.engine.carried(id, &going.overdue, false, now);
                    }
                    race.timer(&mut self.engine, now, &mut self.rng)
                }
            };
        }
        self.now = now.max(self.now + ms(100));
        self.engine.tick(self.now, &mut self.rng);
    }

    fn path(&self, index: usize) -> Verdict {
        self.engine.report(self.now).paths[index].verdict
    }

    fn upstream(&self, index: usize) -> Verdict {
        self.engine.report(self.now).upstreams[index].verdict
    }

    fn told(&mut self) -> Vec<String> {
        let events = self.engine.take_events();
        events.map(|(_, event)| event.to_string()).collect()
    }
}

#[test]
fn loss_that_tcp_mends_speaks_against_the_path() {
    // One way only: the grid has nothing to say.
    let mut world = World::new(1, &["a"]);
    for _ in 0..40 {
        world.ask(|_, number| match number % 5 {
            0 => resent(),
            _ => well(),
        });
    }
    assert_eq!(world.upstream(0), Verdict::Clear);
    assert_eq!(world.path(0), Verdict::Congested);
    let told = world.told();
    let why = |line: &String| line.contains("held up on the way (TCP)");
    assert!(told.iter().any(why), "{told:?}");
}

#[test]
fn an_answer_that_came_in_time_does_not_hide_what_was_sent_again() {
    let mut world = World::new(1, &["a"]);
    for _ in 0..6 {
        world.ask(|_, _| going(BASE, quiet(), mended()));
    }
    assert_eq!(world.path(0), Verdict::Congested);
    let report = world.engine.report(world.now);
    assert_eq!(report.routes[0].tcp_resent, Some(6));
    assert_eq!(report.routes[0].tcp_round_trip, Some(BASE));
}

#[test]
fn what_was_acknowledged_and_not_answered_lies_with_the_server() {
    let mut world = World::new(1, &["a"]);
    for _ in 0..12 {
        world.ask(|_, _| slow());
    }
    assert_eq!(world.path(0), Verdict::Clear);
    assert_eq!(world.upstream(0), Verdict::Sick);
    let told = world.told();
    let why = |line: &String| line.contains("held up at the server (TCP)");
    assert!(told.iter().any(why), "{told:?}");
}

#[test]
fn an_answer_missed_by_those_behind_it_was_lost_on_the_way() {
    let mut world = World::new(1, &["a"]);
    let behind = StreamFacts {
        gap: Some(true),
        ..quiet()
    };
    for _ in 0..12 {
        world.ask(|_, _| going(ms(250), behind, behind));
    }
    assert_eq!(world.upstream(0), Verdict::Clear);
    assert!(world.path(0).is_bad());
    // Where the kernel cannot tell, nobody is accused.
    let mut blind = World::new(1, &["a"]);
    let unknown = StreamFacts {
        gap: None,
        ..quiet()
    };
    for _ in 0..12 {
        blind.ask(|_, _| going(ms(250), unknown, unknown));
    }
    let both = (blind.path(0), blind.upstream(0));
    assert_eq!(both, (Verdict::Clear, Verdict::Clear));
}

#[test]
fn a_queue_lifts_the_kernels_round_trip_too() {
    let mut world = World::new(1, &["a"]);
    let queue = StreamFacts {
        round_trip: ms(102),
        longest: ms(102),
        ..quiet()
    };
    let waiting = StreamFacts {
        unacknowledged: true,
        ..queue
    };
    for _ in 0..12 {
        world.ask(|_, _| going(ms(122), waiting, queue));
    }
    assert_eq!(world.upstream(0), Verdict::Clear);
    assert!(world.path(0).is_bad());
}

#[test]
fn a_late_acknowledgement_says_nothing() {
    let held_back = StreamFacts {
        round_trip: ms(42),
        longest: ms(42),
        ..quiet()
    };
    assert_eq!(held_back.of_answer(ms(70)), None);
    assert_eq!(held_back.of_answer(ms(300)), Some(HeldUp::AtTheServer));
}

#[test]
fn one_server_over_two_paths() {
    // What the trouble is, is known before a duplicate has asked.
    let mut lossy = World::new(1, &["a", "b"]);
    for _ in 0..30 {
        lossy.ask(|route, number| match (route, number % 3) {
            (RouteId(0), 0) => resent(),
            _ => well(),
        });
    }
    assert!(!lossy.path(0).is_clear());
    assert_eq!(
        (lossy.path(1), lossy.upstream(0)),
        (Verdict::Clear, Verdict::Clear)
    );

    let mut struggling = World::new(1, &["a", "b"]);
    for _ in 0..30 {
        struggling.ask(|_, _| slow());
    }
    assert_eq!(
        (struggling.path(0), struggling.path(1)),
        (Verdict::Clear, Verdict::Clear)
    );
    assert_eq!(struggling.upstream(0), Verdict::Sick);
}

#[test]
fn answers_lost_on_their_way_back_do_not_accuse_the_server() {
    // The server acknowledges at once; what it sends again is not seen here.
    for seed in 0..20 {
        let mut world = World::new(1, &["a"]);
        for _ in 0..200 {
            world.ask(|_, number| match (number * 7919 + seed * 104_729) % 100 {
                0..20 => going(ms(210), quiet(), quiet()),
                _ => well(),
            });
        }
        let told = world.told();
        let accused = told.iter().any(|line| line.starts_with("upstream"));
        assert!(!accused, "{told:?}");
    }
}

#[test]
fn a_host_that_acknowledges_nothing_may_be_dead_or_cut_off() {
    let mut world = World::new(1, &["a"]);
    let silence = StreamFacts {
        resent: 1,
        repaired: true,
        unacknowledged: true,
        ..quiet()
    };
    for _ in 0..3 {
        world.ask(|_, _| Going {
            rtt: None,
            overdue: silence,
            answered: silence,
        });
    }
    assert_eq!(
        world.engine.report(world.now).routes[0].verdict,
        Verdict::Dead
    );
    assert_eq!(
        (world.path(0), world.upstream(0)),
        (Verdict::Clear, Verdict::Clear)
    );
}

/// A client's question whose connection stands after `handshake`.
fn connecting(world: &mut World, handshake: Duration) -> (Race, AttemptId) {
    let ask = Ask {
        purpose: Purpose::Client,
        about: About::PLAIN,
        deadline: world.now + ms(4_500),
        again: false,
        light: false,
        pool: crate::route::PoolId::MAIN,
    };
    let started = Race::start(&mut world.engine, &ask, world.now, &mut world.rng);
    let (mut race, step) = started.expect("a route");
    let attempt = step.send.expect("sent").attempt;
    world.now = world.now + handshake;
    race.connected(&mut world.engine, attempt, world.now);
    (race, attempt)
}

#[test]
fn a_handshake_is_neither_round_trip_nor_waiting_time() {
    let mut world = World::new(1, &["a", "b"]);
    let wait = world.engine.report(world.now).routes[0].hedge_wait;
    let part = wait * 3 / 4;
    let (mut race, attempt) = connecting(&mut world, part);
    assert_eq!(race.hedge_at, world.now + wait);
    world.now = world.now + part;
    let report = world.engine.report(world.now);
    assert_eq!(report.routes[0].evidence.overdue, None);
    let step = race.timer(&mut world.engine, world.now, &mut world.rng);
    assert_eq!(step.send, None, "not overdue yet");
    world.engine.carried(attempt, &quiet(), true, world.now);
    let (answered, now) = (Outcome::Answered, world.now);
    race.outcome(
        &mut world.engine,
        attempt,
        answered,
        now,
        now,
        &mut world.rng,
    );
    let report = world.engine.report(now);
    let seen = &report.routes[0].evidence;
    assert_eq!((seen.lost, seen.late, seen.overdue), (0, 0, None));
    // The control: what has waited for as long since it was sent is overdue.
    let (mut race, _) = connecting(&mut world, part);
    world.now = world.now + part * 2;
    let step = race.timer(&mut world.engine, world.now, &mut world.rng);
    assert!(step.send.is_some());
}

#[test]
fn a_handshake_that_was_sent_again_speaks_against_the_path() {
    let mut world = World::new(1, &["a"]);
    for _ in 0..4 {
        let (mut race, attempt) = connecting(&mut world, ms(1_000));
        world.now = world.now + BASE;
        world.engine.carried(attempt, &mended(), true, world.now);
        let answered = Outcome::Answered;
        race.outcome(
            &mut world.engine,
            attempt,
            answered,
            world.now,
            world.now,
            &mut world.rng,
        );
    }
    assert!(!world.path(0).is_clear());
    assert_eq!(world.upstream(0), Verdict::Clear);
}
