//! Names that clients asked for in vain.

use crate::route::about::{About, Kind};
use crate::route::constants::engine::pace::IN_VAIN;
use crate::route::engine::Engine;
use crate::route::ids::PoolId;
use crate::wire::Rcode;

impl Engine {
    /// A client's question of `pool` comes to nothing: to `rcode`, if a server said so.
    pub(in crate::route) fn asked_in_vain(
        &mut self,
        pool: PoolId,
        about: About,
        rcode: Option<Rcode>,
    ) {
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
