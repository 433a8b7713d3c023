//! The routing engine in a simulated network. `BYWAY_STORMS=n` runs more storms, `BYWAY_SEED=n` one.
mod sim;
use byway::wire::Rcode;
use sim::clients::Load;
use sim::watch::Figures;
use sim::world::{World, config};
use std::time::Duration;

fn s(x: f64) -> Duration {
    Duration::from_secs_f64(x)
}

#[test]
fn explore() {
    type F = fn(&mut World);
    let cases: Vec<(&str, usize, usize, F, F)> = vec![
        ("health", 2, 2, |_| {}, |_| {}),
        (
            "A swamped",
            2,
            2,
            |w| w.links[0].background = 1.45,
            |w| w.links[0].background = 0.3,
        ),
        (
            "A fast swamped",
            2,
            2,
            |w| w.links[0].background = 3.0,
            |w| w.links[0].background = 0.3,
        ),
        (
            "A loses 30 %",
            2,
            2,
            |w| w.links[0].loss = 0.16,
            |w| w.links[0].loss = 0.0,
        ),
        (
            "A loses 5 %",
            2,
            2,
            |w| w.links[0].loss = 0.025,
            |w| w.links[0].loss = 0.0,
        ),
        (
            "A black hole",
            2,
            2,
            |w| w.links[0].dead = true,
            |w| w.links[0].dead = false,
        ),
        (
            "A 60 ms",
            2,
            2,
            |w| w.links[0].delay = s(0.030),
            |w| w.links[0].delay = s(0.001),
        ),
        (
            "dc1 +400",
            2,
            2,
            |w| w.upstreams[0].slowness = s(0.4),
            |w| w.upstreams[0].slowness = s(0.0),
        ),
        (
            "dc1 SERVFAIL",
            2,
            2,
            |w| w.upstreams[0].sick.0 = 1.0,
            |w| w.upstreams[0].sick = (0.0, Rcode::SERVFAIL),
        ),
        (
            "dc1 SERVFAIL 20%",
            2,
            2,
            |w| w.upstreams[0].sick.0 = 0.2,
            |w| w.upstreams[0].sick = (0.0, Rcode::SERVFAIL),
        ),
        (
            "both swamped",
            2,
            2,
            |w| {
                w.links[0].background = 1.45;
                w.links[1].background = 1.45;
            },
            |w| {
                for l in &mut w.links {
                    l.background = 0.3;
                    l.buffer = s(0.0)
                }
            },
        ),
        (
            "all dead",
            2,
            2,
            |w| {
                for l in &mut w.links {
                    l.dead = true
                }
            },
            |w| {
                for l in &mut w.links {
                    l.dead = false
                }
            },
        ),
        (
            "1 upstream A swamped",
            1,
            2,
            |w| w.links[0].background = 1.45,
            |w| w.links[0].background = 0.3,
        ),
        (
            "1 upstream A dead",
            1,
            2,
            |w| w.links[0].dead = true,
            |w| w.links[0].dead = false,
        ),
        (
            "8x3 A dead",
            8,
            3,
            |w| w.links[0].dead = true,
            |w| w.links[0].dead = false,
        ),
        (
            "8x3 A 30 %",
            8,
            3,
            |w| w.links[0].loss = 0.16,
            |w| w.links[0].loss = 0.0,
        ),
        (
            "flap",
            2,
            2,
            |w| {
                for n in 0..7 {
                    let at = 30.0 + 3.0 * n as f64;
                    w.at(s(at), move |w| w.links[0].dead = n % 2 == 0);
                }
            },
            |w| w.links[0].dead = false,
        ),
    ];
    let only = std::env::var("ONLY").ok();
    for (load, label) in [(Load::HOST, "host"), (Load::SIDECAR, "sidecar")] {
        for (name, u, p, fault, heal) in &cases {
            let full = format!("{label} {name}");
            if only.as_ref().is_some_and(|o| !full.contains(o.as_str())) {
                continue;
            }
            let (fault, heal) = (*fault, *heal);
            let seeds: u64 = std::env::var("SEEDS")
                .ok()
                .and_then(|s| s.parse().ok())
                .unwrap_or(5);
            let first: u64 = std::env::var("SEED")
                .ok()
                .and_then(|s| s.parse().ok())
                .unwrap_or(1);
            let mut rows = Vec::new();
            for seed in first..first + seeds {
                let mut world = World::new(seed, &config(*u, *p), load);
                world.at(s(30.0), move |w| fault(w));
                world.at(s(50.0), move |w| heal(w));
                world.run(s(75.0));
                let c = Figures::of(&world, s(50.5), s(52.5));
                let h = Figures::of(&world, s(20.0), s(30.0));
                let f = Figures::of(&world, s(30.0), s(50.0));
                if seeds == 1 {
                    println!("{f}\n{}", world.story(s(29.0)));
                    for p in world
                        .packets
                        .iter()
                        .filter(|p| {
                            p.at >= world.start + s(30.0)
                                && p.at < world.start + s(50.0)
                                && !matches!(
                                    p.kind,
                                    byway::route::AttemptKind::Primary
                                        | byway::route::AttemptKind::Refresh
                                )
                        })
                        .take(60)
                    {
                        println!(
                            "{:.3} dc{}@{} {:?} {}",
                            p.at.since(world.start).as_secs_f64(),
                            p.upstream + 1,
                            p.path,
                            p.kind,
                            p.came_back
                        );
                    }
                }
                rows.push((
                    f.failed as f64,
                    f.over_50 as f64,
                    f.over_250 as f64,
                    f.worst.as_secs_f64() * 1e3,
                    f.x,
                    100.0 * f.on_first_path,
                    world
                        .back_on_first_path(s(50.0))
                        .map_or(99.0, |d| d.as_secs_f64()),
                    f.packets as f64 / (2.0 * h.packets as f64),
                    world.changes("A", s(30.0), s(50.0)) as f64,
                    (c.over_50) as f64,
                ));
            }
            let col = |g: &dyn Fn(&(f64, f64, f64, f64, f64, f64, f64, f64, f64, f64)) -> f64| {
                let mut v: Vec<f64> = rows.iter().map(g).collect();
                v.sort_by(f64::total_cmp);
                (v[v.len() / 2], v[v.len() - 1])
            };
            let p = |(a, b): (f64, f64), n: usize| format!("{a:.n$}/{b:.n$}");
            println!(
                "{full:28} failed {:12} >50 {:12} >250 {:12} worst {:16} x {:12} onA {:14} back {:12} pk {:10} chA {} unclean {}",
                p(col(&|r| r.0), 0),
                p(col(&|r| r.1), 0),
                p(col(&|r| r.2), 0),
                p(col(&|r| r.3), 1),
                p(col(&|r| r.4), 3),
                p(col(&|r| r.5), 2),
                p(col(&|r| r.6), 1),
                p(col(&|r| r.7), 2),
                p(col(&|r| r.8), 0),
                p(col(&|r| r.9), 0)
            );
        }
    }
}
