//! The rows of the table, and what byway must reach in each.

use std::time::Duration;

use crate::client::Load;
use crate::daemon::{By, Layout};
use crate::fault::{Culprit, Fault};
use crate::figures::Figures;
use crate::limits::Limits;
use crate::upstream::Fate;

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

const BUSY: Load = Load {
    rate: 1000,
    new: 0.3,
    popular: 2000,
    failing: 0.0,
};
const SIDECAR: Load = Load {
    rate: 10,
    new: 1.0,
    popular: 2000,
    failing: 0.0,
};
/// All of it is for names that are asked for again and again.
const POPULAR: Load = Load {
    rate: 1000,
    new: 0.0,
    popular: 100,
    failing: 0.0,
};
/// A fifth of the new names fails.
const FAILING: Load = Load {
    failing: 0.2,
    ..BUSY
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
    each: None,
    verdicts: None,
    lines: None,
};

/// What fails is the names' own fault: nobody notices, and nobody is told.
const NAMES: Limits = Limits {
    over_50: Some(0),
    x: None,
    verdicts: Some(0),
    each: Some(3.0),
    lines: Some(5),
    ..HEALTH
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
    let names = |name, fate, limits| Row {
        load: FAILING,
        during: FAILING,
        ..busy(name, Fault::Names(fate), grid, limits)
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
        names(
            "names-fail",
            Fate::Fails(Duration::ZERO),
            Limits {
                each: Some(2.0),
                ..NAMES
            },
        ),
        names("names-silent", Fate::Silent, NAMES),
        names(
            "names-fail-late",
            Fate::Fails(Duration::from_millis(1500)),
            NAMES,
        ),
        busy(
            "loses-1-both",
            Fault::LosingBoth(1),
            grid,
            Limits {
                // One question in ten thousand loses its hedge too.
                over_50: Some(3),
                x: Some(1.03),
                ..NAMES
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
    /// A row for a machine that does other things too, as the short version meets.
    pub fn lenient(mut self) -> Row {
        self.limits = self.limits.lenient();
        self
    }

    /// What was not reached, in words.
    pub fn misses(&self, is: &Figures) -> Vec<String> {
        self.limits.misses(is)
    }

    /// Whose fault the row is about.
    pub fn culprit(&self) -> Culprit {
        self.fault.culprit()
    }
}
