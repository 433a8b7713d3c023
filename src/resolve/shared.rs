//! What all workers share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::cache::{Cache, Failures};
use crate::clock::{Life, Time};
use crate::config::Config;
use crate::config::lineup::{self, Lineup};
use crate::config::live::Span;
use crate::names::guard::Guard;
use crate::names::{Names, Table, Terms};
use crate::net::kinds::Kinds;
use crate::net::peers::Peers;
use crate::observe::trace::Tracer;
use crate::resolve::clients::Clients;
use crate::resolve::inflight::InFlight;
use crate::resolve::loops::Loops;
use crate::resolve::mailbox::Mailbox;
use crate::resolve::promptness::Promptness;
use crate::resolve::rest::Rest;
use crate::route::{Engine, PoolId, RouteId, UpstreamId};
use crate::wire::{Ede, KeyRef, Kind, RecordType};

/// What all workers share: the engine, the cache, the table of questions in flight.
#[derive(Debug)]
pub struct Shared {
    engine: Mutex<Engine>,
    /// The answers.
    pub cache: Cache,
    /// The failures (RFC 9520).
    pub failures: Failures,
    /// Questions in flight, by leader.
    pub inflight: Arc<InFlight>,
    /// Who asks.
    pub clients: Arc<Clients>,
    /// What is known of names before anybody is asked.
    names: RwLock<Arc<Names>>,
    /// Names that must not vanish.
    pub guard: Guard,
    /// Whether fresh answers come soon enough to be waited for, by pool.
    promptness: Box<[Promptness]>,
    /// One mailbox for each worker.
    pub mailboxes: Vec<Mailbox>,
    /// Which upstreams may lead back here.
    pub loops: Loops,
    /// Whose questions somebody looks at.
    pub tracer: Tracer,
    /// What is known of each upstream's ways.
    pub peers: Arc<Peers>,
    /// What types upstreams do not answer.
    pub kinds: Kinds,
    /// Each route's upstream, and how many routes there are.
    upstreams: Box<[AtomicU16]>,
    routes: AtomicUsize,
    /// Clients that may wait for one answer.
    pub waiting_per_question: AtomicUsize,
    /// Who looks after what only time brings may rest, for nobody asks for anything.
    pub rest: Rest,
    /// The longest a client waits while a stale answer is held.
    pub stale_wait: Span,
    /// TTL of stale answers, in seconds.
    pub stale_ttl: AtomicU32,
    /// How long a question may wait for room on a route; less once the queue stands ([`super::backlog`]).
    pub queue_patience: Span,
    /// Whether the order of addresses changes from answer to answer.
    pub rotate: AtomicBool,
    /// The UDP payload size that is advertised.
    pub payload: u16,
}

impl Shared {
    /// Everything empty, as `config` asks, for its number of workers.
    pub fn new(config: &Config, seed: u64, now: Time) -> Shared {
        let engine = Engine::new(config, now);
        let shared = Shared {
            upstreams: (0..lineup::MOST_ROUTES)
                .map(|_| AtomicU16::default())
                .collect(),
            routes: AtomicUsize::default(),
            cache: Cache::new(&config.cache, seed),
            failures: Failures::new(&config.cache),
            inflight: Arc::new(InFlight::new(
                config.limits.questions,
                config.limits.waiting,
            )),
            clients: Clients::new(&config.limits),
            loops: Loops::new(config.upstreams.len()),
            names: RwLock::new(Arc::new(Names::new(config))),
            guard: Guard::new(config),
            promptness: (0..lineup::MOST_POOLS)
                .map(|_| Promptness::default())
                .collect(),
            tracer: Tracer::default(),
            mailboxes: (0..config.workers).map(|_| Mailbox::default()).collect(),
            peers: Arc::new(Peers::new(lineup::MOST_UPSTREAMS)),
            kinds: Kinds::default(),
            waiting_per_question: AtomicUsize::new(config.limits.waiting_per_question),
            rest: Rest::default(),
            stale_wait: Span::new(config.cache.stale_wait),
            stale_ttl: AtomicU32::new(stale_ttl(config)),
            queue_patience: Span::new(config.limits.queue_patience),
            rotate: AtomicBool::new(config.cache.rotate),
            payload: config.limits.udp_payload,
            engine: Mutex::new(engine),
        };
        shared.number(&Lineup::new(config));
        shared
    }

    /// Takes over what a reload may change, but for the routes.
    pub fn suit(&self, config: &Config, life: Life) {
        self.cache.suit(&config.cache, life);
        self.failures.suit(&config.cache);
        self.guard.suit(config, life);
        let limits = &config.limits;
        self.inflight.questions().set_bound(limits.questions);
        self.inflight.waiting().set_bound(limits.waiting);
        self.waiting_per_question
            .store(limits.waiting_per_question, Relaxed);
        self.clients.suit(limits);
        self.queue_patience.set(limits.queue_patience);
        self.stale_wait.set(config.cache.stale_wait);
        self.stale_ttl.store(stale_ttl(config), Relaxed);
        self.rotate.store(config.cache.rotate, Relaxed);
    }

