//! The closed list of what byway tells an operator.
//!
//! Every change of mind is an [`Event`] that carries the evidence it rests on, so that the log, the
//! metrics and the record on disk all say the same thing, and say it in one line. Events are rare:
//! their text is made when they are read, never on a query's way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::labels::Client;
use super::said::Said;
use crate::config::units::format_duration;
use crate::wire::Rcode;

/// What is believed of a route, a path or an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Answers as it did in health.
    #[default]
    Clear,
    /// Something is off; others are preferred while that is looked into.
    Suspect,
    /// Was in trouble, has earned its way back and takes a growing share.
    Recovering,
    /// Loses packets or holds them in a queue.
    Congested,
    /// Its server answers uselessly, or slowly over every path.
    Sick,
    /// Answers nothing.
    Dead,
}

impl Verdict {
    /// Every verdict, mildest first.
    pub const ALL: [Verdict; 6] = [
        Verdict::Clear,
        Verdict::Suspect,
        Verdict::Recovering,
        Verdict::Congested,
        Verdict::Sick,
        Verdict::Dead,
    ];

    /// The word for it in logs, metrics and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Clear => "clear",
            Verdict::Suspect => "suspect",
            Verdict::Recovering => "recovering",
            Verdict::Congested => "congested",
            Verdict::Sick => "sick",
            Verdict::Dead => "dead",
        }
    }

    /// Neither in trouble nor doubted.
    pub const fn is_clear(self) -> bool {
        matches!(self, Verdict::Clear)
    }

    /// Found guilty: no longer merely doubted.
    pub const fn is_bad(self) -> bool {
        matches!(self, Verdict::Congested | Verdict::Sick | Verdict::Dead)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whom an event is about, by the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One upstream over one path.
    Route(Arc<str>),
    /// A way out of this host.
    Path(Arc<str>),
    /// A resolver.
    Upstream(Arc<str>),
}

impl Subject {
    /// The operator's name.
    pub fn name(&self) -> &str {
        match self {
            Subject::Route(name) | Subject::Path(name) | Subject::Upstream(name) => name,
        }
    }

    /// `route`, `path` or `upstream`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Subject::Route(_) => "route",
            Subject::Path(_) => "path",
            Subject::Upstream(_) => "upstream",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// What a verdict rests on: attempts since the trouble (or the relief) began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Attempts that ended, one way or another.
    pub attempts: u32,
    /// Of those, without an answer in the route's own retransmission timeout.
    pub lost: u32,
    /// Of those, answered later than the route does in health.
    pub late: u32,
    /// Of those, answered uselessly although another upstream knew better.
    pub poor: u32,
    /// The rcode of the latest useless answer.
    pub rcode: Option<Rcode>,
    /// Of those lost or late, held up on the way by what TCP saw of them.
    pub on_the_way: u32,
    /// Of those lost or late, held up at the server by what TCP saw of them.
    pub at_the_server: u32,
    /// What was said last of those lost or useless, and by whom.
    pub said: Option<Said>,
    /// The time all this took.
    pub span: Duration,
    /// Round trip without queues.
    pub base: Option<Duration>,
    /// Low quantile of recent round trips over `base`.
    pub excess: Option<Duration>,
    /// Age of the oldest unanswered attempt.
    pub overdue: Option<Duration>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(excess), Some(base)) = (self.excess, self.base)
            && excess >= Duration::from_millis(1)
        {
            write!(f, "excess {} over a base of {}, ", Ms(excess), Ms(base))?;
        } else if let Some(base) = self.base {
            write!(f, "base {}, ", Ms(base))?;
        }
        if let Some(overdue) = self.overdue {
            write!(f, "an answer overdue for {}, ", Ms(overdue))?;
        }
        match self.said.filter(|said| !said.is_servers()) {
            Some(said) if self.lost > 0 => write!(f, "{} lost ({said}), ", self.lost)?,
            _ if self.lost > 0 => write!(f, "{} lost, ", self.lost)?,
            _ => {}
        }
        if self.late > 0 {
            write!(f, "{} late, ", self.late)?;
        }
        for (count, place) in [
            (self.on_the_way, "on the way"),
            (self.at_the_server, "at the server"),
        ] {
            if count > 0 {
                write!(f, "{count} held up {place} (TCP), ")?;
            }
        }
        if self.poor > 0 {
            match (self.said.filter(Said::is_servers), self.rcode) {
                (Some(Said::Garbled), _) => write!(f, "{} garbled, ", self.poor)?,
                (Some(said), _) => write!(f, "{} answered {said}, ", self.poor)?,
                (None, Some(rcode)) => write!(f, "{} answered {rcode}, ", self.poor)?,
                (None, None) => write!(f, "{} useless, ", self.poor)?,
            }
        }
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(
            f,
            "{} attempt{plural} in {}",
            self.attempts,
            Secs(self.span)
        )
    }
}

