//! Clients by TCP (RFC 7766, RFC 9210): patient, hasty, slow, silent and rude ones.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::kit::*;

#[test]
fn a_connection_carries_one_question_after_the_other() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    for number in 0..50 {
        let name = format!("persistent{}.example.", number / 2);
        let reply = connection.ask(&Build::query(&name, A));
        let [b0, b1, b2, b3] = address_of(&name);
        assert_eq!(reply.addresses(), [format!("{b0}.{b1}.{b2}.{b3}")]);
    }
    daemon.expect_metric("byway_tcp_connections_accepted_total", &[], 1.0);
}

#[test]
fn answers_come_as_they_are_ready() {
    let gate = Gate::default();
    let upstream = Upstream::new({
        let gate = gate.clone();
        move |asked| match asked.lower().starts_with("slow") {
            true => vec![Act::WaitFor(gate.clone()), Act::Send(asked.good())],
            false => vec![Act::Send(asked.good())],
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let slow = Build::query("slow.example", A);
    connection.send(&slow);
    for _ in 0..3 {
        let quick = Build::query("quick.example", A);
        assert_eq!(connection.ask(&quick).id, quick.id, "it overtakes");
    }
    gate.open();
    assert_eq!(connection.receive().map(|reply| reply.id), Some(slow.id));
}

#[test]
fn one_write_may_hold_five_hundred_questions() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let queries: Vec<Build> = (0..500u16)
        .map(|number| Build::query(&format!("pipelined{}.example", number % 100), A).id(number))
        .collect();
    let bytes: Vec<u8> = queries
        .iter()
        .flat_map(|query| framed(&query.bytes()))
        .collect();
    let mut writer = connection.stream.try_clone().expect("a writer");
    let writing = thread::spawn(move || writer.write_all(&bytes));
    let mut ids = BTreeSet::new();
    for _ in &queries {
        let reply = connection.receive().expect("a reply");
        super::kit::stub::check(&queries[usize::from(reply.id)], &reply);
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
        assert!(ids.insert(reply.id), "twice: {reply:?}");
    }
    writing.join().expect("written").expect("written");
    assert!(connection.is_quiet(), "nothing more comes");
}

#[test]
fn messages_do_not_depend_on_segments() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let query = Build::query("segment.example", A);
    // One octet at a time.
    for octet in framed(&query.bytes()) {
        connection.stream.write_all(&[octet]).expect("written");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(connection.receive().map(|reply| reply.id), Some(query.id));
    // Two and a half, then the rest.
    let queries = [1, 2, 3].map(|id| query.clone().id(id));
    let bytes: Vec<u8> = queries
        .iter()
        .flat_map(|query| framed(&query.bytes()))
        .collect();
    for cut in [
        1,
        2,
        3,
        bytes.len() / 3 + 1,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        let (first, rest) = bytes.split_at(cut);
        connection.stream.write_all(first).expect("written");
        thread::sleep(Duration::from_millis(20));
        connection.stream.write_all(rest).expect("written");
        let ids: BTreeSet<u16> = (0..3)
            .map(|_| connection.receive().expect("a reply").id)
            .collect();
        assert_eq!(ids, BTreeSet::from([1, 2, 3]), "cut at {cut}");
    }
}

#[test]
fn a_client_that_has_finished_sending_gets_its_answers() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let mut connection = Connection::new(daemon.dns());
    for number in 0..3 {
        connection.send(&Build::query(&format!("half{number}.example"), A).id(number));
    }
    connection.finish();
    eventually("all are asked", || upstream.asked().len() >= 3);
    assert!(connection.is_quiet(), "the connection stays open");
    gate.open();
    let ids: BTreeSet<u16> = (0..3)
        .map(|_| connection.receive().expect("a reply").id)
        .collect();
    assert_eq!(ids, BTreeSet::from([0, 1, 2]));
    assert!(connection.receive().is_none(), "then it is closed");
}

#[test]
fn idle_connections_are_closed() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-idle = \"300ms\"")
        .start();
    let mut silent = Connection::new(daemon.dns());
    let mut used = Connection::new(daemon.dns());
    assert_eq!(used.ask(&Build::query("idle.example", A)).rcode(), NOERROR);
    assert!(silent.is_closed());
    assert!(used.is_closed());
    eventually("none is left", || {
        daemon.metric("byway_tcp_connections", &[]) == 0.0
    });
}

#[test]
fn a_client_that_waits_for_an_answer_is_not_idle() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-idle = \"100ms\"\ntcp-stall = \"100ms\"")
        .start();
    daemon.warm_up();
    let mut connection = Connection::new(daemon.dns());
    let query = Build::query("waits.example", A);
    connection.send(&query);
    thread::sleep(Duration::from_millis(400));
    gate.open();
    assert_eq!(connection.receive().map(|reply| reply.id), Some(query.id));
}

