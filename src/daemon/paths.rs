//! Whether the paths' interfaces and source addresses are on this host: looked at when the kernel says
//! that something has changed there, told to the engine and to the workers, on a thread of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use tokio::sync::watch;
use tracing::{error, warn};

use super::StartError;
use super::vital::Pulse;
use super::worker::Worker;
use crate::clock::Clock;
use crate::config::{Config, PathConfig};
use crate::net::host::{self, Change, Families, Missing, News, Watch, Word};
use crate::net::path::{Path, Target};
use crate::observe::said::Reason;
use crate::resolve::Shared;
use crate::route::{PathId, Route, UpstreamId};

/// The least between two looks, however fast things change.
const REST: Duration = Duration::from_millis(50);

/// How often everything is looked at where the kernel does not tell of changes ...
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// ... and where it does: a source address may come to the host by a route, which is not told.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// How often each path was lost, as the workers see it. Told to them anew also when only an address has gone.
type Losses = Vec<u32>;

/// What became of the paths, for workers.
#[derive(Clone)]
pub(super) struct Fate(watch::Receiver<Losses>);

/// Routes over IPv6 for which the kernel knows no way.
#[derive(Default)]
struct Nowhere {
    /// Upstream and path of each, and what to say of the path where IPv4 goes nowhere either.
    routes: Vec<(UpstreamId, usize, String)>,
    reason: Option<Reason>,
    ipv4_works: bool,
}

impl Nowhere {
    fn add(&mut self, route: &Route, path: usize, error: &io::Error, of: &Path) {
        self.reason = Some(Reason::of(error));
        self.routes.push((route.upstream, path, of.explain(error)));
    }

    /// Most hosts have IPv4 and many no IPv6: that is one line, and no fault of a path.
    fn say(self, config: &Config, told: &mut [bool]) {
        if let Some(reason) = self.reason.filter(|_| self.ipv4_works) {
            let name = |(upstream, ..): &(UpstreamId, _, _)| {
                let of = &config.upstreams[usize::from(upstream.0)];
                match of.name == of.address.to_string() || of.name == of.address.ip().to_string() {
                    true => of.name.clone(),
                    false => format!("{} ({})", of.name, of.address.ip()),
                }
            };
            let mut names: Vec<_> = self.routes.iter().map(name).collect();
            names.dedup();
            let names = names.join(", ");
            warn!(
                "IPv6 leads nowhere from here ({reason}), IPv4 works: unused until that changes: {names}"
            );
            return;
        }
        for (_, path, line) in self.routes {
            if !std::mem::replace(&mut told[path], true) {
                warn!("{line}; its routes stay unused until then");
            }
        }
    }
}

/// The paths and what was last seen of them.
pub(super) struct Paths {
    configs: Vec<PathConfig>,
    needs: Vec<Families>,
    watch: Watch,
    /// Before the first look, so that nothing is missed.
    news: io::Result<News>,
    losses: watch::Sender<Losses>,
}

impl Paths {
    /// Those of `config`, not yet looked at.
    pub(super) fn new(config: &Config, routes: &[Route]) -> Paths {
        let mut needs = vec![Families::default(); config.paths.len()];
        let mut zones = vec![Vec::new(); config.paths.len()];
        for route in routes {
            let upstream = &config.upstreams[usize::from(route.upstream.0)];
            let path = usize::from(route.path.0);
            needs[path].ipv4 |= upstream.address.is_ipv4();
            needs[path].ipv6 |= upstream.address.is_ipv6();
            zones[path].push(upstream.zone.clone());
        }
        let mut configs = config.paths.clone();
        for (path, zones) in configs.iter_mut().zip(zones) {
            // All that it leads to are behind one interface: without that it is as good as gone.
            let same = zones.iter().all(|zone| *zone == zones[0]);
            if path.interface.is_none() && same {
                path.interface = zones.into_iter().next().flatten();
            }
        }
        Paths {
            configs,
            needs,
            watch: Watch::new(config.paths.len()),
            news: News::listen(),
            losses: watch::Sender::new(vec![0; config.paths.len()]),
        }
    }

    /// What workers are to be told by.
    pub(super) fn fate(&self) -> Fate {
        Fate(self.losses.subscribe())
    }

