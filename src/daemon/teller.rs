//! Tells what happened: events to the log, the journal and the metrics, and the troubles that they come to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::{Level, warn};

use crate::clock::{Clock, Life, Time};
use crate::config::lineup::{Lineup, Slot};
use crate::config::{Config, PoolConfig};
use crate::observe::event::{Event, Gravity, Subject, Verdict};
use crate::observe::journal::Journal;
use crate::observe::labels::Scope;
use crate::observe::log;
use crate::observe::metrics::{Evacuation, Label, Metrics, QueryResult};
use crate::observe::quiet::{self, Quiet};
use crate::observe::trouble::{Felt, Nature, Ongoing, Place, Sight, Troubles};
use crate::resolve::Shared;

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
        lineup: &Lineup,
        shared: &Arc<Shared>,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Teller {
        Teller {
            shared: Arc::clone(shared),
            metrics: Arc::clone(metrics),
            journal: Arc::default(),
            clock,
            state: Mutex::new(State {
                troubles: troubles(config, lineup),
                lost: 0,
            }),
        }
    }

    /// Others take part from now on. What goes on with those who stay goes on.
    pub(super) fn reshape(&self, config: &Config, lineup: &Lineup, now: Time) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.troubles, troubles(config, lineup));
        let over = state.troubles.succeed(before, now);
        self.catch_up(&mut state.troubles, now);
        drop(state);
        over.iter().for_each(|event| self.tell(now, now, event));
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
            let of_pools = engine
                .pools()
                .map(|pool| (engine.last_useful(pool), engine.in_vain(pool)));
            let (useful, vain) = of_pools.unzip();
            let sight = Sight {
                useful,
                vain,
                ..self.sight(engine.hedges(), now)
            };
            (events, sight, engine.events_lost())
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
        for event in self.shared.guard.take_events() {
            self.tell(now, now, &event);
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

    fn sight(&self, hedges: crate::route::Hedges, now: Time) -> Sight {
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
            known: self.shared.cache.stats().entries as u64,
            slept: alive.saturating_sub(now.since(Time::START)),
            ..Sight::default()
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
                Subject::Name(_) => None,
            }
        });
    }

    /// Tells what happened at `at`.
    pub(super) fn tell(&self, at: Time, now: Time, event: &Event) {
        self.journal.tell(at, SystemTime::now(), event);
        if matches!(event, Event::Reloaded { .. } | Event::ReloadRefused { .. }) {
            // Who did it has said so, at length.
            return;
        }
        let gravity = event.gravity();
        let facts = || {
            let mut facts = event.facts();
            facts.insert("kind".into(), event.kind().into());
            facts
        };
        if gravity == Gravity::Detail {
            log::event(Level::DEBUG, event, facts);
            return;
        }
        let Some(more) = EVENTS.line(now) else {
            return;
        };
        let level = match gravity {
            Gravity::Warning => Level::WARN,
            _ => Level::INFO,
        };
        log::event(level, format_args!("{event}{more}"), facts);
    }
}

/// Nobody of those who take part is in trouble yet.
fn troubles(config: &Config, lineup: &Lineup) -> Troubles {
    let of = |upstream: usize| {
        let has =
            move |(_, slot): &(usize, &Slot<PoolConfig>)| slot.is.upstreams.contains(&upstream);
        let all = lineup.pools.iter().enumerate().filter(has);
        all.map(|(number, _)| number)
    };
    let zones: Vec<Option<Arc<str>>> = lineup
        .pools
        .iter()
        .map(|slot| slot.is.name.as_deref().map(Arc::from))
        .collect();
    let places = lineup.in_order().into_iter().map(|(_, ends)| {
        let (upstream, path) = lineup.ends(ends);
        // Pools speak of places in the file.
        let place = lineup.upstreams[usize::from(ends.upstream)].place;
        Place {
            pools: of(usize::from(place.unwrap_or(u16::MAX))).collect(),
            route: lineup.name(ends).into(),
            upstream: upstream.name.as_str().into(),
            path: path.name.as_str().into(),
        }
    });
    let places: Vec<Place> = places.collect();
    Troubles::new(&places, &zones, config.routing.return_within)
}
