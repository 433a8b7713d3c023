//! What a race is asked for and what it says.

use crate::clock::Time;
use crate::route::about::About;
use crate::route::ids::{PoolId, RouteId};
use crate::route::measure::in_flight::AttemptId;
use crate::route::outcome::AttemptKind;
use crate::wire::Ede;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client waits.
    Client,
    /// The cache asks ahead of expiry.
    Refresh,
    /// A client waits, and a stale answer is held that it gets before long.
    Held,
    /// A client was given a stale answer and has gone. While nothing is clear it is asked once.
    Renewal,
    /// The engine measures this route ([`Tick::probes`](super::Tick::probes)).
    Probe(RouteId),
}

/// What a race is for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Who asks.
    pub purpose: Purpose,
    /// What for.
    pub about: About,
    /// The routes that it may take.
    pub pool: PoolId,
    /// When the race must have finished.
    pub deadline: Time,
    /// It has been refused for want of room before: the demand counts it already.
    pub again: bool,
    /// Whoever wants it has less than an equal part of what is under way: a little room beyond a route's limit is for it.
    pub light: bool,
}

/// Why a race did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Every usable route is at its limit, or the ceiling on packets is reached: try again when
    /// something came back.
    Busy,
    /// The budget has nothing left for it (refreshes, renewals and probes only).
    Denied,
    /// There is no route: all are drained or lost.
    NoRoute,
}

impl Refused {
    /// The Extended DNS Error that tells the client (RFC 8914): 22 where nothing can be asked, 23 where
    /// there is no room to ask.
    pub const fn ede(self) -> Ede<'static> {
        match self {
            Refused::NoRoute => Ede::NO_REACHABLE_AUTHORITY
                .with_text("no upstream is known, or every route is drained or lost"),
            Refused::Busy | Refused::Denied => Ede::NETWORK_ERROR,
        }
    }
}

/// Why a question goes without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its deadline came first.
    Deadline,
    /// Every route is dead.
    Outage,
    /// It was asked and lost while so much is asked that upstreams lose some, or nothing is clear and nobody waits: to
    /// ask it again would be to ask another one less.
    Overload,
    /// Every route is drained or lost.
    NoRoute,
    /// This host has no descriptor, source port or memory to ask with.
    Shortage,
    /// The answer does not fit a datagram, and no stream brought it. The truncated one is all there is.
    Partial,
}

impl Failure {
    /// The Extended DNS Error that tells the client (RFC 8914): 22, No Reachable Authority, where
    /// nothing can be asked; 23, Network Error, where something was and did not answer; 14, Not Ready, where
    /// the host lacks the means to ask.
    pub const fn ede(self) -> Ede<'static> {
        match self {
            Failure::Outage | Failure::NoRoute => Ede::NO_REACHABLE_AUTHORITY,
            Failure::Shortage => Ede::NOT_READY
                .with_text("byway has no descriptor, source port or memory to ask with"),
            Failure::Deadline | Failure::Overload | Failure::Partial => Ede::NETWORK_ERROR,
        }
    }
}

/// How a race ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// This attempt's answer.
    Answer(AttemptId),
    /// This attempt's useless answer, for want of a better one.
    Poor(AttemptId),
    /// None.
    Failed(Failure),
}

/// An attempt to make now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// The name under which its outcome is reported.
    pub attempt: AttemptId,
    /// Over which route.
    pub route: RouteId,
    /// What for.
    pub kind: AttemptKind,
    /// Over a stream whatever the upstream's transport.
    pub stream: bool,
}

/// What the driver must do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Make this attempt.
    pub send: Option<Send>,
    /// And this duplicate, which no client waits for.
    pub also: Option<Send>,
    /// Call [`Race::timer`](super::Race::timer) then; replaces any earlier wake.
    pub wake: Option<Time>,
    /// The question is decided. Said once per race.
    pub finish: Option<Finish>,
    /// Nothing more will come of this race.
    pub done: bool,
}
