//! What is remembered, for how long, and for whom (RFC 2181, RFC 2308).

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::kit::*;

/// An upstream that gives every record of the answer this TTL.
fn lasting(ttl: u32) -> Upstream {
    Upstream::saying(move |asked| {
        asked
            .reply()
            .set(AA)
            .answer(a(&asked.name(), ttl, [192, 0, 2, 1]))
    })
}

#[test]
fn the_second_time_nobody_is_asked() {
    let upstream = lasting(3600);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for name in ["known.example", "KNOWN.example", "known.EXAMPLE"] {
        let reply = stub.ask(&Build::query(name, A));
        assert_eq!(reply.addresses(), ["192.0.2.1"]);
        assert!((3590..=3600).contains(&reply.ttl()), "{reply:?}");
        let reply = Connection::new(daemon.dns()).ask(&Build::query(name, A));
        assert_eq!(reply.addresses(), ["192.0.2.1"]);
    }
    daemon.expect_questions(1);
    daemon.expect_metric("byway_cache_lookups_total", &[("result", "miss")], 1.0);
    daemon.expect_metric("byway_cache_lookups_total", &[("result", "hit")], 5.0);
    daemon.expect_metric("byway_cache_entries", &[], 1.0);
}

#[test]
fn name_type_do_and_cd_tell_questions_apart() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("key.example", A);
    let questions = [
        query.clone(),
        Build::query("key2.example", A),
        Build::query("key.example", AAAA),
        query.clone().set(CD),
        query.clone().edns(Edns::new(1232).dnssec()),
        query.clone().set(CD).edns(Edns::new(1232).dnssec()),
    ];
    for _ in 0..3 {
        for question in &questions {
            assert_eq!(stub.ask(question).answers.len(), 1);
        }
    }
    daemon.expect_questions(questions.len());
    // What else differs from client to client is none of the cache's business.
    stub.ask(&query.clone().edns(Edns::new(512)));
    stub.ask(&query.clone().set(AD));
    stub.ask(&query.clone().clear(RD));
    stub.ask(&query.clone().edns(Edns::new(4096).option(10, &[1; 8])));
    daemon.expect_questions(questions.len());
}

#[test]
fn ttls_count_down_in_every_section() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(cname(&asked.name(), 100, "target.test"))
            .answer(a("target.test", 200, [192, 0, 2, 1]))
            .authority(record("test", NS, 300, &name("ns.test")))
            .additional(a("ns.test", 400, [192, 0, 2, 53]))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("down.example", A);
    let ttls = |reply: &Message| {
        let records = reply
            .answers
            .iter()
            .chain(&reply.authorities)
            .chain(&reply.additionals);
        records.map(|record| record.ttl).collect::<Vec<_>>()
    };
    assert_eq!(
        ttls(&stub.ask(&query)),
        [100, 200, 300, 400],
        "fresh as they are"
    );
    let mut last = 0;
    eventually("two seconds are gone", || {
        let ttls = ttls(&stub.ask(&query));
        let gone = 100 - ttls[0];
        assert_eq!(
            ttls,
            [100, 200, 300, 400].map(|ttl| ttl - gone),
            "all alike"
        );
        assert!(gone >= last, "they only count down");
        last = gone;
        gone >= 2
    });
    daemon.expect_questions(1);
}

#[test]
fn what_has_expired_is_asked_again() {
    let upstream = lasting(1);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("expires.example", A);
    assert_eq!(stub.ask(&query).ttl(), 1);
    upstream.now(|asked| {
        vec![Act::Send(
            asked
                .reply()
                .answer(a(&asked.name(), 3600, [192, 0, 2, 2]))
                .bytes(),
        )]
    });
    eventually("the new answer comes", || {
        let reply = stub.ask(&query);
        reply.addresses() == ["192.0.2.2"]
    });
}

