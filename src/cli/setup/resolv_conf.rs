//! `byway setup resolv-conf`: this host's programs ask byway from now on, and may be given back their old resolvers.
//!
//! The file that was there keeps its inode: it is linked under another name, and the new one is renamed over it. So
//! the way back is one rename too, and owner, mode and attributes are those that it had. Programs that look
//! meanwhile find the one or the other, whole.

mod judge;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use judge::{refusal, stand_in, writer};
use rustix::fs::{XattrFlags, fsetxattr, getxattr};

use super::super::client::{Reach, Unanswered};
use super::super::owner::Owner;
use super::super::run::ConfigArgs;
use super::super::{exit, fail, load, print, tell};
use crate::admin::api;
use crate::config::{DEFAULT_FILE, UpstreamsFrom, drop_in_folder};

/// The first line of what byway writes.
const MARK: &str = "# Written by `byway setup resolv-conf`";

/// It says so if there was no file before.
const NONE: &str = "there was none";

/// What the name of the file that was there ends with.
const KEPT: &str = ".before-byway";

/// What byway is told of it, in the folder conf.d of its configuration.
const DROP_IN: &str = "50-resolv-conf.toml";

/// No more of a resolv.conf is read.
const MOST_BYTES: u64 = 64 * 1024;

/// glibc reads no more name servers (resolv.conf(5)).
const MOST_SERVERS: usize = 3;

/// The label by which SELinux knows the file.
const LABEL: &str = "security.selinux";

#[derive(Args)]
pub(super) struct ResolvConfArgs {
    /// The file that the host's programs read
    #[arg(long, value_name = "PATH", default_value = "/etc/resolv.conf")]
    file: PathBuf,
    /// Where byway answers, at port 53; may be given several times [default: where the running one does]
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The daemon's configuration file, beside which conf.d is [default: /etc/byway/byway.toml]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's control socket [default: where the configuration says, or a daemon of this host keeps it]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print what would be written, and write nothing
    #[arg(long, conflicts_with = "undo")]
    print: bool,
    /// Put back what was there
    #[arg(long)]
    undo: bool,
}

pub(super) fn resolv_conf(args: &ResolvConfArgs) -> u8 {
    let done = match args.undo {
        true => undo(args),
        false => set_up(args),
    };
    match done {
        Ok(code) => code,
        Err(why) => fail(&why),
    }
}

impl ResolvConfArgs {
    fn kept(&self) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(KEPT);
        name.into()
    }

    fn drop_in(&self) -> PathBuf {
        let config = self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        drop_in_folder(config).join(DROP_IN)
    }

    fn reach(&self) -> Reach {
        Reach {
            socket: self.socket.clone(),
            // One says where the other is.
            config: self.config.clone().filter(|_| self.socket.is_none()),
            json: false,
        }
    }

    /// What the running daemon says of itself. None if there is none and none is needed.
    fn daemon(&self) -> Result<Option<api::Status>, String> {
        match self.reach().get::<api::Status>("/api/v1/status") {
            Ok(answered) => Ok(Some(answered.document)),
            Err(Unanswered::NoDaemon(_) | Unanswered::Off) if !self.address.is_empty() => Ok(None),
            Err(error) => Err(format!(
                "{error}; start it first, or say with --address where it will answer"
            )),
        }
    }
}

/// What is at the file's name.
enum Found {
    Nothing,
    /// What byway wrote.
    Ours(String),
    Theirs(String),
}

fn look(file: &Path) -> Result<Found, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let mut bytes = Vec::new();
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
        // What a link leads to is read by those who judge it.
        Ok(found) if !found.is_file() => return Ok(Found::Theirs(String::new())),
        Ok(_) => {}
    }
    let opened = File::open(file).map_err(failed)?;
    let mut limited = opened.take(MOST_BYTES);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match text.starts_with(MARK) {
        true => Found::Ours(text),
        false => Found::Theirs(text),
    })
}

