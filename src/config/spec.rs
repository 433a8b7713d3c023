//! The file as written: every key optional, every value within its range, each with its place.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use toml::de::DeTable;

use super::address::{self, Endpoint};
use super::bounds;
use super::certificates::pem;
use super::dns64;
use super::encryption::EncryptionSpec;
use super::records::{record_name, record_type};
use super::report::{Place, Report, Written, quoted};
use super::table::Table;
use super::value::{Read, Value};
use super::zones::zone_name;
use super::{Answering, Policy, PortRule, UpstreamTransport};
use crate::wire::{CookieSecret, MOST_IDENTITY, RecordType};

/// The only version of the file's format so far.
pub(super) const VERSION: i128 = 1;

/// A key of the file: not written, or written there.
pub(super) type Key<T> = Option<Written<T>>;

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) workers: Key<usize>,
    pub(super) allow: Key<Vec<Written<IpNet>>>,
    pub(super) listen: Vec<ListenSpec>,
    pub(super) certificates: Vec<CertificateSpec>,
    pub(super) paths: Vec<PathSpec>,
    pub(super) upstreams: Vec<UpstreamSpec>,
    /// The command line's upstreams stand in place of the file's.
    pub(super) upstreams_replaced: bool,
    /// What the service manager has passed sockets for.
    pub(super) passed: Vec<super::Listen>,
    pub(super) zones: Vec<ZoneSpec>,
    pub(super) special: SpecialSpec,
    pub(super) records: Vec<RecordSpec>,
    pub(super) guards: Vec<GuardSpec>,
    pub(super) dns64: Dns64Spec,
    pub(super) routing: RoutingSpec,
    pub(super) cache: CacheSpec,
    pub(super) recorder: RecorderSpec,
    pub(super) top: TopSpec,
    pub(super) query_log: QueryLogSpec,
    pub(super) admin: Key<AdminListen>,
    pub(super) host: HostSpec,
    pub(super) control: Key<SnapshotSpec>,
    pub(super) limits: LimitsSpec,
}

/// `[[listen]]`
#[derive(Debug)]
pub(super) struct ListenSpec {
    pub(super) address: Key<Endpoint>,
    pub(super) transports: Key<Vec<Written<ListenTransport>>>,
}

/// `[[listen]] transports`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ListenTransport {
    Udp,
    Tcp,
    Tls,
}

/// `[[certificate]]`
#[derive(Debug)]
pub(super) struct CertificateSpec {
    pub(super) chain: Key<PathBuf>,
    pub(super) key: Key<PathBuf>,
}

/// `[[path]]`
#[derive(Debug)]
pub(super) struct PathSpec {
    pub(super) place: Place,
    pub(super) name: Key<String>,
    pub(super) interface: Key<String>,
    pub(super) source: Key<Vec<Written<IpAddr>>>,
    pub(super) mark: Key<u32>,
    pub(super) backup: Key<bool>,
    pub(super) cost: Key<f64>,
    pub(super) metered: Key<bool>,
}

/// `[[upstream]]`
#[derive(Debug)]
pub(super) struct UpstreamSpec {
    pub(super) name: Key<String>,
    pub(super) address: Key<Endpoint>,
    pub(super) transport: Key<UpstreamTransport>,
    pub(super) encryption: EncryptionSpec,
    pub(super) paths: Key<Vec<Written<String>>>,
    pub(super) backup: Key<bool>,
    pub(super) cost: Key<f64>,
}

/// `[[zone]]`
#[derive(Debug)]
pub(super) struct ZoneSpec {
    /// Each the names that it stands for, in wire form.
    pub(super) names: Key<Vec<Written<Vec<Vec<u8>>>>>,
    pub(super) upstreams: Key<Vec<Written<String>>>,
    pub(super) policy: Key<Policy>,
    pub(super) deadline: Key<Duration>,
    pub(super) stale: Key<bool>,
    pub(super) filter: Key<Vec<Written<RecordType>>>,
    pub(super) private_addresses: Key<bool>,
    pub(super) min_ttl: Key<Duration>,
    pub(super) max_ttl: Key<Duration>,
    pub(super) negative_max_ttl: Key<Duration>,
    pub(super) failure_min_ttl: Key<Duration>,
    pub(super) failure_max_ttl: Key<Duration>,
    pub(super) fall_through: Key<bool>,
    pub(super) subtree_denial: Key<bool>,
}

/// `[[record]]`
#[derive(Debug)]
pub(super) struct RecordSpec {
    pub(super) name: Key<Vec<u8>>,
    pub(super) record_type: Key<RecordType>,
    pub(super) data: Key<Vec<Written<String>>>,
    pub(super) ttl: Key<Duration>,
}

