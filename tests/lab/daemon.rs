//! The daemon under test: byway, or a peer of it to compare with.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::names::Name;
use crate::topology::{Place, Topology, Way, join, upstream_address};

/// A program that forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one that this lab is for.
    Byway,
    /// Unbound, tuned for trouble.
    Unbound,
    /// dnsdist, as it comes, with a cache.
    Dnsdist,
    /// dnsmasq, asking all upstreams at once.
    Dnsmasq,
}

impl Program {
    /// By its name.
    pub fn of_name(name: &str) -> Option<Program> {
        [
            Program::Byway,
            Program::Unbound,
            Program::Dnsdist,
            Program::Dnsmasq,
        ]
        .into_iter()
        .find(|it| it.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Program::Byway => "byway",
            Program::Unbound => "unbound",
            Program::Dnsdist => "dnsdist",
            Program::Dnsmasq => "dnsmasq",
        }
    }
}

/// How a path is told to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By the source address.
    Source,
    /// By the interface.
    Interface,
    /// By the firewall mark.
    Mark,
}

/// Which upstreams the daemon is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Two, each with one address, over both paths: four routes.
    Grid(By),
    /// Two, each with an address on either path: four routes that look like four upstreams.
    Addresses,
    /// A single one with a single address, over both paths.
    One(By),
    /// A single one over a single path: one route.
    Sole,
}

/// A line of the daemon's log, and when it came.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// What.
    pub text: String,
}

/// The daemon, while it runs.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<Line>>>,
}

