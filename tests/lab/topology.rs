//! The network: four namespaces, two paths.
//!
//! ```text
//!          a-near 10.77.1.1                        10.78.1.1 a-far
//!        +------------------- router a ------------------+
//!  near -+                                               +- far: upstreams, on loopback
//!        +------------------- router b ------------------+
//!          b-near 10.77.2.1                        10.78.2.1 b-far
//! ```
//!
//! The daemon and its clients live in `near`, the upstreams in `far`. Each router's links are shaped
//! by `tc tbf` over a FIFO that holds about a second, as the swamped devices of a real event do, and
//! each router can lose packets by `nft`. The queues stand in the routers, not in the daemon's own
//! host: a full one must not show as an error of the daemon's own socket.
//!
//! Nothing but the daemon's attempts leaves `near`: neighbours are entered by hand, IPv6 is off, and
//! the kernel's own ICMP is held back. So an interface's count of sent packets is the count of attempts.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::{fs, panic, process};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One of the two ways from `near` to `far`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The nearer one.
    A,
    /// The one that is always well, unless both are in trouble.
    B,
}

impl Way {
    /// Both.
    pub const ALL: [Way; 2] = [Way::A, Way::B];

    /// `a` or `b`: names the path in the daemon's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Way::A => "a",
            Way::B => "b",
        }
    }

    /// 1 or 2: the path's number in addresses, routing tables and firewall marks.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The interface of `near` that leads to it.
    pub fn interface(self) -> String {
        format!("{}-near", self.name())
    }

    /// The address of `near` on it.
    pub fn source(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number(), 1)
    }

    /// The way that a packet with this source address has come over.
    pub fn of_source(address: Ipv4Addr) -> Option<Way> {
        Way::ALL
            .into_iter()
            .find(|way| address.octets()[..3] == way.source().octets()[..3])
    }
}

/// Where upstream `number` (from 0) listens: one address over both ways, or one for each.
pub fn upstream_address(number: u8, way: Option<Way>) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, way.map_or(0, Way::number), 53 + number)
}

/// What the links carry.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Rate in bits a second.
    pub rate: u32,
    /// Packets that fit into the queue before one is dropped.
    pub queue: u32,
}

impl Default for Links {
    /// 4 Mbit/s and half a thousand packets: of the noise's 1000 bytes, one second.
    fn default() -> Links {
        Links {
            rate: 4_000_000,
            queue: 500,
        }
    }
}

/// A place to run something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The daemon and its clients.
    Near,
    /// The upstreams.
    Far,
    /// The router on a way.
    Router(Way),
}

impl Place {
    const ALL: [Place; 4] = [
        Place::Near,
        Place::Far,
        Place::Router(Way::A),
        Place::Router(Way::B),
    ];

    fn suffix(self) -> &'static str {
        match self {
            Place::Near => "near",
            Place::Far => "far",
            Place::Router(Way::A) => "ra",
            Place::Router(Way::B) => "rb",
        }
    }
}

/// The namespaces, for as long as this value lives.
pub struct Topology {
    prefix: String,
    janitor: Janitor,
}

impl Topology {
    /// Builds everything. `serial` tells labs of one process apart; the process's number tells processes
    /// apart.
    ///
    /// # Errors
    /// What `ip`, `tc` or `nft` said.
    pub fn build(serial: usize, links: Links) -> io::Result<Topology> {
        let prefix = format!("bwlab{}-{serial}", process::id());
        let topology = Topology {
            janitor: Janitor::start(&prefix)?,
            prefix,
        };
        for place in Place::ALL {
            let name = topology.namespace(place);
            run("ip", &["netns", "add", &name], None)?;
            topology.batch(place, "link set lo up")?;
            topology.sysctl(place)?;
        }
        for way in Way::ALL {
            topology.lay(way)?;
        }
        topology.lead(links)?;
        Ok(topology)
    }

