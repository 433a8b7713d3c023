//! Reading a snapshot: first all of it is believed or none, then it is loaded.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crc32fast::Hasher;

use crate::clock::Life;
use crate::config::{self, ZoneTtls};
use crate::wire::{Answer, QuestionKey};

use super::super::entry::{Entry, flag};
use super::super::{Cache, FROM_SNAPSHOT};
use super::file::{
    self, BASELINES_MOST, BLOCK_HEADER, BLOCK_MOST, End, GUARD_MOST, HEADER, Kind, MAGIC, Record,
    VERSION,
};
use super::{Damage, Restored, SnapshotError};

/// Reads the snapshot at `path` into `cache`, which should be empty: what it holds is kept where the
/// snapshot has the same question. `wall` is what the wall clock calls `now`, in seconds since the
/// Unix epoch. `None` if there is no file.
///
/// If the snapshot does not fit, what is asked for most is loaded first.
///
/// # Errors
/// [`SnapshotError::Refused`] if there is anything wrong with the file, and then nothing of it was
/// loaded; [`SnapshotError::Io`] if it could not be read, and then the cache is empty.
pub fn read(
    path: &Path,
    cache: &Cache,
    now: Life,
    wall: u64,
) -> Result<Option<Restored>, SnapshotError> {
    read_within(path, cache, now, wall, &|_| ZoneTtls::default())
}

/// As [`read`], where `zones` says of a name in wire form for how long what is said of it is kept.
///
/// # Errors
/// As [`read`].
pub fn read_within(
    path: &Path,
    cache: &Cache,
    now: Life,
    wall: u64,
    zones: &dyn Fn(&[u8]) -> ZoneTtls,
) -> Result<Option<Restored>, SnapshotError> {
    let io = |source| SnapshotError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = match config::file::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let fail = |failure| match failure {
        Failure::Io(source) => io(source),
        Failure::Damage(why) => SnapshotError::Refused {
            path: path.to_owned(),
            why,
        },
    };
    trusted(&file).map_err(fail)?;
    let mut blocks = Blocks::new(file);
    let contents = examine(&mut blocks).map_err(fail)?;
    let mut load = Load {
        cache,
        zones,
        now,
        away: wall.checked_sub(contents.wall).map(Duration::from_secs),
        restored: Restored {
            entries: 0,
            expired: 0,
            left_out: 0,
            age: wall.checked_sub(contents.wall).map(Duration::from_secs),
            baselines: contents.baselines,
            guard: contents.guard,
        },
    };
    load.all(&mut blocks, contents.bytes).map_err(|failure| {
        // Half of it is not loaded.
        cache.flush_all();
        fail(failure)
    })?;
    Ok(Some(load.restored))
}

/// Why a snapshot is not read.
enum Failure {
    Io(io::Error),
    Damage(Damage),
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Failure {
        Failure::Damage(damage)
    }
}

/// Whoever can write the file decides what byway answers: nobody else may.
fn trusted(file: &File) -> Result<(), Failure> {
    let found = file.metadata().map_err(Failure::Io)?;
    let own = rustix::process::geteuid().as_raw();
    Ok(trusted_of(found.uid(), found.mode(), own)?)
}

/// [`trusted`], of a file of user `owner` with this mode, for user `own`.
pub(super) fn trusted_of(owner: u32, mode: u32, own: u32) -> Result<(), Damage> {
    if owner != own && owner != ROOT {
        return Err(Damage::Owner(owner));
    }
    match mode & WRITABLE_BY_OTHERS {
        0 => Ok(()),
        _ => Err(Damage::Writable(mode & 0o7777)),
    }
}

const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What the first reading finds.
struct Contents {
    /// The wall clock when it was written.
    wall: u64,
    baselines: Vec<u8>,
    guard: Vec<u8>,
    /// What the cache took that was written.
    bytes: u64,
}

