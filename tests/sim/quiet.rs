//! Ordinary life: single packets lost at random on every path. Nobody is told, nothing is left, and it costs next to
//! nothing.

use std::time::Duration;

use byway::route::{Event, Subject as Named};

use super::clients::Load;
use super::rows::SEEDS;
use super::watch::Figures;
use super::world::{World, config};

/// Lost each way: one in a hundred in all.
const LOSS: f64 = 0.005;

#[test]
fn one_lost_in_a_hundred_is_ordinary_life() {
    for (rate, upstreams, paths, minutes) in [(20.0, 2, 2, 10), (20.0, 2, 1, 10), (500.0, 2, 2, 1)]
    {
        for seed in SEEDS {
            let load = Load {
                rate,
                ..Load::SIDECAR
            };
            let mut world = World::new(seed, &config(upstreams, paths), load);
            world.links.iter_mut().for_each(|link| link.loss = LOSS);
            let end = Duration::from_secs(60 * minutes);
            world.run(end);
            let seen = Figures::of(
                &world,
                Duration::from_secs(10),
                end - Duration::from_secs(5),
            );
            let told = |which: &dyn Fn(&Event) -> bool| {
                let events = world.subject.events.iter();
                events.filter(|(_, event)| which(event)).count()
            };
            let evacuated = told(&|event| matches!(event, Event::Evacuated { .. }));
            let blamed = told(&|event| {
                matches!(event, Event::Verdict { subject, to, .. }
                    if to.is_bad() && !matches!(subject, Named::Route(_)))
            });
            let changes = told(&|event| matches!(event, Event::Verdict { .. }));
            println!(
                "{rate:.0}/s over {upstreams} x {paths} seed {seed} {seen}: {evacuated} evacuations, {blamed} blamed, {changes} changes"
            );
            assert_eq!(seen.failed, 0);
            assert!(seen.x <= 1.04, "x {:.3}", seen.x);
            assert!(blamed <= 1 && evacuated <= 1, "{blamed} times");
        }
    }
}
