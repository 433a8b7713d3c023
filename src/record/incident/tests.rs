use serde_json::{Value, json};

use super::super::history::Grid;
use super::super::tests::{Rig, WALL};
use super::*;
use crate::observe::metrics::{Reading, Value as Read};
use crate::observe::names;

/// What is counted, so far.
#[derive(Clone, Default)]
struct Counts {
    hits: u64,
    misses: u64,
    stale: u64,
    failed: u64,
    /// By route: primaries, probes, answered, lost.
    routes: [[u64; 4]; 2],
    /// By route: up to 5 ms, up to 500 ms.
    trips: [[u64; 2]; 2],
}

const ROUTES: [[&str; 2]; 2] = [["dc1", "eth0"], ["dc1", "eth1"]];

impl Counts {
    fn readings(&self) -> Vec<Reading> {
        let reading = |series, labels: &[&str], value| Reading {
            series,
            labels: labels.iter().map(|it| it.to_string()).collect(),
            value,
        };
        let number = |count: u64| Read::Number(count as f64);
        let histogram = |[fast, slow]: [u64; 2]| Read::Histogram {
            bounds: vec![0.005, 0.5],
            counts: vec![fast, slow, 0],
            sum: 0.0,
        };
        let mut all = Vec::new();
        for (result, count) in [
            ("hit", self.hits),
            ("miss", self.misses),
            ("stale", self.stale),
            ("failed", self.failed),
        ] {
            all.push(reading(
                &names::QUERIES,
                &["[::]:53", "udp", result],
                number(count),
            ));
        }
        let answers = histogram([self.misses, self.failed]);
        all.push(reading(&names::QUERY_DURATION, &["upstream"], answers));
        for (index, [upstream, path]) in ROUTES.iter().enumerate() {
            let [primary, probe, answered, lost] = self.routes[index];
            for (kind, count) in [("primary", primary), ("probe", probe)] {
                all.push(reading(
                    &names::ATTEMPTS_SENT,
                    &[upstream, path, kind],
                    number(count),
                ));
            }
            for (outcome, count) in [("answered", answered), ("timed-out", lost)] {
                all.push(reading(
                    &names::ATTEMPTS,
                    &[upstream, path, outcome],
                    number(count),
                ));
            }
            let trips = histogram(self.trips[index]);
            all.push(reading(&names::ATTEMPT_DURATION, &[upstream, path], trips));
        }
        all
    }

    /// A second in which all goes over one route.
    fn over(&mut self, route: usize) {
        self.hits += 60;
        self.misses += 40;
        self.routes[route][0] += 40;
        self.routes[route][2] += 40;
        self.trips[route][0] += 40;
    }
}

fn begun(number: u64, subject: Value, scope: &str, nature: &str, text: &str) -> Value {
    json!({
        "kind": "trouble", "trouble": true, "detail": false, "text": text, "number": number, "scope": scope,
        "subject": subject, "lasted": 1.0, "nature": { "what": nature },
        "evidence": { "attempts": 14, "lost": 4 },
    })
}

fn over(number: u64, lasted: f64, text: &str) -> Value {
    json!({
        "kind": "trouble-over", "trouble": false, "detail": false, "text": text, "number": number,
        "lasted": lasted, "slept": 0.0,
    })
}

fn detail(kind: &str, text: &str) -> Value {
    json!({ "kind": kind, "trouble": false, "detail": true, "text": text })
}

fn of_eth1(kind: &str, text: &str) -> Value {
    let mut event = detail(kind, text);
    event["subject"] = eth1();
    event
}

fn eth1() -> Value {
    json!({ "kind": "path", "name": "eth1" })
}