#[test]
fn a_query_that_is_not_finished_is_cut_off() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-stall = \"300ms\"\ntcp-idle = \"60s\"")
        .start();
    let bytes = framed(&Build::query("unfinished.example", A).bytes());
    for length in [1, 2, 10, bytes.len() - 1] {
        let mut connection = Connection::new(daemon.dns());
        connection
            .stream
            .write_all(&bytes[..length])
            .expect("written");
        assert!(connection.is_closed(), "{length} octets");
    }
    // An octet now and then does not help.
    let mut trickle = Connection::new(daemon.dns());
    let mut writer = trickle.stream.try_clone().expect("a writer");
    let feeding = thread::spawn(move || {
        let long = [0xff, 0xff].into_iter().chain(std::iter::repeat_n(0, 1000));
        for octet in long {
            if writer.write_all(&[octet]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(trickle.is_closed());
    drop(trickle);
    feeding.join().expect("no panic");
    eventually("all are counted", || {
        daemon.metric("byway_dropped_total", &[("reason", "stalled")]) == 5.0
    });
}

#[test]
fn a_client_that_takes_no_answers_is_cut_off() {
    let upstream = Upstream::new(|asked| {
        let records = (0..200).map(|_| txt(&asked.name(), 3600, b'x', 255));
        let reply = asked.reply();
        vec![Act::Send(if asked.tcp {
            reply.answers(records).bytes()
        } else {
            reply.set(TC).bytes()
        })]
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-stall = \"300ms\"\ntcp-idle = \"60s\"")
        .start();
    let rude = Connection::from(Ipv4Addr::LOCALHOST.into(), daemon.dns(), true);
    let rude = rude.expect("a connection");
    let mut writer = rude.stream.try_clone().expect("a writer");
    let asking = thread::spawn(move || {
        for id in 0..2000 {
            let query = framed(&Build::query("flood.example", TXT).id(id).bytes());
            if writer.write_all(&query).is_err() {
                return;
            }
        }
    });
    eventually("it is cut off", || {
        daemon.metric("byway_dropped_total", &[("reason", "stalled")]) == 1.0
    });
    // Others were never in danger.
    assert_eq!(
        Connection::new(daemon.dns())
            .ask(&Build::query("flood.example", TXT))
            .answers
            .len(),
        200
    );
    drop(rude);
    asking.join().expect("no panic");
}

#[test]
fn the_longest_idle_makes_room_for_a_new_connection() {
    let upstream = Upstream::good();
    // Whichever of its two workers each is with.
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-connections = 3\ntcp-connections-per-client = 3\ntcp-idle = \"60s\"")
        .start();
    let query = Build::query("room.example", A);
    let mut connections: Vec<Connection> = (0..3)
        .map(|last| {
            let source = Ipv4Addr::new(127, 0, 1, last).into();
            let mut it = Connection::from(source, daemon.dns(), false).expect("a connection");
            assert_eq!(it.ask(&query).rcode(), NOERROR);
            // It is idle once its worker's turn is over, which its client does not see.
            thread::sleep(Duration::from_millis(50));
            it
        })
        .collect();
    // The first becomes the last that was used.
    assert_eq!(connections[0].ask(&query).rcode(), NOERROR);
    thread::sleep(Duration::from_millis(50));
    let mut late = Connection::new(daemon.dns());
    assert_eq!(late.ask(&query).rcode(), NOERROR);
    assert!(connections[1].is_closed(), "it was idle longest");
    assert_eq!(connections[0].ask(&query).rcode(), NOERROR);
    assert_eq!(connections[2].ask(&query).rcode(), NOERROR);
    assert!(daemon.metric("byway_limit_reached_total", &[("limit", "tcp-connections")]) >= 1.0);
    daemon.expect_metric("byway_tcp_connections", &[], 3.0);
    let mut last = late;
    for number in 0..20 {
        // One at a time may be on its way out where there are so few places.
        eventually("who was told to leave has left", || {
            daemon.metric("byway_tcp_connections", &[]) <= 3.0
        });
        let source = Ipv4Addr::new(127, 0, 2, number).into();
        last = Connection::from(source, daemon.dns(), false).expect("a connection");
        assert_eq!(last.ask(&query).rcode(), NOERROR, "number {number}");
    }
    assert_eq!(last.ask(&query).rcode(), NOERROR);
}

#[test]
fn one_client_cannot_take_every_place() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables(
            "[limits]\ntcp-connections = 10\ntcp-connections-per-client = 2\ntcp-idle = \"60s\"",
        )
        .start();
    let query = Build::query("places.example", A);
    let greedy: IpAddr = Ipv4Addr::new(127, 0, 0, 9).into();
    let connect = |source| Connection::from(source, daemon.dns(), false).expect("a connection");
    let mut kept = [connect(greedy), connect(greedy)];
    for connection in &mut kept {
        assert_eq!(connection.ask(&query).rcode(), NOERROR);
    }
    let mut third = connect(greedy);
    assert!(third.is_closed(), "the third is closed at once");
    let mut other = connect(Ipv4Addr::new(127, 0, 0, 10).into());
    assert_eq!(other.ask(&query).rcode(), NOERROR);
    for connection in &mut kept {
        assert_eq!(
            connection.ask(&query).rcode(),
            NOERROR,
            "those there are stay"
        );
    }
    let limit = [("limit", "tcp-connections-per-client")];
    daemon.expect_metric("byway_limit_reached_total", &limit, 1.0);
    // A place that is left can be taken again.
    let [first, _second] = kept;
    drop(first);
    eventually("there is a place", || {
        daemon.metric("byway_tcp_connections", &[]) == 2.0
    });
    assert_eq!(connect(greedy).ask(&query).rcode(), NOERROR);
}

#[test]
fn a_thousand_idle_connections_are_no_burden() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(8192, |most| most.min(8192));
    let raised = Rlimit {
        current: Some(current),
        maximum: limit.maximum,
    };
    if current < 2500 || setrlimit(Resource::Nofile, raised).is_err() {
        return skip("it takes more than a thousand descriptors");
    }
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-idle = \"10m\"")
        .start();
    let query = Build::query("idle.example", A);
    let mut connections: Vec<Connection> =
        (0..1000).map(|_| Connection::new(daemon.dns())).collect();
    eventually("all are in", || {
        daemon.metric("byway_tcp_connections", &[]) == 1000.0
    });
    let stub = Stub::new(daemon.dns());
    for number in 0..200 {
        assert_eq!(stub.ask(&query).rcode(), NOERROR);
        let fresh = Build::query(&format!("fresh{number}.example"), A);
        assert_eq!(stub.ask(&fresh).rcode(), NOERROR);
    }
    for connection in &mut connections {
        assert_eq!(
            connection.ask(&query).rcode(),
            NOERROR,
            "each is still there"
        );
    }
}

