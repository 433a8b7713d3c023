//! The configuration in effect, as a file: every key written out, so that nothing is left to defaults. Read
//! back on any host it means the same.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use data_encoding::BASE64;

use super::QueryLogConfig;
use super::units::{format_duration, format_size};
use super::{
    Answering, CacheConfig, CertificateConfig, Config, Dns64Config, GuardConfig, Limits, Listen,
    PathConfig, Policy, RecordConfig, RecorderConfig, Routing, SpecialNames, TopConfig,
    UpstreamConfig, UpstreamTls, ZoneConfig, ZoneTtls,
};
use crate::wire::name_to_text;

impl Config {
    /// The configuration as TOML that reads back as the same configuration.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        // Writing into a String does not fail.
        let _ = write_config(&mut out, self);
        out
    }
}

fn write_config(out: &mut String, config: &Config) -> fmt::Result {
    // Taken apart by name, here and below, so that a new field cannot be forgotten.
    let Config {
        workers,
        listen,
        certificates,
        paths,
        upstreams,
        zones,
        special,
        records,
        guards,
        dns64,
        hosts,
        hosts_ttl,
        link_domains,
        identity,
        routing,
        cache,
        recorder,
        top,
        query_log,
        admin,
        control,
        limits,
        allow,
    } = config;
    writeln!(out, "version = 1")?;
    writeln!(out, "workers = {workers}")?;
    writeln!(out, "allow = {}", list(allow.iter().map(text)))?;
    for it in listen {
        write_listen(out, it)?;
    }
    for it in certificates {
        write_certificate(out, it)?;
    }
    for it in paths {
        write_path(out, it)?;
    }
    for it in upstreams.iter().filter(|it| !it.of_link) {
        write_upstream(out, it, paths)?;
    }
    for it in zones {
        match &it.learnt {
            None => write_zone(out, it, upstreams)?,
            Some(link) => write_learnt(out, link, it, upstreams)?,
        }
    }
    for it in records {
        write_record(out, it)?;
    }
    for it in guards {
        write_guard(out, it)?;
    }
    if let Some(Dns64Config { prefix, exclude }) = dns64 {
        writeln!(out, "\n[dns64]")?;
        writeln!(out, "prefix = {}", text(prefix))?;
        writeln!(out, "exclude = {}", list(exclude.iter().map(text)))?;
    }
    write_special(out, special)?;
    write_routing(out, routing)?;
    write_cache(out, cache)?;
    write_recorder(out, recorder)?;
    write_top(out, top)?;
    write_query_log(out, query_log)?;
    writeln!(out, "\n[host]")?;
    match hosts {
        Some(path) => writeln!(out, "hosts = {}", text(path.display()))?,
        None => writeln!(out, "hosts = \"off\"")?,
    }
    write_durations(out, &[("hosts-ttl", *hosts_ttl)])?;
    writeln!(out, "link-domains = {link_domains}")?;
    match identity {
        Some(name) => writeln!(out, "identity = {}", text(name))?,
        None => writeln!(out, "identity = \"off\"")?,
    }
    writeln!(out, "\n[admin]")?;
    match admin {
        Some(address) => writeln!(out, "listen = {}", text(address))?,
        None => writeln!(out, "listen = \"off\"")?,
    }
    match control {
        Some(path) => writeln!(out, "control = {}", text(path.display()))?,
        None => writeln!(out, "control = \"off\"")?,
    }
    write_limits(out, limits)
}

fn write_recorder(out: &mut String, recorder: &RecorderConfig) -> fmt::Result {
    let RecorderConfig {
        enabled,
        path,
        size,
    } = recorder;
    writeln!(out, "\n[recorder]")?;
    writeln!(out, "enabled = {enabled}")?;
    match path {
        Some(path) => writeln!(out, "path = {}", text(path.display()))?,
        None => writeln!(out, "path = \"off\"")?,
    }
    writeln!(out, "size = {}", text(format_size(*size)))
}

fn write_top(out: &mut String, top: &TopConfig) -> fmt::Result {
    let TopConfig {
        enabled,
        entries,
        window,
        rate,
    } = top;
    writeln!(out, "\n[top]")?;
    writeln!(out, "enabled = {enabled}")?;
    writeln!(out, "entries = {entries}")?;
    write_durations(out, &[("window", *window)])?;
    writeln!(out, "rate = {rate}")
}

