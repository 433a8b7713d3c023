//! Which upstream is asked, how, and what happens when it does not help.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::kit::*;

/// Nobody listens there.
fn nobody() -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, 3), 1).into()
}

/// In the order of the file, with more time than any test takes.
const ORDERED: &str = "[routing]\npolicy = \"ordered\"\ndeadline = \"60s\"";

/// The same with little time.
const BRIEF: &str = "[routing]\npolicy = \"ordered\"\ndeadline = \"1s\"";

fn edns(name: &str) -> Build {
    Build::query(name, A).edns(Edns::new(1232))
}

#[test]
fn rd_and_cd_are_passed_on() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for (number, flags) in [RD, 0, RD | CD, CD].into_iter().enumerate() {
        let name = format!("flags{number}.example.");
        stub.ask(&Build::query(&name, A).flags(flags));
        let asked = upstream.asked_for(&name).swap_remove(0);
        assert_eq!(asked.flags & (RD | CD), flags, "{asked:?}");
        assert_eq!(asked.opcode(), 0);
        assert!(!asked.has(AA | TC | RA));
        assert_eq!(asked.counts, [1, 0, 0, 1]);
    }
}

#[test]
fn a_question_without_rd_does_not_answer_one_with_rd() {
    let upstream = Upstream::saying(|asked| match asked.has(RD) {
        true => asked.reply().answer(a(&asked.name(), 3600, [192, 0, 2, 1])),
        false => asked.reply().rcode(REFUSED),
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("desired.example", A);
    assert_ne!(stub.ask(&query.clone().clear(RD)).rcode(), NOERROR);
    assert_eq!(stub.ask(&query).addresses(), ["192.0.2.1"]);
}

type Refusal = fn(&Asked) -> Build;

/// How upstreams without EDNS say so.
const WITHOUT_EDNS: &[(&str, Refusal)] = &[
    ("FORMERR", |asked| asked.reply().rcode(FORMERR)),
    ("FORMERR, header only", |asked| {
        asked.reply().without_question().rcode(FORMERR)
    }),
    ("NOTIMP", |asked| asked.reply().rcode(NOTIMP)),
    ("BADVERS", |asked| {
        asked.reply().rcode(BADVERS).edns(Edns::new(512))
    }),
];

#[test]
fn upstreams_without_edns_are_understood_and_remembered() {
    for (what, refuse) in WITHOUT_EDNS {
        let refuse = *refuse;
        let upstream = Upstream::saying(move |asked| match asked.edns {
            Some(_) => refuse(asked),
            None => asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 1])),
        });
        let daemon = Daemon::to(&[&upstream]);
        let stub = Stub::new(daemon.dns());
        for number in 0..5 {
            // A client's EDNS is a matter between it and byway.
            let reply = stub.ask(&edns(&format!("plain{number}.example")));
            assert_eq!(reply.addresses(), ["192.0.2.1"], "{what}: {reply:?}");
        }
        let refused = upstream
            .asked()
            .iter()
            .filter(|asked| asked.edns.is_some())
            .count();
        // The first time, and perhaps once more because the refusal was late.
        assert!(refused <= 2, "{what}: EDNS was tried {refused} times");
        daemon.expect_questions(5);
        assert!(daemon.metric("byway_edns_fallbacks_total", &[]) >= 1.0);
    }
}

#[test]
fn an_upstream_that_ignores_edns_is_understood() {
    let upstream =
        Upstream::saying(|asked| asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 1])));
    let daemon = Daemon::to(&[&upstream]);
    let reply = Stub::new(daemon.dns()).ask(&edns("ignores.example"));
    assert_eq!(reply.addresses(), ["192.0.2.1"]);
    daemon.expect_questions(1);
}

#[test]
fn an_upstream_that_cannot_read_anything_is_not_asked_for_ever() {
    for rcode in [FORMERR, NOTIMP, BADVERS] {
        let upstream = Upstream::saying(move |asked| match rcode {
            BADVERS => asked.reply().rcode(rcode).edns(Edns::new(512)),
            _ => asked.reply().rcode(rcode),
        });
        let daemon = Setup::to(&[&upstream]).tables(BRIEF).start();
        let reply = Stub::new(daemon.dns()).ask(&edns("nothing.example"));
        assert_ne!(reply.rcode(), NOERROR, "{reply:?}");
        assert!(
            upstream.asked().len() <= 6,
            "asked {} times",
            upstream.asked().len()
        );
    }
}

