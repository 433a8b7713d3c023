//! The rows of the table, and what byway must reach in each.

use std::time::Duration;

use crate::client::Load;
use crate::daemon::{By, Layout};
use crate::fault::{Culprit, Fault};
use crate::figures::Figures;

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the table says.
    pub name: &'static str,
    /// What goes wrong.
    pub fault: Fault,
    /// The upstreams.
    pub layout: Layout,
    /// What is asked.
    pub load: Load,
    /// What is asked during the fault.
    pub during: Load,
    /// What must be reached.
    pub limits: Limits,
}

/// What must be reached; `None` is not judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    failed: Option<usize>,
    over_50: Option<usize>,
    over_250: Option<usize>,
    worst: Option<Duration>,
    x: Option<f64>,
    share: Option<f64>,
    left: Option<Duration>,
    back: Option<Duration>,
    known_p99: Option<Duration>,
    known_failed: Option<usize>,
    new_failed: Option<f64>,
    clean: Option<Duration>,
    returns: Option<usize>,
    /// No stale answer in health.
    stale: Option<usize>,
    /// Without any answer in a stub's patience.
    silent: Option<usize>,
    errors: Option<Duration>,
    fresh: Option<Duration>,
    of_health: Option<f64>,
    /// At least.
    used: Option<f64>,
    /// At least.
    hits: Option<f64>,
    grown: Option<f64>,
    /// Whoever is blamed has a name that starts so; nobody else may be.
    blamed: Option<&'static str>,
}

const BUSY: Load = Load {
    rate: 1000,
    new: 0.3,
    popular: 2000,
};
const SIDECAR: Load = Load {
    rate: 10,
    new: 1.0,
    popular: 2000,
};
/// All of it is for names that are asked for again and again.
const POPULAR: Load = Load {
    rate: 1000,
    new: 0.0,
    popular: 100,
};
/// Few enough popular names for the servers of the surge to renew.
const CALM: Load = Load {
    popular: 200,
    ..BUSY
};
/// Twenty times the new names.
const SURGE: Load = Load {
    rate: 6700,
    new: 6.0 / 6.7,
    ..CALM
};
/// What they can be given: a tenth.
const SURGE_SERVED: u32 = 600;

const fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

/// Nothing goes wrong.
const HEALTH: Limits = Limits {
    failed: Some(0),
    x: Some(1.03),
    left: None,
    over_50: None,
    over_250: None,
    worst: None,
    share: None,
    back: None,
    known_p99: None,
    known_failed: None,
    new_failed: None,
    clean: None,
    returns: None,
    stale: Some(0),
    silent: Some(0),
    errors: None,
    fresh: None,
    of_health: None,
    used: None,
    hits: None,
    grown: None,
    blamed: None,
};

/// Nobody can be asked: what is known is all there is.
const OUTAGE: Limits = Limits {
    failed: None,
    x: None,
    stale: None,
    known_failed: Some(0),
    known_p99: ms(5),
    errors: ms(1000),
    of_health: Some(0.1),
    clean: ms(500),
    fresh: ms(500),
    grown: Some(8.0),
    ..HEALTH
};

/// A path or a server is in trouble and another is not.
const AROUND: Limits = Limits {
    over_50: Some(5),
    worst: ms(150),
    share: Some(0.02),
    back: ms(10_000),
    stale: None,
    ..HEALTH
};

/// Far more is asked than can be answered.
const SURGED: Limits = Limits {
    of_health: None,
    used: Some(0.9 * SURGE_SERVED as f64),
    clean: ms(1000),
    fresh: ms(1000),
    ..OUTAGE
};

/// The same for ten questions a second, where a probe or two is a share of its own.
const AROUND_SIDECAR: Limits = Limits {
    over_50: Some(1),
    over_250: Some(0),
    x: Some(1.05),
    back: ms(10_000),
    stale: None,
    ..HEALTH
};

