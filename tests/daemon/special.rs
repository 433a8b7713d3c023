//! Names that byway answers by itself (RFC 6761 and others).

use super::kit::*;

/// The rcode, the flags' AA, and the addresses or names.
fn said(stub: &Stub, name: &str, rtype: u16) -> (u16, bool, usize, Vec<u16>) {
    let reply = stub.ask(&Build::query(name, rtype).edns(Edns::new(1232)));
    (
        reply.rcode(),
        reply.has(AA),
        reply.answers.len(),
        reply.edes(),
    )
}

#[test]
fn special_names_are_answered_and_nobody_is_asked() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    assert_eq!(said(&stub, "localhost", A), (NOERROR, true, 1, vec![]));
    assert_eq!(
        said(&stub, "DB.localhost", AAAA),
        (NOERROR, true, 1, vec![])
    );
    assert_eq!(
        said(&stub, "1.0.0.127.in-addr.arpa", 12),
        (NOERROR, true, 1, vec![])
    );
    assert_eq!(said(&stub, "a.invalid", A), (NXDOMAIN, true, 0, vec![0]));
    assert_eq!(said(&stub, "a.onion", A), (NXDOMAIN, true, 0, vec![0]));
    assert_eq!(
        said(&stub, "_dns.resolver.arpa", 64),
        (NOERROR, true, 0, vec![0])
    );
    let reply = stub.ask(&Build::query("ipv4only.arpa", A));
    assert_eq!(reply.addresses(), ["192.0.0.170", "192.0.0.171"]);
    let reply = stub.ask(&Build::query("localhost", A));
    assert_eq!(reply.addresses(), ["127.0.0.1"]);
    // What is negative can be kept: the zone's SOA says for how long.
    let reply = stub.ask(&Build::query("x.INVALID", A));
    assert_eq!(reply.authorities[0].rtype, SOA);
    assert_eq!(reply.authorities[0].owner, name("INVALID"));
    // The zone itself has an SOA and an NS record, and none below it.
    for (zone, rtype, count) in [
        ("10.in-addr.arpa", SOA, 1),
        ("home.arpa", NS, 1),
        ("localhost", SOA, 1),
        ("1.10.in-addr.arpa", SOA, 0),
        ("db.localhost", NS, 0),
        ("invalid", SOA, 0),
    ] {
        let reply = stub.ask(&Build::query(zone, rtype));
        assert_eq!(reply.answers.len(), count, "{zone} {rtype}");
    }
    let reply = Connection::new(daemon.dns()).ask(&Build::query("localhost", AAAA));
    assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
    daemon.expect_questions(0);
    let local = daemon
        .metrics()
        .sum("byway_queries_total", &[("result", "local")]);
    assert_eq!(local, 16.0);
    let why = daemon.http("/api/v1/why?name=a.onion").1;
    assert!(
        why.contains("answered here") && why.contains("RFC 7686"),
        "{why}"
    );
}

#[test]
fn what_this_network_may_know_is_asked_for_if_it_is_to_be() {
    let upstream = Upstream::good();
    let keys = ["local", "test", "home-arpa", "private-reverse"];
    let keys = keys.map(|key| format!("{key} = \"forward\"\n"));
    let table = format!("[special-names]\n{}", keys.concat());
    let daemon = Setup::to(&[&upstream]).tables(&table).start();
    let stub = Stub::new(daemon.dns());
    for name in [
        "dc.corp.local",
        "a.test",
        "nas.home.arpa",
        "4.3.2.10.in-addr.arpa",
    ] {
        assert_eq!(said(&stub, name, A), (NOERROR, false, 1, vec![]), "{name}");
    }
    daemon.expect_questions(4);
}

#[test]
fn each_special_name_can_be_switched() {
    let upstream = Upstream::good();
    let table = "[special-names]\nlocal = \"here\"\nlocalhost = \"forward\"\nuse-application-dns = \"here\"\n\
                 [[zone]]\nname = \"corp.local\"\n";
    let daemon = Setup::to(&[&upstream]).tables(table).start();
    let stub = Stub::new(daemon.dns());
    assert_eq!(said(&stub, "printer.local", A).0, NXDOMAIN);
    assert_eq!(said(&stub, "use-application-dns.net", A).0, NXDOMAIN);
    assert_eq!(said(&stub, "localhost", A), (NOERROR, false, 1, vec![]));
    assert_eq!(
        said(&stub, "dc.corp.local", A),
        (NOERROR, false, 1, vec![]),
        "a zone's"
    );
}
