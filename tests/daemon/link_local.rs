//! Upstreams at link-local addresses, whose interface need not be there yet and may be made anew.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};

use rustix::net::netdevice::name_to_index;

use super::kit::*;
use super::paths::{Field, ask, fresh, ip};

const ADDRESS: &str = "fe80::53";

/// The interface's number in the namespace that the thread is in.
fn number(interface: &str) -> u32 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    name_to_index(&socket, interface).expect("it is there")
}

/// Makes the link, and the upstream beyond it. To be called in the host's namespace.
fn plug(field: &Field) -> Upstream {
    let far = field.far.id();
    ip(&format!(
        "link add wan0 type veth peer name peer0 netns {far}"
    ));
    ip("address add fe80::1/64 dev wan0 nodad");
    ip("link set wan0 up");
    field.far.enter(|| {
        ip(&format!("address add {ADDRESS}/64 dev peer0 nodad"));
        ip("link set peer0 up");
        let address: Ipv6Addr = ADDRESS.parse().expect("an address");
        let address = SocketAddrV6::new(address, 53, 0, number("peer0"));
        let answering = |asked: &Asked| vec![Act::Send(asked.good())];
        Upstream::at(address.into(), Hears::Both, answering).expect("an upstream")
    })
}

fn start() -> Daemon {
    let upstream = format!("[[upstream]]\nname = \"u0\"\naddress = \"{ADDRESS}%wan0\"");
    Setup::bare().one_worker().tables(&upstream).start()
}

/// Asks until it is answered.
fn in_use(daemon: &Daemon) {
    eventually("the upstream is asked", || {
        let name = format!("ll{}.example", fresh());
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        reply.rcode() == NOERROR
    });
}

#[test]
fn an_interface_that_is_made_anew_is_found_again() {
    let Some(field) = Field::new() else { return };
    field.host.enter(|| {
        let upstream = plug(&field);
        let daemon = start();
        in_use(&daemon);
        let before = number("wan0");
        ip("link del wan0");
        drop(upstream);
        eventually("it is told", || {
            daemon.log().contains("no name can be resolved")
        });
        // So that the number is another one.
        ip("link add fill0 type veth peer name fill1");
        let _upstream = plug(&field);
        assert_ne!(number("wan0"), before);
        in_use(&daemon);
        ask(daemon.dns(), fresh());
    });
}

#[test]
fn an_interface_that_is_missing_at_the_start_is_a_lost_path() {
    let Some(field) = Field::new() else { return };
    field.host.enter(|| {
        let daemon = start();
        eventually("it is told", || {
            daemon.log().contains("there is no interface wan0")
        });
        let missing = [("path", "default")];
        assert_eq!(daemon.metric("byway_path_missing", &missing), 1.0);
        let reply = Stub::new(daemon.dns()).ask(&Build::query("early.example", A));
        assert_eq!(reply.rcode(), SERVFAIL);
        let _upstream = plug(&field);
        in_use(&daemon);
        assert_eq!(daemon.metric("byway_path_missing", &missing), 0.0);
    });
}
