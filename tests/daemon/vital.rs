//! What must not take the daemon down, or must do so in time: logs that cannot be written, signals, threads and
//! tasks that are stuck or gone.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use tempfile::TempDir;

use super::kit::*;

/// A pipe into which nothing more fits. Writes to it wait, or fail if they are `refused`.
fn full_pipe(refused: bool) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("its flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
    while writer.write(&[b'#'; 64]).is_ok() {}
    while writer.write(b"#").is_ok() {}
    if !refused {
        fcntl_setfl(&writer, flags).expect("set");
    }
    (reader, writer)
}

/// Two addresses that nobody has for now: one for DNS, one for HTTP.
pub(super) fn free() -> [SocketAddr; 2] {
    loop {
        let tcp = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let addresses = tcp
            .each_ref()
            .map(|it| it.local_addr().expect("its address"));
        if UdpSocket::bind(addresses[0]).is_ok() {
            return addresses;
        }
    }
}

/// An upstream that can be made silent.
pub(super) fn moody() -> (Upstream, Arc<AtomicBool>) {
    let silent = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::new({
        let silent = Arc::clone(&silent);
        move |asked| match silent.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => vec![Act::Send(asked.good())],
        }
    });
    (upstream, silent)
}

/// As [`Setup::start`], with a stderr that the test does not read.
fn start_unheard(setup: &Setup, stderr: Stdio) -> Daemon {
    let addresses = free();
    let [dns, admin] = addresses;
    let setup = setup.clone().listen(&[&dns.to_string()]).admin(admin);
    let (command, folder) = setup.command();
    Daemon::unheard(command, stderr, addresses, folder)
}

/// Keeps the snapshot there.
fn keeping(setup: Setup) -> (Setup, TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cache.snapshot");
    let table = format!("[cache]\nsnapshot = \"{}\"", file.display());
    (setup.tables(&table), folder, file)
}

fn answers(daemon: &Daemon, name: &str) -> bool {
    let stub = Stub::new(daemon.dns());
    stub.send(&Build::query(name, A).bytes());
    let answered = stub.receive_within(PATIENCE);
    answered.is_some_and(|(bytes, _)| bytes[3] & 15 == 0)
}

/// Has questions go unanswered, which is held against the route and said in the log.
fn outage(daemon: &Daemon, silent: &AtomicBool) {
    silent.store(true, Ordering::Relaxed);
    let stubs = (0..20).map(|number| {
        let stub = Stub::new(daemon.dns());
        stub.send(&Build::query(&format!("lost{number}.example"), A).bytes());
        stub
    });
    let stubs: Vec<Stub> = stubs.collect();
    for stub in stubs {
        assert_eq!(stub.receive().rcode(), SERVFAIL);
    }
    silent.store(false, Ordering::Relaxed);
}

#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    let dead = || {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        (None, Stdio::from(writer))
    };
    let full = |refused| {
        let (reader, writer) = full_pipe(refused);
        (Some(reader), Stdio::from(writer))
    };
    let device = File::options().write(true).open("/dev/full");
    let cases = [
        ("a pipe without a reader", dead(), true),
        (
            "a full disk",
            (None, device.expect("a device").into()),
            true,
        ),
        ("a full pipe", full(false), false),
        ("a full pipe that does not wait", full(true), false),
    ];
    for (what, (reader, stderr), fails) in cases {
        let (upstream, silent) = moody();
        let (setup, _folder, snapshot) = keeping(Setup::to(&[&upstream]));
        let mut daemon = start_unheard(&setup, stderr);
        daemon.warm_up();
        outage(&daemon, &silent);
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
            daemon.signal(signal);
        }
        // Lines were written about all of that. Everything still works, the routes' return too.
        eventually(what, || answers(&daemon, "healed.example"));
        let mut connection = Connection::new(daemon.dns());
        let reply = connection.ask(&Build::query("tcp.example", A));
        assert_eq!(reply.rcode(), NOERROR, "{what}");
        assert_eq!(daemon.http("/healthz"), (200, "ok\n".into()), "{what}");
        if fails {
            let lost = daemon.metric("byway_log_lines_lost_total", &[]);
            assert!(lost > 0.0, "{what}: {lost} lines lost");
        }
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait().code(), Some(0), "{what}");
        assert!(snapshot.exists(), "{what}: a snapshot");
        drop(reader);
    }
}

