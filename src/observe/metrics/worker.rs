//! What one worker counts.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::cell::{Apart, Cell64, Histogram};
use super::{
    AnswerRcode, AskedType, AttemptKind, Client, Counter, Drop, Gauge, Label, Limit, Met, Mismatch,
    Outcome, QueryResult, Source, Transport,
};

/// The numbers of one worker: written by it alone, read by scrapes.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) scalars: Apart<Scalars>,
    pub(super) listeners: Box<[Apart<ListenerCells>]>,
    /// By number: who has it, and what was counted of that one.
    routes: Mutex<Vec<(u32, Arc<Apart<RouteCells>>)>>,
}

/// By number, who has it of all that have had it.
pub type Tenants = Vec<u32>;

#[derive(Debug)]
pub(super) struct Scalars {
    pub(super) answers: [[Cell64; AnswerRcode::COUNT]; AskedType::COUNT],
    pub(super) durations: [Histogram; Source::COUNT],
    pub(super) dropped: [Cell64; Drop::COUNT],
    pub(super) limits: [[Cell64; Client::COUNT]; Limit::COUNT],
    pub(super) counters: [Cell64; Counter::COUNT],
    pub(super) gauges: [Cell64; Gauge::COUNT],
}

impl Default for Scalars {
    fn default() -> Scalars {
        Scalars {
            answers: Default::default(),
            durations: Default::default(),
            dropped: Default::default(),
            limits: Default::default(),
            // The library makes default arrays of 32 at most.
            counters: std::array::from_fn(|_| Cell64::default()),
            gauges: Default::default(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct ListenerCells {
    pub(super) queries: [[Cell64; QueryResult::COUNT]; Transport::COUNT],
}

#[derive(Debug, Default)]
pub(super) struct RouteCells {
    pub(super) outcomes: [Cell64; Outcome::COUNT],
    pub(super) duration: Histogram,
    pub(super) sent: [Cell64; AttemptKind::COUNT],
    pub(super) mismatches: [Cell64; Mismatch::COUNT],
    pub(super) edns_fallbacks: Cell64,
}

impl Block {
    pub(super) fn new(listeners: usize) -> Block {
        Block {
            scalars: Apart::default(),
            listeners: (0..listeners).map(|_| Apart::default()).collect(),
            routes: Mutex::default(),
        }
    }

    /// Adds how often it has reached each limit.
    pub(super) fn add_limits(&self, met: &mut Met) {
        for (sums, counts) in met.iter_mut().zip(&self.scalars.0.limits) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.wrapping_add(count.get());
            }
        }
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, Vec<(u32, Arc<Apart<RouteCells>>)>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the queries that it has answered, by result.
    pub(super) fn add_answers(&self, answers: &mut [u64; QueryResult::COUNT]) {
        for listener in &self.listeners {
            for transport in &listener.0.queries {
                for (sum, count) in answers.iter_mut().zip(transport) {
                    *sum = sum.wrapping_add(count.get());
                }
            }
        }
    }
}

/// A worker's hand on its numbers.
///
/// It can be sent to the worker's thread but not shared between threads or cloned, which is what
/// makes plain loads and stores enough (see `Cell64`). The rooms of one worker share it by
/// reference or `Rc`. Listeners and routes are given by their indices in the
/// [`Roster`](super::Roster) that the metrics were made with; an index beyond them is a defect in
/// the caller and panics.
#[derive(Debug)]
pub struct WorkerMetrics {
    block: Arc<Block>,
    /// The routes' numbers again, where no lock is needed.
    routes: RefCell<Vec<Arc<Apart<RouteCells>>>>,
    not_sync: PhantomData<Cell<()>>,
}

impl WorkerMetrics {
    pub(super) fn new(block: Arc<Block>) -> WorkerMetrics {
        WorkerMetrics {
            block,
            routes: RefCell::default(),
            not_sync: PhantomData,
        }
    }

    /// Routes have changed: who is new under a number is counted from nothing, the others go on. There are never fewer.
    pub fn reshape(&self, tenants: &Tenants) {
        let mut shown = self.block.routes();
        let mut own = self.routes.borrow_mut();
        for (number, tenant) in tenants.iter().enumerate() {
            match shown.get(number) {
                Some((same, _)) if same == tenant => continue,
                _ => {}
            }
            let cells = Arc::<Apart<RouteCells>>::default();
            if number < shown.len() {
                shown[number] = (*tenant, Arc::clone(&cells));
                own[number] = cells;
            } else {
                shown.push((*tenant, Arc::clone(&cells)));
                own.push(cells);
            }
        }
    }

    /// Counts `n` queries answered alike.
    #[inline]
    pub fn query(&self, listener: usize, transport: Transport, result: QueryResult, n: u64) {
        self.block.listeners[listener].0.queries[transport.index()][result.index()].add(n);
    }

    /// Counts an answer to a question for `asked`.
    #[inline]
    pub fn answer(&self, asked: AskedType, rcode: AnswerRcode) {
        self.block.scalars.0.answers[asked.index()][rcode.index()].add(1);
    }

    /// Counts `n` answers that took `took` each, from reading the query to handing over the
    /// answer. A batch answered between two clock reads counts at once.
    #[inline]
    pub fn latency(&self, source: Source, took: Duration, n: u64) {
        self.block.scalars.0.durations[source.index()].add(took, n);
    }

    /// Counts a drop.
    #[inline]
    pub fn dropped(&self, reason: Drop, n: u64) {
        self.block.scalars.0.dropped[reason.index()].add(n);
    }

    /// Counts a limit that turned something away or made it wait, by who met it.
    #[inline]
    pub fn limited(&self, limit: Limit, client: Client) {
        self.block.scalars.0.limits[limit.index()][client.index()].add(1);
    }

    /// Counts `n` of whatever `counter` stands for.
    #[inline]
    pub fn count(&self, counter: Counter, n: u64) {
        self.block.scalars.0.counters[counter as usize].add(n);
    }

    /// Says how many there are now of what `gauge` stands for, in this worker.
    #[inline]
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.block.scalars.0.gauges[gauge as usize].set(value);
    }

    /// Counts an attempt sent over `route`.
    #[inline]
    pub fn sent(&self, route: usize, kind: AttemptKind) {
        self.routes.borrow()[route].0.sent[kind.index()].add(1);
    }

    /// Counts an attempt over `route` that ended after `took`. Its time goes into the histogram
    /// unless it never made a round trip (see [`Outcome::has_round_trip`]).
    #[inline]
    pub fn attempt(&self, route: usize, outcome: Outcome, took: Duration) {
        let routes = self.routes.borrow();
        let cells = &routes[route].0;
        cells.outcomes[outcome.index()].add(1);
        if outcome.has_round_trip() {
            cells.duration.add(took, 1);
        }
    }

    /// Counts a datagram on a socket of `route` that does not match what was sent.
    #[inline]
    pub fn mismatched(&self, route: usize, reason: Mismatch) {
        self.routes.borrow()[route].0.mismatches[reason.index()].add(1);
    }

    /// Counts a query asked again over `route` without EDNS.
    #[inline]
    pub fn edns_fallback(&self, route: usize) {
        self.routes.borrow()[route].0.edns_fallbacks.add(1);
    }
}

impl std::ops::Drop for WorkerMetrics {
    /// What a worker that has ended counted stays counted; what it held, it holds no more.
    fn drop(&mut self) {
        for gauge in &self.block.scalars.0.gauges {
            gauge.set(0);
        }
    }
}
