//! What an event says, for programs: the record on disk, and what is read out of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::event::{Event, Evidence, Subject};
use super::labels::Label;
use super::trouble::{Felt, Nature};

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
            Event::Trouble(begun) => {
                add("number", json!(begun.number));
                add("scope", json!(begun.culprit.scope().as_str()));
                add("lasted", json!(begun.lasted.as_secs_f64()));
                add("felt", felt_facts(begun.felt));
                add("known", json!(begun.known));
                if let Some(nature) = &begun.nature {
                    add("nature", nature_facts(nature));
                    add("evidence", evidence_facts(&begun.evidence));
                }
                let names = |names: &[Arc<str>]| names.iter().map(|it| json!(&**it)).collect();
                if !begun.instead.is_empty() {
                    add("instead", Value::Array(names(&begun.instead)));
                }
                if !begun.explains.is_empty() {
                    add("explains", json!(begun.explains));
                }
                let reason = |(why, whom): &(String, Vec<Arc<str>>)| json!({ "why": why, "whom": Value::Array(names(whom)) });
                if !begun.reasons.is_empty() {
                    let reasons = begun.reasons.iter().map(reason).collect();
                    add("reasons", Value::Array(reasons));
                }
            }
            Event::TroubleOver(over) => {
                add("number", json!(over.number));
                add("scope", json!(over.culprit.scope().as_str()));
                add("lasted", json!(over.lasted.as_secs_f64()));
                add("slept", json!(over.slept.as_secs_f64()));
                add("flapped", json!(over.flapped));
                add("drained", json!(over.drained));
                add("felt", felt_facts(over.felt));
                if let Some(nature) = &over.nature {
                    add("nature", nature_facts(nature));
                }
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
            Event::Reloaded { what } => add("what", json!(what)),
            Event::ReloadRefused { why } => add("why", json!(why)),
            Event::Restored { by, .. } => add("by", json!(&**by)),
            Event::PathLost { why, .. } => add("why", json!(why)),
            Event::Rebased { from, to, .. } => {
                add("from", json!(from.as_secs_f64()));
                add("to", json!(to.as_secs_f64()));
            }
            Event::NearMisses { count, .. } => add("count", json!(count)),
            Event::NameVanished {
                number,
                record_type,
                said,
                by,
                addresses,
                since,
                keep,
                ..
            } => {
                add("number", json!(NAMES + number));
                add("scope", json!("name"));
                add("type", json!(record_type));
                add("nature", json!({ "what": "vanished", "why": said }));
                add("by", json!(&**by));
                add("addresses", json!(addresses));
                add("lasted", json!(since.as_secs_f64()));
                add("keep", json!(keep.as_secs_f64()));
            }
            Event::NameReturned {
                number,
                record_type,
                after,
                given,
                ..
            } => {
                add("number", json!(NAMES + number));
                add("type", json!(record_type));
                add("lasted", json!(after.as_secs_f64()));
                add("given", json!(given));
            }
            Event::NameLetGo {
                number,
                record_type,
                after,
                given,
                by,
                ..
            } => {
                add("number", json!(NAMES + number));
                add("type", json!(record_type));
                add("lasted", json!(after.as_secs_f64()));
                add("given", json!(given));
                if let Some(by) = by {
                    add("by", json!(&**by));
                }
            }
            Event::NameShrunk {
                record_type,
                usual,
                now,
                ..
            } => {
                add("type", json!(record_type));
                add("usual", json!(usual));
                add("now", json!(now));
            }
            Event::LimitReached {
                limit,
                value,
                by,
                most,
                waits,
            } => {
                add("limit", json!(limit));
                add("value", json!(value));
                add("by", json!(by.as_str()));
                if let Some(most) = most {
                    add("client", json!(most));
                }
                add("waits", json!(waits));
            }
            Event::Outage { .. }
            | Event::FirstAnswer { .. }
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

/// The numbers of names that vanished begin above all those of troubles.
const NAMES: u64 = 1 << 32;

/// `dead`, `refuses`, `lost`, `silent` and so on.
fn nature_facts(nature: &Nature) -> Value {
    match nature {
        Nature::Found(verdict) => json!({ "what": verdict.name() }),
        Nature::Refuses => json!({ "what": "refuses" }),
        Nature::Missing(why) => json!({ "what": "lost", "why": why }),
        Nature::Silent(said) => json!({ "what": "silent", "why": said.to_string() }),
    }
}

fn felt_facts(felt: Felt) -> Value {
    let Felt {
        asked,
        failed,
        stale,
        again,
    } = felt;
    json!({ "asked": asked, "failed": failed, "stale": stale, "again": again })
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
    use super::super::trouble::{Begun, Culprit, Over};
    use super::*;
    use crate::clock::Time;

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

    #[test]
    fn a_trouble_and_its_end_bear_one_number_and_say_what_clients_got() {
        let felt = Felt {
            asked: 500,
            failed: 3,
            stale: 40,
            again: 7,
        };
        let culprit = Culprit::One(Subject::Upstream("dc1".into()));
        let begun = Event::Trouble(Box::new(Begun {
            number: 7,
            culprit: culprit.clone(),
            since: Time::START,
            lasted: Duration::from_millis(1500),
            nature: Some(Nature::Refuses),
            evidence: Evidence::default(),
            reasons: Vec::new(),
            instead: vec!["dc2".into()],
            felt,
            known: 12,
            explains: vec![6],
            said: false,
        }));
        let felt_facts = json!({ "asked": 500, "failed": 3, "stale": 40, "again": 7 });
        assert_eq!(
            Value::Object(begun.facts()),
            json!({
                "subject": { "kind": "upstream", "name": "dc1" },
                "number": 7, "scope": "upstream", "lasted": 1.5, "felt": felt_facts, "known": 12,
                "nature": { "what": "refuses" }, "evidence": {}, "instead": ["dc2"], "explains": [6],
            })
        );
        let over = Event::TroubleOver(Box::new(Over {
            number: 7,
            culprit,
            nature: Some(Nature::Found(Verdict::Dead)),
            since: Time::START,
            lasted: Duration::from_secs(12),
            slept: Duration::ZERO,
            flapped: 2,
            felt,
            drained: false,
        }));
        assert_eq!(
            Value::Object(over.facts()),
            json!({
                "subject": { "kind": "upstream", "name": "dc1" },
                "number": 7, "scope": "upstream", "lasted": 12.0, "slept": 0.0, "flapped": 2,
                "drained": false, "felt": felt_facts, "nature": { "what": "dead" },
            })
        );
    }
}
