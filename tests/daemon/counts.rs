//! What is counted of answers, of limits and of attempts that upstreams lie to.

use crate::kit::*;

#[test]
fn every_answer_is_counted_by_its_type_and_its_code() {
    let upstream = Upstream::saying(|asked| match asked.lower().as_str() {
        "gone.example." => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 60, 60)),
        _ => asked
            .reply()
            .answer(record(&asked.name(), asked.rtype(), 60, &[3, 1, 2, 3])),
    });
    let daemon = Setup::to(&[&upstream]).start();
    let stub = Stub::new(daemon.dns());
    // From upstream, then from the cache; over both transports.
    for _ in 0..3 {
        assert_eq!(stub.ask(&Build::query("www.example", A)).rcode(), NOERROR);
    }
    let mut connection = Connection::new(daemon.dns());
    for _ in 0..2 {
        let reply = connection.ask(&Build::query("text.example", TXT));
        assert_eq!(reply.rcode(), NOERROR);
        let reply = connection.ask(&Build::query("gone.example", AAAA));
        assert_eq!(reply.rcode(), NXDOMAIN);
    }
    // Made here.
    stub.ask(&Build::query("www.example", ANY));
    let zone = stub.ask(&Build::query("example", AXFR));
    assert_eq!(zone.rcode(), REFUSED);
    let odd = Build::query("www.example", A).edns(Edns::new(1232).version(1));
    assert_eq!(stub.ask(&odd).rcode(), BADVERS);
    stub.send(&Build::query("www.example", A).opcode(4).bytes());
    assert_eq!(stub.receive().rcode(), NOTIMP);
    stub.send(&Build::query("www.example", 9999).bytes());
    assert_eq!(stub.receive().rcode(), NOERROR);
    let count = |rtype: &str, rcode: &str, count: f64| {
        let labels = [("type", rtype), ("rcode", rcode)];
        daemon.expect_metric("byway_answers_total", &labels, count);
    };
    count("A", "NOERROR", 3.0);
    count("TXT", "NOERROR", 2.0);
    count("AAAA", "NXDOMAIN", 2.0);
    count("ANY", "NOERROR", 1.0);
    count("other", "REFUSED", 1.0);
    count("A", "BADVERS", 1.0);
    count("other", "NOTIMP", 1.0);
    count("other", "NOERROR", 1.0);
    let all = daemon.metric("byway_queries_total", &[]);
    daemon.expect_metric("byway_answers_total", &[], all);
}

#[test]
fn a_limit_that_is_reached_is_an_event_and_counted_by_who_met_it() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nwaiting = 16\n[routing]\ndeadline = \"30s\"")
        .start();
    daemon.warm_up();
    let stubs: Vec<Stub> = (0..16).map(|_| Stub::new(daemon.dns())).collect();
    for (number, stub) in stubs.iter().enumerate() {
        stub.send(&Build::query(&format!("waits{number}.example"), A).bytes());
    }
    eventually("all wait", || {
        daemon.metric("byway_waiting_clients", &[]) >= 16.0
    });
    for number in 0..3 {
        let name = format!("too-many{number}.example");
        let query = Build::query(&name, A).edns(Edns::new(1232));
        let reply = Stub::new(daemon.dns()).ask(&query);
        assert_eq!((reply.rcode(), reply.edes()), (SERVFAIL, vec![23]));
    }
    let reached = |client| [("limit", "waiting"), ("client", client)];
    daemon.expect_metric("byway_limit_reached_total", &reached("loopback"), 3.0);
    daemon.expect_metric("byway_limit_reached_total", &reached("public"), 0.0);
    let told = "limit waiting = 16 reached by programs on this host, most of all 127.0.0.1: some are turned away";
    eventually("it is told", || {
        daemon.http("/api/v1/events").1.contains(told) && daemon.log().contains(told)
    });
    gate.open();
    for stub in &stubs {
        assert_eq!(stub.receive().rcode(), NOERROR);
    }
    let events = daemon.http("/api/v1/events").1;
    assert_eq!(events.matches("limit-reached").count(), 1, "{events}");
}

/// What an off-path attacker or a broken middlebox sends in place of the answer.
#[test]
fn an_attempt_that_is_only_lied_to_is_told_from_one_that_is_not_answered() {
    type Lie = fn(&Asked) -> Vec<u8>;
    let lies: [(&str, Lie); 3] = [
        ("another ID", |asked| {
            asked.reply().id(asked.id ^ 0x55).bytes()
        }),
        ("another question", |asked| {
            let other = Build::query("other.example", A).question;
            asked.reply().question(other).bytes()
        }),
        ("no response at all", |asked| {
            asked.reply().clear(QR).bytes()
        }),
    ];
    for (what, lie) in lies {
        let upstream = Upstream::new(move |asked| vec![Act::Send(lie(asked))]);
        let daemon = Setup::to(&[&upstream])
            .tables("[routing]\ndeadline = \"1s\"")
            .start();
        let reply = Stub::new(daemon.dns()).ask(&Build::query("www.example", A));
        assert_eq!(reply.rcode(), SERVFAIL, "{what}");
        eventually(what, || {
            daemon.metric("byway_attempts_total", &[("outcome", "mismatched")]) >= 1.0
        });
        let answered = daemon.metric("byway_attempts_total", &[("outcome", "answered")]);
        assert_eq!(answered, 0.0, "{what}");
    }
    let silent = Upstream::silent();
    let daemon = Setup::to(&[&silent])
        .tables("[routing]\ndeadline = \"1s\"")
        .start();
    Stub::new(daemon.dns()).ask(&Build::query("www.example", A));
    eventually("silence is silence", || {
        daemon.metric("byway_attempts_total", &[("outcome", "timed-out")]) >= 1.0
    });
    daemon.expect_metric("byway_attempts_total", &[("outcome", "mismatched")], 0.0);
}

#[test]
fn a_routes_recent_loss_and_last_answer_are_told() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"1s\"")
        .start();
    daemon.warm_up();
    let page = daemon.metrics();
    assert_eq!(page.sum("byway_route_loss_ratio", &[]), 0.0);
    let age = page.sum("byway_route_last_answer_age_seconds", &[]);
    assert!(
        page.names()
            .any(|it| it == "byway_route_last_answer_age_seconds")
            && age < 20.0,
        "{age}"
    );
    upstream.now(|_| Vec::new());
    Stub::new(daemon.dns()).ask(&Build::query("lost.example", A));
    eventually("the loss is seen", || {
        daemon.metric("byway_route_loss_ratio", &[]) > 0.0
    });
}
