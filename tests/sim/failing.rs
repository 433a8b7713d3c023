//! Questions that fail through no fault of server or way: dead names, types that a router drops, zones with
//! broken signatures. Every host asks such things all day, beside what it asks in earnest.

use std::time::Duration;

use byway::clock::Time;
use byway::wire::Rcode;
use rand::Rng;

use super::network::exponential;
use super::subject::Name;

/// What becomes of a question that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing comes back.
    Silent,
    /// This comes back at once,
    Says(Rcode),
    /// or only after so long.
    Late(Duration, Rcode),
}

impl Fate {
    /// When what is left of the answer leaves, and what it is.
    pub fn befalls(self, (leaves, _): (Time, Rcode)) -> Option<(Time, Rcode)> {
        match self {
            Fate::Silent => None,
            Fate::Says(rcode) => Some((leaves, rcode)),
            Fate::Late(by, rcode) => Some((leaves + by, rcode)),
        }
    }
}

/// Which questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those for names of this zone.
    Zone(u16),
    /// Those of the type HTTPS.
    Https,
    /// Those for the root's servers.
    Root,
}

/// Questions that fail, at one server only or at all of them.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    pub whose: Whose,
    pub at: Option<usize>,
    pub fate: Fate,
}

/// The fate of a question for `name` at this server.
pub fn fate(failing: &[Failing], name: Option<Name>, upstream: usize) -> Option<Fate> {
    let is_whose = |it: &&Failing| match (it.whose, name) {
        (Whose::Zone(whose), Some(Name::InZone(zone, _))) => whose == zone,
        (Whose::Https, Some(Name::Https(_))) | (Whose::Root, None) => true,
        _ => false,
    };
    let mut of = failing.iter().filter(is_whose);
    of.find(|it| it.at.is_none_or(|at| at == upstream))
        .map(|it| it.fate)
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// New names, of so many zones from this one on in turn.
    New { first: u16, zones: u16 },
    /// These few names of a zone, again and again.
    Same { zone: u16, names: u64 },
    /// The type HTTPS of so many names that many ask for.
    Https { names: u32 },
}

/// Questions beside those in earnest.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// A second.
    pub rate: f64,
    pub asked: Asked,
}

impl Beside {
    /// How long until the next one, and what it is for.
    pub fn next(&self, serial: u64, rng: &mut impl Rng) -> (Duration, Name) {
        let gap = exponential(rng, Duration::from_secs_f64(1.0 / self.rate));
        let name = match self.asked {
            Asked::New { first, zones } => {
                Name::InZone(first + (serial % u64::from(zones)) as u16, serial)
            }
            Asked::Same { zone, names } => Name::InZone(zone, rng.next_u64() % names),
            Asked::Https { names } => Name::Https(rng.next_u32() % names),
        };
        (gap, name)
    }
}
