//! Every number an operator can set: its default, the range that is accepted, and where it comes from.
//!
//! One constant is the whole truth about one key. The parser refuses what lies outside it and names
//! the range; `config/byway.toml` repeats it for people, and a test proves that the two agree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A setting's default and the least and the most that is accepted, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// What holds when the key is not written.
    pub default: T,
    /// The least that is accepted.
    pub min: T,
    /// The most that is accepted.
    pub max: T,
}

impl<T: PartialOrd> Bounds<T> {
    /// Whether `value` is accepted. A NaN is not.
    pub fn hold(&self, value: &T) -> bool {
        *value >= self.min && *value <= self.max
    }
}

const fn bounds<T: Copy>(default: T, min: T, max: T) -> Bounds<T> {
    Bounds { default, min, max }
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// Where queries are accepted when the file does not say, reachable from this host only: a port that needs no
/// privilege and that nobody else takes by habit. 5353 is multicast DNS's, 5335 unbound's behind Pi-hole, 5053, 5054,
/// 5300 and 5354 those of local proxies.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5339);

/// Where metrics and health are served when the file does not say, reachable from this host only. The ports from 9100
/// to 9999 are all allotted to exporters by Prometheus's register; 9153, there, is CoreDNS's.
pub const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 19153);

/// If [`ADMIN`] is taken, this many ports after it are tried. Any other address is used or refused.
pub const ADMIN_OTHERS: u16 = 9;

/// This host (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
pub const LOOPBACK: &[IpNet] = &[
    v4([127, 0, 0, 0], 8),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Networks that are not the Internet: private (RFC 1918), shared behind a carrier's translator (RFC
/// 6598), link-local (RFC 3927, RFC 4291 section 2.5.6) and unique local (RFC 4193).
pub const PRIVATE: &[IpNet] = &[
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    v6(0xfc00, 7),
    v6(0xfe80, 10),
];

const fn v4(octets: [u8; 4], len: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len))
}

const fn v6(first: u16, len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0),
        len,
    ))
}

/// Worker threads. The default is one per core: [`cores`](super::host::cores).
pub const WORKERS: RangeInclusive<usize> = 1..=1024;

/// The most listeners in a file, far above any real one's: a slip of a generator is refused at start and
/// does not become load.
pub const MOST_LISTENERS: usize = 64;
/// The most paths. See [`MOST_LISTENERS`].
pub const MOST_PATHS: usize = 32;
/// The most upstreams. See [`MOST_LISTENERS`].
pub const MOST_UPSTREAMS: usize = 128;
/// The most records. See [`MOST_LISTENERS`].
pub const MOST_RECORDS: usize = 4096;
/// The most zones. See [`MOST_LISTENERS`].
pub const MOST_ZONES: usize = 4096;

/// Price of a path or an upstream, a factor on its expected time. Under 1 it would make a route look faster
/// than the network is; at 1,000 nothing but its being alone makes a route chosen.
pub const COST: Bounds<f64> = bounds(1.0, 1.0, 1000.0);

/// Firewall marks. 0 is what the kernel gives packets without a mark.
pub const MARK: RangeInclusive<u32> = 1..=u32::MAX;

/// How long a question may take. Half a second under the 5 s after which glibc's stub asks again
/// (resolv.conf(5), `timeout`), so that it hears SERVFAIL and why, not silence. Under 500 ms an
/// intercontinental retry has no time.
pub const DEADLINE: Bounds<Duration> = bounds(millis(4500), millis(500), secs(60));

/// How long a healed route may stay unused. Peers take 24 s to for ever; under 1 s the probes of a dead
/// route would come too close to each other.
pub const RETURN_WITHIN: Bounds<Duration> = bounds(secs(10), secs(1), secs(HOUR));

