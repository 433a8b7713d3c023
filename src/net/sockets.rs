//! The real [`Exchanges`]: UDP sockets and TCP connections together.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use rand::rngs::StdRng;

use super::awaited::{Manner, Way};
use super::stream::{Ended, Streams};
use super::udp::UdpSockets;
use super::{Exchanges, Handle, Outgoing, Tag};
use crate::clock::Time;
use crate::config::Limits;
use crate::route::{Outcome, RouteId, StreamFacts};

/// Everything one worker sends upstream with.
pub struct Sockets {
    ways: Rc<[Way]>,
    /// UDP.
    pub udp: UdpSockets,
    /// TCP.
    pub streams: Streams,
    rng: StdRng,
}

impl Sockets {
    /// No socket yet. `rng` must be unpredictable: identifiers and ports come from it.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub fn new(ways: Rc<[Way]>, manner: Manner, limits: &Limits, rng: StdRng) -> io::Result<Self> {
        Ok(Sockets {
            udp: UdpSockets::new(Rc::clone(&ways), manner.clone(), limits.upstream_sockets)?,
            streams: Streams::new(Rc::clone(&ways), manner, limits.upstream_connections),
            ways,
            rng,
        })
    }

    /// From now on `ways` are the routes: a number means what it did, or what nobody has used for long. Sockets stay, and
    /// what is out on them; those that nothing is sent over any more close as they age.
    pub fn reshape(&mut self, ways: Rc<[Way]>, manner: Manner, limits: &Limits) {
        let (sockets, connections) = (limits.upstream_sockets, limits.upstream_connections);
        self.udp.reshape(Rc::clone(&ways), manner.clone(), sockets);
        self.streams.reshape(Rc::clone(&ways), manner, connections);
        self.ways = ways;
    }

    /// Gives up what leads nowhere any more: sockets of the routes that are `lost`, by [`RouteId`], and
    /// those whose address is not on the host any more. What waited on them has failed.
    pub fn abandon(&mut self, lost: &[bool]) {
        let ways = Rc::clone(&self.ways);
        // Sockets are many, addresses few.
        let mut known: Vec<(RouteId, IpAddr, bool)> = Vec::new();
        let mut gone = |route: RouteId, local: SocketAddr| {
            let way = usize::from(route.0);
            if lost.get(way).is_some_and(|lost| *lost) {
                return true;
            }
            let asked = |(of, ip, _): &&(RouteId, IpAddr, bool)| *of == route && *ip == local.ip();
            if let Some((_, _, gone)) = known.iter().find(asked) {
                return *gone;
            }
            let gone = !ways[way].path.holds(local);
            known.push((route, local.ip(), gone));
            gone
        };
        self.udp.abandon(&mut gone);
        let unmade = |route: RouteId| lost.get(usize::from(route.0)).is_some_and(|lost| *lost);
        self.streams
            .abandon(|route, local| local.map_or(unmade(route), |local| gone(route, local)));
    }

    /// A connection has ended.
    pub fn stream_closed(&mut self, connection: usize, ended: Ended, now: Time) {
        self.streams.closed(connection, ended, &mut self.rng, now);
    }
}

impl Exchanges for Sockets {
    fn send(
        &mut self,
        tag: Tag,
        route: RouteId,
        stream: bool,
        query: &Outgoing<'_>,
        now: Time,
    ) -> Result<Handle, Outcome> {
        if stream || self.ways[usize::from(route.0)].stream {
            self.streams.send(tag, route, query, &mut self.rng, now)?;
            Ok(Handle::Stream)
        } else {
            self.udp.send(tag, route, query, &mut self.rng, now)
        }
    }

    fn forget(&mut self, handle: Handle, tag: Tag) -> bool {
        match handle {
            Handle::Udp { socket, id } => self.udp.forget(socket, id, tag),
            Handle::Stream => self.streams.forget(tag),
        }
    }

    fn is_lied_to(&self, handle: Handle, tag: Tag) -> bool {
        match handle {
            Handle::Udp { socket, id } => self.udp.is_lied_to(socket, id, tag),
            // What does not match ends the connection, which is told.
            Handle::Stream => false,
        }
    }

    fn stream_facts(&mut self, handle: Handle, tag: Tag, now: Time) -> Option<StreamFacts> {
        match handle {
            Handle::Udp { .. } => None,
            Handle::Stream => self.streams.stream_facts(tag, now),
        }
    }

    fn flush(&mut self, _now: Time, failed: &mut Vec<(Tag, Outcome)>) {
        self.udp.flush(failed);
        failed.append(self.streams.failed());
    }
}
