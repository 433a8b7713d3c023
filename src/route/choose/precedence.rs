//! Whose word counts, where upstreams are no equals.
//!
//! With the policy `ordered`, and where some upstreams are backups, they need not know the same names: the first may
//! serve names that the second, a public resolver, denies. So what a later one denies (RFC 2308) is held back for as
//! long as one before it may still say otherwise, as the system's resolver would have waited for that one first. And a
//! duplicate that was sent to measure a later one never answers a question that one before it was asked.

use crate::config::Policy;
use crate::config::lineup::Lineup;
use crate::route::ids::UpstreamId;

/// The place of who is not in the pool.
const OUTSIDE: u16 = u16::MAX;

/// The order of a pool's upstreams: who has a smaller number comes before who has a larger one.
#[derive(Debug)]
pub(in crate::route) struct Precedence(Vec<u16>);

impl Precedence {
    /// The order of these upstreams, by their numbers.
    pub(in crate::route) fn new(lineup: &Lineup, upstreams: &[u16], policy: Policy) -> Precedence {
        let count = lineup.upstreams.len() as u16;
        let mut places = vec![OUTSIDE; lineup.upstreams.len()];
        for (index, &upstream) in (0u16..).zip(upstreams) {
            let place = match policy {
                Policy::Ordered => index,
                Policy::Fastest | Policy::Spread => 0,
            };
            let backup = |path: &usize| lineup.paths[*path].is.backup;
            let of = &lineup.upstreams[usize::from(upstream)].is;
            places[usize::from(upstream)] = match of.backup || of.paths.iter().all(backup) {
                true => place + count,
                false => place,
            };
        }
        Precedence(places)
    }

    pub(in crate::route) fn is_before(&self, one: UpstreamId, other: UpstreamId) -> bool {
        self.0[one.0 as usize] < self.0[other.0 as usize]
    }

    pub(in crate::route) fn is_first(&self, upstream: UpstreamId) -> bool {
        self.0.iter().min() == self.0.get(upstream.0 as usize)
    }
}
