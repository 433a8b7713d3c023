//! Zones that the host's links bring along: a VPN, say, knows the domain of a company, and who serves it.
//!
//! systemd-networkd and systemd-resolved keep what they know of a link in a file by its number. The first says what the link's own
//! configuration has, the second what others told it, such as NetworkManager and VPN clients. Names below a link's domains are
//! asked of its servers, as systemd-resolved has it: search domains and such that only route are alike for this.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::address::{self, Endpoint};
use super::host::Host;
use super::report::{Place, Report, quoted};
use super::system::{self, RESOLVED};
use super::{DNS_PORT, Listen, Policy, UpstreamConfig, ZoneConfig, bounds, file};
use crate::wire::{name_from_text, name_to_text};

/// What stands in a file beyond this is not read.
const MOST_BYTES: u64 = 64 * 1024;
/// Links that are looked at.
pub const MOST_LINKS: usize = 64;
/// Servers of one link.
const MOST_SERVERS: usize = 16;
/// Domains of all links.
const MOST_DOMAINS: usize = 256;

/// What is learnt of the links.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    links: Vec<Link>,
    /// What of it could not be used.
    left_out: usize,
}

/// One link.
#[derive(Debug)]
struct Link {
    name: String,
    servers: Vec<UpstreamConfig>,
    /// In wire form and lower case.
    domains: Vec<Vec<u8>>,
    /// Its servers are asked for names that belong nowhere, too.
    is_for_all: bool,
}

/// The file of a link, by its number, and the links' names, for all that have one.
pub fn files(directory: &Path) -> io::Result<BTreeMap<u32, PathBuf>> {
    let entries = fs::read_dir(directory)?.filter_map(Result::ok);
    let numbered = entries.filter_map(|it| {
        let number = it.file_name().to_str()?.parse().ok()?;
        Some((number, it.path()))
    });
    Ok(numbered.collect())
}

/// Reads what there is of the host's links. What is odd about it is told.
pub(super) fn read(host: &Host, listen: &[Listen], reports: &mut Vec<Report>) -> Learnt {
    let mut learnt = Learnt::default();
    for directory in &host.links {
        let files = match files(directory) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                learnt.left_out += 1;
                reports.push(unreadable(directory, &error));
                continue;
            }
        };
        for (number, path) in files {
            let Some(name) = (host.interface_name)(number) else {
                // It has gone, and what is left of it stands for nothing.
                continue;
            };
            if learnt.links.len() >= MOST_LINKS {
                learnt.leave_out(&path, format!("more than {MOST_LINKS} links"), reports);
                break;
            }
            match text_of(&path) {
                Ok(text) => learnt.take(&path, name, &text, host, listen, reports),
                // It may have gone meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => learnt.leave_out(&path, error.to_string(), reports),
            }
        }
    }
    learnt
}

