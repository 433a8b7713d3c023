//! From a file's name, or none, to a configuration.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::address::Endpoint;
use super::drop_ins::{self, Added, Merged};
use super::host::Host;
use super::report::{Piece, Place, Remark, Report, Severity, Source, Written, shown};
use super::spec::{AdminListen, ListenSpec, Spec, UpstreamSpec};
use super::{Config, Listen, UpstreamConfig, file, meaning, syntax};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/byway/byway.toml";

/// In place of a file's name: standard input.
const STDIN: &str = "-";

/// Larger files are refused before they are parsed; so are those of `conf.d` if all of them together are larger.
const MOST_BYTES: u64 = 1024 * 1024;

/// Stands for a file that is not there.
const NOTHING_SAID: &str = "version = 1";

/// Errors shown at once; what follows them is counted.
const MOST_SHOWN: usize = 20;

/// What the command line says in place of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Listeners, UDP and TCP, in place of the file's, unless empty.
    pub listen: Vec<Endpoint>,
    /// Upstreams, over the path `default`, in place of the file's, unless empty.
    pub upstreams: Vec<Endpoint>,
    /// Where metrics and health are served, in place of what the file says.
    pub admin: Option<AdminListen>,
    /// What the service manager has passed sockets for: listened on besides what the file says, and in place of the default.
    pub passed: Vec<Listen>,
}

/// Where the upstreams of a configuration come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamsFrom {
    /// `[[upstream]]` tables of the file.
    File,
    /// `--upstream` options.
    CommandLine,
    /// The host's resolver configuration.
    ResolvConf(PathBuf),
}

/// A configuration and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it was read from; `None` if the built-in defaults hold.
    pub file: Option<PathBuf>,
    /// What stood in it, and then in each of the files of `conf.d`.
    pub pieces: Vec<Piece>,
    /// What came from the files of `conf.d`.
    pub added: Vec<Added>,
    /// Where its upstreams come from.
    pub upstreams_from: UpstreamsFrom,
    /// If that is a resolv.conf: the files that are to be looked at for others, and where the upstreams that it names stand among
    /// all.
    pub followed: Option<(Vec<PathBuf>, Range<usize>)>,
    /// Where files of the host's links lie, if their domains are zones; and how much of what they say could not be used.
    pub links: (Vec<PathBuf>, usize),
    /// Warnings and notes, rendered, for the operator's eyes.
    pub remarks: Vec<String>,
    /// The same, for programs.
    pub reports: Vec<Remark>,
}

impl Loaded {
    /// The file's name, or that there is none; and which others say something.
    pub fn origin(&self) -> String {
        let (first, beside) = match &self.file {
            Some(file) => (name_of(file), file.as_path()),
            None => {
                let first = format!("built-in defaults, as there is no {DEFAULT_FILE}");
                (first, Path::new(DEFAULT_FILE))
            }
        };
        match self.drop_ins() {
            [] => first,
            [only] => format!("{first}, and {}", only.name),
            all => {
                let folder = drop_ins::folder(beside);
                format!("{first}, and {} files in {}", all.len(), folder.display())
            }
        }
    }

    /// The files of `conf.d`, in the order in which they are read.
    pub fn drop_ins(&self) -> &[Piece] {
        self.pieces.get(1..).unwrap_or_default()
    }
}

impl Loaded {
    /// The upstreams that a resolv.conf names.
    pub fn found(&self) -> &[UpstreamConfig] {
        let at = self.followed.as_ref().map_or(0..0, |(_, at)| at.clone());
        &self.config.upstreams[at]
    }

    /// Whether nobody can be asked before a resolv.conf names somebody.
    pub fn has_nobody(&self) -> bool {
        self.followed.as_ref().is_some_and(|(_, at)| at.is_empty())
    }

    /// Where it and its upstreams come from, for an operator.
    pub fn describe(&self) -> String {
        format!("{}; upstreams from {}", self.origin(), self.upstreams_from)
    }
}

/// Where a configuration comes from, to be read from again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named, if one was.
    pub file: Option<PathBuf>,
    /// What the command line says in place of it.
    pub overrides: Overrides,
}

