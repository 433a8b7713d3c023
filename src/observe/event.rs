//! The closed list of what byway tells an operator.
//!
//! Every change of mind is an [`Event`] that carries the evidence it rests on, so that the log, the
//! metrics and the record on disk all say the same thing, and say it in one line. Events are rare:
//! their text is made when they are read, never on a query's way.
//!
//! Doubt is cheap and is nobody's alarm, so most changes of mind are a [`Gravity::Detail`]. What an operator is told
//! of is a *trouble* ([`trouble`](super::trouble)): once when it has begun ([`Event::Trouble`]) and once when it is over
//! ([`Event::TroubleOver`]), with how long it took and what it cost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use super::evidence::Evidence;
use super::labels::Client;
use super::said::Said;
use super::trouble::{Begun, Over};

mod words;

/// What is believed of a route, a path or an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Answers as it did in health.
    #[default]
    Clear,
    /// Has not answered for long, or never: nothing is known of it, good or bad.
    Unknown,
    /// Something is off; others are preferred while that is looked into.
    Suspect,
    /// Was in trouble, has earned its way back and takes a growing share.
    Recovering,
    /// Loses packets or holds them in a queue.
    Congested,
    /// Its server answers uselessly, or slowly over every path.
    Sick,
    /// Answers nothing.
    Dead,
}

impl Verdict {
    /// Every verdict, mildest first.
    pub const ALL: [Verdict; 7] = [
        Verdict::Clear,
        Verdict::Unknown,
        Verdict::Suspect,
        Verdict::Recovering,
        Verdict::Congested,
        Verdict::Sick,
        Verdict::Dead,
    ];

    /// The word for it in logs, metrics and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Clear => "clear",
            Verdict::Suspect => "suspect",
            Verdict::Recovering => "recovering",
            Verdict::Congested => "congested",
            Verdict::Sick => "sick",
            Verdict::Dead => "dead",
            Verdict::Unknown => "unknown",
        }
    }

    /// Neither in trouble nor doubted.
    pub const fn is_clear(self) -> bool {
        matches!(self, Verdict::Clear)
    }

    /// Found guilty: no longer merely doubted.
    pub const fn is_bad(self) -> bool {
        matches!(self, Verdict::Congested | Verdict::Sick | Verdict::Dead)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whom an event is about, by the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One upstream over one path.
    Route(Arc<str>),
    /// A way out of this host.
    Path(Arc<str>),
    /// A resolver.
    Upstream(Arc<str>),
    /// A name that clients ask for.
    Name(Arc<str>),
}

impl Subject {
    /// The operator's name.
    pub fn name(&self) -> &str {
        match self {
            Subject::Route(name)
            | Subject::Path(name)
            | Subject::Upstream(name)
            | Subject::Name(name) => name,
        }
    }

    /// `route`, `path`, `upstream` or `name`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Subject::Route(_) => "route",
            Subject::Path(_) => "path",
            Subject::Upstream(_) => "upstream",
            Subject::Name(_) => "name",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// What a verdict on a route follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The route's own record.
    Own,
    /// The path, because more than this route fares badly over it, or this server fares well elsewhere.
    Path,
    /// The server, because it fares badly over every path that others fare well over.
    Upstream,
}

/// Who wants to know of an event, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// Whoever asks why: logged as `debug`, shown by `byway events --verbose`.
    Detail,
    /// Whoever reads the log afterwards: `info`.
    News,
    /// Whoever can help: `warn`.
    Warning,
}

