//! The documents of the API: what `/api/v1/…` and the control socket say, and what the commands print.
//!
//! They are stable: a field is added, never renamed or given another meaning; `docs/openapi.json`
//! describes them, and a test compares it with real answers. Times are RFC 3339 in UTC,
//! durations seconds, and what is not known is `null`.

mod history;
mod orders;

pub use history::{History, HistoryEvent, HistoryFelt, HistoryOrder, HistoryRoute, HistoryStep};
pub use orders::{
    Done, DrainOrder, FlushOrder, LogOrder, ReleaseOrder, RestoreOrder, TakeoverOrder, TraceBegun,
    TraceLine, TraceLines, TraceLinesOrder, TraceOrder,
};
use serde::{Deserialize, Serialize};

/// How byway fares as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Names resolve and nothing is in trouble.
    Well,
    /// Names resolve; something is in trouble, or out of use.
    Trouble,
    /// Names that are not known already do not resolve.
    Down,
}

/// `GET /api/v1/status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How byway fares.
    pub state: State,
    /// The same in a sentence.
    pub headline: String,
    /// What is wrong or out of use, a sentence each, the gravest first; with since when and why.
    pub trouble: Vec<String>,
    /// The troubles among them that were told of when they began, with what they cost so far.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    /// The version that runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started: String,
    /// For how long, in seconds.
    pub uptime: f64,
    /// Where its configuration came from.
    pub configuration: String,
    /// Where it answers queries.
    pub listeners: Vec<String>,
    /// What became of reloads of it.
    pub reload: Configuration,
    /// What clients felt lately.
    pub felt: Felt,
    /// Packets upstream for each question that needed one, over the last minute.
    pub amplification: f64,
    /// Packets a second that may go upstream while nothing is clear.
    pub ceiling: f64,
    /// Extra packets that the budgets would pay for now.
    pub budgets: Budgets,
    /// Every path, in the order of the configuration.
    pub paths: Vec<Subject>,
    /// Every upstream, in the order of the configuration.
    pub upstreams: Vec<Subject>,
    /// Every route.
    pub routes: Vec<Route>,
    /// What the operator took out of use.
    pub drains: Vec<Drain>,
    /// The cache.
    pub cache: Cache,
    /// The cache's file, if one is kept.
    pub snapshot: Option<Snapshot>,
    /// The flight recorder, if anything is recorded.
    pub recorder: Option<Recorder>,
}

/// A trouble that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its number since the start, from 1.
    pub number: u64,
    /// How much it is about: `outage`, `nothing-clear`, `path`, `upstream` or `route`.
    pub scope: String,
    /// Whom it is put down to, where that is not everything: `path eth1`.
    pub subject: Option<String>,
    /// When it began to show.
    pub since: String,
    /// For how many seconds it has gone on.
    pub seconds: f64,
    /// For how many seconds things have been well; `null` while they are not. It is over when that has lasted.
    pub well_for: Option<f64>,
    /// How often it came back within that time.
    pub flapped: u32,
    /// Questions that failed meanwhile.
    pub failed: u64,
    /// Questions answered past their TTL meanwhile.
    pub stale: u64,
    /// Attempts made meanwhile because an earlier one was late or failed.
    pub again: u64,
    /// What is wrong, why, and what byway does about it, in a sentence.
    pub text: String,
}

/// The configuration that holds, and what became of later ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// When it was read.
    pub since: String,
    /// Why the last one that was read after it was refused, if that was so.
    pub refused: Option<String>,
    /// When that was.
    pub refused_at: Option<String>,
    /// Settings that the file has otherwise than what holds: they take effect with a restart.
    pub needs_restart: Vec<String>,
    /// Domains of this host's links and who is asked for the names below them, a sentence each.
    #[serde(default)]
    pub link_domains: Vec<String>,
}

