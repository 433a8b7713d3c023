//! Every event in a line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::evidence::{Ms, Secs};
use super::super::labels::Client;
use super::Event;
use crate::config::units::format_duration;

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

/// In whole seconds.
fn whole(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs_f64().round() as u64))
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
            Event::Trouble(begun) => begun.fmt(f),
            Event::TroubleOver(over) => over.fmt(f),
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
            Event::FirstRound { route, said, after } if said.is_servers() => {
                write!(f, "route {route} answers uselessly after {after}: {said}")
            }
            Event::FirstRound { route, said, after } => {
                write!(f, "route {route} does not answer after {after}: {said}")
            }
            Event::FirstAnswer { route } => {
                write!(f, "route {route} answers, for the first time")
            }
            Event::Drained { subject, by, lasts } => {
                write!(f, "{subject} drained by {by}")?;
                match lasts {
                    Some(lasts) => write!(f, " for {}", format_duration(*lasts)),
                    None => Ok(()),
                }
            }
            Event::Reloaded { what } => f.write_str(what),
            Event::ReloadRefused { why } => write!(
                f,
                "the configuration is refused, the one before it holds: {why}"
            ),
            Event::Restored { subject, by } => write!(f, "{subject} restored by {by}"),
            Event::PathLost { path, why, .. } => write!(f, "path {path} lost: {why}"),
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
            Event::NameVanished {
                name,
                record_type,
                said,
                by,
                addresses,
                since,
                keep,
                ..
            } => {
                let plural = if *addresses == 1 {
                    "address is"
                } else {
                    "addresses are"
                };
                write!(
                    f,
                    "name {name} {record_type} has vanished: {said} over {by}"
                )?;
                if *since >= Duration::from_secs(1) {
                    write!(f, ", {} ago", whole(*since))?;
                }
                write!(
                    f,
                    "; its last {addresses} {plural} kept for {}, unless `byway guard release {name}` lets it go",
                    whole(*keep)
                )
            }
            Event::NameReturned {
                name,
                record_type,
                after,
                given,
                ..
            } => write!(
                f,
                "name {name} {record_type} has addresses again after {}; {given} answers were kept ones meanwhile",
                whole(*after)
            ),
            Event::NameLetGo {
                name,
                record_type,
                after,
                given,
                by,
                ..
            } => {
                write!(f, "name {name} {record_type} let go ")?;
                match by {
                    Some(by) => write!(f, "by {by}")?,
                    None => f.write_str("at the end of the time for which it is kept")?,
                }
                write!(
                    f,
                    ", {} after it vanished: it has no addresses; {given} answers were kept ones",
                    whole(*after)
                )
            }
            Event::NameShrunk {
                name,
                record_type,
                usual,
                now,
            } => write!(
                f,
                "name {name} {record_type} has {now} of its usual {usual:.0} addresses"
            ),
            Event::LimitReached {
                limit,
                value,
                by,
                most,
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
                let most = match most {
                    Some(most) => format!(", most of all {most}"),
                    None => String::new(),
                };
                write!(f, "limit {limit} = {value} reached by {by}{most}: {fate}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::{Evidence, Subject, Verdict};

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
}
