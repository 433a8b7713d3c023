//! From what the engine tells and what clients got to troubles: opened, told, absorbed, over.

mod account;
mod due;
mod mind;
mod pool;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::event::{Event, Subject, Verdict};
use super::super::labels::Scope;
use super::{Begun, Culprit, Felt, Nature, Ongoing, Over, Place, Sight};
use crate::clock::Time;
use mind::{MEMORY, Mind, Open, WELL, WELL_MOST};
use pool::{Pool, Standing};

/// How long something must have been bad, all told, before anybody is told: longer than it takes to tell death from a
/// queue, and whom to blame.
const HOLD: Duration = Duration::from_secs(1);
/// What was told so shortly before is explained by a greater trouble that follows.
const TOGETHER: Duration = Duration::from_secs(10);
/// What a greater trouble explained is told of by itself when it is still bad so long after that one, and the time that a
/// route's return may take.
const MARGIN: Duration = Duration::from_secs(3);
/// How often what clients got is noted, and for how long it is kept: a trouble is told later than it began.
const NOTED_EVERY: Duration = Duration::from_millis(250);
const NOTED_FOR: Duration = Duration::from_secs(30);

/// A route, as places among the minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    path: usize,
    upstream: usize,
    route: usize,
}

impl Way {
    fn all(self) -> [usize; 3] {
        [self.path, self.upstream, self.route]
    }
}

/// Everybody who may be in trouble. Shared by who looks and who shows it.
#[derive(Debug)]
pub struct Troubles {
    /// For each pool the outage and nothing clear, then paths, upstreams and routes.
    minds: Vec<Mind>,
    ways: Vec<Way>,
    pools: Vec<Pool>,
    /// How long after a greater trouble a lesser one may take to be found well.
    grace: Duration,
    noted: VecDeque<(Time, Felt)>,
    seen: Sight,
    told: u64,
    evacuated: Vec<(Arc<str>, Nature)>,
}

impl Troubles {
    /// Nobody is in trouble yet. `zones` names the pools that the places speak of, the main one first, which has no
    /// name. A route's return may take `return_within`.
    pub fn new(places: &[Place], zones: &[Option<Arc<str>>], return_within: Duration) -> Troubles {
        let mut minds = Vec::new();
        for zone in zones {
            minds.push(Mind::new(Culprit::Outage(zone.clone())));
            minds.push(Mind::new(Culprit::NothingClear(zone.clone())));
        }
        let mut find = |subject: Subject| {
            let culprit = Culprit::One(subject);
            let known = minds.iter().position(|mind| mind.culprit == culprit);
            known.unwrap_or_else(|| {
                minds.push(Mind::new(culprit));
                minds.len() - 1
            })
        };
        // Paths before upstreams before routes: so they are told of.
        for place in places {
            find(Subject::Path(place.path.clone()));
        }
        for place in places {
            find(Subject::Upstream(place.upstream.clone()));
        }
        let ways = places.iter().map(|place| Way {
            path: find(Subject::Path(place.path.clone())),
            upstream: find(Subject::Upstream(place.upstream.clone())),
            route: find(Subject::Route(place.route.clone())),
        });
        let ways: Vec<Way> = ways.collect();
        let pool = |(number, zone): (usize, &Option<Arc<str>>)| {
            let of = places.iter().zip(&ways);
            let own = of.filter(|(place, _)| place.pools.contains(&number));
            Pool {
                zone: zone.clone(),
                standing: Standing::Clear,
                ways: own.map(|(_, way)| *way).collect(),
                useful: Default::default(),
                vain: Default::default(),
            }
        };
        let pools = zones.iter().enumerate().map(pool).collect();
        Troubles {
            minds,
            ways,
            pools,
            grace: return_within + MARGIN,
            noted: VecDeque::new(),
            seen: Sight::default(),
            told: 0,
            evacuated: Vec::new(),
        }
    }

    /// Takes over from those `before` a reload what goes on with whoever stays. Returns the [`Event::TroubleOver`]s of what was told
    /// of those who have gone.
    pub fn succeed(&mut self, before: Troubles, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        for mut mind in before.minds {
            match self.minds.iter_mut().find(|it| it.culprit == mind.culprit) {
                Some(own) => *own = mind,
                None => {
                    mind.drained = true;
                    let over = mind.end(now, &before.seen);
                    events.extend(over.map(|over| Event::TroubleOver(over.into())));
                }
            }
        }
        for pool in &mut self.pools {
            let mut all = before.pools.iter();
            if let Some(was) = all.find(|it| it.zone == pool.zone) {
                (pool.standing, pool.useful, pool.vain) = (was.standing, was.useful, was.vain);
            }
        }
        (self.told, self.noted, self.seen) = (before.told, before.noted, before.seen);
        events
    }

