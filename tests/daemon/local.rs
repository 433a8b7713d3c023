//! Names whose records are known here: the host's own file, and those of the configuration.

use std::fs;

use super::kit::*;

/// A daemon whose file of names says `hosts`.
fn with_hosts(upstream: &Upstream, hosts: &str) -> (Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    fs::write(&path, hosts).expect("written");
    let table = format!("[host]\nhosts = {path:?}\n");
    (Setup::to(&[upstream]).tables(&table).start(), folder)
}

#[test]
fn the_hosts_file_is_answered_in_both_directions() {
    let upstream = Upstream::good();
    let hosts =
        "192.0.2.7 db.corp.example db\n192.0.2.8 db\n2001:db8::7 db.corp.example\nbad line\n";
    let (daemon, _folder) = with_hosts(&upstream, hosts);
    let stub = Stub::new(daemon.dns());
    let reply = stub.ask(&Build::query("DB.corp.example", A));
    assert_eq!(
        (reply.addresses(), reply.ttl()),
        (vec!["192.0.2.7".to_owned()], 10)
    );
    assert!(reply.has(AA) && reply.has(RA));
    assert_eq!(stub.ask(&Build::query("db", A)).answers.len(), 2);
    let reply = stub.ask(&Build::query("db.corp.example", AAAA));
    assert_eq!(reply.addresses(), ["2001:db8::7"]);
    let reply = stub.ask(&Build::query("7.2.0.192.in-addr.arpa", PTR));
    assert_eq!(reply.answers[0].data, name("db.corp.example"));
    // No such data, and for how long that is so.
    let reply = stub.ask(&Build::query("db", AAAA));
    assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 0));
    assert_eq!(reply.authorities[0].rtype, SOA);
    daemon.expect_questions(0);
    assert!(
        daemon
            .log()
            .contains("1 lines cannot be read, the first is line 4")
    );
    assert_eq!(
        stub.ask(&Build::query("other.corp.example", A)).rcode(),
        NOERROR
    );
    daemon.expect_questions(1);
}

#[test]
fn a_change_of_the_hosts_file_counts_within_a_second_or_so() {
    let upstream = Upstream::good();
    let (daemon, folder) = with_hosts(&upstream, "192.0.2.7 old.example\n");
    let stub = Stub::new(daemon.dns());
    let first = |name: &str| stub.ask(&Build::query(name, A)).addresses();
    assert_eq!(first("old.example"), ["192.0.2.7"]);
    // Asked of an upstream, and in the cache from then on.
    assert_ne!(first("new.example"), ["192.0.2.9"]);
    let path = folder.path().join("hosts");
    fs::write(folder.path().join("next"), "192.0.2.9 new.example\n").expect("written");
    fs::rename(folder.path().join("next"), &path).expect("renamed");
    eventually("the new file holds", || {
        first("new.example") == ["192.0.2.9"]
    });
    assert_ne!(first("old.example"), ["192.0.2.7"]);
    fs::remove_file(&path).expect("removed");
    eventually("it holds no more", || first("new.example") != ["192.0.2.9"]);
}

const RECORDS: &str = r#"
[host]
hosts = "off"
[[record]]
name = "db.corp.example"
type = "A"
data = ["192.0.2.10", "192.0.2.11"]
ttl = "1 min"
[[record]]
name = "db.corp.example"
type = "TXT"
data = "\"two words\" three"
[[record]]
name = "*.app.corp.example"
type = "A"
data = "192.0.2.12"
[[record]]
name = "_ldap._tcp.corp.example"
type = "SRV"
data = "0 5 389 dc.corp.example."
[[record]]
name = "corp.example"
type = "MX"
data = "10 mail.corp.example."
[[record]]
name = "www.corp.example"
type = "CNAME"
data = "web.corp.example."
[[record]]
name = "web.corp.example"
type = "CNAME"
data = "edge.example.net."
[[record]]
name = "alias.corp.example"
type = "CNAME"
data = "db.corp.example."
[[record]]
name = "loop.corp.example"
type = "CNAME"
data = "loop.corp.example."
"#;

#[test]
fn records_of_the_configuration_are_answered() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(RECORDS).start();
    let stub = Stub::new(daemon.dns());
    let ask = |name: &str, rtype: u16| stub.ask(&Build::query(name, rtype));
    let mut addresses = ask("db.corp.example", A).addresses();
    addresses.sort();
    assert_eq!(addresses, ["192.0.2.10", "192.0.2.11"]);
    assert_eq!(ask("db.corp.example", A).ttl(), 60);
    assert_eq!(
        ask("db.corp.example", TXT).answers[0].data,
        b"\x09two words\x05three"
    );
    assert_eq!(ask("x.y.APP.corp.example", A).addresses(), ["192.0.2.12"]);
    let srv = ask("_ldap._tcp.corp.example", SRV).answers[0].data.clone();
    assert_eq!(
        srv,
        [&b"\0\0\0\x05\x01\x85"[..], &name("dc.corp.example")].concat()
    );
    let mx = ask("corp.example", MX).answers[0].data.clone();
    assert_eq!(mx, [&b"\0\x0a"[..], &name("mail.corp.example")].concat());
    let reply = ask("db.corp.example", AAAA);
    assert_eq!(
        (reply.rcode(), reply.answers.len(), reply.authorities.len()),
        (NOERROR, 0, 1)
    );
    let reply = ask("alias.corp.example", A);
    assert_eq!(
        (reply.answers.len(), reply.addresses().len()),
        (3, 2),
        "{reply:?}"
    );
    let reply = ask("www.corp.example", CNAME);
    assert_eq!(reply.answers[0].data, name("web.corp.example"));
    daemon.expect_questions(0);
    let why = daemon.http("/api/v1/why?name=db.corp.example").1;
    assert!(why.contains("answered here, from [[record]]"), "{why}");
}

#[test]
fn the_end_of_an_alias_is_asked_for() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).tables(RECORDS).start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query("www.corp.example", A));
        let types: Vec<u16> = reply.answers.iter().map(|it| it.rtype).collect();
        assert_eq!(types, [CNAME, CNAME, A], "{reply:?}");
        assert_eq!(reply.answers[2].owner, name("edge.example.net"));
    }
    let asked = upstream.questions();
    assert!(
        asked.iter().all(|(name, _)| name == "edge.example.net."),
        "{asked:?}"
    );
    daemon.expect_questions(1);
}
