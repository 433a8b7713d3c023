//! Whether the paths' interfaces and source addresses are on this host: looked at when the kernel says
//! that something has changed there, told to the engine and to the workers, on a thread of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use tokio::sync::watch;
use tracing::{error, warn};

use super::StartError;
use super::vital::Pulse;
use super::worker::Worker;
use crate::clock::{Clock, Time};
use crate::config::lineup::Lineup;
use crate::config::{PathConfig, SourcePorts};
use crate::net::host::{self, Change, Families, Missing, News, Watch, Word};
use crate::net::path::{Path, Target};
use crate::observe::said::Reason;
use crate::resolve::Shared;
use crate::route::PathId;

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
    routes: Vec<(u16, usize, String)>,
    reason: Option<Reason>,
    ipv4_works: bool,
}

impl Nowhere {
    fn add(&mut self, upstream: u16, path: usize, error: &io::Error, of: &Path) {
        self.reason = Some(Reason::of(error));
        self.routes.push((upstream, path, of.explain(error)));
    }

    /// Most hosts have IPv4 and many no IPv6: that is one line, and no fault of a path.
    fn say(self, lineup: &Lineup, told: &mut [bool]) {
        if let Some(reason) = self.reason.filter(|_| self.ipv4_works) {
            let name = |(upstream, ..): &(u16, _, _)| {
                let of = &lineup.upstreams[usize::from(*upstream)].is;
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
    board: Arc<Mutex<Board>>,
    /// Before the first look, so that nothing is missed.
    news: io::Result<News>,
    losses: Arc<watch::Sender<Losses>>,
}

/// What is looked at, by the paths' numbers.
#[derive(Clone)]
struct Board {
    lineup: Lineup,
    configs: Vec<PathConfig>,
    needs: Vec<Families>,
    watch: Watch,
}

impl Board {
    fn new(lineup: &Lineup) -> Board {
        let count = lineup.paths.len();
        let mut needs = vec![Families::default(); count];
        let mut zones = vec![Vec::new(); count];
        for route in lineup.routes.iter().filter(|route| route.is_in()) {
            let (upstream, path) = (lineup.ends(route.is).0, usize::from(route.is.path));
            needs[path].ipv4 |= upstream.address.is_ipv4();
            needs[path].ipv6 |= upstream.address.is_ipv6();
            zones[path].push(upstream.zone.clone());
        }
        let mut configs: Vec<_> = lineup.paths.iter().map(|slot| slot.is.clone()).collect();
        for (path, zones) in configs.iter_mut().zip(zones) {
            // All that it leads to are behind one interface: without that it is as good as gone.
            let same = zones.iter().all(|zone| *zone == zones[0]);
            if path.interface.is_none() && same {
                path.interface = zones.into_iter().next().flatten();
            }
        }
        Board {
            lineup: lineup.clone(),
            configs,
            needs,
            watch: Watch::new(count),
        }
    }

    /// That of `lineup`, which follows this one's. What was seen of the paths that stay is kept.
    fn succeed(&self, lineup: &Lineup) -> Board {
        let mut next = Board::new(lineup);
        for (number, (slot, was)) in lineup.paths.iter().zip(&self.lineup.paths).enumerate() {
            if slot.tenant == was.tenant {
                next.watch.recall(number, &self.watch);
            }
        }
        next
    }

    fn look(&mut self) -> Vec<(usize, Change)> {
        let each = self.configs.iter().zip(&self.needs).enumerate();
        each.filter(|(number, _)| self.lineup.paths[*number].is_in())
            .filter_map(|(number, (config, needs))| {
                let change = self
                    .watch
                    .see(number, config, *needs, &host::look(config))?;
                Some((number, change))
            })
            .collect()
    }

    /// Looks at all paths and tries the routes that are `fresh`, before anything is sent over them: says what is
    /// wrong. What follows from it is left to [`First::tell`].
    ///
    /// # Errors
    /// [`StartError::Path`] for a missing privilege, which will not come by itself.
    fn check(
        &mut self,
        fresh: impl Fn(usize) -> bool,
        ports: &SourcePorts,
        rng: &mut StdRng,
    ) -> Result<First, StartError> {
        let changes = self.look();
        let lineup = &self.lineup;
        let mut told = vec![false; lineup.paths.len()];
        for (path, change) in &changes {
            if let Change::Lost(why) = change {
                told[*path] = true;
                let name = &lineup.paths[*path].is.name;
                warn!(
                    "path {name}: {why}; {}; its routes stay unused until then",
                    why.advice()
                );
            }
        }
        let mut nowhere = Nowhere::default();
        let mut dead = vec![false; lineup.routes.len()];
        for (route, ends) in lineup.in_order() {
            if !fresh(route) {
                continue;
            }
            let (upstream, over) = lineup.ends(ends);
            let path = Path::new(over.clone()).with_ports(ports.clone());
            let number = usize::from(ends.path);
            let target = Target {
                address: upstream.address,
                zone: upstream.zone.as_deref(),
            };
            let Err(error) = path.udp(target, rng) else {
                nowhere.ipv4_works |= upstream.address.is_ipv4();
                continue;
            };
            dead[route] = true;
            let is_nowhere = upstream.address.is_ipv6() && Reason::of(&error).is_no_way();
            if is_nowhere && !told[number] {
                nowhere.add(ends.upstream, number, &error, &path);
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
        nowhere.say(lineup, &mut told);
        Ok(First { changes, dead })
    }
}

/// What a first look at paths has shown.
pub(super) struct First {
    changes: Vec<(usize, Change)>,
    /// By route: whether it was said to lead nowhere.
    pub(super) dead: Vec<bool>,
}

/// A board that follows another one, which nobody looks at meanwhile.
pub(super) struct Succession<'a> {
    board: MutexGuard<'a, Board>,
    next: Board,
    first: First,
    losses: &'a watch::Sender<Losses>,
}

impl Succession<'_> {
    /// The engine has the new paths: from now on they are looked at.
    pub(super) fn complete(mut self, shared: &Shared, now: Time) {
        let count = self.next.configs.len();
        self.losses.send_modify(|losses| losses.resize(count, 0));
        tell(&self.first.changes, Word::Changed, shared, self.losses, now);
        *self.board = self.next;
    }
}

impl Paths {
    /// Those of `lineup`, not yet looked at.
    pub(super) fn new(lineup: &Lineup) -> Paths {
        Paths {
            board: Arc::new(Mutex::new(Board::new(lineup))),
            news: News::listen(),
            losses: Arc::new(watch::Sender::new(vec![0; lineup.paths.len()])),
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
        &self,
        ports: &SourcePorts,
        shared: &Shared,
        clock: Clock,
        rng: &mut StdRng,
    ) -> Result<Vec<bool>, StartError> {
        let First { changes, dead } = lock(&self.board).check(|_| true, ports, rng)?;
        let mut engine = shared.engine();
        for (path, change) in changes {
            if let Change::Lost(why) = change {
                engine.path_absent(PathId(path as u16), &why.to_string(), clock.now());
            }
        }
        Ok(dead)
    }

    /// What a reload changes them by.
    pub(super) fn handle(&self) -> Handle {
        Handle {
            board: Arc::clone(&self.board),
            losses: Arc::clone(&self.losses),
        }
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
        // Held until all is told: a reload must not come between.
        let mut board = lock(&self.board);
        let changes = board.look();
        tell(&changes, word, shared, &self.losses, clock.now())
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
            && lock(&self.board).configs.iter().any(bound)
        {
            warn!(
                "the kernel does not tell of changes to interfaces and addresses ({error}): paths are looked at every {} s",
                LOOK_EVERY.as_secs()
            );
        }
    }
}

/// Tells the engine and the workers. True if the next look is due soon.
fn tell(
    changes: &[(usize, Change)],
    word: Word,
    shared: &Shared,
    losses: &watch::Sender<Losses>,
    now: Time,
) -> bool {
    let mut soon = false;
    for (path, change) in changes {
        let id = PathId(*path as u16);
        match change {
            // First nothing more is sent over it, then what was sent is given up.
            Change::Lost(why) => {
                soon |= matches!(why, Missing::Replaced(_));
                shared.engine().path_lost(id, &why.to_string(), now);
            }
            Change::Found => shared.engine().path_found(id, now),
        }
    }
    if !changes.is_empty() {
        shared.rest.wake();
    }
    let lost =
        |(path, change): &(usize, Change)| matches!(change, Change::Lost(_)).then_some(*path);
    let lost: Vec<usize> = changes.iter().filter_map(lost).collect();
    if word == Word::AddressGone || !lost.is_empty() {
        losses.send_modify(|losses| lost.iter().for_each(|path| losses[*path] += 1));
    }
    soon
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The paths of a running daemon, for a reload.
pub(super) struct Handle {
    board: Arc<Mutex<Board>>,
    losses: Arc<watch::Sender<Losses>>,
}

impl Handle {
    /// Looks at the new paths and routes of `lineup`. Until what is returned is completed or dropped nobody looks at
    /// any.
    ///
    /// # Errors
    /// [`StartError::Path`] for a missing privilege.
    pub(super) fn succeed(
        &self,
        lineup: &Lineup,
        ports: &SourcePorts,
        rng: &mut StdRng,
    ) -> Result<Succession<'_>, StartError> {
        let board = lock(&self.board);
        let mut next = board.succeed(lineup);
        let was: Vec<u32> = board.lineup.routes.iter().map(|it| it.tenant).collect();
        let fresh = |route: usize| was.get(route) != Some(&lineup.routes[route].tenant);
        let first = next.check(fresh, ports, rng)?;
        Ok(Succession {
            board,
            next,
            first,
            losses: &self.losses,
        })
    }
}

impl Fate {
    /// Has the worker give up sockets that lead nowhere any more, for as long as it lives.
    pub(super) async fn follow(mut self, worker: Rc<Worker>, shared: Arc<Shared>) {
        let mut known = self.0.borrow_and_update().clone();
        while self.0.changed().await.is_ok() {
            let losses = self.0.borrow_and_update().clone();
            // One that has just come in has lost nothing.
            let is_lost = |path: usize| known.get(path).is_some_and(|was| *was != losses[path]);
            let paths: Vec<_> = {
                let engine = shared.engine();
                engine.routes().iter().map(|route| route.path).collect()
            };
            let lost: Vec<bool> = paths
                .iter()
                .map(|path| usize::from(path.0) < losses.len() && is_lost(path.0.into()))
                .collect();
            known = losses;
            worker.turn(|core, _| core.exchanges.abandon(&lost));
        }
    }
}
