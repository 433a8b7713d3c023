//! What the kernel dropped before byway could read it.
//!
//! A datagram that meets a full receive queue leaves no trace in the process; the kernel counts it
//! by socket and shows that in `/proc/net/udp`. Read at scrape time, it costs the hot path nothing,
//! where the counter that comes along with each datagram (SO_RXQ_OVFL) would cost it a little always.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Datagrams dropped so far at sockets bound to `listener`, all workers' together; `None` if no
/// UDP socket is.
pub(super) fn drops(sockets: &[Socket], listener: &str) -> Option<u64> {
    let address: SocketAddr = listener.parse().ok()?;
    let ours = sockets.iter().filter(|socket| socket.local == address);
    ours.map(|socket| socket.drops).reduce(u64::wrapping_add)
}

/// A UDP socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    local: SocketAddr,
    drops: u64,
}

/// Every UDP socket there is; none where the kernel does not say.
pub(super) fn sockets() -> Vec<Socket> {
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    texts
        .iter()
        .flat_map(|text| text.lines().skip(1).filter_map(socket))
        .collect()
}

/// A line of the table: the local address is the second field, the drops are the last.
fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let local = SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?);
    Some(Socket {
        local,
        drops: fields.next_back()?.parse().ok()?,
    })
}

/// An address as the kernel prints it: words of 32 bits, each in the machine's own byte order.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        Some(
            u32::from_str_radix(hex.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (index, octets) in octets.chunks_exact_mut(4).enumerate() {
                octets.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn sockets_bound_here_are_found_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Some machines have no IPv6.
            let Ok(socket) = UdpSocket::bind(address) else {
                continue;
            };
            let bound = socket.local_addr().expect("its address").to_string();
            assert_eq!(drops(&sockets(), &bound), Some(0), "{bound}");
        }
        assert_eq!(drops(&sockets(), "192.0.2.1:1"), None);
        assert_eq!(drops(&sockets(), "not an address"), None);
    }

    #[test]
    fn the_workers_sockets_are_added_up() {
        let local = SocketAddr::from(([127, 0, 0, 1], 5339));
        let other = SocketAddr::from(([0, 0, 0, 0], 5339));
        let table =
            [(local, 3), (other, 50), (local, 4)].map(|(local, drops)| Socket { local, drops });
        assert_eq!(drops(&table, "127.0.0.1:5339"), Some(7));
    }

    #[test]
    fn nonsense_is_passed_over() {
        let line = " 1: 0100007F:14D7 00000000:0000 07 0:0 00:0 0 0 0 1 2 0000 9";
        assert!(socket(line).is_some());
        for nonsense in [
            "",
            "1:",
            " 1: 0100007F 9",
            " 1: 01000:14D7 9",
            " 1: 0100007F:14D7 x",
            " 1: é00007F:14D7 9",
        ] {
            assert_eq!(socket(nonsense), None, "{nonsense:?}");
        }
    }
}
