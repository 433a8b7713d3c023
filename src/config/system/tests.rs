use std::io::Write;

use super::*;
use crate::config::report::Source;

fn read(text: &str, listen: &str) -> (Vec<String>, Vec<String>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let host = Host {
        resolv_conf: file.path().to_owned(),
        ..Host::example()
    };
    let listen = [Listen {
        address: listen.parse().unwrap(),
        ..Listen::default()
    }];
    let mut reports = Vec::new();
    let (found, _) = upstreams(None, &host, &listen, &[], &mut reports);
    let found = found
        .iter()
        .map(|it| format!("{} {}", it.name, it.address))
        .collect();
    let source = Source(&[]);
    let path = file.path().display().to_string();
    let reports = reports
        .iter()
        .map(|it| it.render(&source).replace(&path, "resolv.conf"))
        .collect();
    (found, reports)
}

#[test]
fn name_servers_in_order() {
    let text = "# by hand\nsearch a..b -- corp.example\nnameserver 10.0.0.2\n\
                nameserver fd00::1\nnameserver fe80::1%eth0 # router\noptions edns0\n\
                nameserver 10.0.0.2\n";
    let (found, reports) = read(text, "127.0.0.1:5339");
    let expected = [
        "10.0.0.2 10.0.0.2:53",
        "fd00::1 [fd00::1]:53",
        "fe80::1%eth0 [fe80::1]:53",
    ];
    assert_eq!(found, expected);
    assert_eq!(reports, [""; 0]);
}

#[test]
fn never_itself() {
    let servers = "nameserver 127.0.0.1\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n\
                   nameserver 192.0.2.2\nnameserver ::1\n";
    let names = |listen| read(servers, listen).0;
    let all = [
        "127.0.0.1 127.0.0.1:53",
        "127.0.0.53 127.0.0.53:53",
        "192.0.2.1 192.0.2.1:53",
        "192.0.2.2 192.0.2.2:53",
        "::1 [::1]:53",
    ];
    assert_eq!(names("127.0.0.1:5339"), all);
    assert_eq!(names("127.0.0.1:53"), all[1..]);
    assert_eq!(names("0.0.0.0:53"), all[3..]);
    assert_eq!(names("[::]:53"), all[..4]);
    assert_eq!(
        read(servers, "127.0.0.1:53").1,
        [
            "note: name server `127.0.0.1` is left out\n --> resolv.conf:1\n  = note: it is byway itself"
        ]
    );
}

#[test]
fn none_left_says_what_to_do() {
    let help = "\n  = help: name a resolver: `--upstream 10.0.0.2`, or `[[upstream]]` in the configuration file";
    let (_, reports) = read("nameserver 127.0.0.1\n", "0.0.0.0:53");
    let expected = "error: no upstream: the system's resolver configuration has none that can be asked\n --> resolv.conf\n  \
                    = note: `127.0.0.1`: it is byway itself";
    assert_eq!(reports, [format!("{expected}{help}")]);
    let mut reports = Vec::new();
    let host = Host {
        resolv_conf: "/".into(),
        ..Host::example()
    };
    upstreams(None, &host, &[], &[], &mut reports);
    let text = reports[0].render(&Source(&[]));
    assert!(text.starts_with(
        "error: no upstream: the system's resolver configuration cannot be read\n --> /\n"
    ));
    assert!(text.ends_with(help));
}

#[test]
fn one_that_is_missing_or_empty_may_come_yet() {
    let (found, reports) = read("# empty\n", "0.0.0.0:53");
    assert_eq!(found, [""; 0]);
    assert!(reports[0].contains("it names no server"), "{}", reports[0]);
    let mut reports = Vec::new();
    upstreams(None, &Host::example(), &[], &[], &mut reports);
    let text = reports[0].render(&Source(&[]));
    let expected = "warning: no upstream yet: the system's resolver configuration cannot be read\n --> /nonexistent/resolv.conf\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("--upstream"), "{text}");
}

#[test]
fn those_that_were_known_stay_where_nobody_is_named_any_more() {
    let known = [UpstreamConfig {
        name: "10.0.0.2".into(),
        ..UpstreamConfig::at(([10, 0, 0, 2], 53).into())
    }];
    for text in [None, Some("# empty\n"), Some("nameserver 127.0.0.1\n")] {
        let files = Files::new([text, None, None]);
        let host = Host {
            resolv_conf: files.0.path().join("resolv.conf"),
            ..Host::example()
        };
        let listen = [Listen {
            address: PORT_53.parse().unwrap(),
            ..Listen::default()
        }];
        let mut reports = Vec::new();
        let (found, _) = upstreams(None, &host, &listen, &known, &mut reports);
        assert_eq!(found, known, "{text:?}");
        let said = reports[0].render(&Source(&[]));
        assert!(said.starts_with("warning: "), "{said}");
        assert!(said.contains("10.0.0.2 stays in use"), "{said}");
    }
}

#[test]
fn odd_lines_are_left_out_with_a_reason() {
    let text = "nameserver\nnameserver 10.0.0.300\nnameserver fe80::1\nnameserver fe80::1%eth9\n\
                nameserver 0.0.0.0\nnameserver \u{1b}[2J\nnameserver 10.0.0.2 10.0.0.3\n";
    let (found, reports) = read(text, "127.0.0.1:5339");
    // Interfaces come and go.
    assert_eq!(found, ["fe80::1%eth9 [fe80::1]:53", "10.0.0.2 10.0.0.2:53"]);
    let why: Vec<&str> = reports
        .iter()
        .map(|it| it.rsplit("note: ").next().unwrap())
        .collect();
    assert_eq!(
        why,
        [
            "not an IP address",
            "not an IP address",
            "a link-local address needs its interface",
            "expected the address of a host, not the wildcard",
            "not an IP address",
        ]
    );
    assert!(!reports.concat().contains('\u{1b}'));
}

