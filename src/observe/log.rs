//! The log: lines on stderr.
//!
//! Where stderr leads to the journal and the journal can be reached, lines become entries with fields (`journald`).
//! Where it cannot, the journal stamps the time itself and reads a priority from the start of each line
//! (sd-daemon(3)), so a line carries that and no time. On a terminal it is coloured. Nothing here limits what is written: see [`quiet`](super::quiet).
//!
//! Lines are written by a thread of their own: logging never waits and never fails, whatever has become of
//! stderr (a reader that died, a full disk, a pipe that nobody empties). See [`Log`].

mod journald;
mod panics;
mod writer;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::Stat;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

pub use panics::panics;
pub use writer::Log;

/// The process's log, once it has one.
static LOG: OnceLock<Log> = OnceLock::new();
/// How its lines are written.
static STYLE: OnceLock<Style> = OnceLock::new();

/// Changes how much is logged.
type Turn = Box<dyn Fn(LevelFilter) -> bool + Send + Sync>;

/// What changes the level of the process's log, once it has one.
static TURN: OnceLock<Turn> = OnceLock::new();

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people, and for the journal where stderr leads there.
    #[default]
    Human,
    /// A JSON object a line: `timestamp`, `level`, `message`.
    Json,
}

/// How lines are written where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Human,
    Json,
    /// Entries with fields.
    Journal,
    /// Lines with their priority in front, for a journal that cannot be reached otherwise.
    Prefixed,
}

/// Sends everything at `level` or graver to stderr, panics too, from now on.
///
/// # Errors
/// If the process has a log already, or there is no thread for it.
pub fn init(level: LevelFilter, form: Form) -> io::Result<()> {
    let journal = match form {
        Form::Human if is_journal() => Some(journald::Journal::open()),
        _ => None,
    };
    let (log, style) = match (form, journal) {
        (Form::Json, _) => (Log::to(writer::Stderr, json_warning)?, Style::Json),
        (_, Some(Some(journal))) => (Log::to(journal, journal_warning)?, Style::Journal),
        (_, Some(None)) => (Log::to(writer::Stderr, prefixed_line)?, Style::Prefixed),
        (_, None) => (Log::to(writer::Stderr, plain_line)?, Style::Human),
    };
    LOG.set(log.clone())
        .map_err(|_| io::Error::other("there is a log already"))?;
    let _ = STYLE.set(style);
    let (filter, handle) = reload::Layer::new(level);
    let _ = TURN.set(Box::new(move |level| handle.reload(level).is_ok()));
    let all = tracing_subscriber::registry().with(filter);
    let entries = journald::Entries(log.clone());
    let stderr = tracing_subscriber::fmt::layer()
        // Its own complaints would go to stderr past the thread.
        .log_internal_errors(false)
        .with_writer(move || log.clone());
    let set = match style {
        Style::Json => {
            let stderr = stderr.json().flatten_event(true).with_target(false);
            tracing::subscriber::set_global_default(all.with(stderr))
        }
        Style::Journal => tracing::subscriber::set_global_default(all.with(entries)),
        Style::Prefixed => {
            let stderr = stderr.with_ansi(false).event_format(JournalLine);
            tracing::subscriber::set_global_default(all.with(stderr))
        }
        Style::Human => {
            let colour = io::stderr().is_terminal();
            let stderr = stderr.with_ansi(colour).with_target(false);
            tracing::subscriber::set_global_default(all.with(stderr))
        }
    };
    set.map_err(io::Error::other)?;
    panics::tell();
    Ok(())
}

/// Logs everything at `level` or graver from now on. False if the process has no log.
pub fn set_level(level: LevelFilter) -> bool {
    TURN.get().is_some_and(|turn| turn(level))
}

