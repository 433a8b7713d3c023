//! Which names are asked for most, and which clients ask most.

use serde_json::Value;

use super::kit::daemon::{run, stderr, stdout};
use super::kit::*;

fn top(daemon: &Daemon, arguments: &[&str]) -> std::process::Output {
    let socket = daemon.folder().join("control.sock");
    let mut command = byway();
    command
        .arg("top")
        .args(arguments)
        .arg("--socket")
        .arg(socket);
    run(&mut command)
}

#[test]
fn names_and_clients_are_counted_over_both_transports_and_forgotten_when_that_is_turned_off() {
    let upstream = Upstream::good();
    let setup = Setup::to(&[&upstream]);
    let daemon = setup.clone().start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    (0..30).for_each(|_| drop(stub.ask(&Build::query("Often.example", A))));
    let mut connection = Connection::new(daemon.dns());
    (0..10).for_each(|_| drop(connection.ask(&Build::query("often.example", A))));
    (0..5).for_each(|_| drop(connection.ask(&Build::query("rare.example", A))));
    let told: Value = serde_json::from_str(&stdout(&top(&daemon, &["--json"]))).expect("JSON");
    let names = told["names"].as_array().expect("names");
    let of = |name: &str| {
        names
            .iter()
            .find(|it| it["name"] == name)
            .expect("it is there")
    };
    assert_eq!(names[0]["name"], "often.example.");
    assert_eq!(names[0]["answers"], 40);
    assert_eq!(names[0]["from_upstream"], 1);
    assert_eq!(of("rare.example.")["answers"], 5);
    assert_eq!(told["answers"], told["looked_at"], "few are all looked at");
    assert_eq!(told["clients"][0]["name"], "127.0.0.1");
    assert_eq!(told["clients"][0]["answers"], told["answers"]);
    let text = stdout(&top(&daemon, &["-n", "1"]));
    assert!(
        text.contains("often.example.") && text.contains("127.0.0.1"),
        "{text}"
    );
    assert!(!text.contains("rare.example"), "{text}");
    assert_eq!(daemon.http("/api/v1/top?most=1").0, 200);

    let off = setup.tables("[top]\nenabled = false");
    std::fs::write(daemon.folder().join("byway.toml"), off.text()).expect("written");
    let socket = daemon.folder().join("control.sock");
    let done = run(byway().arg("reload").arg("--socket").arg(socket));
    assert!(stdout(&done).contains("[top] enabled"), "{}", stderr(&done));
    (0..3).for_each(|_| drop(stub.ask(&Build::query("secret.example", A))));
    let told = top(&daemon, &[]);
    assert_eq!(told.status.code(), Some(1));
    assert!(
        stderr(&told).contains("`[top] enabled` is false"),
        "{}",
        stderr(&told)
    );
    let told: Value = serde_json::from_str(&daemon.http("/api/v1/top").1).expect("JSON");
    assert_eq!(
        (&told["answers"], &told["enabled"]),
        (&0.into(), &false.into())
    );
    assert_eq!(told["names"], Value::Array(Vec::new()));
}
