//! The verdicts as a state machine: from which, on what, to which. One table, the first row that fits decides.
//!
//! `docs/routing.md` prints it, as a table and as a picture; a test holds them together.

use crate::observe::event::Verdict;
use crate::route::rules::Rule;

/// What is seen of one that is held for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Useless answers have added up.
    Useless,
    /// Losses or late answers have added up.
    Suspicious,
    /// Good answers in a row have earned a return, after a mere doubt, or while nothing is clear.
    EarnedAtOnce,
    /// Good answers in a row have earned a return in growing shares.
    Earned,
    /// Something came back.
    Answered,
    /// Nothing came back for long, though several attempts were made.
    Silent,
    /// Enough was lost or late for proof.
    Proven,
    /// The share of the traffic has grown to all of it.
    Grown,
}

/// What a transition leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// This verdict.
    Is(Verdict),
    /// What proven loss and lateness make of it: `congested` a route and a path, `sick` a server.
    Jammed,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    rule: Rule,
    /// Held for one of these ...
    pub from: &'static [Verdict],
    /// ... and this seen ...
    pub on: Signal,
    /// ... it is held for that.
    pub to: To,
}

const fn row(rule: Rule, from: &'static [Verdict], on: Signal, to: To) -> Transition {
    Transition { rule, from, on, to }
}

/// The table.
pub const TRANSITIONS: &[Transition] = &[
    row(
        Rule::UselessIsSick,
        &[Verdict::Clear, Verdict::Recovering],
        Signal::Useless,
        To::Is(Verdict::Sick),
    ),
    row(
        Rule::DoubtFirst,
        &[Verdict::Clear],
        Signal::Suspicious,
        To::Is(Verdict::Suspect),
    ),
    row(
        Rule::RelapseAtOnce,
        &[Verdict::Recovering],
        Signal::Suspicious,
        To::Jammed,
    ),
    row(
        Rule::GrownIsClear,
        &[Verdict::Recovering],
        Signal::Grown,
        To::Is(Verdict::Clear),
    ),
    row(
        Rule::EarnedAtOnce,
        &[
            Verdict::Suspect,
            Verdict::Congested,
            Verdict::Sick,
            Verdict::Dead,
        ],
        Signal::EarnedAtOnce,
        To::Is(Verdict::Clear),
    ),
    row(
        Rule::Earned,
        &[Verdict::Congested, Verdict::Sick, Verdict::Dead],
        Signal::Earned,
        To::Is(Verdict::Recovering),
    ),
    row(
        Rule::AnsweredIsAlive,
        &[Verdict::Dead],
        Signal::Answered,
        To::Jammed,
    ),
    row(
        Rule::SilentIsDead,
        &[Verdict::Suspect, Verdict::Congested, Verdict::Sick],
        Signal::Silent,
        To::Is(Verdict::Dead),
    ),
    row(
        Rule::DoubtedIsSick,
        &[Verdict::Suspect],
        Signal::Useless,
        To::Is(Verdict::Sick),
    ),
    row(
        Rule::ProvenIsJam,
        &[Verdict::Suspect],
        Signal::Proven,
        To::Jammed,
    ),
];

