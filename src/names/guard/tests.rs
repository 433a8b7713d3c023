use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::wire::{CLASS_IN, OwnRecord, name_from_text, own_answer, own_denial};

const HOUR: u64 = 3600;

fn config(zones: &[&str], keep: u64, after: u64, floor: f64) -> Config {
    let mut config = Config::default_with_upstreams(&[([192, 0, 2, 1], 53).into()]);
    let wire = |text: &&str| name_from_text(text).expect("a name").to_ascii_lowercase();
    config.guards = vec![GuardConfig {
        zones: zones.iter().map(wire).collect(),
        keep: Duration::from_secs(keep),
        after: Duration::from_secs(after),
        floor,
    }];
    config
}

fn guard(keep: u64) -> Guard {
    Guard::new(&config(&["svc.internal"], keep, 600, 0.0))
}

fn key(name: &str, record_type: RecordType) -> QuestionKey {
    let name = name_from_text(name).expect("a name").to_ascii_lowercase();
    QuestionKey::new(&name, record_type, CLASS_IN, false, false).expect("a key")
}

fn at(secs: u64) -> Life {
    Life::START + Duration::from_secs(secs)
}

/// An answer with these addresses.
fn addresses_of(key: &QuestionKey, last: &[u8]) -> Answer {
    let data: Vec<Vec<u8>> = last
        .iter()
        .map(|last| match key.record_type() {
            RecordType::AAAA => [
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
                &[*last],
            ]
            .concat(),
            _ => vec![192, 0, 2, *last],
        })
        .collect();
    let records = data.iter().map(|data| OwnRecord {
        record_type: key.record_type(),
        ttl: 60,
        data,
    });
    own_answer(key.question(), records).expect("an answer")
}

fn no_data(key: &QuestionKey) -> Answer {
    own_denial(key.question(), 60, Ede::OTHER).expect("a denial")
}

/// "No such name".
fn nxdomain(key: &QuestionKey) -> Answer {
    let asked = crate::wire::Asked {
        id: 0,
        rd: true,
        cd: false,
        ad: false,
        edns: None,
        question: key.question(),
    };
    let own = crate::wire::Own {
        rcode: Rcode::NXDOMAIN,
        zone_at: 0,
        negative_ttl: 60,
        ede: None,
    };
    let mut packet = [0; 512];
    let none = std::iter::empty();
    let length = crate::wire::write_own(&asked, &own, none, 512, 512, &mut packet);
    let sent = crate::wire::Sent {
        id: 0,
        question: key.question(),
        exact_case: false,
    };
    let response = crate::wire::examine(&packet[..length], &sent).expect("a response");
    response.to_answer()
}

fn hear(guard: &Guard, key: &QuestionKey, answer: &Answer, now: Life) -> Judgement {
    guard.hear(
        key.by_ref(),
        Said::Answer(answer),
        &|| "dc1@eth0".into(),
        now,
    )
}

fn kept(guard: &Guard, key: &QuestionKey, now: Life) -> Option<(Vec<std::net::IpAddr>, u32)> {
    let given = guard.kept(key.by_ref(), now, |answer, left| {
        (answer.addresses().collect::<Vec<_>>(), left)
    });
    given.map(|(given, _)| given)
}

fn kinds(guard: &Guard) -> Vec<&'static str> {
    guard.take_events().iter().map(Event::kind).collect()
}

/// A guard of a name that has had an address for an hour, as of the second 3,600.
fn seasoned(keep: u64) -> (Guard, QuestionKey) {
    let (guard, key) = (guard(keep), key("db.svc.internal", RecordType::A));
    for secs in (0..=HOUR).step_by(60) {
        assert_eq!(
            hear(&guard, &key, &addresses_of(&key, &[1]), at(secs)),
            Judgement::Pass
        );
    }
    (guard, key)
}

