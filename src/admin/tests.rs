//! Real sockets, honest clients and others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::*;
use crate::observe::metrics::tests::metrics;

/// Far longer than anything here takes: a test that meets it hangs no further, and fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

fn healthy(metrics: Metrics) -> AdminState {
    AdminState {
        metrics: Arc::new(metrics),
        health: Box::new(|| Ok(None)),
        readiness: Box::new(|| Ok(None)),
        desk: Arc::new(Lectern::default()),
    }
}

/// A desk that notes who ordered what.
#[derive(Default)]
struct Lectern(std::sync::Mutex<Vec<String>>);

impl Lectern {
    fn note(&self, what: String) -> Result<api::Done, desk::Refused> {
        let mut notes = self.0.lock().expect("no panic while held");
        notes.push(what.clone());
        Ok(api::Done { done: what })
    }
}

impl Desk for Lectern {
    fn status(&self) -> api::Status {
        panic!("not asked for in these tests")
    }

    fn why(&self, name: &str, record_type: &str) -> Result<api::Why, desk::Refused> {
        Err(desk::Refused::Wrong(format!("{name} {record_type}")))
    }

    fn cache(&self, name: &str) -> Result<api::CacheLook, desk::Refused> {
        let name = name.to_owned();
        let answers = Vec::new();
        Ok(api::CacheLook { name, answers })
    }

    fn guard(&self) -> api::Guard {
        api::Guard {
            enabled: false,
            watched: 0,
            count: 0,
            kept: Vec::new(),
        }
    }

    fn release(&self, order: &api::ReleaseOrder, by: &str) -> Result<api::Done, desk::Refused> {
        self.note(format!("release {} by {by}", order.name))
    }

    fn events(&self, _after: u64, _most: usize, _details: bool) -> api::Events {
        api::Events { events: Vec::new() }
    }

    fn top(&self, most: usize) -> api::Top {
        api::Top {
            answers: most as u64,
            ..api::Top::default()
        }
    }

    fn drain(&self, order: &api::DrainOrder, by: &str) -> Result<api::Done, desk::Refused> {
        self.note(format!("drain {} {:?} by {by}", order.name, order.seconds))
    }

    fn restore(&self, order: &api::RestoreOrder, by: &str) -> Result<api::Done, desk::Refused> {
        self.note(format!("restore {} by {by}", order.name))
    }

    fn flush(&self, order: &api::FlushOrder, by: &str) -> Result<api::Done, desk::Refused> {
        self.note(format!("flush {:?} {} by {by}", order.name, order.subtree))
    }

    fn log(&self, order: &api::LogOrder, by: &str) -> Result<api::Done, desk::Refused> {
        self.note(format!("log {} by {by}", order.level))
    }

    fn snapshot(&self, by: &str) -> Result<desk::Later, desk::Refused> {
        let done = self.note(format!("snapshot by {by}"))?;
        let (tell, later) = tokio::sync::oneshot::channel();
        let _ = tell.send(Ok(done.done));
        Ok(later)
    }

    fn record(&self) -> Vec<u8> {
        vec![1, 0, 255]
    }

    fn trace(&self, order: &api::TraceOrder, by: &str) -> Result<api::TraceBegun, desk::Refused> {
        let api::Done { done } = self.note(format!("trace {} by {by}", order.name))?;
        Ok(api::TraceBegun { id: 1, done })
    }

    fn trace_lines(&self, order: &api::TraceLinesOrder) -> Result<api::TraceLines, desk::Refused> {
        Err(desk::Refused::Unknown(format!("no trace {}", order.id)))
    }

    fn history(
        &self,
        order: &api::HistoryOrder,
    ) -> Result<tokio::sync::oneshot::Receiver<Result<api::History, desk::Refused>>, desk::Refused>
    {
        if order.from == "busy" {
            return Err(desk::Refused::Busy("not now".into()));
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let _ = answer.send(Ok(api::History {
            step: order.step.map_or(30.0, |step| step as f64),
            steps: Vec::new(),
            events: Vec::new(),
        }));
        Ok(answered)
    }

    fn reload(&self, by: &str) -> tokio::sync::oneshot::Receiver<Result<String, String>> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let _ = answer.send(Ok(format!("reload by {by}")));
        answered
    }

    fn second(&self) {}
}

fn start(state: AdminState, bounds: Bounds) -> SocketAddr {
    let (listener, address) = listener();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let doors = Doors {
                network: Some(listener),
                control: None,
            };
            Ok::<_, io::Error>(Server::new(doors, state, bounds)?.run().await)
        })
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Everything that comes until the server closes. A reset after the answer counts as closing: the
/// server need not read what it did not want.
fn drain(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(bytes).expect("text")
}

fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream
        .write_all(request.as_bytes())
        .expect("a request taken");
    drain(&mut stream)
}

fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    split(&talk(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ))
}

