//! Types of records that an upstream does not answer although others do: a router that drops HTTPS, a server that
//! refuses PTR. Questions for them go to others first, and no client waits to find it out again.
//!
//! As of [`peers`](super::peers), no single name teaches it, it is believed for less than a minute, and the first
//! answer ends it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use smallvec::SmallVec;

use super::peers::name_of;
use crate::clock::Life;
use crate::route::UpstreamId;

/// Names of a type that must have failed where another upstream answered.
const NAMES: usize = 3;
/// How long it is believed before the next question tries again.
const BELIEVED: Duration = Duration::from_secs(50);
/// Upstreams' types remembered at most.
const MOST: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What is known of all upstreams. Shared by the workers.
#[derive(Debug)]
pub struct Kinds {
    table: Mutex<LruCache<(UpstreamId, u16), Record>>,
    /// Whether anything has failed, so that most questions need no lock.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct Record {
    names: SmallVec<[u64; NAMES]>,
    until: Life,
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds {
            table: Mutex::new(LruCache::new(MOST)),
            any: AtomicBool::new(false),
        }
    }
}

impl Kinds {
    /// `upstream` has failed at a question that another one has answered.
    pub fn failed(&self, upstream: UpstreamId, question: &[u8], now: Life) {
        let Some(kind) = type_of(question) else {
            return;
        };
        let name = name_of(question);
        let mut table = self.table();
        let record = table.get_or_insert_mut((upstream, kind), Record::default);
        if record.names.len() < NAMES && !record.names.contains(&name) {
            record.names.push(name);
        }
        if record.names.len() == NAMES {
            record.until = now + BELIEVED;
        }
        self.any.store(true, Relaxed);
    }

    /// `upstream` has answered a question usefully.
    pub fn answered(&self, upstream: UpstreamId, question: &[u8]) {
        if !self.any.load(Relaxed) {
            return;
        }
        if let Some(kind) = type_of(question) {
            let mut table = self.table();
            table.pop(&(upstream, kind));
            self.any.store(!table.is_empty(), Relaxed);
        }
    }

    /// Whether others are to be asked first.
    pub fn avoids(&self, upstream: UpstreamId, question: &[u8], now: Life) -> bool {
        self.any.load(Relaxed)
            && type_of(question).is_some_and(|kind| {
                let record = self
                    .table()
                    .peek(&(upstream, kind))
                    .map(|record| record.until);
                record.is_some_and(|until| until > now)
            })
    }

    /// Whether [`Kinds::avoids`] may hold for any.
    pub fn knows_any(&self) -> bool {
        self.any.load(Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, LruCache<(UpstreamId, u16), Record>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The type that a question is for.
fn type_of(question: &[u8]) -> Option<u16> {
    let tail = question.len().checked_sub(4)?;
    question
        .get(tail..)?
        .first_chunk()
        .map(|kind| u16::from_be_bytes(*kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CLASS_IN, QuestionKey, RecordType, name_from_text};

    const ONE: UpstreamId = UpstreamId(0);

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let name = name_from_text(name).expect("a name");
        let key = QuestionKey::new(&name, kind, CLASS_IN, false, false);
        key.expect("a question").question().to_vec()
    }

    #[test]
    fn a_type_is_avoided_after_three_names_until_it_is_answered() {
        let (kinds, now) = (Kinds::default(), Life::from_secs(9));
        let https = |name| question(name, RecordType::HTTPS);
        let avoids = |now| kinds.avoids(ONE, &https("x.example"), now);
        for name in ["a.example", "b.example", "a.example", "b.example"] {
            kinds.failed(ONE, &https(name), now);
            assert!(!avoids(now));
        }
        kinds.failed(ONE, &https("c.example"), now);
        assert!(avoids(now));
        assert!(!kinds.avoids(UpstreamId(1), &https("x.example"), now));
        assert!(!kinds.avoids(ONE, &question("x.example", RecordType::A), now));
        // Tried again after a while; one failure is enough then.
        let later = now + BELIEVED;
        assert!(!avoids(later));
        kinds.failed(ONE, &https("a.example"), later);
        assert!(avoids(later));
        kinds.answered(ONE, &https("z.example"));
        assert!(!avoids(later) && !kinds.knows_any());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let kinds = Kinds::default();
        for kind in 1..2000 {
            kinds.failed(ONE, &question("a.example", RecordType(kind)), Life::START);
        }
        assert_eq!(kinds.table().len(), MOST.get());
    }
}
