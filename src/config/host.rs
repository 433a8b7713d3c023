//! What the configuration needs to know of the host it is read on.

use std::thread;

/// Cores this process may use; 1 if that cannot be told.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
