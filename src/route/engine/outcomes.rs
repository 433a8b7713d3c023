//! Evidence: attempts leave, land and are lost, and each end moves what is known of its route.

use std::time::Duration;

use crate::clock::Time;
use crate::observe::said::Said;
use crate::route::about::About;
use crate::route::choose::Rank;
use crate::route::engine::Engine;
use crate::route::ids::{PoolId, RouteId, UpstreamId};
use crate::route::judge::classify::{Facts, classify};
use crate::route::judge::counts::{Observation, Observed};
use crate::route::measure::in_flight::{Attempt, AttemptId, Departure};
use crate::route::measure::service_time::Tail;
use crate::route::measure::stream::{HeldUp, StreamFacts};
use crate::route::outcome::{AttemptKind, Outcome};
use crate::route::rules::Rule;

impl Engine {
    /// An attempt leaves over `route`.
    pub(in crate::route) fn depart(
        &mut self,
        route: RouteId,
        kind: AttemptKind,
        stream: bool,
        about: About,
        now: Time,
    ) -> AttemptId {
        let mute = self.is_mute(about, route, now);
        let record = &mut self.records[route.0 as usize];
        record.asked = now;
        record.sent += 1;
        match kind {
            AttemptKind::Hedge => self.hedges.sent += 1,
            AttemptKind::Retry => self.hedges.retries += 1,
            AttemptKind::Probe => self.hedges.trials += 1,
            _ => {}
        }
        // What says nothing leaves no gap in a streak of good answers: a host that asks for names that fail would wait for
        // ever for a server that is well again.
        record.departed = record.departed.wrapping_add(u32::from(!mute));
        let departure = Departure {
            route,
            kind,
            stream,
            serial: record.departed,
            about,
            mute,
        };
        let id = self.flights.depart(&mut record.queue, departure, now);
        self.stalls.departed(record);
        id
    }

    /// Nothing will be learnt of an attempt: it is under way no longer.
    pub(in crate::route) fn forget(&mut self, id: AttemptId) {
        if let Some(attempt) = self.flights.get(id) {
            let record = &mut self.records[attempt.route.0 as usize];
            self.flights.land(id, &mut record.queue);
            self.stalls.moved(record);
        }
    }

    /// The connection that an attempt over `route` waited for stands: its round trip begins.
    pub(in crate::route) fn connected(&mut self, id: AttemptId, route: RouteId, now: Time) {
        let record = &mut self.records[route.0 as usize];
        self.flights.connected(id, &mut record.queue, now);
        self.stalls.moved(record);
    }

    /// What the kernel says of the connection of an attempt that is `answered` now, or overdue.
    pub fn carried(
        &mut self,
        id: AttemptId,
        stream_facts: &StreamFacts,
        answered: bool,
        now: Time,
    ) {
        let Some(attempt) = self.flights.get(id) else {
            return;
        };
        let record = self.record_mut(attempt.route);
        record.tcp_resent += u64::from(stream_facts.resent);
        record.tcp_round_trip = Some(stream_facts.round_trip);
        let held_up = match answered {
            true => stream_facts.of_answer(now.since(attempt.sent)),
            false => stream_facts.of_silence(),
        };
        self.flights.carried(id, stream_facts.resent > 0, held_up);
    }

    /// An attempt was held up by the host as it left, until `left` at the latest.
    pub(in crate::route) fn delayed(&mut self, id: AttemptId, left: Time) {
        if let Some(attempt) = self.flights.get(id) {
            let record = &mut self.records[attempt.route.0 as usize];
            self.flights.delayed(id, &mut record.queue, left);
            self.stalls.moved(record);
        }
    }

    /// Why an attempt over `route` brings nothing, in the words of who said so: told before its outcome.
    pub fn said(&mut self, route: RouteId, said: Said, now: Time) {
        self.record_mut(route).said = Some((now, said));
    }

