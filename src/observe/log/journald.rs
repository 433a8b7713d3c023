//! The journal's native protocol, so that entries carry fields: `journalctl BYWAY_KIND=trouble`.
//!
//! An entry is a datagram of `FIELD=value` lines; a value with a line's end in it has its length before it (systemd's
//! JOURNAL_NATIVE_PROTOCOL.md). Whoever logs makes the datagram; the log's thread sends it, so a journal that does not
//! read holds up nobody, and what it does not take is counted like every other line.
//!
//! Why no crate: tracing-journald (0.3) sends from the thread that logs, over a socket that waits while the journal's
//! queue is full, and counts nothing.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::writer::Log;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest message, in bytes; the rest of a longer one is left out.
const MESSAGE_MAX: usize = 16 * 1024;
/// The longest entry, in bytes: less than the least that a kernel lets a socket send. Fields that do not fit are left
/// out.
const ENTRY_MAX: usize = 64 * 1024;
/// The longest name of a field (systemd.journal-fields(7)).
const NAME_MAX: usize = 64;

/// Sends entries to the journal.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// A way to the journal; `None` if none listens.
    pub(super) fn open() -> Option<Journal> {
        let socket = UnixDatagram::unbound().ok()?;
        // It may be another one later: nothing is kept connected.
        UnixDatagram::unbound().ok()?.connect(SOCKET).ok()?;
        Some(Journal(socket))
    }
}

impl Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send_to(entry, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry: a message of this priority, and what else is known of it.
#[derive(Debug)]
pub(super) struct Entry(Vec<u8>);

impl Entry {
    pub(super) fn new(level: Level, message: &str) -> Entry {
        let mut entry = Entry(Vec::with_capacity(256));
        entry.put("PRIORITY", &priority(level).to_string());
        entry.put("SYSLOG_IDENTIFIER", "byway");
        let mut end = message.len().min(MESSAGE_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        entry.put("MESSAGE", &message[..end]);
        entry
    }

    /// Adds everything that an event says, each thing as a field of its own: what stands within another one has that
    /// one's name before its own.
    pub(super) fn facts(&mut self, facts: &Map<String, Value>) {
        for (name, value) in facts {
            self.fact("BYWAY", name, value);
        }
    }

    fn fact(&mut self, above: &str, name: &str, value: &Value) {
        let name = format!("{above}_{}", field_name(name));
        match value {
            Value::Null => {}
            Value::Object(inside) => {
                for (key, value) in inside {
                    self.fact(&name, key, value);
                }
            }
            Value::String(text) => self.put(&name, text),
            other => self.put(&name, &other.to_string()),
        }
    }

    /// Adds a field, if there is room.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        if name.len() > NAME_MAX || self.0.len() + name.len() + value.len() + 10 > ENTRY_MAX {
            return;
        }
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            let length = value.len() as u64;
            self.0.extend_from_slice(&length.to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }

    /// The datagram.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// As syslog has it (syslog(3)).
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A field's name has upper-case letters, digits and underscores.
fn field_name(name: &str) -> String {
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(fit).collect()
}

/// What `tracing` is told, as entries.
pub(super) struct Entries(pub(super) Log);

impl<S: Subscriber> Layer<S> for Entries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let mut entry = Entry::new(*event.metadata().level(), &told.line());
        for (name, value) in &told.fields {
            entry.put(&format!("BYWAY_{}", field_name(name)), value);
        }
        self.0.write(entry.finish());
    }
}

/// A message and its fields.
#[derive(Default)]
struct Told {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Told {
    /// The message with its fields behind it, as in the other forms of the log.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            // Writing to a string does not fail.
            let _ = write!(line, " {name}={value}");
        }
        line
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name, value.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(entry: Entry) -> String {
        String::from_utf8_lossy(&entry.finish()).into_owned()
    }

    #[test]
    fn an_event_is_an_entry_with_a_field_for_each_thing_that_it_says() {
        let mut entry = Entry::new(Level::WARN, "path eth1 congested");
        let facts = json!({
            "kind": "trouble",
            "subject": {"kind": "path", "name": "eth1"},
            "evidence": {"lost": 4, "excess": 0.48, "rcode": null},
            "instead": ["dc1@eth0"],
            "well-for": true,
        });
        entry.facts(facts.as_object().expect("an object"));
        assert_eq!(
            text(entry),
            "PRIORITY=4\nSYSLOG_IDENTIFIER=byway\nMESSAGE=path eth1 congested\n\
             BYWAY_EVIDENCE_EXCESS=0.48\nBYWAY_EVIDENCE_LOST=4\nBYWAY_INSTEAD=[\"dc1@eth0\"]\n\
             BYWAY_KIND=trouble\nBYWAY_SUBJECT_KIND=path\nBYWAY_SUBJECT_NAME=eth1\nBYWAY_WELL_FOR=true\n"
        );
    }

    #[test]
    fn a_value_of_several_lines_cannot_pass_for_other_fields() {
        let entry = Entry::new(Level::ERROR, "a\nPRIORITY=7");
        let expected = b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=7\n";
        let bytes = entry.finish();
        assert!(bytes.ends_with(expected), "{}", bytes.escape_ascii());
    }

    #[test]
    fn an_entry_is_bounded_and_what_does_not_fit_is_left_out_whole() {
        let mut entry = Entry::new(Level::INFO, &"ü".repeat(20_000));
        for _ in 0..10 {
            entry.put("BYWAY_LONG", &"x".repeat(10_000));
        }
        entry.put("BYWAY_SHORT", "y");
        entry.put(&"N".repeat(65), "z");
        let text = text(entry);
        assert!(text.len() <= ENTRY_MAX);
        assert!(text.ends_with("\nBYWAY_SHORT=y\n"));
        let message = text.lines().find_map(|it| it.strip_prefix("MESSAGE="));
        assert_eq!(message.map(str::len), Some(MESSAGE_MAX));
        let whole = |line: &str| !line.starts_with("BYWAY_LONG") || line.len() == 10_011;
        assert!(text.lines().all(whole));
    }

    #[test]
    fn what_tracing_is_told_has_its_fields_in_the_line_and_apart() {
        let received = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        use tracing_subscriber::layer::SubscriberExt;
        let log = Log::to(Kept(received.clone()), |text| text.into()).expect("a thread");
        let all = tracing_subscriber::registry().with(Entries(log.clone()));
        tracing::subscriber::with_default(all, || {
            tracing::warn!(listener = 3, peer = "a\nb", "a query was lost");
        });
        assert!(log.flush(std::time::Duration::from_secs(20)));
        let bytes = received.lock().expect("no panic").clone();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            text.contains("a query was lost listener=3 peer=a\nb"),
            "{text}"
        );
        assert!(text.contains("\nBYWAY_LISTENER=3\n"), "{text}");
        assert!(
            text.contains("\nBYWAY_PEER\n\u{3}\0\0\0\0\0\0\0a\nb\n"),
            "{text}"
        );
    }
}
