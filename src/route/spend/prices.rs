//! What each packet is paid from: one table.
//!
//! `docs/routing.md` prints it; a test holds the two together.

use crate::route::constants::spend::budget::{FIRST_ASK_RESERVE, STEADY_KEPT};
use crate::route::rules::Rule;

/// A purse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// A share of the questions.
    Steady,
    /// What moves overdue questions to a clear route, in a moment.
    Burst,
    /// All packets while nothing is clear.
    Ceiling,
    /// What answers have earned.
    Earned,
    /// What is in use, while nothing is clear.
    Renewals,
    /// Probes.
    Probes,
    /// Probes that a return waits for.
    Returns,
    /// Refreshes.
    Refreshes,
}

impl Purse {
    /// All of them.
    pub const ALL: [Purse; 8] = [
        Purse::Steady,
        Purse::Burst,
        Purse::Ceiling,
        Purse::Earned,
        Purse::Renewals,
        Purse::Probes,
        Purse::Returns,
        Purse::Refreshes,
    ];
}

/// A packet, by what it is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// A question's own, in health.
    Primary,
    /// A question's own over a route that is in doubt, where none better is to be had: it is not refused, but what is
    /// asked again beside it is to stay under the ceiling.
    Doubtful,
    /// A question asked ahead of need.
    Refresh,
    /// A further one in health.
    Extra,
    /// A further one that moves an overdue question to a clear route with room.
    Urgent,
    /// One without which the packet before was in vain.
    Forced,
    /// A duplicate or a probe that measures: the last tokens are for questions that hang.
    Measurement,
    /// The same where somebody waits to be let back, which few questions must not keep waiting.
    Return,
    /// A question's first, while nothing is clear.
    First,
    /// A question's own, while nothing is clear, where a stale answer is held. The last tokens are for those who have
    /// none. But questions that have none may be of names that fail, and then there are never any left: what is in use has a
    /// share of its own, which counts under the ceiling all the same.
    Renewal,
    /// A further one, while nothing is clear.
    Again,
    /// The same where those before it were met by silence: answers have to have earned it. What is lost with all that is
    /// asked is not helped by asking again, and a thousand hosts that do keep the jam alive.
    AfterSilence,
    /// A further one, while nothing is clear, for a question that somebody answered uselessly: without it the question
    /// fails, as one not asked at all would.
    AfterUseless,
    /// A probe for want of real questions.
    Probe,
    /// A probe while nothing is clear. What questions leave of the ceiling does not decide it: they are the more the
    /// longer what healed stays unknown. It counts under the ceiling all the same.
    ProbeInNeed,
    /// A probe of an idle route. It is no answer to any question, so it does not count in what questions cost, nor in what
    /// health asks for.
    IdleProbe,
}

/// How a purse pays a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pays {
    /// If it has one.
    One(Purse),
    /// If it has one and so many more.
    Beyond(Purse, f64),
    /// If it has one and this share of what it holds at most.
    BeyondShare(Purse, f64),
    /// In any case, into debt if need be.
    Owes(Purse),
}

/// What a packet that went out counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// A question's own, which earns its share of extras.
    Earning,
    /// A question's own.
    Own,
    /// An extra.
    Extra,
    /// Neither.
    Not,
}

/// What a packet costs: the first of these ways to pay that all its purses can.
pub type Ways = &'static [&'static [Pays]];

const STEADY: Pays = Pays::One(Purse::Steady);
const CEILING: Pays = Pays::One(Purse::Ceiling);
const UNDER_CEILING: Pays = Pays::Owes(Purse::Ceiling);
const KEEPING: Pays = Pays::BeyondShare(Purse::Ceiling, FIRST_ASK_RESERVE);
const MEASURED: Pays = Pays::Beyond(Purse::Steady, STEADY_KEPT);

impl Charge {
    /// All of them.
    pub const ALL: [Charge; 16] = [
        Charge::Primary,
        Charge::Doubtful,
        Charge::Refresh,
        Charge::Extra,
        Charge::Urgent,
        Charge::Forced,
        Charge::Measurement,
        Charge::Return,
        Charge::First,
        Charge::Renewal,
        Charge::Again,
        Charge::AfterSilence,
        Charge::AfterUseless,
        Charge::Probe,
        Charge::ProbeInNeed,
        Charge::IdleProbe,
    ];

    /// The rule that it is paid for, and the one that there is another way to pay.
    const fn rules(self) -> (Option<Rule>, Option<Rule>) {
        match self {
            Charge::Primary => (None, None),
            Charge::Doubtful => (Some(Rule::Doubtful), None),
            Charge::Refresh => (Some(Rule::Refreshes), None),
            Charge::Extra => (Some(Rule::Extra), None),
            Charge::Urgent => (Some(Rule::Urgent), Some(Rule::Burst)),
            Charge::Forced => (Some(Rule::Forced), None),
            Charge::Measurement => (Some(Rule::Measurement), None),
            Charge::Return => (Some(Rule::Return), Some(Rule::Returns)),
            Charge::First => (Some(Rule::First), None),
            Charge::Renewal => (Some(Rule::Renewal), Some(Rule::Renewals)),
            Charge::Again => (Some(Rule::Again), None),
            Charge::AfterSilence => (Some(Rule::AfterSilence), None),
            Charge::AfterUseless => (Some(Rule::AfterUseless), None),
            Charge::Probe => (Some(Rule::Probe), None),
            Charge::ProbeInNeed => (Some(Rule::ProbeInNeed), None),
            Charge::IdleProbe => (Some(Rule::IdleProbe), None),
        }
    }