    /// The first look, before anything is sent: says what is wrong with the paths and takes those that cannot
    /// be used out of use until they can. Says of each route whether it was said to lead nowhere.
    ///
    /// # Errors
    /// [`StartError::Path`] for a missing privilege, which will not come by itself.
    pub(super) fn check(
        &mut self,
        config: &Config,
        routes: &[Route],
        shared: &Shared,
        clock: Clock,
        rng: &mut StdRng,
    ) -> Result<Vec<bool>, StartError> {
        let lost = self.look();
        let mut told = vec![false; config.paths.len()];
        for (path, change) in &lost {
            if let Change::Lost(why) = change {
                told[*path] = true;
                let name = &config.paths[*path].name;
                warn!(
                    "path {name}: {why}; {}; its routes stay unused until then",
                    why.advice()
                );
            }
        }
        let mut nowhere = Nowhere::default();
        let mut dead = vec![false; routes.len()];
        for (route, dead) in routes.iter().zip(&mut dead) {
            let number = usize::from(route.path.0);
            let path = Path::new(config.paths[number].clone());
            let path = path.with_ports(config.limits.source_ports.clone());
            let upstream = &config.upstreams[usize::from(route.upstream.0)];
            let address = upstream.address;
            let target = Target {
                address,
                zone: upstream.zone.as_deref(),
            };
            let Err(error) = path.udp(target, rng) else {
                nowhere.ipv4_works |= address.is_ipv4();
                continue;
            };
            *dead = true;
            if address.is_ipv6() && Reason::of(&error).is_no_way() && !told[number] {
                nowhere.add(route, number, &error, &path);
                continue;
            }
            let line = path.explain(&error);
            if error.kind() == io::ErrorKind::PermissionDenied {
                return Err(StartError::Path(line));
            }
            if !std::mem::replace(&mut told[number], true) {
                warn!("{line}; its routes stay unused until then");
            }
        }
        nowhere.say(config, &mut told);
        let mut engine = shared.engine();
        for (path, change) in lost {
            if let Change::Lost(why) = change {
                engine.path_absent(PathId(path as u16), &why.to_string(), clock.now());
            }
        }
        Ok(dead)
    }

    /// Goes on looking for as long as the process lives, whatever becomes of a single look.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn run(
        mut self,
        shared: Arc<Shared>,
        clock: Clock,
        pulse: Arc<Pulse>,
    ) -> io::Result<()> {
        std::thread::Builder::new()
            .name("byway-paths".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                let mut soon = false;
                loop {
                    let round = AssertUnwindSafe(|| self.round(soon, &shared, clock, &pulse));
                    soon = catch_unwind(round).unwrap_or_else(|_| {
                        error!("a look at the paths was lost to a panic; the next is taken soon");
                        std::thread::sleep(LOOK_EVERY);
                        false
                    });
                }
            })?;
        Ok(())
    }

    /// One look, when it is time for it. True if the next is due soon.
    fn round(&mut self, soon: bool, shared: &Shared, clock: Clock, pulse: &Pulse) -> bool {
        let looked = Instant::now();
        pulse.beat(clock.now() + LOOK_ANYWAY);
        let word = match soon {
            true => Word::Changed,
            false => self.wait(),
        };
        std::thread::sleep(REST.saturating_sub(looked.elapsed()));
        pulse.beat(clock.now());
        let changes = self.look();
        self.tell(&changes, word, shared, clock)
    }

    /// Waits until it is time to look, and what the kernel said of it.
    fn wait(&mut self) -> Word {
        let news = match &self.news {
            Ok(news) => news.wait(LOOK_ANYWAY),
            // Said below, or never possible.
            Err(_) => {
                std::thread::sleep(LOOK_EVERY);
                return Word::AddressGone;
            }
        };
        news.unwrap_or_else(|error| {
            self.news = Err(error);
            self.confess();
            Word::None
        })
    }

    /// Says that changes are not told of, if that is so.
    pub(super) fn confess(&self) {
        let bound = |path: &PathConfig| path.interface.is_some() || !path.source.is_empty();
        if let Err(error) = &self.news
            && self.configs.iter().any(bound)
        {
            warn!(
                "the kernel does not tell of changes to interfaces and addresses ({error}): paths are looked at every {} s",
                LOOK_EVERY.as_secs()
            );
        }
    }

    fn look(&mut self) -> Vec<(usize, Change)> {
        let each = self.configs.iter().zip(&self.needs).enumerate();
        each.filter_map(|(number, (config, needs))| {
            let change = self
                .watch
                .see(number, config, *needs, &host::look(config))?;
            Some((number, change))
        })
        .collect()
    }

    /// Tells the engine and the workers. True if the next look is due soon.
    fn tell(&self, changes: &[(usize, Change)], word: Word, shared: &Shared, clock: Clock) -> bool {
        let mut soon = false;
        for (path, change) in changes {
            let (id, now) = (PathId(*path as u16), clock.now());
            match change {
                // First nothing more is sent over it, then what was sent is given up.
                Change::Lost(why) => {
                    soon |= matches!(why, Missing::Replaced(_));
                    shared.engine().path_lost(id, &why.to_string(), now);
                }
                Change::Found => shared.engine().path_found(id, now),
            }
        }
        let lost =
            |(path, change): &(usize, Change)| matches!(change, Change::Lost(_)).then_some(*path);
        let lost: Vec<usize> = changes.iter().filter_map(lost).collect();
        if word == Word::AddressGone || !lost.is_empty() {
            self.losses
                .send_modify(|losses| lost.iter().for_each(|path| losses[*path] += 1));
        }
        soon
    }
}

impl Fate {
    /// Has the worker give up sockets that lead nowhere any more, for as long as it lives.
    pub(super) async fn follow(mut self, worker: Rc<Worker>, routes: Vec<Route>) {
        let mut known = self.0.borrow_and_update().clone();
        while self.0.changed().await.is_ok() {
            let losses = self.0.borrow_and_update().clone();
            let lost: Vec<bool> = routes
                .iter()
                .map(|route| usize::from(route.path.0))
                .map(|path| losses[path] != known[path])
                .collect();
            known = losses;
            worker.turn(|core, _| core.exchanges.abandon(&lost));
        }
    }
}