/// `[[guard]]`
#[derive(Debug)]
pub(super) struct GuardSpec {
    /// Each a name in wire form.
    pub(super) zones: Key<Vec<Written<Vec<Vec<u8>>>>>,
    pub(super) keep: Key<Duration>,
    pub(super) after: Key<Duration>,
    pub(super) floor: Key<f64>,
}

/// `[dns64]`
#[derive(Debug, Default)]
pub(super) struct Dns64Spec {
    pub(super) prefix: Key<Ipv6Net>,
    pub(super) exclude: Key<Vec<Written<IpNet>>>,
}

/// `[special-names]`
#[derive(Debug, Default)]
pub(super) struct SpecialSpec {
    pub(super) localhost: Key<Answering>,
    pub(super) invalid: Key<Answering>,
    pub(super) test: Key<Answering>,
    pub(super) onion: Key<Answering>,
    pub(super) local: Key<Answering>,
    pub(super) home_arpa: Key<Answering>,
    pub(super) service_arpa: Key<Answering>,
    pub(super) resolver_arpa: Key<Answering>,
    pub(super) ipv4only_arpa: Key<Answering>,
    pub(super) private_reverse: Key<Answering>,
    pub(super) alt: Key<Answering>,
    pub(super) eap_arpa: Key<Answering>,
    pub(super) use_application_dns: Key<Answering>,
}

/// `[routing]`
#[derive(Debug, Default)]
pub(super) struct RoutingSpec {
    pub(super) policy: Key<Policy>,
    pub(super) deadline: Key<Duration>,
    pub(super) return_within: Key<Duration>,
    pub(super) unknown_after: Key<Duration>,
    pub(super) extra_share: Key<f64>,
    pub(super) ceiling: Key<f64>,
    pub(super) randomize_case: Key<bool>,
    pub(super) hedge_min: Key<Duration>,
    pub(super) hedge_max: Key<Duration>,
}

/// `[cache]`
#[derive(Debug, Default)]
pub(super) struct CacheSpec {
    pub(super) size: Key<usize>,
    pub(super) min_ttl: Key<Duration>,
    pub(super) max_ttl: Key<Duration>,
    pub(super) negative_max_ttl: Key<Duration>,
    pub(super) stale_max: Key<Duration>,
    pub(super) stale_ttl: Key<Duration>,
    pub(super) stale_wait: Key<Duration>,
    pub(super) refresh: Key<bool>,
    pub(super) rotate: Key<bool>,
    pub(super) failure_min_ttl: Key<Duration>,
    pub(super) failure_max_ttl: Key<Duration>,
    pub(super) snapshot: Key<SnapshotSpec>,
    pub(super) snapshot_every: Key<Duration>,
}

/// `[recorder]`
#[derive(Debug, Default)]
pub(super) struct RecorderSpec {
    pub(super) enabled: Key<bool>,
    pub(super) path: Key<SnapshotSpec>,
    pub(super) size: Key<usize>,
}

/// `[top]`
#[derive(Debug, Default)]
pub(super) struct TopSpec {
    pub(super) enabled: Key<bool>,
    pub(super) entries: Key<usize>,
    pub(super) window: Key<Duration>,
    pub(super) rate: Key<usize>,
}

/// `[query-log]`
#[derive(Debug, Default)]
pub(super) struct QueryLogSpec {
    pub(super) path: Key<SnapshotSpec>,
    pub(super) socket: Key<SnapshotSpec>,
    pub(super) size: Key<usize>,
}

/// `[cache] snapshot`, `[recorder] path`, `[query-log] path`, `[admin] control`
#[derive(Clone, Debug)]
pub(super) enum SnapshotSpec {
    Off,
    At(PathBuf),
}

/// `[admin] listen`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// Metrics and health are not served.
    Off,
    /// They are served there.
    At(Endpoint),
}

impl AdminListen {
    /// An address and its port, or `off`.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn parse(text: &str) -> Result<AdminListen, address::AddressError> {
        match text {
            "off" => Ok(AdminListen::Off),
            _ => Endpoint::listener(text).map(AdminListen::At),
        }
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminListen::Off => write!(f, "off"),
            AdminListen::At(endpoint) => write!(f, "{endpoint}"),
        }
    }
}

