//! Addresses and packet information as the kernel writes them: bytes, whose layout is checked when
//! byway is built.

#![forbid(unsafe_code)]

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of the longer of the two socket addresses, `sockaddr_in6`.
pub(super) const NAME: usize = size_of::<libc::sockaddr_in6>();

/// Bytes of the header of a control message, padded as the kernel pads it.
const CONTROL_HEADER: usize = align(size_of::<usize>() + 2 * size_of::<i32>());

/// Room for the longer of the two packet informations, `in6_pktinfo`.
pub(super) const CONTROL: usize = CONTROL_HEADER + align(size_of::<libc::in6_pktinfo>());

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
    pub(super) peer: [u8; NAME],
    pub(super) arrival: Option<Arrival>,
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

    pub(super) fn name_length(&self) -> usize {
        if self.family() == libc::AF_INET {
            size_of::<libc::sockaddr_in>()
        } else {
            NAME
        }
    }

    /// Writes the control message that makes a reply leave from `arrival`; its length, 0 for none.
    pub(super) fn write_control(&self, out: &mut [u8; CONTROL]) -> usize {
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
pub(super) fn read_control(mut control: &[u8]) -> Option<Arrival> {
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