impl Daemon {
    /// Starts the program inside `near` and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, or does not answer within ten seconds; its log is in the error.
    pub fn start(topology: &Topology, program: Program, layout: Layout) -> io::Result<Daemon> {
        let folder = topology.folder()?;
        let (binary, arguments) = prepare(program, layout, &folder)?;
        let mut child = topology
            .command(Place::Near, &binary)
            .args(arguments)
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            thread::spawn(move || read_log(stderr, &log));
        }
        let mut daemon = Daemon { child, log };
        if let Err(error) = join(topology.spawn(Place::Near, "ready", until_it_answers)?) {
            daemon.stop();
            let log: Vec<_> = daemon.log().into_iter().map(|it| it.text).collect();
            let name = program.name();
            return Err(io::Error::other(format!(
                "{name}: {error}\n{}",
                log.join("\n")
            )));
        }
        Ok(daemon)
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Vec<Line> {
        self.log.lock().expect("no panic").clone()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What `/metrics` says.
    pub fn metrics(&self, topology: &Topology) -> io::Result<String> {
        join(topology.spawn(Place::Near, "metrics", || {
            let mut stream = TcpStream::connect("127.0.0.1:19153")?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        })?)
    }

    fn stop(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).ok();
        let patience = Instant::now() + Duration::from_secs(2);
        while self.runs() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_log(stderr: impl Read, log: &Mutex<Vec<Line>>) {
    for text in BufReader::new(stderr).lines().map_while(Result::ok) {
        let line = Line {
            at: Instant::now(),
            text,
        };
        log.lock().expect("no panic").push(line);
    }
}

fn until_it_answers() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect("127.0.0.1:53")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(Name::New(u32::MAX).question());
    for _ in 0..50 {
        // Refused until it listens.
        socket.send(&query).ok();
        let mut answer = [0; 512];
        if socket.recv(&mut answer).is_ok() && answer[3] & 0x0f == 0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(io::Error::other("does not answer"))
}

/// The addresses that a program without paths is given, each with the source it would need.
fn addresses(layout: Layout) -> Vec<(std::net::Ipv4Addr, Way)> {
    let both = |number: u8, own: bool| {
        Way::ALL.map(|way| (upstream_address(number, own.then_some(way)), way))
    };
    match layout {
        Layout::Grid(_) | Layout::Addresses => [both(0, true), both(1, true)].concat(),
        Layout::One(_) => both(0, false).to_vec(),
        Layout::Sole => both(0, false)[..1].to_vec(),
    }
}

fn prepare(program: Program, layout: Layout, folder: &Path) -> io::Result<(PathBuf, Vec<String>)> {
    let file = folder.join("lab.conf");
    let text = match program {
        Program::Byway => byway(layout),
        Program::Unbound => unbound(layout),
        Program::Dnsdist => dnsdist(layout),
        Program::Dnsmasq => dnsmasq(layout),
    };
    fs::write(&file, text)?;
    let file = file.display().to_string();
    let arguments: &[&str] = match program {
        // Verdicts are details.
        Program::Byway => &["run", "--log", "debug", "--config", &file],
        Program::Unbound => &["-d", "-c", &file],
        Program::Dnsdist => &["--supervised", "--disable-syslog", "-C", &file],
        Program::Dnsmasq => &["--keep-in-foreground", "-C", &file],
    };
    let binary = match program {
        Program::Byway => env!("CARGO_BIN_EXE_byway"),
        other => other.name(),
    };
    Ok((
        binary.into(),
        arguments.iter().map(|&it| it.to_owned()).collect(),
    ))
}

fn byway(layout: Layout) -> String {
    let mut text = String::from("version = 1\n[[listen]]\naddress = \"127.0.0.1:53\"\n");
    let by = match layout {
        Layout::Grid(by) | Layout::One(by) => by,
        Layout::Addresses | Layout::Sole => By::Source,
    };
    let ways = match layout {
        Layout::Sole => &Way::ALL[..1],
        _ => &Way::ALL,
    };
    for way in ways {
        let key = match by {
            By::Source => format!("source = \"{}\"", way.source()),
            By::Interface => format!("interface = \"{}\"", way.interface()),
            By::Mark => format!("mark = {}", way.number()),
        };
        text.push_str(&format!("[[path]]\nname = \"{}\"\n{key}\n", way.name()));
    }
    let mut upstream = |name: String, address: std::net::Ipv4Addr, paths: &str| {
        text.push_str(&format!(
            "[[upstream]]\nname = \"{name}\"\naddress = \"{address}\"\npaths = [{paths}]\n"
        ));
    };
    let numbers = match layout {
        Layout::One(_) | Layout::Sole => 0..1,
        _ => 0..2,
    };
    let paths = ways
        .iter()
        .map(|way| format!("\"{}\"", way.name()))
        .collect::<Vec<_>>()
        .join(", ");
    for number in numbers {
        let name = format!("dc{}", number + 1);
        if layout == Layout::Addresses {
            for way in Way::ALL {
                let path = way.name();
                let address = upstream_address(number, Some(way));
                upstream(format!("{name}-{path}"), address, &format!("\"{path}\""));
            }
        } else {
            upstream(name, upstream_address(number, None), &paths);
        }
    }
    text
}

fn unbound(layout: Layout) -> String {
    let mut text = String::from(
        "server:\n interface: 127.0.0.1\n port: 53\n do-ip6: no\n username: \"\"\n chroot: \"\"\n directory: \"/\"\n \
         pidfile: \"\"\n use-syslog: no\n module-config: \"iterator\"\n num-threads: 2\n \
         msg-cache-size: 64m\n rrset-cache-size: 64m\n infra-host-ttl: 60\n infra-keep-probing: yes\n \
         serve-expired: yes\n serve-expired-client-timeout: 200\n",
    );
    if matches!(layout, Layout::One(_)) {
        for way in Way::ALL {
            text.push_str(&format!(" outgoing-interface: {}\n", way.source()));
        }
    }
    text.push_str("forward-zone:\n name: \".\"\n");
    let mut upstreams: Vec<_> = addresses(layout).iter().map(|it| it.0).collect();
    upstreams.dedup();
    for address in upstreams {
        text.push_str(&format!(" forward-addr: {address}\n"));
    }
    text
}

fn dnsdist(layout: Layout) -> String {
    let mut text = String::from(
        "setLocal(\"127.0.0.1:53\")\n\
         getPool(\"\"):setCache(newPacketCache(100000, {staleTTL=30}))\n",
    );
    for (address, way) in addresses(layout) {
        let source = way.source();
        text.push_str(&format!(
            "newServer{{address=\"{address}\", source=\"{source}\", checkInterval=1}}\n"
        ));
    }
    text
}

fn dnsmasq(layout: Layout) -> String {
    let mut text = String::from(
        "port=53\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\n\
         all-servers\ncache-size=50000\ndns-forward-max=10000\npid-file=\nlog-facility=-\n",
    );
    for (address, way) in addresses(layout) {
        text.push_str(&format!("server={address}@{}\n", way.source()));
    }
    text
}
