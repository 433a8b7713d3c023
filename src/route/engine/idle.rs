//! Routes that carry no questions: what is not heard of for long is unknown, and is asked now and then, so that a
//! standby that has died is known before it is needed.
//!
//! A server and a path are heard of over any route that answers. So it is not each route that is asked, but the fewest that
//! bring a word of every server and every path; the others, of which both are known, take their turn every few minutes. Who does not
//! answer is asked again at once, a few times, and is found dead or well within seconds. What is asked is what every
//! resolver has at hand ([`ProbeAsks`](super::ProbeAsks)), out of the probes' budget, at no steps that hosts have in common, and never over a metered path.

use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::chance::unit;
use crate::route::choose::Rank;
use crate::route::constants::probe::idle::*;
use crate::route::engine::Engine;
use crate::route::engine::state::idle::Idle;
use crate::route::engine::state::pool::Pool;
use crate::route::ids::RouteId;
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;

impl Engine {
    /// Adds the idle route whose turn it is to `probes`, and returns when to look again.
    pub(super) fn measure_idle(
        &mut self,
        probes: &mut Vec<RouteId>,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Time {
        let mut first = (Time::NEVER, None);
        for index in 0..self.records.len() {
            let id = RouteId(index as u16);
            let record = &mut self.records[index];
            if record.idle.times > 0 && record.heard >= record.idle.asked && !record.idle.poor {
                record.idle.times = 0;
            }
            let (hangs, due) = self.idle_due(id);
            let record = &self.records[index];
            let may = !record.metered && record.rank != Rank::Out && !probes.contains(&id);
            let known = match self.effective(record) {
                Verdict::Dead => true,
                verdict => verdict.is_bad() && (!hangs || record.idle.poor),
            };
            if !may || known || self.is_desperate_over(id) {
                continue;
            }
            if due < first.0 {
                first = (due, Some((id, hangs)));
            }
        }
        let (due, Some((id, hangs))) = first else {
            return Time::NEVER;
        };
        if !Rule::Idle.stands() {
            return Time::NEVER;
        }
        let pays = |pool: &mut Pool| match hangs {
            true => pool.budgets.pay(Charge::Return, now),
            false => pool.budgets.pay(Charge::IdleProbe, now),
        };
        if due <= now && self.clear_pool_with(id).is_some_and(pays) {
            let idle = &mut self.record_mut(id).idle;
            if !hangs {
                (idle.times, idle.poor) = (0, false);
                idle.pause = PAUSE + CHANCE.mul_f32(unit(rng));
            }
            idle.asked = now;
            idle.times += 1;
            probes.push(id);
        }
        // At the time itself: hosts tick in step.
        due.max(now + LOOK)
    }

    /// Whether `route` was asked and has not answered well, and when it is to be asked next.
    fn idle_due(&self, route: RouteId) -> (bool, Time) {
        let record = self.record(route);
        let Idle {
            pause,
            asked,
            times,
            poor,
        } = record.idle;
        // What was asked over it since, by a question, tells as much.
        let again = (1..MOST).contains(&times) && Rule::IdleAgain.stands();
        if again && record.asked <= asked {
            let wait = match times {
                // Once it is lost. To ask again what is only late would be felt where a server has little to spare.
                1 if !poor => record.round_trips.rto(),
                1 => AGAIN,
                times => AGAIN * (1 << (times - 2)),
            };
            return (true, asked + wait);
        }
        let path = self.paths[record.route.path.0 as usize].heard;
        let upstream = self.upstreams[record.route.upstream.0 as usize].served;
        let (older, newer) = (path.min(upstream), path.max(upstream));
        let defer = match newer.max(asked) >= older + PAUSE {
            true => DEFER,
            false => Duration::ZERO,
        };
        let turn =
            TURN.min(self.unknown_after / TURN_PART) + (pause - PAUSE.min(pause)) * TURN_CHANCE;
        let due = match Rule::IdleFewest.stands() {
            true => (older + pause + defer).min(record.heard + turn),
            false => record.heard + pause,
        };
        (false, due.max(asked + pause))
    }
}
