//! Files that byway opens by a name it was given.
//!
//! A name may lead anywhere: to a FIFO that nobody writes to, to a terminal, to a disk. What is not a
//! regular file is refused before it is opened, for opening some devices does something, and is opened
//! without waiting in case it has changed in between.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens the regular file at `path` for reading. Never waits for anybody.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] with what it is if it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    regular(&fs::metadata(path)?)?;
    let without_waiting = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(without_waiting)
        .open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Whether `path` may be replaced by a file: nothing is there, or a regular file.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] with what it is if it is something else.
pub fn replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) => regular(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn regular(found: &fs::Metadata) -> io::Result<()> {
    match found.is_file() {
        true => Ok(()),
        false => {
            let message = format!("expected a file, found {}", name_of(found.file_type()));
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let owner = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, path("fifo"), FileType::Fifo, owner, 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        let all = [
            (path("fifo"), "a FIFO"),
            (path("socket"), "a socket"),
            (folder.path().to_owned(), "a directory"),
            ("/dev/null".into(), "a device"),
        ];
        for (path, what) in all {
            let expected = format!("expected a file, found {what}");
            assert_eq!(open(&path).unwrap_err().to_string(), expected);
            assert_eq!(replaceable(&path).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn files_are_read_and_what_is_missing_may_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(replaceable(&path).is_ok());
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "text").unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(replaceable(&path).is_ok());
    }
}
