//! Who was heard of, how lately, and what an operator is told of the others.

use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::{Event, Verdict};
use crate::route::about::About;
use crate::route::chance::unit;
use crate::route::choose::Rank;
use crate::route::constants::probe::idle::*;
use crate::route::engine::Engine;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::idle::Idle;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{Route, RouteId, UpstreamId};
use crate::route::rules::Rule;
use crate::wire::Rcode;

impl Engine {
    /// Something came back over `route`, of use or not.
    pub(in crate::route) fn heard(&mut self, route: RouteId, useful: bool, now: Time) {
        let record = &mut self.records[route.0 as usize];
        record.heard = now;
        if useful {
            (record.idle.times, record.idle.poor) = (0, false);
        }
        let rank = record.rank;
        let Route { upstream, path, .. } = record.route;
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
    pub(in crate::route) fn probe_was_poor(
        &mut self,
        route: RouteId,
        rcode: Option<Rcode>,
        now: Time,
    ) {
        if rcode != Some(Rcode::SERVFAIL) {
            return;
        }
        let own = self.record(route).route.upstream;
        let answers = |of: &Group| {
            of.answered.last() != Time::default() && now.since(of.answered.last()) < LATELY
        };
        let mut others = (0u16..).zip(&self.upstreams);
        let compared = others.any(|(id, of)| UpstreamId(id) != own && answers(of));
        let idle = &mut self.record_mut(route).idle;
        if !idle.poor && Rule::PoorTwice.stands() {
            (idle.asked, idle.times, idle.poor) = (now, 1, true);
            return;
        }
        self.was_poor(own, About::PLAIN, rcode, compared, now);
    }

    /// What `record` is held for, as an operator is told.
    pub(in crate::route) fn shown(&self, record: &RouteRecord, now: Time) -> Verdict {
        self.shown_since(record, now).0
    }

    /// The same, and since when.
    pub(super) fn shown_since(&self, record: &RouteRecord, now: Time) -> (Verdict, Time) {
        let answerable = self.answerable(record);
        match answerable.verdict() {
            // What is out of use is not asked, and keeps what it was.
            Verdict::Clear
                if self.is_unknown(record.heard, now)
                    && (record.rank != Rank::Out || record.heard == Time::default()) =>
            {
                (Verdict::Unknown, self.unknown_since(record.heard))
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
    pub(in crate::route) fn age(&mut self, now: Time) {
        let aged = |record: &RouteRecord| {
            record.rank <= Rank::Unknown
                && self.is_unseen(record, now) != (record.rank == Rank::Unknown)
        };
        if self.records.iter().any(aged) {
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
        for record in &mut self.records {
            older(&mut record.heard);
            record.doubts.lift(|_| true);
            let pause = WAKING.0 + (WAKING.1 - WAKING.0).mul_f32(unit(rng));
            record.idle = Idle {
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

    /// Something has come over `route`: if it was said to bring nothing, that is over.
    pub(super) fn answers_at_last(&mut self, route: RouteId, now: Time) {
        let record = self.record_mut(route);
        if std::mem::take(&mut record.silent) {
            let route = record.route.name.clone();
            self.tell(now, Event::FirstAnswer { route });
        }
    }
}
