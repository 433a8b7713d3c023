//! Which records of a response belong to its answer.
//!
//! Whatever else an upstream puts into a message, by mistake or to be believed of names that were not
//! asked for, goes no further. What is of use to a client stays:
//!
//! - in the answer section what is owned by the names of the chain: the aliases that it is made of, each
//!   once, the records asked for at its end, DNAMEs above its names, and signatures of all these;
//! - in the authority section the SOA and the servers of zones that hold a name of the chain, and the
//!   proofs of what does not exist there;
//! - in the additional section the addresses, and the bindings, of hosts that the records before it name,
//!   as far as they lie in a zone that the message speaks for.
//!
//! A forwarder does not know where zones are cut. Such a zone is the owner of the record that
//! names the host, less labels that begin with an underscore, and every owner of an SOA or NS record in
//! the authority section.

use smallvec::SmallVec;

use super::chain::{Chain, Walk};
use super::effort::Effort;
use super::header;
use super::name;
use super::record::Record;
use super::types::{CLASS_IN, RecordType};

/// Hosts whose addresses may come along. The root's servers are thirteen.
const MAX_HOSTS: usize = 64;
/// Zones whose proofs may come along: that of each end of an alias.
const MAX_ZONES: usize = 8;

/// What is known of a response's records while they are gone through in their order.
pub(super) struct Sieve<'a> {
    walk: &'a Walk<'a>,
    chain: &'a Chain,
    effort: &'a Effort,
    asked: RecordType,
    /// Zones by whose proofs the answer may be proven, by the places of their names; found when first needed.
    proving: Option<SmallVec<[usize; 4]>>,
    /// Zones that the authority section speaks for.
    zones: SmallVec<[usize; 4]>,
    /// Hosts named by the records that passed, by the places of their names, and by what.
    hosts: SmallVec<[Host; 8]>,
}

#[derive(Clone, Copy)]
struct Host {
    name: usize,
    by: usize,
}