fn unreadable(directory: &Path, error: &io::Error) -> Report {
    let place = Place::Whole(directory.display().to_string());
    let message = "the domains of this host's links are not all known";
    let report = Report::note(message, &place, error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied => report.help(
            "systemd-resolved shows what NetworkManager and VPN clients told it to its own user and root alone: give byway CAP_DAC_READ_SEARCH, write a `[[zone]]`, or set `[host] link-domains = false`",
        ),
        _ => report,
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    file::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Learnt {
    fn leave_out(&mut self, path: &Path, why: String, reports: &mut Vec<Report>) {
        self.left_out += 1;
        let place = Place::Whole(path.display().to_string());
        reports.push(Report::note("left out of a link's domains", &place, why));
    }

    /// Takes in what `text`, the file at `path`, says of the link `name`.
    fn take(
        &mut self,
        path: &Path,
        name: String,
        text: &str,
        host: &Host,
        listen: &[Listen],
        reports: &mut Vec<Report>,
    ) {
        let told = Told::of(text);
        if !told.is_up || told.domains.is_empty() || told.servers.is_empty() {
            return;
        }
        let mut link = Link {
            is_for_all: told.is_for_all(),
            servers: Vec::new(),
            domains: Vec::new(),
            name,
        };
        for (index, word) in told.servers.iter().enumerate() {
            let found = match index < MOST_SERVERS {
                true => server(word, &link.name, host, listen),
                false => Err(format!("more than {MOST_SERVERS} servers")),
            };
            match found {
                Ok(it) if link.servers.contains(&it) => {}
                Ok(it) => link.servers.push(it),
                Err(why) => {
                    let why = format!("server {}: {why}", quoted(word));
                    self.leave_out(path, why, reports);
                }
            }
        }
        for word in &told.domains {
            let bare = word.strip_prefix('~').unwrap_or(word);
            match name_from_text(bare) {
                // Who is asked for all other names is said elsewhere.
                Ok(root) if root == [0] => {}
                Ok(name) => link.domains.push(name.to_ascii_lowercase()),
                Err(error) => {
                    let why = format!("domain {}: {error}", quoted(word));
                    self.leave_out(path, why, reports);
                }
            }
        }
        if !link.servers.is_empty() && !link.domains.is_empty() {
            self.links.push(link);
        }
    }

    /// Whether there is no domain in it.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How much of it could not be used.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether `upstream`, a name server of the host's list, is there for the names of a link alone.
    pub(super) fn is_for_few(&self, upstream: &UpstreamConfig) -> bool {
        let mut all = self.links.iter();
        let has = |link: &&Link| link.servers.iter().any(|it| is_same(it, upstream));
        let mut own = all.clone().filter(has).peekable();
        own.peek().is_some() && !all.any(|link| has(&link) && link.is_for_all)
    }

    /// Adds zones for the links' domains to `zones`, and to `upstreams` those of their servers that are not there yet. A zone
    /// of the file comes before a link's.
    pub(super) fn add_to(
        &mut self,
        zones: &mut Vec<ZoneConfig>,
        upstreams: &mut Vec<UpstreamConfig>,
        path: usize,
        reports: &mut Vec<Report>,
    ) {
        let known: HashSet<Vec<u8>> = zones.iter().flat_map(|it| it.names.clone()).collect();
        // Links that share a domain serve it together.
        let mut domains: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        for index in 0..self.links.len() {
            for name in self.links[index].domains.clone() {
                if known.contains(&name) {
                    continue;
                }
                match domains.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, links)) if links.contains(&index) => {}
                    Some((_, links)) => links.push(index),
                    None => domains.push((name, vec![index])),
                }
            }
        }
        let room = MOST_DOMAINS.min(bounds::MOST_ZONES.saturating_sub(zones.len()));
        if let Some((first, _)) = domains.get(room) {
            let why = format!("more than {room} domains, from {} on", name_to_text(first));
            self.leave_out(Path::new("[host] link-domains"), why, reports);
            domains.truncate(room);
        }
        let mut learnt: Vec<ZoneConfig> = Vec::new();
        for (name, links) in domains {
            let names: Vec<&str> = links.iter().map(|it| &*self.links[*it].name).collect();
            let from = match names.as_slice() {
                [one] => format!("link {one}"),
                all => format!("links {}", all.join(", ")),
            };
            let mut servers = Vec::new();
            for link in &links {
                for server in &self.links[*link].servers {
                    let place = place_of(server, upstreams, path);
                    servers.extend(place.filter(|it| !servers.contains(it)));
                }
            }
            if servers.is_empty() {
                let why = format!("no room for more upstreams: {}", name_to_text(&name));
                self.leave_out(Path::new("[host] link-domains"), why, reports);
                continue;
            }
            let same = |it: &&mut ZoneConfig| {
                it.upstreams == servers && it.learnt.as_deref() == Some(&*from)
            };
            match learnt.iter_mut().find(same) {
                Some(zone) => zone.names.push(name),
                None => learnt.push(ZoneConfig {
                    // As they are written, so they are asked.
                    policy: Some(Policy::Ordered),
                    learnt: Some(from),
                    ..ZoneConfig::new(vec![name], servers)
                }),
            }
        }
        zones.append(&mut learnt);
    }
}

