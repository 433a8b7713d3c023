//! A real question through the front end, as a client's, before the service manager is told that byway is alive.
//!
//! Threads that turn over are no proof that anybody gets an answer. Clients who do are; where there is none, byway asks itself.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::config::Listen;
use crate::observe::metrics::Metrics;
use crate::wire::{self, CLASS_IN, QueryFlags, QuestionKey, RecordType, name_from_text};

/// How long an answer may take that nobody else is asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is asked before byway counts as dumb: a datagram may be lost even here.
const TRIES: u16 = 3;

/// Looks whether questions are answered.
pub(super) struct Proof {
    metrics: Arc<Metrics>,
    /// Where to ask; `None` if nobody is answered by datagram.
    at: Option<SocketAddr>,
    answers: Cell<u64>,
}

impl Proof {
    pub(super) fn new(metrics: &Arc<Metrics>, listen: &[Listen]) -> Proof {
        Proof {
            metrics: Arc::clone(metrics),
            at: listen
                .iter()
                .find(|it| it.udp)
                .map(|it| reachable(it.address)),
            answers: Cell::new(0),
        }
    }

    /// Whether clients have been answered since the last look, or byway is if it asks. That this host cannot ask is not held
    /// against byway: to be started anew would not help.
    pub(super) fn holds(&self) -> bool {
        let answers = self.metrics.answers().iter().sum();
        if self.answers.replace(answers) < answers {
            return true;
        }
        let Some(at) = self.at else {
            return true;
        };
        match ask(at) {
            Ok(true) => true,
            Ok(false) => {
                let tries = TRIES;
                warn!("a question of byway's own to {at} got no answer in {tries} tries");
                false
            }
            Err(_) => true,
        }
    }
}

/// An address of this host at which that listener is reached.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return listener,
    };
    SocketAddr::new(ip, listener.port())
}

/// Asks for a name that nobody else is asked for. Whatever comes back counts.
fn ask(at: SocketAddr) -> io::Result<bool> {
    let any: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(at)?;
    let name = name_from_text("localhost").unwrap_or_default();
    let Some(key) = QuestionKey::new(&name, RecordType::A, CLASS_IN, false, false) else {
        return Ok(true);
    };
    let flags = QueryFlags {
        rd: true,
        cd: false,
        ad: false,
    };
    let (mut packet, mut answer) = ([0; 512], [0; 512]);
    for id in 1..=TRIES {
        let length = wire::write_query(&mut packet, id, flags, key.question(), None);
        socket.send(&packet[..length])?;
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut answer) {
                Ok(length) if length >= 12 && answer[2] & 0x80 != 0 => return Ok(true),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(false)
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_proves_life_and_silence_does_not() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let at = server.local_addr().expect("its address");
        let answers = std::thread::spawn(move || {
            let mut packet = [0; 512];
            // The first one is lost.
            let _ = server.recv_from(&mut packet).expect("a question");
            let (length, client) = server.recv_from(&mut packet).expect("a question");
            assert!(
                packet[..length]
                    .windows(10)
                    .any(|it| it == b"\x09localhost")
            );
            packet[2] |= 0x80;
            server.send_to(&packet[..length], client).expect("sent");
            server
        });
        assert_eq!(ask(at).ok(), Some(true));
        let _silent = answers.join().expect("no panic");
        assert_eq!(ask(at).ok(), Some(false));
    }

    #[test]
    fn a_wildcard_is_reached_at_home() {
        let at = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(at("0.0.0.0:53"), "127.0.0.1:53");
        assert_eq!(at("[::]:53"), "[::1]:53");
        assert_eq!(at("10.0.0.1:53"), "10.0.0.1:53");
    }
}
