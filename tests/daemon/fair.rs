//! One client that asks much does not spoil it for those who ask little.

use std::net::IpAddr;

use super::kit::daemon::{run, stderr, stdout};
use super::kit::*;

const GREEDY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const MODEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));

fn edns(name: &str) -> Build {
    Build::query(name, A).edns(Edns::new(1232))
}

/// Clients on this host count as any others, two new names a second each, four at once.
const FEW: &str = "[limits]\nexempt-clients = []\nnew-names-per-client = 2";

#[test]
fn there_is_room_for_who_asks_little_beside_who_asks_without_end() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables(
            "[limits]\nquestions = 256\nqueue-patience = \"10s\"\n[routing]\ndeadline = \"40s\"",
        )
        .start();
    daemon.warm_up();
    // Of several ports, so that both workers have some of it.
    let greedy: Vec<Stub> = (0..8).map(|_| Stub::from(GREEDY, daemon.dns())).collect();
    for n in 0..1200 {
        greedy[n % 8].send(&edns(&format!("much{n}.example")).bytes());
    }
    let modest = Stub::from(MODEST, daemon.dns());
    let turned_away = [("limit", "questions"), ("client", "loopback")];
    eventually("the greedy one is turned away", || {
        daemon.metric("byway_limit_reached_total", &turned_away) >= 900.0
    });
    let names: Vec<String> = (0..5).map(|n| format!("little{n}.example")).collect();
    for name in &names {
        modest.send(&edns(name).bytes());
    }
    // Before anything is answered: it does not even have to wait for its turn.
    eventually("the modest one is asked for", || {
        names
            .iter()
            .all(|it| !upstream.asked_for(&format!("{it}.")).is_empty())
    });
    gate.open();
    for _ in 0..5 {
        assert_eq!(modest.receive().rcode(), NOERROR);
    }
}

#[test]
fn where_there_is_no_room_clients_take_turns() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .one_worker()
        .tables(
            "[limits]\nattempts-per-route = 4\nqueue-patience = \"10s\"\n[routing]\ndeadline = \"40s\"",
        )
        .start();
    daemon.warm_up();
    let (greedy, modest) = (
        Stub::from(GREEDY, daemon.dns()),
        Stub::from(MODEST, daemon.dns()),
    );
    let many = |range: std::ops::Range<usize>| {
        for n in range {
            greedy.send(&edns(&format!("much{n}.example")).bytes());
        }
    };
    many(0..20);
    for n in 0..10 {
        modest.send(&edns(&format!("little{n}.example")).bytes());
    }
    // The newest go first, but only of the same client.
    many(20..100);
    eventually("all wait", || {
        daemon.metric("byway_waiting_clients", &[]) >= 110.0
    });
    gate.open();
    for _ in 0..10 {
        assert_eq!(modest.receive().rcode(), NOERROR);
    }
    let mut order: Vec<String> = Vec::new();
    for asked in upstream.asked() {
        if !order.contains(&asked.lower()) {
            order.push(asked.lower());
        }
    }
    let last = order.iter().rposition(|it| it.starts_with("little"));
    // Eighty of the greedy one's are newer than any of these.
    assert!(last.is_some_and(|last| last < 70), "{last:?}: {order:?}");
}

#[test]
fn who_asks_for_more_new_names_than_it_may_has_what_is_known_and_others_have_all() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(FEW).start();
    let (greedy, modest) = (
        Stub::from(GREEDY, daemon.dns()),
        Stub::from(MODEST, daemon.dns()),
    );
    assert_eq!(greedy.ask(&edns("known.example")).rcode(), NOERROR);
    let met = [("limit", "new-names-per-client"), ("client", "loopback")];
    let mut asked = 0;
    eventually("it has had enough", || {
        asked += 1;
        let reply = greedy.ask(&edns(&format!("new{asked}.example")));
        assert!(matches!(reply.rcode(), NOERROR | SERVFAIL));
        let is_turned_away = reply.rcode() == SERVFAIL;
        assert!(!is_turned_away || reply.edes() == [23], "{reply:?}");
        daemon.metric("byway_limit_reached_total", &met) >= 5.0
    });
    assert_eq!(greedy.ask(&edns("known.example")).rcode(), NOERROR);
    assert_eq!(modest.ask(&edns("unknown.example")).rcode(), NOERROR);
    let told =
        "limit new-names-per-client = 2 reached by programs on this host, most of all 127.0.0.2";
    eventually("it is told who does so", || daemon.log().contains(told));
    let text = daemon.log();
    assert_eq!(text.matches("limit new-names").count(), 1, "{text}");
    let socket = daemon.folder().join("control.sock");
    let top = stdout(&run(byway().arg("top").arg("--socket").arg(socket)));
    assert!(top.contains("127.0.0.2"), "{top}");
}

#[test]
fn a_reload_changes_who_is_held_back() {
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream]);
    let daemon = setup.clone().tables(FEW).start();
    let stub = Stub::from(GREEDY, daemon.dns());
    let mut asked = 0;
    let mut ask = || {
        asked += 1;
        stub.ask(&edns(&format!("new{asked}.example"))).rcode()
    };
    eventually("it has had enough", || ask() == SERVFAIL);
    let wider =
        setup.tables("[limits]\nexempt-clients = [\"127.0.0.0/30\"]\nnew-names-per-client = 2");
    std::fs::write(daemon.folder().join("byway.toml"), wider.text()).expect("written");
    let socket = daemon.folder().join("control.sock");
    let done = run(byway().arg("reload").arg("--socket").arg(socket));
    assert!(done.status.success(), "{}", stderr(&done));
    for _ in 0..50 {
        assert_eq!(ask(), NOERROR);
    }
}

#[test]
fn a_client_has_so_many_waiting_and_no_more_over_either_transport() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Setup::to(&[&upstream])
        .tables(
            "[limits]\nexempt-clients = []\nwaiting-per-client = 4\n[routing]\ndeadline = \"40s\"",
        )
        .start();
    daemon.warm_up();
    let stub = Stub::from(GREEDY, daemon.dns());
    for n in 0..4 {
        stub.send(&edns(&format!("slow{n}.example")).id(n).bytes());
    }
    eventually("four wait", || {
        daemon.metric("byway_waiting_clients", &[]) >= 4.0
    });
    let mut connection = Connection::from(GREEDY, daemon.dns(), false).expect("a connection");
    for n in 0..3 {
        let reply = connection.ask(&edns(&format!("one-more{n}.example")));
        assert_eq!((reply.rcode(), reply.edes()), (SERVFAIL, vec![23]));
    }
    let met = [("limit", "waiting-per-client"), ("client", "loopback")];
    daemon.expect_metric("byway_limit_reached_total", &met, 3.0);
    let modest = Stub::from(MODEST, daemon.dns());
    modest.send(&edns("another.example").bytes());
    gate.open();
    assert_eq!(modest.receive().rcode(), NOERROR);
    for _ in 0..4 {
        assert_eq!(stub.receive().rcode(), NOERROR);
    }
    // The connection has nothing under way by now, and goes on.
    assert_eq!(connection.ask(&edns("at-last.example")).rcode(), NOERROR);
}
