//! Names that fail, beside names that do not: a name's fault is not its server's.
//!
//! The resolver that the daemon runs, in a network that is well, or not, while some of what it is asked fails
//! everywhere, or at one server, or by type. [`super::mixed`] draws such days at random.
//!
//! `cargo test --test storm names -- --include-ignored --nocapture` prints every row; `BYWAY_STORY=1` tells a row's
//! verdicts. `BYWAY_SEED=n cargo test --test storm names_mixed -- --ignored --nocapture` tells the story of one mixed
//! day, `BYWAY_STORMS=n` runs n of them.

use std::fmt;
use std::time::Duration;

use byway::clock::Time;
use byway::route::{Event, Verdict};
use byway::wire::Rcode;

use super::clients::{Load, Record};
use super::failing::{Asked, Beside, Failing, Fate, Whose};
use super::resolver::{Resolver, ttl};
use super::subject::{Name, Subject};
use super::world::{World, config};

pub const SECOND: Duration = Duration::from_secs(1);
/// What fails begins to be asked; a row is looked at until its end.
pub const BEGIN: Duration = Duration::from_secs(20);
/// Within this every question has been answered.
const GRACE: Duration = Duration::from_secs(5);
/// Packets that one failing question may cost, on average, if a server says so, or if nothing does.
pub const PACKETS: (f64, f64) = (2.0, 3.0);

pub const SERVFAIL: Fate = Fate::Says(Rcode::SERVFAIL);
pub const LATE: Fate = Fate::Late(Duration::from_millis(1500), Rcode::SERVFAIL);

/// The fault is held against nobody, here or elsewhere.
pub fn everywhere(whose: Whose, fate: Fate) -> Failing {
    Failing {
        whose,
        at: None,
        fate,
    }
}

/// What was seen of those who asked in earnest, and what that which fails cost.
#[derive(Debug, Default)]
pub struct Seen {
    asked: usize,
    failed: usize,
    over_50: usize,
    stale: usize,
    oldest: Duration,
    /// Bad verdicts, and doubts.
    accused: usize,
    doubted: usize,
    failing: usize,
    /// Packets for each question that fails.
    each: f64,
}

impl Seen {
    pub fn of<S: Subject>(world: &World<S>, from: Duration, until: Duration) -> Seen {
        let within = |at: Time| (from..until).contains(&at.since(world.start));
        let mut seen = Seen::default();
        for (query, record) in world.records.iter().enumerate() {
            if !within(record.asked) {
                continue;
            }
            if record.may_fail {
                seen.failing += 1;
                continue;
            }
            seen.asked += 1;
            seen.failed += usize::from(!record.good);
            let late = |took: Duration| took > Duration::from_millis(50);
            seen.over_50 += usize::from(record.latency().is_none_or(late));
            if record.stale {
                seen.stale += 1;
                seen.oldest = seen.oldest.max(age(world, query, record));
            }
        }
        for (at, event) in world.subject.events() {
            if let Event::Verdict { to, .. } = event
                && within(*at)
            {
                seen.accused += usize::from(to.is_bad());
                seen.doubted += usize::from(*to == Verdict::Suspect);
            }
        }
        let spent = world
            .packets
            .iter()
            .filter(|packet| within(packet.at) && packet.name.is_some_and(Name::may_fail));
        seen.each = spent.count() as f64 / seen.failing.max(1) as f64;
        seen
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "asked {:6} failed {:4} >50ms {:4} stale {:4} (oldest {:4.1} s)  accused {:3} doubted {:3}  beside {:6} at {:.2} packets",
            self.asked,
            self.failed,
            self.over_50,
            self.stale,
            self.oldest.as_secs_f64(),
            self.accused,
            self.doubted,
            self.failing,
            self.each,
        )
    }
}

/// How long past its TTL a stale answer was: since the newest good answer to its question that had come.
pub fn age<S: Subject>(world: &World<S>, query: usize, record: &Record) -> Duration {
    let (name, told) = (world.name(query), record.answered.expect("answered stale"));
    let earlier = world.packets.partition_point(|packet| packet.at < told);
    let newest = world.packets[..earlier].iter().rev();
    let mut good = newest.filter(|packet| packet.came_back && packet.name == Some(name));
    let ttl = Duration::from_secs(u64::from(ttl(Some(name))));
    good.next()
        .map_or(Duration::MAX, |packet| told.since(packet.at + ttl))
}

