//! What must hold in every storm, judged by what the network and the clients saw, not by what the subject
//! believes. For each there is a foil that it must catch ([`super::foils`]).

use std::collections::HashMap;
use std::time::Duration;

use byway::clock::Time;
use byway::config::{Policy, Routing};
use byway::resolve::timers::TICK;
use byway::route::{Event, Subject as Named, Verdict};

use byway::route::constants::spend::budget::*;

use super::clients::Record;
use super::storms::{AFTER, CALM, DRAIN, Storm, TROUBLE, What};
use super::subject::Subject;
use super::world::World;

/// A check: what it found wrong, if anything.
pub type Check<S> = fn(&World<S>, &Storm) -> Result<(), String>;

/// How long a full queue takes to drain.
const DRAINS: Duration = Duration::from_millis(1500);

/// All of them, by name.
pub fn all<S: Subject>() -> [(&'static str, Check<S>); 7] {
    [
        ("every question gets one answer in time", one_answer),
        ("no budget is exceeded in any window", budgets),
        (
            "no clear route is unused while questions fail",
            nothing_clear_unused,
        ),
        ("what healed carries traffic again", returns),
        ("nothing is left over", nothing_left),
        ("verdicts do not oscillate", steady_verdicts),
        ("each change told follows from the one before", unbroken),
    ]
}

/// Exactly one answer to each question, by its deadline. A stub that asks twice was not answered in time.
pub fn one_answer<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    let deadline = storm.config().routing.deadline;
    for (query, record) in world.records.iter().enumerate() {
        let took = record.answered.map(|at| at.since(record.asked));
        let in_time = took.is_some_and(|took| took <= deadline + TICK);
        if record.answers != 1 || record.tries != 1 || !in_time {
            return Err(format!("question {query}: {record:?}, took {took:?}"));
        }
    }
    Ok(())
}

/// While some way is clear, extras are a share of primaries and a burst, in any window. While none is, all
/// packets together stay under the ceiling over health's rate; and after that either will do for as long as a
/// question may take that was asked meanwhile.
pub fn budgets<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    let Routing {
        extra_share,
        ceiling,
        ..
    } = storm.config().routing;
    let window = Duration::from_secs(5);
    let secs = window.as_secs_f64();
    let health = packets(world, CALM / 2, CALM).count() as f64 / (CALM / 2).as_secs_f64();
    // Health's rate is known from few packets where questions are few.
    let known = health + 2.0 * (health / 20.0).sqrt();
    let rate = (ceiling * known).max(CEILING_WAKES);
    let at_once = (CEILING_BURST_SECS * ceiling * known).max(CEILING_BURST_MIN);
    let ceiling = rate * secs * 1.05 + at_once + PROBES_BURST + RETURNS_BURST;
    let some_clear = |from: Duration, until: Duration| {
        let lead = from.saturating_sub(Duration::from_secs(2));
        ways(storm).any(|(path, upstream)| untouched(storm, path, upstream, lead, until))
    };
    let step = Duration::from_millis(500);
    let end = CALM + TROUBLE + AFTER;
    let mut from = CALM;
    while from + window <= end {
        let until = from + window;
        let (mut primaries, mut extras) = (0u32, 0u32);
        for packet in packets(world, from, until) {
            *if packet.kind.is_extra() {
                &mut extras
            } else {
                &mut primaries
            } += 1;
        }
        let sent = primaries + extras;
        let under_ceiling = f64::from(sent) <= ceiling;
        let hanging = (0..=9).any(|steps| {
            let then = from.saturating_sub(steps * step);
            !some_clear(then, then)
        });
        if some_clear(from, until) && !(hanging && under_ceiling) {
            // The steady purse and the burst; and a moment under the ceiling before the clear way is known.
            let purse = (extra_share * STEADY_WINDOW_SECS * health).max(STEADY_MIN);
            let burst = (BURST_SECS * health).max(BURST_MIN) * (1.0 + secs / BURST_REFILL_SECS);
            let unknown = 0.3 * health * 2.0;
            // What a return waits for, and idle routes.
            let returns = RETURNS_BURST + RETURNS_RATE * secs;
            let idle = PROBES_BURST + IDLE * (storm.upstreams * storm.paths) as f64 * secs;
            let own = extra_share * f64::from(primaries);
            let allowed = own + purse + burst + unknown + returns + idle;
            if f64::from(extras) > allowed {
                return Err(format!(
                    "from {from:?}: {extras} extras, {allowed:.0} allowed, {primaries} primaries"
                ));
            }
        }
        let lead = from.saturating_sub(Duration::from_secs(2));
        let all_useless =
            ways(storm).all(|(path, upstream)| useless(storm, path, upstream, lead, until));
        if all_useless && !under_ceiling {
            return Err(format!(
                "from {from:?}: {sent} packets, {ceiling:.0} allowed, health {health:.1}/s"
            ));
        }
        from += step;
    }
    Ok(())
}

