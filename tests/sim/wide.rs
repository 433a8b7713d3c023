//! A wide survey: many rates, grids, ways and faults beside the rows, several seeds of each. It judges nothing; it
//! prints a line for each case and marks what misses the figures that the rows are to reach.
//!
//! `BYWAY_WIDE=n` sets the seeds of each case, `BYWAY_CASE=text` narrows it to the cases whose line contains the
//! text (all of several texts, with `&` between them), `BYWAY_SEED=n` to that seed; `BYWAY_STORY=1` tells what the
//! engine told and `BYWAY_PACKETS=1` all packets:
//! `BYWAY_WIDE=10 cargo test --release --test storm wide -- --ignored --nocapture`.

mod cases;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use byway::config::Policy;
use byway::route::{Event, Subject as Named};
use byway::wire::Rcode;

use super::clients::Load;
use super::network::{Link, Upstream};
use super::resolver::Resolver;
use super::rows::{BEGIN, END, STOP, number};
use super::watch::Figures;
use super::world::{World, config};

/// The figures while another way is clear, by the lab's measure.
const SLOW: Duration = Duration::from_millis(50);
const VERY_SLOW: Duration = Duration::from_millis(250);
const WORST: Duration = Duration::from_millis(150);
const NOTICED: f64 = 3.0;
/// A full queue takes a second and a half to drain.
const BACK: f64 = 11.5;

/// What goes wrong with a path or a server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// Somebody else's traffic, as a share of the link's rate, into a buffer of so many milliseconds.
    Swamped(f64, u64),
    /// Per cent lost, both ways together.
    Loses(f64),
    Dead,
    /// Milliseconds more in all.
    Longer(u64),
    /// Milliseconds of jitter, each way.
    Jitter(u64),
    /// A server's milliseconds more.
    Slow(u64),
    Silent,
    /// Per cent of a server's answers.
    Useless(f64, Rcode),
    /// Per cent of a server's answers come so many milliseconds later, on average.
    Strained(f64, u64),
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Path(usize),
    Server(usize),
}

impl At {
    fn name(self) -> String {
        match self {
            At::Path(path) => char::from(b'A' + path as u8).to_string(),
            At::Server(server) => format!("dc{}", server + 1),
        }
    }
}

/// Something begins or, without trouble, ends, so long after the beginning.
type Turn = (Duration, At, Option<Trouble>);

/// One case.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    upstreams: usize,
    paths: usize,
    rate: f64,
    popular_share: f64,
    policy: Policy,
    /// Milliseconds there and back over each path, without jitter, and jitter each way.
    ways: Vec<f64>,
    jitter: f64,
    /// Share of hard questions, and the milliseconds they take more on average.
    hard: (f64, u64),
    turns: Vec<Turn>,
}

/// What one seed showed.
#[derive(Clone, Debug, Default)]
struct Seen {
    failed: usize,
    over_50: usize,
    over_250: usize,
    worst: f64,
    x: f64,
    /// Packets beyond what is allowed.
    beyond: f64,
    on_bad: f64,
    back: f64,
    noticed: f64,
    /// Most of what was sent before went where the trouble is.
    touched: bool,
    wrong: usize,
    after_failed: usize,
    after_over: usize,
    allowed: usize,
    ratio: f64,
    failed_known: usize,
    p99_known: f64,
}

impl Case {
    fn world(&self, seed: u64) -> World<Resolver> {
        let mut config = config(self.upstreams, self.paths);
        config.routing.policy = self.policy;
        let load = Load {
            rate: self.rate,
            popular: 2000,
            popular_share: self.popular_share,
        };
        let mut world = World::new(seed, &config, load);
        let jitter = Duration::from_secs_f64(self.jitter / 1e3);
        for path in 0..self.paths {
            let link = &mut world.links[path];
            (link.delay, link.jitter) = (self.delay(path), jitter);
        }
        let hard = (self.hard.0, Duration::from_millis(self.hard.1));
        for upstream in &mut world.upstreams {
            upstream.hard = hard;
        }
        for &(after, at, trouble) in &self.turns {
            // What comes back with its queue is no more clear than before.
            let drain = trouble.is_none() && self.clear_way().is_none();
            let (delay, healthy) = match at {
                At::Path(path) => (self.delay(path), jitter),
                At::Server(_) => (Duration::ZERO, Duration::ZERO),
            };
            world.at(BEGIN + after, move |world| match at {
                At::Path(path) => {
                    change_link(&mut world.links[path], trouble, delay, healthy);
                    if drain {
                        world.links[path].drain();
                    }
                }
                At::Server(server) => change_server(&mut world.upstreams[server], trouble, hard),
            });
        }
        world.run(STOP);
        world
    }

