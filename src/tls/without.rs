//! What stands in for TLS where it is not built in: nothing can be made of it.

use super::{Shown, TlsError};
use crate::config::CertificateConfig;

/// Nothing.
#[derive(Debug)]
pub enum Ready {}

/// Nobody.
#[derive(Debug)]
pub enum Server {}

impl Server {
    /// Fails, but for no certificates at all.
    ///
    /// # Errors
    /// There is no TLS in this byway.
    pub fn open(certificates: &[CertificateConfig]) -> Result<Option<Server>, TlsError> {
        match certificates.first() {
            None => Ok(None),
            Some(first) => Err(TlsError {
                what: "certificate",
                path: first.chain.clone(),
                why: "this byway was built without TLS".to_owned(),
            }),
        }
    }

    /// See the other one.
    ///
    /// # Errors
    /// None.
    pub fn read(&self, _certificates: &[CertificateConfig]) -> Result<Ready, TlsError> {
        match *self {}
    }

    /// See the other one.
    pub fn show(&self, ready: Ready) {
        match ready {}
    }

    /// See the other one.
    pub fn shown(&self) -> Vec<Shown> {
        match *self {}
    }
}
