//! What the API shows and the orders that it takes, put together from what the daemon has.

mod history;
mod limits;
mod top;
mod trace;
mod words;

pub(super) use words::span;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use super::drains::Drains;
use super::reload::{Record, Wish};
use super::survival::Keeper;
use super::takeover::Holder;
use super::teller::Teller;
use super::vital::{Alarm, News};
use crate::admin::api;
use crate::admin::desk::{Desk, Later, Refused as No};
use crate::cache::{FROM_SNAPSHOT, Freshness, Look};
use crate::clock::{Clock, Time};
use crate::observe::event::Gravity;
use crate::observe::log;
use crate::observe::metrics::{Label, Metrics, QueryResult};
use crate::observe::top::Top;
use crate::record::Watcher;
use crate::resolve::Shared;
use crate::route::RouteId;
use crate::wire::{self, CLASS_IN, Ede, QuestionKey, RecordType};
use limits::Limits;

/// Seconds that what clients felt is told of.
const SPAN: usize = 60;
/// The same as a time.
const FELT: Duration = Duration::from_secs(60);

/// The daemon's side of the API.
pub(super) struct Counter {
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) keeper: Option<Arc<Keeper>>,
    teller: Arc<Teller>,
    pub(super) recorder: Option<Watcher>,
    pub(super) clock: Clock,
    /// Where the configuration came from, and what became of reloads.
    pub(super) record: Arc<Record>,
    alarm: Alarm,
    /// What clients ask most.
    top: Arc<Top>,
    holder: Arc<Holder>,
    reading: history::Reading,
    pub(super) started: Time,
    drains: Drains,
    /// Answers by result, a sample each second, the oldest first.
    felt: Mutex<VecDeque<(Time, Results)>>,
    limits: Mutex<Limits>,
}

/// Names that have vanished and are told one by one.
const VANISHED_MOST: usize = 5;

type Results = [u64; QueryResult::COUNT];

impl Counter {
    /// A desk for the daemon that started at `started`; what was drained when the one before it ended is drained
    /// again.
    pub(super) fn new(
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        keeper: Option<Arc<Keeper>>,
        teller: Arc<Teller>,
        recorder: Option<Watcher>,
        clock: Clock,
        (record, alarm, top, holder): (Arc<Record>, Alarm, Arc<Top>, Arc<Holder>),
    ) -> Counter {
        let file = keeper.as_ref().map(|keeper| Drains::beside(keeper.path()));
        let drains = Drains::open(file, &shared, clock);
        Counter {
            drains,
            shared,
            metrics,
            keeper,
            teller,
            recorder,
            clock,
            record,
            alarm,
            top,
            holder,
            reading: history::Reading::default(),
            started: clock.now(),
            felt: Mutex::new([(clock.now(), Results::default())].into()),
            limits: Mutex::default(),
        }
    }

    fn felt(&self, now: Time) -> api::Felt {
        let felt = self.felt.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = felt
            .front()
            .copied()
            .unwrap_or((self.started, Results::default()));
        let current = self.metrics.answers();
        let count = |result: QueryResult| {
            let index = result.index();
            current[index].saturating_sub(before[index])
        };
        api::Felt {
            seconds: now.since(since).as_secs_f64(),
            queries: QueryResult::ALL.iter().map(|&result| count(result)).sum(),
            from_cache: count(QueryResult::Hit),
            local: count(QueryResult::Local),
            from_upstream: count(QueryResult::Miss),
            stale: count(QueryResult::Stale),
            failed: count(QueryResult::Failed),
            shed: count(QueryResult::Shed),
            refused: count(QueryResult::Refused) + count(QueryResult::Rejected),
        }
    }

    /// Tells which limits were reached within the last second, unless that goes on.
    fn tell_limits(&self, now: Time) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let configured = |limit| self.metrics.configured(limit);
        let most = || self.shared.clients.turned_away_most();
        for event in limits.look(self.metrics.limits(), configured, most, now) {
            self.teller.tell(now, now, &event);
        }
    }

    fn cached(&self, key: &QuestionKey, look: &Look) -> api::Cached {
        let route = (look.route != FROM_SNAPSHOT).then_some(usize::from(look.route));
        let route = route.and_then(|route| {
            let engine = self.shared.engine();
            Some(engine.routes().get(route)?.name.to_string())
        });
        api::Cached {
            question: key.to_string(),
            freshness: match look.freshness {
                Freshness::Fresh { .. } => "fresh".into(),
                Freshness::Stale { .. } => "stale".into(),
            },
            age: look.age,
            ttl: look.ttl,
            rcode: look.rcode.to_string(),
            route,
            hits: look.hits,
            bytes: look.bytes as u64,
        }
    }
}

