//! What a question is about, as far as the evidence goes.
//!
//! Names fail too, and zones, and types that somebody on the way does not understand. So the engine is told,
//! of each question, what tells it from another one, in which zone its name lies, and of what kind it is.

use crate::route::constants::measure::answered::KINDS;
use crate::wire::{CLASS_IN, RecordType};

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// A hash of name and type; 0 is like no other question.
    pub name: u64,
    /// A hash of the zone that the name lies in; 0 is like no other zone.
    pub zone: u64,
    /// What servers may differ by.
    pub kind: Kind,
}

/// Of what kind a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that every resolver answers: for an address or for the root's servers.
    Plain,
    /// Of a type, by its place among those that are told apart, that some server or something on the way may not answer. It
    /// speaks against a server as long as that one answers such questions.
    Typed(u8),
    /// One that a resolver need not answer: without recursion, of another class, for everything there is (RFC
    /// 8482). It speaks against nobody.
    Odd,
}

impl About {
    /// The probe's question, or one of which nothing is known.
    pub const PLAIN: About = About {
        name: 0,
        zone: 0,
        kind: Kind::Plain,
    };
}

impl Kind {
    /// Of a question of this type and class, with recursion desired or not.
    pub fn of(record_type: RecordType, class: u16, rd: bool) -> Kind {
        match record_type {
            _ if !rd || class != CLASS_IN || record_type.is_meta() => Kind::Odd,
            RecordType::A => Kind::Plain,
            RecordType(number) => Kind::Typed((number % KINDS as u16) as u8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_plain_and_what_need_not_be_answered_is_odd() {
        let kind = |record_type| Kind::of(record_type, CLASS_IN, true);
        assert_eq!(kind(RecordType::A), Kind::Plain);
        assert_ne!(kind(RecordType::HTTPS), kind(RecordType::AAAA));
        assert!(matches!(kind(RecordType::AAAA), Kind::Typed(_)));
        assert_eq!(kind(RecordType::ANY), Kind::Odd);
        assert_eq!(Kind::of(RecordType::A, CLASS_IN, false), Kind::Odd);
        assert_eq!(Kind::of(RecordType::A, 3, true), Kind::Odd);
    }
}
