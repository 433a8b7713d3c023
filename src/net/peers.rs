//! What is known of each upstream's ways: whether it speaks EDNS, whether it bears names in mixed case.
//!
//! Shared by the workers. No single packet teaches a weakness, for it may be forged, or one name's, or one of
//! several servers' behind the address. A weakness is believed once two or three names have shown it, each by failing
//! as byway asks and succeeding as it would be asked without. It is believed for less than a minute, then tried
//! again by one question; what shows the opposite ends it at once.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use lru::LruCache;
use smallvec::SmallVec;

use crate::clock::Time;
use crate::route::UpstreamId;

/// How long a weakness is believed before it is tried anew.
const BELIEVED: Duration = Duration::from_secs(50);
/// A weakness that was not shown again for so long is forgotten altogether.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// Names that must show that EDNS is not understood ...
const EDNS_NAMES: usize = 2;
/// ... and that mixed case is not borne.
const CASE_NAMES: usize = 3;
/// Least between two questions that are tried without EDNS because they failed with it.
const TRY_PLAIN: Duration = Duration::from_secs(1);
/// Least between two lines about near misses of one upstream.
const LINE: Duration = Duration::from_secs(60);
/// Questions that are tried in plain case at once. If that was of no use, no more than each
const FRUITLESS: u32 = 8;
/// ... so long.
const TRY_PLAIN_CASE: Duration = Duration::from_secs(1);
/// A denial is nearly always the truth: so many are tried in plain case at once, and one each minute after that.
const DENIALS: u32 = 8;
const TRY_DENIAL: Duration = Duration::from_secs(60);
/// Zones remembered in which mixed case fails.
const ZONES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Every upstream's ways, by its index.
#[derive(Debug)]
pub struct Peers {
    peers: Box<[OnceLock<Box<Peer>>]>,
    /// Zones of which an upstream cannot resolve names in mixed case, and until when that is believed: it is the
    /// zone's servers that fail.
    zones: Mutex<LruCache<(u16, u64), Zone>>,
    /// Whether there are any, so that most questions need no lock.
    any_zone: AtomicBool,
}

#[derive(Debug, Default)]
struct Peer {
    edns: Weakness,
    mixed_case: Weakness,
    /// Whether it ever answered a question with EDNS as one should.
    spoke_edns: AtomicBool,
    doubts: Mutex<Doubts>,
}

/// A zone in which mixed case fails.
#[derive(Clone, Copy, Debug)]
struct Zone {
    /// The first name that failed.
    name: u64,
    /// Until when it is believed.
    until: Time,
}

/// Something that an upstream may be unable to do.
#[derive(Debug, Default)]
struct Weakness {
    /// Until when it is believed, in nanoseconds; 0 if not.
    until: AtomicU64,
    /// Whether anything speaks for it: then what speaks against it must be told.
    doubted: AtomicBool,
}

/// What speaks for the weaknesses.
#[derive(Debug, Default)]
struct Doubts {
    edns: Proofs<EDNS_NAMES>,
    mixed_case: Proofs<CASE_NAMES>,
    tried_plain: Time,
    tried_plain_case: Time,
    /// The same for names that were said not to exist.
    tried_denial: Time,
    denials: u32,
    /// Questions tried in plain case since one was of use.
    fruitless: u32,
    told: Time,
    /// Near misses since then.
    near_misses: u64,
}

/// The different names that have shown a weakness.
#[derive(Debug, Default)]
struct Proofs<const ENOUGH: usize> {
    names: SmallVec<[u64; 3]>,
    latest: Time,
    /// An operator knows.
    told: bool,
}

impl<const ENOUGH: usize> Proofs<ENOUGH> {
    /// One name more, perhaps. Whether that is enough.
    fn add(&mut self, name: u64, now: Time) -> bool {
        if now.since(self.latest) >= REMEMBERED {
            self.names.clear();
        }
        self.latest = now;
        if self.names.len() < ENOUGH && !self.names.contains(&name) {
            self.names.push(name);
        }
        self.names.len() >= ENOUGH
    }
}

