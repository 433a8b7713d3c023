//! The configuration as meant: plain data that every other room reads.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::address::Endpoint;
use super::{SourcePorts, bounds};
use crate::wire::{CookieSecret, RecordType};

/// Everything the daemon runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads that answer queries, each with its own sockets. At least 1.
    pub workers: usize,
    /// Where queries are accepted. At least one.
    pub listen: Vec<Listen>,
    /// What byway shows clients that speak TLS. At least one where a listener does.
    pub certificates: Vec<CertificateConfig>,
    /// The ways out of this host; a route names one by its index. At least one.
    pub paths: Vec<PathConfig>,
    /// The resolvers that may be asked; a route names one by its index. At least one.
    pub upstreams: Vec<UpstreamConfig>,
    /// Names that are asked of some upstreams alone.
    pub zones: Vec<ZoneConfig>,
    /// Special names that are answered here.
    pub special: SpecialNames,
    /// Records that are answered here.
    pub records: Vec<RecordConfig>,
    /// Names that must not vanish.
    pub guards: Vec<GuardConfig>,
    /// IPv6 addresses for hosts that have no IPv4.
    pub dns64: Option<Dns64Config>,
    /// The host's own file of names (hosts(5)); `None` if it is not to be read.
    pub hosts: Option<PathBuf>,
    /// The TTL of what it says.
    pub hosts_ttl: Duration,
    /// Whether the domains of this host's links are zones.
    pub link_domains: bool,
    /// What byway calls itself to clients that ask (NSID, `id.server`); `None`: it does not say. At most
    /// [`MOST_IDENTITY`](crate::wire::MOST_IDENTITY) printable characters.
    pub identity: Option<String>,
    /// How routes are chosen.
    pub routing: Routing,
    /// What is remembered, and for how long.
    pub cache: CacheConfig,
    /// What is recorded, and where.
    pub recorder: RecorderConfig,
    /// What is seen of what clients ask.
    pub top: TopConfig,
    /// Where every answer is logged.
    pub query_log: QueryLogConfig,
    /// Where metrics and health are served; `None` turns them off.
    pub admin: Option<SocketAddr>,
    /// The Unix socket for the operator's commands; `None` turns it off.
    pub control: Option<PathBuf>,
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
    /// Accept queries over TLS (RFC 7858), and over nothing else.
    pub tls: bool,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// The certificate, and behind it those that lead to one which clients know.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
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
    /// Each packet over it is paid for: routes over it are not measured while they are idle.
    pub metered: bool,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTransport {
    /// Plain DNS over UDP, with TCP for what does not fit.
    Udp,
    /// Plain DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
}

impl UpstreamTransport {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            UpstreamTransport::Udp => "udp",
            UpstreamTransport::Tcp => "tcp",
            UpstreamTransport::Tls => "tls",
        }
    }

    /// Whether all questions go over connections.
    pub fn is_stream(self) -> bool {
        self != UpstreamTransport::Udp
    }

    /// The port that it has by default.
    pub fn port(self) -> u16 {
        match self {
            UpstreamTransport::Udp | UpstreamTransport::Tcp => DNS_PORT,
            UpstreamTransport::Tls => TLS_PORT,
        }
    }
}

/// How an upstream that is asked over TLS proves who it is (RFC 8310).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// What its certificate must be made for; `None`: its address.
    pub name: Option<String>,
    /// A file of the authorities that may vouch for it; `None`: those that the host trusts. With pins alone: nobody.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the keys of which it must have one, if there are any.
    pub pins: Vec<[u8; 32]>,
}

/// A resolver that may be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// The operator's name for it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The interface of a link-local address, by its name. Its number, which `address` does not have then, is looked
    /// up when it is needed: interfaces come and go.
    pub zone: Option<String>,
    /// How it is spoken to.
    pub transport: UpstreamTransport,
    /// How it proves who it is; there if and only if it is asked over TLS.
    pub tls: Option<UpstreamTls>,
    /// The paths it may be reached over, as indices into [`Config::paths`]. At least one.
    pub paths: Vec<usize>,
    /// Use only while no other upstream is clear.
    pub backup: bool,
    /// Relative price of asking it, 1.0 and up.
    pub cost: f64,
    /// It is known of a link of this host, and for the names of that link's domains alone.
    pub of_link: bool,
}

