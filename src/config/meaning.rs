//! From the file as written to the configuration as meant: defaults, names, and what no single key can
//! get wrong by itself.
//!
//! Everything that is wrong is reported in one go. What depends on a part that is itself wrong is not
//! checked, so that one slip gives one error.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::address::Endpoint;
use super::host::Host;
use super::paths::Paths;
use super::report::{Place, Report, Severity, Written, quoted};
use super::spec::{AdminSpec, Key, ListenSpec, SnapshotSpec, Spec, UpstreamSpec};
use super::units::format_duration;
use super::{
    CacheConfig, Config, DNS_PORT, Limits, Listen, Routing, UpstreamConfig, UpstreamTransport,
    address_name, allowed_by_default, bounds, system,
};

/// Makes the configuration of `spec`. `None` if `reports` holds an error, from here or from before.
pub(super) fn config(spec: &Spec, host: &Host, reports: &mut Vec<Report>) -> Option<Config> {
    let whole = !any_error(reports);
    let listen = listeners(&spec.listen, host, reports);
    let admin = admin(spec, &listen, host, reports);
    let mut paths = Paths::read(&spec.paths, whole, reports);
    let routing = routing(spec);
    let cache = cache(spec, host);
    let limits = limits(spec);
    let allow = allow(spec, &listen, reports);
    if whole {
        // A value that could not be read would be judged by its default here.
        check_order(spec, &routing, &cache, &limits, reports);
    }
    let upstreams = if !spec.upstreams.is_empty() {
        let upstreams = upstreams(&spec.upstreams, &mut paths, &listen, host, reports);
        if !spec.upstreams_replaced {
            paths.note_idle(&upstreams, reports);
        }
        upstreams
    } else if any_error(reports) {
        // What resolv.conf would give depends on listeners that may be wrong.
        Vec::new()
    } else {
        let default = paths.kernels_choice();
        let mut upstreams = system::upstreams(host, &listen, reports);
        upstreams.iter_mut().for_each(|it| it.paths = vec![default]);
        paths.note_idle(&upstreams, reports);
        upstreams
    };
    if any_error(reports) {
        return None;
    }
    Some(Config {
        workers: value_or(&spec.workers, host.cores),
        listen,
        paths: paths.finish(),
        upstreams,
        routing,
        cache,
        admin,
        limits,
        allow,
    })
}

fn any_error(reports: &[Report]) -> bool {
    reports.iter().any(|it| it.severity() == Severity::Error)
}

fn value_or<T: Clone>(key: &Key<T>, default: T) -> T {
    key.as_ref().map_or(default, |it| it.value.clone())
}

/// Reports what is written more than once. Returns false then.
pub(super) fn first_time<'a, K: Eq + std::hash::Hash>(
    seen: &mut HashMap<K, &'a Place>,
    key: K,
    place: &'a Place,
    message: impl FnOnce() -> String,
    reports: &mut Vec<Report>,
) -> bool {
    match seen.get(&key) {
        None => {
            seen.insert(key, place);
            true
        }
        Some(first) => {
            let report = Report::error(message(), place, "given a second time");
            reports.push(report.related(first, "it is given first here"));
            false
        }
    }
}

/// At most `most` of `all`; the rest is reported, not read.
pub(super) fn at_most<'a, T>(
    all: &'a [T],
    most: usize,
    what: &str,
    place: impl Fn(&'a T) -> Option<&'a Place>,
    reports: &mut Vec<Report>,
) -> &'a [T] {
    let Some(beyond) = all.get(most) else {
        return all;
    };
    let nowhere = Place::Whole(what.to_owned());
    reports.push(Report::error(
        format!("{} {what} are too many", all.len()),
        place(beyond).unwrap_or(&nowhere),
        format!("expected at most {most}; this is the first beyond them"),
    ));
    &all[..most]
}

/// The socket address of an endpoint, or a report that its interface is not there.
fn resolve(
    endpoint: &Written<Endpoint>,
    default_port: u16,
    host: &Host,
    reports: &mut Vec<Report>,
) -> Option<SocketAddr> {
    match endpoint.value.resolve(default_port, host) {
        Ok(address) => Some(address),
        Err(error) => {
            let message = format!(
                "{} cannot be used here",
                quoted(&endpoint.value.to_string())
            );
            reports.push(Report::error(message, &endpoint.place, error.to_string()));
            None
        }
    }
}

