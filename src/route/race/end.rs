//! How a question ends without a useful answer.

use crate::clock::Time;
use crate::route::ask::{Failure, Finish, Step};
use crate::route::constants::race::attempts::*;
use crate::route::engine::Engine;
use crate::route::outcome::AttemptKind;
use crate::route::race::state::Race;
use crate::route::rules::Rule;

impl Race {
    pub(in crate::route) fn fail(
        &mut self,
        engine: &mut Engine,
        failure: Failure,
        now: Time,
        step: &mut Step,
    ) {
        if self.denial.is_some() {
            return self.await_earlier(engine, now, step);
        }
        if self.held.is_some() {
            return self.settle_for_poor(engine, now, step);
        }
        if !matches!(
            failure,
            Failure::Outage | Failure::NoRoute | Failure::Overload
        ) {
            engine.unanswered(self.ask.about, &self.tried, self.started, now);
        }
        self.end_in_vain(engine, Finish::Failed(failure), None, now, step);
    }

    pub(super) fn settle_for_poor(&mut self, engine: &mut Engine, now: Time, step: &mut Step) {
        if let Some(held) = self.held.take() {
            engine.was_poor(held.upstream, self.ask.about, held.rcode, false, now);
            engine.unanswered(self.ask.about, &self.tried, self.started, now);
            self.end_in_vain(engine, Finish::Poor(held.attempt), held.rcode, now, step);
        }
    }

    /// Ends the wait for a whole answer in place of a truncated one when no stream may bring it any more: at the
    /// first failure, or soon, if there is something to give, at the second otherwise. False if it goes on.
    pub(super) fn settle_for_partial(
        &mut self,
        engine: &mut Engine,
        now: Time,
        step: &mut Step,
    ) -> bool {
        if !Rule::Partial.stands() {
            return false;
        }
        let hoping = self
            .flying()
            .any(|flight| flight.kind != AttemptKind::Probe);
        let until = self.last_sent + POOR_HELD;
        let in_vain = self.truncated && !hoping && (self.partial || self.tried.len() >= TWICE);
        if in_vain || (self.partial && now >= until) {
            self.fail(engine, Failure::Partial, now, step);
        } else if self.partial {
            self.next_try = until;
        } else {
            return false;
        }
        true
    }
}