/// A server's trouble: no path is to be blamed for it, and nothing is asked of its way back.
const SERVER: Limits = Limits {
    back: None,
    blamed: Some("upstream dc1"),
    ..AROUND
};

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    let grid = Layout::Grid(By::Interface);
    let swamped = Fault::Swamped;
    let light = Fault::Longer(Duration::from_millis(58));
    let busy = |name, fault, layout, limits| Row {
        name,
        fault,
        layout,
        load: BUSY,
        during: BUSY,
        limits,
    };
    let sidecar = |name, fault, layout, limits| Row {
        name,
        fault,
        layout,
        load: SIDECAR,
        during: SIDECAR,
        limits,
    };
    let noticed = |limits: Limits| Limits {
        left: ms(3000),
        over_50: None,
        worst: None,
        share: None,
        x: Some(1.05),
        ..limits
    };
    vec![
        busy("control", Fault::Control, grid, HEALTH),
        busy(
            "swamped",
            swamped,
            grid,
            Limits {
                blamed: Some("path a"),
                ..AROUND
            },
        ),
        busy(
            "loses-30",
            Fault::Losing(30),
            grid,
            Limits {
                blamed: Some("path a"),
                ..AROUND
            },
        ),
        busy(
            "dead",
            Fault::Dead,
            grid,
            Limits {
                blamed: Some("path a"),
                ..AROUND
            },
        ),
        busy(
            "server-slow",
            Fault::ServerSlow(Duration::from_millis(400)),
            grid,
            SERVER,
        ),
        busy(
            "server-fails",
            Fault::ServerFails,
            grid,
            Limits {
                over_50: Some(0),
                worst: None,
                ..SERVER
            },
        ),
        busy(
            "both-swamped",
            Fault::BothSwamped,
            grid,
            Limits {
                failed: None,
                known_failed: Some(0),
                known_p99: ms(10),
                new_failed: Some(0.04),
                x: Some(1.3),
                // The noise leaves a second of queue behind; then half a second.
                clean: ms(1500),
                stale: None,
                ..HEALTH
            },
        ),
        busy("outage", Fault::Outage, grid, OUTAGE),
        busy("outage-sole", Fault::Outage, Layout::Sole, OUTAGE),
        Row {
            load: CALM,
            during: SURGE,
            ..busy("surge", Fault::Surge(SURGE_SERVED), grid, SURGED)
        },
        Row {
            load: CALM,
            during: SURGE,
            ..busy(
                "surge-sole",
                Fault::Surge(2 * SURGE_SERVED),
                Layout::Sole,
                Limits { ..SURGED },
            )
        },
        Row {
            load: POPULAR,
            during: POPULAR,
            ..busy(
                "popular",
                Fault::Control,
                grid,
                Limits {
                    hits: Some(0.99),
                    x: None,
                    ..HEALTH
                },
            )
        },
        busy(
            "one-swamped-source",
            swamped,
            Layout::One(By::Source),
            AROUND,
        ),
        busy(
            "one-swamped-iface",
            swamped,
            Layout::One(By::Interface),
            AROUND,
        ),
        busy("one-swamped-mark", swamped, Layout::One(By::Mark), AROUND),
        busy("one-dead", Fault::Dead, Layout::One(By::Mark), AROUND),
        busy("addresses-swamped", swamped, Layout::Addresses, AROUND),
        busy(
            "flapping",
            Fault::Flapping,
            grid,
            Limits {
                over_50: Some(10),
                worst: None,
                share: None,
                returns: Some(1),
                ..AROUND
            },
        ),
        busy("longer-60", light, grid, noticed(AROUND)),
        busy("loses-5", Fault::Losing(5), grid, noticed(AROUND)),
        busy(
            "server-busy",
            Fault::ServerBusy(100),
            grid,
            Limits {
                x: Some(1.05),
                ..HEALTH
            },
        ),
        sidecar(
            "10/s control",
            Fault::Control,
            grid,
            Limits {
                x: Some(1.05),
                ..HEALTH
            },
        ),
        sidecar("10/s swamped", swamped, grid, AROUND_SIDECAR),
        sidecar("10/s loses-30", Fault::Losing(30), grid, AROUND_SIDECAR),
        sidecar("10/s dead", Fault::Dead, grid, AROUND_SIDECAR),
        sidecar("10/s longer-60", light, grid, noticed(AROUND_SIDECAR)),
        sidecar(
            "10/s loses-5",
            Fault::Losing(5),
            grid,
            noticed(AROUND_SIDECAR),
        ),
        sidecar(
            "10/s one-swamped",
            swamped,
            Layout::One(By::Source),
            AROUND_SIDECAR,
        ),
        sidecar(
            "10/s one-dead",
            Fault::Dead,
            Layout::One(By::Interface),
            AROUND_SIDECAR,
        ),
        sidecar(
            "10/s server-slow",
            Fault::ServerSlow(Duration::from_millis(400)),
            grid,
            Limits {
                back: None,
                ..AROUND_SIDECAR
            },
        ),
    ]
}

/// The rows of the short version: one of each kind.
pub const SHORT: [&str; 5] = [
    "swamped",
    "server-fails",
    "both-swamped",
    "one-dead",
    "10/s loses-30",
];

