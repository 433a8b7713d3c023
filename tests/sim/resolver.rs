//! The resolver as the daemon drives it: the order of things, the cache and the engine, everything but
//! sockets. Every row and every storm runs it.
//!
//! [`Resolver`] stands where a worker's sockets stand. Queries and responses are bytes, as on the wire,
//! so what is measured is what clients would see, Extended DNS Errors included.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use byway::clock::{Life, Time};
use byway::config::Config;
use byway::net::{Claimed, Exchanges, Handle, Outgoing, Tag as Attempt};
use byway::observe::metrics::{
    CacheSample, EngineSample, Metrics, QueryResult, Roster, RouteNames, Sources,
};
use byway::observe::trouble::Vain;
use byway::resolve::front::{Asker, Replies, Turn, Waiting, Way};
use byway::resolve::lookout::Lookout;
use byway::resolve::{Core, Shared};
use byway::route::{AttemptKind, Engine, Event, Outcome, PoolId, RouteId, StreamFacts};
use byway::sys::Origin;
use byway::wire::{self, Inspected, Rcode, Sent};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::subject::{Action, Name, Query, Subject, Tag};

/// What clients take (EDNS).
const LIMIT: usize = 1232;
/// The ID of every query upstream: nobody forges answers here.
const ID: u16 = 0x5117;

/// What probes ask where `. NS` is not answered, which no client does.
const INVALID: Name = Name::Unknown(u64::MAX);

/// See [`Engine::last_useful`] and [`Engine::in_vain`].
pub type Sees = (Time, Vain);

/// An answer as a client got it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub query: Query,
    pub at: Time,
    pub rcode: Rcode,
    /// The first Extended DNS Error, 0 if there is none.
    pub ede: u16,
    /// If it is stale: how long after the first stale one for this name in a row.
    pub stale_for: Duration,
}

impl Told {
    /// Whether it is past its TTL, and says so.
    pub fn is_stale(&self) -> bool {
        [3, 19].contains(&self.ede)
    }
}

/// The order of things, with a cache and an engine, as one worker has them.
pub struct Resolver {
    pub shared: Arc<Shared>,
    core: Core<Wire>,
    replies: Rc<Answers>,
    clients: Arc<Waiting>,
    /// Every answer given.
    pub told: Vec<Told>,
    /// Who asked for what, and since when each name is given stale.
    asked: HashMap<Query, Name>,
    stale: HashMap<Name, Time>,
    /// Everything the engine told.
    pub events: Vec<(Time, Event)>,
    /// When something useful had come last, and what was asked in vain since then, from each time on.
    pub seen: Vec<(Time, Sees)>,
    /// Whether it knows of its host's stalls. The control is the one that does not.
    pub attentive: bool,
    /// Packets that were a question's first.
    needed: u64,
    /// The most that was in hand at any time: questions, and clients that wait.
    pub most: usize,
    tick: Time,
    lookout: Lookout,
    /// Its timers wait until then for a stall's shadow to be over.
    held: Option<Time>,
    /// When the last turn was, and when the core is to be woken up at the latest.
    turned: Time,
    armed: Time,
    _metrics: Metrics,
}

/// An attempt that is listened for.
struct Open {
    attempt: Attempt,
    question: Vec<u8>,
}

/// The network's side of the core. Packets have numbers that are not used again.
#[derive(Default)]
struct Wire {
    open: HashMap<Tag, Open>,
    next: u32,
    /// What leaves with this turn. What each is for is known at its end.
    sent: Vec<(Attempt, Action)>,
}

impl Exchanges for Wire {
    fn send(
        &mut self,
        attempt: Attempt,
        route: RouteId,
        _stream: bool,
        query: &Outgoing<'_>,
        _now: Time,
    ) -> Result<Handle, Outcome> {
        let socket = self.next;
        self.next += 1;
        let tag = Tag::from(socket);
        let question = query.question.to_vec();
        let name = name_of(&question);
        self.open.insert(tag, Open { attempt, question });
        let kind = AttemptKind::Probe;
        let send = Action::Send {
            tag,
            route,
            kind,
            name,
        };
        self.sent.push((attempt, send));
        Ok(Handle::Udp { socket, id: ID })
    }

