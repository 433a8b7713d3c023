//! The world: everything that happens, in order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use byway::clock::Time;
use byway::config::{Config, PathConfig, UpstreamConfig};
use byway::route::{AttemptKind, Engine, Route};
use byway::wire::Rcode;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::clients::{Load, Record, STUB_TIMEOUT, STUB_TRIES};
use super::failing::{self, Beside, Failing};
use super::network::{Link, Upstream, unit};
use super::resolver::Resolver;
use super::subject::{Action, Name, Query, Subject, Tag};

/// What happens to the world at a certain time.
type Change<S> = Box<dyn FnOnce(&mut World<S>)>;

enum Happening<S> {
    Ask { query: Query, name: Name },
    NextAsk,
    NextBeside(usize),
    AtUpstream { tag: Tag, route: usize },
    Answer { tag: Tag, rcode: Rcode },
    Fault(Change<S>),
    Resume,
}

/// A packet as it left.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub at: Time,
    pub path: u16,
    pub upstream: u16,
    pub kind: AttemptKind,
    /// What it asks for; `None` for the root.
    pub name: Option<Name>,
    /// The simulator knows: it was answered usefully.
    pub came_back: bool,
}

/// Everything.
pub struct World<S> {
    pub now: Time,
    pub start: Time,
    pub subject: S,
    pub links: Vec<Link>,
    pub upstreams: Vec<Upstream>,
    /// Routes over which nothing comes through: by path and upstream.
    pub cuts: HashSet<(usize, usize)>,
    pub routes: Vec<Route>,
    pub records: Vec<Record>,
    pub packets: Vec<Packet>,
    pub load: Load,
    /// What else is asked, and which questions fail ([`super::failing`]).
    pub beside: Vec<Beside>,
    pub failing: Vec<Failing>,
    known: HashSet<Name>,
    names: Vec<Name>,
    /// Races begun until each whole second, to tell how many questions needed an upstream.
    pub races: Vec<(Time, u64)>,
    rng: StdRng,
    happenings: BinaryHeap<Reverse<(Time, u64)>>,
    what: HashMap<u64, Happening<S>>,
    serial: u64,
    packet_of: HashMap<Tag, usize>,
    /// The host does not run; what is for the subject waits.
    stalled: bool,
    waiting: Vec<Happening<S>>,
    /// What the subject was about to send when the host stalled, and since when.
    unsent: Option<(Time, Vec<Action>)>,
    /// The host is to stall for so long, in the middle of the next turn that sends.
    lurking: Option<Duration>,
    /// Share of packets that meet a stall of the host, and how long it lasts at most.
    pub noise: (f64, Duration),
}

/// A configuration of `upstreams` by `paths`, and the links and upstreams to go with it: paths have
/// base round trips of 2, 4, 6 ... ms.
pub fn config(upstreams: usize, paths: usize) -> Config {
    let addresses: Vec<std::net::SocketAddr> = (0..upstreams)
        .map(|n| ([192, 0, 2, n as u8 + 1], 53).into())
        .collect();
    let mut config = Config::default_with_upstreams(&addresses);
    config.paths = (0..paths)
        .map(|n| {
            let name = char::from(b'A' + n as u8).to_string();
            PathConfig {
                name,
                ..PathConfig::kernels_choice()
            }
        })
        .collect();
    config.upstreams = (0..upstreams)
        .map(|n| {
            let name = format!("dc{}", n + 1);
            UpstreamConfig {
                name,
                paths: (0..paths).collect(),
                ..UpstreamConfig::at(addresses[n])
            }
        })
        .collect();
    config
}

impl World<Resolver> {
    /// The resolver as the daemon drives it, in a healthy network.
    pub fn new(seed: u64, config: &Config, load: Load) -> World<Resolver> {
        World::around(Resolver::new(config, seed, Time::START), seed, config, load)
    }
}

