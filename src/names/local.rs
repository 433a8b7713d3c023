//! Names whose records are known here: from the host's own file (hosts(5)) and from the configuration.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::zones::suffixes;
use crate::config::{Config, reverse_zones};
use crate::wire::{OwnRecord, RecordType, name_from_text};

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    record_type: RecordType,
    ttl: u32,
    /// In wire form, names uncompressed.
    data: SmallVec<[u8; 16]>,
}

/// Records by their names.
#[derive(Debug, Default, PartialEq)]
pub struct Table {
    /// In wire form and lower case. The keys are the operator's: nobody chooses them to make them collide.
    names: HashMap<Box<[u8]>, Box<[Kept]>, FixedState>,
    /// Whether some name begins with `*`.
    has_wildcards: bool,
}

/// The records of one name.
#[derive(Clone, Copy, Debug)]
pub struct Records<'t>(&'t [Kept]);

impl<'t> Records<'t> {
    /// Those of one type.
    pub fn of(self, record_type: RecordType) -> impl Iterator<Item = OwnRecord<'t>> + Clone {
        let of_type = self
            .0
            .iter()
            .filter(move |it| it.record_type == record_type);
        of_type.map(move |it| OwnRecord {
            record_type,
            ttl: it.ttl,
            data: &it.data,
        })
    }

    /// The record that leads to another name, unless it is what is asked for.
    pub fn alias(self, asked: RecordType) -> Option<OwnRecord<'t>> {
        let mut aliases = self.of(RecordType::CNAME);
        (asked != RecordType::CNAME)
            .then(|| aliases.next())
            .flatten()
    }

    /// For how long it may be kept that others are missing, in seconds.
    pub fn ttl(self) -> u32 {
        self.0.iter().map(|it| it.ttl).min().unwrap_or(0)
    }
}

impl Table {
    /// The records of `config`.
    pub fn new(config: &Config) -> Table {
        let mut making = Making::default();
        for record in &config.records {
            for data in &record.data {
                let ttl = record.ttl.as_secs() as u32;
                making.add(&record.name, record.record_type, ttl, data);
            }
        }
        making.finish()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The records of `name`, in wire form and lower case: its own, or those of a wildcard that takes it in (RFC 4592).
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Records<'_>> {
        if self.names.is_empty() {
            return None;
        }
        match self.names.get(name) {
            Some(records) => Some(Records(records)),
            None if self.has_wildcards => self.wildcard(name),
            None => None,
        }
    }

    fn wildcard(&self, name: &[u8]) -> Option<Records<'_>> {
        let mut star = [0; 257];
        star[..2].copy_from_slice(b"\x01*");
        for suffix in suffixes(name).skip(1) {
            let place = star.get_mut(2..2 + suffix.len())?;
            place.copy_from_slice(suffix);
            if let Some(records) = self.names.get(&star[..2 + suffix.len()]) {
                return Some(Records(records));
            }
            // What exists below a wildcard is not covered by it, nor is what is below that.
            if self.names.contains_key(suffix) {
                return None;
            }
        }
        None
    }
}

/// A table in the making.
#[derive(Debug, Default)]
struct Making(HashMap<Vec<u8>, Vec<Kept>, FixedState>);

impl Making {
    fn add(&mut self, name: &[u8], record_type: RecordType, ttl: u32, data: &[u8]) {
        let record = Kept {
            record_type,
            ttl,
            data: SmallVec::from_slice(data),
        };
        let records = self.0.entry(name.to_ascii_lowercase()).or_default();
        if !records.contains(&record) {
            records.push(record);
        }
    }

    fn finish(self) -> Table {
        let names = self.0.into_iter();
        let names = names.map(|(name, records)| (name.into(), records.into()));
        let names: HashMap<Box<[u8]>, Box<[Kept]>, FixedState> = names.collect();
        Table {
            has_wildcards: names.keys().any(|name| name.starts_with(b"\x01*")),
            names,
        }
    }
}

/// A hosts file, read.
#[derive(Debug, Default)]
pub struct Hosts {
    /// What it says.
    pub table: Table,
    /// Lines that cannot be read, and the number of the first.
    pub bad: Option<(usize, usize)>,
}

impl Hosts {
    /// Reads `text`: on each line an address and its names, the first one being what the address is called; what follows a `#`
    /// is a comment (hosts(5)). Lines that are something else are left out and counted. So are the names below `localhost`,
    /// for which the standard says what they mean.
    pub fn read(text: &str, ttl: u32) -> Hosts {
        let mut making = Making::default();
        let mut bad: Option<(usize, usize)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(address) = words.next() else {
                continue;
            };
            let is_good = address
                .parse()
                .is_ok_and(|address| add_host(&mut making, address, words, ttl));
            if !is_good {
                let (count, first) = bad.unwrap_or((0, number));
                bad = Some((count + 1, first));
            }
        }
        Hosts {
            table: making.finish(),
            bad,
        }
    }
}

