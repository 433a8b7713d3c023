//! Everything that is decided about the questions for one name, for whoever asks to see it.
//!
//! While nobody does it costs a question one relaxed load. A trace has an end in time, lines and octets, is dropped
//! when its reader stays away, and takes so many lines a second and no more: what exceeds that is counted and costs
//! no lock, so a flood of the very name that is looked at does no harm.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::cell::Apart;
use crate::clock::Time;
use crate::wire::RecordType;

/// Traces at once.
pub const TRACES: usize = 4;
/// The longest that a trace may go on.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Lines that a trace holds for its reader; older ones go first.
const LINES: usize = 2_000;
/// Lines a second, all traces together, and how many at once.
const RATE: u64 = 200;
const BURST: u64 = 1_000;
/// The longest line, in characters.
const OCTETS: usize = 1_000;
/// A trace that nobody has looked at for that long is dropped.
const ABANDONED: Duration = Duration::from_secs(10);

/// One thing that was decided, or happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the trace, from 1.
    pub number: u64,
    /// When.
    pub at: Time,
    /// The worker that decided.
    pub worker: u16,
    /// Which of the worker's questions upstream it is about, if one was made.
    pub question: Option<u32>,
    /// What was asked: name and type.
    pub asked: String,
    /// What happened, in words.
    pub text: String,
}

/// What a reader gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines that are new, oldest first. A gap in their numbers: older ones were dropped.
    pub lines: Vec<Line>,
    /// Lines left out so far, because there were too many a second.
    pub left_out: u64,
    /// No more will come.
    pub over: bool,
}

/// As many traces as there may be are going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TRACES} traces are going on, and there may be no more; wait until one is over")]
pub struct TooMany;

/// The traces that are going on. Shared by all workers and whoever reads.
#[derive(Debug, Default)]
pub struct Tracer {
    /// A bit for the name of each trace; none while there is none.
    names: Apart<AtomicU64>,
    /// Until when lines have been paid for, in nanoseconds.
    paid: AtomicU64,
    left_out: AtomicU64,
    traces: Mutex<Traces>,
}

#[derive(Debug, Default)]
struct Traces {
    all: Vec<Trace>,
    started: u64,
}

#[derive(Debug)]
struct Trace {
    id: u64,
    /// Lower-cased, in wire form.
    name: Box<[u8]>,
    record_type: Option<RecordType>,
    until: Time,
    /// When its reader last looked.
    looked: Time,
    lines: Vec<Line>,
    told: u64,
    /// Of all lines left out, when it began.
    left_out_before: u64,
}

impl Tracer {
    /// Whether a question for `name`, in lower case, may be looked at by somebody. Some other names have the same
    /// bit: [`Tracer::tell`] looks closer.
    #[inline]
    pub fn wants(&self, name: &[u8]) -> bool {
        let names = self.names.0.load(Relaxed);
        names != 0 && names & bit(name) != 0
    }

    /// Tells what happened about a question for `name`, in lower case, and `record_type`. `text` is only made if
    /// somebody wants it.
    #[cold]
    pub fn tell(
        &self,
        name: &[u8],
        record_type: RecordType,
        now: Time,
        line: impl FnOnce() -> Line,
    ) {
        if !self.pay(now) {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let mut traces = self.lock();
        let wanted = |trace: &&mut Trace| {
            let type_fits = trace.record_type.is_none_or(|it| it == record_type);
            type_fits && *trace.name == *name && now < trace.until
        };
        let mut wanted = traces.all.iter_mut().filter(wanted).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let mut line = line();
        if line.text.len() > OCTETS {
            line.text = line.text.chars().take(OCTETS).chain(['…']).collect();
        }
        for trace in wanted {
            trace.told += 1;
            line.number = trace.told;
            if trace.lines.len() >= LINES {
                trace.lines.remove(0);
            }
            trace.lines.push(line.clone());
        }
    }

    /// Begins to look at questions for `name`, in wire form, of one type or all, for `span`, [`LONGEST`] at most.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn start(
        &self,
        name: &[u8],
        record_type: Option<RecordType>,
        span: Duration,
        now: Time,
    ) -> Result<u64, TooMany> {
        let mut traces = self.lock();
        self.tidy_up(&mut traces, now);
        if traces.all.len() >= TRACES {
            return Err(TooMany);
        }
        traces.started += 1;
        let id = traces.started;
        traces.all.push(Trace {
            id,
            name: name.to_ascii_lowercase().into(),
            record_type,
            until: now + span.min(LONGEST),
            looked: now,
            lines: Vec::new(),
            told: 0,
            left_out_before: self.left_out.load(Relaxed),
        });
        self.note_names(&traces, now);
        Ok(id)
    }

    /// What is new in a trace, and does not keep it; `None` if there is no such trace any more.
    pub fn take(&self, id: u64, now: Time) -> Option<Lines> {
        let mut traces = self.lock();
        let trace = traces.all.iter_mut().find(|trace| trace.id == id)?;
        trace.looked = now;
        let taken = Lines {
            lines: std::mem::take(&mut trace.lines),
            left_out: self.left_out.load(Relaxed) - trace.left_out_before,
            over: now >= trace.until,
        };
        self.tidy_up(&mut traces, now);
        Some(taken)
    }

