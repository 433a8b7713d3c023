//! Troubles in words: one line at the beginning, one at the end.

use std::fmt::{self, Display, Write};
use std::sync::Arc;
use std::time::Duration;

use super::super::event::{Subject, Verdict};
use super::super::evidence::Secs;
use super::{Begun, Culprit, Felt, Nature, Ongoing, Over};

/// Names listed before the rest is a number.
const LISTED: usize = 3;

impl Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Culprit::Outage(zone) => {
                write!(f, "no name{} can be resolved", In(zone))?;
                if self.known > 0 && zone.is_none() {
                    write!(f, " beyond the {} known ones", Count(self.known))?;
                }
                write!(f, ": {}", Reasons(&self.reasons))?;
            }
            Culprit::NothingClear(zone) => {
                write!(
                    f,
                    "names{} resolve with difficulty, no route is clear: ",
                    In(zone)
                )?;
                Reasons(&self.reasons).fmt(f)?;
            }
            Culprit::One(subject) => {
                write!(f, "{subject} ")?;
                match &self.nature {
                    Some(Nature::Missing(why)) => write!(f, "lost: {why}")?,
                    Some(Nature::Silent(said)) => {
                        write!(f, "does not answer after the start: {said}")?;
                    }
                    Some(Nature::Refuses) => write!(f, "refuses: {}", self.evidence)?,
                    Some(Nature::Found(verdict)) => write!(f, "is {verdict}: {}", self.evidence)?,
                    None => write!(f, "is in trouble: {}", self.evidence)?,
                }
                write!(f, "; {}", Instead(subject, &self.instead))?;
            }
        }
        write!(f, "; {}", Feelings(self.felt))
    }
}

impl Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.culprit, &self.nature) {
            (Culprit::One(subject), _) if self.drained => {
                write!(f, "{subject} drained while in trouble, for")?;
            }
            (Culprit::Outage(zone), _) => write!(f, "names{} resolve again after", In(zone))?,
            (Culprit::NothingClear(None), _) => f.write_str("a route is clear again after")?,
            (Culprit::NothingClear(Some(zone)), _) => {
                write!(f, "a route for {zone} is clear again after")?;
            }
            (Culprit::One(subject), Some(Nature::Missing(_))) => {
                write!(f, "{subject} found again after")?;
            }
            (Culprit::One(subject), Some(Nature::Found(Verdict::Dead) | Nature::Silent(_))) => {
                write!(f, "{subject} answers again after")?;
            }
            (Culprit::One(subject), Some(Nature::Refuses)) => {
                write!(f, "{subject} answers again after")?;
            }
            (Culprit::One(subject), _) => write!(f, "{subject} is well again after")?,
        }
        write!(f, " {}", Span(self.lasted))?;
        if !self.slept.is_zero() {
            write!(f, " (and {} that the host slept)", Span(self.slept))?;
        }
        match self.flapped {
            0 => {}
            1 => f.write_str(", in which it came back once")?,
            times => write!(f, ", in which it came back {times} times")?,
        }
        write!(f, ": {}", Cost(self.felt))
    }
}

impl Display for Ongoing {
    /// For whoever asks how things are; since when is said beside it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.begun.fmt(f)?;
        match self.flapped {
            0 => {}
            1 => f.write_str("; it came back once")?,
            times => write!(f, "; it came back {times} times")?,
        }
        match self.well_for {
            Some(well_for) => write!(f, "; well for {}", Span(well_for)),
            None => Ok(()),
        }
    }
}

/// Which names, where it is not all.
struct In<'a>(&'a Option<Arc<str>>);

impl Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(zone) => write!(f, " in {zone}"),
            None => Ok(()),
        }
    }
}

/// `upstreams dc1 and dc2 (connection refused), dc3@eth0 (no answer)`.
struct Reasons<'a>(&'a [(String, Vec<Arc<str>>)]);

impl Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, names)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let of = |kind: &str| -> Option<Vec<Arc<str>>> {
                let name = |name: &Arc<str>| name.strip_prefix(kind).map(Arc::from);
                names.iter().map(name).collect()
            };
            // `paths a and b`, not `path a and path b`.
            let plural = names.len() > 1;
            f.write_str(separator)?;
            match (of("path "), of("upstream ")) {
                (Some(bare), _) if plural => write!(f, "paths {}", List(&bare))?,
                (_, Some(bare)) if plural => write!(f, "upstreams {}", List(&bare))?,
                _ => write!(f, "{}", List(names))?,
            }
            write!(f, " ({reason})")?;
        }
        Ok(())
    }
}

/// `a`, `a and b`, `a, b, c and 4 more`.
struct List<'a>(&'a [Arc<str>]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.len();
        // One more name takes less room than saying that there is one.
        let listed = if all == LISTED + 1 {
            all
        } else {
            all.min(LISTED)
        };
        for (index, name) in self.0[..listed].iter().enumerate() {
            f.write_str(match index {
                0 => "",
                _ if index + 1 == all => " and ",
                _ => ", ",
            })?;
            f.write_str(name)?;
        }
        match all - listed {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

struct Instead<'a>(&'a Subject, &'a [Arc<str>]);

impl Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instead(subject, names) = *self;
        let (is, carries) = match names.len() {
            1 => ("is", "carries"),
            _ => ("are", "carry"),
        };
        match subject {
            _ if names.is_empty() => f.write_str("there is nothing else to use"),
            Subject::Path(_) => write!(f, "{} {carries} its traffic", List(names)),
            _ => write!(f, "{} {is} asked instead", List(names)),
        }
    }
}

/// What clients feel so far.
struct Feelings(Felt);

impl Display for Feelings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Felt {
            asked,
            failed,
            stale,
            ..
        } = self.0;
        match (asked, failed, stale) {
            (0, ..) => f.write_str("nobody has asked since"),
            (_, 0, 0) => f.write_str("clients notice nothing"),
            (_, failed, 0) => write!(f, "{} failed so far", Count(failed)),
            (_, 0, stale) => write!(f, "{} answered stale so far", Count(stale)),
            _ => write!(
                f,
                "{} failed, {} answered stale so far",
                Count(failed),
                Count(stale)
            ),
        }
    }
}

/// What it cost.
struct Cost(Felt);

impl Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Felt {
            asked,
            failed,
            stale,
            again,
        } = self.0;
        if asked == 0 {
            return f.write_str("nobody asked");
        }
        let mut parts = String::new();
        for (count, what) in [
            (failed, "failed"),
            (stale, "answered stale"),
            (again, "asked again"),
        ] {
            if count > 0 {
                let separator = if parts.is_empty() { "" } else { ", " };
                write!(parts, "{separator}{} {what}", Count(count))?;
            }
        }
        match failed {
            0 if parts.is_empty() => f.write_str("clients noticed nothing"),
            0 => write!(f, "none failed, {parts}"),
            _ => f.write_str(&parts),
        }
    }
}

/// `5,100`.
struct Count(u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// A time at a glance.
pub(super) struct Span(pub(super) Duration);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            secs if secs < 120 => Secs(self.0).fmt(f),
            secs if secs < 7_200 => write!(f, "{} min", secs / 60),
            secs if secs < 172_800 => write!(f, "{} h", secs / 3_600),
            secs => write!(f, "{} days", secs / 86_400),
        }
    }
}