fn listeners(written: &[ListenSpec], host: &Host, reports: &mut Vec<Report>) -> Vec<Listen> {
    if written.is_empty() {
        return vec![Listen::default()];
    }
    let written = at_most(
        written,
        bounds::MOST_LISTENERS,
        "listeners",
        |it| it.address.as_ref().map(|it| &it.place),
        reports,
    );
    let mut seen = HashMap::new();
    let mut listeners = Vec::new();
    for it in written {
        let (udp, tcp) = transports(it, reports);
        let Some(endpoint) = &it.address else {
            continue;
        };
        let Some(address) = resolve(endpoint, DNS_PORT, host, reports) else {
            continue;
        };
        let message = || format!("two listeners on {address}");
        // Port 0 is another port each time.
        let fresh = address.port() == 0
            || [(udp, "udp"), (tcp, "tcp")]
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .all(|(_, name)| {
                    first_time(
                        &mut seen,
                        (address, name),
                        &endpoint.place,
                        message,
                        reports,
                    )
                });
        if fresh {
            listeners.push(Listen { address, udp, tcp });
        }
    }
    listeners
}

/// Whether UDP and TCP are wanted.
fn transports(listen: &ListenSpec, reports: &mut Vec<Report>) -> (bool, bool) {
    let Some(written) = &listen.transports else {
        return (true, true);
    };
    let mut seen = HashMap::new();
    for it in &written.value {
        let message = || "a transport is named twice".to_owned();
        first_time(&mut seen, it.value, &it.place, message, reports);
    }
    if written.value.is_empty() {
        let label = "expected `\"udp\"`, `\"tcp\"` or both";
        let report = Report::error("a listener without a transport", &written.place, label);
        reports.push(report.help("leave `transports` out for both"));
    }
    (
        seen.contains_key(&UpstreamTransport::Udp),
        seen.contains_key(&UpstreamTransport::Tcp),
    )
}

fn admin(
    spec: &Spec,
    listen: &[Listen],
    host: &Host,
    reports: &mut Vec<Report>,
) -> Option<SocketAddr> {
    let Some(written) = &spec.admin else {
        return Some(bounds::ADMIN);
    };
    let AdminSpec::At(endpoint) = &written.value else {
        return None;
    };
    let endpoint = Written {
        value: endpoint.clone(),
        place: written.place.clone(),
    };
    let address = resolve(&endpoint, bounds::ADMIN.port(), host, reports)?;
    let taken = |it: &&Listen| {
        let (a, b) = (it.address.ip(), address.ip());
        let same = a == b || a.is_unspecified() || b.is_unspecified();
        it.tcp && same && address.port() != 0 && it.address.port() == address.port()
    };
    if let Some(listener) = listen.iter().find(taken) {
        let label = format!("the listener on {} takes this port", listener.address);
        let message = "the admin endpoint needs a port of its own";
        reports.push(Report::error(message, &endpoint.place, label));
    }
    Some(address)
}

fn upstreams(
    written: &[UpstreamSpec],
    paths: &mut Paths<'_>,
    listen: &[Listen],
    host: &Host,
    reports: &mut Vec<Report>,
) -> Vec<UpstreamConfig> {
    let written = at_most(
        written,
        bounds::MOST_UPSTREAMS,
        "upstreams",
        |it| it.address.as_ref().map(|it| &it.place),
        reports,
    );
    let mut names = HashMap::new();
    let mut routes = HashMap::new();
    let mut upstreams = Vec::new();
    for it in written {
        let used = paths.of(it, reports);
        let Some(endpoint) = &it.address else {
            continue;
        };
        let Some(address) = resolve(endpoint, DNS_PORT, host, reports) else {
            continue;
        };
        if system::is_itself(address, listen, host) {
            let message = format!("upstream {address} is byway itself");
            let label = "a question sent there would come back for ever";
            reports.push(Report::error(message, &endpoint.place, label));
        }
        let name = match &it.name {
            Some(name) => name.value.clone(),
            None if endpoint.value.zone.is_some() => endpoint.value.to_string(),
            None => address_name(address),
        };
        let place = it.name.as_ref().map_or(&endpoint.place, |it| &it.place);
        let message = || format!("two upstreams are named `{name}`");
        first_time(&mut names, name.clone(), place, message, reports);
        let transport = value_or(&it.transport, UpstreamTransport::Udp);
        for (path, place) in &used {
            let place = place.unwrap_or(&endpoint.place);
            let message = || format!("{address} is asked twice over `{}`", paths.name(*path));
            first_time(
                &mut routes,
                (address, transport, *path),
                place,
                message,
                reports,
            );
            paths.check_family(*path, address.ip(), place, reports);
        }
        upstreams.push(UpstreamConfig {
            name,
            address,
            transport,
            paths: used.into_iter().map(|(path, _)| path).collect(),
            backup: value_or(&it.backup, false),
            cost: value_or(&it.cost, bounds::COST.default),
        });
    }
    upstreams
}

