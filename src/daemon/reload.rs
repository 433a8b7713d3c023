//! The configuration read anew while queries are answered.
//!
//! The main thread does it, one reload after the other. What the new file says is checked whole before anything
//! changes; then every worker learns to send over the new routes, and only then does the engine choose among them. So
//! nobody meets a route that it does not know, and what is under way over one that has gone ends in its own time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::certificates::Shop;
use super::desk::rfc3339;
use super::follow::Follower;
use super::paths::Handle;
use super::survival::Keeper;
use super::teller::Teller;
use super::{descriptors, longest, service, watch as samples};
use crate::admin::api;
use crate::clock::Clock;
use crate::config::host::Host;
use crate::config::lineup::Lineup;
use crate::config::live::Span;
use crate::config::{Config, Listen, Loaded, Sources, ZoneConfig, reloading};
use crate::observe::event::Event;
use crate::observe::metrics::Metrics;
use crate::observe::top::Top;
use crate::resolve::Shared;
use crate::serve::Connections;
use crate::tls;
use crate::wire::{name_to_text, set_identity};

/// How long workers may take to learn of new routes. One that takes longer is stuck, and everything stays as it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lines of a refusal that are told in one: the whole of it stands in the log.
const TOLD: usize = 300;

/// What the main thread is to do about the configuration.
#[derive(Debug)]
pub(super) enum Wish {
    /// Somebody wants it to be read anew.
    Anew {
        /// Who.
        by: String,
        /// Where to say what came of it.
        answer: Option<oneshot::Sender<Result<String, String>>>,
    },
    /// The host's resolver configuration, which upstreams come from, may have changed.
    Follow,
}

/// What workers are told before the engine is.
pub(super) struct Order {
    pub(super) lineup: Arc<Lineup>,
    pub(super) config: Arc<Config>,
    pub(super) clients: tls::Clients,
    done: Mutex<mpsc::Sender<u16>>,
}

impl Order {
    /// Worker `number` has done what it says.
    pub(super) fn done(&self, number: u16) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have come too late.
        let _ = done.send(number);
    }
}

/// The latest order, for workers to follow.
pub(super) type Orders = watch::Receiver<Option<Arc<Order>>>;

/// What an operator is to know of the configuration that holds.
#[derive(Debug)]
pub(super) struct Record(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// Where it came from.
    origin: String,
    since: SystemTime,
    /// When the last reload was refused, and why, unless one was carried out since.
    refused: Option<(SystemTime, String)>,
    needs_restart: Vec<&'static str>,
    links: Vec<String>,
}

impl Record {
    pub(super) fn new(loaded: &Loaded) -> Arc<Record> {
        Arc::new(Record(Mutex::new(Known {
            origin: loaded.describe(),
            links: of_links(&loaded.config),
            since: SystemTime::now(),
            refused: None,
            needs_restart: Vec::new(),
        })))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the configuration came from.
    pub(super) fn origin(&self) -> String {
        self.known().origin.clone()
    }

    /// What is wrong with the file as it was read last, in a sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        let known = self.known();
        let (when, why) = known.refused.as_ref()?;
        Some(format!(
            "the configuration was refused at {}, the one before it holds: {why}",
            rfc3339(*when)
        ))
    }

    /// What the API shows.
    pub(super) fn document(&self) -> api::Configuration {
        let known = self.known();
        api::Configuration {
            since: rfc3339(known.since),
            refused: known.refused.as_ref().map(|(_, why)| why.clone()),
            refused_at: known.refused.as_ref().map(|(when, _)| rfc3339(*when)),
            needs_restart: known
                .needs_restart
                .iter()
                .map(|it| (*it).to_owned())
                .collect(),
            link_domains: known.links.clone(),
        }
    }
}