/// Something an operator should be able to read afterwards.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A verdict changed.
    Verdict {
        /// Of whom.
        subject: Subject,
        /// What was believed.
        from: Verdict,
        /// What is believed now.
        to: Verdict,
        /// Why.
        evidence: Evidence,
    },
    /// A trouble that clients would feel, but for what byway does about it: told once, a second after it began to
    /// show, so that it is known whom it is blamed on. It goes on until the [`Event::TroubleOver`] of the same number;
    /// one that a later trouble explains ([`Begun::explains`]) has no end of its own.
    Trouble(Box<Begun>),
    /// It is over: things have been well for a while. How long it took and what it cost.
    TroubleOver(Box<Over>),
    /// All traffic left a path because the path is the trouble.
    Evacuated {
        /// The path's name.
        path: Arc<str>,
        /// What it is accused of.
        verdict: Verdict,
        /// Routes over it, those never measured included.
        routes: usize,
        /// Why.
        evidence: Evidence,
    },
    /// An evacuated path carries traffic again.
    Returned {
        /// The path's name.
        path: Arc<str>,
        /// How long it was left alone.
        away: Duration,
        /// What it showed.
        evidence: Evidence,
    },
    /// No route is clear: the ceiling on packets holds from now on.
    NothingClear {
        /// The zone whose upstreams these are; `None` for those of all other names.
        pool: Option<Arc<str>>,
        /// Packets a second that may go upstream now.
        ceiling: u64,
    },
    /// Some route is clear again.
    ClearAgain {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
        /// How long none was.
        after: Duration,
    },
    /// Every route is dead: only probes go out, and questions fail at once.
    Outage {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
    },
    /// Something answers again.
    OutageOver {
        /// As of [`Event::NothingClear`].
        pool: Option<Arc<str>>,
        /// How long nothing did.
        after: Duration,
    },
    /// A route has brought no useful answer to the first questions after the start.
    FirstRound {
        /// The route's name.
        route: Arc<str>,
        /// What came in its place.
        said: Said,
        /// What brought it: "the start" or "the reload".
        after: &'static str,
    },
    /// The configuration was read anew and holds.
    Reloaded {
        /// What that has changed.
        what: String,
    },
    /// The configuration was read anew and is not used.
    ReloadRefused {
        /// What is wrong with it.
        why: String,
    },
    /// It has brought one since.
    FirstAnswer {
        /// The route's name.
        route: Arc<str>,
    },
    /// The operator took something out of use.
    Drained {
        /// What.
        subject: Subject,
        /// Who did it.
        by: Arc<str>,
        /// For how long; until it is put back if that was not said.
        lasts: Option<Duration>,
    },
    /// The operator, or the end of the time that was set, put it back.
    Restored {
        /// What.
        subject: Subject,
        /// Who did it.
        by: Arc<str>,
    },
    /// A path cannot be used: its interface or source address is not on this host.
    PathLost {
        /// The path's name.
        path: Arc<str>,
        /// What is missing.
        why: String,
        /// It was so at the start, and the log says so already.
        at_start: bool,
    },
    /// It can be used again.
    PathFound {
        /// The path's name.
        path: Arc<str>,
    },
    /// An upstream forwards to this very byway: it is not asked until it does not.
    LoopFound {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It does not any more.
    LoopOver {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// A route has become longer for good rather than fuller: steady, no loss, for minutes.
    Rebased {
        /// The route's name.
        route: Arc<str>,
        /// Its old base.
        from: Duration,
        /// Its new base.
        to: Duration,
    },
    /// An upstream does not understand EDNS(0) and is asked without it for a while (RFC 6891 section 6.2.2).
    EdnsRefused {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It does speak EDNS after all.
    EdnsSpoken {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// An upstream fails for names in mixed letter case and is asked in plain case for a while.
    MixedCaseRefused {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It bears them after all.
    MixedCaseBorne {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// Datagrams came that match but for the name's letter case: guesses, or a server that changes names.
    NearMisses {
        /// The upstream they seem to come from.
        upstream: Arc<str>,
        /// How many since this was last told.
        count: u64,
    },
    /// A name under guard that had addresses suddenly has none: its last known ones are given for a while.
    NameVanished {
        /// Which disappearance since the start.
        number: u64,
        /// The name.
        name: Arc<str>,
        /// The type of its addresses, A or AAAA.
        record_type: String,
        /// What was said of it: `NXDOMAIN`, `no data`, `fails validation`.
        said: &'static str,
        /// The route over which that was said.
        by: Arc<str>,
        /// How many addresses it had.
        addresses: usize,
        /// How long it has been gone: more than nothing after a restart.
        since: Duration,
        /// For how long they are given from now.
        keep: Duration,
    },
    /// It has addresses again.
    NameReturned {
        /// As of [`Event::NameVanished`].
        number: u64,
        /// The name.
        name: Arc<str>,
        /// The type of its addresses.
        record_type: String,
        /// How long it had none.
        after: Duration,
        /// How many answers were given meanwhile.
        given: u64,
    },
    /// Its addresses are not given any more, and it has none.
    NameLetGo {
        /// As of [`Event::NameVanished`].
        number: u64,
        /// The name.
        name: Arc<str>,
        /// The type of its addresses.
        record_type: String,
        /// How long they were given.
        after: Duration,
        /// How many answers that were.
        given: u64,
        /// Who wanted that; `None` if its time was over.
        by: Option<Arc<str>>,
    },
    /// A name under guard suddenly has fewer addresses than its floor allows.
    NameShrunk {
        /// The name.
        name: Arc<str>,
        /// The type of its addresses.
        record_type: String,
        /// How many it has usually.
        usual: f64,
        /// How many it has now.
        now: usize,
    },
    /// A configured bound was reached; told again only after it was left for a while.
    LimitReached {
        /// The configuration key.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// By whom, most of all.
        by: Client,
        /// The one who meets it most, where clients are told apart.
        most: Option<String>,
        /// Who meets it waits; otherwise it is turned away.
        waits: bool,
    },
}

impl Event {
    /// Its kind, one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::Verdict { .. } => "verdict",
            Event::Trouble(_) => "trouble",
            Event::TroubleOver(_) => "trouble-over",
            Event::Evacuated { .. } => "evacuated",
            Event::Returned { .. } => "returned",
            Event::NothingClear { .. } => "nothing-clear",
            Event::ClearAgain { .. } => "clear-again",
            Event::Outage { .. } => "outage",
            Event::OutageOver { .. } => "outage-over",
            Event::FirstRound { .. } => "first-round",
            Event::FirstAnswer { .. } => "first-answer",
            Event::Reloaded { .. } => "reloaded",
            Event::ReloadRefused { .. } => "reload-refused",
            Event::Drained { .. } => "drained",
            Event::Restored { .. } => "restored",
            Event::PathLost { .. } => "path-lost",
            Event::PathFound { .. } => "path-found",
            Event::Rebased { .. } => "rebased",
            Event::EdnsRefused { .. } => "edns-refused",
            Event::EdnsSpoken { .. } => "edns-spoken",
            Event::MixedCaseRefused { .. } => "mixed-case-refused",
            Event::MixedCaseBorne { .. } => "mixed-case-borne",
            Event::NearMisses { .. } => "near-misses",
            Event::LoopFound { .. } => "loop-found",
            Event::LoopOver { .. } => "loop-over",
            Event::NameVanished { .. } => "name-vanished",
            Event::NameReturned { .. } => "name-returned",
            Event::NameLetGo { .. } => "name-let-go",
            Event::NameShrunk { .. } => "name-shrunk",
            Event::LimitReached { .. } => "limit-reached",
        }
    }

    /// Who wants to know of it.
    pub fn gravity(&self) -> Gravity {
        match self {
            Event::Trouble(begun) if begun.said => Gravity::Detail,
            Event::Trouble(_)
            | Event::LoopFound { .. }
            | Event::EdnsRefused { .. }
            | Event::MixedCaseRefused { .. }
            | Event::NearMisses { .. }
            | Event::ReloadRefused { .. }
            | Event::NameVanished { .. }
            | Event::NameShrunk { .. }
            | Event::NameLetGo { by: None, .. }
            | Event::LimitReached { waits: false, .. } => Gravity::Warning,
            Event::FirstRound { said, .. } if said.is_servers() => Gravity::News,
            Event::TroubleOver(_)
            | Event::NameReturned { .. }
            | Event::NameLetGo { by: Some(_), .. }
            | Event::Drained { .. }
            | Event::Restored { .. }
            | Event::Reloaded { .. }
            | Event::Rebased { .. }
            | Event::EdnsSpoken { .. }
            | Event::MixedCaseBorne { .. }
            | Event::LimitReached { waits: true, .. }
            | Event::LoopOver { .. } => Gravity::News,
            Event::Verdict { .. }
            | Event::Evacuated { .. }
            | Event::Returned { .. }
            | Event::NothingClear { .. }
            | Event::ClearAgain { .. }
            | Event::Outage { .. }
            | Event::OutageOver { .. }
            | Event::FirstRound { .. }
            | Event::FirstAnswer { .. }
            | Event::PathLost { .. }
            | Event::PathFound { .. } => Gravity::Detail,
        }
    }

    /// Whom it is about, if anybody.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Event::Verdict { subject, .. }
            | Event::Drained { subject, .. }
            | Event::Restored { subject, .. } => Some(subject.clone()),
            Event::Trouble(begun) => begun.culprit.subject().cloned(),
            Event::TroubleOver(over) => over.culprit.subject().cloned(),
            Event::Evacuated { path, .. }
            | Event::Returned { path, .. }
            | Event::PathLost { path, .. }
            | Event::PathFound { path } => Some(Subject::Path(path.clone())),
            Event::Rebased { route, .. }
            | Event::FirstRound { route, .. }
            | Event::FirstAnswer { route } => Some(Subject::Route(route.clone())),
            Event::EdnsRefused { upstream }
            | Event::EdnsSpoken { upstream }
            | Event::MixedCaseRefused { upstream }
            | Event::MixedCaseBorne { upstream }
            | Event::LoopFound { upstream }
            | Event::LoopOver { upstream }
            | Event::NearMisses { upstream, .. } => Some(Subject::Upstream(upstream.clone())),
            Event::NameVanished { name, .. }
            | Event::NameReturned { name, .. }
            | Event::NameLetGo { name, .. }
            | Event::NameShrunk { name, .. } => Some(Subject::Name(name.clone())),
            Event::NothingClear { .. }
            | Event::ClearAgain { .. }
            | Event::Outage { .. }
            | Event::OutageOver { .. }
            | Event::Reloaded { .. }
            | Event::ReloadRefused { .. }
            | Event::LimitReached { .. } => None,
        }
    }
}

impl Event {
    /// The zone of the configuration whose routes it speaks of, where it is not those of everything.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Event::NothingClear { pool, .. }
            | Event::ClearAgain { pool, .. }
            | Event::Outage { pool }
            | Event::OutageOver { pool, .. } => pool.as_deref(),
            Event::Trouble(begun) => begun.culprit.zone(),
            Event::TroubleOver(over) => over.culprit.zone(),
            _ => None,
        }
    }
}
