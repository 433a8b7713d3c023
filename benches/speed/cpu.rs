//! Which CPU does the work, and how much of it.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPU that servers run on.
pub const SERVER: &[usize] = &[0];

/// The CPU that the load runs on.
pub const LOAD: &[usize] = &[1];

/// Keeps this thread, and what it starts from now on, on these CPUs.
pub fn pin(cpus: &[usize]) {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).expect("the machine has these CPUs");
}

/// The CPUs that this thread may use.
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("this thread runs");
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// CPU time that all threads of a process have used, in the kernel's own nanoseconds
/// (/proc/PID/task/*/schedstat). Threads that have ended are not in it.
pub fn used(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let nanos = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a resident size");
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number") * 1024
}
