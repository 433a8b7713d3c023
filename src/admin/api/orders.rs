//! What changes something or is for the operator alone, on the control socket, and what comes of it.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/drain` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainOrder {
    /// A path, an upstream or a route, by its name.
    pub name: String,
    /// For how many seconds; until restored if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// `POST /api/v1/restore` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreOrder {
    /// What was drained.
    pub name: String,
}

/// `POST /api/v1/flush` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushOrder {
    /// The name to forget; everything if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All names below it too.
    #[serde(default)]
    pub subtree: bool,
}

/// `POST /api/v1/guard/release` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseOrder {
    /// The name to be let go.
    pub name: String,
}

/// `POST /api/v1/log` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOrder {
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
}

/// `POST /api/v1/takeover` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeoverOrder {
    /// The Unix socket at which the process that takes over waits for what this one listens on.
    pub socket: String,
}

/// `POST /api/v1/trace` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceOrder {
    /// The name whose questions are looked at.
    pub name: String,
    /// Their type; all types if left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// For how many seconds, 600 at most.
    pub seconds: u64,
}

/// What `POST /api/v1/trace` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceBegun {
    /// What to ask for its lines by.
    pub id: u64,
    /// What was begun, in a sentence.
    pub done: String,
}

/// `POST /api/v1/trace/lines` on the control socket
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceLinesOrder {
    /// Which trace.
    pub id: u64,
}

/// What `POST /api/v1/trace/lines` answers: what is new since the last time. A trace that nobody asks for ten seconds
/// is given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceLines {
    /// Oldest first.
    pub lines: Vec<TraceLine>,
    /// Lines left out so far, because there were too many a second.
    pub left_out: u64,
    /// No more will come.
    pub over: bool,
}

/// Something that was decided about a question, or happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    /// Its number in the trace, from 1. A gap means that older ones were dropped.
    pub number: u64,
    /// When, to the millisecond.
    pub time: String,
    /// The worker that decided.
    pub worker: u16,
    /// Which of that worker's questions upstream, if one was made; those of one question have the same.
    pub question: Option<u32>,
    /// Name and type.
    pub asked: String,
    /// What happened.
    pub text: String,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, in a sentence.
    pub done: String,
}
