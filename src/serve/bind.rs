//! Listening sockets.
//!
//! Every worker has sockets of its own on each address (SO_REUSEPORT), and the kernel spreads the
//! clients over them. All are bound before the first query is read, so that what is wrong with an
//! address is said at start, in one line, with what to do about it.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::passed::{Kind, Passed};
use crate::config::{Limits, Listen};
use crate::sys;

/// Connections that the kernel completes before they are accepted; it lowers this to
/// net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// How often a port is drawn that must be free for UDP and TCP alike, when port 0 leaves the choice to
/// the kernel.
const PORT_TRIES: usize = 16;

/// One worker's listening sockets, in the order of the configuration.
#[derive(Debug)]
pub struct Listeners {
    pub(super) sockets: Vec<Sockets>,
    /// What the kernel granted of `limits.udp_buffer`, if less.
    short_buffer: Option<usize>,
}

/// The sockets on one address.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) address: SocketAddr,
    pub(super) udp: Option<UdpSocket>,
    pub(super) tcp: Option<TcpListener>,
    /// Whether TLS is spoken on the connections.
    pub(super) tls: bool,
    /// Which of the two the service manager has passed, and all workers share.
    passed: [bool; 2],
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({transport}): {cause}{}", advice(.source, *.address))]
pub struct BindError {
    address: SocketAddr,
    transport: &'static str,
    /// What the kernel said, in words.
    cause: &'static str,
    source: io::Error,
}

/// Whether others may already be bound to the address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The first of this process: any other socket there is a stranger's.
    First,
    /// A further worker's.
    Shared,
}

