//! The command line: arguments, and the commands that need nothing but the configuration.
//!
//! Exit status, the same for every command: [`exit::OK`], [`exit::FAILED`] if it could not be done,
//! [`exit::USAGE`] if the arguments or the configuration are wrong, so that a service manager can tell
//! "try again" from "do not".

mod check;
mod client;
mod doctor;
mod history;
mod incident;
mod man;
mod owner;
mod query;
mod recorded;
mod run;
mod running;
mod setup;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use query::QueryArgs;
pub use run::{ConfigArgs, LogForm, LogLevel, RunArgs};

use crate::config::host::Host;
use crate::config::{self, ConfigError, DEFAULT_FILE, Loaded, Overrides, Sources};
use crate::observe::log;

/// What a process of byway ends with.
pub mod exit {
    /// Done. `byway run` ends with it when it was told to stop.
    pub const OK: u8 = 0;
    /// It could not be done, or not go on: a port is taken, a privilege is missing, nobody answered, a part of
    /// the daemon has failed.
    pub const FAILED: u8 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 2;

    /// `byway status`: names resolve, and something is in trouble or out of use.
    pub const TROUBLE: u8 = 3;

    /// `byway query`: there is no such name, or nothing of that type.
    pub const NOTHING: u8 = 4;

    /// The same in words, for `--help` and the manual.
    pub(super) const MEANINGS: &[(u8, &str)] = &[
        (OK, "Done. For run: it was told to stop, and has stopped."),
        (
            FAILED,
            "It could not be done, or not go on: a port is taken, a privilege is missing, nobody answered, a part of the daemon has failed.",
        ),
        (
            USAGE,
            "The command line or the configuration is wrong; nothing was started.",
        ),
        (
            TROUBLE,
            "status: names resolve, and something is in trouble or out of use.",
        ),
        (
            NOTHING,
            "query: there is no such name, or nothing of that type; 1 stands for no useful answer.",
        ),
    ];
}

/// What `byway run` does when it is sent a signal.
const SIGNALS: &[(&str, &str)] = &[
    (
        "TERM, INT, QUIT",
        "It ends: what is in flight is answered, a snapshot is written. A second one ends it at once.",
    ),
    (
        "HUP",
        "The configuration is read anew, as by `byway reload`.",
    ),
    ("USR1, USR2", "They are ignored with a line in the log."),
    (
        "others",
        "They are ignored, but for those that nobody can ignore.",
    ),
];

/// Files that byway reads or writes without being told their names.
const FILES: &[(&str, &str)] = &[
    (
        DEFAULT_FILE,
        "The configuration, if --config names no other. It need not exist.",
    ),
    (
        "/etc/byway/conf.d/*.toml",
        "Read after it, in the order of their names: tables are one table, lists of tables grow, and of a key given twice the later one holds. Of another --config, the folder conf.d beside it.",
    ),
    (
        "/etc/resolv.conf",
        "Where upstreams are read from if none are configured, unless `[host] resolv-conf` names another.",
    ),
    (
        "/run/byway/control.sock",
        "Where a running daemon takes commands, unless $RUNTIME_DIRECTORY or `[admin] control` says otherwise.",
    ),
    (
        "$STATE_DIRECTORY/cache.snapshot",
        "The cache across restarts, unless `[cache] snapshot` says otherwise.",
    ),
    (
        "$STATE_DIRECTORY/flight.record",
        "What was counted and told, each second, unless `[recorder] path` says otherwise.",
    ),
];

