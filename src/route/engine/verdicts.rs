//! From a changed verdict to what follows from it: who answers for a bad route.

use crate::clock::Time;
use crate::observe::event::{Event, Subject, Verdict};
use crate::route::choose::Rank;
use crate::route::constants::judge::proof::TOGETHER;
use crate::route::constants::probe::idle::*;
use crate::route::engine::Engine;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::pool::Pool;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{PathId, Route, RouteId, UpstreamId};
use crate::route::judge::blame::{Culprit, Seen, culprit};
use crate::route::judge::counts::{Change, Streak};
use crate::route::rules::Rule;

impl Engine {
    pub(super) fn route_changed(&mut self, route: RouteId, change: Change, now: Time) {
        self.tell_of_route(route, change, now);
        self.settle(now);
    }

    pub(super) fn path_changed(&mut self, path: PathId, change: Change, now: Time) {
        self.tell_of_path(path, change, now);
        self.follow_path(path, change, now);
        self.settle(now);
    }

    pub(super) fn upstream_changed(&mut self, upstream: UpstreamId, change: Change, now: Time) {
        self.tell_of_upstream(upstream, change, now);
        self.follow_upstream(upstream, change, now);
        self.settle(now);
    }

    /// What one attempt changed of its path, its upstream and its route. All of it is told before anything
    /// follows from one of them, for that may change another one's verdict again.
    pub(in crate::route) fn changed(
        &mut self,
        route: RouteId,
        changes: [Option<Change>; 3],
        now: Time,
    ) {
        let Route { upstream, path, .. } = self.record(route).route;
        let [of_path, of_upstream, own] = changes;
        if let Some(change) = of_path {
            self.tell_of_path(path, change, now);
        }
        if let Some(change) = of_upstream {
            self.tell_of_upstream(upstream, change, now);
        }
        if let Some(change) = own {
            self.tell_of_route(route, change, now);
        }
        if let Some(change) = of_path {
            self.follow_path(path, change, now);
        }
        if let Some(change) = of_upstream {
            self.follow_upstream(upstream, change, now);
        }
        self.settle(now);
    }

    fn follow_path(&mut self, path: PathId, change: Change, now: Time) {
        let group = &mut self.paths[path.0 as usize];
        if matches!(change.to, Verdict::Recovering | Verdict::Clear)
            && !matches!(change.from, Verdict::Recovering | Verdict::Clear)
        {
            let (name, away) = (group.name.clone(), now.since(group.left));
            group.left = Time::NEVER;
            let told = std::mem::take(&mut group.told);
            let evidence = self.evidence_of_path(path, change, now);
            if told {
                self.tell(
                    now,
                    Event::Returned {
                        path: name,
                        away,
                        evidence,
                    },
                );
            }
            self.absolve(|route| route.path == path, change.relief, now);
        } else if !change.from.is_bad() && change.to.is_bad() {
            let evidence = self.evidence_of_path(path, change, now);
            self.left(path, change.to, evidence, now);
        }
    }

    fn follow_upstream(&mut self, upstream: UpstreamId, change: Change, now: Time) {
        if matches!(change.to, Verdict::Recovering | Verdict::Clear)
            && !matches!(change.from, Verdict::Recovering | Verdict::Clear)
        {
            self.absolve(|route| route.upstream == upstream, change.relief, now);
        }
    }

    /// Routes that were bad for a reason that is gone, and showed nothing bad since.
    pub(in crate::route) fn absolve(
        &mut self,
        which: impl Fn(&Route) -> bool,
        relief: Time,
        now: Time,
    ) {
        for index in 0..self.records.len() {
            let probation = self.probation;
            let record = &mut self.records[index];
            let stays = record.bad_sent >= relief || !Rule::Absolve.stands();
            if !which(&record.route) || stays {
                continue;
            }
            if let Some(change) = record.health.absolve(relief, now, &probation) {
                self.tell_of_route(RouteId(index as u16), change, now);
            }
        }
    }

    /// Decides who answers for each bad route, and ranks all routes anew.
    pub(in crate::route) fn settle(&mut self, now: Time) {
        for group in self.paths.iter_mut().chain(&mut self.upstreams) {
            group.doubted = false;
        }
        self.unsettled = false;
        let mut witness = None;
        for index in 0..self.records.len() {
            let record = &self.records[index];
            let Route { upstream, path, .. } = record.route;
            if record.health.onset().is_none()
                || !self.is_usable(record)
                || self.paths[path.0 as usize].accused()
                || self.upstreams[upstream.0 as usize].accused()
            {
                continue;
            }
            self.look(now);
            let order = |id: RouteId| self.record(id).round_trips.typical_us();
            let again = |group: &Group| group.health.returned_lately(now, &self.probation);
            let found = match culprit(&self.grid, RouteId(index as u16), order) {
                // Until more is known: the same culprit twice is a simpler explanation than two. Only where
                // there is another way to go.
                Culprit::Unknown(_)
                    if Rule::SameCulprit.stands()
                        && again(&self.paths[path.0 as usize])
                        && !again(&self.upstreams[upstream.0 as usize])
                        && self.has_clear(|route| route.path != path) =>
                {
                    Culprit::Path
                }
                Culprit::Path => self.other_to_hear(index, now).unwrap_or(Culprit::Path),
                found => found,
            };
            match found {
                Culprit::Path => self.accuse_path(path, index, now),
                Culprit::Upstream => self.accuse_upstream(upstream, index, now),
                Culprit::Route => {}
                Culprit::Unknown(ask) => {
                    self.unsettled = true;
                    self.paths[path.0 as usize].doubted = true;
                    self.upstreams[upstream.0 as usize].doubted = true;
                    witness = witness.or(ask);
                }
            }
        }
        self.witness = match (witness, self.witness) {
            (None, _) => None,
            (Some(route), Some((same, at))) if route == same => Some((route, at)),
            (Some(route), _) => Some((route, now)),
        };
        self.rerank(now);
    }

