//! Many resolvers in one world: a fleet is one system.
//!
//! All of them see the same trouble in the same tenth of a second and share what they flee to. [`Fleet`] is a subject
//! made of many, each with its own clients; [`Chance`] is one that chooses at random, the yardstick beside them. The
//! rows are in [`rows`].
//!
//! `cargo test --release --test storm fleet -- --nocapture` prints every row; `BYWAY_FLEET=n` runs each with n times
//! as many of them, `BYWAY_SEED=n` with another seed.

mod rows;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use byway::clock::Time;
use byway::route::{AttemptKind, Event, RouteId, Subject as Named};
use byway::wire::Rcode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::subject::{Action, Name, Query, Subject, Tag};
use super::world::World;

/// Many subjects in one: a question goes to one of them, and what it sends comes back to it.
pub struct Fleet<S> {
    hosts: Vec<S>,
    /// When each wants to be called; what is out of date is passed over.
    timers: BinaryHeap<Reverse<(Time, usize)>>,
    due: Vec<Time>,
    room: Vec<Action>,
}

impl<S: Subject> Fleet<S> {
    pub fn of(hosts: Vec<S>) -> Fleet<S> {
        let mut fleet = Fleet {
            timers: BinaryHeap::new(),
            due: vec![Time::NEVER; hosts.len()],
            hosts,
            room: Vec::new(),
        };
        (0..fleet.hosts.len()).for_each(|host| fleet.note(host));
        fleet
    }

    fn note(&mut self, host: usize) {
        let next = self.hosts[host].next_timer();
        if next != self.due[host] {
            self.due[host] = next;
            self.timers.push(Reverse((next, host)));
        }
    }

    /// Lets this one have its turn; its packets get numbers that are the fleet's.
    fn turn(
        &mut self,
        host: usize,
        out: &mut Vec<Action>,
        turn: impl FnOnce(&mut S, &mut Vec<Action>),
    ) {
        turn(&mut self.hosts[host], &mut self.room);
        let count = self.hosts.len() as Tag;
        out.extend(self.room.drain(..).map(|action| match action {
            Action::Send {
                tag,
                route,
                kind,
                name,
            } => Action::Send {
                tag: tag * count + host as Tag,
                route,
                kind,
                name,
            },
            answer => answer,
        }));
        self.note(host);
    }
}

impl<S: Subject> Subject for Fleet<S> {
    fn question(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>) {
        // Names are drawn at random: so is the host.
        let host = (query.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % self.hosts.len();
        self.turn(host, out, |it, out| it.question(query, name, now, out));
    }

    fn packet(&mut self, tag: Tag, rcode: Rcode, now: Time, out: &mut Vec<Action>) {
        let count = self.hosts.len() as Tag;
        let (host, tag) = ((tag % count) as usize, tag / count);
        self.turn(host, out, |it, out| it.packet(tag, rcode, now, out));
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some(&Reverse((at, host))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            if self.due[host] == at {
                self.due[host] = Time::NEVER;
                self.turn(host, out, |it, out| it.timer(now, out));
            }
        }
    }

    fn next_timer(&self) -> Time {
        let first = self.timers.peek();
        first.map_or(Time::NEVER, |Reverse((at, _))| *at)
    }

    fn needed(&self) -> u64 {
        self.hosts.iter().map(Subject::needed).sum()
    }

    fn in_hand(&self) -> usize {
        self.hosts.iter().map(Subject::in_hand).sum()
    }

    /// Those of the first one: all see the same.
    fn events(&self) -> &[(Time, Event)] {
        self.hosts[0].events()
    }
}

/// Asks a route at random, another one after a while, and a few times in all.
pub struct Chance {
    rng: StdRng,
    routes: u16,
    next: Tag,
    needed: u64,
    open: HashMap<Query, u32>,
    sent: HashMap<Tag, Query>,
    timers: BinaryHeap<Reverse<(Time, Query)>>,
}

/// How long it waits for each, and how often it asks.
const WAITS: Duration = Duration::from_millis(1000);
const TRIES: u32 = 3;

impl Chance {
    fn new(routes: usize, seed: u64) -> Chance {
        Chance {
            rng: StdRng::seed_from_u64(seed),
            routes: routes as u16,
            next: 0,
            needed: 0,
            open: HashMap::new(),
            sent: HashMap::new(),
            timers: BinaryHeap::new(),
        }
    }

