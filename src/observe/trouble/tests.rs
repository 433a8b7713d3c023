use super::*;
use crate::observe::event::Event;
use crate::observe::said::Reason;

const RETURN_WITHIN: Duration = Duration::from_secs(10);

/// Two upstreams, `dc1` and `dc2`, over the paths `a` and `b`; clients ask a hundred times a second.
struct World {
    troubles: Troubles,
    now: Time,
    sight: Sight,
    /// Of a hundred questions in a second.
    failing: u64,
    asking: u64,
    told: Vec<String>,
    events: Vec<Event>,
}

impl World {
    fn of(upstreams: usize, paths: &[&str]) -> World {
        let places = (1..=upstreams).flat_map(|upstream| {
            paths.iter().map(move |path| Place {
                route: format!("dc{upstream}@{path}").into(),
                upstream: format!("dc{upstream}").into(),
                path: (*path).into(),
                pools: vec![0],
            })
        });
        let places: Vec<Place> = places.collect();
        let mut world = World {
            troubles: Troubles::new(&places, &[None], RETURN_WITHIN),
            now: Time::START,
            sight: Sight::default(),
            failing: 0,
            asking: 100,
            told: Vec::new(),
            events: Vec::new(),
        };
        world.pass(10.0);
        assert_eq!(world.told, [""; 0]);
        world
    }

    fn new() -> World {
        World::of(2, &["a", "b"])
    }

    /// Lets so many seconds pass.
    fn pass(&mut self, seconds: f64) {
        for _ in 0..(seconds * 10.0).round() as u64 {
            self.now = self.now + Duration::from_millis(100);
            let felt = &mut self.sight.felt;
            felt.asked += self.asking / 10;
            felt.failed += self.asking * self.failing / 1000;
            if self.failing < 100 {
                self.sight.useful = vec![self.now];
            }
            for event in self.troubles.look(self.now, &self.sight) {
                let mark = match event.gravity() {
                    crate::observe::event::Gravity::Warning => '!',
                    _ => ' ',
                };
                self.told.push(format!("{mark} {event}"));
                self.events.push(event);
            }
        }
    }

    fn hear(&mut self, event: Event) {
        self.troubles.hear(self.now, &event);
    }

    fn verdict(&mut self, subject: Subject, to: Verdict, evidence: Evidence) {
        let from = Verdict::Clear;
        self.hear(Event::Verdict {
            subject,
            from,
            to,
            evidence,
        });
    }

    fn path(&mut self, name: &str, to: Verdict) {
        self.verdict(Subject::Path(name.into()), to, lost());
    }

    /// As the engine tells it, all at once.
    fn everything_dies(&mut self) {
        self.die(&["a", "b"]);
    }

    fn die(&mut self, paths: &[&str]) {
        self.failing = 100;
        for path in paths {
            self.path(path, Verdict::Suspect);
        }
        self.pass(0.1);
        for path in paths {
            self.path(path, Verdict::Congested);
        }
        self.hear(Event::NothingClear {
            pool: None,
            ceiling: 10,
        });
        self.pass(0.5);
        for path in paths {
            self.path(path, Verdict::Dead);
        }
        self.hear(Event::Outage { pool: None });
    }

