//! What clients notice of 100 reloads, and of a process that takes over: `cargo bench --bench steady`.
//!
//! Known and new names are asked 10,000 times a second (or as often as an argument says), while the configuration is reloaded
//! 100 times with something changed each time, and then while another process takes over, three times. Printed is how
//! many questions were lost (no answer within 5 s), how many were answered later than 50 ms, and the slowest. All of it shares
//! this machine: run it alone. The program named by BYWAY is measured, or this build's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const RELOADS: usize = 100;
const TAKEOVERS: usize = 3;
/// One question in so many is for a new name.
const NEW: u64 = 20;
const LATE: Duration = Duration::from_millis(50);
const LOST: Duration = Duration::from_secs(5);
const SOCKETS: usize = 8;

fn main() {
    let rate = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let rate: u64 = rate.unwrap_or(10_000);
    let (upstream, other) = (upstream(), upstream());
    let folder = tempfile::tempdir().expect("a folder");
    let address = free();
    let file = folder.path().join("byway.toml");
    write(&file, [upstream, other], address, 0);
    let mut daemon = start(&file, false, address);
    println!(
        "{:<28} {:>9} {:>6} {:>9} {:>9}",
        "", "questions", "lost", "over 50ms", "most ms"
    );
    measured("undisturbed", rate, address, |_| {
        thread::sleep(Duration::from_secs(10))
    });
    measured("100 reloads", rate, address, |_| {
        for round in 1..=RELOADS {
            write(&file, [upstream, other], address, round);
            let done = Command::new(program())
                .args(["reload", "--config"])
                .arg(&file)
                .stdout(Stdio::null())
                .status();
            assert!(done.is_ok_and(|it| it.success()), "reload {round}");
            thread::sleep(Duration::from_millis(50));
        }
    });
    measured("3 processes taking over", rate, address, |_| {
        for _ in 0..TAKEOVERS {
            let next = start(&file, true, address);
            let mut before = std::mem::replace(&mut daemon, next);
            assert!(before.0.wait().is_ok_and(|it| it.success()), "it ends well");
            thread::sleep(Duration::from_secs(1));
        }
    });
}

/// A daemon, killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> OsString {
    std::env::var_os("BYWAY").unwrap_or(OsString::from(env!("CARGO_BIN_EXE_byway")))
}

/// The configuration, with something changed from round to round.
fn write(file: &Path, [upstream, other]: [SocketAddr; 2], address: SocketAddr, round: usize) {
    let control: PathBuf = file.with_file_name("control.sock");
    let (hedge, size) = (2 + round % 5, 64 + round % 3);
    let second = match round % 2 {
        0 => String::new(),
        _ => format!("[[upstream]]\nname = \"other\"\naddress = \"{other}\"\nbackup = true\n"),
    };
    let text = format!(
        "version = 1\nworkers = 2\n[admin]\nlisten = \"off\"\ncontrol = \"{}\"\n[recorder]\nenabled = false\n\
         [cache]\nsnapshot = \"off\"\nsize = \"{size} MiB\"\n[routing]\nhedge-min = \"{hedge} ms\"\n\
         [[listen]]\naddress = \"{address}\"\n[[upstream]]\nname = \"one\"\naddress = \"{upstream}\"\n{second}",
        control.display()
    );
    std::fs::write(file, text).expect("room for a file");
}

fn start(file: &Path, takes_over: bool, address: SocketAddr) -> Daemon {
    let mut command = Command::new(program());
    command.arg("run");
    if takes_over {
        command.arg("--takeover");
    }
    let child = command
        .arg("--config")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon starts");
    if !takes_over {
        let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
        probe.connect(address).expect("loopback");
        probe
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let answers = (0..200).any(|_| {
            let _ = probe.send(&query(0, "k0"));
            thread::sleep(Duration::from_millis(5));
            probe.recv(&mut [0; 512]).is_ok()
        });
        assert!(answers, "the daemon does not answer");
    }
    Daemon(child)
}

