//! Adds the workers up and asks the other rooms, once a scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::super::cell::{Apart, BOUNDS, Cell64, Histogram, HistogramSum};
use super::super::log;
use super::super::names::{self, Kind, Series};
use super::process::Process;
use super::worker::{Block, RouteCells, Scalars};
use super::{
    AnswerRcode, AskedType, AttemptKind, Counter, Current, Drop, Evacuation, Eviction, Gauge,
    Label, Limit, Mismatch, Outcome, QueryResult, Scope, Shared, Source, Transport, Verdict, Visit,
    queue,
};

/// The commit that was built, if whoever built it said so.
const COMMIT: &str = match option_env!("BYWAY_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Attempts leave this host, so nothing below 100 us is worth a bucket.
const ATTEMPT_BOUND_MIN: u64 = 100_000;

/// A registry that holds every series of the table.
pub(super) fn registry(shared: Arc<Shared>) -> Registry {
    let registry = Registry::new();
    let fold = Fold {
        shared,
        descs: names::ALL
            .iter()
            .filter_map(|series| desc(series))
            .collect(),
    };
    let registered = registry.register(Box::new(fold));
    debug_assert!(registered.is_ok(), "{registered:?}");
    registry
}

/// `None` if the crate finds the name or a label malformed; a test of the table sees to it that it
/// never does.
pub(super) fn desc(series: &Series) -> Option<Desc> {
    let labels = series
        .labels
        .iter()
        .map(|label| label.to_string())
        .collect();
    Desc::new(
        series.name.to_owned(),
        series.help.to_owned(),
        labels,
        HashMap::new(),
    )
    .ok()
}

/// In the order of [`GuardSample::events`](super::GuardSample::events).
const GUARD_EVENTS: [&str; 5] = ["vanished", "returned", "expired", "released", "shrunk"];

struct Fold {
    shared: Arc<Shared>,
    descs: Vec<Desc>,
}

impl Collector for Fold {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut page = Page::default();
        let blocks = Blocks(self.shared.blocks());
        let current = self.shared.current();
        self.shared.queries(&current, &blocks, &mut page);
        self.shared.attempts(&current, &blocks, &mut page);
        current.limits(&blocks, &mut page);
        self.shared.cache(&mut page);
        self.shared.guard(&mut page);
        self.shared.snapshot(&mut page);
        self.shared.recorder(&mut page);
        self.shared.query_log(&mut page);
        self.shared.engine(&current, &mut page);
        for &counter in Counter::ALL {
            let (series, labels) = counter.feeds();
            page.put(
                series,
                labels,
                blocks.scalar(|all| &all.counters[counter as usize]) as f64,
            );
        }
        for &gauge in Gauge::ALL {
            let (series, labels) = gauge.feeds();
            page.put(
                series,
                labels,
                blocks.scalar(|all| &all.gauges[gauge as usize]) as f64,
            );
        }
        page.put(
            &names::BUILD_INFO,
            &[env!("CARGO_PKG_VERSION"), COMMIT],
            1.0,
        );
        self.shared.reload(&mut page);
        let ends = &self.shared.certificate_ends;
        match ends.load(Relaxed) {
            0 => {}
            ends => page.put(&names::CERTIFICATE_EXPIRY, &[], ends as f64),
        }
        page.put(&names::WORKERS, &[], blocks.0.len() as f64);
        for (end, count) in Visit::ALL.iter().zip(&self.shared.visits) {
            let count = count.load(Relaxed);
            page.put(&names::VISITS, &[end.as_str()], count as f64);
        }
        page.put(&names::LOG_LINES_LOST, &[], log::lost() as f64);
        page.put(&names::PANICS, &[], log::panics() as f64);
        process(&mut page);
        page.0
    }
}