    fn round_trip(&self, path: usize) -> f64 {
        let last = self.ways.len() - 1;
        self.ways[path.min(last)] + 2.0 * path.saturating_sub(last) as f64
    }

    fn delay(&self, path: usize) -> Duration {
        Duration::from_secs_f64(self.round_trip(path) / 2e3)
    }

    fn places(&self) -> BTreeSet<String> {
        self.turns.iter().map(|(_, at, _)| at.name()).collect()
    }

    /// A way that no trouble touches: the least milliseconds over one.
    fn clear_way(&self) -> Option<f64> {
        let touched = |at: At| self.turns.iter().any(|turn| turn.1 == at);
        let server = (0..self.upstreams).any(|it| !touched(At::Server(it)));
        let paths = (0..self.paths).filter(|&it| !touched(At::Path(it)));
        let least = paths
            .map(|path| self.round_trip(path))
            .min_by(f64::total_cmp);
        least.filter(|_| server)
    }

    /// The one place and trouble that lasts all the time.
    fn steady(&self) -> Option<(At, Trouble)> {
        match self.turns[..] {
            [(_, at, Some(trouble)), (until, _, None)] if BEGIN + until >= END => {
                Some((at, trouble))
            }
            _ => None,
        }
    }

    fn seen(&self, world: &World<Resolver>) -> Seen {
        let figures = Figures::of(world, BEGIN, END);
        let health = Figures::of(world, BEGIN - (END - BEGIN), BEGIN);
        let more = self.clear_way().unwrap_or_default() + 2.0 * self.jitter;
        let more = Duration::from_secs_f64(if more > 10.0 { more / 1e3 } else { 0.0 });
        let over = |limit: Duration, from: Duration, until: Duration| {
            let within = |at: Duration| at >= from && at < until;
            let asked = world.records.iter().filter(|record| {
                within(record.asked.since(world.start))
                    && record.latency().is_none_or(|took| took > limit + more)
            });
            asked.count()
        };
        let usual = over(SLOW, BEGIN - (END - BEGIN), BEGIN);
        let mut least = match self.rate {
            ..30.0 => 1,
            ..300.0 => 2,
            ..1000.0 => 4,
            rate => (5.0 * rate / 1000.0) as usize,
        };
        if usual > 0 {
            least += usual + (3.0 * (usual as f64).sqrt()) as usize;
        }
        let asked = figures.packets as f64 / figures.x;
        let share = match (self.clear_way(), self.rate) {
            (None, _) => 1.3,
            (_, ..100.0) => 1.05,
            _ => 1.03,
        };
        let told = |at: Duration| at >= BEGIN && at < END + Duration::from_millis(1500);
        let groups = world.subject.events.iter().filter_map(|(at, event)| {
            let at = at.since(world.start);
            match event {
                Event::Verdict { subject, to, .. } if !to.is_clear() => Some((at, subject)),
                _ => None,
            }
        });
        let guilty = self.places();
        let is_group = |subject: &&Named| !matches!(subject, Named::Route(_));
        let wrong = groups
            .clone()
            .filter(|(at, subject)| {
                told(*at) && is_group(subject) && !guilty.contains(subject.name())
            })
            .count();
        let noticed = groups
            .filter(|(at, _)| *at >= BEGIN)
            .map(|(at, _)| at.saturating_sub(BEGIN).as_secs_f64())
            .next();
        let after = BEGIN + Duration::from_secs(1);
        let later = world.packets.iter().filter(|packet| {
            let at = packet.at.since(world.start);
            at >= after && at < END
        });
        let bad = |path: u16, upstream: u16| match self.steady() {
            Some((At::Path(it), _)) => it == path as usize,
            Some((At::Server(it), _)) => it == upstream as usize,
            None => false,
        };
        let on_bad = later.clone().filter(|it| bad(it.path, it.upstream)).count();
        let before = world.packets.iter().filter(|packet| {
            let at = packet.at.since(world.start);
            at >= BEGIN / 2 && at < BEGIN
        });
        let (touched, before) = before.fold((0, 0), |(touched, all), it| {
            (touched + usize::from(bad(it.path, it.upstream)), all + 1)
        });
        let calm = END + Duration::from_millis(500);
        let until = STOP - Duration::from_secs(1);
        let worst = world.records.iter().filter(|record| {
            let at = record.asked.since(world.start);
            at >= BEGIN && at < END
        });
        let worst = worst.filter_map(|record| record.latency()).max();
        Seen {
            failed: figures.failed,
            over_50: over(SLOW, BEGIN, END),
            over_250: over(VERY_SLOW, BEGIN, END),
            worst: (worst.unwrap_or_default().as_secs_f64() - more.as_secs_f64()) * 1e3,
            x: figures.x,
            beyond: figures.packets as f64 - (asked * share).ceil(),
            on_bad: on_bad as f64 / later.count().max(1) as f64,
            back: self.back(world),
            noticed: noticed.unwrap_or(f64::NAN),
            touched: 2 * touched > before,
            wrong,
            after_failed: Figures::of(world, calm, until).failed,
            after_over: over(SLOW, calm, until),
            allowed: least,
            ratio: figures.packets as f64 / health.packets.max(1) as f64,
            failed_known: figures.failed_known,
            p99_known: figures.p99_known.as_secs_f64() * 1e3,
        }
    }