/// A minute of health, 20 s in which path eth1 is congested and left, and a minute of health.
fn congestion() -> Rig {
    let mut rig = Rig::new(1 << 20);
    let mut counts = Counts::default();
    for second in 1..=150 {
        match second {
            62..82 => {
                counts.over(0);
                counts.stale += 1;
                // The trials: one in two is lost, the others are slow.
                counts.routes[1][1] += 2;
                counts.routes[1][2] += 1;
                counts.routes[1][3] += 1;
                counts.trips[1][1] += 2;
            }
            _ => counts.over(1),
        }
        let events = match second {
            61 => vec![
                detail(
                    "verdict",
                    "path eth1 clear -> suspect: 2 late, 2 attempts in 0.1 s",
                ),
                of_eth1(
                    "evacuated",
                    "path eth1 congested, evacuated with 1 route: excess 480 ms",
                ),
            ],
            62 => vec![begun(
                1,
                eth1(),
                "path",
                "congested",
                "path eth1 is congested: <b>4 lost</b>",
            )],
            82 => vec![
                of_eth1("returned", "path eth1 in use again after 21 s"),
                over(1, 21.0, "path eth1 is well again after 21 s: 20 stale"),
            ],
            _ => Vec::new(),
        };
        rig.second_with(&events, &counts.readings());
    }
    rig
}

fn only(rig: &Rig) -> Account {
    let log = rig.log();
    let incidents = find(&log);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    Account::of(&log, &incidents[0])
}

#[test]
fn the_account_tells_the_story() {
    let account = only(&congestion());
    assert_eq!(
        account.headline,
        "path eth1 was congested, for 21 s: no question failed, 20 (0.9 %) were answered stale"
    );
    assert_eq!(account.seconds, 21.0);
    assert!(
        account
            .first
            .as_ref()
            .is_some_and(|it| it.text.contains("clear -> suspect"))
    );
    assert_eq!(account.done.len(), 2);
    let clients = [
        &account.clients.before,
        &account.clients.during,
        &account.clients.after,
    ];
    let asked = clients.map(|it| it.as_ref().map(|it| (it.questions, it.stale)));
    assert_eq!(
        asked,
        [Some((6_000, 0)), Some((2_220, 20)), Some((6_000, 0))]
    );
    let during = account.upstreams.during.as_ref().expect("recorded");
    assert_eq!(
        (during.questions, during.packets, during.probes),
        (880, 920, 40)
    );
    let worth = &account.worth[0];
    assert_eq!(
        (worth.left.as_str(), worth.samples, worth.lost),
        ("path eth1", 40, 20)
    );
    assert_eq!(worth.questions, 800);
}

#[test]
fn all_forms_say_the_same() {
    let rig = congestion();
    let account = only(&rig);
    let text = text(&account);
    for part in [
        "Incident 1: path eth1 was congested, for 21 s",
        "What was seen first\n20:27:41 path eth1 clear -> suspect",
        "path eth1 congested, evacuated with 1 route",
        "40 probes among 920 packets upstream",
        "path eth1, left alone for 20 s: 40 attempts went on measuring it, 20 of them without an answer (50 %)",
        "Path eth1 is well again after 21 s: 20 stale.",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let markdown = markdown(&account);
    assert!(
        markdown.starts_with("# Incident 1: path eth1 was congested"),
        "{markdown}"
    );
    assert!(markdown.contains("| before | 6000 |"), "{markdown}");
    assert!(
        markdown.contains("&lt;b>") || markdown.contains("&lt;b&gt;"),
        "{markdown}"
    );
    let json = account.json();
    assert_eq!(json["clients"]["during"]["stale"], 20);
    assert_eq!(json["blamed"][0]["evidence"]["lost"], 4);
    assert_eq!(json["worth"][0]["samples"], 40);
    let list = list(&find(&rig.log()));
    assert!(
        list.ends_with("1  2026-05-28T20:27:41Z  21 s  path eth1 was congested\n"),
        "{list}"
    );
}

#[test]
fn the_page_stands_alone_and_nothing_in_it_is_taken_for_a_tag() {
    let page = html(&only(&congestion()));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("&lt;b&gt;4 lost&lt;/b&gt;") && !page.contains("<b>"));
    assert_eq!(
        page.matches("<svg ").count(),
        5,
        "every chart has something to show"
    );
    // The one address in it would be that of a standard, and there is none.
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "<script", "@import",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Every tag that is opened is closed, in order.
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().expect("a tag ends");
        let name = tag
            .trim_start_matches('/')
            .split(' ')
            .next()
            .unwrap_or_default();
        if tag.starts_with('!') || tag.ends_with('/') || ["meta"].contains(&name) {
            continue;
        }
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name), "in {open:?}"),
            false => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "every number is one"
    );
}