    /// Drops what is over or abandoned. To be called about once a second.
    pub fn tidy(&self, now: Time) {
        if self.names.0.load(Relaxed) != 0 {
            self.tidy_up(&mut self.lock(), now);
        }
    }

    /// Traces that are going on, or wait for their reader to take what is left.
    pub fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tidy_up(&self, traces: &mut Traces, now: Time) {
        traces.all.retain(|trace| {
            let told_all =
                now >= trace.until && trace.lines.is_empty() && trace.looked >= trace.until;
            !told_all && now.since(trace.looked) < ABANDONED
        });
        self.note_names(traces, now);
    }

    fn note_names(&self, traces: &Traces, now: Time) {
        let going_on = traces.all.iter().filter(|trace| now < trace.until);
        let names = going_on.fold(0, |names, trace| names | bit(&trace.name));
        self.names.0.store(names, Relaxed);
    }

    /// A token bucket kept as a time (the generic cell rate algorithm), so that it needs no lock.
    fn pay(&self, now: Time) -> bool {
        const EACH: u64 = 1_000_000_000 / RATE;
        let next = |paid: u64| {
            let paid = paid.max(now.nanos().saturating_sub(BURST * EACH));
            (paid + EACH <= now.nanos()).then_some(paid + EACH)
        };
        self.paid.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bit(name: &[u8]) -> u64 {
    1 << (FixedState::default().hash_one(name) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03www\x07example\x00";

    fn at(secs: u64) -> Time {
        Time::from_secs(10_000 + secs)
    }

    fn tell(tracer: &Tracer, name: &[u8], record_type: RecordType, now: Time) {
        if tracer.wants(name) {
            tracer.tell(name, record_type, now, || Line {
                number: 0,
                at: now,
                worker: 0,
                question: Some(1),
                asked: "www.example. A".into(),
                text: "something".into(),
            });
        }
    }

    #[test]
    fn only_the_name_and_type_that_are_wanted_are_told_and_only_for_so_long() {
        let tracer = Tracer::default();
        tell(&tracer, NAME, RecordType::A, at(0));
        let id = tracer.start(
            b"\x03WWW\x07example\x00",
            Some(RecordType::A),
            Duration::from_secs(5),
            at(0),
        );
        let id = id.expect("the first");
        for (name, record_type) in [
            (NAME, RecordType::A),
            (NAME, RecordType::AAAA),
            (b"\x03ftp\x07example\x00", RecordType::A),
        ] {
            tell(&tracer, name, record_type, at(1));
        }
        let taken = tracer.take(id, at(2)).expect("it goes on");
        assert_eq!((taken.lines.len(), taken.over), (1, false));
        assert_eq!(taken.lines[0].number, 1);
        tell(&tracer, NAME, RecordType::A, at(4));
        tell(&tracer, NAME, RecordType::A, at(5));
        let taken = tracer.take(id, at(6)).expect("its end");
        assert_eq!((taken.lines.len(), taken.over), (1, true));
        assert_eq!(tracer.take(id, at(6)), None);
        assert!(!tracer.wants(NAME) && tracer.is_empty());
    }

    #[test]
    fn a_trace_that_nobody_reads_is_dropped_and_there_are_only_so_many() {
        let tracer = Tracer::default();
        for _ in 0..TRACES {
            tracer.start(NAME, None, LONGEST, at(0)).expect("room");
        }
        assert_eq!(tracer.start(NAME, None, LONGEST, at(1)), Err(TooMany));
        tracer.tidy(at(9));
        assert_eq!(tracer.len(), TRACES);
        tracer.tidy(at(10));
        assert!(tracer.is_empty() && !tracer.wants(NAME));
        let id = tracer
            .start(NAME, None, Duration::MAX, at(11))
            .expect("room");
        let mut now = 11;
        while let Some(taken) = tracer.take(id, at(now)) {
            assert_eq!(taken.over, now >= 611, "ten minutes at most");
            now += 5;
        }
        assert_eq!(now, 616);
    }

    #[test]
    fn a_flood_of_the_name_is_counted_and_does_not_fill_memory() {
        let tracer = Tracer::default();
        let id = tracer.start(NAME, None, LONGEST, at(0)).expect("room");
        for _ in 0..100_000 {
            tell(&tracer, NAME, RecordType::A, at(1));
        }
        let taken = tracer.take(id, at(1)).expect("it goes on");
        assert_eq!(taken.lines.len() as u64, BURST);
        assert_eq!(taken.left_out, 100_000 - BURST);
        // A reader that looks seldom gets the latest.
        for secs in 2..22 {
            for _ in 0..RATE {
                tell(&tracer, NAME, RecordType::A, at(secs));
            }
            let mut traces = tracer.lock();
            traces.all[0].looked = at(secs);
        }
        let taken = tracer.take(id, at(22)).expect("it goes on");
        assert_eq!(taken.lines.len(), LINES);
        assert!(taken.lines[0].number > BURST + 1);
    }
}
