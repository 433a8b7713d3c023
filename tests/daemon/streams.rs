//! Upstreams by TCP: after truncation, or from the first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::kit::*;

/// An upstream that truncates over UDP and does `over_tcp` on the connection.
fn truncating(
    hears: Hears,
    over_tcp: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
) -> Upstream {
    Upstream::hearing(hears, move |asked| match asked.tcp {
        true => over_tcp(asked),
        false => vec![Act::Send(asked.reply().set(TC).bytes())],
    })
}

#[test]
fn what_was_truncated_is_asked_by_tcp() {
    let upstream = truncating(Hears::Both, |asked| vec![Act::Send(asked.good())]);
    let daemon = Daemon::to(&[&upstream]);
    let reply = Stub::new(daemon.dns()).ask(&Build::query("truncated.example", A));
    assert_eq!(
        (reply.answers.len(), reply.has(TC)),
        (1, false),
        "{reply:?}"
    );
    let asked = upstream.asked_for("truncated.example.");
    let (by_tcp, by_udp): (Vec<&Asked>, Vec<&Asked>) = asked.iter().partition(|asked| asked.tcp);
    assert!(!by_tcp.is_empty() && !by_udp.is_empty());
    let kind = [("kind", "stream-fallback"), ("upstream", "u0")];
    assert!(daemon.metric("byway_attempts_sent_total", &kind) >= 1.0);
    let outcome = [("outcome", "truncated"), ("upstream", "u0")];
    assert!(daemon.metric("byway_attempts_total", &outcome) >= 1.0);
}

