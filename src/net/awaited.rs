//! What both transports need of an attempt: where it goes, how its query is written, and how its response
//! is told from everybody else's (RFC 5452).

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use smallvec::SmallVec;

use super::path::{Path, Target};
use super::peers::Peers;
use super::{Outgoing, Tag};
use crate::clock::Time;
use crate::observe::metrics::{Mismatch, WorkerMetrics};
use crate::route::UpstreamId;
use crate::tls;
use crate::wire::{self, OutgoingEdns, QueryFlags, Response, Sent};

/// A route as this room needs it.
#[derive(Clone, Debug)]
pub struct Way {
    /// The upstream's index.
    pub upstream: UpstreamId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The interface of a link-local address, to be looked up by its name.
    pub zone: Option<String>,
    /// The way out of this host.
    pub path: Rc<Path>,
    /// Whether its queries go over a stream from the first.
    pub stream: bool,
    /// Whether that stream is to be encrypted. Without [`Way::tls`] there is none then.
    pub encrypted: bool,
    /// What it is encrypted with.
    pub tls: Option<Arc<tls::Client>>,
}

impl Way {
    /// Whom its sockets are to reach.
    pub(super) fn target(&self) -> Target<'_> {
        Target {
            address: self.address,
            zone: self.zone.as_deref(),
        }
    }
}

/// What the attempts of one worker are made with.
#[derive(Clone)]
pub struct Manner {
    /// UDP payload size advertised by EDNS.
    pub payload: u16,
    /// Whether to send names in random letter case.
    pub randomize_case: bool,
    /// What is known of the upstreams.
    pub peers: Arc<Peers>,
    /// Where what happens is counted.
    pub metrics: Rc<WorkerMetrics>,
}

/// What came back for an attempt.
#[derive(Debug)]
pub enum Claimed<'a> {
    /// A response that can be read.
    Response {
        /// The attempt.
        tag: Tag,
        /// What came.
        response: Response<'a>,
        /// Whether it kept the name's case, where that had been drawn at random.
        case: Option<bool>,
    },
    /// A response that cannot be read. The attempt has ended.
    Garbled(Tag),
    /// A datagram that matches but for the name's case: a forger's guess, perhaps. The attempt has ended.
    NearMiss(Tag),
}

impl Claimed<'_> {
    /// The attempt.
    pub fn tag(&self) -> Tag {
        match self {
            Claimed::Response { tag, .. } | Claimed::Garbled(tag) | Claimed::NearMiss(tag) => *tag,
        }
    }
}

/// A query that is out: what its response must match.
#[derive(Debug)]
pub(super) struct Awaited {
    pub tag: Tag,
    /// The question as sent, letter case included. Nearly all fit without a place on the heap.
    pub question: SmallVec<[u8; 64]>,
    /// Whether the case was drawn at random.
    pub random_case: bool,
    /// Something came under its identifier that is not its response.
    pub mismatched: bool,
}

impl Awaited {
    /// The question of `query`, in random case if that is wanted.
    pub(super) fn new(
        tag: Tag,
        query: &Outgoing<'_>,
        upstream: UpstreamId,
        manner: &Manner,
        rng: &mut StdRng,
        now: Time,
    ) -> Awaited {
        let mut question = SmallVec::from_slice(query.question);
        let name = &query.question[..query.question.len().saturating_sub(4)];
        let random_case = manner.randomize_case
            && name.iter().any(u8::is_ascii_alphabetic)
            && !query.plain_case
            && manner.peers.bears_mixed_case(upstream, query.question, now);
        if random_case {
            wire::randomize_case(&mut question, || rng.next_u64());
        }
        Awaited {
            tag,
            question,
            random_case,
            mismatched: false,
        }
    }

    /// Writes the query under `id`.
    pub(super) fn write(
        &self,
        query: &Outgoing<'_>,
        id: u16,
        payload: u16,
        out: &mut [u8],
    ) -> usize {
        // AD asks for the AD bit of the answer (RFC 6840 section 5.7): clients that did not ask for it
        // do not get it, but those who share the cached answer may.
        let flags = QueryFlags {
            rd: query.rd,
            cd: query.cd,
            ad: true,
        };
        let edns = query.edns.then_some(OutgoingEdns {
            payload,
            dnssec_ok: query.dnssec_ok,
        });
        wire::write_query(out, id, flags, &self.question, edns)
    }

    /// Checks what came back under `id`, over a stream or not.
    ///
    /// # Errors
    /// What does not match. A forgery leaves the attempt waiting; what answers the question and cannot be read
    /// ends it, for who could forge that could forge an answer as well. So does a datagram with the name in other
    /// case than it was sent: somebody may be guessing, and the next guess might be right. Over a stream it can only be
    /// the upstream's doing.
    pub(super) fn check<'a>(
        &self,
        packet: &'a [u8],
        id: u16,
        stream: bool,
    ) -> Result<Claimed<'a>, Mismatch> {
        let sent = Sent {
            id,
            question: &self.question,
            exact_case: self.random_case && !stream,
        };
        let tag = self.tag;
        match wire::examine(packet, &sent) {
            Ok(response) if self.random_case => Ok(Claimed::Response {
                tag,
                response,
                case: Some(response.case_kept()),
            }),
            Ok(response) => Ok(Claimed::Response {
                tag,
                response,
                case: None,
            }),
            Err(wire::Mismatch::Case) => Ok(Claimed::NearMiss(tag)),
            Err(wire::Mismatch::Garbled(_)) => Ok(Claimed::Garbled(tag)),
            Err(other) => Err(other.into()),
        }
    }
}
