//! The daemon under test: the real program, on ports of the kernel's choice.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::upstream::{KNOWN, Upstream};
use super::{PATIENCE, eventually, lock};

/// The program as built for this test.
pub fn byway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byway"));
    // What the host has configured is none of the test's.
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null());
    command
}

/// A configuration in a folder that is removed with the guard.
pub fn config_file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("byway.toml");
    fs::write(&file, text).expect("a configuration");
    (folder, file)
}

/// How a daemon is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    top: Vec<String>,
    listen: Vec<String>,
    admin: String,
    upstreams: Vec<String>,
    tables: Vec<String>,
    arguments: Vec<String>,
}

impl Setup {
    /// On 127.0.0.1, two workers, without upstreams.
    pub fn bare() -> Setup {
        Setup {
            top: vec!["workers = 2".into()],
            listen: vec!["127.0.0.1:0".into()],
            admin: "127.0.0.1:0".into(),
            upstreams: Vec::new(),
            tables: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Forwarding to `upstreams`, named u0, u1 and so on.
    pub fn to(upstreams: &[&Upstream]) -> Setup {
        upstreams
            .iter()
            .fold(Setup::bare(), |setup, it| setup.upstream(it.address, ""))
    }

    /// One upstream more, with further keys.
    pub fn upstream(mut self, address: SocketAddr, keys: &str) -> Setup {
        let number = self.upstreams.len();
        let table =
            format!("[[upstream]]\nname = \"u{number}\"\naddress = \"{address}\"\n{keys}\n");
        self.upstreams.push(table);
        self
    }

    /// One worker instead of two.
    pub fn one_worker(mut self) -> Setup {
        self.top.retain(|line| !line.starts_with("workers"));
        self.top("workers = 1")
    }

    /// A line above the tables.
    pub fn top(mut self, line: &str) -> Setup {
        self.top.push(line.into());
        self
    }

    /// Listens there in place of 127.0.0.1.
    pub fn listen(mut self, addresses: &[&str]) -> Setup {
        self.listen = addresses.iter().map(|&it| it.into()).collect();
        self
    }

    /// Shows metrics and health there.
    pub fn admin(mut self, address: SocketAddr) -> Setup {
        self.admin = address.to_string();
        self
    }

    /// Tables and their keys.
    pub fn tables(mut self, text: &str) -> Setup {
        self.tables.push(text.into());
        self
    }

    /// Arguments behind `run --config FILE`.
    pub fn arguments(mut self, arguments: &[&str]) -> Setup {
        self.arguments
            .extend(arguments.iter().map(|&it| it.to_string()));
        self
    }

    /// The configuration file.
    pub fn text(&self) -> String {
        let mut text = String::from("version = 1\n");
        for line in &self.top {
            text += &format!("{line}\n");
        }
        for address in &self.listen {
            text += &format!("[[listen]]\naddress = \"{address}\"\n");
        }
        text += &format!("[admin]\nlisten = \"{}\"\n", self.admin);
        text + &self.upstreams.concat() + &self.tables.join("\n")
    }

    /// The command that starts it, and the folder of its configuration.
    pub fn command(&self) -> (Command, TempDir) {
        let (folder, file) = config_file(&self.text());
        let mut command = byway();
        command
            .arg("run")
            .arg("--config")
            .arg(&file)
            .args(&self.arguments)
            .env("RUNTIME_DIRECTORY", folder.path());
        (command, folder)
    }

    pub fn start(&self) -> Daemon {
        let (command, folder) = self.command();
        Daemon::spawn(command, Some(folder))
    }
}

/// A running daemon. Killed when dropped; what it wrote is shown if the test failed.
pub struct Daemon {
    child: Child,
    /// Where it answers queries, in the order of the configuration.
    pub listen: Vec<SocketAddr>,
    /// Where its metrics are, unless they are off.
    pub admin: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    folder: Option<TempDir>,
    /// Questions of warming up.
    warmed: Cell<usize>,
    /// The test makes it panic.
    panics: Cell<bool>,
}

impl Daemon {
    /// Two workers that forward to `upstreams`.
    pub fn to(upstreams: &[&Upstream]) -> Daemon {
        Setup::to(upstreams).start()
    }

    /// Starts `command` and waits until it has said what it listens on.
    pub fn spawn(command: Command, folder: Option<TempDir>) -> Daemon {
        Daemon::try_spawn(command, folder).unwrap_or_else(|(status, log)| {
            panic!("the daemon ended at once, {status}: {log}");
        })
    }

    /// The same for one that may fail to start: how it ended then, and what it wrote.
    pub fn try_spawn(
        command: Command,
        folder: Option<TempDir>,
    ) -> Result<Daemon, (ExitStatus, String)> {
        Daemon::try_spawn_with(command, Stdio::null(), folder)
    }

    /// The same with that as its standard output.
    pub fn try_spawn_with(
        mut command: Command,
        stdout: Stdio,
        folder: Option<TempDir>,
    ) -> Result<Daemon, (ExitStatus, String)> {
        let mut child = command
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("its stderr");
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        let reader = Some(reader);
        let mut daemon = Daemon {
            child,
            listen: Vec::new(),
            admin: None,
            log,
            reader,
            folder,
            warmed: Cell::new(0),
            panics: Cell::new(false),
        };
        match daemon.await_start() {
            None => Ok(daemon),
            Some(status) => {
                // What it wrote is whole when its stderr has ended.
                let _ = daemon.reader.take().map(JoinHandle::join);
                Err((status, daemon.log()))
            }
        }
    }

    /// Starts `command` with a stderr that the test does not read, and waits until it is ready.
    pub fn unheard(
        mut command: Command,
        stderr: Stdio,
        [dns, admin]: [SocketAddr; 2],
        folder: TempDir,
    ) -> Daemon {
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the daemon starts");
        // The command holds a copy of the stderr.
        drop(command);
        let daemon = Daemon {
            child,
            listen: vec![dns],
            admin: Some(admin),
            log: Arc::default(),
            reader: None,
            folder: Some(folder),
            warmed: Cell::new(0),
            panics: Cell::new(false),
        };
        eventually("it is ready", || {
            TcpStream::connect(admin).is_ok() && daemon.http("/readyz").0 == 200
        });
        daemon
    }

    /// The test makes it panic: that is not held against it.
    pub fn expect_panics(&self) {
        self.panics.set(true);
    }

    /// Waits until it listens; how it ended if it does not.
    fn await_start(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let log = plain(&self.log());
            let said = |what: &'static str| {
                log.lines()
                    .filter_map(move |line| Some(line.trim().strip_prefix(what)?.trim()))
            };
            if let Some(metrics) = said("metrics").next() {
                self.listen = said("listening on")
                    .filter_map(|line| line.split_whitespace().next()?.parse().ok())
                    .collect();
                self.admin = metrics
                    .split_once("http://")
                    .and_then(|(_, url)| url.split('/').next()?.parse().ok());
                assert!(!self.listen.is_empty(), "no listener in: {log}");
                return None;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the daemon does not start: {log}"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Where it answers queries.
    pub fn dns(&self) -> SocketAddr {
        self.listen[0]
    }

    /// Everything it has written to stderr.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// The same once it has ended, to the last line.
    pub fn whole_log(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.log()
    }

    /// Everything that it changed its mind about, and what else happened, as the API tells it.
    pub fn changes(&self) -> String {
        let (status, told) = self.http("/api/v1/events?details=true&most=1000");
        assert_eq!(status, 200, "{told}");
        told
    }

    /// The folder of its configuration.
    pub fn folder(&self) -> &std::path::Path {
        self.folder
            .as_ref()
            .expect("a daemon with a configuration file")
            .path()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the daemon ends", || {
            ended = self.child.try_wait().expect("its status");
            ended.is_some()
        });
        ended.expect("its status")
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Whether its admin endpoint answers within a second: what it was asked while it was lost to a panic it may never answer.
    pub fn admin_answers(&self) -> bool {
        let admin = self.admin.expect("an admin endpoint");
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
            stream.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes())?;
            let mut response = String::new();
            stream.read_to_string(&mut response)?;
            Ok(response)
        };
        ask().is_ok_and(|it| it.starts_with("HTTP/1.1 200"))
    }