/// What a reload works with.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// As it was read last without an error.
    pub(super) loaded: Loaded,
    /// What holds, before it was fitted to the process's descriptors.
    pub(super) config: Config,
    /// Those that the process may have, and had when it started.
    pub(super) descriptors: (Option<u64>, usize),
    pub(super) lineup: Arc<Lineup>,
    /// What TLS is spoken with to the upstreams of that.
    pub(super) clients: tls::Clients,
    pub(super) listen: Vec<Listen>,
    pub(super) shared: Arc<Shared>,
    pub(super) connections: Arc<Connections>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) top: Arc<Top>,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) paths: Handle,
    pub(super) orders: watch::Sender<Option<Arc<Order>>>,
    pub(super) record: Arc<Record>,
    /// See [`Means`](super::crew::Means).
    pub(super) deadline: Arc<Span>,
    pub(super) teller: Arc<Teller>,
    pub(super) shop: Shop,
    pub(super) follower: Arc<Follower>,
    pub(super) clock: Clock,
    pub(super) rng: StdRng,
}

impl Reloader {
    /// Does it.
    pub(super) fn carry_out(&mut self, wish: Wish) {
        match wish {
            Wish::Anew { by, answer } => self.reload(&by, answer),
            Wish::Follow => self.follow(),
        }
    }

    /// Reads the configuration anew, has it hold and says what came of it.
    fn reload(&mut self, by: &str, answer: Option<oneshot::Sender<Result<String, String>>>) {
        service::reloading();
        let result = self.sources.reload(&self.loaded, &Host::this());
        let result = result.map_err(|error| error.to_string());
        let result = result.and_then(|loaded| self.take(loaded, by));
        match &result {
            Ok(done) => {
                info!("{done}");
                self.metrics.reloaded(true, SystemTime::now());
            }
            Err(why) => {
                error!("{by}: the configuration is refused, the one before it holds: {why}");
                self.refuse(why);
            }
        }
        service::reloaded();
        if let Some(answer) = answer {
            // Who asked may have gone.
            let _ = answer.send(result);
        }
    }

    /// Has the name servers hold that the host's resolver configuration names now, and says what has changed.
    fn follow(&mut self) {
        let found = match self.sources.look_again(&self.loaded, &Host::this()) {
            Ok(found) => found,
            Err(error) => return self.complain(vec![error.to_string()]),
        };
        self.complain(found.remarks.clone());
        self.metrics.links(links(&found));
        let by_links = zones(&found.config) != zones(&self.loaded.config);
        if found.config.upstreams == self.loaded.config.upstreams && !by_links {
            self.loaded.upstreams_from = found.upstreams_from;
            return;
        }
        let config = Config {
            upstreams: found.config.upstreams.clone(),
            zones: found.config.zones.clone(),
            paths: found.config.paths.clone(),
            ..self.config.clone()
        };
        let from = match by_links {
            true => "what the host's links say".to_owned(),
            false => found.upstreams_from.to_string(),
        };
        if let Err(why) = self.apply(&config) {
            let line = format!("other name servers by {from} are not taken yet: {why}");
            self.complain(vec![line]);
            self.follower.tell_again();
            return;
        }
        let done = match self.words(&config, &[]) {
            words if words.is_empty() => {
                format!("{from} has changed: other name servers come first")
            }
            words => format!("{from} has changed: {words}"),
        };
        info!("{done}");
        self.config = config;
        self.loaded.config.upstreams = found.config.upstreams;
        self.loaded.config.zones = found.config.zones;
        self.loaded.upstreams_from = found.upstreams_from;
        self.loaded.followed = found.followed;
        {
            let mut known = self.record.known();
            known.origin = self.loaded.describe();
            known.links = of_links(&self.config);
        }
        let event = Event::Reloaded {
            what: shorten(&done),
        };
        self.shared.engine().note(self.clock.now(), event);
    }

    /// Says what is odd about the host's resolver configuration, once.
    fn complain(&mut self, remarks: Vec<String>) {
        for remark in &remarks {
            if !self.loaded.remarks.contains(remark) {
                warn!("{remark}");
            }
        }
        self.loaded.remarks = remarks;
    }

    fn refuse(&self, why: &str) {
        let (now, short) = (SystemTime::now(), shorten(why));
        self.metrics.reloaded(false, now);
        let event = Event::ReloadRefused { why: short.clone() };
        self.shared.engine().note(self.clock.now(), event);
        self.record.known().refused = Some((now, short));
    }

