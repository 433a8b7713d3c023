//! What the engine costs: choosing a route, and a whole race that its first attempt wins.
//!
//! `cargo bench --bench choose` runs all, `cargo bench --bench choose -- 8x3 race` the lines that hold one of these
//! words. The engine alone, no sockets. As a yardstick each figure is also given in readings of the monotonic
//! clock, taken in the same run. On a busy machine instructions tell more: `BYWAY_ROUNDS=1 valgrind --tool=callgrind
//! --toggle-collect='choose::choice' target/release/deps/choose-... 8x3` counts those of 100,000 choices, and
//! `choose::race` those of races.

use std::hint::black_box;
use std::time::{Duration, Instant};

use byway::clock::Time;
use byway::config::{Config, PathConfig, Policy, UpstreamConfig};
use byway::observe::said::Reason;
use byway::route::{About, Ask, Engine, Outcome, PoolId, Purpose, Race};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Calls timed together, and how often unless `BYWAY_ROUNDS` says otherwise.
const CALLS: u32 = 100_000;
const ROUNDS: usize = 11;
/// What a race's attempt takes, and how long after its end the next question comes.
const TRIP: Duration = Duration::from_micros(200);
const PAUSE: Duration = Duration::from_micros(50);
/// After this a route whose answers take ten milliseconds has an overdue one.
const STALL: Duration = Duration::from_millis(50);

fn main() {
    let clock = median(|| {
        black_box(Instant::now());
    });
    println!("{:<46}{:>8.0} ns", "a reading of the clock", clock);
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let report = |what: &str, call: fn(&mut Host), host: &dyn Fn() -> Host| {
        if words.is_empty() || words.iter().any(|word| what.contains(word.as_str())) {
            let mut host = host();
            let took = median(|| call(&mut host));
            println!("{what:<46}{took:>8.0} ns{:>8.1} x", took / clock);
        }
    };
    for (upstreams, paths) in [(1, 1), (2, 2), (8, 3)] {
        for policy in [Policy::Fastest, Policy::Ordered, Policy::Spread] {
            let name = format!("{upstreams}x{paths}, {policy:?}");
            let healthy = || Host::new(upstreams, paths, policy);
            let troubled = || {
                let mut host = healthy();
                host.lose_the_first_path();
                host
            };
            report(&format!("{name}, all clear"), choice, &|| healthy().load());
            if paths > 1 {
                report(&format!("{name}, a path left"), choice, &|| {
                    troubled().load()
                });
            }
            let stalling = || {
                let mut host = healthy();
                host.start(PAUSE);
                host.now = host.now + STALL;
                host
            };
            report(&format!("{name}, one stalls"), choice, &stalling);
            report(&format!("{name}, a race"), race, &healthy);
            if upstreams > 1 {
                report(&format!("{name}, a race, one stalls"), race, &stalling);
            }
        }
    }
}

/// Nanoseconds that one of [`CALLS`] takes, the median of all rounds.
fn median(mut call: impl FnMut()) -> f64 {
    let rounds = std::env::var("BYWAY_ROUNDS").ok();
    let rounds = rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
        .max(1);
    let mut took: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[rounds / 2]
}

/// Chooses a route for a question's first packet.
#[inline(never)]
fn choice(host: &mut Host) {
    let _ = black_box(host.engine.choose(PoolId::MAIN, host.now, &mut host.rng));
}

/// All that a question asks of the engine when its first attempt is answered in time.
#[inline(never)]
fn race(host: &mut Host) {
    let (mut race, step) = host.start(PAUSE);
    if host.engine.any_clear(host.now) {
        black_box(host.engine.hedge_wait(host.now));
    }
    host.now = host.now + TRIP;
    for send in [step.send, step.also].into_iter().flatten() {
        let (engine, rng) = (&mut host.engine, &mut host.rng);
        let (answered, now) = (Outcome::Answered, host.now);
        black_box(race.outcome(engine, send.attempt, answered, now, now, rng));
    }
}

/// An engine that has seen some traffic.
struct Host {
    engine: Engine,
    rng: StdRng,
    now: Time,
}

impl Host {
    fn new(upstreams: usize, paths: usize, policy: Policy) -> Host {
        let addresses: Vec<std::net::SocketAddr> = (0..upstreams)
            .map(|n| ([192, 0, 2, n as u8 + 1], 53).into())
            .collect();
        let mut config = Config::default_with_upstreams(&addresses);
        config.routing.policy = policy;
        let path = |n: usize| PathConfig {
            name: format!("path{n}"),
            ..PathConfig::kernels_choice()
        };
        config.paths = (0..paths).map(path).collect();
        let upstream = |n: usize| UpstreamConfig {
            name: format!("dc{n}"),
            paths: (0..paths).collect(),
            ..UpstreamConfig::at(addresses[n])
        };
        config.upstreams = (0..upstreams).map(upstream).collect();
        let mut host = Host {
            engine: Engine::new(&config, Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
        };
        // Every route is surveyed at first, so all come to be measured.
        for _ in 0..2_000 {
            host.ask(|_| true);
        }
        host
    }

    /// Starts a question, so long after the one before.
    fn start(&mut self, after: Duration) -> (Race, byway::route::Step) {
        self.now = self.now + after;
        let ask = Ask {
            purpose: Purpose::Client,
            about: About::PLAIN,
            deadline: self.now + Duration::from_secs(4),
            again: false,
            light: false,
            pool: PoolId::MAIN,
        };
        Race::start(&mut self.engine, &ask, self.now, &mut self.rng).expect("there is room")
    }

    /// Asks one question; attempts over paths for which `answers` holds are answered.
    fn ask(&mut self, answers: impl Fn(u16) -> bool) {
        let (mut race, step) = self.start(Duration::from_millis(3));
        let mut sends: Vec<_> = [step.send, step.also].into_iter().flatten().collect();
        while let Some(send) = sends.pop() {
            let path = self.engine.routes()[usize::from(send.route.0)].path.0;
            let trip = Duration::from_micros(2_000 + 500 * u64::from(send.route.0));
            let outcome = match answers(path) {
                true => Outcome::Answered,
                false => Outcome::Unreachable(Reason::REFUSED),
            };
            let (at, rng) = (self.now + trip, &mut self.rng);
            let step = race.outcome(&mut self.engine, send.attempt, outcome, at, at, rng);
            sends.extend([step.send, step.also].into_iter().flatten());
        }
        self.engine.tick(self.now, &mut self.rng);
    }

    /// Puts one attempt for each route under way.
    fn load(mut self) -> Host {
        for _ in self.engine.routes().to_vec() {
            self.start(Duration::from_micros(20));
        }
        self
    }

    fn lose_the_first_path(&mut self) {
        for _ in 0..2_000 {
            self.ask(|path| path != 0);
        }
    }
}
