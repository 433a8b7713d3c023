//! The host as paths find it: whether their interfaces and source addresses are there.
//!
//! The kernel says over netlink that a link or an address has changed ([`News`]); what it says is not
//! read, as it may have been lost in an overrun. Everything is looked at anew instead ([`look`]), by what
//! a socket of the path would meet, and [`Watch`] tells what that changes.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::path::Path;
use crate::config::PathConfig;
use crate::sys::{Link, link};

/// Groups of rtnetlink(7): links, and addresses of either family.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// RTM_DELADDR.
const ADDRESS_GONE: u16 = 21;

/// Why a path cannot be used for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such interface.
    Interface(String),
    /// The interface was set down.
    Down(String),
    /// It is set up, but not operational (RFC 2863).
    Carrier(String),
    /// Another interface has taken the name: what was bound to the old one is dead. Said once.
    Replaced(String),
    /// None of the source addresses that its upstreams need is on the host.
    Source(Vec<IpAddr>),
}

impl Missing {
    /// What an operator can do about it.
    pub fn advice(&self) -> String {
        match self {
            Missing::Interface(_) | Missing::Replaced(_) => {
                "create it, or correct `interface` (see `ip link`)".into()
            }
            Missing::Down(name) => format!("set it up (`ip link set {name} up`)"),
            Missing::Carrier(_) => "see to its cable or its other end (see `ip link`)".into(),
            Missing::Source(_) => "add it, or correct `source` (see `ip address`)".into(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Interface(name) => write!(f, "there is no interface {name}"),
            Missing::Down(name) => write!(f, "interface {name} is down"),
            Missing::Carrier(name) => write!(f, "interface {name} has no carrier"),
            Missing::Replaced(name) => write!(f, "interface {name} was created anew"),
            Missing::Source(sources) => {
                let sources: Vec<_> = sources.iter().map(IpAddr::to_string).collect();
                write!(
                    f,
                    "source address {} is not on this host",
                    sources.join(", ")
                )
            }
        }
    }
}

/// What a path finds on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its interface, if it is bound to one that exists.
    pub link: Option<Link>,
    /// Its source addresses that are not on the host.
    pub foreign: Vec<IpAddr>,
}

/// The families of a path's upstreams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// Some are reached over IPv4.
    pub ipv4: bool,
    /// Some are reached over IPv6.
    pub ipv6: bool,
}

/// Looks for the path's interface and source addresses. What cannot be found out is taken to be there:
/// the attempts will tell.
pub fn look(path: &PathConfig) -> Seen {
    let interface = path.interface.as_deref();
    let unknown = Link {
        index: 0,
        up: true,
        running: true,
    };
    let link = interface.and_then(|name| link(name).unwrap_or(Some(unknown)));
    let way = Path::new(path.clone());
    let foreign = |ip: &&IpAddr| !way.holds((**ip, 0).into());
    Seen {
        foreign: match interface.is_some() && link.is_none() {
            true => Vec::new(),
            false => path.source.iter().filter(foreign).copied().collect(),
        },
        link,
    }
}

/// Why `path` cannot be used for any of its upstreams, going by what it finds; `None` if it can.
pub fn missing(path: &PathConfig, needs: Families, seen: &Seen) -> Option<Missing> {
    if let Some(name) = &path.interface {
        match seen.link {
            None => return Some(Missing::Interface(name.clone())),
            Some(link) if !link.up => return Some(Missing::Down(name.clone())),
            Some(link) if !link.running => return Some(Missing::Carrier(name.clone())),
            Some(_) => {}
        }
    }
    // With the source of one family gone, the upstreams of the other can still be reached.
    let homeless = |ipv4: bool| seen.foreign.iter().any(|ip| ip.is_ipv4() == ipv4);
    let needed = [(needs.ipv4, true), (needs.ipv6, false)];
    let mut needed = needed.into_iter().filter(|(needed, _)| *needed).peekable();
    let lost = needed.peek().is_some() && needed.all(|(_, ipv4)| homeless(ipv4));
    lost.then(|| Missing::Source(seen.foreign.clone()))
}

