//! What the kernel says of a network interface (netdevice(7)).

use std::ffi::{c_int, c_short};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

/// An interface of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number: another one under the same name is another interface.
    pub index: u32,
    /// It is set up (`ip link set up`).
    pub up: bool,
    /// It is operational (RFC 2863): it has a carrier, and is not waiting for anything.
    pub running: bool,
}

/// The interface called `name`, if there is one.
///
/// # Errors
/// Where interfaces cannot be asked for.
pub fn link(name: &str) -> io::Result<Option<Link>> {
    let none = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NODEV | rustix::io::Errno::NXIO => Ok(None),
        error => Err(error.into()),
    };
    let kind = SocketType::DGRAM;
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)
        .or_else(|_| socket_with(AddressFamily::INET6, kind, SocketFlags::CLOEXEC, None))?;
    let index = match netdevice::name_to_index(&socket, name) {
        Ok(index) => index,
        Err(error) => return none(error),
    };
    match flags(&socket, name) {
        Ok(flags) => Ok(Some(Link {
            index,
            up: flags & libc::IFF_UP != 0,
            running: flags & libc::IFF_RUNNING != 0,
        })),
        Err(error) => none(error),
    }
}

fn flags(socket: impl AsFd, name: &str) -> Result<c_int, rustix::io::Errno> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    };
    // The last byte stays zero: a longer name is no interface's.
    if name.len() >= libc::IFNAMSIZ {
        return Err(rustix::io::Errno::NODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open for the length of the call, and SIOCGIFFLAGS reads the name, which
    // ends in a zero, and writes the flags, within the `ifreq` it is given.
    let result = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCGIFFLAGS as _,
            &mut request,
        )
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        return Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO));
    }
    // SAFETY: the kernel has just written the flags; any bits are valid in them.
    let flags: c_short = unsafe { request.ifr_ifru.ifru_flags };
    Ok(c_int::from(flags as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_and_others_are_not() {
        let lo = link("lo").expect("asked").expect("every host has it");
        assert!(lo.index > 0);
        for name in [
            "no-such-if0",
            "",
            "a-name-that-no-interface-can-have",
            "lo\0x",
        ] {
            assert_eq!(link(name).expect("asked"), None, "{name:?}");
        }
    }
}
