//! What one attempt was made for, and what it taught.

use crate::observe::event::Blame;
use crate::observe::said::{Flaw, Reason, Said};
use crate::wire::Rcode;

pub use crate::observe::metrics::AttemptKind;

/// How an attempt ended. Each attempt ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With an answer, NXDOMAIN and NODATA included.
    Answered,
    /// With SERVFAIL, REFUSED, NOTIMP or FORMERR: evidence against the server, never the path.
    Poor(Rcode),
    /// With NOERROR and nothing that answers the question: a referral, somebody else's records. The
    /// server does not serve this name, or does not recurse.
    Lame,
    /// With aliases whose end is missing: perhaps there is none. A second best, and nobody's fault.
    Unfinished,
    /// With TC set: the server is well, the answer did not fit.
    Truncated,
    /// With a message that cannot be read.
    Garbled,
    /// With nothing, in the time the driver gave it.
    TimedOut,
    /// At once: the network or the host said that there is no way (ICMP, ENETUNREACH).
    Unreachable(Reason),
    /// A connection was not established.
    HandshakeFailed(Reason),
    /// The server did not prove who it is, or speaks no TLS: its own fault, the path carried it.
    Untrusted(Flaw),
    /// A kept connection was closed under the question: nobody's fault.
    Closed,
    /// Not made, for want of something on this host: descriptors, source ports, memory. Nobody else's fault,
    /// and nothing was sent.
    Local,
    /// The driver stopped listening before its time: teaches nothing.
    Outrun,
}

impl Outcome {
    /// Whom it speaks against, if anybody.
    pub const fn blame(self) -> Option<Blame> {
        match self {
            Outcome::Answered
            | Outcome::Unfinished
            | Outcome::Truncated
            | Outcome::Closed
            | Outcome::Local
            | Outcome::Outrun => None,
            Outcome::Poor(_) | Outcome::Lame | Outcome::Garbled | Outcome::Untrusted(_) => {
                Some(Blame::Upstream)
            }
            Outcome::TimedOut | Outcome::Unreachable(_) | Outcome::HandshakeFailed(_) => {
                Some(Blame::Own)
            }
        }
    }

    /// Why it brought nothing, and in whose words; what the server said beside the rcode is not here.
    pub const fn said(self) -> Option<Said> {
        Some(match self {
            Outcome::Answered
            | Outcome::Unfinished
            | Outcome::Truncated
            | Outcome::Local
            | Outcome::Outrun => {
                return None;
            }
            Outcome::Poor(rcode) => Said::Server { rcode, why: None },
            Outcome::Lame => Said::Lame,
            Outcome::Garbled => Said::Garbled,
            Outcome::TimedOut => Said::Nothing,
            Outcome::Unreachable(reason) => Said::Kernel(reason),
            Outcome::HandshakeFailed(reason) => Said::Handshake(reason),
            Outcome::Untrusted(flaw) => Said::Untrusted(flaw),
            Outcome::Closed => Said::Closed,
        })
    }

    /// It is of use to who asked: an answer, or what there is of one.
    pub const fn is_useful(self) -> bool {
        matches!(
            self,
            Outcome::Answered | Outcome::Truncated | Outcome::Unfinished
        )
    }

    /// A packet came back: whatever it said, the path carried it.
    pub const fn came_back(self) -> bool {
        matches!(
            self,
            Outcome::Answered
                | Outcome::Poor(_)
                | Outcome::Lame
                | Outcome::Unfinished
                | Outcome::Truncated
                | Outcome::Garbled
                | Outcome::Untrusted(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::clock::Time;
    use crate::observe::event::Verdict;
    use crate::route::Race;
    use crate::route::ask::{Ask, Failure, Finish, Purpose};
    use crate::route::engine::Engine;
    use crate::route::testing::grid;

    /// Fifty questions for which the host has no socket, each until it ends.
    #[test]
    fn what_this_host_lacks_blames_nobody_and_is_not_tried_hotly() {
        let mut now = Time::START;
        let mut engine = Engine::new(&grid(2, &["a"]), now);
        let mut rng = StdRng::seed_from_u64(1);
        let verdicts = |engine: &Engine, now| -> Vec<Verdict> {
            let routes = engine.report(now).routes;
            routes.iter().map(|route| route.verdict).collect()
        };
        let before = verdicts(&engine, now);
        for _ in 0..50 {
            now = now + Duration::from_millis(20);
            let started = now;
            let ask = Ask {
                purpose: Purpose::Client,
                about: crate::route::About::PLAIN,
                deadline: now + Duration::from_millis(4500),
                again: false,
                light: false,
                pool: crate::route::PoolId::MAIN,
            };
            let (mut race, mut step) =
                Race::start(&mut engine, &ask, now, &mut rng).expect("a route");
            let mut tries = 0;
            let finish = loop {
                let local = Outcome::Local;
                // A trial beside it.
                if let Some(also) = step.also.take() {
                    race.outcome(&mut engine, also.attempt, local, now, now, &mut rng);
                }
                if let Some(send) = step.send.take() {
                    tries += 1;
                    step = race.outcome(&mut engine, send.attempt, local, now, now, &mut rng);
                    continue;
                }
                if let Some(finish) = step.finish {
                    break finish;
                }
                now = step.wake.expect("it goes on");
                step = race.timer(&mut engine, now, &mut rng);
            };
            assert_eq!(finish, Finish::Failed(Failure::Shortage));
            assert!((2..=4).contains(&tries), "{tries} tries");
            assert!(now.since(started) < Duration::from_secs(2));
        }
        assert_eq!(verdicts(&engine, now), before);
        assert_eq!(engine.take_events().count(), 0);
    }
}
