//! TLS as a client: who a server must prove to be, and the session with it (RFC 8446, RFC 8310).

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, SupportedCipherSuite,
};

use super::server::{DOT, VERSIONS};
use super::{TlsError, files};
use crate::config::{Config, UpstreamConfig, UpstreamTls};
use crate::observe::said::Flaw;

/// What is remembered of a server, for the next connections: some tickets.
const REMEMBERED: usize = 16;

/// What TLS is spoken with to one upstream. Shared by all workers, for what one of them was given serves the next.
pub struct Client {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Those for all upstreams of a configuration that are asked over TLS.
#[derive(Clone, Debug, Default)]
pub struct Clients(HashMap<(UpstreamTls, IpAddr), Arc<Client>>);

impl Clients {
    /// Reads what is needed for them.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn open(config: &Config) -> Result<Clients, TlsError> {
        let mut authorities = Authorities::default();
        let mut clients = HashMap::new();
        for upstream in &config.upstreams {
            if let Some(tls) = &upstream.tls {
                let address = upstream.address.ip();
                let client = Client::open(tls, address, &mut authorities)?;
                clients.insert((tls.clone(), address), Arc::new(client));
            }
        }
        Ok(Clients(clients))
    }

    /// With those that `before` has for upstreams that are named no more and may have questions under way still.
    pub fn keeping<'a>(
        mut self,
        before: &Clients,
        upstreams: impl IntoIterator<Item = &'a UpstreamConfig>,
    ) -> Clients {
        for upstream in upstreams {
            if let (Some(tls), Some(client)) = (&upstream.tls, before.of(upstream)) {
                let key = (tls.clone(), upstream.address.ip());
                self.0.entry(key).or_insert(client);
            }
        }
        self
    }

    /// The one for this upstream.
    pub fn of(&self, upstream: &UpstreamConfig) -> Option<Arc<Client>> {
        let key = (upstream.tls.clone()?, upstream.address.ip());
        self.0.get(&key).map(Arc::clone)
    }
}

/// The authorities that this host trusts, read when they are first needed.
#[derive(Debug, Default)]
struct Authorities(Option<Arc<RootCertStore>>);

impl Authorities {
    /// What this host's own store holds. Its administrators look after it, and whatever a company has of its own is in
    /// there too; that is why none are built into byway.
    fn of_this_host(&mut self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(known) = &self.0 {
            return Ok(Arc::clone(known));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let said = found.errors.first().map(|error| format!(": {error}"));
            return Err(TlsError {
                what: "authorities",
                path: "of this host".into(),
                why: format!(
                    "there are none{}; install ca-certificates, or write `tls-ca` or `tls-pins`",
                    said.unwrap_or_default()
                ),
            });
        }
        let store = Arc::new(store);
        self.0 = Some(Arc::clone(&store));
        Ok(store)
    }
}

impl Client {
    /// For the upstream at `address`.
    ///
    /// # Errors
    /// If the authorities cannot be had.
    fn open(
        of: &UpstreamTls,
        address: IpAddr,
        authorities: &mut Authorities,
    ) -> Result<Client, TlsError> {
        let name = match &of.name {
            None => ServerName::from(address),
            Some(name) => ServerName::try_from(name.clone()).map_err(|error| TlsError {
                what: "name of a server",
                path: name.into(),
                why: error.to_string(),
            })?,
        };
        // Whose key is known needs no authority and no name, unless they are asked for.
        let by_key_alone = !of.pins.is_empty() && of.name.is_none() && of.ca.is_none();
        let roots = match &of.ca {
            _ if by_key_alone => None,
            Some(path) => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(files::chain(path)?);
                if store.is_empty() {
                    return Err(TlsError {
                        what: "authority",
                        path: path.clone(),
                        why: "it cannot be read".to_owned(),
                    });
                }
                Some(Arc::new(store))
            }
            None => Some(authorities.of_this_host()?),
        };
        let provider = Arc::new(ring::default_provider());
        let judge = Judge {
            roots,
            pins: of.pins.clone(),
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider);
        // The versions are the provider's own.
        let builder = builder
            .with_protocol_versions(VERSIONS)
            .map_err(|error| TlsError {
                what: "authorities",
                path: "of this host".into(),
                why: error.to_string(),
            })?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge))
            .with_no_client_auth();
        config.alpn_protocols = vec![DOT.to_vec()];
        config.resumption = Resumption::in_memory_sessions(REMEMBERED);
        Ok(Client {
            name,
            config: Arc::new(config),
        })
    }

    /// A session with it, to begin.
    ///
    /// # Errors
    /// If there is no memory or no random number for it.
    pub fn session(&self) -> io::Result<Session> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        session.map(Session).map_err(io::Error::other)
    }
}

