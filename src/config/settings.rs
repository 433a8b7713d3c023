//! `[routing]`, `[cache]` and `[limits]` with their defaults filled in, and the pairs of them that must not
//! cross.

use std::time::Duration;

use super::QueryLogConfig;
use super::host::{Host, RECORDER_FILE};
use super::meaning::value_or;
use super::report::{Report, Written};
use super::spec::{Key, SnapshotSpec, Spec};
use super::units::format_duration;
use super::{
    CacheConfig, Limits, PortRule, RecorderConfig, Routing, SourcePorts, SpecialNames, TopConfig,
};

pub(super) fn special(spec: &Spec) -> SpecialNames {
    let (written, default) = (&spec.special, SpecialNames::default());
    SpecialNames {
        localhost: value_or(&written.localhost, default.localhost),
        invalid: value_or(&written.invalid, default.invalid),
        test: value_or(&written.test, default.test),
        onion: value_or(&written.onion, default.onion),
        local: value_or(&written.local, default.local),
        home_arpa: value_or(&written.home_arpa, default.home_arpa),
        resolver_arpa: value_or(&written.resolver_arpa, default.resolver_arpa),
        ipv4only_arpa: value_or(&written.ipv4only_arpa, default.ipv4only_arpa),
        private_reverse: value_or(&written.private_reverse, default.private_reverse),
        service_arpa: value_or(&written.service_arpa, default.service_arpa),
        alt: value_or(&written.alt, default.alt),
        eap_arpa: value_or(&written.eap_arpa, default.eap_arpa),
        use_application_dns: value_or(&written.use_application_dns, default.use_application_dns),
    }
}

pub(super) fn routing(spec: &Spec) -> Routing {
    let (written, default) = (&spec.routing, Routing::default());
    Routing {
        policy: value_or(&written.policy, default.policy),
        deadline: value_or(&written.deadline, default.deadline),
        return_within: value_or(&written.return_within, default.return_within),
        unknown_after: value_or(&written.unknown_after, default.unknown_after),
        extra_share: value_or(&written.extra_share, default.extra_share),
        ceiling: value_or(&written.ceiling, default.ceiling),
        randomize_case: value_or(&written.randomize_case, default.randomize_case),
        hedge_min: value_or(&written.hedge_min, default.hedge_min),
        hedge_max: value_or(&written.hedge_max, default.hedge_max),
    }
}

pub(super) fn cache(spec: &Spec, host: &Host) -> CacheConfig {
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
        rotate: value_or(&written.rotate, default.rotate),
        failure_min_ttl: value_or(&written.failure_min_ttl, default.failure_min_ttl),
        failure_max_ttl: value_or(&written.failure_max_ttl, default.failure_max_ttl),
        snapshot,
        snapshot_every: value_or(&written.snapshot_every, default.snapshot_every),
    }
}

pub(super) fn recorder(spec: &Spec, host: &Host) -> RecorderConfig {
    let (written, default) = (&spec.recorder, RecorderConfig::default());
    let path = match written.path.as_ref().map(|it| &it.value) {
        Some(SnapshotSpec::Off) => None,
        Some(SnapshotSpec::At(path)) => Some(path.clone()),
        None => host
            .state_directory
            .as_ref()
            .map(|it| it.join(RECORDER_FILE)),
    };
    RecorderConfig {
        enabled: value_or(&written.enabled, default.enabled),
        path,
        size: value_or(&written.size, default.size),
    }
}

pub(super) fn top(spec: &Spec) -> TopConfig {
    let (written, default) = (&spec.top, TopConfig::default());
    TopConfig {
        enabled: value_or(&written.enabled, default.enabled),
        entries: value_or(&written.entries, default.entries),
        window: value_or(&written.window, default.window),
        rate: value_or(&written.rate, default.rate),
    }
}

pub(super) fn query_log(spec: &Spec, reports: &mut Vec<Report>) -> QueryLogConfig {
    let (written, default) = (&spec.query_log, QueryLogConfig::default());
    let at = |key: &Key<SnapshotSpec>| match key.as_ref().map(|it| &it.value) {
        Some(SnapshotSpec::At(path)) => Some(path.clone()),
        Some(SnapshotSpec::Off) | None => None,
    };
    let (path, socket) = (at(&written.path), at(&written.socket));
    if let (Some(_), Some(_), Some(place)) = (&path, &socket, &written.socket) {
        let label = "a file is given too, and the log goes to one place";
        let report = Report::error("two places for the query log", &place.place, label);
        reports.push(report.help("leave `path` or `socket` out"));
    }
    QueryLogConfig {
        path,
        socket,
        size: value_or(&written.size, default.size),
    }
}

