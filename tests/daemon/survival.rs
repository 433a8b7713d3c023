//! What is known stays known: stale answers (RFC 8767), remembered failures (RFC 9520), restarts.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::kit::*;

/// Answers that last a second: an address for A, nothing for other types.
fn brief(asked: &Asked) -> Build {
    match asked.rtype() {
        A => asked.reply().answer(a(&asked.name(), 1, [192, 0, 2, 1])),
        _ => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 1, 1)),
    }
}

/// How upstreams fail.
const FAILURES: &[(&str, Way)] = &[
    ("SERVFAIL", |asked| {
        vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]
    }),
    ("REFUSED", |asked| {
        vec![Act::Send(asked.reply().rcode(REFUSED).bytes())]
    }),
    ("silence", |_| Vec::new()),
];

#[test]
fn a_failure_never_shadows_what_was_known() {
    for (what, fail) in FAILURES {
        let upstream = Upstream::saying(brief);
        let daemon = Setup::to(&[&upstream])
            .tables("[routing]\ndeadline = \"60s\"")
            .start();
        let stub = Stub::new(daemon.dns());
        let known = Build::query("known.example", A).edns(Edns::new(1232));
        let nothing = Build::query("nothing.example", TXT).edns(Edns::new(1232));
        assert_eq!(
            (stub.ask(&known).rcode(), stub.ask(&nothing).rcode()),
            (NOERROR, NXDOMAIN)
        );
        upstream.now(fail);
        thread::sleep(Duration::from_millis(1200));
        // The deadline is far beyond the stub's patience.
        for _ in 0..3 {
            let reply = stub.ask(&known);
            assert_eq!(reply.addresses(), ["192.0.2.1"], "{what}: {reply:?}");
            assert_eq!(
                (reply.ttl(), reply.edes()),
                (30, vec![3]),
                "{what}: {reply:?}"
            );
            assert!(!reply.has(AA));
            let reply = stub.ask(&nothing);
            assert_eq!(
                (reply.rcode(), reply.edes()),
                (NXDOMAIN, vec![19]),
                "{what}: {reply:?}"
            );
            let plain = Connection::new(daemon.dns()).ask(&Build::query("known.example", A));
            assert_eq!(
                (plain.ttl(), plain.addresses().len()),
                (30, 1),
                "{what}: {plain:?}"
            );
        }
        assert!(daemon.metric("byway_stale_answers_total", &[]) >= 9.0);
        assert!(daemon.metric("byway_queries_total", &[("result", "stale")]) >= 9.0);
    }
}

#[test]
fn stale_answers_can_be_forbidden() {
    let upstream = Upstream::saying(brief);
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nstale-max = \"0s\"\n[routing]\ndeadline = \"1s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("known.example", A).edns(Edns::new(1232));
    assert_eq!(stub.ask(&query).rcode(), NOERROR);
    upstream.now(|asked| vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]);
    eventually("it is forgotten", || stub.ask(&query).rcode() == SERVFAIL);
}

#[test]
fn the_operator_chooses_the_ttl_of_stale_answers() {
    let upstream = Upstream::saying(brief);
    let daemon = Setup::to(&[&upstream])
        .tables("[cache]\nstale-ttl = \"7s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("known.example", A);
    stub.ask(&query);
    upstream.now(|asked| vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]);
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(stub.ask(&query).ttl(), 7);
}

#[test]
fn a_late_answer_still_refreshes() {
    let gate = Gate::default();
    let upstream = Upstream::saying(brief);
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("late.example", A).edns(Edns::new(1232));
    stub.ask(&query);
    thread::sleep(Duration::from_millis(1200));
    upstream.now({
        let gate = gate.clone();
        move |asked| {
            let fresh = asked.reply().answer(a(&asked.name(), 3600, [192, 0, 2, 2]));
            vec![Act::WaitFor(gate.clone()), Act::Send(fresh.bytes())]
        }
    });
    assert_eq!(
        stub.ask(&query).edes(),
        [3],
        "stale, since the upstream takes its time"
    );
    gate.open();
    eventually("the late answer is kept", || {
        let reply = stub.ask(&query);
        reply.addresses() == ["192.0.2.2"] && reply.edes().is_empty()
    });
}

#[test]
fn a_healthy_upstream_makes_no_stale_answers() {
    let upstream = Upstream::saying(brief);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    for _ in 0..6 {
        let reply = stub.ask(&Build::query("healthy.example", A).edns(Edns::new(1232)));
        assert!(reply.ttl() <= 1 && reply.edes().is_empty(), "{reply:?}");
        thread::sleep(Duration::from_millis(450));
    }
    daemon.expect_metric("byway_stale_answers_total", &[], 0.0);
}

