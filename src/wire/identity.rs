//! What this server calls itself, to a client that wants to tell one of many from the others: the NSID option (RFC 5001) and
//! names of the class CHAOS (RFC 4892).
//!
//! It is a property of the process, and seldom asked for. So it stands in one place for all who write replies, who look only
//! if somebody asks.

use std::sync::{Arc, PoisonError, RwLock};

use super::types::RecordType;

/// The EDNS option of the name server identifier (RFC 5001 section 4).
pub(super) const NSID_OPTION: u16 = 3;

/// The class of CHAOS, which no network uses and servers answer about themselves in.
pub(super) const CLASS_CH: u16 = 3;

/// The longest: one string of a TXT record.
pub const MOST_IDENTITY: usize = 255;

static IDENTITY: RwLock<Option<Arc<str>>> = RwLock::new(None);

/// From now on it calls itself so, or tells nobody. What is longer than [`MOST_IDENTITY`] octets is not told.
pub fn set_identity(identity: Option<&str>) {
    let identity = identity.filter(|it| it.len() <= MOST_IDENTITY);
    *IDENTITY.write().unwrap_or_else(PoisonError::into_inner) = identity.map(Arc::from);
}

/// What it calls itself.
pub(super) fn identity() -> Option<Arc<str>> {
    IDENTITY
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// What a name of the class CHAOS stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// `id.server` (RFC 4892 section 3) and its older name `hostname.bind`.
    Identity,
    /// `version.server` and its older name `version.bind`.
    Version,
}

impl About {
    /// That of a question's name and type, if it is told who byway is at all.
    #[cold]
    pub(super) fn of(question: &[u8], record_type: RecordType) -> Option<About> {
        let name = question.get(..question.len().checked_sub(4)?)?;
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let about = if is(b"\x02id\x06server\0") || is(b"\x08hostname\x04bind\0") {
            About::Identity
        } else if is(b"\x07version\x06server\0") || is(b"\x07version\x04bind\0") {
            About::Version
        } else {
            return None;
        };
        (record_type == RecordType::TXT && identity().is_some()).then_some(about)
    }

    /// The text; `None` if that has ended meanwhile.
    pub(super) fn text(self) -> Option<String> {
        let identity = identity()?;
        Some(match self {
            About::Identity => identity.to_string(),
            About::Version => format!("byway {}", env!("CARGO_PKG_VERSION")),
        })
    }
}