#[test]
fn what_was_held_up_is_written_when_the_log_is_read_again() {
    let upstream = Upstream::good();
    let (mut reader, writer) = full_pipe(false);
    let mut daemon = start_unheard(&Setup::to(&[&upstream]), writer.into());
    assert!(answers(&daemon, "before.example"));
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let text = reading.join().expect("no panic").expect("text");
    for said in ["listening on", "SIGTERM: stopping: 0 questions in flight"] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn a_start_that_fails_says_so_to_who_listens_and_ends_anyway() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream]).listen(&[&address]);
    let (command, _folder) = setup.command();
    let (status, log) = Daemon::try_spawn(command, None).err().expect("it fails");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("error: ") && log.contains(&address), "{log}");

    let (_reader, writer) = full_pipe(false);
    let (mut command, _folder) = setup.command();
    let mut child = command.stderr(writer).spawn().expect("it starts");
    drop(command);
    eventually("it ends", || {
        child.try_wait().expect("its status").is_some()
    });
    assert_eq!(child.wait().expect("its status").code(), Some(1));
}

/// Signals that end, stop or are ignored by a process by default, and that none of a daemon's should.
const STRAY: &[i32] = &[
    libc_number::HUP,
    libc_number::USR1,
    libc_number::USR2,
    libc_number::PIPE,
    libc_number::ALRM,
    libc_number::TTIN,
    libc_number::TTOU,
    libc_number::XCPU,
    libc_number::XFSZ,
    libc_number::VTALRM,
    libc_number::PROF,
    libc_number::IO,
    libc_number::PWR,
];

/// As `kill -l` numbers them on Linux.
mod libc_number {
    pub const HUP: i32 = 1;
    pub const USR1: i32 = 10;
    pub const USR2: i32 = 12;
    pub const PIPE: i32 = 13;
    pub const ALRM: i32 = 14;
    pub const TTIN: i32 = 21;
    pub const TTOU: i32 = 22;
    pub const XCPU: i32 = 24;
    pub const XFSZ: i32 = 25;
    pub const VTALRM: i32 = 26;
    pub const PROF: i32 = 27;
    pub const IO: i32 = 29;
    pub const PWR: i32 = 30;
}

#[test]
fn only_term_int_and_quit_end_it() {
    let upstream = Upstream::good();
    let (setup, _folder, snapshot) = keeping(Setup::to(&[&upstream]));
    let mut daemon = setup.start();
    for (number, stray) in STRAY.iter().enumerate() {
        let signal = Signal::from_named_raw(*stray).expect("a signal");
        daemon.signal(signal);
        assert!(
            answers(&daemon, &format!("after{number}.example")),
            "{stray}"
        );
    }
    // Signals without a name: the first and the last of the real-time ones.
    for number in ["34", "64"] {
        let pid = daemon.pid().as_raw_pid().to_string();
        let kill = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", number, &pid])
            .status();
        assert!(kill.expect("a shell").success());
        assert!(
            answers(&daemon, &format!("after{number}.example")),
            "{number}"
        );
    }
    eventually("they are told of", || {
        let log = daemon.log();
        [
            "SIGHUP: the configuration was read anew",
            "SIGUSR1 ignored",
            "SIGUSR2 ignored",
        ]
        .iter()
        .all(|line| log.matches(line).count() == 1)
    });
    daemon.signal(Signal::QUIT);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(snapshot.exists());
    let log = daemon.whole_log();
    assert!(
        log.contains("SIGQUIT: stopping: 0 questions in flight"),
        "{log}"
    );
    assert!(
        log.contains("answers are kept in") && log.contains("stopped"),
        "{log}"
    );
}

#[test]
fn whoever_stops_it_hears_what_is_in_flight_and_readiness_ends() {
    let (upstream, gate) = Upstream::gated();
    let mut daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    daemon.warm_up();
    assert_eq!(daemon.http("/readyz").0, 200);
    let stub = Stub::new(daemon.dns());
    stub.send(&Build::query("slow.example", A).bytes());
    eventually("it waits", || {
        daemon.metric("byway_waiting_clients", &[]) == 1.0
    });
    daemon.signal(Signal::TERM);
    eventually("no longer ready", || {
        daemon.http("/readyz") == (503, "stopping\n".into())
    });
    assert_eq!(daemon.http("/healthz").0, 200);
    gate.open();
    assert_eq!(stub.receive().rcode(), NOERROR);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.whole_log();
    assert!(
        log.contains("SIGTERM: stopping: 1 questions in flight"),
        "{log}"
    );
}