#[test]
fn a_name_that_vanishes_keeps_its_addresses_until_they_return() {
    let (guard, key) = seasoned(HOUR);
    assert!(!guard.keeps_any());
    let expected = Judgement::Keep(addresses_of(&key, &[1]), TTL);
    assert_eq!(hear(&guard, &key, &nxdomain(&key), at(3_660)), expected);
    assert_eq!(hear(&guard, &key, &no_data(&key), at(3_700)), expected);
    let bogus = guard.hear(key.by_ref(), Said::Bogus, &|| "dc1@eth0".into(), at(3_701));
    assert_eq!(bogus, expected);
    assert_eq!(
        kept(&guard, &key, at(3_702)),
        Some((vec!["192.0.2.1".parse().unwrap()], TTL))
    );
    let events = guard.take_events();
    assert_eq!(events.len(), 1, "told once");
    assert_eq!(
        events[0].to_string(),
        "name db.svc.internal. A has vanished: NXDOMAIN over dc1@eth0; its last 1 address is kept for 1 h, unless \
         `byway guard release db.svc.internal.` lets it go"
    );
    assert_eq!(
        hear(&guard, &key, &addresses_of(&key, &[7]), at(3_710)),
        Judgement::Pass
    );
    assert_eq!(
        kept(&guard, &key, at(3_711)),
        None,
        "the new address counts"
    );
    assert!(!guard.keeps_any());
    assert_eq!(
        guard.take_events()[0].to_string(),
        "name db.svc.internal. A has addresses again after 50 s; 1 answers were kept ones meanwhile"
    );
    // It has been there for long: it is kept again at once.
    let expected = Judgement::Keep(addresses_of(&key, &[7]), TTL);
    assert_eq!(hear(&guard, &key, &nxdomain(&key), at(3_720)), expected);
}

#[test]
fn a_removal_on_purpose_takes_effect_at_the_end() {
    let (guard, key) = seasoned(100);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    assert_eq!(
        kept(&guard, &key, at(3_690)).map(|(_, left)| left),
        Some(10),
        "no client keeps it longer"
    );
    assert_eq!(kept(&guard, &key, at(3_700)), None);
    assert_eq!(
        hear(&guard, &key, &nxdomain(&key), at(3_700)),
        Judgement::Pass
    );
    assert!(!guard.keeps_any());
    assert_eq!(kinds(&guard), ["name-vanished", "name-let-go"]);
    // What comes then begins anew.
    hear(&guard, &key, &addresses_of(&key, &[1]), at(3_701));
    assert_eq!(
        hear(&guard, &key, &nxdomain(&key), at(3_710)),
        Judgement::Pass
    );
    // Nobody need ask for it to be over.
    let (guard, key) = seasoned(100);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    guard.tick(at(3_701));
    assert!(!guard.keeps_any());
    assert_eq!(kinds(&guard), ["name-vanished", "name-let-go"]);
}

#[test]
fn the_operator_lets_a_name_go() {
    let (guard, key) = seasoned(HOUR);
    assert_eq!(
        guard.release(key.name(), "uid 0", at(3_600)),
        0,
        "nothing is kept"
    );
    let (guard, key) = {
        drop((guard, key));
        seasoned(HOUR)
    };
    hear(&guard, &key, &nxdomain(&key), at(3_660));
    let (list, count) = guard.list(at(3_700));
    assert_eq!((list.len(), count), (1, 1));
    assert_eq!((list[0].said, list[0].gone_for.as_secs()), ("NXDOMAIN", 40));
    let upper = name_from_text("DB.svc.internal").expect("a name");
    assert_eq!(guard.release(&upper, "uid 0", at(3_700)), 1);
    assert_eq!(
        hear(&guard, &key, &nxdomain(&key), at(3_701)),
        Judgement::Pass
    );
    assert_eq!(kinds(&guard), ["name-vanished", "name-let-go"]);
    assert_eq!(guard.counts().2.released, 1);
}

#[test]
fn what_was_there_for_a_moment_or_long_ago_is_not_kept() {
    let (guard, key) = (guard(HOUR), key("db.svc.internal", RecordType::A));
    assert_eq!(
        hear(&guard, &key, &nxdomain(&key), at(0)),
        Judgement::Pass,
        "it never existed"
    );
    hear(&guard, &key, &addresses_of(&key, &[1]), at(1));
    hear(&guard, &key, &addresses_of(&key, &[1]), at(600));
    assert_eq!(
        hear(&guard, &key, &nxdomain(&key), at(601)),
        Judgement::Pass,
        "a second too short"
    );
    let (guard, key) = seasoned(HOUR);
    let late = at(HOUR) + FORGET + Duration::from_secs(1);
    assert_eq!(hear(&guard, &key, &nxdomain(&key), late), Judgement::Pass);
    assert_eq!(kinds(&guard), [""; 0]);
}

