//! A client by TLS, and certificates for byway to show.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::message::Build;
use super::reading::Message;
use super::upstream::framed;
use super::{PATIENCE, stub};

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
