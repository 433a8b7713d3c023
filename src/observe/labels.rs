//! The closed lists of label values.
//!
//! Every label whose value does not come from the configuration is one of these enums, so the
//! number of series is known in advance and a client can add none. The meaning beside each
//! variant is what `docs/metrics.md` prints; a test holds the two together.

mod from;

pub use super::event::Verdict;
use super::names::{self, Series};
use crate::config::Limits;

/// A closed list of label values.
pub trait Label: Copy + Sized + 'static {
    /// All values with, for the documentation, their meanings.
    const VALUES: &'static [(&'static str, &'static str)];
    /// Every value, in the order of the declaration.
    const ALL: &'static [Self];

    /// The value as it stands in the exposition.
    fn as_str(self) -> &'static str;
    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($(
        $(#[$meta:meta])*
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $text:literal, )+ }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $name {
            /// How many values there are.
            pub const COUNT: usize = [$($text),+].len();
        }

        impl Label for $name {
            const VALUES: &'static [(&'static str, &'static str)] =
                &[$(($text, concat!($($doc),+).trim_ascii())),+];
            const ALL: &'static [$name] = &[$($name::$variant),+];

            fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }
    )+ };
}

labels! {
    /// How a query reached a listener.
    Transport {
        /// A datagram.
        Udp = "udp",
        /// A message on a TCP connection.
        Tcp = "tcp",
        /// A message on a TCP connection that is encrypted (RFC 7858).
        Tls = "tls",
    }

    /// How much a trouble is about. One that explains others covers them.
    Scope {
        /// Nobody answers usefully: names that are not known already do not resolve.
        Outage = "outage",
        /// Some answer, and no route is clear.
        NothingClear = "nothing-clear",
        /// A path, over which several upstreams fare badly, or that is not there.
        Path = "path",
        /// An upstream, which fares badly over every path.
        Upstream = "upstream",
        /// One upstream over one path.
        Route = "route",
    }

    /// How a query was answered. Every answer sent counts once.
    QueryResult {
        /// From the cache, within its TTL.
        Hit = "hit",
        /// From the cache, past its TTL (RFC 8767).
        Stale = "stale",
        /// With what an upstream said now.
        Miss = "miss",
        /// By byway itself, of what is configured or special: nobody is asked for such names.
        Local = "local",
        /// SERVFAIL made here: no upstream gave a usable answer in time, or that is remembered (RFC 9520).
        Failed = "failed",
        /// SERVFAIL made here at once, because a limit of byway's own was reached; or an answer cut off at
        /// `udp-answers-per-client`.
        Shed = "shed",
        /// REFUSED: the client is not in `allow`, or asked for what is not served, such as a zone transfer.
        Refused = "refused",
        /// Not a plain query: FORMERR, NOTIMP, BADVERS, or the short answer to ANY (RFC 8482).
        Rejected = "rejected",
    }

    /// The type of record that a client asked for.
    AskedType {
        /// IPv4 addresses.
        A = "A",
        /// IPv6 addresses.
        Aaaa = "AAAA",
        /// How to reach a web server (RFC 9460).
        Https = "HTTPS",
        /// How to reach another service (RFC 9460).
        Svcb = "SVCB",
        /// The name of an address.
        Ptr = "PTR",
        /// The servers of a service (RFC 2782).
        Srv = "SRV",
        /// Text.
        Txt = "TXT",
        /// Mail exchanges.
        Mx = "MX",
        /// Name servers.
        Ns = "NS",
        /// The start of a zone.
        Soa = "SOA",
        /// An alias.
        Cname = "CNAME",
        /// A delegation signer (RFC 4034).
        Ds = "DS",
        /// A zone's key (RFC 4034).
        Dnskey = "DNSKEY",
        /// Whatever there is (RFC 8482).
        Any = "ANY",
        /// Any other type, or a question that cannot be read.
        Other = "other",
    }

    /// The response code of an answer to a client.
    AnswerRcode {
        /// An answer, or no data of this type.
        Noerror = "NOERROR",
        /// The name does not exist.
        Nxdomain = "NXDOMAIN",
        /// No answer was to be had.
        Servfail = "SERVFAIL",
        /// The client is not served, or not with this.
        Refused = "REFUSED",
        /// The query cannot be read.
        Formerr = "FORMERR",
        /// No such kind of query is served.
        Notimp = "NOTIMP",
        /// The query's EDNS version is unknown.
        Badvers = "BADVERS",
        /// Any other that an upstream gave.
        Other = "other",
    }

    /// Where an answer came from.
    Source {
        /// The cache, within the TTL.
        Cache = "cache",
        /// The cache, past the TTL.
        Stale = "stale",
        /// An upstream, asked for this question.
        Upstream = "upstream",
        /// byway itself: special names, failures, refusals and rejections.
        Local = "local",
    }

    /// Why a datagram, a query or a connection was dropped without an answer.
    Drop {
        /// Shorter than a DNS header.
        Short = "short",
        /// A response, not a query (QR set): answering could start a loop.
        Response = "response",
        /// From an address or port that cannot be answered, such as port 0.
        Source = "source",
        /// A datagram larger than the receive buffer.
        Oversize = "oversize",
        /// More answers over UDP than one client gets whose address no cookie proves.
        Unproven = "unproven",
        /// The kernel did not take the answer.
        Send = "send",
        /// The client closed its connection before its answer was ready.
        Gone = "gone",
        /// A TCP client did not finish its TLS handshake or its query, or did not take its answers, in time.
        Stalled = "stalled",
        /// A limit on TCP connections closed the connection.
        Connections = "connections",
        /// A TCP connection from an address outside `allow`.
        Stranger = "stranger",
    }

    /// A limit of the configuration's `[limits]` section that turns away or makes wait. (The one on a
    /// route's attempts is the ceiling of a limit that adapts; see `byway_route_in_flight_limit`.)
    Limit {
        /// Distinct questions in flight upstream.
        Questions = "questions",
        /// Clients waiting for answers.
        Waiting = "waiting",
        /// Clients waiting for the answer to one question.
        WaitingPerQuestion = "waiting-per-question",
        /// Queries of one client that wait for answers.
        WaitingPerClient = "waiting-per-client",
        /// New names a second that one client asks for.
        NewNamesPerClient = "new-names-per-client",
        /// Answers a second over UDP to one client whose address no cookie proves.
        UdpAnswersPerClient = "udp-answers-per-client",
        /// Names under `[[guard]]` whose addresses are remembered.
        GuardedNames = "guarded-names",
        /// UDP sockets open towards upstreams, per worker.
        UpstreamSockets = "upstream-sockets",
        /// TCP connections kept to one route, per worker.
        UpstreamConnections = "upstream-connections",
        /// TCP connections accepted in all.
        TcpConnections = "tcp-connections",
        /// TCP connections accepted from one client address.
        TcpConnectionsPerClient = "tcp-connections-per-client",
        /// Queries in flight on one TCP connection.
        TcpPipeline = "tcp-pipeline",
        /// Bytes of answers that TCP clients have not taken, in all.
        TcpAnswers = "tcp-answers",
    }

    /// Where the client is that met a limit.
    Client {
        /// On this host.
        Loopback = "loopback",
        /// In a private or link-local network (RFC 1918, RFC 4193, RFC 6598, RFC 3927, RFC 4291).
        Private = "private",
        /// Anywhere else.
        Public = "public",
        /// No client's doing: byway asks for its own sake, or all of its questions together.
        Own = "own",
    }

    /// What one attempt came to.
    Outcome {
        /// A usable answer, NXDOMAIN and NODATA among them.
        Answered = "answered",
        /// SERVFAIL, REFUSED or another rcode that helps nobody.
        Poor = "poor",
        /// NOERROR with nothing that answers the question: a referral, other records, or nothing at all from a
        /// server that does not recurse.
        Lame = "lame",
        /// Aliases whose end is missing.
        Unfinished = "unfinished",
        /// Truncated (TC): asked again over a stream.
        Truncated = "truncated",
        /// Only datagrams that do not match the query sent came back.
        Mismatched = "mismatched",
        /// A matching response that cannot be read.
        Garbled = "garbled",
        /// No response by the attempt's own deadline.
        TimedOut = "timed-out",
        /// The kernel or an ICMP error says that nothing listens there, or there is no way.
        Unreachable = "unreachable",
        /// The stream connection could not be made, or was closed before it had carried anything.
        HandshakeFailed = "handshake-failed",
        /// The server did not prove who it is, or speaks no TLS: nothing was asked.
        Untrusted = "untrusted",
        /// The stream connection was closed before the response.
        Closed = "closed",
        /// Not made: this host had no descriptor, source port or memory for it.
        Local = "local",
        /// A usable answer, after another attempt had answered the question.
        Outrun = "outrun",
    }

    /// Why an attempt was made.
    AttemptKind {
        /// A question's first.
        Primary = "primary",
        /// A further one while the one before it had not ended.
        Hedge = "hedge",
        /// One made after another one failed.
        Retry = "retry",
        /// To measure a route that no client waits for.
        Probe = "probe",
        /// To renew a popular cache entry ahead of its expiry.
        Refresh = "refresh",
        /// Over a stream, because the answer over UDP was truncated.
        StreamFallback = "stream-fallback",
    }

    /// In what a datagram on an upstream socket does not match the query sent (RFC 5452 section 9).
    Mismatch {
        /// Another ID.
        Id = "id",
        /// Another question.
        Question = "question",
        /// The question, in other letter case than was sent (0x20).
        Case = "case",
        /// Not a DNS response that can be read.
        Garbled = "garbled",
    }

    /// Why all traffic left a path at once.
    Evacuation {
        /// Its routes are congested together.
        Congested = "congested",
        /// None of its routes answers.
        Dead = "dead",
        /// Its interface or source address vanished.
        Lost = "lost",
        /// The operator drained it.
        Drained = "drained",
    }

    /// How a connection to the watch ended: the admin address, or the control socket.
    Visit {
        /// With an answer.
        Answered = "answered",
        /// A newer one took its place, for so many were open.
        Displaced = "displaced",
        /// It did not ask, or did not take its answer, in time.
        Stalled = "stalled",
        /// It broke, or what came over it was no request, or one too large.
        Broken = "broken",
    }

    /// Why an entry left the cache.
    Eviction {
        /// Past its TTL by more than `stale-max`: nothing was lost.
        Expired = "expired",
        /// To make room; nobody had asked for it again.
        Unasked = "unasked",
        /// To make room; it was asked for less than what is protected.
        Outweighed = "outweighed",
        /// Out of the protected ones, to make room for one asked for more, or for a large answer.
        Displaced = "displaced",
    }
}

