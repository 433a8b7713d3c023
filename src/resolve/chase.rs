//! Chains of aliases whose end is missing: it is asked for like any other name.

use super::core::Core;
use super::question::{Chase, New};
use crate::clock::Time;
use crate::net::Exchanges;
use crate::observe::metrics::Counter;
use crate::route::PoolId;
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
            made: None,
        };
        let (key, hash, why) = (question.key.clone(), question.hash, question.why);
        let (led, prompt_by) = (question.lead.is_some(), question.prompt_by);
        let terms = self.shared.terms_of(asking.by_ref());
        // They keep their places among those who wait.
        let waiters = std::mem::take(&mut self.questions[slot].waiters);
        self.conclude(slot);
        let lead = if led { self.lead(hash, now).ok() } else { None };
        let new = New {
            key: key.by_ref(),
            hash,
            // The end may lie in another zone than the beginning.
            pool: PoolId(terms.pool),
            falls: terms.fall_through,
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
    /// The upstreams of its zone could not answer the question in `slot`: those who wait for it wait for the main ones, if the zone
    /// wants that. False if not; then nothing has changed.
    pub(super) fn fall_through(&mut self, slot: usize, now: Time) -> bool {
        let question = &mut self.questions[slot];
        if !question.falls {
            return false;
        }
        self.trace(slot, now, || {
            "its zone's upstreams cannot answer: asked of those of all other names".into()
        });
        let question = &mut self.questions[slot];
        let (key, hash, why) = (question.key.clone(), question.hash, question.why);
        let (led, prompt_by, rd) = (question.lead.is_some(), question.prompt_by, question.rd);
        let chase = question.chase.take();
        let waiters = std::mem::take(&mut question.waiters);
        self.conclude(slot);
        let lead = if led { self.lead(hash, now).ok() } else { None };
        let new = New {
            key: key.by_ref(),
            hash,
            pool: PoolId::MAIN,
            falls: false,
            why,
            rd,
            lead,
            prompt_by,
            chase,
        };
        self.metrics.count(Counter::FellThrough, 1);
        self.begin(new, waiters, now);
        true
    }
}