/// What a server must prove.
#[derive(Debug)]
struct Judge {
    /// That one of these vouches for it under its name; `None`: nothing of that kind.
    roots: Option<Arc<RootCertStore>>,
    /// That it has one of these keys (SHA-256 of SPKI, RFC 7858 section 4.2), if there are any.
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, chain, now, algorithms)?;
            verify_server_name(&certificate, name)?;
        }
        if !self.pins.is_empty() {
            let key = hash(&self.provider, &certificate.subject_public_key_info());
            if !self.pins.iter().any(|pin| Some(&pin[..]) == key.as_deref()) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The SHA-256 of `data`.
fn hash(provider: &CryptoProvider, data: &[u8]) -> Option<Vec<u8>> {
    let suites = provider.cipher_suites.iter();
    let mut hashes = suites.filter_map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => Some(suite.common.hash_provider),
        SupportedCipherSuite::Tls12(_) => None,
    });
    let sha256 = hashes.find(|it| it.output_len() == 32)?;
    Some(sha256.hash(data).as_ref().to_vec())
}

/// A session with a server. It moves octets and knows no sockets.
#[derive(Debug)]
pub struct Session(ClientConnection);

impl Session {
    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether there is something to send.
    pub fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Takes in what `socket` has, and what it means to the end of `plain`. False if the other side has ended the
    /// connection.
    ///
    /// # Errors
    /// The socket's own; a [`Flaw`] where the other side does wrong.
    pub fn read(&mut self, mut socket: impl Read, plain: &mut Vec<u8>) -> io::Result<bool> {
        if self.0.read_tls(&mut socket)? == 0 {
            return Ok(false);
        }
        let state = self.0.process_new_packets();
        let state = state.map_err(|error| io::Error::from(flaw(&error)))?;
        let (there, start) = (state.plaintext_bytes_to_read(), plain.len());
        plain.resize(start + there, 0);
        self.0.reader().read_exact(&mut plain[start..])?;
        Ok(there > 0 || !state.peer_has_closed())
    }

    /// Takes of `plain` what there is room for; how much that is.
    ///
    /// # Errors
    /// None that is known of.
    pub fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.0.writer().write(plain)
    }

    /// Sends what there is to send. Fails with `WouldBlock` when the socket takes no more.
    ///
    /// # Errors
    /// The socket's own.
    pub fn send(&mut self, mut socket: impl Write) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut socket)?;
        }
        Ok(())
    }

    /// Says that nothing more will come.
    pub fn close(&mut self) {
        self.0.send_close_notify();
    }
}

/// What is wrong with a server.
fn flaw(error: &Error) -> Flaw {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Flaw::Ended,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Flaw::NotYet
            }
            CertificateError::UnknownIssuer => Flaw::Authority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Flaw::Name
            }
            CertificateError::ApplicationVerificationFailure => Flaw::Key,
            _ => Flaw::Certificate,
        },
        Error::AlertReceived(_) => Flaw::Refused,
        _ => Flaw::Garbled,
    }
}
