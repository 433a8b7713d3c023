use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use prost::encoding::{WireType, decode_key, decode_varint};

use super::dnstap::*;
use super::*;

const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";

fn at(millis: u64) -> (Time, SystemTime) {
    let time = Time::from_secs(1_000) + Duration::from_millis(millis);
    let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis);
    (time, wall)
}

fn log(path: &Path, size: usize) -> Arc<QueryLog> {
    let config = QueryLogConfig {
        path: Some(path.to_owned()),
        socket: None,
        size,
    };
    let listeners = vec!["127.0.0.1:53", "[::]:53"];
    let listeners = listeners
        .into_iter()
        .map(|it| it.parse().expect("an address"));
    Arc::new(QueryLog::new(&config, listeners.collect()).expect("a file"))
}

fn answered(client: &str, transport: Transport, listener: u16) -> Answered<'static> {
    Answered {
        message: ANSWER,
        client: client.parse().expect("an address"),
        transport,
        listener,
        since: at(250).0,
        at: at(1_500).0,
    }
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Octets(Vec<u8>),
}

/// What Protocol Buffers say, by tag.
fn decode(mut octets: &[u8]) -> BTreeMap<u32, Value> {
    let mut fields = BTreeMap::new();
    while !octets.is_empty() {
        let (tag, kind) = decode_key(&mut octets).expect("a key");
        let value = match kind {
            WireType::Varint => Value::Number(decode_varint(&mut octets).expect("a number")),
            WireType::ThirtyTwoBit => {
                let (value, rest) = octets.split_first_chunk::<4>().expect("four octets");
                octets = rest;
                Value::Number(u32::from_le_bytes(*value).into())
            }
            WireType::LengthDelimited => {
                let length = decode_varint(&mut octets).expect("a length") as usize;
                let (value, rest) = octets.split_at(length);
                octets = rest;
                Value::Octets(value.to_vec())
            }
            other => panic!("{other:?} is not used"),
        };
        assert_eq!(fields.insert(tag, value), None, "each field once");
    }
    fields
}

/// The messages of a file's frames, and whether it has an end.
fn frames(path: &Path) -> (Vec<BTreeMap<u32, Value>>, bool) {
    let bytes = fs::read(path).expect("the file");
    let (mut rest, mut frames, mut ended) = (&bytes[..], Vec::new(), false);
    let mut first = true;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        assert!(!ended, "nothing is behind the end");
        let length = u32::from_be_bytes(*length) as usize;
        if length > 0 {
            let (frame, behind) = behind.split_at(length);
            let frame = decode(frame);
            assert_eq!(frame[&TYPE], Value::Number(1));
            assert_eq!(
                frame[&VERSION],
                Value::Octets(concat!("byway ", env!("CARGO_PKG_VERSION")).into())
            );
            match &frame[&MESSAGE] {
                Value::Octets(message) => frames.push(decode(message)),
                other => panic!("{other:?}"),
            }
            rest = behind;
        } else {
            let (length, behind) = behind.split_first_chunk::<4>().expect("a length");
            let (control, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            match control {
                [0, 0, 0, 3] => ended = true,
                start => {
                    assert!(first, "{start:?}");
                    assert!(start.starts_with(&[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 22]));
                    assert!(start.ends_with(b"protobuf:dnstap.Dnstap"));
                }
            }
            rest = behind;
        }
        first = false;
    }
    (frames, ended)
}

