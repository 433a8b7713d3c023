//! Addresses for hosts that have no IPv4 (DNS64, RFC 6147): where a name has none of IPv6, its IPv4 ones are asked for, and IPv6
//! ones made of those.

use std::net::IpAddr;
use std::sync::Arc;

use super::core::Core;
use super::question::{Chase, New, made_of};
use crate::cache::Freshness;
use crate::clock::Time;
use crate::names::Names;
use crate::net::Exchanges;
use crate::observe::metrics::Counter;
use crate::wire::{Answer, Kind, QuestionKey, RecordType};

impl<X: Exchanges> Core<X> {
    /// Whether `answer` denies addresses that can be made. If so they have been put in its place (`false`), or are asked for
    /// (`true`): then those who wait for the question in `slot` wait for that.
    pub(super) fn make_addresses(&mut self, slot: usize, answer: &mut Answer, now: Time) -> bool {
        let names = self.shared.names();
        let (Some(asking), Some(dns64)) = (self.makes_of(slot, answer, &names), &names.dns64)
        else {
            return false;
        };
        let question = &self.questions[slot];
        let key = question.key.clone();
        let (key_ref, hash) = (key.by_ref(), question.hash);
        self.metrics.count(Counter::Dns64, 1);
        // Most clients ask for both.
        let cache = &self.shared.cache;
        let held = cache.read(&asking, cache.hash(&asking), self.life, |hit| {
            match hit.freshness {
                Freshness::Fresh { left, .. } => {
                    let mut made = made_of(hit.answer, key_ref, answer, dns64);
                    if let Some(made) = &mut made {
                        made.cap_ttls(0, left);
                    }
                    Some(made)
                }
                Freshness::Stale { .. } => None,
            }
        });
        if let Some(made) = held.flatten() {
            if let Some(made) = made {
                *answer = made;
            }
            return false;
        }
        let question = &mut self.questions[slot];
        let (pool, falls, why) = (question.pool, question.falls, question.why);
        let (led, prompt_by) = (question.lead.is_some(), question.prompt_by);
        let chase = Chase {
            chain: answer.clone(),
            asking: asking.by_ref().into(),
            steps: 1,
            made: Some(Arc::clone(dns64)),
        };
        let waiters = std::mem::take(&mut question.waiters);
        self.conclude(slot);
        let lead = if led { self.lead(hash, now).ok() } else { None };
        let new = New {
            key: key_ref,
            hash,
            pool,
            falls,
            why,
            rd: true,
            lead,
            prompt_by,
            chase: Some(Box::new(chase)),
        };
        self.begin(new, waiters, now);
        true
    }

    /// The question for what addresses are to be made of in place of `answer`; `None` if none are.
    fn makes_of(&self, slot: usize, answer: &Answer, names: &Names) -> Option<QuestionKey> {
        let question = &self.questions[slot];
        let key = question.key.by_ref();
        if key.record_type() != RecordType::AAAA
            || !question.is_shared()
            || question.chase.as_ref().is_some_and(|it| it.made.is_some())
            // Who checks signatures by itself must see what is signed (RFC 6147 section 5.5).
            || key.dnssec_ok() && key.checking_disabled()
        {
            return None;
        }
        let dns64 = names.dns64.as_ref()?;
        let counts = |ip: IpAddr| dns64.counts(ip);
        let has_none = match answer.kind() {
            Kind::NoData => true,
            Kind::Positive => !answer.addresses().any(counts),
            _ => false,
        };
        if !has_none || names.is_local(key.name()) {
            return None;
        }
        let (dnssec_ok, checking_disabled) = (key.dnssec_ok(), key.checking_disabled());
        let (name, class) = (key.name(), key.class());
        QuestionKey::new(name, RecordType::A, class, dnssec_ok, checking_disabled)
    }
}