/// What a verdict on a route follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The route's own record.
    Own,
    /// The path, because more than this route fares badly over it, or this server fares well elsewhere.
    Path,
    /// The server, because it fares badly over every path that others fare well over.
    Upstream,
}

/// Something an operator should be able to read afterwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A verdict changed.
    Verdict {
        /// Of whom.
        subject: Subject,
        /// What was believed.
        from: Verdict,
        /// What is believed now.
        to: Verdict,
        /// Why.
        evidence: Evidence,
    },
    /// All traffic left a path because the path is the trouble.
    Evacuated {
        /// The path's name.
        path: Arc<str>,
        /// What it is accused of.
        verdict: Verdict,
        /// Routes over it, those never measured included.
        routes: usize,
        /// Why.
        evidence: Evidence,
    },
    /// An evacuated path carries traffic again.
    Returned {
        /// The path's name.
        path: Arc<str>,
        /// How long it was left alone.
        away: Duration,
        /// What it showed.
        evidence: Evidence,
    },
    /// No route is clear: the ceiling on packets holds from now on.
    NothingClear {
        /// The zone whose upstreams these are; `None` for those of all other names.
        pool: Option<Arc<str>>,
        /// Packets a second that may go upstream now.
        ceiling: u64,
    },
    /// Some route is clear again.
    ClearAgain {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
        /// How long none was.
        after: Duration,
    },
    /// Every route is dead: only probes go out, and questions fail at once.
    Outage {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
    },
    /// Something answers again.
    OutageOver {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
        /// How long nothing did.
        after: Duration,
    },
    /// A route has brought no useful answer to the first questions after the start.
    FirstRound {
        /// The route's name.
        route: Arc<str>,
        /// What came in its place.
        said: Said,
    },
    /// The operator took something out of use.
    Drained {
        /// What.
        subject: Subject,
        /// Who did it.
        by: Arc<str>,
        /// For how long; until it is put back if that was not said.
        lasts: Option<Duration>,
    },
    /// The operator, or the end of the time that was set, put it back.
    Restored {
        /// What.
        subject: Subject,
        /// Who did it.
        by: Arc<str>,
    },
    /// A path cannot be used: its interface or source address is not on this host.
    PathLost {
        /// The path's name.
        path: Arc<str>,
        /// What is missing.
        why: String,
    },
    /// It can be used again.
    PathFound {
        /// The path's name.
        path: Arc<str>,
    },
    /// An upstream forwards to this very byway: it is not asked until it does not.
    LoopFound {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It does not any more.
    LoopOver {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// A route has become longer for good rather than fuller: steady, no loss, for minutes.
    Rebased {
        /// The route's name.
        route: Arc<str>,
        /// Its old base.
        from: Duration,
        /// Its new base.
        to: Duration,
    },
    /// An upstream does not understand EDNS(0) and is asked without it for a while (RFC 6891 section 6.2.2).
    EdnsRefused {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It does speak EDNS after all.
    EdnsSpoken {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// An upstream fails for names in mixed letter case and is asked in plain case for a while.
    MixedCaseRefused {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It bears them after all.
    MixedCaseBorne {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// Datagrams came that match but for the name's letter case: guesses, or a server that changes names.
    NearMisses {
        /// The upstream they seem to come from.
        upstream: Arc<str>,
        /// How many since this was last told.
        count: u64,
    },
    /// A configured bound was reached; told again only after it was left for a while.
    LimitReached {
        /// The configuration key.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// By whom, most of all.
        by: Client,
        /// Who meets it waits; otherwise it is turned away.
        waits: bool,
    },
}

impl Event {
    /// Its kind, one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::Verdict { .. } => "verdict",
            Event::Evacuated { .. } => "evacuated",
            Event::Returned { .. } => "returned",
            Event::NothingClear { .. } => "nothing-clear",
            Event::ClearAgain { .. } => "clear-again",
            Event::Outage { .. } => "outage",
            Event::OutageOver { .. } => "outage-over",
            Event::FirstRound { .. } => "first-round",
            Event::Drained { .. } => "drained",
            Event::Restored { .. } => "restored",
            Event::PathLost { .. } => "path-lost",
            Event::PathFound { .. } => "path-found",
            Event::Rebased { .. } => "rebased",
            Event::EdnsRefused { .. } => "edns-refused",
            Event::EdnsSpoken { .. } => "edns-spoken",
            Event::MixedCaseRefused { .. } => "mixed-case-refused",
            Event::MixedCaseBorne { .. } => "mixed-case-borne",
            Event::NearMisses { .. } => "near-misses",
            Event::LoopFound { .. } => "loop-found",
            Event::LoopOver { .. } => "loop-over",
            Event::LimitReached { .. } => "limit-reached",
        }
    }

    /// Whom it is about, if anybody.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Event::Verdict { subject, .. }
            | Event::Drained { subject, .. }
            | Event::Restored { subject, .. } => Some(subject.clone()),
            Event::Evacuated { path, .. }
            | Event::Returned { path, .. }
            | Event::PathLost { path, .. }
            | Event::PathFound { path } => Some(Subject::Path(path.clone())),
            Event::Rebased { route, .. } | Event::FirstRound { route, .. } => {
                Some(Subject::Route(route.clone()))
            }
            Event::EdnsRefused { upstream }
            | Event::EdnsSpoken { upstream }
            | Event::MixedCaseRefused { upstream }
            | Event::MixedCaseBorne { upstream }
            | Event::LoopFound { upstream }
            | Event::LoopOver { upstream }
            | Event::NearMisses { upstream, .. } => Some(Subject::Upstream(upstream.clone())),
            Event::NothingClear { .. }
            | Event::ClearAgain { .. }
            | Event::Outage { .. }
            | Event::OutageOver { .. }
            | Event::LimitReached { .. } => None,
        }
    }
}

impl Event {
    /// The zone of the configuration whose routes it speaks of, where it is not those of everything.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Event::NothingClear { pool, .. }
            | Event::ClearAgain { pool, .. }
            | Event::Outage { pool }
            | Event::OutageOver { pool, .. } => pool.as_deref(),
            _ => None,
        }
    }
}

