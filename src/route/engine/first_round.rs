//! The first round: after the start every route is asked once before anybody waits for it, so that one that leads
//! nowhere is known, and said, within a second.

use crate::clock::Time;
use crate::observe::event::Event;
use crate::observe::said::Said;
use crate::route::chance::unit;
use crate::route::choose::Rank;
use crate::route::constants::probe::first_round::*;
use crate::route::engine::Engine;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::state::round::{Call, FirstRound};
use crate::route::ids::RouteId;
use crate::route::rules::Rule;

impl Engine {
    /// Has the first round begin with the next tick. Routes for which `told` says so are known to lead nowhere,
    /// and an operator was told.
    pub fn begin_first_round(&mut self, told: &[bool]) {
        let known = |route: usize| told.get(route).is_some_and(|told| *told);
        let call = |route: usize| Call {
            due: match known(route) || self.records[route].metered {
                true => Time::NEVER,
                false => Time::default(),
            },
            asked: 0,
        };
        self.first_round = Some(FirstRound {
            over: Time::NEVER,
            after: "the start",
            calls: (0..self.records.len()).map(call).collect(),
        });
    }

    /// The same for the routes that have come in by a reload, and for those whose first round is not over.
    pub(super) fn begin_round_of(&mut self, fresh: &[bool]) {
        let under_way = self.first_round.take().map(|round| round.calls);
        let mut calls = under_way.unwrap_or_default();
        let none = Call {
            due: Time::NEVER,
            asked: 0,
        };
        calls.resize(self.records.len(), none);
        for (call, _) in calls.iter_mut().zip(fresh).filter(|(_, fresh)| **fresh) {
            call.due = Time::default();
            call.asked = 0;
        }
        self.first_round = Some(FirstRound {
            over: Time::NEVER,
            after: "the reload",
            calls,
        });
    }

    /// Adds the questions of the first round that are due to `probes`. Returns when it wants to be looked after
    /// again; [`Time::NEVER`] once it is over, and what it has shown told.
    pub(super) fn go_the_first_round(
        &mut self,
        probes: &mut Vec<RouteId>,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Time {
        let round = self.first_round.take();
        let Some(mut round) = round.filter(|_| Rule::FirstRound.stands()) else {
            return Time::NEVER;
        };
        if round.over == Time::NEVER {
            round.over = now + OVER;
            for call in round.calls.iter_mut().filter(|call| call.due <= now) {
                call.due = now + SPREAD.mul_f32(unit(rng));
            }
        }
        let mut waiting = false;
        for (index, call) in round.calls.iter_mut().enumerate() {
            let record = &self.records[index];
            if record.rank == Rank::Out || answers(record) {
                call.due = Time::NEVER;
            }
            waiting |= call.due != Time::NEVER || (call.asked > 0 && !record.queue.is_empty());
            let id = RouteId(index as u16);
            if call.due <= now && !probes.contains(&id) && self.pays_for_probe(id, now) {
                probes.push(id);
                call.asked += 1;
                call.due = match call.asked {
                    1 if Rule::FirstRoundAgain.stands() => now + AGAIN,
                    _ => Time::NEVER,
                };
                waiting = true;
            }
        }
        if now < round.over && waiting {
            self.first_round = Some(round);
            return now + STEP;
        }
        for (index, call) in round.calls.iter().enumerate() {
            let record = &self.records[index];
            if call.asked > 0 && record.rank != Rank::Out && record.useful_sent == Time::default() {
                let said = record.said.map_or(Said::Nothing, |(_, said)| said);
                let route = record.route.name.clone();
                self.records[index].silent = !said.is_servers();
                let after = round.after;
                self.tell(now, Event::FirstRound { route, said, after });
            }
        }
        Time::NEVER
    }
}

/// Whether a route has answered, be it uselessly.
fn answers(record: &RouteRecord) -> bool {
    record.answered_sent != Time::default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::observe::said::Reason;
    use crate::route::Race;
    use crate::route::ask::{Ask, Purpose};
    use crate::route::outcome::Outcome;
    use crate::route::testing::grid;

    /// What the first round over two upstreams tells, of which the second one does `second`; and how often each
    /// was asked, and when it was over.
    pub(in crate::route) fn round(
        second: Option<Outcome>,
        seed: u64,
    ) -> (Vec<String>, [u32; 2], Duration) {
        let start = Time::from_secs(1);
        let mut engine = Engine::new(&grid(2, &["a"]), start);
        let mut rng = StdRng::seed_from_u64(seed);
        engine.begin_first_round(&[]);
        let (mut now, mut asked, mut races) = (start, [0; 2], Vec::new());
        loop {
            let tick = engine.tick(now, &mut rng);
            for route in tick.probes {
                let ask = Ask {
                    about: crate::route::About::PLAIN,
                    purpose: Purpose::Probe(route),
                    deadline: now + Duration::from_secs(4),
                    again: false,
                    light: false,
                    pool: crate::route::PoolId::MAIN,
                };
                let (mut race, step) =
                    Race::start(&mut engine, &ask, now, &mut rng).expect("a probe");
                asked[usize::from(route.0)] += 1;
                let outcome = match route.0 {
                    0 => Some(Outcome::Answered),
                    _ => second,
                };
                if let Some(outcome) = outcome {
                    if let Some(said) = outcome.said() {
                        engine.said(route, said, now);
                    }
                    let attempt = step.send.expect("sent").attempt;
                    race.outcome(&mut engine, attempt, outcome, now, now, &mut rng);
                }
                races.push(race);
            }
            if engine.first_round.is_none() {
                break;
            }
            now = tick.next;
        }
        let told = engine.take_events().map(|(_, event)| event.to_string());
        let told = told
            .filter(|line| line.contains("after the start"))
            .collect();
        (told, asked, now.since(start))
    }

    #[test]
    fn what_leads_nowhere_is_said_within_a_second_in_the_kernels_words() {
        for seed in 0..20 {
            let (told, asked, took) = round(None, seed);
            assert_eq!(
                told,
                ["route 192.0.2.2@a does not answer after the start: no answer"]
            );
            // Suspect by now, it is tried for that, too, and the other one asked whether it is the path.
            assert!(asked[0] <= 2 && (2..=6).contains(&asked[1]), "{asked:?}");
            assert!(took <= Duration::from_secs(1), "{took:?}");
            let refused = Outcome::Unreachable(Reason::REFUSED);
            let (told, asked, took) = round(Some(refused), seed);
            let line = "route 192.0.2.2@a does not answer after the start: connection refused";
            assert_eq!(told, [line]);
            assert!(asked[0] <= 2 && (2..=6).contains(&asked[1]), "{asked:?}");
            assert!(took <= Duration::from_secs(1), "{took:?}");
        }
    }

    #[test]
    fn in_health_a_route_is_asked_once_and_nothing_is_said() {
        for seed in 0..20 {
            let (told, asked, took) = round(Some(Outcome::Answered), seed);
            assert_eq!((told, asked), (Vec::new(), [1, 1]));
            assert!(took <= 2 * SPREAD + 2 * STEP, "{took:?}");
        }
    }
}
