//! How every route ranks for a choice, and how things stand in each pool.

use crate::clock::Time;
use crate::observe::event::{Event, Verdict};
use crate::route::choose::Rank;
use crate::route::engine::Engine;
use crate::route::engine::state::pool::Pool;
use crate::route::ids::PoolId;
use crate::route::rules::Rule;
use crate::route::standing::Standing;

impl Engine {
    /// Ranks every route for choosing, and notes how things stand in each pool.
    pub(super) fn rerank(&mut self, now: Time) {
        for index in 0..self.records.len() {
            let record = &self.records[index];
            let path = &self.paths[record.route.path.0 as usize];
            let upstream = &self.upstreams[record.route.upstream.0 as usize];
            let before = record.rank;
            let rank = if !self.is_usable(record) {
                Rank::Out
            } else {
                match self.effective(record) {
                    Verdict::Clear if self.is_unseen(record, now) => Rank::Unknown,
                    Verdict::Clear
                        if (path.doubted || upstream.doubted) && Rule::Doubted.stands() =>
                    {
                        Rank::Doubted
                    }
                    Verdict::Clear | Verdict::Unknown => Rank::Clear,
                    Verdict::Suspect => Rank::Suspect,
                    Verdict::Recovering => Rank::Recovering,
                    Verdict::Congested => Rank::Congested,
                    Verdict::Sick => Rank::Sick,
                    Verdict::Dead => Rank::Dead,
                }
            };
            let record = &mut self.records[index];
            record.rank = rank;
            if before >= Rank::Congested && before != Rank::Out && rank <= Rank::Recovering {
                record.round_trips.returns(now);
            }
        }
        self.stalls.look_again();
        for pool in self.pools() {
            if self.pool(pool).members.is_empty() {
                continue;
            }
            let ranks = self.records_of(pool).map(|(_, record)| record.rank);
            let any = ranks.clone().any(|rank| rank != Rank::Out);
            let standing = match ranks.min().unwrap_or(Rank::Out) {
                Rank::Dead if any => Standing::Outage,
                Rank::Out | Rank::Congested | Rank::Sick => Standing::NothingClear,
                _ => Standing::Clear,
            };
            let of = self.pool_mut(pool);
            of.next_trial = now.min(of.next_trial);
            if standing != of.standing {
                self.stands(pool, standing, now);
            }
        }
    }

    /// A pool stands otherwise from now on.
    fn stands(&mut self, pool: PoolId, standing: Standing, now: Time) {
        let deadline = self.deadline;
        let of = self.pool_mut(pool);
        let (name, stood) = (of.name.clone(), now.since(of.stands_since));
        let before = std::mem::replace(&mut of.standing, standing);
        of.stands_since = now;
        if standing == Standing::Clear && Rule::Aftermath.stands() {
            of.aftermath = now + deadline;
        }
        if before == Standing::Outage {
            let (pool, after) = (name.clone(), stood);
            self.tell(now, Event::OutageOver { pool, after });
        }
        let event = match standing {
            Standing::Clear => Event::ClearAgain {
                pool: name,
                after: stood,
            },
            Standing::NothingClear => Event::NothingClear {
                pool: name,
                ceiling: self.make_room(pool, now) as u64,
            },
            Standing::Outage => Event::Outage { pool: name },
        };
        self.tell(now, event);
    }

    /// Lets the routes of a pool of which none is clear carry what the ceiling allows, and returns that.
    pub(in crate::route) fn make_room(&mut self, pool: PoolId, now: Time) -> f64 {
        let Pool {
            budgets, members, ..
        } = &self.pools[usize::from(pool.0)];
        let ceiling = budgets.ceiling_rate();
        if !budgets.is_surging(now) {
            for route in members {
                let record = &mut self.records[usize::from(route.0)];
                let rtt = record.round_trips.current_us(now);
                record.limit.keep_room_for(ceiling as f32, rtt);
            }
        }
        ceiling
    }
}