fn routing(spec: &Spec) -> Routing {
    let (written, default) = (&spec.routing, Routing::default());
    Routing {
        policy: value_or(&written.policy, default.policy),
        deadline: value_or(&written.deadline, default.deadline),
        return_within: value_or(&written.return_within, default.return_within),
        extra_share: value_or(&written.extra_share, default.extra_share),
        ceiling: value_or(&written.ceiling, default.ceiling),
        randomize_case: value_or(&written.randomize_case, default.randomize_case),
        hedge_min: value_or(&written.hedge_min, default.hedge_min),
        hedge_max: value_or(&written.hedge_max, default.hedge_max),
    }
}

fn cache(spec: &Spec, host: &Host) -> CacheConfig {
    let (written, default) = (&spec.cache, CacheConfig::default());
    let size = value_or(&written.size, default.size);
    let max_ttl = value_or(&written.max_ttl, default.max_ttl);
    let snapshot = match written.snapshot.as_ref().map(|it| &it.value) {
        Some(SnapshotSpec::Off) => None,
        Some(SnapshotSpec::At(path)) => Some(path.clone()),
        None => host
            .state_directory
            .as_ref()
            .map(|it| it.join("cache.snapshot")),
    };
    CacheConfig {
        size,
        min_ttl: value_or(&written.min_ttl, default.min_ttl),
        max_ttl,
        negative_max_ttl: value_or(
            &written.negative_max_ttl,
            default.negative_max_ttl.min(max_ttl),
        ),
        stale_max: value_or(&written.stale_max, default.stale_max),
        stale_ttl: value_or(&written.stale_ttl, default.stale_ttl),
        stale_wait: value_or(&written.stale_wait, default.stale_wait),
        refresh: value_or(&written.refresh, default.refresh),
        failure_min_ttl: value_or(&written.failure_min_ttl, default.failure_min_ttl),
        failure_max_ttl: value_or(&written.failure_max_ttl, default.failure_max_ttl),
        snapshot,
        snapshot_every: value_or(&written.snapshot_every, default.snapshot_every),
    }
}

fn limits(spec: &Spec) -> Limits {
    let (written, default) = (&spec.limits, Limits::default());
    let tcp_connections = value_or(&written.tcp_connections, default.tcp_connections);
    Limits {
        questions: value_or(&written.questions, default.questions),
        waiting: value_or(&written.waiting, default.waiting),
        queue_patience: value_or(&written.queue_patience, default.queue_patience),
        attempts_per_route: value_or(&written.attempts_per_route, default.attempts_per_route),
        upstream_sockets: value_or(&written.upstream_sockets, default.upstream_sockets),
        upstream_connections: value_or(&written.upstream_connections, default.upstream_connections),
        tcp_connections,
        tcp_connections_per_client: value_or(
            &written.tcp_connections_per_client,
            default.tcp_connections_per_client.min(tcp_connections),
        ),
        tcp_pipeline: value_or(&written.tcp_pipeline, default.tcp_pipeline),
        tcp_idle: value_or(&written.tcp_idle, default.tcp_idle),
        tcp_stall: value_or(&written.tcp_stall, default.tcp_stall),
        udp_payload: value_or(&written.udp_payload, default.udp_payload),
        udp_buffer: value_or(&written.udp_buffer, default.udp_buffer),
    }
}