    fn everything_heals(&mut self) {
        self.failing = 0;
        let after = Duration::ZERO;
        self.hear(Event::OutageOver { pool: None, after });
        self.path("a", Verdict::Clear);
        self.hear(Event::ClearAgain { pool: None, after });
        self.pass(6.0);
        self.path("b", Verdict::Recovering);
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

fn lost() -> Evidence {
    Evidence {
        attempts: 6,
        lost: 6,
        span: Duration::from_millis(300),
        ..Evidence::default()
    }
}

fn refused() -> Evidence {
    Evidence {
        said: Some(Said::Kernel(Reason::REFUSED)),
        ..lost()
    }
}

#[test]
fn a_dead_path_is_one_line_when_it_begins_and_one_when_it_is_over() {
    let mut world = World::new();
    world.path("a", Verdict::Suspect);
    world.pass(0.1);
    world.path("a", Verdict::Congested);
    world.pass(0.6);
    world.path("a", Verdict::Dead);
    world.pass(20.0);
    assert_eq!(
        world.take(),
        [
            "! path a is dead: 6 lost, 6 attempts in 0.3 s; b carries its traffic; clients notice nothing"
        ]
    );
    assert_eq!(world.troubles.count(Scope::Path), 1);
    // A recovery goes by steps, and none of them is news.
    world.path("a", Verdict::Congested);
    world.pass(1.0);
    world.path("a", Verdict::Recovering);
    world.pass(1.2);
    world.path("a", Verdict::Clear);
    world.pass(3.5);
    assert_eq!(world.take(), [""; 0], "not well for long enough");
    world.pass(0.5);
    assert_eq!(
        world.take(),
        ["  path a answers again after 22 s: clients noticed nothing"]
    );
    assert_eq!(world.troubles.count(Scope::Path), 0);
    let numbers: Vec<u64> = world
        .events
        .iter()
        .map(|event| match event {
            Event::Trouble(begun) => begun.number,
            Event::TroubleOver(over) => over.number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [1, 1]);
}

#[test]
fn a_doubt_is_nobodys_alarm_nor_is_what_passes_within_a_second() {
    let mut world = World::new();
    for _ in 0..50 {
        world.path("a", Verdict::Suspect);
        world.pass(3.0);
        world.path("a", Verdict::Clear);
        world.pass(9.0);
    }
    world.path("a", Verdict::Congested);
    world.pass(0.8);
    world.path("a", Verdict::Recovering);
    world.pass(60.0);
    assert_eq!(world.take(), [""; 0]);
    assert_eq!(world.troubles.take_evacuated(), []);
}

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
fn flapping_is_one_trouble_that_says_how_often_it_came_back() {
    for period in [0.5, 3.0] {
        let mut world = World::new();
        let flaps = (120.0 / period) as usize;
        for _ in 0..flaps {
            world.path("a", Verdict::Dead);
            world.pass(period);
            world.path("a", Verdict::Clear);
            world.pass(period);
        }
        world.pass(30.0);
        let told = world.take();
        assert_eq!(told.len(), 2, "{told:?}");
        let times = format!("in which it came back {} times", flaps - 1);
        assert!(told[1].contains(&times), "{told:?}");
        // Each time that it was left, from when it was told.
        let left = world.troubles.take_evacuated().len();
        assert!((flaps - 2..=flaps).contains(&left), "{left} of {flaps}");
    }
}

#[test]
fn flapping_slower_than_the_wait_settles_too() {
    let mut world = World::new();
    for _ in 0..30 {
        world.path("a", Verdict::Dead);
        world.pass(10.0);
        world.path("a", Verdict::Clear);
        world.pass(10.0);
    }
    world.pass(200.0);
    let told = world.take();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[3].contains("came back 28 times"), "{told:#?}");
}

#[test]
fn a_server_that_refuses_is_said_to_refuse() {
    let mut world = World::new();
    let dc1 = || Subject::Upstream("dc1".into());
    world.verdict(dc1(), Verdict::Sick, refused());
    world.pass(1.5);
    world.verdict(dc1(), Verdict::Recovering, Evidence::default());
    world.pass(6.0);
    assert_eq!(
        world.take(),
        [
            "! upstream dc1 refuses: 6 lost (connection refused), 6 attempts in 0.3 s; dc2 is asked instead; clients notice nothing",
            "  upstream dc1 answers again after 1.9 s: clients noticed nothing"
        ]
    );
    // And where everything does, it is the servers' ports that do, whoever is accused.
    let mut world = World::new();
    world.failing = 100;
    for path in ["a", "b"] {
        world.verdict(Subject::Path(path.into()), Verdict::Dead, refused());
    }
    world.hear(Event::Outage { pool: None });
    world.pass(1.2);
    let told = world.take();
    assert!(
        told[0].contains("no name can be resolved: upstreams dc1 and dc2 (connection refused); "),
        "{told:?}"
    );
}

#[test]
fn blame_that_moves_is_told_once_more_and_ends_once() {
    let mut world = World::new();
    world.verdict(Subject::Upstream("dc1".into()), Verdict::Sick, lost());
    world.pass(2.0);
    // Another upstream turns bad over that path: the path explains both.
    world.path("a", Verdict::Congested);
    world.verdict(Subject::Upstream("dc1".into()), Verdict::Clear, lost());
    world.pass(10.0);
    world.path("a", Verdict::Recovering);
    world.pass(60.0);
    let told = world.take();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("! upstream dc1 is sick"), "{told:#?}");
    assert!(told[1].starts_with("! path a is congested"), "{told:#?}");
    assert!(told[2].starts_with("  path a is well again"), "{told:#?}");
    let Event::Trouble(begun) = &world.events[1] else {
        panic!("{:?}", world.events);
    };
    assert_eq!(begun.explains, [1]);
}

#[test]
fn a_route_is_explained_by_its_path() {
    let mut world = World::new();
    let route = || Subject::Route("dc1@a".into());
    world.verdict(route(), Verdict::Congested, lost());
    world.pass(2.0);
    world.path("a", Verdict::Dead);
    world.pass(30.0);
    world.path("a", Verdict::Clear);
    world.verdict(route(), Verdict::Clear, lost());
    world.pass(10.0);
    let told = world.take();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(
        told[0].starts_with("! route dc1@a is congested"),
        "{told:#?}"
    );
    assert!(told[0].contains("dc1@b, dc2@a and dc2@b are asked instead"));
    assert!(told[1].starts_with("! path a is dead"), "{told:#?}");
    assert!(told[2].starts_with("  path a answers again"), "{told:#?}");
}

#[test]
fn with_one_route_it_is_said_what_clients_feel_and_nothing_is_said_to_be_left() {
    let mut world = World::of(1, &["default"]);
    world.verdict(
        Subject::Route("dc1@default".into()),
        Verdict::Congested,
        lost(),
    );
    world.hear(Event::NothingClear {
        pool: None,
        ceiling: 10,
    });
    world.failing = 30;
    world.pass(20.0);
    world.failing = 0;
    world.verdict(Subject::Route("dc1@default".into()), Verdict::Clear, lost());
    let after = Duration::ZERO;
    world.hear(Event::ClearAgain { pool: None, after });
    world.pass(20.0);
    assert_eq!(
        world.take(),
        [
            "! names resolve with difficulty, no route is clear: dc1@default (no answer); 33 failed so far",
            "  a route is clear again after 20 s: 600 failed"
        ]
    );
    assert_eq!(world.troubles.take_evacuated(), []);
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
    let told = world.take();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("! names resolve with difficulty"),
        "{told:#?}"
    );
    assert!(
        told[1].starts_with("! no name can be resolved: upstreams dc1 and dc2 (SERVFAIL); "),
        "{told:#?}"
    );
    world.failing = 0;
    world.pass(6.0);
    assert!(world.take()[0].starts_with("  names resolve again after"));
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
fn five_names_in_vain_and_nothing_useful_for_twelve_seconds_are_an_outage() {
    let mut world = World::of(2, &["default"]);
    world.failing = 100;
    world.sight.vain = vec![(4, Some(Rcode::REFUSED))];
    world.pass(60.0);
    assert_eq!(world.take(), [""; 0], "a few names");
    world.sight.vain = vec![(5, Some(Rcode::REFUSED))];
    world.pass(2.0);
    let told = world.take();
    let expected = "! no name can be resolved: upstreams dc1 and dc2 (REFUSED); ";
    assert!(told[0].starts_with(expected), "{told:?}");
    assert!(world.troubles.is_outage());
    world.failing = 0;
    world.sight.vain = vec![(0, None)];
    world.pass(6.0);
    assert!(world.take()[0].starts_with("  names resolve again after"));
}

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
fn what_the_operator_takes_out_of_use_is_no_trouble_any_more() {
    let mut world = World::new();
    world.path("a", Verdict::Dead);
    world.pass(2.0);
    let drained = || Event::Drained {
        subject: Subject::Path("a".into()),
        by: "a test".into(),
        lasts: None,
    };
    world.hear(drained());
    world.pass(60.0);
    let told = world.take();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[1].starts_with("  path a drained while in trouble, for 2."),
        "{told:#?}"
    );
    // All drained is the operator's own doing, and still no name resolves.
    world.hear(Event::Drained {
        subject: Subject::Path("b".into()),
        by: "a test".into(),
        lasts: None,
    });
    world.failing = 100;
    world.pass(2.0);
    let told = world.take();
    assert!(
        told[0].contains("paths a and b (drained by the operator)"),
        "{told:#?}"
    );
}

