//! The configuration read anew while queries are answered.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::kit::daemon::{run, stderr, stdout};
use crate::kit::{
    A, Act, Build, Connection, Daemon, MOMENT, NOERROR, NXDOMAIN, PATIENCE, REFUSED, SERVFAIL,
    Setup, Stub, Upstream, byway, eventually,
};

/// `byway ARGUMENTS` to this daemon.
fn command(daemon: &Daemon, arguments: &[&str]) -> Output {
    let socket = daemon.folder().join("control.sock");
    run(byway().args(arguments).arg("--socket").arg(socket))
}

/// Puts `text` in place of the configuration.
fn write(daemon: &Daemon, text: &str) {
    fs::write(daemon.folder().join("byway.toml"), text).expect("a configuration");
}

/// The same, and has it read anew; what was said.
fn reload(daemon: &Daemon, setup: &Setup) -> String {
    write(daemon, &setup.text());
    let done = command(daemon, &["reload"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    stdout(&done)
}

fn ask(daemon: &Daemon, name: &str) -> u16 {
    Stub::new(daemon.dns())
        .ask(&Build::query(&format!("{name}.example"), A))
        .rcode()
}

fn reloads(daemon: &Daemon, result: &str) -> f64 {
    daemon.metric("byway_config_reloads_total", &[("result", result)])
}

/// An upstream's table under a name of its own.
fn named(setup: Setup, name: &str, upstream: &Upstream) -> Setup {
    let address = upstream.address;
    setup.tables(&format!(
        "[[upstream]]\nname = \"{name}\"\naddress = \"{address}\"\n"
    ))
}

#[test]
fn upstreams_come_and_go_and_what_stays_keeps_its_cache_and_measurements() {
    let (stays, goes, comes) = (Upstream::good(), Upstream::good(), Upstream::good());
    let before = named(named(Setup::bare(), "stays", &stays), "goes", &goes);
    let daemon = before.start();
    daemon.warm_up();
    assert_eq!(ask(&daemon, "known"), NOERROR);
    let sent = |upstream: &str| {
        let labels = [("upstream", upstream), ("kind", "primary")];
        daemon.metric("byway_attempts_sent_total", &labels)
    };
    let base =
        |upstream: &str| daemon.metric("byway_route_base_seconds", &[("upstream", upstream)]);
    let (was_sent, was_base) = (sent("stays"), base("stays"));
    let drained = command(&daemon, &["drain", "stays", "--for", "1h"]);
    assert_eq!(drained.status.code(), Some(0), "{}", stderr(&drained));
    let asked = stays.asked().len() + goes.asked().len();

    let after = named(named(Setup::bare(), "comes", &comes), "stays", &stays)
        .tables("[cache]\nmax-ttl = \"1 h\"\n");
    let done = reload(&daemon, &after);
    for part in [
        &format!("upstream comes = {} is new", comes.address),
        &format!("upstream goes = {} has gone", goes.address),
        "[cache] max-ttl",
    ] {
        assert!(done.contains(part), "{done}");
    }
    assert_eq!(ask(&daemon, "known"), NOERROR);
    assert_eq!(
        stays.asked().len() + goes.asked().len(),
        asked,
        "it was in the cache"
    );
    // What was drained is so still, so that all goes to the new one.
    for number in 0..20 {
        assert_eq!(ask(&daemon, &format!("new-{number}")), NOERROR);
    }
    assert_eq!(goes.asked().len() + stays.asked().len(), asked);
    assert!(comes.asked().len() >= 20);
    assert_eq!(sent("stays"), was_sent, "it goes on from where it was");
    assert!(base("stays") <= was_base, "it was not forgotten");
    let routes = stdout(&command(&daemon, &["routes"]));
    assert!(!routes.contains("goes@"), "{routes}");
    let metrics = daemon.http("/metrics").1;
    assert!(!metrics.contains("upstream=\"goes\""), "{metrics}");
    eventually("it is an event", || {
        stdout(&command(&daemon, &["events"])).contains("upstream goes =")
    });
    assert_eq!(
        (reloads(&daemon, "applied"), reloads(&daemon, "refused")),
        (1.0, 0.0)
    );
}

#[test]
fn a_bad_file_changes_nothing_and_says_why_wherever_somebody_looks() {
    let (good, other) = (Upstream::good(), Upstream::good());
    let daemon = Setup::to(&[&good]).start();
    daemon.warm_up();
    let bad = Setup::to(&[&other]).tables("[routing]\ndeadline = \"4.5\"\n");
    write(&daemon, &bad.text());
    let refused = command(&daemon, &["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(
        told.contains("deadline = \"4.5\"") && told.contains("the unit is missing"),
        "{told}"
    );
    assert_eq!(ask(&daemon, "goes-on"), NOERROR);
    assert!(other.asked().is_empty());
    assert_eq!(daemon.http("/readyz").0, 200);
    assert_eq!(
        daemon.metric("byway_config_last_reload_successful", &[]),
        0.0
    );
    assert_eq!(
        (reloads(&daemon, "applied"), reloads(&daemon, "refused")),
        (0.0, 1.0)
    );
    let status = command(&daemon, &["status"]);
    let text = stdout(&status);
    assert!(
        text.starts_with("well"),
        "clients feel nothing of it: {text}"
    );
    assert!(text.contains("the configuration was refused at"), "{text}");
    assert!(text.contains("the unit is missing"), "{text}");
    let log = daemon.log();
    assert!(
        log.contains("the configuration is refused, the one before it holds"),
        "{log}"
    );
    eventually("it is an event", || {
        stdout(&command(&daemon, &["events"])).contains("is refused")
    });

    // A good one after it is all that is needed.
    reload(&daemon, &Setup::to(&[&other]));
    assert_eq!(ask(&daemon, "after"), NOERROR);
    assert_eq!(other.asked_for("after.example.").len(), 1);
    assert_eq!(
        daemon.metric("byway_config_last_reload_successful", &[]),
        1.0
    );
    let text = stdout(&command(&daemon, &["status"]));
    assert!(!text.contains("was refused"), "{text}");
}

#[test]
fn a_file_that_is_gone_or_was_standard_input_changes_nothing() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    fs::remove_file(daemon.folder().join("byway.toml")).expect("removed");
    let refused = command(&daemon, &["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("byway.toml"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(ask(&daemon, "goes-on"), NOERROR);

    let (_, folder) = Setup::to(&[&upstream]).command();
    let mut piped = byway();
    piped
        .args(["run", "--config", "-"])
        .env("RUNTIME_DIRECTORY", folder.path());
    piped.stdin(fs::File::open(folder.path().join("byway.toml")).expect("the file"));
    let daemon = Daemon::spawn(piped, Some(folder));
    let refused = command(&daemon, &["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("standard input"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(ask(&daemon, "goes-on-too"), NOERROR);
}

#[test]
fn two_signals_at_once_and_one_before_the_start_is_over_do_no_harm() {
    let (first, second) = (Upstream::good(), Upstream::good());
    let daemon = Setup::to(&[&first]).start();
    write(&daemon, &Setup::to(&[&second]).text());
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::HUP);
    eventually("it was read anew", || reloads(&daemon, "applied") >= 1.0);
    for number in 0..20 {
        assert_eq!(ask(&daemon, &format!("a-{number}")), NOERROR);
        daemon.signal(Signal::HUP);
    }
    assert!(first.asked().is_empty() && second.asked().len() >= 20);
    assert_eq!(reloads(&daemon, "refused"), 0.0);
    assert!(
        daemon
            .log()
            .contains("SIGHUP: the configuration was read anew from")
    );
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_holds() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    let other = Setup::to(&[&upstream])
        .one_worker()
        .tables("[limits]\nudp-payload = 1400\nquestions = 99\n");
    let done = reload(&daemon, &other);
    for part in [
        "changed: [limits] questions",
        "; workers: needs a restart",
        "; [limits] udp-payload: needs a restart",
    ] {
        assert!(done.contains(part), "{done}");
    }
    assert_eq!(
        daemon.metric("byway_limit", &[("limit", "questions")]),
        99.0
    );
    let status = stdout(&command(&daemon, &["status"]));
    assert!(
        status.contains("workers: the file says otherwise; that needs a restart"),
        "{status}"
    );
    // It stays named for as long as it is so.
    let done = reload(&daemon, &other);
    assert!(done.contains("workers: needs a restart"), "{done}");
    let done = reload(&daemon, &Setup::to(&[&upstream]));
    assert!(!done.contains("restart"), "{done}");
}

#[test]
fn a_path_comes_whose_interface_is_not_there() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    daemon.warm_up();
    let with_path = Setup::bare()
        .upstream(upstream.address, "paths = [\"default\", \"later\"]")
        .tables("[[path]]\nname = \"later\"\ninterface = \"no-such-if0\"\n");
    let done = reload(&daemon, &with_path);
    assert!(done.contains("path later is new"), "{done}");
    daemon.expect_metric("byway_path_missing", &[("path", "later")], 1.0);
    eventually("it is said", || daemon.log().contains("path later: "));
    for number in 0..10 {
        assert_eq!(ask(&daemon, &format!("b-{number}")), NOERROR);
    }
    assert_eq!(daemon.http("/readyz").0, 200);
    reload(&daemon, &Setup::to(&[&upstream]));
    assert_eq!(ask(&daemon, "after"), NOERROR);
    let names = daemon.http("/metrics").1;
    assert!(!names.contains("path=\"later\""), "{names}");
}

#[test]
fn who_may_ask_changes_and_a_connection_stays() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    let mut connection = Connection::new(daemon.dns());
    let query = Build::query("a.example", A);
    assert_eq!(connection.ask(&query).rcode(), NOERROR);
    let none = Setup::to(&[&upstream]).top("allow = [\"192.0.2.0/24\"]");
    reload(&daemon, &none);
    assert_eq!(ask(&daemon, "b"), REFUSED);
    reload(&daemon, &Setup::to(&[&upstream]));
    assert_eq!(ask(&daemon, "c"), NOERROR);
    assert_eq!(
        connection.ask(&Build::query("d.example", A)).rcode(),
        NOERROR
    );
}

#[test]
fn the_cache_becomes_smaller_and_larger_without_being_forgotten() {
    let upstream = Upstream::good();
    let daemon = Setup::to(&[&upstream]).start();
    for number in 0..200 {
        assert_eq!(ask(&daemon, &format!("n-{number}")), NOERROR);
    }
    let sized = |size: &str| Setup::to(&[&upstream]).tables(&format!("[cache]\nsize = {size}\n"));
    let done = reload(&daemon, &sized("\"32 MiB\""));
    assert!(
        done.contains("[cache] size") && !done.contains("restart"),
        "{done}"
    );
    let mib = 1024.0 * 1024.0;
    assert_eq!(daemon.metric("byway_cache_capacity_bytes", &[]), 32.0 * mib);
    let done = reload(&daemon, &sized("\"128 MiB\""));
    assert!(!done.contains("restart"), "{done}");
    assert!(daemon.metric("byway_cache_entries", &[]) >= 200.0);
    // It is built in pieces, and those would become too small.
    let done = reload(&daemon, &sized("\"1 MiB\""));
    assert!(done.contains("[cache] size: needs a restart"), "{done}");
    let done = reload(&daemon, &sized("0"));
    assert!(done.contains("[cache] size: needs a restart"), "{done}");
    let asked = upstream.asked().len();
    for number in 0..200 {
        assert_eq!(ask(&daemon, &format!("n-{number}")), NOERROR);
    }
    assert_eq!(upstream.asked().len(), asked);
}

/// A question under way when its upstream is taken out is answered by it.
#[test]
fn what_is_under_way_ends_over_its_old_socket() {
    let (gated, gate) = Upstream::gated();
    let other = Upstream::good();
    let daemon = Setup::to(&[&gated])
        .tables("[routing]\nhedge-max = \"4 s\"\n")
        .start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("slow.example", A);
    stub.send(&query.bytes());
    eventually("it is under way", || !gated.asked().is_empty());
    reload(
        &daemon,
        &Setup::to(&[&other]).tables("[routing]\nhedge-max = \"4 s\"\n"),
    );
    gate.open();
    let reply = stub.receive();
    assert_eq!((reply.id, reply.rcode()), (query.id, NOERROR));
    assert!(other.asked_for("slow.example.").len() <= 1);
}

#[test]
fn the_service_manager_hears_of_it() {
    let upstream = Upstream::good();
    let (mut command, folder) = Setup::to(&[&upstream]).command();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let heard = || loop {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("a word");
        let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // That it is alive may be said at any time.
        if !word.starts_with("WATCHDOG") {
            return word.trim_end().to_owned();
        }
    };
    command.env("NOTIFY_SOCKET", &socket);
    let daemon = Daemon::spawn(command, Some(folder));
    assert_eq!(heard(), "READY=1");
    for wrong in [false, true] {
        if wrong {
            write(&daemon, "version = 9\n");
        }
        daemon.signal(Signal::HUP);
        let word = heard();
        let since = word.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let since = since.unwrap_or_else(|| panic!("{word}")).parse::<u64>();
        assert!(since.is_ok_and(|since| since > 0), "{word}");
        assert_eq!(heard(), "READY=1");
    }
}

/// A hundred reloads that replace upstreams, and clients that ask all the while over UDP and TCP: not one question goes
/// unanswered.
#[test]
fn a_hundred_reloads_under_load_lose_nothing() {
    let slowly = || {
        Upstream::new(|asked| vec![Act::Wait(Duration::from_millis(3)), Act::Send(asked.good())])
    };
    let upstreams = [slowly(), slowly(), slowly()];
    let setups: Vec<Setup> = (0..3)
        .map(|without| {
            let left = upstreams
                .iter()
                .enumerate()
                .filter(|(it, _)| *it != without);
            left.fold(Setup::bare(), |setup, (number, upstream)| {
                named(setup, &format!("u{number}"), upstream)
            })
        })
        .collect();
    let daemon = setups[0].start();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (over, answered, server) = (&over, &answered, daemon.dns());
            scope.spawn(move || {
                let stub = Stub::new(server);
                let mut connection = Connection::new(server);
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // One in two is new, one comes over TCP.
                    let name = match number % 2 {
                        0 => format!("new-{client}-{number}.example"),
                        _ => "known.example".to_owned(),
                    };
                    let query = Build::query(&name, A);
                    let reply = match number % 4 {
                        3 => connection.ask(&query),
                        _ => stub.ask(&query),
                    };
                    assert_eq!(reply.rcode(), NOERROR, "{name}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let socket = daemon.folder().join("control.sock");
        for round in 1..=100usize {
            write(&daemon, &setups[round % 3].text());
            let done = run(byway().args(["reload", "--socket"]).arg(&socket));
            assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        (reloads(&daemon, "applied"), reloads(&daemon, "refused")),
        (100.0, 0.0)
    );
    assert!(answered.into_inner() > 1_000);
    for result in ["failed", "shed"] {
        let lost = daemon.metric("byway_queries_total", &[("result", result)]);
        assert_eq!(lost, 0.0, "{result}");
    }
    assert!(upstreams.iter().all(|it| !it.asked().is_empty()));
    std::thread::sleep(MOMENT);
}

/// A zone comes, changes its upstreams and goes; so do records, the hosts file and special names. What is known of names that
/// mean something else then is forgotten, and of no others.
#[test]
fn zones_records_and_hosts_come_and_go() {
    let (public, corp, other) = (Upstream::good(), Upstream::good(), Upstream::good());
    let setup = |tables: &str| {
        let all = [("public", &public), ("corp", &corp), ("other", &other)];
        let bare = Setup::bare().tables(tables);
        all.into_iter()
            .fold(bare, |setup, (name, it)| named(setup, name, it))
    };
    let heard = |name: &str| {
        let name = format!("{name}.example.");
        [&public, &corp, &other].map(|it| it.asked_for(&name).len())
    };
    let zone = |upstream: &str| {
        format!("[[zone]]\nname = \"corp.example\"\nupstreams = [\"{upstream}\"]\n")
    };
    // All of them are for names without a zone, until zones take two.
    let daemon =
        setup(&(zone("corp") + "[[zone]]\nname = \"x.example\"\nupstreams = [\"other\"]\n"))
            .start();
    daemon.warm_up();
    for name in ["www", "a.corp"] {
        assert_eq!(ask(&daemon, name), NOERROR);
    }
    assert_eq!((heard("www"), heard("a.corp")), ([1, 0, 0], [0, 1, 0]));

    // Another upstream, and a zone of its own for another name.
    let done = reload(
        &daemon,
        &setup(&(zone("other") + "[[zone]]\nname = \"www.example\"\nupstreams = [\"corp\"]\n")),
    );
    assert!(
        done.contains("changed: [[zone]]") && !done.contains("restart"),
        "{done}"
    );
    assert_eq!(ask(&daemon, "b.corp"), NOERROR);
    assert_eq!(heard("b.corp"), [0, 0, 1]);
    assert_eq!(ask(&daemon, "www"), NOERROR);
    assert_eq!(
        heard("www"),
        [1, 1, 0],
        "it was forgotten, for it lies in a zone now"
    );

    // No zone: whoever is there is asked, and what lay in one is forgotten.
    let (was_www, was_new) = (heard("www"), heard("new"));
    reload(&daemon, &setup("[routing]\ndeadline = \"2 s\"\n"));
    for number in 0..5 {
        assert_eq!(ask(&daemon, &format!("{number}.corp")), NOERROR);
    }
    assert_eq!(ask(&daemon, "www"), NOERROR);
    assert_eq!(
        heard("www").iter().sum::<usize>(),
        was_www.iter().sum::<usize>() + 1
    );
    assert_eq!(was_new, [0; 3]);

    // Names that are known here.
    let hosts = daemon.folder().join("hosts");
    fs::write(&hosts, "192.0.2.7 host.example\n").expect("written");
    let with_names = format!(
        "[[record]]\nname = \"www.example\"\ntype = \"A\"\ndata = \"192.0.2.9\"\n\
         [host]\nhosts = \"{}\"\n[special-names]\ntest = \"here\"\n",
        hosts.display()
    );
    let address = |name: &str| {
        let reply = Stub::new(daemon.dns()).ask(&Build::query(name, A));
        (
            reply.rcode(),
            reply.answers.first().map(|it| it.data.clone()),
        )
    };
    let before = [&public, &corp, &other].map(|it| it.asked().len());
    let done = reload(&daemon, &setup(&with_names));
    assert!(!done.contains("restart"), "{done}");
    assert_eq!(address("www.example"), (NOERROR, Some(vec![192, 0, 2, 9])));
    eventually("the hosts file is read", || {
        address("host.example") == (NOERROR, Some(vec![192, 0, 2, 7]))
    });
    assert_eq!(address("name.test").0, NXDOMAIN);
    // And as any other name without it.
    reload(
        &daemon,
        &setup("[special-names]\ntest = \"forward\"\n[host]\nhosts = \"off\"\n"),
    );
    assert_ne!(address("www.example").1, Some(vec![192, 0, 2, 9]));
    assert_eq!(address("name.test").0, NOERROR);
    eventually("the hosts file is let go", || {
        address("host.example").1 != Some(vec![192, 0, 2, 7])
    });
    let after = [&public, &corp, &other].map(|it| it.asked().len());
    assert!(after.iter().sum::<usize>() >= before.iter().sum::<usize>() + 3);
}

/// A question of a zone that is taken out is answered by whom it was asked of, and by nobody else.
#[test]
fn what_is_under_way_in_a_zone_that_goes_stays_with_its_upstream() {
    let (gated, gate) = Upstream::gated();
    let public = Upstream::good();
    let setup = |tables: &str| {
        let all = [("public", &public), ("corp", &gated)];
        let bare = Setup::bare().tables(tables);
        all.into_iter()
            .fold(bare, |setup, (name, it)| named(setup, name, it))
    };
    let zone = "[[zone]]\nname = \"corp.example\"\nupstreams = [\"corp\"]\n";
    let daemon = setup(zone).start();
    let stub = Stub::new(daemon.dns());
    let query = Build::query("slow.corp.example", A);
    stub.send(&query.bytes());
    eventually("it is under way", || {
        !gated.asked_for("slow.corp.example.").is_empty()
    });
    write(&daemon, &Setup::to(&[&public]).text());
    let done = command(&daemon, &["reload"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    gate.open();
    let reply = stub.receive();
    assert_eq!((reply.id, reply.rcode()), (query.id, NOERROR));
    assert_eq!(public.asked_for("slow.corp.example.").len(), 0);
}

/// How a name failed in one zone says nothing of another.
#[test]
fn a_zones_failures_are_forgotten_with_it() {
    let (public, broken, mended) = (
        Upstream::good(),
        Upstream::saying(|asked| asked.reply().rcode(SERVFAIL)),
        Upstream::good(),
    );
    let spare = Upstream::good();
    let setup = |to: &str| {
        let all = named(named(Setup::bare(), "public", &public), "broken", &broken);
        named(named(all, "mended", &mended), "spare", &spare).tables(&format!(
            "[[zone]]\nname = \"corp.example\"\nupstreams = [\"{to}\"]\n\
             [[zone]]\nname = \"x.example\"\nupstreams = [\"broken\", \"mended\"]\n"
        ))
    };
    let daemon = setup("broken").start();
    assert_eq!(ask(&daemon, "a.corp"), SERVFAIL);
    let asked = broken.asked_for("a.corp.example.").len();
    assert_eq!(ask(&daemon, "a.corp"), SERVFAIL);
    assert_eq!(
        broken.asked_for("a.corp.example.").len(),
        asked,
        "remembered"
    );
    reload(&daemon, &setup("mended"));
    assert_eq!(ask(&daemon, "a.corp"), NOERROR);
    // Nor does what others said of it: only where somebody stays who was asked is it kept.
    let heard = |of: &Upstream| of.asked_for("a.corp.example.").len();
    let known = heard(&mended);
    reload(&daemon, &setup("mended\", \"public"));
    assert_eq!(ask(&daemon, "a.corp"), NOERROR);
    assert_eq!((heard(&mended), heard(&public)), (known, 0));
    reload(&daemon, &setup("spare"));
    assert_eq!(ask(&daemon, "a.corp"), NOERROR);
    assert_eq!((heard(&mended), heard(&spare)), (known, 1));
}