/// Whether it is answered from the cache.
fn is_fresh(look: Option<&Look>) -> bool {
    look.is_some_and(|it| matches!(it.freshness, Freshness::Fresh { .. }))
}

/// A name in wire form.
fn name(text: &str) -> Result<Vec<u8>, No> {
    if text.is_empty() {
        return Err(No::Wrong("which name? `.` is the root".into()));
    }
    wire::name_from_text(text)
        .map_err(|error| No::Wrong(format!("{} is no name: {error}", text.escape_debug())))
}

/// A type of record.
fn type_of(text: &str) -> Result<RecordType, No> {
    let wrong = |_| No::Wrong(format!("{} is no type of record", text.escape_debug()));
    text.parse().map_err(wrong)
}

impl Desk for Counter {
    fn status(&self) -> api::Status {
        let now = self.clock.now();
        let report = self.shared.engine().report(now);
        let felt = self.felt(now);
        let wall = SystemTime::now();
        let ongoing = self.teller.ongoing(now);
        let troubles: Vec<api::Trouble> = ongoing
            .iter()
            .map(|it| words::trouble(it, now.since(it.begun.since), wall))
            .collect();
        let mut trouble: Vec<String> = troubles.iter().map(words::line).collect();
        trouble.extend(words::out_of_use(&report, &troubles));
        trouble.extend(words::doubts(&report));
        trouble.extend(self.keeper.as_ref().and_then(|keeper| keeper.trouble()));
        let (vanished, count) = self.shared.guard.list(self.clock.life());
        trouble.extend(vanished.iter().take(VANISHED_MOST).map(words::vanished));
        if count > VANISHED_MOST {
            let more = count - VANISHED_MOST;
            trouble.push(format!(
                "{more} more names have vanished: see `byway guard`"
            ));
        }
        let (state, headline) = words::state(&report, trouble.len(), self.teller.is_outage());
        // A file that is wrong is no trouble that clients would feel.
        trouble.extend(self.record.trouble());
        let cache = self.shared.cache.stats();
        let uptime = now.since(self.started);
        let [steady, burst, ceiling] = report.budget;
        api::Status {
            state,
            headline,
            trouble,
            troubles,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: rfc3339(SystemTime::now() - uptime),
            uptime: uptime.as_secs_f64(),
            configuration: self.record.origin(),
            reload: self.record.document(),
            listeners: self.metrics.listeners(),
            felt,
            amplification: report.amplification,
            ceiling: report.ceiling_rate,
            budgets: api::Budgets {
                steady,
                burst,
                ceiling,
            },
            paths: report
                .paths
                .iter()
                .map(|path| api::Subject {
                    name: path.name.to_string(),
                    verdict: path.verdict.to_string(),
                    verdict_for: path.standing_for.min(uptime).as_secs_f64(),
                    drained: path.drained,
                    missing: path.missing,
                })
                .collect(),
            upstreams: report
                .upstreams
                .iter()
                .map(|upstream| api::Subject {
                    name: upstream.name.to_string(),
                    verdict: upstream.verdict.to_string(),
                    verdict_for: upstream.standing_for.min(uptime).as_secs_f64(),
                    drained: upstream.drained,
                    missing: false,
                })
                .collect(),
            routes: report
                .routes
                .iter()
                .map(|it| words::route(it, uptime))
                .collect(),
            drains: self.drains.list(),
            cache: api::Cache {
                entries: cache.entries as u64,
                bytes: cache.bytes as u64,
                capacity: cache.bound as u64,
            },
            snapshot: self.keeper.as_ref().map(|keeper| {
                let sample = keeper.sample();
                api::Snapshot {
                    path: keeper.path().display().to_string(),
                    age: sample.file.as_ref().map(|file| file.age.as_secs_f64()),
                    entries: sample.file.as_ref().map(|file| file.entries),
                    failed: sample.failed,
                }
            }),
            recorder: self.recorder.as_ref().map(|recorder| {
                let standing = recorder.standing();
                api::Recorder {
                    path: standing.path.map(|path| path.display().to_string()),
                    on_disk: standing.on_disk,
                    why: standing.why,
                }
            }),
        }
    }

