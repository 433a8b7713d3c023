//! What one client that asks without end leaves to another one: `cargo bench --bench fair`, or `-- 60` for a minute each.
//!
//! The upstream takes 2,000 questions a second, holds 200 more, and loses the rest. A modest client asks a known name and a
//! new one, in turns, a hundred times a second each; first alone, and then beside a greedy one that asks for 50,000 new
//! names a second. All of them, the daemon and the upstream share this machine: with few cores, what the modest one's
//! known names wait is mostly the machine's doing. The program named by BYWAY is measured, or this build's.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Questions a second that the upstream takes, and how many wait for it.
const CAPACITY: u32 = 2000;
const QUEUE: usize = 200;
/// Its way, there and back.
const TRIP: Duration = Duration::from_millis(5);

const GREEDY_RATE: u64 = 50_000;
const MODEST_RATE: u32 = 100;
/// A question that has no answer by then has failed.
const DEADLINE: Duration = Duration::from_secs(5);

fn main() {
    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let span = Duration::from_secs(seconds.unwrap_or(15));
    let served: &'static AtomicU64 = Box::leak(Box::default());
    let upstream = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let at = upstream.local_addr().expect("an address");
    thread::spawn(move || serve(&upstream, served));
    let daemon = Daemon::start(at);
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "modest client", "asked", "failed", "p50 ms", "p99 ms", "p99.9", "most"
    );
    modest("alone", daemon.address, span);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let greedy = scope.spawn(|| greedy(daemon.address, &over));
        // Until what was free is taken.
        thread::sleep(Duration::from_secs(2));
        let before = served.load(Relaxed);
        modest("beside the greedy one", daemon.address, span);
        let through = (served.load(Relaxed) - before) as f64 / span.as_secs_f64();
        over.store(true, Relaxed);
        let (sent, good) = greedy.join().expect("no panic");
        println!(
            "the greedy one asked {sent} times and had {good} answers; the upstream took {through:.0} a second"
        );
    });
}

/// The daemon, killed when dropped.
struct Daemon {
    child: Child,
    address: SocketAddr,
    _file: tempfile::NamedTempFile,
}

impl Daemon {
    fn start(upstream: SocketAddr) -> Daemon {
        let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(
            file,
            "version = 1\nworkers = 2\n[admin]\nlisten = \"off\"\ncontrol = \"off\"\n[recorder]\nenabled = false\n\
             [cache]\nsnapshot = \"off\"\n[[listen]]\naddress = \"{address}\"\n[[upstream]]\naddress = \"{upstream}\"\n"
        )
        .expect("room for a file");
        let program =
            std::env::var_os("BYWAY").unwrap_or(OsString::from(env!("CARGO_BIN_EXE_byway")));
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let daemon = Daemon {
            child,
            address,
            _file: file,
        };
        let probe = client(1, address);
        probe
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        for _ in 0..200 {
            let _ = probe.send(&query(0, "known"));
            if probe.recv(&mut [0; 512]).is_ok() {
                return daemon;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the daemon does not answer");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with an address of its own.
fn client(number: u8, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, number], 0))).expect("a port");
    socket.connect(server).expect("loopback");
    socket
}

fn query(id: u16, label: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8]);
    bytes.extend_from_slice(label.as_bytes());
    bytes.extend_from_slice(b"\x07example\0\0\x01\0\x01");
    bytes
}

/// An address for what is asked, without the OPT record of the query.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let root = query.iter().skip(12).position(|&octet| octet == 0)?;
    let mut bytes = query.get(..12 + root + 5)?.to_vec();
    bytes[2..4].copy_from_slice(&[0x81, 0x80]);
    bytes[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    // A type other than A has no data here, which is an answer too.
    if bytes.ends_with(&[0, 1, 0, 1]) {
        bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
    } else {
        bytes[7] = 0;
    }
    Some(bytes)
}

