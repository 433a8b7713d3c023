mod outages;
mod since_the_start;
mod zones;

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

#[test]
fn a_reload_neither_ends_nor_tells_anew_what_goes_on() {
    let mut world = World::new();
    world.everything_dies();
    world.pass(3.0);
    assert_eq!(world.take().len(), 1);
    let places = World::of(3, &["a", "b"]).troubles;
    let before = std::mem::replace(&mut world.troubles, places);
    assert_eq!(world.troubles.succeed(before, world.now), []);
    world.pass(5.0);
    assert_eq!(world.take(), [""; 0]);
    world.everything_heals();
    world.pass(10.0);
    let told = world.take();
    assert!(
        told[0].starts_with("  names resolve again after 8"),
        "{told:?}"
    );
}

#[test]
fn who_goes_with_a_reload_takes_its_trouble_along() {
    let mut world = World::new();
    world.path("b", Verdict::Dead);
    world.pass(3.0);
    assert_eq!(world.take().len(), 1);
    let places = World::of(2, &["a"]).troubles;
    let before = std::mem::replace(&mut world.troubles, places);
    let over = world.troubles.succeed(before, world.now);
    let text = over[0].to_string();
    assert!(
        text.starts_with("path b drained while in trouble, for 3"),
        "{text}"
    );
    world.pass(30.0);
    assert_eq!(world.take(), [""; 0]);
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
