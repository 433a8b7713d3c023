//! What a reload changes while byway runs, and what needs a restart.

use super::QueryLogConfig;
use super::{CacheConfig, Config, Limits, RecorderConfig, Routing, SpecialNames, TopConfig};

/// When a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// With the reload, and no query is lost for it.
    Reload,
    /// With the next start. A reload names it, and what held before goes on.
    Restart,
}

/// One key of the file, or one kind of table.
pub struct Setting {
    /// As an operator knows it: `[limits] questions`.
    pub name: &'static str,
    /// When it takes effect.
    pub class: Class,
    differs: fn(&Config, &Config) -> bool,
    carry: fn(&mut Config, &Config),
}

macro_rules! settings {
    ($( $name:literal $class:ident $($field:ident).+; )+) => {
        /// Every setting.
        pub const SETTINGS: &[Setting] = &[
            $( Setting {
                name: $name,
                class: Class::$class,
                differs: |one, other| one.$($field).+ != other.$($field).+,
                carry: |to, from| to.$($field).+ = from.$($field).+.clone(),
            } ),+
        ];
    };
}

settings! {
    "workers" Restart workers;
    "allow" Reload allow;
    "[[listen]]" Restart listen;
    "[[certificate]]" Reload certificates;
    "[[path]]" Reload paths;
    "[[upstream]]" Reload upstreams;
    "[special-names] localhost" Reload special.localhost;
    "[special-names] invalid" Reload special.invalid;
    "[special-names] test" Reload special.test;
    "[special-names] onion" Reload special.onion;
    "[special-names] local" Reload special.local;
    "[special-names] home-arpa" Reload special.home_arpa;
    "[special-names] service-arpa" Reload special.service_arpa;
    "[special-names] resolver-arpa" Reload special.resolver_arpa;
    "[special-names] ipv4only-arpa" Reload special.ipv4only_arpa;
    "[special-names] private-reverse" Reload special.private_reverse;
    "[special-names] alt" Reload special.alt;
    "[special-names] eap-arpa" Reload special.eap_arpa;
    "[special-names] use-application-dns" Reload special.use_application_dns;
    "[[record]]" Reload records;
    "[[guard]]" Reload guards;
    "[dns64] prefix" Reload dns64;
    "[dns64] exclude" Reload dns64;
    "[host] hosts" Reload hosts;
    "[host] hosts-ttl" Reload hosts_ttl;
    "[host] link-domains" Reload link_domains;
    "[host] identity" Reload identity;
    "[routing] policy" Reload routing.policy;
    "[routing] deadline" Reload routing.deadline;
    "[routing] return-within" Reload routing.return_within;
    "[routing] unknown-after" Reload routing.unknown_after;
    "[routing] extra-share" Reload routing.extra_share;
    "[routing] ceiling" Reload routing.ceiling;
    "[routing] randomize-case" Reload routing.randomize_case;
    "[routing] hedge-min" Reload routing.hedge_min;
    "[routing] hedge-max" Reload routing.hedge_max;
    "[cache] size" Reload cache.size;
    "[cache] min-ttl" Reload cache.min_ttl;
    "[cache] max-ttl" Reload cache.max_ttl;
    "[cache] negative-max-ttl" Reload cache.negative_max_ttl;
    "[cache] stale-max" Reload cache.stale_max;
    "[cache] stale-ttl" Reload cache.stale_ttl;
    "[cache] stale-wait" Reload cache.stale_wait;
    "[cache] refresh" Reload cache.refresh;
    "[cache] rotate" Reload cache.rotate;
    "[cache] failure-min-ttl" Reload cache.failure_min_ttl;
    "[cache] failure-max-ttl" Reload cache.failure_max_ttl;
    "[cache] snapshot" Restart cache.snapshot;
    "[cache] snapshot-every" Reload cache.snapshot_every;
    "[admin] listen" Restart admin;
    "[admin] control" Restart control;
    "[recorder] enabled" Restart recorder.enabled;
    "[recorder] path" Restart recorder.path;
    "[recorder] size" Restart recorder.size;
    "[top] enabled" Reload top.enabled;
    "[top] entries" Reload top.entries;
    "[top] window" Reload top.window;
    "[top] rate" Reload top.rate;
    "[query-log] path" Restart query_log.path;
    "[query-log] socket" Restart query_log.socket;
    "[query-log] size" Restart query_log.size;
    "[limits] questions" Reload limits.questions;
    "[limits] waiting" Reload limits.waiting;
    "[limits] waiting-per-question" Reload limits.waiting_per_question;
    "[limits] waiting-per-client" Reload limits.waiting_per_client;
    "[limits] new-names-per-client" Reload limits.new_names_per_client;
    "[limits] clients" Reload limits.clients;
    "[limits] client-ipv4" Reload limits.client_ipv4;
    "[limits] client-ipv6" Reload limits.client_ipv6;
    "[limits] exempt-clients" Reload limits.exempt_clients;
    "[limits] udp-answers-per-client" Reload limits.udp_answers_per_client;
    "[limits] slip" Reload limits.slip;
    "[limits] cookie-secrets" Reload limits.cookie_secrets;
    "[limits] guarded-names" Reload limits.guarded_names;
    "[limits] queue-patience" Reload limits.queue_patience;
    "[limits] attempts-per-route" Reload limits.attempts_per_route;
    "[limits] source-ports" Reload limits.source_ports;
    "[limits] upstream-sockets" Reload limits.upstream_sockets;
    "[limits] upstream-connections" Reload limits.upstream_connections;
    "[limits] tcp-connections" Reload limits.tcp_connections;
    "[limits] tcp-connections-per-client" Reload limits.tcp_connections_per_client;
    "[limits] tcp-pipeline" Reload limits.tcp_pipeline;
    "[limits] tcp-answers" Reload limits.tcp_answers;
    "[limits] tcp-buffer" Restart limits.tcp_buffer;
    "[limits] tcp-idle" Reload limits.tcp_idle;
    "[limits] tcp-stall" Reload limits.tcp_stall;
    "[limits] udp-payload" Restart limits.udp_payload;
    "[limits] udp-buffer" Restart limits.udp_buffer;
}

