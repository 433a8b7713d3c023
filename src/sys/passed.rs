//! Descriptors that the service manager has passed.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether they have been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets that the service manager has passed to this process (sd_listen_fds(3)), with their names. Only the first call
/// finds any.
///
/// # Errors
/// When the variables that tell of them make no sense, or one is not open.
#[expect(unsafe_code)]
pub fn passed_sockets() -> io::Result<Vec<(OwnedFd, String)>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()?;
    // SAFETY: whoever sets LISTEN_PID to this process hands these descriptors over; that they are open was just checked by
    // setting a flag of each; and they are taken once.
    let own = |(fd, name)| (unsafe { OwnedFd::from_raw_fd(fd) }, name);
    Ok(passed.map(own).collect())
}
