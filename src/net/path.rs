//! The only maker of outgoing sockets.
//!
//! Whatever leaves this host towards an upstream leaves through a [`Path`]: over its interface, from
//! its source address, with its firewall mark. Nothing else in byway opens a connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use rand::RngExt;
use rustix::io::Errno;
use rustix::net::netdevice;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::{PathConfig, SourcePorts};
use crate::sys;

/// How many random ports are tried before the kernel is left to choose one, or they are tried one after the
/// other where it would choose too freely.
const PORT_TRIES: usize = 16;

/// How many are tried one after the other.
const PORTS_IN_A_ROW: u32 = 4096;

/// A way out of this host.
#[derive(Clone, Debug)]
pub struct Path {
    config: PathConfig,
    ports: SourcePorts,
}

/// Whom a socket is to reach.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// The interface of a link-local address, to be looked up by its name.
    pub zone: Option<&'a str>,
}

impl From<SocketAddr> for Target<'static> {
    fn from(address: SocketAddr) -> Target<'static> {
        Target {
            address,
            zone: None,
        }
    }
}

impl Target<'_> {
    /// The address with the number that its interface has now.
    fn find(self, socket: &Socket) -> io::Result<SocketAddr> {
        match (self.address, self.zone) {
            (SocketAddr::V6(mut address), Some(zone)) => {
                address.set_scope_id(netdevice::name_to_index(socket, zone)?);
                Ok(address.into())
            }
            (address, _) => Ok(address),
        }
    }
}

impl Path {
    /// The path that `config` describes.
    pub fn new(config: PathConfig) -> Path {
        let ports = SourcePorts::default();
        Path { config, ports }
    }