#[test]
fn what_the_host_slept_is_not_counted_and_said() {
    let mut world = World::new();
    world.everything_dies();
    world.pass(2.0);
    world.sight.slept = Duration::from_secs(8 * 3600);
    world.everything_heals();
    world.pass(10.0);
    let told = world.take();
    assert!(
        told[1].starts_with("  names resolve again after 2.9 s (and 8 h that the host slept): "),
        "{told:#?}"
    );
}

#[test]
fn verdicts_that_were_lost_are_caught_up_with() {
    let mut world = World::new();
    world.path("a", Verdict::Dead);
    world.pass(5.0);
    // That it healed was lost.
    let now = world.now;
    world.troubles.catch_up(now, |_| Some(Verdict::Clear));
    world.pass(6.0);
    assert_eq!(world.take().len(), 2);
}

#[test]
fn what_goes_on_is_shown_with_what_it_cost_so_far() {
    let mut world = World::new();
    world.path("a", Verdict::Dead);
    world.failing = 10;
    world.pass(2.0);
    let ongoing = world.troubles.ongoing(world.now);
    assert_eq!(ongoing.len(), 1);
    let text = ongoing[0].to_string();
    assert!(text.starts_with("path a is dead: "), "{text}");
    assert!(text.ends_with("20 failed so far"), "{text}");
    world.path("a", Verdict::Clear);
    world.pass(3.0);
    let text = world.troubles.ongoing(world.now)[0].to_string();
    assert!(text.ends_with("; well for 2.9 s"), "{text}");
}

