//! What choosing a route costs: `cargo bench --bench choose`.
//!
//! The engine alone, no sockets. As a yardstick each figure is also given in readings of the monotonic
//! clock, taken in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use byway::clock::Time;
use byway::config::{Config, PathConfig, Policy, UpstreamConfig};
use byway::route::{Ask, Engine, Outcome, Purpose, Race};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Choices timed together, and how often.
const CHOICES: u32 = 100_000;
const ROUNDS: usize = 11;

fn main() {
    let clock = median(|| {
        let start = Instant::now();
        for _ in 0..CHOICES {
            black_box(Instant::now());
        }
        start.elapsed()
    });
    println!("{:<46}{:>8.0} ns", "a reading of the clock", clock);
    for (upstreams, paths) in [(1, 1), (2, 2), (8, 3)] {
        for policy in [Policy::Fastest, Policy::Ordered, Policy::Spread] {
            let name = format!("{upstreams} x {paths}, {policy:?}");
            let mut host = Host::new(upstreams, paths, policy);
            host.load();
            report(&format!("{name}, all clear"), clock, &mut host);
            if paths > 1 {
                let mut host = Host::new(upstreams, paths, policy);
                host.lose_the_first_path();
                host.load();
                report(&format!("{name}, a path left"), clock, &mut host);
            }
        }
    }
}

fn report(what: &str, clock: f64, host: &mut Host) {
    let choice = median(|| {
        let start = Instant::now();
        for _ in 0..CHOICES {
            let _ = black_box(host.engine.choose(host.now, &mut host.rng));
        }
        start.elapsed()
    });
    println!("{what:<46}{choice:>8.0} ns{:>8.1} x", choice / clock);
}

/// Nanoseconds for one of [`CHOICES`], the median of [`ROUNDS`].
fn median(mut round: impl FnMut() -> Duration) -> f64 {
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| round().as_secs_f64() * 1e9 / f64::from(CHOICES))
        .collect();
    took.sort_by(f64::total_cmp);
    took[ROUNDS / 2]
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
            deadline: self.now + Duration::from_secs(4),
        };
        Race::start(&mut self.engine, &ask, self.now, &mut self.rng).expect("there is room")
    }

    /// Asks one question; attempts over routes for which `answers` holds are answered.
    fn ask(&mut self, answers: impl Fn(u16) -> bool) {
        let (mut race, step) = self.start(Duration::from_millis(3));
        for send in [step.send, step.also].into_iter().flatten() {
            let path = self.engine.routes()[usize::from(send.route.0)].path.0;
            let trip = Duration::from_micros(2_000 + 500 * u64::from(send.route.0));
            let outcome = match answers(path) {
                true => Outcome::Answered,
                false => Outcome::Unreachable,
            };
            let at = self.now + trip;
            race.outcome(&mut self.engine, send.attempt, outcome, at, &mut self.rng);
        }
        self.engine.tick(self.now, &mut self.rng);
    }

    /// Puts one attempt for each route under way.
    fn load(&mut self) {
        for _ in self.engine.routes().to_vec() {
            self.start(Duration::from_micros(20));
        }
    }

    fn lose_the_first_path(&mut self) {
        for _ in 0..2_000 {
            self.ask(|path| path != 0);
        }
    }
}