#[derive(Parser)]
#[command(
    name = "byway",
    version,
    about = "A resilient forwarding DNS resolver that routes around congested network paths",
    after_long_help = after_help(),
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until told to stop
    Run(RunArgs),
    /// Ask questions; print the answers, the route and the time it took
    Query(QueryArgs),
    /// How byway fares: in words first, then every route
    Status(running::StatusArgs),
    /// Every route: what is believed of it, its round trips, and what that rests on
    Routes(running::RoutesArgs),
    /// What would be done for a question now, and why
    Why(running::WhyArgs),
    /// Everything that is decided about the questions for one name, as it happens
    Trace(running::TraceArgs),
    /// Which names are asked for most, and which clients ask most
    Top(running::TopArgs),
    /// What happened, oldest first
    Events(running::EventsArgs),
    /// What clients felt and how each route fared, from the flight recorder; works without a daemon too
    History(history::HistoryArgs),
    /// What happened, who was blamed and why, what clients felt and what it was worth; works without a daemon too
    Incident(incident::IncidentArgs),
    /// Take a path, an upstream or a route out of use, at once
    Drain(running::DrainArgs),
    /// Put back what was drained
    Restore(running::RestoreArgs),
    /// What the cache holds for a name
    Cache(running::CacheArgs),
    /// Forget answers: of one name, of all names below it, or all
    Flush(running::FlushArgs),
    /// Names that must not vanish: which have, and `release NAME` to let one go
    Guard(running::GuardArgs),
    /// Log more or less from now on, until the restart
    Log(running::LogArgs),
    /// Write the cache to its file now
    Snapshot(running::SnapshotArgs),
    /// Read the configuration anew; without losing a query, and only if nothing is wrong with it
    Reload(running::ReloadArgs),
    /// Check a configuration file, with conf.d beside it, and print what it means and what came from where
    Check(check::CheckArgs),
    /// Print the default configuration, with every key explained
    Config,
    /// What on this host and on the ways to its upstreams keeps names from resolving, one line each with what to do
    Doctor(doctor::DoctorArgs),
    /// Prepare the host: what systemd grants, whom its programs ask; and undo it
    Setup(setup::SetupArgs),
    /// Print the manual page, or write all of them to a directory
    Man(man::ManArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let code = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Query(args) => query::query(&args),
        Command::Status(args) => running::status(&args),
        Command::Routes(args) => running::routes(&args),
        Command::Why(args) => running::why(&args),
        Command::Trace(args) => running::trace(&args),
        Command::Top(args) => running::top(&args),
        Command::Events(args) => running::events(&args),
        Command::History(args) => history::history(&args),
        Command::Incident(args) => incident::incident(&args),
        Command::Drain(args) => running::drain(&args),
        Command::Restore(args) => running::restore(&args),
        Command::Cache(args) => running::cache(&args),
        Command::Flush(args) => running::flush(&args),
        Command::Guard(args) => running::guard(&args),
        Command::Log(args) => running::log(&args),
        Command::Snapshot(args) => running::snapshot(&args),
        Command::Reload(args) => running::reload(&args),
        Command::Check(args) => check::check(&args),
        Command::Config => print(config::ANNOTATED.as_bytes()),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Setup(args) => setup::setup(&args),
        Command::Man(args) => man::man(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "byway", &mut script);
            print(&script)
        }
    };
    log::flush(LAST_WORDS);
    ExitCode::from(code)
}

/// The command line. Of each command the whole usage is shown with an error: clap would show what was given as if it were
/// needed.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| {
        let name = format!("byway {}", command.get_name());
        let usage = command.clone().bin_name(name).render_usage().to_string();
        match usage.strip_prefix("Usage: ") {
            Some(usage) => command.override_usage(usage.to_owned()),
            None => command,
        }
    })
}

/// How long the end waits for what was said last to be written. Whoever reads standard error may be stuck.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The configuration that the arguments ask for. What is odd about it is said on standard error.
///
/// # Errors
/// What to exit with; why has been said on standard error.
fn load(args: &ConfigArgs) -> Result<Loaded, u8> {
    say(load_quietly(args))
}

/// As [`load`], with nothing said yet.
fn load_quietly(args: &ConfigArgs) -> Result<Loaded, ConfigError> {
    sources(args).load(&Host::this())
}

/// Where the configuration comes from.
fn sources(args: &ConfigArgs) -> Sources {
    Sources {
        file: args.config.clone(),
        overrides: Overrides {
            listen: args.listen.clone(),
            upstreams: args.upstream.clone(),
            admin: args.admin.clone(),
            passed: Vec::new(),
        },
    }
}

/// Says what is odd or wrong on standard error.
fn say(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, u8> {
    match loaded {
        Ok(loaded) => {
            for remark in &loaded.remarks {
                tell(&format!("{remark}\n"));
            }
            Ok(loaded)
        }
        Err(error) => {
            tell(&error.to_string());
            Err(exit::USAGE)
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(bytes: &[u8]) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => exit::OK,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => fail(&format!("cannot write to standard output: {error}")),
    }
}

/// Says why it could not be done.
fn fail(message: &str) -> u8 {
    tell(&format!("error: {message}"));
    exit::FAILED
}

/// Says something on standard error. That nobody hears it changes nothing.
fn tell(text: &str) {
    log::print(&format!("{text}\n"));
}

fn after_help() -> String {
    let mut out = String::from("Exit status:\n");
    for (code, meaning) in exit::MEANINGS {
        out.push_str(&format!("  {code}  {meaning}\n"));
    }
    out.push_str("\nSignals:\n");
    for (signals, meaning) in SIGNALS {
        out.push_str(&format!("  {signals}\n      {meaning}\n"));
    }
    out.push_str("\nFiles:\n");
    for (name, meaning) in FILES {
        out.push_str(&format!("  {name}\n      {meaning}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
        let mut wrong = command();
        let error = wrong.try_get_matches_from_mut(["byway", "run", "--config", "x", "--odd"]);
        let said = error.expect_err("there is no such option").to_string();
        assert!(said.contains("Usage: byway run [OPTIONS]\n"), "{said}");
    }
}
