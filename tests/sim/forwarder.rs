//! The engine as the daemon drives it.
//!
//! [`Forwarder`] keeps the daemon's contract with `byway::route` and a cache as small as can be, so that
//! what is measured is the engine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use byway::clock::Time;
use byway::config::Config;
use byway::resolve::lookout::{Lookout, STALL};
use byway::route::{
    About, Ask, AttemptId, Engine, Event, Finish, Kind, Outcome, PoolId, ProbeAsks, Purpose, Race,
    Refused, Send, Step,
};
use byway::wire::Rcode;
use rand::rngs::StdRng;

use super::subject::{Action, Name, Query, Subject, Tag};

/// See [`Engine::last_useful`] and [`Engine::in_vain`].
pub type Seen = (Time, (usize, Option<Rcode>));

/// What probes ask, which no client does.
const ROOT: Name = Name::Unknown(u64::MAX);
const INVALID: Name = Name::Unknown(u64::MAX - 1);
const DEADLINE: Duration = Duration::from_millis(4500);
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
const STALE_WAIT: Duration = Duration::from_millis(200);
const QUEUE_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Asking {
    name: Name,
    purpose: Purpose,
    waiting: Vec<Query>,
    deadline: Time,
    race: Option<Race>,
    wake: Time,
    stale_at: Time,
    finished: bool,
    tags: Vec<(Tag, AttemptId)>,
}

/// The engine with a driver around it.
pub struct Forwarder {
    pub engine: Engine,
    /// Everything it told.
    pub events: Vec<(Time, Event)>,
    /// When something useful had come last, and what was asked in vain since then, from each time on.
    pub seen: Vec<(Time, Seen)>,
    /// Races started for clients and refreshes, by purpose.
    pub races: u64,
    /// Shed because no route had room.
    pub shed: u64,
    rng: StdRng,
    asking: HashMap<u64, Asking>,
    by_name: HashMap<Name, u64>,
    by_tag: HashMap<Tag, u64>,
    queued: Vec<u64>,
    timers: BinaryHeap<Reverse<(Time, u64)>>,
    cache: HashMap<Name, (Time, Duration)>,
    next: u64,
    tick: Time,
    lookout: Lookout,
    /// Whether it knows of its host's stalls. The control is the one that does not.
    pub attentive: bool,
    /// Its timers wait until then for a stall's shadow to be over.
    held: Option<Time>,
    /// What it sent at that time.
    leaving: (Time, Vec<(u64, AttemptId)>),
}

impl Forwarder {
    pub fn new(config: &Config, rng: StdRng, now: Time) -> Forwarder {
        Forwarder {
            engine: Engine::new(config, now),
            events: Vec::new(),
            seen: Vec::new(),
            races: 0,
            shed: 0,
            rng,
            asking: HashMap::new(),
            by_name: HashMap::new(),
            by_tag: HashMap::new(),
            queued: Vec::new(),
            timers: BinaryHeap::new(),
            cache: HashMap::new(),
            next: 0,
            tick: now,
            lookout: Lookout::default(),
            attentive: true,
            held: None,
            leaving: (now, Vec::new()),
        }
    }

    /// The earliest time that a question in hand is to be looked after.
    fn due(&self) -> Time {
        let wakes = |it: &Asking| match it.finished {
            true => it.wake,
            false => it.wake.min(it.stale_at),
        };
        self.asking.values().map(wakes).min().unwrap_or(Time::NEVER)
    }

    /// Finds out whether the host has stalled until just before `now`.
    fn take_bearings(&mut self, now: Time) {
        if self.leaving.0 != now {
            self.leaving = (now, Vec::new());
        }
        let first = self.timers.peek();
        // Most of what is late there is of questions that have been answered.
        if !self.attentive || first.is_none_or(|Reverse((at, _))| now.since(*at) <= STALL) {
            return;
        }
        if let Some(over) = self.lookout.turn(self.due(), now) {
            self.engine.host_stalled(over);
        }
    }

    fn ttl(name: Name) -> Duration {
        match name {
            Name::Popular(n) | Name::Https(n) => Duration::from_secs(5 + u64::from(n % 26)),
            Name::Unknown(_) | Name::InZone(..) => Duration::ZERO,
        }
    }

    fn begin(&mut self, name: Name, purpose: Purpose, waiting: Vec<Query>, now: Time) -> u64 {
        let id = self.next;
        self.next += 1;
        let asking = Asking {
            name,
            purpose,
            waiting,
            deadline: now + DEADLINE,
            race: None,
            wake: Time::NEVER,
            stale_at: Time::NEVER,
            finished: false,
            tags: Vec::new(),
        };
        self.asking.insert(id, asking);
        id
    }