pub(super) fn limits(spec: &Spec, reports: &mut Vec<Report>) -> Limits {
    let (written, default) = (&spec.limits, Limits::default());
    let tcp_connections = value_or(&written.tcp_connections, default.tcp_connections);
    Limits {
        questions: value_or(&written.questions, default.questions),
        waiting: value_or(&written.waiting, default.waiting),
        waiting_per_question: value_or(&written.waiting_per_question, default.waiting_per_question),
        waiting_per_client: value_or(&written.waiting_per_client, default.waiting_per_client),
        new_names_per_client: value_or(&written.new_names_per_client, default.new_names_per_client),
        clients: value_or(&written.clients, default.clients),
        client_ipv4: value_or(&written.client_ipv4, default.client_ipv4),
        client_ipv6: value_or(&written.client_ipv6, default.client_ipv6),
        udp_answers_per_client: value_or(
            &written.udp_answers_per_client,
            default.udp_answers_per_client,
        ),
        slip: value_or(&written.slip, default.slip),
        cookie_secrets: match &written.cookie_secrets {
            Some(written) => written.value.iter().map(|it| it.value).collect(),
            None => default.cookie_secrets,
        },
        exempt_clients: match &written.exempt_clients {
            Some(written) => written.value.iter().map(|it| it.value).collect(),
            None => default.exempt_clients,
        },
        guarded_names: value_or(&written.guarded_names, default.guarded_names),
        queue_patience: value_or(&written.queue_patience, default.queue_patience),
        attempts_per_route: value_or(&written.attempts_per_route, default.attempts_per_route),
        source_ports: source_ports(&written.source_ports, reports),
        upstream_sockets: value_or(&written.upstream_sockets, default.upstream_sockets),
        upstream_connections: value_or(&written.upstream_connections, default.upstream_connections),
        tcp_connections,
        tcp_connections_per_client: value_or(
            &written.tcp_connections_per_client,
            default.tcp_connections_per_client.min(tcp_connections),
        ),
        tcp_pipeline: value_or(&written.tcp_pipeline, default.tcp_pipeline),
        tcp_answers: value_or(&written.tcp_answers, default.tcp_answers),
        tcp_buffer: value_or(&written.tcp_buffer, default.tcp_buffer),
        tcp_idle: value_or(&written.tcp_idle, default.tcp_idle),
        tcp_stall: value_or(&written.tcp_stall, default.tcp_stall),
        udp_payload: value_or(&written.udp_payload, default.udp_payload),
        udp_buffer: value_or(&written.udp_buffer, default.udp_buffer),
    }
}

/// Under so many ports a forger is a good deal likelier to guess right: four bits of sixteen are lost.
const FEW_PORTS: u32 = 4096;

fn source_ports(written: &Key<Vec<Written<PortRule>>>, reports: &mut Vec<Report>) -> SourcePorts {
    let Some(written) = written else {
        return SourcePorts::default();
    };
    let rules: Vec<PortRule> = written.value.iter().map(|it| it.value).collect();
    let ports = SourcePorts::of(&rules).filter(|_| !rules.is_empty());
    let Some(ports) = ports else {
        let label = "expected at least one port that is not avoided";
        let report = Report::error("no source port is left", &written.place, label);
        reports.push(report.help("leave `source-ports` out for all that need no privilege"));
        return SourcePorts::default();
    };
    if ports.count() < FEW_PORTS {
        let message = format!("only {} source ports", ports.count());
        let label = "a forger has to guess the port of each question (RFC 5452)";
        let report = Report::warning(message, &written.place, label);
        reports.push(report.help("allow more of them, or ask upstreams over TCP"));
    }
    ports
}

/// Checks the pairs of settings that must not cross.
pub(super) fn check_order(
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
pub(super) struct Setting<'a, T> {
    key: &'static str,
    written: &'a Key<T>,
    value: &'a T,
}

pub(super) fn setting<'a, T>(
    key: &'static str,
    written: &'a Key<T>,
    value: &'a T,
) -> Setting<'a, T> {
    Setting {
        key,
        written,
        value,
    }
}

pub(super) fn not_above<T: PartialOrd>(
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
