//! `byway run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

use super::client::Reach;
use super::{exit, fail, say, sources};
use crate::admin::SNAPSHOT_PATIENCE;
use crate::admin::api::{Done, TakeoverOrder};
use crate::config::AdminListen;
use crate::config::Loaded;
use crate::config::address::{AddressError, Endpoint};
use crate::config::host::Host;
use crate::{daemon, observe};

/// Serve until told to stop
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Take over from the byway that runs with this configuration: it hands over what it listens on and ends when this one has
    /// started, and no question is lost; if this one cannot start, it goes on
    #[arg(long)]
    pub takeover: bool,
    /// How much to log
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log: LogLevel,
    /// How a line is written
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogForm::Human)]
    pub log_format: LogForm,
}

/// Serves until told to stop.
pub(super) fn run(args: &RunArgs) -> u8 {
    daemon::outlive_signals();
    daemon::take_up_capabilities();
    // First of all: from here on nothing that is said waits for whoever reads it.
    if let Err(error) = observe::log::init(args.log.into(), args.log_format.into()) {
        return fail(&format!("cannot start the log: {error}"));
    }
    let passed = match daemon::Passed::all() {
        Ok(passed) => passed,
        Err(why) => return fail(&why),
    };
    let mut sources = sources(&args.config);
    sources.overrides.passed = daemon::Passed::listen(&passed);
    let loaded = match say(sources.load(&Host::this())) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let takeover = match args.takeover.then(|| take_over(&loaded)).transpose() {
        Ok(takeover) => takeover,
        Err(why) => return fail(&format!("cannot take over: {why}")),
    };
    match daemon::run(loaded, sources, passed, takeover) {
        Ok(()) => exit::OK,
        Err(error) => fail(&error.to_string()),
    }
}

/// Has the byway that runs hand over what it listens on. What it knows it writes down first, for this one to read.
fn take_over(loaded: &Loaded) -> Result<daemon::Takeover, String> {
    let Some(control) = &loaded.config.control else {
        return Err("there is no control socket (`[admin] control = \"off\"`)".into());
    };
    let reach = Reach {
        socket: Some(control.clone()),
        ..Reach::default()
    };
    let waiting = daemon::Waiting::beside(control)?;
    // None may be kept, which is no reason to stay with the old one.
    let _ = reach.post_within::<Done>("/api/v1/snapshot", &(), SNAPSHOT_PATIENCE);
    let order = TakeoverOrder {
        socket: waiting.path().display().to_string(),
    };
    reach
        .post::<Done>("/api/v1/takeover", &order)
        .map_err(|error| error.to_string())?;
    waiting.take()
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Configuration file, `-` for standard input [default: /etc/byway/byway.toml, if it exists]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accept queries here, over UDP and TCP, in place of the file's listeners; may be given several times
    #[arg(long, short, value_name = "ADDR", value_parser = listener)]
    pub listen: Vec<Endpoint>,
    /// Ask this resolver, in place of the file's upstreams; may be given several times
    #[arg(long, short, value_name = "ADDR", value_parser = upstream)]
    pub upstream: Vec<Endpoint>,
    /// Serve metrics and health here, or `off`, in place of the file's `[admin] listen`
    #[arg(long, value_name = "ADDR", value_parser = admin)]
    pub admin: Option<AdminListen>,
}

/// How much is logged. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What keeps byway from doing its work
    Error,
    /// What somebody should look at
    Warn,
    /// Start, stop, and every change of mind about a route
    Info,
    /// What helps to understand byway itself
    Debug,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// For people; under systemd for the journal, with its priorities
    Human,
    /// A JSON object a line: timestamp, level, message
    Json,
}

impl From<LogForm> for observe::log::Form {
    fn from(form: LogForm) -> observe::log::Form {
        match form {
            LogForm::Human => observe::log::Form::Human,
            LogForm::Json => observe::log::Form::Json,
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> LevelFilter {
        match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

fn listener(text: &str) -> Result<Endpoint, String> {
    Endpoint::listener(text).map_err(|error| with_help(text, &error))
}

fn admin(text: &str) -> Result<AdminListen, String> {
    AdminListen::parse(text).map_err(|error| with_help(text, &error))
}

/// Reads the address of an upstream as `--upstream` takes it.
pub(super) fn upstream(text: &str) -> Result<Endpoint, String> {
    Endpoint::upstream(text).map_err(|error| with_help(text, &error))
}

fn with_help(text: &str, error: &AddressError) -> String {
    match error.help(text) {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}
