//! From a changed verdict to what follows from it: who answers for a bad route.

use crate::clock::Time;
use crate::observe::event::{Event, Subject, Verdict};
use crate::route::choose::Rank;
use crate::route::constants::judge::proof::TOGETHER;
use crate::route::constants::probe::idle::*;
use crate::route::engine::Engine;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::lane::Lane;
use crate::route::engine::state::pool::Pool;
use crate::route::ids::{PathId, Route, RouteId, UpstreamId};
use crate::route::judge::blame::{Culprit, Seen, culprit};
use crate::route::judge::counts::{Change, Row};

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
        let Route { upstream, path, .. } = self.lane(route).route;
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
        for index in 0..self.lanes.len() {
            let patience = self.patience;
            let lane = &mut self.lanes[index];
            if !which(&lane.route) || lane.bad_sent >= relief {
                continue;
            }
            if let Some(change) = lane.health.absolve(relief, now, &patience) {
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
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let Route { upstream, path, .. } = lane.route;
            if lane.health.onset().is_none()
                || !self.is_usable(lane)
                || self.paths[path.0 as usize].accused()
                || self.upstreams[upstream.0 as usize].accused()
            {
                continue;
            }
            self.look(now);
            let order = |id: RouteId| self.lane(id).estimate.typical_us();
            let again = |group: &Group| group.health.returned_lately(now, &self.patience);
            let found = match culprit(&self.grid, RouteId(index as u16), order) {
                // Until more is known: the same culprit twice is a simpler explanation than two. Only where
                // there is another way to go.
                Culprit::Unknown(_)
                    if again(&self.paths[path.0 as usize])
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
        let late_or_lost = |lane: &Lane| {
            lane.route.upstream == upstream
                && lane.route.path != path
                && lane.seat.is_in()
                && lane.health.onset().is_some()
                && !self.paths[lane.route.path.0 as usize].accused()
        };
        // Useless answers are the server's own, whatever the path.
        let useless = self.upstreams[upstream.0 as usize].health.is_useless();
        useless || self.lanes.iter().any(late_or_lost)
    }

    /// Upstreams accused for what `path` turned out to explain are so no longer.
    fn acquit_upstreams(&mut self, path: PathId, now: Time) {
        for index in 0..self.upstreams.len() {
            let upstream = UpstreamId(index as u16);
            let over = |lane: &Lane| {
                lane.seat.is_in() && lane.route.upstream == upstream && lane.route.path == path
            };
            let showed = self.lanes.iter().find(|lane| over(lane));
            let explained = showed.is_some_and(|lane| lane.health.onset().is_some())
                && !self.is_bad_beyond(upstream, path);
            let group = &mut self.upstreams[index];
            if !group.accused() || !explained || now.since(group.health.since()) >= TOGETHER {
                continue;
            }
            let change = group.health.absolve(now, now, &self.patience);
            if let Some(change) = change {
                self.tell_of_upstream(upstream, change, now);
            }
        }
    }

    /// Whether one of these routes is clear and nothing speaks against it.
    fn has_clear(&self, which: impl Fn(&Route) -> bool) -> bool {
        let mut clear = self.lanes.iter().filter(|lane| lane.rank == Rank::Clear);
        clear.any(|lane| which(&lane.route))
    }

    /// Draws the grid for the inference.
    pub(in crate::route) fn look(&mut self, now: Time) {
        self.grid.clear();
        for lane in &self.lanes {
            let Route { upstream, path, .. } = lane.route;
            // A server accused for what it showed over this path alone: another one bad over the path
            // makes the path the simpler explanation of both.
            let open = lane.health.onset().is_some()
                && now.since(self.upstreams[upstream.0 as usize].health.since()) < TOGETHER
                && !self.is_bad_beyond(upstream, path);
            let explained = self.paths[path.0 as usize].accused()
                || (self.upstreams[upstream.0 as usize].accused() && !open);
            self.grid.push(Seen {
                upstream,
                path,
                bad_since: lane.health.onset().unwrap_or(Time::NEVER),
                bad: lane.health.bad(),
                held_up: lane.health.tally().held_up(),
                good: lane.good_sent,
                usable: self.is_usable(lane) && !explained,
            });
        }
    }

    fn accuse_path(&mut self, path: PathId, by: usize, now: Time) {
        let lane = &self.lanes[by];
        let verdict = match lane.health.verdict() {
            Verdict::Recovering | Verdict::Clear => Verdict::Suspect,
            verdict => verdict,
        };
        let (tally, patience) = (lane.health.tally(), self.patience);
        let group = &mut self.paths[path.0 as usize];
        // The next to be tried is another than the one that is known to be bad.
        (group.trial, group.rower) = (by as u16 + 1, None);
        let Some(change) = group.health.accuse(verdict, tally, now, &patience) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), tally, now);
        let subject = Subject::Path(self.paths[path.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        self.left(path, verdict, evidence, now);
        self.acquit_upstreams(path, now);
        // What they showed before does not count for a return.
        for lane in self.lanes.iter_mut().filter(|lane| lane.route.path == path) {
            lane.row = Row::default();
        }
    }

    fn accuse_upstream(&mut self, upstream: UpstreamId, by: usize, now: Time) {
        let lane = &self.lanes[by];
        let verdict = match lane.health.verdict() {
            Verdict::Recovering | Verdict::Clear => Verdict::Suspect,
            Verdict::Congested => Verdict::Sick,
            verdict => verdict,
        };
        let (tally, patience) = (lane.health.tally(), self.patience);
        let group = &mut self.upstreams[upstream.0 as usize];
        group.rower = None;
        let Some(change) = group.health.accuse(verdict, tally, now, &patience) else {
            return;
        };
        let evidence = self.evidence(RouteId(by as u16), tally, now);
        let subject = Subject::Upstream(self.upstreams[upstream.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
        for lane in self
            .lanes
            .iter_mut()
            .filter(|lane| lane.route.upstream == upstream)
        {
            lane.row = Row::default();
        }
    }

    /// Where nobody waits for anything, a path is not accused of what some servers show over it before the others were
    /// asked: two standbys may have died together. With questions under way the others' answers are there, or missing.
    fn other_to_hear(&self, bad: usize, now: Time) -> Option<Culprit> {
        let asks = |pool: &Pool| now.since(pool.last_question) < UNASKED;
        if self.pools.iter().any(asks) {
            return None;
        }
        let (path, onset) = (self.lanes[bad].route.path, self.lanes[bad].health.onset()?);
        let unheard = |lane: &Lane| {
            let of = &self.upstreams[lane.route.upstream.0 as usize];
            let well = lane.health.onset().is_none() && !of.accused() && self.is_usable(lane);
            lane.route.path == path && well && !lane.metered && lane.good_sent < onset
        };
        let other = self.lanes.iter().position(unheard)?;
        Some(Culprit::Unknown(Some(RouteId(other as u16))))
    }
}

#[cfg(test)]
mod tests;
