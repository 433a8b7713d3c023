//! What the kernel tells of one connection, looked at when it says something and not too often.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::clock::Time;
use crate::route::Carriage;
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

    /// Retransmissions until the last look.
    pub(super) fn retransmitted(&self) -> u32 {
        self.info.retransmitted
    }

    /// When the last look was.
    pub(super) fn looked(&self) -> Option<Time> {
        self.looked
    }

    /// What the last look says of an attempt that went out when there had been `before` retransmissions.
    pub(super) fn carriage(&mut self, before: u32) -> Carriage {
        let TcpInfo {
            retransmitted,
            unacknowledged,
            round_trip,
            least,
        } = self.info;
        let resent = retransmitted.wrapping_sub(self.told);
        self.told = retransmitted;
        // One round trip moves the smoothed one by its share of the difference.
        let rise = round_trip.saturating_sub(self.before);
        Carriage {
            resent,
            repaired: retransmitted != before,
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
            round_trip: Duration::from_millis(round_trip),
            least: Some(Duration::from_millis(2)),
        }
    }

    #[test]
    fn a_retransmission_is_told_once_and_known_to_all_who_waited() {
        let mut account = Account::default();
        account.note(info(0, 2), Time::from_secs(1));
        account.note(info(3, 2), Time::from_secs(2));
        let (first, second) = (account.carriage(0), account.carriage(0));
        assert_eq!((first.resent, first.repaired), (3, true));
        assert_eq!((second.resent, second.repaired), (0, true));
        let later = account.carriage(3);
        assert_eq!((later.resent, later.repaired), (0, false));
    }

    #[test]
    fn the_longest_round_trip_is_what_the_smoothed_one_allows() {
        let mut account = Account::default();
        let longest = |account: &mut Account| account.carriage(0).longest.as_millis();
        account.note(info(0, 2), Time::from_secs(1));
        assert_eq!(longest(&mut account), 2, "nothing to compare with");
        // 2 ms and then 82 ms make 12 ms.
        account.note(info(0, 12), Time::from_secs(2));
        assert_eq!(longest(&mut account), 82);
        account.note(info(0, 11), Time::from_secs(3));
        assert_eq!(longest(&mut account), 12, "it fell from there");
    }
}
