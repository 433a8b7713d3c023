//! One question's attempts: what is known of them, and the steps that all rest on.

use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Time;
use crate::route::about::About;
use crate::route::ask::{Ask, Finish, Purpose, Send, Step};
use crate::route::constants::race::attempts::*;
use crate::route::engine::Engine;
use crate::route::ids::{RouteId, UpstreamId};
use crate::route::measure::in_flight::AttemptId;
use crate::route::outcome::AttemptKind;
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::wire::Rcode;

/// What an attempt is given of a route's wait.
pub(super) fn patient(wait: Duration, kind: AttemptKind) -> Duration {
    match kind {
        AttemptKind::StreamFallback => wait * STREAM_TIMEOUTS,
        _ => wait,
    }
}

#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Flight {
    pub(in crate::route) id: AttemptId,
    pub(in crate::route) route: RouteId,
    pub(in crate::route) kind: AttemptKind,
    /// Counted as lost then.
    pub(in crate::route) lost_at: Time,
    pub(in crate::route) lost: bool,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Held {
    pub(in crate::route) attempt: AttemptId,
    pub(in crate::route) upstream: UpstreamId,
    pub(in crate::route) rcode: Option<Rcode>,
    pub(in crate::route) until: Time,
}

/// A denial that is held back.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Denial {
    pub(super) flight: Flight,
    pub(super) until: Time,
}

/// The race itself. It is moved into its question, so its usual case, an attempt and perhaps a hedge, is what it has
/// room for in place.
#[derive(Clone, Debug)]
pub struct Race {
    pub(in crate::route) ask: Ask,
    pub(in crate::route) started: Time,
    /// Attempts under way, in the order they were made; at most [`MOST`].
    pub(in crate::route) flights: SmallVec<[Flight; 2]>,
    /// Routes asked so far, with repetitions; at most [`MOST`].
    pub(in crate::route) tried: SmallVec<[RouteId; MOST]>,
    pub(in crate::route) held: Option<Held>,
    /// A denial that is held back, and the attempt that is about to bring one.
    pub(in crate::route) denial: Option<Denial>,
    pub(in crate::route) denying: Option<AttemptId>,
    /// Who answered uselessly.
    pub(in crate::route) useless: SmallVec<[UpstreamId; 2]>,
    pub(in crate::route) last_sent: Time,
    /// When a further attempt is considered, and from when on without looking for a stall first.
    pub(in crate::route) next_try: Time,
    pub(in crate::route) hedge_at: Time,
    pub(in crate::route) refused: u32,
    pub(in crate::route) reopened: bool,
    /// The last attempt could not be made, and none is under way.
    pub(in crate::route) short: bool,
    /// An answer was truncated; the driver holds what there is of it.
    pub(in crate::route) truncated: bool,
    pub(in crate::route) partial: bool,
    pub(in crate::route) finished: bool,
    /// ... with an answer.
    pub(super) answered: bool,
    /// Those who come later extend it no further than this.
    pub(in crate::route) latest: Time,
}

impl Race {
    /// One that nothing was sent for yet.
    pub(super) fn new(ask: &Ask, now: Time) -> Race {
        Race {
            ask: *ask,
            started: now,
            latest: ask.deadline + ask.deadline.since(now),
            flights: SmallVec::new(),
            tried: SmallVec::new(),
            held: None,
            denial: None,
            denying: None,
            useless: SmallVec::new(),
            last_sent: now,
            next_try: Time::NEVER,
            hedge_at: Time::NEVER,
            refused: 0,
            reopened: false,
            short: false,
            truncated: false,
            partial: false,
            finished: false,
            answered: false,
        }
    }

    /// A client came that may wait until `deadline`: the race goes on for it, but in all no longer than twice
    /// as long as it was to take at first. By then every server has been asked as often as it may be, and
    /// those who ask for ever do not keep it from ending.
    pub fn extend(&mut self, deadline: Time) {
        if !self.finished {
            self.ask.deadline = self.ask.deadline.max(deadline.min(self.latest));
        }
    }

    /// A client waits that has no stale answer to fall back on.
    pub fn is_needed(&mut self) {
        if matches!(self.ask.purpose, Purpose::Held | Purpose::Renewal) {
            self.ask.purpose = Purpose::Client;
        }
    }

    /// What there is of a truncated answer is of use: whoever cannot ask over a stream need not wait long.
    pub fn hold_partial(&mut self) {
        self.partial = true;
    }

    /// What `attempt` is about to be said to have brought ([`Race::outcome`]) denies that the name has such data, or that it
    /// exists.
    pub fn denies(&mut self, attempt: AttemptId) {
        self.denying = Some(attempt);
    }

    /// The attempt whose denial is held back, if one is.
    pub fn denial(&self) -> Option<AttemptId> {
        self.denial.map(|denial| denial.flight.id)
    }