    /// Seconds until the nearest path that healed carries most again; 0 where that is no question.
    fn back(&self, world: &World<Resolver>) -> f64 {
        let bad_first = matches!(self.steady(), Some((At::Path(0), _)));
        let least = (1..self.paths).map(|it| self.round_trip(it));
        let nearest = least.fold(f64::MAX, f64::min) > self.round_trip(0) / 0.8 + 0.3;
        if !bad_first || !nearest || self.policy == Policy::Spread || self.paths < 2 {
            return 0.0;
        }
        world
            .back_on_first_path(END)
            .map_or(99.0, |it| it.as_secs_f64())
    }

    /// What misses the figures, worst first.
    fn misses(&self, seen: &Seen) -> Vec<char> {
        let mut misses = Vec::new();
        let mut mark = |missed: bool, sign: char| {
            if missed {
                misses.push(sign);
            }
        };
        let steady = self.steady().map(|(_, trouble)| trouble);
        let heavy = steady.is_some_and(Trouble::is_heavy);
        if self.clear_way().is_none() {
            mark(seen.failed_known > 0, 'F');
            mark(seen.p99_known > 10.0, 'L');
            mark(seen.ratio > 1.3, 'X');
        } else {
            mark(seen.failed > 0, 'F');
            mark(seen.over_250 > 0 && self.hard.0 == 0.0, 'L');
            mark(
                seen.worst > WORST.as_secs_f64() * 1e3 && self.hard.0 == 0.0,
                'W',
            );
            mark(seen.over_50 > seen.allowed, 'S');
            mark(seen.wrong > 0, 'B');
            mark(seen.beyond > 0.0, 'X');
            mark(heavy && seen.on_bad > 0.02, 'A');
            mark(
                seen.touched && seen.noticed.is_nan() | (seen.noticed > NOTICED),
                'N',
            );
            mark(seen.back > BACK, 'R');
        }
        mark(seen.after_failed > 0, 'f');
        mark(seen.after_over > seen.allowed, 's');
        misses
    }

