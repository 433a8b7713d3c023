//! Attempts on the wire: one query over one route.
//!
//! This room owns every outgoing socket and knows what an attempt looks like in bytes: which port and
//! identifier it got, whether a datagram that comes back belongs to it, what an ICMP error or a closed
//! connection means for it. It decides nothing: which route, when, and how often is the race's
//! business ([`crate::route::Race`]).
//!
//! [`host`] sees whether a path can be used; [`path`] makes sockets; [`udp`] and [`stream`] carry queries over them; [`Exchanges`] is the face
//! that `resolve` sees, so that a simulated network can stand in for all of it.

mod account;
mod awaited;
pub mod host;
pub mod kinds;
pub mod path;
pub mod peers;
mod shortage;
mod sockets;
pub mod stream;
pub mod udp;

pub use awaited::{Claimed, Manner, Way};
pub use sockets::Sockets;

use crate::clock::Time;
use crate::route::{Outcome, RouteId, StreamFacts};

/// Names an attempt in the worker that made it.
pub type Tag = u32;

/// What goes upstream, apart from the identifier, which the exchange draws.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The question section: one name, type and class.
    pub question: &'a [u8],
    /// Recursion desired.
    pub rd: bool,
    /// Checking disabled.
    pub cd: bool,
    /// DNSSEC OK, in EDNS.
    pub dnssec_ok: bool,
    /// Whether EDNS is spoken at all.
    pub edns: bool,
    /// The name goes out as it is, whatever case others are sent in.
    pub plain_case: bool,
}

/// Where an attempt is listened for, for [`Exchanges::forget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// A UDP socket and the identifier on it.
    Udp {
        /// The socket's slot.
        socket: u32,
        /// The query's identifier.
        id: u16,
    },
    /// A connection; the tag finds it there.
    Stream,
}

/// Makes attempts. The answers come back to [`crate::resolve::Core`].
pub trait Exchanges {
    /// Starts an attempt over `route`; its end will be told under `tag`.
    ///
    /// # Errors
    /// An outcome, if it is certain at once that nothing can be sent.
    fn send(
        &mut self,
        tag: Tag,
        route: RouteId,
        stream: bool,
        query: &Outgoing<'_>,
        now: Time,
    ) -> Result<Handle, Outcome>;

    /// Stops listening for an attempt. True if something had come in its place that does not match what was sent.
    fn forget(&mut self, handle: Handle, tag: Tag) -> bool;

    /// Whether something has come in place of an attempt's answer so far that does not match what was sent.
    fn is_lied_to(&self, handle: Handle, tag: Tag) -> bool {
        let _ = (handle, tag);
        false
    }

    /// What the kernel says of the connection that an attempt is still out on. `None` over datagrams, and
    /// where there is nothing to say.
    fn stream_facts(&mut self, handle: Handle, tag: Tag, now: Time) -> Option<StreamFacts>;

    /// Puts on the wire what [`Exchanges::send`] has collected. Attempts that could not be sent are
    /// added to `failed`.
    fn flush(&mut self, now: Time, failed: &mut Vec<(Tag, Outcome)>);
}
