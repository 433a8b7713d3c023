//! What stands in for TLS where it is not built in: nothing can be made of it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::{Shown, TlsError};
use crate::config::{CertificateConfig, Config, UpstreamConfig};

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

/// See the other one.
#[derive(Debug)]
pub enum Client {}

impl Client {
    /// See the other one.
    ///
    /// # Errors
    /// None.
    pub fn session(&self) -> io::Result<Session> {
        match *self {}
    }
}

/// None: the configuration refuses upstreams that would need one.
#[derive(Clone, Debug, Default)]
pub struct Clients(());

impl Clients {
    /// None.
    ///
    /// # Errors
    /// None.
    pub fn open(_config: &Config) -> Result<Clients, TlsError> {
        Ok(Clients(()))
    }

    /// None.
    pub fn keeping<'a>(
        self,
        _before: &Clients,
        _upstreams: impl IntoIterator<Item = &'a UpstreamConfig>,
    ) -> Clients {
        self
    }

    /// None.
    pub fn of(&self, _upstream: &UpstreamConfig) -> Option<Arc<Client>> {
        None
    }
}

/// See the other one.
#[derive(Debug)]
pub enum Session {}

impl Session {
    /// See the other one.
    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    /// See the other one.
    pub fn wants_write(&self) -> bool {
        match *self {}
    }

    /// See the other one.
    ///
    /// # Errors
    /// None.
    pub fn read(&mut self, _socket: impl Read, _plain: &mut Vec<u8>) -> io::Result<bool> {
        match *self {}
    }

    /// See the other one.
    ///
    /// # Errors
    /// None.
    pub fn write(&mut self, _plain: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    /// See the other one.
    ///
    /// # Errors
    /// None.
    pub fn send(&mut self, _socket: impl Write) -> io::Result<()> {
        match *self {}
    }

    /// See the other one.
    pub fn close(&mut self) {
        match *self {}
    }
}
