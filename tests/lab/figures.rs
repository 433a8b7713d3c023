//! From what was seen to the figures of a row.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::client::Question;
use crate::fault::Culprit;
use crate::names::Name;
use crate::run::Run;
use crate::topology::Way;

/// The figures of one row. Unless said otherwise they are about the questions asked during the fault.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Questions.
    pub asked: usize,
    /// Without a useful answer.
    pub failed: usize,
    /// Usefully answered, later than 50 ms.
    pub over_50: usize,
    /// Usefully answered, later than 250 ms.
    pub over_250: usize,
    /// The latest useful answer.
    pub worst: Duration,
    /// Half of the useful answers came by then.
    pub p50: Duration,
    /// 99 % did.
    pub p99: Duration,
    /// Questions for popular names without a useful answer.
    pub known_failed: usize,
    /// 99 % of the useful answers for popular names came by then.
    pub known_p99: Duration,
    /// Share of the questions for new names without a useful answer.
    pub new_failed: f64,
    /// Packets sent upstream, probes, refreshes and all, for each question that needed one: that a cache
    /// in health would have had to ask, once, when the last answer's TTL was over.
    pub x: f64,
    /// The culprit's share of the packets from one second into the fault.
    pub share: f64,
    /// The same in health.
    pub share_in_health: f64,
    /// From the fault until the culprit had been left: under 10 % for a second.
    pub left: Option<Duration>,
    /// From healing until the culprit was used again: half of its share in health for a second.
    pub back: Option<Duration>,
    /// From healing until the last question that failed or took longer than 50 ms was asked.
    pub clean: Duration,
    /// Changes of verdicts during the fault.
    pub changes: usize,
    /// Times that a path was taken into use again during the fault.
    pub returns: usize,
    /// The latest that a question was asked after its time: how far the machine kept up.
    pub lag: Duration,
    /// What the cache did.
    pub cache: CacheFigures,
    /// Who was found guilty of what, in the daemon's words.
    pub blamed: Vec<String>,
    /// Lines that the daemon wrote to its log during the fault.
    pub lines: usize,
    /// Of names that fail. All other figures are about the others.
    pub failing: FailingFigures,
}

/// What names that fail cost.
#[derive(Clone, Copy, Debug)]
pub struct FailingFigures {
    /// Questions for them.
    pub asked: usize,
    /// Packets that reached a server for each.
    pub each: f64,
}

/// What clients got while upstreams gave little: about the questions asked during the fault, as above.
#[derive(Clone, Debug)]
pub struct CacheFigures {
    /// Stale answers.
    pub stale: usize,
    /// Questions without any answer in a stub's patience.
    pub silent: usize,
    /// How long errors took: half of them, 99 %, all. Those of the fault's first [`UNKNOWN`] are not counted:
    /// what has just broken nobody knows of yet.
    pub errors: [Duration; 3],
    /// Errors by Extended DNS Error (0 for none).
    pub reasons: Vec<(u16, usize)>,
    /// Packets sent upstream a second, of those in health.
    pub of_health: f64,
    /// Answers from upstream a second that were of use.
    pub used: f64,
    /// Share of the questions for popular names that were answered from the cache, fresh and at once.
    pub hits: f64,
    /// How much more memory the daemon held at the end of the fault than at its beginning, in MiB.
    pub grown: f64,
    /// From healing until the last question was asked that got a stale answer.
    pub fresh: Duration,
}

/// How long a fault may be there without anybody's knowing.
pub const UNKNOWN: Duration = Duration::from_secs(2);

/// How much of the warm-up, from its end, counts as health.
const HEALTH: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_millis(50);
const VERY_SLOW: Duration = Duration::from_millis(250);