    fn why(&self, text: &str, record_type: &str) -> Result<api::Why, No> {
        let record_type = type_of(record_type)?;
        let key = QuestionKey::new(&name(text)?, record_type, CLASS_IN, false, false)
            .ok_or_else(|| No::Wrong(format!("{} is no name", text.escape_debug())))?;
        let (now, life) = (self.clock.now(), self.clock.life());
        let hash = self.shared.cache.hash(&key);
        let look = self.shared.cache.look(&key, life);
        let failure = self.shared.failures.check(key.by_ref(), hash, life);
        // It moves nothing, so a generator of its own that everybody could predict does no harm.
        let mut rng = StdRng::seed_from_u64(now.nanos());
        let (preview, routes) = {
            let mut engine = self.shared.engine();
            let pool = self.shared.pool_of(key.by_ref());
            let preview = engine.preview(pool, now, &mut rng);
            (preview, engine.routes().to_vec())
        };
        let kept = self.shared.guard.look(key.by_ref(), life);
        let cut = self.shared.cut_above(&key, life);
        let names = self.shared.names();
        let own = names.special.find(key.by_ref(), &names.zones);
        let name_of = |id: RouteId| routes[usize::from(id.0)].name.to_string();
        let first = preview.first.map(name_of);
        let failed = failure.map(|failure| {
            let why = match Ede::new(failure.ede) {
                Ede::NETWORK_ERROR => "no upstream answered",
                _ => "no upstream gave a useful answer",
            };
            format!(
                "failed {} in a row ({why}); not asked again for {:.1} s",
                words::times(failure.times),
                failure.until.since(life).as_secs_f64()
            )
        });
        Ok(api::Why {
            name: wire::name_to_text(key.name()),
            record_type: key.record_type().to_string(),
            guard: words::guard(kept.as_ref(), self.shared.guard.watches(key.name(), life)),
            decision: match (names.source_of(key.name()), own) {
                (Some(source), _) => words::known_from(source),
                _ if names.zones.filters(key.name(), key.record_type()) => {
                    words::FILTERED.to_owned()
                }
                (None, Some(said)) => words::own(&said),
                (None, None) if kept.is_some() && !is_fresh(look.as_ref()) => {
                    words::KEPT.to_owned()
                }
                (None, None) if look.is_none() && cut.is_some() => words::cut(cut.as_ref()),
                (None, None) => {
                    let standing = preview.standing;
                    let said = words::decision(look.as_ref(), failed.as_deref(), standing, &first);
                    match names.dns64.is_some() && record_type == RecordType::AAAA {
                        true => said + words::MADE,
                        false => said,
                    }
                }
            },
            zone: names.zones.title_of(key.name()).map(str::to_owned),
            falls_through: names.zones.terms_of(key.name()).fall_through,
            cached: look.map(|look| self.cached(&key, &look)),
            failed,
            first: first.ok(),
            hedge: preview.hedge.map(name_of),
            hedge_after: preview.hedge_after.map(|wait| wait.as_secs_f64()),
            candidates: preview
                .candidates
                .iter()
                .map(|candidate| api::Candidate {
                    name: candidate.name.to_string(),
                    verdict: candidate.verdict.to_string(),
                    expected: candidate.expected.as_secs_f64(),
                    passed_over: candidate.passed_over.map(|why| why.words()),
                })
                .collect(),
        })
    }

    fn cache(&self, text: &str) -> Result<api::CacheLook, No> {
        let name = name(text)?;
        let held = self.shared.cache.look_name(&name, self.clock.life());
        Ok(api::CacheLook {
            name: wire::name_to_text(&name),
            answers: held
                .iter()
                .map(|(key, look)| self.cached(key, look))
                .collect(),
        })
    }

    fn events(&self, after: u64, most: usize, details: bool) -> api::Events {
        let events = self.teller.journal.since(after, most, details).into_iter();
        let events = events.map(|entry| api::Event {
            number: entry.number,
            time: rfc3339(entry.wall),
            trouble: entry.gravity == Gravity::Warning,
            detail: entry.gravity == Gravity::Detail,
            kind: entry.kind.into(),
            subject: entry.subject.map(|subject| subject.to_string()),
            text: entry.text,
        });
        api::Events {
            events: events.collect(),
        }
    }

    fn top(&self, most: usize) -> api::Top {
        let now = self.clock.now();
        self.top.collect(now);
        top::document(&self.top.report(most, now))
    }

    fn drain(&self, order: &api::DrainOrder, by: &str) -> Result<api::Done, No> {
        let lasts = order.seconds.map(Duration::from_secs);
        self.drains.drain(&order.name, by, lasts)
    }

    fn restore(&self, order: &api::RestoreOrder, by: &str) -> Result<api::Done, No> {
        self.drains.restore(&order.name, by)
    }

    fn flush(&self, order: &api::FlushOrder, by: &str) -> Result<api::Done, No> {
        let cache = &self.shared.cache;
        let (count, what) = match &order.name {
            None => (cache.flush_all(), "of everything".to_owned()),
            Some(text) => {
                let name = name(text)?;
                let shown = wire::name_to_text(&name);
                match order.subtree {
                    true => (cache.flush_subtree(&name), format!("of {shown} and below")),
                    false => (cache.flush_name(&name), format!("of {shown}")),
                }
            }
        };
        self.shared.failures.flush_all();
        info!("{by} flushed the cache: {count} answers {what} forgotten, and all failures");
        let done = format!("{count} answers {what} forgotten, and all remembered failures");
        Ok(api::Done { done })
    }