    fn forget(&mut self, handle: Handle, _attempt: Attempt) -> bool {
        if let Handle::Udp { socket, .. } = handle {
            self.open.remove(&Tag::from(socket));
        }
        false
    }

    fn stream_facts(&mut self, _: Handle, _: Attempt, _now: Time) -> Option<StreamFacts> {
        None
    }

    fn flush(&mut self, _now: Time, _failed: &mut Vec<(Attempt, Outcome)>) {}
}

/// Where answers go that come later.
#[derive(Default)]
struct Answers(RefCell<Vec<Told>>);

impl Replies for Answers {
    fn reply(
        &self,
        asker: Asker,
        _result: QueryResult,
        now: Time,
        write: &mut dyn FnMut(&mut [u8], usize) -> usize,
    ) {
        let Way::Datagram { origin, .. } = asker.way else {
            unreachable!("only datagrams here");
        };
        let Some(SocketAddr::V4(client)) = origin.peer() else {
            unreachable!("made here");
        };
        let mut out = [0; LIMIT];
        let length = write(&mut out, LIMIT);
        let query = Query::from(client.ip().to_bits());
        self.0.borrow_mut().push(read(query, &out[..length], now));
    }

    fn flush(&self) {}
}

impl Resolver {
    pub fn new(config: &Config, seed: u64, now: Time) -> Resolver {
        let config = Config {
            workers: 1,
            ..config.clone()
        };
        let shared = Arc::new(Shared::new(&config, seed, now));
        let names = |route: &byway::route::Route| RouteNames {
            upstream: config.upstreams[usize::from(route.upstream.0)].name.clone(),
            path: config.paths[usize::from(route.path.0)].name.clone(),
        };
        let roster = Roster {
            routes: shared.engine().routes().iter().map(names).collect(),
            ..Roster::default()
        };
        let sources = Sources {
            cache: Box::new(CacheSample::default),
            guard: Box::new(|| None),
            engine: Box::new(EngineSample::default),
            snapshot: None,
            recorder: None,
            query_log: None,
        };
        let metrics = Metrics::new(roster, &config.limits, sources).expect("names of their own");
        let replies = Rc::new(Answers::default());
        let core = Core::new(
            Wire::default(),
            Arc::clone(&shared),
            Rc::clone(&replies) as Rc<dyn Replies>,
            Rc::new(metrics.worker()),
            0,
            StdRng::seed_from_u64(!seed),
            now,
        );
        Resolver {
            shared,
            core,
            replies,
            clients: Arc::default(),
            told: Vec::new(),
            asked: HashMap::new(),
            stale: HashMap::new(),
            events: Vec::new(),
            seen: Vec::new(),
            attentive: true,
            needed: 0,
            most: 0,
            tick: now,
            lookout: Lookout::default(),
            held: None,
            turned: now,
            armed: Time::NEVER,
            _metrics: metrics,
        }
    }

    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine()
    }

    /// Finds out whether the host has stalled until just before `now`.
    fn take_bearings(&mut self, now: Time) {
        self.core.turn(Life::awake(now));
        // What left in the last turn, and was not held up, left at once.
        if now > self.turned {
            self.core.left(self.turned, self.turned);
            self.turned = now;
        }
        if !self.attentive {
            return;
        }
        if let Some(over) = self.lookout.turn(self.armed, now) {
            self.core.host_stalled(over);
        }
    }

    fn turned(&mut self, now: Time, out: &mut Vec<Action>) {
        self.core.end_of_turn(now);
        self.most = self
            .most
            .max(self.core.questions() + self.clients.clients());
        for (attempt, mut action) in std::mem::take(&mut self.core.exchanges.sent) {
            if let Action::Send { kind, .. } = &mut action {
                *kind = self.core.kind_of(attempt).expect("an attempt of this turn");
                self.needed += u64::from(!kind.is_extra());
            }
            out.push(action);
        }
        // Room for what is queued is looked for at once if it has not been for a while.
        self.armed = self.core.next_wake().map_or(Time::NEVER, |it| it.max(now));
        let told: Vec<Told> = self.replies.0.borrow_mut().drain(..).collect();
        told.into_iter().for_each(|told| self.tell(told, out));
        self.listen(now);
    }

    /// What the engine tells is heard, and what the watch asks it is known.
    fn listen(&mut self, now: Time) {
        let mut engine = self.shared.engine();
        self.events.extend(engine.take_events());
        let main = PoolId::MAIN;
        let sees = (engine.last_useful(main), engine.in_vain(main));
        if self.seen.last().is_none_or(|(_, last)| *last != sees) {
            self.seen.push((now, sees));
        }
    }

    /// A client got its answer.
    fn tell(&mut self, mut told: Told, out: &mut Vec<Action>) {
        let name = self.asked.remove(&told.query);
        if let Some(name) = name.filter(|_| told.is_stale()) {
            told.stale_for = told.at.since(*self.stale.entry(name).or_insert(told.at));
        }
        self.told.push(told);
        out.push(told.action());
    }
}

