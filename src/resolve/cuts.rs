//! Names below a name that does not exist (RFC 8020).
//!
//! A search list turns each name into several, most of which do not exist: `www.example.com` into
//! `www.example.com.svc.cluster.local` and so on. One answer that there is no `com.svc.cluster.local` denies them all. It is
//! believed where the operator says that the zone's servers know of empty names, or the upstream has validated it: some
//! servers deny names that have others below them. Nobody asks for that name, so byway does, once for each cut.

use super::core::Core;
use super::front::Turn;
use super::question::Why;
use crate::cache::Freshness;
use crate::clock::{Life, Time};
use crate::names::suffixes;
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::route::PoolId;
use crate::wire::{Asked, CLASS_IN, Ede, KeyRef, QuestionKey, RecordType, Render, TtlRule};

impl<X: Exchanges> Core<X> {
    /// Answers a question for a name below one that is known not to exist.
    pub(super) fn denied_above(
        &self,
        key: &QuestionKey,
        asked: &Asked<'_>,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let cache = &self.shared.cache;
        let held = self.shared.cut_above(key, self.life)?;
        let denial = cache.read(&held, cache.hash(&held), self.life, |hit| {
            (hit.answer.denies_below(key.question()), hit.age)
        });
        let (denial, age) = denial?;
        let render = Render {
            ttl: TtlRule::Minus(age),
            limit,
            payload: self.shared.payload,
            ede: Some(CUT),
            turn: 0,
        };
        let length = denial?.write(asked, &render, out);
        self.metrics.count(Counter::CacheHit, 1);
        self.metrics.count(Counter::DeniedAbove, 1);
        Some(Turn::Answer {
            length,
            result: QueryResult::Hit,
        })
    }

    /// A name does not exist: the highest one above it of which nothing is known is asked for, in its zone.
    pub(super) fn look_for_cut(&mut self, key: KeyRef<'_>, now: Time) {
        let names = self.shared.names();
        let Some(zone) = names.zones.cuts(key.name()) else {
            return;
        };
        let above = suffixes(key.name()).skip(1);
        let mut above: Vec<&[u8]> = above.take_while(|it| it.len() > zone.len()).collect();
        above.reverse();
        for name in above {
            let Some(asking) = with_name(key, name, RecordType::A) else {
                return;
            };
            let hash = self.shared.cache.hash(&asking);
            let life = self.life;
            match self.shared.cache.look(&asking, life) {
                Some(look) if matches!(look.freshness, Freshness::Fresh { .. }) => {
                    if look.rcode == crate::wire::Rcode::NXDOMAIN {
                        return;
                    }
                }
                _ => {
                    let key = asking.by_ref();
                    let own = names.is_local(key.name())
                        || self.shared.failures.last(key, hash, life).is_some();
                    if !own {
                        let pool = PoolId(self.shared.terms_of(key).pool);
                        self.renew(key, hash, pool, Why::Refresh, Time::NEVER, now);
                    }
                    return;
                }
            }
        }
    }
}

/// Told beside a denial that was made for a name above.
const CUT: Ede<'static> =
    Ede::SYNTHESIZED.with_text("a name above this one does not exist (RFC 8020)");

impl super::shared::Shared {
    /// The question whose answer, held and fresh, says that some name above that of `key` does not exist, if that is believed
    /// of its zone. Names under guard are always asked for themselves.
    pub fn cut_above(&self, key: &QuestionKey, life: Life) -> Option<QuestionKey> {
        let names = self.names();
        let zone = names.zones.cuts(key.name());
        let mut above = suffixes(key.name()).skip(1).take_while(|it| it.len() > 1);
        let found = above.find_map(|above| {
            let above_key = with_name(key.by_ref(), above, key.record_type())?;
            let held = self.cache.denied_of_any(&above_key)?;
            let in_zone = zone.is_some_and(|zone| above.len() > zone.len());
            let hash = self.cache.hash(&held);
            let holds = self.cache.read(&held, hash, life, |hit| {
                let is_fresh = matches!(hit.freshness, Freshness::Fresh { .. });
                let is_believed = in_zone || hit.answer.is_authenticated();
                is_fresh && is_believed && hit.answer.denies_name()
            });
            holds.unwrap_or(false).then_some(held)
        });
        found.filter(|_| !self.guard.covers(key.name()))
    }
}

/// The same question for another name and type.
fn with_name(key: KeyRef<'_>, name: &[u8], record_type: RecordType) -> Option<QuestionKey> {
    let (dnssec_ok, checking_disabled) = (key.dnssec_ok(), key.checking_disabled());
    QuestionKey::new(name, record_type, CLASS_IN, dnssec_ok, checking_disabled)
}
