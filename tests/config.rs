//! The configuration as an operator meets it: what byway says of a file with a mistake in it, word for word, and
//! the commands that go with it.

use std::path::Path;
use std::process::{Command, Output};

use byway::config::host::Host;
use byway::config::{Overrides, parse};

/// Asserts that `file` is refused with exactly `expected`.
#[track_caller]
fn mistake(file: &str, expected: &str) {
    let host = Host {
        is_local: |ip| ip.is_loopback(),
        ..Host::this()
    };
    let name = Some(Path::new("byway.toml"));
    let file = file.trim_start();
    let error = parse(name, file, &Overrides::default(), &host).expect_err("a mistake");
    let error = error.to_string();
    assert_eq!(error.trim(), expected.trim(), "\n{error}\n");
}

#[test]
fn a_misspelt_key() {
    mistake(
        r#"
version = 1
[[listen]]
adress = "127.0.0.1:53"
"#,
        r#"
error: unknown key `adress` in `[[listen]]`
 --> byway.toml:3:1
  |
3 | adress = "127.0.0.1:53"
  | ^^^^^^ not a key of this table
  |
  = help: did you mean `address`?
"#,
    );
}

#[test]
fn a_value_without_quotes() {
    mistake(
        r#"
version = 1
[cache]
size = 64 MiB
"#,
        r#"
error: `64 MiB` is not a value of TOML
 --> byway.toml:3:8
  |
3 | size = 64 MiB
  |        ^^^^^^ expected quotes around it, unless it is a plain number, `true` or `false`
  |
  = help: write `"64 MiB"`
"#,
    );
}

#[test]
fn quantities_without_units() {
    mistake(
        r#"
version = 1
[cache]
size = "64"
min-ttl = 30
 max-ttl = "1.5 s"
"#,
        r#"
error: `64` is not a size
 --> byway.toml:3:8
  |
3 | size = "64"
  |        ^^^^ the unit is missing
  |
  = help: write `"64 MiB"`

error: wrong kind of value for `min-ttl`
 --> byway.toml:4:11
  |
4 | min-ttl = 30
  |           ^^ expected a duration with its unit, such as `"0 s"`, found an integer
  |
  = help: write `"30 s"` for seconds, `"30 ms"` for thousandths

error: `max-ttl` is not a TTL
 --> byway.toml:5:12
  |
5 |  max-ttl = "1.5 s"
  |            ^^^^^^^ expected whole seconds
"#,
    );
}

#[test]
fn an_unknown_word_and_a_value_out_of_range() {
    mistake(
        r#"
version = 1
[routing]
policy = "fastst"
deadline = "90 s"
"#,
        r#"
error: unknown policy `fastst`
 --> byway.toml:3:10
  |
3 | policy = "fastst"
  |          ^^^^^^^^ expected `fastest`, `ordered` or `spread`
  |
  = help: did you mean `fastest`?

error: `deadline` is out of range
 --> byway.toml:4:12
  |
4 | deadline = "90 s"
  |            ^^^^^^ expected 500 ms to 1 min
  |
  = help: the default is 4.5 s
"#,
    );
}

#[test]
fn a_key_below_the_wrong_header() {
    mistake(
        r#"
version = 1
[limits]
udp-payload = 9000
allow = ["10.0.0.0/8"]
"#,
        r#"
error: `udp-payload` is out of range
 --> byway.toml:3:15
  |
3 | udp-payload = 9000
  |               ^^^^ expected 512 to 4096
  |
  = help: the default is 1232

error: unknown key `allow` in `[limits]`
 --> byway.toml:4:1
  |
4 | allow = ["10.0.0.0/8"]
  | ^^^^^ not a key of this table
  |
  = help: `allow` belongs at the top of the file, above the first table
"#,
    );
}

#[test]
fn an_unknown_path() {
    mistake(
        r#"
version = 1
[[path]]
name = "eth1"
interface = "eth1"
[[upstream]]
name = "dc1"
address = "10.0.0.2"
paths = ["eht1"]
"#,
        r#"
error: unknown path `eht1`
 --> byway.toml:8:10
  |
8 | paths = ["eht1"]
  |          ^^^^^^ no `[[path]]` has this name
  |
  = help: did you mean `eth1`?
"#,
    );
}

