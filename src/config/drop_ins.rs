//! The files of `conf.d` beside the configuration file, and how they and it become one.
//!
//! They are read after it, in the order of their names, as if each were written below the one before. Tables are one
//! table, lists of tables (`[[upstream]]`) grow, and of a key that is given twice the later one holds: that is what
//! such folders mean everywhere else, and how a key of the packaged file is changed without touching it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Source;
use super::table::is_list_of_tables;

/// What the folder beside the configuration file is called.
pub(super) const FOLDER: &str = "conf.d";

/// More files are refused.
const MOST_FILES: usize = 64;

/// A folder with more entries, of whatever kind, is none of byway's.
const MOST_ENTRIES: usize = 1024;

/// The folder beside the configuration `file`, whether it is there or not.
pub fn folder(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(FOLDER)
}

/// The files of `folder` that are read, in their order. None if there is no such folder.
///
/// # Errors
/// What the system says, or that there are too many.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count == MOST_ENTRIES {
            let message = format!("it has more than {MOST_ENTRIES} entries");
            return Err(io::Error::other(message));
        }
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        // Hidden ones belong to editors, package managers and Kubernetes.
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            found.push(name);
        }
    }
    if found.len() > MOST_FILES {
        let message = format!("{} files are too many: at most {MOST_FILES}", found.len());
        return Err(io::Error::other(message));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|name| folder.join(name)).collect())
}

/// Something that a file of the folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Which file.
    pub file: String,
    /// In which line.
    pub line: usize,
    /// What: `[cache] size`, or `[[upstream]]`.
    pub key: String,
    /// File and line of what would hold without it.
    pub instead_of: Option<(String, usize)>,
}

/// The documents of several files made one.
pub(super) struct Merged<'t> {
    pub(super) document: DeTable<'t>,
    /// What those after the first say, and what for.
    given: Given,
}

impl<'t> Merged<'t> {
    pub(super) fn new(first: DeTable<'t>) -> Merged<'t> {
        Merged {
            document: first,
            given: Vec::new(),
        }
    }

    /// Adds a file's document to those before it.
    pub(super) fn add(&mut self, later: DeTable<'t>) {
        for (key, value) in later {
            let name = key.get_ref().to_string();
            // It says how the file is to be read, each its own.
            if name != "version" {
                put(&mut self.document, key, value, "", &mut self.given);
            }
        }
    }

    /// What came from which of the files, in their order.
    pub(super) fn added(&self, source: &Source<'_>) -> Vec<Added> {
        let at = |span: &Range<usize>| {
            let (name, line) = source.line(span);
            (name.to_owned(), line)
        };
        let mut given: Vec<_> = self.given.iter().collect();
        given.sort_by_key(|(span, ..)| span.start);
        let given = given.into_iter().map(|(span, key, instead_of)| {
            let (file, line) = at(span);
            let (key, instead_of) = (key.clone(), instead_of.as_ref().map(at));
            Added {
                file,
                line,
                key,
                instead_of,
            }
        });
        given.collect()
    }
}

/// Where something is said, what it is, and where that would be said without it.
type Given = Vec<(Range<usize>, String, Option<Range<usize>>)>;

/// Puts a key and its value into `table`, whose header is `header`, and says in `given` what it is.
fn put<'t>(
    table: &mut DeTable<'t>,
    key: Spanned<std::borrow::Cow<'t, str>>,
    value: Spanned<DeValue<'t>>,
    header: &str,
    given: &mut Given,
) {
    let name = key.get_ref().to_string();
    let place = key.span();
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(inner) if header.is_empty() => {
            let missing = !matches!(
                table.get(name.as_str()).map(Spanned::get_ref),
                Some(DeValue::Table(_))
            );
            if missing {
                table.remove(name.as_str());
                table.insert(key, Spanned::new(span, DeValue::Table(DeTable::new())));
            }
            let header = format!("[{name}] ");
            if let Some(DeValue::Table(known)) = table.get_mut(name.as_str()).map(Spanned::get_mut)
            {
                for (key, value) in inner {
                    put(known, key, value, &header, given);
                }
            }
        }
        DeValue::Array(items) if header.is_empty() && is_list_of_tables(&name) => {
            let all = items.iter();
            given.extend(all.map(|it| (it.span(), format!("[[{name}]]"), None)));
            match table.get_mut(name.as_str()).map(Spanned::get_mut) {
                Some(DeValue::Array(known)) => items.into_iter().for_each(|it| known.push(it)),
                _ => {
                    table.remove(name.as_str());
                    table.insert(key, Spanned::new(span, DeValue::Array(items)));
                }
            }
        }
        value => {
            let before = table.remove_entry(name.as_str()).map(|(key, _)| key.span());
            given.push((place, format!("{header}{name}"), before));
            table.insert(key, Spanned::new(span, value));
        }
    }
}

