mod ageing;
mod keeping;
mod model;

use std::time::Duration;

use crate::clock::Life;
use crate::wire::{Kind, QuestionKey};

use super::testing::{self, SICK, WELL, key, key_with, nxdomain, positive, response};
use super::*;

const NOW: Life = Life::START;

fn at(seconds: f64) -> Life {
    NOW + Duration::from_secs_f64(seconds)
}

fn cache() -> Cache {
    Cache::new(&testing::config(1 << 20), 7)
}

impl Cache {
    /// Stores what a healthy upstream says.
    fn keep(&self, (key, answer): (QuestionKey, Answer), now: Life) -> Stored {
        self.store(&key, self.hash(&key), answer, WELL, now)
    }

    /// The number of the address held for `name`, and how fresh it is.
    fn ask(&self, name: &str, now: Life) -> Option<(Option<u32>, Freshness)> {
        let key = key(name);
        let found = |hit: Hit<'_>| (testing::serial(hit.answer), hit.freshness);
        self.read(&key, self.hash(&key), now, found)
    }

    fn audit(&self) {
        self.each_shard().for_each(|shard| shard.audit());
        let stats = self.stats();
        assert!(stats.bytes <= stats.bound);
    }
}

fn fresh(left: u32) -> Freshness {
    Freshness::Fresh {
        left,
        refresh_due: false,
    }
}

#[test]
fn an_answer_is_found_by_name_type_class_and_flags() {
    let cache = cache();
    assert_eq!(cache.ask("www.example", NOW), None);
    assert_eq!(
        cache.keep(positive("www.example", 300, 1), NOW),
        Stored::New
    );
    assert_eq!(cache.ask("WWW.example", NOW), Some((Some(1), fresh(300))));
    for other in [
        key_with("www.example", true, false),
        key_with("www.example", false, true),
    ] {
        assert!(
            cache
                .read(&other, cache.hash(&other), NOW, |_| ())
                .is_none()
        );
        let answer = response(&other).address(60, 2).answer();
        assert_eq!(cache.keep((other, answer), NOW), Stored::New);
        assert!(
            cache
                .read(&other, cache.hash(&other), NOW, |_| ())
                .is_some()
        );
    }
    assert_eq!(cache.ask("www.example", NOW), Some((Some(1), fresh(300))));
    assert_eq!(cache.stats().entries, 3);
    assert_eq!(
        cache.keep(positive("www.example", 300, 9), NOW),
        Stored::Replaced
    );
    assert_eq!(cache.stats().entries, 3);
}

#[test]
fn names_with_one_hash_cost_a_miss_and_never_a_wrong_answer() {
    let cache = cache();
    let (one, answer) = positive("one.example", 300, 1);
    let (other, other_answer) = positive("other.example", 300, 2);
    let hash = cache.hash(&one);
    cache.store(&one, hash, answer, WELL, NOW);
    assert!(cache.read(&other, hash, NOW, |_| ()).is_none());
    cache.store(&other, hash, other_answer, WELL, NOW);
    assert!(cache.read(&one, hash, NOW, |_| ()).is_none());
    assert_eq!(
        cache.read(&other, hash, NOW, |hit| testing::serial(hit.answer)),
        Some(Some(2))
    );
    cache.audit();
}

#[test]
fn an_answer_to_another_question_is_not_kept() {
    let cache = cache();
    let (_, answer) = positive("www.example", 300, 1);
    let other = key("other.example");
    let stored = cache.store(&other, cache.hash(&other), answer, WELL, NOW);
    assert_eq!(stored, Stored::Not(NotKept::AnotherQuestion));
}

#[test]
fn a_cache_of_no_size_holds_nothing() {
    let cache = Cache::new(&testing::config(0), 7);
    assert_eq!(
        cache.keep(positive("a.example", 300, 1), NOW),
        Stored::Not(NotKept::Off)
    );
    assert_eq!(cache.ask("a.example", NOW), None);
    assert_eq!(cache.stats(), CacheStats::default());
    assert_eq!(cache.flush_all(), 0);
}

