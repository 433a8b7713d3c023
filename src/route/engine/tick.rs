//! What passing time does.

use crate::clock::Time;
use crate::observe::event::{Event, Verdict};
use crate::route::chance::unit;
use crate::route::choose::Rank;
use crate::route::constants::engine::pace::*;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::{Engine, Tick};
use crate::route::ids::{PathId, RouteId, UpstreamId};
use crate::route::standing::Standing;

impl Engine {
    /// Lets time do its part. The worker that owns the tick calls it and sends the probes it lists.
    pub fn tick(&mut self, now: Time, rng: &mut impl rand::Rng) -> Tick {
        if !std::mem::replace(&mut self.has_tastes, true) {
            for record in self.records.iter_mut().filter(|record| !record.has_taste()) {
                let roll = unit(rng);
                record.like(roll);
                record.idle.begin(now, (64.0 * roll).fract());
            }
        }
        for pool in &mut self.pools {
            pool.budgets.turn(now, pool.standing == Standing::Clear);
        }
        let probation = self.probation;
        for index in 0..self.records.len() {
            if !self.records[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.records[index].health.turn(now, &probation) {
                self.route_changed(RouteId(index as u16), change, now);
            }
        }
        for index in 0..self.paths.len() {
            if !self.paths[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.paths[index].health.turn(now, &probation) {
                self.path_changed(PathId(index as u16), change, now);
            }
        }
        for index in 0..self.upstreams.len() {
            if !self.upstreams[index].seat.is_in() {
                continue;
            }
            if let Some(change) = self.upstreams[index].health.turn(now, &probation) {
                self.upstream_changed(UpstreamId(index as u16), change, now);
            }
        }
        if now.secs() != self.second {
            self.each_second(now);
        }
        self.keep_room(now);
        let mut probes = self.probes(now, rng);
        let soon = self.go_the_first_round(&mut probes, now, rng);
        let soon = soon.min(self.measure_idle(&mut probes, now, rng));
        // What is out of use, or has been taken out, is nobody's trouble.
        let quiet =
            |record: &RouteRecord| matches!(record.rank, Rank::Clear | Rank::Unknown | Rank::Out);
        let troubled = !self.records.iter().all(quiet);
        let pause = if troubled { TICK_TROUBLED } else { TICK };
        let next = soon.min(now + pause);
        let rests = !troubled && probes.is_empty() && self.flights.is_empty();
        Tick {
            probes,
            next,
            resting: match rests {
                true => soon.min(now + TICK_RESTING),
                false => next,
            },
        }
    }

    /// While something is clear, or the surge is byway's own, what comes back says how much may go. Otherwise what
    /// health needs may, and that is soon more: the round trip that the limit has to hold may grow a hundredfold.
    fn keep_room(&mut self, now: Time) {
        for index in 0..self.records.len() {
            let route = RouteId(index as u16);
            let needed = self.is_desperate_over(route) && !self.is_surging_over(route, now);
            let rate = match needed {
                true => self.ceiling_over(route),
                false => 0.0,
            };
            let record = &mut self.records[index];
            match needed {
                true => record
                    .limit
                    .keep_room_for(rate, record.round_trips.current_us(now)),
                false => record.limit.let_go(),
            }
        }
    }

    /// Packets a second that may go over a route while nothing is clear.
    fn ceiling_over(&self, route: RouteId) -> f32 {
        let rates = self
            .pools_with(route)
            .map(|pool| pool.budgets.ceiling_rate());
        rates.sum::<f64>() as f32
    }

    fn each_second(&mut self, now: Time) {
        let passed = now.secs().saturating_sub(self.second).max(1) as f32;
        self.second = now.secs();
        self.age(now);
        self.probation.suit(self.healthy_rate());
        for index in 0..self.records.len() {
            let route = RouteId(index as u16);
            let healthy = !self.is_desperate_over(route);
            let surging = self.is_surging_over(route, now);
            let record = &mut self.records[index];
            let rate = record.sent as f32 / passed;
            record.sent = 0;
            if healthy && !surging && matches!(record.rank, Rank::Clear | Rank::Unknown) {
                record.limit.relax();
            }
            if healthy {
                record.healthy += (rate - record.healthy) * (passed / ROUTE_RATE_SECS).min(1.0);
            }
            if record.seat.is_in() && record.health.verdict() != Verdict::Clear {
                let lossless = record.health.counts().lost == 0;
                if let Some((from, to)) = record.round_trips.rebase(now, lossless) {
                    self.stalls.look_again();
                    let route = record.route.name.clone();
                    self.tell(now, Event::Rebased { route, from, to });
                }
            }
        }
    }
}
