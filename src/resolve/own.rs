//! Names that byway answers by itself. They are looked for where the cache holds no fresh answer: what is never asked of
//! anybody is never held, and so a hit pays nothing for them.

use super::core::Core;
use super::front::Turn;
use crate::names::Said;
use crate::net::Exchanges;
use crate::observe::metrics::QueryResult;
use crate::wire::{Asked, Ede, KeyRef, Own, write_own};

impl<X: Exchanges> Core<X> {
    /// Answers a question for a special name, if it is one.
    pub(super) fn own(
        &self,
        key: KeyRef<'_>,
        asked: &Asked<'_>,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Turn> {
        let names = &self.shared.names;
        let said = names
            .special
            .find(key.name(), key.record_type(), &names.zones)?;
        let length = write_said(&said, asked, limit, self.shared.payload, out);
        Some(Turn::Answer {
            length,
            result: QueryResult::Local,
        })
    }
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