#[test]
fn failures_are_remembered() {
    let upstream = Upstream::new(|asked| match asked.lower().starts_with("broken") {
        true => vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())],
        false => vec![Act::Send(asked.good())],
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("broken.example", A).edns(Edns::new(1232));
    let mut remembered = 0;
    for _ in 0..200 {
        let reply = stub.ask(&query);
        assert_eq!(reply.rcode(), SERVFAIL);
        assert!(!reply.edes().is_empty(), "{reply:?}");
        remembered += usize::from(reply.edes().contains(&13));
    }
    assert!(
        remembered >= 150,
        "{remembered} of 200 say that it is a cached error"
    );
    let asked = upstream.asked_for("broken.example.").len();
    assert!(asked <= 12, "asked {asked} times");
    assert!(daemon.metric("byway_failure_cache_hits_total", &[]) >= 150.0);
    // A broken zone does not harm its neighbours.
    for number in 0..20 {
        let reply = stub.ask(&Build::query(&format!("fine{number}.example"), A));
        assert_eq!(reply.rcode(), NOERROR);
    }
    // And what is mended works again.
    upstream.now(|asked| vec![Act::Send(asked.good())]);
    eventually("it is asked again", || stub.ask(&query).rcode() == NOERROR);
}

#[test]
fn the_cache_outlives_the_daemon() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("cache.snapshot");
    let setup = Setup::to(&[&upstream]).tables(&format!("[cache]\nsnapshot = {snapshot:?}"));
    let mut daemon = setup.start();
    for number in 0..50 {
        Stub::new(daemon.dns()).ask(&Build::query(&format!("kept{number}.example"), A));
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert!(snapshot.exists(), "{}", daemon.log());

    upstream.now(|_| Vec::new());
    let daemon = setup.start();
    for number in 0..50 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query(&format!("kept{number}.example"), A));
        assert_eq!(reply.answers.len(), 1, "{reply:?}");
        assert!(reply.ttl() <= 3600);
    }
    daemon.expect_questions(0);
    drop(daemon);

    // A damaged one is refused with a line, and the daemon starts empty.
    let mut bytes = std::fs::read(&snapshot).expect("a snapshot");
    let middle = bytes.len() / 2;
    for (what, damaged) in [
        ("truncated", bytes[..middle].to_vec()),
        ("foreign", b"not a snapshot at all".to_vec()),
        ("empty", Vec::new()),
        ("flipped", {
            bytes[middle] ^= 0x10;
            bytes.clone()
        }),
    ] {
        std::fs::write(&snapshot, damaged).expect("damaged");
        let upstream = Upstream::good();
        let daemon = Setup::to(&[&upstream])
            .tables(&format!("[cache]\nsnapshot = {snapshot:?}"))
            .start();
        eventually("it is said", || daemon.log().contains("snapshot"));
        let reply = Stub::new(daemon.dns()).ask(&Build::query("kept1.example", A));
        assert_eq!(reply.answers.len(), 1, "{what}");
        daemon.expect_questions(1);
    }
}

#[test]
fn a_server_that_fails_on_one_name_is_not_asked_for_it_first() {
    // Nothing is kept, so every question goes upstream.
    let answer = |asked: &Asked| asked.reply().answer(a(&asked.name(), 0, [192, 0, 2, 1]));
    let first = Upstream::saying(move |asked| match asked.lower().starts_with("broken") {
        true => asked.reply().rcode(SERVFAIL),
        false => answer(asked),
    });
    let second = Upstream::saying(answer);
    let daemon = Setup::to(&[&first, &second])
        .tables("[routing]\npolicy = \"ordered\"\ndeadline = \"60s\"")
        .start();
    let stub = Stub::new(daemon.dns());
    let (rounds, neighbours) = (20, 20);
    for round in 0..rounds {
        let reply = stub.ask(&Build::query("broken.example", A));
        assert_eq!(reply.addresses(), ["192.0.2.1"], "{reply:?}");
        for number in 0..neighbours {
            let name = format!("fine{round}-{number}.example");
            assert_eq!(stub.ask(&Build::query(&name, A)).rcode(), NOERROR);
        }
    }
    // Again after a second, two, four, ...: as often as the test is slow.
    let asked = first.asked_for("broken.example.").len();
    assert!(asked <= 6, "asked {asked} times of {rounds}");
    // Its neighbours go on asking it.
    let names = first.questions().len();
    assert!(names > rounds * neighbours * 3 / 4, "{names} names");
}

