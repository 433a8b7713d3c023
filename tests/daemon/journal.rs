//! The log as entries of the journal, which carry fields. A stand-in for the journal listens at its place, in a mount
//! namespace of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use super::kit::daemon::run;
use super::kit::*;
use super::vital::{free, moody};

type Entry = BTreeMap<String, String>;

/// An entry as journald reads it.
fn entry(mut datagram: &[u8]) -> Entry {
    let mut fields = Entry::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|it| *it == b'\n').expect("a line");
        let line = str::from_utf8(&datagram[..end]).expect("UTF-8");
        datagram = &datagram[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = datagram.split_first_chunk::<8>().expect("a length");
                let (value, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
                datagram = rest.strip_prefix(b"\n").expect("the end of a value");
                (line, String::from_utf8(value.to_vec()).expect("UTF-8"))
            }
        };
        fields.insert(name.to_owned(), value);
    }
    fields
}

#[test]
fn what_happens_is_told_with_fields_and_a_journal_that_does_not_read_holds_up_nobody() {
    let mounts = Command::new("unshare").args(["--mount", "true"]).output();
    if !mounts.is_ok_and(|it| it.status.success()) {
        return skip("a mount namespace needs root and unshare (util-linux)");
    }
    let place = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(place.path().join("systemd/journal")).expect("a folder");
    let journal =
        UnixDatagram::bind(place.path().join("systemd/journal/socket")).expect("a socket");
    journal.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let next = || {
        let mut room = vec![0; 1 << 16];
        let length = journal.recv(&mut room).expect("an entry");
        entry(&room[..length])
    };

    let (upstream, silent) = moody();
    let addresses = free();
    let setup = Setup::to(&[&upstream]).listen(&[&addresses[0].to_string()]);
    let (inner, folder) = setup.admin(addresses[1]).command();
    let stderr = folder.path().join("stderr");
    let file = File::create(&stderr).expect("a file");
    let stat = file.metadata().expect("its metadata");
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /run && exec \"$@\"",
        ])
        .arg(place.path())
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("RUNTIME_DIRECTORY", folder.path())
        .env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    let daemon = Daemon::unheard(command, Stdio::from(file), addresses, folder);

    let first = next();
    assert!(first["MESSAGE"].starts_with("byway "), "{first:?}");
    assert_eq!(first["PRIORITY"], "6");
    assert_eq!(first["SYSLOG_IDENTIFIER"], "byway");
    daemon.warm_up();
    silent.store(true, Ordering::Relaxed);
    let stub = Stub::new(daemon.dns());
    let mut told = None;
    eventually("the outage is told of", || {
        stub.send(&Build::query(&format!("n{}.example", rand::random::<u32>()), A).bytes());
        journal.set_nonblocking(true).expect("so");
        let mut room = vec![0; 1 << 16];
        while let Ok(length) = journal.recv(&mut room) {
            told = Some(entry(&room[..length])).filter(|it| it.contains_key("BYWAY_KIND"));
            if told.is_some() {
                return true;
            }
        }
        false
    });
    let told = told.expect("an event");
    assert_eq!(told["BYWAY_KIND"], "trouble", "{told:?}");
    assert_eq!(told["PRIORITY"], "4", "{told:?}");
    assert_eq!(told["BYWAY_SCOPE"], "outage", "{told:?}");
    assert!(told.contains_key("BYWAY_FELT_FAILED"), "{told:?}");

    // Nobody reads any more; what is told waits, then is lost, and all else goes on.
    silent.store(false, Ordering::Relaxed);
    let socket = daemon.folder().join("control.sock");
    for _ in 0..30 {
        let done = run(byway().args(["flush", "--all", "--socket"]).arg(&socket));
        assert!(done.status.success());
    }
    eventually("names resolve", || {
        let name = format!("n{}.example", rand::random::<u32>());
        Stub::new(daemon.dns()).ask(&Build::query(&name, A)).rcode() == NOERROR
    });
    assert_eq!(
        fs::read_to_string(&stderr).expect("it"),
        "",
        "nothing went past the journal"
    );
}
