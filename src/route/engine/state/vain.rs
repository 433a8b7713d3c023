//! Names that clients asked for in vain since anybody answered anything: a server that refuses everything is alive, and
//! accused by no name, and yet nothing can be resolved.

use smallvec::SmallVec;

use crate::clock::Time;
use crate::route::constants::engine::pace::IN_VAIN;
use crate::wire::Rcode;

/// Those of one pool.
#[derive(Debug, Default)]
pub(in crate::route) struct InVain {
    pub(in crate::route::engine) names: SmallVec<[u64; IN_VAIN]>,
    pub(in crate::route::engine) rcode: Option<Rcode>,
    /// When something useful had last come by then.
    pub(in crate::route::engine) useful: Time,
}
