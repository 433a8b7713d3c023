//! The system calls that no crate wraps safely, and the one room that may write `unsafe`.
//!
//! A resolver's cost per query is the kernel's, so datagrams are received and sent in batches
//! ([`RecvBatch`], [`SendBatch`]: recvmmsg and sendmmsg), and a reply carries the address that its
//! query was sent to, so that it leaves from there on wildcard and multi-homed sockets.
//!
//! Both batches own plain bytes: addresses and control messages are kept as the kernel writes them
//! and are read and written as bytes, with the layouts checked at compile time. The pointers the
//! kernel wants are laid out anew on the stack for each call, so that none outlives it and the
//! batches are ordinary values that may be moved between threads. `unsafe` remains at the calls.

#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::rc::Rc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[cfg(test)]
mod tests;

/// Most datagrams that one system call moves. Measured: 64 gains nothing over 32.
pub const BATCH: usize = 32;

/// Bytes of the longer of the two socket addresses, `sockaddr_in6`.
const NAME: usize = size_of::<libc::sockaddr_in6>();

/// Bytes of the header of a control message, padded as the kernel pads it.
const CONTROL_HEADER: usize = align(size_of::<usize>() + 2 * size_of::<i32>());

/// Room for the longer of the two packet informations, `in6_pktinfo`.
const CONTROL: usize = CONTROL_HEADER + align(size_of::<libc::in6_pktinfo>());

// The byte layouts below are the kernel's interface; these are the assumptions they rest on.
const _: () = {
    assert!(size_of::<libc::sockaddr_in>() == 16 && NAME == 28);
    assert!(offset_of!(libc::sockaddr_in, sin_port) == 2);
    assert!(offset_of!(libc::sockaddr_in, sin_addr) == 4);
    assert!(offset_of!(libc::sockaddr_in6, sin6_port) == 2);
    assert!(offset_of!(libc::sockaddr_in6, sin6_flowinfo) == 4);
    assert!(offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
    assert!(offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24);
    assert!(size_of::<libc::in_pktinfo>() == 12 && size_of::<libc::in6_pktinfo>() == 20);
    assert!(offset_of!(libc::in_pktinfo, ipi_ifindex) == 0);
    assert!(offset_of!(libc::in_pktinfo, ipi_spec_dst) == 4);
    assert!(offset_of!(libc::in6_pktinfo, ipi6_addr) == 0);
    assert!(offset_of!(libc::in6_pktinfo, ipi6_ifindex) == 16);
    assert!(size_of::<libc::cmsghdr>() == CONTROL_HEADER);
};

/// Control messages are aligned to a machine word.
const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// The address that a datagram was sent to, and the interface it came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address of this host that the sender used. For a broadcast or multicast over IPv4: the
    /// interface's own.
    pub address: IpAddr,
    /// Index of the interface.
    pub interface: u32,
}

/// Who sent a datagram and where it arrived: what a reply needs. As the kernel wrote it, so that
/// replying at once decodes nothing.
#[derive(Clone, Copy)]
pub struct Origin {
    peer: [u8; NAME],
    arrival: Option<Arrival>,
}

impl Origin {
    /// For a datagram to `peer`, from `arrival` if given and from wherever the kernel chooses otherwise.
    pub fn new(peer: SocketAddr, arrival: Option<Arrival>) -> Origin {
        let mut name = [0; NAME];
        match peer {
            SocketAddr::V4(peer) => {
                name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                name[2..4].copy_from_slice(&peer.port().to_be_bytes());
                name[4..8].copy_from_slice(&peer.ip().octets());
            }
            SocketAddr::V6(peer) => {
                name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                name[2..4].copy_from_slice(&peer.port().to_be_bytes());
                name[4..8].copy_from_slice(&peer.flowinfo().to_ne_bytes());
                name[8..24].copy_from_slice(&peer.ip().octets());
                name[24..28].copy_from_slice(&peer.scope_id().to_ne_bytes());
            }
        }
        Origin {
            peer: name,
            arrival,
        }
    }

