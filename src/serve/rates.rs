//! Answers by datagram to clients that may not be who they say they are.
//!
//! Whoever sends queries under somebody else's address has the answers sent there. So much a second goes to one client, and
//! what is beyond it is made so short that nothing is won by it: an answer cut off before its first record, which sends a
//! client that is real to TCP, or to one that has sent a cookie BADCOOKIE (RFC 7873 section 5.2.3), with one that
//! proves its address from then on. Of those too only one in so many may be sent, and the others none.
//!
//! The table has no lock and one size. Two clients may share a place of it; which ones nobody can choose who does not know
//! the key that was drawn at the start.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::quality::RandomState;
use ipnet::IpNet;

use crate::clock::Time;

/// Places: with a thousand busy clients, one in sixty shares its own.
const PLACES: usize = 1 << 16;

/// So many seconds' worth may be sent at once.
const BURST: Duration = Duration::from_secs(1);

/// What was sent to whom, all workers together.
#[derive(Debug, Default)]
pub struct Rates {
    /// Nanoseconds up to which answers are paid for. Made when the first is to be.
    paid: OnceLock<Box<[AtomicU64]>>,
    hasher: RandomState,
}

impl Rates {
    /// Whether one more answer goes to `client`, of `rate` a second (the generic cell rate algorithm). Two workers that ask at
    /// once may pay once.
    pub fn pay(&self, client: IpNet, rate: u32, now: Time) -> bool {
        let paid = self
            .paid
            .get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let place = &paid[self.hasher.hash_one(client) as usize % PLACES];
        let (now, burst) = (now.nanos(), BURST.as_nanos() as u64);
        let price = burst / u64::from(rate.max(1));
        let before = place.load(Relaxed).max(now.saturating_sub(burst));
        let may = before + price <= now;
        if may {
            place.store(before + price, Relaxed);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn so_many_a_second_go_to_one_client_and_as_many_to_another() {
        let rates = Rates::default();
        let at = |millis| Time::START + Duration::from_millis(millis);
        let sent = |client: &str, millis: std::ops::Range<u64>| {
            let client = net(client);
            millis.filter(|it| rates.pay(client, 100, at(*it))).count()
        };
        // A thousand a second are asked, a hundred answered, and a burst of a hundred first.
        assert_eq!(sent("10.0.0.1/32", 0..1000), 199);
        assert_eq!(sent("10.0.0.1/32", 1000..2000), 100);
        assert_eq!(sent("10.0.0.2/32", 1000..1100), 100);
        assert_eq!(sent("10.0.0.1/32", 60_000..60_100), 100, "it was quiet");
    }
}