/// Reads the whole file and checks that nothing of it is missing or damaged. What the answers say is checked as they
/// are loaded: all of them, before any is given.
fn examine(blocks: &mut Blocks) -> Result<Contents, Failure> {
    let mut contents = Contents {
        wall: blocks.header()?,
        baselines: Vec::new(),
        guard: Vec::new(),
        bytes: 0,
    };
    let (mut found, mut sums) = (End::default(), Hasher::new());
    loop {
        let block = blocks.next()?;
        let garbled = Damage::Garbled(block.at);
        match block.kind {
            Kind::Entries => {
                let mut rest = block.contents;
                while !rest.is_empty() {
                    let (.., next) = Record::split(rest).ok_or(garbled)?;
                    found.entries += 1;
                    rest = next;
                }
            }
            Kind::Baselines if contents.baselines.len() + block.contents.len() > BASELINES_MOST => {
                return Err(garbled.into());
            }
            Kind::Baselines => contents.baselines.extend_from_slice(block.contents),
            Kind::Guard if contents.guard.len() + block.contents.len() > GUARD_MOST => {
                return Err(garbled.into());
            }
            Kind::Guard => contents.guard.extend_from_slice(block.contents),
            Kind::End => {
                let end = End::read(block.contents).ok_or(garbled)?;
                found.sums = sums.finalize();
                found.bytes = end.bytes;
                if end != found {
                    return Err(garbled.into());
                }
                contents.bytes = end.bytes;
                return blocks.nothing_left().map(|()| contents);
            }
        }
        sums.update(&block.sum.to_le_bytes());
        found.blocks += 1;
    }
}

/// The second reading.
struct Load<'a> {
    cache: &'a Cache,
    zones: &'a dyn Fn(&[u8]) -> ZoneTtls,
    now: Life,
    /// How long ago the snapshot was written; `None` if nobody knows.
    away: Option<Duration>,
    restored: Restored,
}

/// What is worth most is loaded first if there is not room for all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worth {
    Asked,
    Protected,
    Rest,
}

impl Worth {
    fn of(record: &Record) -> Worth {
        match (record.count > 0 && record.asked(), record.protected()) {
            (true, _) => Worth::Asked,
            (false, true) => Worth::Protected,
            (false, false) => Worth::Rest,
        }
    }
}

impl Load<'_> {
    fn all(&mut self, blocks: &mut Blocks, bytes: u64) -> Result<(), Failure> {
        if bytes <= self.cache.stats().bound as u64 {
            return self.pass(blocks, |_| true);
        }
        for worth in [Worth::Asked, Worth::Protected, Worth::Rest] {
            self.pass(blocks, |record| Worth::of(record) == worth)?;
        }
        Ok(())
    }

    fn pass(
        &mut self,
        blocks: &mut Blocks,
        chosen: impl Fn(&Record) -> bool,
    ) -> Result<(), Failure> {
        blocks.header()?;
        loop {
            let block = blocks.next()?;
            let garbled = Damage::Garbled(block.at);
            let mut rest = match block.kind {
                Kind::Entries => block.contents,
                Kind::Baselines | Kind::Guard => continue,
                Kind::End => return Ok(()),
            };
            while !rest.is_empty() {
                let (record, octets, next) = Record::split(rest).ok_or(garbled)?;
                if chosen(&record) {
                    self.entry(&record, octets).ok_or(garbled)?;
                }
                rest = next;
            }
        }
    }

    /// Loads an entry, if it is worth it. `None` if it is none.
    fn entry(&mut self, record: &Record, octets: &[u8]) -> Option<()> {
        let mut answer = Answer::from_bytes(octets.into())?;
        let key = key(&answer, record)?;
        let rules = self.cache.rules.get().within(&(self.zones)(key.name()));
        let Ok(lifetime) = rules.admit(&mut answer) else {
            self.restored.expired += 1;
            return Some(());
        };
        let age = Duration::from_millis(record.age_ms);
        let age = match self.away {
            Some(away) => age.saturating_add(away),
            None => age.max(Duration::from_secs(u64::from(lifetime.seconds()))),
        };
        let mut entry = Entry::new(
            key.by_ref(),
            answer,
            lifetime,
            FROM_SNAPSHOT,
            self.now - age,
        );
        let horizon = self.cache.horizon(self.now);
        if age > self.now.since(Life::default()) || horizon.is_dead(&entry) {
            self.restored.expired += 1;
            return Some(());
        }
        if record.asked() {
            entry.flags |= flag::ASKED;
        }
        let denies = entry.answer.denies_name();
        let hash = self.cache.hash(&key);
        let held = self.cache.shard(hash).is_some_and(|mut shard| {
            shard.restore(hash, entry, record.count, record.protected(), horizon)
        });
        if held && denies {
            self.cache.note_denial(key.by_ref(), true);
        }
        match held {
            true => self.restored.entries += 1,
            false => self.restored.left_out += 1,
        }
        Some(())
    }
}

