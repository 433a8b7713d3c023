//! A standby that nobody asks: what it is known for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::kit::*;

/// How long what is to show within 15 s is waited for on a machine that does other things too.
const LONG: Duration = Duration::from_secs(60);

/// An upstream that is well until it is told to fall ill, and what it does then.
fn ill(falls: &Arc<AtomicBool>, with: Way) -> Upstream {
    let falls = Arc::clone(falls);
    Upstream::new(move |asked| match falls.load(Ordering::Relaxed) {
        true => with(asked),
        false => vec![Act::Send(asked.good())],
    })
}

fn verdict(daemon: &Daemon, upstream: &str) -> String {
    let metrics = daemon.metrics();
    let verdicts = [
        "clear",
        "unknown",
        "suspect",
        "recovering",
        "congested",
        "sick",
        "dead",
    ];
    let held = verdicts.into_iter().find(|verdict| {
        let labels = [("upstream", upstream), ("verdict", verdict)];
        metrics.sum("byway_route_verdict", &labels) == 1.0
    });
    held.expect("each route has a verdict").to_owned()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn standbys_that_die_are_known_though_nobody_asks_anything() {
    let falls = Arc::new(AtomicBool::new(false));
    let good = Upstream::good();
    let silent = ill(&falls, |_| Vec::new());
    let failing = ill(&falls, |asked| {
        vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]
    });
    let refusing = ill(&falls, |asked| {
        // It serves its own names only.
        vec![Act::Send(match asked.rtype() == NS {
            true => asked.reply().rcode(REFUSED).bytes(),
            false => asked.good(),
        })]
    });
    let closed = Upstream::good();
    let daemon = Setup::to(&[&good, &silent, &failing, &refusing, &closed])
        .tables("[routing]\npolicy = \"ordered\"\n")
        .start();
    let all = ["u0", "u1", "u2", "u3", "u4"];
    wait_for("the first round", || {
        all.iter().all(|it| verdict(&daemon, it) == "clear")
    });
    falls.store(true, Ordering::Relaxed);
    drop(closed);
    for dead in ["u1", "u2", "u4"] {
        wait_for(dead, || {
            ["sick", "dead"].contains(&&*verdict(&daemon, dead))
        });
    }
    // Whoever was asked to tell a server's trouble from its path's has answered.
    for well in ["u0", "u3"] {
        wait_for(well, || verdict(&daemon, well) == "clear");
    }
    let stub = Stub::new(daemon.dns());
    assert_eq!(stub.ask(&Build::query("well.example", A)).rcode(), NOERROR);
    // Each of them is told once, a moment later, and nobody else.
    let told = |of: &str| {
        let line = format!("WARN upstream {of} ");
        daemon.log().lines().filter(|it| it.contains(&line)).count()
    };
    for dead in ["u1", "u2", "u4"] {
        wait_for("it is told", || told(dead) > 0);
    }
    let log = daemon.log();
    assert_eq!(
        ["u0", "u1", "u2", "u3", "u4"].map(told),
        [0, 1, 1, 0, 1],
        "{log}"
    );
    assert_eq!(log.matches("WARN").count(), 3, "{log}");
}

#[test]
fn what_was_never_heard_is_unknown_and_metered_paths_are_not_asked() {
    let (one, other) = (Upstream::good(), Upstream::good());
    let text = "[[path]]\nname = \"default\"\nmetered = true\n";
    let daemon = Setup::to(&[&one, &other]).tables(text).start();
    assert_eq!(
        (verdict(&daemon, "u0"), verdict(&daemon, "u1")),
        ("unknown".into(), "unknown".into())
    );
    let (_, routes) = daemon.http("/api/v1/routes");
    assert!(routes.contains("\"verdict\":\"unknown\""), "{routes}");
    let stub = Stub::new(daemon.dns());
    assert_eq!(stub.ask(&Build::query("first.example", A)).rcode(), NOERROR);
    wait_for("one is clear", || {
        [verdict(&daemon, "u0"), verdict(&daemon, "u1")].contains(&"clear".into())
    });
    let probes = [("kind", "probe")];
    assert_eq!(daemon.metric("byway_attempts_sent_total", &probes), 0.0);
}