#[test]
fn followers_keep_their_own_deadlines_and_no_server_is_tried_more_than_three_times() {
    let answering = |asked: &Asked| match asked.lower().starts_with("silent") {
        true => Vec::new(),
        false => vec![Act::Send(asked.good())],
    };
    let upstreams = [Upstream::new(answering), Upstream::new(answering)];
    let daemon = Setup::to(&[&upstreams[0], &upstreams[1]])
        .tables("[routing]\ndeadline = \"3s\"")
        .start();
    daemon.warm_up();
    let query = Build::query("silent.example", A).edns(Edns::new(1232));
    let (leader, follower) = (Stub::new(daemon.dns()), Stub::new(daemon.dns()));
    leader.send(&query.bytes());
    thread::sleep(Duration::from_secs(2));
    follower.send(&query.bytes());
    let reply = leader.receive();
    assert_eq!(reply.rcode(), SERVFAIL);
    assert!(
        follower.receive_within(MOMENT).is_none(),
        "two seconds are left to it"
    );
    let reply = follower.receive();
    assert_eq!(reply.rcode(), SERVFAIL);
    assert!(
        reply.edes().iter().any(|ede| [22, 23].contains(ede)),
        "{reply:?}"
    );
    for upstream in &upstreams {
        let asked = upstream.asked_for("silent.example.").len();
        assert!((1..=3).contains(&asked), "asked {asked} times");
    }
    // It is remembered, as a failure of that name.
    assert_eq!(leader.ask(&query).edes(), [13]);
    assert_eq!(
        leader.ask(&Build::query("fine.example", A)).rcode(),
        NOERROR
    );
}

#[test]
fn an_answer_that_comes_after_the_outage_was_told_is_kept() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream])
        .tables("[routing]\ndeadline = \"60s\"")
        .start();
    daemon.warm_up();
    upstream.now(|asked| vec![Act::Wait(Duration::from_secs(10)), Act::Send(asked.good())]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("late.example", A).edns(Edns::new(1232));
    assert_eq!(stub.ask(&query).rcode(), SERVFAIL);
    upstream.now(|_| Vec::new());
    eventually("it is kept", || stub.ask(&query).rcode() == NOERROR);
    assert_eq!(stub.ask(&query).edes(), [0u16; 0]);
}

#[test]
fn a_snapshot_that_is_no_file_or_not_ones_own_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo")
        .arg(path("fifo"))
        .status();
    assert!(made.expect("mkfifo").success());
    std::fs::create_dir(path("directory")).expect("made");
    std::fs::write(path("shared"), b"").expect("written");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(path("shared"), everybody).expect("changed");
    for (name, why) in [
        ("fifo", "expected a file, found a FIFO"),
        ("directory", "expected a file, found a directory"),
        ("shared", "others may write it"),
    ] {
        let upstream = Upstream::good();
        let snapshot = path(name);
        let mut daemon = Setup::to(&[&upstream])
            .tables(&format!("[cache]\nsnapshot = {snapshot:?}"))
            .start();
        assert!(daemon.log().contains(why), "{name}: {}", daemon.log());
        let reply = Stub::new(daemon.dns()).ask(&Build::query("kept1.example", A));
        assert_eq!(reply.answers.len(), 1, "{name}");
        daemon.signal(Signal::TERM);
        assert!(daemon.wait().success());
        // A file of its own takes the place of one that it does not trust, and of nothing else.
        let found = snapshot.symlink_metadata().expect("there");
        assert_eq!(found.is_file(), name == "shared", "{name}");
    }
}

#[test]
fn one_question_keeps_only_so_many_clients_waiting() {
    let gate = Gate::default();
    let upstream = Upstream::new({
        let gate = gate.clone();
        move |asked| match asked.lower().starts_with("slow") {
            true => vec![Act::WaitFor(gate.clone()), Act::Send(asked.good())],
            false => vec![Act::Send(asked.good())],
        }
    });
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nwaiting-per-question = 3\n[routing]\ndeadline = \"60s\"")
        .start();
    let query = Build::query("slow.example", A).edns(Edns::new(1232));
    let stubs: Vec<Stub> = (0..3).map(|_| Stub::new(daemon.dns())).collect();
    for (count, stub) in (1..).zip(&stubs) {
        stub.send(&query.bytes());
        eventually("it waits", || {
            daemon.metric("byway_waiting_clients", &[]) >= f64::from(count)
        });
    }
    for _ in 0..3 {
        let reply = Stub::new(daemon.dns()).ask(&query);
        assert_eq!((reply.rcode(), reply.edes()), (SERVFAIL, vec![23]));
    }
    let limit = [("limit", "waiting-per-question")];
    daemon.expect_metric("byway_limit_reached_total", &limit, 3.0);
    // Other questions have room, and who waited gets its answer.
    let other = Stub::new(daemon.dns()).ask(&Build::query("other.example", A));
    assert_eq!(other.rcode(), NOERROR);
    gate.open();
    for stub in &stubs {
        assert_eq!(stub.receive().rcode(), NOERROR);
    }
}