/// What has become of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It cannot be used any more.
    Lost(Missing),
    /// It can be used again.
    Found,
}

/// What was last seen of every path.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    paths: Vec<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    lost: bool,
    index: Option<u32>,
}

impl Watch {
    /// Of `paths` paths, all of them taken to be usable.
    pub fn new(paths: usize) -> Watch {
        Watch {
            paths: vec![State::default(); paths],
        }
    }

    /// Path number `path` is the one that it is in `other`: what was seen of it holds.
    pub fn recall(&mut self, path: usize, other: &Watch) {
        if let (Some(state), Some(known)) = (self.paths.get_mut(path), other.paths.get(path)) {
            state.clone_from(known);
        }
    }

    /// Takes in what path number `path` finds. An interface that was replaced is lost first, so that
    /// what was bound to the old one is given up, and found the next time.
    pub fn see(
        &mut self,
        path: usize,
        config: &PathConfig,
        needs: Families,
        seen: &Seen,
    ) -> Option<Change> {
        let state = &mut self.paths[path];
        let index = seen.link.map(|link| link.index);
        let replaced = !state.lost && state.index.is_some() && state.index != index;
        if index.is_some() {
            state.index = index;
        }
        let why = missing(config, needs, seen).or_else(|| {
            let name = config.interface.clone().filter(|_| replaced)?;
            Some(Missing::Replaced(name))
        });
        let was_lost = std::mem::replace(&mut state.lost, why.is_some());
        match why {
            Some(why) if !was_lost => Some(Change::Lost(why)),
            None if was_lost => Some(Change::Found),
            _ => None,
        }
    }
}

/// What the kernel has said since it was last listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Nothing.
    #[default]
    None,
    /// Something about links or addresses has changed.
    Changed,
    /// An address has left the host, or so much has happened that it may have.
    AddressGone,
}

/// The kernel's word that something about links or addresses has changed.
#[derive(Debug)]
pub struct News {
    socket: OwnedFd,
}

