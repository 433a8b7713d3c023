//! What both transports need of an attempt: where it goes, how its query is written, and how its response
//! is told from everybody else's (RFC 5452).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use smallvec::SmallVec;

use super::path::Path;
use super::peers::Peers;
use super::{Outgoing, Tag};
use crate::clock::Time;
use crate::observe::metrics::{Mismatch, WorkerMetrics};
use crate::route::UpstreamId;
use crate::wire::{self, OutgoingEdns, QueryFlags, Response, Sent};

/// A route as this room needs it.
#[derive(Clone, Debug)]
pub struct Way {
    /// The upstream's index.
    pub upstream: UpstreamId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The way out of this host.
    pub path: Rc<Path>,
    /// Whether its queries go over a stream from the first.
    pub stream: bool,
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

/// Why something that came back is no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfit {
    /// It may be anybody's.
    Foreign(Mismatch),
    /// It is the upstream's, and cannot be read.
    Garbled,
}

/// What came back for an attempt.
#[derive(Debug)]
pub enum Claimed<'a> {
    /// A response that can be read.
    Response(Tag, Response<'a>),
    /// A response that cannot. The attempt has ended.
    Garbled(Tag),
}

/// A query that is out: what its response must match.
#[derive(Debug)]
pub(super) struct Awaited {
    pub tag: Tag,
    /// The question as sent, letter case included. Nearly all fit without a place on the heap.
    pub question: SmallVec<[u8; 64]>,
    /// Whether the case was drawn at random.
    pub random_case: bool,
    /// Everything matched but the case.
    pub other_case: Cell<bool>,
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
        let random_case = manner.randomize_case && manner.peers.takes_random_case(upstream, now);
        if random_case {
            wire::randomize_case(&mut question, || rng.next_u64());
        }
        Awaited {
            tag,
            question,
            random_case,
            other_case: Cell::new(false),
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

    /// Checks what came back under `id`.
    ///
    /// # Errors
    /// What does not match. A forgery leaves the attempt waiting; what answers the question and cannot be read
    /// ends it, for who could forge that could forge an answer as well.
    pub(super) fn check<'a>(
        &self,
        packet: &'a [u8],
        id: u16,
        upstream: UpstreamId,
        manner: &Manner,
        now: Time,
    ) -> Result<Response<'a>, Unfit> {
        let exact_case = self.random_case && manner.peers.keeps_case(upstream);
        let sent = Sent {
            id,
            question: &self.question,
            exact_case,
        };
        let response = wire::examine(packet, &sent).map_err(|mismatch| match mismatch {
            wire::Mismatch::Garbled(_) => Unfit::Garbled,
            wire::Mismatch::Case => {
                // A forger would have had to guess port and identifier. One of several servers behind
                // the address is likelier, and the next attempt must not fail for it.
                self.other_case.set(true);
                manner.peers.answered_case(upstream, false, now);
                Unfit::Foreign(Mismatch::Case)
            }
            other => Unfit::Foreign(other.into()),
        })?;
        if self.other_case.get() && response.case_kept() {
            manner.peers.vindicated(upstream);
        } else if self.random_case {
            manner
                .peers
                .answered_case(upstream, response.case_kept(), now);
        }
        Ok(response)
    }
}