    /// The sender. `None` if the kernel gave no IP address, which no IP socket does.
    pub fn peer(&self) -> Option<SocketAddr> {
        let name = &self.peer;
        let port = u16::from_be_bytes([name[2], name[3]]);
        match self.family() {
            libc::AF_INET => {
                let ip = Ipv4Addr::new(name[4], name[5], name[6], name[7]);
                Some(SocketAddrV4::new(ip, port).into())
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(array::<16>(name, 8));
                let flow = u32::from_ne_bytes(array(name, 4));
                let scope = u32::from_ne_bytes(array(name, 24));
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }

    /// Where the datagram arrived; `None` on sockets that do not report it.
    pub fn arrival(&self) -> Option<Arrival> {
        self.arrival
    }

    fn family(&self) -> i32 {
        u16::from_ne_bytes([self.peer[0], self.peer[1]]).into()
    }

    fn name_length(&self) -> usize {
        if self.family() == libc::AF_INET {
            size_of::<libc::sockaddr_in>()
        } else {
            NAME
        }
    }

    /// Writes the control message that makes a reply leave from `arrival`; its length, 0 for none.
    fn write_control(&self, out: &mut [u8; CONTROL]) -> usize {
        let Some(arrival) = self.arrival else {
            return 0;
        };
        // Naming the interface would bypass the routing table, and a host whose way back differs
        // from the way in would go silent. Only link-local addresses mean nothing without it.
        let (level, kind, data_length) = match arrival.address {
            IpAddr::V4(address) => {
                let data = &mut out[CONTROL_HEADER..CONTROL_HEADER + 12];
                data.fill(0);
                data[4..8].copy_from_slice(&address.octets());
                (libc::IPPROTO_IP, libc::IP_PKTINFO, data.len())
            }
            IpAddr::V6(address) => {
                let data = &mut out[CONTROL_HEADER..CONTROL_HEADER + 20];
                data[..16].copy_from_slice(&address.octets());
                let interface = if address.is_unicast_link_local() {
                    arrival.interface
                } else {
                    0
                };
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, data.len())
            }
        };
        const WORD: usize = size_of::<usize>();
        out[..WORD].copy_from_slice(&(CONTROL_HEADER + data_length).to_ne_bytes());
        out[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        out[WORD + 4..WORD + 8].copy_from_slice(&kind.to_ne_bytes());
        CONTROL_HEADER + align(data_length)
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("peer", &self.peer())
            .field("arrival", &self.arrival)
            .finish()
    }
}

/// Finds the packet information among the control messages of a received datagram.
fn read_control(mut control: &[u8]) -> Option<Arrival> {
    const WORD: usize = size_of::<usize>();
    while control.len() >= CONTROL_HEADER {
        let length = usize::from_ne_bytes(array(control, 0));
        let level = i32::from_ne_bytes(array(control, WORD));
        let kind = i32::from_ne_bytes(array(control, WORD + 4));
        let data = control.get(CONTROL_HEADER..length)?;
        match (level, kind, data.len()) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12..) => {
                return Some(Arrival {
                    address: Ipv4Addr::from(array::<4>(data, 4)).into(),
                    interface: u32::from_ne_bytes(array(data, 0)),
                });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20..) => {
                return Some(Arrival {
                    address: Ipv6Addr::from(array::<16>(data, 0)).into(),
                    interface: u32::from_ne_bytes(array(data, 16)),
                });
            }
            _ => control = control.get(align(length)..)?,
        }
    }
    None
}

/// `N` bytes of `bytes` from `at`; callers have checked the length.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// What came in with one system call: up to [`BATCH`] datagrams.
pub struct RecvBatch {
    /// [`BATCH`] buffers of `size` bytes.
    bytes: Vec<u8>,
    size: usize,
    addressed: bool,
    names: Vec<[u8; NAME]>,
    controls: Vec<[u8; CONTROL]>,
    received: Vec<Received>,
}

/// What the kernel says of one datagram.
#[derive(Clone, Copy)]
struct Received {
    length: usize,
    control_length: usize,
    flags: i32,
}

impl RecvBatch {
    /// For a listening socket: each datagram of at most `size` bytes comes with its [`Origin`].
    pub fn listening(size: usize) -> RecvBatch {
        RecvBatch::new(size, true)
    }

    /// For a connected socket, whose peer is known: datagrams of at most `size` bytes.
    pub fn connected(size: usize) -> RecvBatch {
        RecvBatch::new(size, false)
    }

