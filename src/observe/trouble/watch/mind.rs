//! What is known of one who may be in trouble, and a trouble as it is kept.

use std::time::Duration;

use super::super::super::event::{Evidence, Verdict};
use super::super::super::labels::Scope;
use super::super::super::said::{Reason, Said};
use super::super::{Culprit, Felt, Nature, Over, Sight};
use super::HOLD;
use crate::clock::Time;

/// How long things must have been well before a trouble is over; twice as long each time it comes back within
/// [`MEMORY`] of its end, up to [`WELL_MOST`].
pub(super) const WELL: Duration = Duration::from_secs(5);
pub(super) const WELL_MOST: Duration = Duration::from_secs(160);
pub(super) const MEMORY: Duration = Duration::from_secs(600);

/// Who may be in trouble, and what is known of it.
#[derive(Debug)]
pub(super) struct Mind {
    pub(super) culprit: Culprit,
    pub(super) verdict: Verdict,
    pub(super) evidence: Evidence,
    /// Why the path is not there, and whether the log has said so at the start.
    pub(super) missing: Option<(String, bool)>,
    pub(super) silent: Option<Said>,
    pub(super) drained: bool,
    pub(super) loops: bool,
    /// When what is wrong began to show.
    pub(super) onset: Time,
    pub(super) open: Option<Open>,
    /// A greater trouble explains it until then.
    pub(super) explained: Time,
    /// When its last trouble was over, and how long things had to be well for that.
    pub(super) over: Time,
    pub(super) wait: Duration,
}

/// A trouble, told or not yet.
#[derive(Debug)]
pub(super) struct Open {
    /// Once told.
    pub(super) number: Option<u64>,
    pub(super) told: Time,
    pub(super) since: Time,
    /// Whether it is bad at the moment, and since when it is that, or well.
    pub(super) bad: bool,
    pub(super) turned: Time,
    /// Time that it was bad before it turned.
    pub(super) bad_for: Duration,
    pub(super) nature: Option<Nature>,
    pub(super) flapped: u32,
    pub(super) before: Felt,
    pub(super) slept: Duration,
}

impl Mind {
    pub(super) fn new(culprit: Culprit) -> Mind {
        Mind {
            culprit,
            verdict: Verdict::Clear,
            evidence: Evidence::default(),
            missing: None,
            silent: None,
            drained: false,
            loops: false,
            onset: Time::default(),
            open: None,
            explained: Time::default(),
            over: Time::default(),
            wait: WELL,
        }
    }

    /// What is wrong with it, if anything is.
    pub(super) fn nature(&self) -> Option<Nature> {
        if let Some((why, _)) = &self.missing {
            return Some(Nature::Missing(why.clone()));
        }
        // Where a path refuses it is not the servers' doing.
        let refuses = self.evidence.is_refusal() && self.culprit.scope() != Scope::Path;
        match (self.verdict, self.silent) {
            (verdict, _) if verdict.is_bad() && refuses => Some(Nature::Refuses),
            (verdict, _) if verdict.is_bad() => Some(Nature::Found(verdict)),
            (_, Some(said)) => Some(Nature::Silent(said)),
            _ => None,
        }
    }

    pub(super) fn is_bad(&self) -> bool {
        self.missing.is_some() || self.silent.is_some() || self.verdict.is_bad()
    }

    pub(super) fn is_unusable(&self) -> bool {
        self.missing.is_some() || self.drained || self.loops
    }

    /// The network is not there, by what the kernel says of this host or its neighbours.
    pub(super) fn is_without_network(&self) -> bool {
        let no_way = |said: Said| {
            matches!(said, Said::Kernel(reason) | Said::Handshake(reason)
                if reason.is_no_way() || reason == Reason::PATH_DOWN)
        };
        self.missing.is_some()
            || self.silent.is_some_and(no_way)
            || self.evidence.said.is_some_and(no_way)
    }

    /// All that is known is that the servers' ports refuse.
    pub(super) fn is_refused(&self) -> bool {
        const REFUSED: Reason = Reason::REFUSED;
        match self.silent {
            Some(Said::Kernel(REFUSED) | Said::Handshake(REFUSED)) => true,
            _ => self.verdict.is_bad() && self.evidence.is_refusal(),
        }
    }

    /// In a few words, for a list.
    pub(super) fn gist(&self) -> Option<String> {
        match self.nature()? {
            Nature::Missing(why) => Some(why),
            Nature::Silent(said) => Some(said.to_string()),
            Nature::Refuses | Nature::Found(_) => Some(self.evidence.gist()),
        }
    }

    pub(super) fn turn(&mut self, bad: bool, at: Time) {
        let (now_bad, onset) = (self.is_bad(), &mut self.onset);
        if now_bad && !bad {
            *onset = at - self.evidence.span;
        }
    }

    /// The end of its trouble, if it is one and was told.
    pub(super) fn end(&mut self, now: Time, seen: &Sight) -> Option<Over> {
        let (wait, drained) = (self.wait, self.drained);
        let is_over = |open: &&mut Open| !open.bad && now.since(open.turned) >= wait;
        self.open.as_mut().filter(|open| drained || is_over(open))?;
        let open = self.open.take()?;
        let number = open.number?;
        self.over = now;
        let until = if open.bad { now } else { open.turned };
        let slept = seen.slept.saturating_sub(open.slept);
        Some(Over {
            number,
            culprit: self.culprit.clone(),
            nature: open.nature,
            since: open.since,
            lasted: until.since(open.since),
            slept: if slept < HOLD { Duration::ZERO } else { slept },
            flapped: open.flapped,
            felt: seen.felt.since(open.before),
            drained,
        })
    }

    pub(super) fn is_told(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.number.is_some())
    }
}

impl Open {
    pub(super) fn bad_for(&self, now: Time) -> Duration {
        match self.bad {
            true => self.bad_for + now.since(self.turned),
            false => self.bad_for,
        }
    }
}
