//! The file as people write it: what it means, and that what byway says of it is true.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::host::Host;
use super::table::SHAPE;
use super::*;

fn parsed(text: &str) -> Result<Loaded, String> {
    let overrides = Overrides::default();
    parse(
        Some(Path::new("byway.toml")),
        text,
        &overrides,
        &Host::example(),
    )
    .map_err(|error| error.to_string())
}

fn config(text: &str) -> Config {
    parsed(text)
        .unwrap_or_else(|error| panic!("{error}"))
        .config
}

const UPSTREAM: &str = "\n[[upstream]]\naddress = \"10.0.0.2\"\n";

/// The annotated file with the lines that are keys or headers behind a `#` made part of it.
fn uncommented() -> String {
    let mut out = String::new();
    for line in ANNOTATED.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_toml = !bare.starts_with(' ') && (bare.contains(" = ") || bare.starts_with('['));
        out.push_str(if is_toml { bare } else { line });
        out.push('\n');
    }
    out
}

#[test]
fn the_annotated_default_is_the_built_in_one() {
    let upstream = "10.0.0.2:53".parse().unwrap();
    let built_in = Config {
        workers: Host::example().cores,
        ..Config::default_with_upstreams(&[upstream])
    };
    assert_eq!(config(&format!("{ANNOTATED}{UPSTREAM}")), built_in);
    assert_eq!(config(&format!("version = 1{UPSTREAM}")), built_in);
}

#[test]
fn the_annotated_default_has_every_key() {
    let text = uncommented();
    let document = syntax::parse(&text).unwrap();
    for (header, keys) in SHAPE {
        let name = header.trim_matches(['[', ']']);
        let table = match document.get(name) {
            None => Some(&document),
            Some(it) => it
                .get_ref()
                .as_table()
                .or_else(|| it.get_ref().get(0)?.get_ref().as_table()),
        };
        let table = table.unwrap_or_else(|| panic!("{header} is no table"));
        for key in *keys {
            assert!(table.contains_key(*key), "{header} {key} is not in it");
        }
    }
}

/// Commented lines are examples that an operator will make real one by one.
#[test]
fn the_examples_in_the_annotated_default_work() {
    let loaded = parsed(&uncommented()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.remarks, [""; 0]);
    let config = loaded.config;
    assert_eq!(config.paths[0].mark, Some(0x10));
    assert_eq!(config.upstreams[0].paths, [0, 1]);
    assert_eq!(
        config.cache.snapshot,
        Some(PathBuf::from("/var/lib/byway/cache.snapshot"))
    );
}