/// Logs that something happened: `text` for people, and where the log has fields everything that it says.
pub fn event(level: Level, text: impl fmt::Display, facts: impl FnOnce() -> Map<String, Value>) {
    let styled = LOG.get().zip(STYLE.get());
    match styled {
        _ if level > LevelFilter::current() => {}
        Some((log, Style::Journal)) => {
            let mut entry = journald::Entry::new(level, &text.to_string());
            entry.facts(&facts());
            log.write(entry.finish());
        }
        Some((log, Style::Json)) => {
            let mut line = json_object(level.as_str(), &text.to_string());
            line["event"] = Value::Object(facts());
            log.write(format!("{line}\n").into_bytes());
        }
        _ => match level {
            Level::ERROR => tracing::error!("{text}"),
            Level::WARN => tracing::warn!("{text}"),
            Level::INFO => tracing::info!("{text}"),
            _ => tracing::debug!("{text}"),
        },
    }
}

/// Puts a text as it is on stderr, in its order among the lines of the log if the process has one; as objects or
/// entries, one for each line, if it has those. A stderr that takes nothing is nobody's failure.
pub fn print(text: &str) {
    match LOG.get().zip(STYLE.get()) {
        Some((log, Style::Json)) => {
            let lines = text.lines().map(|line| json_line("INFO", line.trim()));
            log.write(lines.collect::<String>().into_bytes());
        }
        Some((log, Style::Journal)) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.for_each(|line| log.write(journald::Entry::new(Level::INFO, line).finish()));
        }
        Some((log, _)) => log.write(text.as_bytes().to_vec()),
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Gives the log `patience` to write what it has been given: before the process ends.
pub fn flush(patience: Duration) {
    if let Some(log) = LOG.get() {
        log.flush(patience);
    }
}

/// Lines of the log that were lost since the start.
pub fn lost() -> u64 {
    LOG.get().map_or(0, Log::lost)
}

/// A warning as `tracing` writes it where there is no journal and no colour.
fn plain_line(text: &str) -> Vec<u8> {
    let mut line = String::new();
    // Without a time it is still worth reading.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    format!("{line}  WARN {text}\n").into_bytes()
}

/// A line as `tracing` writes it in JSON.
fn json_line(level: &str, text: &str) -> String {
    format!("{}\n", json_object(level, text))
}

fn json_object(level: &str, text: &str) -> Value {
    let mut timestamp = String::new();
    // Without a time it is still worth reading.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    json!({"timestamp": timestamp, "level": level, "message": text})
}

/// A warning in JSON.
fn json_warning(text: &str) -> Vec<u8> {
    json_line("WARN", text).into_bytes()
}

/// A warning as an entry of the journal.
fn journal_warning(text: &str) -> Vec<u8> {
    journald::Entry::new(Level::WARN, text).finish()
}

/// A warning for a journal that reads lines.
fn prefixed_line(text: &str) -> Vec<u8> {
    format!("<{}>{text}\n", journald::priority(Level::WARN)).into_bytes()
}

/// Whether stderr goes to the journal: `$JOURNAL_STREAM` names the device and inode of the stream
/// that systemd gave this service, and stderr may since have been pointed elsewhere
/// (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stderr| names(&stream, &stderr))
}

fn names(stream: &str, file: &Stat) -> bool {
    stream.split_once(':').is_some_and(|(device, inode)| {
        device.parse() == Ok(file.st_dev) && inode.parse() == Ok(file.st_ino)
    })
}

/// `<4>the line`: the syslog priority, then the message and its fields.
struct JournalLine;

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = journald::priority(*event.metadata().level());
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no panic while held")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_the_journal_is_its_priority_and_its_words() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_ansi(false)
            .event_format(JournalLine)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("cannot bind");
            tracing::warn!(route = "dc1@eth1", "congested");
            tracing::info!("listening");
            tracing::debug!("not at this level");
        });
        let text = String::from_utf8(kept.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(
            text,
            "<3>cannot bind\n<4>congested route=\"dc1@eth1\"\n<6>listening\n"
        );
    }

    #[test]
    fn only_the_very_stream_counts_as_the_journal() {
        let file = tempfile::tempfile().expect("a temporary file");
        let stat = rustix::fs::fstat(&file).expect("its metadata");
        assert!(names(&format!("{}:{}", stat.st_dev, stat.st_ino), &stat));
        for other in ["", ":", "8:1", "x:y"] {
            assert!(!names(other, &stat), "{other:?}");
        }
        assert!(!names(
            &format!("{}:{}", stat.st_dev, stat.st_ino ^ 1),
            &stat
        ));
    }
}
