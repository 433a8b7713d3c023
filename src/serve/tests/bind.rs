//! Listening sockets.

use super::*;

fn listen(address: &str) -> Vec<Listen> {
    vec![Listen {
        address: address.parse().unwrap(),
        udp: true,
        tcp: true,
        tls: false,
    }]
}

#[test]
fn workers_share_the_ports_of_the_first() {
    let limits = Limits::default();
    let first = Listeners::bind(&listen("127.0.0.1:0"), &limits).unwrap();
    let second = first.another(&limits).unwrap();
    assert_ne!(first.listen()[0].address.port(), 0);
    assert_eq!(first.listen(), second.listen());
}

/// The kernel would let two daemons of one user share a port, each getting half of the queries.
#[test]
fn a_port_that_another_program_shares_is_taken() {
    let limits = Limits::default();
    let first = Listeners::bind(&listen("127.0.0.1:0"), &limits).unwrap();
    let taken = first.listen();
    for (udp, tcp, transport) in [(true, false, "udp"), (false, true, "tcp")] {
        let listen = Listen {
            udp,
            tcp,
            ..taken[0].clone()
        };
        let error = Listeners::bind(&[listen], &limits).unwrap_err().to_string();
        assert!(error.starts_with(&format!(
            "cannot listen on {} ({transport})",
            taken[0].address
        )));
        assert!(error.contains("another program listens there"), "{error}");
    }
}

#[test]
fn wildcards_of_both_families_live_side_by_side() {
    let limits = Limits::default();
    let four = Listeners::bind(&listen("0.0.0.0:0"), &limits).unwrap();
    let port = four.listen()[0].address.port();
    Listeners::bind(&listen(&format!("[::]:{port}")), &limits).unwrap();
}

#[test]
fn errors_say_what_to_do() {
    let limits = Limits::default();
    let error = Listeners::bind(&listen("192.0.2.1:5339"), &limits)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "cannot listen on 192.0.2.1:5339 (udp): this host does not have that address; \
         `ip address` shows those it has"
    );
}

/// Connections of an earlier process that linger do not keep the port.
#[test]
fn a_port_with_lingering_connections_is_free() {
    use std::io::Read;
    let limits = Limits::default();
    let first = Listeners::bind(&listen("127.0.0.1:0"), &limits).unwrap();
    let again = first.listen();
    let tcp = first.sockets[0].tcp.as_ref().unwrap();
    let mut client = std::net::TcpStream::connect(again[0].address).unwrap();
    tcp.set_nonblocking(false).unwrap();
    drop(tcp.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    drop(first);
    Listeners::bind(&again, &limits).unwrap();
}