/// Ranges and defaults stand in the annotated file in words; they must be the ones that hold.
#[test]
fn the_annotated_default_tells_the_ranges() {
    let text = ANNOTATED.replace("\n# ", " ");
    let span = |it: bounds::Bounds<Duration>| {
        let (min, max) = (
            units::format_duration(it.min),
            units::format_duration(it.max),
        );
        format!("{min} to {max}")
    };
    let size = |it: bounds::Bounds<usize>| {
        let (min, max) = (units::format_size(it.min), units::format_size(it.max));
        format!("{min} to {max}")
    };
    let count = |it: bounds::Bounds<usize>| format!("{} to {}", it.min, it.max);
    let number = |it: bounds::Bounds<f64>| format!("{:?} to {:?}", it.min, it.max);
    for (key, range) in [
        ("workers", "1 to 1024".to_owned()),
        ("cost", number(bounds::COST)),
        ("mark", "1 to 4294967295".to_owned()),
        ("deadline", span(bounds::DEADLINE)),
        ("return-within", span(bounds::RETURN_WITHIN)),
        ("extra-share", number(bounds::EXTRA_SHARE)),
        ("ceiling", number(bounds::CEILING)),
        ("hedge-min", span(bounds::HEDGE_MIN)),
        ("hedge-min", span(bounds::HEDGE_MAX)),
        ("size", size(bounds::CACHE_SIZE)),
        ("min-ttl", span(bounds::MIN_TTL)),
        ("max-ttl", span(bounds::MAX_TTL)),
        ("negative-max-ttl", span(bounds::NEGATIVE_MAX_TTL)),
        ("stale-max", "0 s (never) to 30 d".to_owned()),
        ("stale-ttl", span(bounds::STALE_TTL)),
        ("stale-wait", span(bounds::STALE_WAIT)),
        ("failure-min-ttl", span(bounds::FAILURE_MIN_TTL)),
        ("snapshot-every", span(bounds::SNAPSHOT_EVERY)),
        ("questions", count(bounds::QUESTIONS)),
        ("waiting", count(bounds::WAITING)),
        ("queue-patience", span(bounds::QUEUE_PATIENCE)),
        ("attempts-per-route", count(bounds::ATTEMPTS_PER_ROUTE)),
        ("upstream-sockets", count(bounds::UPSTREAM_SOCKETS)),
        ("upstream-connections", count(bounds::UPSTREAM_CONNECTIONS)),
        ("tcp-connections", count(bounds::TCP_CONNECTIONS)),
        (
            "tcp-connections-per-client",
            count(bounds::TCP_CONNECTIONS_PER_CLIENT),
        ),
        ("tcp-pipeline", count(bounds::TCP_PIPELINE)),
        ("tcp-idle", span(bounds::TCP_IDLE)),
        ("tcp-stall", span(bounds::TCP_STALL)),
        ("udp-payload", "512 to 4096".to_owned()),
        ("udp-buffer", size(bounds::UDP_BUFFER)),
    ] {
        let is_key = |line: &&str| {
            line.trim_start_matches('#')
                .starts_with(&format!("{key} ="))
        };
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| is_key(line)).unwrap();
        let comment = lines[at - 1];
        assert!(
            comment.contains(&range),
            "{key}: {range} is not in: {comment}"
        );
    }
}

#[test]
fn a_whole_file_means_what_it_says() {
    let config = config(
        r#"
        version = 1
        workers = 2
        allow = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
        [[listen]]
        address = "[::]:53"
        transports = ["tcp"]
        [[path]]
        name = "a"
        interface = "eth0"
        source = "192.0.2.10"
        [[path]]
        name = "b"
        source = ["2001:db8::1", "192.0.2.11"]
        mark = 0x10
        cost = 2
        [[path]]
        name = "default"
        backup = true
        [[upstream]]
        name = "one"
        address = "10.0.0.2:5300"
        paths = ["b", "a", "default"]
        [[upstream]]
        address = "fd00::1"
        transport = "tcp"
        paths = ["b"]
        backup = true
        cost = 1.5
        [routing]
        policy = "spread"
        deadline = "2s"
        [cache]
        size = 1000000
        snapshot = "/tmp/x"
        refresh = false
        [admin]
        listen = "off"
        [limits]
        udp-payload = 1400
        tcp-idle = "1 min 30 s"
        "#,
    );
    assert_eq!(config.workers, 2);
    assert_eq!(config.allow.len(), 3);
    assert_eq!(config.allow[1].to_string(), "198.51.100.7/32");
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.listen[0].address.to_string(), "[::]:53");
    assert_eq!((config.listen[0].udp, config.listen[0].tcp), (false, true));
    let names: Vec<&str> = config.paths.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "default"]);
    assert_eq!(config.paths[0].source.len(), 1);
    assert_eq!(config.paths[1].source.len(), 2);
    assert_eq!(
        (config.paths[1].mark, config.paths[1].cost),
        (Some(16), 2.0)
    );
    assert!(config.paths[2].backup);
    assert_eq!(config.upstreams[0].address.to_string(), "10.0.0.2:5300");
    assert_eq!(config.upstreams[0].paths, [1, 0, 2]);
    assert_eq!(config.upstreams[1].name, "fd00::1");
    assert_eq!(config.upstreams[1].address.to_string(), "[fd00::1]:53");
    assert_eq!(config.upstreams[1].transport, UpstreamTransport::Tcp);
    assert_eq!(config.routing.policy, Policy::Spread);
    assert_eq!(config.routing.deadline, Duration::from_secs(2));
    assert_eq!(config.cache.size, 1_000_000);
    assert_eq!(config.admin, None);
    assert_eq!(config.limits.udp_payload, 1400);
    assert_eq!(config.limits.tcp_idle, Duration::from_secs(90));
}

