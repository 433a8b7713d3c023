//! The query log: every answer in dnstap.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::kit::*;

/// The frames of a file, undecoded.
fn frames(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap_or_default();
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let control = *length == [0; 4];
        let (length, behind) = match control {
            true => behind.split_first_chunk::<4>().expect("a length"),
            false => (length, behind),
        };
        let (frame, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        if !control {
            frames.push(frame.to_vec());
        }
        rest = behind;
    }
    frames
}

fn has(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|it| it == part)
}

#[test]
fn every_answer_is_written_whichever_way_it_came_and_nothing_where_that_is_not_wanted() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.tap");
    let mut daemon = Setup::to(&[&upstream])
        .tables(&format!("[query-log]\npath = {file:?}\n"))
        .start();
    assert!(
        daemon
            .log()
            .contains(&format!("queries in    {}", file.display()))
    );
    let stub = Stub::new(daemon.dns());
    let mut connection = Connection::new(daemon.dns());
    // From upstream and from the cache, over either transport.
    for name in ["one.example", "one.example", "two.example"] {
        stub.ask(&Build::query(name, A));
        connection.ask(&Build::query(name, A));
    }
    eventually("all six are there", || frames(&file).len() == 6);
    daemon.expect_metric("byway_query_log_answers_total", &[("kept", "file")], 6.0);
    daemon.expect_metric("byway_query_log_answers_total", &[("kept", "lost")], 0.0);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    let frames = frames(&file);
    let named = |name: &[u8]| frames.iter().filter(|it| has(it, name)).count();
    assert_eq!(
        (named(b"\x03one\x07example"), named(b"\x03two\x07example")),
        (4, 2)
    );
    // A judge that is not of our making, where there is one.
    match Command::new("dnstap-read").arg(&file).output() {
        Ok(read) => {
            let text = String::from_utf8_lossy(&read.stdout).into_owned();
            assert!(read.status.success(), "{text}");
            assert_eq!(text.lines().count(), 6, "{text}");
            assert_eq!(text.matches(" CR 127.0.0.1:").count(), 6, "{text}");
            assert_eq!(text.matches(" TCP ").count(), 3, "{text}");
            assert_eq!(text.matches("one.example/IN/A").count(), 4, "{text}");
        }
        Err(_) => skip("what dnstap-read (bind9-utils) makes of it"),
    }

    let daemon = Daemon::to(&[&upstream]);
    Stub::new(daemon.dns()).ask(&Build::query("one.example", A));
    assert!(
        !daemon
            .metrics()
            .kinds
            .contains_key("byway_query_log_answers_total")
    );
}

#[test]
fn a_log_that_cannot_be_written_holds_up_no_answer() {
    let upstream = Upstream::good();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("missing/queries.tap");
    let daemon = Setup::to(&[&upstream])
        .tables(&format!("[query-log]\npath = {file:?}\n"))
        .start();
    let stub = Stub::new(daemon.dns());
    for _ in 0..50 {
        assert_eq!(stub.ask(&Build::query("one.example", A)).rcode(), NOERROR);
    }
    daemon.expect_metric("byway_query_log_answers_total", &[("kept", "lost")], 50.0);
    let said = "the query log cannot be written and loses answers";
    assert_eq!(daemon.log().matches(said).count(), 1, "{}", daemon.log());
    fs::create_dir(folder.path().join("missing")).expect("a folder");
    eventually("it is written again", || {
        stub.ask(&Build::query("one.example", A));
        !frames(&file).is_empty()
    });
}
