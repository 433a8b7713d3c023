//! File descriptors: what the process may have open, shared out between upstreams and clients before anything
//! is served, so that clients' connections can never take those that upstreams are asked over.

use std::fs;

use crate::config::{Config, Limits};
use crate::serve::limits::leaving;

/// Beside what is counted: the interfaces' news, the snapshot being written, pages of metrics being read, the
/// runtimes' own.
const FURTHER: usize = 24;

/// A worker's own: its runtime's, the readiness of its upstream sockets, a connection that is being turned away.
const FOR_A_WORKER: usize = 8;

/// Connections that each door of the admin endpoint has at most.
const FOR_THE_WATCH: usize = 64;

/// Its doors: the address, and the control socket.
const DOORS: usize = 2;

/// The limits that fit the process.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) workers: usize,
    pub(super) limits: Limits,
    /// Connections that each door of the admin endpoint may have.
    pub(super) watch: usize,
    /// What was clamped and what to set, if anything was.
    pub(super) warning: Option<String>,
}

/// Those of `config`, for a process that may have `most` files open (`None`: any number) and has `open`.
pub(super) fn share(config: &Config, most: Option<u64>, open: usize) -> Share {
    let wanted = &config.limits;
    let whole = Share {
        workers: config.workers,
        limits: wanted.clone(),
        watch: FOR_THE_WATCH,
        warning: None,
    };
    let Some(most) = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX)) else {
        return whole;
    };
    let routes: usize = config.upstreams.iter().map(|it| it.paths.len()).sum();
    // Each is held a second time, to be handed over.
    let for_a_worker = FOR_A_WORKER + 4 * config.listen.len();
    let own = |workers: usize| open + FURTHER + workers * for_a_worker;
    // A route may have one socket beyond the limit, so that it can be asked at all.
    let upstream = |workers: usize| {
        workers * (wanted.upstream_sockets + routes * (1 + wanted.upstream_connections))
    };
    let clients = |most: usize| most + leaving(most);
    let all = own(config.workers)
        + DOORS * FOR_THE_WATCH
        + upstream(config.workers)
        + clients(wanted.tcp_connections);
    if all <= most {
        return whole;
    }
    // Half of all is for what workers do.
    let fitting = (most / 2).saturating_sub(own(0)) / for_a_worker;
    let workers = config.workers.min(fitting.max(1));
    let up_wanted = upstream(workers);
    let rest = most.saturating_sub(own(workers));
    let watch = (rest / 16).clamp(2, FOR_THE_WATCH);
    let rest = rest.saturating_sub(DOORS * watch);
    // Half for each, and what one of them does not need for the other.
    let for_upstreams =
        up_wanted.min((rest / 2).max(rest.saturating_sub(clients(wanted.tcp_connections))));
    let for_clients = rest.saturating_sub(for_upstreams);
    let mut limits = wanted.clone();
    if for_upstreams < up_wanted {
        let each = for_upstreams / workers;
        let fits = |connections: &usize| routes * (1 + connections) * 2 <= each;
        limits.upstream_connections = (1..=wanted.upstream_connections)
            .rev()
            .find(fits)
            .unwrap_or(1);
        limits.upstream_sockets = each
            .saturating_sub(routes * (1 + limits.upstream_connections))
            .clamp(1, wanted.upstream_sockets);
    }
    limits.tcp_connections =
        (for_clients - leaving(for_clients).min(for_clients)).clamp(1, wanted.tcp_connections);
    limits.tcp_connections_per_client = limits
        .tcp_connections_per_client
        .min(limits.tcp_connections.div_ceil(2));
    let threads = (config.workers, workers);
    let warning = warning(threads, (wanted, &limits), most, all);
    Share {
        workers,
        limits,
        watch,
        warning: Some(warning),
    }
}

fn warning(
    workers: (usize, usize),
    (wanted, given): (&Limits, &Limits),
    most: usize,
    all: usize,
) -> String {
    let pairs = [
        ("workers", workers.0, workers.1),
        (
            "tcp-connections",
            wanted.tcp_connections,
            given.tcp_connections,
        ),
        (
            "tcp-connections-per-client",
            wanted.tcp_connections_per_client,
            given.tcp_connections_per_client,
        ),
        (
            "upstream-sockets",
            wanted.upstream_sockets,
            given.upstream_sockets,
        ),
        (
            "upstream-connections",
            wanted.upstream_connections,
            given.upstream_connections,
        ),
    ];
    let lowered: Vec<String> = pairs
        .iter()
        .filter(|(_, wanted, given)| given < wanted)
        .map(|(key, wanted, given)| format!("`{key}` {given} in place of {wanted}"))
        .collect();
    format!(
        "this process may open {most} files: {} from now on; allow it {all} (LimitNOFILE= in the unit, `ulimit -n`), or lower these",
        lowered.join(", ")
    )
}

/// The descriptors that this process has open; a guess where that cannot be read.
pub(super) fn open() -> usize {
    fs::read_dir("/proc/self/fd").map_or(8, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(workers: usize) -> Config {
        let mut config = Config::default_with_upstreams(&[
            ([192, 0, 2, 1], 53).into(),
            ([192, 0, 2, 2], 53).into(),
        ]);
        config.workers = workers;
        config
    }

    /// What a share may have open at most.
    fn sum(share: &Share, open: usize) -> usize {
        let limits = &share.limits;
        let up = limits.upstream_sockets + 2 * (1 + limits.upstream_connections);
        open + FURTHER
            + share.workers * (FOR_A_WORKER + 2 + up)
            + DOORS * share.watch
            + limits.tcp_connections
            + leaving(limits.tcp_connections)
    }

    #[test]
    fn what_fits_stays_as_it_was() {
        let config = config(4);
        for most in [None, Some(524_288), Some(8192)] {
            let share = share(&config, most, 8);
            assert_eq!(share.limits, config.limits);
            assert_eq!(share.warning, None);
        }
    }

    #[test]
    fn what_does_not_fit_is_shared_out_and_told_once() {
        for (workers, most) in [
            (1, 64),
            (1, 128),
            (2, 128),
            (16, 128),
            (64, 256),
            (4, 256),
            (2, 1024),
            (16, 1024),
            (4, 4096),
        ] {
            let config = config(workers);
            let share = share(&config, Some(most), 8);
            let limits = &share.limits;
            assert!(limits.tcp_connections < config.limits.tcp_connections);
            assert!(limits.tcp_connections_per_client <= limits.tcp_connections);
            assert!(limits.upstream_sockets >= 1 && limits.upstream_connections >= 1);
            let sum = sum(&share, 8);
            assert!(
                sum as u64 <= most,
                "{sum} of {most} with {workers} workers: {limits:?}"
            );
            let warning = share.warning.expect("told");
            assert!(
                warning.contains("LimitNOFILE") && warning.contains("tcp-connections"),
                "{warning}"
            );
        }
    }

    #[test]
    fn upstreams_come_before_clients_where_both_have_to_do_with_less() {
        let share = share(&config(2), Some(1024), 8);
        assert_eq!(share.limits.upstream_connections, 2);
        assert!(share.limits.upstream_sockets > 150, "{:?}", share.limits);
        assert!(share.limits.tcp_connections > 350, "{:?}", share.limits);
    }
}