    /// An answer of its admin endpoint: status and body.
    pub fn http(&self, path: &str) -> (u16, String) {
        let admin = self.admin.expect("an admin endpoint");
        let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    pub fn metrics(&self) -> Metrics {
        let (status, text) = self.http("/metrics");
        assert_eq!(status, 200);
        Metrics::parse(&text)
    }

    /// Waits until [`Daemon::metric`] is this. What is counted is counted a moment after it happened.
    #[track_caller]
    pub fn expect_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let mut last = f64::NAN;
        eventually(&format!("{name} {labels:?} is {value}"), || {
            last = self.metric(name, labels);
            // What only goes up will not come back.
            assert!(
                last <= value || !name.ends_with("_total"),
                "{name} {labels:?} is {last}"
            );
            last == value
        });
    }

    /// Waits until so many questions have been asked upstream; what was asked again because a packet
    /// seemed lost counts once.
    #[track_caller]
    pub fn expect_questions(&self, count: usize) {
        let primary = [("kind", "primary")];
        let count = count + self.warmed.get();
        self.expect_metric("byway_attempts_sent_total", &primary, count as f64);
    }

    /// Has it learn that its upstream is well, by questions that are answered.
    pub fn warm_up(&self) {
        let stub = super::Stub::new(self.dns());
        for number in 0..30 {
            let name = format!("warm-up-{number}{KNOWN}");
            let reply = stub.ask(&super::Build::query(&name, super::A));
            assert_eq!(reply.rcode(), super::NOERROR);
        }
        self.warmed.set(30);
    }