/// What clients felt within a span that ends now: a minute, or less after a start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Felt {
    /// The span, in seconds.
    pub seconds: f64,
    /// Queries answered.
    pub queries: u64,
    /// From the cache, within their TTL.
    pub from_cache: u64,
    /// Of those, answered by byway itself.
    #[serde(default)]
    pub local: u64,
    /// By an upstream, now.
    pub from_upstream: u64,
    /// From the cache, past their TTL.
    pub stale: u64,
    /// With SERVFAIL, for want of a useful answer.
    pub failed: u64,
    /// With SERVFAIL, because a limit was reached.
    pub shed: u64,
    /// With REFUSED, FORMERR and the like.
    pub refused: u64,
}

/// The flight recorder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorder {
    /// Its file; `null` if none is configured.
    pub path: Option<String>,
    /// Whether that is written to. Otherwise the last hour is kept in memory.
    pub on_disk: bool,
    /// Why it is not.
    pub why: Option<String>,
}

/// The tokens in the budgets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// Of the steady share.
    pub steady: f64,
    /// Of the burst.
    pub burst: f64,
    /// Under the ceiling.
    pub ceiling: f64,
}

/// A path or an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The operator's name for it.
    pub name: String,
    /// What is believed of it.
    pub verdict: String,
    /// For how long, in seconds.
    pub verdict_for: f64,
    /// Taken out of use by the operator.
    pub drained: bool,
    /// Of a path: its interface or source address is not on this host.
    pub missing: bool,
}

/// A route: one upstream over one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// `upstream@path`.
    pub name: String,
    /// What it is held for: the worst of what it, its path and its upstream are.
    pub verdict: String,
    /// For how long that stands, in seconds.
    pub verdict_for: f64,
    /// What it rests on, in words.
    pub evidence: String,
    /// Round trip without queues, in seconds.
    pub base: Option<f64>,
    /// What recent round trips take over it, in seconds.
    pub excess: Option<f64>,
    /// Mean round trip while clear, in seconds.
    pub typical: f64,
    /// Share of attempts lost of those that the evidence counts.
    pub loss: f64,
    /// Share of the last minute's attempts without an answer in the route's own time, whatever the reason; `null` if there
    /// were none.
    #[serde(default)]
    pub recent_loss: Option<f64>,
    /// Seconds since the last useful answer; `null` before the first.
    #[serde(default)]
    pub last_answer: Option<f64>,
    /// Attempts under way.
    pub in_flight: u32,
    /// Attempts that may be under way.
    pub limit: u32,
    /// After how long another route is asked too, in seconds.
    pub hedge_after: f64,
    /// Taken out of use, itself or its path or upstream.
    pub drained: bool,
    /// Its path's interface or source address is not on this host.
    pub missing: bool,
    /// Nothing listens at the server's port, and that is all that is wrong with it.
    #[serde(default)]
    pub refuses: bool,
}

/// Something that the operator took out of use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// A path, an upstream or a route, by its name.
    pub name: String,
    /// Since when.
    pub since: String,
    /// Until when; `null` until restored.
    pub until: Option<String>,
    /// Who did it.
    pub by: String,
}

/// The cache at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Answers held.
    pub entries: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Bytes they may take.
    pub capacity: u64,
}

/// The cache's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where it is.
    pub path: String,
    /// How old it is, in seconds; `null` if none was written or read yet.
    pub age: Option<f64>,
    /// Answers in it.
    pub entries: Option<u64>,
    /// Writes that failed since the start.
    pub failed: u64,
}

/// `GET /api/v1/routes`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// Every route.
    pub routes: Vec<Route>,
}

/// `GET /api/v1/why?name=NAME&type=TYPE`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The name asked about.
    pub name: String,
    /// And the type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// What would be done now, in a sentence.
    pub decision: String,
    /// The zone of the configuration that the name lies in, if it is in one.
    pub zone: Option<String>,
    /// Whether what the zone's upstreams cannot answer is asked of those of all other names.
    pub falls_through: bool,
    /// Whether the name is under guard, and what is kept of it.
    pub guard: Option<String>,
    /// What the cache holds for it, if anything.
    pub cached: Option<Cached>,
    /// What is remembered of its last failure, in words.
    pub failed: Option<String>,
    /// The route that would be asked first.
    pub first: Option<String>,
    /// The route that would be asked next if the first is late.
    pub hedge: Option<String>,
    /// After how many seconds.
    pub hedge_after: Option<f64>,
    /// Every route and why it is not the first.
    pub candidates: Vec<Candidate>,
}

