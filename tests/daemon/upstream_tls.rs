//! Upstreams over TLS (RFC 7858): what they have to prove, and what is never said in the clear.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64;

use super::kit::tls::{LISTENER, Responder, Safe, fixtures};
use super::kit::*;

/// Forwards to `address` over TLS, with further keys, by one worker.
fn setup(address: SocketAddr, keys: &str) -> Setup {
    let keys = format!("transport = \"tls\"\n{keys}");
    Setup::bare().one_worker().upstream(address, &keys)
}

/// It is `one.test`, and the authority of the tests vouches for it.
fn known() -> String {
    format!("tls-name = \"one.test\"\n{}", vouched("authority"))
}

fn vouched(by: &str) -> String {
    let path = fixtures().join(format!("{by}.pem"));
    format!("tls-ca = \"{}\"", path.display())
}

fn ask(daemon: &Daemon, name: &str) -> Message {
    Stub::new(daemon.dns()).ask(&Build::query(name, A).edns(Edns::new(1232)))
}

/// What the options of a reply say, the Extended DNS Errors among them.
fn told(reply: &Message) -> String {
    let options = reply.edns.iter().flat_map(|edns| &edns.options);
    let texts = options.map(|(_, octets)| String::from_utf8_lossy(octets).into_owned());
    texts.collect()
}

/// The SHA-256 of a fixture's key, as openssl has it.
fn pin(name: &str) -> Option<String> {
    let openssl = |arguments: &[&str], input: &[u8]| -> Option<Vec<u8>> {
        let mut command = Command::new("openssl");
        command.args(arguments);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().ok()?;
        child.stdin.take()?.write_all(input).ok()?;
        Some(child.wait_with_output().ok()?.stdout)
    };
    let key = fs::read(fixtures().join(format!("{name}.key"))).expect("a key");
    let public = openssl(&["pkey", "-pubout", "-outform", "der"], &key)?;
    let hash = openssl(&["dgst", "-sha256", "-binary"], &public)?;
    Some(BASE64.encode(&hash))
}

#[test]
fn questions_are_padded_pipelined_and_share_a_connection() {
    let server = Responder::good("one");
    let daemon = setup(server.address, &known()).start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    // No more at once than a route is given at first.
    for burst in 0..10u16 {
        for id in 0..20 {
            let name = format!("many{burst}-{id}.example");
            stub.send(&Build::query(&name, A).id(id).bytes());
        }
        for _ in 0..20 {
            assert_eq!(stub.receive().rcode(), NOERROR);
        }
    }
    let lengths = server.lengths();
    assert!(lengths.len() >= 230, "{}", lengths.len());
    assert!(
        lengths.iter().all(|it| it.is_multiple_of(128)),
        "{lengths:?}"
    );
    assert!(
        server.handshakes().len() <= 2,
        "as many as `upstream-connections`"
    );
    let untrusted = [("outcome", "untrusted")];
    assert_eq!(daemon.metric("byway_attempts_total", &untrusted), 0.0);
    let log = daemon.log();
    assert!(log.contains(&format!("{} (tls)", server.address)), "{log}");
}

/// A server that closes each connection behind an answer: the next one is resumed, and no question is lost.
#[test]
fn the_next_connection_is_resumed() {
    let server = Responder::new("one", true, |asked| Some(asked.good()));
    let daemon = setup(server.address, &known()).start();
    for number in 0..20 {
        let reply = ask(&daemon, &format!("again{number}.example"));
        assert_eq!(reply.rcode(), NOERROR);
    }
    let handshakes = server.handshakes();
    let resumed = handshakes.iter().filter(|it| **it).count();
    assert!(
        resumed + 3 >= handshakes.len() && resumed > 0,
        "{handshakes:?}"
    );
}

#[test]
fn a_server_that_cannot_prove_who_it_is_hears_nothing_and_is_at_fault() {
    let other = "tls-name = \"two.test\"\n".to_owned() + &vouched("authority");
    let nobody = "tls-name = \"one.test\"\n".to_owned() + &vouched("two");
    let key = format!("tls-pins = \"sha256/{}\"", BASE64.encode(&[7; 32]));
    for (certificate, keys, said) in [
        ("one", &other, "its certificate is for other names"),
        (
            "one",
            &nobody,
            "nobody who is trusted vouches for its certificate",
        ),
        (
            "ended",
            &known(),
            "its certificate has ended, if this host's clock is right",
        ),
        ("one", &key, "its key is not one of `tls-pins`"),
    ] {
        let server = Responder::good(certificate);
        let daemon = setup(server.address, keys).start();
        let reply = ask(&daemon, "secret.example");
        assert_eq!(reply.rcode(), SERVFAIL, "{said}");
        assert!(told(&reply).contains(said), "{said}: {reply:?}");
        assert_eq!(server.lengths(), [0; 0], "{said}");
        assert!(daemon.metric("byway_attempts_total", &[("outcome", "untrusted")]) >= 1.0);
        let sent_in_vain = [("outcome", "timed-out")];
        assert_eq!(daemon.metric("byway_attempts_total", &sent_in_vain), 0.0);
    }
}

