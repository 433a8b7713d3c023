//! Routes that carry no questions: what is not heard of for long is unknown, and is asked now and then, so that a
//! standby that has died is known before it is needed.
//!
//! A server and a path are heard of over any route that answers. So it is not each route that is asked, but the fewest that
//! bring a word of every server and every path; the others, of which both are known, take their turn every few minutes. Who does not
//! answer is asked again at once, a few times, and is found dead or well within seconds. What is asked is what every
//! resolver has at hand ([`ProbeAsks`](super::ProbeAsks)), out of the probes' budget, at no steps that hosts have in common, and never over a metered path.

use std::time::Duration;

use super::blame::Culprit;
use super::constants::probe::idle::*;
use super::engine::Engine;
use super::lane::{Group, Lane};
use super::pool::Pool;
use super::selector::{Rank, unit};
use super::{About, Route, RouteId, UpstreamId, Verdict};
use crate::clock::Time;
use crate::wire::Rcode;

/// How far the asking has come with one route.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    /// How long it may be unheard of, this time.
    pause: Duration,
    /// When it was last asked, and how often in a row without a good answer.
    asked: Time,
    times: u32,
    /// What came back was useless.
    poor: bool,
}

impl Idle {
    /// The first time: `roll` in 0..1.
    pub(super) fn begin(&mut self, now: Time, roll: f32) {
        self.pause = FIRST + (PAUSE + CHANCE - FIRST).mul_f32(roll);
        self.asked = now;
    }
}

impl Engine {
    /// Something came back over `route`, of use or not.
    pub(super) fn heard(&mut self, route: RouteId, useful: bool, now: Time) {
        let lane = &mut self.lanes[route.0 as usize];
        lane.heard = now;
        if useful {
            (lane.idle.times, lane.idle.poor) = (0, false);
        }
        let rank = lane.rank;
        let Route { upstream, path, .. } = lane.route;
        let (over, of) = (
            &mut self.paths[path.0 as usize],
            &mut self.upstreams[upstream.0 as usize],
        );
        (over.heard, of.heard) = (now, now);
        if useful {
            of.served = now;
        }
        if rank == Rank::Unknown {
            self.rerank(now);
        }
    }

    /// A probe over `route` was answered uselessly. A server that refuses to say who serves the root is alive and may serve
    /// its own names all the same; one that fails to, where another does not, is worth another look: what it says to the
    /// first question counts once it fails at the other one, too.
    pub(super) fn probe_was_poor(&mut self, route: RouteId, rcode: Option<Rcode>, now: Time) {
        if rcode != Some(Rcode::SERVFAIL) {
            return;
        }
        let own = self.lane(route).route.upstream;
        let answers = |of: &Group| {
            of.answered.last() != Time::default() && now.since(of.answered.last()) < LATELY
        };
        let mut others = (0u16..).zip(&self.upstreams);
        let compared = others.any(|(id, of)| UpstreamId(id) != own && answers(of));
        let idle = &mut self.lane_mut(route).idle;
        if !idle.poor {
            (idle.asked, idle.times, idle.poor) = (now, 1, true);
            return;
        }
        self.was_poor(own, About::PLAIN, rcode, compared, now);
    }

    fn is_unknown(&self, heard: Time, now: Time) -> bool {
        heard == Time::default() || now.since(heard) >= self.unknown_after
    }

    /// Whether a route comes after those that were heard of lately. Not one that nothing but questions measures: it
    /// would stay there.
    pub(super) fn is_unseen(&self, lane: &Lane, now: Time) -> bool {
        !lane.metered && now >= self.fresh_until && self.is_unknown(lane.heard, now)
    }

    /// What `lane` is held for, as an operator is told.
    pub(super) fn shown(&self, lane: &Lane, now: Time) -> Verdict {
        self.shown_since(lane, now).0
    }

    /// The same, and since when.
    pub(super) fn shown_since(&self, lane: &Lane, now: Time) -> (Verdict, Time) {
        let answerable = self.answerable(lane);
        match answerable.verdict() {
            // What is out of use is not asked, and keeps what it was.
            Verdict::Clear
                if self.is_unknown(lane.heard, now)
                    && (lane.rank != Rank::Out || lane.heard == Time::default()) =>
            {
                (Verdict::Unknown, self.unknown_since(lane.heard))
            }
            verdict => (verdict, answerable.since()),
        }
    }

    /// What a path or an upstream is held for, and since when: unknown if nothing was heard over any of its routes.
    pub(super) fn shown_of(&self, group: &Group, now: Time) -> (Verdict, Time) {
        match group.health.verdict() {
            Verdict::Clear if self.is_unknown(group.heard, now) => {
                (Verdict::Unknown, self.unknown_since(group.heard))
            }
            verdict => (verdict, group.health.since()),
        }
    }

