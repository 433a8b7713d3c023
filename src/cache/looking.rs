//! Looking at what is held without asking for it: for the operator.

use super::entry::{Entry, flag};
use super::{Cache, Look};
use crate::clock::Life;
use crate::wire::{CLASS_IN, QuestionKey, RecordType};

/// The most answers of one name that are told.
const MOST: usize = 256;

impl Cache {
    /// What is held for `name`, a name in wire form, whatever the type: answers that may still be used, at most
    /// 256 of them, ordered by type. None counts as asked for. Takes each shard's lock in turn, for as long as it takes
    /// to walk it, so it is for a person who asks now and then.
    pub fn look_name(&self, name: &[u8], now: Life) -> Vec<(QuestionKey, Look)> {
        let name = name.to_ascii_lowercase();
        let mut keys = Vec::new();
        for shard in self.each_shard() {
            shard.visit_all(|entry| {
                if entry.name() == name && keys.len() < MOST {
                    keys.extend(key_of(entry));
                }
            });
        }
        keys.sort_by_key(|key| {
            (
                key.record_type().0,
                key.dnssec_ok(),
                key.checking_disabled(),
            )
        });
        keys.into_iter()
            .filter_map(|key| {
                let look = self.look(&key, now)?;
                Some((key, look))
            })
            .collect()
    }
}

/// The question that an entry answers.
fn key_of(entry: &Entry) -> Option<QuestionKey> {
    let (name, tail) = entry.answer.question().split_last_chunk::<4>()?;
    let [high, low, ..] = *tail;
    let record_type = RecordType(u16::from_be_bytes([high, low]));
    let is = |bit: u8| entry.flags & bit != 0;
    QuestionKey::new(
        name,
        record_type,
        CLASS_IN,
        is(flag::DNSSEC_OK),
        is(flag::CHECKING_DISABLED),
    )
}