#[test]
fn other_types_are_untouched_but_that_the_name_exists() {
    let (guard, a) = seasoned(HOUR);
    let (aaaa, txt) = (
        key("db.svc.internal", RecordType::AAAA),
        key("db.svc.internal", RecordType::TXT),
    );
    for key in [&aaaa, &txt] {
        assert_eq!(hear(&guard, key, &no_data(key), at(3_610)), Judgement::Pass);
        assert_eq!(
            hear(&guard, key, &nxdomain(key), at(3_610)),
            Judgement::NoData
        );
    }
    assert!(
        !guard.keeps_any(),
        "broken servers say so of types that they do not know (RFC 4074)"
    );
    hear(&guard, &a, &nxdomain(&a), at(3_620));
    assert_eq!(
        hear(&guard, &txt, &nxdomain(&txt), at(3_621)),
        Judgement::NoData
    );
    assert_eq!(kept(&guard, &aaaa, at(3_621)), None);
    let below = key("x.db.svc.internal", RecordType::A);
    assert_eq!(
        hear(&guard, &below, &nxdomain(&below), at(3_622)),
        Judgement::Pass
    );
    let beside = key("db.svc.internal.example", RecordType::A);
    assert_eq!(
        hear(&guard, &beside, &nxdomain(&beside), at(3_622)),
        Judgement::Pass
    );
}

#[test]
fn what_is_kept_is_asked_for_anew_every_few_seconds() {
    let (guard, key) = seasoned(HOUR);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    let asks = |secs| {
        guard
            .kept(key.by_ref(), at(secs), |_, _| ())
            .map(|(_, asks)| asks)
    };
    assert_eq!(
        [asks(3_602), asks(3_605), asks(3_606), asks(3_610)],
        [Some(false), Some(true), Some(false), Some(true)]
    );
    // Nobody asks for it.
    assert_eq!(guard.tick(at(3_614)).len(), 0);
    let asked = guard.tick(at(3_615));
    assert_eq!(
        asked
            .iter()
            .map(|it| it.by_ref().as_bytes().to_vec())
            .collect::<Vec<_>>(),
        [key.by_ref().as_bytes()]
    );
}

#[test]
fn fewer_addresses_than_the_floor_are_reported_once_and_passed_on() {
    let guard = Guard::new(&config(&["svc.internal"], HOUR, 600, 0.5));
    let key = key("db.svc.internal", RecordType::A);
    let many: Vec<u8> = (1..=8).collect();
    for secs in (0..=HOUR).step_by(30) {
        hear(&guard, &key, &addresses_of(&key, &many), at(secs));
    }
    hear(&guard, &key, &addresses_of(&key, &many[..5]), at(3_630));
    assert_eq!(kinds(&guard), [""; 0], "five of eight are more than half");
    for secs in [3_660, 3_690] {
        assert_eq!(
            hear(&guard, &key, &addresses_of(&key, &many[..2]), at(secs)),
            Judgement::Pass
        );
    }
    let told: Vec<String> = guard.take_events().iter().map(Event::to_string).collect();
    assert_eq!(
        told,
        ["name db.svc.internal. A has 2 of its usual 8 addresses"]
    );
}