fn write_query_log(out: &mut String, query_log: &QueryLogConfig) -> fmt::Result {
    let QueryLogConfig { path, socket, size } = query_log;
    writeln!(out, "\n[query-log]")?;
    for (key, place) in [("path", path), ("socket", socket)] {
        match place {
            Some(path) => writeln!(out, "{key} = {}", text(path.display()))?,
            None => writeln!(out, "{key} = \"off\"")?,
        }
    }
    writeln!(out, "size = {}", text(format_size(*size)))
}

fn write_listen(out: &mut String, listen: &Listen) -> fmt::Result {
    let Listen {
        address,
        udp,
        tcp,
        tls,
    } = listen;
    let transports = [(*udp, "udp"), (*tcp, "tcp"), (*tls, "tls")];
    let transports = transports.iter().filter(|(on, _)| *on);
    writeln!(out, "\n[[listen]]")?;
    writeln!(out, "address = {}", text(address))?;
    writeln!(
        out,
        "transports = {}",
        list(transports.map(|(_, it)| text(it)))
    )
}

fn write_certificate(out: &mut String, certificate: &CertificateConfig) -> fmt::Result {
    let CertificateConfig { chain, key } = certificate;
    writeln!(out, "\n[[certificate]]")?;
    writeln!(out, "chain = {}", text(chain.display()))?;
    writeln!(out, "key = {}", text(key.display()))
}

fn write_path(out: &mut String, path: &PathConfig) -> fmt::Result {
    let PathConfig {
        name,
        interface,
        source,
        mark,
        backup,
        cost,
        metered,
    } = path;
    writeln!(out, "\n[[path]]")?;
    writeln!(out, "name = {}", text(name))?;
    if let Some(interface) = interface {
        writeln!(out, "interface = {}", text(interface))?;
    }
    if !source.is_empty() {
        writeln!(out, "source = {}", list(source.iter().map(text)))?;
    }
    if let Some(mark) = mark {
        writeln!(out, "mark = {mark:#x}")?;
    }
    writeln!(out, "backup = {backup}")?;
    writeln!(out, "cost = {cost:?}")?;
    writeln!(out, "metered = {metered}")
}

fn write_upstream(
    out: &mut String,
    upstream: &UpstreamConfig,
    all_paths: &[PathConfig],
) -> fmt::Result {
    let UpstreamConfig {
        name,
        address: _,
        zone: _,
        transport,
        tls,
        paths,
        backup,
        cost,
        of_link: _,
    } = upstream;
    let paths = paths.iter().map(|it| text(&all_paths[*it].name));
    writeln!(out, "\n[[upstream]]")?;
    writeln!(out, "name = {}", text(name))?;
    writeln!(out, "address = {}", text(upstream.endpoint()))?;
    writeln!(out, "transport = {}", text(transport.as_str()))?;
    if let Some(tls) = tls {
        write_tls(out, tls)?;
    }
    writeln!(out, "paths = {}", list(paths))?;
    writeln!(out, "backup = {backup}")?;
    writeln!(out, "cost = {cost:?}")
}

fn write_tls(out: &mut String, tls: &UpstreamTls) -> fmt::Result {
    let UpstreamTls { name, ca, pins } = tls;
    if let Some(name) = name {
        writeln!(out, "tls-name = {}", text(name))?;
    }
    if let Some(ca) = ca {
        writeln!(out, "tls-ca = {}", text(ca.display()))?;
    }
    if !pins.is_empty() {
        let pins = pins.iter().map(|it| text(BASE64.encode(it)));
        writeln!(out, "tls-pins = {}", list(pins))?;
    }
    Ok(())
}

/// What a link brought along is nothing that a file says.
fn write_learnt(
    out: &mut String,
    link: &str,
    zone: &ZoneConfig,
    all: &[UpstreamConfig],
) -> fmt::Result {
    let names: Vec<String> = zone.names.iter().map(|it| name_to_text(it)).collect();
    let servers: Vec<&str> = zone.upstreams.iter().map(|it| &*all[*it].name).collect();
    let (names, servers) = (names.join(", "), servers.join(", "));
    writeln!(
        out,
        "\n# By {link}, while it says so: {names} is asked of {servers}"
    )
}

