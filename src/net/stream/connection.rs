//! One connection to an upstream, and what is known of a route's connections together.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::wire::Wires;
use crate::clock::Time;
use crate::net::account::{Account, Mark};
use crate::net::awaited::Awaited;
use crate::route::RouteId;

/// How long a connection may be silent while a query waits before others go elsewhere; shorter than the
/// time after which a question is asked again over the same route.
const SILENT: Duration = Duration::from_millis(700);

/// Messages in a row that answer nothing which was asked before a connection is ended: nobody but the upstream
/// can send them.
const STRIKES: u32 = 16;

/// How long it is remembered how many queries the upstream takes on a connection. One that was mended is
/// noticed, and finding out again costs no question its answer.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A query that is out, or waits for a connection.
pub(super) struct Query {
    pub(super) awaited: Awaited,
    /// The bytes as sent, for once more.
    pub(super) frame: Box<[u8]>,
    /// How often it was asked again because its connection had ended.
    pub(super) again: u8,
    /// When it was put on its connection, or when that stood.
    pub(super) sent: Time,
    /// Which one of its connection it is.
    pub(super) serial: u64,
    /// How the connection stood then.
    pub(super) mark: Mark,
}

pub(super) struct Connection {
    pub(super) route: RouteId,
    pub(super) wires: Rc<Wires>,
    pub(super) queries: HashMap<u16, Query, FixedState>,
    pub(super) account: Account,
    /// Queries put on it so far.
    pub(super) put: u64,
    /// Answers it has carried.
    pub(super) served: u64,
    /// When it last carried one, and how many queries had been put on it then.
    pub(super) heard: Time,
    answered_among: u64,
    /// When the first query since then was sent.
    waits_since: Option<Time>,
    /// Queries that nobody waits for any more: their answers may still come.
    pub(super) owed: u64,
    strikes: u32,
    /// It takes no further queries.
    pub(super) retired: bool,
    /// It is about to end: what still comes is nobody's.
    pub(super) ended: bool,
    /// A query on it went without an answer, as did all since.
    pub(super) doubted: bool,
}

impl Connection {
    pub(super) fn new(route: RouteId, wires: Rc<Wires>) -> Connection {
        Connection {
            route,
            wires,
            queries: HashMap::default(),
            account: Account::default(),
            put: 0,
            served: 0,
            heard: Time::default(),
            answered_among: 0,
            waits_since: None,
            owed: 0,
            strikes: 0,
            retired: false,
            ended: false,
            doubted: false,
        }
    }

    /// Puts a query on it, under `id`, which none of its queries has.
    pub(super) fn put(&mut self, id: u16, mut query: Query, now: Time) {
        query.frame[2..4].copy_from_slice(&id.to_be_bytes());
        query.sent = now;
        query.mark = self.account.mark();
        query.serial = self.put;
        self.put += 1;
        self.waits_since.get_or_insert(now);
        self.wires.write(&query.frame);
        self.queries.insert(id, query);
    }

    /// It was made: what was put on it goes out now.
    pub(super) fn connected(&mut self, now: Time) {
        // What follows is compared with the round trip of the handshake.
        self.look(now);
        if let Some(since) = &mut self.waits_since {
            *since = now;
        }
        self.queries.values_mut().for_each(|query| query.sent = now);
    }

    /// The query under `id` was answered.
    pub(super) fn answered(&mut self, id: u16, now: Time) -> Option<Query> {
        let query = self.queries.remove(&id)?;
        self.served += 1;
        self.heard = now;
        self.answered_among = self.put;
        self.waits_since = None;
        self.strikes = 0;
        self.settle();
        self.look(now);
        Some(query)
    }

    /// A message came that answers nothing. True if that is enough. An answer that nobody waits for any more is
    /// late, not wrong.
    pub(super) fn strike(&mut self, late: bool) -> bool {
        if late && self.owed > 0 {
            self.owed -= 1;
            return false;
        }
        self.strikes += 1;
        self.strikes >= STRIKES
    }

