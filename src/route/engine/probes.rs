//! Measuring what carries no traffic.
//!
//! A route in trouble is tried by duplicates of real questions, which no client waits for, and by
//! probes where no real question comes along. Trials come further apart each time they fail, with
//! jitter, so that many hosts don't knock in step; a path or a server in trouble is tried over one
//! of its routes at a time, however many it has. Routes that are new are asked a few times
//! beside questions, so that a hedge doesn't meet a stranger; those that are idle are measured in `idle`. When everything is dead, probes are all that goes out.

use std::time::Duration;

use crate::clock::Time;
use crate::config::Policy;
use crate::observe::event::Verdict;
use crate::route::chance::{jittered, unit};
use crate::route::choose::Rank;
use crate::route::constants::probe::probes::*;
use crate::route::engine::Engine;
use crate::route::engine::state::asking::ProbeAsks;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{PathId, PoolId, RouteId, UpstreamId};
use crate::route::judge::health::Health;
use crate::route::rules::Rule;
use crate::route::spend::prices::Charge;
use crate::route::standing::Standing;

/// Whose trial it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trial {
    Witness(RouteId),
    Path(PathId),
    Upstream(UpstreamId),
    Route(RouteId),
    Survey(RouteId),
    /// A question hangs on a route that is clear, and nothing asked since was answered: what everybody answers
    /// tells a name that fails from a server that is silent.
    Sounding(RouteId),
}

impl Trial {
    /// A return waits for it, unless it is a survey.
    fn charge(self) -> Charge {
        match self {
            Trial::Survey(_) => Charge::Measurement,
            _ => Charge::Return,
        }
    }
}

/// The trial that is due first, of those considered so far, and the first survey.
struct Due {
    first: (Time, Option<Trial>),
    /// When that one was last asked.
    asked: Time,
    survey: (Time, Option<Trial>),
}

impl Default for Due {
    fn default() -> Due {
        Due {
            first: (Time::NEVER, None),
            asked: Time::NEVER,
            survey: (Time::NEVER, None),
        }
    }
}

impl Due {
    /// `asked` is when it was last asked for whatever reason. Of those due at once it is the turn of the one that this was
    /// the longest ago for, or the first would keep the others from ever being tried.
    fn consider(&mut self, due: Time, asked: Time, trial: Trial) {
        match trial {
            Trial::Survey(_) if due < self.survey.0 => self.survey = (due, Some(trial)),
            Trial::Survey(_) => {}
            _ if (due, asked) < (self.first.0, self.asked)
                && (due < self.first.0 || Rule::LongestAgo.stands()) =>
            {
                (self.first, self.asked) = ((due, Some(trial)), asked);
            }
            _ => {}
        }
    }

    fn first(self, now: Time) -> (Time, Option<Trial>) {
        if self.first.0 <= now || self.first.0 <= self.survey.0 {
            self.first
        } else {
            self.survey
        }
    }
}

impl Engine {
    /// What the probe that goes over `route` now asks. To be called once for each of [`Tick::probes`](super::Tick::probes).
    pub fn probe_asks(&mut self, route: RouteId) -> ProbeAsks {
        let asking = &mut self.record_mut(route).asking;
        if std::mem::replace(&mut asking.in_vain, true) && Rule::OtherQuestion.stands() {
            asking.asks = match asking.asks {
                ProbeAsks::Root => ProbeAsks::Invalid,
                ProbeAsks::Invalid => ProbeAsks::Root,
            };
        }
        asking.asks
    }

    /// A probe over `route` was answered.
    pub(in crate::route) fn probe_answered(&mut self, route: RouteId) {
        self.record_mut(route).asking.in_vain = false;
    }

    /// A route to send a duplicate of the question at hand over, which goes over `beside` itself.
    pub(in crate::route) fn trial(
        &mut self,
        pool: PoolId,
        beside: RouteId,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let of = self.pool(pool);
        if now < of.next_trial || of.standing != Standing::Clear {
            return None;
        }
        let (due, trial) = self.earliest(pool, now);
        let Some(trial) = trial.filter(|_| due <= now) else {
            self.pool_mut(pool).next_trial = due;
            return None;
        };
        if matches!(trial, Trial::Sounding(_)) {
            // The question at hand may be the one that hangs.
            return None;
        }
        let route = self.route_of(pool, trial)?;
        if route == beside {
            // The question itself is the trial.
            self.tried(pool, trial, now, rng);
            return None;
        }
        let has_room = self.record(route).has_room();
        let of = self.pool_mut(pool);
        if !has_room || !of.budgets.pay(trial.charge(), now) {
            of.next_trial = now + FIRST_STEP;
            return None;
        }
        self.tried(pool, trial, now, rng);
        Some(route)
    }

