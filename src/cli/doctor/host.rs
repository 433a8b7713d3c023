//! This host: who holds the ports, who writes resolv.conf, what the process may use, what time it is.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::owner::Owner;
use super::{Finding, Gravity};
use crate::admin::api;
use crate::config::Config;
use crate::config::host::Host;
use crate::daemon::examine::shortage_of_descriptors;

/// When byway was written, about: a clock that shows an earlier time is wrong. In seconds since 1970.
const EPOCH: u64 = 1_764_000_000;

/// Whether this very listener is the running daemon's.
fn is_its(address: SocketAddr, running: Option<&api::Status>) -> bool {
    let all = running.iter().flat_map(|it| &it.listeners);
    all.filter_map(|it| it.parse::<SocketAddr>().ok())
        .any(|it| it == address)
}

/// Whether byway listens where it is to, or could.
pub(super) fn listeners(
    config: &Config,
    running: Option<&api::Status>,
    findings: &mut Vec<Finding>,
) {
    for listen in &config.listen {
        let address = listen.address;
        let subject = format!("port {}", address.port());
        if is_its(address, running) {
            findings.push(Finding::fine(
                subject,
                format!("byway listens on {address}"),
            ));
            continue;
        }
        let udp = listen.udp.then(|| UdpSocket::bind(address).err());
        let tcp = listen
            .takes_connections()
            .then(|| TcpListener::bind(address).err());
        let error = udp.flatten().or(tcp.flatten());
        findings.push(match error {
            None => Finding::fine(subject, format!("{address} is free")),
            Some(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let holder = holder(address.port());
                let who = holder.as_deref().unwrap_or("another program");
                let finding = Finding::new(
                    subject,
                    Gravity::Bad,
                    format!("{who} holds {address}"),
                );
                finding.help(match holder.as_deref() {
                    Some(who) if who.starts_with("systemd-resolve") => {
                        "set `DNSStubListener=no` in /etc/systemd/resolved.conf, or listen elsewhere".to_owned()
                    }
                    _ => format!("stop it, or listen elsewhere; `ss -lntup 'sport = :{}'`", address.port()),
                })
            }
            Some(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Finding::fine(subject, format!("whether {address} is free cannot be told without privileges"))
            }
            Some(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let text = format!("{address} is not on this host");
                Finding::new(subject, Gravity::Bad, text).help("`ip address` shows those it has")
            }
            Some(error) => Finding::new(subject, Gravity::Bad, format!("{address}: {error}")),
        });
    }
}

/// The program that has a socket on this port, with its process; `None` where that cannot be seen.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["udp", "udp6", "tcp", "tcp6"]
        .iter()
        .filter_map(|it| fs::read_to_string(format!("/proc/net/{it}")).ok())
        .flat_map(|table| inodes_of(&table, port))
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|it| it.is_ascii_digit()) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|it| {
            let link = fs::read_link(it.path()).unwrap_or_default();
            let link = link.to_string_lossy();
            let inode = link
                .strip_prefix("socket:[")
                .and_then(|it| it.strip_suffix(']'));
            inode.is_some_and(|it| inodes.iter().any(|known| known == it))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim_end()));
        }
    }
    None
}

/// The inodes of sockets on a port that are not connected, in a table as /proc/net/udp is one (proc(5)).
fn inodes_of(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let lines = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let open = words.get(2)?.ends_with(":0000");
        (open && words.get(1)?.ends_with(&suffix))
            .then(|| words.get(9).map(|it| (*it).to_owned()))?
    });
    lines.collect()
}

/// Who writes resolv.conf, and whether it leads to byway.
pub(super) fn resolv_conf(
    config: &Config,
    running: Option<&api::Status>,
    findings: &mut Vec<Finding>,
) {
    let path = Host::this().resolv_conf;
    let subject = path.display().to_string();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let finding =
                Finding::new(subject, Gravity::Bad, format!("it cannot be read: {error}"));
            findings.push(finding.help("programs of this host find no resolver"));
            return;
        }
    };
    let owner = owner_of(&text, fs::read_link(&path).ok().as_deref());
    let servers: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver"))
        .map(str::trim)
        .collect();
    let listed = servers.join(", ");
    let is_own = |server: &&str| {
        let ip = server.parse::<IpAddr>().ok();
        ip.is_some_and(|ip| {
            let own = |address: SocketAddr| {
                let wildcard = address.ip().is_unspecified() && (Host::this().is_local)(ip);
                address.port() == 53 && (address.ip() == ip || wildcard)
            };
            let running = running.iter().flat_map(|it| &it.listeners);
            let running = running.filter_map(|it| it.parse::<SocketAddr>().ok());
            config
                .listen
                .iter()
                .map(|it| it.address)
                .chain(running)
                .any(own)
        })
    };
    let own = servers.iter().filter(|it| is_own(it)).count();
    findings.push(if servers.is_empty() {
        let finding = Finding::new(
            subject,
            Gravity::Bad,
            format!("it names no server; {owner}"),
        );
        finding.help("programs of this host find no resolver")
    } else if own == servers.len() {
        Finding::fine(subject, format!("it names byway ({listed}); {owner}"))
    } else if own > 0 {
        let text = format!("it names others beside byway ({listed}); {owner}");
        Finding::new(subject, Gravity::Odd, text)
            .help("programs ask those too, past byway: leave them out where byway is to be used")
    } else {
        Finding::fine(subject, format!("it names {listed}, not byway; {owner}"))
    });
}