#[test]
fn upstreams_that_do_not_help_are_passed_over() {
    let ways: [(&str, Way); 7] = [
        ("SERVFAIL", |asked| {
            vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]
        }),
        ("REFUSED", |asked| {
            vec![Act::Send(asked.reply().rcode(REFUSED).bytes())]
        }),
        ("REFUSED, header only", |asked| {
            let reply = asked.reply().without_question();
            vec![Act::Send(reply.rcode(REFUSED).bytes())]
        }),
        ("NOTIMP", |asked| {
            vec![Act::Send(asked.reply().rcode(NOTIMP).bytes())]
        }),
        ("FORMERR", |asked| {
            vec![Act::Send(asked.reply().rcode(FORMERR).bytes())]
        }),
        ("NOTAUTH", |asked| {
            vec![Act::Send(asked.reply().rcode(9).bytes())]
        }),
        ("silence", |_| Vec::new()),
    ];
    for (what, way) in ways {
        let (bad, good) = (Upstream::new(way), Upstream::good());
        let daemon = Setup::to(&[&bad, &good]).tables(ORDERED).start();
        let stub = Stub::new(daemon.dns());
        for number in 0..5 {
            let reply = stub.ask(&edns(&format!("over{number}.example")));
            assert_eq!(
                (reply.rcode(), reply.answers.len()),
                (NOERROR, 1),
                "{what}: {reply:?}"
            );
        }
    }
}

#[test]
fn a_poor_answer_does_not_win_over_a_good_one_that_is_late() {
    let gate = Gate::default();
    let poor = Upstream::saying(|asked| asked.reply().rcode(SERVFAIL));
    let good = Upstream::new({
        let gate = gate.clone();
        move |asked| vec![Act::WaitFor(gate.clone()), Act::Send(asked.good())]
    });
    let daemon = Setup::to(&[&poor, &good]).tables(ORDERED).start();
    let stub = Stub::new(daemon.dns());
    stub.send(&edns("late.example").bytes());
    eventually("both are asked", || {
        !poor.asked().is_empty() && !good.asked_for("late.example.").is_empty()
    });
    assert!(
        stub.receive_within(MOMENT).is_none(),
        "the good one is waited for"
    );
    gate.open();
    assert_eq!(stub.receive().answers.len(), 1);
}

#[test]
fn failure_everywhere_is_said_with_a_reason() {
    for rcode in [SERVFAIL, REFUSED, NOTIMP] {
        let [one, other] =
            [(); 2].map(|()| Upstream::saying(move |asked| asked.reply().rcode(rcode)));
        let daemon = Setup::to(&[&one, &other]).tables(ORDERED).start();
        let reply = Stub::new(daemon.dns()).ask(&edns("failing.example"));
        assert!(
            [SERVFAIL, rcode].contains(&reply.rcode()),
            "all say {rcode}: {reply:?}"
        );
        let edes = reply.edes();
        assert!(
            edes.iter().any(|ede| [22, 23].contains(ede)),
            "all say {rcode}: {reply:?}"
        );
        // Without EDNS there is no place for a reason.
        let reply = Stub::new(daemon.dns()).ask(&Build::query("failing2.example", A));
        assert!([SERVFAIL, rcode].contains(&reply.rcode()), "{reply:?}");
    }
}

#[test]
fn the_upstreams_reason_reaches_the_client() {
    let bogus = |asked: &Asked| {
        asked
            .reply()
            .rcode(SERVFAIL)
            .edns(Edns::new(1232).option(EDE, b"\x00\x06signature expired"))
    };
    let upstream = Upstream::saying(bogus);
    let daemon = Setup::to(&[&upstream]).tables(ORDERED).start();
    let reply = Stub::new(daemon.dns()).ask(&edns("bogus.example"));
    assert_eq!(reply.rcode(), SERVFAIL);
    assert!(reply.edes().contains(&6), "{reply:?}");
    let texts: Vec<Vec<u8>> = reply
        .edns
        .iter()
        .flat_map(|edns| &edns.options)
        .map(|it| it.1.clone())
        .collect();
    assert!(
        texts.contains(&b"\x00\x06signature expired".to_vec()),
        "{reply:?}"
    );
}

