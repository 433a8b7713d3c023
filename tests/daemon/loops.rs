//! An upstream that forwards to byway itself is recognised, said and left alone; nobody else is taken for one.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::kit::*;

/// A forwarder whose own upstream is set later, and which gives it a moment to answer.
fn forwarder() -> (Upstream, Arc<Mutex<Option<SocketAddr>>>) {
    let onward: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let upstream = Upstream::new({
        let onward = Arc::clone(&onward);
        move |asked| {
            let Some(onward) = *lock(&onward) else {
                return vec![Act::Send(asked.good())];
            };
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let patience = Some(Duration::from_millis(100));
            socket.set_read_timeout(patience).expect("a timeout");
            let query = Build::query(&asked.lower(), asked.rtype()).id(asked.id);
            socket.send_to(&query.bytes(), onward).expect("forwarded");
            let mut answer = [0; 4096];
            match socket.recv(&mut answer) {
                Ok(length) => {
                    let rcode = Message::parse(&answer[..length])
                        .expect("an answer")
                        .rcode();
                    vec![Act::Send(asked.reply().rcode(rcode).bytes())]
                }
                Err(_) => Vec::new(),
            }
        }
    });
    (upstream, onward)
}

#[test]
fn an_upstream_that_leads_back_is_recognised_and_left_alone() {
    let (upstream, onward) = forwarder();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"500ms\"\n[limits]\nqueue-patience = \"100ms\"")
        .start();
    daemon.warm_up();
    *lock(&onward) = Some(daemon.dns());
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    eventually("it is recognised", || {
        number += 1;
        let reply = stub.ask(&Build::query(&format!("round{number}.example"), A));
        assert_eq!(reply.rcode(), SERVFAIL);
        daemon.metric("byway_forwarding_loops_total", &[]) == 1.0
    });
    let said = "upstream u0 forwards to this very byway";
    eventually("it is said", || daemon.log().contains(said));
    let before = upstream.asked().len();
    for number in 0..20 {
        let reply = stub.ask(&Build::query(&format!("over{number}.example"), A));
        assert_eq!(reply.rcode(), SERVFAIL);
    }
    assert_eq!(upstream.asked().len(), before, "it is left alone");
    assert_eq!(daemon.log().matches(said).count(), 1);
}

#[test]
fn with_another_upstream_a_loop_costs_no_answers() {
    let (upstream, onward) = forwarder();
    let good = Upstream::good();
    let daemon = Setup::to(&[&upstream, &good])
        .tables("[routing]\npolicy = \"ordered\"")
        .start();
    daemon.warm_up();
    *lock(&onward) = Some(daemon.dns());
    let stub = Stub::new(daemon.dns());
    for number in 0..20 {
        let reply = stub.ask(&Build::query(&format!("either{number}.example"), A));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 1),
            "{reply:?}"
        );
    }
}

#[test]
fn an_outage_is_no_loop() {
    let upstream = Upstream::silent();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"500ms\"\n[limits]\nqueue-patience = \"100ms\"")
        .start();
    for round in 0..6 {
        let stub = Stub::new(daemon.dns());
        // Many ask the same, as in an outage they do.
        for id in 0..20 {
            let name = format!("gone{round}.example");
            stub.send(&Build::query(&name, A).id(id).bytes());
        }
        (0..20).for_each(|_| drop(stub.receive()));
    }
    assert_eq!(daemon.metric("byway_forwarding_loops_total", &[]), 0.0);
    assert!(!daemon.log().contains("loop"), "{}", daemon.log());
}

/// A port that is free now, for UDP and TCP.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = udp.local_addr().expect("bound").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn two_that_forward_to_each_other_are_parted() {
    let ports = [free_port(), free_port()];
    let address = |which: usize| SocketAddr::from(([127, 0, 0, 1], ports[which]));
    let start = |own: usize, other: usize| {
        Setup::bare()
            .listen(&[&address(own).to_string()])
            .upstream(address(other), "")
            .start()
    };
    let daemons = [start(0, 1), start(1, 0)];
    let stub = Stub::new(daemons[0].dns());
    let mut number = 0;
    eventually("one of them recognises it", || {
        number += 1;
        let name = format!("circle{number}.example");
        let reply = stub.ask(&Build::query(&name, A));
        assert_eq!(reply.rcode(), SERVFAIL);
        let found = |daemon: &Daemon| daemon.log().contains("forwards to this very byway");
        daemons.iter().any(found)
    });
}