#[test]
fn a_truncated_answer_with_a_cut_record_is_still_truncated() {
    let upstream = Upstream::new(|asked| {
        let whole = asked
            .reply()
            .answers((0..9).map(|_| txt(&asked.name(), 60, b'x', 200)));
        let bytes = whole.clone().set(TC).bytes();
        vec![Act::Send(if asked.tcp {
            whole.bytes()
        } else {
            bytes[..512].to_vec()
        })]
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    assert_eq!(
        connection
            .ask(&Build::query("cut.example", TXT))
            .answers
            .len(),
        9
    );
}

#[test]
fn truncated_and_tcp_refused() {
    let upstream = truncating(Hears::OnlyUdp, |_| unreachable!());
    let other = Upstream::good();
    let daemon = Setup::to(&[&upstream, &other])
        .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"30s\"")
        .start();
    let reply = Stub::new(daemon.dns()).ask(&Build::query("refused.example", A));
    assert_eq!(
        (reply.rcode(), reply.answers.len()),
        (NOERROR, 1),
        "the other one is asked"
    );
    // Without another one the truncated answer is all there is, and says so.
    let alone = Setup::to(&[&upstream]).start();
    let mut connection = Connection::new(alone.dns());
    let reply = connection.ask(&Build::query("refused.example", A).edns(Edns::new(1232)));
    assert!(
        reply.has(TC) || (reply.rcode() == SERVFAIL && !reply.edes().is_empty()),
        "{reply:?}"
    );
}

/// What is asked again goes over another connection than the one that has gone silent.
#[test]
fn a_connection_that_goes_silent_is_left() {
    let upstream = Upstream::new(|asked| match asked.connection {
        1 if !asked.lower().ends_with(".known.test.") => Vec::new(),
        _ => vec![Act::Send(asked.good())],
    });
    let daemon = Setup::bare()
        .one_worker()
        .upstream(upstream.address, "transport = \"tcp\"")
        .start();
    daemon.warm_up();
    for number in 0..3 {
        let name = format!("silent{number}.example");
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        assert_eq!(reply.rcode(), NOERROR, "{number}: {reply:?}");
    }
    assert!(upstream.connections() > 1);
}

/// One answer of 60 KB that a whole pipeline of queries waited for does not cost their client its connection.
#[test]
fn a_pipeline_of_large_answers_that_come_at_once() {
    let upstream = truncating(Hears::Both, |asked| {
        let texts = (0..250).map(|_| txt(&asked.name(), 60, b'x', 220));
        vec![Act::Send(asked.reply().answers(texts).bytes())]
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    for _ in 0..100 {
        connection.send(&Build::query("large.example", TXT));
    }
    for _ in 0..100 {
        let reply = connection.receive().expect("a reply");
        assert_eq!((reply.answers.len(), reply.has(TC)), (250, false));
    }
}

/// What fits is given to whoever never asks over TCP, every time, when TCP to the upstream fails however.
#[test]
fn what_fitted_is_given_where_tcp_fails() {
    type OverTcp = fn(&Asked) -> Vec<Act>;
    let ways: [(Hears, OverTcp); 3] = [
        (Hears::OnlyUdp, |_| unreachable!()),
        (Hears::Both, |_| vec![Act::Close]),
        (Hears::Both, |_| Vec::new()),
    ];
    for (hears, over_tcp) in ways {
        let upstream = Upstream::hearing(hears, move |asked| match asked.tcp {
            true => over_tcp(asked),
            false => {
                let reply = asked.reply().set(TC);
                vec![Act::Send(
                    reply.answer(a(&asked.name(), 60, [1; 4])).bytes(),
                )]
            }
        });
        let useless = Upstream::saying(|asked| asked.reply().rcode(SERVFAIL));
        for daemon in [Daemon::to(&[&upstream]), Daemon::to(&[&upstream, &useless])] {
            for _ in 0..2 {
                let reply = Stub::new(daemon.dns()).ask(&Build::query("fits.example", A));
                let seen = (reply.rcode(), reply.has(TC), reply.answers.len());
                assert_eq!(seen, (NOERROR, true, 1), "{reply:?}");
            }
        }
    }
}

#[test]
fn a_truncated_answer_is_not_kept() {
    let upstream = Upstream::new(|asked| match asked.tcp {
        true => vec![Act::Close],
        false => {
            let reply = asked
                .reply()
                .set(TC)
                .answer(a(&asked.name(), 3600, [192, 0, 2, 1]));
            vec![Act::Send(reply.bytes())]
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("partial.example", A);
    stub.ask(&query);
    upstream.now(|asked| vec![Act::Send(asked.good())]);
    eventually("the whole answer comes once it can be had", || {
        let reply = stub.ask(&query);
        reply.rcode() == NOERROR && !reply.has(TC) && reply.answers.len() == 1
    });
}

#[test]
fn connections_that_break_are_passed_over() {
    let other = Upstream::good();
    let ways: [(&str, Way); 7] = [
        ("closed without a word", |_| vec![Act::Close]),
        ("half a length", |_| vec![Act::Raw(vec![0]), Act::Close]),
        ("half a message", |asked| {
            let framed = framed(&asked.good());
            vec![Act::Raw(framed[..framed.len() / 2].to_vec()), Act::Close]
        }),
        ("a length of nothing", |_| {
            vec![Act::Raw(vec![0, 0]), Act::Close]
        }),
        ("another ID", |asked| {
            vec![Act::Send(asked.reply().id(!asked.id).bytes()), Act::Close]
        }),
        ("another question", |asked| {
            let question = Build::query("other.example", A).question;
            vec![
                Act::Send(asked.reply().question(question).bytes()),
                Act::Close,
            ]
        }),
        ("garbage", |_| {
            vec![
                Act::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
                Act::Close,
            ]
        }),
    ];
    for (what, way) in ways {
        let upstream = truncating(Hears::Both, way);
        let daemon = Setup::to(&[&upstream, &other])
            .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"30s\"")
            .start();
        let reply = Stub::new(daemon.dns()).ask(&Build::query("broken.example", A));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 1),
            "{what}: {reply:?}"
        );
    }
}

#[test]
fn answers_need_not_come_in_one_segment() {
    let upstream = truncating(Hears::Both, |asked| vec![Act::Dribble(asked.good())]);
    let daemon = Daemon::to(&[&upstream]);
    for number in 0..3 {
        let reply =
            Stub::new(daemon.dns()).ask(&Build::query(&format!("dribble{number}.example"), A));
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
    }
}

#[test]
fn forgeries_on_a_connection_are_ignored_too() {
    let upstream = truncating(Hears::Both, |asked| {
        let evil = asked.reply().answer(a(&asked.name(), 60, [6, 6, 6, 6]));
        let question = Build::query("other.example", A).question;
        vec![
            Act::Send(evil.clone().id(asked.id ^ 0x5555).bytes()),
            Act::Send(evil.clone().question(question).bytes()),
            Act::Send(evil.clear(QR).bytes()),
            Act::Raw(vec![0, 0]),
            Act::Send(vec![1]),
            Act::Send(asked.good()),
        ]
    });
    let daemon = Daemon::to(&[&upstream]);
    let reply = Stub::new(daemon.dns()).ask(&Build::query("forged.example", A));
    assert_eq!(reply.answers.len(), 1, "{reply:?}");
    assert_ne!(reply.addresses(), ["6.6.6.6"]);
    assert!(daemon.metric("byway_mismatched_responses_total", &[("reason", "id")]) >= 1.0);
}

fn by_tcp(upstream: &Upstream) -> Setup {
    Setup::bare().upstream(upstream.address, "transport = \"tcp\"")
}

#[test]
fn an_upstream_may_be_asked_by_tcp_alone() {
    let upstream = Upstream::hearing(Hears::OnlyTcp, |asked| vec![Act::Send(asked.good())]);
    let daemon = by_tcp(&upstream).start();
    let stub = Stub::new(daemon.dns());
    for number in 0..40 {
        let reply = stub.ask(&Build::query(&format!("tcp{number}.example"), A));
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
    }
    let asked = upstream.asked();
    assert_eq!(asked.len(), 40);
    assert!(asked.iter().all(|asked| asked.tcp));
    // Two workers, each with one connection it keeps, or two.
    assert!(
        upstream.connections() <= 4,
        "{} connections",
        upstream.connections()
    );
    let ids: BTreeSet<u16> = asked.iter().map(|asked| asked.id).collect();
    assert!(ids.len() > 35, "identifiers are drawn at random here too");
}

#[test]
fn questions_are_pipelined_and_answered_in_any_order() {
    let held: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let upstream = Upstream::hearing(Hears::OnlyTcp, {
        let held = Arc::clone(&held);
        move |asked| {
            if asked.name() == "." {
                return vec![Act::Send(asked.good())];
            }
            let mut held = lock(&held);
            held.push(asked.clone());
            match held.len() {
                30 => held
                    .drain(..)
                    .rev()
                    .map(|asked| Act::Send(asked.good()))
                    .collect(),
                _ => Vec::new(),
            }
        }
    });
    // One worker, one connection: whoever answers last answers all, in reverse.
    let daemon = by_tcp(&upstream)
        .tables("[limits]\nupstream-connections = 1\n[routing]\ndeadline = \"30s\"\nhedge-min = \"5s\"\nhedge-max = \"5s\"")
        .one_worker()
        .start();
    let stub = Stub::new(daemon.dns());
    for id in 0..30 {
        stub.send(
            &Build::query(&format!("order{id}.example."), A)
                .id(id)
                .bytes(),
        );
    }
    for _ in 0..30 {
        let reply = stub.receive();
        let [b0, b1, b2, b3] = address_of(&format!("order{}.example.", reply.id));
        assert_eq!(
            reply.addresses(),
            [format!("{b0}.{b1}.{b2}.{b3}")],
            "each its own"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_connection_closed_while_idle_is_nobodys_fault() {
    let upstream = Upstream::hearing(Hears::OnlyTcp, |asked| {
        vec![
            Act::Send(asked.good()),
            Act::Wait(Duration::from_millis(20)),
            Act::Close,
        ]
    });
    let daemon = by_tcp(&upstream).one_worker().start();
    let stub = Stub::new(daemon.dns());
    for number in 0..10 {
        let reply = stub.ask(&Build::query(&format!("closed{number}.example"), A));
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
        std::thread::sleep(Duration::from_millis(60));
    }
    let failed: f64 = ["closed", "handshake-failed", "timed-out", "unreachable"]
        .iter()
        .map(|outcome| daemon.metric("byway_attempts_total", &[("outcome", *outcome)]))
        .sum();
    assert_eq!(failed, 0.0, "nothing is held against it");
}

#[test]
fn a_connection_closed_as_the_question_arrives_is_tried_once_more() {
    // Takes one question a connection; whoever asks a second one on it finds it closed.
    let upstream = Upstream::hearing(Hears::OnlyTcp, |_| Vec::new());
    let last: Arc<Mutex<usize>> = Arc::default();
    upstream.now({
        let last = Arc::clone(&last);
        move |asked| {
            let mut last = lock(&last);
            match std::mem::replace(&mut *last, asked.connection) == asked.connection {
                true => vec![Act::Close],
                false => vec![Act::Send(asked.good())],
            }
        }
    });
    let daemon = by_tcp(&upstream).one_worker().start();
    let stub = Stub::new(daemon.dns());
    for number in 0..10 {
        let reply = stub.ask(&Build::query(&format!("again{number}.example"), A));
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
    }
}

#[test]
fn large_answers_come_by_tcp_upstreams_whole() {
    let upstream = Upstream::hearing(Hears::OnlyTcp, |asked| {
        let records = (0..230).map(|_| txt(&asked.name(), 60, b'x', 255));
        vec![Act::Send(asked.reply().answers(records).bytes())]
    });
    let daemon = by_tcp(&upstream).start();
    let reply = Connection::new(daemon.dns()).ask(&Build::query("big.example", TXT));
    assert_eq!(reply.answers.len(), 230);
}

#[test]
fn an_upstream_that_refuses_connections_is_passed_over() {
    let (dead, good) = (
        Upstream::hearing(Hears::OnlyUdp, |_| Vec::new()),
        Upstream::good(),
    );
    let daemon = Setup::bare()
        .upstream(dead.address, "transport = \"tcp\"")
        .upstream(good.address, "")
        .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"60s\"")
        .start();
    let reply = Stub::new(daemon.dns()).ask(&Build::query("handshake.example", A));
    assert_eq!(reply.answers.len(), 1);
    let outcome = [("outcome", "handshake-failed"), ("upstream", "u0")];
    eventually("it is said why", || {
        daemon.metric("byway_attempts_total", &outcome) >= 1.0
    });
}
