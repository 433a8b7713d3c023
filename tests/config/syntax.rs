//! What is no TOML, or no file of this version, or says something in the wrong place.

use super::mistake;

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