/// `[host]`
#[derive(Debug, Default)]
pub(super) struct HostSpec {
    pub(super) resolv_conf: Key<PathBuf>,
    pub(super) hosts: Key<SnapshotSpec>,
    pub(super) hosts_ttl: Key<Duration>,
    pub(super) link_domains: Key<bool>,
    pub(super) identity: Key<IdentitySpec>,
}

/// `[host] identity`
#[derive(Clone, Debug)]
pub(super) enum IdentitySpec {
    Off,
    Hostname,
    Named(String),
}

/// `[limits]`
#[derive(Debug, Default)]
pub(super) struct LimitsSpec {
    pub(super) questions: Key<usize>,
    pub(super) waiting: Key<usize>,
    pub(super) waiting_per_question: Key<usize>,
    pub(super) waiting_per_client: Key<usize>,
    pub(super) new_names_per_client: Key<usize>,
    pub(super) clients: Key<usize>,
    pub(super) client_ipv4: Key<u8>,
    pub(super) client_ipv6: Key<u8>,
    pub(super) exempt_clients: Key<Vec<Written<IpNet>>>,
    pub(super) udp_answers_per_client: Key<u32>,
    pub(super) slip: Key<u32>,
    pub(super) cookie_secrets: Key<Vec<Written<CookieSecret>>>,
    pub(super) guarded_names: Key<usize>,
    pub(super) queue_patience: Key<Duration>,
    pub(super) attempts_per_route: Key<usize>,
    pub(super) source_ports: Key<Vec<Written<PortRule>>>,
    pub(super) upstream_sockets: Key<usize>,
    pub(super) upstream_connections: Key<usize>,
    pub(super) tcp_connections: Key<usize>,
    pub(super) tcp_connections_per_client: Key<usize>,
    pub(super) tcp_pipeline: Key<usize>,
    pub(super) tcp_answers: Key<usize>,
    pub(super) tcp_buffer: Key<usize>,
    pub(super) tcp_idle: Key<Duration>,
    pub(super) tcp_stall: Key<Duration>,
    pub(super) udp_payload: Key<u16>,
    pub(super) udp_buffer: Key<usize>,
}

impl Spec {
    /// Reads the whole of what one or several files say; what is wrong with it is added to `reports`.
    pub(super) fn read(document: &DeTable<'_>, reports: &mut Vec<Report>) -> Spec {
        Spec::of(Table::top(document, false, reports), true)
    }

    /// Reads one of several files; the `first` of them says its version.
    pub(super) fn read_part(
        document: &DeTable<'_>,
        first: bool,
        reports: &mut Vec<Report>,
    ) -> Spec {
        Spec::of(Table::top(document, true, reports), first)
    }

    fn of(mut t: Table<'_, '_>, first: bool) -> Spec {
        read_version(&mut t, first);
        let (admin, control) = t
            .table("admin", "[admin]", |t| {
                (t.read("listen", admin_listen), t.read("control", control))
            })
            .unwrap_or_default();
        Spec {
            workers: t.read("workers", |it| it.whole(bounds::WORKERS)),
            allow: t.list("allow", prefix),
            listen: t.tables("listen", "[[listen]]", ListenSpec::read),
            certificates: t.tables("certificate", "[[certificate]]", CertificateSpec::read),
            paths: t.tables("path", "[[path]]", PathSpec::read),
            upstreams: t.tables("upstream", "[[upstream]]", UpstreamSpec::read),
            upstreams_replaced: false,
            passed: Vec::new(),
            zones: t.tables("zone", "[[zone]]", ZoneSpec::read),
            records: t.tables("record", "[[record]]", RecordSpec::read),
            guards: t.tables("guard", "[[guard]]", GuardSpec::read),
            dns64: t
                .table("dns64", "[dns64]", |t| Dns64Spec {
                    prefix: t.require("prefix", dns64::prefix),
                    exclude: t.list("exclude", dns64::exclude),
                })
                .unwrap_or_default(),
            special: t
                .table("special-names", "[special-names]", SpecialSpec::read)
                .unwrap_or_default(),
            routing: t
                .table("routing", "[routing]", RoutingSpec::read)
                .unwrap_or_default(),
            cache: t
                .table("cache", "[cache]", CacheSpec::read)
                .unwrap_or_default(),
            recorder: t
                .table("recorder", "[recorder]", RecorderSpec::read)
                .unwrap_or_default(),
            top: t.table("top", "[top]", TopSpec::read).unwrap_or_default(),
            query_log: t
                .table("query-log", "[query-log]", QueryLogSpec::read)
                .unwrap_or_default(),
            admin,
            control,
            host: t
                .table("host", "[host]", HostSpec::read)
                .unwrap_or_default(),
            limits: t
                .table("limits", "[limits]", LimitsSpec::read)
                .unwrap_or_default(),
        }
    }
}

