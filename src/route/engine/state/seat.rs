//! Whether, and where, somebody takes part.

use crate::config::lineup::Slot;

/// Whether, and where, a route, a path or an upstream takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::route) struct Seat {
    /// Its place in the order of the configuration; `None` once a reload has taken it out. What is under way over
    /// it goes on then, and teaches nothing.
    pub(in crate::route::engine) place: Option<u16>,
    /// Who has the number, of all that have had it.
    pub(in crate::route::engine) tenant: u32,
}

impl Seat {
    pub(in crate::route) fn of<T>(slot: &Slot<T>) -> Seat {
        Seat {
            place: slot.place,
            tenant: slot.tenant,
        }
    }

    pub(in crate::route) fn is_in(self) -> bool {
        self.place.is_some()
    }
}