#[test]
fn a_flood_of_new_names_displaces_none_that_are_settled() {
    let mut config = config(&["svc.internal"], HOUR, 600, 0.0);
    config.limits.guarded_names = 16;
    let guard = Guard::new(&config);
    let db = key("db.svc.internal", RecordType::A);
    for secs in (0..=HOUR).step_by(600) {
        hear(&guard, &db, &addresses_of(&db, &[1]), at(secs));
    }
    for number in 0..1_000 {
        let key = key(&format!("n{number}.svc.internal"), RecordType::A);
        hear(&guard, &key, &addresses_of(&key, &[2]), at(3_600));
        assert!(guard.counts().0 <= 16);
    }
    assert!(matches!(
        hear(&guard, &db, &nxdomain(&db), at(3_610)),
        Judgement::Keep(..)
    ));
    // With all settled there is no room for more.
    let names: Vec<QuestionKey> = (0..30)
        .map(|n| key(&format!("s{n}.svc.internal"), RecordType::A))
        .collect();
    for secs in (4_300..5_200).step_by(100) {
        for key in &names {
            hear(&guard, key, &addresses_of(key, &[3]), at(secs));
        }
    }
    let late = key("late.svc.internal", RecordType::A);
    assert_eq!(
        hear(&guard, &late, &addresses_of(&late, &[4]), at(5_201)),
        Judgement::NoRoom
    );
    let settled = names.iter().filter(|key| {
        let judgement = hear(&guard, key, &nxdomain(key), at(5_202));
        matches!(judgement, Judgement::Keep(..))
    });
    assert_eq!(
        settled.count(),
        15,
        "as many as there is room for beside the first"
    );
}

#[test]
fn a_reload_lets_go_what_is_no_longer_under_guard() {
    let (guard, key) = seasoned(HOUR);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    guard.suit(&config(&["svc.internal"], 2 * HOUR, 600, 0.0), at(3_601));
    assert!(
        kept(&guard, &key, at(3_600 + HOUR)).is_some(),
        "it is kept for longer now"
    );
    guard.suit(&config(&["other.internal"], HOUR, 600, 0.0), at(8_000));
    assert_eq!(kept(&guard, &key, at(8_001)), None);
    assert!(!guard.keeps_any());
    assert_eq!(kinds(&guard), ["name-vanished", "name-let-go"]);
}

#[test]
fn a_restart_forgets_nothing_and_gives_nothing_longer() {
    let (guard, key) = seasoned(HOUR);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    let saved = guard.save(at(4_000));
    let config = config(&["svc.internal"], HOUR, 600, 0.0);
    let next = Guard::new(&config);
    // Another process: its time begins elsewhere.
    let now = Life::START + Duration::from_secs(50);
    assert_eq!(
        next.restore(&saved, Duration::from_secs(100), now),
        (1, true)
    );
    let (list, _) = next.list(now);
    assert_eq!(
        (list[0].gone_for.as_secs(), list[0].left.as_secs()),
        (500, 3_100)
    );
    assert_eq!(kept(&next, &key, now).map(|(all, _)| all.len()), Some(1));
    let events = next.take_events();
    assert!(
        events[0].to_string().contains("500 s ago") || events[0].to_string().contains("8 min"),
        "{}",
        events[0]
    );
    assert_eq!(kept(&next, &key, now + Duration::from_secs(3_100)), None);
    // Too late, or not under guard any more.
    let late = Guard::new(&config);
    assert_eq!(
        late.restore(&saved, Duration::from_secs(HOUR), now),
        (0, true)
    );
    assert_eq!(kept(&late, &key, now), None);
    let other = Guard::new(&self::config(&["other"], HOUR, 600, 0.0));
    assert_eq!(other.restore(&saved, Duration::ZERO, now), (0, true));
}

#[test]
fn what_is_damaged_is_not_read() {
    let (guard, key) = seasoned(HOUR);
    hear(&guard, &key, &nxdomain(&key), at(3_600));
    let saved = guard.save(at(3_700));
    let fresh = || Guard::new(&config(&["svc.internal"], HOUR, 600, 0.0));
    for cut in 1..saved.len() {
        assert_eq!(
            fresh().restore(&saved[..cut], Duration::ZERO, at(0)).0,
            0,
            "{cut}"
        );
    }
    for place in 0..saved.len() {
        let mut octets = saved.clone();
        octets[place] ^= 0x55;
        let guard = fresh();
        guard.restore(&octets, Duration::ZERO, at(0));
        let _ = kept(&guard, &key, at(1));
    }
}

/// What may happen to a few names.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Answer(usize, Vec<u8>),
    NoData(usize),
    NxDomain(usize),
    Bogus(usize),
    Ask(usize),
    Release(usize),
    Tick,
    Restart,
}

const NAMES: [&str; 4] = [
    "svc.internal",
    "db.svc.internal",
    "www.example",
    "notsvc.internal",
];