fn read_version(t: &mut Table<'_, '_>, needed: bool) {
    let version = t.read("version", |it| {
        match it.whole(0..=i128::from(u32::MAX))? {
            VERSION => Ok(()),
            _ => Err(it
                .error("unknown version of the format", "expected 1")
                .help("this byway reads no other; a newer one may")),
        }
    });
    if needed && version.is_none() && !t.has("version") {
        let report = Report::error(
            "the file does not say its version",
            &t.place(),
            "expected `version = 1` above the first table",
        );
        t.report(report.help("put `version = 1` on the first line"));
    }
}

const TRANSPORTS: &[(&str, UpstreamTransport)] = &[
    ("udp", UpstreamTransport::Udp),
    ("tcp", UpstreamTransport::Tcp),
    ("tls", UpstreamTransport::Tls),
];

const LISTEN_TRANSPORTS: &[(&str, ListenTransport)] = &[
    ("udp", ListenTransport::Udp),
    ("tcp", ListenTransport::Tcp),
    ("tls", ListenTransport::Tls),
];

impl CertificateSpec {
    fn read(t: &mut Table<'_, '_>) -> CertificateSpec {
        CertificateSpec {
            chain: t.require("chain", |it| pem(it, "a certificate")),
            key: t.require("key", |it| pem(it, "a key")),
        }
    }
}

impl ListenSpec {
    fn read(t: &mut Table<'_, '_>) -> ListenSpec {
        ListenSpec {
            address: t.require("address", |it| {
                endpoint(it, "`\"127.0.0.1:5339\"`", Endpoint::listener)
            }),
            transports: t.list("transports", listen_transport),
        }
    }
}

impl PathSpec {
    fn read(t: &mut Table<'_, '_>) -> PathSpec {
        PathSpec {
            place: t.place(),
            name: t.require("name", name),
            interface: t.read("interface", interface),
            source: match t.is_string("source") {
                true => t.read("source", source).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.list("source", source),
            },
            mark: t.read("mark", mark),
            backup: t.read("backup", Value::flag),
            cost: t.read("cost", |it| it.number(bounds::COST)),
            metered: t.read("metered", Value::flag),
        }
    }
}

impl UpstreamSpec {
    /// An upstream of which nothing is said but its address.
    pub(super) fn at(address: Written<Endpoint>) -> UpstreamSpec {
        UpstreamSpec {
            name: None,
            address: Some(address),
            transport: None,
            encryption: EncryptionSpec::default(),
            paths: None,
            backup: None,
            cost: None,
        }
    }

    fn read(t: &mut Table<'_, '_>) -> UpstreamSpec {
        UpstreamSpec {
            name: t.read("name", name),
            address: t.require("address", |it| {
                endpoint(it, "`\"10.0.0.2\"`", Endpoint::upstream)
            }),
            transport: t.read("transport", transport),
            encryption: EncryptionSpec::read(t),
            paths: t.list("paths", name),
            backup: t.read("backup", Value::flag),
            cost: t.read("cost", |it| it.number(bounds::COST)),
        }
    }
}

impl ZoneSpec {
    fn read(t: &mut Table<'_, '_>) -> ZoneSpec {
        ZoneSpec {
            names: match t.is_string("name") {
                true => t.read("name", zone_name).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.require_list("name", zone_name),
            },
            upstreams: t.list("upstreams", name),
            policy: t.read("policy", |it| it.choice(POLICIES)),
            deadline: t.read("deadline", |it| it.duration(bounds::DEADLINE)),
            stale: t.read("stale", Value::flag),
            filter: t.list("filter", |it| it.choice(FILTERED)),
            private_addresses: t.read("private-addresses", Value::flag),
            min_ttl: t.read("min-ttl", |it| it.ttl(bounds::MIN_TTL)),
            max_ttl: t.read("max-ttl", |it| it.ttl(bounds::MAX_TTL)),
            negative_max_ttl: t.read("negative-max-ttl", |it| it.ttl(bounds::NEGATIVE_MAX_TTL)),
            failure_min_ttl: t.read("failure-min-ttl", |it| it.duration(bounds::FAILURE_MIN_TTL)),
            failure_max_ttl: t.read("failure-max-ttl", |it| it.duration(bounds::FAILURE_MAX_TTL)),
            fall_through: t.read("fall-through", Value::flag),
            subtree_denial: t.read("subtree-denial", Value::flag),
        }
    }
}

