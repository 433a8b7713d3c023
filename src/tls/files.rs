//! Certificates and keys from files in PEM (RFC 7468).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use crate::config::file;

/// No file is larger: a chain of ten certificates has some 20 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// The certificates of a file, in their order.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError {
        what: "certificate",
        path: path.to_owned(),
        why,
    };
    let text = open(path)
        .and_then(read)
        .map_err(|error| wrong(unreadable(&error)))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| wrong(malformed(&error)))?;
    match chain.is_empty() {
        true => Err(wrong(
            "it holds none; expected PEM, which begins with -----BEGIN CERTIFICATE-----".into(),
        )),
        false => Ok(chain),
    }
}

/// The private key of a file that nobody else can read.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |why: String| TlsError {
        what: "key",
        path: path.to_owned(),
        why,
    };
    let file = open(path).map_err(|error| wrong(unreadable(&error)))?;
    let metadata = file.metadata().map_err(|error| wrong(unreadable(&error)))?;
    let owner = Owner {
        user: metadata.uid(),
        group: metadata.gid(),
    };
    let own = Owner {
        user: rustix::process::geteuid().as_raw(),
        group: match rustix::process::getgroups() {
            // Whoever put the daemon into the key's group meant it to read it.
            Ok(groups) if groups.iter().any(|it| it.as_raw() == owner.group) => owner.group,
            _ => rustix::process::getegid().as_raw(),
        },
    };
    if let Some(who) = exposed(metadata.mode(), owner, own) {
        let mode = metadata.mode() & 0o7777;
        return Err(wrong(format!(
            "{who} can read or change it (mode {mode:04o}), so it is no secret; `chmod 0600 {}`",
            path.display()
        )));
    }
    let text = read(file).map_err(|error| wrong(unreadable(&error)))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_locked = String::from_utf8_lossy(&text).contains("ENCRYPTED");
        wrong(match error {
            pem::Error::NoItemsFound if is_locked => {
                "it is locked with a passphrase, which nobody is there to type; `openssl pkey -in` it, `-out` one without".into()
            }
            pem::Error::NoItemsFound => {
                "it holds none; expected PEM, which begins with -----BEGIN PRIVATE KEY-----".into()
            }
            error => malformed(&error),
        })
    })
}

/// Whose a file or a process is.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// Who beside `own` and root can read or change a file of that mode and owner. A group's right to read is fine where the
/// group is root's or one of the daemon's own: systemd hands over credentials so, and root keeps keys for a daemon so.
fn exposed(mode: u32, owner: Owner, own: Owner) -> Option<&'static str> {
    let (group, others) = (mode >> 3 & 0o7, mode & 0o7);
    let is_trusted = owner.group == 0 || owner.group == own.group;
    match () {
        () if owner.user != 0 && owner.user != own.user => Some("another user, whose file it is,"),
        () if others & 0o6 != 0 => Some("everybody"),
        () if group & 0o2 != 0 && owner.group != 0 => Some("its group"),
        () if group & 0o4 != 0 && !is_trusted => Some("its group"),
        () => None,
    }
}

fn open(path: &Path) -> io::Result<File> {
    file::open(path)
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(io::Error::other(format!(
            "it has more than {MOST_BYTES} bytes"
        ))),
        false => Ok(text),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "byway may not read it; give it to the user that byway runs as".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    }
}

fn malformed(error: &pem::Error) -> String {
    format!("it is no proper PEM: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_the_daemon_and_root_alone() {
        let own = Owner {
            user: 990,
            group: 990,
        };
        let of = |user, group| Owner { user, group };
        for (mode, owner, is_fine) in [
            (0o600, of(990, 990), true),
            (0o400, of(990, 990), true),
            (0o600, of(0, 0), true),
            // As root keeps it for the daemon, and as systemd hands over credentials.
            (0o640, of(0, 990), true),
            (0o440, of(0, 0), true),
            (0o644, of(0, 990), false),
            (0o604, of(990, 990), false),
            (0o602, of(990, 990), false),
            (0o640, of(0, 100), false),
            (0o660, of(0, 990), false),
            (0o600, of(1000, 1000), false),
        ] {
            let found = exposed(0o100_000 | mode, owner, own);
            assert_eq!(found.is_none(), is_fine, "{mode:o}: {found:?}");
        }
    }
}
