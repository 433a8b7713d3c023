//! Where queries are taken in, where answers leave from, and who is answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::kit::namespace::{Namespace, add_address};
use super::kit::stub::is_timeout;
use super::kit::*;

#[test]
fn replies_leave_from_the_address_that_was_asked() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .listen(&["0.0.0.0:0", "[::]:0"])
        .start();
    let [v4, v6] = [daemon.listen[0].port(), daemon.listen[1].port()];
    for address in ["127.0.0.1", "127.0.0.2", "127.8.7.6"] {
        let server = SocketAddr::new(address.parse().expect("an address"), v4);
        // Stub::receive compares where the reply comes from. First time fresh, second time known.
        for _ in 0..2 {
            let reply = Stub::new(server).ask(&Build::query("wildcard.example", A));
            assert_eq!(reply.answers.len(), 1);
        }
        let mut connection = Connection::new(server);
        assert_eq!(
            connection
                .ask(&Build::query("wildcard.example", A))
                .answers
                .len(),
            1
        );
    }
    let server = SocketAddr::new("::1".parse().expect("an address"), v6);
    if UdpSocket::bind("[::1]:0").is_err() {
        return skip("this host has no IPv6");
    }
    for name in ["wildcard.example", "six.example", "six.example"] {
        assert_eq!(
            Stub::new(server).ask(&Build::query(name, A)).answers.len(),
            1
        );
    }
}

#[test]
fn replies_leave_from_the_ipv6_address_that_was_asked() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.enter(|| {
        if !add_address("fd00::1/128") || !add_address("fd00::2/128") {
            return skip("this host has no IPv6");
        }
        let upstream = Upstream::good();
        let daemon = Setup::to(&[&upstream])
            .listen(&["[::]:0", "[fd00::2]:0"])
            .start();
        for (address, port) in [("fd00::1", 0), ("fd00::2", 0), ("fd00::2", 1)] {
            let port = daemon.listen[port].port();
            let server = SocketAddr::new(address.parse().expect("an address"), port);
            let source: IpAddr = "fd00::1".parse().expect("an address");
            for _ in 0..2 {
                let reply = Stub::from(source, server).ask(&Build::query("six.example", A));
                assert_eq!(reply.answers.len(), 1);
            }
        }
    });
}

#[test]
fn strangers_are_refused() {
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream])
        .top("allow = [\"127.0.0.1/32\"]")
        .listen(&["0.0.0.0:0"]);
    let daemon = setup.start();
    let server = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), daemon.dns().port());
    let stranger: IpAddr = Ipv4Addr::new(127, 0, 0, 5).into();
    let query = Build::query("known.example", A);
    assert_eq!(Stub::new(server).ask(&query).rcode(), NOERROR);

    let stub = Stub::from(stranger, server);
    for query in [
        query.clone(),
        query.clone().edns(Edns::new(4096)),
        Build::query("unknown.example", A),
        Build::query("unknown.example", ANY),
    ] {
        let reply = stub.ask(&query);
        assert_eq!(reply.rcode(), REFUSED, "{reply:?}");
        assert!(reply.answers.is_empty());
        if reply.edns.is_some() {
            assert_eq!(reply.edes(), [18], "prohibited, it says");
        }
    }
    let mut connection = Connection::from(stranger, server, false).expect("a connection");
    assert!(connection.is_closed(), "it takes no place");
    assert!(upstream.asked_for("unknown.example.").is_empty());
    let refused = [("result", "refused"), ("transport", "udp")];
    assert_eq!(daemon.metric("byway_queries_total", &refused), 4.0);
    daemon.expect_metric("byway_dropped_total", &[("reason", "stranger")], 1.0);
    assert_eq!(Stub::new(server).ask(&query).rcode(), NOERROR);
}

#[test]
fn loopback_is_allowed_by_default_and_lists_hold_both_families() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    for last in [1, 2, 77] {
        let stub = Stub::from(Ipv4Addr::new(127, 0, 0, last).into(), daemon.dns());
        assert_eq!(stub.ask(&Build::query("local.example", A)).rcode(), NOERROR);
    }
    let nobody = Setup::to(&[&upstream])
        .top("allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]")
        .start();
    let reply = Stub::new(nobody.dns()).ask(&Build::query("local.example", A));
    assert_eq!(reply.rcode(), REFUSED);
}

#[test]
fn services_that_answer_everything_are_not_talked_to() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let canary = Build::query("canary.example", A);
    let Ok(echo) = UdpSocket::bind("127.0.0.19:7") else {
        return skip("port 7 needs root");
    };
    echo.send_to(&canary.bytes(), daemon.dns()).expect("sent");
    echo.set_read_timeout(Some(MOMENT)).expect("a timeout");
    eventually("it is dropped", || {
        daemon.metric("byway_dropped_total", &[("reason", "source")]) == 1.0
    });
    assert!(
        echo.recv(&mut [0; 512])
            .is_err_and(|error| is_timeout(&error))
    );
}

#[test]
fn a_listener_may_be_for_one_transport_only() {
    let upstream = Upstream::good();
    let listeners = "[[listen]]\naddress = \"127.0.0.1:0\"\ntransports = [\"udp\"]\n\
                     [[listen]]\naddress = \"127.0.0.1:0\"\ntransports = [\"tcp\"]";
    let daemon = Setup::to(&[&upstream])
        .listen(&[])
        .tables(listeners)
        .start();
    let query = Build::query("transport.example", A);
    assert_eq!(Stub::new(daemon.listen[0]).ask(&query).answers.len(), 1);
    assert_eq!(
        Connection::new(daemon.listen[1]).ask(&query).answers.len(),
        1
    );
    let refused = Connection::from(Ipv4Addr::LOCALHOST.into(), daemon.listen[0], false);
    assert!(refused.is_err(), "no TCP there");
}