#[test]
fn silence_everywhere_ends_at_the_deadline() {
    let [one, other] = [Upstream::silent(), Upstream::silent()];
    let daemon = Setup::to(&[&one, &other]).tables(BRIEF).start();
    let stub = Stub::new(daemon.dns());
    let mut connection = Connection::new(daemon.dns());
    let query = edns("silent.example");
    connection.send(&query);
    for reply in [stub.ask(&query), connection.receive().expect("a reply")] {
        assert_eq!(reply.rcode(), SERVFAIL);
        assert!(
            reply.edes().iter().any(|ede| [22, 23].contains(ede)),
            "{reply:?}"
        );
    }
    let asked = one.asked_for("silent.example.").len() + other.asked_for("silent.example.").len();
    assert!(asked <= 6, "asked {asked} times");
}

#[test]
fn a_closed_port_is_heard_of_at_once() {
    // The deadline is far beyond the stub's patience: an answer before it proves the point.
    let daemon = Setup::bare().upstream(nobody(), "").tables(ORDERED).start();
    let reply = Stub::new(daemon.dns()).ask(&edns("closed.example"));
    assert_eq!(reply.rcode(), SERVFAIL);
    assert!(
        reply.edes().iter().any(|ede| [22, 23].contains(ede)),
        "{reply:?}"
    );
    let outcome = [("outcome", "unreachable"), ("upstream", "u0")];
    assert!(daemon.metric("byway_attempts_total", &outcome) >= 1.0);

    let good = Upstream::good();
    let daemon = Setup::bare()
        .upstream(nobody(), "")
        .upstream(good.address, "")
        .tables(ORDERED)
        .start();
    let reply = Stub::new(daemon.dns()).ask(&edns("closed.example"));
    assert_eq!(reply.answers.len(), 1);
}

#[test]
fn an_upstream_that_comes_back_is_asked_again() {
    let upstream = Upstream::saying(|asked| asked.reply().rcode(SERVFAIL));
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"1s\"\nreturn-within = \"1s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    for number in 0..20 {
        assert_eq!(
            stub.ask(&edns(&format!("sick{number}.example"))).rcode(),
            SERVFAIL
        );
    }
    upstream.now(|asked| vec![Act::Send(asked.good())]);
    let mut number = 0;
    eventually("questions are answered again", || {
        number += 1;
        stub.ask(&edns(&format!("well{number}.example"))).rcode() == NOERROR
    });
}

#[test]
fn the_order_of_the_file_holds_where_it_is_asked_for() {
    let upstreams = [Upstream::good(), Upstream::good(), Upstream::good()];
    let [first, second, third] = &upstreams;
    let daemon = Setup::to(&[first, second, third]).tables(ORDERED).start();
    let stub = Stub::new(daemon.dns());
    for number in 0..30 {
        stub.ask(&edns(&format!("ordered{number}.example")));
    }
    let names: BTreeSet<String> = first.asked().iter().map(|asked| asked.lower()).collect();
    assert_eq!(names.len(), 30, "the first got every question");
}

#[test]
fn spreading_uses_every_upstream() {
    let upstreams = [Upstream::good(), Upstream::good(), Upstream::good()];
    let [first, second, third] = &upstreams;
    let daemon = Setup::to(&[first, second, third])
        .tables("[routing]\npolicy = \"spread\"")
        .start();
    let stub = Stub::new(daemon.dns());
    for number in 0..60 {
        stub.ask(&edns(&format!("spread{number}.example")));
    }
    for upstream in &upstreams {
        assert!(
            upstream.asked().len() >= 8,
            "{} questions",
            upstream.asked().len()
        );
    }
}

