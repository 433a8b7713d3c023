//! The cases: sensible slices, not all that could be combined.

use std::time::Duration;

use byway::config::Policy;
use byway::wire::Rcode;

use super::{At, Case, Trouble, Turn};
use crate::sim::rows::{BEGIN, END};

const RATES: [f64; 7] = [2.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0];
/// A sidecar's and a host's.
const FEW_AND_MANY: [f64; 2] = [10.0, 1000.0];
const A: At = At::Path(0);
const DC1: At = At::Server(0);

/// Every fault of one path or one server.
fn faults() -> Vec<(At, Trouble)> {
    let swamps = [1.05, 1.2, 1.45, 3.0];
    let swamps = swamps
        .into_iter()
        .flat_map(|load| [1000, 100].map(|buffer| (A, Trouble::Swamped(load, buffer))));
    let losses = [1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0].map(|share| (A, Trouble::Loses(share)));
    let longer = [10, 30, 60, 200].map(|by| (A, Trouble::Longer(by)));
    let others = [
        (A, Trouble::Dead),
        (A, Trouble::Jitter(50)),
        (DC1, Trouble::Slow(50)),
        (DC1, Trouble::Slow(100)),
        (DC1, Trouble::Slow(400)),
        (DC1, Trouble::Silent),
        (DC1, Trouble::Strained(10.0, 100)),
        (DC1, Trouble::Strained(10.0, 400)),
        (DC1, Trouble::Strained(30.0, 100)),
        (DC1, Trouble::Strained(30.0, 400)),
        (DC1, Trouble::Strained(60.0, 400)),
        (DC1, Trouble::Useless(20.0, Rcode::SERVFAIL)),
        (DC1, Trouble::Useless(50.0, Rcode::SERVFAIL)),
        (DC1, Trouble::Useless(100.0, Rcode::SERVFAIL)),
        (DC1, Trouble::Useless(100.0, Rcode::REFUSED)),
    ];
    swamps.chain(losses).chain(longer).chain(others).collect()
}

/// One of each kind.
fn some() -> [(At, Trouble); 9] {
    [
        (A, Trouble::Swamped(1.45, 1000)),
        (A, Trouble::Loses(30.0)),
        (A, Trouble::Loses(5.0)),
        (A, Trouble::Dead),
        (A, Trouble::Longer(60)),
        (DC1, Trouble::Slow(400)),
        (DC1, Trouble::Silent),
        (DC1, Trouble::Useless(100.0, Rcode::SERVFAIL)),
        (DC1, Trouble::Useless(20.0, Rcode::SERVFAIL)),
    ]
}

impl Case {
    /// Two by two, in health, over ways of 2 and 4 ms.
    fn of(rate: f64) -> Case {
        Case {
            name: String::new(),
            upstreams: 2,
            paths: 2,
            rate,
            popular_share: 0.0,
            policy: Policy::Fastest,
            ways: vec![2.0, 4.0],
            jitter: 0.15,
            hard: (0.0, 0),
            turns: Vec::new(),
        }
    }

    fn named(mut self, name: &str) -> Case {
        self.name = format!("{name}{}", self.name);
        self
    }

    /// With this fault all the time.
    fn with(mut self, (at, trouble): (At, Trouble)) -> Case {
        self.name += &format!("{} {trouble:?}", at.name());
        self.turns = lasting(at, trouble, END - BEGIN);
        self
    }

    fn grid(mut self, upstreams: usize, paths: usize) -> Case {
        (self.upstreams, self.paths) = (upstreams, paths);
        self
    }

    fn turning(mut self, name: &str, turns: Vec<Turn>) -> Case {
        self.name += name;
        self.turns = turns;
        self
    }
}

fn lasting(at: At, trouble: Trouble, time: Duration) -> Vec<Turn> {
    vec![(Duration::ZERO, at, Some(trouble)), (time, at, None)]
}

/// All of them.
pub fn all() -> Vec<Case> {
    let parts = [
        rates(),
        grids(),
        ways(),
        hard(),
        policies(),
        turns(),
        everything(),
    ];
    parts.into_iter().flatten().collect()
}

/// Every fault at every rate.
fn rates() -> Vec<Case> {
    let mut cases = Vec::new();
    for fault in faults() {
        for rate in RATES {
            cases.push(Case::of(rate).with(fault));
        }
        for rate in [10.0, 100.0, 1000.0] {
            let popular_share = 0.7;
            cases.push(Case {
                popular_share,
                ..Case::of(rate).with(fault)
            });
        }
    }
    cases.extend(some().map(|fault| Case::of(3000.0).with(fault)));
    cases
}

fn grids() -> Vec<Case> {
    let mut cases = Vec::new();
    for (upstreams, paths) in [
        (1, 2),
        (3, 2),
        (2, 3),
        (4, 1),
        (1, 1),
        (8, 3),
        (1, 3),
        (2, 1),
    ] {
        for fault in some() {
            for rate in FEW_AND_MANY {
                cases.push(Case::of(rate).grid(upstreams, paths).with(fault));
            }
        }
    }
    cases
}

