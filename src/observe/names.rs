//! The one table of metric series.
//!
//! Names follow the Prometheus conventions: base units, `_total` on counters, no label repeated in
//! a name. The `process_` series are named as every Prometheus client names them. A histogram's `_count` is the counter of what it measures, so none is kept beside it
//! unless it says more. `docs/metrics.md` lists the same series; a test holds the two together.

/// What kind of series a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count of durations in seconds.
    Histogram,
}

impl Kind {
    /// The kind as the exposition's TYPE line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, in the order that values are given in.
    pub labels: &'static [&'static str],
    /// Its HELP line.
    pub help: &'static str,
}

macro_rules! series {
    ($( $ident:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal; )+) => {
        $(
            #[doc = $help]
            pub const $ident: Series = Series {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// Every series, in the order of the documentation.
        pub const ALL: &[&Series] = &[$(&$ident),+];
    };
}

series! {
    QUERIES = Counter "byway_queries_total" ["listener", "transport", "result"]
        "Queries answered.";
    ANSWERS = Counter "byway_answers_total" ["type", "rcode"]
        "Answers sent, by the type asked for and the response code.";
    QUERY_DURATION = Histogram "byway_query_duration_seconds" ["source"]
        "Time from reading a query to handing its answer to the kernel.";
    DROPPED = Counter "byway_dropped_total" ["reason"]
        "Datagrams, queries and connections dropped without an answer.";
    QUEUE_DROPS = Counter "byway_receive_queue_drops_total" ["listener"]
        "Datagrams that the kernel dropped because the listener's receive queue was full.";
    TRUNCATED = Counter "byway_truncated_answers_total" []
        "Answers sent over UDP with TC set, because they did not fit.";
    QUESTIONS_IN_FLIGHT = Gauge "byway_questions_in_flight" []
        "Distinct questions being asked upstream.";
    WAITING_CLIENTS = Gauge "byway_waiting_clients" []
        "Queries that wait for an answer from upstream.";
    FOLLOWERS = Gauge "byway_followers" []
        "Waiting queries whose question another query had asked already.";
    COALESCED = Counter "byway_coalesced_queries_total" []
        "Queries that joined an identical question in flight instead of asking it again.";
    DROPPED_RECORDS = Counter "byway_dropped_records_total" ["reason"]
        "Records of upstreams' responses that were neither kept nor passed on.";
    CHASED = Counter "byway_chased_aliases_total" []
        "Ends of alias chains that were asked for, because the upstreams had left them out.";
    DENIED_ABOVE = Counter "byway_denied_above_total" []
        "Queries answered without asking, because a name above theirs does not exist (RFC 8020).";
    DNS64 = Counter "byway_dns64_questions_total" []
        "Questions for IPv6 addresses of names that have none, for which they were made of IPv4 ones if there are such (DNS64, RFC 6147).";
    FELL_THROUGH = Counter "byway_fell_through_total" []
        "Questions that a zone's upstreams could not answer and that were asked of those of all other names (`fall-through`).";
    REBINDING = Counter "byway_rebinding_refused_total" []
        "Answers with private addresses that were kept from clients, because the zone forbids them.";
    TCP_CONNECTIONS = Gauge "byway_tcp_connections" []
        "TCP connections open from clients.";
    TCP_ACCEPTED = Counter "byway_tcp_connections_accepted_total" []
        "TCP connections accepted from clients.";
    TLS_HANDSHAKES = Counter "byway_tls_handshakes_total" ["result"]
        "TLS handshakes with clients, by how they ended.";
    CERTIFICATE_EXPIRY = Gauge "byway_certificate_expiry_timestamp_seconds" []
        "When the first of the certificates that clients are shown ends, in seconds since the Unix epoch.";
    LIMIT = Gauge "byway_limit" ["limit"]
        "The configured limits.";
    LIMIT_REACHED = Counter "byway_limit_reached_total" ["limit", "client"]
        "Times that a configured limit turned something away or made it wait, by where the client was that met it.";

    CACHE_LOOKUPS = Counter "byway_cache_lookups_total" ["result"]
        "Cache look-ups for clients' questions: hit, stale (held, past its TTL) or miss.";
    CACHE_ENTRIES = Gauge "byway_cache_entries" []
        "Answers held in the cache.";
    CACHE_BYTES = Gauge "byway_cache_bytes" []
        "Bytes the cache holds, its own bookkeeping included.";
    CACHE_CAPACITY = Gauge "byway_cache_capacity_bytes" []
        "Bytes the cache may hold.";
    CACHE_EVICTIONS = Counter "byway_cache_evictions_total" ["cause"]
        "Entries that left the cache.";
    STALE_ANSWERS = Counter "byway_stale_answers_total" ["reason"]
        "Answers served past their TTL, by why no fresh one was.";
    REFRESHES = Counter "byway_refreshes_total" ["result"]
        "Refreshes of popular entries ahead of their expiry.";
    RENEWALS = Counter "byway_renewals_total" ["result"]
        "Entries asked for anew after they were served stale at once.";
    FAILURE_CACHE_HITS = Counter "byway_failure_cache_hits_total" []
        "Queries answered from a remembered failure (RFC 9520).";
    GUARD_KEPT = Gauge "byway_guard_kept" []
        "Names under guard, by type, that have vanished and whose last known addresses are given.";
    GUARD_WATCHED = Gauge "byway_guard_watched" []
        "Names under guard whose addresses are remembered.";
    GUARD_NAMES = Counter "byway_guard_names_total" ["event"]
        "What became of names under guard: vanished, returned, expired (let go at the end of the time for which it is kept), released (by the operator) or shrunk (under its floor).";
    SNAPSHOT_AGE = Gauge "byway_snapshot_age_seconds" []
        "Time since the cache snapshot on disk was written.";
    SNAPSHOT_BYTES = Gauge "byway_snapshot_bytes" []
        "Size of the cache snapshot on disk.";
    SNAPSHOT_ENTRIES = Gauge "byway_snapshot_entries" []
        "Answers in the cache snapshot on disk.";
    SNAPSHOT_FAILING = Gauge "byway_snapshot_failing" []
        "1 while the cache snapshot cannot be written: the last attempt failed.";
    SNAPSHOT_WRITES = Counter "byway_snapshot_writes_total" ["result"]
        "Attempts to write the cache snapshot: written or failed.";

    ATTEMPTS = Counter "byway_attempts_total" ["upstream", "path", "outcome"]
        "Attempts ended, by what they came to.";
    ATTEMPT_DURATION = Histogram "byway_attempt_duration_seconds" ["upstream", "path"]
        "Round trips of attempts that were answered, those that came late or lost the race included.";
    ATTEMPTS_SENT = Counter "byway_attempts_sent_total" ["upstream", "path", "kind"]
        "Attempts sent, by why they were made.";
    HEDGES = Counter "byway_hedges_total" ["result"]
        "Hedges: won, lost (another attempt answered first) or denied (no budget).";
    RETRIES = Counter "byway_retries_total" ["result"]
        "Retries: won, lost (another attempt answered first, or none did) or denied (no budget).";
    MISMATCHES = Counter "byway_mismatched_responses_total" ["upstream", "path", "reason"]
        "Datagrams on upstream sockets that do not match the query sent: ignored.";
    EDNS_FALLBACKS = Counter "byway_edns_fallbacks_total" ["upstream", "path"]
        "Queries asked again without EDNS because the upstream does not understand it.";
    LOOPS = Counter "byway_forwarding_loops_total" []
        "Times that an upstream was found to forward to this very byway.";
    UPSTREAM_SOCKETS = Gauge "byway_upstream_sockets" []
        "UDP sockets open towards upstreams.";
    UPSTREAM_CONNECTIONS = Gauge "byway_upstream_connections" []
        "TCP connections open to upstreams.";

    ROUTE_VERDICT = Gauge "byway_route_verdict" ["upstream", "path", "verdict"]
        "1 for the verdict that the route has, 0 for the others.";
    ROUTE_BASE = Gauge "byway_route_base_seconds" ["upstream", "path"]
        "Lowest round trip of the last minutes: the route without queues.";
    ROUTE_EXCESS = Gauge "byway_route_excess_seconds" ["upstream", "path"]
        "What the fast half of recent round trips takes over the base: the queue on the way.";
    ROUTE_LOSS = Gauge "byway_route_loss_ratio" ["upstream", "path"]
        "Share of the last minute's attempts without an answer in the route's own time, 0 to 1.";
    ROUTE_LAST_ANSWER = Gauge "byway_route_last_answer_age_seconds" ["upstream", "path"]
        "Time since the route's last useful answer.";
    ROUTE_IN_FLIGHT = Gauge "byway_route_in_flight" ["upstream", "path"]
        "Attempts under way on the route.";
    ROUTE_LIMIT = Gauge "byway_route_in_flight_limit" ["upstream", "path"]
        "The route's adaptive limit on attempts under way.";
    ROUTE_TCP_RETRANSMITS = Counter "byway_route_tcp_retransmits_total" ["upstream", "path"]
        "Segments that the kernel sent again on the route's TCP connections.";
    ROUTE_TCP_ROUND_TRIP = Gauge "byway_route_tcp_round_trip_seconds" ["upstream", "path"]
        "The kernel's smoothed round trip on the route's TCP connection that was looked at last.";
    PATH_MISSING = Gauge "byway_path_missing" ["path"]
        "1 while the path cannot be used: its interface or source address is not on this host, or has no carrier.";
    EVACUATIONS = Counter "byway_evacuations_total" ["path", "cause"]
        "Times that all traffic left a path at once.";
    TROUBLE = Gauge "byway_trouble" ["scope"]
        "Troubles that go on now.";
    TROUBLES = Counter "byway_troubles_total" ["scope"]
        "Troubles that have begun: what clients would feel but for what byway does about it, each told once.";
    BUDGET = Gauge "byway_budget_tokens" ["budget"]
        "Extra attempts that each budget would pay for now.";
    AMPLIFICATION = Gauge "byway_amplification_ratio" []
        "Attempts sent per question that needed one, over the last minute.";

    BUILD_INFO = Gauge "byway_build_info" ["version", "commit"]
        "Always 1; the labels say what runs.";
    RECORDER_ON_DISK = Gauge "byway_recorder_on_disk" []
        "1 while the flight recorder writes to its file, 0 while it keeps the last hour in memory.";
    RECORDER_FRAMES = Counter "byway_recorder_frames_total" ["kept"]
        "Frames that the flight recorder made, by where they are kept.";
    QUERY_LOG = Counter "byway_query_log_answers_total" ["kept"]
        "Answers of the query log: written to its file or its reader (`file`), or lost.";
    RELOADS = Counter "byway_config_reloads_total" ["result"]
        "Times that the configuration was read anew: applied or refused.";
    RELOAD_SUCCESSFUL = Gauge "byway_config_last_reload_successful" []
        "1 unless the last reload was refused.";
    RELOAD_TIMESTAMP = Gauge "byway_config_last_reload_success_timestamp_seconds" []
        "When the configuration that holds was read, in seconds since the Unix epoch.";
    LINK_DOMAINS = Gauge "byway_link_domains" []
        "Domains of this host's links that are zones.";
    LINKS_LEFT_OUT = Gauge "byway_link_entries_left_out" []
        "Files, servers and domains of this host's links that could not be used when they were last read.";
    WORKERS = Gauge "byway_workers" []
        "Workers started.";
    EVENTS_LOST = Counter "byway_events_lost_total" []
        "Routing events that were dropped because nobody had taken them.";
    VISITS = Counter "byway_watch_connections_total" ["end"]
        "Connections to the admin address and the control socket, by how they ended.";
    LOG_LINES_LOST = Counter "byway_log_lines_lost_total" []
        "Lines of the log that could not be written, or came faster than they are read.";
    PANICS = Counter "byway_panics_total" []
        "Panics: defects of byway, each of which cost a question or more.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "User and system CPU time used.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Memory in RAM.";
    PROCESS_FDS = Gauge "process_open_fds" []
        "File descriptors open.";
    PROCESS_FDS_MAX = Gauge "process_max_fds" []
        "File descriptors that may be open.";
    PROCESS_STARTED = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since the Unix epoch.";
}

#[cfg(test)]
mod tests;