fn free() -> SocketAddr {
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address")
}

fn query(id: u16, label: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8]);
    bytes.extend_from_slice(label.as_bytes());
    bytes.extend_from_slice(b"\x07example\0\0\x01\0\x01");
    bytes
}

/// One that answers everything at once, from a thread of its own.
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            let Some(root) = room[12..length].iter().position(|&octet| octet == 0) else {
                continue;
            };
            let mut bytes = room[..(12 + root + 5).min(length)].to_vec();
            bytes[2..4].copy_from_slice(&[0x81, 0x80]);
            bytes[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            if bytes.ends_with(&[0, 1, 0, 1]) {
                bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
            } else {
                bytes[7] = 0;
            }
            let _ = socket.send_to(&bytes, from);
        }
    });
    address
}

/// Asks at `rate` for as long as `work` takes, and prints what became of the questions.
fn measured(what: &str, rate: u64, address: SocketAddr, work: impl FnOnce(())) {
    let over = AtomicBool::new(false);
    let (lost, late, most, sent) = Default::default();
    let figures: [&AtomicU64; 4] = [&lost, &late, &most, &sent];
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(rate, address, &over, figures));
        work(());
        over.store(true, Relaxed);
        asking.join().expect("no panic");
    });
    println!(
        "{what:<28} {:>9} {:>6} {:>9} {:>9.1}",
        sent.load(Relaxed),
        lost.load(Relaxed),
        late.load(Relaxed),
        most.load(Relaxed) as f64 / 1e3
    );
}

fn ask(
    rate: u64,
    address: SocketAddr,
    over: &AtomicBool,
    [lost, late, most, sent]: [&AtomicU64; 4],
) {
    let sockets: Vec<UdpSocket> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.connect(address).expect("loopback");
            socket.set_nonblocking(true).expect("a socket");
            socket
        })
        .collect();
    // By socket, what is asked for, oldest first; answered ones are taken out from the front.
    let mut open: Vec<VecDeque<(u16, Instant, bool)>> = vec![VecDeque::new(); SOCKETS];
    let (start, mut count, stamp) = (Instant::now(), 0u64, std::process::id());
    let began = start.elapsed();
    let mut room = [0; 512];
    loop {
        let finished = over.load(Relaxed);
        let owed = match finished {
            true => count,
            false => (start.elapsed() - began).as_micros() as u64 * rate / 1_000_000,
        };
        while count < owed {
            let (socket, id) = (count as usize % SOCKETS, (count / SOCKETS as u64) as u16);
            let label = match count.is_multiple_of(NEW) {
                true => format!("n{stamp}-{count}-{rate}-{:x}", sent as *const _ as usize),
                false => format!("k{}", count % 500),
            };
            if sockets[socket].send(&query(id, &label)).is_ok() {
                open[socket].push_back((id, Instant::now(), false));
                sent.fetch_add(1, Relaxed);
            }
            count += 1;
        }
        for (socket, open) in sockets.iter().zip(&mut open) {
            while let Ok(length) = socket.recv(&mut room) {
                let id = u16::from_be_bytes([room[0], room[1]]);
                let found = open.iter_mut().find(|it| it.0 == id && !it.2);
                if let Some(question) = found.filter(|_| length > 12 && room[3] & 0x0f == 0) {
                    question.2 = true;
                    let took = question.1.elapsed();
                    most.fetch_max(took.as_micros() as u64, Relaxed);
                    late.fetch_add(u64::from(took > LATE), Relaxed);
                }
            }
            while let Some(&(_, since, answered)) = open.front() {
                if !answered && since.elapsed() < LOST {
                    break;
                }
                lost.fetch_add(u64::from(!answered), Relaxed);
                open.pop_front();
            }
        }
        if finished && open.iter().all(VecDeque::is_empty) {
            return;
        }
        thread::sleep(Duration::from_micros(500));
    }
}
