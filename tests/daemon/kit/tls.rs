//! A client and a resolver by TLS, and certificates for byway to show.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, SupportedProtocolVersion,
};

use super::message::Build;
use super::reading::Message;
use super::upstream::{Asked, framed};
use super::{PATIENCE, lock, stub};

/// The folder of the certificates; see `make` there.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/tls")
}

/// A certificate of the fixtures.
pub fn certificate(name: &str) -> CertificateDer<'static> {
    let path = fixtures().join(format!("{name}.pem"));
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// Where byway finds certificates and keys: a folder in which they may change.
pub struct Safe(tempfile::TempDir);

impl Safe {
    pub fn new() -> Safe {
        Safe(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Puts a file of the fixtures there, in place of what is there, readable by the owner alone.
    pub fn put(&self, fixture: &str, file: &str) {
        let text = fs::read(fixtures().join(fixture)).expect("a fixture");
        let new = self.path("new");
        let options = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new);
        let mut written = options.expect("a file");
        written.write_all(&text).expect("written");
        fs::rename(new, self.path(file)).expect("renamed");
    }

    /// A certificate of that name, and its key.
    pub fn with(self, name: &str) -> Safe {
        for kind in ["pem", "key"] {
            self.put(&format!("{name}.{kind}"), &format!("{name}.{kind}"));
        }
        self
    }

    /// The table for the certificate in these files.
    pub fn table(&self, name: &str) -> String {
        let (chain, key) = (format!("{name}.pem"), format!("{name}.key"));
        format!(
            "[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n",
            self.path(&chain).display(),
            self.path(&key).display()
        )
    }
}

/// A listener with TLS.
pub const LISTENER: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\ntransports = [\"tls\"]\n";

/// How a client speaks TLS.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the authority of the fixtures.
    pub fn new() -> Tls {
        Tls::with(rustls::ALL_VERSIONS, &[])
    }

    /// The same with these versions, and with these words for the protocol.
    pub fn with(versions: &[&'static SupportedProtocolVersion], words: &[&str]) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("authority")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = words.iter().map(|it| it.as_bytes().to_vec()).collect();
        Tls(Arc::new(config))
    }

    /// A connection to the server that calls itself `name`.
    pub fn connect(&self, server: SocketAddr, name: &str) -> io::Result<Encrypted> {
        self.over(TcpStream::connect_timeout(&server, PATIENCE)?, name)
    }

    /// The same over a connection that is there.
    pub fn over(&self, socket: TcpStream, name: &str) -> io::Result<Encrypted> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.0), name).expect("a session");
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Encrypted { stream })
    }
}

/// A client's connection by TLS.
pub struct Encrypted {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Encrypted {
    pub fn send(&mut self, query: &Build) {
        self.stream
            .write_all(&framed(&query.bytes()))
            .expect("sent to the daemon");
    }

    /// The next reply; `None` when the daemon has said that there are no more.
    pub fn receive(&mut self) -> Option<Message> {
        let mut length = [0; 2];
        match self
            .stream
            .read(&mut length[..1])
            .expect("a reply or the end")
        {
            0 => return None,
            _ => self.stream.read_exact(&mut length[1..]).expect("a length"),
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut message).expect("a whole reply");
        Some(stub::read(&message))
    }

    pub fn ask(&mut self, query: &Build) -> Message {
        self.send(query);
        let reply = self.receive().expect("a reply");
        stub::check(query, &reply);
        reply
    }

    /// Says that no more will be asked.
    pub fn finish(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("said");
    }

    /// What the server has shown.
    pub fn shown(&self) -> CertificateDer<'static> {
        let all = self.stream.conn.peer_certificates().expect("certificates");
        all[0].clone().into_owned()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// What a [`Responder`] does with a question: the answer, or none.
type Answering = dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync;

/// A resolver that speaks TLS and nothing else, one thread for each connection. It stops when dropped.
pub struct Responder {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    config: Arc<ServerConfig>,
    answering: Box<Answering>,
    /// Of each message its length, as it came.
    lengths: Mutex<Vec<usize>>,
    /// Of each handshake, whether it was resumed.
    handshakes: Mutex<Vec<bool>>,
    /// Whether a connection is closed behind each answer.
    closes: bool,
    over: AtomicBool,
}

impl Responder {
    /// Shows that certificate, and answers everything.
    pub fn good(name: &str) -> Responder {
        Responder::new(name, false, |asked| Some(asked.good()))
    }

    pub fn new(
        name: &str,
        closes: bool,
        answering: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Responder {
        let key = fixtures().join(format!("{name}.key"));
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS);
        let builder = builder.expect("versions").with_no_client_auth();
        let config = builder.with_single_cert(vec![certificate(name)], key);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            config: Arc::new(config.expect("a certificate and its key")),
            answering: Box::new(answering),
            lengths: Mutex::default(),
            handshakes: Mutex::default(),
            closes,
            over: AtomicBool::new(false),
        });
        let for_all = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if for_all.over.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&for_all);
                // However it ends, it is the daemon that says what came of it.
                std::thread::spawn(move || state.serve(socket).ok());
            }
        });
        Responder { address, state }
    }

    /// The length of each question that has come.
    pub fn lengths(&self) -> Vec<usize> {
        lock(&self.state.lengths).clone()
    }

    /// Whether each of the handshakes was resumed.
    pub fn handshakes(&self) -> Vec<bool> {
        lock(&self.state.handshakes).clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        let from = socket.peer_addr()?;
        socket.set_read_timeout(Some(3 * PATIENCE))?;
        socket.set_nodelay(true)?;
        let session = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        let mut length = [0; 2];
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let is_resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        lock(&self.handshakes).push(is_resumed);
        loop {
            stream.read_exact(&mut length)?;
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes)?;
            lock(&self.lengths).push(bytes.len());
            let message = Message::parse(&bytes).map_err(io::Error::other)?;
            let asked = Asked {
                message,
                tcp: true,
                from,
                connection: 1,
            };
            if let Some(answer) = (self.answering)(&asked) {
                stream.write_all(&framed(&answer))?;
                if self.closes {
                    stream.conn.send_close_notify();
                    stream.flush()?;
                    return stream.sock.shutdown(Shutdown::Both);
                }
            }
        }
    }
}
