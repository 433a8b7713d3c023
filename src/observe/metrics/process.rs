//! What the kernel says of this process, under the names that Prometheus clients agree on.
//!
//! Read anew at each scrape. What cannot be read (no `/proc`, say) is left out, not zero. The collector that the
//! `prometheus` crate has for this counts CPU time in whole seconds, says zero where it knows nothing, and wants another
//! crate to read `/proc` with.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Clock ticks a second in `/proc`. The kernel's USER_HZ is part of its interface and is 100 on
/// every architecture that byway builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process, now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// User and system time used, in seconds.
    pub(super) cpu: Option<f64>,
    /// Memory in use that is in RAM, in bytes.
    pub(super) resident: Option<f64>,
    /// File descriptors open.
    pub(super) fds: Option<f64>,
    /// File descriptors that may be open.
    pub(super) fds_max: Option<f64>,
    /// When it started, in seconds since the Unix epoch.
    pub(super) started: Option<f64>,
}

impl Process {
    pub(super) fn read() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        Process {
            cpu: ticks(&stat, 14)
                .zip(ticks(&stat, 15))
                .map(|(user, system)| user + system),
            resident: line(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024.0),
            // One of them is the directory being read.
            fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|open| open.count().saturating_sub(1) as f64),
            fds_max: getrlimit(Resource::Nofile)
                .current
                .map(|limit| limit as f64),
            started: line(&boot, "btime")
                .zip(ticks(&stat, 22))
                .map(|(boot, after)| boot + after),
        }
    }
}

/// Field `number` of `/proc/self/stat`, counted from 1 as proc_pid_stat(5) does, as seconds.
fn ticks(stat: &str, number: usize) -> Option<f64> {
    // The second field is the program's name in parentheses, and may itself contain any of them.
    let (_, from_third) = stat.rsplit_once(") ")?;
    let ticks: f64 = from_third
        .split(' ')
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// The first number after `key` at the start of a line.
fn line(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_nasty_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 12345 1 2";
        assert_eq!(ticks(stat, 14), Some(2.5));
        assert_eq!(ticks(stat, 15), Some(0.5));
        assert_eq!(ticks(stat, 22), Some(123.45));
        assert_eq!(ticks(stat, 99), None);
        assert_eq!(ticks("", 14), None);
    }

    #[test]
    fn numbers_are_found_by_their_key() {
        assert_eq!(
            line("VmHWM:\t 9 kB\nVmRSS:\t  812 kB\n", "VmRSS:"),
            Some(812.0)
        );
        assert_eq!(
            line("cpu 1 2\nbtime 1700000000\n", "btime"),
            Some(1_700_000_000.0)
        );
        assert_eq!(line("", "btime"), None);
    }

    #[test]
    fn this_very_process_can_be_read() {
        let process = Process::read();
        assert!(
            process.resident.is_some_and(|bytes| bytes > 100_000.0),
            "{process:?}"
        );
        assert!(process.fds.is_some_and(|fds| fds >= 3.0), "{process:?}");
        assert!(
            process.started.is_some_and(|secs| secs > 1.6e9),
            "{process:?}"
        );
        assert!(
            process.cpu.is_some() && process.fds_max.is_some(),
            "{process:?}"
        );
    }
}
