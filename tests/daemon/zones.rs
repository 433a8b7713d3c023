//! Names that are asked of some upstreams alone.

use std::time::Duration;

use super::kit::daemon::run;
use super::kit::*;

/// A public upstream, and one that a zone names.
struct Split {
    public: Upstream,
    corp: Upstream,
    daemon: Daemon,
}

impl Split {
    fn new(public: Upstream, corp: Upstream, zone: &str) -> Split {
        let tables = format!(
            "[[zone]]\nname = [\"corp.example\", \"10.0.0.0/8\"]\nupstreams = [\"u1\"]\n{zone}"
        );
        let daemon = Setup::to(&[&public, &corp]).tables(&tables).start();
        Split {
            public,
            corp,
            daemon,
        }
    }

    /// The names that each of them was asked for, the root's servers aside.
    fn heard(&self) -> [Vec<String>; 2] {
        [&self.public, &self.corp].map(|upstream| {
            let asked = upstream.asked();
            let names = asked.iter().map(|asked| asked.lower());
            let mut names: Vec<String> = names
                .filter(|name| ![".", "invalid."].contains(&name.as_str()))
                .collect();
            names.sort();
            names.dedup();
            names
        })
    }
}

#[test]
fn each_name_is_asked_where_it_belongs() {
    let split = Split::new(Upstream::good(), Upstream::good(), "");
    let stub = Stub::new(split.daemon.dns());
    let corp = [
        "corp.example",
        "WWW.corp.Example",
        "a.b.c.corp.example",
        "4.3.2.10.in-addr.arpa",
    ];
    let public = [
        "example",
        "notcorp.example",
        "corp.example.net",
        "1.11.in-addr.arpa",
    ];
    for name in corp.iter().chain(&public) {
        assert_eq!(stub.ask(&Build::query(name, A)).rcode(), NOERROR, "{name}");
    }
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|it| it.to_lowercase() + ".").collect();
        names.sort();
        names
    };
    assert_eq!(split.heard(), [sorted(&public), sorted(&corp)]);
}

/// However a zone's upstream fails, its names stay in the zone, hedges, retries and refreshes included.
#[test]
fn a_zone_whose_upstream_fails_falls_through_to_nobody() {
    for way in [useless as Way, silent] {
        let split = Split::new(Upstream::good(), Upstream::new(way), "deadline = \"1 s\"\n");
        let stub = Stub::new(split.daemon.dns());
        for round in 0..3 {
            for number in 0..4 {
                let name = format!("n{round}{number}.corp.example");
                assert_eq!(stub.ask(&Build::query(&name, A)).rcode(), SERVFAIL);
                let name = format!("n{round}{number}.example");
                let reply = stub.ask(&Build::query(&name, A).edns(Edns::new(1232)));
                assert_eq!((reply.rcode(), reply.edes()), (NOERROR, vec![]));
            }
        }
        let [public, corp] = split.heard();
        assert!(
            public.iter().all(|name| !name.contains("corp")),
            "{public:?}"
        );
        assert!(corp.iter().all(|name| name.contains("corp")), "{corp:?}");
    }
}

fn useless(asked: &Asked) -> Vec<Act> {
    vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())]
}

fn silent(_: &Asked) -> Vec<Act> {
    vec![]
}

/// The end of a chain that leads out of the zone is asked for where it belongs.
#[test]
fn the_end_of_an_alias_is_asked_for_in_its_own_zone() {
    let corp = Upstream::saying(|asked| {
        asked
            .reply()
            .answer(cname(&asked.name(), 60, "www.example.net"))
    });
    let split = Split::new(Upstream::good(), corp, "");
    let stub = Stub::new(split.daemon.dns());
    let reply = stub.ask(&Build::query("intra.corp.example", A));
    assert_eq!(
        (reply.rcode(), reply.answers.len()),
        (NOERROR, 2),
        "{reply:?}"
    );
    let [public, corp] = split.heard();
    assert_eq!(public, ["www.example.net."]);
    assert_eq!(corp, ["intra.corp.example."]);
}

#[test]
fn a_zone_may_forbid_stale_answers() {
    for (key, expected) in [("", NOERROR), ("stale = false\n", SERVFAIL)] {
        let upstream =
            Upstream::saying(|asked| asked.reply().answer(a(&asked.name(), 1, [192, 0, 2, 1])));
        let settings = format!("deadline = \"1 s\"\n{key}");
        let split = Split::new(Upstream::good(), upstream, &settings);
        let stub = Stub::new(split.daemon.dns());
        let query = Build::query("db.corp.example", A);
        assert_eq!(stub.ask(&query).rcode(), NOERROR);
        split.corp.now(silent);
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(stub.ask(&query).rcode(), expected, "{key}");
    }
}

