//! What was seen of a route, a path or an upstream: outcomes counted, good answers in a row.

use std::time::Duration;

use crate::clock::Time;
use crate::observe::event::{Evidence, Verdict};
use crate::route::constants::judge::probation::SOLID;
use crate::route::constants::judge::proof::{
    AT_THE_SERVER, AT_THE_SERVER_SHARE, BUNCH, ON_THE_WAY, ON_THE_WAY_RATIO,
};
use crate::route::measure::stream::HeldUp;
use crate::route::rules::Rule;
use crate::wire::Rcode;

/// One outcome, as the verdict sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Answered as in health.
    Good,
    /// Answered, later than health's far tail.
    Late,
    /// Answered, and whether in time is not known: the host had stalled when the answer was due (an
    /// interval-censored observation).
    Censored,
    /// Answered late, but after something that was asked later and was answered in time: the question itself took
    /// long.
    Slow {
        /// It was counted as lost.
        found: bool,
    },
    /// Not answered within the retransmission timeout.
    Lost,
    /// An answer came for an attempt that was counted as lost.
    Found,
    /// Answered, but the kernel had to send again what was lost on the way (TCP).
    Resent {
        /// The attempt was counted as lost already.
        counted: bool,
    },
    /// Answered uselessly. `compared`: another upstream answered the same question usefully.
    Poor {
        /// What it said, if it could be read.
        rcode: Option<Rcode>,
        /// Another upstream knew better.
        compared: bool,
    },
}

impl Observation {
    /// It speaks against the way or the server.
    pub(in crate::route) fn is_bad(self) -> bool {
        matches!(
            self,
            Observation::Late | Observation::Lost | Observation::Resent { .. }
        )
    }

    /// It takes back that an attempt was counted as lost.
    pub(in crate::route) fn is_found(self) -> bool {
        matches!(self, Observation::Found | Observation::Slow { found: true })
    }

    /// It speaks against nobody.
    pub(in crate::route) fn is_blameless(self) -> bool {
        matches!(
            self,
            Observation::Good | Observation::Censored | Observation::Slow { .. }
        )
    }
}

/// What an attempt showed: its outcome, and where it was held up if TCP knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// How it went.
    pub observation: Observation,
    /// Where it was held up.
    pub held_up: Option<HeldUp>,
    /// How long it took, if it was answered.
    pub took: Option<Duration>,
}

impl From<Observation> for Observed {
    fn from(observation: Observation) -> Observed {
        Observed {
            observation,
            held_up: None,
            took: None,
        }
    }
}

/// A verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From this ...
    pub from: Verdict,
    /// ... to this ...
    pub to: Verdict,
    /// ... on these attempts.
    pub counts: Counts,
    /// When the first attempt was sent that spoke for the latest return.
    pub relief: Time,
}

/// Outcomes since something began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// When.
    pub from: Time,
    /// Attempts that ended.
    pub attempts: u32,
    /// Of those lost.
    pub lost: u32,
    /// Of those late.
    pub late: u32,
    /// Of those useless.
    pub poor: u32,
    /// The latest useless rcode.
    pub rcode: Option<Rcode>,
    /// Of those lost or late, held up on the way by what TCP saw ...
    pub on_the_way: u32,
    /// ... and at the server.
    pub at_the_server: u32,
    /// When the latest was that TCP could tell.
    pub(in crate::route) told: Time,
}