/// A server of so much a second, behind a way of so long.
fn serve(socket: &UdpSocket, served: &AtomicU64) {
    let (mut room, each) = ([0; 512], Duration::from_secs(1) / CAPACITY);
    let mut due: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
    let mut busy_until = Instant::now();
    socket.set_nonblocking(true).expect("a socket");
    loop {
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            let now = Instant::now();
            let begins = busy_until.max(now);
            if begins - now > each * QUEUE as u32 {
                continue;
            }
            busy_until = begins + each;
            if let Some(reply) = answer(&room[..length]) {
                due.push_back((busy_until + TRIP, from, reply));
            }
        }
        while due.front().is_some_and(|(at, ..)| *at <= Instant::now()) {
            if let Some((_, to, reply)) = due.pop_front() {
                let _ = socket.send_to(&reply, to);
                served.fetch_add(1, Relaxed);
            }
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Asks for new names without end. How many, and how many were answered usefully.
fn greedy(server: SocketAddr, over: &AtomicBool) -> (u64, u64) {
    let sockets: Vec<UdpSocket> = (0..4).map(|_| client(2, server)).collect();
    for socket in &sockets {
        socket.set_nonblocking(true).expect("a socket");
    }
    let (start, mut sent, mut good, mut room) = (Instant::now(), 0u64, 0u64, [0; 512]);
    while !over.load(Relaxed) {
        let owed = start.elapsed().as_micros() as u64 * GREEDY_RATE / 1_000_000;
        while sent < owed {
            let socket = &sockets[sent as usize % sockets.len()];
            let _ = socket.send(&query(sent as u16, &format!("g{sent}")));
            sent += 1;
        }
        for socket in &sockets {
            while let Ok(length) = socket.recv(&mut room) {
                good += u64::from(length > 12 && room[3] & 0x0f == 0);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    (sent, good)
}

/// Asks for known and for new names in turns, and prints what became of each kind.
fn modest(when: &str, server: SocketAddr, span: Duration) {
    let socket = client(3, server);
    let every = Duration::from_secs(1) / (2 * MODEST_RATE);
    let asked: std::sync::Mutex<HashMap<u16, Instant>> = Default::default();
    let (over, mut took) = (AtomicBool::new(false), [Vec::new(), Vec::new()]);
    let mut counts = [0usize; 2];
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a timeout");
    thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let (mut room, mut took) = ([0; 512], [Vec::new(), Vec::new()]);
            while !over.load(Relaxed) {
                let Ok(length) = socket.recv(&mut room) else {
                    continue;
                };
                let id = u16::from_be_bytes([room[0], room[1]]);
                let since = asked.lock().expect("no panic").remove(&id);
                if let Some(since) = since.filter(|_| length > 12 && room[3] & 0x0f == 0) {
                    took[usize::from(id) % 2].push(since.elapsed().as_secs_f64() * 1e3);
                }
            }
            took
        });
        let (start, mut next, mut id) = (Instant::now(), Instant::now(), 0u16);
        let stamp = format!("{:x}", std::process::id() ^ when.len() as u32);
        while start.elapsed() < span {
            let name = match id % 2 {
                0 => "known".to_owned(),
                _ => format!("m{stamp}-{id}"),
            };
            asked.lock().expect("no panic").insert(id, Instant::now());
            let _ = socket.send(&query(id, &name));
            counts[usize::from(id) % 2] += 1;
            id = id.wrapping_add(1);
            next += every;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        thread::sleep(DEADLINE.min(Duration::from_secs(5)));
        over.store(true, Relaxed);
        took = listening.join().expect("no panic");
    });
    for (kind, mut took, count) in [
        ("known names", std::mem::take(&mut took[0]), counts[0]),
        ("new names", std::mem::take(&mut took[1]), counts[1]),
    ] {
        took.sort_by(f64::total_cmp);
        let at = |share: f64| match took.len() {
            0 => f64::NAN,
            count => took[((count - 1) as f64 * share) as usize],
        };
        println!(
            "{when:<24} {count:>8} {:>7.2}% {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {kind}",
            (count - took.len()) as f64 * 100.0 / count.max(1) as f64,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}