impl Told {
    fn action(self) -> Action {
        Action::Answer {
            query: self.query,
            good: self.rcode == Rcode::NOERROR,
            stale: self.is_stale(),
        }
    }
}

impl Subject for Resolver {
    fn question(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        self.asked.insert(query, name);
        let packet = ask(query, name);
        let Inspected::Query(asked) = wire::inspect(&packet) else {
            unreachable!("a plain question");
        };
        let client = Ipv4Addr::from_bits(u32::try_from(query).expect("fewer than 2^32 questions"));
        let asker = || Asker {
            listener: 0,
            limit: LIMIT as u16,
            client: None,
            since: now,
            way: Way::Datagram {
                origin: Origin::new((client, 53).into(), None),
                ticket: self.clients.ticket(),
            },
        };
        let mut room = [0; LIMIT];
        match self.core.ask(&asked, asker, now, LIMIT, &mut room) {
            Turn::Answer { length, .. } | Turn::Limited { length, .. } => {
                self.tell(read(query, &room[..length], now), out);
            }
            Turn::Pending | Turn::Drop => {}
        }
        self.turned(now, out);
    }

    fn packet(&mut self, tag: Tag, rcode: Rcode, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        let looked = self.lookout.looked(now);
        self.lookout.saw_nothing(now);
        let Some(Open { attempt, question }) = self.core.exchanges.open.remove(&tag) else {
            return;
        };
        if let Some(name) = name_of(&question).filter(|_| rcode == Rcode::NOERROR) {
            self.stale.remove(&name);
        }
        let packet = respond(&question, rcode);
        let sent = Sent {
            id: ID,
            question: &question,
            exact_case: false,
        };
        let response = wire::examine(&packet, &sent).expect("the response to what was sent");
        let claimed = Claimed::Response {
            tag: attempt,
            response,
            case: None,
        };
        self.core.claimed(&claimed, looked, now);
        self.turned(now, out);
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        self.lookout.saw_nothing(now);
        let shadow = self.lookout.shadow(now);
        if self.held.take().is_none() && shadow.is_some() {
            self.held = shadow;
            return;
        }
        if self.core.next_wake().is_some_and(|wake| wake <= now) {
            self.core.wake(now);
        }
        if now >= self.tick {
            let tick = self.core.tick(now);
            self.tick = tick.next;
            for route in tick.probes {
                self.core.probe(route, now);
            }
        }
        self.turned(now, out);
    }

    fn left(&mut self, decided: Time, now: Time) {
        if self.attentive {
            self.core.left(decided, now);
        }
    }

    fn next_timer(&self) -> Time {
        if let Some(held) = self.held {
            return held;
        }
        self.core.next_wake().unwrap_or(Time::NEVER).min(self.tick)
    }

    fn needed(&self) -> u64 {
        self.needed
    }

