//! The file as people write it: what it means, and that what byway says of it is true.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

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

mod generated;

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
    assert_eq!(
        config.control,
        Some(PathBuf::from("/run/byway/control.sock"))
    );
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
        ("unknown-after", span(bounds::UNKNOWN_AFTER)),
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
        ("waiting-per-question", count(bounds::WAITING_PER_QUESTION)),
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
        ("tcp-answers", size(bounds::TCP_ANSWERS)),
        ("tcp-buffer", size(bounds::TCP_BUFFER)),
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
        let at = lines.iter().position(is_key).unwrap();
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
        rotate = false
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
    assert_eq!((config.cache.refresh, config.cache.rotate), (false, false));
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
        passed: Vec::new(),
        listen: vec![address::Endpoint::listener("127.0.0.1:5300").unwrap()],
        upstreams: vec![
            address::Endpoint::upstream("10.0.0.9").unwrap(),
            address::Endpoint::upstream("10.0.0.9:5353").unwrap(),
        ],
        admin: Some(AdminListen::parse("127.0.0.1:9000").unwrap()),
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
        passed: Vec::new(),
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

proptest! {
    #[test]
    fn the_effective_configuration_reads_back(config in generated::any_config()) {
        let text = config.to_toml();
        let loaded = parsed(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(loaded.config, config);
        // What is right is right by the schema, too.
        let file: serde_json::Value = toml::from_str(&text).expect("TOML");
        prop_assert_eq!(super::schema::tests::refused(&file), Vec::<String>::new());
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

#[test]
fn the_order_of_a_resolv_conf_holds_unless_the_file_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("named.conf");
    std::fs::write(&named, "nameserver 127.0.0.53\nnameserver 10.0.0.9\n").unwrap();
    let host = |tables: &str| format!("version = 1\n{tables}[host]\nresolv-conf = {named:?}\n");
    let loaded = parsed(&host("")).unwrap();
    assert_eq!(
        loaded.upstreams_from,
        UpstreamsFrom::ResolvConf(named.clone())
    );
    let names: Vec<_> = loaded.config.upstreams.iter().map(|it| &it.name).collect();
    assert_eq!(names, ["127.0.0.53", "10.0.0.9"]);
    assert_eq!(loaded.config.routing.policy, Policy::Ordered);
    let fastest = config(&host("[routing]\npolicy = \"fastest\"\n"));
    assert_eq!(fastest.routing.policy, Policy::Fastest);
    // Upstreams that are given are equals, and the file is not read.
    let given = parsed(&format!("{}{UPSTREAM}", host(""))).unwrap();
    assert_eq!(given.upstreams_from, UpstreamsFrom::File);
    assert_eq!(given.config.routing.policy, Policy::Fastest);

    std::fs::remove_file(&named).unwrap();
    // It may come later.
    let none = parsed(&host("")).unwrap();
    assert!(none.has_nobody() && none.config.upstreams.is_empty());
    let warning = none.remarks.concat();
    assert!(warning.contains("byway.toml:3:15"), "{warning}");
    assert!(warning.contains("No such file"), "{warning}");
    let error = parsed("version = 1\n[host]\nresolv-conf = \"resolv.conf\"\n").unwrap_err();
    assert!(
        error.contains("expected the absolute path of a file"),
        "{error}"
    );
}