    fn send(&mut self, query: Query, kind: AttemptKind, now: Time, out: &mut Vec<Action>) {
        let tag = self.next;
        self.next += 1;
        self.sent.insert(tag, query);
        let route = RouteId((self.rng.next_u32() % u32::from(self.routes)) as u16);
        out.push(Action::Send {
            tag,
            route,
            kind,
            name: None,
        });
        self.timers.push(Reverse((now + WAITS, query)));
    }
}

impl Subject for Chance {
    fn question(&mut self, query: Query, _: Name, now: Time, out: &mut Vec<Action>) {
        self.needed += 1;
        self.open.insert(query, 1);
        self.send(query, AttemptKind::Primary, now, out);
    }

    fn packet(&mut self, tag: Tag, rcode: Rcode, _: Time, out: &mut Vec<Action>) {
        let query = self.sent.remove(&tag);
        if let Some(query) = query.filter(|query| self.open.remove(query).is_some()) {
            out.push(answer(query, rcode == Rcode::NOERROR));
        }
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some(&Reverse((at, query))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            match self.open.get_mut(&query) {
                Some(tries) if *tries < TRIES => {
                    *tries += 1;
                    self.send(query, AttemptKind::Retry, now, out);
                }
                Some(_) => {
                    self.open.remove(&query);
                    out.push(answer(query, false));
                }
                None => {}
            }
        }
    }

    fn next_timer(&self) -> Time {
        let first = self.timers.peek();
        first.map_or(Time::NEVER, |Reverse((at, _))| *at)
    }

    fn needed(&self) -> u64 {
        self.needed
    }

    fn in_hand(&self) -> usize {
        self.open.len() + self.sent.len()
    }

    fn events(&self) -> &[(Time, Event)] {
        &[]
    }
}

fn answer(query: Query, good: bool) -> Action {
    Action::Answer {
        query,
        good,
        stale: false,
    }
}

/// What a stretch of time saw.
#[derive(Debug)]
struct Seen {
    /// Of the questions asked then, in 0..1.
    answered: f64,
    p50: Duration,
    p99: Duration,
    /// Packets a question; in the worst second.
    x: f64,
    worst: f64,
    /// Useful answers that came in their time, over what was asked.
    goodput: f64,
    /// Changes of a path's or a server's verdict, a minute and host.
    verdicts: f64,
}

impl Seen {
    fn of<S: Subject>(world: &World<Fleet<S>>, from: Duration, until: Duration) -> Seen {
        let within = |at: Time| (from..until).contains(&at.since(world.start));
        let asked: Vec<_> = world.records.iter().filter(|it| within(it.asked)).collect();
        let mut took: Vec<Duration> = asked.iter().filter_map(|it| it.latency()).collect();
        took.sort();
        let at = |share: f64| {
            let place = (asked.len() as f64 * share) as usize;
            took.get(place).copied().unwrap_or(Duration::MAX)
        };
        let seconds = (until - from).as_secs().max(1) as usize;
        let mut packets = vec![0.0f64; seconds];
        let mut questions = vec![0.0f64; seconds];
        let second =
            |at: Time| ((at.since(world.start) - from).as_secs() as usize).min(seconds - 1);
        for packet in world.packets.iter().filter(|it| within(it.at)) {
            packets[second(packet.at)] += 1.0;
        }
        for record in &asked {
            questions[second(record.asked)] += 1.0;
        }
        let each = packets.iter().zip(&questions);
        let good = world.records.iter().filter(|it| it.good);
        let answered_then = good.filter(|it| it.answered.is_some_and(within)).count();
        let changed = |(at, event): &&(Time, Event)| {
            let is_group = matches!(event, Event::Verdict { subject, .. } if !matches!(subject, Named::Route(_)));
            is_group && within(*at)
        };
        let hosts = &world.subject.hosts;
        let changes = hosts
            .iter()
            .flat_map(Subject::events)
            .filter(changed)
            .count();
        let minutes = (until - from).as_secs_f64() / 60.0;
        Seen {
            answered: took.len() as f64 / asked.len().max(1) as f64,
            p50: at(0.5),
            p99: at(0.99),
            x: packets.iter().sum::<f64>() / asked.len().max(1) as f64,
            worst: each
                .map(|(packets, questions)| packets / questions.max(1.0))
                .fold(0.0, f64::max),
            goodput: answered_then as f64 / asked.len().max(1) as f64,
            verdicts: changes as f64 / hosts.len() as f64 / minutes,
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |it: Duration| it.as_secs_f64().min(99.0) * 1e3;
        write!(
            f,
            "answered {:6.2} % p50 {:7.1} p99 {:7.1} ms x {:.3} (worst {:.2}) good {:.3} verdicts {:.1}",
            self.answered * 100.0,
            ms(self.p50),
            ms(self.p99),
            self.x,
            self.worst,
            self.goodput,
            self.verdicts,
        )
    }
}