#[test]
fn why_names_the_zone() {
    let split = Split::new(Upstream::good(), Upstream::good(), "");
    let why = |name: &str| {
        let (status, body) = split.daemon.http(&format!("/api/v1/why?name={name}"));
        assert_eq!(status, 200);
        body
    };
    let inside = why("a.corp.example");
    assert!(inside.contains("\"zone\":\"corp.example\""), "{inside}");
    assert!(
        inside.contains("u1@default") && !inside.contains("u0@default"),
        "{inside}"
    );
    let outside = why("a.example");
    assert!(outside.contains("\"zone\":null"), "{outside}");
    assert!(
        outside.contains("u0@default") && !outside.contains("u1@default"),
        "{outside}"
    );
}

/// An upstream whose answers lead into this network, behind an alias.
fn rebinding(asked: &Asked) -> Build {
    asked
        .reply()
        .answer(cname(&asked.name(), 60, "inside.example.net"))
        .answer(a("inside.example.net", 60, [10, 0, 0, 5]))
}

#[test]
fn answers_that_lead_into_this_network_are_refused_but_for_exceptions() {
    let upstream = Upstream::saying(rebinding);
    let tables = "[[zone]]\nname = \".\"\nprivate-addresses = false\n\
                  [[zone]]\nname = \"corp.example\"\n";
    let daemon = Setup::to(&[&upstream]).tables(tables).start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..2 {
        let reply = stub.ask(&Build::query("evil.example", A).edns(Edns::new(1232)));
        assert_eq!(
            (reply.rcode(), reply.answers.len()),
            (NOERROR, 0),
            "{reply:?}"
        );
        assert_eq!(reply.edes(), [17]);
        assert_eq!(reply.authorities[0].rtype, SOA);
    }
    daemon.expect_questions(1);
    daemon.expect_metric("byway_rebinding_refused_total", &[], 1.0);
    let reply = stub.ask(&Build::query("www.corp.example", A));
    assert_eq!(reply.addresses(), ["10.0.0.5"]);
}

#[test]
fn public_addresses_pass_where_private_ones_are_refused() {
    let upstream =
        Upstream::saying(|asked| asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 5])));
    let tables = "[[zone]]\nname = \".\"\nprivate-addresses = false\n";
    let daemon = Setup::to(&[&upstream]).tables(tables).start();
    let reply = Stub::new(daemon.dns()).ask(&Build::query("www.example", A));
    assert_eq!(reply.addresses(), ["192.0.2.5"]);
    daemon.expect_metric("byway_rebinding_refused_total", &[], 0.0);
}

#[test]
fn a_type_that_a_zone_filters_has_no_data() {
    let split = Split::new(
        Upstream::good(),
        Upstream::good(),
        "filter = [\"AAAA\", \"HTTPS\"]\n",
    );
    let stub = Stub::new(split.daemon.dns());
    for rtype in [AAAA, 65] {
        let query = Build::query("www.corp.example", rtype).edns(Edns::new(1232));
        let reply = stub.ask(&query);
        assert_eq!(
            (reply.rcode(), reply.answers.len(), reply.edes()),
            (NOERROR, 0, vec![17])
        );
    }
    assert_eq!(split.heard(), [vec![], Vec::<String>::new()]);
    assert_eq!(
        stub.ask(&Build::query("www.corp.example", A)).answers.len(),
        1
    );
    assert_eq!(
        stub.ask(&Build::query("www.example", AAAA)).answers.len(),
        1
    );
    let (_, why) = split
        .daemon
        .http("/api/v1/why?name=www.corp.example&type=AAAA");
    assert!(why.contains("the zone filters this type"), "{why}");
}