/// The same document with all its places moved by `by`.
pub(super) fn moved(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let shift = |span: Range<usize>| span.start + by..span.end + by;
    let entries = table.into_iter().map(|(key, value)| {
        let (from, to) = (shift(key.span()), shift(value.span()));
        let value = moved_value(value.into_inner(), by);
        (
            Spanned::new(from, key.into_inner()),
            Spanned::new(to, value),
        )
    });
    entries.collect()
}

fn moved_value(value: DeValue<'_>, by: usize) -> DeValue<'_> {
    match value {
        DeValue::Table(table) => DeValue::Table(moved(table, by)),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|it| {
                let span = it.span().start + by..it.span().end + by;
                Spanned::new(span, moved_value(it.into_inner(), by))
            });
            DeValue::Array(items.collect())
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_files_are_read_and_in_which_order() {
        let beside = tempfile::tempdir().unwrap();
        let folder = folder(&beside.path().join("byway.toml"));
        assert!(list(&folder).unwrap().is_empty());
        fs::create_dir(&folder).unwrap();
        for name in [
            "20.toml",
            "3.toml",
            "10-b.toml",
            "10-a.toml",
            ".hidden.toml",
            "10-c.toml~",
            "note.txt",
            "x.toml.dpkg-new",
        ] {
            fs::write(folder.join(name), "").unwrap();
        }
        let found = list(&folder).unwrap();
        let names: Vec<_> = found.iter().map(|it| it.file_name().unwrap()).collect();
        assert_eq!(names, ["10-a.toml", "10-b.toml", "20.toml", "3.toml"]);
    }

    #[test]
    fn more_than_some_files_and_more_than_some_entries_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: String| fs::write(folder.path().join(name), "").unwrap();
        (0..MOST_FILES).for_each(|it| write(format!("{it}.toml")));
        assert_eq!(list(folder.path()).unwrap().len(), MOST_FILES);
        write("one.toml".to_owned());
        let error = list(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "65 files are too many: at most 64");
        (MOST_FILES + 1..MOST_ENTRIES).for_each(|it| write(format!("{it}.txt")));
        let error = list(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "65 files are too many: at most 64");
        write("two.txt".to_owned());
        let error = list(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "it has more than 1024 entries");
    }

    /// Wherever a file is cut between two of its tables, its parts mean what it means.
    #[test]
    fn a_file_in_parts_means_the_same() {
        use super::super::host::Host;
        use super::super::{ANNOTATED, Overrides, load, parse};

        let upstream = "[[upstream]]\naddress = \"10.0.0.2\"\n";
        let text = format!("{ANNOTATED}\n{upstream}\n{}", upstream.replace(".2", ".3"));
        let whole = parse(None, &text, &Overrides::default(), &Host::example()).unwrap();
        let heads: Vec<usize> = text.match_indices("\n[").map(|(at, _)| at + 1).collect();
        assert!(heads.len() > 5);
        for pair in heads.windows(2) {
            let beside = tempfile::tempdir().unwrap();
            let file = beside.path().join("byway.toml");
            let folder = folder(&file);
            fs::create_dir(&folder).unwrap();
            fs::write(&file, &text[..pair[0]]).unwrap();
            fs::write(folder.join("1.toml"), &text[pair[0]..pair[1]]).unwrap();
            fs::write(folder.join("2.toml"), &text[pair[1]..]).unwrap();
            let parts = load(Some(&file), &Overrides::default(), &Host::example()).unwrap();
            assert_eq!(parts.config, whole.config);
            assert!(!parts.added.is_empty());
        }
    }
}