    /// The witness of an open question, if that may be settled by the question at hand: nothing is known
    /// against it, so that it serves the client as well, and a duplicate is saved. Where the operator has said
    /// who is asked first, the witness gets a duplicate.
    pub(super) fn testimony(
        &mut self,
        pool: PoolId,
        failed: &[RouteId],
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let due = |(_, due): &(RouteId, Time)| *due <= now && Rule::Testimony.stands();
        let (route, _) = self.witness.filter(due)?;
        let record = self.record(route);
        let serves = record.rank <= Rank::Doubted && record.has_room() && !record.is_stalled(now);
        let of = self.pool(pool);
        let free = of.is_clear() && of.selector.policy == Policy::Fastest && of.has(route);
        if !serves || !free || failed.contains(&route) {
            return None;
        }
        self.tried(pool, Trial::Witness(route), now, rng);
        Some(route)
    }

    /// The probes to send for want of real questions.
    pub(in crate::route) fn probes(&mut self, now: Time, rng: &mut impl rand::Rng) -> Vec<RouteId> {
        let mut probes = Vec::new();
        for pool in self.pools() {
            let probe = self.probe_of(pool, now, rng);
            probes.extend(probe.filter(|route| !probes.contains(route)));
        }
        probes
    }

    fn probe_of(&mut self, pool: PoolId, now: Time, rng: &mut impl rand::Rng) -> Option<RouteId> {
        let of = self.pool(pool);
        let quiet = now.since(of.last_question) > QUIET && Rule::Quiet.stands();
        let standing = of.standing;
        if standing == Standing::Outage {
            return self.outage_probe(pool, quiet, now, rng);
        }
        let (due, trial) = self.earliest(pool, now);
        self.pool_mut(pool).next_trial = due;
        let trial = trial?;
        let wait = match (standing, quiet) {
            _ if matches!(trial, Trial::Sounding(_)) => Duration::ZERO,
            // Somebody is in doubt until it is asked.
            (Standing::Clear, true) if matches!(trial, Trial::Witness(_)) => RIDE,
            (_, true) => QUIET_STEP,
            (Standing::Clear, false) if Rule::Ride.stands() => RIDE,
            // Real questions go to the least bad only: the others are tried here.
            _ => Duration::ZERO,
        };
        let is_survey = matches!(trial, Trial::Survey(_));
        if due + wait > now || (is_survey && quiet) {
            return None;
        }
        let route = self.route_of(pool, trial)?;
        let budgets = &mut self.pool_mut(pool).budgets;
        let paid = match standing {
            Standing::Clear => budgets.pay(trial.charge(), now),
            _ => budgets.pay(Charge::ProbeInNeed, now),
        };
        if !paid {
            return None;
        }
        self.tried(pool, trial, now, rng);
        Some(route)
    }

    /// Everything is dead: one route after the other.
    fn outage_probe(
        &mut self,
        pool: PoolId,
        quiet: bool,
        now: Time,
        rng: &mut impl rand::Rng,
    ) -> Option<RouteId> {
        let of = self.pool(pool);
        if now < of.next_trial || !Rule::OutageProbes.stands() {
            return None;
        }
        let step = match quiet {
            true => QUIET_STEP,
            false => {
                let secs =
                    1.0 / (OUTAGE_SHARE * of.budgets.healthy_rate()).max(1.0 / OUTAGE_STEP_MOST);
                Duration::from_secs_f64(secs.max(OUTAGE_STEP_LEAST))
            }
        };
        let count = of.members.len() as u16;
        let turn = (1..=count)
            .map(|step| (of.outage_turn + step) % count)
            .find(|&turn| self.record(of.members[usize::from(turn)]).rank != Rank::Out);
        let of = self.pool_mut(pool);
        of.next_trial = now + step.mul_f32(jittered(unit(rng)));
        of.outage_turn = turn?;
        let route = of.members[usize::from(of.outage_turn)];
        of.budgets.pay(Charge::Probe, now).then_some(route)
    }

