//! Configurations of every kind that a file can say.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::super::*;

fn duration(bounds: bounds::Bounds<Duration>) -> impl Strategy<Value = Duration> {
    (bounds.min.as_nanos() as u64..=bounds.max.as_nanos() as u64).prop_map(Duration::from_nanos)
}

fn ttl(bounds: bounds::Bounds<Duration>) -> impl Strategy<Value = Duration> {
    (bounds.min.as_secs()..=bounds.max.as_secs()).prop_map(Duration::from_secs)
}

fn count(bounds: bounds::Bounds<usize>) -> impl Strategy<Value = usize> {
    bounds.min..=bounds.max
}

/// The lesser and the greater of two, as the file demands of such pairs.
fn ordered<T: PartialOrd>(a: T, b: T) -> (T, T) {
    if a <= b { (a, b) } else { (b, a) }
}

fn any_routing() -> impl Strategy<Value = Routing> {
    (
        prop_oneof![
            Just(Policy::Fastest),
            Just(Policy::Ordered),
            Just(Policy::Spread)
        ],
        10_000_000_000u64..60_000_000_000,
        (
            duration(bounds::RETURN_WITHIN),
            duration(bounds::UNKNOWN_AFTER),
        ),
        (0.0..=1.0f64, 1.0..=4.0f64, any::<bool>()),
        duration(bounds::HEDGE_MIN),
        duration(bounds::HEDGE_MAX),
    )
        .prop_map(
            |(
                policy,
                deadline,
                (return_within, unknown_after),
                (extra_share, ceiling, randomize_case),
                a,
                b,
            )| {
                let (hedge_min, hedge_max) = ordered(a, b);
                Routing {
                    policy,
                    deadline: Duration::from_nanos(deadline),
                    return_within,
                    unknown_after,
                    extra_share,
                    ceiling,
                    randomize_case,
                    hedge_min,
                    hedge_max: hedge_max.max(bounds::HEDGE_MAX.min),
                }
            },
        )
}

fn any_cache() -> impl Strategy<Value = CacheConfig> {
    (
        prop_oneof![Just(0), count(bounds::CACHE_SIZE)],
        (
            ttl(bounds::MIN_TTL),
            ttl(bounds::MAX_TTL),
            ttl(bounds::NEGATIVE_MAX_TTL),
        ),
        (
            ttl(bounds::STALE_MAX),
            ttl(bounds::STALE_TTL),
            duration(bounds::STALE_WAIT),
        ),
        any::<(bool, bool)>(),
        (
            duration(bounds::FAILURE_MIN_TTL),
            duration(bounds::FAILURE_MAX_TTL),
        ),
        proptest::option::of("/[a-zA-Z0-9 \"\\\\é\u{1b}\n.]{1,20}/x"),
        duration(bounds::SNAPSHOT_EVERY),
    )
        .prop_map(
            |(size, ttls, stale, (refresh, rotate), failure, snapshot, snapshot_every)| {
                let (min_ttl, max_ttl) = ordered(ttls.0, ttls.1);
                let (failure_min_ttl, failure_max_ttl) = ordered(failure.0, failure.1);
                CacheConfig {
                    size,
                    min_ttl: min_ttl.min(bounds::MIN_TTL.max),
                    max_ttl: max_ttl.max(bounds::MAX_TTL.min),
                    negative_max_ttl: ttls.2.min(max_ttl),
                    stale_max: stale.0,
                    stale_ttl: stale.1,
                    stale_wait: stale.2,
                    refresh,
                    rotate,
                    failure_min_ttl,
                    failure_max_ttl,
                    snapshot: snapshot.map(PathBuf::from),
                    snapshot_every,
                }
            },
        )
}

fn any_recorder() -> impl Strategy<Value = RecorderConfig> {
    (
        any::<bool>(),
        proptest::option::of("/[a-zA-Z0-9 \"\\\\é\u{1b}\n.]{1,20}/x"),
        count(bounds::RECORDER_SIZE),
    )
        .prop_map(|(enabled, path, size)| RecorderConfig {
            enabled,
            path: path.map(PathBuf::from),
            size,
        })
}