impl RecordSpec {
    fn read(t: &mut Table<'_, '_>) -> RecordSpec {
        let data = |it: &Value<'_>| Ok(it.string("data as in a zone file, in quotes")?.to_owned());
        RecordSpec {
            name: t.require("name", record_name),
            record_type: t.require("type", record_type),
            data: match t.is_string("data") {
                true => t.read("data", data).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.require_list("data", data),
            },
            ttl: t.read("ttl", |it| it.ttl(bounds::RECORD_TTL)),
        }
    }
}

impl GuardSpec {
    fn read(t: &mut Table<'_, '_>) -> GuardSpec {
        GuardSpec {
            zones: match t.is_string("zones") {
                true => t.read("zones", zone_name).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.require_list("zones", zone_name),
            },
            keep: t.read("keep", |it| it.duration(bounds::GUARD_KEEP)),
            after: t.read("after", |it| it.duration(bounds::GUARD_AFTER)),
            floor: t.read("floor", |it| it.number(bounds::GUARD_FLOOR)),
        }
    }
}

impl SpecialSpec {
    fn read(t: &mut Table<'_, '_>) -> SpecialSpec {
        const ANSWERING: &[(&str, Answering)] = &[
            ("here", Answering::Here),
            ("forward", Answering::Forward),
            ("auto", Answering::Auto),
        ];
        let mut read = |key| t.read(key, |it| it.choice(ANSWERING));
        SpecialSpec {
            localhost: read("localhost"),
            invalid: read("invalid"),
            test: read("test"),
            onion: read("onion"),
            local: read("local"),
            home_arpa: read("home-arpa"),
            service_arpa: read("service-arpa"),
            resolver_arpa: read("resolver-arpa"),
            ipv4only_arpa: read("ipv4only-arpa"),
            private_reverse: read("private-reverse"),
            alt: read("alt"),
            eap_arpa: read("eap-arpa"),
            use_application_dns: read("use-application-dns"),
        }
    }
}

/// What may be kept from clients: what makes them try a way that does not work here.
const FILTERED: &[(&str, RecordType)] = &[
    ("A", RecordType::A),
    ("AAAA", RecordType::AAAA),
    ("HTTPS", RecordType::HTTPS),
    ("SVCB", RecordType::SVCB),
];

const POLICIES: &[(&str, Policy)] = &[
    ("fastest", Policy::Fastest),
    ("ordered", Policy::Ordered),
    ("spread", Policy::Spread),
];

impl RoutingSpec {
    fn read(t: &mut Table<'_, '_>) -> RoutingSpec {
        RoutingSpec {
            policy: t.read("policy", |it| it.choice(POLICIES)),
            deadline: t.read("deadline", |it| it.duration(bounds::DEADLINE)),
            unknown_after: t.read("unknown-after", |it| it.duration(bounds::UNKNOWN_AFTER)),
            return_within: t.read("return-within", |it| it.duration(bounds::RETURN_WITHIN)),
            extra_share: t.read("extra-share", |it| it.number(bounds::EXTRA_SHARE)),
            ceiling: t.read("ceiling", |it| it.number(bounds::CEILING)),
            randomize_case: t.read("randomize-case", Value::flag),
            hedge_min: t.read("hedge-min", |it| it.duration(bounds::HEDGE_MIN)),
            hedge_max: t.read("hedge-max", |it| it.duration(bounds::HEDGE_MAX)),
        }
    }
}

impl CacheSpec {
    fn read(t: &mut Table<'_, '_>) -> CacheSpec {
        CacheSpec {
            size: t.read("size", |it| it.size(bounds::CACHE_SIZE, true)),
            min_ttl: t.read("min-ttl", |it| it.ttl(bounds::MIN_TTL)),
            max_ttl: t.read("max-ttl", |it| it.ttl(bounds::MAX_TTL)),
            negative_max_ttl: t.read("negative-max-ttl", |it| it.ttl(bounds::NEGATIVE_MAX_TTL)),
            stale_max: t.read("stale-max", |it| it.ttl(bounds::STALE_MAX)),
            stale_ttl: t.read("stale-ttl", |it| it.ttl(bounds::STALE_TTL)),
            stale_wait: t.read("stale-wait", |it| it.duration(bounds::STALE_WAIT)),
            refresh: t.read("refresh", Value::flag),
            rotate: t.read("rotate", Value::flag),
            failure_min_ttl: t.read("failure-min-ttl", |it| it.duration(bounds::FAILURE_MIN_TTL)),
            failure_max_ttl: t.read("failure-max-ttl", |it| it.duration(bounds::FAILURE_MAX_TTL)),
            snapshot: t.read("snapshot", snapshot),
            snapshot_every: t.read("snapshot-every", |it| it.duration(bounds::SNAPSHOT_EVERY)),
        }
    }
}

