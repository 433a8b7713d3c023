//! What the configuration needs to know of the host it is read on.
//!
//! Handed in as a value, so that the same file always means the same in a test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use rustix::system::uname;

use super::bounds;

/// The surroundings that defaults depend on.
#[derive(Clone, Debug)]
pub struct Host {
    /// Cores this process may use: the default number of workers.
    pub cores: usize,
    /// Where state is kept, an absolute path: the place of the cache's snapshot and the flight recorder's file.
    pub state_directory: Option<PathBuf>,
    /// Where the control socket is, unless the file says otherwise.
    pub control_socket: Option<PathBuf>,
    /// Where upstreams are read from if none are given.
    pub resolv_conf: PathBuf,
    /// The host's own file of names (hosts(5)).
    pub hosts: Option<PathBuf>,
    /// Where the servers stand that are asked in turn by what `resolv_conf` names, if that is a local listener:
    /// systemd-resolved's list and NetworkManager's.
    pub stand_ins: [PathBuf; 2],
    /// Where files lie that say which servers and domains each link has, by its number: systemd-networkd's and
    /// systemd-resolved's.
    pub links: [PathBuf; 2],
    /// What the host calls itself.
    pub name: fn() -> Option<String>,
    /// The number of an interface, if it exists.
    pub interface_index: fn(&str) -> Option<u32>,
    /// The name of one, by its number.
    pub interface_name: fn(u32) -> Option<String>,
    /// Whether an address is one of this host's own.
    pub is_local: fn(IpAddr) -> bool,
}

impl Host {
    /// The host byway runs on.
    pub fn this() -> Host {
        Host {
            cores: cores(),
            state_directory: state_directory(),
            control_socket: control_socket(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hosts: Some(PathBuf::from("/etc/hosts")),
            stand_ins: [
                PathBuf::from("/run/systemd/resolve/resolv.conf"),
                PathBuf::from("/run/NetworkManager/no-stub-resolv.conf"),
            ],
            links: [
                PathBuf::from("/run/systemd/netif/links"),
                PathBuf::from("/run/systemd/resolve/netif"),
            ],
            name,
            interface_index,
            interface_name,
            is_local,
        }
    }
}

/// Cores this process may use, but no more than workers are accepted; 1 if that cannot be told.
pub fn cores() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.min(*bounds::WORKERS.end())
}

/// `$STATE_DIRECTORY` as systemd sets it (systemd.exec(5)): absolute paths, colons between them, the
/// service's own first.
fn state_directory() -> Option<PathBuf> {
    let all = std::env::var("STATE_DIRECTORY").ok()?;
    let first = Path::new(all.split(':').next()?);
    first.is_absolute().then(|| first.to_owned())
}

/// The name of the flight recorder's file in the state directory.
pub const RECORDER_FILE: &str = "flight.record";

/// The name of the control socket in its directory.
const CONTROL_SOCKET: &str = "control.sock";

/// Where the control socket of this host's daemon may be, the likeliest first: where systemd lets a service keep
/// such things (systemd.exec(5)), where the packaged service keeps it, and a user's own place.
pub fn control_sockets() -> Vec<PathBuf> {
    let directory = |variable: &str, below: &str| {
        let all = std::env::var(variable).ok()?;
        let first = Path::new(all.split(':').next()?);
        first
            .is_absolute()
            .then(|| first.join(below).join(CONTROL_SOCKET))
    };
    [
        directory("RUNTIME_DIRECTORY", ""),
        Some(Path::new("/run/byway").join(CONTROL_SOCKET)),
        directory("XDG_RUNTIME_DIR", "byway"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where a daemon of this user puts its own: where it was told to, be that the system's place.
fn control_socket() -> Option<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    let told = std::env::var("RUNTIME_DIRECTORY").is_ok_and(|it| it.starts_with('/'));
    own_of(control_sockets(), root || told)
}

fn own_of(all: Vec<PathBuf>, may_be_the_systems: bool) -> Option<PathBuf> {
    let system = |path: &PathBuf| path.starts_with("/run/byway");
    all.into_iter()
        .find(|path| may_be_the_systems || !system(path))
}

/// The kernel's name for it, if it has one that can be told.
fn name() -> Option<String> {
    let name = uname().nodename().to_str().ok()?.to_owned();
    let can_be_told = name.bytes().all(|it| it.is_ascii_graphic());
    (can_be_told && !name.is_empty() && name != "(none)").then_some(name)
}

/// Asks the kernel, not /sys, which may show another network namespace's interfaces.
fn interface_index(name: &str) -> Option<u32> {
    netdevice::name_to_index(any_socket()?, name).ok()
}

fn interface_name(number: u32) -> Option<String> {
    netdevice::index_to_name(any_socket()?, number).ok()
}

fn any_socket() -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .or_else(|_| socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None));
    socket.ok()
}

/// Asks the kernel which address it would send from: towards an address of this host, the same one.
/// Connecting a UDP socket sends nothing.
fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, super::DNS_PORT))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
impl Host {
    /// A made-up host for tests: four cores, interface `eth0` with the number 2, own addresses 127/8, ::1 and
    /// 192.0.2.1, no state directory and no resolv.conf.
    pub(crate) fn example() -> Host {
        Host {
            cores: 4,
            state_directory: None,
            control_socket: None,
            resolv_conf: PathBuf::from("/nonexistent/resolv.conf"),
            hosts: None,
            stand_ins: ["resolved", "manager"].map(|it| PathBuf::from("/nonexistent").join(it)),
            links: ["networkd", "resolved"].map(|it| PathBuf::from("/nonexistent").join(it)),
            name: || Some("example-1".into()),
            interface_index: |name| (name == "eth0").then_some(2),
            interface_name: |number| {
                let names = [(2, "eth0"), (3, "tun0"), (4, "tun1")];
                let found = names.iter().find(|(known, _)| *known == number);
                found.map(|(_, name)| (*name).to_owned())
            },
            is_local: |ip| ip.is_loopback() || ip == IpAddr::from([192, 0, 2, 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_and_documentation_is_not() {
        let host = Host::this();
        assert!((host.is_local)(IpAddr::from([127, 0, 0, 53])));
        assert!((host.is_local)(Ipv6Addr::LOCALHOST.into()));
        assert!(!(host.is_local)(IpAddr::from([192, 0, 2, 77])));
        assert!(!(host.is_local)("2001:db8::77".parse().unwrap()));
    }

    #[test]
    fn interfaces_are_numbered() {
        assert_eq!(interface_index("lo"), Some(1));
        for name in ["", ".", "..", "../lo", "no-such-interface"] {
            assert_eq!(interface_index(name), None, "{name:?}");
        }
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(interface_name(u32::MAX), None);
    }
}
