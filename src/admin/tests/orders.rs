//! What changes something, and who may have it done.

use super::*;

/// Asks over the control socket.
fn order(path: &std::path::Path, request: &str) -> (u16, String) {
    let mut stream = std::os::unix::net::UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("taken");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (status, _, body) = split(&response);
    (status, body)
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: byway\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn orders_come_over_the_control_socket_with_who_gave_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let desk = Arc::new(Lectern::default());
    let state = AdminState {
        desk: Arc::clone(&desk) as Arc<dyn Desk>,
        ..healthy(metrics())
    };
    let doors = Doors {
        network: None,
        control: Some(ControlSocket::bind(&path).expect("a socket")),
    };
    spawn(doors, state, 8).expect("a thread");
    let (status, body) = order(
        &path,
        &post("/api/v1/drain", "{\"name\":\"eth1\",\"seconds\":60}"),
    );
    assert_eq!(status, 200, "{body}");
    let (status, _) = order(
        &path,
        &post("/api/v1/flush", "{\"name\":\"example.\",\"subtree\":true}"),
    );
    assert_eq!(status, 200);
    let me = format!(
        "by uid {} (pid {})",
        rustix::process::getuid().as_raw(),
        std::process::id()
    );
    let noted = desk.0.lock().expect("no panic").clone();
    assert_eq!(
        noted,
        [
            format!("drain eth1 Some(60) {me}"),
            format!("flush Some(\"example.\") true {me}")
        ]
    );
    for (path_of, body, expected) in [
        ("/api/v1/drain", "", 400),
        ("/api/v1/drain", "{\"nam\":1}", 400),
        ("/api/v1/drain", "{\"name\":\"a\",\"secs\":1}", 400),
        ("/api/v1/reboot", "{}", 404),
    ] {
        let (status, answer) = order(&path, &post(path_of, body));
        assert_eq!(status, expected, "{path_of} {body}: {answer}");
        assert!(answer.contains("\"error\""), "{answer}");
    }
    let long = post("/api/v1/drain", &" ".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(order(&path, &long).0, 400);
    let read = "GET /healthz HTTP/1.1\r\nHost: byway\r\n\r\n";
    assert_eq!(order(&path, read).0, 200, "reading works there too");
}

#[test]
fn nothing_is_changed_over_the_network() {
    let desk = Arc::new(Lectern::default());
    let state = AdminState {
        desk: Arc::clone(&desk) as Arc<dyn Desk>,
        ..healthy(metrics())
    };
    let address = start(state, Bounds::DEFAULT);
    for path in ["drain", "restore", "flush", "log", "snapshot"] {
        let request = format!("POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (status, _, body) = split(&talk(address, &request));
        assert_eq!(status, 405, "{body}");
        assert!(body.contains("control socket"), "{body}");
    }
    assert!(desk.0.lock().expect("no panic").is_empty());
}