#[test]
fn a_ttl_of_zero_is_for_those_who_asked() {
    for ttl in [0, 0x8000_0000, 0xffff_ffff] {
        let upstream = lasting(ttl);
        let daemon = Daemon::to(&[&upstream]);
        let stub = Stub::new(daemon.dns());
        for _ in 0..3 {
            let reply = stub.ask(&Build::query("zero.example", A));
            assert_eq!((reply.ttl(), reply.addresses().len()), (0, 1), "{ttl:#x}");
        }
        daemon.expect_questions(3);
    }
}

#[test]
fn huge_ttls_are_capped() {
    for ttl in [86_401, 604_800, 0x7fff_ffff] {
        let upstream = lasting(ttl);
        let daemon = Daemon::to(&[&upstream]);
        let stub = Stub::new(daemon.dns());
        for what in ["fresh", "known"] {
            let shown = stub.ask(&Build::query("huge.example", A)).ttl();
            assert!(
                (86_300..=86_400).contains(&shown),
                "{what}: {ttl} is shown as {shown}"
            );
        }
        daemon.expect_questions(1);
    }
}

#[test]
fn the_operators_bounds_on_ttls_hold() {
    let upstream = Upstream::saying(|asked| {
        let ttl = if asked.lower().starts_with("short") {
            5
        } else {
            50_000
        };
        match asked.rtype() {
            A => asked.reply().answer(a(&asked.name(), ttl, [192, 0, 2, 1])),
            _ => asked
                .reply()
                .rcode(NXDOMAIN)
                .authority(soa("example", 50_000, 50_000)),
        }
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nmin-ttl = \"1m\"\nmax-ttl = \"10m\"\nnegative-max-ttl = \"2m\"")
        .start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let ttl = |reply: &Message| reply.ttl();
        let short = ttl(&stub.ask(&Build::query("short.example", A)));
        let long = ttl(&stub.ask(&Build::query("long.example", A)));
        let none = stub.ask(&Build::query("none.example", AAAA)).authorities[0].ttl;
        assert!((50..=60).contains(&short), "{short}");
        assert!((590..=600).contains(&long), "{long}");
        assert!((110..=120).contains(&none), "{none}");
    }
    daemon.expect_questions(3);
}

#[test]
fn the_records_of_a_set_share_the_lowest_ttl() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(a(&asked.name(), 600, [192, 0, 2, 1]))
            .answer(a(&asked.name(), 300, [192, 0, 2, 2]))
            .answer(a(&asked.name(), 900, [192, 0, 2, 3]))
            .authority(record("example", NS, 900, &name("ns.example")))
    });
    let daemon = Daemon::to(&[&upstream]);
    for _ in 0..2 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query("mixed.example", A));
        let ttls: BTreeSet<u32> = reply.answers.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls.len(), 1, "{reply:?}");
        assert!((290..=300).contains(&reply.ttl()), "{reply:?}");
        assert!(reply.authorities[0].ttl >= 890, "another set: {reply:?}");
    }
}

#[test]
fn the_answer_lasts_as_long_as_its_shortest_record() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(cname(&asked.name(), 3600, "target.test"))
            .answer(a("target.test", 1, [192, 0, 2, 1]))
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nstale-max = \"0s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("shortest.example", A);
    stub.ask(&query);
    eventually("it is asked again", || {
        stub.ask(&query);
        upstream.asked().len() > 1
    });
}

#[test]
fn nothing_is_remembered_as_its_soa_says() {
    // SOA TTL, MINIMUM, what holds.
    for (ttl, minimum, holds) in [
        (300, 60, 60),
        (60, 300, 60),
        (0x7fff_ffff, 0x7fff_ffff, 3600),
    ] {
        for rcode in [NXDOMAIN, NOERROR] {
            let upstream = Upstream::saying(move |asked| {
                asked
                    .reply()
                    .rcode(rcode)
                    .authority(soa("example", ttl, minimum))
            });
            let daemon = Daemon::to(&[&upstream]);
            let stub = Stub::new(daemon.dns());
            for what in ["fresh", "known"] {
                let reply = stub.ask(&Build::query("nothing.example", A));
                assert_eq!(reply.rcode(), rcode);
                let shown = reply.authorities[0].ttl;
                assert!(
                    (holds - 10..=holds).contains(&shown),
                    "{what}: {shown} for {holds}"
                );
            }
            daemon.expect_questions(1);
        }
    }
}