impl Shared {
    fn queries(&self, current: &Current, blocks: &Blocks, page: &mut Page) {
        for (index, listener) in current.roster.listeners.iter().enumerate() {
            for &transport in Transport::ALL {
                for &result in QueryResult::ALL {
                    let count = blocks.sum(|block| {
                        &block.listeners[index].0.queries[transport.index()][result.index()]
                    });
                    let labels = [listener.as_str(), transport.as_str(), result.as_str()];
                    page.put(&names::QUERIES, &labels, count as f64);
                }
            }
        }
        for &asked in AskedType::ALL {
            for &rcode in AnswerRcode::ALL {
                let count = blocks.scalar(|all| &all.answers[asked.index()][rcode.index()]);
                let labels = [asked.as_str(), rcode.as_str()];
                page.put(&names::ANSWERS, &labels, count as f64);
            }
        }
        for &source in Source::ALL {
            let sum = blocks.histogram(|block| &block.scalars.0.durations[source.index()]);
            page.histogram(&names::QUERY_DURATION, &[source.as_str()], &sum, 0);
        }
        for &reason in Drop::ALL {
            let count = blocks.scalar(|all| &all.dropped[reason.index()]);
            page.put(&names::DROPPED, &[reason.as_str()], count as f64);
        }
        let sockets = queue::sockets();
        for listener in &current.roster.listeners {
            if let Some(drops) = queue::drops(&sockets, listener) {
                page.put(&names::QUEUE_DROPS, &[listener], drops as f64);
            }
        }
    }

    fn attempts(&self, current: &Current, blocks: &Blocks, page: &mut Page) {
        for (number, tenant, route) in current.roster.routes() {
            let blocks = blocks.routes(number, tenant);
            let (upstream, path) = (route.upstream.as_str(), route.path.as_str());
            for &outcome in Outcome::ALL {
                let count = blocks.sum(|route| &route.outcomes[outcome.index()]);
                page.put(
                    &names::ATTEMPTS,
                    &[upstream, path, outcome.as_str()],
                    count as f64,
                );
            }
            for &kind in AttemptKind::ALL {
                let count = blocks.sum(|route| &route.sent[kind.index()]);
                page.put(
                    &names::ATTEMPTS_SENT,
                    &[upstream, path, kind.as_str()],
                    count as f64,
                );
            }
            for &reason in Mismatch::ALL {
                let count = blocks.sum(|route| &route.mismatches[reason.index()]);
                page.put(
                    &names::MISMATCHES,
                    &[upstream, path, reason.as_str()],
                    count as f64,
                );
            }
            let fallbacks = blocks.sum(|route| &route.edns_fallbacks);
            page.put(&names::EDNS_FALLBACKS, &[upstream, path], fallbacks as f64);
            let sum = blocks.histogram(|route| &route.duration);
            page.histogram(
                &names::ATTEMPT_DURATION,
                &[upstream, path],
                &sum,
                ATTEMPT_BOUND_MIN,
            );
        }
        let evacuations = self.evacuations();
        for path in &current.roster.paths {
            let causes = evacuations.get(path).copied().unwrap_or_default();
            for (&cause, count) in Evacuation::ALL.iter().zip(causes) {
                page.put(&names::EVACUATIONS, &[path, cause.as_str()], count as f64);
            }
        }
        let series = [&names::TROUBLES, &names::TROUBLE];
        for (series, scopes) in series.into_iter().zip(&self.troubles) {
            for (&scope, count) in Scope::ALL.iter().zip(scopes) {
                let count = count.load(Relaxed);
                page.put(series, &[scope.as_str()], count as f64);
            }
        }
    }

    fn reload(&self, page: &mut Page) {
        let [domains, left_out] = &self.links;
        page.put(&names::LINK_DOMAINS, &[], domains.load(Relaxed) as f64);
        page.put(&names::LINKS_LEFT_OUT, &[], left_out.load(Relaxed) as f64);
        let reloads = *self.reloads();
        page.put(&names::RELOADS, &["applied"], reloads.applied as f64);
        page.put(&names::RELOADS, &["refused"], reloads.refused as f64);
        let last = f64::from(u8::from(!reloads.failed));
        page.put(&names::RELOAD_SUCCESSFUL, &[], last);
        let since = reloads
            .since
            .and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        if let Some(since) = since {
            page.put(&names::RELOAD_TIMESTAMP, &[], since.as_secs_f64());
        }
    }

    fn cache(&self, page: &mut Page) {
        let cache = (self.sources.cache)();
        page.put(&names::CACHE_ENTRIES, &[], cache.entries as f64);
        page.put(&names::CACHE_BYTES, &[], cache.bytes as f64);
        page.put(&names::CACHE_CAPACITY, &[], cache.capacity as f64);
        for (cause, count) in Eviction::ALL.iter().zip(cache.evictions) {
            page.put(&names::CACHE_EVICTIONS, &[cause.as_str()], count as f64);
        }
    }

