//! What has not answered since the start.

use super::*;

#[test]
fn a_network_that_is_not_there_yet_is_waited_for_unless_somebody_asks() {
    let start = |asking: u64| {
        let mut world = World::of(1, &["a"]);
        world.sight = Sight::default();
        world.troubles = Troubles::new(
            &[Place {
                route: "dc1@a".into(),
                upstream: "dc1".into(),
                path: "a".into(),
                pools: vec![0],
            }],
            &[None],
            RETURN_WITHIN,
        );
        (world.asking, world.failing) = (asking, 100);
        world.hear(Event::PathLost {
            path: "a".into(),
            why: "there is no interface eth0".into(),
            at_start: true,
        });
        world
    };
    let mut idle = start(0);
    idle.pass(8.0);
    assert_eq!(idle.take(), [""; 0]);
    idle.failing = 0;
    idle.hear(Event::PathFound { path: "a".into() });
    idle.pass(30.0);
    assert_eq!(idle.take(), [""; 0], "it came up, and nobody had missed it");

    let mut asked = start(10);
    asked.pass(2.0);
    let told = asked.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("! no name can be resolved: path a (there is no interface eth0); "),
        "{told:?}"
    );

    let mut late = start(0);
    late.pass(11.0);
    assert_eq!(late.take().len(), 1);
}

#[test]
fn what_is_silent_since_the_start_is_told_until_it_answers() {
    let mut world = World::new();
    world.hear(Event::FirstRound {
        after: "the start",
        route: "dc2@b".into(),
        said: Said::Kernel(Reason::REFUSED),
    });
    world.pass(2.0);
    world.hear(Event::FirstAnswer {
        route: "dc2@b".into(),
    });
    world.pass(6.0);
    let told = world.take();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("! route dc2@b does not answer after the start: connection refused; "),
        "{told:#?}"
    );
    assert!(
        told[1].starts_with("  route dc2@b answers again after 2.1 s"),
        "{told:#?}"
    );
}

#[test]
fn an_upstream_that_is_silent_since_the_start_over_every_path_is_one_line() {
    let mut world = World::new();
    for path in ["a", "b"] {
        world.hear(Event::FirstRound {
            after: "the start",
            route: format!("dc2@{path}").into(),
            said: Said::Nothing,
        });
    }
    world.pass(10.0);
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with(
            "! upstream dc2 does not answer after the start: no answer; dc1 is asked instead; "
        ),
        "{told:#?}"
    );
    for path in ["a", "b"] {
        world.hear(Event::FirstAnswer {
            route: format!("dc2@{path}").into(),
        });
    }
    world.pass(30.0);
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("  upstream dc2 answers again"),
        "{told:#?}"
    );
}

#[test]
fn when_nothing_answers_after_the_start_that_is_one_line() {
    let mut world = World::of(1, &["a", "b"]);
    world.sight.useful = vec![Time::default()];
    world.failing = 100;
    world.pass(0.1);
    for path in ["a", "b"] {
        world.hear(Event::FirstRound {
            after: "the start",
            route: format!("dc1@{path}").into(),
            said: Said::Kernel(Reason::REFUSED),
        });
    }
    world.pass(10.0);
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("! no name can be resolved: "),
        "{told:#?}"
    );
}

#[test]
fn an_answer_that_comes_late_after_the_start_is_no_news() {
    let mut world = World::new();
    let route = || Arc::from("dc1@a");
    world.hear(Event::FirstRound {
        after: "the start",
        route: route(),
        said: Said::Nothing,
    });
    world.pass(0.8);
    world.hear(Event::FirstAnswer { route: route() });
    world.pass(20.0);
    assert_eq!(world.take(), [""; 0]);
}
