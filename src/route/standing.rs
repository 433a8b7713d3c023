//! How things stand altogether.

/// How things stand altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Some route is usable.
    Clear,
    /// None is; the ceiling holds.
    NothingClear,
    /// All are dead; only probes go out.
    Outage,
}