impl Counts {
    pub(in crate::route) fn add(&mut self, observed: Observed, now: Time) {
        if observed.observation == Observation::Censored {
            return;
        }
        if self.attempts == 0 {
            self.from = now;
        }
        let Observed {
            observation,
            held_up,
            ..
        } = observed;
        // What one event held up comes all at once.
        if let Some(held_up) = held_up
            && now.since(self.told) >= BUNCH
        {
            self.told = now;
            match held_up {
                HeldUp::OnTheWay => self.on_the_way += 1,
                HeldUp::AtTheServer => self.at_the_server += 1,
            }
        }
        match observation {
            Observation::Good | Observation::Censored | Observation::Slow { found: false } => {}
            Observation::Late => self.late += 1,
            Observation::Resent { counted: true } => return,
            Observation::Lost | Observation::Resent { counted: false } => self.lost += 1,
            Observation::Slow { found: true } => {
                self.lost = self.lost.saturating_sub(1);
                return;
            }
            Observation::Found => {
                // It was counted already, as lost.
                self.lost = self.lost.saturating_sub(1);
                self.late += 1;
                return;
            }
            Observation::Poor { rcode, .. } => {
                self.poor += 1;
                self.rcode = rcode;
            }
        }
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Where most of it was held up, if TCP saw enough to say so. An answer that was lost on its way back
    /// looks as if the server were late: one is accused only if nearly all are.
    pub(in crate::route) fn held_up(&self) -> Option<HeldUp> {
        if !Rule::TcpSaw.stands() {
            return None;
        }
        let bad = self.lost + self.late;
        if self.on_the_way >= ON_THE_WAY && ON_THE_WAY_RATIO * self.on_the_way >= self.at_the_server
        {
            Some(HeldUp::OnTheWay)
        } else if self.at_the_server >= AT_THE_SERVER
            && self.on_the_way == 0
            && AT_THE_SERVER_SHARE.1 * u64::from(bad)
                >= AT_THE_SERVER_SHARE.0 * u64::from(self.attempts)
        {
            Some(HeldUp::AtTheServer)
        } else {
            None
        }
    }

    /// As evidence, still without round trips.
    pub fn evidence(&self, now: Time) -> Evidence {
        Evidence {
            attempts: self.attempts,
            lost: self.lost,
            late: self.late,
            poor: self.poor,
            rcode: self.rcode,
            on_the_way: self.on_the_way,
            at_the_server: self.at_the_server,
            span: if self.attempts == 0 {
                Duration::ZERO
            } else {
                now.since(self.from)
            },
            ..Evidence::default()
        }
    }
}

/// Good answers of one route, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// How many.
    pub count: u32,
    /// When the first one came ...
    pub from: Time,
    /// ... and its attempt was sent.
    pub sent: Time,
    /// Answers among them of which nobody knows whether they were in time.
    censored: u32,
    /// Which of the route's attempts that was,
    first: u32,
    /// and the latest of them, by number.
    last: u32,
}

impl Streak {
    /// One more: the route's attempt number `serial`, sent at `sent`.
    pub fn grow(&mut self, serial: u32, sent: Time, now: Time) {
        if self.count == 0 {
            (self.from, self.sent, self.first, self.last) = (now, sent, serial, serial);
        }
        // Numbers wrap; one sent before the first, answered after it, does not lengthen the row.
        let ahead = serial.wrapping_sub(self.last);
        if ahead < u32::MAX / 2 {
            self.last = serial;
        }
        self.count = self.count.saturating_add(1);
    }

    /// An answer came among them that may have been in time.
    pub fn carry(&mut self) {
        self.censored = self.censored.saturating_add(u32::from(self.count > 0));
    }

    /// Nearly all that was sent before its latest attempt was answered too. A lossy way answers what it
    /// carries at once, while what it loses is known for lost only after the timeout (compare RACK, RFC
    /// 8985 section 3: what was sent later and came first tells of a loss).
    pub(in crate::route) fn is_solid(&self) -> bool {
        let spanned = self.last.wrapping_sub(self.first).saturating_add(1);
        let answered = u64::from(self.count) + u64::from(self.censored);
        answered * SOLID.1 >= u64::from(spanned) * SOLID.0 || !Rule::Solid.stands()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_found_after_all_was_late_and_not_lost() {
        let mut counts = Counts::default();
        counts.add(Observation::Lost.into(), Time::from_secs(1));
        counts.add(Observation::Lost.into(), Time::from_secs(2));
        counts.add(Observation::Found.into(), Time::from_secs(3));
        assert_eq!((counts.attempts, counts.lost, counts.late), (2, 1, 1));
        assert_eq!(
            counts.evidence(Time::from_secs(4)).span,
            Duration::from_secs(3)
        );
    }

    #[test]
    fn a_row_with_gaps_proves_nothing() {
        let now = Time::from_secs(1);
        let grown = |serials: &[u32]| {
            let mut streak = Streak::default();
            serials.iter().for_each(|&it| streak.grow(it, now, now));
            streak
        };
        assert!(grown(&[7, 8, 9, 10]).is_solid());
        assert!(grown(&[7, 9, 10, 8]).is_solid(), "order does not matter");
        assert!(!grown(&[7, 9, 12, 14]).is_solid());
        assert!(grown(&[u32::MAX, 0, 1]).is_solid(), "numbers wrap");
    }
}
