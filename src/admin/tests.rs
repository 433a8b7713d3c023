//! Real sockets, honest clients and others.

mod hostile;
mod orders;

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

    fn takeover(
        &self,
        order: &api::TakeoverOrder,
        by: &str,
    ) -> Result<api::Done, crate::admin::desk::Refused> {
        let done = format!("{} by {by}", order.socket);
        Ok(api::Done { done })
    }

    fn second(&self) -> bool {
        true
    }
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
