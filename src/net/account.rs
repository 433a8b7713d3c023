//! What the kernel tells of one connection, looked at when it says something and not too often.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::clock::Time;
use crate::route::StreamFacts;
use crate::sys::{self, TcpInfo};

/// The least between two looks at a connection: a busy one costs a hundred system calls a second.
const PAUSE: Duration = Duration::from_millis(10);

/// The weight that Linux gives a new round trip in the smoothed one is the inverse of this (RFC 6298).
const SMOOTHED_OVER: u32 = 8;

/// What was seen of a connection at the last look.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// When that was, if ever.
    looked: Option<Time>,
    info: TcpInfo,
    /// The smoothed round trip at the look before it.
    before: Duration,
    /// The retransmissions that an attempt was told of.
    told: u32,
}

/// What only grows of a connection, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    retransmitted: u32,
    out_of_order: Option<u32>,
}

impl Account {
    /// Looks at the connection, unless that was done just now.
    pub(super) fn look(&mut self, stream: &TcpStream, now: Time) {
        if self.looked.is_some_and(|looked| now.since(looked) < PAUSE) {
            return;
        }
        if let Ok(info) = sys::tcp_info(stream.as_fd()) {
            self.note(info, now);
        }
    }

    fn note(&mut self, info: TcpInfo, now: Time) {
        self.before = match self.looked {
            Some(_) => self.info.round_trip,
            None => info.round_trip,
        };
        (self.looked, self.info) = (Some(now), info);
    }

    /// How it stood at the last look, for [`Account::stream_facts`] of what goes out now.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            retransmitted: self.info.retransmitted,
            out_of_order: self.info.out_of_order,
        }
    }

    /// Whether something sent was unacknowledged at the last look.
    pub(super) fn is_unacknowledged(&self) -> bool {
        self.info.unacknowledged > 0
    }

    /// When the last look was.
    pub(super) fn looked(&self) -> Option<Time> {
        self.looked
    }

    /// What the last look says of an attempt that went out when it stood as `before`.
    pub(super) fn stream_facts(&mut self, before: Mark) -> StreamFacts {
        let TcpInfo {
            retransmitted,
            unacknowledged,
            out_of_order,
            round_trip,
            least,
        } = self.info;
        let resent = retransmitted.wrapping_sub(self.told);
        self.told = retransmitted;
        // One round trip moves the smoothed one by its share of the difference.
        let rise = round_trip.saturating_sub(self.before);
        StreamFacts {
            resent,
            repaired: retransmitted != before.retransmitted,
            gap: out_of_order.map(|segments| Some(segments) != before.out_of_order),
            unacknowledged: unacknowledged > 0,
            round_trip,
            longest: round_trip.max(self.before + SMOOTHED_OVER * rise),
            least: least.unwrap_or(round_trip).min(round_trip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(retransmitted: u32, round_trip: u64) -> TcpInfo {
        TcpInfo {
            retransmitted,
            unacknowledged: 0,
            out_of_order: Some(0),
            round_trip: Duration::from_millis(round_trip),
            least: Some(Duration::from_millis(2)),
        }
    }

    #[test]
    fn a_retransmission_is_told_once_and_known_to_all_who_waited() {
        let mut account = Account::default();
        account.note(info(0, 2), Time::from_secs(1));
        let before = account.mark();
        account.note(info(3, 2), Time::from_secs(2));
        let (first, second) = (account.stream_facts(before), account.stream_facts(before));
        assert_eq!((first.resent, first.repaired), (3, true));
        assert_eq!((second.resent, second.repaired), (0, true));
        let later = {
            let mark = account.mark();
            account.stream_facts(mark)
        };
        assert_eq!((later.resent, later.repaired), (0, false));
    }

    #[test]
    fn what_arrives_out_of_order_leaves_a_gap_for_those_who_wait() {
        let mut account = Account::default();
        account.note(info(0, 2), Time::from_secs(1));
        let before = account.mark();
        let gap = |account: &mut Account, before| account.stream_facts(before).gap;
        assert_eq!(gap(&mut account, before), Some(false));
        let arrived = TcpInfo {
            out_of_order: Some(2),
            ..info(0, 2)
        };
        account.note(arrived, Time::from_secs(2));
        assert_eq!(gap(&mut account, before), Some(true));
        let after = account.mark();
        assert_eq!(gap(&mut account, after), Some(false));
        let silent = TcpInfo {
            out_of_order: None,
            ..info(0, 2)
        };
        account.note(silent, Time::from_secs(3));
        assert_eq!(gap(&mut account, after), None);
    }

    #[test]
    fn the_longest_round_trip_is_what_the_smoothed_one_allows() {
        let mut account = Account::default();
        let longest = |account: &mut Account| {
            {
                let mark = account.mark();
                account.stream_facts(mark)
            }
            .longest
            .as_millis()
        };
        account.note(info(0, 2), Time::from_secs(1));
        assert_eq!(longest(&mut account), 2, "nothing to compare with");
        // 2 ms and then 82 ms make 12 ms.
        account.note(info(0, 12), Time::from_secs(2));
        assert_eq!(longest(&mut account), 82);
        account.note(info(0, 11), Time::from_secs(3));
        assert_eq!(longest(&mut account), 12, "it fell from there");
    }
}