fn any_top() -> impl Strategy<Value = TopConfig> {
    (
        any::<bool>(),
        count(bounds::TOP_ENTRIES),
        duration(bounds::TOP_WINDOW),
        count(bounds::TOP_RATE),
    )
        .prop_map(|(enabled, entries, window, rate)| TopConfig {
            enabled,
            entries,
            window,
            rate,
        })
}

fn any_query_log() -> impl Strategy<Value = QueryLogConfig> {
    let path = proptest::option::of("/[a-zA-Z0-9 \"é]{1,20}/x");
    let all = (path, any::<bool>(), count(bounds::QUERY_LOG_SIZE));
    all.prop_map(|(path, is_file, size)| {
        let path = path.map(PathBuf::from);
        let (path, socket) = match is_file {
            true => (path, None),
            false => (None, path),
        };
        QueryLogConfig { path, socket, size }
    })
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        (
            count(bounds::QUESTIONS),
            count(bounds::WAITING),
            duration(bounds::QUEUE_PATIENCE),
            (count(bounds::ATTEMPTS_PER_ROUTE), any_ports()),
            count(bounds::UPSTREAM_SOCKETS),
            count(bounds::UPSTREAM_CONNECTIONS),
        ),
        (
            count(bounds::TCP_CONNECTIONS),
            count(bounds::TCP_CONNECTIONS_PER_CLIENT),
            count(bounds::TCP_PIPELINE),
            (count(bounds::TCP_ANSWERS), count(bounds::TCP_BUFFER)),
            duration(bounds::TCP_IDLE),
            duration(bounds::TCP_STALL),
        ),
        (
            512u16..=4096,
            count(bounds::UDP_BUFFER),
            count(bounds::WAITING_PER_QUESTION),
        ),
        any_share(),
    )
        .prop_map(|(questions, tcp, udp, share)| {
            let (per_client, connections) = ordered(tcp.0, tcp.1);
            Limits {
                questions: questions.0,
                waiting: questions.1,
                waiting_per_question: udp.2,
                waiting_per_client: share.0,
                new_names_per_client: share.1,
                clients: share.2,
                client_ipv4: share.3,
                client_ipv6: share.4,
                exempt_clients: share.5,
                udp_answers_per_client: share.6,
                slip: share.7,
                cookie_secrets: share.8,
                guarded_names: 16 + udp.2 % 1000,
                queue_patience: questions.2,
                attempts_per_route: questions.3.0,
                source_ports: questions.3.1,
                upstream_sockets: questions.4,
                upstream_connections: questions.5,
                tcp_connections: connections,
                tcp_connections_per_client: per_client,
                tcp_pipeline: tcp.2,
                tcp_answers: tcp.3.0,
                tcp_buffer: tcp.3.1,
                tcp_idle: tcp.4,
                tcp_stall: tcp.5,
                udp_payload: udp.0,
                udp_buffer: udp.1,
            }
        })
}

/// As below.
type Share = (
    usize,
    usize,
    usize,
    u8,
    u8,
    Vec<IpNet>,
    u32,
    u32,
    Vec<[u8; 16]>,
);

/// What one client may have, who is one, and how it proves that.
fn any_share() -> impl Strategy<Value = Share> {
    let prefixes = prop_oneof![
        Just(Vec::new()),
        Just(bounds::LOOPBACK.to_vec()),
        Just(bounds::PRIVATE.to_vec()),
    ];
    (
        count(bounds::WAITING_PER_CLIENT),
        count(bounds::NEW_NAMES_PER_CLIENT),
        count(bounds::CLIENTS),
        8u8..=32,
        16u8..=128,
        prefixes,
        1u32..=10_000_000,
        1u32..=100,
        proptest::collection::vec(any::<[u8; 16]>(), 0..3),
    )
}

