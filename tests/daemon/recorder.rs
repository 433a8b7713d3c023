//! The flight recorder of the real program: killed, starved of its disk, read while it writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use byway::record::{Kind, Log};
use rustix::process::Signal;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::{A, Build, Daemon, NOERROR, Setup, Stub, Upstream, byway, eventually};

fn setup(upstream: &Upstream, file: &Path) -> Setup {
    let table = format!("[recorder]\npath = {file:?}\nsize = \"1 MiB\"\n");
    Setup::to(&[upstream]).tables(&table)
}

fn seconds(file: &Path) -> usize {
    let Ok(log) = Log::open(file) else { return 0 };
    let frames = log.frames().iter();
    frames
        .filter(|it| it.kind == Kind::Second && log.numbers(it).is_some())
        .count()
}

fn told(file: &Path) -> Vec<String> {
    let log = Log::open(file).expect("the record");
    let text = |it: &byway::record::Told| it.event["text"].as_str().unwrap_or_default().to_owned();
    log.told().iter().map(text).collect()
}

fn status(daemon: &Daemon) -> String {
    let socket = daemon.folder().join("control.sock");
    stdout(&run(byway().args(["status", "--socket"]).arg(socket)))
}

#[test]
fn seconds_and_events_are_recorded_and_an_orderly_end_too() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let mut daemon = setup(&upstream, &file).start();
    daemon.warm_up();
    let socket = daemon.folder().join("control.sock");
    run(byway().args(["drain", "u0", "--socket"]).arg(&socket));
    // Read while it is written.
    eventually("three seconds and the drain are there", || {
        seconds(&file) >= 3
            && told(&file)
                .iter()
                .any(|it| it.starts_with("upstream u0 drained by"))
    });
    assert!(status(&daemon).contains(&format!("recorded in {}\n", file.display())));
    daemon.expect_metric("byway_recorder_on_disk", &[], 1.0);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    let told = told(&file);
    assert!(
        told[0].starts_with("byway 0.1.0 started as process "),
        "{told:?}"
    );
    assert_eq!(
        told.last().map(String::as_str),
        Some("byway stopped: told to")
    );
    let log = Log::open(&file).expect("the record");
    let answered: u64 =
        log.frames()
            .iter()
            .filter(|it| it.kind == Kind::Second)
            .filter_map(|it| log.numbers(it))
            .map(|numbers| {
                let misses = numbers.shape.places().filter(|(_, it)| {
                    it.name == "byway_queries_total" && it.label("result") == "miss"
                });
                misses
                    .filter_map(|(place, _)| numbers.counter(place, false))
                    .sum::<u64>()
            })
            .sum();
    assert_eq!(answered, 30, "every question of warming up, once");
    assert_eq!(fs::metadata(&file).expect("it").len(), 1 << 20);
}

#[test]
fn a_daemon_that_is_killed_loses_a_second_at_most() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let mut before = 0;
    for life in 0..4u64 {
        let mut daemon = setup(&upstream, &file).start();
        eventually("a second more is there", || seconds(&file) > before);
        // At no moment in particular.
        std::thread::sleep(Duration::from_millis(life * 337));
        let held = seconds(&file);
        daemon.signal(Signal::KILL);
        daemon.wait();
        let after = seconds(&file);
        assert!(after >= held, "{held} before, {after} after");
        before = after;
    }
    let starts = told(&file);
    let starts = starts
        .iter()
        .filter(|it| it.contains(" started as process "));
    assert_eq!(starts.count(), 4);
    let log = Log::open(&file).expect("the record");
    assert!(
        log.frames()
            .windows(2)
            .all(|pair| pair[0].time <= pair[1].time)
    );
}

#[test]
fn two_daemons_do_not_share_a_record() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let _first = setup(&upstream, &file).start();
    eventually("the first one records", || seconds(&file) > 0);
    let second = setup(&upstream, &file).start();
    eventually("the second one says so", || {
        second.log().contains("another byway records there")
    });
    second.expect_metric("byway_recorder_on_disk", &[], 0.0);
    assert!(
        status(&second).contains("recorded in MEMORY ONLY"),
        "{}",
        status(&second)
    );
}

#[test]
fn without_room_on_disk_answers_go_on_and_the_record_is_in_memory() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = setup(&upstream, &folder.path().join("gone/flight.record")).start();
    let stub = Stub::new(daemon.dns());
    for number in 0..3 {
        let reply = stub.ask(&Build::query(&format!("a{number}.example"), A));
        assert_eq!(reply.rcode(), NOERROR);
    }
    eventually("it is said", || daemon.log().contains("in memory only"));
    eventually("seconds are in memory", || {
        daemon.metric("byway_recorder_frames_total", &[("kept", "memory")]) >= 3.0
    });
    assert_eq!(daemon.log().matches("in memory only").count(), 1);
    assert!(daemon.metrics().sum("byway_recorder_on_disk", &[]) == 0.0);
}

