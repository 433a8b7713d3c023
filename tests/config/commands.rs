//! The commands that go with a configuration.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

fn byway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(arguments)
        .env_remove("STATE_DIRECTORY")
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn config_prints_the_annotated_default() {
    let output = byway(&["config"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        include_str!("../../config/byway.toml")
    );
}

#[test]
fn check_prints_a_file_that_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let first = "version = 1\n[[upstream]]\naddress = \"10.0.0.2\"\n";
    std::fs::write(path("first.toml"), first).unwrap();

    let output = byway(&["check", &path("first.toml")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let effective = text(&output.stdout);
    assert!(effective.starts_with(&format!("# OK: {}\n", path("first.toml"))));

    std::fs::write(path("second.toml"), effective).unwrap();
    let output = byway(&["check", &path("second.toml")]);
    assert_eq!(output.status.code(), Some(0));
    let body = |text: &str| text.split_once("\n\n").map(|it| it.1.to_owned());
    assert_eq!(body(text(&output.stdout)), body(effective));
}

#[test]
fn check_prints_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("byway.toml").display().to_string();
    let secret = "0123456789abcdef0123456789abcdef";
    let config = format!(
        "version = 1\n[[upstream]]\naddress = \"10.0.0.2\"\n[limits]\ncookie-secrets = [\"{secret}\"]\n"
    );
    std::fs::write(&file, config).unwrap();
    for arguments in [&["check", &file][..], &["check", &file, "--json"]] {
        let output = byway(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(!text(&output.stdout).contains(secret));
    }
    let output = byway(&["check", &file]);
    assert!(text(&output.stdout).contains("# cookie-secrets: 1, not shown\n"));
}

#[test]
fn check_refuses_with_2_and_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("byway.toml");
    std::fs::write(&path, "version = 1\nworkers = 0\n").unwrap();
    let output = byway(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let expected = format!(
        "error: `workers` is out of range\n --> {}:2:11\n",
        path.display()
    );
    assert!(text(&output.stderr).starts_with(&expected));
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    for arguments in [
        &["no-such-command"][..],
        &["check", "--bogus"],
        &["completions", "tcsh"],
    ] {
        let output = byway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
    let output = byway(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Exit status:"));
    let output = byway(&["--version"]);
    let expected = format!("byway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn the_schema_is_json() {
    let output = byway(&["check", "--schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        schema["properties"]["cache"]["properties"]["max-ttl"]["default"],
        "1 d"
    );
}

#[test]
fn manual_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let output = byway(&["man", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for section in [
        "NAME",
        "SYNOPSIS",
        "SUBCOMMANDS",
        "\"EXIT STATUS\"",
        "SIGNALS",
        "FILES",
    ] {
        assert!(
            page("byway.1").contains(&format!("\n.SH {section}\n")),
            "{section}"
        );
    }
    assert!(page("byway-check.1").contains("byway\\-check"));
    assert!(page("byway.toml.5").contains("hosts\\-ttl = "));
    assert!(page("byway-metrics.7").contains("byway_queries_total counter"));
    assert_eq!(text(&byway(&["man"]).stdout), page("byway.1"));
    for shell in ["bash", "zsh", "fish"] {
        let script = byway(&["completions", shell]);
        assert!(text(&script.stdout).contains("byway"), "{shell}");
    }
}

/// As [`byway`], with something to read.
fn byway_reading(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(arguments)
        .env_remove("STATE_DIRECTORY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("the program runs")
}

const UPSTREAM: &str = "version = 1\n[[upstream]]\naddress = \"10.0.0.2\"\n";

#[test]
fn check_reads_standard_input_and_takes_the_file_either_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("byway.toml").display().to_string();
    std::fs::write(&path, UPSTREAM).unwrap();
    let body = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = text(&output.stdout).to_owned();
        text.split_once("\n\n").map(|it| it.1.to_owned())
    };
    let expected = body(&byway(&["check", &path]));
    assert_eq!(body(&byway(&["check", "-c", &path])), expected);
    assert_eq!(body(&byway(&["check", "--config", &path])), expected);
    assert_eq!(body(&byway_reading(&["check", "-"], UPSTREAM)), expected);
    assert_eq!(
        body(&byway_reading(&["check", "-c", "-"], UPSTREAM)),
        expected
    );
    let output = byway_reading(&["check", "-"], "version = 1\nworkers = 0\n");
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: `workers` is out of range\n --> standard input:2:11\n";
    assert!(text(&output.stderr).starts_with(expected), "{output:?}");
}

#[test]
fn check_takes_what_the_command_line_says_in_place_of_the_file() {
    let arguments = [
        "check",
        "-",
        "--admin",
        "127.0.0.1:9000",
        "-l",
        "127.0.0.2:53",
        "-u",
        "10.0.0.3",
    ];
    let output = byway_reading(&arguments, UPSTREAM);
    let said = text(&output.stdout);
    for part in ["127.0.0.1:9000", "127.0.0.2:53", "10.0.0.3:53"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("10.0.0.2"), "{said}");
    let off = byway_reading(&["check", "-", "--admin", "off"], UPSTREAM);
    assert!(text(&off.stdout).contains("[admin]\nlisten = \"off\"\n"));
    let bad = byway_reading(&["check", "-", "--admin", "nowhere"], UPSTREAM);
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn check_prints_json_for_programs() {
    let json = |input: &str| {
        let output = byway_reading(&["check", "--json", "-"], input);
        assert_eq!(text(&output.stderr), "");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), value)
    };
    let (code, value) = json(UPSTREAM);
    assert_eq!((code, &value["ok"]), (Some(0), &true.into()));
    assert_eq!(value["upstreams_from"], "the configuration file");
    assert_eq!(value["config"]["upstream"][0]["address"], "10.0.0.2:53");
    assert_eq!(value["config"]["routing"]["policy"], "fastest");

    let (code, value) = json("version = 1\nworkers = 0\nfoo = 1\n");
    assert_eq!((code, &value["ok"]), (Some(2), &false.into()));
    let report = &value["reports"][0];
    assert_eq!(
        (&report["line"], &report["column"]),
        (&2.into(), &11.into())
    );
    assert_eq!(
        (&report["severity"], &report["place"]),
        (&"error".into(), &"standard input".into())
    );
    assert_eq!(report["message"], "`workers` is out of range");
    assert_eq!(value["reports"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_configuration_that_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let fifo = fifo.display().to_string();
    let folder = folder.path().display().to_string();
    let cases = [
        (fifo.as_str(), "a FIFO"),
        (&folder, "a directory"),
        ("/dev/zero", "a device"),
    ];
    for (path, what) in cases {
        for command in ["check", "run"] {
            let output = byway(&[command, "--config", path]);
            assert_eq!(output.status.code(), Some(2), "{path}");
            let expected = format!("expected a file, found {what}");
            assert!(text(&output.stderr).contains(&expected), "{output:?}");
        }
    }
}

#[test]
fn urls_of_encrypted_transports_are_answered_with_what_to_write() {
    for (address, what) in [
        ("tls://10.0.0.2", "TLS"),
        ("https://dns.example/dns-query", "HTTPS"),
    ] {
        let expected = format!("not a URL of DNS over {what}");
        let file = format!("version = 1\n[[upstream]]\naddress = \"{address}\"\n");
        for output in [
            byway_reading(&["check", "-"], &file),
            byway(&["run", "--upstream", address]),
        ] {
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains(&expected), "{output:?}");
        }
    }
    let file = format!("{UPSTREAM}transport = \"doh\"\n");
    let output = byway_reading(&["check", "-"], &file);
    assert!(
        text(&output.stderr).contains("byway speaks TLS alone"),
        "{output:?}"
    );
}

/// systemd runs byway as a user of its own and says where its socket goes: the place that root's has by itself.
#[test]
fn who_is_not_root_puts_the_control_socket_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(env!("CARGO_BIN_EXE_byway"), path("byway")).unwrap();
    std::fs::write(path("byway.toml"), UPSTREAM).unwrap();
    let control = |told: Option<&str>| {
        let mut command = Command::new(path("byway"));
        command.arg("check").arg(path("byway.toml")).env_clear();
        command.envs(told.map(|it| ("RUNTIME_DIRECTORY", it)));
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().expect("the program runs");
        let said = text(&output.stdout).to_owned();
        let line = said.lines().find(|it| it.starts_with("control = "));
        line.expect("it is said").to_owned()
    };
    assert_eq!(control(None), "control = \"off\"");
    let told = control(Some("/run/byway"));
    assert_eq!(told, "control = \"/run/byway/control.sock\"");
}