    pub(in crate::route) fn depart(
        &mut self,
        engine: &mut Engine,
        route: RouteId,
        kind: AttemptKind,
        now: Time,
    ) -> Send {
        let stream = kind == AttemptKind::StreamFallback;
        let about = match self.ask.purpose {
            Purpose::Probe(_) => About::PLAIN,
            _ => self.ask.about,
        };
        let attempt = engine.depart(route, kind, stream, about, now);
        let waits = engine.waits_of(route);
        let lost_at = now + patient(waits.lost, kind);
        let flight = Flight {
            id: attempt,
            route,
            kind,
            lost_at,
            lost: false,
        };
        if self.flights.len() < MOST {
            self.flights.push(flight);
        }
        if kind != AttemptKind::Probe {
            if self.tried.len() < MOST {
                self.tried.push(route);
            }
            self.last_sent = now;
            self.short = false;
            self.refused = 0;
            self.next_try = now + patient(waits.check, kind);
            self.hedge_at = now + patient(waits.hedge, kind);
        }
        Send {
            attempt,
            route,
            kind,
            stream,
        }
    }

    /// The answer of an attempt of this kind is used.
    pub(super) fn won(&self, engine: &mut Engine, kind: AttemptKind, now: Time) {
        engine.won(self.ask.pool, kind, now);
    }

    /// The question comes to nothing, or to a useless answer of this `rcode`.
    pub(super) fn end_in_vain(
        &mut self,
        engine: &mut Engine,
        finish: Finish,
        rcode: Option<Rcode>,
        now: Time,
        step: &mut Step,
    ) {
        if self.ask.purpose == Purpose::Client {
            engine.asked_in_vain(self.ask.pool, self.ask.about, rcode, now);
        }
        self.finish(finish, step);
    }

    /// Whether the question was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    pub(in crate::route) fn finish(&mut self, finish: Finish, step: &mut Step) {
        debug_assert!(!self.finished, "a race finishes once");
        self.finished = true;
        self.answered = matches!(finish, Finish::Answer(_));
        step.finish = Some(finish);
    }

    pub(in crate::route) fn close(&self, step: &mut Step, now: Time) {
        step.done = self.finished && !self.is_flying();
        if step.done {
            return;
        }
        let mut wake = self.ask.deadline.min(self.next_loss());
        if !self.finished {
            wake = wake.min(self.next_try);
            if let Some(held) = self.held {
                wake = wake.min(held.until);
            }
        }
        step.wake = Some(wake.max(now + WAKE_LEAST));
    }

    pub(super) fn refused_until(&mut self, now: Time) -> Time {
        let doublings = match Rule::RefusedBackOff.stands() {
            true => self.refused.min(REFUSED_DOUBLINGS),
            false => 0,
        };
        let wait = REFUSED_STEP * (1 << doublings);
        self.refused += 1;
        now + wait
    }

    pub(super) fn next_loss(&self) -> Time {
        let open = self.flying().filter(|flight| !flight.lost);
        open.map(|flight| flight.lost_at)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Something is under way that the question may still hope for.
    pub(super) fn is_waiting(&self) -> bool {
        self.flying()
            .any(|flight| !flight.lost && flight.kind != AttemptKind::Probe)
    }

    pub(super) fn is_flying(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(super) fn flying(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter()
    }

    pub(in crate::route) fn has_room(&self) -> bool {
        self.tried.len() < MOST && self.flights.len() < MOST
    }

    pub(in crate::route) fn remove(&mut self, attempt: AttemptId) -> Option<Flight> {
        let index = self.flights.iter().position(|it| it.id == attempt)?;
        Some(self.flights.remove(index))
    }

    /// When its next packet may go out, for all those before it that nothing has come of. What failed for a reason,
    /// as a port that nobody listens on, is no sign of a jam.
    pub(in crate::route) fn backed_off(&self) -> Time {
        match self.silent().count() {
            0 | 1 => self.started,
            _ if !Rule::ThirdWaits.stands() => self.started,
            silent => self.started + BACK_OFF * ((1 << (silent - 1)) - 1),
        }
    }

    /// Its attempts that nothing has come of, lost or not.
    pub(in crate::route) fn silent(&self) -> impl Iterator<Item = &Flight> {
        let flights = self.flights.iter();
        flights.filter(|it| it.kind != AttemptKind::Probe)
    }

    /// What a further packet is paid as while nothing is clear.
    pub(super) fn charge_again(&self) -> Charge {
        match self.silent().next() {
            Some(_) => Charge::AfterSilence,
            None => Charge::Again,
        }
    }

    /// Whether its packets brought nothing over ways that have all answered what was sent later: then a further one
    /// will bring nothing either. An answer that only takes long may still come.
    pub(super) fn is_its_own_fault(&self, engine: &Engine) -> bool {
        let answered_elsewhere = |flight: &Flight| engine.is_overtaken(flight.id, flight.route);
        Rule::OwnFault.stands()
            && self.silent().count() >= ENOUGH
            && self.silent().all(answered_elsewhere)
    }
}