impl RecorderSpec {
    fn read(t: &mut Table<'_, '_>) -> RecorderSpec {
        RecorderSpec {
            enabled: t.read("enabled", Value::flag),
            path: t.read("path", |it| {
                file(it, "the place of the flight recorder's file")
            }),
            size: t.read("size", |it| it.size(bounds::RECORDER_SIZE, false)),
        }
    }
}

impl TopSpec {
    fn read(t: &mut Table<'_, '_>) -> TopSpec {
        TopSpec {
            enabled: t.read("enabled", Value::flag),
            entries: t.read("entries", |it| it.count(bounds::TOP_ENTRIES)),
            window: t.read("window", |it| it.duration(bounds::TOP_WINDOW)),
            rate: t.read("rate", |it| it.count(bounds::TOP_RATE)),
        }
    }
}

impl QueryLogSpec {
    fn read(t: &mut Table<'_, '_>) -> QueryLogSpec {
        QueryLogSpec {
            path: t.read("path", |it| file(it, "the place of the query log")),
            socket: t.read("socket", |it| {
                file(it, "the socket of who reads the query log")
            }),
            size: t.read("size", |it| it.size(bounds::QUERY_LOG_SIZE, false)),
        }
    }
}

impl LimitsSpec {
    fn read(t: &mut Table<'_, '_>) -> LimitsSpec {
        LimitsSpec {
            questions: t.read("questions", |it| it.count(bounds::QUESTIONS)),
            waiting: t.read("waiting", |it| it.count(bounds::WAITING)),
            waiting_per_question: t.read("waiting-per-question", |it| {
                it.count(bounds::WAITING_PER_QUESTION)
            }),
            waiting_per_client: t.read("waiting-per-client", |it| {
                it.count(bounds::WAITING_PER_CLIENT)
            }),
            new_names_per_client: t.read("new-names-per-client", |it| {
                it.count(bounds::NEW_NAMES_PER_CLIENT)
            }),
            clients: t.read("clients", |it| it.count(bounds::CLIENTS)),
            client_ipv4: t.read("client-ipv4", |it| it.count(bounds::CLIENT_IPV4)),
            client_ipv6: t.read("client-ipv6", |it| it.count(bounds::CLIENT_IPV6)),
            exempt_clients: t.list("exempt-clients", prefix),
            udp_answers_per_client: t.read("udp-answers-per-client", |it| {
                it.count(bounds::UDP_ANSWERS_PER_CLIENT)
            }),
            slip: t.read("slip", |it| it.count(bounds::SLIP)),
            cookie_secrets: t.list("cookie-secrets", cookie_secret),
            guarded_names: t.read("guarded-names", |it| it.count(bounds::GUARDED_NAMES)),
            queue_patience: t.read("queue-patience", |it| it.duration(bounds::QUEUE_PATIENCE)),
            attempts_per_route: t.read("attempts-per-route", |it| {
                it.count(bounds::ATTEMPTS_PER_ROUTE)
            }),
            source_ports: match t.is_string("source-ports") {
                true => t.read("source-ports", port_rule).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.list("source-ports", port_rule),
            },
            upstream_sockets: t.read("upstream-sockets", |it| it.count(bounds::UPSTREAM_SOCKETS)),
            upstream_connections: t.read("upstream-connections", |it| {
                it.count(bounds::UPSTREAM_CONNECTIONS)
            }),
            tcp_connections: t.read("tcp-connections", |it| it.count(bounds::TCP_CONNECTIONS)),
            tcp_connections_per_client: t.read("tcp-connections-per-client", |it| {
                it.count(bounds::TCP_CONNECTIONS_PER_CLIENT)
            }),
            tcp_pipeline: t.read("tcp-pipeline", |it| it.count(bounds::TCP_PIPELINE)),
            tcp_answers: t.read("tcp-answers", |it| it.size(bounds::TCP_ANSWERS, false)),
            tcp_buffer: t.read("tcp-buffer", |it| it.size(bounds::TCP_BUFFER, false)),
            tcp_idle: t.read("tcp-idle", |it| it.duration(bounds::TCP_IDLE)),
            tcp_stall: t.read("tcp-stall", |it| it.duration(bounds::TCP_STALL)),
            udp_payload: t.read("udp-payload", |it| it.count(bounds::UDP_PAYLOAD)),
            udp_buffer: t.read("udp-buffer", |it| it.size(bounds::UDP_BUFFER, false)),
        }
    }
}

