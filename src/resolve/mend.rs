//! What a panic leaves behind, and how it is put in order.
//!
//! A panic is a defect of byway. It costs the question it happened to, whose clients are told if they can be, and
//! nothing else: room in limits and the leadership of questions are given back when what holds them is dropped
//! ([`Room`](super::inflight::Room), [`Lead`](super::inflight::Lead)), and here the question itself is
//! taken out, with its attempts. What was to be looked after in the same turn and was not is looked after next.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::core::Core;
use super::question::Attempt;
use super::waiters::Waiters;
use crate::clock::Time;
use crate::net::Exchanges;
use crate::observe::metrics::QueryResult;
use crate::wire::{self, Ede, Rcode};

/// Told to clients whose question was lost.
const DEFECT: Ede<'static> = Ede::OTHER.with_text("a defect of byway; please report it");

impl<X: Exchanges> Core<X> {
    /// Does `work`, a turn or a part of one. If it panics (the panic's hook has told where), what it was
    /// about is given up, as of `now`.
    ///
    /// # Panics
    /// If nothing can be put in order: this core is of no use any more.
    pub fn shielded<R>(
        &mut self,
        now: impl FnOnce() -> Time,
        work: impl FnOnce(&mut Core<X>) -> R,
    ) -> Option<R> {
        self.at = None;
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => Some(done),
            Err(_) => {
                self.mend(now());
                None
            }
        }
    }

    /// Notes which question is being worked on.
    #[inline]
    pub(super) fn at(&mut self, slot: usize) {
        let generation = self.questions.get(slot).map(|question| question.generation);
        self.at = generation.map(|generation| (slot as u32, generation));
    }

    #[cold]
    fn mend(&mut self, now: Time) {
        if let Some((slot, generation)) = self.at.take() {
            let slot = slot as usize;
            let lost = self.questions.get(slot);
            if lost.is_some_and(|question| question.generation == generation) {
                self.give_up(slot, now);
            }
        }
        // Whoever has no wake-up was to be looked after in this turn, and must not wait for ever.
        let unwatched = self.questions.iter();
        let unwatched = unwatched.filter(|(_, question)| question.timer.is_none());
        let unwatched: Vec<usize> = unwatched.map(|(slot, _)| slot).collect();
        for slot in unwatched {
            if self.questions[slot].next_wake() == Time::NEVER {
                self.give_up(slot, now);
            } else {
                self.schedule(slot, now);
            }
        }
    }

    /// Takes a question out of everything, whatever state it is in. It is out of the books before anything is
    /// done that might panic anew.
    fn give_up(&mut self, slot: usize, now: Time) {
        self.leave_backlog(slot);
        let mut question = self.questions.remove(slot);
        let of_it = |attempt: &Attempt| attempt.question as usize == slot;
        let attempts = self.attempts.iter();
        let attempts = attempts.filter(|(_, attempt)| of_it(attempt));
        let tags: Vec<usize> = attempts.map(|(tag, _)| tag).collect();
        let handles: Vec<_> = tags
            .into_iter()
            .filter_map(|tag| Some((tag, self.attempts.remove(tag).handle?)))
            .collect();
        if let Some((_, timer)) = question.timer.take() {
            self.timers.cancel(timer);
        }
        let waiters = std::mem::take(&mut question.waiters);
        let race = question.race.take();
        drop(question);
        if let Some(race) = race {
            race.break_off(&mut self.shared.engine());
        }
        for (tag, handle) in handles {
            self.exchanges.forget(handle, tag as u32);
        }
        self.excuse(waiters, now);
    }

    /// Tells clients that their question was lost. What it happened to may be their very answers' way.
    fn excuse(&self, waiters: Waiters, now: Time) {
        for waiter in waiters {
            let (asked, payload) = (waiter.asked.as_ref(), self.shared.payload);
            let tell = AssertUnwindSafe(|| {
                let write = &mut |out: &mut [u8], _| {
                    wire::write_error(&asked, Rcode::SERVFAIL, Some(DEFECT), payload, out)
                };
                self.replies
                    .reply(waiter.asker, QueryResult::Failed, now, write);
            });
            let _ = catch_unwind(tell);
        }
    }
}

#[cfg(test)]
mod tests;
