//! A resolver made of a closure: what it does with a query is up to the test, the worst included.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::message::{A, AAAA, Build, NS, Z, full_record, name};
use super::reading::Message;
use super::{PATIENCE, lock};

/// What an upstream does for one query, one after the other.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends a message to whoever asked; framed on TCP.
    Send(Vec<u8>),
    /// Sends a datagram from another port.
    SendFromElsewhere(Vec<u8>),
    /// Sends these octets as they are (TCP).
    Raw(Vec<u8>),
    /// Sends a framed message one octet at a time (TCP).
    Dribble(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Waits until the test opens the gate.
    WaitFor(Gate),
    /// Closes the connection (TCP).
    Close,
}

/// How an upstream behaves.
pub type Way = fn(&Asked) -> Vec<Act>;

/// Closed until opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let guard = lock(&self.0.0);
        // The time is a guard against a test that forgot the gate.
        drop(
            self.0
                .1
                .wait_timeout_while(guard, 2 * PATIENCE, |open| !*open),
        );
    }
}

/// A query as an upstream got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub message: Message,
    pub tcp: bool,
    pub from: SocketAddr,
    /// Which of the TCP connections it came by, from 1; 0 for UDP.
    pub connection: usize,
}

impl std::ops::Deref for Asked {
    type Target = Message;
    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Asked {
    /// The beginning of a response.
    pub fn reply(&self) -> Build {
        Build::reply(&self.message)
    }

    /// A response with an address derived from the name, valid for an hour, under the name as asked.
    pub fn good(&self) -> Vec<u8> {
        let owner = &self.question[..self.question.len() - 4];
        let data = match self.rtype() {
            A => address_of(&self.lower()).to_vec(),
            AAAA => vec![0x20; 16],
            NS => name("a"),
            _ => Vec::new(),
        };
        let reply = match data.is_empty() {
            true => self.reply(),
            false => self
                .reply()
                .answer(full_record(owner, self.rtype(), 1, 3600, &data)),
        };
        match self.edns {
            Some(_) => reply.edns(super::message::Edns::new(1232)).bytes(),
            None => reply.bytes(),
        }
    }
}

/// Where [`Daemon::warm_up`](super::Daemon::warm_up) asks. It is in no account of what was asked.
pub const KNOWN: &str = ".known.test.";

/// The address that [`Asked::good`] gives for a name.
pub fn address_of(name: &str) -> [u8; 4] {
    let sum = name.bytes().fold(7u32, |sum, octet| {
        sum.wrapping_mul(31).wrapping_add(octet.into())
    });
    let [_, b, c, d] = sum.to_be_bytes();
    [10, b, c, d]
}

type Answering = Arc<dyn Fn(&Asked) -> Vec<Act> + Send + Sync>;

struct State {
    answering: Mutex<Answering>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    over: AtomicBool,
}

/// The upstream; stops listening when dropped.
pub struct Upstream {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// Which transports an upstream listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    Both,
    /// TCP connections are refused.
    OnlyUdp,
    /// Datagrams find a closed port.
    OnlyTcp,
}

impl Upstream {
    /// Listens on UDP and TCP on one port of 127.0.0.1.
    pub fn new(answering: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Upstream {
        Upstream::hearing(Hears::Both, answering)
    }

    /// Gives every question an address of its own.
    pub fn good() -> Upstream {
        Upstream::new(|asked| vec![Act::Send(asked.good())])
    }

    /// Answers with what `build` makes.
    pub fn saying(build: impl Fn(&Asked) -> Build + Send + Sync + 'static) -> Upstream {
        Upstream::new(move |asked| vec![Act::Send(build(asked).bytes())])
    }

    /// Answers names under [`KNOWN`] at once, and all others when the gate opens.
    pub fn gated() -> (Upstream, Gate) {
        let gate = Gate::default();
        let upstream = Upstream::new({
            let gate = gate.clone();
            move |asked| match asked.lower().ends_with(KNOWN) {
                true => vec![Act::Send(asked.good())],
                false => vec![Act::WaitFor(gate.clone()), Act::Send(asked.good())],
            }
        });
        (upstream, gate)
    }

    pub fn silent() -> Upstream {
        Upstream::new(|_| Vec::new())
    }

    pub fn hearing(
        hears: Hears,
        answering: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    ) -> Upstream {
        Upstream::at((Ipv4Addr::LOCALHOST, 0).into(), hears, answering)
            .expect("an upstream on a free port")
    }

    /// Listens on `address`.
    pub fn at(
        address: SocketAddr,
        hears: Hears,
        answering: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    ) -> io::Result<Upstream> {
        let (udp, tcp) = bind_both(address)?;
        let address = udp.local_addr()?;
        let state = Arc::new(State {
            answering: Mutex::new(Arc::new(answering)),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        if hears != Hears::OnlyTcp {
            udp.set_read_timeout(Some(TICK))?;
            let state = Arc::clone(&state);
            thread::spawn(move || serve_udp(&udp, &state));
        }
        if hears != Hears::OnlyUdp {
            let state = Arc::clone(&state);
            thread::spawn(move || serve_tcp(&tcp, &state));
        }
        Ok(Upstream { address, state })
    }

    /// From now on does this.
    pub fn now(&self, answering: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) {
        *lock(&self.state.answering) = Arc::new(answering);
    }

    /// Every query so far, the daemon's probes (". NS") and warming up aside.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }

    /// The different questions among them: name in lower case, and type.
    pub fn questions(&self) -> BTreeSet<(String, u16)> {
        self.asked()
            .iter()
            .map(|asked| (asked.lower(), asked.rtype()))
            .collect()
    }

    /// The queries for a name, in any letter case.
    pub fn asked_for(&self, name: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.lower() == name.to_ascii_lowercase());
        asked
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, TICK);
    }
}

/// How often a thread looks whether its upstream is gone.
const TICK: Duration = Duration::from_millis(200);

fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    for _ in 0..50 {
        let udp = UdpSocket::bind(address)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if address.port() != 0 => return Err(error),
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

impl State {
    /// What to do about a query.
    fn acts(&self, bytes: &[u8], tcp: bool, from: SocketAddr, connection: usize) -> Vec<Act> {
        let message = Message::parse(bytes).expect("byway sends well-formed queries");
        let asked = Asked {
            message,
            tcp,
            from,
            connection,
        };
        assert!(!asked.has(Z), "byway sets the Z bit");
        let is_probe = (asked.name() == "." && asked.rtype() == NS) || is_of_loops(&asked.name());
        if !is_probe && !asked.lower().ends_with(KNOWN) {
            lock(&self.asked).push(asked.clone());
        }
        let answering = Arc::clone(&lock(&self.answering));
        let mut acts = answering(&asked);
        if is_probe {
            // What every resolver knows waits for no gate.
            acts.retain(|act| !matches!(act, Act::WaitFor(_)));
        }
        acts
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// Whether a name is one by which byway looks for loops: two labels of hexadecimal digits.
fn is_of_loops(name: &str) -> bool {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let drawn = |label: &&str| label.len() == 16 && label.bytes().all(|it| it.is_ascii_hexdigit());
    labels.len() == 2 && labels.iter().all(drawn)
}

/// Does what has to wait on a thread of its own, so that others are answered meanwhile.
fn perform(acts: Vec<Act>, mut act: impl FnMut(Act) + Send + 'static) {
    let mut acts = acts.into_iter();
    while let Some(next) = acts.next() {
        if matches!(next, Act::Wait(_) | Act::WaitFor(_)) {
            thread::spawn(move || {
                for next in std::iter::once(next).chain(acts) {
                    match next {
                        Act::Wait(time) => thread::sleep(time),
                        Act::WaitFor(gate) => gate.pass(),
                        next => act(next),
                    }
                }
            });
            return;
        }
        act(next);
    }
}

fn serve_udp(socket: &UdpSocket, state: &State) {
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
    let mut buffer = [0; 65_535];
    while !state.is_over() {
        // An error may be the refusal of an earlier answer, or the tick.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let acts = state.acts(&buffer[..length], false, from, 0);
        let Ok(socket) = socket.try_clone() else {
            return;
        };
        let elsewhere = elsewhere
            .as_ref()
            .and_then(|socket| socket.try_clone().ok());
        perform(acts, move |act| {
            let _ = match (act, &elsewhere) {
                (Act::Send(bytes), _) => socket.send_to(&bytes, from),
                (Act::SendFromElsewhere(bytes), Some(elsewhere)) => elsewhere.send_to(&bytes, from),
                (act, _) => unreachable!("{act:?} over UDP"),
            };
        });
    }
}

fn serve_tcp(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((stream, from)) = listener.accept() {
        if state.is_over() {
            return;
        }
        let connection = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let state = Arc::clone(state);
        let _ = stream.set_nodelay(true);
        thread::spawn(move || {
            let _ = serve_connection(stream, from, connection, &state);
        });
    }
}

fn serve_connection(
    mut stream: TcpStream,
    from: SocketAddr,
    connection: usize,
    state: &State,
) -> io::Result<()> {
    stream.set_read_timeout(Some(4 * PATIENCE))?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message)?;
        let acts = state.acts(&message, true, from, connection);
        let writer = Arc::clone(&writer);
        perform(acts, move |act| {
            let mut stream = lock(&writer);
            let _ = match act {
                Act::Send(bytes) => stream.write_all(&framed(&bytes)),
                Act::Raw(bytes) => stream.write_all(&bytes),
                Act::Dribble(bytes) => framed(&bytes).iter().try_for_each(|octet| {
                    thread::sleep(Duration::from_millis(1));
                    stream.write_all(&[*octet])
                }),
                Act::Close => stream.shutdown(Shutdown::Both),
                act => unreachable!("{act:?} over TCP"),
            };
        });
    }
}

/// A message behind its length.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message");
    [&length.to_be_bytes(), message].concat()
}