impl Figures {
    /// Of a run.
    pub fn of(run: &Run, culprit: Culprit) -> Figures {
        let (failing, questions): (Vec<&Question>, Vec<&Question>) = run
            .seen
            .questions
            .iter()
            .filter(|it| during(run, it.at))
            .partition(|it| matches!(it.name, Name::Failing(_)));
        let useful = |known: bool| -> Vec<Duration> {
            let mut took: Vec<_> = questions
                .iter()
                .filter(|it| it.useful && (!known || matches!(it.name, Name::Popular(_))))
                .filter_map(|it| it.took)
                .collect();
            took.sort();
            took
        };
        let all = useful(false);
        let failed = |it: &&&Question| !it.useful;
        let new: Vec<_> = questions
            .iter()
            .filter(|it| matches!(it.name, Name::New(_)))
            .collect();
        let new_failed = new.iter().filter(|it| !it.useful).count();
        let failures = questions.iter().filter(failed).count();

        let flow = Flow { run, culprit };
        let packets = flow.packets(run.broken, run.healed);
        let health = (run.broken - HEALTH, run.broken);
        let changes: Vec<_> = changes(run).collect();
        let trouble = |it: &&Question| {
            it.at >= run.healed
                && it.at < run.end
                && (!it.useful || it.took.is_none_or(|it| it > SLOW))
                && !matches!(it.name, Name::Failing(_))
        };
        Figures {
            asked: questions.len(),
            failed: failures,
            over_50: all.iter().filter(|&&it| it > SLOW).count(),
            over_250: all.iter().filter(|&&it| it > VERY_SLOW).count(),
            worst: all.last().copied().unwrap_or_default(),
            p50: quantile(&all, 0.5),
            p99: quantile(&all, 0.99),
            known_failed: failures - new_failed,
            known_p99: quantile(&useful(true), 0.99),
            new_failed: new_failed as f64 / new.len().max(1) as f64,
            x: packets / (new.len() + failing.len() + known_due(run)).max(1) as f64,
            share: flow.share(run.broken + Duration::from_secs(1), run.healed),
            share_in_health: flow.share(health.0, health.1),
            left: flow.left(),
            back: flow.back(),
            clean: run
                .seen
                .questions
                .iter()
                .filter(trouble)
                .map(|it| it.at - run.healed)
                .max()
                .unwrap_or_default(),
            changes: changes
                .iter()
                .filter(|it| during(run, it.at) && it.to != IN_USE)
                .count(),
            returns: changes
                .iter()
                .filter(|it| during(run, it.at) && it.to == IN_USE)
                .count(),
            cache: CacheFigures::of(run, &questions, packets, flow.packets(health.0, health.1)),
            lag: questions.iter().map(|it| it.lag).max().unwrap_or_default(),
            blamed: blamed(&changes, run),
            lines: run
                .log
                .iter()
                .filter(|it| during(run, it.at) && !it.text.contains("DEBUG"))
                .count(),
            failing: FailingFigures::of(run, failing.len()),
        }
    }
}

impl FailingFigures {
    fn of(run: &Run, asked: usize) -> FailingFigures {
        let arrivals = run.arrivals.iter();
        let packets = arrivals.filter(|it| it.failing && during(run, it.at));
        FailingFigures {
            asked,
            each: packets.count() as f64 / asked.max(1) as f64,
        }
    }
}

impl CacheFigures {
    fn of(run: &Run, questions: &[&Question], packets: f64, health: f64) -> CacheFigures {
        let secs = (run.healed - run.broken).as_secs_f64();
        let errors = |from: Instant| {
            let errors = questions
                .iter()
                .filter(move |it| it.at >= from && !it.useful);
            errors.filter_map(|it| Some((it.took?, it.ede)))
        };
        let mut took: Vec<_> = errors(run.broken + UNKNOWN).map(|it| it.0).collect();
        took.sort();
        let mut reasons: BTreeMap<u16, usize> = BTreeMap::new();
        for (_, ede) in errors(run.broken) {
            *reasons.entry(ede).or_default() += 1;
        }
        let new = questions
            .iter()
            .filter(|it| matches!(it.name, Name::New(_)));
        let (new, all) = (new.count() as f64, questions.len() as f64);
        let later = run.seen.questions.iter();
        let stale = later.filter(|it| it.at >= run.healed && it.at < run.end && it.is_stale());
        CacheFigures {
            stale: questions.iter().filter(|it| it.is_stale()).count(),
            silent: questions.iter().filter(|it| it.took.is_none()).count(),
            errors: [0.5, 0.99, 1.0].map(|share| quantile(&took, share)),
            reasons: reasons.into_iter().collect(),
            of_health: packets / secs / (health / HEALTH.as_secs_f64()),
            used: run.during("byway_attempts_total", "outcome=\"answered\"") / secs,
            hits: run.during("byway_cache_lookups_total", "result=\"hit\"") / (all - new),
            grown: run.during("process_resident_memory_bytes", "") / f64::from(1 << 20),
            fresh: stale.map(|it| it.at - run.healed).max().unwrap_or_default(),
        }
    }
}