/// `dc1` and `dc2` for all names, `corp` for those of `corp.example`, all over the path `a`.
fn with_a_zone() -> World {
    let zone: Arc<str> = "corp.example".into();
    let places = [("dc1", 0), ("dc2", 0), ("corp", 1)].map(|(upstream, pool)| Place {
        route: format!("{upstream}@a").into(),
        upstream: upstream.into(),
        path: "a".into(),
        pools: vec![pool],
    });
    let mut world = World::new();
    world.troubles = Troubles::new(&places, &[None, Some(zone)], RETURN_WITHIN);
    world.pass(1.0);
    world
}

#[test]
fn a_zone_whose_servers_are_dead_is_named_and_is_nobody_elses_outage() {
    let mut world = with_a_zone();
    let pool: Option<Arc<str>> = Some("corp.example".into());
    let corp = || Subject::Upstream("corp".into());
    world.verdict(corp(), Verdict::Dead, lost());
    world.hear(Event::Outage { pool: pool.clone() });
    world.pass(5.0);
    assert!(!world.troubles.is_outage());
    let after = Duration::ZERO;
    world.verdict(corp(), Verdict::Clear, lost());
    world.hear(Event::OutageOver {
        pool: pool.clone(),
        after,
    });
    world.hear(Event::ClearAgain { pool, after });
    world.pass(60.0);
    assert_eq!(
        world.take(),
        [
            "! no name in corp.example can be resolved: upstream corp (no answer); clients notice nothing",
            "  names in corp.example resolve again after 5.4 s: clients noticed nothing"
        ]
    );
}

#[test]
fn when_the_only_path_dies_its_zones_are_no_news_of_their_own() {
    let mut world = with_a_zone();
    world.failing = 100;
    world.path("a", Verdict::Dead);
    for pool in [None, Some("corp.example".into())] {
        world.hear(Event::Outage { pool });
    }
    world.pass(10.0);
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("! no name can be resolved: path a (no answer)"),
        "{told:#?}"
    );
}

#[test]
fn who_is_asked_instead_is_whom_the_same_names_may_be_asked_of() {
    let mut world = with_a_zone();
    world.verdict(Subject::Upstream("dc1".into()), Verdict::Dead, lost());
    world.pass(2.0);
    let told = world.take();
    assert!(told[0].contains("; dc2 is asked instead; "), "{told:#?}");
}