impl<S: Subject> World<S> {
    /// A healthy network around `subject`.
    pub fn around(subject: S, seed: u64, config: &Config, load: Load) -> World<S> {
        let start = Time::START;
        let rng = StdRng::seed_from_u64(seed);
        let links = (0..config.paths.len())
            .map(|n| Link::new(Duration::from_millis(2 * (n as u64 + 1))))
            .collect();
        let mut world = World {
            now: start,
            start,
            routes: Engine::new(config, start).routes().to_vec(),
            subject,
            links,
            upstreams: vec![Upstream::default(); config.upstreams.len()],
            cuts: HashSet::new(),
            records: Vec::new(),
            packets: Vec::new(),
            load,
            beside: Vec::new(),
            failing: Vec::new(),
            known: HashSet::new(),
            names: Vec::new(),
            races: Vec::new(),
            rng,
            happenings: BinaryHeap::new(),
            what: Default::default(),
            serial: 0,
            packet_of: Default::default(),
            stalled: false,
            waiting: Vec::new(),
            unsent: None,
            lurking: None,
            noise: (0.002, Duration::from_millis(8)),
        };
        world.plan(start, Happening::NextAsk);
        world
    }

    /// Plans a change `after` the start.
    pub fn at(&mut self, after: Duration, change: impl FnOnce(&mut World<S>) + 'static) {
        self.plan(self.start + after, Happening::Fault(Box::new(change)));
    }

    /// The host stalls for so long from now on: the subject has no turn, what is for it waits.
    pub fn stall(&mut self, lasts: Duration) {
        if !self.stalled {
            self.stalled = true;
            self.plan(self.now + lasts, Happening::Resume);
        }
    }

    /// The host stalls for so long just before the next packets that the subject sends have left.
    pub fn stall_at_send(&mut self, lasts: Duration) {
        self.lurking = Some(lasts);
    }

    /// Lets everything happen until `after` the start.
    pub fn run(&mut self, after: Duration) {
        let end = self.start + after;
        let mut actions = Vec::new();
        loop {
            let timer = match self.stalled {
                true => Time::NEVER,
                false => self.subject.next_timer(),
            };
            let next = self
                .happenings
                .peek()
                .map_or(Time::NEVER, |Reverse((at, _))| *at);
            if timer.min(next) > end {
                break;
            }
            if timer <= next {
                self.now = self.now.max(timer);
                self.subject.timer(self.now, &mut actions);
            } else if let Some(Reverse((at, serial))) = self.happenings.pop() {
                self.now = at;
                let what = self.what.remove(&serial).expect("planned");
                self.happen(what, &mut actions);
            }
            self.carry_out(&mut actions);
            if self
                .races
                .last()
                .is_none_or(|(at, _)| self.now.since(*at) >= Duration::from_millis(100))
            {
                self.races.push((self.now, self.subject.needed()));
            }
        }
        self.now = end;
        self.races.push((self.now, self.subject.needed()));
    }

    fn plan(&mut self, at: Time, what: Happening<S>) {
        self.serial += 1;
        self.happenings.push(Reverse((at, self.serial)));
        self.what.insert(self.serial, what);
    }

    fn happen(&mut self, what: Happening<S>, actions: &mut Vec<Action>) {
        match what {
            Happening::NextAsk if self.load.rate <= 0.0 => {}
            Happening::NextAsk => {
                let query = self.records.len() as Query;
                let (gap, name) = self.load.next(query, &mut self.rng);
                self.ask_first(name, actions);
                self.plan(self.now + gap, Happening::NextAsk);
            }
            Happening::NextBeside(_) if self.load.rate <= 0.0 => {}
            Happening::NextBeside(index) => {
                let query = self.records.len() as Query;
                let (gap, name) = self.beside[index].next(query, &mut self.rng);
                self.ask_first(name, actions);
                self.plan(self.now + gap, Happening::NextBeside(index));
            }
            Happening::Ask { query, name } => {
                if self.records[query as usize].answered.is_none() {
                    self.ask(query, name, actions);
                }
            }
            Happening::AtUpstream { tag, route } => {
                let upstream = self.routes[route].upstream.0 as usize;
                let path = self.routes[route].path.0 as usize;
                if self.cuts.contains(&(path, upstream)) {
                    return;
                }
                let mut served = self.upstreams[upstream].serve(self.now, &mut self.rng);
                let name = self
                    .packet_of
                    .get(&tag)
                    .and_then(|&it| self.packets[it].name);
                if let Some(fate) = failing::fate(&self.failing, name, upstream) {
                    served = served.and_then(|it| fate.befalls(it));
                }
                if let Some((leaves, rcode)) = served
                    && let Some(back) = self.links[path].cross(false, self.now, &mut self.rng)
                {
                    self.plan(leaves + back, Happening::Answer { tag, rcode });
                }
            }
            Happening::Answer { .. } if self.stalled => self.waiting.push(what),
            Happening::Answer { tag, rcode } => {
                if let Some(index) = self.packet_of.remove(&tag) {
                    self.packets[index].came_back = rcode == Rcode::NOERROR;
                }
                self.subject.packet(tag, rcode, self.now, actions);
            }
            Happening::Resume => {
                self.stalled = false;
                if let Some((decided, mut unsent)) = self.unsent.take() {
                    self.subject.left(decided, self.now);
                    self.carry_out(&mut unsent);
                }
                // Clients first: the worse order.
                let (asks, others) = std::mem::take(&mut self.waiting)
                    .into_iter()
                    .partition(|it| matches!(it, Happening::Ask { .. }));
                for what in [asks, others].into_iter().flat_map(|it: Vec<_>| it) {
                    match what {
                        Happening::Ask { query, name } => {
                            self.subject.question(query, name, self.now, actions);
                        }
                        what => self.happen(what, actions),
                    }
                }
            }
            Happening::Fault(change) => {
                let now = self.now;
                self.links.iter_mut().for_each(|link| link.settle(now));
                change(self);
            }
        }
    }