    fn guard(&self, page: &mut Page) {
        let Some(guard) = (self.sources.guard)() else {
            return;
        };
        page.put(&names::GUARD_KEPT, &[], guard.kept as f64);
        page.put(&names::GUARD_WATCHED, &[], guard.watched as f64);
        for (event, count) in GUARD_EVENTS.iter().zip(guard.events) {
            page.put(&names::GUARD_NAMES, &[event], count as f64);
        }
    }

    fn snapshot(&self, page: &mut Page) {
        let Some(source) = &self.sources.snapshot else {
            return;
        };
        let snapshot = source();
        page.put(
            &names::SNAPSHOT_WRITES,
            &["written"],
            snapshot.written as f64,
        );
        page.put(&names::SNAPSHOT_WRITES, &["failed"], snapshot.failed as f64);
        let failing = f64::from(u8::from(snapshot.failing));
        page.put(&names::SNAPSHOT_FAILING, &[], failing);
        if let Some(file) = snapshot.file {
            page.put(&names::SNAPSHOT_AGE, &[], file.age.as_secs_f64());
            page.put(&names::SNAPSHOT_BYTES, &[], file.bytes as f64);
            page.put(&names::SNAPSHOT_ENTRIES, &[], file.entries as f64);
        }
    }

    fn recorder(&self, page: &mut Page) {
        let Some(source) = &self.sources.recorder else {
            return;
        };
        let recorder = source();
        if let Some(on_disk) = recorder.on_disk {
            let on_disk = f64::from(u8::from(on_disk));
            page.put(&names::RECORDER_ON_DISK, &[], on_disk);
        }
        for (kept, count) in [
            ("disk", recorder.written),
            ("memory", recorder.in_memory),
            ("lost", recorder.lost),
        ] {
            page.put(&names::RECORDER_FRAMES, &[kept], count as f64);
        }
    }

    fn query_log(&self, page: &mut Page) {
        if let Some(source) = &self.sources.query_log {
            let log = source();
            for (kept, count) in [("file", log.written), ("lost", log.lost)] {
                page.put(&names::QUERY_LOG, &[kept], count as f64);
            }
        }
    }

    fn engine(&self, current: &Current, page: &mut Page) {
        let engine = (self.sources.engine)();
        for (number, _, names) in current.roster.routes() {
            // A reload may have come between.
            let Some(route) = engine.routes.iter().find(|it| it.number == number) else {
                continue;
            };
            let (upstream, path) = (names.upstream.as_str(), names.path.as_str());
            for verdict in Verdict::ALL {
                let has = f64::from(u8::from(verdict == route.verdict));
                page.put(
                    &names::ROUTE_VERDICT,
                    &[upstream, path, verdict.as_str()],
                    has,
                );
            }
            let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
            for (series, value) in [
                (&names::ROUTE_BASE, seconds(route.base)),
                (&names::ROUTE_EXCESS, seconds(route.excess)),
                (&names::ROUTE_LOSS, route.loss),
                (&names::ROUTE_LAST_ANSWER, seconds(route.last_answer)),
                (&names::ROUTE_IN_FLIGHT, Some(route.in_flight as f64)),
                (&names::ROUTE_LIMIT, Some(route.limit as f64)),
                (
                    &names::ROUTE_TCP_RETRANSMITS,
                    route.tcp_retransmits.map(|segments| segments as f64),
                ),
                (&names::ROUTE_TCP_ROUND_TRIP, seconds(route.tcp_round_trip)),
            ] {
                if let Some(value) = value {
                    page.put(series, &[upstream, path], value);
                }
            }
        }
        for (path, missing) in &engine.missing {
            page.put(&names::PATH_MISSING, &[path], f64::from(u8::from(*missing)));
        }
        page.put(&names::HEDGES, &["denied"], engine.hedges_denied as f64);
        page.put(&names::RETRIES, &["denied"], engine.retries_denied as f64);
        page.put(&names::EVENTS_LOST, &[], engine.events_lost as f64);
        for budget in engine.budgets {
            page.put(&names::BUDGET, &[budget.name], budget.tokens);
        }
        if let Some(ratio) = engine.amplification {
            page.put(&names::AMPLIFICATION, &[], ratio);
        }
    }
}

impl Current {
    fn limits(&self, blocks: &Blocks, page: &mut Page) {
        for &limit in Limit::ALL {
            page.put(
                &names::LIMIT,
                &[limit.as_str()],
                limit.configured(&self.limits) as f64,
            );
            for &client in limit.met_by() {
                let reached = blocks.scalar(|all| &all.limits[limit.index()][client.index()]);
                let labels = [limit.as_str(), client.as_str()];
                page.put(&names::LIMIT_REACHED, &labels, reached as f64);
            }
        }
    }
}