/// A host with these files; `None` is one that is not there.
struct Files(tempfile::TempDir);

impl Files {
    const NAMES: [&str; 3] = ["resolv.conf", "resolved", "manager"];

    fn new(texts: [Option<&str>; 3]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in Files::NAMES.iter().zip(texts) {
            if let Some(text) = text {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
        }
        Files(folder)
    }

    /// Upstreams, the file that they come from, and what is said.
    fn read(&self, listen: &str) -> (Vec<String>, String, Vec<String>) {
        let [resolv_conf, resolved, manager] = Files::NAMES.map(|it| self.0.path().join(it));
        let host = Host {
            resolv_conf,
            stand_ins: [resolved, manager],
            ..Host::example()
        };
        let listen = [Listen {
            address: listen.parse().unwrap(),
            ..Listen::default()
        }];
        let mut reports = Vec::new();
        let (found, from) = upstreams(None, &host, &listen, &[], &mut reports);
        let folder = format!("{}/", self.0.path().display());
        let source = Source(&[]);
        (
            found.into_iter().map(|it| it.name).collect(),
            from.display().to_string().replace(&folder, ""),
            reports
                .iter()
                .map(|it| it.render(&source).replace(&folder, ""))
                .collect(),
        )
    }
}

const STUB: &str = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
const LIST: &str = "nameserver 10.53.0.1\nnameserver 10.53.0.2\n";
const MANAGED: &str = "# Generated by NetworkManager\nnameserver 127.0.0.1\n";
const PORT_53: &str = "127.0.0.1:53";
const ELSEWHERE: &str = "127.0.0.1:5339";

#[test]
fn the_list_behind_a_local_listener_is_read_in_its_place() {
    let cases = [
        (
            [Some(STUB), Some(LIST), None],
            ELSEWHERE,
            "resolved",
            "systemd-resolved's own listener",
        ),
        (
            [Some("nameserver 127.0.0.54\n"), None, Some(LIST)],
            ELSEWHERE,
            "manager",
            "systemd-resolved",
        ),
        // systemd-resolved runs, but has nothing: what NetworkManager knows counts.
        (
            [Some(STUB), Some("# nobody\n"), Some(LIST)],
            ELSEWHERE,
            "manager",
            "systemd-resolved",
        ),
        (
            [Some(MANAGED), Some(STUB), Some(LIST)],
            ELSEWHERE,
            "manager",
            "NetworkManager's",
        ),
        // The host was pointed at byway.
        (
            [Some("nameserver 127.0.0.1\n"), Some(LIST), None],
            PORT_53,
            "resolved",
            "byway itself",
        ),
    ];
    for (texts, listen, from, why) in cases {
        let (found, file, said) = Files::new(texts).read(listen);
        assert_eq!(found, ["10.53.0.1", "10.53.0.2"], "{texts:?}");
        assert_eq!(file, from, "{texts:?}");
        let start = format!("note: {from} is read in place of resolv.conf\n --> resolv.conf\n");
        assert!(said.len() == 1 && said[0].starts_with(&start), "{said:?}");
        assert!(said[0].contains(why), "{said:?}");
    }
}

#[test]
fn what_names_a_resolver_beside_a_local_listener_is_read_itself() {
    for (text, first) in [
        ("nameserver 127.0.0.53\nnameserver 10.0.0.9\n", "127.0.0.53"),
        // A resolver of the host's own, which nobody manages.
        ("nameserver 127.0.0.1\n", "127.0.0.1"),
        (
            "# Generated by NetworkManager\nnameserver 10.0.0.9\n",
            "10.0.0.9",
        ),
    ] {
        let (found, file, said) = Files::new([Some(text), Some(LIST), Some(LIST)]).read(ELSEWHERE);
        assert_eq!((found[0].as_str(), file.as_str()), (first, "resolv.conf"));
        assert_eq!(said, [""; 0]);
    }
    // Neither runs here: somebody else listens there.
    let (found, file, _) = Files::new([Some(STUB), None, None]).read(ELSEWHERE);
    assert_eq!(
        (found, file.as_str()),
        (vec!["127.0.0.53".to_owned()], "resolv.conf")
    );
}

#[test]
fn a_local_listener_that_asks_byway_is_never_asked() {
    for (list, said_so) in [
        ("nameserver 127.0.0.1\n", "error: no upstream: "),
        ("nameserver 127.0.0.53\n", "error: no upstream: "),
        ("# nobody\n", "warning: no upstream yet: "),
    ] {
        let (found, file, said) = Files::new([Some(STUB), Some(list), None]).read(PORT_53);
        assert_eq!((found, file.as_str()), (Vec::new(), "resolved"), "{list}");
        assert!(said[0].starts_with(said_so), "{said:?}");
    }
    // What it has besides is asked.
    let list = "nameserver 127.0.0.1\nnameserver 10.53.0.1\n";
    let (found, ..) = Files::new([Some(STUB), Some(list), None]).read(PORT_53);
    assert_eq!(found, ["10.53.0.1"]);
}