/// How long a route may stay unheard of before it is called unknown. Idle routes are measured several times as often,
/// so that a lost packet or two, or a night without questions, makes none unknown; under 30 s they would have to be
/// measured more often than is cheap.
pub const UNKNOWN_AFTER: Bounds<Duration> = bounds(secs(300), secs(30), secs(DAY));

/// Extra attempts in a steady state, as a share of primaries. The Tail at Scale (Dean and Barroso, 2013)
/// found 2 to 5 % more requests to be enough to take away most of the tail.
pub const EXTRA_SHARE: Bounds<f64> = bounds(0.05, 0.0, 1.0);

/// Packets upstream while nothing is clear, as a multiple of health's. 1.0 asks nothing twice; the
/// peers' 2 to 4 keep the jam alive.
pub const CEILING: Bounds<f64> = bounds(1.3, 1.0, 4.0);

/// The least a hedge waits. Timers tick in whole milliseconds, so less would hedge on the host's own noise.
pub const HEDGE_MIN: Bounds<Duration> = bounds(millis(2), millis(1), secs(5));

/// The most a hedge waits: about an honest round trip to the other side of the Earth, so that no question
/// waits longer for a late answer than a distant one would take.
pub const HEDGE_MAX: Bounds<Duration> = bounds(millis(250), millis(1), secs(5));

/// Bytes of the cache: more than 250,000 plain answers at 250 bytes each. 0 is accepted beside the range
/// and turns the cache off.
pub const CACHE_SIZE: Bounds<usize> = bounds(64 * MIB, 64 * KIB, 256 * GIB);

/// A TTL is the most its owner allows (RFC 2181 section 8). Raising it goes against that, so it is off by
/// default, and an hour bounds the harm.
pub const MIN_TTL: Bounds<Duration> = bounds(secs(0), secs(0), secs(HOUR));
/// TTL of records of the configuration.
pub const RECORD_TTL: Bounds<Duration> = Bounds {
    min: Duration::ZERO,
    default: Duration::from_secs(300),
    max: Duration::from_secs(7 * 24 * 3600),
};
/// TTL of what the host's own file of names says.
pub const HOSTS_TTL: Bounds<Duration> = Bounds {
    min: Duration::ZERO,
    default: Duration::from_secs(10),
    max: Duration::from_secs(3600),
};

/// RFC 8767 section 4 recommends a cap of 7 days and allows less; a day bounds how long a wrong
/// answer can live, at the cost of one question a day.
pub const MAX_TTL: Bounds<Duration> = bounds(secs(DAY), secs(1), secs(7 * DAY));

/// RFC 2308 section 5: one to three hours work well, more than a day was found harmful. Not above
/// [`MAX_TTL`] (same section), whose value is the default where it is the smaller.
pub const NEGATIVE_MAX_TTL: Bounds<Duration> = bounds(secs(HOUR), secs(0), secs(DAY));

/// RFC 8767 section 5 suggests one to three days. The shortest carries a host through any outage that
/// somebody is awake for.
pub const STALE_MAX: Bounds<Duration> = bounds(secs(DAY), secs(0), secs(30 * DAY));

/// RFC 8767 section 4: 30 s is recommended, and more than 0.
pub const STALE_TTL: Bounds<Duration> = bounds(secs(30), secs(1), secs(HOUR));

/// RFC 8767 section 5 suggests 1.8 s, just under the time at which some stub resolvers give up. People notice 200 ms.
pub const STALE_WAIT: Bounds<Duration> = bounds(millis(200), secs(0), secs(10));

/// RFC 9520 section 3.2: a failure is remembered for 1 s at least and 5 minutes at most. The first time
/// uses the least.
pub const FAILURE_MIN_TTL: Bounds<Duration> = bounds(secs(1), secs(1), secs(5 * MINUTE));
/// See [`FAILURE_MIN_TTL`]. The cap of a growing time.
pub const FAILURE_MAX_TTL: Bounds<Duration> = bounds(secs(5 * MINUTE), secs(1), secs(5 * MINUTE));

