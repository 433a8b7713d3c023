//! A question in flight.

use std::sync::Arc;

use smallvec::SmallVec;

use super::backlog::Place;
use super::clients::Stake;
use super::inflight::{Lead, Room};
use super::timers::TimerId;
use super::waiters::{Waiter, Waiters};
use crate::clock::Time;
use crate::names::Dns64;
use crate::net::{Handle, Tag};
use crate::observe::said::Said;
use crate::route::{AttemptId, AttemptKind, PoolId, Race, RouteId, UpstreamId};
use crate::wire::{Answer, KeptKey, KeyRef, Kind};

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A client waits, or did when it began.
    Client,
    /// To renew an entry of the cache before it expires.
    Refresh,
    /// To renew an entry of the cache that a client was given stale (RFC 8767 section 5).
    Renewal,
    /// To measure a route.
    Probe(RouteId),
    /// To see whether a route's upstream leads back here.
    Loop(RouteId),
}

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Every usable route is at its limit: it waits for room.
    Queued,
    /// Attempts are out.
    Racing,
    /// Answered; attempts that lost are still listened for.
    Settled,
    /// Answered, or turned away; no attempt was ever made.
    Over,
}

/// What serves for want of an answer.
#[derive(Debug, Default)]
pub struct SecondBest {
    /// The first of the useless answers.
    pub poor: Option<Answer>,
    /// A denial by an upstream that comes after another one, which may still say otherwise.
    pub denial: Option<Denial>,
    /// The first answer that is a chain of aliases without its end.
    pub unfinished: Option<Answer>,
    /// A truncated answer with records in it, in case the whole one cannot be had over a stream.
    pub partial: Option<Answer>,
}

/// A denial that the race holds back.
#[derive(Debug)]
pub struct Denial {
    /// Whose it is.
    pub attempt: AttemptId,
    /// What it says.
    pub answer: Answer,
    /// The route that it came over.
    pub route: RouteId,
}

/// A chain of aliases whose end is asked for, for an upstream has left it out.
#[derive(Debug)]
pub struct Chase {
    /// The chain so far.
    pub chain: Answer,
    /// What is asked in place of the question's own key.
    pub asking: KeptKey,
    /// How many ends were asked for, this one included.
    pub steps: u8,
    /// It is no chain but the denial of IPv6 addresses, which are made of those of IPv4 that are asked for.
    pub made: Option<Arc<Dns64>>,
}

/// What a question in flight begins with.
#[derive(Debug)]
pub struct New<'a> {
    /// As of [`Question`].
    pub key: KeyRef<'a>,
    /// As of [`Question`].
    pub hash: u64,
    /// As of [`Question`].
    pub pool: PoolId,
    /// As of [`Question`].
    pub falls: bool,
    /// As of [`Question`].
    pub why: Why,
    /// As of [`Question`].
    pub rd: bool,
    /// As of [`Question`].
    pub lead: Option<Lead>,
    /// As of [`Question`].
    pub prompt_by: Time,
    /// As of [`Question`].
    pub chase: Option<Box<Chase>>,
}

/// A question in flight. Its usual case, one client and one attempt, is all in one place.
#[derive(Debug)]
pub struct Question {
    /// Tells this slot's successive questions apart.
    pub generation: u32,
    /// What is asked.
    pub key: KeptKey,
    /// Its hash in the cache and the table of questions in flight.
    pub hash: u64,
    /// Whom it may be asked of.
    pub pool: PoolId,
    /// If they cannot answer it, it is asked of the main ones.
    pub falls: bool,
    /// Why.
    pub why: Why,
    /// Recursion desired. A question without it is asked for one client alone and its answer not kept.
    pub rd: bool,
    /// That the table of questions in flight names it, so that others join it; until it is answered.
    pub lead: Option<Lead>,
    /// Its room among the questions in flight, until it is answered. Without that it cannot be asked.
    pub room: Option<Room>,
    /// Its client's share of that room, and of the routes'. Until it is answered, too.
    pub stake: Option<Stake>,
    /// Of a name that was answered before: an answer by then is in time. [`Time::NEVER`] once it is known
    /// whether it was, and where that would say nothing ([`super::promptness`]).
    pub prompt_by: Time,
    /// What was found of its answer, where only the rest is asked for.
    pub chase: Option<Box<Chase>>,
    /// Where it stands.
    pub stage: Stage,
    /// Its place in the queue, while it is queued.
    pub queued: Option<Place>,
    /// Its attempts, once any was made.
    pub race: Option<Race>,
    /// Who waits.
    pub waiters: Waiters,
    /// Attempts that are out, by tag.
    pub attempts: SmallVec<[Tag; 4]>,
    /// What came that is not the answer.
    pub second: SecondBest,
    /// Why the attempts that ended brought nothing; a question has only so many.
    pub said: Vec<(RouteId, Said)>,
    /// Whether it was answered usefully.
    pub answered: bool,
    /// The upstream whose answer had the name in other case: somebody may be guessing.
    pub guarded: Option<UpstreamId>,
    /// Who said that the name does not exist when it was asked in mixed case.
    pub denied: Option<UpstreamId>,
    /// Somebody looks at what becomes of it.
    pub traced: bool,
    /// An answer may lack what DNSSEC needs: it is for those who wait alone.
    pub unsigned: bool,
    /// When the race wants its timer, or the queue gives up.
    pub race_wake: Time,
    /// The wake-up that is set for it, and when it comes.
    pub timer: Option<(Time, TimerId)>,
}