#[test]
fn defaults_follow_their_surroundings() {
    let host = Host {
        state_directory: Some(PathBuf::from("/var/lib/byway")),
        ..Host::example()
    };
    let text = format!("version = 1{UPSTREAM}");
    let config = parse(None, &text, &Overrides::default(), &host)
        .unwrap()
        .config;
    assert_eq!(config.workers, 4);
    assert_eq!(
        config.cache.snapshot,
        Some(PathBuf::from("/var/lib/byway/cache.snapshot"))
    );
    assert_eq!(config.allow, bounds::LOOPBACK);

    let wider = self::config(&format!(
        "version = 1\n[[listen]]\naddress = \"0.0.0.0:53\"{UPSTREAM}"
    ));
    assert_eq!(
        wider.allow.len(),
        bounds::LOOPBACK.len() + bounds::PRIVATE.len()
    );

    let low = self::config(&format!(
        "version = 1\n[cache]\nmax-ttl = \"5 min\"\n[limits]\ntcp-connections = 10{UPSTREAM}"
    ));
    assert_eq!(low.cache.negative_max_ttl, Duration::from_secs(300));
    assert_eq!(low.limits.tcp_connections_per_client, 10);
}

#[test]
fn the_command_line_stands_in_place_of_the_file() {
    let text = "version = 1\n[[listen]]\naddress = \"127.0.0.1:53\"\n[[path]]\nname = \"a\"\ninterface = \"eth0\"\n\
                [[upstream]]\nname = \"one\"\naddress = \"10.0.0.2\"\npaths = [\"a\"]\n";
    let overrides = Overrides {
        listen: vec![address::Endpoint::listener("127.0.0.1:5300").unwrap()],
        upstreams: vec![
            address::Endpoint::upstream("10.0.0.9").unwrap(),
            address::Endpoint::upstream("10.0.0.9:5353").unwrap(),
        ],
    };
    let loaded = parse(None, text, &overrides, &Host::example()).unwrap();
    assert_eq!(loaded.remarks, [""; 0]);
    assert_eq!(loaded.upstreams_from, UpstreamsFrom::CommandLine);
    let config = loaded.config;
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.listen[0].address.port(), 5300);
    let names: Vec<&str> = config.upstreams.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.9", "10.0.0.9:5353"]);
    for upstream in &config.upstreams {
        assert_eq!(
            config.paths[upstream.paths[0]],
            PathConfig::kernels_choice()
        );
    }

    let itself = Overrides {
        upstreams: vec![address::Endpoint::upstream("127.0.0.1").unwrap()],
        ..Overrides::default()
    };
    let error = parse(None, text, &itself, &Host::example()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: upstream 127.0.0.1:53 is byway itself\n --> --upstream 127.0.0.1\n  \
         = note: a question sent there would come back for ever"
    );
}

#[test]
fn one_address_over_two_paths_in_two_tables() {
    let text = "version = 1\n[[path]]\nname = \"a\"\nmark = 1\n[[path]]\nname = \"b\"\nmark = 2\n\
                [[upstream]]\nname = \"x\"\naddress = \"10.0.0.2\"\npaths = [\"a\"]\n\
                [[upstream]]\nname = \"y\"\naddress = \"10.0.0.2\"\npaths = [\"b\"]\n";
    assert_eq!(config(text).upstreams.len(), 2);
    let twice = parsed(&text.replace("[\"b\"]", "[\"b\", \"a\"]")).unwrap_err();
    assert!(
        twice.starts_with("error: 10.0.0.2:53 is asked twice over `a`\n  --> byway.toml:15:15\n")
    );
}

