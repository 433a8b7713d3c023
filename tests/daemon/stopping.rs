//! The end: what is in flight is answered, then it is over; or at once, if that is wanted.

use rustix::process::Signal;

use super::kit::*;

#[test]
fn what_is_in_flight_is_answered_first() {
    for signal in [Signal::TERM, Signal::INT] {
        let (upstream, gate) = Upstream::gated();
        let mut daemon = Setup::to(&[&upstream])
            .tables("[routing]\ndeadline = \"60s\"")
            .start();
        daemon.warm_up();
        let known = Build::query("warm-up-1.known.test", A);
        let stubs: Vec<Stub> = (0..10).map(|_| Stub::new(daemon.dns())).collect();
        let mut connections: Vec<Connection> =
            (0..4).map(|_| Connection::new(daemon.dns())).collect();
        let mut idle = Connection::new(daemon.dns());
        assert_eq!(idle.ask(&known).rcode(), NOERROR);
        // Some ask the same, some what nobody else asks, by whichever worker.
        let query = |number: usize| match number % 2 {
            0 => Build::query("same.example", A),
            _ => Build::query(&format!("own{number}.example"), A),
        };
        for (number, stub) in stubs.iter().enumerate() {
            stub.send(&query(number).bytes());
        }
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&query(number));
        }
        eventually("all wait", || {
            daemon.metric("byway_waiting_clients", &[]) == 14.0
        });

        daemon.signal(signal);
        assert!(
            idle.is_closed(),
            "nothing is expected of an idle connection any more"
        );
        let late = Stub::new(daemon.dns());
        late.send(&known.bytes());
        assert!(
            late.receive_within(MOMENT).is_none(),
            "nothing new is taken in"
        );
        assert!(daemon.is_running());

        gate.open();
        for stub in &stubs {
            assert_eq!(stub.receive().answers.len(), 1);
        }
        for connection in &mut connections {
            assert_eq!(connection.receive().expect("a reply").answers.len(), 1);
            assert!(connection.receive().is_none(), "then it is closed");
        }
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

#[test]
fn what_is_not_answered_fails_by_its_deadline() {
    let upstream = Upstream::silent();
    let mut daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"1s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("silent.example", A).edns(Edns::new(1232));
    stub.send(&query.bytes());
    eventually("it is asked", || !upstream.asked().is_empty());
    daemon.signal(Signal::TERM);
    let reply = stub.receive();
    assert_eq!(reply.rcode(), SERVFAIL);
    assert!(!reply.edes().is_empty());
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::TERM, Signal::INT),
    ] {
        let upstream = Upstream::silent();
        // What is in flight would keep it for longer than the test waits.
        let mut daemon = Setup::to(&[&upstream])
            .tables("[routing]\ndeadline = \"60s\"")
            .start();
        let stub = Stub::new(daemon.dns());
        stub.send(&Build::query("silent.example", A).bytes());
        eventually("it is asked", || !upstream.asked().is_empty());
        daemon.signal(first);
        // The first one has been taken note of when queries are not.
        let probe = Stub::new(daemon.dns());
        eventually("nothing is taken in", || {
            probe.send(&Build::query("x.example", A).opcode(2).bytes());
            probe.receive_within(MOMENT).is_none()
        });
        assert!(daemon.is_running());
        daemon.signal(second);
        assert_ne!(daemon.wait().code(), Some(0));
    }
}

#[test]
fn an_idle_daemon_ends_and_leaves_its_port() {
    let upstream = Upstream::good();
    let mut daemon = Daemon::to(&[&upstream]);
    let address = daemon.dns();
    let mut connection = Connection::new(address);
    connection.ask(&Build::query("port.example", A));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    // Connections that linger in TIME_WAIT are no obstacle.
    let again = Setup::to(&[&upstream])
        .listen(&[&address.to_string()])
        .start();
    assert_eq!(
        Stub::new(again.dns())
            .ask(&Build::query("port.example", A))
            .rcode(),
        NOERROR
    );
}
