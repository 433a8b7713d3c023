//! A host that slept: what is known is older by that time (CLOCK_BOOTTIME), round trips are not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::kit::*;

/// Stands before the C library's clock_gettime: the clocks of boot time and of the wall are ahead by the seconds that the
/// file `$SLEPT` holds, the monotonic one is not. So they look to a program on a host that slept.
const CLOCKS: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME)) {
        long slept = 0;
        FILE *file = fopen(getenv("SLEPT"), "r");
        if (file) {
            if (fscanf(file, "%ld", &slept) != 1) slept = 0;
            fclose(file);
        }
        time->tv_sec += slept;
    }
    return result;
}
"#;

/// The library, built in `folder`; `None` where there is no C compiler.
fn clocks(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("clocks.c"), folder.join("clocks.so"));
    std::fs::write(&source, CLOCKS).expect("written");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    match compiler.status() {
        Ok(status) if status.success() => Some(library),
        _ => None,
    }
}

#[test]
fn what_is_known_ages_while_the_host_sleeps() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = clocks(folder.path()) else {
        return skip("there is no C compiler");
    };
    let lasting = |asked: &Asked, last: u8| {
        asked
            .reply()
            .answer(a(&asked.name(), 300, [192, 0, 2, last]))
    };
    let upstream = Upstream::new(move |asked| match asked.lower().starts_with("broken") {
        true => vec![Act::Send(asked.reply().rcode(SERVFAIL).bytes())],
        false => vec![Act::Send(lasting(asked, 1).bytes())],
    });
    let slept = folder.path().join("slept");
    let sleep = |seconds: u32| std::fs::write(&slept, seconds.to_string()).expect("written");
    sleep(0);
    let (config, file) = config_file(&Setup::to(&[&upstream]).text());
    let mut command = byway();
    command
        .args(["run", "--config"])
        .arg(&file)
        .env("LD_PRELOAD", &library)
        .env("SLEPT", &slept);
    let daemon = Daemon::spawn(command, Some(config));
    let stub = Stub::new(daemon.dns());
    let (kept, broken) = (
        Build::query("kept.example", A),
        Build::query("broken.example", A),
    );
    assert_eq!(stub.ask(&kept).ttl(), 300);
    assert_eq!(stub.ask(&broken).rcode(), SERVFAIL);
    assert!((295..=300).contains(&stub.ask(&kept).ttl()));

    // A nap: the TTL goes on.
    sleep(100);
    let reply = stub.ask(&kept);
    assert!((195..=200).contains(&reply.ttl()), "{reply:?}");
    assert_eq!(upstream.asked_for("kept.example.").len(), 1);
    // What failed before it may be asked again, and is answered.
    upstream.now(move |asked| vec![Act::Send(lasting(asked, 2).bytes())]);
    assert_eq!(stub.ask(&broken).rcode(), NOERROR);

    // A night, and another one past `stale-max`.
    sleep(8 * 3600);
    eventually("it is asked for anew", || {
        stub.ask(&kept).addresses() == ["192.0.2.2"]
    });
    assert!((295..=300).contains(&stub.ask(&kept).ttl()));
    upstream.now(|_| Vec::new());
    sleep(40 * 3600);
    assert_eq!(
        stub.ask(&kept).rcode(),
        SERVFAIL,
        "nothing is known any more"
    );

    // No attempt took hours.
    let took = daemon
        .metrics()
        .sum("byway_attempt_duration_seconds_sum", &[]);
    assert!(took < Duration::from_secs(60).as_secs_f64(), "{took} s");
}
