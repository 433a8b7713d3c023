//! The control socket: a Unix socket that its file mode guards.
//!
//! Who may write to the socket's file may give orders: its owner and its group, nobody else. The kernel checks
//! that when somebody connects; who it was is asked of the kernel too and goes into the record.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's mode: owner and group.
const MODE: u32 = 0o660;
/// The mode of the directory, if it has to be made: everybody may look for the socket in it.
const DIRECTORY_MODE: u32 = 0o755;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another byway answers there.
    #[error("another byway answers at {}", .0.display())]
    Taken(PathBuf),
    /// Something that is no socket is there.
    #[error("{} is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot make {}: {cause}", .path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
}

/// A control socket that is listened on.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: File,
}

/// The socket's file. It is removed with this, unless another daemon has put its own there since.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path`. A socket that nobody answers at any more is replaced; the last directory is made if it is
    /// not there.
    ///
    /// # Errors
    /// [`ControlError`]; nothing was changed then.
    pub fn bind(path: &Path) -> Result<ControlSocket, ControlError> {
        ControlSocket::make(path, false)
    }

    /// The same in place of another byway that answers there, and is about to end. It answers those who have come already.
    ///
    /// # Errors
    /// [`ControlError`]; nothing was changed then.
    pub fn replace(path: &Path) -> Result<ControlSocket, ControlError> {
        ControlSocket::make(path, true)
    }

    fn make(path: &Path, replaces: bool) -> Result<ControlSocket, ControlError> {
        let system = |cause| ControlError::System {
            path: path.to_owned(),
            cause,
        };
        if let Ok(there) = fs::symlink_metadata(path) {
            if !std::os::unix::fs::FileTypeExt::is_socket(&there.file_type()) {
                return Err(ControlError::NoSocket(path.to_owned()));
            }
            if !replaces && UnixStream::connect(path).is_ok() {
                return Err(ControlError::Taken(path.to_owned()));
            }
        }
        if let Some(directory) = path.parent()
            && !directory.exists()
        {
            let mut builder = fs::DirBuilder::new();
            builder
                .mode(DIRECTORY_MODE)
                .create(directory)
                .map_err(system)?;
        }
        // Made beside its place and moved there with its mode set, so that nobody meets it half made.
        let beside = path.with_extension(format!("{}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let made = (|| {
            let listener = UnixListener::bind(&beside)?;
            fs::set_permissions(&beside, Permissions::from_mode(MODE))?;
            let inode = fs::symlink_metadata(&beside)?.ino();
            fs::rename(&beside, path)?;
            Ok((listener, inode))
        })();
        let (listener, inode) = made.map_err(|cause| {
            let _ = fs::remove_file(&beside);
            system(cause)
        })?;
        let file = File {
            path: path.to_owned(),
            inode,
        };
        Ok(ControlSocket { listener, file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    pub(super) fn into_parts(self) -> (UnixListener, File) {
        (self.listener, self.file)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who is at the other end, for the record.
pub(super) fn who(stream: &tokio::net::UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => match peer.pid() {
            Some(pid) => format!("uid {} (pid {pid})", peer.uid()),
            None => format!("uid {}", peer.uid()),
        },
        Err(_) => "somebody unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/control.sock");
        let socket = ControlSocket::bind(&path).expect("a socket");
        let mode = fs::metadata(&path).expect("its file").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let names: Vec<_> = fs::read_dir(folder.path().join("run"))
            .expect("its directory")
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_answers_is_left_alone_and_one_left_behind_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let first = ControlSocket::bind(&path).expect("a socket");
        let second = ControlSocket::bind(&path).expect_err("it is taken");
        assert!(matches!(second, ControlError::Taken(_)), "{second}");
        // As after a crash: the file stays, nobody listens.
        let (listener, file) = first.into_parts();
        std::mem::forget(file);
        drop(listener);
        assert!(path.exists());
        let third = ControlSocket::bind(&path).expect("it is replaced");
        let fourth = ControlSocket::replace(&path).expect("it stands aside");
        drop(third);
        assert!(path.exists(), "it is the fourth one's by now");
        drop(fourth);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        fs::write(&path, "precious").expect("a file");
        let refused = ControlSocket::bind(&path).expect_err("no socket");
        assert!(matches!(refused, ControlError::NoSocket(_)), "{refused}");
        assert_eq!(fs::read(&path).expect("the file"), b"precious");
        let nowhere = folder.path().join("a/b/control.sock");
        let refused = ControlSocket::bind(&nowhere).expect_err("no directory");
        assert!(refused.to_string().contains("control.sock"), "{refused}");
    }
}