fn split(response: &str) -> (u16, String, String) {
    let (head, body) = response.split_once("\r\n\r\n").expect("a header");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn metrics_come_as_prometheus_text() {
    let metrics = metrics();
    metrics.worker();
    let address = start(healthy(metrics), Bounds::DEFAULT);
    let (status, head, body) = get(address, "/metrics?whatever=1");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    assert!(body.contains("\nbyway_workers 1\n"), "{body}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
}

#[test]
fn spawn_serves_on_a_thread_of_its_own() {
    let (listener, address) = listener();
    let doors = Doors {
        network: Some(listener),
        control: None,
    };
    spawn(doors, healthy(metrics()), 8).expect("a thread");
    assert!(get(address, "/").2.contains("/metrics"));
}

#[test]
fn checks_are_asked_anew_each_time_and_say_why_not() {
    let well = Arc::new(AtomicBool::new(false));
    let check = |answer: &'static str| -> Check {
        let well = Arc::clone(&well);
        Box::new(move || {
            well.load(Ordering::SeqCst)
                .then_some(None)
                .ok_or_else(|| answer.to_owned())
        })
    };
    let state = AdminState {
        metrics: Arc::new(metrics()),
        desk: Arc::new(Lectern::default()),
        health: check("worker 1 has not turned over for 7.2 s"),
        readiness: check("every route is dead and the cache is empty"),
    };
    let address = start(state, Bounds::DEFAULT);
    let (status, _, body) = get(address, "/healthz");
    assert_eq!(
        (status, body.as_str()),
        (503, "worker 1 has not turned over for 7.2 s\n")
    );
    let (status, _, body) = get(address, "/readyz");
    assert_eq!(
        (status, body.as_str()),
        (503, "every route is dead and the cache is empty\n")
    );
    well.store(true, Ordering::SeqCst);
    assert_eq!(get(address, "/healthz").0, 200);
    assert_eq!(get(address, "/readyz").2, "ok\n");
}

#[test]
fn only_reading_is_served() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let response = talk(
            address,
            &format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        );
        let (status, head, _) = split(&response);
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    let (status, _, body) = get(address, "/metric");
    assert_eq!(status, 404);
    assert!(body.contains("/ lists what is"), "a hint: {body}");
    let body = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(split(&talk(address, body)).0, 413);
    let chunked = "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(split(&talk(address, chunked)).0, 413);
}

#[test]
fn head_is_get_without_the_body() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    let (status, head, body) = split(&talk(address, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!((status, body.as_str()), (200, ""));
    let length = get(address, "/").2.len();
    assert!(
        head.contains(&format!("content-length: {length}")),
        "{head}"
    );
}

#[test]
fn old_and_absent_host_headers_do_not_matter() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    assert_eq!(
        split(&talk(address, "GET /healthz HTTP/1.0\r\n\r\n")).0,
        200
    );
    assert_eq!(
        split(&talk(address, "GET /healthz HTTP/1.1\r\n\r\n")).0,
        200
    );
}

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

#[test]
fn a_page_that_rebinds_its_name_reads_nothing() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    for path in ["/metrics", "/api/v1/events", "/api/v1/history", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let (status, head, body) = split(&talk(address, &request));
        assert_eq!(status, 403, "{body}");
        assert!(!head.contains("access-control"), "{head}");
        assert!(head.contains("default-src 'none'"), "{head}");
    }
}

#[test]
fn what_makes_no_sense_is_told_so() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    let (status, _, body) = get(address, "/api/v1/why?name=a%20b");
    assert_eq!((status, body.as_str()), (400, "{\"error\":\"a b A\"}"));
    let (status, _, body) = get(address, "/api/v1/events?after=soon");
    assert_eq!(status, 400, "{body}");
    assert_eq!(get(address, "/api/v1/events?after=3&most=99999").0, 200);
}

#[test]
fn what_clients_ask_is_told_on_this_host_only() {
    let state = healthy(metrics());
    let headers = hyper::HeaderMap::new();
    let ask = |door: &Door, query| {
        let wanted = Wanted {
            method: &hyper::Method::GET,
            path: "/api/v1/top",
            query,
            headers: &headers,
            body: &[],
        };
        respond(&wanted, door, &state).status().as_u16()
    };
    let control = Door::Control { by: "uid 0".into() };
    assert_eq!(ask(&control, ""), 200);
    assert_eq!(ask(&Door::Network { loopback: true }, "most=5"), 200);
    assert_eq!(ask(&Door::Network { loopback: true }, "most=-5"), 400);
    assert_eq!(ask(&Door::Network { loopback: false }, ""), 403);
}

#[test]
fn the_record_is_read_for_who_asks_sensibly() {
    let address = start(healthy(metrics()), Bounds::DEFAULT);
    let (status, _, body) = get(address, "/api/v1/history?from=-1h&to=now&step=60");
    assert_eq!(
        (status, body.contains("\"step\":60.0")),
        (200, true),
        "{body}"
    );
    for (query, expected) in [("step=0", 400), ("step=86401", 400), ("step=x", 400)] {
        let (status, _, body) = get(address, &format!("/api/v1/history?{query}"));
        assert_eq!(status, expected, "{query}: {body}");
    }
    assert_eq!(get(address, "/api/v1/history?from=busy").0, 503);
    let posted = "POST /api/v1/history HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(split(&talk(address, posted)).0, 405);
}