macro_rules! feeders {
    ($(
        $(#[$meta:meta])*
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $series:ident $($text:literal)?, )+ }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $name {
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($variant)),+].len();
            /// Every one, in the order of the declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The series it feeds, and the value of that series' one label if it has one.
            pub fn feeds(self) -> (&'static Series, &'static [&'static str]) {
                match self { $($name::$variant => (&names::$series, &[$($text)?])),+ }
            }

            /// What it counts, for the documentation.
            pub fn meaning(self) -> &'static str {
                match self { $($name::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    )+ };
}

feeders! {
    /// Everything a worker counts that has no more than one label of its own.
    Counter {
        /// The cache held a fresh answer.
        CacheHit = CACHE_LOOKUPS "hit",
        /// The cache held an answer past its TTL, whether or not it was then served.
        CacheStale = CACHE_LOOKUPS "stale",
        /// The cache held nothing.
        CacheMiss = CACHE_LOOKUPS "miss",
        /// Served stale at once, because no fresh answer was to be had in time.
        StaleNothingClear = STALE_ANSWERS "nothing-clear",
        /// Served stale, because the fresh answer took longer than a hedge does.
        StaleSlow = STALE_ANSWERS "slow",
        /// Served stale, because the upstreams failed on the question, or had when it was last asked.
        StaleFailed = STALE_ANSWERS "failed",
        /// Kept by `[[guard]]`, because upstreams say that the name, which had addresses, has none any more.
        StaleGuarded = STALE_ANSWERS "guarded",
        /// A refresh brought a new answer.
        RefreshDone = REFRESHES "refreshed",
        /// A refresh brought none.
        RefreshFailed = REFRESHES "failed",
        /// A refresh was due and not made: no budget, or nothing clear.
        RefreshDenied = REFRESHES "denied",
        /// What was served stale was renewed.
        RenewalDone = RENEWALS "renewed",
        /// What was served stale was asked for anew, and nothing came.
        RenewalFailed = RENEWALS "failed",
        /// What was served stale could not be asked for anew: no room, or nobody to ask.
        RenewalDenied = RENEWALS "denied",
        /// Answered from a remembered failure.
        FailureCacheHit = FAILURE_CACHE_HITS,
        /// Joined an identical question in flight.
        Coalesced = COALESCED,
        /// A hedge gave the answer.
        HedgeWon = HEDGES "won",
        /// Another attempt answered before the hedge did, or none did.
        HedgeLost = HEDGES "lost",
        /// A retry gave the answer.
        RetryWon = RETRIES "won",
        /// Another attempt answered before the retry did, or none did.
        RetryLost = RETRIES "lost",
        /// They do not belong to the answer they came with.
        RecordsUnrelated = DROPPED_RECORDS "unrelated",
        /// Their names would have taken too much work, or there was no room for them.
        RecordsCostly = DROPPED_RECORDS "costly",
        /// The end of a chain of aliases was asked for.
        Chased = CHASED,
        /// A name above it does not exist, so it does not either.
        DeniedAbove = DENIED_ABOVE,
        /// IPv6 addresses were to be made of IPv4 ones, for the name has none.
        Dns64 = DNS64,
        /// A zone's upstreams could not answer, and those of all other names were asked.
        FellThrough = FELL_THROUGH,
        /// An answer led to a private address, which its zone forbids.
        RebindingRefused = REBINDING,
        /// An answer over UDP went out with TC set.
        Truncated = TRUNCATED,
        /// A TCP connection was accepted.
        TcpAccepted = TCP_ACCEPTED,
        /// A client has come with TLS for the first time, or again after long.
        HandshakeFull = TLS_HANDSHAKES "full",
        /// A client has come again, with what it was given the last time.
        HandshakeResumed = TLS_HANDSHAKES "resumed",
        /// It came to nothing: the client does not speak TLS, or did not like what it saw.
        HandshakeFailed = TLS_HANDSHAKES "failed",
        /// The client did not finish it in time.
        HandshakeSlow = TLS_HANDSHAKES "slow",
        /// An upstream was found to lead back here.
        LoopFound = LOOPS,
    }

    /// Everything of which a worker has a certain number now. The workers' numbers are added up.
    Gauge {
        /// Distinct questions being asked upstream.
        QuestionsInFlight = QUESTIONS_IN_FLIGHT,
        /// Queries that wait for an answer from upstream.
        WaitingClients = WAITING_CLIENTS,
        /// Those of them whose question another query had asked already.
        Followers = FOLLOWERS,
        /// TCP connections open from clients.
        TcpConnections = TCP_CONNECTIONS,
        /// UDP sockets open towards upstreams.
        UpstreamSockets = UPSTREAM_SOCKETS,
        /// TCP connections open to upstreams.
        UpstreamConnections = UPSTREAM_CONNECTIONS,
    }
}

impl Label for Verdict {
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("clear", "Fit for use."),
        (
            "unknown",
            "Has not answered for long, or never: nothing is known of it.",
        ),
        ("suspect", "First signs of trouble: others are preferred."),
        (
            "recovering",
            "Healed, and taking traffic again in growing shares.",
        ),
        ("congested", "Queues or loss on the way."),
        (
            "sick",
            "The upstream answers uselessly, or slowly over every path.",
        ),
        ("dead", "No answers at all."),
    ];
    const ALL: &'static [Verdict] = &Verdict::ALL;

    fn as_str(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl AttemptKind {
    /// Beyond the one packet that a question needs: paid from a budget.
    pub const fn is_extra(self) -> bool {
        !matches!(self, AttemptKind::Primary | AttemptKind::Refresh)
    }
}

impl Outcome {
    /// Whether something came back that answers the attempt, so that its time is a round trip. The wait for what
    /// was lost is none: it says how patient byway was. A refused connection ends in microseconds; counted as
    /// a round trip it would make a broken route look fast.
    pub fn has_round_trip(self) -> bool {
        match self {
            Outcome::Answered
            | Outcome::Poor
            | Outcome::Lame
            | Outcome::Unfinished
            | Outcome::Truncated
            | Outcome::Garbled
            | Outcome::Outrun => true,
            Outcome::Mismatched
            | Outcome::TimedOut
            | Outcome::Unreachable
            | Outcome::HandshakeFailed
            | Outcome::Untrusted
            | Outcome::Closed
            | Outcome::Local => false,
        }
    }
}

impl QueryResult {
    /// Where an answer of this kind came from.
    pub fn source(self) -> Source {
        match self {
            QueryResult::Hit => Source::Cache,
            QueryResult::Stale => Source::Stale,
            QueryResult::Miss => Source::Upstream,
            QueryResult::Failed
            | QueryResult::Shed
            | QueryResult::Refused
            | QueryResult::Local
            | QueryResult::Rejected => Source::Local,
        }
    }
}

impl Limit {
    /// Whether who meets it only waits, and is not turned away.
    pub fn makes_wait(self) -> bool {
        matches!(
            self,
            Limit::UpstreamSockets | Limit::UpstreamConnections | Limit::TcpPipeline
        )
    }

    /// Whether it is known which client meets it.
    pub fn tells_clients_apart(self) -> bool {
        matches!(
            self,
            Limit::Questions | Limit::Waiting | Limit::WaitingPerClient | Limit::NewNamesPerClient
        )
    }

    /// Who can meet it.
    pub fn met_by(self) -> &'static [Client] {
        match self {
            Limit::UpstreamSockets | Limit::UpstreamConnections | Limit::GuardedNames => {
                &[Client::Own]
            }
            // The system's own limits close connections too, and a refresh needs room among the questions.
            Limit::Questions | Limit::TcpConnections => Client::ALL,
            Limit::Waiting
            | Limit::WaitingPerQuestion
            | Limit::WaitingPerClient
            | Limit::NewNamesPerClient
            | Limit::UdpAnswersPerClient
            | Limit::TcpConnectionsPerClient
            | Limit::TcpPipeline
            | Limit::TcpAnswers => &[Client::Loopback, Client::Private, Client::Public],
        }
    }

    /// What the configuration sets it to.
    pub fn configured(self, limits: &Limits) -> usize {
        match self {
            Limit::Questions => limits.questions,
            Limit::Waiting => limits.waiting,
            Limit::WaitingPerQuestion => limits.waiting_per_question,
            Limit::WaitingPerClient => limits.waiting_per_client,
            Limit::NewNamesPerClient => limits.new_names_per_client,
            Limit::UdpAnswersPerClient => limits.udp_answers_per_client as usize,
            Limit::GuardedNames => limits.guarded_names,
            Limit::UpstreamSockets => limits.upstream_sockets,
            Limit::UpstreamConnections => limits.upstream_connections,
            Limit::TcpConnections => limits.tcp_connections,
            Limit::TcpConnectionsPerClient => limits.tcp_connections_per_client,
            Limit::TcpPipeline => limits.tcp_pipeline,
            Limit::TcpAnswers => limits.tcp_answers,
        }
    }
}