/// What one that is held for `from` is held for now, if that changes. `jammed` is what proven loss and lateness make of
/// it; `seen` says what is seen.
pub fn next(from: Verdict, jammed: Verdict, seen: impl Fn(Signal) -> bool) -> Option<Verdict> {
    let mut rows = TRANSITIONS.iter().filter(|row| row.from.contains(&from));
    let row = rows.find(|row| row.rule.stands() && seen(row.on))?;
    Some(match row.to {
        To::Is(verdict) => verdict,
        To::Jammed => jammed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::holds_with_docs;

    const ALL: [(Signal, &str); 8] = [
        (Signal::Useless, "useless answers have added up"),
        (Signal::Suspicious, "losses or late answers have added up"),
        (
            Signal::EarnedAtOnce,
            "good answers in a row, after a mere doubt, or while nothing is clear",
        ),
        (Signal::Earned, "good answers in a row"),
        (Signal::Answered, "something came back"),
        (Signal::Silent, "nothing came back for long"),
        (Signal::Proven, "enough was lost or late for proof"),
        (
            Signal::Grown,
            "the share of the traffic has grown to all of it",
        ),
    ];

    fn words(on: Signal) -> &'static str {
        ALL.iter()
            .find(|(signal, _)| *signal == on)
            .expect("all are there")
            .1
    }

    fn to(row: &Transition) -> String {
        match row.to {
            To::Is(verdict) => verdict.to_string(),
            To::Jammed => "congested".into(),
        }
    }

    #[test]
    fn a_clear_one_leaves_on_evidence_alone() {
        for (signal, _) in ALL {
            let then = next(Verdict::Clear, Verdict::Congested, |it| it == signal);
            let expected = match signal {
                Signal::Useless => Some(Verdict::Sick),
                Signal::Suspicious => Some(Verdict::Suspect),
                _ => None,
            };
            assert_eq!(then, expected, "{signal:?}");
        }
    }

    #[test]
    fn a_return_is_earned_before_anything_is_held_against_it() {
        let everything = |_| true;
        assert_eq!(
            next(Verdict::Dead, Verdict::Congested, everything),
            Some(Verdict::Clear)
        );
        let in_shares = |it| it != Signal::EarnedAtOnce;
        for from in [Verdict::Dead, Verdict::Congested, Verdict::Sick] {
            let then = next(from, Verdict::Congested, in_shares);
            assert_eq!(then, Some(Verdict::Recovering), "{from}");
        }
    }

    #[test]
    fn useless_answers_make_one_in_doubt_sick_too() {
        let useless = |it| it == Signal::Useless;
        let then = next(Verdict::Suspect, Verdict::Congested, useless);
        assert_eq!(then, Some(Verdict::Sick));
    }

    #[test]
    fn proof_makes_a_way_congested_and_a_server_sick() {
        for jammed in [Verdict::Congested, Verdict::Sick] {
            let then = next(Verdict::Suspect, jammed, |it| it == Signal::Proven);
            assert_eq!(then, Some(jammed));
            let then = next(Verdict::Recovering, jammed, |it| it == Signal::Suspicious);
            assert_eq!(then, Some(jammed));
        }
    }

    /// Whoever is left can come back, and nobody is left who could not be.
    #[test]
    fn every_verdict_leads_back_to_clear() {
        let reach = |from: Verdict| {
            let (mut seen, mut open) = (vec![from], vec![from]);
            while let Some(from) = open.pop() {
                for (signal, _) in ALL {
                    let then = next(from, Verdict::Congested, |it| it == signal);
                    if let Some(then) = then.filter(|then| !seen.contains(then)) {
                        seen.push(then);
                        open.push(then);
                    }
                }
            }
            seen
        };
        let all = [
            Verdict::Clear,
            Verdict::Suspect,
            Verdict::Congested,
            Verdict::Sick,
            Verdict::Dead,
            Verdict::Recovering,
        ];
        for from in all {
            let reached = reach(from);
            assert!(
                all.iter().all(|it| reached.contains(it)),
                "{from}: {reached:?}"
            );
        }
    }

    #[test]
    fn the_page_says_so() {
        let mut page = String::from("```mermaid\nstateDiagram-v2\n    [*] --> clear\n");
        for row in TRANSITIONS {
            for from in row.from {
                page += &format!("    {from} --> {}: {}\n", to(row), words(row.on));
            }
        }
        page += "```\n\n| held for | seen | held for then |\n| --- | --- | --- |\n";
        for row in TRANSITIONS {
            let from: Vec<String> = row.from.iter().map(Verdict::to_string).collect();
            let then = match row.to {
                To::Is(verdict) => verdict.to_string(),
                To::Jammed => "congested; a server: sick".into(),
            };
            page += &format!("| {} | {} | {then} |\n", from.join(", "), words(row.on));
        }
        holds_with_docs("verdicts", &page);
    }
}