/// Names that are asked of some upstreams alone (split DNS).
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneConfig {
    /// The zone's names in wire form and lower case; it takes in what is below them. At least one.
    pub names: Vec<Vec<u8>>,
    /// The upstreams that they are asked of, as indices into [`Config::upstreams`], in the order in which they are
    /// written; none for those of all other names.
    pub upstreams: Vec<usize>,
    /// Which of the clear routes is asked first; `None` for [`Routing::policy`].
    pub policy: Option<Policy>,
    /// How long a question may take in all; `None` for [`Routing::deadline`].
    pub deadline: Option<Duration>,
    /// Whether answers past their TTL may be given when nothing better comes.
    pub stale: bool,
    /// Types for which there is said to be no data, whatever there is.
    pub filter: Vec<RecordType>,
    /// Whether an answer may hold addresses that are not reached from the Internet. What is against it is DNS rebinding.
    pub private_addresses: bool,
    /// For how long what is said of its names is kept.
    pub ttls: ZoneTtls,
    /// Whether what its upstreams cannot answer is asked of those of all other names.
    pub fall_through: bool,
    /// Whether there is nothing below a name that does not exist (RFC 8020), and byway looks for the highest such name.
    pub subtree_denial: bool,
    /// The link of this host that brought it along (`link tun0`), if one did.
    pub learnt: Option<String>,
}

/// For how long answers and failures of a zone are kept; `None` for what [`CacheConfig`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneTtls {
    /// TTLs below this are raised to it.
    pub min: Option<Duration>,
    /// TTLs above this are lowered to it.
    pub max: Option<Duration>,
    /// The same of NXDOMAIN and NODATA.
    pub negative_max: Option<Duration>,
    /// First and longest time that a failure is remembered.
    pub failure_min: Option<Duration>,
    /// See `failure_min`.
    pub failure_max: Option<Duration>,
}

impl ZoneTtls {
    /// Whether anything is otherwise than for all names.
    pub fn is_any(&self) -> bool {
        *self != ZoneTtls::default()
    }
}

/// Records of one name and type that are answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// Its name in wire form and lower case; a first label `*` makes it a wildcard (RFC 4592).
    pub name: Vec<u8>,
    /// Its type.
    pub record_type: RecordType,
    /// The data of each as it is written.
    pub text: Vec<String>,
    /// The same in wire form.
    pub data: Vec<Vec<u8>>,
    /// Their TTL.
    pub ttl: Duration,
}

/// Who answers for a special name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// byway itself.
    Here,
    /// The upstreams, as for any other name.
    Forward,
    /// byway itself if no upstream without a zone is one of this network, and may know; else those.
    Auto,
}

/// Who answers for the names of IANA's registry of special-use domain names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialNames {
    /// `localhost` and the reverse names of 127.0.0.1 and ::1 (RFC 6761).
    pub localhost: Answering,
    /// `invalid` (RFC 6761).
    pub invalid: Answering,
    /// `test` (RFC 6761).
    pub test: Answering,
    /// `onion` (RFC 7686).
    pub onion: Answering,
    /// `local` (RFC 6762).
    pub local: Answering,
    /// `home.arpa` (RFC 8375).
    pub home_arpa: Answering,
    /// `service.arpa` (RFC 9665).
    pub service_arpa: Answering,
    /// `resolver.arpa` (RFC 9462).
    pub resolver_arpa: Answering,
    /// `ipv4only.arpa` (RFC 8880).
    pub ipv4only_arpa: Answering,
    /// Reverse zones of private and other addresses that mean nothing elsewhere (RFC 6303, RFC 7793).
    pub private_reverse: Answering,
    /// `alt` (RFC 9476), whose names are no DNS names.
    pub alt: Answering,
    /// `eap.arpa` (RFC 9965), `eap-noob.arpa` (RFC 9140) and `6tisch.arpa` (RFC 9031), which name no hosts.
    pub eap_arpa: Answering,
    /// `use-application-dns.net`, by which Firefox asks whether to leave the host's resolver.
    pub use_application_dns: Answering,
}

impl Default for SpecialNames {
    fn default() -> SpecialNames {
        SpecialNames {
            localhost: Answering::Here,
            invalid: Answering::Here,
            test: Answering::Auto,
            onion: Answering::Here,
            local: Answering::Auto,
            home_arpa: Answering::Here,
            service_arpa: Answering::Here,
            alt: Answering::Here,
            eap_arpa: Answering::Here,
            resolver_arpa: Answering::Here,
            ipv4only_arpa: Answering::Here,
            private_reverse: Answering::Auto,
            use_application_dns: Answering::Forward,
        }
    }
}

