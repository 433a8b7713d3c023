//! A configuration file: whatever it is, it is refused in words that name it, or taken for something that
//! means the same when it is printed and read back.
#![no_main]

use std::path::{Path, PathBuf};

use byway::config::host::Host;
use byway::config::{Overrides, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A host without surroundings: what a file means must not depend on the machine that fuzzes.
    let host = Host {
        cores: 2,
        state_directory: None,
        control_socket: None,
        resolv_conf: PathBuf::from("/nonexistent"),
        hosts: None,
        stand_ins: [PathBuf::from("/nonexistent"), PathBuf::from("/nonexistent")],
        name: || Some("example".into()),
        links: ["networkd", "resolved"].map(|it| format!("/nonexistent/{it}").into()),
        interface_name: |_| None,
        interface_index: |name| (name == "eth0").then_some(2),
        is_local: |ip| ip.is_loopback(),
    };
    let name = Some(Path::new("byway.toml"));
    let overrides = Overrides::default();
    match parse(name, text, &overrides, &host) {
        Ok(loaded) => {
            let printed = loaded.config.to_toml();
            let again = parse(name, &printed, &overrides, &host)
                .unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert_eq!(again.config, loaded.config);
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("error: "), "{error}");
            assert!(!error.contains('\u{1b}'), "control characters reach the terminal");
        }
    }
});
