//! What the tests of this room begin with.

use crate::config::{Config, PathConfig};

/// So many upstreams, each over all of these paths.
pub(super) fn grid(upstreams: u8, paths: &[&str]) -> Config {
    let addresses: Vec<_> = (1..=upstreams)
        .map(|n| ([192, 0, 2, n], 53).into())
        .collect();
    let mut config = Config::default_with_upstreams(&addresses);
    config.paths = paths
        .iter()
        .map(|&name| PathConfig {
            name: name.into(),
            ..PathConfig::kernels_choice()
        })
        .collect();
    for upstream in &mut config.upstreams {
        upstream.paths = (0..paths.len()).collect();
    }
    config
}
