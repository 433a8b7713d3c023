//! What this host itself runs short of: descriptors, source ports, memory. An attempt that cannot be made for
//! want of them blames nobody ([`Outcome::Local`]); whoever set the limits is told what to set.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::awaited::Way;
use crate::clock::Time;
use crate::observe::quiet::Quiet;
use crate::observe::said::{Flaw, Reason};
use crate::route::Outcome;

static SHORTAGE: Quiet = Quiet::new("shortages of this host", 1, Duration::from_secs(300));

/// What an attempt towards `upstream` comes to whose socket could not be made because of `error`. A shortage
/// is told in the log.
pub(super) fn outcome(error: &io::Error, upstream: SocketAddr, now: Time) -> Outcome {
    let Some(advice) = advice(error) else {
        return Outcome::Unreachable(Reason::of(error));
    };
    tell(error, advice, upstream, now);
    Outcome::Local
}

/// Whether `error` tells of a shortage of this host's.
pub(super) fn is_one(error: &io::Error) -> bool {
    advice(error).is_some()
}

/// What an attempt comes to whose connection was not made because of `error`.
pub(super) fn unconnected(error: &io::Error, way: &Way, now: Time) -> Outcome {
    if let Some(flaw) = Flaw::of(error) {
        return Outcome::Untrusted(flaw);
    }
    let no_port =
        error.kind() == io::ErrorKind::AddrNotAvailable && way.path.leads_to(way.target());
    match advice(error).or(no_port.then_some(PORTS)) {
        Some(advice) => {
            tell(error, advice, way.address, now);
            Outcome::Local
        }
        None => Outcome::HandshakeFailed(Reason::of(error)),
    }
}

/// Tells of a shortage, once in a while.
fn tell(error: &io::Error, advice: &str, upstream: SocketAddr, now: Time) {
    if let Some(more) = SHORTAGE.line(now) {
        tracing::warn!(
            "cannot ask {upstream} for want of something on this host, which is not held against it: {error}; {advice}{more}"
        );
    }
}

/// What to do about a shortage of source ports.
const PORTS: &str = "no source port is free: widen `[limits] source-ports` or net.ipv4.ip_local_port_range, or ask over UDP";

/// What to do about `error`, if it is a shortage of this host's. Not EADDRNOTAVAIL, which may be a source
/// address that has left.
fn advice(error: &io::Error) -> Option<&'static str> {
    let errno = Errno::from_raw_os_error(error.raw_os_error()?);
    match errno {
        Errno::MFILE => {
            Some("raise this process's limit of open files (LimitNOFILE= in the unit, `ulimit -n`)")
        }
        Errno::NFILE => Some("raise fs.file-max, or end what holds the host's open files"),
        Errno::NOBUFS | Errno::NOMEM => {
            Some("the kernel has no memory for it: free some, or raise MemoryMax= in the unit")
        }
        Errno::NOSPC => Some("raise fs.epoll.max_user_watches"),
        Errno::ADDRINUSE => Some(PORTS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_lacks_is_told_from_what_the_network_says() {
        let of = |errno: Errno| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            outcome(&error, ([192, 0, 2, 1], 53).into(), Time::START)
        };
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::NOSPC,
            Errno::ADDRINUSE,
        ] {
            assert_eq!(of(errno), Outcome::Local, "{errno}");
        }
        for errno in [
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
            Errno::CONNREFUSED,
            Errno::ADDRNOTAVAIL,
            Errno::NODEV,
            Errno::PERM,
        ] {
            let reason = Reason::of_number(errno.raw_os_error());
            assert_eq!(of(errno), Outcome::Unreachable(reason), "{errno}");
        }
    }
}
