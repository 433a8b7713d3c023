//! A path or an upstream and all that is known of it.

use std::sync::Arc;

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::engine::state::seat::Seat;
use crate::route::ids::RouteId;
use crate::route::judge::counts::Streak;
use crate::route::judge::health::Health;
use crate::route::measure::answered::Answered;
use crate::route::measure::service_time::ServiceTimes;

/// A path or an upstream.
#[derive(Debug)]
pub(in crate::route) struct Group {
    pub(in crate::route::engine) name: Arc<str>,
    pub(in crate::route::engine) seat: Seat,
    pub(in crate::route::engine) health: Health,
    pub(in crate::route::engine) drained: bool,
    /// Its interface or source address is not there.
    pub(in crate::route::engine) missing: bool,
    /// Of an upstream: it forwards to this very byway.
    pub(in crate::route::engine) loops: bool,
    /// An open question hangs over it.
    pub(in crate::route::engine) doubted: bool,
    /// When something last came back over any of its routes, and when something of use did.
    pub(in crate::route::engine) heard: Time,
    pub(in crate::route::engine) served: Time,
    /// Which of its routes is tried next.
    pub(in crate::route::engine) trial: u16,
    /// Which of its routes began its streak of good answers.
    pub(in crate::route::engine) bearer: Option<RouteId>,
    /// Since when it is left alone, and whether an operator was told.
    pub(in crate::route::engine) left: Time,
    pub(in crate::route::engine) told: bool,
    /// Of an upstream: how long its slow questions take.
    pub(in crate::route::engine) service_times: ServiceTimes,
    /// Of an upstream: what it has answered.
    pub(in crate::route::engine) answered: Answered,
}

impl Group {
    pub(in crate::route) fn new(name: &str, health: Health) -> Group {
        Group {
            name: name.into(),
            seat: Seat::default(),
            health,
            drained: false,
            missing: false,
            loops: false,
            doubted: false,
            heard: Time::default(),
            served: Time::default(),
            trial: 0,
            bearer: None,
            left: Time::NEVER,
            told: false,
            service_times: ServiceTimes::default(),
            answered: Answered::default(),
        }
    }

    /// The streak of good answers that counts for its return after `route`, one of its own, came to `streak`:
    /// the longest of any of its routes. What another route loses does not undo it.
    pub(in crate::route) fn streak_after(&mut self, route: RouteId, streak: Streak) -> Streak {
        let current = self.health.streak();
        if self.bearer == Some(route) || streak.count > current.count {
            self.bearer = (streak.count > 0).then_some(route);
            return streak;
        }
        current
    }

    /// It answers for its routes: its own record counts, not theirs.
    pub(in crate::route) fn accused(&self) -> bool {
        !matches!(self.health.verdict(), Verdict::Clear | Verdict::Recovering)
    }
}