/// How many of the questions for popular names during the fault a cache in health has to ask.
fn known_due(run: &Run) -> usize {
    let mut until: HashMap<Name, Instant> = HashMap::new();
    let mut due = 0;
    for question in &run.seen.questions {
        if !matches!(question.name, Name::Popular(_))
            || until
                .get(&question.name)
                .is_some_and(|&it| question.at < it)
        {
            continue;
        }
        let ttl = Duration::from_secs(question.name.ttl().into());
        until.insert(question.name, question.at + ttl);
        due += usize::from(during(run, question.at));
    }
    due
}

fn during(run: &Run, at: Instant) -> bool {
    at >= run.broken && at < run.healed
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Packets over time.
struct Flow<'r> {
    run: &'r Run,
    culprit: Culprit,
}

impl Flow<'_> {
    /// Packets that left the host in that time.
    fn packets(&self, from: Instant, to: Instant) -> f64 {
        let [a, b] = sent_between(self.run, from, to);
        (a + b) as f64
    }

    /// The culprit's share of them; without any packet 0.
    fn share(&self, from: Instant, to: Instant) -> f64 {
        let (part, all) = match self.culprit {
            // What never arrives counts too, so a server's share is of what arrived, a path's of what was sent.
            Culprit::Server => {
                let all = self
                    .run
                    .arrivals
                    .iter()
                    .filter(|it| it.at >= from && it.at < to);
                let part = all.clone().filter(|it| it.server == 0).count();
                (part as u64, all.count() as u64)
            }
            Culprit::Path | Culprit::Nobody | Culprit::Network => {
                let [a, b] = sent_between(self.run, from, to);
                (a, a + b)
            }
        };
        part as f64 / all.max(1) as f64
    }

    fn first(&self, from: Instant, to: Instant, is: impl Fn(f64) -> bool) -> Option<Duration> {
        let second = Duration::from_secs(1);
        let step = Duration::from_millis(50);
        let mut at = from;
        while at + second <= to {
            if is(self.share(at, at + second)) {
                return Some(at - from);
            }
            at += step;
        }
        None
    }

    fn left(&self) -> Option<Duration> {
        self.first(self.run.broken, self.run.healed, |it| it <= 0.1)
    }

    fn back(&self) -> Option<Duration> {
        let half = self.share(self.run.broken - HEALTH, self.run.broken) / 2.0;
        self.first(self.run.healed, self.run.end, |it| it >= half)
    }
}

/// Packets sent over each way in that time.
pub fn sent_between(run: &Run, from: Instant, to: Instant) -> [u64; 2] {
    let at = |when: Instant| {
        let after = run.seen.sent.partition_point(|it| it.at <= when);
        run.seen.sent[after.saturating_sub(1)].packets
    };
    let (before, after) = (at(from), at(to));
    [Way::A, Way::B].map(|way| after[way as usize] - before[way as usize])
}

/// A change of mind, as the daemon's log tells it.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// `path a`, `route dc1@a`, `upstream dc1`.
    pub subject: String,
    /// The verdict, or [`IN_USE`].
    pub to: String,
}

/// What a path becomes that carries traffic again.
pub const IN_USE: &str = "in use";

/// The changes of mind in the log.
pub fn changes(run: &Run) -> impl Iterator<Item = Change> {
    run.log.iter().filter_map(|line| {
        let words: Vec<_> = line.text.split_whitespace().collect();
        let kind = words
            .iter()
            .position(|it| ["path", "route", "upstream"].contains(it))?;
        let subject = format!("{} {}", words[kind], words.get(kind + 1)?);
        let to = match words.get(kind + 2..kind + 5)? {
            [_, "->", to] => to.trim_end_matches(':').to_owned(),
            ["in", "use", "again"] => IN_USE.to_owned(),
            _ => return None,
        };
        Some(Change {
            at: line.at,
            subject,
            to,
        })
    })
}

/// The paths and upstreams that were found guilty during the fault, and of what.
fn blamed(changes: &[Change], run: &Run) -> Vec<String> {
    let mut blamed = Vec::new();
    for change in changes.iter().filter(|it| during(run, it.at)) {
        let guilty = ["congested", "sick", "dead"].contains(&change.to.as_str());
        let words = format!("{} {}", change.subject, change.to);
        if guilty && !change.subject.starts_with("route") && !blamed.contains(&words) {
            blamed.push(words);
        }
    }
    blamed
}