fn endpoint(
    value: &Value<'_>,
    example: &str,
    parse: fn(&str) -> Result<Endpoint, address::AddressError>,
) -> Read<Endpoint> {
    let text = value.string(&format!("an address in quotes, such as {example}"))?;
    parse(text).map_err(|error| bad_address(value, text, &error))
}

fn bad_address(value: &Value<'_>, text: &str, error: &address::AddressError) -> Report {
    let message = format!("{} cannot be used as an address here", quoted(text));
    value
        .error(message, error.to_string())
        .maybe_help(error.help(text))
}

/// How an upstream is spoken to.
fn transport(value: &Value<'_>) -> Read<UpstreamTransport> {
    value
        .choice(TRANSPORTS)
        .map_err(|report| match value.string("") {
            Ok("dot") => report.help("DNS over TLS is `\"tls\"`"),
            Ok("https" | "doh" | "quic" | "doq") => {
                report.help("of the encrypted ones byway speaks TLS alone")
            }
            _ => report,
        })
}

/// How clients speak to a listener.
fn listen_transport(value: &Value<'_>) -> Read<ListenTransport> {
    value
        .choice(LISTEN_TRANSPORTS)
        .map_err(|report| match value.string("") {
            Ok("dot") => report.help("DNS over TLS is `\"tls\"`"),
            Ok("https" | "doh" | "quic" | "doq") => {
                report.help("of the encrypted ones byway speaks TLS alone")
            }
            _ => report,
        })
}

/// A path's or an upstream's name. They stand in logs, labels and `dc1@eth1`, so what would have to be quoted
/// there is refused.
fn name(value: &Value<'_>) -> Read<String> {
    const MOST: usize = 63;
    let text = value.string("a name in quotes")?;
    let expected = match text.chars().find(|c| !fit_for_names(*c)) {
        None if text.is_empty() => "expected a name".to_owned(),
        None if text.len() > MOST => format!("expected at most {MOST} characters"),
        None => return Ok(text.to_owned()),
        Some('@') => "`@` stands between upstream and path in the names of routes".to_owned(),
        Some(_) => "expected letters, digits and any of `. _ - : %`".to_owned(),
    };
    Err(value.error(format!("{} cannot be a name", quoted(text)), expected))
}

fn fit_for_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-:%".contains(c)
}

/// An interface's name, as far as the kernel would take it (IFNAMSIZ, dev_valid_name). Whether it is there is
/// seen when it is used: interfaces come and go.
fn interface(value: &Value<'_>) -> Read<String> {
    const MOST: usize = 15;
    let text = value.string("an interface's name in quotes")?;
    let fit = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    if text.is_empty() || text.len() > MOST || text == "." || text == ".." || !text.chars().all(fit)
    {
        let message = format!("{} cannot be an interface", quoted(text));
        let label = format!("expected 1 to {MOST} bytes without spaces, `/` or `:`");
        return Err(value.error(message, label));
    }
    Ok(text.to_owned())
}

fn source(value: &Value<'_>) -> Read<IpAddr> {
    let text = value.string("an address in quotes, such as `\"192.0.2.1\"`")?;
    let refused = |error: address::AddressError| bad_address(value, text, &error);
    let ip: IpAddr = match text.parse() {
        Ok(ip) => ip,
        Err(_) if text.contains('/') => {
            let help = "a source is one address, without the length of its prefix";
            return Err(refused(address::AddressError::NotAnAddress).help(help));
        }
        Err(_) => return Err(refused(address::AddressError::NotAnAddress)),
    };
    address::check_host(ip).map_err(refused)?;
    if address::check_zone(ip, None).is_err() {
        let message = format!("{} cannot be a source by itself", quoted(text));
        let label = "a link-local address means something on its interface only";
        return Err(value
            .error(message, label)
            .help("leave `source` out and write `interface`"));
    }
    Ok(ip)
}

fn mark(value: &Value<'_>) -> Read<u32> {
    let Ok(text) = value.string("") else {
        return value
            .whole(bounds::MARK)
            .map_err(|report| report.or_help("leave `mark` out to send without one"));
    };
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let number = match digits.starts_with(['+', '-']) {
        false => u32::from_str_radix(digits, radix).ok(),
        true => None,
    };
    number
        .filter(|it| bounds::MARK.contains(it))
        .ok_or_else(|| {
            value.error(
                format!("{} is not a firewall mark", quoted(text)),
                "expected 1 to 4294967295, or `\"0x1\"` to `\"0xffffffff\"`",
            )
        })
}