impl<'a> Sieve<'a> {
    /// For the message in which `chain` was read.
    pub fn new(walk: &'a Walk<'a>, chain: &'a Chain, effort: &'a Effort) -> Sieve<'a> {
        Sieve {
            walk,
            chain,
            effort,
            asked: walk.asked(),
            proving: None,
            zones: SmallVec::new(),
            hosts: SmallVec::new(),
        }
    }

    /// Whether a record of the answer section belongs to the answer.
    pub fn answer(&mut self, record: &Record) -> bool {
        let asked_for = |it: RecordType| it == self.asked || self.asked == RecordType::ANY;
        let belongs = record.class == CLASS_IN
            && match record.record_type {
                it if asked_for(it) && self.is_at_end(record) => true,
                RecordType::CNAME => self.leads(record),
                RecordType::RRSIG => match self.covered(record) {
                    it if asked_for(it) && self.is_at_end(record) => true,
                    RecordType::CNAME => self.is_of_alias(record),
                    RecordType::DNAME => self.is_above(record),
                    _ => false,
                },
                RecordType::DNAME => self.is_above(record),
                _ => false,
            };
        if belongs {
            self.note_host(record);
        }
        belongs
    }

    /// Whether a record of the authority section does.
    pub fn authority(&mut self, record: &Record) -> bool {
        let belongs = record.class == CLASS_IN
            && match record.record_type {
                RecordType::RRSIG => self.is_of_zone(self.covered(record), record.owner),
                record_type => self.is_of_zone(record_type, record.owner),
            };
        if belongs && matches!(record.record_type, RecordType::NS | RecordType::SOA) {
            // The root is above everything.
            let is_root = self.walk.name(record.owner).iter().next().is_none();
            if !is_root && self.zones.len() < MAX_ZONES && !self.zones.contains(&record.owner) {
                self.zones.push(record.owner);
            }
            self.note_host(record);
        }
        belongs
    }

    /// Whether a record of the additional section does.
    pub fn additional(&self, record: &Record) -> bool {
        let record_type = match record.record_type {
            RecordType::RRSIG => self.covered(record),
            record_type => record_type,
        };
        let of_host = matches!(
            record_type,
            RecordType::A | RecordType::AAAA | RecordType::SVCB | RecordType::HTTPS
        );
        if record.class != CLASS_IN || !of_host {
            return false;
        }
        let owner = self.walk.name(record.owner);
        let mut hosts = self.hosts.iter();
        hosts.any(|host| owner.same(self.walk.name(host.name), self.effort) && self.is_known(host))
    }

    /// Whether the zone of a host is one that the message speaks for.
    fn is_known(&self, host: &Host) -> bool {
        let mut by = self.walk.name(host.by);
        while by
            .iter()
            .next()
            .is_some_and(|(_, label)| label.starts_with(b"_"))
        {
            by = by.skip(1);
        }
        let name = self.walk.name(host.name);
        let mut zones = self.zones.iter();
        name.is_within(by, self.effort)
            || zones.any(|zone| name.is_within(self.walk.name(*zone), self.effort))
    }

    fn covered(&self, record: &Record) -> RecordType {
        let covered = header::word(self.walk.packet, record.data).filter(|_| record.len() >= 2);
        RecordType(covered.unwrap_or(0))
    }

    fn is_at_end(&self, record: &Record) -> bool {
        let owner = self.walk.name(record.owner);
        let end = self.chain.links.last();
        end.is_some_and(|link| link.name(self.walk).same(owner, self.effort))
    }

    /// Whether it is one of the aliases that were followed.
    fn leads(&self, record: &Record) -> bool {
        let mut aliases = self.chain.aliases.iter();
        aliases.any(|alias| alias.record == record.owner)
    }

    fn is_of_alias(&self, record: &Record) -> bool {
        let owner = self.walk.name(record.owner);
        let links = &self.chain.links;
        let mut aliases = links[..links.len().saturating_sub(1)].iter();
        aliases.any(|link| link.name(self.walk).same(owner, self.effort))
    }

    fn is_above(&self, record: &Record) -> bool {
        self.chain.is_above(record.owner, self.walk, self.effort)
    }

    fn is_of_zone(&mut self, record_type: RecordType, owner: usize) -> bool {
        match record_type {
            RecordType::SOA | RecordType::NS | RecordType::DS => {
                self.chain.is_zone(owner, self.walk, self.effort)
            }
            RecordType::NSEC | RecordType::NSEC3 => {
                if self.proving.is_none() {
                    self.proving = Some(self.find_proving());
                }
                let owner = self.walk.name(owner);
                let mut zones = self.proving.iter().flatten();
                zones.any(|zone| owner.is_within(self.walk.name(*zone), self.effort))
            }
            _ => false,
        }
    }

    /// The zones of the chain's names, as SOA records and signatures in the authority section name them.
    fn find_proving(&self) -> SmallVec<[usize; 4]> {
        let mut zones = SmallVec::<[usize; 4]>::new();
        for record in self.walk.authorities() {
            let zone = match record.record_type {
                RecordType::SOA => record.owner,
                RecordType::RRSIG => match signer(&record, self.walk.packet) {
                    Some(signer) => signer,
                    None => continue,
                },
                _ => continue,
            };
            let name = self.walk.name(zone);
            let known = |zone: &usize| self.walk.name(*zone).same(name, self.effort);
            if record.class == CLASS_IN
                && !zones.iter().any(known)
                && self.chain.is_zone(zone, self.walk, self.effort)
            {
                zones.push(zone);
            }
            if zones.len() == MAX_ZONES {
                break;
            }
        }
        zones
    }

    /// Notes whose addresses may come along.
    fn note_host(&mut self, record: &Record) {
        let name = match record.record_type {
            RecordType::NS => record.data,
            RecordType::MX | RecordType::KX | RecordType::AFSDB | RecordType::RT => record.data + 2,
            RecordType::SRV => record.data + 6,
            RecordType::SVCB | RecordType::HTTPS => {
                match plain_name(self.walk.packet, record.data + 2, record.end) {
                    // The owner itself (RFC 9460 section 2.5).
                    Some(1) => record.owner,
                    Some(_) => record.data + 2,
                    None => return,
                }
            }
            _ => return,
        };
        if self.hosts.len() < MAX_HOSTS {
            let by = record.owner;
            self.hosts.push(Host { name, by });
        }
    }
}

/// Where the signer's name is in a signature (RFC 4034 section 3.1.7).
fn signer(record: &Record, packet: &[u8]) -> Option<usize> {
    let at = record.data + 18;
    plain_name(packet, at, record.end).map(|_| at)
}

/// The length of an uncompressed name at `at` in data that is not looked into otherwise.
fn plain_name(packet: &[u8], at: usize, end: usize) -> Option<usize> {
    name::plain_len(packet.get(at..end)?)
}
