//! The rows of the table that the engine is measured by: what goes wrong, and the figures to reach.

use std::time::Duration;

use byway::route::{Event, Subject as Named};
use byway::wire::Rcode;

use super::clients::Load;
use super::network::{Link, Upstream};
use super::resolver::Resolver;
use super::watch::Figures;
use super::world::{World, config};

/// The fault begins, ends, and the run ends.
pub const BEGIN: Duration = Duration::from_secs(30);
pub const END: Duration = Duration::from_secs(50);
pub const STOP: Duration = Duration::from_secs(70);
/// A figure must be reached in each of these runs.
pub const SEEDS: [u64; 3] = [1, 2, 3];

pub type Change = fn(&mut [Link], &mut [Upstream]);

/// One row of the table.
pub struct Row {
    name: &'static str,
    upstreams: usize,
    paths: usize,
    load: Load,
    fault: Change,
    heal: Change,
}

impl Row {
    /// 1,000 questions a second.
    pub fn host(name: &'static str, fault: Change, heal: Change) -> Row {
        Row {
            name,
            upstreams: 2,
            paths: 2,
            load: Load::HOST,
            fault,
            heal,
        }
    }

    /// Ten a second, all of which need an upstream.
    pub fn sidecar(name: &'static str, fault: Change, heal: Change) -> Row {
        Row {
            load: Load::SIDECAR,
            ..Row::host(name, fault, heal)
        }
    }

    pub fn under(self, load: Load) -> Row {
        Row { load, ..self }
    }

    pub fn with(self, upstreams: usize, paths: usize) -> Row {
        Row {
            upstreams,
            paths,
            ..self
        }
    }

    /// The world of this seed after the whole run.
    fn world(&self, seed: u64) -> World<Resolver> {
        let mut world = World::new(seed, &config(self.upstreams, self.paths), self.load);
        // Whatever a host likes, dc1 is the one that it asks: the trouble is there.
        for upstream in &mut world.upstreams[1..] {
            upstream.distance = Duration::from_micros(500);
        }
        let (fault, heal) = (self.fault, self.heal);
        world.at(BEGIN, move |world| {
            fault(&mut world.links, &mut world.upstreams)
        });
        world.at(END, move |world| {
            heal(&mut world.links, &mut world.upstreams)
        });
        world.run(STOP);
        world
    }

    /// Runs it with this many seeds and prints what came of them together.
    fn survey(&self, seeds: u64) {
        let (mut x, mut back) = (Vec::new(), Vec::new());
        let (mut failed, mut over_50, mut changes) = (0, 0, 0);
        for seed in 1..=seeds {
            let world = self.world(seed);
            let seen = Figures::of(&world, BEGIN, END);
            x.push(seen.x);
            back.push(
                world
                    .back_on_first_path(END)
                    .map_or(f64::NAN, |it| it.as_secs_f64()),
            );
            failed += seen.failed;
            over_50 = over_50.max(seen.over_50);
            changes += world.changes("A", BEGIN, END);
        }
        x.sort_by(f64::total_cmp);
        back.sort_by(f64::total_cmp);
        let at = |of: &[f64], share: f64| of[((of.len() - 1) as f64 * share) as usize];
        println!(
            "{:<44} x {:.3} {:.3} {:.3}  back {:4.1} {:4.1} s  failed {failed}, at most {over_50} over 50 ms, {:.1} changes of A",
            self.name,
            at(&x, 0.5),
            at(&x, 0.9),
            at(&x, 1.0),
            at(&back, 0.5),
            at(&back, 1.0),
            changes as f64 / seeds as f64,
        );
    }

    /// Runs it with each seed and hands over the world and what was seen during the fault.
    pub fn run(&self, judge: impl Fn(&World<Resolver>, &Figures)) {
        if let Some(seeds) = number("BYWAY_SURVEY") {
            return self.survey(seeds);
        }
        let seeds = number("BYWAY_SEED").map_or(SEEDS.to_vec(), |seed| vec![seed]);
        for seed in seeds {
            let world = self.world(seed);
            let seen = Figures::of(&world, BEGIN, END);
            let back = world.back_on_first_path(END).map(|back| back.as_secs_f64());
            println!(
                "{:<44} seed {seed} {seen}  back {:.1} s",
                self.name,
                back.unwrap_or(f64::NAN)
            );
            if std::env::var_os("BYWAY_STORY").is_some() {
                println!("{}", world.story(BEGIN - Duration::from_secs(1)));
            }
            if std::env::var_os("BYWAY_PACKETS").is_some() {
                println!("{}", world.parcels(BEGIN));
            }
            judge(&world, &seen);
        }
    }
}

