//! Questions put to the daemon that runs on this host, as its clients put them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::super::client::{Reach, encoded};
use super::Told;
use crate::admin::api;
use crate::wire::{self, Ede, OutgoingEdns, QueryFlags, QuestionKey, Sent};

/// How long an answer may take: the daemon's own deadline is shorter unless somebody made it very long.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer over UDP that is as long as this fits through everything (RFC 9715).
const PAYLOAD: u16 = 1232;

/// A daemon that answers queries.
pub(super) struct Running {
    at: Vec<SocketAddr>,
}

impl Running {
    /// The daemon that says this of itself, if it listens anywhere.
    pub(super) fn of(status: &api::Status) -> Option<Running> {
        let listeners = status.listeners.iter();
        let at: Vec<_> = listeners
            .filter_map(|it| Some(reachable(it.parse().ok()?)))
            .collect();
        (!at.is_empty()).then_some(Running { at })
    }

    /// Asks; the daemon tells over the control socket where the answer came from.
    ///
    /// # Errors
    /// In a line, why there is no answer.
    pub(super) fn ask(&self, reach: &Reach, key: &QuestionKey) -> Result<Told, String> {
        let before = cached(reach, key);
        let asked = Instant::now();
        let response = self.exchange(key)?;
        let took = asked.elapsed();
        let stale = {
            let sent = sent(key);
            let read = wire::examine(&response, &sent);
            let read = read.map_err(|error| format!("the answer cannot be read: {error}"))?;
            read.edes().any(|ede| {
                ede.code == Ede::STALE_ANSWER.code || ede.code == Ede::STALE_NXDOMAIN.code
            })
        };
        let fresh = |it: &api::Cached| it.freshness == "fresh";
        let (how, route) = match before {
            Some(held) if stale || fresh(&held) => {
                let stale = if stale { "stale " } else { "" };
                let over = held.route.as_deref();
                let over = over.map_or(String::new(), |it| format!(" (it came over {it})"));
                let how = format!("{stale}from the daemon's cache, {} s old{over}", held.age);
                (how, held.route)
            }
            _ => match cached(reach, key).filter(fresh).and_then(|it| it.route) {
                Some(route) => (format!("over {route}"), Some(route)),
                None => ("by the daemon".to_owned(), None),
            },
        };
        Ok(Told {
            response,
            how,
            route,
            took,
        })
    }

    /// A query and its response: over UDP, and over TCP where that is truncated or not listened on.
    fn exchange(&self, key: &QuestionKey) -> Result<Vec<u8>, String> {
        let mut packet = [0; 512];
        let flags = QueryFlags {
            rd: true,
            cd: false,
            ad: true,
        };
        let edns = OutgoingEdns {
            payload: PAYLOAD,
            dnssec_ok: false,
        };
        let id = super::once::ID;
        let length = wire::write_query(&mut packet, id, flags, key.question(), Some(edns));
        let packet = &packet[..length];
        let mut last = String::from("it listens nowhere");
        for &at in &self.at {
            let answer = match datagram(at, packet) {
                Ok(response) if response.get(2).is_some_and(|flags| flags & 2 != 0) => {
                    stream(at, packet)
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    stream(at, packet)
                }
                answer => answer,
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(error) => last = format!("the byway at {at} does not answer: {error}"),
            }
        }
        Err(last)
    }
}

fn sent(key: &QuestionKey) -> Sent<'_> {
    Sent {
        id: super::once::ID,
        question: key.question(),
        exact_case: false,
    }
}

/// What the daemon holds for the question.
fn cached(reach: &Reach, key: &QuestionKey) -> Option<api::Cached> {
    let name = wire::name_to_text(key.name());
    let path = format!(
        "/api/v1/why?name={}&type={}",
        encoded(&name),
        key.record_type()
    );
    let why = reach.get::<api::Why>(&path).ok()?;
    why.document.cached
}

/// The same host, where the daemon listens on all addresses.
fn reachable(mut at: SocketAddr) -> SocketAddr {
    if at.ip().is_unspecified() {
        at.set_ip(match at {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    at
}

fn datagram(at: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any = match at {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(at)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(packet)?;
    let mut response = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut response)?;
    response.truncate(length);
    Ok(response)
}

fn stream(at: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes(), packet].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut response)?;
    Ok(response)
}
