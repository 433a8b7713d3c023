//! The workers: each a thread with a runtime, listening sockets, upstream sockets and questions of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::watch as stopping;
use tracing::error;

use super::paths::Fate;
use super::reload::{Orders, Wish};
use super::teller::Teller;
use super::vital::{Alarm, News, Pulses, ROLL_CALL, Roll};
use super::worker::Worker;
use super::{StartError, entropy, manner, watch, ways};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::lineup::Lineup;
use crate::config::live::Span;
use crate::net::Sockets;
use crate::observe::metrics::{Metrics, WorkerMetrics};
use crate::observe::query_log::QueryLog;
use crate::observe::top::Top;
use crate::resolve::{Core, Shared};
use crate::serve::{Connections, Front, Listeners, Proofs};
use crate::tls;

/// How long workers may take to start: hosts may be slow, but a start must not hang.
const START: Duration = Duration::from_secs(30);

/// A worker ends by its questions' deadline and this; the margin is for the kernel's queues.
const END: Duration = Duration::from_millis(500);

/// How much longer it is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// When it is looked again whether all are alive if they were not.
const SOON: Duration = Duration::from_secs(1);

/// What all workers are given.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) config: Config,
    pub(super) lineup: Arc<Lineup>,
    /// The longest that a question may take.
    pub(super) deadline: Arc<Span>,
    pub(super) connections: Arc<Connections>,
    pub(super) proofs: Arc<Proofs>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) top: Arc<Top>,
    pub(super) log: Option<Arc<QueryLog>>,
    pub(super) tls: Option<Arc<tls::Server>>,
    pub(super) clients: Arc<tls::Clients>,
    pub(super) teller: Arc<Teller>,
    pub(super) clock: Clock,
    pub(super) fate: Fate,
    pub(super) pulses: Arc<Pulses>,
    pub(super) alarm: Alarm,
    pub(super) orders: Orders,
}

/// The workers, once all of them work.
pub(super) struct Crew {
    /// Those that have not ended.
    at_work: Vec<u16>,
    news: Receiver<News>,
    stop: stopping::Sender<bool>,
    deadline: Arc<Span>,
    /// Reloads that were wished for before it could be done.
    wishes: Vec<Wish>,
}

/// Why the daemon ends.
pub(super) enum Ending {
    /// It was told to, by this signal.
    Told(&'static str),
    /// It cannot go on; this says why.
    Lost(String),
}

impl Crew {
    /// Starts a worker for each of `listeners` and waits until all of them listen and have made a turn.
    ///
    /// # Errors
    /// [`StartError`] as soon as one of them cannot start.
    pub(super) fn start(
        listeners: Vec<Listeners>,
        means: &Means,
        news: Receiver<News>,
    ) -> Result<Crew, StartError> {
        let (stop, stopped) = stopping::channel(false);
        let workers = 0..listeners.len() as u16;
        for (number, listeners) in workers.clone().zip(listeners) {
            let seat = Seat {
                number,
                listeners,
                rngs: [entropy()?, entropy()?],
                chance: entropy()?.next_u64(),
                means: means.clone(),
                stopped: stopped.clone(),
            };
            seat.take()?;
        }
        let mut crew = Crew {
            at_work: workers.collect(),
            news,
            stop,
            deadline: Arc::clone(&means.deadline),
            wishes: Vec::new(),
        };
        crew.await_start()?;
        Ok(crew)
    }

    fn await_start(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + START;
        let mut missing = self.at_work.clone();
        while let Some(number) = missing.first().copied() {
            let left = end.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(News::Started(number)) => missing.retain(|it| *it != number),
                Ok(News::Ended(number, ended)) => {
                    let cause = ended.err().unwrap_or_else(|| io::Error::other("it ended"));
                    return Err(StartError::Worker { number, cause });
                }
                Ok(News::Lost(what)) => return Err(StartError::Lost(what)),
                // Whoever tells of a signal ends the process itself before the start is over.
                Ok(News::Stop(_)) => {}
                Ok(News::Reload(wish)) => self.wishes.push(wish),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let cause = io::ErrorKind::TimedOut.into();
                    return Err(StartError::Worker { number, cause });
                }
            }
        }
        Ok(())
    }

    /// Waits for as long as all goes well and nobody wants it to end. Looks whether it is `alive` after each
    /// time of that length in which nothing is heard, and soon again if it is not: a process that was stopped is
    /// alive a moment after it goes on. Has what is wished for carried out by `reload`.
    pub(super) fn work(
        &mut self,
        each: Duration,
        alive: impl Fn() -> bool,
        mut reload: impl FnMut(Wish),
    ) -> Ending {
        let mut wait = each;
        self.wishes.drain(..).for_each(&mut reload);
        loop {
            match self.news.recv_timeout(wait) {
                Ok(News::Stop(name)) => return Ending::Told(name),
                Ok(News::Lost(what)) => return Ending::Lost(what),
                Ok(News::Ended(number, ended)) => {
                    self.at_work.retain(|it| *it != number);
                    let why = ended.map_or_else(|error| error.to_string(), |()| "unasked".into());
                    return Ending::Lost(format!("worker {number} has ended: {why}"));
                }
                Ok(News::Started(_)) => {}
                Ok(News::Reload(wish)) => {
                    reload(wish);
                    // However many come: nobody else says that byway is alive.
                    alive();
                }
                Err(RecvTimeoutError::Timeout) => {
                    wait = if alive() { each } else { each.min(SOON) };
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Ending::Lost("the workers have gone".into());
                }
            }
        }
    }

    /// Has the workers answer what is in flight, take in nothing more, and end. One that does not is left
    /// behind.
    ///
    /// # Errors
    /// What kept one of them from ending well.
    pub(super) fn end(mut self) -> Result<(), StartError> {
        let _ = self.stop.send(true);
        let end = Instant::now() + self.deadline.get() + END + GRACE;
        let mut result = Ok(());
        while !self.at_work.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(News::Ended(number, ended)) => {
                    self.at_work.retain(|it| *it != number);
                    if let Err(cause) = ended {
                        error!("worker {number} has not ended well: {cause}");
                        result = Err(StartError::System(cause));
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    let stuck: Vec<String> = self
                        .at_work
                        .iter()
                        .map(|it| format!("worker {it}"))
                        .collect();
                    let line = format!("{} did not end", stuck.join(", "));
                    error!("{line}");
                    return Err(StartError::Lost(line));
                }
            }
        }
        result
    }
}