/// However few descriptors there are: either all works, or the start fails and says so.
#[test]
fn it_starts_whole_or_not_at_all() {
    let upstream = Upstream::good();
    let (mut failed, mut started) = (0, 0);
    for most in (8..80).step_by(3) {
        let (command, folder) = Setup::to(&[&upstream]).command();
        let mut limited = Command::new("sh");
        limited.env_clear();
        limited
            .args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        match Daemon::try_spawn(limited, Some(folder)) {
            Err((status, log)) => {
                failed += 1;
                assert_eq!(status.code(), Some(1), "{most}: {log}");
                assert!(log.contains("error: "), "{most}: {log}");
                assert!(!log.contains("listening on"), "{most}: {log}");
            }
            Ok(mut daemon) => {
                started += 1;
                // Many ports, so that every worker gets its share.
                for number in 0..20 {
                    let stub = Stub::new(daemon.dns());
                    stub.send(&Build::query("x.example", A).opcode(2).bytes());
                    let heard = stub.receive_within(PATIENCE).is_some();
                    assert!(heard, "{most}: port {number}");
                }
                assert!(daemon.is_running());
            }
        }
    }
    assert!(
        failed > 0 && started > 0,
        "{failed} failed, {started} started"
    );
}

/// Compiles what brings faults about, for the loader to put before the daemon.
fn faults(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("fault.c"), folder.join("fault.so"));
    std::fs::write(&source, include_str!("kit/fault.c")).expect("written");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    compiled
        .is_ok_and(|status| status.success())
        .then_some(library)
}

/// What the service manager hears next; `None` if that is nothing for a moment.
fn heard(manager: &UnixDatagram, patience: Duration) -> Option<String> {
    let mut message = [0; 512];
    manager.set_read_timeout(Some(patience)).expect("a timeout");
    let length = manager.recv(&mut message).ok()?;
    Some(
        String::from_utf8_lossy(&message[..length])
            .trim()
            .to_owned(),
    )
}

#[test]
fn the_service_manager_hears_when_it_is_ready_alive_and_stopping() {
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream]);
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    let manage = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &socket);
        command.env("WATCHDOG_USEC", "300000");
    };
    let Some(mut faulty) = Faulty::start_with(&setup, "stuck", "byway-1", manage) else {
        return;
    };
    let next = || heard(&manager, PATIENCE).expect("a word");
    assert_eq!(next(), "READY=1");
    assert!(answers(&faulty.daemon, "ready.example"));
    assert_eq!([next(), next()], ["WATCHDOG=1", "WATCHDOG=1"]);
    faulty.strike();
    eventually("it shows", || faulty.daemon.http("/healthz").0 == 503);
    // What was said before that.
    while heard(&manager, MOMENT).is_some() {}
    assert_eq!(heard(&manager, 10 * MOMENT), None, "stuck is not alive");
    faulty.relent();
    assert_eq!(next(), "WATCHDOG=1");
    faulty.daemon.signal(Signal::TERM);
    eventually("it says that it stops", || next() == "STOPPING=1");
    assert_eq!(faulty.daemon.wait().code(), Some(0));
}

/// A daemon in which a fault strikes a thread as soon as the file is there.
struct Faulty {
    daemon: Daemon,
    file: PathBuf,
    _folder: TempDir,
}

impl Faulty {
    fn start(setup: &Setup, fault: &str, thread: &str) -> Option<Faulty> {
        Faulty::start_with(setup, fault, thread, |_| ())
    }