#[test]
fn nothing_without_soa_is_not_remembered() {
    for rcode in [NXDOMAIN, NOERROR] {
        let upstream = Upstream::saying(move |asked| asked.reply().rcode(rcode));
        let daemon = Daemon::to(&[&upstream]);
        let stub = Stub::new(daemon.dns());
        for _ in 0..3 {
            assert_eq!(stub.ask(&Build::query("nothing.example", A)).rcode(), rcode);
        }
        daemon.expect_questions(3);
    }
}

#[test]
fn a_minimum_of_zero_is_not_remembered() {
    let upstream = Upstream::saying(|asked| {
        asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 300, 0))
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..3 {
        let reply = stub.ask(&Build::query("nothing.example", A));
        assert_eq!((reply.rcode(), reply.authorities[0].ttl), (NXDOMAIN, 0));
    }
    daemon.expect_questions(3);
}

#[test]
fn a_hundred_clients_ask_once() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    daemon.warm_up();
    let stubs: Vec<Stub> = (0..60).map(|_| Stub::new(daemon.dns())).collect();
    let mut connections: Vec<Connection> = (0..40).map(|_| Connection::new(daemon.dns())).collect();
    let queries: Vec<Build> = (0..100)
        .map(|number| match number % 3 {
            0 => Build::query("crowd.example", A),
            1 => Build::query("CROWD.example", A).edns(Edns::new(1232)),
            _ => Build::query("Crowd.Example", A).set(AD),
        })
        .collect();
    for (stub, query) in stubs.iter().zip(&queries) {
        stub.send(&query.bytes());
    }
    for (connection, query) in connections.iter_mut().zip(&queries[60..]) {
        connection.send(query);
    }
    eventually("all wait", || {
        daemon.metric("byway_waiting_clients", &[]) == 100.0
    });
    daemon.expect_metric("byway_questions_in_flight", &[], 1.0);
    gate.open();
    let mut replies: Vec<Message> = stubs.iter().map(Stub::receive).collect();
    replies.extend(
        connections
            .iter_mut()
            .map(|it| it.receive().expect("a reply")),
    );
    for (query, reply) in queries.iter().zip(&replies) {
        super::kit::stub::check(query, reply);
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
    }
    // What was asked again was a packet thought lost, not another question.
    daemon.expect_questions(1);
    daemon.expect_metric("byway_coalesced_queries_total", &[], 99.0);
    daemon.expect_metric("byway_waiting_clients", &[], 0.0);
}

#[test]
fn ten_thousand_clients_ask_once() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    daemon.warm_up();
    let stubs: Vec<Stub> = (0..100).map(|_| Stub::new(daemon.dns())).collect();
    for id in 0..100 {
        let query = Build::query("stadium.example", A).id(id).bytes();
        stubs.iter().for_each(|stub| stub.send(&query));
        let followers = f64::from(100 * (id + 1)) - 1.0;
        eventually("all are taken in", || {
            daemon.metric("byway_coalesced_queries_total", &[]) == followers
        });
    }
    daemon.expect_metric("byway_questions_in_flight", &[], 1.0);
    gate.open();
    for stub in &stubs {
        let ids: BTreeSet<u16> = (0..100)
            .map(|_| {
                let reply = stub.receive();
                assert_eq!(reply.answers.len(), 1, "{reply:?}");
                reply.id
            })
            .collect();
        assert_eq!(ids.len(), 100, "one reply each");
    }
    daemon.expect_questions(1);
    daemon.expect_metric("byway_coalesced_queries_total", &[], 9_999.0);
    daemon.expect_metric("byway_waiting_clients", &[], 0.0);
}