fn cookie_secret(value: &Value<'_>) -> Read<CookieSecret> {
    let text = value.string("32 hexadecimal digits in quotes")?;
    let secret = (text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten();
    match secret {
        Some(secret) => Ok(secret.to_be_bytes()),
        // Not quoted: what is nearly a secret may be one.
        None => Err(value
            .error(
                "this is no secret for cookies",
                format!(
                    "expected 32 hexadecimal digits, found {} characters",
                    text.chars().count()
                ),
            )
            .help("`openssl rand -hex 16` makes one")),
    }
}

fn prefix(value: &Value<'_>) -> Read<IpNet> {
    let text = value.string("a prefix in quotes, such as `\"10.0.0.0/8\"`")?;
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(ip)) => IpNet::from(ip),
        _ => {
            let message = format!("{} is not a prefix", quoted(text));
            let label = "expected an address, or a prefix such as `10.0.0.0/8`";
            let report = value.error(message, label);
            return Err(match text {
                "any" | "all" | "*" => report.help("everybody is `0.0.0.0/0` and `::/0`"),
                _ => report,
            });
        }
    };
    if net.trunc() != net {
        let message = format!("{} has bits set beyond its length", quoted(text));
        let label = format!("expected zeros after the first {} bits", net.prefix_len());
        let help = format!("did you mean `{}` or `{}`?", net.trunc(), net.addr());
        return Err(value.error(message, label).help(help));
    }
    Ok(net)
}

fn admin_listen(value: &Value<'_>) -> Read<AdminListen> {
    let example = "an address in quotes, such as `\"127.0.0.1:19153\"`, or `\"off\"`";
    let text = value.string(example)?;
    AdminListen::parse(text).map_err(|error| bad_address(value, text, &error))
}

impl HostSpec {
    fn read(t: &mut Table<'_, '_>) -> HostSpec {
        HostSpec {
            resolv_conf: t.read("resolv-conf", resolv_conf),
            hosts: t.read("hosts", |it| file(it, "the host's file of names")),
            hosts_ttl: t.read("hosts-ttl", |it| it.ttl(bounds::HOSTS_TTL)),
            link_domains: t.read("link-domains", Value::flag),
            identity: t.read("identity", identity),
        }
    }
}

fn identity(value: &Value<'_>) -> Read<IdentitySpec> {
    let text = value.string("a name in quotes, `\"hostname\"` or `\"off\"`")?;
    match text {
        "off" => Ok(IdentitySpec::Off),
        "hostname" => Ok(IdentitySpec::Hostname),
        _ if (1..=MOST_IDENTITY).contains(&text.len())
            && text.bytes().all(|it| (b' '..=b'~').contains(&it)) =>
        {
            Ok(IdentitySpec::Named(text.to_owned()))
        }
        _ => {
            let message = format!("{} cannot be told to clients", quoted(text));
            Err(value.error(message, "expected 1 to 255 printable characters of ASCII"))
        }
    }
}

fn resolv_conf(value: &Value<'_>) -> Read<PathBuf> {
    let text = value.string("the path of a file in quotes")?;
    absolute(text).ok_or_else(|| {
        let message = format!("{} cannot be the place of a resolv.conf", quoted(text));
        value.error(message, "expected the absolute path of a file")
    })
}

/// The path of a file that means the same wherever byway was started.
pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    (path.is_absolute() && !text.ends_with('/') && !text.contains('\0')).then_some(path)
}

fn snapshot(value: &Value<'_>) -> Read<SnapshotSpec> {
    file(value, "the snapshot's place")
}

fn control(value: &Value<'_>) -> Read<SnapshotSpec> {
    file(value, "the control socket's place")
}

fn file(value: &Value<'_>, what: &str) -> Read<SnapshotSpec> {
    let text = value.string("the path of a file in quotes, or `\"off\"`")?;
    if text == "off" {
        return Ok(SnapshotSpec::Off);
    }
    absolute(text).map(SnapshotSpec::At).ok_or_else(|| {
        let message = format!("{} cannot be {what}", quoted(text));
        value.error(message, "expected the absolute path of a file, or `off`")
    })
}

fn port_rule(value: &Value<'_>) -> Read<PortRule> {
    let text = value.string("ports in quotes, such as `\"1024-65535\"`")?;
    text.parse().map_err(|()| {
        let message = format!("{} are no ports", quoted(text));
        let label = "expected a port or `first-last`, 1 to 65535, with `!` in front to avoid them";
        value.error(message, label)
    })
}