    /// Takes in what happened.
    pub fn hear(&mut self, at: Time, event: &Event) {
        let is = |pool: &&mut Pool| pool.zone.as_deref() == event.zone();
        if let Some(pool) = self.pools.iter_mut().find(is) {
            pool.hear(event);
        }
        let Some(mind) = event.subject().and_then(|subject| self.mind(&subject)) else {
            return;
        };
        let bad = mind.is_bad();
        match event {
            Event::Verdict { to, evidence, .. } => {
                mind.verdict = *to;
                if to.is_bad() {
                    mind.evidence = *evidence;
                }
            }
            Event::PathLost { why, at_start, .. } => {
                mind.missing = Some((why.clone(), *at_start));
            }
            Event::PathFound { .. } => mind.missing = None,
            Event::FirstRound { said, .. } if !said.is_servers() => mind.silent = Some(*said),
            Event::FirstAnswer { .. } => mind.silent = None,
            Event::Drained { .. } => mind.drained = true,
            Event::Restored { .. } => mind.drained = false,
            Event::LoopFound { .. } => mind.loops = true,
            Event::LoopOver { .. } => mind.loops = false,
            _ => {}
        }
        mind.turn(bad, at);
        if matches!(event, Event::FirstRound { .. } | Event::FirstAnswer { .. }) {
            self.gather_silence(at);
        }
    }

    /// A path or an upstream of which no route has answered since the start is silent itself.
    fn gather_silence(&mut self, at: Time) {
        for index in 2 * self.pools.len()..self.minds.len() {
            let of = |way: &&Way| way.path == index || way.upstream == index;
            let own: Vec<Way> = self.ways.iter().filter(of).copied().collect();
            let said = |way: &Way| self.minds[way.route].silent;
            let silent = own.first().and_then(said);
            let all = own.len() > 1 && own.iter().all(|way| said(way).is_some());
            if own.is_empty() {
                continue;
            }
            let mind = &mut self.minds[index];
            let bad = mind.is_bad();
            mind.silent = silent.filter(|_| all);
            mind.turn(bad, at);
        }
    }

    /// Events were lost: what is believed of everybody is this.
    pub fn catch_up(&mut self, now: Time, verdict: impl Fn(&Subject) -> Option<Verdict>) {
        for mind in &mut self.minds {
            let bad = mind.is_bad();
            if let Culprit::One(subject) = &mind.culprit
                && let Some(verdict) = verdict(subject)
            {
                mind.verdict = verdict;
            }
            mind.turn(bad, now);
        }
        for pool in 0..self.pools.len() {
            let clear = |way: &Way| self.usable(*way) && !self.is_bad_way(*way);
            if self.pools[pool].ways.iter().any(clear) {
                self.pools[pool].standing = Standing::Clear;
            }
        }
    }

    /// Lets time do its part. Returns [`Event::Trouble`]s and [`Event::TroubleOver`]s to be told now.
    pub fn look(&mut self, now: Time, sight: &Sight) -> Vec<Event> {
        self.note(now, sight);
        let mut events = Vec::new();
        for index in 0..self.minds.len() {
            let bad = self.is_bad(index, now);
            self.turn(index, bad, now);
            events.extend(
                self.end(index, now)
                    .map(|over| Event::TroubleOver(over.into())),
            );
        }
        for index in 0..self.minds.len() {
            if let Some(shadow) = self.shadow(index) {
                self.minds[index].explained = now + shadow;
            }
        }
        for index in 0..self.minds.len() {
            if self.is_due(index, now) {
                events.push(Event::Trouble(self.begin(index, now).into()));
            }
        }
        events
    }

    /// What goes on and was told, the one that explains most first.
    pub fn ongoing(&self, now: Time) -> Vec<Ongoing> {
        let minds = (0..self.minds.len()).filter_map(|index| {
            let open = self.minds[index].open.as_ref()?;
            Some(Ongoing {
                begun: self.describe(index, open.number?, now),
                flapped: open.flapped,
                well_for: (!open.bad).then(|| now.since(open.turned)),
            })
        });
        minds.collect()
    }

    /// How many troubles of this scope go on and were told.
    pub fn count(&self, scope: Scope) -> usize {
        let of = |mind: &&Mind| mind.culprit.scope() == scope && mind.is_told();
        self.minds.iter().filter(of).count()
    }

    /// Nobody answers usefully for names that no zone takes, told or not.
    pub fn is_outage(&self) -> bool {
        self.minds[pool::outage(0)]
            .open
            .as_ref()
            .is_some_and(|open| open.bad)
    }

    /// The paths that traffic has left since the last call because they were in trouble, and what that was.
    pub fn take_evacuated(&mut self) -> Vec<(Arc<str>, Nature)> {
        std::mem::take(&mut self.evacuated)
    }

    fn mind(&mut self, subject: &Subject) -> Option<&mut Mind> {
        let is = |mind: &&mut Mind| mind.culprit.subject() == Some(subject);
        self.minds.iter_mut().find(is)
    }

    fn note(&mut self, now: Time, sight: &Sight) {
        self.seen.clone_from(sight);
        for (pool, useful) in self.pools.iter_mut().zip(&sight.useful) {
            if *useful != pool.useful.0 {
                pool.useful = (*useful, sight.felt);
            }
        }
        for (pool, vain) in self.pools.iter_mut().zip(&sight.vain) {
            pool.vain = *vain;
        }
        let last = self.noted.back().map_or(Time::default(), |(at, _)| *at);
        if now.since(last) >= NOTED_EVERY {
            self.noted.push_back((now, sight.felt));
        }
        while self
            .noted
            .front()
            .is_some_and(|(at, _)| now.since(*at) > NOTED_FOR)
        {
            self.noted.pop_front();
        }
    }

