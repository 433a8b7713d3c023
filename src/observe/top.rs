//! Which names are asked for most, and which clients ask most, lately.
//!
//! A worker looks at some of the answers that leave: of a few all, of many so many that all workers together look at
//! [`TopConfig::rate`] a second or so. A sample stands for all answers since the one before it, so the sum is right
//! whatever the rate. It is put aside in a place of fixed size, from which the watch collects it once a second into
//! sketches of fixed size. An answer that is not looked at costs a decrement.

mod sketch;

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::metrics::QueryResult;
use super::till::Till;
use crate::clock::Time;
use crate::config::TopConfig;
pub use sketch::Count;
use sketch::Sketch;

/// Octets that a worker may put aside between two collections: some 2,500 samples.
const TILL: usize = 128 * 1024;
/// How long a worker looks at answers before it thinks about how many of them to look at.
const SECOND: Duration = Duration::from_secs(1);

/// What is asked for most and who asks most. Shared by the workers and the watch.
#[derive(Debug)]
pub struct Top {
    workers: u32,
    tills: Mutex<Vec<Arc<Till>>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    terms: TopConfig,
    /// The latest, and those before it.
    halves: [Half; 2],
    /// Room to collect into.
    room: Vec<u8>,
}

/// What was seen in half of the window.
#[derive(Debug)]
struct Half {
    since: Time,
    answers: u64,
    looked_at: u64,
    names: Sketch<Vec<u8>>,
    clients: Sketch<IpAddr>,
}

/// What is asked for most and who asks most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether it is counted at all.
    pub enabled: bool,
    /// The span that it is about; it ends with the latest collection.
    pub span: Duration,
    /// Answers in that span.
    pub answers: u64,
    /// Of those, looked at.
    pub looked_at: u64,
    /// Names in wire form and lower case, the most frequent first.
    pub names: Vec<(Vec<u8>, Count)>,
    /// Clients, the most frequent first.
    pub clients: Vec<(IpAddr, Count)>,
}

impl Top {
    /// Nothing has been seen yet, at `now`.
    pub fn new(terms: &TopConfig, workers: usize, now: Time) -> Top {
        Top {
            workers: u32::try_from(workers).unwrap_or(u32::MAX).max(1),
            tills: Mutex::default(),
            state: Mutex::new(State::new(terms, now)),
        }
    }

    /// What one worker looks at answers with. `seed` decides which; whoever knows it could hide among those that are
    /// not looked at.
    pub fn sampler(&self, seed: u64) -> Sampler {
        let till = Arc::new(Till::new(TILL));
        let mut tills = self.tills.lock().unwrap_or_else(PoisonError::into_inner);
        tills.push(Arc::clone(&till));
        let sampler = Sampler {
            till,
            rate: Cell::new(1),
            workers: self.workers,
            left: Cell::new(u32::MAX),
            weight: Cell::default(),
            each: Cell::new(1),
            random: Cell::new(seed | 1),
            since: Cell::default(),
            looked: Cell::default(),
            passed: Cell::default(),
        };
        sampler.suit(&self.state().terms);
        sampler
    }

    /// Other terms hold from `now` on. What was seen is forgotten if it does not fit them.
    pub fn suit(&self, terms: &TopConfig, now: Time) {
        let mut state = self.state();
        if state.terms != *terms {
            *state = State::new(terms, now);
        }
    }

    /// Takes in what the workers have put aside. To be called about once a second.
    pub fn collect(&self, now: Time) {
        let tills = self.tills.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        state.turn(now);
        for till in tills.iter() {
            let room = std::mem::take(&mut state.room);
            let samples = till.take(room);
            if state.terms.enabled {
                state.halves[0].take(&samples);
            }
            state.room = samples;
        }
    }

