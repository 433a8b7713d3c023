//! Clients by TLS (RFC 7858), and the certificates that they are shown.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use super::kit::daemon::{run, stderr, stdout};
use super::kit::tls::{LISTENER, Safe, Tls, certificate, fixtures};
use super::kit::*;

/// Answers over TLS at the second of its addresses, with these certificates.
fn setup(upstream: &Upstream, safe: &Safe, names: &[&str]) -> Setup {
    let tables: Vec<String> = names.iter().map(|it| safe.table(it)).collect();
    let setup = Setup::to(&[upstream]).tables(LISTENER);
    setup.tables(&tables.concat())
}

fn handshakes(daemon: &Daemon, result: &str) -> f64 {
    daemon.metric("byway_tls_handshakes_total", &[("result", result)])
}

#[test]
fn kdig() {
    if Command::new("kdig").arg("-V").output().is_err() {
        return skip("kdig is not installed");
    }
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    let port = daemon.listen[1].port().to_string();
    let authority = format!("+tls-ca={}", fixtures().join("authority.pem").display());
    let kdig = |arguments: &[&str]| {
        let mut command = Command::new("kdig");
        command.args(["@127.0.0.1", "-p", &port, &authority]);
        run(command.args(arguments))
    };
    let text = stdout(&kdig(&["+tls-hostname=one.test", "www.example", "A"]));
    assert!(text.contains("status: NOERROR"), "{text}");
    assert!(text.contains("TLS1.3"), "{text}");
    // Several over one connection, padded as kdig does by itself.
    let many = kdig(&[
        "+tls-hostname=one.test",
        "+keepopen",
        "a.example",
        "+keepopen",
        "b.example",
        "+keepopen",
        "c.example",
        "AAAA",
    ]);
    let text = stdout(&many);
    assert_eq!(text.matches("status: NOERROR").count(), 3, "{text}");
    let other = kdig(&["+tls-hostname=two.test", "www.example"]);
    let said = stdout(&other) + &stderr(&other);
    assert!(!said.contains("NOERROR"), "{said}");
    let tls = [("transport", "tls")];
    daemon.expect_metric("byway_queries_total", &tls, 4.0);
    daemon.expect_metric("byway_queries_total", &[("transport", "tcp")], 0.0);
}

#[test]
fn questions_are_pipelined_and_answers_come_as_they_are_ready() {
    let (upstream, gate) = Upstream::gated();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    daemon.warm_up();
    let mut client = Tls::new()
        .connect(daemon.listen[1], "one.test")
        .expect("TLS");
    for number in 0..100 {
        client.send(&Build::query(&format!("held{number}.example"), A).id(number));
    }
    let known = Build::query("warm-up-1.known.test", A).id(1000);
    assert_eq!(client.ask(&known).id, 1000, "it overtakes");
    gate.open();
    client.finish();
    let ids: BTreeSet<u16> = (0..100)
        .map(|_| client.receive().expect("a reply").id)
        .collect();
    assert_eq!(ids, (0..100).collect());
    assert!(
        client.receive().is_none(),
        "then byway ends it, and says so"
    );
}

/// More than the kernel and the session hold, to a client that reads late.
#[test]
fn large_answers_reach_a_slow_reader_whole() {
    let upstream = Upstream::saying(|asked| {
        let all = (0..100).map(|_| txt(&asked.name(), 3600, b'x', 250));
        asked.reply().answers(all)
    });
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    let mut client = Tls::new()
        .connect(daemon.listen[1], "one.test")
        .expect("TLS");
    let query = Build::query("large.example", TXT);
    assert_eq!(client.ask(&query).answers.len(), 100);
    for id in 0..200 {
        client.send(&query.clone().id(id));
    }
    for id in 0..200 {
        if id % 50 == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        let reply = client.receive().expect("a reply");
        assert_eq!((reply.id, reply.answers.len()), (id, 100));
    }
    assert_eq!(
        daemon.metric("byway_dropped_total", &[("reason", "stalled")]),
        0.0
    );
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_wants() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one").with("two").with("rsa");
    let daemon = setup(&upstream, &safe, &["rsa", "one", "two"]).start();
    let shown = |name: &str| {
        let client = Tls::new().connect(daemon.listen[1], name);
        client
            .map(|it| it.shown())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        shown("one.test"),
        Ok(certificate("rsa")),
        "the first for it"
    );
    assert_eq!(shown("a.one.test"), Ok(certificate("one")));
    assert_eq!(shown("two.test"), Ok(certificate("two")));
    // None is for it: the first of all, which the client does not take.
    let stranger = shown("three.test").expect_err("not for it");
    assert!(stranger.contains("three.test"), "{stranger}");
    eventually("the client's complaint is told", || {
        daemon.log().contains("no TLS with 127.0.0.1")
    });
    assert_eq!(handshakes(&daemon, "failed"), 1.0);
}