    fn line(&self, all: &[Seen]) -> String {
        let of = |value: &dyn Fn(&Seen) -> f64| Spread::of(all.iter().map(value).collect());
        let sum = |value: &dyn Fn(&Seen) -> usize| all.iter().map(value).sum::<usize>();
        let mut signs: Vec<(char, usize)> = Vec::new();
        for sign in all.iter().flat_map(|seen| self.misses(seen)) {
            match signs.iter_mut().find(|(it, _)| *it == sign) {
                Some((_, count)) => *count += 1,
                None => signs.push((sign, 1)),
            }
        }
        let signs: String = signs
            .iter()
            .map(|(it, count)| format!("{it}{count} "))
            .collect();
        format!(
            "{self}| fail {:4} >250 {:4} >50 {:.0} worst {:.0} x {:.3} bad {:.1}% seen {:.1} back {:.1} wrong {} after {}/{} ratio {:.2} known {}/{:.1} | {signs}",
            sum(&|it| it.failed),
            sum(&|it| it.over_250),
            of(&|it| it.over_50 as f64),
            of(&|it| it.worst),
            of(&|it| it.x),
            of(&|it| it.on_bad * 100.0),
            of(&|it| it.noticed),
            of(&|it| it.back),
            sum(&|it| it.wrong),
            sum(&|it| it.after_failed),
            sum(&|it| it.after_over),
            of(&|it| it.ratio),
            sum(&|it| it.failed_known),
            of(&|it| it.p99_known),
        )
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { rate, .. } = self;
        let name = format!(
            "{}x{} {rate}/s {:?} {} {}",
            self.upstreams, self.paths, self.policy, self.popular_share, self.name
        );
        write!(f, "{name:<62}")
    }
}

impl Trouble {
    /// Whether it is to be left within a second.
    fn is_heavy(self) -> bool {
        match self {
            Trouble::Swamped(load, _) => load >= 1.4,
            Trouble::Loses(share) => share >= 20.0,
            Trouble::Dead | Trouble::Silent => true,
            Trouble::Longer(by) => by >= 100,
            Trouble::Slow(by) => by >= 100,
            Trouble::Jitter(_) => false,
            Trouble::Useless(share, _) => share >= 50.0,
            Trouble::Strained(..) => false,
        }
    }
}

fn change_link(link: &mut Link, trouble: Option<Trouble>, delay: Duration, jitter: Duration) {
    (link.background, link.buffer) = (Link::BACKGROUND, Duration::from_secs(1));
    (link.loss, link.dead, link.delay, link.jitter) = (0.0, false, delay, jitter);
    match trouble {
        Some(Trouble::Swamped(load, buffer)) => {
            (link.background, link.buffer) = (load, Duration::from_millis(buffer));
        }
        Some(Trouble::Loses(share)) => link.loss = 1.0 - (1.0 - share / 100.0).sqrt(),
        Some(Trouble::Dead) => link.dead = true,
        Some(Trouble::Longer(by)) => link.delay = delay + Duration::from_millis(by) / 2,
        Some(Trouble::Jitter(by)) => link.jitter = Duration::from_millis(by),
        _ => {}
    }
}

fn change_server(upstream: &mut Upstream, trouble: Option<Trouble>, hard: (f64, Duration)) {
    upstream.hard = hard;
    (upstream.slowness, upstream.sick.0, upstream.dead) = (Duration::ZERO, 0.0, false);
    match trouble {
        Some(Trouble::Slow(by)) => upstream.slowness = Duration::from_millis(by),
        Some(Trouble::Silent) => upstream.dead = true,
        Some(Trouble::Useless(share, rcode)) => upstream.sick = (share / 100.0, rcode),
        Some(Trouble::Strained(share, by)) => {
            upstream.hard = (share / 100.0, Duration::from_millis(by));
        }
        _ => {}
    }
}

/// The median and the most.
struct Spread(f64, f64);

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread(values[values.len() / 2], values[values.len() - 1])
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$}/{:.digits$}", self.0, self.1)
    }
}

#[test]
#[ignore = "prints what came of it and judges nothing"]
fn wide() {
    let seeds = match number("BYWAY_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("BYWAY_WIDE").unwrap_or(5),
    };
    let wanted = std::env::var("BYWAY_CASE").unwrap_or_default();
    let mut cases = cases::all();
    cases.retain(|case| wanted.split('&').all(|it| case.to_string().contains(it)));
    let (next, out) = (AtomicUsize::new(0), Mutex::new(()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let of_seed = |seed| {
                let world = case.world(seed);
                if std::env::var_os("BYWAY_STORY").is_some() {
                    println!("{}", world.story(Duration::ZERO));
                }
                if std::env::var_os("BYWAY_PACKETS").is_some() {
                    println!("{}", world.parcels(BEGIN - Duration::from_secs(1)));
                }
                case.seen(&world)
            };
            let all: Vec<Seen> = seeds.clone().map(of_seed).collect();
            let _one_at_a_time = out.lock();
            println!("{}", case.line(&all));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(work);
        }
    });
}
