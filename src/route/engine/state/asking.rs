//! What probes ask.

/// What a probe asks: what every resolver has at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeAsks {
    /// `. NS`, which some routers drop, and which a resolver without the Internet may fail to answer.
    #[default]
    Root,
    /// `invalid. A`, for which there is no address by RFC 6761 section 6.4: many resolvers answer it by themselves.
    Invalid,
}

/// What the probes over one route ask: where one has brought nothing the next asks the other question, so that nobody is
/// held for dead who leaves out one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::route) struct Asking {
    pub(in crate::route::engine) asks: ProbeAsks,
    pub(in crate::route::engine) in_vain: bool,
}