#[test]
fn an_answer_is_a_client_response_with_both_ends_and_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queries.tap");
    let log = log(&path, 1 << 20);
    let (pen, mut scribe) = (log.pen(), log.scribe());
    assert_eq!(scribe.write(at(0)), None);
    assert!(!path.exists(), "nothing to write, no file");
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    pen.put(&answered("[2001:db8::1]:53000", Transport::Tcp, 1));
    pen.put(&answered("[::ffff:192.0.2.8]:1", Transport::Udp, 9));
    assert_eq!(scribe.write(at(2_000)), None);
    assert_eq!(frames(&path).0.len(), 3, "it can be read meanwhile");
    assert_eq!(scribe.end(at(2_001)), None);
    assert_eq!(log.counts(), [3, 0]);
    let (frames, ended) = frames(&path);
    assert!(ended);
    let [first, second, third] = &frames[..] else {
        panic!("{frames:?}")
    };
    let number = |it: u64| Some(Value::Number(it));
    let octets = |it: &[u8]| Some(Value::Octets(it.to_vec()));
    for (tag, value) in [
        (KIND, number(CLIENT_RESPONSE)),
        (SOCKET_FAMILY, number(1)),
        (SOCKET_PROTOCOL, number(1)),
        (QUERY_ADDRESS, octets(&[192, 0, 2, 7])),
        (RESPONSE_ADDRESS, octets(&[127, 0, 0, 1])),
        (QUERY_PORT, number(4053)),
        (RESPONSE_PORT, number(53)),
        (QUERY_TIME_SEC, number(1_800_000_000)),
        (QUERY_TIME_NSEC, number(250_000_000)),
        (RESPONSE_TIME_SEC, number(1_800_000_001)),
        (RESPONSE_TIME_NSEC, number(500_000_000)),
        (RESPONSE_MESSAGE, octets(ANSWER)),
    ] {
        assert_eq!(first.get(&tag).cloned(), value, "{tag}");
    }
    assert_eq!(second.get(&SOCKET_FAMILY).cloned(), number(2));
    assert_eq!(second.get(&SOCKET_PROTOCOL).cloned(), number(2));
    assert_eq!(second.get(&RESPONSE_ADDRESS), None, "any of the host's");
    assert_eq!(third.get(&QUERY_ADDRESS).cloned(), octets(&[192, 0, 2, 8]));
    assert_eq!(
        third.get(&RESPONSE_PORT),
        None,
        "nobody knows such a listener"
    );
    let mode = fs::metadata(&path).expect("it").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn two_files_keep_the_latest_and_have_so_many_octets_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queries.tap");
    let before = folder.path().join("queries.tap.1");
    let log = log(&path, 16 * 1024);
    let (pen, mut scribe) = (log.pen(), log.scribe());
    let size = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    for turn in 0..100 {
        (0..20).for_each(|_| pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0)));
        assert_eq!(scribe.write(at(turn)), None);
        assert!(size(&path) + size(&before) <= 16 * 1024);
    }
    assert_eq!(log.counts(), [2_000, 0]);
    assert!(frames(&before).1, "what was renamed has an end");
    let kept = frames(&path).0.len() + frames(&before).0.len();
    assert!(kept > 60, "{kept}");
    // The next life begins another one and keeps the last.
    let last = frames(&path).0.len();
    drop(scribe);
    let mut scribe = log.scribe();
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    scribe.write(at(200));
    assert_eq!((frames(&path).0.len(), frames(&before).0.len()), (1, last));
}

#[test]
fn what_cannot_be_written_is_counted_said_once_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    let path = missing.join("queries.tap");
    let log = log(&path, 1 << 20);
    let (pen, mut scribe) = (log.pen(), log.scribe());
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    let said = scribe.write(at(0)).expect("said");
    assert!(said.contains("queries.tap: No such file"), "{said}");
    for turn in 1..5 {
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
        assert_eq!(scribe.write(at(turn)), None, "said once");
    }
    assert_eq!(log.counts(), [0, 5]);
    fs::create_dir(&missing).expect("a folder");
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    assert_eq!(
        scribe.write(at(9_000)),
        None,
        "it is left alone for a while"
    );
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    let said = scribe.write(at(11_000)).expect("said");
    assert!(said.ends_with("again"), "{said}");
    assert_eq!(log.counts(), [1, 6]);
    // Somebody turns it over.
    fs::rename(&path, folder.path().join("elsewhere")).expect("renamed");
    pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    assert_eq!(scribe.write(at(30_000)), None);
    assert_eq!(frames(&path).0.len(), 1);
    assert!(frames(&folder.path().join("elsewhere")).1, "it has an end");
}

#[test]
fn a_full_disk_costs_what_it_does_not_take_and_leaves_the_file_whole() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queries.tap");
    let mut file = file::TapFile::new(path.clone(), 1 << 20);
    file.put(b"one", at(0).0);
    file.flush();
    let real = file.swap(full).expect("it is open");
    file.put(b"two", at(0).0);
    file.flush();
    assert_eq!((file.written, file.lost), (1, 1));
    let error = file.failed.as_ref().map(std::io::Error::kind);
    assert_eq!(error, Some(std::io::ErrorKind::StorageFull));
    assert!(
        file.swap(real).is_none(),
        "a device has no length to be cut to"
    );
    file.put(b"three", at(0).0);
    file.end();
    assert!(file.failed.is_none());
    assert_eq!((file.written, file.lost), (2, 1));
    let bytes = fs::read(&path).expect("it");
    assert!(
        bytes.ends_with(b"\0\0\0\x03one\0\0\0\x05three\0\0\0\0\0\0\0\x04\0\0\0\x03"),
        "{}",
        bytes.escape_ascii()
    );
}