    /// What clients had got by then.
    fn felt_at(&self, at: Time) -> Felt {
        let before = self.noted.iter().rev().find(|(noted, _)| *noted <= at);
        let first = || self.noted.front();
        before
            .or_else(first)
            .map_or(Felt::default(), |(_, felt)| *felt)
    }

    fn usable(&self, way: Way) -> bool {
        !way.all()
            .into_iter()
            .any(|index| self.minds[index].is_unusable())
    }

    fn is_bad_way(&self, way: Way) -> bool {
        way.all()
            .into_iter()
            .any(|index| self.minds[index].is_bad())
    }

    fn is_bad(&self, index: usize, now: Time) -> bool {
        match self.is_everything(index) {
            true => self.is_bad_pool(index, now),
            false => self.minds[index].is_bad(),
        }
    }

    /// When what is wrong began to show.
    fn onset(&self, index: usize, now: Time) -> Time {
        match self.is_everything(index) {
            true => self.onset_of_pool(index, now),
            false => self.minds[index].onset,
        }
    }

    fn turn(&mut self, index: usize, bad: bool, now: Time) {
        let nature = self.minds[index].nature();
        if bad && self.minds[index].open.is_none() {
            let since = self.onset(index, now).max(now - NOTED_FOR);
            let (before, slept) = (self.felt_at(since), self.seen.slept);
            let mind = &mut self.minds[index];
            let again = mind.over != Time::default() && now.since(mind.over) < MEMORY;
            mind.wait = match again {
                true => (mind.wait * 2).min(WELL_MOST),
                false => WELL,
            };
            mind.open = Some(Open {
                number: None,
                told: Time::default(),
                since,
                bad,
                turned: now,
                bad_for: Duration::ZERO,
                nature,
                flapped: 0,
                before,
                slept,
            });
            return;
        }
        let Some(open) = &mut self.minds[index].open else {
            return;
        };
        let deadly = |nature: &Option<Nature>| nature.as_ref().is_some_and(Nature::is_deadly);
        if nature.is_some() && (deadly(&nature) || !deadly(&open.nature)) {
            open.nature = nature.clone();
        }
        if bad == open.bad {
            return;
        }
        open.bad_for = open.bad_for(now);
        (open.bad, open.turned) = (bad, now);
        if bad {
            open.flapped += 1;
            if open.number.is_some() {
                self.evacuate(index, nature);
            }
        }
    }

    /// The traffic of a path that is in trouble has left it, if it has anywhere to go.
    fn evacuate(&mut self, index: usize, nature: Option<Nature>) {
        if let Culprit::One(Subject::Path(path)) = &self.minds[index].culprit
            && !self.instead(index).is_empty()
            && let Some(nature) = nature
        {
            self.evacuated.push((path.clone(), nature));
        }
    }

    /// The end of a trouble, if it is one and was told.
    fn end(&mut self, index: usize, now: Time) -> Option<Over> {
        self.minds[index].end(now, &self.seen)
    }

    fn begin(&mut self, index: usize, now: Time) -> Begun {
        let explains = self.absorb(index, now);
        self.told += 1;
        let number = self.told;
        if let Some(open) = &mut self.minds[index].open {
            (open.number, open.told) = (Some(number), now);
        }
        let nature = self.minds[index].nature();
        let begun = Begun {
            explains,
            ..self.describe(index, number, now)
        };
        if !begun.said {
            self.evacuate(index, nature);
        }
        begun
    }

    /// Lesser troubles that were told shortly before, and those whose blame has moved here, end in this one.
    fn absorb(&mut self, index: usize, now: Time) -> Vec<u64> {
        let mut numbers = Vec::new();
        let since = self.minds[index]
            .open
            .as_ref()
            .map_or(now, |open| open.since);
        for other in (0..self.minds.len()).filter(|other| *other != index) {
            let shares = |way: &Way| {
                let all = way.all();
                all.contains(&index) && all.contains(&other)
            };
            let related = self.ways.iter().any(shares);
            let everything = [index, other].map(|it| self.is_everything(it));
            let lesser = match everything {
                // An outage explains that nothing is clear, and the main one those of zones.
                [true, true] => {
                    index < other && (index == pool::outage(0) || index / 2 == other / 2)
                }
                [true, false] => self.are_all_in(other, |pool| pool == index / 2),
                [false, true] => false,
                [false, false] => related && self.minds[other].culprit.scope() == Scope::Route,
            };
            let Some(open) = self.minds[other].open.as_mut() else {
                continue;
            };
            // Blame that has moved here; not what was over before this began.
            let moved = !everything[1] && (related || lesser) && !open.bad && open.turned >= since;
            if !(lesser && open.bad || moved) || now.since(open.told) >= TOGETHER {
                continue;
            }
            if let Some(number) = open.number.take() {
                numbers.push(number);
                if moved {
                    self.minds[other].open = None;
                }
            }
        }
        numbers
    }
}