#[test]
fn what_was_not_measured_is_said_not_to_be() {
    let mut rig = Rig::new(1 << 20);
    let mut counts = Counts::default();
    for second in 1..=30 {
        counts.over(0);
        let events = match second {
            10 => vec![begun(1, eth1(), "path", "dead", "path eth1 is dead")],
            20 => vec![over(1, 11.0, "path eth1 answers again")],
            _ => Vec::new(),
        };
        rig.second_with(&events, &counts.readings());
    }
    let text = text(&only(&rig));
    assert!(
        text.contains("path eth1, left alone for 9.0 s: not measured"),
        "{text}"
    );
}

#[test]
fn troubles_close_together_are_one_incident_and_a_wider_one_explains_the_others() {
    let mut rig = Rig::new(1 << 20);
    let dc1 = || json!({ "kind": "upstream", "name": "dc1" });
    let counts = Counts::default();
    for second in 1..=400 {
        let events = match second {
            10 => vec![begun(1, dc1(), "upstream", "dead", "upstream dc1 is dead")],
            12 => {
                let mut wider = begun(2, eth1(), "path", "dead", "path eth1 is dead");
                wider["explains"] = json!([1]);
                vec![wider]
            }
            20 => vec![over(2, 9.0, "path eth1 answers again")],
            40 => vec![begun(3, dc1(), "upstream", "sick", "upstream dc1 is sick")],
            50 => vec![over(3, 11.0, "upstream dc1 is well again")],
            300 => vec![begun(
                4,
                Value::Null,
                "outage",
                "",
                "no name can be resolved",
            )],
            _ => Vec::new(),
        };
        rig.second_with(&events, &counts.readings());
    }
    let log = rig.log();
    let incidents = find(&log);
    assert_eq!(incidents.len(), 2);
    let was: Vec<(String, bool)> = incidents[0]
        .blamed
        .iter()
        .map(|it| (it.was(), it.explained))
        .collect();
    assert_eq!(
        was,
        [
            ("path eth1 was dead".to_owned(), false),
            ("upstream dc1 was sick".to_owned(), false),
            ("upstream dc1 was dead".to_owned(), true),
        ]
    );
    let at = |second: u64| WALL + second * 1_000;
    assert_eq!(
        (incidents[0].start, incidents[0].end),
        (at(9), Some(at(50)))
    );
    // That one goes on.
    assert_eq!((incidents[1].end, incidents[1].last), (None, at(400)));
    let account = Account::of(&log, &incidents[1]);
    assert!(
        account
            .headline
            .starts_with("no name could be resolved, for 101 s so far"),
        "{}",
        account.headline
    );
    assert!(text(&account).contains("it goes on"));
    assert!(incidents[1].holds(at(350)) && !incidents[0].holds(at(350)));
}

#[test]
fn an_incident_that_byway_did_not_survive_ends_with_it() {
    let mut rig = Rig::new(1 << 20);
    let counts = Counts::default();
    rig.second_with(
        &[begun(1, eth1(), "path", "dead", "path eth1 is dead")],
        &counts.readings(),
    );
    rig.second_with(
        &[detail("verdict", "the last that was heard")],
        &counts.readings(),
    );
    rig.restart();
    rig.stamp.life += 30_000;
    rig.stamp.wall += 30_000;
    rig.second_with(
        &[json!({ "kind": "started", "text": "byway started" })],
        &counts.readings(),
    );
    let incidents = find(&rig.log());
    assert_eq!(incidents[0].end, Some(WALL + 2_000));
    assert!(incidents[0].ending.contains("crashed"), "{incidents:?}");
    // A number of the run before is not taken for one of this.
    rig.second_with(&[over(1, 5.0, "another one's")], &counts.readings());
    assert_eq!(find(&rig.log()), incidents);
}

