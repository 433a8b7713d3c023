//! What TLS is spoken with as a server (RFC 8446, RFC 7858).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::TlsAcceptor;

use super::keyring::{self, Keyring, Keys};
use super::{Shown, TlsError};
use crate::config::CertificateConfig;

/// The newest first. The old one is for clients that have nothing else (RFC 9325 section 3.1.1); those before it are
/// broken.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// What a client may call the protocol in the handshake (RFC 7858 section 3.1, IANA's registry of ALPN). One that asks for
/// others alone is turned away.
pub(super) const DOT: &[u8] = b"dot";

/// Certificates that can be used.
#[derive(Debug)]
pub struct Ready(Keys);

/// One for all workers: whoever comes again need not come to the same one.
#[derive(Debug)]
pub struct Server {
    provider: Arc<CryptoProvider>,
    keyring: Arc<Keyring>,
    config: Arc<ServerConfig>,
}

impl Server {
    /// Reads the certificates, if there are any.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn open(certificates: &[CertificateConfig]) -> Result<Option<Server>, TlsError> {
        let Some(first) = certificates.first() else {
            return Ok(None);
        };
        let provider = Arc::new(ring::default_provider());
        let keyring = Arc::new(Keyring::new(keyring::read(certificates, &provider)?));
        let wrong = |error: rustls::Error| TlsError {
            what: "certificate",
            path: first.chain.clone(),
            why: format!("TLS cannot be spoken: {error}"),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(VERSIONS).map_err(wrong)?;
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&keyring) as Arc<_>);
        config.alpn_protocols = vec![DOT.to_vec()];
        // What a client needs to come again quickly is kept by the client. Nothing grows here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(wrong)?;
        Ok(Some(Server {
            provider,
            keyring,
            config: Arc::new(config),
        }))
    }

    /// Reads certificates that are to be shown.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(&self, certificates: &[CertificateConfig]) -> Result<Ready, TlsError> {
        keyring::read(certificates, &self.provider).map(Ready)
    }

    /// Shows these from now on; connections that are there stay. With none, those from before stay in use.
    pub fn show(&self, Ready(keys): Ready) {
        if !keys.is_empty() {
            self.keyring.replace(keys);
        }
    }

    /// What clients are shown.
    pub fn shown(&self) -> Vec<Shown> {
        let keys = self.keyring.keys();
        keys.iter().map(|it| it.shown.clone()).collect()
    }

    /// What shakes hands with clients.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}
