//! What reads well and cannot be meant.

use super::mistake;

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
  |        ^ expected only `backup`, `cost` and `metered` in the path `default`
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
address = "127.0.0.1:5339"
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
fn what_is_wrong_with_tls() {
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1:853"
transports = ["udp", "tls"]
[[certificate]]
chain = "/etc/byway/chain.pem"
key = "/etc/byway/key.pem"
[[upstream]]
address = "10.0.0.2"
"#,
        r#"
error: a listener with TLS takes nothing else
 --> byway.toml:4:22
  |
4 | transports = ["udp", "tls"]
  |                      ^^^^^ expected `"tls"` alone
  |
  = help: give TLS a table of its own, with a port of its own: 853 is the usual one
"#,
    );
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1:853"
transports = ["tls"]
[[upstream]]
address = "10.0.0.2"
"#,
        r#"
error: a listener with TLS has no certificate to show
 --> byway.toml:4:14
  |
4 | transports = ["tls"]
  |              ^^^^^^^ expected a `[[certificate]]`
  |
  = help: add a table `[[certificate]]` with `chain` and `key`
"#,
    );
    mistake(
        r#"
version = 1
[[listen]]
address = "127.0.0.1:853"
transports = ["dot"]
[[certificate]]
chain = "tls/cert.pem"
key = "-----BEGIN PRIVATE KEY-----"
[[upstream]]
address = "10.0.0.2"
"#,
        r#"
error: unknown transport `dot`
 --> byway.toml:4:15
  |
4 | transports = ["dot"]
  |               ^^^^^ expected `udp`, `tcp` or `tls`
  |
  = help: DNS over TLS is `"tls"`

error: `tls/cert.pem` cannot be the place of a certificate
 --> byway.toml:6:9
  |
6 | chain = "tls/cert.pem"
  |         ^^^^^^^^^^^^^^ expected the absolute path of a file

error: `key` names a file and does not hold it
 --> byway.toml:7:7
  |
7 | key = "-----BEGIN PRIVATE KEY-----"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected the absolute path of a file
  |
  = help: write it to a file that byway alone can read
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
