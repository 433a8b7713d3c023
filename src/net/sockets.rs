//! The real [`Exchanges`]: UDP sockets and TCP connections together.

use std::io;
use std::rc::Rc;

use rand::rngs::StdRng;

use super::awaited::{Manner, Way};
use super::stream::Streams;
use super::udp::UdpSockets;
use super::{Exchanges, Handle, Outgoing, Tag};
use crate::clock::Time;
use crate::config::Limits;
use crate::route::{Outcome, RouteId};

/// Everything one worker sends upstream with.
pub struct Sockets {
    ways: Rc<[Way]>,
    /// UDP.
    pub udp: UdpSockets,
    /// TCP.
    pub streams: Streams,
    rng: StdRng,
    failed: Vec<(Tag, Outcome)>,
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
            failed: Vec::new(),
        })
    }

    /// A connection has ended.
    pub fn stream_closed(&mut self, connection: usize, made: bool) {
        self.streams
            .closed(connection, made, &mut self.rng, &mut self.failed);
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
            Ok(Handle::Stream { route })
        } else {
            self.udp.send(tag, route, query, &mut self.rng, now)
        }
    }

    fn forget(&mut self, handle: Handle, tag: Tag) {
        match handle {
            Handle::Udp { socket, id } => self.udp.forget(socket, id, tag),
            Handle::Stream { route } => self.streams.forget(route, tag),
        }
    }

    fn flush(&mut self, _now: Time, failed: &mut Vec<(Tag, Outcome)>) {
        self.udp.flush(failed);
        failed.append(&mut self.failed);
    }
}