    /// What it costs, and what it counts as, as far as the rules stand.
    #[inline]
    pub(in crate::route) fn due(self) -> (Ways, Counts) {
        let ((ways, counts), (paid, other)) = (self.price(), self.rules());
        match (paid, other) {
            (Some(paid), _) if !paid.stands() => (&[&[]], counts),
            (_, Some(other)) if !other.stands() => (&ways[..1], counts),
            _ => (ways, counts),
        }
    }

    /// What it costs, and what it counts as.
    pub const fn price(self) -> (Ways, Counts) {
        match self {
            Charge::Primary => (&[&[]], Counts::Earning),
            Charge::Doubtful => (&[&[UNDER_CEILING]], Counts::Earning),
            Charge::Refresh => (&[&[Pays::One(Purse::Refreshes)]], Counts::Earning),
            Charge::Extra => (&[&[STEADY]], Counts::Extra),
            Charge::Urgent => (&[&[STEADY], &[Pays::One(Purse::Burst)]], Counts::Extra),
            Charge::Forced => (&[&[Pays::Owes(Purse::Steady)]], Counts::Extra),
            Charge::Measurement => (&[&[MEASURED]], Counts::Extra),
            Charge::Return => (&[&[MEASURED], &[Pays::One(Purse::Returns)]], Counts::Extra),
            Charge::First => (&[&[CEILING]], Counts::Own),
            Charge::Renewal => (
                &[&[KEEPING], &[Pays::One(Purse::Renewals), UNDER_CEILING]],
                Counts::Own,
            ),
            Charge::Again => (&[&[KEEPING]], Counts::Extra),
            Charge::AfterSilence => (&[&[Pays::One(Purse::Earned), KEEPING]], Counts::Extra),
            Charge::AfterUseless => (&[&[CEILING]], Counts::Extra),
            Charge::Probe => (&[&[Pays::One(Purse::Probes)]], Counts::Extra),
            Charge::ProbeInNeed => (&[&[Pays::One(Purse::Probes), UNDER_CEILING]], Counts::Extra),
            Charge::IdleProbe => (&[&[Pays::One(Purse::Probes)]], Counts::Not),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::holds_with_docs;

    fn what(charge: Charge) -> &'static str {
        match charge {
            Charge::Primary => "a question's own packet",
            Charge::Doubtful => "the same over a route in doubt, where none better is to be had",
            Charge::Refresh => "a question asked ahead of need",
            Charge::Extra => "a hedge or a retry",
            Charge::Urgent => "the same that moves an overdue question to a clear route with room",
            Charge::Forced => {
                "without which the packet before was in vain: over a stream, on a new connection"
            }
            Charge::Measurement => "a measurement",
            Charge::Return => "a measurement that a return waits for",
            Charge::First => "a question's first packet, nothing clear",
            Charge::Renewal => "the same where a stale answer is held",
            Charge::Again => "a further one, nothing clear",
            Charge::AfterSilence => "the same after silence",
            Charge::AfterUseless => "the same after a useless answer",
            Charge::Probe => "a probe after the start, or in an outage",
            Charge::ProbeInNeed => "a probe, nothing clear",
            Charge::IdleProbe => "a probe of an idle route",
        }
    }

    fn purse(pays: &Pays) -> String {
        let name = |purse: Purse| format!("{purse:?}").to_lowercase();
        match *pays {
            Pays::One(purse) => name(purse),
            Pays::Beyond(purse, more) => format!("{}, which keeps {more}", name(purse)),
            Pays::BeyondShare(purse, share) => {
                format!("{}, which keeps {} %", name(purse), share * 100.0)
            }
            Pays::Owes(purse) => format!("{}, into debt", name(purse)),
        }
    }

    #[test]
    fn the_page_says_so() {
        let mut table = String::from("| packet | paid from | counts as |\n| --- | --- | --- |\n");
        for charge in Charge::ALL {
            let (ways, counts) = charge.price();
            let ways = ways.iter().map(|way| match way {
                [] => "nothing".to_owned(),
                way => way.iter().map(purse).collect::<Vec<_>>().join(" and "),
            });
            let counts = match counts {
                Counts::Earning => "a question's own, and earns its share",
                Counts::Own => "a question's own",
                Counts::Extra => "an extra",
                Counts::Not => "neither",
            };
            let ways = ways.collect::<Vec<_>>().join("; or else ");
            table += &format!("| {} | {ways} | {counts} |\n", what(charge));
        }
        holds_with_docs("prices", &table);
    }

    /// Nothing goes out while nothing is clear but under the ceiling.
    #[test]
    fn what_goes_out_in_need_counts_under_the_ceiling_whichever_way_it_is_paid() {
        let in_need = [
            Charge::First,
            Charge::Renewal,
            Charge::Again,
            Charge::AfterSilence,
            Charge::AfterUseless,
            Charge::ProbeInNeed,
        ];
        let from_ceiling = |pays: &Pays| {
            matches!(
                pays,
                Pays::One(Purse::Ceiling)
                    | Pays::BeyondShare(Purse::Ceiling, _)
                    | Pays::Owes(Purse::Ceiling)
            )
        };
        for charge in in_need {
            let (ways, _) = charge.price();
            assert!(
                ways.iter().all(|way| way.iter().any(from_ceiling)),
                "{charge:?}"
            );
        }
    }
}