/// What a power cut may cost the cache, against writing all of it each time.
pub const SNAPSHOT_EVERY: Bounds<Duration> = bounds(secs(5 * MINUTE), secs(10), secs(DAY));

/// A day of seconds and a month of minutes of eight routes; see `docs/recorder.md` for what takes how much. The least
/// holds half an hour, the most is what a reader goes through in a few seconds.
pub const RECORDER_SIZE: Bounds<usize> = bounds(64 * MIB, MIB, GIB);

/// Names and clients kept of those that ask most: whoever makes up more than one in so many is among them.
pub const TOP_ENTRIES: Bounds<usize> = bounds(256, 16, 4096);
/// Long enough for what is rare to show, short enough for it to be what happens now.
pub const TOP_WINDOW: Bounds<Duration> = bounds(secs(10 * MINUTE), secs(10), secs(DAY));
/// Answers a second that are looked at: one in a hundred is told to three digits or so within the window, and it costs
/// a worker a ten-thousandth of its time.
pub const TOP_RATE: Bounds<usize> = bounds(1000, 10, 2000);

/// Some half a million answers.
pub const QUERY_LOG_SIZE: Bounds<usize> = bounds(64 * MIB, MIB, 1024 * GIB);

/// Questions in flight: 8,192 at a round trip of 4.5 s (everything lost) is 1,800 new names a second, at
/// 20 ms it is 400,000.
pub const QUESTIONS: Bounds<usize> = bounds(8192, 16, 1 << 20);

/// Clients waiting: eight for each question in flight.
pub const WAITING: Bounds<usize> = bounds(65_536, 16, 1 << 22);

/// Clients waiting for one answer: a quarter of all. At a deadline of 4.5 s that is 3,600 a second for one silent name.
pub const WAITING_PER_QUESTION: Bounds<usize> = bounds(16_384, 1, 1 << 22);

/// The most certificates. See [`MOST_LISTENERS`].
pub const MOST_CERTIFICATES: usize = 64;

/// Clients' queries that wait for answers, for one client: an eighth of all. At a deadline of 4.5 s, with nobody answering,
/// that is 1,800 a second.
pub const WAITING_PER_CLIENT: Bounds<usize> = bounds(8192, 1, 1 << 22);

/// New names a second of one client: far more than a host asks that is well, even one with a crawler or a busy mail
/// server, and far less than what a flood of random names does.
pub const NEW_NAMES_PER_CLIENT: Bounds<usize> = bounds(1000, 1, 1 << 20);

/// Clients told apart, some 200 bytes each: a network of private addresses of some size, and all that a node's pods have.
pub const CLIENTS: Bounds<usize> = bounds(16_384, 16, 1 << 22);

/// Answers a second to one client over UDP that nothing proves to be who it says: what a busy forwarder asks.
pub const UDP_ANSWERS_PER_CLIENT: Bounds<u32> = bounds(5000, 1, 10_000_000);
/// Of the answers beyond that one in so many is sent, cut off. With all of them nobody is left without an answer, and nothing
/// is won by a forged address, for they are as short as the queries.
pub const SLIP: Bounds<u32> = bounds(1, 1, 100);

/// How much of an IPv4 address makes a client.
pub const CLIENT_IPV4: Bounds<u8> = bounds(32, 8, 32);
/// How much of an IPv6 address makes a client: within a /64 a host has as many addresses as it likes (RFC 7934).
pub const CLIENT_IPV6: Bounds<u8> = bounds(64, 16, 128);