/// What became known just now, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// The upstream does not understand EDNS.
    NoEdns,
    /// It does after all.
    Edns,
    /// It does not bear names in mixed case.
    NoMixedCase,
    /// It does after all.
    MixedCase,
    /// Answers came in other letter case than was asked: so many since this was last said.
    NearMisses(u64),
}

impl Peers {
    /// Nothing known of anybody, with room for `upstreams` upstreams.
    pub fn new(upstreams: usize) -> Peers {
        Peers {
            peers: (0..upstreams).map(|_| OnceLock::new()).collect(),
            zones: Mutex::new(LruCache::new(ZONES)),
            any_zone: AtomicBool::new(false),
        }
    }

    /// Somebody else has the number: nothing is known any more.
    pub fn forget(&self, upstream: UpstreamId) {
        let Some(peer) = self.peer(upstream) else {
            return;
        };
        for weakness in [&peer.edns, &peer.mixed_case] {
            weakness.until.store(0, Relaxed);
            weakness.doubted.store(false, Relaxed);
        }
        peer.spoke_edns.store(false, Relaxed);
        *peer.doubts() = Doubts::default();
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let of: Vec<_> = zones
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| key.0 == upstream.0)
            .collect();
        for key in of {
            zones.pop(&key);
        }
    }

    /// Whether a question goes out with EDNS. Those for DNSSEC records always try.
    pub fn speaks_edns(&self, upstream: UpstreamId, dnssec_ok: bool, now: Time) -> bool {
        dnssec_ok
            || !self
                .peer(upstream)
                .is_some_and(|peer| peer.edns.is_believed(now))
    }

    /// Whether it has answered questions with EDNS as one should, and nothing speaks against that since: then
    /// a failure is not EDNS's fault.
    pub fn knows_edns(&self, upstream: UpstreamId) -> bool {
        let knows = |peer: &Peer| peer.spoke_edns.load(Relaxed) && !peer.edns.is_doubted();
        self.peer(upstream).is_some_and(knows)
    }

    /// Whether a question that failed with EDNS may be tried without: now and then, where EDNS is in doubt.
    pub fn may_try_plain(&self, upstream: UpstreamId, now: Time) -> bool {
        let Some(peer) = self.peer(upstream).filter(|_| !self.knows_edns(upstream)) else {
            return false;
        };
        let mut doubts = peer.doubts();
        let due = doubts.tried_plain == Time::default()
            || now.since(doubts.tried_plain) >= TRY_PLAIN
            || peer.edns.is_doubted();
        if due {
            doubts.tried_plain = now;
        }
        due
    }

    /// A question was answered without EDNS that had failed with it.
    pub fn plain_worked(&self, upstream: UpstreamId, question: &[u8], now: Time) -> Option<Learnt> {
        let peer = self.peer(upstream)?;
        let doubts = &mut *peer.doubts();
        peer.edns.doubted.store(true, Relaxed);
        peer.edns
            .shown(&mut doubts.edns, name_of(question), now)
            .then_some(Learnt::NoEdns)
    }

    /// A question with EDNS was answered as one should.
    #[inline]
    pub fn edns_worked(&self, upstream: UpstreamId) -> Option<Learnt> {
        let peer = self.peer(upstream)?;
        if !peer.spoke_edns.load(Relaxed) {
            // Written only once, so that workers do not pull the line from each other.
            peer.spoke_edns.store(true, Relaxed);
        }
        if !peer.edns.is_doubted() {
            return None;
        }
        peer.edns
            .refuted(&mut peer.doubts().edns)
            .then_some(Learnt::Edns)
    }

    /// Whether a name is to be sent in random case.
    pub fn bears_mixed_case(&self, upstream: UpstreamId, question: &[u8], now: Time) -> bool {
        if self
            .peer(upstream)
            .is_some_and(|peer| peer.mixed_case.is_believed(now))
        {
            return false;
        }
        if !self.any_zone.load(Relaxed) {
            return true;
        }
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let until = zones.get(&(upstream.0, zone_of(question)));
        until.is_none_or(|zone| zone.until <= now)
    }

    /// Whether a question that failed in mixed case may be tried in plain case: nearly always it is the name.
    pub fn may_try_plain_case(&self, upstream: UpstreamId, now: Time) -> bool {
        let Some(mut doubts) = self.peer(upstream).map(Peer::doubts) else {
            return false;
        };
        let due =
            doubts.fruitless < FRUITLESS || now.since(doubts.tried_plain_case) >= TRY_PLAIN_CASE;
        if due {
            doubts.tried_plain_case = now;
            doubts.fruitless = doubts.fruitless.saturating_add(1);
        }
        due
    }

    /// Whether a name in mixed case that was said not to exist may be tried in plain case.
    pub fn may_try_denied(&self, upstream: UpstreamId, now: Time) -> bool {
        let Some(mut doubts) = self.peer(upstream).map(Peer::doubts) else {
            return false;
        };
        let due = doubts.denials < DENIALS || now.since(doubts.tried_denial) >= TRY_DENIAL;
        if due {
            doubts.tried_denial = now;
            doubts.denials = doubts.denials.saturating_add(1);
        }
        due
    }

    /// A name came back as it was sent, in random case.
    #[inline]
    pub fn case_kept(&self, upstream: UpstreamId) -> Option<Learnt> {
        let peer = self.peer(upstream)?;
        if !peer.mixed_case.is_doubted() {
            return None;
        }
        peer.mixed_case
            .refuted(&mut peer.doubts().mixed_case)
            .then_some(Learnt::MixedCase)
    }

    /// The upstream itself has changed a name's case: over a stream, where nobody else can have.
    pub fn case_changed(&self, upstream: UpstreamId, question: &[u8], now: Time) -> Option<Learnt> {
        let peer = self.peer(upstream)?;
        let doubts = &mut *peer.doubts();
        peer.mixed_case.doubted.store(true, Relaxed);
        peer.mixed_case
            .shown(&mut doubts.mixed_case, name_of(question), now)
            .then_some(Learnt::NoMixedCase)
    }

    /// A name was answered in plain case that had failed in mixed case. That may be its zone's servers' doing:
    /// names of that zone are asked in plain case. Where it had failed by silence, which may have been loss, only once a
    /// second name says the same.
    pub fn plain_case_worked(
        &self,
        upstream: UpstreamId,
        question: &[u8],
        silent: bool,
        now: Time,
    ) -> Option<Learnt> {
        let (zone, name) = (zone_of(question), name_of(question));
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Zone { name, until: now };
        let known = zones.get_or_insert_mut((upstream.0, zone), || first);
        if silent && known.name == name {
            return None;
        }
        known.until = now + REMEMBERED;
        self.any_zone.store(true, Relaxed);
        drop(zones);
        let peer = self.peer(upstream)?;
        let doubts = &mut *peer.doubts();
        peer.mixed_case.doubted.store(true, Relaxed);
        doubts.fruitless = 0;
        // Only different zones speak for the upstream's doing.
        peer.mixed_case
            .shown(&mut doubts.mixed_case, zone, now)
            .then_some(Learnt::NoMixedCase)
    }

    /// What may be a forgery came back: the name in other case than it was sent. Said now and then.
    pub fn near_miss(&self, upstream: UpstreamId, now: Time) -> Option<Learnt> {
        let mut doubts = self.peer(upstream)?.doubts();
        doubts.near_misses += 1;
        let due = doubts.told == Time::default() || now.since(doubts.told) >= LINE;
        due.then(|| {
            doubts.told = now;
            Learnt::NearMisses(std::mem::take(&mut doubts.near_misses))
        })
    }

    fn peer(&self, upstream: UpstreamId) -> Option<&Peer> {
        let peer = self.peers.get(usize::from(upstream.0))?;
        Some(peer.get_or_init(Box::default))
    }
}