/// Who writes it, as far as it says.
fn owner_of(text: &str, link: Option<&Path>) -> String {
    match (Owner::of(text, link), link) {
        (Some(owner), _) => format!("{} writes it", owner.name()),
        (None, Some(link)) => format!("it is a link to {}", link.display()),
        (None, None) => "nobody says that it writes it".to_owned(),
    }
}

/// Upstreams on this host: whom do they ask?
pub(super) fn loops(config: &Config, findings: &mut Vec<Finding>) {
    let host = Host::this();
    let near: Vec<&str> = config
        .upstreams
        .iter()
        .filter(|it| (host.is_local)(it.address.ip()))
        .map(|it| it.name.as_str())
        .collect();
    findings.push(match near.as_slice() {
        [] => Finding::fine("loops", "no upstream is on this host"),
        near => {
            let text = format!("on this host itself: {}", near.join(", "));
            Finding::fine("loops", text).help(
                "see that it does not ask byway in its turn; byway would notice and leave it alone",
            )
        }
    });
}

/// Descriptors and memory.
pub(super) fn limits(config: &Config, findings: &mut Vec<Finding>) {
    findings.push(match shortage_of_descriptors(config) {
        None => Finding::fine("descriptors", "this process may open enough files"),
        Some(warning) => Finding::new("descriptors", Gravity::Odd, warning),
    });
    let wanted = config.cache.size as u64;
    let room = [
        ("MemAvailable of /proc/meminfo", available()),
        ("memory.max of its cgroup", cgroup_limit()),
    ];
    let least = room
        .into_iter()
        .filter_map(|(what, bytes)| Some((bytes?, what)))
        .min();
    let mib = |bytes: u64| bytes >> 20;
    findings.push(match least {
        Some((bytes, what)) if bytes < wanted.saturating_add(wanted / 2) => {
            let text = format!(
                "`[cache] size` is {} MiB, and {what} {} MiB",
                mib(wanted),
                mib(bytes)
            );
            Finding::new("memory", Gravity::Odd, text)
                .help("leave half as much again for all else: make the cache smaller")
        }
        Some((bytes, _)) => {
            let text = format!("{} MiB for a cache of {} MiB", mib(bytes), mib(wanted));
            Finding::fine("memory", text)
        }
        None => Finding::fine("memory", "how much there is cannot be told"),
    });
}

fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|it| it.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// The limit of this process's own cgroup (version 2).
fn cgroup_limit() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|it| it.strip_prefix("0::"))?;
    let file = format!("/sys/fs/cgroup{own}/memory.max");
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A clock that is far off spoils nothing of byway's but certificates and DNSSEC of its clients.
pub(super) fn clock(findings: &mut Vec<Finding>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or(Duration::ZERO).as_secs();
    findings.push(match now < EPOCH {
        true => Finding::new("clock", Gravity::Odd, "it shows a time before byway was made")
            .help("signatures and certificates look not yet valid: see to NTP, by address if names do not resolve"),
        false => Finding::fine("clock", "it shows a time that can be"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let who = holder(port).expect("this process");
        assert!(
            who.ends_with(&format!("(pid {})", std::process::id())),
            "{who}"
        );
        let table = "  sl  local_address rem_address   st tx rx tr tm retrnsmt   uid  timeout inode\n   \
                     1: 3500007F:0035 00000000:0000 07 0:0 00:0 0 101 0 4242 2 0 0\n   \
                     2: 3500007F:0035 3500007F:9999 01 0:0 00:0 0 101 0 4243 2 0 0\n";
        assert_eq!(inodes_of(table, 53), ["4242"]);
        assert_eq!(inodes_of("odd\n1 2\n", 53), [""; 0]);
    }

    #[test]
    fn who_writes_resolv_conf_is_told_by_its_link_and_its_words() {
        let link = |text| owner_of("nameserver 1.2.3.4\n", Some(Path::new(text)));
        assert_eq!(
            link("../run/systemd/resolve/stub-resolv.conf"),
            "systemd-resolved writes it"
        );
        assert_eq!(link("/srv/x"), "it is a link to /srv/x");
        let text = "# Generated by NetworkManager\nnameserver 10.0.0.1\n";
        assert_eq!(owner_of(text, None), "NetworkManager writes it");
        assert_eq!(
            owner_of("nameserver 10.0.0.1\n", None),
            "nobody says that it writes it"
        );
    }
}
