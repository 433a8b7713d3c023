//! A chain of aliases, and its end that was asked for apart.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::answer::Answer;
use super::chain::{Chain, Walk};
use super::effort::Effort;
use super::header;
use super::keep::kind_of;
use super::name;
use super::pack::{Pack, Source};
use super::question::{KeyRef, QuestionKey};
use super::record::Record;
use super::response::{self, Kind};
use super::types::{CLASS_IN, Rcode, RecordType};

/// The Extended DNS Error of an answer that was made here (29, Synthesized), with its text, as an option.
const MADE: [u8; 6] = [0, 15, 0, 2 + MADE_TEXT.len() as u8, 0, 29];
const MADE_TEXT: &[u8] = b"made of IPv4 addresses (DNS64, RFC 6147)";

impl Answer {
    /// This denial of a name, as one of a name below it (RFC 8020): the records that say so are the same. `None` if it is no
    /// denial, or both are too long for a message.
    pub fn denies_below(&self, question: &[u8]) -> Option<Answer> {
        if !self.denies_name() {
            return None;
        }
        let (walk, effort) = (self.walk(), Effort::new());
        let mut pack = Pack::new(question, walk.packet.len() + question.len(), &effort);
        pack.end_section(0);
        let authorities = usize::from(walk.header.authorities);
        copy(&mut pack, &walk, walk.records().take(authorities))?;
        pack.end_section(1);
        pack.end_section(2);
        let flags = header::QR | walk.header.flags & header::AD;
        let none = std::iter::empty();
        let rcode = walk.rcode;
        let denial = pack.finish(flags, rcode, none, |message, header| {
            kind_of(message, header, question.len(), rcode)
        });
        (denial.kind() == Kind::NxDomain).then_some(denial)
    }

    /// This answer to a question for A as one to `question`, the same for AAAA: each address is replaced by the one that `map`
    /// makes of it, if any, aliases stay, and signatures go (RFC 6147 section 5.1.7). No TTL is above `most`. `None` if no
    /// address is left, or it is too long.
    pub fn with_made_addresses(
        &self,
        question: &[u8],
        most: u32,
        map: impl Fn(Ipv4Addr) -> Option<Ipv6Addr>,
    ) -> Option<Answer> {
        if self.kind() != Kind::Positive {
            return None;
        }
        let (walk, effort) = (self.walk(), Effort::new());
        let mut pack = Pack::new(question, 2 * walk.packet.len(), &effort);
        let source = Source {
            packet: walk.packet,
            body: walk.body(),
        };
        let mut any = false;
        for record in walk.answers() {
            let ttl = record.ttl.min(most);
            let data = record.data(walk.packet);
            match (record.record_type, <[u8; 4]>::try_from(data)) {
                (RecordType::CNAME, _) => pack.record(source, &record, ttl).then_some(())?,
                (RecordType::A, Ok(ip)) => {
                    let Some(ip) = map(ip.into()) else {
                        continue;
                    };
                    pack.address(walk.name(record.owner), ip, ttl)
                        .then_some(())?;
                    any = true;
                }
                _ => {}
            }
        }
        for section in 0..3 {
            pack.end_section(section);
        }
        let made = [&MADE[..], MADE_TEXT].concat();
        let made = any.then_some(made)?;
        let edes = std::iter::once(&made[..]);
        let made = pack.finish(header::QR, Rcode::NOERROR, edes, |message, header| {
            kind_of(message, header, question.len(), Rcode::NOERROR)
        });
        (made.kind() == Kind::Positive).then_some(made)
    }

    /// Whether the upstream says that it has checked the signatures (AD).
    pub fn is_authenticated(&self) -> bool {
        self.walk().header.flags & header::AD != 0
    }

    /// What is still to be asked, if this answer to `key` is a chain of aliases without its end: for the
    /// last name of the chain, otherwise as `key`. `None` if the chain leads nowhere new.
    pub fn next_question(&self, key: KeyRef<'_>) -> Option<QuestionKey> {
        if self.kind() != Kind::Unfinished {
            return None;
        }
        let (walk, effort) = (self.walk(), Effort::new());
        let chain = Chain::read(&walk, &effort);
        let (end, before) = chain.links.split_last()?;
        let end = end.name(&walk);
        let mut before = before.iter();
        if before.any(|link| end.same(link.name(&walk), &effort)) {
            return None;
        }
        let mut name = Vec::with_capacity(name::MAX_LEN);
        end.copy_to(usize::MAX, &mut name);
        name.push(0);
        let (dnssec_ok, checking_disabled) = (key.dnssec_ok(), key.checking_disabled());
        QuestionKey::new(&name, walk.asked(), CLASS_IN, dnssec_ok, checking_disabled)
    }