    /// The `most` that were asked for most, and that asked most, up to `now`.
    pub fn report(&self, most: usize, now: Time) -> Report {
        let state = self.state();
        let [latest, before] = &state.halves;
        Report {
            enabled: state.terms.enabled,
            span: now.since(before.since),
            answers: latest.answers + before.answers,
            looked_at: latest.looked_at + before.looked_at,
            names: most_frequent(&latest.names, &before.names, most),
            clients: most_frequent(&latest.clients, &before.clients, most),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(terms: &TopConfig, now: Time) -> State {
        State {
            halves: [(); 2].map(|()| Half::new(terms, now)),
            terms: terms.clone(),
            room: Vec::new(),
        }
    }

    /// Forgets the older half as soon as the latest is as long as that.
    fn turn(&mut self, now: Time) {
        if now.since(self.halves[0].since) >= self.terms.window / 2 {
            let latest = Half::new(&self.terms, now);
            let [front, back] = &mut self.halves;
            *back = std::mem::replace(front, latest);
        }
    }
}

impl Half {
    fn new(terms: &TopConfig, now: Time) -> Half {
        Half {
            since: now,
            answers: 0,
            looked_at: 0,
            names: Sketch::new(terms.entries),
            clients: Sketch::new(terms.entries),
        }
    }

    fn take(&mut self, mut samples: &[u8]) {
        while let Some((sample, rest)) = Sample::read(samples) {
            samples = rest;
            self.answers += u64::from(sample.weight);
            self.looked_at += 1;
            let count = sample.count();
            // Clients may write letters as they like.
            self.names.add(&sample.name.to_ascii_lowercase()[..], count);
            self.clients.add(&sample.client, count);
        }
    }
}

/// Those of both sketches that are the most frequent.
fn most_frequent<K: Clone + Ord + Hash>(
    latest: &Sketch<K>,
    before: &Sketch<K>,
    most: usize,
) -> Vec<(K, Count)> {
    let mut all: HashMap<&K, Count> = latest.all().collect();
    for (key, count) in before.all() {
        let sum = all.entry(key).or_default();
        *sum = sum.and(count);
    }
    let mut all: Vec<(K, Count)> = all
        .into_iter()
        .map(|(k, count)| (k.clone(), count))
        .collect();
    // Equals in an order that is the same each time.
    all.sort_by(|(a, one), (b, other)| other.answers.cmp(&one.answers).then(a.cmp(b)));
    all.truncate(most);
    all
}

/// An answer that was looked at.
struct Sample<'a> {
    /// For so many it stands.
    weight: u32,
    result: u8,
    client: IpAddr,
    /// In wire form.
    name: &'a [u8],
}

impl Sample<'_> {
    fn put(&self, till: &Till) -> bool {
        let (family, octets) = match self.client {
            IpAddr::V4(address) => (4, address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => (6, address.octets()),
        };
        // A name has 255 octets at most (RFC 1035 section 2.3.4).
        let kind = [self.result, family, self.name.len() as u8];
        till.put(&[&self.weight.to_ne_bytes(), &kind, &octets, self.name])
    }

    /// The first of the samples, and those behind it.
    fn read(samples: &[u8]) -> Option<(Sample<'_>, &[u8])> {
        let (weight, rest) = samples.split_first_chunk::<4>()?;
        let (&[result, family, length], rest) = rest.split_first_chunk::<3>()?;
        let (octets, rest) = rest.split_first_chunk::<16>()?;
        let (name, rest) = rest.split_at_checked(length.into())?;
        let address = Ipv6Addr::from(*octets);
        let v4 = |it: Ipv6Addr| it.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let sample = Sample {
            weight: u32::from_ne_bytes(*weight),
            result,
            client: match family {
                4 => v4(address).into(),
                _ => address.into(),
            },
            name,
        };
        Some((sample, rest))
    }

    fn count(&self) -> Count {
        let weight = u64::from(self.weight);
        let is = |results: &[QueryResult]| {
            let among = results.iter().any(|it| *it as u8 == self.result);
            if among { weight } else { 0 }
        };
        Count {
            answers: weight,
            excess: 0,
            from_upstream: is(&[QueryResult::Miss]),
            failed: is(&[QueryResult::Failed, QueryResult::Shed]),
        }
    }
}

/// Looks at some of a worker's answers.
#[derive(Debug)]
pub struct Sampler {
    till: Arc<Till>,
    /// Answers a second that this worker looks at; none if that is zero.
    rate: Cell<u32>,
    workers: u32,
    /// Answers until the next is looked at.
    left: Cell<u32>,
    /// For how many the next one will stand.
    weight: Cell<u32>,
    /// One in so many is looked at.
    each: Cell<u32>,
    random: Cell<u64>,
    /// Since when `looked` and `passed` are counted.
    since: Cell<Time>,
    looked: Cell<u32>,
    passed: Cell<u64>,
}

impl Sampler {
    /// Other terms hold from now on.
    pub fn suit(&self, terms: &TopConfig) {
        let rate = match terms.enabled {
            true => (terms.rate as u32 / self.workers).max(1),
            false => 0,
        };
        if self.rate.replace(rate) != rate {
            self.left.set(if rate > 0 { 1 } else { u32::MAX });
            self.weight.set(1);
            self.each.set(1);
        }
    }

    /// An answer leaves: whether it is to be looked at.
    #[inline]
    pub fn is_due(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        left <= 1
    }

    /// Looks at an answer of which [`Sampler::is_due`] said so: `name` in wire form, empty if it cannot be read.
    #[cold]
    pub fn look(&self, name: &[u8], client: IpAddr, result: QueryResult, now: Time) {
        if self.rate.get() == 0 {
            return self.left.set(u32::MAX);
        }
        let weight = self.weight.get();
        let sample = Sample {
            weight,
            result: result as u8,
            client: client.to_canonical(),
            name,
        };
        // What finds no room is part of what the next one stands for.
        let owed = if sample.put(&self.till) { 0 } else { weight };
        self.reconsider(weight, now);
        let gap = self.gap();
        self.left.set(gap);
        self.weight.set(gap.saturating_add(owed));
    }

    /// Looks at more of the answers, or at fewer.
    fn reconsider(&self, weight: u32, now: Time) {
        let looked = self.looked.get() + 1;
        self.looked.set(looked);
        let passed = self.passed.get() + u64::from(weight);
        self.passed.set(passed);
        let rate = u64::from(self.rate.get());
        let over = now.since(self.since.get());
        let each = if over >= SECOND {
            let a_second = passed as f64 / over.as_secs_f64();
            (a_second / rate as f64).ceil().clamp(1.0, 1e6) as u32
        } else if u64::from(looked) >= 2 * rate {
            self.each.get().saturating_mul(2).min(1_000_000)
        } else {
            return;
        };
        self.each.set(each);
        self.since.set(now);
        self.looked.set(0);
        self.passed.set(0);
    }

    /// Answers until the next one is looked at, by chance: clients that ask in a rhythm shall not decide which.
    fn gap(&self) -> u32 {
        let each = self.each.get();
        if each == 1 {
            return 1;
        }
        // xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003).
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        let of = u64::from(2 * each - 1);
        1 + ((random >> 32) % of) as u32
    }
}

#[cfg(test)]
mod tests;