    /// The sum of the series of this name that have these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }
}

/// The messages alone, where the lines are JSON.
fn plain(log: &str) -> String {
    let message = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["message"].as_str()?.to_owned())
    };
    let plain = |line: &str| message(line).unwrap_or_else(|| line.to_owned()) + "\n";
    log.lines().map(plain).collect()
}

fn collect(stderr: ChildStderr, log: &Mutex<String>) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        lock(log).push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("--- what the daemon wrote ---\n{log}---");
        } else if !self.panics.get() {
            assert!(!log.contains("panic"), "the daemon panicked: {log}");
        }
    }
}

/// A page of metrics.
#[derive(Debug)]
pub struct Metrics {
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
    /// Kind by family.
    pub kinds: BTreeMap<String, String>,
    /// HELP by family.
    pub helps: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the Prometheus text format (0.0.4), strictly.
    pub fn parse(text: &str) -> Metrics {
        let mut page = Metrics {
            samples: Vec::new(),
            kinds: BTreeMap::new(),
            helps: BTreeMap::new(),
        };
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, family) = (words.next(), words.next().expect("a family").to_owned());
                let rest = words.next().expect("a text").to_owned();
                let earlier = match what {
                    Some("TYPE") => page.kinds.insert(family, rest),
                    Some("HELP") => page.helps.insert(family, rest),
                    _ => panic!("a comment: {line}"),
                };
                assert!(earlier.is_none(), "told twice: {line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("a brace")),
                None => (series, ""),
            };
            let labels: BTreeMap<String, String> = labels
                .split("\",")
                .filter(|label| !label.is_empty())
                .map(|label| {
                    let (key, value) = label.split_once("=\"").expect("a label");
                    (key.to_owned(), value.trim_end_matches('"').to_owned())
                })
                .collect();
            let value = match value {
                "+Inf" => f64::INFINITY,
                number => number.parse().expect("a number"),
            };
            let known = |sample: &(String, BTreeMap<String, String>, f64)| {
                sample.0 == name && sample.1 == labels
            };
            assert!(!page.samples.iter().any(known), "twice: {line}");
            page.samples.push((name.to_owned(), labels, value));
        }
        page
    }

    /// The sum of the series of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.series(name, labels).peekable();
        assert!(found.peek().is_some(), "no series {name} {labels:?}");
        found.map(|(_, value)| value).sum()
    }

    /// The series of this name that have these labels.
    pub fn series<'a>(
        &'a self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        self.samples
            .iter()
            .filter(move |(known, has, _)| {
                known == name
                    && labels
                        .iter()
                        .all(|(key, value)| has.get(*key).is_some_and(|it| it == value))
            })
            .map(|(_, labels, value)| (labels, *value))
    }

    /// The names of all samples.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().map(|(name, _, _)| name.as_str())
    }
}

/// Runs a command that ends by itself.
pub fn run(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let start = Instant::now();
    while child.try_wait().expect("its status").is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let output = child.wait_with_output().expect("its output");
            panic!(
                "{command:?} does not end: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

/// What a command wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command wrote to stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