#[test]
fn the_operator_sees_what_is_held_without_changing_it() {
    let cache = cache();
    assert_eq!(cache.look(&key("a.example"), NOW), None);
    cache.keep(positive("a.example", 100, 1), NOW);
    cache.ask("a.example", at(1.0));
    cache.ask("a.example", at(2.0));
    for _ in 0..2 {
        let look = cache.look(&key("a.example"), at(40.5)).unwrap();
        assert_eq!(
            (look.age, look.ttl, look.hits, look.route),
            (40, 100, 2, WELL.route)
        );
        assert_eq!((look.freshness, look.kind), (fresh(60), Kind::Positive));
        assert_eq!(look.rcode, Rcode::NOERROR);
    }
    let look = cache.look(&key("a.example"), at(160.5)).unwrap();
    assert_eq!(look.freshness, Freshness::Stale { for_: 60 });
    assert_eq!(
        cache.look(&key("a.example"), at(100.0 + 24.0 * 3600.0)),
        None
    );
}

#[test]
fn flushing_takes_a_name_a_subtree_or_all() {
    let cache = cache();
    let names = [
        "example",
        "a.example",
        "b.a.example",
        "ba.example",
        "a.test",
        "example.test",
    ];
    let fill = || {
        for name in names {
            cache.keep(positive(name, 300, 1), NOW);
            let key = key_with(name, true, false);
            cache.keep((key, response(&key).address(300, 1).answer()), NOW);
        }
    };
    let left = || names.map(|name| cache.ask(name, NOW).is_some());
    fill();
    assert_eq!(cache.flush_name(&testing::wire_name("A.example")), 2);
    assert_eq!(left(), [true, false, true, true, true, true]);
    fill();
    assert_eq!(cache.flush_subtree(&testing::wire_name("A.Example")), 4);
    assert_eq!(left(), [true, false, false, true, true, true]);
    assert_eq!(cache.flush_subtree(&testing::wire_name("example")), 4);
    assert_eq!(left(), [false, false, false, false, true, true]);
    assert_eq!(cache.flush_subtree(&testing::wire_name("nothing")), 0);
    cache.audit();
    fill();
    assert_eq!(cache.flush_subtree(&[0]), 12);
    fill();
    let empty = Cache::new(&testing::config(1 << 20), 7).stats().bytes;
    assert_eq!(cache.flush_all(), 12);
    assert_eq!(left(), [false; 6]);
    assert_eq!(cache.stats().bytes, empty);
}

#[test]
fn a_reader_that_panics_leaves_the_cache_usable() {
    let cache = cache();
    cache.keep(positive("a.example", 300, 1), NOW);
    let (key, hash) = (key("a.example"), cache.hash(&key("a.example")));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.read(&key, hash, NOW, |_| panic!("a reader's own trouble"))
    }));
    assert!(panicked.is_err());
    assert_eq!(cache.ask("a.example", NOW), Some((Some(1), fresh(300))));
}

#[test]
fn what_is_counted_is_what_was_done() {
    let cache = cache();
    for (name, serial) in [("a.example", 1), ("b.example", 2), ("a.example", 3)] {
        cache.keep(positive(name, 300, serial), NOW);
    }
    cache.keep(nxdomain("c.example", 0), NOW);
    let stats = cache.stats();
    assert_eq!(
        (stats.entries, stats.insertions, stats.replacements),
        (2, 2, 1)
    );
    assert_eq!(stats.evictions, Evictions::default());
    assert_eq!(stats.bound, 1 << 20);
}

#[test]
fn an_untrusted_denial_does_not_replace_an_answer_that_can_be_used() {
    let cache = cache();
    let deny = |now: f64| {
        let (key, answer) = nxdomain("a.example", 300);
        cache.store(&key, cache.hash(&key), answer, SICK, at(now))
    };
    cache.keep(positive("a.example", 60, 1), NOW);
    assert_eq!(deny(10.0), Stored::Not(NotKept::Shadows));
    assert_eq!(cache.ask("a.example", at(10.5)), Some((Some(1), fresh(50))));
    assert_eq!(deny(3600.0), Stored::Not(NotKept::Shadows));
    let day = 24.0 * 3600.0;
    assert_eq!(deny(60.0 + day), Stored::Replaced);

    cache.keep(positive("b.example", 60, 1), NOW);
    assert_eq!(
        cache.keep(nxdomain("b.example", 300), at(1.0)),
        Stored::Replaced
    );
    assert_eq!(cache.ask("b.example", at(1.0)), Some((None, fresh(300))));
    let (key, answer) = positive("b.example", 60, 5);
    assert_eq!(
        cache.store(&key, cache.hash(&key), answer, SICK, at(2.0)),
        Stored::Replaced
    );
}
