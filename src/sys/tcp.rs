//! What the kernel says of a TCP connection (TCP_INFO, tcp(7)).

#![forbid(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Words of `struct tcp_info` as far as it is read; kernels before 5.4 fill less.
const WORDS: usize = 57;

// Fields are only ever added at the end of the kernel's struct. What libc knows of it bears out the places.
const UNACKED: usize = 6;
const RTT: usize = 17;
const TOTAL_RETRANS: usize = 25;
const MIN_RTT: usize = 37;
const RCV_OOOPACK: usize = 56;
const _: () = {
    const WORD: usize = size_of::<u32>();
    assert!(offset_of!(libc::tcp_info, tcpi_unacked) == UNACKED * WORD);
    assert!(offset_of!(libc::tcp_info, tcpi_rtt) == RTT * WORD);
    assert!(offset_of!(libc::tcp_info, tcpi_total_retrans) == TOTAL_RETRANS * WORD);
};

/// A connection as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again since it was begun, those of the handshake included; wraps at 2^32.
    pub retransmitted: u32,
    /// Segments that were sent and not acknowledged yet.
    pub unacknowledged: u32,
    /// Segments that arrived while one before them was missing; wraps at 2^32. `None` where the kernel does
    /// not say.
    pub out_of_order: Option<u32>,
    /// Smoothed round trip (RFC 6298), to the acknowledgement: a peer may hold that back for a while.
    pub round_trip: Duration,
    /// Least round trip of the last minutes; `None` where the kernel does not say.
    pub least: Option<Duration>,
}

/// What the kernel says of a TCP connection.
///
/// # Errors
/// If `socket` is no TCP socket.
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut words = [0; WORDS];
    let filled = super::get_option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut words)?;
    let micros = |word: usize| Duration::from_micros(words[word].into());
    let has_order = filled >= WORDS * size_of::<u32>();
    // The kernel's own words for "never measured" are all ones.
    let measured = !matches!(words[MIN_RTT], 0 | u32::MAX);
    Ok(TcpInfo {
        retransmitted: words[TOTAL_RETRANS],
        unacknowledged: words[UNACKED],
        out_of_order: has_order.then(|| words[RCV_OOOPACK]),
        round_trip: micros(RTT),
        least: measured.then(|| micros(MIN_RTT)),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_connection_that_was_used_has_a_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("bound");
        let mut near = TcpStream::connect(address).expect("connected");
        let (mut far, _) = listener.accept().expect("accepted");
        near.write_all(b"x").expect("written");
        far.read_exact(&mut [0]).expect("read");
        far.write_all(b"y").expect("written");
        near.read_exact(&mut [0]).expect("read");
        let info = tcp_info(near.as_fd()).expect("told");
        assert_eq!((info.retransmitted, info.unacknowledged), (0, 0));
        // On loopback; and an uninitialised word would hardly be.
        assert!(info.round_trip > Duration::ZERO && info.round_trip < Duration::from_secs(60));
        assert_eq!(info.out_of_order.unwrap_or_default(), 0);
        assert!(info.least.is_none_or(|least| least <= info.round_trip));
    }

    #[test]
    fn a_datagram_socket_has_none() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert!(tcp_info(socket.as_fd()).is_err());
    }
}