/// What nobody waits for stays in its zone too: refreshes, renewals, hedges, probes, and what is asked for a guard.
#[test]
fn what_byway_asks_by_itself_leaks_no_name_either() {
    let brief = |asked: &Asked| asked.reply().answer(a(&asked.name(), 2, [192, 0, 2, 1]));
    let (public, corp) = (Upstream::saying(brief), Upstream::saying(brief));
    let tables = "[[zone]]\nname = \"corp.example\"\nupstreams = [\"u2\", \"u3\"]\n\
        [[guard]]\nzones = [\"gone.corp.example\"]\nafter = \"0 s\"";
    let (second, standby) = (Upstream::saying(brief), Upstream::saying(brief));
    let daemon = Setup::to(&[&public, &second, &corp, &standby])
        .tables(tables)
        .start();
    daemon.warm_up();
    let stub = Stub::new(daemon.dns());
    let ask = |prefix: &str| {
        for name in [
            format!("{prefix}.corp.example"),
            format!("{prefix}.example"),
        ] {
            stub.send(&Build::query(&name, A).bytes());
        }
    };
    let metric = |name: &str, value: &str| daemon.metric(name, &[("result", value)]);
    eventually("both are refreshed ahead", || {
        ask("www");
        ask("gone");
        metric("byway_refreshes_total", "refreshed") >= 4.0
    });
    // Whoever is asked now says nothing: hedges, retries, stale answers and renewals.
    for upstream in [&public, &corp] {
        upstream.now(silent);
    }
    for upstream in [&second, &standby] {
        upstream.now(|asked| {
            let gone = asked.lower().starts_with("gone.");
            let rcode = if gone { NXDOMAIN } else { SERVFAIL };
            vec![Act::Send(asked.reply().rcode(rcode).bytes())]
        });
    }
    eventually("there were renewals, hedges or retries, and probes", || {
        for number in 0..20 {
            ask(&format!("n{number}"));
        }
        ask("www");
        ask("gone");
        let renewals: f64 = ["renewed", "failed", "denied"]
            .map(|it| metric("byway_renewals_total", it))
            .iter()
            .sum();
        let again = metric("byway_hedges_total", "lost") + metric("byway_retries_total", "lost");
        let sent = daemon.metrics();
        let probes = sent.sum("byway_attempts_sent_total", &[("kind", "probe")]);
        renewals >= 2.0 && again >= 2.0 && probes >= 2.0
    });
    for (upstream, is_corp) in [
        (&public, false),
        (&second, false),
        (&corp, true),
        (&standby, true),
    ] {
        let names = upstream.asked();
        let names = names.iter().map(|asked| asked.lower());
        let strays: Vec<String> = names
            .filter(|name| {
                ![".", "invalid."].contains(&name.as_str()) && !name.ends_with(".known.test.")
            })
            .filter(|name| name.ends_with(".corp.example.") != is_corp)
            .collect();
        assert_eq!(strays, Vec::<String>::new());
    }
}

#[test]
fn a_zone_has_ttls_of_its_own() {
    let long = |asked: &Asked| match asked.lower().starts_with("no") {
        true => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 900, 900)),
        false => asked.reply().answer(a(&asked.name(), 7200, [192, 0, 2, 1])),
    };
    let ttls = "max-ttl = \"60 s\"\nnegative-max-ttl = \"5 s\"\n";
    let split = Split::new(Upstream::saying(long), Upstream::saying(long), ttls);
    let stub = Stub::new(split.daemon.dns());
    let ttl = |name: &str| {
        let reply = stub.ask(&Build::query(name, A));
        let records = reply.answers.iter().chain(&reply.authorities);
        records.map(|it| it.ttl).max()
    };
    assert_eq!(ttl("www.corp.example"), Some(60));
    assert_eq!(ttl("no.corp.example"), Some(5));
    assert_eq!(ttl("www.example"), Some(7200));
    assert_eq!(ttl("no.example"), Some(900));
}

#[test]
fn a_zone_may_be_told_to_fall_through() {
    for way in [useless as Way, silent] {
        let zone = "deadline = \"2 s\"\nfall-through = true\n";
        let split = Split::new(Upstream::good(), Upstream::new(way), zone);
        let stub = Stub::new(split.daemon.dns());
        for number in 0..3 {
            let reply = stub.ask(&Build::query(&format!("n{number}.corp.example"), A));
            assert_eq!((reply.rcode(), reply.answers.len()), (NOERROR, 1));
        }
        split
            .daemon
            .expect_metric("byway_fell_through_total", &[], 3.0);
        // It is kept like any other answer.
        stub.ask(&Build::query("n0.corp.example", A));
        let [public, corp] = split.heard();
        assert_eq!(
            public,
            ["n0.corp.example.", "n1.corp.example.", "n2.corp.example."]
        );
        // Once they are dead they are not asked any more.
        assert!(corp.contains(&"n0.corp.example.".to_owned()), "{corp:?}");
    }
    // That there is no such name is an answer.
    let denying = Upstream::saying(|asked| asked.reply().rcode(NXDOMAIN));
    let split = Split::new(Upstream::good(), denying, "fall-through = true\n");
    let stub = Stub::new(split.daemon.dns());
    assert_eq!(
        stub.ask(&Build::query("www.corp.example", A)).rcode(),
        NXDOMAIN
    );
    assert_eq!(split.heard()[0], [""; 0]);
    // Nobody is left of the zone's.
    let split = Split::new(Upstream::good(), Upstream::good(), "fall-through = true\n");
    let socket = split.daemon.folder().join("control.sock");
    let drained = run(byway().args(["drain", "u1", "--socket"]).arg(socket));
    assert!(drained.status.success());
    let stub = Stub::new(split.daemon.dns());
    assert_eq!(
        stub.ask(&Build::query("www.corp.example", A)).rcode(),
        NOERROR
    );
    assert_eq!(
        split.heard(),
        [vec!["www.corp.example.".to_owned()], vec![]]
    );
}
