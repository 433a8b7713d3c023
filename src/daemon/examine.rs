//! Upstreams asked one question at a time over each of their paths, for `byway doctor`. Nothing is learnt from it but by who
//! reads it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::descriptors;
use crate::config::lineup::Lineup;
use crate::config::{Config, UpstreamConfig};
use crate::net::path::{Path, Target};
use crate::sys;
use crate::tls;
use crate::wire::{self, OutgoingEdns, QueryFlags, Sent};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A datagram may be lost on a good way too.
const TRIES: usize = 2;

/// Every route, and what asks over it.
pub struct Examiner {
    routes: Vec<ExaminedRoute>,
    rng: StdRng,
}

/// A route that is to be examined.
pub struct ExaminedRoute {
    /// `upstream@path`.
    pub name: String,
    /// Its upstream.
    pub upstream: UpstreamConfig,
    path: Path,
    tls: Option<Arc<tls::Client>>,
}

/// How a question is put.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// The OPT record, if there is to be one.
    pub edns: Option<OutgoingEdns>,
    /// By TCP.
    pub tcp: bool,
    /// In letters of random case, which must come back as they were sent.
    pub mixed_case: bool,
}

/// What came back.
pub struct Examined {
    /// The response, which is one to what was asked.
    pub response: Vec<u8>,
    /// How long it took.
    pub took: Duration,
    /// Whether the letters came back as they were sent.
    pub case_kept: bool,
}

impl Examiner {
    /// For the routes of `config`.
    ///
    /// # Errors
    /// If the system has no random numbers to give, or what TLS needs cannot be read.
    pub fn new(config: &Config) -> io::Result<Examiner> {
        let lineup = Lineup::new(config);
        let clients = tls::Clients::open(config).map_err(io::Error::other)?;
        let routes = lineup.in_order().into_iter().map(|(_, ends)| {
            let (upstream, path) = lineup.ends(ends);
            let ports = config.limits.source_ports.clone();
            ExaminedRoute {
                name: lineup.name(ends),
                upstream: upstream.clone(),
                path: Path::new(path.clone()).with_ports(ports),
                tls: clients.of(upstream),
            }
        });
        Ok(Examiner {
            routes: routes.collect(),
            rng: StdRng::try_from_rng(&mut rand::rngs::SysRng).map_err(io::Error::other)?,
        })
    }

    /// How many routes there are.
    pub fn count(&self) -> usize {
        self.routes.len()
    }

    /// One of them.
    pub fn route(&self, number: usize) -> &ExaminedRoute {
        &self.routes[number]
    }

    /// So many small letters that nobody has drawn before.
    pub fn letters(&mut self, count: usize) -> String {
        let letter = |_| char::from(b'a' + self.rng.random_range(0..26u8));
        (0..count).map(letter).collect()
    }

    /// Asks `question` (uncompressed name, type and class) over the route of that number.
    ///
    /// # Errors
    /// In a line, why nothing useful came back.
    pub fn ask(&mut self, number: usize, question: &[u8], how: How) -> Result<Examined, String> {
        let route = &self.routes[number];
        let mut asked = question.to_vec();
        if how.mixed_case {
            wire::randomize_case(&mut asked, || self.rng.next_u64());
        }
        let id = self.rng.random();
        let mut packet = [0; 512];
        let flags = QueryFlags {
            rd: true,
            ..QueryFlags::default()
        };
        let length = wire::write_query(&mut packet, id, flags, &asked, how.edns);
        let sent = Sent {
            id,
            question: &asked,
            exact_case: false,
        };
        let began = Instant::now();
        let by_tcp = how.tcp || route.upstream.transport.is_stream();
        let response = match by_tcp {
            true => route.stream(&packet[..length], &sent, &mut self.rng),
            false => route.datagrams(&packet[..length], &sent, &mut self.rng),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".to_owned(),
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::InvalidData => error.to_string(),
            _ => route.path.explain(&error),
        })?;
        let took = began.elapsed();
        let case_kept = wire::examine(&response, &sent).is_ok_and(|it| it.case_kept());
        Ok(Examined {
            response,
            took,
            case_kept,
        })
    }
}

impl ExaminedRoute {
    fn target(&self) -> Target<'_> {
        Target {
            address: self.upstream.address,
            zone: self.upstream.zone.as_deref(),
        }
    }

    fn datagrams(&self, packet: &[u8], sent: &Sent<'_>, rng: &mut StdRng) -> io::Result<Vec<u8>> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..TRIES {
            let socket = self.path.udp(self.target(), rng)?;
            socket.set_nonblocking(false)?;
            let socket = UdpSocket::from(socket);
            socket.send(packet)?;
            let end = Instant::now() + PATIENCE / TRIES as u32;
            let mut buffer = [0; 4096];
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut buffer) {
                    // What is no response to it was sent by somebody else.
                    Ok(length) if wire::examine(&buffer[..length], sent).is_ok() => {
                        return Ok(buffer[..length].to_vec());
                    }
                    Ok(_) => {}
                    Err(error) => {
                        last = error;
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    fn stream(&self, packet: &[u8], sent: &Sent<'_>, rng: &mut StdRng) -> io::Result<Vec<u8>> {
        let (socket, address) = self.path.tcp(self.target(), rng)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_nonblocking(false)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let length = (packet.len() as u16).to_be_bytes();
        let framed = [&length[..], packet].concat();
        let response = match (&self.tls, &self.upstream.tls) {
            (Some(tls), _) => encrypted(&stream, tls.session()?, &framed)?,
            (None, Some(_)) => return Err(io::ErrorKind::Unsupported.into()),
            (None, None) => {
                stream.write_all(&framed)?;
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut response)?;
                response
            }
        };
        match wire::examine(&response, sent) {
            Ok(_) => Ok(response),
            Err(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string())),
        }
    }
}

/// The response to what is `framed`, over a session on `stream`.
fn encrypted(
    mut stream: &TcpStream,
    mut session: tls::Session,
    framed: &[u8],
) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = framed;
    loop {
        if !session.is_handshaking() && !rest.is_empty() {
            rest = &rest[session.write(rest)?..];
        }
        session.send(&mut stream)?;
        if let Some((length, message)) = plain.split_first_chunk::<2>()
            && let Some(message) = message.get(..usize::from(u16::from_be_bytes(*length)))
        {
            return Ok(message.to_vec());
        }
        let begins = !session.is_handshaking() && !rest.is_empty();
        if !begins && !session.read(&mut stream, &mut plain)? {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// What a daemon of this process's limits would say of its descriptors; `None` if they are enough.
pub fn shortage_of_descriptors(config: &Config) -> Option<String> {
    descriptors::share(config, sys::raise_open_files(), descriptors::open()).warning
}