#[test]
fn old_and_new_versions_are_spoken_and_those_who_come_again_are_known() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    for (count, version) in [(1.0, &TLS13), (2.0, &TLS12)] {
        let tls = Tls::with(&[version], &["dot"]);
        for is_again in [false, true] {
            let client = tls.connect(daemon.listen[1], "one.test");
            let mut client = client.expect("TLS");
            assert_eq!(client.is_resumed(), is_again, "{version:?}");
            assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"dot"[..]));
            let reply = client.ask(&Build::query("www.example", A));
            assert_eq!(reply.rcode(), NOERROR);
        }
        assert_eq!(handshakes(&daemon, "full"), count);
        assert_eq!(handshakes(&daemon, "resumed"), count);
    }
    let web = Tls::with(&[&TLS13], &["h2", "http/1.1"]);
    assert!(web.connect(daemon.listen[1], "one.test").is_err());
}

#[test]
fn a_renewed_certificate_is_shown_and_no_connection_is_lost_for_it() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    let tls = || Tls::new().connect(daemon.listen[1], "one.test");
    let mut before = tls().expect("TLS");
    assert_eq!(before.shown(), certificate("one"));
    // First the chain alone, which the key there does not belong to.
    safe.put("rsa.pem", "one.pem");
    eventually("that is said", || {
        daemon
            .log()
            .contains("it is not that of the first certificate")
    });
    assert_eq!(tls().expect("TLS").shown(), certificate("one"), "as before");
    safe.put("rsa.key", "one.key");
    eventually("the new one is shown", || {
        tls().expect("TLS").shown() == certificate("rsa")
    });
    assert!(daemon.log().contains("read anew"), "{}", daemon.log());
    let reply = before.ask(&Build::query("www.example", A));
    assert_eq!(reply.rcode(), NOERROR, "the old connection lives");
    assert_eq!(handshakes(&daemon, "failed"), 0.0);
}

#[test]
fn a_reload_shows_others_or_is_refused_whole() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one").with("two");
    let daemon = setup(&upstream, &safe, &["one"]).start();
    let socket = daemon.folder().join("control.sock");
    let reload = |setup: &Setup| {
        fs::write(daemon.folder().join("byway.toml"), setup.text()).expect("a configuration");
        run(byway().args(["reload", "--socket"]).arg(&socket))
    };
    let shown = |name| {
        Tls::new()
            .connect(daemon.listen[1], name)
            .map(|it| it.shown())
    };
    let wrong = reload(&setup(&upstream, &safe, &["none"]).top("allow = [\"127.0.0.2/32\"]"));
    assert_ne!(wrong.status.code(), Some(0));
    assert!(
        stderr(&wrong).contains("none.pem: it cannot be read"),
        "{wrong:?}"
    );
    assert_eq!(shown("one.test").expect("as before"), certificate("one"));
    let done = reload(&setup(&upstream, &safe, &["two"]));
    assert!(stdout(&done).contains("[[certificate]]"), "{done:?}");
    assert_eq!(shown("two.test").expect("the other"), certificate("two"));
    // Those in use now are followed.
    safe.put("one.key", "two.key");
    safe.put("one.pem", "two.pem");
    eventually("a change is seen", || {
        shown("one.test").is_ok_and(|it| it == certificate("one"))
    });
}

