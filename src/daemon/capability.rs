//! What the binary's file was given (capabilities(7)).
//!
//! A file whose capabilities were effective at once could not be started where the process may not have them: in a container
//! that drops all. So they are only permitted by the file, and byway takes up what it uses.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Ports under 1024, paths with a firewall mark or an interface.
const USED: CapabilitySet = CapabilitySet::NET_BIND_SERVICE
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_ADMIN);

/// Has this thread, and those that it starts, use what byway needs and may have. What is missing is said by those who
/// need it.
pub fn take_up_capabilities() {
    let Ok(mut sets) = capabilities(None) else {
        return;
    };
    let more = sets.permitted & USED;
    if !sets.effective.contains(more) {
        sets.effective |= more;
        let _ = set_capabilities(None, sets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_permitted_and_used_becomes_effective_and_nothing_else() {
        // Capabilities are a thread's own.
        let thread = std::thread::spawn(|| {
            let mut sets = capabilities(None).expect("those of this thread");
            if !sets.permitted.contains(USED) {
                return;
            }
            sets.permitted = CapabilitySet::NET_BIND_SERVICE | CapabilitySet::CHOWN;
            sets.effective = CapabilitySet::empty();
            sets.inheritable = CapabilitySet::empty();
            set_capabilities(None, sets).expect("less than before");
            take_up_capabilities();
            let now = capabilities(None).expect("those of this thread");
            assert_eq!(now.effective, CapabilitySet::NET_BIND_SERVICE);
        });
        thread.join().expect("as expected");
    }
}