impl ZoneConfig {
    /// A zone of these names with upstreams of its own, and else like everything.
    pub fn new(names: Vec<Vec<u8>>, upstreams: Vec<usize>) -> ZoneConfig {
        ZoneConfig {
            names,
            upstreams,
            policy: None,
            deadline: None,
            stale: true,
            filter: Vec::new(),
            private_addresses: true,
            ttls: ZoneTtls::default(),
            fall_through: false,
            subtree_denial: false,
            learnt: None,
        }
    }
}

/// How IPv6 addresses are made of IPv4 ones (DNS64, RFC 6147).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns64Config {
    /// What stands before the IPv4 address.
    pub prefix: Ipv6Net,
    /// IPv4 addresses of which none are made, and IPv6 addresses that count as if they were not there.
    pub exclude: Vec<IpNet>,
}

/// Names whose addresses are kept for a while when upstreams say all of a sudden that there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardConfig {
    /// In wire form and lower case; each stands for all names below it too.
    pub zones: Vec<Vec<u8>>,
    /// For how long they are kept at most.
    pub keep: Duration,
    /// For how long a name must have had addresses before.
    pub after: Duration,
    /// The share of its usual number of addresses under which an answer is reported, 0 to 1; 0 for none.
    pub floor: f64,
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
    /// A route that has not answered for so long is `unknown`, not `clear`.
    pub unknown_after: Duration,
    /// Extra attempts allowed in a steady state, as a share of primaries (0.05 is 5 %).
    pub extra_share: f64,
    /// While nothing is clear, packets sent upstream stay under this multiple of the rate in health.
    pub ceiling: f64,
    /// Whether names are sent upstream in random letter case, where the upstream keeps it: one bit more
    /// for a forger to guess with every letter (draft-vixie-dnsext-dns0x20).
    pub randomize_case: bool,
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
    /// Begin sets of addresses with another one in each answer (RFC 1794).
    pub rotate: bool,
    /// First and longest time that a failure is remembered (RFC 9520 section 3.2).
    pub failure_min_ttl: Duration,
    /// See `failure_min_ttl`.
    pub failure_max_ttl: Duration,
    /// Where the cache is kept across restarts; `None` turns that off.
    pub snapshot: Option<std::path::PathBuf>,
    /// How often the snapshot is written while running.
    pub snapshot_every: Duration,
}

/// The flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Whether anything is recorded.
    pub enabled: bool,
    /// Its file; `None`: the last hour is kept in memory.
    pub path: Option<PathBuf>,
    /// Bytes of that file.
    pub size: usize,
}

/// Which names are asked for most, and which clients ask most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopConfig {
    /// Whether that is counted.
    pub enabled: bool,
    /// Names and clients that are kept, each.
    pub entries: usize,
    /// How far back it reaches: half of that at least, all of it at most.
    pub window: Duration,
    /// Answers a second that are looked at, all workers together.
    pub rate: usize,
}

/// The query log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLogConfig {
    /// Its file, if it goes to one.
    pub path: Option<PathBuf>,
    /// The Unix socket of who reads it, if it goes there. With neither nothing is logged.
    pub socket: Option<PathBuf>,
    /// Bytes of that file and the one before it together.
    pub size: usize,
}

/// The bounds of everything that could grow. What happens at each is in its documentation and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Distinct questions in flight upstream, all workers together. Beyond it: SERVFAIL at once.
    pub questions: usize,
    /// Clients waiting for answers, all workers together. Beyond it: SERVFAIL at once.
    pub waiting: usize,
    /// Clients waiting for the answer to one question. Beyond it: a stale answer, or SERVFAIL, at once.
    pub waiting_per_question: usize,
    /// Queries of one client waiting for answers. Beyond it: a stale answer, or SERVFAIL, at once.
    pub waiting_per_client: usize,
    /// New names that one client may ask for, a second. Beyond it, after two seconds' worth: the same.
    pub new_names_per_client: usize,
    /// Clients told apart. Beyond it, those that are new share one account while the others are busy.
    pub clients: usize,
    /// How many bits of an IPv4 address make a client.
    pub client_ipv4: u8,
    /// How many bits of an IPv6 address make a client.
    pub client_ipv6: u8,
    /// Answers a second to one client over UDP whose address no cookie proves. Beyond it they are cut off, or not sent.
    pub udp_answers_per_client: u32,
    /// One in so many of those is sent, cut off before its first record; the others are not.
    pub slip: u32,
    /// Secrets of cookies: the first makes them, all are taken. None: byway draws one by itself.
    pub cookie_secrets: Vec<CookieSecret>,
    /// Clients that have no limits of their own, only a share of those of all.
    pub exempt_clients: Vec<IpNet>,
    /// Names under guard whose addresses are remembered. Beyond it the newest are not guarded.
    pub guarded_names: usize,
    /// How long a question waits for room while every route it may use is at its limit. Beyond it: SERVFAIL.
    pub queue_patience: Duration,
    /// Attempts in flight on one route: the ceiling of its adaptive limit.
    pub attempts_per_route: usize,
    /// The ports that questions are sent upstream from.
    pub source_ports: SourcePorts,
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
    /// Bytes of answers that TCP clients have not taken, in all. Beyond it, connections that hold most are closed.
    pub tcp_answers: usize,
    /// Memory for the kernel's send buffer of one TCP connection.
    pub tcp_buffer: usize,
    /// A TCP connection with nothing in flight is closed after this long.
    pub tcp_idle: Duration,
    /// A client that does not finish its TLS handshake or a query, or does not take its answers, is cut off after this.
    pub tcp_stall: Duration,
    /// Largest UDP answer sent and, as advertised by EDNS(0), accepted from upstreams. 512 to 4096.
    pub udp_payload: u16,
    /// Memory for one UDP socket's kernel buffers, each way.
    pub udp_buffer: usize,
}