    /// What was said last over each route that is not clear.
    pub fn last_words(&self, pool: PoolId) -> impl Iterator<Item = (RouteId, Said)> + '_ {
        let records = self.records_of(pool);
        records
            .filter(|(_, record)| !matches!(record.rank, Rank::Clear | Rank::Unknown | Rank::Out))
            .map(|(id, record)| (id, record.said.map_or(Said::Nothing, |(_, said)| said)))
    }

    /// An attempt ended, between `looked` and `now`: its answer had not come when it was last looked for. Only
    /// what that proves speaks against anybody; what is later than that may be the host's own doing. True if the answer was
    /// useful, and in time.
    pub(in crate::route) fn land(
        &mut self,
        id: AttemptId,
        outcome: Outcome,
        looked: Time,
        now: Time,
    ) -> bool {
        let Some(attempt) = self.flights.get(id) else {
            return false;
        };
        if outcome.came_back() {
            return self.came_back(id, attempt, outcome.is_useful(), looked, now);
        }
        let record = &mut self.records[attempt.route.0 as usize];
        let in_flight = record.queue.len();
        self.flights.land(id, &mut record.queue);
        self.stalls.look_again();
        match outcome {
            // A wait cut short by the driver teaches nothing.
            Outcome::TimedOut
                if !attempt.lost
                    && now.since(attempt.sent) >= self.record(attempt.route).round_trips.rto() =>
            {
                self.was_lost(id, attempt, in_flight, now);
            }
            // No name makes a kernel say that there is no way.
            Outcome::Unreachable(_) | Outcome::HandshakeFailed(_) if !attempt.lost => {
                let mut attempt = attempt;
                attempt.vouched = true;
                self.was_lost(id, attempt, in_flight, now);
            }
            _ => {}
        }
        false
    }

    /// A packet came back. True if it was useful, and in time.
    fn came_back(
        &mut self,
        id: AttemptId,
        attempt: Attempt,
        useful: bool,
        looked: Time,
        now: Time,
    ) -> bool {
        let route = attempt.route;
        self.heard(route, useful, now);
        let rtt = now.since(attempt.sent);
        let answered_elsewhere = attempt.answered_elsewhere && !self.others_are_slow(route, rtt);
        let record = &mut self.records[route.0 as usize];
        let in_flight = record.queue.len();
        self.flights.land(id, &mut record.queue);
        record.recent.came_back(!attempt.lost, useful, now);
        let facts = record.facts(&attempt, useful, answered_elsewhere, looked, now);
        let observation = classify(facts);
        let in_time = observation == Observation::Good;
        record.note_answer(id, &attempt, useful, in_time);
        if in_time && !attempt.mute {
            self.usual.learn(false);
        }
        let measured = self
            .record(route)
            .measured(&attempt, observation, looked, now);
        // A fallback's round trip holds a handshake and says nothing about datagrams.
        let telling = attempt.kind != AttemptKind::StreamFallback && (useful || in_time);
        if let Some(measured) = measured.filter(|_| telling) {
            self.learn(&attempt, facts, observation, measured, now);
        }
        self.answers_at_last(route, now);
        if useful {
            self.answered_usefully(&attempt, now);
        }
        let record = &mut self.records[route.0 as usize];
        self.stalls.moved(record);
        let stretch = record.round_trips.stretch();
        record.limit.answered(in_flight, stretch, rtt, now);
        if attempt.resent && !attempt.lost {
            record.limit.lost(in_flight, now);
        }
        // One whose loss would say nothing earns no trust either.
        let counts = useful || !attempt.mute;
        if counts && (observation.is_blameless() || !self.is_self_made(route, in_flight, now)) {
            let observed = Observed {
                observation,
                held_up: held_up(&attempt, observation),
                took: Some(rtt),
            };
            self.weigh(attempt, observed, useful, now);
        }
        if in_time {
            self.refute(route, attempt.sent, now);
        }
        useful && in_time
    }

    /// Learns from a round trip what the route, and its server, take.
    fn learn(
        &mut self,
        attempt: &Attempt,
        facts: Facts,
        observation: Observation,
        measured: Duration,
        now: Time,
    ) {
        let record = &mut self.records[attempt.route.0 as usize];
        let was_lost = attempt.lost || attempt.resent;
        let slow = matches!(observation, Observation::Slow { .. });
        let in_time = observation == Observation::Good;
        let at_peace = matches!(record.rank, Rank::Clear | Rank::Unknown);
        let clear = at_peace && !was_lost && !slow;
        record.round_trips.sample(measured, now, clear, in_time);
        let over = measured.saturating_sub(record.round_trips.base().unwrap_or(measured));
        let upstream = record.route.upstream;
        // Where questions are few none overtakes it; but no jam is over with the next.
        let mut before = None;
        if in_time {
            before = record
                .unconfirmed
                .take()
                .filter(|_| record.rank <= Rank::Suspect);
        } else if observation != Observation::Censored
            && !(facts.overtaken || facts.answered_elsewhere)
        {
            record.unconfirmed = Some(over);
        }
        if facts.useful && ((slow && facts.overtaken) || in_time) {
            self.learn_service_time(upstream, over, now);
        }
        if let Some(before) = before.filter(|_| Rule::AloneBetween.stands()) {
            self.learn_service_time(upstream, before, now);
        }
    }

    /// A question was answered usefully: it does not fail, and its server answers.
    fn answered_usefully(&mut self, attempt: &Attempt, now: Time) {
        let record = self.record_mut(attempt.route);
        record.useful_at = now;
        if attempt.about != About::PLAIN {
            record.served_at = now;
        }
        let upstream = record.route.upstream;
        self.failing.answered(attempt.about);
        self.failing.answered_at(attempt.about, upstream);
        let of = &mut self.upstreams[upstream.0 as usize];
        of.answered.note(attempt.about.kind, now);
    }

    /// Whether other servers than this route's are known to take about as long for some questions, too: that one
    /// of them answered in time is chance then.
    fn others_are_slow(&self, route: RouteId, rtt: Duration) -> bool {
        let own = self.record(route).route.upstream;
        let mut others = (0u16..).zip(&self.upstreams);
        others.any(|(id, of)| {
            Rule::OthersAreSlow.stands()
                && UpstreamId(id) != own
                && of.seat.is_in()
                && 2 * of.service_times.tail().far >= rtt
        })
    }

    /// An answer of `upstream` took `over` longer than the base, its question's own doing. All its routes, and
    /// those of servers of which nothing is known, wait accordingly.
    fn learn_service_time(&mut self, upstream: UpstreamId, over: Duration, now: Time) {
        let of = &mut self.upstreams[upstream.0 as usize];
        if !of.service_times.learn(over, now) {
            return;
        }
        let all = self.upstreams.iter().filter(|group| group.seat.is_in());
        let tails = all.map(|group| group.service_times.tail());
        let any = tails.fold(Tail::default(), Tail::max);
        for record in &mut self.records {
            let own = self.upstreams[record.route.upstream.0 as usize]
                .service_times
                .tail();
            record.round_trips.expect_slow(match own.known {
                true => own,
                false => any,
            });
        }
        self.stalls.look_again();
    }

    /// An attempt's retransmission timeout passed; it goes on listening.
    pub(in crate::route) fn lose(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.flights.get(id).filter(|attempt| !attempt.lost) else {
            return;
        };
        let record = &mut self.records[attempt.route.0 as usize];
        let in_flight = record.queue.len();
        self.flights.lose(id, &mut record.queue);
        self.stalls.look_again();
        self.was_lost(id, attempt, in_flight, now);
    }

    fn was_lost(&mut self, id: AttemptId, attempt: Attempt, in_flight: u32, now: Time) {
        let Attempt { route, sent, .. } = attempt;
        let record = self.record(route);
        let nobody = self.paths[record.route.path.0 as usize].missing || sent < self.woke;
        if !record.seat.is_in() || nobody && Rule::NobodyThere.stands() {
            return;
        }
        self.record_mut(route).recent.lost(now);
        // It may have become known only now that the name fails.
        if self.is_mute(attempt.about, route, now) {
            return;
        }
        let self_made = self.is_self_made(route, in_flight, now);
        let record = self.record_mut(route);
        record.lost_sent = record.lost_sent.max(sent);
        record.lost_at = now;
        record.limit.lost(in_flight, now);
        if self_made {
            return;
        }
        if attempt.vouched {
            self.count_loss(id, attempt, now);
        } else if record.good_sent < sent {
            record.doubts.add(id, attempt);
            self.count_silence(route, now);
        } else {
            self.hangs(attempt.about, now);
        }
    }
}

/// Where an answered attempt was held up, by what TCP saw, if that was not taken into account yet.
fn held_up(attempt: &Attempt, observation: Observation) -> Option<HeldUp> {
    match observation {
        Observation::Resent { .. } => Some(HeldUp::OnTheWay),
        Observation::Late | Observation::Found => attempt.held_up.filter(|_| !attempt.told),
        _ => None,
    }
}
