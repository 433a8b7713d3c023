//! Tells what happened: events to the log, the journal and the metrics, and the troubles that they come to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::{debug, info, warn};

use crate::clock::{Clock, Life, Time};
use crate::config::{Config, PoolConfig};
use crate::observe::event::{Event, Gravity, Subject, Verdict};
use crate::observe::journal::Journal;
use crate::observe::labels::Scope;
use crate::observe::metrics::{Evacuation, Label, Metrics, QueryResult};
use crate::observe::quiet::{self, Quiet};
use crate::observe::trouble::{Felt, Nature, Ongoing, Place, Sight, Troubles};
use crate::resolve::Shared;
use crate::route::Route;

/// Lines about what happened. More than these in a minute help nobody; the journal and the metrics have them all.
static EVENTS: Quiet = Quiet::new("events", 60, Duration::from_secs(1));

/// Who tells. Shared by the tick, which makes it look, and by the desk, which shows what goes on.
pub(super) struct Teller {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    pub(super) journal: Arc<Journal>,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    troubles: Troubles,
    /// Events that the engine had lost at the last look.
    lost: u64,
}

impl Teller {
    pub(super) fn new(
        config: &Config,
        routes: &[Route],
        shared: &Arc<Shared>,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Teller {
        let (pools, _) = config.pools();
        let of = |upstream: usize| {
            let has = move |(_, pool): &(usize, &PoolConfig)| pool.upstreams.contains(&upstream);
            pools
                .iter()
                .enumerate()
                .filter(has)
                .map(|(number, _)| number)
        };
        let zones: Vec<Option<Arc<str>>> = pools
            .iter()
            .map(|pool| pool.name.as_deref().map(Arc::from))
            .collect();
        let place = |route: &Route| Place {
            pools: of(usize::from(route.upstream.0)).collect(),
            route: route.name.clone(),
            upstream: config.upstreams[usize::from(route.upstream.0)]
                .name
                .as_str()
                .into(),
            path: config.paths[usize::from(route.path.0)].name.as_str().into(),
        };
        let places: Vec<Place> = routes.iter().map(place).collect();
        Teller {
            shared: Arc::clone(shared),
            metrics: Arc::clone(metrics),
            journal: Arc::default(),
            clock,
            state: Mutex::new(State {
                troubles: Troubles::new(&places, &zones, config.routing.return_within),
                lost: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what has happened since the last look, and the troubles that began or are over.
    pub(super) fn look(&self, now: Time) {
        let mut state = self.state();
        let (events, sight, lost) = {
            let mut engine = self.shared.engine();
            let events: Vec<(Time, Event)> = engine.take_events().collect();
            let useful = engine
                .pools()
                .map(|pool| engine.last_useful(pool))
                .collect();
            (
                events,
                self.sight(useful, engine.hedges(), now),
                engine.events_lost(),
            )
        };
        for (at, event) in events {
            state.troubles.hear(at, &event);
            if let Event::Drained {
                subject: Subject::Path(path),
                ..
            } = &event
            {
                self.metrics.evacuated(path, Evacuation::Drained);
            }
            self.tell(at, now, &event);
        }
        if lost > state.lost {
            warn!(
                "{} routing events were lost for want of room",
                lost - state.lost
            );
            state.lost = lost;
            self.catch_up(&mut state.troubles, now);
        }
        for event in state.troubles.look(now, &sight) {
            if let Event::Trouble(begun) = &event {
                self.metrics.trouble_began(begun.culprit.scope());
            }
            self.tell(now, now, &event);
        }
        for (path, nature) in state.troubles.take_evacuated() {
            let cause = match nature {
                Nature::Missing(_) => Evacuation::Lost,
                Nature::Found(verdict) if verdict != Verdict::Dead => Evacuation::Congested,
                _ => Evacuation::Dead,
            };
            self.metrics.evacuated(&path, cause);
        }
        for &scope in Scope::ALL {
            self.metrics
                .troubles(scope, state.troubles.count(scope) as u64);
        }
        drop(state);
        quiet::summaries(now, |topic, count| {
            warn!("{count} more {topic} left out of the log")
        });
    }

    /// What goes on now, the one that explains most first.
    pub(super) fn ongoing(&self, now: Time) -> Vec<Ongoing> {
        self.state().troubles.ongoing(now)
    }

    /// Whether nobody answers usefully.
    pub(super) fn is_outage(&self) -> bool {
        self.state().troubles.is_outage()
    }

    fn sight(&self, useful: Vec<Time>, hedges: crate::route::Hedges, now: Time) -> Sight {
        let answers = self.metrics.answers();
        let count = |result: QueryResult| answers[result.index()];
        let turned_away = count(QueryResult::Refused) + count(QueryResult::Rejected);
        let alive = self.clock.life().since(Life::START);
        Sight {
            felt: Felt {
                asked: answers.iter().sum::<u64>() - turned_away,
                failed: count(QueryResult::Failed) + count(QueryResult::Shed),
                stale: count(QueryResult::Stale),
                again: hedges.sent + hedges.retries,
            },
            useful,
            known: self.shared.cache.stats().entries as u64,
            slept: alive.saturating_sub(now.since(Time::START)),
        }
    }

    fn catch_up(&self, troubles: &mut Troubles, now: Time) {
        let report = self.shared.engine().report(now);
        troubles.catch_up(now, |subject| {
            let name = subject.name();
            match subject {
                Subject::Path(_) => {
                    let found = report.paths.iter().find(|it| *it.name == *name);
                    found.map(|it| it.verdict)
                }
                Subject::Upstream(_) => {
                    let found = report.upstreams.iter().find(|it| *it.name == *name);
                    found.map(|it| it.verdict)
                }
                Subject::Route(_) => {
                    let found = report.routes.iter().find(|it| *it.name == *name);
                    found.map(|it| it.verdict)
                }
            }
        });
    }

    /// Tells what happened at `at`.
    pub(super) fn tell(&self, at: Time, now: Time, event: &Event) {
        self.journal.tell(at, SystemTime::now(), event);
        let gravity = event.gravity();
        if gravity == Gravity::Detail {
            debug!("{event}");
            return;
        }
        let Some(more) = EVENTS.line(now) else {
            return;
        };
        match gravity {
            Gravity::Warning => warn!("{event}{more}"),
            _ => info!("{event}{more}"),
        }
    }
}