#[test]
fn a_path_gives_the_source_address() {
    let upstream = Upstream::good();
    let paths = "[[path]]\nname = \"left\"\nsource = \"127.0.0.21\"";
    let daemon = Setup::bare()
        .upstream(upstream.address, "paths = [\"left\"]")
        .tables(paths)
        .start();
    for rtype in [A, AAAA] {
        Stub::new(daemon.dns()).ask(&Build::query("source.example", rtype));
    }
    // And by TCP.
    upstream.now(|asked| {
        let bytes = if asked.tcp {
            asked.good()
        } else {
            asked.reply().set(TC).bytes()
        };
        vec![Act::Send(bytes)]
    });
    Stub::new(daemon.dns()).ask(&Build::query("source2.example", A));
    let asked = upstream.asked();
    assert!(asked.len() >= 4 && asked.iter().any(|asked| asked.tcp));
    assert!(
        asked
            .iter()
            .all(|asked| asked.from.ip().to_string() == "127.0.0.21"),
        "{asked:?}"
    );
    assert!(
        daemon.log().contains("u0@left"),
        "the route's name: {}",
        daemon.log()
    );
}

#[test]
fn a_slow_upstream_is_not_a_dead_one() {
    // A resolver that has to ask its way takes its time. So does a way that leads over a satellite: then
    // nothing is quick, probes neither.
    for (count, quick_probes) in [(1, true), (1, false), (40, true), (40, false)] {
        let upstream = Upstream::new(move |asked| {
            let time = match asked.name() == "." && quick_probes {
                true => Duration::ZERO,
                false => Duration::from_millis(1500),
            };
            vec![Act::Wait(time), Act::Send(asked.good())]
        });
        let daemon = Setup::to(&[&upstream])
            .tables("[routing]\ndeadline = \"15s\"")
            .start();
        let stub = Stub::new(daemon.dns());
        for id in 0..count {
            stub.send(&edns(&format!("slow{id}.example")).id(id).bytes());
        }
        for _ in 0..count {
            let reply = stub.receive();
            assert_eq!(
                reply.rcode(),
                NOERROR,
                "{count} questions, {quick_probes}: {reply:?}"
            );
        }
    }
}

#[test]
fn the_end_of_an_outage_is_noticed_by_every_name() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    assert_eq!(stub.ask(&edns("before.example")).rcode(), NOERROR);
    upstream.now(|_| Vec::new());
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let reply = stub.ask(&edns("unknown.example"));
        assert_eq!(reply.rcode(), SERVFAIL);
        std::thread::sleep(Duration::from_millis(50));
    }
    upstream.now(|asked| vec![Act::Send(asked.good())]);
    eventually("a name nobody asked for works", || {
        stub.ask(&edns(&format!("new{}.example", rand::random::<u32>())))
            .rcode()
            == NOERROR
    });
    // What was asked for in vain is not punished for it.
    assert_eq!(stub.ask(&edns("unknown.example")).rcode(), NOERROR);
}

#[test]
fn the_number_in_flight_is_bounded() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nquestions = 16")
        .start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    for id in 0..40 {
        stub.send(&edns(&format!("bounded{id}.example")).id(id).bytes());
    }
    let limit = [("limit", "questions")];
    eventually("the rest is turned away", || {
        daemon.metric("byway_limit_reached_total", &limit) >= 24.0
    });
    assert!(daemon.metric("byway_questions_in_flight", &[]) <= 16.0);
    gate.open();
    let (mut shed, mut ids) = (0, BTreeSet::new());
    for _ in 0..40 {
        let reply = stub.receive();
        assert!(ids.insert(reply.id), "one reply each");
        if reply.rcode() == SERVFAIL {
            assert!(!reply.edes().is_empty(), "{reply:?}");
            shed += 1;
        }
    }
    assert!(shed >= 24, "{shed} were turned away");
    // The places are given back.
    eventually("questions are answered again", || {
        stub.ask(&edns("after.example")).rcode() == NOERROR
    });
    daemon.expect_metric("byway_waiting_clients", &[], 0.0);
}

#[test]
fn the_number_of_waiting_clients_is_bounded() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nwaiting = 16\n[routing]\ndeadline = \"60s\"")
        .start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    for id in 0..40 {
        stub.send(&edns("crowd.example").id(id).bytes());
    }
    for _ in 16..40 {
        assert_eq!(stub.receive().rcode(), SERVFAIL);
    }
    gate.open();
    for _ in 0..16 {
        assert_eq!(stub.receive().rcode(), NOERROR);
    }
    assert_eq!(stub.ask(&edns("crowd.example")).rcode(), NOERROR);
}
