//! When somebody is to be told of a trouble: not before it has lasted, nor as long as a greater one explains it.

use std::time::Duration;

use super::super::super::event::Evidence;
use super::super::super::said::Said;
use super::mind::Open;
use super::{HOLD, Troubles, pool};
use crate::clock::Time;

/// What another path or upstream explained may take a little longer to show that it is well.
const SHADOW: Duration = Duration::from_secs(3);
/// The least time there is.
const MOMENT: Duration = Duration::from_millis(1);
/// Three losses of a way that is asked little may be chance, and are told of when it has not shown better for so long.
const WEAK: u32 = 5;
const WEAK_HOLD: Duration = Duration::from_secs(10);
/// Where the network itself is not there (yet), and nobody asks, it is waited for.
const NETWORK: Duration = Duration::from_secs(10);

impl Troubles {
    /// For how long after this moment a greater trouble, told or about to be, explains this one.
    pub(super) fn shadow(&self, index: usize) -> Option<Duration> {
        let goes_on = |index: usize| {
            let open = self.minds[index].open.as_ref();
            open.is_some_and(|open| open.bad || open.number.is_some())
        };
        let everything = |pool: usize| [pool::outage(pool), pool::nothing_clear(pool)];
        let greater: Vec<usize> = if self.is_everything(index) {
            // Where nobody answers at all, no zone of its own is news.
            let outages = [pool::outage(0), pool::outage(index / 2)].into_iter();
            outages.filter(|it| *it < index && goes_on(*it)).collect()
        } else if self.are_all_in(index, |pool| everything(pool).into_iter().any(goes_on)) {
            let all = (0..self.pools.len()).flat_map(everything);
            all.filter(|it| goes_on(*it)).collect()
        } else {
            Vec::new()
        };
        if !greater.is_empty() {
            // One that comes to nothing leaves no shadow.
            let told = greater.iter().any(|it| self.minds[*it].is_told());
            return Some(if told { self.grace } else { MOMENT });
        }
        let mut own = self.ways.iter().filter(|way| way.route == index);
        own.any(|way| goes_on(way.path) || goes_on(way.upstream))
            .then_some(SHADOW)
    }

    /// Whether somebody is to be told of it now.
    pub(super) fn is_due(&self, index: usize, now: Time) -> bool {
        let mind = &self.minds[index];
        let Some(open) = mind.open.as_ref() else {
            return false;
        };
        // What was so at the start is no surprise, nor is what the first round brought, unless that is silence: an answer may
        // be late, and where round trips are known of old that round is short.
        let known = mind.missing.as_ref().is_some_and(|(_, at_start)| *at_start);
        let silent =
            mind.silent.is_some_and(|said| said != Said::Nothing) && !mind.verdict.is_bad();
        open.number.is_none()
            && open.bad
            && (silent || known || open.bad_for(now) >= self.hold(index))
            && now >= mind.explained
            && !self.is_awaited(index, open, now)
            && !self.may_be_outage(index, open.since, now)
    }

    /// How long it must have been bad.
    fn hold(&self, index: usize) -> Duration {
        let mind = &self.minds[index];
        let Evidence {
            lost, late, poor, ..
        } = mind.evidence;
        let deadly = mind.nature().is_some_and(|nature| nature.is_deadly());
        let weak = !self.is_everything(index) && !deadly && poor == 0 && lost > late;
        match weak && lost + late < WEAK {
            true => WEAK_HOLD,
            false => HOLD,
        }
    }

    /// There is no network, be it not yet or for a moment, and nobody has asked.
    fn is_awaited(&self, index: usize, open: &Open, now: Time) -> bool {
        let felt = self.seen.felt.since(open.before);
        self.is_everything(index)
            && felt.failed + felt.stale == 0
            && now.since(open.since) < NETWORK
            && self.is_without_network(index)
    }
}