/// One line. False if there is anything wrong with it; what is right of it counts all the same.
fn add_host<'w>(
    making: &mut Making,
    address: IpAddr,
    words: impl Iterator<Item = &'w str>,
    ttl: u32,
) -> bool {
    let (record_type, data) = match address {
        IpAddr::V4(ip) => (RecordType::A, ip.octets().to_vec()),
        IpAddr::V6(ip) => (RecordType::AAAA, ip.octets().to_vec()),
    };
    let reverse = reverse_zones(&address.into()).swap_remove(0);
    let (mut all_good, mut any) = (true, false);
    for word in words {
        any = true;
        let Ok(name) = name_from_text(word) else {
            all_good = false;
            continue;
        };
        let name = name.to_ascii_lowercase();
        if name.ends_with(b"\x09localhost\0") || name.len() < 2 {
            continue;
        }
        making.add(&name, record_type, ttl, &data);
        if !making.0.contains_key(&reverse) && !address.is_loopback() {
            making.add(&reverse, RecordType::PTR, ttl, &name);
        }
    }
    all_good && any
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(table: &Table, name: &str, record_type: RecordType) -> Option<Vec<Vec<u8>>> {
        let name = name_from_text(name).expect("a name");
        let records = table.find(&name)?;
        Some(records.of(record_type).map(|it| it.data.to_vec()).collect())
    }

    #[test]
    fn a_hosts_file_says_both_directions() {
        let text = "127.0.0.1 localhost\n::1 localhost ip6-localhost # loopback\n\n# nothing\n\
                    192.0.2.7\tDB.corp.example db\n2001:db8::7 db.corp.example\n192.0.2.8 db\n";
        let hosts = Hosts::read(text, 10);
        assert_eq!(hosts.bad, None);
        let (a, ptr) = (RecordType::A, RecordType::PTR);
        let table = &hosts.table;
        let seven = vec![192, 0, 2, 7];
        assert_eq!(find(table, "db.corp.example", a), Some(vec![seven.clone()]));
        assert_eq!(find(table, "db", a), Some(vec![seven, vec![192, 0, 2, 8]]));
        assert_eq!(
            find(table, "db", RecordType::AAAA),
            Some(vec![]),
            "no such data"
        );
        let aaaa = find(table, "db.corp.example", RecordType::AAAA).expect("it is there");
        assert_eq!(aaaa.len(), 1);
        let canonical = name_from_text("db.corp.example").expect("a name");
        assert_eq!(
            find(table, "7.2.0.192.in-addr.arpa", ptr),
            Some(vec![canonical])
        );
        assert_eq!(
            find(table, "localhost", a),
            None,
            "the standard says what that is"
        );
        assert_eq!(find(table, "1.0.0.127.in-addr.arpa", ptr), None);
        assert_eq!(find(table, "corp.example", a), None);
    }

    #[test]
    fn bad_lines_are_counted_and_the_rest_is_read() {
        let text = "192.0.2.1 one\nnonsense\n192.0.2.2\n192.0.2.3 a..b three\n\u{fffd}\n";
        let hosts = Hosts::read(text, 10);
        assert_eq!(hosts.bad, Some((4, 2)));
        assert!(find(&hosts.table, "one", RecordType::A).is_some());
        assert!(find(&hosts.table, "three", RecordType::A).is_some());
    }

    #[test]
    fn wildcards_take_in_what_does_not_exist() {
        let mut making = Making::default();
        for name in ["*.app.test", "db.app.test", "app.test"] {
            let name = name_from_text(name).expect("a name");
            making.add(&name, RecordType::A, 60, &[192, 0, 2, 1]);
        }
        let table = making.finish();
        for (name, expected) in [
            ("www.app.test", true),
            ("a.b.app.test", true),
            ("db.app.test", true),
            ("x.db.app.test", false),
            ("*.app.test", true),
            ("app.test", true),
            ("test", false),
            ("www.apptest", false),
        ] {
            assert_eq!(
                find(&table, name, RecordType::A).is_some(),
                expected,
                "{name}"
            );
        }
    }

    proptest! {
        /// Whatever stands in the file, reading it panics nowhere, and every address that comes out is in it.
        #[test]
        fn any_file_can_be_read(text in "([0-9a-f:.# \t*\\\\x\n]|localhost|192\\.0\\.2\\.[1-9]){0,200}") {
            let hosts = Hosts::read(&text, 1);
            for records in hosts.table.names.values() {
                for record in Records(records).of(RecordType::A) {
                    let octets: [u8; 4] = record.data.try_into().expect("four octets");
                    prop_assert!(text.contains(&std::net::Ipv4Addr::from(octets).to_string()));
                }
            }
        }
    }
}
