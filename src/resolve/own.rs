//! Names that byway answers by itself: those whose records are known here, and special ones. They are looked for where the
//! cache holds no fresh answer: what is never asked of anybody is never held, and so a hit pays nothing for them.

use std::sync::atomic::Ordering::Relaxed;

use super::core::Core;
use super::front::Turn;
use super::question::{Chase, New, Why};
use crate::names::{Names, Records, Said, is_private};
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::route::PoolId;
use crate::wire::{
    Answer, Asked, Ede, KeyRef, Own, QuestionKey, Rcode, RecordType, Render, TtlRule, own_answer,
    own_denial, write_own,
};

/// The longest chain of aliases that is followed here.
const STEPS: usize = 8;
/// TTL of what says that a type is filtered, in seconds.
const FILTERED_TTL: u32 = 300;
/// TTL of what stands in place of an answer that leads into this network, in seconds.
const FORBIDDEN_TTL: u32 = 60;
const FORBIDDEN: Ede<'static> =
    Ede::FILTERED.with_text("the answer leads to a private address (DNS rebinding)");

impl<X: Exchanges> Core<X> {
    /// Answers a question for a name that nobody is asked for, if it is one.
    pub(super) fn own(
        &self,
        key: KeyRef<'_>,
        asked: &Asked<'_>,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let (names, payload) = (self.shared.names(), self.shared.payload);
        let hosts = names.hosts();
        let local = names.records.find(key.name());
        let length = match local.or_else(|| hosts.find(key.name())) {
            Some(records) => match records.alias(key.record_type()) {
                None => {
                    let turn = u32::from(asked.id) * u32::from(self.shared.rotate.load(Relaxed));
                    write_records(records, key.record_type(), turn, asked, limit, payload, out)
                }
                // Where it ends elsewhere, that is asked for as any other name is.
                Some(_) => {
                    let answer = finished(&names, key)?;
                    let render = Render {
                        ttl: TtlRule::AsStored,
                        limit,
                        payload,
                        ede: None,
                        turn: 0,
                    };
                    answer.write(asked, &render, out)
                }
            },
            None if names.zones.filters(key.name(), key.record_type()) => {
                let own = Own {
                    rcode: Rcode::NOERROR,
                    zone_at: 0,
                    negative_ttl: FILTERED_TTL,
                    ede: Some(Ede::FILTERED),
                };
                write_own(asked, &own, std::iter::empty(), limit, payload, out)
            }
            None => {
                let said = names
                    .special
                    .find(key.name(), key.record_type(), &names.zones)?;
                write_said(&said, asked, limit, payload, out)
            }
        };
        Some(Turn::Answer {
            length,
            result: QueryResult::Local,
        })
    }

    /// Takes an answer that leads into this network back, where its zone forbids that (DNS rebinding).
    pub(super) fn protect(&self, slot: usize, answer: &mut Answer) {
        let key = self.questions[slot].key.by_ref();
        if self.is_forbidden(key, answer)
            && let Some(denial) = own_denial(key.question(), FORBIDDEN_TTL, FORBIDDEN)
        {
            self.metrics.count(Counter::RebindingRefused, 1);
            *answer = denial;
        }
    }

    /// Whether an answer leads into this network, and must not.
    pub(super) fn is_forbidden(&self, key: KeyRef<'_>, answer: &Answer) -> bool {
        !self.shared.terms_of(key).private_addresses && answer.addresses().any(is_private)
    }

    /// A question for an alias of the configuration is one for where it leads.
    pub(super) fn follow_alias(&self, new: &mut New<'_>) {
        let names = self.shared.names();
        if names.records.is_empty()
            || new.chase.is_some()
            || matches!(new.why, Why::Probe(_) | Why::Loop(_))
        {
            return;
        }
        if let Some((chain, asking)) = chain(&names, new.key) {
            let terms = self.shared.terms_of(asking.by_ref());
            (new.pool, new.falls) = (PoolId(terms.pool), terms.fall_through);
            new.chase = Some(Box::new(Chase {
                chain,
                asking: asking.by_ref().into(),
                steps: 1,
            }));
        }
    }
}

/// The aliases from this name on that are known here, and what is asked where they end; `None` if it is no alias, or they go
/// in a circle.
fn chain(names: &Names, key: KeyRef<'_>) -> Option<(Answer, QuestionKey)> {
    let alias = |name: &[u8], question: &[u8], record_type: RecordType| {
        let record = names.records.find(name)?.alias(record_type)?;
        own_answer(question, std::iter::once(record))
    };
    let mut chain = alias(key.name(), key.question(), key.record_type())?;
    for _ in 0..STEPS {
        let asking = chain.next_question(key)?;
        match alias(asking.name(), asking.question(), asking.record_type()) {
            Some(next) => chain = chain.followed_by(&next)?,
            None => return Some((chain, asking)),
        }
    }
    None
}

/// The answer of aliases that end in a name whose records are known here.
fn finished(names: &Names, key: KeyRef<'_>) -> Option<Answer> {
    let (chain, end) = chain(names, key)?;
    let hosts = names.hosts();
    let local = names.records.find(end.name());
    let records = local.or_else(|| hosts.find(end.name()))?;
    let end = own_answer(end.question(), records.of(end.record_type()))?;
    chain.followed_by(&end)
}

fn write_records(
    records: Records<'_>,
    record_type: RecordType,
    turn: u32,
    asked: &Asked<'_>,
    limit: usize,
    payload: u16,
    out: &mut [u8],
) -> usize {
    let own = Own {
        rcode: Rcode::NOERROR,
        zone_at: 0,
        negative_ttl: records.ttl(),
        ede: None,
    };
    let of_type = records.of(record_type);
    let count = of_type.clone().count();
    let turn = turn as usize % count.max(1);
    let turned = of_type.clone().skip(turn).chain(of_type.take(turn));
    write_own(asked, &own, turned, limit, payload, out)
}

fn write_said(said: &Said, asked: &Asked<'_>, limit: usize, payload: u16, out: &mut [u8]) -> usize {
    let own = Own {
        rcode: said.rcode,
        zone_at: said.zone_at,
        negative_ttl: said.ttl,
        ede: said
            .records
            .is_empty()
            .then_some(Ede::OTHER.with_text(said.why)),
    };
    let records = said.records.iter().copied();
    write_own(asked, &own, records, limit, payload, out)
}