/// A route as a candidate for one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `upstream@path`.
    pub name: String,
    /// What it is held for.
    pub verdict: String,
    /// Expected time of its answer, in seconds.
    pub expected: f64,
    /// Why another one is asked first; `null` for the first.
    pub passed_over: Option<String>,
}

/// `GET /api/v1/cache?name=NAME`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheLook {
    /// The name asked about.
    pub name: String,
    /// What is held for it, a type each; with DO or CD apart.
    pub answers: Vec<Cached>,
}

/// An answer in the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cached {
    /// The question: name, type, and `+do` or `+cd` where set.
    pub question: String,
    /// `fresh` or `stale`.
    pub freshness: String,
    /// Seconds since it was stored.
    pub age: u32,
    /// Seconds it was given then.
    pub ttl: u32,
    /// Its response code.
    pub rcode: String,
    /// The route it came over; `null` if it was read back from the snapshot.
    pub route: Option<String>,
    /// Questions answered from it since.
    pub hits: u16,
    /// Bytes it takes.
    pub bytes: u64,
}

/// `GET /api/v1/events?after=N&most=N`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number since the start, from 1. A gap means that older ones were dropped.
    pub number: u64,
    /// When.
    pub time: String,
    /// Whether it is for the worse, and somebody should know.
    pub trouble: bool,
    /// Whether it is a change of mind that only explains others: told if details are asked for.
    #[serde(default)]
    pub detail: bool,
    /// Its kind, one word.
    pub kind: String,
    /// Whom it is about, if anybody: `path eth1`.
    pub subject: Option<String>,
    /// The line that stands in the log.
    pub text: String,
}

/// `GET /api/v1/top?most=N`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// Whether that is counted: `[top] enabled`.
    pub enabled: bool,
    /// The span that it is about, in seconds; it ends now.
    pub seconds: f64,
    /// Answers that left within it.
    pub answers: u64,
    /// Of those, looked at: all while they are few.
    pub looked_at: u64,
    /// The names that were asked for most, the most frequent first.
    pub names: Vec<TopEntry>,
    /// The clients that asked most, by address.
    pub clients: Vec<TopEntry>,
}

/// A name, or a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopEntry {
    /// The name, in lower case, or the address.
    pub name: String,
    /// Answers, estimated from those that were looked at.
    pub answers: u64,
    /// By how many that may be too many, because it is not known who had the place before.
    pub excess: u64,
    /// Of the answers, those that an upstream was asked for.
    pub from_upstream: u64,
    /// Those that failed: SERVFAIL for want of a useful answer, or because a limit was reached.
    pub failed: u64,
}

/// `GET /api/v1/guard`: names under guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Whether any names are under guard.
    pub enabled: bool,
    /// Names whose addresses are remembered.
    pub watched: u64,
    /// Those that have vanished, by type.
    pub count: u64,
    /// The first thousand of them.
    pub kept: Vec<GuardedName>,
}

/// A name that has vanished, and whose last known addresses are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardedName {
    /// The name.
    pub name: String,
    /// The type of its addresses, `A` or `AAAA`.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Its last known addresses.
    pub addresses: Vec<String>,
    /// What is said of it: `NXDOMAIN`, `no data` or `fails validation`.
    pub said: String,
    /// The route over which that was said.
    pub by: String,
    /// How long it has been gone, in seconds.
    pub gone_for: f64,
    /// For how long it is kept from now, in seconds.
    pub left: f64,
    /// Answers that were given meanwhile.
    pub given: u64,
}

/// Why a request came to nothing: the body of every answer that is not 200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// In a sentence, with what to do.
    pub error: String,
}