#[test]
fn a_record_is_not_for_everybody_and_none_is_kept_where_none_is_wanted() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let daemon = setup(&upstream, &file).start();
    eventually("it is there", || seconds(&file) > 0);
    let mode = fs::metadata(&file).expect("it").permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    drop(daemon);
    let off = Setup::to(&[&upstream])
        .tables("[recorder]\nenabled = false\n")
        .start();
    assert!(!status(&off).contains("recorded in"));
    let (code, body) = off.http("/api/v1/history");
    assert_eq!(code, 404, "{body}");
    assert!(
        !off.metrics()
            .kinds
            .contains_key("byway_recorder_frames_total")
    );
}

fn history(arguments: &[&str]) -> Output {
    run(byway().arg("history").args(arguments))
}

#[test]
fn history_is_read_with_the_daemon_running_and_gone() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let setup = setup(&upstream, &file);
    let mut daemon = setup.start();
    daemon.warm_up();
    let socket = daemon.folder().join("control.sock");
    let socket = socket.to_str().expect("UTF-8");
    let questions = |arguments: &[&str]| -> u64 {
        let shown = history(&[arguments, &["--format", "json", "--from", "-1h"]].concat());
        let json: serde_json::Value = serde_json::from_str(&stdout(&shown)).unwrap_or_default();
        let steps = json["steps"].as_array().cloned().unwrap_or_default();
        steps
            .iter()
            .filter_map(|it| it["clients"]["questions"].as_u64())
            .sum()
    };
    eventually("all questions are shown", || {
        questions(&["--socket", socket]) == 30
    });
    eventually("over HTTP too", || {
        // 503 while another request is served.
        let (_, body) = daemon.http("/api/v1/history?from=-1h&step=3600");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let steps = json["steps"].as_array().cloned().unwrap_or_default();
        let count = |it: &serde_json::Value| it["clients"]["questions"].as_u64();
        steps.iter().filter_map(count).sum::<u64>() == 30
    });
    let table = stdout(&history(&["--socket", socket, "--events"]));
    assert!(table.starts_with("time "), "{table}");
    assert!(
        table.contains("u0@default") && table.contains("started as process"),
        "{table}"
    );
    let config = daemon.folder().join("byway.toml");
    let config = config.to_str().expect("UTF-8").to_owned();
    let path = file.to_str().expect("UTF-8");
    daemon.signal(Signal::KILL);
    daemon.wait();
    assert_eq!(questions(&["--file", path]), 30);
    assert_eq!(
        questions(&["-c", &config]),
        30,
        "the configuration says where it is"
    );
    let csv = stdout(&history(&[
        "--file", path, "--format", "csv", "--step", "1h",
    ]));
    assert!(
        csv.lines().nth(1).is_some_and(|line| line.contains(",30,")),
        "{csv}"
    );
}

#[test]
fn history_shows_what_is_in_memory_alone() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[recorder]\npath = \"off\"\n")
        .start();
    daemon.warm_up();
    let socket = daemon.folder().join("control.sock");
    let socket = socket.to_str().expect("UTF-8");
    eventually("all questions are shown", || {
        let csv = stdout(&history(&[
            "--socket", socket, "--format", "csv", "--step", "1h",
        ]));
        csv.lines().nth(1).is_some_and(|line| line.contains(",30,"))
    });
}

#[test]
fn history_says_what_it_does_not_have() {
    let none = history(&["--file", "/nonexistent/flight.record"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr(&none).contains("/nonexistent/flight.record: No such file"),
        "{}",
        stderr(&none)
    );
    for arguments in [
        &["--from", "yesterday"][..],
        &["--from", "now"],
        &["--from", "-10d", "--step", "1s"],
    ] {
        let odd = history(arguments);
        assert_eq!(
            odd.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&odd)
        );
    }
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let _daemon = setup(&upstream, &file).start();
    eventually("it records", || seconds(&file) > 0);
    let path = file.to_str().expect("UTF-8");
    let early = history(&["--file", path, "--from", "-3h", "--to", "-2h"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(
        stderr(&early).contains("the record reaches from 20"),
        "{}",
        stderr(&early)
    );
}

/// The hole in Prometheus is filled: its own tool takes the record, and gives the values back.
#[test]
fn prometheus_takes_the_record() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let mut daemon = setup(&upstream, &file).start();
    daemon.warm_up();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    let path = file.to_str().expect("UTF-8");
    let text = history(&["--file", path, "--format", "openmetrics", "--step", "1s"]);
    assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
    let (metrics, blocks) = (folder.path().join("metrics"), folder.path().join("blocks"));
    fs::write(&metrics, &text.stdout).expect("written");
    let mut promtool = Command::new("promtool");
    promtool
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(&metrics)
        .arg(&blocks);
    let made = match promtool.output() {
        // CI installs it.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() =>
        {
            eprintln!("skipped: there is no promtool (Debian: prometheus)");
            return;
        }
        made => made.expect("promtool runs"),
    };
    assert!(made.status.success(), "{}{}", stdout(&made), stderr(&made));
    // What Prometheus itself would have made.
    fs::create_dir(blocks.join("wal")).expect("a folder");
    let dump = run(Command::new("promtool").args(["tsdb", "dump"]).arg(&blocks));
    let dump = stdout(&dump);
    let last = |labels: &[&str]| -> Option<f64> {
        let mut samples: Vec<(u64, f64)> = dump
            .lines()
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| {
                let (_, sample) = line.rsplit_once("} ")?;
                let (value, time) = sample.split_once(' ')?;
                Some((time.parse().ok()?, value.parse().ok()?))
            })
            .collect();
        samples.sort_by_key(|it| it.0);
        samples.last().map(|it| it.1)
    };
    assert_eq!(
        last(&[
            "\"byway_queries_total\"",
            "transport=\"udp\"",
            "result=\"miss\""
        ]),
        Some(30.0)
    );
    assert_eq!(
        last(&[
            "\"byway_query_duration_seconds_count\"",
            "source=\"upstream\""
        ]),
        Some(30.0)
    );
    let bucket = [
        "\"byway_query_duration_seconds_bucket\"",
        "source=\"upstream\"",
        "le=\"+Inf\"",
    ];
    assert_eq!(last(&bucket), Some(30.0));
    assert_eq!(
        last(&["\"byway_limit\"", "limit=\"questions\""]),
        Some(8192.0)
    );
}

