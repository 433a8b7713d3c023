//! What a worker puts aside for another thread, in a place of fixed size.
//!
//! The worker never waits: what finds no room, or finds the till open, is not put aside, and the worker is told so.

use std::sync::{Mutex, PoisonError, TryLockError};

/// Octets that one thread puts aside and another one takes away.
#[derive(Debug)]
pub(super) struct Till {
    /// Room for so many octets.
    room: usize,
    held: Mutex<Vec<u8>>,
}

impl Till {
    /// One with room for so many octets, taken at once.
    pub(super) fn new(room: usize) -> Till {
        Till {
            room,
            held: Mutex::new(Vec::with_capacity(room)),
        }
    }

    /// Puts the parts aside, one behind the other; all of them or, which is said by `false`, none. Neither waits nor
    /// allocates.
    pub(super) fn put(&self, parts: &[&[u8]]) -> bool {
        let mut held = match self.held.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.room - held.len() < length {
            return false;
        }
        parts.iter().for_each(|part| held.extend_from_slice(part));
        true
    }

    /// Takes everything away. `empty` stays behind in its place; it needs the same room, or the next [`put`](Till::put)s
    /// allocate it.
    pub(super) fn take(&self, mut empty: Vec<u8>) -> Vec<u8> {
        empty.clear();
        if empty.capacity() < self.room {
            empty.reserve_exact(self.room);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_left_out_whole() {
        let till = Till::new(8);
        assert!(till.put(&[b"abc", b"de"]));
        assert!(!till.put(&[b"fghi"]), "four do not fit into three");
        assert!(till.put(&[b"fgh"]));
        let taken = till.take(Vec::new());
        assert_eq!(taken, b"abcdefgh");
        assert!(till.put(&[b"12345678"]), "there is room again");
        assert_eq!(till.take(taken), b"12345678");
    }

    #[test]
    fn nobody_waits_for_an_open_till() {
        let till = Till::new(8);
        let open = till.held.lock().expect("nobody has it");
        assert!(!till.put(&[b"a"]));
        drop(open);
        assert!(till.put(&[b"a"]));
    }
}