/// Well-known port of DNS over UDP and TCP (RFC 1035 section 4.2).
pub const DNS_PORT: u16 = 53;

/// That of DNS over TLS (RFC 7858 section 3.1).
pub const TLS_PORT: u16 = 853;

/// The name of the path that is the kernel's own choice.
pub const DEFAULT_PATH: &str = "default";

impl Config {
    /// The built-in configuration with these upstreams, over the `default` path, asked over UDP and
    /// named by their addresses. What byway runs by without a file, but for where the upstreams come
    /// from.
    pub fn default_with_upstreams(upstreams: &[SocketAddr]) -> Config {
        let listen = vec![Listen::default()];
        Config {
            workers: super::host::cores(),
            allow: allowed_by_default(&listen),
            listen,
            certificates: Vec::new(),
            paths: vec![PathConfig::kernels_choice()],
            upstreams: upstreams.iter().map(|&it| UpstreamConfig::at(it)).collect(),
            zones: Vec::new(),
            special: SpecialNames::default(),
            records: Vec::new(),
            guards: Vec::new(),
            dns64: None,
            hosts: None,
            link_domains: false,
            hosts_ttl: bounds::HOSTS_TTL.default,
            identity: None,
            routing: Routing::default(),
            cache: CacheConfig::default(),
            recorder: RecorderConfig::default(),
            top: TopConfig::default(),
            query_log: QueryLogConfig::default(),
            admin: Some(bounds::ADMIN),
            control: None,
            limits: Limits::default(),
        }
    }
}

/// Who is answered when the file does not say: this host, and the private networks as soon as one
/// listener can be reached from beyond it. Never the whole Internet (RFC 5358).
pub(super) fn allowed_by_default(listen: &[Listen]) -> Vec<IpNet> {
    let wider = listen.iter().any(|it| !it.address.ip().is_loopback());
    let prefixes = bounds::LOOPBACK.iter();
    if wider {
        prefixes.chain(bounds::PRIVATE).copied().collect()
    } else {
        prefixes.copied().collect()
    }
}

impl Listen {
    /// Whether connections are accepted there.
    pub fn takes_connections(&self) -> bool {
        self.tcp || self.tls
    }
}

impl Default for Listen {
    /// UDP and TCP on 127.0.0.1:5339.
    fn default() -> Listen {
        Listen {
            address: bounds::LISTEN,
            udp: true,
            tcp: true,
            tls: false,
        }
    }
}

impl PathConfig {
    /// The path `default`: the kernel's own choice of interface and source address.
    pub fn kernels_choice() -> PathConfig {
        PathConfig {
            name: DEFAULT_PATH.to_owned(),
            interface: None,
            source: Vec::new(),
            mark: None,
            backup: false,
            cost: bounds::COST.default,
            metered: false,
        }
    }
}

impl UpstreamConfig {
    /// An upstream known by nothing but its address: named by it, asked over UDP, over the first path.
    pub fn at(address: SocketAddr) -> UpstreamConfig {
        UpstreamConfig {
            name: address_name(address),
            address,
            zone: None,
            transport: UpstreamTransport::Udp,
            tls: None,
            paths: vec![0],
            backup: false,
            cost: bounds::COST.default,
            of_link: false,
        }
    }
}

