//! When nobody answers.

use super::*;

#[test]
fn when_everything_dies_that_is_said_once_and_once_that_names_resolve_again() {
    let mut world = World::new();
    world.sight.known = 5_100;
    world.everything_dies();
    world.pass(12.0);
    world.everything_heals();
    world.pass(60.0);
    assert_eq!(
        world.take(),
        [
            "! no name can be resolved beyond the 5,100 known ones: paths a and b (no answer); 170 failed so far",
            "  names resolve again after 13 s: 1,260 failed"
        ]
    );
    assert_eq!(
        world.troubles.take_evacuated(),
        [],
        "there was nowhere to go"
    );
}

#[test]
fn a_path_that_stays_dead_after_an_outage_is_told_of() {
    let mut world = World::new();
    world.everything_dies();
    world.pass(5.0);
    world.failing = 0;
    let after = Duration::ZERO;
    world.hear(Event::OutageOver { pool: None, after });
    world.path("a", Verdict::Clear);
    world.hear(Event::ClearAgain { pool: None, after });
    world.take();
    world.pass(17.0);
    assert_eq!(world.take().len(), 1, "names resolve again");
    world.pass(3.0);
    let told = world.take();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("! path b is dead: "), "{told:?}");
}

#[test]
fn what_was_in_trouble_long_before_an_outage_has_its_own_end() {
    let mut world = World::new();
    world.path("a", Verdict::Dead);
    world.pass(300.0);
    world.die(&["b"]);
    world.pass(12.0);
    world.everything_heals();
    world.pass(60.0);
    let told = world.take();
    let begins = |index: usize, with: &str| {
        assert!(told[index].starts_with(with), "{told:?}");
    };
    begins(0, "! path a is dead");
    begins(1, "! no name can be resolved: paths a and b");
    begins(2, "  names resolve again after 13 s");
    begins(3, "  path a answers again after 5 min: 1,2");
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn when_all_servers_answer_uselessly_no_name_can_be_resolved_either() {
    let mut world = World::of(2, &["default"]);
    world.failing = 100;
    let useless = Evidence {
        attempts: 9,
        poor: 9,
        rcode: Some(crate::wire::Rcode::SERVFAIL),
        ..Evidence::default()
    };
    for upstream in ["dc1", "dc2"] {
        world.verdict(Subject::Upstream(upstream.into()), Verdict::Sick, useless);
    }
    world.hear(Event::NothingClear {
        pool: None,
        ceiling: 10,
    });
    world.pass(4.0);
    assert_eq!(
        world.take(),
        ["! no name can be resolved: upstreams dc1 and dc2 (SERVFAIL); 300 failed so far"]
    );
    world.failing = 0;
    world.pass(6.0);
    assert!(world.take()[0].starts_with("  names resolve again after"));
}

#[test]
fn where_some_still_answer_it_is_told_at_once_that_none_is_clear() {
    let mut world = World::of(2, &["default"]);
    world.failing = 50;
    for upstream in ["dc1", "dc2"] {
        world.verdict(Subject::Upstream(upstream.into()), Verdict::Sick, lost());
    }
    world.hear(Event::NothingClear {
        pool: None,
        ceiling: 10,
    });
    world.pass(1.2);
    let told = world.take();
    assert!(
        told[0].starts_with("! names resolve with difficulty"),
        "{told:#?}"
    );
}

#[test]
fn a_resolver_that_knows_the_root_and_refuses_every_name_is_an_outage() {
    let mut world = World::of(1, &["default"]);
    let since = world.now;
    let refused = |names: usize, world: &World| Vain {
        unserved: names,
        since,
        zones: names.min(3),
        rcode: Some(Rcode::REFUSED),
        // Who serves the root has come a moment ago.
        names: world.now.since(since).as_secs() as usize % 2,
    };
    for _ in 0..60 {
        world.sight.vain = vec![refused(7, &world)];
        world.pass(1.0);
    }
    assert_eq!(world.take(), [""; 0], "a rule of its own, perhaps");
    world.sight.vain = vec![refused(8, &world)];
    world.pass(1.2);
    let told = world.take();
    let expected = "! no name can be resolved: upstream dc1 (REFUSED); ";
    assert!(told[0].starts_with(expected), "{told:?}");
    world.sight.vain = vec![Vain::default()];
    world.pass(6.0);
    assert!(world.take()[0].starts_with("  names resolve again after"));
}

#[test]
fn servers_found_useless_that_know_the_root_are_an_outage_too() {
    let mut world = World::of(1, &["default"]);
    world.verdict(Subject::Upstream("dc1".into()), Verdict::Sick, lost());
    world.hear(Event::NothingClear {
        pool: None,
        ceiling: 10,
    });
    world.sight.vain = vec![Vain {
        unserved: 5,
        since: world.now,
        ..Vain::default()
    }];
    world.pass(4.0);
    assert!(world.troubles.is_outage());
}

/// So many names refused, and nothing useful since.
fn vain(names: usize) -> Vain {
    Vain {
        names,
        unserved: names,
        zones: names.min(3),
        rcode: Some(Rcode::REFUSED),
        since: Time::START,
    }
}

#[test]
fn names_that_fail_while_their_server_is_clear_are_no_outage() {
    let mut world = World::of(1, &["default"]);
    // One client that asks for one dead name all day: nothing useful is asked for.
    world.failing = 100;
    world.asking = 10;
    world.pass(3600.0);
    assert_eq!(world.take(), [""; 0]);
    assert!(!world.troubles.is_outage());
}

#[test]
fn where_every_name_was_refused_since_the_start_none_can_be_resolved() {
    let mut world = World::of(2, &["default"]);
    world.sight.useful = vec![Time::default()];
    world.failing = 100;
    world.sight.vain = vec![vain(4)];
    world.pass(60.0);
    assert!(!world.troubles.is_outage(), "a few names");
    world.sight.vain = vec![vain(5)];
    world.pass(2.0);
    assert!(world.troubles.is_outage());
    let told = world.take();
    let expected = "! no name can be resolved: upstreams dc1 and dc2 (REFUSED); ";
    assert!(told[0].starts_with(expected), "{told:?}");
}

#[test]
fn five_names_in_vain_and_nothing_useful_for_twelve_seconds_are_an_outage() {
    let mut world = World::of(2, &["default"]);
    world.failing = 100;
    world.sight.vain = vec![vain(4)];
    world.pass(60.0);
    assert_eq!(world.take(), [""; 0], "a few names");
    world.sight.vain = vec![vain(5)];
    world.pass(2.0);
    let told = world.take();
    let expected = "! no name can be resolved: upstreams dc1 and dc2 (REFUSED); ";
    assert!(told[0].starts_with(expected), "{told:?}");
    assert!(world.troubles.is_outage());
    world.failing = 0;
    world.sight.vain = vec![Vain::default()];
    world.pass(6.0);
    assert!(world.take()[0].starts_with("  names resolve again after"));
}

#[test]
fn one_broken_zone_is_no_outage_and_names_of_several_are() {
    for (zones, expected) in [(2, false), (3, true)] {
        let mut world = World::of(1, &["default"]);
        world.sight.vain = vec![Vain {
            unserved: 8,
            zones,
            rcode: Some(Rcode::SERVFAIL),
            since: world.now,
            ..Vain::default()
        }];
        world.pass(20.0);
        assert_eq!(world.troubles.is_outage(), expected, "{zones} zones");
    }
}
