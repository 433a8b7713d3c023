//! When an answer past its TTL is given, and that a fresh one is asked for whenever one is (RFC 8767 section 5).

use std::thread;
use std::time::{Duration, Instant};

use super::kit::*;

/// Two thirds of the names fail, each third in its way; the others last a second.
fn of_all_kinds(asked: &Asked) -> Vec<Act> {
    let name = asked.lower();
    if name.starts_with("silent") {
        return Vec::new();
    }
    if name.starts_with("broken") {
        return vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())];
    }
    let fresh = a(&asked.name(), 1, [192, 0, 2, 1]);
    vec![Act::Send(asked.reply().answer(fresh).bytes())]
}

#[test]
fn a_name_whose_server_answers_is_not_stale_because_others_fail() {
    for count in [1, 2] {
        let upstreams: Vec<Upstream> = (0..count).map(|_| Upstream::new(of_all_kinds)).collect();
        let daemon = Setup::to(&upstreams.iter().collect::<Vec<_>>()).start();
        daemon.warm_up();
        let (stub, others) = (Stub::new(daemon.dns()), Stub::new(daemon.dns()));
        let query = Build::query("fine.example", A).edns(Edns::new(1232));
        let (mut stale, end) = (0, Instant::now() + Duration::from_secs(8));
        let mut round = 0;
        while Instant::now() < end {
            for kind in ["silent", "broken"] {
                others.send(&Build::query(&format!("{kind}{round}.example"), A).bytes());
            }
            round += 1;
            for _ in 0..5 {
                let reply = stub.ask(&query);
                assert_eq!(reply.addresses(), ["192.0.2.1"], "{reply:?}");
                stale += usize::from(!reply.edes().is_empty());
                thread::sleep(Duration::from_millis(200));
            }
        }
        // A machine that stalls for a fifth of a second makes one stale, and no more.
        let at_once = [("reason", "nothing-clear")];
        daemon.expect_metric("byway_stale_answers_total", &at_once, 0.0);
        let failed = [("reason", "failed")];
        daemon.expect_metric("byway_stale_answers_total", &failed, 0.0);
        let asked = upstreams
            .iter()
            .map(|it| it.asked_for("fine.example.").len());
        let asked: usize = asked.sum();
        assert!(
            asked >= round / 2 && stale <= round,
            "{count} upstreams: asked {asked} times in {round} s, {stale} stale"
        );
    }
}

#[test]
fn what_is_given_stale_is_asked_for_anew() {
    let brief = |asked: &Asked| asked.reply().answer(a(&asked.name(), 1, [192, 0, 2, 1]));
    let upstream = Upstream::saying(brief);
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nstale-wait = \"0s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("known.example", A).edns(Edns::new(1232));
    stub.ask(&query);
    thread::sleep(Duration::from_millis(1200));
    upstream.now(|asked| {
        let fresh = asked.reply().answer(a(&asked.name(), 3600, [192, 0, 2, 2]));
        vec![Act::Send(fresh.bytes())]
    });
    let reply = stub.ask(&query);
    assert_eq!(
        (reply.addresses(), reply.edes()),
        (vec!["192.0.2.1".into()], vec![3])
    );
    eventually("the next ones get the fresh one", || {
        let reply = stub.ask(&query);
        reply.addresses() == ["192.0.2.2"] && reply.edes().is_empty()
    });
    daemon.expect_metric("byway_renewals_total", &[("result", "renewed")], 1.0);
    assert_eq!(upstream.asked_for("known.example.").len(), 2);
}

#[test]
fn a_name_that_failed_and_is_mended_is_fresh_again_soon() {
    let answering = |asked: &Asked| asked.reply().answer(a(&asked.name(), 1, [192, 0, 2, 1]));
    let upstream = Upstream::saying(answering);
    let daemon = Setup::to(&[&upstream]).start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("known.example", A).edns(Edns::new(1232));
    stub.ask(&query);
    upstream.now(|asked| match asked.lower().starts_with("known") {
        true => vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())],
        false => vec![Act::Send(asked.good())],
    });
    // So often that it would not be asked again for a quarter of a minute, were nothing held.
    let failed = || upstream.asked_for("known.example.").len();
    let before = failed();
    eventually("it has failed four times", || {
        let reply = stub.ask(&query);
        assert_eq!(reply.addresses(), ["192.0.2.1"], "{reply:?}");
        thread::sleep(Duration::from_millis(50));
        failed() >= before + 4
    });
    upstream.now(move |asked| vec![Act::Send(answering(asked).bytes())]);
    eventually("it is fresh again", || stub.ask(&query).edes().is_empty());
}
