//! What TCP saw of an attempt's way.
//!
//! Over a stream the kernel mends what is lost, and all that is left of the loss is a late answer. But it
//! knows more than it hides. What had to be sent again speaks against the path, also where the answer did
//! come; what arrives while something before it is missing tells of loss on the way back. A query that was
//! acknowledged and still waits for its answer lies with the server. And an answer that is late by far more
//! than the kernel's own round trips was made late by the server.
//!
//! What it does not know: whether a host that acknowledges nothing is dead or behind a dead path. And an
//! answer that was lost on its way back with none behind it leaves no trace on this side, so a few late ones
//! never accuse a server.

use std::time::Duration;

use crate::route::constants::measure::stream::DELAYED_ACK;

/// The connection that an attempt is out on, or was until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Segments that were sent again, so far as no attempt was told of them: each counts once.
    pub resent: u32,
    /// Something was sent again since the attempt went out, and may have held it up.
    pub repaired: bool,
    /// Segments of answers have arrived since then while one before them was missing, and wait for it. `None`
    /// if that is not known.
    pub gap: Option<bool>,
    /// Something that was sent is not acknowledged.
    pub unacknowledged: bool,
    /// The kernel's smoothed round trip.
    pub round_trip: Duration,
    /// What a round trip took at most since the look before this one.
    pub longest: Duration,
    /// The least round trip of the last minutes.
    pub least: Duration,
}

/// Where an attempt was held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// On its way: loss, or a queue.
    OnTheWay,
    /// At the server, which had it.
    AtTheServer,
}

impl StreamFacts {
    /// Of an attempt that was answered after `rtt`, later than in health.
    pub(in crate::route) fn of_answer(&self, rtt: Duration) -> Option<HeldUp> {
        if self.resent > 0 || self.gap == Some(true) {
            return Some(HeldUp::OnTheWay);
        }
        if self.repaired {
            // The loss was told already, and hides what else there was.
            return None;
        }
        let over = rtt.saturating_sub(self.least);
        let risen = self.round_trip.saturating_sub(self.least);
        if risen > DELAYED_ACK && 2 * risen >= over {
            Some(HeldUp::OnTheWay)
        } else if self.gap.is_some() && 2 * self.longest.saturating_sub(self.least) < over {
            Some(HeldUp::AtTheServer)
        } else {
            None
        }
    }

    /// Of an attempt that should have been answered by now.
    pub(in crate::route) fn of_silence(&self) -> Option<HeldUp> {
        let carried = !self.unacknowledged && !self.repaired && self.resent == 0;
        match self.gap {
            Some(true) => Some(HeldUp::OnTheWay),
            Some(false) if carried => Some(HeldUp::AtTheServer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