#[test]
fn what_cannot_be_shown_ends_the_start_with_the_reason() {
    let upstream = Upstream::good();
    let refused = |safe: &Safe| {
        let (command, folder) = setup(&upstream, safe, &["it"]).command();
        let ended = Daemon::try_spawn(command, Some(folder));
        let (status, log) = ended.err().expect("it does not start");
        assert_eq!(status.code(), Some(1), "{log}");
        log
    };
    let safe = Safe::new();
    let expect = |what: &str| {
        let log = refused(&safe);
        assert!(log.contains(what), "{what} in {log}");
    };
    expect("it.pem: it cannot be read");
    safe.put("one.key", "it.pem");
    expect("it.pem: it holds none; expected PEM, which begins with -----BEGIN CERTIFICATE-----");
    safe.put("one.pem", "it.pem");
    expect("it.key: it cannot be read");
    safe.put("one.pem", "it.key");
    expect("it.key: it holds none");
    safe.put("locked.key", "it.key");
    expect("it.key: it is locked with a passphrase");
    safe.put("two.key", "it.key");
    expect("it.key: it is not that of the first certificate in");
    safe.put("one.key", "it.key");
    let key = safe.path("it.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    expect("it.key: everybody can read or change it (mode 0644), so it is no secret; `chmod 0600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("set");
    let daemon = setup(&upstream, &safe, &["it"]).start();
    assert!(Tls::new().connect(daemon.listen[1], "one.test").is_ok());
    // No secret is said, nor is any part of the key.
    let secret = fs::read_to_string(&key).expect("the key");
    let part = secret.lines().nth(1).expect("a line");
    assert!(!daemon.log().contains(&part[..16]));
}

#[test]
fn one_that_has_ended_is_shown_with_a_warning() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("ended");
    let daemon = setup(&upstream, &safe, &["ended"]).start();
    assert!(daemon.log().contains("ended.pem ended"), "{}", daemon.log());
    let until = daemon.metric("byway_certificate_expiry_timestamp_seconds", &[]);
    assert_eq!(until, 1_609_459_200.0, "2021-01-01");
    let error = Tls::new().connect(daemon.listen[1], "one.test").err();
    let error = error.expect("it has ended").to_string();
    assert!(error.contains("xpired"), "{error}");
}

#[test]
fn who_does_not_get_to_the_end_of_the_handshake_is_cut_off() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"])
        .tables("[limits]\ntcp-stall = \"300ms\"")
        .start();
    let connect = || TcpStream::connect(daemon.listen[1]).expect("a connection");
    // One says nothing, one begins and goes on octet by octet, one speaks plain DNS.
    let mut silent = connect();
    let mut trickling = connect();
    let mut plain = connect();
    plain
        .write_all(&framed(&Build::query("www.example", A).bytes()))
        .expect("sent");
    assert!(plain.read_to_end(&mut Vec::new()).is_ok() || handshakes(&daemon, "failed") == 1.0);
    for octet in [22, 3, 1, 0, 200, 1, 0, 0, 196]
        .into_iter()
        .chain([3; 1000])
    {
        if trickling.write_all(&[octet]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        if handshakes(&daemon, "slow") == 2.0 {
            break;
        }
    }
    let _ = silent.read_to_end(&mut Vec::new());
    daemon.expect_metric("byway_tls_handshakes_total", &[("result", "slow")], 2.0);
    daemon.expect_metric("byway_tls_handshakes_total", &[("result", "failed")], 1.0);
    daemon.expect_metric("byway_dropped_total", &[("reason", "stalled")], 2.0);
    eventually("none is left", || {
        daemon.metric("byway_tcp_connections", &[]) == 0.0
    });
}

#[test]
fn the_limits_of_connections_hold_and_the_end_is_said() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let limits = "[limits]\ntcp-connections-per-client = 2\ntcp-idle = \"500ms\"";
    let daemon = setup(&upstream, &safe, &["one"]).tables(limits).start();
    let tls = Tls::new();
    let connect = || tls.connect(daemon.listen[1], "one.test");
    let mut first = connect().expect("TLS");
    let _second = TcpStream::connect(daemon.listen[1]).expect("a connection");
    eventually("both are counted", || {
        daemon.metric("byway_tcp_connections", &[]) == 2.0
    });
    assert!(connect().is_err(), "one too many, though one only knocks");
    let reply = first.ask(&Build::query("www.example", A));
    assert_eq!(reply.rcode(), NOERROR);
    // Idle, it is ended with a word, so that nobody can have cut it unnoticed.
    assert!(first.receive().is_none());
}

#[test]
fn those_who_knock_make_room_for_those_who_ask() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let daemon = setup(&upstream, &safe, &["one"])
        .tables("[limits]\ntcp-connections = 3\ntcp-connections-per-client = 3")
        .start();
    let knocking: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(daemon.listen[1]).expect("a connection"))
        .collect();
    eventually("they are there", || {
        daemon.metric("byway_tcp_connections", &[]) == 3.0
    });
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let other = std::net::SocketAddr::new(other, 0);
    socket.bind(&other.into()).expect("bound");
    socket.connect(&daemon.listen[1].into()).expect("connected");
    let mut client = Tls::new().over(socket.into(), "one.test").expect("TLS");
    let reply = client.ask(&Build::query("www.example", A));
    assert_eq!(reply.rcode(), NOERROR);
    drop(knocking);
}
