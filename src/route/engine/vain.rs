//! Names that clients asked for in vain.

use smallvec::SmallVec;

use crate::clock::Time;
use crate::observe::trouble::Vain;
use crate::route::about::About;
use crate::route::constants::engine::pace::{IN_VAIN, IN_VAIN_FOR};
use crate::route::engine::Engine;
use crate::route::engine::state::record::RouteRecord;
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
        // A type that nobody has answered lately, as behind a router that knows addresses alone, says nothing of the others.
        let answers = |record: &RouteRecord| {
            let upstream = usize::from(record.route.upstream.0);
            self.upstreams[upstream].answered.knows(about.kind)
        };
        if !self.records_of(pool).any(|(_, record)| answers(record)) {
            return;
        }
        let served = self.last_served(pool);
        let vain = &mut self.pool_mut(pool).vain;
        if served > vain.served {
            vain.names.clear();
            vain.served = served;
        }
        vain.names.retain(|it| now.since(it.last) < IN_VAIN_FOR);
        vain.rcode = rcode;
        let unserved = Unserved {
            name: about.name,
            zone: about.zone,
            first: now,
            last: now,
            rcode,
        };
        let names = &mut vain.names;
        if let Some(known) = names.iter_mut().find(|it| it.name == about.name) {
            (known.last, known.rcode) = (now, rcode);
        } else if names.len() < IN_VAIN {
            names.push(unserved);
        } else if names.iter().all(|it| it.zone != about.zone) {
            // Names of many zones say more than many of one.
            let has_more = |at: &usize| {
                let zone = names[*at].zone;
                names.iter().filter(|it| it.zone == zone).count() > 1
            };
            if let Some(at) = (1..names.len()).rev().find(has_more) {
                names[at] = unserved;
            }
        }
    }

    /// What `pool` was asked for in vain, at most [`IN_VAIN`] names.
    pub fn in_vain(&self, pool: PoolId) -> Vain {
        let (useful, vain) = (self.last_useful(pool), &self.pool(pool).vain);
        if self.last_served(pool) > vain.served {
            return Vain::default();
        }
        let names = vain.names.iter().filter(|it| it.last >= useful).count();
        let mut zones: SmallVec<[u64; IN_VAIN]> = SmallVec::new();
        for it in vain.names.iter().filter(|it| it.rcode.is_some()) {
            if !zones.contains(&it.zone) {
                zones.push(it.zone);
            }
        }
        Vain {
            names,
            rcode: vain.rcode.filter(|_| !vain.names.is_empty()),
            unserved: vain.names.len(),
            zones: zones.len(),
            since: vain.names.first().map_or(Time::NEVER, |it| it.first),
        }
    }

    /// When a question for a name, which no probe is, was last answered usefully; [`Time::default`] if none was.
    fn last_served(&self, pool: PoolId) -> Time {
        let served = self.records_of(pool).map(|(_, record)| record.served_at);
        served.max().unwrap_or_default()
    }
}