fn any_ports() -> impl Strategy<Value = SourcePorts> {
    let rule = |avoid| {
        (1u16.., 1u16..).prop_map(move |(a, b)| {
            let (first, last) = ordered(a, b);
            let range = PortRange { first, last };
            PortRule { range, avoid }
        })
    };
    (rule(false), rule(true))
        .prop_map(|(one, other)| SourcePorts::of(&[one, other]).unwrap_or_default())
}

fn any_path(index: usize) -> impl Strategy<Value = PathConfig> {
    (
        proptest::option::of("[a-z]{1,8}"),
        any::<bool>(),
        1u32..,
        any::<bool>(),
        (1.0..=1000.0f64, any::<bool>()),
    )
        .prop_map(
            move |(interface, source, mark, backup, (cost, metered))| PathConfig {
                name: format!("path-{index}"),
                interface,
                source: match source {
                    true => vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
                    false => Vec::new(),
                },
                // Tells it from every other path.
                mark: Some((mark & !0xff) | index as u32 | 1 << 8),
                backup,
                cost,
                metered,
            },
        )
}

fn is_tls(tcp: bool, port: u16) -> bool {
    cfg!(feature = "tls") && tcp && port % 5 < 3
}

fn any_upstream(index: usize, paths: usize) -> impl Strategy<Value = UpstreamConfig> {
    let indices: Vec<usize> = (0..paths).collect();
    (
        any::<bool>(),
        1u16..,
        any::<bool>(),
        subsequence(indices, 1..=paths).prop_shuffle(),
        any::<bool>(),
        1.0..=1000.0f64,
    )
        .prop_map(move |(v4, port, tcp, paths, backup, cost)| UpstreamConfig {
            tls: (is_tls(tcp, port)).then(|| UpstreamTls {
                name: backup.then(|| "dns.example".to_owned()),
                ca: tcp.then(|| PathBuf::from("/etc/byway/ca.pem")),
                pins: vec![[port as u8; 32]; usize::from(port % 3)],
            }),
            of_link: false,
            name: format!("up.{index}_%:"),
            address: match (v4, port % 2) {
                (true, _) => format!("10.0.0.{index}:{port}").parse().unwrap(),
                (false, 0) => format!("[fe80::{index:x}]:{port}").parse().unwrap(),
                (false, _) => format!("[fe80::{index:x}%7]:{port}").parse().unwrap(),
            },
            zone: (!v4 && port % 2 == 0).then(|| "wan0".to_owned()),
            transport: match tcp {
                _ if is_tls(tcp, port) => UpstreamTransport::Tls,
                true => UpstreamTransport::Tcp,
                false => UpstreamTransport::Udp,
            },
            paths,
            backup,
            cost,
        })
}

/// Zones that take at most all upstreams but one.
fn any_zones(upstreams: usize) -> impl Strategy<Value = Vec<ZoneConfig>> {
    let indices: Vec<usize> = (1..upstreams).collect();
    let most = indices.len();
    let policy = prop_oneof![
        Just(None),
        Just(Some(Policy::Ordered)),
        Just(Some(Policy::Spread)),
    ];
    let zone = (
        subsequence(indices, 0..=most).prop_shuffle(),
        policy,
        proptest::option::of(duration(bounds::DEADLINE)),
        any::<bool>(),
    );
    proptest::collection::vec(zone, 0..3).prop_map(|zones| {
        let zones = (b'a'..).zip(zones);
        zones
            .map(|(label, (upstreams, policy, deadline, stale))| ZoneConfig {
                names: vec![vec![1, label, 0], vec![3, b'.', 0, label, 1, b'z', 0]],
                upstreams,
                policy,
                deadline,
                stale,
                filter: match stale {
                    true => vec![crate::wire::RecordType::AAAA],
                    false => Vec::new(),
                },
                private_addresses: !stale,
                ttls: ZoneTtls {
                    min: stale.then_some(bounds::MIN_TTL.min),
                    max: (!stale).then_some(bounds::MAX_TTL.min),
                    negative_max: stale.then_some(bounds::NEGATIVE_MAX_TTL.max),
                    failure_min: None,
                    failure_max: (!stale).then_some(bounds::FAILURE_MAX_TTL.max),
                },
                learnt: None,
                fall_through: stale,
                subtree_denial: !stale,
            })
            .collect()
    })
}

