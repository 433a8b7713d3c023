//! Chains of aliases whose end is missing: it is asked for like any other name.

use super::core::Core;
use super::question::{Chase, New};
use crate::clock::Time;
use crate::net::Exchanges;
use crate::observe::metrics::Counter;
use crate::wire::Answer;

/// Ends that are asked for, for one question. Each may be a chain in itself.
const ENDS: u8 = 8;

impl<X: Exchanges> Core<X> {
    /// Every upstream that may be asked left out where `chain` ends. Those who wait for the question in `slot`
    /// wait for that, and others who ask the same join them. False if it cannot be asked for; then nothing has changed.
    pub(super) fn chase(&mut self, slot: usize, chain: Answer, now: Time) -> bool {
        let question = &self.questions[slot];
        let steps = 1 + question.chase.as_ref().map_or(0, |chase| chase.steps);
        if steps > ENDS || !question.is_shared() {
            return false;
        }
        let Some(asking) = chain.next_question(question.key.by_ref()) else {
            return false;
        };
        let chase = Chase {
            chain,
            asking: asking.by_ref().into(),
            steps,
        };
        let (key, hash, why) = (question.key.clone(), question.hash, question.why);
        let (led, prompt_by) = (question.lead.is_some(), question.prompt_by);
        // They keep their places among those who wait.
        let waiters = std::mem::take(&mut self.questions[slot].waiters);
        self.conclude(slot);
        let lead = if led { self.lead(hash, now).ok() } else { None };
        let new = New {
            key: key.by_ref(),
            hash,
            // The end may lie in another zone than the beginning.
            pool: self.shared.pool_of(asking.by_ref()),
            why,
            rd: true,
            lead,
            prompt_by,
            chase: Some(Box::new(chase)),
        };
        self.metrics.count(Counter::Chased, 1);
        self.begin(new, waiters, now);
        true
    }
}