#[test]
fn a_path_of_the_wrong_family() {
    mistake(
        r#"
version = 1
[[path]]
name = "v6"
source = "2001:db8::1"
[[upstream]]
name = "dc1"
address = "10.0.0.2"
paths = ["v6"]
"#,
        r#"
error: path `v6` cannot reach 10.0.0.2
 --> byway.toml:8:10
  |
8 | paths = ["v6"]
  |          ^^^^ this path sends from 2001:db8::1 only, the upstream speaks IPv4
  |
  = help: add an IPv4 address to the path's `source`
note: the path is given here
 --> byway.toml:3:8
  |
3 | name = "v6"
  |        ^^^^
"#,
    );
}

#[test]
fn two_of_one_name() {
    mistake(
        r#"
version = 1
[[upstream]]
name = "dc1"
address = "10.0.0.2"
[[upstream]]
name = "dc1"
address = "10.0.0.3"
"#,
        r#"
error: two upstreams are named `dc1`
 --> byway.toml:6:8
  |
6 | name = "dc1"
  |        ^^^^^ given a second time
note: it is given first here
 --> byway.toml:3:8
  |
3 | name = "dc1"
  |        ^^^^^
"#,
    );
}

#[test]
fn one_bracket_for_two() {
    mistake(
        r#"
version = 1
[upstream]
name = "dc1"
address = "10.0.0.2"
"#,
        r#"
error: `upstream` is a list of tables
 --> byway.toml:2:1
  |
2 | [upstream]
  | ^^^^^^^^^^ expected `[[upstream]]`
  |
  = help: each one starts with its own header in double brackets
"#,
    );
}

#[test]
fn a_host_name_for_an_address() {
    mistake(
        r#"
version = 1
[[upstream]]
name = "dc1"
address = "dns.corp.example"
"#,
        r#"
error: `dns.corp.example` cannot be used as an address here
 --> byway.toml:4:11
  |
4 | address = "dns.corp.example"
  |           ^^^^^^^^^^^^^^^^^^ expected an IP address, not a host name
  |
  = help: byway has nobody to ask for it before it runs: write the address
"#,
    );
}

#[test]
fn a_loop() {
    mistake(
        r#"
version = 1
[[listen]]
address = "0.0.0.0:53"
[[upstream]]
address = "127.0.0.1"
"#,
        r#"
error: upstream 127.0.0.1:53 is byway itself
 --> byway.toml:5:11
  |
5 | address = "127.0.0.1"
  |           ^^^^^^^^^^^ a question sent there would come back for ever
"#,
    );
}

#[test]
fn a_table_given_twice() {
    mistake(
        r#"
version = 1
[cache]
size = "1 MiB"
[routing]
[cache]
refresh = yes
"#,
        r#"
error: `cache` is given twice
 --> byway.toml:5:2
  |
5 | [cache]
  |  ^^^^^ given a second time
  |
  = help: put all its keys below the first one
note: it is given first here
 --> byway.toml:2:2
  |
2 | [cache]
  |  ^^^^^
"#,
    );
}

#[test]
fn no_version() {
    mistake(
        r#"
[cache]
version = 1
"#,
        r#"
error: the file does not say its version
 --> byway.toml:1:1
  |
1 | [cache]
  | ^ expected `version = 1` above the first table
  |
  = help: put `version = 1` on the first line

error: unknown key `version` in `[cache]`
 --> byway.toml:2:1
  |
2 | version = 1
  | ^^^^^^^ not a key of this table
  |
  = help: `version` belongs at the top of the file, above the first table
"#,
    );
}

#[test]
fn another_version() {
    mistake(
        r#"
version = 2
"#,
        r#"
error: unknown version of the format
 --> byway.toml:1:11
  |
1 | version = 2
  |           ^ expected 1
  |
  = help: this byway reads no other; a newer one may
"#,
    );
}

#[test]
fn settings_that_cross() {
    mistake(
        r#"
version = 1
[cache]
min-ttl = "10 min"
max-ttl = "5 min"
"#,
        r#"
error: `min-ttl` is above `max-ttl`
 --> byway.toml:3:11
  |
3 | min-ttl = "10 min"
  |           ^^^^^^^^ expected at most 5 min
note: `max-ttl` is given here
 --> byway.toml:4:11
  |
4 | max-ttl = "5 min"
  |           ^^^^^^^
"#,
    );
}