impl Peer {
    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weakness {
    fn is_believed(&self, now: Time) -> bool {
        self.until.load(Relaxed) > now.nanos()
    }

    fn is_doubted(&self) -> bool {
        self.doubted.load(Relaxed)
    }

    /// `name` has shown it. Whether that is news for an operator.
    fn shown<const ENOUGH: usize>(
        &self,
        proofs: &mut Proofs<ENOUGH>,
        name: u64,
        now: Time,
    ) -> bool {
        if !proofs.add(name, now) {
            return false;
        }
        self.until.store((now + BELIEVED).nanos(), Relaxed);
        !std::mem::replace(&mut proofs.told, true)
    }

    /// The opposite was shown. Whether that is news for an operator.
    fn refuted<const ENOUGH: usize>(&self, proofs: &mut Proofs<ENOUGH>) -> bool {
        self.until.store(0, Relaxed);
        self.doubted.store(false, Relaxed);
        std::mem::take(proofs).told
    }
}

/// The name of a question, for telling one from another.
pub(super) fn name_of(question: &[u8]) -> u64 {
    let name = &question[..question.len().saturating_sub(4)];
    FixedState::default().hash_one(name.to_ascii_lowercase())
}

/// The last two labels of a question's name, for telling one zone from another about as well as it needs to be.
fn zone_of(question: &[u8]) -> u64 {
    let mut rest = &question[..question.len().saturating_sub(4)];
    let mut last = [rest; 3];
    while let Some((length, tail)) = rest.split_first().filter(|(length, _)| **length != 0) {
        last = [last[1], last[2], rest];
        rest = tail.get(usize::from(*length)..).unwrap_or_default();
    }
    FixedState::default().hash_one(last[1].to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CLASS_IN, QuestionKey, RecordType, name_from_text};

    const ONE: UpstreamId = UpstreamId(0);
    const OTHER: UpstreamId = UpstreamId(1);

    fn question(name: &str) -> Vec<u8> {
        let name = name_from_text(name).expect("a name");
        let key = QuestionKey::new(&name, RecordType::A, CLASS_IN, false, false);
        key.expect("a question").question().to_vec()
    }

    fn after(secs: u64) -> Time {
        Time::from_secs(1_000 + secs)
    }

    #[test]
    fn one_name_does_not_end_edns_and_two_do_for_less_than_a_minute() {
        let (peers, now) = (Peers::new(2), after(0));
        let speaks = |now| peers.speaks_edns(ONE, false, now);
        for _ in 0..5 {
            assert_eq!(peers.plain_worked(ONE, &question("a.example"), now), None);
        }
        assert!(speaks(now));
        let learnt = peers.plain_worked(ONE, &question("b.example"), now);
        assert_eq!(learnt, Some(Learnt::NoEdns));
        assert!(!speaks(now) && !speaks(after(49)) && speaks(after(60)));
        assert!(peers.speaks_edns(ONE, true, now), "DO always tries");
        assert!(
            peers.speaks_edns(OTHER, false, now),
            "the other one did nothing"
        );
        // Tried anew, and it still fails: known at once, and no news.
        let again = peers.plain_worked(ONE, &question("c.example"), after(60));
        assert_eq!(again, None);
        assert!(!speaks(after(61)));
        // The first answer ends it.
        assert_eq!(peers.edns_worked(ONE), Some(Learnt::Edns));
        assert!(speaks(after(61)) && peers.knows_edns(ONE));
        assert_eq!(peers.edns_worked(ONE), None);
        assert_eq!(
            peers.plain_worked(ONE, &question("d.example"), after(62)),
            None
        );
    }

    #[test]
    fn what_speaks_edns_is_not_tried_without() {
        let (peers, now) = (Peers::new(1), after(0));
        assert!(peers.may_try_plain(ONE, now));
        assert!(!peers.may_try_plain(ONE, now), "not with every failure");
        assert!(peers.may_try_plain(ONE, after(2)));
        peers.edns_worked(ONE);
        assert!(!peers.may_try_plain(ONE, after(4)));
    }

    #[test]
    fn a_changed_case_is_believed_of_three_names_and_ends_with_one_that_is_kept() {
        let (peers, now) = (Peers::new(1), after(0));
        let name = question("the.name.example");
        let bears = |now| peers.bears_mixed_case(ONE, &name, now);
        for changed in ["a.example", "b.example", "a.example"] {
            assert_eq!(peers.case_changed(ONE, &question(changed), now), None);
            assert!(bears(now));
        }
        let learnt = peers.case_changed(ONE, &question("c.example"), now);
        assert_eq!(learnt, Some(Learnt::NoMixedCase));
        assert!(!bears(now) && bears(after(60)));
        assert_eq!(peers.case_kept(ONE), Some(Learnt::MixedCase));
        assert!(bears(now));
    }

    #[test]
    fn a_zone_that_fails_in_mixed_case_is_asked_in_plain_case() {
        let (peers, now) = (Peers::new(2), after(0));
        for name in ["a.broken.test", "b.broken.test", "c.broken.test"] {
            assert_eq!(
                peers.plain_case_worked(ONE, &question(name), false, now),
                None
            );
        }
        assert!(!peers.bears_mixed_case(ONE, &question("www.Broken.test"), now));
        assert!(peers.bears_mixed_case(ONE, &question("www.well.test"), now));
        assert!(peers.bears_mixed_case(OTHER, &question("www.broken.test"), now));
        assert!(peers.bears_mixed_case(ONE, &question("www.broken.test"), now + REMEMBERED));
        // Silence may be loss.
        for (name, bears) in [("a", true), ("a", true), ("b", false)] {
            let name = question(&format!("{name}.silent.test"));
            assert_eq!(peers.plain_case_worked(ONE, &name, true, now), None);
            assert_eq!(peers.bears_mixed_case(ONE, &name, now), bears);
        }
    }

    #[test]
    fn denials_are_tried_in_plain_case_hardly_ever() {
        let peers = Peers::new(1);
        let now = Time::START;
        let tried = (0..1000).filter(|_| peers.may_try_denied(ONE, now)).count();
        assert_eq!(tried, DENIALS as usize);
        assert!(!peers.may_try_denied(ONE, now + TRY_DENIAL / 2));
        assert!(peers.may_try_denied(ONE, now + TRY_DENIAL));
        assert!(!peers.may_try_denied(ONE, now + TRY_DENIAL));
    }

    #[test]
    fn plain_case_is_tried_seldom_where_it_is_of_no_use() {
        let (peers, now) = (Peers::new(1), after(0));
        let tried = (0..100)
            .filter(|_| peers.may_try_plain_case(ONE, now))
            .count();
        assert_eq!(tried, FRUITLESS as usize);
        assert!(peers.may_try_plain_case(ONE, after(1)));
        assert!(!peers.may_try_plain_case(ONE, after(1)));
        peers.plain_case_worked(ONE, &question("a.example"), false, after(1));
        assert!(peers.may_try_plain_case(ONE, after(1)));
    }

    #[test]
    fn near_misses_are_said_once_a_minute_with_their_number() {
        let peers = Peers::new(1);
        assert_eq!(peers.near_miss(ONE, after(0)), Some(Learnt::NearMisses(1)));
        assert_eq!(peers.near_miss(ONE, after(1)), None);
        assert_eq!(peers.near_miss(ONE, after(61)), Some(Learnt::NearMisses(2)));
    }
}