    fn unknown_since(&self, heard: Time) -> Time {
        match heard == Time::default() {
            true => heard,
            false => heard + self.unknown_after,
        }
    }

    /// Lets routes that are not heard any more come after the others.
    pub(super) fn age(&mut self, now: Time) {
        let aged = |lane: &Lane| {
            lane.rank <= Rank::Unknown && self.is_unseen(lane, now) != (lane.rank == Rank::Unknown)
        };
        if self.lanes.iter().any(aged) {
            self.rerank(now);
        }
    }

    /// The host has slept for so long, and woke up before `now`. What was under way then says nothing, and what was
    /// heard is older than it looks.
    pub fn host_slept(&mut self, slept: Duration, now: Time, rng: &mut impl rand::Rng) {
        self.woke = now;
        self.fresh_until = now + AWAKE;
        let older = |heard: &mut Time| {
            if *heard != Time::default() {
                *heard = *heard - slept;
            }
        };
        for lane in &mut self.lanes {
            older(&mut lane.heard);
            lane.doubts.lift(|_| true);
            let pause = WAKING.0 + (WAKING.1 - WAKING.0).mul_f32(unit(rng));
            lane.idle = Idle {
                pause,
                asked: now,
                ..Idle::default()
            };
        }
        for group in self.paths.iter_mut().chain(&mut self.upstreams) {
            older(&mut group.heard);
        }
        self.rerank(now);
    }

    /// Where nobody waits for anything, a path is not accused of what some servers show over it before the others were
    /// asked: two standbys may have died together. With questions under way the others' answers are there, or missing.
    pub(super) fn other_to_hear(&self, bad: usize, now: Time) -> Option<Culprit> {
        let asks = |pool: &Pool| now.since(pool.last_question) < UNASKED;
        if self.pools.iter().any(asks) {
            return None;
        }
        let (path, onset) = (self.lanes[bad].route.path, self.lanes[bad].health.onset()?);
        let unheard = |lane: &Lane| {
            let of = &self.upstreams[lane.route.upstream.0 as usize];
            let well = lane.health.onset().is_none() && !of.accused() && self.is_usable(lane);
            lane.route.path == path && well && !lane.metered && lane.good_sent < onset
        };
        let other = self.lanes.iter().position(unheard)?;
        Some(Culprit::Unknown(Some(RouteId(other as u16))))
    }

    /// Adds the idle route whose turn it is to `probes`, and returns when to look again.
    pub(super) fn measure_idle(
        &mut self,
        probes: &mut Vec<RouteId>,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Time {
        let mut first = (Time::NEVER, None);
        for index in 0..self.lanes.len() {
            let id = RouteId(index as u16);
            let lane = &mut self.lanes[index];
            if lane.idle.times > 0 && lane.heard >= lane.idle.asked && !lane.idle.poor {
                lane.idle.times = 0;
            }
            let (hangs, due) = self.idle_due(id);
            let lane = &self.lanes[index];
            let may = !lane.metered && lane.rank != Rank::Out && !probes.contains(&id);
            let known = match self.effective(lane) {
                Verdict::Dead => true,
                verdict => verdict.is_bad() && (!hangs || lane.idle.poor),
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
        let pays = |pool: &mut Pool| match hangs {
            true => pool.budgets.measurement(true, now),
            false => pool.budgets.idle_probe(now),
        };
        if due <= now && self.clear_pool_with(id).is_some_and(pays) {
            let idle = &mut self.lane_mut(id).idle;
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
        let lane = self.lane(route);
        let Idle {
            pause,
            asked,
            times,
            poor,
        } = lane.idle;
        // What was asked over it since, by a question, tells as much.
        if (1..MOST).contains(&times) && lane.asked <= asked {
            let wait = match times {
                // Once it is lost. To ask again what is only late would be felt where a server has little to spare.
                1 if !poor => lane.estimate.rto(),
                1 => AGAIN,
                times => AGAIN * (1 << (times - 2)),
            };
            return (true, asked + wait);
        }
        let path = self.paths[lane.route.path.0 as usize].heard;
        let upstream = self.upstreams[lane.route.upstream.0 as usize].served;
        let (older, newer) = (path.min(upstream), path.max(upstream));
        let defer = match newer.max(asked) >= older + PAUSE {
            true => DEFER,
            false => Duration::ZERO,
        };
        let turn =
            TURN.min(self.unknown_after / TURN_PART) + (pause - PAUSE.min(pause)) * TURN_CHANCE;
        let due = (older + pause + defer).min(lane.heard + turn);
        (false, due.max(asked + pause))
    }
}