#[test]
fn a_number_in_quotes_and_a_string_for_a_list() {
    mistake(
        r#"
version = 1
workers = "4"
allow = "10.0.0.1/8"
"#,
        r#"
error: wrong kind of value for `workers`
 --> byway.toml:2:11
  |
2 | workers = "4"
  |           ^^^ expected a whole number, found a string
  |
  = help: write `4`, without quotes

error: wrong kind of value for `allow`
 --> byway.toml:3:9
  |
3 | allow = "10.0.0.1/8"
  |         ^^^^^^^^^^^^ expected a list, found a string
  |
  = help: write `allow = ["10.0.0.1/8"]`
"#,
    );
}

#[test]
fn addresses_that_are_none() {
    mistake(
        r#"
version = 1
allow = ["10.0.0.1/8", "corp"]
[[upstream]]
name = "a@b"
address = "10.0.0.2:99999"
transports = ["udp"]
"#,
        r#"
error: `10.0.0.1/8` has bits set beyond its length
 --> byway.toml:2:10
  |
2 | allow = ["10.0.0.1/8", "corp"]
  |          ^^^^^^^^^^^^ expected zeros after the first 8 bits
  |
  = help: did you mean `10.0.0.0/8` or `10.0.0.1`?

error: `corp` is not a prefix
 --> byway.toml:2:24
  |
2 | allow = ["10.0.0.1/8", "corp"]
  |                        ^^^^^^ expected an address, or a prefix such as `10.0.0.0/8`

error: `a@b` cannot be a name
 --> byway.toml:4:8
  |
4 | name = "a@b"
  |        ^^^^^ `@` stands between upstream and path in the names of routes

error: `10.0.0.2:99999` cannot be used as an address here
 --> byway.toml:5:11
  |
5 | address = "10.0.0.2:99999"
  |           ^^^^^^^^^^^^^^^^ `99999` is not a port, 1 to 65535

error: unknown key `transports` in `[[upstream]]`
 --> byway.toml:6:1
  |
6 | transports = ["udp"]
  | ^^^^^^^^^^ not a key of this table
  |
  = help: did you mean `transport`?
"#,
    );
}

#[test]
fn a_listener_without_a_port() {
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1"
transports = ["udp", "tpc"]
"#,
        r#"
error: `127.0.0.1` cannot be used as an address here
 --> byway.toml:3:11
  |
3 | address = "127.0.0.1"
  |           ^^^^^^^^^^^ expected a port too
  |
  = help: write `127.0.0.1:53`

error: unknown transport `tpc`
 --> byway.toml:4:22
  |
4 | transports = ["udp", "tpc"]
  |                      ^^^^^ expected `udp` or `tcp`
  |
  = help: did you mean `tcp`?
"#,
    );
}

#[test]
fn a_colon_for_an_equals_sign() {
    mistake(
        r#"
version = 1
address: 3
"#,
        r#"
error: a key without a value
 --> byway.toml:2:8
  |
2 | address: 3
  |        ^ expected `=`
  |
  = help: TOML writes `=`, not `:`
"#,
    );
}

#[test]
fn paths_that_say_nothing() {
    mistake(
        r#"
version = 1
[[path]]
name = "a"
[[path]]
name = "default"
mark = 7
"#,
        r#"
error: path `a` does not say which way it goes
 --> byway.toml:3:8
  |
3 | name = "a"
  |        ^^^ expected `interface`, `source` or `mark` in this path
  |
  = help: the kernel's own choice is the path `default`

error: `default` is the kernel's own choice
 --> byway.toml:6:8
  |
6 | mark = 7
  |        ^ expected only `backup` and `cost` in the path `default`
  |
  = help: give this path another name
"#,
    );
}