    fn new(size: usize, addressed: bool) -> RecvBatch {
        let addresses = if addressed { BATCH } else { 0 };
        RecvBatch {
            bytes: vec![0; BATCH * size],
            size,
            addressed,
            names: vec![[0; NAME]; addresses],
            controls: vec![[0; CONTROL]; addresses],
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Receives what is waiting, replacing what the batch held. Never blocks: an empty socket is
    /// [`io::ErrorKind::WouldBlock`]. Fewer than [`BATCH`] datagrams mean that the socket was seen empty
    /// (or, on a connected socket, that an error is next), so there is no need to ask again.
    pub fn recv(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received.clear();
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = empty_headers();
        for (i, (header, vector)) in headers.iter_mut().zip(&mut vectors).enumerate() {
            let buffer = &mut self.bytes[i * self.size..(i + 1) * self.size];
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if self.addressed {
                header.msg_hdr.msg_name = self.names[i].as_mut_ptr().cast();
                header.msg_hdr.msg_namelen = NAME as libc::socklen_t;
                header.msg_hdr.msg_control = self.controls[i].as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
        }
        // SAFETY: `headers` holds BATCH initialised headers. Their pointers lead to `vectors`, which lives
        // on this stack, and to disjoint parts of this batch's own vectors with their true lengths; all of
        // them outlive the call, and nothing else refers to them while `self` is borrowed mutably.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for header in &headers[..count.min(BATCH)] {
            self.received.push(Received {
                length: header.msg_len as usize,
                // Another type in other C libraries.
                #[allow(clippy::unnecessary_cast)]
                control_length: header.msg_hdr.msg_controllen as usize,
                flags: header.msg_hdr.msg_flags,
            });
        }
        Ok(self.received.len())
    }

    /// How many datagrams the last call brought.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether the last call brought nothing.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether the socket may hold more.
    pub fn is_full(&self) -> bool {
        self.received.len() == BATCH
    }

    /// The bytes of datagram `i`; `None` if it was longer than the batch's buffers and its end is lost.
    ///
    /// # Panics
    /// If `i` is not below [`RecvBatch::len`].
    pub fn datagram(&self, i: usize) -> Option<&[u8]> {
        let received = self.received[i];
        let start = i * self.size;
        let whole = received.flags & libc::MSG_TRUNC == 0;
        whole.then(|| &self.bytes[start..start + received.length.min(self.size)])
    }

    /// Where datagram `i` came from and arrived; `None` on a batch for connected sockets.
    ///
    /// # Panics
    /// If `i` is not below [`RecvBatch::len`].
    pub fn origin(&self, i: usize) -> Option<Origin> {
        let received = self.received[i];
        let control = self.controls.get(i)?.get(..received.control_length)?;
        Some(Origin {
            peer: *self.names.get(i)?,
            arrival: read_control(control),
        })
    }
}

/// Datagrams to be sent with one system call, up to [`BATCH`] of them, written in place.
pub struct SendBatch {
    /// [`BATCH`] slots of `size` bytes.
    bytes: Vec<u8>,
    size: usize,
    pending: Vec<Pending>,
    controls: Vec<[u8; CONTROL]>,
}

/// One datagram of a [`SendBatch`].
#[derive(Clone, Copy)]
struct Pending {
    length: usize,
    name: [u8; NAME],
    /// 0 on a connected socket.
    name_length: usize,
    control_length: usize,
}

/// What became of a batch. Replies are not repeated: a client that misses one asks again, and a
/// worker that waited for a full queue would make every other client wait as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Handed to the network.
    pub sent: usize,
    /// Given up because the socket's or the device's queue was full (EAGAIN, ENOBUFS, ENOMEM).
    pub full: usize,
    /// Refused by the kernel: a firewall (EPERM), no way there (ENETUNREACH), an address that this
    /// host has lost (EINVAL), too long for the interface (EMSGSIZE).
    pub refused: usize,
    /// The error number of the last one refused.
    pub error: Option<i32>,
}

impl SendBatch {
    /// With slots of `size` bytes.
    pub fn new(size: usize) -> SendBatch {
        SendBatch {
            bytes: vec![0; BATCH * size],
            size,
            pending: Vec::with_capacity(BATCH),
            controls: vec![[0; CONTROL]; BATCH],
        }
    }

    /// Where the next datagram is to be written; `None` while the batch is full. Nothing is added until
    /// [`SendBatch::push`].
    pub fn slot(&mut self) -> Option<&mut [u8]> {
        let start = self.pending.len() * self.size;
        self.bytes.get_mut(start..start + self.size)
    }

    /// Adds the first `length` bytes of the slot as a datagram back to `to`.
    ///
    /// # Panics
    /// If the batch is full or `length` is more than a slot.
    pub fn push(&mut self, length: usize, to: &Origin) {
        let control_length = to.write_control(&mut self.controls[self.pending.len()]);
        self.add(Pending {
            length,
            name: to.peer,
            name_length: to.name_length(),
            control_length,
        });
    }

    /// Adds the first `length` bytes of the slot as a datagram to a connected socket's peer.
    ///
    /// # Panics
    /// If the batch is full or `length` is more than a slot.
    pub fn push_connected(&mut self, length: usize) {
        self.add(Pending {
            length,
            name: [0; NAME],
            name_length: 0,
            control_length: 0,
        });
    }

    fn add(&mut self, pending: Pending) {
        assert!(pending.length <= self.size && self.pending.len() < BATCH);
        self.pending.push(pending);
    }

    /// How many datagrams wait to be sent.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether there is no slot left.
    pub fn is_full(&self) -> bool {
        self.pending.len() == BATCH
    }

