//! What the operator waits for while the daemon is flooded: `/metrics` and `/api/v1/status`, asked every 10 ms while all
//! workers are kept busy on the CPU that the watch's thread shares with them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::cpu;
use super::load::{Load, Questions, queries};
use super::server::{Configured, Server, first_answer, free_address};
use super::upstream::Upstream;

/// Names in the cache, requests of each kind, and the pause between two.
const NAMES: usize = 10_000;
const REQUESTS: usize = 400;
const PAUSE: Duration = Duration::from_millis(10);
/// How long the load goes on at a time before it looks whether to go on.
const STRETCH: Duration = Duration::from_millis(500);

/// Measures and prints.
pub fn measure() {
    cpu::pin(cpu::LOAD);
    let upstream = Upstream::new().spawn();
    let (address, admin) = (free_address(), free_address());
    let configured = Configured::watched(address, 2, upstream, admin);
    let server = Server::start(configured.command(), cpu::SERVER, Some(address));
    if first_answer(server.address, || {}).is_none() {
        return println!("not measured: the daemon does not answer");
    }
    let mut load = Load::new(server.address, Questions::Known(queries(NAMES)));
    assert!(
        load.ask_all(Duration::from_secs(20)),
        "every name is answered once"
    );
    println!(
        "requests to the watch, {REQUESTS} each, one every {} ms",
        PAUSE.as_millis()
    );
    println!(
        "{:<16} {:>10} {:>10} {:>10}",
        "", "p50 ms", "p99 ms", "most ms"
    );
    print("quiet", admin);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                answered.fetch_add(load.saturate(STRETCH, || {}).answered, Relaxed);
            }
        });
        std::thread::sleep(STRETCH);
        print("flooded", admin);
        stop.store(true, Relaxed);
    });
    let rate = answered.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("meanwhile {:.0} queries a second were answered", rate);
}

fn print(when: &str, admin: SocketAddr) {
    for path in ["/metrics", "/api/v1/status"] {
        let mut took: Vec<f64> = (0..REQUESTS)
            .map(|_| {
                std::thread::sleep(PAUSE);
                get(admin, path).as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        let name = format!("{when} {path}");
        println!(
            "{name:<24} {:>8.2} {:>10.2} {:>10.2}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

/// From before the connection to the last octet of the answer.
fn get(admin: SocketAddr, path: &str) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(admin).expect("the watch listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
    start.elapsed()
}