impl UpstreamConfig {
    /// Where it listens, as people write it.
    pub fn endpoint(&self) -> Endpoint {
        let zone = match self.address {
            SocketAddr::V6(it) if it.scope_id() != 0 => Some(it.scope_id().to_string()),
            _ => self.zone.clone(),
        };
        Endpoint {
            ip: self.address.ip(),
            zone,
            port: Some(self.address.port()),
        }
    }
}

/// The name of an upstream that was given none: its address, with the port only where it is not 53.
pub(super) fn address_name(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(it) if it.port() == DNS_PORT && it.scope_id() != 0 => {
            format!("{}%{}", it.ip(), it.scope_id())
        }
        _ if address.port() == DNS_PORT => address.ip().to_string(),
        _ => address.to_string(),
    }
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            policy: Policy::Fastest,
            deadline: bounds::DEADLINE.default,
            return_within: bounds::RETURN_WITHIN.default,
            unknown_after: bounds::UNKNOWN_AFTER.default,
            extra_share: bounds::EXTRA_SHARE.default,
            ceiling: bounds::CEILING.default,
            randomize_case: true,
            hedge_min: bounds::HEDGE_MIN.default,
            hedge_max: bounds::HEDGE_MAX.default,
        }
    }
}

impl Default for CacheConfig {
    /// Without a snapshot: its place depends on the host.
    fn default() -> CacheConfig {
        CacheConfig {
            size: bounds::CACHE_SIZE.default,
            min_ttl: bounds::MIN_TTL.default,
            max_ttl: bounds::MAX_TTL.default,
            negative_max_ttl: bounds::NEGATIVE_MAX_TTL.default,
            stale_max: bounds::STALE_MAX.default,
            stale_ttl: bounds::STALE_TTL.default,
            stale_wait: bounds::STALE_WAIT.default,
            refresh: true,
            rotate: true,
            failure_min_ttl: bounds::FAILURE_MIN_TTL.default,
            failure_max_ttl: bounds::FAILURE_MAX_TTL.default,
            snapshot: None,
            snapshot_every: bounds::SNAPSHOT_EVERY.default,
        }
    }
}

impl Default for RecorderConfig {
    /// Without a file: its place depends on the host.
    fn default() -> RecorderConfig {
        RecorderConfig {
            enabled: true,
            path: None,
            size: bounds::RECORDER_SIZE.default,
        }
    }
}

impl Default for TopConfig {
    fn default() -> TopConfig {
        TopConfig {
            enabled: true,
            entries: bounds::TOP_ENTRIES.default,
            window: bounds::TOP_WINDOW.default,
            rate: bounds::TOP_RATE.default,
        }
    }
}

impl Default for QueryLogConfig {
    fn default() -> QueryLogConfig {
        QueryLogConfig {
            path: None,
            socket: None,
            size: bounds::QUERY_LOG_SIZE.default,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            questions: bounds::QUESTIONS.default,
            waiting: bounds::WAITING.default,
            waiting_per_question: bounds::WAITING_PER_QUESTION.default,
            waiting_per_client: bounds::WAITING_PER_CLIENT.default,
            new_names_per_client: bounds::NEW_NAMES_PER_CLIENT.default,
            clients: bounds::CLIENTS.default,
            client_ipv4: bounds::CLIENT_IPV4.default,
            client_ipv6: bounds::CLIENT_IPV6.default,
            exempt_clients: bounds::LOOPBACK.to_vec(),
            udp_answers_per_client: bounds::UDP_ANSWERS_PER_CLIENT.default,
            slip: bounds::SLIP.default,
            cookie_secrets: Vec::new(),
            guarded_names: bounds::GUARDED_NAMES.default,
            queue_patience: bounds::QUEUE_PATIENCE.default,
            attempts_per_route: bounds::ATTEMPTS_PER_ROUTE.default,
            source_ports: SourcePorts::default(),
            upstream_sockets: bounds::UPSTREAM_SOCKETS.default,
            upstream_connections: bounds::UPSTREAM_CONNECTIONS.default,
            tcp_connections: bounds::TCP_CONNECTIONS.default,
            tcp_connections_per_client: bounds::TCP_CONNECTIONS_PER_CLIENT.default,
            tcp_pipeline: bounds::TCP_PIPELINE.default,
            tcp_answers: bounds::TCP_ANSWERS.default,
            tcp_buffer: bounds::TCP_BUFFER.default,
            tcp_idle: bounds::TCP_IDLE.default,
            tcp_stall: bounds::TCP_STALL.default,
            udp_payload: bounds::UDP_PAYLOAD.default,
            udp_buffer: bounds::UDP_BUFFER.default,
        }
    }
}