/// One row: who asks in earnest, what is asked beside, and how that fails.
struct Row {
    name: &'static str,
    load: Load,
    beside: Vec<Beside>,
    failing: Vec<Failing>,
    lasts: Duration,
    /// Lost at random, each way, on every path.
    loss: f64,
}

impl Row {
    fn new(name: &'static str, load: Load, beside: Beside, failing: Failing) -> Row {
        Row {
            name,
            load,
            beside: vec![beside],
            failing: vec![failing],
            lasts: 60 * SECOND,
            loss: 0.0,
        }
    }

    fn lasting(self, secs: u32) -> Row {
        Row {
            lasts: secs * SECOND,
            ..self
        }
    }

    fn world(&self, seed: u64, (upstreams, paths): (usize, usize)) -> World<Resolver> {
        let config = config(upstreams, paths);
        let mut world = World::new(seed, &config, self.load);
        for &beside in &self.beside {
            world.ask_beside(BEGIN, beside);
        }
        world.failing.clone_from(&self.failing);
        for link in &mut world.links {
            link.loss = self.loss;
        }
        world
    }

    /// Runs it over each grid and hands over what was seen.
    fn run(&self, grids: &[(usize, usize)], judge: impl Fn(&Seen)) {
        for &grid in grids {
            for seed in 1..=2 {
                let mut world = self.world(seed, grid);
                // Those asked last are given their time.
                world.run(BEGIN + self.lasts + GRACE);
                let seen = Seen::of(&world, BEGIN, BEGIN + self.lasts);
                println!("{:<44} {}x{} {seed} {seen}", self.name, grid.0, grid.1);
                if std::env::var_os("BYWAY_STORY").is_some() {
                    println!("{}", world.story(BEGIN - SECOND));
                }
                judge(&seen);
            }
        }
    }

    /// ... who notices nothing, and nobody is accused.
    fn unnoticed(&self) {
        self.run(&[(1, 1), (2, 1), (2, 2)], |seen| {
            assert_eq!((seen.failed, seen.stale, seen.over_50), (0, 0, 0), "{seen}");
            assert_eq!((seen.accused, seen.doubted), (0, 0), "{seen}");
            let (said, silent) = PACKETS;
            let speaks = |failing: &Failing| matches!(failing.fate, Fate::Says(_));
            let most = if self.failing.iter().all(speaks) {
                said
            } else {
                silent
            };
            assert!(seen.each <= most, "{seen}");
        });
    }
}

/// So many questions a second for so few names.
fn popular(rate: f64, popular: u32) -> Load {
    Load {
        rate,
        popular,
        popular_share: 1.0,
    }
}

/// New names in `zones` zones, and how all of them fail.
pub fn new_names(rate: f64, zones: u16) -> Beside {
    let asked = Asked::New { first: 0, zones };
    Beside { rate, asked }
}

#[test]
fn one_dead_name_is_nobodys_fault() {
    let dead = Beside {
        rate: 0.2,
        asked: Asked::Same { zone: 0, names: 1 },
    };
    let failing = everywhere(Whose::Zone(0), Fate::Silent);
    for (name, load) in [
        ("a dead name each 5 s beside one at 1/s", popular(1.0, 1)),
        ("a dead name each 5 s beside 20/s", popular(20.0, 20)),
    ] {
        Row::new(name, load, dead, failing).lasting(120).unnoticed();
    }
}

#[test]
fn a_type_that_a_router_drops_is_nobodys_fault() {
    let asked = Asked::Https { names: 5 };
    let beside = Beside { rate: 2.0, asked };
    for (name, fate) in [
        ("2/s, HTTPS dropped", Fate::Silent),
        ("2/s, HTTPS refused", Fate::Says(Rcode::NOTIMP)),
    ] {
        let failing = everywhere(Whose::Https, fate);
        Row::new(name, popular(2.0, 5), beside, failing).unnoticed();
    }
}

#[test]
#[ignore = "waits for evidence that counts names, not questions"]
fn many_failing_names_beside_few_good_ones() {
    for (name, fate) in [
        ("45/s SERVFAIL beside 5/s", SERVFAIL),
        ("45/s silent beside 5/s", Fate::Silent),
        ("45/s SERVFAIL after 1.5 s beside 5/s", LATE),
    ] {
        for zones in [1, 40] {
            let mut row = Row::new(
                name,
                popular(5.0, 5),
                new_names(45.0, zones),
                everywhere(Whose::Zone(0), fate),
            );
            row.failing = zones_of(zones, fate);
            row.unnoticed();
        }
    }
}

