//! One answer in the cache and how it ages.
//!
//! An entry has four ages: *fresh* while its TTL lasts; *due*, the last tenth of that, when one
//! reader is told to refresh it; *stale* for `stale-max` beyond it (RFC 8767); then *dead*. None of
//! them is a state that something must change in time: each follows from the moment the answer was
//! stored and the moment of the question.

use std::time::Duration;

use crate::clock::Life;
use crate::wire::{Answer, KeyRef};

use super::ghosts;
use super::rules::Lifetime;

/// A name is refreshed ahead of its expiry if it was asked for so often in this life: the reader
/// that would be told, and one before it.
const ASKED_FOR: u16 = 2;
/// The share of the TTL, counted from its end, in which an entry is refreshed: a tenth, as Unbound
/// does.
const REFRESH_SHARE: u64 = 10;
/// A tenth of a short TTL is less than a round trip and another try. The refresh starts this long before
/// expiry at the latest, or in the last quarter of the TTL if that is later. More would cost packets: at a
/// TTL of five seconds each further half a second is one in twelve.
const REFRESH_LEAST: u64 = NANOS / 2;
/// After a refresh that failed the next is due so much later, or after a quarter of the refresh
/// window if that is shorter.
const REFRESH_PAUSE: u64 = 3 * NANOS;
const NANOS: u64 = 1_000_000_000;

/// Flags of an entry; the first two are those of the question key.
pub(super) mod flag {
    /// The answer to a question with the DO bit.
    pub(in crate::cache) const DNSSEC_OK: u8 = 1;
    /// The answer to a question with the CD bit.
    pub(in crate::cache) const CHECKING_DISABLED: u8 = 2;
    /// Asked for again since it was first stored, or known to have come back.
    pub(in crate::cache) const ASKED: u8 = 4;
    /// Some reader was told to refresh it.
    pub(in crate::cache) const REPORTED: u8 = 8;
    /// Which snapshot it was last written to: flips from one to the next.
    pub(in crate::cache) const MARK: u8 = 16;
    /// It is dead as soon as its TTL is over.
    pub(in crate::cache) const PROVISIONAL: u8 = 32;
}

/// An answer with what the cache knows about it: 32 bytes, and the answer's own allocation.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) answer: Answer,
    stored: Stamp,
    /// Seconds from `stored` to expiry, by the rules of this cache.
    pub(super) ttl: u32,
    /// Where it came from: the caller's number, or [`super::FROM_SNAPSHOT`].
    pub(super) route: u16,
    /// Questions answered from it since it was stored.
    pub(super) hits: u16,
    pub(super) heat: Heat,
    /// No refresh before so many 255ths of the refresh window have passed.
    hold: u8,
    pub(super) flags: u8,
}

/// A point in time as 32 bits: in units of 2^26 ns, about a fifteenth of a second, which last for nine
/// years from the origin of [`Life`]. Rounded down, so an answer is never younger than it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u32);

impl Stamp {
    const SHIFT: u32 = 26;

    fn of(time: Life) -> Stamp {
        Stamp(u32::try_from(time.nanos() >> Stamp::SHIFT).unwrap_or(u32::MAX))
    }

    fn time(self) -> Life {
        Life::from_nanos(u64::from(self.0) << Stamp::SHIFT)
    }
}

/// How much an entry is asked for: a count up to [`ghosts::MOST`] that is halved with every epoch
/// of its shard. The halving is done when the count is next looked at, so no time is spent on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heat(u16);

impl Heat {
    const EPOCHS: u16 = 0xfff;

    pub(super) fn new(count: u8, epoch: u16) -> Heat {
        Heat(epoch << 4 | u16::from(count.min(ghosts::MOST)))
    }

    /// The count in `epoch`.
    pub(super) fn at(self, epoch: u16) -> u8 {
        let halvings = epoch.wrapping_sub(self.0 >> 4) & Heat::EPOCHS;
        (self.0 as u8 & ghosts::MOST) >> halvings.min(4)
    }
}

/// How long what is found may be used, as far as time has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Its TTL lasts.
    Fresh {
        /// Seconds until it expires, at least 1.
        left: u32,
        /// The reader should refresh it now, without waiting for the result. Said to one reader
        /// only, until [`store`](super::Cache::store) or
        /// [`refresh_failed`](super::Cache::refresh_failed).
        refresh_due: bool,
    },
    /// Expired, but within `stale-max` (RFC 8767): for when nothing better comes.
    Stale {
        /// Seconds since it expired.
        for_: u32,
    },
}

impl Entry {
    pub(super) fn new(
        key: KeyRef<'_>,
        answer: Answer,
        lifetime: Lifetime,
        route: u16,
        now: Life,
    ) -> Entry {
        let dnssec_ok = if key.dnssec_ok() { flag::DNSSEC_OK } else { 0 };
        let checking_disabled = match key.checking_disabled() {
            true => flag::CHECKING_DISABLED,
            false => 0,
        };
        let provisional = match lifetime.is_provisional() {
            true => flag::PROVISIONAL,
            false => 0,
        };
        Entry {
            answer,
            stored: Stamp::of(now),
            ttl: lifetime.seconds(),
            route,
            hits: 0,
            heat: Heat::default(),
            hold: 0,
            flags: dnssec_ok | checking_disabled | provisional,
        }
    }

