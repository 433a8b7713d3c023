//! What a pod's search list costs upstream: `ndots:5` turns each name into five more, most of which do not exist.

use super::kit::*;

/// As Kubernetes writes it into a pod's resolv.conf, with two domains of the node's.
const SEARCH: [&str; 5] = [
    "prod.svc.cluster.local",
    "svc.cluster.local",
    "cluster.local",
    "corp.example",
    "ec2.internal",
];

/// Names that servers of these zones know, and that have no records.
const EMPTY: [&str; 6] = [
    "prod.svc.cluster.local.",
    "shop.svc.cluster.local.",
    "svc.cluster.local.",
    "cluster.local.",
    "corp.example.",
    "ec2.internal.",
];

/// A cluster's resolver: services of two namespaces, the world outside, and nothing else.
fn cluster(asked: &Asked) -> Build {
    let name = asked.lower();
    let zone = ["cluster.local", "corp.example", "ec2.internal"];
    let zone = zone
        .into_iter()
        .find(|it| name.ends_with(&format!("{it}.")));
    let labels = name.split('.').count();
    let is_service =
        name.ends_with(".svc.cluster.local.") && name.starts_with("app") && labels == 6;
    match zone {
        Some(zone) if !is_service => {
            let denial = asked.reply().authority(soa(zone, 30, 30));
            match EMPTY.contains(&name.as_str()) {
                true => denial,
                false => denial.rcode(NXDOMAIN),
            }
        }
        _ if asked.rtype() == A => asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 1])),
        _ => asked.reply().authority(soa("example", 60, 60)),
    }
}

/// What a pod asks for: names of the world outside, and services in and out of its namespace.
fn names() -> Vec<String> {
    let outside = (0..40).flat_map(|number| {
        let domain = format!("site{number}.{}", ["com", "net", "org", "io"][number % 4]);
        [format!("www.{domain}"), format!("api.{domain}")]
    });
    let services = (0..10).flat_map(|number| [format!("app{number}"), format!("app{number}.shop")]);
    outside.chain(services).collect()
}

/// Looks a name up as a stub resolver does (resolv.conf(5)): A and AAAA, until something is found. How many questions that
/// takes.
fn look_up(stub: &Stub, name: &str) -> usize {
    let mut asked = 0;
    let listed = SEARCH.iter().map(|domain| format!("{name}.{domain}"));
    for candidate in listed.chain([name.to_owned()]) {
        let found = [A, AAAA].map(|record_type| {
            asked += 1;
            stub.ask(&Build::query(&candidate, record_type))
        });
        if found[0].rcode() == NOERROR && !found[0].answers.is_empty() {
            return asked;
        }
        let all_denied = found.iter().all(|it| it.rcode() == NXDOMAIN);
        assert!(all_denied, "{candidate}");
    }
    panic!("{name} is not found");
}

#[test]
fn a_pods_search_list_costs_little_upstream() {
    let mut upstream_questions = Vec::new();
    let mut clients = 0;
    for subtree_denial in [false, true] {
        let upstream = Upstream::saying(cluster);
        let zones = format!(
            "[[zone]]\nname = [\"cluster.local\", \"corp.example\", \"ec2.internal\"]\n\
             subtree-denial = {subtree_denial}"
        );
        let daemon = Setup::to(&[&upstream]).tables(&zones).start();
        daemon.warm_up();
        let stub = Stub::new(daemon.dns());
        clients = names().iter().map(|name| look_up(&stub, name)).sum();
        let questions = upstream.asked();
        let questions = questions.iter().filter(|it| {
            let name = it.lower();
            name != "." && name != "invalid." && !name.ends_with(".known.test.")
        });
        upstream_questions.push(questions.count());
        let saved = daemon.metric("byway_denied_above_total", &[]);
        assert_eq!(saved > 0.0, subtree_denial);
    }
    let [without, with] = upstream_questions[..] else {
        unreachable!("two rounds");
    };
    eprintln!(
        "{clients} questions of a pod: {without} upstream without, {with} with subtree denial"
    );
    assert!(with * 2 < without, "{with} of {without}");
}

#[test]
fn what_is_below_a_denied_name_is_asked_for_where_nobody_has_said_otherwise() {
    // A server that does not know of empty names (RFC 8020 section 4).
    let upstream = Upstream::saying(|asked| match asked.lower().as_str() {
        "a.empty.corp.example." | "a.empty.wrong.example." => {
            asked.reply().answer(a(&asked.name(), 60, [192, 0, 2, 1]))
        }
        _ => asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 60, 60)),
    });
    let zone = "[[zone]]\nname = \"wrong.example\"\nsubtree-denial = true\n\
        [[guard]]\nzones = [\"kept.wrong.example\"]";
    let daemon = Setup::to(&[&upstream]).tables(zone).start();
    let stub = Stub::new(daemon.dns());
    let rcode = |name: &str| stub.ask(&Build::query(name, A)).rcode();
    let pair = [rcode("empty.corp.example"), rcode("a.empty.corp.example")];
    assert_eq!(pair, [NXDOMAIN, NOERROR]);
    let pair = [rcode("empty.wrong.example"), rcode("a.empty.wrong.example")];
    assert_eq!(pair, [NXDOMAIN; 2]);
    assert_eq!(upstream.asked_for("a.empty.wrong.example.").len(), 0);
    let query = Build::query("x.y.a.empty.wrong.example", A).edns(Edns::new(1232));
    let reply = stub.ask(&query);
    assert_eq!((reply.rcode(), reply.authorities.len()), (NXDOMAIN, 1));
    assert_eq!(reply.edes(), [29]);
    let why = daemon.http("/api/v1/why?name=b.empty.wrong.example").1;
    assert!(
        why.contains("there is no empty.wrong.example., and so nothing below it"),
        "{why}"
    );
    assert_eq!(text(&reply.authorities[0].owner), "example.");
    // A name under guard is always asked for itself.
    let pair = [rcode("kept.wrong.example"), rcode("db.kept.wrong.example")];
    assert_eq!(pair, [NXDOMAIN; 2]);
    assert!(!upstream.asked_for("db.kept.wrong.example.").is_empty());
}

/// Without a word of the operator's: where the upstream says that it has validated the denial (AD), and only there.
#[test]
fn what_is_below_a_denied_name_is_denied_where_the_upstream_has_validated_that() {
    let upstream = Upstream::saying(|asked| {
        let name = asked.lower();
        let denial = asked
            .reply()
            .rcode(NXDOMAIN)
            .authority(soa("example", 60, 60));
        match name.ends_with("signed.example.") {
            true => denial.set(AD),
            false => denial,
        }
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let ask = |name: &str| {
        let reply = stub.ask(&Build::query(name, A).edns(Edns::new(1232)));
        (reply.rcode(), reply.edes())
    };
    assert_eq!(ask("signed.example"), (NXDOMAIN, vec![]));
    assert_eq!(ask("a.b.signed.example"), (NXDOMAIN, vec![29]));
    assert!(upstream.asked_for("a.b.signed.example.").is_empty());
    assert_eq!(ask("plain.example"), (NXDOMAIN, vec![]));
    assert_eq!(ask("a.b.plain.example"), (NXDOMAIN, vec![]));
    assert!(!upstream.asked_for("a.b.plain.example.").is_empty());
    // It proves nothing of its neighbours: that would take its NSEC records, and to check those (RFC 8198).
    assert_eq!(ask("b.signed.example2.example"), (NXDOMAIN, vec![]));
    assert!(!upstream.asked_for("b.signed.example2.example.").is_empty());
    daemon.expect_metric("byway_denied_above_total", &[], 1.0);
}