    /// Sends everything and empties the batch. Never blocks, and one datagram's error does not keep the
    /// others back.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> SendReport {
        let mut report = SendReport::default();
        if self.pending.is_empty() {
            return report;
        }
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = empty_headers();
        for (i, pending) in self.pending.iter_mut().enumerate() {
            let (header, vector) = (&mut headers[i].msg_hdr, &mut vectors[i]);
            vector.iov_base = self.bytes[i * self.size..].as_mut_ptr().cast();
            vector.iov_len = pending.length;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            if pending.name_length > 0 {
                header.msg_name = pending.name.as_mut_ptr().cast();
                header.msg_namelen = pending.name_length as libc::socklen_t;
            }
            if pending.control_length > 0 {
                header.msg_control = self.controls[i].as_mut_ptr().cast();
                header.msg_controllen = pending.control_length as _;
            }
        }
        let count = self.pending.len();
        let mut next = 0;
        let mut repeated = false;
        while next < count {
            let rest = &mut headers[next..count];
            // SAFETY: `rest` holds initialised headers. Their pointers lead to `vectors` on this stack and to
            // this batch's own vectors, with lengths that lie within them (`add` asserts it); all outlive the
            // call and nothing else refers to them while `self` is borrowed mutably.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                report.sent += sent;
                next += sent;
                repeated = false;
                continue;
            }
            let error = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
            match error {
                libc::EINTR => {}
                // A full socket queue stays full for the rest of this batch.
                libc::EAGAIN => {
                    report.full += count - next;
                    break;
                }
                libc::ENOBUFS | libc::ENOMEM => {
                    report.full += 1;
                    next += 1;
                }
                // On a connected socket: news of an earlier datagram. This one has not been tried yet.
                libc::ECONNREFUSED if !repeated => {
                    report.error = Some(error);
                    repeated = true;
                }
                _ => {
                    report.refused += 1;
                    report.error = Some(error);
                    next += 1;
                    repeated = false;
                }
            }
        }
        self.pending.clear();
        report
    }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

fn empty_headers() -> [libc::mmsghdr; BATCH] {
    // SAFETY: `mmsghdr` is made of integers and raw pointers (and, on some targets, private padding), for
    // all of which zero bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

/// Makes a listening UDP socket report where each datagram arrived ([`Origin::arrival`]).
pub fn report_arrival(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Makes a UDP socket disbelieve forged "fragmentation needed" messages, with which an attacker could
/// have replies cut into fragments and replace one of them (RFC 9715 section 1). Answers are kept below
/// any real path's size instead.
pub fn ignore_path_mtu(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )
    } else {
        set_option(
            socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )
    }
}

/// Sets the sizes of a socket's kernel buffers, both ways, in bytes, past the system's limit if this
/// process may (CAP_NET_ADMIN). Returns what the receive buffer got.
pub fn set_buffers(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let value = libc::c_int::try_from(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "buffer too large"))?;
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        set_option(socket, libc::SOL_SOCKET, force, value)
            .or_else(|_| set_option(socket, libc::SOL_SOCKET, plain, value))?;
    }
    let mut granted = [0u32];
    get_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &mut granted)?;
    // The kernel doubles what it is asked for, to allow for its own bookkeeping (socket(7)).
    Ok(granted[0] as usize / 2)
}

/// Fills as much of `value` as the option has.
fn get_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut [u32],
) -> io::Result<()> {
    let mut length = size_of_val(value) as libc::socklen_t;
    // SAFETY: `value` is valid for writes of the `length` bytes given, any bytes are valid in it, and
    // the kernel writes no more than `length` of them.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` is a live integer whose true size is given; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What holds one open descriptor, always the same, for as long as it lives.
///
/// # Safety
/// `as_raw_fd` must return that same open descriptor every time until the value is dropped.
pub unsafe trait Steady: AsRawFd {}

// SAFETY: an owned descriptor is open until it is dropped, and never another.
unsafe impl Steady for OwnedFd {}

// SAFETY: a `UdpSocket` owns its one descriptor until it is dropped, and cannot be made to give it up
// through the shared reference that `Rc` grants.
unsafe impl Steady for Rc<UdpSocket> {}

/// Watches a socket or an epoll instance for what can be received. Not for room to send: a UDP socket
/// that is watched for that too wakes its worker after every datagram sent.
///
/// # Errors
/// If the runtime cannot take it on.
///
/// # Panics
/// Outside a runtime with I/O.
pub fn watch<T: Steady>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: what the runtime asks of `inner` is what `Steady` promises.
    Ok(unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }?)
}

/// Raises this process's limit of open files to all it may have, and says what that is (`None`: no
/// limit).
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        )?;
    }
    Ok(limit.maximum)
}