#[test]
fn a_key_that_is_known_is_enough() {
    let Some(pin) = pin("one") else {
        return skip("openssl is not installed");
    };
    let server = Responder::good("one");
    let pins = format!("tls-pins = [\"{}\", \"{pin}\"]", BASE64.encode(&[7; 32]));
    let daemon = setup(server.address, &pins).start();
    assert_eq!(ask(&daemon, "www.example").rcode(), NOERROR);
    // With a name it has to prove both.
    let both = format!("{pins}\ntls-name = \"two.test\"\n{}", vouched("authority"));
    let daemon = setup(server.address, &both).start();
    assert_eq!(ask(&daemon, "www.example").rcode(), SERVFAIL);
}

/// Somebody takes the connection and speaks no TLS, or nothing at all; somebody else is asked.
#[test]
fn what_is_no_tls_is_said_and_others_are_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 512]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = Responder::good("one");
    let keys = format!("transport = \"tls\"\n{}", known());
    let daemon = setup(address, &known())
        .upstream(silent.local_addr().expect("its address"), &keys)
        .upstream(server.address, &keys)
        .start();
    for number in 0..10 {
        let reply = ask(&daemon, &format!("more{number}.example"));
        assert_eq!(reply.rcode(), NOERROR);
    }
    // Alone there is nobody else, and it is said which it was.
    for (address, said) in [
        (address, "it does not speak TLS"),
        (
            silent.local_addr().expect("its address"),
            "no answer to TLS, though the connection was taken",
        ),
    ] {
        let daemon = setup(address, &known()).start();
        eventually(said, || {
            let reply = ask(&daemon, "alone.example");
            assert_eq!(reply.rcode(), SERVFAIL);
            told(&reply).contains(said)
        });
    }
}

#[test]
fn byway_asks_byway() {
    let upstream = Upstream::good();
    let safe = Safe::new().with("one");
    let tables = LISTENER.to_owned() + &safe.table("one");
    let second = Setup::to(&[&upstream]).tables(&tables).start();
    let daemon = setup(second.listen[1], &known()).start();
    for number in 0..50 {
        let name = format!("through{number}.example.");
        let reply = ask(&daemon, &name);
        let [b0, b1, b2, b3] = address_of(&name);
        assert_eq!(reply.addresses(), [format!("{b0}.{b1}.{b2}.{b3}")]);
    }
    assert!(second.metric("byway_queries_total", &[("transport", "tls")]) >= 50.0);
    let clear = [("transport", "udp")];
    assert_eq!(second.metric("byway_queries_total", &clear), 0.0);
    // The other commands that ask do it in the same way.
    let file = daemon.folder().join("byway.toml");
    for arguments in [&["query", "www.example", "--direct"][..], &["doctor"]] {
        let mut command = byway();
        command.args(arguments).arg("-c").arg(&file);
        let output = super::kit::daemon::run(&mut command);
        let said = super::kit::daemon::stdout(&output);
        assert!(!said.contains("does not answer"), "{said}");
    }
    assert_eq!(second.metric("byway_queries_total", &clear), 0.0);
}

#[test]
fn authorities_that_cannot_be_read_end_the_start() {
    let keys = format!("{}\n", vouched("none"));
    let (command, folder) = setup("127.0.0.1:853".parse().expect("one"), &keys).command();
    let (status, log) = Daemon::try_spawn(command, Some(folder))
        .err()
        .expect("it does not start");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("none.pem: it cannot be read"), "{log}");
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn unbound_is_asked_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its address").port();
    drop(free);
    let tls = fixtures();
    let file = folder.path().join("unbound.conf");
    let text = format!(
        "server:\n interface: 127.0.0.1@{port}\n tls-port: {port}\n username: \"\"\n chroot: \"\"\n directory: \"{0}\"\n \
         pidfile: \"{0}/pid\"\n use-syslog: no\n do-daemonize: no\n do-not-query-localhost: yes\n \
         tls-service-key: \"{1}/one.key\"\n tls-service-pem: \"{1}/one.pem\"\n \
         local-zone: \"example.\" static\n local-data: \"www.example. 300 IN A 192.0.2.80\"\n",
        folder.path().display(),
        tls.display()
    );
    fs::write(&file, text).expect("written");
    let mut command = Command::new("unbound");
    command.arg("-c").arg(&file).stdout(Stdio::null());
    let Ok(child) = command.stderr(Stdio::null()).spawn() else {
        return skip("unbound is not installed");
    };
    let _unbound = Killed(child);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("unbound listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let daemon = setup(address, &known()).start();
    let reply = ask(&daemon, "www.example");
    assert_eq!(reply.addresses(), ["192.0.2.80"]);
    assert_eq!(ask(&daemon, "none.example").rcode(), NXDOMAIN);
}
