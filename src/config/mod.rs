//! What the operator asked for.
//!
//! [`Config`] is the configuration as meant: every default filled in, every name resolved, every
//! value within its range. It is made from the file as written by the other files of this room,
//! which is also where errors with line, column and caret come from.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

/// Everything the daemon runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads that answer queries, each with its own sockets. At least 1.
    pub workers: usize,
    /// Where queries are accepted. At least one.
    pub listen: Vec<Listen>,
    /// The ways out of this host; a route names one by its index. At least one.
    pub paths: Vec<PathConfig>,
    /// The resolvers that may be asked; a route names one by its index. At least one.
    pub upstreams: Vec<UpstreamConfig>,
    /// How routes are chosen.
    pub routing: Routing,
    /// What is remembered, and for how long.
    pub cache: CacheConfig,
    /// Where metrics and health are served; `None` turns them off.
    pub admin: Option<SocketAddr>,
    /// The bounds of everything that could grow.
    pub limits: Limits,
    /// Clients that are answered. Others get REFUSED.
    pub allow: Vec<IpNet>,
}

/// One address that queries are accepted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port. Port 0 lets the kernel choose (tests use it).
    pub address: SocketAddr,
    /// Accept queries over UDP.
    pub udp: bool,
    /// Accept queries over TCP.
    pub tcp: bool,
}

/// A way out of this host.
#[derive(Clone, Debug, PartialEq)]
pub struct PathConfig {
    /// The operator's name for it; `default` is the kernel's own choice.
    pub name: String,
    /// Bind outgoing sockets to this interface (SO_BINDTODEVICE).
    pub interface: Option<String>,
    /// Send from these addresses: at most one of each family.
    pub source: Vec<IpAddr>,
    /// Firewall mark of outgoing packets (SO_MARK).
    pub mark: Option<u32>,
    /// Use only while no other path is clear.
    pub backup: bool,
    /// Relative price of sending over it, 1.0 and up: expected time is multiplied by it when routes are
    /// compared.
    pub cost: f64,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTransport {
    /// Plain DNS over UDP, with TCP for what does not fit.
    Udp,
    /// Plain DNS over TCP (RFC 7766).
    Tcp,
}

/// A resolver that may be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// The operator's name for it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub transport: UpstreamTransport,
    /// The paths it may be reached over, as indices into [`Config::paths`]. At least one.
    pub paths: Vec<usize>,
    /// Use only while no other upstream is clear.
    pub backup: bool,
    /// Relative price of asking it, 1.0 and up.
    pub cost: f64,
}

/// Which of the clear routes is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one with the least expected time.
    Fastest,
    /// The first in the order of the file.
    Ordered,
    /// All, in turn.
    Spread,
}

/// How routes are chosen. The engine's remaining constants are in `docs/routing.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Which of the clear routes is asked first.
    pub policy: Policy,
    /// How long a client's question may take in all before it is answered SERVFAIL.
    pub deadline: Duration,
    /// How long a healed route may stay unused.
    pub return_within: Duration,
    /// Extra attempts allowed in a steady state, as a share of primaries (0.05 is 5 %).
    pub extra_share: f64,
    /// While nothing is clear, packets sent upstream stay under this multiple of the rate in health.
    pub ceiling: f64,
    /// The least a hedge waits.
    pub hedge_min: Duration,
    /// The most a hedge waits.
    pub hedge_max: Duration,
}

/// What is remembered, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    /// Bytes that the cache may hold, its own bookkeeping included; 0 turns it off.
    pub size: usize,
    /// TTLs below this are raised to it, in whole seconds.
    pub min_ttl: Duration,
    /// TTLs above this are lowered to it (RFC 8767 section 4 asks for a cap of days).
    pub max_ttl: Duration,
    /// Cap on the TTL of NXDOMAIN and NODATA (RFC 2308 section 5).
    pub negative_max_ttl: Duration,
    /// How long past its TTL an answer may still be served when nothing better comes (RFC 8767);
    /// zero turns stale answers off.
    pub stale_max: Duration,
    /// The TTL that stale answers carry (RFC 8767 section 4: 30 s).
    pub stale_ttl: Duration,
    /// The longest a client waits for a fresh answer while a stale one is held.
    pub stale_wait: Duration,
    /// Refresh entries that are asked for in the last tenth of their TTL.
    pub refresh: bool,
    /// First and longest time that a failure is remembered (RFC 9520 section 3.2).
    pub failure_min_ttl: Duration,
    /// See `failure_min_ttl`.
    pub failure_max_ttl: Duration,
    /// Where the cache is kept across restarts; `None` turns that off.
    pub snapshot: Option<std::path::PathBuf>,
    /// How often the snapshot is written while running.
    pub snapshot_every: Duration,
}

/// The bounds of everything that could grow. What happens at each is in its documentation and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Distinct questions in flight upstream, all workers together. Beyond it: SERVFAIL at once.
    pub questions: usize,
    /// Clients waiting for answers, all workers together. Beyond it: SERVFAIL at once.
    pub waiting: usize,
    /// Attempts in flight on one route: the ceiling of its adaptive limit.
    pub attempts_per_route: usize,
    /// UDP sockets open towards upstreams, per worker. Beyond it, questions share sockets.
    pub upstream_sockets: usize,
    /// TCP connections kept to one route, per worker.
    pub upstream_connections: usize,
    /// TCP connections accepted in all. Beyond it, the one idle longest is closed.
    pub tcp_connections: usize,
    /// TCP connections accepted from one client address. Beyond it, new ones are closed.
    pub tcp_connections_per_client: usize,
    /// Queries in flight on one TCP connection. Beyond it, reading pauses.
    pub tcp_pipeline: usize,
    /// A TCP connection with nothing in flight is closed after this long.
    pub tcp_idle: Duration,
    /// A client that does not finish sending a query, or does not take its answers, is cut off after this.
    pub tcp_stall: Duration,
    /// Largest UDP answer sent and, as advertised by EDNS(0), accepted from upstreams. 512 to 4096.
    pub udp_payload: u16,
    /// Memory for one UDP socket's kernel buffers, each way.
    pub udp_buffer: usize,
}