#[test]
fn a_listener_that_a_wildcard_covers() {
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1:53"
[[listen]]
address = "[::]:53"
[[listen]]
address = "0.0.0.0:53"
transports = ["udp"]
[[listen]]
address = "127.0.0.1:5335"
"#,
        r#"
error: a listener on 127.0.0.1:53 that 0.0.0.0:53 covers
 --> byway.toml:3:11
  |
3 | address = "127.0.0.1:53"
  |           ^^^^^^^^^^^^^^ the wildcard takes in this address
  |
  = help: leave one of them out
note: the wildcard is given here
 --> byway.toml:7:11
  |
7 | address = "0.0.0.0:53"
  |           ^^^^^^^^^^^^
"#,
    );
}

#[test]
fn listeners_in_each_others_way() {
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1:53"
[[listen]]
address = "127.0.0.1:53"
transports = ["tcp"]
[admin]
listen = "0.0.0.0:53"
"#,
        r#"
error: two listeners on 127.0.0.1:53
 --> byway.toml:5:11
  |
5 | address = "127.0.0.1:53"
  |           ^^^^^^^^^^^^^^ given a second time
note: it is given first here
 --> byway.toml:3:11
  |
3 | address = "127.0.0.1:53"
  |           ^^^^^^^^^^^^^^

error: the admin endpoint needs a port of its own
 --> byway.toml:8:10
  |
8 | listen = "0.0.0.0:53"
  |          ^^^^^^^^^^^^ the listener on 127.0.0.1:53 takes this port
"#,
    );
}

#[test]
fn an_unclosed_header() {
    mistake(
        r#"
version = 1
[[upstream]
"#,
        r#"
error: unclosed array table
 --> byway.toml:2:12
  |
2 | [[upstream]
  |            ^ expected `]`
"#,
    );
}

#[test]
fn two_paths_that_are_one() {
    mistake(
        r#"
version = 1
[[path]]
name = "a"
interface = "eth0"
[[path]]
name = "b"
interface = "eth0"
"#,
        r#"
error: path `b` is the same way out as another
 --> byway.toml:5:1
  |
5 | [[path]]
  | ^^^^^^^^ given a second time
note: it is given first here
 --> byway.toml:2:1
  |
2 | [[path]]
  | ^^^^^^^^
"#,
    );
}

fn byway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(arguments)
        .env_remove("STATE_DIRECTORY")
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn config_prints_the_annotated_default() {
    let output = byway(&["config"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), include_str!("../config/byway.toml"));
}

#[test]
fn check_prints_a_file_that_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let first = "version = 1\n[[upstream]]\naddress = \"10.0.0.2\"\n";
    std::fs::write(path("first.toml"), first).unwrap();

    let output = byway(&["check", &path("first.toml")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let effective = text(&output.stdout);
    assert!(effective.starts_with(&format!("# OK: {}\n", path("first.toml"))));

    std::fs::write(path("second.toml"), effective).unwrap();
    let output = byway(&["check", &path("second.toml")]);
    assert_eq!(output.status.code(), Some(0));
    let body = |text: &str| text.split_once("\n\n").map(|it| it.1.to_owned());
    assert_eq!(body(text(&output.stdout)), body(effective));
}

#[test]
fn check_refuses_with_2_and_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("byway.toml");
    std::fs::write(&path, "version = 1\nworkers = 0\n").unwrap();
    let output = byway(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let expected = format!(
        "error: `workers` is out of range\n --> {}:2:11\n",
        path.display()
    );
    assert!(text(&output.stderr).starts_with(&expected));
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    for arguments in [
        &["no-such-command"][..],
        &["check", "--bogus"],
        &["completions", "tcsh"],
    ] {
        let output = byway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
    let output = byway(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Exit status:"));
    let output = byway(&["--version"]);
    let expected = format!("byway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn manual_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let output = byway(&["man", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for section in [
        "NAME",
        "SYNOPSIS",
        "SUBCOMMANDS",
        "\"EXIT STATUS\"",
        "FILES",
    ] {
        assert!(
            page("byway.1").contains(&format!("\n.SH {section}\n")),
            "{section}"
        );
    }
    assert!(page("byway-check.1").contains("byway\\-check"));
    assert_eq!(text(&byway(&["man"]).stdout), page("byway.1"));
    for shell in ["bash", "zsh", "fish"] {
        let script = byway(&["completions", shell]);
        assert!(text(&script.stdout).contains("byway"), "{shell}");
    }
}