    /// The trial that is due first. A survey, which nobody waits for, never keeps one that is due waiting.
    fn earliest(&self, pool: PoolId, now: Time) -> (Time, Option<Trial>) {
        let of = self.pool(pool);
        let mut due = Due::default();
        if let Some((route, at)) = self.witness.filter(|(route, _)| of.has(*route)) {
            due.consider(at, Time::default(), Trial::Witness(route));
        }
        for (index, path) in (0u16..).zip(&self.paths) {
            let (id, out) = (PathId(index), path.drained || path.missing);
            let own = |record: &RouteRecord| record.route.path == id;
            self.consider_group(pool, path, out, own, Trial::Path(id), &mut due);
        }
        for (index, upstream) in (0u16..).zip(&self.upstreams) {
            let (id, out) = (UpstreamId(index), upstream.drained || upstream.loops);
            let own = |record: &RouteRecord| record.route.upstream == id;
            self.consider_group(pool, upstream, out, own, Trial::Upstream(id), &mut due);
        }
        for (id, record) in self.records_of(pool) {
            self.consider_route(pool, id, record, &mut due);
        }
        due.first(now)
    }

    /// Whether a path or an upstream is due, of which `own` are the routes, unless it is `out` of use.
    fn consider_group(
        &self,
        pool: PoolId,
        group: &Group,
        out: bool,
        own: impl Fn(&RouteRecord) -> bool,
        trial: Trial,
        due: &mut Due,
    ) {
        let in_trouble = group.health.verdict() != Verdict::Clear;
        if in_trouble && !out && self.route_of(pool, trial).is_some() {
            let asked = self.records.iter().filter(|record| own(record));
            let asked = asked.map(|record| record.asked).max().unwrap_or_default();
            due.consider(self.due(pool, &group.health, asked), asked, trial);
        }
    }

    /// Whether a route is due.
    fn consider_route(&self, pool: PoolId, id: RouteId, record: &RouteRecord, due: &mut Due) {
        let accused = self.paths[record.route.path.0 as usize].accused()
            || self.upstreams[record.route.upstream.0 as usize].accused();
        // Its path or its server is tried in its place; but while nothing is clear that may be by questions
        // over other routes only, and this one might be well again.
        let covered = accused && (self.pool(pool).is_clear() || !record.health.verdict().is_bad());
        if record.rank == Rank::Out || covered {
            return;
        }
        let is_clear = record.health.verdict() == Verdict::Clear;
        let lone = record.doubts.lone().filter(|_| Rule::Sounding.stands());
        if is_clear && let Some(oldest) = lone {
            let step = SOUND_STEP * (1 << record.soundings.saturating_sub(1).min(SOUND_DOUBLINGS));
            let at = (oldest + SOUND_AFTER).max(record.sounded + step);
            due.consider(at, record.sounded, Trial::Sounding(id));
        }
        if !is_clear {
            let at = self.due(pool, &record.health, record.asked);
            due.consider(at, record.asked, Trial::Route(id));
        } else if !(record.metered || record.round_trips.is_measured())
            && record.round_trips.samples() < FIRST_SAMPLES
            && Rule::Survey.stands()
        {
            due.consider(record.asked + FIRST_STEP, record.asked, Trial::Survey(id));
        }
    }

    /// When one that was last `asked` then is due.
    fn due(&self, pool: PoolId, health: &Health, asked: Time) -> Time {
        let of = self.pool(pool);
        match health.verdict() {
            Verdict::Clear | Verdict::Recovering => Time::NEVER,
            _ if of.is_clear() || !Rule::Pressed.stands() => health.trial_due(),
            // Nothing is clear: what heals first is to be found soon. What questions go over anyhow needs no
            // trial.
            _ => of.pressed.max(asked + PRESSED),
        }
    }

    /// Over which route of the pool a trial goes.
    fn route_of(&self, pool: PoolId, trial: Trial) -> Option<RouteId> {
        let of = self.pool(pool);
        match trial {
            Trial::Witness(route)
            | Trial::Route(route)
            | Trial::Survey(route)
            | Trial::Sounding(route) => Some(route),
            Trial::Path(path) => {
                let group = &self.paths[path.0 as usize];
                self.one_of(group, |id| {
                    let record = self.record(id);
                    let sick = self.upstreams[record.route.upstream.0 as usize].accused();
                    (of.has(id) && record.route.path == path && record.rank != Rank::Out)
                        .then_some(sick)
                })
            }
            Trial::Upstream(upstream) => {
                let group = &self.upstreams[upstream.0 as usize];
                self.one_of(group, |id| {
                    let record = self.record(id);
                    let jammed = self.paths[record.route.path.0 as usize].accused();
                    (of.has(id) && record.route.upstream == upstream && record.rank != Rank::Out)
                        .then_some(jammed)
                })
            }
        }
    }

