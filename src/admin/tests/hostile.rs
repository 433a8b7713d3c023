//! Clients that are slow, broken or many.

use super::*;

#[test]
fn garbage_harms_nobody() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let many_fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    for garbage in [
        "\r\n\r\n",
        "\0\0\x01\0\0\x01\0\0\0\0\0\0",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET http:// HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long_line,
        &many_fields,
    ] {
        let mut stream = connect(address);
        // The server may close while we still write.
        let _ = stream.write_all(garbage.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let response = drain(&mut stream);
        let served = response.starts_with("HTTP/1.1 2");
        assert!(!served, "{:?} got {response}", garbage.get(..40));
        assert_eq!(
            get(address, "/healthz").0,
            200,
            "after {:?}",
            garbage.get(..40)
        );
    }
}

#[test]
fn a_header_that_never_ends_is_cut_off() {
    let bounds = Bounds {
        header: Duration::from_millis(50),
        ..Bounds::DEFAULT
    };
    let address = start(healthy(metrics()), bounds);
    let mut silent = connect(address);
    let mut slow = connect(address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        .expect("the first bytes taken");
    // The server closes both, and has sent neither a page.
    assert!(!drain(&mut silent).contains("byway_"));
    assert!(!drain(&mut slow).contains("byway_"));
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn a_byte_now_and_then_does_not_buy_time() {
    let bounds = Bounds {
        header: PATIENCE,
        lifetime: Duration::from_millis(100),
        ..Bounds::DEFAULT
    };
    let address = start(healthy(metrics()), bounds);
    let mut slow = connect(address);
    let mut writer = slow.try_clone().expect("a second handle");
    let drip = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < 3_000 && writer.write_all(b"x").is_ok() {
            sent += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        sent
    });
    assert_eq!(drain(&mut slow), "");
    assert!(
        drip.join().expect("no panic") < 3_000,
        "the server let it drip on"
    );
}

#[test]
fn a_client_that_takes_no_answer_is_cut_off() {
    let bounds = Bounds {
        lifetime: Duration::from_millis(200),
        ..Bounds::DEFAULT
    };
    // More than the kernel's buffers of both ends hold, so that the server must wait to write.
    let why = "x".repeat(64 << 20);
    let (asked, was_asked) = mpsc::channel();
    let state = AdminState {
        readiness: Box::new(move || {
            let _ = asked.send(());
            Err(why.clone())
        }),
        ..healthy(metrics())
    };
    let address = start(state, bounds);
    let mut deaf = connect(address);
    deaf.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("a request taken");
    was_asked
        .recv_timeout(PATIENCE)
        .expect("the request reached the server");
    std::thread::sleep(bounds.lifetime * 2);
    let got = drain(&mut deaf).len();
    assert!(got < 64 << 20, "the server waited: {got} bytes");
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn when_too_many_are_open_the_oldest_makes_room() {
    let bounds = Bounds {
        connections: 4,
        header: PATIENCE,
        lifetime: PATIENCE,
    };
    let address = start(healthy(metrics()), bounds);
    let mut idle: Vec<TcpStream> = (0..12).map(|_| connect(address)).collect();
    assert_eq!(
        get(address, "/healthz").0,
        200,
        "a newcomer is served at once"
    );
    // Twelve and one came, four may stay: the first eight at least have been closed.
    for old in &mut idle[..8] {
        assert_eq!(drain(old), "");
    }
    let mut newest = idle.pop().expect("twelve of them");
    newest
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("still open");
    assert_eq!(split(&drain(&mut newest)).0, 200);
}

#[test]
fn a_panicking_check_costs_one_connection() {
    let state = AdminState {
        readiness: Box::new(|| panic!("a defect")),
        ..healthy(metrics())
    };
    let address = start(state, Bounds::DEFAULT);
    let mut unlucky = connect(address);
    unlucky
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("a request taken");
    assert_eq!(drain(&mut unlucky), "");
    assert_eq!(get(address, "/healthz").0, 200);
}
