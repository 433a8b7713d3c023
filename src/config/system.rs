//! Upstreams for a byway that was given none: those of the host's own `/etc/resolv.conf`.
//!
//! On a host that already uses byway, that file names byway. Asking itself would be a loop, so whatever
//! reaches one of its own listeners is left out. On many hosts it names the listener of systemd-resolved or of
//! NetworkManager's dnsmasq alone, which asks other servers in turn. To ask those costs a hop and hides the
//! servers, and is a loop where that listener asks byway. So their own lists are read in its place.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hickory_resolver::system_conf::parse_resolv_conf;

use super::address::{self, Endpoint};
use super::host::Host;
use super::report::{Place, Report, Written, clip, quoted};
use super::{DNS_PORT, Listen, UpstreamConfig, file};

/// What stands in the file beyond this is not read; glibc takes three name servers.
const MOST_BYTES: u64 = 64 * 1024;

const WHAT_TO_DO: &str =
    "name a resolver: `--upstream 10.0.0.2`, or `[[upstream]]` in the configuration file";

/// Where systemd-resolved listens for the programs of its host (systemd-resolved.service(8)).
pub(super) const RESOLVED: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)),
];

/// The files that say which name servers the host has, whichever of them it is that counts.
pub(super) fn files(named: Option<&Written<PathBuf>>, host: &Host) -> Vec<PathBuf> {
    match named {
        Some(named) => vec![named.value.clone()],
        None => {
            let own = std::iter::once(&host.resolv_conf);
            own.chain(&host.stand_ins).cloned().collect()
        }
    }
}

/// The name servers of the host's resolv.conf, or of the file `named` in its place, in its order, named by their
/// addresses; and in `reports` a note on each that is left out, and on a list that was read in place of the host's
/// file. What is returned beside them is the file that they come from.
///
/// If there is none, those that were `known` before go on, with a warning. If none were, there is none yet, with a
/// warning, where the file is not there or names nobody: at boot it is written later. Otherwise that is an error.
pub(super) fn upstreams(
    named: Option<&Written<PathBuf>>,
    host: &Host,
    listen: &[Listen],
    known: &[UpstreamConfig],
    reports: &mut Vec<Report>,
) -> (Vec<UpstreamConfig>, PathBuf) {
    let name = named.map_or(&host.resolv_conf, |it| &it.value);
    let own = match List::read(name, host, listen) {
        Ok(list) => list,
        Err(error) => {
            let place = named.map_or_else(|| whole(name), |it| it.place.clone());
            let none = Nobody {
                message: "the system's resolver configuration cannot be read",
                place,
                why: error.to_string(),
                may_come: error.kind() == io::ErrorKind::NotFound,
            };
            return (none.so(known, reports), name.to_owned());
        }
    };
    let between = own.only_a_go_between().filter(|_| named.is_none());
    let list = match between {
        Some(between) => match stand_in(between, host, listen) {
            Ok(Some(list)) => {
                let message = format!("{} is read in place of {}", list.name(), own.name());
                reports.push(Report::note(message, &whole(name), between.why()));
                list
            }
            Ok(None) => own,
            Err(list) => list,
        },
        None => own,
    };
    let from = list.name.clone();
    (list.taken(known, reports), from)
}

/// That a resolver configuration has nobody to ask.
struct Nobody {
    message: &'static str,
    place: Place,
    why: String,
    /// Whether it is as likely as not that it will have somebody soon.
    may_come: bool,
}

impl Nobody {
    /// Who is asked then; what that means is reported.
    fn so(self, known: &[UpstreamConfig], reports: &mut Vec<Report>) -> Vec<UpstreamConfig> {
        let Nobody { place, why, .. } = &self;
        let report = match (known, self.may_come) {
            ([], false) => {
                Report::error(format!("no upstream: {}", self.message), place, why.clone())
                    .help(WHAT_TO_DO)
            }
            ([], true) => {
                let message = format!("no upstream yet: {}", self.message);
                Report::warning(message, place, why.clone()).help(format!(
                    "byway asks those that it will name, within a second; or {WHAT_TO_DO}"
                ))
            }
            (known, _) => {
                let names: Vec<&str> = known.iter().map(|it| it.name.as_str()).collect();
                let message = format!("{}; {} stays in use", self.message, names.join(", "));
                Report::warning(message, place, why.clone())
            }
        };
        reports.push(report);
        known.to_vec()
    }
}

/// What a resolv.conf names where it names no resolver of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Resolved,
    NetworkManager,
    Byway,
}

impl Between {
    fn why(self) -> &'static str {
        match self {
            Between::Resolved => "it names systemd-resolved's own listener alone",
            Between::NetworkManager => "it names a local listener of NetworkManager's alone",
            Between::Byway => "it names byway itself alone",
        }
    }
}

/// The list of the servers behind `between`; `None` if there is no such file on this host. Only one that names a
/// server is taken.
///
/// # Errors
/// The first list that is there, if none of those that are names a server.
fn stand_in(between: Between, host: &Host, listen: &[Listen]) -> Result<Option<List>, List> {
    let [resolved, manager] = &host.stand_ins;
    let all: &[&PathBuf] = match between {
        Between::Resolved | Between::Byway => &[resolved, manager],
        Between::NetworkManager => &[manager],
    };
    let mut empty = None;
    for path in all {
        let Ok(mut list) = List::read(path, host, listen) else {
            continue;
        };
        for server in &mut list.servers {
            if let Ok(it) = &server.it
                && RESOLVED.contains(&it.address.ip())
            {
                server.it = Err("it is systemd-resolved, which asks others in turn".to_owned());
            }
        }
        if list.servers.iter().any(|server| server.it.is_ok()) {
            return Ok(Some(list));
        }
        empty.get_or_insert(list);
    }
    empty.map_or(Ok(None), Err)
}