/// The figures of the first rows: nobody fails, nobody waits, at hardly any price.
pub fn unnoticed(world: &World<Resolver>, seen: &Figures) {
    assert_eq!(seen.failed, 0, "failed");
    assert!(seen.over_50 <= 5, "{} over 50 ms", seen.over_50);
    assert!(
        seen.worst <= Duration::from_millis(150),
        "worst {:?}",
        seen.worst
    );
    assert!(seen.x <= 1.03, "x {:.3}", seen.x);
    let back = world
        .back_on_first_path(END)
        .expect("back on the nearer path");
    // A full queue takes a second and a half to drain.
    assert!(back <= Duration::from_millis(11_500), "back after {back:?}");
}

/// A path's trouble: its share after a second, and whom the events accuse.
pub fn left_path_a(world: &World<Resolver>, seen: &Figures) {
    unnoticed(world, seen);
    assert!(
        seen.on_first_path < 0.02,
        "{:.2} % still over A",
        seen.on_first_path * 100.0
    );
    assert!(accused(world, "A"), "path A was never accused");
    assert!(!accused(world, "B") && !accused(world, "dc1") && !accused(world, "dc2"));
}

/// A server's trouble: nobody accuses a path.
pub fn left_dc1(world: &World<Resolver>, seen: &Figures) {
    unnoticed(world, seen);
    assert!(accused(world, "dc1"), "dc1 was never accused");
    assert!(!accused(world, "A") && !accused(world, "B") && !accused(world, "dc2"));
}

/// The figures of a sidecar.
pub fn unnoticed_by_a_sidecar(world: &World<Resolver>, seen: &Figures) {
    nearly_unnoticed_by_a_sidecar(world, seen);
    // One packet of some 190 is half a per cent: the figure is kept to the packet.
    let asked = seen.packets as f64 / seen.x;
    let most = (asked * 1.05).ceil();
    assert!(seen.packets as f64 <= most, "x {:.3}", seen.x);
}

pub fn nearly_unnoticed_by_a_sidecar(_: &World<Resolver>, seen: &Figures) {
    assert_eq!(seen.failed, 0, "failed");
    assert!(seen.over_50 <= 1, "{} over 50 ms", seen.over_50);
    assert_eq!(seen.over_250, 0, "over 250 ms");
    // Falls short of the 1.05 wanted: see docs/routing.md.
    assert!(seen.x <= 1.10, "x {:.3}", seen.x);
}

/// Whether a path or an upstream of this name was said to be in trouble during the fault.
pub fn accused(world: &World<Resolver>, name: &str) -> bool {
    world.subject.events.iter().any(|(at, event)| {
        let during = at.since(world.start) >= BEGIN && at.since(world.start) < END;
        during
            && matches!(event, Event::Verdict { subject, to, .. }
                if !matches!(subject, Named::Route(_)) && subject.name() == name && !to.is_clear())
    })
}

pub fn swamp(links: &mut [Link], _: &mut [Upstream]) {
    links[0].background = 1.45;
}

/// The queue fills by 50 ms in each second.
pub fn swamp_a_little(links: &mut [Link], _: &mut [Upstream]) {
    links[0].background = 1.05;
}

pub fn swamp_at_once(links: &mut [Link], _: &mut [Upstream]) {
    links[0].background = 3.0;
}

pub fn lose_a_third(links: &mut [Link], _: &mut [Upstream]) {
    // Each way.
    links[0].loss = 0.163;
}

pub fn lose_a_twentieth(links: &mut [Link], _: &mut [Upstream]) {
    links[0].loss = 0.025;
}

pub fn kill(links: &mut [Link], _: &mut [Upstream]) {
    links[0].dead = true;
}

pub fn lengthen(links: &mut [Link], _: &mut [Upstream]) {
    links[0].delay = Duration::from_millis(30);
}

pub fn slow_dc1(_: &mut [Link], upstreams: &mut [Upstream]) {
    upstreams[0].slowness = Duration::from_millis(400);
}

/// Three in ten of its answers.
pub fn strain_dc1(_: &mut [Link], upstreams: &mut [Upstream]) {
    upstreams[0].hard = (0.3, Duration::from_millis(400));
}

pub fn sicken_dc1(_: &mut [Link], upstreams: &mut [Upstream]) {
    upstreams[0].sick = (1.0, Rcode::SERVFAIL);
}

pub fn swamp_both(links: &mut [Link], _: &mut [Upstream]) {
    for link in links {
        link.background = 1.45;
    }
}

pub fn kill_all(links: &mut [Link], _: &mut [Upstream]) {
    for link in links {
        link.dead = true;
    }
}

pub fn heal(links: &mut [Link], upstreams: &mut [Upstream]) {
    for link in links.iter_mut() {
        (link.background, link.loss, link.dead) = (Link::BACKGROUND, 0.0, false);
    }
    links[0].delay = Duration::from_millis(1);
    for upstream in upstreams {
        (upstream.slowness, upstream.sick.0, upstream.hard.0) = (Duration::ZERO, 0.0, 0.0);
    }
}

/// Heals, and the queues are gone too.
pub fn heal_and_drain(links: &mut [Link], upstreams: &mut [Upstream]) {
    heal(links, upstreams);
    for link in links {
        link.drain();
    }
}

/// The number in this environment variable.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
