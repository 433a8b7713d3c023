//! From the question to its answer: the aliases on the way, and what is said at the end.

use smallvec::SmallVec;

use super::effort::Effort;
use super::header::{self, Header};
use super::name;
use super::place::Place;
use super::record::{Record, Records};
use super::response::Kind;
use super::types::{CLASS_IN, Rcode, RecordType};

/// How often the answer section is searched for the next link of a chain. A chain in order,
/// however long, takes a single search; each link out of order may take one more, and so does each
/// DNAME whose CNAME was left out.
const MAX_SEARCHES: usize = 8;
/// Names in a chain: several times what any resolver follows.
const MAX_LINKS: usize = 64;

/// A walked message, less its OPT record.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub packet: &'a [u8],
    /// Its counts do not include the OPT record.
    pub header: Header,
    /// Zero if there is no question.
    pub question_len: usize,
    pub rcode: Rcode,
}

impl<'a> Walk<'a> {
    /// Where the records begin.
    pub fn body(&self) -> usize {
        header::LEN + self.question_len
    }

    /// The type asked for.
    pub fn asked(&self) -> RecordType {
        let at = self.body().saturating_sub(4);
        header::word(self.packet, at).map_or(RecordType::ANY, RecordType)
    }

    /// All its records.
    pub fn records(&self) -> Records<'a> {
        Records::new(self.packet, self.body(), self.header.records())
    }

    /// The records of the answer section.
    pub fn answers(&self) -> Records<'a> {
        Records::new(self.packet, self.body(), self.header.answers.into())
    }

    /// The records of the authority section.
    pub fn authorities(&self) -> impl Iterator<Item = Record> + use<'a> {
        let answers = usize::from(self.header.answers);
        let count = answers + usize::from(self.header.authorities);
        Records::new(self.packet, self.body(), count).skip(answers)
    }

    /// The name at `at`.
    #[inline]
    pub fn name(&self, at: usize) -> Place<'a> {
        Place::new(self.packet, at)
    }
}

/// A name of the chain.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// It stands in the message.
    At(usize),
    /// It comes of a DNAME, and the server did not write it out.
    Made(Box<[u8]>),
}

impl Link {
    /// The name itself.
    #[inline]
    pub fn name<'a>(&'a self, walk: &Walk<'a>) -> Place<'a> {
        match self {
            Link::At(at) => walk.name(*at),
            Link::Made(name) => Place::new(name, 0),
        }
    }
}

/// A record that leads on from one link to the next: a CNAME, or a DNAME without its CNAME.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alias {
    /// Where the record begins.
    pub record: usize,
    /// The link that it leads on from, if that is a DNAME's doing.
    pub made_from: Option<usize>,
}

/// What a message says in answer to its question.
pub(super) struct Chain {
    /// The question's name first.
    pub links: SmallVec<[Link; 4]>,
    /// What leads from each link to the next.
    pub aliases: SmallVec<[Alias; 4]>,
    pub kind: Kind,
}

impl Chain {
    /// Reads what `walk` says. Takes no memory of its own, but for a chain of more than four names and for
    /// one that a DNAME made.
    pub fn read(walk: &Walk<'_>, effort: &Effort) -> Chain {
        let mut chain = Chain {
            links: SmallVec::new(),
            aliases: SmallVec::new(),
            kind: Kind::Failure,
        };
        chain.links.push(Link::At(header::LEN));
        if !matches!(
            walk.rcode,
            Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN
        ) {
            return chain;
        }
        let found = chain.follow(walk, effort);
        chain.kind = match walk.rcode {
            Rcode::NOERROR if found => Kind::Positive,
            Rcode::NOERROR => chain.kind_without(walk, effort),
            Rcode::NXDOMAIN => Kind::NxDomain,
            _ => Kind::Failure,
        };
        chain
    }

    /// Follows the aliases as far as they lead. True if there are records of the type asked for.
    fn follow(&mut self, walk: &Walk<'_>, effort: &Effort) -> bool {
        let asked = walk.asked();
        let mut at = Link::At(header::LEN);
        for _ in 0..MAX_SEARCHES {
            let links = self.links.len();
            for record in walk.answers() {
                let found =
                    record.is(asked) || asked == RecordType::ANY && record.class == CLASS_IN;
                if !found && !record.is(RecordType::CNAME) {
                    continue;
                }
                if !at.name(walk).same(walk.name(record.owner), effort) {
                    continue;
                }
                if found {
                    return true;
                }
                at = Link::At(record.data);
                if !self.lead(at.clone(), record.owner, None) {
                    return false;
                }
            }
            if self.links.len() == links {
                let Some((name, record)) = redirected(&at, walk, effort) else {
                    return false;
                };
                at = Link::Made(name);
                let goes_on = self.lead(at.clone(), record, Some(links - 1));
                // The alias itself may be what is asked for.
                if !goes_on || matches!(asked, RecordType::CNAME | RecordType::ANY) {
                    return goes_on;
                }
            }
        }
        false
    }

    fn lead(&mut self, to: Link, record: usize, made_from: Option<usize>) -> bool {
        self.links.push(to);
        self.aliases.push(Alias { record, made_from });
        self.links.len() < MAX_LINKS
    }

    /// The kind of an answer without a record of the type asked for.
    fn kind_without(&self, walk: &Walk<'_>, effort: &Effort) -> Kind {
        if walk.header.has(header::TC) {
            return Kind::Other;
        }
        let (mut authority, mut servers) = (false, false);
        for record in walk.authorities() {
            let is_soa = record.is(RecordType::SOA);
            if (is_soa || record.is(RecordType::NS)) && self.is_zone(record.owner, walk, effort) {
                authority |= is_soa;
                servers |= !is_soa;
            }
        }
        match (authority, servers) {
            (true, _) => Kind::NoData,
            (false, _) if !self.aliases.is_empty() => Kind::Unfinished,
            (false, _) if walk.header.answers > 0 => Kind::Other,
            (false, true) => Kind::Referral,
            (false, false) => Kind::NoData,
        }
    }

    /// Whether the name at `owner` is one of the chain's, or above one.
    pub fn is_zone(&self, owner: usize, walk: &Walk<'_>, effort: &Effort) -> bool {
        let zone = walk.name(owner);
        self.links
            .iter()
            .any(|link| link.name(walk).is_within(zone, effort))
    }

    /// Whether the name at `owner` is above one of the chain's.
    pub fn is_above(&self, owner: usize, walk: &Walk<'_>, effort: &Effort) -> bool {
        let zone = walk.name(owner);
        self.links
            .iter()
            .any(|link| link.name(walk).is_below(zone, effort))
    }
}

/// Where a DNAME of the answer section leads the name at `at`, which is below its owner, and the place of
/// that record (RFC 6672 section 2.2). `None` if there is none, or if the name were to become too long.
fn redirected(at: &Link, walk: &Walk<'_>, effort: &Effort) -> Option<(Box<[u8]>, usize)> {
    let from = at.name(walk);
    let of_subtree = |record: &Record| {
        record.is(RecordType::DNAME) && from.is_below(walk.name(record.owner), effort)
    };
    let record = walk.answers().find(of_subtree)?;
    let own = from.labels(effort) - walk.name(record.owner).labels(effort);
    let mut name = Vec::with_capacity(name::MAX_LEN);
    from.copy_to(own, &mut name);
    // These letters may be byway's own.
    name.make_ascii_lowercase();
    walk.name(record.data).copy_to(usize::MAX, &mut name);
    name.push(0);
    (name.len() <= name::MAX_LEN).then(|| (name.into_boxed_slice(), record.owner))
}