/// Where `server` stands among the upstreams, which it is added to if there is room.
fn place_of(
    server: &UpstreamConfig,
    upstreams: &mut Vec<UpstreamConfig>,
    path: usize,
) -> Option<usize> {
    if let Some(known) = upstreams.iter().position(|it| is_same(it, server)) {
        return Some(known);
    }
    if upstreams.len() >= bounds::MOST_UPSTREAMS {
        return None;
    }
    // The name may be another one's in the file.
    let mut name = server.name.clone();
    while upstreams.iter().any(|it| it.name == name) {
        name.push('\'');
    }
    upstreams.push(UpstreamConfig {
        name,
        paths: vec![path],
        of_link: true,
        ..server.clone()
    });
    Some(upstreams.len() - 1)
}

fn is_same(one: &UpstreamConfig, other: &UpstreamConfig) -> bool {
    (one.address, &one.zone) == (other.address, &other.zone)
}

/// What a file says, in its words.
#[derive(Debug, Default)]
struct Told<'a> {
    servers: Vec<&'a str>,
    /// With `~` in front of such that only route, in the one kind of file.
    domains: Vec<&'a str>,
    only_routes: bool,
    default_route: Option<bool>,
    is_up: bool,
}

impl<'a> Told<'a> {
    fn of(text: &'a str) -> Told<'a> {
        let mut told = Told {
            is_up: true,
            ..Told::default()
        };
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches(['"', '\'']);
            let words = value.split_whitespace();
            match key {
                "DNS" | "SERVERS" => told.servers.extend(words),
                "DOMAINS" => told.domains.extend(words),
                "ROUTE_DOMAINS" => {
                    told.domains.extend(words);
                    told.only_routes |= !value.is_empty();
                }
                "DNS_DEFAULT_ROUTE" | "DEFAULT_ROUTE" => {
                    told.default_route = match value {
                        "yes" | "1" | "true" | "on" => Some(true),
                        "no" | "0" | "false" | "off" => Some(false),
                        _ => None,
                    };
                }
                "OPER_STATE" => told.is_up = !matches!(value, "missing" | "off" | "no-carrier"),
                _ => {}
            }
        }
        told
    }

    /// As systemd-resolved has it: unless something else is said, a link of which some domains only route is for those alone.
    fn is_for_all(&self) -> bool {
        let routes = self.only_routes || self.domains.iter().any(|it| it.starts_with('~'));
        let everything = self.domains.iter().any(|it| matches!(*it, "~." | "."));
        everything || self.default_route.unwrap_or(!routes)
    }
}

/// A server as systemd writes it: an address, with a port, an interface and a name for TLS where they are told.
fn server(
    text: &str,
    link: &str,
    host: &Host,
    listen: &[Listen],
) -> Result<UpstreamConfig, String> {
    let bare = text.split_once('#').map_or(text, |(bare, _)| bare);
    let (bare, zone) = match bare.split_once('%') {
        Some((bare, zone)) => (bare, Some(zone)),
        None => (bare, None),
    };
    let (ip, port) = match (bare.parse::<IpAddr>(), bare.parse::<SocketAddr>()) {
        (Ok(ip), _) => (ip, None),
        (_, Ok(address)) => (address.ip(), Some(address.port())),
        _ => return Err("not an IP address".to_owned()),
    };
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let endpoint = Endpoint {
        ip,
        zone: is_link_local.then(|| zone.unwrap_or(link).to_owned()),
        port: port.filter(|it| *it != DNS_PORT),
    };
    address::check_host(ip)
        .and_then(|()| address::check_zone(ip, endpoint.zone.as_deref()))
        .map_err(|error| error.to_string())?;
    if port == Some(0) {
        return Err("port 0".to_owned());
    }
    let (address, zone) = endpoint.of_upstream(DNS_PORT);
    if RESOLVED.contains(&ip) {
        return Err("it is systemd-resolved, which asks others in turn".to_owned());
    }
    if system::is_itself(address, listen, host) {
        return Err(system::ITSELF.to_owned());
    }
    Ok(UpstreamConfig {
        name: endpoint.to_string(),
        zone,
        ..UpstreamConfig::at(address)
    })
}

#[cfg(test)]
mod tests;
