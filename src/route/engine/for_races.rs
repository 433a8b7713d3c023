//! What a race may ask of the engine, and tell it, besides choosing routes and ending attempts.

use std::time::Duration;

use crate::clock::Time;
use crate::route::ask::{Ask, Purpose};
use crate::route::choose::Rank;
use crate::route::engine::Engine;
use crate::route::ids::{PoolId, RouteId, UpstreamId};
use crate::route::measure::in_flight::AttemptId;
use crate::route::outcome::AttemptKind;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;

/// How long an attempt over a route is waited for.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Waits {
    /// Before it is looked whether the route stalls.
    pub(in crate::route) check: Duration,
    /// Before it is overdue.
    pub(in crate::route) hedge: Duration,
    /// Before it counts as lost.
    pub(in crate::route) lost: Duration,
}

impl Engine {
    pub(in crate::route) fn upstream_of(&self, route: RouteId) -> UpstreamId {
        self.record(route).route.upstream
    }

    pub(in crate::route) fn waits_of(&self, route: RouteId) -> Waits {
        let round_trips = &self.record(route).round_trips;
        Waits {
            check: round_trips.check_wait(),
            hedge: round_trips.hedge_wait(),
            lost: round_trips.rto(),
        }
    }

    /// Whether its round trips were ever measured.
    pub(in crate::route) fn is_measured(&self, route: RouteId) -> bool {
        self.record(route).round_trips.is_measured()
    }

    /// Whether an answer over it is overdue, or the last packet was lost.
    pub(in crate::route) fn is_stalled(&self, route: RouteId, now: Time) -> bool {
        self.record(route).is_stalled(now)
    }

    /// Share of its limit in use.
    pub(in crate::route) fn load_of(&self, route: RouteId) -> f32 {
        let record = self.record(route);
        record.limit.load(record.queue.len())
    }

    /// Whether it is clear and nothing speaks against it.
    pub(in crate::route) fn is_well(&self, route: RouteId) -> bool {
        self.record(route).rank.is_clear()
    }

    /// When an attempt under way was sent.
    pub(in crate::route) fn sent(&self, attempt: AttemptId) -> Option<Time> {
        Some(self.flights.get(attempt)?.sent)
    }

    /// Whether something was answered over `route` that was sent later than this attempt.
    pub(in crate::route) fn is_overtaken(&self, attempt: AttemptId, route: RouteId) -> bool {
        let sent = self.sent(attempt);
        sent.is_some_and(|sent| self.record(route).answered_sent > sent)
    }

    /// Another server has answered the attempt's question in time.
    pub(in crate::route) fn answered_elsewhere(&mut self, attempt: AttemptId) {
        self.flights.answered_elsewhere(attempt);
    }

    /// Since when a pool stands as it does.
    pub(in crate::route) fn stands_since(&self, pool: PoolId) -> Time {
        self.pool(pool).stands_since
    }

    /// A question has come.
    pub(in crate::route) fn asked(&mut self, ask: &Ask, now: Time) {
        let pool = self.pool_mut(ask.pool);
        if !matches!(ask.purpose, Purpose::Probe(_)) && !ask.again {
            pool.budgets.asked(now);
            if pool.standing != Standing::Outage {
                pool.budgets.wanted(now);
            }
        }
        if !matches!(ask.purpose, Purpose::Probe(_) | Purpose::Refresh) {
            pool.last_question = now;
        }
    }

    /// Pays for a packet, if that can be paid.
    pub(in crate::route) fn pay(&mut self, pool: PoolId, charge: Charge, now: Time) -> bool {
        self.pool_mut(pool).budgets.pay(charge, now)
    }

    /// Pays for a question's first packet over `route`. `held`: a stale answer is.
    pub(in crate::route) fn pay_first(
        &mut self,
        pool: PoolId,
        route: RouteId,
        held: bool,
        now: Time,
    ) -> bool {
        let suspect = self.record(route).rank >= Rank::Suspect;
        let of = self.pool_mut(pool);
        let doubtful = suspect || now < of.aftermath;
        let charge = match (of.is_clear(), doubtful, held) {
            (true, false, _) => Charge::Primary,
            (true, true, _) => Charge::Doubtful,
            (false, _, true) => Charge::Renewal,
            (false, _, false) => Charge::First,
        };
        of.budgets.pay(charge, now)
    }

    /// Pays for another server's word after a useless one.
    pub(in crate::route) fn pay_elsewhere(&mut self, pool: PoolId, now: Time) -> bool {
        let of = self.pool_mut(pool);
        let (clear, aftermath) = (of.is_clear(), now < of.aftermath);
        (clear && of.budgets.pay(Charge::Urgent, now))
            || ((!clear || aftermath) && of.budgets.pay(Charge::AfterUseless, now))
    }

    /// An extra attempt was refused: a hedge, or a retry.
    pub(in crate::route) fn denied(&mut self, kind: AttemptKind) {
        match kind {
            AttemptKind::Hedge => self.hedges.denied += 1,
            _ => self.hedges.retries_denied += 1,
        }
    }

    /// The answer of an attempt of this kind is used.
    pub(in crate::route) fn won(&mut self, pool: PoolId, kind: AttemptKind, now: Time) {
        match kind {
            AttemptKind::Hedge => self.hedges.won += 1,
            AttemptKind::Retry => self.hedges.retries_won += 1,
            _ => {}
        }
        self.pool_mut(pool).budgets.earn(now);
    }
}
