//! What is known of each upstream's ways: whether it speaks EDNS, whether it keeps the case of names.
//!
//! Shared by the workers. Knowledge of a weakness is forgotten after a while, so that an upstream that
//! was mended is noticed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Time;
use crate::route::UpstreamId;

/// How long a weakness is believed in.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// Every upstream's ways, by its index.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    /// Until when EDNS is not spoken to it, in nanoseconds; 0 if it never refused it.
    plain_until: AtomicU64,
    /// Until when the case of names is not randomised.
    caseless_until: AtomicU64,
    /// Whether it has kept a mixed-case name as it was.
    keeps_case: AtomicU64,
}

impl Peers {
    /// Nothing known of `upstreams` upstreams.
    pub fn new(upstreams: usize) -> Peers {
        Peers {
            peers: (0..upstreams).map(|_| Peer::default()).collect(),
        }
    }

    /// Whether EDNS is to be spoken.
    pub fn speaks_edns(&self, upstream: UpstreamId, now: Time) -> bool {
        self.before(upstream, now, |peer| &peer.plain_until)
    }

    /// It refused EDNS (RFC 6891 section 7: FORMERR; in practice NOTIMP and BADVERS too).
    pub fn refused_edns(&self, upstream: UpstreamId, now: Time) {
        self.until(upstream, now, |peer| &peer.plain_until);
    }

    /// Whether names are to be sent in random case.
    pub fn takes_random_case(&self, upstream: UpstreamId, now: Time) -> bool {
        self.before(upstream, now, |peer| &peer.caseless_until)
    }

    /// Whether it is known to send names back as they came, so that a change of case is a forgery.
    pub fn keeps_case(&self, upstream: UpstreamId) -> bool {
        self.peers
            .get(usize::from(upstream.0))
            .is_some_and(|peer| peer.keeps_case.load(Ordering::Relaxed) != 0)
    }

    /// It sent a name in random case back, as it was or not.
    pub fn answered_case(&self, upstream: UpstreamId, kept: bool, now: Time) {
        if kept {
            if let Some(peer) = self.peers.get(usize::from(upstream.0)) {
                // Written only once, so that workers do not pull the line from each other.
                if peer.keeps_case.load(Ordering::Relaxed) == 0 {
                    peer.keeps_case.store(1, Ordering::Relaxed);
                }
            }
        } else {
            self.until(upstream, now, |peer| &peer.caseless_until);
        }
    }

    /// It sent the right name back in other case, and then as it was: the first was a forgery.
    pub fn vindicated(&self, upstream: UpstreamId) {
        if let Some(peer) = self.peers.get(usize::from(upstream.0)) {
            peer.caseless_until.store(0, Ordering::Relaxed);
        }
    }

    fn before(&self, upstream: UpstreamId, now: Time, field: fn(&Peer) -> &AtomicU64) -> bool {
        self.peers
            .get(usize::from(upstream.0))
            .is_none_or(|peer| field(peer).load(Ordering::Relaxed) <= now.nanos())
    }

    fn until(&self, upstream: UpstreamId, now: Time, field: fn(&Peer) -> &AtomicU64) {
        if let Some(peer) = self.peers.get(usize::from(upstream.0)) {
            field(peer).store((now + REMEMBERED).nanos(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_edns_is_remembered_and_then_forgotten() {
        let (peers, now) = (Peers::new(2), Time::START);
        assert!(peers.speaks_edns(UpstreamId(0), now));
        peers.refused_edns(UpstreamId(0), now);
        assert!(!peers.speaks_edns(UpstreamId(0), now + Duration::from_secs(60)));
        assert!(
            peers.speaks_edns(UpstreamId(1), now),
            "the other one did not refuse"
        );
        assert!(peers.speaks_edns(UpstreamId(0), now + REMEMBERED));
    }

    #[test]
    fn a_changed_case_is_a_forgery_only_once_the_case_was_kept() {
        let (peers, now) = (Peers::new(1), Time::START);
        assert!(!peers.keeps_case(UpstreamId(0)));
        peers.answered_case(UpstreamId(0), true, now);
        assert!(peers.keeps_case(UpstreamId(0)));
        peers.answered_case(UpstreamId(0), false, now);
        assert!(!peers.takes_random_case(UpstreamId(0), now));
        peers.vindicated(UpstreamId(0));
        assert!(peers.takes_random_case(UpstreamId(0), now));
    }
}
