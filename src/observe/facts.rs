//! What an event says, for programs: the record on disk, and what is read out of it afterwards.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::event::{Event, Evidence, Subject};
use super::labels::Label;

impl Event {
    /// Everything it says, each thing under a name of its own. Durations are in seconds; what is not known is left
    /// out.
    pub fn facts(&self) -> Map<String, Value> {
        let mut facts = Map::new();
        let mut add = |name: &str, value: Value| {
            facts.insert(name.to_owned(), value);
        };
        if let Some(subject) = self.subject() {
            add("subject", subject_facts(&subject));
        }
        if let Some(zone) = self.zone() {
            add("zone", json!(zone));
        }
        match self {
            Event::Verdict {
                from, to, evidence, ..
            } => {
                add("from", json!(from.name()));
                add("to", json!(to.name()));
                add("evidence", evidence_facts(evidence));
            }
            Event::Evacuated {
                verdict,
                routes,
                evidence,
                ..
            } => {
                add("verdict", json!(verdict.name()));
                add("routes", json!(routes));
                add("evidence", evidence_facts(evidence));
            }
            Event::Returned { away, evidence, .. } => {
                add("away", json!(away.as_secs_f64()));
                add("evidence", evidence_facts(evidence));
            }
            Event::NothingClear { ceiling, .. } => add("ceiling", json!(ceiling)),
            Event::ClearAgain { after, .. } | Event::OutageOver { after, .. } => {
                add("after", json!(after.as_secs_f64()));
            }
            Event::FirstRound { said, .. } => add("said", json!(said.to_string())),
            Event::Drained { by, lasts, .. } => {
                add("by", json!(&**by));
                if let Some(lasts) = lasts {
                    add("lasts", json!(lasts.as_secs_f64()));
                }
            }
            Event::Restored { by, .. } => add("by", json!(&**by)),
            Event::PathLost { why, .. } => add("why", json!(why)),
            Event::Rebased { from, to, .. } => {
                add("from", json!(from.as_secs_f64()));
                add("to", json!(to.as_secs_f64()));
            }
            Event::NearMisses { count, .. } => add("count", json!(count)),
            Event::LimitReached {
                limit,
                value,
                by,
                waits,
            } => {
                add("limit", json!(limit));
                add("value", json!(value));
                add("by", json!(by.as_str()));
                add("waits", json!(waits));
            }
            Event::Outage { .. }
            | Event::PathFound { .. }
            | Event::LoopFound { .. }
            | Event::LoopOver { .. }
            | Event::EdnsRefused { .. }
            | Event::EdnsSpoken { .. }
            | Event::MixedCaseRefused { .. }
            | Event::MixedCaseBorne { .. } => {}
        }
        facts
    }
}

fn subject_facts(subject: &Subject) -> Value {
    json!({ "kind": subject.kind(), "name": subject.name() })
}

fn evidence_facts(evidence: &Evidence) -> Value {
    // Taken apart by name, so that nothing is forgotten.
    let Evidence {
        attempts,
        lost,
        late,
        poor,
        rcode,
        on_the_way,
        at_the_server,
        said,
        span,
        base,
        excess,
        overdue,
    } = evidence;
    let mut facts = Map::new();
    for (name, count) in [
        ("attempts", attempts),
        ("lost", lost),
        ("late", late),
        ("poor", poor),
        ("on_the_way", on_the_way),
        ("at_the_server", at_the_server),
    ] {
        if *count > 0 {
            facts.insert(name.into(), json!(count));
        }
    }
    let span = Some(*span).filter(|span| *span > Duration::ZERO);
    for (name, time) in [
        ("span", span),
        ("base", *base),
        ("excess", *excess),
        ("overdue", *overdue),
    ] {
        if let Some(time) = time {
            facts.insert(name.into(), json!(time.as_secs_f64()));
        }
    }
    if let Some(rcode) = rcode {
        facts.insert("rcode".into(), json!(rcode.to_string()));
    }
    if let Some(said) = said {
        facts.insert("said".into(), json!(said.to_string()));
    }
    Value::Object(facts)
}

#[cfg(test)]
mod tests {
    use super::super::event::Verdict;
    use super::*;

    #[test]
    fn a_verdict_says_everything_that_it_rests_on() {
        let event = Event::Verdict {
            subject: Subject::Path("eth1".into()),
            from: Verdict::Suspect,
            to: Verdict::Congested,
            evidence: Evidence {
                attempts: 14,
                lost: 4,
                span: Duration::from_millis(200),
                excess: Some(Duration::from_millis(480)),
                ..Evidence::default()
            },
        };
        let facts = Value::Object(event.facts());
        assert_eq!(
            facts,
            json!({
                "subject": { "kind": "path", "name": "eth1" },
                "from": "suspect",
                "to": "congested",
                "evidence": { "attempts": 14, "lost": 4, "span": 0.2, "excess": 0.48 },
            })
        );
    }
}