#[test]
fn remarks_are_not_errors() {
    let text = "version = 1\nallow = [\"0.0.0.0/0\"]\n[[listen]]\naddress = \"192.0.2.1:53\"\n\
                [[path]]\nname = \"spare\"\ninterface = \"eth9\"\n";
    let loaded = parsed(&format!("{text}{UPSTREAM}")).unwrap();
    assert_eq!(
        loaded.remarks,
        [
            "warning: everybody who can reach byway may ask it\n --> byway.toml:2:10\n  |\n\
             2 | allow = [\"0.0.0.0/0\"]\n  |          ^^^^^^^^^^^ an open resolver is used to attack others (RFC 5358)\n  |\n  \
             = help: name the networks of your clients, or see to it that a firewall does",
            "warning: path `spare` is used by no upstream\n --> byway.toml:6:8\n  |\n\
             6 | name = \"spare\"\n  |        ^^^^^^^ expected its name in the `paths` of an upstream",
        ]
    );
}

#[test]
fn files_that_cannot_be_read() {
    let error = |path: &Path| {
        let error = load(Some(path), &Overrides::default(), &Host::example()).unwrap_err();
        error
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(
        error(Path::new("/nonexistent/byway.toml")),
        "error: the configuration file cannot be read\n --> FILE\n  = note: No such file or directory (os error 2)\n  \
         = help: `byway config` prints a file to start from"
    );
    let folder = tempfile::tempdir().unwrap();
    assert!(error(folder.path()).contains("directory"));
    let path = folder.path().join("byway.toml");
    std::fs::write(&path, b"version = 1\n# caf\xe9\n").unwrap();
    assert!(error(&path).contains("line 2 is not UTF-8"));
    std::fs::write(&path, vec![b'#'; 1 << 21]).unwrap();
    assert!(error(&path).contains("larger than 1 MiB"));
}

#[test]
fn many_errors_are_counted() {
    let text: String = (0..30).map(|it| format!("key{it} = 1\n")).collect();
    let error = parsed(&format!("version = 1\n{text}{UPSTREAM}")).unwrap_err();
    assert_eq!(error.matches("unknown key").count(), 20);
    assert!(error.ends_with("\n\nerror: and 10 more"));
}

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
        duration(bounds::RETURN_WITHIN),
        0.0..=1.0f64,
        1.0..=4.0f64,
        duration(bounds::HEDGE_MIN),
        duration(bounds::HEDGE_MAX),
    )
        .prop_map(
            |(policy, deadline, return_within, extra_share, ceiling, a, b)| {
                let (hedge_min, hedge_max) = ordered(a, b);
                Routing {
                    policy,
                    deadline: Duration::from_nanos(deadline),
                    return_within,
                    extra_share,
                    ceiling,
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
        any::<bool>(),
        (
            duration(bounds::FAILURE_MIN_TTL),
            duration(bounds::FAILURE_MAX_TTL),
        ),
        proptest::option::of("/[a-zA-Z0-9 \"\\\\é\u{1b}\n.]{1,20}/x"),
        duration(bounds::SNAPSHOT_EVERY),
    )
        .prop_map(
            |(size, ttls, stale, refresh, failure, snapshot, snapshot_every)| {
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
                    failure_min_ttl,
                    failure_max_ttl,
                    snapshot: snapshot.map(PathBuf::from),
                    snapshot_every,
                }
            },
        )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        (
            count(bounds::QUESTIONS),
            count(bounds::WAITING),
            duration(bounds::QUEUE_PATIENCE),
            count(bounds::ATTEMPTS_PER_ROUTE),
            count(bounds::UPSTREAM_SOCKETS),
            count(bounds::UPSTREAM_CONNECTIONS),
        ),
        (
            count(bounds::TCP_CONNECTIONS),
            count(bounds::TCP_CONNECTIONS_PER_CLIENT),
            count(bounds::TCP_PIPELINE),
            duration(bounds::TCP_IDLE),
            duration(bounds::TCP_STALL),
        ),
        (512u16..=4096, count(bounds::UDP_BUFFER)),
    )
        .prop_map(|(questions, tcp, udp)| {
            let (per_client, connections) = ordered(tcp.0, tcp.1);
            Limits {
                questions: questions.0,
                waiting: questions.1,
                queue_patience: questions.2,
                attempts_per_route: questions.3,
                upstream_sockets: questions.4,
                upstream_connections: questions.5,
                tcp_connections: connections,
                tcp_connections_per_client: per_client,
                tcp_pipeline: tcp.2,
                tcp_idle: tcp.3,
                tcp_stall: tcp.4,
                udp_payload: udp.0,
                udp_buffer: udp.1,
            }
        })
}