/// The most guards. See [`MOST_LISTENERS`].
pub const MOST_GUARDS: usize = 1024;
/// How long addresses of a name that has vanished are kept. An hour is what it takes to find out why a name is gone and
/// to put it back; nothing that was removed on purpose should be found for longer than a week.
pub const GUARD_KEEP: Bounds<Duration> = bounds(secs(HOUR), secs(1), secs(7 * DAY));
/// How long a name must have had addresses before they are kept: longer than what comes and goes by itself.
pub const GUARD_AFTER: Bounds<Duration> = bounds(secs(10 * MINUTE), secs(0), secs(DAY));
/// The share of a name's usual number of addresses under which an answer is reported. 0: none is.
pub const GUARD_FLOOR: Bounds<f64> = bounds(0.0, 0.0, 1.0);
/// Names under guard that are remembered: about a kilobyte each.
pub const GUARDED_NAMES: Bounds<usize> = bounds(10_000, 16, 1 << 20);

/// How long a question waits for room on a route. Longer than any burst that routes can work off; short of the
/// second after which a client that hears nothing asks again.
pub const QUEUE_PATIENCE: Bounds<Duration> = bounds(millis(500), millis(10), secs(10));

/// Ceiling of a route's adaptive limit: a thousand questions a second behind a queue of a second and more. A quarter of
/// the questions, so that one slow route cannot hold them all.
pub const ATTEMPTS_PER_ROUTE: Bounds<usize> = bounds(2048, 1, 1 << 16);

/// Sockets, and with them source ports that a forger has to guess (RFC 5452 section 9.2), per worker.
pub const UPSTREAM_SOCKETS: Bounds<usize> = bounds(256, 1, 16_384);

/// RFC 7766 section 6.2.2 asks for one connection to a server, pipelined; a second covers the time in which the
/// first is being closed.
pub const UPSTREAM_CONNECTIONS: Bounds<usize> = bounds(2, 1, 64);

/// With the sockets towards upstreams, well under the 524,288 descriptors that systemd allows a service.
pub const TCP_CONNECTIONS: Bounds<usize> = bounds(4096, 1, 1 << 20);

/// Half of all, so that one client cannot take every place. No less, because on a host of its own every client has
/// the same address, 127.0.0.1.
pub const TCP_CONNECTIONS_PER_CLIENT: Bounds<usize> = bounds(2048, 1, 1 << 20);

/// RFC 7766 section 6.2.1.1 asks for pipelining and names no number. Beyond it TCP's own flow control holds the
/// client back.
pub const TCP_PIPELINE: Bounds<usize> = bounds(128, 1, 4096);

/// Answers that wait for TCP clients to take them, in all: a hundred whole pipelines of ordinary answers, or ten of the
/// largest.
pub const TCP_ANSWERS: Bounds<usize> = bounds(64 * MIB, MIB, 64 * GIB);

/// Room for one of the largest messages. The kernel, which would grow it to net.ipv4.tcp_wmem's most, 4 MiB for each of
/// thousands of clients that take nothing, doubles it for its own bookkeeping and then keeps to it.
pub const TCP_BUFFER: Bounds<usize> = bounds(64 * KIB, 4 * KIB, 16 * MIB);

/// RFC 7766 section 6.2.3 recommends "a few seconds"; RFC 9210 section 4.4 leaves it to the operator.
pub const TCP_IDLE: Bounds<Duration> = bounds(secs(10), millis(100), secs(HOUR));

/// Long enough for one lost packet to be sent again twice (RFC 6298 section 2: 1 s, then 2 s).
pub const TCP_STALL: Bounds<Duration> = bounds(secs(5), millis(100), secs(60));

/// 1,280 bytes, the least MTU of an IPv6 link, less its headers, so never fragmented (DNS flag day 2020; RFC
/// 9715 argues the same). 512 is RFC 1035's size; 4,096 the largest in use (RFC 6891 section 6.2.5).
pub const UDP_PAYLOAD: Bounds<u16> = bounds(1232, 512, 4096);

/// Room for a burst while a worker is held up: the kernel charges a small datagram about 800 bytes, so some
/// 5,000 queries. The kernel caps it at net.core.rmem_max unless byway may exceed that (CAP_NET_ADMIN).
pub const UDP_BUFFER: Bounds<usize> = bounds(4 * MIB, 64 * KIB, 256 * MIB);