#[test]
fn clients_of_different_workers_at_the_same_moment_ask_once() {
    let upstream =
        Upstream::new(|asked| vec![Act::Wait(Duration::from_millis(5)), Act::Send(asked.good())]);
    let daemon = Daemon::to(&[&upstream]);
    let start = Barrier::new(2);
    let server = daemon.dns();
    let clients = || {
        let stubs: Vec<Stub> = (0..4).map(|_| Stub::new(server)).collect();
        for round in 0..200 {
            let query = Build::query(&format!("moment{round}.example"), A);
            start.wait();
            for stub in &stubs {
                stub.send(&query.bytes());
            }
            for stub in &stubs {
                assert_eq!(stub.receive().answers.len(), 1);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(clients);
        scope.spawn(clients);
    });
    daemon.expect_questions(200);
}

#[test]
fn followers_of_a_failure_are_told_too() {
    let gate = Gate::default();
    let upstream = Upstream::new({
        let gate = gate.clone();
        move |asked| {
            vec![
                Act::WaitFor(gate.clone()),
                Act::Send(asked.reply().rcode(SERVFAIL).bytes()),
            ]
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let stubs: Vec<Stub> = (0..20).map(|_| Stub::new(daemon.dns())).collect();
    for stub in &stubs {
        stub.send(
            &Build::query("crowd.example", A)
                .edns(Edns::new(1232))
                .bytes(),
        );
    }
    gate.open();
    for stub in &stubs {
        let reply = stub.receive();
        assert_eq!(reply.rcode(), SERVFAIL);
        assert!(!reply.edes().is_empty(), "{reply:?}");
    }
}

#[test]
fn memory_is_bounded() {
    let upstream = Upstream::new(|asked| {
        let records = (0..10).map(|_| txt(&asked.name(), 3600, b'x', 80));
        vec![Act::Send(asked.reply().answers(records).bytes())]
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nsize = \"64KiB\"")
        .start();
    let stub = Stub::new(daemon.dns());
    for number in 0..300 {
        stub.ask(&Build::query(&format!("bounded{number}.example"), TXT).edns(Edns::new(1232)));
    }
    let metrics = daemon.metrics();
    let (bytes, capacity) = (
        metrics.sum("byway_cache_bytes", &[]),
        metrics.sum("byway_cache_capacity_bytes", &[]),
    );
    assert!(
        capacity <= 65_536.0 && bytes <= capacity,
        "{bytes} of {capacity}"
    );
    assert!(metrics.sum("byway_cache_entries", &[]) > 10.0);
    assert!(metrics.sum("byway_cache_evictions_total", &[]) > 100.0);
}

#[test]
fn the_cache_can_be_off() {
    let upstream = lasting(3600);
    let daemon = Setup::to(&[&upstream]).tables("[cache]\nsize = 0").start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..3 {
        assert_eq!(
            stub.ask(&Build::query("off.example", A)).addresses(),
            ["192.0.2.1"]
        );
    }
    daemon.expect_questions(3);
}

#[test]
fn workers_share_what_they_know() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    // The kernel spreads ports over workers.
    for _ in 0..40 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query("shared.example", A));
        assert_eq!(reply.answers.len(), 1);
    }
    daemon.expect_questions(1);
}

#[test]
fn popular_entries_are_refreshed_before_they_expire() {
    let upstream = lasting(2);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("popular.example", A);
    stub.ask(&query);
    eventually("it was refreshed", || {
        assert_eq!(stub.ask(&query).addresses(), ["192.0.2.1"]);
        thread::sleep(Duration::from_millis(5));
        daemon.metric("byway_refreshes_total", &[("result", "refreshed")]) >= 1.0
    });
}