fn any_path(index: usize) -> impl Strategy<Value = PathConfig> {
    (
        proptest::option::of("[a-z]{1,8}"),
        any::<bool>(),
        1u32..,
        any::<bool>(),
        1.0..=1000.0f64,
    )
        .prop_map(move |(interface, source, mark, backup, cost)| PathConfig {
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
        })
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
            name: format!("up.{index}_%:"),
            address: match v4 {
                true => format!("10.0.0.{index}:{port}").parse().unwrap(),
                false => format!("[fe80::{index:x}%7]:{port}").parse().unwrap(),
            },
            transport: match tcp {
                true => UpstreamTransport::Tcp,
                false => UpstreamTransport::Udp,
            },
            paths,
            backup,
            cost,
        })
}

fn any_config() -> impl Strategy<Value = Config> {
    let network = (1usize..5, 1usize..5).prop_flat_map(|(paths, upstreams)| {
        let all_paths: Vec<_> = (1..=paths).map(any_path).collect();
        let all_upstreams: Vec<_> = (1..=upstreams).map(|it| any_upstream(it, paths)).collect();
        (all_paths, all_upstreams)
    });
    let listen = proptest::collection::vec((any::<bool>(), 1u8..4), 1..4);
    (
        1usize..=1024,
        listen,
        network,
        any_routing(),
        any_cache(),
        any::<bool>(),
        any_limits(),
    )
        .prop_map(
            |(workers, listen, network, routing, cache, admin, limits)| Config {
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
                    })
                    .collect(),
                paths: network.0,
                upstreams: network.1,
                routing,
                cache,
                admin: admin.then_some(bounds::ADMIN),
                limits,
                allow: bounds::PRIVATE.to_vec(),
            },
        )
}

proptest! {
    #[test]
    fn the_effective_configuration_reads_back(config in any_config()) {
        let text = config.to_toml();
        let loaded = parsed(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(loaded.config, config);
    }

    /// Whatever stands in a file, the answer is a configuration that reads back or errors that name the file.
    #[test]
    fn any_change_to_a_good_file_is_understood_or_refused(
        at in any::<proptest::sample::Index>(),
        length in 0usize..20,
        put in "[\\PC\n]{0,6}",
    ) {
        let text = uncommented();
        let boundary = |at: usize| (0..=at).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        let from = boundary(at.index(text.len()));
        let to = boundary((from + length).min(text.len())).max(from);
        let text = format!("{}{put}{}", &text[..from], &text[to..]);
        match parsed(&text) {
            Ok(loaded) => {
                let again = parsed(&loaded.config.to_toml()).map_err(TestCaseError::fail)?;
                prop_assert_eq!(again.config, loaded.config);
            }
            Err(error) => prop_assert!(error.starts_with("error: ") && error.contains("byway.toml:"), "{}", error),
        }
    }
}

#[test]
fn effective_configuration_without_a_file() {
    let config = Config::default_with_upstreams(&["10.0.0.2:53".parse().unwrap()]);
    let again = self::config(&config.to_toml());
    assert_eq!(again, config);
}
