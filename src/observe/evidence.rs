//! What a verdict rests on, in numbers and in the words of who said it.

use std::fmt;
use std::time::Duration;

use super::said::{Reason, Said};
use crate::wire::Rcode;

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

impl Evidence {
    /// Nothing listens at the server's port, and that is all there is: it refuses, and is neither slow nor full.
    pub fn is_refusal(&self) -> bool {
        let refused = matches!(
            self.said,
            Some(Said::Kernel(Reason::REFUSED) | Said::Handshake(Reason::REFUSED))
        );
        refused && self.lost > 0 && 2 * self.lost > self.attempts && self.late + self.poor == 0
    }

    /// The gist of it, in a word or two of who said it.
    pub fn gist(&self) -> String {
        match (self.said, self.rcode) {
            (Some(said), _) if self.lost + self.poor > 0 => said.to_string(),
            (_, Some(rcode)) if self.poor > 0 => rcode.to_string(),
            _ if self.lost > self.late => "no answer".into(),
            _ if self.late > 0 => "late answers".into(),
            _ => "no answer in time".into(),
        }
    }
}

/// Milliseconds as an operator reads them: two digits that matter.
pub(super) struct Ms(pub(super) Duration);

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
pub(super) struct Secs(pub(super) Duration);

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

    #[test]
    fn a_refusal_is_one_only_where_nothing_else_was_seen() {
        let refused = Evidence {
            attempts: 4,
            lost: 4,
            said: Some(Said::Kernel(Reason::REFUSED)),
            ..Evidence::default()
        };
        assert!(refused.is_refusal());
        assert_eq!(refused.gist(), "connection refused");
        for other in [
            Evidence { late: 1, ..refused },
            Evidence { poor: 1, ..refused },
            Evidence {
                said: Some(Said::Nothing),
                ..refused
            },
            Evidence {
                attempts: 40,
                ..refused
            },
        ] {
            assert!(!other.is_refusal(), "{other:?}");
        }
    }
}
