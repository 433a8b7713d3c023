//! Waiting for sockets until a moment, to a fraction of a millisecond: tokio's timers round up to a
//! whole one, which is half of a round trip here.

use std::io;
use std::net::UdpSocket;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until a socket is readable or `until` has come.
pub fn wait(sockets: &[UdpSocket], until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut fds: Vec<_> = sockets
        .iter()
        .map(|it| PollFd::new(it, PollFlags::IN))
        .collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Receives what is there; `None` when nothing is, or only news of a packet that was not wanted.
pub fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, std::net::SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}
