//! Values that are none of their key's.

use super::mistake;

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
  |                      ^^^^^ expected `udp`, `tcp` or `tls`
  |
  = help: did you mean `tcp`?
"#,
    );
}