fn write_zone(out: &mut String, zone: &ZoneConfig, all: &[UpstreamConfig]) -> fmt::Result {
    let ZoneConfig {
        names,
        upstreams,
        policy,
        deadline,
        stale,
        filter,
        private_addresses,
        ttls,
        fall_through,
        subtree_denial,
        learnt: _,
    } = zone;
    let names = names.iter().map(|it| text(name_to_text(it)));
    writeln!(out, "\n[[zone]]")?;
    writeln!(out, "name = {}", list(names))?;
    if !upstreams.is_empty() {
        let upstreams = upstreams.iter().map(|it| text(&all[*it].name));
        writeln!(out, "upstreams = {}", list(upstreams))?;
    }
    if let Some(policy) = policy {
        writeln!(out, "policy = {}", text(policy_name(*policy)))?;
    }
    if let Some(deadline) = deadline {
        write_durations(out, &[("deadline", *deadline)])?;
    }
    writeln!(out, "stale = {stale}")?;
    writeln!(out, "filter = {}", list(filter.iter().map(text)))?;
    writeln!(out, "private-addresses = {private_addresses}")?;
    let ZoneTtls {
        min,
        max,
        negative_max,
        failure_min,
        failure_max,
    } = ttls;
    for (key, value) in [
        ("min-ttl", min),
        ("max-ttl", max),
        ("negative-max-ttl", negative_max),
        ("failure-min-ttl", failure_min),
        ("failure-max-ttl", failure_max),
    ] {
        if let Some(value) = value {
            write_durations(out, &[(key, *value)])?;
        }
    }
    writeln!(out, "fall-through = {fall_through}")?;
    writeln!(out, "subtree-denial = {subtree_denial}")
}

fn write_record(out: &mut String, record: &RecordConfig) -> fmt::Result {
    let RecordConfig {
        name,
        record_type,
        text: data,
        data: _,
        ttl,
    } = record;
    writeln!(out, "\n[[record]]")?;
    writeln!(out, "name = {}", text(name_to_text(name)))?;
    writeln!(out, "type = {}", text(record_type))?;
    writeln!(out, "data = {}", list(data.iter().map(text)))?;
    write_durations(out, &[("ttl", *ttl)])
}

fn write_guard(out: &mut String, guard: &GuardConfig) -> fmt::Result {
    let GuardConfig {
        zones,
        keep,
        after,
        floor,
    } = guard;
    let zones = zones.iter().map(|it| text(name_to_text(it)));
    writeln!(out, "\n[[guard]]")?;
    writeln!(out, "zones = {}", list(zones))?;
    write_durations(out, &[("keep", *keep), ("after", *after)])?;
    writeln!(out, "floor = {floor:?}")
}

fn write_special(out: &mut String, special: &SpecialNames) -> fmt::Result {
    let SpecialNames {
        localhost,
        invalid,
        test,
        onion,
        local,
        home_arpa,
        service_arpa,
        resolver_arpa,
        ipv4only_arpa,
        private_reverse,
        alt,
        eap_arpa,
        use_application_dns,
    } = special;
    writeln!(out, "\n[special-names]")?;
    for (key, answering) in [
        ("localhost", localhost),
        ("invalid", invalid),
        ("test", test),
        ("onion", onion),
        ("local", local),
        ("home-arpa", home_arpa),
        ("service-arpa", service_arpa),
        ("resolver-arpa", resolver_arpa),
        ("ipv4only-arpa", ipv4only_arpa),
        ("private-reverse", private_reverse),
        ("alt", alt),
        ("eap-arpa", eap_arpa),
        ("use-application-dns", use_application_dns),
    ] {
        let answering = match answering {
            Answering::Here => "here",
            Answering::Forward => "forward",
            Answering::Auto => "auto",
        };
        writeln!(out, "{key} = {}", text(answering))?;
    }
    Ok(())
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Fastest => "fastest",
        Policy::Ordered => "ordered",
        Policy::Spread => "spread",
    }
}

fn write_routing(out: &mut String, routing: &Routing) -> fmt::Result {
    let Routing {
        policy,
        deadline,
        return_within,
        unknown_after,
        extra_share,
        ceiling,
        randomize_case,
        hedge_min,
        hedge_max,
    } = routing;
    writeln!(out, "\n[routing]")?;
    writeln!(out, "policy = {}", text(policy_name(*policy)))?;
    write_durations(
        out,
        &[
            ("deadline", *deadline),
            ("return-within", *return_within),
            ("unknown-after", *unknown_after),
        ],
    )?;
    writeln!(out, "extra-share = {extra_share:?}")?;
    writeln!(out, "ceiling = {ceiling:?}")?;
    writeln!(out, "randomize-case = {randomize_case}")?;
    write_durations(out, &[("hedge-min", *hedge_min), ("hedge-max", *hedge_max)])
}