impl Listeners {
    /// The first worker's sockets. Addresses must be free: another program there is an error even if it
    /// would share them.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub fn bind(listen: &[Listen], limits: &Limits) -> Result<Listeners, BindError> {
        Listeners::take(listen, limits, Vec::new())
    }

    /// The same, where those of the sockets that were `passed` are taken as they are; all of their addresses must be among
    /// those that are to be listened on.
    ///
    /// # Errors
    /// As [`Listeners::bind`].
    pub fn take(
        listen: &[Listen],
        limits: &Limits,
        mut passed: Vec<Passed>,
    ) -> Result<Listeners, BindError> {
        let mut listeners = Listeners {
            sockets: Vec::new(),
            short_buffer: None,
        };
        for listen in listen {
            let mut take = |kind: Kind| {
                let is = |it: &Passed| (it.address, it.kind) == (listen.address, kind);
                let place = passed.iter().position(is)?;
                Some(passed.swap_remove(place))
            };
            let taken = (take(Kind::Datagrams), take(Kind::Connections));
            let rest = Listen {
                udp: listen.udp && taken.0.is_none(),
                tcp: listen.tcp && taken.1.is_none(),
                tls: listen.tls && taken.1.is_none(),
                ..listen.clone()
            };
            let (mut sockets, buffer) = bind_both(&rest, limits, Claim::First)?;
            listeners.grant(buffer);
            sockets.tls = listen.tls;
            let refused = |transport| move |error| BindError::new(listen.address, transport, error);
            if let Some(passed) = taken.0 {
                let socket = Socket::from(passed.into_socket());
                let buffer = limits.udp_buffer;
                let granted = sys::raise_buffers(socket.as_fd(), buffer).map_err(refused("udp"))?;
                listeners.grant((granted < buffer).then_some(granted));
                prepare_udp(&socket, listen.address).map_err(refused("udp"))?;
                (sockets.udp, sockets.passed[0]) = (Some(socket.into()), true);
            }
            if let Some(passed) = taken.1 {
                let socket = Socket::from(passed.into_socket());
                let set = socket.set_send_buffer_size(limits.tcp_buffer);
                set.map_err(refused("tcp"))?;
                (sockets.tcp, sockets.passed[1]) = (Some(socket.into()), true);
            }
            listeners.sockets.push(sockets);
        }
        Ok(listeners)
    }

    /// Listeners for so many workers, of those of the process before this one that `handed` them over: as many workers as it had
    /// have one of their own, and further ones share. What is not among `listen` any more is left to that process, and what is
    /// new is bound.
    ///
    /// # Errors
    /// As [`Listeners::bind`].
    pub fn inherit(
        listen: &[Listen],
        limits: &Limits,
        handed: Vec<Passed>,
        workers: usize,
    ) -> Result<Vec<Listeners>, BindError> {
        let is_wanted = |passed: &Passed| {
            let same = |it: &&Listen| it.address == passed.address;
            listen
                .iter()
                .find(same)
                .is_some_and(|it| match passed.kind {
                    Kind::Datagrams => it.udp,
                    Kind::Connections => it.takes_connections(),
                })
        };
        let (mut first, mut rest): (Vec<Passed>, Vec<Passed>) = Default::default();
        for passed in handed.into_iter().filter(is_wanted) {
            let same = |it: &Passed| (it.address, it.kind) == (passed.address, passed.kind);
            match first.iter().any(same) {
                true => rest.push(passed),
                false => first.push(passed),
            }
        }
        let mut all = vec![Listeners::take(listen, limits, first)?];
        for _ in 1..workers {
            let mut further = all[0].another(limits)?;
            further.exchange(&mut rest);
            all.push(further);
        }
        Ok(all)
    }

    /// Takes one of `rest` in place of each that it shares, as far as there are.
    fn exchange(&mut self, rest: &mut Vec<Passed>) {
        for sockets in &mut self.sockets {
            let mut take = |kind: Kind| {
                let is = |it: &Passed| (it.address, it.kind) == (sockets.address, kind);
                let place = rest.iter().position(is)?;
                Some(rest.swap_remove(place).into_socket())
            };
            if let Some(socket) = take(Kind::Datagrams) {
                (sockets.udp, sockets.passed[0]) = (Some(socket.into()), false);
            }
            if let Some(socket) = take(Kind::Connections) {
                (sockets.tcp, sockets.passed[1]) = (Some(socket.into()), false);
            }
        }
    }

    /// The sockets but for those that a worker before has, too. `first`: it is the first worker's.
    pub fn own_sockets(&self, first: bool) -> Vec<BorrowedFd<'_>> {
        let mut own = Vec::new();
        for sockets in &self.sockets {
            let [udp, tcp] = sockets.passed.map(|passed| first || !passed);
            own.extend(sockets.udp.as_ref().filter(|_| udp).map(AsFd::as_fd));
            own.extend(sockets.tcp.as_ref().filter(|_| tcp).map(AsFd::as_fd));
        }
        own
    }

    /// Notes what the kernel granted of a buffer, if that is less than was asked for.
    fn grant(&mut self, buffer: Option<usize>) {
        self.short_buffer = match (self.short_buffer, buffer) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Sockets for one worker more, on the same addresses and ports.
    ///
    /// # Errors
    /// As [`Listeners::bind`].
    pub fn another(&self, limits: &Limits) -> Result<Listeners, BindError> {
        let mut listeners = Listeners {
            sockets: Vec::new(),
            short_buffer: None,
        };
        for (sockets, listen) in self.sockets.iter().zip(self.listen()) {
            let [udp, tcp] = sockets.passed;
            let rest = Listen {
                udp: listen.udp && !udp,
                tcp: listen.tcp && !tcp,
                tls: listen.tls && !tcp,
                ..listen
            };
            let (mut further, buffer) = bind_both(&rest, limits, Claim::Shared)?;
            listeners.grant(buffer);
            let refused =
                |transport| move |error| BindError::new(sockets.address, transport, error);
            if let (true, Some(socket)) = (udp, &sockets.udp) {
                further.udp = Some(socket.try_clone().map_err(refused("udp"))?);
            }
            if let (true, Some(socket)) = (tcp, &sockets.tcp) {
                further.tcp = Some(socket.try_clone().map_err(refused("tcp"))?);
            }
            (further.passed, further.tls) = (sockets.passed, sockets.tls);
            listeners.sockets.push(further);
        }
        Ok(listeners)
    }

    /// What is listened on, with the ports that the kernel chose in place of 0.
    pub fn listen(&self) -> Vec<Listen> {
        self.sockets
            .iter()
            .map(|sockets| Listen {
                address: sockets.address,
                udp: sockets.udp.is_some(),
                tcp: sockets.tcp.is_some() && !sockets.tls,
                tls: sockets.tls,
            })
            .collect()
    }

    /// The size of UDP receive buffers in bytes, if the kernel grants less than `limits.udp_buffer` (without
    /// CAP_NET_ADMIN it caps them at net.core.rmem_max).
    pub fn short_buffer(&self) -> Option<usize> {
        self.short_buffer
    }
}