    /// A client asks for this now.
    fn ask_first(&mut self, name: Name, actions: &mut Vec<Action>) {
        let query = self.records.len() as Query;
        self.records.push(Record {
            asked: self.now,
            known: self.known.contains(&name),
            may_fail: name.may_fail(),
            answered: None,
            good: false,
            stale: false,
            answers: 0,
            tries: 0,
        });
        self.names.push(name);
        self.ask(query, name, actions);
    }

    /// What this query asked for.
    pub fn name(&self, query: usize) -> Name {
        self.names[query]
    }

    /// Something else is asked from `after` the start on.
    pub fn ask_beside(&mut self, after: Duration, beside: Beside) {
        self.plan(self.start + after, Happening::NextBeside(self.beside.len()));
        self.beside.push(beside);
    }

    fn ask(&mut self, query: Query, name: Name, actions: &mut Vec<Action>) {
        let record = &mut self.records[query as usize];
        record.tries += 1;
        if record.tries < STUB_TRIES {
            self.plan(self.now + STUB_TIMEOUT, Happening::Ask { query, name });
        }
        match self.stalled {
            true => self.waiting.push(Happening::Ask { query, name }),
            false => self.subject.question(query, name, self.now, actions),
        }
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>) {
        let sends = |action: &Action| matches!(action, Action::Send { .. });
        if !self.stalled
            && actions.iter().any(sends)
            && let Some(lasts) = self.lurking.take()
        {
            self.unsent = Some((self.now, std::mem::take(actions)));
            return self.stall(lasts);
        }
        for action in actions.drain(..) {
            match action {
                Action::Send {
                    tag,
                    route,
                    kind,
                    name,
                } => {
                    let of = &self.routes[route.0 as usize];
                    let (path, upstream) = (of.path.0, of.upstream.0);
                    self.packet_of.insert(tag, self.packets.len());
                    self.packets.push(Packet {
                        at: self.now,
                        path,
                        upstream,
                        kind,
                        name,
                        came_back: false,
                    });
                    let crossing = self.links[path as usize].cross(true, self.now, &mut self.rng);
                    if let Some(mut takes) = crossing {
                        if unit(&mut self.rng) < self.noise.0 {
                            takes += self.noise.1.mul_f64(unit(&mut self.rng));
                        }
                        let what = Happening::AtUpstream {
                            tag,
                            route: route.0 as usize,
                        };
                        self.serial += 1;
                        self.happenings
                            .push(Reverse((self.now + takes, self.serial)));
                        self.what.insert(self.serial, what);
                    }
                }
                Action::Answer { query, good, stale } => {
                    let record = &mut self.records[query as usize];
                    record.answers += 1;
                    if record.answered.is_none() {
                        record.answered = Some(self.now);
                        record.good = good;
                        record.stale = stale;
                        if good && matches!(self.names[query as usize], Name::Popular(_)) {
                            self.known.insert(self.names[query as usize]);
                        }
                    }
                }
            }
        }
    }
}
