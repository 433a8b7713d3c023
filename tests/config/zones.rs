//! `[[zone]]`: what is wrong with one, and with all of them together.

use super::mistake;

#[test]
fn an_unknown_upstream() {
    mistake(
        r#"
version = 1
[[upstream]]
name = "dc1"
address = "10.0.0.2"
[[zone]]
name = "corp.example"
upstreams = ["cd1"]
"#,
        r#"
error: unknown upstream `cd1`
 --> byway.toml:7:14
  |
7 | upstreams = ["cd1"]
  |              ^^^^^ no `[[upstream]]` has this name
  |
  = help: did you mean `dc1`?
"#,
    );
}

#[test]
fn a_name_in_two_zones() {
    mistake(
        r#"
version = 1
[[upstream]]
address = "10.0.0.2"
[[zone]]
name = ["10.0.0.0/8"]
[[zone]]
name = ["10.IN-ADDR.arpa"]
"#,
        r#"
error: two zones are named `10.in-addr.arpa.`
 --> byway.toml:7:9
  |
7 | name = ["10.IN-ADDR.arpa"]
  |         ^^^^^^^^^^^^^^^^^ given a second time
note: it is given first here
 --> byway.toml:5:9
  |
5 | name = ["10.0.0.0/8"]
  |         ^^^^^^^^^^^^
"#,
    );
}

#[test]
fn bounds_that_cross() {
    mistake(
        r#"
version = 1
[[upstream]]
address = "10.0.0.2"
[[zone]]
name = "corp.example"
max-ttl = "10 s"
min-ttl = "20 s"
"#,
        r#"
error: `min-ttl` is above `max-ttl`
 --> byway.toml:7:11
  |
7 | min-ttl = "20 s"
  |           ^^^^^^ expected at most 10 s
note: `max-ttl` is given here
 --> byway.toml:6:11
  |
6 | max-ttl = "10 s"
  |           ^^^^^^
"#,
    );
}

#[test]
fn a_pattern_and_an_address() {
    mistake(
        r#"
version = 1
[[upstream]]
address = "10.0.0.2"
[[zone]]
name = ["*.corp.example", "10.0.0.1", "10.0.0.1/8"]
"#,
        r#"
error: `*.corp.example` is not a zone
 --> byway.toml:5:9
  |
5 | name = ["*.corp.example", "10.0.0.1", "10.0.0.1/8"]
  |         ^^^^^^^^^^^^^^^^ a zone takes in all names below its own
  |
  = help: leave `*.` out

error: `10.0.0.1` is an address, not a zone
 --> byway.toml:5:27
  |
5 | name = ["*.corp.example", "10.0.0.1", "10.0.0.1/8"]
  |                           ^^^^^^^^^^ expected a domain, or a prefix with its length

error: `10.0.0.1/8` is not a prefix
 --> byway.toml:5:39
  |
5 | name = ["*.corp.example", "10.0.0.1", "10.0.0.1/8"]
  |                                       ^^^^^^^^^^^^ expected an address and its length, such as `10.0.0.0/8`
"#,
    );
}

#[test]
fn a_zone_without_a_name() {
    mistake(
        r#"
version = 1
[[upstream]]
address = "10.0.0.2"
[[zone]]
upstreams = []
"#,
        r#"
error: `[[zone]]` has no `name`
 --> byway.toml:4:1
  |
4 | [[zone]]
  | ^^^^^^^^ expected the key `name` below this line
"#,
    );
}

#[test]
fn records_that_cannot_be() {
    mistake(
        r#"
version = 1
[[upstream]]
address = "10.0.0.2"
[[record]]
name = "a.example"
type = "A"
data = ["10.0.0.1", "10.0.0.256"]
[[record]]
name = "a.example"
type = "CNAME"
data = "b.example."
"#,
        r#"
error: `10.0.0.256` is no data of type A
 --> byway.toml:7:21
  |
7 | data = ["10.0.0.1", "10.0.0.256"]
  |                     ^^^^^^^^^^^^ network address parse error: invalid IPv4 address syntax
  |
  = help: write it as in a zone file (RFC 1035 section 5.1), names in full

error: an alias with other records beside it
 --> byway.toml:9:8
  |
9 | name = "a.example"
  |        ^^^^^^^^^^^ a name that has a CNAME has nothing else (RFC 1034 section 3.6.2)
"#,
    );
}
