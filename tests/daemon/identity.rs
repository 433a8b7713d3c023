//! What byway calls itself, to those who ask: NSID (RFC 5001) and names of the class CHAOS (RFC 4892).

use std::fs;

use super::kit::daemon::run;
use super::kit::*;

const NSID: u16 = 3;
const TXT: u16 = 16;
const CHAOS: u16 = 3;

/// What a question for TXT of this class-CHAOS name is told.
fn told(stub: &Stub, name: &str) -> (u16, Option<String>) {
    let reply = stub.ask(&Build::query(name, TXT).class(CHAOS));
    let text = reply.answers.first().map(|it| {
        assert_eq!((it.class, it.ttl), (CHAOS, 0));
        String::from_utf8_lossy(&it.data[1..]).into_owned()
    });
    (reply.rcode(), text)
}

/// The NSID option of a reply to a question that has one.
fn nsid(stub: &Stub, name: &str) -> Option<String> {
    let query = Build::query(name, A).edns(Edns::new(1232).option(NSID, &[]));
    let edns = stub.ask(&query).edns.expect("an OPT record");
    let found = edns.options.iter().find(|(code, _)| *code == NSID);
    found.map(|(_, data)| String::from_utf8_lossy(data).into_owned())
}

#[test]
fn it_tells_nobody_who_it_is_unless_it_is_to() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for name in [
        "id.server",
        "hostname.bind",
        "version.bind",
        "version.server",
    ] {
        assert_eq!(told(&stub, name), (REFUSED, None), "{name}");
    }
    assert_eq!(nsid(&stub, "a.example"), None);
}

#[test]
fn who_asks_is_told_its_name_and_a_reload_changes_it() {
    let upstream = Upstream::good();
    let setup =
        |name: &str| Setup::to(&[&upstream]).tables(&format!("[host]\nidentity = \"{name}\"\n"));
    let daemon = setup("rack 7").start();
    let stub = Stub::new(daemon.dns());
    let own = Some("rack 7".to_owned());
    for name in ["id.server", "HostName.bind"] {
        assert_eq!(told(&stub, name), (NOERROR, own.clone()), "{name}");
    }
    let version = Some(format!("byway {}", env!("CARGO_PKG_VERSION")));
    for name in ["version.bind", "version.server"] {
        assert_eq!(told(&stub, name), (NOERROR, version.clone()), "{name}");
    }
    assert_eq!(told(&stub, "other.server"), (REFUSED, None));
    let over_tcp = Connection::new(daemon.dns()).ask(&Build::query("id.server", TXT).class(CHAOS));
    assert_eq!(over_tcp.answers.len(), 1);
    // From upstream, from the cache, and with an error.
    for name in ["a.example", "a.example"] {
        assert_eq!(nsid(&stub, name), own, "{name}");
    }
    let plain = stub.ask(&Build::query("a.example", A).edns(Edns::new(1232)));
    assert!(
        plain
            .edns
            .is_some_and(|it| it.options.iter().all(|(code, _)| *code != NSID))
    );

    for (name, expected) in [("other", Some("other".to_owned())), ("off", None)] {
        fs::write(daemon.folder().join("byway.toml"), setup(name).text()).expect("written");
        let socket = daemon.folder().join("control.sock");
        let done = run(byway().args(["reload", "--socket"]).arg(socket));
        assert_eq!(done.status.code(), Some(0));
        assert_eq!(nsid(&stub, "a.example"), expected);
        assert_eq!(told(&stub, "id.server").1, expected);
    }
}
