//! TLS: the keys and certificates that byway shows to clients, what it demands of servers, and how it speaks with both.
//!
//! All of it is rustls, which is not seen outside of this module, of `serve` and of `net`. Without the feature `tls` there is
//! none of it, and the configuration refuses what needs it.

#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod keyring;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod validity;
#[cfg(not(feature = "tls"))]
mod without;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub use client::{Client, Clients, Session};
#[cfg(feature = "tls")]
pub use server::{Ready, Server};
#[cfg(not(feature = "tls"))]
pub use without::{Client, Clients, Ready, Server, Session};

/// Why certificates and keys cannot be used. One line with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {why}", .path.display())]
pub struct TlsError {
    what: &'static str,
    path: PathBuf,
    why: String,
}

/// A certificate that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its file.
    pub path: PathBuf,
    /// From when until when it holds; `None` if that cannot be read.
    pub holds: Option<(std::time::SystemTime, std::time::SystemTime)>,
}
