use super::*;

const WWW: &[u8] = b"\x03www\x07example\x00";
const RARE: &[u8] = b"\x04rare\x07example\x00";

fn at(millis: u64) -> Time {
    Time::from_secs(10_000) + Duration::from_millis(millis)
}

fn terms() -> TopConfig {
    TopConfig {
        enabled: true,
        entries: 16,
        window: Duration::from_secs(100),
        rate: 100,
    }
}

fn client(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn answer(sampler: &Sampler, name: &[u8], from: u8, result: QueryResult, now: Time) {
    if sampler.is_due() {
        sampler.look(name, client(from), result, now);
    }
}

#[test]
fn few_answers_are_all_looked_at() {
    let top = Top::new(&terms(), 1, at(0));
    let sampler = top.sampler(7);
    for second in 0..10 {
        let now = at(second * 1_000);
        answer(
            &sampler,
            b"\x03WwW\x07example\x00",
            1,
            QueryResult::Hit,
            now,
        );
        answer(&sampler, WWW, 2, QueryResult::Miss, now);
        answer(&sampler, RARE, 2, QueryResult::Failed, now);
        top.collect(now);
    }
    let report = top.report(10, at(10_000));
    assert_eq!((report.answers, report.looked_at), (30, 30));
    assert_eq!(report.span, Duration::from_secs(10));
    let count = |answers, from_upstream, failed| Count {
        answers,
        excess: 0,
        from_upstream,
        failed,
    };
    let names = [
        (WWW.to_vec(), count(20, 10, 0)),
        (RARE.to_vec(), count(10, 0, 10)),
    ];
    assert_eq!(report.names, names);
    let clients = [(client(2), count(20, 10, 10)), (client(1), count(10, 0, 0))];
    assert_eq!(report.clients, clients);
    assert_eq!(top.report(1, at(10_000)).names.len(), 1);
}

#[test]
fn of_a_flood_so_many_a_second_are_looked_at_and_the_sum_is_right() {
    let top = Top::new(&terms(), 1, at(0));
    let sampler = top.sampler(7);
    let all = 20 * 100_000;
    for second in 0..20 {
        for each in 0..100_000u64 {
            let now = at(second * 1_000 + each / 100);
            // Every tenth, in the very rhythm that a sampler without chance would follow.
            let name = if each % 10 == 0 { RARE } else { WWW };
            answer(&sampler, name, 1, QueryResult::Hit, now);
        }
        top.collect(at(second * 1_000 + 999));
    }
    let report = top.report(10, at(20_000));
    // What is between the last sample and now is not in it.
    assert!(
        report.answers <= all && report.answers + 5_000 > all,
        "{report:?}"
    );
    // In the first second it is found out how many there are; then it is as many as wanted.
    let looked = report.looked_at;
    assert!((1_500..4_000).contains(&looked), "{looked} of 20 times 100");
    let share = report.names[1].1.answers as f64 / report.answers as f64;
    assert_eq!(report.names[1].0, RARE);
    assert!((0.07..0.13).contains(&share), "{share}");
}

#[test]
fn a_full_place_loses_no_count() {
    let terms = TopConfig {
        rate: 2_000,
        ..terms()
    };
    let top = Top::new(&terms, 1, at(0));
    let sampler = top.sampler(7);
    let long = [vec![63], vec![b'a'; 63]].concat().repeat(3);
    let long = [long, vec![0]].concat();
    for _ in 0..100_000 {
        answer(&sampler, &long, 1, QueryResult::Hit, at(1));
    }
    top.collect(at(1));
    answer(&sampler, RARE, 1, QueryResult::Hit, at(2));
    for _ in 0..2_000_000 {
        answer(&sampler, RARE, 1, QueryResult::Hit, at(3_000));
    }
    top.collect(at(3_000));
    let report = top.report(10, at(3_000));
    assert!(report.looked_at * 218 < 2 * TILL as u64);
    assert!(report.answers > 2_000_000, "{report:?}");
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let top = Top::new(&terms(), 1, at(0));
    let sampler = top.sampler(7);
    answer(&sampler, WWW, 1, QueryResult::Hit, at(0));
    top.collect(at(1_000));
    answer(&sampler, RARE, 1, QueryResult::Hit, at(60_000));
    top.collect(at(60_000));
    assert_eq!(top.report(10, at(60_000)).names.len(), 2);
    top.collect(at(120_000));
    let report = top.report(10, at(120_000));
    assert_eq!(report.names.len(), 1);
    assert_eq!(report.names[0].0, RARE);
    assert_eq!(report.span, Duration::from_secs(60));
}

#[test]
fn nothing_is_looked_at_while_it_is_off_and_what_was_seen_is_forgotten() {
    let off = TopConfig {
        enabled: false,
        ..terms()
    };
    let top = Top::new(&off, 2, at(0));
    let sampler = top.sampler(7);
    for _ in 0..1_000 {
        answer(&sampler, WWW, 1, QueryResult::Hit, at(0));
    }
    top.collect(at(1));
    assert_eq!(top.report(10, at(1)).answers, 0);
    top.suit(&terms(), at(2));
    sampler.suit(&terms());
    answer(&sampler, WWW, 1, QueryResult::Hit, at(2));
    top.collect(at(3));
    assert_eq!(top.report(10, at(3)).answers, 1);
    answer(&sampler, WWW, 1, QueryResult::Hit, at(3));
    top.suit(&off, at(4));
    sampler.suit(&off);
    answer(&sampler, WWW, 1, QueryResult::Hit, at(4));
    top.collect(at(5));
    let report = top.report(10, at(5));
    assert_eq!((report.enabled, report.answers), (false, 0));
    assert!(report.names.is_empty() && report.clients.is_empty());
}

#[test]
fn an_address_of_version_4_is_shown_as_one_however_it_came() {
    let top = Top::new(&terms(), 1, at(0));
    let sampler = top.sampler(7);
    for text in ["::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1"] {
        if sampler.is_due() {
            let client = text.parse().expect("an address");
            sampler.look(WWW, client, QueryResult::Hit, at(0));
        }
    }
    top.collect(at(1));
    let clients = top.report(10, at(1)).clients;
    let clients: Vec<String> = clients.iter().map(|it| it.0.to_string()).collect();
    assert_eq!(clients, ["192.0.2.1", "2001:db8::1"]);
}
