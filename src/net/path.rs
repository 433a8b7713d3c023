//! The only maker of outgoing sockets.
//!
//! Whatever leaves this host towards an upstream leaves through a [`Path`]: over its interface, from
//! its source address, with its firewall mark. Nothing else in byway opens a connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use rand::RngExt;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::PathConfig;
use crate::sys;

/// Source ports are drawn from here up to 65535: all that need no privilege (RFC 5452 section 10).
const FIRST_PORT: u16 = 1024;

/// How many random ports are tried before the kernel is left to choose one.
const PORT_TRIES: usize = 16;

/// A way out of this host.
#[derive(Clone, Debug)]
pub struct Path {
    config: PathConfig,
}

impl Path {
    /// The path that `config` describes.
    pub fn new(config: PathConfig) -> Path {
        Path { config }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// A UDP socket on an unpredictable port, connected to `upstream`, so that the kernel drops what
    /// comes from elsewhere and ICMP errors are heard.
    ///
    /// # Errors
    /// What the kernel says when the interface is missing, the source address is not on the host, or
    /// the privilege to bind them is.
    pub fn udp(&self, upstream: SocketAddr, rng: &mut impl rand::Rng) -> io::Result<Socket> {
        let socket = self.socket(upstream, Type::DGRAM, Protocol::UDP)?;
        let source = self.source(upstream);
        let mut tries = 0;
        loop {
            let port = if tries < PORT_TRIES {
                rng.random_range(FIRST_PORT..=u16::MAX)
            } else {
                0
            };
            match socket.bind(&SockAddr::from(SocketAddr::new(source, port))) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => tries += 1,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && port != 0 => {
                    tries += 1; // The host may reserve further ports.
                }
                other => break other?,
            }
        }
        // Only to say more; without it they are losses.
        let _ = sys::hear_unreachable(socket.as_fd(), upstream.is_ipv6());
        socket.connect(&SockAddr::from(upstream))?;
        Ok(socket)
    }

    /// A TCP socket that is ready to be connected to `upstream`.
    ///
    /// # Errors
    /// As [`Path::udp`].
    pub fn tcp(&self, upstream: SocketAddr) -> io::Result<Socket> {
        let socket = self.socket(upstream, Type::STREAM, Protocol::TCP)?;
        let source = self.source(upstream);
        if !source.is_unspecified() {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }

    /// Whether the kernel knows a way to `upstream`, with a source address. Nothing is sent, and no port is needed
    /// that others may hold.
    pub fn leads_to(&self, upstream: SocketAddr) -> bool {
        self.socket(upstream, Type::DGRAM, Protocol::UDP)
            .and_then(|socket| socket.connect(&SockAddr::from(upstream)))
            .is_ok()
    }

    /// Whether a socket of this path can have this address of the host's. True where that cannot be found
    /// out.
    pub fn holds(&self, local: SocketAddr) -> bool {
        let local = match local {
            SocketAddr::V4(local) => SocketAddr::from((*local.ip(), 0)),
            SocketAddr::V6(mut local) => {
                local.set_port(0);
                local.into()
            }
        };
        let bound = self
            .socket(local, Type::DGRAM, Protocol::UDP)
            .and_then(|socket| socket.bind(&SockAddr::from(local)));
        !bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
    }

    fn socket(&self, upstream: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let domain = Domain::for_address(upstream);
        let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
        if let Some(interface) = &self.config.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        if let Some(mark) = self.config.mark {
            socket.set_mark(mark)?;
        }
        Ok(socket)
    }

    fn source(&self, upstream: SocketAddr) -> IpAddr {
        let given = self
            .config
            .source
            .iter()
            .find(|ip| ip.is_ipv4() == upstream.is_ipv4());
        match given {
            Some(ip) => *ip,
            None if upstream.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
            None => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// What to tell an operator whose path cannot be used because of `error`: one line, with what to do.
    pub fn explain(&self, error: &io::Error) -> String {
        let name = &self.config.name;
        match (
            error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error),
            &self.config,
        ) {
            (
                Some(rustix::io::Errno::NODEV),
                PathConfig {
                    interface: Some(interface),
                    ..
                },
            ) => format!(
                "path {name}: there is no interface {interface}; create it, or correct `interface` (see `ip link`)"
            ),
            (Some(rustix::io::Errno::PERM), PathConfig { mark: Some(_), .. }) => format!(
                "path {name}: no permission to set a firewall mark; grant CAP_NET_ADMIN (setcap cap_net_admin+ep, or AmbientCapabilities= in the unit)"
            ),
            (
                Some(rustix::io::Errno::PERM),
                PathConfig {
                    interface: Some(interface),
                    ..
                },
            ) => format!(
                "path {name}: no permission to bind to interface {interface}; grant CAP_NET_RAW (setcap cap_net_raw+ep, or AmbientCapabilities= in the unit)"
            ),
            (Some(rustix::io::Errno::ADDRNOTAVAIL), PathConfig { source, .. })
                if !source.is_empty() =>
            {
                format!(
                    "path {name}: source address {} is not on this host; add it, or correct `source` (see `ip address`)",
                    source
                        .iter()
                        .map(IpAddr::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            (Some(rustix::io::Errno::NETUNREACH), _) => {
                format!("path {name}: no route to the upstream over it (see `ip route`)")
            }
            _ => format!("path {name}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;

    use super::*;

    fn path(source: &[&str], interface: Option<&str>) -> Path {
        Path::new(PathConfig {
            name: "test".into(),
            interface: interface.map(String::from),
            source: source
                .iter()
                .map(|ip| ip.parse().expect("an address"))
                .collect(),
            mark: None,
            backup: false,
            cost: 1.0,
        })
    }

    #[test]
    fn udp_sockets_are_connected_and_their_ports_do_not_repeat() {
        let upstream: SocketAddr = "127.0.0.1:53".parse().expect("an address");
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let sockets: Vec<_> = (0..200)
            .map(|_| {
                path(&["127.0.0.9"], None)
                    .udp(upstream, &mut rng)
                    .expect("a socket")
            })
            .collect();
        let ports: HashSet<u16> = sockets
            .iter()
            .map(|socket| {
                let local = socket
                    .local_addr()
                    .expect("bound")
                    .as_socket()
                    .expect("an IP address");
                assert_eq!(local.ip().to_string(), "127.0.0.9");
                assert_eq!(
                    socket.peer_addr().expect("connected").as_socket(),
                    Some(upstream)
                );
                assert!(local.port() >= FIRST_PORT);
                local.port()
            })
            .collect();
        assert_eq!(ports.len(), 200);
        let (low, high) = (
            ports.iter().min().expect("some"),
            ports.iter().max().expect("some"),
        );
        assert!(high - low > 40_000, "ports come from {low} to {high} only");
    }

    #[test]
    fn a_missing_interface_and_a_foreign_source_are_explained() {
        let upstream: SocketAddr = "127.0.0.1:53".parse().expect("an address");
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let missing = path(&[], Some("no-such-if0"));
        let error = missing
            .udp(upstream, &mut rng)
            .expect_err("no such interface");
        assert!(
            missing.explain(&error).contains("no-such-if0"),
            "{}",
            missing.explain(&error)
        );
        let foreign = path(&["192.0.2.77"], None);
        let error = foreign
            .udp(upstream, &mut rng)
            .expect_err("not on this host");
        assert!(
            foreign.explain(&error).contains("192.0.2.77"),
            "{}",
            foreign.explain(&error)
        );
    }
}
