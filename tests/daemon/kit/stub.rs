//! Clients: as well-behaved or as rude as a test wants.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::message::{AD, Build, CD, QR, RD, Z};
use super::reading::Message;
use super::upstream::framed;
use super::{MOMENT, PATIENCE};

/// A UDP client with a port of its own.
pub struct Stub {
    pub socket: UdpSocket,
    server: SocketAddr,
}

impl Stub {
    pub fn new(server: SocketAddr) -> Stub {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        Stub::from(any, server)
    }

    /// Asks from a certain address.
    pub fn from(source: IpAddr, server: SocketAddr) -> Stub {
        let socket = UdpSocket::bind((source, 0)).expect("a client's socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Stub { socket, server }
    }

    pub fn send(&self, bytes: &[u8]) {
        self.socket
            .send_to(bytes, self.server)
            .expect("sent to the daemon");
    }

    /// The next datagram and where it comes from; `None` if none comes within `time`.
    pub fn receive_within(&self, time: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let mut buffer = [0; 65_535];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => Some((buffer[..length].to_vec(), from)),
            Err(error) if is_timeout(&error) => None,
            Err(error) => panic!("the stub cannot receive: {error}"),
        }
    }

    /// The next reply.
    pub fn receive(&self) -> Message {
        let (bytes, from) = self
            .receive_within(PATIENCE)
            .expect("a reply from the daemon");
        assert_eq!(
            from, self.server,
            "the reply comes from where the query went"
        );
        read(&bytes)
    }

    /// Asks and checks what holds for every reply.
    pub fn ask(&self, query: &Build) -> Message {
        self.send(&query.bytes());
        let reply = self.receive();
        check(query, &reply);
        reply
    }

    /// Sends what must not be answered. `canary` is a question whose answer is known.
    pub fn expect_silence(&self, bytes: &[u8], canary: &Build) {
        self.send(bytes);
        self.send(&canary.bytes());
        let first = self.receive();
        assert_eq!(first.id, canary.id, "{bytes:02x?} was answered: {first:?}");
        if let Some((answer, _)) = self.receive_within(MOMENT) {
            panic!("{bytes:02x?} was answered: {answer:02x?}");
        }
    }
}

/// A TCP client.
pub struct Connection {
    pub stream: TcpStream,
}

impl Connection {
    pub fn new(server: SocketAddr) -> Connection {
        Connection::with(TcpStream::connect_timeout(&server, PATIENCE).expect("a connection"))
    }

    /// From a certain address, with a receive buffer as small as the kernel allows if `narrow`.
    pub fn from(source: IpAddr, server: SocketAddr, narrow: bool) -> io::Result<Connection> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        if narrow {
            socket.set_recv_buffer_size(1)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&server.into(), PATIENCE)?;
        Ok(Connection::with(socket.into()))
    }

    fn with(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Connection { stream }
    }

    pub fn send(&mut self, query: &Build) {
        self.stream
            .write_all(&framed(&query.bytes()))
            .expect("sent to the daemon");
    }

    /// The next reply; `None` when the daemon has closed the connection.
    pub fn receive(&mut self) -> Option<Message> {
        let mut length = [0; 2];
        match self.stream.read_exact(&mut length) {
            Err(error) if is_end(&error) => return None,
            other => other.expect("a reply or the end"),
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut message).expect("a whole reply");
        Some(read(&message))
    }

    pub fn ask(&mut self, query: &Build) -> Message {
        self.send(query);
        let reply = self.receive().expect("a reply");
        check(query, &reply);
        reply
    }

    /// Shuts down the client's side.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shut down");
    }

    /// Whether the daemon has closed the connection, or does so before anything comes.
    pub fn is_closed(&mut self) -> bool {
        let mut octet = [0];
        match self.stream.read(&mut octet) {
            Ok(0) => true,
            Err(error) if is_end(&error) => true,
            Ok(_) => false,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }

    /// Whether the connection is open and nothing has arrived.
    pub fn is_quiet(&self) -> bool {
        self.stream.set_nonblocking(true).expect("nonblocking");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("blocking");
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

pub fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// Reads a reply that must be well formed, by our own reading and by hickory's.
pub fn read(bytes: &[u8]) -> Message {
    let reply = Message::parse(bytes).unwrap_or_else(|why| panic!("{why}: {bytes:02x?}"));
    assert_eq!(
        reply.trailing, 0,
        "octets behind the last record: {reply:?}"
    );
    if let Err(error) = hickory_proto::op::Message::from_vec(bytes) {
        panic!("hickory cannot read the reply: {error}: {reply:?}");
    }
    reply
}

/// What holds for every reply to a plain query (RFC 1035, 6840, 6891).
pub fn check(query: &Build, reply: &Message) {
    assert_eq!(reply.id, query.id, "the ID is repeated: {reply:?}");
    assert!(reply.has(QR), "it is a response: {reply:?}");
    assert!(!reply.has(Z), "Z is zero: {reply:?}");
    assert_eq!(
        reply.opcode(),
        query.flags >> 11 & 0xf,
        "the opcode is repeated: {reply:?}"
    );
    assert_eq!(
        reply.has(RD),
        query.flags & RD != 0,
        "RD is repeated: {reply:?}"
    );
    if reply.opcode() == 0 {
        assert_eq!(
            reply.has(CD),
            query.flags & CD != 0,
            "CD is repeated: {reply:?}"
        );
    }
    if reply.counts[0] > 0 {
        assert_eq!(
            reply.question, query.question,
            "the question is repeated to the letter"
        );
    }
    let sent = Message::parse(&query.bytes()).ok();
    let spoke_edns = sent.as_ref().is_some_and(|sent| sent.edns.is_some());
    assert_eq!(
        reply.edns.is_some(),
        spoke_edns,
        "OPT if and only if asked with it: {reply:?}"
    );
    let dnssec = sent
        .and_then(|sent| sent.edns)
        .is_some_and(|edns| edns.dnssec_ok());
    if let Some(edns) = &reply.edns {
        assert_eq!(edns.version, 0, "{reply:?}");
        assert!(edns.payload >= 512, "{reply:?}");
        assert_eq!(edns.dnssec_ok(), dnssec, "DO is repeated: {reply:?}");
    }
    if query.flags & AD == 0 && !dnssec {
        assert!(!reply.has(AD), "AD only for those who know it: {reply:?}");
    }
}
