//! Files that others write, watched: each may be replaced by rename, be a symbolic link into a directory that comes
//! later, or not be there yet.
//!
//! What is watched is each directory that decides what a name means, link by link, and the file itself, which may have
//! been mounted where it stands. The kernel tells of changes (inotify(7)). Where it does not, because it has no more
//! watches to give or the file lies on another host, the caller looks now and then.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Links that are followed from one name; the kernel follows 40.
const MOST_LINKS: usize = 40;

/// How often to look if the kernel does not tell.
const POLL: Duration = Duration::from_secs(1);

/// How often to look if it does: it does not see what is mounted over a file.
const SAFETY: Duration = Duration::from_secs(20);

/// Who writes a file is given this time to have finished, from the last that was heard of it...
const SETTLED: Duration = Duration::from_millis(50);

/// ...but no more than this.
const SETTLED_AT_LAST: Duration = Duration::from_millis(300);

/// Names in watched directories. In one's own `None` stands for it itself. Of some every name counts.
#[derive(Debug, Default)]
struct Names {
    some: HashMap<i32, Vec<Option<OsString>>>,
    all: HashSet<i32>,
}

/// Some files, watched; and all files of some directories.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    told: Option<(OwnedFd, Names)>,
}

/// Ends a wait early.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn new() -> io::Result<Bell> {
        Ok(Bell(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    pub(super) fn ring(&self) {
        // It only fails if it has been rung often.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    fn hush(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl Files {
    /// Watches `paths`, and what lies in `directories`; all are absolute.
    pub(super) fn watch(paths: Vec<PathBuf>, directories: Vec<PathBuf>) -> Files {
        let told = watches(&paths, &directories).ok();
        Files {
            paths,
            directories,
            told,
        }
    }

    /// The longest that one [`Files::wait`] takes; `None` if it may be any time.
    pub(super) fn each(&self) -> Option<Duration> {
        match (
            self.paths.is_empty() && self.directories.is_empty(),
            &self.told,
        ) {
            (true, _) => None,
            (false, Some(_)) => Some(SAFETY),
            (false, None) => Some(POLL),
        }
    }

    /// Waits until one of them may have changed, it is time to look anyway, or the `bell` rings.
    pub(super) fn wait(&mut self, bell: &Bell) {
        let end = self.each().map(|each| Instant::now() + each);
        while !self.has_ended(end, bell) {}
        bell.hush();
    }

    /// Waits for once; whether that is enough.
    fn has_ended(&mut self, end: Option<Instant>, bell: &Bell) -> bool {
        let Some((told, names)) = &self.told else {
            let rang = ready(&[bell.0.as_fd()], end);
            return rang.is_none_or(|it| it[0]) || end.is_some_and(|end| Instant::now() >= end);
        };
        match ready(&[bell.0.as_fd(), told.as_fd()], end) {
            None => return true,
            Some(ready) if ready[1] && drain(told, names) => {}
            Some(ready) => return ready[0] || end.is_some_and(|end| Instant::now() >= end),
        }
        let last = Instant::now() + SETTLED_AT_LAST;
        loop {
            let next = (Instant::now() + SETTLED).min(last);
            if ready(&[told.as_fd()], Some(next)).is_none_or(|it| !it[0]) || Instant::now() >= last
            {
                break;
            }
            drain(told, names);
        }
        // What led to them may lead elsewhere now.
        self.told = watches(&self.paths, &self.directories).ok();
        true
    }
}

/// Which of `all` can be read, as soon as one can or `end` has come; `None` if the kernel will not say.
fn ready(all: &[BorrowedFd<'_>], end: Option<Instant>) -> Option<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = all
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut polled, left.as_ref()) {
        Ok(_) => Some(polled.iter().map(|it| !it.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Some(vec![false; all.len()]),
        Err(_) => None,
    }
}

/// Takes in what was told; whether it was about one of the `names`.
fn drain(told: &OwnedFd, names: &Names) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(told, &mut buffer);
    let mut any = false;
    while let Ok(event) = reader.next() {
        let named = event
            .file_name()
            .map(|name| OsString::from_vec(name.to_bytes().to_vec()));
        let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
        any |= event.events().intersects(lost)
            || names.all.contains(&event.wd())
            || names
                .some
                .get(&event.wd())
                .is_some_and(|it| it.contains(&named));
    }
    any
}

/// Watches of all that decides what `paths` and `directories` mean.
fn watches(paths: &[PathBuf], directories: &[PathBuf]) -> io::Result<(OwnedFd, Names)> {
    let told = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let mut names = Names::default();
    let of_a_file = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE;
    let of_a_directory = WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    for path in paths.iter().chain(directories) {
        for (directory, name) in steps(path) {
            // One flags set for each inode: a second watch of it takes the place of the first.
            let number = match inotify::add_watch(&told, &directory, of_a_directory) {
                // Who may not look into a directory is not told what becomes of it.
                Err(
                    rustix::io::Errno::NOENT
                    | rustix::io::Errno::NOTDIR
                    | rustix::io::Errno::ACCESS,
                ) => continue,
                number => number?,
            };
            let known = names.some.entry(number).or_default();
            known.extend([Some(name), None]);
        }
        let flags = match directories.contains(path) {
            true => of_a_directory | of_a_file | WatchFlags::MASK_ADD,
            false => of_a_file | WatchFlags::MASK_ADD,
        };
        match inotify::add_watch(&told, path, flags) {
            Ok(number) if directories.contains(path) => drop(names.all.insert(number)),
            Ok(number) => names.some.entry(number).or_default().push(None),
            // It may come, or may not be ours to read; its directory tells.
            Err(
                rustix::io::Errno::NOENT
                | rustix::io::Errno::NOTDIR
                | rustix::io::Errno::ACCESS
                | rustix::io::Errno::LOOP,
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((told, names))
}

/// Each directory on the way to `path` and the name in it that is taken, links followed; at the first that is not there it
/// ends.
fn steps(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut steps = Vec::new();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut left: Vec<OsString> = Vec::new();
    let push = |left: &mut Vec<OsString>, path: &Path| {
        let names = path.components().rev().filter_map(|it| match it {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        });
        left.extend(names);
    };
    push(&mut left, path);
    while let Some(name) = left.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let step = at.join(&name);
        steps.push((at.clone(), name));
        match std::fs::symlink_metadata(&step) {
            Ok(it) if it.is_symlink() => {
                links += 1;
                let Ok(target) = std::fs::read_link(&step) else {
                    break;
                };
                if links > MOST_LINKS {
                    break;
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                push(&mut left, &target);
            }
            Ok(_) => at = step,
            Err(_) => break,
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_way_to_a_file_leads_over_its_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its name");
        fs::create_dir(root.join("etc")).expect("made");
        symlink("../run/resolve/stub", root.join("etc/conf")).expect("made");
        let way = |path: &str| {
            let all = steps(&root.join(path)).into_iter();
            let inside = all.filter_map(|(directory, name)| {
                let directory = directory.strip_prefix(&root).ok()?;
                Some(directory.join(name).display().to_string())
            });
            inside.collect::<Vec<_>>()
        };
        assert_eq!(way("etc/conf"), ["etc", "etc/conf", "run"]);
        fs::create_dir_all(root.join("run/resolve")).expect("made");
        let whole = ["etc", "etc/conf", "run", "run/resolve", "run/resolve/stub"];
        assert_eq!(way("etc/conf"), whole);
        symlink(root.join("etc/round"), root.join("etc/round")).expect("made");
        assert!(way("etc/round").len() <= 4 * MOST_LINKS);
    }

    /// Every way in which a file changes ends a wait that would otherwise last until the safety look.
    #[test]
    fn whatever_happens_to_a_file_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let (bell, path) = (
            Arc::new(Bell::new().expect("a bell")),
            root.join("etc/conf"),
        );
        let mut files = Files::watch(vec![path.clone()], Vec::new());
        assert!(files.told.is_some(), "inotify works here");
        let (sender, noticed) = mpsc::channel();
        let (rung, ring) = (
            Arc::clone(&bell),
            Arc::new(std::sync::atomic::AtomicBool::new(false)),
        );
        let over = Arc::clone(&ring);
        let thread = std::thread::spawn(move || {
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                files.wait(&rung);
                let _ = sender.send(());
            }
        });
        let write = |path: &Path, text: &str| fs::write(path, text).expect("written");
        let new = root.join("new");
        let steps: &[(&str, &dyn Fn())] = &[
            ("its directory comes", &|| {
                fs::create_dir(root.join("etc")).expect("made")
            }),
            ("it is written", &|| write(&path, "a")),
            ("it is written again", &|| write(&path, "b")),
            ("another is put in its place", &|| {
                write(&new, "c");
                fs::rename(&new, &path).expect("renamed");
            }),
            ("that one is written", &|| write(&path, "d")),
            ("it is removed", &|| {
                fs::remove_file(&path).expect("removed")
            }),
            ("a link to nowhere is made", &|| {
                symlink("../run/conf", &path).expect("made");
            }),
            ("the directory there comes", &|| {
                fs::create_dir(root.join("run")).expect("made")
            }),
            ("the file there comes", &|| {
                write(&root.join("run/conf"), "e")
            }),
            ("the file there is replaced", &|| {
                write(&new, "f");
                fs::rename(&new, root.join("run/conf")).expect("renamed");
            }),
        ];
        for (what, step) in steps {
            // What the step before it has set off is over.
            while noticed.recv_timeout(2 * SETTLED_AT_LAST).is_ok() {}
            step();
            let heard = noticed.recv_timeout(SAFETY / 2);
            assert!(heard.is_ok(), "{what}");
        }
        ring.store(true, std::sync::atomic::Ordering::Release);
        bell.ring();
        thread.join().expect("no panic");
    }
}
