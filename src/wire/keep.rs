//! From a response to an answer: what is true of this hop only is taken out, what does not belong is left
//! behind, and what every later reply would have to look for is written down.

use super::answer::Answer;
use super::belonging::Sieve;
use super::chain::{Chain, Walk};
use super::effort::Effort;
use super::header::{self, Header};
use super::pack::{Pack, Source};
use super::record::{Record, Records, lifetime};
use super::response::{Kind, Response, soa_lifetime};
use super::types::{Rcode, RecordType};

/// Records of a response that its answer goes without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They do not belong to the answer.
    pub unrelated: u32,
    /// Their names would have taken too much work, or there was no room for them.
    pub costly: u32,
}

impl Response<'_> {
    /// The response as it is kept: see [`Response::keep`].
    pub fn to_answer(&self) -> Answer {
        self.keep().0
    }

    /// The response as it is kept, and how many of its records are not.
    ///
    /// The OPT record belongs to this hop and is dropped (RFC 6891 section 6.2.1); the Extended DNS
    /// Errors in it are kept. So is what belongs to the answer, written anew and compressed. The question is kept in
    /// lower case, and so are owner names equal to it, for their letter case was byway's and not
    /// the zone's. TTLs with the top bit set become zero (RFC 2181 section 8), those of one record
    /// set become the lowest of them (RFC 2181 section 5.2), and the TTL of the SOA in a negative
    /// answer becomes the negative TTL (RFC 2308 section 5). A DNAME without its CNAME gets it (RFC
    /// 6672 section 3.4).
    ///
    /// An answer that lacks something of its first two sections is marked as truncated.
    pub fn keep(&self) -> (Answer, Dropped) {
        let effort = Effort::new();
        let walk = self.walk();
        let chain = Chain::read(&walk, &effort);
        let body = walk.body();
        let question = self.packet.get(header::LEN..body).unwrap_or_default();
        let mut keeper = Keeper {
            source: Source {
                packet: self.packet,
                body,
            },
            sieve: Sieve::new(&walk, &chain, &effort),
            pack: Pack::new(question, self.packet.len(), &effort),
            chain: &chain,
            walk: &walk,
            dropped: Dropped {
                unrelated: 0,
                costly: self.unread(),
            },
            full: false,
            lacks: false,
        };
        keeper.pack.expect(keeper.source);
        keeper.keep_all(&effort);
        let Keeper {
            pack,
            dropped,
            lacks,
            ..
        } = keeper;
        let kept = header::QR | header::TC | header::AD;
        let mut flags = self.header.flags & kept;
        if lacks {
            flags |= header::TC;
        }
        let (kind, rcode) = (self.kind(), self.rcode());
        let answer = pack.finish(
            flags,
            rcode,
            self.ede_options(),
            |message, header| match kind {
                _ if lacks => kind_of(message, header, question.len(), rcode),
                kind => kind,
            },
        );
        (answer, dropped)
    }
}

/// What kind of answer a message is that [`Pack`] made.
pub(super) fn kind_of(message: &[u8], header: &Header, question_len: usize, rcode: Rcode) -> Kind {
    let walk = Walk {
        packet: message,
        header: *header,
        question_len,
        rcode,
    };
    Chain::read(&walk, &Effort::new()).kind
}

/// A response on its way into an answer.
struct Keeper<'a> {
    source: Source<'a>,
    sieve: Sieve<'a>,
    pack: Pack<'a>,
    chain: &'a Chain,
    walk: &'a Walk<'a>,
    dropped: Dropped,
    /// Nothing more can be written.
    full: bool,
    /// Something of the first two sections is missing.
    lacks: bool,
}

impl Keeper<'_> {
    fn keep_all(&mut self, effort: &Effort) {
        let Header {
            answers,
            authorities,
            additionals,
            ..
        } = self.walk.header;
        // The records of a failure say nothing, but for the DNAME that made a name too long.
        let says_nothing = self.chain.kind == Kind::Failure && self.walk.rcode != Rcode::YXDOMAIN;
        // The counts leave out the OPT record, which may stand among the additional ones.
        let mut records = Records::new(
            self.walk.packet,
            self.walk.body(),
            self.walk.header.records() + 1,
        )
        .filter(|record| record.record_type != RecordType::OPT);
        for (section, count) in [answers, authorities, additionals].into_iter().enumerate() {
            for record in records.by_ref().take(count.into()) {
                let belongs = !self.full
                    && !says_nothing
                    && match section {
                        0 => self.sieve.answer(&record),
                        1 => self.sieve.authority(&record),
                        _ => self.sieve.additional(&record),
                    };
                let kept = belongs && self.put(section, &record);
                match kept {
                    true => {}
                    false if self.full || effort.is_spent() => {
                        self.dropped.costly += 1;
                        self.lacks |= section < 2;
                    }
                    false => self.dropped.unrelated += 1,
                }
            }
            self.pack.end_section(section);
        }
    }

    /// Writes a record, and what it stands for.
    fn put(&mut self, section: usize, record: &Record) -> bool {
        let of_nothing = section == 1 && self.chain.kind.is_negative();
        let ttl = match of_nothing && record.is(RecordType::SOA) {
            true => soa_lifetime(self.walk.packet, record.ttl, record.end).unwrap_or(0),
            false => lifetime(record.ttl),
        };
        self.full = !self.pack.record(self.source, record, ttl);
        let aliases = self
            .chain
            .aliases
            .iter()
            .filter(|it| it.record == record.owner);
        for from in aliases.filter_map(|alias| alias.made_from) {
            if let [from, to, ..] = &self.chain.links[from..]
                && !self.full
            {
                let (from, to) = (from.name(self.walk), to.name(self.walk));
                self.full = !self.pack.alias(from, to, ttl);
            }
        }
        !self.full
    }
}