impl News {
    /// Listens from now on. Needs no privilege.
    ///
    /// # Errors
    /// Where netlink cannot be had, in some sandboxes for one.
    pub fn listen() -> io::Result<News> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(News { socket })
    }

    /// Waits until there is news, at most for `patience`, and takes it; an overrun is news too.
    ///
    /// # Errors
    /// When no more news is to be had.
    pub fn wait(&self, patience: Duration) -> io::Result<Word> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        match poll(&mut ready, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (mut word, mut buffer) = (Word::None, [0; 8192]);
        loop {
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                // The type follows the length in the header of a message.
                Ok((length, _)) => match buffer[..length].get(4..6) {
                    Some(kind) if *kind != ADDRESS_GONE.to_ne_bytes() => {
                        word = word.max(Word::Changed);
                    }
                    _ => word = Word::AddressGone,
                },
                Err(Errno::NOBUFS) => word = Word::AddressGone,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(word),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Families = Families {
        ipv4: true,
        ipv6: true,
    };
    const IPV4: Families = Families {
        ipv4: true,
        ipv6: false,
    };

    fn path(interface: Option<&str>, source: &[&str]) -> PathConfig {
        PathConfig {
            name: "test".into(),
            interface: interface.map(String::from),
            source: source
                .iter()
                .map(|ip| ip.parse().expect("an address"))
                .collect(),
            mark: None,
            backup: false,
            metered: false,
            cost: 1.0,
        }
    }

    fn seen(link: Option<(u32, bool, bool)>, foreign: &[&str]) -> Seen {
        Seen {
            link: link.map(|(index, up, running)| Link { index, up, running }),
            foreign: path(None, foreign).source,
        }
    }

    #[test]
    fn a_path_that_is_bound_to_nothing_is_never_missing() {
        for needs in [Families::default(), IPV4, BOTH] {
            assert_eq!(missing(&path(None, &[]), needs, &seen(None, &[])), None);
        }
    }

    #[test]
    fn an_interface_has_to_be_there_and_up_and_running() {
        let eth1 = path(Some("eth1"), &[]);
        let why = |link| missing(&eth1, IPV4, &seen(link, &[])).map(|why| why.to_string());
        assert_eq!(why(Some((3, true, true))), None);
        assert_eq!(why(None).as_deref(), Some("there is no interface eth1"));
        assert_eq!(
            why(Some((3, false, false))).as_deref(),
            Some("interface eth1 is down")
        );
        assert_eq!(
            why(Some((3, true, false))).as_deref(),
            Some("interface eth1 has no carrier")
        );
    }

    #[test]
    fn a_source_counts_where_an_upstream_needs_it() {
        let two = path(None, &["192.0.2.7", "2001:db8::7"]);
        let lost = |needs, foreign: &[&str]| missing(&two, needs, &seen(None, foreign)).is_some();
        assert!(!lost(BOTH, &[]));
        assert!(!lost(BOTH, &["192.0.2.7"]), "IPv6 still works");
        assert!(!lost(BOTH, &["2001:db8::7"]), "IPv4 still works");
        assert!(lost(BOTH, &["192.0.2.7", "2001:db8::7"]));
        assert!(lost(IPV4, &["192.0.2.7"]));
        assert!(!lost(IPV4, &["2001:db8::7"]), "nobody needs it");
        assert!(!lost(Families::default(), &["192.0.2.7"]), "no upstreams");
        // Upstreams of a family without a source take whatever the kernel chooses.
        let one = path(None, &["192.0.2.7"]);
        assert_eq!(missing(&one, BOTH, &seen(None, &["192.0.2.7"])), None);
    }

    #[test]
    fn a_change_is_told_once() {
        let eth1 = path(Some("eth1"), &["192.0.2.7"]);
        let mut watch = Watch::new(1);
        let mut see = |link, foreign: &[&str]| watch.see(0, &eth1, IPV4, &seen(link, foreign));
        let well = Some((3, true, true));
        assert_eq!(see(well, &[]), None);
        assert_eq!(
            see(Some((3, true, false)), &[]),
            Some(Change::Lost(Missing::Carrier("eth1".into())))
        );
        assert_eq!(see(None, &[]), None, "lost already");
        assert_eq!(see(Some((4, true, true)), &["192.0.2.7"]), None);
        assert_eq!(see(Some((4, true, true)), &[]), Some(Change::Found));
        assert_eq!(see(Some((4, true, true)), &[]), None);
    }

    #[test]
    fn an_interface_that_was_replaced_between_two_looks_is_lost_and_found() {
        let eth1 = path(Some("eth1"), &[]);
        let mut watch = Watch::new(1);
        let mut see = |index| watch.see(0, &eth1, IPV4, &seen(Some((index, true, true)), &[]));
        assert_eq!(see(3), None);
        let replaced = Missing::Replaced("eth1".into());
        assert_eq!(see(4), Some(Change::Lost(replaced)));
        assert_eq!(see(4), Some(Change::Found));
        assert_eq!(see(4), None);
    }

    #[test]
    fn this_host_is_seen_as_it_is() {
        assert_eq!(
            look(&path(Some("no-such-if0"), &["192.0.2.7"])),
            seen(None, &[])
        );
        let lo = look(&path(Some("lo"), &["127.0.0.9", "192.0.2.7"]));
        assert_eq!(lo.foreign, path(None, &["192.0.2.7"]).source);
        assert!(lo.link.is_some_and(|link| link.up && link.running));
    }

    #[test]
    fn no_news_is_no_error() {
        // Where there is no netlink there is nothing to test.
        if let Ok(news) = News::listen() {
            assert!(news.wait(Duration::ZERO).is_ok());
            assert!(Word::AddressGone > Word::Changed && Word::Changed > Word::None);
        }
    }
}