fn whole(name: &Path) -> Place {
    Place::Whole(name.display().to_string())
}

/// A resolv.conf that was read.
struct List {
    name: PathBuf,
    servers: Vec<Server>,
    /// NetworkManager says that it wrote it.
    managed: bool,
}

/// A `nameserver` line.
struct Server {
    line: usize,
    text: String,
    ip: Option<IpAddr>,
    /// What can be asked there, or why nothing can.
    it: Result<UpstreamConfig, String>,
}

impl List {
    fn read(name: &Path, host: &Host, listen: &[Listen]) -> io::Result<List> {
        let mut bytes = Vec::new();
        file::open(name)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let servers = name_server_lines(&text).map(|(line, text)| Server {
            line,
            text: clip(text),
            ip: text.parse().ok(),
            it: upstream(text, host, listen),
        });
        Ok(List {
            name: name.to_owned(),
            servers: servers.collect(),
            managed: text
                .lines()
                .any(|it| it.starts_with("# Generated by NetworkManager")),
        })
    }

    fn name(&self) -> std::path::Display<'_> {
        self.name.display()
    }

    /// What it names, if that is no resolver of the network but somebody on this host who asks one.
    fn only_a_go_between(&self) -> Option<Between> {
        let all = |holds: &dyn Fn(&Server) -> bool| {
            !self.servers.is_empty() && self.servers.iter().all(holds)
        };
        let ip_is =
            |server: &Server, holds: fn(&IpAddr) -> bool| server.ip.as_ref().is_some_and(holds);
        if all(&|it| ip_is(it, |ip| RESOLVED.contains(ip))) {
            Some(Between::Resolved)
        } else if self.managed && all(&|it| ip_is(it, IpAddr::is_loopback)) {
            Some(Between::NetworkManager)
        } else if all(&|it| it.it.as_ref().is_err_and(|why| why == ITSELF)) {
            Some(Between::Byway)
        } else {
            None
        }
    }

    /// The servers that can be asked, each once, and notes on the others; if there is none, those that were `known`.
    fn taken(self, known: &[UpstreamConfig], reports: &mut Vec<Report>) -> Vec<UpstreamConfig> {
        let name = self.name().to_string();
        let mut found: Vec<UpstreamConfig> = Vec::new();
        let mut left_out = Vec::new();
        for Server { line, text, it, .. } in self.servers {
            match it {
                // A name server given twice would be measured twice.
                Ok(it)
                    if found
                        .iter()
                        .any(|other| (other.address, &other.zone) == (it.address, &it.zone)) => {}
                Ok(it) => found.push(it),
                Err(why) => left_out.push((line, text, why)),
            }
        }
        if found.is_empty() {
            let reason = |(_, text, why): &(usize, String, String)| format!("`{text}`: {why}");
            let label = match left_out.as_slice() {
                [] => "it names no server".to_owned(),
                all => all.iter().map(reason).collect::<Vec<_>>().join("; "),
            };
            let none = Nobody {
                message: "the system's resolver configuration has none that can be asked",
                place: Place::Whole(name),
                why: label,
                may_come: left_out.is_empty(),
            };
            return none.so(known, reports);
        } else {
            reports.extend(left_out.into_iter().map(|(line, text, why)| {
                let place = Place::Whole(format!("{name}:{line}"));
                let message = format!("name server {} is left out", quoted(&text));
                Report::note(message, &place, why)
            }));
        }
        found
    }
}

/// The first word after `nameserver` and the number of its line.
fn name_server_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| (index + 1, words.next().unwrap_or_default()))
    })
}

pub(super) const ITSELF: &str = "it is byway itself";

fn upstream(text: &str, host: &Host, listen: &[Listen]) -> Result<UpstreamConfig, String> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone.to_owned())),
        None => (text, None),
    };
    // hickory reads the address as the system's resolver would, but drops its zone, and gives up on the
    // whole file where a search domain is odd. So it is shown one server at a time.
    // What is no address is said by byway, with its place, and not by the library as well.
    let silence = tracing::subscriber::NoSubscriber::default();
    let parsed = tracing::subscriber::with_default(silence, || {
        parse_resolv_conf(format!("nameserver {ip}\n"))
    });
    let ip = parsed
        .ok()
        .and_then(|(config, _)| config.name_servers().first().map(|it| it.ip))
        .ok_or("not an IP address")?;
    let endpoint = Endpoint {
        ip,
        zone,
        port: None,
    };
    address::check_host(ip)
        .and_then(|()| address::check_zone(ip, endpoint.zone.as_deref()))
        .map_err(|error| error.to_string())?;
    let (address, zone) = endpoint.of_upstream(DNS_PORT);
    if is_itself(address, listen, host) {
        return Err(ITSELF.to_owned());
    }
    Ok(UpstreamConfig {
        name: endpoint.to_string(),
        zone,
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
mod tests;