fn allow(spec: &Spec, listen: &[Listen], reports: &mut Vec<Report>) -> Vec<IpNet> {
    let Some(written) = &spec.allow else {
        return allowed_by_default(listen);
    };
    if written.value.is_empty() {
        let message = "nobody may ask";
        let label = "expected at least one prefix";
        let report = Report::error(message, &written.place, label);
        reports.push(report.help("leave `allow` out for this host and its private networks"));
    }
    let reachable = listen.iter().any(|it| !it.address.ip().is_loopback());
    let everybody = written.value.iter().find(|it| it.value.prefix_len() == 0);
    if let (true, Some(everybody)) = (reachable, everybody) {
        let message = "everybody who can reach byway may ask it";
        let label = "an open resolver is used to attack others (RFC 5358)";
        let report = Report::warning(message, &everybody.place, label);
        reports.push(
            report.help("name the networks of your clients, or see to it that a firewall does"),
        );
    }
    written.value.iter().map(|it| it.value).collect()
}

/// Checks the pairs of settings that must not cross.
fn check_order(
    spec: &Spec,
    routing: &Routing,
    cache: &CacheConfig,
    limits: &Limits,
    reports: &mut Vec<Report>,
) {
    let (r, c, l) = (&spec.routing, &spec.cache, &spec.limits);
    let mut order = |low: Setting<'_, Duration>, high: Setting<'_, Duration>| {
        not_above(low, high, |it| format_duration(*it), reports);
    };
    let deadline = || setting("deadline", &r.deadline, &routing.deadline);
    let hedge_max = || setting("hedge-max", &r.hedge_max, &routing.hedge_max);
    let max_ttl = || setting("max-ttl", &c.max_ttl, &cache.max_ttl);
    order(
        setting("hedge-min", &r.hedge_min, &routing.hedge_min),
        hedge_max(),
    );
    order(hedge_max(), deadline());
    order(
        setting("stale-wait", &c.stale_wait, &cache.stale_wait),
        deadline(),
    );
    order(
        setting("queue-patience", &l.queue_patience, &limits.queue_patience),
        deadline(),
    );
    order(setting("min-ttl", &c.min_ttl, &cache.min_ttl), max_ttl());
    order(
        setting(
            "negative-max-ttl",
            &c.negative_max_ttl,
            &cache.negative_max_ttl,
        ),
        max_ttl(),
    );
    order(
        setting(
            "failure-min-ttl",
            &c.failure_min_ttl,
            &cache.failure_min_ttl,
        ),
        setting(
            "failure-max-ttl",
            &c.failure_max_ttl,
            &cache.failure_max_ttl,
        ),
    );
    not_above(
        setting(
            "tcp-connections-per-client",
            &l.tcp_connections_per_client,
            &limits.tcp_connections_per_client,
        ),
        setting(
            "tcp-connections",
            &l.tcp_connections,
            &limits.tcp_connections,
        ),
        usize::to_string,
        reports,
    );
}

/// A key with what was written for it and what holds.
struct Setting<'a, T> {
    key: &'static str,
    written: &'a Key<T>,
    value: &'a T,
}

fn setting<'a, T>(key: &'static str, written: &'a Key<T>, value: &'a T) -> Setting<'a, T> {
    Setting {
        key,
        written,
        value,
    }
}

fn not_above<T: PartialOrd>(
    low: Setting<'_, T>,
    high: Setting<'_, T>,
    show: impl Fn(&T) -> String,
    reports: &mut Vec<Report>,
) {
    if low.value <= high.value {
        return;
    }
    let message = format!("`{}` is above `{}`", low.key, high.key);
    let report = match (low.written, high.written) {
        (Some(written), Some(other)) => {
            let label = format!("expected at most {}", show(high.value));
            Report::error(message, &written.place, label)
                .related(&other.place, format!("`{}` is given here", high.key))
        }
        (Some(written), None) => {
            let label = format!(
                "expected at most {}, the default of `{}`",
                show(high.value),
                high.key
            );
            Report::error(message, &written.place, label)
        }
        (None, Some(written)) => {
            let label = format!(
                "expected at least {}, the default of `{}`",
                show(low.value),
                low.key
            );
            Report::error(message, &written.place, label)
        }
        // Two defaults do not cross.
        (None, None) => return,
    };
    reports.push(report);
}