fn ways() -> Vec<Case> {
    let mut cases = Vec::new();
    for (ways, jitter) in [
        (vec![2.0, 2.0], 0.15),
        (vec![10.0, 12.0], 0.5),
        (vec![30.0, 35.0], 1.0),
        (vec![30.0, 35.0], 5.0),
        (vec![1.0, 80.0], 0.15),
        (vec![0.3, 0.5], 0.15),
        (vec![2.0, 4.0], 1.0),
        (vec![2.0, 4.0], 5.0),
    ] {
        let name = format!("ways {}/{} ±{jitter} ", ways[0], ways[1]);
        for rate in FEW_AND_MANY {
            let ways = ways.clone();
            let case = Case {
                ways,
                jitter,
                ..Case::of(rate)
            };
            cases.push(case.clone().turning("health", Vec::new()).named(&name));
            let with = |fault| case.clone().with(fault).named(&name);
            cases.extend(some().into_iter().map(with));
        }
    }
    cases
}

fn hard() -> Vec<Case> {
    let mut cases = Vec::new();
    for hard in [(0.1, 30), (0.1, 150), (0.3, 80), (0.5, 30)] {
        let name = format!("hard {} {} ms ", hard.0, hard.1);
        for rate in FEW_AND_MANY {
            let case = Case {
                hard,
                ..Case::of(rate)
            };
            cases.push(case.clone().turning("health", Vec::new()).named(&name));
            let with = |fault| case.clone().with(fault).named(&name);
            cases.extend(some().into_iter().map(with));
        }
    }
    cases
}

fn policies() -> Vec<Case> {
    let mut cases = Vec::new();
    for policy in [Policy::Ordered, Policy::Spread] {
        for rate in FEW_AND_MANY {
            let case = Case {
                policy,
                ..Case::of(rate)
            };
            cases.push(case.clone().turning("health", Vec::new()));
            cases.extend(some().into_iter().map(|fault| case.clone().with(fault)));
        }
    }
    cases
}

/// What does not last, or is followed by something else.
fn turns() -> Vec<Case> {
    let secs = Duration::from_secs_f64;
    let mut cases = Vec::new();
    for rate in [10.0, 100.0, 1000.0] {
        for trouble in [
            Trouble::Dead,
            Trouble::Swamped(1.45, 1000),
            Trouble::Loses(30.0),
            Trouble::Longer(60),
        ] {
            for period in [0.5, 1.0, 3.0, 5.0] {
                let mut turns = Vec::new();
                let mut at = 0.0;
                while at < 20.0 {
                    turns.push((secs(at), A, Some(trouble)));
                    turns.push((secs((at + period).min(20.0)), A, None));
                    at += 2.0 * period;
                }
                let name = format!("A flaps {period} s {trouble:?}");
                cases.push(Case::of(rate).turning(&name, turns));
            }
            let one = lasting(A, trouble, secs(1.0));
            cases.push(Case::of(rate).turning(&format!("A {trouble:?} for 1 s"), one));
            let b = At::Path(1);
            let after = vec![
                (secs(0.0), A, Some(trouble)),
                (secs(10.0), A, None),
                (secs(10.0), b, Some(trouble)),
                (secs(20.0), b, None),
            ];
            let name = format!("A, then B {trouble:?}");
            cases.push(Case::of(rate).turning(&name, after.clone()));
            cases.push(Case::of(rate).grid(2, 3).turning(&name, after));
            for at_server in [
                Trouble::Slow(400),
                Trouble::Silent,
                Trouble::Useless(100.0, Rcode::SERVFAIL),
            ] {
                let mut both = lasting(A, trouble, END - BEGIN);
                both.extend(lasting(DC1, at_server, END - BEGIN));
                let name = format!("A {trouble:?} and dc1 {at_server:?}");
                cases.push(Case::of(rate).turning(&name, both.clone()));
                cases.push(Case::of(rate).grid(3, 2).turning(&name, both));
            }
        }
    }
    cases
}

/// No way is clear.
fn everything() -> Vec<Case> {
    let mut cases = Vec::new();
    for rate in [10.0, 100.0, 1000.0] {
        for trouble in [
            Trouble::Swamped(1.2, 1000),
            Trouble::Swamped(1.45, 1000),
            Trouble::Swamped(3.0, 100),
            Trouble::Loses(30.0),
            Trouble::Dead,
        ] {
            for paths in [2, 3] {
                let paths_of = (0..paths).map(At::Path);
                let turns = paths_of.flat_map(|at| lasting(at, trouble, END - BEGIN));
                let case = Case {
                    popular_share: 0.7,
                    ..Case::of(rate).grid(2, paths)
                };
                cases.push(case.turning(&format!("all {trouble:?}"), turns.collect()));
            }
        }
    }
    cases
}
