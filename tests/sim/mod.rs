//! A simulated network: seeded, event by event, in its own time.
//!
//! An hour of trouble takes a second here, and a seed replays any run exactly. The subject is the very
//! code that the daemon runs (`byway::resolve::Core`), driven through the small trait [`subject::Subject`];
//! around it are links with a queue that somebody else's traffic fills, upstreams that can be slow, sick
//! or full, and clients that ask whether or not they were answered. [`storms`] makes trouble at random,
//! [`checks`] says what must hold in all of it, and [`foils`] are subjects that each check must catch.

pub mod checks;
pub mod clients;
pub mod failing;
pub mod fleet;
pub mod foils;
pub mod lifeline;
pub mod mixed;
pub mod names;
pub mod network;
pub mod quiet;
pub mod recorded;
pub mod resolver;
pub mod rows;
pub mod stalls;
pub mod standby;
pub mod storms;
pub mod subject;
pub mod told;
pub mod watch;
pub mod wide;
pub mod world;
