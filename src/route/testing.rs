//! What the tests of this room begin with.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::clock::Time;
use crate::config::{Config, PathConfig};
use crate::route::{About, Ask, Engine, Outcome, PoolId, Purpose, Race, Refused, Send, Step};

/// So many upstreams, each over all of these paths.
pub(super) fn grid(upstreams: u8, paths: &[&str]) -> Config {
    let addresses: Vec<_> = (1..=upstreams)
        .map(|n| ([192, 0, 2, n], 53).into())
        .collect();
    let mut config = Config::default_with_upstreams(&addresses);
    config.paths = paths
        .iter()
        .map(|&name| PathConfig {
            name: name.into(),
            ..PathConfig::kernels_choice()
        })
        .collect();
    for upstream in &mut config.upstreams {
        upstream.paths = (0..paths.len()).collect();
    }
    config
}

/// An engine whose attempts are answered after 2 ms, until a test does otherwise.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) rng: StdRng,
    pub(super) now: Time,
}

impl World {
    pub(super) fn new(config: &Config) -> World {
        World {
            engine: Engine::new(config, Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
        }
    }

    /// One in which every route has answered often.
    pub(super) fn measured(config: &Config) -> World {
        let mut world = World::new(config);
        for _ in 0..600 {
            world.pass(20);
            let (mut race, step) = world.start(Purpose::Client).expect("a route");
            world.answer(&mut race, step);
        }
        world
    }

    /// Lets so many milliseconds pass; probes that are due are answered.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for route in self.engine.tick(self.now, &mut self.rng).probes {
            let probe = self.start(Purpose::Probe(route));
            let (mut race, step) = probe.expect("a probe");
            self.answer(&mut race, step);
        }
    }

    pub(super) fn start(&mut self, purpose: Purpose) -> Result<(Race, Step), Refused> {
        let ask = Ask {
            purpose,
            about: About::PLAIN,
            deadline: self.now + Duration::from_secs(4),
            again: false,
            light: false,
            pool: PoolId::MAIN,
        };
        Race::start(&mut self.engine, &ask, self.now, &mut self.rng)
    }

    /// All that a step sends is answered after 2 ms; no time passes for others.
    pub(super) fn answer(&mut self, race: &mut Race, step: Step) {
        let later = self.now + Duration::from_millis(2);
        for send in [step.send, step.also].into_iter().flatten() {
            let (id, outcome) = (send.attempt, Outcome::Answered);
            race.outcome(&mut self.engine, id, outcome, later, later, &mut self.rng);
        }
    }

    /// An attempt ends now.
    pub(super) fn end(&mut self, race: &mut Race, send: Send, outcome: Outcome) -> Step {
        let (engine, now) = (&mut self.engine, self.now);
        race.outcome(engine, send.attempt, outcome, now, now, &mut self.rng)
    }
}

/// What stands in docs/routing.md between the marks of `name` is `should`; with `BYWAY_WRITE_DOCS` set it is written there.
/// One test after the other writes.
pub(super) fn holds_with_docs(name: &str, should: &str) {
    static WRITING: Mutex<()> = Mutex::new(());
    let path = "docs/routing.md";
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let _one = WRITING.lock();
    let page = fs::read_to_string(path).expect("the page");
    let (before, rest) = page.split_once(&begin).expect("where it begins");
    let (now, after) = rest.split_once(&end).expect("where it ends");
    if std::env::var_os("BYWAY_WRITE_DOCS").is_some() {
        let page = format!("{before}{begin}{should}{end}{after}");
        fs::write(path, page).expect("a writable page");
        return;
    }
    assert!(
        now == should,
        "{name} in docs/routing.md are out of date: BYWAY_WRITE_DOCS=1 cargo test --lib route::"
    );
}