    /// Has `loaded` hold from now on; says what that has changed.
    fn take(&mut self, loaded: Loaded, by: &str) -> Result<String, String> {
        let mut config = loaded.config.clone();
        let mut held = reloading::hold_back(&mut config, &self.config);
        if config.cache.size != self.config.cache.size
            && !self.shared.cache.can_be_resized(config.cache.size)
        {
            config.cache.size = self.config.cache.size;
            held.push("[cache] size");
        }
        let mut changed = reloading::differences(&config, &self.config);
        if zones(&config) != zones(&self.config) {
            changed.push("[[zone]]");
        }
        let certificates = self.shop.read(&config.certificates);
        let certificates = certificates.map_err(|error| error.to_string())?;
        if !changed.is_empty() {
            self.apply(&config)?;
        }
        self.shop.show(certificates, true);
        loaded.remarks.iter().for_each(|remark| warn!("{remark}"));
        let origin = loaded.describe();
        let mut done = format!("{by}: the configuration was read anew from {origin}: ");
        done += &match changed.is_empty() {
            true => "nothing in it has changed".to_owned(),
            false => self.words(&config, &changed),
        };
        for name in &held {
            done += &format!("; {name}: needs a restart");
        }
        {
            let mut known = self.record.known();
            known.origin = origin;
            known.links = of_links(&config);
            known.refused = None;
            known.since = SystemTime::now();
            known.needs_restart = held;
        }
        self.metrics.links(links(&loaded));
        self.follower.follow(&loaded, &config);
        (self.config, self.loaded) = (config, loaded);
        let event = Event::Reloaded {
            what: shorten(&done),
        };
        self.shared.engine().note(self.clock.now(), event);
        Ok(done)
    }

    /// What has changed, in words.
    fn words(&self, config: &Config, changed: &[&str]) -> String {
        let gone = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter()
                .filter(|it| !other.contains(it))
                .cloned()
                .collect()
        };
        let upstreams = |of: &Config| -> Vec<String> {
            let all = of.upstreams.iter();
            all.map(|it| match it.endpoint().to_string() {
                endpoint if endpoint.starts_with(&it.name) => it.name.clone(),
                endpoint => format!("{} = {endpoint}", it.name),
            })
            .collect()
        };
        let paths =
            |of: &Config| -> Vec<String> { of.paths.iter().map(|it| it.name.clone()).collect() };
        let learnt = |of: &Config| -> Vec<String> {
            let zones = of
                .zones
                .iter()
                .filter_map(|it| Some((it, it.learnt.as_ref()?)));
            let all = zones.flat_map(|(it, link)| {
                let name = |name: &Vec<u8>| format!("{} of {link}", name_to_text(name));
                it.names.iter().map(name).collect::<Vec<_>>()
            });
            all.collect()
        };
        let mut parts = Vec::new();
        for (what, before, after) in [
            ("upstream", upstreams(&self.config), upstreams(config)),
            ("path", paths(&self.config), paths(config)),
            ("zone", learnt(&self.config), learnt(config)),
        ] {
            for name in gone(&after, &before) {
                parts.push(format!("{what} {name} is new"));
            }
            for name in gone(&before, &after) {
                parts.push(format!("{what} {name} has gone"));
            }
        }
        let names = changed
            .iter()
            .filter(|name| !name.starts_with("[[") || parts.is_empty());
        let names: Vec<&str> = names.copied().collect();
        if !names.is_empty() {
            parts.push(format!("changed: {}", names.join(", ")));
        }
        parts.join(", ")
    }

    /// Everything that `config` has otherwise than what holds.
    fn apply(&mut self, config: &Config) -> Result<(), String> {
        let (most, open) = self.descriptors;
        let share = descriptors::share(config, most, open);
        if let Some(warning) = share.warning {
            warn!("{warning}");
        }
        let fitted = Config {
            limits: share.limits,
            ..config.clone()
        };
        let now = self.clock.now();
        let lineup = self.lineup.succeed(&fitted, now);
        let lineup = Arc::new(lineup.map_err(|full| full.to_string())?);
        let ports = &fitted.limits.source_ports;
        let paths = self.paths.succeed(&lineup, ports, &mut self.rng);
        let paths = paths.map_err(|error| error.to_string())?;
        let roster = samples::roster(&lineup, &self.listen);
        let clients = tls::Clients::open(&fitted).map_err(|error| error.to_string())?;
        let upstreams = lineup.upstreams.iter().map(|slot| &slot.is);
        let clients = clients.keeping(&self.clients, upstreams);
        order(
            &self.orders,
            &lineup,
            (&fitted, clients.clone()),
            self.config.workers,
        )?;
        self.clients = clients;
        self.metrics
            .reshape(roster, &fitted.limits)
            .map_err(|twice| twice.to_string())?;
        // From here on nothing fails.
        self.shared.reshape(&self.lineup, &lineup, &fitted, now);
        set_identity(fitted.identity.as_deref());
        self.deadline.set(longest(&fitted));
        paths.complete(&self.shared, now);
        self.shared.suit(&fitted, self.clock.life());
        self.connections.suit(&fitted.limits);
        self.top.suit(&fitted.top, now);
        if *lineup != *self.lineup {
            self.teller.reshape(&fitted, &lineup, now);
        }
        if let Some(keeper) = &self.keeper {
            keeper.set_every(fitted.cache.snapshot_every);
        }
        self.lineup = lineup;
        Ok(())
    }
}