/// A question fails only if every way to an answer was in trouble while it was asked, or just before: so
/// lately that, with another way clear meanwhile, there was no need yet to know that it had healed.
pub fn nothing_clear_unused<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    let Routing {
        deadline,
        return_within,
        ..
    } = storm.config().routing;
    let failed = |record: &&Record| !record.good && !record.may_fail;
    for record in world.records.iter().filter(failed) {
        let asked = record.asked.since(world.start);
        let from = asked.saturating_sub(Duration::from_secs(3));
        let long_ago = asked.saturating_sub(return_within);
        let well = |&(path, upstream): &(usize, usize)| {
            let other = ways(storm)
                .any(|(p, u)| (p, u) != (path, upstream) && untouched(storm, p, u, long_ago, from));
            let since = if other { long_ago } else { from };
            untouched(storm, path, upstream, since, asked + deadline)
        };
        let way = ways(storm).find(well);
        if let Some((path, upstream)) = way {
            return Err(format!(
                "at {asked:?} failed with dc{}@{path} clear: {record:?}",
                upstream + 1
            ));
        }
    }
    Ok(())
}

/// After the last fault the nearest path, or each in its turn, carries clients' questions again within
/// `return-within`, and nothing is held against a path or an upstream at the end. A full queue takes
/// a second and a half to drain.
pub fn returns<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    let held: Vec<String> = standing(world)
        .into_iter()
        .filter(|(subject, verdict)| !matches!(subject, Named::Route(_)) && !verdict.is_clear())
        .map(|(subject, verdict)| format!("{subject} {verdict}"))
        .collect();
    if !held.is_empty() {
        return Err(format!("at the end: {held:?}"));
    }
    if storm.load.rate < 10.0 {
        // So few questions that which path carries one of them is chance.
        return Ok(());
    }
    let back = storm.healed() + DRAINS + storm.config().routing.return_within;
    let own = |path: usize| {
        packets(world, back, CALM + TROUBLE + AFTER)
            .filter(|packet| !packet.kind.is_extra() && packet.path as usize == path)
            .count()
    };
    let carried: Vec<usize> = (0..storm.paths).map(own).collect();
    let all: usize = carried.iter().sum();
    let fine = match storm.policy {
        Policy::Fastest | Policy::Ordered => carried[0] * 10 >= all * 9,
        Policy::Spread => carried
            .iter()
            .all(|&packets| packets * storm.paths * 2 >= all),
    };
    if fine {
        Ok(())
    } else {
        Err(format!("after {back:?} by path: {carried:?}"))
    }
}

/// Once nobody asks any more, nothing is in hand but what was sent so lately that its answer may still come:
/// idle routes are measured now and then. Each such packet is in hand three times: the question, its tag and
/// the engine's attempt.
pub fn nothing_left<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    let end = CALM + TROUBLE + AFTER + DRAIN;
    let deadline = storm.config().routing.deadline;
    let open = packets(world, end - deadline, end + Duration::from_millis(1))
        .filter(|packet| !packet.came_back)
        .count();
    match world.subject.in_hand() {
        left if left <= 3 * open => Ok(()),
        left => Err(format!(
            "{left} in hand, {open} of it sent lately, {DRAIN:?} after the last question"
        )),
    }
}