/// Keys that no field holds by itself: they only say where other settings come from.
pub const ELSEWHERE: &[(&str, Class)] = &[
    ("version", Class::Reload),
    ("[host] resolv-conf", Class::Reload),
    // Zones name upstreams by their places in the file, so that they cannot be compared by themselves.
    ("[[zone]]", Class::Reload),
];

/// What of `wanted` needs a restart, as `running` has it otherwise. `wanted` is left with what `running` has of that.
pub fn hold_back(wanted: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut held = Vec::new();
    for setting in SETTINGS {
        if setting.class == Class::Restart && (setting.differs)(wanted, running) {
            (setting.carry)(wanted, running);
            held.push(setting.name);
        }
    }
    held
}

/// The settings in which the two differ.
pub fn differences(one: &Config, other: &Config) -> Vec<&'static str> {
    let different = SETTINGS.iter().filter(|it| (it.differs)(one, other));
    different.map(|it| it.name).collect()
}

/// Whoever adds a field is told here that it needs a line above.
const _: fn(Config) = |config| {
    let Config {
        workers: _,
        listen: _,
        certificates: _,
        paths: _,
        upstreams: _,
        zones: _,
        records: _,
        guards: _,
        dns64: _,
        hosts: _,
        hosts_ttl: _,
        link_domains: _,
        identity: _,
        special:
            SpecialNames {
                localhost: _,
                invalid: _,
                test: _,
                onion: _,
                local: _,
                home_arpa: _,
                resolver_arpa: _,
                ipv4only_arpa: _,
                private_reverse: _,
                service_arpa: _,
                alt: _,
                eap_arpa: _,
                use_application_dns: _,
            },
        routing:
            Routing {
                policy: _,
                deadline: _,
                return_within: _,
                unknown_after: _,
                extra_share: _,
                ceiling: _,
                randomize_case: _,
                hedge_min: _,
                hedge_max: _,
            },
        cache:
            CacheConfig {
                size: _,
                min_ttl: _,
                max_ttl: _,
                negative_max_ttl: _,
                stale_max: _,
                stale_ttl: _,
                stale_wait: _,
                refresh: _,
                rotate: _,
                failure_min_ttl: _,
                failure_max_ttl: _,
                snapshot: _,
                snapshot_every: _,
            },
        admin: _,
        control: _,
        recorder:
            RecorderConfig {
                enabled: _,
                path: _,
                size: _,
            },
        top:
            TopConfig {
                enabled: _,
                entries: _,
                window: _,
                rate: _,
            },
        query_log:
            QueryLogConfig {
                path: _,
                socket: _,
                size: _,
            },
        limits:
            Limits {
                questions: _,
                waiting: _,
                waiting_per_question: _,
                waiting_per_client: _,
                new_names_per_client: _,
                clients: _,
                client_ipv4: _,
                client_ipv6: _,
                exempt_clients: _,
                udp_answers_per_client: _,
                slip: _,
                cookie_secrets: _,
                guarded_names: _,
                queue_patience: _,
                attempts_per_route: _,
                source_ports: _,
                upstream_sockets: _,
                upstream_connections: _,
                tcp_connections: _,
                tcp_connections_per_client: _,
                tcp_pipeline: _,
                tcp_answers: _,
                tcp_buffer: _,
                tcp_idle: _,
                tcp_stall: _,
                udp_payload: _,
                udp_buffer: _,
            },
        allow: _,
    } = config;
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    /// Every key that the annotated file explains, named as above.
    fn explained() -> BTreeSet<String> {
        let mut section = String::new();
        let mut found = BTreeSet::new();
        for line in crate::config::ANNOTATED.lines() {
            let line = line.strip_prefix('#').unwrap_or(line);
            if line.starts_with('[') {
                section = line
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                if section.starts_with("[[") {
                    found.insert(section.clone());
                }
            } else if let Some((key, _)) = line.split_once(" = ")
                && key
                    .chars()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
                && !section.starts_with("[[")
            {
                found.insert(format!("{section} {key}").trim().to_owned());
            }
        }
        found
    }

    #[test]
    fn every_key_of_the_file_is_classed() {
        let classed = SETTINGS.iter().map(|it| it.name);
        let classed = classed.chain(ELSEWHERE.iter().map(|(name, _)| *name));
        let classed: BTreeSet<String> = classed.map(str::to_owned).collect();
        assert_eq!(classed, explained());
        assert_eq!(classed.len(), SETTINGS.len() + ELSEWHERE.len());
    }

    fn restarts() -> BTreeSet<String> {
        let all = SETTINGS.iter().map(|it| (it.name, it.class));
        let all = all.chain(ELSEWHERE.iter().copied());
        let restart = all.filter(|(_, class)| *class == Class::Restart);
        restart.map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn the_annotated_file_and_the_documentation_say_what_needs_a_restart() {
        let (mut section, mut comment, mut said) = (String::new(), String::new(), BTreeSet::new());
        for line in crate::config::ANNOTATED
            .lines()
            .skip_while(|line| line.starts_with('#'))
        {
            let bare = line.strip_prefix('#').unwrap_or(line);
            let header = bare.starts_with('[').then(|| bare.to_owned());
            let key = bare.split_once(" = ").map(|(key, _)| key);
            if bare.starts_with(' ') {
                comment += bare;
                continue;
            }
            section = header.clone().unwrap_or(section);
            let name = match (&header, key) {
                (Some(header), _) => header.clone(),
                (None, Some(key)) => format!("{section} {key}").trim().to_owned(),
                (None, None) => String::new(),
            };
            if std::mem::take(&mut comment).contains("Needs a restart.") {
                said.insert(name);
            }
        }
        assert_eq!(said, restarts());
        let page = include_str!("../../docs/service.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: BTreeSet<String> = rows
            .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
            .collect();
        assert_eq!(rows, restarts());
    }

    #[test]
    fn what_needs_a_restart_is_named_and_held_back_and_nothing_else() {
        let running = Config::default_with_upstreams(&["192.0.2.1:53".parse().expect("one")]);
        let mut wanted = Config::default_with_upstreams(&["192.0.2.2:53".parse().expect("one")]);
        wanted.workers = running.workers + 1;
        wanted.limits.udp_buffer += 1;
        wanted.cache.max_ttl = Duration::from_secs(7);
        let all = differences(&wanted, &running);
        let expected = [
            "workers",
            "[[upstream]]",
            "[cache] max-ttl",
            "[limits] udp-buffer",
        ];
        assert_eq!(all, expected);
        let held = hold_back(&mut wanted, &running);
        assert_eq!(held, ["workers", "[limits] udp-buffer"]);
        let left = differences(&wanted, &running);
        assert_eq!(left, ["[[upstream]]", "[cache] max-ttl"]);
        assert_eq!(hold_back(&mut wanted, &running), [""; 0]);
    }
}
