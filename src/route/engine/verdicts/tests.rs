use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::route::ids::PoolId;
use crate::route::testing::grid;
use crate::route::{About, Ask, AttemptId, Finish, Outcome, Purpose, Race, Step};
use crate::wire::Rcode;

const MILLI: Duration = Duration::from_millis(1);
const SERVFAIL: Outcome = Outcome::Poor(Rcode::SERVFAIL);

/// What becomes of an attempt at this upstream over this path: `None` if it is lost.
type Fate = fn(u16, u16) -> Option<Outcome>;

fn all_well(_: u16, _: u16) -> Option<Outcome> {
    Some(Outcome::Answered)
}

fn all_lost(_: u16, _: u16) -> Option<Outcome> {
    None
}

struct Asked {
    race: Race,
    wake: Time,
    answers: Vec<(Time, AttemptId, Outcome)>,
}

/// Fifty questions a second; what is answered is answered after 2 ms.
struct World {
    engine: Engine,
    rng: StdRng,
    now: Time,
    tick: Time,
    asked: Vec<Asked>,
    /// Packets by upstream.
    sent: Vec<u32>,
    failed: u32,
}

impl World {
    fn new(upstreams: u8, paths: &[&str]) -> World {
        World {
            engine: Engine::new(&grid(upstreams, paths), Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
            tick: Time::START,
            asked: Vec::new(),
            sent: vec![0; upstreams.into()],
            failed: 0,
        }
    }

    fn run(&mut self, seconds: u64, fate: Fate) {
        for milli in 0..1_000 * seconds {
            self.now = self.now + MILLI;
            if self.now >= self.tick {
                let tick = self.engine.tick(self.now, &mut self.rng);
                self.tick = tick.next;
                for route in tick.probes {
                    self.ask(Purpose::Probe(route), fate);
                }
            }
            if milli % 20 == 0 {
                self.ask(Purpose::Client, fate);
            }
            let mut asked = std::mem::take(&mut self.asked);
            for it in &mut asked {
                while let Some(due) = it.answers.iter().position(|(at, ..)| *at <= self.now) {
                    let (_, id, outcome) = it.answers.swap_remove(due);
                    let (now, engine) = (self.now, &mut self.engine);
                    let step = it
                        .race
                        .outcome(engine, id, outcome, now, now, &mut self.rng);
                    self.take(it, step, fate);
                }
                if it.wake <= self.now {
                    let step = it.race.timer(&mut self.engine, self.now, &mut self.rng);
                    self.take(it, step, fate);
                }
            }
            asked.retain(|it| it.wake != Time::NEVER);
            self.asked.append(&mut asked);
        }
    }

    fn ask(&mut self, purpose: Purpose, fate: Fate) {
        let deadline = self.now + Duration::from_secs(4);
        let again = false;
        let ask = Ask {
            purpose,
            about: About::PLAIN,
            deadline,
            again,
            light: false,
            pool: PoolId::MAIN,
        };
        let Ok((race, step)) = Race::start(&mut self.engine, &ask, self.now, &mut self.rng) else {
            self.failed += 1;
            return;
        };
        let mut asked = Asked {
            race,
            wake: Time::NEVER,
            answers: Vec::new(),
        };
        self.take(&mut asked, step, fate);
        self.asked.push(asked);
    }

    fn take(&mut self, asked: &mut Asked, step: Step, fate: Fate) {
        for send in [step.send, step.also].into_iter().flatten() {
            let Route { upstream, path, .. } = self.engine.record(send.route).route;
            self.sent[usize::from(upstream.0)] += 1;
            if let Some(outcome) = fate(upstream.0, path.0) {
                let at = self.now + 2 * MILLI;
                asked.answers.push((at, send.attempt, outcome));
            }
        }
        self.failed += u32::from(matches!(
            step.finish,
            Some(Finish::Poor(_) | Finish::Failed(_))
        ));
        asked.wake = step.wake.unwrap_or(Time::NEVER);
    }
}

#[test]
fn what_a_route_earned_is_told_before_what_follows_from_it() {
    let mut world = World::new(1, &["eth1", "eth2"]);
    world.run(3, all_well);
    world.run(15, |_, path| (path == 1).then_some(Outcome::Answered));
    world.run(15, all_well);
    let mut last = std::collections::HashMap::new();
    let mut earned = 0;
    for (at, event) in world.engine.take_events() {
        if let Event::Verdict {
            subject, from, to, ..
        } = event
        {
            let (before, since) = last
                .insert(subject.clone(), (to, at))
                .unwrap_or((Verdict::Clear, Time::default()));
            assert_eq!(before, from, "{subject}");
            // The path's return takes along what the route has just earned of its own.
            let at_once = from == Verdict::Recovering && to == Verdict::Clear && since == at;
            earned += u32::from(at_once && matches!(subject, Subject::Route(_)));
        }
    }
    assert_eq!(earned, 1);
}

#[test]
fn a_route_that_died_is_tried_while_questions_go_over_others_of_its_path() {
    let mut world = World::new(2, &["eth1"]);
    world.run(3, all_well);
    world.run(5, all_lost);
    let healed: Fate = |upstream, _| match upstream {
        0 => Some(SERVFAIL),
        _ => Some(Outcome::Answered),
    };
    world.run(4, healed);
    (world.sent, world.failed) = (vec![0; 2], 0);
    world.run(2, healed);
    assert_eq!(world.failed, 0);
    assert!(world.sent[1] > 10 * world.sent[0], "{:?}", world.sent);
}

#[test]
fn a_server_that_was_asked_in_vain_is_asked_over_another_path_when_the_next_is_useless() {
    let mut world = World::new(2, &["eth1", "eth2"]);
    world.run(3, all_well);
    world.failed = 0;
    world.run(2, |upstream, path| match (upstream, path) {
        (1, _) => Some(SERVFAIL),
        (_, 0) => None,
        _ => Some(Outcome::Answered),
    });
    assert_eq!(world.failed, 0);
}

/// The first of two has answered nothing for so long that it is held for dead.
fn with_a_dead_server() -> World {
    let mut world = World::new(2, &["eth1"]);
    world.run(3, all_well);
    world.run(30, |upstream, _| {
        (upstream == 1).then_some(Outcome::Answered)
    });
    assert_eq!(world.engine.records[0].rank, Rank::Dead);
    world
}

#[test]
fn a_dead_server_that_healed_is_asked_when_the_only_other_turns_useless() {
    let mut world = with_a_dead_server();
    world.failed = 0;
    world.run(2, |upstream, _| match upstream {
        0 => Some(Outcome::Answered),
        _ => Some(SERVFAIL),
    });
    assert_eq!(world.failed, 0);
}

#[test]
fn a_dead_server_is_asked_for_want_of_better_twice_a_second_at_most() {
    let mut world = with_a_dead_server();
    // Names that the other one answers with an error are in vain either way.
    world.sent = vec![0; 2];
    world.run(2, |upstream, _| (upstream == 1).then_some(SERVFAIL));
    assert!(world.sent[0] <= 6, "{:?}", world.sent);
}

#[test]
fn something_has_answered_lately_as_long_as_one_route_does() {
    let mut world = World::new(1, &["eth1"]);
    assert!(world.engine.answered_lately(world.now), "nothing was asked");
    world.run(3, all_well);
    assert!(world.engine.answered_lately(world.now));
    // Whatever is believed of it.
    world.run(3, |_, _| Some(SERVFAIL));
    assert_eq!(world.engine.records[0].rank, Rank::Sick);
    assert!(world.engine.answered_lately(world.now));
    world.run(3, all_lost);
    assert!(!world.engine.answered_lately(world.now));
    world.run(3, all_well);
    assert!(world.engine.answered_lately(world.now));
}
