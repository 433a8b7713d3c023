//! The commands beside `run`, and what they end with.

use super::kit::daemon::{run, stderr, stdout};
use super::kit::*;

#[test]
fn version_and_help() {
    let output = run(byway().arg("--version"));
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        format!("byway {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = run(byway().arg("--help"));
    assert!(help.status.success());
    for word in ["run", "check", "query", "config", "Exit status"] {
        assert!(stdout(&help).contains(word), "{word}");
    }
}

#[test]
fn check_tells_right_from_wrong() {
    let (_folder, file) = config_file(
        &Setup::bare()
            .upstream(([10, 0, 0, 2], 53).into(), "")
            .text(),
    );
    let output = run(byway().arg("check").arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    // What it prints is a configuration that means the same.
    let (_folder, again) = config_file(&stdout(&output));
    let second = run(byway().arg("check").arg(&again));
    assert!(second.status.success(), "{}", stderr(&second));
    let body = |text: String| text.split_once("\n\n").map(|(_, body)| body.to_owned());
    assert_eq!(body(stdout(&output)), body(stdout(&second)));

    let (_folder, file) = config_file("version = 1\n[cache]\nsiez = \"1MiB\"\n");
    let output = run(byway().arg("check").arg(&file));
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    let place = format!("{}:3:1", file.display());
    for part in [place.as_str(), "siez", "^", "`size`"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_printed_default_is_a_configuration() {
    let output = run(byway().arg("config"));
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(text.contains("version = 1"));
    let (_folder, file) = config_file(&text);
    let upstream = "\n[[upstream]]\naddress = \"10.0.0.2\"\n";
    std::fs::write(&file, text + upstream).expect("written");
    let checked = run(byway().arg("check").arg(&file));
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn query_asks_once() {
    let upstream = Upstream::good();
    let address = upstream.address.to_string();
    for (name, rtype, expected) in [
        ("www.example", "A", "A"),
        ("www.example", "AAAA", "2020:2020"),
        (".", "NS", "NS"),
    ] {
        let output = run(byway().args(["query", name, rtype, "--upstream", &address]));
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        for part in [expected, "NOERROR", "ms", &address, "@default"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    // That there is nothing of the kind is an answer, and told by a status of its own.
    let output = run(byway().args(["query", "www.example", "TYPE65280", "--upstream", &address]));
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    for wrong in [
        &["query", "a..b"][..],
        &["query", "www.example", "NOTYPE"],
        &["query"],
    ] {
        let output = run(byway().args(wrong).args(["--upstream", &address]));
        assert_eq!(
            output.status.code(),
            Some(2),
            "{wrong:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn query_prints_nothing_that_steers_a_terminal() {
    const EVIL: &[u8] = b"\x1b]0;owned\x07\n;; answer\r\n\xff\"";
    let string = [&[EVIL.len() as u8][..], EVIL].concat();
    let upstream = Upstream::saying(move |asked| {
        let data = match asked.rtype() {
            TXT => string.clone(),
            HINFO => string.repeat(2),
            // CAA, with an odd tag; HTTPS, with a parameter that nobody knows.
            257 => [&[0][..], &string, EVIL].concat(),
            65 => [&[0, 1, 0, 0xff, 0, 0][..], &string].concat(),
            _ => EVIL.to_vec(),
        };
        let owner = asked.name();
        let mut edns = Edns::new(1232);
        edns.options
            .push((EDE, [&[0, 4][..], b"x\x1b[2J\n;; forged"].concat()));
        asked
            .reply()
            .answer(record(&owner, asked.rtype(), 60, &data))
            .edns(edns)
    });
    let address = upstream.address.to_string();
    for rtype in ["TXT", "HINFO", "CAA", "HTTPS", "TYPE65280"] {
        let output = run(byway().args(["query", "evil.example", rtype, "--upstream", &address]));
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        let plain = |octet: u8| (b' '..=b'~').contains(&octet) || octet == b'\n';
        assert!(text.bytes().all(plain), "{rtype}: {text:?}");
        // How it went, the section's name, the record, the extended error.
        assert_eq!(text.lines().count(), 4, "{rtype}: {text}");
        assert!(
            text.contains("extended error 4 (Forged Answer): x\\u{1b}[2J"),
            "{text}"
        );
    }
}

#[test]
fn query_says_when_nobody_answers() {
    let (_folder, file) = config_file(
        "version = 1\n[routing]\ndeadline = \"500ms\"\n[[upstream]]\naddress = \"127.0.0.3:1\"\n",
    );
    let output = run(byway()
        .args(["query", "www.example", "--config"])
        .arg(&file));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "SERVFAIL",
        "extended error 23 (Network Error)",
        "127.0.0.3:1@default: connection refused",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_byway");
    let script = format!("{program} config | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = run(std::process::Command::new("bash").args(["-c", &script]));
    let text = stdout(&output);
    assert!(text.ends_with("\n0\n"), "{text}");
    assert_eq!(stderr(&output), "");
}
