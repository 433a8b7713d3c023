//! The most frequent of many, in a place of fixed size: Space-Saving.
//!
//! A. Metwally, D. Agrawal, A. El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005.
//! With k places whatever makes up more than one k-th of all is among those kept, and a count is never too low: by how
//! much it may be too high is kept beside it.
//!
//! Why no crate: topk and heavykeeper count one at a time and nothing beside it; here a sample stands for several
//! answers, and what came of them is counted too.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// What is counted of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Answers, never too few.
    pub answers: u64,
    /// By how many that may be too many at most.
    pub excess: u64,
    /// Of the answers, since this one is kept: those that an upstream was asked for.
    pub from_upstream: u64,
    /// Those that failed: SERVFAIL made here.
    pub failed: u64,
}

impl Count {
    /// Both together.
    pub(super) fn and(self, other: Count) -> Count {
        Count {
            answers: self.answers.saturating_add(other.answers),
            excess: self.excess.saturating_add(other.excess),
            from_upstream: self.from_upstream.saturating_add(other.from_upstream),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

/// The most frequent keys of those seen.
#[derive(Debug)]
pub(super) struct Sketch<K> {
    most: usize,
    places: HashMap<K, usize>,
    counts: Vec<(K, Count)>,
    /// Every place by its answers, so that the least is found.
    order: BTreeSet<(u64, usize)>,
}

impl<K: Clone + Eq + Hash> Sketch<K> {
    /// One that keeps `most` keys, at least one.
    pub(super) fn new(most: usize) -> Sketch<K> {
        Sketch {
            most: most.max(1),
            places: HashMap::new(),
            counts: Vec::new(),
            order: BTreeSet::new(),
        }
    }

    /// Counts what is in `more` for `key`.
    pub(super) fn add<Q>(&mut self, key: &Q, more: Count)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let place = match self.places.get(key) {
            Some(&place) => {
                let count = &mut self.counts[place].1;
                self.order.remove(&(count.answers, place));
                *count = count.and(more);
                place
            }
            None if self.counts.len() < self.most => {
                self.counts.push((key.to_owned(), more));
                let place = self.counts.len() - 1;
                self.places.insert(key.to_owned(), place);
                place
            }
            None => {
                // There is one: there is room for one at least.
                let Some((least, place)) = self.order.pop_first() else {
                    return;
                };
                let (gone, count) = &mut self.counts[place];
                self.places.remove::<K>(gone);
                *gone = key.to_owned();
                *count = more.and(Count {
                    answers: least,
                    excess: least,
                    ..Count::default()
                });
                self.places.insert(key.to_owned(), place);
                place
            }
        };
        self.order.insert((self.counts[place].1.answers, place));
    }

    /// Every key kept, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&K, Count)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Count {
        Count {
            answers: 1,
            ..Count::default()
        }
    }

    proptest! {
        /// What the paper proves of it: nothing frequent is missed, and every count is between the truth and the truth
        /// and its excess.
        #[test]
        fn what_is_frequent_is_kept_and_counted_within_its_excess(
            seen in proptest::collection::vec((0u32..60, 1u64..5), 1..600), most in 1usize..20,
        ) {
            let mut sketch = Sketch::new(most);
            let mut truth: HashMap<String, u64> = HashMap::new();
            for (key, answers) in &seen {
                // A few are frequent.
                let key = (key * key / 60).to_string();
                sketch.add(key.as_str(), Count { answers: *answers, ..Count::default() });
                *truth.entry(key).or_default() += answers;
            }
            let all: u64 = truth.values().sum();
            prop_assert!(sketch.counts.len() <= most);
            prop_assert_eq!(sketch.order.len(), sketch.counts.len());
            prop_assert_eq!(sketch.places.len(), sketch.counts.len());
            let kept: HashMap<&String, Count> = sketch.all().collect();
            for (key, &true_count) in &truth {
                match kept.get(key) {
                    Some(count) => {
                        prop_assert!(count.answers >= true_count);
                        prop_assert!(count.answers - count.excess <= true_count);
                    }
                    None => prop_assert!(true_count <= all / most as u64),
                }
            }
        }
    }

    #[test]
    fn who_takes_a_place_takes_nothing_of_what_came_of_the_answers_before() {
        let mut sketch: Sketch<String> = Sketch::new(1);
        sketch.add(
            "a",
            Count {
                failed: 1,
                from_upstream: 1,
                ..one()
            },
        );
        sketch.add("b", one());
        let (key, count) = sketch.all().next().expect("one");
        let expected = Count {
            answers: 2,
            excess: 1,
            ..Count::default()
        };
        assert_eq!((key.as_str(), count), ("b", expected));
    }
}
