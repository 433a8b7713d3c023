//! `byway check`: is this file right, and what does it mean?

use std::path::PathBuf;

use clap::Args;

use super::{ConfigArgs, load, print};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The file [default: /etc/byway/byway.toml if it exists, otherwise what is built in]
    file: Option<PathBuf>,
}

/// Prints the effective configuration, itself a configuration file, to standard output; what is wrong or odd goes to
/// standard error.
pub(super) fn check(args: &CheckArgs) -> u8 {
    let loaded = load(&ConfigArgs {
        config: args.file.clone(),
        ..ConfigArgs::default()
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    print(
        format!(
            "# OK: {}\n# Upstreams come from {}. In effect is:\n\n{}",
            loaded.origin(),
            loaded.upstreams_from,
            loaded.config.to_toml()
        )
        .as_bytes(),
    )
}
