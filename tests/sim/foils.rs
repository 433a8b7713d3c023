//! Subjects with one fault each: every check must catch the one made for it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use byway::clock::Time;
use byway::route::{AttemptKind, Event, Evidence, RouteId, Subject as Named, Verdict};
use byway::wire::Rcode;

use super::subject::{Action, Name, Query, Subject, Tag};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing, as far as a healthy network shows: the control of the controls.
    None,
    /// Some answers are given twice.
    AnswersTwice,
    /// Every route is asked every time.
    AsksEveryone,
    /// The first route is asked, come what may.
    SticksToFirst,
    /// The first route is left for ever at its first loss.
    NeverReturns,
    /// What was sent is never forgotten.
    ForgetsNothing,
    /// Its verdict follows every packet.
    Dithers,
    /// Three questions that failed, of whatever name, and it does without the server for a while.
    JudgesByQuestions,
}

const PATIENCE: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_millis(4400);
/// How long it does without a server.
const SULK: Duration = Duration::from_secs(5);

/// Asks the first route; after a loss the last one.
pub struct Foil {
    flaw: Flaw,
    routes: u16,
    moved: bool,
    needed: u64,
    next: Tag,
    /// Questions that failed of late, and until when it is sure whose fault that is.
    failed: u32,
    sulks: Time,
    open: HashMap<Query, Vec<Tag>>,
    sent: HashMap<Tag, Query>,
    names: HashMap<Query, Name>,
    timers: BTreeMap<(Time, Query), bool>,
    events: Vec<(Time, Event)>,
}

impl Foil {
    pub fn new(flaw: Flaw, routes: usize) -> Foil {
        Foil {
            flaw,
            routes: routes as u16,
            moved: false,
            needed: 0,
            next: 0,
            failed: 0,
            sulks: Time::default(),
            open: HashMap::new(),
            sent: HashMap::new(),
            names: HashMap::new(),
            timers: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    fn send(&mut self, query: Query, route: u16, kind: AttemptKind, out: &mut Vec<Action>) {
        let tag = self.next;
        self.next += 1;
        self.sent.insert(tag, query);
        self.open.entry(query).or_default().push(tag);
        out.push(Action::Send {
            tag,
            route: RouteId(route),
            kind,
            name: self.names.get(&query).copied(),
        });
    }

    /// What it told of the first server.
    fn tell(&mut self, [from, to]: [Verdict; 2], now: Time) {
        let (subject, evidence) = (Named::Upstream("dc1".into()), Evidence::default());
        self.events.push((
            now,
            Event::Verdict {
                subject,
                from,
                to,
                evidence,
            },
        ));
    }

    /// Answers without asking, if it still believes what it believes.
    fn sulk(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>) -> bool {
        if self.flaw != Flaw::JudgesByQuestions {
            return false;
        }
        if self.failed >= 3 {
            self.failed = 0;
            self.sulks = now + SULK;
            self.tell([Verdict::Clear, Verdict::Dead], now);
        } else if self.sulks != Time::default() && now >= self.sulks {
            self.sulks = Time::default();
            self.tell([Verdict::Dead, Verdict::Clear], now);
        }
        let sulks = now < self.sulks;
        if sulks {
            let stale = matches!(name, Name::Popular(_));
            out.push(Action::Answer {
                query,
                good: stale,
                stale,
            });
        }
        sulks
    }

    fn answer(&mut self, query: Query, good: bool, out: &mut Vec<Action>) {
        let Some(tags) = self.open.remove(&query) else {
            return;
        };
        self.failed += u32::from(!good);
        let answer = Action::Answer {
            query,
            good,
            stale: false,
        };
        out.push(answer);
        if self.flaw == Flaw::AnswersTwice && query % 100 == 7 {
            out.push(answer);
        }
        if self.flaw != Flaw::ForgetsNothing {
            for tag in tags {
                self.sent.remove(&tag);
            }
        }
    }
}

impl Subject for Foil {
    fn question(&mut self, query: Query, name: Name, now: Time, out: &mut Vec<Action>) {
        if self.sulk(query, name, now, out) {
            return;
        }
        self.needed += 1;
        self.names.insert(query, name);
        let first = if self.moved { self.routes - 1 } else { 0 };
        self.send(query, first, AttemptKind::Primary, out);
        if self.flaw == Flaw::AsksEveryone {
            (1..self.routes).for_each(|route| self.send(query, route, AttemptKind::Hedge, out));
        }
        self.timers.insert((now + PATIENCE, query), false);
        self.timers.insert((now + DEADLINE, query), true);
    }

    fn packet(&mut self, tag: Tag, rcode: Rcode, now: Time, out: &mut Vec<Action>) {
        if self.flaw == Flaw::Dithers {
            let [from, to] = match self.next % 2 {
                0 => [Verdict::Clear, Verdict::Suspect],
                _ => [Verdict::Suspect, Verdict::Clear],
            };
            let (subject, evidence) = (Named::Path("A".into()), Evidence::default());
            self.events.push((
                now,
                Event::Verdict {
                    subject,
                    from,
                    to,
                    evidence,
                },
            ));
        }
        if let Some(&query) = self.sent.get(&tag) {
            self.answer(query, rcode == Rcode::NOERROR, out);
        }
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let ((_, query), last) = entry.remove_entry();
            if !self.open.contains_key(&query) {
                continue;
            }
            if last {
                self.answer(query, false, out);
            } else if self.flaw == Flaw::NeverReturns {
                self.moved = true;
                self.send(query, self.routes - 1, AttemptKind::Retry, out);
            }
        }
    }

    fn next_timer(&self) -> Time {
        self.timers
            .first_key_value()
            .map_or(Time::NEVER, |((at, _), _)| *at)
    }

    fn needed(&self) -> u64 {
        self.needed
    }

    fn in_hand(&self) -> usize {
        self.open.len() + self.sent.len()
    }

    fn events(&self) -> &[(Time, Event)] {
        &self.events
    }
}
