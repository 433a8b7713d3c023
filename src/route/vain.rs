//! Names that clients asked for in vain since anybody answered anything: a server that refuses everything is alive, and
//! accused by no name, and yet nothing can be resolved.

use smallvec::SmallVec;

use super::constants::engine::pace::IN_VAIN;
use super::engine::Engine;
use super::{About, Kind, PoolId};
use crate::clock::Time;
use crate::wire::Rcode;

/// Those of one pool.
#[derive(Debug, Default)]
pub(super) struct InVain {
    names: SmallVec<[u64; IN_VAIN]>,
    rcode: Option<Rcode>,
    /// When something useful had last come by then.
    useful: Time,
}

impl Engine {
    /// A client's question of `pool` comes to nothing: to `rcode`, if a server said so.
    pub(super) fn asked_in_vain(&mut self, pool: PoolId, about: About, rcode: Option<Rcode>) {
        if about.kind == Kind::Odd {
            return;
        }
        let useful = self.last_useful(pool);
        let vain = &mut self.pool_mut(pool).vain;
        if useful > vain.useful {
            vain.names.clear();
            vain.useful = useful;
        }
        vain.rcode = rcode;
        if vain.names.len() < IN_VAIN && !vain.names.contains(&about.name) {
            vain.names.push(about.name);
        }
    }

    /// How many names of `pool` were asked for in vain since something useful came, at most [`IN_VAIN`], and what a server said to the
    /// last of them.
    pub fn in_vain(&self, pool: PoolId) -> (usize, Option<Rcode>) {
        let vain = &self.pool(pool).vain;
        match self.last_useful(pool) > vain.useful {
            true => (0, None),
            false => (vain.names.len(), vain.rcode),
        }
    }
}
