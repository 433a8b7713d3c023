//! The tables and keys of the file: which there are, and reading them.
//!
//! serde would stop at the first error and speak of its own types; an operator at three in the morning
//! wants all of them, in the file's words. So the tables are walked by hand, once. A value that is wrong is
//! reported and then taken for not written: the configuration is refused anyway.

use std::ops::Range;

use toml::de::DeTable;

use super::report::{Place, Report, Written, clip, nearest, quoted};
use super::value::{Read, Value};

/// A table of the file while it is read.
pub(super) struct Table<'t, 'r> {
    /// As an operator would write its header; empty for the top of the file.
    header: &'static str,
    entries: &'t DeTable<'t>,
    span: Range<usize>,
    /// Another file may say what is missing here.
    part: bool,
    reports: &'r mut Vec<Report>,
}

impl<'t, 'r> Table<'t, 'r> {
    /// The top of the file; of one of several, if it is but a part.
    pub(super) fn top(
        entries: &'t DeTable<'t>,
        part: bool,
        reports: &'r mut Vec<Report>,
    ) -> Table<'t, 'r> {
        let table = Table {
            header: "",
            entries,
            span: 0..0,
            part,
            reports,
        };
        table.refuse_unknown()
    }

    /// Where the table starts: its header.
    pub(super) fn place(&self) -> Place {
        Place::Text(self.span.clone())
    }

    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    fn get(&self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(
            keys_of(self.header).contains(&key),
            "{}{key} is read but not in SHAPE",
            self.header
        );
        let value = self.entries.get(key)?;
        Some(Value {
            key,
            value: value.get_ref(),
            place: Place::Text(value.span()),
        })
    }

    /// Whether `key` is written.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Whether an unknown key was probably meant to be `key`: that is reported, and enough.
    fn has_misspelt(&self, key: &'static str) -> bool {
        let known = keys_of(self.header);
        let mut names = self.entries.keys().map(|it| it.get_ref().as_ref());
        names.any(|it| !known.contains(&it) && nearest(it, known.iter().copied()) == Some(key))
    }

    /// Whether `key` is written as a string.
    pub(super) fn is_string(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|it| it.value.is_str())
    }

    /// Reads `key` with `read`, if it is written.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Read<T>,
    ) -> Option<Written<T>> {
        let value = self.get(key)?;
        match read(&value) {
            Ok(it) => Some(Written {
                value: it,
                place: value.place,
            }),
            Err(report) => {
                self.reports.push(report);
                None
            }
        }
    }

    /// As [`Table::read`]; that the key is not written is reported too.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Read<T>,
    ) -> Option<Written<T>> {
        self.demand(key);
        self.read(key, read)
    }

    fn demand(&mut self, key: &'static str) {
        // What stands in a list of tables is whole.
        let elsewhere = self.part && !self.header.starts_with("[[");
        if !elsewhere && !self.has(key) && !self.has_misspelt(key) {
            let message = format!("`{}` has no `{key}`", self.header);
            let label = format!("expected the key `{key}` below this line");
            self.report(Report::error(message, &self.place(), label));
        }
    }

    /// A list, each item read with `read`. With one item wrong the list is as good as not written.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Value<'t>) -> Read<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let list = self.get(key)?;
        let Some(items) = list.value.as_array() else {
            let report = list.wrong_type("a list");
            let report = match list.value.as_str() {
                Some(text) => report.help(format!("write `{key} = [\"{}\"]`", clip(text))),
                None => report,
            };
            self.report(report);
            return None;
        };
        let mut all = Vec::with_capacity(items.len());
        let before = self.reports.len();
        for item in items.iter() {
            let item = Value {
                key,
                value: item.get_ref(),
                place: Place::Text(item.span()),
            };
            match read(&item) {
                Ok(value) => all.push(Written {
                    value,
                    place: item.place,
                }),
                Err(report) => self.reports.push(report),
            }
        }
        (self.reports.len() == before).then_some(Written {
            value: all,
            place: list.place,
        })
    }

    /// As [`Table::list`]; that the key is not written is reported too.
    pub(super) fn require_list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Value<'t>) -> Read<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        self.demand(key);
        self.list(key, read)
    }

    /// A table within this one, read with `read`, if it is written.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        header: &'static str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let value = self.get(key)?;
        let Some(entries) = value.value.as_table() else {
            let report = value.wrong_type("a table");
            let report = report.help(format!("write `{header}` on a line of its own"));
            self.report(report);
            return None;
        };
        Some(read(&mut self.inner(header, entries, value.place)))
    }

    /// The tables of a list of them (`[[listen]]`), each read with `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        header: &'static str,
        read: impl Fn(&mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        let Some(list) = self.get(key) else {
            return Vec::new();
        };
        let tables = list.value.as_array().into_iter().flatten();
        let tables = tables.map(|it| (it.get_ref().as_table(), it.span()));
        let tables: Option<Vec<_>> = tables
            .map(|(it, span)| it.map(|table| (table, Place::Text(span))))
            .collect();
        match tables {
            Some(tables) if list.value.is_array() => tables
                .into_iter()
                .map(|(entries, place)| read(&mut self.inner(header, entries, place)))
                .collect(),
            _ => {
                let message = format!("`{key}` is a list of tables");
                let label = format!("expected `{header}`");
                let report = Report::error(message, &list.place, label);
                self.report(report.help("each one starts with its own header in double brackets"));
                Vec::new()
            }
        }
    }

    fn inner(
        &mut self,
        header: &'static str,
        entries: &'t DeTable<'t>,
        place: Place,
    ) -> Table<'t, '_> {
        let span = match place {
            Place::Text(span) => span,
            _ => 0..0,
        };
        let table = Table {
            header,
            entries,
            span,
            part: self.part,
            reports: &mut *self.reports,
        };
        table.refuse_unknown()
    }

    fn refuse_unknown(self) -> Self {
        let known = keys_of(self.header);
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let message = match self.header {
                "" => format!("unknown key {}", quoted(name)),
                header => format!("unknown key {} in `{header}`", quoted(name)),
            };
            let (label, help) = advice(name, self.header, known);
            let report = Report::error(message, &Place::Text(key.span()), label);
            self.reports.push(report.maybe_help(help));
        }
        self
    }
}