impl Row {
    /// A row for a machine that does other things too, as the short version meets: whether byway leaves the
    /// trouble without losing a question, not how many milliseconds that takes, nor what else a machine
    /// that stalls made it suspect.
    pub fn lenient(mut self) -> Row {
        let limits = &mut self.limits;
        limits.over_50 = None;
        limits.over_250 = None;
        limits.worst = None;
        limits.known_p99 = None;
        limits.stale = None;
        limits.errors = None;
        limits.fresh = None;
        limits.hits = None;
        limits.used = None;
        limits.left = None;
        limits.clean = None;
        limits.back = None;
        limits.blamed = None;
        limits.x = limits.x.map(|it| it + 0.2);
        limits.share = limits.share.map(|_| 0.1);
        limits.new_failed = limits.new_failed.map(|_| 0.2);
        self
    }

    /// What was not reached, in words.
    pub fn misses(&self, is: &Figures) -> Vec<String> {
        let mut misses = Vec::new();
        let mut at_most = |what: &str, is: f64, limit: Option<f64>, unit: &str| {
            if limit.is_some_and(|limit| is > limit) {
                let limit = limit.unwrap_or_default();
                misses.push(format!(
                    "{what} {}{unit} > {}{unit}",
                    short(is),
                    short(limit)
                ));
            }
        };
        let count = |it: Option<usize>| it.map(|it| it as f64);
        let millis = |it: Duration| it.as_secs_f64() * 1e3;
        let want = &self.limits;
        at_most("failed", is.failed as f64, count(want.failed), "");
        at_most(
            "known failed",
            is.known_failed as f64,
            count(want.known_failed),
            "",
        );
        at_most(
            "new failed",
            is.new_failed * 100.0,
            want.new_failed.map(|it| it * 100.0),
            " %",
        );
        at_most("over 50 ms", is.over_50 as f64, count(want.over_50), "");
        at_most("over 250 ms", is.over_250 as f64, count(want.over_250), "");
        at_most("worst", millis(is.worst), want.worst.map(millis), " ms");
        at_most(
            "known p99",
            millis(is.known_p99),
            want.known_p99.map(millis),
            " ms",
        );
        at_most("x", is.x, want.x, "");
        at_most(
            "share",
            is.share * 100.0,
            want.share.map(|it| it * 100.0),
            " %",
        );
        at_most(
            "clean after",
            millis(is.clean),
            want.clean.map(millis),
            " ms",
        );
        at_most("returns", is.returns as f64, count(want.returns), "");
        let cache = &is.cache;
        at_most("stale", cache.stale as f64, count(want.stale), "");
        at_most("silent", cache.silent as f64, count(want.silent), "");
        at_most(
            "errors",
            millis(cache.errors[2]),
            want.errors.map(millis),
            " ms",
        );
        at_most(
            "fresh after",
            millis(cache.fresh),
            want.fresh.map(millis),
            " ms",
        );
        at_most("packets", cache.of_health, want.of_health, "");
        at_most("grown", cache.grown, want.grown, " MiB");
        // What is to be much is little to be missed.
        at_most("misses", 1.0 - cache.hits, want.hits.map(|it| 1.0 - it), "");
        at_most("used", -cache.used, want.used.map(|it| -it), "/s");
        let never = Duration::MAX;
        let mut in_time = |what: &str, is: Option<Duration>, limit: Option<Duration>| {
            if limit.is_some_and(|limit| is.unwrap_or(never) > limit) {
                let limit = limit.map_or(0.0, millis);
                let is = is.map_or("never".into(), |it| format!("{} ms", short(millis(it))));
                misses.push(format!("{what} {is} > {} ms", short(limit)));
            }
        };
        in_time("left", is.left, want.left);
        in_time("back", is.back, want.back);
        if let Some(wanted) = want.blamed {
            let others = is.blamed.iter().filter(|it| !it.starts_with(wanted));
            misses.extend(others.map(|it| format!("blamed {it}")));
            if !is.blamed.iter().any(|it| it.starts_with(wanted)) {
                misses.push(format!("did not blame {wanted}"));
            }
        }
        misses
    }

    /// Whose fault the row is about.
    pub fn culprit(&self) -> Culprit {
        self.fault.culprit()
    }
}

/// A number with the digits that matter.
pub fn short(number: f64) -> String {
    match number.abs() {
        it if it.fract() == 0.0 || it >= 100.0 => format!("{number:.0}"),
        it if it >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