    /// A folder for the daemon's files; it goes when the namespaces go.
    pub fn folder(&self) -> io::Result<PathBuf> {
        let folder = folder_of(&self.prefix);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn namespace(&self, place: Place) -> String {
        format!("{}-{}", self.prefix, place.suffix())
    }

    /// Runs a thread inside a namespace. The sockets it makes stay there.
    pub fn spawn<T: Send + 'static>(
        &self,
        place: Place,
        name: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<JoinHandle<io::Result<T>>> {
        let namespace = fs::File::open(format!("/run/netns/{}", self.namespace(place)))?;
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            enter(&namespace)?;
            work()
        })
    }

    /// A command that will run inside a namespace, under the number of the process that is spawned.
    pub fn command(&self, place: Place, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(place)])
            .arg(program);
        command
    }

    /// The packets that a router drops from now on instead of forwarding them.
    pub fn drop_on(&self, way: Way, losses: Losses) -> io::Result<()> {
        let mut rules = String::from("flush chain ip lab losses\n");
        match losses {
            Losses::None => {}
            Losses::Share(percent) => rules.push_str(&format!(
                "add rule ip lab losses iifname {}-in numgen random mod 100 < {percent} drop\n",
                way.name()
            )),
            Losses::All => rules.push_str("add rule ip lab losses drop\n"),
        }
        self.nft(Place::Router(way), &rules)
    }

    fn lay(&self, way: Way) -> io::Result<()> {
        let (a, n) = (way.name(), way.number());
        let router = Place::Router(way);
        for (place, outside, inside, net) in [
            (Place::Near, "near", "in", 77),
            (Place::Far, "far", "out", 78),
        ] {
            let end = format!("{a}-{outside}");
            let middle = format!("{a}-{inside}");
            let (end_mac, middle_mac) = (
                format!("02:77:{net}:{n}:0:1"),
                format!("02:77:{net}:{n}:0:fe"),
            );
            self.batch(
                place,
                &format!(
                    "link add {end} address {end_mac} type veth peer name {middle} address {middle_mac} netns {router}\n\
                     addr add 10.{net}.{n}.1/24 dev {end}\n\
                     link set {end} up\n\
                     neigh add 10.{net}.{n}.254 lladdr {middle_mac} dev {end} nud permanent",
                    router = self.namespace(router),
                ),
            )?;
            self.batch(
                router,
                &format!(
                    "addr add 10.{net}.{n}.254/24 dev {middle}\n\
                     link set {middle} up\n\
                     neigh add 10.{net}.{n}.1 lladdr {end_mac} dev {middle} nud permanent"
                ),
            )?;
        }
        self.batch(router, &format!("route add 10.99.0.0/16 via 10.78.{n}.1"))?;
        self.batch(
            Place::Far,
            &format!("route add 10.77.{n}.0/24 via 10.78.{n}.254"),
        )?;
        // One address over both ways: the main table knows both, the nearer first, for sockets bound to
        // an interface; a table for each way serves those that choose by source address or mark.
        let (near, metric, table) = (way.interface(), 10 * n, 100 + n);
        self.batch(
            Place::Near,
            &format!(
                "route add 10.99.{n}.0/24 via 10.77.{n}.254 dev {near}\n\
                 route add 10.99.0.0/24 via 10.77.{n}.254 dev {near} metric {metric}\n\
                 route add 10.99.0.0/16 via 10.77.{n}.254 dev {near} src {source} table {table}\n\
                 rule add from {source} lookup {table}\n\
                 rule add fwmark {n} lookup {table}",
                source = way.source()
            ),
        )
    }

    /// Addresses of the upstreams, shapers, firewalls.
    fn lead(&self, links: Links) -> io::Result<()> {
        for number in 0..2 {
            for way in [None, Some(Way::A), Some(Way::B)] {
                let address = upstream_address(number, way);
                self.batch(Place::Far, &format!("addr add {address}/32 dev lo"))?;
            }
        }
        for way in Way::ALL {
            for side in ["in", "out"] {
                let link = format!("{}-{side}", way.name());
                let (rate, queue) = (links.rate.to_string(), links.queue.to_string());
                for arguments in [
                    // The limit of tbf itself is that of a queue which the FIFO below replaces.
                    format!(
                        "qdisc add dev {link} root handle 1: tbf rate {rate}bit burst 3kb limit 1mb"
                    ),
                    format!("qdisc add dev {link} parent 1:1 handle 10: pfifo limit {queue}"),
                ] {
                    let mut all = vec!["-n".to_owned(), self.namespace(Place::Router(way))];
                    all.extend(arguments.split(' ').map(str::to_owned));
                    run(
                        "tc",
                        &all.iter().map(String::as_str).collect::<Vec<_>>(),
                        None,
                    )?;
                }
            }
            self.nft(
                Place::Router(way),
                "add table ip lab\n\
                 add chain ip lab losses { type filter hook forward priority 0; }\n",
            )?;
        }
        self.nft(
            Place::Near,
            "add table ip lab\n\
             add chain ip lab quiet { type filter hook output priority 0; }\n\
             add rule ip lab quiet oifname != lo meta l4proto icmp drop\n",
        )
    }

    fn batch(&self, place: Place, lines: &str) -> io::Result<()> {
        let name = self.namespace(place);
        run("ip", &["-n", &name, "-batch", "-"], Some(lines))
    }

    fn nft(&self, place: Place, rules: &str) -> io::Result<()> {
        let name = self.namespace(place);
        run(
            "ip",
            &["netns", "exec", &name, "nft", "-f", "-"],
            Some(rules),
        )
    }

    fn sysctl(&self, place: Place) -> io::Result<()> {
        let settings = [
            ("ipv4/ip_forward", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
        ];
        let inside = self.spawn(place, "sysctl", move || {
            for (key, value) in settings {
                let file = format!("/proc/sys/net/{key}");
                // A kernel without IPv6 has nothing to turn off.
                if fs::exists(&file)? {
                    fs::write(file, value)?;
                }
            }
            Ok(())
        })?;
        join(inside)
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.janitor.finish();
    }
}