    /// The routes of `lineup`, which follows `before`, take part from now on. Every worker must be able to send over
    /// them already.
    pub fn reshape(&self, before: &Lineup, lineup: &Lineup, config: &Config, now: Time) {
        for (number, slot) in (0u16..).zip(&lineup.upstreams) {
            let was = before.upstreams.get(usize::from(number));
            if was.is_none_or(|was| was.tenant != slot.tenant) {
                self.peers.forget(UpstreamId(number));
                self.loops.forget(UpstreamId(number));
            }
        }
        self.number(lineup);
        self.engine().reshape(lineup, config, now);
        self.rest.wake();
        let (names, before) = {
            let mut held = self.names.write().unwrap_or_else(PoisonError::into_inner);
            let names = Arc::new(held.succeed(config, lineup));
            (Arc::clone(&names), std::mem::replace(&mut *held, names))
        };
        self.engine().retire(lineup, config, now);
        if names.zones != before.zones {
            let differs = |name: &[u8]| names.differ_for(&before, name);
            self.cache.forget(differs);
            self.failures.forget(differs);
        }
        if names.dns64 != before.dns64 {
            self.forget_made(&before);
        }
        if names.zones != before.zones || names.records != before.records {
            self.forget_local();
        }
    }

    /// What is known of names before anybody is asked.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn number(&self, lineup: &Lineup) {
        for (upstream, slot) in self.upstreams.iter().zip(&lineup.routes) {
            upstream.store(slot.is.upstream, Relaxed);
        }
        self.routes.store(lineup.routes.len(), Relaxed);
    }

    /// How a question is asked.
    #[inline]
    pub fn terms_of(&self, key: KeyRef<'_>) -> Terms {
        self.names().zones.terms_of(key.name())
    }

    /// Whom it may be asked of.
    #[inline]
    pub fn pool_of(&self, key: KeyRef<'_>) -> PoolId {
        PoolId(self.terms_of(key).pool)
    }

    /// The host's own file of names says this from now on. What the cache holds for such names is forgotten, and how
    /// much that was is returned.
    pub fn take_hosts(&self, table: Table) -> usize {
        self.names().take_hosts(table);
        self.forget_local()
    }

    /// Forgets what the cache holds for names whose records are known here, or whose answers are changed here: they were
    /// asked for before that was so.
    pub fn forget_local(&self) -> usize {
        let names = self.names();
        let (records, hosts) = (&names.records, names.hosts());
        let is_local = |name: &[u8]| records.find(name).or(hosts.find(name)).is_some();
        self.cache
            .forget(|name| is_local(name) || names.zones.changes(name))
    }

    /// Forgets all addresses that were made, and all for which there were none to be made of: that is done otherwise than
    /// `before` from now on. And the reverse names that lead, or led, elsewhere.
    fn forget_made(&self, before: &Names) {
        let names = self.names();
        let leads = |of: &Names, name: &[u8]| of.dns64.as_ref().and_then(|it| it.reverse(name));
        self.cache
            .forget_answers(|answer| answer.is_for(RecordType::AAAA));
        self.cache
            .forget(|name| leads(&names, name) != leads(before, name));
    }

    /// Forgets, of what was kept from before the start, the addresses that are made otherwise now, and that there are none
    /// where some are made now.
    pub fn forget_made_otherwise(&self) {
        let names = self.names();
        let ours = |ip: IpAddr| match (ip, &names.dns64) {
            (IpAddr::V6(ip), Some(dns64)) => dns64.extract(ip).is_some(),
            _ => false,
        };
        self.cache.forget_answers(|answer| {
            let made = answer.ede_codes().any(|code| code == Ede::SYNTHESIZED.code);
            answer.is_for(RecordType::AAAA)
                && match answer.kind() {
                    Kind::NoData => names.dns64.is_some(),
                    _ => made && !answer.addresses().all(ours),
                }
        });
    }

    /// Whether fresh answers of a pool come soon enough to be waited for.
    pub fn promptness(&self, pool: PoolId) -> &Promptness {
        &self.promptness[usize::from(pool.0)]
    }

    /// The upstream that a route leads to.
    ///
    /// # Panics
    /// If the engine has no such route.
    pub fn upstream_of(&self, route: RouteId) -> UpstreamId {
        UpstreamId(self.upstreams[usize::from(route.0)].load(Relaxed))
    }

    /// Every route, those that a reload has taken out too, and the upstream that it leads to.
    pub fn routes(&self) -> impl Iterator<Item = (RouteId, UpstreamId)> + '_ {
        let count = self.routes.load(Relaxed);
        let upstreams = self.upstreams.iter().take(count);
        let upstreams = upstreams.map(|upstream| UpstreamId(upstream.load(Relaxed)));
        (0u16..).map(RouteId).zip(upstreams)
    }

    /// The engine. Held for one decision at a time.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In whole seconds.
fn stale_ttl(config: &Config) -> u32 {
    u32::try_from(config.cache.stale_ttl.as_secs()).unwrap_or(u32::MAX)
}
