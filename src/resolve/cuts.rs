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
use crate::clock::Time;
use crate::names::suffixes;
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::route::PoolId;
use crate::wire::{Asked, CLASS_IN, KeyRef, QuestionKey, RecordType, Render, TtlRule};

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
        let names = self.shared.names();
        let zone = names.zones.cuts(key.name());
        for above in suffixes(key.name()).skip(1).take_while(|it| it.len() > 1) {
            let above_key = with_name(key.by_ref(), above, key.record_type())?;
            let Some(held) = cache.denied_of_any(&above_key) else {
                continue;
            };
            let in_zone = zone.is_some_and(|zone| above.len() > zone.len());
            let hash = cache.hash(&held);
            let denial = cache.read(&held, hash, self.life, |hit| {
                let is_fresh = matches!(hit.freshness, Freshness::Fresh { .. });
                let is_believed = in_zone || hit.answer.is_authenticated();
                let is_good = is_fresh && is_believed && hit.answer.denies_name();
                is_good.then(|| (hit.answer.denies_below(key.question()), hit.age))
            });
            let Some((Some(denial), age)) = denial.flatten() else {
                continue;
            };
            // Names that must not vanish are asked for themselves.
            if self.shared.guard.covers(key.name()) {
                return None;
            }
            let render = Render {
                ttl: TtlRule::Minus(age),
                limit,
                payload: self.shared.payload,
                ede: None,
                turn: 0,
            };
            let length = denial.write(asked, &render, out);
            self.metrics.count(Counter::CacheHit, 1);
            self.metrics.count(Counter::DeniedAbove, 1);
            return Some(Turn::Answer {
                length,
                result: QueryResult::Hit,
            });
        }
        None
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

/// The same question for another name and type.
fn with_name(key: KeyRef<'_>, name: &[u8], record_type: RecordType) -> Option<QuestionKey> {
    let (dnssec_ok, checking_disabled) = (key.dnssec_ok(), key.checking_disabled());
    QuestionKey::new(name, record_type, CLASS_IN, dnssec_ok, checking_disabled)
}