/// What a router does to packets besides queueing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losses {
    /// Nothing.
    None,
    /// Drops this share, in per cent, of what goes towards the upstreams.
    Share(u8),
    /// Drops everything, both ways.
    All,
}

/// Whether this process may make a namespace at all.
pub fn probe() -> io::Result<()> {
    let name = format!("bwlab{}-probe", process::id());
    run("ip", &["netns", "add", &name], None)?;
    run("ip", &["netns", "del", &name], None)
}

fn folder_of(prefix: &str) -> PathBuf {
    std::env::temp_dir().join(prefix)
}

/// Waits for a thread and hands on its panic.
pub fn join<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|it| panic::resume_unwind(it))
}

fn enter(namespace: &fs::File) -> io::Result<()> {
    use std::os::fd::AsFd;
    Ok(move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Runs a tool to its end. Its complaint becomes the error.
fn run(program: &str, arguments: &[&str], input: Option<&str>) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|it| io::Error::new(it.kind(), format!("{program}: {it}")))?;
    let mut pipe = child.stdin.take().expect("a piped stdin");
    pipe.write_all(input.unwrap_or_default().as_bytes())?;
    drop(pipe);
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{program} {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim(),
        input.map_or(String::new(), |it| format!("\nin:\n{it}"))
    )))
}

/// Under this variable the lab's own program is a janitor for the namespaces of that prefix.
pub const JANITOR: &str = "BYWAY_LAB_JANITOR";

/// A child process that removes the namespaces when the lab ends, however it ends: the end of its
/// input is the lab's end, and the kernel closes that pipe even for a lab that was killed.
struct Janitor(Child);

impl Janitor {
    fn start(prefix: &str) -> io::Result<Janitor> {
        use std::os::unix::process::CommandExt;
        let child = Command::new(std::env::current_exe()?)
            .env(JANITOR, prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Out of reach of the terminal's interrupt, which ends the lab.
            .process_group(0)
            .spawn()?;
        Ok(Janitor(child))
    }

    fn finish(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("lab: {error}");
        }
    }
}

/// The janitor's work: waits for the lab's end, then ends what is left inside the namespaces and removes them.
pub fn tidy(prefix: &str) {
    // An error is an end, too.
    io::stdin().read_to_end(&mut Vec::new()).ok();
    for place in Place::ALL {
        let name = format!("{prefix}-{}", place.suffix());
        if !fs::exists(format!("/run/netns/{name}")).unwrap_or(false) {
            continue;
        }
        let left = Command::new("ip").args(["netns", "pids", &name]).output();
        let left = left.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        // A lab that tidies up after itself is inside no namespace any more, and never ends itself here.
        for pid in left
            .unwrap_or_default()
            .lines()
            .filter_map(|it| it.parse().ok())
        {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        if let Err(error) = run("ip", &["netns", "del", &name], None) {
            eprintln!("lab: {error}");
        }
    }
    let folder = folder_of(prefix);
    if folder.exists()
        && let Err(error) = fs::remove_dir_all(&folder)
    {
        eprintln!("lab: {}: {error}", folder.display());
    }
}