fn write_cache(out: &mut String, cache: &CacheConfig) -> fmt::Result {
    let CacheConfig {
        size,
        min_ttl,
        max_ttl,
        negative_max_ttl,
        stale_max,
        stale_ttl,
        stale_wait,
        refresh,
        rotate,
        failure_min_ttl,
        failure_max_ttl,
        snapshot,
        snapshot_every,
    } = cache;
    writeln!(out, "\n[cache]")?;
    writeln!(out, "size = {}", text(format_size(*size)))?;
    write_durations(
        out,
        &[
            ("min-ttl", *min_ttl),
            ("max-ttl", *max_ttl),
            ("negative-max-ttl", *negative_max_ttl),
            ("stale-max", *stale_max),
            ("stale-ttl", *stale_ttl),
            ("stale-wait", *stale_wait),
        ],
    )?;
    writeln!(out, "refresh = {refresh}")?;
    writeln!(out, "rotate = {rotate}")?;
    write_durations(
        out,
        &[
            ("failure-min-ttl", *failure_min_ttl),
            ("failure-max-ttl", *failure_max_ttl),
        ],
    )?;
    match snapshot {
        Some(path) => writeln!(out, "snapshot = {}", text(path.display()))?,
        None => writeln!(out, "snapshot = \"off\"")?,
    }
    write_durations(out, &[("snapshot-every", *snapshot_every)])
}

fn write_limits(out: &mut String, limits: &Limits) -> fmt::Result {
    let Limits {
        questions,
        waiting,
        waiting_per_question,
        waiting_per_client,
        new_names_per_client,
        clients,
        client_ipv4,
        client_ipv6,
        exempt_clients,
        udp_answers_per_client,
        slip,
        cookie_secrets,
        guarded_names,
        queue_patience,
        attempts_per_route,
        source_ports,
        upstream_sockets,
        upstream_connections,
        tcp_connections,
        tcp_connections_per_client,
        tcp_pipeline,
        tcp_answers,
        tcp_buffer,
        tcp_idle,
        tcp_stall,
        udp_payload,
        udp_buffer,
    } = limits;
    writeln!(out, "\n[limits]")?;
    writeln!(out, "questions = {questions}")?;
    writeln!(out, "waiting = {waiting}")?;
    writeln!(out, "waiting-per-question = {waiting_per_question}")?;
    writeln!(out, "waiting-per-client = {waiting_per_client}")?;
    writeln!(out, "new-names-per-client = {new_names_per_client}")?;
    writeln!(out, "clients = {clients}")?;
    writeln!(out, "client-ipv4 = {client_ipv4}")?;
    writeln!(out, "client-ipv6 = {client_ipv6}")?;
    let exempt = list(exempt_clients.iter().map(text));
    writeln!(out, "exempt-clients = {exempt}")?;
    writeln!(out, "udp-answers-per-client = {udp_answers_per_client}")?;
    writeln!(out, "slip = {slip}")?;
    let secret = |it: &[u8; 16]| text(format_args!("{:032x}", u128::from_be_bytes(*it)));
    let secrets = list(cookie_secrets.iter().map(secret));
    writeln!(out, "cookie-secrets = {secrets}")?;
    writeln!(out, "guarded-names = {guarded_names}")?;
    write_durations(out, &[("queue-patience", *queue_patience)])?;
    let ports = source_ports.ranges().iter().map(text);
    writeln!(out, "source-ports = {}", list(ports))?;
    for (key, value) in [
        ("attempts-per-route", attempts_per_route),
        ("upstream-sockets", upstream_sockets),
        ("upstream-connections", upstream_connections),
        ("tcp-connections", tcp_connections),
        ("tcp-connections-per-client", tcp_connections_per_client),
        ("tcp-pipeline", tcp_pipeline),
    ] {
        writeln!(out, "{key} = {value}")?;
    }
    for (key, value) in [("tcp-answers", tcp_answers), ("tcp-buffer", tcp_buffer)] {
        writeln!(out, "{key} = {}", text(format_size(*value)))?;
    }
    write_durations(out, &[("tcp-idle", *tcp_idle), ("tcp-stall", *tcp_stall)])?;
    writeln!(out, "udp-payload = {udp_payload}")?;
    writeln!(out, "udp-buffer = {}", text(format_size(*udp_buffer)))
}

fn write_durations(out: &mut String, all: &[(&str, Duration)]) -> fmt::Result {
    for (key, value) in all {
        writeln!(out, "{key} = {}", text(format_duration(*value)))?;
    }
    Ok(())
}

/// A string of TOML.
fn text(value: impl Display) -> String {
    let mut out = String::from('"');
    for c in value.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
