//! The configuration as an operator meets it: what byway says of a file with a mistake in it, word for word, and
//! the commands that go with it.

mod commands;
mod drop_ins;
mod meaning;
mod syntax;
mod values;
mod zones;

use std::path::Path;

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
