//! What is told of a changed verdict, with its evidence.

use crate::clock::Time;
use crate::observe::event::{Event, Evidence, Subject, Verdict};
use crate::route::engine::Engine;
use crate::route::ids::{PathId, Route, RouteId, UpstreamId};
use crate::route::judge::counts::{Change, Counts};

impl Engine {
    pub(super) fn tell_of_route(&mut self, route: RouteId, change: Change, now: Time) {
        let evidence = self.evidence(route, change.counts, now);
        let subject = Subject::Route(self.record(route).route.name.clone());
        self.verdict(subject, change, evidence, now);
    }

    pub(super) fn tell_of_path(&mut self, path: PathId, change: Change, now: Time) {
        let evidence = self.evidence_of_path(path, change, now);
        let subject = Subject::Path(self.paths[path.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
    }

    pub(super) fn tell_of_upstream(&mut self, upstream: UpstreamId, change: Change, now: Time) {
        let measured = self.newest_on(|route| route.upstream == upstream);
        let evidence = self.evidence(measured, change.counts, now);
        let subject = Subject::Upstream(self.upstreams[upstream.0 as usize].name.clone());
        self.verdict(subject, change, evidence, now);
    }

    pub(super) fn evidence_of_path(&self, path: PathId, change: Change, now: Time) -> Evidence {
        let measured = self.newest_on(|route| route.path == path);
        self.evidence(measured, change.counts, now)
    }

    /// The route that was asked last among those that qualify.
    fn newest_on(&self, which: impl Fn(&Route) -> bool) -> RouteId {
        let newest = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.seat.is_in() && which(&record.route))
            .max_by_key(|(_, record)| record.asked);
        RouteId(newest.map_or(0, |(index, _)| index as u16))
    }

    pub(in crate::route) fn evidence(&self, route: RouteId, counts: Counts, now: Time) -> Evidence {
        let record = self.record(route);
        let oldest = record.queue.oldest;
        let overdue = (oldest != Time::NEVER)
            .then(|| now.since(oldest))
            .filter(|&age| age > record.round_trips.hedge_wait());
        Evidence {
            base: record.round_trips.base(),
            excess: record.round_trips.excess(now),
            overdue,
            said: record
                .said
                .and_then(|(at, said)| (at >= counts.from).then_some(said)),
            ..counts.evidence(now)
        }
    }

    pub(in crate::route) fn verdict(
        &mut self,
        subject: Subject,
        change: Change,
        evidence: Evidence,
        now: Time,
    ) {
        let Change { from, to, .. } = change;
        self.tell(
            now,
            Event::Verdict {
                subject,
                from,
                to,
                evidence,
            },
        );
    }

    pub(in crate::route) fn left(
        &mut self,
        path: PathId,
        verdict: Verdict,
        evidence: Evidence,
        now: Time,
    ) {
        let routes = self
            .records
            .iter()
            .filter(|record| record.route.path == path && record.seat.is_in())
            .count();
        // A doubt moves the next question and is no evacuation, nor is there one without another path.
        let paths = self.paths.iter().filter(|path| path.seat.is_in()).count();
        let evacuated = verdict.is_bad() && paths > 1;
        let group = &mut self.paths[path.0 as usize];
        group.left = group.left.min(now);
        group.told |= evacuated;
        if !evacuated {
            return;
        }
        let path = group.name.clone();
        self.tell(
            now,
            Event::Evacuated {
                path,
                verdict,
                routes,
                evidence,
            },
        );
    }
}