#[test]
fn a_worker_that_finds_no_room_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = log(&folder.path().join("queries.tap"), 1 << 30);
    let (pen, mut scribe) = (log.pen(), log.scribe());
    for _ in 0..20_000 {
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
    }
    let lost = log.counts()[1];
    let fits = TILL / (HEAD + ANSWER.len());
    assert_eq!(lost, 20_000 - fits as u64);
    scribe.write(at(0));
    assert_eq!(log.counts(), [fits as u64, lost]);
}

/// A reader as collectors are: it takes one connection, and gives back what it was sent.
fn reader(path: &Path, accept: &'static [u8]) -> std::thread::JoinHandle<Vec<u8>> {
    use std::io::{Read, Write};
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut ready = [0; 8 + 4 + 8 + 22];
        stream.read_exact(&mut ready).expect("READY");
        assert_eq!(ready[8..12], [0, 0, 0, 4]);
        assert!(ready.ends_with(b"protobuf:dnstap.Dnstap"));
        stream.write_all(accept).expect("told");
        let mut all = Vec::new();
        let mut room = [0; 4096];
        while !all.ends_with(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]) {
            match stream.read(&mut room).expect("octets") {
                0 => return all,
                length => all.extend_from_slice(&room[..length]),
            }
        }
        stream
            .write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5])
            .expect("FINISH");
        all
    })
}

/// ACCEPT, of dnstap and of anything.
const TAKES_DNSTAP: &[u8] =
    b"\0\0\0\0\0\0\0\x22\0\0\0\x01\0\0\0\x01\0\0\0\x16protobuf:dnstap.Dnstap";
const TAKES_ALL: &[u8] = b"\0\0\0\0\0\0\0\x04\0\0\0\x01";

fn log_to(path: &Path) -> Arc<QueryLog> {
    let config = QueryLogConfig {
        socket: Some(path.to_owned()),
        ..QueryLogConfig::default()
    };
    let listener = "127.0.0.1:53".parse().expect("an address");
    Arc::new(QueryLog::new(&config, vec![listener]).expect("a socket"))
}

#[test]
fn who_listens_at_a_socket_is_greeted_and_told_the_end() {
    for accept in [TAKES_DNSTAP, TAKES_ALL] {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, copy) = (folder.path().join("tap.sock"), folder.path().join("copy"));
        let log = log_to(&path);
        let (pen, mut scribe) = (log.pen(), log.scribe());
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
        let line = scribe.write(at(2_000)).expect("nobody listens");
        assert!(line.contains("tap.sock"), "{line}");
        assert_eq!(log.counts(), [0, 1]);
        let reader = reader(&path, accept);
        // Not sooner than after a while.
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
        assert_eq!(scribe.write(at(2_100)), None);
        assert_eq!(log.counts(), [0, 2]);
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
        let line = scribe.write(at(6_000)).expect("somebody listens");
        assert!(line.ends_with("again"), "{line}");
        pen.put(&answered("192.0.2.8:4053", Transport::Tcp, 0));
        assert_eq!(scribe.end(at(6_100)), None);
        assert_eq!(log.counts(), [2, 2]);
        fs::write(&copy, reader.join().expect("no panic")).expect("written");
        let (frames, ended) = frames(&copy);
        assert_eq!((frames.len(), ended), (2, true));
    }
}

#[test]
fn a_reader_of_something_else_or_that_stalls_is_left() {
    for (accept, expected) in [
        (
            &b"HTTP/1.1 400 no\r\n\r\n"[..],
            "something else than Frame Streams",
        ),
        (
            b"\0\0\0\0\0\0\0\x10\0\0\0\x01\0\0\0\x01\0\0\0\x04text",
            "no dnstap",
        ),
        (b"\0\0\0\0\0\0\0\x04\0\0\0\x05", "does not answer as"),
        (b"", "does not keep up"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tap.sock");
        let log = log_to(&path);
        let (pen, mut scribe) = (log.pen(), log.scribe());
        let reader = reader(&path, accept);
        pen.put(&answered("192.0.2.7:4053", Transport::Udp, 0));
        let line = scribe.write(at(2_000)).expect("something is said");
        assert!(line.contains(expected), "{line}");
        assert_eq!(log.counts(), [0, 1]);
        drop(scribe);
        let _ = reader.join();
    }
}
