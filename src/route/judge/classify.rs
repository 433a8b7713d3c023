//! What an answer says of its route, given what else is known: one table, the first rule that holds decides.
//!
//! `docs/routing.md` prints it; a test holds the two together.

use crate::route::judge::counts::Observation;
use crate::route::rules::Rule;

/// What is known of an answer when it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// TCP had to send something again.
    pub resent: bool,
    /// Its loss was counted against its route already.
    pub counted: bool,
    /// Something that was asked later over its route was answered first, usefully and in time, and no other server
    /// answered this very question in time.
    pub overtaken: bool,
    /// Another server answered this very question in time: it is none that takes long.
    pub answered_elsewhere: bool,
    /// It is of use to who asked.
    pub useful: bool,
    /// It is useless, or its question was expected to fail: late by its own doing.
    pub excused: bool,
    /// It came over a route that is in trouble, alone, within what its server takes for slow questions.
    pub may_be_slow: bool,
    /// Later than health's far tail, by what the last look at the socket proves.
    pub late: bool,
    /// In time or not, that is not known: the host had stalled.
    pub censored: bool,
    /// ... and so it was the last time, in another stall.
    pub again: bool,
}

/// One row.
pub struct Row {
    rule: Rule,
    /// When it holds, in words.
    pub when: &'static str,
    holds: fn(Facts) -> bool,
    /// What the answer is held for.
    pub shows: fn(Facts) -> Observation,
    /// Why.
    pub why: &'static str,
}

/// The rows, the first that holds decides; what none holds for is good.
pub const ROWS: &[Row] = &[
    Row {
        rule: Rule::Resent,
        when: "TCP had to send something again",
        holds: |it| it.resent,
        shows: |it| Observation::Resent {
            counted: it.counted,
        },
        why: "the way lost it, be it answered or not; once each",
    },
    Row {
        rule: Rule::OwnDoing,
        when: "a later question was answered first, or it is useless, or was expected to fail; and it is late, or counted as lost",
        holds: |it| (it.overtaken || it.excused) && (it.counted || it.late),
        shows: |it| Observation::Slow { found: it.counted },
        why: "a queue keeps the order: the question itself took long",
    },
    Row {
        rule: Rule::MayBeSlow,
        when: "it is late, alone, over a route in trouble, within what its server takes for slow questions",
        holds: |it| !it.counted && it.may_be_slow && it.late,
        shows: |_| Observation::Slow { found: false },
        why: "a probe that may just have been slow is worth another one",
    },
    Row {
        rule: Rule::Found,
        when: "it was counted as lost",
        holds: |it| it.counted,
        shows: |_| Observation::Found,
        why: "late, and not lost",
    },
    Row {
        rule: Rule::Censored,
        when: "the host had stalled when it was due, for the first time in a row",
        holds: |it| it.censored && !it.again,
        shows: |_| Observation::Censored,
        why: "it was carried; how long that took nobody knows",
    },
    Row {
        rule: Rule::Late,
        when: "it is later than the far tail of health",
        holds: |it| it.late,
        shows: |_| Observation::Late,
        why: "a queue, or a slow server",
    },
];

/// Why all else is good.
#[cfg(test)]
const OTHERWISE: &str =
    "as in health; of a host that does little else than stall there will be nothing better";

/// What an answer shows.
pub fn classify(facts: Facts) -> Observation {
    let row = ROWS
        .iter()
        .find(|row| row.rule.stands() && (row.holds)(facts));
    row.map_or(Observation::Good, |row| (row.shows)(facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::holds_with_docs;

    const NONE: Facts = Facts {
        resent: false,
        counted: false,
        overtaken: false,
        answered_elsewhere: false,
        useful: true,
        excused: false,
        may_be_slow: false,
        late: false,
        censored: false,
        again: false,
    };

    #[test]
    fn what_tcp_sent_again_counts_once_whatever_else_is_known() {
        for counted in [false, true] {
            let facts = Facts {
                resent: true,
                counted,
                overtaken: true,
                late: true,
                ..NONE
            };
            assert_eq!(classify(facts), Observation::Resent { counted });
        }
    }

    #[test]
    fn a_late_answer_that_was_overtaken_or_excused_is_its_questions_doing() {
        for (overtaken, excused) in [(true, false), (false, true)] {
            let facts = Facts {
                overtaken,
                excused,
                ..NONE
            };
            assert_eq!(classify(facts), Observation::Good, "it is not late");
            let late = Facts {
                late: true,
                ..facts
            };
            assert_eq!(classify(late), Observation::Slow { found: false });
            let found = Facts {
                counted: true,
                ..facts
            };
            assert_eq!(classify(found), Observation::Slow { found: true });
        }
    }

    #[test]
    fn a_late_probe_that_may_be_slow_is_no_proof_unless_it_was_counted() {
        let facts = Facts {
            may_be_slow: true,
            late: true,
            ..NONE
        };
        assert_eq!(classify(facts), Observation::Slow { found: false });
        let counted = Facts {
            counted: true,
            ..facts
        };
        assert_eq!(classify(counted), Observation::Found);
    }

    #[test]
    fn the_second_stall_in_a_row_excuses_nothing() {
        let stalled = Facts {
            censored: true,
            ..NONE
        };
        assert_eq!(classify(stalled), Observation::Censored);
        let again = Facts {
            again: true,
            ..stalled
        };
        assert_eq!(classify(again), Observation::Good);
    }

    #[test]
    fn late_is_late_and_all_else_is_good() {
        let late = Facts { late: true, ..NONE };
        assert_eq!(classify(late), Observation::Late);
        assert_eq!(classify(NONE), Observation::Good);
    }

    #[test]
    fn the_page_says_so() {
        let mut table =
            String::from("| | an answer | shows | because |\n| --- | --- | --- | --- |\n");
        for (number, row) in (1..).zip(ROWS) {
            let shows = match (row.shows)(NONE) {
                Observation::Good => "good",
                Observation::Late => "late",
                Observation::Censored => "carried",
                Observation::Slow { .. } => "a slow question",
                Observation::Found => "late, and no longer lost",
                Observation::Resent { .. } => "lost",
                Observation::Lost | Observation::Poor { .. } => "nothing that an answer shows",
            };
            table += &format!("| {number} | {} | {shows} | {} |\n", row.when, row.why);
        }
        let number = ROWS.len() + 1;
        table += &format!("| {number} | otherwise | good | {OTHERWISE} |\n");
        holds_with_docs("observations", &table);
    }
}
