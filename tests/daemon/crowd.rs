//! A crowd at the admin side: it is bounded and counted, and DNS goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::kit::*;

#[test]
fn a_crowd_at_the_admin_side_is_bounded_and_counted_and_names_resolve() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    daemon.warm_up();
    let admin = daemon.admin.expect("an admin endpoint");
    let socket = daemon.folder().join("control.sock");
    let open = || daemon.metric("process_open_fds", &[]);
    let before = open();
    let mut crowd: Vec<TcpStream> = Vec::new();
    let mut operators: Vec<UnixStream> = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(admin).expect("a connection");
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = match number % 4 {
            // Says nothing, says half of it, says too much, does not take its answer.
            0 => Ok(()),
            1 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127"),
            2 => {
                let head = format!(
                    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n",
                    "x".repeat(100_000)
                );
                stream.write_all(head.as_bytes())
            }
            _ => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        };
        crowd.push(stream);
        if let Ok(stream) = UnixStream::connect(&socket) {
            operators.push(stream);
        }
        if number % 10 == 0 {
            let name = format!("crowd{number}.example");
            let reply = Stub::new(daemon.dns()).ask(&Build::query(&name, A));
            assert_eq!(reply.rcode(), NOERROR, "{name}");
        }
    }
    // Each door has 64 places.
    let now = open();
    assert!(
        now <= before + 2.0 * 64.0 + 20.0,
        "{before} descriptors, then {now}"
    );
    let count = |end| daemon.metric("byway_watch_connections_total", &[("end", end)]);
    assert!(count("displaced") >= 400.0, "{}", count("displaced"));
    assert!(count("broken") >= 1.0 && count("answered") >= 1.0);
    // Who has a place and does not use it loses it.
    eventually("the silent are cut off", || count("stalled") >= 1.0);
    let mut first = &crowd[0];
    let mut rest = Vec::new();
    assert!(matches!(first.read_to_end(&mut rest), Ok(0) | Err(_)));
    assert_eq!(daemon.http("/healthz").0, 200);
}