    /// The same, with these source ports.
    pub fn with_ports(self, ports: SourcePorts) -> Path {
        Path { ports, ..self }
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
    /// the privilege to bind them is; EADDRINUSE when no source port is free.
    pub fn udp(&self, upstream: Target<'_>, rng: &mut impl rand::Rng) -> io::Result<Socket> {
        let socket = self.socket(upstream.address, Type::DGRAM, Protocol::UDP)?;
        let address = upstream.find(&socket)?;
        self.bind(&socket, self.source(address), rng)?;
        // Only to say more; without it they are losses.
        let _ = sys::hear_unreachable(socket.as_fd(), address.is_ipv6());
        socket.connect(&SockAddr::from(address))?;
        Ok(socket)
    }

    /// A TCP socket that is ready to be connected to `upstream`, and the address to connect it to.
    ///
    /// # Errors
    /// As [`Path::udp`].
    pub fn tcp(
        &self,
        upstream: Target<'_>,
        rng: &mut impl rand::Rng,
    ) -> io::Result<(Socket, SocketAddr)> {
        let socket = self.socket(upstream.address, Type::STREAM, Protocol::TCP)?;
        let address = upstream.find(&socket)?;
        let source = self.source(address);
        if !self.ports.is_all() {
            // An earlier connection from the port may linger; to the kernel it is another one as long as it
            // leads elsewhere.
            socket.set_reuse_address(true)?;
            self.bind(&socket, source, rng)?;
        } else if !source.is_unspecified() {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        socket.set_tcp_nodelay(true)?;
        Ok((socket, address))
    }

    /// Binds to a source port drawn at random from those allowed.
    fn bind(&self, socket: &Socket, source: IpAddr, rng: &mut impl rand::Rng) -> io::Result<()> {
        let count = self.ports.count();
        // A port may be taken, and the host may reserve further ones.
        let elsewhere = |port: u16| match socket.bind(&SocketAddr::new(source, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            bound => bound.map(|()| true),
        };
        for _ in 0..PORT_TRIES {
            if elsewhere(self.ports.nth(rng.random_range(0..count)))? {
                return Ok(());
            }
        }
        if self.ports.is_all() {
            return socket.bind(&SocketAddr::new(source, 0).into());
        }
        let first = rng.random_range(0..count);
        for n in 0..count.min(PORTS_IN_A_ROW) {
            if elsewhere(self.ports.nth((first + n) % count))? {
                return Ok(());
            }
        }
        Err(Errno::ADDRINUSE.into())
    }

    /// Whether the kernel knows a way to `upstream`, with a source address. Nothing is sent, and no port is needed
    /// that others may hold.
    pub fn leads_to(&self, upstream: Target<'_>) -> bool {
        self.socket(upstream.address, Type::DGRAM, Protocol::UDP)
            .and_then(|socket| socket.connect(&SockAddr::from(upstream.find(&socket)?)))
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
        // A link-local address with the number of an interface that has gone is on no device.
        let no_device = Errno::NODEV.raw_os_error();
        !bound.is_err_and(|error| {
            error.kind() == io::ErrorKind::AddrNotAvailable
                || error.raw_os_error() == Some(no_device)
        })
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
        if error.kind() == io::ErrorKind::AddrInUse {
            return format!("path {name}: no source port is free; widen `[limits] source-ports`");
        }
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
    use std::net::SocketAddrV6;

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
            metered: false,
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
                    .udp(upstream.into(), &mut rng)
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
                assert!(local.port() >= 1024);
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
    fn source_ports_are_those_allowed_and_no_others() {
        let upstream: SocketAddr = "127.0.0.1:53".parse().expect("an address");
        let rules = ["39000-39009", "!39003-39004"].map(|it| it.parse().expect("ports"));
        let ports = SourcePorts::of(&rules).expect("some");
        let path = path(&["127.0.0.11"], None).with_ports(ports);
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let mut sockets: Vec<Socket> = (0..8)
            .map(|_| path.udp(upstream.into(), &mut rng).expect("a socket"))
            .collect();
        let port = |socket: &Socket| {
            let local = socket.local_addr().expect("bound");
            local.as_socket().expect("an IP address").port()
        };
        let used: HashSet<u16> = sockets.iter().map(port).collect();
        let allowed = (39000..=39009).filter(|port| !matches!(port, 39003 | 39004));
        assert_eq!(used, allowed.collect());
        // None is left, and none is taken that is not allowed.
        let error = path
            .udp(upstream.into(), &mut rng)
            .expect_err("all are taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let freed = port(&sockets.swap_remove(3));
        let again = path.udp(upstream.into(), &mut rng).expect("one is free");
        assert_eq!(port(&again), freed);
        let (tcp, _) = path.tcp(upstream.into(), &mut rng).expect("a socket");
        assert!(used.contains(&port(&tcp)));
    }

    #[test]
    fn an_interface_is_looked_up_anew_each_time() {
        let address = "[fe80::1]:53".parse().expect("an address");
        let target = |zone| Target {
            address,
            zone: Some(zone),
        };
        let path = path(&[], None);
        let Ok(socket) = path.socket(address, Type::DGRAM, Protocol::UDP) else {
            return; // A host without IPv6.
        };
        let gone = SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), 0, 0, 0x7fff_fff0);
        assert!(!path.holds(gone.into()));
        let lo = target("lo").find(&socket).expect("every host has it");
        assert!(matches!(lo, SocketAddr::V6(it) if it.scope_id() == 1));
        let error = target("no-such-if0")
            .find(&socket)
            .expect_err("it is not there");
        assert_eq!(error.raw_os_error(), Some(Errno::NODEV.raw_os_error()));
    }

    #[test]
    fn a_missing_interface_and_a_foreign_source_are_explained() {
        let upstream: SocketAddr = "127.0.0.1:53".parse().expect("an address");
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let missing = path(&[], Some("no-such-if0"));
        let error = missing
            .udp(upstream.into(), &mut rng)
            .expect_err("no such interface");
        assert!(
            missing.explain(&error).contains("no-such-if0"),
            "{}",
            missing.explain(&error)
        );
        let foreign = path(&["192.0.2.77"], None);
        let error = foreign
            .udp(upstream.into(), &mut rng)
            .expect_err("not on this host");
        assert!(
            foreign.explain(&error).contains("192.0.2.77"),
            "{}",
            foreign.explain(&error)
        );
    }
}
