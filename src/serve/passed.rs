//! Sockets that the service manager has passed (sd_listen_fds(3)).
//!
//! It keeps them while byway is replaced, so that questions wait in the kernel instead of being lost. There is one for all
//! workers, who share it: the kernel lets sockets of one address stand beside each other only if they are the same
//! user's, and these are the manager's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::socket_acceptconn;
use socket2::{SockRef, Type};

use crate::config::Listen;
use crate::sys;

/// The name by which a socket is for metrics and health: `FileDescriptorName=` in systemd.socket(5).
const ADMIN: &str = "admin";

/// One of them.
#[derive(Debug)]
pub struct Passed {
    pub(super) socket: OwnedFd,
    pub(super) address: SocketAddr,
    pub(super) kind: Kind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Datagrams,
    Connections,
}

impl Passed {
    /// All that were passed to this process. Only the first call finds any.
    ///
    /// # Errors
    /// What is wrong with one of them, in a sentence.
    pub fn all() -> Result<Vec<Passed>, String> {
        let passed = sys::passed_sockets()
            .map_err(|error| format!("the service manager's sockets cannot be taken: {error}"))?;
        let mut all: Vec<Passed> = Vec::new();
        for (number, (socket, name)) in passed.into_iter().enumerate() {
            let called = format!("socket {number} of the service manager's ({name})");
            let passed = Passed::new(socket, name)
                .map_err(|why| format!("{called} cannot be used: {why}"))?;
            let same = |it: &&Passed| (it.address, it.kind) == (passed.address, passed.kind);
            if let Some(twin) = all.iter().find(same) {
                let address = twin.address;
                return Err(format!(
                    "{called} is the second for {address}: pass one, workers share it"
                ));
            }
            all.push(passed);
        }
        Ok(all)
    }

    /// One that the process before this one listens on, for queries or for metrics and health.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn from_process_before(socket: OwnedFd, is_admin: bool) -> Result<Passed, String> {
        let name = if is_admin { ADMIN } else { "before" };
        Passed::new(socket, name.into())
            .map_err(|why| format!("a socket of the process before cannot be used: {why}"))
    }

    fn new(socket: OwnedFd, name: String) -> Result<Passed, String> {
        let why = |error: io::Error| error.to_string();
        let of = SockRef::from(&socket);
        let address = of.local_addr().map_err(why)?.as_socket();
        let address = address.ok_or("it is no Internet socket")?;
        let kind = match of.r#type().map_err(why)? {
            Type::DGRAM => Kind::Datagrams,
            Type::STREAM if socket_acceptconn(&socket).map_err(|it| why(it.into()))? => {
                Kind::Connections
            }
            Type::STREAM => return Err("it does not listen: set `Accept=no` in the unit".into()),
            _ => return Err("it is neither for datagrams nor for connections".into()),
        };
        let is_wildcard = address.is_ipv6() && address.ip().is_unspecified();
        if is_wildcard && !of.only_v6().map_err(why)? {
            return Err("it takes IPv4 too: set `BindIPv6Only=ipv6-only` in the unit, and a socket of its own for IPv4".into());
        }
        of.set_nonblocking(true).map_err(why)?;
        Ok(Passed {
            socket,
            address,
            kind,
            name,
        })
    }

    /// Whether it is for metrics and health.
    pub fn is_admin(&self) -> bool {
        self.name == ADMIN && self.kind == Kind::Connections
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many there are at most for one address and kind.
    pub fn depth(all: &[Passed]) -> usize {
        let same = |one: &Passed, other: &Passed| {
            (one.address, one.kind, one.is_admin()) == (other.address, other.kind, other.is_admin())
        };
        let count = |one: &Passed| all.iter().filter(|other| same(one, other)).count();
        all.iter().map(count).max().unwrap_or_default()
    }

    /// The socket itself.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// What is listened on by those of `all` that are for queries.
    pub fn listen(all: &[Passed]) -> Vec<Listen> {
        let mut listen: Vec<Listen> = Vec::new();
        for passed in all.iter().filter(|it| !it.is_admin()) {
            let known = listen.iter().position(|it| it.address == passed.address);
            let place = known.unwrap_or_else(|| {
                listen.push(Listen {
                    address: passed.address,
                    udp: false,
                    tcp: false,
                    tls: false,
                });
                listen.len() - 1
            });
            match passed.kind {
                Kind::Datagrams => listen[place].udp = true,
                Kind::Connections => listen[place].tcp = true,
            }
        }
        listen
    }
}