impl Sources {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, host: &Host) -> Result<Loaded, ConfigError> {
        load(self.file.as_deref(), &self.overrides, host)
    }

    /// Reads it anew, in place of `before`.
    ///
    /// # Errors
    /// As [`load`]; and if it came from standard input, or from a file that is not there any more: nobody who removes
    /// a file means the defaults.
    pub fn reload(&self, before: &Loaded, host: &Host) -> Result<Loaded, ConfigError> {
        if self.file.as_deref() == Some(Path::new(STDIN)) {
            let place = Place::Whole(name_of(Path::new(STDIN)));
            let message =
                "the configuration was read from standard input, which cannot be read twice";
            let report = Report::error(message, &place, "nothing to read again");
            return Err(refuse_unread(
                report.help("start byway with `--config FILE`"),
            ));
        }
        let known = before.found();
        let loaded = read_and_parse(self.file.as_deref(), &self.overrides, host, known)?;
        if let (Some(file), None) = (&before.file, &loaded.file) {
            let place = Place::Whole(name_of(file));
            let message = "the configuration file is gone";
            let report = Report::error(message, &place, "there is no such file any more");
            let help = "put it back, or restart byway to run by the built-in defaults";
            return Err(refuse_unread(report.help(help)));
        }
        if loaded.has_nobody() && !before.has_nobody() {
            let remarks = loaded.remarks.join("\n\n");
            return Err(ConfigError {
                rendered: format!("nobody could be asked any more\n\n{remarks}"),
                reports: loaded.reports,
            });
        }
        Ok(loaded)
    }

    /// What `before` means now, by what its file said then: where upstreams come from the host's resolver
    /// configuration, that may have changed. If it names nobody any more, those stay that it named.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn look_again(&self, before: &Loaded, host: &Host) -> Result<Loaded, ConfigError> {
        let (file, known) = (before.file.as_deref(), before.found());
        parse_after(file, before.pieces.clone(), &self.overrides, host, known)
    }
}

/// Why there is no configuration: everything that is wrong, rendered, ready to be printed to a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rendered}")]
pub struct ConfigError {
    rendered: String,
    /// Everything that is wrong, for programs.
    pub reports: Vec<Remark>,
}

/// Reads the configuration from `file`, which is standard input if it is `-`; without one from [`DEFAULT_FILE`], if that is there; otherwise the
/// defaults hold. The files of the folder `conf.d` beside it are read after it.
///
/// # Errors
/// Everything that is wrong with the file, or that it cannot be read, or that no upstream can be found.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    host: &Host,
) -> Result<Loaded, ConfigError> {
    read_and_parse(file, overrides, host, &[])
}

fn read_and_parse(
    file: Option<&Path>,
    overrides: &Overrides,
    host: &Host,
    known: &[UpstreamConfig],
) -> Result<Loaded, ConfigError> {
    let name = file.unwrap_or(Path::new(DEFAULT_FILE));
    let (found, text) = match read(name, MOST_BYTES) {
        Ok(text) => (Some(name), text),
        Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {
            (None, NOTHING_SAID.to_owned())
        }
        Err(error) => {
            let report = unreadable(name, &error);
            return Err(refuse_unread(match error.kind() {
                io::ErrorKind::NotFound => {
                    report.help("`byway config` prints a file to start from")
                }
                io::ErrorKind::InvalidInput => {
                    report.help("write `-` in place of a name to have standard input read")
                }
                _ => report,
            }));
        }
    };
    let mut pieces = vec![Piece {
        name: found.map_or_else(String::new, name_of),
        text,
    }];
    if name != Path::new(STDIN) {
        pieces.append(&mut read_drop_ins(name).map_err(refuse_unread)?);
    }
    parse_after(found, pieces, overrides, host, known)
}

/// The files of `conf.d` beside `file`.
fn read_drop_ins(file: &Path) -> Result<Vec<Piece>, Report> {
    let folder = drop_ins::folder(file);
    let files = drop_ins::list(&folder).map_err(|error| {
        let place = Place::Whole(folder.display().to_string());
        let message = "the folder beside the configuration file cannot be read";
        Report::error(message, &place, error.to_string())
    })?;
    let mut left = MOST_BYTES;
    let mut pieces = Vec::with_capacity(files.len());
    for file in files {
        let text = read(&file, left).map_err(|error| unreadable(&file, &error))?;
        left -= text.len() as u64;
        let name = name_of(&file);
        pieces.push(Piece { name, text });
    }
    Ok(pieces)
}

fn unreadable(name: &Path, error: &io::Error) -> Report {
    let place = Place::Whole(name_of(name));
    let message = "the configuration file cannot be read";
    let report = Report::error(message, &place, error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            report.help("make it readable for the user byway runs as")
        }
        _ => report,
    }
}

/// What a file is called in messages.
fn name_of(file: &Path) -> String {
    match file == Path::new(STDIN) {
        true => "standard input".to_owned(),
        false => shown(&file.display().to_string()),
    }
}