/// Each of so many zones fails everywhere.
pub fn zones_of(zones: u16, fate: Fate) -> Vec<Failing> {
    (0..zones)
        .map(|zone| everywhere(Whose::Zone(zone), fate))
        .collect()
}

#[test]
#[ignore = "waits for evidence that counts names, not questions"]
fn a_fifth_of_new_names_fails() {
    let load = Load {
        rate: 950.0,
        popular: 200,
        popular_share: 0.75,
    };
    let lasts = if cfg!(debug_assertions) { 15 } else { 30 };
    for (name, fate) in [
        ("1,000/s, a fifth of new names SERVFAIL", SERVFAIL),
        ("1,000/s, a fifth of new names silent", Fate::Silent),
        ("1,000/s, a fifth of new names late SERVFAIL", LATE),
    ] {
        let mut row = Row::new(
            name,
            load,
            new_names(60.0, 30),
            everywhere(Whose::Zone(0), fate),
        );
        row.failing = zones_of(30, fate);
        row.lasting(lasts).unnoticed();
    }
}

#[test]
#[ignore = "waits for evidence that counts names, not questions"]
fn a_zone_that_one_server_cannot_resolve_is_asked_of_the_other() {
    for (name, fate) in [
        ("dc1 says SERVFAIL to a zone", SERVFAIL),
        ("dc1 says nothing to a zone", Fate::Silent),
    ] {
        let failing = Failing {
            at: Some(0),
            ..everywhere(Whose::Zone(0), fate)
        };
        let row = Row::new(name, popular(20.0, 20), new_names(5.0, 1), failing);
        for seed in 1..=2 {
            let mut world = row.world(seed, (2, 2));
            world.run(BEGIN + row.lasts);
            let seen = Seen::of(&world, BEGIN, BEGIN + row.lasts);
            println!("{name:<44} 2x2 {seed} {seen}");
            let of_the_zone = world.records.iter().filter(|record| record.may_fail);
            let done = of_the_zone.filter(|it| it.asked < world.now - 5 * SECOND);
            let failed = done.filter(|record| !record.good).count();
            assert_eq!(failed, 0, "names that dc2 knows");
            assert_eq!((seen.failed, seen.stale, seen.accused), (0, 0, 0), "{seen}");
        }
    }
}

#[test]
fn one_packet_in_a_hundred_is_ordinary_life() {
    let mut row = Row::new(
        "20/s, 1 % lost on every path",
        Load {
            rate: 20.0,
            popular: 20,
            popular_share: 0.5,
        },
        new_names(0.01, 1),
        everywhere(Whose::Zone(0), SERVFAIL),
    )
    .lasting(300);
    row.loss = 0.005;
    row.run(&[(2, 2)], |seen| {
        assert_eq!((seen.failed, seen.accused), (0, 0), "{seen}");
        // Once in ten thousand questions the hedge is lost, too.
        assert!(seen.stale <= 1, "{seen}");
    });
}

#[test]
#[ignore = "waits for evidence that counts names, not questions"]
fn a_server_that_dies_among_failing_names_is_left() {
    for (name, fate) in [
        ("dc1 dies, 45/s SERVFAIL beside 5/s", SERVFAIL),
        ("dc1 dies, 45/s silent beside 5/s", Fate::Silent),
    ] {
        let load = Load {
            rate: 5.0,
            popular: 1,
            popular_share: 0.0,
        };
        let failing = everywhere(Whose::Zone(0), fate);
        let row = Row::new(name, load, new_names(45.0, 1), failing);
        for seed in 1..=2 {
            let mut world = row.world(seed, (2, 2));
            let dies = BEGIN + 10 * SECOND;
            world.at(dies, |world| world.upstreams[0].dead = true);
            world.run(BEGIN + row.lasts);
            let seen = Seen::of(&world, dies, BEGIN + row.lasts - 5 * SECOND);
            println!("{name:<44} 2x2 {seed} {seen}");
            let accused = |(at, event): &&(Time, Event)| {
                at.since(world.start) >= dies
                    && matches!(event, Event::Verdict { subject, to, .. }
                        if to.is_bad() && subject.name() == "dc1")
            };
            let first = world.subject.events().iter().find(accused);
            let after = first.map(|(at, _)| at.since(world.start + dies));
            let found = after.is_some_and(|after| after <= 3 * SECOND);
            assert!(found, "found after {after:?}\n{}", world.story(dies));
            assert_eq!((seen.failed, seen.stale), (0, 0), "{seen}");
            // What was asked before anybody could know.
            assert!(seen.over_50 <= 10, "{seen}");
        }
    }
}
