//! What a question may hope for, before it is asked.

use std::time::Duration;

use crate::clock::Time;
use crate::route::choose::Rank;
use crate::route::constants::engine::pace::*;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::{Engine, Prospect};
use crate::route::ids::{PoolId, RouteId};
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;

impl Engine {
    /// Whether some route is clear, has room and answers: if not, a stale answer is given at once.
    pub fn any_clear(&self, now: Time) -> bool {
        self.standing() == Standing::Clear
            && self.records_of(PoolId::MAIN).any(|(_, record)| {
                (record.rank <= Rank::Unknown || record.rank == Rank::Recovering)
                    && record.has_room()
                    && !self.is_silent(record, now)
            })
    }

    /// Whether something has answered lately, or nothing was asked that could have been: if not, whoever waits for
    /// an answer probably waits in vain. What is believed of a route does not matter as long as it answers.
    pub fn answered_lately(&self, now: Time) -> bool {
        self.records_of(PoolId::MAIN).any(|(_, record)| {
            let answers = match record.rank {
                Rank::Out => false,
                rank if rank < Rank::Congested => true,
                _ => now.since(record.answered_sent) <= LATELY,
            };
            answers && !self.is_silent(record, now)
        })
    }

    /// What a question of `pool` may hope for now for which a stale answer is held. That a route is in doubt does not
    /// count: it may answer all the same.
    pub fn prospect(&mut self, pool: PoolId, now: Time) -> Prospect {
        let outage = self.standing_of(pool) == Standing::Outage;
        if outage
            || self
                .records_of(pool)
                .all(|(_, record)| record.rank == Rank::Out)
        {
            return Prospect::Nobody;
        }
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        let paid = *standing == Standing::Clear || budgets.may_pay(Charge::Renewal, now);
        // In a surge of byway's own known names do not wait. A storm of names that fail is none: it is a few times
        // what a quiet host asks.
        let flooded = budgets.is_flooded(now);
        let free = |record: &RouteRecord| {
            record.rank < Rank::Dead
                && (record.has_room() || (!flooded && record.has_room_for_held()))
        };
        match paid && self.records_of(pool).any(|(_, record)| free(record)) {
            true => Prospect::Answer(self.hedge_wait_of(pool)),
            false => Prospect::Queue,
        }
    }

    /// Whether a question that found no room before may find some now. To ask again and again would count as
    /// so much more demand. `light`: a question of somebody's who has less than an equal part of what is under way.
    pub fn has_room(&mut self, pool: PoolId, light: bool, now: Time) -> bool {
        let Pool {
            standing, budgets, ..
        } = self.pool_mut(pool);
        let paid = match standing {
            Standing::Outage => return true,
            Standing::Clear => true,
            Standing::NothingClear => budgets.may_pay(Charge::First, now),
        };
        let mut records = self.records_of(pool).map(|(_, record)| record);
        let free = |record: &RouteRecord| {
            record.rank != Rank::Out && (record.has_room() || (light && record.has_room_for_held()))
        };
        let out = |record: &RouteRecord| record.rank == Rank::Out;
        (paid && records.clone().any(free)) || records.all(out)
    }

    /// About how long a hedge takes now: the wait before it, and for as long as it may take itself before it
    /// would be overdue. Less would give stale answers in health, whenever the host stalls for a moment.
    pub fn hedge_wait(&self, _now: Time) -> Duration {
        self.hedge_wait_of(PoolId::MAIN)
    }

    fn hedge_wait_of(&self, pool: PoolId) -> Duration {
        let records = self.records_of(pool);
        let some = records
            .clone()
            .any(|(_, record)| record.rank == Rank::Clear);
        let best = if some { Rank::Clear } else { Rank::Unknown };
        let clear = records.filter(|(_, record)| record.rank == best);
        let (mut least, mut most) = (u64::MAX, 0);
        for (_, record) in clear {
            let nanos = record.round_trips.hedge_wait().as_nanos() as u64;
            (least, most) = (least.min(nanos), most.max(nanos));
        }
        match least {
            u64::MAX => 2 * self.waits.max,
            _ => Duration::from_nanos(least + most).max(HEDGE_LEAST),
        }
    }

    /// Whether a question that `route`'s server answered uselessly may be put to it once more, otherwise: nobody
    /// else is to be asked, and it is paid.
    pub fn may_ask_again(&mut self, pool: PoolId, route: RouteId, now: Time) -> bool {
        let own = self.record(route).route.upstream;
        let another = |(_, record): (RouteId, &RouteRecord)| {
            record.route.upstream != own && record.rank < Rank::Dead
        };
        !self.records_of(pool).any(another) && self.may_repeat(pool, now)
    }

    /// Whether a question may be put once more to the one that has just answered it, at the extras' cost.
    pub fn may_repeat(&mut self, pool: PoolId, now: Time) -> bool {
        self.pool_mut(pool).budgets.pay(Charge::Extra, now)
    }
}