/// Reads no more than `most`.
fn read(name: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    match name == Path::new(STDIN) {
        true => io::stdin().take(most + 1).read_to_end(&mut bytes)?,
        false => file::open(name)?.take(most + 1).read_to_end(&mut bytes)?,
    };
    if bytes.len() as u64 > most {
        let message = match most {
            MOST_BYTES => "larger than 1 MiB: not a configuration file of byway",
            _ => "with it the files of the folder are larger than 1 MiB",
        };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|it| **it == b'\n').count() + 1;
        let message = format!("line {line} is not UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Makes the configuration of `text`, the contents of `file`.
///
/// # Errors
/// Everything that is wrong with it, or that it names no upstream and the host's resolv.conf has none that could be asked.
/// A resolv.conf that is not there, or names nobody, is none: it may be written later ([`Loaded::has_nobody`]).
pub fn parse(
    file: Option<&Path>,
    text: &str,
    overrides: &Overrides,
    host: &Host,
) -> Result<Loaded, ConfigError> {
    let pieces = vec![Piece {
        name: file.map_or_else(String::new, name_of),
        text: text.to_owned(),
    }];
    parse_after(file, pieces, overrides, host, &[])
}

/// The same for several files, the first of them `file`, where a resolv.conf named those that are `known` before.
fn parse_after(
    file: Option<&Path>,
    pieces: Vec<Piece>,
    overrides: &Overrides,
    host: &Host,
    known: &[UpstreamConfig],
) -> Result<Loaded, ConfigError> {
    let source = Source(&pieces);
    let mut reports = Vec::new();
    let written = written(&source, &mut reports);
    let (mut spec, added) = written.ok_or_else(|| refuse(&reports, &source))?;
    overrides.apply(&mut spec);
    let meant = meaning::config(&spec, host, known, &mut reports);
    reports.sort_by_key(Report::position);
    let Some(meant) = meant else {
        return Err(refuse(&reports, &source));
    };
    Ok(Loaded {
        file: file.map(Path::to_owned),
        added,
        followed: meant
            .found
            .as_ref()
            .map(|it| (it.files.clone(), it.at.clone())),
        links: match meant.config.link_domains {
            true => (host.links.to_vec(), meant.links_left_out),
            false => Default::default(),
        },
        upstreams_from: match meant.found {
            Some(found) => UpstreamsFrom::ResolvConf(found.from),
            None if spec.upstreams_replaced => UpstreamsFrom::CommandLine,
            None => UpstreamsFrom::File,
        },
        remarks: reports.iter().map(|it| it.render(&source)).collect(),
        reports: reports.iter().map(|it| it.remark(&source)).collect(),
        pieces,
        config: meant.config,
    })
}

/// What the files say, read as one, and what came from those after the first. `None` if one of them is not TOML.
fn written(source: &Source<'_>, reports: &mut Vec<Report>) -> Option<(Spec, Vec<Added>)> {
    let mut documents = Vec::new();
    for (start, piece) in source.pieces() {
        match syntax::parse(&piece.text) {
            Ok(document) => documents.push(drop_ins::moved(document, start)),
            Err(report) => reports.push(report.moved(start)),
        }
    }
    if !reports.is_empty() {
        return None;
    }
    let several = documents.len() > 1;
    for (index, document) in documents.iter().enumerate().filter(|_| several) {
        // What another file takes the place of is to be right all the same: that one may go.
        Spec::read_part(document, index == 0, reports);
    }
    let mut documents = documents.into_iter();
    let mut merged = Merged::new(documents.next()?);
    documents.for_each(|it| merged.add(it));
    let mut anew = Vec::new();
    let spec = Spec::read(&merged.document, &mut anew);
    if several {
        // All has been said but what none of the files says, and that only if each is right by itself.
        let error = |it: &Report| it.severity() == Severity::Error;
        let said = reports.iter().any(error);
        anew.retain(|it| !said && error(it));
    }
    reports.append(&mut anew);
    Some((spec, merged.added(source)))
}

impl Overrides {
    fn apply(&self, spec: &mut Spec) {
        let written = |option: &str, endpoint: &Endpoint| Written {
            value: endpoint.clone(),
            place: Place::CommandLine(format!("{option} {endpoint}")),
        };
        if !self.listen.is_empty() {
            let all = self.listen.iter();
            spec.listen = all
                .map(|it| ListenSpec {
                    address: Some(written("--listen", it)),
                    transports: None,
                })
                .collect();
        }
        spec.passed = self.passed.clone();
        if let Some(admin) = &self.admin {
            spec.admin = Some(Written {
                value: admin.clone(),
                place: Place::CommandLine(format!("--admin {admin}")),
            });
        }
        if !self.upstreams.is_empty() {
            spec.upstreams_replaced = true;
            let all = self.upstreams.iter();
            spec.upstreams = all
                .map(|it| UpstreamSpec::at(written("--upstream", it)))
                .collect();
        }
    }
}

/// What is wrong with a file that was not read.
fn refuse_unread(report: Report) -> ConfigError {
    refuse(&[report], &Source(&[]))
}

fn refuse(reports: &[Report], source: &Source<'_>) -> ConfigError {
    let errors = || reports.iter().filter(|it| it.severity() == Severity::Error);
    let mut rendered: Vec<String> = errors()
        .take(MOST_SHOWN)
        .map(|it| it.render(source))
        .collect();
    let more = errors().count().saturating_sub(MOST_SHOWN);
    if more > 0 {
        rendered.push(format!("error: and {more} more"));
    }
    ConfigError {
        rendered: rendered.join("\n\n"),
        reports: reports.iter().map(|it| it.remark(source)).collect(),
    }
}

impl fmt::Display for UpstreamsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamsFrom::File => write!(f, "the configuration file"),
            UpstreamsFrom::CommandLine => write!(f, "the command line"),
            UpstreamsFrom::ResolvConf(file) => write!(f, "{}", file.display()),
        }
    }
}
