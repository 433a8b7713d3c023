//! Servers under test, each in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{cpu, load};

/// How long a server has for its first answer, and how often it is asked for it.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_micros(100);

/// A server in a process of its own, killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts this program in a part that says where it listens.
    pub fn own(part: &str) -> Server {
        Server::start(own(part), cpu::SERVER, None)
    }

    /// Starts the daemon on `cpus`. `None` if it does not come to answer, which takes an upstream that does;
    /// if that has to be kept going, `between` does it.
    pub fn daemon(
        workers: usize,
        cpus: &[usize],
        upstream: SocketAddr,
        between: impl FnMut(),
    ) -> Option<Server> {
        Server::daemon_with(workers, cpus, upstream, "", between)
    }

    /// The same, with `more` in its configuration.
    pub fn daemon_with(
        workers: usize,
        cpus: &[usize],
        upstream: SocketAddr,
        more: &str,
        between: impl FnMut(),
    ) -> Option<Server> {
        let address = free_address();
        let configured = Configured::with(address, workers, upstream, "off", more);
        let server = Server::start(configured.command(), cpus, Some(address));
        if first_answer(address, between).is_some() {
            return Some(server);
        }
        eprintln!("the daemon does not answer; measured without it");
        None
    }

    /// Starts `command` on `cpus`. Where it listens is known, or told in the first line on standard output
    /// that holds an address.
    pub fn start(mut command: Command, cpus: &[usize], known: Option<SocketAddr>) -> Server {
        let stdout = match known {
            Some(_) => Stdio::null(),
            None => Stdio::piped(),
        };
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null());
        // Affinity is inherited, so the child gets it from this thread.
        let before = cpu::allowed();
        cpu::pin(cpus);
        let child = command.spawn();
        cpu::pin(&before);
        let mut child = child.expect("the server starts");
        let told = child.stdout.take().and_then(|stdout| {
            let lines = BufReader::new(stdout).lines();
            lines
                .map_while(Result::ok)
                .find_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
        });
        let address = known.or(told);
        let address = address.expect("the server says where it listens");
        Server { child, address }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When `address` gave its first answer, having been asked again and again; `None` if it gives none
/// within a few seconds.
pub fn first_answer(address: SocketAddr, mut between: impl FnMut()) -> Option<Instant> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(address).expect("loopback");
    socket.set_nonblocking(true).expect("a socket");
    let query = &load::queries(1)[0];
    let start = Instant::now();
    let mut asked = start - ASK_AGAIN;
    while start.elapsed() < PATIENCE {
        between();
        if asked.elapsed() >= ASK_AGAIN {
            asked = Instant::now();
            // Refused, as long as nobody is there.
            let _ = socket.send(query);
        }
        if socket.recv(&mut [0; 512]).is_ok() {
            return Some(Instant::now());
        }
    }
    None
}

/// This program in another part.
pub fn own(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(part);
    command
}

/// An address of loopback with a port that is free now.
pub fn free_address() -> SocketAddr {
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address")
}

/// The daemon, configured.
pub struct Configured {
    program: OsString,
    /// Read at start, kept for as long as this lives.
    file: tempfile::NamedTempFile,
}

impl Configured {
    /// To listen on `address` and forward to `upstream`. The program named by BYWAY, or this build's.
    ///
    /// It is more patient than by default: if the machine takes the upstream off its CPU for a moment, that is
    /// no trouble to be dealt with here.
    pub fn new(address: SocketAddr, workers: usize, upstream: SocketAddr) -> Configured {
        Configured::with(address, workers, upstream, "off", "")
    }

    /// The same, with its metrics and its API at `admin`.
    pub fn watched(
        address: SocketAddr,
        workers: usize,
        upstream: SocketAddr,
        admin: SocketAddr,
    ) -> Configured {
        Configured::with(address, workers, upstream, &admin.to_string(), "")
    }

    fn with(
        address: SocketAddr,
        workers: usize,
        upstream: SocketAddr,
        admin: &str,
        more: &str,
    ) -> Configured {
        let program =
            std::env::var_os("BYWAY").unwrap_or(OsString::from(env!("CARGO_BIN_EXE_byway")));
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(
            file,
            "version = 1\nworkers = {workers}\n[admin]\nlisten = \"{admin}\"\ncontrol = \"off\"\n\
             [[listen]]\naddress = \"{address}\"\n\
             [[upstream]]\nname = \"bench\"\naddress = \"{upstream}\"\n\
             [routing]\nhedge-min = \"200 ms\"\n{more}"
        )
        .expect("room for a file");
        Configured { program, file }
    }

    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["run", "--config"]).arg(self.file.path());
        command
    }
}