fn process(page: &mut Page) {
    let process = Process::read();
    for (series, value) in [
        (&names::PROCESS_CPU, process.cpu),
        (&names::PROCESS_RESIDENT, process.resident),
        (&names::PROCESS_FDS, process.fds),
        (&names::PROCESS_FDS_MAX, process.fds_max),
        (&names::PROCESS_STARTED, process.started),
    ] {
        if let Some(value) = value {
            page.put(series, &[], value);
        }
    }
}

/// Every worker's numbers, added up on demand.
struct Blocks(Vec<Arc<Block>>);

impl Blocks {
    fn sum(&self, cell: impl Fn(&Block) -> &Cell64) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, block| sum.wrapping_add(cell(block).get()))
    }

    fn scalar(&self, cell: impl Fn(&Scalars) -> &Cell64) -> u64 {
        self.sum(|block| cell(&block.scalars.0))
    }

    /// What every worker counted of the route that `tenant` has under this number.
    fn routes(&self, number: usize, tenant: u32) -> Routes {
        let of = |block: &Arc<Block>| {
            let routes = block.routes();
            let (who, cells) = routes.get(number)?;
            (*who == tenant).then(|| Arc::clone(cells))
        };
        Routes(self.0.iter().filter_map(of).collect())
    }

    fn histogram(&self, of: impl Fn(&Block) -> &Histogram) -> HistogramSum {
        let mut sum = HistogramSum::default();
        self.0
            .iter()
            .for_each(|block| of(block).fold_into(&mut sum));
        sum
    }
}

/// Every worker's numbers of one route.
struct Routes(Vec<Arc<Apart<RouteCells>>>);

impl Routes {
    fn sum(&self, cell: impl Fn(&RouteCells) -> &Cell64) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, cells| sum.wrapping_add(cell(&cells.0).get()))
    }

    fn histogram(&self, of: impl Fn(&RouteCells) -> &Histogram) -> HistogramSum {
        let mut sum = HistogramSum::default();
        self.0
            .iter()
            .for_each(|cells| of(&cells.0).fold_into(&mut sum));
        sum
    }
}

/// The families gathered so far.
#[derive(Default)]
struct Page(Vec<proto::MetricFamily>);

impl Page {
    /// Adds one counter or gauge. `labels` are the values, in the order of the table.
    fn put(&mut self, series: &'static Series, labels: &[&str], value: f64) {
        let mut metric = metric(series, labels);
        match series.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Histogram => debug_assert!(false, "{} is a histogram", series.name),
        }
        self.family(series).mut_metric().push(metric);
    }

    /// Adds one histogram, with buckets from `bound_min` nanoseconds up. What lies below is in the
    /// first of them, buckets being cumulative. The count is read from the buckets, so that it and
    /// they agree whatever the workers do meanwhile.
    fn histogram(
        &mut self,
        series: &'static Series,
        labels: &[&str],
        sum: &HistogramSum,
        bound_min: u64,
    ) {
        let mut cumulative = 0u64;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (&bound, &count) in BOUNDS.iter().zip(&sum.buckets) {
            cumulative = cumulative.wrapping_add(count);
            if bound >= bound_min {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(bound as f64 / 1e9);
                bucket.set_cumulative_count(cumulative);
                buckets.push(bucket);
            }
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative.wrapping_add(sum.buckets[BOUNDS.len()]));
        histogram.set_sample_sum(sum.nanos as f64 / 1e9);
        let mut metric = metric(series, labels);
        metric.set_histogram(histogram);
        self.family(series).mut_metric().push(metric);
    }

    fn family(&mut self, series: &'static Series) -> &mut proto::MetricFamily {
        // Series of a family are put one after another or nearly so: look from the end.
        let found = self
            .0
            .iter()
            .rposition(|family| family.name() == series.name);
        let index = found.unwrap_or_else(|| {
            let mut family = proto::MetricFamily::default();
            family.set_name(series.name.to_owned());
            family.set_help(series.help.to_owned());
            family.set_field_type(match series.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram => proto::MetricType::HISTOGRAM,
            });
            self.0.push(family);
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}

fn metric(series: &'static Series, labels: &[&str]) -> proto::Metric {
    debug_assert_eq!(
        series.labels.len(),
        labels.len(),
        "labels of {}",
        series.name
    );
    let pairs = series.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    proto::Metric::from_label(pairs.collect())
}
