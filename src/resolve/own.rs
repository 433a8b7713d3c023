//! Names that byway answers by itself: those whose records are known here, and special ones. They are looked for where the
//! cache holds no fresh answer: what is never asked of anybody is never held, and so a hit pays nothing for them.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use super::core::Core;
use super::front::Turn;
use super::question::{Chase, New, Why};
use crate::names::{Dns64, Names, Records, Said, is_private};
use crate::net::Exchanges;
use crate::observe::metrics::{Counter, QueryResult};
use crate::route::PoolId;
use crate::wire::{
    Answer, Asked, Ede, KeyRef, OWN_SERVER, Own, OwnRecord, QuestionKey, Rcode, RecordType, Render,
    TtlRule, own_answer, own_denial, own_soa, write_own,
};

/// The longest chain of aliases that is followed here.
const STEPS: usize = 8;
/// TTL of what says that a type is filtered, in seconds.
const FILTERED_TTL: u32 = 300;
/// TTL of the alias from the reverse name of an address that was made, in seconds.
const LED_BACK_TTL: u32 = 600;
/// The name that tells of NAT64, and its addresses (RFC 7050 section 8.1).
const IPV4ONLY: &[u8] = b"\x08ipv4only\x04arpa\0";
const IPV4ONLY_ADDRESSES: [[u8; 4]; 2] = [[192, 0, 0, 170], [192, 0, 0, 171]];
const IPV4ONLY_TTL: u32 = 10_800;
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
            // It is not asked for where the answer is made (RFC 8880 section 7.1).
            None if key.name() == IPV4ONLY
                && key.record_type() == RecordType::AAAA
                && names.dns64.is_some() =>
            {
                write_ipv4only(names.dns64.as_ref()?, asked, limit, payload, out)
            }
            // Of an address that was made something is known, wherever its prefix lies.
            None if led_back(&names, key).is_some() => return None,
            None => {
                let said = names.special.find(key, &names.zones)?;
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
        if self.shared.terms_of(key).private_addresses {
            return false;
        }
        let names = self.shared.names();
        let behind = |ip: IpAddr| match (ip, &names.dns64) {
            (IpAddr::V6(ip), Some(dns64)) => dns64.extract(ip).map(IpAddr::from),
            _ => None,
        };
        let is_one = |ip: IpAddr| is_private(ip) || behind(ip).is_some_and(is_private);
        answer.addresses().any(is_one)
    }

    /// A question for an alias of the configuration is one for where it leads.
    pub(super) fn follow_alias(&self, new: &mut New<'_>) {
        let names = self.shared.names();
        let nothing = names.records.is_empty() && names.dns64.is_none();
        if nothing || new.chase.is_some() || matches!(new.why, Why::Probe(_) | Why::Loop(_)) {
            return;
        }
        let chain = chain(&names, new.key).or_else(|| led_back(&names, new.key));
        if let Some((chain, asking)) = chain {
            let terms = self.shared.terms_of(asking.by_ref());
            (new.pool, new.falls) = (PoolId(terms.pool), terms.fall_through);
            new.chase = Some(Box::new(Chase {
                chain,
                asking: asking.by_ref().into(),
                steps: 1,
                made: None,
            }));
        }
    }
}

/// The reverse name of an address that was made, as an alias of that of the address which it was made of (RFC 6147 section
/// 5.3.1).
fn led_back(names: &Names, key: KeyRef<'_>) -> Option<(Answer, QuestionKey)> {
    if key.record_type() != RecordType::PTR {
        return None;
    }
    let to = names.dns64.as_ref()?.reverse(key.name())?;
    let alias = OwnRecord {
        record_type: RecordType::CNAME,
        ttl: LED_BACK_TTL,
        data: &to,
    };
    let chain = own_answer(key.question(), std::iter::once(alias))?;
    let asking = chain.next_question(key)?;
    Some((chain, asking))
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

/// The addresses that tell of NAT64, made here.
fn write_ipv4only(
    dns64: &Dns64,
    asked: &Asked<'_>,
    limit: usize,
    payload: u16,
    out: &mut [u8],
) -> usize {
    let made = IPV4ONLY_ADDRESSES.map(|ip| dns64.embed(ip.into()).octets());
    let records = made.iter().map(|data| OwnRecord {
        record_type: RecordType::AAAA,
        ttl: IPV4ONLY_TTL,
        data,
    });
    let own = Own {
        rcode: Rcode::NOERROR,
        zone_at: 0,
        negative_ttl: IPV4ONLY_TTL,
        ede: None,
    };
    write_own(asked, &own, records, limit, payload, out)
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
    // A zone that nobody serves has these two at its top and nothing else (RFC 6303 section 3).
    let soa = own_soa(said.ttl);
    let of_zone = match asked.record_type() {
        _ if said.zone_at > 0 || said.rcode != Rcode::NOERROR => None,
        RecordType::SOA => Some(&soa[..]),
        RecordType::NS => Some(OWN_SERVER),
        _ => None,
    };
    let of_zone = of_zone.map(|data| OwnRecord {
        record_type: asked.record_type(),
        ttl: said.ttl,
        data,
    });
    let is_empty = said.records.is_empty() && of_zone.is_none();
    let own = Own {
        rcode: said.rcode,
        zone_at: said.zone_at,
        negative_ttl: said.ttl,
        ede: is_empty.then_some(Ede::OTHER.with_text(said.why)),
    };
    let records = said.records.iter().copied().chain(of_zone);
    write_own(asked, &own, records, limit, payload, out)
}