/// Every table of the file and its keys, in the order of `config/byway.toml`.
pub(super) const SHAPE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "version",
            "workers",
            "allow",
            "listen",
            "certificate",
            "path",
            "upstream",
            "zone",
            "record",
            "guard",
            "dns64",
            "special-names",
            "routing",
            "cache",
            "recorder",
            "top",
            "query-log",
            "admin",
            "host",
            "limits",
        ],
    ),
    ("[[listen]]", &["address", "transports"]),
    ("[[certificate]]", &["chain", "key"]),
    (
        "[[path]]",
        &[
            "name",
            "interface",
            "source",
            "mark",
            "backup",
            "cost",
            "metered",
        ],
    ),
    (
        "[[upstream]]",
        &[
            "name",
            "address",
            "transport",
            "tls-name",
            "tls-ca",
            "tls-pins",
            "paths",
            "backup",
            "cost",
        ],
    ),
    (
        "[[zone]]",
        &[
            "name",
            "upstreams",
            "policy",
            "deadline",
            "stale",
            "filter",
            "private-addresses",
            "min-ttl",
            "max-ttl",
            "negative-max-ttl",
            "failure-min-ttl",
            "failure-max-ttl",
            "fall-through",
            "subtree-denial",
        ],
    ),
    ("[[record]]", &["name", "type", "data", "ttl"]),
    ("[[guard]]", &["zones", "keep", "after", "floor"]),
    ("[dns64]", &["prefix", "exclude"]),
    (
        "[special-names]",
        &[
            "localhost",
            "invalid",
            "test",
            "onion",
            "local",
            "home-arpa",
            "service-arpa",
            "resolver-arpa",
            "ipv4only-arpa",
            "private-reverse",
            "alt",
            "eap-arpa",
            "use-application-dns",
        ],
    ),
    (
        "[routing]",
        &[
            "policy",
            "deadline",
            "return-within",
            "unknown-after",
            "extra-share",
            "ceiling",
            "randomize-case",
            "hedge-min",
            "hedge-max",
        ],
    ),
    (
        "[cache]",
        &[
            "size",
            "min-ttl",
            "max-ttl",
            "negative-max-ttl",
            "stale-max",
            "stale-ttl",
            "stale-wait",
            "refresh",
            "rotate",
            "failure-min-ttl",
            "failure-max-ttl",
            "snapshot",
            "snapshot-every",
        ],
    ),
    ("[recorder]", &["enabled", "path", "size"]),
    ("[top]", &["enabled", "entries", "window", "rate"]),
    ("[query-log]", &["path", "socket", "size"]),
    ("[admin]", &["listen", "control"]),
    (
        "[host]",
        &[
            "resolv-conf",
            "hosts",
            "hosts-ttl",
            "link-domains",
            "identity",
        ],
    ),
    (
        "[limits]",
        &[
            "questions",
            "waiting",
            "waiting-per-question",
            "waiting-per-client",
            "new-names-per-client",
            "clients",
            "client-ipv4",
            "client-ipv6",
            "exempt-clients",
            "udp-answers-per-client",
            "slip",
            "cookie-secrets",
            "guarded-names",
            "queue-patience",
            "attempts-per-route",
            "source-ports",
            "upstream-sockets",
            "upstream-connections",
            "tcp-connections",
            "tcp-connections-per-client",
            "tcp-pipeline",
            "tcp-answers",
            "tcp-buffer",
            "tcp-idle",
            "tcp-stall",
            "udp-payload",
            "udp-buffer",
        ],
    ),
];

/// Whether `key` at the top of the file is a list of tables.
pub(super) fn is_list_of_tables(key: &str) -> bool {
    let plain = |it: &str| it.strip_prefix("[[").and_then(|it| it.strip_suffix("]]")) == Some(key);
    SHAPE.iter().any(|(it, _)| plain(it))
}

fn keys_of(header: &str) -> &'static [&'static str] {
    let table = SHAPE.iter().find(|(it, _)| *it == header);
    table.map_or(&[], |(_, keys)| keys)
}

/// What to say beside an unknown key and what to do about it. TOML has one trap that everybody falls into: a
/// key below a header belongs to that table, wherever it was meant to go.
fn advice(name: &str, header: &str, known: &[&str]) -> (String, Option<String>) {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        let label = NOT_HERE.to_owned();
        return (label, Some(format!("did you mean `{meant}`?")));
    }
    let home = SHAPE
        .iter()
        .find(|(it, keys)| *it != header && keys.contains(&name))
        .map(|(it, _)| *it);
    let help = match home {
        Some("") => format!("`{name}` belongs at the top of the file, above the first table"),
        Some(home) => format!("`{name}` belongs to `{home}`"),
        None => {
            let label = format!("expected one of {}", known.join(", "));
            return (label, None);
        }
    };
    (NOT_HERE.to_owned(), Some(help))
}

const NOT_HERE: &str = "not a key of this table";
