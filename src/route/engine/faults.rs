//! Whose fault it is that a question got no answer: its own, or that of whom it was asked.
//!
//! What one question shows counts as far as others, asked at the same time, say the same. A loss counts once
//! another attempt at the same question was answered, or once several names hang and nothing sent since was answered
//! either ([`doubts`](super::doubts)); what it accused is taken back when it turns out that others are answered. A
//! question that nobody answers while others are is remembered ([`failing`](super::failing)), and accuses nobody
//! when it is asked again.

use crate::clock::Time;
use crate::route::about::About;
use crate::route::engine::Engine;
use crate::route::ids::{Route, RouteId, UpstreamId};
use crate::route::judge::counts::{Observation, Observed, Streak};
use crate::route::judge::doubts::Doubt;
use crate::route::measure::in_flight::{Attempt, AttemptId};
use crate::route::rules::Rule;
use crate::wire::Rcode;

impl Engine {
    /// Whether it says nothing of a route that it does not answer this question.
    pub(in crate::route) fn is_mute(&self, about: About, route: RouteId, now: Time) -> bool {
        self.is_mute_at(about, self.record(route).route.upstream, now)
    }

    fn is_mute_at(&self, about: About, upstream: UpstreamId, now: Time) -> bool {
        let answered = &self.upstreams[upstream.0 as usize].answered;
        let last = answered.last();
        !answered.knows(about.kind)
            || self.failing.expects(about, now)
            || self.failing.expects_at(about, upstream, last, now)
    }

    /// Another attempt at the question of this one was answered: if it is lost, that is not the name's doing.
    pub(in crate::route) fn vouch(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.flights.vouch(id).filter(|it| it.lost && !it.mute) else {
            return;
        };
        let record = self.record_mut(attempt.route);
        record.doubts.lift(|doubt| doubt.id == id);
        if Rule::Vouched.stands()
            && !attempt.counted
            && !self.is_mute(attempt.about, attempt.route, now)
        {
            self.count_loss(id, attempt, now);
        }
    }

    /// An attempt counts as lost against its route.
    pub(super) fn count_loss(&mut self, id: AttemptId, attempt: Attempt, now: Time) {
        self.flights.count(id, true);
        let upstream = self.record(attempt.route).route.upstream;
        self.failing.failed_at(attempt.about, upstream, now);
        let observed = Observed {
            held_up: attempt.held_up,
            ..Observation::Lost.into()
        };
        self.weigh(attempt, observed, false, now);
    }

    /// Counts what hangs on a route if it is more than one name's doing.
    pub(super) fn count_silence(&mut self, route: RouteId, now: Time) {
        if !self.record(route).doubts.is_silence(self.usual, now) {
            return;
        }
        while let Some(doubt) = self.record_mut(route).doubts.next_uncounted() {
            self.count_loss(doubt.id, doubt.attempt, now);
        }
    }

    /// Something sent over `route` at `sent` was answered in time: what was sent no later and was not answered is
    /// held against nobody until more is known.
    pub(super) fn refute(&mut self, route: RouteId, sent: Time, now: Time) {
        if !Rule::Refuted.stands() {
            return;
        }
        while let Some(doubt) = self.record(route).doubts.refuted(sent) {
            self.lift(route, |it| it.id == doubt.id, now);
            self.hangs(doubt.attempt.about, now);
        }
    }

    /// A question hangs while others are answered: that it hangs elsewhere too says nothing.
    pub(super) fn hangs(&mut self, about: About, now: Time) {
        self.usual.learn(true);
        self.failing.hangs(about, now);
        self.lift_name(about.name, now);
    }

    /// Nobody of those `tried` has answered the question, which was first asked at `started`. If one of them
    /// answers others, that is the name's doing.
    pub(in crate::route) fn unanswered(
        &mut self,
        about: About,
        tried: &[RouteId],
        started: Time,
        now: Time,
    ) {
        let answers = |route: &RouteId| {
            let upstream = self.record(*route).route.upstream;
            let answered = &self.upstreams[upstream.0 as usize].answered;
            answered.last() >= started || answered.is_answering(now)
        };
        if tried.iter().any(answers) {
            self.failing.failed(about, now);
            self.lift_name(about.name, now);
        }
    }

    fn lift_name(&mut self, name: u64, now: Time) {
        for index in 0..self.records.len() {
            if name != 0 && !self.records[index].doubts.is_empty() && Rule::TakenBack.stands() {
                let route = RouteId(index as u16);
                self.lift(route, |doubt| doubt.attempt.about.name == name, now);
            }
        }
    }

    /// Takes back what these losses accused of their route, and of whoever was accused on its record.
    pub(in crate::route) fn lift(
        &mut self,
        route: RouteId,
        which: impl Fn(&Doubt) -> bool,
        now: Time,
    ) {
        let (flights, probation) = (&mut self.flights, &self.probation);
        let record = &mut self.records[route.0 as usize];
        let counted = record.doubts.lift(|doubt| {
            let lifted = which(doubt);
            if lifted && doubt.counted {
                flights.count(doubt.id, false);
            }
            lifted
        });
        if counted == 0 {
            return;
        }
        let Route { upstream, path, .. } = record.route;
        let own = record.health.withdraw(counted, true, now, probation);
        // Others may have had a part in what is held against these.
        let well = |of: &dyn Fn(&Route) -> bool| {
            let mut own = self
                .records
                .iter()
                .filter(|record| record.seat.is_in() && of(&record.route));
            own.all(|record| record.health.onset().is_none())
        };
        let (path_well, upstream_well) = (
            well(&|it| it.path == path),
            well(&|it| it.upstream == upstream),
        );
        let over = &mut self.paths[path.0 as usize];
        let of = &mut self.upstreams[upstream.0 as usize];
        let [over, of] = [(over, path_well), (of, upstream_well)].map(|(group, well)| {
            let health = group.accused().then_some(&mut group.health)?;
            health.withdraw(counted, well, now, probation)
        });
        if own.is_some() || over.is_some() || of.is_some() {
            self.changed(route, [over, of, own], now);
        }
    }

    /// A useless answer, and whether another upstream knew better.
    pub(in crate::route) fn was_poor(
        &mut self,
        upstream: UpstreamId,
        about: About,
        rcode: Option<Rcode>,
        compared: bool,
        now: Time,
    ) {
        // Half of an answer speaks against nobody, and nothing against who was taken out.
        let of = &self.upstreams[upstream.0 as usize];
        if rcode == Some(Rcode::NOERROR) || !of.seat.is_in() {
            return;
        }
        let answered = &self.upstreams[upstream.0 as usize].answered;
        let own_doing = self.is_mute_at(about, upstream, now);
        // What nobody knew better counts only of one that answers nothing else.
        let alone = !compared && answered.is_answering(now) && Rule::ComparedOrAlone.stands();
        if own_doing || alone {
            return;
        }
        if compared {
            self.failing.failed_at(about, upstream, now);
        }
        let desperate = self.is_desperate(|route| route.upstream == upstream);
        let group = &mut self.upstreams[upstream.0 as usize];
        group.bearer = None;
        let observation = Observation::Poor { rcode, compared };
        if let Some(change) = group.health.note(
            observation,
            Streak::default(),
            now,
            now,
            &self.probation,
            desperate,
        ) {
            self.upstream_changed(upstream, change, now);
        }
    }
}

#[cfg(test)]
mod tests;
