//! What one attempt showed, weighed for its route, its path and its server.

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::engine::Engine;
use crate::route::ids::Route;
use crate::route::judge::counts::{Row, Sample, Shown};
use crate::route::measure::in_flight::Attempt;

impl Engine {
    /// Takes in what an attempt showed. A useless answer shows that the packet was carried, and
    /// nothing good of the server.
    pub(super) fn witnessed(&mut self, attempt: Attempt, shown: Shown, useful: bool, now: Time) {
        let sample = shown.sample;
        let Attempt { route, sent, .. } = attempt;
        let desperate = self.is_desperate_over(route);
        let patience = &self.patience;
        let lane = &mut self.lanes[route.0 as usize];
        if !lane.seat.is_in() {
            return;
        }
        let Route { upstream, path, .. } = lane.route;
        let over = &mut self.paths[path.0 as usize];
        let of = &mut self.upstreams[upstream.0 as usize];
        let bad = matches!(sample, Sample::Late | Sample::Lost | Sample::Resent { .. });
        let found = matches!(sample, Sample::Found | Sample::Hard { found: true });
        let relief = over.health.relief().max(of.health.relief());
        if (bad || found) && sent < relief {
            return;
        }
        if bad {
            lane.bad_sent = lane.bad_sent.max(sent);
        }
        if sample == Sample::Good && useful {
            lane.row.grow(attempt.serial, sent, now);
        } else if matches!(sample, Sample::Censored | Sample::Hard { .. }) {
            lane.row.carry();
        } else if (bad && sent >= lane.row.sent) || sample == Sample::Good {
            lane.row = Row::default();
        }

        let mut path_change = None;
        if over.health.verdict() != Verdict::Clear {
            let row = over.row_after(route, lane.row);
            path_change = over.health.note(shown, row, sent, now, patience, desperate);
        }
        let mut upstream_change = None;
        if !(useful || bad) {
            // The race says what to make of it.
        } else if of.health.verdict() != Verdict::Clear {
            let row = of.row_after(route, lane.row);
            upstream_change = of.health.note(shown, row, sent, now, patience, desperate);
        } else if sample.is_blameless() {
            of.health.useful();
        }
        // What the path or the server answers for is not held against the route too.
        let explained = over.accused() || of.accused();
        let was_bad = lane.health.verdict() != Verdict::Clear;
        let mut own_change = None;
        if !(bad && explained && !was_bad) {
            own_change = lane
                .health
                .note(shown, lane.row, sent, now, patience, desperate);
        }
        let changes = [path_change, upstream_change, own_change];
        if changes.iter().any(Option::is_some) {
            self.changed(route, changes, now);
        } else if self.unsettled && !explained {
            self.settle(now);
        }
    }
}