/// Whose routes an event speaks of, where it is not those of everything.
struct For<'a>(&'a Option<Arc<str>>);

impl fmt::Display for For<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pool) => write!(f, " for {pool}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Verdict {
                subject,
                from,
                to,
                evidence,
            } => {
                write!(f, "{subject} {from} -> {to}: {evidence}")
            }
            Event::Evacuated {
                path,
                verdict,
                routes,
                evidence,
            } => {
                let plural = if *routes == 1 { "" } else { "s" };
                write!(
                    f,
                    "path {path} {verdict}, evacuated with {routes} route{plural}: {evidence}"
                )
            }
            Event::Returned {
                path,
                away,
                evidence,
            } => {
                write!(
                    f,
                    "path {path} in use again after {}: {evidence}",
                    Secs(*away)
                )
            }
            Event::NothingClear { pool, ceiling } => {
                write!(f, "no route{} is clear: ", For(pool))?;
                match ceiling {
                    // Of a host that asks little: the rate is less than one.
                    0 => f.write_str("a packet goes upstream now and then"),
                    1 => f.write_str("at most 1 packet a second goes upstream"),
                    _ => write!(f, "at most {ceiling} packets a second go upstream"),
                }
            }
            Event::ClearAgain { pool, after } => {
                write!(
                    f,
                    "a route{} is clear again after {}",
                    For(pool),
                    Secs(*after)
                )
            }
            Event::Outage { pool } => {
                write!(
                    f,
                    "every route{} is dead: only probes go upstream",
                    For(pool)
                )
            }
            Event::OutageOver { pool, after } => {
                write!(
                    f,
                    "an upstream{} answers again after {}",
                    For(pool),
                    Secs(*after)
                )
            }
            Event::FirstRound { route, said } if said.is_servers() => {
                write!(f, "route {route} answers uselessly after the start: {said}")
            }
            Event::FirstRound { route, said } => {
                write!(f, "route {route} does not answer after the start: {said}")
            }
            Event::Drained { subject, by, lasts } => {
                write!(f, "{subject} drained by {by}")?;
                match lasts {
                    Some(lasts) => write!(f, " for {}", format_duration(*lasts)),
                    None => Ok(()),
                }
            }
            Event::Restored { subject, by } => write!(f, "{subject} restored by {by}"),
            Event::PathLost { path, why } => write!(f, "path {path} lost: {why}"),
            Event::PathFound { path } => write!(f, "path {path} found again"),
            Event::LoopFound { upstream } => write!(
                f,
                "upstream {upstream} forwards to this very byway, a loop: it is not asked until it forwards elsewhere; correct its forwarders, or leave it out"
            ),
            Event::LoopOver { upstream } => {
                write!(f, "upstream {upstream} does not lead back here any more")
            }
            Event::Rebased { route, from, to } => write!(
                f,
                "route {route} has become longer for good: base {} -> {}",
                Ms(*from),
                Ms(*to)
            ),
            Event::EdnsRefused { upstream } => {
                write!(
                    f,
                    "upstream {upstream} does not understand EDNS and is asked without it"
                )
            }
            Event::EdnsSpoken { upstream } => {
                write!(
                    f,
                    "upstream {upstream} understands EDNS and is asked with it again"
                )
            }
            Event::MixedCaseRefused { upstream } => write!(
                f,
                "upstream {upstream} fails for names in mixed letter case and is asked in plain case"
            ),
            Event::MixedCaseBorne { upstream } => write!(
                f,
                "upstream {upstream} bears names in mixed letter case and is asked in it again"
            ),
            Event::NearMisses { upstream, count } => {
                let plural = if *count == 1 {
                    " that matches"
                } else {
                    "s that match"
                };
                write!(
                    f,
                    "{count} answer{plural} but for the name's letter case from upstream {upstream}: asked again \
                     over TCP, for somebody may be guessing"
                )
            }
            Event::LimitReached {
                limit,
                value,
                by,
                waits,
            } => {
                let by = match by {
                    Client::Loopback => "programs on this host",
                    Client::Private => "clients in a private network",
                    Client::Public => "clients elsewhere",
                    Client::Own => "all questions together",
                };
                let fate = match waits {
                    true => "some wait",
                    false => "some are turned away",
                };
                write!(f, "limit {limit} = {value} reached by {by}: {fate}")
            }
        }
    }
}

