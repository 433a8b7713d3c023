//! What one attempt showed, weighed for its route, its path and its server.

use crate::clock::Time;
use crate::observe::event::Verdict;
use crate::route::engine::Engine;
use crate::route::ids::Route;
use crate::route::judge::counts::Observed;
use crate::route::measure::in_flight::Attempt;
use crate::route::rules::Rule;

impl Engine {
    /// Takes in what an attempt showed. A useless answer shows that the packet was carried, and
    /// nothing good of the server.
    pub(super) fn weigh(&mut self, attempt: Attempt, observed: Observed, useful: bool, now: Time) {
        let observation = observed.observation;
        let Attempt { route, sent, .. } = attempt;
        let desperate = self.is_desperate_over(route);
        let probation = &self.probation;
        let record = &mut self.records[route.0 as usize];
        if !record.seat.is_in() {
            return;
        }
        let Route { upstream, path, .. } = record.route;
        let over = &mut self.paths[path.0 as usize];
        let of = &mut self.upstreams[upstream.0 as usize];
        let bad = observation.is_bad();
        let relief = over.health.relief().max(of.health.relief());
        if (bad || observation.is_found()) && sent < relief {
            return;
        }
        if bad {
            record.bad_sent = record.bad_sent.max(sent);
        }
        record.lengthen(observation, useful, &attempt, now);
        let mut path_change = None;
        if over.health.verdict() != Verdict::Clear {
            let streak = over.streak_after(route, record.streak);
            path_change = over
                .health
                .note(observed, streak, sent, now, probation, desperate);
        }
        let mut upstream_change = None;
        if !(useful || bad) {
            // The race says what to make of it.
        } else if of.health.verdict() != Verdict::Clear {
            let streak = of.streak_after(route, record.streak);
            upstream_change = of
                .health
                .note(observed, streak, sent, now, probation, desperate);
        } else if observation.is_blameless() {
            of.health.useful();
        }
        // What the path or the server answers for is not held against the route too.
        let explained = (over.accused() || of.accused()) && Rule::Answerable.stands();
        let was_bad = record.health.verdict() != Verdict::Clear;
        let mut own_change = None;
        if !(bad && explained && !was_bad) {
            own_change =
                record
                    .health
                    .note(observed, record.streak, sent, now, probation, desperate);
        }
        let changes = [path_change, upstream_change, own_change];
        if changes.iter().any(Option::is_some) {
            self.changed(route, changes, now);
        } else if self.unsettled && !explained {
            self.settle(now);
        }
    }
}
