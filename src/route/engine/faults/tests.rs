use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::route::choose::Rank;
use crate::route::testing::grid;
use crate::route::{Ask, Event, Kind, Outcome, Purpose, Race, Step, Subject, Verdict};

const MILLI: Duration = Duration::from_millis(1);
const SERVFAIL: Outcome = Outcome::Poor(Rcode::SERVFAIL);

/// What becomes of a question: after how long, and how it is answered; `None` if it is not.
type Fate = Option<(Duration, Outcome)>;
/// What a server makes of a question over a path.
type World<'a> = &'a dyn Fn(About, u16, u16) -> Fate;

const WELL: Fate = Some((MILLI.saturating_mul(2), Outcome::Answered));

/// A question under way: when it wants its timer, and the answers that are to come to it.
struct Asked {
    race: Race,
    about: About,
    wake: Time,
    answers: Vec<(Time, AttemptId, Outcome)>,
}

struct Daemon {
    engine: Engine,
    rng: StdRng,
    now: Time,
    asked: Vec<Asked>,
    next: u64,
    sent: u32,
}

impl Daemon {
    fn new(upstreams: u8, paths: &[&str]) -> Daemon {
        Daemon {
            engine: Engine::new(&grid(upstreams, paths), Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
            asked: Vec::new(),
            next: 1,
            sent: 0,
        }
    }

    /// A name never asked for before, of some zone.
    fn new_name(&mut self) -> About {
        self.next += 1;
        About {
            name: self.next << 20,
            zone: (1 + self.next % 17) << 30,
            kind: Kind::Plain,
        }
    }

    fn ask(&mut self, about: About, purpose: Purpose, world: World<'_>) {
        let ask = Ask {
            purpose,
            about,
            deadline: self.now + 4500 * MILLI,
            again: false,
            light: false,
            pool: crate::route::PoolId::MAIN,
        };
        let Ok((race, step)) = Race::start(&mut self.engine, &ask, self.now, &mut self.rng) else {
            return;
        };
        let mut asked = Asked {
            race,
            about,
            wake: Time::NEVER,
            answers: Vec::new(),
        };
        self.take(&mut asked, step, world);
        self.asked.push(asked);
    }

    fn take(&mut self, asked: &mut Asked, step: Step, world: World<'_>) {
        for send in [step.send, step.also].into_iter().flatten() {
            self.sent += 1;
            let Route { upstream, path, .. } = self.engine.record(send.route).route;
            if let Some((takes, outcome)) = world(asked.about, upstream.0, path.0) {
                asked
                    .answers
                    .push((self.now + takes, send.attempt, outcome));
            }
        }
        asked.wake = step.wake.unwrap_or(Time::NEVER);
    }

    /// Lets time pass in steps of a millisecond.
    fn pass(&mut self, time: Duration, world: World<'_>) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + MILLI;
            for route in self.engine.tick(self.now, &mut self.rng).probes {
                self.ask(About::PLAIN, Purpose::Probe(route), world);
            }
            let mut asked = std::mem::take(&mut self.asked);
            for it in &mut asked {
                while let Some(due) = it.answers.iter().position(|(at, ..)| *at <= self.now) {
                    let (_, id, outcome) = it.answers.swap_remove(due);
                    let (now, engine) = (self.now, &mut self.engine);
                    let step = (it.race).outcome(engine, id, outcome, now, now, &mut self.rng);
                    self.take(it, step, world);
                }
                if it.wake <= self.now {
                    let step = it.race.timer(&mut self.engine, self.now, &mut self.rng);
                    self.take(it, step, world);
                }
            }
            asked.retain(|it| it.wake != Time::NEVER);
            self.asked.append(&mut asked);
        }
    }

    /// So many seconds of `good` questions a second, and of `bad` ones for names that `failing` makes.
    fn live(
        &mut self,
        secs: u64,
        (good, bad): (u64, u64),
        mut failing: impl FnMut(&mut Daemon) -> About,
        world: World<'_>,
    ) {
        for milli in 0..secs * 1000 {
            if good > 0 && milli % (1000 / good) == 0 {
                let about = self.new_name();
                self.ask(about, Purpose::Client, world);
            }
            if bad > 0 && milli % (1000 / bad) == 7 {
                let about = failing(self);
                self.ask(about, Purpose::Client, world);
            }
            self.pass(MILLI, world);
        }
    }

    fn warm(&mut self) {
        self.live(5, (20, 0), Daemon::new_name, &|_, _, _| WELL);
        self.engine.take_events().for_each(drop);
    }

    /// What a path or a server was accused of.
    fn told(&mut self) -> Vec<String> {
        let accuses = |event: &Event| {
            matches!(event, Event::Verdict { subject, to, .. }
                if to.is_bad() && !matches!(subject, Subject::Route(_)))
        };
        let events = self.engine.take_events().map(|(_, event)| event);
        events.filter(accuses).map(|it| it.to_string()).collect()
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let report = self.engine.report(self.now);
        report.routes.iter().map(|route| route.verdict).collect()
    }
}

/// A name never asked for before that fails wherever it is asked: the highest bit says so.
fn doomed(daemon: &mut Daemon) -> About {
    let mut about = daemon.new_name();
    about.name |= 1 << 63;
    about
}

fn is_doomed(about: About) -> bool {
    about.name >> 63 == 1
}