    /// Whether this is the answer to `key`: name, type, class, DO and CD.
    #[inline]
    pub(super) fn answers(&self, key: KeyRef<'_>) -> bool {
        key.as_bytes()
            .split_last()
            .is_some_and(|(flags, question)| {
                *flags == self.flags & (flag::DNSSEC_OK | flag::CHECKING_DISABLED)
                    && question == self.answer.question()
            })
    }

    /// The name it answers for, in wire form.
    pub(super) fn name(&self) -> &[u8] {
        let question = self.answer.question();
        question
            .split_last_chunk::<4>()
            .map_or(&[], |(name, _)| name)
    }

    /// Bytes it takes, table and counters aside.
    pub(super) fn bytes(&self) -> usize {
        super::memory::of_entry(self.answer.len())
    }

    /// Whole seconds since it was stored.
    #[inline]
    pub(super) fn age(&self, now: Life) -> u32 {
        u32::try_from(self.age_nanos(now) / NANOS).unwrap_or(u32::MAX)
    }

    /// Time since it was stored.
    pub(super) fn age_nanos(&self, now: Life) -> u64 {
        now.nanos().saturating_sub(self.stored.time().nanos())
    }

    /// When it is past its TTL and past `stale_max` too.
    #[inline]
    pub(super) fn death(&self, stale_max: Duration) -> Life {
        let expiry = self.stored.time() + Duration::from_nanos(self.ttl_nanos());
        match self.is_provisional() {
            true => expiry,
            false => expiry + stale_max,
        }
    }

    /// Whether it is for the moment only.
    #[inline]
    pub(super) fn is_provisional(&self) -> bool {
        self.flags & flag::PROVISIONAL != 0
    }

    /// Whether it is past both.
    #[inline]
    pub(super) fn dead(&self, now: Life, stale_max: Duration) -> bool {
        now >= self.death(stale_max)
    }

    /// How fresh it is, refreshing aside; `None` if it is dead.
    pub(super) fn freshness(&self, now: Life, stale_max: Duration) -> Option<Freshness> {
        let age = self.age_nanos(now);
        if age < self.ttl_nanos() {
            let left = self.ttl - self.age(now);
            return Some(Freshness::Fresh {
                left,
                refresh_due: false,
            });
        }
        (!self.dead(now, stale_max)).then(|| Freshness::Stale {
            for_: u32::try_from((age - self.ttl_nanos()) / NANOS).unwrap_or(u32::MAX),
        })
    }

    /// Counts a question answered from it.
    #[inline]
    pub(super) fn count_hit(&mut self, epoch: u16) {
        self.hits = self.hits.saturating_add(1);
        self.heat = Heat::new(self.heat.at(epoch) + 1, epoch);
        self.flags |= flag::ASKED;
    }

    /// A number that goes up with each question, and starts anywhere when the answer is stored: what is renewed all the
    /// time must not begin with the same address each time.
    #[inline]
    pub(super) fn turn(&self, now: Life) -> u32 {
        let count = match self.hits {
            // It is counted no further.
            u16::MAX => (now.nanos() >> 10) as u32,
            hits => hits.into(),
        };
        self.stored.0.wrapping_add(count)
    }

    /// Whether this reader is the one to refresh it. `spread` is any number that differs from name
    /// to name: it moves the moment within the first half of the window, so that names stored
    /// together are not refreshed together.
    #[inline]
    pub(super) fn report_refresh(&mut self, spread: u64, now: Life) -> bool {
        let due = self.flags & flag::REPORTED == 0
            && self.hits >= ASKED_FOR
            && self.hold < u8::MAX
            && self.age_nanos(now)
                >= self.refresh_from(spread) + self.hold_unit() * u64::from(self.hold);
        if due {
            self.flags |= flag::REPORTED;
        }
        due
    }

    /// The refresh that was reported came to nothing: the next is due after a pause, if there is
    /// time for one.
    pub(super) fn pause_refresh(&mut self, spread: u64, now: Life) {
        if self.flags & flag::REPORTED == 0 {
            return;
        }
        self.flags &= !flag::REPORTED;
        let pause = REFRESH_PAUSE.min(self.refresh_window() / 4);
        let next = (self.age_nanos(now) + pause).saturating_sub(self.refresh_from(spread));
        self.hold = u8::try_from(next.div_ceil(self.hold_unit())).unwrap_or(u8::MAX);
    }

    /// Takes over what is worth keeping of the entry it replaces: how much it is asked for.
    pub(super) fn succeed(&mut self, before: &Entry) {
        self.heat = before.heat;
        self.flags |= before.flags & (flag::ASKED | flag::MARK);
    }

    fn ttl_nanos(&self) -> u64 {
        u64::from(self.ttl) * NANOS
    }

    fn refresh_window(&self) -> u64 {
        let ttl = self.ttl_nanos();
        (ttl / REFRESH_SHARE).max(REFRESH_LEAST.min(ttl / 4))
    }

    /// The age from which it is due for refreshing.
    fn refresh_from(&self, spread: u64) -> u64 {
        let window = self.refresh_window();
        let jitter = window / 2 / 256 * (spread & 0xff);
        self.ttl_nanos() - window + jitter
    }

    /// At least 1: a TTL is at least a second, so the window is at least a quarter of one.
    fn hold_unit(&self) -> u64 {
        (self.refresh_window() / u64::from(u8::MAX)).max(1)
    }
}
