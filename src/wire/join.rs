//! A chain of aliases, and its end that was asked for apart.

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
use super::types::CLASS_IN;

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
        Some(pack.finish(flags, walk.rcode, none, |_, _| Kind::NxDomain))
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