fn any_special() -> impl Strategy<Value = SpecialNames> {
    let answering = prop_oneof![
        Just(Answering::Here),
        Just(Answering::Forward),
        Just(Answering::Auto),
    ];
    proptest::array::uniform13(answering).prop_map(|it| SpecialNames {
        localhost: it[0],
        invalid: it[1],
        test: it[2],
        onion: it[3],
        local: it[4],
        home_arpa: it[5],
        resolver_arpa: it[6],
        ipv4only_arpa: it[7],
        private_reverse: it[8],
        use_application_dns: it[9],
        service_arpa: it[10],
        alt: it[11],
        eap_arpa: it[12],
    })
}

/// UDP, TCP, both, and TLS where it is built in.
const MOST_TRANSPORTS: u8 = if cfg!(feature = "tls") { 4 } else { 3 };

pub(super) fn any_config() -> impl Strategy<Value = Config> {
    let network = (1usize..5, 1usize..5).prop_flat_map(|(paths, upstreams)| {
        let all_paths: Vec<_> = (1..=paths).map(any_path).collect();
        let all_upstreams: Vec<_> = (1..=upstreams).map(|it| any_upstream(it, paths)).collect();
        (
            all_paths,
            all_upstreams,
            any_zones(upstreams),
            any_special(),
        )
    });
    let listen = proptest::collection::vec((any::<bool>(), 1u8..=MOST_TRANSPORTS), 1..4);
    (
        1usize..=1024,
        listen,
        network,
        any_routing(),
        any_cache(),
        (any::<bool>(), any_recorder(), any_top(), any_query_log()),
        any_limits(),
    )
        .prop_map(
            |(
                workers,
                listen,
                network,
                routing,
                cache,
                (admin, recorder, top, query_log),
                limits,
            )| Config {
                workers,
                listen: listen
                    .iter()
                    .map(|(loopback, transports)| Listen {
                        address: match loopback {
                            true => "127.0.0.1:0".parse().unwrap(),
                            false => "[::]:0".parse().unwrap(),
                        },
                        udp: transports & 1 != 0,
                        tcp: transports & 2 != 0,
                        tls: transports & 4 != 0,
                    })
                    .collect(),
                certificates: vec![CertificateConfig {
                    chain: PathBuf::from("/etc/byway/a \"chain\".pem"),
                    key: PathBuf::from("/etc/byway/key.pem"),
                }],
                paths: network.0,
                upstreams: network.1,
                zones: network.2,
                special: network.3,
                dns64: admin.then(|| Dns64Config {
                    prefix: "2001:db8:64::/48".parse().expect("a prefix"),
                    exclude: vec!["10.0.0.0/8".parse().expect("a prefix")],
                }),
                guards: vec![GuardConfig {
                    zones: vec![b"\x03svc\x08internal\0".to_vec()],
                    keep: Duration::from_secs(60 + workers as u64),
                    after: Duration::from_secs(90),
                    floor: 0.25,
                }],
                records: vec![RecordConfig {
                    name: b"\x01*\x04test\0".to_vec(),
                    record_type: crate::wire::RecordType::A,
                    text: vec!["192.0.2.1".into(), "192.0.2.2".into()],
                    data: vec![vec![192, 0, 2, 1], vec![192, 0, 2, 2]],
                    ttl: bounds::RECORD_TTL.default,
                }],
                hosts: admin.then(|| PathBuf::from("/etc/other hosts")),
                hosts_ttl: bounds::HOSTS_TTL.max,
                link_domains: true,
                identity: admin.then(|| "host 1 \"rack\" 7".to_owned()),
                routing,
                cache,
                recorder,
                top,
                query_log,
                admin: admin.then_some(bounds::ADMIN),
                control: admin.then(|| PathBuf::from("/run/byway/control.sock")),
                limits,
                allow: bounds::PRIVATE.to_vec(),
            },
        )
}