/// Milliseconds as an operator reads them: two digits that matter.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        if ms < 9.95 {
            write!(f, "{ms:.1} ms")
        } else {
            write!(f, "{ms:.0} ms")
        }
    }
}

/// Seconds as an operator reads them.
struct Secs(Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs_f64();
        if secs < 9.95 {
            write!(f, "{secs:.1} s")
        } else {
            write!(f, "{secs:.0} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_change_says_why_in_one_line() {
        let event = Event::Verdict {
            subject: Subject::Path("eth1".into()),
            from: Verdict::Suspect,
            to: Verdict::Congested,
            evidence: Evidence {
                attempts: 14,
                lost: 4,
                late: 9,
                span: Duration::from_millis(200),
                base: Some(Duration::from_millis(2)),
                excess: Some(Duration::from_millis(480)),
                ..Evidence::default()
            },
        };
        assert_eq!(
            event.to_string(),
            "path eth1 suspect -> congested: excess 480 ms over a base of 2.0 ms, 4 lost, 9 late, \
             14 attempts in 0.2 s"
        );
    }

    #[test]
    fn a_ceiling_below_one_a_second_is_not_said_to_be_none() {
        let line = |ceiling| {
            let pool = None;
            Event::NothingClear { pool, ceiling }.to_string()
        };
        assert!(line(0).ends_with("a packet goes upstream now and then"));
        assert!(line(1).ends_with("at most 1 packet a second goes upstream"));
        assert!(line(82).ends_with("at most 82 packets a second go upstream"));
    }

    #[test]
    fn a_zone_in_trouble_is_named() {
        let pool = Some("corp.example".into());
        let line = Event::Outage { pool }.to_string();
        assert_eq!(
            line,
            "every route for corp.example is dead: only probes go upstream"
        );
    }

    #[test]
    fn useless_answers_are_named_by_their_rcode() {
        let evidence = Evidence {
            attempts: 1,
            poor: 1,
            rcode: Some(Rcode::SERVFAIL),
            ..Evidence::default()
        };
        assert_eq!(
            evidence.to_string(),
            "1 answered SERVFAIL, 1 attempt in 0.0 s"
        );
    }
}