    fn guard(&self) -> api::Guard {
        let guard = &self.shared.guard;
        let (kept, count) = guard.list(self.clock.life());
        api::Guard {
            enabled: guard.is_on(),
            watched: guard.counts().0 as u64,
            count: count as u64,
            kept: kept.iter().map(words::guarded).collect(),
        }
    }

    fn release(&self, order: &api::ReleaseOrder, by: &str) -> Result<api::Done, No> {
        let name = name(&order.name)?;
        let shown = wire::name_to_text(&name);
        match self.shared.guard.release(&name, by, self.clock.life()) {
            0 => Err(No::Unknown(format!(
                "nothing is kept of {shown}; `byway guard` lists what is"
            ))),
            _ => {
                // What was said in its place, for other types, is not true either.
                self.shared.cache.flush_name(&name);
                Ok(api::Done {
                    done: format!("{shown} is let go: what upstreams say of it counts"),
                })
            }
        }
    }

    fn takeover(&self, order: &api::TakeoverOrder, by: &str) -> Result<api::Done, No> {
        let path = std::path::Path::new(&order.socket);
        match self.holder.hand_over(path, by) {
            Ok(done) => Ok(api::Done { done }),
            Err(why) => Err(No::Failed(why)),
        }
    }

    fn trace(&self, order: &api::TraceOrder, by: &str) -> Result<api::TraceBegun, No> {
        self.begin_trace(order, by)
    }

    fn trace_lines(&self, order: &api::TraceLinesOrder) -> Result<api::TraceLines, No> {
        self.lines_of_trace(order)
    }

    fn log(&self, order: &api::LogOrder, by: &str) -> Result<api::Done, No> {
        let levels = [
            LevelFilter::ERROR,
            LevelFilter::WARN,
            LevelFilter::INFO,
            LevelFilter::DEBUG,
        ];
        let wanted = order.level.to_ascii_lowercase();
        let level = levels.into_iter().find(|it| it.to_string() == wanted);
        let Some(level) = level else {
            let level = order.level.escape_debug();
            let why = format!("{level} is no level; there are error, warn, info and debug");
            return Err(No::Wrong(why));
        };
        let done = format!("what is logged from now on is {level} and graver, until the restart");
        // A warning, so that it stands in the log at nearly any level: what is missing later is explained.
        warn!("{by}: {done}");
        match log::set_level(level) {
            true => Ok(api::Done { done }),
            false => Err(No::Failed("this process has no log".into())),
        }
    }

    fn snapshot(&self, by: &str) -> Result<Later, No> {
        let Some(keeper) = &self.keeper else {
            let why = "no snapshot is kept: set `[cache] snapshot`, or $STATE_DIRECTORY";
            return Err(No::Failed(why.into()));
        };
        info!("{by} asked for a snapshot of the cache");
        Ok(keeper.ask())
    }

    fn record(&self) -> Vec<u8> {
        let recorder = self.recorder.as_ref();
        recorder.map(Watcher::memory).unwrap_or_default()
    }

    fn history(
        &self,
        order: &api::HistoryOrder,
    ) -> Result<oneshot::Receiver<Result<api::History, No>>, No> {
        let now = self.clock.wall_millis();
        self.reading.begin(self.recorder.as_ref(), order, now)
    }

    fn reload(&self, by: &str) -> oneshot::Receiver<Result<String, String>> {
        let (answer, answered) = oneshot::channel();
        self.alarm.tell(News::Reload(Wish::Anew {
            by: by.to_owned(),
            answer: Some(answer),
        }));
        answered
    }

    fn second(&self) -> bool {
        let now = self.clock.now();
        self.drains.end_what_is_over(now);
        self.tell_limits(now);
        self.shared.tracer.tidy(now);
        self.top.collect(now);
        let mut felt = self.felt.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = self.metrics.answers();
        let is_busy = felt.back().is_none_or(|(_, before)| *before != answers);
        // While it rests, entries are further apart.
        while felt.len() > SPAN || felt.get(1).is_some_and(|(at, _)| now.since(*at) >= FELT) {
            felt.pop_front();
        }
        felt.push_back((now, answers));
        is_busy || !self.shared.tracer.is_empty()
    }
}

/// A point in time as RFC 3339 writes it, in UTC, to the second.
pub(super) fn rfc3339(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.0}"),
        // Beyond the year 9999.
        Err(_) => "never".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
        let later = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_400);
        assert_eq!(rfc3339(later), "2023-11-14T22:13:20Z");
    }
}