impl Question {
    /// A question of which nothing has been asked yet.
    pub fn new(
        generation: u32,
        new: New<'_>,
        (room, stake): (Option<Room>, Option<Stake>),
        waiters: Waiters,
    ) -> Question {
        Question {
            generation,
            key: new.key.into(),
            hash: new.hash,
            pool: new.pool,
            falls: new.falls,
            why: new.why,
            rd: new.rd,
            lead: new.lead,
            room,
            stake,
            prompt_by: new.prompt_by,
            chase: new.chase,
            stage: Stage::Queued,
            queued: None,
            race: None,
            waiters,
            attempts: SmallVec::new(),
            second: SecondBest::default(),
            said: Vec::new(),
            answered: false,
            guarded: None,
            denied: None,
            traced: false,
            unsigned: false,
            race_wake: Time::NEVER,
            timer: None,
        }
    }

    /// What is asked upstream.
    pub fn asking(&self) -> KeyRef<'_> {
        match &self.chase {
            Some(chase) => chase.asking.by_ref(),
            None => self.key.by_ref(),
        }
    }

    /// The answer to the question that an upstream's `answer` makes: itself, unless only the end of a chain was
    /// asked for. `None` if both together are too long for a message.
    pub fn whole(&self, answer: Answer) -> Option<Answer> {
        match &self.chase {
            Some(chase) => match &chase.made {
                None => chase.chain.followed_by(&answer),
                Some(dns64) if answer.kind() != Kind::Unfinished => {
                    let made = made_of(&answer, self.key.by_ref(), &chase.chain, dns64);
                    Some(made.unwrap_or_else(|| chase.chain.clone()))
                }
                Some(_) => None,
            },
            None => Some(answer),
        }
    }

    /// Whether what comes of it is for others too: kept for those who ask later, its failures remembered.
    pub fn is_shared(&self) -> bool {
        self.rd && !self.unsigned && !matches!(self.why, Why::Probe(_) | Why::Loop(_))
    }

    /// When it next needs looking after.
    pub fn next_wake(&self) -> Time {
        self.race_wake.min(self.waiters.wake()).min(self.prompt_by)
    }

    /// Lets a client wait for its answer. The race goes on for as long as it may wait: the deadline of who
    /// asked first is not that of those who came later.
    pub fn join(&mut self, waiter: Waiter) {
        if self.stage == Stage::Racing
            && let Some(race) = &mut self.race
        {
            // Those who are asked next have the rest of the time.
            if !self.falls {
                race.extend(waiter.deadline);
            }
            if waiter.stale_at == Time::NEVER {
                race.is_needed();
            }
        }
        self.waiters.push(waiter);
    }
}

/// The longest TTL of an address that is made, where nothing says how long there are none, in seconds (RFC 6147 section 5.1.7).
const MADE_TTL: u32 = 600;

/// IPv6 addresses made of those of `answer`, which was given for IPv4 after `denial`. `None` if it has none of which any is made.
pub(super) fn made_of(
    answer: &Answer,
    key: KeyRef<'_>,
    denial: &Answer,
    dns64: &Dns64,
) -> Option<Answer> {
    let most = denial.negative_ttl().unwrap_or(MADE_TTL);
    answer.with_made_addresses(key.question(), most, |ip| dns64.map(ip))
}

/// How a query is put: what of it an upstream may fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dress {
    /// With EDNS.
    pub edns: bool,
    /// Without EDNS because it failed with it: an answer proves something.
    pub stripped: bool,
    /// In plain case because it failed in mixed case: an answer proves something.
    pub plain_case: bool,
}

/// An attempt that is out.
#[derive(Debug)]
pub struct Attempt {
    /// The question's slot.
    pub question: u32,
    /// The engine's name for it.
    pub id: AttemptId,
    /// The route it went over.
    pub route: RouteId,
    /// Why it was made.
    pub kind: AttemptKind,
    /// Whether it went over a stream.
    pub stream: bool,
    /// How the query was put.
    pub dress: Dress,
    /// When it was sent: over a stream, when the connection stood.
    pub sent: Time,
    /// Where it is listened for.
    pub handle: Option<Handle>,
}
