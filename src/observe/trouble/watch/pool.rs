//! The routes that the same names may take: whether nobody answers, or none is clear, is said of those together.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::event::Event;
use super::super::{Felt, Vain};
use super::mind::Mind;
use super::{HOLD, Troubles, Way};
use crate::clock::Time;

/// Nothing useful has come for so long, of at least so many that asked: nobody answers, whatever is believed.
const BARREN: Duration = Duration::from_secs(2);
const BARREN_QUESTIONS: u64 = 3;

/// ... or for so long, longer than a server that is asked little goes unheard, and so many names were asked for: all are
/// refused, say, and nobody is accused of it.
const REFUSED: Duration = Duration::from_secs(12);
const REFUSED_NAMES: usize = 5;

/// ... or where somebody goes on to say who serves the root, so many names of so many zones came to nothing by a server's word and no
/// other one was answered: all are refused, or a resolver has lost its own way out. One zone is not enough, however many names it has.
const ALL: usize = 8;
const ZONES: usize = 3;

/// Between two looks there is less time.
const GLANCE: Duration = Duration::from_millis(500);

/// How things stand altogether, as the events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Clear,
    NothingClear,
    Outage,
}

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// The zone whose names these are; `None` for all other names.
    pub(super) zone: Option<Arc<str>>,
    pub(super) standing: Standing,
    pub(super) ways: Vec<Way>,
    /// When an upstream last gave a useful answer, and what clients had got by then.
    pub(super) useful: (Time, Felt),
    /// What was asked for in vain.
    pub(super) vain: Vain,
}

impl Pool {
    pub(super) fn hear(&mut self, event: &Event) {
        self.standing = match event {
            Event::NothingClear { .. } | Event::OutageOver { .. } => Standing::NothingClear,
            Event::ClearAgain { .. } => Standing::Clear,
            Event::Outage { .. } => Standing::Outage,
            _ => return,
        };
    }
}

/// The place of a pool's outage among the minds, and that of there being nothing clear in it.
pub(super) const fn outage(pool: usize) -> usize {
    2 * pool
}
pub(super) const fn nothing_clear(pool: usize) -> usize {
    2 * pool + 1
}

impl Troubles {
    /// The pool that a trouble of everything is about.
    pub(super) fn pool_of(&self, index: usize) -> Option<&Pool> {
        self.pools.get(index / 2)
    }

    /// Whether this is one of everything: an outage, or nothing clear.
    pub(super) fn is_everything(&self, index: usize) -> bool {
        index < 2 * self.pools.len()
    }

    /// Whether this is one of there being nothing clear.
    fn is_nothing_clear(&self, index: usize) -> bool {
        self.is_everything(index) && index == nothing_clear(index / 2)
    }

    /// Whether a trouble of everything goes on.
    pub(super) fn is_bad_pool(&self, index: usize, now: Time) -> bool {
        let Some(pool) = self.pool_of(index) else {
            return false;
        };
        let unusable = !pool.ways.iter().any(|way| self.usable(*way));
        !pool.ways.is_empty()
            && match index == outage(index / 2) {
                true => unusable || pool.standing == Standing::Outage || self.is_barren(pool, now),
                false => unusable || pool.standing != Standing::Clear,
            }
    }

    /// Nothing useful comes, whatever is believed: clients ask in vain, or nothing ever came and everybody was asked.
    fn is_barren(&self, pool: &Pool, now: Time) -> bool {
        let (useful, before) = pool.useful;
        let felt = self.seen.felt.since(before);
        let Vain {
            names,
            unserved,
            zones,
            since,
            ..
        } = pool.vain;
        let mut usable = pool.ways.iter().filter(|way| self.usable(**way));
        match useful == Time::default() {
            // Nothing useful has ever come: a server that refuses this host altogether is none that fails some names.
            true => usable.all(|way| self.is_bad_way(*way)) || names >= REFUSED_NAMES,
            false if pool.standing == Standing::Clear => {
                let silent = now.since(useful) >= REFUSED && names >= REFUSED_NAMES;
                let all = unserved >= ALL && zones >= ZONES;
                silent || (now.since(since) >= REFUSED && all)
            }
            false => {
                let silent =
                    now.since(useful) >= BARREN && felt.failed + felt.stale >= BARREN_QUESTIONS;
                // Its servers are found to be useless, be it that they still know the root.
                silent || (now.since(since) >= BARREN && unserved >= REFUSED_NAMES)
            }
        }
    }

    /// When the last way of a pool was left: that is when its trouble began to show.
    pub(super) fn onset_of_pool(&self, index: usize, now: Time) -> Time {
        let of = |way: &Way| {
            let minds = way.all().map(|index| &self.minds[index]);
            let bad = minds.into_iter().filter(|mind| mind.is_bad());
            bad.map(|mind| mind.onset).min()
        };
        let ways = self.pool_of(index).map_or(&[][..], |pool| &pool.ways);
        let usable = ways.iter().filter(|way| self.usable(**way));
        let left = usable.filter_map(of).max();
        let vain = self.pool_of(index).map(|pool| pool.vain);
        let in_vain = vain.filter(|it| it.unserved > 0).map(|it| it.since);
        // Where nobody is accused: when the first name came to nothing.
        left.or(in_vain).unwrap_or(now)
    }

    /// Whether it is not known yet if anybody answers at all: nothing is clear, nothing useful has come for a moment, and it is
    /// too early to be sure that nothing will. Whoever is told twice of one outage looks for two.
    pub(super) fn may_be_outage(&self, index: usize, since: Time, now: Time) -> bool {
        let Some(pool) = self.pool_of(index).filter(|_| self.is_nothing_clear(index)) else {
            return false;
        };
        let (useful, before) = pool.useful;
        let felt = self.seen.felt.since(before);
        felt.failed > 0
            && now.since(useful) >= HOLD
            && now.since(since.max(useful)) < BARREN + HOLD + GLANCE
    }

    /// There is no network for any way of the pool, by what the kernel says.
    pub(super) fn is_without_network(&self, index: usize) -> bool {
        let without = |way: &Way| {
            let minds = way.all().map(|index| &self.minds[index]);
            minds.into_iter().any(Mind::is_without_network)
        };
        let ways = self.pool_of(index).map_or(&[][..], |pool| &pool.ways);
        ways.iter().all(without)
    }

    /// Whether each way of a path, an upstream or a route belongs to a pool for which `which` holds.
    pub(super) fn are_all_in(&self, index: usize, which: impl Fn(usize) -> bool) -> bool {
        let mut own = self.ways.iter().filter(|way| way.all().contains(&index));
        own.all(|way| {
            let mut pools = self.pools.iter().enumerate();
            pools.any(|(pool, of)| of.ways.contains(way) && which(pool))
        })
    }
}