/// The zones, and their upstreams by name: they speak of them by their places in the file.
fn zones(config: &Config) -> Vec<(Vec<&str>, ZoneConfig)> {
    let zones = config.zones.iter().map(|zone| {
        let names = zone.upstreams.iter();
        let names = names
            .map(|it| config.upstreams[*it].name.as_str())
            .collect();
        let rest = ZoneConfig {
            upstreams: Vec::new(),
            ..zone.clone()
        };
        (names, rest)
    });
    zones.collect()
}

/// The zones that links brought along, a sentence each.
fn of_links(config: &Config) -> Vec<String> {
    let learnt = config
        .zones
        .iter()
        .filter_map(|it| Some((it, it.learnt.as_ref()?)));
    let all = learnt.map(|(zone, link)| {
        let names: Vec<String> = zone.names.iter().map(|it| name_to_text(it)).collect();
        let servers = zone.upstreams.iter();
        let servers: Vec<&str> = servers.map(|it| &*config.upstreams[*it].name).collect();
        format!("{} of {link}: {}", names.join(", "), servers.join(", "))
    });
    all.collect()
}

/// How many domains of links are zones, and how much of what links say could not be used.
pub(super) fn links(loaded: &Loaded) -> [u64; 2] {
    let zones = loaded.config.zones.iter().filter(|it| it.learnt.is_some());
    let domains: usize = zones.map(|it| it.names.len()).sum();
    [domains as u64, loaded.links.1 as u64]
}

/// Tells the workers, and waits until all of them can do as they are told.
fn order(
    orders: &watch::Sender<Option<Arc<Order>>>,
    lineup: &Arc<Lineup>,
    (config, clients): (&Config, tls::Clients),
    workers: usize,
) -> Result<(), String> {
    let (done, all_done) = mpsc::channel();
    orders.send_replace(Some(Arc::new(Order {
        lineup: Arc::clone(lineup),
        config: Arc::new(config.clone()),
        clients,
        done: Mutex::new(done),
    })));
    let end = Instant::now() + PATIENCE;
    let mut missing: Vec<u16> = (0..workers as u16).collect();
    while let Some(first) = missing.first() {
        let left = end.saturating_duration_since(Instant::now());
        match all_done.recv_timeout(left) {
            Ok(number) => missing.retain(|it| *it != number),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(format!(
                    "worker {first} has not taken it in within {} s; see /healthz",
                    PATIENCE.as_secs()
                ));
            }
        }
    }
    Ok(())
}

/// The beginning, in one line.
fn shorten(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(TOLD) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_of_some_length() {
        assert_eq!(shorten("error: a\n  |\n3 | b"), "error: a | 3 | b");
        let long = shorten(&"ü ".repeat(1000));
        assert_eq!(long.chars().count(), TOLD + 1);
    }
}
