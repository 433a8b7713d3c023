//! The certificates that clients are shown, and which of them a client is shown.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::validity::validity;
use super::{Shown, TlsError, files};
use crate::config::CertificateConfig;

/// Certificates with their keys, in the order of the configuration.
pub(super) type Keys = Arc<[Entry]>;

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Entry {
    key: Arc<CertifiedKey>,
    pub(super) shown: Shown,
}

/// Those in use. Others may take their place at any time: connections that are there stay.
#[derive(Debug)]
pub(super) struct Keyring(RwLock<Keys>);

impl Keyring {
    pub(super) fn new(keys: Keys) -> Keyring {
        Keyring(RwLock::new(keys))
    }

    /// Takes other ones into use.
    pub(super) fn replace(&self, keys: Keys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    pub(super) fn keys(&self) -> Keys {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads all of them.
pub(super) fn read(
    certificates: &[CertificateConfig],
    provider: &CryptoProvider,
) -> Result<Keys, TlsError> {
    let all = certificates.iter().map(|it| entry(it, provider));
    all.collect()
}

fn entry(of: &CertificateConfig, provider: &CryptoProvider) -> Result<Entry, TlsError> {
    let chain = files::chain(&of.chain)?;
    let key = files::key(&of.key)?;
    let wrong = |what, path: &Path, why: String| TlsError {
        what,
        path: path.to_owned(),
        why,
    };
    let shown = Shown {
        path: of.chain.clone(),
        holds: chain.first().and_then(|first| validity(first)),
    };
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => wrong(
            "key",
            &of.key,
            format!(
                "it is not that of the first certificate in {}; the server's own comes first there",
                of.chain.display()
            ),
        ),
        Error::InvalidCertificate(error) => wrong(
            "certificate",
            &of.chain,
            format!("the first in it cannot be read: {error}"),
        ),
        error => wrong("key", &of.key, format!("it cannot be used: {error}")),
    })?;
    Ok(Entry {
        key: Arc::new(key),
        shown,
    })
}

impl Entry {
    /// Whether it is made for `name`.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let certificate = self.key.end_entity_cert().map(ParsedCertificate::try_from);
        matches!(certificate, Ok(Ok(certificate)) if verify_server_name(&certificate, name).is_ok())
    }
}

impl ResolvesServerCert for Keyring {
    /// The first for the name that the client wants; where there is none, or no name, the first of all. Of those only such
    /// as the client can check.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys();
        let schemes = hello.signature_schemes();
        let fits = |it: &&Entry| it.key.key.choose_scheme(schemes).is_some();
        let name = hello.server_name();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| {
            let mut fitting = keys.iter().filter(fits);
            fitting.find(|it| it.is_for(&name))
        });
        let chosen = named.or_else(|| keys.iter().find(fits));
        chosen.map(|it| Arc::clone(&it.key))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// One of those of the tests.
    pub(in crate::tls) fn certificate() -> Vec<u8> {
        let pem = include_bytes!("../../tests/daemon/tls/one.pem");
        CertificateDer::from_pem_slice(pem).expect("one").to_vec()
    }
}