/// The question that `answer` is the answer to.
fn key(answer: &Answer, record: &Record) -> Option<QuestionKey> {
    let question = answer.question();
    let mut octets = [0; 512];
    octets.get_mut(..question.len())?.copy_from_slice(question);
    *octets.get_mut(question.len())? = record.key_flags();
    QuestionKey::from_bytes(octets.get(..=question.len())?)
}

/// A file that is read block by block.
struct Blocks {
    file: BufReader<File>,
    /// Where in the file the next octet is.
    at: u64,
    contents: Vec<u8>,
}

/// A block whose checksum is right.
struct Block<'a> {
    at: u64,
    kind: Kind,
    sum: u32,
    contents: &'a [u8],
}

impl Blocks {
    fn new(file: File) -> Blocks {
        Blocks {
            file: BufReader::with_capacity(BLOCK_MOST, file),
            at: 0,
            contents: Vec::new(),
        }
    }

    /// Goes to the beginning, and says what the wall clock was when the file was written.
    fn header(&mut self) -> Result<u64, Failure> {
        self.file.seek(SeekFrom::Start(0)).map_err(Failure::Io)?;
        self.at = 0;
        let mut octets = [0; HEADER];
        let got = self.fill(&mut octets)?;
        let known = got.min(MAGIC.len());
        if got == 0 || octets[..known] != MAGIC[..known] {
            return Err(Damage::Foreign.into());
        }
        if got < HEADER {
            return Err(Damage::Truncated(self.at).into());
        }
        let [
            ..,
            v0,
            v1,
            v2,
            v3,
            w0,
            w1,
            w2,
            w3,
            w4,
            w5,
            w6,
            w7,
            s0,
            s1,
            s2,
            s3,
        ] = octets;
        // The version comes before the checksum, which another version may have elsewhere.
        match u32::from_le_bytes([v0, v1, v2, v3]) {
            VERSION => {}
            other => return Err(Damage::Version(other).into()),
        }
        if crc32fast::hash(&octets[..20]) != u32::from_le_bytes([s0, s1, s2, s3]) {
            return Err(Damage::Checksum(0).into());
        }
        Ok(u64::from_le_bytes([w0, w1, w2, w3, w4, w5, w6, w7]))
    }

    fn next(&mut self) -> Result<Block<'_>, Failure> {
        let at = self.at;
        let mut head = [0; BLOCK_HEADER];
        if self.fill(&mut head)? < BLOCK_HEADER {
            return Err(Damage::Truncated(self.at).into());
        }
        let [kind, l0, l1, l2, l3, s0, s1, s2, s3] = head;
        let len = [l0, l1, l2, l3];
        let sum = u32::from_le_bytes([s0, s1, s2, s3]);
        let wanted = u32::from_le_bytes(len) as usize;
        if wanted > BLOCK_MOST {
            return Err(Damage::Checksum(at).into());
        }
        let mut contents = std::mem::take(&mut self.contents);
        contents.resize(wanted, 0);
        let got = self.fill(&mut contents)?;
        self.contents = contents;
        if got < wanted {
            return Err(Damage::Truncated(self.at).into());
        }
        if file::block_sum(kind, len, &self.contents) != sum {
            return Err(Damage::Checksum(at).into());
        }
        Ok(Block {
            at,
            kind: Kind::from_octet(kind).ok_or(Damage::Garbled(at))?,
            sum,
            contents: &self.contents,
        })
    }

    fn nothing_left(&mut self) -> Result<(), Failure> {
        match self.fill(&mut [0])? {
            0 => Ok(()),
            _ => Err(Damage::Trailing(self.at - 1).into()),
        }
    }

    /// Reads until `octets` are full or the file ends, and says how many there were.
    fn fill(&mut self, octets: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while let Some(rest) = octets.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Io(error)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }
}