    /// Begins its race, `again` if it found no room before. False if it finds none.
    fn start(&mut self, id: u64, again: bool, now: Time, out: &mut Vec<Action>) -> bool {
        let Some(asking) = self.asking.get(&id) else {
            return true;
        };
        let ask = Ask {
            purpose: asking.purpose,
            about: match asking.purpose {
                Purpose::Probe(_) => About::PLAIN,
                _ => about(asking.name),
            },
            deadline: asking.deadline,
            again,
            light: false,
            pool: PoolId::MAIN,
        };
        match Race::start(&mut self.engine, &ask, now, &mut self.rng) {
            Ok((race, step)) => {
                self.races += u64::from(!matches!(ask.purpose, Purpose::Probe(_)));
                self.asking.get_mut(&id).expect("just seen").race = Some(race);
                self.apply(id, step, now, out);
                true
            }
            Err(Refused::Busy) if ask.purpose == Purpose::Client => false,
            Err(_) => {
                self.conclude(id, false, now, out);
                self.asking.remove(&id);
                true
            }
        }
    }

    fn apply(&mut self, id: u64, step: Step, now: Time, out: &mut Vec<Action>) {
        for Send {
            attempt,
            route,
            kind,
            ..
        } in [step.send, step.also].into_iter().flatten()
        {
            let tag = self.next;
            self.next += 1;
            let asking = self.asking.get_mut(&id).expect("a race in hand");
            asking.tags.push((tag, attempt));
            self.leaving.1.push((id, attempt));
            self.by_tag.insert(tag, id);
            let name = (asking.name != ROOT).then_some(asking.name);
            out.push(Action::Send {
                tag,
                route,
                kind,
                name,
            });
        }
        match step.finish {
            Some(Finish::Answer(_)) => self.conclude(id, true, now, out),
            Some(Finish::Poor(_) | Finish::Failed(_)) => self.conclude(id, false, now, out),
            None => {}
        }
        if step.done {
            let asking = self.asking.remove(&id).expect("a race in hand");
            assert!(asking.finished, "done before finished");
            for (tag, _) in asking.tags {
                self.by_tag.remove(&tag);
            }
            return;
        }
        let asking = self.asking.get_mut(&id).expect("a race in hand");
        asking.wake = step.wake.expect("a race that goes on names its next wake");
        assert!(asking.wake > now, "a wake in the past");
        self.timers.push(Reverse((asking.wake, id)));
    }

    fn conclude(&mut self, id: u64, good: bool, now: Time, out: &mut Vec<Action>) {
        let asking = self.asking.get_mut(&id).expect("a question in hand");
        assert!(!asking.finished, "finished twice");
        asking.finished = true;
        let (name, waiting) = (asking.name, std::mem::take(&mut asking.waiting));
        if self.by_name.get(&name) == Some(&id) {
            self.by_name.remove(&name);
        }
        if good && Forwarder::ttl(name) > Duration::ZERO {
            self.cache.insert(name, (now, Forwarder::ttl(name)));
        }
        let stale = !good && self.held(name, now).is_some();
        for query in waiting {
            out.push(Action::Answer {
                query,
                good: good || stale,
                stale,
            });
        }
    }

    /// A kept answer and its age beyond the TTL, zero while fresh.
    fn held(&self, name: Name, now: Time) -> Option<Duration> {
        let (at, ttl) = self.cache.get(&name)?;
        let stale = now.since(*at).saturating_sub(*ttl);
        (stale < STALE_MAX).then_some(stale)
    }

    fn refresh_due(&mut self, name: Name, now: Time) -> bool {
        let (at, ttl) = self.cache[&name];
        now.since(at) >= ttl.mul_f64(0.9) && !self.by_name.contains_key(&name)
    }

    fn work_off(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some(&id) = self.queued.last() {
            if !self.engine.has_room(PoolId::MAIN, false, now) {
                break;
            }
            if self.asking.contains_key(&id) && !self.start(id, true, now, out) {
                break;
            }
            self.queued.pop();
        }
    }

    fn listen(&mut self, now: Time) {
        self.events.extend(self.engine.take_events());
        let sees = (
            self.engine.last_useful(PoolId::MAIN),
            self.engine.in_vain(PoolId::MAIN),
        );
        if self.seen.last().is_none_or(|(_, last)| *last != sees) {
            self.seen.push((now, sees));
        }
    }
}

/// A good one, past its TTL or not.
fn answer(query: Query, stale: bool) -> Action {
    Action::Answer {
        query,
        good: true,
        stale,
    }
}

/// What the engine is told of a question: names lie in some fifty zones.
fn about(name: Name) -> About {
    let hash = |number: u64, salt| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    let of = |number: u64, salt, kind| About {
        name: hash(number, salt),
        zone: hash(number % 50, salt),
        kind,
    };
    let plain = Kind::Plain;
    match name {
        Name::Popular(number) => of(number.into(), 1, plain),
        Name::Unknown(number) => of(number, 2, plain),
        Name::Https(number) => of(number.into(), 3, Kind::Typed(1)),
        Name::InZone(zone, number) => About {
            name: hash(number, 4 + u64::from(zone)),
            zone: hash(zone.into(), 4),
            kind: plain,
        },
    }
}