#[test]
fn events_of_any_shape_do_no_harm() {
    let mut rig = Rig::new(1 << 20);
    let odd = [
        json!({ "kind": "trouble" }),
        json!({ "kind": "trouble", "lasted": -5, "explains": "x", "subject": [1], "number": -1 }),
        json!({ "kind": "trouble-over", "number": {}, "lasted": 1e300, "slept": "x" }),
        json!({ "kind": 7 }),
        json!([]),
        json!(null),
    ];
    for event in odd.iter().cycle().take(30) {
        rig.second_with(std::slice::from_ref(event), &Counts::default().readings());
    }
    let log = rig.log();
    for incident in find(&log) {
        let account = Account::of(&log, &incident);
        let _ = (
            text(&account),
            markdown(&account),
            html(&account),
            account.json(),
        );
        let _ = scenario(&log, &incident);
    }
}

#[test]
fn a_scenario_holds_what_each_route_showed() {
    let log = congestion().log();
    let incident = &find(&log)[0];
    let scenario = scenario(&log, incident);
    assert_eq!(scenario["begins"], 30.0);
    assert_eq!(scenario["ends"], 51.0);
    assert_eq!(scenario["blamed"], json!(["path eth1"]));
    let eth1 = &scenario["routes"][1];
    assert_eq!(
        (&eth1["name"], &eth1["path"]),
        (&json!("dc1@eth1"), &json!("eth1"))
    );
    let at = |second: u64| {
        let seconds = eth1["seconds"].as_array().expect("seconds");
        let found = seconds.iter().find(|it| it["second"] == second);
        found.expect("that second").clone()
    };
    assert_eq!(
        (&at(10)["loss"], &at(10)["packets"]),
        (&json!(0.0), &json!(40))
    );
    assert_eq!(at(40)["loss"], 0.5);
    assert!(at(40)["rtt"].as_f64().is_some_and(|rtt| rtt > 0.1));
    assert!(at(75)["rtt"].as_f64().is_some_and(|rtt| rtt < 0.005));
    let whole = Grid::whole(&log, incident.start, incident.last);
    assert_eq!(whole.rows.len(), 1);
}

fn verdict(name: &str, to: &str) -> Value {
    let mut event = detail("verdict", &format!("route {name} -> {to}"));
    event["subject"] = json!({ "kind": "route", "name": name });
    event["to"] = json!(to);
    event["evidence"] = json!({ "span": 0.5, "late": 3 });
    event
}

#[test]
fn a_doubt_that_lasts_wants_an_explanation_and_a_short_one_does_not() {
    let mut rig = Rig::new(1 << 20);
    let counts = Counts::default();
    for second in 1..=200 {
        let events = match second {
            5 => vec![verdict("dc1@eth0", "suspect")],
            9 => vec![verdict("dc1@eth0", "clear")],
            100 => vec![
                verdict("dc1@eth0", "suspect"),
                verdict("dc2@eth0", "suspect"),
            ],
            110 => vec![verdict("dc2@eth0", "congested")],
            130 => vec![verdict("dc1@eth0", "clear")],
            135 => vec![verdict("dc2@eth0", "recovering")],
            140 => vec![verdict("dc2@eth0", "clear")],
            _ => Vec::new(),
        };
        rig.second_with(&events, &counts.readings());
    }
    let incidents = find(&rig.log());
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let at = |second: u64| WALL + second * 1_000;
    assert_eq!(
        (incidents[0].start, incidents[0].end),
        (at(100) - 500, Some(at(140)))
    );
    let was: Vec<String> = incidents[0].blamed.iter().map(Blamed::was).collect();
    assert_eq!(
        was,
        ["route dc1@eth0 was doubted", "route dc2@eth0 was congested"]
    );
    // Of a trouble that was told they are no more than signs.
    let mut told = congestion();
    for second in 0..30 {
        let events = match second {
            0 => vec![verdict("dc1@eth1", "suspect")],
            20 => vec![verdict("dc1@eth1", "clear")],
            _ => Vec::new(),
        };
        told.second_with(&events, &counts.readings());
    }
    let incidents = find(&told.log());
    assert_eq!(
        incidents.len(),
        2,
        "a minute later it is another one: {incidents:?}"
    );
}