    /// Whether an upstream shows trouble over another path than this one that no path answers for.
    fn is_bad_beyond(&self, upstream: UpstreamId, path: PathId) -> bool {
        let late_or_lost = |record: &RouteRecord| {
            record.route.upstream == upstream
                && record.route.path != path
                && record.seat.is_in()
                && record.health.onset().is_some()
                && !self.paths[record.route.path.0 as usize].accused()
        };
        // Useless answers are the server's own, whatever the path.
        let useless = self.upstreams[upstream.0 as usize].health.is_useless();
        useless || self.records.iter().any(late_or_lost)
    }

    /// Upstreams accused for what `path` turned out to explain are so no longer.
    fn acquit_upstreams(&mut self, path: PathId, now: Time) {
        for index in 0..self.upstreams.len() {
            let upstream = UpstreamId(index as u16);
            let over = |record: &RouteRecord| {
                record.seat.is_in()
                    && record.route.upstream == upstream
                    && record.route.path == path
            };
            let showed = self.records.iter().find(|record| over(record));
            let explained = showed.is_some_and(|record| record.health.onset().is_some())
                && !self.is_bad_beyond(upstream, path);
            let group = &mut self.upstreams[index];
            let late = now.since(group.health.since()) >= TOGETHER;
            if !group.accused() || !explained || late || !Rule::Acquit.stands() {
                continue;
            }
            let change = group.health.absolve(now, now, &self.probation);
            if let Some(change) = change {
                self.tell_of_upstream(upstream, change, now);
            }
        }
    }

    /// Whether one of these routes is clear and nothing speaks against it.
    fn has_clear(&self, which: impl Fn(&Route) -> bool) -> bool {
        let mut clear = self
            .records
            .iter()
            .filter(|record| record.rank == Rank::Clear);
        clear.any(|record| which(&record.route))
    }

    /// Draws the grid for the inference.
    pub(in crate::route) fn look(&mut self, now: Time) {
        self.grid.clear();
        for record in &self.records {
            let Route { upstream, path, .. } = record.route;
            // A server accused for what it showed over this path alone: another one bad over the path
            // makes the path the simpler explanation of both.
            let open = record.health.onset().is_some()
                && now.since(self.upstreams[upstream.0 as usize].health.since()) < TOGETHER
                && !self.is_bad_beyond(upstream, path);
            let explained = self.paths[path.0 as usize].accused()
                || (self.upstreams[upstream.0 as usize].accused() && !open);
            self.grid.push(Seen {
                upstream,
                path,
                bad_since: record.health.onset().unwrap_or(Time::NEVER),
                bad: record.health.bad(),
                held_up: record.health.counts().held_up(),
                good: record.good_sent,
                usable: self.is_usable(record) && !explained,
            });
        }
    }

    fn accuse_path(&mut self, path: PathId, by: usize, now: Time) {
        let record = &self.records[by];
        let verdict = match record.health.verdict() {
            Verdict::Recovering | Verdict::Clear => Verdict::Suspect,
            verdict => verdict,
        };
        let (counts, probation) = (record.health.counts(), self.probation);
        let group = &mut self.paths[path.0 as usize];
        // The next to be tried is another than the one that is known to be bad.
        (group.trial, group.bearer) = (by as u16 + 1, None);
        let Some(change) = group.health.accuse(verdict, counts, now, &probation) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), counts, now);
        let subject = Subject::Path(self.paths[path.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        self.left(path, verdict, evidence, now);
        self.acquit_upstreams(path, now);
        // What they showed before does not count for a return.
        for record in self
            .records
            .iter_mut()
            .filter(|record| record.route.path == path)
        {
            record.streak = Streak::default();
        }
    }

    fn accuse_upstream(&mut self, upstream: UpstreamId, by: usize, now: Time) {
        let record = &self.records[by];
        let verdict = match record.health.verdict() {
            Verdict::Recovering | Verdict::Clear => Verdict::Suspect,
            Verdict::Congested => Verdict::Sick,
            verdict => verdict,
        };
        let (counts, probation) = (record.health.counts(), self.probation);
        let group = &mut self.upstreams[upstream.0 as usize];
        group.bearer = None;
        let Some(change) = group.health.accuse(verdict, counts, now, &probation) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), counts, now);
        let subject = Subject::Upstream(self.upstreams[upstream.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        for record in self
            .records
            .iter_mut()
            .filter(|record| record.route.upstream == upstream)
        {
            record.streak = Streak::default();
        }
    }

    /// Where nobody waits for anything, a path is not accused of what some servers show over it before the others were
    /// asked: two standbys may have died together. With questions under way the others' answers are there, or missing.
    fn other_to_hear(&self, bad: usize, now: Time) -> Option<Culprit> {
        let asks = |pool: &Pool| now.since(pool.last_question) < UNASKED;
        if self.pools.iter().any(asks) || !Rule::OthersHeard.stands() {
            return None;
        }
        let (path, onset) = (
            self.records[bad].route.path,
            self.records[bad].health.onset()?,
        );
        let unheard = |record: &RouteRecord| {
            let of = &self.upstreams[record.route.upstream.0 as usize];
            let well = record.health.onset().is_none() && !of.accused() && self.is_usable(record);
            record.route.path == path && well && !record.metered && record.good_sent < onset
        };
        let other = self.records.iter().position(unheard)?;
        Some(Culprit::Unknown(Some(RouteId(other as u16))))
    }
}

#[cfg(test)]
mod tests;