fn fails(fate: Fate) -> impl Fn(About, u16, u16) -> Fate {
    move |about, _, _| if is_doomed(about) { fate } else { WELL }
}

/// Ways for a name to fail: at once, late, or in silence.
const WAYS: [Fate; 3] = [
    Some((MILLI.saturating_mul(2), SERVFAIL)),
    Some((MILLI.saturating_mul(1500), SERVFAIL)),
    None,
];

#[test]
fn new_names_that_fail_convict_nobody_while_others_are_answered() {
    for (upstreams, paths) in [(1, &["a"][..]), (2, &["a"]), (2, &["a", "b"])] {
        for fate in WAYS {
            for load in [(20, 5), (5, 45), (2, 1)] {
                let mut daemon = Daemon::new(upstreams, paths);
                daemon.warm();
                daemon.live(12, load, doomed, &fails(fate));
                let told = daemon.told();
                let case = format!("{upstreams} x {paths:?}, {fate:?}, {load:?}");
                assert_eq!(told, Vec::<String>::new(), "{case}");
                assert!(daemon.engine.answered_lately(daemon.now), "{case}");
            }
        }
    }
}

#[test]
fn a_dead_name_that_is_asked_now_and_then_changes_nothing() {
    let mut daemon = Daemon::new(1, &["a"]);
    daemon.warm();
    let world = fails(None);
    let mut about = daemon.new_name();
    about.name |= 1 << 63;
    for second in 0..40 {
        if second % 5 == 0 {
            daemon.ask(about, Purpose::Client, &world);
        }
        let good = daemon.new_name();
        daemon.ask(good, Purpose::Client, &world);
        for _ in 0..20 {
            daemon.pass(50 * MILLI, &world);
            assert!(daemon.engine.answered_lately(daemon.now), "{second}");
        }
    }
    assert_eq!(daemon.told(), Vec::<String>::new());
}

#[test]
fn three_dead_names_at_once_accuse_nobody_for_long() {
    for (upstreams, paths) in [(1, &["a"][..]), (2, &["a"])] {
        let mut daemon = Daemon::new(upstreams, paths);
        daemon.warm();
        let world = fails(None);
        for _ in 0..3 {
            let about = doomed(&mut daemon);
            daemon.ask(about, Purpose::Client, &world);
        }
        daemon.live(7, (1, 0), doomed, &world);
        let clear = vec![Verdict::Clear; usize::from(upstreams)];
        assert_eq!(daemon.verdicts(), clear, "{:?}", daemon.told());
    }
}

#[test]
fn a_type_that_somebody_drops_or_refuses_and_odd_questions_convict_nobody() {
    for fate in WAYS {
        for kind in [Kind::Odd, Kind::Typed(1)] {
            for upstreams in [1, 2] {
                let mut daemon = Daemon::new(upstreams, &["a"]);
                daemon.warm();
                let of_kind = |daemon: &mut Daemon| About {
                    kind,
                    ..daemon.new_name()
                };
                // The first server alone: the others answer.
                let world = |about: About, upstream: u16, _: u16| match upstream {
                    0 if about.kind == kind => fate,
                    _ => WELL,
                };
                daemon.live(20, (4, 4), of_kind, &world);
                assert_eq!(daemon.told(), Vec::<String>::new(), "{fate:?}, {kind:?}");
            }
        }
    }
}

#[test]
fn a_server_that_fails_everything_is_left_though_most_names_fail_anyway() {
    for fate in [WAYS[0], WAYS[2]] {
        let mut daemon = Daemon::new(2, &["a"]);
        daemon.warm();
        daemon.live(10, (5, 45), doomed, &fails(fate));
        assert_eq!(daemon.told(), Vec::<String>::new());
        let world = |about: About, upstream: u16, _: u16| match upstream {
            0 => fate,
            _ if is_doomed(about) => fate,
            _ => WELL,
        };
        daemon.live(3, (5, 45), doomed, &world);
        assert!(daemon.engine.records[0].rank >= Rank::Suspect, "{fate:?}");
        assert_eq!(daemon.engine.records[1].rank, Rank::Clear, "{fate:?}");
    }
}

#[test]
fn the_only_server_that_stops_answering_is_found_out() {
    for (fate, verdict) in [(WAYS[0], Verdict::Sick), (WAYS[2], Verdict::Dead)] {
        let mut daemon = Daemon::new(1, &["a"]);
        daemon.warm();
        daemon.live(5, (5, 0), doomed, &|_, _, _| fate);
        assert_eq!(daemon.verdicts(), [verdict]);
    }
}

#[test]
fn a_zone_that_one_server_alone_refuses_does_not_convict_it() {
    let mut daemon = Daemon::new(2, &["a"]);
    daemon.warm();
    let internal = |daemon: &mut Daemon| About {
        zone: 0xabcd << 40,
        ..daemon.new_name()
    };
    let world = |about: About, upstream: u16, _: u16| match upstream {
        0 if about.zone == 0xabcd << 40 => Some((2 * MILLI, Outcome::Poor(Rcode::REFUSED))),
        _ => WELL,
    };
    daemon.live(20, (10, 2), internal, &world);
    assert_eq!(
        daemon.verdicts(),
        [Verdict::Clear; 2],
        "{:?}",
        daemon.told()
    );
}
