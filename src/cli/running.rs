//! The commands to a running daemon.

use std::time::Duration;

use clap::Args;

use super::LogLevel;
use super::client::{Reach, encoded};
use super::{exit, fail, tell};
use crate::admin::SNAPSHOT_PATIENCE;
use crate::admin::api::{self, State};
use crate::config::units::parse_duration;
use crate::wire::RecordType;

mod show;

/// How often `events --follow` looks for new ones.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often `trace` does.
const TRACE_EVERY: Duration = Duration::from_millis(200);

/// How byway fares: in words first, then every route
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    reach: Reach,
}

/// Prints it. Healthy, in trouble or down is told by the exit status too.
pub(super) fn status(args: &StatusArgs) -> u8 {
    match args.reach.show("/api/v1/status", show::status) {
        Ok(status) => match status.state {
            State::Well => exit::OK,
            State::Trouble => exit::TROUBLE,
            State::Down => exit::FAILED,
        },
        Err(code) => code,
    }
}

/// Every route: what is believed of it, its round trips, and what that rests on
#[derive(Args, Debug)]
pub(super) struct RoutesArgs {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn routes(args: &RoutesArgs) -> u8 {
    let shown = args.reach.show("/api/v1/routes", |routes: &api::Routes| {
        show::routes(&routes.routes)
    });
    shown.err().unwrap_or(exit::OK)
}

/// What would be done for a question now, and why
#[derive(Args, Debug)]
pub(super) struct WhyArgs {
    /// The name, as in a zone file
    name: String,
    /// The type of record: a mnemonic, or TYPE and a number
    #[arg(value_name = "TYPE", default_value = "A")]
    record_type: RecordType,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn why(args: &WhyArgs) -> u8 {
    let path = format!(
        "/api/v1/why?name={}&type={}",
        encoded(&args.name),
        args.record_type
    );
    args.reach.show(&path, show::why).err().unwrap_or(exit::OK)
}

/// Everything that is decided about the questions for one name, as it happens
#[derive(Args, Debug)]
pub(super) struct TraceArgs {
    /// The name, as in a zone file
    name: String,
    /// The type of record; all types if left out
    #[arg(value_name = "TYPE")]
    record_type: Option<RecordType>,
    /// For how long, ten minutes at most
    #[arg(long = "for", value_name = "TIME", value_parser = span, default_value = "30s")]
    lasts: Duration,
    #[command(flatten)]
    reach: Reach,
}

/// Prints the lines until the time is up. Somebody else has to ask for the name meanwhile.
pub(super) fn trace(args: &TraceArgs) -> u8 {
    let order = api::TraceOrder {
        name: args.name.clone(),
        record_type: args.record_type.map(|it| it.to_string()),
        seconds: args.lasts.as_secs(),
    };
    let begun: api::TraceBegun = match args.reach.post("/api/v1/trace", &order) {
        Ok(begun) => begun,
        Err(error) => return fail(&error.to_string()),
    };
    if !args.reach.json {
        tell(&begun.done);
    }
    let order = api::TraceLinesOrder { id: begun.id };
    loop {
        let taken: api::TraceLines = match args.reach.post("/api/v1/trace/lines", &order) {
            Ok(taken) => taken,
            Err(error) => return fail(&error.to_string()),
        };
        let text: String = taken
            .lines
            .iter()
            .map(|line| match args.reach.json {
                true => serde_json::to_string(line).unwrap_or_default() + "\n",
                false => show::trace_line(line),
            })
            .collect();
        let code = super::print(text.as_bytes());
        if taken.over && taken.left_out > 0 {
            tell(&format!(
                "{} lines were left out: too many a second",
                taken.left_out
            ));
        }
        if taken.over || code != exit::OK {
            return code;
        }
        std::thread::sleep(TRACE_EVERY);
    }
}

/// Which names are asked for most, and which clients ask most
#[derive(Args, Debug)]
pub(super) struct TopArgs {
    /// So many of each, 1000 at most
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    most: u32,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn top(args: &TopArgs) -> u8 {
    let path = format!("/api/v1/top?most={}", args.most);
    match args.reach.show(&path, show::top) {
        Ok(api::Top { enabled: false, .. }) if !args.reach.json => {
            fail("nothing is counted: `[top] enabled` is false")
        }
        Ok(_) => exit::OK,
        Err(code) => code,
    }
}

/// What happened, oldest first
#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Go on and print new ones as they happen
    #[arg(long, short)]
    follow: bool,
    /// The latest so many only
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100)]
    most: u64,
    /// Every change of a verdict too, not only what it came to
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn events(args: &EventsArgs) -> u8 {
    let (mut after, mut most) = (0, args.most);
    loop {
        let path = format!(
            "/api/v1/events?after={after}&most={most}&details={}",
            args.verbose
        );
        let events = match args.reach.get::<api::Events>(&path) {
            Ok(answered) => answered.document.events,
            Err(error) => return fail(&error.to_string()),
        };
        if let Some(last) = events.last() {
            after = last.number;
        }
        let text: String = events
            .iter()
            .map(|event| match args.reach.json {
                // A line each, so that it can be followed too.
                true => serde_json::to_string(event).unwrap_or_default() + "\n",
                false => show::event(event),
            })
            .collect();
        let code = super::print(text.as_bytes());
        if !args.follow || code != exit::OK {
            return code;
        }
        most = 1000;
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What the cache holds for a name
#[derive(Args, Debug)]
pub(super) struct CacheArgs {
    /// The name, as in a zone file
    name: String,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn cache(args: &CacheArgs) -> u8 {
    let path = format!("/api/v1/cache?name={}", encoded(&args.name));
    args.reach
        .show(&path, show::cache)
        .err()
        .unwrap_or(exit::OK)
}

/// Take a path, an upstream or a route out of use, at once
#[derive(Args, Debug)]
pub(super) struct DrainArgs {
    /// Its name
    name: String,
    /// For how long, such as "30 min" or 30m; until `byway restore` if left out
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    lasts: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).map_err(|error| error.to_string())?;
    match span.as_secs() {
        0 => Err("at least a second".into()),
        _ => Ok(span),
    }
}

pub(super) fn drain(args: &DrainArgs) -> u8 {
    let order = api::DrainOrder {
        name: args.name.clone(),
        seconds: args.lasts.map(|lasts| lasts.as_secs()),
    };
    args.reach.order("/api/v1/drain", &order)
}

/// Put back what was drained
#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn restore(args: &RestoreArgs) -> u8 {
    let name = args.name.clone();
    args.reach
        .order("/api/v1/restore", &api::RestoreOrder { name })
}

/// Forget answers: of one name, of all names below it, or all
#[derive(Args, Debug)]
pub(super) struct FlushArgs {
    /// The name to forget
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// All names below it too
    #[arg(long, requires = "name")]
    subtree: bool,
    /// Everything
    #[arg(long, conflicts_with = "name")]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn flush(args: &FlushArgs) -> u8 {
    let order = api::FlushOrder {
        name: args.name.clone(),
        subtree: args.subtree,
    };
    args.reach.order("/api/v1/flush", &order)
}

/// Names that must not vanish: which have, and for how long their last known addresses are kept
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct GuardArgs {
    #[command(subcommand)]
    order: Option<GuardOrder>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(clap::Subcommand, Debug)]
enum GuardOrder {
    /// Let a name go: what upstreams say of it counts from now on
    Release {
        /// The name, as in a zone file
        name: String,
        #[command(flatten)]
        reach: Reach,
    },
}

pub(super) fn guard(args: &GuardArgs) -> u8 {
    match &args.order {
        Some(GuardOrder::Release { name, reach }) => {
            let name = name.clone();
            reach.order("/api/v1/guard/release", &api::ReleaseOrder { name })
        }
        None => {
            let shown = args.reach.show("/api/v1/guard", show::guard);
            shown.err().unwrap_or(exit::OK)
        }
    }
}

/// Write the cache to its file now, and wait until it is written
#[derive(Args, Debug)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn snapshot(args: &SnapshotArgs) -> u8 {
    let patience = SNAPSHOT_PATIENCE + LOOK_EVERY;
    args.reach.order_within("/api/v1/snapshot", &(), patience)
}

/// Read the configuration anew; without losing a query, and only if nothing is wrong with it
#[derive(Args, Debug)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn reload(args: &ReloadArgs) -> u8 {
    args.reach.order("/api/v1/reload", &())
}

/// Log more or less from now on, until the restart
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// How much
    #[arg(value_enum)]
    level: LogLevel,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn log(args: &LogArgs) -> u8 {
    let level = tracing::level_filters::LevelFilter::from(args.level);
    let level = level.to_string();
    args.reach.order("/api/v1/log", &api::LogOrder { level })
}