    fn in_hand(&self) -> usize {
        let listening = self.engine().report(Time::START).listening;
        self.core.questions() + self.core.exchanges.open.len() + listening + self.clients.clients()
    }

    fn events(&self) -> &[(Time, Event)] {
        &self.events
    }
}

/// The lab's TTLs: short, and not the same for all.
pub fn ttl(name: Option<Name>) -> u32 {
    match name {
        Some(Name::Popular(n) | Name::Https(n)) => 5 + n % 26,
        Some(Name::Unknown(_) | Name::InZone(..)) => 60,
        None => 3600,
    }
}

/// The types of what is asked for.
const A: u16 = 1;
const HTTPS: u16 = 65;

/// A query with EDNS. Names that are no zone's of their own lie in some fifty.
fn ask(query: Query, name: Name) -> Vec<u8> {
    let (letter, number, kind) = match name {
        Name::Popular(number) => ("p", number.into(), A),
        Name::Https(number) => ("p", number.into(), HTTPS),
        Name::Unknown(number) => ("u", number, A),
        Name::InZone(_, number) => ("n", number, A),
    };
    let zone = match name {
        Name::InZone(zone, _) => format!("z{zone}"),
        _ => format!("{letter}{}", number % 50),
    };
    let labels = [format!("{letter}{number}"), zone, "example".into()];
    let mut packet = (query as u16).to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in labels {
        packet.push(label.len() as u8);
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

/// A letter and a number: a label of the question, and what comes after it.
fn label(question: &[u8]) -> Option<(&str, u64, &[u8])> {
    let (&length, rest) = question.split_first()?;
    let (label, rest) = rest.split_at_checked(usize::from(length))?;
    let (letter, number) = std::str::from_utf8(label).ok()?.split_at_checked(1)?;
    Some((letter, number.parse().ok()?, rest))
}

/// What a question asks for; `None` for the root.
fn name_of(question: &[u8]) -> Option<Name> {
    let kind = question.len().checked_sub(4)?;
    if question.starts_with(b"\x07invalid\0") {
        return Some(INVALID);
    }
    let https = question[kind..].starts_with(&HTTPS.to_be_bytes());
    match label(question)? {
        ("p", number, _) if https => Some(Name::Https(number as u32)),
        ("p", number, _) => Some(Name::Popular(number as u32)),
        ("u", number, _) => Some(Name::Unknown(number)),
        ("n", number, rest) => {
            let (_, zone, _) = label(rest)?;
            Some(Name::InZone(zone as u16, number))
        }
        _ => None,
    }
}

fn respond(question: &[u8], rcode: Rcode) -> Vec<u8> {
    // There is no record of that type: NODATA is as good an answer.
    let good = rcode == Rcode::NOERROR && !matches!(name_of(question), Some(Name::Https(_)));
    let mut packet = ID.to_be_bytes().to_vec();
    packet.extend([
        0x81,
        0x80 | rcode.0 as u8,
        0,
        1,
        0,
        u8::from(good),
        0,
        0,
        0,
        0,
    ]);
    packet.extend(question);
    if good {
        let name = name_of(question);
        let (kind, data): (u8, &[u8]) = match name {
            Some(_) => (1, &[192, 0, 2, 1]),
            None => (2, b"\x01a\x00"),
        };
        packet.extend([0xc0, 12, 0, kind, 0, 1]);
        packet.extend(ttl(name).to_be_bytes());
        packet.extend([0, data.len() as u8]);
        packet.extend(data);
    }
    packet
}

/// What an answer says. Its OPT record is the last thing in it, and starts with a root name.
fn read(query: Query, answer: &[u8], at: Time) -> Told {
    let rcode = Rcode(u16::from(answer[3] & 0x0f));
    let opt = [0, 0, 41];
    let place = answer.windows(3).rposition(|it| it == opt);
    let options = place.map_or(&[][..], |place| &answer[place + 11..]);
    let ede = match options {
        [0, 15, _, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    Told {
        query,
        at,
        rcode,
        ede,
        stale_for: Duration::ZERO,
    }
}
