//! Upstreams for a byway that was given none: those of the host's own `/etc/resolv.conf`.
//!
//! On a host that already uses byway, that file names byway. Asking itself would be a loop, so whatever
//! reaches one of its own listeners is left out.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;

use hickory_resolver::system_conf::parse_resolv_conf;

use super::address::{self, Endpoint};
use super::host::Host;
use super::report::{Place, Report, clip, quoted};
use super::{DNS_PORT, Listen, UpstreamConfig};

/// What stands in the file beyond this is not read; glibc takes three name servers.
const MOST_BYTES: u64 = 64 * 1024;

const WHAT_TO_DO: &str =
    "name a resolver: `--upstream 10.0.0.2`, or `[[upstream]]` in the configuration file";

/// The name servers of the host's resolv.conf, in its order, named by their addresses; and in `reports` a note on
/// each that is left out. An error if none remains.
pub(super) fn upstreams(
    host: &Host,
    listen: &[Listen],
    reports: &mut Vec<Report>,
) -> Vec<UpstreamConfig> {
    let name = host.resolv_conf.display().to_string();
    let whole = Place::Whole(name.clone());
    let mut bytes = Vec::new();
    let read = File::open(&host.resolv_conf)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    if let Err(error) = read {
        let message = "no upstream: the system's resolver configuration cannot be read";
        reports.push(Report::error(message, &whole, error.to_string()).help(WHAT_TO_DO));
        return Vec::new();
    }
    let mut found: Vec<UpstreamConfig> = Vec::new();
    let mut left_out = Vec::new();
    for (line, text) in name_server_lines(&String::from_utf8_lossy(&bytes)) {
        match upstream(text, host, listen) {
            // A name server given twice would be measured twice.
            Ok(it) if found.iter().any(|other| other.address == it.address) => {}
            Ok(it) => found.push(it),
            Err(why) => left_out.push((line, clip(text), why)),
        }
    }
    if found.is_empty() {
        let label = match left_out.as_slice() {
            [] => "it names no server".to_owned(),
            all => all
                .iter()
                .map(|(_, text, why)| format!("`{text}`: {why}"))
                .collect::<Vec<_>>()
                .join("; "),
        };
        let message = "no upstream: the system's resolver configuration has none that can be asked";
        reports.push(Report::error(message, &whole, label).help(WHAT_TO_DO));
    } else {
        reports.extend(left_out.into_iter().map(|(line, text, why)| {
            let place = Place::Whole(format!("{name}:{line}"));
            Report::note(
                format!("name server {} is left out", quoted(&text)),
                &place,
                why,
            )
        }));
    }
    found
}

/// The first word after `nameserver` and the number of its line.
fn name_server_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| (index + 1, words.next().unwrap_or_default()))
    })
}

fn upstream(text: &str, host: &Host, listen: &[Listen]) -> Result<UpstreamConfig, String> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone.to_owned())),
        None => (text, None),
    };
    // hickory reads the address as the system's resolver would, but drops its zone, and gives up on the
    // whole file where a search domain is odd. So it is shown one server at a time.
    let ip = parse_resolv_conf(format!("nameserver {ip}\n"))
        .ok()
        .and_then(|(config, _)| config.name_servers().first().map(|it| it.ip))
        .ok_or("not an IP address")?;
    let endpoint = Endpoint {
        ip,
        zone,
        port: None,
    };
    let address = address::check_host(ip)
        .and_then(|()| address::check_zone(ip, endpoint.zone.as_deref()))
        .and_then(|()| endpoint.resolve(DNS_PORT, host))
        .map_err(|error| error.to_string())?;
    if is_itself(address, listen, host) {
        return Err("it is byway itself".to_owned());
    }
    Ok(UpstreamConfig {
        name: endpoint.to_string(),
        ..UpstreamConfig::at(address)
    })
}

/// Whether a query sent to `address` would come back to one of the listeners. A wildcard listener takes what
/// is sent to any of the host's addresses of its own family: `serve` keeps `[::]` to IPv6.
pub(super) fn is_itself(address: SocketAddr, listen: &[Listen], host: &Host) -> bool {
    let ip = address.ip();
    listen.iter().any(|listener| {
        let own = listener.address.ip();
        let wildcard = own.is_unspecified() && own.is_ipv4() == ip.is_ipv4();
        listener.address.port() == address.port()
            && (own == ip || (wildcard && (host.is_local)(ip)))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::report::Source;
    use super::*;

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
        let found = upstreams(&host, &listen, &mut reports);
        let found = found
            .iter()
            .map(|it| format!("{} {}", it.name, it.address))
            .collect();
        let source = Source { name: "", text: "" };
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
        let (found, reports) = read(text, "127.0.0.1:5335");
        let expected = [
            "10.0.0.2 10.0.0.2:53",
            "fd00::1 [fd00::1]:53",
            "fe80::1%eth0 [fe80::1%2]:53",
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
        assert_eq!(names("127.0.0.1:5335"), all);
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
        let (_, reports) = read("# empty\n", "0.0.0.0:53");
        assert!(reports[0].contains("it names no server"), "{}", reports[0]);
        let mut reports = Vec::new();
        upstreams(&Host::example(), &[], &mut reports);
        let text = reports[0].render(&Source { name: "", text: "" });
        assert!(text.starts_with("error: no upstream: the system's resolver configuration cannot be read\n --> /nonexistent/resolv.conf\n"));
        assert!(text.ends_with(help));
    }

    #[test]
    fn odd_lines_are_left_out_with_a_reason() {
        let text = "nameserver\nnameserver 10.0.0.300\nnameserver fe80::1\nnameserver fe80::1%eth9\n\
                    nameserver 0.0.0.0\nnameserver \u{1b}[2J\nnameserver 10.0.0.2 10.0.0.3\n";
        let (found, reports) = read(text, "127.0.0.1:5335");
        assert_eq!(found, ["10.0.0.2 10.0.0.2:53"]);
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
                "this host has no interface `eth9`",
                "expected the address of a host, not the wildcard",
                "not an IP address",
            ]
        );
        assert!(!reports.concat().contains('\u{1b}'));
    }
}
