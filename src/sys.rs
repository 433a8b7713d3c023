//! The system calls that no crate wraps safely as byway needs them, and the one room that may write `unsafe`.
//!
//! A resolver's cost per query is the kernel's, so datagrams are received and sent in batches
//! ([`RecvBatch`], [`SendBatch`]: recvmmsg and sendmmsg), and a reply carries the address that its
//! query was sent to ([`Origin`]), so that it leaves from there on wildcard and multi-homed sockets.
//! The rest are socket options and a clock. `unsafe` remains at the calls themselves.

#![allow(unsafe_code)]

mod batch;
mod handing;
mod link;
mod origin;
mod passed;
mod signals;
mod tcp;
#[cfg(test)]
mod tests;

use std::io;
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use batch::{BATCH, RecvBatch, SendBatch, SendReport};
pub use handing::{is_own_user, receive_descriptor, send_descriptor};
pub use link::{Link, link};
pub use origin::{Arrival, Origin};
pub use passed::passed_sockets;
pub use signals::ignore_stray_signals;
pub use tcp::{TcpInfo, tcp_info};

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

/// Makes a connected UDP socket tell of every ICMP error that answers its datagrams. The kernel keeps "host
/// unreachable" and "network unreachable" to itself otherwise (ip(7), IP_RECVERR), and they look like loss.
pub fn hear_unreachable(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
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

/// The same for a socket whose buffers somebody else has set: it makes them no smaller.
pub fn raise_buffers(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let value = libc::c_int::try_from(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "buffer too large"))?;
    let mut granted = [0u32];
    get_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &mut granted)?;
    if (granted[0] as usize / 2) < bytes {
        for force in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            // Without the permission it stays what it is: what may be set then may be less.
            let _ = set_option(socket, libc::SOL_SOCKET, force, value);
        }
        get_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &mut granted)?;
    }
    Ok(granted[0] as usize / 2)
}

/// Fills as much of `value` as the option has, and says how many octets that is.
fn get_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut [u32],
) -> io::Result<usize> {
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
        Ok(length as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Time since boot, sleep included (CLOCK_BOOTTIME; clock_gettime(2)). No kernel that byway runs on is without it.
pub fn since_boot() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec, which is all that the call writes to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    debug_assert_eq!(result, 0, "the clock is there since Linux 2.6.39");
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// Processor time that this thread has used.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec, which is all that the call writes to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    debug_assert_eq!(result, 0, "the clock is there since Linux 2.6.12");
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
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

/// Raises this process's limit of open files to all it may have, and says what it may have then (`None`: no
/// limit).
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Refused in some sandboxes. What counts is what holds.
    let _ = setrlimit(Resource::Nofile, all);
    getrlimit(Resource::Nofile).current
}