/// Binds the sockets of one entry, and says what the kernel granted of the buffers if that is less
/// than asked for.
fn bind_both(
    listen: &Listen,
    limits: &Limits,
    claim: Claim,
) -> Result<(Sockets, Option<usize>), BindError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut sockets = Sockets {
            address: listen.address,
            udp: None,
            tcp: None,
            tls: listen.tls,
            passed: [false; 2],
        };
        let mut short_buffer = None;
        if listen.udp {
            let (udp, buffer) = bind_udp(sockets.address, limits.udp_buffer, claim)
                .map_err(|error| BindError::new(sockets.address, "udp", error))?;
            sockets.address.set_port(port(&udp, sockets.address));
            sockets.udp = Some(udp);
            short_buffer = buffer;
        }
        if listen.takes_connections() {
            match bind_tcp(sockets.address, limits.tcp_buffer, claim) {
                Ok(tcp) => {
                    if let Ok(bound) = tcp.local_addr() {
                        sockets.address.set_port(bound.port());
                    }
                    sockets.tcp = Some(tcp);
                }
                Err(error) => {
                    let taken = error.kind() == io::ErrorKind::AddrInUse;
                    if taken && listen.address.port() == 0 && tries < PORT_TRIES {
                        continue;
                    }
                    return Err(BindError::new(sockets.address, "tcp", error));
                }
            }
        }
        return Ok((sockets, short_buffer));
    }
}

fn port(socket: &UdpSocket, asked: SocketAddr) -> u16 {
    socket
        .local_addr()
        .map_or(asked.port(), |bound| bound.port())
}

fn bind_udp(
    address: SocketAddr,
    buffer: usize,
    claim: Claim,
) -> io::Result<(UdpSocket, Option<usize>)> {
    if claim == Claim::First && address.port() != 0 {
        // A socket that shares binds beside any other of the same user that does; this one does not.
        let probe = socket(address, Type::DGRAM, Protocol::UDP)?;
        probe.bind(&SockAddr::from(address))?;
    }
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(true)?;
    let granted = sys::set_buffers(socket.as_fd(), buffer)?;
    prepare_udp(&socket, address)?;
    socket.bind(&SockAddr::from(address))?;
    Ok((socket.into(), (granted < buffer).then_some(granted)))
}

/// Sets what byway needs of a socket for datagrams.
fn prepare_udp(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.ip().is_unspecified() {
        sys::report_arrival(socket.as_fd(), address.is_ipv6())?;
    }
    // An option of newer kernels, and a defence only.
    let _ = sys::ignore_path_mtu(socket.as_fd(), address.is_ipv6());
    Ok(())
}

fn bind_tcp(address: SocketAddr, buffer: usize, claim: Claim) -> io::Result<TcpListener> {
    if claim == Claim::First && address.port() != 0 {
        let probe = socket(address, Type::STREAM, Protocol::TCP)?;
        probe.set_reuse_address(true)?;
        probe.bind(&SockAddr::from(address))?;
    }
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Connections of the process before this one may still linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Connections that it accepts have the same, and do not let it grow.
    socket.set_send_buffer_size(buffer)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // "[::]" beside "0.0.0.0" are two listeners, each for its own family.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

impl BindError {
    fn new(address: SocketAddr, transport: &'static str, source: io::Error) -> BindError {
        let cause = match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there",
            io::ErrorKind::PermissionDenied => "no permission",
            io::ErrorKind::AddrNotAvailable => "this host does not have that address",
            io::ErrorKind::OutOfMemory => "out of memory",
            _ => "the kernel refuses",
        };
        BindError {
            address,
            transport,
            cause,
            source,
        }
    }
}

/// What to do about it.
fn advice(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; `ss -lntup 'sport = :{port}'` shows which, or choose another with --listen")
        }
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE, or choose a higher one with --listen"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; `ip address` shows those it has".to_owned(),
        _ => format!(": {error}"),
    }
}