    /// One of a group's routes: the next in turn until one answers well, then that one again, and
    /// between times one that was bad before, to learn whether it was the trouble all along.
    /// `member` says whether a route belongs, and if so whether something else speaks against it.
    fn one_of(&self, group: &Group, member: impl Fn(RouteId) -> Option<bool>) -> Option<RouteId> {
        let count = self.records.len() as u16;
        let from = |first: u16| (0..count).map(move |step| RouteId((first + step) % count));
        let streak = group.health.streak();
        let bears = streak.count > 0 && Rule::Bearer.stands();
        if let Some(bearer) = group.bearer.filter(|_| bears) {
            let untested = from(0).find(|&id| {
                let record = self.record(id);
                Rule::Untested.stands()
                    && member(id) == Some(false)
                    && record.health.verdict().is_bad()
                    && record.asked < streak.from
            });
            return untested.or(member(bearer).map(|_| bearer));
        }
        let turn = group.trial;
        from(turn % count)
            .find(|&id| member(id) == Some(false))
            .or_else(|| from(turn % count).find(|&id| member(id).is_some()))
    }

    /// Notes that a trial goes out, so that the next one is due later.
    fn tried(&mut self, pool: PoolId, trial: Trial, now: Time, rng: &mut impl rand::Rng) {
        let jitter = unit(rng);
        let probation = self.probation;
        let route = self.route_of(pool, trial);
        match trial {
            Trial::Witness(route) => self.witness = Some((route, now + WITNESS_STEP)),
            Trial::Sounding(route) => {
                let record = self.record_mut(route);
                let again = record.sounded > record.answered_sent;
                record.soundings = if again { record.soundings + 1 } else { 1 };
                record.sounded = now;
            }
            Trial::Route(route) => self
                .record_mut(route)
                .health
                .trying(now, &probation, jitter),
            Trial::Survey(route) => self.record_mut(route).asked = now,
            Trial::Path(path) => {
                let group = &mut self.paths[path.0 as usize];
                if let Some(route) = route.filter(|_| group.health.streak().count == 0) {
                    group.trial = route.0 + 1;
                }
                group.health.trying(now, &probation, jitter);
            }
            Trial::Upstream(upstream) => {
                let group = &mut self.upstreams[upstream.0 as usize];
                if let Some(route) = route.filter(|_| group.health.streak().count == 0) {
                    group.trial = route.0 + 1;
                }
                group.health.trying(now, &probation, jitter);
            }
        }
        let of = self.pool_mut(pool);
        if !of.is_clear() {
            let secs = 1.0 / (PRESSED_SHARE * of.budgets.ceiling_rate()).max(PRESSED_LEAST);
            of.pressed = now + Duration::from_secs_f64(secs).mul_f32(jittered(jitter));
        }
        of.next_trial = now;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::route::Race;
    use crate::route::about::About;
    use crate::route::ask::{Ask, Purpose, Send, Step};
    use crate::route::outcome::{AttemptKind, Outcome};
    use crate::route::testing::grid;

    /// Two upstreams over two paths, and questions answered over whatever they go until one is lost.
    struct World {
        engine: Engine,
        rng: StdRng,
        now: Time,
    }

    impl World {
        fn new(policy: Policy) -> World {
            let mut config = grid(2, &["eth1", "eth2"]);
            config.routing.policy = policy;
            World {
                engine: Engine::new(&config, Time::START),
                rng: StdRng::seed_from_u64(1),
                now: Time::START,
            }
        }

        fn ask_after(&mut self, millis: u64) -> (Race, Step) {
            self.now = self.now + Duration::from_millis(millis);
            for route in self.engine.tick(self.now, &mut self.rng).probes {
                let (mut race, step) = self.ask(Purpose::Probe(route));
                self.answer(&mut race, step.send.expect("a probe"));
            }
            self.ask(Purpose::Client)
        }

        fn ask(&mut self, purpose: Purpose) -> (Race, Step) {
            let ask = Ask {
                purpose,
                about: About::PLAIN,
                deadline: self.now + Duration::from_secs(4),
                again: false,
                light: false,
                pool: PoolId::MAIN,
            };
            Race::start(&mut self.engine, &ask, self.now, &mut self.rng).expect("a route")
        }

        fn answer(&mut self, race: &mut Race, send: Send) {
            self.now = self.now + Duration::from_millis(2);
            let (id, outcome, now) = (send.attempt, Outcome::Answered, self.now);
            race.outcome(&mut self.engine, id, outcome, now, now, &mut self.rng);
        }

        /// Loses questions after many that were answered, until that is remarked on; returns the route that they were
        /// lost over.
        fn lose_some(&mut self) -> RouteId {
            for _ in 0..40 {
                let (mut race, step) = self.ask_after(200);
                for send in [step.send, step.also].into_iter().flatten() {
                    self.answer(&mut race, send);
                }
            }
            let mut lost = RouteId(0);
            while self.engine.witness.is_none() {
                // A single one says nothing. Once the first is known for lost its route is passed over for a second.
                let (mut race, step) = self.ask_after(1200);
                lost = step.send.expect("sent").route;
                for _ in 0..200 {
                    if self.engine.witness.is_some() {
                        break;
                    }
                    self.now = self.now + Duration::from_millis(1);
                    let step = race.timer(&mut self.engine, self.now, &mut self.rng);
                    if let Some(send) = step.send {
                        self.answer(&mut race, send);
                    }
                }
            }
            lost
        }
    }

    #[test]
    fn a_route_that_one_name_hangs_on_is_sounded_and_found_silent() {
        let mut config = grid(1, &["eth1"]);
        config.routing.policy = Policy::Fastest;
        let mut world = World {
            engine: Engine::new(&config, Time::START),
            rng: StdRng::seed_from_u64(1),
            now: Time::START,
        };
        for _ in 0..20 {
            let (mut race, step) = world.ask_after(200);
            for send in [step.send, step.also].into_iter().flatten() {
                world.answer(&mut race, send);
            }
        }
        // From here on nothing is answered, and one question only is asked.
        let ask = Ask {
            purpose: Purpose::Client,
            about: About {
                name: 1,
                ..About::PLAIN
            },
            deadline: world.now + Duration::from_secs(4),
            again: false,
            light: false,
            pool: PoolId::MAIN,
        };
        let started = Race::start(&mut world.engine, &ask, world.now, &mut world.rng);
        let race = started.expect("a route").0;
        let (begun, mut races, mut soundings) = (world.now, vec![race], 0);
        while world.engine.record(RouteId(0)).health.verdict() == Verdict::Clear {
            assert!(world.now.since(begun) < Duration::from_secs(5), "unnoticed");
            world.now = world.now + Duration::from_millis(10);
            for route in world.engine.tick(world.now, &mut world.rng).probes {
                let ask = Ask {
                    purpose: Purpose::Probe(route),
                    about: About::PLAIN,
                    deadline: world.now + Duration::from_secs(4),
                    again: false,
                    light: false,
                    pool: PoolId::MAIN,
                };
                let started = Race::start(&mut world.engine, &ask, world.now, &mut world.rng);
                races.push(started.expect("a probe").0);
                soundings += 1;
            }
            for race in &mut races {
                race.timer(&mut world.engine, world.now, &mut world.rng);
            }
        }
        assert!((2..=8).contains(&soundings), "{soundings} soundings");
    }

    #[test]
    fn the_next_question_is_the_witness_unless_the_operator_says_who_is_asked() {
        for policy in [Policy::Fastest, Policy::Ordered] {
            let mut world = World::new(policy);
            let lost = world.lose_some();
            let (witness, _) = world.engine.witness.expect("one is wanted");
            let of = |id| world.engine.record(id).route.clone();
            assert_eq!(of(witness).upstream, of(lost).upstream);
            assert_ne!(of(witness).path, of(lost).path);
            let (_, step) = world.ask_after(20);
            let send = step.send.expect("sent");
            assert_eq!(send.kind, AttemptKind::Primary);
            let duplicate = step.also.map(|also| (also.route, also.kind));
            let testifies = (witness, AttemptKind::Probe);
            match policy {
                Policy::Fastest => assert_eq!((send.route, duplicate), (witness, None)),
                _ => {
                    assert_ne!(send.route, witness);
                    assert_eq!(duplicate, Some(testifies));
                }
            }
        }
    }
}