fn set_up(args: &ResolvConfArgs) -> Result<u8, String> {
    let name = args.file.display();
    let daemon = args.daemon()?;
    let addresses = addresses(args, daemon.as_ref())?;
    let shown = addresses
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (before, kept) = (look(&args.file)?, args.kept());
    let text = match &before {
        Found::Nothing => String::new(),
        Found::Theirs(text) => text.clone(),
        Found::Ours(text) => {
            let said = servers(text).eq(addresses.iter().map(ToString::to_string));
            if said {
                tell(&format!("{name} names byway already"));
                return Ok(exit::OK);
            }
            return Err(format!(
                "{name} is byway's and names another address: `byway setup resolv-conf --undo` first"
            ));
        }
    };
    if let Some(why) = refusal(&args.file, &text, &shown) {
        return Err(why);
    }
    if fs::symlink_metadata(&kept).is_ok() {
        let kept = kept.display();
        return Err(format!(
            "{name} is not byway's and {kept} is still here: something has written {name} since byway did. Move one of \
             the two away, and see docs/recipes.md for who may write it"
        ));
    }
    let there = matches!(before, Found::Theirs(_));
    let new = written(&addresses, &text, there.then_some(kept.as_path()));
    let drop_in = needs_drop_in(args, there)?.then(|| drop_in_text(&kept));
    if args.print {
        return Ok(print(new.as_bytes()));
    }
    carry_out(args, &new, drop_in.as_deref(), there, daemon.is_some())?;
    tell(&format!("{name} names byway at {shown} now"));
    if there {
        let kept = kept.display();
        tell(&format!(
            "what it was is {kept}; `byway setup resolv-conf --undo` puts it back"
        ));
    }
    if let Some(writer) = writer() {
        tell(&format!(
            "note: {writer} runs here and may write {name} again; {}",
            Owner::Dhcp.instead(&shown)
        ));
    }
    Ok(exit::OK)
}

/// Keeps what is there, has byway read it there, and only then puts the new file in its place. What fails leaves all as it was.
fn carry_out(
    args: &ResolvConfArgs,
    new: &str,
    drop_in: Option<&str>,
    there: bool,
    runs: bool,
) -> Result<(), String> {
    let (kept, beside) = (args.kept(), args.drop_in());
    let failed =
        |path: &Path, error: io::Error| format!("cannot write {}: {error}", path.display());
    let mut undo = Undo::default();
    if there {
        let copied = keep(&args.file, &kept);
        // Half a copy would be taken for somebody's the next time; one that was there before is.
        if !matches!(&copied, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            undo.0.push(kept.clone());
        }
        copied.map_err(|error| failed(&kept, error))?;
    }
    if let Some(text) = drop_in {
        replace(&beside, text, None).map_err(|error| failed(&beside, error))?;
        undo.0.push(beside);
        if runs {
            let read = args.reach().post::<api::Done>("/api/v1/reload", &());
            read.map_err(|error| {
                format!("byway does not take its upstreams from elsewhere: {error}")
            })?;
        }
    }
    let like = there.then_some(args.file.as_path());
    match replace(&args.file, new, like) {
        Ok(()) => undo.0.clear(),
        Err(error) => {
            drop(undo);
            if drop_in.is_some() && runs {
                // Until it is read, those that were named before stay in use.
                let _ = args.reach().post::<api::Done>("/api/v1/reload", &());
            }
            return Err(failed(&args.file, error));
        }
    }
    Ok(())
}

/// Files that are removed again unless all goes well.
#[derive(Default)]
struct Undo(Vec<PathBuf>);

impl Drop for Undo {
    fn drop(&mut self) {
        for path in &self.0 {
            // What is left is named by the next attempt.
            let _ = fs::remove_file(path);
        }
    }
}

fn undo(args: &ResolvConfArgs) -> Result<u8, String> {
    let (name, kept, beside) = (args.file.display(), args.kept(), args.drop_in());
    match look(&args.file)? {
        Found::Ours(text) if fs::symlink_metadata(&kept).is_err() && !text.contains(NONE) => {
            return Err(format!(
                "{name} is byway's, and what was here before, {}, is gone: write {name} yourself",
                kept.display()
            ));
        }
        Found::Ours(_) => {}
        Found::Nothing | Found::Theirs(_) if fs::symlink_metadata(&kept).is_err() => {
            tell(&format!("{name} is not byway's: nothing to put back"));
            return Ok(exit::OK);
        }
        Found::Nothing | Found::Theirs(_) => {
            return Err(format!(
                "{name} is not what byway wrote: something has written it since. What was there before byway is {}: move it \
                 back yourself if you want it, and remove {} if it is there",
                kept.display(),
                beside.display()
            ));
        }
    }
    match fs::rename(&kept, &args.file) {
        Ok(()) => tell(&format!("{name} is again what it was")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::remove_file(&args.file)
                .map_err(|error| format!("cannot remove {name}: {error}"))?;
            tell(&format!("{name} is gone again: there was none"));
        }
        Err(error) => return Err(format!("cannot put back {name}: {error}")),
    }
    settle(&args.file);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(exit::OK),
        Err(error) => return Err(format!("cannot remove {}: {error}", beside.display())),
        Ok(()) => {}
    }
    match args.reach().post::<api::Done>("/api/v1/reload", &()) {
        Ok(done) => tell(&done.done),
        Err(Unanswered::NoDaemon(_) | Unanswered::Off) => {}
        Err(error) => return Err(format!("done, but byway does not read it: {error}")),
    }
    Ok(exit::OK)
}