/// A path's or an upstream's verdict changes a few times for each thing that goes wrong, not again and
/// again.
pub fn steady_verdicts<S: Subject>(world: &World<S>, storm: &Storm) -> Result<(), String> {
    // Down by steps and up again, twice: the second time because a return was tried too early.
    const MOST: usize = 10;
    const EACH_FURTHER: usize = 4;
    let window = Duration::from_secs(10);
    // What goes wrong or heals within ten seconds of each other, at most.
    let edges = || storm.faults.iter().flat_map(|it| [it.from, it.until]);
    let within = |from: Duration| {
        edges()
            .filter(|&at| at >= from && at < from + window)
            .count()
    };
    let busiest = edges().map(within).max().unwrap_or_default();
    let most = MOST + EACH_FURTHER * busiest.saturating_sub(3);
    let mut changes: HashMap<&Named, Vec<Time>> = HashMap::new();
    for (at, event) in world.subject.events() {
        if let Event::Verdict { subject, .. } = event
            && !matches!(subject, Named::Route(_))
        {
            changes.entry(subject).or_default().push(*at);
        }
    }
    for (subject, times) in changes {
        if let Some(run) = times
            .windows(most + 1)
            .find(|run| run[most].since(run[0]) < window)
        {
            let from = run[0].since(world.start);
            return Err(format!(
                "{subject} changed more than {most} times in {window:?} from {from:?}"
            ));
        }
    }
    Ok(())
}

/// Whoever reads what was told knows how everything stands: what a verdict changed from is what it was told
/// to have changed to before.
pub fn unbroken<S: Subject>(world: &World<S>, _: &Storm) -> Result<(), String> {
    let mut last = HashMap::new();
    for (at, event) in world.subject.events() {
        if let Event::Verdict {
            subject, from, to, ..
        } = event
        {
            let before = last.insert(subject, *to).unwrap_or(Verdict::Clear);
            if before != *from {
                let at = at.since(world.start);
                return Err(format!(
                    "at {at:?} {subject} changed from {from}, it was {before}"
                ));
            }
        }
    }
    Ok(())
}

/// The last verdict told of everything that any was told of.
fn standing<S: Subject>(world: &World<S>) -> HashMap<Named, Verdict> {
    let mut last = HashMap::new();
    for (_, event) in world.subject.events() {
        if let Event::Verdict { subject, to, .. } = event {
            last.insert(subject.clone(), *to);
        }
    }
    last
}

fn packets<S>(
    world: &World<S>,
    from: Duration,
    until: Duration,
) -> impl Iterator<Item = &super::world::Packet> {
    let (from, until) = (world.start + from, world.start + until);
    let first = world.packets.partition_point(|packet| packet.at < from);
    world.packets[first..]
        .iter()
        .take_while(move |packet| packet.at < until)
}

pub fn ways(storm: &Storm) -> impl Iterator<Item = (usize, usize)> + '_ {
    (0..storm.paths).flat_map(|path| (0..storm.upstreams).map(move |upstream| (path, upstream)))
}

/// No fault touches this way at any time between the two. A swamped path drains for a while.
pub fn untouched(
    storm: &Storm,
    path: usize,
    upstream: usize,
    from: Duration,
    until: Duration,
) -> bool {
    !storm.faults.iter().any(|fault| {
        let ends = match fault.what {
            What::Swamped { .. } => fault.until + DRAINS,
            _ => fault.until,
        };
        fault.what.touches(path, upstream) && fault.from < until && from < ends
    })
}

/// Some fault makes this way all but useless all the time between the two.
fn useless(storm: &Storm, path: usize, upstream: usize, from: Duration, until: Duration) -> bool {
    storm.faults.iter().any(|fault| {
        let hard = match fault.what {
            What::Dead { .. } | What::Silent { .. } | What::Cut { .. } => true,
            What::Lossy { loss, .. } => loss > 0.4,
            What::Sick { .. } | What::Swamped { .. } | What::Longer { .. } | What::Slow { .. } => {
                false
            }
        };
        hard && fault.what.touches(path, upstream) && fault.from <= from && until <= fault.until
    })
}