fn step() -> impl Strategy<Value = Step> {
    let which = 0..NAMES.len() * 2;
    prop_oneof![
        3 => (1u64..400).prop_map(Step::Wait),
        4 => (which.clone(), prop::collection::vec(1u8..20, 1..5)).prop_map(|(a, b)| Step::Answer(a, b)),
        2 => which.clone().prop_map(Step::NoData),
        3 => which.clone().prop_map(Step::NxDomain),
        1 => which.clone().prop_map(Step::Bogus),
        4 => which.clone().prop_map(Step::Ask),
        1 => which.prop_map(Step::Release),
        1 => Just(Step::Tick),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Whatever happens: nothing is given longer than `keep` after the last answer with addresses was taken back, nothing but
    /// what an upstream said last, and nothing of names that are not under guard or were not there for long enough.
    #[test]
    fn it_keeps_its_promises(
        steps in prop::collection::vec(step(), 1..120),
        keep in 1u64..1_500,
        after in 0u64..800,
    ) {
        let config = config(&["svc.internal"], keep, after, 0.0);
        let mut guard = Guard::new(&config);
        let mut now = 0;
        // By question: the last answer with addresses, since when there were some, when there were last, since when none.
        type Known = (Vec<std::net::IpAddr>, u64, u64, Option<u64>);
        let mut known: Vec<Option<Known>> = vec![None; NAMES.len() * 2];
        let of = |which: usize| {
            let record_type = [RecordType::A, RecordType::AAAA][which % 2];
            (key(NAMES[which / 2], record_type), which / 2 < 2)
        };
        for step in steps {
            let mut given: Vec<(usize, Vec<std::net::IpAddr>, u32)> = Vec::new();
            match step {
                Step::Wait(secs) => now += secs,
                Step::Answer(which, last) => {
                    let (key, _) = of(which);
                    let answer = addresses_of(&key, &last);
                    prop_assert_eq!(hear(&guard, &key, &answer, at(now)), Judgement::Pass);
                    let all = answer.addresses().collect();
                    let since = match &known[which] {
                        Some((_, since, ..)) => *since,
                        None => now,
                    };
                    known[which] = Some((all, since, now, None));
                    prop_assert_eq!(kept(&guard, &key, at(now)), None);
                }
                Step::NoData(which) | Step::NxDomain(which) | Step::Bogus(which) => {
                    let (key, _) = of(which);
                    let judgement = match step {
                        Step::NoData(_) => hear(&guard, &key, &no_data(&key), at(now)),
                        Step::NxDomain(_) => hear(&guard, &key, &nxdomain(&key), at(now)),
                        _ => guard.hear(key.by_ref(), Said::Bogus, &|| "dc1".into(), at(now)),
                    };
                    match judgement {
                        Judgement::Keep(answer, left) => given.push((which, answer.addresses().collect(), left)),
                        // It was not there for long enough, or is not any more.
                        Judgement::Pass => known[which] = None,
                        _ => known[which] = None,
                    }
                    if let Some((.., gone)) = &mut known[which] {
                        gone.get_or_insert(now);
                    }
                }
                Step::Ask(which) => {
                    let (key, _) = of(which);
                    if let Some((all, left)) = kept(&guard, &key, at(now)) {
                        given.push((which, all, left));
                    }
                }
                Step::Release(which) => {
                    let (key, _) = of(which);
                    guard.release(key.name(), "a test", at(now));
                    let both = which / 2 * 2;
                    (known[both], known[both + 1]) = (None, None);
                }
                Step::Tick => {
                    guard.tick(at(now));
                }
                Step::Restart => {
                    let saved = guard.save(at(now));
                    guard = Guard::new(&config);
                    prop_assert!(guard.restore(&saved, Duration::ZERO, at(now)).1);
                }
            }
            for (which, all, left) in given {
                let (_, is_guarded) = of(which);
                prop_assert!(is_guarded, "{} is not under guard", NAMES[which / 2]);
                let Some((last, since, until, Some(gone))) = &known[which] else {
                    return Err(TestCaseError::fail(format!("{which} has nothing to be kept")));
                };
                prop_assert_eq!(&all, last, "nothing is made up");
                prop_assert!(until - since >= after);
                prop_assert!(now + u64::from(left) <= gone + keep, "longer than it may be");
                prop_assert!(left <= TTL);
            }
        }
    }
}
