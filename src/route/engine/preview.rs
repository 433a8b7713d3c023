//! What would be done for a question now, and why: the engine asked without being moved.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::ask::Refused;
use crate::route::choose::{Rank, Tried};
use crate::route::engine::Engine;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{PoolId, RouteId};
use crate::route::standing::Standing;

/// What the engine would do with a question that came now.
#[derive(Clone, Debug)]
pub struct Preview {
    /// How things stand altogether: in an outage nothing is asked but probes.
    pub standing: Standing,
    /// The route its first packet would take, or why it would take none.
    pub first: Result<RouteId, Refused>,
    /// The route that is asked next if the first is overdue; `None` if no other one is clear.
    pub hedge: Option<RouteId>,
    /// How long the first is waited for before that.
    pub hedge_after: Option<Duration>,
    /// Every route that it may take, in the order of its upstreams.
    pub candidates: Vec<Candidate>,
}

/// A route as a candidate for one question.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `upstream@path`.
    pub name: Arc<str>,
    /// What it is held for: the worst of what it, its path and its upstream are.
    pub verdict: Verdict,
    /// Expected time of an answer now, before its price is reckoned in.
    pub expected: Duration,
    /// Why it is not the first to be asked; `None` for the one that is.
    pub passed_over: Option<PassedOver>,
}

/// Why a route is not the first to be asked, the gravest reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// The operator took it, its path or its upstream out of use.
    Drained,
    /// Its path's interface or source address is not on this host.
    Missing,
    /// As many attempts are under way on it as it may have.
    Full,
    /// What is believed of it.
    Verdict(Verdict),
    /// An answer over it is overdue just now, or the last packet over it was lost.
    Overdue,
    /// It shares its path or its server with one that is in trouble nobody is blamed for yet.
    Doubted,
    /// A backup, and what is not one can be used.
    Backup,
    /// It is as good, but another one is expected to be faster, comes earlier in the order, or has the turn.
    Preferred,
}

impl PassedOver {
    /// In words, to follow the route's name.
    pub fn words(self) -> String {
        match self {
            PassedOver::Drained => "drained by the operator".into(),
            PassedOver::Missing => "its path is not usable on this host".into(),
            PassedOver::Full => "as many attempts are under way as it may have".into(),
            PassedOver::Verdict(verdict) => format!("it is {verdict}"),
            PassedOver::Overdue => "an answer over it is overdue just now".into(),
            PassedOver::Doubted => "it shares its path or server with one in trouble".into(),
            PassedOver::Backup => "a backup".into(),
            PassedOver::Preferred => "as good, but another one is preferred".into(),
        }
    }
}

impl Engine {
    /// What would be done with a client's question of `pool` that came now. Nothing is sent, counted or paid, and no later
    /// choice is moved by it.
    pub fn preview(&mut self, pool: PoolId, now: Time, rng: &mut impl rand::Rng) -> Preview {
        let memory = self.pool(pool).selector.memory();
        let turns: Vec<f64> = self.records.iter().map(|record| record.turn).collect();
        let first = self.choose_quietly(pool, now, rng);
        self.pool_mut(pool).selector.recall(memory);
        for (record, turn) in self.records.iter_mut().zip(turns) {
            record.turn = turn;
        }
        let chosen = first.as_ref().ok().copied();
        let hedge = chosen.and_then(|route| {
            let tried = Tried {
                routes: &[route],
                useless: None,
                clear_only: true,
            };
            self.choose_other(pool, tried, now, 0.0)
        });
        let candidates = self.records_of(pool).map(|(id, record)| {
            let passed_over = (chosen != Some(id)).then(|| self.passed_over(record));
            let expected = match record.rank {
                Rank::Clear | Rank::Doubted | Rank::Unknown => record.round_trips.typical_us(),
                _ => record.round_trips.current_us(now),
            };
            Candidate {
                name: record.route.name.clone(),
                verdict: self.shown(record, now),
                expected: Duration::from_micros(expected.max(0.0) as u64),
                passed_over,
            }
        });
        Preview {
            candidates: candidates.collect(),
            standing: self.standing_of(pool),
            hedge_after: chosen.map(|route| self.record(route).round_trips.hedge_wait()),
            first,
            hedge,
        }
    }

    pub(in crate::route) fn passed_over(&self, record: &RouteRecord) -> PassedOver {
        let path = &self.paths[usize::from(record.route.path.0)];
        let upstream = &self.upstreams[usize::from(record.route.upstream.0)];
        if record.drained || path.drained || upstream.drained {
            return PassedOver::Drained;
        }
        if path.missing {
            return PassedOver::Missing;
        }
        if !record.has_room() {
            return PassedOver::Full;
        }
        match (record.rank, record.rank_now) {
            (Rank::Clear | Rank::Doubted | Rank::Unknown, Rank::Suspect) => PassedOver::Overdue,
            (Rank::Clear, _) if record.backup => PassedOver::Backup,
            (Rank::Clear, _) => PassedOver::Preferred,
            (Rank::Doubted, _) => PassedOver::Doubted,
            (Rank::Unknown, _) => PassedOver::Verdict(Verdict::Unknown),
            _ => PassedOver::Verdict(self.effective(record)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::config::Policy;
    use crate::route::testing::grid;

    pub(in crate::route) fn engine(policy: Policy) -> Engine {
        let mut config = grid(2, &["a", "b"]);
        config.routing.policy = policy;
        Engine::new(&config, Time::START)
    }

    #[test]
    fn a_look_moves_no_later_choice() {
        for policy in [Policy::Fastest, Policy::Spread, Policy::Ordered] {
            let (mut looked_at, mut left_alone) = (engine(policy), engine(policy));
            for step in 0..100u64 {
                let now = Time::START + Duration::from_millis(step);
                for look in 0..3 {
                    looked_at.preview(
                        PoolId::MAIN,
                        now,
                        &mut StdRng::seed_from_u64(1_000 * look + step),
                    );
                }
                let choose = |engine: &mut Engine| {
                    engine.choose(PoolId::MAIN, now, &mut StdRng::seed_from_u64(step))
                };
                assert_eq!(
                    choose(&mut looked_at),
                    choose(&mut left_alone),
                    "{policy:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_drained_is_passed_over_for_that() {
        let mut engine = engine(Policy::Ordered);
        let now = Time::START;
        let mut rng = StdRng::seed_from_u64(1);
        let first = engine.preview(PoolId::MAIN, now, &mut rng);
        assert_eq!(first.first, Ok(RouteId(0)));
        assert_eq!(first.candidates[0].passed_over, None);
        assert_eq!(first.candidates[1].passed_over, Some(PassedOver::Preferred));
        engine.drain("a", "a test", None, now).expect("a path");
        let then = engine.preview(PoolId::MAIN, now, &mut rng);
        assert_eq!(then.first, Ok(RouteId(1)));
        assert_eq!(then.candidates[0].passed_over, Some(PassedOver::Drained));
        assert_eq!(then.candidates[2].passed_over, Some(PassedOver::Drained));
        engine.drain("b", "a test", None, now).expect("a path");
        assert_eq!(
            engine.preview(PoolId::MAIN, now, &mut rng).first,
            Err(Refused::NoRoute)
        );
    }
}
