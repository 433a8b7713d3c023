use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::route::ask::Purpose;
use crate::route::testing::{World, grid};

/// Three upstreams over two paths.
fn config(policy: Policy) -> Config {
    let mut config = grid(3, &["eth1", "eth2"]);
    config.routing.policy = policy;
    config
}

fn choose(world: &mut World) -> RouteId {
    let chosen = world.engine.choose(PoolId::MAIN, world.now, &mut world.rng);
    chosen.expect("a route")
}

/// The route to each upstream over each path.
fn route(world: &World, upstream: u16, path: u16) -> RouteId {
    let routes = world.engine.routes().iter();
    let mut all = (0u16..).map(RouteId).zip(routes);
    let own = |(_, it): &(RouteId, &crate::route::Route)| {
        it.upstream == UpstreamId(upstream) && it.path == PathId(path)
    };
    all.find(own).expect("there is one").0
}

#[test]
fn the_first_of_the_file_is_asked_as_long_as_it_is_clear_and_has_room() {
    let mut world = World::measured(&config(Policy::Ordered));
    let first = route(&world, 0, 0);
    assert_eq!(choose(&mut world), first);
    let full = world.engine.record(first).limit.get();
    let races: Vec<_> = (0..full).map(|_| world.start(Purpose::Client)).collect();
    assert!(races.iter().all(Result::is_ok));
    assert_ne!(choose(&mut world), first);
}

#[test]
fn all_have_their_turn_by_what_they_cost() {
    let mut config = config(Policy::Spread);
    config.upstreams[0].cost = 2.0;
    let mut world = World::measured(&config);
    let mut asked = [0; 3];
    for _ in 0..500 {
        let chosen = choose(&mut world);
        asked[usize::from(world.engine.record(chosen).route.upstream.0)] += 1;
    }
    assert_eq!(asked, [100, 200, 200]);
}

/// Has answers over a route take so long from now on.
fn take(world: &mut World, route: RouteId, millis: u64) {
    for _ in 0..300 {
        world.now = world.now + Duration::from_millis(20);
        let (took, now) = (Duration::from_millis(millis), world.now);
        let round_trips = &mut world.engine.record_mut(route).round_trips;
        round_trips.sample(took, now, true, true);
    }
}

#[test]
fn traffic_changes_over_only_to_what_is_clearly_faster() {
    let mut world = World::measured(&config(Policy::Fastest));
    let all: Vec<RouteId> = (0..6).map(RouteId).collect();
    for &route in &all {
        world.engine.record_mut(route).like(0.0);
        take(&mut world, route, 20);
    }
    choose(&mut world);
    let keeps = |world: &World| world.engine.pool(PoolId::MAIN).selector.incumbent;
    let before = keeps(&world).expect("one has it");
    let other = all
        .into_iter()
        .find(|route| *route != before)
        .expect("five");
    take(&mut world, other, 18);
    choose(&mut world);
    assert_eq!(keeps(&world), Some(before), "a tenth faster");
    take(&mut world, other, 10);
    choose(&mut world);
    assert_eq!(keeps(&world), Some(other), "twice as fast");
}

#[test]
fn a_hedge_shares_neither_path_nor_server() {
    let mut world = World::measured(&config(Policy::Fastest));
    let first = route(&world, 0, 0);
    let tried = Tried {
        routes: &[first],
        useless: None,
        clear_only: true,
    };
    let other = world
        .engine
        .choose_other(PoolId::MAIN, tried, world.now, 0.5);
    let other = &world.engine.record(other.expect("one")).route;
    assert_ne!((other.upstream, other.path), (UpstreamId(0), PathId(0)));
    assert!(other.upstream != UpstreamId(0) && other.path != PathId(0));
}

#[test]
fn after_a_useless_answer_another_server_is_asked_whatever_the_path() {
    let mut world = World::measured(&config(Policy::Fastest));
    let routes = [route(&world, 0, 0), route(&world, 1, 1)];
    let tried = Tried {
        routes: &routes,
        useless: Some(UpstreamId(0)),
        clear_only: false,
    };
    let other = world
        .engine
        .choose_other(PoolId::MAIN, tried, world.now, 0.5);
    let other = world.engine.record(other.expect("one")).route.upstream;
    assert_eq!(other, UpstreamId(2), "one that was not asked");
}

#[test]
fn no_server_is_asked_a_fourth_time() {
    let mut world = World::measured(&config(Policy::Fastest));
    let tried: Vec<RouteId> = (0..3)
        .flat_map(|upstream| [route(&world, upstream, 0); TRIES_PER_SERVER])
        .collect();
    let all = Tried {
        routes: &tried,
        useless: None,
        clear_only: false,
    };
    let (engine, now) = (&mut world.engine, world.now);
    assert_eq!(engine.choose_other(PoolId::MAIN, all, now, 0.5), None);
    let again = engine.choose_again(PoolId::MAIN, &tried, now, &mut world.rng);
    assert_eq!(again, None);
}

#[test]
fn a_question_that_is_asked_again_goes_where_it_was_not_yet() {
    let mut world = World::measured(&config(Policy::Fastest));
    let mut tried = Vec::new();
    for _ in 0..6 {
        let (engine, now) = (&world.engine, world.now);
        let next = engine.choose_again(PoolId::MAIN, &tried, now, &mut world.rng);
        let next = next.expect("one");
        assert!(!tried.contains(&next), "{tried:?}");
        tried.push(next);
    }
}

#[test]
fn of_what_is_out_of_use_nothing_is_chosen() {
    let mut world = World::measured(&config(Policy::Fastest));
    let later = world.now + Duration::from_secs(1);
    for path in ["eth1", "eth2"] {
        world
            .engine
            .drain(path, "a test", None, later)
            .expect("a path");
    }
    let chosen = world.engine.choose(PoolId::MAIN, later, &mut world.rng);
    assert_eq!(chosen, Err(Refused::NoRoute));
}

#[test]
fn what_is_in_flight_makes_a_route_dearer() {
    let mut world = World::measured(&config(Policy::Fastest));
    let first = route(&world, 0, 0);
    let alone = world.engine.record(first).expected_us();
    for _ in 0..30 {
        let (kind, about) = (
            crate::route::AttemptKind::Primary,
            crate::route::About::PLAIN,
        );
        world.engine.depart(first, kind, false, about, world.now);
    }
    assert!(world.engine.record(first).expected_us() > 1.2 * alone);
}

#[test]
fn a_question_that_failed_over_a_route_begins_at_another_server() {
    let mut world = World::measured(&config(Policy::Ordered));
    let chosen = choose(&mut world);
    let (engine, rng) = (&mut world.engine, &mut world.rng);
    let other = engine
        .choose_for(PoolId::MAIN, &[chosen], world.now, rng)
        .expect("one");
    let of = |id| world.engine.record(id).route.upstream;
    assert_ne!(of(other), of(chosen));
}
