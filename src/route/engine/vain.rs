//! Names that clients asked for in vain.

use crate::clock::Time;
use crate::observe::trouble::Vain;
use crate::route::about::{About, Kind};
use crate::route::constants::engine::pace::IN_VAIN;
use crate::route::engine::Engine;
use crate::route::engine::state::vain::Unserved;
use crate::route::ids::PoolId;
use crate::wire::Rcode;

impl Engine {
    /// A client's question of `pool` comes to nothing: to `rcode`, if a server said so.
    pub(in crate::route) fn asked_in_vain(
        &mut self,
        pool: PoolId,
        about: About,
        rcode: Option<Rcode>,
        now: Time,
    ) {
        if about.kind == Kind::Odd {
            return;
        }
        let served = self.last_served(pool);
        let vain = &mut self.pool_mut(pool).vain;
        if served > vain.served {
            vain.names.clear();
            vain.served = served;
        }
        vain.rcode = rcode;
        let refused = rcode == Some(Rcode::REFUSED);
        if let Some(known) = vain.names.iter_mut().find(|it| it.name == about.name) {
            (known.last, known.refused) = (now, refused);
        } else if vain.names.len() < IN_VAIN {
            vain.names.push(Unserved {
                name: about.name,
                first: now,
                last: now,
                refused,
            });
        }
    }

    /// What `pool` was asked for in vain, at most [`IN_VAIN`] names.
    pub fn in_vain(&self, pool: PoolId) -> Vain {
        let (useful, vain) = (self.last_useful(pool), &self.pool(pool).vain);
        if self.last_served(pool) > vain.served {
            return Vain::default();
        }
        let names = vain.names.iter().filter(|it| it.last >= useful).count();
        Vain {
            names,
            rcode: vain.rcode.filter(|_| !vain.names.is_empty()),
            unserved: vain.names.len(),
            refused: vain.names.iter().filter(|it| it.refused).count(),
            since: vain.names.first().map_or(Time::NEVER, |it| it.first),
        }
    }

    /// When a question for a name, which no probe is, was last answered usefully; [`Time::default`] if none was.
    fn last_served(&self, pool: PoolId) -> Time {
        let served = self.records_of(pool).map(|(_, record)| record.served_at);
        served.max().unwrap_or_default()
    }
}