fn incident(file: &Path, arguments: &[&str]) -> Output {
    run(byway()
        .arg("incident")
        .arg("--file")
        .arg(file)
        .args(arguments))
}

/// A real fault: one of two servers goes silent under load, byway leaves it, and it comes back.
#[test]
fn an_incident_names_the_culprit_and_what_was_done() {
    let (first, second) = (Upstream::good(), Upstream::good());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flight.record");
    let table = format!(
        "[recorder]\npath = {file:?}\nsize = \"4 MiB\"\n[routing]\npolicy = \"ordered\"\nreturn-within = \"1 s\"\n"
    );
    let daemon = Setup::to(&[&first, &second]).tables(&table).start();
    daemon.warm_up();
    let none = incident(&file, &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr(&none).contains("no trouble is recorded"),
        "{}",
        stderr(&none)
    );
    first.now(|_| Vec::new());
    let stub = Stub::new(daemon.dns());
    let mut number = 0;
    let mut ask = || {
        number += 1;
        let reply = stub.ask(&Build::query(&format!("trouble-{number}.example"), A));
        assert_eq!(reply.rcode(), NOERROR, "the other one answers");
    };
    let kinds = |kind: &str| {
        let log = Log::open(&file).expect("the record");
        log.told()
            .iter()
            .filter(|it| it.event["kind"] == kind)
            .count()
    };
    eventually("the trouble is told", || {
        ask();
        kinds("trouble") > 0
    });
    let ongoing = stdout(&incident(&file, &[]));
    assert!(ongoing.contains("it goes on"), "{ongoing}");
    first.now(|asked| vec![crate::kit::Act::Send(asked.good())]);
    eventually("it is over", || {
        ask();
        kinds("trouble-over") > 0
    });
    let text = stdout(&incident(&file, &["--last"]));
    assert!(text.starts_with("Incident 1: upstream u0 "), "{text}");
    assert!(text.contains("clients noticed nothing"), "{text}");
    for part in [
        "Who was blamed",
        "u0@default",
        "What leaving was worth",
        "upstream u0, left alone for ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let list = stdout(&incident(&file, &["--list"]));
    assert!(list.contains("upstream u0 "), "{list}");
    let at = stdout(&incident(&file, &["--at", "now", "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&at).expect("an object");
    assert_eq!(json["clients"]["during"]["failed"], 0);
    assert_eq!(json["blamed"][0]["name"], "upstream u0");
    let page = stdout(&incident(&file, &["--format", "html"]));
    assert!(page.contains("<svg ") && page.ends_with("</html>\n"));
    let scenario = stdout(&incident(&file, &["--scenario"]));
    let scenario: serde_json::Value = serde_json::from_str(&scenario).expect("an object");
    assert_eq!(scenario["blamed"][0], "upstream u0");
    assert_eq!(scenario["routes"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_wait_for_what_is_never_answered_is_no_round_trip() {
    let (silent, good) = (Upstream::silent(), Upstream::good());
    let daemon = Setup::to(&[&silent, &good]).start();
    eventually("something is lost, and something answered", || {
        let name = format!("n{}.known.test", rand::random::<u32>());
        Stub::new(daemon.dns()).ask(&Build::query(&name, A));
        let (_, body) = daemon.http("/api/v1/history?from=-1h&step=86400");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        // A day may have ended meanwhile.
        let steps = json["steps"].as_array().cloned().unwrap_or_default();
        let Some(routes) = steps.last().and_then(|it| it["routes"].as_array()) else {
            return false;
        };
        let of = |name: &str| routes.iter().find(|it| it["name"] == name).expect("it");
        let (silent, good) = (of("u0@default"), of("u1@default"));
        assert!(silent["rtt"].is_null(), "{silent}");
        silent["lost"].as_u64() > Some(0) && good["rtt"].as_f64().is_some_and(|it| it < 1.0)
    });
}