    /// This chain of aliases with `end`, the answer to its [`next_question`](Self::next_question): one
    /// answer to the question that this one is for. `None` if both together are too long.
    pub fn followed_by(&self, end: &Answer) -> Option<Answer> {
        let effort = Effort::new();
        let (first, second) = (self.walk(), end.walk());
        let len = first.packet.len() + second.packet.len();
        let mut pack = Pack::new(self.question(), len, &effort);
        copy(&mut pack, &first, first.answers())?;
        let mut records = second.records();
        copy(&mut pack, &second, second.answers())?;
        pack.end_section(0);
        for _ in 0..second.header.answers {
            records.next();
        }
        let authorities = usize::from(second.header.authorities);
        copy(&mut pack, &second, records.by_ref().take(authorities))?;
        pack.end_section(1);
        copy(&mut pack, &second, records)?;
        pack.end_section(2);
        let flags = header::QR
            | first.header.flags & second.header.flags & header::AD
            | second.header.flags & header::TC;
        let rcode = second.rcode;
        let edes = response::ede_options(end.parts().edes);
        Some(pack.finish(flags, rcode, edes, |message, header| {
            kind_of(message, header, first.question_len, rcode)
        }))
    }
}

fn copy(
    pack: &mut Pack<'_>,
    walk: &Walk<'_>,
    mut records: impl Iterator<Item = Record>,
) -> Option<()> {
    let source = Source {
        packet: walk.packet,
        body: walk.body(),
    };
    records
        .all(|record| pack.record(source, &record, record.ttl))
        .then_some(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::wire::{Asked, Own, OwnRecord, Sent, examine, own_answer, write_own};

    fn question(name: &[u8], record_type: RecordType) -> Vec<u8> {
        [name, &record_type.0.to_be_bytes(), &CLASS_IN.to_be_bytes()].concat()
    }

    const FOUR: &[u8] = b"\x04four\x07example\0";

    #[test]
    fn made_addresses_keep_the_aliases_and_read_back() {
        let alias = OwnRecord {
            record_type: RecordType::CNAME,
            ttl: 300,
            data: FOUR,
        };
        let address = OwnRecord {
            record_type: RecordType::A,
            ttl: 900,
            data: &[192, 0, 2, 1],
        };
        let asked = question(b"\x05alias\x07example\0", RecordType::A);
        let chain = own_answer(&asked, std::iter::once(alias)).expect("an alias");
        let end = own_answer(
            &question(FOUR, RecordType::A),
            [address, address].into_iter(),
        );
        let whole = chain.followed_by(&end.expect("an address")).expect("both");
        let wanted = question(b"\x05alias\x07example\0", RecordType::AAAA);
        let made = whole.with_made_addresses(&wanted, 600, |ip| Some(ip.to_ipv6_mapped()));
        let made = made.expect("made");
        let expected: IpAddr = "::ffff:192.0.2.1".parse().expect("one");
        assert!(made.addresses().all(|it| it == expected) && made.has_answers());
        assert_eq!((made.question(), made.ttl()), (&wanted[..], 300));
        assert_eq!(made.ede_codes().collect::<Vec<_>>(), [29]);
        assert_eq!(Answer::from_bytes(made.as_bytes().into()), Some(made));
        assert_eq!(whole.with_made_addresses(&wanted, 600, |_| None), None);
    }

    #[test]
    fn a_denial_holds_below_its_name_and_reads_back() {
        let asked = question(b"\x03com\x07example\0", RecordType::A);
        let own = Own {
            rcode: Rcode::NXDOMAIN,
            zone_at: 4,
            negative_ttl: 60,
            ede: None,
        };
        let to = Asked {
            id: 0,
            rd: true,
            cd: false,
            ad: false,
            edns: None,
            question: &asked,
        };
        let mut packet = [0; 512];
        let length = write_own(&to, &own, std::iter::empty(), 512, 512, &mut packet);
        let sent = Sent {
            id: 0,
            question: &asked,
            exact_case: false,
        };
        let denial = examine(&packet[..length], &sent)
            .expect("a response")
            .to_answer();
        let below = question(b"\x03www\x04site\x03com\x07example\0", RecordType::AAAA);
        let said = denial.denies_below(&below).expect("a denial");
        assert_eq!(
            (said.question(), said.rcode()),
            (&below[..], Rcode::NXDOMAIN)
        );
        assert_eq!((said.negative_ttl(), said.denies_name()), (Some(60), true));
        assert_eq!(Answer::from_bytes(said.as_bytes().into()), Some(said));
    }
}
