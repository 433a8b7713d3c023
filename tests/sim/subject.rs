//! What is being tested: something that is asked, sends packets and answers.

use byway::clock::Time;
use byway::route::{AttemptKind, Event, RouteId};
use byway::wire::Rcode;

/// A client's question, by number.
pub type Query = u64;
/// A packet sent upstream, by number.
pub type Tag = u64;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// One that many ask for, with a short TTL.
    Popular(u32),
    /// One that was never asked for before.
    Unknown(u64),
    /// One of a zone that may be at fault ([`super::failing`]).
    InZone(u16, u64),
    /// Another type of one that many ask for: HTTPS.
    Https(u32),
}

impl Name {
    /// Whether it may be the fault of what is asked if the answer is bad.
    pub fn may_fail(self) -> bool {
        matches!(self, Name::InZone(..) | Name::Https(_))
    }
}

/// What the subject does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A packet leaves.
    Send {
        tag: Tag,
        route: RouteId,
        kind: AttemptKind,
        /// What it asks for; `None` for the root.
        name: Option<Name>,
    },
    /// A client is answered: `good` is NOERROR, `stale` that it was past its TTL.
    Answer {
        query: Query,
        good: bool,
        stale: bool,
    },
}

/// Something that is asked, sends packets and answers.
pub trait Subject {
    /// A client asks.
    fn question(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>);
    /// An answer came for a packet.
    fn packet(&mut self, tag: Tag, rcode: Rcode, now: Time, out: &mut Vec<Action>);
    /// The time of [`Subject::next_timer`] has come.
    fn timer(&mut self, now: Time, out: &mut Vec<Action>);
    /// What it sent at `decided` was held up by a stall of the host, and leaves at `now`.
    fn left(&mut self, _decided: Time, _now: Time) {}
    /// When it wants to be called.
    fn next_timer(&self) -> Time;
    /// Questions that needed an upstream so far.
    fn needed(&self) -> u64;
    /// What it still holds of questions and packets.
    fn in_hand(&self) -> usize;
    /// What it told so far.
    fn events(&self) -> &[(Time, Event)];
}
