//! Names that clients asked for in vain since anybody answered anything: a server that refuses everything is alive, and
//! accused by no name, and yet nothing can be resolved.

use smallvec::SmallVec;

use crate::clock::Time;
use crate::route::constants::engine::pace::IN_VAIN;
use crate::wire::Rcode;

/// Those of one pool, since a question for a name was last answered usefully.
#[derive(Debug, Default)]
pub(in crate::route) struct InVain {
    pub(in crate::route::engine) names: SmallVec<[Unserved; IN_VAIN]>,
    pub(in crate::route::engine) rcode: Option<Rcode>,
    /// When that was.
    pub(in crate::route::engine) served: Time,
}

/// A name that came to nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::route::engine) struct Unserved {
    pub(in crate::route::engine) name: u64,
    pub(in crate::route::engine) first: Time,
    pub(in crate::route::engine) last: Time,
    pub(in crate::route::engine) zone: u64,
    /// What a server said, the last time.
    pub(in crate::route::engine) rcode: Option<Rcode>,
}