/// Where programs are to ask: what was named, or where the daemon listens at port 53.
fn addresses(args: &ResolvConfArgs, daemon: Option<&api::Status>) -> Result<Vec<IpAddr>, String> {
    if let Some(wild) = args.address.iter().find(|it| it.is_unspecified()) {
        return Err(format!("{wild} is no address that programs can ask"));
    }
    if !args.address.is_empty() {
        return Ok(args.address.iter().copied().take(MOST_SERVERS).collect());
    }
    let Some(daemon) = daemon else {
        return Ok(Vec::new());
    };
    if daemon.state == api::State::Down {
        return Err(format!(
            "byway runs, and resolves nothing now ({}): the host would be left without names; `byway status` says more",
            daemon.headline
        ));
    }
    let all = daemon.listeners.iter();
    let all = all.filter_map(|it| it.parse::<SocketAddr>().ok());
    let mut found: Vec<IpAddr> = all
        .filter(|it| it.port() == 53)
        .map(|it| match it.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        })
        .collect();
    // One that leaves with its interface is better than none.
    if found.iter().any(IpAddr::is_loopback) {
        found.retain(IpAddr::is_loopback);
    }
    found.sort_by_key(|it| (it.is_ipv6(), *it));
    found.dedup();
    found.truncate(MOST_SERVERS);
    if found.is_empty() {
        return Err(format!(
            "byway listens on {} only, and a resolv.conf can name port 53 alone: add a listener there, such as \"127.0.0.1:53\"",
            daemon.listeners.join(", ")
        ));
    }
    Ok(found)
}

/// Whether byway is to be told where its upstreams stand from now on: they stand in the very file that will name byway.
fn needs_drop_in(args: &ResolvConfArgs, there: bool) -> Result<bool, String> {
    let file = args.file.as_path();
    let loaded = load(&ConfigArgs {
        config: args.config.clone(),
        ..ConfigArgs::default()
    });
    let loaded =
        loaded.map_err(|_| "nothing is changed while the configuration is wrong".to_owned())?;
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let same = match &loaded.upstreams_from {
        UpstreamsFrom::ResolvConf(from) => real(from) == real(file),
        UpstreamsFrom::File | UpstreamsFrom::CommandLine => false,
    };
    if same && let Some(list) = stand_in(file) {
        let list = list.display();
        tell(&format!(
            "byway asks the name servers of {list} from now on, and follows it"
        ));
        return Ok(false);
    }
    match same && (!there || loaded.has_nobody()) {
        true => Err(format!(
            "byway's upstreams stand in {}, and there is none that could be asked: name them in the configuration first",
            file.display()
        )),
        false => Ok(same),
    }
}

fn drop_in_text(kept: &Path) -> String {
    let kept = kept.display().to_string();
    let kept = kept.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "{MARK}; `byway setup resolv-conf --undo` removes it.\n[host]\nresolv-conf = \"{kept}\"\n"
    )
}

/// The file that names byway, and keeps of the one before it how names are looked up.
fn written(addresses: &[IpAddr], before: &str, kept: Option<&Path>) -> String {
    let undo = "`byway setup resolv-conf --undo`";
    let mut text = match kept {
        Some(kept) => format!(
            "{MARK}; {undo} puts back\n# what was here before it, which is {}.\n",
            kept.display()
        ),
        None => format!("{MARK}; {undo} removes it: {NONE}.\n"),
    };
    for address in addresses {
        text += &format!("nameserver {address}\n");
    }
    let how = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        matches!(word, "search" | "domain" | "options" | "sortlist")
    };
    for line in before.lines().filter(how) {
        text += line;
        text.push('\n');
    }
    text
}

/// The name servers that a resolv.conf names.
fn servers(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().unwrap_or_default().to_owned())
    })
}

/// Gives the file a second name, or copies it where a file can have one only.
fn keep(file: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(file, kept) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::copy(file, kept)?;
            File::open(kept)?.sync_all()
        }
        done => done,
    }
}

/// Puts a file in place of what is there, or where nothing is; with the label of the one that it is `like`.
fn replace(path: &Path, text: &str, like: Option<&Path>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".byway-new");
    let new = folder.join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&new)?;
    let whole = file.write_all(text.as_bytes());
    let mut label = [0; 256];
    if let Some(length) = like.and_then(|it| getxattr(it, LABEL, &mut label).ok()) {
        // Without SELinux there is none.
        let _ = fsetxattr(&file, LABEL, &label[..length], XattrFlags::empty());
    }
    let done = whole
        // Whatever the umask: programs of every user read it.
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done?;
    settle(path);
    Ok(())
}

/// Has the disk know the folder's new state. If it does not, a crash gives the old one, whole.
fn settle(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let _ = File::open(folder).and_then(|it| it.sync_all());
}

#[cfg(test)]
mod tests;