/// Everything one worker is given.
struct Seat {
    number: u16,
    listeners: Listeners,
    rngs: [StdRng; 2],
    /// Decides which answers are looked at.
    chance: u64,
    means: Means,
    stopped: stopping::Receiver<bool>,
}

impl Seat {
    /// Starts the worker's thread, which tells how it ends.
    fn take(self) -> io::Result<()> {
        let (number, alarm) = (self.number, self.means.alarm.clone());
        std::thread::Builder::new()
            .name(format!("byway-{number}"))
            .spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| self.work()))
                    .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
                alarm.tell(News::Ended(number, ended));
            })?;
        Ok(())
    }

    /// A worker's life.
    fn work(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let Seat {
            number,
            listeners,
            rngs: [for_sockets, for_core],
            chance,
            means,
            mut stopped,
        } = self;
        let Means {
            config,
            lineup,
            deadline,
            connections,
            proofs,
            shared,
            metrics: all_metrics,
            top,
            log,
            tls,
            clients,
            teller,
            clock,
            fate,
            pulses,
            alarm,
            orders,
        } = means;
        let metrics = Rc::new(all_metrics.worker());
        let manner = manner(&config, &shared, &metrics);
        let ways = ways(&lineup, &config, &clients);
        let sockets = Sockets::new(ways, manner, &config.limits, for_sockets)?;
        let front = Front::new(
            listeners,
            &config,
            (connections, proofs),
            Rc::clone(&metrics),
            top.sampler(chance),
            log.as_ref().map(|log| log.pen()),
            clock,
        );
        if let Some(tls) = tls {
            front.encrypt(tls);
        }
        let core = Core::new(
            sockets,
            Arc::clone(&shared),
            Rc::clone(&front) as Rc<_>,
            Rc::clone(&metrics),
            number,
            for_core,
            clock.now(),
        );
        let worker = Worker::new(core, clock);
        let roll = Roll::new(number, &pulses, alarm.clone(), clock);
        worker.drive(Arc::clone(&shared), number, &roll)?;
        let follow = fate.follow(Rc::clone(&worker), Arc::clone(&shared));
        roll.spawn("news of paths", follow);
        let follower = Follower {
            number,
            worker: Rc::clone(&worker),
            front: Rc::clone(&front),
            shared: Arc::clone(&shared),
            metrics,
        };
        roll.spawn("reloads", follower.follow(orders));
        if number == 0 {
            let pulse = pulses.join("the routing engine's tick".into(), clock.now());
            let tick = watch::tick(
                Rc::clone(&worker),
                Arc::clone(&shared),
                teller,
                clock,
                pulse,
            );
            roll.spawn("tick", tick);
        }
        front.open(&worker, |name, task| roll.spawn(name, task))?;
        while !roll.is_complete() {
            tokio::task::yield_now().await;
        }
        worker.turn(|_, _| {});
        roll.call(clock.now(), ROLL_CALL);
        alarm.tell(News::Started(number));

        let _ = stopped.wait_for(|stop| *stop).await;
        front.stop();
        let patience = deadline.get() + END;
        let _ = tokio::time::timeout(patience, front.drained()).await;
        Ok(())
    }
}

/// What one worker changes when the configuration does.
struct Follower {
    number: u16,
    worker: Rc<Worker>,
    front: Rc<Front>,
    shared: Arc<Shared>,
    metrics: Rc<WorkerMetrics>,
}

impl Follower {
    /// Does as it is told for as long as the worker lives.
    async fn follow(self, mut orders: Orders) {
        while orders.changed().await.is_ok() {
            let Some(order) = orders.borrow_and_update().clone() else {
                continue;
            };
            let config = &order.config;
            let manner = manner(config, &self.shared, &self.metrics);
            let ways = ways(&order.lineup, config, &order.clients);
            self.metrics.reshape(&watch::tenants(&order.lineup));
            self.worker.turn(|core, _| {
                core.provide_for(order.lineup.pools.len());
                core.exchanges.reshape(ways, manner, &config.limits);
            });
            self.front.suit(config);
            order.done(self.number);
        }
    }
}
