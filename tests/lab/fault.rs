//! What goes wrong, and when.

use std::io;
use std::time::Duration;

use crate::noise::Noise;
use crate::topology::{Links, Losses, Topology, Way};
use crate::upstream::{Conditions, Fate, SERVFAIL, UPSTREAMS, Upstreams};

/// A fault of the network or of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing: what the machine itself does to the figures.
    Control,
    /// Background traffic fills the queue of path A.
    Swamped,
    /// Of both paths.
    BothSwamped,
    /// Path A loses this share, in per cent.
    Losing(u8),
    /// Both paths lose this share, in per cent.
    LosingBoth(u8),
    /// Path A is a black hole.
    Dead,
    /// Path A is a black hole for three seconds, then none for three, and so on.
    Flapping,
    /// Path A takes this much longer, without a queue or a loss.
    Longer(Duration),
    /// dc1 takes this much longer over both paths.
    ServerSlow(Duration),
    /// dc1 answers SERVFAIL at once.
    ServerFails,
    /// dc1 answers no more than this many questions a second.
    ServerBusy(u32),
    /// Both paths are black holes.
    Outage,
    /// Some names fail at both servers, through no fault of theirs.
    Names(Fate),
    /// Far more is asked than before. Both servers together answer no more than this many questions a second,
    /// all the time.
    Surge(u32),
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// Nobody's.
    Nobody,
    /// Path A's.
    Path,
    /// Both paths'.
    Network,
    /// The server's, dc1.
    Server,
}

/// How much noise is offered to a swamped link, as a multiple of its rate: a third is lost.
const LOAD: f64 = 1.5;

impl Fault {
    /// Whose fault it is.
    pub fn culprit(self) -> Culprit {
        match self {
            Fault::Control | Fault::Surge(_) | Fault::Names(_) | Fault::LosingBoth(_) => {
                Culprit::Nobody
            }
            Fault::BothSwamped | Fault::Outage => Culprit::Network,
            Fault::Swamped
            | Fault::Losing(_)
            | Fault::Dead
            | Fault::Flapping
            | Fault::Longer(_) => Culprit::Path,
            Fault::ServerSlow(_) | Fault::ServerFails | Fault::ServerBusy(_) => Culprit::Server,
        }
    }

    /// What is true of the servers and the distance to them before and after it.
    pub fn usual(self) -> Conditions {
        let mut conditions = Conditions::default();
        if let Fault::Surge(a_second) = self {
            for server in &mut conditions.servers {
                server.work = Duration::from_secs(UPSTREAMS as u64) / a_second;
            }
        }
        conditions
    }

    /// When it comes and goes, from its first moment to its last.
    pub fn turns(self, length: Duration) -> Vec<(Duration, bool)> {
        let mut turns = vec![(Duration::ZERO, true)];
        if self == Fault::Flapping {
            let turn = Duration::from_secs(3);
            let mut on = false;
            while turns.len() as u32 * turn < length {
                turns.push((turns.len() as u32 * turn, on));
                on = !on;
            }
        }
        turns.push((length, false));
        turns
    }
}

/// What can be broken, and how it is broken just now.
pub struct Scene<'t> {
    topology: &'t Topology,
    upstreams: &'t Upstreams,
    links: Links,
    seed: u64,
    noise: Vec<Noise>,
}

impl<'t> Scene<'t> {
    /// All is well.
    pub fn new(
        topology: &'t Topology,
        upstreams: &'t Upstreams,
        links: Links,
        seed: u64,
    ) -> Scene<'t> {
        Scene {
            topology,
            upstreams,
            links,
            seed,
            noise: Vec::new(),
        }
    }

    /// Breaks it.
    pub fn begin(&mut self, fault: Fault) -> io::Result<()> {
        let mut conditions = fault.usual();
        match fault {
            Fault::Control | Fault::Surge(_) => {}
            Fault::Swamped => self.swamp(Way::A)?,
            Fault::BothSwamped => {
                self.swamp(Way::A)?;
                self.swamp(Way::B)?;
            }
            Fault::LosingBoth(percent) => {
                for way in Way::ALL {
                    self.topology.drop_on(way, Losses::Share(percent))?;
                }
            }
            Fault::Names(fate) => conditions.fate = Some(fate),
            Fault::Losing(percent) => self.topology.drop_on(Way::A, Losses::Share(percent))?,
            Fault::Dead | Fault::Flapping => self.topology.drop_on(Way::A, Losses::All)?,
            Fault::Outage => {
                for way in Way::ALL {
                    self.topology.drop_on(way, Losses::All)?;
                }
            }
            Fault::Longer(by) => conditions.distance[Way::A as usize] += by,
            Fault::ServerSlow(by) => conditions.servers[0].slow = by,
            Fault::ServerFails => conditions.servers[0].rcode = SERVFAIL,
            Fault::ServerBusy(a_second) => {
                conditions.servers[0].work = Duration::from_secs(1) / a_second;
            }
        }
        self.upstreams.set(conditions);
        Ok(())
    }

    /// Makes all well again. What stands in a queue still has to drain.
    pub fn end(&mut self, fault: Fault) -> io::Result<()> {
        for noise in self.noise.drain(..) {
            noise.finish()?;
        }
        for way in Way::ALL {
            self.topology.drop_on(way, Losses::None)?;
        }
        self.upstreams.set(fault.usual());
        Ok(())
    }

    fn swamp(&mut self, way: Way) -> io::Result<()> {
        let seed = self.seed ^ u64::from(way.number());
        let noise = Noise::start(self.topology, way, self.links.rate, LOAD, seed)?;
        self.noise.push(noise);
        Ok(())
    }
}
