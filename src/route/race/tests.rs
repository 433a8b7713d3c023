use std::time::Duration;

use super::*;
use crate::route::testing::{World, grid};

fn world() -> World {
    World::measured(&grid(3, &["eth1", "eth2"]))
}

/// A client's race, and its first packet.
fn start(world: &mut World) -> (Race, Send) {
    let (race, step) = world.start(Purpose::Client).expect("a route");
    (race, step.send.expect("sent at once"))
}

const REFUSED: Outcome = Outcome::Poor(Rcode::REFUSED);

#[test]
fn the_first_answer_ends_it_and_its_losers_are_heard() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let hedge = loop {
        world.now = world.now + Duration::from_millis(1);
        let step = race.timer(&mut world.engine, world.now, &mut world.rng);
        if let Some(hedge) = step.send {
            break hedge;
        }
    };
    assert_eq!(hedge.kind, AttemptKind::Hedge);
    let step = world.end(&mut race, hedge, Outcome::Answered);
    assert_eq!(step.finish, Some(Finish::Answer(hedge.attempt)));
    assert!(!step.done, "one is still listened for");
    let step = world.end(&mut race, first, Outcome::Answered);
    assert_eq!((step.finish, step.done), (None, true));
    let hedges = world.engine.hedges();
    assert_eq!((hedges.sent, hedges.won), (1, 1));
}

#[test]
fn two_servers_that_say_no_settle_it() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let step = world.end(&mut race, first, REFUSED);
    let second = step.send.expect("another server");
    let of = |send: Send| world.engine.upstream_of(send.route);
    assert_ne!(of(first), of(second));
    let step = world.end(&mut race, second, REFUSED);
    assert_eq!(step.finish, Some(Finish::Poor(first.attempt)));
}

#[test]
fn a_useful_answer_beats_a_useless_one_that_came_first() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let step = world.end(&mut race, first, REFUSED);
    let second = step.send.expect("another server");
    let step = world.end(&mut race, second, Outcome::Answered);
    assert_eq!(step.finish, Some(Finish::Answer(second.attempt)));
}

#[test]
fn what_did_not_fit_is_asked_over_a_stream_of_the_same_route() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let again = world.end(&mut race, first, Outcome::Truncated).send;
    let again = again.expect("over a stream");
    assert_eq!((again.route, again.stream), (first.route, true));
}

#[test]
fn a_connection_that_closes_is_opened_again_once() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let again = world.end(&mut race, first, Outcome::Closed).send;
    let again = again.expect("a new one");
    assert_eq!(again.route, first.route);
    let third = world.end(&mut race, again, Outcome::Closed).send;
    assert!(third.is_none_or(|third| third.route != first.route));
}

#[test]
fn no_question_sends_more_than_it_may_and_each_ends_in_time() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    let (started, mut sent, mut step) = (world.now, vec![first], Step::default());
    while step.finish.is_none() {
        world.now = step.wake.unwrap_or(world.now + Duration::from_millis(1));
        step = race.timer(&mut world.engine, world.now, &mut world.rng);
        sent.extend(step.send);
        assert!(world.now.since(started) <= Duration::from_secs(4));
    }
    assert_eq!(step.finish, Some(Finish::Failed(Failure::Deadline)));
    assert!((2..=MOST).contains(&sent.len()), "{sent:?}");
}

#[test]
fn a_probe_asks_once_and_fails_for_itself() {
    let mut world = world();
    let (mut race, first) = start(&mut world);
    world.end(&mut race, first, Outcome::Answered);
    let (mut probe, step) = world.start(Purpose::Probe(first.route)).expect("a probe");
    let send = step.send.expect("sent");
    assert_eq!((send.route, send.kind), (first.route, AttemptKind::Probe));
    let step = world.end(&mut probe, send, Outcome::TimedOut);
    assert_eq!(step.finish, Some(Finish::Failed(Failure::Deadline)));
    assert!(step.send.is_none() && step.done);
}

#[test]
fn those_who_come_later_extend_it_no_further_than_twice_its_time() {
    let mut world = world();
    let (mut race, _) = start(&mut world);
    let started = world.now;
    race.extend(started + Duration::from_secs(60));
    assert_eq!(race.ask.deadline, started + Duration::from_secs(8));
}