#[test]
fn what_is_no_query_ends_a_connection_at_most() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let query = Build::query("rude.example", A);
    let answer = framed(&query.clone().set(QR).bytes());
    for (what, bytes) in [
        ("no octets", vec![0, 0]),
        ("one octet", vec![0, 1, 7]),
        ("half a header", framed(&query.bytes()[..6])),
        ("a response", answer),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("TLS", vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
    ] {
        let mut connection = Connection::new(daemon.dns());
        connection.stream.write_all(&bytes).expect("written");
        connection.finish();
        assert!(connection.is_closed(), "{what} is not answered");
        assert_eq!(
            Connection::new(daemon.dns()).ask(&query).rcode(),
            NOERROR,
            "after {what}"
        );
    }
    // A port scan.
    for _ in 0..50 {
        drop(Connection::new(daemon.dns()));
    }
    assert_eq!(Stub::new(daemon.dns()).ask(&query).rcode(), NOERROR);
}

#[test]
fn what_is_refused_by_datagram_is_refused_by_connection() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let plain = Build::query("stream.example", A);
    let two = plain
        .clone()
        .questions(2)
        .question(plain.question.repeat(2));
    for (query, rcode) in [
        (plain.clone().opcode(4), NOTIMP),
        (plain.clone().opcode(5), NOTIMP),
        (plain.clone().without_question(), FORMERR),
        (two, FORMERR),
        (plain.clone().class(3), REFUSED),
        (Build::query("stream.example", AXFR), REFUSED),
        (Build::query("stream.example", IXFR), REFUSED),
        (plain.clone().edns(Edns::new(1232).version(1)), BADVERS),
        (Build::query("stream.example", ANY), NOERROR),
        (plain.clone(), NOERROR),
    ] {
        let reply = connection.ask(&query);
        assert_eq!(reply.rcode(), rcode, "{reply:?}");
    }
    daemon.expect_questions(1);
}

#[test]
fn a_client_that_left_harms_nobody() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let query = Build::query("left.example", A);
    let mut stays = Connection::new(daemon.dns());
    for leaves in (0..5).map(|_| Connection::new(daemon.dns())) {
        let mut leaves = leaves;
        leaves.send(&query);
        socket2::SockRef::from(&leaves.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("to leave with a reset");
    }
    stays.send(&query);
    eventually("the question is asked", || !upstream.asked().is_empty());
    gate.open();
    assert_eq!(stays.receive().map(|reply| reply.id), Some(query.id));
    assert_eq!(Stub::new(daemon.dns()).ask(&query).rcode(), NOERROR);
}

#[test]
fn the_pipeline_is_bounded_and_nothing_is_lost_by_it() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\ntcp-pipeline = 2")
        .start();
    daemon.warm_up();
    let mut connection = Connection::new(daemon.dns());
    for number in 0..20 {
        connection.send(&Build::query(&format!("bounded{number}.example"), A).id(number));
    }
    let names = || {
        upstream
            .asked()
            .iter()
            .map(|asked| asked.lower())
            .collect::<BTreeSet<_>>()
    };
    eventually("two are asked", || names().len() == 2);
    thread::sleep(MOMENT);
    assert_eq!(names().len(), 2, "and no more");
    gate.open();
    let ids: BTreeSet<u16> = (0..20)
        .map(|_| connection.receive().expect("a reply").id)
        .collect();
    assert_eq!(ids.len(), 20);
    assert!(daemon.metric("byway_limit_reached_total", &[("limit", "tcp-pipeline")]) >= 1.0);
}