    fn start_with(
        setup: &Setup,
        fault: &str,
        thread: &str,
        change: impl FnOnce(&mut Command),
    ) -> Option<Faulty> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("now");
        let Some(library) = faults(folder.path()) else {
            skip("no C compiler");
            return None;
        };
        let (mut command, config) = setup.command();
        command
            .env("LD_PRELOAD", library)
            .env("FAULT", fault)
            .env("FAULT_THREAD", thread)
            .env("FAULT_FILE", &file);
        change(&mut command);
        let daemon = Daemon::spawn(command, Some(config));
        Some(Faulty {
            daemon,
            file,
            _folder: folder,
        })
    }

    fn strike(&self) {
        std::fs::write(&self.file, "").expect("written");
    }

    fn relent(&self) {
        std::fs::remove_file(&self.file).expect("removed");
    }
}

#[test]
fn a_stuck_worker_shows_within_seconds_and_does_not_hold_up_the_end() {
    let upstream = Upstream::good();
    let (setup, _folder, snapshot) = keeping(Setup::to(&[&upstream]));
    let setup = setup.tables("[routing]\ndeadline = \"1s\"");
    for (thread, who) in [("byway-1", "worker 1"), ("byway-0", "tick")] {
        let Some(mut faulty) = Faulty::start(&setup, "stuck", thread) else {
            return;
        };
        assert_eq!(faulty.daemon.http("/healthz"), (200, "ok\n".into()));
        faulty.strike();
        eventually("it shows", || {
            let (status, why) = faulty.daemon.http("/healthz");
            status == 503 && why.contains(who) && why.contains("has not turned over for")
        });
        assert_eq!(faulty.daemon.http("/readyz").0, 503);
        faulty.relent();
        eventually("it is over", || faulty.daemon.http("/healthz").0 == 200);

        faulty.strike();
        eventually("it shows", || faulty.daemon.http("/healthz").0 == 503);
        faulty.daemon.signal(Signal::TERM);
        assert_eq!(faulty.daemon.wait().code(), Some(1));
        let log = faulty.daemon.whole_log();
        assert!(log.contains("did not end"), "{log}");
        assert!(snapshot.exists());
        std::fs::remove_file(&snapshot).expect("removed");
    }
}

#[test]
fn a_worker_that_panics_ends_the_daemon_in_order_and_with_an_error() {
    let upstream = Upstream::good();
    let (setup, _folder, snapshot) = keeping(Setup::to(&[&upstream]));
    for thread in ["byway-0", "byway-1"] {
        let Some(mut faulty) = Faulty::start(&setup, "clock", thread) else {
            return;
        };
        faulty.daemon.expect_panics();
        assert!(answers(&faulty.daemon, "before.example"));
        faulty.strike();
        assert_eq!(faulty.daemon.wait().code(), Some(1));
        let log = faulty.daemon.whole_log();
        for said in [
            "a defect of byway, please report it",
            "byway cannot go on and ends",
            "error: ",
        ] {
            assert!(log.contains(said), "{thread}: {said} in {log}");
        }
        assert!(snapshot.exists(), "{thread}");
        std::fs::remove_file(&snapshot).expect("removed");
    }
}

#[test]
fn what_no_client_waits_for_goes_on_after_a_panic() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("cache.snapshot");
    let table = format!(
        "[cache]\nsnapshot = \"{}\"\nsnapshot-every = \"10s\"",
        snapshot.display()
    );
    let setup = Setup::to(&[&upstream]).tables(&table);
    for thread in ["byway-snapshot", "byway-admin"] {
        let Some(mut faulty) = Faulty::start(&setup, "clock", thread) else {
            return;
        };
        faulty.daemon.expect_panics();
        faulty.strike();
        let admin = faulty.daemon.admin.expect("an admin endpoint");
        eventually("a request, or the time for a snapshot, strikes it", || {
            drop(TcpStream::connect(admin));
            !faulty.file.exists()
        });
        eventually("the admin endpoint answers", || {
            faulty.daemon.admin_answers()
        });
        assert!(answers(&faulty.daemon, "after.example"), "{thread}");
        faulty.daemon.signal(Signal::TERM);
        assert_eq!(faulty.daemon.wait().code(), Some(0), "{thread}");
        let log = faulty.daemon.whole_log();
        assert!(log.contains(&format!("{thread} panicked")), "{log}");
        assert!(log.contains("was lost to a panic"), "{thread}: {log}");
        assert!(snapshot.exists(), "{thread}");
        std::fs::remove_file(&snapshot).expect("removed");
    }
}