    /// Queries that were out when it last carried an answer are still without one: it was closed behind
    /// somebody else's answer, if it was closed.
    pub(super) fn has_left_behind(&self) -> bool {
        let before = |query: &Query| query.serial < self.answered_among;
        self.served > 0 && self.queries.values().any(before)
    }

    /// Nothing has come for long although a query waits.
    pub(super) fn is_silent(&self, now: Time) -> bool {
        let long = |since: Time| now.since(since) > SILENT;
        !self.queries.is_empty() && self.waits_since.is_some_and(long)
    }

    /// It was made, is silent, and what was sent has not even been acknowledged.
    pub(super) fn is_stuck(&mut self, now: Time) -> bool {
        if !self.is_silent(now) {
            return false;
        }
        self.look(now);
        self.account.looked().is_some() && self.account.is_unacknowledged()
    }

    /// It takes no further queries if as many as the upstream takes have been put on it.
    pub(super) fn retire_at(&mut self, depth: u64) {
        if self.put >= depth {
            self.retired = true;
            self.settle();
        }
    }

    /// Looks at what the kernel says of it.
    pub(super) fn look(&mut self, now: Time) {
        if let Some(stream) = self.wires.stream.get() {
            self.account.look(stream, now);
        }
    }

    /// What follows from the number of its queries.
    pub(super) fn settle(&self) {
        self.wires.idle.set(self.queries.is_empty());
        if self.retired && self.queries.is_empty() {
            self.wires.over.notify_one();
        }
    }

    /// It is given up; its task will tell when it has ended. Its queries, oldest first.
    pub(super) fn end(&mut self) -> Vec<Query> {
        self.retired = true;
        self.ended = true;
        self.wires.over.notify_one();
        self.take_queries()
    }

    /// Its queries, oldest first.
    pub(super) fn take_queries(&mut self) -> Vec<Query> {
        let mut queries: Vec<Query> = self.queries.drain().map(|(_, query)| query).collect();
        queries.sort_unstable_by_key(|query| query.serial);
        queries
    }
}

/// A route's connections.
#[derive(Default)]
pub(super) struct Lane {
    /// Those that are open or about to end, by their slots.
    pub(super) connections: SmallVec<[u32; 2]>,
    /// Queries for which there is no room on any.
    pub(super) waiting: VecDeque<Query>,
    /// How many queries the upstream takes on one connection, and until when that is believed.
    depth: Option<(u64, Time)>,
}

impl Lane {
    /// How many queries may be put on one connection in all.
    pub(super) fn depth(&self, now: Time) -> u64 {
        match self.depth {
            Some((depth, until)) if now < until => depth,
            _ => u64::MAX,
        }
    }

    /// The upstream closed a connection behind its answer number `served`, with others unanswered.
    pub(super) fn learn(&mut self, served: u64, now: Time) {
        self.depth = Some((served, now + REMEMBERED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_takes_on_a_connection_is_believed_for_a_while() {
        let (mut lane, now) = (Lane::default(), Time::START);
        assert_eq!(lane.depth(now), u64::MAX);
        lane.learn(1, now);
        assert_eq!(lane.depth(now + REMEMBERED / 2), 1);
        assert_eq!(lane.depth(now + REMEMBERED), u64::MAX);
    }

    #[test]
    fn late_answers_are_not_wrong_and_a_right_one_makes_up_for_others() {
        let mut connection = Connection::new(RouteId(0), Wires::new());
        connection.owed = 100;
        for _ in 0..100 {
            assert!(!connection.strike(true));
        }
        for _ in 1..STRIKES {
            assert!(!connection.strike(true));
        }
        connection.strikes = 0;
        for _ in 1..STRIKES {
            assert!(!connection.strike(false));
        }
        assert!(connection.strike(false));
    }
}