impl Subject for Forwarder {
    fn question(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        let stale = self.held(name, now);
        if stale == Some(Duration::ZERO) {
            out.push(answer(query, false));
            if self.refresh_due(name, now) {
                let id = self.begin(name, Purpose::Refresh, Vec::new(), now);
                self.by_name.insert(name, id);
                self.start(id, false, now, out);
            }
            return self.listen(now);
        }
        let any_clear = self.engine.any_clear(now);
        if stale.is_some() && !any_clear {
            out.push(answer(query, true));
            return self.listen(now);
        }
        if let Some(&id) = self.by_name.get(&name) {
            let asking = self.asking.get_mut(&id).expect("a question in hand");
            asking.waiting.push(query);
            if stale.is_some() {
                let at = now + self.engine.hedge_wait(now).min(STALE_WAIT);
                asking.stale_at = asking.stale_at.min(at);
                self.timers.push(Reverse((at, id)));
            }
            return self.listen(now);
        }
        let id = self.begin(name, Purpose::Client, vec![query], now);
        self.by_name.insert(name, id);
        if stale.is_some() {
            let at = now + self.engine.hedge_wait(now).min(STALE_WAIT);
            self.asking.get_mut(&id).expect("just begun").stale_at = at;
            self.timers.push(Reverse((at, id)));
        }
        if !self.start(id, false, now, out) {
            let until = now + QUEUE_PATIENCE;
            self.asking.get_mut(&id).expect("just begun").wake = until;
            self.timers.push(Reverse((until, id)));
            self.queued.push(id);
        }
        self.listen(now);
    }

    fn packet(&mut self, tag: Tag, rcode: Rcode, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        let looked = self.lookout.looked(now);
        self.lookout.saw_nothing(now);
        let Some(id) = self.by_tag.remove(&tag) else {
            return;
        };
        let asking = self.asking.get_mut(&id).expect("a question in hand");
        let place = asking
            .tags
            .iter()
            .position(|(t, _)| *t == tag)
            .expect("a tag in hand");
        let (_, attempt) = asking.tags.swap_remove(place);
        let outcome = match rcode {
            Rcode::NOERROR | Rcode::NXDOMAIN => Outcome::Answered,
            rcode => Outcome::Poor(rcode),
        };
        let race = asking.race.as_mut().expect("a race was started");
        let step = race.outcome(
            &mut self.engine,
            attempt,
            outcome,
            looked,
            now,
            &mut self.rng,
        );
        self.apply(id, step, now, out);
        self.work_off(now, out);
        self.listen(now);
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        self.take_bearings(now);
        self.lookout.saw_nothing(now);
        // Once only, as the daemon does.
        let shadow = self.lookout.shadow(now);
        if self.held.take().is_none() && shadow.is_some() {
            self.held = shadow;
            return;
        }
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(asking) = self.asking.get_mut(&id) else {
                continue;
            };
            if asking.stale_at <= now && !asking.finished {
                asking.stale_at = Time::NEVER;
                for query in std::mem::take(&mut asking.waiting) {
                    out.push(answer(query, true));
                }
            }
            let asking = self.asking.get_mut(&id).expect("just seen");
            if asking.wake > now {
                continue;
            }
            asking.wake = Time::NEVER;
            match &mut asking.race {
                Some(race) => {
                    let step = race.timer(&mut self.engine, now, &mut self.rng);
                    self.apply(id, step, now, out);
                }
                None => {
                    self.shed += 1;
                    self.queued.retain(|queued| *queued != id);
                    self.conclude(id, false, now, out);
                    self.asking.remove(&id);
                }
            }
        }
        if now >= self.tick {
            let tick = self.engine.tick(now, &mut self.rng);
            assert!(tick.next > now, "a tick in the past");
            self.tick = tick.next;
            for route in tick.probes {
                let name = match self.engine.probe_asks(route) {
                    ProbeAsks::Root => ROOT,
                    ProbeAsks::Invalid => INVALID,
                };
                let id = self.begin(name, Purpose::Probe(route), Vec::new(), now);
                self.start(id, false, now, out);
            }
        }
        self.work_off(now, out);
        self.listen(now);
    }

    fn needed(&self) -> u64 {
        self.races
    }

    fn in_hand(&self) -> usize {
        self.asking.len() + self.by_tag.len() + self.engine.report(Time::START).listening
    }

    fn events(&self) -> &[(Time, Event)] {
        &self.events
    }

    fn left(&mut self, decided: Time, now: Time) {
        if !self.attentive || self.leaving.0 != decided {
            return;
        }
        for (id, attempt) in std::mem::take(&mut self.leaving.1) {
            let asking = self.asking.get_mut(&id);
            if let Some(race) = asking.and_then(|asking| asking.race.as_mut()) {
                race.delayed(&mut self.engine, attempt, now);
            }
        }
    }

    fn next_timer(&self) -> Time {
        if let Some(held) = self.held {
            return held;
        }
        let first = self
            .timers
            .peek()
            .map_or(Time::NEVER, |Reverse((at, _))| *at);
        first.min(self.tick)
    }
}
