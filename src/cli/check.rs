//! `byway check`: is this file right, and what does it mean?

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::run::ConfigArgs;
use super::{exit, fail, load_quietly, print, say};
use crate::config::report::Remark;
use crate::config::{Added, Config, ConfigError, Loaded, schema};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The file, as for --config
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object for programs, also about what is wrong
    #[arg(long)]
    json: bool,
    /// Print a JSON schema of the file for editors, and check nothing
    #[arg(long, conflicts_with_all = ["json", "file", "config"])]
    schema: bool,
}

/// Prints the effective configuration, itself a configuration file, to standard output; what is wrong or odd goes to
/// standard error.
pub(super) fn check(args: &CheckArgs) -> u8 {
    if args.schema {
        return print(format!("{:#}\n", schema()).as_bytes());
    }
    let mut config = args.config.clone();
    config.config = config.config.or(args.file.clone());
    let loaded = load_quietly(&config);
    if args.json {
        return print_json(&loaded);
    }
    match say(loaded) {
        Ok(loaded) => print(
            format!(
                "# OK: {}\n{}# Upstreams come from {}. In effect is:\n\n{}",
                loaded.origin(),
                origins(&loaded.added),
                loaded.upstreams_from,
                shown(&loaded.config)
            )
            .as_bytes(),
        ),
        Err(code) => code,
    }
}

/// What is in effect, but for secrets: it is pasted into tickets.
fn shown(config: &Config) -> String {
    let secrets = config.limits.cookie_secrets.len();
    if secrets == 0 {
        return config.to_toml();
    }
    let mut config = config.clone();
    config.limits.cookie_secrets.clear();
    let (none, some) = (
        "cookie-secrets = []",
        format!("# cookie-secrets: {secrets}, not shown"),
    );
    config.to_toml().replacen(none, &some, 1)
}

/// What came from the files of `conf.d`, a line of comment each.
fn origins(added: &[Added]) -> String {
    let lines = added.iter().map(|it| {
        let Added {
            file,
            line,
            key,
            instead_of,
        } = it;
        let instead = instead_of.as_ref();
        let instead = instead.map(|(file, line)| format!(", in place of {file}:{line}"));
        let instead = instead.unwrap_or_default();
        format!("#   {file}:{line}: {key}{instead}\n")
    });
    lines.collect()
}

/// The same for programs.
fn origin(added: &Added) -> Value {
    let Added {
        file,
        line,
        key,
        instead_of,
    } = added;
    let instead_of = instead_of.as_ref();
    json!({
        "file": file,
        "line": line,
        "key": key,
        "instead_of": instead_of.map(|(file, line)| json!({ "file": file, "line": line })),
    })
}

/// The same as an object: `ok`, `reports` and, if it is right, `file`, `drop_ins`, `added` (what came from those),
/// `upstreams_from` and `config`, whose keys are those of the file.
fn print_json(loaded: &Result<Loaded, ConfigError>) -> u8 {
    let (object, code) = match loaded {
        Ok(loaded) => match toml::from_str::<Value>(&shown(&loaded.config)) {
            Ok(config) => {
                let object = json!({
                    "ok": true,
                    "file": loaded.file.as_ref().map(|file| file.display().to_string()),
                    "drop_ins": loaded.drop_ins().iter().map(|it| &it.name).collect::<Vec<_>>(),
                    "added": loaded.added.iter().map(origin).collect::<Vec<_>>(),
                    "upstreams_from": loaded.upstreams_from.to_string(),
                    "reports": loaded.reports.iter().map(report).collect::<Vec<_>>(),
                    "config": config,
                });
                (object, exit::OK)
            }
            Err(error) => return fail(&format!("the configuration cannot be printed: {error}")),
        },
        Err(error) => {
            let reports: Vec<_> = error.reports.iter().map(report).collect();
            (json!({ "ok": false, "reports": reports }), exit::USAGE)
        }
    };
    match print(format!("{object:#}\n").as_bytes()) {
        exit::OK => code,
        failed => failed,
    }
}

fn report(remark: &Remark) -> Value {
    let Remark {
        severity,
        message,
        place,
        position,
        label,
        help,
    } = remark;
    let (line, column) = position.unzip();
    json!({
        "severity": severity.to_string(),
        "message": message,
        "place": place,
        "line": line,
        "column": column,
        "label": label,
        "help": help,
    })
}
